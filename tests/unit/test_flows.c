/* SPDX-License-Identifier: MIT */
/*
 * Conversations at hand: whatever comes, a learner that keeps what it has decided says and tells
 * the same as one that looks it up for each frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "portmeter/service.h"
#include "traffic.h"

#define TCP PM_TRANSPORT_TCP
#define UDP PM_TRANSPORT_UDP
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KEY                                                                \
	{                                                                  \
		UINT64_C(0x8c2f9b6ae14d7053), UINT64_C(0x51d3e07fb8a2649c) \
	}
#define START (INT64_C(1700000000) * SECOND)
#define GROUP 255 /* as a host */
/* From here on, few frames are shown for what they say about hosts. */
#define FIRST 65537

static const struct pm_hash_key key = KEY;
static const char *const rule_texts[] = {
	"http 80/tcp\ndomain 53/tcp/udp\nntp 123/udp\nftp-data 20/tcp initiates=yes\n"
	"weak 5000/tcp/udp priority=10\n",
	"http 80/tcp priority=10\ndomain 53/udp\nuser 40001/tcp/udp\n",
};
static struct pm_rules *rules[COUNT(rule_texts)];

static int load(void **state)
{
	(void)state;
	return traffic_rules_each(rule_texts, COUNT(rules), rules) ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++)
		pm_rules_unref(rules[i]);
	return 0;
}

/* What a learner has told: how often, and of which frames. */
struct told {
	uint64_t times, sum;
};

static void on_event(void *ctx, const struct pm_evidence *evidence)
{
	struct told *told = ctx;

	told->times++;
	told->sum += (uint64_t)(evidence->event + 1) << 32 | (uint64_t)evidence->server_port << 16 |
		     evidence->client_port;
}

/* Both learners, the frame that they see, and how many were known. */
struct twins {
	struct pm_learner *kept, *plain;
	struct told kept_told, plain_told;
	struct pm_packet packet;
	struct pm_sight sight;
	unsigned known;
};

static struct twins twins;

static struct pm_learner *learner_new(struct told *told, enum pm_flows_use flows,
				      size_t endpoints)
{
	const struct pm_learner_options options = {
		.endpoints = endpoints,
		.key = KEY,
		.flows = flows,
		.explains = true,
		.event = on_event,
		.ctx = told,
	};
	struct pm_learner *learner = NULL;

	assert_int_equal(pm_learner_new(&options, rules[0], &learner), PM_OK);
	return learner;
}

static void twins_begin_with(enum pm_flows_use flows, size_t endpoints)
{
	memset(&twins, 0, sizeof twins);
	twins.kept = learner_new(&twins.kept_told, flows, endpoints);
	twins.plain = learner_new(&twins.plain_told, PM_FLOWS_NEVER, endpoints);
	twins.sight.number = FIRST;
	twins.sight.time_ns = START;
}

static void twins_begin(size_t endpoints)
{
	twins_begin_with(PM_FLOWS_EARLY, endpoints);
}

/* Frames of labels that leave no doubt and of what they have learned, shown to both. */
static void assert_same_memory(void)
{
	struct pm_learner_lost kept, plain;
	struct pm_grounds a, b;

	twins.sight.brief = pm_brief_of(&twins.packet);
	pm_learner_explain(twins.kept, &twins.sight, &a);
	pm_learner_explain(twins.plain, &twins.sight, &b);
	assert_memory_equal(&a, &b, sizeof a);
	pm_learner_lost(twins.kept, &kept);
	pm_learner_lost(twins.plain, &plain);
	assert_int_equal(kept.endpoints, plain.endpoints);
	assert_int_equal(kept.handshakes, plain.handshakes);
	assert_int_equal(pm_learner_endpoints(twins.kept), pm_learner_endpoints(twins.plain));
}

static void twins_end(void)
{
	pm_learner_free(twins.kept);
	pm_learner_free(twins.plain);
}

