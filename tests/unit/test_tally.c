/* SPDX-License-Identifier: MIT */
/* Counters: what one frame adds to which (counting rules 1, 3 and 4), merging and emptying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/tally.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WIRE 100

static const char rules_text[] = "alpha 53/udp/udplite/tcp\n"
				 "beta 80/tcp/sctp/dccp\n"
				 "gamma 53/udp host=192.0.2.0/24\n";

static struct pm_rules *rules, *other_rules;

static int load(void **state)
{
	(void)state;
	rules = traffic_rules(rules_text, 1);
	other_rules = traffic_rules("delta 53/udp\nepsilon 54/udp\nzeta 55/udp\neta 56/udp\n", 2);
	return rules && other_rules ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	pm_rules_unref(other_rules);
	return 0;
}

static struct pm_tally *tally_new(void)
{
	struct pm_tally *tally = NULL;

	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	return tally;
}

static void ports_add(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
		      uint16_t dst_port, struct pm_decision decision, uint32_t wire)
{
	pm_tally_ports(
		tally,
		&(struct pm_tally_entry){ src_port, dst_port, decision, wire, (uint8_t)transport },
		1);
}

/* Counts a frame as the engine would. */
static struct pm_decision count(struct pm_tally *tally, enum pm_transport transport,
				uint16_t src_port, uint16_t dst_port, uint32_t wire)
{
	struct pm_packet packet = {
		.verdict = PM_VERDICT_PORTS,
		.ip_version = 4,
		.transport = (uint8_t)transport,
		.src_port = src_port,
		.dst_port = dst_port,
		.src = { { 198, 51, 100, 1 } },
		.dst = { { 198, 51, 100, 2 } },
	};
	struct pm_decision decision = pm_side_decide(rules, &packet);

	pm_tally_frame(tally, 4, wire);
	ports_add(tally, transport, src_port, dst_port, decision, wire);
	return decision;
}

#define NO_FACET PM_FACET_N

/* One frame; which of its ports gets which counts. */
struct frame_case {
	const char *name;
	enum pm_transport transport;
	uint16_t src_port, dst_port;
	bool no_src;   /* no row for the source */
	int side_port; /* that as_service counts for; -1: none */
	const char *service;
	enum pm_side side;
	enum pm_rung rung;
	enum pm_facet facets[2];
};

#define FACETS(a, b) .facets = { a, b }
#define NO_FACETS FACETS(NO_FACET, NO_FACET)
#define ONE_FACET(a) FACETS(PM_FACET_##a, NO_FACET)
#define SIDELESS .side_port = -1, .side = PM_SIDE_NONE, .rung = PM_RUNG_UNKNOWN

static const struct frame_case frames[] = {
	{ "a frame counts for its source, its destination and its side", PM_TRANSPORT_TCP, 40000, 80,
	  .side_port = 80, .service = "beta", .side = PM_SIDE_DST, .rung = PM_RUNG_KNOWN, NO_FACETS },
	{ "a frame from the service counts for the source's side", PM_TRANSPORT_TCP, 80, 40000,
	  .side_port = 80, .service = "beta", .side = PM_SIDE_SRC, .rung = PM_RUNG_KNOWN, NO_FACETS },
	{ "a side without a label counts as_service all the same", PM_TRANSPORT_TCP, 40000, 9000,
	  .side_port = 9000, .side = PM_SIDE_DST, .rung = PM_RUNG_EPHEMERAL, NO_FACETS },
	{ "a sideless frame counts for both ports and no service", PM_TRANSPORT_TCP, 9001, 9002,
	  SIDELESS, NO_FACETS },
	{ "a symmetric frame counts as_service once", PM_TRANSPORT_TCP, 80, 80, .side_port = 80,
	  .service = "beta", .side = PM_SIDE_BOTH, .rung = PM_RUNG_SYMMETRIC, NO_FACETS },
	{ "a symmetric frame without a label does too", PM_TRANSPORT_TCP, 9000, 9000,
	  .side_port = 9000, .side = PM_SIDE_BOTH, .rung = PM_RUNG_SYMMETRIC, NO_FACETS },
	{ "udp source 0 is no port, and the destination the side", PM_TRANSPORT_UDP, 0, 53,
	  .no_src = true, .side_port = 53, .service = "alpha", .side = PM_SIDE_DST,
	  .rung = PM_RUNG_ZERO, ONE_FACET(UDP_SOURCE_PORT_ZERO) },
	{ "udp source 0 makes an unlabelled ephemeral port the side", PM_TRANSPORT_UDP, 0, 60000,
	  .no_src = true, .side_port = 60000, .side = PM_SIDE_DST, .rung = PM_RUNG_ZERO,
	  ONE_FACET(UDP_SOURCE_PORT_ZERO) },
	{ "udp destination 0 is row 0, never the side", PM_TRANSPORT_UDP, 53, 0, .side_port = 53,
	  .service = "alpha", .side = PM_SIDE_SRC, .rung = PM_RUNG_KNOWN,
	  ONE_FACET(UDP_DESTINATION_PORT_ZERO) },
	{ "udp destination 0 from a port without a label is sideless", PM_TRANSPORT_UDP, 9000, 0,
	  SIDELESS, ONE_FACET(UDP_DESTINATION_PORT_ZERO) },
	{ "udp 0 to 0 has both facets, destination row 0 and no side", PM_TRANSPORT_UDP, 0, 0,
	  .no_src = true, SIDELESS,
	  FACETS(PM_FACET_UDP_SOURCE_PORT_ZERO, PM_FACET_UDP_DESTINATION_PORT_ZERO) },
	{ "udp-lite source 0 is no port", PM_TRANSPORT_UDPLITE, 0, 53, .no_src = true,
	  .side_port = 53, .service = "alpha", .side = PM_SIDE_DST, .rung = PM_RUNG_ZERO,
	  ONE_FACET(UDPLITE_SOURCE_PORT_ZERO) },
	{ "udp-lite destination 0 is row 0", PM_TRANSPORT_UDPLITE, 53, 0, .side_port = 53,
	  .service = "alpha", .side = PM_SIDE_SRC, .rung = PM_RUNG_KNOWN,
	  ONE_FACET(UDPLITE_DESTINATION_PORT_ZERO) },
	{ "udp-lite 0 to 0 has both facets", PM_TRANSPORT_UDPLITE, 0, 0, .no_src = true, SIDELESS,
	  FACETS(PM_FACET_UDPLITE_SOURCE_PORT_ZERO, PM_FACET_UDPLITE_DESTINATION_PORT_ZERO) },
	{ "tcp source 0 is row 0, and the ladder goes on", PM_TRANSPORT_TCP, 0, 80, .side_port = 80,
	  .service = "beta", .side = PM_SIDE_DST, .rung = PM_RUNG_KNOWN, ONE_FACET(TCP_PORT_ZERO) },
	{ "tcp destination 0 is row 0", PM_TRANSPORT_TCP, 80, 0, .side_port = 80, .service = "beta",
	  .side = PM_SIDE_SRC, .rung = PM_RUNG_KNOWN, ONE_FACET(TCP_PORT_ZERO) },
	{ "tcp 0 to 0 has its facet once", PM_TRANSPORT_TCP, 0, 0, SIDELESS,
	  ONE_FACET(TCP_PORT_ZERO) },
	{ "sctp source 0 is row 0", PM_TRANSPORT_SCTP, 0, 80, .side_port = 80, .service = "beta",
	  .side = PM_SIDE_DST, .rung = PM_RUNG_KNOWN, ONE_FACET(SCTP_PORT_ZERO) },
	{ "sctp 0 to 0 has its facet once", PM_TRANSPORT_SCTP, 0, 0, SIDELESS,
	  ONE_FACET(SCTP_PORT_ZERO) },
	{ "dccp destination 0 is row 0", PM_TRANSPORT_DCCP, 80, 0, .side_port = 80,
	  .service = "beta", .side = PM_SIDE_SRC, .rung = PM_RUNG_KNOWN, ONE_FACET(DCCP_PORT_ZERO) },
	{ "dccp 0 to 0 has its facet once", PM_TRANSPORT_DCCP, 0, 0, SIDELESS,
	  ONE_FACET(DCCP_PORT_ZERO) },
	{ "the highest ports have rows", PM_TRANSPORT_TCP, 65535, 65534, SIDELESS, NO_FACETS },
};

static void count_is(struct pm_count count, uint64_t packets)
{
	assert_int_equal(count.packets, packets);
	assert_int_equal(count.bytes, packets * WIRE);
}

