/* SPDX-License-Identifier: MIT */
/*
 * Counting frames (docs/architecture.md, "Counting"): in the cells of their ports; where those do
 * not tell, by rung or by service; and of whoever took part, those whom the filter of ends does not
 * know yet go on to talk.c. All of it is done for every frame.
 */
#include <stddef.h>

#include "tally-internal.h"

/* Counts into @count, one of @cell's; the first time the port joins those that are used. */
static inline void port_count(struct pm_tally_transport *tt, uint16_t port,
			      const struct pm_port_cell *cell, struct pm_count *count,
			      struct pm_count more)
{
	if (count->packets == 0 && pm_port_is_new(cell))
		tt->used_ports[tt->n_used_ports++] = port;
	pm_count_add(count, more);
}

/* Rungs that show from what else is counted by port. */
#define BY_PORTS_ALONE                                                                     \
	(1U << PM_RUNG_KNOWN | 1U << PM_RUNG_EPHEMERAL | 1U << PM_RUNG_UNKNOWN)

_Static_assert(PM_RUNG_SCORE + 2 == PM_RUNG_EPHEMERAL + 1 && PM_RUNG_KNOWN < PM_RUNG_SCORE,
	       "pm_port_rungs holds the rungs up to score");

static uint16_t side_port(const struct pm_tally_entry *entry)
{
	return entry->decision.side == PM_SIDE_SRC ? entry->src_port : entry->dst_port;
}

/* The entry's service; one that is left open is the label of the side's port. */
static uint16_t service_of(const struct pm_tally *tally, const struct pm_tally_entry *entry)
{
	if (entry->decision.service || entry->decision.side == PM_SIDE_NONE)
		return entry->decision.service;
	return (uint16_t)pm_rules_label(tally->rules, (enum pm_transport)entry->transport,
					side_port(entry));
}

/* What the ports do not tell of a frame; where labels depend on addresses, all of it. */
static PM_OUT_OF_LINE void service_count(struct pm_tally *tally, const struct pm_tally_entry *entry)
{
	struct pm_tally_transport *tt = &tally->transports[entry->transport];
	struct pm_service_cell *cell;

	if (!tally->scoped) {
		struct pm_port_rungs *rungs = &tt->rungs[side_port(entry)];

		rungs->packets[entry->decision.rung]++;
		if (entry->decision.side == PM_SIDE_BOTH)
			rungs->symmetric_bytes += entry->wire;
		tt->any_rungs = true;
		return;
	}
	cell = pm_service_use(tt, service_of(tally, entry));
	pm_count_add(&cell->side[entry->decision.side], (struct pm_count){ 1, entry->wire });
	cell->rung[entry->decision.rung]++;
}

static void facet_add(struct pm_tally *tally, enum pm_facet facet, uint32_t wire)
{
	pm_count_add(&tally->facets[facet], (struct pm_count){ 1, wire });
}

static void facets_of_zero(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
			   uint16_t dst_port, uint32_t wire)
{
	static const struct {
		/* the same for transports where 0 is reserved throughout */
		uint8_t source, destination;
	} facets[PM_TRANSPORT_N] = {
		[PM_TRANSPORT_TCP] = { PM_FACET_TCP_PORT_ZERO, PM_FACET_TCP_PORT_ZERO },
		[PM_TRANSPORT_UDP] = { PM_FACET_UDP_SOURCE_PORT_ZERO,
				       PM_FACET_UDP_DESTINATION_PORT_ZERO },
		[PM_TRANSPORT_UDPLITE] = { PM_FACET_UDPLITE_SOURCE_PORT_ZERO,
					   PM_FACET_UDPLITE_DESTINATION_PORT_ZERO },
		[PM_TRANSPORT_SCTP] = { PM_FACET_SCTP_PORT_ZERO, PM_FACET_SCTP_PORT_ZERO },
		[PM_TRANSPORT_DCCP] = { PM_FACET_DCCP_PORT_ZERO, PM_FACET_DCCP_PORT_ZERO },
	};
	enum pm_facet source = (enum pm_facet)facets[transport].source;
	enum pm_facet destination = (enum pm_facet)facets[transport].destination;

	if (src_port == 0)
		facet_add(tally, source, wire);
	if (dst_port == 0 && (src_port != 0 || destination != source))
		facet_add(tally, destination, wire);
}

