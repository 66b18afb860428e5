/* SPDX-License-Identifier: MIT */
/*
 * mapped-loop FILE...: what memory itself allows. Maps the file, and of each record touches the
 * header and the first cache line of the frame; decodes and counts nothing else. Only what
 * make-captures writes. Prints "frames N, sum N".
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_HEADER 24
#define RECORD_HEADER 16
#define LINE 64

static uint64_t frames, sum;

static void walk(const uint8_t *bytes, size_t size)
{
	size_t at = FILE_HEADER;

	while (size - at >= RECORD_HEADER) {
		uint32_t held;

		memcpy(&held, bytes + at + 8, sizeof held);
		if (size - at - RECORD_HEADER < held)
			return;
		/* A frame begins anywhere in a line: its first byte and one a line further. */
		sum += bytes[at + RECORD_HEADER];
		sum += bytes[at + RECORD_HEADER + (held > LINE ? LINE - 1 : held - 1)];
		frames++;
		at += RECORD_HEADER + held;
	}
}

static int map_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	void *bytes;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < FILE_HEADER) {
		perror(path);
		return 1;
	}
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED) {
		perror(path);
		return 1;
	}
	madvise(bytes, (size_t)st.st_size, MADV_SEQUENTIAL);
	walk(bytes, (size_t)st.st_size);
	munmap(bytes, (size_t)st.st_size);
	return 0;
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc; i++)
		r |= map_file(argv[i]);
	printf("frames %llu, sum %llu\n", (unsigned long long)frames, (unsigned long long)sum);
	return r;
}
