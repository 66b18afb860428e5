/* SPDX-License-Identifier: MIT */
/*
 * How many distinct values, within bounded memory: exactly while they are few, else by HyperLogLog
 * (Flajolet and others, 2007) with the estimator of Ertl ("New cardinality estimation algorithms for
 * HyperLogLog sketches", 2017, section 4), which needs no correction for small numbers. Both depend
 * on the values alone and not on their order, or on how they were split among sets that are merged.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tally-internal.h"

struct pm_allowance {
	atomic_size_t left; /* bytes */
	atomic_uint owners;
};

int pm_allowance_new(size_t bytes, struct pm_allowance **ret_allowance)
{
	struct pm_allowance *allowance = calloc(1, sizeof *allowance);

	if (!allowance)
		return PM_E_MEMORY;
	atomic_init(&allowance->left, bytes);
	atomic_init(&allowance->owners, 1);
	*ret_allowance = allowance;
	return PM_OK;
}

struct pm_allowance *pm_allowance_ref(struct pm_allowance *allowance)
{
	atomic_fetch_add(&allowance->owners, 1);
	return allowance;
}

void pm_allowance_unref(struct pm_allowance *allowance)
{
	if (allowance && atomic_fetch_sub(&allowance->owners, 1) == 1)
		free(allowance);
}

bool pm_allowance_take(struct pm_allowance *allowance, size_t bytes)
{
	size_t left = atomic_load(&allowance->left);

	do {
		if (left < bytes)
			return false;
	} while (!atomic_compare_exchange_weak(&allowance->left, &left, left - bytes));
	return true;
}

size_t pm_allowance_left(const struct pm_allowance *allowance)
{
	return atomic_load(&allowance->left);
}

void pm_allowance_give(struct pm_allowance *allowance, size_t bytes)
{
	atomic_fetch_add(&allowance->left, bytes);
}

/* Its first bytes, which keep the block behind them aligned, link it to the next. */
#define SLAB_HEAD 16
#define SLAB_SIZE (SLAB_HEAD + ((size_t)1 << PM_STORE_MOST))

/* A block in a list begins with the address of the next one. */
static void list_push(void **list, void *block)
{
	memcpy(block, list, sizeof *list);
	*list = block;
}

static void *list_pop(void **list)
{
	void *block = *list;

	if (block)
		memcpy(list, block, sizeof *list);
	return block;
}

static bool slab_add(struct pm_store *store)
{
	char *slab;

	if (!pm_allowance_take(store->allowance, SLAB_SIZE))
		return false;
	slab = malloc(SLAB_SIZE);
	if (!slab) {
		pm_allowance_give(store->allowance, SLAB_SIZE);
		return false;
	}
	list_push(&store->slabs, slab);
	list_push(&store->blocks[PM_STORE_MOST], slab + SLAB_HEAD);
	return true;
}

void *pm_store_take(struct pm_store *store, unsigned bits)
{
	unsigned at = bits;
	char *block;

	while (at <= PM_STORE_MOST && !store->blocks[at])
		at++;
	if (at > PM_STORE_MOST) {
		if (!slab_add(store))
			return NULL;
		at = PM_STORE_MOST;
	}
	block = list_pop(&store->blocks[at]);
	/* Of a larger one the first part is used, and the rest halved into what remains. */
	while (at > bits) {
		at--;
		list_push(&store->blocks[at], block + ((size_t)1 << at));
	}
	memset(block, 0, (size_t)1 << bits);
	return block;
}

void pm_store_give(struct pm_store *store, void *block, unsigned bits)
{
	if (block)
		list_push(&store->blocks[bits], block);
}

void pm_store_clear(struct pm_store *store)
{
	void *slab;

	while ((slab = list_pop(&store->slabs)) != NULL) {
		free(slab);
		pm_allowance_give(store->allowance, SLAB_SIZE);
	}
	memset(store->blocks, 0, sizeof store->blocks);
}

#define VALUE_BITS 3 /* of the size of a value */

_Static_assert(PM_SET_REGISTER_BITS <= PM_STORE_MOST, "registers fill a block");
_Static_assert(PM_DISTINCT_EXACT <= (3U << (PM_STORE_MOST - VALUE_BITS)) / 4,
	       "exact values fill three quarters of a block at most");

static void set_lose(struct pm_store *store, struct pm_set *set)
{
	pm_store_give(store, set->block, set->bits);
	*set = (struct pm_set){ .kind = PM_SET_LOST };
}

static size_t set_places(const struct pm_set *set)
{
	return set->block ? (size_t)1 << (set->bits - VALUE_BITS) : 0;
}

static size_t value_home(const struct pm_set *set, uint64_t odd, uint64_t value)
{
	return (value * odd) >> (64 - (set->bits - VALUE_BITS));
}

/* The value's place, or the free one where it belongs; a quarter of the places is always free. */
static uint64_t *value_place(const struct pm_set *set, uint64_t odd, uint64_t value)
{
	uint64_t *values = set->block;
	size_t places = set_places(set), at = value_home(set, odd, value);

	while (values[at] && values[at] != value)
		at = (at + 1) & (places - 1);
	return &values[at];
}

