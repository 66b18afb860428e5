/* SPDX-License-Identifier: MIT */
/* Where fopencookie(3) is missing, libpcap can't be given a stream. */
#include "reader.h"

enum read_result pm_reader_open_libpcap(struct reader *reader)
{
	return pm_reader_damaged(reader, "--reader libpcap: not on this system");
}

void pm_reader_close_libpcap(struct reader *reader)
{
	(void)reader;
}
