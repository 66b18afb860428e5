/* SPDX-License-Identifier: MIT */
/*
 * Every function of the public headers, when memory is short: each allocation in turn fails, alone
 * and with all that come after it. A call says so or does without, and nothing is left allocated.
 * What only answers asks for no memory at all. tests/style/check-entries holds this file and
 * test_memory.c to the headers.
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
#include "portmeter/web.h"
#include "sums.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char rules_text[] = "alpha 53/udp/tcp dns category=naming\nbeta 80-90/tcp metric=port\n"
				 "gamma 53/udp host=192.0.2.0/24 host=2001:db8::/32 category=internal\n"
				 "delta 6000-6999/udp priority=60\nftp-data 20/tcp initiates=yes\n";
static const struct pm_source source = { .name = "test", .snaplen = -1 };
static const struct pm_address one = { { 192, 0, 2, 1 } }, other = { { 198, 51, 100, 2 } };
static char folder[256], capture_path[300], out_path[300];

/* Rules that no allocation of a test belongs to. */
static struct pm_rules *rules;

static void on_remark(void *ctx, const struct pm_remark *remark)
{
	(void)ctx;
	(void)remark;
}

static void on_view(void *ctx, const struct pm_rule_view *view)
{
	int *n = ctx;

	assert_non_null(view->name);
	++*n;
}

static void on_item(void *ctx, const char *name, const char *text)
{
	int *n = ctx;

	assert_non_null(name);
	assert_non_null(text);
	++*n;
}

/* ---- each gives a code; PM_OK only if all was right ---- */

static int rules_of_a_text(void)
{
	struct pm_rules_options options = { .remark = on_remark, .check = true };
	struct pm_rules *set = NULL;
	int n = 0;
	int r = pm_rules_load_text("test.rules", rules_text, strlen(rules_text), &options, NULL, &set);

	if (r == PM_OK)
		r = pm_rules_explain(set, PM_TRANSPORT_UDP, 53, 4, &one, on_view, &n);
	assert_true(r < 0 || n == 3);
	if (set)
		pm_rules_unref(pm_rules_ref(set));
	pm_rules_unref(set);
	return r;
}

static int shipped_rules(void)
{
	struct pm_rules_options options = { .folder = pm_rules_folder() };
	struct pm_rules *set = NULL;
	int r = pm_rules_load(&options, NULL, &set);

	assert_true(r < 0 || pm_rules_entries(set) > 1000);
	pm_rules_unref(set);
	return r;
}

static void on_release(void *ctx, const struct pm_fragment_frame *frame,
		       const struct pm_fragment_origin *origin)
{
	int *n = ctx;

	(void)frame;
	(void)origin;
	++*n;
}

static int fragments(void)
{
	int released = 0;
	struct pm_fragments_options options = { .release = on_release, .ctx = &released };
	struct pm_fragments *table = NULL;
	const struct pm_fragment_frame frame = { 1, 0, 60 };
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_packet packet;
	uint64_t datagrams, frames;
	int r = pm_fragments_new(&options, &table);

	for (unsigned offset = 3; r == PM_OK && offset != 9; offset = offset == 3 ? 0 : 9) {
		traffic_ip4(bytes, 17, 40000, 53, 0);
		traffic_fragment(bytes, 1, offset, offset == 0);
		pm_packet_decode(pm_link_find(LINKTYPE_RAW), bytes, sizeof bytes, sizeof bytes,
				 &packet);
		if (offset)
			assert_null(pm_fragments_later(table, &packet, &frame));
		else
			pm_fragments_first(table, &packet, &packet, &frame, 0);
	}
	if (r == PM_OK) {
		assert_int_equal(released, 1);
		pm_fragments_flush(table);
		pm_fragments_given_up(table, &datagrams, &frames);
	}
	pm_fragments_free(table);
	return r;
}

static int repaired_text(void)
{
	char *text = pm_utf8_repaired("caf\xe9");

	if (!text)
		return PM_E_MEMORY;
	assert_string_equal(text, "caf" PM_UTF8_REPLACEMENT);
	free(text);
	return PM_OK;
}

