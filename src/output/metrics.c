/* SPDX-License-Identifier: MIT */
/*
 * Counters of a run. Who gets a series keeps it, or rate() would see it begin anew; so it is given
 * with care: the first half of them to whoever comes, the other half to services that matter.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

static const struct pm_hash_key no_key; /* names are those of the user's own rules */

#define FRAMES_MIN 16 /* more than a probe has, repeated or with a greeting */
#define RECENT 256    /* records with traffic; what was before counts for half */
#define CELLS 4096    /* of what RECENT probes leave, hardly two are in one */

/* ---- series -------------------------------------------------------------------------------- */

static int set_init(struct series_set *set, size_t limit)
{
	size_t slots = 4;

	while (slots < limit * 2)
		slots *= 2;
	set->rows = calloc(limit, sizeof *set->rows);
	set->slots = calloc(slots, sizeof *set->slots);
	set->limit = limit;
	set->mask = slots - 1;
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		set->other[t].transport = (uint8_t)t;
	return set->rows && set->slots ? PM_OK : PM_E_MEMORY;
}

static void set_fini(struct series_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->rows[i].service);
	free(set->rows);
	free(set->slots);
	free(set->shown);
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static uint32_t hash_of(const char *service, uint8_t transport, uint16_t port)
{
	uint64_t name = service ? pm_hash(no_key, service, strlen(service)) : 0;
	uint64_t both = (uint64_t)transport << 16 | port;

	return (uint32_t)pm_fold(name ^ both, UINT64_C(0x9e3779b97f4a7c15));
}

/* The slot of that series, or the free one where it belongs. There is always a free one. */
static uint32_t *slot_of(const struct series_set *set, const char *service, uint8_t transport,
			 uint16_t port, uint32_t hash)
{
	for (size_t at = hash & set->mask;; at = (at + 1) & set->mask) {
		const struct series *row;

		if (!set->slots[at])
			return &set->slots[at];
		row = &set->rows[set->slots[at] - 1];
		if (row->hash == hash && row->transport == transport && row->port == port &&
		    same_name(row->service, service))
			return &set->slots[at];
	}
}

/*
 * Whether there is a series for who has so many @frames in this record, and had others lately. Of
 * the second half each wants more of them than the one before it: a scan, however slow, has few for
 * each service and stops at some, and what stays on the wire has more with each record. Services
 * that share a cell count for each other, which at worst gives a series too early.
 */
static bool has_room(struct series_set *set, uint32_t hash, double frames)
{
	size_t half = set->limit / 2, left = set->limit - set->n;
	double wanted;

	if (left == 0 || left > half)
		return left > 0;
	wanted = FRAMES_MIN * (double)half / (double)left;
	if (frames >= wanted)
		return true;
	if (!set->shown)
		set->shown = calloc(CELLS, sizeof *set->shown);
	if (!set->shown)
		return false;
	set->shown[hash % CELLS] += (float)frames;
	return (double)set->shown[hash % CELLS] >= wanted;
}

/* After a record with traffic: silence makes nothing older, or a slow wire would show nothing. */
static void grow_older(struct series_set *set)
{
	if (!set->shown || ++set->records < RECENT)
		return;
	set->records = 0;
	for (size_t i = 0; i < CELLS; i++)
		set->shown[i] /= 2;
}

/* Its own, a new one if there is room for who has so many @frames, or the one of all others. */
static struct series *series_of(struct series_set *set, const char *service, uint8_t transport,
				uint16_t port, double frames)
{
	uint32_t hash = hash_of(service, transport, port);
	uint32_t *slot = slot_of(set, service, transport, port, hash);
	char *name = NULL;

	if (*slot)
		return &set->rows[*slot - 1];
	if (!has_room(set, hash, frames))
		return &set->other[transport];
	if (service) {
		name = strdup(service);
		if (!name) /* it may have one another time */
			return &set->other[transport];
	}
	set->rows[set->n] = (struct series){
		.service = name, .transport = transport, .port = port, .hash = hash
	};
	*slot = (uint32_t)++set->n;
	set->used[transport] = true;
	return &set->rows[set->n - 1];
}

