/* SPDX-License-Identifier: MIT */
/*
 * Large blocks for targets that make an engine for every input. Its tables are some 30 MB, of which
 * an input touches a few pages; mapping, poisoning and unmapping them took nine tenths of the time.
 * Between blocks_begin and blocks_end such blocks come from a store that keeps their memory, with
 * what was touched zeroed. Ends and given-back pages are poisoned as a sanitizer's own heap has
 * them. Links with --wrap for malloc, calloc, realloc and free.
 */
#ifndef PORTMETER_TESTS_FUZZ_BLOCKS_H
#define PORTMETER_TESTS_FUZZ_BLOCKS_H

#include <stddef.h>

void blocks_begin(void);
/* How many have not been given back, which is a leak. */
size_t blocks_end(void);

#endif
