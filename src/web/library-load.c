/* SPDX-License-Identifier: MIT */
/*
 * Loads libmicrohttpd when the first port is opened. Linked, it would bring GnuTLS and a dozen
 * libraries with it, and every start of the program would wait for them.
 */
#include <pthread.h>

#include "library.h"

#define NAME(name) #name,

static const char *const names[] = { PM_MHD_FUNCTIONS(NAME) };

#define N (sizeof names / sizeof *names)

/* POSIX (dlsym) wants function pointers and void * to be alike. */
union symbols {
	struct pm_mhd mhd;
	void *at[N];
};
_Static_assert(sizeof(struct pm_mhd) == sizeof(void *[N]), "a name for each function");

static union symbols symbols;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool is_loaded;
static char why_not[128];

static void load(void)
{
	is_loaded = pm_library_load(PM_MHD_LIBRARY, names, N, why_not, sizeof why_not, symbols.at);
}

const struct pm_mhd *pm_mhd(void)
{
	return &symbols.mhd;
}

bool pm_mhd_load(const char **ret_why)
{
	pthread_once(&once, load);
	*ret_why = why_not;
	return is_loaded;
}
