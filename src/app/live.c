/* SPDX-License-Identifier: MIT */
/*
 * A live run: sensors take frames and close intervals, each on a thread of its own; a reporter
 * renders and writes what they have closed; this thread, the first, minds the signals. So output
 * that stands still holds up neither capture nor signals.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"
#include "screen.h"
#include "sensor.h"

/* At the end: how long nothing may be written until what is left is given up. */
#define STALL_NS (INT64_C(5) * PM_NS_PER_S)
/* And how much longer a disk that answers nothing may keep the reporter. */
#define HANG_NS PM_NS_PER_S
#define LOOK_MS 100
/* How long to sleep when nothing is due. */
#define SLEEP_MS 1000
#define STATUS_MAX 512

static void give_back(void *sensor, struct pm_tally *tally)
{
	sensor_give(sensor, tally);
}

/* Takes a closed tally, of one sensor after the other. On the reporter's thread. */
static bool take_closed(void *ctx, struct report *ret_report)
{
	struct live_run *live = ctx;

	for (size_t n = 0; n < live->n; n++) {
		struct sensor *sensor = &live->sensors[live->next];
		struct pm_tally *tally = sensor_take(sensor);

		live->next = (live->next + 1) % live->n;
		if (!tally)
			continue;
		*ret_report =
			(struct report){ tally, &sensor->source, give_back, sensor };
		return true;
	}
	return false;
}

/* What the service manager shows: interfaces, as many as fit, and rules. */
static void describe(struct live_run *live, char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < live->n && n < size; i++) {
		struct sensor *sensor = &live->sensors[i];

		n += (size_t)snprintf(text + n, size - n, "%s%s%s", i ? ", " : "capturing on ",
				      sensor_name(sensor), sensor_waits(sensor) ? " (waiting for it)" : "");
	}
	if (n < size)
		snprintf(text + n, size - n, "; %zu rules, generation %" PRIu64,
			 pm_rules_entries(live->run->rules), live->run->generation);
}

static void tell_ready(struct live_run *live)
{
	char text[STATUS_MAX];

	describe(live, text, sizeof text);
	notify_ready("%s", text);
}

/*
 * Lets the service manager know how all goes on, and that it does: the threads of interfaces. That
 * output stands still is its reader's fault, or the disk's, and starting anew would only lose what
 * waits. How long to sleep until it is due again; what stands still is looked at now and then.
 */
static int mind_manager(struct live_run *live)
{
	char text[STATUS_MAX];
	bool moves = true;

	if (!notify_wanted())
		return SLEEP_MS;
	describe(live, text, sizeof text);
	notify_status("%s", text);
	if (notify_due_ms(LOOK_MS) > 0)
		return notify_due_ms(SLEEP_MS);
	for (size_t i = 0; i < live->n; i++)
		moves &= sensor_moves(&live->sensors[i]);
	if (moves)
		notify_alive();
	return moves ? notify_due_ms(SLEEP_MS) : LOOK_MS;
}

