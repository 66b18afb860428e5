/* SPDX-License-Identifier: MIT */
/*
 * Packets in packets: which UDP ports hold what, the headers of tunnels, and the way inwards. GRE
 * and its kin are in gre.c. EtherIP (RFC 3378), PIM's registers (RFC 7761), L2TP (RFC 2661,
 * 3931), VXLAN (RFC 7348), VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe), Geneve (RFC 8926), GTP-U (3GPP
 * TS 29.281), Teredo (RFC 4380), MPLS and GRE in UDP (RFC 7510, 8086), GUE
 * (draft-ietf-intarea-gue) and FOU (Linux), LISP (RFC 9300, 9301), AYIYA
 * (draft-massar-v6ops-ayiya), CAPWAP (RFC 5415), TZSP.
 */
#include <stdlib.h>
#include <string.h>

#include "packet-internal.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/*
 * Tunnels in UDP. Where no port is registered, the user says which. @bare: IP follows with nothing
 * before it that says so but its version, which one payload in eight has by chance.
 */
static const struct kind {
	const char *name;
	uint16_t ports[2]; /* 0: none */
	pm_decode_fn *fn;
	bool bare;
} kinds[] = {
	{ "none", { 0 }, NULL, false },
	{ "vxlan", { 4789 }, pm_decode_vxlan, false },
	{ "vxlan-gpe", { 4790 }, pm_decode_vxlan_gpe, false },
	{ "geneve", { 6081 }, pm_decode_geneve, false },
	{ "gtp", { 2152, 3386 }, pm_decode_gtp, false },
	{ "teredo", { 3544 }, pm_decode_teredo, true },
	{ "l2tp", { 1701 }, pm_decode_l2tp, false },
	{ "gre", { 4754 }, pm_decode_gre, false },
	{ "mpls", { 6635 }, pm_decode_mpls, true },
	{ "gue", { 6080 }, pm_decode_gue, true },
	{ "fou", { 0 }, pm_decode_fou, true },
	{ "lisp", { 4341 }, pm_decode_lisp, true },
	{ "lisp-control", { 4342 }, pm_decode_lisp_control, true },
	{ "ayiya", { 5072 }, pm_decode_ayiya, false },
	{ "capwap", { 5247 }, pm_decode_capwap, false },
	{ "tzsp", { 37008 }, pm_decode_tzsp, false },
};

struct pm_tunnels {
	uint8_t kinds[65536]; /* by UDP port; 0: no tunnel */
};
_Static_assert(COUNT(kinds) <= UINT8_MAX, "a kind fits its cell");

enum {
	UDP_HEADER = 8,
};

int pm_tunnels_new(struct pm_tunnels **ret_tunnels)
{
	struct pm_tunnels *tunnels = calloc(1, sizeof *tunnels);

	if (!tunnels)
		return PM_E_MEMORY;
	for (size_t i = 0; i < COUNT(kinds); i++)
		for (size_t j = 0; j < COUNT(kinds[i].ports); j++)
			if (kinds[i].ports[j])
				tunnels->kinds[kinds[i].ports[j]] = (uint8_t)i;
	*ret_tunnels = tunnels;
	return PM_OK;
}

void pm_tunnels_free(struct pm_tunnels *tunnels)
{
	free(tunnels);
}

bool pm_tunnels_set(struct pm_tunnels *tunnels, const char *name, size_t size, uint16_t port)
{
	for (size_t i = 0; port && i < COUNT(kinds); i++)
		if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, name, size) == 0) {
			tunnels->kinds[port] = (uint8_t)i;
			return true;
		}
	return false;
}

const char *pm_tunnels_name(size_t index)
{
	return index < COUNT(kinds) ? kinds[index].name : NULL;
}

/* Most tunnels are told by their destination, since the source is drawn; some answer from it. */
static uint8_t kind_of(const struct pm_tunnels *tunnels, uint16_t src_port, uint16_t dst_port)
{
	uint8_t kind = tunnels->kinds[dst_port];

	return kind ? kind : tunnels->kinds[src_port];
}

bool pm_tunnels_hold(const struct pm_tunnels *tunnels, uint16_t src_port, uint16_t dst_port)
{
	return kind_of(tunnels, src_port, dst_port) != 0;
}

/* ---- The way inwards ---- */

