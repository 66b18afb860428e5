/* SPDX-License-Identifier: MIT */
/*
 * What the files of the learner share: the structure itself, which they fill together, and what
 * each does for the others.
 *
 *   learn.c      the ladder, from the frame to its decision, and the ports of TCP that are hot
 *   openings.c   handshakes on their way, and the rung that goes by them
 *   servers.c    endpoints that serve
 *   pairs.c      who spoke first of two
 *   weigh.c      callers and hosts, where labels are weak
 *   tell.h       events of conversations, to whoever wants them
 *   words.h      the tables that most of this stands in
 */
#ifndef PM_LEARN_INTERNAL_H
#define PM_LEARN_INTERNAL_H

#include <endian.h>
#include <string.h>

#include "service-internal.h"
#include "words.h"

/* Where minutes are kept, time may go backwards so far: a week. */
#define PM_BACKWARDS_MIN (7 * 24 * 60)

/*
 * What a port of TCP has to do with what is remembered, in detail, for the one that decides: how
 * many handshakes are on their way from it, and whether an endpoint there serves.
 */
#define PM_MARK_SERVES 0x8000
/* Handshakes that have given way at most, and are counted still, while their marks are fetched. */
#define PM_UNMARKED 8

/*
 * What is known of two endpoints of UDP, or of TCP and its like, of which one opened; below it,
 * when they last spoke, in steps of two seconds.
 */
#define PM_PAIR_LOWER (UINT64_C(1) << 16) /* the endpoint of the lower hash spoke first */
#define PM_PAIR_SURE (UINT64_C(1) << 17)  /* and it was not when the capture began */
#define PM_PAIR_FRESH (UINT64_C(1) << 18) /* nobody has been told of it */
#define PM_PAIR_ANSWERED (UINT64_C(1) << 19)
/* it has been counted: clients speak first, or do not */
#define PM_PAIR_WEIGHED (UINT64_C(1) << 20)
#define PM_PAIR_BITS 21

struct pm_learner {
	struct pm_learner_options options;
	const struct pm_rules *rules;
	struct pm_hash_key key;
	struct pm_words endpoints; /* that serve; known: the minute of their last use */
	struct pm_port_of *ports;  /* of the endpoints */
	uint64_t *since;           /* the frames that have shown them; NULL: nobody will ask */
	/* an endpoint and the address of its peer; known: the peer's port, CALLED bits, when */
	struct pm_words callers;
	struct pm_words hosts; /* addresses; known: WAS_ bits, and the minute */
	struct pm_words pairs; /* known: PM_PAIR_ bits, and the step */
	/* conversations at hand, of which all this need not be asked */
	struct pm_flow_table flows;
	unsigned holds; /* how far the last decision of TCP does, PM_HOLDS_ bits */
	struct pm_opening_set *openings; /* handshakes on their way */
	void *openings_block;            /* in which they stand */
	struct pm_waiting *waiting; /* in the order of frames */
	uint32_t n_waiting, n_kept; /* and how many of them the last look has left */
	int64_t looked_ns; /* when those that nobody has answered were looked for */
	size_t n_endpoints;
	bool any_opening; /* there has been one */
	size_t n_hot, n_hot_before; /* ports; when they were last marked anew */
	uint8_t *classes;           /* of TCP's ports, with PM_CLASS_HOT */
	const uint8_t *glanced[2];  /* these, and those that the rules have for UDP */
	uint16_t *marks;            /* of TCP's ports */
	uint16_t unmarked[PM_UNMARKED]; /* whose marks count one handshake too many */
	uint32_t n_unmarked;            /* so far */
	uint32_t generation;
	struct pm_learner_lost lost;
	bool started;
	int64_t start_ns; /* the first frame that was shown */
	/* UDP: first speakers that were clients by the labels, or were not */
	uint32_t agree, disagree;
	uint32_t weak, strangers; /* frames of this stretch, and those of them that nobody knew */
	bool flooded;             /* the stretch before was nearly all strangers */
	bool weighed;             /* the last frame, for pm_learner_explain */
	uint8_t weight;           /* what spoke, enum pm_weight */
};

/* Hashes of both ends of a frame. */
struct pm_ends {
	uint64_t src, dst;
};

static inline bool pm_is_udp(uint8_t transport)
{
	return pm_transport_source_optional((enum pm_transport)transport);
}

/* The flow of the frame, which most frames bring along. */
static inline pm_flow pm_sight_flow(const struct pm_learner *learner, const struct pm_sight *sight)
{
	if (sight->flow)
		return sight->flow;
	return pm_flow_of(learner->key, sight->brief, sight->src, sight->dst);
}

/* The minute of a frame: it wraps, see pm_is_older. */
static inline uint16_t pm_minute(int64_t time_ns)
{
	return (uint16_t)(time_ns / (60 * PM_NS_PER_S));
}

