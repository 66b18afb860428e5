/* SPDX-License-Identifier: MIT */
/*
 * Names of rotated files, as tcpdump(8) has them where that loses nothing. Which file a record goes
 * to depends on the record and on the sizes of files alone, so that the same input gives the same
 * files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output-internal.h"

#define NUMBER_DIGITS 9
#define PART ".part" /* of a file that is being packed */

struct rotation {
	const struct pm_output_options *options;
	char *folder;       /* with a slash at its end, or "" */
	const char *format; /* what of the path stands behind it */
	char *pattern;      /* fnmatch(3) of all names without their number */
	bool timed;         /* the format has conversions */
	bool ring;          /* names are used again */
	int width;          /* of the numbers of a ring */
	int64_t period;     /* of the file: a multiple of rotate_ns */
	bool period_known;
	bool period_guessed; /* by when the file was written last */
	unsigned number;
	unsigned begun;     /* files, in this run */
	bool replaces;
	char *name;         /* NULL: not known yet */
	char base[NAME_MAX + 1]; /* of the file's name, without the number */
};

static const char *const packed[] = { ".gz", ".zst" };
#define PACKED (sizeof packed / sizeof *packed)

/* %s is of the local zone in strftime(3), but a number of seconds since the epoch has none. */
static bool expand_epoch(const char *format, time_t seconds, char *to, size_t size)
{
	size_t n = 0;

	for (; *format && n + 24 < size; format++) {
		if (format[0] == '%' && format[1] == 's') {
			n += (size_t)snprintf(to + n, size - n, "%lld", (long long)seconds);
			format++;
			continue;
		}
		to[n++] = *format;
		if (format[0] == '%' && format[1])
			to[n++] = *++format;
	}
	to[n] = '\0';
	return *format == '\0';
}

/* The format is the user's, so no compiler can check it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static bool expand_time(const char *format, time_t seconds, char *to, size_t size)
{
	struct tm tm;

	return gmtime_r(&seconds, &tm) && strftime(to, size, format, &tm) > 0;
}
#pragma GCC diagnostic pop

/* The name of a period's file, without a number. */
static bool expand(const struct rotation *rotation, int64_t period, char base[NAME_MAX + 1])
{
	int64_t ns = period * rotation->options->rotate_ns;
	time_t seconds = (time_t)(pm_time_floor(ns, PM_NS_PER_S) / PM_NS_PER_S);
	char format[2 * NAME_MAX];

	if (!rotation->timed) {
		snprintf(base, NAME_MAX + 1, "%s", rotation->format);
		return strlen(rotation->format) <= NAME_MAX;
	}
	return expand_epoch(rotation->format, seconds, format, sizeof format) &&
	       expand_time(format, seconds, base, NAME_MAX + 1) && !strchr(base, '/');
}

/* The size of a conversion, from its % to its letter, which a text that ends may lack. */
static size_t conversion_size(const char *at)
{
	size_t flags = strspn(at + 1, "_-0^#123456789EO");

	return 1 + flags + (at[1 + flags] != '\0');
}

/* Whether strftime knows all conversions; those that it does not it leaves as they are. */
static bool are_known(const char *format, int *ret_size, const char **ret_unknown)
{
	for (const char *at = format; (at = strchr(at, '%')) != NULL; at += *ret_size) {
		char one[16], text[NAME_MAX + 1];

		*ret_size = (int)conversion_size(at);
		*ret_unknown = at;
		if ((size_t)*ret_size >= sizeof one)
			return false;
		snprintf(one, sizeof one, "%.*s", *ret_size, at);
		if (*ret_size == 1)
			return false;
		if (at[*ret_size - 1] != '%' && expand_time(one, 0, text, sizeof text) &&
		    strchr(text, '%'))
			return false;
	}
	return true;
}

/* A pattern in which each conversion stands for anything. */
static char *pattern_new(const char *format, bool timed)
{
	char *pattern = malloc(2 * strlen(format) + 1), *to = pattern;

	for (; pattern && *format; format++) {
		if (timed && *format == '%' && format[1] && format[1] != '%') {
			format += conversion_size(format) - 1;
			*to++ = '*';
			continue;
		}
		if (timed && *format == '%' && format[1] == '%')
			format++;
		if (strchr("*?[\\", *format))
			*to++ = '\\';
		*to++ = *format;
	}
	if (to)
		*to = '\0';
	return pattern;
}

