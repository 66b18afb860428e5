/* SPDX-License-Identifier: MIT */
/* A run over capture files, as fast as they can be read: one thread, or several (--jobs). */
#include <stdlib.h>
#include <sys/resource.h>

#include "notify.h"
#include "portmeter/meter.h"
#include "sandbox.h"

/* Frames between two looks at the signals. */
#define BATCH 4096
/* Frames of a source from which on records are worth a thread of their own. */
#define REPORTER_FROM 50000
/* How long a followed file must be silent before the clock may close an interval. */
#define SILENCE_NS (INT64_C(2) * PM_NS_PER_S)

/* Files that may be open at once, if root says so: with rights that go, they all are. */
#define FILES_OF_ROOT 1000000

struct file_run;

/* One series of records: of all files, or of one interface in them. */
struct series {
	struct file_run *f;
	struct pm_meter *meter;
	struct pm_source source;
};

struct file_run {
	struct run *run;
	struct pm_capture *capture;
	struct series **series; /* by number of their source */
	size_t n;
	struct pm_meter *first; /* of source 0, of which nearly all frames are */
	uint64_t heard;   /* frames when the last one came, of a file that is followed */
	int64_t heard_ns; /* and when that was */
	bool failed;      /* there is no memory for one more */
	bool explained;   /* the frame that was asked for */
	bool refused;     /* rights could not be given up; that has been said */
	size_t jobs;      /* threads that may read; 1 when no more are to be tried */
	struct pm_crew *crew;
	struct reporter *reporter; /* NULL: records are written as intervals close */
};

static void give_back(void *meter, struct pm_tally *tally)
{
	pm_meter_give(meter, tally);
}

static void on_closed(void *ctx)
{
	struct series *series = ctx;
	struct pm_tally *tally;

	if (!series->f->run->options->explain_frame)
		run_closed(series->f->run);
	while ((tally = pm_meter_take(series->meter)) != NULL) {
		if (series->f->run->options->explain_frame) {
			pm_meter_give(series->meter, tally);
			continue;
		}
		if (series->f->reporter) {
			reporter_hand(series->f->reporter,
				      (struct report){ tally, &series->source, give_back,
						       series->meter });
			continue;
		}
		run_report(series->f->run, tally, &series->source);
		pm_meter_give(series->meter, tally);
	}
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct series *series = ctx;
	struct run *run = series->f->run;
	struct pm_error err = { .line = 0 };
	int r;

	if (run->failed || run->full)
		return;
	progress_before_output();
	r = pm_output_frame(run->output, &series->source, report, &err);
	progress_after_output();
	run_frame_written(run, r, &err);
}

/* The same of the frame that is to be explained; all others pass. */
static void on_explained(void *ctx, const struct pm_frame_report *report)
{
	struct series *series = ctx;
	int r;

	if (!report->why || series->f->explained)
		return;
	series->f->explained = true;
	progress_hide();
	r = explain_frame(&series->source, report);
	if (r < 0) {
		say("%s", pm_strerror(r));
		series->f->run->failed = true;
	}
}

static uint64_t frames_counted(const struct file_run *f)
{
	uint64_t frames = 0;

	for (size_t i = 0; i < f->n; i++)
		frames += pm_meter_frames(f->series[i]->meter);
	return frames;
}

/* Says why the frame to be explained was not met. */
static void say_unexplained(const struct file_run *f)
{
	const struct options *options = f->run->options;
	unsigned long long number = options->explain_frame;
	struct pm_capture_progress progress;

	pm_capture_progress(f->capture, &progress);
	if (options->count && frames_counted(f) >= options->count)
		say("--explain-frame %llu: -c %llu ends before it", number,
		    (unsigned long long)options->count);
	else if (progress.frames < options->explain_frame)
		say("--explain-frame %llu: there %s %llu frame%s", number,
		    progress.frames == 1 ? "is" : "are", (unsigned long long)progress.frames,
		    progress.frames == 1 ? "" : "s");
	else
		say("--explain-frame %llu: the filter leaves it out", number);
}

