/* SPDX-License-Identifier: MIT */
/*
 * Several threads that fill one meter. Blocks of the capture go round in turns, in their order. In
 * its turn a worker finds the frames of its block; then, beside the others, it counts them. The
 * order of fragments is kept: what they mean to the one table is put off until all earlier blocks
 * are done. See docs/architecture.md.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

/* No block at hand. */
#define IDLE UINT64_MAX
/* What may be put off before a worker waits for its place in the order. */
#define DEFERRED_MAX 4096
/*
 * Frames that are read one by one where blocks end: twice as many each time that less than
 * CALM as many have come in blocks since the last time.
 */
#define STEP_MAX 65536
/* The first ones tell what is to be expected; twice as many, since none has come in blocks. */
#define STEP_FIRST 1024
#define CALM 8
/* Looks at whose turn it is before falling asleep: some microseconds. */
#define PATIENCE 4000

struct worker {
	struct pm_crew *crew;
	struct pm_meter *meter;
	struct pm_block *block;
	uint64_t ticket; /* of the block at hand, which is being counted */
	struct pm_deferred *deferred;
	size_t n_deferred;
	unsigned crowds;     /* the crew's, as of the block at hand */
	pthread_cond_t turn; /* has come to the ticket that is this modulo the number of workers */
};

struct pm_crew {
	struct pm_crew_options options;
	struct worker *workers;
	size_t n;

	pthread_mutex_t lock; /* of all below, and of the workers' tickets */
	pthread_cond_t done;  /* a worker is idle */
	size_t waiting;       /* for that */
	uint64_t next;        /* ticket */
	/* Changed under the lock, but looked at without. */
	atomic_uint_fast64_t turn; /* ticket */
	atomic_bool over;

	/* In turn. */
	uint64_t left;   /* frames, before it must be asked again what the limit allows */
	uint64_t step;   /* frames to read one by one */
	uint64_t since;  /* frames in blocks since the last time */
	unsigned crowds; /* transports of which many ports have been seen */
	int end;
	struct pm_error err;
};

/* Waits until no worker but those behind @ticket is at work. */
static void wait_for(struct pm_crew *crew, uint64_t ticket)
{
	pthread_mutex_lock(&crew->lock);
	for (size_t i = 0; i < crew->n; i++)
		while (crew->workers[i].ticket < ticket) {
			crew->waiting++;
			pthread_cond_wait(&crew->done, &crew->lock);
			crew->waiting--;
		}
	pthread_mutex_unlock(&crew->lock);
}

static void apply_deferred(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;

	if (worker->n_deferred == 0)
		return;
	wait_for(crew, worker->ticket);
	for (size_t i = 0; i < worker->n_deferred; i++)
		pm_meter_apply(crew->options.meter, &worker->deferred[i]);
	worker->n_deferred = 0;
}

static void defer(void *ctx, const struct pm_deferred *deferred)
{
	struct worker *worker = ctx;

	if (worker->n_deferred == DEFERRED_MAX)
		apply_deferred(worker);
	worker->deferred[worker->n_deferred++] = *deferred;
}

static int worker_init(struct pm_crew *crew, struct worker *worker)
{
	int r;

	worker->crew = crew;
	worker->ticket = IDLE;
	pthread_cond_init(&worker->turn, NULL);
	worker->deferred = malloc(DEFERRED_MAX * sizeof *worker->deferred);
	r = worker->deferred ? PM_OK : PM_E_MEMORY;
	if (r == PM_OK)
		r = pm_block_new(crew->options.capture, &worker->block);
	if (r == PM_OK)
		r = pm_meter_new_helper(crew->options.meter, defer, worker, &worker->meter);
	return r;
}

static void worker_fini(struct worker *worker)
{
	pm_meter_free(worker->meter);
	pm_block_free(worker->block);
	free(worker->deferred);
	pthread_cond_destroy(&worker->turn);
}

int pm_crew_new(const struct pm_crew_options *options, struct pm_crew **ret_crew)
{
	struct pm_crew *crew = calloc(1, sizeof *crew);

	if (!crew)
		return PM_E_MEMORY;
	crew->options = *options;
	crew->step = STEP_FIRST;
	crew->end = PM_CREW_DONE;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->done, NULL);
	if (pm_meter_reserve(options->meter) == PM_OK)
		crew->workers = calloc(options->workers, sizeof *crew->workers);
	while (crew->workers && crew->n < options->workers) {
		if (worker_init(crew, &crew->workers[crew->n]) < 0) {
			worker_fini(&crew->workers[crew->n]);
			/* one less, so that there is something left to write records with */
			if (crew->n)
				worker_fini(&crew->workers[--crew->n]);
			break;
		}
		crew->n++;
	}
	if (crew->n < 2) {
		pm_crew_free(crew);
		return PM_E_MEMORY;
	}
	*ret_crew = crew;
	return PM_OK;
}

