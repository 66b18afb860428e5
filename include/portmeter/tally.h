/* SPDX-License-Identifier: MIT */
/*
 * Counters of one interval: by port, by service id, by reason for having no ports. All are
 * 64-bit and exact. A tally is filled by one thread; it knows numbers only, no names.
 */
#ifndef PORTMETER_TALLY_H
#define PORTMETER_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/packet.h"
#include "portmeter/service.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Frames, and the bytes that they had on the wire. */
struct pm_count {
	uint64_t packets, bytes;
};

static inline void pm_count_add(struct pm_count *to, struct pm_count more)
{
	to->packets += more.packets;
	to->bytes += more.bytes;
}

/*
 * One port of one transport: a cache line, of which a client's port fills half. The first of each
 * two counts frames whose side the port was not, the second those whose side it was; equal ports
 * count as side once, under dst.
 */
struct pm_port_cell {
	struct pm_count src[2], dst[2]; /* frames from it, frames to it */
};

/*
 * Of a port's frames as a service, those of rungs that do not show from the ports alone; a line of
 * its own, since most frames are of other rungs.
 */
struct pm_port_rungs {
	uint64_t packets[PM_RUNG_SCORE + 1]; /* by rung, but for PM_RUNG_KNOWN */
	uint64_t symmetric_bytes;
};

/* Nothing has been counted there. */
static inline bool pm_port_is_new(const struct pm_port_cell *cell)
{
	return !(cell->src[0].packets | cell->src[1].packets | cell->dst[0].packets |
		 cell->dst[1].packets);
}

static inline struct pm_count pm_port_src(const struct pm_port_cell *cell)
{
	struct pm_count sum = cell->src[0];

	pm_count_add(&sum, cell->src[1]);
	return sum;
}

static inline struct pm_count pm_port_dst(const struct pm_port_cell *cell)
{
	struct pm_count sum = cell->dst[0];

	pm_count_add(&sum, cell->dst[1]);
	return sum;
}

static inline struct pm_count pm_port_as_service(const struct pm_port_cell *cell)
{
	struct pm_count sum = cell->src[1];

	pm_count_add(&sum, cell->dst[1]);
	return sum;
}

/*
 * One service id of one transport; id 0 holds what has no label. Valid once the tally is settled.
 */
struct pm_service_cell {
	struct pm_count side[PM_SIDE_N]; /* by the side that the service is on */
	uint64_t rung[PM_RUNG_N];        /* packets by the rung that decided */
	bool used;                       /* it is among the used ones */
};

/*
 * Ports and services of one transport. The first @n_used_x entries of used_x name the cells with
 * counts.
 */
struct pm_tally_transport {
	struct pm_port_cell *ports;       /* PM_PORTS */
	struct pm_service_cell *services; /* pm_rules_services() + 1 */
	uint16_t *used_ports;
	uint16_t *used_services;
	uint32_t n_used_ports, n_used_services;
	struct pm_port_rungs *rungs;      /* PM_PORTS */
	bool any_rungs;                   /* there are such frames */
	void *block;                      /* what holds @ports */
	bool there;                       /* all of its memory */
};

/* So many ports that it is faster to go through all in their order than from one to another. */
static inline bool pm_tally_crowded(const struct pm_tally_transport *tt)
{
	return tt->n_used_ports > PM_PORTS / 8;
}

/*
 * Oddities of frames that are counted all the same; outside the closing sum. In the order of their
 * names.
 */
enum pm_facet {
	PM_FACET_CLIENT_FROM_SERVICE_PORT,
	PM_FACET_DCCP_PORT_ZERO,
	PM_FACET_PORT_CONFLICT,
	PM_FACET_PORT_SCAN,
	PM_FACET_SCTP_PORT_ZERO,
	PM_FACET_SERVICE_ON_UNUSUAL_PORT,
	PM_FACET_TCP_PORT_ZERO,
	PM_FACET_UDP_DESTINATION_PORT_ZERO,
	PM_FACET_UDP_SOURCE_PORT_ZERO,
	PM_FACET_UDPLITE_DESTINATION_PORT_ZERO,
	PM_FACET_UDPLITE_SOURCE_PORT_ZERO,
	PM_FACET_N,
};