/* ---- sources ------------------------------------------------------------------------------- */

static void source_free(struct metrics_source *source)
{
	if (!source)
		return;
	set_fini(&source->services);
	set_fini(&source->ports);
	free(source->name);
	free(source);
}

static struct metrics_source *source_new(const struct pm_metrics *metrics,
					 const struct pm_source *from)
{
	struct metrics_source *source = calloc(1, sizeof *source);

	if (!source)
		return NULL;
	source->name = strdup(from->name);
	source->live = from->live;
	source->inner = from->inner;
	if (!source->name || set_init(&source->services, metrics->services) < 0 ||
	    set_init(&source->ports, metrics->ports) < 0) {
		source_free(source);
		return NULL;
	}
	return source;
}

/* By name: two of one name would be one series twice. */
static struct metrics_source *source_of(struct pm_metrics *metrics, const struct pm_source *from)
{
	struct metrics_source **sources, *source;

	for (size_t i = 0; i < metrics->n; i++)
		if (strcmp(metrics->sources[i]->name, from->name) == 0 &&
		    metrics->sources[i]->inner == from->inner)
			return metrics->sources[i];
	sources = realloc(metrics->sources, (metrics->n + 1) * sizeof *sources);
	if (!sources)
		return NULL;
	metrics->sources = sources;
	source = source_new(metrics, from);
	if (source)
		sources[metrics->n++] = source;
	return source;
}

/* ---- adding -------------------------------------------------------------------------------- */

static void talk_add(struct series *series, const struct pm_service_row *row)
{
	series->talk_known |= row->talk_known;
	for (int figure = 0; figure < PM_TALK_N; figure++)
		if (row->talk_known >> figure & 1)
			series->talk[figure] += row->talk[figure];
}

/*
 * A service's frames, as far as it is what the record is made of: those of a scan amid traffic are
 * next to none, and neither hides a burst in one record what is on the wire in all others.
 */
static double frames_of(const struct pm_record *record, struct pm_count count)
{
	if (!record->totals.bytes)
		return 0;
	return (double)count.packets * (double)count.bytes / (double)record->totals.bytes;
}

static void services_add(struct metrics_source *source, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_services; i++) {
		const struct pm_service_row *row = &record->services[i];
		struct series *series =
			series_of(&source->services, row->service, row->transport, 0,
				  frames_of(record, row->count));

		pm_count_add(&series->to, row->to_service);
		pm_count_add(&series->from, row->from_service);
		pm_count_add(&series->symmetric, row->symmetric);
		talk_add(series, row);
		for (int rung = 0; rung < PM_RUNG_N; rung++)
			source->side_by[rung] += row->side_by[rung];
	}
	if (record->totals.bytes)
		grow_older(&source->services);
}

static void ports_add(struct metrics_source *source, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *row = &record->ports[i];
		struct series *series;

		if (!row->metric)
			continue;
		series = series_of(&source->ports, row->service, row->transport, row->port,
				   INFINITY); /* its rule asks for one */
		pm_count_add(&series->to, row->dst);
		pm_count_add(&series->from, row->src);
		if (!row->talk)
			continue;
		series->talk_known |= 1U << PM_TALK_SESSIONS;
		series->talk[PM_TALK_SESSIONS] += row->sessions;
	}
}

static void unknown_add(struct metrics_source *source, const struct pm_record *record)
{
	const struct pm_service_row *row = &record->unknown;

	for (size_t i = 0; i < record->n_transports; i++) {
		source->transport_seen[record->transports[i].transport] = true;
		pm_count_add(&source->unknown[record->transports[i].transport],
			     record->transports[i].unknown);
	}
	source->unknown_talk_known |= row->talk_known;
	for (int figure = 0; figure < PM_TALK_N; figure++)
		source->unknown_talk[figure] += row->talk[figure];
	for (int rung = 0; rung < PM_RUNG_N; rung++)
		source->side_by[rung] += row->side_by[rung];
}

