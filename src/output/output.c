/* SPDX-License-Identifier: MIT */
/* The table of formats; and which file a record goes to, and what becomes of it if it can't. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output-internal.h"

/* Text of records that is kept, and beyond it the one that is being rendered. */
#define HOLD_MAX ((size_t)16 << 20)
/* How long a live run goes on packing when it has ended. */
#define PACK_LAST_NS (INT64_C(5) * PM_NS_PER_S)

static const struct format formats[] = {
	[PM_FORMAT_JSON] = { "json", pm_json_record, NULL, NULL, NULL },
	[PM_FORMAT_ROWS] = { "rows", pm_rows_record, NULL, NULL, NULL },
	[PM_FORMAT_FRAMES] = { "frames", NULL, pm_frames_frame, NULL, NULL },
	[PM_FORMAT_TEXT] = { "text", pm_text_record, NULL, NULL, NULL },
	[PM_FORMAT_PROMETHEUS] = { "prometheus", pm_prometheus_record, NULL, pm_prometheus_end,
				   pm_prometheus_page },
};
_Static_assert(sizeof formats / sizeof *formats == PM_FORMAT_N, "fill every format");

const char *pm_format_name(enum pm_format format)
{
	return (unsigned)format < PM_FORMAT_N ? formats[format].name : "?";
}

bool pm_format_find(const char *name, enum pm_format *ret_format)
{
	for (int f = 0; f < PM_FORMAT_N; f++)
		if (strcmp(formats[f].name, name) == 0) {
			*ret_format = (enum pm_format)f;
			return true;
		}
	return false;
}

static const char *const sync_names[] = {
	[PM_SYNC_NEVER] = "never",
	[PM_SYNC_CLOSE] = "close",
	[PM_SYNC_RECORD] = "record",
};
_Static_assert(sizeof sync_names / sizeof *sync_names == PM_SYNC_N, "name every policy");

const char *pm_sync_name(enum pm_sync sync)
{
	return (unsigned)sync < PM_SYNC_N ? sync_names[sync] : "?";
}

bool pm_sync_find(const char *name, enum pm_sync *ret_sync)
{
	for (int s = 0; s < PM_SYNC_N; s++)
		if (strcmp(sync_names[s], name) == 0) {
			*ret_sync = (enum pm_sync)s;
			return true;
		}
	return false;
}

static const struct format *format_of(const struct pm_output *output)
{
	return &formats[output->options.format];
}

/*
 * A file that is replaced is what its links lead to; and a device or a FIFO is no file to replace.
 */
static int resolve(struct pm_output *output, struct pm_error *err)
{
	struct stat st;
	char *path;

	if (stat(output->path, &st) < 0)
		return PM_OK; /* not there yet, or not to be seen: the next step tells */
	if (!S_ISREG(st.st_mode))
		return pm_error_set(err, PM_E_IO, output->path, 0, 0,
				    "is no regular file, and this format replaces it as a whole");
	path = realpath(output->path, NULL);
	if (!path)
		return PM_E_MEMORY;
	free(output->path);
	output->path = path;
	return PM_OK;
}

/* What is replaced: finds out now, not an interval later, whether that is possible. */
static int page_try(struct pm_output *output, struct pm_error *err)
{
	char *temporary = NULL;
	int r = resolve(output, err);

	if (r == PM_OK)
		r = pm_sink_open_beside(&output->sink, output->path, &temporary, err);
	if (r < 0)
		return r;
	pm_sink_close(&output->sink, NULL);
	remove(temporary);
	free(temporary);
	return PM_OK;
}

static const char *file_name(const struct pm_output *output)
{
	return output->rotation ? pm_rotation_name(output->rotation) : output->path;
}

/* What rotation goes on in, or makes room in, must be nobody else's. */
static int check_own(const struct pm_output *output, const struct stat *st, struct pm_error *err)
{
	const char *path = file_name(output);

	if (!S_ISREG(st->st_mode))
		return pm_error_set(err, PM_E_IO, path, 0, 0,
				    "is no regular file, which rotation needs");
	if (st->st_size > 0 && !pm_sink_is_ours(output->sink.fd))
		return pm_error_set(err, PM_E_IO, path, 0, 0,
				    "was not written by portmeter: choose another name");
	return PM_OK;
}

/* A file, and what it was packed to: another takes its place. */
static void remove_forms(const char *path)
{
	static const char *const suffixes[] = { "", ".gz", ".zst" };

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char *name = NULL;

		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
			return;
		remove(name);
		free(name);
	}
}

