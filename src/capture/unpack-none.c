/* SPDX-License-Identifier: MIT */
/* Without libarchive: packed files are known, and refused with the command that unpacks them. */
#include <stdio.h>

#include "stream.h"

void pm_unpack_prepare(void)
{
}

int pm_unpack_open(struct stream *stream)
{
	snprintf(stream->reason, sizeof stream->reason,
		 "this portmeter was built without libarchive; unpack it first");
	return PM_E_UNSUPPORTED;
}

void pm_unpack_close(struct unpack *unpack)
{
	(void)unpack;
}

ssize_t pm_unpack_read(struct stream *stream, void *to, size_t size)
{
	(void)stream;
	(void)to;
	(void)size;
	return -1;
}
