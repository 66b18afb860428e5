/* SPDX-License-Identifier: MIT */
/* Where the library for zstd is not there. */
#include "output-internal.h"

const struct packing *const pm_packing_zstd = NULL;
