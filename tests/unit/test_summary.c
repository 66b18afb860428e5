/* SPDX-License-Identifier: MIT */
/* From counters to an ordered record; cutting it; adding records up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/summary.h"
#include "sums.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char rules_text[] = "alpha 53/udp/tcp category=naming\n"
				 "alpha 54/udp\n"
				 "beta 80/tcp/sctp category=web metric=port\n"
				 "aardvark 90/tcp\n"
				 "gamma 53/udp host=192.0.2.0/24 category=internal\n";

static const struct pm_source source = { .name = "test", .files = 1, .snaplen = -1 };
static struct pm_rules *rules;
static struct pm_allowance *allowance;

static int load(void **state)
{
	(void)state;
	rules = traffic_rules(rules_text, 7);
	return rules && pm_allowance_new(PM_ALLOWANCE_BYTES, &allowance) == PM_OK ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	pm_allowance_unref(allowance);
	return 0;
}

static struct pm_tally *tally_new(void)
{
	struct pm_tally *tally = NULL;

	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	assert_int_equal(pm_tally_talk(tally, allowance), PM_OK);
	return tally;
}

/* A frame that begins a conversation, and ends its beginning. */
static void talk(struct pm_tally *tally, const struct pm_tally_entry *entry)
{
	enum pm_transport transport = (enum pm_transport)entry->transport;
	bool from = entry->decision.side == PM_SIDE_SRC;
	uint16_t server = from ? entry->src_port : entry->dst_port,
		 client = from ? entry->dst_port : entry->src_port;

	if (entry->decision.side == PM_SIDE_NONE)
		return;
	pm_tally_event(tally, transport, server, entry->decision.service, PM_EVENT_ATTEMPT, 1);
	if (transport != PM_TRANSPORT_UDP && transport != PM_TRANSPORT_UDPLITE)
		pm_tally_event(tally, transport, server, entry->decision.service,
			       client % 2 ? PM_EVENT_SESSION : PM_EVENT_REFUSAL, 1);
	if (client % 3 == 0)
		pm_tally_event(tally, transport, server, entry->decision.service,
			       PM_EVENT_UNANSWERED, 1);
	pm_tally_peers(tally, transport, server, entry->decision.service,
		       client * UINT64_C(0x9e3779b97f4a7c15), 7);
}

static void count_to(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
		     uint16_t dst_port, uint32_t wire, const char *dst)
{
	struct pm_packet packet = {
		.verdict = PM_VERDICT_PORTS,
		.ip_version = 4,
		.transport = (uint8_t)transport,
		.src_port = src_port,
		.dst_port = dst_port,
		.src = { { 198, 51, 100, 1 } },
	};
	struct pm_tally_entry entry = { src_port, dst_port, { 0, 0, 0 }, wire, (uint8_t)transport };

	memcpy(packet.dst.bytes, dst, 4);
	entry.decision = pm_side_decide(rules, &packet);
	pm_tally_frame(tally, 4, wire);
	pm_tally_ports(tally, &entry, 1);
	talk(tally, &entry);
}

static void count(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
		  uint16_t dst_port, uint32_t wire)
{
	count_to(tally, transport, src_port, dst_port, wire, "\xcb\x00\x71\x01");
}

static void count_none(struct pm_tally *tally, enum pm_verdict verdict, uint8_t protocol,
		       uint32_t wire)
{
	pm_tally_frame(tally, verdict == PM_VERDICT_NON_IP ? 0 : 6, wire);
	pm_tally_no_port(tally, verdict, protocol, wire);
}

static struct pm_record *record_of(struct pm_tally *tally)
{
	struct pm_record *record = NULL;

	assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
	assert_null(sums_problem(record));
	pm_tally_free(tally); /* a record stands without its tally */
	return record;
}

