/* SPDX-License-Identifier: MIT */
/*
 * --format rows and --format frames: flat lines, docs/row.schema.json and docs/frame.schema.json.
 */
#include "json.h"

/* The members that every row has. */
static void row_begin(struct json_writer *w, struct pm_output *output,
		      const struct pm_record *record, const char *kind)
{
	const struct pm_source *source = record->source;
	const struct pm_interval *interval = &record->interval;

	pm_json_begin(w, &output->sink);
	pm_json_member(w, "schema", json_string("portmeter.row/1"));
	pm_json_member(w, "row", json_string(kind));
	pm_json_member(w, "time", pm_json_time(interval->end_ns));
	if (source->sensor)
		pm_json_member(w, "sensor", pm_json_text(source->sensor));
	if (source->run)
		pm_json_member(w, "run", pm_json_text(source->run));
	pm_json_member(w, "seq", pm_json_count(record->seq));
	pm_json_member(w, "source", pm_json_text(source->name));
	if (source->inner)
		pm_json_member(w, "tunnel", json_string("inner"));
	pm_json_member(w, "start", pm_json_time(interval->start_ns));
	pm_json_member(w, "end", pm_json_time(interval->end_ns));
	pm_json_member(w, "seconds", pm_json_seconds(interval));
	pm_json_member(w, "partial", json_boolean(interval->partial));
}

static void put(struct json_writer *w, const char *prefix, struct pm_count count)
{
	char key[64];

	snprintf(key, sizeof key, "%spackets", prefix);
	pm_json_member(w, key, pm_json_count(count.packets));
	snprintf(key, sizeof key, "%sbytes", prefix);
	pm_json_member(w, key, pm_json_count(count.bytes));
}

static void put_transport(struct json_writer *w, unsigned transport)
{
	pm_json_member(w, "transport", json_string(pm_transport_name((enum pm_transport)transport)));
}

static int totals_row(struct pm_output *output, const struct pm_record *record,
		      struct pm_error *err)
{
	const struct pm_capture_figures *figures = &record->capture;
	struct json_writer w;

	row_begin(&w, output, record, "totals");
	put(&w, "", record->totals);
	put(&w, "ip4_", record->ip4);
	put(&w, "ip6_", record->ip6);
	pm_json_member(&w, "received", pm_json_known(figures->received_known, figures->received));
	pm_json_member(&w, "dropped_kernel",
		    pm_json_known(figures->dropped_kernel_known, figures->dropped_kernel));
	pm_json_member(&w, "dropped_interface",
		    pm_json_known(figures->dropped_interface_known, figures->dropped_interface));
	pm_json_member(&w, "snapped", pm_json_count(record->snapped));
	pm_json_member(&w, "late", pm_json_count(record->interval.late));
	if (figures->down_ns)
		pm_json_member(&w, "down_seconds", json_real((double)figures->down_ns / 1e9));
	if (record->output.errors || record->output.delayed) {
		pm_json_member(&w, "output_errors", pm_json_count(record->output.errors));
		pm_json_member(&w, "output_delayed_records", pm_json_count(record->output.delayed));
	}
	return pm_json_end(&w, false, err);
}

static int transport_row(struct pm_output *output, const struct pm_record *record,
			 const struct pm_transport_row *row, struct pm_error *err)
{
	struct json_writer w;

	row_begin(&w, output, record, "transport");
	put_transport(&w, row->transport);
	put(&w, "", row->count);
	put(&w, "unknown_", row->unknown);
	return pm_json_end(&w, false, err);
}

static int port_row(struct pm_output *output, const struct pm_record *record,
		    const struct pm_port_row *row, struct pm_error *err)
{
	struct json_writer w;

	row_begin(&w, output, record, "port");
	put_transport(&w, row->transport);
	pm_json_member(&w, "port", json_integer(row->port));
	pm_json_member(&w, "range", json_string(pm_range_name(pm_range_of(row->port))));
	pm_json_member(&w, "service", pm_json_text(row->service));
	put(&w, "src_", row->src);
	put(&w, "dst_", row->dst);
	put(&w, "as_service_", row->as_service);
	if (row->talk)
		pm_json_member(&w, "sessions", pm_json_count(row->sessions));
	return pm_json_end(&w, false, err);
}

