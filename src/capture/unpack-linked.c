/* SPDX-License-Identifier: MIT */
/* libarchive as the linker has it: in static builds, and where its file has no known name. */
#include "unpack-library.h"

#define ADDRESS(name) .name = name,

const struct pm_archive *pm_archive_load(const char **ret_why)
{
	static const struct pm_archive linked = { PM_ARCHIVE_FUNCTIONS(ADDRESS) };

	(void)ret_why;
	return &linked;
}
