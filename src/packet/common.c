/* SPDX-License-Identifier: MIT */
/*
 * The stacks that most frames have, tagged or not, read in one go into one register. Whatever else
 * a frame is, or is not quite, gets 0 and goes the general way.
 */
#include "packet-internal.h"

enum {
	ETHERNET = 14,
	IP4 = 20,
	IP6 = 40,
	PORTS = 4,
	TCP_FLAGS = 13,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	TAG = 4,
	TAGS_MAX = 2,
};

_Static_assert(PM_NOTE_GROUP == 1 << 1 && PM_NOTE_TCP_FLAGS == 1 << 3 && PM_TRANSPORT_TCP == 0 &&
		       PM_TRANSPORT_UDP == 1,
	       "pm_quick_transport puts them in their places");

static inline size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * The transport header at @h; @size bytes of it belong to the datagram and are held. Without
 * branches between TCP and UDP: which of them comes next nobody can predict.
 */
static inline pm_brief transport(const uint8_t *h, size_t size, uint8_t protocol, bool group,
				 uint64_t ip_version)
{
	bool tcp = protocol == PROTOCOL_TCP;
	uint64_t flags, notes, number = tcp ? PM_TRANSPORT_TCP : PM_TRANSPORT_UDP;

	if ((!tcp && protocol != PROTOCOL_UDP) || size < (tcp ? TCP_FLAGS + 1 : PORTS))
		return 0;
	flags = h[tcp ? TCP_FLAGS : 0] & (tcp ? 0xffU : 0);
	notes = (group ? PM_NOTE_GROUP : 0) | (tcp ? PM_NOTE_TCP_FLAGS : 0);
	return pm_be32(h) | number << 32 | notes << 40 | flags << 48 | ip_version << 56;
}

/* @held bytes at @h of @wire, the first IP4 of them held. */
static inline pm_brief ip4(const uint8_t *h, size_t held, size_t wire, bool group)
{
	size_t total = pm_be16(h + 2);
	uint32_t dst = pm_be32(h + 16);

	if (h[0] != 0x45 || (pm_be16(h + 6) & 0x3fff) != 0 || total < IP4 || total > wire)
		return 0;
	group |= dst >= 0xe0000000 && (dst < 0xf0000000 || dst == UINT32_MAX);
	return transport(h + IP4, least(held, total) - IP4, h[9], group, 4);
}

static inline pm_brief ip6(const uint8_t *h, size_t held, size_t wire, bool group)
{
	size_t payload = pm_be16(h + 4);

	if (held < IP6 || h[0] >> 4 != 6 || payload == 0 || payload > wire - IP6)
		return 0;
	return transport(h + IP6, least(held - IP6, payload), h[6], group || h[24] == 0xff, 6);
}

/* IP of @type, the first bytes of which at @h are held. */
static inline pm_brief ip(const uint8_t *h, size_t held, size_t wire, uint16_t type, bool group)
{
	if (type == PM_ETHERTYPE_IP4)
		return ip4(h, held, wire, group);
	if (type == PM_ETHERTYPE_IP6)
		return ip6(h, held, wire, group);
	return 0;
}

static bool is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200 ||
	       type == 0x9300;
}

/* The same behind one VLAN tag or two. */
static PM_OUT_OF_LINE pm_brief tagged(const struct pm_cursor *c, uint16_t type, bool group)
{
	size_t at = ETHERNET;
	uint64_t tags = 0;
	pm_brief brief;

	for (; tags < TAGS_MAX && is_tag(type); tags++) {
		const uint8_t *h = pm_cursor_peek(c, at, TAG + IP4);

		if (!h)
			return 0;
		type = pm_be16(h + 2);
		at += TAG;
	}
	brief = ip(c->at + at, c->held - at, c->wire - at, type, group);
	return brief ? brief | tags << 60 : 0;
}

pm_brief pm_packet_brief(const struct pm_link *link, const uint8_t *bytes, size_t held, size_t wire)
{
	const struct pm_cursor c = pm_cursor_init(bytes, held, wire);
	const uint8_t *h = pm_cursor_peek(&c, 0, ETHERNET + IP4);
	pm_brief quick;
	bool group;
	uint16_t type;

	if (link != pm_link_ethernet || !h)
		return 0;
	quick = pm_packet_quick(bytes, held, wire);
	if (!quick)
		quick = pm_packet_quick_ip6(bytes, held, wire);
	if (quick)
		return quick;
	group = h[0] & 1;
	type = pm_be16(h + 12);
	if (type != PM_ETHERTYPE_IP4 && type != PM_ETHERTYPE_IP6)
		return is_tag(type) ? tagged(&c, type, group) : 0;
	return ip(h + ETHERNET, c.held - ETHERNET, c.wire - ETHERNET, type, group);
}
