/* SPDX-License-Identifier: MIT */
/* The watch: what of each anomaly must be found, from which event on, and what stays silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/service.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MS (PM_NS_PER_S / 1000)
/* As docs/format.md has them. */
#define TARGETS 25
#define WINDOW (60 * PM_NS_PER_S)

enum {
	TCP = PM_TRANSPORT_TCP,
	UDP = PM_TRANSPORT_UDP,
};

static const char rules_text[] = "domain 53/tcp/udp\nhttp 80/tcp\nntp 123/udp\nhttps 443/tcp/udp\n"
				 "user 5000/tcp/udp\nftp-data 20/tcp initiates=yes\nbound 7000/tcp host=192.0.2.7\n";

static struct pm_rules *rules;

static int load(void **state)
{
	(void)state;
	rules = traffic_rules(rules_text, 1);
	return rules ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

struct fixture {
	struct pm_watch *watch;
	struct pm_evidence next; /* what the next event has, but for its number */
	uint64_t events;
	unsigned found[PM_ANOMALY_N];
	uint64_t first[PM_ANOMALY_N], last[PM_ANOMALY_N]; /* numbers of events */
	uint64_t digest; /* of all that was found, in its order */
	uint16_t client_port, server_port; /* of what was found last */
};

static void on_found(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence)
{
	struct fixture *f = ctx;

	if (f->found[anomaly]++ == 0)
		f->first[anomaly] = evidence->number;
	f->last[anomaly] = evidence->number;
	f->client_port = evidence->client_port;
	f->server_port = evidence->server_port;
	f->digest = f->digest * 31 + evidence->number * PM_ANOMALY_N + anomaly;
}

static void begin(struct fixture *f)
{
	struct pm_watch_options options = { .key = { 1, 2 }, .found = on_found, .ctx = f };

	memset(f, 0, sizeof *f);
	assert_int_equal(pm_watch_new(&options, &f->watch), PM_OK);
	f->next = (struct pm_evidence){ .ip_version = 4,
					.transport = TCP,
					.client_port = 40000,
					.server_port = 80,
					.time_ns = 1000 * PM_NS_PER_S };
	f->next.client = (struct pm_address){ { 192, 0, 2, 1 } };
	f->next.server = (struct pm_address){ { 198, 51, 100, 1 } };
}

/* Ends it: @anomaly alone was found, @n times, at first in event @first. */
static void end(struct fixture *f, enum pm_anomaly anomaly, unsigned n, uint64_t first)
{
	for (unsigned a = 0; a < PM_ANOMALY_N; a++)
		assert_int_equal(f->found[a], a == anomaly ? n : 0);
	if (n)
		assert_int_equal(f->first[anomaly], first);
	pm_watch_free(f->watch);
}

static void end_silent(struct fixture *f)
{
	end(f, PM_ANOMALY_N, 0, 0);
}

static void event(struct fixture *f, enum pm_event what)
{
	f->next.event = (uint8_t)what;
	f->next.number = ++f->events;
	pm_watch_event(f->watch, rules, &f->next);
}

static void pass(struct fixture *f, int64_t ns)
{
	f->next.time_ns += ns;
}

/* The @n-th of many hosts, of either version. */
static struct pm_address host(const struct fixture *f, unsigned n)
{
	struct pm_address address = { { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };

	if (f->next.ip_version == 6)
		address = (struct pm_address){
			{ 0x20, 0x01, 0x0d, 0xb8, [13] = (uint8_t)(n >> 16),
			  [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n }
		};
	return address;
}

/* @n attempts that fail, a millisecond apart, each on a port of its own. */
static void fail_ports(struct fixture *f, unsigned n, unsigned first_port, enum pm_event how)
{
	for (unsigned i = 0; i < n; i++) {
		f->next.server_port = (uint16_t)(first_port + i);
		event(f, how);
		pass(f, MS);
	}
}

static void fail_hosts(struct fixture *f, unsigned n, unsigned first_host, enum pm_event how)
{
	for (unsigned i = 0; i < n; i++) {
		f->next.server = host(f, first_host + i);
		event(f, how);
		pass(f, MS);
	}
}

static void many_ports_of_a_host_that_refuse_are_a_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	fail_ports(&f, 40, 1000, PM_EVENT_REFUSAL);
	end(&f, PM_ANOMALY_PORT_SCAN, 40 - TARGETS + 1, TARGETS);
}

/* By its port it is a service that opens; it scans all the same, and the example shows it so. */
static void a_scanner_on_the_port_of_a_service_is_found(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.next.turned = true;
	f.next.server = f.next.client;
	f.next.server_port = 20;
	for (unsigned i = 1; i <= 40; i++) {
		f.next.client = host(&f, i);
		f.next.client_port = 22;
		event(&f, i % 2 ? PM_EVENT_REFUSAL : PM_EVENT_UNANSWERED);
	}
	assert_int_equal(f.client_port, 20);
	assert_int_equal(f.server_port, 22);
	end(&f, PM_ANOMALY_PORT_SCAN, 40 - TARGETS + 1, TARGETS);
}

/* What counts as from the service was the first word; so it is a client that uses the port. */
static void a_datagram_from_a_service_port_that_comes_first_is_a_clients(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.next.transport = UDP;
	f.next.turned = true;
	f.next.server_port = 53;
	f.next.client_port = 123;
	event(&f, PM_EVENT_ATTEMPT);
	assert_int_equal(f.client_port, 53);
	end(&f, PM_ANOMALY_SERVICE_PORT, 1, 1);
}

static void many_hosts_that_do_not_answer_are_a_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	fail_hosts(&f, 40, 1, PM_EVENT_UNANSWERED);
	end(&f, PM_ANOMALY_PORT_SCAN, 40 - TARGETS + 1, TARGETS);
}

static void a_scan_over_ipv6_is_one(void **state)
{
	struct fixture f;

	(void)state;
	for (int hosts = 0; hosts < 2; hosts++) {
		begin(&f);
		f.next.ip_version = 6;
		f.next.client = host(&f, 1);
		f.next.server = host(&f, 2);
		if (hosts)
			fail_hosts(&f, TARGETS, 100, PM_EVENT_UNANSWERED);
		else
			fail_ports(&f, TARGETS, 1000, PM_EVENT_REFUSAL);
		end(&f, PM_ANOMALY_PORT_SCAN, 1, TARGETS);
	}
}

static void some_failures_are_no_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	fail_ports(&f, TARGETS - 1, 1000, PM_EVENT_REFUSAL);
	f.next.server_port = 22;
	fail_hosts(&f, TARGETS - 1, 10, PM_EVENT_UNANSWERED);
	end_silent(&f);
}

