/* SPDX-License-Identifier: MIT */
/*
 * Conversations: what became of them, by server's port and by service, and who took part. The
 * first is exact; the second lives on an allowance.
 */
#include <stdlib.h>
#include <string.h>

#include "tally-internal.h"

/* Counters of ports or services, those of the first transport first. */
struct cells {
	struct pm_talk_count *cells;
	uint32_t *used; /* which of them count something */
	uint32_t n_used;
};

/* The addresses of one service. */
struct peers {
	uint32_t key; /* 0: a free place */
	struct pm_set of[PM_ROLE_N];
};

#define PEERS_LEAST 64 /* places of the table; a quarter is always free */

struct pm_talk {
	struct pm_allowance *allowance;
	struct pm_store store;
	uint64_t odd; /* drawn, so that nobody can aim at places of tables */
	struct cells ports, services;
	size_t n_services; /* of a transport, with the one for no label */
	struct peers *peers;
	size_t places, n_peers;
	bool full;  /* services had no room: what they missed is not made good by room later */
};

/* calloc maps large blocks lazily, and the list is read as far as it is written. */
static int cells_new(struct cells *cells, size_t n)
{
	*cells = (struct cells){ .cells = calloc(n, PM_TRANSPORT_N * sizeof *cells->cells),
				 .used = malloc(n * PM_TRANSPORT_N * sizeof *cells->used) };
	return cells->cells && cells->used ? PM_OK : PM_E_MEMORY;
}

static void cells_free(struct cells *cells)
{
	free(cells->cells);
	free(cells->used);
}

static void cells_clear(struct cells *cells)
{
	for (uint32_t i = 0; i < cells->n_used; i++)
		memset(&cells->cells[cells->used[i]], 0, sizeof *cells->cells);
	cells->n_used = 0;
}

/* A cell that will count something. */
static struct pm_talk_count *cells_use(struct cells *cells, size_t at)
{
	struct pm_talk_count *cell = &cells->cells[at];

	/* nearly always the first tells */
	if (!cell->attempts && !cell->sessions && !cell->refused && !cell->unanswered)
		cells->used[cells->n_used++] = (uint32_t)at;
	return cell;
}

static void cells_merge(struct cells *into, const struct cells *from)
{
	for (uint32_t i = 0; i < from->n_used; i++)
		pm_talk_add(cells_use(into, from->used[i]), &from->cells[from->used[i]]);
}

static void peers_clear(struct pm_talk *talk)
{
	pm_store_clear(&talk->store);
	free(talk->peers);
	pm_allowance_give(talk->allowance, talk->places * sizeof *talk->peers);
	talk->peers = NULL;
	talk->places = talk->n_peers = 0;
	talk->full = false;
}

static size_t seen_size(unsigned bits)
{
	return sizeof(uint64_t) << bits;
}

/*
 * Zeroed, with the places for one end beside each other in a line of the cache. No aligned_alloc:
 * calloc has the pages that nobody uses never touched. What it gave stands in the word before.
 */
static uint64_t *filter_new(size_t size)
{
	const size_t line = PM_TALK_SEEN_WAYS * sizeof(uint64_t);
	void *block = calloc(1, size + sizeof block + line);
	uintptr_t at = ((uintptr_t)block + sizeof block + line - 1) / line * line;

	if (!block)
		return NULL;
	memcpy((void *)(at - sizeof block), &block, sizeof block);
	return (uint64_t *)at;
}

static void filter_free(uint64_t *seen)
{
	void *block = NULL;

	if (seen)
		memcpy(&block, (const char *)seen - sizeof block, sizeof block);
	free(block);
}

/* NULL: the allowance has none left for it, or memory is short. */
static uint64_t *seen_new(struct pm_allowance *allowance, unsigned *ret_bits)
{
	unsigned bits = PM_TALK_SEEN_BITS_MOST;
	uint64_t *seen;

	if (pm_allowance_left(allowance) < PM_ALLOWANCE_BYTES / 4 * 3)
		bits = PM_TALK_SEEN_BITS_LEAST;
	if (!pm_allowance_take(allowance, seen_size(bits)))
		return NULL;
	seen = filter_new(seen_size(bits));
	if (!seen)
		pm_allowance_give(allowance, seen_size(bits));
	*ret_bits = bits;
	return seen;
}

