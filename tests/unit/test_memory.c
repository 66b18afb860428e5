/* SPDX-License-Identifier: MIT */
/*
 * Short memory: the first, the second, the third ... allocation of a whole run fails. There must be
 * an error code or a right result, no crash, and nothing left allocated. The entry points one by
 * one are in test_entries.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "heap.h"
#include "portmeter/meter.h"
#include "portmeter/output.h"
#include "sums.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char rules_text[] = "alpha 53/udp/tcp dns category=naming\nbeta 80-90/tcp metric=port\n"
				 "gamma 53/udp host=192.0.2.0/24 host=2001:db8::/32 category=internal\n"
				 "delta 6000-6999/udp priority=60\n";
static const char more_rules_text[] = "one 53/udp metric=port\ntwo 80/tcp\nthree 81/tcp\nfour 82/tcp\nfive 83/tcp\n"
				      "six 6000/udp\nseven 84/tcp\neight 85/tcp\nnine 86/tcp\n";

static char folder[256], rules_path[300], capture_path[300], out_path[300];

/* A run from rules to output. */
struct run {
	struct pm_rules *rules, *more;
	struct pm_capture *capture;
	struct pm_meter *meter;
	struct pm_output *output;
	struct pm_source source;
	struct pm_allowance *allowance;
	uint64_t frames, counted;
	int code;
};

static void report(struct run *run)
{
	struct pm_tally *tally;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		struct pm_record *record = NULL;
		int r = pm_record_new(tally, &run->source, &record);

		if (r == PM_OK) {
			if (sums_problem(record))
				fail_msg("allocation %lu: %s", heap.fails_at, sums_problem(record));
			run->counted += record->totals.packets;
			r = pm_output_record(run->output, record, NULL);
			pm_record_free(record);
		}
		if (run->code == PM_OK)
			run->code = r;
		pm_meter_give(run->meter, tally);
	}
}

static void on_closed(void *ctx)
{
	report(ctx);
}

/* Fragments, too, so that decisions of older rules are still about. */
static void send(struct run *run, int i)
{
	static const unsigned ports[] = { 53, 80, 6000, 82, 86, 9999 };
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, i % 2 ? 17 : 6, 40000, ports[i % 6], i * SECOND);

	frame.number = ++run->frames;
	if (i % 5 == 0)
		traffic_fragment(bytes, 1, (unsigned)i % 10 / 5, i % 10 == 0);
	pm_meter_frame(run->meter, &frame);
}

static int meter_run(struct run *run)
{
	struct pm_meter_options options = {
		.interval_ns = 4 * SECOND,
		.rules = run->rules,
		.by_endpoint = 2,
		.closed = on_closed,
		.ctx = run,
	};
	int r = pm_allowance_new(PM_ALLOWANCE_BYTES, &run->allowance);

	options.allowance = run->allowance;
	if (r == PM_OK)
		r = pm_meter_new(&options, &run->meter);

	for (int i = 0; r == PM_OK && i < 40; i++) {
		if (i % 10 == 7)
			pm_meter_set_rules(run->meter, i % 20 == 7 ? run->more : run->rules,
					   PM_TIME_MIN);
		send(run, i);
	}
	if (r == PM_OK)
		pm_meter_finish(run->meter, 0, true);
	return r;
}

static int everything(struct run *run, enum pm_format format)
{
	const char *const rules_paths[] = { rules_path };
	const char *const capture_paths[] = { capture_path, capture_path };
	struct pm_rules_options rules = { .paths = rules_paths, .n_paths = 1 };
	struct pm_rules_options more = { .check = true };
	struct pm_capture_options capture = { .filter = "udp or tcp" };
	struct pm_output_options output = { .format = format, .path = out_path };
	struct pm_error err = { .line = 0 };
	int r = pm_rules_load(&rules, &err, &run->rules);

	if (r == PM_OK)
		r = pm_rules_load_text("more.rules", more_rules_text, strlen(more_rules_text), &more, &err,
				       &run->more);
	if (r == PM_OK)
		r = pm_capture_open_files(capture_paths, 2, &capture, &err, &run->capture);
	if (r == PM_OK)
		r = pm_output_open(&output, &err, &run->output);
	run->source = (struct pm_source){ .name = "caf\xe9", .files = 1, .snaplen = -1 };
	if (r == PM_OK)
		r = meter_run(run);
	return r == PM_OK ? run->code : r;
}