/* UDP's length cuts what is not the datagram's; 0 is offload's, or a jumbogram's (RFC 2675). */
static struct pm_step enter_udp(const struct pm_tunnels *tunnels, struct pm_cursor *c,
				const struct pm_packet *outer, struct pm_packet *inner)
{
	pm_decode_fn *fn = kinds[kind_of(tunnels, outer->src_port, outer->dst_port)].fn;
	const uint8_t *h = fn ? pm_cursor_take(c, UDP_HEADER) : NULL;

	if (!h)
		return pm_end(inner, PM_VERDICT_NON_IP);
	if (pm_be16(h + 4) >= UDP_HEADER)
		pm_limit(c, inner, pm_be16(h + 4) - (size_t)UDP_HEADER);
	return (struct pm_step){ fn };
}

/*
 * What stands at @c, behind the IP header of @outer or at its ports: the decoder of a tunnel, or
 * none.
 */
static struct pm_step enter(const struct pm_tunnels *tunnels, struct pm_cursor *c,
			    const struct pm_packet *outer, struct pm_packet *inner)
{
	if (outer->verdict == PM_VERDICT_PORTS && outer->transport == PM_TRANSPORT_UDP)
		return enter_udp(tunnels, c, outer, inner);
	if (outer->verdict == PM_VERDICT_NO_PORTS_PROTOCOL &&
	    !(outer->notes & PM_NOTE_LATER_FRAGMENT))
		return pm_next_tunnel(inner, outer->ip_protocol);
	return pm_end(inner, PM_VERDICT_NON_IP);
}

/* Whether IP was found, or announced and then not there. */
static bool has_ip(const struct pm_packet *packet, pm_decode_fn *last)
{
	if (packet->ip_version != 0)
		return true;
	return packet->verdict == PM_VERDICT_MALFORMED || last == pm_decode_ipv4 ||
	       last == pm_decode_ipv6;
}

/*
 * Whether what a UDP port suggests is there. Every client may draw the port of a tunnel, so where
 * only a version spoke for IP, its header must be held whole, not contradict itself and claim no
 * more than the datagram around it. A piece of a datagram, or one shorter than it says, has not all
 * that was in it, and nesting without end is no matter of ports.
 */
static bool is_credible(const struct pm_tunnels *tunnels, const struct pm_packet *outer,
			const struct pm_packet *carrier, const struct pm_packet *inner, int layers)
{
	const uint8_t partial = PM_NOTE_LENGTH | PM_NOTE_FIRST_FRAGMENT;

	if (outer->verdict != PM_VERDICT_PORTS || layers >= PM_MAX_LAYERS ||
	    (outer->notes | carrier->notes) & partial ||
	    !kinds[kind_of(tunnels, outer->src_port, outer->dst_port)].bare)
		return true;
	return inner->ip_version != 0 && !(inner->notes & PM_NOTE_LENGTH);
}

void pm_packet_decode_inner(const struct pm_tunnels *tunnels, const struct pm_link *link,
			    const uint8_t *bytes, size_t held, size_t wire,
			    struct pm_packet *ret_packet, struct pm_packet *ret_carrier)
{
	struct pm_cursor c = pm_cursor_init(bytes, held, wire);
	struct pm_packet packet = { 0 }, carrier = { 0 };
	struct pm_step step = pm_step_link(&packet, link);
	int layers = 0;

	pm_decode_on(&c, &packet, step, &layers);
	for (;;) {
		struct pm_packet inner = { .notes = PM_NOTE_INNER, .vlan = packet.vlan };

		step = enter(tunnels, &c, &packet, &inner);
		if (!step.fn || !has_ip(&inner, pm_decode_on(&c, &inner, step, &layers)))
			break;
		if (!is_credible(tunnels, &packet, &carrier, &inner, layers))
			break;
		if (packet.notes & PM_NOTE_FIRST_FRAGMENT && !carrier.notes)
			carrier = packet;
		packet = inner;
	}
	/* Its first fragment may have ports, if only in the tunnel. */
	if (packet.notes & PM_NOTE_LATER_FRAGMENT &&
	    pm_next_tunnel(&carrier, packet.ip_protocol).fn)
		packet.verdict = PM_VERDICT_FRAGMENT;
	carrier.verdict = packet.verdict;
	carrier.ip_protocol = packet.ip_protocol;
	carrier.transport = packet.transport;
	carrier.src_port = packet.src_port;
	carrier.dst_port = packet.dst_port;
	*ret_packet = packet;
	*ret_carrier = carrier;
}

