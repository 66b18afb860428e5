/* SPDX-License-Identifier: MIT */
/*
 * Whatever frames come, at whatever times: every record closes, every frame is in exactly one and
 * has exactly one fate. Random and damaged frames of all link types, from a fixed seed.
 */
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
#define FRAMES 45000
#define BYTES_MAX 256

#define RULES                                                              \
	"domain 53/udp/tcp/udplite\nhttp 80/tcp/sctp/dccp metric=port\n"  \
	"ntp 123/udp\nrange 8000-8999/tcp/udp\n"                          \
	"scoped 53/udp host=192.0.2.0/24\nscoped6 80/tcp host=2001:db8::/32\n" \
	"calls 20/tcp initiates=yes\n"

static const char *const rule_texts[] = {
	RULES,
	"few 53/udp\n",
	"# none\n",
};

/* Numerical Recipes' generator: the same on every machine. */
static uint32_t next(uint32_t *random)
{
	*random = *random * UINT32_C(1664525) + UINT32_C(1013904223);
	return *random >> 8;
}

static bool one_in(uint32_t *random, uint32_t n)
{
	return next(random) % n == 0;
}

struct run {
	uint32_t random;
	struct pm_meter *meter;
	struct pm_rules *rules[COUNT(rule_texts)];
	uint64_t sent, recorded, records, last_seq;
	uint8_t fates[FRAMES + 1];
	/* What the frames' fates add up to since the last record. */
	struct pm_count totals, verdicts[PM_VERDICT_N], transports[PM_TRANSPORT_N];
	bool stalled;
};

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct run *run = ctx;
	struct pm_count one = { 1, report->wire };

	assert_in_range(report->number, 1, run->sent);
	assert_int_equal(++run->fates[report->number], 1);
	pm_count_add(&run->totals, one);
	pm_count_add(&run->verdicts[report->verdict], one);
	if (report->verdict == PM_VERDICT_PORTS)
		pm_count_add(&run->transports[report->transport], one);
	assert_true(report->decision.service <= pm_rules_services(report->rules));
}

static void is_what_was_reported(struct run *run, const struct pm_record *record)
{
	struct pm_count verdicts[PM_VERDICT_N] = { { 0, 0 } };

	assert_true(sums_equal(record->totals, run->totals));
	for (size_t i = 0; i < record->n_no_port; i++)
		pm_count_add(&verdicts[record->no_port[i].reason], record->no_port[i].count);
	for (int v = 0; v < PM_VERDICT_N; v++)
		if (v != PM_VERDICT_PORTS)
			assert_true(sums_equal(verdicts[v], run->verdicts[v]));
	for (size_t i = 0; i < record->n_transports; i++)
		assert_true(sums_equal(record->transports[i].count,
				       run->transports[record->transports[i].transport]));
	memset(&run->totals, 0, sizeof run->totals);
	memset(run->verdicts, 0, sizeof run->verdicts);
	memset(run->transports, 0, sizeof run->transports);
}

static void closes(const struct pm_record *record)
{
	const char *problem = sums_problem(record);

	if (problem)
		fail_msg("record %llu: %s", (unsigned long long)record->seq, problem);
}

static void take_records(struct run *run)
{
	static const struct pm_source source = { .name = "random", .snaplen = -1 };
	struct pm_tally *tally;
	struct pm_record *record;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
		pm_meter_give(run->meter, tally);
		assert_int_equal(record->seq, ++run->last_seq);
		closes(record);
		if (!run->stalled)
			is_what_was_reported(run, record);
		pm_record_cut(record, run->records % 3 == 0 ? 0 : 1 + run->records % 7,
			      run->records % 2);
		closes(record);
		run->recorded += record->totals.packets;
		run->records++;
		pm_record_free(record);
	}
}

static void on_closed(void *ctx)
{
	struct run *run = ctx;

	if (!run->stalled)
		take_records(run);
}

static size_t put(uint8_t *to, const void *bytes, size_t size)
{
	memcpy(to, bytes, size);
	return size;
}