/* Of those who answer late it is told twice. */
static void slow_hosts_are_no_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 4 * TARGETS; i++) {
		f.next.server = host(&f, i);
		event(&f, PM_EVENT_LATE);
		event(&f, PM_EVENT_ANSWER);
	}
	end_silent(&f);
}

static void a_server_that_is_down_is_no_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 1000; i++) {
		f.next.client_port = (uint16_t)(40000 + i);
		event(&f, i % 2 ? PM_EVENT_REFUSAL : PM_EVENT_UNANSWERED);
		pass(&f, MS);
	}
	end_silent(&f);
}

static void targets_that_are_tried_again_count_once(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (int again = 0; again < 5; again++)
		fail_ports(&f, TARGETS - 1, 1000, PM_EVENT_REFUSAL);
	end_silent(&f);
}

static void each_source_scans_for_itself(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 10 * TARGETS; i++) {
		f.next.client = host(&f, i);
		f.next.server_port = (uint16_t)(1000 + i);
		event(&f, PM_EVENT_REFUSAL);
	}
	end_silent(&f);
}

static void peers_on_ports_of_their_own_are_no_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.next.client_port = 51413;
	for (unsigned i = 0; i < 500; i++) {
		f.next.server = host(&f, i);
		f.next.server_port = (uint16_t)(10000 + i * 7);
		event(&f, PM_EVENT_UNANSWERED);
	}
	end_silent(&f);
}

