/* SPDX-License-Identifier: MIT */
/*
 * Landlock by its system calls, of which the C library has no functions. Rights and structures are
 * written down here, as in the kernel's interface: a program built with old headers uses what a new
 * kernel has.
 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers everywhere but on Alpha. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define BIT(n) (UINT64_C(1) << (n))

enum {
	WRITE_FILE = 1,
	READ_FILE = 2,
	READ_DIR = 3,
	REMOVE_FILE = 5,
	MAKE_DIR = 7,
	MAKE_REG = 8,
	LAST_FIRST = 12, /* of version 1 */
	REFER = 13,      /* version 2 */
	TRUNCATE = 14,   /* version 3 */
	IOCTL_DEV = 15,  /* version 5 */
};

/* What a rule on a file, and no folder, may speak of. */
#define OF_FILES (BIT(WRITE_FILE) | BIT(READ_FILE) | BIT(TRUNCATE))

static const uint64_t rights_of[] = {
	[LANDLOCK_READ] = BIT(READ_FILE) | BIT(READ_DIR),
	[LANDLOCK_WRITE] = BIT(READ_FILE) | BIT(READ_DIR) | BIT(WRITE_FILE) | BIT(TRUNCATE) |
			   BIT(MAKE_REG) | BIT(MAKE_DIR) | BIT(REMOVE_FILE),
};

struct ruleset {
	uint64_t fs, net, scoped;
};

/* Packed in the kernel's interface; these are its 12 bytes all the same. */
struct __attribute__((packed)) path_rule {
	uint64_t rights;
	int32_t fd;
};

#define RULE_PATH 1
#define ASK_VERSION 1U
/* Both directions of TCP; to abstract sockets and signals outside. */
#define NET_ALL (BIT(0) | BIT(1))
#define SCOPED_ALL (BIT(0) | BIT(1))

/* No descriptor and no memory are no reasons to go on without. */
static void note_want(struct landlock *landlock, long result)
{
	if (result < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		landlock->error = errno;
}

bool landlock_begin(struct landlock *landlock)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	struct ruleset ruleset = { .fs = BIT(LAST_FIRST + 1) - 1 };
	size_t size = sizeof ruleset.fs;

	*landlock = (struct landlock){ .fd = -1 };
	if (version < 1)
		return false;
	if (version >= 2)
		ruleset.fs |= BIT(REFER);
	if (version >= 3)
		ruleset.fs |= BIT(TRUNCATE);
	if (version >= 4) {
		ruleset.net = NET_ALL;
		size += sizeof ruleset.net;
	}
	if (version >= 5)
		ruleset.fs |= BIT(IOCTL_DEV);
	if (version >= 6) {
		ruleset.scoped = SCOPED_ALL;
		size += sizeof ruleset.scoped;
	}
	landlock->fs = ruleset.fs;
	landlock->fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
	note_want(landlock, landlock->fd);
	return landlock->fd >= 0;
}

void landlock_allow(struct landlock *landlock, const char *path, enum landlock_rights rights)
{
	struct path_rule rule = { .rights = rights_of[rights] & landlock->fs };
	struct stat st;
	int fd;

	if (landlock->fd < 0)
		return;
	fd = open(path, O_PATH | O_CLOEXEC);
	note_want(landlock, fd);
	if (fd < 0)
		return;
	rule.fd = fd;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.rights &= OF_FILES;
	/* It fails for a pipe by its name in /proc, which needs no rule. */
	note_want(landlock, syscall(SYS_landlock_add_rule, landlock->fd, RULE_PATH, &rule, 0));
	close(fd);
}

bool landlock_enter(struct landlock *landlock)
{
	return syscall(SYS_landlock_restrict_self, landlock->fd, 0) == 0;
}

void landlock_end(struct landlock *landlock)
{
	if (landlock->fd >= 0)
		close(landlock->fd);
	landlock->fd = -1;
}
