/* SPDX-License-Identifier: MIT */
/*
 * A frame's way: noted, its side decided, counted; alone a meter does that for some frames at a
 * time. With helpers it is done block by block: they note what frames are, beside each other; what
 * depends on the frames before is decided in the order of the blocks; and they count, beside each
 * other again (crew.c).
 */
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

#define ETHERNET 1 /* its LINKTYPE_ number */

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

/* Takes the entry and item behind the last ones, which are filled, for noted. */
static inline void noted(struct pm_meter *meter)
{
	if (++meter->n_items < meter->room)
		return;
	if (meter->full)
		meter->full(meter->full_ctx);
	else
		pm_meter_catch_up(meter);
}

/* An entry that is decided already. */
static void count_ports(struct pm_meter *meter, const struct pm_tally_entry *entry)
{
	pm_meter_decide(meter, meter);
	meter->entries[meter->n_items] = *entry;
	meter->items[meter->n_items].brief = 0;
	meter->n_decided++;
	noted(meter);
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
static struct pm_decision decide_brief(struct pm_meter *meter, const struct pm_item *item,
				       const struct pm_tally_entry *entry)
{
	struct pm_sight sight = {
		.src = src_of_brief(item->brief, item->bytes),
		.dst = dst_of_brief(item->brief, item->bytes),
		.src_host = entry->src_host,
		.dst_host = entry->dst_host,
		.link = item->bytes + 6,
		.flow = item->flow,
		.brief = item->brief,
		.number = item->number,
		.time_ns = item->time_ns,
		.wire = entry->wire,
	};

	if (entry->transport == PM_TRANSPORT_TCP)
		sight.setup = (uint8_t)pm_tcp_setup(pm_brief_tcp_flags(item->brief));
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

/* A frame that takes the general way; it is in the totals but for its IP version. */
static PM_OUT_OF_LINE void count_fully(struct pm_meter *meter, const struct pm_frame *frame)
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
		meter->ethernet = frame->linktype == ETHERNET;
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

/* How frames are noted; known where the code is made. */
enum how {
	KEPT = 1,  /* their bytes stay where they are until they are counted */
	AWAKE = 2, /* flows are */
	TRIED = 4, /* or are found out about: these two are never both */
};

static bool is_asleep(const struct pm_flows *flows)
{
	return __atomic_load_n(&flows->asleep, __ATOMIC_RELAXED);
}

static bool are_tried(const struct pm_flows *flows)
{
	return __atomic_load_n(&flows->tried, __ATOMIC_RELAXED);
}

/* What of a frame has to be there when it is decided about. */
static PM_INLINE void fill_item(struct pm_meter *meter, const struct pm_frame *frame,
				pm_brief brief, unsigned how)
{
	struct pm_item *item = &meter->items[meter->n_items];

	item->brief = brief;
	item->time_ns = frame->time_ns;
	item->number = frame->number;
	item->bytes = frame->bytes;
	if (!(how & KEPT)) {
		uint8_t *head = meter->heads + meter->n_items * HEAD;

		/* of a size that is known here it is a few moves */
		if (frame->held >= HEAD)
			memcpy(head, frame->bytes, HEAD);
		else
			memcpy(head, frame->bytes, frame->held);
		item->bytes = head;
	}
}

static PM_INLINE pm_flow flow_of_brief(const struct pm_meter *meter, pm_brief brief,
				       const uint8_t *bytes)
{
	return pm_flow_of(meter->key, brief, src_of_brief(brief, bytes),
			  dst_of_brief(brief, bytes));
}

/* Notes a frame that has a brief. False: it takes the general way all the same. */
static PM_INLINE bool note_brief(struct pm_meter *meter, const struct pm_frame *frame,
				 pm_brief brief, unsigned how)
{
	struct pm_tally_entry *entry = &meter->entries[meter->n_items];
	struct pm_item *item = &meter->items[meter->n_items];
	struct pm_decision decision;

	if (!is_enough(meter, brief))
		return false;
	item->known = 0;
	item->flow = 0;
	if (how & (AWAKE | TRIED))
		item->flow = flow_of_brief(meter, brief, frame->bytes);
	fill_item(meter, frame, brief, how);
	decision = pm_learner_glance(meter->classes, brief, frame->number);
	fill_entry(entry, meter->key, brief, frame->bytes, frame->wire);
	entry->decision = decision;
	if (decision.rung == PM_RUNG_N) {
		if (pm_side_asks(meter->rules, brief))
			return false;
		item->flow = pm_learner_fetch(meter->asked, brief, item->flow,
					      src_of_brief(brief, frame->bytes), entry->src_host,
					      entry->dst_host);
		meter->shown[meter->n_shown++] = (uint16_t)meter->n_items;
	} else if (entry->transport == PM_TRANSPORT_UDP) {
		if (!(how & (AWAKE | TRIED)))
			item->flow = flow_of_brief(meter, brief, frame->bytes);
		pm_learner_fetch_pair(meter->asked, item->flow);
		meter->shown[meter->n_shown++] = (uint16_t)meter->n_items;
	} else if (how == AWAKE && pm_flows_hold(brief, frame->number)) {
		pm_learner_glanced(meter->learner, item->flow, frame->time_ns, decision);
	}
	pm_tally_frame(meter->tally, pm_brief_ip_version(brief), frame->wire);
	if (!(how & KEPT))
		pm_tally_prefetch(meter->tally, (enum pm_transport)pm_brief_transport(brief),
				  pm_brief_src_port(brief), pm_brief_dst_port(brief));
	return true;
}

static PM_OUT_OF_LINE void count_slowly(struct pm_meter *meter, const struct pm_frame *frame,
					unsigned how)
{
	pm_brief brief = pm_packet_brief(meter->link, frame->bytes, frame->held, frame->wire);

	if (note_brief(meter, frame, brief, how))
		noted(meter);
	else
		count_fully(meter, frame);
}

/*
 * What a glimpse shows of a frame whose conversation may be known: that, and what is known of it.
 * 0: nothing is.
 */
static PM_INLINE unsigned find_known(const struct pm_meter *meter, const struct pm_frame *frame,
				     struct pm_glimpse *ret_glimpse, pm_flow *ret_flow)
{
	/* of the interval that frames are of */
	if (frame->linktype != ETHERNET ||
	    (uint64_t)frame->time_ns - (uint64_t)meter->begin >= meter->span ||
	    pm_learner_notes(frame->number) ||
	    !pm_packet_glimpse(frame->bytes, frame->held, frame->wire, ret_glimpse))
		return 0;
	*ret_flow = pm_glimpse_flow(meter->key, ret_glimpse);
	return pm_flows_look(meter->flows, *ret_flow);
}

/* What is in the totals of it. */
static PM_INLINE void count_glimpse(struct pm_meter *meter, const struct pm_frame *frame,
				    const struct pm_glimpse *glimpse)
{
	pm_meter_note_time(meter, frame->time_ns);
	meter->tally->snapped += frame->held < frame->wire;
	pm_tally_frame(meter->tally, glimpse->ip_version, frame->wire);
}

/*
 * Counts a frame of a conversation that is known, if flows are awake: then all frames before have
 * been decided about. False: it is none, and has not been counted.
 */
static PM_INLINE bool count_known(struct pm_meter *meter, const struct pm_frame *frame)
{
	struct pm_glimpse glimpse;
	struct pm_decision decision;
	unsigned known = 0;
	pm_flow flow;

	if (pm_flows_reach(meter->flows, frame->time_ns))
		known = find_known(meter, frame, &glimpse, &flow);
	if (!known)
		return false;
	decision = pm_flow_decision(known);
	meter->known[meter->n_known] = (struct pm_tally_known){
		glimpse.ports, frame->wire, glimpse.transport, decision.side, decision.rung,
	};
	count_glimpse(meter, frame, &glimpse);
	pm_tally_prefetch(meter->tally, (enum pm_transport)glimpse.transport,
			  (uint16_t)(glimpse.ports >> 16), (uint16_t)glimpse.ports);
	if (++meter->n_known == AHEAD)
		pm_meter_catch_up(meter);
	return true;
}

/*
 * Where most frames are known, the others are decided about at once: else all behind would have to
 * wait to see whether they still are.
 */
static PM_OUT_OF_LINE void count_unknown(struct pm_meter *meter, const struct pm_frame *frame)
{
	pm_brief quick = 0;

	begin(meter, frame);
	if (meter->ethernet)
		quick = pm_packet_quick(frame->bytes, frame->held, frame->wire);
	if (quick && note_brief(meter, frame, quick, AWAKE))
		noted(meter);
	else
		count_slowly(meter, frame, AWAKE);
	if (meter->n_shown)
		pm_meter_decide(meter, meter);
	else
		meter->n_decided = meter->n_items;
}

static PM_OUT_OF_LINE void count_awake(struct pm_meter *meter, const struct pm_frame *frame)
{
	if (!count_known(meter, frame))
		count_unknown(meter, frame);
}

static PM_INLINE void count_noted(struct pm_meter *meter, const struct pm_frame *frame,
				  unsigned how)
{
	pm_brief quick = 0;

	begin(meter, frame);
	if (meter->ethernet)
		quick = pm_packet_quick(frame->bytes, frame->held, frame->wire);
	/* Of these the compiler knows where the addresses are. */
	if (quick && note_brief(meter, frame, quick, how))
		noted(meter);
	else
		count_slowly(meter, frame, how);
}

static PM_OUT_OF_LINE void count_asleep(struct pm_meter *meter, const struct pm_frame *frame)
{
	count_noted(meter, frame, 0);
}

static PM_OUT_OF_LINE void count_tried(struct pm_meter *meter, const struct pm_frame *frame)
{
	count_noted(meter, frame, TRIED);
}

void pm_meter_frame(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *meter = ctx;

	/* each saves the registers that it needs, and this none */
	if (!is_asleep(meter->flows))
		count_awake(meter, frame);
	else if (!are_tried(meter->flows))
		count_asleep(meter, frame);
	else
		count_tried(meter, frame);
}

/* Notes a packet for its turn; what has no ports and no fragments is counted at once. */
static PM_OUT_OF_LINE void note_fully(struct pm_meter *helper, const struct pm_frame *frame)
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
		noted(helper);
		return;
	}
	if (packet->verdict != PM_VERDICT_FRAGMENT) {
		count_no_port(helper, (enum pm_verdict)packet->verdict, packet->ip_protocol,
			      &general->frame);
		if (!((packet->notes | general->carrier.notes) & PM_NOTE_FIRST_FRAGMENT))
			return;
	}
	helper->n_generals++;
}

