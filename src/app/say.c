/* SPDX-License-Identifier: MIT */
/* Messages: all to standard error, each a whole line. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "screen.h"

void say(const char *format, ...)
{
	char line[1024] = "portmeter: ";
	size_t head = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + head, sizeof line - head - 1, format, args);
	va_end(args);
	/* Names and filters may hold anything; a message is one line and moves no cursor. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	strcat(line, "\n");
	if (screen_say(line))
		return;
	progress_hide();
	/*
	 * One write, so that lines of several threads do not mix; there is nowhere to say that it
	 * failed.
	 */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		return;
}

void say_error(const struct pm_error *err, int code)
{
	const char *text = err->text[0] ? err->text : pm_strerror(code);

	if (err->file[0] && err->line && err->column)
		say("%s:%d:%d: %s", err->file, err->line, err->column, text);
	else if (err->file[0] && err->line)
		say("%s:%d: %s", err->file, err->line, text);
	else if (err->file[0])
		say("%s: %s", err->file, text);
	else
		say("%s", text);
}

void say_notice(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

void say_permission(const struct pm_error *err)
{
	char path[512] = "build/portmeter";
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n > 0)
		path[n] = '\0';
	say("%s; run as root, or once: sudo setcap cap_net_raw,cap_net_admin=ep %s",
	    err->text[0] ? err->text : "no permission to capture", path);
}
