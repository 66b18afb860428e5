/* SPDX-License-Identifier: MIT */
/* What a run over files and a live run have in common. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"
#include "portmeter/packet.h"
#include "sandbox.h"
#include "screen.h"

static void output_failed(struct run *run, const struct pm_error *err, int code)
{
	if (!atomic_exchange(&run->failed, true))
		say_error(err, code);
	signals_wake();
}

/* The record of a file more than -W allows has been asked for. */
static void output_full(struct run *run)
{
	if (!atomic_exchange(&run->full, true))
		say("-W %u: there are as many files; ending", run->options->output.rotate_count);
	signals_wake();
}

/*
 * Whoever watches gets it first: the output may stand still. The screen keeps it, where there is
 * one: *@take_record is then NULL.
 */
static int write_record(struct run *run, struct pm_record **take_record, struct pm_error *err)
{
	struct pm_record *record = *take_record;
	bool whole = run->options->output.format == PM_FORMAT_PROMETHEUS; /* takes no cut ones */
	int r = PM_OK;

	pm_output_tell(run->output, record);
	serve_count(run, record);
	if (!whole)
		serve_record(run, record);
	atomic_store(&run->reporting_ns, pm_time_steady());
	progress_before_output();
	if (screen_record(record))
		*take_record = NULL;
	else if (!run->options->quiet)
		r = pm_output_record(run->output, record, err);
	progress_after_output();
	atomic_store(&run->reporting_ns, 0);
	if (whole)
		serve_record(run, record);
	return r;
}

/* Where frames are written there are no records. */
void run_closed(const struct run *run)
{
	if (run->options->output.format != PM_FORMAT_FRAMES)
		atomic_fetch_add(&signal_loss.closed, 1);
}

/* By who uses the output. */
static void note_held(const struct run *run)
{
	struct pm_output_held held;

	pm_output_held(run->output, &held);
	atomic_store(&signal_loss.held, (long)held.intervals);
}

bool run_report(struct run *run, struct pm_tally *tally, const struct pm_source *source)
{
	struct pm_error err = { .line = 0 };
	struct pm_record *record = NULL;
	int r = PM_E_IO;

	if (!run->failed) {
		r = pm_record_new(tally, source, &record);
		if (r == PM_OK)
			r = write_record(run, &record, &err);
		pm_record_free(record);
	}
	if (r < 0) {
		output_failed(run, &err, r);
		run->unwritten++;
		run->unwritten_intervals += tally->merged;
		return false;
	}
	if (run->options->output.format != PM_FORMAT_FRAMES)
		atomic_fetch_sub(&signal_loss.closed, (long)tally->merged);
	note_held(run);
	if (pm_output_full(run->output))
		output_full(run);
	return true;
}

void run_frame_written(struct run *run, int code, const struct pm_error *err)
{
	if (code < 0)
		output_failed(run, err, code);
	else if (pm_output_full(run->output))
		output_full(run);
}

/* Signals go to the first thread only. */
int thread_start(pthread_t *ret_thread, void *(*function)(void *ctx), void *ctx)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret_thread, NULL, function, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

struct pm_rules *run_reload(struct run *run)
{
	struct pm_rules *rules = NULL;

	if (rules_load(run->options, run->generation + 1, &rules) < 0) {
		say("the rules stay as they were: %zu rules, generation %" PRIu64,
		    pm_rules_entries(run->rules), run->generation);
		return NULL;
	}
	run->generation++;
	pm_rules_unref(run->rules);
	run->rules = rules;
	say("rules reloaded: %zu rules, generation %" PRIu64 ", from the next interval on",
	    pm_rules_entries(rules), run->generation);
	return rules;
}

void run_reopen(struct run *run)
{
	struct pm_error err = { .line = 0 };
	int r;

	if (run->stance->fixed) {
		say("-o %s: is not opened anew, and is written on as it is: see PERMISSIONS in portmeter(1)",
		    run->options->output.path);
		return;
	}
	r = pm_output_reopen(run->output, &err);
	note_held(run);
	/* In a live run it has been said, and is tried again. */
	if (r < 0 && !(run->holds && r == PM_E_IO))
		output_failed(run, &err, r);
}

void run_retry(struct run *run)
{
	struct pm_error err = { .line = 0 };
	int r = pm_output_retry(run->output);

	note_held(run);
	if (r < 0)
		output_failed(run, &err, r);
}

bool run_drop_privileges(struct run *run, bool by_name)
{
	const struct options *options = run->options;
	struct pm_error err = { .line = 0 };
	int r;

	if (!sandbox_enter(options, run->stance, by_name))
		return false;
	/* What is appended to is open already; what comes later must be possible by now. */
	r = pm_output_try(run->output, &err);
	if (r < 0)
		output_failed(run, &err, r);
	return r == PM_OK;
}

void run_flush(struct run *run)
{
	struct pm_error err = { .line = 0 };
	int r;

	progress_before_output();
	r = pm_output_flush(run->output, &err);
	progress_after_output();
	if (r < 0)
		output_failed(run, &err, r);
}

void run_say_unwritten(const struct run *run, const char *name)
{
	uint64_t records = run->unwritten, intervals = run->unwritten_intervals;

	say("%" PRIu64 " record%s (%" PRIu64 " interval%s) could not be written to %s", records,
	    records == 1 ? "" : "s", intervals, intervals == 1 ? "" : "s", name);
}

