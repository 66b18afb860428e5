/* SPDX-License-Identifier: MIT */
/*
 * Conversations, without the frames that they are made of: what the ladder remembers, and what is
 * watched. Two learners see the same, one all that there is, the other as the engine shows it, with
 * a glance and the short way of datagrams first. They must decide, tell and know the same.
 *
 *   how (1)  { ends (1)  ports (1)  what (1)  time (1) } ...
 */
#include <stdbool.h>
#include <string.h>

#include "blocks.h"
#include "portmeter/service.h"
#include "require.h"

#define START (INT64_C(1700000000) * PM_NS_PER_S)
#define STEP 4
#define STEPS 1024
#define STEPS_LONG 26000
#define CLOSED 64 /* intervals: one may go through all that is remembered */
#define FOLLOWS 4 /* changes of rules, which cost a table of ports each */

static const char *const rules_texts[] = {
	"domain 53/tcp/udp\nftp-data 20/tcp initiates=yes\nhttp 80/tcp\nntp 123/udp\nhttps 443/tcp/udp\n"
	"weak 5000/tcp/udp priority=10\nweaker 40000/tcp/udp priority=9\nsig 2905/sctp\n",
	"http 80/tcp priority=10\nuser 50000/tcp/udp\n",
};

/* drawn: of a small one few bits of a flow would differ */
static const struct pm_hash_key learner_key = { UINT64_C(0x8c2f9b6ae14d7053),
						UINT64_C(0x51d3e07fb8a2649c) };
static const uint16_t ports[16] = { 0,    20,   53,   80,    123,   443,   2905,  5000,
				    5001, 8080, 9999, 32768, 40000, 40001, 50000, 65535 };

enum {
	FEW = 1,      /* endpoints are remembered */
	IP6 = 2,
	EXPLAIN = 4,
	CLOSES = 8,   /* times close intervals */
};

/*
 * Some short inputs are gone through again and again, for flows to be tried, to wake and to fall
 * asleep, which takes thousands of frames; not more, since each takes as long as a thousand others.
 */
static bool is_long(unsigned how, size_t size)
{
	return how >> 4 == 0xa && size <= 64;
}

/* One learner, and what it tells. */
struct ear {
	struct pm_learner *learner;
	struct pm_watch *watch;
	const struct pm_rules *rules;
	uint64_t told[PM_EVENT_N][PM_TRANSPORT_N];
	uint64_t found[PM_ANOMALY_N];
	uint64_t frames;
};

static void on_found(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence)
{
	struct ear *ear = ctx;

	REQUIRE(anomaly < PM_ANOMALY_N && evidence->event < PM_EVENT_N && evidence->ip_version);
	ear->found[anomaly]++;
}

static void on_event(void *ctx, const struct pm_evidence *evidence)
{
	struct ear *ear = ctx;
	uint16_t opener = evidence->turned ? evidence->server_port : evidence->client_port;
	uint16_t other = evidence->turned ? evidence->client_port : evidence->server_port;
	enum pm_event event = (enum pm_event)evidence->event;
	bool cares;

	REQUIRE(event < PM_EVENT_N && evidence->transport < PM_TRANSPORT_N);
	REQUIRE(!evidence->ip_version || evidence->number <= ear->frames);
	ear->told[event][evidence->transport]++;
	cares = pm_watch_cares(event, evidence->transport, opener, other);
	REQUIRE(evidence->ip_version || !cares);
	if (cares)
		pm_watch_event(ear->watch, ear->rules, evidence);
}