void pm_talk_free(struct pm_talk *talk, uint64_t *seen, unsigned seen_bits)
{
	if (!talk)
		return;
	peers_clear(talk);
	if (seen)
		pm_allowance_give(talk->allowance, seen_size(seen_bits));
	filter_free(seen);
	cells_free(&talk->ports);
	cells_free(&talk->services);
	pm_allowance_unref(talk->allowance);
	free(talk);
}

int pm_tally_talk(struct pm_tally *tally, struct pm_allowance *allowance)
{
	struct pm_talk *talk = calloc(1, sizeof *talk);
	unsigned bits = 0;
	uint64_t *seen;

	if (!talk)
		return PM_E_MEMORY;
	talk->allowance = talk->store.allowance = pm_allowance_ref(allowance);
	talk->odd = pm_hash_key_random().k0 | 1;
	talk->n_services = (size_t)pm_rules_services(tally->rules) + 1;
	if (cells_new(&talk->ports, PM_PORTS) < 0 ||
	    cells_new(&talk->services, talk->n_services) < 0) {
		pm_talk_free(talk, NULL, 0);
		return PM_E_MEMORY;
	}
	seen = seen_new(allowance, &bits);
	talk->full = !seen;
	pm_talk_free(tally->talk, tally->seen, tally->seen_bits);
	tally->talk = talk;
	tally->seen = seen;
	tally->seen_bits = bits;
	return PM_OK;
}

void pm_talk_clear(struct pm_tally *tally)
{
	struct pm_talk *talk = tally->talk;

	if (!talk)
		return;
	cells_clear(&talk->ports);
	cells_clear(&talk->services);
	/* an odd number near 2^64 divided by the root of 5 */
	tally->seen_salt += UINT64_C(0x727c9716ffb764d5);
	peers_clear(talk);
	talk->full = !tally->seen;
}

int pm_talk_follow(struct pm_tally *tally, const struct pm_rules *rules)
{
	struct pm_talk *talk = tally->talk;
	size_t n = (size_t)pm_rules_services(rules) + 1;
	struct cells fresh;

	if (!talk)
		return PM_OK;
	if (cells_new(&fresh, n) < 0) {
		cells_free(&fresh);
		return PM_E_MEMORY;
	}
	cells_free(&talk->services);
	talk->services = fresh;
	talk->n_services = n;
	return PM_OK;
}

/* The service, or where none is given that of the port. */
static uint16_t service_of(const struct pm_tally *tally, enum pm_transport transport, uint16_t port,
			   uint16_t service)
{
	return service ? service : (uint16_t)pm_rules_label(tally->rules, transport, port);
}

/* UDP's first frame opens and establishes. */
static bool has_handshake(enum pm_transport transport)
{
	return transport != PM_TRANSPORT_UDP && transport != PM_TRANSPORT_UDPLITE;
}

static void count(struct pm_talk_count *cell, enum pm_transport transport, enum pm_event event,
		  uint32_t times)
{
	switch (event) {
	case PM_EVENT_ATTEMPT:
		cell->attempts += times;
		cell->sessions += has_handshake(transport) ? 0 : times;
		break;
	case PM_EVENT_SESSION:
		cell->sessions += times;
		break;
	case PM_EVENT_REFUSAL:
		cell->refused += times;
		break;
	case PM_EVENT_UNANSWERED:
	case PM_EVENT_LATE:
		cell->unanswered += times;
		break;
	default:
		break;
	}
}

void pm_tally_event(struct pm_tally *tally, enum pm_transport transport, uint16_t server_port,
		    uint16_t service, enum pm_event event, uint32_t times)
{
	struct pm_talk *talk = tally->talk;

	if (!talk || event == PM_EVENT_ANSWER)
		return;
	service = service_of(tally, transport, server_port, service);
	count(cells_use(&talk->ports, (size_t)transport * PM_PORTS + server_port), transport,
	      event, times);
	count(cells_use(&talk->services, (size_t)transport * talk->n_services + service), transport,
	      event, times);
}