/* A link layer header in front of IP of @version; for link types that are not here, none. */
static size_t put_link(uint8_t *to, uint32_t linktype, int version)
{
	static const uint8_t ethernet4[] = "\0\0\x5e\0\x53\x02\0\0\x5e\0\x53\x01\x08";
	static const uint8_t ethernet6[] = "\0\0\x5e\0\x53\x02\0\0\x5e\0\x53\x01\x86\xdd";
	static const uint8_t cooked4[] = "\0\0\0\x01\0\x06\0\0\x5e\0\x53\x01\0\0\x08";
	static const uint8_t cooked6[] = "\0\0\0\x01\0\x06\0\0\x5e\0\x53\x01\0\0\x86\xdd";
	static const uint8_t second4[] = "\x08\0\0\0\0\0\0\x02\0\x01\0\x06\0\0\x5e\0\x53\x01\0";
	static const uint8_t second6[] = "\x86\xdd\0\0\0\0\0\x02\0\x01\0\x06\0\0\x5e\0\x53\x01\0";
	bool four = version == 4;

	switch (linktype) {
	case 1:
		return put(to, four ? ethernet4 : ethernet6, 14);
	case 0:
		return put(to, four ? "\x02\0\0\0" : "\x1c\0\0\0", 4);
	case 108:
		return put(to, four ? "\0\0\0\x02" : "\0\0\0\x1c", 4);
	case 113:
		return put(to, four ? cooked4 : cooked6, 16);
	case 276:
		return put(to, four ? second4 : second6, 20);
	case 9:
	case 50:
		return put(to, four ? "\xff\x03\0\x21" : "\xff\x03\0\x57", 4);
	default:
		return 0;
	}
}

static unsigned random_port(uint32_t *random)
{
	static const uint16_t ports[] = { 0,   0,    20,    53,    53,    80,
					  123, 8080, 32767, 32768, 50001, 65535 };

	return one_in(random, 3) ? next(random) & 0xffff : ports[next(random) % COUNT(ports)];
}

static size_t put_ip4(uint8_t *to, uint32_t *random, uint8_t protocol)
{
	traffic_ip4(to, protocol, random_port(random), random_port(random), 0);
	if (one_in(random, 4))
		traffic_fragment(to, next(random) % 16, next(random) % 3, one_in(random, 2));
	if (one_in(random, 16))
		put16(to + 2, 0);
	return TRAFFIC_SIZE;
}

static size_t put_ip6(uint8_t *to, uint32_t *random, uint8_t protocol)
{
	size_t at = 40;

	memset(to, 0, 72);
	to[0] = 0x60;
	to[6] = protocol;
	to[7] = 64;
	put(to + 8, "\x20\x01\x0d\xb8", 4);
	put(to + 24, "\x20\x01\x0d\xb8", 4);
	if (one_in(random, 4)) {
		to[6] = 44;
		to[40] = protocol;
		put16(to + 42, next(random) % 3 << 3 | next(random) % 2);
		put16(to + 46, next(random) % 16);
		at += 8;
	}
	put16(to + at, random_port(random));
	put16(to + at + 2, random_port(random));
	put16(to + 4, (unsigned)at + 20 - 40);
	return at + 20;
}

/* An IPv4 header and a tunnel's, for a packet of @version behind them; whole or in pieces. */
static size_t put_tunnel(uint8_t *to, uint32_t *random, int version)
{
	static const uint8_t vxlan[] = "\xc0\0\x12\xb5\0\0\0\0\x08\0\0\0\0\0\1";
	size_t at = 20;

	traffic_ip4(to, version == 4 ? 4 : 41, 0, 0, 0);
	put16(to + 2, 0);
	if (one_in(random, 3))
		traffic_fragment(to, next(random) % 16, next(random) % 3, one_in(random, 2));
	switch (next(random) % 3) {
	case 0:
		return at;
	case 1:
		to[9] = 47;
		at += put(to + at, version == 4 ? "\0\0\x08\0" : "\0\0\x86\xdd", 4);
		return at;
	default:
		to[9] = 17;
		at += put(to + at, vxlan, 16);
		return at + put_link(to + at, 1, version);
	}
}

/* Fills @bytes; returns how many. */
static size_t random_frame(uint8_t bytes[BYTES_MAX], uint32_t *random, uint32_t linktype)
{
	static const uint8_t protocols[] = { 6, 17, 136, 132, 33, 6, 17, 1, 58, 47, 255 };
	uint8_t protocol = protocols[next(random) % COUNT(protocols)];
	int version = linktype == 228 ? 4 : linktype == 229 ? 6 : one_in(random, 2) ? 4 : 6;
	size_t size;

	if (one_in(random, 16)) {
		size = next(random) % BYTES_MAX;
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)next(random);
		return size;
	}
	size = put_link(bytes, linktype, version);
	for (uint32_t n = next(random) % 4; version == 4 && n > 1; n--) {
		version = linktype != 228 && one_in(random, 3) ? 6 : 4;
		size += put_tunnel(bytes + size, random, version);
	}
	size += version == 4 ? put_ip4(bytes + size, random, protocol)
			     : put_ip6(bytes + size, random, protocol);
	if (one_in(random, 8))
		for (uint32_t n = 1 + next(random) % 4; n > 0; n--)
			bytes[next(random) % size] ^= (uint8_t)(1 + next(random) % 255);
	return size;
}

static int64_t random_time(uint32_t *random, int64_t now)
{
	static const int64_t jumps[] = { INT64_MIN, INT64_MAX, 0, -1,
					 INT64_C(4102444800000000000) };

	if (one_in(random, 4000))
		return jumps[next(random) % COUNT(jumps)];
	if (one_in(random, 200))
		return now - (int64_t)next(random) * 1000;
	return now;
}