static void no_port_add(struct metrics_source *source, const struct pm_no_port_row *row)
{
	size_t i = 0;

	while (i < source->n_no_port && (source->no_port[i].reason != row->reason ||
					 source->no_port[i].protocol != row->protocol))
		i++;
	if (i == source->n_no_port)
		source->no_port[source->n_no_port++] =
			(struct metrics_no_port){ row->reason, row->protocol, { 0, 0 } };
	pm_count_add(&source->no_port[i].count, row->count);
}

static void capture_add(struct pm_capture_figures *sum, const struct pm_capture_figures *more)
{
	if (more->received_known)
		sum->received += more->received;
	if (more->dropped_kernel_known)
		sum->dropped_kernel += more->dropped_kernel;
	if (more->dropped_interface_known)
		sum->dropped_interface += more->dropped_interface;
	sum->received_known |= more->received_known;
	sum->dropped_kernel_known |= more->dropped_kernel_known;
	sum->dropped_interface_known |= more->dropped_interface_known;
	sum->down_ns += more->down_ns;
}

static void given_up_add(struct pm_given_up *sum, const struct pm_given_up *more)
{
	sum->fragment_datagrams += more->fragment_datagrams;
	sum->fragment_frames += more->fragment_frames;
	sum->service_ports += more->service_ports;
	sum->endpoints += more->endpoints;
	sum->handshakes += more->handshakes;
	sum->peers += more->peers;
	sum->watched += more->watched;
	sum->by_endpoint += more->by_endpoint;
}

static void record_add(struct metrics_source *source, const struct pm_record *record)
{
	pm_count_add(&source->totals, record->totals);
	pm_count_add(&source->ip4, record->ip4);
	pm_count_add(&source->ip6, record->ip6);
	services_add(source, record);
	ports_add(source, record);
	unknown_add(source, record);
	for (size_t i = 0; i < record->n_no_port; i++)
		no_port_add(source, &record->no_port[i]);
	for (int f = 0; f < PM_FACET_N; f++)
		pm_count_add(&source->facets[f], record->facets[f]);
	capture_add(&source->capture, &record->capture);
	given_up_add(&source->given_up, &record->given_up);
	source->intervals += record->merged;
	source->late += record->interval.late;
	source->snapped += record->snapped;
	source->learned = record->learned;
	source->rules_entries = pm_rules_entries(record->rules);
	source->rules_generation = pm_rules_generation(record->rules);
	source->end_ns = record->interval.end_ns;
	source->talk |= record->talk;
}

/* ---- all of it ----------------------------------------------------------------------------- */

int pm_metrics_new(size_t services, size_t ports, struct pm_metrics **ret_metrics)
{
	struct pm_metrics *metrics = calloc(1, sizeof *metrics);

	if (!metrics)
		return PM_E_MEMORY;
	pthread_mutex_init(&metrics->lock, NULL);
	metrics->services = services ? services : PM_METRICS_SERVICES;
	metrics->ports = ports ? ports : PM_METRICS_PORTS;
	*ret_metrics = metrics;
	return PM_OK;
}

void pm_metrics_free(struct pm_metrics *metrics)
{
	if (!metrics)
		return;
	for (size_t i = 0; i < metrics->n; i++)
		source_free(metrics->sources[i]);
	free(metrics->sources);
	pthread_mutex_destroy(&metrics->lock);
	free(metrics);
}

int pm_metrics_add(struct pm_metrics *metrics, const struct pm_record *record)
{
	struct metrics_source *source;

	pthread_mutex_lock(&metrics->lock);
	source = source_of(metrics, record->source);
	if (source)
		record_add(source, record);
	pthread_mutex_unlock(&metrics->lock);
	return source ? PM_OK : PM_E_MEMORY;
}

int pm_metrics_text(struct pm_metrics *metrics, char **ret_text, size_t *ret_size)
{
	struct held held;
	struct sink *sink = pm_memory_open(&held);

	if (!sink)
		return PM_E_MEMORY;
	pm_metrics_write(metrics, sink);
	return pm_memory_close(sink, PM_OK, ret_text, ret_size);
}
