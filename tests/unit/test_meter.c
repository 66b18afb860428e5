/* SPDX-License-Identifier: MIT */
/* The engine: which interval a frame counts in, what an interval says of itself, and that nothing
 * is lost. */
#include <pthread.h>
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

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define RECORDS 64
#define FRAMES 512
#define UDP_PROTOCOL 17

static const char first_rules[] = "alpha 53/udp\nbeta 80/tcp\ngamma 81/tcp\ndelta 82/tcp\nomega 7000/udp\n";
static const char second_rules[] = "renamed 53/udp\n";

static const struct pm_source source = { .name = "test", .snaplen = -1 };

struct bench {
	struct pm_meter *meter;
	struct pm_rules *rules;
	bool stalled; /* the reporter takes nothing */
	uint64_t sent;
	struct pm_record *records[RECORDS];
	size_t n;
	unsigned fates[FRAMES + 1]; /* reports by frame number */
	struct pm_frame_report last;
};

static void collect(struct bench *b)
{
	struct pm_tally *tally;

	while ((tally = pm_meter_take(b->meter)) != NULL) {
		assert_true(b->n < RECORDS);
		assert_int_equal(pm_record_new(tally, &source, &b->records[b->n]), PM_OK);
		pm_meter_give(b->meter, tally);
		b->n++;
	}
}

static void on_closed(void *ctx)
{
	struct bench *b = ctx;

	if (!b->stalled)
		collect(b);
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct bench *b = ctx;

	assert_in_range(report->number, 1, FRAMES);
	b->fates[report->number]++;
	b->last = *report;
}

static void bench_init(struct bench *b, int64_t interval_ns, bool live)
{
	struct pm_meter_options options = {
		.interval_ns = interval_ns,
		.grace_ns = live ? SECOND / 10 : 0,
		.live = live,
		.closed = on_closed,
		.frame = on_fate,
		.ctx = b,
	};

	memset(b, 0, sizeof *b);
	b->rules = traffic_rules(first_rules, 1);
	assert_non_null(b->rules);
	options.rules = b->rules;
	assert_int_equal(pm_meter_new(&options, &b->meter), PM_OK);
}

static void send_bytes(struct bench *b, struct pm_frame frame)
{
	frame.number = ++b->sent;
	pm_meter_frame(b->meter, &frame);
}

static void send_ports(struct bench *b, int64_t time_ns, unsigned src_port, unsigned dst_port)
{
	uint8_t bytes[TRAFFIC_SIZE];

	send_bytes(b, traffic_ip4(bytes, UDP_PROTOCOL, src_port, dst_port, time_ns));
}

static void send(struct bench *b, int64_t time_ns)
{
	send_ports(b, time_ns, 40000, 53);
}

static void send_fragment(struct bench *b, int64_t time_ns, uint8_t protocol, unsigned id,
			  unsigned offset)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, protocol, 40000, 53, time_ns);

	traffic_fragment(bytes, id, offset, offset == 0);
	send_bytes(b, frame);
}

/* Whatever happened: sums close, seq rises, each frame is in one record and has had one fate. */
static void nothing_is_lost(struct bench *b)
{
	uint64_t counted = 0;

	for (size_t i = 0; i < b->n; i++) {
		assert_null(sums_problem(b->records[i]));
		assert_int_equal(b->records[i]->seq, i + 1);
		counted += b->records[i]->totals.packets;
	}
	assert_int_equal(counted, b->sent);
	assert_int_equal(pm_meter_frames(b->meter), b->sent);
	for (uint64_t number = 1; number <= b->sent && b->sent <= FRAMES; number++)
		assert_int_equal(b->fates[number], 1);
}

static void bench_free(struct bench *b)
{
	for (size_t i = 0; i < b->n; i++)
		pm_record_free(b->records[i]);
	pm_meter_free(b->meter);
	pm_rules_unref(b->rules);
}

static void bench_end(struct bench *b)
{
	nothing_is_lost(b);
	bench_free(b);
}

/* Times in tenths of a second, so that tables stay readable. */
#define TENTH (SECOND / 10)
#define END INT64_MIN

struct expected {
	int64_t start, end; /* tenths */
	bool partial;
	unsigned packets, late;
};

/* Frames of a file with an interval of 10 s, and the records that they make. */
struct interval_case {
	const char *name;
	int64_t times[10];
	struct expected records[6];
};

static const struct interval_case intervals[] = {
	{ "intervals are aligned and half-open",
	  { 100, 199, 200, 299, 300, 305, END },
	  { { 100, 200, false, 2, 0 }, { 200, 300, false, 2, 0 }, { 300, 305, true, 2, 0 } } },
	{ "the input's first frame is the true start",
	  { 123, 150, 210, END },
	  { { 123, 200, true, 2, 0 }, { 210 - 10, 210, true, 1, 0 } } },
	{ "a frame of the interval before counts as late in the open one",
	  { 100, 150, 99, 0, 160, END },
	  { { 100, 160, true, 5, 2 } } },
	{ "a frame of two intervals before opens its own",
	  { 100, 150, -1, END },
	  { { 100, 200, false, 2, 0 }, { -100, -1, true, 1, 0 } } },
	{ "a late frame moves no bound",
	  { 100, 205, 199, 209, END },
	  { { 100, 200, false, 1, 0 }, { 200, 209, true, 3, 1 } } },
	{ "a bogus time stamp costs one record",
	  { 100, 110, 90000000, 120, 130, END },
	  { { 100, 200, false, 2, 0 },
	    { 90000000, 90000100, false, 1, 0 },
	    { 100, 130, true, 2, 0 } } },
	{ "a gap prints nothing",
	  { 100, 86500, END },
	  { { 100, 200, false, 1, 0 }, { 86500, 86500, true, 1, 0 } } },
	{ "time stamps before the epoch are floored, not cut",
	  { -150, -101, -100, -1, 0, END },
	  { { -150, -100, true, 2, 0 }, { -100, 0, false, 2, 0 }, { 0, 0, true, 1, 0 } } },
	{ "one frame is an interval of no length", { 105, END }, { { 105, 105, true, 1, 0 } } },
	{ "no frame gives no record", { END }, { { 0, 0, false, 0, 0 } } },
};