static void send(struct run *run, const struct pm_link *link, int64_t now)
{
	uint8_t bytes[BYTES_MAX];
	uint32_t *random = &run->random;
	uint32_t linktype = link ? pm_link_number(link) : 65000;
	size_t size = random_frame(bytes, random, linktype);
	struct pm_frame frame = { .bytes = bytes, .linktype = linktype, .number = ++run->sent };

	frame.wire = frame.held = (uint32_t)size;
	if (one_in(random, 8) && size)
		frame.held = next(random) % (uint32_t)size;
	if (one_in(random, 16))
		frame.wire += next(random) % 70000;
	if (one_in(random, 1000))
		frame.wire = UINT32_MAX;
	if (one_in(random, 1000) && frame.held)
		frame.wire = next(random) % frame.held; /* contradicts itself */
	frame.time_ns = random_time(random, now);
	pm_meter_frame(run->meter, &frame);
}

struct property_case {
	const char *name;
	int64_t interval_ns;
	uint32_t seed;
	bool stalled, live, inner;
	size_t endpoints;
};

static const struct property_case cases[] = {
	{ "records of intervals of 10 ms close", 10000000, 1, false, false },
	{ "records of intervals of a tenth of a second close", SECOND / 10, 2, false, false },
	{ "records of intervals of 10 s close", 10 * SECOND, 3, false, false },
	{ "the record of everything closes", 0, 4, false, false },
	{ "merged records of a stalled reporter close", SECOND / 10, 5, true, false },
	{ "live records close", SECOND, 6, false, true },
	{ "records of the innermost layer close", SECOND / 10, 7, false, false, true },
	{ "records by endpoint close", SECOND / 10, 8, false, false, true, 65536 },
	{ "records by more endpoints than are kept close", SECOND, 9, false, false, false, 40 },
	{ "merged records by endpoint close", SECOND / 10, 10, true, false, true, 300 },
};

static void send_all(struct run *run, const struct property_case *row)
{
	const struct pm_link *link = NULL;
	int64_t now = 1000 * SECOND;
	size_t links = 0;

	while (pm_link_at(links))
		links++;
	for (int i = 0; i < FRAMES; i++) {
		now += next(&run->random) % 400000; /* 9 s in all */
		if (i % 64 ==
		    0) /* runs of one type, as captures have them; one past the last: unknown */
			link = pm_link_at(next(&run->random) % (links + 1));
		send(run, link, now);
		if (row->live && i % 50 == 0)
			pm_meter_tick(run->meter, now);
		if (one_in(&run->random, 3000))
			pm_meter_cut(run->meter, now);
		if (one_in(&run->random, 2000))
			pm_meter_set_rules(run->meter,
					   run->rules[next(&run->random) % COUNT(rule_texts)],
					   PM_TIME_MIN);
	}
	pm_meter_finish(run->meter, now, true);
	take_records(run);
}

static void property_case_holds(void **state)
{
	const struct property_case *row = *state;
	struct run *run = calloc(1, sizeof *run);
	struct pm_meter_options options = {
		.interval_ns = row->interval_ns,
		.live = row->live,
		.closed = on_closed,
		.frame = on_fate,
		.ctx = run,
	};
	struct pm_tunnels *tunnels;

	assert_non_null(run);
	assert_int_equal(pm_tunnels_new(&tunnels), PM_OK);
	options.tunnels = row->inner ? tunnels : NULL;
	options.by_endpoint = row->endpoints;
	run->random = row->seed;
	run->stalled = row->stalled;
	for (size_t i = 0; i < COUNT(rule_texts); i++) {
		run->rules[i] = traffic_rules(rule_texts[i], i + 1);
		assert_non_null(run->rules[i]);
	}
	options.rules = run->rules[0];
	assert_int_equal(pm_meter_new(&options, &run->meter), PM_OK);
	send_all(run, row);
	assert_int_equal(run->recorded, FRAMES);
	assert_int_equal(pm_meter_frames(run->meter), FRAMES);
	for (size_t i = 1; i <= FRAMES; i++)
		assert_int_equal(run->fates[i], 1);
	assert_true(run->records > (row->stalled ? 0 : 9));
	pm_meter_free(run->meter);
	pm_tunnels_free(tunnels);
	for (size_t i = 0; i < COUNT(rule_texts); i++)
		pm_rules_unref(run->rules[i]);
	free(run);
}

int main(void)
{
	struct CMUnitTest tests[COUNT(cases)];

	for (size_t i = 0; i < COUNT(cases); i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, property_case_holds, NULL, NULL,
						(void *)(uintptr_t)&cases[i] };
	return _cmocka_run_group_tests("properties", tests, COUNT(tests), NULL, NULL);
}
