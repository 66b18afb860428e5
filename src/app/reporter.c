/* SPDX-License-Identifier: MIT */
/* Records of capture files, written beside the counting: a queue and a thread. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "portmeter/meter.h"

/*
 * Tallies that may be on their way: one that is being written and one that waits. A meter has two
 * more, one to fill and one to change to.
 */
#define QUEUE 2

struct job {
	struct pm_meter *meter;
	struct pm_tally *tally;
	const struct pm_source *source;
};

struct reporter {
	struct run *run;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct job jobs[QUEUE + 1]; /* the first is being written */
	size_t n;
	bool ending;
};

static void write_one(struct reporter *reporter)
{
	struct job job = reporter->jobs[0];

	pthread_mutex_unlock(&reporter->lock);
	run_report(reporter->run, job.tally, job.source);
	pm_meter_give(job.meter, job.tally);
	pthread_mutex_lock(&reporter->lock);
	reporter->n--;
	memmove(reporter->jobs, reporter->jobs + 1, reporter->n * sizeof *reporter->jobs);
	pthread_cond_broadcast(&reporter->changed);
}

static void *reporter_main(void *ctx)
{
	struct reporter *reporter = ctx;

	pthread_mutex_lock(&reporter->lock);
	while (reporter->n || !reporter->ending) {
		if (reporter->n)
			write_one(reporter);
		else
			pthread_cond_wait(&reporter->changed, &reporter->lock);
	}
	pthread_mutex_unlock(&reporter->lock);
	return NULL;
}

struct reporter *reporter_start(struct run *run)
{
	struct reporter *reporter = calloc(1, sizeof *reporter);

	if (!reporter)
		return NULL;
	reporter->run = run;
	pthread_mutex_init(&reporter->lock, NULL);
	pthread_cond_init(&reporter->changed, NULL);
	if (thread_start(&reporter->thread, reporter_main, reporter) == 0)
		return reporter;
	pthread_cond_destroy(&reporter->changed);
	pthread_mutex_destroy(&reporter->lock);
	free(reporter);
	return NULL;
}

static void wait_until(struct reporter *reporter, size_t n)
{
	while (reporter->n > n)
		pthread_cond_wait(&reporter->changed, &reporter->lock);
}

void reporter_hand(struct reporter *reporter, struct pm_meter *meter, struct pm_tally *tally,
		   const struct pm_source *source)
{
	pthread_mutex_lock(&reporter->lock);
	reporter->jobs[reporter->n++] = (struct job){ meter, tally, source };
	pthread_cond_broadcast(&reporter->changed);
	wait_until(reporter, QUEUE);
	pthread_mutex_unlock(&reporter->lock);
}

void reporter_drain(struct reporter *reporter)
{
	if (!reporter)
		return;
	pthread_mutex_lock(&reporter->lock);
	wait_until(reporter, 0);
	pthread_mutex_unlock(&reporter->lock);
}

void reporter_end(struct reporter *reporter)
{
	if (!reporter)
		return;
	pthread_mutex_lock(&reporter->lock);
	reporter->ending = true;
	pthread_cond_broadcast(&reporter->changed);
	pthread_mutex_unlock(&reporter->lock);
	pthread_join(reporter->thread, NULL);
	pthread_cond_destroy(&reporter->changed);
	pthread_mutex_destroy(&reporter->lock);
	free(reporter);
}
