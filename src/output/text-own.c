/* SPDX-License-Identifier: MIT */
/*
 * What of a file --format text has written. Each of its tables begins with a line of source and
 * times and one of sums, which nobody else writes; other lines are known by what stands above them.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "output-internal.h"

/* Longest line: a path, each byte of which may have been repaired to three, and times behind it. */
#define LINE_SIZE ((size_t)3 * PATH_MAX + 128)
/* How far up the beginning of a table is looked for: one of all ports is some 30 MB. */
#define TABLE_MAX ((off_t)64 << 20)

#define TIME "####-##-##T##:##:##.######Z"
static const char times[] = "  " TIME " to " TIME;
/* A beginning of the times that no other text has: who knows the source needs none. */
#define TIMES_LEAST (sizeof "  " TIME " to" - 1)

static const char *const title_ends[] = {
	"", "  (partial)", "  (inside tunnels)", "  (partial)  (inside tunnels)",
};
#define TITLE_ENDS (sizeof title_ends / sizeof *title_ends)

/* What stands below the title; a # at the beginning is a number in groups. */
static const char sums[] = "# packets, ";
static const char *const figures[] = {
	sums,
	"# packets dropped by kernel",
	"# packets dropped by interface",
	"the interface was down or gone for ",
	"# packets came late",
	"# intervals in one: output was held up",
	"output failed ",
};
#define FIGURES (sizeof figures / sizeof *figures)

/* How the parts of a table begin, each behind an empty line; but for notes, which have no head. */
static const char *const heads[] = { "  SERVICE ", "  PORT ", "  ENDPOINT " };
#define HEADS (sizeof heads / sizeof *heads)

/* A whole line has all of a beginning; of a torn one the text may end before. */
static bool begins(const char *text, const char *beginning, bool torn)
{
	size_t length = strlen(text), n = strlen(beginning);

	return torn && length < n ? strncmp(text, beginning, length) == 0
				  : strncmp(text, beginning, n) == 0;
}

/* How many characters are those of the times, in which # is a digit. */
static size_t times_size(const char *text)
{
	size_t n = 0;

	while (text[n] && times[n] &&
	       (times[n] == '#' ? strchr("0123456789", text[n]) != NULL : text[n] == times[n]))
		n++;
	return n;
}

/* Whether @text is what stands behind the source; of a torn line, @least characters of it. */
static bool is_behind_source(const char *text, bool torn, size_t least)
{
	size_t n = times_size(text);

	if (times[n])
		return torn && !text[n] && n >= least;
	for (size_t i = 0; i < TITLE_ENDS; i++)
		if (strcmp(text + n, title_ends[i]) == 0 ||
		    (torn && strncmp(text + n, title_ends[i], strlen(text + n)) == 0))
			return true;
	return false;
}

/* The length of the source in a title; 0: it is none. */
static size_t source_size(const char *text, bool torn)
{
	for (const char *at = text; (at = strstr(at, "  ")) != NULL; at++)
		if (at > text && is_behind_source(at, torn, TIMES_LEAST))
			return (size_t)(at - text);
	return 0;
}

static bool is_figure(const char *text, const char *figure, bool torn)
{
	size_t digits = strspn(text, "0123456789,");

	if (figure[0] != '#')
		return begins(text, figure, torn);
	return digits && begins(text + digits, figure + 1, torn);
}

static bool is_any_figure(const char *text, bool torn)
{
	for (size_t i = 0; i < FIGURES; i++)
		if (is_figure(text, figures[i], torn))
			return true;
	return false;
}

static bool is_head(const char *text, bool torn)
{
	char note[64];

	for (size_t i = 0; i < HEADS; i++)
		if (begins(text, heads[i], torn))
			return true;
	for (int f = 0; f < PM_FACET_N; f++) {
		snprintf(note, sizeof note, "  note: %s: ", pm_facet_name((enum pm_facet)f));
		if (begins(text, note, torn))
			return true;
	}
	return false;
}

static bool is_row(const char *text, bool torn)
{
	size_t spaces = strspn(text, " ");

	return spaces == 2 ? torn || text[2] : spaces == 1 && torn && !text[1];
}

/* The text between two offsets; false if it is no line of ours in any case. */
static bool line_read(int fd, off_t from, off_t to, char text[LINE_SIZE])
{
	size_t size = to - from < (off_t)LINE_SIZE ? (size_t)(to - from) : LINE_SIZE;

	if (size == LINE_SIZE || pread(fd, text, size, from) != (ssize_t)size)
		return false;
	text[size] = '\0';
	return strlen(text) == size;
}

