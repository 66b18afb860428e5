/* SPDX-License-Identifier: MIT */
/* What reading files in order (files.c) and in blocks (blocks.c) share. */
#ifndef PORTMETER_CAPTURE_FILES_H
#define PORTMETER_CAPTURE_FILES_H

#include <pthread.h>

#include "capture-internal.h"
#include "folder.h"

struct file {
	struct files *files;
	const char *path;
	int fd;       /* opened ahead, and kept; -1: it is opened by its name */
	int fd_error; /* errno of that, for when its turn comes */
	struct stream stream;
	struct reader reader;
	bool open;
	bool foreign;     /* could be read, but is no capture file */
	bool parked;      /* closed again; its first frame is known by its time only */
	bool own_plain;   /* its first interface belongs to the source of plain files */
	char *plain_name; /* of that interface, where it has one */
	uint32_t plain_linktype;
	int64_t time_ns; /* of the frame at hand */
	uint64_t number; /* frames read of it, the one at hand included */
	uint64_t length; /* bytes to read, as far as that is known */
	uint64_t taken;  /* of them, once it is closed */
};

struct files {
	struct pm_capture head;
	struct pm_capture_options options;
	struct file *files;
	struct paths paths;
	size_t n, n_open;
	size_t plain; /* the source of files with one interface; SIZE_MAX: none yet */
	bool filtered, started;
	struct file **heap; /* files with a frame at hand, the earliest first */
	size_t n_heap;
	int failure;          /* of what a reader has called */
	struct pm_error *err; /* of the running call */
	/*
	 * Blocks (blocks.c): the file of which they were taken last; its next record begins at
	 * @chain, and its stream does not stand there if they are @split off beside it. NULL: the
	 * frames are read one by one.
	 */
	struct file *ahead;
	uint64_t chain;
	bool split;
	uint64_t behind; /* bytes of files that are closed */
	pthread_mutex_t lock;
	/* Under the lock: which file blocks may be fetched of, and from where the next one is. */
	const struct file *claimed;
	int claimed_fd;
	uint64_t claim, generation; /* of all claims on one file */
};

/* The head comes first. */
static inline struct files *pm_files_of(struct pm_capture *capture)
{
	return (struct files *)capture;
}

/* Blocks of @file are worth nothing any more. */
void pm_blocks_forget(struct files *files, const struct file *file);

#endif
