/* SPDX-License-Identifier: MIT */
/* The live view as cells: the lines of the screen, from the top down. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "view-parts.h"

/* Columns at least, before a table makes sense. */
#define COLUMNS_LEAST 16
#define MARGIN 2 /* where the mark of the selected row stands */

struct canvas {
	struct view_cell *cells;
	int rows, columns;
	bool utf8;
};

/* A place in a line, and where it ends. */
struct pen {
	struct canvas *canvas;
	int row, column, end;
	uint8_t style;
};

/* ---- text ---------------------------------------------------------------------------------- */

/* The next character; what is not UTF-8 is taken as one byte that can't be shown. */
static uint32_t decode(const char **at)
{
	const unsigned char *c = (const unsigned char *)*at;
	int more = c[0] >= 0xf0 ? 3 : c[0] >= 0xe0 ? 2
			      : c[0] >= 0xc2       ? 1
						   : 0;
	uint32_t rune = more ? c[0] & (0x3fu >> more) : c[0];

	*at += 1;
	if (!more)
		return c[0] < 0x80 ? c[0] : 0xfffd;
	for (int i = 1; i <= more; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0xfffd;
		rune = rune << 6 | (c[i] & 0x3f);
	}
	*at += more;
	return rune;
}

/*
 * Nothing that moves the cursor or turns the text round gets to the terminal: only what takes up
 * one column or two.
 */
static uint32_t shown(const struct canvas *canvas, uint32_t rune, int *ret_width)
{
	*ret_width = 1;
	if (rune >= 0x20 && rune < 0x7f)
		return rune;
	if (!canvas->utf8 || rune < 0xa0 || rune > 0x10ffff)
		return '?';
	*ret_width = wcwidth((wchar_t)rune);
	if (*ret_width == 1 || *ret_width == 2)
		return rune;
	*ret_width = 1;
	return '?';
}

static void put_rune(struct pen *pen, uint32_t rune)
{
	int width;
	uint32_t what = shown(pen->canvas, rune, &width);
	struct view_cell *cell;

	if (pen->column + width > pen->end) {
		pen->column = pen->end;
		return;
	}
	cell = &pen->canvas->cells[pen->row * pen->canvas->columns + pen->column];
	cell[0] = (struct view_cell){ what, pen->style };
	if (width == 2)
		cell[1] = (struct view_cell){ 0, pen->style };
	pen->column += width;
}

static void put_text(struct pen *pen, const char *text)
{
	while (*text && pen->column < pen->end)
		put_rune(pen, decode(&text));
}

static void put(struct pen *pen, const char *format, ...) PM_PRINTF(2, 3);

static void put(struct pen *pen, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put_text(pen, text);
}

/* Blanks up to a column. */
static void put_to(struct pen *pen, int column)
{
	while (pen->column < column && pen->column < pen->end)
		put_rune(pen, ' ');
}

static int width_of(const struct canvas *canvas, const char *text)
{
	int sum = 0, width;

	while (*text) {
		shown(canvas, decode(&text), &width);
		sum += width;
	}
	return sum;
}

static struct pen pen_at(struct canvas *canvas, int row, uint8_t style)
{
	return (struct pen){ canvas, row, 0, canvas->columns, style };
}

/* ---- bars and trends ----------------------------------------------------------------------- */

/* @share of @width columns, in eighths where the terminal has them. */
static void put_bar(struct pen *pen, double share, int width)
{
	int eighths = (int)(share * width * 8 + 0.5), whole;

	if (eighths > width * 8)
		eighths = width * 8;
	whole = pen->canvas->utf8 ? eighths / 8 : (eighths + 4) / 8;
	for (int i = 0; i < whole; i++)
		put_rune(pen, pen->canvas->utf8 ? 0x2588 : '#');
	if (pen->canvas->utf8 && eighths % 8)
		put_rune(pen, 0x2590 - (uint32_t)(eighths % 8));
}

/* So many records ago. */
static float value_at(const struct trends *trends, const struct trend *trend, int ago)
{
	return trend->bytes[(trends->tick + TRENDS_SPAN - (unsigned)ago) % TRENDS_SPAN];
}

