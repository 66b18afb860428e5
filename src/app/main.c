/* SPDX-License-Identifier: MIT */
/* The program: from the command line to what it asks for. */
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <unistd.h>

#include "app.h"

static int command_help(void)
{
	options_help();
	return printed(EXIT_DONE);
}

static int command_version(void)
{
	printf("portmeter %s\n", pm_version());
	return printed(EXIT_DONE);
}

/*
 * A standard descriptor that the caller has closed would be taken by the next file opened, and
 * messages would go into data. The wrong direction is on purpose: reading or writing it stays an
 * error.
 */
static bool reserve_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) != fd)
			return false;
	return true;
}

/*
 * Tables count on calloc to map large blocks, whose pages are made when they are used. glibc takes
 * them from what has been freed, and clears all of them, once a larger block has been freed; but
 * not where the limit is set, here to what it begins with.
 */
static void keep_large_blocks_apart(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
#endif
}

int main(int argc, char **argv)
{
	struct options options;
	int code;

	signals_hold();
	keep_large_blocks_apart();
	if (!reserve_standard_descriptors())
		return EXIT_FAILED;
	code = options_parse(argc, argv, &options);
	if (code == EXIT_DONE) {
		/* What only prints does nothing that these could ask for. */
		if (options.command != COMMAND_RUN)
			signals_release();
		switch (options.command) {
		case COMMAND_HELP:
			code = command_help();
			break;
		case COMMAND_VERSION:
			code = command_version();
			break;
		case COMMAND_INTERFACES:
			code = command_interfaces();
			break;
		case COMMAND_LINKTYPES:
			code = command_linktypes(&options);
			break;
		case COMMAND_SCHEMA:
			code = command_schema();
			break;
		case COMMAND_CHECK_RULES:
			code = command_check_rules(&options);
			break;
		case COMMAND_EXPLAIN:
			code = command_explain(&options);
			break;
		case COMMAND_RUN:
		case COMMAND_N:
			code = run(&options);
			break;
		}
	}
	options_fini(&options);
	return code;
}
