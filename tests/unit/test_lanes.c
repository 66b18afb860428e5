/* SPDX-License-Identifier: MIT */
/* Several meters of one interface: their joined tallies are what one meter would have made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/meter.h"
#include "sums.h"
#include "traffic.h"

#define LANES_MOST 5
#define INTERVAL (10 * SECOND)
#define GRACE (SECOND / 10)
#define UDP_PROTOCOL 17

static const struct pm_source source = { .name = "test", .snaplen = -1, .live = true };

/* One meter that sees all, and several that share the same frames. */
struct bench {
	size_t n;
	struct pm_meter *alone, *meters[LANES_MOST];
	struct pm_lanes *lanes;
	struct pm_rules *rules;
	uint32_t random;
	int64_t now;
	uint64_t sent;
	struct pm_record *sums[2]; /* of the one, of the lanes */
	uint64_t records[2], merged[2];
	int64_t end; /* of the last record of the lanes */
	bool overlap;
};

static uint32_t next(struct bench *b)
{
	b->random = b->random * 1664525 + 1013904223;
	return b->random >> 8;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static struct pm_meter *meter(struct bench *b)
{
	struct pm_meter_options options = {
		.interval_ns = INTERVAL,
		.grace_ns = GRACE,
		.live = true,
		.rules = b->rules,
		.closed = nothing,
	};
	struct pm_meter *made = NULL;

	assert_int_equal(pm_meter_new(&options, &made), PM_OK);
	pm_meter_tick(made, b->now);
	return made;
}

static void bench_init(struct bench *b, size_t n, uint32_t random)
{
	memset(b, 0, sizeof *b);
	b->n = n;
	b->random = random;
	b->now = 3 * SECOND;
	b->end = PM_TIME_MIN;
	b->rules = traffic_rules("alpha 53/udp\nbeta 80/udp\n", 1);
	b->alone = meter(b);
	for (size_t i = 0; i < n; i++)
		b->meters[i] = meter(b);
	assert_int_equal(pm_lanes_new(b->meters, n, &b->lanes), PM_OK);
}

static void note(struct bench *b, int which, struct pm_tally *tally)
{
	struct pm_record *record;

	assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
	assert_null(sums_problem(record));
	assert_int_equal(record->seq, ++b->records[which]);
	b->merged[which] += record->merged;
	if (which == 1) {
		b->overlap |= record->interval.start_ns < b->end;
		b->end = record->interval.end_ns;
	}
	assert_int_equal(pm_record_add(&b->sums[which], record), PM_OK);
	pm_record_free(record);
}

static void collect(struct bench *b)
{
	struct pm_tally *tally;

	while ((tally = pm_meter_take(b->alone)) != NULL) {
		note(b, 0, tally);
		pm_meter_give(b->alone, tally);
	}
	while ((tally = pm_lanes_take(b->lanes)) != NULL) {
		note(b, 1, tally);
		pm_lanes_give(b->lanes, tally);
	}
}

static void send(struct bench *b, size_t lane)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, UDP_PROTOCOL, 40000 + next(b) % 50,
					    next(b) % 2 ? 53 : 80, b->now);

	b->sent++;
	frame.number = b->sent;
	pm_meter_frame(b->alone, &frame);
	pm_meter_frame(b->meters[lane], &frame);
}

static void cut(struct bench *b)
{
	pm_meter_cut(b->alone, b->now);
	for (size_t i = 0; i < b->n; i++)
		pm_meter_cut(b->meters[i], b->now);
}

static void finish(struct bench *b)
{
	pm_meter_finish(b->alone, b->now, false);
	for (size_t i = 0; i < b->n; i++)
		pm_meter_finish(b->meters[i], b->now, false);
	collect(b);
	assert_null(pm_lanes_take(b->lanes));
}

/* Whatever the records are, they add up to the same. */
static void bench_end(struct bench *b)
{
	finish(b);
	for (int which = 0; which < 2; which++) {
		assert_null(sums_problem(b->sums[which]));
		assert_int_equal(b->sums[which]->totals.packets, b->sent);
	}
	assert_int_equal(b->sums[0]->n_ports, b->sums[1]->n_ports);
	for (size_t i = 0; i < b->sums[0]->n_ports; i++) {
		const struct pm_port_row *a = &b->sums[0]->ports[i], *c = &b->sums[1]->ports[i];

		assert_int_equal(a->port, c->port);
		assert_true(sums_equal(a->src, c->src) && sums_equal(a->dst, c->dst));
	}
	pm_lanes_free(b->lanes);
	pm_meter_free(b->alone);
	for (size_t i = 0; i < b->n; i++)
		pm_meter_free(b->meters[i]);
	pm_record_free(b->sums[0]);
	pm_record_free(b->sums[1]);
	pm_rules_unref(b->rules);
}

static void shared_frames_make_the_same_records(void **state)
{
	(void)state;
	for (size_t n = 1; n <= LANES_MOST; n++) {
		struct bench b;

		bench_init(&b, n, (uint32_t)n);
		for (int i = 0; i < 3000; i++) {
			b.now += next(&b) % 1000 * (SECOND / 5000);
			send(&b, next(&b) % n);
			pm_meter_tick(b.alone, b.now);
			for (size_t lane = 0; lane < n; lane++)
				pm_meter_tick(b.meters[lane], b.now);
			if (i % 500 == 250)
				cut(&b);
			collect(&b);
		}
		bench_end(&b);
		assert_int_equal(b.records[0], b.records[1]);
		assert_int_equal(b.merged[1], b.records[1]);
		assert_int_equal(b.merged[0], b.merged[1]);
		assert_false(b.overlap);
	}
}

