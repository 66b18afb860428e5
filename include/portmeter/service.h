/* SPDX-License-Identifier: MIT */
/*
 * Names for ports, and which of a packet's two ports is the service's. Rules files are a
 * superset of services(5), see portmeter-rules(5); the side ladder is in docs/architecture.md.
 */
#ifndef PORTMETER_SERVICE_H
#define PORTMETER_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/base.h"
#include "portmeter/packet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A compiled, immutable set of rules; counted references, safe to share between threads. */
struct pm_rules;

/* What loading has to say about a line. */
enum pm_remark_kind {
	PM_REMARK_WARNING,  /* the line is skipped: unknown transport or key */
	PM_REMARK_ERROR,    /* the set can't be used */
	PM_REMARK_CONFLICT, /* two rules claim a port with equal right; order alone decides */
	PM_REMARK_SHADOWED, /* the rule never wins, on no port */
	PM_REMARK_N,
};

/* "warning", "error", "conflict", "shadowed"; static. */
PM_API const char *pm_remark_name(enum pm_remark_kind kind);

struct pm_remark {
	enum pm_remark_kind kind;
	const char *file; /* borrowed for the call */
	int line, column; /* from 1; 0: the file as a whole */
	const char *text;
};

typedef void pm_remark_fn(void *ctx, const struct pm_remark *remark);

struct pm_rules_options {
	/* files or folders that replace the search; NULL with n_paths 0: search */
	const char *const *paths;
	size_t n_paths;
	/* joins the shipped rules in name order; NULL: none. A folder that is not there is none */
	const char *folder;
	pm_remark_fn *remark; /* NULL: remarks are not wanted */
	void *ctx;
	bool check;           /* also remark on conflicts and shadowed rules */
	uint64_t generation;  /* given back by pm_rules_generation, for whoever counts reloads */
};

/*
 * Where the search looks beside the shipped rules: "/etc/portmeter/rules.d" unless built otherwise.
 */
PM_API const char *pm_rules_folder(void);

/*
 * Loads and compiles. Returns 0, PM_E_RULES (a line is in error: all are remarked, the first
 * is in @err), PM_E_IO (a path can't be read) or PM_E_MEMORY. Of a folder, the files named
 * *.rules are read, in name order.
 */
PM_API int pm_rules_load(const struct pm_rules_options *options, struct pm_error *err,
			 struct pm_rules **ret_rules);
/* As pm_rules_load, from one text in memory called @name in remarks. */
PM_API int pm_rules_load_text(const char *name, const char *text, size_t size,
			      const struct pm_rules_options *options, struct pm_error *err,
			      struct pm_rules **ret_rules);
PM_API struct pm_rules *pm_rules_ref(struct pm_rules *rules);
/* NULL is fine. */
PM_API void pm_rules_unref(struct pm_rules *rules);

/* Rules in the set, conflicts among them, and the digest of its files' names and texts (hex). */
PM_API size_t pm_rules_entries(const struct pm_rules *rules);
PM_API size_t pm_rules_conflicts(const struct pm_rules *rules);
PM_API const char *pm_rules_sha256(const struct pm_rules *rules);
PM_API uint64_t pm_rules_generation(const struct pm_rules *rules);

/* A service id is 1 to pm_rules_services(); 0 means no label. Ids hold within one set. */
PM_API uint32_t pm_rules_services(const struct pm_rules *rules);
/* Names and categories (NULL: none) are borrowed from the set. NULL for id 0. */
PM_API const char *pm_rules_name(const struct pm_rules *rules, uint32_t service);
PM_API const char *pm_rules_category(const struct pm_rules *rules, uint32_t service);

/* The label that holds for any address; 0: none. Port 0 never has one. */
PM_API uint32_t pm_rules_label(const struct pm_rules *rules, enum pm_transport transport,
			       uint16_t port);
/* The label that holds for the port at one address (@ip_version 4 or 6); 0: none. */
PM_API uint32_t pm_rules_label_at(const struct pm_rules *rules, enum pm_transport transport,
				  uint16_t port, int ip_version, const struct pm_address *address);
/* Whether a host-scoped rule exists for the port, so that its label depends on the address. */
PM_API bool pm_rules_scoped(const struct pm_rules *rules, enum pm_transport transport,
			    uint16_t port);
