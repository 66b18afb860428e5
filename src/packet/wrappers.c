/* SPDX-License-Identifier: MIT */
/*
 * Headers that a system or a device puts before the frame or packet which it has captured. Sources:
 * the descriptions of link types at tcpdump.org, and the systems' own headers.
 */
#include "packet-internal.h"

/*
 * PKTAP of Darwin: its own length, what follows and its DLT_ number, in the byte order of the
 * machine, and much more. The length is that of a struct, so one order makes sense.
 */
struct pm_step pm_decode_pktap(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 12);
	bool big;
	uint32_t size, kind, dlt;

	if (!h) {
		pm_cursor_take(c, 12);
		return pm_end_short(packet, c);
	}
	big = pm_le32(h) > 0xffff;
	size = big ? pm_be32(h) : pm_le32(h);
	kind = big ? pm_be32(h + 4) : pm_le32(h + 4);
	dlt = big ? pm_be32(h + 8) : pm_le32(h + 8);
	if (size < 12)
		return pm_end(packet, PM_VERDICT_MALFORMED);
	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	if (kind != 1) /* not a packet */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_link(packet, dlt);
}

/*
 * NFLOG of Linux: family, version and group, then attributes in the byte order of the machine; that
 * of a type, which is small, shows it. The payload begins with its network header.
 */
struct pm_step pm_decode_nflog(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { PAYLOAD = 9, HEAD = 4 };
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	for (;;) { /* ends, since each attribute takes bytes */
		const uint8_t *attribute;
		size_t size, type;

		if (c->wire == 0)
			return pm_end(packet, PM_VERDICT_NON_IP);
		attribute = pm_cursor_take(c, HEAD);
		if (!attribute)
			return pm_end_short(packet, c);
		size = attribute[3] ? pm_be16(attribute) : pm_le16(attribute);
		type = attribute[3] ? pm_be16(attribute + 2) : pm_le16(attribute + 2);
		if (size < HEAD)
			return pm_end(packet, PM_VERDICT_MALFORMED);
		if (type == PAYLOAD) {
			pm_limit(c, packet, size - HEAD);
			return pm_next_by_nibble(c, packet);
		}
		size = (size + 3) & ~(size_t)3;
		if (!pm_cursor_take(c, size - HEAD))
			return pm_end_short(packet, c);
	}
}

/* PFLOG of OpenBSD and its relatives: its own length, padded to four bytes. */
struct pm_step pm_decode_pflog(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);
	size_t size = h ? ((size_t)h[0] + 3) & ~(size_t)3 : 0;

	if (!pm_cursor_take(c, h ? size : 1))
		return pm_end_short(packet, c);
	if (size < 45) /* the shortest that there was */
		return pm_end(packet, PM_VERDICT_MALFORMED);
	return pm_next_by_nibble(c, packet);
}

/* enc(4) of OpenBSD: family, security parameters index, flags. */
struct pm_step pm_decode_enc(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 12))
		return pm_end_short(packet, c);
	return pm_next_by_nibble(c, packet);
}

/* Solaris: version 1, family, and who talks to whom. */
struct pm_step pm_decode_ipnet(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 24);

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] != 2 && h[1] != 26) /* AF_INET, AF_INET6 */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_by_nibble(c, packet);
}

/* netANALYZER of Hilscher. */
struct pm_step pm_decode_netanalyzer(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_before_frame(c, packet, 4);
}

/* The same with the preamble. */
struct pm_step pm_decode_netanalyzer_transparent(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_before_frame(c, packet, 4 + 8);
}

/* IEEE 802.3br: the preamble's last byte says which part of a preempted frame it is. */
struct pm_step pm_decode_mpacket(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);

	if (!h)
		return pm_end_short(packet, c);
	switch (h[7]) {
	case 0xd5: /* express, or not preemptible */
	case 0xe6: /* the starts of preemptible ones */
	case 0x4c:
	case 0x7f:
	case 0xb3:
		return pm_next_link(packet, PM_LINKTYPE_ETHERNET);
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}