void pm_tally_event_fetch(const struct pm_tally *tally, enum pm_transport transport,
			  uint16_t server_port)
{
	if (tally->talk)
		__builtin_prefetch(
			&tally->talk->ports.cells[(size_t)transport * PM_PORTS + server_port], 1);
}

/* Where it is looked for first. */
static struct peers *peers_home(const struct pm_talk *talk, struct peers *table, size_t places,
				uint32_t key)
{
	return &table[(size_t)((key * talk->odd) >> 32) & (places - 1)];
}

/* Its place in the table, or the free one where it belongs. */
static struct peers *peers_place(const struct pm_talk *talk, struct peers *table, size_t places,
				 uint32_t key)
{
	struct peers *at = peers_home(talk, table, places, key);

	while (at->key && at->key != key)
		at = at + 1 < table + places ? at + 1 : table;
	return at;
}

static bool peers_grow(struct pm_talk *talk)
{
	size_t places = talk->places ? 2 * talk->places : PEERS_LEAST;
	struct peers *table;

	if (!pm_allowance_take(talk->allowance, places * sizeof *table))
		return false;
	table = calloc(places, sizeof *table);
	if (!table) {
		pm_allowance_give(talk->allowance, places * sizeof *table);
		return false;
	}
	for (size_t i = 0; i < talk->places; i++)
		if (talk->peers[i].key)
			*peers_place(talk, table, places, talk->peers[i].key) = talk->peers[i];
	free(talk->peers);
	pm_allowance_give(talk->allowance, talk->places * sizeof *table);
	talk->peers = table;
	talk->places = places;
	return true;
}

static uint32_t peers_key(enum pm_transport transport, uint16_t service)
{
	return (uint32_t)(transport + 1) << 16 | service;
}

/* Those of a service; NULL: there are none. */
static struct peers *peers_find(const struct pm_talk *talk, uint32_t key)
{
	struct peers *peers =
		talk->places ? peers_place(talk, talk->peers, talk->places, key) : NULL;

	return peers && peers->key ? peers : NULL;
}

/* The same, new if need be; NULL: there is no room. */
static struct peers *peers_use(struct pm_talk *talk, uint32_t key)
{
	struct peers *peers = peers_find(talk, key);

	if (peers)
		return peers;
	if (talk->n_peers + 1 > talk->places / 4 * 3 && !talk->full)
		talk->full = !peers_grow(talk);
	if (talk->full)
		return NULL;
	peers = peers_place(talk, talk->peers, talk->places, key);
	peers->key = key;
	talk->n_peers++;
	return peers;
}

/* Where a meeting is noted. */
struct place {
	uint32_t key; /* of the peers; 0: it has no label */
	struct peers *peers; /* NULL: it is not noted */
};

/* Finds the peers of all; what will be touched there is being fetched. */
static void find_all(struct pm_talk *talk, const struct pm_meeting *meetings, size_t n,
		     struct place *places)
{
	struct peers *peers = NULL;
	uint32_t key = 0;

	for (size_t i = 0; i < n; i++) {
		if (places[i].key != key)
			peers = places[i].key ? peers_use(talk, places[i].key) : NULL;
		key = places[i].key;
		places[i].peers = peers;
		if (peers)
			pm_set_fetch(&peers->of[meetings[i].role], talk->odd, meetings[i].hash);
	}
}

/* Of the peers that it belongs to; 0: they have no label. */
static inline uint32_t meeting_key(const struct pm_tally *tally, const struct pm_meeting *meeting)
{
	enum pm_transport transport = (enum pm_transport)meeting->transport;
	uint16_t service = service_of(tally, transport, meeting->port, meeting->service);

	return service ? peers_key(transport, service) : 0;
}

static inline bool is_same_service(const struct pm_meeting *one, const struct pm_meeting *other)
{
	return one->port == other->port && one->service == other->service &&
	       one->transport == other->transport;
}