/* Whether there is any host-scoped rule at all. */
PM_API bool pm_rules_any_scope(const struct pm_rules *rules);
/* Whether the unscoped rule that labels the port is marked metric=port. */
PM_API bool pm_rules_metric(const struct pm_rules *rules, enum pm_transport transport,
			    uint16_t port);

/* Which of the two ports is the service's. */
enum pm_side {
	PM_SIDE_NONE, /* sideless */
	PM_SIDE_SRC,  /* the packet comes from the service */
	PM_SIDE_DST,  /* the packet goes to the service */
	PM_SIDE_BOTH, /* equal ports, nothing else known: symmetric */
	PM_SIDE_N,
};

/* "none", "src", "dst", "both"; static. */
PM_API const char *pm_side_name(enum pm_side side);

/* The rungs of the side ladder, highest first. */
enum pm_rung {
	PM_RUNG_ZERO,      /* the other side has no port */
	PM_RUNG_HANDSHAKE, /* seen in the connection's set-up */
	PM_RUNG_LEARNED,   /* the endpoint served before */
	PM_RUNG_RULE,      /* a host-scoped rule matches exactly one side */
	PM_RUNG_SYMMETRIC, /* equal ports */
	PM_RUNG_KNOWN,     /* exactly one side has a label */
	PM_RUNG_SCORE,     /* both have: priority, system range, group destination, lower port */
	PM_RUNG_EPHEMERAL, /* neither has, and exactly one is in 32768-65535 */
	PM_RUNG_UNKNOWN,   /* sideless */
	PM_RUNG_N,
};

/* "zero", "handshake", ..., "unknown"; static. */
PM_API const char *pm_rung_name(enum pm_rung rung);

/* Fits a uint32_t, so that a fragment's origin can carry it: see pm_decision_pack. */
struct pm_decision {
	uint16_t service; /* the label of the side; 0: none */
	uint8_t side;     /* enum pm_side */
	uint8_t rung;     /* enum pm_rung */
};

/* Walks the ladder for a packet of PM_VERDICT_PORTS. */
PM_API struct pm_decision pm_side_decide(const struct pm_rules *rules,
					 const struct pm_packet *packet);

/*
 * The same for a brief that is not 0, but for the service, which is left 0: it is pm_rules_label of
 * the side's port. PM_RUNG_N as rung: it does not say enough (port 0, or a port that host-scoped
 * rules cover); ask with the whole packet.
 */
PM_API struct pm_decision pm_side_decide_brief(const struct pm_rules *rules, pm_brief brief);

/* The label of the packet's @side, whatever has decided about that; 0: none. */
PM_API uint16_t pm_side_label(const struct pm_rules *rules, const struct pm_packet *packet,
			      enum pm_side side);

static inline uint32_t pm_decision_pack(struct pm_decision decision)
{
	return (uint32_t)decision.service << 16 | (uint32_t)decision.side << 8 | decision.rung;
}

static inline struct pm_decision pm_decision_unpack(uint32_t packed)
{
	struct pm_decision decision = { (uint16_t)(packed >> 16), (uint8_t)(packed >> 8),
					(uint8_t)packed };

	return decision;
}

/* What a conversation did; the client opened it, the server was asked. */
enum pm_event {
	/* TCP SYN, SCTP INIT, DCCP Request, but no repeated one; UDP: first frame of a new pair */
	PM_EVENT_ATTEMPT,
	PM_EVENT_ANSWER,     /* SYN-ACK, INIT ACK, Response; UDP: the first reply */
	PM_EVENT_SESSION,    /* the handshake is complete; UDP has none but ATTEMPT */
	PM_EVENT_REFUSAL,    /* RST, ABORT or Reset to the attempt */
	PM_EVENT_UNANSWERED, /* nothing came in time; the attempt's frame, found out later */
	PM_EVENT_LATE,       /* the same, found out by what has come too late, and is told next */
	PM_EVENT_N,
};

