/* SPDX-License-Identifier: MIT */
/* Bytes of a capture file, from the disk, a pipe or a packed file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "stream.h"

/*
 * How long a signal may go unseen that comes between the question and the wait, and how often a
 * file that is followed is looked at.
 */
#define UNSEEN_MS 200

static bool told_to_stop(struct stream *stream)
{
	if (stream->interrupted && stream->interrupted(stream->ctx))
		stream->stopped = true;
	return stream->stopped;
}

/* Waits until a pipe has something to read. False: reading is to stop. */
static bool wait_for_more(struct stream *stream)
{
	struct pollfd fd = { .fd = stream->fd, .events = POLLIN };
	int r;

	if (stream->regular || !stream->interrupted)
		return true;
	do {
		if (told_to_stop(stream))
			return false;
		r = poll(&fd, 1, UNSEEN_MS);
	} while (r == 0 || (r < 0 && errno == EINTR));
	return true;
}

/* At the end of a file that is followed: waits until it has grown. False: it never will. */
static bool wait_for_growth(struct stream *stream)
{
	struct stat st;

	while (!told_to_stop(stream)) {
		if (fstat(stream->fd, &st) < 0) {
			stream->error = errno;
			return false;
		}
		if ((uint64_t)st.st_size < stream->taken) {
			stream->error = ESTALE;
			stream->shrunk = true;
			return false;
		}
		if ((uint64_t)st.st_size > stream->taken)
			return true;
		poll(NULL, 0, UNSEEN_MS);
	}
	return false;
}