/* The last of it, as high as the highest in it; where there is nothing it is blank. */
static void put_trend(struct pen *pen, const struct trends *trends, uint64_t key, int width)
{
	static const char ascii[] = "_.-=+*%#";
	const struct trend *trend = trends_find(trends, key);
	float most = 0, value;
	int n = width < TRENDS_SPAN ? width : TRENDS_SPAN;

	if (!trend)
		return;
	for (int i = 0; i < n; i++) {
		value = value_at(trends, trend, i);
		most = value > most ? value : most;
	}
	put_to(pen, pen->column + width - n);
	for (int i = n - 1; i >= 0; i--) {
		int level;

		value = value_at(trends, trend, i);
		level = value > 0 ? (int)(value / most * 7 + 0.5F) : -1;
		put_rune(pen, level < 0           ? ' '
			      : pen->canvas->utf8 ? 0x2581 + (uint32_t)level
						  : (uint32_t)ascii[level]);
	}
}

/* ---- the head ------------------------------------------------------------------------------ */

/* "08:39:02", with milliseconds where they are not 0. */
static const char *clock_text(int64_t time_ns, char text[PM_TIME_TEXT_SIZE])
{
	bool whole;

	pm_time_text(time_ns, text);
	whole = memcmp(text + 20, "000", 3) == 0;
	memmove(text, text + 11, 12);
	text[whole ? 8 : 12] = '\0';
	return text;
}

static void draw_title(const struct view *view, struct canvas *canvas, int line)
{
	const struct pm_record *record = view_shown(view);
	const struct pm_source *source =
		view->n_sources ? view->sources[view->source].source : NULL;
	struct pen pen = pen_at(canvas, line, VIEW_REVERSE | VIEW_BOLD);
	char from[PM_TIME_TEXT_SIZE], to[PM_TIME_TEXT_SIZE];
	int state = view->paused ? 8 : 0;

	pen.end -= state;
	put(&pen, " portmeter");
	if (source)
		put(&pen, "  %s", source->name);
	if (view->n_sources > 1)
		put(&pen, " (%zu of %zu)", view->source + 1, view->n_sources);
	if (record)
		put(&pen, "  %s to %s UTC%s%s",
		    clock_text(record->interval.start_ns, from),
		    clock_text(record->interval.end_ns, to),
		    view_adds_up(view) ? ", in all" : "",
		    record->source->inner ? ", inside tunnels" : "");
	put_to(&pen, pen.end);
	pen.end += state;
	put(&pen, "%s", view->paused ? " PAUSED " : "");
}

/* " 812.3 kbit/s" */
static void put_amount(struct pen *pen, double amount, const char *unit)
{
	char text[CELL_SIZE];
	size_t n = strlen(view_scaled(amount, text));
	bool prefixed = n > 0 && text[n - 1] > '9';
	char prefix[2] = { prefixed ? text[n - 1] : '\0', '\0' };

	if (prefixed)
		text[n - 1] = '\0';
	put(pen, " %s %s%s", text, prefix, unit);
}

static void draw_totals(const struct view *view, struct canvas *canvas, int line)
{
	const struct pm_record *record = view_shown(view);
	struct pen pen = pen_at(canvas, line, VIEW_BOLD);
	char a[CELL_SIZE];
	double seconds;
	uint64_t dropped;
	int room;

	if (!record) {
		put(&pen, " waiting for the end of the first interval");
		return;
	}
	seconds = view_seconds(record);
	dropped = record->capture.dropped_kernel + record->capture.dropped_interface;
	put_amount(&pen, (double)record->totals.bytes * (view->bytes ? 1 : 8) / seconds,
		   view->bytes ? "B/s" : "bit/s");
	put(&pen, "  %s packets/s", view_scaled((double)record->totals.packets / seconds, a));
	pen.style = 0;
	put(&pen, "  %s packets ", view_grouped(record->totals.packets, a));
	put_amount(&pen, (double)record->totals.bytes, "B");
	if (dropped) {
		pen.style = VIEW_REVERSE | VIEW_COLOUR_ALARM;
		pen.column += 2;
		put(&pen, "! %s dropped", view_grouped(dropped, a));
	}
	pen.style = VIEW_COLOUR_BAR;
	room = pen.end - pen.column - 3;
	if (room < 8)
		return;
	room = room < TRENDS_SPAN ? room : TRENDS_SPAN;
	pen.column = pen.end - room - 1;
	put_trend(&pen, view_shot(view)->trends, TREND_TOTAL, room);
}

