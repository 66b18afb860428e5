/* SPDX-License-Identifier: MIT */
/*
 * GRE (RFC 2784, 2890; with routing RFC 1701; with PPP, for PPTP, RFC 2637), so NVGRE (RFC 7637),
 * and what it carries that nothing else does: mirrored frames (ERSPAN,
 * draft-foschiano-erspan-03), redirected packets (WCCP), Cisco MetaData, frames of Aruba's access
 * points.
 */
#include "packet-internal.h"

enum {
	CHECKSUM = 0x8000,
	ROUTING = 0x4000,
	KEY = 0x2000,
	SEQUENCE = 0x1000,
	ACKNOWLEDGED = 0x0080, /* version 1 */
	VERSION = 0x0007,
	ROUTES_MAX = 16, /* real routes had a handful of hops */
	TYPE_ERSPAN = 0x88be,
};

/*
 * Source routes: family (2), offset (1), length (1) and as many bytes; one of length 0 is the
 * last.
 */
static bool routes(struct pm_cursor *c, struct pm_packet *packet)
{
	for (int i = 0; i < ROUTES_MAX; i++) {
		const uint8_t *h = pm_cursor_take(c, 4);

		if (h && h[3] == 0)
			return true;
		if (!h || !pm_cursor_take(c, h[3])) {
			pm_end_short(packet, c);
			return false;
		}
	}
	pm_end(packet, PM_VERDICT_MALFORMED);
	return false;
}

/* Aruba's types for 802.11 frames: 8200, 8210 ... 8370. */
static bool is_aruba(uint16_t type)
{
	return type >= 0x8200 && type <= 0x8370 && (type & 0x000f) == 0;
}

/* Flags (2), type (2), then what the flags say: checksum and offset, key, sequence, routes. */
static struct pm_step version_0(struct pm_cursor *c, struct pm_packet *packet, uint16_t flags,
				uint16_t type)
{
	size_t size = (flags & (CHECKSUM | ROUTING) ? 4U : 0U) + (flags & KEY ? 4U : 0U) +
		      (flags & SEQUENCE ? 4U : 0U);

	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	if (flags & ROUTING && !routes(c, packet))
		return (struct pm_step){ NULL };
	if (type == TYPE_ERSPAN && !(flags & SEQUENCE)) /* I: nothing before the frame */
		return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
	if (is_aruba(type))
		return pm_next_link(packet, PM_LINKTYPE_WIFI);
	return pm_next_gre(packet, type);
}

/* The key is the payload's length (2) and the call (2). Without a sequence there is no payload. */
static struct pm_step version_1(struct pm_cursor *c, struct pm_packet *packet, uint16_t flags,
				uint16_t type)
{
	const uint8_t *key;

	if (type != PM_ETHERTYPE_PPP || !(flags & KEY) || !(flags & SEQUENCE))
		return pm_end(packet, PM_VERDICT_NON_IP);
	key = pm_cursor_take(c, 4);
	if (!key || !pm_cursor_take(c, flags & ACKNOWLEDGED ? 8 : 4))
		return pm_end_short(packet, c);
	pm_limit(c, packet, pm_be16(key));
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}

struct pm_step pm_decode_gre(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	switch (pm_be16(h) & VERSION) {
	case 0:
		return version_0(c, packet, pm_be16(h), pm_be16(h + 2));
	case 1:
		return version_1(c, packet, pm_be16(h), pm_be16(h + 2));
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}

/*
 * Version and VLAN (2), class and session (2), then in version 1 (II): index (4); in version 2
 * (III): time (4), group (2), kind of frame and flags (2), of which the last says that 8 bytes of
 * the platform's own follow.
 */
struct pm_step pm_decode_erspan(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { II = 1,
	       III = 2,
	       KIND_ETHERNET = 0,
	       KIND_IP = 2 };
	const uint8_t *h = pm_cursor_take(c, 8);
	uint8_t version, kind = KIND_ETHERNET;

	if (!h)
		return pm_end_short(packet, c);
	version = h[0] >> 4;
	if (version == III) {
		h = pm_cursor_take(c, 4);
		if (!h || (h[3] & 1 && !pm_cursor_take(c, 8)))
			return pm_end_short(packet, c);
		kind = h[2] >> 2 & 0x1f;
	} else if (version != II) {
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
	if (kind == KIND_IP)
		return pm_next_by_nibble(c, packet);
	return kind == KIND_ETHERNET ? pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED)
				     : pm_end(packet, PM_VERDICT_NON_IP);
}

/* Redirected IPv4, in version 2 behind four bytes of flags, service and buckets. */
struct pm_step pm_decode_wccp(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *first = pm_cursor_peek(c, 0, 1);

	if (first && first[0] >> 4 != 4)
		pm_cursor_take(c, 4);
	return pm_next_by_nibble(c, packet);
}

/* Cisco MetaData: type (2), version (1), length (1), option (2), security group (2). */
struct pm_step pm_decode_gre_cmd(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);

	if (!h)
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, pm_be16(h));
}