static void an_empty_tally_gives_an_empty_record(void **state)
{
	struct pm_record *record = record_of(tally_new());

	(void)state;
	assert_int_equal(
		record->n_ports + record->n_services + record->n_transports + record->n_no_port, 0);
	assert_int_equal(record->merged, 1);
	assert_ptr_equal(record->source, &source);
	assert_int_equal(pm_rules_generation(record->rules), 7);
	pm_record_cut(record, 1, true);
	assert_int_equal(record->other.ports, 0);
	pm_record_free(record);
	pm_record_free(NULL);
}

static void ports_are_sorted_by_bytes_then_transport_then_port(void **state)
{
	static const struct {
		enum pm_transport transport;
		uint16_t port;
	} order[] = {
		{ PM_TRANSPORT_TCP, 80 },    /* 1000 as service, 1000 to it */
		{ PM_TRANSPORT_TCP, 50001 }, /* 1000 from it */
		{ PM_TRANSPORT_DCCP, 9 },    { PM_TRANSPORT_DCCP, 10 }, /* 100 each: by name of
									   transport, by number */
		{ PM_TRANSPORT_SCTP, 9 },    { PM_TRANSPORT_SCTP, 10 },    { PM_TRANSPORT_TCP, 9 },
		{ PM_TRANSPORT_TCP, 10 },    { PM_TRANSPORT_UDP, 9 },      { PM_TRANSPORT_UDP, 10 },
		{ PM_TRANSPORT_UDPLITE, 9 }, { PM_TRANSPORT_UDPLITE, 10 },
	};
	struct pm_tally *tally = tally_new();
	struct pm_record *record;

	(void)state;
	for (int t = PM_TRANSPORT_N - 1; t >= 0; t--)
		count(tally, (enum pm_transport)t, 10, 9, 100);
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 1000);
	record = record_of(tally);
	assert_int_equal(record->n_ports, COUNT(order));
	for (size_t i = 0; i < COUNT(order); i++) {
		assert_int_equal(record->ports[i].transport, order[i].transport);
		assert_int_equal(record->ports[i].port, order[i].port);
	}
	pm_record_free(record);
}

static void services_are_sorted_by_bytes_then_transport_then_name(void **state)
{
	static const struct {
		const char *name;
		enum pm_transport transport;
	} order[] = {
		{ "alpha", PM_TRANSPORT_UDP }, { "beta", PM_TRANSPORT_SCTP }, { "aardvark", PM_TRANSPORT_TCP },
		{ "alpha", PM_TRANSPORT_TCP }, { "beta", PM_TRANSPORT_TCP },
	};
	struct pm_tally *tally = tally_new();
	struct pm_record *record;

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 100);
	count(tally, PM_TRANSPORT_TCP, 50001, 53, 100);
	count(tally, PM_TRANSPORT_TCP, 90, 50001, 100);
	count(tally, PM_TRANSPORT_SCTP, 50001, 80, 100);
	count(tally, PM_TRANSPORT_UDP, 50001, 53, 101);
	record = record_of(tally);
	assert_int_equal(record->n_services, COUNT(order));
	for (size_t i = 0; i < COUNT(order); i++) {
		assert_string_equal(record->services[i].service, order[i].name);
		assert_int_equal(record->services[i].transport, order[i].transport);
	}
	assert_int_equal(record->n_transports, 3);
	assert_int_equal(record->transports[0].transport, PM_TRANSPORT_TCP);
	assert_int_equal(record->transports[1].transport, PM_TRANSPORT_UDP);
	assert_int_equal(record->transports[2].transport, PM_TRANSPORT_SCTP);
	pm_record_free(record);
}

static void transports_of_equal_bytes_are_sorted_by_name(void **state)
{
	struct pm_tally *tally = tally_new();
	struct pm_record *record;

	(void)state;
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		count(tally, (enum pm_transport)t, 10, 9, 100);
	record = record_of(tally);
	for (size_t i = 1; i < PM_TRANSPORT_N; i++)
		assert_true(strcmp(pm_transport_name(record->transports[i - 1].transport),
				   pm_transport_name(record->transports[i].transport)) < 0);
	pm_record_free(record);
}

