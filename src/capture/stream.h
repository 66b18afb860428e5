/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_CAPTURE_STREAM_H
#define PORTMETER_CAPTURE_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "portmeter/base.h"

/*
 * A capture file as the FILE that libpcap wants, with a buffer that suits it: with the usual 4 KiB,
 * refilling costs a fifth of the time that libpcap needs for a small frame.
 */
struct stream {
	FILE *file;         /* closed by whoever closes the pcap_t */
	char *buffer;
	int fd;
	uint64_t delivered; /* bytes read from @fd by pm_stream_read */
	uint8_t magic[6];   /* the first bytes */
	int error;          /* errno of a failed read; 0: none */
	bool stopped;       /* @interrupted said so */
	bool (*interrupted)(void *ctx);
	void *ctx;
};

/* Opens @path, "-" for standard input. PM_E_IO with @err filled, PM_E_MEMORY, or 0. */
int pm_stream_open(struct stream *stream, const char *path, size_t buffer_size,
		   struct pm_error *err);
/* Frees what is left after stream->file has been closed. */
void pm_stream_fini(struct stream *stream);
/* How far the reader of stream->file has come, in bytes. */
uint64_t pm_stream_position(const struct stream *stream);

/*
 * For what is not a plain file: reads on over interruptions, remembers the first bytes. Returns as
 * read(2).
 */
ssize_t pm_stream_read(struct stream *stream, char *to, size_t size);

/*
 * stream-cookie.c or stream-plain.c. A FILE that reads through pm_stream_read, or at least from
 * stream->fd.
 */
FILE *pm_stream_wrap(struct stream *stream);
/* Drops stdio's locking, which one reading thread does not need, where the system can. */
void pm_stream_unlock(FILE *file);

#endif
