/* SPDX-License-Identifier: MIT */
/*
 * The live view on a terminal, by ncurses, which this file alone sees. One thread draws and reads
 * keys; whoever has a record or a message hands it over under a lock that is never held while
 * something is written. Signals come to the first thread, whose handlers only wake this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#define NCURSES_NOMACROS
#include <curses.h>
#include <term.h>
#undef columns /* it names every capability of a terminal so */

#include "screen.h"
#include "view.h"

/* Messages that are kept for the end; of more, the last. */
#define KEPT_MAX 256
/* How long a terminal that takes nothing may keep the program from ending. */
#define CLOSE_NS (2 * PM_NS_PER_S)
/* How often to look whether the terminal is ours again, while it is not. */
#define BEHIND_MS 200
/* The size of a screen that nobody needs: what is beyond stays blank. */
#define SIZE_MOST 1000
#define COLOUR_BAR 1
#define COLOUR_ALARM 2

static struct {
	bool open;          /* from screen_open to screen_close */
	bool used;          /* it has been open: records are no longer for standard output */
	bool errors_beside; /* standard error is a terminal, too */
	bool colours;
	SCREEN *curses;
	struct termios before;
	char leave[256]; /* what makes the terminal ordinary again */
	size_t n_leave;
	int wake[2];
	pthread_t thread;
	bool started;
	struct view_cell *cells;
	wchar_t *line;
	int rows, columns;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct view *view;
	char *kept[KEPT_MAX]; /* a ring */
	size_t n_kept;
	bool ended;
} screen = { .wake = { -1, -1 }, .lock = PTHREAD_MUTEX_INITIALIZER };

/* Set by handlers of signals, and by whoever wants the thread to end. */
static atomic_bool ending, to_stop, continued, resized;
static atomic_bool up; /* the terminal is not as it was found */

/* ---- signals and the ordinary terminal ----------------------------------------------------- */

static void wake(void)
{
	int saved = errno;

	/* A full pipe is as good as one more byte. */
	if (write(screen.wake[1], "", 1) < 0)
		errno = saved;
}

static void on_signal(int number)
{
	if (number == SIGTSTP)
		to_stop = true;
	else if (number == SIGCONT)
		continued = true;
	else
		resized = true;
	wake();
}

/* What ends the program without asking: SA_RESETHAND, so that it does. */
static void on_fatal(int number)
{
	screen_restore();
	raise(number);
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	action.sa_handler = handler;
	action.sa_flags = flags;
	sigaction(number, &action, NULL);
}

/* Those that something else, such as a sanitizer, wants to see are left to it. */
static void handle_fatal(int number)
{
	struct sigaction before;

	if (sigaction(number, NULL, &before) == 0 && !(before.sa_flags & SA_SIGINFO) &&
	    before.sa_handler == SIG_DFL)
		handle(number, on_fatal, (int)SA_RESETHAND);
}

/* ncurses has handlers of its own, but not where there are others: so these come first. */
static void handle_signals(void)
{
	static const int fatal[] = { SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

	handle(SIGTSTP, on_signal, SA_RESTART);
	handle(SIGCONT, on_signal, SA_RESTART);
	handle(SIGWINCH, on_signal, SA_RESTART);
	for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
		handle_fatal(fatal[i]);
}

/* Whether keys are for us, and not for the shell or a job in front of us. */
static bool in_front(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 || group == getpgrp();
}

/* A string of the terminal's description, without the delays ("$<5>") of terminals of old. */
static void add_leave(const char *name)
{
	const char *text = tigetstr(name);

	if (!text || text == (const char *)-1)
		return;
	while (*text && screen.n_leave < sizeof screen.leave) {
		if (text[0] == '$' && text[1] == '<' && strchr(text, '>'))
			text = strchr(text, '>') + 1;
		else
			screen.leave[screen.n_leave++] = *text++;
	}
}

void screen_restore(void)
{
	struct pollfd fd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (!atomic_exchange(&up, false))
		return;
	/* A terminal that is halted must not keep us. */
	if (poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) &&
	    write(STDOUT_FILENO, screen.leave, screen.n_leave) < 0)
		errno = 0; /* there is nowhere to say it */
	if (in_front())
		tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
}

/* ---- messages ------------------------------------------------------------------------------ */

/* Under the lock. */
static void keep(const char *line)
{
	char **place = &screen.kept[screen.n_kept++ % KEPT_MAX];

	free(*place);
	*place = strdup(line);
}

