/* SPDX-License-Identifier: MIT */
/* --format text: what a person wants to see of an interval, widest share first. */
#include <stdlib.h>
#include <string.h>

#include "output-internal.h"

#define DEFAULT_TOP 20
#define CELL_SIZE 32

/* "1,234,567" */
static const char *grouped(uint64_t count, char text[CELL_SIZE])
{
	char digits[CELL_SIZE];
	int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
	char *to = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

/* "81.2 MB": decimal units, as network people count. */
static const char *scaled(double amount, const char *unit, char text[CELL_SIZE])
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T", "P", "E" };
	size_t p = 0;

	while (amount >= 999.95 && p + 1 < sizeof prefixes / sizeof *prefixes) {
		amount /= 1000;
		p++;
	}
	snprintf(text, CELL_SIZE, p ? "%.1f %s%s" : "%.0f %s%s", amount, prefixes[p], unit);
	return text;
}

static const char *share(uint64_t part, uint64_t whole, char text[CELL_SIZE])
{
	snprintf(text, CELL_SIZE, "%.1f%%", whole ? 100.0 * (double)part / (double)whole : 0.0);
	return text;
}

/*
 * A path may be longer than pm_sink_text takes; and one with a line end in it would make a title
 * that is not known again.
 */
static void put_source(struct sink *sink, const char *name)
{
	for (size_t n; *name; name += n) {
		n = strcspn(name, "\n");
		pm_sink_write(sink, n ? name : "?", n ? n : 1);
		n += n == 0;
	}
}

static void title(struct sink *sink, const struct pm_record *record)
{
	const struct pm_interval *interval = &record->interval;
	double seconds = (double)interval->end_ns / 1e9 - (double)interval->start_ns / 1e9;
	char start[PM_TIME_TEXT_SIZE], end[PM_TIME_TEXT_SIZE], a[CELL_SIZE], b[CELL_SIZE];

	pm_time_text(interval->start_ns, start);
	pm_time_text(interval->end_ns, end);
	put_source(sink, record->source->name);
	pm_sink_text(sink, "  %s to %s%s%s\n", start, end, interval->partial ? "  (partial)" : "",
		     record->source->inner ? "  (inside tunnels)" : "");
	pm_sink_text(sink, "%s packets, %s", grouped(record->totals.packets, a),
		  scaled((double)record->totals.bytes, "B", b));
	if (seconds > 0)
		pm_sink_text(sink, ", %s, %s", scaled((double)record->totals.packets / seconds, "packets/s", a),
			  scaled((double)record->totals.bytes * 8 / seconds, "bit/s", b));
	pm_sink_text(sink, "\n");
}

static void capture_line(struct sink *sink, const struct pm_record *record)
{
	const struct pm_capture_figures *figures = &record->capture;
	char a[CELL_SIZE], b[CELL_SIZE];

	if (figures->dropped_kernel_known && figures->dropped_kernel)
		pm_sink_text(sink, "%s packets dropped by kernel\n", grouped(figures->dropped_kernel, a));
	if (figures->dropped_interface_known && figures->dropped_interface)
		pm_sink_text(sink, "%s packets dropped by interface\n",
			  grouped(figures->dropped_interface, a));
	if (figures->down_ns)
		pm_sink_text(sink, "the interface was down or gone for %.1f s\n",
			     (double)figures->down_ns / 1e9);
	if (record->interval.late)
		pm_sink_text(sink, "%s packets came late\n", grouped(record->interval.late, a));
	if (record->merged > 1)
		pm_sink_text(sink, "%s intervals in one: output was held up\n",
			  grouped(record->merged, a));
	if (record->output.errors || record->output.delayed)
		pm_sink_text(sink, "output failed %s times before, %s records were late\n",
			  grouped(record->output.errors, a), grouped(record->output.delayed, b));
}

/* "80 443 8080 ..." within the column. */
static const char *port_list(const struct pm_service_row *row, char text[CELL_SIZE])
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < row->n_ports; i++) {
		if (at > 12) {
			snprintf(text + at, CELL_SIZE - at, " ...");
			break;
		}
		at += (size_t)snprintf(text + at, CELL_SIZE - at, "%s%u", i ? " " : "", row->ports[i]);
	}
	return text;
}

static const char *evidence(const struct pm_service_row *row)
{
	int most = PM_RUNG_UNKNOWN;

	for (int rung = 0; rung < PM_RUNG_N; rung++)
		if (row->side_by[rung] > row->side_by[most])
			most = rung;
	return pm_rung_name((enum pm_rung)most);
}

/* Room for two columns, or none at all where conversations are not counted. */
#define TALK_SIZE (2 * CELL_SIZE + 8)

