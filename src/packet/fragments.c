/* SPDX-License-Identifier: MIT */
/*
 * The fragment table: datagrams by their RFC 791 or RFC 8200 names, in hash buckets; frames that
 * wait for a first fragment, in a pool. A datagram is settled (its first has come, nothing
 * waits) or waiting (the reverse), and stands in one of two lists by its last use. All
 * arrays are allocated once, and indexed from 1: 0 is nothing, as calloc gives it.
 */
#include <stdlib.h>
#include <string.h>

#include "portmeter/packet.h"

enum {
	DATAGRAMS = 8192,
	FRAMES = 16384,
	EXPIRY_S = 120,
	BOUND_MAX = 1 << 30, /* indices and bucket counts stay within 32 bits */
};

/* What the fragments of one datagram share. No holes: it is hashed and compared as it lies. */
struct name {
	struct pm_address src, dst;
	uint32_t id;
	uint16_t version;
	uint16_t protocol; /* IPv4 only */
};
_Static_assert(sizeof(struct name) == 40, "no holes in a datagram's name");

/* A list in order of age through members of one array, by their index. */
struct link {
	uint32_t older, newer;
};

struct list {
	struct link *links;
	uint32_t oldest, newest;
};

struct datagram {
	struct name name;
	struct pm_fragment_origin origin; /* settled only */
	int64_t time_ns;                  /* of the first fragment; settled only */
	uint64_t turn;                    /* of its last use */
	uint32_t next;                    /* in its bucket */
	uint32_t frames_head, frames_tail;
	bool settled;
};

struct frame {
	struct pm_fragment_frame frame;
	uint32_t next; /* of the same datagram */
};

/* Members of an array that are in no list: given back (chained by .newer), or never used. */
struct pool {
	struct link *links;
	uint32_t size, used, free;
};

struct pm_fragments {
	struct pm_fragments_options options;
	struct datagram *datagrams;
	struct frame *frames;
	struct link *datagram_links, *frame_links;
	uint32_t *buckets;
	uint32_t bucket_mask;
	struct pool datagram_pool, frame_pool;
	struct list settled, waiting; /* datagrams, by last use */
	struct list arrivals;         /* waiting frames, by arrival */
	uint64_t turn;
	uint64_t gone_datagrams, gone_frames;
};

static void list_append(struct list *list, uint32_t i)
{
	list->links[i] = (struct link){ list->newest, 0 };
	if (list->newest)
		list->links[list->newest].newer = i;
	else
		list->oldest = i;
	list->newest = i;
}

static void list_remove(struct list *list, uint32_t i)
{
	struct link link = list->links[i];

	if (link.older)
		list->links[link.older].newer = link.newer;
	else
		list->oldest = link.newer;
	if (link.newer)
		list->links[link.newer].older = link.older;
	else
		list->newest = link.older;
}

/* An index in no list; 0 when all are in use. */
static uint32_t pool_take(struct pool *pool)
{
	uint32_t i = pool->free;

	if (!i)
		return pool->used < pool->size ? ++pool->used : 0;
	pool->free = pool->links[i].newer;
	return i;
}

static void pool_give(struct pool *pool, uint32_t i)
{
	pool->links[i].newer = pool->free;
	pool->free = i;
}

static bool expired(const struct pm_fragments *f, int64_t then_ns, int64_t now_ns)
{
	return pm_time_add(then_ns, f->options.expiry_ns) < now_ns;
}

static struct name name_of(const struct pm_packet *packet)
{
	return (struct name){
		.src = packet->src,
		.dst = packet->dst,
		.id = packet->fragment_id,
		.version = packet->ip_version,
		.protocol = packet->fragment_protocol,
	};
}

static uint32_t *bucket_of(struct pm_fragments *f, const struct name *name)
{
	return &f->buckets[pm_hash(f->options.key, name, sizeof *name) & f->bucket_mask];
}

static uint32_t datagram_find(struct pm_fragments *f, const struct name *name)
{
	uint32_t i = *bucket_of(f, name);

	while (i && memcmp(&f->datagrams[i].name, name, sizeof *name) != 0)
		i = f->datagrams[i].next;
	return i;
}

/* The list a datagram stands in. */
static struct list *list_of(struct pm_fragments *f, uint32_t i)
{
	return f->datagrams[i].settled ? &f->settled : &f->waiting;
}

