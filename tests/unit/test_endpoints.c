/* SPDX-License-Identifier: MIT */
/*
 * Counting by endpoint: against a plain list that forgets nothing, split among tallies in any way,
 * and with more endpoints than are kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/meter.h"
#include "portmeter/summary.h"
#include "sums.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MANY 65536

static const struct pm_source source = { .name = "test", .files = 1, .snaplen = -1 };
static struct pm_rules *rules;

static int load(void **state)
{
	(void)state;
	rules = traffic_rules("alpha 53/udp/tcp\nbeta 80/tcp\nntp 123/udp\n"
			      "inside 53/udp host=192.0.2.0/24\nsix 53/udp host=2001:db8::/32\n",
			      1);
	return rules ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

static struct pm_tally *tally_new(size_t limit)
{
	struct pm_tally *tally = NULL;

	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	if (limit)
		assert_int_equal(pm_tally_by_endpoint(tally, limit), PM_OK);
	return tally;
}

/* As the engine counts a packet. */
static struct pm_decision count(struct pm_tally *tally, const struct pm_packet *packet,
				uint32_t wire)
{
	struct pm_tally_entry entry = { packet->src_port, packet->dst_port,
					pm_side_decide(rules, packet), wire, packet->transport };

	pm_tally_frame(tally, packet->ip_version, wire);
	pm_tally_ports(tally, &entry, 1);
	pm_tally_endpoint(tally, &entry, packet->ip_version, &packet->src, &packet->dst);
	return entry.decision;
}

/* Of documentation addresses: @src and @dst are the last numbers. */
static struct pm_packet udp4(uint8_t src, uint16_t src_port, uint8_t dst, uint16_t dst_port)
{
	return (struct pm_packet){ .verdict = PM_VERDICT_PORTS,
				   .ip_version = 4,
				   .transport = PM_TRANSPORT_UDP,
				   .src_port = src_port,
				   .dst_port = dst_port,
				   .src = { { 198, 51, 100, src } },
				   .dst = { { 198, 51, 100, dst } } };
}

static struct pm_record *record_of(struct pm_tally *tally)
{
	struct pm_record *record = NULL;
	const char *problem;

	assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
	problem = sums_problem(record);
	if (problem)
		fail_msg("%s", problem);
	return record;
}

/* What one frame adds to which endpoint. */
struct frame_case {
	const char *name;
	struct pm_packet packet;
	int port; /* of its row; -1: it is in none */
	uint8_t last; /* byte of the row's address */
	char way; /* 't'o, 'f'rom, 's'ymmetric */
	const char *service;
};

#define PACKET(version, kind, from, to, ...)                                                  \
	{ .verdict = PM_VERDICT_PORTS, .ip_version = version, .transport = PM_TRANSPORT_##kind, \
	  .src_port = from, .dst_port = to, __VA_ARGS__ }
#define HOSTS4 .src = { { 198, 51, 100, 1 } }, .dst = { { 198, 51, 100, 2 } }

static const struct frame_case frames[] = {
	{ "a request counts to its destination", PACKET(4, UDP, 40000, 53, HOSTS4), 53, 2, 't', "alpha" },
	{ "a reply counts from its source", PACKET(4, UDP, 53, 40000, HOSTS4), 53, 1, 'f', "alpha" },
	{ "a symmetric frame counts to its destination", PACKET(4, UDP, 123, 123, HOSTS4), 123, 2, 's',
	  "ntp" },
	{ "a symmetric frame without a label does too", PACKET(4, UDP, 9000, 9000, HOSTS4), 9000, 2,
	  's', NULL },
	{ "a sideless frame has no endpoint", PACKET(4, UDP, 9000, 9001, HOSTS4), -1, 0, 0, NULL },
	{ "udp without a source port counts to its destination", PACKET(4, UDP, 0, 7000, HOSTS4), 7000,
	  2, 't', NULL },
	{ "port 0 is no endpoint", PACKET(4, TCP, 0, 0, HOSTS4), -1, 0, 0, NULL },
	{ "an endpoint without a label has a row", PACKET(4, TCP, 40000, 9000, HOSTS4), 9000, 2, 't',
	  NULL },
	{ "the label is the one of the address",
	  PACKET(4, UDP, 40000, 53, .src = { { 198, 51, 100, 1 } }, .dst = { { 192, 0, 2, 7 } }),
	  53, 7, 't', "inside" },
	{ "the label of IPv6 is the one of the address",
	  PACKET(6, UDP, 53, 40000, .src = { { 0x20, 1, 0xd, 0xb8, [15] = 9 } }), 53, 9, 'f', "six" },
	{ "IPv6 beyond the host has the other label",
	  PACKET(6, UDP, 53, 40000, .src = { { 0x20, 1, 0xd, 0xb9, [15] = 9 } }), 53, 9, 'f', "alpha" },
};

