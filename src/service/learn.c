/* SPDX-License-Identifier: MIT */
/*
 * What the side ladder remembers, for its rungs handshake and learned. Handshakes on their way are
 * kept until they are answered; who answers is an endpoint that serves, from then on and for hours.
 * Where labels are weak, earlier conversations speak too (weigh). Every table is bounded: a few
 * places for each hash, of which the oldest gives way. A byte for each port of TCP says whether a
 * frame need be shown here at all. See docs/architecture.md.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

/* Endpoints that nobody has used for so long have moved or gone: hours, as leases of addresses. */
#define ENDPOINT_LIFE_MIN 120
/*
 * An attempt without answer for so long is unanswered: TCP's first repetition comes after 1 s (RFC
 * 6298, section 2), the second 2 s later.
 */
#define ANSWER_NS (INT64_C(3) * PM_NS_PER_S)
/* How often that is looked for, if no interval closes. */
#define LOOK_NS (INT64_C(10) * PM_NS_PER_S)
/* After so long a handshake is over, however it went. */
#define HANDSHAKE_LIFE_NS (INT64_C(60) * PM_NS_PER_S)
/* UDP between two that have been silent for so long begins anew: RFC 4787, requirement 5. */
#define PAIR_LIFE 60 /* steps of two seconds */
/* So far time may go backwards: three hours in such steps; where minutes are kept, a week. */
#define PAIR_BACKWARDS 5400
#define BACKWARDS_MIN (7 * 24 * 60)
/* What a host was is soon worth nothing: its address may be another's. */
#define HOST_LIFE_MIN 30
/* The same of who called from where, in steps of four minutes. */
#define CALLER_LIFE 4
/* A conversation that seems to begin when the capture does may have begun before. */
#define WARM_UP_NS (INT64_C(5) * PM_NS_PER_S)
/*
 * First speakers are believed to be clients when so many have been where labels tell, and so many
 * times as have not.
 */
#define TRUST_LEAST 8
#define TRUST_RATIO 16
/*
 * Weak frames in a row after which it is looked into whether they have anything in common, and of
 * how many one is looked at while they have not: a flood of strangers teaches nothing, and would
 * have the tables forget what is real.
 */
#define STRETCH 1024
#define STRANGERS 16

enum {
	ENDPOINTS = 65536,
	OPENINGS = 16384,
	WAITING_MAX = 4 * OPENINGS, /* so that three quarters at least are free after a look */
	PAIRS = 65536,
	PAIR_LINES = PAIRS / 8,
	CALLERS = 32768,
	HOSTS = 32768,
	WAYS = 8,      /* places for one hash, of 8 bytes: a cache line */
	OPENING_WAYS = 4,
};

/*
 * Tables whose entries fit a word: a tag in the upper bits, which is never 0, and what is known in
 * the lower ones.
 */
struct words {
	uint64_t *at; /* lines of the cache */
	void *block;  /* in which they stand */
	uint32_t lines; /* a power of two */
	uint32_t used;  /* places, until it is seen that most will be */
	uint8_t bits;   /* of what is known */
};

enum opening_state {
	OPENING_FREE,
	OPENING_ASKED,    /* no answer yet */
	OPENING_TOLD,     /* the same, and it has been told */
	OPENING_ANSWERED, /* and not confirmed */
};

/* A handshake: who opened, and whom. */
struct opening {
	struct pm_address client, server;
	uint16_t server_port;
	uint8_t ip_version;
	bool turned;     /* the one that opened is the service */
	uint32_t wire;   /* of the frame that opened, and its number */
	uint64_t number, spare[2];
};
_Static_assert(sizeof(struct opening) == 64, "each has a line of the cache");

/* What must be known of a handshake that gives way to another: most are never looked at again. */
struct opening_head {
	uint16_t client_port;
	uint8_t transport, state;
};

/*
 * What a handshake is found by, and when it began, of those that stand in its line; a line of the
 * cache. Tag 0: the place is free.
 */
struct opening_line {
	uint64_t tags[OPENING_WAYS];
	int64_t times[OPENING_WAYS];
};
_Static_assert(sizeof(struct opening_line) == 64, "one look");

/* An opening that may have to be told, unless its place is another's by now. */
struct waiting {
	uint64_t number;
	uint32_t place;
};

/*
 * What a port of TCP has to do with what is remembered, in detail, for the one that decides: how
 * many handshakes are on their way from it, and whether an endpoint there serves.
 */
#define MARK_SERVES 0x8000

_Static_assert(OPENINGS < MARK_SERVES, "their number leaves the mark alone");

/* What is known of callers. */
#define CALLED (UINT64_C(1) << 16)       /* it has spoken to the endpoint */
#define CALLED_BACK (UINT64_C(1) << 17)  /* and the endpoint to it */
#define CALLED_AGAIN (UINT64_C(1) << 18) /* from another port, or to one */
#define CALLED_AT 19                     /* seven bits: the time, in steps of four minutes */

/* What is known of hosts, above the minute. */
#define WAS_CLIENT (UINT64_C(1) << 16)
#define WAS_SERVER (UINT64_C(1) << 17)

/*
 * What is known of two endpoints of UDP, or of TCP and its like, of which one opened; below it,
 * when they last spoke, in steps of two seconds.
 */
#define PAIR_LOWER (UINT64_C(1) << 16)    /* the endpoint of the lower hash spoke first */
#define PAIR_SURE (UINT64_C(1) << 17)     /* and it was not when the capture began */
#define PAIR_FRESH (UINT64_C(1) << 18)    /* nobody has been told of it */
#define PAIR_ANSWERED (UINT64_C(1) << 19)
#define PAIR_WEIGHED (UINT64_C(1) << 20)  /* it has been counted: clients speak first, or do not */
#define PAIR_BITS 21

struct port_of {
	uint16_t port;
	uint8_t transport;
};

struct pm_learner {
	struct pm_learner_options options;
	const struct pm_rules *rules;
	struct pm_hash_key key;
	struct words endpoints; /* that serve; known: the minute of their last use */
	struct port_of *ports;  /* of the endpoints */
	uint64_t *since;        /* the frames that have shown them; NULL: nobody will ask */
	/* an endpoint and the address of its peer; known: the peer's port, CALLED_AGAIN, when */
	struct words callers;
	struct words hosts;     /* addresses; known: WAS_ bits, and the minute */
	struct words pairs;
	struct pm_flow_table flows; /* conversations at hand, of which all this need not be asked */
	unsigned holds; /* how far the last decision of TCP does, PM_HOLDS_ bits */
	struct opening *openings;           /* OPENINGS */
	struct opening_head *opening_heads; /* and as many of these */
	struct opening_line *opening_lines; /* for each OPENING_WAYS of them */
	void *openings_block;               /* in which all of these stand */
	struct waiting *waiting; /* in the order of frames */
	uint32_t n_waiting, n_kept; /* and how many of them the last look has left */
	int64_t looked_ns; /* when those that nobody has answered were looked for */
	size_t n_endpoints;
	bool any_opening; /* there has been one */
	size_t n_hot, n_hot_before; /* ports; when they were last marked anew */
	uint8_t *classes;  /* of TCP's ports, with PM_CLASS_HOT */
	uint16_t *marks;   /* of TCP's ports */
	uint32_t generation;
	struct pm_learner_lost lost;
	bool started;
	int64_t start_ns;         /* the first frame that was shown */
	/* UDP: first speakers that were clients by the labels, or were not */
	uint32_t agree, disagree;
	uint32_t weak, strangers; /* frames of this stretch, and those of them that nobody knew */
	bool flooded;             /* the stretch before was nearly all strangers */
	bool weighed;             /* the last frame, for pm_learner_explain */
	uint8_t weight;           /* what spoke, enum pm_weight */
};

