/* SPDX-License-Identifier: MIT */
/*
 * Handshakes on their way, for the rung handshake: kept from the frame that opens until they are
 * answered and confirmed, refused, or over. Whoever answers serves (servers.c); attempts that
 * nobody answers are told once it is sure. Of those that share a line of the table the one that is
 * furthest from now gives way.
 */
#include "learn-internal.h"

/*
 * An attempt without answer for so long is unanswered: TCP's first repetition comes after 1 s (RFC
 * 6298, section 2), the second 2 s later.
 */
#define ANSWER_NS (INT64_C(3) * PM_NS_PER_S)
/* How often that is looked for, if no interval closes. */
#define LOOK_NS (INT64_C(10) * PM_NS_PER_S)
/* After so long a handshake is over, however it went. */
#define HANDSHAKE_LIFE_NS (INT64_C(60) * PM_NS_PER_S)

enum {
	OPENINGS = 16384,
	WAITING_MAX = 4 * OPENINGS, /* so that three quarters at least are free after a look */
	OPENING_WAYS = 4,
};
_Static_assert(OPENINGS < PM_MARK_SERVES, "their number leaves the mark alone");

enum opening_state {
	OPENING_FREE,
	OPENING_ASKED,    /* no answer yet */
	OPENING_TOLD,     /* the same, and it has been told */
	OPENING_ANSWERED, /* and not confirmed */
};

/* A handshake: who opened, and whom. */
struct pm_opening {
	struct pm_address client, server;
	uint16_t server_port;
	uint8_t ip_version;
	bool turned;   /* the one that opened is the service */
	uint32_t wire; /* of the frame that opened, and its number */
	uint64_t number, spare[2];
};
_Static_assert(sizeof(struct pm_opening) == 64, "each has a line of the cache");

/* What must be known of a handshake that gives way to another: most are never looked at again. */
struct pm_opening_head {
	uint16_t client_port;
	uint8_t transport, state;
};

/*
 * What a handshake is found by, and when it began, of those that stand in its line; a line of the
 * cache. Tag 0: the place is free.
 */
struct pm_opening_line {
	uint64_t tags[OPENING_WAYS];
	int64_t times[OPENING_WAYS];
};
_Static_assert(sizeof(struct pm_opening_line) == 64, "one look");

/* An opening that may have to be told, unless its place is another's by now. */
struct pm_waiting {
	uint64_t number;
	uint32_t place;
};

/* In one block, so that all of it is large enough to be left untouched until it is used. */
int pm_openings_new(struct pm_learner *learner)
{
	const size_t heads = OPENINGS * sizeof *learner->opening_heads / PM_CACHE_LINE;

	learner->waiting = malloc(WAITING_MAX * sizeof *learner->waiting);
	learner->openings = pm_lines_new(OPENINGS + OPENINGS / OPENING_WAYS + heads,
					 &learner->openings_block);
	if (!learner->waiting || !learner->openings)
		return PM_E_MEMORY;
	learner->opening_lines = (struct pm_opening_line *)(void *)(learner->openings + OPENINGS);
	learner->opening_heads = (struct pm_opening_head *)(void *)(learner->opening_lines +
								    OPENINGS / OPENING_WAYS);
	return PM_OK;
}

void pm_openings_free(struct pm_learner *learner)
{
	free(learner->openings_block);
	free(learner->waiting);
}

void pm_openings_heat(struct pm_learner *learner)
{
	/* untouched memory stays so until there is something in it */
	for (size_t i = 0; learner->any_opening && i < OPENINGS; i++)
		if (learner->opening_heads[i].state != OPENING_FREE)
			pm_heat(learner, learner->opening_heads[i].transport,
				learner->opening_heads[i].client_port);
}

/* Of one direction: a product alone is that of both, for one pair of hashes in four. */
static uint64_t opening_tag(uint64_t client, uint64_t server)
{
	return pm_fold(~client, server | 1) | 1;
}

/* The place in @line, a free one included, has nothing that matters at @time_ns. */
static bool is_over(const struct pm_opening_line *line, int way, int64_t time_ns)
{
	return line->tags[way] == 0 || pm_time_since(time_ns, line->times[way]) > HANDSHAKE_LIFE_NS;
}

static struct pm_opening_line *opening_line(const struct pm_learner *learner, uint64_t tag)
{
	return &learner->opening_lines[(tag >> 16) % (OPENINGS / OPENING_WAYS)];
}

