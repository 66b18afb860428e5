/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_OUTPUT_INTERNAL_H
#define PORTMETER_OUTPUT_INTERNAL_H

#include <stdio.h>

#include "portmeter/output.h"

#define SINK_BUFFER ((size_t)64 << 10)

/* Where bytes go, through a bounded buffer. The first failure is kept; later writes do nothing. */
struct sink {
	int fd;           /* negative: closed */
	const char *name; /* for messages */
	int error;        /* errno of the first failure */
	struct memory *memory; /* bytes go here instead; NULL: to the descriptor */
	size_t used;
	char buffer[SINK_BUFFER];
};

void pm_sink_init(struct sink *sink, int fd, const char *name);

void pm_sink_write(struct sink *sink, const char *bytes, size_t size);
void pm_sink_text(struct sink *sink, const char *format, ...) PM_PRINTF(2, 3);
/* Flushes. PM_E_IO with @err filled once anything has failed, or 0. */
int pm_sink_check(struct sink *sink, struct pm_error *err);
/* Opens @path for append, without the torn line that a killed run may have left. */
int pm_sink_open_append(struct sink *sink, const char *path, enum pm_format format,
			struct pm_error *err);
/*
 * Opens a new file beside @path (its name in @ret_temporary, to be freed) that pm_sink_replace puts
 * in its place.
 */
int pm_sink_open_beside(struct sink *sink, const char *path, char **ret_temporary,
			struct pm_error *err);
int pm_sink_replace(struct sink *sink, const char *temporary, const char *path,
		    struct pm_error *err);
/* Closes, but for standard output. */
int pm_sink_close(struct sink *sink, struct pm_error *err);

/* Text in memory. */
struct memory {
	char *text;
	size_t size, room;
	bool failed; /* there was not enough */
};

/* Writes the page of all counters: prometheus.c. */
void pm_metrics_write(struct pm_metrics *metrics, struct sink *sink);

/* A sink that collects text; NULL when memory is short. */
struct sink *pm_memory_open(struct memory *memory);
void pm_memory_add(struct memory *memory, const char *bytes, size_t size);
/*
 * Frees the sink and hands over the text, to be freed, unless @code, which is what came of writing
 * it, is an error. PM_E_MEMORY, @code or 0.
 */
int pm_memory_close(struct sink *sink, int code, char **ret_text, size_t *ret_size);

/* Size of the UTF-8 sequence that @bytes begin with (RFC 3629); 0 when it is none. */
size_t pm_utf8_sequence(const char *bytes);
#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct pm_output {
	struct pm_output_options options;
	char *path;
	struct sink sink;
	struct pm_metrics *metrics; /* Prometheus; NULL: another format */
};

/* A format. Functions that it lacks are NULL. */
struct format {
	const char *name;
	int (*record)(struct pm_output *output, struct pm_record *record, struct pm_error *err);
	int (*frame)(struct pm_output *output, const struct pm_source *source,
		     const struct pm_frame_report *report, struct pm_error *err);
	int (*end)(struct pm_output *output, struct pm_error *err);
	bool own_file; /* opens its file itself, each time */
};

int pm_json_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_rows_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_frames_frame(struct pm_output *output, const struct pm_source *source,
		 const struct pm_frame_report *report, struct pm_error *err);
int pm_text_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_prometheus_record(struct pm_output *output, struct pm_record *record, struct pm_error *err);
int pm_prometheus_end(struct pm_output *output, struct pm_error *err);

#endif
