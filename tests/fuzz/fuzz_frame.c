/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as frames of any link type, and what they give as fragments to a tiny table.
 *
 *   link type (2) { size (2)  cut (1)  flags (1)  frame (size) } ...
 *
 * A link type is a LINKTYPE_ number, or else, modulo their count, the index of a row. The last
 * @cut bytes of a frame are not captured; flags: 0x80 adds 64 KiB to its length on the wire,
 * 0x40 flushes the table, the rest are seconds since the frame before.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mutate.h"
#include "portmeter/packet.h"

#define FRAMES 64
#define LINKTYPE_ETHERNET 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* By frame: whether it waits, and how often it was released. */
struct fates {
	bool waits[FRAMES];
	unsigned released[FRAMES];
};

/* Not assert: release builds drop that. */
static void claim(bool holds)
{
	if (!holds)
		abort();
}

static void release(void *ctx, const struct pm_fragment_frame *frame,
		    const struct pm_fragment_origin *origin)
{
	struct fates *fates = ctx;

	claim(frame->number < FRAMES);
	claim(!origin || origin->verdict < PM_VERDICT_N);
	fates->released[frame->number]++;
}

static const struct pm_link *link_chosen(uint16_t number)
{
	const struct pm_link *link = pm_link_find(number);
	size_t n = 0;

	while (!link && pm_link_at(n))
		n++;
	return link ? link : pm_link_at(number % n);
}

/* What a glimpse shows is what the whole packet says, or it shows nothing. */
static void glimpse(const uint8_t *bytes, size_t held, size_t wire, pm_brief brief,
		    const struct pm_packet *packet)
{
	const pm_brief what = ~(UINT64_C(0xffff) << 40); /* all but notes and flags */
	const struct pm_hash_key key = { 0x0123456789abcdef, 0xfedcba9876543211 };
	struct pm_glimpse seen;
	size_t size;

	if (!pm_packet_glimpse(bytes, held, wire, &seen))
		return;
	size = seen.ip_version == 4 ? 4 : 16;
	claim(brief && pm_glimpse_brief(&seen) == (brief & what));
	claim(memcmp(seen.addresses, packet->src.bytes, size) == 0);
	claim(memcmp(seen.addresses + size, packet->dst.bytes, size) == 0);
	claim(pm_glimpse_flow(key, &seen) ==
	      pm_flow_of(key, brief, packet->src.bytes, packet->dst.bytes));
	claim(!(bytes[0] & 1) && packet->setup == (seen.transport == PM_TRANSPORT_TCP
							   ? PM_SETUP_CONFIRM
							   : PM_SETUP_NONE));
	/* as much is enough for the brief */
	claim(pm_packet_brief(pm_link_find(LINKTYPE_ETHERNET), bytes,
			      seen.ip_version == 4 ? 48 : 68, wire) == brief);
}

/* In a heap block of exactly the captured size, so that a sanitizer sees a read past it. */
static struct pm_packet decode(const struct pm_link *link, const uint8_t *bytes, size_t held,
			       size_t wire)
{
	uint8_t *copy = malloc(held ? held : 1);
	struct pm_packet packet;
	pm_brief brief, quick;

	claim(copy != NULL);
	if (held)
		memcpy(copy, bytes, held);
	pm_packet_decode(link, copy, held, wire, &packet);
	brief = pm_packet_brief(link, copy, held, wire);
	/* what is quicker yet says the same, or nothing */
	if (link == pm_link_find(LINKTYPE_ETHERNET)) {
		quick = pm_packet_quick(copy, held, wire) | pm_packet_quick_ip6(copy, held, wire);
		claim(!quick || quick == brief);
		glimpse(copy, held, wire, brief, &packet);
	}
	free(copy);
	claim(!brief || (packet.verdict == PM_VERDICT_PORTS &&
			 packet.src_port == pm_brief_src_port(brief) &&
			 packet.dst_port == pm_brief_dst_port(brief) &&
			 packet.transport == pm_brief_transport(brief) &&
			 packet.notes == pm_brief_notes(brief) &&
			 packet.tcp_flags == pm_brief_tcp_flags(brief) &&
			 packet.ip_version == pm_brief_ip_version(brief)));
	claim(packet.verdict < PM_VERDICT_N);
	claim(packet.verdict != PM_VERDICT_PORTS || packet.transport < PM_TRANSPORT_N);
	return packet;
}

