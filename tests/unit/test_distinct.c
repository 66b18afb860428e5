/* SPDX-License-Identifier: MIT */
/* How many distinct values: held to a plain set, to the estimate's error, and to its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tally-internal.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
/* 1.04 / sqrt(4096) */
#define STANDARD_ERROR 0.01625
#define SLAB (((size_t)1 << PM_STORE_MOST) + 16)

/* SplitMix64 (Steele, Lea, Flood 2014): good enough to stand for keyed hashes. */
static uint64_t mixed(uint64_t number)
{
	number *= UINT64_C(0x9e3779b97f4a7c15);
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
	return number ^ number >> 31;
}

static uint64_t random_next(uint64_t *state)
{
	return mixed(++*state);
}

struct room {
	struct pm_allowance *allowance;
	struct pm_store store;
};

static struct room room_new(size_t bytes)
{
	struct room room = { .allowance = NULL };

	assert_int_equal(pm_allowance_new(bytes, &room.allowance), PM_OK);
	room.store.allowance = room.allowance;
	return room;
}

/* All that was taken must have come back. */
static void room_free(struct room *room, size_t bytes)
{
	pm_store_clear(&room->store);
	assert_true(pm_allowance_take(room->allowance, bytes));
	assert_false(pm_allowance_take(room->allowance, 1));
	pm_allowance_unref(room->allowance);
}

static const uint64_t odds[] = { UINT64_C(0x2545f4914f6cdd1d), 1, UINT64_C(0x9e3779b97f4a7c15),
				 UINT64_MAX };

static void few_values_are_counted_exactly(void **state)
{
	(void)state;
	for (size_t o = 0; o < COUNT(odds); o++) {
		struct room room = room_new(PM_ALLOWANCE_BYTES);
		uint64_t seen[PM_DISTINCT_EXACT], random = o, n = 0;
		struct pm_set set = { .n = 0 };

		for (int i = 0; i < 20000; i++) {
			/* some 900 different ones, 0 among them, in no order */
			uint64_t pick = random_next(&random) % 900, value = pick ? mixed(pick) : 0;
			bool new = true;

			for (uint64_t s = 0; s < n; s++)
				new &= seen[s] != value;
			if (new)
				seen[n++] = value;
			pm_set_add(&room.store, &set, odds[o], value);
			assert_true(pm_set_count(&set).known);
			assert_false(pm_set_count(&set).estimated);
			assert_int_equal(pm_set_count(&set).count, n);
		}
		assert_int_equal(n, 900);
		room_free(&room, PM_ALLOWANCE_BYTES);
	}
}

static void values_are_exact_up_to_the_bound_and_no_further(void **state)
{
	struct room room = room_new(PM_ALLOWANCE_BYTES);
	struct pm_set set = { .n = 0 };
	struct pm_distinct distinct;

	(void)state;
	for (uint64_t i = 0; i < PM_DISTINCT_EXACT; i++)
		pm_set_add(&room.store, &set, odds[0], mixed(i + 1));
	distinct = pm_set_count(&set);
	assert_int_equal(distinct.count, PM_DISTINCT_EXACT);
	assert_false(distinct.estimated);
	for (uint64_t i = 0; i < PM_DISTINCT_EXACT; i++) /* none of them is new */
		pm_set_add(&room.store, &set, odds[0], mixed(i + 1));
	assert_false(pm_set_count(&set).estimated);
	pm_set_add(&room.store, &set, odds[0], mixed(0x10000));
	distinct = pm_set_count(&set);
	assert_true(distinct.known);
	assert_true(distinct.estimated);
	room_free(&room, PM_ALLOWANCE_BYTES);
}

/* Values whose places are one: slow, but right. */
static void values_that_want_one_place_are_told_apart(void **state)
{
	struct room room = room_new(PM_ALLOWANCE_BYTES);
	struct pm_set set = { .n = 0 };

	(void)state;
	for (uint64_t i = 1; i <= PM_DISTINCT_EXACT; i++) {
		pm_set_add(&room.store, &set, 1, i);
		pm_set_add(&room.store, &set, 1, i);
		assert_int_equal(pm_set_count(&set).count, i);
	}
	room_free(&room, PM_ALLOWANCE_BYTES);
}

