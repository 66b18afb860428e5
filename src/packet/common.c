/* SPDX-License-Identifier: MIT */
/*
 * The stacks that most frames have, read in one go: Ethernet, IPv4 without options or IPv6 without
 * extension headers, TCP or UDP, whole and not a fragment. Whatever else it is, or is not quite,
 * goes the general way, which gives the same answer for these too: a test holds the two together.
 */
#include <string.h>

#include "packet-internal.h"

enum {
	ETHERNET = 14,
	IP4 = 20,
	IP6 = 40,
	PORTS = 4,
	TCP_FLAGS = 13,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
};

/*
 * The transport header at @h; @size bytes of it belong to the datagram and are held. Without branches
 * between TCP and UDP: which of them comes next nobody can predict.
 */
static inline bool transport(const uint8_t *h, size_t size, uint8_t protocol, struct pm_packet *packet)
{
	bool tcp = protocol == PROTOCOL_TCP;

	if ((!tcp && protocol != PROTOCOL_UDP) || size < (tcp ? TCP_FLAGS + 1 : PORTS))
		return false;
	packet->verdict = PM_VERDICT_PORTS;
	packet->transport = (uint8_t)(tcp ? PM_TRANSPORT_TCP : PM_TRANSPORT_UDP);
	packet->ip_protocol = protocol;
	packet->src_port = pm_be16(h);
	packet->dst_port = pm_be16(h + 2);
	packet->notes |= (uint8_t)(tcp ? PM_NOTE_TCP_FLAGS : 0);
	packet->tcp_flags = (uint8_t)(h[tcp ? TCP_FLAGS : 0] & (tcp ? 0xff : 0));
	packet->vlan = 0;
	packet->fragment_id = 0;
	packet->fragment_protocol = 0;
	return true;
}

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* @held bytes at @h of @wire, the first IP4 of them held. */
static inline bool ip4(const uint8_t *h, size_t held, size_t wire, struct pm_packet *packet)
{
	size_t total = pm_be16(h + 2);
	uint32_t dst = pm_be32(h + 16);

	if (h[0] != 0x45 || (pm_be16(h + 6) & 0x3fff) != 0 || total < IP4 || total > wire)
		return false;
	if (dst >> 28 == 0xe || dst == UINT32_MAX)
		packet->notes |= PM_NOTE_GROUP;
	packet->ip_version = 4;
	packet->src = packet->dst = (struct pm_address){ { 0 } };
	memcpy(packet->src.bytes, h + 12, 4);
	memcpy(packet->dst.bytes, h + 16, 4);
	return transport(h + IP4, least(held, total) - IP4, h[9], packet);
}

static inline bool ip6(const uint8_t *h, size_t held, size_t wire, struct pm_packet *packet)
{
	size_t payload = pm_be16(h + 4);

	if (held < IP6 || h[0] >> 4 != 6 || payload == 0 || payload > wire - IP6)
		return false;
	if (h[24] == 0xff)
		packet->notes |= PM_NOTE_GROUP;
	packet->ip_version = 6;
	memcpy(packet->src.bytes, h + 8, 16);
	memcpy(packet->dst.bytes, h + 24, 16);
	return transport(h + IP6, least(held - IP6, payload), h[6], packet);
}

/* True, with all of @packet filled; false, with @packet undefined, for anything but the plain stacks. */
static inline bool common(const uint8_t *bytes, size_t held, size_t wire, struct pm_packet *packet)
{
	const struct pm_cursor c = pm_cursor_init(bytes, held, wire);
	const uint8_t *h = pm_cursor_peek(&c, 0, ETHERNET + IP4);
	uint16_t type;

	if (!h)
		return false;
	type = pm_be16(h + 12);
	packet->notes = h[0] & 1 ? PM_NOTE_GROUP : 0;
	if (type == PM_ETHERTYPE_IP4)
		return ip4(h + ETHERNET, c.held - ETHERNET, c.wire - ETHERNET, packet);
	if (type == PM_ETHERTYPE_IP6)
		return ip6(h + ETHERNET, c.held - ETHERNET, c.wire - ETHERNET, packet);
	return false;
}

void pm_packet_decode(const struct pm_link *link, const uint8_t *bytes, size_t held, size_t wire,
		      struct pm_packet *ret_packet)
{
	if (link != pm_link_ethernet || !common(bytes, held, wire, ret_packet))
		pm_packet_decode_plainly(link, bytes, held, wire, ret_packet);
}