static void reasons_are_sorted_by_bytes_then_name_then_protocol(void **state)
{
	static const struct {
		enum pm_verdict reason;
		int protocol;
	} order[] = {
		{ PM_VERDICT_NO_PORTS_PROTOCOL, 47 }, { PM_VERDICT_FRAGMENT, -1 },
		{ PM_VERDICT_HEADER_TRUNCATED, -1 }, { PM_VERDICT_MALFORMED, -1 },
		{ PM_VERDICT_NO_PORTS_PROTOCOL, 0 }, { PM_VERDICT_NO_PORTS_PROTOCOL, 1 },
		{ PM_VERDICT_NO_PORTS_PROTOCOL, 255 }, { PM_VERDICT_NON_IP, -1 },
	};
	struct pm_tally *tally = tally_new();
	struct pm_record *record;

	(void)state;
	count_none(tally, PM_VERDICT_NON_IP, 0, 100);
	count_none(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 255, 100);
	count_none(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 1, 100);
	count_none(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 0, 100);
	count_none(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 47, 101);
	count_none(tally, PM_VERDICT_MALFORMED, 0, 100);
	count_none(tally, PM_VERDICT_HEADER_TRUNCATED, 0, 100);
	count_none(tally, PM_VERDICT_FRAGMENT, 0, 100);
	record = record_of(tally);
	assert_int_equal(record->n_no_port, COUNT(order));
	for (size_t i = 0; i < COUNT(order); i++) {
		assert_int_equal(record->no_port[i].reason, order[i].reason);
		assert_int_equal(record->no_port[i].protocol, order[i].protocol);
	}
	pm_record_free(record);
}

static void a_service_names_the_ports_that_carried_it_rising(void **state)
{
	struct pm_tally *tally = tally_new();
	struct pm_record *record;
	const struct pm_service_row *alpha = NULL, *gamma = NULL;

	(void)state;
	count(tally, PM_TRANSPORT_UDP, 50001, 54, 100);
	count(tally, PM_TRANSPORT_UDP, 50001, 53, 100);
	count(tally, PM_TRANSPORT_UDP, 53, 50001, 100);
	count_to(tally, PM_TRANSPORT_UDP, 50001, 53, 100, "\xc0\x00\x02\x07");
	record = record_of(tally);
	for (size_t i = 0; i < record->n_services; i++)
		if (strcmp(record->services[i].service, "alpha") == 0)
			alpha = &record->services[i];
		else
			gamma = &record->services[i];
	assert_non_null(alpha);
	assert_int_equal(alpha->n_ports, 2);
	assert_int_equal(alpha->ports[0], 53);
	assert_int_equal(alpha->ports[1], 54);
	assert_int_equal(alpha->to_service.packets, 2);
	assert_int_equal(alpha->from_service.packets, 1);
	assert_non_null(gamma);
	assert_string_equal(gamma->service, "gamma");
	assert_string_equal(gamma->category, "internal");
	assert_int_equal(gamma->n_ports, 1);
	assert_int_equal(gamma->ports[0], 53);
	assert_int_equal(gamma->side_by[PM_RUNG_RULE], 1);
	for (size_t i = 0; i < record->n_ports; i++) /* the row bears the label for any address */
		if (record->ports[i].port == 53)
			assert_string_equal(record->ports[i].service, "alpha");
	pm_record_free(record);
}

static void a_port_knows_its_label_and_metric(void **state)
{
	struct pm_tally *tally = tally_new();
	struct pm_record *record;

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 100);
	record = record_of(tally);
	assert_int_equal(record->ports[0].port, 80);
	assert_string_equal(record->ports[0].service, "beta");
	assert_true(record->ports[0].metric);
	assert_null(record->ports[1].service);
	assert_false(record->ports[1].metric);
	pm_record_free(record);
}

