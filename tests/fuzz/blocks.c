/* SPDX-License-Identifier: MIT */
/* See blocks.h. */
#include "blocks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#define POISON(at, size) __asan_poison_memory_region(at, size)
#define UNPOISON(at, size) __asan_unpoison_memory_region(at, size)
#else
#define POISON(at, size) ((void)(at), (void)(size))
#define UNPOISON(at, size) ((void)(at), (void)(size))
#endif

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

#define PAGE ((size_t)4096)
#define LEAST ((size_t)32 << 10)
#define MOST ((size_t)16 << 20)
#define STORE ((size_t)1 << 30)
#define SLOTS 1024
/* With more pages than these it is quicker to have the system forget them than to zero them. */
#define MANY 2048

struct slot {
	uint8_t *at;
	unsigned char *there; /* by page: it had been touched when it was given back */
	size_t size, room;    /* room: whole pages */
	bool used;
};

static struct {
	uint8_t *at;
	size_t taken; /* bytes of the store */
	struct slot slots[SLOTS];
	size_t n, used;
	bool on;
} store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t whole_pages(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

static bool is_ours(const void *block)
{
	const uint8_t *at = block;

	return store.at && at >= store.at && at < store.at + STORE;
}

/* What has been touched is zero again, and nobody may touch it. */
static void clean(struct slot *slot)
{
	size_t n = slot->room / PAGE, touched = 0;

	if (mincore(slot->at, slot->room, slot->there) < 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		uint8_t *page = slot->at + i * PAGE;

		if (!(slot->there[i] & 1))
			continue;
		UNPOISON(page, PAGE);
		if (touched++ < MANY)
			memset(page, 0, PAGE);
		POISON(page, PAGE);
	}
	if (touched > MANY && madvise(slot->at, slot->room, MADV_DONTNEED) < 0)
		abort();
}

/* All but its end may be touched. */
static void open_up(struct slot *slot)
{
	size_t n = slot->room / PAGE;

	for (size_t i = 0; i < n; i++)
		if (slot->there[i] & 1 || i == n - 1)
			UNPOISON(slot->at + i * PAGE, PAGE);
	POISON(slot->at + slot->size, slot->room - slot->size);
}

/* A slot of just that room; a page that nobody may touch follows it. */
static struct slot *slot_of(size_t room)
{
	struct slot *slot;
	unsigned char *there;

	for (size_t i = 0; i < store.n; i++)
		if (!store.slots[i].used && store.slots[i].room == room)
			return &store.slots[i];
	if (!store.at) {
		store.at = mmap(NULL, STORE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (store.at == MAP_FAILED)
			abort();
		store.taken = PAGE;
		POISON(store.at, PAGE);
	}
	if (store.n == SLOTS || room + PAGE > STORE - store.taken)
		return NULL;
	there = __real_calloc(room / PAGE, 1);
	if (!there)
		return NULL;
	slot = &store.slots[store.n++];
	*slot = (struct slot){ .at = store.at + store.taken, .there = there, .room = room };
	store.taken += room + PAGE;
	POISON(slot->at + room, PAGE);
	return slot;
}

/* NULL: not from here. */
static void *take(size_t size)
{
	struct slot *slot;

	if (!store.on || size < LEAST || size > MOST)
		return NULL;
	pthread_mutex_lock(&lock);
	slot = slot_of(whole_pages(size));
	if (slot) {
		slot->size = size;
		slot->used = true;
		store.used++;
		open_up(slot);
	}
	pthread_mutex_unlock(&lock);
	return slot ? slot->at : NULL;
}

static struct slot *find(const void *block)
{
	for (size_t i = 0; i < store.n; i++)
		if (store.slots[i].at == block && store.slots[i].used)
			return &store.slots[i];
	abort(); /* given back twice, or never taken */
}

static void give(void *block)
{
	struct slot *slot;

	pthread_mutex_lock(&lock);
	slot = find(block);
	clean(slot);
	slot->used = false;
	store.used--;
	pthread_mutex_unlock(&lock);
}

void *__wrap_malloc(size_t size)
{
	void *block = take(size);

	if (block)
		memset(block, 0xbe, PAGE); /* what has not been written is not zero */
	return block ? block : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	void *block = size && n > MOST / size ? NULL : take(n * size);

	return block ? block : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	void *more;
	size_t had;

	if (!is_ours(block))
		return __real_realloc(block, size);
	more = __wrap_malloc(size);
	had = find(block)->size;
	if (more) {
		memcpy(more, block, had < size ? had : size);
		give(block);
	}
	return more;
}

void __wrap_free(void *block)
{
	if (is_ours(block))
		give(block);
	else
		__real_free(block);
}

void blocks_begin(void)
{
	store.on = true;
}

size_t blocks_end(void)
{
	store.on = false;
	return store.used;
}
