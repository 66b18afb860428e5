/* SPDX-License-Identifier: MIT */
/* Records, written beside the counting: a thread, and what is on its way to it. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app.h"

/*
 * Tallies that may be on their way when they are handed over: one that is being written and one
 * that waits. A meter has two more, one to fill and one to change to.
 */
#define QUEUE 2

struct reporter {
	struct reporter_options options;
	struct run *run;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct report queue[QUEUE + 1]; /* the first is being written */
	size_t n;
	bool woken;  /* since it last looked for something to take */
	bool reopen; /* is asked for */
	bool ending, given_up, ended;
	atomic_ullong writing; /* intervals of the record that is being written; 0: none is */
};

static void output_lock(struct reporter *reporter)
{
	if (reporter->options.output)
		pthread_mutex_lock(reporter->options.output);
}

static void output_unlock(struct reporter *reporter)
{
	if (reporter->options.output)
		pthread_mutex_unlock(reporter->options.output);
}

static void write_report(struct reporter *reporter, const struct report *report)
{
	atomic_store(&reporter->writing, report->tally->merged);
	output_lock(reporter);
	run_report(reporter->run, report->tally, report->source);
	output_unlock(reporter);
	atomic_store(&reporter->writing, 0);
	report->give(report->ctx, report->tally);
}

/* Under the lock, as all that follows, which is let go while something is written. */
static void write_first(struct reporter *reporter)
{
	struct report report = reporter->queue[0];

	pthread_mutex_unlock(&reporter->lock);
	write_report(reporter, &report);
	pthread_mutex_lock(&reporter->lock);
	reporter->n--;
	memmove(reporter->queue, reporter->queue + 1, reporter->n * sizeof *reporter->queue);
	pthread_cond_broadcast(&reporter->changed);
}

/* Opens anew, or tries again what could not be written. */
static void mind_output(struct reporter *reporter)
{
	struct run *run = reporter->run;
	bool reopen = reporter->reopen;

	reporter->reopen = false;
	pthread_mutex_unlock(&reporter->lock);
	output_lock(reporter);
	if (reopen)
		run_reopen(run);
	if (pm_output_due(run->output) == 0)
		run_retry(run);
	output_unlock(reporter);
	pthread_mutex_lock(&reporter->lock);
}

/* What there is no room for waits where it is. */
static bool may_take(const struct reporter *reporter)
{
	return reporter->options.take &&
	       (pm_output_has_room(reporter->run->output) || reporter->run->failed);
}

/* Takes one and writes it. */
static bool take_one(struct reporter *reporter)
{
	struct report report;
	bool taken = false;

	if (!may_take(reporter))
		return false;
	reporter->woken = false;
	pthread_mutex_unlock(&reporter->lock);
	taken = reporter->options.take(reporter->options.ctx, &report);
	if (taken)
		write_report(reporter, &report);
	pthread_mutex_lock(&reporter->lock);
	return taken;
}

/* Until something is asked for, or what could not be written is to be tried again. */
static void wait_for_more(struct reporter *reporter)
{
	int64_t due = pm_output_due(reporter->run->output);
	struct timespec until;

	if (reporter->reopen || (reporter->woken && may_take(reporter)))
		return;
	if (due == PM_TIME_MAX) {
		pthread_cond_wait(&reporter->changed, &reporter->lock);
		return;
	}
	due = pm_time_add(pm_time_steady(), due);
	until.tv_sec = (time_t)(due / PM_NS_PER_S);
	until.tv_nsec = (long)(due % PM_NS_PER_S);
	pthread_cond_timedwait(&reporter->changed, &reporter->lock, &until);
}

/* Whether there is nothing more to do, or no more to be done. */
static bool is_through(const struct reporter *reporter)
{
	if (!reporter->ending)
		return false;
	if (reporter->given_up)
		return true;
	if (reporter->woken && reporter->options.take)
		return false;
	return pm_output_due(reporter->run->output) == PM_TIME_MAX;
}

static void *reporter_main(void *ctx)
{
	struct reporter *reporter = ctx;

	pthread_mutex_lock(&reporter->lock);
	for (;;) {
		if (reporter->reopen || pm_output_due(reporter->run->output) == 0)
			mind_output(reporter);
		if (reporter->n)
			write_first(reporter);
		else if (take_one(reporter))
			continue;
		else if (is_through(reporter))
			break;
		else
			wait_for_more(reporter);
	}
	reporter->ended = true;
	pthread_cond_broadcast(&reporter->changed);
	pthread_mutex_unlock(&reporter->lock);
	return NULL;
}

struct reporter *reporter_start(const struct reporter_options *options)
{
	struct reporter *reporter = calloc(1, sizeof *reporter);
	pthread_condattr_t attributes;

	if (!reporter)
		return NULL;
	reporter->options = *options;
	reporter->run = options->run;
	pthread_mutex_init(&reporter->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&reporter->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (thread_start(&reporter->thread, reporter_main, reporter) == 0)
		return reporter;
	pthread_cond_destroy(&reporter->changed);
	pthread_mutex_destroy(&reporter->lock);
	free(reporter);
	return NULL;
}

static void ask(struct reporter *reporter, bool *what)
{
	pthread_mutex_lock(&reporter->lock);
	*what = true;
	pthread_cond_broadcast(&reporter->changed);
	pthread_mutex_unlock(&reporter->lock);
}

static void wait_until(struct reporter *reporter, size_t n)
{
	while (reporter->n > n)
		pthread_cond_wait(&reporter->changed, &reporter->lock);
}

void reporter_hand(struct reporter *reporter, struct report report)
{
	pthread_mutex_lock(&reporter->lock);
	reporter->queue[reporter->n++] = report;
	pthread_cond_broadcast(&reporter->changed);
	wait_until(reporter, QUEUE);
	pthread_mutex_unlock(&reporter->lock);
}

void reporter_wake(struct reporter *reporter)
{
	ask(reporter, &reporter->woken);
}

void reporter_reopen(struct reporter *reporter)
{
	ask(reporter, &reporter->reopen);
}

void reporter_drain(struct reporter *reporter)
{
	if (!reporter)
		return;
	pthread_mutex_lock(&reporter->lock);
	wait_until(reporter, 0);
	pthread_mutex_unlock(&reporter->lock);
}

void reporter_finish(struct reporter *reporter)
{
	pthread_mutex_lock(&reporter->lock);
	reporter->ending = reporter->woken = true;
	pthread_cond_broadcast(&reporter->changed);
	pthread_mutex_unlock(&reporter->lock);
}

void reporter_give_up(struct reporter *reporter)
{
	ask(reporter, &reporter->given_up);
}

bool reporter_ended(struct reporter *reporter, int wait_ms)
{
	struct timespec until;
	bool ended;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += wait_ms % 1000 * 1000000L;
	until.tv_sec += wait_ms / 1000 + until.tv_nsec / PM_NS_PER_S;
	until.tv_nsec %= PM_NS_PER_S;
	pthread_mutex_lock(&reporter->lock);
	while (!reporter->ended)
		if (pthread_cond_timedwait(&reporter->changed, &reporter->lock, &until) != 0)
			break;
	ended = reporter->ended;
	pthread_mutex_unlock(&reporter->lock);
	return ended;
}

uint64_t reporter_writing(const struct reporter *reporter)
{
	return atomic_load(&reporter->writing);
}

void reporter_end(struct reporter *reporter)
{
	if (!reporter)
		return;
	reporter_finish(reporter);
	pthread_join(reporter->thread, NULL);
	pthread_cond_destroy(&reporter->changed);
	pthread_mutex_destroy(&reporter->lock);
	free(reporter);
}