static inline uint16_t pm_sight_minute(const struct pm_sight *sight)
{
	return pm_minute(sight->time_ns);
}

/*
 * The minute wraps after 45 days. A time that goes backwards makes nothing old; by more than a
 * week, time has gone on and the minute wrapped, more likely than that.
 */
static inline bool pm_is_older(uint16_t minute, uint16_t now, int minutes)
{
	int passed = (int16_t)(now - minute);

	return passed > minutes || passed < -PM_BACKWARDS_MIN;
}

/* Times are anything; of those that are too far apart to say, some are not. */
static inline int64_t pm_time_since(int64_t now, int64_t then)
{
	return (int64_t)((uint64_t)now - (uint64_t)then);
}

/* The one of both that is alone with it. */
static inline enum pm_side pm_side_of(bool src, bool dst)
{
	if (src == dst)
		return PM_SIDE_NONE;
	return src ? PM_SIDE_SRC : PM_SIDE_DST;
}

/*
 * Where it stays, and an IPv4 address as one word with the zeros behind it: what is put together of
 * smaller pieces than it is read in makes processors wait.
 */
static inline void pm_address_set(struct pm_address *address, uint8_t ip_version,
				  const uint8_t *bytes)
{
	uint64_t words[2] = { 0, 0 };

	if (ip_version == 4)
		words[0] = htole64(pm_le32(bytes));
	else
		memcpy(words, bytes, sizeof words);
	memcpy(address->bytes, words, sizeof words);
}

/* What a byte of the table of classes is; workers look at it while it may be written. */
static inline uint8_t pm_class_at(const struct pm_learner *learner, uint16_t port)
{
	return __atomic_load_n(&learner->classes[port], __ATOMIC_RELAXED);
}

/* That frames of the port must be shown. Ports of other transports than TCP are shown anyway. */
static inline void pm_heat(struct pm_learner *learner, uint8_t transport, uint16_t port)
{
	uint8_t class = pm_class_at(learner, port);

	if (transport != PM_TRANSPORT_TCP || class & PM_CLASS_HOT)
		return;
	__atomic_store_n(&learner->classes[port], class | PM_CLASS_HOT, __ATOMIC_RELAXED);
	learner->n_hot++;
	__atomic_store_n(&learner->generation, learner->generation + 1, __ATOMIC_RELEASE);
}

/*
 * A label that is right more often than what weighing finds: of a service that somebody has looked
 * at, or in the system range. The registry alone has names for too many ports that clients draw.
 */
static inline bool pm_is_strong(uint8_t class, uint16_t port)
{
	return class >= PM_CLASS_STRONG || (class && port < PM_SYSTEM_PORTS);
}

/* The same where the class is not at hand, or does not say it. */
static inline bool pm_is_strong_port(const struct pm_learner *learner, uint8_t transport,
				     uint16_t port)
{
	uint8_t class = learner->rules->classes[transport][port];
	struct pm_label label;

	if (class != PM_CLASS_ASK)
		return pm_is_strong(class, port);
	label = learner->rules->labels[transport][port];
	return label.service && pm_is_strong(PM_CLASS(label.priority), port);
}

/* The service's label; a brief leaves that to whoever counts. */
static inline struct pm_decision pm_decided(const struct pm_learner *learner,
					    const struct pm_sight *sight, enum pm_side side,
					    enum pm_rung rung)
{
	uint16_t service = 0;

	if (sight->packet)
		service = pm_side_label(learner->rules, sight->packet, side);
	return (struct pm_decision){ service, (uint8_t)side, (uint8_t)rung };
}

/* servers.c */

/* As many as the learner's options say. PM_E_MEMORY or 0; free takes what there is after either. */
int pm_servers_new(struct pm_learner *learner);
void pm_servers_free(struct pm_learner *learner);
/* Whether the endpoint serves, as far as is known in minute @now; and that it does is news. */
bool pm_servers_see(struct pm_learner *learner, uint64_t hash, uint16_t now);
/* That an end of the frame serves, at @port. Ends what was decided otherwise without it. */
void pm_servers_learn(struct pm_learner *learner, const struct pm_sight *sight, uint64_t hash,
		      uint16_t port);
/* Marks the ports of all endpoints, and heats them. */
void pm_servers_heat(struct pm_learner *learner);
/* What is known of the endpoint in minute @now. */
void pm_servers_explain(const struct pm_learner *learner, uint64_t hash, uint16_t now,
			struct pm_end_grounds *grounds);

/* openings.c */

/* PM_E_MEMORY or 0; free takes what there is after either. */
int pm_openings_new(struct pm_learner *learner);
void pm_openings_free(struct pm_learner *learner);
/* Of a frame that opens: the side that serves, by that alone. */
enum pm_side pm_openings_open(struct pm_learner *learner, const struct pm_sight *sight,
			      struct pm_ends ends);
