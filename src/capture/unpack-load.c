/* SPDX-License-Identifier: MIT */
/*
 * Loads libarchive when the first packed file is opened. Linked, it would bring a dozen
 * libraries with it, and every start of the program would wait for them.
 */
#include <pthread.h>

#include "unpack-library.h"

#define NAME(name) #name,

static const char *const names[] = { PM_ARCHIVE_FUNCTIONS(NAME) };

#define N (sizeof names / sizeof *names)

/* POSIX (dlsym) wants function pointers and void * to be alike. */
union symbols {
	struct pm_archive archive;
	void *at[N];
};
_Static_assert(sizeof(struct pm_archive) == sizeof(void *[N]), "a name for each function");

bool pm_archive_load_from(const char *name, struct pm_archive *ret_archive,
			  char ret_why[PM_ARCHIVE_WHY_SIZE])
{
	union symbols symbols;

	if (!pm_library_load(name, names, N, ret_why, PM_ARCHIVE_WHY_SIZE, symbols.at))
		return false;
	*ret_archive = symbols.archive;
	return true;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct pm_archive loaded;
static bool is_loaded;
static char why_not[PM_ARCHIVE_WHY_SIZE];

static void load(void)
{
	is_loaded = pm_archive_load_from(PM_ARCHIVE_LIBRARY, &loaded, why_not);
}

const struct pm_archive *pm_archive_load(const char **ret_why)
{
	pthread_once(&once, load);
	if (is_loaded)
		return &loaded;
	*ret_why = why_not;
	return NULL;
}
