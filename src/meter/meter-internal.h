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

/* What a frame means to the fragment table, to be done when all before it has been. */
struct pm_deferred {
	struct pm_packet packet;
	/* of a later fragment; of a first one, as what its later ones count */
	struct pm_packet carrier;
	struct pm_fragment_frame frame; /* of a first one only the time counts */
	uint32_t note;                  /* of a first one */
	bool later;
};

struct pm_meter {
	struct pm_meter_options options;
	struct pm_rules *rules; /* in force */
	struct pm_fragments *fragments;
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
	uint32_t linktype;
	struct pm_capture_counts counted; /* at the last closing */

	/*
	 * Frames with ports that are in the totals already, but not yet in the counters of their
	 * ports.
	 */
	struct pm_tally_entry ahead[AHEAD];
	size_t n_ahead;

	/* One that helps another has no fragments of its own; NULL: it has. */
	void (*defer)(void *ctx, const struct pm_deferred *deferred);
	void *defer_ctx;
	bool absorbed; /* what its tally holds has been added to another */

	pthread_mutex_t lock;                      /* of all below */
	struct pm_tally *waiting[WAITING_MAX + 1]; /* oldest first; the last place is for the end */
	size_t n_waiting;
	struct pm_tally *spare[TALLIES_MAX];
	size_t n_spare, n_tallies;
	struct pm_rules *next_rules; /* from the next interval on; NULL: no change */
	uint64_t seq;
};

/* One to help @meter: it counts, within the same interval, and neither closes nor reports. */
int pm_meter_new_helper(const struct pm_meter *meter,
			void (*defer)(void *ctx, const struct pm_deferred *deferred), void *ctx,
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
void pm_meter_apply(struct pm_meter *meter, const struct pm_deferred *deferred);
/*
 * The times, from *@ret_from to before that + *@ret_span, of frames that neither close nor open an
 * interval.
 */
void pm_meter_reach(const struct pm_meter *meter, int64_t *ret_from, uint64_t *ret_span);

#endif
