/* SPDX-License-Identifier: MIT */
/*
 * least-loop sides|pairs|ends FILE: read-loop.c, and the look-ups that portmeter's answers need
 * besides, done barely: no ladder, rules, intervals, order, fragments, nothing that is learned, and
 * nobody who reads the figures. A measure of what is hard to save, and no proof that nobody can.
 *
 *   sides  frames of TCP and UDP in plain IPv4 and IPv6, looked at as far as their lengths; which
 *          end serves, by a byte for each port; four counters of packets and bytes for each port
 *   pairs  and whether both ends of a datagram of UDP have talked before (a table of 65,536)
 *   ends   and whether its service has met this client and this server (65,536 places)
 *
 * Sixteen frames at a time, so that what they will touch is fetched before. Only what make-captures
 * writes: the classic format, little-endian. Prints "frames N, ...".
 */
#include <fcntl.h>
#include <stdbool.h>
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
#define BATCH 16
#define SEEN_BITS 16
#define SEEN_WAYS 4
#define PAIR_LINES 8192
#define PAIR_WAYS 8

enum level {
	SIDES,
	PAIRS,
	ENDS,
	LEVELS,
};

struct counter {
	uint64_t packets, bytes;
};

struct cell {
	struct counter src[2], dst[2]; /* as client's port, as server's */
};

struct noted {
	uint16_t src_port, dst_port;
	uint32_t wire;
	bool udp, from_server, labelled;
	uint64_t pair, ends[2];
};

static struct cell cells[2][65536] __attribute__((aligned(64)));
static uint8_t classes[2][65536]; /* 0: no label */
static uint64_t seen[1 << SEEN_BITS] __attribute__((aligned(64)));
static uint64_t pairs[PAIR_LINES][PAIR_WAYS] __attribute__((aligned(64)));
static struct noted batch[BATCH];
static unsigned n_noted;
static uint64_t frames, new_pairs, new_ends;
static uint64_t by_ip[2][2];

static unsigned be16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static uint32_t le32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

static uint64_t le64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

/* A good hash in three instructions. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 product;
	product p = (product)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static void count(struct counter *counter, uint32_t bytes)
{
	counter->packets++;
	counter->bytes += bytes;
}

/* False: it was not there, and is now, in the place of the oldest. */
static bool find(uint64_t *line, int ways, uint64_t what)
{
	bool found = false;

	for (int i = 0; i < ways; i++)
		found |= line[i] == what;
	if (found)
		return true;
	memmove(line + 1, line, ((size_t)ways - 1) * sizeof *line);
	line[0] = what;
	return false;
}

static uint64_t *pair_line(uint64_t pair)
{
	return pairs[pair % PAIR_LINES];
}

static uint64_t *seen_line(uint64_t end)
{
	return &seen[end >> (64 - SEEN_BITS) & ~(uint64_t)(SEEN_WAYS - 1)];
}

static inline void count_batch(enum level level)
{
	for (unsigned i = 0; i < n_noted; i++) {
		const struct noted *noted = &batch[i];
		struct cell *ports = cells[noted->udp];

		count(&ports[noted->src_port].src[noted->from_server], noted->wire);
		count(&ports[noted->dst_port].dst[!noted->from_server], noted->wire);
		if (level >= PAIRS && noted->udp)
			new_pairs += !find(pair_line(noted->pair), PAIR_WAYS, noted->pair | 1);
		for (int end = 0; level >= ENDS && noted->labelled && end < 2; end++)
			new_ends += !find(seen_line(noted->ends[end]), SEEN_WAYS, noted->ends[end]);
	}
	n_noted = 0;
}

static inline uint64_t host_hash(const uint8_t *address, bool version6)
{
	const uint64_t key = 0x13198a2e03707345u;

	if (!version6)
		return fold(le32(address) ^ 0x243f6a8885a308d3u, key);
	return fold(fold(le64(address) ^ key, le64(address + 8) ^ 0x243f6a8885a308d3u), key);
}

static inline void note_hosts(struct noted *noted, const uint8_t *addresses, bool version6,
			      enum level level)
{
	uint64_t src = host_hash(addresses, version6);
	uint64_t dst = host_hash(addresses + (version6 ? 16 : 4), version6);
	uint64_t server = noted->from_server ? src : dst, client = src ^ dst ^ server;
	uint64_t service = noted->from_server ? noted->src_port : noted->dst_port;

	if (noted->udp) {
		noted->pair = fold(src ^ noted->src_port, 0x9e3779b97f4a7c15u) +
			      fold(dst ^ noted->dst_port, 0x9e3779b97f4a7c15u);
		__builtin_prefetch(pair_line(noted->pair), 1);
	}
	if (level < ENDS)
		return;
	service = (service << 1 | noted->udp) * 0xb504f333f9de6485u;
	noted->ends[0] = (client ^ service) * 0x9e3779b97f4a7c15u;
	noted->ends[1] = (server ^ ~service) * 0x9e3779b97f4a7c15u;
	__builtin_prefetch(seen_line(noted->ends[0]), 1);
	__builtin_prefetch(seen_line(noted->ends[1]), 1);
}

