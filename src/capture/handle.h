/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_HANDLE_H
#define PORTMETER_HANDLE_H

#include "capture-internal.h"

/* One of libpcap's, ready to be read from without blocking. */
struct handle {
	pcap_t *pcap; /* NULL: closed */
	uint32_t linktype;
	bool nanoseconds;
	bool absent; /* after a failure: the interface is not there, or down */
	uint32_t received, dropped; /* libpcap's counters when the capture began */
	uint64_t buffer; /* bytes that the kernel's holds, as it was asked to */
};

/*
 * Opens an interface @n times, more than once as a group of which each gets its share of the
 * frames. With all or none open: PM_E_PERMISSION, PM_E_FILTER, PM_E_INVALID, PM_E_UNSUPPORTED,
 * PM_E_IO or 0. A warning is put in @ret_warning; "": there is none.
 */
int pm_handles_open(struct handle *handles, size_t n, const char *name,
		    const struct pm_capture_options *options, char *ret_warning, size_t size,
		    struct pm_error *err);
/* Lets no more frames into its buffer, which can still be read. For good. */
void pm_handle_shut(struct handle *handle);
/* Again: nothing. */
void pm_handle_close(struct handle *handle);
/* Says why libpcap could not activate an interface. */
int pm_handle_failure(struct pm_error *err, const char *interface, pcap_t *pcap, int status);

#endif