static void ports_hold(const struct pm_tally_transport *tt, const struct frame_case *row)
{
	uint64_t as_service = 0;

	for (unsigned port = 0; port < PM_PORTS; port++) {
		const struct pm_port_cell *cell = &tt->ports[port];

		count_is(pm_port_src(cell), port == row->src_port && !row->no_src);
		count_is(pm_port_dst(cell), port == row->dst_port);
		count_is(pm_port_as_service(&tt->ports[port]), (int)port == row->side_port);
		as_service += pm_port_as_service(&tt->ports[port]).packets;
	}
	assert_int_equal(as_service, row->side_port >= 0);
	assert_int_equal(tt->n_used_ports, row->no_src || row->src_port == row->dst_port ? 1 : 2);
}

static void frame_case_holds(void **state)
{
	const struct frame_case *row = *state;
	struct pm_tally *tally = tally_new();
	const struct pm_tally_transport *tt = &tally->transports[row->transport];
	struct pm_decision decision =
		count(tally, row->transport, row->src_port, row->dst_port, WIRE);
	const struct pm_service_cell *cell = &tt->services[decision.service];

	ports_hold(tt, row);
	if (row->service)
		assert_string_equal(pm_rules_name(rules, decision.service), row->service);
	else
		assert_int_equal(decision.service, 0);
	for (int side = 0; side < PM_SIDE_N; side++)
		count_is(cell->side[side], side == (int)row->side);
	for (int rung = 0; rung < PM_RUNG_N; rung++)
		assert_int_equal(cell->rung[rung], rung == (int)row->rung);
	assert_int_equal(tt->n_used_services, 1);
	for (int f = 0; f < PM_FACET_N; f++)
		count_is(tally->facets[f], f == (int)row->facets[0] || f == (int)row->facets[1]);
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		if (t != (int)row->transport)
			assert_int_equal(tally->transports[t].n_used_ports, 0);
	pm_tally_free(tally);
}

static void frames_without_ports_count_by_reason_and_protocol(void **state)
{
	struct pm_tally *tally = tally_new();

	(void)state;
	pm_tally_no_port(tally, PM_VERDICT_NON_IP, 77, WIRE);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 1, WIRE);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 1, WIRE);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 255, WIRE);
	count_is(tally->no_port[PM_VERDICT_NON_IP], 1);
	count_is(tally->no_port[PM_VERDICT_NO_PORTS_PROTOCOL], 3);
	count_is(tally->protocols[1], 2);
	count_is(tally->protocols[255], 1);
	count_is(tally->protocols[77], 0);
	pm_tally_free(tally);
}

static void a_frame_counts_in_the_totals_and_by_ip_version(void **state)
{
	struct pm_tally *tally = tally_new();

	(void)state;
	pm_tally_frame(tally, 4, WIRE);
	pm_tally_frame(tally, 6, WIRE);
	pm_tally_frame(tally, 6, WIRE);
	pm_tally_frame(tally, 0, WIRE);
	count_is(pm_tally_totals(tally), 4);
	count_is(tally->by_ip[0], 1);
	count_is(tally->by_ip[4 / 2], 1);
	count_is(tally->by_ip[6 / 2], 2);
	pm_tally_free(tally);
}

static void frames_of_4_gib_add_up_in_64_bits(void **state)
{
	struct pm_tally *tally = tally_new();

	(void)state;
	for (int i = 0; i < 3; i++)
		count(tally, PM_TRANSPORT_TCP, 40000, 80, UINT32_MAX);
	assert_true(pm_tally_totals(tally).bytes == UINT64_C(3) * UINT32_MAX);
	assert_true(pm_port_as_service(&tally->transports[PM_TRANSPORT_TCP].ports[80]).bytes ==
		    UINT64_C(3) * UINT32_MAX);
	pm_tally_free(tally);
}

/* A little of everything, different for each @seed. */
static void fill(struct pm_tally *tally, unsigned seed)
{
	static const uint16_t ports[] = { 0, 53, 80, 9000, 40000, 65535 };

	tally->interval = (struct pm_interval){
		.start_ns = 1000 * (int64_t)seed,
		.end_ns = 1000 * (int64_t)seed + 1000,
		.first_ns = 1000 * (int64_t)seed + 1,
		.last_ns = 1000 * (int64_t)seed + 9,
		.partial = seed == 2,
		.late = seed,
	};
	tally->capture = (struct pm_capture_figures){ seed, seed, seed, true, seed != 2, true };
	tally->given_up = (struct pm_given_up){ seed, 2 * seed, 3 * seed, 0 };
	tally->snapped = seed;
	for (unsigned i = 0; i < 120 + seed; i++)
		count(tally, (enum pm_transport)(i % PM_TRANSPORT_N), ports[i * seed % 6],
		      ports[(i + i / 6) % 6], 60 + i * seed);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, (uint8_t)seed, seed);
	pm_tally_no_port(tally, PM_VERDICT_MALFORMED, 0, seed);
	pm_tally_frame(tally, 6, seed);
	pm_tally_frame(tally, 0, seed);
}

static void sum_is(struct pm_count sum, struct pm_count a, struct pm_count b)
{
	assert_true(sum.packets == a.packets + b.packets);
	assert_true(sum.bytes == a.bytes + b.bytes);
}

static uint32_t used_ports(const struct pm_tally_transport *tt)
{
	uint32_t n = 0;

	for (unsigned port = 0; port < PM_PORTS; port++)
		n += pm_port_src(&tt->ports[port]).packets || pm_port_dst(&tt->ports[port]).packets;
	return n;
}

static void transports_add_up(const struct pm_tally_transport *sum,
			      const struct pm_tally_transport *a,
			      const struct pm_tally_transport *b)
{
	for (unsigned port = 0; port < PM_PORTS; port++) {
		sum_is(pm_port_src(&sum->ports[port]), pm_port_src(&a->ports[port]),
		       pm_port_src(&b->ports[port]));
		sum_is(pm_port_dst(&sum->ports[port]), pm_port_dst(&a->ports[port]),
		       pm_port_dst(&b->ports[port]));
		sum_is(pm_port_as_service(&sum->ports[port]), pm_port_as_service(&a->ports[port]),
		       pm_port_as_service(&b->ports[port]));
	}
	for (uint32_t id = 0; id <= pm_rules_services(rules); id++) {
		for (int side = 0; side < PM_SIDE_N; side++)
			sum_is(sum->services[id].side[side], a->services[id].side[side],
			       b->services[id].side[side]);
		for (int rung = 0; rung < PM_RUNG_N; rung++)
			assert_true(sum->services[id].rung[rung] ==
				    a->services[id].rung[rung] + b->services[id].rung[rung]);
	}
	assert_int_equal(sum->n_used_ports, used_ports(sum)); /* each named once */
}

static void many_frames_at_once_count_as_one_by_one(void **state)
{
	static const uint16_t ports[] = { 0, 53, 80, 9000, 40000 };
	struct pm_tally *none = tally_new(), *singly = tally_new(), *at_once = tally_new();
	struct pm_tally_entry entries[100];

	(void)state;
	for (unsigned i = 0; i < COUNT(entries); i++) {
		uint16_t src_port = ports[i % 5], dst_port = ports[i / 5 % 5];
		enum pm_transport transport = (enum pm_transport)(i / 25);

		entries[i] = (struct pm_tally_entry){ .src_port = src_port, .dst_port = dst_port };
		entries[i].wire = 60 + i;
		entries[i].transport = (uint8_t)transport;
		entries[i].decision = count(singly, transport, src_port, dst_port, 60 + i);
	}
	pm_tally_ports(at_once, entries, COUNT(entries));
	pm_tally_ports(at_once, entries, 0);
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		transports_add_up(&at_once->transports[t], &singly->transports[t],
				  &none->transports[t]);
	for (int f = 0; f < PM_FACET_N; f++)
		sum_is(at_once->facets[f], singly->facets[f], none->facets[f]);
	pm_tally_free(none);
	pm_tally_free(singly);
	pm_tally_free(at_once);
}

