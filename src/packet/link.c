/* SPDX-License-Identifier: MIT */
/*
 * Link types without a standard of their own: BSD loopback, raw IP, Linux "cooked".
 * pcap-linktype(7).
 */
#include "packet-internal.h"

/*
 * The address family is in the byte order of the machine that captured, or of the network
 * (LOOP, and some that say NULL). No family needs more than 16 bits, so the order shows.
 */
struct pm_step pm_decode_loopback(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (pm_be16(h) == 0)
		return pm_next_family(packet, pm_be16(h + 2));
	if (pm_be16(h + 2) == 0)
		return pm_next_family(packet, (uint16_t)(h[1] << 8 | h[0]));
	return pm_end(packet, PM_VERDICT_NON_IP);
}

struct pm_step pm_decode_raw(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_next_by_nibble(c, packet);
}

/* @hardware (ARPHRD_) decides whether @protocol is an ethertype; below 1536 it is Linux's own. */
static struct pm_step cooked(struct pm_packet *packet, uint16_t type, uint16_t hardware,
			     uint16_t protocol)
{
	if (type == 1 || type == 2) /* broadcast, multicast */
		packet->notes |= PM_NOTE_GROUP;
	switch (hardware) {
	case 770: /* frame relay */
	case 803: /* 802.11 with radiotap */
	case 824: /* netlink */
		return pm_end(packet, PM_VERDICT_NON_IP);
	default:
		break;
	}
	if (protocol == 0x0004) /* ETH_P_802_2 */
		protocol = PM_ETHERTYPE_LLC;
	return pm_next_ethertype(packet, protocol);
}

/* Type (2), hardware (2), address length (2), address (8), protocol (2). */
struct pm_step pm_decode_sll(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 16);

	if (!h)
		return pm_end_short(packet, c);
	return cooked(packet, pm_be16(h), pm_be16(h + 2), pm_be16(h + 14));
}

/* Protocol (2), 0 (2), interface (4), hardware (2), type (1), address length (1), address (8). */
struct pm_step pm_decode_sll2(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 20);

	if (!h)
		return pm_end_short(packet, c);
	return cooked(packet, h[10], pm_be16(h + 8), pm_be16(h));
}
