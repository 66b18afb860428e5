/* SPDX-License-Identifier: MIT */
/*
 * pcapng (draft-ietf-opsawg-pcapng): sections of blocks, each with its own byte order and
 * interfaces. A block that is not about frames, interfaces or their counts is passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "capture-internal.h"

enum {
	BLOCK_HEAD = 8,   /* type, length */
	BLOCK_FRAME = 12, /* that, and the length again at the end */
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_PACKET_SIMPLE = 3,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	PACKET_HEAD = 28, /* of BLOCK_PACKET, before the frame */
};

#define BLOCK_SECTION UINT32_C(0x0a0d0d0a) /* the same in both byte orders */
#define BYTE_ORDER_MAGIC UINT32_C(0x1a2b3c4d)
/* Of a block that is looked into: as libpcap has it. */
#define BLOCK_MAX (UINT32_C(16) << 20)
/* Of an interface's name; those that differ behind it only are told apart by number. */
#define NAME_MAX_BYTES 255

/* Options. */
enum {
	OPTION_END = 0,
	IF_NAME = 2,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	IF_TSOFFSET = 14,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,
	ISB_OSDROP = 7,
};

static inline uint32_t u32(const struct reader *reader, const uint8_t *bytes)
{
	return pm_reader_u32(reader, bytes);
}

static uint64_t u64(const struct reader *reader, const uint8_t *bytes)
{
	uint64_t first = u32(reader, bytes), second = u32(reader, bytes + 4);

	return reader->big ? first << 32 | second : second << 32 | first;
}

/* One option; false at the end of all, or where the rest makes no sense. */
static bool next_option(const struct reader *reader, struct pm_cursor *c, uint16_t *ret_code,
			const uint8_t **ret_value, size_t *ret_size)
{
	const uint8_t *h = pm_cursor_take(c, 4);
	size_t size;

	if (!h)
		return false;
	*ret_code = pm_reader_u16(reader, h);
	size = pm_reader_u16(reader, h + 2);
	*ret_value = pm_cursor_take(c, size);
	*ret_size = size;
	if (!*ret_value || *ret_code == OPTION_END)
		return false;
	pm_cursor_take(c, -size & 3); /* the last one's padding may be missing */
	return true;
}

/* As far as there is something in it. */
static char *copy(const uint8_t *text, size_t size)
{
	return size && text[0] ? strndup((const char *)text, size) : NULL;
}

static void set_resolution(struct interface *interface, uint8_t value)
{
	int64_t ns = PM_NS_PER_S;

	interface->binary = value & 0x80;
	interface->exponent = value & 0x7f;
	interface->ns_per_tick = 0;
	for (int i = 0; i < interface->exponent && ns > 0; i++)
		ns = interface->binary ? (ns % 2 ? 0 : ns / 2) : ns / 10;
	interface->ns_per_tick = ns;
}

static void interface_option(const struct reader *reader, struct interface *interface,
			     uint16_t code, const uint8_t *value, size_t size)
{
	switch (code) {
	case IF_NAME:
		if (!interface->name)
			interface->name =
				copy(value, size < NAME_MAX_BYTES ? size : NAME_MAX_BYTES);
		break;
	case IF_FILTER: /* the first byte says what it is written in; 0: as text */
		if (!interface->filter && size > 1 && value[0] == 0 &&
		    reader->n_interfaces <= PM_SOURCES_MAX)
			interface->filter = copy(value + 1, size - 1);
		break;
	case IF_TSRESOL:
		if (size == 1)
			set_resolution(interface, value[0]);
		break;
	case IF_TSOFFSET:
		if (size == 8)
			interface->offset_s = (int64_t)u64(reader, value);
		break;
	default:
		break;
	}
}

/* Behind the block's head at @h, @size bytes. */
static enum read_result take_interface(struct reader *reader, const uint8_t *h, size_t size)
{
	struct pm_cursor c = pm_cursor_init(h, size, size);
	const uint8_t *fixed = pm_cursor_take(&c, 8), *value;
	struct interface *interface;
	size_t option_size;
	uint16_t code;

	if (!fixed)
		return pm_reader_damaged(reader, "an interface block is too short for itself");
	interface = pm_reader_add(reader);
	if (!interface)
		return reader->n_interfaces ? pm_reader_damaged(reader, "there are too many interfaces")
					    : READ_FAILED;
	interface->linktype = pm_capture_linktype(pm_reader_u16(reader, fixed));
	interface->snaplen = pm_reader_snaplen(u32(reader, fixed + 4), interface->linktype);
	set_resolution(interface, 6);
	while (next_option(reader, &c, &code, &value, &option_size))
		interface_option(reader, interface, code, value, option_size);
	if (interface->ns_per_tick && interface->offset_s == 0)
		interface->plain_ticks = (uint64_t)(INT64_MAX / interface->ns_per_tick);
	if (!pm_reader_number(reader, interface))
		return READ_FAILED;
	if (reader->opened && reader->on_interface(reader->ctx, interface) < 0)
		return READ_FAILED;
	return READ_FRAME;
}

