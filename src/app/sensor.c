/* SPDX-License-Identifier: MIT */
/*
 * An interface's threads: take frames, close intervals, mind what is asked of them, and wait for
 * the interface when it is gone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor.h"

#define READ_TIMEOUT_MS 100
#define MS INT64_C(1000000)
/* Frames between two looks at the clock and the flags. */
#define BATCH 4096
/* The kernel's counters of a socket have 32 bits: at 4 billion frames a second they wrap. */
#define LOOK_NS PM_NS_PER_S
/* A thread looks round every tenth of a second; draining takes it a fifth of one. */
#define STUCK_NS (INT64_C(5) * PM_NS_PER_S)
/* How soon a lost interface is tried again, at first and at last. */
#define RETRY_NS (100 * MS)
#define RETRY_MAX_NS (2000 * MS)

static bool leads(const struct tap *tap)
{
	return tap == tap->sensor->taps;
}

static void on_closed(void *ctx)
{
	struct tap *tap = ctx;

	/* Several threads close the same intervals. */
	if (leads(tap))
		run_closed(tap->sensor->live->run);
	reporter_wake(tap->sensor->live->reporter);
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct tap *tap = ctx;
	struct live_run *live = tap->sensor->live;
	struct pm_error err = { .line = 0 };
	int r;

	pthread_mutex_lock(&live->output);
	if (!live->run->failed && !live->run->full) {
		r = pm_output_frame(live->run->output, &tap->sensor->source, report, &err);
		run_frame_written(live->run, r, &err);
	}
	pthread_mutex_unlock(&live->output);
}

/* With -c: counts frames over all sources, and leaves out those beyond. */
static void on_limited_frame(void *ctx, const struct pm_frame *frame)
{
	struct tap *tap = ctx;
	long long before = atomic_fetch_sub(&tap->sensor->live->left, 1);

	if (before > 0)
		pm_meter_frame(tap->meter, frame);
	if (before <= 1)
		atomic_store(&tap->sensor->live->stop, true);
}

static void counts_add(struct pm_capture_counts *sum, const struct pm_capture_counts *more)
{
	sum->received += more->received;
	sum->dropped_kernel += more->dropped_kernel;
	sum->received_known &= more->received_known;
	sum->dropped_kernel_known &= more->dropped_kernel_known;
}

/* Under the lock. */
static void say_counts(const struct sensor *sensor)
{
	struct pm_capture_counts sum = sensor->counts[0];
	uint64_t frames = sensor->frames[0];

	for (size_t i = 1; i < sensor->n; i++) {
		counts_add(&sum, &sensor->counts[i]);
		frames += sensor->frames[i];
	}
	run_counts(sensor->source.name, &sum, frames, sensor->live->n > 1);
	for (size_t i = 0; i < sensor->n && sensor->n > 1; i++)
		say("%s, thread %zu of %zu: %" PRIu64 " captured, %" PRIu64 " received, %" PRIu64
		    " dropped by kernel",
		    sensor->source.name, i + 1, sensor->n, sensor->frames[i],
		    sensor->counts[i].received, sensor->counts[i].dropped_kernel);
}

/* By the tap's thread, or after its end. */
static void note_counts(struct tap *tap)
{
	struct sensor *sensor = tap->sensor;
	size_t index = (size_t)(tap - sensor->taps);
	struct pm_capture_counts counts;

	pm_capture_count(tap->capture, 0, &counts);
	pthread_mutex_lock(&sensor->lock);
	sensor->counts[index] = counts;
	sensor->frames[index] = pm_meter_frames(tap->meter);
	if (sensor->counts_due > 0 && --sensor->counts_due == 0)
		say_counts(sensor);
	pthread_mutex_unlock(&sensor->lock);
}

void sensor_counts(struct sensor *sensor)
{
	pthread_mutex_lock(&sensor->lock);
	sensor->counts_due = sensor->n;
	pthread_mutex_unlock(&sensor->lock);
	for (size_t i = 0; i < sensor->n; i++)
		note_counts(&sensor->taps[i]);
}

