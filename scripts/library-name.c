/* SPDX-License-Identifier: MIT */
/*
 * Run when the build is set up, linked to libarchive: prints the name by which dlopen finds that
 * library again. Prints nothing where it is part of the program, as in a static build.
 */
#include <archive.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	void *function = dlsym(RTLD_DEFAULT, "archive_read_new");
	const char *name;
	Dl_info where;

	archive_read_free(archive_read_new()); /* so that no linker leaves the library out */
	if (!function || !dladdr(function, &where) || !where.dli_fname)
		return 0;
	name = strrchr(where.dli_fname, '/');
	name = name ? name + 1 : where.dli_fname;
	if (strncmp(name, "libarchive.", sizeof "libarchive." - 1) != 0)
		return 0;
#ifdef __APPLE__
	name = where.dli_fname; /* no search by the last part alone */
#endif
	puts(name);
	return 0;
}