/* From values to registers. */
static void set_estimate(struct pm_store *store, struct pm_set *set)
{
	struct pm_set more = { .bits = PM_SET_REGISTER_BITS, .kind = PM_SET_ESTIMATE };
	const uint64_t *values = set->block;

	more.block = pm_store_take(store, PM_SET_REGISTER_BITS);
	if (!more.block) {
		set_lose(store, set);
		return;
	}
	for (size_t i = 0; i < set_places(set); i++)
		if (values[i])
			pm_set_register(&more, values[i]);
	pm_store_give(store, set->block, set->bits);
	*set = more;
}

/* Twice as many places. */
static void set_grow(struct pm_store *store, struct pm_set *set, uint64_t odd)
{
	struct pm_set more = { .n = set->n };
	const uint64_t *values = set->block;

	more.bits = (uint8_t)(set->block ? set->bits + 1 : PM_STORE_LEAST);
	more.block = pm_store_take(store, more.bits);
	if (!more.block) {
		set_lose(store, set);
		return;
	}
	for (size_t i = 0; i < set_places(set); i++)
		if (values[i])
			*value_place(&more, odd, values[i]) = values[i];
	pm_store_give(store, set->block, set->bits);
	*set = more;
}

static void value_add(struct pm_store *store, struct pm_set *set, uint64_t odd, uint64_t value)
{
	uint64_t *place = set->block ? value_place(set, odd, value) : NULL;

	if (place && *place)
		return;
	if (set->n == PM_DISTINCT_EXACT) {
		set_estimate(store, set);
		if (set->kind == PM_SET_ESTIMATE)
			pm_set_register(set, value);
		return;
	}
	if (set->n + 1U > set_places(set) / 4 * 3) {
		set_grow(store, set, odd);
		if (set->kind == PM_SET_LOST)
			return;
		place = value_place(set, odd, value);
	}
	*place = value;
	set->n++;
}

void pm_set_fetch_value(const struct pm_set *set, uint64_t odd, uint64_t hash)
{
	if (set->block)
		__builtin_prefetch((uint64_t *)set->block + value_home(set, odd, hash), 1);
}

void pm_set_add_value(struct pm_store *store, struct pm_set *set, uint64_t odd, uint64_t hash)
{
	if (set->kind == PM_SET_EXACT)
		value_add(store, set, odd, hash ? hash : 1); /* 0 is a free place */
}

void pm_set_merge(struct pm_store *store, struct pm_set *into, uint64_t odd,
		  const struct pm_set *from)
{
	const uint64_t *values = from->block;
	const uint8_t *registers = from->block;
	uint8_t *own;

	if (from->kind == PM_SET_LOST && into->kind != PM_SET_LOST)
		set_lose(store, into);
	if (from->kind == PM_SET_EXACT)
		for (size_t i = 0; i < set_places(from); i++)
			if (values[i])
				pm_set_add(store, into, odd, values[i]);
	if (from->kind != PM_SET_ESTIMATE)
		return;
	if (into->kind == PM_SET_EXACT)
		set_estimate(store, into);
	if (into->kind == PM_SET_LOST)
		return;
	own = into->block;
	for (size_t i = 0; i < PM_SET_REGISTERS; i++)
		own[i] = own[i] > registers[i] ? own[i] : registers[i];
}

/*
 * The expected part of registers that are zero still, as a sum: x + x^2 + 2 x^4 + 4 x^8 and so on,
 * for an x below 1. Ertl's sigma.
 */
static double sigma(double x)
{
	double weight = 1, sum = x, before;

	do {
		x *= x;
		before = sum;
		sum += x * weight;
		weight += weight;
	} while (sum > before);
	return sum;
}

static uint64_t estimate(const uint8_t *registers)
{
	static const double ln2 = 0.69314718055994530942;
	unsigned with[PM_SET_RANK_MAX + 1] = { 0 };
	double sum = 0, m = PM_SET_REGISTERS;

	for (size_t i = 0; i < PM_SET_REGISTERS; i++)
		with[registers[i]]++;
	/* Registers are full so rarely that Ertl's tau, which corrects for those, is left out. */
	for (int rank = PM_SET_RANK_MAX; rank >= 1; rank--)
		sum = 0.5 * (sum + with[rank]);
	sum += m * sigma(with[0] / m);
	return (uint64_t)(m * m / (2 * ln2) / sum + 0.5);
}

struct pm_distinct pm_set_count(const struct pm_set *set)
{
	switch (set->kind) {
	case PM_SET_EXACT:
		return (struct pm_distinct){ .count = set->n, .known = true };
	case PM_SET_ESTIMATE:
		return (struct pm_distinct){ .count = estimate(set->block),
					     .known = true,
					     .estimated = true };
	default:
		return (struct pm_distinct){ .given_up = true };
	}
}
