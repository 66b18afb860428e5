/* SPDX-License-Identifier: MIT */
/*
 * Anomalies in the events of conversations: scans, services and clients on ports where they are not
 * expected, endpoints that two machines answer for. Thresholds and what stays silent on purpose:
 * docs/format.md. All that is remembered stands in tables of fixed size, sets of a few places of
 * which the one that has been silent for longest gives way; an event costs the same whatever came
 * before.
 */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

/* How long a failure, an answer or a link-layer address counts. */
#define WINDOW_NS (60 * PM_NS_PER_S)
/* Ports of a host, or hosts on a port, that fail within the window: a scan. */
#define SCAN_TARGETS 25
/* An address of a link that stands for so many hosts is a router's. */
#define ROUTER_HOSTS 8
/* Link-layer addresses that are told apart behind one endpoint. */
#define LINKS 4

#define WAYS 8 /* places of a set */

enum table {
	HOSTS,     /* a source and a port: hosts that failed */
	PORTS,     /* a source and a host: ports that failed */
	RATES,     /* a source and a port: how it went on the whole */
	ENDPOINTS, /* a server's address and port: who answers */
	ROUTERS,   /* a link-layer address: for how many hosts it stands */
	TABLES_N,
};

/* Places of the tables. */
enum {
	GROUPS = 1024, /* in each of HOSTS and PORTS */
	RATES_SIZE = 8192,
	ENDPOINTS_SIZE = 8192,
	ROUTERS_SIZE = 4096,
	SLOTS = 2 * GROUPS + RATES_SIZE + ENDPOINTS_SIZE + ROUTERS_SIZE,
};

static const size_t table_sizes[TABLES_N] = {
	[HOSTS] = GROUPS,
	[PORTS] = GROUPS,
	[RATES] = RATES_SIZE,
	[ENDPOINTS] = ENDPOINTS_SIZE,
	[ROUTERS] = ROUTERS_SIZE,
};

/* What all entries have. */
struct slot {
	uint64_t hash; /* of its key; 0: free */
	uint64_t used; /* the event that used it last, by number */
	int64_t time_ns;
};

/* The targets that failed last; one more within the window makes it a scan. */
struct group {
	int64_t times[SCAN_TARGETS - 1];
	uint32_t targets[SCAN_TARGETS - 1];
	uint32_t n;
	bool fired;
	int64_t last_ns; /* of the latest failure */
};

/* Both lose half of what they are with each window that ends. */
struct rate {
	int64_t since_ns;
	uint32_t answers, failures;
};

struct endpoint {
	int64_t times[LINKS];
	uint8_t links[LINKS][6];
	uint8_t n, latest; /* index of the one that answered last */
	bool fired;
};

/* All in one, since the pages of what is so large are touched only as they are used. */
struct tables {
	struct slot slots[SLOTS]; /* table by table */
	struct group groups[2][GROUPS];
	struct rate rates[RATES_SIZE];
	struct endpoint endpoints[ENDPOINTS_SIZE];
	uint64_t routers[ROUTERS_SIZE]; /* a bit for each host, by its hash */
};

/* A link-layer address, its hash, and where it stood last in ROUTERS. */
struct link_memo {
	uint64_t hash; /* 0: nothing is known yet */
	size_t at;
	uint8_t link[6];
};

/* Few send most of the frames. */
#define LINK_MEMOS 8

struct pm_watch {
	struct pm_watch_options options;
	struct link_memo memos[LINK_MEMOS];
	uint64_t events, given_up;
	struct slot *slots[TABLES_N];
	struct tables *tables;
};

/* What entries are found by; hashed as bytes. */
struct key {
	uint8_t table, transport, ip_version, zero;
	uint16_t port;
	uint8_t link[6];
	struct pm_address one, other;
};
_Static_assert(sizeof(struct key) == 44, "padding would be hashed");
_Static_assert(HOSTS == 0 && PORTS == 1, "groups are found by them");