/* The facet that an anomaly counts as. */
PM_API enum pm_facet pm_facet_of(enum pm_anomaly anomaly);

/*
 * A session with a port without label is an anomaly if the port carried as many frames as service
 * in the interval. A session that says nothing has seven or eight, one with a request and its
 * answer ten and more.
 */
#define PM_UNUSUAL_PACKETS 10
/* So many ports with sessions keep an example, those whose first one came earliest. */
#define PM_UNUSUAL_EXAMPLES 64

/* Packets of one of several threads that capture from an interface. */
struct pm_capture_thread {
	uint64_t received, dropped_kernel;
};

/* What the capture itself says of the interval. */
struct pm_capture_figures {
	uint64_t received, dropped_kernel, dropped_interface; /* packets */
	bool received_known, dropped_kernel_known, dropped_interface_known;
	uint64_t down_ns; /* the interface was down or not there */
	size_t n_threads; /* 0: there is but one */
	struct pm_capture_thread threads[PM_CAPTURE_THREADS]; /* their sums stand above */
};

/*
 * Frames by the endpoint of their service: address, transport, port. Symmetric ones belong to the
 * endpoint that they go to.
 */
struct pm_endpoint {
	struct pm_address address;
	uint16_t port;
	uint8_t transport;  /* enum pm_transport */
	uint8_t ip_version; /* 4 or 6 */
	/* it came when others had been forgotten already, and may have been among them */
	bool at_least;
	struct pm_count to_service, from_service, symmetric;
};

static inline struct pm_count pm_endpoint_count(const struct pm_endpoint *endpoint)
{
	struct pm_count sum = endpoint->to_service;

	pm_count_add(&sum, endpoint->from_service);
	pm_count_add(&sum, endpoint->symmetric);
	return sum;
}

/* Endpoints that were forgotten for want of room, those of the fewest bytes first. */
struct pm_forgotten {
	uint64_t endpoints;    /* one that came back and was forgotten again counts again */
	struct pm_count count; /* their frames */
	uint64_t at_most;      /* no endpoint has lost more bytes than that */
};

/* All that is counted by endpoint in a tally: its rows, and what stands in none of them. */
struct pm_endpoints_view {
	const struct pm_endpoint *rows; /* in no order; borrowed until the tally counts again */
	size_t n;
	struct pm_count sideless;       /* frames of no service's endpoint */
	struct pm_forgotten forgotten;
};

struct pm_endpoints; /* opaque */

/* What bounded tables had to give up in the interval. */
struct pm_given_up {
	uint64_t fragment_datagrams; /* fragmented datagrams forgotten for want of room */
	uint64_t fragment_frames;    /* waiting fragments made orphans for want of room */
	/* frames whose port may lack in a host-scoped service's list */
	uint64_t service_ports;
	uint64_t endpoints;  /* learned ones forgotten for want of room */
	uint64_t handshakes; /* on their way, and forgotten for want of room */
	uint64_t peers;      /* services whose addresses were not told apart; of records only */
	uint64_t watched;    /* what was watched for anomalies and forgotten for want of room */
	uint64_t by_endpoint; /* rows forgotten for want of room; of records only */
};

struct pm_interval {
	int64_t start_ns, end_ns; /* half-open */
	/* earliest and latest frame; PM_TIME_MAX and _MIN before the first */
	int64_t first_ns, last_ns;
	bool partial;
	uint64_t late;             /* frames that belong to the interval before */
};

/* Conversations, by what became of them. */
struct pm_talk_count {
	uint64_t sessions;   /* handshakes that were completed; new pairs where there are none */
	uint64_t attempts;   /* TCP: SYN */
	uint64_t refused;    /* attempts, by RST and its like */
	uint64_t unanswered; /* attempts */
};

