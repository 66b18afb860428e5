/* SPDX-License-Identifier: MIT */
/* Takes the rules that the build compiled in; see embed.c for how they got there. */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

/* Past a string and its NUL. */
static const char *next_string(const char *text)
{
	return text + strlen(text) + 1;
}

struct pm_shipped_at pm_shipped_first(void)
{
	struct pm_shipped_at at = { 0, pm_shipped_text, pm_shipped_text, 0 };

	for (uint32_t i = 0; i < pm_shipped_n; i++)
		at.text = next_string(at.text);
	return at;
}

int pm_shipped_reserve(struct pm_list *list)
{
	size_t sums[PM_SHIPPED_COUNTS] = { 0 };
	int code;

	for (uint32_t i = 0; i < pm_shipped_n; i++)
		for (size_t count = 0; count < PM_SHIPPED_COUNTS; count++)
			sums[count] += pm_shipped_counts[i][count];
	code = pm_list_reserve(list, sums[PM_SHIPPED_ROWS]);
	if (code == 0)
		code = pm_strings_reserve(&list->names, sums[PM_SHIPPED_NAMES],
					  sums[PM_SHIPPED_NAME_BYTES]);
	return code;
}

static int read_strings(struct pm_strings *strings, uint32_t n, const char **text, uint32_t **to,
			int put(struct pm_strings *strings, const char *bytes, size_t size,
				uint32_t *ret_number))
{
	int code = 0;

	for (uint32_t i = 0; i < n && code == 0; i++, *text = next_string(*text))
		code = put(strings, *text, strlen(*text), (*to)++);
	return code;
}

static int read_rows(struct pm_list *list, size_t first, uint32_t n, const uint32_t *map)
{
	int code = 0;

	for (size_t i = first; i < first + n && code == 0; i++) {
		const uint32_t *row = pm_shipped_rows[i], bits = row[PM_SHIPPED_BITS];
		struct pm_rule rule = {
			.name = map[row[PM_SHIPPED_NAME]],
			.category = map[row[PM_SHIPPED_CATEGORY]],
			.aliases = map[row[PM_SHIPPED_ALIASES]],
			.line = row[PM_SHIPPED_LINE],
			.file = (uint16_t)list->files.n,
			.column = (uint16_t)(bits >> 16),
			.low = (uint16_t)(row[PM_SHIPPED_PORTS] >> 16),
			.high = (uint16_t)row[PM_SHIPPED_PORTS],
			.priority = bits & 0x7f,
			.flags = bits >> 7 & 0xf,
			.transports = bits >> 11 & 0x1f,
		};

		code = pm_list_add(list, &rule);
	}
	return code;
}

static int read_file(const struct pm_shipped_at *at, struct pm_list *list, size_t strings)
{
	const uint32_t *counts = pm_shipped_counts[at->index];
	/* From the file's numbers to the list's: equal strings of several files share one. */
	uint32_t *map = calloc(strings + 1, sizeof *map), *to = map;
	const char *text = at->text;
	int code;

	if (!map)
		return PM_E_MEMORY;
	to++; /* 0 stays none */
	code = pm_list_file(list, at->name, pm_shipped_digests[at->index]);
	if (code == 0)
		code = read_strings(&list->names, counts[PM_SHIPPED_NAMES], &text, &to,
				    pm_strings_intern);
	if (code == 0)
		code = read_strings(&list->categories, counts[PM_SHIPPED_CATEGORIES], &text, &to,
				    pm_strings_intern);
	if (code == 0)
		code = read_strings(&list->aliases, counts[PM_SHIPPED_ALIAS_LISTS], &text, &to,
				    pm_strings_add);
	if (code == 0)
		code = read_rows(list, at->row, counts[PM_SHIPPED_ROWS], map);
	free(map);
	return code;
}

int pm_shipped_read(struct pm_shipped_at *at, struct pm_list *list, struct pm_report *report)
{
	const uint32_t *counts = pm_shipped_counts[at->index];
	size_t strings = (size_t)counts[PM_SHIPPED_NAMES] + counts[PM_SHIPPED_CATEGORIES] +
			 counts[PM_SHIPPED_ALIAS_LISTS];

	int code = list ? read_file(at, list, strings) : 0;

	if (list && code == 0)
		code = pm_list_check(list, report, (struct pm_place){ at->name, 0, 0 });
	for (size_t i = 0; i < strings; i++)
		at->text = next_string(at->text);
	at->row += counts[PM_SHIPPED_ROWS];
	at->name = next_string(at->name);
	at->index++;
	return code;
}
