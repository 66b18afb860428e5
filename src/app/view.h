/* SPDX-License-Identifier: MIT */
/*
 * The live view: what it knows, what keys do to it, and what the screen shows of it, as cells.
 * Touches no terminal, so a test sees all of it. One thread at a time.
 */
#ifndef PORTMETER_VIEW_H
#define PORTMETER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/summary.h"

/* How a cell looks: bits, and one colour of these. Nothing is told by a colour alone. */
enum {
	VIEW_BOLD = 1,
	VIEW_REVERSE = 2,
	VIEW_UNDERLINE = 4,
	VIEW_COLOUR_BAR = 8,    /* bars and trends */
	VIEW_COLOUR_ALARM = 16, /* what wants to be looked at */
};

struct view_cell {
	uint32_t rune; /* Unicode, printable; 0: the right half of the one before */
	uint8_t style;
};

/* Keys that are no characters; those that are come as Unicode. */
enum view_key {
	VIEW_KEY_UP = 0x110000,
	VIEW_KEY_DOWN,
	VIEW_KEY_LEFT,
	VIEW_KEY_RIGHT,
	VIEW_KEY_PAGE_UP,
	VIEW_KEY_PAGE_DOWN,
	VIEW_KEY_HOME,
	VIEW_KEY_END,
	VIEW_KEY_BACK_TAB,
	VIEW_KEY_BACKSPACE,
	VIEW_KEY_ENTER,
	VIEW_KEY_ESCAPE,
};

struct view_options {
	bool utf8;         /* the terminal shows it; else ASCII alone */
	size_t top;        /* rows of ports and endpoints; 0: all */
	bool service_only; /* only ports that carried a service */
};

struct view; /* opaque */

/* PM_E_MEMORY or 0. */
int view_new(const struct view_options *options, struct view **ret_view);
/* NULL is fine. */
void view_free(struct view *view);
/*
 * A source that records may come of, which must outlive the view. Sources stand in the order in
 * which they are named, whichever has the first record; what is not named, behind them.
 * PM_E_MEMORY or 0.
 */
int view_source(struct view *view, const struct pm_source *source);
/*
 * Takes over the next record of its source, whatever it returns; the source must outlive the view.
 * PM_E_MEMORY (the view shows what it showed before) or 0.
 */
int view_record(struct view *view, struct pm_record *record);
/*
 * Something to tell, in UTF-8: the last line shows it until a key is hit, and the notices list it.
 */
void view_message(struct view *view, const char *text);
/* False: it is to end. */
bool view_key(struct view *view, uint32_t key);
/* Fills @rows times @columns cells, line by line. Any size will do. */
void view_draw(struct view *view, int rows, int columns, struct view_cell *cells);

#endif