/* As the engine does it, of frames to an address of the link. */
static struct pm_decision decide(struct pm_learner *learner, const struct pm_sight *sight,
				 struct told *told, unsigned *ret_known)
{
	const struct pm_flows *flows = pm_learner_flows(learner);
	/* to a group of IP a glimpse sees nothing special */
	const pm_brief group = (uint64_t)PM_NOTE_GROUP << 40;
	bool held = pm_flows_hold(sight->brief & ~group, sight->number);
	enum pm_pair pair = PM_PAIR_KNOWN;
	struct pm_decision decision = { 0, PM_SIDE_NONE, PM_RUNG_N };

	*ret_known = 0;
	if (held && !flows->asleep && pm_flows_reach(flows, sight->time_ns))
		*ret_known = pm_flows_look(flows, sight->flow);
	if (flows->tried && held)
		pm_learner_rest(learner, 1, pm_learner_try(learner, sight->flow));
	else
		pm_learner_rest(learner, 1, *ret_known != 0);
	if (*ret_known)
		return pm_flow_decision(*ret_known);
	decision = pm_learner_glance(pm_learner_classes(learner), sight->brief);
	if (decision.rung == PM_RUNG_N)
		return pm_learner_decide(learner, sight);
	if (pm_brief_transport(sight->brief) == UDP)
		pair = pm_learner_datagram(learner, sight->brief, sight->flow, sight->time_ns,
					   decision);
	else if (held)
		pm_learner_glanced(learner, sight->flow, sight->time_ns, decision);
	if (pair == PM_PAIR_NEWS)
		return pm_learner_decide(learner, sight);
	if (pm_learner_notes(sight->number))
		pm_learner_note(learner, sight->src_host, sight->dst_host, sight->time_ns,
				(enum pm_side)decision.side);
	if (pair == PM_PAIR_NEW)
		on_event(told, &(struct pm_evidence){
				       .event = PM_EVENT_ATTEMPT,
				       .server_port = decision.side == PM_SIDE_SRC
							      ? pm_brief_src_port(sight->brief)
							      : pm_brief_dst_port(sight->brief),
				       .client_port = decision.side == PM_SIDE_SRC
							      ? pm_brief_dst_port(sight->brief)
							      : pm_brief_src_port(sight->brief),
			       });
	return decision;
}

/* The next frame: what both say of it. */
static struct pm_decision show(unsigned src, unsigned src_port, unsigned dst, unsigned dst_port,
			       uint8_t transport, uint8_t flags)
{
	struct pm_packet *packet = &twins.packet;
	struct pm_sight *sight = &twins.sight;
	struct pm_decision kept, plain;
	unsigned known;

	*packet = (struct pm_packet){ .verdict = PM_VERDICT_PORTS,
				      .ip_version = 4,
				      .transport = transport,
				      .src_port = (uint16_t)src_port,
				      .dst_port = (uint16_t)dst_port,
				      .tcp_flags = flags,
				      .notes = dst == GROUP ? PM_NOTE_GROUP : 0,
				      .src = { { src == GROUP ? 224 : 192, 0, 2, (uint8_t)src } },
				      .dst = { { dst == GROUP ? 224 : 192, 0, 2, (uint8_t)dst } } };
	sight->src = packet->src.bytes;
	sight->dst = packet->dst.bytes;
	sight->src_host = pm_host_hash(key, 4, sight->src);
	sight->dst_host = pm_host_hash(key, 4, sight->dst);
	sight->brief = pm_brief_of(packet);
	sight->flow = pm_flow_of(key, sight->brief, sight->src, sight->dst);
	sight->setup = transport == TCP ? (uint8_t)pm_tcp_setup(flags) : PM_SETUP_NONE;
	plain = decide(twins.plain, sight, &twins.plain_told, &known);
	assert_int_equal(known, 0);
	kept = decide(twins.kept, sight, &twins.kept_told, &known);
	twins.known += known != 0;
	if (kept.side != plain.side || kept.rung != plain.rung ||
	    twins.kept_told.times != twins.plain_told.times ||
	    twins.kept_told.sum != twins.plain_told.sum)
		fail_msg("frame %d, %s %u:%u > %u:%u, flags %#x%s: %s by %s, %d told; "
			 "plain: %s by %s, %d told",
			 (int)sight->number - FIRST, pm_transport_name(transport), src, src_port,
			 dst, dst_port, flags, known ? ", known" : "",
			 pm_side_name((enum pm_side)kept.side),
			 pm_rung_name((enum pm_rung)kept.rung), (int)twins.kept_told.times,
			 pm_side_name((enum pm_side)plain.side),
			 pm_rung_name((enum pm_rung)plain.rung), (int)twins.plain_told.times);
	sight->number++;
	return kept;
}

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

