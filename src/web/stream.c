/* SPDX-License-Identifier: MIT */
/*
 * Records on their way to a client: one, an array of those that are there, or Server-Sent Events
 * (HTML Living Standard, section 9.2) of those that come. A stream holds one record at a time; what
 * it was too slow for is gone when it comes back for more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define BLOCK ((size_t)16 << 10)
#define HEARTBEAT_NS (INT64_C(15) * PM_NS_PER_S)
/* A watcher's stream that has lost its connection comes back after this. */
#define RETRY "retry: 2000\n\n"
#define DROPPED_MIN ((size_t)32 << 20)

enum { HEAD,
       BODY,
       TAIL,
       PIECES };

struct piece {
	const char *at;
	size_t left;
};

struct stream {
	struct stream *next, **link;
	struct pm_web *web;
	struct MHD_Connection *connection;
	struct client *client;
	struct stream_options options;
	struct web_record *record; /* is being sent; a reference */
	struct piece pieces[PIECES];
	char head[128];
	int64_t sent_ns; /* when there was last something to send */
	bool begun, end_told, over;
	bool suspended;
};

static void set(struct stream *stream, int which, const char *text)
{
	stream->pieces[which] = (struct piece){ text, strlen(text) };
}

static bool is_wanted(const struct stream_options *options, const struct web_record *record)
{
	return record->number >= options->end || record->time_ns > options->after_ns;
}

/* The next record that the stream is to have; NULL: none yet. */
static struct web_record *next_record(struct stream *stream)
{
	struct history *history = &stream->web->history;
	struct stream_options *o = &stream->options;
	struct web_record *record;
	bool lost;

	while ((record = pm_web_history_next(history, o->source, &o->number, &lost))) {
		o->gap |= lost;
		if (is_wanted(o, record))
			break;
		pm_web_record_release(record);
	}
	return record;
}

static void event_pieces(struct stream *stream, const struct web_record *record)
{
	char id[WEB_ID_SIZE];

	pm_web_id_text(stream->web->run, record->number, id);
	snprintf(stream->head, sizeof stream->head, "%sevent: summary\nid: %s\ndata: ",
		 stream->options.gap ? "event: gap\ndata: {}\n\n" : "", id);
	stream->options.gap = false;
	set(stream, HEAD, stream->head);
	set(stream, TAIL, "\n\n");
}

/* What is left to say when there is no record. */
static bool event_else(struct stream *stream)
{
	bool stopped = atomic_load(&stream->web->stop);
	bool ended = stopped || pm_web_history_ended(&stream->web->history);

	if (ended && !stream->end_told) {
		stream->end_told = true;
		set(stream, HEAD, stopped ? "event: end\ndata: {\"reason\":\"stopped\"}\n\n" : "event: end\ndata: {\"reason\":\"read\"}\n\n");
		return true;
	}
	stream->over = stopped;
	if (stopped || pm_time_steady() - stream->sent_ns < HEARTBEAT_NS)
		return false;
	set(stream, HEAD, ":\n\n");
	return true;
}

static bool event_next(struct stream *stream)
{
	if (!stream->begun) {
		stream->begun = true;
		set(stream, HEAD, RETRY);
		return true;
	}
	stream->record = next_record(stream);
	if (!stream->record)
		return event_else(stream);
	event_pieces(stream, stream->record);
	return true;
}

static bool array_next(struct stream *stream)
{
	if (stream->options.number < stream->options.end)
		stream->record = next_record(stream);
	if (stream->record && stream->record->number >= stream->options.end) {
		pm_web_record_release(stream->record);
		stream->record = NULL;
	}
	if (stream->record) {
		set(stream, HEAD, stream->begun ? ",\n" : "[");
	} else {
		set(stream, HEAD, stream->begun ? "]\n" : "[]\n");
		stream->over = true;
	}
	stream->begun = true;
	return true;
}

static bool one_next(struct stream *stream)
{
	stream->record = stream->options.one;
	stream->options.one = NULL;
	set(stream, TAIL, "\n");
	stream->over = true;
	return true;
}

