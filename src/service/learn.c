/* SPDX-License-Identifier: MIT */
/*
 * The side ladder of a source that remembers: walks the rungs from handshake to the labels, and
 * learns from each frame. What is remembered stands in files of its own (learn-internal.h names
 * them). A byte for each port of TCP says whether a frame need be shown here at all. See
 * docs/architecture.md, "The evidence".
 */
#include "tell.h"

_Static_assert(PM_TRANSPORT_TCP == 0 && PM_TRANSPORT_UDP == 1, "a glance goes by the transport");

/* All bytes of TCP anew: ports of whatever is forgotten by now are left alone again. */
static void heat_anew(struct pm_learner *learner)
{
	const uint8_t *classes = learner->rules->classes[PM_TRANSPORT_TCP];

	for (size_t port = 0; port < PM_PORTS; port++)
		__atomic_store_n(&learner->classes[port], classes[port], __ATOMIC_RELAXED);
	for (size_t port = 0; learner->n_hot && port < PM_PORTS; port++)
		learner->marks[port] &= (uint16_t)~PM_MARK_SERVES;
	learner->n_hot = 0;
	pm_servers_heat(learner);
	pm_openings_heat(learner);
	learner->n_hot_before = learner->n_hot;
	learner->generation++;
	pm_flows_forget(&learner->flows);
}

int pm_learner_new(const struct pm_learner_options *options, struct pm_rules *rules,
		   struct pm_learner **ret_learner)
{
	struct pm_learner *learner = calloc(1, sizeof *learner);

	if (!learner)
		return PM_E_MEMORY;
	learner->options = *options;
	/*
	 * Live, a frame comes so long after the one before that the word it would look for has left
	 * the cache, and waiting for it costs more than all that is fetched ahead.
	 */
	if (options->live)
		learner->options.flows = PM_FLOWS_NEVER;
	learner->key = options->key;
	learner->classes = malloc(PM_PORTS);
	learner->glanced[PM_TRANSPORT_TCP] = learner->classes;
	learner->marks = calloc(PM_PORTS, sizeof *learner->marks);
	if (!learner->classes || !learner->marks || pm_openings_new(learner) < 0 ||
	    pm_servers_new(learner) < 0 || pm_pairs_new(learner) < 0 ||
	    pm_weigh_new(learner) < 0 ||
	    pm_flows_new(&learner->flows, learner->options.flows) < 0) {
		pm_learner_free(learner);
		return PM_E_MEMORY;
	}
	if (options->live) {
		learner->pairs.used = learner->callers.used = PM_PAGES_EXPECTED;
		learner->hosts.used = PM_PAGES_EXPECTED;
	}
	pm_learner_follow(learner, rules);
	*ret_learner = learner;
	return PM_OK;
}

void pm_learner_free(struct pm_learner *learner)
{
	if (!learner)
		return;
	pm_servers_free(learner);
	pm_openings_free(learner);
	pm_pairs_free(learner);
	pm_weigh_free(learner);
	pm_flows_free(&learner->flows);
	free(learner->classes);
	free(learner->marks);
	free(learner);
}

void pm_learner_follow(struct pm_learner *learner, const struct pm_rules *rules)
{
	learner->rules = rules;
	learner->glanced[PM_TRANSPORT_UDP] = rules->classes[PM_TRANSPORT_UDP];
	heat_anew(learner);
}

void pm_learner_begin(struct pm_learner *learner, int64_t time_ns)
{
	learner->started = true;
	learner->start_ns = time_ns;
}

void pm_learner_close(struct pm_learner *learner, int64_t time_ns, bool last)
{
	pm_openings_look(learner, time_ns, last);
	/* Who has met whom is counted anew in the next interval. */
	pm_flows_forget(&learner->flows);
	if (learner->n_hot > 2 * learner->n_hot_before + 1024)
		heat_anew(learner);
}

/* The rungs of set-up, which most frames have nothing to do with. */
static inline enum pm_side from_setup(struct pm_learner *learner, const struct pm_sight *sight,
				      struct pm_ends ends)
{
	if (sight->setup == PM_SETUP_OPEN)
		return pm_openings_open(learner, sight, ends);
	if (sight->setup == PM_SETUP_NONE || sight->setup == PM_SETUP_CONFIRM)
		return PM_SIDE_NONE;
	return pm_openings_decide(learner, sight, ends);
}

