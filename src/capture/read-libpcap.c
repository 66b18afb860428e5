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
	int64_t seconds, ns;
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
	ns = header->ts.tv_usec;
	if (reader->classic) {
		reader->damage += reader->header_size + header->caplen;
		/* They have no sign in the file; libpcap hands them out as if they had. */
		seconds = (uint32_t)seconds;
		ns = (int64_t)(uint32_t)ns * reader->ns_per_fraction;
	}
	frame->bytes = bytes;
	frame->held = header->caplen;
	frame->wire = header->len;
	frame->time_ns = pm_time_make(seconds, ns);
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

/*
 * Where records stand can be told in the classic format only. Its microseconds are taken as they
 * are, since libpcap multiplies them in 32 bits.
 */
static u_int look(struct reader *reader)
{
	static const struct {
		uint8_t magic[4];
		uint8_t header_size;
		int16_t ns_per_fraction;
	} forms[] = {
		{ { 0xa1, 0xb2, 0xc3, 0xd4 }, 16, 1000 },
		{ { 0xd4, 0xc3, 0xb2, 0xa1 }, 16, 1000 },
		{ { 0xa1, 0xb2, 0x3c, 0x4d }, 16, 1 },
		{ { 0x4d, 0x3c, 0xb2, 0xa1 }, 16, 1 },
		{ { 0xa1, 0xb2, 0xcd, 0x34 }, 24, 1000 },
		{ { 0x34, 0xcd, 0xb2, 0xa1 }, 24, 1000 },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		if (pm_stream_held(reader->stream) < 4 ||
		    memcmp(pm_stream_bytes(reader->stream), forms[i].magic, 4) != 0)
			continue;
		reader->classic = true;
		reader->header_size = forms[i].header_size;
		reader->ns_per_fraction = forms[i].ns_per_fraction;
		reader->damage = 24;
	}
	return reader->classic && reader->ns_per_fraction == 1000 ? PCAP_TSTAMP_PRECISION_MICRO
								  : PCAP_TSTAMP_PRECISION_NANO;
}

enum read_result pm_reader_open_libpcap(struct reader *reader)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	struct interface *interface;
	u_int precision;
	FILE *file;

	pm_stream_need(reader->stream, 4);
	precision = look(reader);
	file = fopencookie(reader, "r", (cookie_io_functions_t){ .read = on_read });
	if (!file)
		return READ_FAILED;
	setvbuf(file, NULL, _IOFBF, BUFFER_SIZE);
	reader->pcap =
		pcap_fopen_offline_with_tstamp_precision(file, precision, text);
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
