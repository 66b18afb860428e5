/* SPDX-License-Identifier: MIT */
/* Counters of one interval. Counting rules: docs/architecture.md. */
#include <stdlib.h>
#include <string.h>

#include "anomaly.h"
#include "tally-internal.h"

/* Slots of the set of host-scoped labels; it is filled to half, so that probes stay short. */
#define SCOPED_SLOTS ((size_t)1 << 17)

/* So many ports that it is faster to go through all in their order than from one to another. */
#define CROWDED (PM_PORTS / 8)
/* So many, in a short while, that more are to be expected than a few servers and their clients. */
#define MANY 1536

static const struct pm_interval no_frames = { .first_ns = PM_TIME_MAX, .last_ns = PM_TIME_MIN };

static void services_free(struct pm_tally *tally)
{
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		free(tally->transports[t].services);
		free(tally->transports[t].used_services);
		tally->transports[t].services = NULL;
		tally->transports[t].used_services = NULL;
	}
	free(tally->scoped);
	tally->scoped = NULL;
}

/*
 * The part whose size depends on the rules. calloc maps large blocks lazily: unseen services cost
 * nothing.
 */
static int services_make(struct pm_tally *tally, struct pm_rules *rules)
{
	size_t n = (size_t)pm_rules_services(rules) + 1;

	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		struct pm_tally_transport *tt = &tally->transports[t];

		tt->services = calloc(n, sizeof *tt->services);
		/* A list, read as far as it is written: calloc would touch it all now. */
		tt->used_services = malloc(n * sizeof *tt->used_services);
		if (!tt->services || !tt->used_services)
			return PM_E_MEMORY;
	}
	if (pm_rules_any_scope(rules)) {
		tally->scoped = calloc(SCOPED_SLOTS, sizeof *tally->scoped);
		if (!tally->scoped)
			return PM_E_MEMORY;
	}
	tally->rules = pm_rules_ref(rules);
	return PM_OK;
}

/*
 * Cells that begin with a cache line, so that none lies across two. Not by aligned_alloc: calloc
 * has the pages of ports that nobody uses never touched.
 */
static int cells_new(struct pm_tally_transport *tt)
{
	uintptr_t line = 64, at;

	tt->block = calloc(PM_PORTS + line / sizeof *tt->ports, sizeof *tt->ports);
	if (!tt->block)
		return PM_E_MEMORY;
	at = ((uintptr_t)tt->block + line - 1) / line * line;
	tt->ports = (struct pm_port_cell *)at;
	return PM_OK;
}

int pm_tally_new(struct pm_rules *rules, struct pm_tally **ret_tally)
{
	struct pm_tally *tally = calloc(1, sizeof *tally);
	int r = PM_E_MEMORY;

	if (!tally)
		return r;
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		struct pm_tally_transport *tt = &tally->transports[t];

		tt->used_ports = calloc(PM_PORTS, sizeof *tt->used_ports);
		tt->rungs = calloc(PM_PORTS, sizeof *tt->rungs);
		if (cells_new(tt) < 0 || !tt->used_ports || !tt->rungs)
			goto out;
	}
	tally->unusual = pm_unusual_new();
	if (!tally->unusual)
		goto out;
	r = services_make(tally, rules);
	if (r < 0)
		goto out;
	tally->key = pm_hash_key_random();
	tally->merged = 1;
	tally->interval = no_frames;
	*ret_tally = tally;
	tally = NULL;
out:
	pm_tally_free(tally);
	return r;
}

void pm_tally_free(struct pm_tally *tally)
{
	if (!tally)
		return;
	services_free(tally);
	pm_talk_free(tally->talk, tally->seen, tally->seen_bits);
	pm_endpoints_free(tally->endpoints);
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		free(tally->transports[t].block);
		free(tally->transports[t].used_ports);
		free(tally->transports[t].rungs);
	}
	pm_unusual_free(tally->unusual);
	pm_rules_unref(tally->rules);
	free(tally);
}

static bool is_crowded(const struct pm_tally_transport *tt)
{
	return tt->n_used_ports > CROWDED;
}

static void transport_clear(struct pm_tally_transport *tt)
{
	if (is_crowded(tt))
		memset(tt->ports, 0, PM_PORTS * sizeof *tt->ports);
	for (uint32_t i = 0; !is_crowded(tt) && i < tt->n_used_ports; i++)
		memset(&tt->ports[tt->used_ports[i]], 0, sizeof *tt->ports);
	for (uint32_t i = 0; tt->any_rungs && i < tt->n_used_ports; i++)
		memset(&tt->rungs[tt->used_ports[i]], 0, sizeof *tt->rungs);
	tt->any_rungs = false;
	for (uint32_t i = 0; i < tt->n_used_services; i++)
		memset(&tt->services[tt->used_services[i]], 0, sizeof *tt->services);
	tt->n_used_ports = 0;
	tt->n_used_services = 0;
}