static void records_are(const struct bench *b, const struct expected *expected)
{
	size_t n = 0;

	for (; expected[n].packets; n++) {
		const struct pm_record *record = b->records[n];

		assert_true(n < b->n);
		assert_int_equal(record->totals.packets, expected[n].packets);
		assert_int_equal(record->interval.start_ns / TENTH, expected[n].start);
		assert_int_equal(record->interval.end_ns / TENTH, expected[n].end);
		assert_int_equal(record->interval.partial, expected[n].partial);
		assert_int_equal(record->interval.late, expected[n].late);
		assert_int_equal(record->merged, 1);
	}
	assert_int_equal(b->n, n);
}

static void interval_case_holds(void **state)
{
	const struct interval_case *row = *state;
	struct bench b;

	bench_init(&b, 10 * SECOND, false);
	for (size_t i = 0; row->times[i] != END; i++)
		send(&b, row->times[i] * TENTH);
	pm_meter_finish(b.meter, 0, true);
	records_are(&b, row->records);
	bench_end(&b);
}

static void a_cut_gives_true_bounds_on_both_sides(void **state)
{
	static const struct expected expected[] = { { 110, 130, true, 2, 0 },
						    { 130, 200, true, 2, 1 },
						    { 200, 200, true, 1, 0 },
						    { 0, 0, false, 0, 0 } };
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	pm_meter_cut(b.meter, 0); /* nothing is open: nothing to cut */
	send(&b, 110 * TENTH);
	send(&b, 130 * TENTH);
	pm_meter_cut(b.meter, 0);
	send(&b, 120 * TENTH);
	send(&b, 130 * TENTH);
	send(&b, 200 * TENTH);
	pm_meter_finish(b.meter, 0, true);
	records_are(&b, expected);
	bench_end(&b);
}

static void an_interval_of_0_holds_everything(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 0, false);
	send(&b, 5 * SECOND);
	send(&b, INT64_MAX);
	send(&b, 3 * SECOND);
	send(&b, INT64_MIN);
	send(&b, -1);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 1);
	assert_true(b.records[0]->interval.start_ns == INT64_MIN);
	assert_true(b.records[0]->interval.end_ns == INT64_MAX);
	assert_false(b.records[0]->interval.partial);
	assert_int_equal(b.records[0]->interval.late, 0);
	bench_end(&b);
}

static void an_interval_of_0_that_was_stopped_is_partial(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 0, false);
	send(&b, 5 * SECOND);
	send(&b, 7 * SECOND);
	pm_meter_finish(b.meter, 0, false);
	assert_int_equal(b.n, 1);
	assert_true(b.records[0]->interval.partial);
	assert_true(b.records[0]->interval.start_ns == 5 * SECOND);
	assert_true(b.records[0]->interval.end_ns == 7 * SECOND);
	bench_end(&b);
}

static void an_interval_of_0_can_be_cut(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 0, false);
	send(&b, 5 * SECOND);
	send(&b, 7 * SECOND);
	pm_meter_cut(b.meter, 0);
	send(&b, 9 * SECOND);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 2);
	assert_true(b.records[0]->interval.partial);
	assert_true(b.records[0]->interval.end_ns == 7 * SECOND);
	assert_true(b.records[1]->interval.start_ns == 7 * SECOND);
	assert_true(b.records[1]->interval.end_ns == 9 * SECOND);
	bench_end(&b);
}

static void the_ends_of_time_close_no_interval_twice(void **state)
{
	struct bench b;

	(void)state;
	for (int64_t length = 1; length < INT64_MAX / 1000; length *= 1000) {
		bench_init(&b, length, false);
		for (int i = 0; i < 3; i++)
			send(&b, INT64_MAX);
		for (int i = 0; i < 3; i++)
			send(&b, INT64_MIN);
		send(&b, INT64_MAX);
		send(&b, 0);
		pm_meter_finish(b.meter, 0, true);
		assert_int_equal(b.n, 4);
		assert_int_equal(b.records[0]->totals.packets, 3);
		assert_int_equal(b.records[1]->totals.packets, 3);
		bench_end(&b);
	}
}

/* Live: the clock opens and closes. */
struct live_step {
	enum { OVER, TICK, FRAME, CUT, FINISH } what;
	int64_t time; /* tenths: of the clock, or of the frame */
};

struct live_case {
	const char *name;
	struct live_step steps[12];
	struct expected records[6]; /* @packets is one more than there are */
};

