/* SPDX-License-Identifier: MIT */
/* The table of formats. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output-internal.h"

static const struct format formats[] = {
	[PM_FORMAT_JSON] = { "json", pm_json_record, NULL, NULL, false },
	[PM_FORMAT_ROWS] = { "rows", pm_rows_record, NULL, NULL, false },
	[PM_FORMAT_FRAMES] = { "frames", NULL, pm_frames_frame, NULL, false },
	[PM_FORMAT_TEXT] = { "text", pm_text_record, NULL, NULL, false },
	[PM_FORMAT_PROMETHEUS] = { "prometheus", pm_prometheus_record, NULL, pm_prometheus_end, true },
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

static int file_open(struct pm_output *output, struct pm_error *err)
{
	char *temporary = NULL;
	int r;

	pm_sink_init(&output->sink, STDOUT_FILENO, "standard output");
	if (!output->path)
		return PM_OK;
	if (!format_of(output)->own_file) {
		/* Until it is open: what is meant for a file never goes to standard output. */
		pm_sink_init(&output->sink, -1, output->path);
		return pm_sink_open_append(&output->sink, output->path, output->options.format,
					   err);
	}
	r = resolve(output, err);
	if (r < 0)
		return r;
	/* Find out now, not an interval later, whether the file can be written. */
	r = pm_sink_open_beside(&output->sink, output->path, &temporary, err);
	if (r < 0)
		return r;
	pm_sink_close(&output->sink, NULL);
	remove(temporary);
	free(temporary);
	return PM_OK;
}

int pm_output_open(const struct pm_output_options *options, struct pm_error *err,
		   struct pm_output **ret_output)
{
	struct pm_output *output = calloc(1, sizeof *output);
	int r = PM_OK;

	if (!output)
		return PM_E_MEMORY;
	output->options = *options;
	if (options->path) {
		output->path = strdup(options->path);
		if (!output->path)
			r = PM_E_MEMORY;
	}
	if (r == PM_OK && options->format == PM_FORMAT_PROMETHEUS)
		r = pm_metrics_new(options->metrics_services, options->metrics_ports,
				   &output->metrics);
	if (r == PM_OK)
		r = file_open(output, err);
	if (r < 0) {
		pm_metrics_free(output->metrics);
		free(output->path);
		free(output);
		return r;
	}
	*ret_output = output;
	return PM_OK;
}

int pm_output_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	const struct format *format = format_of(output);

	return format->record ? format->record(output, record, err) : PM_OK;
}

int pm_output_frame(struct pm_output *output, const struct pm_source *source,
		    const struct pm_frame_report *report, struct pm_error *err)
{
	const struct format *format = format_of(output);

	return format->frame ? format->frame(output, source, report, err) : PM_OK;
}

int pm_output_flush(struct pm_output *output, struct pm_error *err)
{
	return output->sink.fd >= 0 ? pm_sink_check(&output->sink, err) : PM_OK;
}

int pm_output_reopen(struct pm_output *output, struct pm_error *err)
{
	int r = PM_OK;

	if (!output->path)
		return PM_OK;
	if (output->sink.fd >= 0)
		r = pm_sink_close(&output->sink, err);
	return r < 0 ? r : file_open(output, err);
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
	if (output->sink.fd >= 0) {
		closed = pm_sink_close(&output->sink, err);
		r = r < 0 ? r : closed;
	}
	pm_metrics_free(output->metrics);
	free(output->path);
	free(output);
	return r;
}
