/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_OUTPUT_INTERNAL_H
#define PORTMETER_OUTPUT_INTERNAL_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#include "portmeter/output.h"

#define SINK_BUFFER ((size_t)64 << 10)

/* What other threads may see of the writing, and do to it. */
struct watch {
	atomic_ullong progress; /* bytes written so far */
	atomic_bool given_up;   /* who waits for a reader is to stop waiting */
};

/* Where bytes go, through a bounded buffer. The first failure is kept; later writes do nothing. */
struct sink {
	int fd;           /* negative: closed */
	const char *name; /* for messages */
	int error;        /* errno of the first failure */
	struct watch *watch; /* NULL: nobody watches, and writing waits as long as it takes */
	bool stalls;         /* a pipe, socket or terminal, whose reader may stand still */
	struct held *held;   /* bytes go here instead; NULL: to the descriptor */
	uint64_t written;    /* since pm_sink_begin */
	uint64_t torn;       /* of these, behind the last line end */
	size_t used;
	char buffer[SINK_BUFFER];
};

/* All but the watch, which stays. */
void pm_sink_init(struct sink *sink, int fd, const char *name);

/* What is written from here on belongs together. */
void pm_sink_begin(struct sink *sink);
void pm_sink_write(struct sink *sink, const char *bytes, size_t size);
void pm_sink_text(struct sink *sink, const char *format, ...) PM_PRINTF(2, 3);
/* Flushes. PM_E_IO with @err filled once anything has failed, or 0. */
int pm_sink_check(struct sink *sink, struct pm_error *err);
/* The same, and waits until a disk has it. */
int pm_sink_sync(struct sink *sink, struct pm_error *err);
/*
 * Forgets a failure and what is in the buffer, and takes the last @size bytes out of the file.
 * False: they stay, since it is no file, or others write to it too.
 */
bool pm_sink_undo(struct sink *sink, uint64_t size);
/* Takes out what was written of the last line, if it is not whole. */
void pm_sink_drop_torn(struct sink *sink);
/* Opens @path for append, without the torn line that a killed run may have left. */
int pm_sink_open_append(struct sink *sink, const char *path, struct pm_error *err);
/*
 * Opens a new file beside @path (its name in @ret_temporary, to be freed) that pm_sink_replace puts
 * in its place; with @sync, durably.
 */
int pm_sink_open_beside(struct sink *sink, const char *path, char **ret_temporary,
			struct pm_error *err);
int pm_sink_replace(struct sink *sink, const char *temporary, const char *path, bool sync,
		    struct pm_error *err);
/* Closes, but for standard output. */
int pm_sink_close(struct sink *sink, struct pm_error *err);
/* Waits until a disk knows the names in the folder of @path. */
void pm_sink_sync_folder(const char *path);

/* Whether the file begins with a line of our JSON, and not just of any, or with a table of ours. */
bool pm_sink_is_ours(int fd);
/*
 * Cuts the torn last line of a file if it is ours, and of a table all of it. PM_E_IO with @err
 * filled if it is not, or 0.
 */
int pm_sink_cut_torn(int fd, const char *path, struct pm_error *err);

/* Whether the file begins with a table of --format text: text-own.c. */
bool pm_text_is_ours(int fd);
/*
 * Whether what stands behind the last line end, @end, up to @size is the torn line of a table. It
 * is to be cut at @ret_begin: where the table begins if that is surely not whole, else @end.
 */
bool pm_text_find_torn(int fd, off_t end, off_t size, off_t *ret_begin);

/* The text of a record that could not be written yet. */
struct held {
	struct held *next;
	char *text;
	size_t size, room;
	size_t written;     /* of these, already in the file */
	uint64_t intervals; /* in the record */
	int64_t time_ns;    /* when they begin */
	bool failed;        /* memory was short: it is not whole */
};

void pm_held_add(struct held *held, const char *bytes, size_t size);
/* NULL is fine. */
void pm_held_free(struct held *held);

/* Records that wait, oldest first, and why. */
struct hold {
	struct held *first, **last;
	size_t bytes;
	uint64_t records, intervals;
	bool failing;     /* the last attempt to write has failed */
	int64_t since_ns; /* when that began; this and below by the monotonic clock */
	int64_t due_ns;   /* when to try again */
	int64_t pause_ns; /* what is waited after the next failure */
	uint64_t late;    /* records that had to wait since */
	uint64_t errors, delayed; /* that no record has told of yet */
};

void pm_hold_init(struct hold *hold);
void pm_hold_push(struct hold *hold, struct held *held);
/* Frees the oldest. */
void pm_hold_pop(struct hold *hold);
void pm_hold_fini(struct hold *hold);
/* Notes a failed attempt; true if it is the first of its kind. */
bool pm_hold_failed(struct hold *hold);

/* Which file is written: rotate.c. */
struct rotation;

/*
 * Looks at what is there already, and cuts the torn lines that killed runs have left in files of
 * these names. PM_E_IO with @err filled, PM_E_MEMORY, or 0.
 */
