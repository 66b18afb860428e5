/* SPDX-License-Identifier: MIT */
/* What the learner tells of conversations: attempts without answer, and who opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "portmeter/service.h"

#define TCP PM_TRANSPORT_TCP
#define UDP PM_TRANSPORT_UDP
#define SECOND PM_NS_PER_S
#define START (INT64_C(1000) * SECOND)
#define TOLD_MAX 65536

static struct pm_rules *rules;

struct fixture {
	struct pm_learner *learner;
	struct pm_evidence told[TOLD_MAX]; /* of the kind that is wanted */
	size_t n;
	enum pm_event wanted;
	uint64_t number; /* of the last frame */
	uint8_t src[4], dst[4];
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
	const struct pm_learner_options options = { .key = { 1, 2 }, .event = on_event };

	(void)state;
	memset(&f, 0, sizeof f);
	f.wanted = PM_EVENT_UNANSWERED;
	return pm_learner_new(&options, rules, &f.learner);
}

static int end(void **state)
{
	(void)state;
	pm_learner_free(f.learner);
	return 0;
}

/* A host by its number. */
static void set_host(uint8_t bytes[4], unsigned n)
{
	bytes[0] = 10;
	bytes[1] = (uint8_t)(n >> 16);
	bytes[2] = (uint8_t)(n >> 8);
	bytes[3] = (uint8_t)n;
}

/* A frame, of so many bytes as it has in its number, and 60. */
static void show(enum pm_transport transport, enum pm_setup setup, unsigned src, unsigned src_port,
		 unsigned dst, unsigned dst_port, int64_t time_ns)
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
				       .ip_version = 4,
				       .transport = (uint8_t)transport,
				       .src_port = (uint16_t)src_port,
				       .dst_port = (uint16_t)dst_port };
	memcpy(f.packet.src.bytes, f.src, 4);
	memcpy(f.packet.dst.bytes, f.dst, 4);
	sight.brief = pm_brief_of(&f.packet);
	sight.src_host = pm_host_hash((struct pm_hash_key){ 1, 2 }, 4, f.src);
	sight.dst_host = pm_host_hash((struct pm_hash_key){ 1, 2 }, 4, f.dst);
	pm_learner_decide(f.learner, &sight);
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

/* Places are used again while others wait; whoever is told is told once, in the order of frames. */
static void attempts_are_told_in_their_order_now_and_then(void **state)
{
	uint64_t before = 0;
	size_t asked = 0;

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
		assert_true(f.told[i].number > before);
		before = f.told[i].number;
	}
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

static const struct {
	const char *name;
	enum pm_transport transport;
	uint16_t src_port, dst_port, client_port;
	bool turned, whole; /* the service opened; who and what frame is told too */
} openers[] = {
	{ "a client opens", TCP, 40000, 80, 40000, false, true },
	{ "active FTP opens from the service", TCP, 20, 40000, 40000, true, true },
	{ "a client's datagram", UDP, 40000, 53, 40000, false, false },
	{ "a datagram from the service comes first", UDP, 53, 40000, 40000, true, true },
	{ "equal ports", UDP, 53, 53, 53, false, true },
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
		if (told->turned != openers[i].turned ||
		    told->client_port != openers[i].client_port ||
		    (told->ip_version != 0) != openers[i].whole)
			fail_msg("%s: told another way", openers[i].name);
		if (told->ip_version &&
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

static int load(void **state)
{
	static const char text[] = "http 80/tcp\nftp-data 20/tcp initiates=yes\ndomain 53/udp\n";
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(what_nobody_answers_is_told_with_the_frame_that_asked),
		CLAIM(answers_refusals_and_repetitions_are_not_told),
		CLAIM(attempts_are_told_in_their_order_now_and_then),
		CLAIM(what_gives_way_is_told_if_it_was_old_enough),
		CLAIM(time_may_jump),
		CLAIM(who_opened_is_told),
		CLAIM(an_unanswered_opening_of_the_service_is_turned),
	};

	return cmocka_run_group_tests_name("learn", tests, load, unload);
}