static bool is_udp(uint8_t transport)
{
	return pm_transport_source_optional((enum pm_transport)transport);
}

/* Hashes of both ends of a frame. */
struct ends {
	uint64_t src, dst;
};

/* Bytes of a line of the cache. */
#define LINE (WAYS * sizeof(uint64_t))

/* So many zeroed lines in *@ret_block, to be freed. NULL: memory is short. */
static void *lines_new(size_t lines, void **ret_block)
{
	/* not by aligned_alloc: calloc leaves pages untouched that nobody uses */
	*ret_block = calloc(lines + 1, LINE);
	if (!*ret_block)
		return NULL;
	return (void *)(((uintptr_t)*ret_block + LINE - 1) / LINE * LINE);
}

static int words_new(struct words *words, size_t entries, uint8_t bits)
{
	uint32_t lines = 1;

	while ((size_t)lines * WAYS < entries)
		lines *= 2;
	words->lines = lines;
	words->bits = bits;
	words->at = lines_new(lines, &words->block);
	return words->at ? PM_OK : PM_E_MEMORY;
}

static uint64_t *words_line(const struct words *words, uint64_t hash)
{
	return words->at + (size_t)(hash & (words->lines - 1)) * WAYS;
}

/* The tag of @hash, from bits of which few choose the line. */
static uint64_t words_tag(const struct words *words, uint64_t hash)
{
	return (hash >> words->bits | UINT64_C(1) << (63 - words->bits)) << words->bits;
}

/* NULL: it is not there. */
static uint64_t *words_find(const struct words *words, uint64_t hash)
{
	uint64_t *line = words_line(words, hash), tag = words_tag(words, hash);
	const uint64_t mask = ~UINT64_C(0) << words->bits;

#pragma GCC unroll 8
	for (int i = 0; i < WAYS; i++)
		if (((line[i] ^ tag) & mask) == 0)
			return &line[i];
	return NULL;
}

/* The newest stands first, and the last one falls out. For words that need no other order. */
static uint64_t *words_push(struct words *words, uint64_t hash)
{
	uint64_t *line = words_line(words, hash);

	pm_pages_use(&words->used, 1, words->at, words->lines * LINE);
	memmove(line + 1, line, (WAYS - 1) * sizeof *line);
	*line = words_tag(words, hash);
	return line;
}

/* What a byte of the table of classes is; workers look at it while it may be written. */
static uint8_t class_at(const struct pm_learner *learner, uint16_t port)
{
	return __atomic_load_n(&learner->classes[port], __ATOMIC_RELAXED);
}

static void heat(struct pm_learner *learner, uint8_t transport, uint16_t port)
{
	uint8_t class = class_at(learner, port);

	if (transport != PM_TRANSPORT_TCP || class & PM_CLASS_HOT)
		return;
	__atomic_store_n(&learner->classes[port], class | PM_CLASS_HOT, __ATOMIC_RELAXED);
	learner->n_hot++;
	__atomic_store_n(&learner->generation, learner->generation + 1, __ATOMIC_RELEASE);
}

static void mark_server(struct pm_learner *learner, uint8_t transport, uint16_t port)
{
	if (transport == PM_TRANSPORT_TCP)
		learner->marks[port] |= MARK_SERVES;
	heat(learner, transport, port);
}

/* All bytes anew: ports of whatever is forgotten by now are left alone again. */
static void heat_anew(struct pm_learner *learner)
{
	const uint8_t *classes = learner->rules->classes[PM_TRANSPORT_TCP];
	size_t places = (size_t)learner->endpoints.lines * WAYS;

	for (size_t port = 0; port < PM_PORTS; port++)
		__atomic_store_n(&learner->classes[port], classes[port], __ATOMIC_RELAXED);
	for (size_t port = 0; learner->n_hot && port < PM_PORTS; port++)
		learner->marks[port] &= (uint16_t)~MARK_SERVES;
	learner->n_hot = 0;
	for (size_t i = 0; learner->n_endpoints && i < places; i++)
		if (learner->endpoints.at[i])
			mark_server(learner, learner->ports[i].transport, learner->ports[i].port);
	/* untouched memory stays so until there is something in it */
	for (size_t i = 0; learner->any_opening && i < OPENINGS; i++)
		if (learner->opening_heads[i].state != OPENING_FREE)
			heat(learner, learner->opening_heads[i].transport,
			     learner->opening_heads[i].client_port);
	learner->n_hot_before = learner->n_hot;
	learner->generation++;
	pm_flows_forget(&learner->flows);
}

/* In one block, so that all of it is large enough to be left untouched until it is used. */
static void openings_new(struct pm_learner *learner)
{
	const size_t heads = OPENINGS * sizeof *learner->opening_heads / LINE;

	learner->openings =
		lines_new(OPENINGS + OPENINGS / OPENING_WAYS + heads, &learner->openings_block);
	if (!learner->openings)
		return;
	learner->opening_lines = (struct opening_line *)(void *)(learner->openings + OPENINGS);
	learner->opening_heads =
		(struct opening_head *)(void *)(learner->opening_lines + OPENINGS / OPENING_WAYS);
}

int pm_learner_new(const struct pm_learner_options *options, struct pm_rules *rules,
		   struct pm_learner **ret_learner)
{
	struct pm_learner *learner = calloc(1, sizeof *learner);
	size_t endpoints = options->endpoints ? options->endpoints : ENDPOINTS;