static PM_INLINE void note(struct pm_meter *helper, const struct pm_frame *frame, unsigned how)
{
	pm_brief quick = 0;

	begin(helper, frame);
	if (helper->n_generals == GENERALS_MAX)
		helper->full(helper->full_ctx);
	if (helper->n_items == 0)
		helper->generation = pm_learner_generation(helper->asked);
	if (helper->ethernet)
		quick = pm_packet_quick(frame->bytes, frame->held, frame->wire);
	if (quick && note_brief(helper, frame, quick, how)) {
		noted(helper);
		return;
	}
	quick = pm_packet_brief(helper->link, frame->bytes, frame->held, frame->wire);
	if (note_brief(helper, frame, quick, how))
		noted(helper);
	else
		note_fully(helper, frame);
}

/* One whose conversation seems to be known, which will show in its turn. */
static PM_INLINE bool note_known(struct pm_meter *helper, const struct pm_frame *frame)
{
	struct pm_tally_entry *entry = &helper->entries[helper->n_items];
	struct pm_item *item = &helper->items[helper->n_items];
	struct pm_glimpse glimpse;
	unsigned known = find_known(helper, frame, &glimpse, &item->flow);

	if (!known)
		return false;
	if (helper->n_items == 0)
		helper->generation = pm_learner_generation(helper->asked);
	item->brief = pm_glimpse_brief(&glimpse);
	item->bytes = frame->bytes;
	item->time_ns = frame->time_ns;
	item->number = frame->number;
	item->known = known;
	entry->src_port = (uint16_t)(glimpse.ports >> 16);
	entry->dst_port = (uint16_t)glimpse.ports;
	entry->wire = frame->wire;
	entry->transport = glimpse.transport;
	helper->n_hints++;
	count_glimpse(helper, frame, &glimpse);
	noted(helper);
	return true;
}