int pm_tally_reset(struct pm_tally *tally, struct pm_rules *rules)
{
	struct pm_tally fresh = { .rules = NULL };
	struct pm_rules *old = tally->rules;
	int r;

	for (int t = 0; t < PM_TRANSPORT_N; t++)
		transport_clear(&tally->transports[t]);
	if (tally->scoped_used)
		memset(tally->scoped, 0, SCOPED_SLOTS * sizeof *tally->scoped);
	tally->scoped_used = 0;
	pm_talk_clear(tally);
	if (tally->endpoints)
		pm_endpoints_clear(tally->endpoints);
	tally->interval = no_frames;
	memset(&tally->capture, 0, sizeof tally->capture);
	memset(&tally->given_up, 0, sizeof tally->given_up);
	memset(tally->no_port, 0, sizeof tally->no_port);
	memset(tally->protocols, 0, sizeof tally->protocols);
	memset(tally->facets, 0, sizeof tally->facets);
	pm_anomaly_clear(tally);
	memset(tally->by_ip, 0, sizeof tally->by_ip);
	tally->snapped = 0;
	tally->learned = 0;
	tally->seq = 0;
	tally->merged = 1;
	if (rules == old)
		return PM_OK;
	r = services_make(&fresh, rules);
	if (r == PM_OK)
		r = pm_talk_follow(tally, rules);
	if (r < 0) {
		services_free(&fresh);
		pm_rules_unref(fresh.rules);
		return r;
	}
	services_free(tally);
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		tally->transports[t].services = fresh.transports[t].services;
		tally->transports[t].used_services = fresh.transports[t].used_services;
	}
	tally->scoped = fresh.scoped;
	tally->rules = fresh.rules;
	pm_rules_unref(old);
	return PM_OK;
}

unsigned pm_tally_crowds(const struct pm_tally *tally)
{
	unsigned transports = 0;

	for (int t = 0; t < PM_TRANSPORT_N; t++)
		if (tally->transports[t].n_used_ports > MANY)
			transports |= 1U << t;
	return transports;
}

void pm_tally_expect(struct pm_tally *tally, unsigned transports)
{
	size_t services = (size_t)pm_rules_services(tally->rules) + 1;

	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		struct pm_tally_transport *tt = &tally->transports[t];

		if (tt->there || !(transports & 1U << t))
			continue;
		tt->there = true;
		pm_pages_make(tt->ports, PM_PORTS * sizeof *tt->ports);
		pm_pages_make(tt->used_ports, PM_PORTS * sizeof *tt->used_ports);
		pm_pages_make(tt->services, services * sizeof *tt->services);
	}
}

/* Counts into @count, one of @cell's; the first time the port joins those that are used. */
static inline void port_count(struct pm_tally_transport *tt, uint16_t port,
			      const struct pm_port_cell *cell, struct pm_count *count,
			      struct pm_count more)
{
	if (count->packets == 0 && pm_port_is_new(cell))
		tt->used_ports[tt->n_used_ports++] = port;
	pm_count_add(count, more);
}

/* The cell of a service, which is among the used ones from then on. */
static inline struct pm_service_cell *service_use(struct pm_tally_transport *tt, uint16_t id)
{
	struct pm_service_cell *cell = &tt->services[id];

	if (!cell->used) {
		cell->used = true;
		tt->used_services[tt->n_used_services++] = id;
	}
	return cell;
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
	cell = service_use(tt, service_of(tally, entry));
	pm_count_add(&cell->side[entry->decision.side], (struct pm_count){ 1, entry->wire });
	cell->rung[entry->decision.rung]++;
}

static uint64_t scoped_key(enum pm_transport transport, uint32_t service, uint16_t port)
{
	return (uint64_t)(transport + 1) << 32 | (uint64_t)service << 16 | port;
}

/* The key's slot, or the free one where it belongs. Half of the slots stay free, so this ends. */
static size_t scoped_slot(const struct pm_tally *tally, uint64_t key)
{
	size_t slot = pm_hash(tally->key, &key, sizeof key) % SCOPED_SLOTS;

	while (tally->scoped[slot] && tally->scoped[slot] != key)
		slot = (slot + 1) % SCOPED_SLOTS;
	return slot;
}

static void scoped_add(struct pm_tally *tally, uint64_t key)
{
	size_t slot = scoped_slot(tally, key);

	if (tally->scoped[slot])
		return;
	if (tally->scoped_used >= SCOPED_SLOTS / 2) {
		tally->given_up.service_ports++;
		return;
	}
	tally->scoped[slot] = key;
	tally->scoped_used++;
}