static void services_are_the_same(struct pm_tally *a, struct pm_tally *b)
{
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		const struct pm_tally_transport *one = &a->transports[t];
		const struct pm_tally_transport *other = &b->transports[t];

		assert_int_equal(one->n_used_services, other->n_used_services);
		for (uint32_t id = 0; id <= pm_rules_services(a->rules); id++) {
			for (int side = 0; side < PM_SIDE_N; side++) {
				assert_int_equal(one->services[id].side[side].packets,
						 other->services[id].side[side].packets);
				assert_int_equal(one->services[id].side[side].bytes,
						 other->services[id].side[side].bytes);
			}
			for (int rung = 0; rung < PM_RUNG_N; rung++)
				assert_int_equal(one->services[id].rung[rung],
						 other->services[id].rung[rung]);
		}
	}
}

/*
 * Where no rule has a host, most services are made of the ports when the interval closes; where one
 * has, each frame counts for its service. One rule that no frame meets tells the two ways apart.
 */
static void services_settled_are_services_counted(void **state)
{
#define NAMES "alpha 53/udp/tcp\nbeta 80/tcp/udp/sctp\nbeta 81/tcp priority=70\ndelta 40000-40010/tcp/udp\n"
	static const uint16_t ports[] = { 0, 53, 80, 81, 9000, 9001, 40000, 40005, 50000, 65535 };
	struct pm_rules *plain = traffic_rules(NAMES, 1);
	struct pm_rules *scoped = traffic_rules(NAMES "omega 7/tcp host=203.0.113.1\n", 1);
	struct pm_tally *settled = NULL, *counted = NULL;
	uint32_t random = 1;

	(void)state;
	assert_non_null(plain);
	assert_non_null(scoped);
	assert_int_equal(pm_tally_new(plain, &settled), PM_OK);
	assert_int_equal(pm_tally_new(scoped, &counted), PM_OK);
	for (int i = 0; i < 20000; i++) {
		struct pm_packet packet = { .verdict = PM_VERDICT_PORTS, .ip_version = 4 };

		random = random * UINT32_C(1664525) + UINT32_C(1013904223);
		packet.src_port = ports[(random >> 8) % COUNT(ports)];
		packet.dst_port = ports[(random >> 13) % COUNT(ports)];
		packet.transport = (uint8_t)((random >> 18) % PM_TRANSPORT_N);
		packet.notes = random >> 31 ? PM_NOTE_GROUP : 0;
		ports_add(settled, (enum pm_transport)packet.transport, packet.src_port,
			  packet.dst_port, pm_side_decide(plain, &packet), random >> 20);
		ports_add(counted, (enum pm_transport)packet.transport, packet.src_port,
			  packet.dst_port, pm_side_decide(scoped, &packet), random >> 20);
		if (i % 5000 == 0) { /* settled in between, and twice */
			pm_tally_settle(settled);
			pm_tally_settle(settled);
			pm_tally_settle(counted);
			services_are_the_same(settled, counted);
		}
	}
	assert_int_equal(pm_tally_merge(settled, settled), PM_OK);
	assert_int_equal(pm_tally_merge(counted, counted), PM_OK);
	pm_tally_settle(settled);
	services_are_the_same(settled, counted);
	pm_tally_free(settled);
	pm_tally_free(counted);
	pm_rules_unref(plain);
	pm_rules_unref(scoped);
}

/* Where rules have hosts and where they have none, and of ports that no other frame has had. */
static void a_known_frame_counts_as_any(void **state)
{
	static const char *const texts[] = { NAMES, NAMES "omega 7/tcp host=203.0.113.1\n" };
	static const uint16_t ports[] = { 53, 80, 81, 9000, 40000, 40005, 50000 };
	uint32_t random = 1;

	(void)state;
	for (size_t t = 0; t < COUNT(texts); t++) {
		struct pm_rules *own = traffic_rules(texts[t], 1);
		struct pm_tally *any = NULL, *known = NULL, *none = tally_new();

		assert_non_null(own);
		assert_int_equal(pm_tally_new(own, &any), PM_OK);
		assert_int_equal(pm_tally_new(own, &known), PM_OK);
		for (int i = 0; i < 2000; i++) {
			struct pm_packet packet = { .verdict = PM_VERDICT_PORTS, .ip_version = 4 };
			struct pm_tally_known frame = { .wire = 60 };
			struct pm_decision decision;

			random = random * UINT32_C(1664525) + UINT32_C(1013904223);
			packet.src_port = ports[(random >> 8) % COUNT(ports)];
			packet.dst_port = ports[(random >> 13) % COUNT(ports)];
			packet.transport = (uint8_t)(random >> 31);
			decision = pm_side_decide(own, &packet);
			decision.service = 0;
			ports_add(any, (enum pm_transport)packet.transport, packet.src_port,
				  packet.dst_port, decision, 60);
			frame.ports = (uint32_t)packet.src_port << 16 | packet.dst_port;
			frame.transport = packet.transport;
			frame.side = decision.side;
			frame.rung = decision.rung;
			pm_tally_known(known, &frame, 1);
		}
		pm_tally_settle(any);
		pm_tally_settle(known);
		services_are_the_same(any, known);
		for (int transport = 0; transport < PM_TRANSPORT_N; transport++)
			transports_add_up(&known->transports[transport],
					  &any->transports[transport],
					  &none->transports[transport]);
		pm_tally_free(any);
		pm_tally_free(known);
		pm_tally_free(none);
		pm_rules_unref(own);
	}
}

static void a_merged_tally_is_the_sum_of_both(void **state)
{
	struct pm_tally *a = tally_new(), *b = tally_new(), *sum = tally_new();

	(void)state;
	fill(a, 1);
	fill(sum, 1);
	fill(b, 2);
	assert_int_equal(pm_tally_merge(sum, b), PM_OK);
	for (size_t ip = 0; ip < COUNT(sum->by_ip); ip++)
		sum_is(sum->by_ip[ip], a->by_ip[ip], b->by_ip[ip]);
	for (int v = 0; v < PM_VERDICT_N; v++)
		sum_is(sum->no_port[v], a->no_port[v], b->no_port[v]);
	for (int p = 0; p < 256; p++)
		sum_is(sum->protocols[p], a->protocols[p], b->protocols[p]);
	for (int f = 0; f < PM_FACET_N; f++)
		sum_is(sum->facets[f], a->facets[f], b->facets[f]);
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		transports_add_up(&sum->transports[t], &a->transports[t], &b->transports[t]);
	assert_true(sum->snapped == 3 && a->snapped == 1);
	assert_int_equal(sum->merged, 2);
	pm_tally_free(a);
	pm_tally_free(b);
	pm_tally_free(sum);
}

/* All ports of one transport, so that they are added and cleared in the order of memory. */
static void fill_all_ports(struct pm_tally *tally)
{
	for (unsigned port = 0; port < PM_PORTS; port++)
		count(tally, PM_TRANSPORT_TCP, (uint16_t)port, (uint16_t)(port * 7 + 1), 60 + port);
}

/* Whichever of the two is the larger, in each transport, and so is traded. */
static void an_absorbed_tally_is_added_like_a_merged_one(void **state)
{
	for (int larger = 0; larger < 2; larger++) {
		struct pm_tally *a = tally_new(), *b = tally_new(), *sum = tally_new(),
				*more = tally_new();

		(void)state;
		fill(a, 1);
		fill(sum, 1);
		fill(b, 2);
		fill(more, 2);
		fill_all_ports(larger ? a : b);
		fill_all_ports(larger ? sum : more);
		pm_tally_expect(more, UINT32_MAX); /* makes no difference but in time */
		assert_int_equal(pm_tally_crowds(larger ? sum : more), 1 << PM_TRANSPORT_TCP);
		assert_int_equal(pm_tally_absorb(sum, more), PM_OK);
		for (int t = 0; t < PM_TRANSPORT_N; t++)
			transports_add_up(&sum->transports[t], &a->transports[t],
					  &b->transports[t]);
		for (size_t ip = 0; ip < COUNT(sum->by_ip); ip++)
			sum_is(sum->by_ip[ip], a->by_ip[ip], b->by_ip[ip]);
		assert_int_equal(sum->merged, 2);
		assert_int_equal(pm_tally_reset(more, rules), PM_OK);
		for (int t = 0; t < PM_TRANSPORT_N; t++) {
			assert_int_equal(more->transports[t].n_used_ports, 0);
			assert_int_equal(used_ports(&more->transports[t]), 0);
		}
		assert_int_equal(pm_tally_reset(sum, rules), PM_OK);
		assert_int_equal(used_ports(&sum->transports[PM_TRANSPORT_TCP]), 0);
		assert_int_equal(pm_tally_reset(more, other_rules), PM_OK);
		assert_int_equal(pm_tally_absorb(sum, more), PM_E_INVALID);
		pm_tally_free(a);
		pm_tally_free(b);
		pm_tally_free(sum);
		pm_tally_free(more);
	}
}

