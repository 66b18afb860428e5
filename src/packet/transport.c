/* SPDX-License-Identifier: MIT */
/*
 * Transports: TCP (RFC 9293), UDP (768), UDP-Lite (3828), SCTP (9260), DCCP (4340).
 * All begin with the two ports, and those count whatever the rest says. Where a conversation is
 * set up is read too, if it is there.
 */
#include "packet-internal.h"

/* Nothing is read behind the ports, so the cursor need not move. */
static inline struct pm_step ports(struct pm_cursor *c, struct pm_packet *packet,
				   enum pm_transport transport)
{
	const uint8_t *h = pm_cursor_peek(c, 0, 4);

	if (!h) {
		pm_cursor_take(c, 4);
		return pm_end_short(packet, c);
	}
	packet->transport = (uint8_t)transport;
	packet->src_port = pm_be16(h);
	packet->dst_port = pm_be16(h + 2);
	return pm_end(packet, PM_VERDICT_PORTS);
}

struct pm_step pm_decode_tcp(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *flags = pm_cursor_peek(c, 13, 1);

	if (flags) {
		packet->notes |= PM_NOTE_TCP_FLAGS;
		packet->tcp_flags = flags[0];
		packet->setup = (uint8_t)pm_tcp_setup(flags[0]);
	}
	return ports(c, packet, PM_TRANSPORT_TCP);
}

struct pm_step pm_decode_udp(struct pm_cursor *c, struct pm_packet *packet)
{
	return ports(c, packet, PM_TRANSPORT_UDP);
}

struct pm_step pm_decode_udplite(struct pm_cursor *c, struct pm_packet *packet)
{
	return ports(c, packet, PM_TRANSPORT_UDPLITE);
}

struct pm_step pm_decode_sctp(struct pm_cursor *c, struct pm_packet *packet)
{
	static const uint8_t setups[] = {
		[1] = PM_SETUP_OPEN,
		[2] = PM_SETUP_ACCEPT,
		[6] = PM_SETUP_RESET,
		[10] = PM_SETUP_CONFIRM,
	};
	const uint8_t *chunk = pm_cursor_peek(c, 12, 1);

	if (chunk && chunk[0] < sizeof setups)
		packet->setup = setups[chunk[0]];
	return ports(c, packet, PM_TRANSPORT_SCTP);
}

struct pm_step pm_decode_dccp(struct pm_cursor *c, struct pm_packet *packet)
{
	static const uint8_t setups[16] = {
		[0] = PM_SETUP_OPEN,
		[1] = PM_SETUP_ACCEPT,
		[3] = PM_SETUP_CONFIRM,
		[4] = PM_SETUP_CONFIRM,
		[7] = PM_SETUP_RESET,
	};
	const uint8_t *type = pm_cursor_peek(c, 8, 1);

	if (type)
		packet->setup = setups[type[0] >> 1 & 0xf];
	return ports(c, packet, PM_TRANSPORT_DCCP);
}
