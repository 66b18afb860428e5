/* SPDX-License-Identifier: MIT */
/* What Prometheus is told: counters of a run, by source. metrics.c adds up, prometheus.c writes. */
#ifndef PORTMETER_OUTPUT_METRICS_H
#define PORTMETER_OUTPUT_METRICS_H

#include <pthread.h>

#include "output-internal.h"

/* The series of a service or of a port, or of all that have none of their own. */
struct series {
	char *service;                       /* NULL: a port without a label */
	struct pm_count to, from, symmetric; /* a port's own: to it and from it */
	uint64_t talk[PM_TALK_N];
	uint8_t talk_known; /* bits 1 << enum pm_talk_figure; once known, it stays so */
	uint8_t transport;
	uint16_t port; /* of ports only */
	uint32_t hash;
};

/* Those that have one, in the order in which they got it, and who has not, by transport. */
struct series_set {
	struct series *rows;
	size_t n, limit;
	uint32_t *slots; /* numbers of rows and 1 by hash; 0: free */
	size_t mask;
	float *shown;     /* recent frames of who has none, by hash; NULL: not yet wanted */
	unsigned records; /* since those grew older */
	struct series other[PM_TRANSPORT_N];
	bool used[PM_TRANSPORT_N]; /* there is one of that transport */
};

struct metrics_no_port {
	enum pm_verdict reason;
	int protocol; /* -1: none */
	struct pm_count count;
};

struct metrics_source {
	char *name;
	bool live, inner;
	struct pm_count totals, ip4, ip6;
	struct series_set services, ports;
	bool transport_seen[PM_TRANSPORT_N];
	struct pm_count unknown[PM_TRANSPORT_N];
	uint64_t unknown_talk[PM_TALK_N], side_by[PM_RUNG_N];
	uint8_t unknown_talk_known;
	struct metrics_no_port no_port[PM_VERDICT_N + 256]; /* in the order of their coming */
	size_t n_no_port;
	struct pm_count facets[PM_FACET_N];
	struct pm_capture_figures capture; /* what was known once stays so */
	struct pm_given_up given_up;
	uint64_t intervals, late, snapped, learned;
	uint64_t rules_entries, rules_generation;
	int64_t end_ns;
	bool talk;
};

struct pm_metrics {
	pthread_mutex_t lock;   /* of all below */
	size_t services, ports; /* series of each, for a source */
	struct metrics_source **sources;
	size_t n;
};

#endif
