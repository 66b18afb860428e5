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
	uint64_t sizes[] = { 1, MIB / 4, 2 * MIB, 8 * MIB, 256 * MIB, UINT32_MAX };
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

/* A million frames of 160 bytes a second, in a buffer of 8 MiB. */
static void a_busy_interface_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 8 * MIB), 6);
	assert_int_equal(pm_pause_ms(16000000, 10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(1600000, 10 * MS, 32 * MIB), PM_PAUSE_MAX_MS);
}

static void a_quiet_one_is_not(void **state)
{
	(void)state;
	/* 200,000 a second and 199,000 */
	assert_int_equal(pm_pause_ms(MIB, 32 * MS, 8 * MIB), PM_PAUSE_MAX_MS);
	assert_int_equal(pm_pause_ms(MIB, 33 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(1, 1000 * MS, 8 * MIB), 0);
}

static void nothing_follows_from_no_look(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(0, 10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(1600000, 0, 8 * MIB), 0);
	/* the clock was set back, or on */
	assert_int_equal(pm_pause_ms(1600000, -10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 40, -10 * MS, 8 * MIB), 0);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 36, 1000 * MS, UINT32_MAX), 7);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 36, 1000 * MS + 1, UINT32_MAX), 0);
	assert_int_equal(pm_pause_ms(UINT64_C(1) << 40, 1000 * MS, UINT64_C(1) << 36), 0);
	assert_int_equal(pm_pause_ms(UINT64_MAX, INT64_MAX, UINT64_MAX), 0);
}

/* Of which a block that is not yet read is much. */
static void a_small_buffer_is_looked_at_at_once(void **state)
{
	(void)state;
	assert_int_equal(pm_pause_ms(MIB, 8 * MS, 2 * MIB), 2);
	assert_int_equal(pm_pause_ms(MIB, 8 * MS, 2 * MIB - 1), 0);
	assert_int_equal(pm_pause_ms(MIB, 8 * MS, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_eighth_of_the_buffer_fills),
		cmocka_unit_test(a_busy_interface_is_left_alone),
		cmocka_unit_test(a_quiet_one_is_not),
		cmocka_unit_test(nothing_follows_from_no_look),
		cmocka_unit_test(a_small_buffer_is_looked_at_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
