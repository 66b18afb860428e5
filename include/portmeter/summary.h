/* SPDX-License-Identifier: MIT */
/*
 * A closed tally as one ordered record: names, ranges, rows, sorted as docs/format.md says. Plain
 * structs that every output format reads; knows no format itself.
 */
#ifndef PORTMETER_SUMMARY_H
#define PORTMETER_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/packet.h"
#include "portmeter/service.h"
#include "portmeter/tally.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Where a record comes from. Strings are the caller's and outlive the records made with them; NULL:
 * not known.
 */
struct pm_source {
	bool live;
	const char *name;   /* interface, or path of the first file */
	/* path of the first file, when name is that of an interface in it; else NULL */
	const char *file;
	size_t files;       /* 0 for an interface */
	const char *link;   /* "EN10MB" */
	const char *filter;
	int snaplen;        /* bytes; negative: not known */
	bool inner;         /* the innermost IP layer counts, not the outermost */
	const char *sensor; /* who measured */
	const char *run;    /* which run of the program */
};

/* Ranges of RFC 6335 section 6; 0 is reserved. */
enum pm_range {
	PM_RANGE_RESERVED,
	PM_RANGE_SYSTEM,
	PM_RANGE_USER,
	PM_RANGE_DYNAMIC,
	PM_RANGE_N,
};

PM_API enum pm_range pm_range_of(uint16_t port);
/* "reserved", "system", "user", "dynamic"; static. */
PM_API const char *pm_range_name(enum pm_range range);
/* "udp_source_port_zero", ...; static. */
PM_API const char *pm_facet_name(enum pm_facet facet);
/* IANA's short name of an IP protocol in lower case: "icmp"; NULL where it has none. Static. */
PM_API const char *pm_protocol_name(uint8_t protocol);

/* Figures of conversations, in the order of their members. */
enum pm_talk_figure {
	PM_TALK_SESSIONS,
	PM_TALK_SYN,
	PM_TALK_REFUSED,
	PM_TALK_UNANSWERED,
	PM_TALK_N,
};

/* "sessions", "syn", "refused", "unanswered"; static. */
PM_API const char *pm_talk_name(enum pm_talk_figure figure);

struct pm_port_row {
	const char *service; /* unscoped label; NULL: none */
	struct pm_count src, dst, as_service;
	uint64_t sessions;
	uint16_t port;
	uint8_t transport; /* enum pm_transport */
	bool metric;       /* its rule is marked metric=port */
	bool talk;         /* @sessions is known: it served, in a run that counts conversations */
};

/* A service, and, without a name, what has no label. */
struct pm_service_row {
	const char *service, *category; /* NULL: none */
	uint16_t *ports;                /* the service's own that were seen, rising */
	size_t n_ports;
	struct pm_count count, to_service, from_service, symmetric;
	uint64_t side_by[PM_RUNG_N];    /* packets */
	uint64_t talk[PM_TALK_N];
	struct pm_distinct clients, servers; /* addresses; not known in a sum or without a name */
	uint8_t talk_known;             /* which of @talk are: bits 1 << enum pm_talk_figure */
	uint8_t transport;
};

/* The endpoint of a service: where it is served. */
struct pm_endpoint_row {
	const char *service; /* the label that holds for the address; NULL: none */
	struct pm_count count, to_service, from_service, symmetric;
	struct pm_address address;
	uint16_t port;
	uint8_t transport;   /* enum pm_transport */
	uint8_t ip_version;  /* 4 or 6 */
	bool at_least;       /* some of its frames may have been forgotten */
};

/* Frames with ports that stand in no row of an endpoint: cut, sideless or forgotten. */
struct pm_endpoints_other {
	uint64_t endpoints;  /* rows that were cut */
	struct pm_count count;
	struct pm_forgotten forgotten;
};

struct pm_no_port_row {
	enum pm_verdict reason;
	int protocol; /* IP protocol; -1: the reason has none */
	struct pm_count count;
};