static void an_interval_waits_for_the_last_of_them(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 3, 1);
	for (size_t lane = 0; lane < 3; lane++)
		send(&b, lane);
	b.now = 10 * SECOND + GRACE;
	pm_meter_tick(b.alone, b.now);
	pm_meter_tick(b.meters[2], b.now);
	pm_meter_tick(b.meters[0], b.now);
	collect(&b);
	assert_int_equal(b.records[0], 1);
	assert_int_equal(b.records[1], 0);
	pm_meter_tick(b.meters[1], b.now);
	collect(&b);
	assert_int_equal(b.records[1], 1);
	assert_int_equal(b.sums[1]->totals.packets, 3);
	bench_end(&b);
}

/* Of lanes that are not closed, one merges intervals: the others' are joined with them. */
static void a_lane_that_had_to_merge_takes_the_others_along(void **state)
{
	for (uint32_t seed = 1; seed <= 15; seed++) {
		struct bench b;

		(void)state;
		bench_init(&b, 3, seed);
		for (int i = 0; i < 400; i++) {
			/* each is behind at times, as a thread that does not get the processor */
			size_t behind = (size_t)i / 90 % 4;
			size_t lane = next(&b) % 3;

			b.now += next(&b) % 1000 * (SECOND / 1000);
			send(&b, lane != behind ? lane : (lane + 1) % 3);
			pm_meter_tick(b.alone, b.now);
			for (lane = 0; lane < 3; lane++)
				if (lane != behind)
					pm_meter_tick(b.meters[lane], b.now);
			if (next(&b) % 50 == 0)
				collect(&b);
		}
		for (size_t lane = 0; lane < 3; lane++)
			pm_meter_tick(b.meters[lane], b.now);
		bench_end(&b);
		assert_int_equal(b.merged[0], b.merged[1]);
		assert_false(b.overlap);
	}
}

static void the_merged_count_is_that_of_intervals_and_not_of_lanes(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 4, 1);
	for (int i = 0; i < 50; i++) {
		b.now += INTERVAL;
		send(&b, (size_t)i % 4);
		pm_meter_tick(b.alone, b.now + GRACE);
		for (size_t lane = 0; lane < 4; lane++)
			pm_meter_tick(b.meters[lane], b.now + GRACE);
	}
	collect(&b);
	assert_true(b.records[1] < 10);
	bench_end(&b);
	assert_int_equal(b.merged[1], 51);
}

/* One lane is held up while rules change, and is late with them: records of their own, no loss. */
static void tallies_of_other_rules_are_not_joined(void **state)
{
	struct pm_rules *others = traffic_rules("renamed 53/udp\n", 2);
	struct bench b;

	(void)state;
	bench_init(&b, 2, 1);
	send(&b, 0);
	send(&b, 1);
	pm_meter_set_rules(b.meters[0], others, PM_TIME_MIN);
	for (int i = 0; i < 4; i++) {
		struct pm_tally *tally;

		b.now += INTERVAL;
		for (size_t lane = 0; lane < 2; lane++)
			pm_meter_tick(b.meters[lane], b.now);
		send(&b, 0);
		send(&b, 1);
		if (i == 1)
			pm_meter_set_rules(b.meters[1], others, PM_TIME_MIN);
		while (i > 2 && (tally = pm_lanes_take(b.lanes)) != NULL) {
			note(&b, 1, tally);
			pm_lanes_give(b.lanes, tally);
		}
	}
	assert_true(b.records[1] >= 2);
	pm_meter_set_rules(b.alone, others, PM_TIME_MIN);
	pm_rules_unref(others);
	bench_end(&b);
}

/* Rules that are due at a time hold from the first interval on that begins then. */
static void rules_change_at_their_time(void **state)
{
	struct pm_rules *others = traffic_rules("renamed 53/udp\n", 2);
	struct bench b;
	uint64_t generations[8], n = 0;

	(void)state;
	bench_init(&b, 2, 1);
	for (size_t lane = 0; lane < 2; lane++)
		pm_meter_set_rules(b.meters[lane], others, 30 * SECOND);
	for (int i = 0; i < 5; i++) {
		struct pm_tally *tally;

		b.now += INTERVAL;
		for (size_t lane = 0; lane < 2; lane++)
			pm_meter_tick(b.meters[lane], b.now);
		while ((tally = pm_lanes_take(b.lanes)) != NULL) {
			assert_true(n < 8);
			generations[n++] = pm_rules_generation(tally->rules);
			assert_int_equal(generations[n - 1],
					 tally->interval.start_ns >= 30 * SECOND ? 2 : 1);
			pm_lanes_give(b.lanes, tally);
		}
	}
	assert_int_equal(n, 5);
	assert_int_equal(generations[4], 2);
	pm_lanes_free(b.lanes);
	pm_meter_free(b.alone);
	pm_meter_free(b.meters[0]);
	pm_meter_free(b.meters[1]);
	pm_rules_unref(b.rules);
	pm_rules_unref(others);
}

static void too_few_and_too_many_are_invalid(void **state)
{
	struct pm_lanes *lanes = NULL;

	(void)state;
	assert_int_equal(pm_lanes_new(NULL, 0, &lanes), PM_E_INVALID);
	assert_int_equal(pm_lanes_new(NULL, PM_CAPTURE_THREADS + 1, &lanes), PM_E_INVALID);
	assert_null(lanes);
	pm_lanes_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_frames_make_the_same_records),
		cmocka_unit_test(an_interval_waits_for_the_last_of_them),
		cmocka_unit_test(a_lane_that_had_to_merge_takes_the_others_along),
		cmocka_unit_test(the_merged_count_is_that_of_intervals_and_not_of_lanes),
		cmocka_unit_test(tallies_of_other_rules_are_not_joined),
		cmocka_unit_test(rules_change_at_their_time),
		cmocka_unit_test(too_few_and_too_many_are_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
