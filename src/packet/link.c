/* SPDX-License-Identifier: MIT */
/*
 * Link types without a standard of their own: BSD loopback, raw IP, Linux "cooked".
 * pcap-linktype(7).
 */
#include "packet-internal.h"

#define ETH_P_802_2 0x0004

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

/*
 * A device that monitors 802.11 hands up whole frames under the protocol of LLC. Where a frame has
 * its version, which is 0, LLC that carries IP has 2.
 */
static bool is_monitored(const struct pm_cursor *c, uint16_t protocol)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	return protocol == ETH_P_802_2 && !(h && (h[0] & 0x03) == 2);
}

/* @hardware (ARPHRD_) decides whether @protocol is an ethertype; below 1536 it is Linux's own. */
static struct pm_step cooked(const struct pm_cursor *c, struct pm_packet *packet, uint16_t type,
			     uint16_t hardware, uint16_t protocol)
{
	if (type == 1 || type == 2) /* broadcast, multicast */
		packet->notes |= PM_NOTE_GROUP;
	switch (hardware) {
	case 770: /* frame relay, whatever the protocol says */
		return pm_next_link(packet, PM_LINKTYPE_FRAME_RELAY);
	case 824: /* netlink */
		return pm_end(packet, PM_VERDICT_NON_IP);
	case 801: /* 802.11 */
		if (is_monitored(c, protocol))
			return pm_next_link(packet, PM_LINKTYPE_WIFI);
		break;
	case 802: /* 802.11 with Prism or AVS */
		if (is_monitored(c, protocol))
			return pm_next_link(packet, PM_LINKTYPE_WIFI_PRISM);
		break;
	case 803: /* 802.11 with radiotap, whatever the protocol says */
		return pm_next_link(packet, PM_LINKTYPE_WIFI_RADIOTAP);
	default:
		break;
	}
	if (protocol == ETH_P_802_2)
		protocol = PM_ETHERTYPE_LLC;
	return pm_next_ethertype(packet, protocol);
}

/* Type (2), hardware (2), address length (2), address (8), protocol (2). */
struct pm_step pm_decode_sll(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 16);

	if (!h)
		return pm_end_short(packet, c);
	return cooked(c, packet, pm_be16(h), pm_be16(h + 2), pm_be16(h + 14));
}

/* Protocol (2), 0 (2), interface (4), hardware (2), type (1), address length (1), address (8). */
struct pm_step pm_decode_sll2(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 20);

	if (!h)
		return pm_end_short(packet, c);
	return cooked(c, packet, h[10], pm_be16(h + 8), pm_be16(h));
}
