/* SPDX-License-Identifier: MIT */
/*
 * What the ladder remembers: what each frame of a conversation is told to be, what is learned from
 * it, how long that holds; and what is told of attempts without answer, and of who opened.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "portmeter/service.h"

#define TCP PM_TRANSPORT_TCP
#define UDP PM_TRANSPORT_UDP
#define SCTP PM_TRANSPORT_SCTP
#define DCCP PM_TRANSPORT_DCCP
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SECOND PM_NS_PER_S
#define START (INT64_C(1000) * SECOND)
#define TOLD_MAX 65536

/* Drawn: addresses and ports must not meet. */
#define KEY                                                                \
	{                                                                  \
		UINT64_C(0x8c2f9b6ae14d7053), UINT64_C(0x51d3e07fb8a2649c) \
	}

static const struct pm_hash_key key = KEY;
static struct pm_rules *rules;

struct fixture {
	struct pm_learner *learner;
	struct pm_evidence told[TOLD_MAX]; /* of the kind that is wanted */
	size_t n;
	enum pm_event wanted;
	uint64_t number; /* of the last frame */
	uint8_t version;
	uint8_t src[16], dst[16];
	uint8_t notes; /* of the next frames */
	struct pm_packet packet;
};

static struct fixture f;

static void on_event(void *ctx, const struct pm_evidence *evidence)
{
	(void)ctx;
	if (evidence->event != f.wanted)
		return;
	assert_true(f.n < TOLD_MAX);
	f.told[f.n++] = *evidence;
}

static int begin(void **state)
{
	const struct pm_learner_options options = { .key = KEY, .event = on_event };

	(void)state;
	memset(&f, 0, sizeof f);
	f.wanted = PM_EVENT_UNANSWERED;
	f.version = 4;
	return pm_learner_new(&options, rules, &f.learner);
}

static int end(void **state)
{
	(void)state;
	pm_learner_free(f.learner);
	return 0;
}

/* A host by its number. */
static void set_host(uint8_t bytes[16], unsigned n)
{
	static const uint8_t net[] = { 0x20, 0x01, 0x0d, 0xb8 };

	memset(bytes, 0, 16);
	if (f.version == 6)
		memcpy(bytes, net, sizeof net);
	else
		bytes[0] = 10;
	bytes += f.version == 6 ? 12 : 0;
	bytes[1] = (uint8_t)(n >> 16);
	bytes[2] = (uint8_t)(n >> 8);
	bytes[3] = (uint8_t)n;
}

static uint8_t flags_of(enum pm_setup setup)
{
	static const uint8_t flags[PM_SETUP_N] = {
		[PM_SETUP_OPEN] = PM_TCP_SYN,
		[PM_SETUP_ACCEPT] = PM_TCP_SYN | PM_TCP_ACK,
		[PM_SETUP_CONFIRM] = PM_TCP_ACK,
		[PM_SETUP_RESET] = PM_TCP_RST,
	};

	return flags[setup];
}

/* A frame, of so many bytes as it has in its number, and 60; what is made of it. */
static struct pm_decision show(enum pm_transport transport, enum pm_setup setup, unsigned src,
			       unsigned src_port, unsigned dst, unsigned dst_port, int64_t time_ns)
{
	struct pm_sight sight = {
		.src = f.src,
		.dst = f.dst,
		.packet = &f.packet,
		.setup = (uint8_t)setup,
		.number = ++f.number,
		.time_ns = time_ns,
	};

	set_host(f.src, src);
	set_host(f.dst, dst);
	sight.wire = (uint32_t)(60 + f.number);
	f.packet = (struct pm_packet){ .verdict = PM_VERDICT_PORTS,
				       .ip_version = f.version,
				       .transport = (uint8_t)transport,
				       .src_port = (uint16_t)src_port,
				       .dst_port = (uint16_t)dst_port,
				       .notes = f.notes,
				       .setup = (uint8_t)setup };
	if (transport == TCP) {
		f.packet.notes |= PM_NOTE_TCP_FLAGS;
		f.packet.tcp_flags = flags_of(setup);
	}
	memcpy(f.packet.src.bytes, f.src, sizeof f.src);
	memcpy(f.packet.dst.bytes, f.dst, sizeof f.dst);
	sight.brief = pm_brief_of(&f.packet);
	sight.src_host = pm_host_hash(key, f.version, f.src);
	sight.dst_host = pm_host_hash(key, f.version, f.dst);
	return pm_learner_decide(f.learner, &sight);
}

static void decision_is(struct pm_decision decision, enum pm_side side, enum pm_rung rung)
{
	if (decision.side != side || decision.rung != rung)
		fail_msg("frame %d: %s, %s; not %s, %s", (int)f.number,
			 pm_side_name((enum pm_side)decision.side),
			 pm_rung_name((enum pm_rung)decision.rung), pm_side_name(side),
			 pm_rung_name(rung));
}

/* A SYN of host 1, from a port of its own, to @host. */
static void ask(unsigned port, unsigned host, int64_t time_ns)
{
	show(TCP, PM_SETUP_OPEN, 1, port, host, 80, time_ns);
}

static void told_is(size_t i, uint64_t number, unsigned port)
{
	assert_true(i < f.n);
	assert_int_equal(f.told[i].number, number);
	assert_int_equal(f.told[i].wire, 60 + number);
	assert_int_equal(f.told[i].client_port, port);
	assert_int_equal(f.told[i].server_port, 80);
}

static void what_nobody_answers_is_told_with_the_frame_that_asked(void **state)
{
	(void)state;
	ask(40000, 2, START);
	ask(40001, 3, START + SECOND);
	pm_learner_close(f.learner, START + 3 * SECOND, false);
	assert_int_equal(f.n, 1);
	told_is(0, 1, 40000);
	assert_int_equal(f.told[0].time_ns, START);
	assert_int_equal(f.told[0].transport, TCP);
	assert_int_equal(f.told[0].ip_version, 4);
	assert_memory_equal(f.told[0].client.bytes, "\x0a\0\0\1", 4);
	assert_memory_equal(f.told[0].server.bytes, "\x0a\0\0\2", 4);
	pm_learner_close(f.learner, START + 3 * SECOND, true);
	assert_int_equal(f.n, 2);
	told_is(1, 2, 40001);
	pm_learner_close(f.learner, START + 99 * SECOND, true);
	assert_int_equal(f.n, 2);
}

static void answers_refusals_and_repetitions_are_not_told(void **state)
{
	(void)state;
	ask(40000, 2, START);
	show(TCP, PM_SETUP_ACCEPT, 2, 80, 1, 40000, START);
	ask(40001, 3, START);
	show(TCP, PM_SETUP_RESET, 3, 80, 1, 40001, START);
	ask(40002, 4, START);
	ask(40002, 4, START + SECOND);
	/* One direction alone is captured: the client talks on, so somebody has answered. */
	ask(40003, 5, START);
	show(TCP, PM_SETUP_CONFIRM, 1, 40003, 5, 80, START);
	pm_learner_close(f.learner, START + 9 * SECOND, true);
	assert_int_equal(f.n, 1);
	told_is(0, 5, 40002);
}

/* What comes too late, after 3 s, is told as if nothing came, whenever that is looked for. */
static void late_answers_are_none(void **state)
{
	static const struct {
		int64_t after;
		enum pm_setup setup;
		bool by_client, is_late;
	} answers[] = {
		{ 3 * SECOND - 1, PM_SETUP_ACCEPT, false, false },
		{ 3 * SECOND, PM_SETUP_ACCEPT, false, true },
		{ 3 * SECOND - 1, PM_SETUP_RESET, false, false },
		{ 3 * SECOND, PM_SETUP_RESET, false, true },
		{ 3 * SECOND - 1, PM_SETUP_CONFIRM, true, false },
		{ 3 * SECOND, PM_SETUP_CONFIRM, true, true },
	};

	(void)state;
	for (unsigned way = 0; way < 4 * sizeof answers / sizeof *answers; way++) {
		unsigned i = way / 4, port = 40000 + way;
		int64_t at = START + answers[i].after;
		bool looked = way % 2;

		f.n = 0;
		f.wanted = looked ? PM_EVENT_UNANSWERED : PM_EVENT_LATE;
		ask(port, 2, START);
		if (looked)
			pm_learner_close(f.learner, at, false);
		if (answers[i].by_client)
			show(TCP, answers[i].setup, 1, port, 2, 80, at);
		else
			show(TCP, answers[i].setup, 2, 80, 1, port, at);
		if (f.n != answers[i].is_late)
			fail_msg("answer %u: told %d times", i, (int)f.n);
		/* and only once, in one way or the other */
		f.n = 0;
		f.wanted = way % 4 < 2 ? PM_EVENT_UNANSWERED : PM_EVENT_LATE;
		pm_learner_close(f.learner, at + SECOND, true);
		assert_int_equal(f.n, 0);
	}
}

