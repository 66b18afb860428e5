/* SPDX-License-Identifier: MIT */
/*
 * Anomalies of an interval: their facets and examples. An example is the event that comes first by
 * the number of its frame, wherever it was counted, so that the division of labour does not show.
 */
#include <stdlib.h>
#include <string.h>

#include "anomaly.h"

struct pm_unusual {
	uint64_t ports[PM_TRANSPORT_N][PM_PORTS / 64]; /* a bit for each with a session */
	/*
	 * Their first sessions, in the order of frames. The first N of several lists of N are the
	 * first N of all.
	 */
	struct pm_evidence first[PM_UNUSUAL_EXAMPLES];
	size_t n_first;
	bool any;
};

static const uint8_t facets[] = {
	[PM_ANOMALY_PORT_SCAN] = PM_FACET_PORT_SCAN,
	[PM_ANOMALY_UNUSUAL_PORT] = PM_FACET_SERVICE_ON_UNUSUAL_PORT,
	[PM_ANOMALY_SERVICE_PORT] = PM_FACET_CLIENT_FROM_SERVICE_PORT,
	[PM_ANOMALY_PORT_CONFLICT] = PM_FACET_PORT_CONFLICT,
};
_Static_assert(sizeof facets / sizeof *facets == PM_ANOMALY_N, "count every anomaly");

enum pm_facet pm_facet_of(enum pm_anomaly anomaly)
{
	return (enum pm_facet)facets[anomaly];
}

struct pm_unusual *pm_unusual_new(void)
{
	return calloc(1, sizeof(struct pm_unusual));
}

void pm_unusual_free(struct pm_unusual *unusual)
{
	free(unusual);
}

void pm_anomaly_clear(struct pm_tally *tally)
{
	struct pm_unusual *unusual = tally->unusual;

	memset(tally->examples, 0, sizeof tally->examples);
	if (unusual->any)
		memset(unusual->ports, 0, sizeof unusual->ports);
	unusual->any = false;
	unusual->n_first = 0;
}

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/*
 * By the frame's number; events without come last, by their time and then by who it was, so that
 * any two that differ have an order.
 */
static int evidence_order(const struct pm_evidence *a, const struct pm_evidence *b)
{
	int by = order(a->number - 1, b->number - 1);

	if (by == 0)
		by = a->time_ns < b->time_ns ? -1 : a->time_ns > b->time_ns;
	if (by == 0)
		by = memcmp(&a->client, &b->client, sizeof a->client);
	if (by == 0)
		by = memcmp(&a->server, &b->server, sizeof a->server);
	if (by == 0)
		by = order((uint64_t)a->transport << 32 | (uint32_t)a->server_port << 16 |
				   a->client_port,
			   (uint64_t)b->transport << 32 | (uint32_t)b->server_port << 16 |
				   b->client_port);
	return by;
}

/* @ip_version 0 is no event. */
static void example_take(struct pm_evidence *example, const struct pm_evidence *other)
{
	if (other->ip_version &&
	    (!example->ip_version || evidence_order(other, example) < 0))
		*example = *other;
}

static bool has_session(const struct pm_unusual *unusual, unsigned transport, uint16_t port)
{
	return unusual->ports[transport][port / 64] >> port % 64 & 1;
}

/* Keeps the list in order, each port once and of each its first. */
static void first_take(struct pm_unusual *unusual, const struct pm_evidence *evidence)
{
	size_t at = 0, end;

	while (at < unusual->n_first && evidence_order(&unusual->first[at], evidence) <= 0) {
		if (unusual->first[at].transport == evidence->transport &&
		    unusual->first[at].server_port == evidence->server_port)
			return;
		at++;
	}
	/* A later one of the port gives way; else what stands last, if there is no room. */
	for (end = at; end < unusual->n_first; end++)
		if (unusual->first[end].transport == evidence->transport &&
		    unusual->first[end].server_port == evidence->server_port)
			break;
	if (end == PM_UNUSUAL_EXAMPLES)
		end--;
	else if (end == unusual->n_first)
		unusual->n_first++;
	if (at > end)
		return;
	memmove(&unusual->first[at + 1], &unusual->first[at], (end - at) * sizeof *unusual->first);
	unusual->first[at] = *evidence;
}

void pm_tally_anomaly(struct pm_tally *tally, enum pm_anomaly anomaly,
		      const struct pm_evidence *evidence)
{
	enum pm_facet facet = pm_facet_of(anomaly);
	struct pm_unusual *unusual = tally->unusual;

	if (anomaly == PM_ANOMALY_UNUSUAL_PORT) {
		unusual->ports[evidence->transport][evidence->server_port / 64] |=
			UINT64_C(1) << evidence->server_port % 64;
		unusual->any = true;
		first_take(unusual, evidence);
		return;
	}
	pm_count_add(&tally->facets[facet], (struct pm_count){ 1, evidence->wire });
	example_take(&tally->examples[facet], evidence);
}

/* What the port carried as service, if it is enough to count. */
static struct pm_count carried(const struct pm_tally *tally, unsigned transport, uint16_t port)
{
	struct pm_count count = pm_port_as_service(&tally->transports[transport].ports[port]);

	if (count.packets < PM_UNUSUAL_PACKETS)
		count = (struct pm_count){ 0, 0 };
	return count;
}

void pm_anomaly_settle(struct pm_tally *tally)
{
	struct pm_evidence *example = &tally->examples[PM_FACET_SERVICE_ON_UNUSUAL_PORT];
	struct pm_count *count = &tally->facets[PM_FACET_SERVICE_ON_UNUSUAL_PORT];
	const struct pm_unusual *unusual = tally->unusual;

	*count = (struct pm_count){ 0, 0 };
	memset(example, 0, sizeof *example);
	for (unsigned t = 0; unusual->any && t < PM_TRANSPORT_N; t++) {
		const struct pm_tally_transport *tt = &tally->transports[t];

		for (uint32_t i = 0; i < tt->n_used_ports; i++)
			if (has_session(unusual, t, tt->used_ports[i]))
				pm_count_add(count, carried(tally, t, tt->used_ports[i]));
	}
	for (size_t i = 0; i < unusual->n_first && !example->ip_version; i++)
		if (carried(tally, unusual->first[i].transport, unusual->first[i].server_port)
			    .packets)
			*example = unusual->first[i];
}

void pm_anomaly_merge(struct pm_tally *into, const struct pm_tally *from)
{
	for (int f = 0; f < PM_FACET_N; f++)
		example_take(&into->examples[f], &from->examples[f]);
	for (int t = 0; from->unusual->any && t < PM_TRANSPORT_N; t++)
		for (size_t i = 0; i < PM_PORTS / 64; i++)
			into->unusual->ports[t][i] |= from->unusual->ports[t][i];
	into->unusual->any |= from->unusual->any;
	for (size_t i = 0; i < from->unusual->n_first; i++)
		first_take(into->unusual, &from->unusual->first[i]);
}