/* Of one that answers or resets: by the handshake it belongs to. PM_SIDE_NONE: to none. */
enum pm_side pm_openings_decide(struct pm_learner *learner, const struct pm_sight *sight,
				struct pm_ends ends);
/* A client's first word after the handshake completes it. True: that was it. */
bool pm_openings_confirm(struct pm_learner *learner, const struct pm_sight *sight,
			 struct pm_ends ends);
/* Whether there is one of these two, over or not. */
bool pm_openings_hold(const struct pm_learner *learner, uint64_t client, uint64_t server);
/* Whether the source, should it open, is the service all the same. */
bool pm_is_turned(const struct pm_learner *learner, const struct pm_sight *sight);
/* Tells of attempts that nobody has answered; @all: also of those that are too young to say. */
void pm_openings_look(struct pm_learner *learner, int64_t time_ns, bool all);
/* Heats the ports that have a handshake on its way. */
void pm_openings_heat(struct pm_learner *learner);
/* What a SYN will look through, or its answer, at the handshakes of that. Any thread. */
void pm_openings_fetch(const struct pm_learner *learner, struct pm_ends ends, uint16_t src_port,
		       uint8_t tcp_flags);
/* What is known at @time_ns of the handshake in which @end has opened to @other. */
void pm_openings_explain(const struct pm_learner *learner, uint64_t end, uint64_t other,
			 int64_t time_ns, struct pm_end_grounds *grounds);

/* pairs.c, and there pm_learner_datagram */

/* Pairs stand by what is left of a flow without its direction. */
static inline uint64_t pm_pair_hash(pm_flow flow)
{
	return flow >> 1;
}

/* That the source of @flow is the first to speak, or @dst is. */
static inline uint64_t pm_pair_first(pm_flow flow, bool dst)
{
	return (flow & 1) == dst ? PM_PAIR_LOWER : 0;
}

/* PM_E_MEMORY or 0; free takes what there is after either. */
int pm_pairs_new(struct pm_learner *learner);
void pm_pairs_free(struct pm_learner *learner);
/* The pair of both ends of UDP, and that it has spoken again. Stands until the next is seen. */
uint64_t *pm_pairs_see(struct pm_learner *learner, const struct pm_sight *sight, pm_flow flow);
/*
 * That the destination has opened what the source accepts, or @turned, serves it: should both be
 * known to serve.
 */
void pm_pairs_open(struct pm_learner *learner, const struct pm_sight *sight, bool turned);
/* Which of two that are both known to serve has opened the conversation, and so is the client. */
enum pm_side pm_pairs_decide(const struct pm_learner *learner, const struct pm_sight *sight);
/*
 * Counts whether first speakers are clients, by the pairs whose labels leave no doubt: @strong is
 * the side that these say, and @src_first who spoke first.
 */
void pm_pairs_calibrate(struct pm_learner *learner, uint64_t *pair, bool src_first,
			enum pm_side strong);
/* Whether first speakers have been clients so often that they are believed to be. */
bool pm_pairs_trusted(const struct pm_learner *learner);
/* What is known of both ends of the frame, before it is shown. */
void pm_pairs_explain(const struct pm_learner *learner, const struct pm_sight *sight,
		      struct pm_grounds *grounds);

/* weigh.c, and there pm_learner_note */

/* PM_E_MEMORY or 0; free takes what there is after either. */
int pm_weigh_new(struct pm_learner *learner);
void pm_weigh_free(struct pm_learner *learner);
/* @side of the frame has served the other. */
static inline void pm_hosts_note(struct pm_learner *learner, const struct pm_sight *sight,
				 enum pm_side side)
{
	pm_learner_note(learner, sight->src_host, sight->dst_host, sight->time_ns, side);
}
/*
 * Where labels are weak: what earlier conversations do say. Where they agree with the labels, it
 * is these that decide. @asked: the side that did not speak first, if that is known.
 */
struct pm_decision pm_weigh_labels(struct pm_learner *learner, const struct pm_sight *sight,
				   struct pm_ends ends, struct pm_decision decision,
				   enum pm_side asked);
/* What weighing will look at. Any thread. */
static PM_INLINE void pm_weigh_fetch(const struct pm_learner *learner, struct pm_ends ends,
				     uint64_t src_host, uint64_t dst_host)
{
	__builtin_prefetch(pm_words_line(&learner->callers, ends.src ^ dst_host), 1);
	__builtin_prefetch(pm_words_line(&learner->callers, ends.dst ^ src_host), 1);
	__builtin_prefetch(pm_words_line(&learner->hosts, pm_endpoint_hash(src_host, 0, 0)));
	__builtin_prefetch(pm_words_line(&learner->hosts, pm_endpoint_hash(dst_host, 0, 0)));
}

/* What is known of the source, whose hash is @end, or of the destination: its host, and callers. */
void pm_weigh_explain(const struct pm_learner *learner, const struct pm_sight *sight, bool src,
		      uint64_t end, struct pm_end_grounds *grounds);

#endif
