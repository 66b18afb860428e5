/* SPDX-License-Identifier: MIT */
/* --format json: docs/summary.schema.json. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

static json_t *source_json(const struct pm_source *source)
{
	json_t *object = json_object();

	pm_json_put(&object, "kind", json_string(source->live ? "live" : "file"));
	pm_json_put(&object, "name", pm_json_text(source->name));
	if (source->file)
		pm_json_put(&object, "file", pm_json_text(source->file));
	if (!source->live)
		pm_json_put(&object, "files", pm_json_count(source->files));
	pm_json_put(&object, "link", pm_json_text(source->link));
	pm_json_put(&object, "filter", pm_json_text(source->filter));
	pm_json_put(&object, "snaplen", pm_json_known(source->snaplen >= 0, (uint64_t)source->snaplen));
	if (source->inner)
		pm_json_put(&object, "tunnel", json_string("inner"));
	return object;
}

static json_t *interval_json(const struct pm_interval *interval)
{
	json_t *object = json_object();

	pm_json_put(&object, "start", pm_json_time(interval->start_ns));
	pm_json_put(&object, "end", pm_json_time(interval->end_ns));
	pm_json_put(&object, "seconds", pm_json_seconds(interval));
	pm_json_put(&object, "partial", json_boolean(interval->partial));
	pm_json_put(&object, "late", pm_json_count(interval->late));
	return object;
}

static json_t *totals_json(const struct pm_record *record)
{
	json_t *object = pm_json_pair(record->totals);

	pm_json_put(&object, "ip4", pm_json_pair(record->ip4));
	pm_json_put(&object, "ip6", pm_json_pair(record->ip6));
	return object;
}

static json_t *threads_json(const struct pm_capture_figures *figures)
{
	json_t *array = json_array();

	for (size_t i = 0; i < figures->n_threads; i++) {
		const struct pm_capture_thread *thread = &figures->threads[i];
		json_t *object = json_object();

		pm_json_put(&object, "received",
			    pm_json_known(figures->received_known, thread->received));
		pm_json_put(&object, "dropped_kernel",
			    pm_json_known(figures->dropped_kernel_known, thread->dropped_kernel));
		if (json_array_append_new(array, object) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *capture_json(const struct pm_record *record)
{
	const struct pm_capture_figures *figures = &record->capture;
	json_t *object = json_object();

	pm_json_put(&object, "received", pm_json_known(figures->received_known, figures->received));
	pm_json_put(&object, "dropped_kernel",
		 pm_json_known(figures->dropped_kernel_known, figures->dropped_kernel));
	pm_json_put(&object, "dropped_interface",
		 pm_json_known(figures->dropped_interface_known, figures->dropped_interface));
	pm_json_put(&object, "snapped", pm_json_count(record->snapped));
	if (figures->down_ns)
		pm_json_put(&object, "down_seconds", json_real((double)figures->down_ns / 1e9));
	if (figures->n_threads)
		pm_json_put(&object, "threads", threads_json(figures));
	return object;
}

static json_t *other_json(const struct pm_other *other, bool talk)
{
	json_t *object = json_object();

	pm_json_put(&object, "ports", pm_json_count(other->ports));
	pm_json_put(&object, "src", pm_json_pair(other->src));
	pm_json_put(&object, "dst", pm_json_pair(other->dst));
	pm_json_put(&object, "as_service", pm_json_pair(other->as_service));
	if (talk)
		pm_json_put(&object, "sessions", pm_json_count(other->sessions));
	return object;
}

static json_t *transport_json(const struct pm_transport_row *row, bool talk)
{
	json_t *object = json_object();

	pm_json_put(&object, "transport", json_string(pm_transport_name(row->transport)));
	pm_json_put_count(&object, "", row->count);
	pm_json_put(&object, "unknown", pm_json_pair(row->unknown));
	pm_json_put(&object, "other", other_json(&row->other, talk));
	return object;
}

/*
 * Rows of ports are by far the most, up to 327,680 in a record, then those of services, and jansson
 * takes microseconds for each. So their keys and figures are put together here, from constants and
 * digits; names are jansson's to write, once for a run of rows with the same. A test holds the
 * whole line to what jansson makes of it.
 */
