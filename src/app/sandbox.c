/* SPDX-License-Identifier: MIT */
/*
 * From what was asked for to what is still allowed: the user, the files that may be opened again,
 * the system calls. What each layer is for is in docs/architecture.md and SECURITY.md.
 */
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "landlock.h"
#include "sanitized.h"
#include "syscalls.h"

/* The user that others take for nobody, where there is no list of users: kernel/overflowuid. */
#define NOBODY 65534
/* As the kernel follows: path_resolution(7). */
#define LINKS_MAX 40

static bool is_live(const struct options *options)
{
	return options->n_files == 0;
}

/* The file that records go to; NULL: none. */
static const char *output_path(const struct options *options)
{
	return options->explain_frame ? NULL : options->output.path;
}

/* Whether it may go on for long, so that HUP is to be expected, which opens the output anew. */
static bool may_last(const struct options *options)
{
	for (size_t i = 0; i < options->n_files; i++)
		if (strcmp(options->files[i], "-") == 0)
			return true;
	return is_live(options) || options->capture.follow;
}

/* Whether files are made later: replaced as a whole, or one after the other. */
static bool makes_files(const struct options *options)
{
	const struct pm_output_options *output = &options->output;

	return output->format == PM_FORMAT_PROMETHEUS || output->rotate_bytes || output->rotate_ns;
}

/* The folder that holds @path, to be freed; NULL: no memory. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Whether @path, or its folder, lets us do as much as @mode says, with the rights we have now. */
static bool may(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

static bool may_in_folder_of(const char *path, int mode)
{
	char *folder = folder_of(path);
	bool result = folder && may(folder, mode);

	free(folder);
	return result;
}

/* Whether the output can be opened, replaced and made anew, as whoever we are now. */
static bool may_write(const char *path, bool replaced)
{
	struct stat st;

	if (stat(path, &st) == 0 && (!replaced || !S_ISREG(st.st_mode))) {
		if (!may(path, W_OK))
			return false;
		if (!S_ISREG(st.st_mode))
			return true;
	}
	return may_in_folder_of(path, W_OK | X_OK);
}

/* The next file of rules in a folder, by the names that are read; NULL: that was the last. */
static const char *next_rules(DIR *dir)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (fnmatch("*.rules", entry->d_name, FNM_PERIOD) == 0)
			return entry->d_name;
	return NULL;
}

/* The same for a file of rules, or for a folder and all rules in it. */
static bool may_read_rules(const char *path)
{
	DIR *dir = may(path, R_OK) ? opendir(path) : NULL;
	const char *name;
	bool result = true;

	if (!dir)
		return may(path, R_OK);
	while (result && (name = next_rules(dir)))
		result = faccessat(dirfd(dir), name, R_OK, AT_EACCESS) == 0;
	closedir(dir);
	return result;
}

/* The first of the rules' paths that can't be read again, as whoever we are now; NULL: none. */
static const char *unreadable_rules(const struct options *options)
{
	const char *folder = pm_rules_folder();

	for (size_t i = 0; i < options->n_rules; i++)
		if (!may_read_rules(options->rules[i]))
			return options->rules[i];
	return options->n_rules == 0 && !may_read_rules(folder) && errno == EACCES ? folder : NULL;
}

/* What a user can't do; both are true or NULL where nothing is asked for. */
struct ability {
	bool writes;
	const char *unreadable;
};

/* False, and errno: we can't even try. */
static bool try(const struct options *options, const struct identity *identity,
		struct ability *ret_ability)
{
	const char *path = output_path(options);

	if (!identity_assume(identity))
		return false;
	ret_ability->writes = !path || may_write(path, makes_files(options));
	/* they have been read by then; it is HUP that has them read again */
	ret_ability->unreadable = may_last(options) ? unreadable_rules(options) : NULL;
	identity_return();
	return true;
}