static void count_is(struct pm_count count, bool one)
{
	assert_int_equal(count.packets, one);
	assert_int_equal(count.bytes, one ? 77 : 0);
}

static void frame_case_holds(void **state)
{
	const struct frame_case *row = *state;
	struct pm_tally *tally = tally_new(MANY);
	struct pm_decision decision = count(tally, &row->packet, 77);
	struct pm_record *record = record_of(tally);
	const struct pm_endpoint_row *got = record->endpoints;

	assert_true(record->by_endpoint);
	assert_int_equal(record->n_endpoints, row->port >= 0);
	count_is(record->endpoints_other.count, row->port < 0);
	assert_int_equal(record->endpoints_other.endpoints, 0);
	if (row->port >= 0) {
		assert_int_equal(got->port, row->port);
		assert_int_equal(got->transport, row->packet.transport);
		assert_int_equal(got->ip_version, row->packet.ip_version);
		assert_int_equal(got->address.bytes[row->packet.ip_version == 4 ? 3 : 15],
				 row->last);
		count_is(got->to_service, row->way == 't');
		count_is(got->from_service, row->way == 'f');
		count_is(got->symmetric, row->way == 's');
		assert_false(got->at_least);
		assert_int_equal(got->service == NULL, row->service == NULL);
		if (row->service)
			assert_string_equal(got->service, row->service);
		/* and it is the one that the frame counts for */
		assert_ptr_equal(got->service, pm_rules_name(rules, decision.service));
	}
	pm_record_free(record);
	pm_tally_free(tally);
}

/* Numerical Recipes' generator: the same on every machine. */
static uint32_t next(uint32_t *random)
{
	*random = *random * UINT32_C(1664525) + UINT32_C(1013904223);
	return *random >> 8;
}

/* Few servers with much traffic, and many with little; both IP versions, all transports. */
static struct pm_packet random_packet(uint32_t *random, uint32_t hosts)
{
	static const uint16_t ports[] = { 53, 80, 123, 9000, 0, 9001 };
	uint32_t host = next(random) % hosts, way = next(random) % 8;
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS,
				    .ip_version = next(random) % 3 ? 4 : 6,
				    .transport = (uint8_t)(next(random) % PM_TRANSPORT_N) };
	struct pm_address server = { { 10, 0, (uint8_t)(host >> 8), (uint8_t)host } };
	struct pm_address client = { { 203, 0, 113, (uint8_t)next(random) } };

	if (next(random) % 2) {
		server.bytes[1] = server.bytes[2] = 0;
		server.bytes[3] %= 8;
	}
	if (packet.ip_version == 6)
		server.bytes[15] = 1;
	packet.src = way < 4 ? client : server;
	packet.dst = way < 4 ? server : client;
	packet.src_port = packet.dst_port = ports[next(random) % COUNT(ports)];
	if (way < 3)
		packet.src_port = (uint16_t)(40000 + next(random) % 1000);
	else if (way > 4)
		packet.dst_port = (uint16_t)(40000 + next(random) % 1000);
	return packet;
}

/* The plain list: rows as they come, each found by looking at all. */
struct list {
	struct pm_endpoint *rows;
	size_t n, room;
	struct pm_count sideless;
};

static bool same_endpoint(const struct pm_endpoint *a, const struct pm_address *address,
			  uint16_t port, uint8_t transport, uint8_t version)
{
	return a->port == port && a->transport == transport && a->ip_version == version &&
	       memcmp(&a->address, address, sizeof *address) == 0;
}

static struct pm_endpoint *list_find(const struct list *list, const struct pm_address *address,
				     uint16_t port, uint8_t transport, uint8_t version)
{
	for (size_t i = 0; i < list->n; i++)
		if (same_endpoint(&list->rows[i], address, port, transport, version))
			return &list->rows[i];
	return NULL;
}

static void list_count(struct list *list, const struct pm_packet *packet,
		       struct pm_decision decision, uint32_t wire)
{
	struct pm_count one = { 1, wire };
	bool from = decision.side == PM_SIDE_SRC;
	const struct pm_address *address = from ? &packet->src : &packet->dst;
	uint16_t port = from ? packet->src_port : packet->dst_port;
	struct pm_endpoint *row;