static int tunnels(void)
{
	struct pm_tunnels *kinds = NULL;
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_packet packet, carrier;
	int r = pm_tunnels_new(&kinds);

	if (r == PM_OK) {
		assert_true(pm_tunnels_set(kinds, "vxlan", 5, 8472));
		assert_true(pm_tunnels_hold(kinds, 40000, 8472));
		traffic_ip4(bytes, 17, 40000, 8472, 0);
		pm_packet_decode_inner(kinds, pm_link_find(LINKTYPE_RAW), bytes, sizeof bytes,
				       sizeof bytes, &packet, &carrier);
		assert_int_equal(packet.dst_port, 8472);
	}
	pm_tunnels_free(kinds);
	return r;
}

static void on_found(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence)
{
	int *n = ctx;

	(void)anomaly;
	(void)evidence;
	++*n;
}

/* Strangers by the hundred, so that whatever grows does. */
static int watch(void)
{
	int found = 0;
	const struct pm_watch_options options = { .found = on_found, .ctx = &found };
	struct pm_evidence evidence = { .event = PM_EVENT_UNANSWERED, .ip_version = 4 };
	struct pm_watch *watched = NULL;
	int r = pm_watch_new(&options, &watched);

	evidence.client = one;
	evidence.server = other;
	for (uint16_t i = 1; r == PM_OK && i < 300; i++) {
		evidence.number = i;
		evidence.server_port = i;
		evidence.client.bytes[3] = (uint8_t)(i / 100);
		pm_watch_event(watched, rules, &evidence);
	}
	if (r == PM_OK) {
		assert_true(found > 0);
		pm_watch_given_up(watched);
	}
	pm_watch_free(watched);
	return r;
}

static void on_event(void *ctx, const struct pm_evidence *evidence)
{
	int *n = ctx;

	(void)evidence;
	++*n;
}

static void learner_sees(struct pm_learner *learner, uint64_t number)
{
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS, .ip_version = 4 };
	const struct pm_decision by_port = { 0, PM_SIDE_DST, PM_RUNG_KNOWN };
	const struct pm_hash_key key = { 0, 0 };
	struct pm_grounds grounds;
	struct pm_sight sight = { .packet = &packet, .number = number, .wire = 60 };
	pm_flow flow;

	packet.transport = number % 3 ? PM_TRANSPORT_TCP : PM_TRANSPORT_UDP;
	packet.setup = number % 3 == 1 ? PM_SETUP_OPEN : PM_SETUP_CONFIRM;
	packet.src_port = (uint16_t)(40000 + number);
	packet.dst_port = number % 2 ? 80 : 53;
	packet.src = one;
	packet.dst = other;
	sight.src = packet.src.bytes;
	sight.dst = packet.dst.bytes;
	sight.src_host = pm_host_hash(key, 4, sight.src);
	sight.dst_host = pm_host_hash(key, 4, sight.dst);
	sight.brief = pm_brief_of(&packet);
	sight.time_ns = (int64_t)number * SECOND;
	sight.setup = packet.setup;
	flow = pm_flow_of(key, sight.brief, sight.src, sight.dst);
	pm_learner_fetch(learner, sight.brief, flow, sight.src, sight.src_host, sight.dst_host);
	pm_learner_fetch_pair(learner, flow);
	pm_learner_fetch_note(learner, sight.src_host, sight.dst_host);
	if (number % 4)
		pm_learner_decide(learner, &sight);
	else
		pm_learner_explain(learner, &sight, &grounds);
	if (packet.transport == PM_TRANSPORT_UDP)
		pm_learner_datagram(learner, sight.brief, flow, sight.time_ns, by_port);
	else
		pm_learner_glanced(learner, flow, sight.time_ns, by_port);
	pm_learner_note(learner, sight.src_host, sight.dst_host, sight.time_ns, PM_SIDE_DST);
	pm_learner_rest(learner, 1, pm_learner_try(learner, flow));
}

static int learner(void)
{
	int told = 0;
	struct pm_learner_options options = { .explains = true, .event = on_event, .ctx = &told };
	struct pm_learner *learned = NULL;
	struct pm_learner_lost lost;
	int r = pm_learner_new(&options, rules, &learned);

	if (r == PM_OK) {
		pm_learner_begin(learned, 0);
		for (uint64_t number = 1; number < 100; number++)
			learner_sees(learned, number);
		pm_learner_follow(learned, rules);
		pm_learner_close(learned, 100 * SECOND, true);
		pm_learner_lost(learned, &lost);
		assert_non_null(pm_learner_classes(learned));
		assert_non_null(pm_learner_flows(learned)->words);
		assert_true(told > 0 && pm_learner_generation(learned) > 0);
		assert_true(pm_learner_endpoints(learned) < 100);
	}
	pm_learner_free(learned);
	return r;
}

