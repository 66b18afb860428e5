/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded: the allocation with number PORTMETER_HEAP_FAILS fails, of the whole program
 * with its libraries; with PORTMETER_HEAP_FOR_GOOD, all later ones too. Those made by a library
 * whose path holds a word of PORTMETER_HEAP_SPARES never do. At the end the number of allocations
 * is written to PORTMETER_HEAP_COUNT, a file. glibc only: what is called instead has names of its
 * own there.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
SHOWN void *malloc(size_t size);
SHOWN void *calloc(size_t n, size_t size);
SHOWN void *realloc(void *block, size_t size);
SHOWN void *aligned_alloc(size_t alignment, size_t size);
SHOWN int posix_memalign(void **ret_block, size_t alignment, size_t size);

static atomic_ulong made, fails_at;
static atomic_bool for_good;
static const char *spares; /* NULL: none */
static int count_fd = -1;  /* opened while the program may still open files */

/* Before main, when the loader is through: what that needs is not the program's. */
__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("PORTMETER_HEAP_FAILS"), *path = getenv("PORTMETER_HEAP_COUNT");

	if (path)
		count_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	spares = getenv("PORTMETER_HEAP_SPARES");
	atomic_store(&made, 0);
	atomic_store(&for_good, getenv("PORTMETER_HEAP_FOR_GOOD") != NULL);
	atomic_store(&fails_at, text ? strtoul(text, NULL, 10) : 0);
}

__attribute__((destructor)) static void end(void)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%lu\n", atomic_load(&made));

	if (count_fd >= 0 && write(count_fd, text, (size_t)n) == n)
		close(count_fd);
}

static bool is_spared(const void *caller)
{
	char words[256], *rest = words;
	Dl_info info;

	if (!spares || !dladdr(caller, &info) || !info.dli_fname)
		return false;
	snprintf(words, sizeof words, "%s", spares);
	for (const char *word; (word = strsep(&rest, " ")) != NULL;)
		if (strstr(info.dli_fname, word))
			return true;
	return false;
}

static bool fails(const void *caller)
{
	unsigned long n = atomic_fetch_add(&made, 1) + 1, at = atomic_load(&fails_at);

	if (at == 0 || n < at || (n > at && !atomic_load(&for_good)) || is_spared(caller))
		return false;
	errno = ENOMEM;
	return true;
}

#define FAILS() fails(__builtin_return_address(0))

void *malloc(size_t size)
{
	return FAILS() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return FAILS() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t size)
{
	return FAILS() ? NULL : __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return FAILS() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	void *block = FAILS() ? NULL : __libc_memalign(alignment, size);

	if (!block)
		return ENOMEM;
	*ret_block = block;
	return 0;
}