static const struct live_case lives[] = {
	{ "a live start is partial, from the start on",
	  { { TICK, 125 }, { FRAME, 130 }, { TICK, 201 }, { FINISH, 250 } },
	  { { 125, 200, true, 2, 0 }, { 200, 250, true, 1, 0 } } },
	{ "the clock closes an interval one grace time after its end, not before",
	  { { TICK, 100 }, { TICK, 200 }, { FRAME, 199 }, { TICK, 201 }, { FINISH, 210 } },
	  { { 100, 200, false, 2, 0 }, { 200, 210, true, 1, 0 } } },
	{ "idle intervals have records",
	  { { TICK, 100 }, { TICK, 201 }, { TICK, 301 }, { TICK, 401 }, { FINISH, 410 } },
	  { { 100, 200, false, 1, 0 },
	    { 200, 300, false, 1, 0 },
	    { 300, 400, false, 1, 0 },
	    { 400, 410, true, 1, 0 } } },
	{ "a frame of the next interval closes the open one at once",
	  { { TICK, 100 }, { FRAME, 150 }, { FRAME, 200 }, { TICK, 200 }, { FINISH, 210 } },
	  { { 100, 200, false, 2, 0 }, { 200, 210, true, 2, 0 } } },
	{ "a frame that comes after its interval was closed is late",
	  { { TICK, 100 }, { TICK, 201 }, { FRAME, 199 }, { FINISH, 210 } },
	  { { 100, 200, false, 1, 0 }, { 200, 210, true, 2, 1 } } },
	{ "a tick that comes late gives the silent intervals their records",
	  { { TICK, 100 }, { TICK, 425 }, { FINISH, 430 } },
	  { { 100, 200, false, 1, 0 },
	    { 200, 300, false, 1, 0 },
	    { 300, 400, false, 1, 0 },
	    { 400, 430, true, 1, 0 } } },
	{ "a long sleep skips what nobody saw",
	  { { TICK, 100 }, { TICK, 955 }, { FINISH, 960 } },
	  { { 100, 200, false, 1, 0 }, { 900, 960, true, 1, 0 } } },
	{ "a clock set far back does not make the meter mute",
	  { { TICK, 1000 },
	    { FRAME, 1010 },
	    { TICK, 505 },
	    { FRAME, 506 },
	    { TICK, 601 },
	    { FINISH, 610 } },
	  { { 1000, 1100, false, 2, 0 }, { 500, 600, false, 2, 0 }, { 600, 610, true, 1, 0 } } },
	{ "a clock set back by less than an interval keeps the open one",
	  { { TICK, 1000 }, { TICK, 950 }, { FRAME, 951 }, { TICK, 1101 }, { FINISH, 1110 } },
	  { { 1000, 1100, false, 2, 1 }, { 1100, 1110, true, 1, 0 } } },
	{ "a cut under a clock set back ends no earlier than it began",
	  { { TICK, 900 }, { TICK, 1001 }, { TICK, 950 }, { CUT, 950 }, { FINISH, 1010 } },
	  { { 900, 1000, false, 1, 0 }, { 1000, 1000, true, 1, 0 }, { 1000, 1010, true, 1, 0 } } },
	{ "a stop under a clock set back ends no earlier than the first frame, which came first",
	  { { FRAME, 1007 }, { FINISH, 1003 } },
	  { { 1007, 1007, true, 2, 0 } } },
	{ "a bogus time stamp costs one record live, too",
	  { { TICK, 100 }, { FRAME, 9000000 }, { TICK, 110 }, { FRAME, 120 }, { FINISH, 130 } },
	  { { 100, 200, false, 1, 0 },
	    { 9000000, 9000100, false, 2, 0 },
	    { 100, 130, true, 2, 0 } } },
	{ "a live cut ends now",
	  { { TICK, 100 }, { FRAME, 110 }, { CUT, 150 }, { TICK, 201 }, { FINISH, 210 } },
	  { { 100, 150, true, 2, 0 }, { 150, 200, true, 1, 0 }, { 200, 210, true, 1, 0 } } },
	{ "a stop before the first frame gives an empty record",
	  { { TICK, 105 }, { FINISH, 107 } },
	  { { 105, 107, true, 1, 0 } } },
};

static void live_case_holds(void **state)
{
	const struct live_case *row = *state;
	struct expected expected[COUNT(row->records)];
	struct bench b;

	bench_init(&b, 10 * SECOND, true);
	for (const struct live_step *step = row->steps; step->what != OVER; step++) {
		int64_t time_ns = step->time * TENTH;

		if (step->what == TICK)
			pm_meter_tick(b.meter, time_ns);
		else if (step->what == FRAME)
			send(&b, time_ns);
		else if (step->what == CUT)
			pm_meter_cut(b.meter, time_ns);
		else
			pm_meter_finish(b.meter, time_ns, false);
	}
	for (size_t i = 0; i < b.n; i++) /* records_are stops at the first without packets */
		b.records[i]->totals.packets++;
	memcpy(expected, row->records, sizeof expected);
	records_are(&b, expected);
	for (size_t i = 0; i < b.n; i++)
		b.records[i]->totals.packets--;
	bench_end(&b);
}

static void the_deadline_is_the_end_and_the_grace_time(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, true);
	assert_true(pm_meter_deadline(b.meter) == PM_TIME_MAX);
	pm_meter_tick(b.meter, 12 * SECOND);
	assert_true(pm_meter_deadline(b.meter) == 20 * SECOND + SECOND / 10);
	pm_meter_tick(b.meter, pm_meter_deadline(b.meter) - 1);
	assert_int_equal(b.n, 0);
	pm_meter_tick(b.meter, pm_meter_deadline(b.meter));
	assert_int_equal(b.n, 1);
	bench_end(&b);
	bench_init(&b, 0, true);
	pm_meter_tick(b.meter, 12 * SECOND);
	assert_true(pm_meter_deadline(b.meter) == PM_TIME_MAX);
	pm_meter_tick(b.meter, PM_TIME_MAX);
	assert_int_equal(b.n, 0);
	pm_meter_finish(b.meter, 13 * SECOND, false);
	assert_int_equal(b.n, 1);
	assert_true(b.records[0]->interval.start_ns == 12 * SECOND);
	assert_true(b.records[0]->interval.end_ns == 13 * SECOND);
	assert_true(b.records[0]->interval.partial);
	bench_end(&b);
}

/* Time ends within an interval, which has its very last moment too. */
static void no_interval_comes_after_the_last_moment(void **state)
{
	uint64_t frames = 0;
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, true);
	send(&b, PM_TIME_MAX - 25 * SECOND);
	send(&b, PM_TIME_MAX);
	pm_meter_tick(b.meter, PM_TIME_MAX);
	send(&b, PM_TIME_MAX);
	assert_int_equal(b.n, 2);
	pm_meter_finish(b.meter, PM_TIME_MAX, false);
	assert_int_equal(b.n, 3);
	for (size_t i = 0; i < b.n; i++) {
		int64_t end = i + 1 < b.n ? b.records[i + 1]->interval.start_ns : PM_TIME_MAX;

		assert_true(b.records[i]->interval.end_ns == end);
		frames += b.records[i]->totals.packets;
	}
	assert_int_equal(frames, 3);
	bench_end(&b);
}

static void set_rules(struct bench *b, const char *text, uint64_t generation)
{
	struct pm_rules *rules = traffic_rules(text, generation);

	assert_non_null(rules);
	pm_meter_set_rules(b->meter, rules, PM_TIME_MIN);
	pm_rules_unref(rules);
}