/* A use: the datagram is now the newest of its list, which @settled says. */
static void datagram_use(struct pm_fragments *f, uint32_t i, bool settled)
{
	list_remove(list_of(f, i), i);
	f->datagrams[i].settled = settled;
	f->datagrams[i].turn = ++f->turn;
	list_append(list_of(f, i), i);
}

/* Drops a datagram whose frames are released. */
static void datagram_forget(struct pm_fragments *f, uint32_t i)
{
	uint32_t *at = bucket_of(f, &f->datagrams[i].name);

	while (*at != i)
		at = &f->datagrams[*at].next;
	*at = f->datagrams[i].next;
	list_remove(list_of(f, i), i);
	pool_give(&f->datagram_pool, i);
}

static void frame_release(struct pm_fragments *f, uint32_t i,
			  const struct pm_fragment_origin *origin)
{
	list_remove(&f->arrivals, i);
	pool_give(&f->frame_pool, i);
	f->options.release(f->options.ctx, &f->frames[i].frame, origin);
}

/*
 * Ends the wait of all frames of a datagram: with @origin for those that had not expired by
 * @now_ns, else as orphans. Returns how many had not.
 */
static uint32_t frames_release(struct pm_fragments *f, struct datagram *d, int64_t now_ns,
			       const struct pm_fragment_origin *origin)
{
	uint32_t alive = 0, next;

	for (uint32_t i = d->frames_head; i; i = next) {
		bool old = expired(f, f->frames[i].frame.time_ns, now_ns);

		next = f->frames[i].next;
		alive += !old;
		frame_release(f, i, old ? NULL : origin);
	}
	d->frames_head = d->frames_tail = 0;
	return alive;
}

/* A datagram gives way. What had expired anyway is not counted as given up. */
static void datagram_give_up(struct pm_fragments *f, uint32_t i, int64_t now_ns)
{
	struct datagram *d = &f->datagrams[i];
	uint32_t frames = frames_release(f, d, now_ns, NULL);

	f->gone_frames += frames;
	f->gone_datagrams += d->settled ? !expired(f, d->time_ns, now_ns) : frames > 0;
	datagram_forget(f, i);
}

static uint32_t datagram_longest_unused(const struct pm_fragments *f)
{
	uint32_t settled = f->settled.oldest, waiting = f->waiting.oldest;

	if (!settled || !waiting)
		return settled ? settled : waiting;
	return f->datagrams[settled].turn < f->datagrams[waiting].turn ? settled : waiting;
}

/* A new datagram, waiting, without frames; the one longest unused makes room. */
static uint32_t datagram_add(struct pm_fragments *f, const struct name *name, int64_t now_ns)
{
	uint32_t i = pool_take(&f->datagram_pool);
	uint32_t *bucket;

	if (!i) {
		datagram_give_up(f, datagram_longest_unused(f), now_ns);
		i = pool_take(&f->datagram_pool);
	}
	bucket = bucket_of(f, name);
	f->datagrams[i] = (struct datagram){ .name = *name, .next = *bucket, .turn = ++f->turn };
	*bucket = i;
	list_append(&f->waiting, i);
	return i;
}

/*
 * A place for a frame of datagram @own (0: not yet known). The datagram longest unused that has
 * waiting frames makes room; 0 when that is @own itself, which gains nothing by it.
 */
static uint32_t frame_add(struct pm_fragments *f, uint32_t own, int64_t now_ns)
{
	uint32_t i = pool_take(&f->frame_pool);

	if (i || f->waiting.oldest == own)
		return i;
	datagram_give_up(f, f->waiting.oldest, now_ns);
	return pool_take(&f->frame_pool);
}

int pm_fragments_new(const struct pm_fragments_options *options,
		     struct pm_fragments **ret_fragments)
{
	struct pm_fragments *f;
	size_t datagrams = options->datagrams ? options->datagrams : DATAGRAMS;
	size_t frames = options->frames ? options->frames : FRAMES;
	size_t buckets = 1;