/* A digit more for each power of ten below the count, as tcpdump does: 10 files are 0 to 9. */
static int width_of(unsigned count)
{
	int width = 0;

	for (unsigned last = count - 1; last > 0; last /= 10)
		width++;
	return width;
}

/* The name of number @number of a base, in the folder; to be freed. */
static char *name_of(const struct rotation *rotation, const char *base, unsigned number)
{
	char digits[NUMBER_DIGITS + 3] = "", *name = NULL;

	if (rotation->ring && rotation->width)
		snprintf(digits, sizeof digits, "%0*u", rotation->width, number);
	else if (number)
		snprintf(digits, sizeof digits, "%u", number);
	return asprintf(&name, "%s%s%s", rotation->folder, base, digits) < 0 ? NULL : name;
}

static bool set_name(struct rotation *rotation)
{
	char *name = name_of(rotation, rotation->base, rotation->number);

	if (!name)
		return false;
	free(rotation->name);
	rotation->name = name;
	return true;
}

/* Where the suffix of a packed name begins; NULL: it has none. */
static char *packed_suffix(char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < PACKED; i++) {
		size_t n = strlen(packed[i]);

		if (length > n && strcmp(name + length - n, packed[i]) == 0)
			return name + length - n;
	}
	return NULL;
}

/* The number that @digits are, if a file can have it. */
static bool number_of(const struct rotation *rotation, const char *digits, unsigned *ret_number)
{
	size_t n = strlen(digits);
	unsigned long number;

	if (strspn(digits, "0123456789") != n || n > NUMBER_DIGITS)
		return false;
	number = strtoul(digits, NULL, 10);
	if (rotation->ring && n != (size_t)rotation->width)
		return false;
	if (rotation->ring && number >= rotation->options->rotate_count)
		return false;
	if (!rotation->ring && n && digits[0] == '0')
		return false;
	*ret_number = (unsigned)number;
	return true;
}

/* Whether a name, without suffixes, is one that this rotation may have made. */
static bool is_member(const struct rotation *rotation, const char *name)
{
	size_t length = strlen(name);
	char base[NAME_MAX + 1];
	unsigned number;

	for (size_t n = 0; n <= NUMBER_DIGITS && n < length; n++) {
		if (n && !strchr("0123456789", name[length - n]))
			return false;
		snprintf(base, sizeof base, "%.*s", (int)(length - n), name);
		if (number_of(rotation, name + length - n, &number) &&
		    fnmatch(rotation->pattern, base, FNM_PERIOD | FNM_PATHNAME) == 0)
			return true;
	}
	return false;
}

static DIR *folder_open(const struct rotation *rotation)
{
	return opendir(rotation->folder[0] ? rotation->folder : ".");
}

static char *path_of(const struct rotation *rotation, const char *name)
{
	char *path = NULL;

	return asprintf(&path, "%s%s", rotation->folder, name) < 0 ? NULL : path;
}

/* One that was packed before a kill, but not removed any more: both have the very same time. */
static bool is_packed(const char *path, const struct stat *st)
{
	bool found = false;

	for (size_t i = 0; i < PACKED && !found; i++) {
		struct stat other;
		char *name = NULL;

		if (asprintf(&name, "%s%s", path, packed[i]) < 0)
			return false;
		found = stat(name, &other) == 0 && other.st_size > 0 &&
			other.st_mtim.tv_sec == st->st_mtim.tv_sec &&
			other.st_mtim.tv_nsec == st->st_mtim.tv_nsec;
		free(name);
	}
	return found;
}

static int refuse(const char *path, struct pm_error *err)
{
	return pm_error_set(err, PM_E_IO, path, 0, 0,
			    "is of the names that rotation takes, but was not written by portmeter: "
			    "choose another name");
}

