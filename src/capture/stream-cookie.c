/* SPDX-License-Identifier: MIT */
/* glibc and musl: fopencookie(3) counts bytes on pipes too, and minds signals. */
#include <stdio_ext.h>
#include <unistd.h>

#include "stream.h"

static ssize_t on_read(void *cookie, char *to, size_t size)
{
	return pm_stream_read(cookie, to, size);
}

/* Only ever asked where the stream is: libpcap reads forward. */
static int on_seek(void *cookie, off64_t *offset, int whence)
{
	struct stream *stream = cookie;

	if (whence != SEEK_CUR || *offset != 0)
		return -1;
	*offset = (off64_t)stream->delivered;
	return 0;
}

static int on_close(void *cookie)
{
	struct stream *stream = cookie;

	return close(stream->fd);
}

FILE *pm_stream_wrap(struct stream *stream)
{
	return fopencookie(
		stream, "r",
		(cookie_io_functions_t){ .read = on_read, .seek = on_seek, .close = on_close });
}

void pm_stream_unlock(FILE *file)
{
	__fsetlocking(file, FSETLOCKING_BYCALLER);
}