	if (decision.side == PM_SIDE_NONE) {
		pm_count_add(&list->sideless, one);
		return;
	}
	row = list_find(list, address, port, packet->transport, packet->ip_version);
	if (!row) {
		if (list->n == list->room) {
			list->room = list->room ? 2 * list->room : 64;
			list->rows = realloc(list->rows, list->room * sizeof *list->rows);
			assert_non_null(list->rows);
		}
		row = &list->rows[list->n++];
		*row = (struct pm_endpoint){ .address = *address, .port = port,
					     .transport = packet->transport,
					     .ip_version = packet->ip_version };
	}
	pm_count_add(decision.side == PM_SIDE_BOTH ? &row->symmetric
		     : from			   ? &row->from_service
						   : &row->to_service,
		     one);
}

/*
 * What is promised of a record, whatever was forgotten: a row that is not marked is exact, one that
 * is marked lacks so much at most, and so does all that has no row.
 */
static void promise_holds(const struct pm_record *record, const struct list *list)
{
	const struct pm_endpoints_other *other = &record->endpoints_other;
	uint64_t at_most = other->forgotten.at_most;
	size_t seen = 0;

	for (size_t i = 0; i < record->n_endpoints; i++) {
		const struct pm_endpoint_row *row = &record->endpoints[i];
		const struct pm_endpoint *truth = list_find(list, &row->address, row->port,
							    row->transport, row->ip_version);

		assert_non_null(truth);
		seen += pm_endpoint_count(truth).bytes > at_most;
		if (row->at_least) {
			assert_true(row->count.bytes <= pm_endpoint_count(truth).bytes);
			assert_true(row->count.bytes + at_most >= pm_endpoint_count(truth).bytes);
			continue;
		}
		assert_true(sums_equal(row->to_service, truth->to_service));
		assert_true(sums_equal(row->from_service, truth->from_service));
		assert_true(sums_equal(row->symmetric, truth->symmetric));
	}
	for (size_t i = 0; i < list->n; i++)
		seen -= pm_endpoint_count(&list->rows[i]).bytes > at_most;
	assert_int_equal(seen, 0); /* all above the bound have a row */
	assert_int_equal(other->endpoints, 0);
	assert_int_equal(other->count.packets,
			 other->forgotten.count.packets + list->sideless.packets);
	if (!other->forgotten.endpoints)
		assert_int_equal(record->n_endpoints, list->n);
	assert_int_equal(record->given_up.by_endpoint, other->forgotten.endpoints);
}

/* Random traffic, dealt out to several tallies, which are then added up. */
struct split_case {
	const char *name;
	uint32_t hosts; /* at most so many rows times transports, ports and versions */
	size_t limit;
	unsigned tallies;
	bool absorb, backwards, forgets;
};

static const struct split_case splits[] = {
	{ "one tally is what a plain list counts", 200, MANY, 1, false, false, false },
	{ "a table grows as endpoints are seen", 60000, MANY, 1, false, false, false },
	{ "two tallies merged are one", 200, MANY, 2, false, false, false },
	{ "seven tallies merged are one", 200, MANY, 7, false, false, false },
	{ "seven tallies merged backwards are one", 200, MANY, 7, false, true, false },
	{ "five tallies absorbed are one", 2000, MANY, 5, true, false, false },
	{ "five tallies absorbed backwards are one", 2000, MANY, 5, true, true, false },
	{ "what a full table forgets is bounded and told", 60000, 500, 1, false, false, true },
	{ "so it is in a table of two", 60000, 2, 1, false, false, true },
	{ "so it is in an odd one", 60000, 301, 1, false, false, true },
	{ "so it is when some are merged", 60000, 500, 3, false, false, true },
	{ "so it is when they fill the table together", 60000, 3000, 4, false, false, true },
	{ "so it is when some are absorbed", 60000, 500, 3, true, true, true },
};

static struct pm_tally *added_up(struct pm_tally *const *parts, const struct split_case *row)
{
	struct pm_tally *sum = tally_new(row->limit);

	for (unsigned i = 0; i < row->tallies; i++) {
		struct pm_tally *part = parts[row->backwards ? row->tallies - 1 - i : i];
		int r = row->absorb ? pm_tally_absorb(sum, part) : pm_tally_merge(sum, part);

		assert_int_equal(r, PM_OK);
	}
	return sum;
}

static void split_case_holds(void **state)
{
	const struct split_case *row = *state;
	struct pm_tally *parts[8], *sum;
	struct list list = { .n = 0 };
	struct pm_record *record;
	uint32_t random = 7;

	for (unsigned i = 0; i < row->tallies; i++)
		parts[i] = tally_new(row->limit);
	for (int i = 0; i < 12000; i++) {
		struct pm_packet packet = random_packet(&random, row->hosts);
		uint32_t wire = 60 + next(&random) % 1440;
		struct pm_tally *tally = parts[next(&random) % row->tallies];

		list_count(&list, &packet, count(tally, &packet, wire), wire);
	}
	sum = added_up(parts, row);
	record = record_of(sum);
	assert_true(list.n > (row->hosts > 500 ? 3000 : 500));
	assert_true(record->n_endpoints <= row->limit);
	assert_int_equal(record->endpoints_other.forgotten.endpoints != 0, row->forgets);
	promise_holds(record, &list);
	pm_record_free(record);
	pm_tally_free(sum);
	for (unsigned i = 0; i < row->tallies; i++)
		pm_tally_free(parts[i]);
	free(list.rows);
}

