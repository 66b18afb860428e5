/* SPDX-License-Identifier: MIT */
/* Which answer a request gets: a table of paths, and what is asked before it is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

#include "server.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define ALLOWED "GET, HEAD, OPTIONS"

/* What may be loaded by the page: its own files. OWASP's list of headers, and nothing inline. */
static const char *const headers[][2] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	  "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
	{ "X-Frame-Options", "DENY" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
};

struct request {
	struct pm_web *web;
	struct MHD_Connection *connection;
	const char *path, *method, *version;
	const char *host; /* NULL: it names none */
};

struct answer {
	unsigned status;
	const char *type, *cache;
};

/* ---- sending ------------------------------------------------------------------------------- */

static void add(struct MHD_Response *response, const char *name, const char *value)
{
	/* It fails where memory is short, or a value has what it must not: neither is said. */
	(void)pm_mhd()->MHD_add_response_header(response, name, value);
}

/* @response, which is consumed; NULL: memory is short, and the connection ends. */
static enum MHD_Result send_response(const struct request *request, struct MHD_Response *response,
				     const struct answer *answer)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		add(response, headers[i][0], headers[i][1]);
	if (answer->type)
		add(response, "Content-Type", answer->type);
	add(response, "Cache-Control", answer->cache ? answer->cache : "no-store");
	r = pm_mhd()->MHD_queue_response(request->connection, answer->status, response);
	pm_mhd()->MHD_destroy_response(response);
	return r;
}

static struct MHD_Response *from_text(const char *text, size_t size)
{
	/* The library takes it as void * and, copying it, leaves it alone. */
	union {
		const char *in;
		void *out;
	} bytes = { .in = text };

	return pm_mhd()->MHD_create_response_from_buffer(size, bytes.out, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result send_line(const struct request *request, unsigned status, const char *line)
{
	const struct answer answer = { .status = status, .type = TEXT };
	struct MHD_Response *response;
	char text[512];

	snprintf(text, sizeof text, "%s\n", line);
	response = from_text(text, strlen(text));
	if (!response)
		return MHD_NO;
	request->web->counts.refused += status >= 400;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED || status == MHD_HTTP_NO_CONTENT)
		add(response, "Allow", ALLOWED);
	if (status == MHD_HTTP_UNAUTHORIZED)
		add(response, "WWW-Authenticate", "Basic realm=\"portmeter\", charset=\"UTF-8\"");
	return send_response(request, response, &answer);
}

/* Takes over @text. */
static enum MHD_Result send_text(const struct request *request, const char *type, char *text,
				 size_t size)
{
	const struct answer answer = { .status = MHD_HTTP_OK, .type = type };
	struct MHD_Response *response =
		pm_mhd()->MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);

	if (!response)
		free(text);
	return send_response(request, response, &answer);
}

/* ---- what is asked for --------------------------------------------------------------------- */

static const char *header(const struct request *request, const char *name)
{
	return pm_mhd()->MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static const char *argument(const struct request *request, const char *name)
{
	return pm_mhd()->MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND,
						     name);
}

/* Arguments that paths of records take. What is misspelt must not be passed over in silence. */
struct wanted {
	const struct web_source *source; /* NULL: all */
	bool since_given;
	int64_t since_ns;
	uint64_t limit;    /* UINT64_MAX: none */
	const char *wrong; /* what to say; NULL: nothing is */
	unsigned status;
};

static enum MHD_Result check_argument(void *ctx, enum MHD_ValueKind kind, const char *name,
				      const char *value)
{
	static const char *const known[] = { "source", "since", "limit" };
	struct wanted *wanted = ctx;

	(void)kind;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (value && strcmp(name, known[i]) == 0)
			return MHD_YES;
	wanted->wrong = "no such argument, or one without =; there are source, since and limit";
	return MHD_NO;
}

static bool wants(const struct request *request, struct wanted *ret_wanted)
{
	const char *source = argument(request, "source"), *since = argument(request, "since"),
		   *limit = argument(request, "limit");
	struct wanted *wanted = ret_wanted;

	*wanted = (struct wanted){
		.since_ns = PM_TIME_MIN, .limit = UINT64_MAX, .status = MHD_HTTP_BAD_REQUEST
	};
	pm_mhd()->MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND,
					    check_argument, wanted);
	wanted->since_given = since != NULL;
	if (since && !pm_web_time_parse(since, &wanted->since_ns))
		wanted->wrong = "since: must be a time such as 2026-11-22T06:30:10Z, or seconds since 1970";
	else if (limit && !pm_web_number_parse(limit, &wanted->limit))
		wanted->wrong = "limit: must be a number of records, from 1";
	if (!wanted->wrong && source) {
		wanted->source = pm_web_history_find(&request->web->history, source);
		if (!wanted->source) {
			wanted->status = MHD_HTTP_NOT_FOUND;
			wanted->wrong = "source: there is none of that name; /api/sources has all";
		}
	}
	return !wanted->wrong;
}