static void label_is(const struct pm_record *record, uint64_t generation, const char *service)
{
	assert_int_equal(pm_rules_generation(record->rules), generation);
	assert_int_equal(record->n_services, 1);
	assert_string_equal(record->services[0].service, service);
}

static void new_rules_hold_from_the_boundary_on(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	send(&b, 10 * SECOND);
	set_rules(&b, "passed-over 53/udp\n", 2);
	set_rules(&b, second_rules, 3);
	send(&b, 11 * SECOND);
	send(&b, 20 * SECOND);
	send(&b, 30 * SECOND);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 3);
	label_is(b.records[0], 1, "alpha");
	assert_int_equal(b.records[0]->services[0].count.packets, 2);
	label_is(b.records[1], 3, "renamed");
	label_is(b.records[2], 3, "renamed");
	bench_end(&b);
}

static void a_cut_is_a_boundary_for_rules(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 0, false);
	send(&b, 10 * SECOND);
	set_rules(&b, second_rules, 2);
	pm_meter_cut(b.meter, 0);
	send(&b, 11 * SECOND);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 2);
	label_is(b.records[0], 1, "alpha");
	label_is(b.records[1], 2, "renamed");
	bench_end(&b);
}

/* A first fragment's decision names a service of the old set; what follows it counts by the new. */
static void a_fragment_behind_new_rules_counts_by_them(void **state)
{
	struct bench b;
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, UDP_PROTOCOL, 40000, 7000, 10 * SECOND);

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	traffic_fragment(bytes, 7, 0, true);
	send_bytes(&b, frame);
	set_rules(&b, "renamed 7000/udp\n", 2);
	traffic_fragment(bytes, 7, 1, false);
	frame.time_ns = 20 * SECOND;
	send_bytes(&b, frame);
	set_rules(&b, "domain 53/udp\n", 3);
	frame.time_ns = 30 * SECOND;
	send_bytes(&b, frame);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 3);
	label_is(b.records[0], 1, "omega");
	label_is(b.records[1], 2, "renamed");
	assert_int_equal(b.records[2]->n_services, 0);
	assert_int_equal(b.records[2]->unknown.count.packets, 1);
	assert_int_equal(b.records[2]->unknown.side_by[PM_RUNG_EPHEMERAL], 1);
	bench_end(&b);
}

static uint64_t merged(const struct bench *b)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->n; i++)
		sum += b->records[i]->merged;
	return sum;
}

static void a_stalled_reporter_gets_merged_intervals(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	b.stalled = true;
	for (int i = 0; i < 100; i++)
		send(&b, i * 10 * SECOND + i);
	pm_meter_finish(b.meter, 0, true);
	collect(&b);
	assert_in_range(b.n, 1, 3);
	assert_int_equal(merged(&b), 100);
	assert_int_equal(b.records[0]->interval.start_ns, 0);
	assert_true(b.records[b.n - 1]->interval.end_ns >= 990 * SECOND);
	bench_end(&b);
}

static void a_reporter_that_stalls_for_a_while_misses_nothing(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	for (int i = 0; i < 60; i++) {
		b.stalled = i % 20 >= 10;
		send(&b, i * 10 * SECOND);
		send(&b, i * 10 * SECOND + 1);
	}
	b.stalled = false;
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(merged(&b), 60);
	bench_end(&b);
}

static void a_stalled_reporter_does_not_mix_rules(void **state)
{
	static const char *const texts[] = { first_rules, second_rules };
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	b.stalled = true;
	for (int i = 0; i < 40; i++) {
		if (i % 5 == 4)
			set_rules(&b, texts[i / 5 % 2], (uint64_t)i + 2);
		send(&b, i * 10 * SECOND);
	}
	pm_meter_finish(b.meter, 0, true);
	collect(&b);
	assert_int_equal(merged(&b), 40);
	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(b.records[i]->n_services, 1);
	bench_end(&b);
}

/* All tallies are out: the running one grows over its intervals. */
static void a_reporter_that_gives_nothing_back_loses_nothing(void **state)
{
	struct pm_tally *kept[8];
	size_t n = 0;
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	b.stalled = true;
	for (int i = 0; i < 20; i++) {
		bool back = i % 10 == 7 || i == 19; /* the clock jumps back */

		send(&b, (back ? 1 : i) * 10 * SECOND);
		while (n < COUNT(kept) && (kept[n] = pm_meter_take(b.meter)) != NULL)
			n++;
	}
	pm_meter_finish(b.meter, 0, true);
	assert_in_range(n, 1, 6);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(pm_record_new(kept[i], &source, &b.records[b.n++]), PM_OK);
		pm_meter_give(b.meter, kept[i]);
	}
	collect(&b);
	assert_true(b.records[b.n - 1]->merged > 10); /* its bounds are those of all it holds */
	assert_true(b.records[b.n - 1]->interval.start_ns == 10 * SECOND);
	assert_true(b.records[b.n - 1]->interval.end_ns == 190 * SECOND);
	bench_end(&b);
}

static void a_frame_has_one_fate_however_it_is_fragmented(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	send_fragment(&b, 10 * SECOND, UDP_PROTOCOL, 1, 1); /* waits */
	send_fragment(&b, 10 * SECOND, UDP_PROTOCOL, 1, 2); /* waits */
	send_fragment(&b, 10 * SECOND, UDP_PROTOCOL, 1, 0); /* settles all three */
	assert_int_equal(b.fates[1], 1);
	assert_int_equal(b.fates[2], 1);
	send_fragment(&b, 11 * SECOND, UDP_PROTOCOL, 1, 3); /* known */
	send_fragment(&b, 11 * SECOND, UDP_PROTOCOL, 2, 1); /* never settled */
	assert_int_equal(b.fates[5], 0);
	send_fragment(&b, 12 * SECOND, 1, 3, 1); /* icmp */
	assert_int_equal(b.fates[6], 1);
	assert_int_equal(b.last.verdict, PM_VERDICT_NO_PORTS_PROTOCOL);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.records[0]->services[0].count.packets, 4);
	assert_int_equal(b.records[0]->services[0].count.bytes, 4 * TRAFFIC_SIZE);
	assert_int_equal(b.records[0]->n_no_port, 2);
	bench_end(&b);
}

