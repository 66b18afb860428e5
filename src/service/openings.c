/* SPDX-License-Identifier: MIT */
/*
 * Handshakes on their way, for the rung handshake: kept from the frame that opens until they are
 * answered and confirmed, refused, or over. Whoever answers serves (servers.c); attempts that
 * nobody answers are told once it is sure. Of those that share a set the one that is furthest from
 * now gives way.
 */
#include <stddef.h>

#include "tell.h"

/*
 * An attempt without answer for so long is unanswered: TCP's first repetition comes after 1 s (RFC
 * 6298, section 2), the second 2 s later.
 */
#define ANSWER_NS (INT64_C(3) * PM_NS_PER_S)
/* How often that is looked for, if no interval closes. */
#define LOOK_NS (INT64_C(10) * PM_NS_PER_S)
/*
 * So long after it was asked for, the last time, a handshake is over, however it went. Longer than
 * the 32 s that Linux lets pass before it asks for the last time, and Windows for any.
 */
#define HANDSHAKE_LIFE_NS (INT64_C(60) * PM_NS_PER_S)

enum {
	OPENING_SETS = 4096,
	OPENING_WAYS = 4,
	OPENINGS = OPENING_SETS * OPENING_WAYS,
	WAITING_MAX = 4 * OPENINGS, /* so that three quarters at least are free after a look */
};
_Static_assert(OPENINGS + PM_UNMARKED < PM_MARK_SERVES, "their number leaves the mark alone");

enum opening_state {
	OPENING_FREE,
	OPENING_ASKED,    /* no answer yet */
	OPENING_TOLD,     /* the same, and it has been told */
	OPENING_ANSWERED, /* and not confirmed */
};

/* A handshake: who opened, and whom. */
struct pm_opening {
	struct pm_address client, server;
	uint64_t number; /* of the frame that opened, and its bytes */
	uint32_t wire;
	uint16_t client_port, server_port;
	uint8_t transport, ip_version;
	bool turned; /* the one that opened is the service */
	uint8_t state;
	uint32_t place;  /* where it stands, counted through all sets */
	int64_t time_ns; /* when it was first asked for */
};
_Static_assert(sizeof(struct pm_opening) == 64, "each has a line of the cache");

/*
 * Handshakes of which each may have any of these places; and what they are found by, with when they
 * were last asked for, in a line of the cache in front of them. All in one, so that what is fetched
 * ahead for a handshake that is new, and for the one that gives way, is most often of one page. Tag
 * 0: the place is free.
 */
struct pm_opening_set {
	uint64_t tags[OPENING_WAYS];
	int64_t times[OPENING_WAYS];
	struct pm_opening at[OPENING_WAYS];
};
_Static_assert(offsetof(struct pm_opening_set, at) == 64, "one look");

/* An opening that may have to be told, unless its place is another's by now. */
struct pm_waiting {
	uint64_t number;
	uint32_t place;
};

/* How far ahead of the one that is looked at those that wait are fetched. */
#define LOOK_AHEAD 8

int pm_openings_new(struct pm_learner *learner)
{
	_Static_assert(sizeof *learner->openings % PM_CACHE_LINE == 0, "sets begin with a line");

	learner->marks[0] = PM_UNMARKED; /* of the ports that stand there so far */
	learner->waiting = malloc(WAITING_MAX * sizeof *learner->waiting);
	learner->openings = pm_lines_new(OPENING_SETS * sizeof *learner->openings / PM_CACHE_LINE,
					 &learner->openings_block);
	return learner->waiting && learner->openings ? PM_OK : PM_E_MEMORY;
}

void pm_openings_free(struct pm_learner *learner)
{
	free(learner->openings_block);
	free(learner->waiting);
}

void pm_openings_heat(struct pm_learner *learner)
{
	/* untouched memory stays so until there is something in any of it */
	for (size_t i = 0; learner->any_opening && i < OPENINGS; i++) {
		const struct pm_opening_set *set = &learner->openings[i / OPENING_WAYS];
		const struct pm_opening *opening = &set->at[i % OPENING_WAYS];

		if (set->tags[i % OPENING_WAYS])
			pm_heat(learner, opening->transport, opening->client_port);
	}
}

/* Of one direction: a product alone is that of both, for one pair of hashes in four. */
static uint64_t opening_tag(uint64_t client, uint64_t server)
{
	return pm_fold(~client, server | 1) | 1;
}