/* ---- Tunnels of an IP protocol ---- */

/* A header of @size bytes, then IP of either version. */
static struct pm_step before_ip(struct pm_cursor *c, struct pm_packet *packet, size_t size)
{
	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	return pm_next_by_nibble(c, packet);
}

/* Version 3 and twelve bits of nothing. */
struct pm_step pm_decode_etherip(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && h[0] >> 4 != 3)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_before_frame(c, packet, 2);
}

/*
 * Version and type (1), reserved (1), checksum (2), flags (4). A register holds a multicast
 * packet, but a null register only the semblance of one.
 */
struct pm_step pm_decode_pim(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { REGISTER = 0x21,
	       NULL_REGISTER = 0x40 };
	const uint8_t *h = pm_cursor_peek(c, 0, 8);

	if (h && (h[0] != REGISTER || h[4] & NULL_REGISTER))
		return pm_end(packet, PM_VERDICT_NON_IP);
	return before_ip(c, packet, 8);
}

/*
 * Version 3, behind the session. Nothing in a packet says what a session carries, nor the sizes
 * of its cookie (0, 4, 8) and of a sublayer (0, 4); the first place where a frame makes sense is
 * taken.
 */
static struct pm_step l2tp_session(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { STEP = 4,
	       LAST = 12 };

	for (size_t offset = 0; offset <= LAST; offset += STEP) {
		const uint8_t *h = pm_cursor_peek(c, offset, 4);

		if (pm_ethernet_at(c, packet, offset))
			return pm_before_frame(c, packet, offset);
		if (h && (pm_be32(h) == 0xff030021 || pm_be32(h) == 0xff030057)) {
			pm_cursor_take(c, offset);
			return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
		}
	}
	return pm_end(packet, PM_VERDICT_NON_IP);
}

/* Session (4); 0 is for control. */
struct pm_step pm_decode_l2tp_ip(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 4);

	if (!h)
		return pm_end_short(packet, c);
	return pm_be32(h) == 0 ? pm_end(packet, PM_VERDICT_NON_IP) : l2tp_session(c, packet);
}

/* ---- Tunnels in UDP ---- */

/*
 * Version 2, behind the flags: perhaps length (2), tunnel and session (4), perhaps sequences (4),
 * and an offset (2) with as many bytes. Then PPP.
 */
static struct pm_step l2tp_2(struct pm_cursor *c, struct pm_packet *packet, uint16_t flags)
{
	enum { LENGTH = 0x4000,
	       SEQUENCE = 0x0800,
	       OFFSET = 0x0200 };
	size_t size = 4U + (flags & SEQUENCE ? 4 : 0);

	if (flags & LENGTH) {
		const uint8_t *length = pm_cursor_take(c, 2);

		if (!length)
			return pm_end_short(packet, c);
		if (pm_be16(length) >= 4)
			pm_limit(c, packet, pm_be16(length) - 4U);
	}
	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	if (flags & OFFSET)
		pm_cursor_take(c, pm_cursor_be16(c));
	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, PM_ETHERTYPE_PPP);
}

/* Flags and version (2); in version 3 reserved (2) and session (4) follow. */
struct pm_step pm_decode_l2tp(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { CONTROL = 0x8000,
	       VERSION = 0x000f };
	uint16_t flags = pm_cursor_be16(c);

	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	if (flags & CONTROL)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if ((flags & VERSION) == 2)
		return l2tp_2(c, packet, flags);
	if ((flags & VERSION) != 3)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!pm_cursor_take(c, 6))
		return pm_end_short(packet, c);
	return l2tp_session(c, packet);
}

/* Flags (1), of which one must be set, reserved (3), network (3), reserved (1). */
static struct pm_step vxlan(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { NETWORK = 0x08 };
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && !(h[0] & NETWORK))
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_before_frame(c, packet, 8);
}

struct pm_step pm_decode_vxlan(struct pm_cursor *c, struct pm_packet *packet)
{
	return vxlan(c, packet);
}

/* The same with a next protocol in the fourth byte, if a flag says so. */
struct pm_step pm_decode_vxlan_gpe(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { VERSION = 0x30,
	       NEXT = 0x04 };
	const uint8_t *h = pm_cursor_peek(c, 0, 8);

	if (h && h[0] & VERSION)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!h || !(h[0] & NEXT))
		return vxlan(c, packet);
	pm_cursor_take(c, 8);
	return pm_next_gpe(packet, h[3]);
}