/* A count of the file, and what it has grown by; where it fell, a new count has begun. */
static void counted(uint64_t now, uint64_t *before, bool *known, uint64_t *growth)
{
	*growth = *known && now >= *before ? now - *before : now;
	*before = now;
	*known = true;
}

static enum read_result take_statistics(struct reader *reader, const uint8_t *h, size_t size)
{
	struct pm_cursor c = pm_cursor_init(h, size, size);
	const uint8_t *fixed = pm_cursor_take(&c, 12), *value;
	struct pm_capture_counts growth = { .received = 0 }, *counts;
	uint64_t received = 0, accepted = 0;
	bool has_received = false, has_accepted = false;
	size_t option_size;
	uint16_t code;

	if (!fixed || u32(reader, fixed) >= reader->n_interfaces)
		return READ_FRAME; /* no frame depends on it */
	counts = &reader->interfaces[u32(reader, fixed)]->counts;
	while (next_option(reader, &c, &code, &value, &option_size)) {
		if (option_size != 8 || u64(reader, value) > PM_COUNT_MAX)
			continue; /* all ones: some writers' word for what they don't know */
		if (code == ISB_IFRECV) {
			received = u64(reader, value);
			has_received = true;
		} else if (code == ISB_FILTERACCEPT) {
			accepted = u64(reader, value);
			has_accepted = true;
		} else if (code == ISB_IFDROP) {
			counted(u64(reader, value), &counts->dropped_interface,
				&counts->dropped_interface_known, &growth.dropped_interface);
		} else if (code == ISB_OSDROP) {
			counted(u64(reader, value), &counts->dropped_kernel,
				&counts->dropped_kernel_known, &growth.dropped_kernel);
		}
	}
	/* What passed the filter, where the file tells it apart. */
	if (has_accepted || has_received)
		counted(has_accepted ? accepted : received, &counts->received,
			&counts->received_known, &growth.received);
	growth.received_known = counts->received_known;
	growth.dropped_kernel_known = counts->dropped_kernel_known;
	growth.dropped_interface_known = counts->dropped_interface_known;
	reader->on_counts(reader->ctx, reader->interfaces[u32(reader, fixed)], &growth);
	return READ_FRAME;
}

/* Reads the head of a section; its length field is in the section's own byte order. */
static enum read_result take_section_head(struct reader *reader)
{
	const uint8_t *h;

	if (!pm_stream_need(reader->stream, 28))
		return pm_reader_cut(reader, 28);
	h = pm_stream_bytes(reader->stream);
	reader->big = pm_be32(h + 8) == BYTE_ORDER_MAGIC;
	if (u32(reader, h + 8) != BYTE_ORDER_MAGIC)
		return pm_reader_damaged(reader, "a section has no byte order");
	if (pm_reader_u16(reader, h + 12) != 1)
		return pm_reader_damaged(reader, "its format has version %u, which nobody knows",
					 pm_reader_u16(reader, h + 12));
	return READ_FRAME;
}

/* All that is asked of a block's length; the stream stands at its head. */
static enum read_result check_block(struct reader *reader, uint32_t type, uint32_t size, bool whole)
{
	if (size < BLOCK_FRAME || size % 4 != 0)
		return pm_reader_damaged(reader, "a block of type %u has a length of %u bytes", type, size);
	if (whole && size > BLOCK_MAX)
		return pm_reader_damaged(reader, "a block of type %u is too large, %u bytes", type, size);
	if (!pm_stream_need(reader->stream, whole ? size : BLOCK_HEAD))
		return pm_reader_cut(reader, size);
	return READ_FRAME;
}

static enum read_result check_trailer(struct reader *reader, const uint8_t *trailer, uint32_t size)
{
	if (u32(reader, trailer) == size)
		return READ_FRAME;
	return pm_reader_damaged(reader, "a block's length is %u bytes at its head and %u at its end", size,
				 u32(reader, trailer));
}

/* A block that nothing is wanted of, however long. */
static enum read_result pass_over(struct reader *reader, uint32_t size)
{
	enum read_result result;

