/* SPDX-License-Identifier: MIT */
/*
 * Radix sort: rules are thousands of small numbers, and comparing them with each other was the
 * larger part of a start.
 */
#include <string.h>

#include "service-internal.h"

#define DIGIT_BITS 8
#define DIGITS (64 / DIGIT_BITS)
#define VALUES (1u << DIGIT_BITS)

/* Below, counting the values of the digits costs more than it saves. */
#define FEW 32

static unsigned digit(uint64_t key, unsigned place)
{
	return (unsigned)(key >> place * DIGIT_BITS) & (VALUES - 1);
}

static void sort_few(uint64_t *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t key = keys[i];
		size_t at = i;

		for (; at > 0 && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* From how many keys have which value to where the first of each value goes. */
static void add_up(uint32_t counts[VALUES])
{
	uint32_t sum = 0;

	for (unsigned value = 0; value < VALUES; value++) {
		uint32_t count = counts[value];

		counts[value] = sum;
		sum += count;
	}
}

/* The bits in which not all keys are equal. */
static uint64_t varying(const uint64_t *keys, size_t n)
{
	uint64_t bits = 0;

	for (size_t i = 1; i < n; i++)
		bits |= keys[i] ^ keys[0];
	return bits;
}

static void sort_by(const uint64_t *keys, uint64_t *to, size_t n, unsigned place)
{
	uint32_t at[VALUES] = { 0 };

	for (size_t i = 0; i < n; i++)
		at[digit(keys[i], place)]++;
	add_up(at);
	for (size_t i = 0; i < n; i++)
		to[at[digit(keys[i], place)]++] = keys[i];
}

static void sort_many(uint64_t *keys, uint64_t *spare, size_t n, unsigned first)
{
	uint64_t *from = keys, *to = spare, bits = varying(keys, n);

	for (unsigned place = first; place < DIGITS; place++) {
		uint64_t *swap = from;

		if (!digit(bits, place))
			continue;
		sort_by(from, to, n, place);
		from = to;
		to = swap;
	}
	if (from != keys)
		memcpy(keys, from, n * sizeof *keys);
}

void pm_sort(uint64_t *keys, uint64_t *spare, size_t n, unsigned rising)
{
	if (n <= FEW)
		sort_few(keys, n);
	else
		sort_many(keys, spare, n, rising / DIGIT_BITS);
}