static void draw_tabs(const struct view *view, struct canvas *canvas, int line)
{
	static const char *const names[] = {
		[TAB_SERVICES] = "Services",
		[TAB_PORTS] = "Ports",
		[TAB_TRANSPORTS] = "Transports",
		[TAB_NOTICES] = "Notices",
		[TAB_ENDPOINTS] = "Endpoints",
	};
	struct pen pen = pen_at(canvas, line, 0);

	for (int tab = 0; tab < TAB_N; tab++) {
		bool open = view->tab == (enum view_tab)tab;

		if (!view_has_tab(view, (enum view_tab)tab))
			continue;
		pen.style = 0;
		put(&pen, " ");
		pen.style = open ? VIEW_BOLD | VIEW_REVERSE : 0;
		put(&pen, "%c%d %s", open ? '[' : ' ', tab + 1, names[tab]);
		if (tab == TAB_NOTICES && view->n_alarms)
			put(&pen, " !%zu", view->n_alarms);
		put(&pen, "%c", open ? ']' : ' ');
	}
	pen.style = 0;
	if (view->filter[0] && !view->typing)
		put(&pen, "  /%s", view->filter);
}

/* ---- the table ----------------------------------------------------------------------------- */

/* A bar and the blank before it. */
#define BAR 11
#define BAR_LEAST 5

struct width {
	int least, most;
	bool right; /* numbers */
};

static const struct width widths[] = {
	[COLUMN_NAME] = { 12, 20, false },
	[COLUMN_TRANSPORT] = { 7, 7, false },
	[COLUMN_LABEL] = { 10, 24, false },
	[COLUMN_PORTS] = { 5, 15, false },
	[COLUMN_RANGE] = { 8, 8, false },
	[COLUMN_BYTES] = { 7, 7, true },
	[COLUMN_SHARE] = { 6, 6 + BAR, true },
	[COLUMN_PACKETS] = { 8, 8, true },
	[COLUMN_TO] = { 7, 7, true },
	[COLUMN_FROM] = { 8, 8, true },
	[COLUMN_SERVED] = { 7, 7, true },
	[COLUMN_UNKNOWN] = { 8, 8, true },
	[COLUMN_SESSIONS] = { 6, 6, true },
	[COLUMN_CLIENTS] = { 8, 8, true },
	[COLUMN_BY] = { 10, 10, false },
	[COLUMN_TREND] = { 8, TRENDS_SPAN, false },
};
_Static_assert(sizeof widths / sizeof *widths == COLUMN_N, "a width for every column");

/* What a column of the tab may take. */
static struct width width_for(const struct view *view, enum view_column column)
{
	struct width width = widths[column];

	if (view->tab == TAB_NOTICES && column == COLUMN_NAME)
		width.most = 1000;
	if (view->tab == TAB_NOTICES && column != COLUMN_NAME)
		width.least = width.most = 14;
	if (view->tab == TAB_ENDPOINTS && column == COLUMN_NAME)
		width = (struct width){ 21, 50, false };
	return width;
}

/* Which columns there is room for, in the order of their rank, and how wide each is; 0: none. */
static void share_out(const struct view *view, int columns, int given[COLUMN_N])
{
	static const enum view_column growing[] = { COLUMN_SHARE, COLUMN_NAME, COLUMN_LABEL,
						    COLUMN_PORTS, COLUMN_TREND };
	int room = columns - MARGIN;

	memset(given, 0, COLUMN_N * sizeof *given);
	for (const enum view_column *c = view_columns_rank(view->tab); *c != COLUMN_N; c++) {
		int least = width_for(view, *c).least;

		if (*c == COLUMN_NAME && least > room)
			least = room;
		/* A bar tells more than that. */
		if (least <= room && !(*c == COLUMN_BY && least + 1 + BAR > room)) {
			given[*c] = least;
			room -= least + 1;
		}
	}
	for (size_t i = 0; i < sizeof growing / sizeof *growing && room > 0; i++) {
		int more = width_for(view, growing[i]).most - given[growing[i]];

		if (!given[growing[i]])
			continue;
		more = more < room ? more : room;
		if (growing[i] == COLUMN_SHARE && more < BAR_LEAST)
			continue;
		given[growing[i]] += more;
		room -= more;
	}
}

/* The title, its letter underlined, and which way it is sorted. */
static void put_column_head(const struct view *view, struct pen *pen, enum view_column column)
{
	const struct view_sort *sort = &view->sort[view->tab];
	const char *title = view_column_title(view, column);
	char letter = view_column_letter(column);

	for (; *title; title++) {
		pen->style = VIEW_BOLD | (*title == letter ? VIEW_UNDERLINE : 0);
		put_rune(pen, (uint32_t)*title);
		if (*title == letter)
			letter = 0;
	}
	pen->style = VIEW_BOLD;
	if (sort->column == column && pen->canvas->utf8)
		put_rune(pen, sort->falling ? 0x25bc : 0x25b2);
	else if (sort->column == column)
		put_rune(pen, sort->falling ? 'v' : '^');
}