static void a_merged_tally_spans_both_intervals(void **state)
{
	struct pm_tally *a = tally_new(), *b = tally_new();

	(void)state;
	fill(a, 1);
	fill(b, 2);
	assert_int_equal(pm_tally_merge(a, b), PM_OK);
	assert_int_equal(a->interval.start_ns, 1000);
	assert_int_equal(a->interval.end_ns, 3000);
	assert_int_equal(a->interval.first_ns, 1001);
	assert_int_equal(a->interval.last_ns, 2009);
	assert_int_equal(a->interval.late, 3);
	assert_true(a->interval.partial);
	assert_int_equal(a->capture.received, 3);
	assert_true(a->capture.received_known);
	assert_false(a->capture.dropped_kernel_known);
	assert_int_equal(a->given_up.fragment_datagrams, 3);
	assert_int_equal(a->given_up.fragment_frames, 6);
	assert_int_equal(a->given_up.service_ports, 9);
	pm_tally_free(a);
	pm_tally_free(b);
}

static void an_earlier_interval_merged_in_stretches_the_span_too(void **state)
{
	struct pm_tally *a = tally_new(), *b = tally_new();

	(void)state;
	fill(a, 3);
	fill(b, 1);
	assert_int_equal(pm_tally_merge(a, b), PM_OK);
	assert_int_equal(a->interval.start_ns, 1000);
	assert_int_equal(a->interval.end_ns, 4000);
	assert_int_equal(a->interval.first_ns, 1001);
	assert_int_equal(a->interval.last_ns, 3009);
	pm_tally_free(a);
	pm_tally_free(b);
}

static void an_idle_interval_has_no_first_frame_to_merge(void **state)
{
	struct pm_tally *a = tally_new(), *idle = tally_new();

	(void)state;
	fill(a, 2);
	assert_int_equal(pm_tally_merge(a, idle), PM_OK);
	assert_int_equal(a->interval.first_ns, 2001);
	assert_int_equal(pm_tally_merge(idle, a), PM_OK);
	assert_int_equal(idle->interval.first_ns, 2001);
	assert_int_equal(idle->interval.last_ns, 2009);
	pm_tally_free(a);
	pm_tally_free(idle);
}

static void tallies_of_other_rules_do_not_merge(void **state)
{
	struct pm_tally *a = tally_new(), *b = NULL, *before = tally_new();

	(void)state;
	assert_int_equal(pm_tally_new(other_rules, &b), PM_OK);
	fill(a, 1);
	fill(before, 1);
	pm_tally_frame(b, 4, WIRE);
	assert_int_equal(pm_tally_merge(a, b), PM_E_INVALID);
	assert_int_equal(pm_tally_totals(a).packets, pm_tally_totals(before).packets);
	assert_int_equal(a->merged, 1);
	assert_int_equal(a->interval.end_ns, before->interval.end_ns);
	assert_int_equal(pm_tally_totals(b).packets, 1);
	pm_tally_free(a);
	pm_tally_free(b);
	pm_tally_free(before);
}

static void is_empty(const struct pm_tally *tally)
{
	struct pm_count none = { 0, 0 };

	for (size_t ip = 0; ip < COUNT(tally->by_ip); ip++)
		sum_is(tally->by_ip[ip], none, none);
	for (int v = 0; v < PM_VERDICT_N; v++)
		sum_is(tally->no_port[v], none, none);
	for (int p = 0; p < 256; p++)
		sum_is(tally->protocols[p], none, none);
	for (int f = 0; f < PM_FACET_N; f++)
		sum_is(tally->facets[f], none, none);
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		const struct pm_tally_transport *tt = &tally->transports[t];
		static const struct pm_port_cell nothing;

		assert_int_equal(tt->n_used_ports, 0);
		assert_int_equal(tt->n_used_services, 0);
		for (unsigned port = 0; port < PM_PORTS; port++)
			assert_memory_equal(&tt->ports[port], &nothing, sizeof nothing);
		for (unsigned port = 0; port < PM_PORTS; port++)
			sum_is(pm_port_as_service(&tt->ports[port]), none, none);
		for (uint32_t id = 0; id <= pm_rules_services(tally->rules); id++)
			for (int rung = 0; rung < PM_RUNG_N; rung++)
				assert_int_equal(tt->services[id].rung[rung], 0);
	}
	assert_int_equal(tally->snapped, 0);
	assert_int_equal(tally->interval.late, 0);
	assert_false(tally->interval.partial);
	assert_int_equal(tally->capture.received, 0);
	assert_int_equal(tally->given_up.fragment_frames, 0);
	assert_int_equal(tally->merged, 1);
	assert_int_equal(tally->seq, 0);
}

static size_t scoped_list(const struct pm_tally *tally, uint16_t *ret_port)
{
	enum pm_transport transport;
	uint16_t service;
	size_t at = 0, n = 0;

	while (pm_tally_scoped_next(tally, &at, &transport, &service, ret_port))
		n++;
	return n;
}

static void a_reset_tally_is_empty(void **state)
{
	struct pm_tally *tally = tally_new();
	uint16_t port;

	(void)state;
	fill(tally, 1);
	fill(tally, 2);
	tally->seq = 9;
	assert_int_equal(pm_tally_reset(tally, rules), PM_OK);
	is_empty(tally);
	assert_int_equal(scoped_list(tally, &port), 0);
	pm_tally_free(tally);
}

static void a_reset_tally_takes_other_rules(void **state)
{
	struct pm_tally *tally = tally_new();
	uint16_t port;

	(void)state;
	fill(tally, 1);
	assert_int_equal(pm_tally_reset(tally, other_rules), PM_OK);
	assert_ptr_equal(tally->rules, other_rules);
	is_empty(tally);
	assert_int_equal(scoped_list(tally, &port), 0); /* no rule has host= now */
	for (uint16_t id = 1; id <= pm_rules_services(other_rules); id++)
		ports_add(tally, PM_TRANSPORT_UDP, 40000, (uint16_t)(52 + id),
			  (struct pm_decision){ id, PM_SIDE_DST, PM_RUNG_KNOWN }, WIRE);
	pm_tally_settle(tally);
	assert_int_equal(tally->transports[PM_TRANSPORT_UDP].n_used_services, 4);
	pm_tally_free(tally);
}

static void a_scoped_port_lists_each_label_that_it_carried(void **state)
{
	static const struct {
		uint16_t src, dst;
		bool in_scope;
	} sent[] = {
		{ 40000, 53, true }, { 40001, 53, true }, { 40000, 53, false }, { 53, 40000, true }
	};
	struct pm_tally *tally = tally_new(), *sum = tally_new();
	enum pm_transport transport;
	uint16_t service, port;
	unsigned alpha = 0, gamma = 0;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(sent); i++) {
		struct pm_packet packet = { .verdict = PM_VERDICT_PORTS,
					    .ip_version = 4,
					    .transport = PM_TRANSPORT_UDP };
		struct pm_address *address = sent[i].dst == 53 ? &packet.dst : &packet.src;

		packet.src_port = sent[i].src;
		packet.dst_port = sent[i].dst;
		memcpy(address->bytes, sent[i].in_scope ? "\xc0\x00\x02\x01" : "\xcb\x00\x71\x01", 4);
		ports_add(tally, PM_TRANSPORT_UDP, sent[i].src, sent[i].dst,
			  pm_side_decide(rules, &packet), WIRE);
	}
	count(tally, PM_TRANSPORT_TCP, 40000, 53, WIRE); /* no host= on tcp */
	assert_int_equal(pm_tally_merge(sum, tally), PM_OK);
	assert_int_equal(pm_tally_merge(sum, tally), PM_OK);
	while (pm_tally_scoped_next(sum, &at, &transport, &service, &port)) {
		assert_int_equal(transport, PM_TRANSPORT_UDP);
		assert_int_equal(port, 53);
		alpha += strcmp(pm_rules_name(rules, service), "alpha") == 0;
		gamma += strcmp(pm_rules_name(rules, service), "gamma") == 0;
	}
	assert_int_equal(alpha, 1);
	assert_int_equal(gamma, 1);
	pm_tally_free(tally);
	pm_tally_free(sum);
}