struct pm_evidence {
	uint8_t event;      /* enum pm_event */
	uint8_t ip_version; /* 4 or 6 */
	uint8_t transport;  /* enum pm_transport */
	bool link_known;    /* @link is the frame's Ethernet source address */
	uint8_t link[6];
	uint16_t client_port, server_port;
	struct pm_address client, server;
	bool turned;     /* the server opened, or spoke first: the client was asked */
	uint64_t number; /* of the frame, from 1 */
	int64_t time_ns;
	uint32_t wire; /* bytes of the frame */
};

/*
 * A frame with ports as the ladder sees it that remembers. What it points at is borrowed for the
 * call.
 */
struct pm_sight {
	const uint8_t *src, *dst; /* addresses: 4 bytes of IPv4, or 16 of IPv6 */
	uint64_t src_host, dst_host; /* pm_host_hash of them */
	const uint8_t *link;      /* Ethernet source address; NULL: none */
	pm_flow flow;             /* by the learner's key; 0: to be found when it is needed */
	/* NULL: no more need be known to walk the ladder than the brief */
	const struct pm_packet *packet;
	pm_brief brief; /* of a packet that has none: pm_brief_of */
	uint64_t number;
	int64_t time_ns;
	uint32_t wire; /* bytes */
	uint8_t setup; /* enum pm_setup */
};

/*
 * What the ladder remembers, for its rungs `handshake` and `learned`: endpoints that were seen to
 * serve, handshakes that are on their way, who spoke first to whom. All of it is bounded. The order
 * of frames matters, so one thread at a time shows them.
 */
struct pm_learner; /* opaque */

/* When what was decided of conversations is kept: see struct pm_flows. */
enum pm_flows_use {
	PM_FLOWS_TRIED, /* when it seems to be of use, and as long as it is */
	PM_FLOWS_EARLY, /* the same, but from the first frame on */
	PM_FLOWS_NEVER,
};

struct pm_learner_options {
	size_t endpoints; /* learned ones at most, rounded up to a power of two; 0: 65,536 */
	/* of all tables: without it nobody can aim at one place; the same, for the same answers */
	struct pm_hash_key key;
	enum pm_flows_use flows;
	/* then flows never are, whatever @flows says, and no system call is made for a frame */
	bool live;
	bool explains; /* pm_learner_explain will be asked: 8 bytes more for each endpoint */
	/*
	 * Told of each event, during the call that finds it. With ip_version 0 it has neither
	 * addresses nor a frame: pm_watch_cares says that nobody would look. NULL: not wanted.
	 */
	void (*event)(void *ctx, const struct pm_evidence *evidence);
	void *ctx;
};

/* What bounded memory has cost since the last time. */
struct pm_learner_lost {
	uint64_t endpoints;  /* learned, and forgotten for want of room */
	uint64_t handshakes; /* on their way, and forgotten for want of room */
};

/* PM_E_MEMORY or 0. Memory is touched as it is used, 5 MiB at most with the default. */
PM_API int pm_learner_new(const struct pm_learner_options *options, struct pm_rules *rules,
			  struct pm_learner **ret_learner);
/* NULL is fine. */
PM_API void pm_learner_free(struct pm_learner *learner);
/* The rules from here on; those of before are not looked at again. */
PM_API void pm_learner_follow(struct pm_learner *learner, const struct pm_rules *rules);

/*
 * When the capture begins: what seems to begin with it may have begun before. Without this call,
 * with the first frame that is shown, which need not be the first that there is.
 */
PM_API void pm_learner_begin(struct pm_learner *learner, int64_t time_ns);
/* Walks the whole ladder for the frame, and learns from it. */
PM_API struct pm_decision pm_learner_decide(struct pm_learner *learner,
					    const struct pm_sight *sight);
/* What has been weighed where labels are weak, and spoke. */
enum pm_weight {
	PM_WEIGHT_NOTHING,     /* it was not asked, or nothing that is remembered spoke */
	PM_WEIGHT_GROUP,       /* the destination is a group, which serves where only one can */
	PM_WEIGHT_TRUSTED,     /* the first speaker is the client, as mostly in this traffic */
	PM_WEIGHT_CALLERS,     /* an address has talked with one end from several ports */
	PM_WEIGHT_HOSTS,       /* one address was a client before, and never a server */
	PM_WEIGHT_FIRST,       /* the first speaker, for want of anything else */
	PM_WEIGHT_PASSED_OVER, /* in a flood of strangers it was not looked */
	PM_WEIGHT_N,
};