void sensor_ask_counts(struct sensor *sensor)
{
	pthread_mutex_lock(&sensor->lock);
	sensor->counts_due = sensor->n;
	pthread_mutex_unlock(&sensor->lock);
	for (size_t i = 0; i < sensor->n; i++)
		atomic_store(&sensor->taps[i].counts, true);
}

void sensor_cut(struct sensor *sensor, int64_t now)
{
	for (size_t i = 0; i < sensor->n; i++)
		atomic_store(&sensor->taps[i].cut_ns, now);
}

void sensor_set_rules(struct sensor *sensor, struct pm_rules *rules)
{
	int64_t interval = sensor->live->run->options->interval_ns;
	int64_t from = PM_TIME_MIN;

	/* Several must change at one time, so at an end that none of them has come to yet. */
	if (sensor->n > 1 && interval > 0)
		from = pm_time_add(pm_time_floor(pm_time_add(pm_time_now(), PM_NS_PER_S), interval),
				   interval);
	for (size_t i = 0; i < sensor->n; i++)
		pm_meter_set_rules(sensor->taps[i].meter, rules, from);
}

/* The interface is gone: who finds it first says so. */
static void lose(struct tap *tap, const struct pm_error *err)
{
	struct sensor *sensor = tap->sensor;
	int64_t now = pm_time_now();
	bool told;

	tap->lost = true;
	tap->delay_ns = RETRY_NS;
	tap->retry_ns = pm_time_add(now, RETRY_NS);
	if (leads(tap) && !sensor->lost_ns)
		sensor->lost_ns = now;
	pthread_mutex_lock(&sensor->lock);
	told = sensor->told;
	sensor->told = true;
	pthread_mutex_unlock(&sensor->lock);
	if (!told)
		say("%s; waiting for it to come back", err->text);
}

static int take_frames(struct tap *tap, struct pm_error *err)
{
	if (tap->sensor->live->limited)
		return pm_capture_dispatch(tap->capture, BATCH, on_limited_frame, tap, err);
	return pm_capture_dispatch(tap->capture, BATCH, pm_meter_frame, tap->meter, err);
}

/*
 * The clock closes intervals only when all frames have been taken that came before @now. While they
 * pile up their own times do: what the clock closed early they would have to open again.
 */
static void tell_time(struct tap *tap, int64_t now, int taken)
{
	if (taken < BATCH)
		pm_meter_tick(tap->meter, now);
}

/*
 * What the kernel holds when the end is called, or the interface gone, counts as well: a block that
 * is not full is handed over after the read timeout. Bounded by time: frames may keep coming.
 */
static void drain(struct tap *tap, int64_t end)
{
	for (int64_t now = pm_time_now(); now < end; now = pm_time_now()) {
		int n = take_frames(tap, NULL);

		tell_time(tap, now, n);
		if (n <= 0)
			pm_capture_wait(tap->capture, READ_TIMEOUT_MS / 4);
	}
}

static int64_t drain_end(void)
{
	return pm_time_add(pm_time_now(), 2 * READ_TIMEOUT_MS * MS);
}

static void say_listening(const struct sensor *sensor, const struct pm_capture *capture)
{
	const struct pm_capture_source *source = pm_capture_source(capture, 0);

	say("listening on %s, link type %s, snapshot length %d bytes", source->name,
	    source->link ? source->link : "?", source->snaplen);
	if (sensor->n > 1)
		say("%s: %zu capture threads", source->name, sensor->n);
}

/* The leader's: what the interface is like now holds for the intervals from here on. */
static void note_change(struct sensor *sensor, const struct pm_capture *capture, int64_t now)
{
	const struct pm_capture_source *source = pm_capture_source(capture, 0);
	struct sensor_change *change = &sensor->change;
	bool changed;

	pthread_mutex_lock(&sensor->lock);
	changed = !sensor->heard || source->link != change->link ||
		  source->snaplen != change->snaplen;
	if (changed)
		*change = (struct sensor_change){ now, source->link, source->snaplen };
	pthread_mutex_unlock(&sensor->lock);
	if (!changed)
		return;
	sensor_cut(sensor, now);
	run_check_link(capture, 0);
}

