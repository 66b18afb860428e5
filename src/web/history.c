/* SPDX-License-Identifier: MIT */
/*
 * The newest records, as many as fit in so many bytes. Each is one buffer that everybody shares
 * who sends it, so that watchers cost their connection and nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "web-internal.h"

#define RING_MIN 64
/* What a record costs beside its text: the structure and the heap's own. */
#define RECORD_EXTRA (sizeof(struct web_record) + 32)

int pm_web_history_init(struct history *history, size_t limit)
{
	*history = (struct history){ .limit = limit, .next = 1, .room = RING_MIN };
	history->last_source = &history->sources;
	history->ring = calloc(history->room, sizeof *history->ring);
	if (!history->ring)
		return PM_E_MEMORY;
	pthread_mutex_init(&history->lock, NULL);
	return PM_OK;
}

void pm_web_record_release(struct web_record *record)
{
	if (!record || atomic_fetch_sub(&record->references, 1) != 1)
		return;
	if (atomic_load(&record->dropped))
		atomic_fetch_sub(&record->history->dropped, record->size);
	free(record->text);
	free(record);
}

static struct web_record *hold(struct web_record *record)
{
	atomic_fetch_add(&record->references, 1);
	return record;
}

/* Under the lock, as all that is static below. */
static uint64_t first_number(const struct history *history)
{
	return history->next - history->n;
}

static struct web_record **place(const struct history *history, uint64_t number)
{
	return &history->ring[number % history->room];
}

/* Takes the oldest out, to be released by whoever has let the lock go. */
static struct web_record *drop_oldest(struct history *history)
{
	struct web_record *record = *place(history, first_number(history));

	history->n--;
	history->bytes -= record->size + RECORD_EXTRA;
	atomic_fetch_add(&history->dropped, record->size);
	atomic_store(&record->dropped, true);
	return record;
}

void pm_web_history_fini(struct history *history)
{
	while (history->n)
		pm_web_record_release(drop_oldest(history));
	while (history->sources) {
		struct web_source *source = history->sources;

		history->sources = source->next;
		pm_web_record_release(source->latest);
		free(source->name);
		free(source);
	}
	free(history->ring);
	pthread_mutex_destroy(&history->lock);
}

static struct web_source *find_source(const struct history *history, const char *name)
{
	struct web_source *source = history->sources;

	while (source && strcmp(source->name, name) != 0)
		source = source->next;
	return source;
}

static struct web_source *find_or_add(struct history *history, const char *name, bool live)
{
	struct web_source *source = find_source(history, name);

	if (source)
		return source;
	source = calloc(1, sizeof *source);
	if (!source)
		return NULL;
	source->name = strdup(name);
	source->live = live;
	if (!source->name) {
		free(source);
		return NULL;
	}
	*history->last_source = source;
	history->last_source = &source->next;
	return source;
}

struct web_source *pm_web_history_source(struct history *history, const char *name, bool live)
{
	struct web_source *source;

	pthread_mutex_lock(&history->lock);
	source = find_or_add(history, name, live);
	pthread_mutex_unlock(&history->lock);
	return source;
}

const struct web_source *pm_web_history_find(struct history *history, const char *name)
{
	const struct web_source *source;

	pthread_mutex_lock(&history->lock);
	source = find_source(history, name);
	pthread_mutex_unlock(&history->lock);
	return source;
}

static bool make_place(struct history *history)
{
	size_t room = history->room * 2;
	struct web_record **ring;

	if (history->n < history->room)
		return true;
	ring = calloc(room, sizeof *ring);
	if (!ring)
		return false;
	for (uint64_t number = first_number(history); number < history->next; number++)
		ring[number % room] = *place(history, number);
	free(history->ring);
	history->ring = ring;
	history->room = room;
	return true;
}

static void append(struct history *history, struct web_source *source, struct web_record *record)
{
	record->number = history->next++;
	*place(history, record->number) = record;
	history->n++;
	history->bytes += record->size + RECORD_EXTRA;
	source->records++;
	source->latest = hold(record);
}