/* What is known of one end of a frame when it comes. */
struct pm_end_grounds {
	bool served;     /* the endpoint was seen to serve */
	uint64_t since;  /* with served: the frame that has shown it */
	uint64_t opened; /* the frame in which it opened a handshake that is on its way; 0: none */
	bool answered;   /* with opened */
	bool turned;     /* with opened: a rule says that it serves all the same (initiates=yes) */
	bool strong;     /* the port's label leaves no doubt */
	bool client, server; /* what its address was before */
	/*
	 * The address of the other end has talked with it before, from @caller_port first; with
	 * this frame it has from several ports, and both have spoken.
	 */
	bool called, called_again, called_both;
	uint16_t caller_port;
};

/* The evidence about a frame. */
struct pm_grounds {
	struct pm_end_grounds src, dst;
	uint8_t setup;  /* enum pm_setup */
	uint8_t weight; /* enum pm_weight */
	bool weighed;   /* labels are weak, and it was asked */
	bool pair;      /* they have talked before: of UDP, or of what was seen to be opened */
	bool src_first; /* the source was the first to speak, with this frame if not before */
	bool sure;      /* and that was late enough in the capture to be the beginning */
	/* of UDP: how often the first speaker was the client by strong labels, or was not */
	uint32_t agree, disagree;
};

/* As pm_learner_decide, of a learner that was made for it; and why. */
PM_API struct pm_decision pm_learner_explain(struct pm_learner *learner,
					     const struct pm_sight *sight,
					     struct pm_grounds *ret_grounds);

/*
 * For TCP and for UDP, by their enum pm_transport, a byte for each port: with PM_CLASS_HOT, frames
 * of that port must be shown to the learner; 0, there is no label; PM_CLASS_ASK; else the label's
 * priority and 1. The two pointers stand at the same place as long as the learner lives, and
 * change with its rules.
 */
PM_API const uint8_t *const *pm_learner_classes(const struct pm_learner *learner);

#define PM_CLASS_HOT 0x80
#define PM_CLASS(priority) ((priority) + 1)
/* Port 0, or host-scoped rules cover it: ask the label. More than any priority, and always hot. */
#define PM_CLASS_ASK 0xff
/* Rules of this priority, the default, and above are somebody's choice, and not the registry's. */
#define PM_CLASS_STRONG PM_CLASS(50)
#define PM_SYSTEM_PORTS 1024

/*
 * Of frames whose labels leave no doubt some are noted, for what they say about hosts: one in eight
 * at first, then fewer.
 */
static inline bool pm_learner_notes(uint64_t number)
{
	/* seven in eight are told by one branch, whose turns can be predicted */
	return number % 8 == 0 && (number < 65536 || number % 64 == 0);
}

/*
 * What pm_learner_decide would say to a brief, but for the service, if it is one of the many that
 * have nothing to do with what is remembered: of TCP between two ports of which one has a label,
 * and one that counts. The same of UDP, unless there is news in it of the pair of endpoints, which
 * is for pm_learner_datagram to say. PM_RUNG_N as rung: it may have, show it. Any thread may ask
 * beside the one that decides; the answer holds as long as pm_learner_generation is the same, and
 * of UDP until pm_learner_follow, before which whoever has asked must have decided.
 */
static inline struct pm_decision pm_learner_glance(const uint8_t *const *classes, pm_brief brief)
{
	struct pm_decision decision = { 0, PM_SIDE_NONE, PM_RUNG_N };
	uint16_t src_port = pm_brief_src_port(brief), dst_port = pm_brief_dst_port(brief);
	uint8_t transport = pm_brief_transport(brief), src, dst, label;

	if (transport > PM_TRANSPORT_UDP)
		return decision;
	src = __atomic_load_n(&classes[transport][src_port], __ATOMIC_RELAXED);
	dst = __atomic_load_n(&classes[transport][dst_port], __ATOMIC_RELAXED);
	label = src | dst; /* of the port that has one */
	if (label & PM_CLASS_HOT || pm_brief_tcp_flags(brief) & (PM_TCP_SYN | PM_TCP_RST) ||
	    !src == !dst ||
	    (label < PM_CLASS_STRONG && (src ? src_port : dst_port) >= PM_SYSTEM_PORTS))
		return decision;
	decision.side = src ? PM_SIDE_SRC : PM_SIDE_DST;
	decision.rung = PM_RUNG_KNOWN;
	return decision;
}

