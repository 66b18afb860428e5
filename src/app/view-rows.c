/* SPDX-License-Identifier: MIT */
/* From records to the rows of a tab, filtered and sorted, and the text of their cells. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "view-parts.h"

/* As many as a record can have, and then some. */
#define NOTICES_MAX (PM_VERDICT_N + 256 + PM_FACET_N + MESSAGES + 32)

struct column {
	char letter;
	bool text; /* sorted as text, or in the order of its numbers, rising first */
	const char *title;
};

static const struct column columns[] = {
	[COLUMN_NAME] = { 'N', true, "NAME" },
	[COLUMN_TRANSPORT] = { 'R', true, "TRANSP" },
	[COLUMN_LABEL] = { 'V', true, "SERVICE" },
	[COLUMN_PORTS] = { 'O', true, "PORT" },
	[COLUMN_RANGE] = { 'G', true, "RANGE" },
	[COLUMN_BYTES] = { 'B', false, "BYTES" },
	[COLUMN_SHARE] = { 'H', false, "SHARE" },
	[COLUMN_PACKETS] = { 'K', false, "PACKETS" },
	[COLUMN_TO] = { 'T', false, "TO IT" },
	[COLUMN_FROM] = { 'F', false, "FROM IT" },
	[COLUMN_SERVED] = { 'D', false, "SERVED" },
	[COLUMN_UNKNOWN] = { 'U', false, "UNKNOWN" },
	[COLUMN_SESSIONS] = { 'E', false, "SESS" },
	[COLUMN_CLIENTS] = { 'C', false, "CLIENTS" },
	[COLUMN_BY] = { 'Y', true, "MOSTLY BY" },
	[COLUMN_TREND] = { 0, false, "TREND" },
};
_Static_assert(sizeof columns / sizeof *columns == COLUMN_N, "describe every column");

#define TAB_COLUMNS 13

static const enum view_column tabs[][TAB_COLUMNS] = {
	[TAB_SERVICES] = { COLUMN_NAME, COLUMN_TRANSPORT, COLUMN_PORTS, COLUMN_BYTES, COLUMN_SHARE,
			   COLUMN_PACKETS, COLUMN_TO, COLUMN_FROM, COLUMN_SESSIONS, COLUMN_CLIENTS,
			   COLUMN_BY, COLUMN_TREND, COLUMN_N },
	[TAB_PORTS] = { COLUMN_NAME, COLUMN_LABEL, COLUMN_RANGE, COLUMN_BYTES, COLUMN_PACKETS,
			COLUMN_TO, COLUMN_FROM, COLUMN_SERVED, COLUMN_SESSIONS, COLUMN_TREND,
			COLUMN_N },
	[TAB_TRANSPORTS] = { COLUMN_NAME, COLUMN_BYTES, COLUMN_SHARE, COLUMN_PACKETS,
			     COLUMN_UNKNOWN, COLUMN_TREND, COLUMN_N },
	[TAB_NOTICES] = { COLUMN_NAME, COLUMN_PACKETS, COLUMN_BYTES, COLUMN_N },
	[TAB_ENDPOINTS] = { COLUMN_NAME, COLUMN_TRANSPORT, COLUMN_LABEL, COLUMN_BYTES,
			    COLUMN_SHARE, COLUMN_PACKETS, COLUMN_TO, COLUMN_FROM, COLUMN_N },
};
_Static_assert(sizeof tabs / sizeof *tabs == TAB_N, "columns for every tab");

