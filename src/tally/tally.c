/* SPDX-License-Identifier: MIT */
/*
 * Counters of one interval: what a tally is made of, from its making to the next interval; the set
 * of labels that depend on addresses; and services, which are made of the cells of their ports when
 * the interval closes. Frames are counted in count.c.
 */
#include <stdlib.h>
#include <string.h>

#include "anomaly.h"
#include "tally-internal.h"

/* Slots of the set of host-scoped labels; it is filled to half, so that probes stay short. */
#define SCOPED_SLOTS ((size_t)1 << 17)
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

static void transport_clear(struct pm_tally_transport *tt)
{
	if (pm_tally_crowded(tt))
		memset(tt->ports, 0, PM_PORTS * sizeof *tt->ports);
	for (uint32_t i = 0; !pm_tally_crowded(tt) && i < tt->n_used_ports; i++)
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

void pm_scoped_add(struct pm_tally *tally, enum pm_transport transport, uint16_t service,
		   uint16_t port)
{
	scoped_add(tally, scoped_key(transport, service, port));
}

void pm_scoped_merge(struct pm_tally *into, const struct pm_tally *from)
{
	for (size_t slot = 0; from->scoped_used && slot < SCOPED_SLOTS; slot++)
		if (from->scoped[slot])
			scoped_add(into, from->scoped[slot]);
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
	struct pm_service_cell *service = pm_service_use(tt, id);
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
		pm_service_use(tt, 0)->side[PM_SIDE_NONE] = sideless;
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