static void tally_count(struct pm_tally *tally)
{
	const struct pm_evidence evidence = { .event = PM_EVENT_SESSION,
					      .ip_version = 4,
					      .server_port = 9999,
					      .client = one,
					      .server = other };

	for (uint16_t i = 0; i < 500; i++) {
		struct pm_tally_entry entry = { .src_port = (uint16_t)(40000 + i),
						.dst_port = 9999,
						.wire = 60 };
		struct pm_tally_known known = { .ports = (uint32_t)(40000 + i) << 16 | 9999,
						.wire = 60,
						.side = PM_SIDE_DST,
						.rung = PM_RUNG_EPHEMERAL };

		entry.decision = (struct pm_decision){ 0, PM_SIDE_DST, PM_RUNG_EPHEMERAL };
		pm_tally_event_fetch(tally, PM_TRANSPORT_TCP, 9999);
		pm_tally_frame(tally, 4, entry.wire);
		pm_tally_ports(tally, &entry, 1);
		pm_tally_endpoint(tally, &entry, 4, &one, &other);
		pm_tally_frame(tally, 4, known.wire);
		pm_tally_known(tally, &known, 1);
		pm_tally_endpoint(tally, &entry, 4, &one, &other);
		pm_tally_peer(tally, PM_TRANSPORT_TCP, 80, 0, PM_ROLE_CLIENT,
			      (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
		pm_tally_peers(tally, PM_TRANSPORT_TCP, 53, 0, i + UINT64_C(1), 7);
	}
	pm_tally_frame(tally, 0, 60);
	pm_tally_no_port(tally, PM_VERDICT_NON_IP, 0, 60);
	pm_tally_event(tally, PM_TRANSPORT_TCP, 9999, 0, PM_EVENT_SESSION, 1);
	pm_tally_anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, &evidence);
	pm_tally_anomaly(tally, PM_ANOMALY_PORT_SCAN, &evidence);
}

/* Of two tallies, one added to the other, and the sum of both. */
static int records(struct pm_tally *tallies[2])
{
	struct pm_record *record = NULL, *sum = NULL;
	int r = PM_OK;

	for (int i = 0; r == PM_OK && i < 2; i++) {
		r = pm_record_new(tallies[i], &source, &record);
		if (r < 0)
			break;
		assert_null(sums_problem(record));
		r = pm_record_add(&sum, record);
		pm_record_cut(record, 2, true);
		assert_null(sums_problem(record));
		pm_record_free(record);
	}
	pm_record_free(sum);
	return r;
}

static int tallies(void)
{
	struct pm_allowance *allowance = NULL;
	struct pm_tally *made[2] = { NULL, NULL };
	struct pm_endpoints_view view;
	enum pm_transport transport;
	uint16_t service, port;
	size_t at = 0;
	int r = pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance);

	for (int i = 0; r == PM_OK && i < 2; i++) {
		r = pm_tally_new(rules, &made[i]);
		if (r == PM_OK)
			r = pm_tally_talk(made[i], allowance);
		if (r == PM_OK)
			r = pm_tally_by_endpoint(made[i], 100);
		if (r == PM_OK)
			tally_count(made[i]);
	}
	if (r == PM_OK) {
		pm_tally_expect(made[0], pm_tally_crowds(made[1]));
		pm_tally_settle(made[0]);
		assert_true(pm_tally_endpoints(made[0], &view));
		assert_false(pm_tally_scoped_next(made[0], &at, &transport, &service, &port));
		assert_int_equal(pm_tally_port_talk(made[0], PM_TRANSPORT_TCP, 9999).sessions, 1);
		pm_tally_service_talk(made[0], PM_TRANSPORT_TCP, 0);
		pm_tally_distinct(made[0], PM_TRANSPORT_TCP, 1, PM_ROLE_CLIENT);
		r = pm_tally_merge(made[0], made[1]);
	}
	if (r == PM_OK)
		r = records(made);
	if (r == PM_OK)
		r = pm_tally_absorb(made[0], made[1]);
	if (r == PM_OK)
		r = pm_tally_reset(made[0], rules);
	for (int i = 0; i < 2; i++)
		pm_tally_free(made[i]);
	if (allowance)
		pm_allowance_unref(pm_allowance_ref(allowance));
	pm_allowance_unref(allowance);
	return r;
}

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	uint64_t *n = ctx;

	assert_int_equal(frame->wire, TRAFFIC_SIZE);
	++*n;
}

