/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_CAPTURE_INTERNAL_H
#define PORTMETER_CAPTURE_INTERNAL_H

#include <pcap/pcap.h>

#include "portmeter/capture.h"
#include "reader.h"

/* What live captures and files do differently. */
struct capture_ops {
	int (*dispatch)(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			struct pm_error *err);
	void (*count)(struct pm_capture *capture, size_t source,
		      struct pm_capture_counts *ret_counts);
	/* NULL: there is none. @ret_progress is zeroed. */
	void (*progress)(const struct pm_capture *capture,
			 struct pm_capture_progress *ret_progress);
	void (*close)(struct pm_capture *capture);
};

/* One series of records; its address stays, so that what it says of itself may be borrowed. */
struct source {
	struct pm_capture_source facts; /* points into the rest */
	char *name, *link, *filter;     /* owned; NULL where facts have another's */
	bool described;                 /* linktype and facts hold */
	uint32_t linktype;
	char *key; /* an interface's name in its file, so far as it has one */
	bool named;
	size_t ordinal; /* of the interfaces with this name and link type */
	struct pm_capture_counts counts;
};

/* The common head of both; each embeds it first. */
struct pm_capture {
	const struct capture_ops *ops;
	char *name, *filter;
	size_t files;
	bool damaged;
	pm_notice_fn *notice;
	void *notice_ctx;
	struct source **sources;
	size_t n_sources;
	/* For the frames of the running dispatch. */
	pm_frame_fn *frame;
	void *frame_ctx;
	uint64_t number;
};

int pm_capture_init(struct pm_capture *capture, const struct capture_ops *ops, const char *name,
		    const struct pm_capture_options *options);
void pm_capture_notice(const struct pm_capture *capture, const char *format, ...) PM_PRINTF(2, 3);
/*
 * libpcap's DLT_ number to the LINKTYPE_ number of files, and back. Some files have the former,
 * which libpcap takes for what it means here.
 */
uint32_t pm_capture_linktype(int dlt);
int pm_capture_dlt(uint32_t linktype);
/* Compiles a filter for @pcap. PM_E_FILTER with @err filled, or 0. */
int pm_capture_compile(const char *filter, pcap_t *pcap, struct bpf_program *ret_program,
		       struct pm_error *err);

/* sources.c. PM_E_MEMORY or 0. */
int pm_source_add(struct pm_capture *capture, const char *name, struct source **ret_source);
void pm_sources_free(struct pm_capture *capture);
/* Takes over what an interface is like; where those of one source differ, nothing is said. */
int pm_source_describe(struct pm_capture *capture, struct source *source,
		       const struct interface *interface);
/* The index of the source of an interface, number @id of its section; a new one, if need be. */
int pm_source_of_interface(struct pm_capture *capture, const struct interface *interface, size_t id,
			   size_t *ret_source);

#endif