/* More labels on ports than the list has room for: it must say so, and lose no count. */
static void a_full_scoped_list_says_what_it_left_out(void **state)
{
	struct pm_rules *wide = traffic_rules("one 1-65535/tcp/udp/sctp host=192.0.2.0/24\n", 1);
	struct pm_decision decision = { 1, PM_SIDE_DST, PM_RUNG_RULE };
	static const enum pm_transport transports[] = { PM_TRANSPORT_TCP, PM_TRANSPORT_UDP,
							PM_TRANSPORT_SCTP };
	struct pm_tally *tally = NULL;
	uint64_t listed, sent = 0;
	uint16_t port;

	(void)state;
	assert_non_null(wide);
	assert_int_equal(pm_tally_new(wide, &tally), PM_OK);
	for (size_t t = 0; t < COUNT(transports); t++)
		for (unsigned p = 1; p < PM_PORTS; p++, sent++)
			ports_add(tally, transports[t], 0, (uint16_t)p, decision, WIRE);
	listed = scoped_list(tally, &port);
	assert_true(listed >= 65535);
	assert_true(tally->given_up.service_ports > 0);
	assert_int_equal(listed + tally->given_up.service_ports, sent);
	pm_tally_free(tally);
	pm_rules_unref(wide);
}

static struct pm_allowance *allowance_new(size_t bytes)
{
	struct pm_allowance *allowance = NULL;

	assert_int_equal(pm_allowance_new(bytes, &allowance), PM_OK);
	return allowance;
}

static struct pm_tally *talk_new(struct pm_allowance *allowance)
{
	struct pm_tally *tally = tally_new();

	assert_int_equal(pm_tally_talk(tally, allowance), PM_OK);
	return tally;
}

static uint16_t label(enum pm_transport transport, uint16_t port)
{
	return (uint16_t)pm_rules_label(rules, transport, port);
}

static uint16_t gamma_id(void)
{
	for (uint16_t id = 1; id <= pm_rules_services(rules); id++)
		if (strcmp(pm_rules_name(rules, id), "gamma") == 0)
			return id;
	return 0;
}

static void talk_is(struct pm_talk_count count, uint64_t sessions, uint64_t attempts,
		    uint64_t refused, uint64_t unanswered)
{
	assert_int_equal(count.sessions, sessions);
	assert_int_equal(count.attempts, attempts);
	assert_int_equal(count.refused, refused);
	assert_int_equal(count.unanswered, unanswered);
}

/* A letter for each; several of a kind in a row are counted at once. */
static void events(struct pm_tally *tally, enum pm_transport transport, uint16_t port,
		   uint16_t service, const char *kinds)
{
	static const char letters[] = "aAsru";
	uint32_t times;

	for (; *kinds; kinds += times) {
		const char *letter = strchr(letters, *kinds);

		assert_non_null(letter);
		for (times = 1; kinds[times] == *kinds;)
			times++;
		pm_tally_event(tally, transport, port, service, (enum pm_event)(letter - letters),
			       times);
	}
}

static void events_count_by_port_and_service(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *tally = talk_new(allowance);
	uint16_t tcp80 = label(PM_TRANSPORT_TCP, 80), tcp53 = label(PM_TRANSPORT_TCP, 53),
		 udp53 = label(PM_TRANSPORT_UDP, 53), gamma = gamma_id();

	(void)state;
	events(tally, PM_TRANSPORT_TCP, 80, 0, "aAsaAsaraauurrr");
	events(tally, PM_TRANSPORT_TCP, 53, 0, "as");
	events(tally, PM_TRANSPORT_TCP, 9000, 0, "aAs"); /* without a label */
	events(tally, PM_TRANSPORT_TCP, 65535, tcp80, "a");
	events(tally, PM_TRANSPORT_UDP, 53, 0, "aAau"); /* has no handshake: attempts are sessions */
	events(tally, PM_TRANSPORT_UDP, 53, gamma, "aaa");
	events(tally, PM_TRANSPORT_UDPLITE, 53, 0, "a");
	events(tally, PM_TRANSPORT_SCTP, 80, 0, "aAssar");
	events(tally, PM_TRANSPORT_DCCP, 0, 0, "au");
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 80), 2, 5, 4, 2);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 53), 1, 1, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 9000), 1, 1, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 65535), 0, 1, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 81), 0, 0, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_UDP, 53), 5, 5, 0, 1);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_UDP, 80), 0, 0, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_UDPLITE, 53), 1, 1, 0, 0);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_DCCP, 0), 0, 1, 0, 1);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_TCP, tcp80), 2, 6, 4, 2);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_TCP, tcp53), 1, 1, 0, 0);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_TCP, 0), 1, 1, 0, 0);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_UDP, udp53), 2, 2, 0, 1);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_UDP, gamma), 3, 3, 0, 0);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_SCTP, label(PM_TRANSPORT_SCTP, 80)), 2, 2,
		1, 0);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_DCCP, 0), 0, 1, 0, 1);
	/* Rows are made by frames. */
	pm_tally_settle(tally);
	is_empty(tally);
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
}

static void a_tally_that_counts_no_conversations_takes_none(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *tally = tally_new(), *talk = talk_new(allowance);

	(void)state;
	events(tally, PM_TRANSPORT_TCP, 80, 0, "aAsru");
	pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, 0, 1, 2);
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_TCP, 80), 0, 0, 0, 0);
	talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_TCP, 1), 0, 0, 0, 0);
	assert_false(pm_tally_distinct(tally, PM_TRANSPORT_TCP, 1, PM_ROLE_CLIENT).known);
	assert_false(pm_tally_distinct(tally, PM_TRANSPORT_TCP, 1, PM_ROLE_CLIENT).given_up);
	assert_null(tally->talk);
	assert_null(tally->seen);
	assert_int_equal(pm_tally_merge(tally, talk), PM_OK);
	assert_int_equal(pm_tally_merge(talk, tally), PM_OK);
	pm_tally_free(tally);
	pm_tally_free(talk);
	pm_allowance_unref(allowance);
}

/* Plain sets of who took part, for few addresses: names below PLAIN. */
#define PLAIN 4000

struct plain {
	bool there[PM_TRANSPORT_N][8][PM_ROLE_N][PLAIN];
};

static uint64_t mixed(uint64_t n)
{
	n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
	return n ^ n >> 31;
}

/* As a keyed hash, but that 0 is one in any case. */
static uint64_t hash_of(unsigned name)
{
	return name ? mixed(name) : 0;
}

/* Frames between few and many clients and servers of all services, some of none. */
static void talk_at_random(struct pm_tally *into[], size_t n_into, struct plain *plain,
			   uint64_t seed, unsigned names)
{
	static const struct {
		enum pm_transport transport;
		uint16_t port;
	} ports[] = { { PM_TRANSPORT_TCP, 53 }, { PM_TRANSPORT_TCP, 80 },  { PM_TRANSPORT_UDP, 53 },
		      { PM_TRANSPORT_SCTP, 80 }, { PM_TRANSPORT_TCP, 9000 } };

	for (uint64_t i = seed * 100000; i < seed * 100000 + 30000; i++) {
		size_t p = mixed(i) % COUNT(ports);
		unsigned client = (unsigned)(mixed(i + 1000000) % names),
			 server = (unsigned)(mixed(i + 2000000) % (names / 10 + 1));
		enum pm_transport t = ports[p].transport;
		uint16_t service = t == PM_TRANSPORT_UDP && client % 2 ? gamma_id() : 0,
			 id = service ? service : label(t, ports[p].port);

		pm_tally_peers(into[mixed(i + 3000000) % n_into], t, ports[p].port, service,
			       hash_of(client), hash_of(server));
		plain->there[t][id][PM_ROLE_CLIENT][client] |= id != 0;
		plain->there[t][id][PM_ROLE_SERVER][server] |= id != 0;
	}
}

static void distinct_as(const struct pm_tally *tally, const struct plain *plain)
{
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		for (uint16_t id = 0; id <= pm_rules_services(rules); id++)
			for (int role = 0; role < PM_ROLE_N; role++) {
				struct pm_distinct found = pm_tally_distinct(
					tally, (enum pm_transport)t, id, (enum pm_role)role);
				uint64_t n = 0;

				for (unsigned name = 0; name < PLAIN; name++)
					n += plain->there[t][id][role][name];
				assert_int_equal(found.known, n > 0);
				assert_int_equal(found.estimated, n > PM_DISTINCT_EXACT);
				assert_false(found.given_up);
				if (!found.estimated)
					assert_int_equal(found.count, n);
				else if (found.count < n - n / 15 || found.count > n + n / 15)
					fail_msg("%d instead of %d", (int)found.count, (int)n);
			}
}