static int blocks(struct pm_capture *capture, uint64_t *n)
{
	struct pm_block *block = NULL;
	bool stopped = false;
	int r = pm_capture_splits(capture, 2) ? pm_block_new(capture, &block) : PM_OK;

	while (r == PM_OK && block && !stopped) {
		pm_block_claim(block);
		pm_block_fetch(block);
		pm_block_take(block, 0, UINT64_MAX, UINT64_MAX, &stopped);
		assert_false(pm_block_of_stream(block));
		pm_block_each(block, on_frame, n);
	}
	pm_block_free(block);
	return r;
}

#define CAPTURED 200

static int capture_of_files(const char *filter, bool in_blocks)
{
	const struct pm_capture_options options = { .filter = filter, .block = 1000 };
	const char *path = capture_path;
	struct pm_capture *capture = NULL;
	struct pm_error err = { .line = 0 };
	struct pm_capture_progress progress;
	struct pm_capture_counts counts;
	uint64_t n = 0;
	int r = pm_capture_open_files(&path, 1, &options, &err, &capture);

	if (r == PM_OK) {
		assert_int_equal(pm_capture_files(capture), 1);
		assert_false(pm_capture_live(capture));
		assert_string_equal(pm_capture_name(capture), path);
		r = pm_capture_dispatch(capture, 1, on_frame, &n, &err);
	}
	if (r > 0 && in_blocks)
		r = blocks(capture, &n);
	while (r >= 0 && (r = pm_capture_dispatch(capture, 7, on_frame, &n, &err)) > 0)
		;
	if (r == PM_OK) {
		assert_int_equal(n, CAPTURED);
		assert_false(pm_capture_damaged(capture));
		assert_int_equal(pm_capture_sources(capture), 1);
		assert_int_equal(pm_capture_source(capture, 0)->linktype, LINKTYPE_RAW);
		pm_capture_progress(capture, &progress);
		pm_capture_count(capture, 0, &counts);
	}
	assert_true(r == PM_OK || r == PM_E_MEMORY || err.text[0]);
	pm_capture_close(capture);
	return r;
}

static int capture_of_a_file(void)
{
	return capture_of_files(NULL, false);
}

static int capture_with_a_filter(void)
{
	return capture_of_files("udp or tcp", false);
}

static int capture_in_blocks(void)
{
	return capture_of_files("udp or tcp", true);
}

static int filter(void)
{
	struct pm_error err = { .line = 0 };

	return pm_capture_check_filter("tcp port 80", &err);
}

/* What the machine lets one do is its own matter; the codes are, too. */
static int interfaces(void)
{
	const struct pm_capture_options options = { .filter = "tcp" };
	struct pm_error err = { .line = 0 };
	struct pm_capture *capture = NULL;
	uint64_t frames = 0;
	int n = 0, r = pm_capture_interfaces(on_item, &n, &err);

	if (r != PM_E_MEMORY && pm_capture_linktypes("lo", on_item, &n, NULL) == PM_E_MEMORY)
		r = PM_E_MEMORY;
	if (r != PM_E_MEMORY)
		r = pm_capture_open_live("lo", &options, &err, &capture);
	if (capture) {
		assert_true(pm_capture_live(capture));
		pm_capture_wait(capture, 0);
		pm_capture_dispatch(capture, 1, on_frame, &frames, &err);
		pm_capture_stop(capture);
	}
	pm_capture_close(capture);
	return r == PM_E_MEMORY ? r : PM_OK;
}

