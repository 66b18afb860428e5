/* SPDX-License-Identifier: MIT */
/*
 * A frame's way: decoded, its side decided, counted. Alone a meter does that frame by frame. With
 * helpers it is done in three steps, block by block: they note what frames are, beside each other;
 * what depends on the frames before is decided in the order of the blocks; and they count, beside
 * each other again (crew.c).
 */
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

static void report(struct pm_meter *meter, const struct pm_fragment_frame *frame,
		   const struct pm_frame_report *fate)
{
	struct pm_frame_report whole = *fate;

	whole.number = frame->number;
	whole.time_ns = frame->time_ns;
	whole.wire = frame->wire;
	whole.rules = meter->rules;
	meter->options.frame(meter->options.ctx, &whole);
}

static void count_no_port(struct pm_meter *meter, enum pm_verdict verdict, uint8_t protocol,
			  const struct pm_fragment_frame *frame)
{
	pm_tally_no_port(meter->tally, verdict, protocol, frame->wire);
	if (meter->options.frame)
		report(meter, frame,
		       &(struct pm_frame_report){ .verdict = (uint8_t)verdict,
						  .ip_protocol = protocol });
}

PM_OUT_OF_LINE void pm_meter_catch_up(struct pm_meter *meter)
{
	pm_tally_ports(meter->tally, meter->ahead, meter->n_ahead);
	meter->n_ahead = 0;
}

static inline void count_ports(struct pm_meter *meter, struct pm_tally_entry entry)
{
	pm_tally_prefetch(meter->tally, (enum pm_transport)entry.transport, entry.src_port,
			  entry.dst_port);
	meter->ahead[meter->n_ahead++] = entry;
	if (meter->n_ahead == AHEAD)
		pm_meter_catch_up(meter);
}

/* A frame with ports, whatever way it took. */
static void count_decided(struct pm_meter *meter, const struct pm_fragment_frame *frame,
			  struct pm_tally_entry entry)
{
	count_ports(meter, entry);
	if (meter->options.frame)
		report(meter, frame,
		       &(struct pm_frame_report){ .verdict = PM_VERDICT_PORTS,
						  .transport = entry.transport,
						  .src_port = entry.src_port,
						  .dst_port = entry.dst_port,
						  .decision = entry.decision });
}

void pm_meter_count_fragment(void *ctx, const struct pm_fragment_frame *frame,
			     const struct pm_fragment_origin *origin)
{
	struct pm_meter *meter = ctx;

	if (!origin) {
		count_no_port(meter, PM_VERDICT_FRAGMENT, 0, frame);
		return;
	}
	if (origin->verdict != PM_VERDICT_PORTS) {
		count_no_port(meter, PM_VERDICT_NO_PORTS_PROTOCOL, origin->ip_protocol, frame);
		return;
	}
	count_decided(meter, frame,
		      (struct pm_tally_entry){ .src_port = origin->src_port,
					       .dst_port = origin->dst_port,
					       .decision = pm_decision_unpack(origin->note),
					       .wire = frame->wire,
					       .transport = origin->transport });
}

/* Service ids hold within one set of rules, and a first fragment outlives its set. */
static struct pm_decision label_again(const struct pm_meter *meter, const struct pm_packet *later,
				      const struct pm_fragment_origin *origin)
{
	struct pm_decision decision = pm_decision_unpack(origin->note);
	struct pm_packet packet = *later;

	packet.verdict = PM_VERDICT_PORTS;
	packet.transport = origin->transport;
	packet.src_port = origin->src_port;
	packet.dst_port = origin->dst_port;
	decision.service = pm_side_label(meter->rules, &packet, (enum pm_side)decision.side);
	return decision;
}

/* A first fragment tells as what the later ones of its datagram count. */
static void remember(struct pm_meter *meter, const struct pm_packet *packet, int64_t time_ns,
		     uint32_t note)
{
	if (packet->notes & PM_NOTE_FIRST_FRAGMENT)
		pm_fragments_first(meter->fragments, packet, time_ns, note);
}

/*
 * A later fragment. If it is inside of a datagram that is fragmented itself, that one's later
 * fragments count as it does; they remain orphans if it has to wait.
 */
