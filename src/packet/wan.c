/* SPDX-License-Identifier: MIT */
/*
 * Wide area and access links: Frame Relay (Q.922; RFC 2427), multilink Frame Relay (FRF.16), Cisco
 * HDLC (RFC 1547 section 4.3.1), ATM (RFC 2684, RFC 2225, LAN emulation), SLIP (RFC 1055), AX.25,
 * DOCSIS, EPON (IEEE 802.3 clause 65).
 */
#include "packet-internal.h"

/* Network layer protocol identifiers, ISO/IEC TR 9577. */
enum {
	NLPID_SNAP = 0x80,
	NLPID_IP6 = 0x8e,
	NLPID_IP4 = 0xcc,
	NLPID_PPP = 0xcf,
};

static struct pm_step after_nlpid(struct pm_cursor *c, struct pm_packet *packet, uint8_t id)
{
	const uint8_t *h;

	switch (id) {
	case NLPID_IP4:
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
	case NLPID_IP6:
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP6);
	case NLPID_PPP:
		return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
	case NLPID_SNAP:
		h = pm_cursor_take(c, 5);
		if (!h)
			return pm_end_short(packet, c);
		if (h[0] == 0 && pm_be16(h + 1) == 0)
			return pm_next_ethertype(packet, pm_be16(h + 3));
		/* RFC 2427 section 4.2: bridged Ethernet, with its check sequence and without */
		if (h[0] == 0 && pm_be16(h + 1) == 0x80c2 && (h[4] == 1 || h[4] == 7) && h[3] == 0)
			return pm_next_link(packet, PM_LINKTYPE_ETHERNET);
		return pm_end(packet, PM_VERDICT_NON_IP);
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}

/*
 * Two to four bytes of address, of which the last has its lowest bit set. Then the control of
 * unnumbered information and a protocol, or, as Cisco has it, an ethertype at once.
 */
struct pm_step pm_decode_frame_relay(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h;
	uint8_t byte = pm_cursor_u8(c);

	for (int i = 1; i < 4 && !(byte & 1); i++)
		byte = pm_cursor_u8(c);
	h = pm_cursor_peek(c, 0, 2);
	if (!h) {
		pm_cursor_take(c, 2);
		return pm_end_short(packet, c);
	}
	if (!(byte & 1))
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h[0] != 0x03) {
		pm_cursor_take(c, 2);
		return pm_next_ethertype(packet, pm_be16(h));
	}
	pm_cursor_take(c, 1);
	byte = pm_cursor_u8(c);
	if (byte == 0) /* padding, to make the rest even */
		byte = pm_cursor_u8(c);
	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	return after_nlpid(c, packet, byte);
}

struct pm_step pm_decode_frame_relay_directed(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 1))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_FRAME_RELAY);
}

/* FRF.16: which part of a frame, or control; the first part has the head. */
struct pm_step pm_decode_multilink(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 2);

	if (!h)
		return pm_end_short(packet, c);
	if (!(h[0] & 0x80) || h[0] & 0x20)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_link(packet, PM_LINKTYPE_FRAME_RELAY);
}

struct pm_step pm_decode_cisco_hdlc(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4); /* address, control, type */

	if (!h)
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, pm_be16(h + 2));
}

struct pm_step pm_decode_cisco_hdlc_directed(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 1))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_CISCO_HDLC);
}

/*
 * RFC 2684: LLC, where bridged frames follow two bytes of padding, or an ISO protocol behind
 * FE-FE-03, or, without any head, IP, which its first nibble tells.
 */
struct pm_step pm_decode_atm(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (!h) {
		pm_cursor_take(c, 1);
		return pm_end_short(packet, c);
	}
	if (h[0] >> 4 == 4 || h[0] >> 4 == 6)
		return pm_next_by_nibble(c, packet);
	if (h[0] != 0xfe)
		return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
	h = pm_cursor_take(c, 4);
	if (!h)
		return pm_end_short(packet, c);
	if (h[1] != 0xfe || h[2] != 0x03)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return after_nlpid(c, packet, h[3]);
}

/* Classical IP (RFC 2225): LLC, or, on a channel of its own, IP and nothing else. */
struct pm_step pm_decode_atm_clip(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && h[0] == 0xaa)
		return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
	if (h && h[0] >> 4 == 6)
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP6);
	return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
}

/* LAN emulation: the number of the client, then the frame. */
struct pm_step pm_decode_lane(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 2);

	if (!h)
		return pm_end_short(packet, c);
	if (pm_be16(h) == 0xff00) /* the emulation's own control */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_link(packet, PM_LINKTYPE_ETHERNET);
}

/* SunATM: direction and kind of traffic, virtual path, virtual channel. */
struct pm_step pm_decode_sunatm(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	switch (h[0] & 0x0f) {
	case 1:
		return pm_next_link(packet, PM_LINKTYPE_LANE);
	case 2:
		return pm_next_link(packet, PM_LINKTYPE_ATM);
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}

/* BPF puts the direction and the compressed header before what has been made whole again. */
struct pm_step pm_decode_slip(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 16))
		return pm_end_short(packet, c);
	return pm_next_by_nibble(c, packet);
}

struct pm_step pm_decode_slip_bsdos(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 24))
		return pm_end_short(packet, c);
	return pm_next_by_nibble(c, packet);
}

/* Addresses of seven bytes, the last byte of the last odd: two, and at most eight on the way. */
struct pm_step pm_decode_ax25(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = NULL;

	for (int i = 0; i < 10; i++) {
		h = pm_cursor_take(c, 7);
		if (!h)
			return pm_end_short(packet, c);
		if (h[6] & 1)
			break;
	}
	if (!(h[6] & 1))
		return pm_end(packet, PM_VERDICT_NON_IP);
	h = pm_cursor_take(c, 2);
	if (!h)
		return pm_end_short(packet, c);
	/* unnumbered information, poll bit or not */
	if ((h[0] & 0xef) != 0x03 || h[1] != NLPID_IP4)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
}

struct pm_step pm_decode_ax25_kiss(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 1);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] & 0x0f) /* a command to the modem */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_link(packet, PM_LINKTYPE_AX25);
}

/*
 * DOCSIS MAC (ITU-T J.112): frame control, a parameter, a length, an extended header as long as the
 * parameter says, a check sequence. Encrypted payload shows its addresses only.
 */
struct pm_step pm_decode_docsis(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4), *extended = NULL;
	size_t size;

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] >> 1 != 0) /* not a packet PDU: ATM, isolated, of the MAC itself */
		return pm_end(packet, PM_VERDICT_NON_IP);
	size = h[0] & 1 ? h[1] : 0;
	if (size)
		extended = pm_cursor_take(c, size);
	if ((size && !extended) || !pm_cursor_take(c, 2))
		return pm_end_short(packet, c);
	/* privacy, up (3) or down (4), leads the extended header */
	if (size >= 3 && (extended[0] >> 4 == 3 || extended[0] >> 4 == 4) && extended[2] & 0x80)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_link(packet, PM_LINKTYPE_ETHERNET);
}

/* The preamble, with the logical link in it. */
struct pm_step pm_decode_epon(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!pm_cursor_take(c, 8))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_ETHERNET);
}
