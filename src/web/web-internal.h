/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_WEB_INTERNAL_H
#define PORTMETER_WEB_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "portmeter/web.h"

/* ---- what strangers send: request.c -------------------------------------------------------- */

/* Names that the header Host may have, in lower case. */
struct host_names {
	char **names;
	size_t n;
};

/*
 * Whether a header Host is one that this server goes by: an address, localhost or one of @names,
 * with or without a port. A name that is somebody else's may have been pointed here, to read with
 * a visitor's browser what only the visitor reaches (DNS rebinding).
 */
bool pm_web_host_known(const char *text, const struct host_names *names);
/* "host:port" at most, with a NUL; what is longer is no host. */
#define WEB_HOST_SIZE 264
/*
 * Whether a request's @target, as it was sent, is in absolute form: "http://host:port/path" with
 * this @scheme (RFC 9112, section 3.2.2). Then @ret_host is what stands before the path, "" if that
 * can't be a host.
 */
bool pm_web_target_host(const char *target, const char *scheme, char ret_host[WEB_HOST_SIZE]);
/* The path of one that is, decoded or not: within it, or static. */
const char *pm_web_target_path(const char *target, const char *scheme);
/* "2026-11-22T06:30:10.5Z", with any offset (RFC 3339), or seconds since the epoch. */
bool pm_web_time_parse(const char *text, int64_t *ret_time_ns);
/* A whole number from 1. */
bool pm_web_number_parse(const char *text, uint64_t *ret_number);
/* "<run>-<number>" as pm_web_id_text makes it. */
bool pm_web_id_parse(const char *text, uint64_t *ret_run, uint64_t *ret_number);
#define WEB_ID_SIZE 40
void pm_web_id_text(uint64_t run, uint64_t number, char ret_text[WEB_ID_SIZE]);
/* Whether a list such as Accept-Encoding (RFC 9110, section 12.5.3) has @coding, and not at q=0. */
bool pm_web_accepts(const char *list, const char *coding);
/* Whether If-None-Match has that entity tag, which is quoted. */
bool pm_web_etag_listed(const char *list, const char *etag);
/*
 * Decodes %XX within @text and returns the new length. What is no text afterwards, a NUL, becomes
 * a character that is in no name.
 */
size_t pm_web_unescape(char *text);

/* ---- who may ask: auth.c ------------------------------------------------------------------- */

struct credentials;

/* Reads a file of USER:PASSWORD lines. PM_E_IO or PM_E_INVALID with @err filled, PM_E_MEMORY, 0. */
int pm_web_credentials_load(const char *path, struct pm_error *err,
			    struct credentials **ret_credentials);
/* NULL is fine. */
void pm_web_credentials_free(struct credentials *credentials);
/*
 * Whether a header Authorization (RFC 7617) has one of them. Takes as long whatever is wrong.
 */
bool pm_web_credentials_hold(const struct credentials *credentials, const char *authorization);

/* ---- where: listen.c ----------------------------------------------------------------------- */

struct listen_address {
	struct sockaddr_storage address;
	socklen_t length;
	bool loopback;
};

/* PM_E_INVALID with @err filled, or 0. */
int pm_web_listen_parse(const char *text, struct pm_error *err, struct listen_address *ret_address);
/* A socket that listens, and where: @address gets the port. PM_E_IO, PM_E_PERMISSION with @err. */
int pm_web_listen_open(struct listen_address *address, struct pm_error *err, int *ret_fd);
#define WEB_URL_SIZE 128
void pm_web_listen_url(const struct listen_address *address, bool tls, char ret_url[WEB_URL_SIZE]);

/* ---- records: history.c -------------------------------------------------------------------- */

/* Whose records; they stay until the end. */
struct web_source {
	struct web_source *next;
	char *name;
	bool live;
	uint64_t records;
	struct web_record *latest; /* NULL: there is none yet; a reference */
};

/* One record, shared by all that send it; nothing of it changes. */
struct web_record {
	atomic_uint references;
	atomic_bool dropped; /* out of the history, which it belonged to */
	struct history *history;
	uint64_t number; /* from 1 */
	int64_t time_ns;
	const struct web_source *source;
	char *text; /* the line, without its end */
	size_t size;
};

struct history {
	pthread_mutex_t lock; /* of all below */
	struct web_source *sources, **last_source;
	struct web_record **ring; /* numbers first to first + n - 1, at number % room */
	size_t room, n;
	uint64_t next; /* number of the next record */
	size_t bytes, limit;
	bool ended;

	/* Any thread: bytes of records that only slow clients, or a source, still hold. */
	atomic_size_t dropped;
};

int pm_web_history_init(struct history *history, size_t limit);
void pm_web_history_fini(struct history *history);
/* Finds or adds; NULL when memory is short. */
struct web_source *pm_web_history_source(struct history *history, const char *name, bool live);
/* NULL: there is none of that name. */
const struct web_source *pm_web_history_find(struct history *history, const char *name);
/* Takes over @text. PM_E_MEMORY, with @text freed, or 0. */
int pm_web_history_add(struct history *history, const char *name, bool live, int64_t time_ns,
		       char *text, size_t size);
/* The newest record, of @source or of any (NULL), as a reference; NULL: none. */
struct web_record *pm_web_history_latest(struct history *history, const struct web_source *source);
/*
 * The first record with *@number or a higher one, of @source or of any, as a reference, and sets
 * *@number to the one behind it. NULL: none yet. *@ret_lost: records between may have been lost.
 */
struct web_record *pm_web_history_next(struct history *history, const struct web_source *source,
				       uint64_t *number, bool *ret_lost);
/* Number of the first record that is later than @time_ns, or of the next that comes. */
uint64_t pm_web_history_since(struct history *history, const struct web_source *source,
			      int64_t time_ns);
/* Leaves out as many from *@number on that the newest @limit of those up to @end are left. */
uint64_t pm_web_history_limit(struct history *history, const struct web_source *source,
			      uint64_t number, uint64_t end, uint64_t limit);
/* Number that the next record will have. */
uint64_t pm_web_history_end(struct history *history);
bool pm_web_history_ended(struct history *history);
void pm_web_history_set_ended(struct history *history);
/* NULL is fine. */
void pm_web_record_release(struct web_record *record);

/* ---- the page: page.c, and page-files.h, which the build makes ------------------------------ */

struct page_file {
	const char *path, *type, *etag;
	const unsigned char *plain, *gzip; /* gzip: NULL where it saves nothing */
	size_t plain_size, gzip_size;
};

extern const struct page_file pm_page_files[];
extern const size_t pm_page_n_files;

#endif
