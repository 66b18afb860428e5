/* SPDX-License-Identifier: MIT */
/* The files of the page, as scripts/embed-page has packed them. */
#include "web-internal.h"

#include "page-files.h"

const size_t pm_page_n_files = sizeof pm_page_files / sizeof *pm_page_files;
