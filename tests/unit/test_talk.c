/* SPDX-License-Identifier: MIT */
/*
 * Conversations through the whole engine: what is made of them does not depend on who counts them.
 * Random ones, of all kinds, between each other: frame by frame, by several threads over blocks of
 * any size, with nothing kept of what was decided, and the general way for every frame. The records
 * are the same bytes; and what frames are said to be, one by one, adds up to them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "portmeter/meter.h"
#include "portmeter/output.h"
#include "meter-internal.h"
#include "sums.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ROUNDS 16 /* every way once, with new rules or without */
#define FRAMES 6000
#define TIDES 150000
#define TALKS 48 /* at a time */
#define FRAME_MAX 200
#define SERVICES_MAX 32

static const char *const rule_texts[] = {
	"http 80/tcp/udp/sctp metric=port\ndomain 53/tcp/udp\nftp-data 20/tcp initiates=yes\n"
	"system 700/tcp/udp priority=10\nweak 9000-9400/tcp/udp priority=10\n"
	"scoped 7000/tcp/udp host=10.0.0.0/30\n",
	"http 80/tcp priority=10\nodd 45000/tcp/udp\nweak 9000-9100/tcp priority=20\n"
	"domain 53/udp\nftp-data 20/tcp initiates=yes\nscoped 45000/tcp host=2001:db8::/32\n",
};

static struct pm_rules *rules[COUNT(rule_texts)];
static char folder[256], capture_path[300], out_path[300];

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

static int load(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof folder, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	if (!mkdtemp(folder))
		return -1;
	snprintf(capture_path, sizeof capture_path, "%s/talk.pcap", folder);
	snprintf(out_path, sizeof out_path, "%s/out", folder);
	return traffic_rules_each(rule_texts, COUNT(rules), rules) ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++)
		pm_rules_unref(rules[i]);
	remove(capture_path);
	return rmdir(folder);
}

enum kind {
	WHOLE,  /* with its handshake */
	MIDDLE, /* without */
	REFUSED,
	UNANSWERED, /* and asked again */
	ONE_SIDED,  /* only what the client says */
	ALONE,      /* SYN-ACKs that nobody asked for */
	DATAGRAMS,
	CHUNKS, /* of SCTP */
	KINDS,
};

/* A conversation. The client is host @a, and it is not yet told whose frame comes next. */
struct talk {
	enum kind kind;
	bool six, tunnel, vlan, odd_link;
	uint8_t a, b;
	uint16_t client, server;
	unsigned said, left;
};

static struct talk talks[TALKS];

static uint16_t draw_server(void)
{
	static const uint16_t ports[] = { 80, 80, 53, 700, 9000, 9050,
					  7000, 45000, 45000, 45001, 3000, 443 };

	return ports[draw(COUNT(ports))];
}

static void talk_begin(struct talk *talk)
{
	*talk = (struct talk){ .kind = (enum kind)draw(KINDS),
			       .six = draw(4) == 0,
			       .tunnel = draw(8) == 0,
			       .vlan = draw(8) == 0,
			       .odd_link = draw(50) == 0,
			       .a = (uint8_t)(16 + draw(64)),
			       .b = (uint8_t)(1 + draw(8)),
			       .client = (uint16_t)(draw(4) ? 40000 + draw(4000) : draw_server()),
			       .server = draw_server(),
			       .left = 1 + draw(12) };
	if (draw(16) == 0) /* active FTP */
		*talk = (struct talk){ .kind = WHOLE,
				       .a = 3,
				       .b = talk->a,
				       .client = 20,
				       .server = talk->client,
				       .left = 8 };
	if (draw(32) == 0)
		talk->b = talk->a;
}

/* Where a frame is being written, and how much of it the capture holds. */
static uint8_t frame[FRAME_MAX];
static size_t frame_size, frame_held;

static void put(const void *bytes, size_t size)
{
	assert_true(frame_size + size <= sizeof frame);
	memcpy(frame + frame_size, bytes, size);
	frame_size += size;
}

static void put_ethernet(const struct talk *talk, bool back, bool six)
{
	uint8_t other = talk->odd_link && draw(2); /* another sends in the host's name */
	uint8_t from = back ? talk->b : talk->a, to = back ? talk->a : talk->b;
	uint8_t head[18] = { 2, 0, 0, 0, 0, to, 2, 0, 0, 0, other, from };
	size_t size = 12;

	if (talk->vlan) {
		put16(head + size, 0x8100);
		size += 4;
	}
	put16(head + size, six ? 0x86dd : 0x0800);
	put(head, size + 2);
}