bool pm_tally_scoped_next(const struct pm_tally *tally, size_t *at,
			  enum pm_transport *ret_transport, uint16_t *ret_service,
			  uint16_t *ret_port)
{
	for (; tally->scoped_used && *at < SCOPED_SLOTS; (*at)++) {
		uint64_t key = tally->scoped[*at];

		if (!key)
			continue;
		*ret_transport = (enum pm_transport)((key >> 32) - 1);
		*ret_service = (uint16_t)(key >> 16);
		*ret_port = (uint16_t)key;
		(*at)++;
		return true;
	}
	return false;
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
		scoped_add(tally, scoped_key(transport, entry->decision.service, port));
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
static inline void count(struct pm_tally *tally, const struct pm_tally_entry *entry)
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
	if (tally->scoped || !(BY_PORTS_ALONE >> entry->decision.rung & 1))
		service_count(tally, entry);
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

/* What the filter is asked of an entry. */
struct asked {
	const struct pm_tally_entry *entry;
	struct ends ends;
	uint64_t *seen[PM_ROLE_N]; /* places */
};

/* The filter, as it is looked at. */
struct filter {
	uint64_t *seen;
	unsigned shift; /* what is left of a spread end chooses the places for it */
};

static inline struct filter filter_of(const struct pm_tally *tally)
{
	return (struct filter){ tally->seen, 64 + 2 - tally->seen_bits };
}

static inline uint64_t *filter_line(struct filter filter, uint64_t end)
{
	/* an odd number near 2^64 divided by the golden ratio */
	uint64_t spread = end * UINT64_C(0x9e3779b97f4a7c15);

	return filter.seen + (spread >> filter.shift) * PM_TALK_SEEN_WAYS;
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

static inline struct ends ends_of(const struct pm_tally_entry *entry, uint64_t salt)
{
	/* all bits of a source that serves; which of both does, no branch can predict */
	uint64_t from = -(uint64_t)(entry->decision.side == PM_SIDE_SRC);
	uint64_t port = entry->dst_port ^ ((entry->src_port ^ entry->dst_port) & from);
	uint64_t apart = entry->src_host ^ entry->dst_host;
	uint64_t server = entry->dst_host ^ (apart & from);
	uint64_t what = (uint64_t)entry->transport << 32 | port << 16 | entry->decision.service;

	/* Below those rungs there is no label. */
	if (entry->decision.rung >= PM_RUNG_EPHEMERAL || entry->decision.side == PM_SIDE_BOTH)
		return (struct ends){ 0, 0 };
	/* an odd number near 2^64 divided by the root of 2 */
	what = what * UINT64_C(0xb504f333f9de6485) + salt;
	return (struct ends){ server ^ apart ^ what, server ^ ~what };
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

/* Fetches what the filter holds of @n entries' ends; of how many there is something to ask. */
static inline size_t fetch_ends(const struct pm_tally *tally, const struct pm_tally_entry *entries,
				size_t n, struct asked *asked)
{
	struct filter filter = filter_of(tally);
	uint64_t salt = tally->seen_salt;
	size_t n_asked = 0;

	for (size_t i = 0; i < n; i++) {
		struct asked *ask = &asked[n_asked];

		if (!entries[i].src_host)
			continue;
		ask->entry = &entries[i];
		ask->ends = ends_of(&entries[i], salt);
		ask->seen[PM_ROLE_CLIENT] = filter_line(filter, ask->ends.client);
		ask->seen[PM_ROLE_SERVER] = filter_line(filter, ask->ends.server);
		__builtin_prefetch(ask->seen[PM_ROLE_CLIENT], 1);
		__builtin_prefetch(ask->seen[PM_ROLE_SERVER], 1);
		n_asked += ask->ends.client != 0;
	}
	return n_asked;
}

static void count_batch(struct pm_tally *tally, const struct pm_tally_entry *entries, size_t n)
{
	struct asked asked[BATCH];
	struct pm_meeting met[BATCH * PM_ROLE_N];
	size_t n_asked = tally->seen ? fetch_ends(tally, entries, n, asked) : 0, n_met = 0;

	for (size_t i = 0; i < n; i++)
		count(tally, &entries[i]);
	for (size_t i = 0; i < n_asked; i++) {
		const struct asked *ask = &asked[i];

		if (!is_met(ask->seen[PM_ROLE_CLIENT], ask->ends.client))
			met[n_met++] = meeting(ask->entry, PM_ROLE_CLIENT);
		if (!is_met(ask->seen[PM_ROLE_SERVER], ask->ends.server))
			met[n_met++] = meeting(ask->entry, PM_ROLE_SERVER);
	}
	if (n_met)
		meet(tally, met, n_met);
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
	for (size_t i = 0; i < n; i++) {
		struct pm_tally_transport *tt = &tally->transports[known[i].transport];
		uint16_t src_port = (uint16_t)(known[i].ports >> 16);
		uint16_t dst_port = (uint16_t)known[i].ports;
		struct pm_port_cell *src = &tt->ports[src_port], *dst = &tt->ports[dst_port];
		struct pm_count one = { 1, known[i].wire };

		/* neither is 0; here they may be new: another tally may have counted the first */
		port_count(tt, dst_port, dst, &dst->dst[known[i].side >> 1], one);
		port_count(tt, src_port, src, &src->src[known[i].side == PM_SIDE_SRC], one);
		if (tally->scoped || !(BY_PORTS_ALONE >> known[i].rung & 1))
			known_count(tally, &known[i]);
	}
}

static void count_less(struct pm_count *from, struct pm_count less)
{
	from->packets -= less.packets;
	from->bytes -= less.bytes;
}

/* A service has the frames of the ports that bear its label. */
static void settle_port(const struct pm_rules *rules, enum pm_transport transport,
			struct pm_tally_transport *tt, uint16_t port)
{
	const struct pm_port_cell *cell = &tt->ports[port];
	const struct pm_port_rungs *rungs = &tt->rungs[port];
	uint16_t id = (uint16_t)pm_rules_label(rules, transport, port);
	struct pm_service_cell *service = service_use(tt, id);
	uint64_t rest = pm_port_as_service(cell).packets;

	pm_count_add(&service->side[PM_SIDE_SRC], cell->src[1]);
	pm_count_add(&service->side[PM_SIDE_DST], cell->dst[1]);
	if (tt->any_rungs) {
		struct pm_count both = { rungs->packets[PM_RUNG_SYMMETRIC],
					 rungs->symmetric_bytes };

		pm_count_add(&service->side[PM_SIDE_BOTH], both);
		count_less(&service->side[PM_SIDE_DST], both);
		for (int rung = 0; rung <= PM_RUNG_SCORE; rung++) {
			service->rung[rung] += rungs->packets[rung];
			rest -= rungs->packets[rung];
		}
	}
	service->rung[id ? PM_RUNG_KNOWN : PM_RUNG_EPHEMERAL] += rest;
}

/*
 * Every frame counts for its destination port, and for the port of its side if it has one: the rest
 * is sideless.
 */
static void settle(const struct pm_rules *rules, enum pm_transport transport,
		   struct pm_tally_transport *tt)
{
	struct pm_count sideless = { 0, 0 };

	for (uint32_t i = 0; i < tt->n_used_services; i++)
		memset(&tt->services[tt->used_services[i]], 0, sizeof *tt->services);
	tt->n_used_services = 0;
	for (uint32_t i = 0; i < tt->n_used_ports; i++) {
		uint16_t port = tt->used_ports[i];
		struct pm_count as_service = pm_port_as_service(&tt->ports[port]);

		pm_count_add(&sideless, pm_port_dst(&tt->ports[port]));
		if (!as_service.packets)
			continue;
		settle_port(rules, transport, tt, port);
		count_less(&sideless, as_service);
	}
	if (sideless.packets) {
		service_use(tt, 0)->side[PM_SIDE_NONE] = sideless;
		tt->services[0].rung[PM_RUNG_UNKNOWN] = sideless.packets;
	}
}

void pm_tally_settle(struct pm_tally *tally)
{
	/* Where labels depend on addresses, each frame has been counted by its service. */
	for (int t = 0; t < PM_TRANSPORT_N && !tally->scoped; t++)
		settle(tally->rules, (enum pm_transport)t, &tally->transports[t]);
	pm_anomaly_settle(tally);
}

void pm_tally_no_port(struct pm_tally *tally, enum pm_verdict verdict, uint8_t protocol,
		      uint32_t wire)
{
	pm_count_add(&tally->no_port[verdict], (struct pm_count){ 1, wire });
	if (verdict == PM_VERDICT_NO_PORTS_PROTOCOL)
		pm_count_add(&tally->protocols[protocol], (struct pm_count){ 1, wire });
}

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
	for (uint32_t i = 0; !is_crowded(from) && i < from->n_used_ports; i++)
		port_merge(into, from, from->used_ports[i]);
	for (uint32_t port = 0; is_crowded(from) && port < PM_PORTS; port++)
		if (!pm_port_is_new(&from->ports[port]))
			port_merge(into, from, (uint16_t)port);
	for (uint32_t i = 0; i < from->n_used_services; i++) {
		uint16_t id = from->used_services[i];
		const struct pm_service_cell *more = &from->services[id];
		struct pm_service_cell *cell = service_use(into, id);

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
	for (size_t slot = 0; from->scoped_used && slot < SCOPED_SLOTS; slot++)
		if (from->scoped[slot])
			scoped_add(into, from->scoped[slot]);
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
