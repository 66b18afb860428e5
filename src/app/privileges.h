/* SPDX-License-Identifier: MIT */
/* Users and capabilities: credentials(7), capabilities(7). */
#ifndef PORTMETER_PRIVILEGES_H
#define PORTMETER_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#define IDENTITY_GROUPS 256

/* A user that the program can become. */
struct identity {
	char name[64];
	uid_t uid;
	gid_t gid;
	gid_t groups[IDENTITY_GROUPS]; /* supplementary ones, @gid among them */
	int n_groups;
};

/* By name or number; who is in no list has the group of that number. False: there is none. */
bool identity_find(const char *name, struct identity *ret_identity);
/* The user of that number, who need not have a name; then @name is the number. */
void identity_of(uid_t uid, gid_t gid, struct identity *ret_identity);

/* Whether it was started as root, and root may become others: in a container it may not. */
bool privileges_are_root(void);
bool privileges_may_change(void);
/* Whether there is any capability, whoever the user is. */
bool privileges_any(void);

/*
 * Goes on as that user, to ask what it may do or to open what is to be its own, and comes back. The
 * process has one thread. False, and errno: it can't; nothing has changed.
 */
bool identity_assume(const struct identity *identity);
void identity_return(void);

/*
 * Gives up, for good, all capabilities but CAP_NET_RAW, and that one too unless @net_raw, and
 * becomes @identity, or stays who it is with NULL. False, and errno: it can't; some may be gone.
 */
bool privileges_drop(const struct identity *identity, bool net_raw);

#endif
