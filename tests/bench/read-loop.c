/* SPDX-License-Identifier: MIT */
/*
 * read-loop FILE...: the floor for every program that reads capture files and counts ports. A
 * window of 1 MiB over read(2), and the least decoder that finds the ports of TCP and UDP in
 * Ethernet with IPv4 or IPv6: no fragments, extension headers, tags or checks beyond the bounds.
 * Only what make-captures writes: the classic format, little-endian. Prints "frames N, ports N".
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW ((size_t)1 << 20)
#define FILE_HEADER 24
#define RECORD_HEADER 16
#define ETHERNET 14
#define TCP 6
#define UDP 17

struct counter {
	uint64_t packets, bytes;
};

static struct counter table[65536][2]; /* as source, as destination */
static uint64_t frames;

static unsigned be16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static uint32_t le32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void count(struct counter *counter, uint32_t bytes)
{
	counter->packets++;
	counter->bytes += bytes;
}

static void decode(const uint8_t *frame, uint32_t held, uint32_t wire)
{
	uint32_t at = ETHERNET;
	uint8_t protocol;

	if (held < ETHERNET + 40)
		return;
	switch (be16(frame + 12)) {
	case 0x0800:
		protocol = frame[at + 9];
		at += (frame[at] & 15u) * 4;
		break;
	case 0x86dd:
		protocol = frame[at + 6];
		at += 40;
		break;
	default:
		return;
	}
	if ((protocol != TCP && protocol != UDP) || held < at + 4)
		return;
	count(&table[be16(frame + at)][0], wire);
	count(&table[be16(frame + at + 2)][1], wire);
}

/* Decodes the whole records of the window; returns how many bytes they take. */
static size_t decode_all(const uint8_t *window, size_t size)
{
	size_t at = 0;

	while (size - at >= RECORD_HEADER) {
		uint32_t held = le32(window + at + 8);

		if (size - at - RECORD_HEADER < held)
			break;
		decode(window + at + RECORD_HEADER, held, le32(window + at + 12));
		frames++;
		at += RECORD_HEADER + held;
	}
	return at;
}

static int read_file(const char *path)
{
	uint8_t *window = malloc(WINDOW);
	int fd = open(path, O_RDONLY);
	size_t held = 0;
	ssize_t n = -1;

	if (window && fd >= 0 && read(fd, window, FILE_HEADER) == FILE_HEADER)
		while ((n = read(fd, window + held, WINDOW - held)) > 0) {
			size_t done = decode_all(window, held + (size_t)n);

			held += (size_t)n - done;
			memmove(window, window + done, held);
		}
	if (n != 0 || held)
		fprintf(stderr, "read-loop: %s: can't read it to its end\n", path);
	if (fd >= 0)
		close(fd);
	free(window);
	return n != 0 || held;
}

int main(int argc, char **argv)
{
	uint64_t ports = 0;
	int r = 0;

	for (int i = 1; i < argc; i++)
		r |= read_file(argv[i]);
	/* The table is read, so that no compiler leaves it out. */
	for (size_t port = 0; port < 65536; port++)
		ports += table[port][0].packets + table[port][1].packets > 0;
	printf("frames %llu, ports %llu\n", (unsigned long long)frames, (unsigned long long)ports);
	return r;
}
