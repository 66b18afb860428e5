/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_CAPTURE_STREAM_H
#define PORTMETER_CAPTURE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "piece.h"
#include "portmeter/base.h"

struct unpack; /* unpack.c, or unpack-none.c where there is no library for it */

/*
 * The bytes of a capture file, unpacked if they are packed, through a window that moves forward: a
 * buffer that is read into, or a piece of the file itself.
 */
struct stream {
	const char *path; /* borrowed */
	int fd;
	bool lent;        /* @fd is the caller's: it is set, and stays open */
	bool regular;
	bool follow;      /* a file's end is not the end: more may be written */
	bool ended;       /* nothing comes behind the window */
	bool stopped;     /* @interrupted said so */
	int error;        /* errno of a failed read; 0: none */
	bool shrunk;      /* the error is that the file has become shorter */
	bool mapped;      /* some of it was */
	char reason[224]; /* why unpacking has failed; "" */
	size_t map;       /* bytes of a plain file to map at once; 0: read it */
	struct pm_piece *piece; /* @buffer is mapped by it; NULL: it is our own */
	uint8_t *kept;          /* our own, of @size bytes, while one is mapped */
	const volatile sig_atomic_t *lost; /* whether it is; NULL: there is none */
	uint8_t *buffer;
	size_t size;           /* of our own buffer */
	size_t size_of_long;   /* once much has been read; 0: as it is */
	size_t at, end;        /* the window: buffer[at] to before buffer[end] */
	uint64_t passed;       /* bytes before buffer[0] */
	uint64_t taken;        /* how far @fd has been read */
	uint64_t length;       /* of a regular file, when it was opened */
	uint64_t base;         /* where @fd stood then: standard input need not be at its start */
	struct unpack *unpack; /* NULL: as they are */
	bool (*interrupted)(void *ctx);
	void *ctx;
};

/* How large a window may be asked for. */
#define PM_STREAM_WINDOW_MAX ((size_t)17 << 20)

/*
 * Opens @path, "-" for standard input, with a window of @size bytes or more; the caller has set
 * interrupted, ctx, follow, map and size_of_long, fd if it is lent, and zeroed the rest. PM_E_IO
 * with @err filled, PM_E_MEMORY, or 0.
 */
int pm_stream_open(struct stream *stream, const char *path, size_t size, struct pm_error *err);
/* A zeroed stream is fine. */
void pm_stream_close(struct stream *stream);
/* Brings the window to @n bytes. False: there are no more, or no memory; all is as it was. */
bool pm_stream_fill(struct stream *stream, size_t n);
/* Moves on by @n bytes, which need not fit a window. False: the input ends before. */
bool pm_stream_skip(struct stream *stream, uint64_t n);
/* Brings the window towards @n bytes, so far as that takes no waiting. */
void pm_stream_top_up(struct stream *stream, size_t n);
/* A file that is not packed: goes on from byte @position; a failure is the next read's. */
void pm_stream_seek(struct stream *stream, uint64_t position);
/* Reads what is in the file, as read(2), over interruptions; 0 too when it is told to stop. */
ssize_t pm_stream_read(struct stream *stream, void *to, size_t size);

/*
 * After something odd from byte @position on: what is mapped may not be the file any more, so the
 * rest is read. True: it was mapped; look again.
 */
bool pm_stream_doubt(struct stream *stream, uint64_t position);

static inline const uint8_t *pm_stream_bytes(const struct stream *stream)
{
	return stream->buffer + stream->at;
}

static inline size_t pm_stream_held(const struct stream *stream)
{
	return stream->end - stream->at;
}

/* At least @n bytes at pm_stream_bytes; what is mapped is there, or is read. */
static inline bool pm_stream_need(struct stream *stream, size_t n)
{
	if (pm_stream_held(stream) < n)
		return pm_stream_fill(stream, n);
	return !stream->lost || n == 0 ||
	       (n <= PM_PIECE_PAGE &&
		pm_piece_held(stream->lost, pm_stream_bytes(stream) + n - 1)) ||
	       pm_stream_fill(stream, n);
}

static inline void pm_stream_pass(struct stream *stream, size_t n)
{
	stream->at += n;
}

/* How far the reader has come, in bytes of the unpacked file. */
static inline uint64_t pm_stream_position(const struct stream *stream)
{
	return stream->passed + stream->at;
}

/* Bytes that tell what a file is. */
#define PM_MAGIC_SIZE 6
/* Whether a file that begins so is packed, as far as these bytes tell. */
bool pm_unpack_wanted(const uint8_t *magic, size_t size);
/* Brings in, while that can be done, what unpacking needs. */
void pm_unpack_prepare(void);
/* The command that unpacks what begins with @magic, static; NULL: it is not packed. */
const char *pm_unpack_command(const uint8_t *magic, size_t size);
/*
 * Sets stream->unpack, which goes on from the window as it is. PM_E_UNSUPPORTED with
 * stream->reason: not in this build, or the library is not there; PM_E_MEMORY, or 0.
 */
int pm_unpack_open(struct stream *stream);
void pm_unpack_close(struct unpack *unpack);
/* As read(2); a failure fills stream->reason. */
ssize_t pm_unpack_read(struct stream *stream, void *to, size_t size);

#endif