static int clean_up(struct run *run)
{
	int r = pm_output_close(run->output, NULL);

	pm_meter_free(run->meter);
	pm_allowance_unref(run->allowance);
	pm_capture_close(run->capture);
	pm_rules_unref(run->rules);
	pm_rules_unref(run->more);
	return r;
}

/* One run in which allocation @fails_at fails. False: there are fewer. */
static bool one_run(enum pm_format format, unsigned long fails_at, bool for_good)
{
	struct run run = { .code = PM_OK };
	int r, closed;

	memset(&heap, 0, sizeof heap);
	heap.fails_at = fails_at;
	heap.for_good = for_good;
	heap.on = true;
	r = everything(&run, format);
	closed = clean_up(&run);
	heap.on = false;
	if (!heap.failed) {
		assert_int_equal(r, PM_OK);
		assert_int_equal(closed, PM_OK);
	}
	if (r != PM_OK && r != PM_E_MEMORY)
		fail_msg("allocation %lu: code %d", fails_at, r);
	if (r == PM_OK) /* got by without it */
		assert_int_equal(run.counted, run.frames);
	if (heap.held != 0)
		fail_msg("allocation %lu: %ld blocks are left", fails_at, heap.held);
	remove(out_path);
	return heap.failed;
}

static void every_allocation_may_fail(void **state)
{
	enum pm_format format = *(const enum pm_format *)*state;

	one_run(format, 0, false); /* what is allocated once, and kept */
	for (int for_good = 0; for_good < (format == PM_FORMAT_JSON ? 2 : 1); for_good++) {
		unsigned long n = 1;
		/* Behind the first come hundreds that are alike. */
		while (one_run(format, n, for_good))
			n += n < 200 ? 1 : 1 + n / 10;
		assert_true(n > 100);
	}
}

static void the_shipped_rules_load_or_say_that_memory_is_short(void **state)
{
	unsigned long n = 1;

	(void)state;
	for (bool failed = true; failed; n += n < 60 ? 1 : n / 3) {
		struct pm_rules_options options = { .folder = NULL };
		struct pm_rules *rules = NULL;
		struct pm_error err = { .line = 0 };
		int r;

		memset(&heap, 0, sizeof heap);
		heap.fails_at = n;
		heap.on = true;
		r = pm_rules_load(&options, &err, &rules);
		pm_rules_unref(rules);
		heap.on = false;
		failed = heap.failed;
		assert_int_equal(r, failed ? PM_E_MEMORY : PM_OK);
		assert_int_equal(heap.held, 0);
	}
}