/* What is behind it is @size bytes, of which a fragment says where they stand. */
static void put_ip(const struct talk *talk, bool back, uint8_t protocol, size_t size, unsigned id,
		   unsigned fragment)
{
	uint8_t from = back ? talk->b : talk->a, to = back ? talk->a : talk->b;
	uint8_t head4[20] = { 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0,
			      10, 0, 0, from, 10, 0, 0, to };
	uint8_t head6[40] = { 0x60, 0, 0, 0, 0, 0, protocol, 64, 0x20, 1, 0x0d, 0xb8 };

	if (!talk->six) {
		put16(head4 + 2, (unsigned)(20 + size));
		put16(head4 + 4, id);
		put16(head4 + 6, fragment);
		put(head4, sizeof head4);
		return;
	}
	put16(head6 + 4, (unsigned)size);
	head6[23] = from;
	memcpy(head6 + 24, head6 + 8, 4);
	head6[39] = to;
	put(head6, sizeof head6);
}

/* Ethernet, an IPv4 datagram of UDP and VXLAN's header (RFC 7348); within is Ethernet again. */
static void put_tunnel(size_t inner)
{
	static const uint8_t outer[] = "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
				       "\x45\0\0\0\0\0\0\0\x40\x11\0\0\xc0\0\2\1\xc0\0\2\2"
				       "\xc0\0\x12\xb5\0\0\0\0\x08\0\0\0\0\0\1";

	put(outer, sizeof outer - 1);
	put("", 1);
	put16(frame + 16, (unsigned)(36 + inner));
	put16(frame + 38, (unsigned)(16 + inner));
}

static void put_frame(const struct talk *talk, bool back, uint8_t protocol, uint8_t flags,
		      bool first, bool later)
{
	uint8_t body[32] = { 0 };
	size_t size = protocol == 6 ? 20 : 24;
	unsigned id = talk->client ^ (unsigned)(back << 8) ^ talk->a;

	frame_size = 0;
	if (talk->tunnel)
		put_tunnel((talk->vlan ? 18u : 14u) + (talk->six ? 40 : 20) + size);
	put_ethernet(talk, back, talk->six);
	put_ip(talk, back, protocol, size, id, later ? 3 : first ? 0x2000
								 : 0);
	put16(body, back ? talk->server : talk->client);
	put16(body + 2, back ? talk->client : talk->server);
	if (protocol == 6) {
		body[12] = 0x50;
		body[13] = flags;
	} else if (protocol == 132) {
		body[12] = flags; /* the type of the first chunk */
		body[15] = 12;
	} else {
		put16(body + 4, (unsigned)size);
	}
	put(body, size);
	frame_held = draw(100) ? frame_size : draw((unsigned)frame_size);
	if (first && draw(4) == 0) /* before its ports end */
		frame_held = frame_size - size + draw(4);
}

/* The next frame of a conversation of TCP with a handshake. */
static void put_whole(const struct talk *talk)
{
	static const uint8_t flags[] = { PM_TCP_SYN, PM_TCP_SYN | PM_TCP_ACK, PM_TCP_ACK };
	bool back = talk->said == 1 || (talk->said > 2 && draw(2));
	uint8_t last = draw(2) ? PM_TCP_FIN | PM_TCP_ACK : PM_TCP_RST;
	uint8_t more = talk->left > 2 ? PM_TCP_ACK : last;

	put_frame(talk, back, 6, talk->said < 3 ? flags[talk->said] : more, false, false);
}

static void put_datagram(const struct talk *talk)
{
	bool first = !talk->six && draw(6) == 0, later = !first && !talk->six && draw(6) == 0;

	put_frame(talk, talk->said ? draw(2) : 0, 17, 0, first, later);
}

static void talk_go_on(struct talk *talk)
{
	static const uint8_t chunks[] = { 1, 2, 10, 0 }; /* INIT, INIT ACK, COOKIE ECHO, DATA */
	bool back = talk->said % 2;

	switch (talk->kind) {
	case WHOLE:
		put_whole(talk);
		break;
	case MIDDLE:
		put_frame(talk, draw(2), 6, PM_TCP_ACK, false, false);
		break;
	case REFUSED:
		put_frame(talk, back, 6, back ? PM_TCP_RST | PM_TCP_ACK : PM_TCP_SYN, false, false);
		break;
	case UNANSWERED:
		put_frame(talk, false, 6, draw(4) ? PM_TCP_SYN : PM_TCP_RST, false, false);
		break;
	case ONE_SIDED:
		put_frame(talk, false, 6, talk->said ? PM_TCP_ACK : PM_TCP_SYN, false, false);
		break;
	case ALONE:
		put_frame(talk, true, 6, PM_TCP_SYN | PM_TCP_ACK, false, false);
		break;
	case DATAGRAMS:
		put_datagram(talk);
		break;
	default:
		put_frame(talk, back, 132, chunks[talk->said < 3 ? talk->said : 3], false, false);
		break;
	}
	talk->said++;
	talk->left--;
}