static const enum view_column ranks[][TAB_COLUMNS] = {
	[TAB_SERVICES] = { COLUMN_NAME, COLUMN_BYTES, COLUMN_PORTS, COLUMN_TRANSPORT,
			   COLUMN_SHARE, COLUMN_PACKETS, COLUMN_TO, COLUMN_FROM, COLUMN_TREND,
			   COLUMN_SESSIONS, COLUMN_CLIENTS, COLUMN_BY, COLUMN_N },
	[TAB_PORTS] = { COLUMN_NAME, COLUMN_SERVED, COLUMN_LABEL, COLUMN_BYTES, COLUMN_PACKETS,
			COLUMN_TO, COLUMN_FROM, COLUMN_TREND, COLUMN_RANGE, COLUMN_SESSIONS,
			COLUMN_N },
	[TAB_TRANSPORTS] = { COLUMN_NAME, COLUMN_BYTES, COLUMN_SHARE, COLUMN_PACKETS,
			     COLUMN_UNKNOWN, COLUMN_TREND, COLUMN_N },
	[TAB_NOTICES] = { COLUMN_NAME, COLUMN_PACKETS, COLUMN_BYTES, COLUMN_N },
	[TAB_ENDPOINTS] = { COLUMN_NAME, COLUMN_BYTES, COLUMN_LABEL, COLUMN_PACKETS, COLUMN_SHARE,
			    COLUMN_TO, COLUMN_FROM, COLUMN_TRANSPORT, COLUMN_N },
};
_Static_assert(sizeof ranks / sizeof *ranks == TAB_N, "a rank for every tab");

const enum view_column *view_columns(enum view_tab tab)
{
	return tabs[tab];
}

const enum view_column *view_columns_rank(enum view_tab tab)
{
	return ranks[tab];
}

char view_column_letter(enum view_column column)
{
	return columns[column].letter;
}

bool view_column_is_text(enum view_column column)
{
	return columns[column].text;
}

const char *view_column_title(const struct view *view, enum view_column column)
{
	if (view_adds_up(view) || view->tab == TAB_NOTICES)
		return columns[column].title;
	if (column == COLUMN_BYTES)
		return view->bytes ? "BYTE/S" : "BIT/S";
	return column == COLUMN_PACKETS ? "PKT/S" : columns[column].title;
}