static uint64_t orphans(const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_no_port; i++)
		if (record->no_port[i].reason == PM_VERDICT_FRAGMENT)
			return record->no_port[i].count.packets;
	return 0;
}

static void a_fragment_whose_first_comes_in_the_next_interval_is_an_orphan(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	send_fragment(&b, 10 * SECOND, UDP_PROTOCOL, 1, 1);
	send_fragment(&b, 20 * SECOND, UDP_PROTOCOL, 1, 0);
	send_fragment(&b, 21 * SECOND, UDP_PROTOCOL, 1, 2);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 2);
	assert_int_equal(orphans(b.records[0]), 1);
	assert_int_equal(b.records[0]->n_services, 0);
	assert_int_equal(orphans(b.records[1]), 0);
	assert_int_equal(b.records[1]->services[0].count.packets, 2);
	bench_end(&b);
}

static void a_fragment_whose_first_came_in_the_interval_before_is_known(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	send_fragment(&b, 19 * SECOND, UDP_PROTOCOL, 1, 0);
	send_fragment(&b, 20 * SECOND, UDP_PROTOCOL, 1, 1);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(orphans(b.records[i]), 0);
		assert_int_equal(b.records[i]->services[0].count.packets, 1);
	}
	bench_end(&b);
}

static void a_fragment_inherits_the_facets_of_its_first(void **state)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, UDP_PROTOCOL, 0, 53, 10 * SECOND);
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	traffic_fragment(bytes, 1, 0, true);
	send_bytes(&b, frame);
	traffic_fragment(bytes, 1, 1, false);
	send_bytes(&b, frame);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.records[0]->facets[PM_FACET_UDP_SOURCE_PORT_ZERO].packets, 2);
	assert_int_equal(b.records[0]->services[0].side_by[PM_RUNG_ZERO], 2);
	bench_end(&b);
}

static void a_frame_counts_by_its_wire_bytes_and_shows_as_snapped(void **state)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, UDP_PROTOCOL, 40000, 53, 10 * SECOND);
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	frame.held = 24;
	frame.wire = 1514;
	send_bytes(&b, frame);
	frame.held = 23; /* one byte of the ports is missing */
	send_bytes(&b, frame);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.records[0]->totals.bytes, 2 * 1514);
	assert_int_equal(b.records[0]->snapped, 2);
	assert_int_equal(b.records[0]->services[0].count.bytes, 1514);
	assert_int_equal(b.records[0]->no_port[0].reason, PM_VERDICT_HEADER_TRUNCATED);
	bench_end(&b);
}

/* A segment between host @n and a server of its own; @back: from there. */
static void send_segment(struct bench *b, unsigned n, uint8_t flags, bool back, int64_t time_ns)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame =
		traffic_ip4(bytes, 6, back ? 80 : 40000, back ? 40000 : 80, time_ns);

	put16(bytes + (back ? 18 : 14), n);
	put16(bytes + (back ? 14 : 18), n);
	bytes[32] = 0x50;
	bytes[33] = flags;
	send_bytes(b, frame);
}

/* With conversations, on an allowance of its own; room for @endpoints, or the default of 0. */
static struct pm_allowance *bench_talk(struct bench *b, size_t endpoints)
{
	struct pm_meter_options options = { .closed = on_closed, .endpoints = endpoints, .ctx = b };
	struct pm_allowance *allowance = NULL;

	b->rules = options.rules = traffic_rules(first_rules, 1);
	assert_int_equal(pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance), PM_OK);
	options.allowance = allowance;
	assert_int_equal(pm_meter_new(&options, &b->meter), PM_OK);
	return allowance;
}

static void what_memory_of_conversations_gives_up_is_told(void **state)
{
	struct bench b = { .stalled = false };
	struct pm_allowance *allowance = bench_talk(&b, 8);
	const struct pm_given_up *given_up;

	(void)state;
	for (unsigned n = 0; n < 100; n++) {
		send_segment(&b, n, PM_TCP_SYN, false, SECOND);
		send_segment(&b, n, PM_TCP_SYN | PM_TCP_ACK, true, SECOND);
		send_segment(&b, n, PM_TCP_ACK, false, SECOND);
	}
	for (unsigned n = 1000; n < 31000; n++)
		send_segment(&b, n, PM_TCP_SYN, false, 2 * SECOND);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 1);
	given_up = &b.records[0]->given_up;
	assert_int_equal(given_up->endpoints, 100 - 8);
	assert_in_range(given_up->handshakes, 30000 - 16384, 20000);
	/* Who nobody answers is remembered by host and by port. */
	assert_in_range(given_up->watched, 10000, 60000);
	assert_null(sums_problem(b.records[0]));
	bench_free(&b);
	pm_allowance_unref(allowance);
}

/* Each counts once as what it was, and makes no scan, however many are slow. */
static void slow_answers_are_none_and_still_sessions(void **state)
{
	struct bench b = { .stalled = false };
	struct pm_allowance *allowance = bench_talk(&b, 0);
	const struct pm_service_row *row;

	(void)state;
	for (unsigned n = 0; n < 40; n++)
		send_segment(&b, n, PM_TCP_SYN, false, SECOND + n);
	for (unsigned n = 0; n < 40; n++) {
		send_segment(&b, n, PM_TCP_SYN | PM_TCP_ACK, true, 5 * SECOND + n);
		send_segment(&b, n, PM_TCP_ACK, false, 5 * SECOND + n);
	}
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.records[0]->n_services, 1);
	row = &b.records[0]->services[0];
	assert_int_equal(row->talk[PM_TALK_SYN], 40);
	assert_int_equal(row->talk[PM_TALK_SESSIONS], 40);
	assert_int_equal(row->talk[PM_TALK_UNANSWERED], 40);
	assert_int_equal(b.records[0]->facets[PM_FACET_PORT_SCAN].packets, 0);
	bench_free(&b);
	pm_allowance_unref(allowance);
}

