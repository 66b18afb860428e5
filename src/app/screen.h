/* SPDX-License-Identifier: MIT */
/*
 * The terminal, when it shows records in place instead of one table after the other. Without
 * ncurses there is none, and nothing here does anything.
 */
#ifndef PORTMETER_SCREEN_H
#define PORTMETER_SCREEN_H

#include <stdbool.h>

#include "app.h"

/* Whether a run with these options is to be watched on a terminal that can do that. */
bool screen_wanted(const struct options *options);
/*
 * Takes the terminal over, before rights are given up: files that describe it are read here, and
 * none later. Nothing shows yet. False, and said: it can't.
 */
bool screen_open(const struct options *options);
/*
 * If one is open: what records will come of, one after the other in the order in which they are to
 * be gone through. Any thread.
 */
void screen_source(const struct pm_source *source);
/*
 * If one is open: shows records, on a thread of its own, until the user ends the run. False, and
 * said: it can't.
 */
bool screen_start(void);
/* Takes over a record, if one is open or has been; any thread. */
bool screen_record(struct pm_record *record);
/*
 * A whole line for standard error, while the screen is open: shown there, and kept for the end if
 * standard error is a terminal. Whether that was all; any thread.
 */
bool screen_say(const char *line);
/* Gives the terminal back, and says what was kept for the end. Again: nothing. */
void screen_close(void);
/* The same in a hurry, of the terminal alone: for handlers of signals that end the program. */
void screen_restore(void);

#endif