/* The place in @set, a free one included, has nothing that matters at @time_ns. */
static bool is_over(const struct pm_opening_set *set, int way, int64_t time_ns)
{
	return set->tags[way] == 0 || pm_time_since(time_ns, set->times[way]) > HANDSHAKE_LIFE_NS;
}

static struct pm_opening_set *opening_set(const struct pm_learner *learner, uint64_t tag)
{
	return &learner->openings[(tag >> 16) % OPENING_SETS];
}

static bool is_answered(const struct pm_opening *opening)
{
	return opening->state == OPENING_ANSWERED;
}

static struct pm_opening *opening_at(const struct pm_learner *learner, uint32_t place)
{
	return &learner->openings[place / OPENING_WAYS].at[place % OPENING_WAYS];
}

/* A handshake that is over. */
static void opening_drop(struct pm_learner *learner, struct pm_opening *opening)
{
	struct pm_opening_set *set = &learner->openings[opening->place / OPENING_WAYS];

	if (opening->transport == PM_TRANSPORT_TCP)
		learner->marks[opening->client_port]--;
	opening->state = OPENING_FREE;
	set->tags[opening->place % OPENING_WAYS] = 0;
}

/*
 * One that gives way is no more on its way from @port, of which nothing is at hand: the mark is
 * fetched, and says too much until some more have given way, which costs some looks. Port 0, which
 * none comes from, stands for none.
 */
static void unmark(struct pm_learner *learner, uint16_t port)
{
	uint16_t *late = &learner->unmarked[learner->n_unmarked++ % PM_UNMARKED];

	learner->marks[*late]--;
	*late = port;
	__builtin_prefetch(&learner->marks[port], 1);
}

bool pm_openings_hold(const struct pm_learner *learner, uint64_t client, uint64_t server)
{
	uint64_t tag = opening_tag(client, server);
	const struct pm_opening_set *set = opening_set(learner, tag);
	bool stands = false;

	for (int i = 0; i < OPENING_WAYS; i++)
		stands |= set->tags[i] == tag;
	return stands;
}

/* What stands there under @tag; NULL: nothing. */
static inline struct pm_opening *set_find(struct pm_opening_set *set, uint64_t tag, int64_t time_ns)
{
	unsigned found = 0;

	/* Without a branch for each: in which place it stands nobody can predict. */
#pragma GCC unroll 4
	for (int i = 0; i < OPENING_WAYS; i++)
		found |= (unsigned)(set->tags[i] == tag) << i;
	for (; found; found &= found - 1) {
		int way = __builtin_ctz(found);

		if (!is_over(set, way, time_ns))
			return &set->at[way];
	}
	return NULL;
}

/* NULL: there is none. */
static inline struct pm_opening *opening_find(const struct pm_learner *learner, uint64_t client,
					      uint64_t server, int64_t time_ns)
{
	uint64_t tag = opening_tag(client, server);

	return set_find(opening_set(learner, tag), tag, time_ns);
}

static void tell_unanswered(struct pm_learner *learner, struct pm_opening *opening,
			    enum pm_event event)
{
	struct pm_evidence evidence = {
		.event = (uint8_t)event,
		.ip_version = opening->ip_version,
		.transport = opening->transport,
		.client_port = opening->turned ? opening->server_port : opening->client_port,
		.server_port = opening->turned ? opening->client_port : opening->server_port,
		.client = opening->turned ? opening->server : opening->client,
		.server = opening->turned ? opening->client : opening->server,
		.turned = opening->turned,
		.number = opening->number,
		.time_ns = opening->time_ns,
		.wire = opening->wire,
	};

	opening->state = OPENING_TOLD;
	if (learner->options.event)
		learner->options.event(learner->options.ctx, &evidence);
}

/*
 * Rules marked initiates=yes turn it round: the service itself opens, from that port. But who
 * knocks at a service from there is a client that has drawn an odd port.
 */
static inline bool is_turned(const struct pm_learner *learner, const struct pm_sight *sight)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	const struct pm_label *labels = learner->rules->labels[transport];

	/* Clients' ports have no label: for most, the byte that the frame has asked is enough. */
	if (transport == PM_TRANSPORT_TCP && !(pm_class_at(learner, src_port) & ~PM_CLASS_HOT))
		return false;
	return labels[src_port].flags & PM_LABEL_INITIATES &&
	       !pm_is_strong_port(learner, transport, pm_brief_dst_port(sight->brief));
}