/* ---- answers ------------------------------------------------------------------------------- */

static enum MHD_Result answer_stream(const struct request *request,
				     const struct stream_options *options)
{
	const struct answer answer = {
		.status = MHD_HTTP_OK,
		.type = options->kind == STREAM_EVENTS ? "text/event-stream" : JSON,
	};
	struct MHD_Response *response =
		pm_web_stream_new(request->web, request->connection, options);

	/* A proxy that collects what it passes on would hold events back. */
	if (response && options->kind == STREAM_EVENTS)
		add(response, "X-Accel-Buffering", "no");
	return send_response(request, response, &answer);
}

static enum MHD_Result answer_summary(const struct request *request)
{
	struct stream_options options = { .kind = STREAM_ONE };
	struct wanted wanted;

	if (!wants(request, &wanted))
		return send_line(request, wanted.status, wanted.wrong);
	options.one = pm_web_history_latest(&request->web->history, wanted.source);
	if (!options.one)
		return send_line(request, MHD_HTTP_NOT_FOUND,
				 "there is no record yet: the first comes when an interval closes");
	if (wanted.since_given && options.one->time_ns <= wanted.since_ns) {
		pm_web_record_release(options.one);
		return send_line(request, MHD_HTTP_NOT_FOUND, "there is no later record");
	}
	return answer_stream(request, &options);
}

static enum MHD_Result answer_summaries(const struct request *request)
{
	struct history *history = &request->web->history;
	struct stream_options options = { .kind = STREAM_ARRAY };
	struct wanted wanted;

	if (!wants(request, &wanted))
		return send_line(request, wanted.status, wanted.wrong);
	options.source = wanted.source;
	options.after_ns = wanted.since_ns;
	options.end = pm_web_history_end(history);
	options.number = pm_web_history_since(history, wanted.source, wanted.since_ns);
	options.number = pm_web_history_limit(history, wanted.source, options.number, options.end,
					      wanted.limit);
	return answer_stream(request, &options);
}

/* Where a watcher goes on that was here before. */
static void resume_at(const struct request *request, const char *last, struct stream_options *ret)
{
	struct history *history = &request->web->history;
	uint64_t run, number;

	if (pm_web_id_parse(last, &run, &number) && run == request->web->run &&
	    number < pm_web_history_end(history)) {
		ret->number = number + 1;
		return;
	}
	/* Of another run: all that there is is new, and what came before that is not here. */
	ret->number = 1;
	ret->gap = true;
}

static enum MHD_Result answer_events(const struct request *request)
{
	struct history *history = &request->web->history;
	struct stream_options options = { .kind = STREAM_EVENTS, .after_ns = PM_TIME_MIN };
	const char *last = header(request, "Last-Event-ID");
	struct wanted wanted;

	if (!wants(request, &wanted))
		return send_line(request, wanted.status, wanted.wrong);
	options.source = wanted.source;
	options.number = options.end = pm_web_history_end(history);
	if (last && *last) {
		resume_at(request, last, &options);
	} else if (wanted.since_given) {
		options.number = pm_web_history_since(history, wanted.source, wanted.since_ns);
		options.after_ns = wanted.since_ns;
	}
	return answer_stream(request, &options);
}

static enum MHD_Result answer_sources(const struct request *request)
{
	struct history *history = &request->web->history;
	struct pm_source_view *views;
	size_t n = 0, i = 0, size = 0;
	char *text = NULL;
	int r = PM_E_MEMORY;

	pthread_mutex_lock(&history->lock);
	for (const struct web_source *source = history->sources; source; source = source->next)
		n++;
	views = calloc(n + 1, sizeof *views);
	for (const struct web_source *source = history->sources; views && source;
	     source = source->next)
		views[i++] = (struct pm_source_view){
			.name = source->name,
			.live = source->live,
			.records = source->records,
			.has_latest = source->latest != NULL,
			.latest_ns = source->latest ? source->latest->time_ns : 0,
		};
	pthread_mutex_unlock(&history->lock);
	if (views)
		r = pm_sources_json(views, n, &text, &size);
	free(views);
	return r < 0 ? MHD_NO : send_text(request, JSON, text, size);
}