#define SEEDS 64

static void an_estimate_is_within_its_error(void **state)
{
	static const uint64_t sizes[] = { 1025,  1500,	3000,  6000,  10000,
					  12000, 20000, 50000, 200000 };
	unsigned beyond = 0, trials = 0;

	(void)state;
	for (size_t s = 0; s < COUNT(sizes); s++) {
		double bias = 0, square = 0;

		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			struct room room = room_new(PM_ALLOWANCE_BYTES);
			struct pm_set set = { .n = 0 };
			uint64_t random = seed << 32;
			double error;

			for (uint64_t i = 0; i < sizes[s]; i++)
				pm_set_add(&room.store, &set, odds[0], random_next(&random));
			assert_true(pm_set_count(&set).estimated);
			error = (double)pm_set_count(&set).count / (double)sizes[s] - 1;
			bias += error / SEEDS;
			square += error * error / SEEDS;
			trials++;
			beyond += error * error > 9 * STANDARD_ERROR * STANDARD_ERROR;
			room_free(&room, PM_ALLOWANCE_BYTES);
		}
		/* The mean of 64 has an eighth of the error; their spread may be a fifth off. */
		if (bias * bias > 9 * STANDARD_ERROR * STANDARD_ERROR / SEEDS)
			fail_msg("%d values: bias %f", (int)sizes[s], bias);
		if (square > 1.5 * STANDARD_ERROR * STANDARD_ERROR)
			fail_msg("%d values: mean square %f", (int)sizes[s], square);
	}
	/* Three standard errors: one in 370. */
	assert_true(beyond * 100 <= trials);
}

/* To one part, sometimes to two; in some splits one has nearly all. */
static void part_add(struct room *room, struct pm_set *parts, uint64_t n_parts, uint64_t *random,
		     uint64_t seed, uint64_t value)
{
	for (bool again = true; again; again = random_next(random) % 4 == 0) {
		uint64_t part = random_next(random) % n_parts;

		if (seed % 3 == 0 && random_next(random) % 100)
			part = 0;
		pm_set_add(&room->store, &parts[part], odds[part % COUNT(odds)], value);
	}
}

/* Whatever the split, the order and the places: the same as by one. */
static void merged_sets_are_the_union(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 3, 4, 700, 1023, 1024, 1025, 1500, 4000, 30000 };

	(void)state;
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (uint64_t seed = 0; seed < 12; seed++) {
			struct room room = room_new(PM_ALLOWANCE_BYTES);
			struct pm_set parts[5] = { { .n = 0 } }, whole = { .n = 0 };
			uint64_t random = seed * 1000, n_parts = 1 + seed % COUNT(parts), into;
			struct pm_distinct one, all;

			for (uint64_t i = 0; i < sizes[s]; i++) {
				uint64_t value = mixed(i + 1);

				pm_set_add(&room.store, &whole, odds[0], value);
				part_add(&room, parts, n_parts, &random, seed, value);
			}
			into = random_next(&random) % n_parts;
			for (uint64_t p = 0; p < n_parts; p++)
				if (p != into)
					pm_set_merge(&room.store, &parts[into],
						     odds[into % COUNT(odds)], &parts[p]);
			one = pm_set_count(&whole);
			all = pm_set_count(&parts[into]);
			assert_int_equal(one.known, all.known);
			assert_int_equal(one.estimated, all.estimated);
			assert_int_equal(one.count, all.count);
			assert_int_equal(one.estimated, sizes[s] > PM_DISTINCT_EXACT);
			room_free(&room, PM_ALLOWANCE_BYTES);
		}
}