/* The same two once more, or the other way round. */
static void again(uint8_t transport, uint8_t flags)
{
	const struct pm_packet last = twins.packet;
	bool back = draw(2);

	show((back ? last.dst : last.src).bytes[3], back ? last.dst_port : last.src_port,
	     (back ? last.src : last.dst).bytes[3], back ? last.src_port : last.dst_port, transport,
	     flags);
}

/* A small world, in which everything happens to everybody. */
static void anything(unsigned hosts, unsigned n_ports, unsigned quiet)
{
	static const uint16_t ports[] = { 80,   53,    123,   20,    5000, 40000,
					  7777, 40001, 40002, 40003, 80,   8888 };
	static const uint8_t flags[] = { PM_TCP_SYN, PM_TCP_SYN | PM_TCP_ACK, PM_TCP_RST,
					 PM_TCP_FIN | PM_TCP_ACK, PM_TCP_RST | PM_TCP_ACK, 0 };
	uint8_t transport = draw(3) ? TCP : UDP, with = PM_TCP_ACK;

	if (draw(quiet) == 0)
		with = flags[draw(COUNT(flags))];
	if (draw(2 * quiet) == 0) {
		unsigned client = draw(hosts), server = draw(hosts), port = ports[draw(n_ports)];

		show(client, ports[draw(n_ports)], server, port, TCP, PM_TCP_SYN);
		show(server, port, client, twins.packet.src_port, TCP, PM_TCP_SYN | PM_TCP_ACK);
	}
	with = transport == TCP ? with : 0;
	if (draw(3) && twins.packet.ip_version)
		again(transport, with);
	else
		show(draw(hosts), ports[draw(n_ports)], draw(hosts), ports[draw(n_ports)],
		     transport, with);
}

static void what_is_known_is_what_would_be_decided(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		unsigned hosts = 2 + round % 4, ports = 4 + round % 9, quiet = 4U << round % 5;

		seed = round + 1;
		twins_begin(round % 2 ? 8 : 0);
		if (round % 8 == 7) /* time begins before 1970, and once at its very beginning */
			twins.sight.time_ns = round % 16 == 7 ? -SECOND : PM_TIME_MIN;
		for (unsigned i = 0; i < 2000; i++) {
			twins.sight.time_ns += draw(8) ? 1000 : SECOND / (1 + draw(16));
			if (draw(400) == 0)
				twins.sight.time_ns += (int64_t)draw(8000) * SECOND;
			if (draw(400) == 0)
				twins.sight.time_ns = pm_time_add(twins.sight.time_ns,
								  -(int64_t)draw(100) * SECOND);
			anything(hosts, ports, quiet);
			if (draw(500) == 0) {
				pm_learner_close(twins.kept, twins.sight.time_ns, false);
				pm_learner_close(twins.plain, twins.sight.time_ns, false);
			}
			if (draw(1000) == 0) {
				pm_learner_follow(twins.kept, rules[i % 2]);
				pm_learner_follow(twins.plain, rules[i % 2]);
			}
		}
		known += twins.known;
		assert_same_memory();
		twins_end();
	}
	/* There was something to see. */
	assert_true(known > 40000);
}

/* Two of UDP talk until it is known. */
static pm_flow talk_until_known(void)
{
	for (unsigned i = 0; i < 4; i++) {
		show(1, 50000, 2, 53, UDP, 0);
		show(2, 53, 1, 50000, UDP, 0);
	}
	assert_int_equal(twins.known, 5);
	return twins.sight.flow;
}

