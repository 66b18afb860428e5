/* SPDX-License-Identifier: MIT */
/*
 * A live run: sensors take frames and close intervals, each on a thread of its own; this one, the
 * first, renders what they hand over and minds the signals, so that slow output never holds up
 * capture.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "screen.h"
#include "sensor.h"

/* Renders everything that waits. */
static void report_all(struct live_run *live)
{
	for (size_t i = 0; i < live->n; i++) {
		struct sensor *sensor = &live->sensors[i];
		struct pm_tally *tally;

		while ((tally = sensor_take(sensor)) != NULL) {
			pthread_mutex_lock(&live->output);
			run_report(live->run, tally, &sensor->source);
			pthread_mutex_unlock(&live->output);
			sensor_give(sensor, tally);
		}
	}
	if (live->run->failed)
		atomic_store(&live->stop, true);
}

static void handle_signals(struct live_run *live)
{
	struct pm_rules *rules = NULL;
	int64_t now = pm_time_now();

	if (signal_stop)
		atomic_store(&live->stop, true);
	if (signal_hangup) {
		signal_hangup = 0;
		rules = run_reload(live->run);
		pthread_mutex_lock(&live->output);
		run_reopen(live->run);
		pthread_mutex_unlock(&live->output);
	}
	for (size_t i = 0; i < live->n; i++) {
		struct sensor *sensor = &live->sensors[i];

		if (rules)
			sensor_set_rules(sensor, rules);
		if (signal_counts)
			sensor_ask_counts(sensor);
		if (signal_cut)
			sensor_cut(sensor, now);
	}
	signal_counts = 0;
	signal_cut = 0;
}

static bool all_ended(struct live_run *live)
{
	for (size_t i = 0; i < live->n; i++)
		if (!sensor_ended(&live->sensors[i]))
			return false;
	return true;
}

static int start_threads(struct live_run *live)
{
	int r = 0;

	for (size_t i = 0; i < live->n && r == 0; i++)
		r = sensor_start(&live->sensors[i]);
	if (r != 0)
		say("can't start a thread: %s", strerror(r));
	return r;
}

static void loop(struct live_run *live, int wake_fd)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };

	while (!all_ended(live)) {
		handle_signals(live);
		report_all(live);
		/*
		 * A byte that came before counts, so nothing is missed; the time bounds what can't
		 * be foreseen.
		 */
		poll(&fd, 1, 1000);
		signals_drain(wake_fd);
	}
}

int run_live(struct run *run)
{
	const struct options *options = run->options;
	struct live_run live = { .run = run, .output = PTHREAD_MUTEX_INITIALIZER };
	size_t n = options->n_interfaces ? options->n_interfaces : 1;
	int code = EXIT_FAILED;

	live.sensors = calloc(n, sizeof *live.sensors);
	if (!live.sensors) {
		say("%s", pm_strerror(PM_E_MEMORY));
		goto out;
	}
	live.limited = options->count != 0;
	atomic_store(&live.left, (long long)(options->count & INT64_MAX));
	for (; live.n < n; live.n++) {
		code = sensor_open(&live, &live.sensors[live.n],
				   options->n_interfaces ? options->interfaces[live.n] : NULL);
		if (code != EXIT_DONE) {
			live.n++; /* what it has opened is closed below */
			goto out;
		}
	}
	code = EXIT_FAILED;
	/* What can't be shown in place is shown in tables. */
	if (options->screen)
		(void)screen_open(options);
	if (!run_drop_privileges(run))
		goto out;
	if (start_threads(&live) == 0 && screen_start()) {
		loop(&live, run->wake_fd);
		code = EXIT_DONE;
	}
	atomic_store(&live.stop, true);
	for (size_t i = 0; i < live.n; i++)
		sensor_join(&live.sensors[i]);
	report_all(&live);
	screen_close();
	run_flush(run);
	for (size_t i = 0; i < live.n; i++) {
		sensor_counts(&live.sensors[i]);
		if (!sensor_there(&live.sensors[i]))
			code = EXIT_FAILED;
	}
out:
	screen_close();
	run_end_output(run);
	for (size_t i = 0; live.sensors && i < live.n; i++)
		sensor_close(&live.sensors[i]);
	free(live.sensors);
	return code;
}