static bool choose_named(const struct options *options, struct stance *stance)
{
	const char *user = options->user, *path = output_path(options);
	struct ability ability;

	if (!identity_find(user, &stance->identity)) {
		say("-Z %s: there is no such user", user);
		return false;
	}
	if (!privileges_may_change() || !try(options, &stance->identity, &ability)) {
		say("-Z %s: can't become that user: start as root, or leave -Z out", user);
		return false;
	}
	stance->changes = true;
	stance->owns = ability.writes;
	/* What is only appended to is open by then; but after HUP it is opened by its name. */
	stance->fixed = !ability.writes;
	if (stance->fixed && (makes_files(options) || is_live(options))) {
		say("-o %s: user %s of -Z can't write there: name a folder that this user may write in",
		    path, user);
		return false;
	}
	if (ability.unreadable)
		snprintf(stance->why, sizeof stance->why,
			 "user %s can't read %s: HUP will not load these rules again", user,
			 ability.unreadable);
	return true;
}

/*
 * The one whom the folder of -o belongs to can write there where root, without its capabilities,
 * can't. False: that is root, or it can't either.
 */
static bool choose_owner(const struct options *options, struct stance *stance)
{
	const char *path = output_path(options);
	char *folder = path ? folder_of(path) : NULL;
	struct ability ability;
	struct stat st;
	bool found = folder && stat(folder, &st) == 0 && st.st_uid != 0;

	free(folder);
	if (!found)
		return false;
	identity_of(st.st_uid, st.st_gid, &stance->identity);
	return try(options, &stance->identity, &ability) && ability.writes;
}

