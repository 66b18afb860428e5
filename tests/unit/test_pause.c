/* SPDX-License-Identifier: MIT */
/* How long frames of a busy interface are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pause.h"

#define MIB (UINT64_C(1) << 20)
#define MS INT64_C(1000000)

/* Whatever comes at the rate that came, at most an eighth of the buffer fills meanwhile. */
static void an_eighth_of_the_buffer_fills(void **state)
{
	uint64_t sizes[] = { MIB, 2 * MIB - 1, 2 * MIB, 8 * MIB, 256 * MIB, UINT32_MAX };
	uint64_t paused = 0;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		for (int64_t elapsed = 1; elapsed <= 1000 * MS; elapsed = elapsed * 3 + 1) {
			for (uint64_t bytes = 1; bytes < UINT64_C(1) << 40; bytes = bytes * 5 + 2) {
				int ms = pm_pause_ms(bytes, elapsed, sizes[i]);
				double fills = (double)bytes * (double)(ms * MS) / (double)elapsed;

				assert_in_range(ms, 0, PM_PAUSE_MAX_MS);
				assert_true(fills <= (double)sizes[i] / 8);
				paused += ms > 0;
			}
		}
	}
	assert_true(paused > 100);
}

/* A million frames of 160 bytes a second, and more. */
static void a_busy_interface_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 4 * MIB), 2);
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 8 * MIB), 4);
	assert_int_equal(pm_pause_ms(3200000, 10 * MS, 8 * MIB), 3);
	assert_int_equal(pm_pause_ms(16000000, 10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 32 * MIB), PM_PAUSE_MAX_MS);
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 160 * MIB), PM_PAUSE_MAX_MS);
}

/* A block each 4 ms is just enough for 8 MiB: some 400,000 such frames a second. */
static void a_quiet_one_is_not(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(MIB, 16 * MS, 8 * MIB), 4);
	assert_int_equal(pm_pause_ms(MIB, 16 * MS + 5, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(MIB, 32 * MS, 32 * MIB), 8);
	assert_int_equal(pm_pause_ms(MIB, 32 * MS + 5, 32 * MIB), 0);
	assert_int_equal(pm_pause_ms(1, 1000 * MS, 8 * MIB), 0);
}

/* A network of 10 Gbit/s that begins at once, with large frames, does not fill the buffer. */
static void what_comes_suddenly_has_room(void **state)
{
	(void)state;
	for (uint64_t size = 0; size < 1024 * MIB; size += MIB / 4)
		for (uint64_t bytes = MIB / 64; bytes < 64 * MIB; bytes *= 2) {
			uint64_t ms = (uint64_t)pm_pause_ms(bytes, MS, size);

			assert_true(ms == 0 || ms * 1250000 < size - size / 8);
		}
}

static void nothing_follows_from_no_look(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(0, 10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(1600000, 0, 8 * MIB), 0);
	/* a clock that goes back or stood */
	assert_int_equal(pm_pause_ms(1600000, -10 * MS, 8 * MIB), 0);
	for (int64_t elapsed = -1; elapsed > INT64_MIN / 4; elapsed = elapsed * 3 - 1)
		for (uint64_t bytes = 1; bytes < UINT64_MAX / 4; bytes = bytes * 5 + 2)
			assert_int_equal(pm_pause_ms(bytes, elapsed, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 36, 1000 * MS, UINT32_MAX), 7);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 36, 1000 * MS + 1, UINT32_MAX), 0);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 40, 1000 * MS, UINT64_C(1) << 36), 0);
	assert_int_equal(pm_pause_ms(UINT64_MAX, INT64_MAX, UINT64_MAX), 0);
}

/* Of which a block is an eighth or more. */
static void a_small_buffer_is_looked_at_at_once(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(MIB, 4 * MS, 4 * MIB), 2);
	assert_int_equal(pm_pause_ms(MIB, 4 * MS, 2 * MIB), 1);
	assert_int_equal(pm_pause_ms(MIB, 4 * MS, 2 * MIB - 1), 0);
	assert_int_equal(pm_pause_ms(MIB, 4 * MS, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_eighth_of_the_buffer_fills),
		cmocka_unit_test(a_busy_interface_is_left_alone),
		cmocka_unit_test(a_quiet_one_is_not),
		cmocka_unit_test(what_comes_suddenly_has_room),
		cmocka_unit_test(nothing_follows_from_no_look),
		cmocka_unit_test(a_small_buffer_is_looked_at_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