static uint16_t marks_of(const struct pm_learner *learner, uint8_t transport, uint16_t port)
{
	return transport == PM_TRANSPORT_TCP ? learner->marks[port] : UINT16_MAX;
}

/*
 * How far a decision of TCP holds, @src or @dst serving: as long as no port is new among those that
 * serve, if what does not serve has one that no one serves at; else until an endpoint is learned.
 * The destination may have a handshake to confirm; and the source one that is over by now, and
 * would not be if time went back.
 */
static unsigned how_far(const struct pm_learner *learner, const struct pm_sight *sight,
			struct pm_ends ends, bool src, bool dst)
{
	uint16_t src_marks = marks_of(learner, PM_TRANSPORT_TCP, pm_brief_src_port(sight->brief));
	uint16_t dst_marks = marks_of(learner, PM_TRANSPORT_TCP, pm_brief_dst_port(sight->brief));
	unsigned holds = dst_marks & ~PM_MARK_SERVES ? PM_HOLDS_ALONE : 0;
	bool to_itself = sight->src_host == sight->dst_host &&
			 pm_brief_src_port(sight->brief) == pm_brief_dst_port(sight->brief);

	if ((src && dst) || to_itself)
		return PM_HOLDS_NOT;
	if (src_marks & ~PM_MARK_SERVES && pm_openings_hold(learner, ends.src, ends.dst))
		return PM_HOLDS_NOT;
	if ((!src && src_marks & PM_MARK_SERVES) || (!dst && dst_marks & PM_MARK_SERVES))
		holds |= PM_HOLDS_WEAKLY;
	return holds;
}

/* Which of both ends serves. */
static enum pm_side from_endpoints(struct pm_learner *learner, const struct pm_sight *sight,
				   struct pm_ends ends)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_marks = marks_of(learner, transport, pm_brief_src_port(sight->brief));
	uint16_t dst_marks = marks_of(learner, transport, pm_brief_dst_port(sight->brief));
	uint16_t now = pm_sight_minute(sight);
	bool src = src_marks & PM_MARK_SERVES && pm_servers_see(learner, ends.src, now);
	bool dst = dst_marks & PM_MARK_SERVES && pm_servers_see(learner, ends.dst, now);

	if (sight->setup == PM_SETUP_CONFIRM && src_marks & ~PM_MARK_SERVES &&
	    (dst || !src || pm_is_turned(learner, sight)) &&
	    pm_openings_confirm(learner, sight, ends))
		dst = dst || pm_servers_see(learner, ends.dst, now);
	learner->holds = how_far(learner, sight, ends, src, dst);
	return src && dst ? pm_pairs_decide(learner, sight) : pm_side_of(src, dst);
}

/* The ladder's rungs that need no memory. */
static struct pm_decision from_ports(const struct pm_learner *learner,
				     const struct pm_sight *sight)
{
	return sight->packet ? pm_side_decide(learner->rules, sight->packet)
			     : pm_side_decide_brief(learner->rules, sight->brief);
}

/* What a frame says whose labels leave no doubt; @pair: of UDP, else NULL. */
static inline void confirm_labels(struct pm_learner *learner, const struct pm_sight *sight,
				  uint64_t *pair, bool src_first, enum pm_side side)
{
	if (pair && !(*pair & PM_PAIR_WEIGHED) && *pair & (PM_PAIR_FRESH | PM_PAIR_ANSWERED))
		pm_pairs_calibrate(learner, pair, src_first, side);
	if (pm_learner_notes(sight->number))
		pm_hosts_note(learner, sight, side);
}

/* Below the handshake and the endpoints that it has shown; @pair: of UDP, else NULL. */
static struct pm_decision from_labels(struct pm_learner *learner, const struct pm_sight *sight,
				      struct pm_ends ends, uint64_t *pair, bool src_first)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_decision decision = from_ports(learner, sight);
	bool src = pm_is_strong_port(learner, transport, pm_brief_src_port(sight->brief));
	bool dst = pm_is_strong_port(learner, transport, pm_brief_dst_port(sight->brief));
	enum pm_side asked = src_first ? PM_SIDE_DST : PM_SIDE_SRC;

	if (decision.rung == PM_RUNG_RULE || decision.rung == PM_RUNG_SYMMETRIC)
		return decision;
	if (!src && !dst)
		return pm_weigh_labels(learner, sight, ends, decision,
				       pair && *pair & PM_PAIR_SURE ? asked : PM_SIDE_NONE);
	/* Two strong ones leave a doubt. */
	confirm_labels(learner, sight, src != dst ? pair : NULL, src_first,
		       (enum pm_side)decision.side);
	return decision;
}

