/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_OUTPUT_JSON_H
#define PORTMETER_OUTPUT_JSON_H

#include <jansson.h>

#include "output-internal.h"

/*
 * A JSON document written piece by piece, so that a record of all ports never stands in memory:
 * jansson writes every value, this only the brackets and commas between them.
 */
struct json_writer {
	struct sink *sink;
	bool comma;  /* something stands before in the open bracket */
	bool failed; /* a value could not be made: memory is short */
};

void pm_json_begin(struct json_writer *w, struct sink *sink);
/* A member with its value, which is consumed; NULL marks the document as failed. */
void pm_json_member(struct json_writer *w, const char *key, json_t *value);
void pm_json_array_begin(struct json_writer *w, const char *key);
void pm_json_item(struct json_writer *w, json_t *value);
/* The text, or the first part of it, of an item that is JSON already. */
void pm_json_item_text(struct json_writer *w, const char *text, size_t size);
void pm_json_array_end(struct json_writer *w);
/*
 * Ends the document and its line, and flushes with @flush. PM_E_MEMORY, PM_E_IO with @err filled,
 * or 0.
 */
int pm_json_end(struct json_writer *w, bool flush, struct pm_error *err);

/* A document that is an array, of items. */
void pm_json_list_begin(struct json_writer *w, struct sink *sink);
/* Ends it and its line. PM_E_MEMORY or 0. */
int pm_json_list_end(struct json_writer *w);

/*
 * A string; bytes that are not UTF-8 (a file's name may have them) become U+FFFD. NULL gives null.
 */
json_t *pm_json_text(const char *text);
json_t *pm_json_count(uint64_t count);
json_t *pm_json_known(bool known, uint64_t count);
json_t *pm_json_time(int64_t time_ns);
json_t *pm_json_seconds(const struct pm_interval *interval);
/* Adds packets and bytes to @object, with @prefix before the names. */
void pm_json_put_count(json_t **object, const char *prefix, struct pm_count count);
/* {"packets":..,"bytes":..} */
json_t *pm_json_pair(struct pm_count count);
/*
 * Adds a member, whose value is consumed. When memory is short, *@object becomes NULL, and stays
 * so.
 */
void pm_json_put(json_t **object, const char *key, json_t *value);
json_t *pm_json_side_by(const uint64_t side_by[PM_RUNG_N]);
json_t *pm_json_ports(const struct pm_service_row *row);

/* What is known of a service's conversations, member by member. */
struct talk_member {
	const char *key;
	uint64_t count;
	bool truth; /* its value is true and no number */
};

#define TALK_MEMBERS_MAX (PM_TALK_N + 4)
/* Returns how many there are. */
size_t pm_json_talk(const struct pm_service_row *row, struct talk_member members[TALK_MEMBERS_MAX]);
json_t *pm_json_talk_value(const struct talk_member *member);

#endif
