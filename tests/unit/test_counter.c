/* SPDX-License-Identifier: MIT */
/* Counters of the system that are narrower than ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "counter.h"

static void a_counter_is_right_over_its_wraps(void **state)
{
	uint32_t before = 4000000000;
	uint64_t truth = before, sum = before;

	(void)state;
	/* steps of up to a whole turn less one */
	for (uint64_t step = 1; step < UINT32_MAX; step = step * 7 + 3) {
		truth += step;
		sum += pm_counter_growth(&before, (uint32_t)truth);
		assert_true(sum == truth);
	}
	assert_true(truth > 3 * (uint64_t)UINT32_MAX / 2);
	assert_int_equal(pm_counter_growth(&before, before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_is_right_over_its_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