/* Switches: a tag of @n bytes between the addresses and the type. */
static struct pm_step switch_tag(struct pm_cursor *c, struct pm_packet *packet, size_t n)
{
	const uint8_t *h = pm_cursor_take(c, 12 + n + 2);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_type_or_length(c, packet, pm_be16(h + 12 + n));
}

struct pm_step pm_decode_switch_4(struct pm_cursor *c, struct pm_packet *packet)
{
	return switch_tag(c, packet, 4);
}

struct pm_step pm_decode_switch_8(struct pm_cursor *c, struct pm_packet *packet)
{
	return switch_tag(c, packet, 8);
}

/* Broadcom's other place for it: before all. */
struct pm_step pm_decode_switch_prepended(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_before_frame(c, packet, 4);
}

/* ERF of Endace: the record's head, extension headers that chain, then as the type says. */
struct pm_step pm_decode_erf(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 16), *extension;
	bool more;

	if (!h)
		return pm_end_short(packet, c);
	for (more = h[8] & 0x80; more; more = extension[0] & 0x80) {
		extension = pm_cursor_take(c, 8);
		if (!extension)
			return pm_end_short(packet, c);
	}
	switch (h[8] & 0x7f) {
	case 2:  /* Ethernet, and with colours and hashes in the head */
	case 11:
	case 16:
	case 20:
		return pm_before_frame(c, packet, 2);
	case 1: /* packets over SONET, and the same */
	case 10:
	case 15:
	case 17:
		return pm_next_link(packet, PM_LINKTYPE_PPP_SERIAL);
	case 22:
	case 23:
		return pm_next_by_nibble(c, packet);
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}

/*
 * Juniper: a magic number, flags, attributes if a flag says so. Without a link layer there are four
 * bytes and then the packet. False: @ret_step is the end or that packet.
 */
static bool juniper_head(struct pm_cursor *c, struct pm_packet *packet, struct pm_step *ret_step)
{
	enum { NO_LINK = 0x02, ATTRIBUTES = 0x80 };
	const uint8_t *h = pm_cursor_take(c, 4);

	if (h && (pm_be16(h) != 0x4d47 || h[2] != 0x43)) {
		*ret_step = pm_end(packet, PM_VERDICT_NON_IP);
		return false;
	}
	if (h && h[3] & ATTRIBUTES) {
		uint16_t size = pm_cursor_be16(c);

		pm_cursor_take(c, size);
	}
	if (h && h[3] & NO_LINK)
		pm_cursor_take(c, 4);
	if (c->status != PM_READ_OK) {
		*ret_step = pm_end_short(packet, c);
		return false;
	}
	*ret_step = pm_next_by_nibble(c, packet);
	return !(h[3] & NO_LINK);
}

struct pm_step pm_decode_juniper_ethernet(struct pm_cursor *c, struct pm_packet *packet)
{
	struct pm_step step;

	return juniper_head(c, packet, &step) ? pm_next_link(packet, PM_LINKTYPE_ETHERNET) : step;
}

struct pm_step pm_decode_juniper_ppp(struct pm_cursor *c, struct pm_packet *packet)
{
	struct pm_step step;

	return juniper_head(c, packet, &step) ? pm_next_ethertype(packet, PM_ETHERTYPE_PPP) : step;
}

struct pm_step pm_decode_juniper_frame_relay(struct pm_cursor *c, struct pm_packet *packet)
{
	struct pm_step step;

	return juniper_head(c, packet, &step) ? pm_next_link(packet, PM_LINKTYPE_FRAME_RELAY)
					      : step;
}

struct pm_step pm_decode_juniper_hdlc(struct pm_cursor *c, struct pm_packet *packet)
{
	struct pm_step step;

	return juniper_head(c, packet, &step) ? pm_next_link(packet, PM_LINKTYPE_CISCO_HDLC) : step;
}

/* Cards whose frames begin with cookies of their own: only what they say is a plain packet. */
struct pm_step pm_decode_juniper_other(struct pm_cursor *c, struct pm_packet *packet)
{
	struct pm_step step;

	return juniper_head(c, packet, &step) ? pm_end(packet, PM_VERDICT_NON_IP) : step;
}
