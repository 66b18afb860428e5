/* SPDX-License-Identifier: MIT */
/* From a tally to a record: gather what has counts, name it, sort it. */
#include <stdlib.h>
#include <string.h>

#include "summary-internal.h"

static uint64_t port_bytes(const struct pm_port_row *row)
{
	return row->as_service.bytes + row->src.bytes + row->dst.bytes;
}

static int by_bytes(uint64_t a, uint64_t b)
{
	return a < b ? 1 : a > b ? -1 : 0;
}

static int by_transport(unsigned a, unsigned b)
{
	return strcmp(pm_transport_name((enum pm_transport)a),
		      pm_transport_name((enum pm_transport)b));
}

/*
 * What orders a row of a port, without the row. There may be very many, so keys are sorted digit by
 * digit, the last one first.
 */
struct port_key {
	uint64_t rest; /* to the most bytes that a row has */
	uint32_t name; /* the place of its transport's name, then the port */
	uint32_t index;
};

#define DIGIT_BITS 11
#define DIGITS (1U << DIGIT_BITS)

/* Sorts @n keys from @from to @to by one digit; equal ones stay as they stood. */
static void sort_by_digit(const struct port_key *from, struct port_key *to, size_t n, bool by_name,
			  unsigned shift)
{
	size_t places[DIGITS + 1] = { 0 };

	for (size_t i = 0; i < n; i++)
		places[((by_name ? from[i].name : from[i].rest) >> shift) % DIGITS + 1]++;
	for (size_t i = 1; i < DIGITS; i++)
		places[i] += places[i - 1];
	for (size_t i = 0; i < n; i++)
		to[places[((by_name ? from[i].name : from[i].rest) >> shift) % DIGITS]++] = from[i];
}

static int service_order(const void *a, const void *b)
{
	const struct pm_service_row *x = a, *y = b;
	int order = by_bytes(x->count.bytes, y->count.bytes);

	if (order == 0)
		order = by_transport(x->transport, y->transport);
	return order ? order : strcmp(x->service, y->service);
}

static int transport_order(const void *a, const void *b)
{
	const struct pm_transport_row *x = a, *y = b;
	int order = by_bytes(x->count.bytes, y->count.bytes);

	return order ? order : by_transport(x->transport, y->transport);
}

static int no_port_order(const void *a, const void *b)
{
	const struct pm_no_port_row *x = a, *y = b;
	int order = by_bytes(x->count.bytes, y->count.bytes);

	if (order == 0)
		order = strcmp(pm_verdict_name(x->reason), pm_verdict_name(y->reason));
	return order ? order : x->protocol - y->protocol;
}

/* qsort wants a pointer even for nothing. */
static void sort(void *rows, size_t n, size_t size, int (*order)(const void *, const void *))
{
	if (n > 1)
		qsort(rows, n, size, order);
}

/* Their order, @keys, with as much room behind. Returns where they stand. */
static const struct port_key *order_ports(const struct pm_record *record, struct port_key *keys)
{
	struct port_key *from = keys, *to = keys + record->n_ports, *swap;
	uint32_t places[PM_TRANSPORT_N] = { 0 };
	uint64_t most = 0;

	for (unsigned a = 0; a < PM_TRANSPORT_N; a++)
		for (unsigned b = 0; b < PM_TRANSPORT_N; b++)
			places[a] += by_transport(a, b) > 0;
	for (size_t i = 0; i < record->n_ports; i++)
		if (port_bytes(&record->ports[i]) > most)
			most = port_bytes(&record->ports[i]);
	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *row = &record->ports[i];

		keys[i] = (struct port_key){ .rest = most - port_bytes(row),
					     .name = places[row->transport] << 16 | row->port,
					     .index = (uint32_t)i };
	}
	for (unsigned shift = 0; shift < 16 + 3; shift += DIGIT_BITS) {
		sort_by_digit(from, to, record->n_ports, true, shift);
		swap = from, from = to, to = swap;
	}
	for (unsigned shift = 0; shift < 64 && most >> shift; shift += DIGIT_BITS) {
		sort_by_digit(from, to, record->n_ports, false, shift);
		swap = from, from = to, to = swap;
	}
	return from;
}