/* So that a record does not tell which thread counted what. */
static void rows_are_the_same_however_frames_are_split(void **state)
{
	struct pm_record *first = NULL;

	(void)state;
	for (unsigned tallies = 1; tallies <= 6; tallies++) {
		struct split_case row = { .limit = MANY, .tallies = tallies, .absorb = tallies % 2,
					  .backwards = tallies > 3 };
		struct pm_tally *parts[6], *sum;
		struct pm_record *record;
		uint32_t random = 11, other = tallies;

		for (unsigned i = 0; i < tallies; i++)
			parts[i] = tally_new(MANY);
		for (int i = 0; i < 8000; i++) {
			struct pm_packet packet = random_packet(&random, 3000);

			/* equal lengths, so that many rows differ in their names alone */
			count(parts[next(&other) % tallies], &packet, 100);
		}
		sum = added_up(parts, &row);
		record = record_of(sum);
		if (first) {
			assert_int_equal(record->n_endpoints, first->n_endpoints);
			for (size_t i = 0; i < first->n_endpoints; i++)
				assert_memory_equal(&record->endpoints[i].address,
						    &first->endpoints[i].address,
						    sizeof record->endpoints[i].address);
			for (size_t i = 0; i < first->n_endpoints; i++)
				assert_true(sums_equal(record->endpoints[i].count,
						       first->endpoints[i].count));
			pm_record_free(record);
		} else {
			first = record;
		}
		pm_tally_free(sum);
		for (unsigned i = 0; i < tallies; i++)
			pm_tally_free(parts[i]);
	}
	pm_record_free(first);
}

/* The hash key is another each time; what gives way must not be. */
static void what_is_forgotten_depends_on_the_frames_alone(void **state)
{
	struct pm_record *records[2];

	(void)state;
	for (size_t r = 0; r < 2; r++) {
		struct pm_tally *tally = tally_new(100);
		uint32_t random = 5;

		for (int i = 0; i < 5000; i++) {
			struct pm_packet packet = random_packet(&random, 3000);

			count(tally, &packet, 100);
		}
		records[r] = record_of(tally);
		pm_tally_free(tally);
	}
	assert_int_equal(records[0]->n_endpoints, records[1]->n_endpoints);
	assert_memory_equal(&records[0]->endpoints_other, &records[1]->endpoints_other,
			    sizeof records[0]->endpoints_other);
	for (size_t i = 0; i < records[0]->n_endpoints; i++) {
		const struct pm_endpoint_row *a = &records[0]->endpoints[i];
		const struct pm_endpoint_row *b = &records[1]->endpoints[i];

		assert_memory_equal(&a->address, &b->address, sizeof a->address);
		assert_int_equal(a->port, b->port);
		assert_int_equal(a->at_least, b->at_least);
		assert_true(sums_equal(a->count, b->count));
	}
	pm_record_free(records[0]);
	pm_record_free(records[1]);
}

static void a_full_table_keeps_the_larger_half(void **state)
{
	struct pm_tally *tally = tally_new(4);
	struct pm_record *record;

	(void)state;
	for (uint8_t host = 1; host <= 4; host++) {
		struct pm_packet packet = udp4(99, 40000, host, 53);

		count(tally, &packet, 100u * host);
	}
	for (int i = 0; i < 2; i++) { /* a fifth one; then the second comes back */
		struct pm_packet packet = udp4(99, 40000, i ? 2 : 5, 53);

		count(tally, &packet, 10);
	}
	record = record_of(tally);
	assert_int_equal(record->n_endpoints, 4);
	for (size_t i = 0; i < 4; i++) {
		static const uint8_t hosts[] = { 4, 3, 2, 5 };

		assert_int_equal(record->endpoints[i].address.bytes[3], hosts[i]);
		assert_int_equal(record->endpoints[i].at_least, i >= 2);
	}
	assert_int_equal(record->endpoints_other.forgotten.endpoints, 2);
	assert_int_equal(record->endpoints_other.forgotten.count.bytes, 300);
	assert_int_equal(record->endpoints_other.forgotten.at_most, 200);
	pm_record_free(record);
	pm_tally_free(tally);
}