static void ear_make(struct ear *ear, struct pm_rules *rules, unsigned how)
{
	struct pm_learner_options learner = {
		.endpoints = how & FEW ? 8 : 64,
		.key = learner_key,
		.explains = how & EXPLAIN,
		.flows = how & FEW ? PM_FLOWS_TRIED : PM_FLOWS_EARLY,
		.event = on_event,
		.ctx = ear,
	};
	struct pm_watch_options watch = { .key = { 5, 6 }, .found = on_found, .ctx = ear };

	memset(ear, 0, sizeof *ear);
	ear->rules = rules;
	REQUIRE(pm_learner_new(&learner, rules, &ear->learner) == PM_OK);
	REQUIRE(pm_watch_new(&watch, &ear->watch) == PM_OK);
}

static void ear_free(struct ear *ear)
{
	pm_learner_free(ear->learner);
	pm_watch_free(ear->watch);
}

static struct pm_rules *rules_once(size_t set)
{
	static struct pm_rules *rules[2];
	struct pm_rules_options options = { .check = false };

	if (!rules[set])
		REQUIRE(pm_rules_load_text("fuzz.rules", rules_texts[set], strlen(rules_texts[set]),
					   &options, NULL, &rules[set]) == PM_OK);
	return rules[set];
}

/* A frame as both see it. */
struct scene {
	struct pm_packet packet;
	struct pm_sight sight;
	uint8_t link[6];
};

static void address_of(struct pm_address *address, unsigned host, unsigned how)
{
	static const uint8_t ip6[16] = { 0x20, 1, 0x0d, 0xb8 }, ip4[4] = { 10, 0, 0, 0 };

	memset(address, 0, sizeof *address);
	if (how & IP6)
		memcpy(address->bytes, ip6, sizeof ip6);
	else
		memcpy(address->bytes, ip4, sizeof ip4);
	address->bytes[how & IP6 ? 15 : 3] = (uint8_t)host;
}

/* From four bytes of the input. @number: of the frame; @scan: of the port, to have many of them. */
static void stage(struct scene *scene, const uint8_t *step, unsigned how, uint64_t number)
{
	static const uint8_t tcp_flags[8] = { 0x10, 0x02, 0x12, 0x10, 0x04, 0x14, 0x18, 0x11 };
	const struct pm_hash_key key = { 1, 2 };
	struct pm_packet *packet = &scene->packet;
	struct pm_sight *sight = &scene->sight;
	unsigned what = step[2];

	memset(scene, 0, sizeof *scene);
	packet->verdict = PM_VERDICT_PORTS;
	packet->ip_version = how & IP6 ? 6 : 4;
	packet->transport = (uint8_t)((what & 7) % PM_TRANSPORT_N);
	packet->src_port = ports[step[1] >> 4];
	packet->dst_port = what & 0x40 ? (uint16_t)(number * 7) : ports[step[1] & 15];
	if (what & 0x80)
		packet->notes = PM_NOTE_GROUP;
	if (packet->transport == PM_TRANSPORT_TCP) {
		packet->notes |= PM_NOTE_TCP_FLAGS;
		packet->tcp_flags = tcp_flags[what >> 3 & 7];
		packet->setup = (uint8_t)pm_tcp_setup(packet->tcp_flags);
	} else if (!pm_transport_source_optional((enum pm_transport)packet->transport)) {
		packet->setup = (uint8_t)((what >> 3 & 7) % PM_SETUP_N);
	}
	address_of(&packet->src, step[0] >> 4, how);
	address_of(&packet->dst, step[0] & 15, how);
	/* a host's first address, its second one, or that of a router */
	scene->link[5] = step[3] & 2 ? 0xee : (uint8_t)(step[0] >> 4 | (step[3] & 1) << 4);
	sight->src = packet->src.bytes;
	sight->dst = packet->dst.bytes;
	sight->src_host = pm_host_hash(key, packet->ip_version, sight->src);
	sight->dst_host = pm_host_hash(key, packet->ip_version, sight->dst);
	sight->link = scene->link;
	sight->packet = packet;
	sight->brief = pm_brief_of(packet);
	sight->number = number;
	sight->wire = 60;
	sight->setup = packet->setup;
}

