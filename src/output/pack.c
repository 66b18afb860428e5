/* SPDX-License-Identifier: MIT */
/*
 * Packs files that are done with, one after the other, on a thread of low priority. The packed file
 * appears whole, by a rename, and the other one goes only when a disk has it. What a kill
 * interrupts is begun anew by the next run: see rotate.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output-internal.h"

/* Names that wait; where there are more, the folder is looked through again. */
#define QUEUE 64
#define BLOCK ((size_t)64 << 10)
#define LEAST_PRIORITY 19

struct packer {
	const struct pm_output_options *options;
	const struct packing *how;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	pthread_t thread;
	bool started, ending;
	char *names[QUEUE]; /* while busy, the first is being packed */
	size_t n;
	bool busy;
	bool cancel;  /* the one that is being packed */
	bool missed;  /* one could not be packed */
	bool failing; /* the same, of the last one: that has been said */
};

static const struct packing *packing_of(enum pm_pack pack)
{
	switch (pack) {
	case PM_PACK_GZIP:
		return pm_packing_gzip;
	case PM_PACK_ZSTD:
		return pm_packing_zstd;
	default:
		return NULL;
	}
}

static const char *const pack_names[] = {
	[PM_PACK_NONE] = "none",
	[PM_PACK_GZIP] = "gzip",
	[PM_PACK_ZSTD] = "zstd",
};
_Static_assert(sizeof pack_names / sizeof *pack_names == PM_PACK_N, "name every way of packing");

const char *pm_pack_name(enum pm_pack pack)
{
	return (unsigned)pack < PM_PACK_N ? pack_names[pack] : "?";
}

bool pm_pack_find(const char *name, enum pm_pack *ret_pack)
{
	for (int p = 0; p < PM_PACK_N; p++)
		if (strcmp(pack_names[p], name) == 0) {
			*ret_pack = (enum pm_pack)p;
			return true;
		}
	return false;
}

bool pm_pack_built(enum pm_pack pack)
{
	return pack == PM_PACK_NONE || packing_of(pack) != NULL;
}

/* A file on its way from one name to the other. */
struct passage {
	struct packer *packer;
	const char *path;
	char *packed, *part;
	int in, out;
	int error; /* errno; 0 with a failure: memory was short, or it was cancelled */
};

static bool put(void *ctx, const void *bytes, size_t size)
{
	struct passage *passage = ctx;
	const char *at = bytes;

	while (size > 0) {
		ssize_t n = write(passage->out, at, size);

		if (n < 0 && errno != EINTR) {
			passage->error = errno;
			return false;
		}
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		}
	}
	return true;
}

static bool is_cancelled(struct packer *packer)
{
	bool cancelled;

	pthread_mutex_lock(&packer->lock);
	cancelled = packer->cancel;
	pthread_mutex_unlock(&packer->lock);
	return cancelled;
}

static bool pack_all(struct passage *passage, void *state)
{
	const struct packing *how = passage->packer->how;
	uint8_t block[BLOCK];
	ssize_t n;

	do {
		n = read(passage->in, block, sizeof block);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			passage->error = errno;
			return false;
		}
		if (is_cancelled(passage->packer) ||
		    !how->pack(state, block, (size_t)n, n == 0, put, passage))
			return false;
	} while (n != 0);
	return true;
}

/* The packed file is as its original: rights, owner as far as that is ours to give, and time. */
static bool make_alike(const struct passage *passage, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(passage->out, st->st_uid, st->st_gid) < 0 && errno != EPERM)
		return false;
	return fchmod(passage->out, st->st_mode & 0777) == 0 && futimens(passage->out, times) == 0;
}