static PM_OUT_OF_LINE void note_awake(struct pm_meter *helper, const struct pm_frame *frame)
{
	if (!note_known(helper, frame))
		note(helper, frame, KEPT | AWAKE);
}

void pm_meter_note(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *helper = ctx;

	if (!is_asleep(helper->flows))
		note_awake(helper, frame);
	else if (!are_tried(helper->flows))
		note(helper, frame, KEPT);
	else
		note(helper, frame, KEPT | TRIED);
}

/* In turn: what came before the item @i, and the item itself if it is a general one. */
static const struct pm_general *decide_generals(struct pm_meter *meter, struct pm_meter *helper,
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
		default:
			remember(meter, packet, packet, &general->frame, 0);
			remember(meter, &general->carrier, packet, &general->frame, 0);
			break;
		}
	}
	return general;
}

/* In turn: whether a datagram is what a glance said, and what its pair makes of it. */
static inline bool is_datagram_as_glanced(struct pm_meter *meter, const struct pm_item *item,
					  const struct pm_tally_entry *entry)
{
	struct pm_decision decision = entry->decision;

	switch (pm_learner_datagram(meter->learner, item->brief, item->flow, item->time_ns,
				    decision)) {
	case PM_PAIR_KNOWN:
		return true;
	case PM_PAIR_NEW:
		/* of a port with a label, of which there are few: nothing to be fetched ahead */
		pm_tally_event(meter->told, PM_TRANSPORT_UDP,
			       decision.side == PM_SIDE_SRC ? entry->src_port : entry->dst_port, 0,
			       PM_EVENT_ATTEMPT, 1);
		return true;
	default:
		return false;
	}
}