static void without_room_a_set_is_lost_and_stays_so(void **state)
{
	/* enough for 1,536 values, but not beside the smaller block that they come from */
	struct room room = room_new(SLAB + SLAB / 2);
	struct pm_set set = { .n = 0 }, other = { .n = 0 };
	uint64_t n = 0;

	(void)state;
	while (pm_set_count(&set).known && n <= PM_DISTINCT_EXACT)
		pm_set_add(&room.store, &set, odds[0], mixed(++n));
	assert_true(n > 100 && n <= PM_DISTINCT_EXACT);
	assert_true(pm_set_count(&set).given_up);
	pm_set_add(&room.store, &set, odds[0], 1);
	assert_false(pm_set_count(&set).known);
	/* What it held serves others: half of the slab. */
	assert_non_null(pm_store_take(&room.store, PM_STORE_MOST - 1));
	pm_set_add(&room.store, &other, odds[0], 1);
	assert_int_equal(pm_set_count(&other).count, 1);
	/* Nobody knows what a lost part held. */
	pm_set_merge(&room.store, &other, odds[0], &set);
	assert_false(pm_set_count(&other).known);
	pm_set_merge(&room.store, &other, odds[0], &(struct pm_set){ .n = 0 });
	assert_false(pm_set_count(&other).known);
	room_free(&room, SLAB + SLAB / 2);
}

static void without_any_room_nothing_is_taken(void **state)
{
	struct room room = room_new(SLAB - 1);
	struct pm_set set = { .n = 0 };

	(void)state;
	assert_null(pm_store_take(&room.store, PM_STORE_LEAST));
	pm_set_add(&room.store, &set, odds[0], 1);
	assert_true(pm_set_count(&set).given_up);
	room_free(&room, SLAB - 1);
}

#define CLASSES (PM_STORE_MOST - PM_STORE_LEAST + 1)

/* Blocks of all sizes, taken and given back at random: none lies over another, all are zeroed. */
static void blocks_are_nobody_elses(void **state)
{
	struct room room = room_new(PM_ALLOWANCE_BYTES);
	struct {
		uint8_t *block;
		unsigned bits;
	} held[200] = { { NULL, 0 } };
	uint64_t random = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t at = random_next(&random) % COUNT(held), size;
		uint8_t mark = (uint8_t)(at + 1);

		if (held[at].block) {
			size = (size_t)1 << held[at].bits;
			for (size_t b = 0; b < size; b++)
				assert_int_equal(held[at].block[b], mark);
			pm_store_give(&room.store, held[at].block, held[at].bits);
			held[at].block = NULL;
			continue;
		}
		held[at].bits = PM_STORE_LEAST + (unsigned)(random_next(&random) % CLASSES);
		size = (size_t)1 << held[at].bits;
		held[at].block = pm_store_take(&room.store, held[at].bits);
		assert_non_null(held[at].block);
		for (size_t b = 0; b < size; b++)
			assert_int_equal(held[at].block[b], 0);
		memset(held[at].block, mark, size);
	}
	room_free(&room, PM_ALLOWANCE_BYTES);
}

static void an_allowance_is_shared_and_never_exceeded(void **state)
{
	struct room a = room_new(3 * SLAB), b = { .allowance = pm_allowance_ref(a.allowance) };

	(void)state;
	b.store.allowance = b.allowance;
	assert_non_null(pm_store_take(&a.store, PM_STORE_MOST));
	assert_non_null(pm_store_take(&b.store, PM_STORE_MOST));
	assert_non_null(pm_store_take(&a.store, PM_STORE_MOST));
	assert_null(pm_store_take(&b.store, PM_STORE_LEAST));
	pm_store_clear(&a.store);
	assert_non_null(pm_store_take(&b.store, PM_STORE_LEAST));
	pm_store_clear(&b.store);
	pm_allowance_unref(b.allowance);
	room_free(&a, 3 * SLAB);
	pm_allowance_unref(NULL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(few_values_are_counted_exactly),
	cmocka_unit_test(values_are_exact_up_to_the_bound_and_no_further),
	cmocka_unit_test(values_that_want_one_place_are_told_apart),
	cmocka_unit_test(an_estimate_is_within_its_error),
	cmocka_unit_test(merged_sets_are_the_union),
	cmocka_unit_test(without_room_a_set_is_lost_and_stays_so),
	cmocka_unit_test(without_any_room_nothing_is_taken),
	cmocka_unit_test(blocks_are_nobody_elses),
	cmocka_unit_test(an_allowance_is_shared_and_never_exceeded),
};

int main(void)
{
	return cmocka_run_group_tests_name("distinct", tests, NULL, NULL);
}