void pm_crew_free(struct pm_crew *crew)
{
	if (!crew)
		return;
	for (size_t i = 0; i < crew->n; i++)
		worker_fini(&crew->workers[i]);
	free(crew->workers);
	pthread_cond_destroy(&crew->done);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

size_t pm_crew_workers(const struct pm_crew *crew)
{
	return crew->n;
}

void pm_crew_settle(struct pm_crew *crew)
{
	wait_for(crew, IDLE);
	for (size_t i = 0; i < crew->n; i++)
		pm_meter_absorb(crew->options.meter, crew->workers[i].meter);
}

/* With all counted: how many frames the limit still allows. */
static void renew_limit(struct pm_crew *crew)
{
	uint64_t limit = crew->options.limit, counted;

	if (!limit) {
		crew->left = UINT64_MAX;
		return;
	}
	counted = pm_meter_frames(crew->options.meter);
	crew->left = counted < limit ? limit - counted : 0;
}

/*
 * With all counted: frame by frame over what ended the blocks. Where that comes often, it is better
 * to go on so for a while. False: the end.
 */
static bool read_on(struct pm_crew *crew)
{
	const struct pm_crew_options *options = &crew->options;
	uint64_t step;
	int n;

	if (crew->since < crew->step * CALM)
		crew->step = crew->step < STEP_MAX ? crew->step * 2 : STEP_MAX;
	else
		crew->step = 1;
	crew->since = 0;
	step = crew->step < crew->left ? crew->step : crew->left;
	n = pm_capture_dispatch(options->capture, (int)step, options->frame, options->ctx,
				&crew->err);
	crew->crowds |= pm_tally_crowds(options->meter->tally);
	if (n < 0)
		crew->end = n;
	else if (n > 0 && pm_capture_sources(options->capture) > 1)
		crew->end = PM_CREW_LEFT;
	return n > 0 && crew->end == PM_CREW_DONE;
}

/*
 * The turn: the frames of the block. True: there are some, to be counted beside other blocks.
 * False: there is nothing to count, and if *@ret_over that is the end.
 */
static bool take_turn(struct worker *worker, bool *ret_over)
{
	struct pm_crew *crew = worker->crew;
	const struct pm_crew_options *options = &crew->options;

	*ret_over = true;
	for (;;) {
		bool stopped, helped;
		int64_t from;
		uint64_t span, n;

		if (options->due(options->ctx)) {
			pm_crew_settle(crew);
			if (options->mind(options->ctx)) {
				crew->end = PM_CREW_STOPPED;
				return false;
			}
		}
		if (crew->left == 0) {
			pm_crew_settle(crew);
			renew_limit(crew);
			if (crew->left == 0)
				return false;
		}
		pm_meter_reach(options->meter, &from, &span);
		n = pm_block_take(worker->block, from, span, crew->left, &stopped);
		crew->since += n;
		crew->left -= options->limit ? n : 0;
		helped = n == 0 || pm_meter_follow(worker->meter, options->meter) == PM_OK;
		if (!stopped && helped) {
			worker->crowds = crew->crowds;
			*ret_over = false;
			return n > 0;
		}
		pm_crew_settle(crew);
		pm_block_each(worker->block, options->frame, options->ctx);
		if (!stopped) {
			*ret_over = false;
			return false;
		}
		renew_limit(crew);
		if (crew->left == 0 || !read_on(crew))
			return false;
		renew_limit(crew);
	}
}

/* Waits for the turn. False: all is over. A turn is mostly shorter than it takes to fall asleep. */
static bool turn_comes(struct pm_crew *crew, uint64_t ticket)
{
	for (int i = 0; i < PATIENCE; i++)
		if (atomic_load(&crew->turn) == ticket)
			return !atomic_load(&crew->over);
	pthread_mutex_lock(&crew->lock);
	while (crew->turn != ticket && !crew->over)
		pthread_cond_wait(&crew->workers[ticket % crew->n].turn, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
	return !crew->over;
}

static void pass_turn(struct worker *worker, uint64_t ticket, bool counts, bool over)
{
	struct pm_crew *crew = worker->crew;

	pthread_mutex_lock(&crew->lock);
	if (counts)
		worker->ticket = ticket;
	crew->turn++;
	crew->over = over;
	for (size_t i = 0; over && i < crew->n; i++)
		pthread_cond_signal(&crew->workers[i].turn);
	pthread_cond_signal(&crew->workers[crew->turn % crew->n].turn);
	pthread_mutex_unlock(&crew->lock);
}

static void count_block(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;

	pm_meter_refresh(worker->meter);
	pm_tally_expect(worker->meter->tally, worker->crowds);
	pm_block_each(worker->block, pm_meter_frame, worker->meter);
	apply_deferred(worker);
	pthread_mutex_lock(&crew->lock);
	worker->ticket = IDLE;
	if (crew->waiting)
		pthread_cond_broadcast(&crew->done);
	pthread_mutex_unlock(&crew->lock);
}

/* Draws a ticket, and claims a block in the same order. False: all is over. */
static bool draw(struct worker *worker, uint64_t *ret_ticket)
{
	struct pm_crew *crew = worker->crew;
	bool over;

	pthread_mutex_lock(&crew->lock);
	over = crew->over;
	if (!over) {
		*ret_ticket = crew->next++;
		pm_block_claim(worker->block);
	}
	pthread_mutex_unlock(&crew->lock);
	return !over;
}

void pm_crew_work(struct pm_crew *crew, size_t index)
{
	struct worker *worker = &crew->workers[index];
	uint64_t ticket;

	while (draw(worker, &ticket)) {
		bool counts, over;

		pm_block_fetch(worker->block);
		if (!turn_comes(crew, ticket))
			break;
		counts = take_turn(worker, &over);
		pass_turn(worker, ticket, counts, over);
		if (counts)
			count_block(worker);
	}
}

int pm_crew_end(const struct pm_crew *crew, struct pm_error *err)
{
	if (crew->end < 0 && err)
		*err = crew->err;
	return crew->end;
}
