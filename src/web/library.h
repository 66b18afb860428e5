/* SPDX-License-Identifier: MIT */
/* The functions of libmicrohttpd: from the linker, or from the library once a port is opened. */
#ifndef PORTMETER_WEB_LIBRARY_H
#define PORTMETER_WEB_LIBRARY_H

#include <microhttpd.h>

#include "portmeter/base.h"

#define PM_MHD_FUNCTIONS(EACH)                  \
	EACH(MHD_add_response_header)           \
	EACH(MHD_create_response_from_buffer)   \
	EACH(MHD_create_response_from_callback) \
	EACH(MHD_destroy_response)              \
	EACH(MHD_get_connection_info)           \
	EACH(MHD_get_connection_values)         \
	EACH(MHD_get_daemon_info)               \
	EACH(MHD_get_timeout)                   \
	EACH(MHD_is_feature_supported)          \
	EACH(MHD_lookup_connection_value)       \
	EACH(MHD_queue_response)                \
	EACH(MHD_resume_connection)             \
	EACH(MHD_run)                           \
	EACH(MHD_start_daemon)                  \
	EACH(MHD_stop_daemon)                   \
	EACH(MHD_suspend_connection)

#define PM_MHD_MEMBER(name) __typeof__(&name) name;

struct pm_mhd {
	PM_MHD_FUNCTIONS(PM_MHD_MEMBER)
};

/* The functions, for good, once pm_mhd_load has said that they are there. */
const struct pm_mhd *pm_mhd(void);

/*
 * From any thread. The first call may open files and map code: whoever gives up the right to do so
 * calls it before. False with @ret_why, static: the library is not there or lacks something.
 */
bool pm_mhd_load(const char **ret_why);

#endif