static FILE *capture_begin(void)
{
	static const uint32_t head[6] = { 0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65535, 1 };
	FILE *file = fopen(capture_path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(head, sizeof head, 1, file), 1);
	return file;
}

/* Of a frame of @size bytes, the first @held. */
static void write_record(FILE *file, int64_t at_us, const uint8_t *bytes, size_t held, size_t size)
{
	uint32_t record[4] = { (uint32_t)(at_us / 1000000), (uint32_t)(at_us % 1000000),
			       (uint32_t)held, (uint32_t)size };

	assert_int_equal(fwrite(record, sizeof record, 1, file), 1);
	assert_int_equal(fwrite(bytes, held, 1, file), held > 0);
}

static void write_capture(void)
{
	int64_t at_us = INT64_C(1700000000000000);
	FILE *file = capture_begin();

	memset(talks, 0, sizeof talks);
	for (int i = 0; i < FRAMES; i++) {
		struct talk *talk = &talks[draw(TALKS)];
		int64_t when;

		if (talk->left == 0)
			talk_begin(talk);
		talk_go_on(talk);
		at_us += draw(10000);
		if (draw(2000) == 0)
			at_us += draw(4) ? 130000000 : INT64_C(8000000000);
		when = draw(300) ? at_us : at_us - draw(1500000);
		write_record(file, when, frame, frame_held, frame_size);
	}
	assert_int_equal(fclose(file), 0);
}

/*
 * Of some conversations each frame is known, and of others there is one. Most are the first, or
 * hardly any, by turns.
 */
static void write_tides(unsigned frames)
{
	uint8_t bytes[54] = { [12] = 8, [14] = 0x45, [17] = 40, [22] = 64, [26] = 10, [30] = 10 };
	FILE *file = capture_begin();

	for (unsigned i = 0; i < frames; i++) {
		bool one = draw(100) < (i / 30000 % 2 ? 75 : 25), udp = draw(4) == 0;
		unsigned client = one ? draw(65536) : draw(40);

		bytes[23] = udp ? 17 : 6;
		put16(bytes + 28, client);
		bytes[33] = (uint8_t)(1 + client % 5);
		put16(bytes + 34, 40000 + (one ? draw(20000) : client));
		put16(bytes + 36, udp ? 53 : client % 4 ? 80 : 45000);
		bytes[47] = draw(200) ? 0x10 : 0x02;
		write_record(file, INT64_C(1700000000000000) + i, bytes, sizeof bytes,
			     sizeof bytes);
	}
	assert_int_equal(fclose(file), 0);
}

/* How a run counts. */
struct way {
	size_t workers; /* 0: frame by frame */
	size_t block;
	enum pm_flows_use flows;
	bool frames; /* each is reported, so that all take the general way */
	/* the same for all ways of a round */
	int64_t interval_ns;
	const struct pm_tunnels *tunnels;
	size_t by_endpoint;
	bool new_rules;
};

struct run {
	const struct way *way;
	struct pm_capture *capture;
	struct pm_meter *meter;
	struct pm_output *output;
	struct pm_crew *crew;
	uint64_t frames, records, sessions, learned, set_up;
	/* What frames were said to be since the last record. */
	const struct pm_rules *said_by;
	uint64_t said[PM_TRANSPORT_N][SERVICES_MAX][PM_RUNG_N];
};

static void on_report(void *ctx, const struct pm_frame_report *report)
{
	struct run *run = ctx;

	run->said_by = report->rules;
	if (report->verdict != PM_VERDICT_PORTS)
		return;
	assert_true(report->decision.service < SERVICES_MAX);
	run->said[report->transport][report->decision.service][report->decision.rung]++;
}