struct line {
	char text[1024]; /* without names and a service's ports a row is 700 bytes at most */
	size_t size;
};

/* The last name of all, as JSON; text is NULL when memory is short. */
struct name {
	const char *name;
	char *text;
};

static void add(struct line *line, const char *text)
{
	size_t size = strlen(text);

	memcpy(line->text + line->size, text, size);
	line->size += size;
}

static void add_number(struct line *line, uint64_t number)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(line->text + line->size, digits + at, sizeof digits - at);
	line->size += sizeof digits - at;
}

static void add_count(struct line *line, const char *packets, struct pm_count count)
{
	add(line, packets);
	add_number(line, count.packets);
	add(line, ",\"bytes\":");
	add_number(line, count.bytes);
}

/* As JSON; NULL when memory is short. Borrowed until the next call. */
static const char *name_text(struct name *last, const char *name)
{
	json_t *value;

	if (!name)
		return "null";
	if (last->text && last->name == name)
		return last->text;
	free(last->text);
	value = pm_json_text(name);
	last->name = name;
	last->text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(value);
	return last->text;
}

static void write_port(struct json_writer *w, const struct pm_port_row *row, struct name *last)
{
	const char *name = name_text(last, row->service);
	struct line line;

	line.size = 0; /* its text is not to be cleared for each row */
	if (!name) {
		w->failed = true;
		return;
	}
	add(&line, "{\"transport\":\"");
	add(&line, pm_transport_name((enum pm_transport)row->transport));
	add(&line, "\",\"port\":");
	add_number(&line, row->port);
	add(&line, ",\"range\":\"");
	add(&line, pm_range_name(pm_range_of(row->port)));
	add(&line, "\",\"service\":");
	pm_json_item_text(w, line.text, line.size);
	pm_sink_write(w->sink, name, strlen(name));
	line.size = 0;
	add_count(&line, ",\"src\":{\"packets\":", row->src);
	add_count(&line, "},\"dst\":{\"packets\":", row->dst);
	add_count(&line, "},\"as_service\":{\"packets\":", row->as_service);
	if (row->talk) {
		add(&line, "},\"sessions\":");
		add_number(&line, row->sessions);
		add(&line, "}");
	} else {
		add(&line, "}}");
	}
	pm_sink_write(w->sink, line.text, line.size);
}

static void write_ports(struct json_writer *w, const struct pm_record *record)
{
	struct name last = { .text = NULL };

	pm_json_array_begin(w, "ports");
	for (size_t i = 0; i < record->n_ports; i++)
		write_port(w, &record->ports[i], &last);
	pm_json_array_end(w);
	free(last.text);
}

/* What a service and the unknown have in common. */
static void put_sides(json_t **object, const struct pm_service_row *row)
{
	struct talk_member members[TALK_MEMBERS_MAX];
	size_t n = pm_json_talk(row, members);

	pm_json_put_count(object, "", row->count);
	pm_json_put(object, "to_service", pm_json_pair(row->to_service));
	pm_json_put(object, "from_service", pm_json_pair(row->from_service));
	pm_json_put(object, "symmetric", pm_json_pair(row->symmetric));
	pm_json_put(object, "side_by", pm_json_side_by(row->side_by));
	for (size_t i = 0; i < n; i++)
		pm_json_put(object, members[i].key, pm_json_talk_value(&members[i]));
}

static void write_line(struct json_writer *w, struct line *line)
{
	pm_sink_write(w->sink, line->text, line->size);
	line->size = 0;
}

static void write_numbers(struct json_writer *w, struct line *line, const uint16_t *numbers,
			  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (line->size > sizeof line->text / 2)
			write_line(w, line);
		add(line, i ? "," : "");
		add_number(line, numbers[i]);
	}
}

static void add_side_by(struct line *line, const uint64_t side_by[PM_RUNG_N])
{
	const char *before = "\"";

	for (int rung = 0; rung < PM_RUNG_N; rung++) {
		if (!side_by[rung])
			continue;
		add(line, before);
		add(line, pm_rung_name((enum pm_rung)rung));
		add(line, "\":");
		add_number(line, side_by[rung]);
		before = ",\"";
	}
}