	if (!options->release || options->expiry_ns < 0)
		return PM_E_INVALID;
	if (datagrams > BOUND_MAX || frames > BOUND_MAX)
		return PM_E_INVALID;
	while (buckets < datagrams)
		buckets *= 2;
	f = calloc(1, sizeof *f);
	if (!f)
		return PM_E_MEMORY;
	f->options = *options;
	if (f->options.expiry_ns == 0)
		f->options.expiry_ns = EXPIRY_S * PM_NS_PER_S;
	f->datagrams = calloc(datagrams + 1, sizeof *f->datagrams);
	f->datagram_links = calloc(datagrams + 1, sizeof *f->datagram_links);
	f->frames = calloc(frames + 1, sizeof *f->frames);
	f->frame_links = calloc(frames + 1, sizeof *f->frame_links);
	f->buckets = calloc(buckets, sizeof *f->buckets);
	if (!f->datagrams || !f->datagram_links || !f->frames || !f->frame_links || !f->buckets) {
		pm_fragments_free(f);
		return PM_E_MEMORY;
	}
	f->bucket_mask = (uint32_t)(buckets - 1);
	f->datagram_pool = (struct pool){ .links = f->datagram_links, .size = (uint32_t)datagrams };
	f->frame_pool = (struct pool){ .links = f->frame_links, .size = (uint32_t)frames };
	f->settled.links = f->waiting.links = f->datagram_links;
	f->arrivals.links = f->frame_links;
	*ret_fragments = f;
	return 0;
}

void pm_fragments_free(struct pm_fragments *fragments)
{
	if (!fragments)
		return;
	free(fragments->datagrams);
	free(fragments->datagram_links);
	free(fragments->frames);
	free(fragments->frame_links);
	free(fragments->buckets);
	free(fragments);
}

void pm_fragments_first(struct pm_fragments *fragments, const struct pm_packet *packet,
			const struct pm_packet *counts, const struct pm_fragment_frame *frame,
			uint32_t note)
{
	struct name name = name_of(packet);
	uint32_t i = datagram_find(fragments, &name);
	struct datagram *d;

	if (!i)
		i = datagram_add(fragments, &name, frame->time_ns);
	datagram_use(fragments, i, true);
	d = &fragments->datagrams[i];
	d->time_ns = frame->time_ns;
	d->origin = (struct pm_fragment_origin){
		.verdict = counts->verdict,
		.ip_protocol = counts->ip_protocol,
		.transport = counts->transport,
		.src_port = counts->src_port,
		.dst_port = counts->dst_port,
		.note = note,
		.number = frame->number,
		.ip_version = counts->ip_version,
		.src = counts->src,
		.dst = counts->dst,
	};
	frames_release(fragments, d, frame->time_ns, &d->origin);
}

const struct pm_fragment_origin *pm_fragments_later(struct pm_fragments *fragments,
						    const struct pm_packet *packet,
						    const struct pm_fragment_frame *frame)
{
	struct name name = name_of(packet);
	uint32_t i = datagram_find(fragments, &name), waits;
	struct datagram *d;

	if (i) {
		d = &fragments->datagrams[i];
		datagram_use(fragments, i,
			     d->settled && !expired(fragments, d->time_ns, frame->time_ns));
		if (d->settled)
			return &d->origin;
	}
	waits = frame_add(fragments, i, frame->time_ns);
	if (!waits) {
		fragments->gone_frames++;
		fragments->options.release(fragments->options.ctx, frame, NULL);
		return NULL;
	}
	if (!i)
		i = datagram_add(fragments, &name, frame->time_ns);
	d = &fragments->datagrams[i];
	fragments->frames[waits] = (struct frame){ .frame = *frame };
	list_append(&fragments->arrivals, waits);
	if (d->frames_tail)
		fragments->frames[d->frames_tail].next = waits;
	else
		d->frames_head = waits;
	d->frames_tail = waits;
	return NULL;
}

void pm_fragments_flush(struct pm_fragments *fragments)
{
	while (fragments->arrivals.oldest)
		frame_release(fragments, fragments->arrivals.oldest, NULL);
	while (fragments->waiting.oldest)
		datagram_forget(fragments, fragments->waiting.oldest);
}

void pm_fragments_given_up(struct pm_fragments *fragments, uint64_t *ret_datagrams,
			   uint64_t *ret_frames)
{
	*ret_datagrams = fragments->gone_datagrams;
	*ret_frames = fragments->gone_frames;
	fragments->gone_datagrams = fragments->gone_frames = 0;
}
