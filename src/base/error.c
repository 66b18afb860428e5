/* SPDX-License-Identifier: MIT */
/* Error codes, their texts, and the record of the first failure. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "portmeter/base.h"

#ifndef PM_VERSION
#error "the build defines PM_VERSION"
#endif

const char *pm_version(void)
{
	return PM_VERSION;
}

static const char *const texts[] = {
	[-PM_OK] = "no error",
	[-PM_E_MEMORY] = "out of memory",
	[-PM_E_IO] = "input or output failed",
	[-PM_E_RULES] = "the rules can't be used",
	[-PM_E_DAMAGED] = "the input is damaged",
	[-PM_E_PERMISSION] = "permission denied",
	[-PM_E_FILTER] = "the filter expression does not compile",
	[-PM_E_UNSUPPORTED] = "not supported here",
	[-PM_E_INVALID] = "invalid argument",
};

const char *pm_strerror(int code)
{
	const int n = sizeof texts / sizeof *texts;

	return code <= 0 && code > -n ? texts[-code] : "unknown error";
}

/* Of a path that does not fit the tail is kept: it tells more than the head. */
static void keep_tail(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length < size) {
		memcpy(to, from, length + 1);
		return;
	}
	memcpy(to, "...", 3);
	memcpy(to + 3, from + length - (size - 4), size - 3);
}

int pm_error_set(struct pm_error *err, int code, const char *file, int line, int column,
		 const char *format, ...)
{
	va_list args;

	if (!err || err->text[0])
		return code;
	err->file[0] = '\0';
	if (file)
		keep_tail(err->file, sizeof err->file, file);
	err->line = line;
	err->column = column;
	va_start(args, format);
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	return code;
}