/* Others that stand in its place push their pair out; of none of them is a word kept. */
static void push_out(pm_flow flow)
{
	for (unsigned i = 0, others = 0; others < 8; i++) {
		const struct pm_address from = { { 192, 0, 2, (uint8_t)(3 + i / 60000) } };
		const struct pm_address to = { { 192, 0, 2, 2 } };
		struct pm_packet packet = { .ip_version = 4,
					    .transport = UDP,
					    .src_port = (uint16_t)(1024 + i % 60000),
					    .dst_port = 8888 };
		pm_flow other = pm_flow_of(key, pm_brief_of(&packet), from.bytes, to.bytes);

		if ((other ^ flow) >> 1 & 8191)
			continue;
		show(from.bytes[3], packet.src_port, 2, 8888, UDP, 0);
		others++;
	}
}

/* A frame of theirs that is looked for: it begins anew. */
static void they_begin_anew(void)
{
	uint64_t told;

	while (pm_learner_notes(twins.sight.number))
		show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	told = twins.kept_told.times;
	show(1, 50000, 2, 53, UDP, 0);
	assert_int_equal(twins.kept_told.times, told + 1);
}

/* A pair of UDP that gives way to others is a new one when it speaks again, known or not. */
static void what_is_forgotten_is_not_known(void **state)
{
	(void)state;
	twins_begin(0);
	push_out(talk_until_known());
	they_begin_anew();
	twins_end();
}

/* The same where it gives way while nobody looks after what is kept. */
static void nor_what_is_forgotten_in_its_sleep(void **state)
{
	const struct pm_flows *flows;
	pm_flow flow;

	(void)state;
	twins_begin(0);
	flows = pm_learner_flows(twins.kept);
	flow = talk_until_known();
	for (unsigned i = 0; !flows->asleep; i++)
		show(3 + i % 200, 1024 + i, 2, 80, TCP, PM_TCP_ACK);
	push_out(flow);
	for (unsigned i = 0; flows->asleep; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	they_begin_anew();
	twins_end();
}

/* An endpoint that gives way takes what was decided because of it along. */
static void nor_is_what_an_endpoint_has_shown(void **state)
{
	(void)state;
	twins_begin(8);
	show(1, 40000, 2, 7777, TCP, PM_TCP_SYN);
	show(2, 7777, 1, 40000, TCP, PM_TCP_SYN | PM_TCP_ACK);
	for (unsigned i = 0; i < 3; i++)
		show(1, 40000, 2, 7777, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 2);
	/* others of the same port, more than there is room for */
	for (unsigned i = 0; i < 8; i++) {
		show(1, 40001 + i, 10 + i, 7777, TCP, PM_TCP_SYN);
		show(10 + i, 7777, 1, 40001 + i, TCP, PM_TCP_SYN | PM_TCP_ACK);
	}
	assert_int_not_equal(show(1, 40000, 2, 7777, TCP, PM_TCP_ACK).rung, PM_RUNG_LEARNED);
	twins_end();
}

/* A frame of either direction makes both known, a frame to be counted anew neither. */
static void each_has_its_word(void **state)
{
	(void)state;
	twins_begin(0);
	/* nobody has seen it begin, but its label leaves no doubt */
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 0);
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 1);
	assert_int_equal(show(2, 80, 1, 50000, TCP, PM_TCP_ACK).side, PM_SIDE_SRC);
	assert_int_equal(twins.known, 2);
	/* the same port of another host is another's */
	show(3, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 2);
	/* in the next step it is looked at again, once */
	twins.sight.time_ns += PM_FLOW_STEP_NS;
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 2);
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 3);
	/* and in the next interval */
	pm_learner_close(twins.kept, twins.sight.time_ns, false);
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 3);
	/* nothing is kept of a time before 1970 */
	twins.sight.time_ns = -100 * SECOND;
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	twins.sight.time_ns = SECOND;
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 3);
	show(1, 50000, 2, 80, TCP, PM_TCP_ACK);
	assert_int_equal(twins.known, 4);
	twins_end();
}

