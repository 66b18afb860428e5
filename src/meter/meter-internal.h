/* SPDX-License-Identifier: MIT */
/*
 * What the files of a meter share: the structure itself, which they fill together, and what each
 * does for the others.
 *
 *   meter.c     the meter and its clock: intervals, and the tallies that wait to be taken
 *   frames.c    a frame as it comes: counted if its conversation is known, else noted
 *   decide.c    in their turn: what has been noted is decided, and counted
 *   general.c   frames that take the general way, as whole packets: fragments, tunnels, reports
 *   crew.c      several that read one input: the turns of their blocks
 *   lanes.c     several that capture from one interface: their tallies are joined
 */
#ifndef PORTMETER_METER_INTERNAL_H
#define PORTMETER_METER_INTERNAL_H

#include <pthread.h>

#include "portmeter/meter.h"

/*
 * So many closed intervals wait before they are merged, and one more if its rules are others. With
 * them there are one that is being filled, one out with the reporter, and one that waits for other
 * lanes.
 */
#define MERGE_FROM 2
#define WAITING_MAX 3
#define TALLIES_MAX 6
/*
 * Frames that are noted before the first of them is decided, while what is remembered of them and
 * their counters are being fetched.
 */
#define AHEAD 32
/*
 * Where addresses of each are kept until then, at their offsets in the frame: behind two tags those
 * of IPv6 end at 62.
 */
#define HEAD 64

#define ETHERNET 1 /* its LINKTYPE_ number */

/* What the first frame or moment of an interval says of its start. */
enum start {
	START_ALIGNED,     /* at a multiple of the interval */
	START_TRUE,        /* at a known moment: a live start, a cut */
	START_FIRST_FRAME, /* where the input begins */
};

/* Frames that a helper notes before they must be decided in their turn. */
#define ITEMS_MAX 8192
/* The same for those that take the general way: a packet is larger than a brief. */
#define GENERALS_MAX 2048

/* A frame that has been noted; beside its entry, what it takes to decide about it. */
struct pm_item {
	pm_brief brief; /* 0: a general frame; decided already, or by one of the generals */
	const uint8_t *bytes; /* of a meter's own, always the item's place in heads */
	int64_t time_ns;
	uint64_t number;
	pm_flow flow;   /* with a brief; 0 of TCP while flows are asleep and not tried */
	unsigned known; /* of it, pm_flows_look: its entry has no addresses; of a meter's own, 0 */
};

/* What a conversation has done, or several in a row, to be counted. */
struct pm_noted_event {
	uint32_t what; /* the service's port, 16 bits; its transport, 8; the event and 1 */
	uint32_t times;
};

/* What a packet means that has no brief. */
struct pm_general {
	struct pm_packet packet, carrier;
	struct pm_fragment_frame frame;
	const uint8_t *link; /* where its Ethernet source address stands; NULL: it has none */
	size_t before;       /* the item that it is, or that it came before */
};

struct pm_meter {
	struct pm_meter_options options;
	struct pm_rules *rules; /* in force */
	struct pm_fragments *fragments;
	struct pm_learner *learner; /* NULL: of a helper, which asks that of the meter it helps */
	struct pm_watch *watch;     /* NULL: conversations are not counted */
	struct pm_hash_key key;     /* of addresses */
	const uint8_t *const *classes; /* the learner's */
	const struct pm_flows *flows; /* the same */
	struct pm_tally *told;      /* gets what the learner tells */
	uint64_t frames; /* in tallies that were handed over */

	/*
	 * The running interval. Frames from @begin to before @end are its own; @floor is the
	 * multiple below.
	 */
	bool open, started;
	bool relabelled; /* rules have changed; first fragments may bear older decisions */
	enum start start;
	int64_t begin, end, floor;
	uint64_t span;          /* end - begin; 0 when none is open */
	struct pm_tally *tally; /* NULL only when finished */
	struct pm_frame_grounds *why; /* of the frame to be explained; NULL: there is none */
	bool wholly;            /* all frames take the general way: something wants whole packets */
	bool briefly;           /* a brief says enough: neither those nor tunnels are wanted */
	const struct pm_link *link;
	bool ethernet; /* it is that */
	uint32_t linktype;
	struct pm_capture_counts counted; /* at the last closing */

	/*
	 * Frames with ports that are in the totals already, but not yet in the counters of their
	 * ports; the first @n_decided are decided.
	 */
	struct pm_tally_entry *entries;
	struct pm_item *items;
	uint16_t *shown; /* those to be shown to the learner, whatever it learns meanwhile */
	size_t room, n_items, n_decided, n_shown, n_hints;
	size_t n_recalled; /* of the decided ones, while flows are tried */
	/* Frames of conversations that are known, in the totals already too. */
	struct pm_tally_known known[AHEAD];
	size_t n_known;
	uint8_t *heads; /* of the items, HEAD bytes each; NULL: their bytes stay where they are */

	/*
	 * One that helps another has neither fragments nor a learner of its own: what it has noted
	 * is decided in turn. NULL: it helps nobody.
	 */
	const struct pm_learner *asked;
	uint32_t generation; /* of the learner, before the first item was noted */
	struct pm_general *generals;
	size_t n_generals;
	void (*full)(void *ctx); /* there is no room to note more */
	void *full_ctx;
	/* While their counters are being fetched; the first is none, and unlike any. */
	struct pm_noted_event events[1 + AHEAD];
	size_t n_events;
	bool absorbed; /* what its tally holds has been added to another */

	pthread_mutex_t lock;                      /* of all below */
	struct pm_tally *waiting[WAITING_MAX + 1]; /* oldest first; the last place is for the end */
	size_t n_waiting;
	struct pm_tally *spare[TALLIES_MAX];
	size_t n_spare, n_tallies;
	/* from the first interval on that begins at @next_from or later; NULL: no change */
	struct pm_rules *next_rules;
	int64_t next_from;
	bool finished;
	uint64_t seq;
};