/* Who gives up has had no answer, and may still get one. */
static void who_gives_up_was_not_answered(void **state)
{
	(void)state;
	ask(40000, 2, START);
	decision_is(show(TCP, PM_SETUP_RESET, 1, 40000, 2, 80, START + 1), PM_SIDE_DST,
		    PM_RUNG_HANDSHAKE);
	ask(40001, 3, START);
	show(TCP, PM_SETUP_RESET, 1, 40001, 3, 80, START + 1);
	decision_is(show(TCP, PM_SETUP_ACCEPT, 3, 80, 1, 40001, START + 2), PM_SIDE_SRC,
		    PM_RUNG_HANDSHAKE);
	pm_learner_close(f.learner, START + 3 * SECOND, false);
	assert_int_equal(f.n, 1);
	told_is(0, 1, 40000);
}

/* As systems do it: Linux after 1, 3, 7, 15, 31 and 63 s. */
static void a_repetition_is_no_attempt_however_long_the_first_is_ago(void **state)
{
	static const int seconds[] = { 0, 1, 3, 7, 15, 31, 63 };

	(void)state;
	f.wanted = PM_EVENT_ATTEMPT;
	for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
		ask(40000, 2, START + seconds[i] * SECOND);
	assert_int_equal(f.n, 1);
	ask(40000, 2, START + (63 + 60) * SECOND);
	assert_int_equal(f.n, 1);
	ask(40000, 2, START + (63 + 60 + 61) * SECOND);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.told[1].number, 9);
}

/*
 * Places are used again while others wait; whoever is told is told once, and in the order of frames
 * unless its place was needed.
 */
static void attempts_are_told_in_their_order_now_and_then(void **state)
{
	uint64_t before = 0;
	size_t asked = 0, gave_way = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		int64_t at = START + (int64_t)i * SECOND / 200;

		ask(1024 + i, 1000 + i % 7, at);
		if (i % 3) {
			show(TCP, PM_SETUP_RESET, 1000 + i % 7, 80, 1, 1024 + i, at);
			continue;
		}
		asked++;
		/* Long before any interval closes, and not before three seconds. */
		assert_true(f.n == 0 || at - f.told[f.n - 1].time_ns >= 3 * SECOND);
		assert_true(i <= 2000 || f.n > 460);
		assert_true(i <= 4000 || f.n > 1130);
	}
	pm_learner_close(f.learner, START + 200 * SECOND, true);
	assert_int_equal(f.n, asked);
	for (size_t i = 0; i < f.n; i++) {
		assert_int_not_equal(f.told[i].number, before);
		gave_way += f.told[i].number < before;
		before = f.told[i].number;
	}
	assert_true(gave_way < asked / 100);
}

/* More in ten seconds than there is room for: what is given up is told if it was old enough. */
static void what_gives_way_is_told_if_it_was_old_enough(void **state)
{
	struct pm_learner_lost lost;

	(void)state;
	for (unsigned i = 0; i < 40000; i++)
		ask(1024 + i, 2, START);
	pm_learner_lost(f.learner, &lost);
	assert_true(lost.handshakes >= 40000 - 16384);
	pm_learner_close(f.learner, START + 9 * SECOND, true);
	assert_int_equal(f.n + lost.handshakes, 40000);

	f.n = 0;
	for (unsigned i = 0; i < 10000; i++)
		ask(1024 + i, 3, START + 20 * SECOND);
	for (unsigned i = 0; i < 40000; i++)
		ask(1024 + i, 4, START + 24 * SECOND);
	pm_learner_lost(f.learner, &lost);
	pm_learner_close(f.learner, START + 99 * SECOND, true);
	assert_int_equal(f.n + lost.handshakes, 50000);
	for (unsigned i = 0, old = 0; i < f.n; i++) {
		old += f.told[i].server.bytes[3] == 3;
		if (i == f.n - 1)
			assert_true(old > 9000);
	}
}

/* Handshakes that are over leave room: none that is older gives way while there is some. */
static void free_places_are_taken_first(void **state)
{
	struct pm_learner_lost lost;

	(void)state;
	for (unsigned i = 0; i < 8000; i++)
		ask(1024 + i, 2, START);
	for (unsigned i = 0; i < 4000; i++)
		ask(1024 + i, 3, START + SECOND);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 4000; i++)
			show(TCP, PM_SETUP_RESET, 3 + round, 80, 1, 1024 + i, START + SECOND);
		for (unsigned i = 0; i < 4000; i++)
			ask(1024 + i, 4 + round, START + SECOND);
	}
	pm_learner_lost(f.learner, &lost);
	assert_true(lost.handshakes < 7000);
}

static void time_may_jump(void **state)
{
	(void)state;
	ask(40000, 2, START);
	ask(40001, 2, START + 9999 * SECOND);
	assert_int_equal(f.n, 1);
	ask(40002, 2, START);
	ask(40003, 2, START + 11 * SECOND);
	assert_int_equal(f.n, 2);
	told_is(1, 3, 40002);
	pm_learner_close(f.learner, START, true);
	assert_int_equal(f.n, 4);
}

/* Files may say anything. Every difference of two times is one that a sanitizer looks at. */
static void time_may_be_anything(void **state)
{
	static const int64_t times[] = { INT64_MIN, INT64_MAX, 0, -1, START,
					 INT64_MIN + 1, INT64_MAX - 1 };

	(void)state;
	for (size_t i = 0; i < 10 * COUNT(times); i++) {
		int64_t at = times[i * i % COUNT(times)], later = times[(i * i + i) % COUNT(times)];
		unsigned host = 10 + (unsigned)i % 9;

		ask(40000, host, at);
		show(TCP, i % 2 ? PM_SETUP_ACCEPT : PM_SETUP_RESET, host, 80, 1, 40000, later);
		show(TCP, PM_SETUP_CONFIRM, 1, 40000, host, 80, later);
		show(UDP, PM_SETUP_NONE, 1, 40000, host, 40000 + host, later);
		show(TCP, PM_SETUP_CONFIRM, 1, 40001, host, 40000 + host, at);
		pm_learner_close(f.learner, at, i % 5 == 0);
	}
	for (unsigned i = 0; i < 40000; i++) /* more than there is room for */
		ask(1024 + i, 2, i % 3 ? INT64_MAX : INT64_MIN);
}

static const struct {
	const char *name;
	enum pm_transport transport;
	uint16_t src_port, dst_port, client_port;
	bool turned;
} openers[] = {
	{ "a client opens", TCP, 40000, 80, 40000, false },
	{ "active FTP opens from the service", TCP, 20, 40000, 40000, true },
	{ "a client's datagram", UDP, 40000, 53, 40000, false },
	{ "a datagram from the service comes first", UDP, 53, 40000, 40000, true },
	{ "equal ports", UDP, 53, 53, 53, false },
};

static void who_opened_is_told(void **state)
{
	(void)state;
	f.wanted = PM_EVENT_ATTEMPT;
	for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
		unsigned opener = 2 * (unsigned)i + 1;
		const struct pm_evidence *told = &f.told[i];

		show(openers[i].transport,
		     openers[i].transport == TCP ? PM_SETUP_OPEN : PM_SETUP_NONE, opener,
		     openers[i].src_port, opener + 1, openers[i].dst_port, START);
		assert_int_equal(f.n, i + 1);
		if (told->client_port != openers[i].client_port)
			fail_msg("%s: told another way", openers[i].name);
		if (!told->ip_version) /* of no interest but for its ports */
			continue;
		if (told->turned != openers[i].turned ||
		    (told->turned ? told->server : told->client).bytes[3] != opener)
			fail_msg("%s: told another way", openers[i].name);
	}
}

static void an_unanswered_opening_of_the_service_is_turned(void **state)
{
	(void)state;
	show(TCP, PM_SETUP_OPEN, 1, 20, 2, 40000, START);
	pm_learner_close(f.learner, START, true);
	assert_int_equal(f.n, 1);
	assert_true(f.told[0].turned);
	assert_int_equal(f.told[0].server_port, 20);
}

