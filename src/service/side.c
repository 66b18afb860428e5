/* SPDX-License-Identifier: MIT */
/*
 * The side ladder: which of a packet's two ports is the service's. Each rung either decides
 * or leaves the packet to the next. For most packets it is two loads of four bytes; ports
 * that host-scoped rules cover, and port 0, go the long way round.
 */
#include "service-internal.h"

#define EPHEMERAL 0x8000 /* set in 32768-65535, from which systems draw the ports of clients */

static const char *const side_names[] = {
	[PM_SIDE_NONE] = "none",
	[PM_SIDE_SRC] = "src",
	[PM_SIDE_DST] = "dst",
	[PM_SIDE_BOTH] = "both",
};
_Static_assert(sizeof side_names / sizeof *side_names == PM_SIDE_N, "name every side");

static const char *const rung_names[] = {
	[PM_RUNG_ZERO] = "zero",
	[PM_RUNG_HANDSHAKE] = "handshake",
	[PM_RUNG_LEARNED] = "learned",
	[PM_RUNG_RULE] = "rule",
	[PM_RUNG_SYMMETRIC] = "symmetric",
	[PM_RUNG_KNOWN] = "known",
	[PM_RUNG_SCORE] = "score",
	[PM_RUNG_EPHEMERAL] = "ephemeral",
	[PM_RUNG_UNKNOWN] = "unknown",
};
_Static_assert(sizeof rung_names / sizeof *rung_names == PM_RUNG_N, "name every rung");

const char *pm_side_name(enum pm_side side)
{
	return (unsigned)side < PM_SIDE_N ? side_names[side] : "?";
}

const char *pm_rung_name(enum pm_rung rung)
{
	return (unsigned)rung < PM_RUNG_N ? rung_names[rung] : "?";
}

static inline struct pm_decision decision(uint16_t service, enum pm_side side, enum pm_rung rung)
{
	return (struct pm_decision){ service, (uint8_t)side, (uint8_t)rung };
}

/* Its parts in the order of their weight; of two different ports never equal. */
static inline uint32_t score(struct pm_label label, uint16_t port, bool group)
{
	return (uint32_t)label.priority << 18 | (uint32_t)(port < PM_SYSTEM_PORTS) << 17 |
	       (uint32_t)group << 16 | (uint32_t)(0xffff - port);
}

/* The rungs from symmetric on; neither port is 0. */
static inline struct pm_decision decide_labels(uint16_t src_port, uint16_t dst_port, bool group,
					       struct pm_label src, struct pm_label dst)
{
	bool from;

	if (src_port == dst_port)
		return decision(dst.service ? dst.service : src.service, PM_SIDE_BOTH,
				PM_RUNG_SYMMETRIC);
	if (!src.service != !dst.service)
		return decision(src.service | dst.service, src.service ? PM_SIDE_SRC : PM_SIDE_DST,
				PM_RUNG_KNOWN);
	if (src.service) {
		from = score(src, src_port, false) > score(dst, dst_port, group);
		return decision(from ? src.service : dst.service, from ? PM_SIDE_SRC : PM_SIDE_DST,
				PM_RUNG_SCORE);
	}
	if ((src_port ^ dst_port) & EPHEMERAL)
		return decision(0, dst_port & EPHEMERAL ? PM_SIDE_SRC : PM_SIDE_DST,
				PM_RUNG_EPHEMERAL);
	return decision(0, PM_SIDE_NONE, PM_RUNG_UNKNOWN);
}

/* Puts the label that holds for the address in place of the one that holds for any. */
static bool label_scope(const struct pm_rules *rules, const struct pm_packet *packet,
			const struct pm_address *address, uint16_t port, struct pm_label *label)
{
	return label->flags & PM_LABEL_SCOPED &&
	       pm_rules_find_scoped(rules, packet->ip_version, address, packet->transport, port,
				    label);
}

/* One port is 0 and can't be the side; the other is, if a rule says so. */
static struct pm_decision decide_zero(const struct pm_packet *packet, struct pm_label src,
				      struct pm_label dst, bool scoped)
{
	struct pm_label label = packet->src_port ? src : dst;
	enum pm_side side = packet->src_port ? PM_SIDE_SRC : PM_SIDE_DST;

	if (packet->src_port == 0 && packet->dst_port != 0 &&
	    pm_transport_source_optional(packet->transport))
		return decision(dst.service, PM_SIDE_DST, PM_RUNG_ZERO);
	if (scoped)
		return decision(label.service, side, PM_RUNG_RULE);
	if (label.service)
		return decision(label.service, side, PM_RUNG_KNOWN);
	return decision(0, PM_SIDE_NONE, PM_RUNG_UNKNOWN);
}

/*
 * The whole ladder, for ports that are 0 or that host-scoped rules cover. Kept out of line:
 * inlined, it would make every frame save registers that only it needs.
 */
static PM_OUT_OF_LINE struct pm_decision decide_slowly(const struct pm_rules *rules,
						    const struct pm_packet *packet,
						    struct pm_label src, struct pm_label dst)
{
	bool src_scoped = label_scope(rules, packet, &packet->src, packet->src_port, &src);
	bool dst_scoped = label_scope(rules, packet, &packet->dst, packet->dst_port, &dst);

	if (packet->src_port == 0 || packet->dst_port == 0)
		return decide_zero(packet, src, dst, src_scoped || dst_scoped);
	if (src_scoped != dst_scoped)
		return decision(src_scoped ? src.service : dst.service,
				src_scoped ? PM_SIDE_SRC : PM_SIDE_DST, PM_RUNG_RULE);
	return decide_labels(packet->src_port, packet->dst_port, packet->notes & PM_NOTE_GROUP, src,
			     dst);
}

struct pm_decision pm_side_decide(const struct pm_rules *rules, const struct pm_packet *packet)
{
	const struct pm_label *labels = rules->labels[packet->transport];
	struct pm_label src = labels[packet->src_port], dst = labels[packet->dst_port];

	if ((src.flags | dst.flags) & (PM_LABEL_SCOPED | PM_LABEL_ZERO))
		return decide_slowly(rules, packet, src, dst);
	return decide_labels(packet->src_port, packet->dst_port, packet->notes & PM_NOTE_GROUP, src,
			     dst);
}

uint16_t pm_side_label(const struct pm_rules *rules, const struct pm_packet *packet,
		       enum pm_side side)
{
	bool src = side == PM_SIDE_SRC;
	uint16_t port = src ? packet->src_port : packet->dst_port;
	struct pm_label label = rules->labels[packet->transport][port];

	if (side == PM_SIDE_NONE)
		return 0;
	label_scope(rules, packet, src ? &packet->src : &packet->dst, port, &label);
	return label.service;
}

/* A class stands for its label: it has the priority, and is 0 where there is none. */
static inline struct pm_label label_of(uint8_t class)
{
	return (struct pm_label){ .service = class, .priority = class };
}

struct pm_decision pm_side_decide_brief(const struct pm_rules *rules, pm_brief brief)
{
	const uint8_t *classes = rules->classes[pm_brief_transport(brief)];
	uint16_t src_port = pm_brief_src_port(brief), dst_port = pm_brief_dst_port(brief);
	uint8_t src = classes[src_port], dst = classes[dst_port];
	struct pm_decision decided;

	if (src == PM_CLASS_ASK || dst == PM_CLASS_ASK)
		return decision(0, PM_SIDE_NONE, PM_RUNG_N);
	decided = decide_labels(src_port, dst_port, pm_brief_notes(brief) & PM_NOTE_GROUP,
				label_of(src), label_of(dst));
	decided.service = 0;
	return decided;
}