/* Between two of UDP; the first frame is an attempt, at whatever it counts for. */
static struct pm_decision from_datagram(struct pm_learner *learner, const struct pm_sight *sight,
					struct pm_ends ends)
{
	pm_flow flow = pm_sight_flow(learner, sight);
	uint64_t *pair = pm_pairs_see(learner, sight, flow);
	bool src_first = (*pair & PM_PAIR_LOWER) == pm_pair_first(flow, false);
	struct pm_decision decision = from_labels(learner, sight, ends, pair, src_first);

	if (*pair & PM_PAIR_FRESH) {
		*pair &= ~PM_PAIR_FRESH;
		pm_tell(learner, PM_EVENT_ATTEMPT, sight, true, decision.side == PM_SIDE_SRC);
	}
	return decision;
}

struct pm_decision pm_learner_decide(struct pm_learner *learner, const struct pm_sight *sight)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_decision decision;
	struct pm_ends ends;
	enum pm_side side;

	if (!learner->started)
		pm_learner_begin(learner, sight->time_ns);
	pm_flows_enter(&learner->flows, sight->time_ns);
	/* Port 0 is no endpoint; but who asks from it asks someone. */
	if (pm_brief_src_port(sight->brief) == 0 || pm_brief_dst_port(sight->brief) == 0) {
		if (sight->setup == PM_SETUP_OPEN && pm_brief_dst_port(sight->brief) != 0)
			return pm_decided(learner, sight, PM_SIDE_DST, PM_RUNG_HANDSHAKE);
		return from_ports(learner, sight);
	}
	ends.src = pm_endpoint_hash(sight->src_host, transport, pm_brief_src_port(sight->brief));
	ends.dst = pm_endpoint_hash(sight->dst_host, transport, pm_brief_dst_port(sight->brief));
	if (pm_is_udp(transport))
		return from_datagram(learner, sight, ends);
	side = from_setup(learner, sight, ends);
	if (side != PM_SIDE_NONE)
		return pm_decided(learner, sight, side, PM_RUNG_HANDSHAKE);
	side = from_endpoints(learner, sight, ends);
	if (side != PM_SIDE_NONE)
		decision = pm_decided(learner, sight, side, PM_RUNG_LEARNED);
	else
		decision = from_labels(learner, sight, ends, NULL, false);
	/* which of two labels has more weight depends on which end is the destination */
	if (decision.rung == PM_RUNG_SCORE)
		learner->holds |= PM_HOLDS_ALONE;
	if (!learner->flows.flows.asleep && !sight->packet && sight->setup == PM_SETUP_CONFIRM &&
	    !(pm_brief_notes(sight->brief) & PM_NOTE_GROUP))
		pm_flows_keep(&learner->flows, pm_sight_flow(learner, sight), sight->time_ns,
			      decision, learner->holds);
	return decision;
}

/* What is known of the source, or of the destination, before the frame is shown. */
static struct pm_end_grounds end_grounds(const struct pm_learner *learner,
					 const struct pm_sight *sight, bool src)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	uint16_t dst_port = pm_brief_dst_port(sight->brief);
	uint64_t src_end = pm_endpoint_hash(sight->src_host, transport, src_port);
	uint64_t dst_end = pm_endpoint_hash(sight->dst_host, transport, dst_port);
	uint64_t end = src ? src_end : dst_end, other = src ? dst_end : src_end;
	struct pm_end_grounds grounds = {
		.strong = pm_is_strong_port(learner, transport, src ? src_port : dst_port),
	};

	pm_servers_explain(learner, end, pm_sight_minute(sight), &grounds);
	pm_openings_explain(learner, end, other, sight->time_ns, &grounds);
	pm_weigh_explain(learner, sight, src, end, &grounds);
	return grounds;
}

/* Before a frame between two ports is shown. */
static void find_grounds(const struct pm_learner *learner, const struct pm_sight *sight,
			 struct pm_grounds *grounds)
{
	grounds->src = end_grounds(learner, sight, true);
	grounds->dst = end_grounds(learner, sight, false);
	pm_pairs_explain(learner, sight, grounds);
}

