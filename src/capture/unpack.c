/* SPDX-License-Identifier: MIT */
/* Packed capture files through libarchive: gzip, zstd, xz, lz4 and bzip2. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "unpack-library.h"

#define BLOCK ((size_t)64 << 10)

struct unpack {
	const struct pm_archive *call;
	struct archive *archive;
	bool begun;
	uint8_t *head; /* what had been read before the bytes were known to be packed */
	size_t n_head;
	const uint8_t *ready; /* unpacked, in the library's memory */
	size_t n_ready;
	uint8_t block[BLOCK];
};

static la_ssize_t on_read(struct archive *archive, void *ctx, const void **ret_block)
{
	struct stream *stream = ctx;
	struct unpack *unpack = stream->unpack;
	ssize_t n = (ssize_t)unpack->n_head;

	if (n > 0) {
		*ret_block = unpack->head;
		unpack->n_head = 0;
		return n;
	}
	n = pm_stream_read(stream, unpack->block, sizeof unpack->block);
	*ret_block = unpack->block;
	if (n < 0)
		unpack->call->archive_set_error(archive, stream->error, "%s", strerror(stream->error));
	return n;
}

/* The window's bytes are the first of the packed ones. */
static bool keep_head(struct stream *stream, struct unpack *unpack)
{
	unpack->n_head = pm_stream_held(stream);
	unpack->head = malloc(unpack->n_head);
	if (!unpack->head)
		return false;
	memcpy(unpack->head, pm_stream_bytes(stream), unpack->n_head);
	stream->at = stream->end = 0;
	stream->passed = 0;
	stream->ended = false;
	return true;
}

static void accept_all(const struct pm_archive *call, struct archive *archive)
{
	call->archive_read_support_filter_gzip(archive);
	call->archive_read_support_filter_zstd(archive);
	call->archive_read_support_filter_xz(archive);
	call->archive_read_support_filter_lz4(archive);
	call->archive_read_support_filter_bzip2(archive);
	call->archive_read_support_format_raw(archive);
	call->archive_read_support_format_empty(archive);
}

void pm_unpack_prepare(void)
{
	const char *why;

	(void)pm_archive_load(&why); /* whoever needs it will say why it is not there */
}

int pm_unpack_open(struct stream *stream)
{
	const char *why = "";
	const struct pm_archive *call = pm_archive_load(&why);
	struct unpack *unpack;

	if (!call) {
		snprintf(stream->reason, sizeof stream->reason,
			 "libarchive can't be loaded (%s); install it, or unpack the file first", why);
		return PM_E_UNSUPPORTED;
	}
	unpack = calloc(1, sizeof *unpack);
	if (!unpack)
		return PM_E_MEMORY;
	unpack->call = call;
	unpack->archive = call->archive_read_new();
	if (!unpack->archive || !keep_head(stream, unpack)) {
		pm_unpack_close(unpack);
		return PM_E_MEMORY;
	}
	accept_all(call, unpack->archive);
	stream->unpack = unpack;
	return PM_OK;
}

void pm_unpack_close(struct unpack *unpack)
{
	if (!unpack)
		return;
	unpack->call->archive_read_free(unpack->archive);
	free(unpack->head);
	free(unpack);
}

static ssize_t failure(struct stream *stream)
{
	struct unpack *unpack = stream->unpack;
	const char *text = unpack->call->archive_error_string(unpack->archive);

	/* short memory is no damage */
	if (!stream->error && unpack->call->archive_errno(unpack->archive) == ENOMEM)
		stream->error = ENOMEM;
	if (!stream->error)
		snprintf(stream->reason, sizeof stream->reason, "can't be unpacked: %s",
			 text ? text : "it ends too soon, or is damaged");
	return -1;
}

static int begin(struct stream *stream)
{
	struct unpack *unpack = stream->unpack;
	struct archive_entry *entry;
	int r;

	unpack->begun = true;
	r = unpack->call->archive_read_open(unpack->archive, stream, NULL, on_read, NULL);
	if (r == ARCHIVE_OK)
		r = unpack->call->archive_read_next_header(unpack->archive, &entry);
	return r;
}

/*
 * Block by block, since archive_read_data gives away what it has when a later block is damaged.
 */
ssize_t pm_unpack_read(struct stream *stream, void *to, size_t size)
{
	struct unpack *unpack = stream->unpack;
	int r = unpack->begun ? ARCHIVE_OK : begin(stream);

	while (unpack->n_ready == 0 && (r == ARCHIVE_OK || r == ARCHIVE_WARN)) {
		const void *block;
		la_int64_t offset;

		r = unpack->call->archive_read_data_block(unpack->archive, &block,
							  &unpack->n_ready, &offset);
		unpack->ready = block;
	}
	if (unpack->n_ready == 0)
		return r == ARCHIVE_EOF ? 0 : failure(stream);
	if (size > unpack->n_ready)
		size = unpack->n_ready;
	memcpy(to, unpack->ready, size);
	unpack->ready += size;
	unpack->n_ready -= size;
	return (ssize_t)size;
}
