/* SPDX-License-Identifier: MIT */
/*
 * Records that a file would not take: kept as text, in their order, until it takes them. After a
 * failure the next attempt waits, twice as long each time.
 */
#include <stdlib.h>
#include <string.h>

#include "output-internal.h"

#define PAUSE_MIN_NS (PM_NS_PER_S / 10)
#define PAUSE_MAX_NS (INT64_C(5) * PM_NS_PER_S)
#define ROOM_MIN ((size_t)4 << 10)

static bool make_room(struct held *held, size_t size)
{
	size_t room = held->room ? held->room : ROOM_MIN;
	char *text;

	if (size <= held->room - held->size)
		return true;
	while (room - held->size < size)
		room *= 2;
	text = realloc(held->text, room);
	if (!text)
		return false;
	held->text = text;
	held->room = room;
	return true;
}

void pm_held_add(struct held *held, const char *bytes, size_t size)
{
	if (held->failed || !make_room(held, size)) {
		held->failed = true;
		return;
	}
	memcpy(held->text + held->size, bytes, size);
	held->size += size;
}

void pm_held_free(struct held *held)
{
	if (!held)
		return;
	free(held->text);
	free(held);
}

void pm_hold_init(struct hold *hold)
{
	*hold = (struct hold){ .last = &hold->first, .pause_ns = PAUSE_MIN_NS };
}

void pm_hold_push(struct hold *hold, struct held *held)
{
	/* What it has grown beyond its text is given back; that can't fail in earnest. */
	char *text = held->size ? realloc(held->text, held->size) : NULL;

	if (text)
		held->text = text;
	*hold->last = held;
	hold->last = &held->next;
	hold->bytes += held->size;
	hold->records++;
	hold->intervals += held->intervals;
	hold->late++;
	hold->delayed++;
}

void pm_hold_pop(struct hold *hold)
{
	struct held *held = hold->first;

	hold->first = held->next;
	if (!hold->first)
		hold->last = &hold->first;
	hold->bytes -= held->size;
	hold->records--;
	hold->intervals -= held->intervals;
	pm_held_free(held);
}

void pm_hold_fini(struct hold *hold)
{
	while (hold->first)
		pm_hold_pop(hold);
}

bool pm_hold_failed(struct hold *hold)
{
	bool first = !hold->failing;
	int64_t now = pm_time_steady();

	if (first) {
		hold->failing = true;
		hold->since_ns = now;
		hold->pause_ns = PAUSE_MIN_NS;
	}
	hold->errors++;
	hold->due_ns = now + hold->pause_ns;
	hold->pause_ns = hold->pause_ns * 2 < PAUSE_MAX_NS ? hold->pause_ns * 2 : PAUSE_MAX_NS;
	return first;
}
