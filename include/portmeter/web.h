/* SPDX-License-Identifier: MIT */
/*
 * HTTP for people and collectors: the page, the newest records and a bounded history of them, their
 * stream, counters for Prometheus. Served by one thread, which only reads what it was handed; no
 * request changes anything. docs/http.md has the interface.
 */
#ifndef PORTMETER_WEB_H
#define PORTMETER_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/base.h"
#include "portmeter/output.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether this library was built with HTTP. */
PM_API bool pm_web_built(void);

/* Borrowed until pm_web_open returns, and from @schema on as long as the server lives. */
struct pm_web_options {
	/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or "8080"; port 0: a free one */
	const char *listen;
	bool anywhere;            /* any address may be listened on, and without a password */
	const char *const *hosts; /* names that may stand in the header Host, beside addresses */
	size_t n_hosts;
	/* Lines of USER:PASSWORD, which nobody else may read; NULL: none is asked for. */
	const char *password_path;
	const char *certificate_path, *key_path; /* PEM, both or none: TLS */
	size_t history;       /* bytes of records that are kept; the newest one always is */
	unsigned connections; /* at once; 0: PM_WEB_CONNECTIONS */
	unsigned per_address; /* of these, from one address; 0: PM_WEB_PER_ADDRESS */
	const char *schema;   /* of the records, as JSON */
	size_t schema_size;
	struct pm_metrics *metrics;
	/* On the server's thread: whether all is as it should be; if not, @ret_why is one line. */
	bool (*healthy)(void *ctx, char *ret_why, size_t size);
	void *ctx;
};

#define PM_WEB_CONNECTIONS 256
#define PM_WEB_PER_ADDRESS 64
#define PM_WEB_HISTORY ((size_t)64 << 20)

struct pm_web; /* opaque */

/*
 * Opens the port and all files, so that what is left to do needs no rights. Connections wait until
 * the start. PM_E_INVALID, PM_E_IO or PM_E_PERMISSION with @err filled, PM_E_UNSUPPORTED (not built
 * with HTTP, or without TLS), PM_E_MEMORY or 0.
 */
PM_API int pm_web_open(const struct pm_web_options *options, struct pm_error *err,
		       struct pm_web **ret_web);
/* "http://127.0.0.1:8080/"; borrowed. */
PM_API const char *pm_web_url(const struct pm_web *web);
/* True: a password is asked for on an address that others reach, and not encrypted. */
PM_API bool pm_web_exposed(const struct pm_web *web);
/* Starts the thread. PM_E_IO with @err filled, or 0. */
PM_API int pm_web_start(struct pm_web *web, struct pm_error *err);

/* What follows may be called by any thread, and never waits for a client. */

/* A source of records is there, though it may not have any yet. PM_E_MEMORY or 0. */
PM_API int pm_web_source(struct pm_web *web, const char *name, bool live);
/*
 * Takes over a record: its line of JSON from pm_record_json, the end of its interval. Its source
 * need not have been told of before. PM_E_MEMORY, with @text freed, or 0.
 */
PM_API int pm_web_publish(struct pm_web *web, const char *source, bool live, int64_t time_ns,
			  char *text, size_t size);
/* No more records will come; what is there is served on. */
PM_API void pm_web_end(struct pm_web *web);
/* Tells watchers, closes all connections, ends the thread and frees. NULL is fine. */
PM_API void pm_web_close(struct pm_web *web);

#ifdef __cplusplus
}
#endif

#endif
