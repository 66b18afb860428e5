/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share.
 *
 *   tally.c       what a tally is, to the next interval; labels by address; services, at its end
 *   count.c       counting frames: by port, by what ports do not tell, and the filter of ends
 *   merge.c       two tallies made one
 *   talk.c        conversations: what became of them, and who took part
 *   distinct.c    sets of addresses, exact or estimated, and the memory that they may have
 *   endpoints.c   rows of servers' endpoints
 *   anomaly.c     anomalies, by their facets (anomaly.h)
 */
#ifndef PORTMETER_TALLY_INTERNAL_H
#define PORTMETER_TALLY_INTERNAL_H

#include "portmeter/tally.h"

/* The cell of a service, which is among the used ones from then on. */
static inline struct pm_service_cell *pm_service_use(struct pm_tally_transport *tt, uint16_t id)
{
	struct pm_service_cell *cell = &tt->services[id];

	if (!cell->used) {
		cell->used = true;
		tt->used_services[tt->n_used_services++] = id;
	}
	return cell;
}

/*
 * The set of labels that depend on addresses, by port, of a tally whose rules have such; a full one
 * gives up what is new.
 */
void pm_scoped_add(struct pm_tally *tally, enum pm_transport transport, uint16_t service,
		   uint16_t port);
void pm_scoped_merge(struct pm_tally *into, const struct pm_tally *from);

/* Takes @bytes of it; false: there are not as many left. */
bool pm_allowance_take(struct pm_allowance *allowance, size_t bytes);
size_t pm_allowance_left(const struct pm_allowance *allowance);
void pm_allowance_give(struct pm_allowance *allowance, size_t bytes);

/*
 * Blocks of 2^n bytes out of slabs that the allowance pays for. Blocks that are given back serve
 * again; slabs go when all blocks do.
 */
#define PM_STORE_LEAST 5 /* 32 bytes */
#define PM_STORE_MOST 14 /* 16 KiB: a slab */

struct pm_store {
	struct pm_allowance *allowance; /* borrowed */
	void *slabs;                    /* each begins with the next one's address */
	void *blocks[PM_STORE_MOST + 1];
};

/* Zeroed; NULL: neither of the allowance nor of the memory is there enough. */
void *pm_store_take(struct pm_store *store, unsigned bits);
void pm_store_give(struct pm_store *store, void *block, unsigned bits);
/* Frees all blocks. */
void pm_store_clear(struct pm_store *store);

enum pm_set_kind {
	PM_SET_EXACT,    /* values, open addressing; an empty set has no block yet */
	PM_SET_ESTIMATE, /* registers of HyperLogLog */
	PM_SET_LOST,     /* there was no room */
};

/* A set of 64-bit hashes, of which it tells the number. Zeroed: empty. */
struct pm_set {
	void *block;
	uint16_t n;    /* values, while exact */
	uint8_t bits;  /* size of the block: 2^bits bytes */
	uint8_t kind;  /* enum pm_set_kind */
};

/* Of an estimate, one byte each. */
#define PM_SET_REGISTER_BITS 12
#define PM_SET_REGISTERS (1U << PM_SET_REGISTER_BITS)
/* The most that a register holds; that zeros fill the whole hash never happens by chance. */
#define PM_SET_RANK_MAX (64 - PM_SET_REGISTER_BITS)

static inline uint8_t *pm_set_register_of(const struct pm_set *set, uint64_t hash)
{
	return (uint8_t *)set->block + (hash >> (64 - PM_SET_REGISTER_BITS));
}

/* Adds to an estimate. */
static inline void pm_set_register(struct pm_set *set, uint64_t hash)
{
	uint64_t rest = hash << PM_SET_REGISTER_BITS;
	uint8_t rank = (uint8_t)(rest ? __builtin_clzll(rest) + 1 : PM_SET_RANK_MAX);
	uint8_t *at = pm_set_register_of(set, hash);

	if (rank > *at)
		*at = rank;
}

/* The same where it is none. */
void pm_set_fetch_value(const struct pm_set *set, uint64_t odd, uint64_t hash);
void pm_set_add_value(struct pm_store *store, struct pm_set *set, uint64_t odd, uint64_t hash);

/* Fetches what pm_set_add of the same will touch; worth it some sets ahead. */
static inline void pm_set_fetch(const struct pm_set *set, uint64_t odd, uint64_t hash)
{
	if (set->kind == PM_SET_ESTIMATE)
		__builtin_prefetch(pm_set_register_of(set, hash), 1);
	else
		pm_set_fetch_value(set, odd, hash);
}

/* @odd, any odd number that nobody knows, places values; the same for all calls of a set. */
static inline void pm_set_add(struct pm_store *store, struct pm_set *set, uint64_t odd,
			      uint64_t hash)
{
	if (set->kind == PM_SET_ESTIMATE)
		pm_set_register(set, hash);
	else
		pm_set_add_value(store, set, odd, hash);
}

/* Adds the values of @from, a set of another store and with an odd number of its own. */
void pm_set_merge(struct pm_store *store, struct pm_set *into, uint64_t odd,
		  const struct pm_set *from);
struct pm_distinct pm_set_count(const struct pm_set *set);

/* The parts of pm_tally_x for conversations. Tallies that count none are fine. */
void pm_talk_free(struct pm_talk *talk, uint64_t *seen, unsigned seen_bits);
void pm_talk_clear(struct pm_tally *tally);
/* Makes an empty one fit for @rules. PM_E_MEMORY: it is fit for the old ones still. */
int pm_talk_follow(struct pm_tally *tally, const struct pm_rules *rules);
/* An end of a frame, as pm_tally_peer takes it. */
struct pm_meeting {
	uint64_t hash;
	uint16_t port, service;
	uint8_t transport, role;
};
#define PM_MEETINGS_MAX 64
/* Counts up to so many; of a tally that has a filter of ends. */
void pm_talk_meet(struct pm_tally *tally, const struct pm_meeting *meetings, size_t n);
/* How much there is to merge. */
size_t pm_talk_size(const struct pm_talk *talk);
void pm_talk_merge(struct pm_tally *into, const struct pm_tally *from);

/*
 * The table of endpoints, which a tally has if it is wanted: for @limit of them, from 2.
 * PM_E_MEMORY or 0.
 */
int pm_endpoints_new(size_t limit, struct pm_hash_key key, struct pm_endpoints **ret_endpoints);
/* NULL is fine. */
void pm_endpoints_free(struct pm_endpoints *endpoints);
size_t pm_endpoints_rows(const struct pm_endpoints *endpoints);
void pm_endpoints_clear(struct pm_endpoints *endpoints);
/*
 * Adds all of @from. Their union is cut to the limit at the end, so that it does not matter in
 * which order the endpoints come.
 */
void pm_endpoints_merge(struct pm_endpoints *into, const struct pm_endpoints *from);

#endif
