/* SPDX-License-Identifier: MIT */
/* What the readers of capture files have in common. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

/* More than any capture has; a file of nothing but interfaces must not fill the memory. */
#define INTERFACES_MAX 65536
#define ALIKE_SLOTS 256

struct interface *pm_reader_add(struct reader *reader)
{
	struct interface *interface;

	if (reader->n_interfaces == reader->n_places) {
		size_t places = reader->n_places ? reader->n_places * 2 : 4;
		struct interface **more;

		if (reader->n_interfaces == INTERFACES_MAX)
			return NULL;
		more = realloc(reader->interfaces, places * sizeof *more);
		if (!more)
			return NULL;
		reader->interfaces = more;
		reader->n_places = places;
	}
	interface = calloc(1, sizeof *interface);
	if (interface)
		reader->interfaces[reader->n_interfaces++] = interface;
	return interface;
}

static bool alike(const struct interface *a, const struct interface *b)
{
	return a->linktype == b->linktype &&
	       (a->name == b->name || (a->name && b->name && strcmp(a->name, b->name) == 0));
}

/* Hashed, as a file can have very many, and with a key, as it can choose their names. */
bool pm_reader_number(struct reader *reader, struct interface *interface)
{
	const char *name = interface->name ? interface->name : "";
	struct interface **slot, *other;

	if (!reader->alike) {
		reader->alike = calloc(ALIKE_SLOTS, sizeof(struct interface *));
		if (!reader->alike)
			return false;
		reader->key = pm_hash_key_random();
	}
	slot = &reader->alike[(pm_hash(reader->key, name, strlen(name)) + interface->linktype) %
			      ALIKE_SLOTS];
	for (other = *slot; other && !alike(other, interface);)
		other = other->next;
	interface->ordinal = other ? other->ordinal + 1 : 0;
	interface->next = *slot;
	*slot = interface;
	return true;
}

void pm_reader_forget(struct reader *reader)
{
	for (size_t i = 0; i < reader->n_interfaces; i++) {
		struct interface *interface = reader->interfaces[i];

		if (interface->filtered)
			pcap_freecode(&interface->program);
		free(interface->name);
		free(interface->filter);
		free(interface);
	}
	reader->n_interfaces = 0;
	reader->interface = NULL;
	if (reader->alike)
		memset(reader->alike, 0, ALIKE_SLOTS * sizeof(struct interface *));
}

void pm_reader_close(struct reader *reader)
{
	pm_reader_forget(reader);
	free(reader->interfaces);
	free(reader->alike);
	reader->alike = NULL;
	reader->interfaces = NULL;
	reader->n_places = 0;
	pm_reader_close_libpcap(reader);
	reader->ops = NULL;
}

enum read_result pm_reader_damaged(struct reader *reader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(reader->why, sizeof reader->why, format, args);
	va_end(args);
	reader->damaged = true;
	return READ_DAMAGED;
}

enum read_result pm_reader_cut(struct reader *reader, size_t wanted)
{
	const struct stream *stream = reader->stream;

	if (stream->error)
		return READ_FAILED;
	if (stream->stopped)
		return READ_END;
	if (stream->reason[0])
		return pm_reader_damaged(reader, "%s", stream->reason);
	if (!stream->ended)
		return READ_FAILED; /* memory */
	reader->cut = true;
	return pm_reader_damaged(reader, "the file ends %zu bytes into %zu that it announces",
				 pm_stream_held(stream), wanted);
}

uint32_t pm_reader_held_max(uint32_t linktype)
{
	switch (linktype) {
	case 186: /* USB with its headers, of FreeBSD, Linux and others */
	case 189:
	case 220:
	case 249:
	case 231: /* D-Bus */
	case 279: /* EBHSCR */
		return UINT32_C(16) << 20;
	default:
		return 262144;
	}
}

uint32_t pm_reader_snaplen(uint32_t snaplen, uint32_t linktype)
{
	return snaplen == 0 || snaplen > INT32_MAX ? pm_reader_held_max(linktype) : snaplen;
}