int pm_rotation_new(const struct pm_output_options *options, struct pm_error *err,
		    struct rotation **ret_rotation);
/* Whether a file can be made in the folder. PM_E_IO with @err filled, PM_E_MEMORY, or 0. */
int pm_rotation_try(const struct rotation *rotation, struct pm_error *err);
/* NULL is fine. */
void pm_rotation_free(struct rotation *rotation);
/* The file that is to be written; NULL: not before the first record is known. */
const char *pm_rotation_name(const struct rotation *rotation);
/*
 * Whether a record that begins at @time_ns belongs to another file than @fd, open as that name, of
 * which @more bytes are on their way.
 */
bool pm_rotation_due(struct rotation *rotation, int fd, size_t more, int64_t time_ns);
/* Goes on to the file for a record that begins at @time_ns. False: the last one is full. */
bool pm_rotation_next(struct rotation *rotation, int64_t time_ns);
/* Whether the file that is to be written takes the place of an older one. Asked once a file. */
bool pm_rotation_replaces(struct rotation *rotation);
/* The file that is to be written may have been packed just now: then it is another. */
void pm_rotation_settle(struct rotation *rotation);
/* Calls @found with each closed file of these names that is not packed yet. */
void pm_rotation_closed(const struct rotation *rotation, bool (*found)(void *ctx, const char *path),
			void *ctx);

/* Packs closed files on a thread of its own: pack.c. */
struct packer;

/* PM_E_MEMORY, PM_E_UNSUPPORTED or 0. */
int pm_packer_new(const struct pm_output_options *options, struct packer **ret_packer);
/* False: there is no room to remember one more. Of one that is remembered already: true. */
bool pm_packer_add(struct packer *packer, const char *path);
/* Waits until there is room. */
void pm_packer_wait(struct packer *packer);
/* Leaves @path alone, if it is not packed yet. */
void pm_packer_forget(struct packer *packer, const char *path);
/* Whether a file could not be packed since this was asked last. */
bool pm_packer_missed(struct packer *packer);
/* Packs what is left for @wait_ns at most, and frees. NULL is fine. */
void pm_packer_end(struct packer *packer, int64_t wait_ns);

/* A way of packing; what cannot be built in is not there. */
struct packing {
	const char *suffix; /* ".gz" */
	/* PM_E_MEMORY or 0 */
	int (*begin)(void **ret_state);
	/*
	 * Packs @size bytes, all with the last of them, and hands on what comes of it. False: @put
	 * has failed, or there was no memory.
	 */
	bool (*pack)(void *state, const void *bytes, size_t size, bool last,
		     bool (*put)(void *ctx, const void *bytes, size_t size), void *ctx);
	void (*end)(void *state);
};

/* NULL where the library was not there. */
extern const struct packing *const pm_packing_gzip;
extern const struct packing *const pm_packing_zstd;

/* Writes the page of all counters: prometheus.c. */
void pm_metrics_write(struct pm_metrics *metrics, struct sink *sink);

/* A sink whose text is kept in @held; NULL when memory is short. */
struct sink *pm_memory_open(struct held *held);
/*
 * Frees the sink and hands over the text, to be freed, unless @code, which is what came of writing
 * it, is an error. PM_E_MEMORY, @code or 0.
 */
int pm_memory_close(struct sink *sink, int code, char **ret_text, size_t *ret_size);

struct pm_output {
	struct pm_output_options options;
	char *path; /* NULL: standard output */
	struct sink sink;
	struct watch watch;
	bool holds;   /* it is a file, and its failures are waited out */
	struct hold hold;
	struct rotation *rotation; /* NULL: one file */
	struct packer *packer;     /* NULL: closed files stay as they are */
	bool leftovers;            /* closed files wait that the packer has no room for */
	bool begun; /* records have come: only then is there a thread, with the rights of theirs */
	bool full;                 /* the last file that was allowed is written */
	struct pm_metrics *metrics; /* Prometheus; NULL: another format */
	uint64_t page_records, page_intervals; /* that the page in the file lacks */
};

/* Says something to the user. */
void pm_output_notice(const struct pm_output *output, const char *format, ...) PM_PRINTF(2, 3);

/* A format. Functions that it lacks are NULL. */
struct format {
	const char *name;
	int (*record)(struct pm_output *output, struct pm_record *record, struct pm_error *err);
	int (*frame)(struct pm_output *output, const struct pm_source *source,
		     const struct pm_frame_report *report, struct pm_error *err);
	int (*end)(struct pm_output *output, struct pm_error *err);
	/* Replaces the file as a whole: it is not appended to. */
	int (*page)(struct pm_output *output, struct pm_error *err);
};

int pm_json_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_rows_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_frames_frame(struct pm_output *output, const struct pm_source *source,
		 const struct pm_frame_report *report, struct pm_error *err);
int pm_text_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_prometheus_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_prometheus_page(struct pm_output *output, struct pm_error *err);
int pm_prometheus_end(struct pm_output *output, struct pm_error *err);

#endif