static inline void pm_talk_add(struct pm_talk_count *to, const struct pm_talk_count *more)
{
	to->sessions += more->sessions;
	to->attempts += more->attempts;
	to->refused += more->refused;
	to->unanswered += more->unanswered;
}

enum pm_role {
	PM_ROLE_CLIENT,
	PM_ROLE_SERVER,
	PM_ROLE_N,
};

/* A number of distinct addresses. */
struct pm_distinct {
	uint64_t count;
	bool known;
	bool estimated; /* beyond PM_DISTINCT_EXACT */
	bool given_up;  /* not known for want of room */
};

/* So many are counted exactly; of more, the standard error is 1.04 / sqrt(4096): 1.6 %. */
#define PM_DISTINCT_EXACT 1024

/* Bytes that all tallies of a run may hold to tell addresses apart. Safe to share by threads. */
struct pm_allowance;
#define PM_ALLOWANCE_BYTES ((size_t)16 << 20)
/* PM_E_MEMORY or 0. */
PM_API int pm_allowance_new(size_t bytes, struct pm_allowance **ret_allowance);
PM_API struct pm_allowance *pm_allowance_ref(struct pm_allowance *allowance);
/* NULL is fine. */
PM_API void pm_allowance_unref(struct pm_allowance *allowance);

/*
 * Words of the filter of ends that have been met, as a power of two: that of a few tallies is large
 * (512 KiB), those of many are not (32 KiB), so that they leave most of the allowance to the
 * addresses.
 */
#define PM_TALK_SEEN_BITS_MOST 16
#define PM_TALK_SEEN_BITS_LEAST 12
#define PM_TALK_SEEN_WAYS 4 /* places for each, side by side */

struct pm_tally {
	struct pm_rules *rules; /* in force for all of it; a reference of its own */
	struct pm_interval interval;
	uint64_t seq;           /* of the source's records, from 1 */
	uint64_t merged;        /* intervals in here: 1, or more when output stalled */
	struct pm_capture_figures capture;
	struct pm_given_up given_up;
	uint64_t learned; /* endpoints that the ladder remembers, at the end of the interval */

	/* all frames by half their IP version: none is 0, IPv4 2, IPv6 3 */
	struct pm_count by_ip[4];
	uint64_t snapped; /* frames of which the capture holds less than the wire had */
	struct pm_count no_port[PM_VERDICT_N];
	struct pm_count protocols[256]; /* no_port[PM_VERDICT_NO_PORTS_PROTOCOL] by IP protocol */
	struct pm_count facets[PM_FACET_N];
	/* The first event of each; ip_version 0: none. Both are settled like the services. */
	struct pm_evidence examples[PM_FACET_N];
	struct pm_unusual *unusual; /* sessions with ports that have no label */
	struct pm_tally_transport transports[PM_TRANSPORT_N];

	/*
	 * Which ports carried a label that depends on the address: keys made by tally.c, 0 is free.
	 */
	uint64_t *scoped;
	size_t scoped_used;
	struct pm_hash_key key;

	struct pm_talk *talk; /* conversations; NULL: they are not counted */
	uint64_t *seen;       /* 1 << @seen_bits ends met; NULL: no addresses */
	unsigned seen_bits;
	uint32_t n_met; /* those that @seen did not know, as pm_pages_use counts */
	uint64_t seen_salt;   /* of this interval: what earlier ones met is no longer found */
	struct pm_endpoints *endpoints; /* NULL: none are counted; see pm_tally_by_endpoint */
};

/* Takes a reference of @rules. PM_E_MEMORY or 0. Memory is touched only as ports are seen. */
PM_API int pm_tally_new(struct pm_rules *rules, struct pm_tally **ret_tally);
/* NULL is fine. */
PM_API void pm_tally_free(struct pm_tally *tally);
/*
 * Empties it for another interval under @rules. PM_E_MEMORY: the tally is empty, under its old
 * rules.
 */
