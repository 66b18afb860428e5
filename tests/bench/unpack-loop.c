/* SPDX-License-Identifier: MIT */
/*
 * unpack-loop FILE.gz: zlib alone, 64 KiB in and 256 KiB out at a time, nothing written: what
 * unpacking costs without a pipe behind it. Prints "bytes N".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#define IN ((size_t)64 << 10)
#define OUT ((size_t)256 << 10)
#define GZIP (16 + MAX_WBITS) /* inflateInit2: with gzip's header */

int main(int argc, char **argv)
{
	static uint8_t in[IN], out[OUT];
	FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
	z_stream z = { 0 };
	uint64_t bytes = 0;
	int r = Z_OK;

	if (!file || inflateInit2(&z, GZIP) != Z_OK) {
		fputs("usage: unpack-loop FILE.gz\n", stderr);
		return 2;
	}
	while (r == Z_OK) {
		if (z.avail_in == 0) {
			z.next_in = in;
			z.avail_in = (unsigned)fread(in, 1, sizeof in, file);
		}
		z.next_out = out;
		z.avail_out = sizeof out;
		r = inflate(&z, Z_NO_FLUSH);
		bytes += sizeof out - z.avail_out;
	}
	inflateEnd(&z);
	fclose(file);
	printf("bytes %llu\n", (unsigned long long)bytes);
	return r != Z_STREAM_END;
}
