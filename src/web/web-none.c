/* SPDX-License-Identifier: MIT */
/* Where the library for HTTP was not there. */
#include <stdlib.h>

#include "portmeter/web.h"

bool pm_web_built(void)
{
	return false;
}

int pm_web_open(const struct pm_web_options *options, struct pm_error *err, struct pm_web **ret_web)
{
	(void)options;
	(void)ret_web;
	return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0,
			    "this portmeter was built without libmicrohttpd, so it can't serve HTTP");
}

const char *pm_web_url(const struct pm_web *web)
{
	(void)web;
	return "";
}

bool pm_web_exposed(const struct pm_web *web)
{
	(void)web;
	return false;
}

int pm_web_start(struct pm_web *web, struct pm_error *err)
{
	(void)web;
	return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0, "built without libmicrohttpd");
}

int pm_web_source(struct pm_web *web, const char *name, bool live)
{
	(void)web;
	(void)name;
	(void)live;
	return PM_E_UNSUPPORTED;
}

int pm_web_publish(struct pm_web *web, const char *source, bool live, int64_t time_ns, char *text,
		   size_t size)
{
	(void)web;
	(void)source;
	(void)live;
	(void)time_ns;
	(void)size;
	free(text);
	return PM_E_UNSUPPORTED;
}

void pm_web_end(struct pm_web *web)
{
	(void)web;
}

void pm_web_close(struct pm_web *web)
{
	(void)web;
}
