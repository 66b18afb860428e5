/* SPDX-License-Identifier: MIT */
/* What the parts of the live view share: its state, its rows, and the trends behind them. */
#ifndef PORTMETER_VIEW_PARTS_H
#define PORTMETER_VIEW_PARTS_H

#include "view.h"

enum view_tab {
	TAB_SERVICES,
	TAB_PORTS,
	TAB_TRANSPORTS,
	TAB_NOTICES,
	TAB_ENDPOINTS, /* where they are counted */
	TAB_N,
};

enum view_column {
	COLUMN_NAME,
	COLUMN_TRANSPORT,
	COLUMN_LABEL,
	COLUMN_PORTS,
	COLUMN_RANGE,
	COLUMN_BYTES,
	COLUMN_SHARE,
	COLUMN_PACKETS,
	COLUMN_TO,
	COLUMN_FROM,
	COLUMN_SERVED,  /* of a port: frames that count as its service's */
	COLUMN_UNKNOWN, /* of a transport: frames without a label */
	COLUMN_SESSIONS,
	COLUMN_CLIENTS,
	COLUMN_BY,
	COLUMN_TREND,
	COLUMN_N, /* as what is sorted by: the order of the record */
};

/* Intervals that a trend goes back. */
#define TRENDS_SPAN 32
/* Rows of a record that have one, of services and of ports: those of the most bytes. */
#define TRENDS_TOP 400
/* All of the last record, and some that have fallen silent. */
#define TRENDS_MAX 1024

struct trend {
	uint64_t key, last;       /* the tick of the last value that is not 0 */
	float bytes[TRENDS_SPAN]; /* a second; by tick, modulo */
};

struct trends {
	uint64_t tick; /* records so far */
	size_t n;
	struct trend rows[TRENDS_MAX];
};

/* Takes the bytes of a record for the next tick. */
void trends_add(struct trends *trends, const struct pm_record *record);
/* NULL: there is none. */
const struct trend *trends_find(const struct trends *trends, uint64_t key);
/* The key of the trend of all frames. */
#define TREND_TOTAL 1

/* What there is of a source at a moment. */
struct shot {
	struct pm_record *record; /* the last one */
	struct pm_record *sum;    /* all since the start */
	struct trends *trends;
};

struct view_source {
	const struct pm_source *source; /* whose name does not change */
	struct shot now, frozen;        /* frozen: while the view is paused */
};

struct notice {
	char text[200], detail[300];
	struct pm_count count;
	bool counted; /* @count is known */
	bool alarm;   /* wants to be looked at */
};

/* A line of a table; all pointers are borrowed from the shot, or from the view's notices. */
struct view_row {
	const char *name, *label; /* NULL: none */
	const struct pm_service_row *service;
	const struct pm_endpoint_row *endpoint;
	const struct notice *notice;
	struct pm_count count, to, from, part; /* part: what COLUMN_SERVED and _UNKNOWN show */
	uint64_t sessions, clients;
	/* port, part, to and from mean something */
	bool has_ports, has_part, has_ways;
	bool talk, clients_known, clients_estimated;
	uint16_t port;
	uint8_t transport; /* PM_TRANSPORT_N: none */
	/* what it is sorted by: the text if there is one, the value, its place in the record */
	const char *sort_text;
	double sort_value;
	size_t sort_place;
	int sort_sign;
};

struct view_sort {
	enum view_column column;
	bool falling;
};

#define FILTER_SIZE 64
#define MESSAGES 32
#define MESSAGE_SIZE 400

struct view {
	struct view_options options;
	struct view_source *sources;
	size_t n_sources, source; /* the one that is shown */
	enum view_tab tab;
	struct view_sort sort[TAB_N];
	bool paused, totals, bytes, help, typing;
	char filter[FILTER_SIZE];
	size_t top[TAB_N]; /* the first row shown */
	bool selected;
	uint64_t chosen;                       /* the key of the selected row */
	size_t chosen_place;                   /* where it was last */
	size_t page;                           /* rows that there was room for, last */
	char messages[MESSAGES][MESSAGE_SIZE]; /* a ring */
	uint64_t n_messages;
	bool message_shown;

	/* Made anew by view_rows() when @stale. */
	bool stale;
	struct view_row *rows;
	size_t n_rows, max_rows;
	size_t of_rows; /* without the filter */
	struct notice *notices;
	size_t n_notices, n_alarms;
};

/* What is shown of the source; NULL: nothing has come yet. */
const struct shot *view_shot(const struct view *view);
/* The record or the sum that the tab shows; NULL: nothing has come yet. */
const struct pm_record *view_shown(const struct view *view);
/* Whether that is the sum. Of endpoints there is none. */
bool view_adds_up(const struct view *view);
double view_seconds(const struct pm_record *record);
bool view_has_tab(const struct view *view, enum view_tab tab);

/* Makes the rows of the tab, filtered and sorted. Nothing if they are not stale. */
void view_rows(struct view *view);
uint64_t view_row_key(const struct view_row *row);
/* Where the selected row is; there is one, and rows are. */
size_t view_selected(const struct view *view);

/* A column as the user sees it. */
const char *view_column_title(const struct view *view, enum view_column column);
/* The capital letter that sorts by it; 0: none does. */
char view_column_letter(enum view_column column);
/* Columns of a tab in their order; ends with COLUMN_N. */
const enum view_column *view_columns(enum view_tab tab);
/* The same, in the order in which they get room. */
const enum view_column *view_columns_rank(enum view_tab tab);
bool view_column_is_text(enum view_column column);
/* Text of a cell, without what is drawn (bars and trends). */
#define TEXT_SIZE 320
void view_text(const struct view *view, const struct view_row *row, enum view_column column,
	       char text[TEXT_SIZE]);
/* All there is to say of a row, exactly. */
void view_detail(const struct view_row *row, char text[TEXT_SIZE]);

#define CELL_SIZE 32
/* "1,234,567" */
const char *view_grouped(uint64_t count, char text[CELL_SIZE]);
/* "0.5", "812", "81.2k" */
const char *view_scaled(double amount, char text[CELL_SIZE]);

#endif
