/* SPDX-License-Identifier: MIT */
/*
 * A live run: one thread an interface takes frames and closes intervals; this one, the first,
 * renders what they hand over and minds the signals, so that slow output never holds up capture.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "portmeter/meter.h"

#define READ_TIMEOUT_MS 100
/* Frames between two looks at the clock and the flags. */
#define BATCH 4096

struct live_run;

struct sensor {
	struct live_run *live;
	struct pm_capture *capture;
	struct pm_meter *meter;
	struct pm_source source;
	pthread_t thread;
	bool started;
	atomic_bool ended, failed, cut, counts;
};

struct live_run {
	struct run *run;
	struct sensor *sensors;
	size_t n;
	atomic_bool stop;
	bool limited;
	atomic_llong left;      /* frames that -c still allows */
	pthread_mutex_t output; /* frames are written where they are counted */
};

static void on_closed(void *ctx)
{
	(void)ctx;
	signals_wake();
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct sensor *sensor = ctx;
	struct live_run *live = sensor->live;
	struct pm_error err = { .line = 0 };
	int r;

	pthread_mutex_lock(&live->output);
	if (!live->run->failed) {
		r = pm_output_frame(live->run->output, &sensor->source, report, &err);
		if (r < 0) {
			say_error(&err, r);
			live->run->failed = true;
			atomic_store(&live->stop, true);
		}
	}
	pthread_mutex_unlock(&live->output);
}

/* With -c: counts frames over all sources, and leaves out those beyond. */
static void on_limited_frame(void *ctx, const struct pm_frame *frame)
{
	struct sensor *sensor = ctx;
	long long before = atomic_fetch_sub(&sensor->live->left, 1);

	if (before > 0)
		pm_meter_frame(sensor->meter, frame);
	if (before <= 1)
		atomic_store(&sensor->live->stop, true);
}

static void sensor_counts(struct sensor *sensor)
{
	struct pm_capture_counts counts;

	pm_capture_count(sensor->capture, 0, &counts);
	run_counts(sensor->source.name, &counts, pm_meter_frames(sensor->meter),
		   sensor->live->n > 1);
}

static int take_frames(struct sensor *sensor)
{
	struct pm_error err = { .line = 0 };
	int n;

	if (sensor->live->limited)
		n = pm_capture_dispatch(sensor->capture, BATCH, on_limited_frame, sensor, &err);
	else
		n = pm_capture_dispatch(sensor->capture, BATCH, pm_meter_frame, sensor->meter,
					&err);
	if (n < 0 && !atomic_exchange(&sensor->failed, true))
		say_error(&err, n);
	return n;
}

static void mind_requests(struct sensor *sensor, int64_t now)
{
	if (atomic_exchange(&sensor->cut, false))
		pm_meter_cut(sensor->meter, now);
	if (atomic_exchange(&sensor->counts, false))
		sensor_counts(sensor);
	/* Frames that were written wait in the buffer no longer than a reader would notice. */
	if (sensor->live->run->options->output.format == PM_FORMAT_FRAMES) {
		pthread_mutex_lock(&sensor->live->output);
		run_flush(sensor->live->run);
		pthread_mutex_unlock(&sensor->live->output);
	}
}

/* Sleeps until frames come, an interval is over or something may have been asked for. */
static void sensor_wait(struct sensor *sensor)
{
	int64_t left = (pm_meter_deadline(sensor->meter) - pm_time_now()) / 1000000 + 1;

	if (left > READ_TIMEOUT_MS || left < 0)
		left = READ_TIMEOUT_MS;
	pm_capture_wait(sensor->capture, (int)left);
}

/*
 * What the kernel holds when the end is called, or the interface gone, counts as well: a block that
 * is not full is handed over after the read timeout. Bounded by time: frames may keep coming.
 */
static void drain(struct sensor *sensor)
{
	int64_t end = pm_time_now() + INT64_C(2) * READ_TIMEOUT_MS * 1000000;

	for (int64_t now = pm_time_now(); now < end; now = pm_time_now()) {
		pm_meter_tick(sensor->meter, now);
		if (take_frames(sensor) <= 0)
			pm_capture_wait(sensor->capture, READ_TIMEOUT_MS / 4);
	}
}

