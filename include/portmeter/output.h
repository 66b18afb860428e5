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

struct pm_output_options {
	enum pm_format format;
	/* NULL: standard output. Appended to; for Prometheus replaced by rename */
	const char *path;
	size_t top;        /* rows of ports that are kept; 0: all (text: 20) */
	bool service_only; /* only ports that carried a service */
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
