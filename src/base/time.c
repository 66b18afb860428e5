/* SPDX-License-Identifier: MIT */
/* Time arithmetic that saturates: time stamps come from the network and from files. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "portmeter/base.h"

int64_t pm_time_add(int64_t time_ns, int64_t delta_ns)
{
	if (delta_ns > 0 && time_ns > PM_TIME_MAX - delta_ns)
		return PM_TIME_MAX;
	if (delta_ns < 0 && time_ns < PM_TIME_MIN - delta_ns)
		return PM_TIME_MIN;
	return time_ns + delta_ns;
}

int64_t pm_time_make_any(int64_t seconds, int64_t nanoseconds)
{
	if (seconds > PM_TIME_MAX / PM_NS_PER_S)
		return PM_TIME_MAX;
	if (seconds < PM_TIME_MIN / PM_NS_PER_S)
		return PM_TIME_MIN;
	return pm_time_add(seconds * PM_NS_PER_S, nanoseconds);
}

int64_t pm_time_floor(int64_t time_ns, int64_t step_ns)
{
	int64_t rest = time_ns % step_ns;

	if (rest < 0)
		rest += step_ns;
	return pm_time_add(time_ns, -rest);
}

int64_t pm_time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return pm_time_make(now.tv_sec, now.tv_nsec);
}

int64_t pm_time_steady(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * PM_NS_PER_S + now.tv_nsec;
}

void pm_time_text(int64_t time_ns, char ret_text[PM_TIME_TEXT_SIZE])
{
	int64_t rest = time_ns % PM_NS_PER_S;
	time_t seconds = (time_t)(time_ns / PM_NS_PER_S);
	struct tm tm;
	size_t length;

	if (rest < 0) {
		rest += PM_NS_PER_S;
		seconds--;
	}
	memset(&tm, 0, sizeof tm);
	gmtime_r(&seconds, &tm);
	length = strftime(ret_text, PM_TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret_text + length, PM_TIME_TEXT_SIZE - length, ".%06dZ", (int)(rest / 1000));
}
