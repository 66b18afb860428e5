/* SPDX-License-Identifier: MIT */
/*
 * A mutator that knows what frames are made of: it takes them apart into headers, puts headers in,
 * takes some out, exchanges and edits them, and puts the frame together again, with numbers of
 * protocols and lengths that fit, or nearly. Bytes at random seldom give two headers in a row.
 */
#ifndef PORTMETER_TESTS_FUZZ_MUTATE_H
#define PORTMETER_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

/*
 * An input of these: @head bytes, of which the last two are a link type, and then
 *
 *   { size (2)  cut (1)  flags (1)  frame (size) } ...
 *
 * Returns its new size, at most @most. A LLVMFuzzerCustomMutator calls it.
 */
size_t mutate_records(uint8_t *data, size_t size, size_t most, size_t head, unsigned seed);

#endif
