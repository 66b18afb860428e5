/* SPDX-License-Identifier: MIT */
/*
 * Ethernet (IEEE 802.3), its VLAN tags (802.1Q, 802.1ad), LLC and SNAP (802.2, 802, RFC 1042).
 */
#include "packet-internal.h"

#define TYPE_MIN 1536
#define HEADER 14

/*
 * Cisco ISL (Inter-Switch Link) is told from Ethernet by the first five bytes of the destination.
 * Cisco's papers have 01 and 03 as the first, other decoders 0c. What stands in the place of a type
 * is a length there, so frames with a type never pay for this.
 */
static bool is_isl(const uint8_t *h)
{
	bool first = h[0] == 0x01 || h[0] == 0x03 || h[0] == 0x0c;

	return first && h[1] == 0x00 && h[2] == 0x0c && h[3] == 0x00 && h[4] == 0x00;
}

/* Of Ethernet in Ethernet the innermost tells whether it went to a group: switches flood others. */
struct pm_step pm_decode_ethernet(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, HEADER);
	uint16_t value;

	if (!h)
		return pm_end_short(packet, c);
	value = pm_be16(h + 12);
	if (value < TYPE_MIN && is_isl(h)) {
		pm_limit(c, packet, value);
		return pm_next_isl(packet, h[5] >> 4);
	}
	packet->notes &= (uint8_t)~PM_NOTE_GROUP;
	if (h[0] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_type_or_length(c, packet, value);
}

/* Whether a type or length, with @left bytes behind it that begin with @after, leads on to IP. */
static bool leads_on(struct pm_packet *packet, uint16_t value, size_t left, const uint8_t *after)
{
	uint32_t llc = (uint32_t)after[0] << 16 | pm_be16(after + 1);

	if (value <= 1500)
		return value <= left && (llc == 0xaaaa03 || llc == 0x060603);
	if (value == PM_ETHERTYPE_IP4)
		return after[0] >> 4 == 4;
	if (value == PM_ETHERTYPE_IP6)
		return after[0] >> 4 == 6;
	return pm_next_ethertype(packet, value).fn != NULL;
}

bool pm_ethernet_at(const struct pm_cursor *c, struct pm_packet *packet, size_t offset)
{
	const uint8_t *h = pm_cursor_peek(c, offset, PM_ETHERNET_TELLS);

	return h && leads_on(packet, pm_be16(h + 12), c->wire - offset - HEADER, h + HEADER);
}

/* Id 0 names no VLAN, only a priority: behind such a tag the next one is the outermost. */
struct pm_step pm_decode_vlan(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (packet->vlan == 0)
		packet->vlan = pm_be16(h) & 0x0fff;
	return pm_next_type_or_length(c, packet, pm_be16(h + 2));
}

/* RFC 2684: a whole frame behind two bytes of padding, with its check sequence (1) or without. */
static struct pm_step bridged(struct pm_cursor *c, struct pm_packet *packet, uint16_t id)
{
	if (id != 0x0001 && id != 0x0007)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!pm_cursor_take(c, 2))
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
}

/* IP stands in unnumbered information only: as itself (RFC 948), or by its ethertype in SNAP. */
struct pm_step pm_decode_llc(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 3);
	uint32_t sap_control, oui;

	if (!h)
		return pm_end_short(packet, c);
	sap_control = (uint32_t)h[0] << 16 | pm_be16(h + 1);
	if (sap_control == 0x060603)
		return pm_next_ethertype(packet, PM_ETHERTYPE_IP4);
	if (sap_control != 0xaaaa03)
		return pm_end(packet, PM_VERDICT_NON_IP);
	h = pm_cursor_take(c, 5);
	if (!h)
		return pm_end_short(packet, c);
	oui = (uint32_t)h[0] << 16 | pm_be16(h + 1);
	if (oui == 0x0080c2)
		return bridged(c, packet, pm_be16(h + 3));
	if (oui != 0x000000 && oui != 0x0000f8) /* RFC 1042; 802.1H tunnels */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_ethertype(packet, pm_be16(h + 3));
}