static void transports_are_scanned_apart(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	fail_ports(&f, TARGETS - 1, 1000, PM_EVENT_REFUSAL);
	f.next.transport = PM_TRANSPORT_SCTP;
	fail_ports(&f, TARGETS - 1, 2000, PM_EVENT_UNANSWERED);
	end_silent(&f);
}

static void failures_count_for_a_minute(void **state)
{
	struct fixture f;

	(void)state;
	/* The first and the last are a minute apart; and a nanosecond more. */
	for (int more = 0; more < 2; more++) {
		begin(&f);
		for (unsigned i = 0; i < TARGETS; i++) {
			f.next.server_port = (uint16_t)(1000 + i);
			event(&f, PM_EVENT_REFUSAL);
			pass(&f, WINDOW / (TARGETS - 1) + (more && i == 0));
		}
		if (more)
			end_silent(&f);
		else
			end(&f, PM_ANOMALY_PORT_SCAN, 1, TARGETS);
	}
}

static void a_scan_is_over_after_a_minute(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	fail_ports(&f, TARGETS, 1000, PM_EVENT_REFUSAL);
	pass(&f, WINDOW - MS);
	/* goes on, even with a target that was tried before */
	fail_ports(&f, 1, 1000, PM_EVENT_REFUSAL);
	assert_int_equal(f.found[PM_ANOMALY_PORT_SCAN], 2);
	pass(&f, WINDOW);
	fail_ports(&f, 1, 2000, PM_EVENT_REFUSAL);
	end(&f, PM_ANOMALY_PORT_SCAN, 2, TARGETS);
}

static void times_out_of_order_and_out_of_the_world_hide_no_scan(void **state)
{
	struct fixture f;
	int64_t start;

	(void)state;
	begin(&f);
	start = f.next.time_ns;
	for (unsigned i = 0; i < 2 * TARGETS; i++) {
		f.next.server_port = (uint16_t)(1000 + i);
		f.next.time_ns = i % 2 ? PM_TIME_MAX - i : PM_TIME_MIN + i;
		event(&f, PM_EVENT_REFUSAL);
	}
	f.found[PM_ANOMALY_PORT_SCAN] = 0;
	for (unsigned i = 0; i < TARGETS; i++) {
		f.next.server_port = (uint16_t)(2000 + i);
		f.next.time_ns = start - (int64_t)i * MS;
		event(&f, PM_EVENT_REFUSAL);
	}
	end(&f, PM_ANOMALY_PORT_SCAN, 1, 3 * TARGETS);
}

/* A gateway, a proxy, a crawler: many do not answer, but more do. */
static void who_mostly_succeeds_does_not_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 6000; i++) {
		f.next.server = host(&f, i);
		event(&f, PM_EVENT_ATTEMPT);
		event(&f, i % 5 ? PM_EVENT_ANSWER : PM_EVENT_REFUSAL);
		pass(&f, 20 * MS); /* ten failures a second, for two minutes */
	}
	end_silent(&f);
}

static void a_server_that_is_down_does_not_make_a_proxy_scan(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 100; i++)
		event(&f, PM_EVENT_ANSWER);
	for (unsigned i = 0; i < 1000; i++)
		event(&f, PM_EVENT_REFUSAL);
	fail_hosts(&f, 50, 1, PM_EVENT_UNANSWERED);
	end_silent(&f);
}

static void a_scan_that_finds_some_is_one(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 3 * TARGETS; i++) {
		f.next.server = host(&f, i);
		event(&f, i % 3 ? PM_EVENT_UNANSWERED : PM_EVENT_ANSWER);
		pass(&f, MS);
	}
	/* of three events one is an answer: the 25th failure comes with the 38th event */
	end(&f, PM_ANOMALY_PORT_SCAN, 2 * TARGETS - TARGETS + 1, 38);
}