PM_API int pm_tally_reset(struct pm_tally *tally, struct pm_rules *rules);

/*
 * From now on, frames are counted by endpoint as well, with pm_tally_endpoint; memory grows as
 * endpoints are seen, up to @limit of them, from 2. Of an empty tally. PM_E_MEMORY, PM_E_INVALID or
 * 0.
 */
PM_API int pm_tally_by_endpoint(struct pm_tally *tally, size_t limit);
/* False, and an empty view, where endpoints are not counted. */
PM_API bool pm_tally_endpoints(const struct pm_tally *tally, struct pm_endpoints_view *ret_view);

/* The transports of which many ports have been seen: bits 1 << enum pm_transport. */
PM_API unsigned pm_tally_crowds(const struct pm_tally *tally);
/*
 * Many ports of @transports are to be expected: where the system can, their memory is there at
 * once. Page by page, each at its first look, that takes longer, the more so beside other
 * threads.
 */
PM_API void pm_tally_expect(struct pm_tally *tally, unsigned transports);

/* All frames. */
static inline struct pm_count pm_tally_totals(const struct pm_tally *tally)
{
	struct pm_count sum = tally->by_ip[0];

	pm_count_add(&sum, tally->by_ip[2]);
	pm_count_add(&sum, tally->by_ip[3]);
	return sum;
}

/*
 * One frame of @wire bytes, @ip_version 0, 4 or 6; each frame also goes to exactly one of the two
 * below.
 */
static inline void pm_tally_frame(struct pm_tally *tally, uint8_t ip_version, uint32_t wire)
{
	struct pm_count *count = &tally->by_ip[ip_version / 2];

	count->packets++;
	count->bytes += wire;
}

/* A frame with ports, and what was decided about it. */
struct pm_tally_entry {
	uint16_t src_port, dst_port;
	struct pm_decision decision;
	uint32_t wire;     /* bytes */
	uint8_t transport; /* enum pm_transport */
	/* keyed hashes of the addresses, to count clients and servers; 0, both: not known */
	uint64_t src_host, dst_host;
};

/* Fetches what pm_tally_ports will touch; worth it some frames ahead. */
static inline void pm_tally_prefetch(const struct pm_tally *tally, enum pm_transport transport,
				     uint16_t src_port, uint16_t dst_port)
{
	const struct pm_port_cell *ports = tally->transports[transport].ports;

	__builtin_prefetch(&ports[src_port], 1); /* for writing */
	__builtin_prefetch(&ports[dst_port], 1);
}

/* Counts @n frames with ports (counting rules 1, 3 and 4). */
PM_API void pm_tally_ports(struct pm_tally *tally, const struct pm_tally_entry *entries, size_t n);

/*
 * A frame like one that has been counted in the interval, here or in a tally that will be added:
 * between the same ends, decided alike.
 */
struct pm_tally_known {
	uint32_t ports; /* source, 16 bits; destination */
	uint32_t wire;  /* bytes */
	uint8_t transport, side, rung;
};

/* Counts @n of these, as pm_tally_ports would. */
PM_API void pm_tally_known(struct pm_tally *tally, const struct pm_tally_known *known, size_t n);
/*
 * Counts one of these by endpoint, in a tally that does so; every frame with ports must come here
 * too. @ip_version, @src and @dst are those of the packet that has the ports. A full table forgets
 * the half of its endpoints that had the fewest bytes so far: see struct pm_forgotten.
 */
PM_API void pm_tally_endpoint(struct pm_tally *tally, const struct pm_tally_entry *entry,
			      uint8_t ip_version, const struct pm_address *src,
			      const struct pm_address *dst);