/* The same in a frame of Ethernet, which has a brief, if that is its link type. */
static void send_on(struct bench *b, uint32_t linktype, uint8_t protocol, unsigned src_port,
		    unsigned dst_port, int64_t time_ns)
{
	uint8_t bytes[14 + TRAFFIC_SIZE] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0 };
	struct pm_frame frame = traffic_ip4(bytes + 14, protocol, src_port, dst_port, time_ns);

	bytes[14 + 32] = 0x50;
	bytes[14 + 33] = PM_TCP_ACK;
	frame.bytes = bytes;
	frame.held += 14;
	frame.wire += 14;
	frame.linktype = linktype;
	send_bytes(b, frame);
}

static void send_ethernet(struct bench *b, uint8_t protocol, unsigned src_port, unsigned dst_port,
			  int64_t time_ns)
{
	send_on(b, 1, protocol, src_port, dst_port, time_ns);
}

/* To port 80 of 198.51.100.@last, or @back from there; of TCP with @flags. */
static void send_web(struct bench *b, enum pm_transport transport, unsigned last, bool back,
		     uint8_t flags)
{
	uint8_t bytes[14 + TRAFFIC_SIZE] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0 };
	uint8_t *ip = bytes + 14;
	struct pm_frame frame = traffic_ip4(ip, traffic_protocol(transport), back ? 80 : 40000,
					    back ? 40000 : 80, SECOND);

	memcpy(ip + (back ? 16 : 12), (uint8_t[4]){ 192, 0, 2, 1 }, 4);
	memcpy(ip + (back ? 12 : 16), (uint8_t[4]){ 198, 51, 100, (uint8_t)last }, 4);
	if (transport == PM_TRANSPORT_TCP) {
		ip[32] = 0x50;
		ip[33] = flags;
	}
	ip[28] |= transport == PM_TRANSPORT_DCCP ? 2 << 1 : 0; /* Data */
	frame.bytes = bytes;
	frame.held += 14;
	frame.wire += 14;
	frame.linktype = 1;
	send_bytes(b, frame);
}

/* The port alone does not tell, whichever of both is asked for its label and however it opens. */
static void a_rule_for_a_host_holds_for_its_frames_alone(void **state)
{
	static const uint8_t flags[][2] = { { PM_TCP_ACK, PM_TCP_ACK },
					    { PM_TCP_SYN, PM_TCP_SYN | PM_TCP_ACK } };

	(void)state;
	for (unsigned way = 0; way < 2 * PM_TRANSPORT_N * 2; way++) {
		enum pm_transport transport = (enum pm_transport)(way / 4);
		bool back = way % 2;
		struct bench b = { .sent = 0 };
		struct pm_meter_options options = { .closed = on_closed, .ctx = &b };
		uint64_t ours = 0, web = 0;

		b.rules = traffic_rules("web 80/tcp/udp/udplite/sctp/dccp\n"
					"ours 80/tcp/udp/udplite/sctp/dccp host=198.51.100.7\n", 1);
		assert_non_null(b.rules);
		options.rules = b.rules;
		assert_int_equal(pm_meter_new(&options, &b.meter), PM_OK);
		for (unsigned n = 0; n < 4; n++)
			send_web(&b, transport, n == 3 ? 7 : 8, back, flags[way / 2 % 2][back]);
		pm_meter_finish(b.meter, 0, true);
		assert_int_equal(b.n, 1);
		for (size_t i = 0; i < b.records[0]->n_services; i++) {
			const struct pm_service_row *row = &b.records[0]->services[i];

			assert_int_equal(row->transport, transport);
			ours += strcmp(row->service, "ours") == 0 ? row->count.packets : 0;
			web += strcmp(row->service, "web") == 0 ? row->count.packets : 0;
		}
		if (ours != 1 || web != 3)
			fail_msg("%s, %s: %d of ours, %d of web", pm_transport_name(transport),
				 back ? "from" : "to", (int)ours, (int)web);
		bench_free(&b);
	}
}

/* What looks like Ethernet is none where the capture says so, even among frames that are. */
static void a_frame_is_read_by_its_own_link_type(void **state)
{
	static const uint32_t links[] = { 1, 147, 1, 147, 1 }; /* Ethernet, one for private use */
	struct bench b = { .sent = 0 };
	struct pm_meter_options options = { .closed = on_closed, .ctx = &b };

	(void)state;
	b.rules = options.rules = traffic_rules(first_rules, 1);
	assert_non_null(b.rules);
	assert_int_equal(pm_meter_new(&options, &b.meter), PM_OK);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		send_on(&b, links[i], 6, 40000, 80, SECOND);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.records[0]->totals.packets, 5);
	assert_int_equal(b.records[0]->ip4.packets, 3);
	bench_free(&b);
}

/* A SYN of host @n and its answer; every other host gets it from elsewhere, hops away. */
static void send_answered(struct bench *b, uint32_t linktype, unsigned n)
{
	static const uint8_t flags[] = { PM_TCP_SYN, PM_TCP_SYN | PM_TCP_ACK };

	for (unsigned back = 0; back < 2; back++) {
		uint8_t bytes[14 + TRAFFIC_SIZE] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 9, 8, 0 };
		uint8_t *ip = linktype == LINKTYPE_RAW ? bytes : bytes + 14;
		struct pm_frame frame = traffic_ip4(ip, 6, back ? 80 : 40000, back ? 40000 : 80,
						    SECOND + (int64_t)n * 1000 + back);

		memcpy(ip + (back ? 16 : 12), (uint8_t[4]){ 192, 0, 2, (uint8_t)n }, 4);
		memcpy(ip + (back ? 12 : 16), (uint8_t[4]){ 198, 51, 100, 80 }, 4);
		ip[8] = (uint8_t)(60 + n % 2);
		ip[32] = 0x50;
		ip[33] = flags[back];
		if (ip != bytes) {
			bytes[11] = (uint8_t)(back ? n % 2 : 9);
			frame.bytes = bytes;
			frame.held += 14;
			frame.wire += 14;
			frame.linktype = linktype;
		}
		send_bytes(b, frame);
	}
}