const char *view_grouped(uint64_t count, char text[CELL_SIZE])
{
	char digits[CELL_SIZE];
	int length = snprintf(digits, sizeof digits, "%" PRIu64, count);
	char *to = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

const char *view_scaled(double amount, char text[CELL_SIZE])
{
	static const char prefixes[] = { ' ', 'k', 'M', 'G', 'T', 'P', 'E' };
	size_t p = 0;

	while (amount >= 999.95 && p + 1 < sizeof prefixes) {
		amount /= 1000;
		p++;
	}
	if (p)
		snprintf(text, CELL_SIZE, "%.1f%c", amount, prefixes[p]);
	else
		snprintf(text, CELL_SIZE, "%.*f", amount - (double)(uint64_t)amount < 0.05 ? 0 : 1,
			 amount);
	return text;
}

double view_seconds(const struct pm_record *record)
{
	double ns = (double)record->interval.end_ns - (double)record->interval.start_ns;

	return ns > 0 ? ns / 1e9 : 1;
}

/* What a number of packets or bytes counts in the table: per second, or in all. */
static double figure(const struct view *view, double amount)
{
	if (view_adds_up(view))
		return amount;
	return amount / view_seconds(view_shown(view));
}

static double figure_bytes(const struct view *view, uint64_t bytes)
{
	double amount = figure(view, (double)bytes);

	return view_adds_up(view) || view->bytes ? amount : amount * 8;
}

static uint64_t mix(uint64_t key, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	/* FNV-1a: rows are told apart by it, and nobody gains from two that are not. */
	for (size_t i = 0; i < n; i++)
		key = (key ^ at[i]) * UINT64_C(0x100000001b3);
	return key;
}

static uint64_t key_of(const char *name, uint8_t transport, bool has_port, uint16_t port)
{
	uint64_t key = mix(UINT64_C(0xcbf29ce484222325), &transport, sizeof transport);

	if (has_port)
		key = mix(key, &port, sizeof port);
	return name ? mix(key, name, strlen(name) + 1) : key;
}

uint64_t view_row_key(const struct view_row *row)
{
	if (row->endpoint)
		return mix(key_of(NULL, row->transport, true, row->port), &row->endpoint->address,
			   sizeof row->endpoint->address);
	return key_of(row->name, row->transport, row->has_ports && !row->name, row->port);
}

/* ---- trends -------------------------------------------------------------------------------- */

static struct trend *trend_place(struct trends *trends, uint64_t key)
{
	struct trend *oldest = NULL;

	for (size_t i = 0; i < trends->n; i++) {
		struct trend *row = &trends->rows[i];

		if (row->key == key)
			return row;
		if (!oldest || row->last < oldest->last)
			oldest = row;
	}
	if (trends->n < TRENDS_MAX)
		oldest = &trends->rows[trends->n++];
	memset(oldest, 0, sizeof *oldest);
	oldest->key = key;
	return oldest;
}

static void trend_note(struct trends *trends, uint64_t key, uint64_t bytes, double seconds)
{
	struct trend *row = trend_place(trends, key);

	row->last = trends->tick;
	row->bytes[trends->tick % TRENDS_SPAN] = (float)((double)bytes / seconds);
}

void trends_add(struct trends *trends, const struct pm_record *record)
{
	double seconds = view_seconds(record);
	uint64_t none = 0;

	trends->tick++;
	for (size_t i = 0; i < trends->n; i++)
		trends->rows[i].bytes[trends->tick % TRENDS_SPAN] = 0;
	trend_note(trends, TREND_TOTAL, record->totals.bytes, seconds);
	for (size_t i = 0; i < record->n_services && i < TRENDS_TOP; i++) {
		const struct pm_service_row *row = &record->services[i];

		trend_note(trends, key_of(row->service, row->transport, false, 0), row->count.bytes,
			   seconds);
	}
	for (size_t i = 0; i < record->n_ports && i < TRENDS_TOP; i++) {
		const struct pm_port_row *row = &record->ports[i];

		trend_note(trends, key_of(NULL, row->transport, true, row->port),
			   row->src.bytes + row->dst.bytes, seconds);
	}
	for (size_t i = 0; i < record->n_transports; i++)
		trend_note(trends,
			   key_of(NULL, (uint8_t)record->transports[i].transport, false, 0),
			   record->transports[i].count.bytes, seconds);
	for (size_t i = 0; i < record->n_no_port; i++)
		none += record->no_port[i].count.bytes;
	trend_note(trends, key_of("(unknown)", PM_TRANSPORT_N, false, 0),
		   record->unknown.count.bytes, seconds);
	trend_note(trends, key_of("(no port)", PM_TRANSPORT_N, false, 0), none, seconds);
}

const struct trend *trends_find(const struct trends *trends, uint64_t key)
{
	for (size_t i = 0; trends && i < trends->n; i++)
		if (trends->rows[i].key == key)
			return &trends->rows[i];
	return NULL;
}

/* ---- the rows of each tab ------------------------------------------------------------------ */

/* Whether @text has @part in it, capitals or not. */
static bool has(const char *text, const char *part)
{
	return text && strcasestr(text, part) != NULL;
}

/* Every text that a row could be looked for by. */
static bool passes(const struct view *view, const struct view_row *row)
{
	const char *part = view->filter;
	char text[TEXT_SIZE];

	if (!part[0] || has(row->name, part) || has(row->label, part))
		return true;
	if (row->service && has(row->service->category, part))
		return true;
	view_text(view, row, COLUMN_NAME, text);
	if (has(text, part))
		return true;
	if (row->transport < PM_TRANSPORT_N && has(pm_transport_name(row->transport), part))
		return true;
	for (size_t i = 0; row->service && i < row->service->n_ports; i++) {
		snprintf(text, sizeof text, "%s/%u", pm_transport_name(row->transport),
			 row->service->ports[i]);
		if (has(text, part))
			return true;
	}
	return false;
}

static void add_row(struct view *view, struct view_row row)
{
	struct view_row *rows = view->rows;

	view->of_rows++;
	if (!passes(view, &row))
		return;
	if (view->n_rows == view->max_rows) {
		size_t more = view->max_rows ? 2 * view->max_rows : 64;

		rows = realloc(rows, more * sizeof *rows);
		if (!rows)
			return; /* a shorter table is better than none */
		view->rows = rows;
		view->max_rows = more;
	}
	row.sort_place = view->of_rows;
	rows[view->n_rows++] = row;
}

static void add_service(struct view *view, const struct pm_service_row *service, const char *name,
			uint8_t transport)
{
	struct view_row row = {
		.name = name,
		.service = service,
		.count = service->count,
		.to = service->to_service,
		.from = service->from_service,
		.has_ways = true,
		.sessions = service->talk[PM_TALK_SESSIONS],
		.clients = service->clients.count,
		.talk = (service->talk_known & 1u << PM_TALK_SESSIONS) != 0,
		.clients_known = service->clients.known,
		.clients_estimated = service->clients.estimated,
		.transport = transport,
	};

	if (service->n_ports) {
		row.has_ports = true;
		row.port = service->ports[0];
	}
	add_row(view, row);
}

static void add_no_port(struct view *view, const struct pm_record *record)
{
	struct view_row row = { .name = "(no port)", .transport = PM_TRANSPORT_N };

	for (size_t i = 0; i < record->n_no_port; i++)
		pm_count_add(&row.count, record->no_port[i].count);
	if (row.count.packets)
		add_row(view, row);
}

static void add_services(struct view *view, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_services; i++)
		add_service(view, &record->services[i], record->services[i].service,
			    record->services[i].transport);
	if (record->unknown.count.packets)
		add_service(view, &record->unknown, "(unknown)", PM_TRANSPORT_N);
	add_no_port(view, record);
}

