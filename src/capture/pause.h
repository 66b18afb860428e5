/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_PAUSE_H
#define PORTMETER_PAUSE_H

#include <stdint.h>

/* The longest pause; nothing that waits for a record notices it. */
#define PM_PAUSE_MAX_MS 8
/* Buffers of fewer than eight of libpcap's blocks of 256 KiB have none to spare. */
#define PM_PAUSE_BUFFER (UINT64_C(2) << 20)

/*
 * How long to leave frames alone that keep coming, in milliseconds: each waking costs, and finds
 * the caches cold. @bytes of a buffer of @size were taken in the last @elapsed_ns. It is the time
 * in which an eighth of the buffer fills if they go on like that; 0 where that is less than a
 * millisecond, and where it is so long that there is little to be saved: what may come is then
 * many times more than what came. Small buffers get none.
 */
static inline int pm_pause_ms(uint64_t bytes, int64_t elapsed_ns, uint64_t size)
{
	uint64_t ms;

	/* after a second it is not known how they came; and no product becomes too large */
	if (bytes == 0 || elapsed_ns <= 0 || elapsed_ns > INT64_C(1000000000))
		return 0;
	if (size < PM_PAUSE_BUFFER || size >> 32)
		return 0;
	ms = size / 8 * (uint64_t)elapsed_ns / bytes / 1000000;
	if (ms > (uint64_t)4 * PM_PAUSE_MAX_MS)
		return 0;
	return ms < PM_PAUSE_MAX_MS ? (int)ms : PM_PAUSE_MAX_MS;
}

#endif