/* What was cut off the rows of ports. */
struct pm_other {
	uint64_t ports, sessions;
	struct pm_count src, dst, as_service;
};

struct pm_transport_row {
	enum pm_transport transport;
	struct pm_count count, unknown;
	struct pm_other other;
};

/* What has gone wrong with output since the last record that was written. */
struct pm_output_trouble {
	uint64_t errors;  /* attempts to write that have failed */
	uint64_t delayed; /* records that had to wait */
};

struct pm_record {
	const struct pm_source *source;
	uint64_t seq, merged;
	struct pm_interval interval;
	struct pm_count totals, ip4, ip6;
	uint64_t snapped;
	struct pm_capture_figures capture;
	struct pm_given_up given_up;
	uint64_t learned; /* endpoints that the side ladder remembers at the end */
	struct pm_output_trouble output; /* filled in by output */

	struct pm_transport_row transports[PM_TRANSPORT_N];
	size_t n_transports;
	struct pm_port_row *ports;
	size_t n_ports;
	struct pm_service_row *services;
	size_t n_services;
	bool by_endpoint; /* endpoints were counted */
	struct pm_endpoint_row *endpoints;
	size_t n_endpoints;
	struct pm_endpoints_other endpoints_other;
	struct pm_service_row unknown; /* of all transports; its transport means nothing */
	struct pm_no_port_row no_port[PM_VERDICT_N + 256];
	size_t n_no_port;
	struct pm_count facets[PM_FACET_N];
	struct pm_evidence examples[PM_FACET_N]; /* ip_version 0: the facet has none */
	struct pm_other other;
	bool talk; /* conversations were counted */

	struct pm_rules *rules; /* a reference; names are borrowed from it, but in a sum */
	uint16_t *port_pool;    /* what the services' ports point into */
	char **names;           /* a sum's own copies of names */
	size_t n_names;
};

/* Why that became of a frame. */
struct pm_frame_grounds {
	struct pm_packet packet;
	struct pm_grounds grounds; /* with ports of its own */
	/* of a later fragment that is no orphan: what it counts as; else its number is 0 */
	struct pm_fragment_origin origin;
};

/* What became of one frame. */
struct pm_frame_report {
	uint64_t number;
	int64_t time_ns;
	uint32_t wire;
	uint8_t verdict;     /* enum pm_verdict; FRAGMENT: an orphan */
	uint8_t ip_protocol; /* with NO_PORTS_PROTOCOL */
	uint8_t transport;   /* this and below with PORTS */
	uint16_t src_port, dst_port;
	struct pm_decision decision;
	const struct pm_rules *rules; /* in force; borrowed */
	const struct pm_frame_grounds *why; /* of the frame that was to be explained; else NULL */
};

/* PM_E_MEMORY or 0. @source is borrowed for the record's life. */
PM_API int pm_record_new(struct pm_tally *tally, const struct pm_source *source,
			 struct pm_record **ret_record);
/* NULL is fine. */
PM_API void pm_record_free(struct pm_record *record);

/* Rows of endpoints that are kept where nobody says how many. */
#define PM_ENDPOINTS_TOP 100

/*
 * Keeps the first @top rows of ports (0: all), and with @service_only only those that carried a
 * service; the rest goes to `other`. Of endpoints, keeps the first @top (0: PM_ENDPOINTS_TOP).
 */
PM_API void pm_record_cut(struct pm_record *record, size_t top, bool service_only);

/*
 * Adds a record to a sum over a run: counters add up, names and rules are the newest. @sum NULL
 * starts one; it has names of its own and no lists of services' ports. It has no rows of endpoints
 * either, which would grow without bound: their frames are in endpoints_other. PM_E_MEMORY: @sum is
 * as before, or NULL.
 */
PM_API int pm_record_add(struct pm_record **sum, const struct pm_record *record);

#ifdef __cplusplus
}
#endif

#endif
