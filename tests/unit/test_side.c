/* SPDX-License-Identifier: MIT */
/* The side ladder: every rung, every zero, and that a packet's answer mirrors it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "portmeter/service.h"

static const char rules_text[] =
	"domain     53/udp/udplite/tcp/sctp/dccp\n"
	"http       80/tcp/udp/udplite/sctp/dccp\n"
	"bootps     67/udp priority=60\n"
	"bootpc     68/udp\n"
	"low        900/tcp priority=10\n"
	"user       5000/tcp/udp\n"
	"user-two   5001/tcp/udp\n"
	"strong     6000/tcp/udp priority=51\n"
	"high       50001/tcp/udp\n"
	"multi      1023/udp\n"
	"multi-user 1024/udp\n"
	"scoped     7000/tcp/udp host=192.0.2.1 host=2001:db8::1\n"
	"net        7000/tcp/udp host=192.0.2.0/24\n"
	"over       5000/tcp/udp host=192.0.2.1 priority=1\n"
	"client     50000/tcp/udp host=192.0.2.1\n"
	"system     999/tcp host=192.0.2.1\n";

/* Addresses by number: what a row of the table can name. */
static const struct {
	int version;
	struct pm_address address;
} places[] = {
	{ 4, { { 198, 51, 100, 1 } } }, /* no rule holds here */
	{ 4, { { 192, 0, 2, 1 } } },
	{ 4, { { 192, 0, 2, 2 } } },
	{ 6, { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } },
	{ 6, { { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } } },
	{ 4, { { 0x20, 0x01, 0x0d, 0xb8 } } }, /* the first bytes of the one above, but IPv4 */
};
enum {
	NOWHERE,
	HOST,
	NEIGHBOUR,
	HOST6,
	NOWHERE6,
	LOOKALIKE,
};

enum {
	TCP = PM_TRANSPORT_TCP,
	UDP,
	UDPLITE,
	SCTP,
	DCCP,
};
enum {
	NONE = PM_SIDE_NONE,
	SRC,
	DST,
	BOTH,
};

struct side_case {
	const char *name;
	int transport, src, src_port, dst, dst_port, notes;
	int side;
	enum pm_rung rung;
	const char *service;
	int one_way; /* the row has no mirror: it is about zero, or about a group */
};

#define ONE_WAY 1
#define GROUP PM_NOTE_GROUP

