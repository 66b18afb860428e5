/* SPDX-License-Identifier: MIT */
/*
 * Records and frames as text, in one of several formats, to standard output or a file. The
 * formats are in docs/format.md. Counts nothing; for Prometheus it adds records up.
 */
#ifndef PORTMETER_OUTPUT_H
#define PORTMETER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/base.h"
#include "portmeter/summary.h"

#ifdef __cplusplus
extern "C" {
#endif

enum pm_format {
	PM_FORMAT_JSON,       /* one line a record */
	PM_FORMAT_ROWS,       /* one line a row of a record */
	PM_FORMAT_FRAMES,     /* one line a frame */
	PM_FORMAT_TEXT,       /* tables for people */
	PM_FORMAT_PROMETHEUS, /* text exposition format 0.0.4, cumulative */
	PM_FORMAT_N,
};

/* "json", "rows", "frames", "text", "prometheus"; static. */
PM_API const char *pm_format_name(enum pm_format format);
PM_API bool pm_format_find(const char *name, enum pm_format *ret_format);

/*
 * A record's line of JSON, with its line end, in memory: @ret_text, to be freed, has no NUL behind
 * it. Whoever wants fewer rows cuts them before (pm_record_cut). PM_E_MEMORY or 0.
 */
PM_API int pm_record_json(const struct pm_record *record, char **ret_text, size_t *ret_size);

/*
 * Counters of a run, for Prometheus: records added up by source. A series that was shown once is
 * shown ever after, and never falls; how many there are is bounded, and what has none of its own is
 * in one named "other": docs/format.md. Any thread may call.
 */
struct pm_metrics; /* opaque */

#define PM_METRICS_SERVICES 256
#define PM_METRICS_PORTS 1024

/* Series of services and of ports, for each source; 0: as above. PM_E_MEMORY or 0. */
PM_API int pm_metrics_new(size_t services, size_t ports, struct pm_metrics **ret_metrics);
/* NULL is fine. */
PM_API void pm_metrics_free(struct pm_metrics *metrics);
/* Of the whole record, before its rows are cut. PM_E_MEMORY: nothing was added. */
PM_API int pm_metrics_add(struct pm_metrics *metrics, const struct pm_record *record);
/* Text exposition format 0.0.4, to be freed, without a NUL behind it. PM_E_MEMORY or 0. */
PM_API int pm_metrics_text(struct pm_metrics *metrics, char **ret_text, size_t *ret_size);

/* What there is to say of a source beside its records. */
struct pm_source_view {
	const char *name;
	bool live;
	uint64_t records;
	bool has_latest;
	int64_t latest_ns; /* end of the newest interval */
};

/* A JSON array of them, on a line, to be freed, without a NUL behind it. PM_E_MEMORY or 0. */
PM_API int pm_sources_json(const struct pm_source_view *views, size_t n, char **ret_text,
			   size_t *ret_size);

/* How files are packed once they are closed. */
enum pm_pack {
	PM_PACK_NONE,
	PM_PACK_GZIP, /* RFC 1952 */
	PM_PACK_ZSTD, /* RFC 8878 */
	PM_PACK_N,
};

/* "none", "gzip", "zstd"; static. */
PM_API const char *pm_pack_name(enum pm_pack pack);
PM_API bool pm_pack_find(const char *name, enum pm_pack *ret_pack);
/* Whether this library can. */
PM_API bool pm_pack_built(enum pm_pack pack);

/* When it is waited for the disk (fsync(2)): what was written before survives a power cut. */
enum pm_sync {
	PM_SYNC_NEVER,
	PM_SYNC_CLOSE,  /* before a file is closed, and after it was made or renamed */
	PM_SYNC_RECORD, /* and after each record */
	PM_SYNC_N,
};

/* "never", "close", "record"; static. */
PM_API const char *pm_sync_name(enum pm_sync sync);
PM_API bool pm_sync_find(const char *name, enum pm_sync *ret_sync);

struct pm_output_options {
	enum pm_format format;
	/* NULL: standard output. Appended to; for Prometheus replaced by rename */
	const char *path;
	size_t top;        /* rows of ports that are kept; 0: all (text: 20) */
	bool service_only; /* only ports that carried a service */
	/* Prometheus: series of services and of ports for each source; 0: PM_METRICS_... */
	size_t metrics_services, metrics_ports;
	/*
	 * Rotation, for a path of other formats than Prometheus: one that has grown larger than
	 * @rotate_bytes is followed by another before the next record, as is one of another
	 * multiple of @rotate_ns since the epoch than the record's beginning; 0: not. With a time,
	 * the path is a format of strftime(3), of that multiple in UTC; without conversions, or
	 * beside them for size, files are numbered. @rotate_count, 0: none, is how many files there
	 * are: by size they take each other's place, by time there are no more. Not with both.
	 */
	uint64_t rotate_bytes;
	int64_t rotate_ns;
	unsigned rotate_count;
	enum pm_pack pack; /* files that rotation has closed */
	enum pm_sync sync; /* of a path */
	/*
	 * What can't be written to a file, because the disk is full, say, is kept and tried again:
	 * see pm_output_retry. Pipes, sockets and terminals are waited for so that this can be
	 * given up. Without it, a failure is an error, and nothing of what failed is left in the
	 * file.
	 */
	bool hold;
	pm_notice_fn *notice; /* what the user should know; on any thread; NULL: not wanted */
	void *ctx;
};

struct pm_output; /* opaque; used by one thread at a time, but for what says otherwise */

/*
 * PM_E_IO with @err filled, PM_E_MEMORY, PM_E_INVALID (rotation that is not possible; with @err
 * filled if it can name no files of the path), PM_E_UNSUPPORTED (a way of packing that is not built
 * in) or 0. A torn last line of an earlier run is cut off the file, of a table all of it, and off
 * all files of its names where it rotates.
 */
PM_API int pm_output_open(const struct pm_output_options *options, struct pm_error *err,
			  struct pm_output **ret_output);
/*
 * Writes and flushes a record, and may cut its rows. FRAMES: nothing. With hold, what a file does
 * not take is kept. PM_E_IO with @err filled, PM_E_MEMORY, or 0.
 */
PM_API int pm_output_record(struct pm_output *output, struct pm_record *record,
			    struct pm_error *err);
/*
 * Fills in what the record has to say of the output itself, once: for who renders it too, before it
 * is written.
 */
PM_API void pm_output_tell(struct pm_output *output, struct pm_record *record);
/* Writes a frame's line; other formats than FRAMES: nothing. Buffered until the next flush. */
PM_API int pm_output_frame(struct pm_output *output, const struct pm_source *source,
			   const struct pm_frame_report *report, struct pm_error *err);
PM_API int pm_output_flush(struct pm_output *output, struct pm_error *err);
/*
 * Opens the file anew, by its name (after it was moved away); one that is replaced is tried.
 * Standard output: nothing. What is kept goes to the new file. With hold, a failure has been said,
 * and is tried again like any other.
 */
PM_API int pm_output_reopen(struct pm_output *output, struct pm_error *err);

/*
 * Whether files can be made where later ones will be: for who has given up rights. PM_E_IO with
 * @err filled, PM_E_MEMORY, or 0.
 */
PM_API int pm_output_try(struct pm_output *output, struct pm_error *err);

/* With hold: what is kept because it could not be written. */
struct pm_output_held {
	uint64_t records, intervals; /* intervals: merged ones count as many */
	size_t bytes;
};

PM_API void pm_output_held(const struct pm_output *output, struct pm_output_held *ret_held);
/* Whether there is room to keep one more record; if not, better wait with it. */
PM_API bool pm_output_has_room(const struct pm_output *output);
/*
 * Nanoseconds from now until what is kept is due to be tried again, 0 if it is; PM_TIME_MAX:
 * nothing is kept.
 */
PM_API int64_t pm_output_due(const struct pm_output *output);
/* Tries again, due or not. PM_OK, also if it has failed as before, or PM_E_MEMORY. */
PM_API int pm_output_retry(struct pm_output *output);
/* The last file that rotate_count allows is full; records are not taken any more. */
PM_API bool pm_output_full(const struct pm_output *output);
/* What is written to, for messages; borrowed until the next call. */
PM_API const char *pm_output_name(const struct pm_output *output);
/* Any thread: bytes written so far. */
PM_API uint64_t pm_output_progress(const struct pm_output *output);
/* Any thread: what waits for a reader stops waiting, as an error. */
PM_API void pm_output_give_up(struct pm_output *output);

/*
 * Writes what is due at the end, closes and frees, whatever it returns. What is kept is lost, with
 * nothing of it left in the file; what is packed is finished, with hold for five seconds at most.
 * For Prometheus, the sources of all records must still be there. NULL is fine.
 */
PM_API int pm_output_close(struct pm_output *output, struct pm_error *err);

#ifdef __cplusplus
}
#endif

#endif
