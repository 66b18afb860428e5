/* SPDX-License-Identifier: MIT */
/*
 * How far reading files has come, on standard error: on a terminal one line that is drawn over
 * itself, elsewhere, if it was asked for, a line a second. Whatever else is written to the terminal
 * erases the line first; the next tick draws it again.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app.h"

/* A run that ends before this needs no line on its way. */
#define PATIENCE_NS PM_NS_PER_S
#define REDRAW_NS (PM_NS_PER_S / 5)
#define PLAIN_NS PM_NS_PER_S
/* The rate is that of the last second or so: frame by frame it would flicker. */
#define RATE_NS PM_NS_PER_S
#define COLUMNS_DEFAULT 80
#define LINE_MAX_SIZE 128
/* Beyond, nobody knows. */
#define LEFT_MAX_S 359999.0

static const char name[] = "portmeter: "; /* as say() has it */

static struct {
	bool on, forced, terminal;
	bool beside; /* records go to a terminal too, which may be the same */
	uint64_t limit;
	int64_t start_ns, due_ns, mark_ns;
	uint64_t mark_frames;
	double rate;
	atomic_int shown; /* columns of the line that stands on the terminal */
} progress;

/* While records go to the terminal: another thread may be writing them. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

/* A job in the background leaves the terminal to the one in front. */
static bool in_front(void)
{
	pid_t group = tcgetpgrp(STDERR_FILENO);

	return group < 0 || group == getpgrp();
}

static bool is_device(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

void progress_begin(const struct options *options)
{
	const char *path = options->output.path;

	progress.terminal = isatty(STDERR_FILENO);
	progress.beside = path ? is_device(path) : isatty(STDOUT_FILENO);
	progress.forced = options->progress;
	/* Where every frame is a line on the screen, they show how far it has come. */
	progress.on = progress.forced ||
		      (progress.terminal &&
		       !(progress.beside && options->output.format == PM_FORMAT_FRAMES));
	progress.limit = options->count;
	progress.start_ns = progress.mark_ns = pm_time_steady();
	progress.due_ns = progress.start_ns;
	if (!progress.terminal || !progress.forced)
		progress.due_ns += PATIENCE_NS;
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS_DEFAULT;
	return size.ws_col;
}

static bool writable(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT);
}

static void put(const char *text, size_t size)
{
	/* There is nowhere to say that it failed. */
	if (write(STDERR_FILENO, text, size) < 0)
		return;
}

/* "812 B", "1.2 GiB" */
static void bytes_text(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
		value /= 1024;
	snprintf(text, size, "%.*f %s", unit ? 1 : 0, value, units[unit]);
}

/* "812", "12.3 k", "4.6 M" */
static void rate_text(double rate, char *text, size_t size)
{
	if (rate >= 1e6)
		snprintf(text, size, "%.1f M", rate / 1e6);
	else if (rate >= 1e4)
		snprintf(text, size, "%.1f k", rate / 1e3);
	else
		snprintf(text, size, "%.0f", rate);
}