/* In turn: a frame that has a brief, of a conversation that is not at hand. */
static void decide_item(struct pm_meter *meter, const struct pm_item *item,
			struct pm_tally_entry *entry)
{
	if (entry->decision.rung != PM_RUNG_N && entry->transport == PM_TRANSPORT_UDP) {
		if (is_datagram_as_glanced(meter, item, entry))
			return;
	} else if (entry->decision.rung != PM_RUNG_N) {
		/* What has been learned since it was noted may concern it. */
		entry->decision = pm_learner_glance(meter->classes, item->brief, item->number);
		if (entry->decision.rung != PM_RUNG_N) {
			if (item->flow && pm_flows_hold(item->brief, item->number))
				pm_learner_glanced(meter->learner, item->flow, item->time_ns,
						   entry->decision);
			return;
		}
	}
	entry->decision = decide_brief(meter, item, entry);
}

/* What was noted as known, and is not: the rest of what it takes to decide about it. */
static PM_OUT_OF_LINE void fill_unknown(const struct pm_meter *meter, struct pm_item *item,
					struct pm_tally_entry *entry)
{
	/* it was a glimpse, of so much of the frame at least */
	const struct pm_link *ethernet = pm_link_find(ETHERNET);
	size_t held = pm_brief_ip_version(item->brief) == 4 ? 48 : 68;

	item->brief = pm_packet_brief(ethernet, item->bytes, held, entry->wire);
	fill_entry(entry, meter->key, item->brief, item->bytes, entry->wire);
	entry->decision = pm_learner_glance(meter->classes, item->brief, item->number);
}

/*
 * In turn: whether the conversation is known, of which a helper had a hint at most. It may be by
 * now.
 */
static inline bool is_known(struct pm_meter *meter, struct pm_item *item,
			    struct pm_tally_entry *entry)
{
	unsigned known = 0;

	if (!item->known && (!item->flow || !pm_flows_hold(item->brief, item->number)))
		return false;
	if (!meter->flows->asleep && pm_flows_reach(meter->flows, item->time_ns))
		known = pm_flows_look(meter->flows, item->flow);
	if (known) {
		entry->decision = pm_flow_decision(known);
		entry->src_host = 0;
		return true;
	}
	if (item->known)
		fill_unknown(meter, item, entry);
	return false;
}

/* Where deciding about what has been noted stands. */
struct place {
	const struct pm_general *general; /* the next one */
	size_t i;                         /* the next item */
	size_t known;                     /* items of conversations that were */
};

/* As long as nothing is learned, only those that were to be shown. */
static void decide_shown(struct pm_meter *meter, struct pm_meter *helper, struct place *place)
{
	for (size_t n = 0; n < helper->n_shown; n++) {
		size_t i = helper->shown[n];

		if (i < place->i)
			continue;
		if (helper->n_generals)
			place->general = decide_generals(meter, helper, place->general, i);
		if (helper->items[i].brief)
			decide_item(meter, &helper->items[i], &helper->entries[i]);
		if (pm_learner_generation(meter->learner) != helper->generation) {
			place->i = i + 1;
			return;
		}
	}
	place->i = helper->n_items;
}

