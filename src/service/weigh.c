/* SPDX-License-Identifier: MIT */
/*
 * Where labels are weak, earlier conversations are weighed: who calls an endpoint from several
 * ports, and which hosts have only asked so far. A flood of strangers is passed over. Of those that
 * share a line of the tables the one that came first gives way.
 */
#include "learn-internal.h"

/* What a host was is soon worth nothing: its address may be another's. */
#define HOST_LIFE_MIN 30
/* The same of who called from where, in steps of four minutes. */
#define CALLER_LIFE 4
/*
 * Weak frames in a row after which it is looked into whether they have anything in common, and of
 * how many one is looked at while they have not: a flood of strangers teaches nothing, and would
 * have the tables forget what is real.
 */
#define STRETCH 1024
#define STRANGERS 16

enum {
	CALLERS = 32768,
	HOSTS = 32768,
};

/* What is known of callers. */
#define CALLED (UINT64_C(1) << 16)       /* it has spoken to the endpoint */
#define CALLED_BACK (UINT64_C(1) << 17)  /* and the endpoint to it */
#define CALLED_AGAIN (UINT64_C(1) << 18) /* from another port, or to one */
#define CALLED_AT 19                     /* seven bits: the time, in steps of four minutes */
#define CALLED_BITS 26

/* What is known of hosts, above the minute. */
#define WAS_CLIENT (UINT64_C(1) << 16)
#define WAS_SERVER (UINT64_C(1) << 17)
#define WAS_BITS 18

int pm_weigh_new(struct pm_learner *learner)
{
	if (pm_words_new(&learner->callers, CALLERS, CALLED_BITS) < 0 ||
	    pm_words_new(&learner->hosts, HOSTS, WAS_BITS) < 0)
		return PM_E_MEMORY;
	return PM_OK;
}

void pm_weigh_free(struct pm_learner *learner)
{
	pm_words_free(&learner->callers);
	pm_words_free(&learner->hosts);
}

static void note_host(struct pm_learner *learner, uint64_t host, uint64_t role, uint16_t now)
{
	uint64_t hash = pm_endpoint_hash(host, 0, 0);
	uint64_t *word = pm_words_find(&learner->hosts, hash);
	uint64_t roles = 0;

	if (!word)
		word = pm_words_push(&learner->hosts, hash);
	else if (!pm_is_older((uint16_t)*word, now, HOST_LIFE_MIN))
		roles = *word & (WAS_CLIENT | WAS_SERVER);
	*word = pm_words_tag(&learner->hosts, hash) | roles | role | now;
}

void pm_learner_note(struct pm_learner *learner, uint64_t src_host, uint64_t dst_host,
		     int64_t time_ns, enum pm_side side)
{
	uint16_t now = pm_minute(time_ns);

	if (src_host == dst_host)
		return;
	note_host(learner, src_host, side == PM_SIDE_SRC ? WAS_SERVER : WAS_CLIENT, now);
	note_host(learner, dst_host, side == PM_SIDE_DST ? WAS_SERVER : WAS_CLIENT, now);
}

void pm_learner_fetch_note(const struct pm_learner *learner, uint64_t src_host, uint64_t dst_host)
{
	__builtin_prefetch(pm_words_line(&learner->hosts, pm_endpoint_hash(src_host, 0, 0)), 1);
	__builtin_prefetch(pm_words_line(&learner->hosts, pm_endpoint_hash(dst_host, 0, 0)), 1);
}

static uint64_t call_time(const struct pm_sight *sight)
{
	return (uint64_t)(pm_sight_minute(sight) / 4) & 0x7f;
}

static bool is_recent_call(uint64_t word, uint64_t now)
{
	return ((now - (word >> CALLED_AT)) & 0x7f) <= CALLER_LIFE;
}

/*
 * Whether the caller's address talks with the endpoint from more than one port, as only clients do;
 * and that it does so from @port, now in direction @spoken. Without a word back the endpoint may be
 * a scanner's, and the caller its victim. @ret_stranger is set if nothing is known.
 */
static bool is_called_again(struct pm_learner *learner, const struct pm_sight *sight,
			    uint64_t endpoint, uint64_t caller, uint16_t port,
			    uint64_t spoken, bool *ret_stranger)
{
	const uint64_t all = CALLED | CALLED_BACK | CALLED_AGAIN;
	uint64_t hash = caller ^ endpoint;
	uint64_t now = call_time(sight), *word = pm_words_find(&learner->callers, hash);

	if (word && is_recent_call(*word, now)) {
		spoken |= *word & all;
		if ((uint16_t)*word != port)
			spoken |= CALLED_AGAIN;
		port = (uint16_t)*word;
	} else if (!word) {
		word = pm_words_push(&learner->callers, hash);
		*ret_stranger = true;
	}
	*word = pm_words_tag(&learner->callers, hash) | now << CALLED_AT | spoken | port;
	return (spoken & all) == all;
}

