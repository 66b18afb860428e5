/* SPDX-License-Identifier: MIT */
/* Bytes of a capture file, counted. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream.h"

/* How long a signal may go unseen that comes between the question and the wait. */
#define UNSEEN_MS 200

/* Waits until there is something to read. False: reading is to stop. */
static bool wait_for_more(const struct stream *stream)
{
	struct pollfd fd = { .fd = stream->fd, .events = POLLIN };
	int r;

	if (!stream->interrupted)
		return true;
	do {
		if (stream->interrupted(stream->ctx))
			return false;
		r = poll(&fd, 1, UNSEEN_MS);
	} while (r == 0 || (r < 0 && errno == EINTR));
	return true;
}

ssize_t pm_stream_read(struct stream *stream, char *to, size_t size)
{
	ssize_t n;

	do {
		if (!wait_for_more(stream)) {
			stream->stopped = true;
			return 0;
		}
		n = read(stream->fd, to, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		stream->error = errno;
		return n;
	}
	for (size_t i = 0; i < (size_t)n && stream->delivered + i < sizeof stream->magic; i++)
		stream->magic[stream->delivered + i] = (uint8_t)to[i];
	stream->delivered += (size_t)n;
	return n;
}

/*
 * A plain file needs no wrapping: it neither waits nor is it interrupted, and stdio copies faster
 * from it.
 */
static FILE *wrap(struct stream *stream)
{
	struct stat st;

	if (fstat(stream->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return pm_stream_wrap(stream);
	if (pread(stream->fd, stream->magic, sizeof stream->magic, 0) < 0)
		stream->error = errno;
	return fdopen(stream->fd, "r");
}

int pm_stream_open(struct stream *stream, const char *path, size_t buffer_size,
		   struct pm_error *err)
{
	if (strcmp(path, "-") == 0) {
		if (isatty(STDIN_FILENO))
			return pm_error_set(err, PM_E_IO, NULL, 0, 0,
					    "-r -: standard input is a terminal; pipe a capture into it");
		stream->fd = dup(STDIN_FILENO);
	} else {
		stream->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (stream->fd < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't open: %s", strerror(errno));
	stream->buffer = malloc(buffer_size);
	if (stream->buffer)
		stream->file = wrap(stream);
	if (!stream->file) {
		close(stream->fd);
		return PM_E_MEMORY;
	}
	setvbuf(stream->file, stream->buffer, _IOFBF, buffer_size);
	pm_stream_unlock(stream->file);
	return PM_OK;
}

void pm_stream_fini(struct stream *stream)
{
	free(stream->buffer);
	stream->buffer = NULL;
}

uint64_t pm_stream_position(const struct stream *stream)
{
	off_t position = ftello(stream->file);

	return position >= 0 ? (uint64_t)position : stream->delivered;
}
