/* SPDX-License-Identifier: MIT */
/*
 * Wireless LAN: frames of IEEE 802.11-2020 (clause 9), and what systems put before them: radiotap
 * (radiotap.org), PPI (CACE 1.0.1), Prism of wlan-ng, AVS.
 */
#include "packet-internal.h"

enum {
	CHECK_SEQUENCE = 4, /* bytes behind a frame, where the capture has them */

	/* Second byte of frame control, 9.2.4.1. */
	TO_DS = 0x01,
	FROM_DS = 0x02,
	PROTECTED = 0x40,
	ORDER = 0x80, /* in QoS data: HT control is there */

	/* QoS control, 9.2.4.5. */
	AGGREGATE = 0x0080,
	MESH = 0x0100,
};

/* The header nearest to IP says where the frame goes, as with Ethernet. */
static void note_destination(struct pm_packet *packet, const uint8_t *address)
{
	packet->notes &= (uint8_t)~PM_NOTE_GROUP;
	if (address[0] & 1)
		packet->notes |= PM_NOTE_GROUP;
}

static void cut_check_sequence(struct pm_cursor *c, struct pm_packet *packet)
{
	pm_limit(c, packet, c->wire > CHECK_SEQUENCE ? c->wire - CHECK_SEQUENCE : 0);
}

/*
 * The bit in QoS control means other things outside of meshes, so mesh control must also look like
 * it: all bits reserved but two, which count addresses and are never 3. LLC with IP never does.
 */
static bool is_mesh(const struct pm_cursor *c)
{
	const uint8_t *flags = pm_cursor_peek(c, 0, 1);

	return flags && flags[0] < 3;
}

/*
 * What a frame carries. 5.1.4: LLC, or, in some bands and by agreement that no frame shows, an
 * ethertype at once; no LLC that carries IP begins like one of these. @uneven: two bytes of padding
 * may come first unannounced, since Prism and AVS have no flag for them; SNAP behind them shows.
 */
static struct pm_step payload(struct pm_cursor *c, struct pm_packet *packet, bool uneven)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 2);
	uint16_t type = h ? pm_be16(h) : 0;

	if (type == PM_ETHERTYPE_IP4 || type == PM_ETHERTYPE_IP6 || type == PM_ETHERTYPE_VLAN) {
		pm_cursor_take(c, 2);
		return pm_next_ethertype(packet, type);
	}
	if (uneven && c->wire >= 5) {
		h = pm_cursor_peek(c, 0, 5);
		if (!h) {
			pm_cursor_take(c, 5);
			return pm_end_short(packet, c);
		}
		if (pm_be16(h + 2) == 0xaaaa && h[4] == 0x03)
			pm_cursor_take(c, 2);
	}
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/*
 * Frame control (2), duration (2), three addresses, sequence (2), then, each if there is one: the
 * fourth address, QoS control (2), HT control (4). @padded: the body begins at four bytes.
 * @swapped: the two bytes of frame control are in the other order.
 */
static struct pm_step frame(struct pm_cursor *c, struct pm_packet *packet, bool padded,
			    bool swapped)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 2);
	size_t size = 24, qos_at = 0;
	uint8_t type, flags;
	uint16_t qos;
	bool mesh;

	if (!h) {
		pm_cursor_take(c, 2);
		return pm_end_short(packet, c);
	}
	type = h[swapped ? 1 : 0];
	flags = h[swapped ? 0 : 1];
	/* version 0, data, and not one of the subtypes without; who has no key sees no more */
	if ((type & 0x0f) != 0x08 || type & 0x40 || flags & PROTECTED)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if ((flags & TO_DS) && (flags & FROM_DS))
		size += 6;
	if (type & 0x80) {
		qos_at = size;
		size += flags & ORDER ? 6 : 2;
	}
	if (padded)
		size = (size + 3) & ~(size_t)3;
	h = pm_cursor_take(c, size);
	if (!h)
		return pm_end_short(packet, c);
	if (h[22] & 0x0f) /* a later fragment: LLC was in the first */
		return pm_end(packet, PM_VERDICT_NON_IP);
	note_destination(packet, flags & TO_DS ? h + 16 : h + 4);
	qos = qos_at ? pm_le16(h + qos_at) : 0;
	mesh = qos & MESH && flags & FROM_DS;
	if (qos & AGGREGATE)
		return pm_next_wifi(packet, mesh ? PM_WIFI_MESH_AGGREGATE : PM_WIFI_AGGREGATE);
	if (mesh && is_mesh(c))
		return pm_next_wifi(packet, PM_WIFI_MESH);
	return payload(c, packet, size % 4 != 0);
}

struct pm_step pm_decode_wifi(struct pm_cursor *c, struct pm_packet *packet)
{
	return frame(c, packet, false, false);
}

struct pm_step pm_decode_wifi_padded(struct pm_cursor *c, struct pm_packet *packet)
{
	return frame(c, packet, true, false);
}

struct pm_step pm_decode_wifi_swapped(struct pm_cursor *c, struct pm_packet *packet)
{
	return frame(c, packet, false, true);
}

/* Flags (1), time to live (1), sequence (4), up to two addresses, of two the destination first. */
struct pm_step pm_decode_wifi_mesh(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);
	size_t addresses = h ? h[0] & 0x03 : 0;

	h = pm_cursor_take(c, 6 + 6 * addresses);
	if (!h)
		return pm_end_short(packet, c);
	if (addresses == 2)
		note_destination(packet, h + 6);
	return payload(c, packet, false);
}

/* Destination, source, length (2), content: the first of them stands for the frame. */
static bool subframe(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 14);

	if (!h)
		return false;
	note_destination(packet, h);
	pm_limit(c, packet, pm_be16(h + 12));
	return true;
}