static void add_ports(struct view *view, const struct pm_record *record)
{
	size_t kept = 0;

	for (size_t i = 0; i < record->n_ports; i++) {
		const struct pm_port_row *port = &record->ports[i];
		struct view_row row = {
			.label = port->service,
			.count = port->src,
			.to = port->dst,
			.from = port->src,
			.part = port->as_service,
			.has_ways = true,
			.has_part = true,
			.has_ports = true,
			.sessions = port->sessions,
			.talk = port->talk,
			.port = port->port,
			.transport = port->transport,
		};

		pm_count_add(&row.count, port->dst);
		if (view->options.service_only && !port->as_service.packets)
			continue;
		if (view->options.top && kept++ >= view->options.top)
			break;
		add_row(view, row);
	}
}

static void add_transports(struct view *view, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_transports; i++) {
		const struct pm_transport_row *transport = &record->transports[i];

		add_row(view, (struct view_row){
				      .count = transport->count,
				      .part = transport->unknown,
				      .has_part = true,
				      .transport = (uint8_t)transport->transport,
			      });
	}
	add_no_port(view, record);
}

static void add_endpoints(struct view *view, const struct pm_record *record)
{
	size_t top = view->options.top ? view->options.top : PM_ENDPOINTS_TOP;

	for (size_t i = 0; i < record->n_endpoints && i < top; i++) {
		const struct pm_endpoint_row *endpoint = &record->endpoints[i];

		add_row(view, (struct view_row){
				      .label = endpoint->service,
				      .endpoint = endpoint,
				      .count = endpoint->count,
				      .to = endpoint->to_service,
				      .from = endpoint->from_service,
				      .has_ways = true,
				      .has_ports = true,
				      .port = endpoint->port,
				      .transport = endpoint->transport,
			      });
	}
}

/* ---- notices ------------------------------------------------------------------------------- */

static struct notice *add_notice(struct view *view, bool alarm)
{
	struct notice *notice;

	if (!view->notices)
		view->notices = calloc(NOTICES_MAX, sizeof *view->notices);
	if (!view->notices || view->n_notices == NOTICES_MAX)
		return NULL;
	notice = &view->notices[view->n_notices++];
	memset(notice, 0, sizeof *notice);
	notice->alarm = alarm;
	view->n_alarms += alarm;
	return notice;
}

