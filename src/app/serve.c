/* SPDX-License-Identifier: MIT */
/* HTTP beside a run (--listen): what is served, and whether all is well. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "app.h"

/* So long a record may be in the writing. */
#define WRITING_NS (INT64_C(5) * PM_NS_PER_S)
/* Descriptors beside those of connections. */
#define DESCRIPTORS 128

/* On the thread that serves. */
static bool is_healthy(void *ctx, char *ret_why, size_t size)
{
	struct run *run = ctx;
	int64_t since = atomic_load(&run->reporting_ns);

	if (run->failed) {
		snprintf(ret_why, size, "output, or a capture, has failed");
		return false;
	}
	if (since && pm_time_steady() - since > WRITING_NS) {
		snprintf(ret_why, size, "the output has stood still for %.0f s",
			 (double)(pm_time_steady() - since) / 1e9);
		return false;
	}
	return !run->healthy || run->healthy(run->health_ctx, ret_why, size);
}

/* As many as connections take; where that is not to be had, the last ones wait. */
static void allow_connections(const struct serve_options *serve)
{
	unsigned connections = serve->connections ? serve->connections : PM_WEB_CONNECTIONS;
	rlim_t wanted = (rlim_t)connections + DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int serve_open(struct run *run)
{
	const struct serve_options *serve = &run->options->serve;
	const struct pm_output_options *output = &run->options->output;
	struct pm_web_options options = {
		.listen = serve->listen,
		.anywhere = serve->anywhere,
		.hosts = serve->hosts,
		.n_hosts = serve->n_hosts,
		.password_path = serve->password,
		.certificate_path = serve->certificate,
		.key_path = serve->key,
		.history = serve->history ? serve->history : PM_WEB_HISTORY,
		.connections = serve->connections,
		.per_address = serve->per_address,
		.schema = schema_text,
		.schema_size = schema_size,
		.healthy = is_healthy,
		.ctx = run,
	};
	struct pm_error err = { .line = 0 };
	int r;

	if (!serve->listen)
		return EXIT_DONE;
	allow_connections(serve);
	r = pm_metrics_new(output->metrics_services, output->metrics_ports, &run->metrics);
	options.metrics = run->metrics;
	if (r == PM_OK)
		r = pm_web_open(&options, &err, &run->web);
	if (r == PM_OK)
		return EXIT_DONE;
	if (err.file[0])
		say_error(&err, r);
	else
		say("--listen %s: %s", serve->listen, err.text[0] ? err.text : pm_strerror(r));
	return r == PM_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

bool serve_start(struct run *run)
{
	struct pm_error err = { .line = 0 };
	int r;

	if (!run->web)
		return true;
	r = pm_web_start(run->web, &err);
	if (r < 0) {
		say_error(&err, r);
		return false;
	}
	say("%s", pm_web_url(run->web));
	if (pm_web_exposed(run->web))
		say("note: passwords go over the network as they are: add --listen-tls");
	return true;
}

/* What fails for want of memory is only not shown. */
void serve_source(struct run *run, const struct pm_source *source)
{
	if (run->web)
		(void)pm_web_source(run->web, source->name, source->live);
}

static void missed(const char *what)
{
	say("%s: a record is missing there", what);
}

void serve_count(struct run *run, const struct pm_record *record)
{
	if (run->metrics && pm_metrics_add(run->metrics, record) < 0)
		missed("/metrics");
}

void serve_record(struct run *run, struct pm_record *record)
{
	const struct pm_output_options *output = &run->options->output;
	const struct pm_source *source = record->source;
	char *text = NULL;
	size_t size = 0;

	if (!run->web)
		return;
	pm_record_cut(record, output->top, output->service_only);
	if (pm_record_json(record, &text, &size) < 0 ||
	    pm_web_publish(run->web, source->name, source->live, record->interval.end_ns, text,
			   size) < 0)
		missed("/api");
}

void serve_wait(struct run *run)
{
	struct pollfd fd = { .fd = run->wake_fd, .events = POLLIN };

	if (!run->web || signal_stop || run->failed)
		return;
	pm_web_end(run->web);
	say("all is read; serving it at %s until interrupted", pm_web_url(run->web));
	while (!signal_stop) {
		poll(&fd, 1, -1);
		signals_drain(run->wake_fd);
	}
}

void serve_close(struct run *run)
{
	pm_web_close(run->web);
	pm_metrics_free(run->metrics);
	run->web = NULL;
	run->metrics = NULL;
}
