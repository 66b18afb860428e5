/* SPDX-License-Identifier: MIT */
/* What files may still be opened, and that no TCP connection may be made: landlock(7). */
#ifndef PORTMETER_LANDLOCK_H
#define PORTMETER_LANDLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct landlock {
	int fd;      /* of the rules; -1: the kernel has no Landlock */
	int error;   /* errno of what has failed for want of something; 0: nothing */
	uint64_t fs; /* rights on files that it knows */
};

enum landlock_rights {
	LANDLOCK_READ,  /* the file, or all below the folder */
	LANDLOCK_WRITE, /* the same, and files are made, replaced and removed */
};

/*
 * Begins with nothing allowed. False: the kernel has none, it is off or not for us; or, with
 * @error, it could not be begun.
 */
bool landlock_begin(struct landlock *landlock);
/* A path that is not there, or can't be reached: nothing. What else goes wrong is in @error. */
void landlock_allow(struct landlock *landlock, const char *path, enum landlock_rights rights);
/* From here on, for this thread and those it starts. Needs no_new_privs. False, and errno. */
bool landlock_enter(struct landlock *landlock);
void landlock_end(struct landlock *landlock);

#endif
