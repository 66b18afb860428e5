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

/* The entry stands behind those that wait to be counted, and joins them. */
static inline void count_ahead(struct pm_meter *meter, const struct pm_tally_entry *entry)
{
	pm_tally_prefetch(meter->tally, (enum pm_transport)entry->transport, entry->src_port,
			  entry->dst_port);
	if (++meter->n_ahead == AHEAD)
		pm_meter_catch_up(meter);
}

static inline void count_ports(struct pm_meter *meter, const struct pm_tally_entry *entry)
{
	meter->ahead[meter->n_ahead] = *entry;
	count_ahead(meter, entry);
}

/* The same by endpoint, where that is wanted, of a packet between these addresses. */
static void count_endpoint(struct pm_meter *meter, const struct pm_tally_entry *entry,
			   uint8_t ip_version, const struct pm_address *src,
			   const struct pm_address *dst)
{
	if (meter->options.by_endpoint)
		pm_tally_endpoint(meter->tally, entry, ip_version, src, dst);
}

/* A frame with ports that took the general way. */
static void count_decided(struct pm_meter *meter, const struct pm_fragment_frame *frame,
			  struct pm_tally_entry entry)
{
	count_ports(meter, &entry);
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
	struct pm_tally_entry entry;

	if (!origin) {
		count_no_port(meter, PM_VERDICT_FRAGMENT, 0, frame);
		return;
	}
	if (origin->verdict != PM_VERDICT_PORTS) {
		count_no_port(meter, PM_VERDICT_NO_PORTS_PROTOCOL, origin->ip_protocol, frame);
		return;
	}
	entry = (struct pm_tally_entry){ .src_port = origin->src_port,
					 .dst_port = origin->dst_port,
					 .decision = pm_decision_unpack(origin->note),
					 .wire = frame->wire,
					 .transport = origin->transport };
	count_decided(meter, frame, entry);
	count_endpoint(meter, &entry, origin->ip_version, &origin->src, &origin->dst);
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
	packet.ip_version = origin->ip_version;
	packet.src = origin->src;
	packet.dst = origin->dst;
	decision.service = pm_side_label(meter->rules, &packet, (enum pm_side)decision.side);
	return decision;
}

/* A first fragment tells as what the later ones of its datagram count: itself, or what is in it. */
static void remember(struct pm_meter *meter, const struct pm_packet *packet,
		     const struct pm_packet *counts, int64_t time_ns, uint32_t note)
{
	if (packet->notes & PM_NOTE_FIRST_FRAGMENT)
		pm_fragments_first(meter->fragments, packet, counts, time_ns, note);
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
	struct pm_packet counts = *carrier;

	origin = pm_fragments_later(meter->fragments, packet, frame);
	if (!origin)
		return;
	decided = *origin;
	if (meter->relabelled && origin->verdict == PM_VERDICT_PORTS)
		decided.note = pm_decision_pack(label_again(meter, packet, origin));
	pm_meter_count_fragment(meter, frame, &decided);
	counts.verdict = decided.verdict;
	counts.ip_protocol = decided.ip_protocol;
	counts.transport = decided.transport;
	counts.src_port = decided.src_port;
	counts.dst_port = decided.dst_port;
	counts.ip_version = decided.ip_version;
	counts.src = decided.src;
	counts.dst = decided.dst;
	remember(meter, carrier, &counts, frame->time_ns, decided.note);
}

/* Where the addresses of a brief's frame stand; they are of the same size, one behind the other. */
static inline const uint8_t *src_of_brief(pm_brief brief, const uint8_t *bytes)
{
	return bytes + pm_brief_network(brief) + (pm_brief_ip_version(brief) == 4 ? 12 : 8);
}

static inline const uint8_t *dst_of_brief(pm_brief brief, const uint8_t *bytes)
{
	return bytes + pm_brief_network(brief) + (pm_brief_ip_version(brief) == 4 ? 16 : 24);
}

/*
 * All but the decision, field by field where it stays: put together elsewhere it would be copied in
 * pieces of other sizes than those it was written in, for which processors wait.
 */