/* A file of the packer's, or of rotation's own: whether it is known from now on. */
static bool pack_found(void *ctx, const char *path)
{
	struct pm_output *output = ctx;

	if (pm_packer_add(output->packer, path))
		return true;
	if (output->holds) {
		output->leftovers = true;
		return false;
	}
	pm_packer_wait(output->packer); /* nobody waits for a run over files but itself */
	return pm_packer_add(output->packer, path);
}

/* Once a file is open, so that it is not taken for one that is closed. */
static void pack_leftovers(struct pm_output *output)
{
	if (!output->leftovers)
		return;
	output->leftovers = false;
	pm_rotation_closed(output->rotation, pack_found, output);
}

/* Opens a FIFO, which waits for who reads it: nothing else shows for that long. */
static int fifo_open(struct pm_output *output, const char *path, struct pm_error *err)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0) {
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	} else if (errno == ENXIO) {
		pm_output_notice(output, "%s: nobody reads this pipe yet: waiting", path);
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't open for writing: %s",
				    errno == EINTR ? "nobody has read it" : strerror(errno));
	pm_sink_init(&output->sink, fd, path);
	return PM_OK;
}

/* Opens the file that is appended to. */
static int append_open(struct pm_output *output, struct pm_error *err)
{
	const char *path = file_name(output);
	struct stat st = { .st_mode = 0 };
	int r;

	/* Until it is open: what is meant for a file never goes to standard output. */
	pm_sink_init(&output->sink, -1, path);
	if (output->rotation && pm_rotation_replaces(output->rotation))
		remove_forms(path);
	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		r = fifo_open(output, path, err);
	else
		r = pm_sink_open_append(&output->sink, path, err);
	if (r < 0)
		return r;
	if (fstat(output->sink.fd, &st) == 0 && output->rotation)
		r = check_own(output, &st, err);
	if (r == PM_OK && output->options.sync != PM_SYNC_NEVER) {
		if (S_ISREG(st.st_mode))
			pm_sink_sync_folder(path);
		else
			r = pm_error_set(err, PM_E_IO, path, 0, 0,
					 "is no regular file, so there is no disk to wait for");
	}
	if (r < 0) {
		close(output->sink.fd);
		output->sink.fd = -1;
		return r;
	}
	output->holds = output->options.hold && S_ISREG(st.st_mode);
	if (output->packer && output->begun)
		pack_leftovers(output);
	return PM_OK;
}

/*
 * Closes a file that is done with. Its records count as written; what the disk says now is only
 * passed on.
 */
static void file_done(struct pm_output *output)
{
	struct pm_error err = { .line = 0 };
	int r = PM_OK;

	if (output->sink.fd < 0)
		return;
	if (output->options.sync != PM_SYNC_NEVER)
		r = pm_sink_sync(&output->sink, &err);
	if (pm_sink_close(&output->sink, &err) < 0 || r < 0)
		pm_output_notice(output, "%s", err.text);
	if (output->packer)
		pack_found(output, file_name(output));
}

/* Has the file open that a record of @time_ns belongs to, unless the last one is full. */
static int file_turn(struct pm_output *output, int64_t time_ns, struct pm_error *err)
{
	struct rotation *rotation = output->rotation;
	int r;

	/* Where nothing is kept, what can't be opened again stays an error. */
	if (!rotation && !output->options.hold)
		return PM_OK;
	if (output->packer && !output->begun) {
		output->begun = true;
		if (output->sink.fd >= 0)
			pack_leftovers(output);
	}
	for (;;) {
		if (output->sink.fd < 0 && file_name(output)) {
			r = append_open(output, err);
			if (r < 0)
				return r;
		}
		if (!rotation || (output->sink.fd >= 0 &&
				  !pm_rotation_due(rotation, output->sink.fd,
						   output->sink.used, time_ns)))
			return PM_OK;
		file_done(output);
		if (!pm_rotation_next(rotation, time_ns)) {
			output->full = true;
			return PM_OK;
		}
		if (output->packer) {
			/* It may be gone on with after all. */
			pm_packer_forget(output->packer, file_name(output));
			pm_rotation_settle(rotation);
			output->leftovers |= pm_packer_missed(output->packer);
		}
	}
}

