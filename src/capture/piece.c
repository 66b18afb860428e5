/* SPDX-License-Identifier: MIT */
/* Pieces of files in memory, and the handler of SIGBUS that they need. */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "piece.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* not in older headers; Linux 5.14 */
#endif

/*
 * The handler runs in the thread that has touched the page; none else changes that piece then. Of
 * the others it sees where they are: a place is one word, which goes before its memory.
 */
struct pm_piece {
	atomic_bool taken;
	_Atomic(uint64_t) place; /* its first page, and how many they are; 0: nowhere */
	volatile sig_atomic_t lost;
};

/* Of a place, the bits that tell how many pages; those above are enough for any address. */
#define COUNT_BITS 19

static struct pm_piece pieces[PM_PIECES_MAX];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool handled;
static struct sigaction before;
static size_t page;

static uintptr_t begin_of(uint64_t place)
{
	return (uintptr_t)(place >> COUNT_BITS) * page;
}

static size_t size_of(uint64_t place)
{
	return (size_t)(place & ((UINT64_C(1) << COUNT_BITS) - 1)) * page;
}

/* Puts zeroes from the page of @address on, by a system call: no more than a handler may do. */
static bool lose(uintptr_t address)
{
	uintptr_t from = address / page * page;

	for (size_t i = 0; i < PM_PIECES_MAX; i++) {
		uint64_t place = atomic_load(&pieces[i].place);
		uintptr_t begin = begin_of(place);

		if (address < begin || address - begin >= size_of(place))
			continue;
		pieces[i].lost = 1;
		return mmap((void *)from, begin + size_of(place) - from, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
	}
	return false;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
	const struct sigaction action = before;

	if (before.sa_flags & (int)SA_RESETHAND) { /* which it is for once */
		before.sa_handler = SIG_DFL;
		before.sa_flags = 0;
	}
	if (action.sa_flags & SA_SIGINFO) {
		action.sa_sigaction(number, info, context);
	} else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
		action.sa_handler(number);
	} else if (action.sa_handler == SIG_DFL || info->si_code > 0) {
		/* comes, and ends the process, when this handler has returned */
		signal(number, SIG_DFL);
		raise(number);
	}
}

static void on_bus(int number, siginfo_t *info, void *context)
{
	int was = errno;

	/* only a fault has an address; kill(2) has none */
	if (info->si_code <= 0 || !lose((uintptr_t)info->si_addr))
		pass_on(number, info, context);
	errno = was;
}

static void handle(void)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	page = pm_piece_page();
	sigemptyset(&action.sa_mask);
	/* a handler can wait for no lock */
	handled = ATOMIC_LLONG_LOCK_FREE == 2 && sigaction(SIGBUS, &action, &before) == 0;
}

size_t pm_piece_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* A fault while it is blocked ends the process. */
static void let_through(void)
{
	sigset_t bus;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
}

struct pm_piece *pm_piece_new(void)
{
	pthread_once(&once, handle);
	for (size_t i = 0; handled && i < PM_PIECES_MAX; i++)
		if (!atomic_exchange(&pieces[i].taken, true)) {
			pieces[i].lost = 0;
			let_through();
			return &pieces[i];
		}
	return NULL;
}

static void unmap(struct pm_piece *piece)
{
	uint64_t place = atomic_exchange(&piece->place, 0);

	if (place)
		munmap((void *)begin_of(place), size_of(place));
}

void pm_piece_free(struct pm_piece *piece)
{
	if (!piece)
		return;
	unmap(piece);
	atomic_store(&piece->taken, false);
}

uint8_t *pm_piece_map(struct pm_piece *piece, int fd, uint64_t offset, size_t size)
{
	void *bytes;

	unmap(piece);
	if (size / page >> COUNT_BITS)
		return NULL;
	bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
	if (bytes == MAP_FAILED)
		return NULL;
	atomic_store(&piece->place,
		     (uint64_t)((uintptr_t)bytes / page) << COUNT_BITS | size / page);
	madvise(bytes, size, MADV_SEQUENTIAL);
	/* An older system, to which this is unknown, brings each page when it is touched. */
	if (madvise(bytes, size, MADV_POPULATE_READ) == 0 || errno == EINVAL || errno == EINTR)
		return bytes;
	return NULL;
}

bool pm_piece_holds(const struct pm_piece *piece, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i += page)
		(void)*(const volatile uint8_t *)(bytes + i);
	return pm_piece_held(&piece->lost, n ? bytes + n - 1 : bytes);
}

const volatile sig_atomic_t *pm_piece_lost(const struct pm_piece *piece)
{
	return &piece->lost;
}