static const struct side_case cases[] = {
	/* zero */
	{ "udp from no port to a known one", UDP, 0, 0, 0, 53, 0, DST, PM_RUNG_ZERO, "domain", ONE_WAY },
	{ "udp from no port to an unknown one", UDP, 0, 0, 0, 8999, 0, DST, PM_RUNG_ZERO, "-", ONE_WAY },
	{ "udp from no port to an ephemeral one", UDP, 0, 0, 0, 60000, 0, DST, PM_RUNG_ZERO, "-", ONE_WAY },
	{ "udp from no port to a scoped one", UDP, 0, 0, HOST, 7000, 0, DST, PM_RUNG_ZERO, "scoped", ONE_WAY },
	{ "udp from no port to a scoped one elsewhere", UDP, 0, 0, 0, 7000, 0, DST, PM_RUNG_ZERO, "-", ONE_WAY },
	{ "udp from no port to a group", UDP, 0, 0, 0, 5000, GROUP, DST, PM_RUNG_ZERO, "user", ONE_WAY },
	{ "udplite from no port to a known one", UDPLITE, 0, 0, 0, 53, 0, DST, PM_RUNG_ZERO, "domain", ONE_WAY },
	{ "udplite from no port to an unknown one", UDPLITE, 0, 0, 0, 8999, 0, DST, PM_RUNG_ZERO, "-", ONE_WAY },
	/* zero where it is an anomaly */
	{ "udp to port 0 from a known one", UDP, 0, 53, 0, 0, 0, SRC, PM_RUNG_KNOWN, "domain", ONE_WAY },
	{ "udp to port 0 from an unknown one", UDP, 0, 8999, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", ONE_WAY },
	{ "udp to port 0 from an ephemeral one", UDP, 0, 60000, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", ONE_WAY },
	{ "udp to port 0 from a scoped one", UDP, HOST, 7000, 0, 0, 0, SRC, PM_RUNG_RULE, "scoped", ONE_WAY },
	{ "udp from port 0 to port 0", UDP, 0, 0, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "udplite to port 0 from a known one", UDPLITE, 0, 53, 0, 0, 0, SRC, PM_RUNG_KNOWN, "domain", ONE_WAY },
	{ "udplite from port 0 to port 0", UDPLITE, 0, 0, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "tcp from port 0 to a known one", TCP, 0, 0, 0, 80, 0, DST, PM_RUNG_KNOWN, "http", 0 },
	{ "tcp from port 0 to an ephemeral one", TCP, 0, 0, 0, 50000, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "tcp from port 0 to an unknown one", TCP, 0, 0, 0, 8999, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "tcp from port 0 to a scoped one", TCP, 0, 0, HOST, 7000, 0, DST, PM_RUNG_RULE, "scoped", 0 },
	{ "tcp from port 0 to a scoped one elsewhere", TCP, 0, 0, 0, 7000, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "tcp from port 0 to a known one, scoped elsewhere", TCP, 0, 0, 0, 5000, 0, DST, PM_RUNG_KNOWN, "user", 0 },
	{ "tcp from port 0 to port 0", TCP, 0, 0, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "sctp from port 0 to a known one", SCTP, 0, 0, 0, 80, 0, DST, PM_RUNG_KNOWN, "http", 0 },
	{ "sctp from port 0 to port 0", SCTP, 0, 0, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "dccp from port 0 to a known one", DCCP, 0, 0, 0, 80, 0, DST, PM_RUNG_KNOWN, "http", 0 },
	{ "dccp from port 0 to an ephemeral one", DCCP, 0, 0, 0, 50000, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "dccp from port 0 to port 0", DCCP, 0, 0, 0, 0, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	/* rule */
	{ "a scoped rule at one side", TCP, 0, 40000, HOST, 7000, 0, DST, PM_RUNG_RULE, "scoped", 0 },
	{ "a scoped rule of a subnet", TCP, 0, 40000, NEIGHBOUR, 7000, 0, DST, PM_RUNG_RULE, "net", 0 },
	{ "a scoped rule of IPv6", TCP, NOWHERE6, 40000, HOST6, 7000, 0, DST, PM_RUNG_RULE, "scoped", 0 },
	{ "a scoped rule beats a known port of higher rank", TCP, 0, 6000, HOST, 5000, 0, DST, PM_RUNG_RULE, "over", 0 },
	{ "a scoped rule beats a system port", TCP, 0, 53, HOST, 7000, 0, DST, PM_RUNG_RULE, "scoped", 0 },
	{ "a scoped rule on an ephemeral port", TCP, 0, 8999, HOST, 50000, 0, DST, PM_RUNG_RULE, "client", 0 },
	{ "a scoped rule beats equal ports", TCP, 0, 7000, HOST, 7000, 0, DST, PM_RUNG_RULE, "scoped", 0 },
	{ "a scoped rule needs its own side's address", TCP, HOST, 40000, 0, 7000, 0, DST, PM_RUNG_EPHEMERAL, "-", 0 },
	{ "a scoped rule of an IPv6 address does not hold for IPv4", TCP, 0, 40000, LOOKALIKE, 7000, 0, DST, PM_RUNG_EPHEMERAL, "-", 0 },
	{ "a port scoped elsewhere keeps its label", TCP, 0, 40000, 0, 5000, 0, DST, PM_RUNG_KNOWN, "user", 0 },
	{ "scoped rules at both sides decide nothing: the score does", TCP, HOST, 50000, NEIGHBOUR, 7000, 0, DST, PM_RUNG_SCORE, "net", 0 },
	{ "of scoped rules at both sides, the system port's", TCP, HOST, 999, NEIGHBOUR, 7000, 0, SRC, PM_RUNG_SCORE, "system", 0 },
	/* symmetric */
	{ "equal ports that are known", UDP, 0, 53, 0, 53, 0, BOTH, PM_RUNG_SYMMETRIC, "domain", 0 },
	{ "equal ports that are unknown", UDP, 0, 8999, 0, 8999, 0, BOTH, PM_RUNG_SYMMETRIC, "-", 0 },
	{ "equal ephemeral ports", TCP, 0, 40000, 0, 40000, 0, BOTH, PM_RUNG_SYMMETRIC, "-", 0 },
	{ "equal ports to a group", UDP, 0, 5000, 0, 5000, GROUP, BOTH, PM_RUNG_SYMMETRIC, "user", 0 },
	{ "equal ports, each scoped: the destination's label", TCP, HOST, 7000, NEIGHBOUR, 7000, 0, BOTH, PM_RUNG_SYMMETRIC, "net", ONE_WAY },
	{ "and the other way round", TCP, NEIGHBOUR, 7000, HOST, 7000, 0, BOTH, PM_RUNG_SYMMETRIC, "scoped", ONE_WAY },
	/* known */
	{ "one known port", TCP, 0, 40000, 0, 80, 0, DST, PM_RUNG_KNOWN, "http", 0 },
	{ "one known port among low ones", TCP, 0, 1, 0, 5000, 0, DST, PM_RUNG_KNOWN, "user", 0 },
	{ "one known port that is ephemeral", TCP, 0, 8999, 0, 50001, 0, DST, PM_RUNG_KNOWN, "high", 0 },
	{ "known for this transport only", TCP, 0, 67, 0, 5000, 0, DST, PM_RUNG_KNOWN, "user", 0 },
	{ "a group does not outweigh the known port", UDP, 0, 53, 0, 8999, GROUP, SRC, PM_RUNG_KNOWN, "domain", ONE_WAY },
	/* score */
	{ "the higher priority", UDP, 0, 68, 0, 67, 0, DST, PM_RUNG_SCORE, "bootps", 0 },
	{ "the higher priority beats the system range", TCP, 0, 80, 0, 6000, 0, DST, PM_RUNG_SCORE, "strong", 0 },
	{ "the higher priority beats the lower port", TCP, 0, 900, 0, 5001, 0, DST, PM_RUNG_SCORE, "user-two", 0 },
	{ "the system range", TCP, 0, 5000, 0, 80, 0, DST, PM_RUNG_SCORE, "http", 0 },
	{ "the system range ends at 1023", UDP, 0, 1024, 0, 1023, GROUP, DST, PM_RUNG_SCORE, "multi", ONE_WAY },
	{ "the system range beats the group", UDP, 0, 1023, 0, 1024, GROUP, SRC, PM_RUNG_SCORE, "multi", ONE_WAY },
	{ "the group beats the lower port", UDP, 0, 5000, 0, 5001, GROUP, DST, PM_RUNG_SCORE, "user-two", ONE_WAY },
	{ "the group and the lower port", UDP, 0, 5001, 0, 5000, GROUP, DST, PM_RUNG_SCORE, "user", ONE_WAY },
	{ "the priority beats the group", UDP, 0, 6000, 0, 5000, GROUP, SRC, PM_RUNG_SCORE, "strong", ONE_WAY },
	{ "the lower port of two users'", TCP, 0, 5001, 0, 5000, 0, DST, PM_RUNG_SCORE, "user", 0 },
	{ "the lower port of two systems'", TCP, 0, 80, 0, 53, 0, DST, PM_RUNG_SCORE, "domain", 0 },
	/* ephemeral */
	{ "an ephemeral port and one that is not", TCP, 0, 40000, 0, 8999, 0, DST, PM_RUNG_EPHEMERAL, "-", 0 },
	{ "the ends of the ephemeral range", UDP, 0, 65535, 0, 1, 0, DST, PM_RUNG_EPHEMERAL, "-", 0 },
	{ "the ephemeral range begins at 32768", SCTP, 0, 32768, 0, 32767, 0, DST, PM_RUNG_EPHEMERAL, "-", 0 },
	/* unknown */
	{ "two unknown ports", TCP, 0, 8998, 0, 8999, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "two ephemeral ports", TCP, 0, 40000, 0, 65535, 0, NONE, PM_RUNG_UNKNOWN, "-", 0 },
	{ "unknown ports to a group", UDP, 0, 8998, 0, 8999, GROUP, NONE, PM_RUNG_UNKNOWN, "-", 0 },
};

static struct pm_rules *rules;

static struct pm_packet packet_of(const struct side_case *k)
{
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS };

	packet.ip_version = (uint8_t)places[k->dst].version;
	packet.transport = (uint8_t)k->transport;
	packet.src_port = (uint16_t)k->src_port;
	packet.dst_port = (uint16_t)k->dst_port;
	packet.notes = (uint8_t)k->notes;
	packet.src = places[k->src].address;
	packet.dst = places[k->dst].address;
	return packet;
}

static struct pm_packet swapped(const struct pm_packet *packet)
{
	struct pm_packet other = *packet;

	other.src = packet->dst;
	other.dst = packet->src;
	other.src_port = packet->dst_port;
	other.dst_port = packet->src_port;
	return other;
}

static int mirrored(int side)
{
	if (side == SRC)
		return DST;
	return side == DST ? SRC : side;
}

static unsigned long briefs; /* decided without the whole packet */

/* From a brief comes the same, or that it does not say enough. */
static void assert_brief_agrees(const struct pm_packet *packet, struct pm_decision decision)
{
	pm_brief brief = (uint64_t)packet->src_port << 16 | packet->dst_port |
			 (uint64_t)packet->transport << 32 | (uint64_t)packet->notes << 40 |
			 (uint64_t)packet->ip_version << 56;
	struct pm_decision same = pm_side_decide_brief(rules, brief);

	if (same.rung == PM_RUNG_N)
		return;
	briefs++;
	assert_int_equal(same.service, 0);
	if (same.side != PM_SIDE_NONE)
		same.service = (uint16_t)pm_rules_label(
			rules, (enum pm_transport)packet->transport,
			same.side == PM_SIDE_SRC ? packet->src_port : packet->dst_port);
	assert_int_equal(pm_decision_pack(same), pm_decision_pack(decision));
}

static void assert_decides(const struct pm_packet *packet, int side, enum pm_rung rung,
			   const char *service)
{
	struct pm_decision decision = pm_side_decide(rules, packet);
	const char *name = pm_rules_name(rules, decision.service);

	assert_brief_agrees(packet, decision);
	assert_string_equal(pm_rung_name(decision.rung), pm_rung_name(rung));
	assert_string_equal(pm_side_name(decision.side), pm_side_name((enum pm_side)side));
	assert_string_equal(name ? name : "-", service);
}

static void side_case_holds(void **state)
{
	const struct side_case *k = *state;
	struct pm_packet packet = packet_of(k), other = swapped(&packet);

	assert_int_equal(places[k->src].version, places[k->dst].version);
	assert_decides(&packet, k->side, k->rung, k->service);
	if (!k->one_way)
		assert_decides(&other, mirrored(k->side), k->rung, k->service);
}

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static uint32_t draw(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % limit;
}

/* Half of the ports are ones that rules know, so that no rung is rare. */
static int draw_port(void)
{
	static const uint16_t known[] = { 53, 80, 67, 68, 900, 5000, 5001, 6000, 50001,
					  1023, 1024, 7000, 50000, 999 };

	return (int)(draw(2) ? known[draw(sizeof known / sizeof *known)] : 1 + draw(65535));
}

static void a_packet_turned_round_has_its_side_turned_round(void **state)
{
	unsigned seen[PM_RUNG_N] = { 0 };

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct side_case k = { .transport = (int)draw(PM_TRANSPORT_N) };
		struct pm_packet packet, other;
		struct pm_decision there, back;
		bool six = draw(4) == 0;

		k.src = six ? HOST6 + (int)draw(2) : (int)draw(3);
		k.dst = six ? HOST6 + (int)draw(2) : (int)draw(3);
		k.src_port = draw_port();
		k.dst_port = draw(50) ? draw_port() : k.src_port;
		packet = packet_of(&k);
		other = swapped(&packet);
		there = pm_side_decide(rules, &packet);
		assert_brief_agrees(&packet, there);
		back = pm_side_decide(rules, &other);
		seen[there.rung]++;
		assert_int_equal(there.rung, back.rung);
		assert_int_equal(there.side, mirrored(back.side));
		/* Of equal ports the label is the destination's, so that only this may differ. */
		if (there.side != BOTH)
			assert_int_equal(there.service, back.service);
	}
	for (int rung = 0; rung < PM_RUNG_N; rung++)
		if (rung != PM_RUNG_ZERO && rung != PM_RUNG_HANDSHAKE && rung != PM_RUNG_LEARNED)
			assert_true(seen[rung] > 100);
	assert_true(briefs > 1000);
}

static void the_side_is_never_port_0_and_its_label_is_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct side_case k = { .transport = (int)draw(PM_TRANSPORT_N) };
		struct pm_decision decision;
		struct pm_packet packet;
		uint16_t port;

		k.src_port = draw(3) ? draw_port() : 0;
		k.dst_port = draw(3) ? draw_port() : 0;
		packet = packet_of(&k);
		decision = pm_side_decide(rules, &packet);
		port = decision.side == PM_SIDE_SRC ? packet.src_port : packet.dst_port;
		if (decision.side == PM_SIDE_NONE) {
			assert_int_equal(decision.service, 0);
			assert_int_equal(decision.rung, PM_RUNG_UNKNOWN);
			continue;
		}
		assert_int_not_equal(port, 0);
		assert_int_equal(decision.service, pm_rules_label(rules, packet.transport, port));
	}
}

