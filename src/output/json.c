/* SPDX-License-Identifier: MIT */
/* Streaming JSON and the values that several formats share. */
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* 15 digits give decimal fractions back as they were written: 0.1, not 0.10000000000000001. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

static int on_dump(const char *bytes, size_t size, void *ctx)
{
	pm_sink_write(ctx, bytes, size);
	return 0;
}

/* What could not be built is NULL: see pm_json_put. */
static void write_value(struct json_writer *w, json_t *value)
{
	if (!value || json_dump_callback(value, on_dump, w->sink, DUMP_FLAGS) < 0)
		w->failed = true;
	json_decref(value);
}

static void separate(struct json_writer *w)
{
	if (w->comma)
		pm_sink_write(w->sink, ",", 1);
	w->comma = true;
}

static void write_key(struct json_writer *w, const char *key)
{
	separate(w);
	write_value(w, json_string(key));
	pm_sink_write(w->sink, ":", 1);
}

void pm_json_begin(struct json_writer *w, struct sink *sink)
{
	*w = (struct json_writer){ .sink = sink };
	pm_sink_write(sink, "{", 1);
}

void pm_json_member(struct json_writer *w, const char *key, json_t *value)
{
	write_key(w, key);
	write_value(w, value);
}

void pm_json_array_begin(struct json_writer *w, const char *key)
{
	write_key(w, key);
	pm_sink_write(w->sink, "[", 1);
	w->comma = false;
}

void pm_json_item(struct json_writer *w, json_t *value)
{
	separate(w);
	write_value(w, value);
}

void pm_json_item_text(struct json_writer *w, const char *text, size_t size)
{
	separate(w);
	pm_sink_write(w->sink, text, size);
}

void pm_json_array_end(struct json_writer *w)
{
	pm_sink_write(w->sink, "]", 1);
	w->comma = true;
}

int pm_json_end(struct json_writer *w, bool flush, struct pm_error *err)
{
	pm_sink_write(w->sink, "}\n", 2);
	if (w->failed)
		return PM_E_MEMORY;
	return flush || w->sink->error ? pm_sink_check(w->sink, err) : PM_OK;
}

void pm_json_list_begin(struct json_writer *w, struct sink *sink)
{
	*w = (struct json_writer){ .sink = sink };
	pm_sink_write(sink, "[", 1);
}

int pm_json_list_end(struct json_writer *w)
{
	pm_sink_write(w->sink, "]\n", 2);
	return w->failed ? PM_E_MEMORY : PM_OK;
}

static json_t *repaired(const char *text)
{
	char *copy = pm_utf8_repaired(text);
	json_t *value = copy ? json_string(copy) : NULL;

	free(copy);
	return value;
}

json_t *pm_json_text(const char *text)
{
	json_t *value;

	if (!text)
		return json_null();
	value = json_string(text);
	return value ? value : repaired(text);
}

json_t *pm_json_count(uint64_t count)
{
	return json_integer((json_int_t)count);
}

json_t *pm_json_known(bool known, uint64_t count)
{
	return known ? pm_json_count(count) : json_null();
}

json_t *pm_json_time(int64_t time_ns)
{
	char text[PM_TIME_TEXT_SIZE];

	pm_time_text(time_ns, text);
	return json_string(text);
}

json_t *pm_json_seconds(const struct pm_interval *interval)
{
	int64_t seconds = interval->end_ns / PM_NS_PER_S - interval->start_ns / PM_NS_PER_S;
	int64_t rest = interval->end_ns % PM_NS_PER_S - interval->start_ns % PM_NS_PER_S;

	return json_real((double)seconds + (double)rest / 1e9);
}

void pm_json_put(json_t **object, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(*object, key, value) == 0)
		return;
	json_decref(*object);
	*object = NULL;
}

void pm_json_put_count(json_t **object, const char *prefix, struct pm_count count)
{
	char key[64];

	snprintf(key, sizeof key, "%spackets", prefix);
	pm_json_put(object, key, pm_json_count(count.packets));
	snprintf(key, sizeof key, "%sbytes", prefix);
	pm_json_put(object, key, pm_json_count(count.bytes));
}

json_t *pm_json_pair(struct pm_count count)
{
	json_t *pair = json_object();

	pm_json_put_count(&pair, "", count);
	return pair;
}

json_t *pm_json_side_by(const uint64_t side_by[PM_RUNG_N])
{
	json_t *object = json_object();

	for (int rung = 0; rung < PM_RUNG_N; rung++)
		if (side_by[rung])
			pm_json_put(&object, pm_rung_name((enum pm_rung)rung),
				    pm_json_count(side_by[rung]));
	return object;
}

json_t *pm_json_ports(const struct pm_service_row *row)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < row->n_ports; i++)
		if (json_array_append_new(ports, json_integer(row->ports[i])) < 0) {
			json_decref(ports);
			return NULL;
		}
	return ports;
}

static size_t put_distinct(struct talk_member *members, const struct pm_distinct *distinct,
			   const char *key, const char *estimated)
{
	if (!distinct->known)
		return 0;
	members[0] = (struct talk_member){ key, distinct->count, false };
	if (!distinct->estimated)
		return 1;
	members[1] = (struct talk_member){ estimated, 0, true };
	return 2;
}

size_t pm_json_talk(const struct pm_service_row *row, struct talk_member members[TALK_MEMBERS_MAX])
{
	size_t n = 0;

	for (int figure = 0; figure < PM_TALK_N; figure++) {
		if (row->talk_known >> figure & 1)
			members[n++] = (struct talk_member){
				pm_talk_name((enum pm_talk_figure)figure), row->talk[figure], false
			};
		if (figure != PM_TALK_SESSIONS)
			continue;
		n += put_distinct(&members[n], &row->clients, "clients", "clients_estimated");
		n += put_distinct(&members[n], &row->servers, "servers", "servers_estimated");
	}
	return n;
}

json_t *pm_json_talk_value(const struct talk_member *member)
{
	return member->truth ? json_true() : pm_json_count(member->count);
}
