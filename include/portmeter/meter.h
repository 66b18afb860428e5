/* SPDX-License-Identifier: MIT */
/*
 * The engine: takes frames through packet, service and tally, closes intervals and hands the closed
 * tallies over. One meter per source. Frames, ticks and closing belong to one thread; taking and
 * giving back may happen on another, so that output never holds up capture.
 */
#ifndef PORTMETER_METER_H
#define PORTMETER_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "portmeter/capture.h"
#include "portmeter/packet.h"
#include "portmeter/service.h"
#include "portmeter/summary.h"
#include "portmeter/tally.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pm_meter_options {
	int64_t interval_ns;    /* 0: one interval for everything */
	int64_t grace_ns;       /* live: how long after its end the clock closes an interval */
	bool live;              /* the wall clock opens and closes intervals too */
	struct pm_rules *rules; /* the meter takes a reference */
	/*
	 * Borrowed: the innermost IP layer counts, these being the tunnels. NULL: the outermost
	 * does.
	 */
	const struct pm_tunnels *tunnels;
	/* asked for the counts of its source number @source when an interval closes; NULL: none */
	struct pm_capture *capture;
	size_t source;
	/* A closed tally waits to be taken. On the thread of the frames; may take it at once. */
	void (*closed)(void *ctx);
	/*
	 * Each frame once its fate is known; NULL: not wanted. A fragment that waits is reported
	 * later.
	 */
	void (*frame)(void *ctx, const struct pm_frame_report *report);
	void *ctx;
};

struct pm_meter; /* opaque */

/* PM_E_MEMORY, PM_E_INVALID (negative interval, no rules, no closed function) or 0. */
PM_API int pm_meter_new(const struct pm_meter_options *options, struct pm_meter **ret_meter);
/* NULL is fine. What has not been closed and taken is lost: finish first. */
PM_API void pm_meter_free(struct pm_meter *meter);

/* Counts a frame; a pm_frame_fn whose context is the meter. */
PM_API void pm_meter_frame(void *meter, const struct pm_frame *frame);
/* Live: tells the time; opens the first interval and closes one that is over. */
PM_API void pm_meter_tick(struct pm_meter *meter, int64_t now_ns);
/*
 * Not live, but the input is silent: closes an interval that is over by the clock. Frames of it
 * that come yet open it again.
 */
PM_API void pm_meter_idle(struct pm_meter *meter, int64_t now_ns);
/* Live: when the next tick has something to do; PM_TIME_MAX with an interval of 0. */
PM_API int64_t pm_meter_deadline(const struct pm_meter *meter);
/*
 * Closes the open interval now, as partial; the next begins here. @now_ns counts for live meters.
 */
PM_API void pm_meter_cut(struct pm_meter *meter, int64_t now_ns);
/*
 * Closes the last interval. @complete: all input has been seen, so that an interval of 0 is not
 * partial.
 */
PM_API void pm_meter_finish(struct pm_meter *meter, int64_t now_ns, bool complete);

/*
 * Any thread: a closed tally with its seq, or NULL. Give it back when done, so that it can be used
 * again.
 */
PM_API struct pm_tally *pm_meter_take(struct pm_meter *meter);
PM_API void pm_meter_give(struct pm_meter *meter, struct pm_tally *tally);
/* Any thread: @rules hold from the next interval on; a reference is taken. */
PM_API void pm_meter_set_rules(struct pm_meter *meter, struct pm_rules *rules);
/* Frames counted so far; on the frames' thread, or after it has ended. */
PM_API uint64_t pm_meter_frames(const struct pm_meter *meter);

#ifdef __cplusplus
}
#endif

#endif