/* Different for each seed; every kind of row. */
static void fill(struct pm_tally *tally, uint32_t seed)
{
	static const uint16_t ports[] = { 0, 53, 54, 80, 90, 9000, 40000, 50001, 65535 };
	uint32_t random = seed * UINT32_C(2654435761) + 1;

	for (int i = 0; i < 300; i++) {
		random = random * UINT32_C(1664525) + UINT32_C(1013904223);
		if (random >> 28 == 0)
			count_none(tally, (enum pm_verdict)(1 + (random >> 8) % (PM_VERDICT_N - 1)),
				   (uint8_t)((random >> 12) % 3), random >> 22);
		else
			count(tally, (enum pm_transport)((random >> 24) % PM_TRANSPORT_N),
			      ports[(random >> 10) % COUNT(ports)],
			      ports[(random >> 16) % COUNT(ports)], 60 + (random >> 20) % 1400);
	}
}

struct cut_case {
	const char *name;
	size_t top;
	bool service_only;
};

static const struct cut_case cuts[] = {
	{ "no cut keeps all rows", 0, false },
	{ "top 1 keeps the largest row", 1, false },
	{ "top 5 keeps five rows", 5, false },
	{ "more than there are keeps all", 1000, false },
	{ "service only keeps ports that carried a service", 0, true },
	{ "top counts the rows that service only keeps", 3, true },
};

static void cut_case_holds(void **state)
{
	const struct cut_case *row = *state;
	struct pm_tally *tally = tally_new();
	struct pm_record *record, *whole;
	size_t fit = 0, kept = 0;

	fill(tally, 1);
	assert_int_equal(pm_record_new(tally, &source, &whole), PM_OK);
	record = record_of(tally);
	pm_record_cut(record, row->top, row->service_only);
	assert_null(sums_problem(record));
	for (size_t i = 0; i < whole->n_ports; i++) {
		if (row->service_only && !whole->ports[i].as_service.packets)
			continue;
		if (row->top && fit++ >= row->top)
			continue;
		assert_true(kept < record->n_ports); /* in the order of before */
		assert_memory_equal(&record->ports[kept++], &whole->ports[i], sizeof *whole->ports);
	}
	assert_int_equal(record->n_ports, kept);
	assert_int_equal(record->other.ports, whole->n_ports - kept);
	assert_true(kept == whole->n_ports || record->other.sessions || row->service_only);
	pm_record_cut(record, 1, row->service_only); /* again: what is cut adds up */
	assert_null(sums_problem(record));
	assert_int_equal(record->other.ports, whole->n_ports - record->n_ports);
	pm_record_free(record);
	pm_record_free(whole);
}

static const struct pm_service_row *service_of(const struct pm_record *record,
					       enum pm_transport transport, const char *name)
{
	for (size_t i = 0; i < record->n_services; i++)
		if (record->services[i].transport == transport &&
		    strcmp(record->services[i].service, name) == 0)
			return &record->services[i];
	return NULL;
}

/* What the test below counts. */
static uint64_t sessions_of(unsigned transport, uint16_t port)
{
	if (port >= 50000)
		return 0;
	if (port == 9000)
		return transport == PM_TRANSPORT_UDP ? 2 : 1;
	return port == 80 ? 2 : 1;
}

