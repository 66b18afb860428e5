/* SPDX-License-Identifier: MIT */
/* The program: from the command line to what it asks for. */
#include <stdio.h>

#include "app.h"

static int command_help(void)
{
	options_help();
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int command_version(void)
{
	printf("portmeter %s\n", pm_version());
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct options options;
	int code = options_parse(argc, argv, &options);

	if (code == EXIT_DONE) {
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