/* PM_E_MEMORY or 0. */
static int sort_ports(struct pm_record *record)
{
	struct port_key *keys = calloc(record->n_ports + 1, 2 * sizeof *keys);
	struct pm_port_row *sorted = calloc(record->n_ports + 1, sizeof *sorted);
	const struct port_key *order;

	if (!keys || !sorted) {
		free(keys);
		free(sorted);
		return PM_E_MEMORY;
	}
	order = order_ports(record, keys);
	for (size_t i = 0; i < record->n_ports; i++)
		sorted[i] = record->ports[order[i].index];
	free(keys);
	free(record->ports);
	record->ports = sorted;
	return PM_OK;
}

static struct pm_count service_count(const struct pm_service_cell *cell)
{
	struct pm_count sum = { 0, 0 };

	for (int side = 0; side < PM_SIDE_N; side++)
		pm_count_add(&sum, cell->side[side]);
	return sum;
}

static void service_add(struct pm_service_row *row, const struct pm_service_cell *cell)
{
	pm_count_add(&row->count, service_count(cell));
	pm_count_add(&row->to_service, cell->side[PM_SIDE_DST]);
	pm_count_add(&row->from_service, cell->side[PM_SIDE_SRC]);
	pm_count_add(&row->symmetric, cell->side[PM_SIDE_BOTH]);
	for (int rung = 0; rung < PM_RUNG_N; rung++)
		row->side_by[rung] += cell->rung[rung];
}

#define KNOWN(figure) (1U << PM_TALK_##figure)

/* Which figures a transport has. UDP's attempts are its sessions, and nothing refuses them. */
static const uint8_t talk_known[PM_TRANSPORT_N] = {
	[PM_TRANSPORT_TCP] = KNOWN(SESSIONS) | KNOWN(SYN) | KNOWN(REFUSED) | KNOWN(UNANSWERED),
	[PM_TRANSPORT_UDP] = KNOWN(SESSIONS),
	[PM_TRANSPORT_UDPLITE] = KNOWN(SESSIONS),
	[PM_TRANSPORT_SCTP] = KNOWN(SESSIONS) | KNOWN(REFUSED) | KNOWN(UNANSWERED),
	[PM_TRANSPORT_DCCP] = KNOWN(SESSIONS) | KNOWN(REFUSED) | KNOWN(UNANSWERED),
};

/* What its conversations were; a row without a name takes those of all transports. */
static void talk_add(struct pm_service_row *row, struct pm_given_up *given_up,
		     const struct pm_tally *tally, enum pm_transport transport, uint16_t id)
{
	struct pm_talk_count count = pm_tally_service_talk(tally, transport, id);
	const uint64_t figures[PM_TALK_N] = {
		[PM_TALK_SESSIONS] = count.sessions,
		[PM_TALK_SYN] = count.attempts,
		[PM_TALK_REFUSED] = count.refused,
		[PM_TALK_UNANSWERED] = count.unanswered,
	};

	for (int figure = 0; figure < PM_TALK_N; figure++)
		if (talk_known[transport] >> figure & 1)
			row->talk[figure] += figures[figure];
	if (id == 0)
		return;
	row->talk_known = talk_known[transport];
	row->clients = pm_tally_distinct(tally, transport, id, PM_ROLE_CLIENT);
	row->servers = pm_tally_distinct(tally, transport, id, PM_ROLE_SERVER);
	given_up->peers += row->clients.given_up || row->servers.given_up;
}

/* Rows of one transport's services, its own row, and its share of what is unknown. */
static void gather_services(struct pm_record *record, const struct pm_tally *tally,
			    enum pm_transport transport)
{
	const struct pm_tally_transport *tt = &tally->transports[transport];
	struct pm_transport_row sum = { .transport = transport };

	for (uint32_t i = 0; i < tt->n_used_services; i++) {
		uint16_t id = tt->used_services[i];
		const struct pm_service_cell *cell = &tt->services[id];
		struct pm_count count = service_count(cell);
		struct pm_service_row *row = &record->unknown;

		pm_count_add(&sum.count, count);
		if (id == 0) {
			sum.unknown = count;
		} else {
			row = &record->services[record->n_services++];
			row->service = pm_rules_name(tally->rules, id);
			row->category = pm_rules_category(tally->rules, id);
			row->transport = (uint8_t)transport;
		}
		service_add(row, cell);
		if (tally->talk)
			talk_add(row, &record->given_up, tally, transport, id);
	}
	if (sum.count.packets)
		record->transports[record->n_transports++] = sum;
}