/* Whether @path is @folder or lies below it; both are real paths. */
static bool is_in(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* Whether who may write as root in the folder of @path, and below, is soon root again. */
static bool is_folder_of_system(const char *path)
{
	/* of the second ones nothing below is harmless: cron.d, keys, units, programs */
	static const char *const places[] = { "/dev", "/home", "/opt", "/run", "/var/lib", "/var/spool" };
	static const char *const whole[] = {
		"/bin", "/boot", "/etc", "/lib", "/lib64", "/root", "/sbin", "/usr",
		"/run/systemd", "/run/udev", "/var/lib/dpkg", "/var/spool/at", "/var/spool/cron",
	};
	char *folder = folder_of(path);
	char *real = folder ? realpath(folder, NULL) : NULL;
	bool found = false;

	for (size_t i = 0; real && !found && i < sizeof places / sizeof *places; i++)
		found = is_in(places[i], real);
	for (size_t i = 0; real && !found && i < sizeof whole / sizeof *whole; i++)
		found = is_in(whole[i], real) || is_in(real, whole[i]);
	free(real);
	free(folder);
	return found;
}

/* What the link @path leads to, to be freed; NULL: it is none. */
static char *target_of(const char *path)
{
	char target[PATH_MAX], *folder, *whole = NULL;
	ssize_t n = readlink(path, target, sizeof target - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	if (target[0] == '/')
		return strdup(target);
	folder = folder_of(path);
	if (!folder || asprintf(&whole, "%s/%s", folder, target) < 0)
		whole = NULL;
	free(folder);
	return whole;
}

/* As above; and of each that it leads to, if it is a link. There need not be a file yet. */
static bool is_in_folder_of_system(const char *path)
{
	char *name = strdup(path), *next;
	bool found = false;

	for (int links = 0; name && links <= LINKS_MAX && !found; links++) {
		found = is_folder_of_system(name);
		next = target_of(name);
		free(name);
		name = next;
	}
	free(name);
	return found;
}

/*
 * Root that goes on as such could do in the folder of -o, and below, what root can. In those of the
 * system it is left the file that is open: HUP does not open it anew. Where files are made later
 * nothing else can be done than to say what that means.
 */
static void stay_root(const struct options *options, struct stance *stance)
{
	const char *path = output_path(options);
	struct stat st;

	if (!options->sandbox || !path || !is_in_folder_of_system(path) ||
	    (stat(path, &st) == 0 && !S_ISREG(st.st_mode)))
		return;
	stance->fixed = !makes_files(options);
	snprintf(stance->exposed, sizeof stance->exposed,
		 stance->fixed ? "-o %s: HUP will not open it anew, since as root no folder of the "
				 "system is left open: give -o a folder of its own" :
				 "warning: -o %s: all files beside it, and below, stay open to root: "
				 "give -o a folder of its own",
		 path);
}

/* Started as root: who it becomes unasked. */
static void choose_default(const struct options *options, struct stance *stance)
{
	struct identity identity;
	struct ability ability;

	if (!privileges_may_change()) {
		snprintf(stance->why, sizeof stance->why,
			 "stays root, but without its capabilities: it may not change users here");
		stay_root(options, stance);
		return;
	}
	if (!identity_find("portmeter", &identity) && !identity_find("nobody", &identity))
		identity_of(NOBODY, NOBODY, &identity);
	if (!try(options, &identity, &ability)) {
		snprintf(stance->why, sizeof stance->why,
			 "stays root, but without its capabilities: can't become user %s: %s",
			 identity.name, strerror(errno));
		stay_root(options, stance);
		return;
	}
	stance->changes = true;
	stance->identity = identity;
	stance->owns = ability.writes;
	if (ability.writes && !ability.unreadable)
		return;
	if (!ability.writes && choose_owner(options, stance)) {
		stance->owns = true;
		snprintf(stance->why, sizeof stance->why,
			 "becomes user %s, whose folder -o is in: %s can't write there",
			 stance->identity.name, identity.name);
		return;
	}
	/* Root opens it, and that is enough for a run that is over before HUP. */
	stance->identity = identity;
	stance->fixed = !makes_files(options) && !may_last(options);
	if (stance->fixed)
		return;
	stance->changes = stance->owns = false;
	snprintf(stance->why, sizeof stance->why,
		 "stays root, but without its capabilities: user %s can't %s %s; -Z names another",
		 identity.name, ability.writes ? "read" : "write",
		 ability.writes ? ability.unreadable : output_path(options));
	stay_root(options, stance);
}

bool sandbox_choose(const struct options *options, struct stance *ret_stance)
{
	*ret_stance = (struct stance){ .bare = privileges_are_root() || privileges_any() };
	ret_stance->shrinks = ret_stance->bare && (options->sandbox || options->user);
	if (options->user) {
		if (!choose_named(options, ret_stance))
			return false;
		if (ret_stance->identity.uid == 0)
			stay_root(options, ret_stance);
		return true;
	}
	/* --no-sandbox is the way out of all that is done unasked. */
	if (options->sandbox && privileges_are_root())
		choose_default(options, ret_stance);
	return true;
}

static void allow_folder_of(struct landlock *landlock, const char *path,
			    enum landlock_rights rights)
{
	char *folder = folder_of(path);

	if (folder)
		landlock_allow(landlock, folder, rights);
	free(folder);
}

/* By its name, and where its links lead to. */
static void allow_beside(struct landlock *landlock, const char *path, enum landlock_rights rights)
{
	char *real = realpath(path, NULL);

	allow_folder_of(landlock, path, rights);
	if (real)
		allow_folder_of(landlock, real, rights);
	free(real);
}

static void allow_output(struct landlock *landlock, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		landlock_allow(landlock, path, LANDLOCK_WRITE); /* a pipe, a device: it alone */
	else
		allow_beside(landlock, path, LANDLOCK_WRITE);
}

/* A folder, and where links in it lead to: that is how some tools put files there. */
static void allow_rules_in(struct landlock *landlock, const char *folder)
{
	DIR *dir = opendir(folder);
	const char *name;

	landlock_allow(landlock, folder, LANDLOCK_READ);
	while (dir && (name = next_rules(dir))) {
		char path[PATH_MAX];
		struct stat st;

		if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISLNK(st.st_mode) &&
		    snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path)
			allow_beside(landlock, path, LANDLOCK_READ);
	}
	if (dir)
		closedir(dir);
}

/* Editors replace files, so it is their folder that is read again. */
static void allow_rules(struct landlock *landlock, const struct options *options)
{
	const char *folder = pm_rules_folder();
	struct stat st;

	for (size_t i = 0; i < options->n_rules; i++) {
		if (stat(options->rules[i], &st) == 0 && S_ISDIR(st.st_mode))
			allow_rules_in(landlock, options->rules[i]);
		else
			allow_beside(landlock, options->rules[i], LANDLOCK_READ);
	}
	if (options->n_rules)
		return;
	if (stat(folder, &st) == 0)
		allow_rules_in(landlock, folder);
	else /* it may be made later */
		allow_folder_of(landlock, folder, LANDLOCK_READ);
}

static void allow_system(struct landlock *landlock, bool live)
{
	static const char *const paths[] = {
		"/dev/urandom",                          /* jansson's hashes */
		"/etc/localtime", "/usr/share/zoneinfo", /* names of files by strftime */
	};
	static const char *const watched[] = { "/proc", "/usr", "/lib", "/proc/self/exe" };
	static const char *const of_interfaces[] = { "/sys/class/net", "/sys/devices" };

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		landlock_allow(landlock, paths[i], LANDLOCK_READ);
	for (size_t i = 0; live && i < sizeof of_interfaces / sizeof *of_interfaces; i++)
		landlock_allow(landlock, of_interfaces[i], LANDLOCK_READ);
	/* What a sanitizer reads to tell where it has found something. */
	for (size_t i = 0; SANITIZED && i < sizeof watched / sizeof *watched; i++)
		landlock_allow(landlock, watched[i], LANDLOCK_READ);
}

static void allow_all(struct landlock *landlock, const struct options *options,
		      const struct stance *stance, bool by_name)
{
	const char *path = output_path(options);

	if (path && !stance->fixed)
		allow_output(landlock, path);
	allow_rules(landlock, options);
	for (size_t i = 0; by_name && i < options->n_files; i++)
		if (strcmp(options->files[i], "-") != 0)
			landlock_allow(landlock, options->files[i], LANDLOCK_READ);
	allow_system(landlock, is_live(options));
}

/*
 * Names what is missing of the sandbox to who watches interfaces. Reading a file is over soon, and
 * who does it has no use for being told each time what the machine lacks.
 */
static void say_missing(bool has_landlock, enum syscalls_result syscalls)
{
	static const char *const texts[] = {
		[SYSCALLS_CLOSED] = NULL,
		[SYSCALLS_NOT_BUILT] = "system calls are not (built without libseccomp)",
		[SYSCALLS_NOT_KERNEL] = "system calls are not (the kernel refuses seccomp filters)",
	};
	const char *files = "files are not (the kernel has no Landlock, or it is off)";
	const char *calls = texts[syscalls];

	if (!has_landlock || calls)
		say("the sandbox is not whole: %s%s%s", has_landlock ? "" : files,
		    !has_landlock && calls ? ", " : "", calls ? calls : "");
}

static bool failed(const char *what)
{
	say("can't %s: %s", what, strerror(errno));
	return false;
}

/* Rights go, and with them all that only they could reach. */
static bool give_up(const struct options *options, const struct stance *stance,
		    const struct identity *identity)
{
	if (!identity && !options->sandbox)
		return true;
	if (!privileges_drop(identity, is_live(options)))
		return failed(identity ? "give up rights and become another user"
				       : "give up rights");
	/*
	 * Neither a debugger nor a core file of what has had rights; the kernel does the same where
	 * the user changes. Whose rights are an ordinary user's may look into his own program, and
	 * a sanitizer must.
	 */
	if (options->sandbox && stance->bare && !SANITIZED &&
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed("close the process to debuggers");
	return true;
}

static bool close_doors(const struct options *options, struct landlock *landlock)
{
	bool live = is_live(options);
	enum syscalls_result syscalls;
	bool has_landlock;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed("set no_new_privs");
	has_landlock = landlock->fd >= 0 && landlock_enter(landlock);
	syscalls = syscalls_enter(live, options->serve.listen != NULL);
	if (live)
		say_missing(has_landlock, syscalls);
	return true;
}

static void say_stance(const struct options *options, const struct stance *stance)
{
	if (stance->why[0] && is_live(options))
		say("%s", stance->why);
	if (stance->exposed[0] && is_live(options))
		say("%s", stance->exposed);
	if (!options->sandbox)
		say("warning: --no-sandbox: no file and no system call is closed to a frame that breaks in");
}

bool sandbox_enter(const struct options *options, const struct stance *stance, bool by_name)
{
	bool changes = stance->changes && (!by_name || options->user);
	struct landlock landlock = { .fd = -1 };
	bool done = true;

	say_stance(options, stance);
	tzset(); /* while its file can be read, wherever TZ says it is */
	/* What is private to root is opened while there are its rights. */
	if (options->sandbox) {
		if (landlock_begin(&landlock))
			allow_all(&landlock, options, stance, by_name);
		errno = landlock.error;
		done = landlock.error == 0 || failed("enter the sandbox");
	}
	done = done && give_up(options, stance, changes ? &stance->identity : NULL);
	if (done && options->sandbox)
		done = close_doors(options, &landlock);
	landlock_end(&landlock);
	return done;
}