/* The interface is there again, or for the first time. */
static void recover(struct tap *tap)
{
	struct sensor *sensor = tap->sensor;
	int64_t now = pm_time_now();

	tap->lost = false;
	if (!leads(tap))
		return;
	if (sensor->heard)
		say("%s: captured again after %.1f s, link type %s", sensor->source.name,
		    (double)(now - sensor->lost_ns) / PM_NS_PER_S,
		    pm_capture_source(tap->capture, 0)->link);
	else
		say_listening(sensor, tap->capture);
	note_change(sensor, tap->capture, now);
	sensor->heard = true;
	sensor->lost_ns = 0;
	pthread_mutex_lock(&sensor->lock);
	sensor->told = false;
	pthread_mutex_unlock(&sensor->lock);
}

/* The leader goes easy on the system; the others only look whether it has opened for them. */
static void retry(struct tap *tap, int64_t now)
{
	if (now < tap->retry_ns && tap->retry_ns - now <= RETRY_MAX_NS)
		return;
	if (pm_capture_reopen(tap->capture, NULL) == PM_OK) {
		recover(tap);
		return;
	}
	tap->retry_ns = pm_time_add(now, tap->delay_ns);
	if (leads(tap) && tap->delay_ns < RETRY_MAX_NS)
		tap->delay_ns *= 2;
}

static void look(struct tap *tap, int64_t now)
{
	struct pm_error err = { .line = 0 };

	if (now < tap->look_ns && tap->look_ns - now <= LOOK_NS)
		return;
	tap->look_ns = pm_time_add(now, LOOK_NS);
	if (!tap->lost && pm_capture_look(tap->capture, &err) < 0) {
		drain(tap, drain_end());
		lose(tap, &err);
	}
}

static void mind_requests(struct tap *tap)
{
	struct live_run *live = tap->sensor->live;
	int64_t cut = atomic_exchange(&tap->cut_ns, 0);

	if (cut)
		pm_meter_cut(tap->meter, cut);
	if (atomic_exchange(&tap->counts, false))
		note_counts(tap);
	/* Frames that were written wait in the buffer no longer than a reader would notice. */
	if (live->run->options->output.format == PM_FORMAT_FRAMES) {
		pthread_mutex_lock(&live->output);
		run_flush(live->run);
		pthread_mutex_unlock(&live->output);
	}
}

/* Sleeps until frames come, an interval is over or something may have been asked for. */
static void tap_wait(struct tap *tap)
{
	int64_t left = (pm_meter_deadline(tap->meter) - pm_time_now()) / MS + 1;

	if (left > READ_TIMEOUT_MS || left < 0)
		left = READ_TIMEOUT_MS;
	pm_capture_wait(tap->capture, (int)left);
}

/* One end for the last interval of all, and for what is still to be drained. */
static int64_t settle_end(struct live_run *live)
{
	long long none = 0, end = live->limited ? pm_time_now() : drain_end();

	return atomic_compare_exchange_strong(&live->end_ns, &none, end) ? end : none;
}

static void *tap_main(void *ctx)
{
	struct tap *tap = ctx;
	struct live_run *live = tap->sensor->live;
	struct pm_error err = { .line = 0 };
	int64_t end;

	while (!atomic_load(&live->stop)) {
		int64_t now = pm_time_now();
		int n = 0;

		atomic_store(&tap->seen_ns, pm_time_steady());
		mind_requests(tap);
		look(tap, now);
		if (tap->lost)
			retry(tap, now);
		else
			n = take_frames(tap, &err);
		tell_time(tap, now, n);
		if (n < 0) {
			drain(tap, drain_end());
			lose(tap, &err);
			err.text[0] = '\0';
		} else if (n == 0) {
			tap_wait(tap);
		}
	}
	end = settle_end(live);
	drain(tap, end); /* with -c that is over: there is nothing more to count */
	/* The end may wait for a reader, while frames come that are none of ours any more. */
	pm_capture_stop(tap->capture);
	pm_meter_finish(tap->meter, tap->sensor->n > 1 ? end : pm_time_now(), false);
	atomic_store(&tap->ended, true);
	signals_wake();
	return NULL;
}