struct pm_step pm_decode_wifi_aggregate(struct pm_cursor *c, struct pm_packet *packet)
{
	return subframe(c, packet) ? payload(c, packet, false) : pm_end_short(packet, c);
}

/* Each subframe has a mesh control of its own. */
struct pm_step pm_decode_wifi_mesh_aggregate(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!subframe(c, packet))
		return pm_end_short(packet, c);
	return is_mesh(c) ? pm_next_wifi(packet, PM_WIFI_MESH) : payload(c, packet, false);
}

/*
 * Version 0 (1), another byte, the size of all (2) and at least four bytes more, as radiotap and
 * PPI begin: steps past it and lends it. NULL: it is not there, and the verdict is given.
 */
static const uint8_t *sized_header(struct pm_cursor *c, struct pm_packet *packet, size_t *ret_size)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 4);
	size_t size = h ? pm_le16(h + 2) : 4;

	if (h && h[0] != 0) {
		pm_end(packet, PM_VERDICT_NON_IP);
		return NULL;
	}
	if (h && size < 8) {
		pm_end(packet, PM_VERDICT_MALFORMED);
		return NULL;
	}
	h = pm_cursor_take(c, size);
	if (!h)
		pm_end_short(packet, c);
	else
		*ret_size = size;
	return h;
}

/*
 * The flags of a radiotap header of @size bytes, 0 if it has none. Only the first word of presence
 * counts: further ones are about single antennas, or vendors' own. Fields are aligned to their
 * size.
 */
static uint8_t radiotap_flags(const uint8_t *h, size_t size)
{
	enum { TIME = 1U << 0,
	       FLAGS = 1U << 1 };
	const uint32_t more = 1U << 31;
	uint32_t present = pm_le32(h + 4);
	size_t at = 8;

	for (uint32_t word = present; word & more; at += 4) { /* ends at @size */
		if (size - at < 4)
			return 0;
		word = pm_le32(h + at);
	}
	if (!(present & FLAGS))
		return 0;
	if (present & TIME)
		at = ((at + 7) & ~(size_t)7) + 8;
	return at < size ? h[at] : 0;
}

/*
 * Version (1), 0 (1), size of all (2), presence (4 and more), fields; all little-endian. Frames
 * whose check sequence is wrong were on the air like others, and count by what they say.
 */
struct pm_step pm_decode_radiotap(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { HAS_CHECK_SEQUENCE = 0x10, PADDED = 0x20 };
	size_t size;
	const uint8_t *h = sized_header(c, packet, &size);
	uint8_t flags;

	if (!h)
		return (struct pm_step){ NULL };
	flags = radiotap_flags(h, size);
	if (flags & HAS_CHECK_SEQUENCE)
		cut_check_sequence(c, packet);
	return flags & PADDED ? pm_next_wifi(packet, PM_WIFI_PADDED)
			      : pm_next_link(packet, PM_LINKTYPE_WIFI);
}

/* The flags in the field of PPI that says what all 802.11 frames have; 0 if it is not there. */
static uint16_t ppi_flags(const uint8_t *h, size_t size)
{
	enum { COMMON = 2, HEAD = 4, FLAGS_AT = 8, ALIGNED = 0x01 };
	size_t at = 8;

	while (at + HEAD <= size) { /* ends, since each field takes bytes */
		size_t data = at + HEAD, length = pm_le16(h + at + 2);

		if (pm_le16(h + at) == COMMON && length >= FLAGS_AT + 2 && data + length <= size)
			return pm_le16(h + data + FLAGS_AT);
		at = data + length;
		if (h[1] & ALIGNED)
			at = (at + 3) & ~(size_t)3;
	}
	return 0;
}

/* Version (1), flags (1), size of all (2), link type of what follows (4), fields; little-endian. */
struct pm_step pm_decode_ppi(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { HAS_CHECK_SEQUENCE = 0x0001 };
	size_t size;
	const uint8_t *h = sized_header(c, packet, &size);
	uint32_t linktype;

	if (!h)
		return (struct pm_step){ NULL };
	linktype = pm_le32(h + 4);
	if (linktype == PM_LINKTYPE_WIFI && ppi_flags(h, size) & HAS_CHECK_SEQUENCE)
		cut_check_sequence(c, packet);
	return pm_next_link(packet, linktype);
}

/*
 * Prism: code (4) and size (4) in the byte order of the machine, device (16), ten items of 12. Some
 * write a smaller size, though the items are there. Drivers use the link type for AVS too, whose
 * first bytes no code has, and for frames that they send themselves, which have no header.
 */
struct pm_step pm_decode_prism(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { SIZE = 144 };
	const uint8_t *h = pm_cursor_peek(c, 0, 8);
	uint32_t code, size;

	if (!h) {
		pm_cursor_take(c, 8);
		return pm_end_short(packet, c);
	}
	code = pm_be32(h);
	if (code >> 12 == 0x80211)
		return pm_next_link(packet, PM_LINKTYPE_WIFI_AVS);
	if (code == 0x41 || code == 0x44)
		size = pm_be32(h + 4);
	else if (code == 0x41000000 || code == 0x44000000)
		size = pm_le32(h + 4);
	else
		return pm_next_link(packet, PM_LINKTYPE_WIFI);
	if (!pm_cursor_take(c, size > SIZE ? size : SIZE))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_WIFI);
}

/* AVS: version (4), size of all (4), big-endian. */
struct pm_step pm_decode_avs(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 8);
	uint32_t size = h ? pm_be32(h + 4) : 8;

	if (size < 8)
		return pm_end(packet, PM_VERDICT_MALFORMED);
	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	return pm_next_link(packet, PM_LINKTYPE_WIFI);
}