/* The same for several threads, one of which finds the interface gone. */
static int shared_interface(void)
{
	const struct pm_capture_options options = { .filter = "tcp", .wait = true };
	struct pm_capture *captures[2] = { NULL, NULL };
	struct pm_error err = { .line = 0 };
	int r = pm_capture_open_shared("lo", &options, 2, &err, captures);

	for (size_t i = 0; r == PM_OK && i < 2; i++) {
		if (pm_capture_there(captures[i]))
			pm_capture_look(captures[i], NULL);
		r = pm_capture_reopen(captures[i], NULL) == PM_E_MEMORY ? PM_E_MEMORY : PM_OK;
	}
	pm_capture_close(captures[0]);
	pm_capture_close(captures[1]);
	return r == PM_E_MEMORY ? r : PM_OK;
}

struct bench {
	struct pm_meter *meter;
	struct pm_output *output;
	int code;
};

static void on_closed(void *ctx)
{
	struct bench *b = ctx;
	struct pm_tally *tally;
	struct pm_record *record;

	while ((tally = pm_meter_take(b->meter)) != NULL) {
		int r = pm_record_new(tally, &source, &record);

		pm_meter_give(b->meter, tally);
		if (r == PM_OK) {
			r = pm_output_record(b->output, record, NULL);
			pm_record_free(record);
		}
		if (b->code == PM_OK)
			b->code = r;
	}
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct bench *b = ctx;
	int r = pm_output_frame(b->output, &source, report, NULL);

	if (b->code == PM_OK)
		b->code = r;
}

static int meter_to(enum pm_format format, bool live)
{
	const struct pm_output_options output = { .format = format, .path = out_path, .top = 3 };
	struct bench b = { .code = PM_OK };
	const struct pm_meter_options options = {
		.interval_ns = SECOND,
		.live = live,
		.rules = rules,
		.closed = on_closed,
		.frame = on_fate,
		.explain = 3,
		.ctx = &b,
	};
	uint8_t bytes[TRAFFIC_SIZE];
	int r = pm_output_open(&output, NULL, &b.output), closed;

	if (r == PM_OK)
		r = pm_meter_new(&options, &b.meter);
	for (int i = 0; r == PM_OK && i < 12; i++) {
		struct pm_frame frame = traffic_ip4(bytes, i % 2 ? 17 : 6, 40000, 53,
						    i * SECOND / 4);

		frame.number = (uint64_t)i + 1;
		pm_meter_frame(b.meter, &frame);
		if (i == 5)
			pm_meter_set_rules(b.meter, rules, PM_TIME_MIN);
		if (i == 6)
			pm_meter_cut(b.meter, frame.time_ns);
		if (live)
			pm_meter_tick(b.meter, pm_meter_deadline(b.meter) - 1);
		else
			pm_meter_idle(b.meter, frame.time_ns);
	}
	if (r == PM_OK) {
		pm_meter_finish(b.meter, 3 * SECOND, true);
		assert_int_equal(pm_meter_frames(b.meter), 12);
		r = b.code;
	}
	if (r == PM_OK)
		r = pm_output_flush(b.output, NULL);
	if (r == PM_OK)
		r = pm_output_reopen(b.output, NULL);
	pm_meter_free(b.meter);
	closed = pm_output_close(b.output, NULL);
	remove(out_path);
	return r == PM_OK ? closed : r;
}

static int meter_to_json(void)
{
	return meter_to(PM_FORMAT_JSON, false);
}

static int meter_to_frames(void)
{
	return meter_to(PM_FORMAT_FRAMES, false);
}

static int live_meter_to_prometheus(void)
{
	return meter_to(PM_FORMAT_PROMETHEUS, true);
}

static void nobody(void *ctx)
{
	(void)ctx;
}

static int lanes(void)
{
	const struct pm_meter_options options = {
		.interval_ns = SECOND,
		.live = true,
		.rules = rules,
		.closed = nobody,
	};
	struct pm_meter *meters[2] = { NULL, NULL };
	struct pm_lanes *lanes = NULL;
	struct pm_tally *tally = NULL;
	int r = PM_OK;

	for (size_t i = 0; r == PM_OK && i < 2; i++)
		r = pm_meter_new(&options, &meters[i]);
	if (r == PM_OK)
		r = pm_lanes_new(meters, 2, &lanes);
	for (size_t i = 0; r == PM_OK && i < 2; i++) {
		pm_meter_tick(meters[i], SECOND / 2);
		pm_meter_tick(meters[i], 2 * SECOND);
	}
	if (r == PM_OK) {
		tally = pm_lanes_take(lanes);
		assert_non_null(tally);
		pm_lanes_give(lanes, tally);
	}
	pm_lanes_free(lanes);
	pm_meter_free(meters[0]);
	pm_meter_free(meters[1]);
	return r;
}