static void count_later(struct pm_meter *meter, const struct pm_packet *packet,
			const struct pm_packet *carrier, const struct pm_fragment_frame *frame)
{
	const struct pm_fragment_origin *origin;
	struct pm_fragment_origin decided;
	struct pm_packet first = *carrier;

	origin = pm_fragments_later(meter->fragments, packet, frame);
	if (!origin)
		return;
	decided = *origin;
	if (meter->relabelled && origin->verdict == PM_VERDICT_PORTS)
		decided.note = pm_decision_pack(label_again(meter, packet, origin));
	pm_meter_count_fragment(meter, frame, &decided);
	first.verdict = decided.verdict;
	first.ip_protocol = decided.ip_protocol;
	first.transport = decided.transport;
	first.src_port = decided.src_port;
	first.dst_port = decided.dst_port;
	remember(meter, &first, frame->time_ns, decided.note);
}

/* A frame as the ladder wants it, of a brief that is not 0. */
static struct pm_sight sight_of_brief(pm_brief brief, const uint8_t *bytes)
{
	const uint8_t *ip = bytes + pm_brief_network(brief);
	uint8_t version = pm_brief_ip_version(brief);
	uint8_t transport = pm_brief_transport(brief);

	return (struct pm_sight){
		.src = ip + (version == 4 ? 12 : 8),
		.dst = ip + (version == 4 ? 16 : 24),
		.link = bytes + 6,
		.brief = brief,
		.ip_version = version,
		.transport = transport,
		.setup = transport == PM_TRANSPORT_TCP
				 ? (uint8_t)pm_tcp_setup(pm_brief_tcp_flags(brief))
				 : PM_SETUP_NONE,
		.notes = pm_brief_notes(brief),
		.src_port = pm_brief_src_port(brief),
		.dst_port = pm_brief_dst_port(brief),
	};
}

/* The same of a packet; @link: where its frame has an Ethernet source address, or NULL. */
static struct pm_sight sight_of_packet(const struct pm_packet *packet, const uint8_t *link)
{
	return (struct pm_sight){
		.src = packet->src.bytes,
		.dst = packet->dst.bytes,
		.link = link,
		.packet = packet,
		.ip_version = packet->ip_version,
		.transport = packet->transport,
		.setup = packet->setup,
		.notes = packet->notes,
		.src_port = packet->src_port,
		.dst_port = packet->dst_port,
	};
}

/* Notes who has been served by whom. Addresses are the packet's, as they stand. */
static inline void count_peers(const struct pm_meter *meter, const struct pm_tally_entry *entry,
			       uint8_t ip_version, const uint8_t *src, const uint8_t *dst)
{
	const struct pm_decision *decision = &entry->decision;
	bool to = decision->side == PM_SIDE_DST;
	uint64_t src_hash, dst_hash;

	if (!meter->tally->seen || decision->rung >= PM_RUNG_EPHEMERAL ||
	    decision->side == PM_SIDE_BOTH)
		return;
	src_hash = pm_address_hash(meter->key, ip_version, src, 0);
	dst_hash = pm_address_hash(meter->key, ip_version, dst, 0);
	pm_tally_peers(meter->tally, (enum pm_transport)entry->transport,
		       to ? entry->dst_port : entry->src_port, decision->service,
		       to ? src_hash : dst_hash, to ? dst_hash : src_hash);
}

static inline void count_peers_of_brief(const struct pm_meter *meter,
					const struct pm_tally_entry *entry, pm_brief brief,
					const uint8_t *bytes)
{
	struct pm_sight sight = sight_of_brief(brief, bytes);

	count_peers(meter, entry, sight.ip_version, sight.src, sight.dst);
}

static struct pm_decision decide(struct pm_meter *meter, struct pm_sight *sight,
				 const struct pm_fragment_frame *frame)
{
	sight->number = frame->number;
	sight->time_ns = frame->time_ns;
	sight->wire = frame->wire;
	return pm_learner_decide(meter->learner, sight);
}

/* What a frame decodes to that has no brief, or whose brief does not say enough. */
static void decode(const struct pm_meter *meter, const struct pm_frame *frame,
		   struct pm_packet *ret_packet, struct pm_packet *ret_carrier)
{
	ret_carrier->notes = 0;
	if (meter->options.tunnels)
		pm_packet_decode_inner(meter->options.tunnels, meter->link, frame->bytes,
				       frame->held, frame->wire, ret_packet, ret_carrier);
	else
		pm_packet_decode(meter->link, frame->bytes, frame->held, frame->wire, ret_packet);
}

/* The sender's address; an inner packet has none. */
static const uint8_t *link_of(const struct pm_meter *meter, const uint8_t *bytes)
{
	return !meter->options.tunnels && meter->link == pm_link_find(1) ? bytes + 6 : NULL;
}