/*
 * Whether a brief of TCP or UDP does not say enough to decide: port 0, or a port that host-scoped
 * rules cover. Any thread, as above.
 */
static inline bool pm_learner_asks(const uint8_t *const *classes, pm_brief brief)
{
	const uint8_t *of = classes[pm_brief_transport(brief)];

	return __atomic_load_n(&of[pm_brief_src_port(brief)], __ATOMIC_RELAXED) == PM_CLASS_ASK ||
	       __atomic_load_n(&of[pm_brief_dst_port(brief)], __ATOMIC_RELAXED) == PM_CLASS_ASK;
}

enum pm_pair {
	PM_PAIR_KNOWN, /* it has talked before, and is as it was */
	PM_PAIR_NEW,   /* an attempt, of which nobody else is told */
	PM_PAIR_NEWS,  /* nothing has been done: show it */
};

/*
 * What a datagram, of which pm_learner_glance said @decision, is to the pair of its endpoints; what
 * the ladder would learn from it, it has learned.
 */
PM_API enum pm_pair pm_learner_datagram(struct pm_learner *learner, pm_brief brief, pm_flow flow,
					int64_t time_ns, struct pm_decision decision);
/* Fetches what that will look at; worth it some frames ahead. Any thread. */
PM_API void pm_learner_fetch_pair(const struct pm_learner *learner, pm_flow flow);
/*
 * What the ladder would learn from a frame that was decided at a glance, where pm_learner_notes:
 * that the host on @side has served, and the other has asked. Hashes as in struct pm_sight.
 */
PM_API void pm_learner_note(struct pm_learner *learner, uint64_t src_host, uint64_t dst_host,
			    int64_t time_ns, enum pm_side side);
/* Fetches what that will look at; as above. */
PM_API void pm_learner_fetch_note(const struct pm_learner *learner, uint64_t src_host,
				  uint64_t dst_host);
/*
 * Fetches what pm_learner_decide will look at; worth it some frames ahead. Any thread. @addresses:
 * of the source and, behind it, of the destination. Returns the flow, which is found for UDP if it
 * is 0, since that goes by it.
 */
PM_API pm_flow pm_learner_fetch(const struct pm_learner *learner, pm_brief brief, pm_flow flow,
				const uint8_t *addresses, uint64_t src_host,
				uint64_t dst_host);
/* Another number each time that there is more to remember than before. Any thread. */
PM_API uint32_t pm_learner_generation(const struct pm_learner *learner);

/*
 * What was decided of the conversations of the last moments, where it holds for all that their
 * frames will be: a word for each, so that most frames need no other memory of the ladder. Times
 * are refreshed in steps of two seconds, so a word is good for one of them at most. It never says
 * anything but what pm_learner_decide would say and do: see docs/architecture.md, "Conversations
 * at hand".
 *
 * A word: 37 bits of the flow; the epoch, 12 bits; and for each direction, that of the lower end
 * first, whether it is known, 1 bit; the side, 2 bits; the rung, 4 bits.
 */
#define PM_FLOW_WAYS 4
#define PM_FLOW_LINES 8192
#define PM_FLOW_STEP_NS (2 * PM_NS_PER_S)
#define PM_FLOW_TAG 27
#define PM_FLOW_EPOCH 15
#define PM_FLOW_EPOCHS 4096
#define PM_FLOW_HALF 7 /* bits of a direction */

struct pm_flows {
	uint64_t *words; /* PM_FLOW_LINES times PM_FLOW_WAYS, by the bits above a flow's lowest */
	/* in force, in their place; the second for words that end with each endpoint learned */
	uint64_t epochs[2];
	int64_t from; /* when the running step began */
	bool asleep;  /* too few frames are of a conversation that it knows */
	bool tried;   /* asleep, while it is found out whether that is so: pm_learner_try */
};

/* The learner's, at the same place as long as it lives. */
PM_API const struct pm_flows *pm_learner_flows(const struct pm_learner *learner);