static struct pm_decision decide_whole(struct ear *ear, const struct scene *scene, unsigned how)
{
	struct pm_grounds grounds;
	struct pm_decision decision;

	ear->frames = scene->sight.number;
	if (!(how & EXPLAIN))
		return pm_learner_decide(ear->learner, &scene->sight);
	decision = pm_learner_explain(ear->learner, &scene->sight, &grounds);
	REQUIRE(grounds.setup < PM_SETUP_N && grounds.weight < PM_WEIGHT_N);
	return decision;
}

/* What shows at a glance, or of UDP with little more. */
static struct pm_decision decide_glanced(struct ear *ear, const struct pm_sight *sight,
					 pm_flow flow, bool *ret_attempt)
{
	struct pm_decision decision;
	enum pm_pair pair;

	decision = pm_learner_glance(pm_learner_classes(ear->learner), sight->brief);
	if (decision.rung == PM_RUNG_N)
		return decision;
	if (pm_brief_transport(sight->brief) == PM_TRANSPORT_UDP) {
		pair = pm_learner_datagram(ear->learner, sight->brief, flow, sight->time_ns,
					   decision);
		*ret_attempt = pair == PM_PAIR_NEW;
		if (pair == PM_PAIR_NEWS)
			decision.rung = PM_RUNG_N;
	} else if (pm_flows_hold(sight->brief, sight->number)) {
		pm_learner_glanced(ear->learner, flow, sight->time_ns, decision);
	}
	if (decision.rung != PM_RUNG_N && pm_learner_notes(sight->number))
		pm_learner_note(ear->learner, sight->src_host, sight->dst_host, sight->time_ns,
				(enum pm_side)decision.side);
	return decision;
}

/* As the engine does it: what has nothing to do with memory is never shown. */
static struct pm_decision decide_short(struct ear *ear, const struct scene *scene)
{
	struct pm_sight brief = scene->sight;
	const struct pm_sight *sight = &scene->sight;
	struct pm_decision decision = { 0, PM_SIDE_NONE, PM_RUNG_N };
	struct pm_evidence attempt = { .event = PM_EVENT_ATTEMPT };
	bool is_brief = scene->packet.transport <= PM_TRANSPORT_UDP;
	bool attempted = false;
	const struct pm_flows *flows = pm_learner_flows(ear->learner);
	unsigned known = 0;
	pm_flow flow;

	ear->frames = sight->number;
	if (is_brief && !pm_learner_asks(pm_learner_classes(ear->learner), sight->brief)) {
		brief.packet = NULL; /* the brief says enough */
		sight = &brief;
		flow = pm_flow_of(learner_key, sight->brief, sight->src, sight->dst);
		if (pm_flows_hold(sight->brief, sight->number) && !flows->asleep &&
		    pm_flows_reach(flows, sight->time_ns))
			known = pm_flows_look(flows, flow);
		if (known)
			decision = pm_flow_decision(known);
		else
			decision = decide_glanced(ear, sight, flow, &attempted);
	}
	if (decision.rung == PM_RUNG_N) {
		decision = pm_learner_decide(ear->learner, sight);
	} else if (attempted) {
		attempt.transport = PM_TRANSPORT_UDP;
		on_event(ear, &attempt);
	}
	if (flows->tried && is_brief && pm_flows_hold(sight->brief, sight->number)) {
		flow = pm_flow_of(learner_key, sight->brief, sight->src, sight->dst);
		known = pm_learner_try(ear->learner, flow);
	}
	pm_learner_rest(ear->learner, 1, known != 0);
	/* a brief leaves it out: it shows from the port */
	decision.service = pm_side_label(ear->rules, &scene->packet, (enum pm_side)decision.side);
	return decision;
}