void pm_talk_meet(struct pm_tally *tally, const struct pm_meeting *meetings, size_t n)
{
	struct pm_talk *talk = tally->talk;
	struct peers *table = talk->peers;
	struct place places[PM_MEETINGS_MAX];

	/* Each step for all of them, so that memory is waited for once and not for each. */
	for (size_t i = 0; i < n; i++) {
		/* most often of what the one before is of too */
		if (i && is_same_service(&meetings[i], &meetings[i - 1])) {
			places[i].key = places[i - 1].key;
			continue;
		}
		places[i].key = meeting_key(tally, &meetings[i]);
		if (table)
			__builtin_prefetch(peers_home(talk, table, talk->places, places[i].key), 1);
	}
	find_all(talk, meetings, n, places);
	/* A table that has grown stands elsewhere; by now it has all of them, or is full. */
	if (talk->peers != table)
		find_all(talk, meetings, n, places);
	for (size_t i = 0; i < n; i++)
		if (places[i].peers)
			pm_set_add(&talk->store, &places[i].peers->of[meetings[i].role], talk->odd,
				   meetings[i].hash);
}

void pm_tally_peer(struct pm_tally *tally, enum pm_transport transport, uint16_t service_port,
		   uint16_t service, enum pm_role role, uint64_t hash)
{
	const struct pm_meeting meeting = { .hash = hash,
					    .port = service_port,
					    .service = service,
					    .transport = (uint8_t)transport,
					    .role = (uint8_t)role };

	if (tally->seen)
		pm_talk_meet(tally, &meeting, 1);
}

size_t pm_talk_size(const struct pm_talk *talk)
{
	return talk ? talk->ports.n_used + talk->n_peers : 0;
}

/* Services that are not in a full table may have been left out of it. */
static void peers_doubt(struct pm_talk *into, const struct pm_talk *full)
{
	const struct pm_set lost = { .kind = PM_SET_LOST };

	for (size_t i = 0; i < into->places; i++) {
		struct peers *peers = &into->peers[i];

		for (int role = 0; role < PM_ROLE_N && peers->key; role++)
			if (!peers_find(full, peers->key))
				pm_set_merge(&into->store, &peers->of[role], into->odd, &lost);
	}
}

void pm_talk_merge(struct pm_tally *into_tally, const struct pm_tally *from_tally)
{
	struct pm_talk *into = into_tally->talk;
	const struct pm_talk *from = from_tally->talk;

	if (!into || !from)
		return;
	cells_merge(&into->ports, &from->ports);
	cells_merge(&into->services, &from->services);
	if (from->full)
		peers_doubt(into, from);
	for (size_t i = 0; i < from->places; i++) {
		const struct peers *more = &from->peers[i];
		struct peers *peers = more->key ? peers_use(into, more->key) : NULL;

		for (int role = 0; peers && role < PM_ROLE_N; role++)
			pm_set_merge(&into->store, &peers->of[role], into->odd, &more->of[role]);
	}
	into->full |= from->full;
}

struct pm_talk_count pm_tally_port_talk(const struct pm_tally *tally, enum pm_transport transport,
					uint16_t port)
{
	if (!tally->talk)
		return (struct pm_talk_count){ .sessions = 0 };
	return tally->talk->ports.cells[(size_t)transport * PM_PORTS + port];
}

struct pm_talk_count pm_tally_service_talk(const struct pm_tally *tally,
					   enum pm_transport transport, uint16_t service)
{
	const struct pm_talk *talk = tally->talk;

	if (!talk)
		return (struct pm_talk_count){ .sessions = 0 };
	return talk->services.cells[(size_t)transport * talk->n_services + service];
}

struct pm_distinct pm_tally_distinct(const struct pm_tally *tally, enum pm_transport transport,
				     uint16_t service, enum pm_role role)
{
	const struct pm_talk *talk = tally->talk;
	const struct peers *peers = talk ? peers_find(talk, peers_key(transport, service)) : NULL;

	if (peers)
		return pm_set_count(&peers->of[role]);
	return (struct pm_distinct){ .given_up = talk && talk->full };
}