static void an_outage_that_is_over_is_no_scan_any_more(void **state)
{
	struct fixture f;
	unsigned found;

	(void)state;
	begin(&f);
	fail_hosts(&f, TARGETS, 0, PM_EVENT_UNANSWERED);
	found = f.found[PM_ANOMALY_PORT_SCAN];
	assert_int_equal(found, 1);
	for (unsigned i = 0; i < 3 * TARGETS; i++)
		event(&f, PM_EVENT_ANSWER);
	fail_hosts(&f, TARGETS, 1000, PM_EVENT_UNANSWERED);
	end(&f, PM_ANOMALY_PORT_SCAN, found, TARGETS);
}

static void groups_are_no_scan(void **state)
{
	static const struct {
		uint8_t version, first;
	} groups[] = { { 4, 239 }, { 4, 224 }, { 6, 0xff } };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(groups); i++) {
		begin(&f);
		f.next.ip_version = groups[i].version;
		for (unsigned n = 0; n < 2 * TARGETS; n++) {
			f.next.server = host(&f, n);
			f.next.server.bytes[0] = groups[i].first;
			event(&f, PM_EVENT_UNANSWERED);
		}
		end_silent(&f);
	}
	begin(&f);
	f.next.server = (struct pm_address){ { 255, 255, 255, 255 } };
	fail_ports(&f, 2 * TARGETS, 1000, PM_EVENT_UNANSWERED);
	end_silent(&f);
}

static void a_session_with_a_port_without_label_is_unusual(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.next.server_port = 9999;
	event(&f, PM_EVENT_ATTEMPT);
	event(&f, PM_EVENT_ANSWER);
	event(&f, PM_EVENT_SESSION);
	end(&f, PM_ANOMALY_UNUSUAL_PORT, 1, 3);
}

static void a_session_with_a_port_with_label_is_usual(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (size_t i = 0; i < 3; i++) {
		/* 7000 has a label on another host only */
		f.next.server_port = (uint16_t[]){ 80, 5000, 7000 }[i];
		event(&f, PM_EVENT_ATTEMPT);
		event(&f, PM_EVENT_ANSWER);
		event(&f, PM_EVENT_SESSION);
	}
	/* FTP's data, which the server sends from port 20 */
	f.next.client_port = 20;
	f.next.server_port = 50000;
	event(&f, PM_EVENT_ATTEMPT);
	event(&f, PM_EVENT_ANSWER);
	event(&f, PM_EVENT_SESSION);
	f.next.client_port = 40000;
	/* no session: that would be another anomaly at most */
	f.next.server_port = 9999;
	event(&f, PM_EVENT_ATTEMPT);
	event(&f, PM_EVENT_REFUSAL);
	end_silent(&f);
}

static const struct {
	const char *name;
	uint8_t transport;
	uint16_t from, to;
	bool found;
} clients[] = {
	{ "SYN from 53", TCP, 53, 22, true },
	{ "SYN from 80", TCP, 80, 40000, true },
	{ "SYN from 443", TCP, 443, 80, true },
	{ "INIT from 80", PM_TRANSPORT_SCTP, 80, 9999, true },
	{ "Request from 443", PM_TRANSPORT_DCCP, 443, 9999, true },
	{ "SYN from any port", TCP, 40000, 80, false },
	{ "SYN from FTP's data port", TCP, 20, 40000, false },
	{ "SYN from 53 to 53", TCP, 53, 53, false },
	{ "datagram from 53 to a service", UDP, 53, 123, true },
	{ "datagram from 443 to a service", UDP, 443, 53, true },
	{ "name servers among themselves", UDP, 53, 53, false },
	{ "time servers among themselves", UDP, 123, 123, false },
	{ "time server that asks a name server", UDP, 123, 53, false },
	{ "answer to a client", UDP, 53, 40000, false },
	{ "answer to a client whose port has a label", UDP, 443, 5000, false },
	{ "answer to a system port without label", UDP, 53, 1000, false },
};

