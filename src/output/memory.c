/* SPDX-License-Identifier: MIT */
/* Text that is handed over in memory, and not written anywhere. */
#include <stdlib.h>
#include <string.h>

#include "output-internal.h"

#define ROOM_MIN ((size_t)16 << 10)

void pm_memory_add(struct memory *memory, const char *bytes, size_t size)
{
	size_t room = memory->room ? memory->room : ROOM_MIN;
	char *text = memory->text;

	while (room - memory->size < size && room <= SIZE_MAX / 2)
		room *= 2;
	if (room != memory->room)
		text = room - memory->size < size ? NULL : realloc(memory->text, room);
	if (memory->failed || !text) {
		memory->failed = true;
		return;
	}
	memory->text = text;
	memory->room = room;
	memcpy(text + memory->size, bytes, size);
	memory->size += size;
}

struct sink *pm_memory_open(struct memory *memory)
{
	struct sink *sink = malloc(sizeof *sink);

	*memory = (struct memory){ .text = NULL };
	if (!sink)
		return NULL;
	pm_sink_init(sink, -1, "memory");
	sink->memory = memory;
	return sink;
}

int pm_memory_close(struct sink *sink, int code, char **ret_text, size_t *ret_size)
{
	struct memory *memory = sink->memory;
	char *text;

	if (code == PM_OK)
		code = pm_sink_check(sink, NULL);
	if (code == PM_OK && memory->failed)
		code = PM_E_MEMORY;
	free(sink);
	if (code < 0) {
		free(memory->text);
		return code;
	}
	/* What has grown beyond the text goes back; it lives for long. */
	text = realloc(memory->text, memory->size ? memory->size : 1);
	*ret_text = text ? text : memory->text;
	*ret_size = memory->size;
	return PM_OK;
}
