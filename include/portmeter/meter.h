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
	size_t endpoints; /* learned ones at most; 0: 65,536 */
	/*
	 * Borrowed at the start: conversations are counted and watched, and this, which the meters
	 * of a run share, is for the addresses. NULL: they are not.
	 */
	struct pm_allowance *allowance;
	/* Frames are counted by endpoint too, so many at once (from 2); 0: they are not. */
	size_t by_endpoint;
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
	/*
	 * When what was decided of a conversation is kept for its later frames, which shows in no
	 * record: when it seems to be of use, if nothing is said; live, never.
	 */
	enum pm_flows_use flows;
	uint64_t explain; /* the frame whose report is to say why; goes with @frame; 0: none */
	void *ctx;
};

struct pm_meter; /* opaque */

/*
 * PM_E_MEMORY, PM_E_INVALID (negative interval, no rules, no closed function, by_endpoint of 1) or
 * 0.
 */
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
 * Closes the last interval: no frame and no time may come behind it. @complete: all input has been
 * seen, so that an interval of 0 is not partial.
 */
PM_API void pm_meter_finish(struct pm_meter *meter, int64_t now_ns, bool complete);

/*
 * Any thread: a closed tally with its seq, or NULL. Give it back when done, so that it can be used
 * again.
 */
PM_API struct pm_tally *pm_meter_take(struct pm_meter *meter);
PM_API void pm_meter_give(struct pm_meter *meter, struct pm_tally *tally);
/*
 * Any thread: @rules hold from the next interval on that begins at @from_ns or later (PM_TIME_MIN:
 * the very next); a reference is taken.
 */
PM_API void pm_meter_set_rules(struct pm_meter *meter, struct pm_rules *rules, int64_t from_ns);

/*
 * Live meters of one interface whose frames several threads share (pm_capture_open_shared): their
 * tallies of an interval, joined to one. They must be given the same times to begin, cut and
 * finish at, and the same for new rules. Where one of them had to merge intervals, as many of the
 * others are joined with them. Used by one thread, which is the only one to take from the meters.
 */
struct pm_lanes; /* opaque */

/* @meters are borrowed; up to PM_CAPTURE_THREADS. PM_E_MEMORY, PM_E_INVALID or 0. */
PM_API int pm_lanes_new(struct pm_meter *const *meters, size_t n, struct pm_lanes **ret_lanes);
/* Before the meters are freed. NULL is fine. */
PM_API void pm_lanes_free(struct pm_lanes *lanes);
/* As pm_meter_take and _give. NULL: the tallies of some meters are not there yet. */
PM_API struct pm_tally *pm_lanes_take(struct pm_lanes *lanes);
PM_API void pm_lanes_give(struct pm_lanes *lanes, struct pm_tally *tally);
/*
 * A capture of files that is counted by several threads: the same tallies as by one. Each decodes
 * and counts blocks of its own (pm_block_take) into a tally of its own; a frame that closes an
 * interval, and all that is no ordinary frame, is left to whoever has the turn, when all before has
 * been counted and added up.
 */
struct pm_crew_options {
	struct pm_capture *capture; /* as long as it has one source */
	struct pm_meter *meter;     /* of that source */
	size_t workers;
	uint64_t limit; /* frames, of all that the meter counts; 0: none */
	/* On any thread, but on one at a time: whether minding is due. */
	bool (*due)(void *ctx);
	/* The same, when all that was read has been counted. True: stop. */
	bool (*mind)(void *ctx);
	pm_frame_fn *frame; /* takes frames that are read one by one, to the meter */
	void *ctx;
};

struct pm_crew; /* opaque */

/* How it went. */
enum pm_crew_end {
	PM_CREW_DONE,    /* all has been read, or as many as the limit allows */
	PM_CREW_STOPPED, /* as it was told to */
	PM_CREW_LEFT,    /* the rest is not for several threads */
};

/* With fewer workers, where memory is short. PM_E_MEMORY: with less than two. Or 0. */
PM_API int pm_crew_new(const struct pm_crew_options *options, struct pm_crew **ret_crew);
/* NULL is fine. */
PM_API void pm_crew_free(struct pm_crew *crew);
PM_API size_t pm_crew_workers(const struct pm_crew *crew);
/* Works as number @index, from 0, on a thread of its own, until the end. Some may stay away. */
PM_API void pm_crew_work(struct pm_crew *crew, size_t index);
/* For what is called in turn, by the capture: waits until all that was read has been counted. */
PM_API void pm_crew_settle(struct pm_crew *crew);
/* When all have returned: how it went, or the error of the capture, with @err filled. */
PM_API int pm_crew_end(const struct pm_crew *crew, struct pm_error *err);

/* Frames counted so far; on the frames' thread, or after it has ended. */
PM_API uint64_t pm_meter_frames(const struct pm_meter *meter);

#ifdef __cplusplus
}
#endif

#endif