/* The true bounds of the running interval, which one of its frames may move. */
static inline void pm_meter_note_time(struct pm_meter *meter, int64_t time_ns)
{
	struct pm_interval *interval = &meter->tally->interval;

	if (time_ns > interval->last_ns)
		interval->last_ns = time_ns;
	if (time_ns < interval->first_ns)
		interval->first_ns = time_ns;
}

/*
 * For a frame that is not of the running interval: makes that the one which it counts in
 * (docs/format.md, "Intervals"). A late frame belongs elsewhere and moves no bound.
 */
void pm_meter_find_interval(struct pm_meter *meter, int64_t time_ns);
/* Decides and counts what has been noted. Before anything looks at the counters. */
void pm_meter_catch_up(struct pm_meter *meter);

/* Takes the entry and item behind the last ones, which are filled, for noted. */
static inline void pm_meter_noted(struct pm_meter *meter)
{
	if (++meter->n_items < meter->room)
		return;
	if (meter->full)
		meter->full(meter->full_ctx);
	else
		pm_meter_catch_up(meter);
}

/* Where the addresses of a brief's frame stand; they are of the same size, one behind the other. */
static inline const uint8_t *pm_meter_src_of(pm_brief brief, const uint8_t *bytes)
{
	return bytes + pm_brief_network(brief) + (pm_brief_ip_version(brief) == 4 ? 12 : 8);
}

static inline const uint8_t *pm_meter_dst_of(pm_brief brief, const uint8_t *bytes)
{
	return bytes + pm_brief_network(brief) + (pm_brief_ip_version(brief) == 4 ? 16 : 24);
}

/*
 * All but the decision, field by field where it stays: put together elsewhere it would be copied in
 * pieces of other sizes than those it was written in, for which processors wait.
 */
static PM_INLINE void pm_meter_fill_entry(struct pm_tally_entry *entry, struct pm_hash_key key,
					  pm_brief brief, const uint8_t *bytes, uint32_t wire)
{
	uint8_t version = pm_brief_ip_version(brief);

	entry->src_port = pm_brief_src_port(brief);
	entry->dst_port = pm_brief_dst_port(brief);
	entry->wire = wire;
	entry->transport = pm_brief_transport(brief);
	entry->src_host = pm_host_hash(key, version, pm_meter_src_of(brief, bytes));
	entry->dst_host = pm_host_hash(key, version, pm_meter_dst_of(brief, bytes));
}

/* A frame that takes the general way; it is in the totals but for its IP version. */
void pm_meter_count_fully(struct pm_meter *meter, const struct pm_frame *frame);
/*
 * The same of a helper: notes a packet for its turn; what has no ports and no fragments is counted
 * at once.
 */
void pm_meter_note_fully(struct pm_meter *helper, const struct pm_frame *frame);
/*
 * In turn, from @general on: what came before the item @i, and the item itself if it is a general
 * one. The next one is returned.
 */
const struct pm_general *pm_meter_decide_generals(struct pm_meter *meter, struct pm_meter *helper,
						  const struct pm_general *general, size_t i);
/* Counts by endpoint, where that is wanted, those that have ports; before they are forgotten. */
void pm_meter_count_generals(struct pm_meter *helper);

/* An event of a service without regard to addresses, to be counted soon. */
void pm_meter_note_event(struct pm_meter *meter, enum pm_transport transport, uint16_t port,
			 enum pm_event event);
/* Counts the events that have been told, in the tally that they were told for. */
void pm_meter_count_events(struct pm_meter *meter);
/*
 * For so many frames to be noted; @kept: their bytes stay where they are until they are counted.
 * PM_E_MEMORY or 0; freed with the meter.
 */
int pm_meter_make_room(struct pm_meter *meter, size_t room, bool kept);
/* For the fragment table: counts a later one as its first was; without one it is an orphan. */
void pm_meter_count_fragment(void *meter, const struct pm_fragment_frame *frame,
			     const struct pm_fragment_origin *origin);

/*
 * One to help @meter: it notes and counts, within the same interval, and neither closes nor
 * reports. @full: called when it has noted as much as it can; must have that decided and counted.
 */
int pm_meter_new_helper(const struct pm_meter *meter, void (*full)(void *ctx), void *ctx,
			struct pm_meter **ret_helper);
/* Makes all tallies that a meter may use, before helpers take the memory. PM_E_MEMORY or 0. */
int pm_meter_reserve(struct pm_meter *meter);
/*
 * Before it counts, in its own time: the interval and rules of @meter are the helper's, and what
 * has been absorbed is gone. PM_E_MEMORY: they could not be taken over.
 */
int pm_meter_follow(struct pm_meter *helper, const struct pm_meter *meter);
/* Whether its last interval has been closed and taken. Any thread. */
bool pm_meter_finished(struct pm_meter *meter);
/* Adds what the helper has counted. */
void pm_meter_absorb(struct pm_meter *meter, struct pm_meter *helper);
/*
 * The frames of a helper: noted beside all others, whose bytes then stay where they are; decided in
 * their order, by one helper at a time; counted beside all others.
 */
void pm_meter_note(void *helper, const struct pm_frame *frame);
void pm_meter_decide(struct pm_meter *meter, struct pm_meter *helper);
void pm_meter_count(struct pm_meter *helper);
/*
 * The times, from *@ret_from to before that + *@ret_span, of frames that neither close nor open an
 * interval.
 */
void pm_meter_reach(const struct pm_meter *meter, int64_t *ret_from, uint64_t *ret_span);

#endif