/* Has something to send, or returns false. */
static bool fill(struct stream *stream)
{
	static bool (*const nexts[])(struct stream * stream) = {
		[STREAM_ONE] = one_next,
		[STREAM_ARRAY] = array_next,
		[STREAM_EVENTS] = event_next,
	};

	for (int i = 0; i < PIECES; i++)
		if (stream->pieces[i].left)
			return true;
	pm_web_record_release(stream->record);
	stream->record = NULL;
	memset(stream->pieces, 0, sizeof stream->pieces);
	if (stream->over || !nexts[stream->options.kind](stream))
		return false;
	stream->sent_ns = pm_time_steady();
	if (stream->record)
		stream->pieces[BODY] = (struct piece){ stream->record->text, stream->record->size };
	return true;
}

static size_t copy(struct stream *stream, char *to, size_t room)
{
	size_t copied = 0;

	for (int i = 0; i < PIECES; i++) {
		struct piece *piece = &stream->pieces[i];
		size_t n = piece->left < room - copied ? piece->left : room - copied;

		if (n == 0)
			continue;
		memcpy(to + copied, piece->at, n);
		piece->at += n;
		piece->left -= n;
		copied += n;
	}
	return copied;
}

/* An MHD_ContentReaderCallback. */
static ssize_t on_read(void *ctx, uint64_t position, char *to, size_t room)
{
	struct stream *stream = ctx;
	size_t n = 0;

	(void)position;
	while (n < room && fill(stream))
		n += copy(stream, to + n, room - n);
	if (n > 0)
		return (ssize_t)n;
	if (stream->over)
		return MHD_CONTENT_READER_END_OF_STREAM;
	stream->suspended = true;
	pm_mhd()->MHD_suspend_connection(stream->connection);
	return 0;
}

static void on_free(void *ctx)
{
	struct stream *stream = ctx;

	*stream->link = stream->next;
	if (stream->next)
		stream->next->link = stream->link;
	stream->web->counts.watchers -= stream->options.kind == STREAM_EVENTS;
	if (stream->client)
		stream->client->stream = NULL;
	pm_web_record_release(stream->options.one);
	pm_web_record_release(stream->record);
	free(stream);
}

struct MHD_Response *pm_web_stream_new(struct pm_web *web, struct MHD_Connection *connection,
				       const struct stream_options *options)
{
	struct stream *stream = calloc(1, sizeof *stream);
	struct MHD_Response *response;

	if (!stream) {
		pm_web_record_release(options->one);
		return NULL;
	}
	stream->web = web;
	stream->connection = connection;
	stream->client = pm_web_client(connection);
	stream->options = *options;
	stream->sent_ns = pm_time_steady();
	stream->link = &web->streams;
	response = pm_mhd()->MHD_create_response_from_callback(
		options->one ? options->one->size + 1 : MHD_SIZE_UNKNOWN, BLOCK, on_read, stream,
		on_free);
	if (!response) {
		pm_web_record_release(options->one);
		free(stream);
		return NULL;
	}
	stream->next = web->streams;
	if (stream->next)
		stream->next->link = &stream->next;
	web->streams = stream;
	web->counts.watchers += options->kind == STREAM_EVENTS;
	if (stream->client)
		stream->client->stream = stream;
	return response;
}

bool pm_web_is_watcher(const struct client *client)
{
	return client->stream && client->stream->options.kind == STREAM_EVENTS;
}

void pm_web_streams_resume(struct pm_web *web, bool all)
{
	int64_t now = pm_time_steady();

	for (struct stream *stream = web->streams; stream; stream = stream->next) {
		if (!stream->suspended || (!all && now - stream->sent_ns < HEARTBEAT_NS))
			continue;
		stream->suspended = false;
		pm_mhd()->MHD_resume_connection(stream->connection);
	}
}

/* The stream that holds the oldest record of those that have left the history. */
static struct stream *hindmost(struct pm_web *web)
{
	struct stream *found = NULL;

	for (struct stream *stream = web->streams; stream; stream = stream->next)
		if (stream->record && atomic_load(&stream->record->dropped) && stream->client &&
		    !stream->client->closing &&
		    (!found || stream->record->number < found->record->number))
			found = stream;
	return found;
}

void pm_web_streams_trim(struct pm_web *web)
{
	size_t limit = web->history.limit > DROPPED_MIN ? web->history.limit : DROPPED_MIN;
	size_t dropped = atomic_load(&web->history.dropped);

	while (dropped > limit) {
		struct stream *stream = hindmost(web);

		if (!stream)
			return;
		dropped -= stream->record->size < dropped ? stream->record->size : dropped;
		pm_web_client_close(web, stream->client);
	}
}