/* A frame without: any verdict but PORTS; @protocol matters for NO_PORTS_PROTOCOL. */
PM_API void pm_tally_no_port(struct pm_tally *tally, enum pm_verdict verdict, uint8_t protocol,
			     uint32_t wire);

/*
 * Has an empty tally count conversations too, from now on and over resets; takes a reference of
 * @allowance, which all tallies that are merged share. Without this call nothing of it is
 * allocated, and the calls below do nothing. PM_E_MEMORY or 0.
 */
PM_API int pm_tally_talk(struct pm_tally *tally, struct pm_allowance *allowance);

/*
 * Counts what a conversation with @server_port did, or @times as many; @service 0: the port's label
 * for any address. Rows are made by frames alone: what became of a service that has no frame in
 * the interval does not show.
 */
PM_API void pm_tally_event(struct pm_tally *tally, enum pm_transport transport,
			   uint16_t server_port, uint16_t service, enum pm_event event,
			   uint32_t times);

/* Fetches what it will touch; worth it some events ahead. */
PM_API void pm_tally_event_fetch(const struct pm_tally *tally, enum pm_transport transport,
				 uint16_t server_port);

/*
 * An end of a frame whose side is @service_port; @service as for pm_tally_event, and without a
 * label nothing is counted. @hash is a keyed one of the address, good in every bit, with one key
 * for all tallies that are merged.
 */
PM_API void pm_tally_peer(struct pm_tally *tally, enum pm_transport transport,
			  uint16_t service_port, uint16_t service, enum pm_role role,
			  uint64_t hash);

static inline void pm_tally_peers(struct pm_tally *tally, enum pm_transport transport,
				  uint16_t service_port, uint16_t service, uint64_t client_hash,
				  uint64_t server_hash)
{
	pm_tally_peer(tally, transport, service_port, service, PM_ROLE_CLIENT, client_hash);
	pm_tally_peer(tally, transport, service_port, service, PM_ROLE_SERVER, server_hash);
}

/* What has been counted; nothing where conversations are not. */
PM_API struct pm_talk_count pm_tally_port_talk(const struct pm_tally *tally,
					       enum pm_transport transport, uint16_t port);
PM_API struct pm_talk_count pm_tally_service_talk(const struct pm_tally *tally,
						  enum pm_transport transport, uint16_t service);
PM_API struct pm_distinct pm_tally_distinct(const struct pm_tally *tally,
					    enum pm_transport transport, uint16_t service,
					    enum pm_role role);

/*
 * An event of an anomaly: counts it under its facet, whose example it is unless there is an earlier
 * one. Of PM_ANOMALY_UNUSUAL_PORT it is noted only: what the port carried shows when the tally is
 * settled.
 */
PM_API void pm_tally_anomaly(struct pm_tally *tally, enum pm_anomaly anomaly,
			     const struct pm_evidence *evidence);

/*
 * Brings the services up to date, before anybody reads them; counting may go on behind it. Frames
 * whose service shows from the port alone are not counted twice while they come.
 */
PM_API void pm_tally_settle(struct pm_tally *tally);

/*
 * Labels that ports with host-scoped rules carried in this interval, where the port alone does not
 * tell. Start with *@at 0 and call until false.
 */
PM_API bool pm_tally_scoped_next(const struct pm_tally *tally, size_t *at,
				 enum pm_transport *ret_transport, uint16_t *ret_service,
				 uint16_t *ret_port);

/*
 * Adds all of @from, the later interval, to @into, of the same rules: the result spans both.
 * PM_E_INVALID when the rules differ, or only one counts endpoints: nothing is changed. @from is
 * left as it is.
 */
PM_API int pm_tally_merge(struct pm_tally *into, const struct pm_tally *from);
/*
 * The same, and what is left in @from is of no use until it is reset: its counters may have been
 * traded for those of @into, if that is less work.
 */
PM_API int pm_tally_absorb(struct pm_tally *into, struct pm_tally *from);

#ifdef __cplusplus
}
#endif

#endif
