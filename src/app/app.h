/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_APP_H
#define PORTMETER_APP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "portmeter/capture.h"
#include "portmeter/output.h"
#include "portmeter/packet.h"
#include "portmeter/service.h"
#include "portmeter/web.h"

/* Exit codes; docs/portmeter.1. */
enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* capture, file or output */
	EXIT_USAGE = 2,
	EXIT_RULES = 3,
	EXIT_DAMAGED = 4, /* damaged input; what was readable has been reported */
};

enum app_command {
	COMMAND_RUN,
	COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_INTERFACES,
	COMMAND_LINKTYPES,
	COMMAND_SCHEMA,
	COMMAND_CHECK_RULES,
	COMMAND_EXPLAIN,
	COMMAND_N,
};

/* --listen and what goes with it. */
struct serve_options {
	const char *listen;    /* NULL: nothing is served */
	bool anywhere;         /* where others reach it, too */
	const char **hosts;    /* an array of argv's strings, owned */
	size_t n_hosts;
	const char *password;  /* a file */
	char *certificate;     /* a file; owned; NULL: no TLS */
	const char *key;
	unsigned connections, per_address; /* 0: as many as usual */
	size_t history;        /* bytes; 0: as many as usual */
};

struct options {
	enum app_command command;
	const char **interfaces, **files, **rules; /* arrays of argv's strings, owned */
	size_t n_interfaces, n_files, n_rules;
	char *filter; /* owned; NULL without */
	const char *explain, *user, *sensor;
	uint64_t explain_frame; /* its number; 0: none is to be explained */
	bool inner;                 /* --tunnel inner */
	struct pm_tunnels *tunnels; /* owned; NULL: the outermost layer counts */
	int64_t interval_ns;
	uint64_t count; /* frames; 0: no limit */
	bool by_endpoint;
	size_t endpoints; /* how many are kept at once; 0: none are counted */
	size_t learned; /* endpoints that the ladder remembers; 0: as many as it likes */
	size_t jobs;    /* threads that read files */
	size_t capture_threads; /* that share an interface */
	bool progress;  /* said in any case */
	bool sessions;  /* conversations are counted */
	bool screen;    /* records are shown in place, on a terminal */
	bool sandbox;   /* not --no-sandbox */
	bool format_given;
	bool quiet; /* records are only served, and not written */
	struct pm_capture_options capture;
	struct pm_output_options output;
	struct serve_options serve;
};

/* Fills @ret_options from the command line. EXIT_DONE, or EXIT_USAGE after having said why. */
int options_parse(int argc, char **argv, struct options *ret_options);
void options_fini(struct options *options);
void options_help(void);

/* A line on standard error, whole, with the program's name before it. */
void say(const char *format, ...) PM_PRINTF(1, 2);
/* The same for an error: "FILE:LINE:COLUMN: text", or the code's text when @err is empty. */
void say_error(const struct pm_error *err, int code);
void say_notice(void *ctx, const char *text);

/*
 * How far reading files has come, on standard error: drawn on a terminal once a run has lasted a
 * second, or said once a second if it was asked for. Called by the thread that reads, except for
 * progress_hide and what goes round output.
 */
void progress_begin(const struct options *options);
/* Whether it is time for progress_show. Costs a look at the clock, or nothing. */
bool progress_due(void);
/* @counted: frames so far of those that -c allows. */
void progress_show(const struct pm_capture *capture, uint64_t counted);
/* Erases the line, if one is drawn: before anything else is written to standard error. */
void progress_hide(void);
/*
 * The same before a record is written, which may go to the same terminal; no line is drawn until it
 * has been. In pairs.
 */
void progress_before_output(void);
void progress_after_output(void);
/* Erases the line for good; where it was said, once more how far it has come. Again: nothing. */
void progress_end(const struct pm_capture *capture, uint64_t counted);

/*
 * Signals. Handlers only note them; whoever waits looks here. Atomic, since over files that is now
 * this thread and now that.
 */
