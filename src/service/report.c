/* SPDX-License-Identifier: MIT */
/* Remarks on rules files, and text that is fit to be shown. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service-internal.h"

static const char *const kind_names[] = {
	[PM_REMARK_WARNING] = "warning",
	[PM_REMARK_ERROR] = "error",
	[PM_REMARK_CONFLICT] = "conflict",
	[PM_REMARK_SHADOWED] = "shadowed",
};
_Static_assert(sizeof kind_names / sizeof *kind_names == PM_REMARK_N, "name every kind");

const char *pm_remark_name(enum pm_remark_kind kind)
{
	return (unsigned)kind < PM_REMARK_N ? kind_names[kind] : "?";
}

static void say(struct pm_report *report, enum pm_remark_kind kind, struct pm_place place,
		const char *text)
{
	struct pm_remark remark = { kind, place.file, place.line, place.column, text };

	if (!report->remark || report->said > PM_REMARKS_MAX)
		return;
	if (report->said++ == PM_REMARKS_MAX) {
		remark.line = remark.column = 0;
		remark.text = "further remarks are not shown";
	}
	report->remark(report->ctx, &remark);
}

void pm_report_say(struct pm_report *report, enum pm_remark_kind kind, struct pm_place place,
		   const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	say(report, kind, place, text);
}

int pm_report_fail(struct pm_report *report, int code, struct pm_place place, const char *format,
		   ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!report->code)
		report->code = code;
	pm_error_set(report->err, code, place.file, place.line, place.column, "%s", text);
	say(report, PM_REMARK_ERROR, place, text);
	return code;
}

static size_t character_size(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xe0)
		return 2;
	return first < 0xf0 ? 3 : 4;
}

/* Length of the UTF-8 character at @bytes; 0 if it is none, a surrogate or a control character. */
static size_t clean_character(const unsigned char *bytes, size_t size)
{
	size_t n = character_size(bytes[0]);
	uint32_t value = bytes[0];
	/* The least value that needs n bytes: anything below would be an overlong form. */
	static const uint32_t least[] = { 0, 0x20, 0xa0, 0x800, 0x10000 };

	if ((bytes[0] >= 0x80 && bytes[0] < 0xc2) || bytes[0] > 0xf4 || n > size)
		return 0;
	if (n > 1)
		value &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < least[n] || value == 0x7f || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	return n;
}

bool pm_text_clean(const char *bytes, size_t size)
{
	const unsigned char *text = (const unsigned char *)bytes;

	for (size_t i = 0, n; i < size; i += n) {
		n = clean_character(text + i, size - i);
		if (n == 0)
			return false;
	}
	return true;
}

const char *pm_quote(const char *bytes, size_t size, char ret_quoted[PM_QUOTE_SIZE])
{
	const unsigned char *text = (const unsigned char *)bytes;
	size_t at = 0, i = 0;

	while (i < size && at < PM_QUOTE_SIZE - 8) { /* room for \xNN, "..." and the NUL */
		size_t n = clean_character(text + i, size - i);

		if (n) {
			memcpy(ret_quoted + at, bytes + i, n);
			at += n;
			i += n;
		} else {
			at += (size_t)snprintf(ret_quoted + at, 5, "\\x%02x", text[i++]);
		}
	}
	strcpy(ret_quoted + at, i < size ? "..." : "");
	return ret_quoted;
}

const char *pm_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
