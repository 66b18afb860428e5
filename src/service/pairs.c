/* SPDX-License-Identifier: MIT */
/*
 * Who spoke first of two: of UDP, whose question it is; of TCP between two that both serve, who
 * opened. Where labels leave no doubt it is counted whether first speakers are clients, and so how
 * far they may be believed to be where labels are weak. Of those that share a line of the table the
 * pair that was of use least lately gives way.
 */
#include "tell.h"

/* UDP between two that have been silent for so long begins anew: RFC 4787, requirement 5. */
#define PAIR_LIFE 60 /* steps of two seconds */
/* So far time may go backwards: three hours in such steps. */
#define PAIR_BACKWARDS 5400
/* A conversation that seems to begin when the capture does may have begun before. */
#define WARM_UP_NS (INT64_C(5) * PM_NS_PER_S)
/*
 * First speakers are believed to be clients when so many have been where labels tell, and so many
 * times as have not.
 */
#define TRUST_LEAST 8
#define TRUST_RATIO 16

enum {
	PAIRS = 65536,
	PAIR_LINES = PAIRS / PM_WAYS,
};

int pm_pairs_new(struct pm_learner *learner)
{
	return pm_words_new(&learner->pairs, PAIRS, PM_PAIR_BITS);
}

void pm_pairs_free(struct pm_learner *learner)
{
	pm_words_free(&learner->pairs);
}

static uint16_t step_of(int64_t time_ns)
{
	return (uint16_t)(time_ns / (2 * PM_NS_PER_S));
}

static bool is_recent_pair(uint64_t pair, uint16_t now)
{
	int passed = (int16_t)(now - (uint16_t)pair);

	/* steps wrap after 36 hours: as in pm_is_older */
	return passed <= PAIR_LIFE && passed >= -PAIR_BACKWARDS;
}

/*
 * A new pair in @line, of which @word says what is known; in the place of who has been silent for
 * longest, and of whom nothing is decided from here on.
 */
static PM_INLINE void pair_add(struct pm_learner *learner, pm_flow flow, uint64_t *line,
			       uint64_t word)
{
	uint64_t last = line[PM_WAYS - 1];

	if (last && !learner->flows.flows.asleep)
		pm_flows_drop(&learner->flows, last >> PM_PAIR_BITS << PM_PAIR_BITS << 1 |
						       (flow & (2 * PAIR_LINES - 1)));
	pm_words_push_to(&learner->pairs, line, word);
}

static uint64_t *pair_new(struct pm_learner *learner, pm_flow flow, uint64_t known)
{
	uint64_t hash = pm_pair_hash(flow), *line = pm_words_line(&learner->pairs, hash);

	pair_add(learner, flow, line, pm_words_tag(&learner->pairs, hash) | known);
	return line;
}

/* That a pair has spoken: once in each step, so that all other frames need not ask for it. */
static uint64_t *pair_renew(const struct pm_learner *learner, uint64_t hash, uint64_t *pair,
			    uint16_t now)
{
	if ((uint16_t)*pair == now)
		return pair;
	pair = pm_words_forward(&learner->pairs, hash, pair);
	*pair = (*pair & ~UINT64_C(0xffff)) | now;
	return pair;
}

void pm_pairs_open(struct pm_learner *learner, const struct pm_sight *sight, bool turned)
{
	pm_flow flow = pm_sight_flow(learner, sight);
	uint64_t known = pm_pair_first(flow, !turned), *pair;

	pair = pm_words_find(&learner->pairs, pm_pair_hash(flow));
	if (pair)
		*pair = pm_words_tag(&learner->pairs, pm_pair_hash(flow)) | known |
			step_of(sight->time_ns);
	else
		pair_new(learner, flow, known | step_of(sight->time_ns));
}

enum pm_side pm_pairs_decide(const struct pm_learner *learner, const struct pm_sight *sight)
{
	pm_flow flow = pm_sight_flow(learner, sight);
	const uint64_t *pair = pm_words_find(&learner->pairs, pm_pair_hash(flow));

	if (!pair)
		return PM_SIDE_NONE;
	return (*pair & PM_PAIR_LOWER) == pm_pair_first(flow, false) ? PM_SIDE_DST : PM_SIDE_SRC;
}

