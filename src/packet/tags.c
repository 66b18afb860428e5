/* SPDX-License-Identifier: MIT */
/*
 * What networks of bridges put before a frame or into it: backbone tags (802.1ah), redundancy tags
 * (802.1CB, IEC 62439-3), extended ports (802.1BR, VN-Tag), MACsec (802.1AE), service chains (NSH,
 * RFC 8300), TRILL (RFC 6325), Cisco's ISL, FabricPath and MetaData, Arista's time stamps (AVSP),
 * Marvell's switch tag as Linux writes it (tag_dsa.c), meshes of batman-adv (batadv_packet.h).
 */
#include "packet-internal.h"

/* A tag of @size bytes whose last two are the type, or the length, of what it stands before. */
static struct pm_step tag(struct pm_cursor *c, struct pm_packet *packet, size_t size)
{
	const uint8_t *h = pm_cursor_take(c, size);

	if (!h)
		return pm_end_short(packet, c);
	return pm_next_type_or_length(c, packet, pm_be16(h + size - 2));
}

/*
 * Behind addresses and length: LLC (3), high bytes of the source (3), VLAN and a bit for spanning
 * tree (2), index (2), reserved (2); then a frame with its own check sequence.
 */
struct pm_step pm_decode_isl(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 12);

	if (!h)
		return pm_end_short(packet, c);
	if (packet->vlan == 0)
		packet->vlan = pm_be16(h + 6) >> 1 & 0x0fff;
	return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
}

/* Priority and flags (1), service (3). The customer's frame follows, from its addresses on. */
struct pm_step pm_decode_itag(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_before_frame(c, packet, 4);
}

/*
 * R-TAG: reserved (2), sequence (2). HSR: path and size (2), sequence (2). VN-Tag: direction,
 * destination, source (4). All: type (2). PRP has a trailer instead, which is no one's payload.
 */
struct pm_step pm_decode_six(struct pm_cursor *c, struct pm_packet *packet)
{
	return tag(c, packet, 6);
}

/* Priority and ingress port (2), group and port (2), their extensions (2), type (2). */
struct pm_step pm_decode_etag(struct pm_cursor *c, struct pm_packet *packet)
{
	return tag(c, packet, 8);
}

/* Version (1), length (1), option (2), security group (2), type (2). */
struct pm_step pm_decode_cmd(struct pm_cursor *c, struct pm_packet *packet)
{
	return tag(c, packet, 8);
}

/*
 * Reserved (2), mode, whether tagged, device (1), port (1), priority and VLAN (2), type (2). No
 * registered ethertype stands before it, so what the tag can't be is taken for something else.
 */
struct pm_step pm_decode_edsa(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 6);

	if (h && (pm_be16(h) != 0 || h[2] >> 6 == 2))
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h && h[2] & 0x20 && packet->vlan == 0)
		packet->vlan = pm_be16(h + 4) & 0x0fff;
	return tag(c, packet, 8);
}

/*
 * Flags (1), short length (1), packet number (4), perhaps the channel's name (8). Then data, in
 * clear and unchanged only if both flags of encryption are 0, and a check value of 16 bytes.
 */
struct pm_step pm_decode_macsec(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { VERSION = 0x80, NAMED = 0x20, ENCRYPTED = 0x08, CHANGED = 0x04, CHECK_VALUE = 16 };
	const uint8_t *h = pm_cursor_take(c, 6);
	size_t length;

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] & (VERSION | ENCRYPTED | CHANGED))
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (h[0] & NAMED && !pm_cursor_take(c, 8))
		return pm_end_short(packet, c);
	length = h[1] & 0x3f;
	if (length == 0) /* 48 bytes or more: up to the check value */
		length = c->wire > CHECK_VALUE ? c->wire - CHECK_VALUE : 0;
	pm_limit(c, packet, length);
	return tag(c, packet, 2);
}

/* Forwarding tree and time to live (2). Ethernet's own addresses before it name switches. */
struct pm_step pm_decode_fabricpath(struct pm_cursor *c, struct pm_packet *packet)
{
	return pm_before_frame(c, packet, 2);
}

/* Version, size of options in 4-byte units, hop count (2), egress (2), ingress (2), options. */
struct pm_step pm_decode_trill(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 6);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] >> 6 != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_before_frame(c, packet, (size_t)(pm_be16(h) >> 6 & 0x1f) * 4);
}

/* Version, flags, time to live, size of all in 4-byte units (2), kind (1), next (1), path (4). */
struct pm_step pm_decode_nsh(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);
	size_t size;

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] >> 6 != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	size = (size_t)(h[1] & 0x3f) * 4;
	if (size < 8)
		return pm_end(packet, PM_VERDICT_MALFORMED);
	if (!pm_cursor_take(c, size - 8))
		return pm_end_short(packet, c);
	return pm_next_nsh(packet, h[3]);
}

/* Kind (2), format (2), time of 8 or 6 bytes, type (2). */
struct pm_step pm_decode_avsp(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	if (pm_be16(h) != 1 || (h[3] != 0x10 && h[3] != 0x20))
		return pm_end(packet, PM_VERDICT_NON_IP);
	return tag(c, packet, h[3] == 0x10 ? 10 : 8);
}

/* Kind (1), version (1); of version 15 three kinds carry frames, all else is the mesh's own. */
struct pm_step pm_decode_batman(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 2);

	if (!h)
		return pm_end_short(packet, c);
	if (h[1] != 15)
		return pm_end(packet, PM_VERDICT_NON_IP);
	switch (h[0]) {
	case 0x01: /* broadcast: sequence and originator */
		return pm_before_frame(c, packet, 12);
	case 0x40: /* unicast: destination */
		return pm_before_frame(c, packet, 8);
	case 0x42: /* unicast with a source */
		return pm_before_frame(c, packet, 16);
	default:
		return pm_end(packet, PM_VERDICT_NON_IP);
	}
}
