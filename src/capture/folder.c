/* SPDX-License-Identifier: MIT */
/* A folder of capture files is the files in it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "folder.h"

static int add_path(struct paths *paths, const char *path, bool found)
{
	if (paths->n == paths->places) {
		size_t places = paths->places ? paths->places * 2 : 16;
		struct path *more = realloc(paths->all, places * sizeof *more);

		if (!more)
			return PM_E_MEMORY;
		paths->all = more;
		paths->places = places;
	}
	paths->all[paths->n] = (struct path){ .name = strdup(path), .found = found };
	if (!paths->all[paths->n].name)
		return PM_E_MEMORY;
	paths->n++;
	return PM_OK;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Hidden files, and what is no file, are not meant. */
static int add_entry(struct paths *paths, const char *folder, const char *name)
{
	size_t size = strlen(folder) + strlen(name) + 2;
	bool slash = folder[strlen(folder) - 1] == '/';
	struct stat st;
	char *path;
	int r = PM_OK;

	if (name[0] == '.')
		return PM_OK;
	path = malloc(size);
	if (!path)
		return PM_E_MEMORY;
	snprintf(path, size, "%s%s%s", folder, slash ? "" : "/", name);
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		r = add_path(paths, path, true);
	free(path);
	return r;
}

/* In the order of their names, on which the order of equal times rests. */
static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct path *)a)->name, ((const struct path *)b)->name);
}

static int add_folder(struct paths *paths, const char *folder, struct pm_error *err)
{
	DIR *dir = opendir(folder);
	size_t first = paths->n;
	struct dirent *entry;
	int r = PM_OK;

	if (!dir)
		return pm_error_set(err, PM_E_IO, folder, 0, 0, "can't open: %s", strerror(errno));
	while (r == PM_OK && (entry = readdir(dir)) != NULL)
		r = add_entry(paths, folder, entry->d_name);
	closedir(dir);
	if (r == PM_OK && paths->n == first)
		return pm_error_set(err, PM_E_IO, folder, 0, 0, "is a folder without a file in it");
	if (r == PM_OK)
		qsort(paths->all + first, paths->n - first, sizeof *paths->all, by_name);
	return r;
}

int pm_paths_expand(struct paths *paths, const char *const *names, size_t n, struct pm_error *err)
{
	int r = PM_OK;

	for (size_t i = 0; i < n && r == PM_OK; i++)
		r = is_folder(names[i]) ? add_folder(paths, names[i], err)
					: add_path(paths, names[i], false);
	return r;
}

void pm_paths_fini(struct paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		free(paths->all[i].name);
	free(paths->all);
	*paths = (struct paths){ .n = 0 };
}
