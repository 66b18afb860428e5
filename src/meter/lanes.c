/* SPDX-License-Identifier: MIT */
/*
 * Several meters, one series of tallies. An interval is complete when each meter has closed it;
 * the one whose tally reaches furthest says where it ends.
 */
#include <stdlib.h>

#include "meter-internal.h"

struct lane {
	struct pm_meter *meter;
	struct pm_tally *next; /* taken, but not joined; NULL: none */
	int64_t until;         /* the end of what has been joined; PM_TIME_MIN: nothing */
	uint64_t merged;       /* intervals in it */
	struct pm_capture_thread figures;
};

struct pm_lanes {
	size_t n;
	struct lane lanes[PM_CAPTURE_THREADS];
	struct pm_tally *joined; /* is being put together; NULL: nothing is */
	size_t owner;            /* the lane that it came from */
	size_t out;              /* and that of the one handed out */
	int64_t end;
	bool interface_known; /* what the interface has dropped, of which the first lane tells */
	uint64_t seq;
};

int pm_lanes_new(struct pm_meter *const *meters, size_t n, struct pm_lanes **ret_lanes)
{
	struct pm_lanes *lanes;

	if (n == 0 || n > PM_CAPTURE_THREADS)
		return PM_E_INVALID;
	lanes = calloc(1, sizeof *lanes);
	if (!lanes)
		return PM_E_MEMORY;
	lanes->n = n;
	for (size_t i = 0; i < n; i++) {
		lanes->lanes[i].meter = meters[i];
		lanes->lanes[i].until = PM_TIME_MIN;
	}
	*ret_lanes = lanes;
	return PM_OK;
}

void pm_lanes_free(struct pm_lanes *lanes)
{
	if (!lanes)
		return;
	for (size_t i = 0; i < lanes->n; i++)
		if (lanes->lanes[i].next)
			pm_meter_give(lanes->lanes[i].meter, lanes->lanes[i].next);
	if (lanes->joined)
		pm_meter_give(lanes->lanes[lanes->owner].meter, lanes->joined);
	free(lanes);
}

/* The lane's next tally; NULL: not there yet, or never. */
static struct pm_tally *look(struct lane *lane)
{
	if (!lane->next)
		lane->next = pm_meter_take(lane->meter);
	return lane->next;
}

static bool is_over(struct lane *lane)
{
	return !look(lane) && pm_meter_finished(lane->meter);
}

/* Takes the lane's next tally out, to be joined. */
static struct pm_tally *note(struct pm_lanes *lanes, struct lane *lane)
{
	struct pm_tally *tally = lane->next;

	lane->next = NULL;
	lane->until = tally->interval.end_ns;
	lane->merged += tally->merged;
	lane->figures.received += tally->capture.received;
	lane->figures.dropped_kernel += tally->capture.dropped_kernel;
	if (lane == lanes->lanes)
		lanes->interface_known &= tally->capture.dropped_interface_known;
	return tally;
}

/* The first tally of a round is what the others are added to. */
static void begin(struct pm_lanes *lanes, size_t index)
{
	lanes->owner = index;
	lanes->interface_known = true;
	for (size_t i = 0; i < lanes->n; i++) {
		struct lane *lane = &lanes->lanes[i];

		lane->until = PM_TIME_MIN;
		lane->merged = 0;
		lane->figures = (struct pm_capture_thread){ 0, 0 };
	}
	lanes->joined = note(lanes, &lanes->lanes[index]);
	lanes->end = lanes->joined->interval.end_ns;
}

/*
 * Whether the lane's next tally is part of what is being joined. It is not if its rules are others,
 * which happens when they changed while one lane was held up, or if time went back before it: then
 * it belongs to a record of its own.
 */
static bool belongs(const struct pm_lanes *lanes, const struct lane *lane)
{
	return lane->next->rules == lanes->joined->rules &&
	       (lane->until == PM_TIME_MIN || lane->next->interval.start_ns >= lane->until);
}

static void join(struct pm_lanes *lanes, struct lane *lane)
{
	struct pm_tally *tally = note(lanes, lane);

	/* Of the same rules, which is all that it could fail for. */
	pm_tally_absorb(lanes->joined, tally);
	if (lanes->joined->interval.end_ns > lanes->end)
		lanes->end = lanes->joined->interval.end_ns;
	pm_meter_give(lane->meter, tally);
}

/* Joins what there is. False: something is missing. */
static bool complete(struct pm_lanes *lanes)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < lanes->n; i++) {
			struct lane *lane = &lanes->lanes[i];

			while (lane->until < lanes->end) {
				bool over = is_over(lane);

				if (!over && !lane->next)
					return false;
				if (over || !belongs(lanes, lane)) {
					lane->until = PM_TIME_MAX;
					break;
				}
				join(lanes, lane);
				again = true;
			}
		}
	}
	return true;
}

static struct pm_tally *finish(struct pm_lanes *lanes)
{
	struct pm_tally *tally = lanes->joined;

	tally->merged = 1;
	tally->capture.n_threads = lanes->n > 1 ? lanes->n : 0;
	for (size_t i = 0; i < lanes->n; i++) {
		if (lanes->lanes[i].merged > tally->merged)
			tally->merged = lanes->lanes[i].merged;
		tally->capture.threads[i] = lanes->lanes[i].figures;
	}
	tally->capture.dropped_interface_known = lanes->interface_known && lanes->lanes[0].merged;
	tally->seq = ++lanes->seq;
	lanes->out = lanes->owner;
	lanes->joined = NULL;
	return tally;
}

struct pm_tally *pm_lanes_take(struct pm_lanes *lanes)
{
	/* Whoever is furthest behind begins. */
	if (!lanes->joined) {
		size_t first = lanes->n;

		for (size_t i = 0; i < lanes->n; i++) {
			struct pm_tally *tally = look(&lanes->lanes[i]);

			if (!tally && !is_over(&lanes->lanes[i]))
				return NULL;
			if (tally && (first == lanes->n || tally->interval.start_ns <
						lanes->lanes[first].next->interval.start_ns))
				first = i;
		}
		if (first == lanes->n)
			return NULL;
		begin(lanes, first);
	}
	return complete(lanes) ? finish(lanes) : NULL;
}

void pm_lanes_give(struct pm_lanes *lanes, struct pm_tally *tally)
{
	pm_meter_give(lanes->lanes[lanes->out].meter, tally);
}