int pm_watch_new(const struct pm_watch_options *options, struct pm_watch **ret_watch)
{
	struct pm_watch *watch;
	size_t at = 0;

	if (!options->found)
		return PM_E_INVALID;
	watch = calloc(1, sizeof *watch);
	if (!watch)
		return PM_E_MEMORY;
	watch->options = *options;
	watch->tables = calloc(1, sizeof *watch->tables);
	if (!watch->tables) {
		pm_watch_free(watch);
		return PM_E_MEMORY;
	}
	for (int t = 0; t < TABLES_N; t++) {
		watch->slots[t] = &watch->tables->slots[at];
		at += table_sizes[t];
	}
	*ret_watch = watch;
	return PM_OK;
}

void pm_watch_free(struct pm_watch *watch)
{
	if (!watch)
		return;
	free(watch->tables);
	free(watch);
}

uint64_t pm_watch_given_up(struct pm_watch *watch)
{
	uint64_t given_up = watch->given_up;

	watch->given_up = 0;
	return given_up;
}

static bool within_window(int64_t a, int64_t b)
{
	return pm_time_apart(a, b) <= WINDOW_NS;
}

static uint64_t hash_of(const struct pm_watch *watch, const struct key *key)
{
	const struct pm_hash_key *by = &watch->options.key;
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t hash = by->k0 ^ pm_le32(bytes + sizeof *key - 4);

	for (size_t i = 0; i + 8 <= sizeof *key; i += 8)
		hash = pm_fold(hash ^ pm_le64(bytes + i), by->k1 | 1);
	/* an odd number near 2^64 divided by the golden ratio; 0 is free */
	return pm_fold(hash, UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

static uint32_t address_hash(const struct pm_watch *watch, const struct pm_address *address)
{
	uint64_t host = pm_host_hash(watch->options.key, 6, address->bytes);

	return (uint32_t)pm_endpoint_hash(host, 0, 0);
}

/* The first place of the set. */
static size_t set_of(enum table table, uint64_t hash)
{
	return (size_t)(hash >> 32) % (table_sizes[table] / WAYS) * WAYS;
}

/*
 * The entry's index. A fresh one takes the place of the one that has been silent for longest, and
 * the caller clears what is there.
 */
static size_t use(struct pm_watch *watch, enum table table, uint64_t hash, int64_t time_ns,
		  bool *ret_fresh)
{
	struct slot *slots = watch->slots[table];
	size_t set = set_of(table, hash), at = set;

	for (size_t i = set; i < set + WAYS && slots[at].hash != hash; i++)
		if (slots[i].hash == hash || slots[i].used < slots[at].used)
			at = i;
	*ret_fresh = slots[at].hash != hash;
	if (*ret_fresh && slots[at].hash && within_window(slots[at].time_ns, time_ns))
		watch->given_up++;
	slots[at] = (struct slot){ hash, watch->events, time_ns };
	return at;
}

/* As use, but of an entry that is there; false: it is not, and nothing changes. */
static bool find(const struct pm_watch *watch, enum table table, uint64_t hash, size_t *ret_at)
{
	const struct slot *slots = watch->slots[table];
	size_t set = set_of(table, hash);

	for (size_t i = set; i < set + WAYS; i++) {
		if (slots[i].hash == hash) {
			*ret_at = i;
			return true;
		}
	}
	return false;
}

/* Of a source's attempts on one port of any host. */
static struct rate *rate_of(struct pm_watch *watch, const struct pm_evidence *evidence)
{
	struct key key = { .table = RATES,
			   .transport = evidence->transport,
			   .ip_version = evidence->ip_version,
			   .port = evidence->server_port,
			   .one = evidence->client };
	int64_t now = evidence->time_ns;
	struct rate *rate;
	uint64_t ended;
	bool fresh;

	rate = &watch->tables->rates[use(watch, RATES, hash_of(watch, &key), now, &fresh)];
	if (fresh || now < rate->since_ns) {
		if (fresh)
			*rate = (struct rate){ .answers = 0 };
		rate->since_ns = now;
	}
	ended = pm_time_apart(now, rate->since_ns) / WINDOW_NS;
	if (ended) {
		rate->answers = ended < 32 ? rate->answers >> ended : 0;
		rate->failures = ended < 32 ? rate->failures >> ended : 0;
		rate->since_ns = now;
	}
	return rate;
}

/* Notes that @target failed. Of a fresh one: how many others did, within the window; else 0. */
static uint32_t group_note(struct group *group, uint32_t target, int64_t time_ns, bool *ret_fresh)
{
	uint32_t place = 0, near = 0;

	for (uint32_t i = 0; i < group->n; i++) {
		if (group->targets[i] == target) {
			group->times[i] = time_ns;
			*ret_fresh = false;
			return 0;
		}
		near += within_window(group->times[i], time_ns);
		if (pm_time_apart(group->times[i], time_ns) >
		    pm_time_apart(group->times[place], time_ns))
			place = i;
	}
	if (group->n < SCAN_TARGETS - 1)
		place = group->n++;
	group->times[place] = time_ns;
	group->targets[place] = target;
	*ret_fresh = true;
	return near;
}

/* Whether the failure of @target belongs to a scan. @rate: NULL, or it must fail more than not. */
static bool group_fails(struct group *group, uint32_t target, int64_t time_ns, struct rate *rate)
{
	bool fresh;
	uint32_t near = group_note(group, target, time_ns, &fresh);

	group->fired = (group->fired && within_window(group->last_ns, time_ns)) ||
		       near == SCAN_TARGETS - 1;
	group->last_ns = time_ns;
	if (!rate)
		return group->fired;
	if (fresh && rate->failures < UINT32_MAX)
		rate->failures++;
	group->fired &= rate->failures > rate->answers;
	return group->fired;
}

static struct group *group_of(struct pm_watch *watch, enum table table,
			      const struct pm_evidence *evidence)
{
	struct key key = { .table = (uint8_t)table,
			   .transport = evidence->transport,
			   .ip_version = evidence->ip_version,
			   .one = evidence->client };
	struct group *group;
	size_t at;
	bool fresh;

	if (table == HOSTS)
		key.port = evidence->server_port;
	else
		key.other = evidence->server;
	at = use(watch, table, hash_of(watch, &key), evidence->time_ns, &fresh);
	group = &watch->tables->groups[table][at];
	if (fresh)
		*group = (struct group){ .n = 0 };
	return group;
}

static bool has_label(const struct pm_rules *rules, const struct pm_evidence *evidence,
		      uint16_t port)
{
	enum pm_transport transport = (enum pm_transport)evidence->transport;

	return pm_rules_label(rules, transport, port) || pm_rules_scoped(rules, transport, port);
}

/* To several at once, of whom none need answer: multicast, and IPv4's broadcast. */
static bool to_group(const struct pm_evidence *evidence)
{
	const uint8_t *bytes = evidence->server.bytes;

	return evidence->ip_version == 4 ? bytes[0] >> 4 == 0xe || pm_be32(bytes) == UINT32_MAX
					 : bytes[0] == 0xff;
}

static bool is_datagram(const struct pm_evidence *evidence)
{
	return pm_transport_source_optional((enum pm_transport)evidence->transport);
}

/* An attempt that failed: does it belong to a scan? */
static bool scans(struct pm_watch *watch, const struct pm_evidence *evidence)
{
	struct group *hosts, *ports;
	int64_t now = evidence->time_ns;
	bool many_hosts, many_ports;

	if (to_group(evidence))
		return false;
	hosts = group_of(watch, HOSTS, evidence);
	ports = group_of(watch, PORTS, evidence);
	many_hosts = group_fails(hosts, address_hash(watch, &evidence->server), now,
				 rate_of(watch, evidence));
	many_ports = group_fails(ports, evidence->server_port, now, NULL);
	return many_hosts || many_ports;
}

/*
 * A client that asks from the port of a service, to come by a filter that lets answers pass. A SYN
 * is proof; a datagram may be an answer whose question nobody saw, so there the port that it goes
 * to must be one from which clients do not ask.
 */
static bool from_service_port(const struct pm_rules *rules, const struct pm_evidence *evidence)
{
	uint16_t from = evidence->client_port, to = evidence->server_port;

	if ((from != 53 && from != 80 && from != 443) || from == to)
		return false;
	return !is_datagram(evidence) || (to < PM_SYSTEM_PORTS && has_label(rules, evidence, to));
}

/* Out of line, or its key would be cleared for each look. */
static PM_OUT_OF_LINE void link_learn(struct pm_watch *watch, struct link_memo *memo,
				      const uint8_t link[6])
{
	struct key key = { .table = ROUTERS };

	memcpy(key.link, link, sizeof key.link);
	memcpy(memo->link, link, sizeof memo->link);
	memo->hash = hash_of(watch, &key);
	memo->at = 0;
}

static inline struct link_memo *link_memo(struct pm_watch *watch, const uint8_t link[6])
{
	struct link_memo *memo = &watch->memos[(link[4] ^ link[5]) % LINK_MEMOS];

	if (!memo->hash || memcmp(memo->link, link, sizeof memo->link) != 0)
		link_learn(watch, memo, link);
	return memo;
}

/* Who sent the event's frame stands behind the link-layer address that it bears. */
static PM_INLINE void learn_link(struct pm_watch *watch, const struct pm_evidence *evidence)
{
	bool by_server = evidence->event == PM_EVENT_ANSWER || evidence->event == PM_EVENT_REFUSAL;
	const struct pm_address *address = by_server ? &evidence->server : &evidence->client;
	struct link_memo *memo = link_memo(watch, evidence->link);
	struct slot *slot = &watch->slots[ROUTERS][memo->at];
	uint64_t *hosts;
	bool fresh = false;

	if (slot->hash == memo->hash)
		*slot = (struct slot){ memo->hash, watch->events, evidence->time_ns };
	else
		memo->at = use(watch, ROUTERS, memo->hash, evidence->time_ns, &fresh);
	hosts = &watch->tables->routers[memo->at];
	if (fresh)
		*hosts = 0;
	/* whom a router's clients are makes no difference any more */
	if (*hosts != UINT64_MAX)
		*hosts |= UINT64_C(1) << address_hash(watch, address) % 64;
}

static bool is_router(struct pm_watch *watch, const uint8_t link[6])
{
	uint64_t hosts;
	unsigned n = 0;
	size_t at;

	if (!find(watch, ROUTERS, link_memo(watch, link)->hash, &at))
		return false;
	for (hosts = watch->tables->routers[at]; hosts; hosts &= hosts - 1)
		n++;
	return n >= ROUTER_HOSTS;
}

/* The place of the link that answers: its own, a free one, or that of the one longest silent. */
static uint8_t endpoint_place(const struct endpoint *endpoint, const uint8_t link[6],
			      int64_t time_ns, bool *ret_fresh)
{
	uint8_t place = 0;

	*ret_fresh = false;
	for (uint8_t i = 0; i < endpoint->n; i++) {
		if (memcmp(endpoint->links[i], link, sizeof endpoint->links[i]) == 0)
			return i;
		if (pm_time_apart(endpoint->times[i], time_ns) >
		    pm_time_apart(endpoint->times[place], time_ns))
			place = i;
	}
	*ret_fresh = true;
	return endpoint->n < LINKS ? endpoint->n : place;
}

/* One link-layer address after another is a move; one that is back while another answers is not. */
static bool conflicts(struct pm_watch *watch, const struct pm_evidence *evidence)
{
	struct key key = { .table = ENDPOINTS,
			   .transport = evidence->transport,
			   .ip_version = evidence->ip_version,
			   .port = evidence->server_port,
			   .one = evidence->server };
	int64_t now = evidence->time_ns;
	struct endpoint *endpoint;
	size_t at;
	uint8_t place;
	bool fresh, other = false;

	at = use(watch, ENDPOINTS, hash_of(watch, &key), now, &fresh);
	endpoint = &watch->tables->endpoints[at];
	if (fresh)
		*endpoint = (struct endpoint){ .n = 0 };
	place = endpoint_place(endpoint, evidence->link, now, &fresh);
	for (uint8_t i = 0; i < endpoint->n; i++)
		other |= i != place && within_window(endpoint->times[i], now);
	endpoint->fired = (endpoint->fired && other) ||
			  (!fresh && place != endpoint->latest &&
			   within_window(endpoint->times[place], now));
	if (endpoint->fired && (is_router(watch, evidence->link) ||
				is_router(watch, endpoint->links[endpoint->latest])))
		endpoint->fired = false;
	if (fresh && endpoint->n < LINKS)
		endpoint->n++;
	memcpy(endpoint->links[place], evidence->link, sizeof endpoint->links[place]);
	endpoint->times[place] = now;
	endpoint->latest = place;
	return endpoint->fired;
}

/* A session that no rule knows; FTP's server opens those for data itself, and is the service. */
static bool is_unusual(const struct pm_rules *rules, const struct pm_evidence *evidence)
{
	const struct pm_label *labels = rules->labels[evidence->transport];

	return !has_label(rules, evidence, evidence->server_port) &&
	       !(labels[evidence->client_port].flags & PM_LABEL_INITIATES);
}

static void report(struct pm_watch *watch, enum pm_anomaly anomaly,
		   const struct pm_evidence *evidence)
{
	watch->options.found(watch->options.ctx, anomaly, evidence);
}

/* What few events need: inlined, it would make every attempt save registers. */
static PM_OUT_OF_LINE void see_outcome(struct pm_watch *watch, const struct pm_rules *rules,
					 const struct pm_evidence *evidence)
{
	struct rate *rate;

	switch ((enum pm_event)evidence->event) {
	case PM_EVENT_ANSWER:
		rate = rate_of(watch, evidence);
		if (rate->answers < UINT32_MAX)
			rate->answers++;
		if (evidence->link_known && conflicts(watch, evidence))
			report(watch, PM_ANOMALY_PORT_CONFLICT, evidence);
		break;
	case PM_EVENT_SESSION:
		if (is_unusual(rules, evidence))
			report(watch, PM_ANOMALY_UNUSUAL_PORT, evidence);
		break;
	case PM_EVENT_REFUSAL:
	case PM_EVENT_UNANSWERED:
		if (scans(watch, evidence))
			report(watch, PM_ANOMALY_PORT_SCAN, evidence);
		break;
	case PM_EVENT_ATTEMPT:
	case PM_EVENT_LATE:
	case PM_EVENT_N:
		break;
	}
}

/* An event that is not turned. */
static inline void see(struct pm_watch *watch, const struct pm_rules *rules,
		       const struct pm_evidence *evidence)
{
	watch->events++;
	if (evidence->link_known && evidence->event != PM_EVENT_UNANSWERED)
		learn_link(watch, evidence);
	if (evidence->event != PM_EVENT_ATTEMPT)
		see_outcome(watch, rules, evidence);
	else if (from_service_port(rules, evidence))
		report(watch, PM_ANOMALY_SERVICE_PORT, evidence);
}

/* Who opened is watched as the client, whatever counts as which. */
static PM_OUT_OF_LINE void see_turned(struct pm_watch *watch, const struct pm_rules *rules,
				      const struct pm_evidence *evidence)
{
	struct pm_evidence opened = *evidence;

	opened.client = evidence->server;
	opened.server = evidence->client;
	opened.client_port = evidence->server_port;
	opened.server_port = evidence->client_port;
	opened.turned = false;
	see(watch, rules, &opened);
}

void pm_watch_event(struct pm_watch *watch, const struct pm_rules *rules,
		    const struct pm_evidence *evidence)
{
	if (evidence->turned)
		see_turned(watch, rules, evidence);
	else
		see(watch, rules, evidence);
}
