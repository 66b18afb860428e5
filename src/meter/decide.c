/* SPDX-License-Identifier: MIT */
/*
 * What has been noted, in its turn: decided frame by frame in their order, and counted; alone a
 * meter does that for some frames at a time. With helpers it is done block by block: they note what
 * frames are, beside each other; what depends on the frames before is decided in the order of the
 * blocks; and they count, beside each other again (crew.c).
 */
#include "meter-internal.h"

/* What the ladder says of a brief, in its turn. */
static struct pm_decision decide_brief(struct pm_meter *meter, const struct pm_item *item,
				       const struct pm_tally_entry *entry)
{
	struct pm_sight sight = {
		.src = pm_meter_src_of(item->brief, item->bytes),
		.dst = pm_meter_dst_of(item->brief, item->bytes),
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

/* In turn: whether a datagram is what a glance said, and what its pair makes of it. */
static inline bool is_datagram_as_glanced(struct pm_meter *meter, const struct pm_item *item,
					  const struct pm_tally_entry *entry)
{
	struct pm_decision decision = entry->decision;
	uint32_t ports = (uint32_t)entry->src_port << 16 | entry->dst_port;

	switch (pm_learner_datagram(meter->learner, item->brief, item->flow, item->time_ns,
				    decision)) {
	case PM_PAIR_KNOWN:
		return true;
	case PM_PAIR_NEW:
		/* of a port with a label, of which there are few: nothing to be fetched ahead */
		ports >>= (decision.side == PM_SIDE_SRC) * 16;
		pm_tally_event(meter->told, PM_TRANSPORT_UDP, (uint16_t)ports, 0,
			       PM_EVENT_ATTEMPT, 1);
		return true;
	default:
		return false;
	}
}

/* In turn: whether a glance is all that it takes to decide about a frame. */
static inline bool is_glanced(struct pm_meter *meter, const struct pm_item *item,
			      struct pm_tally_entry *entry)
{
	if (entry->decision.rung == PM_RUNG_N)
		return false;
	if (entry->transport == PM_TRANSPORT_UDP)
		return is_datagram_as_glanced(meter, item, entry);
	/* What has been learned since it was noted may concern it. */
	entry->decision = pm_learner_glance(meter->classes, item->brief);
	if (entry->decision.rung == PM_RUNG_N)
		return false;
	if (item->flow && pm_flows_hold(item->brief, item->number))
		pm_learner_glanced(meter->learner, item->flow, item->time_ns, entry->decision);
	return true;
}

/* In turn: a frame that has a brief, of a conversation that is not at hand. */
static void decide_item(struct pm_meter *meter, const struct pm_item *item,
			struct pm_tally_entry *entry)
{
	if (!is_glanced(meter, item, entry))
		entry->decision = decide_brief(meter, item, entry);
	else if (pm_learner_notes(item->number))
		pm_learner_note(meter->learner, entry->src_host, entry->dst_host, item->time_ns,
				(enum pm_side)entry->decision.side);
}

/* What was noted as known, and is not: the rest of what it takes to decide about it. */
static PM_OUT_OF_LINE void fill_unknown(const struct pm_meter *meter, struct pm_item *item,
					struct pm_tally_entry *entry)
{
	/* it was a glimpse, of so much of the frame at least */
	const struct pm_link *ethernet = pm_link_find(ETHERNET);
	size_t held = pm_brief_ip_version(item->brief) == 4 ? 48 : 68;

	item->brief = pm_packet_brief(ethernet, item->bytes, held, entry->wire);
	pm_meter_fill_entry(entry, meter->key, item->brief, item->bytes, entry->wire);
	entry->decision = pm_learner_glance(meter->classes, item->brief);
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

/* How far ahead of the one that is decided pairs are fetched again, in shown items. */
#define SHOWN_AHEAD 8

/*
 * A pair that was fetched when a helper noted it may have been another's meanwhile, who decided
 * before. Generals have no flow.
 */
static inline void fetch_again(const struct pm_meter *meter, const struct pm_meter *helper,
			       size_t n)
{
	const struct pm_item *item;

	if (helper == meter || n >= helper->n_shown)
		return;
	item = &helper->items[helper->shown[n]];
	if (pm_brief_transport(item->brief) == PM_TRANSPORT_UDP)
		pm_learner_fetch_pair(meter->learner, item->flow);
}

/* As long as nothing is learned, only those that were to be shown. */
static void decide_shown(struct pm_meter *meter, struct pm_meter *helper, struct place *place)
{
	for (size_t n = 0; n < helper->n_shown; n++) {
		size_t i = helper->shown[n];

		fetch_again(meter, helper, n + SHOWN_AHEAD);
		if (i < place->i)
			continue;
		if (helper->n_generals)
			place->general =
				pm_meter_decide_generals(meter, helper, place->general, i);
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
			place->general =
				pm_meter_decide_generals(meter, helper, place->general, place->i);
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
		pm_meter_decide_generals(meter, helper, place.general, helper->n_items);
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
	pm_meter_count_generals(helper);
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
