/* SPDX-License-Identifier: MIT */
/*
 * Capture files through libpcap's own functions: slower, and without more than one interface, but
 * somebody else's. Tests hold the other readers to it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture-internal.h"
#include "reader.h"

/* The stream has a buffer already; libpcap's wants to be no smaller than a header and a frame. */
#define BUFFER_SIZE ((size_t)16 << 10)

static ssize_t on_read(void *cookie, char *to, size_t size)
{
	struct stream *stream = ((struct reader *)cookie)->stream;

	if (!pm_stream_need(stream, 1))
		return stream->error ? -1 : 0;
	if (size > pm_stream_held(stream))
		size = pm_stream_held(stream);
	memcpy(to, pm_stream_bytes(stream), size);
	pm_stream_pass(stream, size);
	return (ssize_t)size;
}

/* Reads the frame after, and says what became of it. */
static inline enum read_result next(struct reader *reader)
{
	struct pm_frame *frame = &reader->frame;
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int64_t seconds;
	int r = pcap_next_ex(reader->pcap, &header, &bytes);

	if (r == PCAP_ERROR_BREAK || reader->stream->stopped)
		return READ_END;
	if (r != 1 && reader->stream->error)
		return READ_FAILED;
	if (r != 1 && !reader->classic)
		reader->damage = pm_stream_position(reader->stream);
	if (r != 1)
		return pm_reader_damaged(reader, "%s", reader->stream->reason[0] ? reader->stream->reason : pcap_geterr(reader->pcap));
	seconds = header->ts.tv_sec;
	if (reader->classic) {
		reader->damage += reader->header_size + header->caplen;
		/* They have no sign in the file; libpcap hands them out as if they had. */
		seconds = (uint32_t)seconds;
	}
	frame->bytes = bytes;
	frame->held = header->caplen;
	frame->wire = header->len;
	frame->time_ns = pm_time_make(seconds, header->ts.tv_usec);
	frame->number++;
	return READ_FRAME;
}

static enum read_result libpcap_next(struct reader *reader)
{
	return next(reader);
}

static enum read_result libpcap_each(struct reader *reader, int max, pm_frame_fn *frame, void *ctx)
{
	enum read_result result = READ_FRAME;

	for (int n = 0; n < max; n++) {
		result = next(reader);
		if (result != READ_FRAME)
			break;
		frame(ctx, &reader->frame);
	}
	return result;
}

static const struct reader_ops libpcap_ops = { libpcap_next, libpcap_each };

/* Where records stand can be told in the classic format only. */
static void look(struct reader *reader)
{
	static const uint8_t magics[][4] = { { 0xa1, 0xb2, 0xc3, 0xd4 },
					     { 0xd4, 0xc3, 0xb2, 0xa1 },
					     { 0xa1, 0xb2, 0x3c, 0x4d },
					     { 0x4d, 0x3c, 0xb2, 0xa1 } };
	const uint8_t *h = pm_stream_bytes(reader->stream);

	for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
		reader->classic |=
			pm_stream_held(reader->stream) >= 4 && memcmp(h, magics[i], 4) == 0;
	reader->header_size = 16;
	reader->damage = reader->classic ? 24 : 0;
}

enum read_result pm_reader_open_libpcap(struct reader *reader)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	struct interface *interface;
	FILE *file;

	pm_stream_need(reader->stream, 4);
	look(reader);
	file = fopencookie(reader, "r", (cookie_io_functions_t){ .read = on_read });
	if (!file)
		return READ_FAILED;
	setvbuf(file, NULL, _IOFBF, BUFFER_SIZE);
	reader->pcap =
		pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, text);
	if (!reader->pcap) {
		fclose(file);
		if (strncmp(text, "unknown file format", strlen("unknown file format")) == 0)
			return READ_END;
		reader->damage = pm_stream_position(reader->stream);
		return reader->stream->error ? READ_FAILED : pm_reader_damaged(reader, "%s", text);
	}
	interface = pm_reader_add(reader);
	if (!interface)
		return READ_FAILED;
	interface->linktype = pm_capture_linktype(pcap_datalink(reader->pcap));
	interface->snaplen = (uint32_t)pcap_snapshot(reader->pcap);
	pm_reader_turn_to(reader, interface);
	reader->ops = &libpcap_ops;
	return READ_FRAME;
}

void pm_reader_close_libpcap(struct reader *reader)
{
	if (reader->pcap)
		pcap_close(reader->pcap);
	reader->pcap = NULL;
}
