/* SPDX-License-Identifier: MIT */
/* Without libarchive: packed files are known, and refused with the command that unpacks them. */
#include "stream.h"

int pm_unpack_open(struct stream *stream)
{
	(void)stream;
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
