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

struct pm_output_options {
	enum pm_format format;
	/* NULL: standard output. Appended to; for Prometheus replaced by rename */
	const char *path;
	size_t top;        /* rows of ports that are kept; 0: all (text: 20) */
	bool service_only; /* only ports that carried a service */
	/* Prometheus: series of services and of ports for each source; 0: PM_METRICS_... */
	size_t metrics_services, metrics_ports;
};

struct pm_output; /* opaque; used by one thread at a time */

/*
 * PM_E_IO with @err filled, PM_E_MEMORY, or 0. A torn last line of an earlier run is cut off the
 * file.
 */
PM_API int pm_output_open(const struct pm_output_options *options, struct pm_error *err,
			  struct pm_output **ret_output);
/*
 * Writes and flushes a record, and may cut its rows. FRAMES: nothing. PM_E_IO with @err filled,
 * PM_E_MEMORY, or 0.
 */
PM_API int pm_output_record(struct pm_output *output, struct pm_record *record,
			    struct pm_error *err);
/* Writes a frame's line; other formats than FRAMES: nothing. Buffered until the next flush. */
PM_API int pm_output_frame(struct pm_output *output, const struct pm_source *source,
			   const struct pm_frame_report *report, struct pm_error *err);
PM_API int pm_output_flush(struct pm_output *output, struct pm_error *err);
/*
 * Opens the file anew, by its name (after it was moved away); one that is replaced is tried.
 * Standard output: nothing.
 */
PM_API int pm_output_reopen(struct pm_output *output, struct pm_error *err);
/*
 * Writes what is due at the end, closes and frees, whatever it returns. For Prometheus, the sources
 * of all records must still be there. NULL is fine.
 */
PM_API int pm_output_close(struct pm_output *output, struct pm_error *err);

#ifdef __cplusplus
}
#endif

#endif
