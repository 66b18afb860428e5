/* SPDX-License-Identifier: MIT */
/* libmicrohttpd as the linker has it: in static builds, and where its file has no known name. */
#include "library.h"

#define ADDRESS(name) .name = name,

const struct pm_mhd *pm_mhd(void)
{
	static const struct pm_mhd linked = { PM_MHD_FUNCTIONS(ADDRESS) };

	return &linked;
}

bool pm_mhd_load(const char **ret_why)
{
	(void)ret_why;
	return true;
}