/* A number of packets, if there are any. */
static void add_figure(struct view *view, bool alarm, const char *text, uint64_t packets)
{
	struct notice *notice = packets ? add_notice(view, alarm) : NULL;
	char count[CELL_SIZE];

	if (!notice)
		return;
	/* the number first, since a narrow screen cuts the end */
	snprintf(notice->text, sizeof notice->text, "%s %s", view_grouped(packets, count), text);
}

static void add_capture(struct view *view, const struct pm_record *record)
{
	const struct pm_capture_figures *figures = &record->capture;
	struct notice *notice;

	if (figures->dropped_kernel_known)
		add_figure(view, true, "packets dropped by kernel", figures->dropped_kernel);
	if (figures->dropped_interface_known)
		add_figure(view, true, "packets dropped by interface", figures->dropped_interface);
	if (figures->down_ns && (notice = add_notice(view, true)) != NULL)
		snprintf(notice->text, sizeof notice->text,
			 "the interface was down or gone for %.1f s", (double)figures->down_ns / 1e9);
	if (!view_adds_up(view) && record->merged > 1)
		add_figure(view, true, "intervals in one, as showing them was held up",
			   record->merged);
}

static void add_given_up(struct view *view, const struct pm_record *record)
{
	const struct pm_given_up *up = &record->given_up;
	const struct {
		const char *text;
		uint64_t n;
	} rows[] = {
		{ "fragmented datagrams given up for want of room", up->fragment_datagrams },
		{ "waiting fragments given up for want of room", up->fragment_frames },
		{ "ports of scoped services given up for want of room", up->service_ports },
		{ "learned endpoints given up for want of room", up->endpoints },
		{ "handshakes given up for want of room", up->handshakes },
		{ "services whose addresses were not told apart, for want of room", up->peers },
		{ "entries of the watch for anomalies given up for want of room", up->watched },
		{ "rows of endpoints given up for want of room", up->by_endpoint },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		add_figure(view, true, rows[i].text, rows[i].n);
}

/* "192.0.2.1:53", "[2001:db8::1]:53" */
static void end_text(uint8_t ip_version, const struct pm_address *address, uint16_t port,
		     char text[PM_ADDRESS_TEXT_SIZE + 16])
{
	char plain[PM_ADDRESS_TEXT_SIZE];

	pm_address_text(ip_version, address, plain);
	snprintf(text, PM_ADDRESS_TEXT_SIZE + 16, ip_version == 6 ? "[%s]:%u" : "%s:%u", plain, port);
}

static void add_facets(struct view *view, const struct pm_record *record)
{
	for (int f = 0; f < PM_FACET_N; f++) {
		const struct pm_evidence *example = &record->examples[f];
		char from[PM_ADDRESS_TEXT_SIZE + 16], to[PM_ADDRESS_TEXT_SIZE + 16];
		struct notice *notice =
			record->facets[f].packets ? add_notice(view, true) : NULL;

		if (!notice)
			continue;
		notice->count = record->facets[f];
		notice->counted = true;
		snprintf(notice->text, sizeof notice->text, "%s",
			 pm_facet_name((enum pm_facet)f));
		if (!example->ip_version)
			continue;
		end_text(example->ip_version, &example->client, example->client_port, from);
		end_text(example->ip_version, &example->server, example->server_port, to);
		snprintf(notice->detail, sizeof notice->detail, "; first: %s %s to %s",
			 pm_transport_name((enum pm_transport)example->transport), from, to);
	}
}

static void add_reasons(struct view *view, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_no_port; i++) {
		const struct pm_no_port_row *row = &record->no_port[i];
		struct notice *notice = add_notice(view, row->reason == PM_VERDICT_MALFORMED);
		const char *name = row->protocol >= 0 ? pm_protocol_name((uint8_t)row->protocol)
						      : NULL;

		if (!notice)
			continue;
		notice->count = row->count;
		notice->counted = true;
		if (name)
			snprintf(notice->text, sizeof notice->text, "no port: %s, %s",
				 pm_verdict_name(row->reason), name);
		else if (row->protocol >= 0)
			snprintf(notice->text, sizeof notice->text, "no port: %s, protocol %d",
				 pm_verdict_name(row->reason), row->protocol);
		else
			snprintf(notice->text, sizeof notice->text, "no port: %s",
				 pm_verdict_name(row->reason));
	}
}

