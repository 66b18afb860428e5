/* SPDX-License-Identifier: MIT */
/*
 * MPLS label stacks (RFC 3032), and what no label names: IP, a pseudowire that carries Ethernet
 * (RFC 4448) or an associated channel (RFC 4385, 5586), told apart by the first nibble (RFC 4928).
 */
#include "packet-internal.h"

enum {
	LABEL_GAL = 13, /* RFC 5586: an associated channel follows */
	CONTROL_WORD = 4,
};

/*
 * An associated channel's header: nibble 1, version (4 bits), reserved (1), type (2). Its types for
 * IP are the numbers of PPP.
 */
static struct pm_step channel(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] != 0x10)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_channel(packet, pm_be16(h + 2));
}

/*
 * Nothing in a frame says what a pseudowire carries, nor whether a control word comes first, so it
 * is Ethernet where its type says so. The control word is 0 but for a sequence number, so where
 * both ways make sense a start of two zeroes means that there is one.
 */
static struct pm_step pseudowire(struct pm_cursor *c, struct pm_packet *packet)
{
	size_t needed = CONTROL_WORD + PM_ETHERNET_TELLS;
	const uint8_t *h = pm_cursor_peek(c, 0, c->wire < needed ? c->wire : needed);
	bool word, plain;

	if (!h) {
		pm_cursor_take(c, c->held + 1);
		return pm_end_short(packet, c);
	}
	plain = pm_ethernet_at(c, packet, 0);
	word = h[0] >> 4 == 0 && pm_ethernet_at(c, packet, CONTROL_WORD);
	if (plain && word)
		plain = pm_be16(h) != 0;
	if (!plain && !word)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!plain)
		pm_cursor_take(c, CONTROL_WORD);
	return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
}

struct pm_step pm_decode_mpls(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);
	const uint8_t *first;

	if (!h)
		return pm_end_short(packet, c);
	if (!(h[2] & 1)) /* not the bottom of the stack */
		return pm_next_ethertype(packet, PM_ETHERTYPE_MPLS);
	first = pm_cursor_peek(c, 0, 1);
	if (first && (first[0] >> 4 == 1 || pm_be32(h) >> 12 == LABEL_GAL))
		return channel(c, packet);
	if (first && first[0] >> 4 != 4 && first[0] >> 4 != 6)
		return pseudowire(c, packet);
	return pm_next_by_nibble(c, packet);
}