/* What may not be written has no torn line of ours, but a ring would remove it all the same. */
static int check_unwritable(const char *path, struct pm_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool ours;

	if (fd < 0) /* of a link, only the link would go */
		return errno == ENOENT || errno == ELOOP ? PM_OK : refuse(path, err);
	ours = pm_sink_is_ours(fd);
	close(fd);
	return ours ? PM_OK : refuse(path, err);
}

/* A file of an earlier run: its torn line is cut, and one that stands packed beside it removed. */
static int mend(const struct rotation *rotation, const char *path, struct pm_error *err)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r = PM_OK;

	if (fd < 0)
		return rotation->ring ? check_unwritable(path, err) : PM_OK;
	if (fstat(fd, &st) < 0 || (S_ISREG(st.st_mode) && st.st_size == 0))
		r = PM_OK;
	else if (!S_ISREG(st.st_mode) || !pm_sink_is_ours(fd))
		r = rotation->ring ? refuse(path, err) : PM_OK;
	else if (rotation->options->pack != PM_PACK_NONE && is_packed(path, &st))
		remove(path);
	else
		r = pm_sink_cut_torn(fd, path, err);
	close(fd);
	return r;
}

/* What a kill has left half packed. */
static void remove_part(const struct rotation *rotation, char *name)
{
	char *end = strrchr(name, '.'), *suffix, *path;

	if (!end || strcmp(end, PART) != 0)
		return;
	path = path_of(rotation, name);
	*end = '\0';
	suffix = packed_suffix(name);
	if (suffix) {
		*suffix = '\0';
		if (path && is_member(rotation, name))
			remove(path);
	}
	free(path);
}

static int look_around(const struct rotation *rotation, struct pm_error *err)
{
	DIR *dir = folder_open(rotation);
	struct dirent *entry;
	int r = PM_OK;

	if (!dir)
		return pm_error_set(err, PM_E_IO, rotation->folder[0] ? rotation->folder : ".", 0, 0,
				    "can't list the folder that files rotate in: %s",
				    strerror(errno));
	while (r == PM_OK && (entry = readdir(dir)) != NULL) {
		char *path = path_of(rotation, entry->d_name);

		if (!path)
			r = PM_E_MEMORY;
		else if (is_member(rotation, entry->d_name))
			r = mend(rotation, path, err);
		else if (rotation->options->pack != PM_PACK_NONE)
			remove_part(rotation, entry->d_name);
		free(path);
	}
	closedir(dir);
	return r;
}

/* What of a base is there: the newest number. */
struct newest {
	bool any, packed;
	unsigned number;
	struct timespec time;
};

/* The highest number; of a ring, the one written last. */
static bool is_newer(const struct rotation *rotation, const struct newest *newest, unsigned number,
		     const struct timespec *time)
{
	if (!newest->any)
		return true;
	if (!rotation->ring)
		return number >= newest->number;
	if (time->tv_sec != newest->time.tv_sec)
		return time->tv_sec > newest->time.tv_sec;
	if (time->tv_nsec != newest->time.tv_nsec)
		return time->tv_nsec > newest->time.tv_nsec;
	return number >= newest->number;
}

static void look_at(const struct rotation *rotation, char *name, struct newest *newest)
{
	size_t length = strlen(rotation->base);
	char *path = path_of(rotation, name), *suffix = packed_suffix(name);
	unsigned number;
	struct stat st;

	if (suffix)
		*suffix = '\0';
	if (path && strncmp(name, rotation->base, length) == 0 &&
	    number_of(rotation, name + length, &number) && stat(path, &st) == 0 &&
	    is_newer(rotation, newest, number, &st.st_mtim)) {
		/* One that is there both ways is not gone on with. */
		bool twin = newest->any && newest->number == number && newest->packed;

		*newest = (struct newest){ true, suffix != NULL || twin, number, st.st_mtim };
	}
	free(path);
}

