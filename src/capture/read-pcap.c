/* SPDX-License-Identifier: MIT */
/* The classic format, pcap-savefile(5): a header of 24 bytes, and records of 16 with the frame. */
#include <string.h>

#include "capture-internal.h"

enum {
	FILE_HEADER = 24,
	RECORD_HEADER = 16,
	/* of patched versions of the nineties, with an index and more */
	RECORD_HEADER_KUZNETZOV = 24,
	/* which may have counted what cooked mode gave them, and put Ethernet's header to that */
	SNAPLEN_MORE_KUZNETZOV = 14,
	LINKTYPE_ETHERNET = 1,
};

#define MAGIC UINT32_C(0xa1b2c3d4)
#define MAGIC_NANO UINT32_C(0xa1b23c4d)
#define MAGIC_KUZNETZOV UINT32_C(0xa1b2cd34)

/* Bits of the file header's last field; above them it tells of frame check sequences. */
#define LINKTYPE_MASK UINT32_C(0x0000ffff)
#define RESERVED_MASK UINT32_C(0x03ff0000)

static bool magic_of(struct reader *reader, const uint8_t *bytes)
{
	for (int big = 0; big < 2; big++) {
		reader->big = big;
		reader->header_size = RECORD_HEADER;
		reader->ns_per_fraction = 1000;
		switch (pm_reader_u32(reader, bytes)) {
		case MAGIC_NANO:
			reader->ns_per_fraction = 1;
			return true;
		case MAGIC_KUZNETZOV:
			reader->header_size = RECORD_HEADER_KUZNETZOV;
			return true;
		case MAGIC:
			return true;
		default:
			break;
		}
	}
	return false;
}

static inline enum read_result take_record(struct reader *reader)
{
	struct stream *stream = reader->stream;
	struct pm_frame *frame = &reader->frame;
	uint32_t captured, held, wire;
	const uint8_t *h;

	do {
		reader->damage = pm_stream_position(stream);
		if (!pm_stream_need(stream, reader->header_size)) {
			if (pm_stream_held(stream) == 0 && !stream->error && !stream->reason[0])
				return READ_END;
			return pm_reader_cut(reader, reader->header_size);
		}
		h = pm_stream_bytes(stream);
		captured = pm_reader_u32(reader, h + 8);
		wire = pm_reader_u32(reader, h + 12);
		/* zeroes in place of a header end in zeroes */
	} while (wire == 0 && pm_stream_doubt(stream, reader->damage));
	if (reader->lengths_swapped || (reader->lengths_may_be_swapped && captured > wire)) {
		held = captured;
		captured = wire;
		wire = held;
	}
	if (captured > reader->held_max)
		return pm_reader_damaged(reader, "its captured length of %u bytes is beyond the most, %u",
					 captured, reader->held_max);
	if (!pm_stream_need(stream, reader->header_size + captured))
		return pm_reader_cut(reader, reader->header_size + captured);
	h = pm_stream_bytes(stream);
	held = captured;
	if (held > reader->interface->snaplen)
		held = reader->interface->snaplen;
	frame->bytes = h + reader->header_size;
	frame->held = held;
	frame->wire = wire;
	/* The format's seconds have no sign, and reach 2106. */
	frame->time_ns =
		pm_time_make(pm_reader_u32(reader, h),
			     (int64_t)pm_reader_u32(reader, h + 4) * reader->ns_per_fraction);
	frame->number++;
	pm_stream_pass(stream, reader->header_size + captured);
	return READ_FRAME;
}

static inline enum read_result next(struct reader *reader)
{
	struct stream *stream = reader->stream;
	enum read_result result = take_record(reader);

	/* a page has gone after the last look at it */
	while (result == READ_FRAME && stream->lost && *stream->lost) {
		pm_stream_doubt(stream, reader->damage);
		reader->frame.number--;
		result = take_record(reader);
	}
	return result;
}

static enum read_result pcap_next_frame(struct reader *reader)
{
	return next(reader);
}

/*
 * The same for many, of files as nearly all are: little-endian, lengths in their usual order. What
 * does not change from frame to frame stays in registers. Stops before @max at whatever is not
 * a whole record in the window, and leaves that to next. @lost: of a piece that is mapped, or NULL.
 */
static PM_INLINE int each_plain_in(struct reader *reader, int max, pm_frame_fn *function, void *ctx,
				   const volatile sig_atomic_t *lost)
{
	struct stream *stream = reader->stream;
	struct pm_frame *frame = &reader->frame;
	const uint8_t *at = pm_stream_bytes(stream);
	size_t left = pm_stream_held(stream);
	const size_t header = reader->header_size;
	const uint32_t held_max = reader->held_max, snaplen = reader->interface->snaplen;
	const int64_t ns_per_fraction = reader->ns_per_fraction;
	int n = 0;

	if (reader->big || reader->lengths_swapped || reader->lengths_may_be_swapped)
		return 0;
	for (; n < max && left >= header; n++) {
		uint32_t captured = pm_le32(at + 8);

		if (captured > held_max || captured > left - header)
			break;
		if (lost)
			pm_reader_prefetch_mapped(at, header + captured);
		else
			pm_reader_prefetch(at, header + captured);
		frame->bytes = at + header;
		frame->held = captured < snaplen ? captured : snaplen;
		frame->wire = pm_le32(at + 12);
		frame->time_ns = pm_time_make(pm_le32(at), pm_le32(at + 4) * ns_per_fraction);
		/* zeroes in place of a header end in zeroes; next looks again */
		if (lost && (frame->wire == 0 || header + captured > PM_PIECE_PAGE ||
			     !pm_piece_held(lost, at + header + captured - 1)))
			break;
		frame->number++;
		at += header + captured;
		left -= header + captured;
		function(ctx, frame);
	}
	pm_stream_pass(stream, (size_t)(at - pm_stream_bytes(stream)));
	return n;
}