static void who_asks_from_the_port_of_a_service_is_found(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(clients); i++) {
		for (int version = 4; version <= 6; version += 2) {
			begin(&f);
			f.next.ip_version = (uint8_t)version;
			f.next.transport = clients[i].transport;
			f.next.client_port = clients[i].from;
			f.next.server_port = clients[i].to;
			event(&f, PM_EVENT_ATTEMPT);
			if (f.found[PM_ANOMALY_SERVICE_PORT] != clients[i].found)
				fail_msg("%s", clients[i].name);
			event(&f, PM_EVENT_ANSWER);
			event(&f, PM_EVENT_REFUSAL);
			end(&f, PM_ANOMALY_SERVICE_PORT, clients[i].found, 1);
		}
	}
}

/* A letter is the link-layer address that answers, '.' that a minute and a bit passes. */
static const struct {
	const char *name, *answers;
	unsigned found;
	uint64_t first;
} conflicts[] = {
	{ "a server", "AAAAAAAA", 0, 0 },
	{ "a server that moves", "AAAABBBB", 0, 0 },
	{ "one that moves twice", "AABBCC", 0, 0 },
	{ "one that moves back later", "AAABB.AA", 0, 0 },
	{ "two that answer in turn", "ABABAB", 4, 3 },
	{ "one that is back", "AABBA", 1, 5 },
	{ "and stays", "ABAAA", 3, 3 },
	{ "but the other is gone for good", "ABA.AAAA", 1, 3 },
	{ "three in turn", "ABCABC", 3, 4 },
	{ "more than are told apart", "ABCDEABCDE", 0, 0 },
};

static void answer_of(struct fixture *f, char link)
{
	f->next.link_known = true;
	memcpy(f->next.link, (uint8_t[6]){ 0, 0, 0x5e, 0, 0x53, (uint8_t)link }, 6);
	event(f, PM_EVENT_ANSWER);
	pass(f, MS);
}

static void two_that_answer_for_one_endpoint_are_a_conflict(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT(conflicts); i++) {
		for (int version = 4; version <= 6; version += 2) {
			begin(&f);
			f.next.ip_version = (uint8_t)version;
			for (const char *at = conflicts[i].answers; *at; at++) {
				if (*at == '.') {
					pass(&f, WINDOW);
					continue;
				}
				answer_of(&f, *at);
			}
			if (f.found[PM_ANOMALY_PORT_CONFLICT] != conflicts[i].found)
				fail_msg("%s: %u found", conflicts[i].name,
					 f.found[PM_ANOMALY_PORT_CONFLICT]);
			end(&f, PM_ANOMALY_PORT_CONFLICT, conflicts[i].found, conflicts[i].first);
		}
	}
}

static void other_endpoints_and_links_not_known_are_no_conflict(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 8; i++) {
		/* each always answers for the same port, address or transport */
		f.next.server_port = i % 2 ? 80 : 443;
		answer_of(&f, i % 2 ? 'A' : 'B');
	}
	for (unsigned i = 0; i < 8; i++) {
		f.next.server = host(&f, i % 2);
		answer_of(&f, i % 2 ? 'A' : 'B');
	}
	f.next.server = host(&f, 7);
	for (unsigned i = 0; i < 8; i++) {
		f.next.transport = i % 2 ? TCP : UDP;
		answer_of(&f, i % 2 ? 'A' : 'B');
	}
	f.next.link_known = false;
	for (unsigned i = 0; i < 8; i++) {
		f.next.link[5] = (uint8_t)(i % 2);
		event(&f, PM_EVENT_ANSWER);
	}
	end_silent(&f);
}