	if (!pm_stream_skip(reader->stream, size - 4) || !pm_stream_need(reader->stream, 4))
		return pm_reader_cut(reader, size);
	result = check_trailer(reader, pm_stream_bytes(reader->stream), size);
	pm_stream_pass(reader->stream, 4);
	return result;
}

static enum read_result take_block(struct reader *reader, uint32_t type, uint32_t size)
{
	const uint8_t *h = pm_stream_bytes(reader->stream);
	enum read_result result = READ_FRAME;

	switch (type) {
	case BLOCK_SECTION:
		pm_reader_forget(reader);
		break;
	case BLOCK_INTERFACE:
		result = take_interface(reader, h + BLOCK_HEAD, size - BLOCK_FRAME);
		break;
	default:
		result = take_statistics(reader, h + BLOCK_HEAD, size - BLOCK_FRAME);
		break;
	}
	pm_stream_pass(reader->stream, size);
	return result;
}

static bool is_packet(uint32_t type)
{
	return type == BLOCK_PACKET || type == BLOCK_PACKET_SIMPLE || type == BLOCK_PACKET_OLD;
}

/* Goes on to the next block that holds a frame, and brings all of it into the window. */
static enum read_result find_packet(struct reader *reader)
{
	struct stream *stream = reader->stream;
	enum read_result result;

	for (;;) {
		uint32_t type, size;
		bool whole;

		if (!pm_stream_need(stream, BLOCK_HEAD)) {
			reader->damage = pm_stream_position(stream);
			if (pm_stream_held(stream) == 0 && !stream->error && !stream->reason[0])
				return READ_END;
			return pm_reader_cut(reader, BLOCK_HEAD);
		}
		reader->damage = pm_stream_position(stream);
		type = u32(reader, pm_stream_bytes(stream));
		if (type == BLOCK_SECTION) {
			result = take_section_head(reader);
			if (result != READ_FRAME)
				return result;
		}
		size = u32(reader, pm_stream_bytes(stream) + 4);
		whole = is_packet(type) || type == BLOCK_INTERFACE || type == BLOCK_STATISTICS ||
			type == BLOCK_SECTION;
		result = check_block(reader, type, size, whole);
		if (result != READ_FRAME)
			return result;
		if (!whole) {
			result = pass_over(reader, size);
			if (result != READ_FRAME)
				return result;
			continue;
		}
		/* libpcap does not look at that of the first block, and nothing follows from it */
		if (reader->damage > 0)
			result = check_trailer(reader, pm_stream_bytes(stream) + size - 4, size);
		if (result == READ_FRAME && is_packet(type)) {
			reader->block_type = type;
			reader->block_size = size;
			return READ_FRAME;
		}
		if (result == READ_FRAME)
			result = take_block(reader, type, size);
		if (result != READ_FRAME)
			return result;
	}
}

/* Ticks below a second of an interface whose tick is no whole number of nanoseconds. */
static int64_t part_ns(const struct interface *interface, uint64_t ticks)
{
	uint64_t high = (ticks >> 32) * PM_NS_PER_S, low = (ticks & UINT32_MAX) * PM_NS_PER_S;

	if (!interface->binary) {
		for (int i = 9; i < interface->exponent; i++)
			ticks /= 10;
		return (int64_t)ticks;
	}
	high += low >> 32;
	if (interface->exponent >= 96)
		return 0;
	if (interface->exponent >= 32)
		return (int64_t)(high >> (interface->exponent - 32));
	return (int64_t)((high << 32 | (low & UINT32_MAX)) >> interface->exponent);
}

/* Any resolution, in seconds and a part. */
static int64_t any_time(const struct interface *interface, uint64_t ticks)
{
	uint64_t per_second = 1;

	if (interface->exponent > (interface->binary ? 63 : 19))
		/* all of 64 bits are less than a second */
		return pm_time_make_any(interface->offset_s, part_ns(interface, ticks));
	if (interface->binary)
		per_second <<= interface->exponent;
	for (int i = 0; !interface->binary && i < interface->exponent; i++)
		per_second *= 10;
	return pm_time_add(
		pm_time_make_any(interface->offset_s, 0),
		pm_time_make_any(ticks / per_second > INT64_MAX ? INT64_MAX
								: (int64_t)(ticks / per_second),
				 interface->ns_per_tick
					 ? (int64_t)(ticks % per_second) * interface->ns_per_tick
					 : part_ns(interface, ticks % per_second)));
}

static inline int64_t time_of(const struct interface *interface, uint64_t ticks)
{
	if (ticks < interface->plain_ticks)
		return (int64_t)ticks * interface->ns_per_tick;
	return any_time(interface, ticks);
}