/* Of other link types, what lies where Ethernet has its sender's address is none. */
static void two_that_answer_are_told_apart_by_addresses_of_ethernet_only(void **state)
{
	static const uint32_t links[] = { 1, LINKTYPE_RAW };
	struct pm_allowance *allowance = NULL;

	(void)state;
	assert_int_equal(pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance), PM_OK);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		struct bench b = { .sent = 0 };
		struct pm_meter_options options = { .closed = on_closed,
						    .allowance = allowance,
						    .ctx = &b };
		uint64_t found;

		b.rules = options.rules = traffic_rules(first_rules, 1);
		assert_int_equal(pm_meter_new(&options, &b.meter), PM_OK);
		for (unsigned n = 0; n < 8; n++)
			send_answered(&b, links[i], n);
		pm_meter_finish(b.meter, 0, true);
		assert_int_equal(b.records[0]->totals.packets, 16);
		found = b.records[0]->facets[PM_FACET_PORT_CONFLICT].packets;
		assert_int_equal(found != 0, links[i] == 1);
		bench_free(&b);
	}
	pm_allowance_unref(allowance);
}

/* A SYN to host @n, whose number is the last byte of its address; behind so many tags of VLANs. */
static void send_knock(struct bench *b, unsigned version, unsigned tags, unsigned n)
{
	uint8_t bytes[14 + 2 * 4 + 40 + 20] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	uint8_t *ip = bytes + 14 + (size_t)tags * 4;
	uint8_t *tcp = ip + (version == 4 ? 20 : 40);
	struct pm_frame frame = { .bytes = bytes,
				  .held = (uint32_t)(tcp + 20 - bytes),
				  .wire = (uint32_t)(tcp + 20 - bytes),
				  .linktype = 1,
				  .time_ns = SECOND + (int64_t)n * 1000 };

	for (unsigned i = 0; i < tags; i++)
		put16(bytes + 12 + (size_t)i * 4, 0x8100);
	put16(ip - 2, version == 4 ? 0x0800 : 0x86dd);
	if (version == 4) {
		ip[0] = 0x45;
		put16(ip + 2, 40);
		ip[9] = 6;
		ip[15] = 1;
		ip[19] = (uint8_t)n;
	} else {
		ip[0] = 0x60;
		put16(ip + 4, 20);
		ip[6] = 6;
		ip[23] = 1;
		ip[39] = (uint8_t)n;
	}
	put16(tcp, 40000 + n);
	put16(tcp + 2, 80);
	tcp[12] = 0x50;
	tcp[13] = PM_TCP_SYN;
	send_bytes(b, frame);
}

/* Of frames that are noted, whole addresses are kept wherever they lie. */
static void who_knocks_at_many_hosts_is_seen_behind_tags_too(void **state)
{
	struct pm_allowance *allowance = NULL;

	(void)state;
	assert_int_equal(pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance), PM_OK);
	for (unsigned way = 0; way < 6; way++) {
		unsigned version = way % 2 ? 6 : 4;
		struct bench b = { .sent = 0 };
		struct pm_meter_options options = { .closed = on_closed,
						    .allowance = allowance,
						    .ctx = &b };

		b.rules = options.rules = traffic_rules(first_rules, 1);
		assert_int_equal(pm_meter_new(&options, &b.meter), PM_OK);
		for (unsigned n = 2; n < 202; n++)
			send_knock(&b, version, way / 2, n);
		pm_meter_finish(b.meter, 0, true);
		if (b.records[0]->facets[PM_FACET_PORT_SCAN].packets < 100)
			fail_msg("IPv%u behind %u tags", version, way / 2);
		bench_free(&b);
	}
	pm_allowance_unref(allowance);
}

/* Who speaks first long after it has begun is a client; frames whose labels say all count, too. */
static void a_capture_begins_with_its_first_frame_whatever_way_that_takes(void **state)
{
	(void)state;
	for (int wholly = 0; wholly < 2; wholly++) {
		struct bench b = { .sent = 0 };
		struct pm_meter_options options = {
			.closed = on_closed,
			.frame = wholly ? on_fate : NULL,
			.ctx = &b,
		};

		b.rules = options.rules = traffic_rules(first_rules, 1);
		assert_non_null(b.rules);
		assert_int_equal(pm_meter_new(&options, &b.meter), PM_OK);
		send_ethernet(&b, 6, 40000, 80, SECOND);
		send_ethernet(&b, UDP_PROTOCOL, 20000, 40000, 7 * SECOND);
		pm_meter_finish(b.meter, 0, true);
		assert_int_equal(b.n, 1);
		assert_int_equal(b.records[0]->unknown.side_by[PM_RUNG_LEARNED], 1);
		assert_int_equal(b.records[0]->unknown.to_service.packets, 1);
		pm_record_free(b.records[0]);
		pm_meter_free(b.meter);
		pm_rules_unref(b.rules);
	}
}

static void without_a_capture_its_figures_are_unknown(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	send(&b, 0);
	pm_meter_finish(b.meter, 0, true);
	assert_false(b.records[0]->capture.received_known);
	assert_false(b.records[0]->capture.dropped_kernel_known);
	assert_false(b.records[0]->capture.dropped_interface_known);
	bench_end(&b);
}

/* Reporting on another thread, as in a live run. */
struct reporter {
	struct pm_meter *meter;
	pthread_mutex_t lock;
	bool over;
	uint64_t packets, merged, last_seq;
	bool bad;
};

static void nothing(void *ctx)
{
	(void)ctx;
}