static void a_server_behind_routers_is_no_conflict(void **state)
{
	struct fixture f;

	(void)state;
	for (int asks = 0; asks < 2; asks++) {
		begin(&f);
		/* Who sends for many is a router, whether they ask or answer. */
		for (unsigned i = 0; i < 40; i++) {
			if (asks) {
				f.next.client = host(&f, i);
				memcpy(f.next.link,
				       (uint8_t[6]){ 0, 0, 0x5e, 0, 0x53, i % 2 ? 'A' : 'B' }, 6);
				f.next.link_known = true;
				event(&f, i % 4 > 1 ? PM_EVENT_ATTEMPT : PM_EVENT_SESSION);
			} else {
				f.next.server = host(&f, i);
				answer_of(&f, i % 2 ? 'A' : 'B');
			}
		}
		f.next.server = host(&f, 1000);
		for (unsigned i = 0; i < 8; i++)
			answer_of(&f, i % 2 ? 'A' : 'B');
		end_silent(&f);
	}
}

static void a_machine_with_a_few_addresses_is_no_router(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 6; i++) {
		f.next.server = host(&f, i);
		answer_of(&f, 'A');
	}
	f.next.server = host(&f, 1000);
	answer_of(&f, 'A');
	answer_of(&f, 'B');
	answer_of(&f, 'A');
	end(&f, PM_ANOMALY_PORT_CONFLICT, 1, 9);
}

static void links_that_look_alike_are_two(void **state)
{
	/* a router, and a machine that differs from it in a part of the address only */
	static const uint8_t links[][2][6] = {
		{ { 2, 0, 0, 0, 0, 1 }, { 6, 0, 0, 0, 0, 1 } },
		{ { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 1, 0, 1 } },
		{ { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 9 } },
		{ { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 1, 0 } },
	};
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 4 };
	struct fixture f;

	(void)state;
	for (size_t n = 0; n < sizeof links / sizeof links[0]; n++) {
		begin(&f);
		f.next.link_known = true;
		memcpy(f.next.link, links[n][0], 6);
		for (unsigned i = 0; i < 16; i++) {
			f.next.client = host(&f, i);
			event(&f, PM_EVENT_SESSION);
		}
		for (unsigned i = 0; i < 3; i++) {
			memcpy(f.next.link, i % 2 ? other : links[n][1], 6);
			event(&f, PM_EVENT_ANSWER);
		}
		end(&f, PM_ANOMALY_PORT_CONFLICT, 1, 16 + 3);
	}
}

/* Enough of everything to fill all tables some times over. */
static void flood(struct fixture *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		f->next.client = host(f, i);
		f->next.server = host(f, i / 2);
		f->next.server_port = (uint16_t)(i * 7 + 1);
		answer_of(f, (char)(i % 250));
		f->next.link[4] = (uint8_t)(i >> 8);
		event(f, i % 2 ? PM_EVENT_REFUSAL : PM_EVENT_UNANSWERED);
	}
}

static void full_tables_say_what_they_gave_up_and_go_on(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(pm_watch_given_up(f.watch), 0);
	fail_ports(&f, TARGETS, 1000, PM_EVENT_REFUSAL);
	assert_int_equal(pm_watch_given_up(f.watch), 0);
	flood(&f, 50000);
	assert_true(pm_watch_given_up(f.watch) > 50000);
	assert_int_equal(pm_watch_given_up(f.watch), 0);
	f.found[PM_ANOMALY_PORT_SCAN] = 0;
	f.found[PM_ANOMALY_PORT_CONFLICT] = 0;
	f.next.client = (struct pm_address){ { 192, 0, 2, 2 } };
	fail_ports(&f, TARGETS, 1000, PM_EVENT_REFUSAL);
	end(&f, PM_ANOMALY_PORT_SCAN, 1, TARGETS + 100000 + TARGETS);
}

static void set_link(struct fixture *f, unsigned n, uint8_t last)
{
	const uint8_t link[6] = { 2, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0, last };

	f->next.link_known = true;
	memcpy(f->next.link, link, sizeof link);
}