/* The number to go on with of the base's files. */
static void choose_number(struct rotation *rotation, struct newest *newest)
{
	DIR *dir = folder_open(rotation);
	struct dirent *entry;

	*newest = (struct newest){ .number = 0 };
	while (dir && (entry = readdir(dir)) != NULL)
		look_at(rotation, entry->d_name, newest);
	if (dir)
		closedir(dir);
	rotation->number = newest->number;
	rotation->replaces = false;
	if (!newest->packed)
		return;
	rotation->number++;
	if (rotation->ring) {
		rotation->number %= rotation->options->rotate_count;
		rotation->replaces = true;
	}
}

static int64_t period_of(const struct rotation *rotation, int64_t time_ns)
{
	int64_t ns = rotation->options->rotate_ns;

	return ns ? pm_time_floor(time_ns, ns) / ns : 0;
}

/* Files whose names are known from the start: go on with the newest. */
static int start(struct rotation *rotation, struct pm_error *err)
{
	struct newest newest;

	if (!expand(rotation, 0, rotation->base))
		return pm_error_set(err, PM_E_IO, rotation->options->path, 0, 0,
				    "is no name for a file");
	choose_number(rotation, &newest);
	if (newest.any && !newest.packed) {
		rotation->period = period_of(rotation, newest.time.tv_sec * PM_NS_PER_S +
							       newest.time.tv_nsec);
		rotation->period_known = rotation->period_guessed = true;
	}
	rotation->begun = 1;
	return set_name(rotation) ? PM_OK : PM_E_MEMORY;
}

int pm_rotation_try(const struct rotation *rotation, struct pm_error *err)
{
	char *path = path_of(rotation, ".portmeter.XXXXXX");
	int fd = path ? mkostemp(path, O_CLOEXEC) : -1;
	int r = path ? PM_OK : PM_E_MEMORY;

	if (path && fd < 0)
		r = pm_error_set(err, PM_E_IO, rotation->options->path, 0, 0,
				 "can't make files there: %s", strerror(errno));
	if (fd >= 0) {
		close(fd);
		remove(path);
	}
	free(path);
	return r;
}

int pm_rotation_new(const struct pm_output_options *options, struct pm_error *err,
		    struct rotation **ret_rotation)
{
	struct rotation *rotation = calloc(1, sizeof *rotation);
	const char *slash = strrchr(options->path, '/');
	const char *unknown = NULL;
	char base[NAME_MAX + 1];
	int r = PM_OK, size = 0;

	if (!rotation)
		return PM_E_MEMORY;
	rotation->options = options;
	rotation->format = slash ? slash + 1 : options->path;
	rotation->folder = strndup(options->path, (size_t)(rotation->format - options->path));
	rotation->timed = options->rotate_ns && strchr(rotation->format, '%');
	rotation->ring = options->rotate_bytes && options->rotate_count;
	if (rotation->ring)
		rotation->width = width_of(options->rotate_count);
	rotation->pattern = pattern_new(rotation->format, rotation->timed);
	if (!rotation->folder || !rotation->pattern)
		r = PM_E_MEMORY;
	else if (!rotation->format[0] || !expand(rotation, 0, base))
		r = pm_error_set(err, PM_E_INVALID, options->path, 0, 0, "is no name for a file");
	else if (rotation->timed && !are_known(rotation->format, &size, &unknown))
		r = pm_error_set(err, PM_E_INVALID, options->path, 0, 0,
				 "%.*s is no conversion of strftime(3); %%%% stands for %%", size,
				 unknown);
	if (r == PM_OK)
		r = look_around(rotation, err);
	/* Find out now, and not with the first record, whether a file can be made there. */
	if (r == PM_OK)
		r = rotation->timed ? pm_rotation_try(rotation, err) : start(rotation, err);
	if (r < 0) {
		pm_rotation_free(rotation);
		return r;
	}
	*ret_rotation = rotation;
	return PM_OK;
}

void pm_rotation_free(struct rotation *rotation)
{
	if (!rotation)
		return;
	free(rotation->folder);
	free(rotation->pattern);
	free(rotation->name);
	free(rotation);
}

const char *pm_rotation_name(const struct rotation *rotation)
{
	return rotation->name;
}

bool pm_rotation_replaces(struct rotation *rotation)
{
	bool replaces = rotation->replaces;

	rotation->replaces = false;
	return replaces;
}