	if (!learner)
		return PM_E_MEMORY;
	learner->options = *options;
	learner->key = options->key;
	openings_new(learner);
	learner->waiting = malloc(WAITING_MAX * sizeof *learner->waiting);
	learner->classes = malloc(PM_PORTS);
	learner->marks = calloc(PM_PORTS, sizeof *learner->marks);
	if (words_new(&learner->endpoints, endpoints, 16) < 0 ||
	    words_new(&learner->callers, CALLERS, 26) < 0 ||
	    words_new(&learner->pairs, PAIRS, PAIR_BITS) < 0 ||
	    words_new(&learner->hosts, HOSTS, 18) < 0 || pm_flows_new(&learner->flows) < 0 ||
	    !learner->openings || !learner->waiting || !learner->classes || !learner->marks) {
		pm_learner_free(learner);
		return PM_E_MEMORY;
	}
	learner->ports = calloc((size_t)learner->endpoints.lines * WAYS, sizeof *learner->ports);
	if (options->explains)
		learner->since = calloc((size_t)learner->endpoints.lines * WAYS,
					sizeof *learner->since);
	if (!learner->ports || (options->explains && !learner->since)) {
		pm_learner_free(learner);
		return PM_E_MEMORY;
	}
	/*
	 * Live, a frame comes so long after the one before that the word it would look for has left
	 * the cache, and waiting for it costs more than all that is fetched ahead.
	 */
	learner->options.plain |= options->live;
	learner->flows.flows.asleep = learner->options.plain;
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
	free(learner->endpoints.block);
	free(learner->callers.block);
	free(learner->hosts.block);
	free(learner->ports);
	free(learner->since);
	free(learner->openings_block);
	free(learner->waiting);
	free(learner->pairs.block);
	pm_flows_free(&learner->flows);
	free(learner->classes);
	free(learner->marks);
	free(learner);
}

void pm_learner_follow(struct pm_learner *learner, const struct pm_rules *rules)
{
	learner->rules = rules;
	heat_anew(learner);
}

static inline pm_flow flow_of(const struct pm_learner *learner, const struct pm_sight *sight)
{
	if (sight->flow)
		return sight->flow;
	return pm_flow_of(learner->key, sight->brief, sight->src, sight->dst);
}

static uint16_t minute_of(const struct pm_sight *sight)
{
	return (uint16_t)(sight->time_ns / (60 * PM_NS_PER_S));
}

/*
 * The minute wraps after 45 days. A time that goes backwards makes nothing old; by more than a
 * week, time has gone on and the minute wrapped, more likely than that.
 */
static bool is_older(uint16_t minute, uint16_t now, int minutes)
{
	int passed = (int16_t)(now - minute);

	return passed > minutes || passed < -BACKWARDS_MIN;
}

static bool is_old(uint16_t minute, uint16_t now)
{
	return is_older(minute, now, ENDPOINT_LIFE_MIN);
}

/* Whether the endpoint serves, as far as is known; and that it does is news. */
static bool serves(struct pm_learner *learner, uint64_t hash, uint16_t now)
{
	uint64_t *word = words_find(&learner->endpoints, hash);

	if (!word)
		return false;
	if (is_old((uint16_t)*word, now)) {
		*word = 0;
		learner->n_endpoints--;
		return false;
	}
	if ((uint16_t)*word != now)
		*word = (*word & ~UINT64_C(0xffff)) | now;
	return true;
}

/*
 * Minutes since an endpoint's last use, or until then: behind a time that was wrong and ahead, what
 * was used in it gives way first.
 */
static int unused(uint64_t word, uint16_t now)
{
	int minutes = (int16_t)(now - (uint16_t)word);

	return minutes < 0 ? -minutes : minutes;
}

static void learn(struct pm_learner *learner, const struct pm_sight *sight, uint64_t hash,
		  uint16_t port)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t now = minute_of(sight);
	uint64_t *line = words_line(&learner->endpoints, hash), *place = line;
	bool news = transport == PM_TRANSPORT_TCP && !(learner->marks[port] & MARK_SERVES);

	if (serves(learner, hash, now))
		return;
	/* A free place, or else that of the longest unused. */
	for (int i = 0; i < WAYS && *place; i++)
		if (!line[i] || unused(line[i], now) > unused(*place, now))
			place = &line[i];
	if (!*place)
		learner->n_endpoints++;
	else if (!is_old((uint16_t)*place, now)) {
		learner->lost.endpoints++;
		news = true;
	}
	/* What was decided because of another's place here, or because no port like this served. */
	if (news)
		pm_flows_forget(&learner->flows);
	else
		pm_flows_forget_weak(&learner->flows);
	*place = words_tag(&learner->endpoints, hash) | now;
	learner->ports[place - learner->endpoints.at] = (struct port_of){ port, transport };
	if (learner->since)
		learner->since[place - learner->endpoints.at] = sight->number;
	mark_server(learner, transport, port);
}

/* Of one direction: a product alone is that of both, for one pair of hashes in four. */
static uint64_t opening_tag(uint64_t client, uint64_t server)
{
	return pm_fold(~client, server | 1) | 1;
}

/* Times are anything; of those that are too far apart to say, some are not. */
static int64_t since(int64_t now, int64_t then)
{
	return (int64_t)((uint64_t)now - (uint64_t)then);
}

/* The place in @line, a free one included, has nothing that matters at @time_ns. */
static bool is_over(const struct opening_line *line, int way, int64_t time_ns)
{
	return line->tags[way] == 0 || since(time_ns, line->times[way]) > HANDSHAKE_LIFE_NS;
}

static struct opening_line *opening_line(const struct pm_learner *learner, uint64_t tag)
{
	return &learner->opening_lines[(tag >> 16) % (OPENINGS / OPENING_WAYS)];
}

/* What stands at that place of the line. */
static struct opening *opening_at(const struct pm_learner *learner, const struct opening_line *line,
				  int way)
{
	return &learner->openings[(line - learner->opening_lines) * OPENING_WAYS + way];
}

static struct opening_head *opening_head(const struct pm_learner *learner,
					 const struct opening *opening)
{
	return &learner->opening_heads[opening - learner->openings];
}

static bool is_answered(const struct pm_learner *learner, const struct opening *opening)
{
	return opening_head(learner, opening)->state == OPENING_ANSWERED;
}

/* When it began. */
static int64_t opening_time(const struct pm_learner *learner, const struct opening *opening)
{
	size_t at = (size_t)(opening - learner->openings);

	return learner->opening_lines[at / OPENING_WAYS].times[at % OPENING_WAYS];
}

/* A handshake that is over. */
static void opening_drop(struct pm_learner *learner, struct opening *opening)
{
	size_t at = (size_t)(opening - learner->openings);
	struct opening_head *head = opening_head(learner, opening);

	if (head->state != OPENING_FREE && head->transport == PM_TRANSPORT_TCP)
		learner->marks[head->client_port]--;
	head->state = OPENING_FREE;
	learner->opening_lines[at / OPENING_WAYS].tags[at % OPENING_WAYS] = 0;
}

/* Whether there is one, over or not. */
static bool opening_stands(const struct pm_learner *learner, uint64_t client, uint64_t server)
{
	uint64_t tag = opening_tag(client, server);
	const struct opening_line *line = opening_line(learner, tag);
	bool stands = false;

	for (int i = 0; i < OPENING_WAYS; i++)
		stands |= line->tags[i] == tag;
	return stands;
}