static void *sensor_main(void *ctx)
{
	struct sensor *sensor = ctx;
	struct live_run *live = sensor->live;
	int n = 0;

	while (n >= 0 && !atomic_load(&live->stop)) {
		int64_t now = pm_time_now();

		pm_meter_tick(sensor->meter, now);
		mind_requests(sensor, now);
		n = take_frames(sensor);
		if (n == 0)
			sensor_wait(sensor);
	}
	if (!live->limited || n < 0)
		drain(sensor);
	pm_meter_finish(sensor->meter, pm_time_now(), false);
	atomic_store(&sensor->ended, true);
	signals_wake();
	return NULL;
}

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

static void handle_signals(struct live_run *live)
{
	struct pm_rules *rules = NULL;

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

	for (size_t i = 0; i < live->n && r == 0; i++) {
		struct sensor *sensor = &live->sensors[i];

		r = thread_start(&sensor->thread, sensor_main, sensor);
		sensor->started = r == 0;
	}
	if (r != 0)
		say("can't start a thread: %s", strerror(r));
	return r;
}

static int sensor_open(struct live_run *live, struct sensor *sensor, const char *text)
{
	const struct options *options = live->run->options;
	struct pm_capture_options capture = options->capture;
	struct pm_meter_options meter = {
		.interval_ns = options->interval_ns,
		.grace_ns = INT64_C(1000000) * READ_TIMEOUT_MS,
		.live = true,
		.rules = live->run->rules,
		.tunnels = options->tunnels,
		.endpoints = options->learned,
		.allowance = live->run->allowance,
		.by_endpoint = options->endpoints,
		.closed = on_closed,
		.frame = options->output.format == PM_FORMAT_FRAMES ? on_fate : NULL,
		.ctx = sensor,
	};
	struct pm_error err = { .line = 0 };
	char *interface = interface_find(text);
	int64_t start = pm_time_now();
	int r;

	if (!interface) {
		say("no interface to capture on; name one with -i, or run as root");
		return EXIT_FAILED;
	}
	sensor->live = live;
	capture.timeout_ms = READ_TIMEOUT_MS;
	r = pm_capture_open_live(interface, &capture, &err, &sensor->capture);
	free(interface);
	if (r == PM_OK) {
		meter.capture = sensor->capture;
		r = pm_meter_new(&meter, &sensor->meter);
	}
	if (r == PM_E_PERMISSION)
		say_permission(&err);
	else if (r < 0)
		say_error(&err, r);
	if (r < 0)
		return r == PM_E_FILTER || r == PM_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
	sensor->source = run_source(live->run, sensor->capture, 0);
	run_check_link(sensor->capture, 0);
	pm_meter_tick(sensor->meter, start);
	say("listening on %s, link type %s, snapshot length %d bytes", sensor->source.name,
	    sensor->source.link ? sensor->source.link : "?", sensor->source.snaplen);
	return EXIT_DONE;
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
	if (!run_drop_privileges(run))
		goto out;
	if (start_threads(&live) == 0) {
		loop(&live, run->wake_fd);
		code = EXIT_DONE;
	}
	atomic_store(&live.stop, true);
	for (size_t i = 0; i < live.n; i++)
		if (live.sensors[i].started)
			pthread_join(live.sensors[i].thread, NULL);
	report_all(&live);
	run_flush(run);
	for (size_t i = 0; i < live.n; i++) {
		sensor_counts(&live.sensors[i]);
		if (atomic_load(&live.sensors[i].failed))
			code = EXIT_FAILED;
	}
out:
	run_end_output(run);
	for (size_t i = 0; live.sensors && i < live.n; i++) {
		pm_meter_free(live.sensors[i].meter);
		pm_capture_close(live.sensors[i].capture);
	}
	free(live.sensors);
	return code;
}