static PM_INLINE void fill_entry(struct pm_tally_entry *entry, struct pm_hash_key key,
				 pm_brief brief, const uint8_t *bytes, uint32_t wire)
{
	uint8_t version = pm_brief_ip_version(brief);

	entry->src_port = pm_brief_src_port(brief);
	entry->dst_port = pm_brief_dst_port(brief);
	entry->wire = wire;
	entry->transport = pm_brief_transport(brief);
	entry->src_host = pm_host_hash(key, version, src_of_brief(brief, bytes));
	entry->dst_host = pm_host_hash(key, version, dst_of_brief(brief, bytes));
}

/* What the ladder says of a brief, in its turn. */
static struct pm_decision decide_brief(struct pm_meter *meter, pm_brief brief, const uint8_t *bytes,
				       const struct pm_tally_entry *entry, uint64_t number,
				       int64_t time_ns)
{
	struct pm_sight sight = {
		.src = src_of_brief(brief, bytes),
		.dst = dst_of_brief(brief, bytes),
		.src_host = entry->src_host,
		.dst_host = entry->dst_host,
		.link = bytes + 6,
		.brief = brief,
		.number = number,
		.time_ns = time_ns,
		.wire = entry->wire,
	};

	if (entry->transport == PM_TRANSPORT_TCP)
		sight.setup = (uint8_t)pm_tcp_setup(pm_brief_tcp_flags(brief));
	return pm_learner_decide(meter->learner, &sight);
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
	return !meter->options.tunnels && meter->ethernet ? bytes + 6 : NULL;
}

/* The same of a packet with ports. */
static struct pm_tally_entry entry_of_packet(const struct pm_meter *meter,
					     const struct pm_packet *packet, uint32_t wire)
{
	uint8_t version = packet->ip_version;

	return (struct pm_tally_entry){
		.src_port = packet->src_port,
		.dst_port = packet->dst_port,
		.wire = wire,
		.transport = packet->transport,
		.src_host = pm_host_hash(meter->key, version, packet->src.bytes),
		.dst_host = pm_host_hash(meter->key, version, packet->dst.bytes),
	};
}

/*
 * In its turn: what a packet with ports counts as, and what later fragments of it will. @link:
 * where its frame has an Ethernet source address, or NULL.
 */
static struct pm_decision decide_packet(struct pm_meter *meter, const struct pm_packet *packet,
					const struct pm_packet *carrier,
					const struct pm_tally_entry *entry, const uint8_t *link,
					const struct pm_fragment_frame *frame)
{
	const struct pm_sight sight = {
		.src = packet->src.bytes,
		.dst = packet->dst.bytes,
		.src_host = entry->src_host,
		.dst_host = entry->dst_host,
		.link = link,
		.packet = packet,
		.brief = pm_brief_of(packet),
		.number = frame->number,
		.time_ns = frame->time_ns,
		.wire = frame->wire,
		.setup = packet->setup,
	};
	struct pm_decision decision = pm_learner_decide(meter->learner, &sight);

	remember(meter, packet, packet, frame->time_ns, pm_decision_pack(decision));
	remember(meter, carrier, packet, frame->time_ns, pm_decision_pack(decision));
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
		entry = entry_of_packet(meter, &packet, frame->wire);
		entry.decision = decide_packet(meter, &packet, &carrier, &entry,
					       link_of(meter, frame->bytes), &facts);
		count_decided(meter, &facts, entry);
		count_endpoint(meter, &entry, packet.ip_version, &packet.src, &packet.dst);
		return;
	case PM_VERDICT_FRAGMENT:
		count_later(meter, &packet, &carrier, &facts);
		return;
	case PM_VERDICT_NO_PORTS_PROTOCOL:
		remember(meter, &packet, &packet, frame->time_ns, 0);
		remember(meter, &carrier, &packet, frame->time_ns, 0);
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
		meter->ethernet = meter->link == pm_link_find(1);
	}
	if ((uint64_t)frame->time_ns - (uint64_t)meter->begin >= meter->span)
		pm_meter_find_interval(meter, frame->time_ns);
	else
		pm_meter_note_time(meter, frame->time_ns);
	if (frame->held < frame->wire)
		meter->tally->snapped++;
}

