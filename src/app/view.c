/* SPDX-License-Identifier: MIT */
/* The live view's state: what records and keys make of it. */
#include "view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view-parts.h"

int view_new(const struct view_options *options, struct view **ret_view)
{
	struct view *view = calloc(1, sizeof *view);

	if (!view)
		return PM_E_MEMORY;
	view->options = *options;
	view->stale = true;
	view->page = 1;
	for (int tab = 0; tab < TAB_N; tab++)
		view->sort[tab] = (struct view_sort){ COLUMN_BYTES, true };
	/* else clients' ports, which have as many bytes, stand among those that serve */
	view->sort[TAB_PORTS].column = COLUMN_SERVED;
	view->sort[TAB_NOTICES] = (struct view_sort){ COLUMN_N, false };
	*ret_view = view;
	return PM_OK;
}

static void shot_free(struct shot *shot)
{
	pm_record_free(shot->record);
	pm_record_free(shot->sum);
	free(shot->trends);
	*shot = (struct shot){ .record = NULL };
}

/* Goes on: the frozen record may still be the last one. */
static void thaw(struct view_source *source)
{
	if (source->frozen.record == source->now.record)
		source->frozen.record = NULL;
	shot_free(&source->frozen);
}

/*
 * Sum and trends change with the next record, so what is looked at is a copy. If memory is short,
 * they are missing.
 */
static void freeze(struct view_source *source)
{
	struct trends *trends = malloc(sizeof *trends);

	source->frozen = (struct shot){ .record = source->now.record };
	if (source->now.sum)
		(void)pm_record_add(&source->frozen.sum, source->now.sum);
	if (trends && source->now.trends) {
		*trends = *source->now.trends;
		source->frozen.trends = trends;
	} else {
		free(trends);
	}
}

void view_free(struct view *view)
{
	if (!view)
		return;
	for (size_t i = 0; i < view->n_sources; i++) {
		thaw(&view->sources[i]);
		shot_free(&view->sources[i].now);
	}
	free(view->sources);
	free(view->rows);
	free(view->notices);
	free(view);
}

static struct view_source *source_of(struct view *view, const struct pm_source *source)
{
	struct view_source *sources;

	for (size_t i = 0; i < view->n_sources; i++)
		if (view->sources[i].source == source)
			return &view->sources[i];
	sources = realloc(view->sources, (view->n_sources + 1) * sizeof *sources);
	if (!sources)
		return NULL;
	view->sources = sources;
	sources += view->n_sources++;
	*sources = (struct view_source){ .source = source };
	return sources;
}

int view_source(struct view *view, const struct pm_source *source)
{
	return source_of(view, source) ? PM_OK : PM_E_MEMORY;
}

int view_record(struct view *view, struct pm_record *record)
{
	struct view_source *source = source_of(view, record->source);
	int r = PM_E_MEMORY;

	if (source && !source->now.trends)
		source->now.trends = calloc(1, sizeof *source->now.trends);
	if (source && source->now.trends)
		r = pm_record_add(&source->now.sum, record);
	if (r < 0) {
		pm_record_free(record);
		return r;
	}
	trends_add(source->now.trends, record);
	if (source->now.record != source->frozen.record)
		pm_record_free(source->now.record);
	source->now.record = record;
	if (!view->paused || !source->frozen.record)
		view->stale = true;
	return PM_OK;
}

const struct shot *view_shot(const struct view *view)
{
	const struct view_source *source = view->n_sources ? &view->sources[view->source] : NULL;

	if (!source || !source->now.record)
		return NULL;
	return view->paused && source->frozen.record ? &source->frozen : &source->now;
}

bool view_adds_up(const struct view *view)
{
	return view->totals && view->tab != TAB_ENDPOINTS;
}

const struct pm_record *view_shown(const struct view *view)
{
	const struct shot *shot = view_shot(view);

	if (!shot)
		return NULL;
	return view_adds_up(view) && shot->sum ? shot->sum : shot->record;
}

