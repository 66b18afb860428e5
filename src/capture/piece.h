/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_PIECE_H
#define PORTMETER_PIECE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A piece of a file in memory, mapped instead of read: mmap(2). A page of it goes when the file is
 * made shorter, or can't be brought in when the disk fails; whoever touches it then gets SIGBUS. A
 * handler puts zeroes in place of it and of all behind, and the piece is lost: what it holds is to
 * be read instead, which tells what is the matter.
 */
struct pm_piece;

/* Pieces of all files of the process; who gets none reads. */
#define PM_PIECES_MAX 32

/* Bytes of a page, at least: so many lie on two at most. */
#define PM_PIECE_PAGE 4096

/*
 * One that holds nothing yet. NULL: there are too many. The first one installs the handler of
 * SIGBUS, which passes on what is not of a piece. Lets that signal through to this thread; so must
 * each other that touches the piece.
 */
struct pm_piece *pm_piece_new(void);
/* NULL is fine. */
void pm_piece_free(struct pm_piece *piece);
/*
 * Maps @size bytes of @fd from @offset, both multiples of a page, in place of what it holds, and
 * brings them into memory. NULL: they can't be, and it may hold nothing.
 */
uint8_t *pm_piece_map(struct pm_piece *piece, int fd, uint64_t offset, size_t size);
/* Bytes of a page. */
size_t pm_piece_page(void);
/* Whether @n bytes at @bytes, within the piece, are there; with the same in its last page. */
bool pm_piece_holds(const struct pm_piece *piece, const uint8_t *bytes, size_t n);
/* Set once it is lost. */
const volatile sig_atomic_t *pm_piece_lost(const struct pm_piece *piece);

/*
 * For those who have read from a record that ends at @last and lies on two pages at most: whether
 * what they read was there. In the last page of a file that became shorter it may be zeroes.
 */
static inline bool pm_piece_held(const volatile sig_atomic_t *lost, const uint8_t *last)
{
	(void)*(const volatile uint8_t *)last;
	/* all that was read before, and a fault's handler, come before this look */
	atomic_signal_fence(memory_order_seq_cst);
	return !*lost;
}

#endif
