/* SPDX-License-Identifier: MIT */
/* Opening an interface through libpcap, once or for several threads. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "handle.h"

#ifdef __linux__
#include <linux/filter.h>
#include <linux/if_packet.h>
#endif

#define DEFAULT_SNAPLEN 256
/* 20 ms of a million frames a second; libpcap takes less where memory is short */
#define DEFAULT_BUFFER_KIB 8192
#define DEFAULT_TIMEOUT_MS 100

int pm_handle_failure(struct pm_error *err, const char *interface, pcap_t *pcap, int status)
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

static int timeout_of(const struct pm_capture_options *options)
{
	return options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
}

/* Settings that must be made before activation. */
static int configure(struct handle *handle, const char *interface,
		     const struct pm_capture_options *options)
{
	int snaplen = options->snaplen ? options->snaplen : DEFAULT_SNAPLEN;
	int kib = options->buffer_kib ? options->buffer_kib : DEFAULT_BUFFER_KIB;
	bool any = strcmp(interface, "any") == 0;
	int r;

	r = pcap_set_snaplen(handle->pcap, snaplen);
	if (r == 0)
		r = pcap_set_promisc(handle->pcap, !options->no_promiscuous && !any);
	if (r == 0)
		r = pcap_set_timeout(handle->pcap, timeout_of(options));
	if (r == 0 && options->immediate)
		r = pcap_set_immediate_mode(handle->pcap, 1);
	if (r == 0)
		r = pcap_set_buffer_size(handle->pcap, kib * 1024);
	handle->buffer = (uint64_t)kib * 1024;
	handle->nanoseconds =
		pcap_set_tstamp_precision(handle->pcap, PCAP_TSTAMP_PRECISION_NANO) == 0;
	return r;
}

/* Settings that can only be made after it. */
static int adjust(struct handle *handle, const char *name,
		  const struct pm_capture_options *options, struct pm_error *err)
{
	static const pcap_direction_t directions[] = {
		[PM_DIRECTION_BOTH] = PCAP_D_INOUT,
		[PM_DIRECTION_IN] = PCAP_D_IN,
		[PM_DIRECTION_OUT] = PCAP_D_OUT,
	};
	struct bpf_program program;
	char text[PCAP_ERRBUF_SIZE] = "";
	int r;

	if (options->linktype) {
		int dlt = pcap_datalink_name_to_val(options->linktype);

		if (dlt < 0 || pcap_set_datalink(handle->pcap, dlt) < 0)
			return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
					    "%s: no link type %s; -L lists those there are", name,
					    options->linktype);
	}
	handle->linktype = pm_capture_linktype(pcap_datalink(handle->pcap));
	if (options->direction != PM_DIRECTION_BOTH &&
	    pcap_setdirection(handle->pcap, directions[options->direction]) < 0)
		return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0, "%s: -Q: %s", name,
				    pcap_geterr(handle->pcap));
	if (options->filter) {
		r = pm_capture_compile(options->filter, handle->pcap, &program, err);
		if (r < 0)
			return r;
		r = pcap_setfilter(handle->pcap, &program);
		pcap_freecode(&program);
		if (r < 0)
			return pm_error_set(err, PM_E_FILTER, NULL, 0, 0, "%s: %s", name,
					    pcap_geterr(handle->pcap));
	}
	if (pcap_setnonblock(handle->pcap, 1, text) < 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", name, text);
	return PM_OK;
}

#ifdef __linux__

static bool reject_all(const struct handle *handle)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &none };

	return setsockopt(pcap_fileno(handle->pcap), SOL_SOCKET, SO_ATTACH_FILTER, &program,
			  sizeof program) == 0;
}

void pm_handle_shut(struct handle *handle)
{
	/* Where it fails, a few frames more are counted as received than are seen. */
	(void)reject_all(handle);
}

#else

void pm_handle_shut(struct handle *handle)
{
	(void)handle;
}

#endif

#if defined(__linux__) && defined(PACKET_FANOUT)

static int refused(struct pm_error *err, const char *name, const char *what)
{
	return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0,
			    "%s: several capture threads (--fanout): %s: %s", name, what,
			    strerror(errno));
}

static void discard(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	(void)ctx;
	(void)header;
	(void)bytes;
}

/*
 * Lets nothing in: until all sockets of a group have joined it, frames would go to those that are
 * there, and conversations would change hands afterwards.
 */
