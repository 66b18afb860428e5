/* SPDX-License-Identifier: MIT */
/* Endpoints of a record. */
#include <stdlib.h>
#include <string.h>

#include "summary-internal.h"

/* Total, so that the order says nothing of how the rows were come by. */
static int endpoint_order(const void *a, const void *b)
{
	const struct pm_endpoint_row *x = a, *y = b;
	int order;

	if (x->count.bytes != y->count.bytes)
		return x->count.bytes < y->count.bytes ? 1 : -1;
	order = strcmp(pm_transport_name((enum pm_transport)x->transport),
		       pm_transport_name((enum pm_transport)y->transport));
	if (order == 0)
		order = (int)x->port - (int)y->port;
	if (order == 0)
		order = (int)x->ip_version - (int)y->ip_version;
	return order ? order : memcmp(&x->address, &y->address, sizeof x->address);
}

static void forgotten_add(struct pm_forgotten *to, const struct pm_forgotten *more)
{
	to->endpoints += more->endpoints;
	pm_count_add(&to->count, more->count);
	to->at_most += more->at_most;
}

int pm_endpoints_gather(struct pm_record *record, const struct pm_tally *tally)
{
	struct pm_endpoints_view view;
	struct pm_endpoints_other *other = &record->endpoints_other;

	record->by_endpoint = pm_tally_endpoints(tally, &view);
	if (!record->by_endpoint)
		return PM_OK;
	record->endpoints = calloc(view.n + 1, sizeof *record->endpoints);
	if (!record->endpoints)
		return PM_E_MEMORY;
	for (size_t i = 0; i < view.n; i++) {
		const struct pm_endpoint *e = &view.rows[i];
		uint32_t label = pm_rules_label_at(tally->rules, (enum pm_transport)e->transport,
						   e->port, e->ip_version, &e->address);

		record->endpoints[i] = (struct pm_endpoint_row){
			.service = pm_rules_name(tally->rules, label),
			.count = pm_endpoint_count(e),
			.to_service = e->to_service,
			.from_service = e->from_service,
			.symmetric = e->symmetric,
			.address = e->address,
			.port = e->port,
			.transport = e->transport,
			.ip_version = e->ip_version,
			.at_least = e->at_least,
		};
	}
	record->n_endpoints = view.n;
	if (view.n > 1)
		qsort(record->endpoints, view.n, sizeof *record->endpoints, endpoint_order);
	other->forgotten = view.forgotten;
	other->count = view.sideless;
	pm_count_add(&other->count, view.forgotten.count);
	record->given_up.by_endpoint = view.forgotten.endpoints;
	return PM_OK;
}

void pm_endpoints_cut(struct pm_record *record, size_t top)
{
	for (size_t i = top; i < record->n_endpoints; i++) {
		record->endpoints_other.endpoints++;
		pm_count_add(&record->endpoints_other.count, record->endpoints[i].count);
	}
	if (record->n_endpoints > top)
		record->n_endpoints = top;
}

void pm_endpoints_add(struct pm_record *sum, const struct pm_record *record)
{
	struct pm_endpoints_other *other = &sum->endpoints_other;

	sum->by_endpoint |= record->by_endpoint;
	for (size_t i = 0; i < record->n_endpoints; i++)
		pm_count_add(&other->count, record->endpoints[i].count);
	pm_count_add(&other->count, record->endpoints_other.count);
	forgotten_add(&other->forgotten, &record->endpoints_other.forgotten);
}
