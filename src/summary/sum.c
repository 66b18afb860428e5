/* SPDX-License-Identifier: MIT */
/* Records of one source added up over a run. Rows of a sum stand in the order of their keys. */
#include <stdlib.h>
#include <string.h>

#include "summary-internal.h"

static int service_keys(const struct pm_service_row *a, const struct pm_service_row *b)
{
	int order = (int)a->transport - (int)b->transport;

	return order ? order : strcmp(a->service, b->service);
}

static int service_order(const void *a, const void *b)
{
	return service_keys(a, b);
}

static int port_keys(const struct pm_port_row *a, const struct pm_port_row *b)
{
	int order = (int)a->transport - (int)b->transport;

	return order ? order : (int)a->port - (int)b->port;
}

static int port_order(const void *a, const void *b)
{
	return port_keys(a, b);
}

/* Where @name stands, or belongs, among the sum's names. */
static size_t name_place(const struct pm_record *sum, const char *name)
{
	size_t low = 0, high = sum->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(sum->names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The sum's own copy of a name; NULL stays NULL. Sets @failed when memory is short. */
static const char *own_name(struct pm_record *sum, const char *name, bool *failed)
{
	size_t at;
	char **names, *copy;

	if (!name)
		return NULL;
	at = name_place(sum, name);
	if (at < sum->n_names && strcmp(sum->names[at], name) == 0)
		return sum->names[at];
	copy = strdup(name);
	names = copy ? realloc(sum->names, (sum->n_names + 1) * sizeof *names) : NULL;
	if (!names) {
		free(copy);
		*failed = true;
		return NULL;
	}
	memmove(names + at + 1, names + at, (sum->n_names - at) * sizeof *names);
	names[at] = copy;
	sum->names = names;
	sum->n_names++;
	return copy;
}

static void service_add(struct pm_service_row *to, const struct pm_service_row *more)
{
	pm_count_add(&to->count, more->count);
	pm_count_add(&to->to_service, more->to_service);
	pm_count_add(&to->from_service, more->from_service);
	pm_count_add(&to->symmetric, more->symmetric);
	for (int rung = 0; rung < PM_RUNG_N; rung++)
		to->side_by[rung] += more->side_by[rung];
	for (int figure = 0; figure < PM_TALK_N; figure++)
		to->talk[figure] += more->talk[figure];
	to->talk_known |= more->talk_known;
}

/* Merges the sum's rows with @more, both in order of keys. NULL when memory is short. */
static struct pm_service_row *services_merge(struct pm_record *sum,
					     const struct pm_service_row *more, size_t n_more,
					     size_t *ret_n)
{
	struct pm_service_row *rows = calloc(sum->n_services + n_more + 1, sizeof *rows);
	size_t i = 0, j = 0, n = 0;
	bool failed = false;

	while (rows && (i < sum->n_services || j < n_more)) {
		int order = i == sum->n_services ? 1
			    : j == n_more	 ? -1
						 : service_keys(&sum->services[i], &more[j]);

		if (order <= 0) {
			rows[n] = sum->services[i++];
		} else {
			rows[n] = (struct pm_service_row){ .transport = more[j].transport };
			rows[n].service = own_name(sum, more[j].service, &failed);
			rows[n].category = own_name(sum, more[j].category, &failed);
		}
		if (order >= 0)
			service_add(&rows[n], &more[j++]);
		n++;
	}
	if (failed) {
		free(rows);
		return NULL;
	}
	*ret_n = n;
	return rows;
}

static struct pm_port_row *ports_merge(struct pm_record *sum, const struct pm_port_row *more,
				       size_t n_more, size_t *ret_n)
{
	struct pm_port_row *rows = calloc(sum->n_ports + n_more + 1, sizeof *rows);
	size_t i = 0, j = 0, n = 0;
	bool failed = false;

	while (rows && (i < sum->n_ports || j < n_more)) {
		int order = i == sum->n_ports ? 1
			    : j == n_more     ? -1
					      : port_keys(&sum->ports[i], &more[j]);

		rows[n] = order <= 0 ? sum->ports[i++]
				     : (struct pm_port_row){ .port = more[j].port };
		if (order >= 0) {
			rows[n].transport = more[j].transport;
			rows[n].metric = more[j].metric;
			rows[n].service = own_name(sum, more[j].service, &failed);
			pm_count_add(&rows[n].src, more[j].src);
			pm_count_add(&rows[n].dst, more[j].dst);
			pm_count_add(&rows[n].as_service, more[j].as_service);
			rows[n].sessions += more[j].sessions;
			rows[n].talk |= more[j].talk;
			j++;
		}
		n++;
	}
	if (failed) {
		free(rows);
		return NULL;
	}
	*ret_n = n;
	return rows;
}

/* A copy of @n rows in order of keys; never NULL but for want of memory. */
static void *sorted_copy(const void *rows, size_t n, size_t size,
			 int (*order)(const void *, const void *))
{
	void *copy = calloc(n + 1, size);

	if (copy && n) {
		memcpy(copy, rows, n * size);
		qsort(copy, n, size, order);
	}
	return copy;
}

static int rows_add(struct pm_record *sum, const struct pm_record *record)
{
	struct pm_service_row *more_services = sorted_copy(record->services, record->n_services,
							   sizeof *more_services, service_order);
	struct pm_port_row *more_ports =
		sorted_copy(record->ports, record->n_ports, sizeof *more_ports, port_order);
	struct pm_service_row *services = NULL;
	struct pm_port_row *ports = NULL;
	size_t n_services = 0, n_ports = 0;
	int r = PM_E_MEMORY;

	if (!more_services || !more_ports)
		goto out;
	services = services_merge(sum, more_services, record->n_services, &n_services);
	ports = ports_merge(sum, more_ports, record->n_ports, &n_ports);
	if (!services || !ports)
		goto out;
	free(sum->services);
	free(sum->ports);
	sum->services = services;
	sum->n_services = n_services;
	sum->ports = ports;
	sum->n_ports = n_ports;
	services = NULL;
	ports = NULL;
	r = PM_OK;
out:
	free(services);
	free(ports);
	free(more_services);
	free(more_ports);
	return r;
}

static void transports_add(struct pm_record *sum, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_transports; i++) {
		const struct pm_transport_row *more = &record->transports[i];
		size_t at = 0;

		while (at < sum->n_transports && sum->transports[at].transport != more->transport)
			at++;
		if (at == sum->n_transports)
			sum->transports[sum->n_transports++].transport = more->transport;
		pm_count_add(&sum->transports[at].count, more->count);
		pm_count_add(&sum->transports[at].unknown, more->unknown);
	}
}

static void no_port_add(struct pm_record *sum, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_no_port; i++) {
		const struct pm_no_port_row *more = &record->no_port[i];
		struct pm_no_port_row *row = sum->no_port;

		while (row < sum->no_port + sum->n_no_port &&
		       (row->reason != more->reason || row->protocol != more->protocol))
			row++;
		if (row == sum->no_port + sum->n_no_port) {
			*row = (struct pm_no_port_row){ more->reason, more->protocol, { 0, 0 } };
			sum->n_no_port++;
		}
		pm_count_add(&row->count, more->count);
	}
}

