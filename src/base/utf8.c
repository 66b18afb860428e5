/* SPDX-License-Identifier: MIT */
/* What is UTF-8, and what becomes of bytes that are not. */
#include <stdlib.h>
#include <string.h>

#include "portmeter/base.h"

size_t pm_utf8_sequence(const char *bytes)
{
	const unsigned char *text = (const unsigned char *)bytes;
	static const struct {
		unsigned char low, high; /* of the first byte */
		unsigned char second_low, second_high;
		size_t size;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		if (text[0] < forms[i].low || text[0] > forms[i].high)
			continue;
		if (forms[i].size > 1 &&
		    (text[1] < forms[i].second_low || text[1] > forms[i].second_high))
			return 0;
		for (size_t at = 2; at < forms[i].size; at++)
			if ((text[at] & 0xc0) != 0x80)
				return 0;
		return forms[i].size;
	}
	return 0;
}

char *pm_utf8_repaired(const char *text)
{
	char *copy = malloc(strlen(text) * 3 + 1), *to = copy;

	if (!copy)
		return NULL;
	while (*text) {
		size_t size = pm_utf8_sequence(text);

		if (size) {
			memcpy(to, text, size);
			to += size;
			text += size;
		} else {
			memcpy(to, PM_UTF8_REPLACEMENT, 3);
			to += 3;
			text++;
		}
	}
	*to = '\0';
	return copy;
}
