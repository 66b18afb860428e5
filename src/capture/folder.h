/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_CAPTURE_FOLDER_H
#define PORTMETER_CAPTURE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "portmeter/base.h"

struct path {
	char *name;
	bool found; /* in a folder, where not everything need be a capture */
};

/* Zeroed it is empty. */
struct paths {
	struct path *all;
	size_t n, places;
};

/* Adds @names, each folder among them as the files in it. PM_E_IO with @err, PM_E_MEMORY or 0. */
int pm_paths_expand(struct paths *paths, const char *const *names, size_t n, struct pm_error *err);
void pm_paths_fini(struct paths *paths);

#endif
