/* SPDX-License-Identifier: MIT */
/* Why a port has its label: every rule that covers it, in the order of precedence. */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

enum pm_reason pm_rule_reason(const struct pm_rule *winner, const struct pm_rule *loser)
{
	if (winner->priority != loser->priority)
		return PM_REASON_PRIORITY;
	if (winner->high - winner->low != loser->high - loser->low)
		return PM_REASON_WIDTH;
	return winner->file != loser->file ? PM_REASON_FILE : PM_REASON_LINE;
}

struct question {
	const struct pm_rules *rules;
	unsigned transport;
	uint16_t port;
	int ip_version;
	const struct pm_address *address;
};

static const struct pm_host *rule_host(const struct question *q, const struct pm_rule *rule)
{
	return rule->host ? &q->rules->list.hosts[rule->host - 1] : NULL;
}

static int rule_prefix(const struct question *q, const struct pm_rule *rule)
{
	return rule->host ? rule_host(q, rule)->prefix : -1;
}

static bool covers(const struct question *q, const struct pm_rule *rule)
{
	return rule->transports >> q->transport & 1u && rule->low <= q->port &&
	       q->port <= rule->high;
}

static bool holds(const struct question *q, const struct pm_rule *rule)
{
	return !rule->host || (q->address &&
			       pm_host_holds(rule_host(q, rule), q->ip_version, q->address));
}

static void view_rule(const struct question *q, const struct pm_rule *rule,
		      const struct pm_rule *winner, pm_rule_view_fn *view, void *ctx)
{
	const struct pm_list *list = &q->rules->list;
	const char *aliases = pm_strings_at(&list->aliases, rule->aliases);
	struct pm_rule_view shown = {
		.name = pm_strings_at(&list->names, rule->name),
		.category = pm_strings_at(&list->categories, rule->category),
		.aliases = aliases ? aliases : "",
		.file = pm_strings_at(&list->files, rule->file),
		.line = (int)rule->line,
		.low = rule->low,
		.high = rule->high,
		.priority = rule->priority,
		.initiates = rule->flags & PM_LABEL_INITIATES,
		.metric = rule->flags & PM_LABEL_METRIC,
		.prefix = rule_prefix(q, rule),
	};

	if (rule->host)
		pm_host_text(rule_host(q, rule), shown.host);
	if (!holds(q, rule))
		shown.reason = PM_REASON_HOST;
	else if (rule == winner)
		shown.reason = PM_REASON_WINS;
	else if (shown.prefix != rule_prefix(q, winner))
		shown.reason = PM_REASON_SCOPE;
	else
		shown.reason = pm_rule_reason(winner, rule);
	view(ctx, &shown);
}

int pm_rules_explain(const struct pm_rules *rules, enum pm_transport transport, uint16_t port,
		     int ip_version, const struct pm_address *address, pm_rule_view_fn *view,
		     void *ctx)
{
	const struct question q = { rules, transport, port, ip_version, address };
	const struct pm_list *list = &rules->list;
	uint64_t *keys = malloc((list->n * 2 + 1) * sizeof *keys);
	size_t n = 0;

	if (!keys)
		return PM_E_MEMORY;
	for (size_t i = 0; i < list->n; i++) {
		const struct pm_rule *rule = &list->rules[rules->order[i]];

		if (!covers(&q, rule))
			continue;
		/* What does not hold comes last; long prefixes first; the order within a scope. */
		keys[n++] = (uint64_t)!holds(&q, rule) << 40 |
			    (uint64_t)(128 - rule_prefix(&q, rule)) << 32 | i;
	}
	pm_sort(keys, keys + list->n, n, 32);
	for (size_t i = 0; i < n; i++)
		view_rule(&q, &list->rules[rules->order[(uint32_t)keys[i]]],
			  &list->rules[rules->order[(uint32_t)keys[0]]], view, ctx);
	free(keys);
	return 0;
}

/* Decimal digits up to 65535. */
static bool read_port(const char *text, size_t size, uint16_t *ret_port)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text[i] - '0');
		if (value > 65535)
			return false;
	}
	*ret_port = (uint16_t)value;
	return size > 0;
}

int pm_rules_query(const char *text, struct pm_error *err, enum pm_transport *ret_transport,
		   uint16_t *ret_port, int *ret_ip_version, struct pm_address *ret_address)
{
	size_t name = strcspn(text, "/"), digits;
	struct pm_address address = { { 0 } };
	char quoted[PM_QUOTE_SIZE];
	enum pm_transport transport;
	const char *rest;
	uint16_t port;
	int version = 0;

	pm_quote(text, strlen(text), quoted);
	if (text[name] == '\0')
		return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
				    "\"%s\" is not transport/port or transport/port@address", quoted);
	if (!pm_transport_find(text, name, &transport))
		return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
				    "\"%s\" has an unknown transport", quoted);
	rest = text + name + 1;
	digits = strcspn(rest, "@");
	if (!read_port(rest, digits, &port))
		return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
				    "\"%s\" has no port from 0 to 65535", quoted);
	if (rest[digits] == '@' && !pm_address_parse(rest + digits + 1, strlen(rest + digits + 1),
						     &version, &address))
		return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
				    "\"%s\" has no address behind the @", quoted);
	*ret_transport = transport;
	*ret_port = port;
	*ret_ip_version = version;
	*ret_address = address;
	return 0;
}
