/* SPDX-License-Identifier: MIT */
/*
 * Counters by the endpoint of the service. The rows stand side by side, and a hash table, filled to
 * half at most, knows where. A full table forgets the smaller half of its rows at once, by a total
 * order, so that what is kept depends on the frames alone. An endpoint is in each such round at
 * most once, and so has lost no more than the largest rows forgotten in all rounds had together.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tally-internal.h"

/* Rows that a table begins with. */
#define ROWS_MIN ((size_t)256)
#define ROWS_MAX ((size_t)1 << 30) /* indices stay within 32 bits */

/* What names an endpoint stands first in a row, without holes: it is hashed as it lies. */
#define NAME_SIZE offsetof(struct pm_endpoint, at_least)
_Static_assert(NAME_SIZE == sizeof(struct pm_address) + sizeof(uint16_t) + 2,
	       "no holes in an endpoint's name");

struct pm_endpoints {
	struct pm_endpoint *rows;
	uint32_t *slots; /* index of the row, from 1; 0 is free */
	size_t n, limit;
	size_t room;     /* rows that there is memory for */
	size_t n_slots;  /* a power of two, at least twice the room */
	struct pm_hash_key key;
	struct pm_count sideless;
	struct pm_forgotten forgotten;
};

static uint64_t bytes_of(const struct pm_endpoint *row)
{
	return pm_endpoint_count(row).bytes;
}

/* The slot of an endpoint, or the free one where it belongs. Half of all are free, so this ends. */
static uint32_t *slot_of(const struct pm_endpoints *e, const struct pm_endpoint *name)
{
	size_t slot = pm_hash(e->key, name, NAME_SIZE) & (e->n_slots - 1);

	while (e->slots[slot] && memcmp(&e->rows[e->slots[slot] - 1], name, NAME_SIZE) != 0)
		slot = (slot + 1) & (e->n_slots - 1);
	return &e->slots[slot];
}

static void fill_slots(struct pm_endpoints *e)
{
	for (size_t i = 0; i < e->n; i++)
		*slot_of(e, &e->rows[i]) = (uint32_t)(i + 1);
}

/* Makes room for @room rows, more than there are. False when memory is short. */
static bool grow(struct pm_endpoints *e, size_t room)
{
	size_t n_slots = e->n_slots ? e->n_slots : 1;
	struct pm_endpoint *rows;
	uint32_t *slots;

	while (n_slots < 2 * room)
		n_slots *= 2;
	rows = realloc(e->rows, room * sizeof *rows);
	if (!rows)
		return false;
	e->rows = rows;
	if (n_slots > e->n_slots) {
		slots = calloc(n_slots, sizeof *slots);
		if (!slots)
			return false;
		free(e->slots);
		e->slots = slots;
		e->n_slots = n_slots;
		fill_slots(e);
	}
	e->room = room;
	return true;
}

int pm_endpoints_new(size_t limit, struct pm_hash_key key, struct pm_endpoints **ret_endpoints)
{
	struct pm_endpoints *e = calloc(1, sizeof *e);

	if (!e)
		return PM_E_MEMORY;
	e->key = key;
	e->limit = limit < ROWS_MAX ? limit : ROWS_MAX;
	if (!grow(e, e->limit < ROWS_MIN ? e->limit : ROWS_MIN)) {
		pm_endpoints_free(e);
		return PM_E_MEMORY;
	}
	*ret_endpoints = e;
	return PM_OK;
}

void pm_endpoints_free(struct pm_endpoints *endpoints)
{
	if (!endpoints)
		return;
	free(endpoints->rows);
	free(endpoints->slots);
	free(endpoints);
}

void pm_endpoints_clear(struct pm_endpoints *endpoints)
{
	struct pm_endpoints *e = endpoints;

	e->n = 0;
	memset(e->slots, 0, e->n_slots * sizeof *e->slots);
	memset(&e->sideless, 0, sizeof e->sideless);
	memset(&e->forgotten, 0, sizeof e->forgotten);
}

size_t pm_endpoints_rows(const struct pm_endpoints *endpoints)
{
	return endpoints->n;
}

/* Whether @a has more bytes than @b; of equal ones, the name decides. */
static bool outweighs(const struct pm_endpoint *a, const struct pm_endpoint *b)
{
	uint64_t x = bytes_of(a), y = bytes_of(b);

	if (x != y)
		return x > y;
	if (a->transport != b->transport)
		return a->transport < b->transport;
	if (a->port != b->port)
		return a->port < b->port;
	if (a->ip_version != b->ip_version)
		return a->ip_version < b->ip_version;
	return memcmp(&a->address, &b->address, sizeof a->address) < 0;
}

static void swap(struct pm_endpoint *a, struct pm_endpoint *b)
{
	struct pm_endpoint other = *a;

	*a = *b;
	*b = other;
}

/*
 * Brings those that outweigh a row of @low to before @high to the front. Returns where that row
 * stands then. Drawn by the hash key: who chooses the traffic can't choose it too.
 */
