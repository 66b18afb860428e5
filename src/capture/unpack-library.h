/* SPDX-License-Identifier: MIT */
/* The functions of libarchive: from the linker, or from the library once a packed file needs it. */
#ifndef PORTMETER_CAPTURE_UNPACK_LIBRARY_H
#define PORTMETER_CAPTURE_UNPACK_LIBRARY_H

#include <archive.h>
#include <stdbool.h>
#include <stddef.h>

#include "portmeter/base.h"

#define PM_ARCHIVE_FUNCTIONS(EACH)              \
	EACH(archive_errno)                     \
	EACH(archive_error_string)              \
	EACH(archive_read_data_block)           \
	EACH(archive_read_free)                 \
	EACH(archive_read_new)                  \
	EACH(archive_read_next_header)          \
	EACH(archive_read_open)                 \
	EACH(archive_read_support_filter_bzip2) \
	EACH(archive_read_support_filter_gzip)  \
	EACH(archive_read_support_filter_lz4)   \
	EACH(archive_read_support_filter_xz)    \
	EACH(archive_read_support_filter_zstd)  \
	EACH(archive_read_support_format_empty) \
	EACH(archive_read_support_format_raw)   \
	EACH(archive_set_error)

#define PM_ARCHIVE_MEMBER(name) __typeof__(&name) name;

struct pm_archive {
	PM_ARCHIVE_FUNCTIONS(PM_ARCHIVE_MEMBER)
};

#define PM_ARCHIVE_WHY_SIZE 128

/*
 * The functions, which stay for good; from any thread. The first call may open files and map
 * code: whoever gives up the right to do so calls it before. NULL with @ret_why, static: the
 * library is not there or lacks something.
 */
const struct pm_archive *pm_archive_load(const char **ret_why);
/* Of the library @name; NULL: of the program itself. False with @ret_why filled. */
bool pm_archive_load_from(const char *name, struct pm_archive *ret_archive,
			  char ret_why[PM_ARCHIVE_WHY_SIZE]);

#endif
