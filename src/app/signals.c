/* SPDX-License-Identifier: MIT */
/*
 * INT, TERM: stop; HUP: reload; USR1: counts; USR2: close the interval. PIPE and XFSZ are
 * errors of write(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"

/*
 * Signals to stop that come so soon after the first are the same request: timeout(1) sends one to
 * its child and one to the whole group, and a terminal's comes beside that of a supervisor.
 */
#define SAME_REQUEST_MS 1000

atomic_int signal_stop, signal_hangup, signal_counts, signal_cut;
struct loss signal_loss;
static atomic_uint stop_ms; /* when signal_stop was set */
static sigset_t mask_before; /* signals_hold */
static int pipe_ends[2] = { -1, -1 };

void signals_wake(void)
{
	int saved = errno;

	/* A full pipe is as good as one more byte: the reader is due to wake. */
	if (write(pipe_ends[1], "", 1) < 0)
		errno = saved;
}

/* Milliseconds of a clock that nobody sets; only differences mean something. */
static unsigned clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned)now.tv_sec * 1000u + (unsigned)(now.tv_nsec / 1000000);
}

void signals_stop(void)
{
	if (!signal_stop)
		stop_ms = clock_ms();
	signal_stop = 1;
	signals_wake();
}

/* A line that is put together in a handler, where printf may not be called. */
struct brief {
	char text[192];
	size_t n;
};

static void add(struct brief *line, const char *text)
{
	while (*text && line->n < sizeof line->text)
		line->text[line->n++] = *text++;
}

static void add_number(struct brief *line, long number)
{
	char digits[24], *at = digits + sizeof digits;

	*--at = '\0';
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	add(line, at);
}

/* What is lost by ending now. A standard error that nobody reads must not keep us. */
static void say_loss(void)
{
	struct pollfd fd = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct brief line = { .n = 0 };
	long intervals = signal_loss.closed + signal_loss.held;

	add(&line, "portmeter: asked to stop again: ends at once; ");
	if (intervals > 0) {
		add_number(&line, intervals);
		add(&line, intervals == 1 ? " interval was not written" :
					    " intervals were not written");
		add(&line, signal_loss.open ? ", nor was the open one\n" : "\n");
	} else {
		add(&line, "what was not written yet is lost\n");
	}
	if (poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) &&
	    write(STDERR_FILENO, line.text, line.n) < 0)
		errno = 0; /* there is nowhere to say it */
}

static void stop_now(int number)
{
	screen_restore();
	say_loss();
	signal(number, SIG_DFL);
	raise(number);
}

static void on_signal(int number)
{
	if (number == SIGHUP)
		signal_hangup = 1;
	else if (number == SIGUSR1)
		signal_counts = 1;
	else if (number == SIGUSR2)
		signal_cut = 1;
	else if (!signal_stop)
		signals_stop();
	else if (clock_ms() - stop_ms >= SAME_REQUEST_MS)
		/* asked again: whatever holds us up, output that nobody reads or a filter */
		stop_now(number);
	signals_wake();
}

void signals_drain(int fd)
{
	char bytes[256];

	while (read(fd, bytes, sizeof bytes) > 0)
		continue;
}

void signals_hold(void)
{
	sigset_t requests;

	sigemptyset(&requests);
	sigaddset(&requests, SIGHUP);
	sigaddset(&requests, SIGUSR1);
	sigaddset(&requests, SIGUSR2);
	sigprocmask(SIG_BLOCK, &requests, &mask_before);
}

void signals_release(void)
{
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

int signals_init(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	const size_t n = sizeof numbers / sizeof *numbers;
	struct sigaction action;

	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < n; i++)
		sigaddset(&action.sa_mask, numbers[i]); /* one at a time */
	/* No SA_RESTART: a read that waits for more of a stream must see that it is to stop. */
	action.sa_handler = on_signal;
	for (size_t i = 0; i < n; i++)
		sigaction(numbers[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL); /* a file that may not grow is as a full disk */
	signals_release();
	return pipe_ends[0];
}
