/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_CAPTURE_INTERNAL_H
#define PORTMETER_CAPTURE_INTERNAL_H

#include <pcap/pcap.h>

#include "portmeter/capture.h"

/* What live captures and files do differently. */
struct capture_ops {
	int (*dispatch)(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			struct pm_error *err);
	void (*count)(struct pm_capture *capture, struct pm_capture_counts *ret_counts);
	void (*close)(struct pm_capture *capture);
};

/* The common head of both; each embeds it first. */
struct pm_capture {
	const struct capture_ops *ops;
	char *name, *filter;
	const char *link; /* static in libpcap, or own_link */
	char *own_link;
	int snaplen;
	size_t files;
	bool damaged;
	pm_notice_fn *notice;
	void *notice_ctx;
	/* For the frames of the running dispatch. */
	pm_frame_fn *frame;
	void *frame_ctx;
	uint64_t number;
};

int pm_capture_init(struct pm_capture *capture, const struct capture_ops *ops, const char *name,
		 const struct pm_capture_options *options);
void pm_capture_notice(const struct pm_capture *capture, const char *format, ...) PM_PRINTF(2, 3);
/* libpcap's DLT_ number to the LINKTYPE_ number of files. */
uint32_t pm_capture_linktype(int dlt);
/* Compiles a filter for @pcap. PM_E_FILTER with @err filled, or 0. */
int pm_capture_compile(const char *filter, pcap_t *pcap, struct bpf_program *ret_program,
		    struct pm_error *err);

#endif