static int tap_meter(struct tap *tap)
{
	struct live_run *live = tap->sensor->live;
	const struct options *options = live->run->options;
	struct pm_meter_options meter = {
		.interval_ns = options->interval_ns,
		.grace_ns = READ_TIMEOUT_MS * MS,
		.live = true,
		.rules = live->run->rules,
		.tunnels = options->tunnels,
		.endpoints = options->learned,
		.allowance = live->run->allowance,
		.by_endpoint = options->endpoints,
		.capture = tap->capture,
		.closed = on_closed,
		.frame = options->output.format == PM_FORMAT_FRAMES ? on_fate : NULL,
		.ctx = tap,
	};

	return pm_meter_new(&meter, &tap->meter);
}

/* Opens the interface for all threads and makes what they count with. */
static int open_taps(struct sensor *sensor, const char *interface, struct pm_error *err)
{
	struct pm_capture_options options = sensor->live->run->options->capture;
	struct pm_capture *captures[PM_CAPTURE_THREADS];
	struct pm_meter *meters[PM_CAPTURE_THREADS];
	int r;

	options.timeout_ms = READ_TIMEOUT_MS;
	r = pm_capture_open_shared(interface, &options, sensor->n, err, captures);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sensor->n; i++) {
		sensor->taps[i].sensor = sensor;
		sensor->taps[i].capture = captures[i];
	}
	for (size_t i = 0; i < sensor->n && r == PM_OK; i++) {
		r = tap_meter(&sensor->taps[i]);
		meters[i] = sensor->taps[i].meter;
	}
	return r < 0 ? r : pm_lanes_new(meters, sensor->n, &sensor->lanes);
}

/* The interface is not there at the start. What can be said of the filter is said now. */
static int await(struct sensor *sensor, int64_t start, const struct pm_error *why)
{
	const char *filter = sensor->live->run->options->capture.filter;
	struct pm_error err = { .line = 0 };

	if (filter && pm_capture_check_filter(filter, &err) < 0) {
		say_error(&err, PM_E_FILTER);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sensor->n; i++) {
		sensor->taps[i].lost = true;
		sensor->taps[i].delay_ns = RETRY_NS;
	}
	sensor->lost_ns = start;
	sensor->told = true;
	say("%s; waiting for it", why->text);
	return EXIT_DONE;
}

int sensor_open(struct live_run *live, struct sensor *sensor, const char *text)
{
	struct pm_error err = { .line = 0 };
	char *interface = interface_find(text);
	int64_t start = pm_time_now();
	int r = PM_E_MEMORY;

	if (!interface) {
		say("no interface to capture on; name one with -i, or run as root");
		return EXIT_FAILED;
	}
	sensor->live = live;
	sensor->change.from_ns = PM_TIME_MAX;
	pthread_mutex_init(&sensor->lock, NULL);
	sensor->n = live->run->options->capture_threads;
	sensor->taps = calloc(sensor->n, sizeof *sensor->taps);
	if (sensor->taps)
		r = open_taps(sensor, interface, &err);
	free(interface);
	if (r == PM_E_PERMISSION)
		say_permission(&err);
	else if (r < 0)
		say_error(&err, r);
	if (r < 0)
		return r == PM_E_FILTER || r == PM_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
	sensor->source = run_source(live->run, sensor->taps[0].capture, 0);
	serve_source(live->run, &sensor->source);
	for (size_t i = 0; i < sensor->n; i++)
		pm_meter_tick(sensor->taps[i].meter, start);
	sensor->heard = pm_capture_there(sensor->taps[0].capture);
	if (sensor->heard) {
		sensor->change.link = sensor->source.link;
		sensor->change.snaplen = sensor->source.snaplen;
		run_check_link(sensor->taps[0].capture, 0);
		say_listening(sensor, sensor->taps[0].capture);
		return EXIT_DONE;
	}
	return await(sensor, start, &err);
}