static struct plain *plain_new(void)
{
	struct plain *plain = calloc(1, sizeof *plain);

	assert_non_null(plain);
	assert_true(pm_rules_services(rules) < COUNT(plain->there[0]));
	return plain;
}

static const unsigned some_names[] = { 1, 20, 1000, PLAIN };

static void clients_and_servers_are_told_apart(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *tally = talk_new(allowance);

	(void)state;
	for (unsigned round = 0; round < COUNT(some_names); round++) {
		struct plain *plain = plain_new();

		talk_at_random(&tally, 1, plain, round, some_names[round]);
		distinct_as(tally, plain);
		/* Nothing is left in the filter or in the sets. */
		assert_int_equal(pm_tally_reset(tally, rules), PM_OK);
		memset(plain, 0, sizeof *plain);
		distinct_as(tally, plain);
		free(plain);
	}
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
}

static uint64_t number_of(const struct pm_tally *tally, enum pm_transport transport, uint16_t id,
			  int role)
{
	return pm_tally_distinct(tally, transport, id, (enum pm_role)role).count;
}

static void ends_trade_places_and_are_both_both(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *tally = talk_new(allowance);
	uint16_t id = label(PM_TRANSPORT_TCP, 80);

	(void)state;
	pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, 0, 7, 8);
	pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, 0, 8, 7);
	pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, 0, 7, 7);
	pm_tally_peers(tally, PM_TRANSPORT_TCP, 80, id, 7, 8);
	pm_tally_peers(tally, PM_TRANSPORT_SCTP, 80, 0, 9, 9);
	for (int role = 0; role < PM_ROLE_N; role++) {
		assert_int_equal(number_of(tally, PM_TRANSPORT_TCP, id, role), 2);
		assert_int_equal(number_of(tally, PM_TRANSPORT_SCTP, id, role), 1);
	}
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
}

/* Whatever the split, merged or absorbed in whatever order: the same as by one. */
static void conversations_of_merged_tallies_are_those_of_all(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2 * COUNT(some_names); round++) {
		struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
		struct pm_tally *parts[3], *whole = talk_new(allowance);
		struct plain *plain = plain_new();
		unsigned names = some_names[round / 2];
		uint16_t id = label(PM_TRANSPORT_TCP, 80);

		for (size_t i = 0; i < COUNT(parts); i++)
			parts[i] = talk_new(allowance);
		talk_at_random(&whole, 1, plain, round, names);
		talk_at_random(parts, COUNT(parts), plain, round, names);
		for (unsigned i = 0; i < 100; i++) {
			events(whole, PM_TRANSPORT_TCP, (uint16_t)(75 + i % 7), 0, "aasru");
			events(parts[i % 3], PM_TRANSPORT_TCP, (uint16_t)(75 + i % 7), 0, "aasru");
		}
		for (size_t i = 1; i < COUNT(parts); i++)
			assert_int_equal(round % 2 ? pm_tally_merge(parts[0], parts[i])
						   : pm_tally_absorb(parts[0], parts[i]),
					 PM_OK);
		distinct_as(parts[0], plain);
		for (int role = 0; role < PM_ROLE_N; role++)
			assert_int_equal(number_of(whole, PM_TRANSPORT_TCP, id, role),
					 number_of(parts[0], PM_TRANSPORT_TCP, id, role));
		for (uint16_t port = 70; port < 90; port++) {
			struct pm_talk_count all =
				pm_tally_port_talk(whole, PM_TRANSPORT_TCP, port);

			talk_is(pm_tally_port_talk(parts[0], PM_TRANSPORT_TCP, port), all.sessions,
				all.attempts, all.refused, all.unanswered);
		}
		talk_is(pm_tally_service_talk(parts[0], PM_TRANSPORT_TCP, 0), 86, 172, 86, 86);
		talk_is(pm_tally_service_talk(parts[0], PM_TRANSPORT_TCP, id), 14, 28, 14, 14);
		/* The rest is good for another interval, and so is its filter. */
		memset(plain, 0, sizeof *plain);
		assert_int_equal(pm_tally_reset(parts[1], rules), PM_OK);
		distinct_as(parts[1], plain);
		talk_at_random(&parts[1], 1, plain, round, names);
		distinct_as(parts[1], plain);
		talk_is(pm_tally_service_talk(parts[1], PM_TRANSPORT_TCP, id), 0, 0, 0, 0);
		for (size_t i = 0; i < COUNT(parts); i++)
			pm_tally_free(parts[i]);
		pm_tally_free(whole);
		pm_allowance_unref(allowance);
		free(plain);
	}
}

/* The larger part is what goes on; both count again afterwards, each with a filter of its own. */
static void an_absorbed_part_that_is_larger_is_traded(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *into = talk_new(allowance), *from = talk_new(allowance);
	uint16_t id = label(PM_TRANSPORT_TCP, 80);
	struct plain *plain = plain_new();

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		pm_tally_peers(into, PM_TRANSPORT_TCP, 80, 0, hash_of(1), hash_of(2));
		plain->there[PM_TRANSPORT_TCP][id][PM_ROLE_CLIENT][1] = true;
		plain->there[PM_TRANSPORT_TCP][id][PM_ROLE_SERVER][2] = true;
		talk_at_random(&from, 1, plain, round, 500);
		events(from, PM_TRANSPORT_UDP, 53, 0, "a");
		assert_int_equal(pm_tally_absorb(into, from), PM_OK);
		distinct_as(into, plain);
		talk_is(pm_tally_port_talk(into, PM_TRANSPORT_UDP, 53), round + 1, round + 1, 0, 0);
		assert_int_equal(pm_tally_reset(from, rules), PM_OK);
	}
	assert_int_equal(pm_tally_reset(into, rules), PM_OK);
	memset(plain, 0, sizeof *plain);
	talk_at_random(&into, 1, plain, 1, 500);
	distinct_as(into, plain);
	memset(plain, 0, sizeof *plain);
	talk_at_random(&from, 1, plain, 1, 500);
	distinct_as(from, plain);
	pm_tally_free(into);
	pm_tally_free(from);
	pm_allowance_unref(allowance);
	free(plain);
}

static void conversations_follow_other_rules(void **state)
{
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_tally *tally = talk_new(allowance);

	(void)state;
	events(tally, PM_TRANSPORT_UDP, 53, 3, "a");
	pm_tally_peers(tally, PM_TRANSPORT_UDP, 54, 0, 7, 8); /* has no label yet */
	assert_int_equal(pm_tally_reset(tally, other_rules), PM_OK);
	for (uint16_t id = 0; id <= pm_rules_services(other_rules); id++) {
		talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_UDP, id), 0, 0, 0, 0);
		assert_false(pm_tally_distinct(tally, PM_TRANSPORT_UDP, id, PM_ROLE_CLIENT).known);
	}
	talk_is(pm_tally_port_talk(tally, PM_TRANSPORT_UDP, 53), 0, 0, 0, 0);
	for (uint16_t id = 1; id <= pm_rules_services(other_rules); id++) {
		events(tally, PM_TRANSPORT_UDP, (uint16_t)(52 + id), 0, "a");
		pm_tally_peers(tally, PM_TRANSPORT_UDP, (uint16_t)(52 + id), 0, 7, 8);
		talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_UDP, id), 1, 1, 0, 0);
		assert_true(pm_tally_distinct(tally, PM_TRANSPORT_UDP, id, PM_ROLE_SERVER).known);
		talk_is(pm_tally_service_talk(tally, PM_TRANSPORT_UDPLITE, 0), 0, 0, 0, 0);
	}
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
}

/* One for each port of TCP from 1 on. */
static struct pm_rules *many_services(int n)
{
	enum { LINE = 32 };
	char *text = calloc((size_t)n, LINE);
	struct pm_rules *many;

	assert_non_null(text);
	for (int i = 0, at = 0; i < n; i++)
		at += snprintf(text + at, LINE, "s%d %d/tcp\n", i, i + 1);
	many = traffic_rules(text, 1);
	free(text);
	assert_non_null(many);
	return many;
}