/* An address that was seen as a client, and never as a server. */
static bool is_client(const struct pm_learner *learner, const struct pm_sight *sight,
		      uint64_t host)
{
	uint64_t hash = pm_endpoint_hash(host, 0, 0);
	const uint64_t *word = pm_words_find(&learner->hosts, hash);

	return word && (*word & (WAS_CLIENT | WAS_SERVER)) == WAS_CLIENT &&
	       !pm_is_older((uint16_t)*word, pm_sight_minute(sight), HOST_LIFE_MIN);
}

/* In a flood only some frames are looked at. */
static bool is_passed_over(struct pm_learner *learner)
{
	if (++learner->weak == STRETCH) {
		uint32_t looked_at = learner->flooded ? STRETCH / STRANGERS : STRETCH;

		__atomic_store_n(&learner->flooded, learner->strangers > looked_at / 8 * 7,
				 __ATOMIC_RELAXED);
		learner->weak = learner->strangers = 0;
	}
	return learner->flooded && learner->weak % STRANGERS != 0;
}

/* Where labels are weak: what earlier conversations say of both ends. */
static enum pm_side weigh_ends(struct pm_learner *learner, const struct pm_sight *sight,
			       struct pm_ends ends)
{
	bool udp = pm_is_udp(pm_brief_transport(sight->brief)), stranger = false, src, dst;
	enum pm_side side;

	learner->weight = PM_WEIGHT_PASSED_OVER;
	if (is_passed_over(learner))
		return PM_SIDE_NONE;
	src = is_called_again(learner, sight, ends.src, sight->dst_host,
			      pm_brief_dst_port(sight->brief), CALLED_BACK, &stranger);
	dst = is_called_again(learner, sight, ends.dst, sight->src_host,
			      pm_brief_src_port(sight->brief), CALLED, &stranger);
	learner->strangers += stranger;
	learner->weight = src != dst ? PM_WEIGHT_CALLERS : PM_WEIGHT_NOTHING;
	/* Peers of UDP behind one address translator look like that too: their roles say more. */
	if (!udp && src != dst)
		return pm_side_of(src, dst);
	side = pm_side_of(is_client(learner, sight, sight->dst_host),
			  is_client(learner, sight, sight->src_host));
	if (side == PM_SIDE_NONE)
		return pm_side_of(src, dst);
	learner->weight = PM_WEIGHT_HOSTS;
	return side;
}

struct pm_decision pm_weigh_labels(struct pm_learner *learner, const struct pm_sight *sight,
				   struct pm_ends ends, struct pm_decision decision,
				   enum pm_side asked)
{
	bool udp = pm_is_udp(pm_brief_transport(sight->brief));
	enum pm_side side;

	learner->holds = PM_HOLDS_NOT;
	learner->weighed = true;
	if (udp && pm_brief_notes(sight->brief) & PM_NOTE_GROUP) {
		side = decision.rung == PM_RUNG_SCORE ? PM_SIDE_NONE : PM_SIDE_DST;
		learner->weight = PM_WEIGHT_GROUP;
	} else if (asked != PM_SIDE_NONE && pm_pairs_trusted(learner)) {
		side = asked;
		learner->weight = PM_WEIGHT_TRUSTED;
	} else {
		side = weigh_ends(learner, sight, ends);
	}
	if (side == PM_SIDE_NONE && asked != PM_SIDE_NONE && decision.rung > PM_RUNG_SCORE) {
		side = asked;
		learner->weight = PM_WEIGHT_FIRST;
	}
	if (side == PM_SIDE_NONE || side == (enum pm_side)decision.side)
		return decision;
	return pm_decided(learner, sight, side, PM_RUNG_LEARNED);
}

void pm_weigh_explain(const struct pm_learner *learner, const struct pm_sight *sight, bool src,
		      uint64_t end, struct pm_end_grounds *grounds)
{
	uint64_t host = src ? sight->src_host : sight->dst_host;
	uint64_t other_host = src ? sight->dst_host : sight->src_host;
	uint16_t other_port = src ? pm_brief_dst_port(sight->brief)
				  : pm_brief_src_port(sight->brief);
	const uint64_t *word = pm_words_find(&learner->hosts, pm_endpoint_hash(host, 0, 0));

	if (word && !pm_is_older((uint16_t)*word, pm_sight_minute(sight), HOST_LIFE_MIN)) {
		grounds->client = *word & WAS_CLIENT;
		grounds->server = *word & WAS_SERVER;
	}
	word = pm_words_find(&learner->callers, other_host ^ end);
	if (word && is_recent_call(*word, call_time(sight))) {
		uint64_t spoken = *word | (src ? CALLED_BACK : CALLED);

		grounds->called = true;
		grounds->caller_port = (uint16_t)*word;
		grounds->called_again = spoken & CALLED_AGAIN || grounds->caller_port != other_port;
		grounds->called_both = spoken & CALLED && spoken & CALLED_BACK;
	}
}
