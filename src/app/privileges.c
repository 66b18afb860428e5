/* SPDX-License-Identifier: MIT */
/* Root for opening, not for parsing. */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))
/* Sets of capabilities are 64 bits wide: capget(2), version 3. */
#define CAPABILITIES 64

struct sets {
	uint64_t effective, permitted, inheritable;
};

static bool sets_get(struct sets *ret_sets)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	*ret_sets = (struct sets){
		.effective = data[0].effective | (uint64_t)data[1].effective << 32,
		.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
		.inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32,
	};
	return true;
}

static bool sets_put(const struct sets *sets)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)sets->effective, (uint32_t)sets->permitted,
		  (uint32_t)sets->inheritable },
		{ (uint32_t)(sets->effective >> 32), (uint32_t)(sets->permitted >> 32),
		  (uint32_t)(sets->inheritable >> 32) },
	};

	return syscall(SYS_capset, &header, data) == 0;
}

static bool effective(uint64_t all)
{
	struct sets sets;

	return sets_get(&sets) && (sets.effective & all) == all;
}

bool privileges_are_root(void)
{
	return geteuid() == 0;
}

bool privileges_may_change(void)
{
	return privileges_are_root() && effective(BIT(CAP_SETUID) | BIT(CAP_SETGID));
}

bool privileges_any(void)
{
	struct sets sets;

	return sets_get(&sets) && sets.permitted != 0;
}

static void fill(const char *name, uid_t uid, gid_t gid, struct identity *ret_identity)
{
	struct identity identity = { .uid = uid, .gid = gid, .n_groups = IDENTITY_GROUPS };

	snprintf(identity.name, sizeof identity.name, "%s", name);
	/* Whoever is in more groups than fit is in the first of them. */
	if (getgrouplist(name, gid, identity.groups, &identity.n_groups) < 0)
		identity.n_groups = IDENTITY_GROUPS;
	*ret_identity = identity;
}

/* Who is in no list, as in a container. The last number is no user's, see setresuid(2). */
static bool find_number(const char *text, struct identity *ret_identity)
{
	unsigned long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n >= (uid_t)-1)
		return false;
	identity_of((uid_t)n, (gid_t)n, ret_identity);
	return true;
}

bool identity_find(const char *name, struct identity *ret_identity)
{
	const struct passwd *entry = getpwnam(name);

	if (!entry)
		return find_number(name, ret_identity);
	fill(name, entry->pw_uid, entry->pw_gid, ret_identity);
	return true;
}

void identity_of(uid_t uid, gid_t gid, struct identity *ret_identity)
{
	const struct passwd *entry = getpwuid(uid);

	if (entry) {
		char name[sizeof ret_identity->name];

		snprintf(name, sizeof name, "%s", entry->pw_name);
		fill(name, uid, entry->pw_gid, ret_identity);
		return;
	}
	*ret_identity = (struct identity){
		.uid = uid, .gid = gid, .groups = { gid }, .n_groups = 1
	};
	snprintf(ret_identity->name, sizeof ret_identity->name, "%lu", (unsigned long)uid);
}

/* Who it was before identity_assume. */
static struct {
	uid_t uid;
	gid_t gid;
	gid_t groups[IDENTITY_GROUPS];
	int n_groups;
} starter;

bool identity_assume(const struct identity *identity)
{
	int why;

	starter.uid = geteuid();
	starter.gid = getegid();
	starter.n_groups = getgroups(IDENTITY_GROUPS, starter.groups);
	if (starter.n_groups < 0 || setgroups((size_t)identity->n_groups, identity->groups) < 0)
		return false;
	if (setegid(identity->gid) == 0 && seteuid(identity->uid) == 0)
		return true;
	why = errno;
	identity_return();
	errno = why;
	return false;
}

void identity_return(void)
{
	/* What root has done for a moment root can undo. */
	if (seteuid(starter.uid) < 0 || setegid(starter.gid) < 0 ||
	    setgroups((size_t)starter.n_groups, starter.groups) < 0)
		return;
}

/*
 * What an exec could gain. Without CAP_SETPCAP the bounding set stays, but then no_new_privs keeps
 * an exec from gaining anything, and the sandbox from coming about.
 */
static void clear_for_exec(void)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (!effective(BIT(CAP_SETPCAP)))
		return;
	for (unsigned long c = 0; c < CAPABILITIES && prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
}

static bool become(const struct identity *identity)
{
	uid_t uid = identity->uid;
	gid_t gid = identity->gid;

	if (setgroups((size_t)identity->n_groups, identity->groups) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return false;
	return true;
}

/* Root must be out of reach: of all that has been done this is the proof. */
static bool is_final(const struct identity *identity, uint64_t keep)
{
	struct sets sets;
	uid_t uid = identity ? identity->uid : geteuid();

	errno = EPERM;
	if (!sets_get(&sets) || (sets.permitted | sets.effective | sets.inheritable) & ~keep)
		return false;
	return uid == 0 || (seteuid(0) < 0 && setuid(0) < 0 && geteuid() == uid);
}

bool privileges_drop(const struct identity *identity, bool net_raw)
{
	uint64_t keep = net_raw ? BIT(CAP_NET_RAW) : 0;
	struct sets sets;

	clear_for_exec();
	if (prctl(PR_SET_KEEPCAPS, keep != 0, 0, 0, 0) < 0 || (identity && !become(identity)) ||
	    !sets_get(&sets))
		return false;
	sets = (struct sets){ .permitted = sets.permitted & keep,
			      .effective = sets.permitted & keep };
	return sets_put(&sets) && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0 &&
	       is_final(identity, keep);
}
