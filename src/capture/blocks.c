/* SPDX-License-Identifier: MIT */
/*
 * Capture files in blocks, for several threads (portmeter/capture.h). Of a plain file each thread
 * reads its own block, at an offset that is known beforehand; the bytes of a stream, and those of a
 * packed file, come one after the other in any case and are read in the turn. Borders are found by
 * hopping from one record's header to the next, in the turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

/* So that it is still in some cache near the core when its frames are noted and counted. */
#define BLOCK_SIZE ((size_t)512 << 10)
/* Read beyond a block, where its last record mostly ends; a larger one is read in the turn. */
#define BEYOND ((size_t)2048)

/* Bytes of a file that are worth several threads; of blocks of a chosen size, some of them. */
#define WORTH ((uint64_t)4 << 20)
#define WORTH_BLOCKS 4
/*
 * A record that is longer than so many blocks is read by itself: buffers of all threads would grow,
 * and few have one.
 */
#define LARGE_BLOCKS 4

struct pm_block {
	struct files *files;
	size_t block; /* bytes that records of a block begin in */
	uint8_t *buffer;
	size_t size;
	/* Claimed of a plain file; valid as long as @generation is the capture's. 0: never. */
	uint64_t generation;
	int fd; /* our own, so that nobody closes it meanwhile; -1: none */
	uint64_t offset;
	size_t held; /* bytes of it in the buffer */
	/* Taken. */
	uint64_t n;
	struct reader reader; /* over @stream, which is the buffer's */
	struct stream stream;
	pm_frame_fn *frame;
	void *ctx;
};

static size_t block_size(const struct files *files)
{
	return files->options.block ? files->options.block : BLOCK_SIZE;
}

int pm_block_new(struct pm_capture *capture, struct pm_block **ret_block)
{
	struct files *files = pm_files_of(capture);
	struct pm_block *block = calloc(1, sizeof *block);

	if (!block)
		return PM_E_MEMORY;
	block->files = files;
	block->fd = -1;
	block->block = block_size(files);
	block->size = block->block + BEYOND;
	block->buffer = malloc(block->size);
	if (!block->buffer) {
		free(block);
		return PM_E_MEMORY;
	}
	*ret_block = block;
	return PM_OK;
}

static void let_go(struct pm_block *block)
{
	if (block->fd >= 0)
		close(block->fd);
	block->fd = -1;
}

void pm_block_free(struct pm_block *block)
{
	if (!block)
		return;
	let_go(block);
	free(block->buffer);
	free(block);
}

/* The file whose frame is next; NULL: that can't be told yet. */
static struct file *front(const struct files *files)
{
	struct file *file;

	if (files->n == 1)
		file = files->files;
	else if (files->started && files->n_heap)
		file = files->heap[0];
	else
		return NULL;
	return file->open ? file : NULL;
}

/* Whether records of it can be hopped over. */
static bool is_plain(const struct file *file)
{
	const struct reader *reader = &file->reader;

	return reader->ops->hop && reader->n_interfaces == 1 && !reader->damaged &&
	       !file->stream.follow;
}

/* Whether bytes of it can be read anywhere, by the offsets that the reader knows. */
static bool is_split(const struct file *file)
{
	return file->stream.regular && file->stream.base == 0 && !file->stream.unpack;
}

/* Whether its frames may be large: they have been so far, on the average, or there was none yet. */
static bool is_large(const struct file *file)
{
	uint64_t frames = file->reader.frame.number;

	return frames == 0 || pm_stream_position(&file->stream) / frames > PM_READER_LARGE;
}

bool pm_capture_splits(const struct pm_capture *capture, size_t threads)
{
	const struct files *files = (const struct files *)capture;
	const struct file *file = capture->files ? front(files) : NULL;
	size_t block = files->options.block;
	uint64_t enough = block ? (uint64_t)block * WORTH_BLOCKS : WORTH, position;

	if (!file || !is_plain(file) || capture->n_sources != 1)
		return false;
	if (threads <= 2 && file->stream.map && is_large(file))
		return false;
	position = pm_stream_position(&file->stream);
	if (is_split(file) && file->stream.length >= position + enough)
		return true;
	/* nobody knows how much is left, but where much was more may come */
	return (!is_split(file) || files->n_heap > 1) && files->behind + position >= enough;
}