static int a_record(struct pm_record **ret_record)
{
	struct pm_tally *tally = NULL;
	int r = pm_tally_new(rules, &tally);

	if (r == PM_OK)
		r = pm_record_new(tally, &source, ret_record);
	pm_tally_free(tally);
	return r;
}

static int metrics(void)
{
	struct pm_metrics *metrics = NULL;
	struct pm_record *record = NULL;
	char *text = NULL;
	size_t size;
	int r = a_record(&record);

	if (r == PM_OK)
		r = pm_metrics_new(0, 0, &metrics);
	for (int i = 0; r == PM_OK && i < 2; i++)
		r = pm_metrics_add(metrics, record);
	if (r == PM_OK)
		r = pm_metrics_text(metrics, &text, &size);
	pm_metrics_free(metrics);
	pm_record_free(record);
	free(text);
	return r;
}

static int json(void)
{
	const struct pm_source_view view = { .name = "test", .records = 1 };
	struct pm_record *record = NULL;
	char *text = NULL, *list = NULL;
	size_t size;
	int r = a_record(&record);

	if (r == PM_OK)
		r = pm_record_json(record, &text, &size);
	if (r == PM_OK)
		r = pm_sources_json(&view, 1, &list, &size);
	pm_record_free(record);
	free(text);
	free(list);
	return r;
}

/* A file that can be written, all the time, and what is asked of it. */
static int output_that_holds(void)
{
	const struct pm_output_options options = { .path = out_path, .hold = true };
	struct pm_output_held held = { .records = 0 };
	struct pm_output *output = NULL;
	struct pm_record *record = NULL;
	int r = a_record(&record), closed;

	if (r == PM_OK)
		r = pm_output_open(&options, NULL, &output);
	if (r == PM_OK)
		r = pm_output_try(output, NULL);
	if (r == PM_OK) {
		pm_output_tell(output, record);
		r = pm_output_record(output, record, NULL);
	}
	if (r == PM_OK)
		r = pm_output_retry(output);
	if (r == PM_OK) {
		pm_output_held(output, &held);
		assert_int_equal(held.records, 0);
		assert_true(pm_output_has_room(output) && !pm_output_full(output));
		assert_true(pm_output_due(output) == PM_TIME_MAX);
		assert_true(pm_output_progress(output) > 0);
		assert_string_equal(pm_output_name(output), out_path);
		pm_output_give_up(output);
	}
	pm_record_free(record);
	closed = pm_output_close(output, NULL);
	remove(out_path);
	return r == PM_OK ? closed : r;
}

static int publish(struct pm_web *web)
{
	struct pm_record *record = NULL;
	char *text = NULL;
	size_t size;
	int r = pm_web_source(web, "test", true);

	if (r == PM_OK)
		r = a_record(&record);
	if (r == PM_OK)
		r = pm_record_json(record, &text, &size);
	if (r == PM_OK)
		r = pm_web_publish(web, "test", true, SECOND, text, size);
	pm_record_free(record);
	return r;
}

static int server(void)
{
	struct pm_web_options options = {
		.listen = "127.0.0.1:0",
		.history = 1 << 20,
		.schema = "{}",
		.schema_size = 2,
	};
	struct pm_web *web = NULL;
	int r = pm_web_built() ? pm_metrics_new(0, 0, &options.metrics) : PM_E_UNSUPPORTED;

	if (r == PM_OK)
		r = pm_web_open(&options, NULL, &web);
	if (r == PM_OK) {
		assert_non_null(pm_web_url(web));
		assert_false(pm_web_exposed(web));
		r = publish(web);
	}
	if (r == PM_OK)
		r = pm_web_start(web, NULL);
	if (r == PM_OK)
		pm_web_end(web);
	pm_web_close(web);
	pm_metrics_free(options.metrics);
	return r == PM_E_UNSUPPORTED ? PM_OK : r;
}