/* What only ports with host-scoped rules need. */
static void note_scoped(struct pm_tally *tally, const struct pm_tally_entry *entry)
{
	enum pm_transport transport = (enum pm_transport)entry->transport;
	uint16_t port = side_port(entry);

	if (entry->decision.service && pm_rules_scoped(tally->rules, transport, port))
		pm_scoped_add(tally, transport, entry->decision.service, port);
}

/* A frame of which a port is 0 (counting rules 3 and 4). */
static PM_OUT_OF_LINE void count_zero(struct pm_tally *tally, const struct pm_tally_entry *entry)
{
	enum pm_transport transport = (enum pm_transport)entry->transport;
	struct pm_tally_transport *tt = &tally->transports[transport];
	struct pm_port_cell *src = &tt->ports[entry->src_port], *dst = &tt->ports[entry->dst_port];
	struct pm_count one = { 1, entry->wire };

	port_count(tt, entry->dst_port, dst, &dst->dst[entry->decision.side >> 1], one);
	if (entry->src_port != 0 || !pm_transport_source_optional(transport))
		port_count(tt, entry->src_port, src,
			   &src->src[entry->decision.side == PM_SIDE_SRC], one);
	if (tally->scoped || !(BY_PORTS_ALONE >> entry->decision.rung & 1))
		service_count(tally, entry);
	facets_of_zero(tally, transport, entry->src_port, entry->dst_port, entry->wire);
}

/* The bits of a side: 1 is the source, 2 the destination, and equal ports count as that. */
static inline void count(struct pm_tally *tally, const struct pm_tally_entry *entry,
			 uint32_t by_ports)
{
	struct pm_tally_transport *tt = &tally->transports[entry->transport];
	uint16_t src_port = entry->src_port, dst_port = entry->dst_port;
	struct pm_port_cell *src = &tt->ports[src_port], *dst = &tt->ports[dst_port];
	struct pm_count one = { 1, entry->wire };

	if (src_port == 0 || dst_port == 0) {
		count_zero(tally, entry);
		return;
	}
	port_count(tt, dst_port, dst, &dst->dst[entry->decision.side >> 1], one);
	port_count(tt, src_port, src, &src->src[entry->decision.side == PM_SIDE_SRC], one);
	if (!(by_ports >> entry->decision.rung & 1))
		service_count(tally, entry);
}

/* The rungs that ports tell of: where labels depend on addresses, none. */
static inline uint32_t told_by_ports(const struct pm_tally *tally)
{
	return tally->scoped ? 0 : BY_PORTS_ALONE;
}

_Static_assert(PM_SIDE_NONE >> 1 == 0 && PM_SIDE_SRC >> 1 == 0 && PM_SIDE_DST >> 1 == 1 &&
		       PM_SIDE_BOTH >> 1 == 1,
	       "count() takes a side apart");

/* Entries that are counted at a time, while what the filter holds of them is being fetched. */
#define BATCH 32

/*
 * Who has been served by whom: two words for each frame, of an address, of what serves, and of
 * whether it is that; 0: nobody knows. The filter only says "already", so what falls out of it costs
 * time alone.
 */
struct ends {
	uint64_t client, server;
};

/* What the filter is asked of an entry; nothing if nobody knows the client. */
struct asked {
	struct ends ends;
	uint64_t *seen[PM_ROLE_N]; /* places */
};

/* The filter, as it is looked at: bits in the middle of an end, @mask, choose the places for it. */
struct filter {
	char *seen;
	uint64_t mask;
};

static inline struct filter filter_of(const struct pm_tally *tally)
{
	uint64_t size = sizeof *tally->seen << tally->seen_bits;

	return (struct filter){ (char *)tally->seen,
				size - PM_TALK_SEEN_WAYS * sizeof *tally->seen };
}