/* Of equal bytes, the name decides: transport, port, IP version, address. */
static void of_equal_endpoints_the_first_by_name_stays(void **state)
{
	static const struct pm_packet order[] = {
		PACKET(4, TCP, 40000, 90, HOSTS4),
		PACKET(4, UDP, 40000, 80, .dst = { { 1 } }),
		PACKET(4, UDP, 40000, 80, .dst = { { 2 } }),
		PACKET(6, UDP, 40000, 80, .dst = { { 1 } }),
		PACKET(4, UDP, 40000, 81, .dst = { { 1 } }),
		PACKET(4, SCTP, 40000, 70, HOSTS4),
	};
	struct pm_packet more = udp4(1, 40000, 2, 1);

	(void)state;
	for (size_t a = 0; a < COUNT(order); a++)
		for (size_t b = 0; b < COUNT(order); b++) {
			const struct pm_packet *stays = &order[a < b ? a : b];
			struct pm_tally *tally;
			struct pm_endpoints_view view;

			if (a == b)
				continue;
			tally = tally_new(2);
			count(tally, &order[a], 100);
			count(tally, &order[b], 100);
			count(tally, &more, 50);
			assert_true(pm_tally_endpoints(tally, &view));
			assert_int_equal(view.n, 2);
			assert_int_equal(view.rows[0].port, stays->dst_port);
			assert_int_equal(view.rows[0].ip_version, stays->ip_version);
			assert_memory_equal(&view.rows[0].address, &stays->dst,
					    sizeof view.rows[0].address);
			pm_tally_free(tally);
		}
}

/* A row that one tally alone holds may be among what the other has forgotten. */
static void a_merged_row_is_marked_if_the_other_side_forgot(void **state)
{
	struct pm_tally *a = tally_new(2), *b = tally_new(2);
	struct pm_record *record;

	(void)state;
	for (uint8_t host = 1; host <= 3; host++) { /* the first is forgotten */
		struct pm_packet packet = udp4(99, 40000, host, 53);

		count(b, &packet, 100u * host);
	}
	for (uint8_t host = 1; host <= 2; host++) {
		struct pm_packet packet = udp4(99, 40000, host, 53);

		count(a, &packet, 1000u * host);
	}
	assert_int_equal(pm_tally_merge(a, b), PM_OK);
	record = record_of(a); /* the third, 300, is forgotten by the merge */
	assert_int_equal(record->n_endpoints, 2);
	assert_int_equal(record->endpoints[0].count.bytes, 2200);
	assert_false(record->endpoints[0].at_least);
	assert_int_equal(record->endpoints[1].count.bytes, 1000);
	assert_true(record->endpoints[1].at_least);
	assert_int_equal(record->endpoints_other.forgotten.endpoints, 2);
	assert_int_equal(record->endpoints_other.forgotten.count.bytes, 400);
	assert_int_equal(record->endpoints_other.forgotten.at_most, 400);
	pm_record_free(record);
	pm_tally_free(a);
	pm_tally_free(b);
}

static void a_reset_tally_has_no_endpoints_and_counts_on(void **state)
{
	struct pm_tally *tally = tally_new(8);
	struct pm_endpoints_view view;
	struct pm_record *record;
	struct pm_packet packet = udp4(1, 40000, 2, 53), sideless = udp4(1, 9000, 2, 9001);

	(void)state;
	for (uint8_t host = 1; host < 100; host++) {
		struct pm_packet more = udp4(1, 40000, host, 53);

		count(tally, &more, 100);
		count(tally, &sideless, 100);
	}
	assert_int_equal(pm_tally_reset(tally, rules), PM_OK);
	assert_true(pm_tally_endpoints(tally, &view));
	assert_int_equal(view.n + view.sideless.packets + view.forgotten.endpoints +
				 view.forgotten.count.packets + view.forgotten.at_most,
			 0);
	count(tally, &packet, 100);
	record = record_of(tally);
	assert_int_equal(record->n_endpoints, 1);
	assert_false(record->endpoints[0].at_least);
	pm_record_free(record);
	pm_tally_free(tally);
}

static void endpoints_are_counted_only_where_they_are_wanted(void **state)
{
	struct pm_tally *with = tally_new(8), *without = tally_new(0);
	struct pm_endpoints_view view;
	struct pm_record *record = record_of(without);

	(void)state;
	assert_false(pm_tally_endpoints(without, &view));
	assert_null(view.rows);
	assert_false(record->by_endpoint);
	assert_int_equal(pm_tally_merge(with, without), PM_E_INVALID);
	assert_int_equal(pm_tally_merge(without, with), PM_E_INVALID);
	assert_int_equal(pm_tally_absorb(with, without), PM_E_INVALID);
	assert_int_equal(with->merged, 1);
	assert_int_equal(pm_tally_by_endpoint(with, 8), PM_E_INVALID); /* it does */
	assert_int_equal(pm_tally_by_endpoint(without, 0), PM_E_INVALID);
	assert_int_equal(pm_tally_by_endpoint(without, 1), PM_E_INVALID);
	assert_int_equal(pm_tally_by_endpoint(without, 2), PM_OK);
	pm_record_free(record);
	pm_tally_free(with);
	pm_tally_free(without);
}