void pm_block_claim(struct pm_block *block)
{
	struct files *files = block->files;

	pthread_mutex_lock(&files->lock);
	block->held = 0;
	if (block->generation != files->generation || !files->claimed)
		let_go(block);
	if (files->claimed) {
		if (block->fd < 0)
			block->fd = fcntl(files->claimed_fd, F_DUPFD_CLOEXEC, 0);
		block->generation = files->generation;
		block->offset = files->claim;
		files->claim += block->block;
	}
	pthread_mutex_unlock(&files->lock);
}

static bool make_room(struct pm_block *block, size_t size)
{
	uint8_t *more = block->size < size ? realloc(block->buffer, size) : block->buffer;

	if (!more)
		return false;
	block->buffer = more;
	if (block->size < size)
		block->size = size;
	return true;
}

/* Brings the buffer to @size bytes, if the file has them. */
static void fetch(struct pm_block *block, size_t size)
{
	if (!make_room(block, size))
		return;
	while (block->held < size) {
		ssize_t n = pread(block->fd, block->buffer + block->held, size - block->held,
				  (off_t)(block->offset + block->held));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* whoever reads frame by frame will say why */
			return;
		block->held += (size_t)n;
	}
}

void pm_block_fetch(struct pm_block *block)
{
	if (block->fd >= 0)
		fetch(block, block->block + BEYOND);
}

void pm_blocks_forget(struct files *files, const struct file *file)
{
	pthread_mutex_lock(&files->lock);
	if (files->claimed == file) {
		files->claimed = NULL;
		files->generation++;
	}
	pthread_mutex_unlock(&files->lock);
}

/* Blocks of @file are to be claimed from where it stands; those behind that are worth nothing. */
static void claim_from(struct files *files, const struct file *file, uint64_t position)
{
	pthread_mutex_lock(&files->lock);
	if (files->claimed != file) {
		files->claimed = file;
		files->claimed_fd = file->stream.fd;
		files->generation++;
		files->claim = position;
	}
	if (files->claim < position)
		files->claim = position;
	pthread_mutex_unlock(&files->lock);
}

/* Takes over from reading frame by frame. NULL: what is next can only be read so. */
static struct file *enter(struct files *files)
{
	struct file *file = front(files);

	if (files->ahead)
		return files->ahead;
	if (!file || !is_plain(file))
		return NULL;
	if (files->n > 1) { /* one has been read, to know the file's place among the others */
		file->reader.ops->back(&file->reader);
		file->number--;
	}
	file->reader.block_type = 0; /* found at the front of the window, where it is found again */
	files->ahead = file;
	files->split = is_split(file);
	files->chain = pm_stream_position(&file->stream);
	/* its pieces are for one thread, which alone would touch them */
	pm_stream_doubt(&file->stream, files->chain);
	if (files->split)
		claim_from(files, file, files->chain);
	return file;
}

/* Of several files: no further than the first frame of another. */
static uint64_t bounded(const struct files *files, const struct file *file, int64_t from,
			uint64_t span)
{
	for (size_t i = 1; i < files->n_heap && i < 3; i++) {
		const struct file *other = files->heap[i];
		uint64_t until;

		if (other->time_ns < from)
			return 0;
		until = (uint64_t)other->time_ns - (uint64_t)from + (file < other);
		if (until < span)
			span = until;
	}
	return span;
}

/* What was hopped over is the block's, and no longer the capture's. */
static void hand_over(struct pm_block *block, struct file *file, uint8_t *bytes, size_t at,
		      const struct hop *hop)
{
	struct files *files = block->files;

	block->n = hop->n;
	block->stream = (struct stream){
		.buffer = bytes, .size = hop->at, .at = at, .end = hop->at, .ended = true
	};
	block->reader = file->reader;
	block->reader.stream = &block->stream;
	if (files->n > 1)
		block->reader.frame.number = files->head.number;
	files->head.number += hop->n;
	file->number += hop->n;
	file->reader.frame.number += hop->n;
}

