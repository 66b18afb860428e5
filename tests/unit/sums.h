/* SPDX-License-Identifier: MIT */
/* Whether every sum of a record closes (counting rule 2), in packets and in bytes. */
#ifndef PORTMETER_TESTS_SUMS_H
#define PORTMETER_TESTS_SUMS_H

#include "portmeter/summary.h"

static inline bool sums_equal(struct pm_count a, struct pm_count b)
{
	return a.packets == b.packets && a.bytes == b.bytes;
}

static inline struct pm_count sums_facing(const struct pm_service_row *row)
{
	struct pm_count sum = row->to_service;

	pm_count_add(&sum, row->from_service);
	pm_count_add(&sum, row->symmetric);
	return sum;
}

static inline bool sums_side_by(const struct pm_service_row *row)
{
	uint64_t packets = 0;

	for (int rung = 0; rung < PM_RUNG_N; rung++)
		packets += row->side_by[rung];
	return packets == row->count.packets &&
	       row->side_by[PM_RUNG_SYMMETRIC] == row->symmetric.packets;
}

/* Sessions of ports are those of services. */
static inline bool sums_sessions(const struct pm_record *record)
{
	uint64_t ports = record->other.sessions, services = record->unknown.talk[PM_TALK_SESSIONS],
		 cut = 0;

	for (size_t i = 0; i < record->n_ports; i++)
		ports += record->ports[i].sessions;
	for (size_t i = 0; i < record->n_services; i++)
		services += record->services[i].talk[PM_TALK_SESSIONS];
	for (size_t i = 0; i < record->n_transports; i++)
		cut += record->transports[i].other.sessions;
	return ports == services && cut == record->other.sessions;
}

/* What rows of one transport, or of all, add up to. */
struct sums {
	struct pm_count src, dst, as_service, services;
};

static inline const char *sums_of_ports(const struct pm_record *record,
					struct sums by[PM_TRANSPORT_N], struct sums *all)
{
	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *row = &record->ports[i];
		struct sums *sums = &by[row->transport];

		if (row->src.packets + row->dst.packets == 0)
			return "a port row holds nothing";
		if (row->port == 0 && (row->as_service.packets || row->service))
			return "port 0 is a service";
		if (row->port == 0 && row->src.packets &&
		    pm_transport_source_optional((enum pm_transport)row->transport))
			return "port 0 is a source where it means no port";
		pm_count_add(&sums->src, row->src);
		pm_count_add(&sums->dst, row->dst);
		pm_count_add(&sums->as_service, row->as_service);
		pm_count_add(&all->as_service, row->as_service);
	}
	return NULL;
}

static inline const char *sums_of_services(const struct pm_record *record,
					   struct sums by[PM_TRANSPORT_N], struct sums *all)
{
	for (size_t i = 0; i < record->n_services; i++) {
		const struct pm_service_row *row = &record->services[i];

		if (!sums_equal(sums_facing(row), row->count))
			return "to_service + from_service + symmetric is not the service";
		if (!sums_side_by(row))
			return "side_by does not add up to the service";
		for (size_t p = 1; p < row->n_ports; p++)
			if (row->ports[p - 1] >= row->ports[p])
				return "the ports of a service do not rise";
		pm_count_add(&by[row->transport].services, row->count);
		pm_count_add(&all->services, row->count);
	}
	return NULL;
}

static inline const char *sums_of_transports(const struct pm_record *record,
					     struct sums by[PM_TRANSPORT_N])
{
	struct pm_count unknown = { 0, 0 };
	struct pm_other other = { .ports = 0 };