static void handle_signals(struct live_run *live)
{
	struct pm_rules *rules = NULL;
	int64_t now = pm_time_now();

	if (signal_stop || live->run->failed || live->run->full) {
		notify_stopping();
		atomic_store(&live->stop, true);
	}
	if (signal_hangup) {
		signal_hangup = 0;
		notify_reloading();
		rules = run_reload(live->run);
		reporter_reopen(live->reporter);
		tell_ready(live);
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

/* Whether every thread that captures has been seen lately, and has something to capture from. */
static bool is_healthy(void *ctx, char *ret_why, size_t size)
{
	struct live_run *live = ctx;

	for (size_t i = 0; i < live->n; i++)
		if (!sensor_healthy(&live->sensors[i], ret_why, size))
			return false;
	return true;
}

static int start_threads(struct live_run *live)
{
	const struct reporter_options reporter = {
		.run = live->run,
		.take = take_closed,
		.output = &live->output,
		.ctx = live,
	};
	int r = 0;

	signal_loss.open = true;
	live->reporter = reporter_start(&reporter);
	if (!live->reporter)
		r = EAGAIN;
	for (size_t i = 0; i < live->n && r == 0; i++)
		r = sensor_start(&live->sensors[i]);
	if (r != 0)
		say("can't start a thread: %s", strerror(r));
	return r;
}

/* How the output comes along when the run is to end. */
struct patience {
	uint64_t progress;
	int64_t since_ns; /* when that was; 0: has not been looked at */
	bool given_up;
};

/* Gives up once nothing was written for too long. Whether even that has not helped. */
static bool is_hopeless(struct live_run *live, struct patience *patience)
{
	uint64_t progress = pm_output_progress(live->run->output);
	int64_t now = pm_time_steady();

	if (!patience->since_ns || progress != patience->progress) {
		patience->progress = progress;
		patience->since_ns = now;
	} else if (!patience->given_up && now - patience->since_ns >= STALL_NS) {
		patience->given_up = true;
		pm_output_give_up(live->run->output);
		reporter_give_up(live->reporter);
	}
	return patience->given_up && now - patience->since_ns >= STALL_NS + HANG_NS;
}

/* Until all sensors have ended; false: one is kept from it by output. */
static bool loop(struct live_run *live, int wake_fd, struct patience *patience)
{
	struct pollfd fd = { .fd = wake_fd, .events = POLLIN };

	while (!all_ended(live)) {
		int sleep_ms;
		bool stop;

		handle_signals(live);
		sleep_ms = mind_manager(live);
		stop = atomic_load(&live->stop);
		if (stop && is_hopeless(live, patience))
			return false;
		/*
		 * A byte that came before counts, so nothing is missed; the time bounds what can't
		 * be foreseen.
		 */
		poll(&fd, 1, stop ? LOOK_MS : sleep_ms);
		signals_drain(wake_fd);
	}
	signal_loss.open = false;
	return true;
}

/* Waits for the last records; false: what writes them hangs. */
static bool finish_output(struct live_run *live, struct patience *patience)
{
	reporter_finish(live->reporter);
	while (!reporter_ended(live->reporter, LOOK_MS))
		if (is_hopeless(live, patience))
			return false;
	return true;
}

/* What waits in the meters, and will not be written any more. */
static void count_left(struct live_run *live)
{
	struct report report;

	while (take_closed(live, &report)) {
		live->run->unwritten++;
		live->run->unwritten_intervals += report.tally->merged;
		live->run->failed = true;
		report.give(report.ctx, report.tally);
	}
}

/*
 * A thread is in a call of the system that does not return, as that of a disk that is gone: nothing
 * it uses can be freed, and what is not written stays so.
 */
static _Noreturn void abandon(struct live_run *live)
{
	uint64_t writing = reporter_writing(live->reporter);

	screen_close();
	live->run->unwritten += writing != 0;
	live->run->unwritten_intervals += writing;
	count_left(live);
	if (live->run->unwritten)
		run_say_unwritten(live->run, pm_output_name(live->run->output));
	say("output hangs; ending without it");
	_exit(EXIT_FAILED);
}

static void run_threads(struct live_run *live)
{
	struct patience patience = { .progress = 0 };
	bool ended = loop(live, live->run->wake_fd, &patience);

	atomic_store(&live->stop, true);
	if (!ended)
		abandon(live);
	for (size_t i = 0; i < live->n; i++)
		sensor_join(&live->sensors[i]);
	if (!finish_output(live, &patience))
		abandon(live);
	reporter_end(live->reporter);
	count_left(live);
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
	for (size_t i = 0; i < live.n; i++)
		screen_source(&live.sensors[i].source);
	if (!run_drop_privileges(run, false))
		goto out;
	run->healthy = is_healthy;
	run->health_ctx = &live;
	if (!serve_start(run))
		goto out;
	if (start_threads(&live) == 0 && screen_start()) {
		code = EXIT_DONE;
		tell_ready(&live);
	} else {
		atomic_store(&live.stop, true);
	}
	if (live.reporter)
		run_threads(&live);
	screen_close();
	run_flush(run);
	for (size_t i = 0; i < live.n; i++) {
		sensor_counts(&live.sensors[i]);
		if (!sensor_there(&live.sensors[i]))
			code = EXIT_FAILED;
	}
out:
	screen_close();
	serve_close(run);
	run_end_output(run);
	for (size_t i = 0; live.sensors && i < live.n; i++)
		sensor_close(&live.sensors[i]);
	free(live.sensors);
	return code;
}
