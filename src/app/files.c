/* SPDX-License-Identifier: MIT */
/* A run over capture files: one thread, as fast as they can be read. */
#include <sys/resource.h>

#include "app.h"
#include "portmeter/meter.h"

/* Frames between two looks at the signals. */
#define BATCH 4096

struct file_run {
	struct run *run;
	struct pm_meter *meter;
	struct pm_capture *capture;
	struct pm_source source;
};

static void on_closed(void *ctx)
{
	struct file_run *f = ctx;
	struct pm_tally *tally;

	while ((tally = pm_meter_take(f->meter)) != NULL) {
		run_report(f->run, tally, &f->source);
		pm_meter_give(f->meter, tally);
	}
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct file_run *f = ctx;
	struct pm_error err = { .line = 0 };
	int r;

	if (f->run->failed)
		return;
	r = pm_output_frame(f->run->output, &f->source, report, &err);
	if (r < 0) {
		say_error(&err, r);
		f->run->failed = true;
	}
}

static void print_counts(const struct file_run *f)
{
	struct pm_capture_counts counts = { .received = 0 };

	run_counts(f->capture, &counts, pm_meter_frames(f->meter), false);
}

/* Does what signals ask for. True: stop. */
static bool handle_signals(struct file_run *f)
{
	if (signal_hangup) {
		struct pm_rules *rules;

		signal_hangup = 0;
		rules = run_reload(f->run);
		if (rules)
			pm_meter_set_rules(f->meter, rules);
		run_reopen(f->run);
	}
	if (signal_counts) {
		signal_counts = 0;
		print_counts(f);
	}
	if (signal_cut) {
		signal_cut = 0;
		pm_meter_cut(f->meter, 0);
	}
	return signal_stop || f->run->failed;
}

static bool on_interrupted(void *ctx)
{
	struct file_run *f = ctx;

	return f->meter ? handle_signals(f) : signal_stop;
}

/* Reads everything, or what -c allows. PM_OK, or the error that has been said. */
static int read_all(struct file_run *f)
{
	uint64_t limit = f->run->options->count;
	struct pm_error err = { .line = 0 };
	int n = 1;

	while (n > 0 && !handle_signals(f)) {
		uint64_t left = limit ? limit - pm_meter_frames(f->meter) : BATCH;

		if (left == 0)
			break;
		n = pm_capture_dispatch(f->capture, left < BATCH ? (int)left : BATCH,
					pm_meter_frame, f->meter, &err);
	}
	if (n < 0)
		say_error(&err, n);
	return n < 0 ? n : PM_OK;
}

/* Many files at once need as many descriptors. */
static void allow_files(size_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > n + 32)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* where that fails, opening says which file was too many */
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_all(struct file_run *f, const struct options *options)
{
	struct pm_capture_options capture = options->capture;
	struct pm_error err = { .line = 0 };
	int r;

	capture.interrupted = on_interrupted;
	capture.ctx = f;
	allow_files(options->n_files);
	r = pm_capture_open_files(options->files, options->n_files, &capture, &err, &f->capture);
	if (r == PM_OK || signal_stop)
		return EXIT_DONE;
	say_error(&err, r);
	return r == PM_E_FILTER ? EXIT_USAGE : r == PM_E_DAMAGED ? EXIT_DAMAGED : EXIT_FAILED;
}

int run_files(struct run *run)
{
	const struct options *options = run->options;
	struct file_run f = { .run = run };
	struct pm_meter_options meter = {
		.interval_ns = options->interval_ns,
		.rules = run->rules,
		.closed = on_closed,
		.frame = options->output.format == PM_FORMAT_FRAMES ? on_fate : NULL,
		.ctx = &f,
	};
	int code, r;

	code = open_all(&f, options);
	if (!f.capture) {
		if (code == EXIT_DONE) /* stopped before a stream had begun */
			say("0 packets captured");
		return code;
	}
	if (!run_drop_privileges(run)) {
		code = EXIT_FAILED;
		goto out;
	}
	f.source = run_source(run, f.capture);
	r = pm_meter_new(&meter, &f.meter);
	if (r == PM_OK)
		r = read_all(&f);
	else
		say("%s", pm_strerror(r));
	if (f.meter) {
		pm_meter_finish(f.meter, 0, r == PM_OK && !signal_stop);
		run_flush(run);
		if (signal_stop)
			print_counts(&f);
		if (pm_meter_frames(f.meter) == 0 && r == PM_OK && !pm_capture_damaged(f.capture))
			say("%s: no frames%s", options->files[0],
			    options->filter ? " that the filter lets through" : "");
	}
	code = r < 0 ? EXIT_FAILED : pm_capture_damaged(f.capture) ? EXIT_DAMAGED : EXIT_DONE;
out:
	run_end_output(run);
	pm_meter_free(f.meter);
	pm_capture_close(f.capture);
	return code;
}
