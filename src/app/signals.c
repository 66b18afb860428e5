/* SPDX-License-Identifier: MIT */
/*
 * INT, TERM: stop; HUP: reload; USR1: counts; USR2: close the interval. PIPE and XFSZ are
 * errors of write(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "screen.h"

atomic_int signal_stop, signal_hangup, signal_counts, signal_cut;
static int pipe_ends[2] = { -1, -1 };

void signals_wake(void)
{
	int saved = errno;

	/* A full pipe is as good as one more byte: the reader is due to wake. */
	if (write(pipe_ends[1], "", 1) < 0)
		errno = saved;
}

static void stop_now(int number)
{
	screen_restore();
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
	else if (signal_stop)
		/* asked again: whatever holds us up, output that nobody reads or a filter */
		stop_now(number);
	else
		signal_stop = 1;
	signals_wake();
}

void signals_drain(int fd)
{
	char bytes[256];

	while (read(fd, bytes, sizeof bytes) > 0)
		continue;
}

int signals_init(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction action;

	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	/* No SA_RESTART: a read that waits for more of a stream must see that it is to stop. */
	action.sa_handler = on_signal;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaction(numbers[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL); /* a file that may not grow is as a full disk */
	return pipe_ends[0];
}