static void add_facts(struct view *view, const struct pm_record *record)
{
	const struct pm_count *versions[] = { &record->ip4, &record->ip6 };
	struct notice *notice;

	for (size_t i = 0; i < 2; i++) {
		if (!versions[i]->packets || (notice = add_notice(view, false)) == NULL)
			continue;
		notice->count = *versions[i];
		notice->counted = true;
		snprintf(notice->text, sizeof notice->text, "IPv%c", i ? '6' : '4');
	}
	add_figure(view, false, "packets that came late, counted here", record->interval.late);
	add_figure(view, false, "packets captured in part, as -s says", record->snapped);
	notice = record->rules ? add_notice(view, false) : NULL;
	if (notice)
		snprintf(notice->text, sizeof notice->text,
			 "rules: %zu, generation %" PRIu64 ", %zu conflicts",
			 pm_rules_entries(record->rules), pm_rules_generation(record->rules),
			 pm_rules_conflicts(record->rules));
}

/* The last one first. */
static void add_messages(struct view *view)
{
	for (uint64_t n = view->n_messages; n > 0 && n + MESSAGES > view->n_messages; n--) {
		struct notice *notice = add_notice(view, false);

		if (notice)
			snprintf(notice->text, sizeof notice->text, "message %" PRIu64 ": %.160s", n,
				 view->messages[(n - 1) % MESSAGES]);
	}
}

/* Made whatever the tab is: the number of alarms shows in all of them. */
static void make_notices(struct view *view, const struct pm_record *record)
{
	view->n_notices = view->n_alarms = 0;
	if (record) {
		add_capture(view, record);
		add_facets(view, record);
		add_given_up(view, record);
		add_reasons(view, record);
		add_facts(view, record);
	}
	add_messages(view);
}

static void add_notices(struct view *view)
{
	for (size_t i = 0; i < view->n_notices; i++)
		add_row(view, (struct view_row){
				      .name = view->notices[i].text,
				      .notice = &view->notices[i],
				      .count = view->notices[i].count,
				      .transport = PM_TRANSPORT_N,
			      });
}

/* ---- sorting ------------------------------------------------------------------------------- */

static const char *rung_of(const struct pm_service_row *row)
{
	int most = PM_RUNG_UNKNOWN;

	for (int rung = 0; rung < PM_RUNG_N; rung++)
		if (row->side_by[rung] > row->side_by[most])
			most = rung;
	return pm_rung_name((enum pm_rung)most);
}

static const char *sort_text(const struct view_row *row, enum view_column column)
{
	switch (column) {
	case COLUMN_NAME:
		return row->name;
	case COLUMN_LABEL:
		return row->label ? row->label : "";
	case COLUMN_TRANSPORT:
		return row->transport < PM_TRANSPORT_N ? pm_transport_name(row->transport) : "";
	case COLUMN_BY:
		return row->service ? rung_of(row->service) : "";
	default:
		return NULL;
	}
}

static double sort_value(const struct view_row *row, enum view_column column)
{
	switch (column) {
	case COLUMN_NAME:
		return row->endpoint ? row->endpoint->ip_version
				     : row->transport * (double)PM_PORTS + row->port;
	case COLUMN_PORTS:
	case COLUMN_RANGE:
		return row->has_ports ? row->port : -1;
	case COLUMN_BYTES:
	case COLUMN_SHARE:
		return (double)row->count.bytes;
	case COLUMN_PACKETS:
		return (double)row->count.packets;
	case COLUMN_TO:
		return row->has_ways ? (double)row->to.bytes : -1;
	case COLUMN_FROM:
		return row->has_ways ? (double)row->from.bytes : -1;
	case COLUMN_SERVED:
	case COLUMN_UNKNOWN:
		return row->has_part ? (double)row->part.bytes : -1;
	case COLUMN_SESSIONS:
		return row->talk ? (double)row->sessions : -1;
	case COLUMN_CLIENTS:
		return row->clients_known ? (double)row->clients : -1;
	default:
		return 0;
	}
}