bool view_has_tab(const struct view *view, enum view_tab tab)
{
	const struct shot *shot = view_shot(view);

	if (tab != TAB_ENDPOINTS)
		return true;
	if (shot)
		return shot->record->by_endpoint;
	/* One that has no record yet is counted as the others are. */
	for (size_t i = 0; i < view->n_sources; i++)
		if (view->sources[i].now.record && view->sources[i].now.record->by_endpoint)
			return true;
	return false;
}

void view_message(struct view *view, const char *text)
{
	snprintf(view->messages[view->n_messages++ % MESSAGES], MESSAGE_SIZE, "%s", text);
	view->message_shown = true;
	view->stale = true;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void set_tab(struct view *view, int tab)
{
	view->tab = (enum view_tab)((tab + TAB_N) % TAB_N);
	view->selected = false;
}

static void step_tab(struct view *view, int step)
{
	do
		set_tab(view, (int)view->tab + step);
	while (!view_has_tab(view, view->tab));
}

static void step_source(struct view *view, bool back)
{
	if (view->n_sources)
		view->source = (view->source + (back ? view->n_sources - 1 : 1)) % view->n_sources;
}

static void toggle_pause(struct view *view)
{
	view->paused = !view->paused;
	for (size_t i = 0; i < view->n_sources; i++) {
		if (view->paused)
			freeze(&view->sources[i]);
		else
			thaw(&view->sources[i]);
	}
}

static void sort_by(struct view *view, enum view_column column)
{
	struct view_sort *sort = &view->sort[view->tab];

	if (sort->column == column)
		sort->falling = !sort->falling;
	else
		*sort = (struct view_sort){ column, !view_column_is_text(column) };
	view->top[view->tab] = 0;
}

/* The next of the tab's columns, to the right or to the left, that can be sorted by. */
static void step_sort(struct view *view, bool left)
{
	const enum view_column *columns = view_columns(view->tab);
	size_t n = 0, at = 0;

	for (; columns[n] != COLUMN_N; n++)
		if (columns[n] == view->sort[view->tab].column)
			at = n;
	do
		at = (at + (left ? n - 1 : 1)) % n;
	while (!view_column_letter(columns[at]));
	sort_by(view, columns[at]);
}

static bool sort_by_letter(struct view *view, uint32_t key)
{
	for (const enum view_column *c = view_columns(view->tab); *c != COLUMN_N; c++)
		if (view_column_letter(*c) && (uint32_t)view_column_letter(*c) == key) {
			sort_by(view, *c);
			return true;
		}
	return false;
}

size_t view_selected(const struct view *view)
{
	for (size_t i = 0; i < view->n_rows; i++)
		if (view_row_key(&view->rows[i]) == view->chosen)
			return i;
	/* It is gone: what has come in its place. */
	return view->chosen_place < view->n_rows ? view->chosen_place : view->n_rows - 1;
}

static void move(struct view *view, long step)
{
	long place;

	view_rows(view);
	if (!view->n_rows)
		return;
	place = view->selected ? (long)view_selected(view) + step
			       : (long)view->top[view->tab] + (step < 0 ? step : step - 1);
	if (place < 0)
		place = 0;
	if (place >= (long)view->n_rows)
		place = (long)view->n_rows - 1;
	view->selected = true;
	view->chosen_place = (size_t)place;
	view->chosen = view_row_key(&view->rows[place]);
}

/* The last character of the filter, which is UTF-8. */
static void filter_shorten(struct view *view)
{
	size_t n = strlen(view->filter);

	while (n > 0 && ((unsigned char)view->filter[n - 1] & 0xc0) == 0x80)
		n--;
	view->filter[n ? n - 1 : 0] = '\0';
}

static void filter_add(struct view *view, uint32_t rune)
{
	size_t n = strlen(view->filter);
	char *to = view->filter + n;

	if (rune < 0x20 || rune == 0x7f || rune >= 0x110000 || n + 5 > FILTER_SIZE)
		return;
	if (rune < 0x80) {
		*to++ = (char)rune;
	} else {
		int more = rune < 0x800 ? 1 : rune < 0x10000 ? 2
							     : 3;

		*to++ = (char)((0xff00 >> (more + 1) & 0xff) | rune >> 6 * more);
		while (more-- > 0)
			*to++ = (char)(0x80 | (rune >> 6 * more & 0x3f));
	}
	*to = '\0';
}

/* While the filter is typed. */
static void type(struct view *view, uint32_t key)
{
	switch (key) {
	case VIEW_KEY_ENTER:
		view->typing = false;
		break;
	case VIEW_KEY_ESCAPE:
		view->typing = false;
		view->filter[0] = '\0';
		break;
	case VIEW_KEY_BACKSPACE:
		filter_shorten(view);
		break;
	case 'U' & 0x1f: /* as on a command line */
		view->filter[0] = '\0';
		break;
	case VIEW_KEY_UP:
		move(view, -1);
		break;
	case VIEW_KEY_DOWN:
		move(view, 1);
		break;
	default:
		filter_add(view, key);
		break;
	}
	view->top[view->tab] = 0;
}

/* Takes back what was done last that can be. */
static void escape(struct view *view)
{
	if (view->help)
		view->help = false;
	else if (view->selected)
		view->selected = false;
	else
		view->filter[0] = '\0';
}

static bool move_by_key(struct view *view, uint32_t key)
{
	long page = view->page > 1 ? (long)view->page - 1 : 1;

	switch (key) {
	case VIEW_KEY_UP:
	case 'k':
		move(view, -1);
		return true;
	case VIEW_KEY_DOWN:
	case 'j':
		move(view, 1);
		return true;
	case VIEW_KEY_PAGE_UP:
		move(view, -page);
		return true;
	case VIEW_KEY_PAGE_DOWN:
		move(view, page);
		return true;
	case VIEW_KEY_HOME:
	case 'g':
		move(view, -(1L << 30));
		return true;
	case VIEW_KEY_END:
		move(view, 1L << 30);
		return true;
	default:
		return false;
	}
}

static bool choose_by_key(struct view *view, uint32_t key)
{
	switch (key) {
	case '\t':
	case VIEW_KEY_RIGHT:
		step_tab(view, 1);
		return true;
	case VIEW_KEY_BACK_TAB:
	case VIEW_KEY_LEFT:
		step_tab(view, -1);
		return true;
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
		if (view_has_tab(view, (enum view_tab)(key - '1')))
			set_tab(view, (int)(key - '1'));
		return true;
	case 'i':
	case 'I':
		step_source(view, key == 'I');
		return true;
	case 's':
	case '>':
		step_sort(view, false);
		return true;
	case '<':
		step_sort(view, true);
		return true;
	case 'r':
		view->sort[view->tab].falling = !view->sort[view->tab].falling;
		return true;
	default:
		return sort_by_letter(view, key);
	}
}

bool view_key(struct view *view, uint32_t key)
{
	view->stale = true;
	view->message_shown = false;
	if (view->typing) {
		type(view, key);
		return true;
	}
	if (move_by_key(view, key) || choose_by_key(view, key))
		return true;
	switch (key) {
	case 'q':
		return false;
	case '?':
	case 'h':
		view->help = !view->help;
		break;
	case 'p':
	case ' ':
		toggle_pause(view);
		break;
	case 't':
		view->totals = !view->totals;
		break;
	case 'b':
		view->bytes = !view->bytes;
		break;
	case '/':
		view->typing = true;
		view->help = false;
		break;
	case VIEW_KEY_ESCAPE:
		escape(view);
		break;
	default:
		break;
	}
	return true;
}