static void is_what_was_said(struct run *run, const struct pm_record *record)
{
	uint64_t unknown[PM_RUNG_N] = { 0 }, rows = 0, services = 0;

	for (int t = 0; t < PM_TRANSPORT_N; t++)
		for (uint32_t s = 0; s < SERVICES_MAX; s++)
			for (int rung = 0; rung < PM_RUNG_N; rung++)
				*(s ? &services : &unknown[rung]) += run->said[t][s][rung];
	assert_memory_equal(unknown, record->unknown.side_by, sizeof unknown);
	for (size_t i = 0; i < record->n_services; i++) {
		const struct pm_service_row *row = &record->services[i];
		uint32_t id = 1;

		while (strcmp(pm_rules_name(run->said_by, id), row->service) != 0)
			id++;
		assert_memory_equal(run->said[row->transport][id], row->side_by,
				    sizeof row->side_by);
		rows += row->count.packets;
	}
	assert_int_equal(rows, services);
	memset(run->said, 0, sizeof run->said);
}

static void on_closed(void *ctx)
{
	static const struct pm_source source = { .name = "talk", .files = 1, .snaplen = -1 };
	struct run *run = ctx;
	struct pm_tally *tally;
	struct pm_record *record;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
		pm_meter_give(run->meter, tally);
		if (sums_problem(record))
			fail_msg("record %d: %s", (int)record->seq, sums_problem(record));
		if (run->way->frames)
			is_what_was_said(run, record);
		for (size_t i = 0; i < record->n_services; i++) {
			run->sessions += record->services[i].talk[PM_TALK_SESSIONS];
			run->learned += record->services[i].side_by[PM_RUNG_LEARNED];
			run->set_up += record->services[i].side_by[PM_RUNG_HANDSHAKE];
		}
		assert_int_equal(pm_output_record(run->output, record, NULL), PM_OK);
		pm_record_free(record);
		if (run->way->new_rules && ++run->records % 3 == 0)
			pm_meter_set_rules(run->meter, rules[run->records / 3 % 2], PM_TIME_MIN);
	}
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

static bool woken; /* flows have been awake */

/* Whether they are now; never anything to be done. */
static bool look_at_flows(void *ctx)
{
	const struct pm_meter *meter = ctx;

	woken |= !__atomic_load_n(&meter->flows->asleep, __ATOMIC_RELAXED);
	return false;
}

struct hand {
	pthread_t thread;
	struct pm_crew *crew;
	size_t index;
};

static void *hand_main(void *ctx)
{
	struct hand *hand = ctx;

	pm_crew_work(hand->crew, hand->index);
	return NULL;
}

static void work_together(struct run *run)
{
	const struct pm_crew_options options = {
		.capture = run->capture,
		.meter = run->meter,
		.workers = run->way->workers,
		.due = look_at_flows,
		.mind = never,
		.frame = pm_meter_frame,
		.ctx = run->meter,
	};
	struct hand hands[8];
	size_t n;

	assert_int_equal(pm_crew_new(&options, &run->crew), PM_OK);
	n = pm_crew_workers(run->crew);
	assert_int_equal(n, run->way->workers);
	for (size_t i = 1; i < n; i++) {
		hands[i] = (struct hand){ .crew = run->crew, .index = i };
		assert_int_equal(pthread_create(&hands[i].thread, NULL, hand_main, &hands[i]), 0);
	}
	pm_crew_work(run->crew, 0);
	for (size_t i = 1; i < n; i++)
		pthread_join(hands[i].thread, NULL);
	assert_int_equal(pm_crew_end(run->crew, NULL), PM_CREW_DONE);
	pm_crew_free(run->crew);
}

