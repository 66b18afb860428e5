/* SPDX-License-Identifier: MIT */
/*
 * Several threads that fill one meter. Blocks of the capture go round in turns, in their order. In
 * its turn a worker finds the frames of its block; beside the others it notes what they are; when
 * all blocks before have been, it decides about them; and it counts them, beside the others again.
 * Who reads a stream keeps the turn, and the others work at what it hands over. See
 * docs/architecture.md.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

/* No block at hand. */
#define IDLE UINT64_MAX
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
/* Blocks of a stream that may be on their way, for each worker. */
#define SPARE 2

struct worker {
	struct pm_crew *crew;
	struct pm_meter *meter;
	struct pm_block *block;
	uint64_t number; /* of the block at hand, in the order of all; IDLE: there is none */
	bool asleep;
	pthread_cond_t wake;
};

/* A block that its reader has handed over. */
struct ready {
	struct pm_block *block;
	uint64_t number;
};

struct pm_crew {
	struct pm_crew_options options;
	struct worker *workers;
	struct worker **slots; /* who has drawn a ticket, by that modulo their number */
	size_t n;

	pthread_mutex_t lock; /* of all below, and of the workers' numbers */
	pthread_cond_t done;  /* a worker is idle */
	size_t waiting;       /* for that */
	struct pm_block **spare;
	struct ready *ready; /* the oldest first */
	size_t n_spare;
	uint64_t next; /* ticket */
	/* Changed under the lock, but looked at without. */
	atomic_size_t n_ready;
	atomic_uint_fast64_t turn;    /* ticket */
	atomic_uint_fast64_t decided; /* blocks: all before that number are */
	atomic_bool over;

	/* In turn. */
	struct worker *holder; /* of the turn */
	uint64_t numbers;      /* blocks so far */
	uint64_t left;         /* frames, before it must be asked again what the limit allows */
	uint64_t step;         /* frames to read one by one */
	uint64_t since;        /* frames in blocks since the last time */
	unsigned crowds;       /* transports of which many ports have been seen */
	int end;
	struct pm_error err;
};

/* Waits until no worker has a block at hand. */
static void wait_for_all(struct pm_crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	for (size_t i = 0; i < crew->n; i++)
		while (crew->workers[i].number != IDLE) {
			crew->waiting++;
			pthread_cond_wait(&crew->done, &crew->lock);
			crew->waiting--;
		}
	pthread_mutex_unlock(&crew->lock);
}

/* Waits until all blocks before the worker's are decided about: mostly they are by then. */
static void wait_for_place(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;

	for (int i = 0; i < PATIENCE; i++)
		if (atomic_load(&crew->decided) == worker->number)
			return;
	pthread_mutex_lock(&crew->lock);
	crew->waiting++;
	while (crew->decided != worker->number)
		pthread_cond_wait(&crew->done, &crew->lock);
	crew->waiting--;
	pthread_mutex_unlock(&crew->lock);
}

/* Decides about what the worker has noted, in its place, and counts it. */
static void decide_and_count(struct worker *worker, bool whole)
{
	struct pm_crew *crew = worker->crew;

	wait_for_place(worker);
	pm_meter_decide(crew->options.meter, worker->meter);
	if (whole) {
		pthread_mutex_lock(&crew->lock);
		crew->decided++;
		if (crew->waiting)
			pthread_cond_broadcast(&crew->done);
		pthread_mutex_unlock(&crew->lock);
	}
	pm_meter_count(worker->meter);
}

/* There is no room to note all of the block at once. */
static void on_full(void *ctx)
{
	decide_and_count(ctx, false);
}

static int worker_init(struct pm_crew *crew, struct worker *worker)
{
	int r;

	worker->crew = crew;
	worker->number = IDLE;
	pthread_cond_init(&worker->wake, NULL);
	r = pm_block_new(crew->options.capture, &worker->block);
	if (r == PM_OK)
		r = pm_meter_new_helper(crew->options.meter, on_full, worker, &worker->meter);
	return r;
}

