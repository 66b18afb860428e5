/* SPDX-License-Identifier: MIT */
/* What a meter is made of, for those who fill one together (crew.c). */
#ifndef PORTMETER_METER_INTERNAL_H
#define PORTMETER_METER_INTERNAL_H

#include <pthread.h>

#include "portmeter/meter.h"

/* One being filled, two waiting (of two rule sets), one out with the reporter. */
#define TALLIES_MAX 4
#define WAITING_MAX 2
/*
 * Frames that are decided before the first of them is counted, while its counters are being
 * fetched.
 */
#define AHEAD 16

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

/* A frame that a helper has noted: all that is left to do with it. */
struct pm_item {
	struct pm_tally_entry entry; /* PM_RUNG_N as rung: not decided yet */
	pm_brief brief;              /* 0: a general frame, the next one */
	const uint8_t *bytes;
	int64_t time_ns;
	uint64_t number;
};

/* What a packet means that has no brief. */
struct pm_general {
	struct pm_packet packet, carrier;
};

struct pm_meter {
	struct pm_meter_options options;
	struct pm_rules *rules; /* in force */
	struct pm_fragments *fragments;
	struct pm_learner *learner; /* NULL: of a helper, which asks that of the meter it helps */
	struct pm_watch *watch;     /* NULL: conversations are not counted */
	struct pm_hash_key key;     /* of addresses */
	const uint8_t *classes;     /* the learner's */
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
	bool wholly;            /* all frames take the general way: something wants whole packets */
	const struct pm_link *link;
	bool ethernet; /* it is that */
	uint32_t linktype;
	struct pm_capture_counts counted; /* at the last closing */

	/*
	 * Frames with ports that are in the totals already, but not yet in the counters of their
	 * ports.
	 */
	struct pm_tally_entry ahead[AHEAD];
	size_t n_ahead;

	/*
	 * One that helps another has neither fragments nor a learner of its own: it notes, and what
	 * it has noted is decided in turn. NULL: it helps nobody.
	 */
	const struct pm_learner *asked;
	uint32_t generation; /* of the learner, before the first item was noted */
	struct pm_item *items;
	struct pm_general *generals;
	size_t n_items, n_generals;
	void (*full)(void *ctx); /* there is no room to note more */
	void *full_ctx;
	bool absorbed; /* what its tally holds has been added to another */

	pthread_mutex_t lock;                      /* of all below */
	struct pm_tally *waiting[WAITING_MAX + 1]; /* oldest first; the last place is for the end */
	size_t n_waiting;
	struct pm_tally *spare[TALLIES_MAX];
	size_t n_spare, n_tallies;
	struct pm_rules *next_rules; /* from the next interval on; NULL: no change */
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
/* Counts what was decided ahead. Before anything looks at the counters. */
void pm_meter_catch_up(struct pm_meter *meter);
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