struct pm_decision pm_learner_explain(struct pm_learner *learner, const struct pm_sight *sight,
				      struct pm_grounds *ret_grounds)
{
	struct pm_grounds grounds = { .setup = sight->setup };
	struct pm_decision decision;

	if (pm_brief_src_port(sight->brief) != 0 && pm_brief_dst_port(sight->brief) != 0)
		find_grounds(learner, sight, &grounds);
	learner->weighed = false;
	learner->weight = PM_WEIGHT_NOTHING;
	decision = pm_learner_decide(learner, sight);
	grounds.weighed = learner->weighed;
	grounds.weight = learner->weight;
	*ret_grounds = grounds;
	return decision;
}

const uint8_t *const *pm_learner_classes(const struct pm_learner *learner)
{
	return learner->glanced;
}

const struct pm_flows *pm_learner_flows(const struct pm_learner *learner)
{
	return &learner->flows.flows;
}

void pm_learner_glanced(struct pm_learner *learner, pm_flow flow, int64_t time_ns,
			struct pm_decision decision)
{
	pm_flows_keep(&learner->flows, flow, time_ns, decision, 0);
}

bool pm_learner_try(struct pm_learner *learner, pm_flow flow)
{
	return pm_flows_try(&learner->flows, flow);
}

void pm_learner_rest(struct pm_learner *learner, size_t frames, size_t recalled)
{
	if (learner->options.flows != PM_FLOWS_NEVER)
		pm_flows_rest(&learner->flows, frames, recalled);
}

pm_flow pm_learner_fetch(const struct pm_learner *learner, pm_brief brief, pm_flow flow,
			 const uint8_t *addresses, uint64_t src_host, uint64_t dst_host)
{
	uint8_t transport = pm_brief_transport(brief);
	size_t size = pm_brief_ip_version(brief) == 4 ? 4 : 16;
	uint16_t src_port = pm_brief_src_port(brief), dst_port = pm_brief_dst_port(brief);
	uint8_t flags = pm_brief_tcp_flags(brief);
	struct pm_ends ends;
	bool weighs;

	if (transport == PM_TRANSPORT_TCP && pm_tcp_setup(flags) == PM_SETUP_OPEN) {
		/* it says itself who is which */
		ends.src = pm_endpoint_hash(src_host, transport, src_port);
		ends.dst = pm_endpoint_hash(dst_host, transport, dst_port);
		pm_openings_fetch(learner, ends, src_port, flags);
		return flow;
	}
	weighs = !__atomic_load_n(&learner->flooded, __ATOMIC_RELAXED) &&
		 !pm_is_strong_port(learner, transport, src_port) &&
		 !pm_is_strong_port(learner, transport, dst_port);
	if (pm_is_udp(transport)) {
		if (!flow)
			flow = pm_flow_of(learner->key, brief, addresses, addresses + size);
		pm_learner_fetch_pair(learner, flow);
		if (!weighs)
			return flow;
	}
	ends.src = pm_endpoint_hash(src_host, transport, src_port);
	ends.dst = pm_endpoint_hash(dst_host, transport, dst_port);
	if (!pm_is_udp(transport)) {
		/* of two that are hot, one is a client's, most often the higher */
		if (pm_class_at(learner, src_port) & PM_CLASS_HOT && src_port < dst_port)
			__builtin_prefetch(pm_words_line(&learner->endpoints, ends.src));
		else if (pm_class_at(learner, dst_port) & PM_CLASS_HOT)
			__builtin_prefetch(pm_words_line(&learner->endpoints, ends.dst));
		if (flags & PM_TCP_SYN)
			pm_openings_fetch(learner, ends, src_port, flags);
	}
	if (weighs)
		pm_weigh_fetch(learner, ends, src_host, dst_host);
	return flow;
}

uint32_t pm_learner_generation(const struct pm_learner *learner)
{
	return __atomic_load_n(&learner->generation, __ATOMIC_ACQUIRE);
}

void pm_learner_lost(struct pm_learner *learner, struct pm_learner_lost *ret_lost)
{
	*ret_lost = learner->lost;
	learner->lost = (struct pm_learner_lost){ 0 };
}

size_t pm_learner_endpoints(const struct pm_learner *learner)
{
	return learner->n_endpoints;
}