static int service_row(struct pm_output *output, const struct pm_record *record,
		       const struct pm_service_row *row, struct pm_error *err)
{
	struct talk_member members[TALK_MEMBERS_MAX];
	size_t n = pm_json_talk(row, members);
	struct json_writer w;

	row_begin(&w, output, record, row->service ? "service" : "unknown");
	if (row->service) {
		pm_json_member(&w, "service", pm_json_text(row->service));
		pm_json_member(&w, "category", pm_json_text(row->category));
		put_transport(&w, row->transport);
		pm_json_member(&w, "ports", pm_json_ports(row));
	}
	put(&w, "", row->count);
	put(&w, "to_service_", row->to_service);
	put(&w, "from_service_", row->from_service);
	put(&w, "symmetric_", row->symmetric);
	pm_json_member(&w, "side_by", pm_json_side_by(row->side_by));
	for (size_t i = 0; i < n; i++)
		pm_json_member(&w, members[i].key, pm_json_talk_value(&members[i]));
	return pm_json_end(&w, false, err);
}

static int endpoint_row(struct pm_output *output, const struct pm_record *record,
			const struct pm_endpoint_row *row, struct pm_error *err)
{
	struct json_writer w;
	char address[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(row->ip_version, &row->address, address);
	row_begin(&w, output, record, "endpoint");
	pm_json_member(&w, "address", json_string(address));
	put_transport(&w, row->transport);
	pm_json_member(&w, "port", json_integer(row->port));
	pm_json_member(&w, "service", pm_json_text(row->service));
	put(&w, "", row->count);
	put(&w, "to_service_", row->to_service);
	put(&w, "from_service_", row->from_service);
	put(&w, "symmetric_", row->symmetric);
	if (row->at_least)
		pm_json_member(&w, "at_least", json_true());
	return pm_json_end(&w, false, err);
}

static int endpoints_other_row(struct pm_output *output, const struct pm_record *record,
			       struct pm_error *err)
{
	const struct pm_endpoints_other *other = &record->endpoints_other;
	struct json_writer w;

	row_begin(&w, output, record, "endpoints_other");
	pm_json_member(&w, "endpoints", pm_json_count(other->endpoints));
	put(&w, "", other->count);
	if (other->forgotten.endpoints) {
		pm_json_member(&w, "forgotten_endpoints", pm_json_count(other->forgotten.endpoints));
		put(&w, "forgotten_", other->forgotten.count);
		pm_json_member(&w, "forgotten_at_most", pm_json_count(other->forgotten.at_most));
	}
	return pm_json_end(&w, false, err);
}

static int no_port_row(struct pm_output *output, const struct pm_record *record,
		       const struct pm_no_port_row *row, struct pm_error *err)
{
	struct json_writer w;

	row_begin(&w, output, record, "no_port");
	pm_json_member(&w, "reason", json_string(pm_verdict_name(row->reason)));
	if (row->protocol >= 0) {
		pm_json_member(&w, "protocol", json_integer(row->protocol));
		pm_json_member(&w, "name", pm_json_text(pm_protocol_name((uint8_t)row->protocol)));
	}
	put(&w, "", row->count);
	return pm_json_end(&w, false, err);
}

static void put_endpoint(struct json_writer *w, const char *which, uint8_t ip_version,
			 const struct pm_address *address, uint16_t port)
{
	char key[64], text[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(ip_version, address, text);
	snprintf(key, sizeof key, "example_%s_address", which);
	pm_json_member(w, key, json_string(text));
	snprintf(key, sizeof key, "example_%s_port", which);
	pm_json_member(w, key, json_integer(port));
}

static void put_example(struct json_writer *w, const struct pm_evidence *example, bool live)
{
	if (!live && example->number)
		pm_json_member(w, "example_frame", pm_json_count(example->number));
	pm_json_member(w, "example_time", pm_json_time(example->time_ns));
	pm_json_member(w, "example_transport",
		    json_string(pm_transport_name((enum pm_transport)example->transport)));
	put_endpoint(w, "client", example->ip_version, &example->client, example->client_port);
	put_endpoint(w, "server", example->ip_version, &example->server, example->server_port);
}

static int facet_row(struct pm_output *output, const struct pm_record *record, enum pm_facet facet,
		     struct pm_error *err)
{
	struct json_writer w;

	row_begin(&w, output, record, "facet");
	pm_json_member(&w, "code", json_string(pm_facet_name(facet)));
	put(&w, "", record->facets[facet]);
	if (record->examples[facet].ip_version)
		put_example(&w, &record->examples[facet], record->source->live);
	return pm_json_end(&w, false, err);
}

static int other_row(struct pm_output *output, const struct pm_record *record,
		     const struct pm_transport_row *row, struct pm_error *err)
{
	struct json_writer w;

	row_begin(&w, output, record, "other");
	put_transport(&w, row->transport);
	pm_json_member(&w, "ports", pm_json_count(row->other.ports));
	put(&w, "src_", row->other.src);
	put(&w, "dst_", row->other.dst);
	put(&w, "as_service_", row->other.as_service);
	if (record->talk)
		pm_json_member(&w, "sessions", pm_json_count(row->other.sessions));
	return pm_json_end(&w, false, err);
}

int pm_rows_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	int r;

	pm_record_cut(record, output->options.top, output->options.service_only);
	r = totals_row(output, record, err);
	for (size_t i = 0; r == PM_OK && i < record->n_transports; i++)
		r = transport_row(output, record, &record->transports[i], err);
	for (size_t i = 0; r == PM_OK && i < record->n_ports; i++)
		r = port_row(output, record, &record->ports[i], err);
	for (size_t i = 0; r == PM_OK && i < record->n_services; i++)
		r = service_row(output, record, &record->services[i], err);
	for (size_t i = 0; r == PM_OK && i < record->n_endpoints; i++)
		r = endpoint_row(output, record, &record->endpoints[i], err);
	if (r == PM_OK && record->by_endpoint)
		r = endpoints_other_row(output, record, err);
	if (r == PM_OK && record->unknown.count.packets)
		r = service_row(output, record, &record->unknown, err);
	for (size_t i = 0; r == PM_OK && i < record->n_no_port; i++)
		r = no_port_row(output, record, &record->no_port[i], err);
	for (int f = 0; r == PM_OK && f < PM_FACET_N; f++)
		if (record->facets[f].packets)
			r = facet_row(output, record, (enum pm_facet)f, err);
	for (size_t i = 0; r == PM_OK && i < record->n_transports; i++)
		if (record->transports[i].other.ports)
			r = other_row(output, record, &record->transports[i], err);
	return r == PM_OK ? pm_sink_check(&output->sink, err) : r;
}

/* UDP's and UDP-Lite's source port 0 is no port. */
static json_t *source_port(const struct pm_frame_report *report)
{
	if (report->src_port == 0 &&
	    pm_transport_source_optional((enum pm_transport)report->transport))
		return json_null();
	return json_integer(report->src_port);
}

int pm_frames_frame(struct pm_output *output, const struct pm_source *source,
		 const struct pm_frame_report *report, struct pm_error *err)
{
	struct json_writer w;

	pm_json_begin(&w, &output->sink);
	pm_json_member(&w, "number", pm_json_count(report->number));
	pm_json_member(&w, "time", pm_json_time(report->time_ns));
	pm_json_member(&w, "source", pm_json_text(source->name));
	pm_json_member(&w, "bytes", pm_json_count(report->wire));
	if (report->verdict == PM_VERDICT_PORTS) {
		put_transport(&w, report->transport);
		pm_json_member(&w, "src_port", source_port(report));
		pm_json_member(&w, "dst_port", json_integer(report->dst_port));
		pm_json_member(&w, "side", json_string(pm_side_name((enum pm_side)report->decision.side)));
		pm_json_member(&w, "label",
			    pm_json_text(pm_rules_name(report->rules, report->decision.service)));
		pm_json_member(&w, "rung", json_string(pm_rung_name((enum pm_rung)report->decision.rung)));
	} else {
		pm_json_member(&w, "no_port",
			    json_string(pm_verdict_name((enum pm_verdict)report->verdict)));
		if (report->verdict == PM_VERDICT_NO_PORTS_PROTOCOL)
			pm_json_member(&w, "protocol", json_integer(report->ip_protocol));
	}
	return pm_json_end(&w, false, err);
}