static const char *talk_cells(const struct pm_service_row *row, char text[TALK_SIZE])
{
	char sessions[CELL_SIZE], count[CELL_SIZE], clients[CELL_SIZE + 1] = "";

	text[0] = '\0';
	if (!row->talk_known)
		return text;
	if (row->clients.known)
		snprintf(clients, sizeof clients, "%s%s", row->clients.estimated ? "~" : "",
			 grouped(row->clients.count, count));
	snprintf(text, TALK_SIZE, " %10s %9s", grouped(row->talk[PM_TALK_SESSIONS], sessions),
		 clients);
	return text;
}

static void service_line(struct sink *sink, const struct pm_record *record,
			 const struct pm_service_row *row, const char *name, const char *transport)
{
	char ports[CELL_SIZE], packets[CELL_SIZE], bytes[CELL_SIZE], part[CELL_SIZE], to[CELL_SIZE],
		from[CELL_SIZE], talk[TALK_SIZE];

	pm_sink_text(sink, "  %-20.20s %-8s %-18s %12s %10s %7s %10s %10s%s  %s\n", name, transport,
		  port_list(row, ports), grouped(row->count.packets, packets),
		  scaled((double)row->count.bytes, "B", bytes),
		  share(row->count.bytes, record->totals.bytes, part),
		  scaled((double)row->to_service.bytes, "B", to),
		  scaled((double)row->from_service.bytes, "B", from), talk_cells(row, talk),
		  evidence(row));
}

static void services(struct sink *sink, const struct pm_record *record, size_t top)
{
	struct pm_service_row rest = { .talk_known = record->unknown.talk_known };
	char name[CELL_SIZE + 16], count[CELL_SIZE];

	pm_sink_text(sink, "\n  %-20s %-8s %-18s %12s %10s %7s %10s %10s%s  %s\n", "SERVICE", "",
		  "PORTS", "PACKETS", "BYTES", "SHARE", "TO IT", "FROM IT",
		  record->talk ? "   SESSIONS   CLIENTS" : "", "MOSTLY BY");
	for (size_t i = 0; i < record->n_services; i++) {
		const struct pm_service_row *row = &record->services[i];

		if (i < top) {
			service_line(sink, record, row, row->service,
				     pm_transport_name((enum pm_transport)row->transport));
			continue;
		}
		pm_count_add(&rest.count, row->count);
		pm_count_add(&rest.to_service, row->to_service);
		pm_count_add(&rest.from_service, row->from_service);
		for (int rung = 0; rung < PM_RUNG_N; rung++)
			rest.side_by[rung] += row->side_by[rung];
		rest.talk[PM_TALK_SESSIONS] += row->talk[PM_TALK_SESSIONS];
	}
	if (record->n_services > top) {
		snprintf(name, sizeof name, "(%s more)", grouped(record->n_services - top, count));
		service_line(sink, record, &rest, name, "");
	}
	if (record->unknown.count.packets)
		service_line(sink, record, &record->unknown, "(unknown)", "");
}

static void no_port(struct sink *sink, const struct pm_record *record)
{
	char packets[CELL_SIZE], bytes[CELL_SIZE], part[CELL_SIZE], reason[64], number[16];

	for (size_t i = 0; i < record->n_no_port; i++) {
		const struct pm_no_port_row *row = &record->no_port[i];
		const char *detail = "";

		if (row->protocol >= 0) {
			detail = pm_protocol_name((uint8_t)row->protocol);
			snprintf(number, sizeof number, "%d", row->protocol);
			detail = detail ? detail : number;
		}
		snprintf(reason, sizeof reason, "no port: %s%s%s", pm_verdict_name(row->reason),
			 detail[0] ? ", " : "", detail);
		pm_sink_text(sink, "  %-48s %12s %10s %7s\n", reason, grouped(row->count.packets, packets),
			  scaled((double)row->count.bytes, "B", bytes),
			  share(row->count.bytes, record->totals.bytes, part));
	}
}

static void ports(struct sink *sink, const struct pm_record *record)
{
	char service[CELL_SIZE], src[CELL_SIZE], dst[CELL_SIZE], bytes[CELL_SIZE], name[CELL_SIZE];

	if (!record->n_ports && !record->other.ports)
		return;
	pm_sink_text(sink, "\n  %-14s %-9s %-24s %12s %12s %12s %10s\n", "PORT", "RANGE", "SERVICE",
		  "AS SERVICE", "FROM IT", "TO IT", "BYTES");
	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *row = &record->ports[i];

		snprintf(name, sizeof name, "%s/%u",
			 pm_transport_name((enum pm_transport)row->transport), row->port);
		pm_sink_text(sink, "  %-14s %-9s %-24.24s %12s %12s %12s %10s\n", name,
			  pm_range_name(pm_range_of(row->port)), row->service ? row->service : "-",
			  grouped(row->as_service.packets, service), grouped(row->src.packets, src),
			  grouped(row->dst.packets, dst),
			  scaled((double)row->src.bytes + (double)row->dst.bytes, "B", bytes));
	}
	if (record->other.ports)
		pm_sink_text(sink, "  (%s more ports)\n", grouped(record->other.ports, name));
}