static inline uint64_t *filter_line(struct filter filter, uint64_t end)
{
	return (uint64_t *)(void *)(filter.seen + (end >> 24 & filter.mask));
}

_Static_assert(PM_TALK_SEEN_WAYS == 4, "filter_of, filter_add and is_met know each of them");

static inline void filter_add(uint64_t *seen, uint64_t end)
{
	seen[3] = seen[2];
	seen[2] = seen[1];
	seen[1] = seen[0];
	seen[0] = end;
}

static inline bool is_met(uint64_t *seen, uint64_t end)
{
	/* Without a branch for each: in which of them it stands nobody can predict. */
	if ((seen[0] == end) | (seen[1] == end) | (seen[2] == end) | (seen[3] == end))
		return true;
	filter_add(seen, end);
	return false;
}

_Static_assert(offsetof(struct pm_tally_entry, dst_port) ==
			       offsetof(struct pm_tally_entry, src_port) + sizeof(uint16_t) &&
		       offsetof(struct pm_tally_entry, dst_host) ==
			       offsetof(struct pm_tally_entry, src_host) + sizeof(uint64_t),
	       "of both ends, one stands behind the other");

/*
 * What belongs to the source, @end 0, or to the destination, 1. By its place and not by a
 * condition: which of both serves no branch can predict, and compilers like to make one.
 */
static inline uint16_t port_at(const struct pm_tally_entry *entry, size_t end)
{
	const char *ports = (const char *)entry + offsetof(struct pm_tally_entry, src_port);

	return ((const uint16_t *)(const void *)ports)[end];
}

static inline uint64_t host_at(const struct pm_tally_entry *entry, size_t end)
{
	const char *hosts = (const char *)entry + offsetof(struct pm_tally_entry, src_host);

	return ((const uint64_t *)(const void *)hosts)[end];
}

static inline struct ends ends_of(const struct pm_tally_entry *entry, uint64_t salt)
{
	size_t client = entry->decision.side == PM_SIDE_SRC, server = client ^ 1;
	uint64_t what = (uint64_t)entry->transport << 32 |
			(uint64_t)port_at(entry, server) << 16 | entry->decision.service;

	/* Below those rungs there is no label. */
	if (entry->decision.rung >= PM_RUNG_EPHEMERAL || entry->decision.side == PM_SIDE_BOTH)
		return (struct ends){ 0, 0 };
	/* an odd number near 2^64 divided by the root of 2 */
	what = what * UINT64_C(0xb504f333f9de6485) + salt;
	return (struct ends){ host_at(entry, client) ^ what, host_at(entry, server) ^ ~what };
}

static inline struct pm_meeting meeting(const struct pm_tally_entry *entry, enum pm_role role)
{
	bool src = (entry->decision.side == PM_SIDE_SRC) == (role == PM_ROLE_SERVER);

	return (struct pm_meeting){
		.hash = pm_endpoint_hash(src ? entry->src_host : entry->dst_host, 0, 0),
		.port = side_port(entry),
		.service = entry->decision.service,
		.transport = entry->transport,
		.role = (uint8_t)role,
	};
}

_Static_assert(PM_MEETINGS_MAX >= PM_ROLE_N * BATCH, "all ends of a batch may be new");

/* Those that the filter did not know; at first all of them. */
static PM_OUT_OF_LINE void meet(struct pm_tally *tally, const struct pm_meeting *met, size_t n)
{
	pm_pages_use(&tally->n_met, (uint32_t)n, tally->seen,
		     sizeof *tally->seen << tally->seen_bits);
	pm_talk_meet(tally, met, n);
}

