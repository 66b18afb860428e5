/* SPDX-License-Identifier: MIT */
/* IPv4 (RFC 791), IPv6 (RFC 8200, jumbograms RFC 2675), extension headers, AH (RFC 4302). */
#include <string.h>

#include "packet-internal.h"

enum {
	IP4_HEADER = 20,
	IP4_MORE = 0x2000,
	IP4_OFFSET = 0x1fff,
	IP6_HEADER = 40,
	IP6_MORE = 0x0001,
	IP6_OFFSET = 0xfff8,
	IP6_LENGTH_MAX = 65535,
	AH_HEADER = 12, /* without its check value */
	HOP_BY_HOP = 0,
	OPTION_PAD1 = 0x00,
	OPTION_JUMBO = 0xc2,
};

static struct pm_step ip4_fragment(struct pm_packet *packet, const uint8_t *h)
{
	packet->fragment_id = pm_be16(h + 4);
	packet->fragment_protocol = h[9];
	if (pm_be16(h + 6) & IP4_OFFSET) {
		packet->notes |= PM_NOTE_LATER_FRAGMENT;
		return pm_end_later4(packet, h[9]);
	}
	packet->notes |= PM_NOTE_FIRST_FRAGMENT;
	return pm_next_ip4(packet, h[9]);
}

struct pm_step pm_decode_ipv4(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, IP4_HEADER);
	size_t header, total;
	uint32_t dst;

	if (!h)
		return pm_end_short_ip(packet, c);
	header = (size_t)(h[0] & 0x0f) * 4;
	total = pm_be16(h + 2);
	if (h[0] >> 4 != 4 || header < IP4_HEADER)
		return pm_end(packet, PM_VERDICT_MALFORMED);
	if (total != 0) { /* 0: segmentation offload, the frame's length counts */
		if (total < header)
			return pm_end(packet, PM_VERDICT_MALFORMED);
		pm_limit(c, packet, total - IP4_HEADER);
	}
	if (header > IP4_HEADER && !pm_cursor_take(c, header - IP4_HEADER))
		return pm_end_short_ip(packet, c);

	packet->ip_version = 4;
	packet->ip_protocol = h[9];
	memcpy(packet->src.bytes, h + 12, 4);
	memcpy(packet->dst.bytes, h + 16, 4);
	dst = pm_be32(h + 16);
	if (dst >> 28 == 0xe || dst == UINT32_MAX)
		packet->notes |= PM_NOTE_GROUP;
	if (pm_be16(h + 6) & (IP4_MORE | IP4_OFFSET))
		return ip4_fragment(packet, h);
	return pm_next_ip4(packet, h[9]);
}

/*
 * The payload length in the jumbo option of the hop-by-hop header at @c; 0 without one. False
 * when the header is not all there: its own decoder says then which way it is short.
 */
static bool jumbo_length(const struct pm_cursor *c, uint32_t *ret_length)
{
	struct pm_cursor ahead = *c;
	const uint8_t *h = pm_cursor_take(&ahead, 2);
	struct pm_cursor options = ahead;
	size_t size;

	if (!h)
		return false;
	size = (size_t)h[1] * 8 + 6;
	if (!pm_cursor_take(&ahead, size) || !pm_cursor_limit(&options, size))
		return false;
	*ret_length = 0;
	while (options.wire > 0 && options.status == PM_READ_OK) {
		uint8_t type = pm_cursor_u8(&options);
		uint8_t length = type == OPTION_PAD1 ? 0 : pm_cursor_u8(&options);

		if (type == OPTION_JUMBO && length == 4) {
			*ret_length = pm_cursor_be32(&options);
			break;
		}
		pm_cursor_take(&options, length);
	}
	return true;
}

/*
 * A length field of 0 is a jumbogram's, or offload's that outgrew the field; a frame that
 * would have fitted the field means what it says.
 */
static void ip6_limit_unstated(struct pm_cursor *c, struct pm_packet *packet)
{
	uint32_t jumbo = 0;

	if (packet->ip_protocol == HOP_BY_HOP && !jumbo_length(c, &jumbo))
		return;
	if (jumbo != 0 || c->wire <= IP6_LENGTH_MAX)
		pm_limit(c, packet, jumbo);
}

struct pm_step pm_decode_ipv6(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, IP6_HEADER);
	size_t payload;

	if (!h)
		return pm_end_short_ip(packet, c);
	if (h[0] >> 4 != 6)
		return pm_end(packet, PM_VERDICT_MALFORMED);
	packet->ip_version = 6;
	packet->ip_protocol = h[6];
	memcpy(packet->src.bytes, h + 8, 16);
	memcpy(packet->dst.bytes, h + 24, 16);
	if (h[24] == 0xff)
		packet->notes |= PM_NOTE_GROUP;
	payload = pm_be16(h + 4);
	if (payload != 0)
		pm_limit(c, packet, payload);
	else
		ip6_limit_unstated(c, packet);
	return pm_next_ip6(packet, h[6]);
}

/* Next header, length in 8-byte units past the first: all extension headers but AH and fragment. */
struct pm_step pm_decode_ipv6_extension(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);

	if (!h || !pm_cursor_take(c, (size_t)h[1] * 8))
		return pm_end_short(packet, c);
	packet->ip_protocol = h[0];
	return pm_next_ip6(packet, h[0]);
}

/* Offset 0 with nothing to follow is an atomic fragment (RFC 6946): a whole packet. */
struct pm_step pm_decode_ipv6_fragment(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, 8);
	uint16_t place;

	if (!h)
		return pm_end_short(packet, c);
	packet->ip_protocol = h[0];
	place = pm_be16(h + 2);
	if (!(place & (IP6_OFFSET | IP6_MORE)))
		return pm_next_ip6(packet, h[0]);
	packet->fragment_id = pm_be32(h + 4);
	if (place & IP6_OFFSET) {
		packet->notes |= PM_NOTE_LATER_FRAGMENT;
		return pm_end_later6(packet, h[0]);
	}
	packet->notes |= PM_NOTE_FIRST_FRAGMENT;
	return pm_next_ip6(packet, h[0]);
}

/* Authenticates and hides nothing. Its length counts 4-byte units less 2, in IPv6 too. */
static bool authentication(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *h = pm_cursor_take(c, AH_HEADER);
	size_t size = h ? ((size_t)h[1] + 2) * 4 : 0;

	if (size < AH_HEADER || !pm_cursor_take(c, size - AH_HEADER))
		return false;
	packet->ip_protocol = h[0];
	return true;
}

struct pm_step pm_decode_ah4(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!authentication(c, packet))
		return pm_end_short(packet, c);
	return pm_next_ip4(packet, packet->ip_protocol);
}

struct pm_step pm_decode_ah6(struct pm_cursor *c, struct pm_packet *packet)
{
	if (!authentication(c, packet))
		return pm_end_short(packet, c);
	return pm_next_ip6(packet, packet->ip_protocol);
}