/* Bytes falling, then transport, port, IP version, address. */
static void rows_stand_in_a_total_order(void **state)
{
	static const struct {
		struct pm_packet packet;
		uint32_t wire;
	} order[] = {
		{ PACKET(4, UDP, 0, 900, HOSTS4), 200 },
		{ PACKET(4, DCCP, 40000, 9, HOSTS4), 100 },
		{ PACKET(4, TCP, 40000, 9, .dst = { { 9 } }), 100 },
		{ PACKET(4, TCP, 40000, 10, .dst = { { 1 } }), 100 },
		{ PACKET(4, TCP, 40000, 10, .dst = { { 1, 0, 0, 1 } }), 100 },
		{ PACKET(4, TCP, 40000, 10, .dst = { { 200 } }), 100 },
		{ PACKET(6, TCP, 40000, 10, .dst = { { 1 } }), 100 },
		{ PACKET(4, UDPLITE, 40000, 9, HOSTS4), 100 },
		{ PACKET(4, UDPLITE, 40000, 9, .dst = { { 199 } }), 99 },
	};

	(void)state;
	for (size_t first = 0; first < COUNT(order); first++) {
		struct pm_tally *tally = tally_new(MANY);
		struct pm_record *record;

		for (size_t i = 0; i < COUNT(order); i++) {
			size_t at = (first + i * 2) % COUNT(order); /* an odd number of them */

			count(tally, &order[at].packet, order[at].wire);
		}
		record = record_of(tally);
		assert_int_equal(record->n_endpoints, COUNT(order));
		for (size_t i = 0; i < COUNT(order); i++) {
			const struct pm_endpoint_row *row = &record->endpoints[i];

			assert_int_equal(row->transport, order[i].packet.transport);
			assert_int_equal(row->port, order[i].packet.dst_port);
			assert_int_equal(row->ip_version, order[i].packet.ip_version);
			assert_memory_equal(&row->address, &order[i].packet.dst,
					    sizeof row->address);
		}
		pm_record_free(record);
		pm_tally_free(tally);
	}
}

static void a_record_is_cut_to_the_busiest(void **state)
{
	static const struct {
		size_t top, kept;
	} cuts[] = { { 1, 1 }, { 7, 7 }, { 199, 199 }, { 201, 200 }, { 0, PM_ENDPOINTS_TOP } };

	(void)state;
	for (size_t i = 0; i < COUNT(cuts); i++) {
		struct pm_tally *tally = tally_new(MANY);
		struct pm_record *record;

		for (uint8_t host = 0; host < 200; host++) {
			struct pm_packet packet = udp4(250, 40000, host, 53);

			count(tally, &packet, 1000u - host);
		}
		record = record_of(tally);
		pm_record_cut(record, cuts[i].top, false);
		assert_null(sums_problem(record));
		assert_int_equal(record->n_endpoints, cuts[i].kept);
		assert_int_equal(record->endpoints_other.endpoints, 200 - cuts[i].kept);
		assert_int_equal(record->endpoints_other.count.packets, 200 - cuts[i].kept);
		for (size_t at = 0; at < record->n_endpoints; at++)
			assert_int_equal(record->endpoints[at].address.bytes[3], at);
		pm_record_free(record);
		pm_tally_free(tally);
	}
}

static void a_sum_has_the_frames_of_all_endpoints_and_no_rows(void **state)
{
	struct pm_record *sum = NULL, *record;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct pm_tally *tally = tally_new(4);

		for (uint8_t host = 0; host < 5; host++) {
			struct pm_packet packet = udp4(250, 40000, host, 53);

			count(tally, &packet, 100);
		}
		record = record_of(tally);
		assert_int_equal(pm_record_add(&sum, record), PM_OK);
		assert_null(sums_problem(sum));
		pm_record_free(record);
		pm_tally_free(tally);
	}
	assert_true(sum->by_endpoint);
	assert_int_equal(sum->n_endpoints, 0);
	assert_int_equal(sum->endpoints_other.count.packets, 15);
	assert_int_equal(sum->endpoints_other.forgotten.endpoints, 6);
	assert_int_equal(sum->endpoints_other.forgotten.at_most, 300);
	assert_int_equal(sum->given_up.by_endpoint, 6);
	pm_record_free(sum);
}

