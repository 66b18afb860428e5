/* SPDX-License-Identifier: MIT */
/* Libraries that are loaded once they are needed, and not with the program. */
#include <dlfcn.h>
#include <stdio.h>

#include "portmeter/base.h"

static bool say_why(char *ret_why, size_t size)
{
	const char *text = dlerror();

	snprintf(ret_why, size, "%s", text ? text : "no reason given");
	return false;
}

bool pm_library_load(const char *name, const char *const *functions, size_t n, char *ret_why,
		     size_t size, void **ret_functions)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return say_why(ret_why, size);
	for (size_t i = 0; i < n; i++)
		if (!dlsym(library, functions[i])) /* no dlclose: it may have begun something */
			return say_why(ret_why, size);
	for (size_t i = 0; i < n; i++)
		ret_functions[i] = dlsym(library, functions[i]);
	return true;
}