/*
 * Whether it is time for another. Where several sources write, one may still have a record of the
 * period before when others are through with theirs: it goes where they are.
 */
static bool period_over(struct rotation *rotation, bool empty, int64_t time_ns)
{
	int64_t period = period_of(rotation, time_ns);
	bool guessed = rotation->period_guessed;
	char base[NAME_MAX + 1];

	rotation->period_guessed = false;
	if (!rotation->options->rotate_ns)
		return false;
	if (!rotation->period_known || (guessed && empty)) {
		rotation->period = period;
		rotation->period_known = true;
		return false;
	}
	if (period == rotation->period || (!guessed && period + 1 == rotation->period))
		return false;
	if (!rotation->timed ||
	    (expand(rotation, period, base) && strcmp(base, rotation->base) != 0))
		return true;
	rotation->period = period; /* the name is of a longer time, or there is none */
	return false;
}

bool pm_rotation_due(struct rotation *rotation, int fd, size_t more, int64_t time_ns)
{
	struct stat st;
	bool known = fstat(fd, &st) == 0;

	if (period_over(rotation, known && st.st_size == 0, time_ns))
		return true;
	return rotation->options->rotate_bytes && known &&
	       (uint64_t)st.st_size + more > rotation->options->rotate_bytes;
}

/* Whether a file of that name has been packed. */
static bool has_packed(const char *name)
{
	bool found = false;

	for (size_t i = 0; i < PACKED && !found; i++) {
		char *other = NULL;

		if (asprintf(&other, "%s%s", name, packed[i]) < 0)
			return false;
		found = access(other, F_OK) == 0;
		free(other);
	}
	return found;
}

/* Whether a number of the base is taken, packed or not. */
static bool is_taken(const struct rotation *rotation, unsigned number)
{
	char *name = name_of(rotation, rotation->base, number);
	bool taken = name && (access(name, F_OK) == 0 || has_packed(name));

	free(name);
	return taken;
}

void pm_rotation_settle(struct rotation *rotation)
{
	struct newest newest;

	if (rotation->ring || !rotation->name || !has_packed(rotation->name))
		return;
	choose_number(rotation, &newest);
	set_name(rotation);
}

static void next_number(struct rotation *rotation)
{
	rotation->replaces = rotation->ring;
	rotation->number++;
	if (rotation->ring)
		rotation->number %= rotation->options->rotate_count;
	while (!rotation->ring && is_taken(rotation, rotation->number))
		rotation->number++;
}

bool pm_rotation_next(struct rotation *rotation, int64_t time_ns)
{
	const struct pm_output_options *options = rotation->options;
	int64_t period = period_of(rotation, time_ns);
	char base[NAME_MAX + 1];
	struct newest newest;

	if (!rotation->ring && options->rotate_count && rotation->begun >= options->rotate_count)
		return false;
	/* A time that has no name counts with the file before. */
	if (rotation->timed && expand(rotation, period, base) &&
	    strcmp(base, rotation->base) != 0) {
		memcpy(rotation->base, base, sizeof base);
		choose_number(rotation, &newest);
	} else {
		next_number(rotation);
	}
	rotation->period = period;
	rotation->period_known = true;
	rotation->period_guessed = false;
	rotation->begun++;
	set_name(rotation); /* without memory, the old name goes on */
	return true;
}

void pm_rotation_closed(const struct rotation *rotation, bool (*found)(void *ctx, const char *path),
			void *ctx)
{
	DIR *dir = folder_open(rotation);
	struct dirent *entry;
	bool more = true;

	while (dir && more && (entry = readdir(dir)) != NULL) {
		char *path = path_of(rotation, entry->d_name);
		int fd = -1;

		if (path && is_member(rotation, entry->d_name) &&
		    !(rotation->name && strcmp(path, rotation->name) == 0))
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		/* A pattern may fit others' files; these are left alone. */
		if (fd >= 0 && pm_sink_is_ours(fd))
			more = found(ctx, path);
		if (fd >= 0)
			close(fd);
		free(path);
	}
	if (dir)
		closedir(dir);
}