/* A meter for the source that comes next. */
static bool add_series(struct file_run *f)
{
	const struct options *options = f->run->options;
	struct series *series = calloc(1, sizeof *series), **more;
	struct pm_meter_options meter = {
		.interval_ns = options->interval_ns,
		.rules = f->run->rules,
		.tunnels = options->tunnels,
		.endpoints = options->learned,
		.allowance = f->run->allowance,
		.by_endpoint = options->endpoints,
		.capture = f->capture,
		.source = f->n,
		.closed = on_closed,
		.frame = options->output.format == PM_FORMAT_FRAMES ? on_fate : NULL,
		.explain = options->explain_frame,
		.ctx = series,
	};

	if (options->explain_frame)
		meter.frame = on_explained;
	more = realloc(f->series, (f->n + 1) * sizeof *more);
	if (more)
		f->series = more;
	if (!series || !more || pm_meter_new(&meter, &series->meter) < 0) {
		free(series);
		return false;
	}
	series->f = f;
	series->source = run_source(f->run, f->capture, f->n);
	serve_source(f->run, &series->source);
	run_check_link(f->capture, f->n);
	f->series[f->n++] = series;
	f->first = f->series[0]->meter;
	return true;
}

static bool add_all_series(struct file_run *f)
{
	while (!f->failed && f->n < pm_capture_sources(f->capture))
		f->failed = !add_series(f);
	if (f->failed)
		say("%s", pm_strerror(PM_E_MEMORY));
	return !f->failed;
}

/* Apart, so that the usual way saves no registers for it. */
static PM_OUT_OF_LINE void on_any_frame(struct file_run *f, const struct pm_frame *frame)
{
	if (frame->source >= f->n && (f->failed || !add_all_series(f)))
		return;
	pm_meter_frame(f->series[frame->source]->meter, frame);
}

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	struct file_run *f = ctx;

	if (frame->source == 0 && f->first)
		pm_meter_frame(f->first, frame);
	else
		on_any_frame(f, frame);
}

static void print_counts(const struct file_run *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct pm_capture_counts counts;

		pm_capture_count(f->capture, i, &counts);
		run_counts(f->series[i]->source.name, &counts, pm_meter_frames(f->series[i]->meter),
			   f->n > 1);
	}
}

/*
 * What others are counting just now is not known yet; without a filter, it is what has been read.
 */
static uint64_t frames_so_far(const struct file_run *f)
{
	struct pm_capture_progress progress;

	if (!f->crew)
		return frames_counted(f);
	pm_capture_progress(f->capture, &progress);
	return f->run->options->filter ? 0 : progress.frames;
}

static void mind_progress(const struct file_run *f)
{
	if (progress_due())
		progress_show(f->capture, frames_so_far(f));
}

/*
 * Whether handle_signals has something to do. Where several threads read it is asked in turn, now
 * and then, so that this is the place for progress too.
 */
static bool is_due(void *ctx)
{
	const struct file_run *f = ctx;

	mind_progress(f);
	return signal_stop || signal_hangup || signal_counts || signal_cut || f->run->failed ||
	       f->run->full || f->failed;
}

/* Does what signals ask for. True: stop. */
static bool handle_signals(struct file_run *f)
{
	if (signal_hangup) {
		struct pm_rules *rules;

		signal_hangup = 0;
		reporter_drain(f->reporter);
		rules = run_reload(f->run);
		for (size_t i = 0; rules && i < f->n; i++)
			pm_meter_set_rules(f->series[i]->meter, rules, PM_TIME_MIN);
		run_reopen(f->run);
	}
	if (signal_counts) {
		signal_counts = 0;
		print_counts(f);
	}
	if (signal_cut) {
		signal_cut = 0;
		for (size_t i = 0; i < f->n; i++)
			pm_meter_cut(f->series[i]->meter, 0);
	}
	return signal_stop || f->run->failed || f->run->full || f->explained;
}

static bool handle_all(void *ctx)
{
	struct file_run *f = ctx;

	return handle_signals(f) || f->failed;
}