/* All that are left. */
static void decide_all(struct pm_meter *meter, struct pm_meter *helper, struct place *place,
		       bool may_be_known)
{
	for (; place->i < helper->n_items; place->i++) {
		struct pm_item *item = &helper->items[place->i];
		struct pm_tally_entry *entry = &helper->entries[place->i];

		if (helper->n_generals)
			place->general = decide_generals(meter, helper, place->general, place->i);
		if (may_be_known && item->brief && is_known(meter, item, entry))
			place->known++;
		else if (item->brief)
			decide_item(meter, item, entry);
	}
}

/* While flows are tried: how many items of those from @first on would have been known. */
static size_t try_flows(struct pm_meter *meter, const struct pm_meter *helper, size_t first)
{
	size_t recalled = 0;

	for (size_t i = first; i < helper->n_items; i++) {
		const struct pm_item *item = &helper->items[i];

		if (item->brief && item->flow && pm_flows_hold(item->brief, item->number))
			recalled += pm_learner_try(meter->learner, item->flow);
	}
	return recalled;
}

/*
 * Of a helper's all are looked at, unless flows are asleep: it cannot know which are known. Else,
 * once something has been learned, all that come behind.
 */
void pm_meter_decide(struct pm_meter *meter, struct pm_meter *helper)
{
	struct place place = { .general = helper->generals, .i = helper->n_decided };
	bool all = helper != meter && (!meter->flows->asleep || helper->n_hints);
	size_t n = helper->n_items - helper->n_decided, tried = 0;

	/* Frames that the meter itself was given, where blocks end, came before. */
	if (helper != meter && meter->n_decided < meter->n_items)
		pm_meter_decide(meter, meter);
	meter->told = helper->tally;
	if (!all && pm_learner_generation(meter->learner) == helper->generation)
		decide_shown(meter, helper, &place);
	decide_all(meter, helper, &place, all);
	if (helper->n_generals)
		decide_generals(meter, helper, place.general, helper->n_items);
	pm_meter_count_events(meter);
	if (meter->flows->tried)
		tried = try_flows(meter, helper, helper->n_decided);
	if (helper != meter)
		pm_learner_rest(meter->learner, n, place.known + tried);
	else
		meter->n_recalled += tried;
	helper->n_decided = helper->n_items;
	helper->n_shown = 0;
	helper->generation = pm_learner_generation(meter->learner);
	meter->told = meter->tally;
}

void pm_meter_count(struct pm_meter *helper)
{
	struct pm_tally *tally = helper->tally;
	size_t n = helper->n_items, fetched = 0;

	for (size_t i = 0; i < n; i += AHEAD) {
		size_t end = n - i < AHEAD ? n : i + AHEAD;

		for (; fetched < n && fetched < end + AHEAD; fetched++)
			pm_tally_prefetch(tally,
					  (enum pm_transport)helper->entries[fetched].transport,
					  helper->entries[fetched].src_port,
					  helper->entries[fetched].dst_port);
		pm_tally_ports(tally, helper->entries + i, end - i);
	}
	for (size_t i = 0; i < helper->n_generals; i++) {
		const struct pm_packet *packet = &helper->generals[i].packet;

		if (packet->verdict == PM_VERDICT_PORTS)
			count_endpoint(helper, &helper->entries[helper->generals[i].before],
				       packet->ip_version, &packet->src, &packet->dst);
	}
	helper->n_items = helper->n_decided = helper->n_generals = helper->n_hints = 0;
}

void pm_meter_catch_up(struct pm_meter *meter)
{
	pm_meter_decide(meter, meter);
	pm_tally_ports(meter->tally, meter->entries, meter->n_items);
	pm_tally_known(meter->tally, meter->known, meter->n_known);
	pm_learner_rest(meter->learner, meter->n_items + meter->n_known,
			meter->n_known + meter->n_recalled);
	meter->n_items = meter->n_decided = meter->n_known = meter->n_recalled = 0;
}

int pm_meter_make_room(struct pm_meter *meter, size_t room, bool kept)
{
	meter->room = room;
	meter->entries = malloc(room * sizeof *meter->entries);
	meter->items = malloc(room * sizeof *meter->items);
	meter->shown = malloc(room * sizeof *meter->shown);
	if (kept)
		meter->generals = malloc(GENERALS_MAX * sizeof *meter->generals);
	else
		meter->heads = calloc(room, HEAD);
	if (!meter->entries || !meter->items || !meter->shown ||
	    (!meter->generals && !meter->heads))
		return PM_E_MEMORY;
	return PM_OK;
}