/* Of a plain file. */
static bool take_split(struct pm_block *block, struct file *file, struct hop *hop)
{
	struct files *files = block->files;
	size_t at;

	/* the generation changes in turn only */
	if (block->generation != files->generation)
		return false;
	if (files->chain >= block->offset + block->block) { /* a large record lies over it */
		claim_from(files, file, files->chain);
		return false;
	}
	if (files->chain < block->offset) /* one before could not be read */
		return true;
	if (block->fd < 0) /* there was none left to read it by */
		return true;
	at = hop->at = (size_t)(files->chain - block->offset);
	hop->stop = block->block;
	for (;;) {
		size_t need;

		file->reader.ops->hop(&file->reader, block->buffer, block->held, hop);
		need = hop->need;
		if (need <= block->held || need > LARGE_BLOCKS * block->block + BEYOND)
			break;
		fetch(block, need);
		if (need > block->held)
			break;
	}
	if (hop->n) {
		hand_over(block, file, block->buffer, at, hop);
		files->chain = block->offset + hop->at;
	}
	return hop->at < hop->stop;
}

/* Of a stream that has grown for a large record: its buffer stays the only large one. */
static bool copy_bytes(struct pm_block *block, struct stream *stream, size_t n)
{
	if (!make_room(block, n))
		return false;
	memcpy(block->buffer, pm_stream_bytes(stream), n);
	pm_stream_pass(stream, n);
	return true;
}

/* The block gets the stream's buffer, and the stream the block's, with what is left in it. */
static bool swap_buffers(struct pm_block *block, struct stream *stream, size_t n)
{
	size_t rest = pm_stream_held(stream) - n, size = stream->size;
	uint8_t *buffer = stream->buffer;

	if (!make_room(block, rest))
		return false;
	memcpy(block->buffer, pm_stream_bytes(stream) + n, rest);
	stream->passed += stream->at + n;
	stream->at = 0;
	stream->end = rest;
	stream->buffer = block->buffer;
	stream->size = block->size;
	block->buffer = buffer;
	block->size = size;
	return true;
}

/* Of anything else: what is there without waiting, and a frame at least. */
static bool take_stream(struct pm_block *block, struct file *file, struct hop *hop)
{
	struct stream *stream = &file->stream;
	size_t at, n, most = LARGE_BLOCKS * block->block + BEYOND;
	bool moved;

	/* what has been fetched of another file gives way */
	block->generation = 0;
	hop->stop = block->block;
	for (;;) {
		size_t held;

		pm_stream_top_up(stream, hop->need > block->block ? hop->need : block->block);
		held = pm_stream_held(stream);
		file->reader.ops->hop(&file->reader, pm_stream_bytes(stream),
				      held < most ? held : most, hop);
		if (hop->n || !hop->need || hop->need > most || !pm_stream_fill(stream, held + 1))
			break;
	}
	at = stream->size > most ? 0 : stream->at;
	n = hop->at;
	if (hop->n == 0)
		return true;
	moved = stream->size > most ? copy_bytes(block, stream, n) : swap_buffers(block, stream, n);
	if (!moved) {
		hop->n = 0;
		return true;
	}
	hop->at += at;
	hand_over(block, file, block->buffer, at, hop);
	block->files->chain += n;
	return false;
}

uint64_t pm_block_take(struct pm_block *block, int64_t from, uint64_t span, uint64_t max,
		       bool *ret_stopped)
{
	struct files *files = block->files;
	struct file *file = enter(files);
	struct hop hop = { .from = from, .max = max < INT_MAX ? max : INT_MAX };

	block->n = 0;
	*ret_stopped = true;
	if (!file)
		return 0;
	hop.span = files->n > 1 ? bounded(files, file, from, span) : span;
	*ret_stopped = (files->split ? take_split : take_stream)(block, file, &hop);
	return block->n;
}

bool pm_block_of_stream(const struct pm_block *block)
{
	return !block->files->split;
}

static void on_filtered_frame(void *ctx, const struct pm_frame *frame)
{
	struct pm_block *block = ctx;
	struct pcap_pkthdr header = { .caplen = frame->held, .len = frame->wire };

	if (pcap_offline_filter(&block->reader.interface->program, &header, frame->bytes))
		block->frame(block->ctx, frame);
}

void pm_block_each(struct pm_block *block, pm_frame_fn *frame, void *ctx)
{
	if (block->n == 0)
		return;
	block->frame = frame;
	block->ctx = ctx;
	if (block->files->filtered)
		block->reader.ops->each(&block->reader, (int)block->n, on_filtered_frame, block);
	else
		block->reader.ops->each(&block->reader, (int)block->n, frame, ctx);
	block->n = 0;
}