/* Where there is no memory for more endpoints, the smaller ones give way, and every sum closes. */
static void a_table_of_endpoints_that_cannot_grow_forgets(void **state)
{
	static const struct pm_source source = { .name = "test", .snaplen = -1 };
	struct pm_rules *rules = traffic_rules(rules_text, 1);
	unsigned long n = 1;

	(void)state;
	assert_non_null(rules);
	for (bool failed = true; failed; n++) {
		struct pm_tally *tally = NULL;
		struct pm_record *record;

		memset(&heap, 0, sizeof heap);
		assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
		heap.fails_at = n;
		heap.for_good = true;
		heap.on = true;
		if (pm_tally_by_endpoint(tally, 65536) < 0) {
			assert_null(tally->endpoints);
			assert_int_equal(heap.held, 0);
		}
		for (uint32_t i = 0; tally->endpoints && i < 5000; i++) {
			struct pm_tally_entry entry = { .src_port = 40000, .dst_port = 53 };
			struct pm_address address = { { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };

			entry.decision = (struct pm_decision){ 0, PM_SIDE_DST, PM_RUNG_EPHEMERAL };
			entry.wire = 60 + i;
			pm_tally_frame(tally, 4, entry.wire);
			pm_tally_ports(tally, &entry, 1);
			pm_tally_endpoint(tally, &entry, 4, &address, &address);
		}
		failed = heap.failed;
		heap.on = false;
		assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
		assert_null(sums_problem(record));
		if (tally->endpoints)
			assert_int_equal(record->endpoints_other.forgotten.endpoints != 0, failed);
		pm_record_free(record);
		pm_tally_free(tally);
	}
	assert_true(n > 8);
	pm_rules_unref(rules);
}

/* Counters stay exact; of addresses, what is known is right. */
static void conversations_count_what_they_have_memory_for(void **state)
{
	struct pm_rules *rules = traffic_rules(rules_text, 1);
	unsigned long n = 0;

	(void)state;
	assert_non_null(rules);
	for (bool failed = true; failed || n == 1; n++) {
		struct pm_allowance *allowance = NULL;
		struct pm_tally *tallies[2] = { NULL, NULL };
		int r;

		memset(&heap, 0, sizeof heap);
		heap.fails_at = n;
		heap.on = true;
		r = pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance);
		for (int i = 0; r == PM_OK && i < 2; i++)
			r = pm_tally_new(rules, &tallies[i]);
		for (int i = 0; r == PM_OK && i < 2; i++)
			r = pm_tally_talk(tallies[i], allowance);
		for (uint64_t i = 1; r == PM_OK && i < 3000; i++) {
			struct pm_tally *tally = tallies[i % 2];

			pm_tally_event(tally, PM_TRANSPORT_TCP, 80, 0, PM_EVENT_SESSION, 1);
			pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, 0,
				       (i % 500 + 1) * UINT64_C(0x9e3779b97f4a7c15), 7);
		}
		if (r == PM_OK)
			r = pm_tally_absorb(tallies[0], tallies[1]);
		if (r == PM_OK) {
			uint16_t id = (uint16_t)pm_rules_label(rules, PM_TRANSPORT_TCP, 80);
			struct pm_distinct clients =
				pm_tally_distinct(tallies[0], PM_TRANSPORT_TCP, id, PM_ROLE_CLIENT);
			struct pm_talk_count count =
				pm_tally_service_talk(tallies[0], PM_TRANSPORT_TCP, id);

			assert_int_equal(count.sessions, 2999);
			assert_true(clients.known ? clients.count == 500 : clients.given_up);
			assert_true(clients.known || heap.failed);
			r = pm_tally_reset(tallies[0], rules);
		}
		for (int i = 0; i < 2; i++)
			pm_tally_free(tallies[i]);
		pm_allowance_unref(allowance);
		heap.on = false;
		failed = heap.failed;
		assert_int_equal(heap.held, 0);
		assert_true(r == PM_OK || (r == PM_E_MEMORY && failed));
	}
	assert_true(n > 30);
	pm_rules_unref(rules);
}

static void found(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence)
{
	(void)ctx;
	(void)anomaly;
	(void)evidence;
}

static void a_watch_is_there_or_says_that_memory_is_short(void **state)
{
	const struct pm_watch_options options = { .found = found };
	unsigned long n = 1;

	(void)state;
	for (bool failed = true; failed; n++) {
		struct pm_watch *watch = NULL;
		int r;

		memset(&heap, 0, sizeof heap);
		heap.fails_at = n;
		heap.on = true;
		r = pm_watch_new(&options, &watch);
		pm_watch_free(watch);
		heap.on = false;
		failed = heap.failed;
		assert_int_equal(r, failed ? PM_E_MEMORY : PM_OK);
		assert_int_equal(heap.held, 0);
	}
}

