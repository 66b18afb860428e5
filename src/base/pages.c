/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>

#include "portmeter/base.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* not in older headers; Linux 5.14 */
#endif

void pm_pages_make(void *block, size_t size)
{
	uintptr_t page = 4096, begin = (uintptr_t)block / page * page;

	madvise((void *)begin, (uintptr_t)block + size - begin, MADV_POPULATE_WRITE);
}