static void compare(struct ear *whole, struct ear *quick)
{
	struct pm_learner_lost a, b;

	pm_learner_lost(whole->learner, &a);
	pm_learner_lost(quick->learner, &b);
	REQUIRE(a.endpoints == b.endpoints && a.handshakes == b.handshakes);
	REQUIRE(pm_learner_endpoints(whole->learner) == pm_learner_endpoints(quick->learner));
	for (int e = 0; e < PM_EVENT_N; e++)
		for (int t = 0; t < PM_TRANSPORT_N; t++)
			if (whole->told[e][t] != quick->told[e][t])
				fprintf(stderr, "event %d, %s: %d, not %d\n", e,
					pm_transport_name((enum pm_transport)t),
					(int)quick->told[e][t], (int)whole->told[e][t]);
	REQUIRE(memcmp(whole->told, quick->told, sizeof whole->told) == 0);
	REQUIRE(memcmp(whole->found, quick->found, sizeof whole->found) == 0);
	REQUIRE(pm_watch_given_up(whole->watch) == pm_watch_given_up(quick->watch));
}

static int64_t step_of(uint8_t time)
{
	static const int64_t units[4] = { 1000, 100000000, PM_NS_PER_S, 120 * PM_NS_PER_S };

	return (time & 0x20 ? -1 : 1) * (int64_t)(time & 0x1f) * units[time >> 6];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned how = size ? data[0] : 0;
	struct ear whole, quick;
	int64_t now = START;
	uint64_t number = 0;
	size_t set = 0, follows = 0, closed = 0, next;

	rules_once(0);
	rules_once(1);
	blocks_begin();
	ear_make(&whole, rules_once(0), how);
	ear_make(&quick, rules_once(0), 0);
	if (how & FEW) {
		ear_free(&quick);
		ear_make(&quick, rules_once(0), FEW);
	}
	pm_learner_begin(whole.learner, START);
	pm_learner_begin(quick.learner, START);
	for (size_t at = 1; at + STEP <= size; at = next) {
		struct scene scene;
		struct pm_decision a, b;

		next = at + STEP;
		if (is_long(how, size) && next + STEP > size)
			next = 1;
		if (number == (is_long(how, size) ? STEPS_LONG : STEPS))
			break;
		stage(&scene, data + at, how, ++number);
		now += step_of(data[at + 3]);
		scene.sight.time_ns = now;
		a = decide_whole(&whole, &scene, how);
		b = decide_short(&quick, &scene);
		REQUIRE(a.side < PM_SIDE_N && a.rung < PM_RUNG_N);
		if (a.rung != b.rung || a.side != b.side || a.service != b.service)
			fprintf(stderr, "frame %d, %s %u > %u, flags %#x: %s %s %u, not %s %s %u\n",
				(int)number,
				pm_transport_name((enum pm_transport)scene.packet.transport),
				scene.packet.src_port, scene.packet.dst_port,
				scene.packet.tcp_flags, pm_side_name((enum pm_side)b.side),
				pm_rung_name((enum pm_rung)b.rung), b.service,
				pm_side_name((enum pm_side)a.side),
				pm_rung_name((enum pm_rung)a.rung), a.service);
		REQUIRE(a.side == b.side && a.rung == b.rung && a.service == b.service);
		REQUIRE(a.service ==
			pm_side_label(whole.rules, &scene.packet, (enum pm_side)a.side));
		if (how & CLOSES && data[at + 3] >> 6 == 2 && closed++ < CLOSED) {
			pm_learner_close(whole.learner, now, false);
			pm_learner_close(quick.learner, now, false);
		}
		if (data[at + 2] == 0xff && follows++ < FOLLOWS) {
			set = !set;
			whole.rules = quick.rules = rules_once(set);
			pm_learner_follow(whole.learner, rules_once(set));
			pm_learner_follow(quick.learner, rules_once(set));
		}
	}
	pm_learner_close(whole.learner, now, true);
	pm_learner_close(quick.learner, now, true);
	compare(&whole, &quick);
	ear_free(&whole);
	ear_free(&quick);
	REQUIRE(blocks_end() == 0);
	return 0;
}