static int file_open(struct pm_output *output, struct pm_error *err)
{
	struct stat st;

	pm_sink_init(&output->sink, STDOUT_FILENO, "standard output");
	if (!output->path) {
		output->holds = output->options.hold && fstat(STDOUT_FILENO, &st) == 0 &&
				S_ISREG(st.st_mode);
		return PM_OK;
	}
	if (format_of(output)->page) {
		output->holds = output->options.hold;
		return page_try(output, err);
	}
	if (!file_name(output)) {
		/* Its name comes with the first record. */
		pm_sink_init(&output->sink, -1, output->path);
		output->holds = output->options.hold;
		return PM_OK;
	}
	return append_open(output, err);
}

static bool options_are_valid(const struct pm_output_options *options)
{
	bool rotates = options->rotate_bytes || options->rotate_ns;
	bool can_rotate = options->path && !formats[options->format].page;

	if (options->rotate_ns < 0 || (rotates && !can_rotate))
		return false;
	if (options->rotate_count && options->rotate_bytes && options->rotate_ns)
		return false;
	return rotates || (!options->rotate_count && options->pack == PM_PACK_NONE);
}

static int parts_make(struct pm_output *output, struct pm_error *err)
{
	const struct pm_output_options *options = &output->options;
	int r = PM_OK;

	if (options->path) {
		output->path = strdup(options->path);
		if (!output->path)
			return PM_E_MEMORY;
	}
	if (options->format == PM_FORMAT_PROMETHEUS)
		r = pm_metrics_new(options->metrics_services, options->metrics_ports,
				   &output->metrics);
	if (r == PM_OK && (options->rotate_bytes || options->rotate_ns))
		r = pm_rotation_new(options, err, &output->rotation);
	if (r == PM_OK && options->pack != PM_PACK_NONE)
		r = pm_packer_new(options, &output->packer);
	output->leftovers = output->packer != NULL;
	return r < 0 ? r : file_open(output, err);
}

static void parts_free(struct pm_output *output)
{
	pm_packer_end(output->packer, 0);
	pm_rotation_free(output->rotation);
	pm_hold_fini(&output->hold);
	pm_metrics_free(output->metrics);
	free(output->path);
	free(output);
}

int pm_output_open(const struct pm_output_options *options, struct pm_error *err,
		   struct pm_output **ret_output)
{
	struct pm_output *output;
	int r;

	if (!options_are_valid(options))
		return PM_E_INVALID;
	output = calloc(1, sizeof *output);
	if (!output)
		return PM_E_MEMORY;
	output->options = *options;
	output->sink.fd = -1;
	if (options->hold)
		output->sink.watch = &output->watch;
	pm_hold_init(&output->hold);
	r = parts_make(output, err);
	if (r < 0) {
		parts_free(output);
		return r;
	}
	*ret_output = output;
	return PM_OK;
}

void pm_output_notice(const struct pm_output *output, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!output->options.notice)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	output->options.notice(output->options.ctx, text);
}

/* Writing has failed; that is said once, until it works again. */
static void trouble(struct pm_output *output, const struct pm_error *err)
{
	if (pm_hold_failed(&output->hold))
		pm_output_notice(output, "%s%s%s; records are kept and it is tried again", err->file,
				 err->file[0] ? ": " : "", err->text);
}

static void trouble_over(struct pm_output *output)
{
	struct hold *hold = &output->hold;
	unsigned long long late = hold->late;

	if (!hold->failing)
		return;
	hold->failing = false;
	hold->late = 0;
	pm_output_notice(output, "%s: written again after %.1f s, %llu record%s late",
			 pm_output_name(output), (double)(pm_time_steady() - hold->since_ns) / 1e9,
			 late, late == 1 ? "" : "s");
}

/* What was tried is forgotten, as far as it has not reached the file. Returns how much has. */
static uint64_t attempt_over(struct sink *sink)
{
	uint64_t written = sink->written;

	pm_sink_undo(sink, 0);
	return written;
}

/* Renders a record to memory, of which the file has the first @written bytes already. */
static int keep(struct pm_output *output, struct pm_record *record, uint64_t written,
		struct pm_error *err)
{
	struct held *held = calloc(1, sizeof *held);
	int r = PM_E_MEMORY;

	if (held) {
		output->sink.held = held;
		r = format_of(output)->record(output, record, err);
		output->sink.held = NULL;
		if (r == PM_OK && held->failed)
			r = PM_E_MEMORY;
	}
	if (r < 0) {
		pm_held_free(held);
		pm_sink_undo(&output->sink, written);
		return r;
	}
	held->written = (size_t)written;
	held->intervals = record->merged;
	held->time_ns = record->interval.start_ns;
	pm_hold_push(&output->hold, held);
	return PM_OK;
}