static void a_learner_is_there_or_says_that_memory_is_short(void **state)
{
	const struct pm_learner_options options = { .key = { 1, 2 } };
	struct pm_rules *rules = traffic_rules(rules_text, 1);
	unsigned long n = 1;

	(void)state;
	assert_non_null(rules);
	for (bool failed = true; failed; n++) {
		struct pm_learner *learner = NULL;
		int r;

		memset(&heap, 0, sizeof heap);
		heap.fails_at = n;
		heap.on = true;
		r = pm_learner_new(&options, rules, &learner);
		pm_learner_free(learner);
		heap.on = false;
		failed = heap.failed;
		assert_int_equal(r, failed ? PM_E_MEMORY : PM_OK);
		assert_int_equal(heap.held, 0);
	}
	assert_true(n > 8);
	pm_rules_unref(rules);
}

/* Conversations in a file, which several threads may take block by block. */
#define TALKED 600

static void write_talk(const char *path)
{
	static const uint32_t head[6] = { 0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, LINKTYPE_RAW };
	static const uint8_t flags[] = { PM_TCP_SYN, PM_TCP_SYN | PM_TCP_ACK, PM_TCP_ACK };
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof head, 1, file), 1);
	for (uint32_t i = 0; i < TALKED; i++) {
		uint32_t record[4] = { 1700000000 + i / 50, i % 50 * 20000, TRAFFIC_SIZE,
				       TRAFFIC_SIZE };
		unsigned client = 40000 + i / 3, server = i % 7 ? 80 : 50000;
		uint8_t bytes[TRAFFIC_SIZE];

		traffic_ip4(bytes, i % 11 ? 6 : 17, i % 3 == 1 ? server : client,
			    i % 3 == 1 ? client : server, 0);
		if (i % 3 == 1) { /* the other way round */
			uint8_t from[4];

			memcpy(from, bytes + 12, 4);
			memcpy(bytes + 12, bytes + 16, 4);
			memcpy(bytes + 16, from, 4);
		}
		bytes[32] = 0x50;
		bytes[33] = flags[i % 3];
		assert_int_equal(fwrite(record, sizeof record, 1, file), 1);
		assert_int_equal(fwrite(bytes, sizeof bytes, 1, file), 1);
	}
	assert_int_equal(fclose(file), 0);
}

/* Only counts what is in records. */
static void on_closed_crew(void *ctx)
{
	struct run *run = ctx;
	struct pm_tally *tally;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		run->counted += pm_tally_totals(tally).packets;
		pm_meter_give(run->meter, tally);
	}
}

static struct pm_meter *the_meter; /* of the crew */

/* What the crew is asked to wait for, now and then. */
struct minding {
	struct pm_crew *crew;
	unsigned n;
};

static bool now_and_then(void *ctx)
{
	struct minding *minding = ctx;

	return ++minding->n % 4 == 0;
}

static bool settle(void *ctx)
{
	struct minding *minding = ctx;

	pm_crew_settle(minding->crew);
	return false;
}

static void on_crew_frame(void *ctx, const struct pm_frame *frame)
{
	(void)ctx;
	pm_meter_frame(the_meter, frame);
}

/* With two workers, of which one stays away, so that allocations have an order. */
static int crew_run(struct run *run, const char *path)
{
	const struct pm_capture_options capture = { .block = 2000 };
	struct pm_meter_options meter = {
		.interval_ns = 5 * SECOND,
		.rules = run->rules,
		.closed = on_closed_crew,
		.by_endpoint = 100,
		.ctx = run,
	};
	struct pm_crew_options options = { .workers = 2, .due = now_and_then, .mind = settle };
	struct minding minding = { .crew = NULL };
	struct pm_error err = { .line = 0 };
	int r = pm_allowance_new(PM_ALLOWANCE_BYTES, &run->allowance);

	meter.allowance = run->allowance;
	if (r == PM_OK)
		r = pm_capture_open_files(&path, 1, &capture, &err, &run->capture);
	if (r == PM_OK)
		r = pm_meter_new(&meter, &run->meter);
	if (r < 0)
		return r;
	options.capture = run->capture;
	options.meter = run->meter;
	options.frame = on_crew_frame;
	options.ctx = &minding;
	the_meter = run->meter;
	if (pm_crew_new(&options, &minding.crew) == PM_OK) {
		assert_int_equal(pm_crew_workers(minding.crew), 2);
		pm_crew_work(minding.crew, 0);
		r = pm_crew_end(minding.crew, &err);
		pm_crew_free(minding.crew);
	}
	while (r == PM_OK &&
	       pm_capture_dispatch(run->capture, 100, pm_meter_frame, run->meter, &err) > 0)
		;
	pm_meter_finish(run->meter, 0, true);
	return r;
}