/* Fetches what the filter holds of @n entries' ends. */
static inline void fetch_ends(const struct pm_tally *tally, const struct pm_tally_entry *entries,
			      size_t n, struct asked *asked)
{
	struct filter filter = filter_of(tally);
	uint64_t salt = tally->seen_salt;

	for (size_t i = 0; i < n; i++) {
		struct asked *ask = &asked[i];

		ask->ends.client = 0;
		if (!entries[i].src_host)
			continue;
		ask->ends = ends_of(&entries[i], salt);
		ask->seen[PM_ROLE_CLIENT] = filter_line(filter, ask->ends.client);
		ask->seen[PM_ROLE_SERVER] = filter_line(filter, ask->ends.server);
		__builtin_prefetch(ask->seen[PM_ROLE_CLIENT], 1);
		__builtin_prefetch(ask->seen[PM_ROLE_SERVER], 1);
	}
}

/* Asks the filter of each, and hands on whom it does not know. */
static inline void meet_new(struct pm_tally *tally, const struct pm_tally_entry *entries, size_t n,
			    const struct asked *asked)
{
	struct pm_meeting met[BATCH * PM_ROLE_N];
	size_t n_met = 0;

	for (size_t i = 0; i < n; i++) {
		const struct asked *ask = &asked[i];

		if (!ask->ends.client)
			continue;
		if (!is_met(ask->seen[PM_ROLE_CLIENT], ask->ends.client))
			met[n_met++] = meeting(&entries[i], PM_ROLE_CLIENT);
		if (!is_met(ask->seen[PM_ROLE_SERVER], ask->ends.server))
			met[n_met++] = meeting(&entries[i], PM_ROLE_SERVER);
	}
	if (n_met)
		meet(tally, met, n_met);
}

static void count_batch(struct pm_tally *tally, const struct pm_tally_entry *entries, size_t n)
{
	uint32_t by_ports = told_by_ports(tally);
	struct asked asked[BATCH];

	if (tally->seen)
		fetch_ends(tally, entries, n, asked);
	for (size_t i = 0; i < n; i++)
		count(tally, &entries[i], by_ports);
	if (tally->seen)
		meet_new(tally, entries, n, asked);
	for (size_t i = 0; tally->scoped && i < n; i++)
		note_scoped(tally, &entries[i]);
}

void pm_tally_ports(struct pm_tally *tally, const struct pm_tally_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i += BATCH)
		count_batch(tally, entries + i, n - i < BATCH ? n - i : BATCH);
}

/* What of such a frame its ports do not tell. */
static PM_OUT_OF_LINE void known_count(struct pm_tally *tally, const struct pm_tally_known *known)
{
	struct pm_tally_entry entry = {
		.src_port = (uint16_t)(known->ports >> 16),
		.dst_port = (uint16_t)known->ports,
		.decision = { 0, known->side, known->rung },
		.wire = known->wire,
		.transport = known->transport,
	};

	service_count(tally, &entry);
}

void pm_tally_known(struct pm_tally *tally, const struct pm_tally_known *known, size_t n)
{
	uint32_t by_ports = told_by_ports(tally);

	for (size_t i = 0; i < n; i++) {
		struct pm_tally_transport *tt = &tally->transports[known[i].transport];
		uint16_t src_port = (uint16_t)(known[i].ports >> 16);
		uint16_t dst_port = (uint16_t)known[i].ports;
		struct pm_port_cell *src = &tt->ports[src_port], *dst = &tt->ports[dst_port];
		struct pm_count one = { 1, known[i].wire };

		/* neither is 0; here they may be new: another tally may have counted the first */
		port_count(tt, dst_port, dst, &dst->dst[known[i].side >> 1], one);
		port_count(tt, src_port, src, &src->src[known[i].side == PM_SIDE_SRC], one);
		if (!(by_ports >> known[i].rung & 1))
			known_count(tally, &known[i]);
	}
}

void pm_tally_no_port(struct pm_tally *tally, enum pm_verdict verdict, uint8_t protocol,
		      uint32_t wire)
{
	pm_count_add(&tally->no_port[verdict], (struct pm_count){ 1, wire });
	if (verdict == PM_VERDICT_NO_PORTS_PROTOCOL)
		pm_count_add(&tally->protocols[protocol], (struct pm_count){ 1, wire });
}