bool screen_say(const char *line)
{
	char text[1024];
	size_t n = strcspn(line, "\n");
	const char *colon = strstr(line, ": ");

	pthread_mutex_lock(&screen.lock);
	if (!screen.open) {
		pthread_mutex_unlock(&screen.lock);
		return false;
	}
	if (colon && colon + 2 < line + n) { /* whose program it is shows above */
		n -= (size_t)(colon + 2 - line);
		line = colon + 2;
	}
	n = n < sizeof text - 1 ? n : sizeof text - 1;
	memcpy(text, line, n);
	text[n] = '\0';
	view_message(screen.view, text);
	if (screen.errors_beside)
		keep(text);
	pthread_mutex_unlock(&screen.lock);
	wake();
	return screen.errors_beside;
}

static void say_kept(void)
{
	size_t from = screen.n_kept > KEPT_MAX ? screen.n_kept - KEPT_MAX : 0;

	if (from)
		say("%zu messages before these have been shown and not kept", from);
	for (size_t i = from; i < screen.n_kept; i++) {
		if (screen.kept[i % KEPT_MAX])
			say("%s", screen.kept[i % KEPT_MAX]);
		free(screen.kept[i % KEPT_MAX]);
		screen.kept[i % KEPT_MAX] = NULL;
	}
	screen.n_kept = 0;
}

/* ---- drawing ------------------------------------------------------------------------------- */

static attr_t attributes(uint8_t style)
{
	attr_t attr = A_NORMAL;

	if (style & VIEW_BOLD)
		attr |= A_BOLD;
	if (style & VIEW_REVERSE)
		attr |= A_REVERSE;
	if (style & VIEW_UNDERLINE)
		attr |= A_UNDERLINE;
	return attr;
}

static short colour(uint8_t style)
{
	if (!screen.colours)
		return 0;
	return style & VIEW_COLOUR_ALARM ? COLOUR_ALARM : style & VIEW_COLOUR_BAR ? COLOUR_BAR
										  : 0;
}

/* Cells of one style at a time. */
static void put_line(int row, const struct view_cell *cells, int columns)
{
	wmove(stdscr, row, 0);
	for (int from = 0; from < columns;) {
		uint8_t style = cells[from].style;
		int n = 0;

		for (; from < columns && cells[from].style == style; from++)
			if (cells[from].rune)
				screen.line[n++] = (wchar_t)cells[from].rune;
		wattr_set(stdscr, attributes(style), colour(style), NULL);
		waddnwstr(stdscr, screen.line, n);
	}
}

/* Room for a screen of this size. */
static bool fit(int rows, int columns)
{
	struct view_cell *cells;
	wchar_t *line;

	if (rows == screen.rows && columns == screen.columns)
		return true;
	cells = calloc((size_t)rows * (size_t)columns + 1, sizeof *cells);
	line = calloc((size_t)columns + 1, sizeof *line);
	if (!cells || !line) {
		free(cells);
		free(line);
		return false;
	}
	free(screen.cells);
	free(screen.line);
	screen.cells = cells;
	screen.line = line;
	screen.rows = rows;
	screen.columns = columns;
	return true;
}

static void draw(void)
{
	int rows = getmaxy(stdscr), columns = getmaxx(stdscr);

	rows = rows < SIZE_MOST ? rows : SIZE_MOST;
	columns = columns < SIZE_MOST ? columns : SIZE_MOST;
	if (!fit(rows, columns))
		return;
	pthread_mutex_lock(&screen.lock);
	view_draw(screen.view, rows, columns, screen.cells);
	pthread_mutex_unlock(&screen.lock);
	werase(stdscr);
	for (int row = 0; row < rows; row++)
		put_line(row, screen.cells + row * columns, columns);
	up = true;
	wrefresh(stdscr);
}

static void resize(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col &&
	    is_term_resized(size.ws_row, size.ws_col))
		resizeterm(size.ws_row, size.ws_col);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static uint32_t special(wint_t key)
{
	switch (key) {
	case KEY_UP:
		return VIEW_KEY_UP;
	case KEY_DOWN:
		return VIEW_KEY_DOWN;
	case KEY_LEFT:
		return VIEW_KEY_LEFT;
	case KEY_RIGHT:
		return VIEW_KEY_RIGHT;
	case KEY_PPAGE:
		return VIEW_KEY_PAGE_UP;
	case KEY_NPAGE:
		return VIEW_KEY_PAGE_DOWN;
	case KEY_HOME:
		return VIEW_KEY_HOME;
	case KEY_END:
		return VIEW_KEY_END;
	case KEY_BTAB:
		return VIEW_KEY_BACK_TAB;
	case KEY_BACKSPACE:
		return VIEW_KEY_BACKSPACE;
	case KEY_ENTER:
		return VIEW_KEY_ENTER;
	default:
		return 0;
	}
}