static void a_crew_counts_every_frame_with_whatever_memory(void **state)
{
	unsigned long n = 0;
	char path[300];

	(void)state;
	snprintf(path, sizeof path, "%s/talk.pcap", folder);
	write_talk(path);
	for (int for_good = 0; for_good < 2; for_good++) {
		n = 0;
		for (bool failed = true; failed || n == 1; n++) {
			struct run run = { .rules = traffic_rules(rules_text, 1) };
			int r;

			assert_non_null(run.rules);
			memset(&heap, 0, sizeof heap);
			heap.fails_at = n;
			heap.for_good = for_good;
			heap.on = true;
			r = crew_run(&run, path);
			pm_meter_free(run.meter);
			pm_allowance_unref(run.allowance);
			pm_capture_close(run.capture);
			heap.on = false;
			failed = heap.failed;
			if (r != PM_OK && (r != PM_E_MEMORY || !failed))
				fail_msg("allocation %lu: code %d", n, r);
			if (r == PM_OK && run.counted != TALKED)
				fail_msg("allocation %lu: %d frames", n, (int)run.counted);
			if (heap.held != 0)
				fail_msg("allocation %lu: %ld blocks are left", n, heap.held);
			pm_rules_unref(run.rules);
		}
		assert_true(n > 60);
	}
	remove(path);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static int load(void **state)
{
	static const uint8_t header[24] = { 0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0,
					    0, 0, 0, 0, 96, 0, 0, 0, 1, 0, 0, 0 };
	const char *parent = getenv("TMPDIR");

	(void)state;
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	snprintf(folder, sizeof folder, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	if (!mkdtemp(folder))
		return -1;
	snprintf(rules_path, sizeof rules_path, "%s/a.rules", folder);
	snprintf(capture_path, sizeof capture_path, "%s/a.pcap", folder);
	snprintf(out_path, sizeof out_path, "%s/out", folder);
	write_file(rules_path, rules_text, strlen(rules_text));
	write_file(capture_path, header, sizeof header);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	remove(rules_path);
	remove(capture_path);
	return rmdir(folder);
}

int main(void)
{
	static enum pm_format formats[] = { PM_FORMAT_JSON, PM_FORMAT_ROWS, PM_FORMAT_TEXT,
					    PM_FORMAT_PROMETHEUS };
	const struct CMUnitTest tests[] = {
		{ "every allocation may fail: json", every_allocation_may_fail, NULL, NULL, &formats[0] },
		{ "every allocation may fail: rows", every_allocation_may_fail, NULL, NULL, &formats[1] },
		{ "every allocation may fail: text", every_allocation_may_fail, NULL, NULL, &formats[2] },
		{ "every allocation may fail: prometheus", every_allocation_may_fail, NULL, NULL, &formats[3] },
		cmocka_unit_test(a_table_of_endpoints_that_cannot_grow_forgets),
		cmocka_unit_test(the_shipped_rules_load_or_say_that_memory_is_short),
		cmocka_unit_test(conversations_count_what_they_have_memory_for),
		cmocka_unit_test(a_watch_is_there_or_says_that_memory_is_short),
		cmocka_unit_test(a_learner_is_there_or_says_that_memory_is_short),
		cmocka_unit_test(a_crew_counts_every_frame_with_whatever_memory),
	};

	return cmocka_run_group_tests_name("memory", tests, load, unload);
}