static void a_service_knows_its_conversations(void **state)
{
	const unsigned all = (1U << PM_TALK_N) - 1, syn = 1U << PM_TALK_SYN,
		       refused = 1U << PM_TALK_REFUSED,
		       unanswered = 1U << PM_TALK_UNANSWERED;
	static const uint64_t tcp[PM_TALK_N] = { 2, 3, 1, 1 }, udp[PM_TALK_N] = { 1, 0, 0, 0 },
			      none[PM_TALK_N] = { 3, 1, 0, 0 };
	struct pm_tally *tally = tally_new();
	const struct pm_service_row *row;
	struct pm_record *record;

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 60);
	count(tally, PM_TRANSPORT_TCP, 50002, 80, 60); /* divides by three, and is even: refused */
	count(tally, PM_TRANSPORT_TCP, 80, 50003, 60);
	count(tally, PM_TRANSPORT_UDP, 50000, 53, 60);
	count(tally, PM_TRANSPORT_TCP, 50003, 9000, 60);
	count(tally, PM_TRANSPORT_UDP, 50001, 9000, 60);
	count(tally, PM_TRANSPORT_UDP, 9000, 50004, 60);
	/* Of a service and a port without frames here. */
	pm_tally_event(tally, PM_TRANSPORT_TCP, 53, 0, PM_EVENT_UNANSWERED, 1);
	record = record_of(tally);
	assert_true(record->talk);
	assert_int_equal(record->n_services, 2);
	row = service_of(record, PM_TRANSPORT_TCP, "beta");
	assert_non_null(row);
	assert_memory_equal(row->talk, tcp, sizeof tcp);
	assert_int_equal(row->talk_known, all);
	assert_int_equal(row->clients.count, 3);
	assert_int_equal(row->servers.count, 1);
	row = service_of(record, PM_TRANSPORT_UDP, "alpha");
	assert_non_null(row);
	assert_memory_equal(row->talk, udp, sizeof udp); /* its attempt is its session */
	assert_int_equal(row->talk_known, all & ~syn & ~refused & ~unanswered);
	assert_true(row->clients.known && !row->clients.estimated);
	row = &record->unknown;
	assert_memory_equal(row->talk, none, sizeof none);
	assert_int_equal(row->talk_known, all);
	assert_false(row->clients.known || row->servers.known);
	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *port = &record->ports[i];

		assert_int_equal(port->talk, port->port < 50000);
		assert_int_equal(port->sessions, sessions_of(port->transport, port->port));
	}
	assert_int_equal(record->given_up.peers, 0);
	pm_record_free(record);
}

static void a_run_without_conversations_has_none_of_their_figures(void **state)
{
	struct pm_tally *tally = NULL;
	struct pm_record *record;

	(void)state;
	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	fill(tally, 3);
	record = record_of(tally);
	assert_false(record->talk);
	assert_int_equal(record->unknown.talk_known, 0);
	assert_true(record->n_services > 0);
	for (size_t i = 0; i < record->n_services; i++) {
		assert_int_equal(record->services[i].talk_known, 0);
		assert_false(record->services[i].clients.known);
	}
	for (size_t i = 0; i < record->n_ports; i++)
		assert_false(record->ports[i].talk);
	pm_record_free(record);
}

static void services_without_room_for_addresses_are_numbered(void **state)
{
	struct pm_allowance *none = NULL;
	struct pm_tally *tally = NULL;
	struct pm_record *record;

	(void)state;
	assert_int_equal(pm_allowance_new(0, &none), PM_OK);
	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	assert_int_equal(pm_tally_talk(tally, none), PM_OK);
	fill(tally, 3);
	record = record_of(tally);
	assert_true(record->n_services > 1);
	assert_int_equal(record->given_up.peers, record->n_services);
	for (size_t i = 0; i < record->n_services; i++) {
		assert_false(record->services[i].clients.known);
		assert_true(record->services[i].talk_known); /* these are exact, always */
	}
	pm_record_free(record);
	pm_allowance_unref(none);
}

static const struct pm_port_row *port_find(const struct pm_record *record,
					   const struct pm_port_row *like)
{
	for (size_t i = 0; i < record->n_ports; i++)
		if (record->ports[i].port == like->port &&
		    record->ports[i].transport == like->transport)
			return &record->ports[i];
	return NULL;
}

static const struct pm_service_row *service_find(const struct pm_record *record,
						 const struct pm_service_row *like)
{
	for (size_t i = 0; i < record->n_services; i++)
		if (strcmp(record->services[i].service, like->service) == 0 &&
		    record->services[i].transport == like->transport)
			return &record->services[i];
	return NULL;
}

