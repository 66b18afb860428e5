/* SPDX-License-Identifier: MIT */
/* What sees the HTTP library: web.c is the thread, respond.c the answers, stream.c records. */
#ifndef PORTMETER_WEB_SERVER_H
#define PORTMETER_WEB_SERVER_H

#include "library.h"
#include "web-internal.h"

struct stream;

/* A connection, and since when it does what it does; the monotonic clock. */
struct client {
	struct client *next, **link;
	int fd;
	int64_t since_ns;
	bool served; /* has had an answer, and is kept for more */
	bool busy;   /* is being answered; else the next request is waited for */
	bool closing;
	struct stream *stream; /* what it is being sent, NULL: something small */
	/* Its request's target is absolute: then it names @host, whatever the header says. */
	bool absolute;
	char host[WEB_HOST_SIZE];
};

struct server_counts {
	uint64_t requests, refused, closed; /* closed: for being too slow */
	unsigned connections, watchers;
};

struct pm_web {
	struct history history;
	struct pm_web_options options;
	uint64_t run; /* drawn at the start: numbers of records are those of one run */
	struct host_names names;
	struct credentials *credentials; /* NULL: everybody may ask */
	struct listen_address address;
	char url[WEB_URL_SIZE];
	int fd; /* that listens; the daemon's, once it is there */
	char *certificate, *key;
	char trouble[256]; /* what the library has said first */
	struct MHD_Daemon *daemon;
	pthread_t thread;
	bool started;
	int wake_fd;
	atomic_bool stop;

	/* The thread's own. */
	struct client *clients;
	struct stream *streams;
	struct server_counts counts;
	char schema_etag[24];
};

/* "http" or "https": what it speaks. */
const char *pm_web_scheme(const struct pm_web *web);

/* An MHD_AccessHandlerCallback whose context is the server. */
enum MHD_Result pm_web_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state);
struct client *pm_web_client(struct MHD_Connection *connection);

enum stream_kind {
	STREAM_ONE,    /* a record and nothing else */
	STREAM_ARRAY,  /* of JSON */
	STREAM_EVENTS, /* Server-Sent Events; they have no end */
};

/* What a stream of records is to have. */
struct stream_options {
	enum stream_kind kind;
	struct web_record *one;          /* a reference, which is taken over; of ONE only */
	const struct web_source *source; /* NULL: all */
	bool gap;                        /* something before the first may have been lost */
	uint64_t number;                 /* of the first */
	uint64_t end;                    /* an array ends before this one */
	int64_t after_ns;                /* records up to @end are later than this */
};

/* A response that sends records; NULL when memory is short. */
struct MHD_Response *pm_web_stream_new(struct pm_web *web, struct MHD_Connection *connection,
				       const struct stream_options *options);
/* Whether it is sent events. */
bool pm_web_is_watcher(const struct client *client);
/* Goes on with all streams that wait, if there is something for them or heartbeats are due. */
void pm_web_streams_resume(struct pm_web *web, bool all);
/*
 * Records that have left the history and are kept alive by slow clients alone take no more than as
 * much again: those that hold the oldest are cut off.
 */
void pm_web_streams_trim(struct pm_web *web);
/* Cuts a client off. */
void pm_web_client_close(struct pm_web *web, struct client *client);

#endif