static uint32_t plain(wint_t key)
{
	switch (key) {
	case '\r':
	case '\n':
		return VIEW_KEY_ENTER;
	case '\b':
	case 0x7f:
		return VIEW_KEY_BACKSPACE;
	case 0x1b:
		return VIEW_KEY_ESCAPE;
	default:
		return (uint32_t)key;
	}
}

static void end_run(void)
{
	signals_stop();
	ending = true;
}

static void take_keys(void)
{
	wint_t key;
	bool goes_on = true;
	int r;

	while (goes_on && (r = wget_wch(stdscr, &key)) != ERR) {
		uint32_t what = r == KEY_CODE_YES ? special(key) : plain(key);

		if (what == ('L' & 0x1f))
			clearok(curscr, TRUE);
		pthread_mutex_lock(&screen.lock);
		goes_on = view_key(screen.view, what);
		pthread_mutex_unlock(&screen.lock);
	}
	if (!goes_on)
		end_run();
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void drain_wakes(void)
{
	char bytes[256];

	while (read(screen.wake[0], bytes, sizeof bytes) > 0)
		continue;
}

static void wait_for_more(bool keys, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN },
				{ .fd = screen.wake[0], .events = POLLIN } };

	poll(fds, 2, timeout_ms);
	drain_wakes();
	/* The terminal is gone: whoever sat there is too. */
	if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
		end_run();
}

static void leave_screen(void)
{
	if (!atomic_load(&up))
		return;
	endwin();
	up = false;
}

/* Another job has the terminal: until it is ours again, or the end comes. */
static void stay_behind(void)
{
	while (!ending && !in_front())
		wait_for_more(false, BEHIND_MS);
}

/* As the shell expects it of a job, with the terminal as it was before. */
static void suspend(void)
{
	sigset_t stop;

	leave_screen();
	handle(SIGTSTP, SIG_DFL, 0);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	/* To this thread: so it goes no further before the process has stopped. */
	pthread_kill(pthread_self(), SIGTSTP);
	pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	handle(SIGTSTP, on_signal, SA_RESTART);
}

/* What came by signals. */
static void mind_signals(void)
{
	if (atomic_exchange(&to_stop, false))
		suspend();
	if (atomic_exchange(&continued, false) || !in_front()) {
		/* Who knows what others have done to the terminal. */
		if (!in_front())
			leave_screen();
		stay_behind();
		if (ending)
			return;
		if (atomic_load(&up))
			endwin();
		resized = true;
		clearok(curscr, TRUE);
	}
	if (atomic_exchange(&resized, false))
		resize();
}

static void *screen_main(void *ctx)
{
	(void)ctx;
	while (!ending) {
		mind_signals();
		if (ending)
			break;
		draw();
		wait_for_more(true, -1);
		take_keys();
	}
	leave_screen();
	pthread_mutex_lock(&screen.lock);
	screen.ended = true;
	pthread_cond_broadcast(&screen.changed);
	pthread_mutex_unlock(&screen.lock);
	return NULL;
}

/* ---- from opening to closing --------------------------------------------------------------- */

static bool has_description(const char *terminal)
{
	int error;
	bool can = setupterm(terminal, STDOUT_FILENO, &error) == OK;
	const char *move = can ? tigetstr("cup") : NULL;

	can = move && move != (const char *)-1;
	if (cur_term)
		del_curterm(cur_term);
	return can;
}

bool screen_wanted(const struct options *options)
{
	const char *terminal = getenv("TERM");

	if (options->command != COMMAND_RUN || options->output.format != PM_FORMAT_TEXT ||
	    options->output.path || options->n_files || options->interval_ns == 0)
		return false;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !in_front())
		return false;
	if (!terminal || !terminal[0] || strcmp(terminal, "dumb") == 0)
		return false;
	if (has_description(terminal))
		return true;
	say("note: terminal \"%s\" is not known here, or can't be drawn on: plain tables", terminal);
	return false;
}

/* Blue and yellow, which nearly all eyes tell apart; and nothing is told by them alone. */
static void set_colours(void)
{
	const char *none = getenv("NO_COLOR");

	screen.colours = !(none && none[0]) && has_colors() && start_color() == OK;
	if (!screen.colours)
		return;
	use_default_colors();
	init_pair(COLOUR_BAR, COLOR_CYAN, -1);
	init_pair(COLOUR_ALARM, COLOR_YELLOW, -1);
}