/* The oldest beyond the limit, linked for their release. The newest stays, however large. */
static bool is_over(const struct history *history)
{
	return history->bytes > history->limit && history->n > 1;
}

int pm_web_history_add(struct history *history, const char *name, bool live, int64_t time_ns,
		       char *text, size_t size)
{
	struct web_record *record = calloc(1, sizeof *record), *before;
	struct web_source *source;

	pthread_mutex_lock(&history->lock);
	source = record ? find_or_add(history, name, live) : NULL;
	if (!source || !make_place(history)) {
		pthread_mutex_unlock(&history->lock);
		free(record);
		free(text);
		return PM_E_MEMORY;
	}
	atomic_init(&record->references, 1);
	record->history = history;
	record->time_ns = time_ns;
	record->source = source;
	record->text = text;
	record->size = size;
	before = source->latest;
	append(history, source, record);
	while (is_over(history)) {
		struct web_record *oldest = drop_oldest(history);

		/* Freeing a record of all ports takes a while; nobody else is to wait for it. */
		pthread_mutex_unlock(&history->lock);
		pm_web_record_release(oldest);
		pthread_mutex_lock(&history->lock);
	}
	pthread_mutex_unlock(&history->lock);
	pm_web_record_release(before);
	return PM_OK;
}

struct web_record *pm_web_history_latest(struct history *history, const struct web_source *source)
{
	struct web_record *record = NULL;

	pthread_mutex_lock(&history->lock);
	if (source)
		record = source->latest;
	else if (history->n)
		record = *place(history, history->next - 1);
	if (record)
		hold(record);
	pthread_mutex_unlock(&history->lock);
	return record;
}

static bool is_of(const struct web_record *record, const struct web_source *source)
{
	return !source || record->source == source;
}

struct web_record *pm_web_history_next(struct history *history, const struct web_source *source,
				       uint64_t *number, bool *ret_lost)
{
	struct web_record *record = NULL;

	pthread_mutex_lock(&history->lock);
	*ret_lost = *number < first_number(history);
	if (*ret_lost)
		*number = first_number(history);
	for (; *number < history->next && !record; ++*number)
		if (is_of(*place(history, *number), source))
			record = hold(*place(history, *number));
	pthread_mutex_unlock(&history->lock);
	return record;
}

uint64_t pm_web_history_since(struct history *history, const struct web_source *source,
			      int64_t time_ns)
{
	uint64_t number;

	pthread_mutex_lock(&history->lock);
	for (number = first_number(history); number < history->next; number++) {
		const struct web_record *record = *place(history, number);

		if (is_of(record, source) && record->time_ns > time_ns)
			break;
	}
	pthread_mutex_unlock(&history->lock);
	return number;
}

uint64_t pm_web_history_limit(struct history *history, const struct web_source *source,
			      uint64_t number, uint64_t end, uint64_t limit)
{
	uint64_t at;

	pthread_mutex_lock(&history->lock);
	if (number < first_number(history))
		number = first_number(history);
	for (at = end; at > number && limit > 0; at--)
		limit -= is_of(*place(history, at - 1), source);
	pthread_mutex_unlock(&history->lock);
	return at > number ? at : number;
}

uint64_t pm_web_history_end(struct history *history)
{
	uint64_t end;

	pthread_mutex_lock(&history->lock);
	end = history->next;
	pthread_mutex_unlock(&history->lock);
	return end;
}

bool pm_web_history_ended(struct history *history)
{
	bool ended;

	pthread_mutex_lock(&history->lock);
	ended = history->ended;
	pthread_mutex_unlock(&history->lock);
	return ended;
}

void pm_web_history_set_ended(struct history *history)
{
	pthread_mutex_lock(&history->lock);
	history->ended = true;
	pthread_mutex_unlock(&history->lock);
}
