/* SPDX-License-Identifier: MIT */
/* Live capture. Never blocks in libpcap: its read timeout does not fire while no frame arrives. */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture-internal.h"

#define DEFAULT_SNAPLEN 256
#define DEFAULT_TIMEOUT_MS 100

struct live {
	struct pm_capture head;
	pcap_t *pcap;
	uint32_t linktype;
	bool nanoseconds;
	struct pm_capture_counts counts;
	/* libpcap's counters at the last look; they wrap */
	uint32_t received, dropped, interface_dropped;
	bool interface_counts;
	bool picks; /* libpcap takes frames out after the kernel has counted them */
};

static struct live *live_of(struct pm_capture *capture)
{
	return (struct live *)capture; /* the head comes first */
}

static void on_frame(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct live *live = (struct live *)(void *)ctx;
	struct pm_frame frame = {
		.bytes = bytes,
		.held = header->caplen,
		.wire = header->len,
		.linktype = live->linktype,
		.time_ns = pm_time_make(header->ts.tv_sec, live->nanoseconds
								   ? header->ts.tv_usec
								   : header->ts.tv_usec * 1000),
		.number = ++live->head.number,
	};

	live->head.frame(live->head.frame_ctx, &frame);
}

static int live_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			 struct pm_error *err)
{
	struct live *live = live_of(capture);
	int n;

	capture->frame = frame;
	capture->frame_ctx = ctx;
	n = pcap_dispatch(live->pcap, max, on_frame, (u_char *)live);
	if (n >= 0)
		return n;
	if (n == PCAP_ERROR_BREAK)
		return 0;
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", capture->name,
			    pcap_geterr(live->pcap));
}

void pm_capture_wait(struct pm_capture *capture, int timeout_ms)
{
	struct pollfd fd = { .fd = -1, .events = POLLIN };

	if (!pm_capture_live(capture))
		return;
	fd.fd = pcap_get_selectable_fd(live_of(capture)->pcap);
	/*
	 * Without a descriptor to wait on, poll just sleeps: short, so that frames do not pile up.
	 */
	poll(&fd, 1, fd.fd >= 0 || timeout_ms < 10 ? timeout_ms : 10);
	if (fd.revents & (POLLERR | POLLNVAL))
		/* the next dispatch says what is wrong; until then, do not spin */
		poll(NULL, 0, 1);
}

/* What a 32-bit counter grew by, over a wrap too. */
static uint64_t growth(uint32_t *before, uint32_t now)
{
	uint32_t delta = now - *before;

	*before = now;
	return delta;
}

static void live_count(struct pm_capture *capture, size_t source,
		       struct pm_capture_counts *ret_counts)
{
	struct live *live = live_of(capture);
	struct pm_capture_counts *counts = &live->counts;
	struct pcap_stat stat;

	(void)source; /* there is but one */
	if (pcap_stats(live->pcap, &stat) == 0) {
		counts->received += growth(&live->received, stat.ps_recv);
		counts->dropped_kernel += growth(&live->dropped, stat.ps_drop);
		counts->dropped_interface += growth(&live->interface_dropped, stat.ps_ifdrop);
		counts->received_known = counts->dropped_kernel_known = true;
		counts->dropped_interface_known = live->interface_counts;
		if (live->picks)
			counts->received = live->head.number + counts->dropped_kernel;
	}
	*ret_counts = *counts;
}

static void live_close(struct pm_capture *capture)
{
	if (live_of(capture)->pcap)
		pcap_close(live_of(capture)->pcap);
}

static const struct capture_ops live_ops = { live_dispatch, live_count, NULL, live_close };

/*
 * libpcap reads Linux's interface drops from here, and reports 0 where it can't: only then is 0 a
 * count.
 */
static bool interface_counts(const char *interface)
{
	char path[128];

	snprintf(path, sizeof path, "/sys/class/net/%.64s/statistics/rx_missed_errors", interface);
	return strchr(interface, '/') == NULL && access(path, R_OK) == 0;
}

/*
 * Linux shows what is sent to the loopback twice, and libpcap takes the first look out itself, on
 * "any" too; so it does with the other direction of -Q. The kernel's count then says nothing about
 * what was captured.
 */
static bool picks(const char *interface, enum pm_direction direction)
{
	struct ifreq request;
	bool loopback = false;
	int fd;

	if (direction != PM_DIRECTION_BOTH || strcmp(interface, "any") == 0)
		return true;
	memset(&request, 0, sizeof request);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		loopback = ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
			   request.ifr_flags & IFF_LOOPBACK;
		close(fd);
	}
	return loopback;
}

static int pcap_failure(struct pm_error *err, const char *interface, pcap_t *pcap, int status)
{
	const char *detail = pcap_geterr(pcap);
	int code = PM_E_IO;

	if (status == PCAP_ERROR_PERM_DENIED || status == PCAP_ERROR_PROMISC_PERM_DENIED)
		code = PM_E_PERMISSION;
	if (status == PCAP_ERROR_NO_SUCH_DEVICE)
		return pm_error_set(err, code, NULL, 0, 0,
				    "%s: there is no such interface; -D lists those there are",
				    interface);
	if (status == PCAP_ERROR_IFACE_NOT_UP)
		return pm_error_set(err, code, NULL, 0, 0,
				    "%s: the interface is down; bring it up with: ip link set %s up",
				    interface, interface);
	return pm_error_set(err, code, NULL, 0, 0, "%s: %s%s%s", interface,
			    pcap_statustostr(status), detail[0] ? ": " : "", detail);
}