static void figures_add(struct pm_record *sum, const struct pm_record *record, bool first)
{
	const struct pm_capture_figures *more = &record->capture;

	sum->capture.received += more->received;
	sum->capture.dropped_kernel += more->dropped_kernel;
	sum->capture.dropped_interface += more->dropped_interface;
	sum->capture.down_ns += more->down_ns;
	sum->capture.received_known = (first || sum->capture.received_known) &&
				      more->received_known;
	sum->capture.dropped_kernel_known =
		(first || sum->capture.dropped_kernel_known) && more->dropped_kernel_known;
	sum->capture.dropped_interface_known =
		(first || sum->capture.dropped_interface_known) && more->dropped_interface_known;
	sum->given_up.fragment_datagrams += record->given_up.fragment_datagrams;
	sum->given_up.fragment_frames += record->given_up.fragment_frames;
	sum->given_up.service_ports += record->given_up.service_ports;
	sum->given_up.endpoints += record->given_up.endpoints;
	sum->given_up.handshakes += record->given_up.handshakes;
	sum->given_up.peers += record->given_up.peers;
	sum->given_up.watched += record->given_up.watched;
	sum->given_up.by_endpoint += record->given_up.by_endpoint;
	sum->learned = record->learned;
}

int pm_record_add(struct pm_record **sum_at, const struct pm_record *record)
{
	struct pm_record *sum = *sum_at;
	bool first = sum == NULL;
	int r;

	if (first)
		sum = calloc(1, sizeof *sum);
	if (!sum)
		return PM_E_MEMORY;
	r = rows_add(sum, record);
	if (r < 0) {
		if (first)
			pm_record_free(sum);
		return r;
	}
	if (first)
		sum->interval = record->interval;
	sum->interval.end_ns = record->interval.end_ns;
	sum->interval.late += first ? 0 : record->interval.late;
	sum->source = record->source;
	sum->seq = record->seq;
	sum->merged += record->merged;
	pm_count_add(&sum->totals, record->totals);
	pm_count_add(&sum->ip4, record->ip4);
	pm_count_add(&sum->ip6, record->ip6);
	sum->snapped += record->snapped;
	sum->talk |= record->talk;
	figures_add(sum, record, first);
	transports_add(sum, record);
	service_add(&sum->unknown, &record->unknown);
	pm_endpoints_add(sum, record);
	no_port_add(sum, record);
	for (int f = 0; f < PM_FACET_N; f++) {
		pm_count_add(&sum->facets[f], record->facets[f]);
		if (!sum->examples[f].ip_version)
			sum->examples[f] = record->examples[f];
	}
	pm_rules_unref(sum->rules);
	sum->rules = pm_rules_ref(record->rules);
	*sum_at = sum;
	return PM_OK;
}