/* NULL: there is none. */
static struct opening *opening_find(const struct pm_learner *learner, uint64_t client,
				    uint64_t server, int64_t time_ns)
{
	uint64_t tag = opening_tag(client, server);
	const struct opening_line *line = opening_line(learner, tag);
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

/*
 * Where it stays, and an IPv4 address as one word with the zeros behind it: what is put together of
 * smaller pieces than it is read in makes processors wait.
 */
static inline void set_address(struct pm_address *address, uint8_t ip_version, const uint8_t *bytes)
{
	uint64_t words[2] = { 0, 0 };

	if (ip_version == 4)
		words[0] = htole64(pm_le32(bytes));
	else
		memcpy(words, bytes, sizeof words);
	memcpy(address->bytes, words, sizeof words);
}

/* @client_is_src: the one that opened sent the frame; @turned: it is the service. */
static void tell(const struct pm_learner *learner, enum pm_event event,
		 const struct pm_sight *sight, bool client_is_src, bool turned)
{
	uint8_t version = pm_brief_ip_version(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	uint16_t dst_port = pm_brief_dst_port(sight->brief);
	bool to = client_is_src != turned; /* the frame goes to the service */
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_evidence evidence;

	if (!learner->options.event)
		return;
	if (!pm_watch_cares(event, transport, client_is_src ? src_port : dst_port,
			    client_is_src ? dst_port : src_port) &&
	    !pm_rules_scoped(learner->rules, (enum pm_transport)transport,
			     to ? dst_port : src_port)) {
		/* no more of it is looked at */
		evidence.ip_version = 0;
		evidence.turned = turned;
		evidence.event = (uint8_t)event;
		evidence.transport = transport;
		evidence.client_port = to ? src_port : dst_port;
		evidence.server_port = to ? dst_port : src_port;
		learner->options.event(learner->options.ctx, &evidence);
		return;
	}
	evidence = (struct pm_evidence){
		.event = (uint8_t)event,
		.ip_version = version,
		.transport = transport,
		.link_known = sight->link != NULL,
		.client_port = to ? src_port : dst_port,
		.server_port = to ? dst_port : src_port,
		.turned = turned,
		.number = sight->number,
		.time_ns = sight->time_ns,
		.wire = sight->wire,
	};
	set_address(&evidence.client, version, to ? sight->src : sight->dst);
	set_address(&evidence.server, version, to ? sight->dst : sight->src);
	if (sight->link)
		memcpy(evidence.link, sight->link, sizeof evidence.link);
	learner->options.event(learner->options.ctx, &evidence);
}

static void tell_unanswered(struct pm_learner *learner, struct opening *opening)
{
	struct opening_head *head = opening_head(learner, opening);
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
 * A label that is right more often than what weighing finds: of a service that somebody has looked
 * at, or in the system range. The registry alone has names for too many ports that clients draw.
 */
static inline bool is_strong(uint8_t class, uint16_t port)
{
	return class >= PM_CLASS_STRONG || (class && port < PM_SYSTEM_PORTS);
}

/* The same where the class is not at hand, or does not say it. */
static inline bool is_strong_port(const struct pm_learner *learner, uint8_t transport,
				  uint16_t port)
{
	uint8_t class = learner->rules->classes[transport][port];
	struct pm_label label;

	if (class != PM_CLASS_ASK)
		return is_strong(class, port);
	label = learner->rules->labels[transport][port];
	return label.service && is_strong(PM_CLASS(label.priority), port);
}

/*
 * Rules marked initiates=yes turn it round: the service itself opens, from that port. But who
 * knocks at a service from there is a client that has drawn an odd port.
 */
static bool is_turned(const struct pm_learner *learner, const struct pm_sight *sight)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	const struct pm_label *labels = learner->rules->labels[transport];

	/* Clients' ports have no label: for most, the byte that the frame has asked is enough. */
	if (transport == PM_TRANSPORT_TCP && !(class_at(learner, src_port) & ~PM_CLASS_HOT))
		return false;
	return labels[src_port].flags & PM_LABEL_INITIATES &&
	       !is_strong_port(learner, transport, pm_brief_dst_port(sight->brief));
}

/* Tells of attempts that nobody has answered; @all: also of those that are too young to say. */
static void look(struct pm_learner *learner, int64_t time_ns, bool all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < learner->n_waiting; i++) {
		struct waiting waiting = learner->waiting[i];
		struct opening *opening = &learner->openings[waiting.place];

		if (learner->opening_heads[waiting.place].state != OPENING_ASKED ||
		    opening->number != waiting.number)
			continue;
		if (all || since(time_ns, opening_time(learner, opening)) >= ANSWER_NS)
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
	int64_t ago = since(time_ns, learner->looked_ns);
	bool due = (ago >= LOOK_NS || ago <= -LOOK_NS) &&
		   learner->n_waiting - learner->n_kept >= learner->n_waiting / 8;

	if (due || learner->n_waiting == WAITING_MAX)
		look(learner, time_ns, false);
}

/* The place for a new one: what is over gives way, or what is furthest from now. */
static int opening_place(const struct opening_line *line, int64_t time_ns)
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
static struct opening *open(struct pm_learner *learner, const struct pm_sight *sight,
			    struct ends ends)
{
	struct opening *opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);
	uint64_t tag = opening_tag(ends.src, ends.dst);
	struct opening_line *line = opening_line(learner, tag);
	struct opening_head *head;
	bool turned;
	int way;

	if (opening)
		return opening;
	way = opening_place(line, sight->time_ns);
	opening = opening_at(learner, line, way);
	__builtin_prefetch(opening, 1);
	look_again(learner, sight->time_ns);
	turned = is_turned(learner, sight);
	head = opening_head(learner, opening);
	if (head->state == OPENING_ASKED) {
		/* nobody has answered it, or there was no room */
		if (since(sight->time_ns, line->times[way]) < ANSWER_NS)
			learner->lost.handshakes++;
		else
			tell_unanswered(learner, opening);
	}
	opening_drop(learner, opening);
	learner->any_opening = true;
	line->tags[way] = tag;
	line->times[way] = sight->time_ns;
	opening->ip_version = pm_brief_ip_version(sight->brief);
	set_address(&opening->client, opening->ip_version, sight->src);
	set_address(&opening->server, opening->ip_version, sight->dst);
	opening->server_port = pm_brief_dst_port(sight->brief);
	opening->turned = turned;
	opening->wire = sight->wire;
	opening->number = sight->number;
	*head = (struct opening_head){ pm_brief_src_port(sight->brief),
				       pm_brief_transport(sight->brief), OPENING_ASKED };
	learner->waiting[learner->n_waiting++] = (struct waiting){
		.number = sight->number,
		.place = (uint32_t)(opening - learner->openings),
	};
	if (head->transport == PM_TRANSPORT_TCP)
		learner->marks[head->client_port]++;
	heat(learner, head->transport, head->client_port);
	tell(learner, PM_EVENT_ATTEMPT, sight, true, turned);
	return opening;
}

void pm_learner_close(struct pm_learner *learner, int64_t time_ns, bool last)
{
	look(learner, time_ns, last);
	/* Who has met whom is counted anew in the next interval. */
	pm_flows_forget(&learner->flows);
	if (learner->n_hot > 2 * learner->n_hot_before + 1024)
		heat_anew(learner);
}

static void note_host(struct pm_learner *learner, const struct pm_sight *sight,
		      uint64_t host, uint64_t role)
{
	uint64_t hash = pm_endpoint_hash(host, 0, 0);
	uint64_t *word = words_find(&learner->hosts, hash);
	uint16_t now = minute_of(sight);
	uint64_t roles = 0;

	if (!word)
		word = words_push(&learner->hosts, hash);
	else if (!is_older((uint16_t)*word, now, HOST_LIFE_MIN))
		roles = *word & (WAS_CLIENT | WAS_SERVER);
	*word = words_tag(&learner->hosts, hash) | roles | role | now;
}

/* @side has served the other. */
static void note_roles(struct pm_learner *learner, const struct pm_sight *sight, enum pm_side side)
{
	if (sight->src_host == sight->dst_host)
		return;
	note_host(learner, sight, sight->src_host, side == PM_SIDE_SRC ? WAS_SERVER : WAS_CLIENT);
	note_host(learner, sight, sight->dst_host, side == PM_SIDE_DST ? WAS_SERVER : WAS_CLIENT);
}

/* Pairs stand by what is left of a flow without its direction. */
static uint64_t pair_hash(pm_flow flow)
{
	return flow >> 1;
}

/* A word that was of use moves one place forward: those that are stay where none falls out. */
static uint64_t *words_forward(const struct words *words, uint64_t hash, uint64_t *word)
{
	uint64_t before;

	if (word == words_line(words, hash))
		return word;
	before = word[-1];
	word[-1] = *word;
	*word = before;
	return word - 1;
}

static uint16_t step_of(int64_t time_ns)
{
	return (uint16_t)(time_ns / (2 * PM_NS_PER_S));
}

/* That the source of @flow is the first to speak, or @dst is. */
static uint64_t first_is(pm_flow flow, bool dst)
{
	return (flow & 1) == dst ? PAIR_LOWER : 0;
}

/*
 * A new pair, of which @known is known; in the place of who has been silent for longest, and of
 * whom nothing is decided from here on.
 */
static uint64_t *pair_new(struct pm_learner *learner, pm_flow flow, uint16_t now, uint64_t known)
{
	const uint64_t *line = words_line(&learner->pairs, pair_hash(flow)), last = line[WAYS - 1];
	uint64_t *place;

	if (last && !learner->flows.flows.asleep)
		pm_flows_drop(&learner->flows, last >> PAIR_BITS << PAIR_BITS << 1 |
						       (flow & (2 * PAIR_LINES - 1)));
	place = words_push(&learner->pairs, pair_hash(flow));
	*place |= known | now;
	return place;
}

/*
 * That the destination has opened what the source accepts, or @turned, serves it: should both be
 * known to serve.
 */
static void pair_opened(struct pm_learner *learner, const struct pm_sight *sight, bool turned)
{
	pm_flow flow = flow_of(learner, sight);
	uint64_t known = first_is(flow, !turned), *pair;

	pair = words_find(&learner->pairs, pair_hash(flow));
	if (pair)
		*pair = words_tag(&learner->pairs, pair_hash(flow)) | known |
			step_of(sight->time_ns);
	else
		pair_new(learner, flow, step_of(sight->time_ns), known);
}

/* The rungs of set-up: what the frame itself says, or the handshake that it belongs to. */
static enum pm_side from_setup(struct pm_learner *learner, const struct pm_sight *sight,
			       struct ends ends)
{
	struct opening *opening;

	switch (sight->setup) {
	case PM_SETUP_OPEN:
		if (!learner->flows.flows.asleep)
			pm_flows_drop(&learner->flows, flow_of(learner, sight));
		opening = open(learner, sight, ends);
		return opening->turned ? PM_SIDE_SRC : PM_SIDE_DST;
	case PM_SETUP_ACCEPT:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (!opening) /* nobody asked: a scanner's */
			return PM_SIDE_NONE;
		if (!is_answered(learner, opening))
			tell(learner, PM_EVENT_ANSWER, sight, false, opening->turned);
		opening_head(learner, opening)->state = OPENING_ANSWERED;
		pair_opened(learner, sight, opening->turned);
		if (opening->turned)
			learn(learner, sight, ends.dst, pm_brief_dst_port(sight->brief));
		else
			learn(learner, sight, ends.src, pm_brief_src_port(sight->brief));
		note_roles(learner, sight, opening->turned ? PM_SIDE_DST : PM_SIDE_SRC);
		return opening->turned ? PM_SIDE_DST : PM_SIDE_SRC;
	case PM_SETUP_RESET:
		opening = opening_find(learner, ends.dst, ends.src, sight->time_ns);
		if (opening && !is_answered(learner, opening)) {
			tell(learner, PM_EVENT_REFUSAL, sight, false, opening->turned);
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

/* A client's first word after the handshake completes it. True: that was it. */
static bool confirm(struct pm_learner *learner, const struct pm_sight *sight, struct ends ends)
{
	struct opening *opening = opening_find(learner, ends.src, ends.dst, sight->time_ns);

	if (!opening)
		return false;
	/* Where only one direction is captured, it shows that there was an answer. */
	if (!is_answered(learner, opening) && !opening->turned)
		learn(learner, sight, ends.dst, pm_brief_dst_port(sight->brief));
	tell(learner, PM_EVENT_SESSION, sight, true, opening->turned);
	opening_drop(learner, opening);
	return true;
}

/* The one of both that is alone with it. */
static enum pm_side side_of(bool src, bool dst)
{
	if (src == dst)
		return PM_SIDE_NONE;
	return src ? PM_SIDE_SRC : PM_SIDE_DST;
}

/* Which of two that are both known to serve has opened the conversation, and so is the client. */
static enum pm_side from_pair(const struct pm_learner *learner, const struct pm_sight *sight)
{
	pm_flow flow = flow_of(learner, sight);
	const uint64_t *pair = words_find(&learner->pairs, pair_hash(flow));

	if (!pair)
		return PM_SIDE_NONE;
	return (*pair & PAIR_LOWER) == first_is(flow, false) ? PM_SIDE_DST : PM_SIDE_SRC;
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
			struct ends ends, bool src, bool dst)
{
	uint16_t src_marks = marks_of(learner, PM_TRANSPORT_TCP, pm_brief_src_port(sight->brief));
	uint16_t dst_marks = marks_of(learner, PM_TRANSPORT_TCP, pm_brief_dst_port(sight->brief));
	unsigned holds = dst_marks & ~MARK_SERVES ? PM_HOLDS_ALONE : 0;
	bool to_itself = sight->src_host == sight->dst_host &&
			 pm_brief_src_port(sight->brief) == pm_brief_dst_port(sight->brief);

	if ((src && dst) || to_itself)
		return PM_HOLDS_NOT;
	if (src_marks & ~MARK_SERVES && opening_stands(learner, ends.src, ends.dst))
		return PM_HOLDS_NOT;
	if ((!src && src_marks & MARK_SERVES) || (!dst && dst_marks & MARK_SERVES))
		holds |= PM_HOLDS_WEAKLY;
	return holds;
}

/* Which of both ends serves. */
static enum pm_side from_endpoints(struct pm_learner *learner, const struct pm_sight *sight,
				   struct ends ends)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_marks = marks_of(learner, transport, pm_brief_src_port(sight->brief));
	uint16_t dst_marks = marks_of(learner, transport, pm_brief_dst_port(sight->brief));
	uint16_t now = minute_of(sight);
	bool src = src_marks & MARK_SERVES && serves(learner, ends.src, now);
	bool dst = dst_marks & MARK_SERVES && serves(learner, ends.dst, now);

	if (sight->setup == PM_SETUP_CONFIRM && src_marks & ~MARK_SERVES &&
	    (dst || !src || is_turned(learner, sight)) && confirm(learner, sight, ends))
		dst = dst || serves(learner, ends.dst, now);
	learner->holds = how_far(learner, sight, ends, src, dst);
	return src && dst ? from_pair(learner, sight) : side_of(src, dst);
}

static uint64_t call_time(const struct pm_sight *sight)
{
	return (uint64_t)(minute_of(sight) / 4) & 0x7f;
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
	uint64_t now = call_time(sight), *word = words_find(&learner->callers, hash);

	if (word && is_recent_call(*word, now)) {
		spoken |= *word & all;
		if ((uint16_t)*word != port)
			spoken |= CALLED_AGAIN;
		port = (uint16_t)*word;
	} else if (!word) {
		word = words_push(&learner->callers, hash);
		*ret_stranger = true;
	}
	*word = words_tag(&learner->callers, hash) | now << CALLED_AT | spoken | port;
	return (spoken & all) == all;
}

/* An address that was seen as a client, and never as a server. */
static bool is_client(const struct pm_learner *learner, const struct pm_sight *sight,
		      uint64_t host)
{
	uint64_t hash = pm_endpoint_hash(host, 0, 0);
	const uint64_t *word = words_find(&learner->hosts, hash);

	return word && (*word & (WAS_CLIENT | WAS_SERVER)) == WAS_CLIENT &&
	       !is_older((uint16_t)*word, minute_of(sight), HOST_LIFE_MIN);
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
static enum pm_side weigh(struct pm_learner *learner, const struct pm_sight *sight,
			  struct ends ends)
{
	bool udp = is_udp(pm_brief_transport(sight->brief)), stranger = false, src, dst;
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
		return side_of(src, dst);
	side = side_of(is_client(learner, sight, sight->dst_host),
		       is_client(learner, sight, sight->src_host));
	if (side == PM_SIDE_NONE)
		return side_of(src, dst);
	learner->weight = PM_WEIGHT_HOSTS;
	return side;
}

static bool is_recent_pair(uint64_t pair, uint16_t now)
{
	int passed = (int16_t)(now - (uint16_t)pair);

	/* steps wrap after 36 hours: as in is_older */
	return passed <= PAIR_LIFE && passed >= -PAIR_BACKWARDS;
}

/* That a pair has spoken: once in each step, so that all other frames need not ask for it. */
static uint64_t *pair_renew(const struct pm_learner *learner, uint64_t hash, uint64_t *pair,
			    uint16_t now)
{
	if ((uint16_t)*pair == now)
		return pair;
	pair = words_forward(&learner->pairs, hash, pair);
	*pair = (*pair & ~UINT64_C(0xffff)) | now;
	return pair;
}

/* The pair of both ends, and that it has spoken again. */
static uint64_t *pair_see(struct pm_learner *learner, const struct pm_sight *sight,
			  pm_flow flow)
{
	uint64_t hash = pair_hash(flow), known;
	uint64_t *pair = words_find(&learner->pairs, hash);
	uint16_t now = step_of(sight->time_ns);

	if (pair && is_recent_pair(*pair, now)) {
		pair = pair_renew(learner, hash, pair, now);
		if (!(*pair & PAIR_ANSWERED) && (*pair & PAIR_LOWER) != first_is(flow, false)) {
			*pair |= PAIR_ANSWERED;
			tell(learner, PM_EVENT_ANSWER, sight, false, false);
		}
		return pair;
	}
	known = first_is(flow, false) | PAIR_FRESH;
	if (since(sight->time_ns, learner->start_ns) >= WARM_UP_NS)
		known |= PAIR_SURE;
	if (!pair)
		return pair_new(learner, flow, now, known);
	*pair = words_tag(&learner->pairs, hash) | known | now;
	return pair;
}

/* Counts whether first speakers are clients, by the pairs whose labels leave no doubt. */
static void calibrate(struct pm_learner *learner, uint64_t *pair, bool src_first,
		      enum pm_side strong)
{
	bool from_client = src_first == (strong == PM_SIDE_DST);

	if (from_client && !(*pair & PAIR_ANSWERED))
		return;
	*pair |= PAIR_WEIGHED;
	learner->agree += from_client;
	learner->disagree += !from_client;
	if (learner->agree + learner->disagree >= UINT32_C(1) << 16) {
		learner->agree /= 2;
		learner->disagree /= 2;
	}
}

static bool is_trusted(const struct pm_learner *learner)
{
	return learner->agree >= TRUST_LEAST && learner->agree >= TRUST_RATIO * learner->disagree;
}

/* The service's label; a brief leaves that to whoever counts. */
static struct pm_decision decided(const struct pm_learner *learner, const struct pm_sight *sight,
				  enum pm_side side, enum pm_rung rung)
{
	uint16_t service = 0;

	if (sight->packet)
		service = pm_side_label(learner->rules, sight->packet, side);
	return (struct pm_decision){ service, (uint8_t)side, (uint8_t)rung };
}

/* The ladder's rungs that need no memory. */
static struct pm_decision from_ports(const struct pm_learner *learner,
				     const struct pm_sight *sight)
{
	return sight->packet ? pm_side_decide(learner->rules, sight->packet)
			     : pm_side_decide_brief(learner->rules, sight->brief);
}

/*
 * Where labels are weak: what earlier conversations do say. Where they agree with the labels, it
 * is these that decide. @asked: the side that did not speak first, if that is known.
 */
static PM_OUT_OF_LINE struct pm_decision from_weak_labels(struct pm_learner *learner,
							  const struct pm_sight *sight,
							  struct ends ends,
							  struct pm_decision decision,
							  enum pm_side asked)
{
	bool udp = is_udp(pm_brief_transport(sight->brief));
	enum pm_side side;

	learner->holds = PM_HOLDS_NOT;
	learner->weighed = true;
	if (udp && pm_brief_notes(sight->brief) & PM_NOTE_GROUP) {
		side = decision.rung == PM_RUNG_SCORE ? PM_SIDE_NONE : PM_SIDE_DST;
		learner->weight = PM_WEIGHT_GROUP;
	} else if (asked != PM_SIDE_NONE && is_trusted(learner)) {
		side = asked;
		learner->weight = PM_WEIGHT_TRUSTED;
	} else {
		side = weigh(learner, sight, ends);
	}
	if (side == PM_SIDE_NONE && asked != PM_SIDE_NONE && decision.rung > PM_RUNG_SCORE) {
		side = asked;
		learner->weight = PM_WEIGHT_FIRST;
	}
	if (side == PM_SIDE_NONE || side == (enum pm_side)decision.side)
		return decision;
	return decided(learner, sight, side, PM_RUNG_LEARNED);
}

/* What a frame says whose labels leave no doubt; @pair: of UDP, else NULL. */
static inline void confirm_labels(struct pm_learner *learner, const struct pm_sight *sight,
				  uint64_t *pair, bool src_first, enum pm_side side)
{
	if (pair && !(*pair & PAIR_WEIGHED) && *pair & (PAIR_FRESH | PAIR_ANSWERED))
		calibrate(learner, pair, src_first, side);
	if (pm_learner_notes(sight->number))
		note_roles(learner, sight, side);
}

/* Below the handshake and the endpoints that it has shown; @pair: of UDP, else NULL. */
static struct pm_decision from_labels(struct pm_learner *learner, const struct pm_sight *sight,
				      struct ends ends, uint64_t *pair, bool src_first)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_decision decision = from_ports(learner, sight);
	bool src = is_strong_port(learner, transport, pm_brief_src_port(sight->brief));
	bool dst = is_strong_port(learner, transport, pm_brief_dst_port(sight->brief));
	enum pm_side asked = src_first ? PM_SIDE_DST : PM_SIDE_SRC;

	if (decision.rung == PM_RUNG_RULE || decision.rung == PM_RUNG_SYMMETRIC)
		return decision;
	if (!src && !dst)
		return from_weak_labels(learner, sight, ends, decision,
					pair && *pair & PAIR_SURE ? asked : PM_SIDE_NONE);
	/* Two strong ones leave a doubt. */
	confirm_labels(learner, sight, src != dst ? pair : NULL, src_first,
		       (enum pm_side)decision.side);
	return decision;
}

/* Between two of UDP; the first frame is an attempt, at whatever it counts for. */
static struct pm_decision from_datagram(struct pm_learner *learner, const struct pm_sight *sight,
					struct ends ends)
{
	pm_flow flow = flow_of(learner, sight);
	uint64_t *pair = pair_see(learner, sight, flow);
	bool src_first = (*pair & PAIR_LOWER) == first_is(flow, false);
	struct pm_decision decision = from_labels(learner, sight, ends, pair, src_first);

	if (*pair & PAIR_FRESH) {
		*pair &= ~PAIR_FRESH;
		tell(learner, PM_EVENT_ATTEMPT, sight, true, decision.side == PM_SIDE_SRC);
	}
	return decision;
}

void pm_learner_begin(struct pm_learner *learner, int64_t time_ns)
{
	learner->started = true;
	learner->start_ns = time_ns;
}

struct pm_decision pm_learner_decide(struct pm_learner *learner, const struct pm_sight *sight)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_decision decision;
	struct ends ends;
	enum pm_side side;

	if (!learner->started)
		pm_learner_begin(learner, sight->time_ns);
	pm_flows_enter(&learner->flows, sight->time_ns);
	/* Port 0 is no endpoint; but who asks from it asks someone. */
	if (pm_brief_src_port(sight->brief) == 0 || pm_brief_dst_port(sight->brief) == 0) {
		if (sight->setup == PM_SETUP_OPEN && pm_brief_dst_port(sight->brief) != 0)
			return decided(learner, sight, PM_SIDE_DST, PM_RUNG_HANDSHAKE);
		return from_ports(learner, sight);
	}
	ends.src = pm_endpoint_hash(sight->src_host, transport, pm_brief_src_port(sight->brief));
	ends.dst = pm_endpoint_hash(sight->dst_host, transport, pm_brief_dst_port(sight->brief));
	if (is_udp(transport))
		return from_datagram(learner, sight, ends);
	side = from_setup(learner, sight, ends);
	if (side != PM_SIDE_NONE)
		return decided(learner, sight, side, PM_RUNG_HANDSHAKE);
	side = from_endpoints(learner, sight, ends);
	if (side != PM_SIDE_NONE)
		decision = decided(learner, sight, side, PM_RUNG_LEARNED);
	else
		decision = from_labels(learner, sight, ends, NULL, false);
	/* which of two labels has more weight depends on which end is the destination */
	if (decision.rung == PM_RUNG_SCORE)
		learner->holds |= PM_HOLDS_ALONE;
	if (!learner->flows.flows.asleep && !sight->packet && sight->setup == PM_SETUP_CONFIRM &&
	    !(pm_brief_notes(sight->brief) & PM_NOTE_GROUP))
		pm_flows_keep(&learner->flows, flow_of(learner, sight), sight->time_ns, decision,
			      learner->holds);
	return decision;
}

struct pm_decision pm_learner_datagram(struct pm_learner *learner, pm_brief brief,
				       pm_flow flow, uint64_t number, int64_t time_ns,
				       bool *ret_attempt)
{
	const struct pm_decision show = { 0, PM_SIDE_NONE, PM_RUNG_N };
	uint8_t transport = pm_brief_transport(brief);
	uint16_t src_port = pm_brief_src_port(brief), dst_port = pm_brief_dst_port(brief);
	const uint8_t *classes = learner->rules->classes[transport];
	uint8_t src = classes[src_port], dst = classes[dst_port], class = src | dst;
	struct pm_decision decision = { 0, src ? PM_SIDE_SRC : PM_SIDE_DST, PM_RUNG_KNOWN };
	uint64_t hash = pair_hash(flow), first = first_is(flow, false), known, *pair;
	uint16_t now = step_of(time_ns);

	if (class == PM_CLASS_ASK || !src == !dst || !is_strong(class, src ? src_port : dst_port) ||
	    pm_learner_notes(number) || !learner->started)
		return show;
	pair = words_find(&learner->pairs, hash);
	*ret_attempt = !pair;
	if (pair) {
		bool news = (*pair & PAIR_ANSWERED) ? !(*pair & PAIR_WEIGHED)
						    : (*pair & PAIR_LOWER) != first;

		if (news || !is_recent_pair(*pair, now))
			return show;
		pair = pair_renew(learner, hash, pair, now);
		if (!learner->flows.flows.asleep)
			pm_flows_keep(&learner->flows, flow, time_ns, decision,
				      *pair & PAIR_ANSWERED ? 0 : PM_HOLDS_ALONE);
		return decision;
	}
	if (pm_watch_cares(PM_EVENT_ATTEMPT, transport, src_port, dst_port))
		return show;
	known = first | (since(time_ns, learner->start_ns) >= WARM_UP_NS ? PAIR_SURE : 0);
	pair = pair_new(learner, flow, now, known);
	if (src)
		calibrate(learner, pair, true, PM_SIDE_SRC);
	if (!learner->flows.flows.asleep)
		pm_flows_keep(&learner->flows, flow, time_ns, decision, PM_HOLDS_ALONE);
	return decision;
}

/* What is known of the source, or of the destination, before the frame is shown. */
static struct pm_end_grounds end_grounds(const struct pm_learner *learner,
					 const struct pm_sight *sight, bool src)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	uint16_t dst_port = pm_brief_dst_port(sight->brief);
	uint16_t port = src ? src_port : dst_port, other_port = src ? dst_port : src_port;
	uint64_t host = src ? sight->src_host : sight->dst_host;
	uint64_t other_host = src ? sight->dst_host : sight->src_host;
	uint64_t end = pm_endpoint_hash(host, transport, port);
	uint64_t other = pm_endpoint_hash(other_host, transport, other_port);
	uint16_t now = minute_of(sight);
	const uint64_t *word = words_find(&learner->endpoints, end);
	const struct opening *opening = opening_find(learner, end, other, sight->time_ns);
	struct pm_end_grounds grounds = { .strong = is_strong_port(learner, transport, port) };

	grounds.served = word && !is_old((uint16_t)*word, now);
	if (grounds.served && learner->since)
		grounds.since = learner->since[word - learner->endpoints.at];
	if (opening) {
		grounds.opened = opening->number;
		grounds.answered = is_answered(learner, opening);
		grounds.turned = opening->turned;
	}
	word = words_find(&learner->hosts, pm_endpoint_hash(host, 0, 0));
	if (word && !is_older((uint16_t)*word, now, HOST_LIFE_MIN)) {
		grounds.client = *word & WAS_CLIENT;
		grounds.server = *word & WAS_SERVER;
	}
	word = words_find(&learner->callers, other_host ^ end);
	if (word && is_recent_call(*word, call_time(sight))) {
		uint64_t spoken = *word | (src ? CALLED_BACK : CALLED);

		grounds.called = true;
		grounds.caller_port = (uint16_t)*word;
		grounds.called_again = spoken & CALLED_AGAIN || grounds.caller_port != other_port;
		grounds.called_both = spoken & CALLED && spoken & CALLED_BACK;
	}
	return grounds;
}

/* Before a frame between two ports is shown. */
static void find_grounds(const struct pm_learner *learner, const struct pm_sight *sight,
			 struct pm_grounds *grounds)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	pm_flow flow = flow_of(learner, sight);
	const uint64_t *pair = words_find(&learner->pairs, pair_hash(flow));

	grounds->src = end_grounds(learner, sight, true);
	grounds->dst = end_grounds(learner, sight, false);
	if (pair && (!is_udp(transport) || is_recent_pair(*pair, step_of(sight->time_ns)))) {
		grounds->pair = true;
		grounds->src_first = (*pair & PAIR_LOWER) == first_is(flow, false);
		grounds->sure = *pair & PAIR_SURE;
	} else {
		grounds->src_first = true;
		grounds->sure = learner->started &&
				since(sight->time_ns, learner->start_ns) >= WARM_UP_NS;
	}
	grounds->agree = learner->agree;
	grounds->disagree = learner->disagree;
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

const uint8_t *pm_learner_classes(const struct pm_learner *learner)
{
	return learner->classes;
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

void pm_learner_rest(struct pm_learner *learner, size_t frames, size_t recalled)
{
	if (!learner->options.plain)
		pm_flows_rest(&learner->flows, frames, recalled);
}

/* What a SYN will look through, or its answer, at the handshakes of that. */
static PM_INLINE void fetch_openings(const struct pm_learner *learner, struct ends ends,
				     uint16_t src_port, uint8_t tcp_flags)
{
	uint64_t tag = tcp_flags & PM_TCP_ACK ? opening_tag(ends.dst, ends.src)
					      : opening_tag(ends.src, ends.dst);
	const struct opening_line *line = opening_line(learner, tag);

	__builtin_prefetch(&learner->marks[src_port], 1);
	__builtin_prefetch(line, 1);
	__builtin_prefetch(opening_head(learner, opening_at(learner, line, 0)), 1);
}

/* What weighing will look at. */
static PM_INLINE void fetch_weights(const struct pm_learner *learner, struct ends ends,
				    uint64_t src_host, uint64_t dst_host)
{
	__builtin_prefetch(words_line(&learner->callers, ends.src ^ dst_host), 1);
	__builtin_prefetch(words_line(&learner->callers, ends.dst ^ src_host), 1);
	__builtin_prefetch(words_line(&learner->hosts, pm_endpoint_hash(src_host, 0, 0)));
	__builtin_prefetch(words_line(&learner->hosts, pm_endpoint_hash(dst_host, 0, 0)));
}

pm_flow pm_learner_fetch(const struct pm_learner *learner, pm_brief brief, pm_flow flow,
			 const uint8_t *addresses, uint64_t src_host, uint64_t dst_host)
{
	uint8_t transport = pm_brief_transport(brief);
	size_t size = pm_brief_ip_version(brief) == 4 ? 4 : 16;
	uint16_t src_port = pm_brief_src_port(brief), dst_port = pm_brief_dst_port(brief);
	bool weighs = !__atomic_load_n(&learner->flooded, __ATOMIC_RELAXED) &&
		      !is_strong_port(learner, transport, src_port) &&
		      !is_strong_port(learner, transport, dst_port);
	struct ends ends;

	if (is_udp(transport)) {
		if (!flow)
			flow = pm_flow_of(learner->key, brief, addresses, addresses + size);
		__builtin_prefetch(words_line(&learner->pairs, pair_hash(flow)), 1);
		if (!weighs)
			return flow;
	}
	ends.src = pm_endpoint_hash(src_host, transport, src_port);
	ends.dst = pm_endpoint_hash(dst_host, transport, dst_port);
	if (!is_udp(transport)) {
		/* of two that are hot, one is a client's, most often the higher */
		if (class_at(learner, src_port) & PM_CLASS_HOT && src_port < dst_port)
			__builtin_prefetch(words_line(&learner->endpoints, ends.src));
		else if (class_at(learner, dst_port) & PM_CLASS_HOT)
			__builtin_prefetch(words_line(&learner->endpoints, ends.dst));
		if (pm_brief_tcp_flags(brief) & PM_TCP_SYN)
			fetch_openings(learner, ends, src_port, pm_brief_tcp_flags(brief));
	}
	if (weighs)
		fetch_weights(learner, ends, src_host, dst_host);
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