static void *report_all(void *ctx)
{
	struct reporter *reporter = ctx;
	bool over = false;

	for (;;) {
		struct pm_tally *tally = pm_meter_take(reporter->meter);

		if (tally) {
			reporter->bad |= tally->seq != ++reporter->last_seq;
			reporter->packets += pm_tally_totals(tally).packets;
			reporter->merged += tally->merged;
			pm_meter_give(reporter->meter, tally);
			continue;
		}
		if (over)
			return NULL;
		pthread_mutex_lock(&reporter->lock);
		over = reporter->over;
		pthread_mutex_unlock(&reporter->lock);
	}
}

static void a_reporter_on_another_thread_gets_every_frame(void **state)
{
	struct reporter reporter = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct pm_meter_options options = { .interval_ns = 1000, .closed = nothing };
	struct pm_rules *rules = traffic_rules(first_rules, 1),
			*others = traffic_rules(second_rules, 2);
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, UDP_PROTOCOL, 40000, 53, 0);
	pthread_t thread;

	(void)state;
	options.rules = rules;
	assert_int_equal(pm_meter_new(&options, &reporter.meter), PM_OK);
	assert_int_equal(pthread_create(&thread, NULL, report_all, &reporter), 0);
	for (int i = 0; i < 20000; i++) {
		frame.time_ns = i * 100;
		pm_meter_frame(reporter.meter, &frame);
		if (i % 1000 == 0)
			pm_meter_set_rules(reporter.meter, i % 2000 ? rules : others, PM_TIME_MIN);
	}
	pm_meter_finish(reporter.meter, 0, true);
	pthread_mutex_lock(&reporter.lock);
	reporter.over = true;
	pthread_mutex_unlock(&reporter.lock);
	pthread_join(thread, NULL);
	assert_false(reporter.bad);
	assert_int_equal(reporter.packets, 20000);
	assert_int_equal(reporter.merged, 2000);
	pm_meter_free(reporter.meter);
	pm_rules_unref(rules);
	pm_rules_unref(others);
}

static void options_that_make_no_sense_are_invalid(void **state)
{
	struct pm_rules *rules = traffic_rules(first_rules, 1);
	struct pm_meter_options good = { .closed = nothing, .rules = rules }, bad;
	struct pm_meter *meter = NULL;

	(void)state;
	bad = good;
	bad.interval_ns = -1;
	assert_int_equal(pm_meter_new(&bad, &meter), PM_E_INVALID);
	bad = good;
	bad.rules = NULL;
	assert_int_equal(pm_meter_new(&bad, &meter), PM_E_INVALID);
	bad = good;
	bad.closed = NULL;
	assert_int_equal(pm_meter_new(&bad, &meter), PM_E_INVALID);
	assert_null(meter);
	pm_meter_free(NULL);
	pm_rules_unref(rules);
}

static void what_is_not_taken_is_freed_with_the_meter(void **state)
{
	struct bench b;

	(void)state;
	bench_init(&b, 10 * SECOND, false);
	b.stalled = true;
	for (int i = 0; i < 4; i++)
		send(&b, i * 10 * SECOND);
	set_rules(&b, second_rules, 2);
	bench_free(&b); /* a leak check sees what was forgotten */
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(a_cut_gives_true_bounds_on_both_sides),
	cmocka_unit_test(an_interval_of_0_holds_everything),
	cmocka_unit_test(an_interval_of_0_that_was_stopped_is_partial),
	cmocka_unit_test(an_interval_of_0_can_be_cut),
	cmocka_unit_test(the_ends_of_time_close_no_interval_twice),
	cmocka_unit_test(the_deadline_is_the_end_and_the_grace_time),
	cmocka_unit_test(no_interval_comes_after_the_last_moment),
	cmocka_unit_test(new_rules_hold_from_the_boundary_on),
	cmocka_unit_test(a_cut_is_a_boundary_for_rules),
	cmocka_unit_test(a_fragment_behind_new_rules_counts_by_them),
	cmocka_unit_test(a_stalled_reporter_gets_merged_intervals),
	cmocka_unit_test(a_reporter_that_stalls_for_a_while_misses_nothing),
	cmocka_unit_test(a_stalled_reporter_does_not_mix_rules),
	cmocka_unit_test(a_reporter_that_gives_nothing_back_loses_nothing),
	cmocka_unit_test(a_frame_has_one_fate_however_it_is_fragmented),
	cmocka_unit_test(a_fragment_whose_first_comes_in_the_next_interval_is_an_orphan),
	cmocka_unit_test(a_fragment_whose_first_came_in_the_interval_before_is_known),
	cmocka_unit_test(a_fragment_inherits_the_facets_of_its_first),
	cmocka_unit_test(a_frame_counts_by_its_wire_bytes_and_shows_as_snapped),
	cmocka_unit_test(what_memory_of_conversations_gives_up_is_told),
	cmocka_unit_test(slow_answers_are_none_and_still_sessions),
	cmocka_unit_test(a_rule_for_a_host_holds_for_its_frames_alone),
	cmocka_unit_test(a_frame_is_read_by_its_own_link_type),
	cmocka_unit_test(two_that_answer_are_told_apart_by_addresses_of_ethernet_only),
	cmocka_unit_test(who_knocks_at_many_hosts_is_seen_behind_tags_too),
	cmocka_unit_test(a_capture_begins_with_its_first_frame_whatever_way_that_takes),
	cmocka_unit_test(without_a_capture_its_figures_are_unknown),
	cmocka_unit_test(a_reporter_on_another_thread_gets_every_frame),
	cmocka_unit_test(options_that_make_no_sense_are_invalid),
	cmocka_unit_test(what_is_not_taken_is_freed_with_the_meter),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(intervals) + COUNT(lives) + COUNT(others)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(intervals); i++)
		tests[n++] = (struct CMUnitTest){ intervals[i].name, interval_case_holds, NULL,
						  NULL, (void *)(uintptr_t)&intervals[i] };
	for (size_t i = 0; i < COUNT(lives); i++)
		tests[n++] = (struct CMUnitTest){ lives[i].name, live_case_holds, NULL, NULL,
						  (void *)(uintptr_t)&lives[i] };
	memcpy(tests + n, others, sizeof others);
	return _cmocka_run_group_tests("meter", tests, COUNT(tests), NULL, NULL);
}