/* What time does when it goes back is what it would have done. */
static void time_may_go_back(void **state)
{
	(void)state;
	/* a handshake that was over is on its way again */
	twins_begin(0);
	twins.sight.time_ns = START + 10 * SECOND;
	show(1, 40000, 2, 80, TCP, PM_TCP_SYN);
	twins.sight.time_ns = START + 70 * SECOND + SECOND / 2;
	show(1, 40000, 2, 80, TCP, PM_TCP_ACK);
	twins.sight.time_ns = START + 70 * SECOND;
	show(1, 40000, 2, 80, TCP, PM_TCP_ACK);
	/* the attempt, that nobody answered in time, and the session */
	assert_int_equal(twins.kept_told.times, 3);
	twins_end();
	/* an endpoint's time is set back by who uses it */
	twins_begin(0);
	show(1, 40000, 2, 7777, TCP, PM_TCP_SYN);
	show(2, 7777, 1, 40000, TCP, PM_TCP_SYN | PM_TCP_ACK);
	show(1, 40000, 2, 7777, TCP, PM_TCP_ACK);
	show(1, 40000, 2, 7777, TCP, PM_TCP_ACK);
	twins.sight.time_ns = START + 119 * 60 * SECOND;
	show(3, 40001, 2, 7777, TCP, PM_TCP_SYN);
	show(2, 7777, 3, 40001, TCP, PM_TCP_SYN | PM_TCP_ACK);
	twins.sight.time_ns = START + SECOND / 3;
	show(1, 40000, 2, 7777, TCP, PM_TCP_ACK);
	twins.sight.time_ns = START + 125 * 60 * SECOND;
	show(1, 40000, 2, 7777, TCP, PM_TCP_ACK);
	twins_end();
	/* and so is a pair's */
	twins_begin(0);
	show(1, 40000, 2, 53, UDP, 0);
	show(2, 53, 1, 40000, UDP, 0);
	show(1, 40000, 2, 53, UDP, 0);
	twins.sight.time_ns = START + 118 * SECOND;
	twins.sight.number = 2 * FIRST - 2; /* one that is shown */
	show(1, 40000, 2, 53, UDP, 0);
	twins.sight.time_ns = START + SECOND / 2;
	show(1, 40000, 2, 53, UDP, 0);
	twins.sight.time_ns = START + 122 * SECOND;
	show(1, 40000, 2, 53, UDP, 0);
	assert_int_equal(twins.kept_told.times, 3);
	twins_end();
}

/* Of two labels that of a group's port has less weight, if it is the source. */
static void to_a_group_is_not_from_it(void **state)
{
	(void)state;
	twins_begin(0);
	for (unsigned i = 0; i < 4; i++) {
		show(GROUP, 80, 2, 53, TCP, PM_TCP_ACK);
		show(2, 53, GROUP, 80, TCP, PM_TCP_ACK);
	}
	assert_true(twins.known >= 3);
	twins_end();
}