/* Whether a brief says enough of a frame. */
static inline bool is_enough(const struct pm_meter *meter, pm_brief brief)
{
	return brief && !meter->wholly && !may_be_tunnel(meter, brief);
}

/* Where the entry's frame has a brief. False: it takes the general way all the same. */
static PM_INLINE bool count_brief(struct pm_meter *meter, const struct pm_frame *frame,
				  pm_brief brief)
{
	struct pm_tally_entry *entry = &meter->ahead[meter->n_ahead];

	if (!is_enough(meter, brief))
		return false;
	fill_entry(entry, meter->key, brief, frame->bytes, frame->wire);
	entry->decision = pm_learner_glance(meter->classes, brief, frame->number);
	if (entry->decision.rung == PM_RUNG_N) {
		if (pm_side_asks(meter->rules, brief))
			return false;
		entry->decision = decide_brief(meter, brief, frame->bytes, entry, frame->number,
					       frame->time_ns);
	}
	pm_tally_frame(meter->tally, pm_brief_ip_version(brief), frame->wire);
	count_ahead(meter, entry);
	return true;
}

static PM_OUT_OF_LINE void count_slowly(struct pm_meter *meter, const struct pm_frame *frame)
{
	if (!count_brief(meter, frame,
			 pm_packet_brief(meter->link, frame->bytes, frame->held, frame->wire)))
		count_fully(meter, frame);
}

void pm_meter_frame(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *meter = ctx;
	pm_brief quick = 0;

	begin(meter, frame);
	if (meter->ethernet)
		quick = pm_packet_quick(frame->bytes, frame->held, frame->wire);
	/* Of these the compiler knows where the addresses are. */
	if (!quick || !count_brief(meter, frame, quick))
		count_slowly(meter, frame);
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
		item->entry = entry_of_packet(helper, packet, frame->wire);
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
	struct pm_decision decision = { .rung = PM_RUNG_N };
	struct pm_item *item;
	pm_brief brief;

	begin(helper, frame);
	if (helper->n_items == ITEMS_MAX || helper->n_generals == GENERALS_MAX)
		helper->full(helper->full_ctx);
	if (helper->n_items == 0)
		helper->generation = pm_learner_generation(helper->asked);
	brief = pm_packet_brief(helper->link, frame->bytes, frame->held, frame->wire);
	if (!is_enough(helper, brief))
		brief = 0;
	if (brief)
		decision = pm_learner_glance(helper->classes, brief, frame->number);
	if (decision.rung == PM_RUNG_N && brief && pm_side_asks(helper->rules, brief))
		brief = 0;
	item = &helper->items[helper->n_items];
	item->brief = brief;
	item->bytes = frame->bytes;
	item->time_ns = frame->time_ns;
	item->number = frame->number;
	if (!brief) {
		note_fully(helper, item, frame);
		return;
	}
	fill_entry(&item->entry, helper->key, brief, frame->bytes, frame->wire);
	item->entry.decision = decision;
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
		item->entry.decision =
			decide_packet(meter, packet, &general->carrier, &item->entry,
				      link_of(helper, item->bytes), &frame);
		break;
	case PM_VERDICT_FRAGMENT:
		count_later(meter, packet, &general->carrier, &frame);
		break;
	default:
		remember(meter, packet, packet, frame.time_ns, 0);
		remember(meter, &general->carrier, packet, frame.time_ns, 0);
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
			*decision = pm_learner_glance(meter->classes, item->brief, item->number);
		if (decision->rung == PM_RUNG_N)
			*decision = decide_brief(meter, item->brief, item->bytes, &item->entry,
						 item->number, item->time_ns);
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
			count_ports(helper, &item->entry);
			continue;
		}
		packet = &(general++)->packet;
		if (packet->verdict != PM_VERDICT_PORTS)
			continue;
		count_ports(helper, &item->entry);
		count_endpoint(helper, &item->entry, packet->ip_version, &packet->src,
			       &packet->dst);
	}
	helper->n_items = helper->n_generals = 0;
}