uint64_t *pm_pairs_see(struct pm_learner *learner, const struct pm_sight *sight, pm_flow flow)
{
	uint64_t hash = pm_pair_hash(flow), known;
	uint64_t *pair = pm_words_find(&learner->pairs, hash);
	uint16_t now = step_of(sight->time_ns);

	if (pair && is_recent_pair(*pair, now)) {
		pair = pair_renew(learner, hash, pair, now);
		if (!(*pair & PM_PAIR_ANSWERED) &&
		    (*pair & PM_PAIR_LOWER) != pm_pair_first(flow, false)) {
			*pair |= PM_PAIR_ANSWERED;
			pm_tell(learner, PM_EVENT_ANSWER, sight, false, false);
		}
		return pair;
	}
	known = pm_pair_first(flow, false) | PM_PAIR_FRESH;
	if (pm_time_since(sight->time_ns, learner->start_ns) >= WARM_UP_NS)
		known |= PM_PAIR_SURE;
	if (!pair)
		return pair_new(learner, flow, known | now);
	*pair = pm_words_tag(&learner->pairs, hash) | known | now;
	return pair;
}

/* Once so many first speakers have been weighed, those count half. */
static inline void halve_old(struct pm_learner *learner)
{
	if (learner->agree + learner->disagree >= UINT32_C(1) << 16) {
		learner->agree /= 2;
		learner->disagree /= 2;
	}
}

void pm_pairs_calibrate(struct pm_learner *learner, uint64_t *pair, bool src_first,
			enum pm_side strong)
{
	bool from_client = src_first == (strong == PM_SIDE_DST);

	if (from_client && !(*pair & PM_PAIR_ANSWERED))
		return;
	*pair |= PM_PAIR_WEIGHED;
	learner->agree += from_client;
	learner->disagree += !from_client;
	halve_old(learner);
}

/* The same of a new pair, by its first frame; no branch can predict which side of that serves. */
static inline uint64_t calibrate_new(struct pm_learner *learner, bool from_server)
{
	learner->disagree += from_server;
	halve_old(learner);
	return from_server ? PM_PAIR_WEIGHED : 0;
}

bool pm_pairs_trusted(const struct pm_learner *learner)
{
	return learner->agree >= TRUST_LEAST && learner->agree >= TRUST_RATIO * learner->disagree;
}

enum pm_pair pm_learner_datagram(struct pm_learner *learner, pm_brief brief, pm_flow flow,
				 int64_t time_ns, struct pm_decision decision)
{
	uint64_t hash = pm_pair_hash(flow), first = pm_pair_first(flow, false);
	uint64_t tag = pm_words_tag(&learner->pairs, hash);
	uint64_t *line = pm_words_line(&learner->pairs, hash), *pair;
	uint16_t now = step_of(time_ns);
	unsigned holds = PM_HOLDS_ALONE;

	pair = pm_words_find_in(&learner->pairs, line, tag);
	if (pair) {
		bool news = (*pair & PM_PAIR_ANSWERED) ? !(*pair & PM_PAIR_WEIGHED)
						       : (*pair & PM_PAIR_LOWER) != first;

		if (news || !is_recent_pair(*pair, now))
			return PM_PAIR_NEWS;
		pair = pair_renew(learner, hash, pair, now);
		if (*pair & PM_PAIR_ANSWERED)
			holds = 0;
		if (!learner->flows.flows.asleep)
			pm_flows_keep(&learner->flows, flow, time_ns, decision, holds);
		return PM_PAIR_KNOWN;
	}
	if (!learner->started ||
	    pm_watch_cares(PM_EVENT_ATTEMPT, PM_TRANSPORT_UDP, pm_brief_src_port(brief),
			   pm_brief_dst_port(brief)))
		return PM_PAIR_NEWS;
	if (pm_time_since(time_ns, learner->start_ns) >= WARM_UP_NS)
		tag |= PM_PAIR_SURE;
	tag |= calibrate_new(learner, decision.side == PM_SIDE_SRC);
	pair_add(learner, flow, line, tag | first | now);
	if (!learner->flows.flows.asleep)
		pm_flows_keep(&learner->flows, flow, time_ns, decision, holds);
	return PM_PAIR_NEW;
}

void pm_learner_fetch_pair(const struct pm_learner *learner, pm_flow flow)
{
	__builtin_prefetch(pm_words_line(&learner->pairs, pm_pair_hash(flow)), 1);
}

void pm_pairs_explain(const struct pm_learner *learner, const struct pm_sight *sight,
		      struct pm_grounds *grounds)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	pm_flow flow = pm_sight_flow(learner, sight);
	const uint64_t *pair = pm_words_find(&learner->pairs, pm_pair_hash(flow));

	if (pair && (!pm_is_udp(transport) || is_recent_pair(*pair, step_of(sight->time_ns)))) {
		grounds->pair = true;
		grounds->src_first = (*pair & PM_PAIR_LOWER) == pm_pair_first(flow, false);
		grounds->sure = *pair & PM_PAIR_SURE;
	} else {
		grounds->src_first = true;
		grounds->sure = learner->started &&
				pm_time_since(sight->time_ns, learner->start_ns) >= WARM_UP_NS;
	}
	grounds->agree = learner->agree;
	grounds->disagree = learner->disagree;
}