static int hush(struct handle *handle, const char *name, struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";

	if (!reject_all(handle))
		return refused(err, name, "SO_ATTACH_FILTER");
	if (pcap_setnonblock(handle->pcap, 1, text) < 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", name, text);
	return PM_OK;
}

/* Drops what came before that, once the kernel has handed over the block that it was filling. */
static void discard_all(struct handle *handles, size_t n, int timeout_ms)
{
	poll(NULL, 0, timeout_ms + timeout_ms / 4);
	for (size_t i = 0; i < n; i++)
		while (pcap_dispatch(handles[i].pcap, -1, discard, NULL) > 0)
			continue;
}

/*
 * packet(7), PACKET_FANOUT. The hash of PACKET_FANOUT_HASH is the same for both directions of a
 * conversation, and of a datagram's fragments goes by addresses alone. Fragments are not put
 * together before (PACKET_FANOUT_FLAG_DEFRAG): what is counted are frames.
 */
static int join(struct handle *handle, const char *name, uint16_t *id, struct pm_error *err)
{
	int argument = *id | PACKET_FANOUT_HASH << 16, got = 0;
	socklen_t size = sizeof got;
	int fd = pcap_fileno(handle->pcap);

	if (*id == 0) /* the kernel chooses one that nobody has */
		argument |= PACKET_FANOUT_FLAG_UNIQUEID << 16;
	if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &argument, sizeof argument) < 0 ||
	    getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &got, &size) < 0)
		return refused(err, name, "PACKET_FANOUT");
	*id = (uint16_t)got;
	return PM_OK;
}

/* From here on frames come. */
static int unhush(struct handle *handle, const char *name,
		  const struct pm_capture_options *options, struct pm_error *err)
{
	struct pcap_stat stat;
	int unused = 0;

	/* What came before is not the capture's. */
	if (pcap_stats(handle->pcap, &stat) == 0) {
		handle->received = stat.ps_recv;
		handle->dropped = stat.ps_drop;
	}
	if (!options->filter && setsockopt(pcap_fileno(handle->pcap), SOL_SOCKET, SO_DETACH_FILTER,
					   &unused, sizeof unused) < 0)
		return refused(err, name, "SO_DETACH_FILTER");
	return PM_OK;
}

#else

static void discard_all(struct handle *handles, size_t n, int timeout_ms)
{
	(void)handles;
	(void)n;
	(void)timeout_ms;
}

static int hush(struct handle *handle, const char *name, struct pm_error *err)
{
	(void)handle;
	return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0,
			    "%s: several capture threads (--fanout) need Linux", name);
}

static int join(struct handle *handle, const char *name, uint16_t *id, struct pm_error *err)
{
	(void)id;
	return hush(handle, name, err);
}

static int unhush(struct handle *handle, const char *name,
		  const struct pm_capture_options *options, struct pm_error *err)
{
	(void)options;
	return hush(handle, name, err);
}

#endif

static int activate(struct handle *handle, const char *name,
		    const struct pm_capture_options *options, char *ret_warning, size_t size,
		    struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	int status;

	handle->pcap = pcap_create(name, text);
	if (!handle->pcap)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", name, text);
	status = configure(handle, name, options);
	if (status == 0)
		status = pcap_activate(handle->pcap);
	if (status < 0) {
		handle->absent = status == PCAP_ERROR_NO_SUCH_DEVICE ||
				 status == PCAP_ERROR_IFACE_NOT_UP;
		return pm_handle_failure(err, name, handle->pcap, status);
	}
	if (status > 0) {
		const char *detail = pcap_geterr(handle->pcap);

		snprintf(ret_warning, size, "%s: %s", name,
			 status == PCAP_WARNING && detail[0] ? detail : pcap_statustostr(status));
	}
	return PM_OK;
}

static int open_all(struct handle *handles, size_t n, const char *name,
		    const struct pm_capture_options *options, char *ret_warning, size_t size,
		    struct pm_error *err)
{
	uint16_t id = 0;
	int r = PM_OK;

	for (size_t i = 0; i < n && r == PM_OK; i++) {
		r = activate(&handles[i], name, options, ret_warning, size, err);
		if (r == PM_OK && n > 1)
			r = hush(&handles[i], name, err);
	}
	if (n > 1 && r == PM_OK)
		discard_all(handles, n, timeout_of(options));
	for (size_t i = 0; i < n && n > 1 && r == PM_OK; i++)
		r = join(&handles[i], name, &id, err);
	for (size_t i = 0; i < n && r == PM_OK; i++) {
		if (n > 1)
			r = unhush(&handles[i], name, options, err);
		if (r == PM_OK)
			r = adjust(&handles[i], name, options, err);
	}
	return r;
}

int pm_handles_open(struct handle *handles, size_t n, const char *name,
		    const struct pm_capture_options *options, char *ret_warning, size_t size,
		    struct pm_error *err)
{
	int r;

	memset(handles, 0, n * sizeof *handles);
	ret_warning[0] = '\0';
	r = open_all(handles, n, name, options, ret_warning, size, err);
	if (r == PM_OK)
		return r;
	for (size_t i = 0; i < n; i++) {
		handles[0].absent |= handles[i].absent;
		pm_handle_close(&handles[i]);
	}
	return r;
}

void pm_handle_close(struct handle *handle)
{
	if (handle->pcap)
		pcap_close(handle->pcap);
	handle->pcap = NULL;
}