static int compare(const void *left, const void *right)
{
	const struct view_row *a = left, *b = right;
	int order = 0;

	if (a->sort_text && b->sort_text)
		order = strcasecmp(a->sort_text, b->sort_text);
	if (!order)
		order = (a->sort_value > b->sort_value) - (a->sort_value < b->sort_value);
	if (!order && a->endpoint && b->endpoint && a->sort_value != 0)
		order = memcmp(&a->endpoint->address, &b->endpoint->address,
			       sizeof a->endpoint->address);
	if (order)
		return order * a->sort_sign;
	return a->sort_place < b->sort_place ? -1 : 1;
}

static void sort(struct view *view)
{
	const struct view_sort *by = &view->sort[view->tab];

	for (size_t i = 0; i < view->n_rows; i++) {
		struct view_row *row = &view->rows[i];

		row->sort_text = sort_text(row, by->column);
		row->sort_value = sort_value(row, by->column);
		row->sort_sign = by->falling ? -1 : 1;
	}
	if (view->n_rows > 1)
		qsort(view->rows, view->n_rows, sizeof *view->rows, compare);
}

void view_rows(struct view *view)
{
	const struct pm_record *record = view_shown(view);

	if (!view->stale)
		return;
	view->stale = false;
	view->n_rows = view->of_rows = 0;
	make_notices(view, record);
	if (view->tab == TAB_NOTICES)
		add_notices(view);
	else if (record && view->tab == TAB_SERVICES)
		add_services(view, record);
	else if (record && view->tab == TAB_PORTS)
		add_ports(view, record);
	else if (record && view->tab == TAB_TRANSPORTS)
		add_transports(view, record);
	else if (record && view->tab == TAB_ENDPOINTS)
		add_endpoints(view, record);
	sort(view);
}

/* ---- cells --------------------------------------------------------------------------------- */

static void name_text(const struct view_row *row, char text[TEXT_SIZE])
{
	if (row->notice)
		snprintf(text, TEXT_SIZE, "%c %s", row->notice->alarm ? '!' : ' ', row->name);
	else if (row->endpoint)
		end_text(row->endpoint->ip_version, &row->endpoint->address, row->port, text);
	else if (row->name)
		snprintf(text, TEXT_SIZE, "%s", row->name);
	else if (row->has_ports)
		snprintf(text, TEXT_SIZE, "%s/%u", pm_transport_name(row->transport), row->port);
	else
		snprintf(text, TEXT_SIZE, "%s", pm_transport_name(row->transport));
}

static void ports_text(const struct view_row *row, char text[TEXT_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; row->service && i < row->service->n_ports && n < 64; i++)
		n += (size_t)snprintf(text + n, TEXT_SIZE - n, "%s%u", i ? " " : "",
				      row->service->ports[i]);
}

static void count_text(const struct view *view, const struct view_row *row, bool bytes,
		       char text[TEXT_SIZE])
{
	uint64_t amount = bytes ? row->count.bytes : row->count.packets;
	char cell[CELL_SIZE];

	if (row->notice && row->notice->counted)
		snprintf(text, TEXT_SIZE, "%s", view_grouped(amount, cell));
	else if (!row->notice)
		snprintf(text, TEXT_SIZE, "%s",
			 view_scaled(bytes ? figure_bytes(view, amount)
					   : figure(view, (double)amount),
				     cell));
}

static void bytes_text(const struct view *view, bool known, const struct pm_count *count,
		       char text[TEXT_SIZE])
{
	char cell[CELL_SIZE];

	snprintf(text, TEXT_SIZE, "%s",
		 known ? view_scaled(figure_bytes(view, count->bytes), cell) : "-");
}