bool pm_is_turned(const struct pm_learner *learner, const struct pm_sight *sight)
{
	return is_turned(learner, sight);
}

/* An answer at @time_ns does not come in time, or would not. */
static inline bool is_late(const struct pm_opening *opening, int64_t time_ns)
{
	return pm_time_since(time_ns, opening->time_ns) >= ANSWER_NS;
}

/* Before what comes at @time_ns changes what is known of it: whether it came too late. */
static void tell_if_late(struct pm_learner *learner, struct pm_opening *opening, int64_t time_ns)
{
	if (opening->state == OPENING_ASKED && is_late(opening, time_ns))
		tell_unanswered(learner, opening, PM_EVENT_LATE);
}

/* Fetches what waits at @i, if that many do. */
static inline void waiting_fetch(const struct pm_learner *learner, uint32_t i)
{
	if (i < learner->n_waiting)
		__builtin_prefetch(opening_at(learner, learner->waiting[i].place));
}

void pm_openings_look(struct pm_learner *learner, int64_t time_ns, bool all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < learner->n_waiting; i++) {
		const struct pm_waiting waiting = learner->waiting[i];
		struct pm_opening *opening = opening_at(learner, waiting.place);

		waiting_fetch(learner, i + LOOK_AHEAD);
		if (opening->state != OPENING_ASKED || opening->number != waiting.number)
			continue;
		if (all || is_late(opening, time_ns))
			tell_unanswered(learner, opening, PM_EVENT_UNANSWERED);
		else
			learner->waiting[kept++] = waiting;
	}
	learner->n_waiting = learner->n_kept = kept;
	learner->looked_ns = time_ns;
}

/*
 * The same now and then; a time that has jumped back begins anew. However time jumps, an eighth of
 * what is looked at must be new: so each attempt pays for eight.
 */
static void look_again(struct pm_learner *learner, int64_t time_ns)
{
	int64_t ago = pm_time_since(time_ns, learner->looked_ns);
	bool due = (ago >= LOOK_NS || ago <= -LOOK_NS) &&
		   learner->n_waiting - learner->n_kept >= learner->n_waiting / 8;

	if (due || learner->n_waiting == WAITING_MAX)
		pm_openings_look(learner, time_ns, false);
}

/* The place for a new one: what is over gives way, or what is furthest from now. */
static int opening_place(const struct pm_opening_set *set, int64_t time_ns)
{
	uint64_t most = 0;
	int way = 0;

	/* the same here */
#pragma GCC unroll 4
	for (int i = 0; i < OPENING_WAYS; i++) {
		uint64_t apart = pm_time_apart(set->times[i], time_ns);

		apart = is_over(set, i, time_ns) ? UINT64_MAX : apart;
		way = apart > most ? i : way;
		most = apart > most ? apart : most;
	}
	return way;
}

/* Keeps in mind that the source has asked the destination. The opening, new or repeated. */
static struct pm_opening *open(struct pm_learner *learner, const struct pm_sight *sight,
			       struct pm_ends ends)
{
	uint64_t tag = opening_tag(ends.src, ends.dst);
	struct pm_opening_set *set = opening_set(learner, tag);
	struct pm_opening *opening = set_find(set, tag, sight->time_ns);
	int way;

	if (opening) {
		set->times[opening - set->at] = sight->time_ns;
		return opening;
	}
	way = opening_place(set, sight->time_ns);
	opening = &set->at[way];
	look_again(learner, sight->time_ns);
	if (opening->state == OPENING_ASKED) {
		/* nobody has answered it, or there was no room */
		if (is_late(opening, sight->time_ns))
			tell_unanswered(learner, opening, PM_EVENT_UNANSWERED);
		else
			learner->lost.handshakes++;
	}
	if (opening->state != OPENING_FREE && opening->transport == PM_TRANSPORT_TCP)
		unmark(learner, opening->client_port);
	learner->any_opening = true;
	set->tags[way] = tag;
	set->times[way] = opening->time_ns = sight->time_ns;
	opening->ip_version = pm_brief_ip_version(sight->brief);
	pm_address_set(&opening->client, opening->ip_version, sight->src);
	pm_address_set(&opening->server, opening->ip_version, sight->dst);
	opening->client_port = pm_brief_src_port(sight->brief);
	opening->server_port = pm_brief_dst_port(sight->brief);
	opening->transport = pm_brief_transport(sight->brief);
	opening->turned = is_turned(learner, sight);
	opening->wire = sight->wire;
	opening->number = sight->number;
	opening->state = OPENING_ASKED;
	opening->place = (uint32_t)(set - learner->openings) * OPENING_WAYS + (uint32_t)way;
	learner->waiting[learner->n_waiting++] = (struct pm_waiting){
		.number = sight->number,
		.place = opening->place,
	};
	if (opening->transport == PM_TRANSPORT_TCP)
		learner->marks[opening->client_port]++;
	pm_heat(learner, opening->transport, opening->client_port);
	pm_tell(learner, PM_EVENT_ATTEMPT, sight, true, opening->turned);
	return opening;
}