/* What stands at that place of the line. */
static struct pm_opening *opening_at(const struct pm_learner *learner,
				     const struct pm_opening_line *line, int way)
{
	return &learner->openings[(line - learner->opening_lines) * OPENING_WAYS + way];
}

static struct pm_opening_head *opening_head(const struct pm_learner *learner,
					    const struct pm_opening *opening)
{
	return &learner->opening_heads[opening - learner->openings];
}

static bool is_answered(const struct pm_learner *learner, const struct pm_opening *opening)
{
	return opening_head(learner, opening)->state == OPENING_ANSWERED;
}

/* When it began. */
static int64_t opening_time(const struct pm_learner *learner, const struct pm_opening *opening)
{
	size_t at = (size_t)(opening - learner->openings);

	return learner->opening_lines[at / OPENING_WAYS].times[at % OPENING_WAYS];
}

/* A handshake that is over. */
static inline void opening_drop(struct pm_learner *learner, struct pm_opening *opening)
{
	size_t at = (size_t)(opening - learner->openings);
	struct pm_opening_head *head = opening_head(learner, opening);

	if (head->state != OPENING_FREE && head->transport == PM_TRANSPORT_TCP)
		learner->marks[head->client_port]--;
	head->state = OPENING_FREE;
	learner->opening_lines[at / OPENING_WAYS].tags[at % OPENING_WAYS] = 0;
}

bool pm_openings_hold(const struct pm_learner *learner, uint64_t client, uint64_t server)
{
	uint64_t tag = opening_tag(client, server);
	const struct pm_opening_line *line = opening_line(learner, tag);
	bool stands = false;

	for (int i = 0; i < OPENING_WAYS; i++)
		stands |= line->tags[i] == tag;
	return stands;
}

/* NULL: there is none. */
static inline struct pm_opening *opening_find(const struct pm_learner *learner, uint64_t client,
				       uint64_t server, int64_t time_ns)
{
	uint64_t tag = opening_tag(client, server);
	const struct pm_opening_line *line = opening_line(learner, tag);
	unsigned found = 0;

	/* Without a branch for each: in which place it stands nobody can predict. */
#pragma GCC unroll 4
	for (int i = 0; i < OPENING_WAYS; i++)
		found |= (unsigned)(line->tags[i] == tag) << i;
	for (; found; found &= found - 1) {
		int way = __builtin_ctz(found);

		if (!is_over(line, way, time_ns))
			return opening_at(learner, line, way);
	}
	return NULL;
}

static void tell_unanswered(struct pm_learner *learner, struct pm_opening *opening)
{
	struct pm_opening_head *head = opening_head(learner, opening);
	struct pm_evidence evidence = {
		.event = PM_EVENT_UNANSWERED,
		.ip_version = opening->ip_version,
		.transport = head->transport,
		.client_port = opening->turned ? opening->server_port : head->client_port,
		.server_port = opening->turned ? head->client_port : opening->server_port,
		.client = opening->turned ? opening->server : opening->client,
		.server = opening->turned ? opening->client : opening->server,
		.turned = opening->turned,
		.number = opening->number,
		.time_ns = opening_time(learner, opening),
		.wire = opening->wire,
	};

	head->state = OPENING_TOLD;
	if (learner->options.event)
		learner->options.event(learner->options.ctx, &evidence);
}

/*
 * Rules marked initiates=yes turn it round: the service itself opens, from that port. But who
 * knocks at a service from there is a client that has drawn an odd port.
 */
bool pm_is_turned(const struct pm_learner *learner, const struct pm_sight *sight)
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