static enum MHD_Result answer_health(const struct request *request)
{
	const struct pm_web_options *options = &request->web->options;
	char why[256] = "";

	if (!options->healthy || options->healthy(options->ctx, why, sizeof why))
		return send_line(request, MHD_HTTP_OK, "ok");
	return send_line(request, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

/* Counters of the server itself, behind those of the records. */
static size_t own_metrics(const struct pm_web *web, char *text, size_t size)
{
	const struct server_counts *counts = &web->counts;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (size_t)snprintf(
		text, size,
		"# HELP portmeter_http_requests_total Requests that were answered.\n"
		"# TYPE portmeter_http_requests_total counter\n"
		"portmeter_http_requests_total %llu\n"
		"# HELP portmeter_http_refused_total Requests that were answered with an error.\n"
		"# TYPE portmeter_http_refused_total counter\n"
		"portmeter_http_refused_total %llu\n"
		"# HELP portmeter_http_cut_total Connections that were too slow, and cut off.\n"
		"# TYPE portmeter_http_cut_total counter\n"
		"portmeter_http_cut_total %llu\n"
		"# HELP portmeter_http_connections Connections that are open.\n"
		"# TYPE portmeter_http_connections gauge\n"
		"portmeter_http_connections %u\n"
		"# HELP portmeter_http_watchers Connections that are sent each record as it comes.\n"
		"# TYPE portmeter_http_watchers gauge\n"
		"portmeter_http_watchers %u\n"
		"# HELP process_cpu_seconds_total Processor time that the program has taken.\n"
		"# TYPE process_cpu_seconds_total counter\n"
		"process_cpu_seconds_total %.2f\n",
		(unsigned long long)counts->requests, (unsigned long long)counts->refused,
		(unsigned long long)counts->closed, counts->connections, counts->watchers,
		(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static enum MHD_Result answer_metrics(const struct request *request)
{
	char own[2048], *text = NULL, *more;
	size_t size = 0, n = own_metrics(request->web, own, sizeof own);

	if (pm_metrics_text(request->web->options.metrics, &text, &size) < 0)
		return MHD_NO;
	more = realloc(text, size + n);
	if (!more) {
		free(text);
		return MHD_NO;
	}
	memcpy(more + size, own, n);
	return send_text(request, "text/plain; version=0.0.4; charset=utf-8", more, size + n);
}

#define ETAG_SIZE 32

/* Something that stays the same: asked for again, it need not be sent again. */
static enum MHD_Result send_file(const struct request *request, const struct page_file *file)
{
	const struct answer answer = { MHD_HTTP_OK, file->type, "no-cache" };
	const struct answer same = { MHD_HTTP_NOT_MODIFIED, NULL, "no-cache" };
	const char *listed = header(request, "If-None-Match"),
		   *accepted = header(request, "Accept-Encoding");
	bool packed = file->gzip && accepted && pm_web_accepts(accepted, "gzip");
	char etag[ETAG_SIZE];
	bool is_same;
	union {
		const unsigned char *in;
		void *out;
	} bytes = { .in = packed ? file->gzip : file->plain };
	struct MHD_Response *response;

	/* Each of both forms has a tag of its own (RFC 9110, section 8.8.3.3). */
	snprintf(etag, sizeof etag, "%.*s%s\"", (int)strlen(file->etag) - 1, file->etag,
		 packed ? "-gzip" : "");
	is_same = listed && pm_web_etag_listed(listed, etag);
	response = pm_mhd()->MHD_create_response_from_buffer(
		is_same ? 0 : packed ? file->gzip_size
				     : file->plain_size,
		bytes.out,
		MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	add(response, "ETag", etag);
	add(response, "Vary", "Accept-Encoding");
	if (packed && !is_same)
		add(response, "Content-Encoding", "gzip");
	return send_response(request, response, is_same ? &same : &answer);
}

static enum MHD_Result answer_schema(const struct request *request)
{
	const struct pm_web *web = request->web;
	const struct page_file file = {
		.path = "/schema",
		.type = "application/schema+json",
		.etag = web->schema_etag,
		.plain = (const unsigned char *)web->options.schema,
		.plain_size = web->options.schema_size,
	};

	return send_file(request, &file);
}

static const struct route {
	const char *path;
	enum MHD_Result (*answer)(const struct request *request);
} routes[] = {
	{ "/api/summary", answer_summary },
	{ "/api/summaries", answer_summaries },
	{ "/api/events", answer_events },
	{ "/api/sources", answer_sources },
	{ "/metrics", answer_metrics },
	{ "/healthz", answer_health },
	{ "/schema", answer_schema },
};

static enum MHD_Result answer_path(const struct request *request)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		if (strcmp(request->path, routes[i].path) == 0)
			return routes[i].answer(request);
	for (size_t i = 0; i < pm_page_n_files; i++)
		if (strcmp(request->path, pm_page_files[i].path) == 0)
			return send_file(request, &pm_page_files[i]);
	return send_line(request, MHD_HTTP_NOT_FOUND, "there is nothing here; / has the page");
}

/* ---- what comes first ---------------------------------------------------------------------- */

/* Headers that two readers of a request must not understand in two ways: RFC 9112, section 11.2. */
struct framing {
	unsigned hosts, lengths;
	bool body;
};

static enum MHD_Result note_framing(void *ctx, enum MHD_ValueKind kind, const char *name,
				    const char *value)
{
	struct framing *framing = ctx;

	(void)kind;
	framing->hosts += strcasecmp(name, "Host") == 0;
	if (strcasecmp(name, "Content-Length") == 0) {
		framing->lengths++;
		framing->body |= !value || strcmp(value, "0") != 0;
	}
	framing->body |= strcasecmp(name, "Transfer-Encoding") == 0;
	return MHD_YES;
}

/* What is wrong with a request before it is looked at; NULL: nothing. */
static const char *wrong_framing(const struct request *request)
{
	struct framing framing = { .hosts = 0 };

	pm_mhd()->MHD_get_connection_values(request->connection, MHD_HEADER_KIND, note_framing,
					    &framing);
	if (framing.body || framing.lengths > 1)
		return "a request here has no body";
	return framing.hosts > 1 ? "a request has one Host" : NULL;
}

/* Whether the host is one that we go by; a browser sends it with every request. */
static bool is_for_us(const struct request *request)
{
	if (!header(request, "Host") && strcmp(request->version, MHD_HTTP_VERSION_1_1) == 0)
		return false;
	return !request->host || pm_web_host_known(request->host, &request->web->names);
}

static bool may_ask(const struct request *request)
{
	const struct credentials *credentials = request->web->credentials;
	const char *sent = header(request, "Authorization");

	return !credentials || (sent && pm_web_credentials_hold(credentials, sent));
}

static enum MHD_Result answer(const struct request *request)
{
	struct pm_web *web = request->web;

	web->counts.requests++;
	if (!is_for_us(request))
		return send_line(request, MHD_HTTP_MISDIRECTED_REQUEST,
				 "this name is not known here: ask by address, or start portmeter with --listen-host NAME");
	if (!may_ask(request))
		return send_line(request, MHD_HTTP_UNAUTHORIZED, "a password is needed");
	if (strcmp(request->method, MHD_HTTP_METHOD_OPTIONS) == 0)
		return send_line(request, MHD_HTTP_NO_CONTENT, "");
	return answer_path(request);
}

static bool only_reads(const char *method)
{
	return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
	       strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 ||
	       strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0;
}

enum MHD_Result pm_web_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	struct client *client = pm_web_client(connection);
	struct request request = { ctx, connection, url, method, version, NULL };
	const char *wrong;

	(void)upload;
	(void)upload_size;
	request.host = header(&request, "Host");
	if (client && client->absolute) {
		request.path = pm_web_target_path(url, pm_web_scheme(ctx));
		request.host = client->host;
	}
	if (*state) /* the request is complete */
		return answer(&request);
	*state = ctx;
	if (!client) /* memory was short when it came */
		return MHD_NO;
	client->busy = true;
	client->since_ns = pm_time_steady();
	/* What is answered before a body has come is the last on its connection. */
	if (!only_reads(method)) {
		request.web->counts.requests++;
		return send_line(&request, MHD_HTTP_METHOD_NOT_ALLOWED,
				 "nothing can be changed here: GET, HEAD and OPTIONS only");
	}
	wrong = wrong_framing(&request);
	if (wrong) {
		request.web->counts.requests++;
		return send_line(&request, MHD_HTTP_BAD_REQUEST, wrong);
	}
	return MHD_YES;
}