enum pm_side pm_openings_open(struct pm_learner *learner, const struct pm_sight *sight,
			      struct pm_ends ends)
{
	if (!learner->flows.flows.asleep)
		pm_flows_drop(&learner->flows, pm_sight_flow(learner, sight));
	return open(learner, sight, ends)->turned ? PM_SIDE_SRC : PM_SIDE_DST;
}

enum pm_side pm_openings_decide(struct pm_learner *learner, const struct pm_sight *sight,
				struct pm_ends ends)
{
	struct pm_opening *opening;

	switch (sight->setup) {
	case PM_SETUP_ACCEPT:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (!opening) /* nobody asked: a scanner's */
			return PM_SIDE_NONE;
		tell_if_late(learner, opening, sight->time_ns);
		if (!is_answered(opening))
			pm_tell(learner, PM_EVENT_ANSWER, sight, false, opening->turned);
		opening->state = OPENING_ANSWERED;
		pm_pairs_open(learner, sight, opening->turned);
		if (opening->turned)
			pm_servers_learn(learner, sight, ends.dst, pm_brief_dst_port(sight->brief));
		else
			pm_servers_learn(learner, sight, ends.src, pm_brief_src_port(sight->brief));
		pm_hosts_note(learner, sight, opening->turned ? PM_SIDE_DST : PM_SIDE_SRC);
		return opening->turned ? PM_SIDE_DST : PM_SIDE_SRC;
	case PM_SETUP_RESET:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (opening && !is_answered(opening)) {
			tell_if_late(learner, opening, sight->time_ns);
			pm_tell(learner, PM_EVENT_REFUSAL, sight, false, opening->turned);
			opening_drop(learner, opening);
			return opening->turned ? PM_SIDE_DST : PM_SIDE_SRC;
		}
		opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);
		if (!opening)
			return PM_SIDE_NONE;
		/* who gives up does not know either whether an answer is on its way */
		if (is_answered(opening))
			opening_drop(learner, opening);
		return opening->turned ? PM_SIDE_SRC : PM_SIDE_DST;
	default:
		return PM_SIDE_NONE;
	}
}

bool pm_openings_confirm(struct pm_learner *learner, const struct pm_sight *sight,
			 struct pm_ends ends)
{
	struct pm_opening *opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);

	if (!opening)
		return false;
	tell_if_late(learner, opening, sight->time_ns);
	/* Where only one direction is captured, it shows that there was an answer. */
	if (!is_answered(opening) && !opening->turned)
		pm_servers_learn(learner, sight, ends.dst, pm_brief_dst_port(sight->brief));
	pm_tell(learner, PM_EVENT_SESSION, sight, true, opening->turned);
	opening_drop(learner, opening);
	return true;
}

void pm_openings_fetch(const struct pm_learner *learner, struct pm_ends ends,
		       uint16_t src_port, uint8_t tcp_flags)
{
	uint64_t tag = tcp_flags & PM_TCP_ACK ? opening_tag(ends.dst, ends.src)
					      : opening_tag(ends.src, ends.dst);
	const struct pm_opening_set *set = opening_set(learner, tag);

	__builtin_prefetch(&learner->marks[src_port], 1);
	__builtin_prefetch(set, 1);
	/* all of them: which it will be cannot be told yet */
	for (int i = 0; i < OPENING_WAYS; i++)
		__builtin_prefetch(&set->at[i], 1);
}

void pm_openings_explain(const struct pm_learner *learner, uint64_t end, uint64_t other,
			 int64_t time_ns, struct pm_end_grounds *grounds)
{
	const struct pm_opening *opening = opening_find(learner, end, other, time_ns);

	if (!opening)
		return;
	grounds->opened = opening->number;
	grounds->answered = is_answered(opening);
	grounds->turned = opening->turned;
}