static bool convert(struct passage *passage)
{
	const struct packing *how = passage->packer->how;
	void *state = NULL;
	struct stat st;
	bool done;

	passage->in = open(passage->path, O_RDONLY | O_CLOEXEC);
	if (passage->in < 0 || fstat(passage->in, &st) < 0)
		return false;
	remove(passage->part);
	passage->out = open(passage->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (passage->out < 0)
		return false;
	if (how->begin(&state) < 0) {
		errno = ENOMEM;
		return false;
	}
	errno = 0;
	done = pack_all(passage, state);
	how->end(state);
	return done && make_alike(passage, &st) && fsync(passage->out) == 0;
}

/* Puts what is packed in the place of what is not. */
static bool change_places(struct passage *passage)
{
	if (access(passage->packed, F_OK) == 0) {
		errno = EEXIST;
		return false;
	}
	if (rename(passage->part, passage->packed) < 0)
		return false;
	pm_sink_sync_folder(passage->packed);
	return remove(passage->path) == 0;
}

static bool pack_file(struct packer *packer, const char *path, int *ret_error)
{
	struct passage passage = { .packer = packer, .path = path, .in = -1, .out = -1 };
	bool done = false;

	if (asprintf(&passage.packed, "%s%s", path, packer->how->suffix) < 0)
		passage.packed = NULL;
	else if (asprintf(&passage.part, "%s.part", passage.packed) < 0)
		passage.part = NULL;
	errno = ENOMEM;
	if (passage.packed && passage.part) {
		done = convert(&passage);
		if (!done && passage.error)
			errno = passage.error;
		if (done)
			done = change_places(&passage);
		*ret_error = errno;
		if (!done)
			remove(passage.part);
	}
	if (passage.in >= 0)
		close(passage.in);
	if (passage.out >= 0)
		close(passage.out);
	free(passage.packed);
	free(passage.part);
	return done;
}

static void say_failure(const struct packer *packer, const char *path, int error)
{
	char text[512];

	if (!packer->options->notice)
		return;
	snprintf(text, sizeof text, "%.300s: can't be packed and stays as it is: %s", path,
		 error ? strerror(error) : pm_strerror(PM_E_MEMORY));
	packer->options->notice(packer->options->ctx, text);
}

/* Under the lock, which is let go meanwhile: packs the first. */
static void pack_first(struct packer *packer)
{
	char *path = packer->names[0];
	bool done, say;
	int error = 0;

	packer->busy = true;
	packer->cancel = false;
	pthread_mutex_unlock(&packer->lock);
	done = pack_file(packer, path, &error);
	pthread_mutex_lock(&packer->lock);
	/* One that was removed by somebody else is no failure. */
	say = !done && !packer->cancel && error != ENOENT;
	packer->missed |= say;
	if (say && !packer->failing)
		say_failure(packer, path, error);
	packer->failing = say;
	packer->busy = false;
	packer->n--;
	memmove(packer->names, packer->names + 1, packer->n * sizeof *packer->names);
	free(path);
	pthread_cond_broadcast(&packer->changed);
}

static void *packer_main(void *ctx)
{
	struct packer *packer = ctx;

	/* Linux: of this thread alone. Where it fails, it is as important as the others. */
	setpriority(PRIO_PROCESS, 0, LEAST_PRIORITY);
	pthread_mutex_lock(&packer->lock);
	while (!packer->ending) {
		if (packer->n)
			pack_first(packer);
		else
			pthread_cond_wait(&packer->changed, &packer->lock);
	}
	pthread_mutex_unlock(&packer->lock);
	return NULL;
}

/* Under the lock. Signals are for others. Without the thread, who waits packs. */
static void start(struct packer *packer)
{
	sigset_t all, before;

	if (packer->started)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	packer->started = pthread_create(&packer->thread, NULL, packer_main, packer) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int pm_packer_new(const struct pm_output_options *options, struct packer **ret_packer)
{
	struct packer *packer;
	pthread_condattr_t attributes;

	if (!packing_of(options->pack))
		return PM_E_UNSUPPORTED;
	packer = calloc(1, sizeof *packer);
	if (!packer)
		return PM_E_MEMORY;
	packer->options = options;
	packer->how = packing_of(options->pack);
	pthread_mutex_init(&packer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&packer->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret_packer = packer;
	return PM_OK;
}

/* Under the lock. The number of names: not there. */
static size_t index_of(const struct packer *packer, const char *path)
{
	size_t i = 0;

	while (i < packer->n && strcmp(packer->names[i], path) != 0)
		i++;
	return i;
}

bool pm_packer_add(struct packer *packer, const char *path)
{
	bool added = true;

	pthread_mutex_lock(&packer->lock);
	if (index_of(packer, path) == packer->n) {
		char *name = packer->n < QUEUE ? strdup(path) : NULL;

		added = name != NULL;
		if (added)
			packer->names[packer->n++] = name;
		start(packer);
		pthread_cond_broadcast(&packer->changed);
	}
	pthread_mutex_unlock(&packer->lock);
	return added;
}

void pm_packer_wait(struct packer *packer)
{
	pthread_mutex_lock(&packer->lock);
	while (packer->n == QUEUE) {
		if (packer->started)
			pthread_cond_wait(&packer->changed, &packer->lock);
		else
			pack_first(packer);
	}
	pthread_mutex_unlock(&packer->lock);
}

void pm_packer_forget(struct packer *packer, const char *path)
{
	size_t i;

	pthread_mutex_lock(&packer->lock);
	i = index_of(packer, path);
	if (i == 0 && packer->busy) {
		packer->cancel = true;
		while (packer->busy && packer->cancel)
			pthread_cond_wait(&packer->changed, &packer->lock);
	} else if (i < packer->n) {
		free(packer->names[i]);
		packer->n--;
		memmove(packer->names + i, packer->names + i + 1,
			(packer->n - i) * sizeof *packer->names);
	}
	pthread_mutex_unlock(&packer->lock);
}

bool pm_packer_missed(struct packer *packer)
{
	bool missed;

	pthread_mutex_lock(&packer->lock);
	missed = packer->missed;
	packer->missed = false;
	pthread_mutex_unlock(&packer->lock);
	return missed;
}

/* Under the lock: until all is packed, or it has taken too long. */
static void finish(struct packer *packer, int64_t wait_ns)
{
	int64_t end = pm_time_add(pm_time_steady(), wait_ns);
	struct timespec until = { .tv_sec = (time_t)(end / PM_NS_PER_S),
				  .tv_nsec = (long)(end % PM_NS_PER_S) };

	while (packer->n && wait_ns > 0) {
		int r = 0;

		if (packer->started)
			r = pthread_cond_timedwait(&packer->changed, &packer->lock, &until);
		else
			pack_first(packer);
		if (r == ETIMEDOUT)
			break;
	}
}

void pm_packer_end(struct packer *packer, int64_t wait_ns)
{
	if (!packer)
		return;
	pthread_mutex_lock(&packer->lock);
	finish(packer, wait_ns);
	packer->ending = true;
	packer->cancel = true;
	pthread_cond_broadcast(&packer->changed);
	pthread_mutex_unlock(&packer->lock);
	if (packer->started)
		pthread_join(packer->thread, NULL);
	while (packer->n)
		free(packer->names[--packer->n]);
	pthread_cond_destroy(&packer->changed);
	pthread_mutex_destroy(&packer->lock);
	free(packer);
}