/*
 * Scripts: frames with what they must be told to be. Hosts are numbers, of which 2 and 5 serve;
 * ports from 40000 on have no label, and nothing but what is remembered decides between two.
 */
#define STEPS 12

struct step {
	double at_s;
	unsigned src, src_port, dst, dst_port;
	enum pm_setup setup;
	enum pm_side side;
	enum pm_rung rung;
};

#define OPEN PM_SETUP_OPEN
#define ACCEPT PM_SETUP_ACCEPT
#define ACK PM_SETUP_CONFIRM
#define RESET PM_SETUP_RESET
#define SET_UP(side) PM_SIDE_##side, PM_RUNG_HANDSHAKE
#define LEARNED(side) PM_SIDE_##side, PM_RUNG_LEARNED
#define KNOWN(side) PM_SIDE_##side, PM_RUNG_KNOWN
#define SCORE(side) PM_SIDE_##side, PM_RUNG_SCORE
#define UNKNOWN PM_SIDE_NONE, PM_RUNG_UNKNOWN
#define DAY 86400.

#define CLIENT 1, 60000, 2, 50000
#define SERVER 2, 50000, 1, 60000
#define OTHER 3, 60001, 2, 50000 /* of whom only the middle is seen */
#define SERVER_OTHER 2, 50000, 3, 60001

struct script {
	const char *name;
	enum pm_transport transport;
	struct step steps[STEPS];
};

