/* SPDX-License-Identifier: MIT */
/*
 * Bounded tables whose entries fit a word: a tag in the upper bits, which is never 0, and what is
 * known in the lower ones. A hash chooses a line of the cache, in which its word stands at one of a
 * few places; in a full line one gives way. Inline: nearly every frame looks into one.
 */
#ifndef PM_WORDS_H
#define PM_WORDS_H

#include <stdlib.h>
#include <string.h>

#include "portmeter/base.h"

#define PM_WAYS 8 /* places for one hash, of 8 bytes: a cache line */
/* Bytes of a line of the cache. */
#define PM_CACHE_LINE (PM_WAYS * sizeof(uint64_t))

/* Zeroed: no table yet. */
struct pm_words {
	uint64_t *at;   /* lines of the cache */
	void *block;    /* in which they stand */
	uint32_t lines; /* a power of two */
	uint32_t used;  /* places, until it is seen that most will be */
	uint8_t bits;   /* of what is known */
};

/* So many zeroed lines in *@ret_block, to be freed. NULL: memory is short. */
static inline void *pm_lines_new(size_t lines, void **ret_block)
{
	/* not by aligned_alloc: calloc leaves pages untouched that nobody uses */
	*ret_block = calloc(lines + 1, PM_CACHE_LINE);
	if (!*ret_block)
		return NULL;
	return (void *)(((uintptr_t)*ret_block + PM_CACHE_LINE - 1) / PM_CACHE_LINE *
			PM_CACHE_LINE);
}

/* Room for @entries at least, with @bits for what is known of each. PM_E_MEMORY or 0. */
static inline int pm_words_new(struct pm_words *words, size_t entries, uint8_t bits)
{
	uint32_t lines = 1;

	while ((size_t)lines * PM_WAYS < entries)
		lines *= 2;
	words->lines = lines;
	words->bits = bits;
	words->at = pm_lines_new(lines, &words->block);
	return words->at ? PM_OK : PM_E_MEMORY;
}

static inline void pm_words_free(struct pm_words *words)
{
	free(words->block);
}

/* The places that @hash may have. */
static inline uint64_t *pm_words_line(const struct pm_words *words, uint64_t hash)
{
	return words->at + (size_t)(hash & (words->lines - 1)) * PM_WAYS;
}

/* The tag of @hash, from bits of which few choose the line. */
static inline uint64_t pm_words_tag(const struct pm_words *words, uint64_t hash)
{
	return (hash >> words->bits | UINT64_C(1) << (63 - words->bits)) << words->bits;
}

/* The word with @tag in @line; NULL: it is not there. */
static PM_INLINE uint64_t *pm_words_find_in(const struct pm_words *words, uint64_t *line,
					    uint64_t tag)
{
	const uint64_t mask = ~UINT64_C(0) << words->bits;

#pragma GCC unroll 8
	for (int i = 0; i < PM_WAYS; i++)
		if (((line[i] ^ tag) & mask) == 0)
			return &line[i];
	return NULL;
}

/* NULL: it is not there. */
static inline uint64_t *pm_words_find(const struct pm_words *words, uint64_t hash)
{
	return pm_words_find_in(words, pm_words_line(words, hash), pm_words_tag(words, hash));
}

/* The newest stands first, and the last one falls out. For words that need no other order. */
static PM_INLINE void pm_words_push_to(struct pm_words *words, uint64_t *line, uint64_t word)
{
	uint64_t older[PM_WAYS - 1];

	pm_pages_use(&words->used, 1, words->at, words->lines * PM_CACHE_LINE);
	/* by way of another place, since a memmove would be a call */
	memcpy(older, line, sizeof older);
	memcpy(line + 1, older, sizeof older);
	*line = word;
}

static inline uint64_t *pm_words_push(struct pm_words *words, uint64_t hash)
{
	uint64_t *line = pm_words_line(words, hash);

	pm_words_push_to(words, line, pm_words_tag(words, hash));
	return line;
}

/* A word that was of use moves one place forward: those that are stay where none falls out. */
static inline uint64_t *pm_words_forward(const struct pm_words *words, uint64_t hash,
					 uint64_t *word)
{
	uint64_t before;

	if (word == pm_words_line(words, hash))
		return word;
	before = word[-1];
	word[-1] = *word;
	*word = before;
	return word - 1;
}

#endif
