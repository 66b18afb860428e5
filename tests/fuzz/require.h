/* SPDX-License-Identifier: MIT */
/* What must hold in a fuzz target: unlike assert, also in builds that drop asserts. */
#ifndef PORTMETER_TESTS_FUZZ_REQUIRE_H
#define PORTMETER_TESTS_FUZZ_REQUIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                            \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,    \
				#condition);                                          \
			abort();                                                      \
		}                                                                     \
	} while (0)

#endif