/* A record that nothing waits before. */
static int write_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	struct sink *sink = &output->sink;
	struct pm_error cause = { .line = 0 };
	int error, r;

	pm_sink_begin(sink);
	r = file_turn(output, record->interval.start_ns, &cause);
	if (r == PM_OK && output->full)
		return PM_OK;
	if (r == PM_OK) {
		pm_sink_begin(sink);
		r = format_of(output)->record(output, record, &cause);
	}
	if (r == PM_OK && output->options.sync == PM_SYNC_RECORD) {
		r = pm_sink_sync(sink, &cause);
		/* What a disk has refused may be anywhere: it is written once more. */
		if (r < 0 && output->holds)
			pm_sink_undo(sink, sink->written);
	}
	if (r == PM_OK)
		return PM_OK;
	if (output->holds && r == PM_E_IO) {
		trouble(output, &cause);
		return keep(output, record, attempt_over(sink), err);
	}
	error = sink->error;
	pm_sink_undo(sink, sink->written);
	sink->error = error;
	if (err)
		*err = cause;
	return r;
}

/* The oldest of what waits: on from where it stopped. */
static int write_held(struct pm_output *output, struct pm_error *err)
{
	struct held *held = output->hold.first;
	struct sink *sink = &output->sink;
	int r = PM_OK;

	if (held->written == 0 || sink->fd < 0) {
		held->written = 0;
		r = file_turn(output, held->time_ns, err);
	}
	if (r < 0 || output->full)
		return r;
	pm_sink_begin(sink);
	pm_sink_write(sink, held->text + held->written, held->size - held->written);
	r = pm_sink_check(sink, err);
	held->written += (size_t)sink->written;
	if (r == PM_OK && output->options.sync == PM_SYNC_RECORD) {
		r = pm_sink_sync(sink, err);
		if (r < 0 && pm_sink_undo(sink, held->written))
			held->written = 0;
	}
	attempt_over(sink);
	return r;
}

/* One step of making good; true when nothing waits any more. */
static int make_good(struct pm_output *output, bool *ret_done, struct pm_error *err)
{
	struct hold *hold = &output->hold;
	int r = PM_OK;

	if (format_of(output)->page)
		r = format_of(output)->page(output, err);
	else if (hold->first)
		r = write_held(output, err);
	else if (output->sink.fd < 0)
		r = file_open(output, err);
	if (r < 0)
		return r;
	if (output->full)
		pm_hold_fini(hold); /* it would have gone to the next file */
	else if (hold->first)
		pm_hold_pop(hold);
	if (format_of(output)->page)
		output->page_records = output->page_intervals = 0;
	*ret_done = hold->first == NULL;
	return PM_OK;
}

int pm_output_retry(struct pm_output *output)
{
	struct pm_error err = { .line = 0 };
	bool done = false;
	int r;

	if (!output->hold.failing)
		return PM_OK;
	while (!done) {
		r = make_good(output, &done, &err);
		if (r == PM_E_IO) {
			trouble(output, &err);
			return PM_OK;
		}
		if (r < 0)
			return r;
	}
	trouble_over(output);
	return PM_OK;
}

/* The page of all records so far. */
static int write_page(struct pm_output *output, const struct pm_record *record,
		      struct pm_error *err)
{
	struct pm_error cause = { .line = 0 };
	int r;

	output->page_records++;
	output->page_intervals += record->merged;
	if (output->hold.failing && pm_output_due(output) > 0)
		return PM_OK;
	r = format_of(output)->page(output, &cause);
	if (r == PM_E_IO && output->holds) {
		trouble(output, &cause);
		return PM_OK;
	}
	if (r < 0) {
		if (err)
			*err = cause;
		return r;
	}
	output->page_records = output->page_intervals = 0;
	trouble_over(output);
	return PM_OK;
}

void pm_output_tell(struct pm_output *output, struct pm_record *record)
{
	struct hold *hold = &output->hold;

	record->output.errors += hold->errors;
	record->output.delayed += hold->delayed;
	hold->errors = hold->delayed = 0;
}