static void draw_head(const struct view *view, struct canvas *canvas, int line,
		      const int given[COLUMN_N])
{
	struct pen pen = pen_at(canvas, line, VIEW_BOLD);
	int column = MARGIN;

	for (const enum view_column *c = view_columns(view->tab); *c != COLUMN_N; c++) {
		int width = (int)strlen(view_column_title(view, *c)) +
			    (view->sort[view->tab].column == *c);

		if (!given[*c])
			continue;
		pen.column = column;
		pen.end = column + given[*c];
		/* A share is a number and, behind it, its bar. */
		if (widths[*c].right && *c == COLUMN_SHARE)
			pen.column += widths[*c].least > width ? widths[*c].least - width : 0;
		else if (widths[*c].right)
			pen.column += given[*c] > width ? given[*c] - width : 0;
		put_column_head(view, &pen, *c);
		column += given[*c] + 1;
	}
}

static void put_cell(const struct view *view, struct pen *pen, const struct view_row *row,
		     enum view_column column, int width)
{
	uint8_t style = pen->style;
	char text[TEXT_SIZE];
	double whole;
	int number = column == COLUMN_SHARE ? widths[column].least : width;

	if (column == COLUMN_TREND) {
		pen->style |= VIEW_COLOUR_BAR;
		put_trend(pen, view_shot(view)->trends, view_row_key(row), width);
		pen->style = style;
		return;
	}
	view_text(view, row, column, text);
	if (widths[column].right)
		put_to(pen, pen->column + number - width_of(pen->canvas, text));
	put_text(pen, text);
	if (column != COLUMN_SHARE || width - number < 4)
		return;
	whole = (double)view_shown(view)->totals.bytes;
	put_rune(pen, ' ');
	pen->style |= VIEW_COLOUR_BAR;
	put_bar(pen, whole > 0 ? (double)row->count.bytes / whole : 0, width - number - 1);
	pen->style = style;
}

static void draw_row(const struct view *view, struct canvas *canvas, int line,
		     const int given[COLUMN_N], const struct view_row *row, bool selected)
{
	struct pen pen = pen_at(canvas, line, selected ? VIEW_REVERSE : 0);
	int column = MARGIN;

	put_to(&pen, selected ? pen.end : 0);
	pen.column = 0;
	if (row->notice && row->notice->alarm)
		pen.style |= VIEW_BOLD | VIEW_COLOUR_ALARM;
	put(&pen, "%s", selected ? ">" : "");
	for (const enum view_column *c = view_columns(view->tab); *c != COLUMN_N; c++) {
		if (!given[*c])
			continue;
		pen.column = column;
		pen.end = column + given[*c];
		put_cell(view, &pen, row, *c, given[*c]);
		column += given[*c] + 1;
	}
}

/* Where the selected row is, which is brought into sight; SIZE_MAX: none is. */
static size_t place_of_selected(struct view *view, size_t lines)
{
	size_t *top = &view->top[view->tab], place = SIZE_MAX;

	if (view->selected && view->n_rows) {
		place = view->chosen_place = view_selected(view);
		if (place < *top)
			*top = place;
		if (place >= *top + lines)
			*top = place + 1 - lines;
	}
	if (*top + lines > view->n_rows)
		*top = view->n_rows > lines ? view->n_rows - lines : 0;
	return place;
}

static void draw_table(struct view *view, struct canvas *canvas, int line, int lines,
		       const int given[COLUMN_N])
{
	size_t selected = place_of_selected(view, (size_t)lines), top = view->top[view->tab];

	view->page = (size_t)lines;
	for (size_t i = top; i < view->n_rows && i < top + (size_t)lines; i++)
		draw_row(view, canvas, line + (int)(i - top), given, &view->rows[i], i == selected);
	if (!view->n_rows && view_shown(view)) {
		struct pen pen = pen_at(canvas, line, 0);

		if (view->filter[0])
			put(&pen, "  nothing has \"%s\" in it", view->filter);
		else
			put(&pen, "  nothing here");
	}
}

/* ---- the foot ------------------------------------------------------------------------------ */