static const struct entry {
	const char *name;
	int (*call)(void);
	unsigned long least; /* allocations that there are, so that the test shows something */
} entries[] = {
	{ "repaired text", repaired_text, 1 },
	{ "rules of a text", rules_of_a_text, 20 },
	{ "the shipped rules", shipped_rules, 10 },
	{ "fragments", fragments, 5 },
	{ "tunnels", tunnels, 1 },
	{ "a watch", watch, 2 },
	{ "a learner", learner, 8 },
	{ "tallies and records", tallies, 30 },
	{ "a file", capture_of_a_file, 8 },
	{ "a file with a filter", capture_with_a_filter, 8 },
	{ "a file in blocks", capture_in_blocks, 9 },
	{ "a filter", filter, 0 },
	{ "interfaces", interfaces, 0 },
	{ "a meter, as json", meter_to_json, 40 },
	{ "a meter, as frames", meter_to_frames, 30 },
	{ "a live meter, as prometheus", live_meter_to_prometheus, 40 },
	{ "an interface, shared", shared_interface, 2 },
	{ "lanes", lanes, 20 },
	{ "counters", metrics, 4 },
	{ "json", json, 4 },
	{ "an output that holds", output_that_holds, 6 },
	{ "a server", server, 0 },
};

/* False: there are fewer allocations. */
static bool fails(const struct entry *entry, unsigned long n, bool for_good)
{
	int r;

	memset(&heap, 0, sizeof heap);
	heap.fails_at = n;
	heap.for_good = for_good;
	heap.on = true;
	r = entry->call();
	heap.on = false;
	if (r != PM_OK && (r != PM_E_MEMORY || !heap.failed))
		fail_msg("%s, allocation %lu: code %d", entry->name, n, r);
	if (heap.held != 0)
		fail_msg("%s, allocation %lu: %ld blocks are left", entry->name, n, heap.held);
	return heap.failed;
}

static void entry_holds(void **state)
{
	const struct entry *entry = *state;

	fails(entry, 0, false); /* what is allocated once, and kept */
	for (int for_good = 0; for_good < 2; for_good++) {
		unsigned long n = 1;

		while (fails(entry, n, for_good))
			n += n < 150 ? 1 : n / 8; /* behind the first come many that are alike */
		assert_true(n > entry->least);
	}
}

static void ask_for_names(void)
{
	enum pm_transport transport;
	enum pm_format format;
	enum pm_pack pack;
	enum pm_sync sync;

	assert_true(pm_pack_find("none", &pack));
	assert_true(pm_sync_find("never", &sync));
	assert_true(pm_pack_built(pack));
	assert_non_null(pm_pack_name(pack));
	assert_non_null(pm_sync_name(sync));
	assert_true(pm_transport_find("tcp", 3, &transport) && pm_format_find("json", &format));
	assert_non_null(pm_version());
	assert_non_null(pm_strerror(PM_E_MEMORY));
	assert_non_null(pm_transport_name(PM_TRANSPORT_TCP));
	assert_non_null(pm_verdict_name(PM_VERDICT_PORTS));
	assert_non_null(pm_remark_name(PM_REMARK_ERROR));
	assert_non_null(pm_side_name(PM_SIDE_DST));
	assert_non_null(pm_rung_name(PM_RUNG_ZERO));
	assert_non_null(pm_range_name(pm_range_of(80)));
	assert_non_null(pm_facet_name(pm_facet_of(PM_ANOMALY_PORT_SCAN)));
	assert_non_null(pm_protocol_name(1));
	assert_non_null(pm_talk_name(PM_TALK_SYN));
	assert_non_null(pm_format_name(PM_FORMAT_JSON));
	assert_non_null(pm_tunnels_name(0));
	assert_non_null(pm_link_name(pm_link_at(0)));
	assert_int_equal(pm_link_number(pm_link_find(1)), 1);
}

static void ask_for_figures(void)
{
	char text[PM_ADDRESS_TEXT_SIZE], time[PM_TIME_TEXT_SIZE], hex[PM_SHA256_HEX_SIZE];
	struct pm_error err = { .line = 0 };
	struct pm_sha256 sha;
	uint8_t digest[PM_SHA256_SIZE];
	const char *function = "abort";
	void *at;

	assert_int_equal(pm_error_set(&err, PM_E_IO, "file", 1, 2, "text %d", 3), PM_E_IO);
	pm_hash(pm_hash_key_random(), text, 0);
	pm_pages_make(text, 1);
	assert_true(pm_library_load(NULL, &function, 1, text, sizeof text, &at));
	assert_int_equal(pm_utf8_sequence("\xc3\xa9"), 2);
	pm_sha256_init(&sha);
	pm_sha256_update(&sha, "a", 1);
	pm_sha256_final(&sha, digest);
	pm_sha256_hex(digest, hex);
	pm_time_text(pm_time_floor(pm_time_add(pm_time_now(), 1), SECOND), time);
	pm_time_make_any(1, 2);
	pm_time_steady();
	pm_address_text(4, &one, text);
}

