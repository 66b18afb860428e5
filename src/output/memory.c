/* SPDX-License-Identifier: MIT */
/* Text that is handed over in memory, and not written anywhere. */
#include <stdlib.h>

#include "output-internal.h"

struct sink *pm_memory_open(struct held *held)
{
	struct sink *sink = calloc(1, sizeof *sink);

	*held = (struct held){ .text = NULL };
	if (!sink)
		return NULL;
	pm_sink_init(sink, -1, "memory");
	sink->held = held;
	return sink;
}

int pm_memory_close(struct sink *sink, int code, char **ret_text, size_t *ret_size)
{
	struct held *held = sink->held;
	char *text;

	if (code == PM_OK)
		code = pm_sink_check(sink, NULL);
	if (code == PM_OK && held->failed)
		code = PM_E_MEMORY;
	free(sink);
	if (code < 0) {
		free(held->text);
		return code;
	}
	/* What has grown beyond the text goes back; it lives for long. */
	text = realloc(held->text, held->size ? held->size : 1);
	*ret_text = text ? text : held->text;
	*ret_size = held->size;
	return PM_OK;
}