void run_end_output(struct run *run)
{
	struct pm_error err = { .line = 0 };
	struct pm_output_held held;
	char name[512];
	int r;

	if (!run->output)
		return;
	snprintf(name, sizeof name, "%s", pm_output_name(run->output));
	pm_output_held(run->output, &held);
	run->unwritten += held.records;
	run->unwritten_intervals += held.intervals;
	if (held.records)
		run->failed = true; /* of which the reason has been said */
	r = pm_output_close(run->output, &err);
	run->output = NULL;
	if (r < 0)
		output_failed(run, &err, r);
	/* Of one record that files could not give, the reason says it all. */
	if (run->unwritten > (run->holds ? 0 : 1))
		run_say_unwritten(run, name);
}

struct pm_source run_source(const struct run *run, const struct pm_capture *capture, size_t index)
{
	const struct pm_capture_source *source = pm_capture_source(capture, index);
	bool live = pm_capture_live(capture);

	return (struct pm_source){
		.live = live,
		.name = source->name,
		.file = source->interface >= 0 ? pm_capture_name(capture) : NULL,
		.files = pm_capture_files(capture),
		.link = source->link,
		.filter = source->filter,
		.snaplen = source->snaplen,
		.inner = run->options->inner,
		.sensor = run->sensor[0] ? run->sensor : NULL,
		.run = live ? run->id : NULL,
	};
}

void run_check_link(const struct pm_capture *capture, size_t index)
{
	const struct pm_capture_source *source = pm_capture_source(capture, index);
	char number[16];

	if (!source->link || pm_link_find(source->linktype))
		return;
	snprintf(number, sizeof number, "%" PRIu32, source->linktype);
	say("%s: link type %s%s%s carries no IP that is known here: all its frames are non_ip",
	    source->name, number, strcmp(source->link, number) ? " " : "",
	    strcmp(source->link, number) ? source->link : "");
}

static void count_line(const char *name, uint64_t n, const char *what)
{
	say("%s%s%" PRIu64 " packet%s %s", name, name[0] ? ": " : "", n, n == 1 ? "" : "s", what);
}

void run_counts(const char *name, const struct pm_capture_counts *counts, uint64_t captured,
		bool several)
{
	if (!several)
		name = "";
	count_line(name, captured, "captured");
	if (counts->received_known)
		count_line(name, counts->received, "received by filter");
	if (counts->dropped_kernel_known)
		count_line(name, counts->dropped_kernel, "dropped by kernel");
	if (counts->dropped_interface_known && counts->dropped_interface)
		count_line(name, counts->dropped_interface, "dropped by interface");
}

/* As whoever goes on writing it, if that user can. */
static int open_output(struct run *run, struct pm_error *err)
{
	struct pm_output_options output = { .path = NULL };
	const struct options *options = run->options;
	bool as_other = run->stance->owns && identity_assume(&run->stance->identity);
	int r;

	/* What explains a frame is no record: printed, with nothing else. */
	if (!options->explain_frame)
		output = options->output;
	run->holds = !options->n_files; /* whoever reads files can do so again */
	output.hold = run->holds;
	output.notice = say_notice;
	r = pm_output_open(&output, err, &run->output);
	if (as_other)
		identity_return();
	return r;
}

/* Who measures, and in which run: only where records may differ from run to run. */
static void identify(struct run *run)
{
	const struct options *options = run->options;
	struct pm_hash_key key = pm_hash_key_random();

	snprintf(run->id, sizeof run->id, "%016" PRIx64, key.k0);
	if (options->sensor)
		snprintf(run->sensor, sizeof run->sensor, "%s", options->sensor);
	else if (!options->n_files && gethostname(run->sensor, sizeof run->sensor - 1) < 0)
		run->sensor[0] = '\0';
}

int run(const struct options *options)
{
	struct stance stance;
	struct run run = { .options = options, .generation = 1, .stance = &stance };
	struct pm_error err = { .line = 0 };
	int code, r;

	identify(&run);
	run.wake_fd = signals_init();
	if (run.wake_fd < 0) {
		say("can't set up signals: %s", strerror(errno));
		return EXIT_FAILED;
	}
	notify_init();
	if (!sandbox_choose(options, &stance))
		return EXIT_FAILED;
	if (rules_load(options, 1, &run.rules) < 0)
		return EXIT_RULES;
	r = open_output(&run, &err);
	if (r == PM_OK && options->sessions)
		r = pm_allowance_new(PM_ALLOWANCE_BYTES, &run.allowance);
	if (r < 0) {
		say_error(&err, r);
		pm_output_close(run.output, NULL);
		pm_rules_unref(run.rules);
		return r == PM_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
	}
	code = serve_open(&run);
	if (code == EXIT_DONE)
		code = options->n_files ? run_files(&run) : run_live(&run);
	notify_stopping();
	serve_close(&run);
	run_end_output(&run);
	pm_allowance_unref(run.allowance);
	pm_rules_unref(run.rules);
	if (options->explain_frame)
		code = printed(code);
	return run.failed ? EXIT_FAILED : code;
}