/*
 * A file that is followed has been silent for a while: its records need not wait for the next
 * frame.
 */
static void mind_silence(struct file_run *f)
{
	uint64_t frames = frames_counted(f);
	int64_t now = pm_time_now();

	if (frames != f->heard || now < f->heard_ns) {
		f->heard = frames;
		f->heard_ns = now;
	} else if (now - f->heard_ns >= SILENCE_NS) {
		for (size_t i = 0; i < f->n; i++)
			pm_meter_idle(f->series[i]->meter, now);
		reporter_drain(f->reporter);
		run_flush(f->run);
	}
}

/* Nothing has been written to a file that is followed, or a pipe is silent. True: stop. */
static bool on_interrupted(void *ctx)
{
	struct file_run *f = ctx;

	if (!f->n)
		return signal_stop;
	if (f->run->options->capture.follow)
		mind_silence(f);
	if (f->crew) { /* a signal that comes from here on waits until others are through again */
		if (!is_due(f))
			return false;
		pm_crew_settle(f->crew);
	}
	mind_progress(f);
	return handle_signals(f);
}

/* One of the crew that is not the first. */
struct hand {
	struct pm_crew *crew;
	size_t index;
	pthread_t thread;
};

static void *hand_main(void *ctx)
{
	const struct hand *hand = ctx;

	pm_crew_work(hand->crew, hand->index);
	return NULL;
}

/* All hands, of which this thread is one. Those that can't be started stay away. */
static void work_together(struct pm_crew *crew)
{
	size_t n = pm_crew_workers(crew) - 1, started = 0;
	struct hand *hands = calloc(n, sizeof *hands);

	for (; hands && started < n; started++) {
		hands[started] = (struct hand){ .crew = crew, .index = started + 1 };
		if (thread_start(&hands[started].thread, hand_main, &hands[started]) != 0)
			break;
	}
	pm_crew_work(crew, 0);
	for (size_t i = 0; i < started; i++)
		pthread_join(hands[i].thread, NULL);
	free(hands);
}

/* As pm_capture_dispatch, with several threads, to the end or to where one must go on. */
static int read_together(struct file_run *f, struct pm_error *err)
{
	const struct pm_crew_options crew = {
		.capture = f->capture,
		.meter = f->series[0]->meter,
		.workers = f->jobs,
		.limit = f->run->options->count,
		.due = is_due,
		.mind = handle_all,
		.frame = on_frame,
		.ctx = f,
	};
	const struct reporter_options reporter = { .run = f->run };
	int r = pm_crew_new(&crew, &f->crew);

	/* Whoever closes an interval has the turn, and the others wait: it is not to write too. */
	if (r == PM_OK && !f->reporter)
		f->reporter = reporter_start(&reporter);
	f->jobs = 1;
	if (r < 0) /* one does with less */
		return 1;
	work_together(f->crew);
	r = pm_crew_end(f->crew, err);
	pm_crew_free(f->crew);
	f->crew = NULL;
	return r == PM_CREW_LEFT ? 1 : r == PM_CREW_DONE || r == PM_CREW_STOPPED ? 0
										 : r;
}

/* No more frames than are in a block or so, lest the time for several threads be missed. */
static uint64_t batch_of(const struct options *options)
{
	size_t frames = options->capture.block / 64;

	return frames > 0 && frames < BATCH ? frames : BATCH;
}

/* Reads everything, or what -c allows. PM_OK, or the error that has been said. */
static int read_all(struct file_run *f)
{
	uint64_t limit = f->run->options->count, batch = batch_of(f->run->options);
	const struct reporter_options reporter = { .run = f->run };
	struct pm_error err = { .line = 0 };
	int n = 1;

	while (n > 0 && !f->failed && !handle_signals(f)) {
		uint64_t left = limit ? limit - frames_counted(f) : batch;

		if (left == 0)
			break;
		if (f->jobs > 1 && !f->reporter && frames_counted(f) >= REPORTER_FROM)
			f->reporter = reporter_start(&reporter);
		if (f->jobs > 1 && f->n == 1 && pm_capture_splits(f->capture, f->jobs))
			n = read_together(f, &err);
		else
			n = pm_capture_dispatch(f->capture, (int)(left < batch ? left : batch),
						on_frame, f, &err);
		mind_progress(f);
	}
	progress_end(f->capture, frames_counted(f));
	if (n < 0)
		say_error(&err, n);
	return f->failed ? PM_E_MEMORY : n < 0 ? n
					       : PM_OK;
}

