/* SPDX-License-Identifier: MIT */
/*
 * A live run: sensors take frames and close intervals, each on a thread of its own; this one, the
 * first, renders what they hand over and minds the signals, so that slow output never holds up
 * capture.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notify.h"
#include "sensor.h"

/* How long to sleep when nothing is due, and when something stands still. */
#define SLEEP_MS 1000
#define LOOK_MS 100

/* Renders everything that waits. */
static void report_all(struct live_run *live)
{
	for (size_t i = 0; i < live->n; i++) {
		struct sensor *sensor = &live->sensors[i];
		struct pm_tally *tally;

		while (sensor->meter && (tally = pm_meter_take(sensor->meter)) != NULL) {
			pthread_mutex_lock(&live->output);
			run_report(live->run, tally, &sensor->source);
			pthread_mutex_unlock(&live->output);
			pm_meter_give(sensor->meter, tally);
		}
	}
	if (live->run->failed)
		atomic_store(&live->stop, true);
}

/* What the service manager shows: interfaces, as many as fit, and rules. */
static void tell_ready(struct live_run *live)
{
	char names[256] = "";
	size_t n = 0;

	for (size_t i = 0; i < live->n && n < sizeof names; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "",
				      live->sensors[i].source.name);
	notify_ready("capturing on %s; %zu rules, generation %" PRIu64, names,
		     pm_rules_entries(live->run->rules), live->run->generation);
}

static void handle_signals(struct live_run *live)
{
	struct pm_rules *rules = NULL;

	if (signal_stop) {
		notify_stopping();
		atomic_store(&live->stop, true);
	}
	if (signal_hangup) {
		signal_hangup = 0;
		notify_reloading();
		rules = run_reload(live->run);
		pthread_mutex_lock(&live->output);
		run_reopen(live->run);
		pthread_mutex_unlock(&live->output);
		tell_ready(live);
	}
	for (size_t i = 0; i < live->n; i++) {
		struct sensor *sensor = &live->sensors[i];

		if (rules)
			pm_meter_set_rules(sensor->meter, rules);
		if (signal_counts)
			atomic_store(&sensor->counts, true);
		if (signal_cut)
			atomic_store(&sensor->cut, true);
	}
	signal_counts = 0;
	signal_cut = 0;
}

static bool all_ended(struct live_run *live)
{
	for (size_t i = 0; i < live->n; i++)
		if (!atomic_load(&live->sensors[i].ended))
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

/*
 * Lets the service manager know that all goes on, if it does. How long to sleep until it is due
 * again; what stands still is looked at now and then.
 */
static int mind_watchdog(struct live_run *live)
{
	bool moves = true;

	if (notify_due_ms(LOOK_MS) > 0)
		return notify_due_ms(SLEEP_MS);
	for (size_t i = 0; i < live->n; i++)
		moves &= sensor_moves(&live->sensors[i]);
	if (moves)
		notify_alive();
	return moves ? notify_due_ms(SLEEP_MS) : LOOK_MS;
}

static void loop(struct live_run *live, int wake_fd)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };

	while (!all_ended(live)) {
		int sleep_ms;

		handle_signals(live);
		report_all(live);
		sleep_ms = mind_watchdog(live);
		/*
		 * A byte that came before counts, so nothing is missed; the time bounds what can't
		 * be foreseen.
		 */
		poll(&fd, 1, sleep_ms);
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
	if (!run_drop_privileges(run, false))
		goto out;
	if (start_threads(&live) == 0) {
		tell_ready(&live);
		loop(&live, run->wake_fd);
		code = EXIT_DONE;
	}
	atomic_store(&live.stop, true);
	for (size_t i = 0; i < live.n; i++)
		sensor_join(&live.sensors[i]);
	report_all(&live);
	run_flush(run);
	for (size_t i = 0; i < live.n; i++) {
		sensor_counts(&live.sensors[i]);
		if (atomic_load(&live.sensors[i].failed))
			code = EXIT_FAILED;
	}
out:
	run_end_output(run);
	for (size_t i = 0; live.sensors && i < live.n; i++)
		sensor_close(&live.sensors[i]);
	free(live.sensors);
	return code;
}