extern atomic_int signal_stop, signal_hangup, signal_counts, signal_cut;
/* What would be lost if the run ended now, for a handler that has to end it. */
struct loss {
	atomic_long closed; /* intervals of which no record has been written */
	atomic_long held;   /* those that a file did not take yet, beside them */
	atomic_bool open;   /* there may be more, which are not closed */
};
extern struct loss signal_loss;
/*
 * HUP, USR1 and USR2, which would end the program, wait until they are released: log rotation may
 * hit a start. Before there are threads.
 */
void signals_hold(void);
void signals_release(void);
/*
 * Ends of a pipe that gets a byte for each signal; read end for poll(2). -1 when it can't be made.
 * Releases what was held, for the handlers.
 */
int signals_init(void);
/* As if one had come that says stop; from any thread. */
void signals_stop(void);
/* Wakes whoever polls the read end; from any thread. */
void signals_wake(void);
/* Empties the pipe. */
void signals_drain(int fd);

/*
 * Loads rules as the options say; remarks go to standard error. PM_OK or the error, which has been
 * said.
 */
int rules_load(const struct options *options, uint64_t generation, struct pm_rules **ret_rules);

/*
 * The interface that @text names, or numbers as -D does; NULL: the first. The caller frees it; NULL
 * when there is none at all.
 */
char *interface_find(const char *text);

/*
 * Checks that all that was printed has been written: @code, or EXIT_FAILED after having said why.
 */
int printed(int code);
/* Commands that print and end. Return the exit code. */
int command_interfaces(void);
int command_linktypes(const struct options *options);
int command_schema(void);
int command_check_rules(const struct options *options);
int command_explain(const struct options *options);
/* Prints what became of the frame of a report that says why. PM_E_MEMORY or 0. */
int explain_frame(const struct pm_source *source, const struct pm_frame_report *report);

/* What a run works with; made by run(), used by run_files() and run_live(). */
struct run {
	const struct options *options;
	struct pm_rules *rules;
	struct pm_allowance *allowance; /* NULL: conversations are not counted */
	uint64_t generation;
	struct pm_output *output;
	const struct stance *stance; /* who it goes on as: sandbox.h */
	bool holds; /* what can't be written is kept and tried again */
	struct pm_web *web;         /* NULL: nothing is served */
	struct pm_metrics *metrics; /* for it */
	/*
	 * Whether all threads go on, with @ctx; asked by the one that serves, from its start to
	 * serve_close. NULL: nobody need be asked.
	 */
	bool (*healthy)(void *ctx, char *ret_why, size_t size);
	void *health_ctx;
	atomic_llong reporting_ns; /* since when a record is being written; 0: none is */
	char sensor[256], id[17];
	/* that could not be written; intervals: merged ones count as many */
	uint64_t unwritten, unwritten_intervals;
	atomic_bool failed; /* output, or a capture */
	atomic_bool full;   /* -W: there are as many files as there may be */
	int wake_fd;        /* a byte for each signal; see signals_init */
};

int run(const struct options *options);

/*
 * HTTP beside a run: serve.c. Without --listen none of these does anything. Opens what it takes;
 * an exit code, and what is wrong is said.
 */
int serve_open(struct run *run);
/* Starts to serve, and says where. False, and said. */
bool serve_start(struct run *run);
/* There is a source, before its first record. */
void serve_source(struct run *run, const struct pm_source *source);
/* Counts a record for /metrics, whose rows are not cut yet. */
void serve_count(struct run *run, const struct pm_record *record);
/* Hands a record to whoever watches, with its rows cut as the options say. */
void serve_record(struct run *run, struct pm_record *record);
/* All files are read: serves what there is until it is told to stop. */
void serve_wait(struct run *run);
/* Ends it, before what is asked for health goes. */
void serve_close(struct run *run);

int run_files(struct run *run);
int run_live(struct run *run);

