/* SPDX-License-Identifier: MIT */
/*
 * A heap that fails on demand, for one test program: its n-th allocation, or all from that one on;
 * and that counts what is left. Links with --wrap for each function below. Other libraries have the
 * heap that they always have.
 */
#ifndef PORTMETER_TESTS_HEAP_H
#define PORTMETER_TESTS_HEAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
char *__real_realpath(const char *path, char *ret_path);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
char *__wrap_realpath(const char *path, char *ret_path);
void __wrap_free(void *block);

static struct {
	bool on;
	unsigned long n, fails_at; /* allocations so far; 0: none fails */
	bool for_good;             /* all later ones fail, too */
	bool failed;
	long held; /* blocks */
} heap;

/* Whether this allocation is to fail. */
static bool short_of_memory(void)
{
	if (!heap.on)
		return false;
	heap.n++;
	if (heap.fails_at == 0 || heap.n < heap.fails_at ||
	    (heap.n > heap.fails_at && !heap.for_good))
		return false;
	heap.failed = true;
	return true;
}

static void *counted(void *block)
{
	heap.held += heap.on && block;
	return block;
}

void *__wrap_malloc(size_t size)
{
	return short_of_memory() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return short_of_memory() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *block, size_t size)
{
	if (short_of_memory())
		return NULL;
	return block ? __real_realloc(block, size) : counted(__real_realloc(NULL, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return short_of_memory() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

char *__wrap_strdup(const char *text)
{
	return short_of_memory() ? NULL : counted(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t size)
{
	return short_of_memory() ? NULL : counted(__real_strndup(text, size));
}

/* The other names of the file are not known, and not for want of a file. */
char *__wrap_realpath(const char *path, char *ret_path)
{
	if (short_of_memory()) {
		errno = ENOMEM;
		return NULL;
	}
	return counted(__real_realpath(path, ret_path));
}

void __wrap_free(void *block)
{
	heap.held -= heap.on && block;
	__real_free(block);
}

#endif