	for (size_t i = 0; i < record->n_transports; i++) {
		const struct pm_transport_row *row = &record->transports[i];
		struct sums *sums = &by[row->transport];

		pm_count_add(&sums->services, row->unknown);
		pm_count_add(&sums->dst, row->other.dst);
		pm_count_add(&sums->src, row->other.src);
		if (row->transport == PM_TRANSPORT_UDP)
			pm_count_add(&sums->src, record->facets[PM_FACET_UDP_SOURCE_PORT_ZERO]);
		if (row->transport == PM_TRANSPORT_UDPLITE)
			pm_count_add(&sums->src, record->facets[PM_FACET_UDPLITE_SOURCE_PORT_ZERO]);
		if (!sums_equal(sums->services, row->count))
			return "a transport is not its services + its unknown";
		if (!sums_equal(sums->dst, row->count))
			return "a transport is not its dst + other.dst";
		if (!sums_equal(sums->src, row->count))
			return "a transport is not its src + other.src + frames without a source port";
		pm_count_add(&unknown, row->unknown);
		other.ports += row->other.ports;
		pm_count_add(&other.src, row->other.src);
		pm_count_add(&other.dst, row->other.dst);
		pm_count_add(&other.as_service, row->other.as_service);
	}
	if (!sums_equal(unknown, record->unknown.count))
		return "unknown is not that of the transports";
	if (other.ports != record->other.ports || !sums_equal(other.src, record->other.src) ||
	    !sums_equal(other.dst, record->other.dst) ||
	    !sums_equal(other.as_service, record->other.as_service))
		return "other is not that of the transports";
	return NULL;
}

/* Rows by endpoint, and what is in none. */
static inline const char *sums_of_endpoints(const struct pm_record *record)
{
	struct pm_count sum = record->endpoints_other.count, all = { 0, 0 };

	if (!record->by_endpoint)
		return record->endpoints || sum.packets ? "endpoints that were not counted" : NULL;
	for (size_t i = 0; i < record->n_endpoints; i++) {
		const struct pm_endpoint_row *row = &record->endpoints[i];
		struct pm_count facing = row->to_service;

		pm_count_add(&facing, row->from_service);
		pm_count_add(&facing, row->symmetric);
		if (!sums_equal(facing, row->count) || row->count.packets == 0)
			return "to_service + from_service + symmetric is not the endpoint";
		if (row->at_least && !record->endpoints_other.forgotten.endpoints)
			return "an endpoint is marked, but none was forgotten";
		if (row->port == 0)
			return "an endpoint has port 0";
		pm_count_add(&sum, row->count);
	}
	for (size_t i = 0; i < record->n_transports; i++)
		pm_count_add(&all, record->transports[i].count);
	return sums_equal(sum, all) ? NULL : "endpoints + endpoints_other are not the transports";
}

/* NULL, or what does not close. */
static inline const char *sums_problem(const struct pm_record *record)
{
	struct sums by[PM_TRANSPORT_N] = { { { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } } };
	struct sums all = { { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } };
	struct pm_count facing = sums_facing(&record->unknown), total;
	const char *problem = sums_of_ports(record, by, &all);

	if (!problem)
		problem = sums_of_services(record, by, &all);
	if (!problem)
		problem = sums_of_transports(record, by);
	if (!problem)
		problem = sums_of_endpoints(record);
	if (problem)
		return problem;
	total = all.services;
	pm_count_add(&total, record->unknown.count);
	for (size_t i = 0; i < record->n_no_port; i++)
		pm_count_add(&total, record->no_port[i].count);
	if (!sums_equal(total, record->totals))
		return "totals are not services + unknown + no_port";
	pm_count_add(&all.as_service, record->other.as_service);
	pm_count_add(&all.services, facing);
	if (!sums_equal(all.as_service, all.services))
		return "as_service + other.as_service is not services + unknown - sideless";
	if (record->unknown.count.packets - facing.packets !=
	    record->unknown.side_by[PM_RUNG_UNKNOWN])
		return "the sideless are not those of the rung unknown";
	if (!sums_side_by(&record->unknown))
		return "side_by does not add up to unknown";
	if (!sums_sessions(record))
		return "sessions of ports and other are not those of services and unknown";
	if (record->ip4.packets + record->ip6.packets > record->totals.packets ||
	    record->ip4.bytes + record->ip6.bytes > record->totals.bytes)
		return "more is IPv4 and IPv6 than there is";
	if (record->interval.end_ns < record->interval.start_ns)
		return "the interval ends before it starts";
	if (record->interval.late > record->totals.packets)
		return "more frames are late than there are";
	return NULL;
}

#endif