static void a_decision_survives_packing(void **state)
{
	struct pm_decision decision = { 65535, PM_SIDE_BOTH, PM_RUNG_UNKNOWN }, again;

	(void)state;
	again = pm_decision_unpack(pm_decision_pack(decision));
	assert_int_equal(again.service, 65535);
	assert_int_equal(again.side, PM_SIDE_BOTH);
	assert_int_equal(again.rung, PM_RUNG_UNKNOWN);
}

static void sides_and_rungs_have_the_names_of_the_record(void **state)
{
	static const char *const sides[] = { "none", "src", "dst", "both" };
	static const char *const rungs[] = { "zero", "handshake", "learned", "rule", "symmetric",
					     "known", "score", "ephemeral", "unknown" };

	(void)state;
	for (unsigned i = 0; i < PM_SIDE_N; i++)
		assert_string_equal(pm_side_name(i), sides[i]);
	for (unsigned i = 0; i < PM_RUNG_N; i++)
		assert_string_equal(pm_rung_name(i), rungs[i]);
}

static int load_rules(void **state)
{
	struct pm_error err = { 0 };

	(void)state;
	return pm_rules_load_text("t.rules", rules_text, sizeof rules_text - 1, NULL, &err, &rules);
}

static int drop_rules(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

static const struct CMUnitTest plain_tests[] = {
	cmocka_unit_test(a_packet_turned_round_has_its_side_turned_round),
	cmocka_unit_test(the_side_is_never_port_0_and_its_label_is_its_own),
	cmocka_unit_test(a_decision_survives_packing),
	cmocka_unit_test(sides_and_rungs_have_the_names_of_the_record),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(void)
{
	static struct CMUnitTest tests[COUNT(cases) + COUNT(plain_tests)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(cases); i++)
		tests[n++] = (struct CMUnitTest){ cases[i].name, side_case_holds, NULL, NULL,
						  (void *)&cases[i] };
	for (size_t i = 0; i < COUNT(plain_tests); i++)
		tests[n++] = plain_tests[i];
	return _cmocka_run_group_tests("side", tests, n, load_rules, drop_rules);
}