static void gather_port(struct pm_record *record, const struct pm_tally *tally,
			enum pm_transport transport, uint16_t port)
{
	const struct pm_port_cell *cell = &tally->transports[transport].ports[port];
	uint32_t label = pm_rules_label(tally->rules, transport, port);
	uint64_t sessions = pm_tally_port_talk(tally, transport, port).sessions;

	record->ports[record->n_ports++] = (struct pm_port_row){
		.service = pm_rules_name(tally->rules, label),
		.src = pm_port_src(cell),
		.dst = pm_port_dst(cell),
		.as_service = pm_port_as_service(cell),
		.sessions = sessions,
		.port = port,
		.transport = (uint8_t)transport,
		.metric = pm_rules_metric(tally->rules, transport, port),
		.talk = tally->talk && (sessions || pm_port_as_service(cell).packets),
	};
}

static void gather_ports(struct pm_record *record, const struct pm_tally *tally,
			 enum pm_transport transport)
{
	const struct pm_tally_transport *tt = &tally->transports[transport];

	/* In the order of memory, where that is not much longer. */
	if (pm_tally_crowded(tt)) {
		for (uint32_t port = 0; port < PM_PORTS; port++)
			if (!pm_port_is_new(&tt->ports[port]))
				gather_port(record, tally, transport, (uint16_t)port);
		return;
	}
	for (uint32_t i = 0; i < tt->n_used_ports; i++)
		gather_port(record, tally, transport, tt->used_ports[i]);
}

/* A port that carried a service. */
struct pair {
	uint16_t service, port;
};

static int pair_order(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int order = (int)x->service - (int)y->service;

	return order ? order : (int)x->port - (int)y->port;
}

/*
 * All pairs of one transport, sorted. A port without host-scoped rules can only carry its own
 * label.
 */
static size_t gather_pairs(const struct pm_tally *tally, enum pm_transport transport,
			   struct pair *pairs)
{
	const struct pm_tally_transport *tt = &tally->transports[transport];
	enum pm_transport of;
	struct pair pair;
	size_t n = 0, at = 0;

	for (uint32_t i = 0; i < tt->n_used_ports; i++) {
		uint16_t port = tt->used_ports[i];
		uint32_t label = pm_rules_label(tally->rules, transport, port);

		if (label && pm_port_as_service(&tt->ports[port]).packets &&
		    !pm_rules_scoped(tally->rules, transport, port))
			pairs[n++] = (struct pair){ (uint16_t)label, port };
	}
	while (pm_tally_scoped_next(tally, &at, &of, &pair.service, &pair.port))
		if (of == transport)
			pairs[n++] = pair;
	sort(pairs, n, sizeof *pairs, pair_order);
	return n;
}

/* Index of the first pair of @service. */
static size_t pairs_find(const struct pair *pairs, size_t n, uint16_t service)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (pairs[middle].service < service)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Gives each service its ports. The rows still stand in the order of the tally's used services. */
static int gather_service_ports(struct pm_record *record, const struct pm_tally *tally)
{
	size_t most = tally->scoped_used + 1, filled = 0;
	struct pm_service_row *row = record->services;
	struct pair *pairs;

	for (int t = 0; t < PM_TRANSPORT_N; t++)
		most += tally->transports[t].n_used_ports;
	pairs = calloc(most, sizeof *pairs);
	record->port_pool = calloc(most, sizeof *record->port_pool);
	if (!pairs || !record->port_pool) {
		free(pairs);
		return PM_E_MEMORY;
	}
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		const struct pm_tally_transport *tt = &tally->transports[t];
		size_t n = gather_pairs(tally, (enum pm_transport)t, pairs);

		for (uint32_t i = 0; i < tt->n_used_services; i++) {
			uint16_t id = tt->used_services[i];

			if (id == 0)
				continue;
			row->ports = record->port_pool + filled;
			for (size_t at = pairs_find(pairs, n, id);
			     at < n && pairs[at].service == id; at++)
				record->port_pool[filled++] = pairs[at].port;
			row->n_ports = (size_t)(record->port_pool + filled - row->ports);
			row++;
		}
	}
	free(pairs);
	return PM_OK;
}