/* What the line knows of what is wanted, tag and epoch; 0: nothing. */
static PM_INLINE uint64_t pm_flow_line_look(const uint64_t *line, uint64_t want)
{
	const uint64_t known = (UINT64_C(1) << PM_FLOW_EPOCH) - 1;
	uint64_t found = 0;

	/* without a branch for each: in which of them it stands nobody can predict */
#pragma GCC unroll 4
	for (int i = 0; i < PM_FLOW_WAYS; i++) {
		uint64_t word = __atomic_load_n(&line[i], __ATOMIC_RELAXED) ^ want;

		found = word <= known ? word : found;
	}
	return found;
}

/*
 * What is known of a frame of @flow in the running step; 0: nothing. Any thread may ask, beside the
 * one that decides, for a hint of what that will find.
 */
static PM_INLINE unsigned pm_flows_look(const struct pm_flows *flows, pm_flow flow)
{
	const uint64_t *line = flows->words + (flow >> 1) % PM_FLOW_LINES * PM_FLOW_WAYS;
	uint64_t tag = flow >> PM_FLOW_TAG << PM_FLOW_TAG;
	uint64_t epoch = __atomic_load_n(&flows->epochs[0], __ATOMIC_RELAXED);
	uint64_t weak = __atomic_load_n(&flows->epochs[1], __ATOMIC_RELAXED);
	uint64_t found = pm_flow_line_look(line, tag ^ epoch);

	if (!found)
		found = pm_flow_line_look(line, tag ^ weak);
	found = flow & 1 ? found >> PM_FLOW_HALF : found;
	return found & 1 ? (unsigned)found % (1U << PM_FLOW_HALF) : 0;
}

/* What that says. */
static inline struct pm_decision pm_flow_decision(unsigned known)
{
	struct pm_decision decision = { 0, (uint8_t)(known >> 1 & 3), (uint8_t)(known >> 3) };

	return decision;
}

/* Whether frames like this one, of number @number, are looked for there. */
static inline bool pm_flows_hold(pm_brief brief, uint64_t number)
{
	const uint8_t setup = PM_TCP_SYN | PM_TCP_RST | PM_TCP_ACK;

	return (pm_brief_transport(brief) == PM_TRANSPORT_UDP ||
		(pm_brief_tcp_flags(brief) & setup) == PM_TCP_ACK) &&
	       !(pm_brief_notes(brief) & PM_NOTE_GROUP) && !pm_learner_notes(number);
}

/* Whether @time_ns is in the running step. */
static inline bool pm_flows_reach(const struct pm_flows *flows, int64_t time_ns)
{
	return (uint64_t)time_ns - (uint64_t)flows->from < PM_FLOW_STEP_NS;
}

/* That pm_learner_glance has decided about a brief, for which pm_flows_hold, at @time_ns. */
PM_API void pm_learner_glanced(struct pm_learner *learner, pm_flow flow, int64_t time_ns,
			       struct pm_decision decision);
/*
 * While flows are tried: of each frame for which pm_flows_hold. Whether its conversation has come
 * lately, and so would be recalled, if nothing else speaks against it.
 */
PM_API bool pm_learner_try(struct pm_learner *learner, pm_flow flow);
/*
 * Of so many frames that were decided, so many were recalled, or would be. Where too few are, no
 * word is kept or looked for in a while.
 */
PM_API void pm_learner_rest(struct pm_learner *learner, size_t frames, size_t recalled);

/*
 * When an interval closes, at @time_ns: tells of attempts that nobody has answered within three
 * seconds, as is done now and then before. @last: also of those that are younger, since no more
 * frames will come.
 */
PM_API void pm_learner_close(struct pm_learner *learner, int64_t time_ns, bool last);
PM_API void pm_learner_lost(struct pm_learner *learner, struct pm_learner_lost *ret_lost);
/* Endpoints that are learned now. */
PM_API size_t pm_learner_endpoints(const struct pm_learner *learner);

/* What a watch looks for. Thresholds and their reasons: docs/format.md, "facets". */
enum pm_anomaly {
	PM_ANOMALY_PORT_SCAN,     /* ports of a host, or hosts on a port, that did not answer */
	PM_ANOMALY_UNUSUAL_PORT,  /* a session with a port without label */
	PM_ANOMALY_SERVICE_PORT,  /* a client that speaks from port 53, 80 or 443 */
	PM_ANOMALY_PORT_CONFLICT, /* two link-layer addresses that answer for one endpoint */
	PM_ANOMALY_N,
};

