/* SPDX-License-Identifier: MIT */
/* -Z: root for opening, not for parsing. */
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "app.h"

bool privileges_drop(const char *user)
{
	const struct passwd *entry = getpwnam(user);

	if (!entry) {
		say("-Z %s: there is no such user", user);
		return false;
	}
	if (initgroups(user, entry->pw_gid) < 0 || setgid(entry->pw_gid) < 0 ||
	    setuid(entry->pw_uid) < 0) {
		say("-Z %s: can't become that user: start as root, or leave -Z out", user);
		return false;
	}
	if (entry->pw_uid != 0 && setuid(0) == 0) {
		say("-Z %s: root could be had back; giving up", user);
		return false;
	}
	return true;
}