static void gather_no_port(struct pm_record *record, const struct pm_tally *tally)
{
	for (int v = 0; v < PM_VERDICT_N; v++)
		if (tally->no_port[v].packets && v != PM_VERDICT_NO_PORTS_PROTOCOL)
			record->no_port[record->n_no_port++] = (struct pm_no_port_row){
				(enum pm_verdict)v, -1, tally->no_port[v]
			};
	for (int p = 0; p < 256; p++)
		if (tally->protocols[p].packets)
			record->no_port[record->n_no_port++] = (struct pm_no_port_row){
				PM_VERDICT_NO_PORTS_PROTOCOL, p, tally->protocols[p]
			};
}

static int gather(struct pm_record *record, const struct pm_tally *tally)
{
	size_t n_ports = 0, n_services = 0;
	int r;

	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		n_ports += tally->transports[t].n_used_ports;
		n_services += tally->transports[t].n_used_services;
	}
	record->ports = calloc(n_ports + 1, sizeof *record->ports);
	record->services = calloc(n_services + 1, sizeof *record->services);
	if (!record->ports || !record->services)
		return PM_E_MEMORY;
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		gather_services(record, tally, (enum pm_transport)t);
		gather_ports(record, tally, (enum pm_transport)t);
	}
	r = gather_service_ports(record, tally);
	if (r < 0)
		return r;
	gather_no_port(record, tally);
	r = pm_endpoints_gather(record, tally);
	if (r < 0)
		return r;
	r = sort_ports(record);
	if (r < 0)
		return r;
	sort(record->services, record->n_services, sizeof *record->services, service_order);
	sort(record->transports, record->n_transports, sizeof *record->transports, transport_order);
	sort(record->no_port, record->n_no_port, sizeof *record->no_port, no_port_order);
	return PM_OK;
}

int pm_record_new(struct pm_tally *tally, const struct pm_source *source,
		  struct pm_record **ret_record)
{
	struct pm_record *record = calloc(1, sizeof *record);
	int r;

	if (!record)
		return PM_E_MEMORY;
	record->source = source;
	record->seq = tally->seq;
	record->merged = tally->merged;
	record->interval = tally->interval;
	record->totals = pm_tally_totals(tally);
	record->ip4 = tally->by_ip[2];
	record->ip6 = tally->by_ip[3];
	record->snapped = tally->snapped;
	record->capture = tally->capture;
	record->given_up = tally->given_up;
	record->learned = tally->learned;
	record->talk = tally->talk;
	if (tally->talk) /* of no transport, but of all */
		record->unknown.talk_known = (1U << PM_TALK_N) - 1;
	record->rules = pm_rules_ref(tally->rules);
	pm_tally_settle(tally);
	memcpy(record->facets, tally->facets, sizeof record->facets);
	memcpy(record->examples, tally->examples, sizeof record->examples);
	r = gather(record, tally);
	if (r < 0) {
		pm_record_free(record);
		return r;
	}
	*ret_record = record;
	return PM_OK;
}

void pm_record_free(struct pm_record *record)
{
	if (!record)
		return;
	for (size_t i = 0; i < record->n_names; i++)
		free(record->names[i]);
	free(record->names);
	free(record->ports);
	free(record->services);
	free(record->endpoints);
	free(record->port_pool);
	pm_rules_unref(record->rules);
	free(record);
}

static void other_add(struct pm_other *other, const struct pm_port_row *row)
{
	other->ports++;
	pm_count_add(&other->src, row->src);
	pm_count_add(&other->dst, row->dst);
	pm_count_add(&other->as_service, row->as_service);
	other->sessions += row->sessions;
}

void pm_record_cut(struct pm_record *record, size_t top, bool service_only)
{
	size_t kept = 0;

	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *row = &record->ports[i];

		if ((top == 0 || kept < top) && (!service_only || row->as_service.packets)) {
			record->ports[kept++] = *row;
			continue;
		}
		other_add(&record->other, row);
		for (size_t t = 0; t < record->n_transports; t++)
			if (record->transports[t].transport == (enum pm_transport)row->transport)
				other_add(&record->transports[t].other, row);
	}
	record->n_ports = kept;
	pm_endpoints_cut(record, top ? top : PM_ENDPOINTS_TOP);
}
