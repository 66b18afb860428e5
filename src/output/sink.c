/* SPDX-License-Identifier: MIT */
/* Files that are appended to, files that are replaced, and standard output. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output-internal.h"

/* Longest line that an earlier run can have left torn: a record of all ports is some 50 MB. */
#define TAIL_MAX ((off_t)256 << 20)
/* How often who waits for a reader looks whether it is to go on doing so. */
#define LOOK_MS 100

void pm_sink_init(struct sink *sink, int fd, const char *name)
{
	struct stat st;

	sink->fd = fd;
	sink->name = name;
	sink->error = 0;
	sink->used = 0;
	sink->written = sink->torn = 0;
	sink->held = NULL;
	sink->stalls = sink->watch && fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

/*
 * Waits until something can be written, or the wait is given up. Other descriptors of the same pipe
 * may be anybody's, so it is not made non-blocking: that flag would be theirs too.
 */
static bool wait_writable(const struct sink *sink)
{
	struct pollfd fd = { .fd = sink->fd, .events = POLLOUT };

	while (poll(&fd, 1, LOOK_MS) == 0)
		if (sink->watch && atomic_load(&sink->watch->given_up))
			return false;
	return true; /* what is wrong shows when it is written to */
}

/* A part of the bytes, as write(2), but in steps that do not block where that can be helped. */
static ssize_t write_some(const struct sink *sink, const char *bytes, size_t size)
{
	if (sink->stalls) {
		if (!wait_writable(sink)) {
			errno = ECANCELED;
			return -1;
		}
		/* POSIX (poll, write): that much goes into a pipe which has room at all. */
		size = size < PIPE_BUF ? size : PIPE_BUF;
	}
	return write(sink->fd, bytes, size);
}

static void note_written(struct sink *sink, const char *bytes, size_t size)
{
	const char *end = memrchr(bytes, '\n', size);

	sink->torn = end ? size - (size_t)(end + 1 - bytes) : sink->torn + size;
	sink->written += size;
	if (sink->watch)
		atomic_fetch_add(&sink->watch->progress, size);
}

/* All of the bytes, whatever signals come: a record is never cut by one. */
static void pass_on(struct sink *sink, const char *bytes, size_t size)
{
	if (sink->held) {
		pm_held_add(sink->held, bytes, size);
		return;
	}
	while (size > 0 && !sink->error) {
		ssize_t n = write_some(sink, bytes, size);

		if (n > 0) {
			note_written(sink, bytes, (size_t)n);
			bytes += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			/* somebody else has made it non-blocking */
			if (!wait_writable(sink))
				sink->error = ECANCELED;
		} else if (n < 0 && errno != EINTR) {
			sink->error = errno;
		}
	}
}

static void flush(struct sink *sink)
{
	pass_on(sink, sink->buffer, sink->used);
	sink->used = 0;
}

void pm_sink_begin(struct sink *sink)
{
	sink->written = 0;
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
	if (sink->error == ECANCELED)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: its reader stands still",
				    sink->name);
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: can't write: %s", sink->name,
			    strerror(sink->error));
}

int pm_sink_check(struct sink *sink, struct pm_error *err)
{
	flush(sink);
	return sink->error ? failure(sink, err) : PM_OK;
}

int pm_sink_sync(struct sink *sink, struct pm_error *err)
{
	int r = pm_sink_check(sink, err);

	/* A file system that knows no such thing has nothing to be waited for. */
	if (r == PM_OK && fdatasync(sink->fd) < 0 && errno != EINVAL && errno != ENOTSUP) {
		sink->error = errno;
		r = failure(sink, err);
	}
	return r;
}

/* Cuts so many bytes off the end of the file, if they are what was written last. */
static bool cut_end(const struct sink *sink, uint64_t size)
{
	struct stat st;
	off_t end;

	if (size == 0)
		return true;
	if (sink->fd < 0 || fstat(sink->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	/* Whoever shares or has cut the file has moved its end away from where we are. */
	if (lseek(sink->fd, 0, SEEK_CUR) != st.st_size || (uint64_t)st.st_size < size)
		return false;
	end = st.st_size - (off_t)size;
	return ftruncate(sink->fd, end) == 0 && lseek(sink->fd, end, SEEK_SET) == end;
}

bool pm_sink_undo(struct sink *sink, uint64_t size)
{
	sink->used = 0;
	sink->error = 0;
	if (!cut_end(sink, size))
		return false;
	sink->written = sink->torn = 0;
	return true;
}

void pm_sink_drop_torn(struct sink *sink)
{
	if (cut_end(sink, sink->torn))
		sink->torn = 0;
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

/* Offset behind the file's last line end, 0 without one; negative errno: it can't be read. */
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
 * Whether what stands at @at is the beginning of a line of our JSON. What is too short to tell is
 * ours if the file begins with a line of ours.
 */
static bool is_our_json(int fd, off_t at)
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
	return (digits && length >= digits + strlen(time)) || (at > 0 && is_our_json(fd, 0));
}

bool pm_sink_is_ours(int fd)
{
	return is_our_json(fd, 0) || pm_text_is_ours(fd);
}

int pm_sink_cut_torn(int fd, const char *path, struct pm_error *err)
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
	if (!is_our_json(fd, end) && !pm_text_find_torn(fd, end, st.st_size, &end))
		return pm_error_set(err, PM_E_IO, path, 0, 0,
				    "its last line is not whole and not portmeter's: choose another file");
	if (ftruncate(fd, end) < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't cut its torn last line: %s",
				    strerror(errno));
	return PM_OK;
}

int pm_sink_open_append(struct sink *sink, const char *path, struct pm_error *err)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	int r;

	/* What can't be read (a device) is only written. */
	if (fd >= 0) {
		struct stat st;

		if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
			close(fd);
			fd = -1;
			errno = EACCES;
		}
	}
	if (fd < 0 && errno == EACCES) {
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		/* It is not there because it may not be made: that is what is amiss. */
		if (fd < 0 && errno == ENOENT)
			errno = EACCES;
	}
	if (fd < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't open for writing: %s",
				    strerror(errno));
	r = pm_sink_cut_torn(fd, path, err);
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

int pm_sink_replace(struct sink *sink, const char *temporary, const char *path, bool sync,
		    struct pm_error *err)
{
	int r = sync ? pm_sink_sync(sink, err) : PM_OK;
	int closed = pm_sink_close(sink, err);

	r = r < 0 ? r : closed;
	if (r == PM_OK && rename(temporary, path) < 0)
		r = pm_error_set(err, PM_E_IO, path, 0, 0, "can't replace: %s", strerror(errno));
	if (r < 0)
		unlink(temporary);
	else if (sync)
		pm_sink_sync_folder(path);
	return r;
}

void pm_sink_sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* Not all file systems can, and one that we may not read is written all the same. */
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}
