/* SPDX-License-Identifier: MIT */
/*
 * Frames as they come: looked for among the conversations that are known, and then in the totals
 * and done with but for their ports; else noted, with what it takes to decide about them and to
 * count them (decide.c). What the short cut does not settle goes to general.c.
 */
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

static inline bool may_be_tunnel(const struct pm_meter *meter, pm_brief brief)
{
	const struct pm_tunnels *tunnels = meter->options.tunnels;

	return tunnels && pm_brief_transport(brief) == PM_TRANSPORT_UDP &&
	       pm_tunnels_hold(tunnels, pm_brief_src_port(brief), pm_brief_dst_port(brief));
}

/* Before a frame is decoded by its link type. */
static void turn_to_link(struct pm_meter *meter, uint32_t linktype)
{
	if (linktype == meter->linktype)
		return;
	meter->linktype = linktype;
	meter->link = pm_link_find(linktype);
	meter->ethernet = linktype == ETHERNET;
}

/* What comes before decoding. */
static inline void begin(struct pm_meter *meter, const struct pm_frame *frame)
{
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
	return brief && (meter->briefly || (!meter->wholly && !may_be_tunnel(meter, brief)));
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

_Static_assert(HEAD >= 14 + 2 * 4 + 40, "it holds the addresses behind any brief's tags");

/* What may be asked of a frame that has a brief: the addresses of its link and of IP. */
static PM_INLINE void keep_addresses(uint8_t *head, const struct pm_frame *frame, pm_brief brief)
{
	/* of sizes that are known here they are a few moves */
	if (pm_brief_network(brief) == 14 && pm_brief_ip_version(brief) == 4)
		memcpy(head + 2, frame->bytes + 2, 32);
	else if (pm_brief_network(brief) == 14)
		memcpy(head + 6, frame->bytes + 6, 48);
	else
		memcpy(head, frame->bytes, frame->held < HEAD ? frame->held : HEAD);
}

/* What of a frame has to be there when it is decided about. */
static PM_INLINE void fill_item(struct pm_meter *meter, const struct pm_frame *frame,
				pm_brief brief, unsigned how)
{
	struct pm_item *item = &meter->items[meter->n_items];

	item->brief = brief;
	item->time_ns = frame->time_ns;
	item->number = frame->number;
	if (how & KEPT) {
		item->bytes = frame->bytes;
	} else {
		/* the item's own place among the meter's heads, which it has for good */
		keep_addresses((uint8_t *)(uintptr_t)item->bytes, frame, brief);
	}
}

static PM_INLINE pm_flow flow_of_brief(const struct pm_meter *meter, pm_brief brief,
				       const uint8_t *bytes)
{
	return pm_flow_of(meter->key, brief, pm_meter_src_of(brief, bytes),
			  pm_meter_dst_of(brief, bytes));
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
	if (how & KEPT)
		item->known = 0;
	item->flow = 0;
	if (how & (AWAKE | TRIED))
		item->flow = flow_of_brief(meter, brief, frame->bytes);
	fill_item(meter, frame, brief, how);
	pm_meter_fill_entry(entry, meter->key, brief, frame->bytes, frame->wire);
	decision = pm_learner_glance(meter->classes, brief);
	entry->decision = decision;
	if (decision.rung == PM_RUNG_N) {
		if (pm_learner_asks(meter->classes, brief))
			return false;
		item->flow = pm_learner_fetch(meter->asked, brief, item->flow,
					      pm_meter_src_of(brief, frame->bytes),
					      entry->src_host, entry->dst_host);
		meter->shown[meter->n_shown++] = (uint16_t)meter->n_items;
	} else if (entry->transport == PM_TRANSPORT_UDP) {
		if (!(how & (AWAKE | TRIED)))
			item->flow = flow_of_brief(meter, brief, frame->bytes);
		pm_learner_fetch_pair(meter->asked, item->flow);
		meter->shown[meter->n_shown++] = (uint16_t)meter->n_items;
	} else if (pm_learner_notes(frame->number)) {
		pm_learner_fetch_note(meter->asked, entry->src_host, entry->dst_host);
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

/*
 * The same where the frame can be read the quick way: of these the compiler knows where the
 * addresses are.
 */
static PM_INLINE bool note_quickly(struct pm_meter *meter, const struct pm_frame *frame,
				   unsigned how)
{
	pm_brief quick;

	if (frame->linktype != ETHERNET)
		return false;
	quick = pm_packet_quick(frame->bytes, frame->held, frame->wire);
	if (quick)
		return note_brief(meter, frame, quick, how);
	quick = pm_packet_quick_ip6(frame->bytes, frame->held, frame->wire);
	return quick && note_brief(meter, frame, quick, how);
}

static PM_OUT_OF_LINE void count_slowly(struct pm_meter *meter, const struct pm_frame *frame,
					unsigned how)
{
	pm_brief brief;

	turn_to_link(meter, frame->linktype);
	brief = pm_packet_brief(meter->link, frame->bytes, frame->held, frame->wire);
	if (note_brief(meter, frame, brief, how))
		pm_meter_noted(meter);
	else
		pm_meter_count_fully(meter, frame);
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
	begin(meter, frame);
	if (note_quickly(meter, frame, AWAKE))
		pm_meter_noted(meter);
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
	begin(meter, frame);
	if (note_quickly(meter, frame, how))
		pm_meter_noted(meter);
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

static PM_INLINE void note(struct pm_meter *helper, const struct pm_frame *frame, unsigned how)
{
	pm_brief brief;

	begin(helper, frame);
	if (helper->n_generals == GENERALS_MAX)
		helper->full(helper->full_ctx);
	if (helper->n_items == 0)
		helper->generation = pm_learner_generation(helper->asked);
	if (note_quickly(helper, frame, how)) {
		pm_meter_noted(helper);
		return;
	}
	turn_to_link(helper, frame->linktype);
	brief = pm_packet_brief(helper->link, frame->bytes, frame->held, frame->wire);
	if (note_brief(helper, frame, brief, how))
		pm_meter_noted(helper);
	else
		pm_meter_note_fully(helper, frame);
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
	pm_meter_noted(helper);
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
	for (size_t i = 0; !kept && i < room; i++)
		meter->items[i] = (struct pm_item){ .bytes = meter->heads + i * HEAD };
	return PM_OK;
}