/* The same for the innermost layer: it is there where the outermost is. */
static struct pm_packet decode_inner(const struct pm_link *link, const uint8_t *bytes, size_t held,
				     size_t wire, const struct pm_packet *outer,
				     struct pm_packet *ret_carrier)
{
	static struct pm_tunnels *tunnels; /* as long as the process */
	uint8_t *copy = malloc(held ? held : 1);
	struct pm_packet packet;

	claim(copy != NULL);
	if (!tunnels) {
		claim(pm_tunnels_new(&tunnels) == PM_OK);
		claim(pm_tunnels_set(tunnels, "fou", 3, 5555));
	}
	if (held)
		memcpy(copy, bytes, held);
	pm_packet_decode_inner(tunnels, link, copy, held, wire, &packet, ret_carrier);
	free(copy);
	claim(packet.verdict < PM_VERDICT_N);
	claim(packet.verdict != PM_VERDICT_PORTS || packet.transport < PM_TRANSPORT_N);
	if (outer->ip_version == 0)
		claim(packet.verdict == outer->verdict);
	else
		claim(packet.verdict != PM_VERDICT_NON_IP);
	if (ret_carrier->notes & PM_NOTE_FIRST_FRAGMENT)
		claim(ret_carrier->ip_version != 0 && ret_carrier->verdict == packet.verdict);
	return packet;
}

static void feed(struct pm_fragments *table, const struct pm_packet *packet,
		 const struct pm_fragment_frame *frame, struct fates *fates)
{
	bool first = packet->notes & PM_NOTE_FIRST_FRAGMENT;

	if (packet->verdict == PM_VERDICT_FRAGMENT)
		fates->waits[frame->number] = !pm_fragments_later(table, packet, frame);
	else if (first && packet->verdict == PM_VERDICT_PORTS)
		pm_fragments_first(table, packet, packet, frame, 0);
	else if (first && packet->verdict == PM_VERDICT_NO_PORTS_PROTOCOL)
		pm_fragments_first(table, packet, packet, frame, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_cursor input = pm_cursor_init(data, size, size);
	const struct pm_link *link = link_chosen(pm_cursor_be16(&input));
	struct fates fates = { { false }, { 0 } };
	struct pm_fragments_options options = {
		.datagrams = 3,
		.frames = 4,
		.release = release,
		.ctx = &fates,
	};
	struct pm_fragment_frame frame = { 0, 0, 0 };
	struct pm_fragments *table;

	if (pm_fragments_new(&options, &table) < 0)
		return 0;
	for (; frame.number < FRAMES && input.held >= 4; frame.number++) {
		size_t wire = pm_cursor_be16(&input), cut = pm_cursor_u8(&input);
		uint8_t flags = pm_cursor_u8(&input);
		const uint8_t *bytes;
		struct pm_packet packet, inner, carrier;

		if (wire > input.held)
			wire = input.held;
		if (cut > wire)
			cut = wire;
		bytes = pm_cursor_take(&input, wire);
		frame.wire = (uint32_t)(wire + (flags & 0x80 ? 65536 : 0));
		frame.time_ns += (flags & 0x3f) * PM_NS_PER_S;
		packet = decode(link, bytes, wire - cut, frame.wire);
		inner = decode_inner(link, bytes, wire - cut, frame.wire, &packet, &carrier);
		if (flags & 0x20) {
			feed(table, &inner, &frame, &fates);
			if (carrier.verdict != PM_VERDICT_FRAGMENT)
				feed(table, &carrier, &frame, &fates);
		} else {
			feed(table, &packet, &frame, &fates);
		}
		if (flags & 0x40)
			pm_fragments_flush(table);
	}
	pm_fragments_flush(table);
	for (size_t i = 0; i < FRAMES; i++)
		claim(fates.released[i] == fates.waits[i]);
	pm_fragments_free(table);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
	return mutate_records(data, size, most, 2, seed);
}