/*
 * One source's anomalies, found in its events as they come. Its tables are bounded: what has been
 * silent for longest gives way. Same events, same key: same findings. On one thread at a time.
 */
struct pm_watch; /* opaque */

struct pm_watch_options {
	struct pm_hash_key key;
	/*
	 * Called for each event that belongs to an anomaly, from the one on that reached its
	 * threshold; within pm_watch_event. @evidence is the event.
	 */
	void (*found)(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence);
	void *ctx;
};

/*
 * Whether a watch makes anything of the event. Nearly all that UDP does is of no interest: nobody
 * can tell what is rightly unanswered. Nor is an attempt whose answer comes late: it does come.
 */
static inline bool pm_watch_cares(enum pm_event event, uint8_t transport, uint16_t opener_port,
				  uint16_t other_port)
{
	/* one branch for the ports: which of both serves nobody can predict */
	unsigned usual = (opener_port != 53) & (opener_port != 80) & (opener_port != 443);

	if (event == PM_EVENT_LATE)
		return false;
	return !pm_transport_source_optional((enum pm_transport)transport) ||
	       event != PM_EVENT_ATTEMPT || !(usual | other_port / PM_SYSTEM_PORTS);
}

/* PM_E_MEMORY, PM_E_INVALID (no found function) or 0. Memory is touched only as it is needed. */
PM_API int pm_watch_new(const struct pm_watch_options *options, struct pm_watch **ret_watch);
/* NULL is fine. */
PM_API void pm_watch_free(struct pm_watch *watch);
/*
 * An event, in the order of the frames; @rules: those in force. Time is theirs, and may jump. Who
 * opened is the client of what is found, also where the event is turned.
 */
PM_API void pm_watch_event(struct pm_watch *watch, const struct pm_rules *rules,
			   const struct pm_evidence *evidence);
/* How much that still mattered gave way to newer entries since the last call. */
PM_API uint64_t pm_watch_given_up(struct pm_watch *watch);

/* Why a rule stands where it stands among those that cover a port. */
enum pm_reason {
	PM_REASON_WINS,      /* nothing outranks it */
	PM_REASON_HOST,      /* its host= does not hold the address, or no address was asked for */
	PM_REASON_SCOPE,     /* a longer prefix wins, or any prefix over none */
	PM_REASON_PRIORITY,  /* a higher priority wins */
	PM_REASON_WIDTH,     /* a narrower range wins */
	PM_REASON_FILE,      /* a later file wins */
	PM_REASON_LINE,      /* an earlier line of the same file wins */
	PM_REASON_N,
};

/* One rule, for people to read; strings are borrowed from the set. */
struct pm_rule_view {
	const char *name, *category; /* category: NULL without */
	const char *aliases;         /* separated by blanks; "" without */
	const char *file;
	int line;
	uint16_t low, high;          /* ports, both included */
	int priority;
	bool initiates, metric;
	int prefix;                  /* bits of host=; -1 without */
	char host[64];               /* "192.0.2.0/24"; "" without */
	enum pm_reason reason;       /* against the rule that wins */
};

typedef void pm_rule_view_fn(void *ctx, const struct pm_rule_view *view);

/*
 * Calls @view for each rule that covers the port, the winner first, in order of precedence; rules
 * whose host= does not hold @address (@ip_version 4 or 6; 0: no address) come last.
 * Returns 0, or PM_E_MEMORY.
 */
PM_API int pm_rules_explain(const struct pm_rules *rules, enum pm_transport transport,
			    uint16_t port, int ip_version, const struct pm_address *address,
			    pm_rule_view_fn *view, void *ctx);

/*
 * Parses "udp/5601" or "udp/5601@192.0.2.1"; address without brackets. PM_E_INVALID with @err
 * filled, or 0.
 */
PM_API int pm_rules_query(const char *text, struct pm_error *err, enum pm_transport *ret_transport,
			  uint16_t *ret_port, int *ret_ip_version, struct pm_address *ret_address);

#ifdef __cplusplus
}
#endif

#endif
