/* SPDX-License-Identifier: MIT */
/*
 * Whole frames for tests of what lies above the decoder: IPv4 without a link layer, from 192.0.2.1
 * to 198.51.100.2 (RFC 5737), with any ports; and rules from a text.
 */
#ifndef PORTMETER_TESTS_TRAFFIC_H
#define PORTMETER_TESTS_TRAFFIC_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "portmeter/capture.h"
#include "portmeter/packet.h"
#include "portmeter/service.h"

#define LINKTYPE_RAW 101
#define TRAFFIC_SIZE 40
#define SECOND PM_NS_PER_S

static inline uint8_t traffic_protocol(enum pm_transport transport)
{
	static const uint8_t protocols[PM_TRANSPORT_N] = {
		[PM_TRANSPORT_TCP] = 6, [PM_TRANSPORT_UDP] = 17, [PM_TRANSPORT_UDPLITE] = 136,
		[PM_TRANSPORT_SCTP] = 132, [PM_TRANSPORT_DCCP] = 33,
	};

	return protocols[transport];
}

static inline void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* Fills @bytes with a datagram and returns it as a frame of 40 wire bytes. */
static inline struct pm_frame traffic_ip4(uint8_t bytes[TRAFFIC_SIZE], uint8_t protocol,
					  unsigned src_port, unsigned dst_port, int64_t time_ns)
{
	static const uint8_t addresses[8] = { 192, 0, 2, 1, 198, 51, 100, 2 };

	memset(bytes, 0, TRAFFIC_SIZE);
	bytes[0] = 0x45;
	put16(bytes + 2, TRAFFIC_SIZE);
	bytes[8] = 64;
	bytes[9] = protocol;
	memcpy(bytes + 12, addresses, sizeof addresses);
	put16(bytes + 20, src_port);
	put16(bytes + 22, dst_port);
	return (struct pm_frame){ .bytes = bytes,
				  .held = TRAFFIC_SIZE,
				  .wire = TRAFFIC_SIZE,
				  .linktype = LINKTYPE_RAW,
				  .time_ns = time_ns };
}

/* Makes the datagram in @bytes a fragment: @offset in units of 8 bytes. */
static inline void traffic_fragment(uint8_t bytes[TRAFFIC_SIZE], unsigned id, unsigned offset,
				    bool more)
{
	put16(bytes + 4, id);
	put16(bytes + 6, (more ? 0x2000u : 0) | offset);
}

/* NULL when they do not load. */
static inline struct pm_rules *traffic_rules(const char *text, uint64_t generation)
{
	struct pm_rules_options options = { .generation = generation };
	struct pm_rules *rules = NULL;

	pm_rules_load_text("test.rules", text, strlen(text), &options, NULL, &rules);
	return rules;
}

/* Those of @n texts, of generations 1 to @n. False when one does not load. */
static inline bool traffic_rules_each(const char *const *texts, size_t n, struct pm_rules **rules)
{
	for (size_t i = 0; i < n; i++) {
		rules[i] = traffic_rules(texts[i], i + 1);
		if (!rules[i])
			return false;
	}
	return true;
}

#endif
