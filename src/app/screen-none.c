/* SPDX-License-Identifier: MIT */
/* Built without ncurses: tables, one after the other. */
#include "screen.h"

bool screen_wanted(const struct options *options)
{
	(void)options;
	return false;
}

bool screen_open(const struct options *options)
{
	(void)options;
	return false;
}

void screen_source(const struct pm_source *source)
{
	(void)source;
}

bool screen_start(void)
{
	return true;
}

bool screen_record(struct pm_record *record)
{
	(void)record;
	return false;
}

bool screen_say(const char *line)
{
	(void)line;
	return false;
}

void screen_close(void)
{
}

void screen_restore(void)
{
}