/* read(2), which a signal may interrupt: whoever waits is asked then. */
static ssize_t read_some(struct stream *stream, void *to, size_t size)
{
	ssize_t n;

	do {
		if (!wait_for_more(stream))
			return 0;
		n = read(stream->fd, to, size);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* At the end of a file: whether there was more when it was opened. */
static bool has_shrunk(const struct stream *stream)
{
	struct stat st;

	return stream->regular && !stream->stopped &&
	       (stream->taken < stream->length || stream->mapped) &&
	       fstat(stream->fd, &st) == 0 && (uint64_t)st.st_size < stream->length;
}

ssize_t pm_stream_read(struct stream *stream, void *to, size_t size)
{
	ssize_t n = read_some(stream, to, size);

	while (n == 0 && stream->follow && stream->regular && wait_for_growth(stream))
		n = read_some(stream, to, size);
	if (n < 0)
		stream->error = errno;
	else
		stream->taken += (size_t)n;
	if (n == 0 && has_shrunk(stream)) {
		stream->error = ESTALE;
		stream->shrunk = true;
	}
	return stream->error ? -1 : n;
}

/*
 * Of so much and more, a larger buffer's fewer calls are worth the pages that it takes; of a pipe
 * or a packed file, calls are as many with any buffer.
 */
#define LONG ((uint64_t)16 << 20)

static bool is_long(const struct stream *stream)
{
	return stream->regular && !stream->unpack && stream->size < stream->size_of_long &&
	       stream->taken - stream->base >= LONG;
}

/* Moves the window to the front of a new buffer. False: there is no memory. */
static bool move_to_buffer(struct stream *stream, size_t size)
{
	uint8_t *buffer = malloc(size);

	if (!buffer)
		return false;
	memcpy(buffer, pm_stream_bytes(stream), pm_stream_held(stream));
	free(stream->buffer);
	stream->buffer = buffer;
	stream->size = size;
	return true;
}

/* Makes room for @n bytes: the window goes to the front of a buffer that is large enough. */
static bool make_room(struct stream *stream, size_t n)
{
	size_t held = pm_stream_held(stream);

	if (is_long(stream) && n <= stream->size_of_long &&
	    move_to_buffer(stream, stream->size_of_long))
		pm_pages_make(stream->buffer, stream->size);
	else if (n <= stream->size)
		memmove(stream->buffer, pm_stream_bytes(stream), held);
	else if (n > PM_STREAM_WINDOW_MAX || !move_to_buffer(stream, n))
		return false;
	stream->passed += stream->at;
	stream->at = 0;
	stream->end = held;
	return true;
}

/* Goes on from @position by reading. */
static void read_from(struct stream *stream, uint64_t position)
{
	stream->at = stream->end = 0;
	stream->passed = stream->taken = position;
	stream->ended = false;
	if (lseek(stream->fd, (off_t)position, SEEK_SET) < 0) {
		stream->error = errno;
		stream->ended = true;
	}
}

/* The window is that of our own buffer again. */
static void leave_piece(struct stream *stream)
{
	if (!stream->piece)
		return;
	pm_piece_free(stream->piece);
	stream->piece = NULL;
	stream->lost = NULL;
	stream->buffer = stream->kept;
	stream->kept = NULL;
}

/*
 * How much of what is next can be mapped, from @ret_from, so that @n bytes are there. 0: it is to
 * be read, as there are fewer in the file as it was when it was opened, or more than a piece holds.
 */
static size_t mappable(const struct stream *stream, size_t n, uint64_t *ret_from)
{
	uint64_t position = pm_stream_position(stream), page, left;
	size_t size = stream->map;

	if (!stream->map)
		return 0;
	page = pm_piece_page();
	*ret_from = position / page * page;
	left = stream->length > *ret_from ? (stream->length - *ret_from) / page * page : 0;
	if (left < size)
		size = (size_t)left;
	return size >= n && size - n >= position - *ret_from ? size : 0;
}

static bool map_on(struct stream *stream, size_t n)
{
	uint64_t position = pm_stream_position(stream), from;
	size_t size = mappable(stream, n, &from);
	uint8_t *bytes;

	if (!size)
		return false;
	if (!stream->piece) {
		stream->piece = pm_piece_new();
		if (!stream->piece) {
			stream->map = 0;
			return false;
		}
		stream->lost = pm_piece_lost(stream->piece);
		stream->kept = stream->buffer;
	}
	bytes = pm_piece_map(stream->piece, stream->fd, from, size);
	if (!bytes) {
		stream->map = 0; /* nor will what is behind be */
		return false;
	}
	stream->mapped = true;
	stream->buffer = bytes;
	stream->passed = from;
	stream->at = (size_t)(position - from);
	stream->end = size;
	stream->taken = from + size;
	return true;
}

/* Brings a mapped window to @n bytes that are there. False: they are to be read. */
static bool fill_piece(struct stream *stream, size_t n)
{
	uint64_t position = pm_stream_position(stream);

	if (((stream->piece && pm_stream_held(stream) >= n) || map_on(stream, n)) &&
	    pm_piece_holds(stream->piece, pm_stream_bytes(stream), n))
		return true;
	if (!stream->piece)
		return false;
	leave_piece(stream);
	read_from(stream, position);
	return false;
}

bool pm_stream_doubt(struct stream *stream, uint64_t position)
{
	bool mapped = stream->piece;

	stream->map = 0;
	leave_piece(stream);
	if (mapped)
		read_from(stream, position);
	return mapped;
}

bool pm_stream_fill(struct stream *stream, size_t n)
{
	uint64_t from;

	if (stream->piece ||
	    (pm_stream_held(stream) < n && !stream->ended && mappable(stream, n, &from)))
		if (fill_piece(stream, n))
			return true;
	if (stream->end - stream->at < n && !stream->ended && !make_room(stream, n))
		return false;
	while (stream->end - stream->at < n && !stream->ended) {
		void *to = stream->buffer + stream->end;
		size_t room = stream->size - stream->end;
		ssize_t r = stream->unpack ? pm_unpack_read(stream, to, room)
					   : pm_stream_read(stream, to, room);

		if (r <= 0)
			stream->ended = true;
		else
			stream->end += (size_t)r;
	}
	return stream->end - stream->at >= n;
}

/* Whether a read will not wait; the end, or an error, is something to read too. */
static bool ready(const struct stream *stream)
{
	struct pollfd fd = { .fd = stream->fd, .events = POLLIN };

	return stream->regular || poll(&fd, 1, 0) > 0;
}

void pm_stream_top_up(struct stream *stream, size_t n)
{
	/* room for all of it at once */
	if (pm_stream_held(stream) >= n || (stream->size - stream->at < n && !make_room(stream, n)))
		return;
	while (pm_stream_held(stream) < n && !stream->ended && ready(stream))
		if (!pm_stream_fill(stream, pm_stream_held(stream) + 1))
			return;
}

void pm_stream_seek(struct stream *stream, uint64_t position)
{
	if (position >= stream->passed && position - stream->passed <= stream->end)
		stream->at = (size_t)(position - stream->passed);
	else
		read_from(stream, position);
}

bool pm_stream_skip(struct stream *stream, uint64_t n)
{
	while (n > 0) {
		size_t step = pm_stream_held(stream);

		if (step == 0) {
			if (!pm_stream_fill(stream, 1))
				return false;
			continue;
		}
		if (step > n)
			step = (size_t)n;
		pm_stream_pass(stream, step);
		n -= step;
	}
	return true;
}

static int open_fd(struct stream *stream, struct pm_error *err)
{
	struct stat st;
	off_t at;

	if (stream->lent) {
		lseek(stream->fd, 0, SEEK_SET); /* a pipe stands where it stands */
	} else if (strcmp(stream->path, "-") == 0) {
		if (isatty(STDIN_FILENO))
			return pm_error_set(err, PM_E_IO, NULL, 0, 0,
					    "-r -: standard input is a terminal; pipe a capture into it");
		stream->fd = dup(STDIN_FILENO);
	} else {
		stream->fd = open(stream->path, O_RDONLY | O_CLOEXEC);
	}
	if (stream->fd < 0)
		return pm_error_set(err, PM_E_IO, stream->path, 0, 0, "can't open: %s",
				    strerror(errno));
	stream->regular = fstat(stream->fd, &st) == 0 && S_ISREG(st.st_mode);
	stream->length = stream->regular ? (uint64_t)st.st_size : 0;
	at = stream->regular ? lseek(stream->fd, 0, SEEK_CUR) : 0;
	stream->taken = stream->base = at > 0 ? (uint64_t)at : 0;
	return PM_OK;
}

/* A frame that holds nothing and is skipped. */
static bool is_empty_frame(const uint8_t *h)
{
	return (h[0] & 0xf0) == 0x50 && memcmp(h + 1, "\x2a\x4d\x18", 3) == 0;
}

bool pm_unpack_wanted(const uint8_t *magic, size_t size)
{
	return pm_unpack_command(magic, size) || (size >= 4 && is_empty_frame(magic));
}

/*
 * Passes over frames that hold nothing (RFC 8878, section 3.1.2; those of lz4 look the same), with
 * which pzstd begins: libarchive knows them further on only.
 */
static void skip_empty_frames(struct stream *stream)
{
	const uint8_t *h;

	while (pm_stream_need(stream, 8)) {
		h = pm_stream_bytes(stream);
		if (!is_empty_frame(h))
			return;
		pm_stream_skip(stream, 8 + ((uint64_t)h[7] << 24 | (uint64_t)h[6] << 16 |
					    (uint64_t)h[5] << 8 | h[4]));
	}
}

/* File systems of this machine's own, whose files nobody else changes (statfs(2)). */
static bool is_local(int fd)
{
	static const uint32_t local[] = {
		0xef53,     /* ext2 to ext4 */
		0x58465342, /* XFS */
		0x9123683e, /* Btrfs */
		0xf2f52010, /* F2FS */
		0x2fc12fc1, /* ZFS */
		0xca451a4e, /* bcachefs */
		0x01021994, /* tmpfs */
		0x794c7630, /* overlayfs */
	};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		if ((uint32_t)st.f_type == local[i])
			return true;
	return false;
}

/*
 * What somebody else could write to meanwhile is copied first: nobody is to change lengths between
 * the look at them and their use.
 */
static bool may_be_mapped(const struct stream *stream)
{
	struct stat st;

	return stream->regular && stream->base == 0 && !stream->follow &&
	       fstat(stream->fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH)) && is_local(stream->fd);
}

int pm_stream_open(struct stream *stream, const char *path, size_t size, struct pm_error *err)
{
	size_t map = stream->map;
	const char *command;
	int r;

	stream->path = path;
	stream->map = 0; /* before it is known what it is */
	r = open_fd(stream, err);
	if (r < 0)
		return r;
	if (map && !may_be_mapped(stream))
		map = 0;
	if (map && map < size) /* it need not be read that far */
		size = map;
	stream->buffer = malloc(size);
	stream->size = size;
	if (!stream->buffer) {
		pm_stream_close(stream);
		return PM_E_MEMORY;
	}
	pm_stream_fill(stream, PM_MAGIC_SIZE);
	skip_empty_frames(stream);
	command = pm_unpack_command(pm_stream_bytes(stream), pm_stream_held(stream));
	if (!command) {
		stream->map = map;
		return PM_OK;
	}
	r = pm_unpack_open(stream);
	if (r == PM_E_UNSUPPORTED)
		pm_error_set(err, r, path, 0, 0,
			     "is compressed, and %s: %s FILE | portmeter -r -", stream->reason, command);
	if (r < 0)
		pm_stream_close(stream);
	return r;
}

void pm_stream_close(struct stream *stream)
{
	leave_piece(stream);
	pm_unpack_close(stream->unpack);
	free(stream->buffer);
	if (stream->path && stream->fd >= 0 && !stream->lent)
		close(stream->fd);
	stream->unpack = NULL;
	stream->buffer = NULL;
	stream->path = NULL;
}

const char *pm_unpack_command(const uint8_t *magic, size_t size)
{
	static const struct {
		const char *magic;
		size_t size;
		const char *command;
	} forms[] = {
		{ "\x1f\x8b", 2, "zcat" },            /* RFC 1952 */
		{ "\x28\xb5\x2f\xfd", 4, "zstdcat" }, /* RFC 8878 */
		{ "\xfd\x37\x7a\x58\x5a", 5, "xzcat" },
		{ "\x04\x22\x4d\x18", 4, "lz4cat" },
		{ "\x02\x21\x4c\x18", 4, "lz4cat" }, /* the older format */
		{ "BZh", 3, "bzcat" },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (size >= forms[i].size && memcmp(magic, forms[i].magic, forms[i].size) == 0)
			return forms[i].command;
	return NULL;
}