/* An interval has been closed, of which run_report is to write the record. */
void run_closed(const struct run *run);
/* Renders a closed tally. False once output has failed; that has been said. */
bool run_report(struct run *run, struct pm_tally *tally, const struct pm_source *source);

/* What comes of writing a frame: @code, of which @err says more. */
void run_frame_written(struct run *run, int code, const struct pm_error *err);

/* A closed tally on its way to the output; it goes back to where it was taken. */
struct report {
	struct pm_tally *tally;
	const struct pm_source *source;
	void (*give)(void *ctx, struct pm_tally *tally);
	void *ctx;
};

/*
 * A thread that renders closed tallies, in their order, while others count. While it is there
 * nobody else writes records. Tallies are handed over, by who may wait, or taken from where they
 * wait, which holds nobody up.
 */
struct reporter;
struct reporter_options {
	struct run *run;
	/*
	 * Takes the next that waits, or returns false; called by the thread. NULL: they are handed
	 * over.
	 */
	bool (*take)(void *ctx, struct report *ret_report);
	pthread_mutex_t *output; /* held while the output is used; NULL: nobody else uses it */
	void *ctx;
};

/* NULL when it can't be started. */
struct reporter *reporter_start(const struct reporter_options *options);
/* Waits while too much is on its way. */
void reporter_hand(struct reporter *reporter, struct report report);
/* Something waits that is to be taken; never waits itself. */
void reporter_wake(struct reporter *reporter);
/* Opens the file anew, before the next record. */
void reporter_reopen(struct reporter *reporter);
/* Waits until all that was handed over is written. NULL is fine. */
void reporter_drain(struct reporter *reporter);
/* Takes what waits yet, and ends then, once all is written. */
void reporter_finish(struct reporter *reporter);
/* What can't be written now is not tried again: it ends. */
void reporter_give_up(struct reporter *reporter);
/* Waits for its end, @wait_ms at most; whether that has come. */
bool reporter_ended(struct reporter *reporter, int wait_ms);
/* Any thread: how many intervals the record holds that is being written just now; 0: none is. */
uint64_t reporter_writing(const struct reporter *reporter);
/* Finishes, waits for the end and frees. NULL is fine. */
void reporter_end(struct reporter *reporter);
/* Starts a thread that gets no signals. An errno or 0. */
int thread_start(pthread_t *ret_thread, void *(*function)(void *ctx), void *ctx);

/* Loads rules again; NULL, with the old set kept, when they are in error. */
struct pm_rules *run_reload(struct run *run);
/* Opens the file again; what fails is said, and where it is not tried again the run has failed. */
void run_reopen(struct run *run);
/* Tries again what could not be written. */
void run_retry(struct run *run);
/*
 * Gives up what rights are not needed any more and enters the sandbox: when all is open, before a
 * byte is parsed and a thread is started. @by_name: capture files will be opened by their names.
 * False, and said, when it can't go on.
 */
bool run_drop_privileges(struct run *run, bool by_name);
void run_flush(struct run *run);
/*
 * Writes what is due at the end and closes, while the sources of the records are still there, and
 * says how much could not be written. Again: nothing.
 */
void run_end_output(struct run *run);
/* Says how much could not be written to the output of that name. */
void run_say_unwritten(const struct run *run, const char *name);
/* Facts of a capture's source number @index for its records. */
struct pm_source run_source(const struct run *run, const struct pm_capture *capture, size_t index);
/* Says so when no frame of a source can have ports, since nothing is known of its link type. */
void run_check_link(const struct pm_capture *capture, size_t index);
/* "5 packets captured", ... as tcpdump says it; @several: with the source's name before each. */
void run_counts(const char *name, const struct pm_capture_counts *counts, uint64_t captured,
		bool several);

/* What to run when capturing is not permitted. */
void say_permission(const struct pm_error *err);

/* docs/summary.schema.json, embedded by the build. */
extern const char schema_text[];
extern const unsigned long schema_size;

#endif