/* Where nearly nothing is known, it is not asked for long; and again when that has changed. */
static void it_sleeps_where_it_is_of_no_use(void **state)
{
	const struct pm_flows *flows;
	unsigned i = 0;

	(void)state;
	twins_begin(0);
	flows = pm_learner_flows(twins.kept);
	for (; i < 100000 && !flows->asleep; i++)
		show(i % 200, 1024 + i % 60000, 2, 80, TCP, PM_TCP_ACK);
	assert_true(flows->asleep);
	assert_int_equal(twins.known, 0);
	assert_true(i < 5000);
	/* it tries again later */
	for (i = 0; i < 400000 && flows->asleep; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	assert_true(i > 20000 && i < 21000);
	for (i = 0; i < 100000; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	assert_false(flows->asleep);
	assert_true(twins.known > 90000);
	assert_true(pm_learner_flows(twins.plain)->asleep);
	twins_end();
}

/* From the start it is found out first whether it would be of use. */
static void it_wakes_where_it_is_of_use(void **state)
{
	const struct pm_flows *flows;
	unsigned i = 0;

	(void)state;
	twins_begin_with(PM_FLOWS_TRIED, 0);
	flows = pm_learner_flows(twins.kept);
	assert_true(flows->asleep && flows->tried);
	for (; i < 10000 && flows->tried; i++)
		show(1, 1024 + i % 60000, 2, 80, TCP, PM_TCP_ACK);
	assert_true(i > 4000 && i < 5000);
	assert_true(flows->asleep);
	/* asleep, nothing is tried for a while */
	for (i = 0; i < 100000 && !flows->tried; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	assert_true(i > 16000 && i < 17000);
	for (i = 0; i < 100000 && flows->asleep; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	assert_true(i > 4000 && i < 5000);
	assert_int_equal(twins.known, 0);
	for (i = 0; i < 10000; i++)
		show(1, 50000 + i % 100, 2, 80, TCP, PM_TCP_ACK);
	assert_true(!flows->asleep && !flows->tried && twins.known > 8000);
	twins_end();
}

/* Of a trial, how many in a hundred would be recalled; and @asleep is what follows. */
static void trial_ends(unsigned percent, size_t at_once, bool asleep)
{
	const struct pm_flows *flows;

	twins_begin_with(PM_FLOWS_TRIED, 0);
	flows = pm_learner_flows(twins.kept);
	for (size_t frames = 0; flows->tried; frames += at_once) {
		assert_true(frames < 10000);
		pm_learner_rest(twins.kept, at_once, at_once * percent / 100);
	}
	assert_int_equal(flows->asleep, asleep);
	twins_end();
}

/* An eighth is enough, however many are handed over at a time. */
static void an_eighth_wakes_it(void **state)
{
	(void)state;
	trial_ends(13, 100, false);
	trial_ends(12, 100, true);
	trial_ends(13, 8200, false);
	trial_ends(12, 8200, true);
}

/* And a quarter keeps it awake; a sixteenth for some looks, however much is handed over at each. */
static void a_quarter_keeps_it_awake(void **state)
{
	static const struct {
		unsigned percent, looks;
	} rows[] = { { 26, 20 }, { 24, 6 }, { 7, 6 }, { 6, 1 } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned looks = 0;

		twins_begin(0);
		for (; looks < 20 && !pm_learner_flows(twins.kept)->asleep; looks++)
			pm_learner_rest(twins.kept, 10000, 100 * rows[i].percent);
		assert_int_equal(looks, rows[i].looks);
		twins_end();
	}
}

/* What came before the sleep has not come lately. */
static void a_trial_begins_anew(void **state)
{
	pm_flow flow = UINT64_C(0x123456789abcdef0);

	(void)state;
	twins_begin_with(PM_FLOWS_TRIED, 0);
	assert_false(pm_learner_try(twins.kept, flow));
	assert_true(pm_learner_try(twins.kept, flow));
	pm_learner_rest(twins.kept, 5000, 0);
	assert_false(pm_learner_flows(twins.kept)->tried);
	pm_learner_rest(twins.kept, 20000, 0);
	assert_true(pm_learner_flows(twins.kept)->tried);
	assert_false(pm_learner_try(twins.kept, flow));
	twins_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_known_is_what_would_be_decided),
		cmocka_unit_test(what_is_forgotten_is_not_known),
		cmocka_unit_test(nor_what_is_forgotten_in_its_sleep),
		cmocka_unit_test(nor_is_what_an_endpoint_has_shown),
		cmocka_unit_test(each_has_its_word),
		cmocka_unit_test(time_may_go_back),
		cmocka_unit_test(to_a_group_is_not_from_it),
		cmocka_unit_test(it_sleeps_where_it_is_of_no_use),
		cmocka_unit_test(it_wakes_where_it_is_of_use),
		cmocka_unit_test(an_eighth_wakes_it),
		cmocka_unit_test(a_quarter_keeps_it_awake),
		cmocka_unit_test(a_trial_begins_anew),
	};

	return cmocka_run_group_tests_name("flows", tests, load, unload);
}
