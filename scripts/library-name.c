/* SPDX-License-Identifier: MIT */
/*
 * Run when the build is set up, linked to a library of which HEADER declares FUNCTION: prints the
 * name by which dlopen finds that library again, which begins with NAME. Prints nothing where it is
 * part of the program, as in a static build.
 */
#include HEADER

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(word) #word
#define TEXT(word) TEXT_OF(word)

int main(void)
{
	/* so that no linker leaves the library out */
	static void (*volatile const used)(void) = (void (*)(void))FUNCTION;
	void *function = used ? dlsym(RTLD_DEFAULT, TEXT(FUNCTION)) : NULL;
	const char *name;
	Dl_info where;

	if (!function || !dladdr(function, &where) || !where.dli_fname)
		return 0;
	name = strrchr(where.dli_fname, '/');
	name = name ? name + 1 : where.dli_fname;
	if (strncmp(name, NAME, sizeof NAME - 1) != 0)
		return 0;
#ifdef __APPLE__
	name = where.dli_fname; /* no search by the last part alone */
#endif
	puts(name);
	return 0;
}
