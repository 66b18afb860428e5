/* SPDX-License-Identifier: MIT */
/* Reads rules files and lists folders of them; never waits, and never reads without end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service-internal.h"

/* All bytes of @fd, which is a regular file. Its size is only a hint: it may grow meanwhile. */
static int read_all(int fd, size_t hint, struct pm_place place, struct pm_report *report,
		    char **ret_text, size_t *ret_size)
{
	size_t room = hint < PM_FILE_MAX ? hint + 1 : PM_FILE_MAX + 1, size = 0;
	char *text = malloc(room);

	for (;;) {
		ssize_t n = text ? read(fd, text + size, room - size) : 0;

		if (!text)
			return PM_E_MEMORY;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return pm_report_fail(report, PM_E_IO, place, "%s", strerror(errno));
		}
		size += (size_t)n;
		if (n == 0)
			break;
		if (size > PM_FILE_MAX) {
			free(text);
			return pm_report_fail(report, PM_E_RULES, place,
					      "the file is larger than 64 MiB");
		}
		if (size == room) {
			char *more = realloc(text, room * 2);

			if (!more)
				free(text);
			text = more;
			room *= 2;
		}
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

int pm_file_read(const char *path, struct pm_report *report, char **ret_text, size_t *ret_size)
{
	struct pm_place place = { path, 0, 0 };
	/* Without O_NONBLOCK, opening a fifo would wait for its writer. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), code = 0;
	struct stat status;

	if (fd < 0)
		return pm_report_fail(report, PM_E_IO, place, "%s", strerror(errno));
	if (fstat(fd, &status) != 0) {
		code = pm_report_fail(report, PM_E_IO, place, "%s", strerror(errno));
	} else if (S_ISDIR(status.st_mode)) {
		*ret_text = NULL;
		*ret_size = 0;
	} else if (!S_ISREG(status.st_mode)) {
		code = pm_report_fail(report, PM_E_IO, place, "neither a regular file nor a folder");
	} else {
		code = read_all(fd, status.st_size > 0 ? (size_t)status.st_size : 0, place, report,
				ret_text, ret_size);
	}
	close(fd);
	return code;
}

static bool is_rules_name(const char *name)
{
	static const char suffix[] = ".rules";
	size_t size = strlen(name);

	/* A leading dot: an editor's lock or backup file. */
	return name[0] != '.' && size >= sizeof suffix &&
	       strcmp(name + size - (sizeof suffix - 1), suffix) == 0;
}

static int by_bytes(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcmp(*left, *right);
}

/* Name pointers and the names themselves in one block, so that one free suffices. */
static int names_pack(const struct pm_strings *names, char ***ret_names)
{
	size_t pointers = ((size_t)names->n + 1) * sizeof(char *);
	char **packed = malloc(pointers + names->size + 1);
	char *text;

	if (!packed)
		return PM_E_MEMORY;
	text = (char *)(packed + names->n + 1);
	if (names->size)
		memcpy(text, names->text, names->size);
	for (uint32_t i = 0; i < names->n; i++)
		packed[i] = text + names->strings[i].at;
	packed[names->n] = NULL;
	qsort(packed, names->n, sizeof *packed, by_bytes);
	*ret_names = packed;
	return 0;
}

int pm_folder_list(const char *folder, bool missing_ok, struct pm_report *report,
		   char ***ret_names, size_t *ret_n)
{
	struct pm_place place = { folder, 0, 0 };
	struct pm_strings names = { 0 };
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint32_t number;
	int code = 0;

	if (!dir && !(missing_ok && errno == ENOENT))
		return pm_report_fail(report, PM_E_IO, place, "%s", strerror(errno));
	errno = 0;
	while (dir && code == 0 && (entry = readdir(dir))) {
		if (is_rules_name(entry->d_name))
			code = pm_strings_add(&names, entry->d_name, strlen(entry->d_name),
					      &number);
		if (code == 0 && names.n > PM_FILES_MAX)
			code = pm_report_fail(report, PM_E_RULES, place, "more than %d files",
					      PM_FILES_MAX);
		errno = 0;
	}
	if (code == 0 && dir && errno)
		code = pm_report_fail(report, PM_E_IO, place, "%s", strerror(errno));
	if (code == 0)
		code = names_pack(&names, ret_names);
	if (code == 0)
		*ret_n = names.n;
	if (dir)
		closedir(dir);
	pm_strings_fini(&names);
	return code;
}