/* What was written, to be freed. */
static char *read_out(void)
{
	FILE *file = fopen(out_path, "rb");
	char *text;
	long size;

	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = malloc((size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	text[size] = 0;
	fclose(file);
	remove(out_path);
	return text;
}

/* Counts the capture in one way; the records as text. */
static char *count(const struct way *way, struct run *run)
{
	const char *paths[] = { capture_path };
	const struct pm_capture_options capture = { .block = way->block };
	const struct pm_output_options output = { .format = PM_FORMAT_JSON, .path = out_path };
	struct pm_meter_options options = {
		.interval_ns = way->interval_ns,
		.rules = rules[0],
		.tunnels = way->tunnels,
		.by_endpoint = way->by_endpoint,
		.closed = on_closed,
		.flows = way->flows,
		.frame = way->frames ? on_report : NULL,
		.ctx = run,
	};
	struct pm_error err = { .line = 0 };

	memset(run, 0, sizeof *run);
	run->way = way;
	assert_int_equal(pm_allowance_new(PM_ALLOWANCE_BYTES, &options.allowance), PM_OK);
	assert_int_equal(pm_capture_open_files(paths, 1, &capture, &err, &run->capture), PM_OK);
	assert_int_equal(pm_output_open(&output, NULL, &run->output), PM_OK);
	assert_int_equal(pm_meter_new(&options, &run->meter), PM_OK);
	if (way->workers)
		work_together(run);
	while (pm_capture_dispatch(run->capture, 1000, pm_meter_frame, run->meter, &err) > 0)
		look_at_flows(run->meter);
	pm_meter_finish(run->meter, 0, true);
	run->frames = pm_meter_frames(run->meter);
	pm_meter_free(run->meter);
	pm_allowance_unref(options.allowance);
	pm_capture_close(run->capture);
	assert_int_equal(pm_output_close(run->output, NULL), PM_OK);
	return read_out();
}

static void are_the_same(const char *got, const char *want, const struct way *way)
{
	size_t at = 0;

	while (want[at] && got[at] == want[at])
		at++;
	if (got[at] == want[at])
		return;
	at -= at < 100 ? at : 100;
	fail_msg("%d workers, blocks of %d, interval %d ms%s%s%s%s: ...%.200s; not ...%.200s",
		 (int)way->workers, (int)way->block, (int)(way->interval_ns / 1000000),
		 way->flows == PM_FLOWS_NEVER ? ", flows never" :
		 way->flows == PM_FLOWS_EARLY ? ", flows early" : "",
		 way->tunnels ? ", inner" : "", way->by_endpoint ? ", by endpoint" : "",
		 way->new_rules ? ", new rules" : "", got + at, want + at);
}

static void it_does_not_matter_who_counts(void **state)
{
	static const int64_t intervals[] = { 0, SECOND / 2, 2 * SECOND, 10 * SECOND };
	static struct run run;
	struct pm_tunnels *tunnels;
	uint64_t sessions = 0, learned = 0, set_up = 0;

	(void)state;
	assert_int_equal(pm_tunnels_new(&tunnels), PM_OK);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct way way = { .interval_ns = intervals[round % 4], .flows = PM_FLOWS_NEVER };
		char *want, *got;

		seed = round + 1;
		way.tunnels = round / 4 % 2 ? tunnels : NULL;
		way.by_endpoint = round / 8 % 2 ? 65536 : 0;
		way.new_rules = round % 3;
		write_capture();
		want = count(&way, &run);
		assert_int_equal(run.frames, FRAMES);
		sessions += run.sessions;
		learned += run.learned;
		set_up += run.set_up;
		for (way.workers = 2; way.workers <= 4; way.workers++) {
			way.block = 64U << draw(12);
			way.flows = draw(2) ? PM_FLOWS_TRIED : PM_FLOWS_EARLY;
			got = count(&way, &run);
			are_the_same(got, want, &way);
			free(got);
		}
		way.workers = 0;
		for (way.flows = PM_FLOWS_TRIED; way.flows < PM_FLOWS_NEVER; way.flows++) {
			got = count(&way, &run);
			are_the_same(got, want, &way);
			free(got);
		}
		way.frames = true;
		got = count(&way, &run);
		are_the_same(got, want, &way);
		free(got);
		free(want);
	}
	/* There was something to see. */
	assert_true(sessions > 2000 && learned > 10000 && set_up > 10000);
	pm_tunnels_free(tunnels);
}

static void nor_when_flows_fall_asleep(void **state)
{
	static struct run run;

	(void)state;
	woken = false;
	for (unsigned round = 0; round < 2; round++) {
		struct way way = { .flows = PM_FLOWS_NEVER };
		char *want, *got;

		seed = round + 1;
		write_tides(TIDES);
		want = count(&way, &run);
		assert_int_equal(run.frames, TIDES);
		assert_false(woken);
		way.flows = round % 2 ? PM_FLOWS_TRIED : PM_FLOWS_EARLY;
		got = count(&way, &run);
		are_the_same(got, want, &way);
		free(got);
		assert_true(woken);
		for (way.workers = 2; way.workers <= 4; way.workers++) {
			woken = false;
			way.block = 64U << draw(12);
			got = count(&way, &run);
			are_the_same(got, want, &way);
			free(got);
			assert_true(woken);
		}
		woken = false;
		free(want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_does_not_matter_who_counts),
		cmocka_unit_test(nor_when_flows_fall_asleep),
	};

	return cmocka_run_group_tests_name("talk", tests, load, unload);
}