/* Settings that must be made before activation. */
static int configure(struct live *live, const struct pm_capture_options *options)
{
	int snaplen = options->snaplen ? options->snaplen : DEFAULT_SNAPLEN;
	int timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
	bool any = strcmp(live->head.name, "any") == 0;
	int r;

	r = pcap_set_snaplen(live->pcap, snaplen);
	if (r == 0)
		r = pcap_set_promisc(live->pcap, !options->no_promiscuous && !any);
	if (r == 0)
		r = pcap_set_timeout(live->pcap, timeout_ms);
	if (r == 0 && options->immediate)
		r = pcap_set_immediate_mode(live->pcap, 1);
	if (r == 0 && options->buffer_kib)
		r = pcap_set_buffer_size(live->pcap, options->buffer_kib * 1024);
	live->nanoseconds = pcap_set_tstamp_precision(live->pcap, PCAP_TSTAMP_PRECISION_NANO) == 0;
	return r;
}

/* Settings that can only be made after it. */
static int adjust(struct live *live, const struct pm_capture_options *options, struct pm_error *err)
{
	static const pcap_direction_t directions[] = {
		[PM_DIRECTION_BOTH] = PCAP_D_INOUT,
		[PM_DIRECTION_IN] = PCAP_D_IN,
		[PM_DIRECTION_OUT] = PCAP_D_OUT,
	};
	const char *name = live->head.name;
	struct bpf_program program;
	char text[PCAP_ERRBUF_SIZE] = "";
	int r;

	if (options->linktype) {
		int dlt = pcap_datalink_name_to_val(options->linktype);

		if (dlt < 0 || pcap_set_datalink(live->pcap, dlt) < 0)
			return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
					    "%s: no link type %s; -L lists those there are", name,
					    options->linktype);
	}
	live->linktype = pm_capture_linktype(pcap_datalink(live->pcap));
	if (options->direction != PM_DIRECTION_BOTH &&
	    pcap_setdirection(live->pcap, directions[options->direction]) < 0)
		return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0, "%s: -Q: %s", name,
				    pcap_geterr(live->pcap));
	if (live->head.filter) {
		r = pm_capture_compile(live->head.filter, live->pcap, &program, err);
		if (r < 0)
			return r;
		r = pcap_setfilter(live->pcap, &program);
		pcap_freecode(&program);
		if (r < 0)
			return pm_error_set(err, PM_E_FILTER, NULL, 0, 0, "%s: %s", name,
					    pcap_geterr(live->pcap));
	}
	if (pcap_setnonblock(live->pcap, 1, text) < 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", name, text);
	return PM_OK;
}

int pm_capture_open_live(const char *interface, const struct pm_capture_options *options,
			 struct pm_error *err, struct pm_capture **ret_capture)
{
	struct live *live = calloc(1, sizeof *live);
	char text[PCAP_ERRBUF_SIZE] = "";
	struct source *source;
	int r, status;

	if (!live)
		return PM_E_MEMORY;
	r = pm_capture_init(&live->head, &live_ops, interface, options);
	if (r < 0)
		goto out;
	r = PM_E_IO;
	live->pcap = pcap_create(interface, text);
	if (!live->pcap) {
		pm_error_set(err, r, NULL, 0, 0, "%s: %s", interface, text);
		goto out;
	}
	status = configure(live, options);
	if (status == 0)
		status = pcap_activate(live->pcap);
	if (status < 0) {
		r = pcap_failure(err, interface, live->pcap, status);
		goto out;
	}
	if (status > 0) {
		const char *detail = pcap_geterr(live->pcap);

		pm_capture_notice(&live->head, "%s: %s", interface,
				  status == PCAP_WARNING && detail[0] ? detail
								      : pcap_statustostr(status));
	}
	r = adjust(live, options, err);
	if (r < 0)
		goto out;
	r = pm_source_add(&live->head, interface, &source);
	if (r < 0)
		goto out;
	source->facts.link = pcap_datalink_val_to_name(pcap_datalink(live->pcap));
	source->facts.linktype = live->linktype;
	source->facts.snaplen = pcap_snapshot(live->pcap);
	source->facts.filter = live->head.filter;
	live->interface_counts = interface_counts(interface);
	live->picks = picks(interface, options->direction);
	*ret_capture = &live->head;
	return PM_OK;
out:
	pm_capture_close(&live->head);
	return r;
}

static void describe(const pcap_if_t *interface, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s[%s%s%s]", interface->description ? "(" : "",
		 interface->description ? interface->description : "",
		 interface->description ? ") " : "", interface->flags & PCAP_IF_UP ? "Up" : "Down",
		 interface->flags & PCAP_IF_RUNNING ? ", Running" : "",
		 interface->flags & PCAP_IF_LOOPBACK ? ", Loopback" : "");
}

int pm_capture_interfaces(pm_capture_item_fn *item, void *ctx, struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_if_t *all;

	if (pcap_findalldevs(&all, text) < 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s", text);
	for (const pcap_if_t *interface = all; interface; interface = interface->next) {
		char line[256];

		describe(interface, line, sizeof line);
		item(ctx, interface->name, line);
	}
	pcap_freealldevs(all);
	return PM_OK;
}

int pm_capture_linktypes(const char *interface, pm_capture_item_fn *item, void *ctx,
			 struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(interface, text);
	int *types = NULL;
	int n, r = PM_OK;

	if (!pcap)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", interface, text);
	n = pcap_activate(pcap);
	if (n >= 0)
		n = pcap_list_datalinks(pcap, &types);
	if (n < 0)
		r = pcap_failure(err, interface, pcap, n);
	for (int i = 0; i < n; i++) {
		const char *name = pcap_datalink_val_to_name(types[i]);
		const char *description = pcap_datalink_val_to_description(types[i]);

		if (name)
			item(ctx, name, description ? description : "");
	}
	if (n >= 0)
		pcap_free_datalinks(types);
	pcap_close(pcap);
	return r;
}