static void add_talk(struct line *line, const struct pm_service_row *row)
{
	struct talk_member members[TALK_MEMBERS_MAX];
	size_t n = pm_json_talk(row, members);

	for (size_t i = 0; i < n; i++) {
		add(line, ",\"");
		add(line, members[i].key);
		add(line, members[i].truth ? "\":true" : "\":");
		if (!members[i].truth)
			add_number(line, members[i].count);
	}
}

static void write_service(struct json_writer *w, const struct pm_service_row *row,
			  struct name *last_name, struct name *last_category)
{
	const char *name = name_text(last_name, row->service);
	const char *category = name_text(last_category, row->category);
	struct line line;

	line.size = 0; /* its text is not to be cleared for each row */
	if (!name || !category) {
		w->failed = true;
		return;
	}
	pm_json_item_text(w, "{\"service\":", strlen("{\"service\":"));
	pm_sink_write(w->sink, name, strlen(name));
	add(&line, ",\"category\":");
	write_line(w, &line);
	pm_sink_write(w->sink, category, strlen(category));
	add(&line, ",\"transport\":\"");
	add(&line, pm_transport_name((enum pm_transport)row->transport));
	add(&line, "\",\"ports\":[");
	write_numbers(w, &line, row->ports, row->n_ports);
	write_line(w, &line);
	add_count(&line, "],\"packets\":", row->count);
	add_count(&line, ",\"to_service\":{\"packets\":", row->to_service);
	add_count(&line, "},\"from_service\":{\"packets\":", row->from_service);
	add_count(&line, "},\"symmetric\":{\"packets\":", row->symmetric);
	add(&line, "},\"side_by\":{");
	add_side_by(&line, row->side_by);
	add(&line, "}");
	write_line(w, &line);
	add_talk(&line, row);
	add(&line, "}");
	write_line(w, &line);
}

static void write_services(struct json_writer *w, const struct pm_record *record)
{
	struct name name = { .text = NULL }, category = { .text = NULL };

	pm_json_array_begin(w, "services");
	for (size_t i = 0; i < record->n_services; i++)
		write_service(w, &record->services[i], &name, &category);
	pm_json_array_end(w);
	free(name.text);
	free(category.text);
}