/* One that was seen before, and whose place a router has had since. */
static void who_comes_back_inherits_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	set_link(&f, 0, 0);
	event(&f, PM_EVENT_SESSION);
	for (unsigned i = 0; i < 60000; i++) {
		set_link(&f, i, (uint8_t)(1 + i % 7));
		for (unsigned n = 0; n < 16; n++) {
			f.next.client = host(&f, n);
			event(&f, PM_EVENT_SESSION);
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		set_link(&f, 1000000, (uint8_t)(i % 2 ? 9 : 0));
		if (i % 2 == 0)
			set_link(&f, 0, 0);
		event(&f, PM_EVENT_ANSWER);
	}
	end(&f, PM_ANOMALY_PORT_CONFLICT, 1, 1 + 60000 * 16 + 3);
}

static void who_takes_the_place_of_another_inherits_nothing(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	/* More endpoints of a host than there are places, each answered for once by one of two. */
	for (unsigned i = 1; i < 60000; i++) {
		f.next.server_port = (uint16_t)i;
		answer_of(&f, i * 2654435761U >> 31 ? 'A' : 'B');
	}
	end_silent(&f);
	begin(&f);
	/* More links than there are places, each of one host. */
	for (unsigned i = 0; i < 60000; i++) {
		f.next.client = host(&f, i);
		f.next.link_known = true;
		memcpy(f.next.link, (uint8_t[6]){ 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, 6);
		event(&f, PM_EVENT_ATTEMPT);
	}
	answer_of(&f, 'A');
	answer_of(&f, 'B');
	answer_of(&f, 'A');
	end(&f, PM_ANOMALY_PORT_CONFLICT, 1, 60003);
}

static void those_who_are_busy_stay(void **state)
{
	struct fixture f;
	unsigned others = 0;

	(void)state;
	begin(&f);
	/* Sixteen scans at once, and so many other sources that they would fill the tables. */
	for (unsigned i = 0; i < TARGETS; i++) {
		for (unsigned scan = 0; scan < 16; scan++) {
			f.next.client = (struct pm_address){ { 192, 0, 2, (uint8_t)scan } };
			f.next.server_port = 22;
			f.next.server = host(&f, i);
			event(&f, PM_EVENT_UNANSWERED);
		}
		for (unsigned n = 0; n < 150; n++) {
			f.next.client = host(&f, 100000 + others++);
			event(&f, PM_EVENT_UNANSWERED);
		}
	}
	assert_true(pm_watch_given_up(f.watch) > 1000);
	end(&f, PM_ANOMALY_PORT_SCAN, 16, (TARGETS - 1) * 166 + 1);
}

static void what_is_long_silent_is_not_given_up(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	for (unsigned i = 0; i < 50000; i++) {
		f.next.client = host(&f, i);
		event(&f, PM_EVENT_REFUSAL);
		pass(&f, WINDOW + 1);
	}
	assert_int_equal(pm_watch_given_up(f.watch), 0);
	end_silent(&f);
}

static void a_busy_scan_outlives_the_crowd(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	/* One attempt of a slow scan among a hundred of another, which fills one table only. */
	for (unsigned i = 0; i < TARGETS; i++) {
		f.next.client = (struct pm_address){ { 192, 0, 2, 1 } };
		f.next.server_port = 22;
		f.next.server = host(&f, i);
		event(&f, PM_EVENT_UNANSWERED);
		for (unsigned n = 0; n < 100; n++) {
			f.next.client = (struct pm_address){ { 192, 0, 2, 2 } };
			f.next.server = host(&f, 10000 + i * 100 + n);
			event(&f, PM_EVENT_UNANSWERED);
		}
		pass(&f, MS);
	}
	assert_int_equal(f.first[PM_ANOMALY_PORT_SCAN], 1 + TARGETS);
	/* all of the busy one's from its 25th on, and the slow one's 25th */
	end(&f, PM_ANOMALY_PORT_SCAN, TARGETS * 100 - TARGETS + 1 + 1, 1 + TARGETS);
}

static void same_events_and_key_give_the_same_findings(void **state)
{
	struct fixture one, other;

	(void)state;
	begin(&one);
	begin(&other);
	flood(&one, 20000);
	fail_hosts(&one, 100, 500, PM_EVENT_REFUSAL);
	flood(&other, 20000);
	fail_hosts(&other, 100, 500, PM_EVENT_REFUSAL);
	assert_true(one.digest != 0);
	assert_true(one.digest == other.digest);
	assert_int_equal(pm_watch_given_up(one.watch), pm_watch_given_up(other.watch));
	pm_watch_free(one.watch);
	pm_watch_free(other.watch);
}

static void a_watch_that_tells_nobody_is_refused(void **state)
{
	struct pm_watch_options options = { .found = NULL };
	struct pm_watch *watch = NULL;

	(void)state;
	assert_int_equal(pm_watch_new(&options, &watch), PM_E_INVALID);
	assert_null(watch);
	pm_watch_free(NULL);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(many_ports_of_a_host_that_refuse_are_a_scan),
	cmocka_unit_test(many_hosts_that_do_not_answer_are_a_scan),
	cmocka_unit_test(a_scanner_on_the_port_of_a_service_is_found),
	cmocka_unit_test(a_datagram_from_a_service_port_that_comes_first_is_a_clients),
	cmocka_unit_test(a_scan_over_ipv6_is_one),
	cmocka_unit_test(some_failures_are_no_scan),
	cmocka_unit_test(slow_hosts_are_no_scan),
	cmocka_unit_test(a_server_that_is_down_is_no_scan),
	cmocka_unit_test(targets_that_are_tried_again_count_once),
	cmocka_unit_test(each_source_scans_for_itself),
	cmocka_unit_test(peers_on_ports_of_their_own_are_no_scan),
	cmocka_unit_test(transports_are_scanned_apart),
	cmocka_unit_test(failures_count_for_a_minute),
	cmocka_unit_test(a_scan_is_over_after_a_minute),
	cmocka_unit_test(times_out_of_order_and_out_of_the_world_hide_no_scan),
	cmocka_unit_test(who_mostly_succeeds_does_not_scan),
	cmocka_unit_test(a_server_that_is_down_does_not_make_a_proxy_scan),
	cmocka_unit_test(a_scan_that_finds_some_is_one),
	cmocka_unit_test(an_outage_that_is_over_is_no_scan_any_more),
	cmocka_unit_test(groups_are_no_scan),
	cmocka_unit_test(a_session_with_a_port_without_label_is_unusual),
	cmocka_unit_test(a_session_with_a_port_with_label_is_usual),
	cmocka_unit_test(who_asks_from_the_port_of_a_service_is_found),
	cmocka_unit_test(two_that_answer_for_one_endpoint_are_a_conflict),
	cmocka_unit_test(other_endpoints_and_links_not_known_are_no_conflict),
	cmocka_unit_test(a_server_behind_routers_is_no_conflict),
	cmocka_unit_test(a_machine_with_a_few_addresses_is_no_router),
	cmocka_unit_test(links_that_look_alike_are_two),
	cmocka_unit_test(full_tables_say_what_they_gave_up_and_go_on),
	cmocka_unit_test(who_comes_back_inherits_nothing),
	cmocka_unit_test(who_takes_the_place_of_another_inherits_nothing),
	cmocka_unit_test(those_who_are_busy_stay),
	cmocka_unit_test(what_is_long_silent_is_not_given_up),
	cmocka_unit_test(a_busy_scan_outlives_the_crowd),
	cmocka_unit_test(same_events_and_key_give_the_same_findings),
	cmocka_unit_test(a_watch_that_tells_nobody_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests_name("watch", tests, load, unload);
}