/* A frame's interface must have been named before it. */
static inline struct interface *interface_of(struct reader *reader, uint32_t id)
{
	struct interface *interface;

	if (id >= reader->n_interfaces)
		return NULL;
	interface = reader->interfaces[id];
	if (interface != reader->interface)
		pm_reader_turn_to(reader, interface);
	return interface;
}

/* The frame of the packet block that find_packet has found. */
static inline enum read_result take_packet(struct reader *reader)
{
	const uint8_t *h = pm_stream_bytes(reader->stream);
	struct pm_frame *frame = &reader->frame;
	size_t head = reader->block_type == BLOCK_PACKET_SIMPLE ? 12 : 28;
	const struct interface *interface;
	uint32_t id = 0;

	if (reader->block_size < head + 4)
		return pm_reader_damaged(reader, "a packet block is too short for itself");
	if (reader->block_type == BLOCK_PACKET)
		id = u32(reader, h + 8);
	else if (reader->block_type == BLOCK_PACKET_OLD)
		id = pm_reader_u16(reader, h + 8);
	interface = interface_of(reader, id);
	if (!interface)
		return pm_reader_damaged(reader, "interface %u has not been described", id);
	if (reader->block_type == BLOCK_PACKET_SIMPLE) {
		/*
		 * It knows no time but that at which its interface's begins, and what is held only
		 * from its size and the snap length.
		 */
		frame->wire = u32(reader, h + 8);
		frame->held = (uint32_t)(reader->block_size - head - 4);
		if (frame->held > frame->wire)
			frame->held = frame->wire;
		if (frame->held > interface->snaplen)
			frame->held = interface->snaplen;
		frame->time_ns = time_of(interface, 0);
	} else {
		frame->held = u32(reader, h + 20);
		frame->wire = u32(reader, h + 24);
		if (frame->held > reader->block_size - head - 4)
			return pm_reader_damaged(
				reader, "a packet block of %zu bytes claims to hold %u of a frame",
				reader->block_size, frame->held);
		frame->time_ns = time_of(interface,
					 (uint64_t)u32(reader, h + 12) << 32 | u32(reader, h + 16));
	}
	if (frame->held > pm_reader_held_max(interface->linktype))
		return pm_reader_damaged(reader, "its captured length of %u bytes is beyond the most, %u",
					 frame->held, pm_reader_held_max(interface->linktype));
	frame->bytes = h + head;
	frame->number++;
	reader->head = head;
	reader->block_type = 0;
	pm_stream_pass(reader->stream, reader->block_size);
	return READ_FRAME;
}

/*
 * What looks damaged where a file is mapped, and a frame of which a page has gone meanwhile, may
 * not be the file's: both are looked at again.
 */
static bool is_doubtful(struct reader *reader, enum read_result result)
{
	const struct stream *stream = reader->stream;

	if (!stream->lost || (result != READ_DAMAGED && !(result == READ_FRAME && *stream->lost)) ||
	    !pm_stream_doubt(reader->stream, reader->damage))
		return false;
	reader->damaged = reader->cut = false;
	reader->block_type = 0;
	reader->frame.number -= result == READ_FRAME;
	return true;
}

static inline enum read_result next(struct reader *reader)
{
	enum read_result result;

	do {
		result = READ_FRAME;
		/* of what waited while it was mapped nobody knows whether it is still there */
		if (reader->block_type == 0 || reader->stream->lost)
			result = reader->damaged ? READ_DAMAGED : find_packet(reader);
		if (result == READ_FRAME)
			result = take_packet(reader);
	} while (is_doubtful(reader, result));
	return result;
}

static enum read_result pcapng_next(struct reader *reader)
{
	return next(reader);
}

/*
 * The same for many, of files as nearly all are: little-endian, packet blocks of the interface of
 * the frame before. Stops before @max at whatever else there is, or is not whole in the window, and
 * leaves that to next. @lost: of a piece that is mapped, or NULL.
 */