/* Many files need as many descriptors; where that fails, opening says which was too many. */
static void allow_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	/* Root may have more than it was given. */
	if (limit.rlim_max < FILES_OF_ROOT) {
		struct rlimit more = { FILES_OF_ROOT, FILES_OF_ROOT };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Everything has been opened, nothing has been read. */
static int on_opened(void *ctx, bool by_name)
{
	struct file_run *f = ctx;

	f->refused = !run_drop_privileges(f->run, by_name) || !serve_start(f->run);
	if (!f->refused)
		notify_ready("reading %s%s", f->run->options->files[0],
			     f->run->options->n_files > 1 ? " and others" : "");
	return f->refused ? PM_E_PERMISSION : PM_OK;
}

static int open_all(struct file_run *f, const struct options *options)
{
	struct pm_capture_options capture = options->capture;
	struct pm_error err = { .line = 0 };
	int r;

	capture.interrupted = on_interrupted;
	capture.ctx = f;
	capture.keep_open = f->run->stance->shrinks;
	capture.opened = on_opened;
	allow_files();
	r = pm_capture_open_files(options->files, options->n_files, &capture, &err, &f->capture);
	if (r == PM_OK || (signal_stop && !f->refused))
		return EXIT_DONE;
	if (f->refused)
		return EXIT_FAILED;
	say_error(&err, r);
	return r == PM_E_FILTER ? EXIT_USAGE : r == PM_E_DAMAGED ? EXIT_DAMAGED
								 : EXIT_FAILED;
}

/* Everything is read: the last records, and what else there is to say. */
static void finish(struct file_run *f, bool complete)
{
	const struct options *options = f->run->options;

	for (size_t i = 0; i < f->n; i++)
		pm_meter_finish(f->series[i]->meter, 0, complete && !signal_stop);
	signal_loss.open = false;
	reporter_end(f->reporter);
	f->reporter = NULL;
	run_flush(f->run);
	if (signal_stop)
		print_counts(f);
	else if (options->explain_frame)
		return;
	else if (frames_counted(f) == 0 && complete && !pm_capture_damaged(f->capture))
		say("%s: no frames%s", options->files[0],
		    options->filter ? " that the filter lets through" : "");
}

/* The exit code of a run that was to explain a frame; @code: of the reading. */
static int end_of_search(const struct file_run *f, int code)
{
	if (f->explained)
		return EXIT_DONE;
	if (code != EXIT_FAILED && !signal_stop) {
		say_unexplained(f);
		return code == EXIT_DONE ? EXIT_FAILED : code;
	}
	return EXIT_FAILED;
}

int run_files(struct run *run)
{
	struct file_run f = { .run = run, .jobs = run->options->jobs };
	int code, r = PM_E_MEMORY;

	code = open_all(&f, run->options);
	if (!f.capture) {
		if (code == EXIT_DONE) /* stopped before a stream had begun */
			say("0 packets captured");
		return code;
	}
	progress_begin(run->options);
	signal_loss.open = true;
	if (add_all_series(&f))
		r = read_all(&f);
	finish(&f, r == PM_OK);
	code = r < 0 ? EXIT_FAILED : pm_capture_damaged(f.capture) ? EXIT_DAMAGED
								   : EXIT_DONE;
	if (run->options->explain_frame)
		code = end_of_search(&f, code);
	serve_wait(run);
	serve_close(run);
	run_end_output(run);
	for (size_t i = 0; i < f.n; i++) {
		pm_meter_free(f.series[i]->meter);
		free(f.series[i]);
	}
	free(f.series);
	pm_capture_close(f.capture);
	return code;
}