static inline void decode(const uint8_t *frame, uint32_t held, uint32_t wire, enum level level)
{
	const uint8_t *ip = frame + ETHERNET, *ports;
	struct noted *noted = &batch[n_noted];
	bool version6;
	uint8_t protocol, src_class, dst_class;

	if (held < ETHERNET + 44)
		return;
	version6 = be16(frame + 12) == 0x86dd;
	protocol = ip[version6 ? 6 : 9];
	/* version, header's length, fragments, length */
	if (version6 ? ip[0] >> 4 != 6 || be16(ip + 4) + 40 > wire - ETHERNET
		     : be16(frame + 12) != 0x0800 || ip[0] != 0x45 || be16(ip + 6) & 0x3fff ||
			       be16(ip + 2) > wire - ETHERNET)
		return;
	by_ip[version6][0]++;
	by_ip[version6][1] += wire;
	if (protocol != TCP && protocol != UDP)
		return;
	ports = ip + (version6 ? 40 : 20);
	noted->src_port = (uint16_t)be16(ports);
	noted->dst_port = (uint16_t)be16(ports + 2);
	noted->wire = wire;
	noted->udp = protocol == UDP;
	src_class = classes[noted->udp][noted->src_port];
	dst_class = classes[noted->udp][noted->dst_port];
	noted->labelled = src_class | dst_class;
	noted->from_server = src_class > dst_class;
	__builtin_prefetch(&cells[noted->udp][noted->src_port], 1);
	__builtin_prefetch(&cells[noted->udp][noted->dst_port], 1);
	if (level >= PAIRS)
		note_hosts(noted, ip + (version6 ? 8 : 12), version6, level);
	if (++n_noted == BATCH)
		count_batch(level);
}

/* Decodes the whole records of the window; returns how many bytes they take. */
static inline size_t decode_all(const uint8_t *window, size_t size, enum level level)
{
	size_t at = 0;

	while (size - at >= RECORD_HEADER) {
		uint32_t held = le32(window + at + 8);

		if (size - at - RECORD_HEADER < held)
			break;
		decode(window + at + RECORD_HEADER, held, le32(window + at + 12), level);
		frames++;
		at += RECORD_HEADER + held;
	}
	return at;
}

/* Of each level a program of its own, which does not ask for it frame by frame. */
static size_t decode_level(const uint8_t *window, size_t size, enum level level)
{
	switch (level) {
	case SIDES:
		return decode_all(window, size, SIDES);
	case PAIRS:
		return decode_all(window, size, PAIRS);
	default:
		return decode_all(window, size, ENDS);
	}
}

static int read_file(const char *path, enum level level)
{
	uint8_t *window = malloc(WINDOW);
	int fd = open(path, O_RDONLY);
	size_t held = 0;
	ssize_t n = -1;

	if (window && fd >= 0 && read(fd, window, FILE_HEADER) == FILE_HEADER)
		while ((n = read(fd, window + held, WINDOW - held)) > 0) {
			size_t done = decode_level(window, held + (size_t)n, level);

			held += (size_t)n - done;
			memmove(window, window + done, held);
		}
	count_batch(ENDS);
	if (n != 0 || held)
		fprintf(stderr, "least-loop: %s: can't read it to its end\n", path);
	if (fd >= 0)
		close(fd);
	free(window);
	return n != 0 || held;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "sides", "pairs", "ends" };
	unsigned level = SIDES;
	uint64_t packets = 0;
	int r;

	while (argc == 3 && level < LEVELS && strcmp(argv[1], names[level]) != 0)
		level++;
	if (argc != 3 || level == LEVELS) {
		fputs("usage: least-loop sides|pairs|ends FILE\n", stderr);
		return 2;
	}
	/* As many labels as the registry has, and those of services that make-captures knows. */
	for (unsigned port = 1; port < 49152; port++) {
		bool registered = port % 8 == 0 || port == 3389;

		classes[0][port] = classes[1][port] = port < 1024 ? 2 : registered;
	}
	r = read_file(argv[2], (enum level)level);
	/* The figures are read, so that no compiler leaves them out. */
	for (size_t port = 0; port < 65536; port++)
		for (int udp = 0; udp < 2; udp++)
			for (int side = 0; side < 2; side++)
				packets += cells[udp][port].dst[side].packets;
	printf("frames %llu, with ports %llu, new pairs %llu, new ends %llu, IPv6 %llu\n",
	       (unsigned long long)frames, (unsigned long long)packets,
	       (unsigned long long)new_pairs, (unsigned long long)new_ends,
	       (unsigned long long)by_ip[1][0]);
	return r;
}
