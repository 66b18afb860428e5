/* SPDX-License-Identifier: MIT */
/*
 * Two tallies made one: of intervals that waited too long, or of threads that shared one.
 * What a tally holds is added here, or by the file of this room that keeps it.
 */
#include "anomaly.h"
#include "tally-internal.h"

static void port_merge(struct pm_tally_transport *into, const struct pm_tally_transport *from,
		       uint16_t port)
{
	struct pm_port_cell *cell = &into->ports[port];

	if (pm_port_is_new(cell))
		into->used_ports[into->n_used_ports++] = port;
	for (int side = 0; side < 2; side++) {
		pm_count_add(&cell->src[side], from->ports[port].src[side]);
		pm_count_add(&cell->dst[side], from->ports[port].dst[side]);
	}
	if (!from->any_rungs)
		return;
	for (int rung = 0; rung <= PM_RUNG_SCORE; rung++)
		into->rungs[port].packets[rung] += from->rungs[port].packets[rung];
	into->rungs[port].symmetric_bytes += from->rungs[port].symmetric_bytes;
	into->any_rungs = true;
}

static void transport_merge(struct pm_tally_transport *into, const struct pm_tally_transport *from)
{
	for (uint32_t i = 0; !pm_tally_crowded(from) && i < from->n_used_ports; i++)
		port_merge(into, from, from->used_ports[i]);
	for (uint32_t port = 0; pm_tally_crowded(from) && port < PM_PORTS; port++)
		if (!pm_port_is_new(&from->ports[port]))
			port_merge(into, from, (uint16_t)port);
	for (uint32_t i = 0; i < from->n_used_services; i++) {
		uint16_t id = from->used_services[i];
		const struct pm_service_cell *more = &from->services[id];
		struct pm_service_cell *cell = pm_service_use(into, id);

		for (int side = 0; side < PM_SIDE_N; side++)
			pm_count_add(&cell->side[side], more->side[side]);
		for (int rung = 0; rung < PM_RUNG_N; rung++)
			cell->rung[rung] += more->rung[rung];
	}
}

static void interval_merge(struct pm_tally *into, const struct pm_tally *from)
{
	struct pm_interval *a = &into->interval;
	const struct pm_interval *b = &from->interval;

	a->first_ns = a->first_ns < b->first_ns ? a->first_ns : b->first_ns;
	a->last_ns = a->last_ns > b->last_ns ? a->last_ns : b->last_ns;
	a->start_ns = a->start_ns < b->start_ns ? a->start_ns : b->start_ns;
	a->end_ns = a->end_ns > b->end_ns ? a->end_ns : b->end_ns;
	a->partial |= b->partial;
	a->late += b->late;
	into->merged += from->merged;
}

static void capture_merge(struct pm_capture_figures *into, const struct pm_capture_figures *from)
{
	into->received += from->received;
	into->dropped_kernel += from->dropped_kernel;
	into->dropped_interface += from->dropped_interface;
	into->received_known &= from->received_known;
	into->dropped_kernel_known &= from->dropped_kernel_known;
	into->dropped_interface_known &= from->dropped_interface_known;
	into->down_ns += from->down_ns;
	if (from->n_threads > into->n_threads)
		into->n_threads = from->n_threads;
	for (size_t i = 0; i < from->n_threads; i++) {
		into->threads[i].received += from->threads[i].received;
		into->threads[i].dropped_kernel += from->threads[i].dropped_kernel;
	}
}

static bool may_merge(const struct pm_tally *a, const struct pm_tally *b)
{
	return a->rules == b->rules && !a->endpoints == !b->endpoints;
}

int pm_tally_merge(struct pm_tally *into, const struct pm_tally *from)
{
	if (!may_merge(into, from))
		return PM_E_INVALID;
	interval_merge(into, from);
	capture_merge(&into->capture, &from->capture);
	into->given_up.fragment_datagrams += from->given_up.fragment_datagrams;
	into->given_up.fragment_frames += from->given_up.fragment_frames;
	into->given_up.service_ports += from->given_up.service_ports;
	into->given_up.endpoints += from->given_up.endpoints;
	into->given_up.handshakes += from->given_up.handshakes;
	into->given_up.watched += from->given_up.watched;
	into->learned = from->learned;
	for (size_t ip = 0; ip < sizeof into->by_ip / sizeof *into->by_ip; ip++)
		pm_count_add(&into->by_ip[ip], from->by_ip[ip]);
	into->snapped += from->snapped;
	for (int v = 0; v < PM_VERDICT_N; v++)
		pm_count_add(&into->no_port[v], from->no_port[v]);
	for (int p = 0; p < 256; p++)
		pm_count_add(&into->protocols[p], from->protocols[p]);
	for (int f = 0; f < PM_FACET_N; f++)
		pm_count_add(&into->facets[f], from->facets[f]);
	pm_anomaly_merge(into, from);
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		transport_merge(&into->transports[t], &from->transports[t]);
	pm_talk_merge(into, from);
	pm_scoped_merge(into, from);
	if (into->endpoints)
		pm_endpoints_merge(into->endpoints, from->endpoints);
	return PM_OK;
}

int pm_tally_absorb(struct pm_tally *into, struct pm_tally *from)
{
	uint64_t learned = into->learned + from->learned; /* by one memory and by another */
	int r;

	if (!may_merge(into, from))
		return PM_E_INVALID;
	/* Sums do not tell which came first: the smaller is added to the larger. */
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		if (from->transports[t].n_used_ports > into->transports[t].n_used_ports) {
			struct pm_tally_transport more = from->transports[t];

			from->transports[t] = into->transports[t];
			into->transports[t] = more;
		}
	if (pm_talk_size(from->talk) > pm_talk_size(into->talk)) {
		struct pm_talk *talk = from->talk;
		uint64_t *seen = from->seen;
		unsigned seen_bits = from->seen_bits;
		uint64_t seen_salt = from->seen_salt;

		from->talk = into->talk;
		from->seen = into->seen;
		from->seen_bits = into->seen_bits;
		from->seen_salt = into->seen_salt;
		into->talk = talk;
		into->seen = seen;
		into->seen_bits = seen_bits;
		into->seen_salt = seen_salt;
	}
	if (into->endpoints &&
	    pm_endpoints_rows(from->endpoints) > pm_endpoints_rows(into->endpoints)) {
		struct pm_endpoints *more = from->endpoints;

		from->endpoints = into->endpoints;
		into->endpoints = more;
	}
	r = pm_tally_merge(into, from);
	if (r == PM_OK)
		into->learned = learned;
	return r;
}
