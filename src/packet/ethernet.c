/* SPDX-License-Identifier: MIT */
/*
 * Ethernet (IEEE 802.3), its tags (802.1Q, 802.1ad), LLC and SNAP (802.2, 802, RFC 1042),
 * MPLS label stacks (RFC 3032).
 */
#include "packet-internal.h"

struct pm_step pm_decode_ethernet(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 14);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] & 1)
		packet->notes |= PM_NOTE_GROUP;
	return pm_next_type_or_length(c, packet, pm_be16(h + 12));
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
	if (oui != 0x000000 && oui != 0x0000f8) /* RFC 1042; 802.1H tunnels */
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_ethertype(packet, pm_be16(h + 3));
}

/* No label says what it labels; where the first nibble is not IP's, it may be a pseudowire. */
struct pm_step pm_decode_mpls(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (h[2] & 1) /* bottom of the stack */
		return pm_next_by_nibble(c, packet);
	return pm_next_ethertype(packet, PM_ETHERTYPE_MPLS);
}
