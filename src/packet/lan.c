/* SPDX-License-Identifier: MIT */
/*
 * Local networks other than Ethernet: token ring (IEEE 802.5), FDDI (RFC 1188), ARCnet (RFC 1051,
 * RFC 1201), Fibre Channel (RFC 2625, FC-FS), IEEE 1394 (RFC 2734), InfiniBand (RFC 4391).
 */
#include "packet-internal.h"

/* Behind two bytes of control and two addresses, a route if the source address says so. */
struct pm_step pm_decode_token_ring(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 14), *route;
	bool routed;

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] >> 6 != 1) /* frames of the ring itself */
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h[2] & 0x80)
		packet->notes |= PM_NOTE_GROUP;
	routed = h[8] & 0x80;
	route = routed ? pm_cursor_peek(c, 0, 1) : NULL;
	if (routed && (!route || !pm_cursor_take(c, route[0] & 0x1f))) {
		pm_cursor_take(c, 1);
		return pm_end_short(packet, c);
	}
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/* Frame control as bits: class, length of addresses, two of format, which for LLC is 01. */
struct pm_step pm_decode_fddi(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 13);

	if (!h)
		return pm_end_short(packet, c);
	if ((h[0] & 0x70) != 0x50)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h[1] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/*
 * RFC 1201: a flag and a sequence number before the packet, which is split where it does not fit; a
 * flag of 255 is padding, and all three come again. RFC 1051 has none of it.
 */
static struct pm_step arcnet_protocol(struct pm_cursor *c, struct pm_packet *packet, uint8_t type)
{
	const uint8_t *h;

	if (type == 240)
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
	h = pm_cursor_take(c, 3);
	if (h && h[0] == 0xff) {
		if (!pm_cursor_take(c, 1))
			return pm_end_short(packet, c);
		h = pm_cursor_take(c, 3);
	}
	if (!h)
		return pm_end_short(packet, c);
	if (h[0] != 0 && !(h[0] & 1)) /* a later part */
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (type == 212)
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
	if (type == 196)
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP6);
	return pm_end(packet, PM_VERDICT_NON_IP);
}

struct pm_step pm_decode_arcnet(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 3); /* source, destination, type */

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] == 0)
		packet->notes |= PM_NOTE_GROUP;
	return arcnet_protocol(c, packet, h[2]);
}

/* Linux has an offset of two bytes before the type, and puts split packets together. */
struct pm_step pm_decode_arcnet_linux(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 5);

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] == 0)
		packet->notes |= PM_NOTE_GROUP;
	return arcnet_protocol(c, packet, h[4]);
}

/* RFC 2625: destination and source, eight bytes each, of which the last six are addresses. */
struct pm_step pm_decode_fibre_channel_ip(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 16);

	if (!h)
		return pm_end_short(packet, c);
	if (h[2] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/* FC-2: type 5 is LLC, and only the first frame of a sequence has its head. */
struct pm_step pm_decode_fibre_channel(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 24);

	if (!h)
		return pm_end_short(packet, c);
	if (h[8] != 0x05 || pm_be16(h + 14) != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h[13] & 0x20)
		return pm_next_link(packet, PM_LINKTYPE_IP_OVER_FC);
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/* With the delimiter that starts a frame. */
struct pm_step pm_decode_fibre_channel_delimited(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 4))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_FC2);
}

/* Apple's: two addresses of eight bytes, then the type. */
struct pm_step pm_decode_ieee1394(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 18);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_ethertype(packet, pm_be16(h + 16));
}

/* A global route header or what stands in its place, then type and two bytes that mean nothing. */
struct pm_step pm_decode_ipoib(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 44);

	if (!h)
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, pm_be16(h + 40));
}
