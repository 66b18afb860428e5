/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_COUNTER_H
#define PORTMETER_COUNTER_H

#include <stdint.h>

/* What a 32-bit counter grew by, over a wrap too; *@before becomes @now. */
static inline uint64_t pm_counter_growth(uint32_t *before, uint32_t now)
{
	uint32_t delta = now - *before;

	*before = now;
	return delta;
}

#endif