/* In its turn: what a packet with ports counts as, and what later fragments of it will. */
static struct pm_decision decide_packet(struct pm_meter *meter, const struct pm_packet *packet,
					const struct pm_packet *carrier, const uint8_t *link,
					const struct pm_fragment_frame *frame)
{
	struct pm_sight sight = sight_of_packet(packet, link);
	struct pm_decision decision = decide(meter, &sight, frame);

	remember(meter, packet, frame->time_ns, pm_decision_pack(decision));
	remember(meter, carrier, frame->time_ns, pm_decision_pack(decision));
	return decision;
}

/* A frame that takes the general way; it is in the totals but for its IP version. */
static PM_OUT_OF_LINE void count_fully(struct pm_meter *meter, const struct pm_frame *frame)
{
	struct pm_fragment_frame facts = { frame->number, frame->time_ns, frame->wire };
	struct pm_packet packet, carrier;
	struct pm_tally_entry entry;

	decode(meter, frame, &packet, &carrier);
	pm_tally_frame(meter->tally, packet.ip_version, frame->wire);
	switch (packet.verdict) {
	case PM_VERDICT_PORTS:
		entry = (struct pm_tally_entry){ .src_port = packet.src_port,
						 .dst_port = packet.dst_port,
						 .wire = frame->wire,
						 .transport = packet.transport };
		entry.decision = decide_packet(meter, &packet, &carrier,
					       link_of(meter, frame->bytes), &facts);
		count_peers(meter, &entry, packet.ip_version, packet.src.bytes, packet.dst.bytes);
		count_decided(meter, &facts, entry);
		return;
	case PM_VERDICT_FRAGMENT:
		count_later(meter, &packet, &carrier, &facts);
		return;
	case PM_VERDICT_NO_PORTS_PROTOCOL:
		remember(meter, &packet, frame->time_ns, 0);
		remember(meter, &carrier, frame->time_ns, 0);
		break;
	default:
		break;
	}
	count_no_port(meter, (enum pm_verdict)packet.verdict, packet.ip_protocol, &facts);
}

static inline bool may_be_tunnel(const struct pm_meter *meter, pm_brief brief)
{
	const struct pm_tunnels *tunnels = meter->options.tunnels;

	return tunnels && pm_brief_transport(brief) == PM_TRANSPORT_UDP &&
	       pm_tunnels_hold(tunnels, pm_brief_src_port(brief), pm_brief_dst_port(brief));
}

/* What comes before decoding. */
static inline void begin(struct pm_meter *meter, const struct pm_frame *frame)
{
	if (frame->linktype != meter->linktype) {
		meter->linktype = frame->linktype;
		meter->link = pm_link_find(frame->linktype);
	}
	if ((uint64_t)frame->time_ns - (uint64_t)meter->begin >= meter->span)
		pm_meter_find_interval(meter, frame->time_ns);
	else
		pm_meter_note_time(meter, frame->time_ns);
	if (frame->held < frame->wire)
		meter->tally->snapped++;
}

/* 0: the general way. */
static inline pm_brief brief_of(const struct pm_meter *meter, const struct pm_frame *frame)
{
	pm_brief brief =
		pm_packet_brief(meter->link, frame->bytes, frame->held, frame->wire);

	if (!brief || meter->options.frame || may_be_tunnel(meter, brief) ||
	    pm_side_asks(meter->rules, brief))
		return 0;
	return brief;
}

static const struct pm_decision undecided = { .rung = PM_RUNG_N };

static inline struct pm_tally_entry entry_of(pm_brief brief, struct pm_decision decision,
					     uint32_t wire)
{
	return (struct pm_tally_entry){ .src_port = pm_brief_src_port(brief),
					.dst_port = pm_brief_dst_port(brief),
					.decision = decision,
					.wire = wire,
					.transport = pm_brief_transport(brief) };
}

void pm_meter_frame(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *meter = ctx;
	struct pm_decision decision;
	struct pm_tally_entry entry;
	pm_brief brief;

	begin(meter, frame);
	brief = brief_of(meter, frame);
	if (!brief) {
		count_fully(meter, frame);
		return;
	}
	decision = pm_learner_glance(meter->learner, brief, frame->number);
	if (decision.rung == PM_RUNG_N) {
		struct pm_sight sight = sight_of_brief(brief, frame->bytes);

		decision = decide(
			meter, &sight,
			&(struct pm_fragment_frame){ frame->number, frame->time_ns, frame->wire });
	}
	pm_tally_frame(meter->tally, pm_brief_ip_version(brief), frame->wire);
	entry = entry_of(brief, decision, frame->wire);
	count_peers_of_brief(meter, &entry, brief, frame->bytes);
	count_ports(meter, entry);
}

