/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_PAUSE_H
#define PORTMETER_PAUSE_H

#include <stdint.h>

/* The longest pause: nothing that waits for a record notices it. */
#define PM_PAUSE_MAX_MS 8
/*
 * A millisecond for each so many bytes of the buffer: a network of 10 Gbit/s does not fill it
 * meanwhile with large frames, kept whole; small ones would, more than a thread could count.
 */
#define PM_PAUSE_BUFFER (UINT64_C(2) << 20)
/* Bytes of the buffer for which libpcap wakes. */
#define PM_PAUSE_BLOCK (UINT64_C(256) << 10)

/*
 * How long to leave frames alone that keep coming, in milliseconds: each waking costs, and finds
 * the caches cold. @bytes of a buffer of @size were taken in the last @elapsed_ns. It is the time
 * in which an eighth of the buffer fills if they go on like that, within the longest; 0 where not
 * even a block does, as nothing would be saved.
 */
static inline int pm_pause_ms(uint64_t bytes, int64_t elapsed_ns, uint64_t size)
{
	uint64_t most = size / PM_PAUSE_BUFFER, elapsed = (uint64_t)elapsed_ns, ms;

	/* What was a second ago says nothing. The products below stay under 2^59. */
	if (bytes == 0 || elapsed_ns <= 0 || elapsed_ns > INT64_C(1000000000) || size >> 32)
		return 0;
	if (most > PM_PAUSE_MAX_MS)
		most = PM_PAUSE_MAX_MS;
	ms = size / 8 * elapsed / bytes / 1000000;
	if (ms > most)
		ms = most;
	return ms * 1000000 < PM_PAUSE_BLOCK * elapsed / bytes ? 0 : (int)ms;
}

#endif