static void strings_equal(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void service_equal(const struct pm_service_row *a, const struct pm_service_row *b)
{
	assert_true(sums_equal(a->count, b->count));
	assert_true(sums_equal(a->to_service, b->to_service));
	assert_true(sums_equal(a->from_service, b->from_service));
	assert_true(sums_equal(a->symmetric, b->symmetric));
	assert_memory_equal(a->side_by, b->side_by, sizeof a->side_by);
	assert_memory_equal(a->talk, b->talk, sizeof a->talk);
	assert_int_equal(a->talk_known, b->talk_known);
	assert_false(a->clients.known || a->servers.known); /* addresses do not add up */
}

static void rows_equal(const struct pm_record *sum, const struct pm_record *whole)
{
	assert_int_equal(sum->n_ports, whole->n_ports);
	for (size_t i = 0; i < whole->n_ports; i++) {
		const struct pm_port_row *row = port_find(sum, &whole->ports[i]);

		assert_non_null(row);
		assert_true(sums_equal(row->src, whole->ports[i].src));
		assert_true(sums_equal(row->dst, whole->ports[i].dst));
		assert_true(sums_equal(row->as_service, whole->ports[i].as_service));
		strings_equal(row->service, whole->ports[i].service);
		assert_int_equal(row->metric, whole->ports[i].metric);
		assert_int_equal(row->sessions, whole->ports[i].sessions);
		assert_int_equal(row->talk, whole->ports[i].talk);
	}
	assert_int_equal(sum->n_services, whole->n_services);
	for (size_t i = 0; i < whole->n_services; i++) {
		const struct pm_service_row *row = service_find(sum, &whole->services[i]);

		assert_non_null(row);
		service_equal(row, &whole->services[i]);
		strings_equal(row->category, whole->services[i].category);
	}
	service_equal(&sum->unknown, &whole->unknown);
	assert_int_equal(sum->n_no_port, whole->n_no_port);
	assert_int_equal(sum->n_transports, whole->n_transports);
	assert_memory_equal(sum->facets, whole->facets, sizeof sum->facets);
	assert_true(sums_equal(sum->totals, whole->totals));
	assert_true(sums_equal(sum->ip4, whole->ip4));
	assert_true(sums_equal(sum->ip6, whole->ip6));
}

static void records_added_up_are_the_record_of_all(void **state)
{
	struct pm_tally *whole_tally = tally_new();
	struct pm_record *sum = NULL, *whole;

	(void)state;
	for (uint32_t seed = 1; seed <= 6; seed++) {
		struct pm_tally *part = tally_new();
		struct pm_record *record;

		fill(part, seed);
		fill(whole_tally, seed);
		part->seq = seed;
		part->interval =
			(struct pm_interval){ .start_ns = seed, .end_ns = seed + 1, .late = 1 };
		part->capture = (struct pm_capture_figures){ 10, 5, 1, true, seed != 3, true };
		part->given_up.fragment_frames = seed;
		part->given_up.peers = 2 * seed;
		part->given_up.endpoints = 3 * seed;
		part->given_up.handshakes = 4 * seed;
		part->given_up.watched = 5 * seed;
		record = record_of(part);
		assert_int_equal(pm_record_add(&sum, record), PM_OK);
		pm_record_free(record); /* a sum stands without the records in it */
		assert_null(sums_problem(sum));
	}
	whole = record_of(whole_tally);
	rows_equal(sum, whole);
	assert_int_equal(sum->seq, 6);
	assert_int_equal(sum->merged, 6);
	assert_int_equal(sum->interval.start_ns, 1);
	assert_int_equal(sum->interval.end_ns, 7);
	assert_int_equal(sum->interval.late, 6);
	assert_int_equal(sum->capture.received, 60);
	assert_true(sum->capture.received_known);
	assert_false(sum->capture.dropped_kernel_known);
	assert_int_equal(sum->given_up.fragment_frames, 21);
	assert_int_equal(sum->given_up.peers, 42);
	assert_int_equal(sum->given_up.endpoints, 63);
	assert_int_equal(sum->given_up.handshakes, 84);
	assert_int_equal(sum->given_up.watched, 105);
	assert_true(sum->talk);
	pm_record_free(sum);
	pm_record_free(whole);
}

static void a_sum_keeps_its_names_when_the_rules_go(void **state)
{
	struct pm_rules *kept = rules;
	struct pm_record *sum = NULL;

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		struct pm_tally *tally;
		struct pm_record *record;

		rules = traffic_rules(turn ? "newer 53/udp category=new\n" : "older 53/udp category=old\n",
				      (uint64_t)turn);
		tally = tally_new();
		count(tally, PM_TRANSPORT_UDP, 50001, 53, 100);
		record = record_of(tally);
		assert_int_equal(pm_record_add(&sum, record), PM_OK);
		pm_record_free(record);
		pm_rules_unref(rules);
	}
	rules = kept;
	assert_int_equal(sum->n_services, 2);
	assert_string_equal(sum->services[0].service, "newer");
	assert_string_equal(sum->services[0].category, "new");
	assert_int_equal(sum->services[0].count.packets, 2);
	assert_string_equal(sum->services[1].service, "older");
	assert_string_equal(sum->services[1].category, "old");
	assert_int_equal(sum->n_ports, 2);
	assert_string_equal(sum->ports[0].service, "newer"); /* the newest name of the port */
	assert_int_equal(sum->ports[0].as_service.packets, 3);
	assert_int_equal(pm_rules_generation(sum->rules), 2);
	pm_record_free(sum);
}