static json_t *endpoint_json(const struct pm_endpoint_row *row)
{
	json_t *object = json_object();
	char address[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(row->ip_version, &row->address, address);
	pm_json_put(&object, "address", json_string(address));
	pm_json_put(&object, "transport",
		    json_string(pm_transport_name((enum pm_transport)row->transport)));
	pm_json_put(&object, "port", json_integer(row->port));
	pm_json_put(&object, "service", pm_json_text(row->service));
	pm_json_put_count(&object, "", row->count);
	pm_json_put(&object, "to_service", pm_json_pair(row->to_service));
	pm_json_put(&object, "from_service", pm_json_pair(row->from_service));
	pm_json_put(&object, "symmetric", pm_json_pair(row->symmetric));
	if (row->at_least)
		pm_json_put(&object, "at_least", json_true());
	return object;
}

static json_t *forgotten_json(const struct pm_forgotten *forgotten)
{
	json_t *object = json_object();

	pm_json_put(&object, "endpoints", pm_json_count(forgotten->endpoints));
	pm_json_put_count(&object, "", forgotten->count);
	pm_json_put(&object, "at_most", pm_json_count(forgotten->at_most));
	return object;
}

static json_t *endpoints_other_json(const struct pm_endpoints_other *other)
{
	json_t *object = json_object();

	pm_json_put(&object, "endpoints", pm_json_count(other->endpoints));
	pm_json_put_count(&object, "", other->count);
	if (other->forgotten.endpoints)
		pm_json_put(&object, "forgotten", forgotten_json(&other->forgotten));
	return object;
}

static void write_endpoints(struct json_writer *w, const struct pm_record *record)
{
	if (!record->by_endpoint)
		return;
	pm_json_array_begin(w, "endpoints");
	for (size_t i = 0; i < record->n_endpoints; i++)
		pm_json_item(w, endpoint_json(&record->endpoints[i]));
	pm_json_array_end(w);
	pm_json_member(w, "endpoints_other", endpoints_other_json(&record->endpoints_other));
}

static json_t *unknown_json(const struct pm_service_row *row)
{
	json_t *object = json_object();

	put_sides(&object, row);
	return object;
}

static json_t *no_port_json(const struct pm_no_port_row *row)
{
	json_t *object = json_object();

	pm_json_put(&object, "reason", json_string(pm_verdict_name(row->reason)));
	if (row->protocol >= 0) {
		pm_json_put(&object, "protocol", json_integer(row->protocol));
		pm_json_put(&object, "name", pm_json_text(pm_protocol_name((uint8_t)row->protocol)));
	}
	pm_json_put_count(&object, "", row->count);
	return object;
}

static json_t *end_json(uint8_t ip_version, const struct pm_address *address, uint16_t port)
{
	char text[PM_ADDRESS_TEXT_SIZE];
	json_t *object = json_object();

	pm_address_text(ip_version, address, text);
	pm_json_put(&object, "address", json_string(text));
	pm_json_put(&object, "port", json_integer(port));
	return object;
}

static json_t *example_json(const struct pm_evidence *example, bool live)
{
	json_t *object = json_object();

	if (!live && example->number)
		pm_json_put(&object, "frame", pm_json_count(example->number));
	pm_json_put(&object, "time", pm_json_time(example->time_ns));
	pm_json_put(&object, "transport",
		 json_string(pm_transport_name((enum pm_transport)example->transport)));
	pm_json_put(&object, "client",
		 end_json(example->ip_version, &example->client, example->client_port));
	pm_json_put(&object, "server",
		 end_json(example->ip_version, &example->server, example->server_port));
	return object;
}

static json_t *facet_json(const struct pm_record *record, enum pm_facet facet)
{
	const struct pm_evidence *example = &record->examples[facet];
	json_t *object = json_object();

	pm_json_put(&object, "code", json_string(pm_facet_name(facet)));
	pm_json_put_count(&object, "", record->facets[facet]);
	if (example->ip_version)
		pm_json_put(&object, "example", example_json(example, record->source->live));
	return object;
}

static json_t *rules_json(const struct pm_record *record)
{
	json_t *object = json_object();

	pm_json_put(&object, "generation", pm_json_count(pm_rules_generation(record->rules)));
	pm_json_put(&object, "entries", pm_json_count(pm_rules_entries(record->rules)));
	pm_json_put(&object, "sha256", json_string(pm_rules_sha256(record->rules)));
	pm_json_put(&object, "conflicts", pm_json_count(pm_rules_conflicts(record->rules)));
	return object;
}

static json_t *given_up_json(const struct pm_given_up *given_up)
{
	json_t *object = json_object();

	if (given_up->fragment_datagrams)
		pm_json_put(&object, "fragment_datagrams", pm_json_count(given_up->fragment_datagrams));
	if (given_up->fragment_frames)
		pm_json_put(&object, "fragment_frames", pm_json_count(given_up->fragment_frames));
	if (given_up->service_ports)
		pm_json_put(&object, "service_ports", pm_json_count(given_up->service_ports));
	if (given_up->endpoints)
		pm_json_put(&object, "endpoints", pm_json_count(given_up->endpoints));
	if (given_up->handshakes)
		pm_json_put(&object, "handshakes", pm_json_count(given_up->handshakes));
	if (given_up->peers)
		pm_json_put(&object, "peers", pm_json_count(given_up->peers));
	if (given_up->watched)
		pm_json_put(&object, "watched", pm_json_count(given_up->watched));
	if (given_up->by_endpoint)
		pm_json_put(&object, "by_endpoint", pm_json_count(given_up->by_endpoint));
	return object;
}

static json_t *trouble_json(const struct pm_output_trouble *trouble)
{
	json_t *object = json_object();

	pm_json_put(&object, "errors", pm_json_count(trouble->errors));
	pm_json_put(&object, "delayed_records", pm_json_count(trouble->delayed));
	return object;
}

static void write_head(struct json_writer *w, const struct pm_record *record)
{
	const struct pm_source *source = record->source;
	const struct pm_given_up *given_up = &record->given_up;

	pm_json_member(w, "schema", json_string("portmeter.summary/1"));
	pm_json_member(w, "time", pm_json_time(record->interval.end_ns));
	if (source->sensor)
		pm_json_member(w, "sensor", pm_json_text(source->sensor));
	if (source->run)
		pm_json_member(w, "run", pm_json_text(source->run));
	pm_json_member(w, "seq", pm_json_count(record->seq));
	pm_json_member(w, "source", source_json(source));
	pm_json_member(w, "interval", interval_json(&record->interval));
	if (record->merged > 1)
		pm_json_member(w, "merged", pm_json_count(record->merged));
	pm_json_member(w, "totals", totals_json(record));
	pm_json_member(w, "capture", capture_json(record));
	if (given_up->fragment_datagrams || given_up->fragment_frames || given_up->service_ports ||
	    given_up->endpoints || given_up->handshakes || given_up->peers ||
	    given_up->watched || given_up->by_endpoint)
		pm_json_member(w, "given_up", given_up_json(given_up));
	if (record->output.errors || record->output.delayed)
		pm_json_member(w, "output", trouble_json(&record->output));
}

static int write_record(struct sink *sink, const struct pm_record *record, struct pm_error *err)
{
	struct json_writer w;

	pm_json_begin(&w, sink);
	write_head(&w, record);
	pm_json_array_begin(&w, "transports");
	for (size_t i = 0; i < record->n_transports; i++)
		pm_json_item(&w, transport_json(&record->transports[i], record->talk));
	pm_json_array_end(&w);
	write_ports(&w, record);
	write_services(&w, record);
	write_endpoints(&w, record);
	pm_json_member(&w, "unknown", unknown_json(&record->unknown));
	pm_json_array_begin(&w, "no_port");
	for (size_t i = 0; i < record->n_no_port; i++)
		pm_json_item(&w, no_port_json(&record->no_port[i]));
	pm_json_array_end(&w);
	pm_json_array_begin(&w, "facets");
	for (int f = 0; f < PM_FACET_N; f++)
		if (record->facets[f].packets)
			pm_json_item(&w, facet_json(record, (enum pm_facet)f));
	pm_json_array_end(&w);
	pm_json_member(&w, "rules", rules_json(record));
	pm_json_member(&w, "other", other_json(&record->other, record->talk));
	return pm_json_end(&w, true, err);
}

int pm_json_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	pm_record_cut(record, output->options.top, output->options.service_only);
	return write_record(&output->sink, record, err);
}

int pm_record_json(const struct pm_record *record, char **ret_text, size_t *ret_size)
{
	struct held held;
	struct sink *sink = pm_memory_open(&held);

	if (!sink)
		return PM_E_MEMORY;
	return pm_memory_close(sink, write_record(sink, record, NULL), ret_text, ret_size);
}

static json_t *source_view_json(const struct pm_source_view *view)
{
	json_t *object = json_object();

	pm_json_put(&object, "name", pm_json_text(view->name));
	pm_json_put(&object, "kind", json_string(view->live ? "live" : "file"));
	pm_json_put(&object, "records", pm_json_count(view->records));
	pm_json_put(&object, "latest",
		    view->has_latest ? pm_json_time(view->latest_ns) : json_null());
	return object;
}

int pm_sources_json(const struct pm_source_view *views, size_t n, char **ret_text, size_t *ret_size)
{
	struct held held;
	struct sink *sink = pm_memory_open(&held);
	struct json_writer w;

	if (!sink)
		return PM_E_MEMORY;
	pm_json_list_begin(&w, sink);
	for (size_t i = 0; i < n; i++)
		pm_json_item(&w, source_view_json(&views[i]));
	return pm_memory_close(sink, pm_json_list_end(&w), ret_text, ret_size);
}