/* The engine: what becomes of frames, by endpoint. */
struct bench {
	struct pm_meter *meter;
	struct pm_record *record;
};

static void on_closed(void *ctx)
{
	struct bench *b = ctx;
	struct pm_tally *tally = pm_meter_take(b->meter);

	assert_non_null(tally);
	assert_null(b->record);
	b->record = record_of(tally);
	pm_meter_give(b->meter, tally);
}

static void bench_init(struct bench *b, const struct pm_tunnels *tunnels)
{
	struct pm_meter_options options = { .rules = rules, .by_endpoint = MANY, .tunnels = tunnels,
					    .closed = on_closed, .ctx = b };

	memset(b, 0, sizeof *b);
	assert_int_equal(pm_meter_new(&options, &b->meter), PM_OK);
}

static void row_is(const struct pm_endpoint_row *row, const char *address, uint16_t port,
		   uint64_t packets)
{
	char text[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(row->ip_version, &row->address, text);
	assert_string_equal(text, address);
	assert_int_equal(row->port, port);
	assert_int_equal(row->count.packets, packets);
}

static void bench_free(struct bench *b)
{
	pm_record_free(b->record);
	pm_meter_free(b->meter);
}

/* A plain frame, and two that follow their first fragment, one of which had to wait for it. */
static void a_fragment_counts_for_the_endpoint_of_its_first(void **state)
{
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, 17, 40000, 53, SECOND);
	struct bench b;

	(void)state;
	bench_init(&b, NULL);
	pm_meter_frame(b.meter, &frame);
	traffic_fragment(bytes, 1, 2, false);
	pm_meter_frame(b.meter, &frame);
	traffic_fragment(bytes, 1, 0, true);
	pm_meter_frame(b.meter, &frame);
	traffic_fragment(bytes, 1, 1, true);
	pm_meter_frame(b.meter, &frame);
	traffic_fragment(bytes, 2, 1, true); /* an orphan */
	pm_meter_frame(b.meter, &frame);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.record->n_endpoints, 1);
	row_is(&b.record->endpoints[0], "198.51.100.2", 53, 4);
	assert_int_equal(b.record->endpoints_other.count.packets, 0);
	bench_free(&b);
}

/* Two pieces of an IPv4 datagram with another one in it. */
struct pieces {
	uint8_t whole[20 + TRAFFIC_SIZE], piece[TRAFFIC_SIZE];
	struct pm_frame first, later;
};

static void pieces_make(struct pieces *p, bool from)
{
	p->first = traffic_ip4(p->whole, 4, 0, 0, SECOND);
	p->later = traffic_ip4(p->piece, 4, 0, 0, SECOND);
	traffic_ip4(p->whole + 20, 17, from ? 53 : 40000, from ? 40000 : 53, SECOND);
	p->whole[20 + (from ? 15 : 19)] = 77; /* who serves */
	put16(p->whole + 2, sizeof p->whole);
	p->first.held = p->first.wire = sizeof p->whole;
	traffic_fragment(p->whole, 1, 0, true);
	traffic_fragment(p->piece, 1, 5, false);
}

static void a_piece_of_a_tunnel_counts_for_the_endpoint_inside(void **state)
{
	struct pm_tunnels *tunnels;
	struct pieces p;
	struct bench b;

	(void)state;
	assert_int_equal(pm_tunnels_new(&tunnels), PM_OK);
	for (int i = 0; i < 4; i++) {
		bool from = i & 1, turned = i & 2;

		pieces_make(&p, from);
		bench_init(&b, tunnels);
		pm_meter_frame(b.meter, turned ? &p.later : &p.first);
		pm_meter_frame(b.meter, turned ? &p.first : &p.later);
		pm_meter_finish(b.meter, 0, true);
		assert_int_equal(b.record->n_endpoints, 1);
		row_is(&b.record->endpoints[0], from ? "192.0.2.77" : "198.51.100.77", 53, 2);
		bench_free(&b);
	}
	pm_tunnels_free(tunnels);
}

/* New rules that are bound to a host: they decide by the one inside, not by the tunnel's. */
static void a_piece_of_a_tunnel_is_decided_again_by_what_is_inside(void **state)
{
	struct pm_rules *inside = traffic_rules("omega 40000/udp host=192.0.2.1\n"
						"outside 53/udp host=198.51.100.2\n"
						"deep 53/udp host=198.51.100.77 priority=90\n",
						2);
	struct pm_tunnels *tunnels;
	struct pieces p;
	struct bench b;

	(void)state;
	assert_non_null(inside);
	assert_int_equal(pm_tunnels_new(&tunnels), PM_OK);
	pieces_make(&p, false);
	bench_init(&b, tunnels);
	pm_meter_frame(b.meter, &p.first);
	pm_meter_set_rules(b.meter, inside, PM_TIME_MIN);
	pm_meter_cut(b.meter, SECOND);
	pm_record_free(b.record);
	b.record = NULL;
	pm_meter_frame(b.meter, &p.later);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.record->n_services, 1);
	assert_string_equal(b.record->services[0].service, "deep");
	row_is(&b.record->endpoints[0], "198.51.100.77", 53, 1);
	assert_string_equal(b.record->endpoints[0].service, "deep");
	bench_free(&b);
	pm_rules_unref(inside);
	pm_tunnels_free(tunnels);
}