/* So many services in one batch that what is known of them moves while it is looked for. */
static void addresses_of_many_services_at_once_are_those_of_one_by_one(void **state)
{
	enum { SERVICES = 500, CLIENTS = 3, SERVERS = 2 };
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	static struct pm_tally_entry entries[SERVICES * CLIENTS];
	struct pm_rules *many = many_services(SERVICES);
	struct pm_tally *tally = NULL;

	(void)state;
	assert_int_equal(pm_tally_new(many, &tally), PM_OK);
	assert_int_equal(pm_tally_talk(tally, allowance), PM_OK);
	for (unsigned i = 0; i < COUNT(entries); i++)
		entries[i] = (struct pm_tally_entry){
			.src_port = 50000,
			.dst_port = (uint16_t)(1 + i % SERVICES),
			.decision = { 0, PM_SIDE_DST, PM_RUNG_KNOWN },
			.wire = 60,
			.transport = PM_TRANSPORT_TCP,
			.src_host = hash_of(1 + i / SERVICES),
			.dst_host = hash_of(100 + i / SERVICES % SERVERS),
		};
	pm_tally_ports(tally, entries, COUNT(entries));
	for (unsigned port = 1; port <= SERVICES; port++) {
		uint16_t id = (uint16_t)pm_rules_label(many, PM_TRANSPORT_TCP, (uint16_t)port);

		assert_int_equal(number_of(tally, PM_TRANSPORT_TCP, id, PM_ROLE_CLIENT), CLIENTS);
		assert_int_equal(number_of(tally, PM_TRANSPORT_TCP, id, PM_ROLE_SERVER), SERVERS);
	}
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
	pm_rules_unref(many);
}

/* Where both ports are the service's nobody is its client, whatever else has been seen. */
static void symmetric_frames_have_no_clients(void **state)
{
	enum { OTHERS = 300000 };
	struct pm_allowance *allowance = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_rules *one = traffic_rules("peers 123/udp\nweb 80/tcp\n", 1);
	struct pm_tally *tally = NULL;
	uint16_t peers;

	(void)state;
	assert_non_null(one);
	peers = (uint16_t)pm_rules_label(one, PM_TRANSPORT_UDP, 123);
	assert_int_equal(pm_tally_new(one, &tally), PM_OK);
	assert_int_equal(pm_tally_talk(tally, allowance), PM_OK);
	/* so many that each line of the filter has been filled */
	for (unsigned i = 0; i < OTHERS; i++) {
		struct pm_tally_entry entry = {
			.src_port = 50000,
			.dst_port = 80,
			.decision = { 0, PM_SIDE_DST, PM_RUNG_KNOWN },
			.transport = PM_TRANSPORT_TCP,
			.src_host = hash_of(1 + i),
			.dst_host = hash_of(OTHERS + i),
		};

		pm_tally_ports(tally, &entry, 1);
		entry.src_port = entry.dst_port = 123;
		entry.transport = PM_TRANSPORT_UDP;
		entry.decision = (struct pm_decision){ 0, PM_SIDE_BOTH, PM_RUNG_SYMMETRIC };
		pm_tally_ports(tally, &entry, 1);
	}
	assert_int_equal(number_of(tally, PM_TRANSPORT_UDP, peers, PM_ROLE_CLIENT), 0);
	assert_int_equal(number_of(tally, PM_TRANSPORT_UDP, peers, PM_ROLE_SERVER), 0);
	pm_tally_free(tally);
	pm_allowance_unref(allowance);
	pm_rules_unref(one);
}

/* A port scan of thousands of services must not take more than it may, and must say so. */
static void addresses_without_room_are_given_up_and_said_to_be(void **state)
{
	enum { SERVICES = 3000 };
	const size_t filter = sizeof(uint64_t) << PM_TALK_SEEN_BITS_LEAST, some = filter + 50000;
	const size_t bounds[] = { 0, filter + 7000, filter + 70000, 2 * filter + 400000,
				  PM_ALLOWANCE_BYTES };
	struct pm_allowance *plenty = allowance_new(PM_ALLOWANCE_BYTES);
	struct pm_rules *many = many_services(SERVICES);
	uint16_t first;

	(void)state;
	first = (uint16_t)pm_rules_label(many, PM_TRANSPORT_TCP, 1);
	for (size_t b = 0; b < COUNT(bounds); b++) {
		struct pm_allowance *allowance = allowance_new(bounds[b]);
		struct pm_tally *tally = NULL, *sum = NULL;
		unsigned known = 0;

		assert_int_equal(pm_tally_new(many, &tally), PM_OK);
		assert_int_equal(pm_tally_new(many, &sum), PM_OK);
		assert_int_equal(pm_tally_talk(tally, allowance), PM_OK);
		assert_int_equal(pm_tally_talk(sum, plenty), PM_OK);
		for (int again = 0; again < 2; again++)
			for (unsigned port = 1; port <= SERVICES; port++)
				for (unsigned client = 0; client < 9; client++)
					pm_tally_peers(tally, PM_TRANSPORT_TCP, (uint16_t)port, 0,
						       hash_of(client), hash_of(1));
		for (unsigned port = 1; port <= SERVICES; port++) {
			uint16_t id = (uint16_t)pm_rules_label(many, PM_TRANSPORT_TCP,
							       (uint16_t)port);
			struct pm_distinct clients =
				pm_tally_distinct(tally, PM_TRANSPORT_TCP, id, PM_ROLE_CLIENT);

			assert_true(clients.known ? clients.count == 9 && !clients.given_up
						  : clients.given_up);
			known += clients.known;
		}
		assert_int_equal(known == SERVICES, bounds[b] == PM_ALLOWANCE_BYTES);
		if (bounds[b] > some)
			assert_true(known > 0);
		/* What is short in one is not known in the sum, however much room that has. */
		for (unsigned port = 1; port <= SERVICES; port += 7)
			pm_tally_peers(sum, PM_TRANSPORT_TCP, (uint16_t)port, 0, hash_of(1),
				       hash_of(1));
		assert_int_equal(pm_tally_merge(sum, tally), PM_OK);
		for (unsigned port = 1; port <= SERVICES; port++) {
			uint16_t id = (uint16_t)pm_rules_label(many, PM_TRANSPORT_TCP,
							       (uint16_t)port);
			struct pm_distinct clients =
				pm_tally_distinct(sum, PM_TRANSPORT_TCP, id, PM_ROLE_CLIENT);

			assert_true(clients.known || clients.given_up);
			if (clients.known)
				assert_int_equal(clients.count, 9);
		}
		/* With the interval it is over. */
		pm_tally_free(sum);
		assert_int_equal(pm_tally_reset(tally, many), PM_OK);
		pm_tally_peers(tally, PM_TRANSPORT_TCP, 1, 0, 1, 2);
		assert_int_equal(number_of(tally, PM_TRANSPORT_TCP, first, PM_ROLE_CLIENT),
				 bounds[b] > some);
		assert_int_equal(
			pm_tally_distinct(tally, PM_TRANSPORT_TCP, first, PM_ROLE_CLIENT).given_up,
			bounds[b] < some);
		pm_tally_free(tally);
		pm_allowance_unref(allowance);
	}
	pm_allowance_unref(plenty);
	pm_rules_unref(many);
}

static void freeing_nothing_is_fine(void **state)
{
	(void)state;
	pm_tally_free(NULL);
}

/* An event in frame @number, of which all else follows. */
static struct pm_evidence evidence_of(uint64_t number, uint16_t server_port)
{
	return (struct pm_evidence){ .ip_version = 4,
				     .transport = PM_TRANSPORT_TCP,
				     .client_port = 40000,
				     .server_port = server_port,
				     .client = { { 192, 0, 2, 1 } },
				     .server = { { 198, 51, 100, 1 } },
				     .number = number,
				     .time_ns = 1000 - (int64_t)number,
				     .wire = WIRE };
}

static void anomaly(struct pm_tally *tally, enum pm_anomaly anomaly, uint64_t number, uint16_t port)
{
	struct pm_evidence evidence = evidence_of(number, port);

	pm_tally_anomaly(tally, anomaly, &evidence);
}

static void facet_is(const struct pm_tally *tally, enum pm_facet facet, uint64_t packets,
		     uint64_t example)
{
	assert_int_equal(tally->facets[facet].packets, packets);
	assert_int_equal(tally->facets[facet].bytes, packets * WIRE);
	assert_int_equal(tally->examples[facet].ip_version, packets ? 4 : 0);
	assert_int_equal(tally->examples[facet].number, example);
}