int sensor_start(struct sensor *sensor)
{
	int r = 0;

	for (size_t i = 0; i < sensor->n && r == 0; i++) {
		struct tap *tap = &sensor->taps[i];

		r = thread_start(&tap->thread, tap_main, tap);
		tap->started = r == 0;
	}
	return r;
}

void sensor_join(struct sensor *sensor)
{
	for (size_t i = 0; i < sensor->n; i++)
		if (sensor->taps[i].started)
			pthread_join(sensor->taps[i].thread, NULL);
}

bool sensor_ended(struct sensor *sensor)
{
	for (size_t i = 0; i < sensor->n; i++)
		if (sensor->taps[i].started && !atomic_load(&sensor->taps[i].ended))
			return false;
	return true;
}

static bool moves(struct tap *tap)
{
	int64_t now = atomic_load(&tap->seen_ns), before = tap->moved_ns;

	tap->moved_ns = now;
	return now != before || atomic_load(&tap->ended);
}

bool sensor_moves(struct sensor *sensor)
{
	bool all = true;

	/* Frames are written where they are counted: it may be their reader who holds us up. */
	if (sensor->live->run->options->output.format == PM_FORMAT_FRAMES)
		return true;
	for (size_t i = 0; i < sensor->n; i++)
		all &= moves(&sensor->taps[i]);
	return all;
}

const char *sensor_name(const struct sensor *sensor)
{
	return pm_capture_name(sensor->taps[0].capture);
}

bool sensor_waits(struct sensor *sensor)
{
	bool waits;

	pthread_mutex_lock(&sensor->lock);
	waits = sensor->told;
	pthread_mutex_unlock(&sensor->lock);
	return waits;
}

bool sensor_healthy(struct sensor *sensor, char *ret_why, size_t size)
{
	int64_t now = pm_time_steady();

	for (size_t i = 0; i < sensor->n; i++) {
		const struct tap *tap = &sensor->taps[i];
		int64_t seen = atomic_load(&tap->seen_ns);

		if (!seen || atomic_load(&tap->ended) || now - seen <= STUCK_NS)
			continue;
		snprintf(ret_why, size, "%s: capture thread %zu has stood still for %.0f s",
			 sensor_name(sensor), i + 1, (double)(now - seen) / 1e9);
		return false;
	}
	if (sensor_waits(sensor))
		snprintf(ret_why, size, "%s: the interface is not there", sensor_name(sensor));
	return !sensor_waits(sensor);
}

bool sensor_there(const struct sensor *sensor)
{
	return !sensor->taps[0].lost;
}

struct pm_tally *sensor_take(struct sensor *sensor)
{
	struct pm_tally *tally = sensor->lanes ? pm_lanes_take(sensor->lanes) : NULL;

	if (!tally)
		return NULL;
	pthread_mutex_lock(&sensor->lock);
	if (tally->interval.start_ns >= sensor->change.from_ns) {
		sensor->source.link = sensor->change.link;
		sensor->source.snaplen = sensor->change.snaplen;
		sensor->change.from_ns = PM_TIME_MAX;
	}
	pthread_mutex_unlock(&sensor->lock);
	return tally;
}

void sensor_give(struct sensor *sensor, struct pm_tally *tally)
{
	pm_lanes_give(sensor->lanes, tally);
}

void sensor_close(struct sensor *sensor)
{
	pm_lanes_free(sensor->lanes);
	for (size_t i = 0; sensor->taps && i < sensor->n; i++)
		pm_meter_free(sensor->taps[i].meter);
	for (size_t i = 0; sensor->taps && i < sensor->n; i++)
		pm_capture_close(sensor->taps[i].capture);
	free(sensor->taps);
	if (sensor->live)
		pthread_mutex_destroy(&sensor->lock);
}