bool pm_text_is_ours(int fd)
{
	char text[LINE_SIZE], *end;
	ssize_t got = pread(fd, text, sizeof text - 1, 0);

	if (got <= 0)
		return false;
	text[got] = '\0';
	end = strchr(text, '\n');
	if (!end)
		return source_size(text, true) > 0;
	*end++ = '\0';
	return source_size(text, false) > 0 && (!*end || is_figure(end, sums, true));
}

/* A part of the file, for going up in it: each line would else be read with all before it. */
struct part {
	int fd;
	off_t begin, end;
	char bytes[4 * LINE_SIZE];
};

/* The line that ends, its own end left out, at @to; false if it is none of ours in any case. */
static bool line_before(struct part *part, off_t to, off_t *ret_begin, char text[LINE_SIZE])
{
	off_t least = to < (off_t)LINE_SIZE ? 0 : to - (off_t)LINE_SIZE;
	const char *from, *line_end;
	size_t size;

	if (least < part->begin || to > part->end) {
		part->end = to;
		part->begin = to < (off_t)sizeof part->bytes ? 0 : to - (off_t)sizeof part->bytes;
		size = (size_t)(part->end - part->begin);
		if (pread(part->fd, part->bytes, size, part->begin) != (ssize_t)size)
			return false;
	}
	from = part->bytes + (least - part->begin);
	size = (size_t)(to - least);
	line_end = memrchr(from, '\n', size);
	if (!line_end && least > 0)
		return false;
	size -= line_end ? (size_t)(line_end + 1 - from) : 0;
	if (size == LINE_SIZE)
		return false;
	*ret_begin = to - (off_t)size;
	memcpy(text, from + (*ret_begin - least), size);
	text[size] = '\0';
	return strlen(text) == size;
}

/* What the line is of which a table has a torn one behind it. */
enum place { BEHIND_TITLE, BEHIND_FIGURE, BEHIND_EMPTY, BEHIND_ROW };

/* Where a table that goes up to @end begins; its title, and what its last line is. */
static bool find_table(int fd, off_t end, off_t *ret_begin, char title[LINE_SIZE],
		       enum place *ret_last)
{
	struct part part = { .fd = fd };
	bool first = true, sums_below = false;

	for (off_t at = end, begin; at > 0 && end - at < TABLE_MAX; at = begin) {
		enum place place;

		if (!line_before(&part, at - 1, &begin, title))
			return false;
		if (source_size(title, false) > 0)
			place = BEHIND_TITLE;
		else if (!title[0])
			place = BEHIND_EMPTY;
		else if (is_row(title, false))
			place = BEHIND_ROW;
		else if (is_any_figure(title, false))
			place = BEHIND_FIGURE;
		else
			return false;
		if (first)
			*ret_last = place;
		if (place == BEHIND_TITLE) {
			*ret_begin = begin;
			return first || sums_below;
		}
		first = false;
		sums_below = is_figure(title, sums, false);
	}
	return false;
}

/* Whether it is the title of the source that the one above is of. */
static bool is_same_source(const char *text, const char *title)
{
	size_t size = source_size(title, false), length = strlen(text);

	return length <= size ? strncmp(text, title, length) == 0
			      : strncmp(text, title, size) == 0 &&
					is_behind_source(text + size, true, 0);
}

bool pm_text_find_torn(int fd, off_t end, off_t size, off_t *ret_begin)
{
	char text[LINE_SIZE], title[LINE_SIZE];
	enum place last = BEHIND_TITLE;
	off_t begin;

	if (!line_read(fd, end, size, text))
		return false;
	*ret_begin = end;
	if (source_size(text, true) > 0)
		return true;
	if (!find_table(fd, end, &begin, title, &last))
		return false;
	/* The table above may be whole, unless what is torn is surely another part of it. */
	if (last == BEHIND_EMPTY && !is_head(text, false))
		return is_head(text, true) || is_same_source(text, title);
	*ret_begin = begin;
	switch (last) {
	case BEHIND_TITLE:
		return is_figure(text, sums, true);
	case BEHIND_FIGURE:
		return is_any_figure(text, true);
	case BEHIND_ROW:
		return is_row(text, true);
	default:
		return true;
	}
}