static void clients_text(const struct view_row *row, char text[TEXT_SIZE])
{
	char cell[CELL_SIZE];

	snprintf(text, TEXT_SIZE, "%s%s", row->clients_estimated ? "~" : "",
		 row->clients_known ? view_scaled((double)row->clients, cell) : "-");
}

static double share_of(const struct view *view, const struct view_row *row)
{
	const struct pm_record *record = view_shown(view);

	return record->totals.bytes ? (double)row->count.bytes / (double)record->totals.bytes : 0;
}

void view_text(const struct view *view, const struct view_row *row, enum view_column column,
	       char text[TEXT_SIZE])
{
	char cell[CELL_SIZE];

	text[0] = '\0';
	switch (column) {
	case COLUMN_NAME:
		name_text(row, text);
		break;
	case COLUMN_TRANSPORT:
	case COLUMN_LABEL:
	case COLUMN_BY:
		snprintf(text, TEXT_SIZE, "%s", sort_text(row, column));
		if (column == COLUMN_LABEL && !row->label)
			snprintf(text, TEXT_SIZE, "-");
		break;
	case COLUMN_PORTS:
		ports_text(row, text);
		break;
	case COLUMN_RANGE:
		snprintf(text, TEXT_SIZE, "%s", pm_range_name(pm_range_of(row->port)));
		break;
	case COLUMN_BYTES:
	case COLUMN_PACKETS:
		count_text(view, row, column == COLUMN_BYTES, text);
		break;
	case COLUMN_SHARE:
		snprintf(text, TEXT_SIZE, "%.1f%%", 100 * share_of(view, row));
		break;
	case COLUMN_TO:
		bytes_text(view, row->has_ways, &row->to, text);
		break;
	case COLUMN_FROM:
		bytes_text(view, row->has_ways, &row->from, text);
		break;
	case COLUMN_SERVED:
	case COLUMN_UNKNOWN:
		bytes_text(view, row->has_part, &row->part, text);
		break;
	case COLUMN_SESSIONS:
		snprintf(text, TEXT_SIZE, "%s",
			 row->talk ? view_scaled((double)row->sessions, cell) : "-");
		break;
	case COLUMN_CLIENTS:
		clients_text(row, text);
		break;
	case COLUMN_TREND:
	case COLUMN_N:
		break;
	}
}

/* Appends to a text that may be full. */
static void append(char text[TEXT_SIZE], const char *format, ...) PM_PRINTF(2, 3);

static void append(char text[TEXT_SIZE], const char *format, ...)
{
	size_t n = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, TEXT_SIZE - n, format, args);
	va_end(args);
}

static void append_count(char text[TEXT_SIZE], const char *before, const struct pm_count *count)
{
	char packets[CELL_SIZE], bytes[CELL_SIZE];

	append(text, "%s %s packets %s B", before, view_grouped(count->packets, packets),
	       view_grouped(count->bytes, bytes));
}

static void append_talk(char text[TEXT_SIZE], const struct view_row *row)
{
	char cell[CELL_SIZE];

	if (row->talk)
		append(text, "; %s sessions", view_grouped(row->sessions, cell));
	if (row->clients_known)
		append(text, ", %s%s clients", row->clients_estimated ? "~" : "",
		       view_grouped(row->clients, cell));
}

void view_detail(const struct view_row *row, char text[TEXT_SIZE])
{
	const struct pm_service_row *service = row->service;

	name_text(row, text);
	if (service && row->transport < PM_TRANSPORT_N)
		append(text, "/%s", pm_transport_name(row->transport));
	if (!row->notice || row->notice->counted || *row->notice->detail)
		append(text, ":");
	if (!row->notice || row->notice->counted)
		append_count(text, "", &row->count);
	if (row->has_ways) {
		append_count(text, "; to", &row->to);
		append_count(text, "; from", &row->from);
	}
	append_talk(text, row);
	if (service)
		append(text, "; mostly by %s%s%s", rung_of(service),
		       service->category ? "; category " : "",
		       service->category ? service->category : "");
	if (row->notice)
		append(text, "%s", row->notice->detail);
}