/* "0:07", "12:30", "1:02:03" */
static void time_text(double seconds, char *text, size_t size)
{
	unsigned s = (unsigned)(seconds + 0.999);

	if (s >= 3600)
		snprintf(text, size, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(text, size, "%u:%02u", s / 60, s % 60);
}

/* How much is done, of 1; negative: not known. The end is that of the files, or that of -c. */
static double share_of(const struct pm_capture_progress *p, uint64_t counted)
{
	double share = -1, of_limit;

	if (p->total_known && p->total)
		share = (double)p->bytes / (double)p->total;
	if (!progress.limit)
		return share;
	of_limit = (double)counted / (double)progress.limit;
	return of_limit > share ? of_limit : share;
}

static double rate_of(uint64_t frames, int64_t now, bool last)
{
	int64_t since = last ? progress.start_ns : progress.mark_ns;
	uint64_t before = last ? 0 : progress.mark_frames;

	if (now > since && (last || progress.rate == 0 || now - since >= RATE_NS))
		progress.rate = (double)(frames - before) * 1e9 / (double)(now - since);
	if (now - progress.mark_ns >= RATE_NS) {
		progress.mark_ns = now;
		progress.mark_frames = frames;
	}
	return progress.rate;
}

struct line {
	char text[LINE_MAX_SIZE];
	size_t n, max;
};

/* Parts that do not fit are left out whole; what comes first matters most. */
static void add(struct line *line, const char *part, const char *unit)
{
	const char *comma = line->n ? ", " : "";

	if (line->n + strlen(comma) + strlen(part) + strlen(unit) > line->max) {
		line->max = line->n;
		return;
	}
	line->n += (size_t)snprintf(line->text + line->n, sizeof line->text - line->n, "%s%s%s",
				    comma, part, unit);
}

static void compose(struct line *line, const struct pm_capture_progress *p, uint64_t counted,
		    int64_t now, bool last)
{
	char part[64], total[32] = "", read[24];
	double share = share_of(p, counted), left;

	bytes_text(p->bytes, read, sizeof read);
	if (p->total_known) {
		memcpy(total, " of ", sizeof " of ");
		bytes_text(p->total, total + strlen(total), sizeof total - strlen(total));
	}
	add(line, read, total);
	if (share >= 0) {
		snprintf(part, sizeof part, "%d", (int)(share * 100));
		add(line, part, " %");
	}
	rate_text(rate_of(p->frames, now, last), part, sizeof part);
	add(line, part, " frames/s");
	left = share > 0 ? (double)(now - progress.start_ns) / 1e9 * (1 - share) / share : -1;
	if (left >= 0 && left <= LEFT_MAX_S && !last) {
		time_text(left, part, sizeof part);
		add(line, part, " left");
	}
}

/* The new line, and blanks over what the old one had more. */
static void draw(const struct line *line, int room)
{
	char text[2 * LINE_MAX_SIZE];
	int width = (int)(sizeof name - 1 + line->n);
	int before;

	/* In the midst of a record there is no place for it. */
	if (pthread_mutex_trylock(&writing) != 0)
		return;
	before = atomic_load(&progress.shown);
	if (before > width)
		width = before < room ? before : room;
	atomic_store(&progress.shown, width);
	put(text, (size_t)snprintf(text, sizeof text, "\r%s%-*s", name,
				   width - (int)(sizeof name - 1), line->text));
	pthread_mutex_unlock(&writing);
}

bool progress_due(void)
{
	return progress.on && pm_time_steady() >= progress.due_ns;
}

static void show(const struct pm_capture *capture, uint64_t counted, bool last)
{
	struct line line = { .max = LINE_MAX_SIZE - 1 };
	int64_t now = pm_time_steady();
	struct pm_capture_progress p;
	/* The last column stays free: some terminals begin a new line behind it. */
	int room = columns() - 1, for_text = room - (int)(sizeof name - 1);

	pm_capture_progress(capture, &p);
	if (progress.terminal && for_text < (int)line.max)
		line.max = for_text > 0 ? (size_t)for_text : 0;
	compose(&line, &p, counted, now, last);
	progress.due_ns = now + (progress.terminal ? REDRAW_NS : PLAIN_NS);
	/* A terminal that is halted, or a pipe that nobody reads, must not halt the reading. */
	if (!writable())
		return;
	if (!progress.terminal)
		say("%s", line.text);
	else if (line.n && in_front())
		draw(&line, room);
}

void progress_show(const struct pm_capture *capture, uint64_t counted)
{
	show(capture, counted, false);
}

void progress_hide(void)
{
	int width = atomic_exchange(&progress.shown, 0);
	char text[2 * LINE_MAX_SIZE];

	if (width)
		put(text, (size_t)snprintf(text, sizeof text, "\r%*s\r", width, ""));
}

void progress_before_output(void)
{
	if (!progress.beside)
		return;
	pthread_mutex_lock(&writing);
	progress_hide();
}

void progress_after_output(void)
{
	if (progress.beside)
		pthread_mutex_unlock(&writing);
}

void progress_end(const struct pm_capture *capture, uint64_t counted)
{
	if (!progress.on)
		return;
	progress_hide();
	progress.on = false;
	if (progress.forced && !progress.terminal)
		show(capture, counted, true);
}
