/* SPDX-License-Identifier: MIT */
/*
 * Which records a frame goes to. All files whose frames come from one interface are one source; of
 * a file with several, each is a source of its own, shared with its namesakes in other sections and
 * files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture-internal.h"

static const char beyond[] = "further interfaces";

/* Its name is UTF-8, as all who show it, compare it or are asked for it need it. */
static struct source *add(struct pm_capture *capture, const char *name)
{
	struct source *source, **more;

	more = realloc(capture->sources, (capture->n_sources + 1) * sizeof *more);
	if (!more)
		return NULL;
	capture->sources = more;
	source = calloc(1, sizeof *source);
	if (!source)
		return NULL;
	source->name = pm_utf8_repaired(name);
	if (!source->name) {
		free(source);
		return NULL;
	}
	source->facts.name = source->name;
	source->facts.interface = -1;
	source->facts.snaplen = -1;
	more[capture->n_sources++] = source;
	return source;
}

int pm_source_add(struct pm_capture *capture, const char *name, struct source **ret_source)
{
	*ret_source = add(capture, name);
	return *ret_source ? PM_OK : PM_E_MEMORY;
}

void pm_sources_free(struct pm_capture *capture)
{
	for (size_t i = 0; i < capture->n_sources; i++) {
		struct source *source = capture->sources[i];

		free(source->name);
		free(source->key);
		free(source->link);
		free(source->filter);
		free(source);
	}
	free(capture->sources);
}

/* "tcp" of the user and "not port 22" of the file: a frame has passed both. */
static int set_filter(struct source *source, const char *user, const char *file)
{
	size_t size;

	if (!file) {
		source->facts.filter = user;
		return PM_OK;
	}
	size = strlen(file) + (user ? strlen(user) : 0) + sizeof "() and ()";
	source->filter = malloc(size);
	if (!source->filter)
		return PM_E_MEMORY;
	if (user)
		snprintf(source->filter, size, "(%s) and (%s)", file, user);
	else
		snprintf(source->filter, size, "%s", file);
	source->facts.filter = source->filter;
	return PM_OK;
}

/* Link types that libpcap has no name for go by their number. */
static int set_link(struct source *source, uint32_t linktype)
{
	char number[32];

	source->facts.linktype = linktype;
	source->facts.link = pcap_datalink_val_to_name(pm_capture_dlt(linktype));
	if (source->facts.link)
		return PM_OK;
	snprintf(number, sizeof number, "%lu", (unsigned long)linktype);
	source->facts.link = source->link = strdup(number);
	return source->link ? PM_OK : PM_E_MEMORY;
}

int pm_source_describe(struct pm_capture *capture, struct source *source,
		       const struct interface *interface)
{
	int snaplen = (int)interface->snaplen;
	int r;

	if (!source->described) {
		source->described = true;
		source->linktype = interface->linktype;
		source->facts.snaplen = snaplen;
		r = set_link(source, interface->linktype);
		return r < 0 ? r : set_filter(source, capture->filter, interface->filter);
	}
	if (source->linktype != interface->linktype)
		source->facts.link = NULL;
	if (source->facts.snaplen != snaplen)
		source->facts.snaplen = -1;
	return PM_OK;
}

static bool is_of(const struct source *source, const struct interface *interface)
{
	bool named = interface->name != NULL;

	return source->facts.interface >= 0 && source->linktype == interface->linktype &&
	       source->ordinal == interface->ordinal && source->named == named &&
	       (!named || strcmp(source->key, interface->name) == 0);
}

static bool name_taken(const struct pm_capture *capture, const char *name)
{
	for (size_t i = 0; i < capture->n_sources; i++)
		if (strcmp(capture->sources[i]->name, name) == 0)
			return true;
	return false;
}

/* What the records are to call it: as the file does, and so that each has a name of its own. */
static int name_of(const struct pm_capture *capture, const struct interface *interface, size_t id,
		   char *text, size_t size)
{
	size_t length;

	if (interface->name) {
		char *name = pm_utf8_repaired(interface->name);

		if (!name)
			return PM_E_MEMORY;
		snprintf(text, size, "%s", name);
		free(name);
	} else {
		snprintf(text, size, "interface %zu", id);
	}
	length = strlen(text);
	for (size_t n = 2; name_taken(capture, text); n++)
		snprintf(text + length, size - length, " #%zu", n);
	return PM_OK;
}

int pm_source_of_interface(struct pm_capture *capture, const struct interface *interface, size_t id,
			   size_t *ret_source)
{
	struct source *source = NULL;
	char name[1024]; /* as in the file, at most 255 bytes, each of which may become three */
	int r;

	for (*ret_source = 0; *ret_source < capture->n_sources; (*ret_source)++)
		if (is_of(capture->sources[*ret_source], interface))
			return PM_OK;
	if (capture->n_sources == PM_SOURCES_MAX) {
		*ret_source = PM_SOURCES_MAX - 1;
		return PM_OK;
	}
	r = name_of(capture, interface, id, name, sizeof name);
	if (r < 0)
		return r;
	if (capture->n_sources == PM_SOURCES_MAX - 1)
		snprintf(name, sizeof name, "%s", beyond);
	r = pm_source_add(capture, name, &source);
	if (r < 0)
		return r;
	if (capture->n_sources == PM_SOURCES_MAX) {
		pm_capture_notice(capture, "%s: more than %d interfaces; the rest is counted together as \"%s\"",
				  capture->name, PM_SOURCES_MAX - 1, beyond);
		source->facts.filter = capture->filter;
		return PM_OK;
	}
	source->named = interface->name != NULL;
	source->key = source->named ? strdup(interface->name) : NULL;
	if (source->named && !source->key)
		return PM_E_MEMORY;
	source->ordinal = interface->ordinal;
	source->facts.interface = (int)id;
	return pm_source_describe(capture, source, interface);
}