/*
 * Version and size of options in 4-byte units (1), flags (1), ethertype (2), network (3),
 * reserved (1).
 */
struct pm_step pm_decode_geneve(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] >> 6 != 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!pm_cursor_take(c, (size_t)(h[0] & 0x3f) * 4))
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, pm_be16(h + 2));
}

/*
 * GTP's extension headers: size in 4-byte units, content, type of the next. False, and the verdict
 * given, where they end early or have no end.
 */
static bool gtp_extensions(struct pm_cursor *c, struct pm_packet *packet, uint8_t type)
{
	for (int i = 0; type != 0; i++) {
		const uint8_t *size = pm_cursor_peek(c, 0, 1);
		const uint8_t *h = NULL;

		if (i == PM_MAX_LAYERS || (size && size[0] == 0)) {
			pm_end(packet, PM_VERDICT_MALFORMED);
			return false;
		}
		h = pm_cursor_take(c, size ? size[0] * (size_t)4 : 4);
		if (!h) {
			pm_end_short(packet, c);
			return false;
		}
		type = h[size[0] * 4 - 1];
	}
	return true;
}

/* What a tunnel carries is agreed elsewhere: IP, else Ethernet. */
static struct pm_step gtp_payload(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *first = pm_cursor_peek(c, 0, 1);

	if (first && first[0] >> 4 != 4 && first[0] >> 4 != 6 && pm_ethernet_at(c, packet, 0))
		return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
	return pm_next_by_nibble(c, packet);
}

/*
 * Version and flags (1), type (1), length (2), tunnel (4); with any of three flags: sequence (2),
 * number (1), type of the extension (1). Version 0 (GSM 09.60): sequence and flow (4), number and
 * spare (4), tunnel (8) behind the length.
 */
struct pm_step pm_decode_gtp(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { KIND = 0xf0,
	       VERSION_0 = 0x10,
	       VERSION_1 = 0x30,
	       OPTIONAL = 0x07,
	       EXTENDED = 0x04 };
	enum { USER_DATA = 255 };
	const uint8_t *h = pm_cursor_take(c, 8), *more;
	uint8_t kind = h ? h[0] & KIND : 0;

	if (!h)
		return pm_end_short(packet, c);
	if ((kind != VERSION_0 && kind != VERSION_1) || h[1] != USER_DATA)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (kind == VERSION_0) {
		if (!pm_cursor_take(c, 12))
			return pm_end_short(packet, c);
		pm_limit(c, packet, pm_be16(h + 2));
		return gtp_payload(c, packet);
	}
	pm_limit(c, packet, pm_be16(h + 2));
	if (h[0] & OPTIONAL) {
		more = pm_cursor_take(c, 4);
		if (!more)
			return pm_end_short(packet, c);
		if (h[0] & EXTENDED && !gtp_extensions(c, packet, more[3]))
			return (struct pm_step){ NULL };
	}
	return gtp_payload(c, packet);
}

/*
 * IPv6, perhaps behind a proof (0001: two sizes, so many bytes, 9 more) and the sender's address
 * as the server saw it (0000: 6 bytes).
 */
struct pm_step pm_decode_teredo(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 4);

	if (h && pm_be16(h) == 0x0001) {
		pm_cursor_take(c, 13U + h[2] + h[3]);
		h = pm_cursor_peek(c, 0, 2);
	}
	if (h && pm_be16(h) == 0x0000) {
		pm_cursor_take(c, 8);
		h = pm_cursor_peek(c, 0, 1);
	}
	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	return h && h[0] >> 4 == 6 ? pm_next_by_nibble(c, packet)
				   : pm_end(packet, PM_VERDICT_NON_IP);
}

/*
 * Version 0: control flag and size of options in 4-byte units (1), IP protocol (1), flags (2).
 * Version 1 is IP itself, whose version's bits are chosen so.
 */
struct pm_step pm_decode_gue(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { CONTROL = 0x20,
	       OPTIONS = 0x1f };
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && h[0] >> 6 == 1)
		return pm_next_by_nibble(c, packet);
	h = pm_cursor_take(c, 4);
	if (!h || !pm_cursor_take(c, (size_t)(h[0] & OPTIONS) * 4))
		return pm_end_short(packet, c);
	if (h[0] >> 6 != 0 || h[0] & CONTROL)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_next_tunnel(packet, h[1]);
}

