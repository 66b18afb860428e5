/* SPDX-License-Identifier: MIT */
/*
 * Frames that take the general way, as whole packets: without a brief, or with one that does not
 * say enough. Fragments, tunnels, options of IP, rules that ask for addresses, reports of single
 * frames, endpoints. Alone a meter decides and counts them at once, behind what was noted before
 * them; a helper notes them as generals, to be decided in their turn.
 */
#include "meter-internal.h"

/* Whether it is the frame that is to be explained. */
static inline bool explains(const struct pm_meter *meter, uint64_t number)
{
	return meter->why && number == meter->options.explain;
}

static void report(struct pm_meter *meter, const struct pm_fragment_frame *frame,
		   const struct pm_frame_report *fate)
{
	struct pm_frame_report whole = *fate;

	whole.number = frame->number;
	whole.time_ns = frame->time_ns;
	whole.wire = frame->wire;
	whole.rules = meter->rules;
	if (explains(meter, frame->number))
		whole.why = meter->why;
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

/* An entry that is decided already. */
static void count_ports(struct pm_meter *meter, const struct pm_tally_entry *entry)
{
	pm_meter_decide(meter, meter);
	meter->entries[meter->n_items] = *entry;
	meter->items[meter->n_items].brief = 0;
	meter->n_decided++;
	pm_meter_noted(meter);
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

	if (origin && explains(meter, frame->number))
		meter->why->origin = *origin;
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
		     const struct pm_packet *counts, const struct pm_fragment_frame *frame,
		     uint32_t note)
{
	if (packet->notes & PM_NOTE_FIRST_FRAGMENT)
		pm_fragments_first(meter->fragments, packet, counts, frame, note);
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
	remember(meter, carrier, &counts, frame, decided.note);
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
static const uint8_t *link_of(const struct pm_meter *meter, const struct pm_packet *packet,
			      const uint8_t *bytes)
{
	return meter->ethernet && !(packet->notes & PM_NOTE_INNER) ? bytes + 6 : NULL;
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
	struct pm_decision decision;

	if (explains(meter, frame->number))
		decision = pm_learner_explain(meter->learner, &sight, &meter->why->grounds);
	else
		decision = pm_learner_decide(meter->learner, &sight);
	remember(meter, packet, packet, frame, pm_decision_pack(decision));
	remember(meter, carrier, packet, frame, pm_decision_pack(decision));
	return decision;
}

PM_OUT_OF_LINE void pm_meter_count_fully(struct pm_meter *meter, const struct pm_frame *frame)
{
	struct pm_fragment_frame facts = { frame->number, frame->time_ns, frame->wire };
	struct pm_packet packet, carrier;
	struct pm_tally_entry entry;

	pm_meter_decide(meter, meter);
	decode(meter, frame, &packet, &carrier);
	if (explains(meter, frame->number))
		meter->why->packet = packet;
	pm_tally_frame(meter->tally, packet.ip_version, frame->wire);
	switch (packet.verdict) {
	case PM_VERDICT_PORTS:
		entry = entry_of_packet(meter, &packet, frame->wire);
		entry.decision = decide_packet(meter, &packet, &carrier, &entry,
					       link_of(meter, &packet, frame->bytes), &facts);
		count_decided(meter, &facts, entry);
		count_endpoint(meter, &entry, packet.ip_version, &packet.src, &packet.dst);
		return;
	case PM_VERDICT_FRAGMENT:
		count_later(meter, &packet, &carrier, &facts);
		return;
	case PM_VERDICT_NO_PORTS_PROTOCOL:
		remember(meter, &packet, &packet, &facts, 0);
		remember(meter, &carrier, &packet, &facts, 0);
		break;
	default:
		break;
	}
	count_no_port(meter, (enum pm_verdict)packet.verdict, packet.ip_protocol, &facts);
}

PM_OUT_OF_LINE void pm_meter_note_fully(struct pm_meter *helper, const struct pm_frame *frame)
{
	struct pm_general *general = &helper->generals[helper->n_generals];
	struct pm_packet *packet = &general->packet;

	decode(helper, frame, packet, &general->carrier);
	general->frame = (struct pm_fragment_frame){ frame->number, frame->time_ns, frame->wire };
	general->link = link_of(helper, packet, frame->bytes);
	general->before = helper->n_items;
	pm_tally_frame(helper->tally, packet->ip_version, frame->wire);
	if (packet->verdict == PM_VERDICT_PORTS) {
		helper->entries[helper->n_items] = entry_of_packet(helper, packet, frame->wire);
		helper->items[helper->n_items].brief = 0;
		helper->shown[helper->n_shown++] = (uint16_t)helper->n_items;
		helper->n_generals++;
		pm_meter_noted(helper);
		return;
	}
	if (packet->verdict != PM_VERDICT_FRAGMENT) {
		count_no_port(helper, (enum pm_verdict)packet->verdict, packet->ip_protocol,
			      &general->frame);
		/* of a first fragment that is cut nobody knows what the later ones are */
		if (packet->verdict != PM_VERDICT_NO_PORTS_PROTOCOL ||
		    !((packet->notes | general->carrier.notes) & PM_NOTE_FIRST_FRAGMENT))
			return;
	}
	helper->n_generals++;
}

const struct pm_general *pm_meter_decide_generals(struct pm_meter *meter, struct pm_meter *helper,
						  const struct pm_general *general, size_t i)
{
	const struct pm_general *end = helper->generals + helper->n_generals;

	for (; general < end && general->before <= i; general++) {
		const struct pm_packet *packet = &general->packet;
		struct pm_tally_entry *entry = &helper->entries[general->before];

		switch (packet->verdict) {
		case PM_VERDICT_PORTS:
			entry->decision = decide_packet(meter, packet, &general->carrier, entry,
							general->link, &general->frame);
			break;
		case PM_VERDICT_FRAGMENT:
			count_later(meter, packet, &general->carrier, &general->frame);
			break;
		default: /* PM_VERDICT_NO_PORTS_PROTOCOL: no others are noted */
			remember(meter, packet, packet, &general->frame, 0);
			remember(meter, &general->carrier, packet, &general->frame, 0);
			break;
		}
	}
	return general;
}

void pm_meter_count_generals(struct pm_meter *helper)
{
	for (size_t i = 0; i < helper->n_generals; i++) {
		const struct pm_packet *packet = &helper->generals[i].packet;

		if (packet->verdict == PM_VERDICT_PORTS)
			count_endpoint(helper, &helper->entries[helper->generals[i].before],
				       packet->ip_version, &packet->src, &packet->dst);
	}
}
