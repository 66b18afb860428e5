/* SPDX-License-Identifier: MIT */
/* An interface's thread: takes frames, closes intervals, and minds what is asked of it. */
#include <stdlib.h>

#include "sensor.h"

#define READ_TIMEOUT_MS 100
/* Frames between two looks at the clock and the flags. */
#define BATCH 4096

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

void sensor_counts(struct sensor *sensor)
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

		atomic_fetch_add(&sensor->beats, 1);
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

int sensor_open(struct live_run *live, struct sensor *sensor, const char *text)
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

int sensor_start(struct sensor *sensor)
{
	int r = thread_start(&sensor->thread, sensor_main, sensor);

	sensor->started = r == 0;
	return r;
}

bool sensor_moves(struct sensor *sensor)
{
	unsigned beats = atomic_load(&sensor->beats);
	bool moves = beats != sensor->seen || atomic_load(&sensor->ended);

	/* Frames are written where they are counted: it may be their reader who holds us up. */
	if (sensor->live->run->options->output.format == PM_FORMAT_FRAMES)
		moves = true;
	sensor->seen = beats;
	return moves;
}

void sensor_join(struct sensor *sensor)
{
	if (sensor->started)
		pthread_join(sensor->thread, NULL);
}

void sensor_close(struct sensor *sensor)
{
	pm_meter_free(sensor->meter);
	pm_capture_close(sensor->capture);
}