static const struct {
	uint16_t port;
	const char *range;
} ranges[] = {
	{ 0, "reserved" }, { 1, "system" },	 { 1023, "system" },   { 1024, "user" },
	{ 32768, "user" }, { 49151, "user" },	 { 49152, "dynamic" }, { 65535, "dynamic" },
};

static void ranges_are_those_of_rfc_6335(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ranges); i++)
		assert_string_equal(pm_range_name(pm_range_of(ranges[i].port)), ranges[i].range);
	assert_string_equal(pm_range_name(PM_RANGE_N), "?");
}

static void facets_bear_the_names_of_the_record_in_their_order(void **state)
{
	static const char *const names[] = {
		[PM_FACET_CLIENT_FROM_SERVICE_PORT] = "client_from_service_port",
		[PM_FACET_PORT_CONFLICT] = "port_conflict",
		[PM_FACET_PORT_SCAN] = "port_scan",
		[PM_FACET_SERVICE_ON_UNUSUAL_PORT] = "service_on_unusual_port",
		[PM_FACET_UDP_SOURCE_PORT_ZERO] = "udp_source_port_zero",
		[PM_FACET_UDP_DESTINATION_PORT_ZERO] = "udp_destination_port_zero",
		[PM_FACET_UDPLITE_SOURCE_PORT_ZERO] = "udplite_source_port_zero",
		[PM_FACET_UDPLITE_DESTINATION_PORT_ZERO] = "udplite_destination_port_zero",
		[PM_FACET_TCP_PORT_ZERO] = "tcp_port_zero",
		[PM_FACET_SCTP_PORT_ZERO] = "sctp_port_zero",
		[PM_FACET_DCCP_PORT_ZERO] = "dccp_port_zero",
	};

	(void)state;
	assert_int_equal(COUNT(names), PM_FACET_N);
	for (unsigned f = 0; f < PM_FACET_N; f++)
		assert_string_equal(pm_facet_name((enum pm_facet)f), names[f]);
	for (unsigned f = 1; f < PM_FACET_N; f++)
		assert_true(strcmp(names[f - 1], names[f]) < 0);
	assert_string_equal(pm_facet_name(PM_FACET_N), "?");
}

static const struct {
	uint8_t protocol;
	const char *name;
} protocols[] = {
	{ 0, "hopopt" }, { 1, "icmp" }, { 2, "igmp" }, { 4, "ipv4" }, { 6, "tcp" }, { 17, "udp" },
	{ 33, "dccp" }, { 41, "ipv6" }, { 47, "gre" }, { 50, "esp" }, { 51, "ah" }, { 58, "ipv6-icmp" },
	{ 59, "ipv6-nonxt" }, { 88, "eigrp" }, { 89, "ospfigp" }, { 103, "pim" }, { 112, "vrrp" },
	{ 115, "l2tp" }, { 132, "sctp" }, { 136, "udplite" }, { 137, "mpls-in-ip" }, { 61, NULL },
	{ 253, NULL }, { 255, NULL },
};

