/* SPDX-License-Identifier: MIT */
/* Files that are appended to, files that are replaced, and standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output-internal.h"

/* Longest line that an earlier run can have left torn: a record of all ports is some 50 MB. */
#define TAIL_MAX ((off_t)256 << 20)

void pm_sink_init(struct sink *sink, int fd, const char *name)
{
	sink->fd = fd;
	sink->name = name;
	sink->error = 0;
	sink->memory = NULL;
	sink->used = 0;
}

/* All of the bytes, whatever signals come: a record is never cut by one. */
static void pass_on(struct sink *sink, const char *bytes, size_t size)
{
	if (sink->memory) {
		pm_memory_add(sink->memory, bytes, size);
		return;
	}
	while (size > 0 && !sink->error) {
		ssize_t n = write(sink->fd, bytes, size);

		if (n < 0 && errno != EINTR)
			sink->error = errno;
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
}

static void flush(struct sink *sink)
{
	pass_on(sink, sink->buffer, sink->used);
	sink->used = 0;
}

void pm_sink_write(struct sink *sink, const char *bytes, size_t size)
{
	if (size > sizeof sink->buffer - sink->used)
		flush(sink);
	if (size > sizeof sink->buffer) {
		pass_on(sink, bytes, size);
		return;
	}
	memcpy(sink->buffer + sink->used, bytes, size);
	sink->used += size;
}

void pm_sink_text(struct sink *sink, const char *format, ...)
{
	char text[1024]; /* longer than any line of tables or label of ours */
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (n > 0)
		pm_sink_write(sink, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static int failure(const struct sink *sink, struct pm_error *err)
{
	if (sink->error == EPIPE)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: its reader has closed it",
				    sink->name);
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: can't write: %s", sink->name,
			    strerror(sink->error));
}

int pm_sink_check(struct sink *sink, struct pm_error *err)
{
	flush(sink);
	return sink->error ? failure(sink, err) : PM_OK;
}

int pm_sink_close(struct sink *sink, struct pm_error *err)
{
	int r = pm_sink_check(sink, err);

	/* Standard output stays open: the program may have more to say there. */
	if (sink->fd != STDOUT_FILENO && close(sink->fd) < 0 && r == PM_OK) {
		sink->error = errno;
		r = failure(sink, err);
	}
	sink->fd = -1;
	return r;
}

/*
 * Offset behind the last line end of the file, 0 without one; negative errno when it can't be read.
 */
static off_t last_line_end(int fd, off_t size)
{
	char block[65536];
	off_t at = size;

	while (at > 0 && size - at < TAIL_MAX) {
		size_t n = at < (off_t)sizeof block ? (size_t)at : sizeof block;
		ssize_t got = pread(fd, block, n, at - (off_t)n);

		if (got != (ssize_t)n)
			return got < 0 ? -errno : -EIO;
		for (size_t i = n; i > 0; i--)
			if (block[i - 1] == '\n')
				return at - (off_t)(n - i);
		at -= (off_t)n;
	}
	return at;
}

/* Whether one is the beginning of the other. */
static bool goes_along(const char *text, const char *beginning)
{
	size_t a = strlen(text), b = strlen(beginning);

	return strncmp(text, beginning, a < b ? a : b) == 0;
}

/*
 * Whether what stands at @at is the beginning of a line of ours, and not just of any JSON. What is
 * too short to tell is ours if the file begins with a line of ours.
 */
static bool is_ours(int fd, off_t at)
{
	static const char schema[] = "{\"schema\":\"portmeter.", number[] = "{\"number\":",
			  time[] = ",\"time\":\"";
	char text[64] = "";
	size_t length, digits = 0;

	if (pread(fd, text, sizeof text - 1, at) <= 0)
		return false;
	length = strlen(text);
	if (goes_along(text, schema) && length >= strlen(schema))
		return true;
	if (length > strlen(number))
		digits = strlen(number) + strspn(text + strlen(number), "0123456789");
	if (!goes_along(text, schema) &&
	    (!goes_along(text, number) || (digits && !goes_along(text + digits, time))))
		return false;
	return (digits && length >= digits + strlen(time)) || (at > 0 && is_ours(fd, 0));
}

/*
 * A file that another program wrote, or tables, keep what they have: only our own torn JSON is cut.
 */
static int cut_torn_line(int fd, const char *path, enum pm_format format, struct pm_error *err)
{
	struct stat st;
	off_t end;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return PM_OK;
	end = last_line_end(fd, st.st_size);
	if (end < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't read its end: %s",
				    strerror((int)-end));
	if (end == st.st_size)
		return PM_OK;
	if (format == PM_FORMAT_TEXT)
		return write(fd, "\n", 1) == 1 ? PM_OK
					       : pm_error_set(err, PM_E_IO, path, 0, 0,
							      "can't write: %s", strerror(errno));
	if (!is_ours(fd, end))
		return pm_error_set(err, PM_E_IO, path, 0, 0,
				    "its last line is not whole and not portmeter's: choose another file");
	if (ftruncate(fd, end) < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't cut its torn last line: %s",
				    strerror(errno));
	return PM_OK;
}

int pm_sink_open_append(struct sink *sink, const char *path, enum pm_format format,
			struct pm_error *err)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	int r;

	/* What can't be read (a FIFO's reader would be ourselves, a device) is only written. */
	if (fd >= 0) {
		struct stat st;

		if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
			close(fd);
			fd = -1;
			errno = EACCES;
		}
	}
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't open for writing: %s",
				    strerror(errno));
	r = cut_torn_line(fd, path, format, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	pm_sink_init(sink, fd, path);
	return PM_OK;
}

int pm_sink_open_beside(struct sink *sink, const char *path, char **ret_temporary,
			struct pm_error *err)
{
	static const char suffix[] = ".XXXXXX";
	size_t size = strlen(path) + sizeof suffix;
	char *temporary = malloc(size);
	int fd;

	if (!temporary)
		return PM_E_MEMORY;
	snprintf(temporary, size, "%s%s", path, suffix);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		free(temporary);
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't write beside it: %s",
				    strerror(errno));
	}
	/* Others are to read it: a collector runs as another user. */
	pm_sink_init(sink, fd, path);
	if (fchmod(fd, 0644) < 0)
		sink->error = errno;
	*ret_temporary = temporary;
	return PM_OK;
}

int pm_sink_replace(struct sink *sink, const char *temporary, const char *path,
		    struct pm_error *err)
{
	int r = pm_sink_close(sink, err);

	if (r == PM_OK && rename(temporary, path) < 0)
		r = pm_error_set(err, PM_E_IO, path, 0, 0, "can't replace: %s", strerror(errno));
	if (r < 0)
		unlink(temporary);
	return r;
}