/* Control-S would halt us, and who has hit it would wonder. */
static void set_modes(void)
{
	struct termios modes;

	cbreak();
	noecho();
	nonl();
	if (tcgetattr(STDIN_FILENO, &modes) == 0) {
		modes.c_iflag &= ~(tcflag_t)(IXON | IXOFF);
		tcsetattr(STDIN_FILENO, TCSANOW, &modes);
		def_prog_mode();
	}
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	curs_set(0);
}

static bool open_curses(void)
{
	static const char *const leave[] = { "sgr0", "op", "cnorm", "rmkx", "rmcup" };

	setlocale(LC_CTYPE, "");
	screen.curses = newterm(NULL, stdout, stdin);
	if (!screen.curses)
		return false;
	set_term(screen.curses);
	set_colours();
	set_modes();
	for (size_t i = 0; i < sizeof leave / sizeof *leave; i++)
		add_leave(leave[i]);
	up = true; /* at least its modes are others */
	return true;
}

bool screen_open(const struct options *options)
{
	struct view_options view = {
		.top = options->output.top,
		.service_only = options->output.service_only,
	};
	pthread_condattr_t attributes_of;

	if (tcgetattr(STDIN_FILENO, &screen.before) < 0 ||
	    pipe2(screen.wake, O_CLOEXEC | O_NONBLOCK) < 0) {
		say("can't take over the terminal: %s", strerror(errno));
		return false;
	}
	handle_signals();
	screen.errors_beside = isatty(STDERR_FILENO);
	if (!open_curses()) {
		say("can't draw on the terminal");
		return false;
	}
	view.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	pthread_condattr_init(&attributes_of);
	pthread_condattr_setclock(&attributes_of, CLOCK_MONOTONIC);
	pthread_cond_init(&screen.changed, &attributes_of);
	pthread_condattr_destroy(&attributes_of);
	if (view_new(&view, &screen.view) < 0) {
		leave_screen();
		say("%s", pm_strerror(PM_E_MEMORY));
		return false;
	}
	pthread_mutex_lock(&screen.lock);
	screen.open = screen.used = true;
	pthread_mutex_unlock(&screen.lock);
	return true;
}

void screen_source(const struct pm_source *source)
{
	pthread_mutex_lock(&screen.lock);
	/* Without memory, it comes behind the others with its first record. */
	if (screen.open)
		(void)view_source(screen.view, source);
	pthread_mutex_unlock(&screen.lock);
}

bool screen_start(void)
{
	int r;

	if (!screen.open)
		return true;
	r = thread_start(&screen.thread, screen_main, NULL);
	screen.started = r == 0;
	if (r != 0)
		say("can't start a thread: %s", strerror(r));
	return screen.started;
}

bool screen_record(struct pm_record *record)
{
	bool open;

	if (!screen.used)
		return false;
	pthread_mutex_lock(&screen.lock);
	open = screen.open;
	/* Without memory, the view shows what it has shown. */
	if (open)
		(void)view_record(screen.view, record);
	else
		pm_record_free(record);
	pthread_mutex_unlock(&screen.lock);
	if (open)
		wake();
	return true;
}

/* Whether the thread has come to its end. */
static bool has_ended(void)
{
	struct timespec until;
	bool ended;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CLOSE_NS / PM_NS_PER_S;
	pthread_mutex_lock(&screen.lock);
	while (!screen.ended &&
	       pthread_cond_timedwait(&screen.changed, &screen.lock, &until) == 0)
		continue;
	ended = screen.ended;
	pthread_mutex_unlock(&screen.lock);
	return ended;
}

/* The thread is kept by a terminal that takes nothing: it and all it uses stay. */
static void abandon(void)
{
	pthread_detach(screen.thread);
	screen_restore();
}

void screen_close(void)
{
	bool ended = true;

	if (!screen.open)
		return;
	ending = true;
	wake();
	if (screen.started)
		ended = has_ended();
	if (!ended)
		abandon();
	else if (screen.started)
		pthread_join(screen.thread, NULL);
	else
		leave_screen();
	pthread_mutex_lock(&screen.lock);
	screen.open = false;
	pthread_mutex_unlock(&screen.lock);
	handle(SIGTSTP, SIG_DFL, 0);
	say_kept();
	if (!ended)
		return;
	view_free(screen.view);
	delscreen(screen.curses);
	free(screen.cells);
	free(screen.line);
}