static void anomalies_count_by_facet_with_their_first_as_example(void **state)
{
	static const struct {
		enum pm_anomaly anomaly;
		enum pm_facet facet;
	} rows[] = {
		{ PM_ANOMALY_PORT_SCAN, PM_FACET_PORT_SCAN },
		{ PM_ANOMALY_SERVICE_PORT, PM_FACET_CLIENT_FROM_SERVICE_PORT },
		{ PM_ANOMALY_PORT_CONFLICT, PM_FACET_PORT_CONFLICT },
	};
	struct pm_tally *tally = tally_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		anomaly(tally, rows[i].anomaly, 0, 80); /* without a frame: last */
		facet_is(tally, rows[i].facet, 1, 0);
		anomaly(tally, rows[i].anomaly, 7, 80);
		anomaly(tally, rows[i].anomaly, 9, 80);
		facet_is(tally, rows[i].facet, 3, 7);
		anomaly(tally, rows[i].anomaly, 5, 80);
		facet_is(tally, rows[i].facet, 4, 5);
		assert_int_equal(pm_facet_of(rows[i].anomaly), rows[i].facet);
	}
	assert_int_equal(pm_facet_of(PM_ANOMALY_UNUSUAL_PORT), PM_FACET_SERVICE_ON_UNUSUAL_PORT);
	pm_tally_settle(tally);
	for (size_t i = 0; i < COUNT(rows); i++)
		facet_is(tally, rows[i].facet, 4, 5);
	facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 0, 0);
	pm_tally_reset(tally, rules);
	for (size_t i = 0; i < COUNT(rows); i++)
		facet_is(tally, rows[i].facet, 0, 0);
	pm_tally_free(tally);
}

/* @n frames that the port has as service, both ways. */
static void serve(struct pm_tally *tally, uint16_t port, int n)
{
	for (int i = 0; i < n; i++) {
		uint16_t to = i % 2 ? 40000 : port, from = i % 2 ? port : 40000;

		count(tally, PM_TRANSPORT_TCP, from, to, WIRE);
	}
}

static void a_service_on_an_unusual_port_has_sessions_and_traffic(void **state)
{
	struct pm_tally *tally = tally_new();

	(void)state;
	serve(tally, 9000, 9);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 3, 9000); /* too few */
	serve(tally, 9001, 50);                           /* no session */
	serve(tally, 9002, 12);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 60, 9002);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 50, 9002);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 5, 9003); /* a session, no frames */
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 55, 9000);
	for (int again = 0; again < 2; again++) {
		pm_tally_settle(tally);
		facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 12, 50);
	}
	serve(tally, 9000, 1); /* ten by now, and its session comes first */
	pm_tally_settle(tally);
	facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 22, 3);
	/* the same port of another transport is another port */
	for (int i = 0; i < 20; i++)
		count(tally, PM_TRANSPORT_SCTP, 40000, 9002, WIRE);
	pm_tally_settle(tally);
	facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 22, 3);
	pm_tally_reset(tally, rules);
	serve(tally, 9002, 12);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 1, 9001);
	pm_tally_settle(tally);
	facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 0, 0);
	pm_tally_free(tally);
}

static void a_busy_port_leaves_room_for_the_examples_of_others(void **state)
{
	struct pm_tally *tally = tally_new();

	(void)state;
	for (uint64_t n = 1; n <= 1000; n++)
		anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, n, 9000);
	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, 1001, 9001);
	serve(tally, 9001, 20);
	pm_tally_settle(tally);
	facet_is(tally, PM_FACET_SERVICE_ON_UNUSUAL_PORT, 20, 1001);
	pm_tally_free(tally);
}

/* Events as a run might have them: more ports than examples are kept of. */
static void happen(struct pm_tally *tally, uint64_t number)
{
	uint16_t port = (uint16_t)(9000 + number * 7 % 150);

	anomaly(tally, PM_ANOMALY_UNUSUAL_PORT, number, port);
	if (number % 3 == 0)
		anomaly(tally, (enum pm_anomaly)(number % 2 ? PM_ANOMALY_PORT_SCAN
							    : PM_ANOMALY_PORT_CONFLICT),
			number, port);
	/* few ports carry enough; not the first ones */
	if (port % 50 == 21)
		serve(tally, port, 3);
}

static void how_events_are_split_among_tallies_does_not_show(void **state)
{
	struct pm_tally *whole = tally_new(), *parts[3];
	struct pm_evidence examples[PM_FACET_N];

	(void)state;
	for (uint64_t n = 1; n <= 1000; n++)
		happen(whole, n);
	pm_tally_settle(whole);
	assert_int_equal(whole->facets[PM_FACET_SERVICE_ON_UNUSUAL_PORT].packets % 3, 0);
	assert_true(whole->examples[PM_FACET_SERVICE_ON_UNUSUAL_PORT].number > 1);
	memcpy(examples, whole->examples, sizeof examples);
	for (int way = 0; way < 6; way++) {
		for (int i = 0; i < 3; i++)
			parts[i] = tally_new();
		for (uint64_t n = 1; n <= 1000; n++)
			happen(parts[way % 3 == 0   ? n % 3
				     : way % 3 == 1 ? n / 100 % 3
						    : (1000 - n) / 334],
			       n);
		for (int i = 1; i < 3; i++)
			assert_int_equal(way < 3 ? pm_tally_merge(parts[0], parts[i])
						 : pm_tally_absorb(parts[0], parts[i]),
					 PM_OK);
		pm_tally_settle(parts[0]);
		assert_memory_equal(parts[0]->facets, whole->facets, sizeof whole->facets);
		for (int f = 0; f < PM_FACET_N; f++)
			assert_int_equal(parts[0]->examples[f].number, examples[f].number);
		for (int i = 0; i < 3; i++)
			pm_tally_free(parts[i]);
	}
	pm_tally_free(whole);
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(frames_without_ports_count_by_reason_and_protocol),
	cmocka_unit_test(a_frame_counts_in_the_totals_and_by_ip_version),
	cmocka_unit_test(frames_of_4_gib_add_up_in_64_bits),
	cmocka_unit_test(many_frames_at_once_count_as_one_by_one),
	cmocka_unit_test(services_settled_are_services_counted),
	cmocka_unit_test(a_known_frame_counts_as_any),
	cmocka_unit_test(a_merged_tally_is_the_sum_of_both),
	cmocka_unit_test(an_absorbed_tally_is_added_like_a_merged_one),
	cmocka_unit_test(a_merged_tally_spans_both_intervals),
	cmocka_unit_test(an_earlier_interval_merged_in_stretches_the_span_too),
	cmocka_unit_test(an_idle_interval_has_no_first_frame_to_merge),
	cmocka_unit_test(tallies_of_other_rules_do_not_merge),
	cmocka_unit_test(a_reset_tally_is_empty),
	cmocka_unit_test(a_reset_tally_takes_other_rules),
	cmocka_unit_test(a_scoped_port_lists_each_label_that_it_carried),
	cmocka_unit_test(a_full_scoped_list_says_what_it_left_out),
	cmocka_unit_test(events_count_by_port_and_service),
	cmocka_unit_test(a_tally_that_counts_no_conversations_takes_none),
	cmocka_unit_test(clients_and_servers_are_told_apart),
	cmocka_unit_test(ends_trade_places_and_are_both_both),
	cmocka_unit_test(conversations_of_merged_tallies_are_those_of_all),
	cmocka_unit_test(an_absorbed_part_that_is_larger_is_traded),
	cmocka_unit_test(conversations_follow_other_rules),
	cmocka_unit_test(addresses_of_many_services_at_once_are_those_of_one_by_one),
	cmocka_unit_test(symmetric_frames_have_no_clients),
	cmocka_unit_test(addresses_without_room_are_given_up_and_said_to_be),
	cmocka_unit_test(anomalies_count_by_facet_with_their_first_as_example),
	cmocka_unit_test(a_service_on_an_unusual_port_has_sessions_and_traffic),
	cmocka_unit_test(a_busy_port_leaves_room_for_the_examples_of_others),
	cmocka_unit_test(how_events_are_split_among_tallies_does_not_show),
	cmocka_unit_test(freeing_nothing_is_fine),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(frames) + COUNT(others)];

	for (size_t i = 0; i < COUNT(frames); i++)
		tests[i] = (struct CMUnitTest){ frames[i].name, frame_case_holds, NULL, NULL,
						(void *)(uintptr_t)&frames[i] };
	memcpy(tests + COUNT(frames), others, sizeof others);
	return _cmocka_run_group_tests("tally", tests, COUNT(tests), load, unload);
}