static PM_INLINE int each_plain_in(struct reader *reader, int max, pm_frame_fn *function, void *ctx,
				   const volatile sig_atomic_t *lost)
{
	struct pm_frame *frame = &reader->frame;
	const struct interface *interface = reader->interface;
	const uint8_t *at = pm_stream_bytes(reader->stream);
	size_t left = pm_stream_held(reader->stream);
	uint32_t held_max;
	int n = 0;

	if (reader->big || reader->damaged || reader->block_type || !interface)
		return 0;
	held_max = pm_reader_held_max(interface->linktype);
	for (; n < max && left >= PACKET_HEAD + 4; n++) {
		uint32_t length = pm_le32(at + 4), id = pm_le32(at + 8), held = pm_le32(at + 20);

		if (pm_le32(at) != BLOCK_PACKET || length > left || length > BLOCK_MAX ||
		    length < PACKET_HEAD + 4 || length % 4 != 0 ||
		    held > length - PACKET_HEAD - 4 || held > held_max ||
		    id >= reader->n_interfaces || reader->interfaces[id] != interface ||
		    pm_le32(at + length - 4) != length)
			break;
		if (lost)
			pm_reader_prefetch_mapped(at, length);
		else
			pm_reader_prefetch(at, length);
		frame->bytes = at + PACKET_HEAD;
		frame->held = held;
		frame->wire = pm_le32(at + 24);
		frame->time_ns = time_of(interface,
					 (uint64_t)pm_le32(at + 12) << 32 | pm_le32(at + 16));
		if (lost && (length > PM_PIECE_PAGE ||
			     !pm_piece_held(lost, at + length - 1)))
			break;
		frame->number++;
		at += length;
		left -= length;
		function(ctx, frame);
	}
	if (n)
		reader->head = PACKET_HEAD;
	pm_stream_pass(reader->stream, (size_t)(at - pm_stream_bytes(reader->stream)));
	return n;
}

static int each_plain(struct reader *reader, int max, pm_frame_fn *function, void *ctx)
{
	const volatile sig_atomic_t *lost = reader->stream->lost;

	return lost ? each_plain_in(reader, max, function, ctx, lost)
		    : each_plain_in(reader, max, function, ctx, NULL);
}

static enum read_result pcapng_each(struct reader *reader, int max, pm_frame_fn *frame, void *ctx)
{
	enum read_result result = READ_FRAME;

	for (int n = each_plain(reader, max, frame, ctx); n < max; n++) {
		result = next(reader);
		if (result != READ_FRAME)
			break;
		frame(ctx, &reader->frame);
		n += each_plain(reader, max - n - 1, frame, ctx);
	}
	return result;
}

/* Over packet blocks of the one interface; all else is for the reader itself. */
static void pcapng_hop(const struct reader *reader, const uint8_t *bytes, size_t size,
		       struct hop *hop)
{
	const struct interface *interface = reader->interfaces[0];
	uint32_t held_max = pm_reader_held_max(interface->linktype);

	hop->need = 0;
	while (hop->at < hop->stop && hop->n < hop->max) {
		const uint8_t *h = bytes + hop->at;
		size_t left = hop->at < size ? size - hop->at : 0;
		uint32_t length, held;
		int64_t time_ns;

		if (left < PACKET_HEAD) {
			hop->need = hop->at + PACKET_HEAD;
			return;
		}
		length = u32(reader, h + 4);
		held = u32(reader, h + 20);
		if (u32(reader, h) != BLOCK_PACKET || length < PACKET_HEAD + 4 || length % 4 != 0 ||
		    length > BLOCK_MAX || u32(reader, h + 8) != 0 ||
		    held > length - PACKET_HEAD - 4 || held > held_max)
			return;
		time_ns = time_of(interface,
				  (uint64_t)u32(reader, h + 12) << 32 | u32(reader, h + 16));
		if ((uint64_t)time_ns - (uint64_t)hop->from >= hop->span)
			return;
		if (left < length) {
			hop->need = hop->at + length;
			return;
		}
		if (u32(reader, h + length - 4) != length)
			return;
		pm_reader_guess(h, length);
		hop->at += length;
		hop->n++;
	}
}

static void pcapng_back(struct reader *reader)
{
	struct stream *stream = reader->stream;

	stream->at = (size_t)(reader->frame.bytes - stream->buffer) - reader->head;
	reader->frame.number--;
}

static const struct reader_ops pcapng_ops = { pcapng_next, pcapng_each, pcapng_hop, pcapng_back };

enum read_result pm_reader_open_pcapng(struct reader *reader)
{
	enum read_result result;

	if (!pm_stream_need(reader->stream, 4) ||
	    pm_be32(pm_stream_bytes(reader->stream)) != BLOCK_SECTION)
		return READ_END;
	reader->ops = &pcapng_ops;
	result = find_packet(reader);
	if (result == READ_DAMAGED && is_doubtful(reader, result))
		result = find_packet(reader);
	if (result == READ_FAILED || (result == READ_DAMAGED && reader->n_interfaces == 0))
		return result;
	/* without a frame it is a capture file still; damage comes up where the first would be */
	return READ_FRAME;
}