static void ask_for_rules(void)
{
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS, .ip_version = 4, .dst_port = 53 };
	enum pm_transport transport;
	struct pm_address address;
	uint16_t port;
	int version;

	packet.src_port = 40000;
	assert_int_equal(pm_rules_query("udp/53@192.0.2.1", NULL, &transport, &port, &version, &address), PM_OK);
	assert_non_null(pm_rules_name(rules, pm_rules_label(rules, transport, port)));
	assert_true(pm_rules_label_at(rules, transport, port, version, &address) != 0);
	assert_true(pm_rules_scoped(rules, transport, port) && pm_rules_any_scope(rules));
	assert_true(pm_rules_metric(rules, PM_TRANSPORT_TCP, 80));
	assert_non_null(pm_rules_category(rules, pm_rules_label(rules, transport, port)));
	assert_non_null(pm_rules_sha256(rules));
	assert_int_equal(pm_rules_generation(rules), 1);
	assert_true(pm_rules_services(rules) >= 4 && pm_rules_conflicts(rules) < 4);
	assert_int_equal(pm_side_decide(rules, &packet).side, PM_SIDE_DST);
	assert_int_equal(pm_side_decide_brief(rules, pm_brief_of(&packet)).side, PM_SIDE_DST);
	assert_true(pm_side_label(rules, &packet, PM_SIDE_DST) != 0);
}

static void ask_for_packets(void)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_packet packet;

	traffic_ip4(bytes, 6, 40000, 53, 0);
	pm_packet_decode(pm_link_find(LINKTYPE_RAW), bytes, sizeof bytes, sizeof bytes, &packet);
	assert_int_equal(packet.verdict, PM_VERDICT_PORTS);
	pm_packet_brief(pm_link_find(LINKTYPE_RAW), bytes, sizeof bytes, sizeof bytes);
}

static void what_only_answers_asks_for_no_memory(void **state)
{
	(void)state;
	memset(&heap, 0, sizeof heap);
	heap.fails_at = 1;
	heap.for_good = true;
	heap.on = true;
	ask_for_names();
	ask_for_figures();
	ask_for_rules();
	ask_for_packets();
	heap.on = false;
	assert_int_equal(heap.n, 0);
}

static void write_capture(void)
{
	static const uint32_t head[6] = { 0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, LINKTYPE_RAW };
	FILE *file = fopen(capture_path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof head, 1, file), 1);
	for (uint32_t i = 0; i < CAPTURED; i++) {
		const uint32_t record[4] = { 1700000000 + i / 10, 0, TRAFFIC_SIZE, TRAFFIC_SIZE };
		uint8_t bytes[TRAFFIC_SIZE];

		traffic_ip4(bytes, i % 2 ? 6 : 17, 40000, 53, 0);
		assert_int_equal(fwrite(record, sizeof record, 1, file), 1);
		assert_int_equal(fwrite(bytes, sizeof bytes, 1, file), 1);
	}
	assert_int_equal(fclose(file), 0);
}

static int load(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	snprintf(folder, sizeof folder, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	if (!mkdtemp(folder))
		return -1;
	snprintf(capture_path, sizeof capture_path, "%s/a.pcap", folder);
	snprintf(out_path, sizeof out_path, "%s/out", folder);
	write_capture();
	rules = traffic_rules(rules_text, 1);
	return rules ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	remove(capture_path);
	return rmdir(folder);
}

int main(void)
{
	struct CMUnitTest tests[COUNT(entries) + 1] = {
		cmocka_unit_test(what_only_answers_asks_for_no_memory),
	};

	for (size_t i = 0; i < COUNT(entries); i++)
		tests[i + 1] = (struct CMUnitTest){ entries[i].name, entry_holds, NULL, NULL,
						    (void *)&entries[i] };
	return cmocka_run_group_tests_name("entries", tests, load, unload);
}
