/* SPDX-License-Identifier: MIT */
/* Which system calls may still be made: seccomp(2). */
#ifndef PORTMETER_SYSCALLS_H
#define PORTMETER_SYSCALLS_H

#include <stdbool.h>

enum syscalls_result {
	SYSCALLS_CLOSED,
	SYSCALLS_NOT_BUILT,  /* built without libseccomp */
	SYSCALLS_NOT_KERNEL, /* the kernel has no filters, or does not let us */
};

/*
 * From here on, for all threads. @live: what opening an interface again needs is allowed too;
 * @serves: what connections need that others open. Needs no_new_privs.
 */
enum syscalls_result syscalls_enter(bool live, bool serves);

#endif