/* New rules name it anew; where it is stays as the first fragment decided. */
static void a_fragment_behind_new_rules_counts_for_the_same_endpoint(void **state)
{
	struct pm_rules *renamed = traffic_rules("omega 40000/udp priority=90\n"
						 "beta 53/udp host=198.51.100.2\n",
						 2);
	uint8_t bytes[TRAFFIC_SIZE];
	struct pm_frame frame = traffic_ip4(bytes, 17, 40000, 53, SECOND);
	struct bench b;

	(void)state;
	assert_non_null(renamed);
	bench_init(&b, NULL);
	traffic_fragment(bytes, 1, 0, true);
	pm_meter_frame(b.meter, &frame);
	pm_meter_set_rules(b.meter, renamed, PM_TIME_MIN);
	pm_meter_cut(b.meter, SECOND);
	row_is(&b.record->endpoints[0], "198.51.100.2", 53, 1);
	assert_string_equal(b.record->endpoints[0].service, "alpha");
	pm_record_free(b.record);
	b.record = NULL;
	traffic_fragment(bytes, 1, 1, false);
	pm_meter_frame(b.meter, &frame);
	pm_meter_finish(b.meter, 0, true);
	assert_int_equal(b.record->n_endpoints, 1);
	row_is(&b.record->endpoints[0], "198.51.100.2", 53, 1);
	assert_string_equal(b.record->endpoints[0].service, "beta");
	bench_free(&b);
	pm_rules_unref(renamed);
}

static void addresses_are_written_as_is_usual(void **state)
{
	static const struct {
		int version;
		struct pm_address address;
		const char *text;
	} cases[] = {
		{ 4, { { 192, 0, 2, 255 } }, "192.0.2.255" },
		{ 4, { { 0 } }, "0.0.0.0" },
		{ 6, { { 0 } }, "::" },
		{ 6, { { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 1 } }, "2001:db8:0:1::1" },
		{ 6, { { 0xfe, 0x80, [8] = 0x0a, [14] = 0xbe, [15] = 0xef } }, "fe80::a00:0:0:beef" },
		{ 0, { { 1 } }, "" },
	};
	char text[PM_ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		pm_address_text(cases[i].version, &cases[i].address, text);
		assert_string_equal(text, cases[i].text);
	}
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(rows_are_the_same_however_frames_are_split),
	cmocka_unit_test(what_is_forgotten_depends_on_the_frames_alone),
	cmocka_unit_test(a_full_table_keeps_the_larger_half),
	cmocka_unit_test(of_equal_endpoints_the_first_by_name_stays),
	cmocka_unit_test(a_merged_row_is_marked_if_the_other_side_forgot),
	cmocka_unit_test(a_reset_tally_has_no_endpoints_and_counts_on),
	cmocka_unit_test(endpoints_are_counted_only_where_they_are_wanted),
	cmocka_unit_test(rows_stand_in_a_total_order),
	cmocka_unit_test(a_record_is_cut_to_the_busiest),
	cmocka_unit_test(a_sum_has_the_frames_of_all_endpoints_and_no_rows),
	cmocka_unit_test(a_fragment_counts_for_the_endpoint_of_its_first),
	cmocka_unit_test(a_piece_of_a_tunnel_counts_for_the_endpoint_inside),
	cmocka_unit_test(a_piece_of_a_tunnel_is_decided_again_by_what_is_inside),
	cmocka_unit_test(a_fragment_behind_new_rules_counts_for_the_same_endpoint),
	cmocka_unit_test(addresses_are_written_as_is_usual),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(frames) + COUNT(splits) + COUNT(others)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(frames); i++)
		tests[n++] = (struct CMUnitTest){ frames[i].name, frame_case_holds, NULL, NULL,
						  (void *)(uintptr_t)&frames[i] };
	for (size_t i = 0; i < COUNT(splits); i++)
		tests[n++] = (struct CMUnitTest){ splits[i].name, split_case_holds, NULL, NULL,
						  (void *)(uintptr_t)&splits[i] };
	memcpy(tests + n, others, sizeof others);
	return _cmocka_run_group_tests("endpoints", tests, COUNT(tests), load, unload);
}