static int each_plain(struct reader *reader, int max, pm_frame_fn *function, void *ctx)
{
	const volatile sig_atomic_t *lost = reader->stream->lost;

	return lost ? each_plain_in(reader, max, function, ctx, lost)
		    : each_plain_in(reader, max, function, ctx, NULL);
}

static enum read_result pcap_each(struct reader *reader, int max, pm_frame_fn *frame, void *ctx)
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

/*
 * As each_plain is to next: over records of files as nearly all are. Stops at whatever does not
 * go on, which pcap_hop looks at.
 */
static void hop_plain(const struct reader *reader, const uint8_t *bytes, size_t size,
		      struct hop *hop)
{
	const size_t header = reader->header_size;
	const uint32_t held_max = reader->held_max;
	const int64_t ns_per_fraction = reader->ns_per_fraction;
	const uint64_t from = (uint64_t)hop->from, span = hop->span, max = hop->max;
	const size_t stop = hop->stop, end = size - header;
	size_t at = hop->at;
	uint64_t n = hop->n;

	if (size < header || reader->big || reader->lengths_swapped ||
	    reader->lengths_may_be_swapped)
		return;
	for (; at < stop && at <= end && n < max; n++) {
		const uint8_t *h = bytes + at;
		uint32_t captured = pm_le32(h + 8);
		int64_t time_ns = pm_time_make(pm_le32(h), pm_le32(h + 4) * ns_per_fraction);

		if (captured > held_max || captured > end - at || (uint64_t)time_ns - from >= span)
			break;
		pm_reader_guess(h, header + captured);
		at += header + captured;
	}
	hop->at = at;
	hop->n = n;
}

static void pcap_hop(const struct reader *reader, const uint8_t *bytes, size_t size,
		     struct hop *hop)
{
	hop->need = 0;
	hop_plain(reader, bytes, size, hop);
	while (hop->at < hop->stop && hop->n < hop->max) {
		const uint8_t *h = bytes + hop->at;
		size_t left = hop->at < size ? size - hop->at : 0;
		uint32_t captured, wire;
		int64_t time_ns;

		if (left < reader->header_size) {
			hop->need = hop->at + reader->header_size;
			return;
		}
		captured = pm_reader_u32(reader, h + 8);
		wire = pm_reader_u32(reader, h + 12);
		if (reader->lengths_swapped || (reader->lengths_may_be_swapped && captured > wire))
			captured = wire;
		time_ns = pm_time_make(pm_reader_u32(reader, h),
				       (int64_t)pm_reader_u32(reader, h + 4) *
					       reader->ns_per_fraction);
		if (captured > reader->held_max ||
		    (uint64_t)time_ns - (uint64_t)hop->from >= hop->span)
			return;
		if (left - reader->header_size < captured) {
			hop->need = hop->at + reader->header_size + captured;
			return;
		}
		pm_reader_guess(h, reader->header_size + captured);
		hop->at += reader->header_size + captured;
		hop->n++;
	}
}

static void pcap_back(struct reader *reader)
{
	struct stream *stream = reader->stream;

	stream->at = (size_t)(reader->frame.bytes - stream->buffer) - reader->header_size;
	reader->frame.number--;
}

static const struct reader_ops pcap_ops = { pcap_next_frame, pcap_each, pcap_hop, pcap_back };

enum read_result pm_reader_open_pcap(struct reader *reader)
{
	struct interface *interface;
	const uint8_t *h;
	uint16_t major, minor;
	uint32_t linktype;

	if (!pm_stream_need(reader->stream, 4))
		return READ_END;
	h = pm_stream_bytes(reader->stream);
	if (!magic_of(reader, h))
		return READ_END;
	if (!pm_stream_need(reader->stream, FILE_HEADER))
		return pm_reader_cut(reader, FILE_HEADER);
	h = pm_stream_bytes(reader->stream);
	major = pm_reader_u16(reader, h + 4);
	minor = pm_reader_u16(reader, h + 6);
	if (major != 2 && !(major == 543 && minor == 0))
		return pm_reader_damaged(reader, "its format has version %u.%u, which nobody knows", major,
					 minor);
	/* Before 2.3 the true length stood before the captured one, and in 2.3 now and then. */
	reader->lengths_swapped = major != 2 || minor < 3;
	reader->lengths_may_be_swapped = minor == 3;
	interface = pm_reader_add(reader);
	if (!interface)
		return READ_FAILED;
	linktype = pm_capture_linktype((int)(pm_reader_u32(reader, h + 20) & LINKTYPE_MASK));
	if (pm_reader_u32(reader, h + 20) & RESERVED_MASK)
		return pm_reader_damaged(reader, "its link type has bits that nobody knows, %#x",
					 pm_reader_u32(reader, h + 20));
	reader->held_max = pm_reader_held_max(linktype);
	interface->linktype = linktype;
	interface->snaplen = pm_reader_snaplen(pm_reader_u32(reader, h + 16), linktype);
	if (reader->header_size == RECORD_HEADER_KUZNETZOV && linktype == LINKTYPE_ETHERNET)
		interface->snaplen = interface->snaplen < INT32_MAX - SNAPLEN_MORE_KUZNETZOV ?
					     interface->snaplen + SNAPLEN_MORE_KUZNETZOV :
					     INT32_MAX;
	pm_reader_turn_to(reader, interface);
	reader->ops = &pcap_ops;
	pm_stream_pass(reader->stream, FILE_HEADER);
	return READ_FRAME;
}