/* Both ends know the IP protocol. GRE without routes never begins like IP. */
struct pm_step pm_decode_fou(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && (h[0] >> 4 == 4 || h[0] >> 4 == 6))
		return pm_next_by_nibble(c, packet);
	return pm_next_tunnel(packet, 47);
}

/* Flags (1), nonce (3), instance and status (4). */
struct pm_step pm_decode_lisp(struct pm_cursor *c, struct pm_packet *packet)
{
	return before_ip(c, packet, 8);
}

/* Type and flags (4); only type 8, the encapsulated control message, holds a packet. */
struct pm_step pm_decode_lisp_control(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 1);

	if (h && h[0] >> 4 != 8)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return before_ip(c, packet, 4);
}

/*
 * Size, as a power of two, and kind of the identity (1), size of the signature in 4-byte units
 * and hash (1), authentication and operation (1), IP protocol (1), time (4), identity, signature.
 */
struct pm_step pm_decode_ayiya(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { FORWARD = 1 };
	const uint8_t *h = pm_cursor_take(c, 8);

	if (!h)
		return pm_end_short(packet, c);
	if ((h[2] & 0x0f) != FORWARD)
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!pm_cursor_take(c, ((size_t)1 << (h[0] >> 4)) + (size_t)(h[1] >> 4) * 4))
		return pm_end_short(packet, c);
	return pm_next_tunnel(packet, h[3]);
}

/*
 * Access points of Cisco send the two bytes of frame control in the other order. Data with its type
 * first is taken as it stands: read the other way it would come from no access point.
 */
static struct pm_step capwap_wifi(const struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 2);

	if (h && (h[0] & 0x0f) != 0x08 && (h[1] & 0x0f) == 0x08)
		return pm_next_wifi(packet, PM_WIFI_SWAPPED);
	return pm_next_link(packet, PM_LINKTYPE_WIFI);
}

/*
 * Preamble (1), size in 4-byte units, radio, binding and flags (3), fragment (4), options. A later
 * fragment has no frame's begin, and with encryption there is another preamble.
 */
struct pm_step pm_decode_capwap(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { NATIVE = 0x01,
	       FRAGMENT = 0x80,
	       KEEP_ALIVE = 0x08,
	       BINDING_WIFI = 1 };
	const uint8_t *h = pm_cursor_take(c, 8);
	size_t size;

	if (!h)
		return pm_end_short(packet, c);
	size = (size_t)(h[1] >> 3) * 4;
	if (h[0] != 0 || size < 8 || h[3] & KEEP_ALIVE ||
	    (h[3] & FRAGMENT && pm_be16(h + 6) >> 3 != 0))
		return pm_end(packet, PM_VERDICT_NON_IP);
	if (!pm_cursor_take(c, size - 8))
		return pm_end_short(packet, c);
	if (!(h[2] & NATIVE))
		return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
	return (h[2] >> 1 & 0x1f) == BINDING_WIFI ? capwap_wifi(c, packet)
						  : pm_end(packet, PM_VERDICT_NON_IP);
}

/* Version (1), type (1), protocol (2), tags up to the one that ends them: number, size, content. */
struct pm_step pm_decode_tzsp(struct pm_cursor *c, struct pm_packet *packet)
{
	enum { VERSION = 1,
	       SENT = 1,
	       PADDING = 0,
	       END = 1,
	       ETHERNET = 1,
	       WIFI = 18,
	       TAGS_MAX = 64 };
	const uint8_t *h = pm_cursor_take(c, 4);
	uint8_t tag = PADDING;

	if (!h)
		return pm_end_short(packet, c);
	if (h[0] != VERSION || h[1] > SENT)
		return pm_end(packet, PM_VERDICT_NON_IP);
	for (int i = 0; i < TAGS_MAX && tag != END && c->status == PM_READ_OK; i++) {
		tag = pm_cursor_u8(c);
		if (tag != PADDING && tag != END)
			pm_cursor_take(c, pm_cursor_u8(c));
	}
	if (c->status != PM_READ_OK)
		return pm_end_short(packet, c);
	if (tag == END && pm_be16(h + 2) == ETHERNET)
		return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
	return tag == END && pm_be16(h + 2) == WIFI ? pm_next_link(packet, PM_LINKTYPE_WIFI)
						    : pm_end(packet, PM_VERDICT_NON_IP);
}