static const struct script scripts[] = {
	{ "SYN, SYN-ACK and what follows; the endpoint serves from then on",
	  TCP,
	  { { 0, OTHER, ACK, UNKNOWN },
	    { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, CLIENT, ACK, LEARNED(DST) },
	    { 0, SERVER, ACK, LEARNED(SRC) },
	    { 0, OTHER, ACK, LEARNED(DST) },
	    { 0, SERVER_OTHER, ACK, LEARNED(SRC) },
	    { 0, SERVER_OTHER, PM_SETUP_NONE, LEARNED(SRC) } } },
	{ "INIT, INIT ACK, COOKIE ECHO",
	  SCTP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, CLIENT, ACK, LEARNED(DST) },
	    { 0, OTHER, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "Request, Response, Ack",
	  DCCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, CLIENT, ACK, LEARNED(DST) },
	    { 0, OTHER, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "a SYN-ACK that nobody asked for says nothing",
	  TCP,
	  { { 0, SERVER, ACCEPT, UNKNOWN },
	    { 0, CLIENT, ACK, UNKNOWN },
	    { 0, SERVER, ACCEPT, UNKNOWN },
	    { 0, OTHER, ACK, UNKNOWN } } },
	{ "a SYN-ACK to another's SYN says nothing",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER_OTHER, ACCEPT, UNKNOWN },
	    { 0, 4, 50000, 1, 60000, ACCEPT, UNKNOWN },
	    { 0, CLIENT, ACCEPT, UNKNOWN },
	    { 0, OTHER, ACK, UNKNOWN } } },
	{ "a SYN-ACK that comes too late says nothing",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 60, SERVER, ACCEPT, SET_UP(SRC) },
	    { 60, 7, 60002, 8, 50002, OPEN, SET_UP(DST) },
	    { 120.5, 8, 50002, 7, 60002, ACCEPT, UNKNOWN },
	    { 120.5, 9, 60001, 8, 50002, ACK, UNKNOWN } } },
	{ "SYN and SYN-ACK may come again and again",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 1, CLIENT, OPEN, SET_UP(DST) },
	    { 3, SERVER, ACCEPT, SET_UP(SRC) },
	    { 3, CLIENT, OPEN, SET_UP(DST) },
	    { 3, SERVER, ACCEPT, SET_UP(SRC) },
	    { 4, CLIENT, ACK, LEARNED(DST) },
	    { 5, SERVER, ACCEPT, LEARNED(SRC) } } },
	{ "who refuses was asked, and does not serve",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, RESET, SET_UP(SRC) },
	    { 0, SERVER, RESET, UNKNOWN },
	    { 0, SERVER, ACCEPT, UNKNOWN },
	    { 0, OTHER, ACK, UNKNOWN } } },
	{ "a client that wants no more ends what it has opened",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, CLIENT, RESET, SET_UP(DST) },
	    { 0, CLIENT, RESET, LEARNED(DST) },
	    { 0, OTHER, ACK, LEARNED(DST) } } },
	{ "the service ends what it has accepted",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, SERVER, RESET, LEARNED(SRC) } } },
	{ "a reset of what nobody has opened says nothing",
	  TCP,
	  { { 0, SERVER, RESET, UNKNOWN },
	    { 0, CLIENT, RESET, UNKNOWN } } },
	{ "of one direction, the client's: that it goes on says that it was answered",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, OTHER, ACK, UNKNOWN },
	    { 0, CLIENT, ACK, LEARNED(DST) },
	    { 0, OTHER, ACK, LEARNED(DST) } } },
	{ "active FTP: the service opens, from port 20",
	  TCP,
	  { { 0, 2, 20, 1, 60000, OPEN, SET_UP(SRC) },
	    { 0, 1, 60000, 2, 20, ACCEPT, SET_UP(DST) },
	    { 0, 2, 20, 1, 60000, ACK, LEARNED(SRC) },
	    { 0, 1, 60000, 2, 20, ACK, LEARNED(DST) },
	    { 0, 2, 20, 3, 60001, RESET, LEARNED(SRC) } } },
	{ "active FTP that is refused, or not wanted",
	  TCP,
	  { { 0, 2, 20, 1, 60000, OPEN, SET_UP(SRC) },
	    { 0, 1, 60000, 2, 20, RESET, SET_UP(DST) },
	    { 0, 2, 20, 1, 60001, OPEN, SET_UP(SRC) },
	    { 0, 1, 60001, 2, 20, ACCEPT, SET_UP(DST) },
	    { 0, 2, 20, 1, 60001, RESET, SET_UP(SRC) } } },
	{ "of active FTP, one direction",
	  TCP,
	  { { 0, 2, 20, 1, 60000, OPEN, SET_UP(SRC) },
	    { 0, 2, 20, 1, 60000, ACK, KNOWN(SRC) },
	    { 0, 3, 60001, 1, 60000, ACK, UNKNOWN } } },
	{ "a client that has drawn port 20 is one all the same",
	  TCP,
	  { { 0, 1, 20, 2, 80, OPEN, SET_UP(DST) },
	    { 0, 2, 80, 1, 20, ACCEPT, SET_UP(SRC) },
	    { 0, 1, 20, 2, 80, ACK, LEARNED(DST) },
	    { 0, 2, 80, 1, 20, ACK, LEARNED(SRC) } } },
	{ "to a service whose label is weak, port 20 is the service",
	  TCP,
	  { { 0, 2, 20, 1, 9000, OPEN, SET_UP(SRC) },
	    { 0, 1, 9000, 2, 20, ACCEPT, SET_UP(DST) } } },
	{ "of two that serve, the one that opens is the client",
	  TCP,
	  { { 0, 3, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 3, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 3, 60001, 5, 50005, OPEN, SET_UP(DST) },
	    { 0, 5, 50005, 3, 60001, ACCEPT, SET_UP(SRC) },
	    { 0, 2, 50000, 5, 50005, ACK, UNKNOWN },
	    { 0, 2, 50000, 5, 50005, OPEN, SET_UP(DST) },
	    { 0, 5, 50005, 2, 50000, ACCEPT, SET_UP(SRC) },
	    { 0, 2, 50000, 5, 50005, ACK, LEARNED(DST) },
	    { 0, 5, 50005, 2, 50000, ACK, LEARNED(SRC) },
	    { 0, 2, 50000, 5, 50005, ACK, LEARNED(DST) } } },
	{ "and the other way round",
	  TCP,
	  { { 0, 3, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 3, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 3, 60001, 5, 50005, OPEN, SET_UP(DST) },
	    { 0, 5, 50005, 3, 60001, ACCEPT, SET_UP(SRC) },
	    { 0, 5, 50005, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 5, 50005, ACCEPT, SET_UP(SRC) },
	    { 0, 5, 50005, 2, 50000, ACK, LEARNED(DST) },
	    { 0, 2, 50000, 5, 50005, ACK, LEARNED(SRC) } } },
	{ "of two that serve, the one on port 20 serves when it opens",
	  TCP,
	  { { 0, 3, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 3, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 5, 20, 2, 50000, OPEN, SET_UP(SRC) },
	    { 0, 2, 50000, 5, 20, ACCEPT, SET_UP(DST) },
	    { 0, 5, 20, 2, 50000, ACK, LEARNED(SRC) },
	    { 0, 2, 50000, 5, 20, ACK, LEARNED(DST) } } },
	{ "a client whose port has served before",
	  TCP,
	  { { 0, 3, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 3, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 3, 60000, 2, 50000, ACK, LEARNED(DST) },
	    { 0, 2, 50000, 5, 80, OPEN, SET_UP(DST) },
	    { 0, 5, 80, 2, 50000, ACCEPT, SET_UP(SRC) },
	    { 0, 2, 50000, 5, 80, ACK, LEARNED(DST) },
	    { 0, 5, 80, 2, 50000, ACK, LEARNED(SRC) } } },
	{ "an endpoint is forgotten after two hours without use, and not before",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 120 * 60, OTHER, ACK, LEARNED(DST) },
	    { 240 * 60, SERVER_OTHER, ACK, LEARNED(SRC) },
	    { 361 * 60, OTHER, ACK, UNKNOWN },
	    { 361 * 60, CLIENT, OPEN, SET_UP(DST) },
	    { 361 * 60, SERVER, ACCEPT, SET_UP(SRC) },
	    { 361 * 60, OTHER, ACK, LEARNED(DST) } } },
	{ "and also after weeks",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 22 * DAY, OTHER, ACK, UNKNOWN },
	    { 22 * DAY, CLIENT, OPEN, SET_UP(DST) },
	    { 22 * DAY, SERVER, ACCEPT, SET_UP(SRC) },
	    { 59 * DAY, OTHER, ACK, UNKNOWN } } },
	{ "time that jumps back by days makes nothing old",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { -3 * DAY, OTHER, ACK, LEARNED(DST) },
	    { -3 * DAY + 3600, OTHER, ACK, LEARNED(DST) },
	    { 0, OTHER, ACK, UNKNOWN },
	    { -3 * DAY, CLIENT, OPEN, SET_UP(DST) },
	    { -3 * DAY, SERVER, ACCEPT, SET_UP(SRC) } } },
	{ "a handshake over a jump of days",
	  TCP,
	  { { 0, CLIENT, OPEN, SET_UP(DST) },
	    { 3 * DAY, SERVER, ACCEPT, UNKNOWN },
	    { 3 * DAY, CLIENT, OPEN, SET_UP(DST) },
	    { 0, SERVER, ACCEPT, SET_UP(SRC) },
	    { 0, CLIENT, ACK, LEARNED(DST) } } },
	{ "who asks from port 0 asks someone; port 0 is nobody",
	  TCP,
	  { { 0, 1, 0, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 0, ACCEPT, UNKNOWN },
	    { 0, 1, 60000, 2, 0, OPEN, UNKNOWN },
	    { 0, 1, 0, 2, 0, OPEN, UNKNOWN } } },
	{ "an endpoint that talks to itself",
	  TCP,
	  { { 0, 2, 50000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 2, 50000, ACCEPT, SET_UP(SRC) },
	    { 0, 2, 50000, 2, 50000, ACK, LEARNED(SRC) },
	    { 0, 2, 50000, 2, 50000, RESET, LEARNED(SRC) } } },
	{ "between two ports of one host",
	  TCP,
	  { { 0, 2, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 2, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 2, 60000, 2, 50000, ACK, LEARNED(DST) } } },
	{ "callers from several ports, in both directions: an endpoint that serves",
	  TCP,
	  { { 0, 1, 60000, 2, 50000, ACK, UNKNOWN },
	    { 0, 2, 50000, 1, 60000, ACK, UNKNOWN },
	    { 0, 1, 60001, 2, 50000, ACK, LEARNED(DST) },
	    { 0, 2, 50000, 1, 60001, ACK, LEARNED(SRC) },
	    { 0, 1, 60002, 2, 50000, ACK, LEARNED(DST) },
	    /* sixteen to twenty minutes later, as they count four at once */
	    { 16 * 60, 1, 60003, 2, 50000, ACK, LEARNED(DST) },
	    { 45 * 60, 1, 60003, 2, 50000, ACK, UNKNOWN } } },
	{ "a scanner's endpoint, which nobody answers, is no service",
	  TCP,
	  { { 0, 1, 50000, 2, 60001, ACK, UNKNOWN },
	    { 0, 1, 50000, 2, 60002, ACK, UNKNOWN },
	    { 0, 1, 50000, 2, 60003, ACK, UNKNOWN },
	    { 0, 1, 50000, 2, 60004, RESET, UNKNOWN } } },
	{ "nor is one that is called from one port again and again",
	  TCP,
	  { { 0, CLIENT, ACK, UNKNOWN },
	    { 0, SERVER, ACK, UNKNOWN },
	    { 0, CLIENT, ACK, UNKNOWN },
	    { 0, SERVER, ACK, UNKNOWN } } },
	{ "a host that has been a client is one, for half an hour",
	  TCP,
	  { { 0, 1, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 60000, ACCEPT, SET_UP(SRC) },
	    { 30 * 60, 1, 60010, 7, 50007, ACK, LEARNED(DST) },
	    { 30 * 60, 7, 50007, 1, 60010, ACK, LEARNED(SRC) },
	    { 31 * 60, 1, 60010, 7, 50007, ACK, UNKNOWN } } },
	{ "a host that has been both says nothing",
	  TCP,
	  { { 0, 1, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 3, 60000, 1, 50000, OPEN, SET_UP(DST) },
	    { 0, 1, 50000, 3, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 1, 60010, 7, 50007, ACK, UNKNOWN },
	    { 0, 7, 50007, 3, 60010, ACK, LEARNED(SRC) } } },
	{ "who is called from several ports serves there, though it is a client elsewhere",
	  TCP,
	  { { 0, 1, 60000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 9, 60000, 1, 50001, ACK, LEARNED(SRC) }, /* not known by then */
	    { 0, 1, 50001, 9, 60000, ACK, LEARNED(DST) },
	    { 0, 9, 60001, 1, 50001, ACK, LEARNED(DST) },
	    { 0, 1, 50001, 9, 60001, ACK, LEARNED(SRC) } } },
	{ "of UDP its role elsewhere says more: many peers may be behind one address",
	  UDP,
	  { { 0, 1, 60000, 2, 8000, PM_SETUP_NONE, KNOWN(DST) },
	    { 0, 2, 8000, 1, 60000, PM_SETUP_NONE, KNOWN(SRC) },
	    { 0, 1, 60000, 2, 8000, PM_SETUP_NONE, KNOWN(DST) },
	    { 0, 2, 8000, 1, 60000, PM_SETUP_NONE, KNOWN(SRC) },
	    { 0, 1, 60000, 2, 8000, PM_SETUP_NONE, KNOWN(DST) },
	    { 0, 2, 8000, 1, 60000, PM_SETUP_NONE, KNOWN(SRC) },
	    { 0, 1, 60000, 2, 8000, PM_SETUP_NONE, KNOWN(DST) },
	    { 0, 2, 8000, 1, 60000, PM_SETUP_NONE, KNOWN(SRC) }, /* the eighth tells of hosts */
	    { 0, 9, 60000, 1, 50001, PM_SETUP_NONE, LEARNED(SRC) },
	    { 0, 1, 50001, 9, 60000, PM_SETUP_NONE, LEARNED(DST) },
	    { 0, 9, 60001, 1, 50001, PM_SETUP_NONE, LEARNED(SRC) },
	    { 0, 1, 50001, 9, 60001, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "strong labels stand above callers and hosts",
	  TCP,
	  { { 0, 1, 8000, 2, 60000, ACK, KNOWN(SRC) },
	    { 0, 2, 60000, 1, 8000, ACK, KNOWN(DST) },
	    { 0, 1, 8000, 2, 60000, ACK, KNOWN(SRC) },
	    { 0, 1, 700, 2, 60000, ACK, KNOWN(SRC) },
	    { 0, 1, 60000, 3, 50000, OPEN, SET_UP(DST) },
	    { 0, 3, 50000, 1, 60000, ACCEPT, SET_UP(SRC) },
	    { 0, 1, 8000, 2, 60000, ACK, KNOWN(SRC) } } },
	{ "weak ones do not",
	  TCP,
	  { { 0, 1, 9000, 2, 50000, ACK, KNOWN(SRC) },
	    { 0, 2, 50000, 1, 9000, ACK, KNOWN(DST) },
	    { 0, 1, 60001, 2, 50000, ACK, LEARNED(DST) },
	    { 0, 1, 9000, 2, 50000, ACK, LEARNED(DST) },
	    /* and where both say the same, the label has */
	    { 0, 1, 60000, 5, 9000, ACK, KNOWN(DST) },
	    { 0, 5, 9000, 1, 60000, ACK, KNOWN(SRC) },
	    { 0, 1, 60001, 5, 9000, ACK, KNOWN(DST) } } },
	{ "what was learned stands above strong labels",
	  TCP,
	  { { 0, 1, 8000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 8000, ACCEPT, SET_UP(SRC) },
	    { 0, 1, 8000, 2, 50000, ACK, LEARNED(DST) },
	    { 0, 2, 50000, 1, 8000, ACK, LEARNED(SRC) } } },
	{ "between two labels",
	  TCP,
	  { { 0, 1, 9000, 2, 80, ACK, SCORE(DST) },
	    { 0, 1, 9000, 2, 80, OPEN, SET_UP(DST) } } },
	{ "a rule for a host stands below the handshake, and above callers",
	  TCP,
	  { { 0, 9, 7000, 2, 50000, ACK, PM_SIDE_SRC, PM_RUNG_RULE },
	    { 0, 2, 50000, 9, 7000, ACK, PM_SIDE_DST, PM_RUNG_RULE },
	    { 0, 9, 60001, 2, 50000, ACK, UNKNOWN },
	    { 0, 9, 7000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 9, 7000, ACCEPT, SET_UP(SRC) },
	    { 0, 9, 7000, 2, 50000, ACK, LEARNED(DST) } } },
	{ "equal ports",
	  TCP,
	  { { 0, 1, 50000, 2, 50000, ACK, PM_SIDE_BOTH, PM_RUNG_SYMMETRIC },
	    { 0, 1, 50000, 2, 50000, OPEN, SET_UP(DST) },
	    { 0, 2, 50000, 1, 50000, ACCEPT, SET_UP(SRC) },
	    { 0, 1, 50000, 2, 50000, ACK, LEARNED(DST) } } },
	{ "UDP: who speaks first asks, from five seconds after the start on",
	  UDP,
	  { { 0, CLIENT, PM_SETUP_NONE, UNKNOWN },
	    { 0, SERVER, PM_SETUP_NONE, UNKNOWN },
	    { 4.999, OTHER, PM_SETUP_NONE, UNKNOWN },
	    { 5, 4, 60002, 2, 50000, PM_SETUP_NONE, LEARNED(DST) },
	    { 5, 2, 50000, 4, 60002, PM_SETUP_NONE, LEARNED(SRC) },
	    { 6, CLIENT, PM_SETUP_NONE, UNKNOWN } } },
	{ "UDP that was silent for two minutes begins anew",
	  UDP,
	  { { 0, 9, 60000, 8, 60001, PM_SETUP_NONE, UNKNOWN },
	    { 5, CLIENT, PM_SETUP_NONE, LEARNED(DST) },
	    { 125, SERVER, PM_SETUP_NONE, LEARNED(SRC) },
	    { 246, SERVER, PM_SETUP_NONE, LEARNED(DST) },
	    { 246, CLIENT, PM_SETUP_NONE, LEARNED(SRC) } } },
	{ "UDP that jumps back by hours goes on, and ahead by days does not",
	  UDP,
	  { { 0, 9, 60000, 8, 60001, PM_SETUP_NONE, UNKNOWN },
	    { 5, CLIENT, PM_SETUP_NONE, LEARNED(DST) },
	    { -7200, SERVER, PM_SETUP_NONE, LEARNED(SRC) },
	    { 3 * DAY, SERVER, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "UDP that comes back the next day begins anew",
	  UDP,
	  { { 0, 9, 60000, 8, 60001, PM_SETUP_NONE, UNKNOWN },
	    { 5, CLIENT, PM_SETUP_NONE, LEARNED(DST) },
	    { DAY, SERVER, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "UDP between labels: the first word does not stand above them while it is not trusted",
	  UDP,
	  { { 0, 9, 60000, 8, 60001, PM_SETUP_NONE, UNKNOWN },
	    { 5, 1, 53, 2, 60000, PM_SETUP_NONE, KNOWN(SRC) },
	    { 5, 1, 9000, 2, 60000, PM_SETUP_NONE, KNOWN(SRC) },
	    { 5, 1, 30000, 2, 60000, PM_SETUP_NONE, LEARNED(DST) } } },
	{ "UDP of an endpoint with itself",
	  UDP,
	  { { 0, 2, 50000, 2, 50000, PM_SETUP_NONE, PM_SIDE_BOTH, PM_RUNG_SYMMETRIC },
	    { 0, 2, 50000, 2, 50000, PM_SETUP_NONE, PM_SIDE_BOTH, PM_RUNG_SYMMETRIC } } },
};

static void play(const struct script *script)
{
	for (size_t i = 0; i < STEPS && script->steps[i].src; i++) {
		const struct step *step = &script->steps[i];
		int64_t at = 17 * 60 * SECOND + (int64_t)(step->at_s * 1000) * (SECOND / 1000);
		struct pm_decision got = show(script->transport, step->setup, step->src,
					      step->src_port, step->dst, step->dst_port, at);

		if (got.side != step->side || got.rung != step->rung)
			fail_msg("IPv%d, step %d: %s, %s; not %s, %s", f.version, (int)i + 1,
				 pm_side_name((enum pm_side)got.side),
				 pm_rung_name((enum pm_rung)got.rung), pm_side_name(step->side),
				 pm_rung_name(step->rung));
		/* The label is that of the side. */
		if (got.service)
			assert_true(got.side == PM_SIDE_SRC || got.side == PM_SIDE_DST);
	}
}

/* By both versions of IP, with a learner of its own for each. */
static void script_holds(void **state)
{
	const struct script *script = *state;
	bool scoped = strstr(script->name, "a rule for a host") != NULL; /* of IPv4 */

	for (uint8_t version = 4; version <= (scoped ? 4 : 6); version += 2) {
		void *none = NULL;

		assert_int_equal(begin(&none), 0);
		f.version = version;
		play(script);
		end(&none);
	}
}

/* Whatever the hashes of the two ends are: a handshake is that of one direction. */
static void whoever_opened_is_the_client_also_when_it_gives_up(void **state)
{
	(void)state;
	f.wanted = PM_EVENT_REFUSAL;
	for (unsigned i = 0; i < 500; i++) {
		unsigned port = 50000 + i, to = 45000 + i / 7;

		decision_is(show(TCP, OPEN, 1, port, 2, to, START), SET_UP(DST));
		decision_is(show(TCP, RESET, 1, port, 2, to, START), SET_UP(DST));
		assert_int_equal(f.n, 0);
		/* Nor does it accept what it has asked for itself. */
		decision_is(show(TCP, OPEN, 3, port, 2, to, START), SET_UP(DST));
		decision_is(show(TCP, ACCEPT, 3, port, 2, to, START), UNKNOWN);
	}
	assert_int_equal(pm_learner_endpoints(f.learner), 0);
}

/* What a server says before its SYN-ACK is seen does not make the client one that serves. */
static void only_the_client_confirms(void **state)
{
	(void)state;
	f.wanted = PM_EVENT_SESSION;
	for (unsigned i = 0; i < 500; i++) {
		show(TCP, OPEN, 1, 50000 + i, 2, 45000 + i, START);
		show(TCP, ACK, 2, 45000 + i, 1, 50000 + i, START);
	}
	assert_int_equal(f.n, 0);
	assert_int_equal(pm_learner_endpoints(f.learner), 0);
}

/* Events of one kind, in the order they must come in: who opened, to whom, in which frame. */
static void events_are(enum pm_event event, enum pm_transport transport, size_t n)
{
	void *none = NULL;

	end(&none);
	begin(&none);
	f.wanted = event;
	for (int again = 0; again < 2; again++) {
		show(transport, OPEN, CLIENT, START);
		show(transport, OPEN, CLIENT, START);
		show(transport, ACCEPT, SERVER, START);
		show(transport, ACCEPT, SERVER, START);
		show(transport, ACK, SERVER, START);
		show(transport, ACK, CLIENT, START);
		show(transport, ACK, CLIENT, START);
		show(transport, ACK, SERVER, START);
		show(transport, PM_SETUP_NONE, CLIENT, START);
		show(transport, ACCEPT, SERVER, START);
		show(transport, RESET, SERVER, START);
		show(transport, RESET, CLIENT, START);
	}
	assert_int_equal(f.n, n);
	for (size_t i = 0; i < f.n; i++) {
		assert_int_equal(f.told[i].client_port, 60000);
		assert_int_equal(f.told[i].server_port, 50000);
		assert_int_equal(f.told[i].client.bytes[3], 1);
		assert_int_equal(f.told[i].server.bytes[3], 2);
		assert_int_equal(f.told[i].transport, transport);
		assert_false(f.told[i].turned);
	}
}

static void a_conversation_is_told_once(void **state)
{
	static const enum pm_transport transports[] = { TCP, SCTP, DCCP };

	(void)state;
	for (size_t i = 0; i < COUNT(transports); i++) {
		events_are(PM_EVENT_ATTEMPT, transports[i], 2);
		events_are(PM_EVENT_ANSWER, transports[i], 2);
		events_are(PM_EVENT_SESSION, transports[i], 2);
		events_are(PM_EVENT_REFUSAL, transports[i], 0);
		events_are(PM_EVENT_UNANSWERED, transports[i], 0);
	}
}

static void a_conversation_of_udp_is_told_once_until_it_was_silent(void **state)
{
	static const int at_s[] = { 0, 0, 119, 239, 360, 361 }; /* two, with 121 s between them */

	(void)state;
	for (int answer = 0; answer < 2; answer++) {
		void *none = NULL;

		end(&none);
		begin(&none);
		f.wanted = answer ? PM_EVENT_ANSWER : PM_EVENT_ATTEMPT;
		for (size_t i = 0; i < COUNT(at_s); i++) {
			f.number = 10 * i;
			for (int again = 0; again < 2; again++) {
				int64_t at = START + at_s[i] * SECOND;

				show(UDP, PM_SETUP_NONE, 1, 443, 2, 53, at);
				show(UDP, PM_SETUP_NONE, 2, 53, 1, 443, at);
			}
		}
		assert_int_equal(f.n, 2);
		/* of a client on another port frames are not told */
		for (size_t i = 0; i < f.n; i++)
			assert_int_equal(f.told[i].number, 40 * i + 1 + (size_t)answer);
	}
}

static void serve(unsigned host, unsigned port, int64_t time_ns)
{
	show(TCP, OPEN, 1, 60000, host, port, time_ns);
	show(TCP, ACCEPT, host, port, 1, 60000, time_ns);
	show(TCP, ACK, 1, 60000, host, port, time_ns);
}

static bool is_learned(unsigned host, unsigned port, int64_t time_ns)
{
	struct pm_decision decision = show(TCP, ACK, 200000, 60001, host, port, time_ns);

	return decision.rung == PM_RUNG_LEARNED && decision.side == PM_SIDE_DST;
}

static void a_full_table_forgets_the_longest_unused_and_says_so(void **state)
{
	const struct pm_learner_options options = { .endpoints = 64, .key = KEY };
	struct pm_learner_lost lost;
	size_t kept = 0, newest = 0;

	(void)state;
	pm_learner_free(f.learner);
	assert_int_equal(pm_learner_new(&options, rules, &f.learner), PM_OK);
	for (unsigned i = 0; i < 1000; i++)
		serve(100 + i, 50000, START + i * 6 * SECOND); /* in 100 minutes */
	pm_learner_lost(f.learner, &lost);
	assert_int_equal(pm_learner_endpoints(f.learner), 64);
	assert_int_equal(lost.endpoints, 1000 - 64);
	assert_int_equal(lost.handshakes, 0);
	for (unsigned i = 0; i < 1000; i++) {
		bool learned = is_learned(100 + i, 50000, START + 6000 * SECOND);

		kept += learned;
		newest += learned && i >= 1000 - 128;
	}
	assert_int_equal(kept, 64);
	assert_true(newest > 55); /* lines fill unevenly */
	pm_learner_lost(f.learner, &lost);
	assert_int_equal(lost.endpoints, 0);
	/* What has expired by then is not lost. */
	for (unsigned i = 0; i < 64; i++)
		serve(5000 + i, 50000, START + (6000 + 121 * 60) * SECOND);
	pm_learner_lost(f.learner, &lost);
	assert_true(lost.endpoints < 40);
	assert_true(pm_learner_endpoints(f.learner) <= 64);
}

/* A clock that was wrong and ahead has filled all tables: who comes behind it needs room, too. */
static void what_was_used_in_a_wrong_time_gives_way_first(void **state)
{
	const struct pm_learner_options options = { .endpoints = 64, .key = KEY };
	const int64_t wrong = START + 10 * INT64_C(86400) * SECOND;
	size_t kept = 0;

	(void)state;
	pm_learner_free(f.learner);
	assert_int_equal(pm_learner_new(&options, rules, &f.learner), PM_OK);
	for (unsigned i = 0; i < 1000; i++)
		serve(10000 + i, 50000, wrong);
	for (unsigned i = 0; i < 200; i++)
		serve(100 + i, 50000, START);
	for (unsigned i = 0; i < 200; i++)
		kept += is_learned(100 + i, 50000, START);
	assert_true(kept > 55);

	kept = 0;
	for (unsigned i = 0; i < 40000; i++)
		ask(1 + i, 20000 + i, wrong);
	for (unsigned i = 0; i < 4000; i++)
		ask(1 + i, 1000 + i, START);
	for (unsigned i = 0; i < 4000; i++)
		kept += show(TCP, PM_SETUP_ACCEPT, 1000 + i, 80, 1, 1 + i, START).rung ==
			PM_RUNG_HANDSHAKE;
	assert_true(kept > 3900);
}

/* Looking at all, at the later of both times, tells of those that asked at the earlier. */
static void times_that_jump_to_and_fro_have_all_looked_at_now_and_then(void **state)
{
	size_t looks = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++)
		ask(1 + i, 2000 + i, START + 59 * SECOND);
	for (unsigned i = 0; i < 20000; i++) {
		size_t told = f.n;

		ask(1 + i, 100000 + i, START + (i & 1 ? 40 : 57) * SECOND);
		looks += f.n != told;
	}
	/*
	 * Not at each of 10,000 jumps. The others that are told of gave way to newer ones, which is
	 * the same however often all are looked at.
	 */
	assert_in_range(looks, 2, 2500);
}

static void one_in_use_outlives_a_flood_of_others(void **state)
{
	const struct pm_learner_options options = { .endpoints = 64, .key = KEY };

	(void)state;
	pm_learner_free(f.learner);
	assert_int_equal(pm_learner_new(&options, rules, &f.learner), PM_OK);
	serve(2, 50000, START);
	for (unsigned i = 0; i < 2000; i++) {
		/* One a minute: most recent by the minute is what is kept. */
		serve(100 + i, 50000, START + i * 60 * SECOND);
		assert_true(is_learned(2, 50000, START + i * 60 * SECOND));
	}
}

static void new_rules_forget_nothing(void **state)
{
	static const char text[] = "odd 50000/tcp\n";
	const struct pm_rules_options options = { .n_paths = 0 };
	struct pm_rules *other = NULL;
	struct pm_decision decision;

	(void)state;
	assert_int_equal(pm_rules_load_text("other.rules", text, sizeof text - 1, &options, NULL,
					    &other),
			 PM_OK);
	serve(2, 50000, START);
	serve(5, 80, START);
	assert_int_equal(show(TCP, OPEN, 1, 60001, 4, 50000, START).service, 0);
	pm_learner_follow(f.learner, other);
	assert_int_equal(pm_learner_endpoints(f.learner), 2);
	decision = show(TCP, ACK, OTHER, START);
	decision_is(decision, LEARNED(DST));
	assert_string_equal(pm_rules_name(other, decision.service), "odd");
	decision = show(TCP, ACK, 3, 60001, 5, 80, START);
	decision_is(decision, LEARNED(DST));
	assert_int_equal(decision.service, 0);
	/* A handshake on its way, too. */
	decision = show(TCP, ACCEPT, 4, 50000, 1, 60001, START);
	decision_is(decision, SET_UP(SRC));
	assert_string_equal(pm_rules_name(other, decision.service), "odd");
	/* Ports are marked under the new rules as under the old ones. */
	assert_true(pm_learner_classes(f.learner)[TCP][50000] & PM_CLASS_HOT);
	assert_true(pm_learner_classes(f.learner)[TCP][80] == PM_CLASS_HOT);
	assert_true(pm_learner_classes(f.learner)[TCP][60001] & PM_CLASS_HOT);
	pm_learner_follow(f.learner, rules);
	assert_true(pm_learner_classes(f.learner)[TCP][50000] == PM_CLASS_HOT);
	assert_true(is_learned(2, 50000, START));
	pm_rules_unref(other);
}

/* Ports for which it must be asked are marked while they may matter, and no longer for ever. */
static void ports_are_marked_and_left_alone_again(void **state)
{
	const uint8_t *classes = pm_learner_classes(f.learner)[TCP];
	uint32_t generation = pm_learner_generation(f.learner);
	size_t hot = 0;

	(void)state;
	assert_false(classes[50000] & PM_CLASS_HOT);
	assert_true(classes[7000] & PM_CLASS_HOT); /* a rule for a host */
	assert_true(classes[0] & PM_CLASS_HOT);
	assert_int_equal(classes[80], PM_CLASS_STRONG);
	assert_int_equal(classes[9000], PM_CLASS(10));
	show(TCP, OPEN, CLIENT, START);
	assert_true(classes[60000] & PM_CLASS_HOT);
	assert_false(classes[50000] & PM_CLASS_HOT);
	assert_true(pm_learner_generation(f.learner) != generation);
	generation = pm_learner_generation(f.learner);
	show(TCP, ACCEPT, SERVER, START);
	assert_true(classes[50000] & PM_CLASS_HOT);
	assert_true(pm_learner_generation(f.learner) != generation);
	generation = pm_learner_generation(f.learner);
	show(TCP, ACK, CLIENT, START);
	show(UDP, PM_SETUP_NONE, 1, 60000, 2, 40001, START);
	assert_int_equal(pm_learner_generation(f.learner), generation); /* nothing new */
	/* Of another transport nothing is marked: all of it is shown. */
	show(SCTP, OPEN, 1, 40003, 2, 40002, START);
	show(SCTP, ACCEPT, 2, 40002, 1, 40003, START);
	assert_false((classes[40001] | classes[40002] | classes[40003]) & PM_CLASS_HOT);
	for (unsigned port = 10000; port < 40000; port++) {
		show(TCP, OPEN, 1, port, 2, 80, START);
		show(TCP, ACCEPT, 2, 80, 1, port, START);
		show(TCP, ACK, 1, port, 2, 80, START);
	}
	assert_int_equal(classes[80], PM_CLASS_STRONG | PM_CLASS_HOT);
	assert_int_equal(classes[20000], PM_CLASS_HOT);
	generation = pm_learner_generation(f.learner);
	pm_learner_close(f.learner, START + SECOND, false);
	assert_true(pm_learner_generation(f.learner) != generation);
	for (unsigned port = 10000; port < 40000; port++)
		hot += classes[port] & PM_CLASS_HOT;
	assert_int_equal(hot, 0);
	assert_int_equal(classes[80], PM_CLASS_STRONG | PM_CLASS_HOT);
	assert_true(classes[50000] & PM_CLASS_HOT);
}

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

static unsigned draw_port(void)
{
	static const uint16_t ports[] = { 20, 53, 80, 443, 700, 7000,
					  8000, 9000, 30000, 50000, 60000, 0 };

	return draw(3) ? ports[draw(COUNT(ports))] : 1 + draw(65535);
}

/*
 * Whatever came before: where a glance at the marked ports gives an answer, the ladder gives the
 * same. Over closings, other rules and jumps of time.
 */
static void a_glance_is_right_whenever_it_answers(void **state)
{
	static const char text[] = "odd 50000/tcp\nhttp 80/tcp priority=10\n"
				   "scoped 443/tcp host=10.0.0.3\nopens 700/tcp initiates=yes\n";
	const struct pm_rules_options options = { .n_paths = 0 };
	struct pm_rules *sets[2] = { rules, NULL };
	int64_t at = START;
	size_t answers = 0;

	(void)state;
	assert_int_equal(pm_rules_load_text("other.rules", text, sizeof text - 1, &options, NULL,
					    &sets[1]),
			 PM_OK);
	seed = 1;
	for (unsigned i = 0; i < 400000; i++) {
		void *none = NULL;
		enum pm_transport transport = draw(8) ? TCP : draw(2) ? UDP
								      : SCTP;
		enum pm_setup setup = draw(4) ? ACK : (enum pm_setup)draw(PM_SETUP_N);
		unsigned src = 1 + draw(8), dst = 1 + draw(8), src_port = draw_port(),
			 dst_port = draw_port();
		struct pm_decision glance, decision;
		pm_brief brief;

		if (i % 2000 == 0) { /* in time all ports are marked */
			end(&none);
			begin(&none);
		}
		at += draw(3) ? 0 : draw(1000000000);
		if (draw(5000) == 0)
			at += draw(2) ? 86400 * SECOND : -86400 * SECOND;
		if (draw(10000) == 0)
			pm_learner_follow(f.learner, sets[draw(2)]);
		if (draw(3000) == 0)
			pm_learner_close(f.learner, at, false);
		if (draw(2)) { /* who has been there before: a conversation goes on */
			src = 1 + i % 3;
			src_port = 50000 + src;
			dst = 1;
			dst_port = 80;
		}
		f.n = 0;
		f.notes = draw(20) ? 0 : PM_NOTE_GROUP;
		/* The brief as the frame's will be. */
		brief = (uint64_t)src_port << 16 | dst_port | (uint64_t)transport << 32 |
			(uint64_t)(transport == TCP ? flags_of(setup) : 0) << 48;
		glance = pm_learner_glance(pm_learner_classes(f.learner), brief);
		decision = show(transport, setup, src, src_port, dst, dst_port, at);
		if (glance.rung == PM_RUNG_N)
			continue;
		answers++;
		if (glance.side != decision.side || glance.rung != decision.rung)
			fail_msg("frame %u, %u > %u: %s, %s; at a glance %s, %s", i, src_port,
				 dst_port, pm_side_name((enum pm_side)decision.side),
				 pm_rung_name((enum pm_rung)decision.rung),
				 pm_side_name((enum pm_side)glance.side),
				 pm_rung_name((enum pm_rung)glance.rung));
	}
	assert_true(answers > 3000);
	pm_rules_unref(sets[1]);
}

/*
 * Two learners see the same of UDP, one by the short way wherever that gives an answer: decisions,
 * and what is told, are the same throughout.
 */
struct twins {
	struct pm_learner *plain, *quick;
	size_t answers; /* of the short way */
};

static void show_both(struct twins *twins, unsigned src, unsigned src_port, unsigned dst,
		      unsigned dst_port, int64_t at)
{
	struct pm_decision decision, short_cut;
	enum pm_pair pair = PM_PAIR_NEWS;
	pm_flow flow;
	size_t told;

	f.n = 0;
	f.learner = twins->plain;
	decision = show(UDP, PM_SETUP_NONE, src, src_port, dst, dst_port, at);
	told = f.n;
	f.n = 0;
	f.learner = twins->quick;
	flow = pm_flow_of(key, pm_brief_of(&f.packet), f.src, f.dst);
	short_cut = pm_learner_glance(pm_learner_classes(twins->quick), pm_brief_of(&f.packet));
	if (short_cut.rung != PM_RUNG_N)
		pair = pm_learner_datagram(twins->quick, pm_brief_of(&f.packet), flow, at,
					   short_cut);
	if (pair == PM_PAIR_NEWS) {
		f.number--;
		short_cut = show(UDP, PM_SETUP_NONE, src, src_port, dst, dst_port, at);
	} else {
		twins->answers++;
		if (pm_learner_notes(f.number))
			pm_learner_note(twins->quick, pm_host_hash(key, f.version, f.src),
					pm_host_hash(key, f.version, f.dst), at,
					(enum pm_side)short_cut.side);
	}
	f.learner = twins->plain;
	if (short_cut.side != decision.side || short_cut.rung != decision.rung)
		fail_msg("%u > %u: %s, %s; in short %s, %s", src_port, dst_port,
			 pm_side_name((enum pm_side)decision.side),
			 pm_rung_name((enum pm_rung)decision.rung),
			 pm_side_name((enum pm_side)short_cut.side),
			 pm_rung_name((enum pm_rung)short_cut.rung));
	assert_int_equal(f.n + (f.wanted == PM_EVENT_ATTEMPT && pair == PM_PAIR_NEW), told);
}

static void the_short_way_of_datagrams_is_the_ladders(void **state)
{
	const struct pm_learner_options options = { .key = KEY, .event = on_event };
	struct twins twins = { .plain = f.learner };
	int64_t at = START;

	(void)state;
	assert_int_equal(pm_learner_new(&options, rules, &twins.quick), PM_OK);
	/* Clients that ask, and now and then a service that begins: not enough to be trusted. */
	for (unsigned i = 0; i < 2000; i++) {
		bool first = i % 12 == 0;

		at += SECOND / 100;
		show_both(&twins, first ? 2 : 1, first ? 53 : 10000 + i, first ? 1 : 2,
			  first ? 10000 + i : 53, at);
		if (!first)
			show_both(&twins, 2, 53, 1, 10000 + i, at);
		show_both(&twins, 3, 9000, 4, 20000 + i, at); /* trusted or not shows here */
	}
	seed = 7;
	for (unsigned i = 0; i < 400000; i++) {
		unsigned src = 1 + draw(20), dst = 1 + draw(20), src_port = draw_port();
		unsigned dst_port = draw(4) ? 53 : draw_port();
		bool answer = draw(2); /* and the answer now and then */

		f.wanted = draw(2) ? PM_EVENT_ATTEMPT : PM_EVENT_ANSWER;
		at += draw(3) ? 0 : draw(400000000);
		if (draw(5000) == 0)
			at += draw(2) ? 200 * SECOND : -200 * SECOND;
		f.notes = draw(20) ? 0 : PM_NOTE_GROUP;
		if (answer)
			show_both(&twins, dst, dst_port, src, src_port, at);
		else
			show_both(&twins, src, src_port, dst, dst_port, at);
	}
	assert_true(twins.answers > 100000);
	pm_learner_free(twins.quick);
}

/* A datagram, six seconds after the start. */
static struct pm_decision say(unsigned src, unsigned src_port, unsigned dst, unsigned dst_port)
{
	return show(UDP, PM_SETUP_NONE, src, src_port, dst, dst_port, START + 6 * SECOND);
}

/* Where labels tell, they show whether first speakers ask; if so, they are believed elsewhere. */
static void first_words_are_trusted_where_they_agree_with_labels(void **state)
{
	(void)state;
	show(UDP, PM_SETUP_NONE, 8, 60000, 9, 60001, START);
	for (unsigned i = 0; i < 8; i++) {
		decision_is(say(3, 9000, 100 + i, 60000), KNOWN(SRC));
		say(1, 61000 + i, 2, 53);
		say(2, 53, 1, 61000 + i);
	}
	decision_is(say(3, 9000, 110, 60000), LEARNED(DST));
	/* One in sixteen, or more, the other way. */
	say(2, 53, 1, 62000);
	decision_is(say(3, 9000, 111, 60000), KNOWN(SRC));
	for (unsigned i = 0; i < 8; i++) {
		say(1, 63000 + i, 2, 53);
		say(2, 53, 1, 63000 + i);
	}
	decision_is(say(3, 9000, 112, 60000), LEARNED(DST));
}

static void questions_without_answer_make_nobody_trusted(void **state)
{
	(void)state;
	show(UDP, PM_SETUP_NONE, 8, 60000, 9, 60001, START);
	for (unsigned i = 0; i < 100; i++)
		say(1, 1024 + i, 2, 53);
	decision_is(say(3, 9000, 112, 60000), KNOWN(SRC));
}

/* Nobody sends from a group: what goes to one is the service's. */
static void what_goes_to_a_group_is_asked_of_it(void **state)
{
	(void)state;
	f.notes = PM_NOTE_GROUP;
	decision_is(show(UDP, PM_SETUP_NONE, 1, 60000, 2, 50000, START), LEARNED(DST));
	decision_is(show(UDP, PM_SETUP_NONE, 1, 9000, 2, 50000, START), LEARNED(DST));
	decision_is(show(UDP, PM_SETUP_NONE, 1, 50000, 2, 9000, START), KNOWN(DST));
	decision_is(show(UDP, PM_SETUP_NONE, 1, 53, 2, 50000, START), KNOWN(SRC));
	decision_is(show(UDP, PM_SETUP_NONE, 1, 9000, 2, 8000, START), SCORE(DST));
	decision_is(show(UDP, PM_SETUP_NONE, 1, 9000, 2, 9500, START), SCORE(SRC));
	f.notes = 0;
	decision_is(show(UDP, PM_SETUP_NONE, 1, 60009, 2, 50009, START), UNKNOWN);
}

/* A flood of those who come once does not drive out who serves, nor change what labels say. */
static void strangers_do_not_make_it_forget_who_is_called(void **state)
{
	size_t learned = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		show(TCP, ACK, 100 + i, 40000 + i % 20000, 100000 + i / 7, 40000 + i % 19997,
		     START);
		if (i % 100 != 0)
			continue;
		serve(2, 50000, START);
		assert_true(is_learned(2, 50000, START));
		decision_is(show(TCP, ACK, 1, 60000 + i % 100, 2, 80, START), KNOWN(DST));
	}
	/* When it is over they are called again. */
	for (unsigned i = 0; i < 4096; i++) {
		show(TCP, ACK, 3, 60000 + i % 64, 4, 50004, START);
		learned += show(TCP, ACK, 4, 50004, 3, 60000 + i % 64, START).rung ==
			   PM_RUNG_LEARNED;
	}
	assert_true(learned > 2000);
}

static int load(void **state)
{
	static const char text[] = "http 80/tcp\nftp-data 20/tcp initiates=yes\ndomain 53/udp\n"
				   "strong 8000/tcp/udp\nweak 9000/tcp/udp priority=10\n"
				   "weaker 9500/udp priority=5\n"
				   "system 700/tcp/udp priority=10\nscoped 7000/tcp host=10.0.0.9\n";
	const struct pm_rules_options options = { .n_paths = 0 };

	(void)state;
	return pm_rules_load_text("test.rules", text, sizeof text - 1, &options, NULL, &rules);
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	static const struct CMUnitTest claims[] = {
		CLAIM(what_nobody_answers_is_told_with_the_frame_that_asked),
		CLAIM(answers_refusals_and_repetitions_are_not_told),
		CLAIM(late_answers_are_none),
		CLAIM(who_gives_up_was_not_answered),
		CLAIM(a_repetition_is_no_attempt_however_long_the_first_is_ago),
		CLAIM(attempts_are_told_in_their_order_now_and_then),
		CLAIM(what_gives_way_is_told_if_it_was_old_enough),
		CLAIM(free_places_are_taken_first),
		CLAIM(time_may_jump),
		CLAIM(times_that_jump_to_and_fro_have_all_looked_at_now_and_then),
		CLAIM(time_may_be_anything),
		CLAIM(who_opened_is_told),
		CLAIM(an_unanswered_opening_of_the_service_is_turned),
		CLAIM(whoever_opened_is_the_client_also_when_it_gives_up),
		CLAIM(only_the_client_confirms),
		CLAIM(a_conversation_is_told_once),
		CLAIM(a_conversation_of_udp_is_told_once_until_it_was_silent),
		CLAIM(a_full_table_forgets_the_longest_unused_and_says_so),
		CLAIM(what_was_used_in_a_wrong_time_gives_way_first),
		CLAIM(one_in_use_outlives_a_flood_of_others),
		CLAIM(new_rules_forget_nothing),
		CLAIM(ports_are_marked_and_left_alone_again),
		CLAIM(a_glance_is_right_whenever_it_answers),
		CLAIM(the_short_way_of_datagrams_is_the_ladders),
		CLAIM(first_words_are_trusted_where_they_agree_with_labels),
		CLAIM(questions_without_answer_make_nobody_trusted),
		CLAIM(what_goes_to_a_group_is_asked_of_it),
		CLAIM(strangers_do_not_make_it_forget_who_is_called),
	};
	struct CMUnitTest tests[COUNT(claims) + COUNT(scripts)], *next = tests + COUNT(claims);

	memcpy(tests, claims, sizeof claims);
	for (size_t i = 0; i < COUNT(scripts); i++)
		*next++ = (struct CMUnitTest){ scripts[i].name, script_holds, NULL, NULL,
					       (void *)(uintptr_t)&scripts[i] };
	return _cmocka_run_group_tests("learn", tests, COUNT(tests), load, unload);
}
