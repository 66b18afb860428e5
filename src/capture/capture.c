/* SPDX-License-Identifier: MIT */
/* What live captures and files have in common. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture-internal.h"

int pm_capture_init(struct pm_capture *capture, const struct capture_ops *ops, const char *name,
		    const struct pm_capture_options *options)
{
	capture->ops = ops;
	capture->notice = options->notice;
	capture->notice_ctx = options->ctx;
	capture->name = strdup(name);
	capture->filter = options->filter ? strdup(options->filter) : NULL;
	return capture->name && (capture->filter || !options->filter) ? PM_OK : PM_E_MEMORY;
}

void pm_capture_close(struct pm_capture *capture)
{
	if (!capture)
		return;
	capture->ops->close(capture);
	free(capture->name);
	free(capture->filter);
	pm_sources_free(capture);
	free(capture);
}

void pm_capture_notice(const struct pm_capture *capture, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!capture->notice)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	capture->notice(capture->notice_ctx, text);
}

/* Elsewhere the two number spaces agree: pcap-linktype(7). */
static const struct {
	int dlt;
	uint32_t linktype;
} differ[] = {
	{ DLT_ATM_RFC1483, 100 },
	{ DLT_RAW, 101 },
	{ DLT_SLIP_BSDOS, 102 },
	{ DLT_PPP_BSDOS, 103 },
	{ DLT_ATM_CLIP, 106 },
};

uint32_t pm_capture_linktype(int dlt)
{
	for (size_t i = 0; i < sizeof differ / sizeof *differ; i++)
		if (differ[i].dlt == dlt)
			return differ[i].linktype;
	return (uint32_t)dlt;
}

int pm_capture_dlt(uint32_t linktype)
{
	for (size_t i = 0; i < sizeof differ / sizeof *differ; i++)
		if (differ[i].linktype == linktype)
			return differ[i].dlt;
	return (int)linktype;
}

/*
 * libpcap's compiler takes time and memory with the cube of an expression's length: 4 KiB of ports
 * joined by "or" are most of a minute, 32 KiB were ten gigabytes and no end. So this is no loss.
 */
#define FILTER_MAX 16384

int pm_capture_compile(const char *filter, pcap_t *pcap, struct bpf_program *ret_program,
		       struct pm_error *err)
{
	if (strlen(filter) > FILTER_MAX)
		return pm_error_set(err, PM_E_FILTER, NULL, 0, 0,
				    "the filter is longer than %d bytes, which libpcap would not get through; try net and portrange",
				    FILTER_MAX);
	if (pcap_compile(pcap, ret_program, filter, 1, PCAP_NETMASK_UNKNOWN) == 0)
		return PM_OK;
	return pm_error_set(err, PM_E_FILTER, NULL, 0, 0, "filter \"%s\": %s", filter,
			    pcap_geterr(pcap));
}

int pm_capture_check_filter(const char *filter, struct pm_error *err)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	struct bpf_program program;
	int r;

	if (!pcap)
		return PM_E_MEMORY;
	r = pm_capture_compile(filter, pcap, &program, err);
	if (r == PM_OK)
		pcap_freecode(&program);
	pcap_close(pcap);
	return r;
}

int pm_capture_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			struct pm_error *err)
{
	return capture->ops->dispatch(capture, max, frame, ctx, err);
}

void pm_capture_count(struct pm_capture *capture, size_t source,
		      struct pm_capture_counts *ret_counts)
{
	capture->ops->count(capture, source, ret_counts);
}

void pm_capture_progress(const struct pm_capture *capture,
			 struct pm_capture_progress *ret_progress)
{
	memset(ret_progress, 0, sizeof *ret_progress);
	if (capture->ops->progress)
		capture->ops->progress(capture, ret_progress);
}

bool pm_capture_damaged(const struct pm_capture *capture)
{
	return capture->damaged;
}

bool pm_capture_live(const struct pm_capture *capture)
{
	return capture->files == 0;
}

size_t pm_capture_files(const struct pm_capture *capture)
{
	return capture->files;
}

const char *pm_capture_name(const struct pm_capture *capture)
{
	return capture->name;
}

size_t pm_capture_sources(const struct pm_capture *capture)
{
	return capture->n_sources;
}

const struct pm_capture_source *pm_capture_source(const struct pm_capture *capture, size_t index)
{
	return &capture->sources[index]->facts;
}