int pm_output_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	const struct format *format = format_of(output);
	struct hold *hold = &output->hold;
	int r;

	if (!format->record || output->full)
		return PM_OK;
	if (format->page) {
		r = format->record(output, record, err);
		return r < 0 || !output->path ? r : write_page(output, record, err);
	}
	pm_output_tell(output, record);
	if (!hold->failing)
		return write_record(output, record, err);
	r = keep(output, record, 0, err);
	if (r == PM_OK && pm_output_due(output) == 0)
		r = pm_output_retry(output);
	return r;
}

int pm_output_frame(struct pm_output *output, const struct pm_source *source,
		    const struct pm_frame_report *report, struct pm_error *err)
{
	const struct format *format = format_of(output);
	int r;

	if (!format->frame || output->full)
		return PM_OK;
	r = file_turn(output, report->time_ns, err);
	if (r == PM_OK && !output->full)
		r = format->frame(output, source, report, err);
	if (r < 0)
		pm_sink_drop_torn(&output->sink);
	return r;
}

int pm_output_flush(struct pm_output *output, struct pm_error *err)
{
	int r = output->sink.fd >= 0 ? pm_sink_check(&output->sink, err) : PM_OK;

	if (r < 0)
		pm_sink_drop_torn(&output->sink);
	return r;
}

/* What the file has of the oldest record that waits is taken out: no line is in two files. */
static void take_back(struct pm_output *output)
{
	struct held *held = output->hold.first;

	if (!held || !held->written)
		return;
	pm_sink_undo(&output->sink, held->written);
	held->written = 0;
}

int pm_output_reopen(struct pm_output *output, struct pm_error *err)
{
	struct pm_error cause = { .line = 0 };
	int r = PM_OK;

	if (!output->path)
		return PM_OK;
	take_back(output);
	if (output->sink.fd >= 0)
		r = pm_sink_close(&output->sink, &cause);
	if (r == PM_OK || output->holds)
		r = file_open(output, &cause);
	if (r == PM_OK)
		return pm_output_retry(output);
	if (err)
		*err = cause;
	if (output->holds && r == PM_E_IO)
		trouble(output, &cause);
	return r;
}

int pm_output_try(struct pm_output *output, struct pm_error *err)
{
	if (output->rotation)
		return pm_rotation_try(output->rotation, err);
	return output->path && format_of(output)->page ? page_try(output, err) : PM_OK;
}

void pm_output_held(const struct pm_output *output, struct pm_output_held *ret_held)
{
	const struct hold *hold = &output->hold;

	*ret_held = (struct pm_output_held){ hold->records + output->page_records,
					     hold->intervals + output->page_intervals,
					     hold->bytes };
}

bool pm_output_has_room(const struct pm_output *output)
{
	return output->hold.bytes < HOLD_MAX;
}

int64_t pm_output_due(const struct pm_output *output)
{
	int64_t left = output->hold.due_ns - pm_time_steady();

	if (!output->hold.failing)
		return PM_TIME_MAX;
	return left > 0 ? left : 0;
}

bool pm_output_full(const struct pm_output *output)
{
	return output->full;
}

const char *pm_output_name(const struct pm_output *output)
{
	const char *name = file_name(output);

	return name ? name : output->path ? output->path
					  : "standard output";
}

uint64_t pm_output_progress(const struct pm_output *output)
{
	return atomic_load(&output->watch.progress);
}

void pm_output_give_up(struct pm_output *output)
{
	atomic_store(&output->watch.given_up, true);
}

/* Closes the file, or what there is. */
static int last_close(struct pm_output *output, struct pm_error *err)
{
	bool sync = output->path && output->options.sync != PM_SYNC_NEVER;
	int r = PM_OK, closed;

	if (output->sink.fd < 0)
		return PM_OK;
	if (sync)
		r = pm_sink_sync(&output->sink, err);
	closed = pm_sink_close(&output->sink, err);
	/* One of a live run is gone on with at the next start. */
	if (output->packer && !output->options.hold)
		pack_found(output, file_name(output));
	return r < 0 ? r : closed;
}

int pm_output_close(struct pm_output *output, struct pm_error *err)
{
	const struct format *format;
	int r = PM_OK, closed;

	if (!output)
		return PM_OK;
	format = format_of(output);
	if (format->end)
		r = format->end(output, err);
	take_back(output);
	closed = last_close(output, err);
	r = r < 0 ? r : closed;
	pm_packer_end(output->packer, output->options.hold ? PACK_LAST_NS : PM_TIME_MAX);
	output->packer = NULL;
	parts_free(output);
	return r;
}