static void protocols_bear_ianas_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(protocols); i++)
		strings_equal(pm_protocol_name(protocols[i].protocol), protocols[i].name);
}

static void no_protocol_shares_its_name_or_has_capitals(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 256; a++) {
		const char *name = pm_protocol_name((uint8_t)a);

		for (const char *c = name; c && *c; c++)
			assert_false(*c >= 'A' && *c <= 'Z');
		for (unsigned b = 0; name && b < a; b++)
			if (pm_protocol_name((uint8_t)b))
				assert_string_not_equal(name, pm_protocol_name((uint8_t)b));
	}
}

static int port_comes_before(const struct pm_port_row *a, const struct pm_port_row *b)
{
	uint64_t x = a->src.bytes + a->dst.bytes + a->as_service.bytes;
	uint64_t y = b->src.bytes + b->dst.bytes + b->as_service.bytes;
	int order = strcmp(pm_transport_name((enum pm_transport)a->transport),
			   pm_transport_name((enum pm_transport)b->transport));

	return x != y ? x > y : order ? order < 0
				      : a->port < b->port;
}

/* Every port of three transports, many of equal bytes, some of very many. */
static void rows_of_all_ports_stand_in_order(void **state)
{
	static const enum pm_transport transports[] = { PM_TRANSPORT_UDPLITE, PM_TRANSPORT_TCP,
							PM_TRANSPORT_DCCP };
	struct pm_tally *tally = tally_new();
	struct pm_record *record;
	uint64_t bytes = 0;

	(void)state;
	for (uint32_t i = 0; i < 3 * PM_PORTS; i++) {
		uint32_t port = i * 7919 % PM_PORTS;

		count(tally, transports[i % 3], (uint16_t)port, (uint16_t)(port ^ 1),
		      port % 5 ? 60 + port % 3 : UINT32_MAX - port);
	}
	record = record_of(tally);
	assert_true(record->n_ports > 2 * PM_PORTS);
	for (size_t i = 0; i < record->n_ports; i++) {
		if (i)
			assert_true(port_comes_before(&record->ports[i - 1], &record->ports[i]));
		bytes += record->ports[i].dst.bytes;
	}
	assert_true(bytes == record->totals.bytes);
	pm_record_free(record);
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(rows_of_all_ports_stand_in_order),
	cmocka_unit_test(an_empty_tally_gives_an_empty_record),
	cmocka_unit_test(ports_are_sorted_by_bytes_then_transport_then_port),
	cmocka_unit_test(services_are_sorted_by_bytes_then_transport_then_name),
	cmocka_unit_test(transports_of_equal_bytes_are_sorted_by_name),
	cmocka_unit_test(reasons_are_sorted_by_bytes_then_name_then_protocol),
	cmocka_unit_test(a_service_names_the_ports_that_carried_it_rising),
	cmocka_unit_test(a_port_knows_its_label_and_metric),
	cmocka_unit_test(a_service_knows_its_conversations),
	cmocka_unit_test(a_run_without_conversations_has_none_of_their_figures),
	cmocka_unit_test(services_without_room_for_addresses_are_numbered),
	cmocka_unit_test(records_added_up_are_the_record_of_all),
	cmocka_unit_test(a_sum_keeps_its_names_when_the_rules_go),
	cmocka_unit_test(ranges_are_those_of_rfc_6335),
	cmocka_unit_test(facets_bear_the_names_of_the_record_in_their_order),
	cmocka_unit_test(protocols_bear_ianas_names),
	cmocka_unit_test(no_protocol_shares_its_name_or_has_capitals),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(cuts) + COUNT(others)];

	for (size_t i = 0; i < COUNT(cuts); i++)
		tests[i] = (struct CMUnitTest){ cuts[i].name, cut_case_holds, NULL, NULL,
						(void *)(uintptr_t)&cuts[i] };
	memcpy(tests + COUNT(cuts), others, sizeof others);
	return _cmocka_run_group_tests("summary", tests, COUNT(tests), load, unload);
}
