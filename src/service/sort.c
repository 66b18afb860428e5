/* SPDX-License-Identifier: MIT */
/* Natural merge sort: rules files are nearly sorted by port, which makes a start cheap. */
#include <string.h>

#include "service-internal.h"

static size_t run_end(const uint64_t *keys, size_t at, size_t n)
{
	if (at < n)
		at++;
	while (at < n && keys[at - 1] <= keys[at])
		at++;
	return at;
}

static void merge(const uint64_t *from, size_t a, size_t middle, size_t end, uint64_t *to)
{
	size_t b = middle, at = a;

	while (a < middle && b < end)
		to[at++] = from[b] < from[a] ? from[b++] : from[a++];
	memcpy(to + at, from + a, (middle - a) * sizeof *to);
	memcpy(to + at + (middle - a), from + b, (end - b) * sizeof *to);
}

void pm_sort(uint64_t *keys, uint64_t *spare, size_t n)
{
	uint64_t *from = keys, *to = spare;

	while (run_end(from, 0, n) < n) {
		uint64_t *swap = from;

		for (size_t at = 0; at < n;) {
			size_t middle = run_end(from, at, n), end = run_end(from, middle, n);

			merge(from, at, middle, end, to);
			at = end;
		}
		from = to;
		to = swap;
	}
	if (from != keys)
		memcpy(keys, from, n * sizeof *keys);
}