void pm_openings_look(struct pm_learner *learner, int64_t time_ns, bool all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < learner->n_waiting; i++) {
		struct pm_waiting waiting = learner->waiting[i];
		struct pm_opening *opening = &learner->openings[waiting.place];

		if (learner->opening_heads[waiting.place].state != OPENING_ASKED ||
		    opening->number != waiting.number)
			continue;
		if (all || pm_time_since(time_ns, opening_time(learner, opening)) >= ANSWER_NS)
			tell_unanswered(learner, opening);
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
static int opening_place(const struct pm_opening_line *line, int64_t time_ns)
{
	uint64_t most = 0;
	int way = 0;

	/* the same here */
#pragma GCC unroll 4
	for (int i = 0; i < OPENING_WAYS; i++) {
		uint64_t apart = pm_time_apart(line->times[i], time_ns);

		apart = is_over(line, i, time_ns) ? UINT64_MAX : apart;
		way = apart > most ? i : way;
		most = apart > most ? apart : most;
	}
	return way;
}

/* Keeps in mind that the source has asked the destination. The opening, new or repeated. */
static struct pm_opening *open(struct pm_learner *learner, const struct pm_sight *sight,
			       struct pm_ends ends)
{
	struct pm_opening *opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);
	uint64_t tag = opening_tag(ends.src, ends.dst);
	struct pm_opening_line *line = opening_line(learner, tag);
	struct pm_opening_head *head;
	bool turned;
	int way;

	if (opening)
		return opening;
	way = opening_place(line, sight->time_ns);
	opening = opening_at(learner, line, way);
	__builtin_prefetch(opening, 1);
	look_again(learner, sight->time_ns);
	turned = pm_is_turned(learner, sight);
	head = opening_head(learner, opening);
	if (head->state == OPENING_ASKED) {
		/* nobody has answered it, or there was no room */
		if (pm_time_since(sight->time_ns, line->times[way]) < ANSWER_NS)
			learner->lost.handshakes++;
		else
			tell_unanswered(learner, opening);
	}
	opening_drop(learner, opening);
	learner->any_opening = true;
	line->tags[way] = tag;
	line->times[way] = sight->time_ns;
	opening->ip_version = pm_brief_ip_version(sight->brief);
	pm_address_set(&opening->client, opening->ip_version, sight->src);
	pm_address_set(&opening->server, opening->ip_version, sight->dst);
	opening->server_port = pm_brief_dst_port(sight->brief);
	opening->turned = turned;
	opening->wire = sight->wire;
	opening->number = sight->number;
	*head = (struct pm_opening_head){ pm_brief_src_port(sight->brief),
					  pm_brief_transport(sight->brief), OPENING_ASKED };
	learner->waiting[learner->n_waiting++] = (struct pm_waiting){
		.number = sight->number,
		.place = (uint32_t)(opening - learner->openings),
	};
	if (head->transport == PM_TRANSPORT_TCP)
		learner->marks[head->client_port]++;
	pm_heat(learner, head->transport, head->client_port);
	pm_tell(learner, PM_EVENT_ATTEMPT, sight, true, turned);
	return opening;
}

enum pm_side pm_openings_decide(struct pm_learner *learner, const struct pm_sight *sight,
				struct pm_ends ends)
{
	struct pm_opening *opening;

	switch (sight->setup) {
	case PM_SETUP_OPEN:
		if (!learner->flows.flows.asleep)
			pm_flows_drop(&learner->flows, pm_sight_flow(learner, sight));
		opening = open(learner, sight, ends);
		return opening->turned ? PM_SIDE_SRC : PM_SIDE_DST;
	case PM_SETUP_ACCEPT:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (!opening) /* nobody asked: a scanner's */
			return PM_SIDE_NONE;
		if (!is_answered(learner, opening))
			pm_tell(learner, PM_EVENT_ANSWER, sight, false, opening->turned);
		opening_head(learner, opening)->state = OPENING_ANSWERED;
		pm_pairs_open(learner, sight, opening->turned);
		if (opening->turned)
			pm_servers_learn(learner, sight, ends.dst, pm_brief_dst_port(sight->brief));
		else
			pm_servers_learn(learner, sight, ends.src, pm_brief_src_port(sight->brief));
		pm_hosts_note(learner, sight, opening->turned ? PM_SIDE_DST : PM_SIDE_SRC);
		return opening->turned ? PM_SIDE_DST : PM_SIDE_SRC;
	case PM_SETUP_RESET:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (opening && !is_answered(learner, opening)) {
			pm_tell(learner, PM_EVENT_REFUSAL, sight, false, opening->turned);
			opening_drop(learner, opening);
			return opening->turned ? PM_SIDE_DST : PM_SIDE_SRC;
		}
		opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);
		if (!opening)
			return PM_SIDE_NONE;
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
	/* Where only one direction is captured, it shows that there was an answer. */
	if (!is_answered(learner, opening) && !opening->turned)
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
	const struct pm_opening_line *line = opening_line(learner, tag);

	__builtin_prefetch(&learner->marks[src_port], 1);
	__builtin_prefetch(line, 1);
	__builtin_prefetch(opening_head(learner, opening_at(learner, line, 0)), 1);
}

void pm_openings_explain(const struct pm_learner *learner, uint64_t end, uint64_t other,
			 int64_t time_ns, struct pm_end_grounds *grounds)
{
	const struct pm_opening *opening = opening_find(learner, end, other, time_ns);

	if (!opening)
		return;
	grounds->opened = opening->number;
	grounds->answered = is_answered(learner, opening);
	grounds->turned = opening->turned;
}