/* Notes a packet for its turn; what has no ports and no fragments is counted at once. */
static PM_OUT_OF_LINE void note_fully(struct pm_meter *helper, struct pm_item *item,
				      const struct pm_frame *frame)
{
	struct pm_general *general = &helper->generals[helper->n_generals];
	struct pm_packet *packet = &general->packet;

	decode(helper, frame, packet, &general->carrier);
	pm_tally_frame(helper->tally, packet->ip_version, frame->wire);
	if (packet->verdict == PM_VERDICT_PORTS) {
		item->entry = (struct pm_tally_entry){ packet->src_port, packet->dst_port,
						       undecided, frame->wire,
						       packet->transport };
	} else if (packet->verdict != PM_VERDICT_FRAGMENT) {
		count_no_port(helper, (enum pm_verdict)packet->verdict, packet->ip_protocol,
			      &(struct pm_fragment_frame){ frame->number, frame->time_ns,
							   frame->wire });
		if (!((packet->notes | general->carrier.notes) & PM_NOTE_FIRST_FRAGMENT))
			return;
	}
	item->entry.wire = frame->wire;
	helper->n_generals++;
	helper->n_items++;
}

void pm_meter_note(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *helper = ctx;
	struct pm_item *item;
	pm_brief brief;

	begin(helper, frame);
	if (helper->n_items == ITEMS_MAX || helper->n_generals == GENERALS_MAX)
		helper->full(helper->full_ctx);
	if (helper->n_items == 0)
		helper->generation = pm_learner_generation(helper->asked);
	brief = brief_of(helper, frame);
	item = &helper->items[helper->n_items];
	item->brief = brief;
	item->bytes = frame->bytes;
	item->time_ns = frame->time_ns;
	item->number = frame->number;
	if (!brief) {
		note_fully(helper, item, frame);
		return;
	}
	item->entry = entry_of(brief, pm_learner_glance(helper->asked, brief, frame->number),
			       frame->wire);
	pm_tally_frame(helper->tally, pm_brief_ip_version(brief), frame->wire);
	helper->n_items++;
}

/* In turn: a packet that took the general way. */
static void decide_general(struct pm_meter *meter, const struct pm_meter *helper,
			   struct pm_item *item, const struct pm_general *general)
{
	const struct pm_packet *packet = &general->packet;
	struct pm_fragment_frame frame = { item->number, item->time_ns, item->entry.wire };

	switch (packet->verdict) {
	case PM_VERDICT_PORTS:
		item->entry.decision = decide_packet(meter, packet, &general->carrier,
						     link_of(helper, item->bytes), &frame);
		break;
	case PM_VERDICT_FRAGMENT:
		count_later(meter, packet, &general->carrier, &frame);
		break;
	default:
		remember(meter, packet, frame.time_ns, 0);
		remember(meter, &general->carrier, frame.time_ns, 0);
		break;
	}
}

void pm_meter_decide(struct pm_meter *meter, struct pm_meter *helper)
{
	const struct pm_general *general = helper->generals;

	meter->told = helper->tally;
	for (size_t i = 0; i < helper->n_items; i++) {
		struct pm_item *item = &helper->items[i];
		struct pm_decision *decision = &item->entry.decision;

		if (!item->brief) {
			decide_general(meter, helper, item, general++);
			continue;
		}
		/* What has been learned since it was noted may concern it. */
		if (decision->rung != PM_RUNG_N &&
		    pm_learner_generation(meter->learner) != helper->generation)
			*decision = pm_learner_glance(meter->learner, item->brief, item->number);
		if (decision->rung == PM_RUNG_N) {
			struct pm_sight sight = sight_of_brief(item->brief, item->bytes);

			*decision = decide(meter, &sight,
					   &(struct pm_fragment_frame){ item->number, item->time_ns,
									item->entry.wire });
		}
	}
	meter->told = meter->tally;
}

void pm_meter_count(struct pm_meter *helper)
{
	const struct pm_general *general = helper->generals;

	for (size_t i = 0; i < helper->n_items; i++) {
		const struct pm_item *item = &helper->items[i];
		const struct pm_packet *packet;

		if (item->brief) {
			count_peers_of_brief(helper, &item->entry, item->brief, item->bytes);
			count_ports(helper, item->entry);
			continue;
		}
		packet = &(general++)->packet;
		if (packet->verdict != PM_VERDICT_PORTS)
			continue;
		count_peers(helper, &item->entry, packet->ip_version, packet->src.bytes,
			    packet->dst.bytes);
		count_ports(helper, item->entry);
	}
	helper->n_items = helper->n_generals = 0;
}
