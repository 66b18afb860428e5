/* SPDX-License-Identifier: MIT */
/* RFC 1952, by zlib. */
#define ZLIB_CONST
#include <stdlib.h>
#include <zlib.h>

#include "output-internal.h"

/* zlib.h, deflateInit2: the largest window, in the form of gzip; and the default of memory. */
#define WINDOW (15 + 16)
#define MEMORY 8

struct gzip {
	z_stream stream;
	unsigned char packed[(size_t)64 << 10];
};

static int begin(void **ret_state)
{
	struct gzip *gzip = calloc(1, sizeof *gzip);

	if (!gzip)
		return PM_E_MEMORY;
	if (deflateInit2(&gzip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW, MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(gzip);
		return PM_E_MEMORY;
	}
	*ret_state = gzip;
	return PM_OK;
}

static bool pack(void *state, const void *bytes, size_t size, bool last,
		 bool (*put)(void *ctx, const void *bytes, size_t size), void *ctx)
{
	struct gzip *gzip = state;
	z_stream *stream = &gzip->stream;
	int r;

	/* Blocks are far below what its counters hold. */
	stream->next_in = bytes;
	stream->avail_in = (uInt)size;
	do {
		stream->next_out = gzip->packed;
		stream->avail_out = sizeof gzip->packed;
		r = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
		if (r == Z_STREAM_ERROR ||
		    !put(ctx, gzip->packed, sizeof gzip->packed - stream->avail_out))
			return false;
	} while (stream->avail_out == 0);
	return !last || r == Z_STREAM_END;
}

static void end(void *state)
{
	struct gzip *gzip = state;

	deflateEnd(&gzip->stream);
	free(gzip);
}

static const struct packing gzip_packing = { ".gz", begin, pack, end };
const struct packing *const pm_packing_gzip = &gzip_packing;