/* What does not fit goes on in the next line, from the last semicolon. */
static void draw_detail(struct view *view, struct canvas *canvas, int line, int lines)
{
	char text[TEXT_SIZE], *at = text;

	if (!view->selected || view->chosen_place >= view->n_rows)
		return;
	view_detail(&view->rows[view->chosen_place], text);
	for (int i = 0; i < lines && *at; i++) {
		struct pen pen = pen_at(canvas, line + i, 0);
		char *end = strrchr(at, ';'), *next = at + strlen(at);

		while (i + 1 < lines && width_of(canvas, at) + 1 > canvas->columns && end) {
			*end = '\0';
			next = end + 2;
			end = strrchr(at, ';');
		}
		put(&pen, " %s", at);
		at = next;
	}
}

static void draw_status(const struct view *view, struct canvas *canvas, int line)
{
	struct pen pen = pen_at(canvas, line, 0);
	char place[64], shown_rows[CELL_SIZE], all[CELL_SIZE];
	int width;

	if (view->typing) {
		pen.style = VIEW_BOLD;
		put(&pen, "/%s", view->filter);
		pen.style = VIEW_REVERSE;
		put(&pen, " ");
		pen.style = 0;
		put(&pen, "  Enter: keep  Esc: drop");
		return;
	}
	if (view->message_shown && view->n_messages) {
		pen.style = VIEW_BOLD;
		put(&pen, "%s", view->messages[(view->n_messages - 1) % MESSAGES]);
		put_to(&pen, pen.end);
		return;
	}
	snprintf(place, sizeof place, "%s%s%s rows ", view_grouped(view->n_rows, shown_rows),
		 view->n_rows < view->of_rows ? " of " : "",
		 view->n_rows < view->of_rows ? view_grouped(view->of_rows, all) : "");
	width = (int)strlen(place);
	pen.end -= width + 1;
	put(&pen, " ?help  q quit  Tab next  s sort  / filter  p pause  t totals%s",
	    view->n_sources > 1 ? "  i interface" : "");
	pen.column = pen.end + 1 > 0 ? pen.end + 1 : 0;
	pen.end = canvas->columns;
	put(&pen, "%s", place);
}

static void draw_help(struct canvas *canvas, int line, int lines)
{
	static const char *const text[] = {
		"q, Ctrl-C  end, with the closing counts     ?, h  this help",
		"Tab, 1-5   the next tab, that tab           i, I  next, previous interface",
		"p, Space   pause; counting goes on          t     rates, or totals",
		"s, >, <    sort by another column           r     the other way round",
		"A-Z        sort by the column with that letter; again: the other way round",
		"/          only rows with that text: name, category, tcp/443, transport",
		"Up, Down   select a row: its exact figures stand below; Esc lets go",
		"b          bits or bytes a second           ^Z ^L suspend, draw anew",
		"",
		"N name  R transport  V service  O port  G range  B bytes  H share  K packets",
		"T to the service or port  F from it  D frames that it served  U unknown",
		"E sessions  C clients  Y what mostly told the side",
	};

	for (int i = 0; i < lines && i < (int)(sizeof text / sizeof *text); i++) {
		struct pen pen = pen_at(canvas, line + i, 0);

		put(&pen, "  %s", text[i]);
	}
}

void view_draw(struct view *view, int rows, int columns, struct view_cell *cells)
{
	struct canvas canvas = { cells, rows, columns, view->options.utf8 };
	int line = 0, foot = rows, details;
	int given[COLUMN_N];

	for (int i = 0; i < rows * columns; i++)
		cells[i] = (struct view_cell){ ' ', 0 };
	if (rows < 1 || columns < 1)
		return;
	if (view->n_sources && !view_has_tab(view, view->tab))
		view->tab = TAB_SERVICES;
	view_rows(view);
	draw_title(view, &canvas, line++);
	/* What matters least goes first. */
	if (rows >= 3)
		draw_status(view, &canvas, --foot);
	if (rows >= 4)
		draw_totals(view, &canvas, line++);
	details = rows >= 16 ? 2 : rows >= 9 ? 1
					     : 0;
	foot -= details;
	if (rows >= 7)
		draw_tabs(view, &canvas, line++);
	if (columns < COLUMNS_LEAST)
		return;
	if (view->help) {
		draw_help(&canvas, line, foot - line);
		return;
	}
	share_out(view, columns, given);
	if (rows >= 5)
		draw_head(view, &canvas, line++, given);
	if (foot > line)
		draw_table(view, &canvas, line, foot - line, given);
	draw_detail(view, &canvas, foot, details);
}