static void worker_fini(struct worker *worker)
{
	pm_meter_free(worker->meter);
	pm_block_free(worker->block);
	pthread_cond_destroy(&worker->wake);
}

/* As many as there is memory for. */
static void make_workers(struct pm_crew *crew)
{
	size_t n = crew->options.workers;

	crew->workers = calloc(n, sizeof *crew->workers);
	crew->slots = calloc(n, sizeof *crew->slots);
	crew->spare = calloc(n, SPARE * sizeof *crew->spare);
	crew->ready = calloc(n, SPARE * sizeof *crew->ready);
	if (!crew->workers || !crew->slots || !crew->spare || !crew->ready)
		return;
	for (; crew->n < n; crew->n++)
		if (worker_init(crew, &crew->workers[crew->n]) < 0) {
			worker_fini(&crew->workers[crew->n]);
			/* one less, so that there is something left to write records with */
			if (crew->n)
				worker_fini(&crew->workers[--crew->n]);
			break;
		}
	while (crew->n_spare < crew->n * SPARE &&
	       pm_block_new(crew->options.capture, &crew->spare[crew->n_spare]) == PM_OK)
		crew->n_spare++;
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
		make_workers(crew);
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
	for (size_t i = 0; i < crew->n_spare; i++)
		pm_block_free(crew->spare[i]);
	free(crew->workers);
	free(crew->slots);
	free(crew->spare);
	free(crew->ready);
	pthread_cond_destroy(&crew->done);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

size_t pm_crew_workers(const struct pm_crew *crew)
{
	return crew->n;
}

/*
 * Counts a block, whose number is the worker's. Without memory to follow the meter's rules it does
 * so in its place in the order, as if alone.
 */
static void count_block(struct worker *worker, struct pm_block *block)
{
	struct pm_crew *crew = worker->crew;
	const struct pm_crew_options *options = &crew->options;

	if (pm_meter_follow(worker->meter, options->meter) == PM_OK) {
		pm_tally_expect(worker->meter->tally, crew->crowds);
		pm_block_each(block, pm_meter_note, worker->meter);
	} else {
		wait_for_place(worker);
		pm_block_each(block, options->frame, options->ctx);
	}
	decide_and_count(worker, true);
	pthread_mutex_lock(&crew->lock);
	worker->number = IDLE;
	if (crew->waiting)
		pthread_cond_broadcast(&crew->done);
	pthread_mutex_unlock(&crew->lock);
}

/* Under the lock: the oldest block that was handed over is now the worker's to count. */
static struct pm_block *ready_take(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;
	struct ready first = crew->ready[0];

	crew->n_ready--;
	memmove(crew->ready, crew->ready + 1, crew->n_ready * sizeof *crew->ready);
	worker->number = first.number;
	return first.block;
}

/* Under the lock, which is let go meanwhile: counts it. */
static void ready_count(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;
	struct pm_block *block = ready_take(worker);

	pthread_mutex_unlock(&crew->lock);
	count_block(worker, block);
	pthread_mutex_lock(&crew->lock);
	crew->spare[crew->n_spare++] = block;
}

/* In turn: hands the worker's block over, and takes an empty one. False: there is none. */
static bool hand_over(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;
	bool good;

	pthread_mutex_lock(&crew->lock);
	if (crew->n_spare == 0 && crew->n_ready) /* the others are behind */
		ready_count(worker);
	good = crew->n_spare > 0;
	if (good) {
		crew->ready[crew->n_ready] = (struct ready){ worker->block, crew->numbers++ };
		crew->n_ready++;
		worker->block = crew->spare[--crew->n_spare];
	}
	/* Waking takes a while too: once for two. What is not taken is counted when all must be. */
	for (size_t i = 0; crew->n_ready > 1 && i < crew->n; i++)
		if (crew->workers[i].asleep) {
			crew->workers[i].asleep = false;
			pthread_cond_signal(&crew->workers[i].wake);
			break;
		}
	pthread_mutex_unlock(&crew->lock);
	return good;
}

void pm_crew_settle(struct pm_crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	while (crew->n_ready)
		ready_count(crew->holder);
	pthread_mutex_unlock(&crew->lock);
	wait_for_all(crew);
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

enum turn {
	TURN_FRAMES,  /* there are some, to be counted beside other blocks */
	TURN_NOTHING, /* there are none */
	TURN_OVER,    /* it was the last one */
};

/* What the turn comes to: the frames of the worker's block. */
static enum turn take_turn(struct worker *worker)
{
	struct pm_crew *crew = worker->crew;
	const struct pm_crew_options *options = &crew->options;

	crew->holder = worker;
	for (;;) {
		bool stopped;
		int64_t from;
		uint64_t span, n;

		if (options->due(options->ctx)) {
			pm_crew_settle(crew);
			if (options->mind(options->ctx)) {
				crew->end = PM_CREW_STOPPED;
				return TURN_OVER;
			}
		}
		if (crew->left == 0) {
			pm_crew_settle(crew);
			renew_limit(crew);
			if (crew->left == 0)
				return TURN_OVER;
		}
		pm_meter_reach(options->meter, &from, &span);
		n = pm_block_take(worker->block, from, span, crew->left, &stopped);
		crew->since += n;
		crew->left -= options->limit ? n : 0;
		/* Whoever unpacks goes on with that: its memory is in the cache of this core. */
		if (!stopped && n > 0 && pm_block_of_stream(worker->block) && hand_over(worker))
			continue;
		if (!stopped)
			return n > 0 ? TURN_FRAMES : TURN_NOTHING;
		pm_crew_settle(crew);
		pm_block_each(worker->block, options->frame, options->ctx);
		renew_limit(crew);
		if (crew->left == 0 || !read_on(crew))
			return TURN_OVER;
		renew_limit(crew);
	}
}

/* A turn is mostly shorter than it takes to fall asleep. */
static void be_patient(struct pm_crew *crew, uint64_t ticket)
{
	for (int i = 0; i < PATIENCE; i++)
		if (atomic_load(&crew->turn) == ticket || atomic_load(&crew->n_ready) ||
		    atomic_load(&crew->over))
			return;
}

/* Waits for the turn, and meanwhile counts what is handed over. False: all is over. */
static bool turn_comes(struct worker *worker, uint64_t ticket)
{
	struct pm_crew *crew = worker->crew;

	be_patient(crew, ticket);
	pthread_mutex_lock(&crew->lock);
	while (crew->turn != ticket && !crew->over) {
		if (crew->n_ready) {
			ready_count(worker);
			continue;
		}
		worker->asleep = true;
		pthread_cond_wait(&worker->wake, &crew->lock);
		worker->asleep = false;
	}
	pthread_mutex_unlock(&crew->lock);
	return !crew->over;
}

static void pass_turn(struct worker *worker, enum turn turn)
{
	struct pm_crew *crew = worker->crew;
	struct worker *next;

	pthread_mutex_lock(&crew->lock);
	if (turn == TURN_FRAMES)
		worker->number = crew->numbers++;
	crew->turn++;
	if (turn == TURN_OVER)
		crew->over = true;
	for (size_t i = 0; turn == TURN_OVER && i < crew->n; i++)
		pthread_cond_signal(&crew->workers[i].wake);
	next = crew->slots[crew->turn % crew->n];
	if (next)
		pthread_cond_signal(&next->wake);
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
		crew->slots[*ret_ticket % crew->n] = worker;
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
		enum turn turn;

		pm_block_fetch(worker->block);
		if (!turn_comes(worker, ticket))
			break;
		turn = take_turn(worker);
		pass_turn(worker, turn);
		if (turn == TURN_FRAMES)
			count_block(worker, worker->block);
	}
}

int pm_crew_end(const struct pm_crew *crew, struct pm_error *err)
{
	if (crew->end < 0 && err)
		*err = crew->err;
	return crew->end;
}