/* "192.0.2.1:53", "[2001:db8::1]:53" */
static void endpoint(struct sink *sink, uint8_t ip_version, const struct pm_address *address,
		     uint16_t port)
{
	char text[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(ip_version, address, text);
	pm_sink_text(sink, ip_version == 6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void example_of(struct sink *sink, const struct pm_evidence *example, bool live)
{
	char frame[CELL_SIZE];

	pm_sink_text(sink, "; first: %s ",
		     pm_transport_name((enum pm_transport)example->transport));
	endpoint(sink, example->ip_version, &example->client, example->client_port);
	pm_sink_text(sink, " to ");
	endpoint(sink, example->ip_version, &example->server, example->server_port);
	if (!live && example->number)
		pm_sink_text(sink, ", frame %s", grouped(example->number, frame));
}

static void endpoint_line(struct sink *sink, const struct pm_record *record, const char *transport,
			  const char *endpoint, const char *service,
			  const struct pm_endpoint_row *row)
{
	char packets[CELL_SIZE], bytes[CELL_SIZE], part[CELL_SIZE], to[CELL_SIZE], from[CELL_SIZE];

	pm_sink_text(sink, "  %-8s %-30s %-20.20s %12s %10s %7s %10s %10s%s\n", transport, endpoint,
		     service, grouped(row->count.packets, packets),
		     scaled((double)row->count.bytes, "B", bytes),
		     share(row->count.bytes, record->totals.bytes, part),
		     scaled((double)row->to_service.bytes, "B", to),
		     scaled((double)row->from_service.bytes, "B", from),
		     row->at_least ? "  at least" : "");
}

static void endpoints(struct sink *sink, const struct pm_record *record)
{
	const struct pm_endpoints_other *other = &record->endpoints_other;
	char text[PM_ADDRESS_TEXT_SIZE + 16], address[PM_ADDRESS_TEXT_SIZE], count[CELL_SIZE],
		bytes[CELL_SIZE];

	if (!record->n_endpoints && !other->count.packets)
		return;
	pm_sink_text(sink, "\n  %-8s %-30s %-20s %12s %10s %7s %10s %10s\n", "ENDPOINT", "", "SERVICE",
		     "PACKETS", "BYTES", "SHARE", "TO IT", "FROM IT");
	for (size_t i = 0; i < record->n_endpoints; i++) {
		const struct pm_endpoint_row *row = &record->endpoints[i];

		pm_address_text(row->ip_version, &row->address, address);
		snprintf(text, sizeof text, row->ip_version == 6 ? "[%s]:%u" : "%s:%u", address,
			 row->port);
		endpoint_line(sink, record, pm_transport_name((enum pm_transport)row->transport),
			      text, row->service ? row->service : "-", row);
	}
	if (other->endpoints)
		pm_sink_text(sink, "  (%s more endpoints)\n", grouped(other->endpoints, count));
	if (other->forgotten.endpoints)
		pm_sink_text(sink, "  (%s forgotten for want of room; none lost more than %s)\n",
			     grouped(other->forgotten.endpoints, count),
			     scaled((double)other->forgotten.at_most, "B", bytes));
}

static void facets(struct sink *sink, const struct pm_record *record)
{
	char packets[CELL_SIZE], bytes[CELL_SIZE];
	bool first = true;

	for (int f = 0; f < PM_FACET_N; f++) {
		if (!record->facets[f].packets)
			continue;
		pm_sink_text(sink, "%s  note: %s: %s packets, %s", first ? "\n" : "",
			     pm_facet_name((enum pm_facet)f),
			     grouped(record->facets[f].packets, packets),
			     scaled((double)record->facets[f].bytes, "B", bytes));
		if (record->examples[f].ip_version)
			example_of(sink, &record->examples[f], record->source->live);
		pm_sink_text(sink, "\n");
		first = false;
	}
}

int pm_text_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	size_t top = output->options.top ? output->options.top : DEFAULT_TOP;
	struct sink *sink = &output->sink;

	pm_record_cut(record, top, output->options.service_only);
	title(sink, record);
	capture_line(sink, record);
	services(sink, record, top);
	no_port(sink, record);
	ports(sink, record);
	endpoints(sink, record);
	facets(sink, record);
	pm_sink_text(sink, "\n");
	return pm_sink_check(sink, err);
}
