/* SPDX-License-Identifier: MIT */
/*
 * PPP (RFC 1661), in HDLC framing (RFC 1662; Cisco's: RFC 1547 section 4.3.1), bridged frames
 * (RFC 3518), multilink (RFC 1990), PPPoE (RFC 2516).
 */
#include "packet-internal.h"

/*
 * Address and control (ff 03) may be left away, and the first byte of the protocol when it is 0:
 * low bytes are odd and high bytes even, so each tells itself. One byte at a time, since
 * how many there are shows only on the way.
 */
struct pm_step pm_decode_ppp(struct pm_cursor *c, struct pm_packet *packet)
{
	uint8_t byte = pm_cursor_u8(c);
	uint16_t protocol;

	if (byte == 0xff) {
		bool framed = pm_cursor_u8(c) == 0x03;

		if (c->status == PM_READ_OK && !framed)
			return pm_end(packet, PM_VERDICT_NON_IP);
		byte = pm_cursor_u8(c);
	}
	protocol = byte;
	if (!(byte & 1))
		protocol = (uint16_t)(byte << 8 | pm_cursor_u8(c));
	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	return pm_next_ppp(packet, protocol);
}

/* The direction before it. */
struct pm_step pm_decode_ppp_directed(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 1))
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}

/* The direction in the place of the address, so that the control may follow alone. */
struct pm_step pm_decode_ppp_pppd(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *control;

	if (!pm_cursor_take(c, 1))
		return pm_end_short(packet, c);
	control = pm_cursor_peek(c, 0, 1);
	if (control && control[0] == 0x03)
		pm_cursor_take(c, 1);
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}

/* Serial lines: the first byte tells Cisco's framing, with ethertypes, from PPP's. */
struct pm_step pm_decode_ppp_serial(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *first = pm_cursor_peek(c, 0, 1);
	const uint8_t *h;

	if (!first || (first[0] != 0x0f && first[0] != 0x8f)) /* unicast, broadcast */
		return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
	h = pm_cursor_take(c, 4);
	if (!h)
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, pm_be16(h + 2));
}

/* A code other than 0 is discovery, whatever ethertype it came by. */
struct pm_step pm_decode_pppoe(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 6);

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	pm_limit(c, packet, pm_be16(h + 4));
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}

/* Flags (1), kind of frame (1), perhaps a LAN's number (4), then the frame from its addresses. */
struct pm_step pm_decode_ppp_bridged(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { NUMBERED = 0x40, KIND_ETHERNET = 1 };
	const uint8_t *h = pm_cursor_take(c, 2);

	if (!h || (h[0] & NUMBERED && !pm_cursor_take(c, 4)))
		return pm_end_short(packet, c);
	if (h[1] != KIND_ETHERNET)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
}

/*
 * Which part of a packet, and its number (4): the first part has the protocol. Peers may agree on a
 * header of two bytes, which no frame shows; what then stands in the place of the protocol, the
 * begin of an IP header, is none.
 */
struct pm_step pm_decode_ppp_multilink(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { BEGIN = 0x80 };
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (!(h[0] & BEGIN))
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}