static size_t divide(struct pm_endpoints *e, size_t low, size_t high)
{
	size_t bounds[2] = { low, high }, end = low;
	size_t drawn = low + pm_hash(e->key, bounds, sizeof bounds) % (high - low);

	swap(&e->rows[drawn], &e->rows[high - 1]);
	for (size_t i = low; i + 1 < high; i++)
		if (outweighs(&e->rows[i], &e->rows[high - 1]))
			swap(&e->rows[i], &e->rows[end++]);
	swap(&e->rows[end], &e->rows[high - 1]);
	return end;
}

/* Brings the @keep rows of the most bytes to the front, in no order. */
static void select_largest(struct pm_endpoints *e, size_t keep)
{
	size_t low = 0, high = e->n;

	while (high - low > 1) {
		size_t at = divide(e, low, high);

		if (at == keep)
			return;
		if (at < keep)
			low = at + 1;
		else
			high = at;
	}
}

/* Forgets all but the @keep rows of the most bytes. */
static void forget(struct pm_endpoints *e, size_t keep)
{
	uint64_t most = 0;

	select_largest(e, keep);
	for (size_t i = keep; i < e->n; i++) {
		if (bytes_of(&e->rows[i]) > most)
			most = bytes_of(&e->rows[i]);
		pm_count_add(&e->forgotten.count, pm_endpoint_count(&e->rows[i]));
	}
	e->forgotten.endpoints += e->n - keep;
	e->forgotten.at_most += most;
	e->n = keep;
	memset(e->slots, 0, e->n_slots * sizeof *e->slots);
	fill_slots(e);
}

/* Makes room for one more row, of @limit at most: by memory, or else by forgetting. */
static void make_room(struct pm_endpoints *e, size_t limit)
{
	size_t more = e->room < limit / 2 ? 2 * e->room : limit;

	if (e->n < limit && (e->n < e->room || grow(e, more)))
		return;
	forget(e, e->n / 2);
}

/* The row of an endpoint, new if it is not there yet. */
static struct pm_endpoint *row_of(struct pm_endpoints *e, const struct pm_endpoint *name,
				  size_t limit)
{
	uint32_t *slot = slot_of(e, name);
	struct pm_endpoint *row;

	if (*slot)
		return &e->rows[*slot - 1];
	if (e->n >= limit || e->n == e->room) {
		make_room(e, limit);
		slot = slot_of(e, name);
	}
	row = &e->rows[e->n++];
	*slot = (uint32_t)e->n;
	memset(row, 0, sizeof *row);
	memcpy(row, name, NAME_SIZE);
	row->at_least = e->forgotten.endpoints != 0;
	return row;
}

/* Rows that are only on this side may have been forgotten on the other. */
static void mark_missing(struct pm_endpoints *e, const struct pm_endpoints *other)
{
	for (size_t i = 0; i < e->n; i++)
		if (!*slot_of(other, &e->rows[i]))
			e->rows[i].at_least = true;
}

void pm_endpoints_merge(struct pm_endpoints *into, const struct pm_endpoints *from)
{
	size_t limit = into->limit + from->n;

	if (from->forgotten.endpoints)
		mark_missing(into, from);
	for (size_t i = 0; i < from->n; i++) {
		const struct pm_endpoint *more = &from->rows[i];
		struct pm_endpoint *row = row_of(into, more, limit);

		row->at_least |= more->at_least;
		pm_count_add(&row->to_service, more->to_service);
		pm_count_add(&row->from_service, more->from_service);
		pm_count_add(&row->symmetric, more->symmetric);
	}
	if (into->n > into->limit)
		forget(into, into->limit);
	pm_count_add(&into->sideless, from->sideless);
	into->forgotten.endpoints += from->forgotten.endpoints;
	pm_count_add(&into->forgotten.count, from->forgotten.count);
	into->forgotten.at_most += from->forgotten.at_most;
}

int pm_tally_by_endpoint(struct pm_tally *tally, size_t limit)
{
	if (limit < 2 || tally->endpoints)
		return PM_E_INVALID;
	return pm_endpoints_new(limit, tally->key, &tally->endpoints);
}

bool pm_tally_endpoints(const struct pm_tally *tally, struct pm_endpoints_view *ret_view)
{
	const struct pm_endpoints *e = tally->endpoints;

	memset(ret_view, 0, sizeof *ret_view);
	if (!e)
		return false;
	*ret_view = (struct pm_endpoints_view){ e->rows, e->n, e->sideless, e->forgotten };
	return true;
}

void pm_tally_endpoint(struct pm_tally *tally, const struct pm_tally_entry *entry,
		       uint8_t ip_version, const struct pm_address *src,
		       const struct pm_address *dst)
{
	bool from = entry->decision.side == PM_SIDE_SRC;
	struct pm_endpoint name = { .address = from ? *src : *dst,
				    .port = from ? entry->src_port : entry->dst_port,
				    .transport = entry->transport,
				    .ip_version = ip_version };
	struct pm_endpoints *e = tally->endpoints;
	struct pm_count one = { 1, entry->wire };
	struct pm_endpoint *row;

	assert(e);
	if (entry->decision.side == PM_SIDE_NONE) {
		pm_count_add(&e->sideless, one);
		return;
	}
	row = row_of(e, &name, e->limit);
	pm_count_add(from ? &row->from_service
		     : entry->decision.side == PM_SIDE_BOTH ? &row->symmetric
							    : &row->to_service,
		     one);
}
