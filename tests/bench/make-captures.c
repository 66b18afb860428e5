/* SPDX-License-Identifier: MIT */
/*
 * make-captures KIND FRAMES FILE: a capture for benchmarks, the same bytes each time. Kinds:
 *
 *   small  64-byte frames of ten services and a thousand client ports; hardly two of a conversation
 *   steady the same of four thousand conversations, which go on
 *   mix    an Internet mix: 64, 576 and 1500 bytes as 7 to 4 to 1; IPv4 and IPv6, some ICMP
 *   full   1514-byte frames of the same services
 *   ports  64-byte frames between any two of a million endpoints: 65,536 ports, each on sixteen
 *          of 65,536 addresses (RFC 2544's, for benchmarks)
 *   every  64-byte frames, each to the next of the 65,536 ports of UDP, then of TCP
 *   load   the Internet mix with payload to compress: half of the frames random, half words
 *   talk   conversations of ten thousand clients with fifty servers, four thousand at a time: TCP
 *          with its handshake, data both ways and its end; questions and answers of UDP; some TCP
 *          of which only the middle is there
 *   synflood   the same, each of its frames behind three SYNs to port 80 of one of the servers,
 *          from addresses and ports drawn at random
 *   strangers  the same, each behind three frames of TCP and UDP between any two of a million
 *          endpoints, on ports without labels
 *
 * Frames are a microsecond apart; those of conversations ten, whatever is between them.
 * Documentation addresses, those for benchmarks and private ones; checksums are left out.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX 1514
#define ETHERNET 14
#define IPV6_TCP_MIN (ETHERNET + 40 + 20)
#define ICMP 1
#define TCP 6
#define UDP 17
#define START 1700000000u

enum kind {
	SMALL,
	STEADY,
	MIX,
	FULL,
	PORTS,
	EVERY,
	LOAD,
	TALK,
	SYN_FLOOD,
	STRANGERS,
	KINDS,
};

static const char *const names[KINDS] = { "small", "steady", "mix",  "full",     "ports",
					  "every", "load",   "talk", "synflood", "strangers" };

/* xorshift64*: fast, and the same on every machine. */
static uint64_t random_of(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

static uint64_t random_next(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15u;

	return random_of(&state);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void ethernet(uint8_t *frame, unsigned type)
{
	static const uint8_t macs[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memcpy(frame, macs, sizeof macs);
	put16(frame + sizeof macs, type);
}

/* A frame up to what @protocol carries; returns where that begins. */
static size_t ipv4(uint8_t *frame, size_t size, uint8_t protocol, uint64_t draw)
{
	static const uint8_t head[] = { 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 0,
					0, 0, 192, 0, 2, 0, 198, 51, 100, 0 };

	ethernet(frame, 0x0800);
	memcpy(frame + ETHERNET, head, sizeof head);
	put16(frame + ETHERNET + 2, (unsigned)(size - ETHERNET));
	frame[ETHERNET + 9] = protocol;
	frame[ETHERNET + 15] = (uint8_t)draw;
	frame[ETHERNET + 19] = (uint8_t)(draw >> 8);
	return ETHERNET + sizeof head;
}

static size_t ipv6(uint8_t *frame, size_t size, uint8_t protocol, uint64_t draw)
{
	static const uint8_t head[40] = { 0x60, 0, 0, 0, 0, 0, 0, 64, 0x20, 0x01, 0x0d, 0xb8 };
	static const uint8_t net[] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1 };

	ethernet(frame, 0x86dd);
	memcpy(frame + ETHERNET, head, sizeof head);
	memcpy(frame + ETHERNET + 24, net, sizeof net);
	put16(frame + ETHERNET + 4, (unsigned)(size - ETHERNET - sizeof head));
	frame[ETHERNET + 6] = protocol;
	frame[ETHERNET + 23] = (uint8_t)draw;
	frame[ETHERNET + 39] = (uint8_t)(draw >> 8);
	return ETHERNET + sizeof head;
}

/* An endpoint: no two of the million @numbers have both address and port in common. */
static uint16_t endpoint(uint8_t *address, uint32_t number)
{
	address[0] = 198;
	address[1] = 18;
	put16(address + 2, (number * 2654435761u) >> 16 & 0xffff);
	return (uint16_t)number;
}

/* As traffic is to gzip: half is encrypted or packed already, half is text. */
static void payload(uint8_t *at, size_t size)
{
	static const char words[] = "host name user time path type data send from next page item "
				    "code text line size mode file open read last port test main ";
	bool text = random_next() & 1;

	for (size_t n = 0; n < size; n++) {
		static uint64_t draw;

		if (text && n % 5 == 0)
			draw = random_next() % (sizeof words / 5) * 5;
		else if (!text && n % 8 == 0)
			draw = random_next();
		at[n] = text ? (uint8_t)words[draw + n % 5] : (uint8_t)(draw >> n % 8 * 8);
	}
}

static size_t size_of(enum kind kind, uint64_t draw)
{
	static const uint16_t mix[] = { 64, 64, 64, 64, 64, 64, 64, 576, 576, 576, 576, 1500 };

	if (kind == MIX || kind == LOAD)
		return mix[draw % (sizeof mix / sizeof *mix)];
	return kind == FULL ? FRAME_MAX : 64;
}

/* What is drawn for one of those that go on. */
static uint64_t conversation(uint64_t draw)
{
	uint64_t state = 0x9e3779b97f4a7c15u * (1 + draw % 4000);

	return random_of(&state);
}

static size_t fill(uint8_t *frame, enum kind kind, uint64_t n)
{
	static const uint16_t services[] = { 443, 443, 443, 80, 53, 53,
					     123, 22, 25, 993, 8080, 3389 };
	uint64_t frame_draw = random_next();
	uint64_t draw = kind == STEADY ? conversation(frame_draw) : frame_draw;
	uint16_t service = services[draw % (sizeof services / sizeof *services)];
	uint16_t client = (uint16_t)(49152 + (draw >> 8) % 1000);
	uint8_t protocol = service == 53 || service == 123 ? UDP : TCP;
	bool mixed = kind == MIX || kind == LOAD;
	bool back = frame_draw >> 63, version6 = mixed && (draw >> 48) % 4 == 0;
	size_t at, size = size_of(kind, draw >> 20);

	if (kind == PORTS) {
		protocol = draw & 1 ? UDP : TCP;
	} else if (kind == EVERY) {
		service = client = (uint16_t)n;
		protocol = n >> 16 & 1 ? TCP : UDP;
	} else if (mixed && !version6 && (draw >> 32) % 100 == 0) {
		protocol = ICMP;
	}
	if (version6 && size < IPV6_TCP_MIN)
		size = IPV6_TCP_MIN;
	memset(frame, 0, size);
	at = (version6 ? ipv6 : ipv4)(frame, size, protocol, draw >> 12);
	if (kind == PORTS) {
		client = endpoint(frame + ETHERNET + 12, (uint32_t)(draw >> 44));
		service = endpoint(frame + ETHERNET + 16, (uint32_t)(draw >> 24) & 0xfffff);
		back = false;
	}
	put16(frame + at, back ? service : client);
	put16(frame + at + 2, back ? client : service);
	if (protocol == UDP) {
		put16(frame + at + 4, (unsigned)(size - at));
	} else if (protocol == TCP) {
		frame[at + 12] = 0x50;
		frame[at + 13] = 0x10; /* ACK */
	}
	if (kind == LOAD)
		payload(frame + at + 20, size - at - 20);
	return size;
}

/* Who talks, and how far they are. */
#define TALKS 4096
#define CLIENTS 10000
#define SERVERS 50
#define FLOOD 3 /* frames before each of a conversation */

enum tcp_flags {
	FIN = 0x01,
	SYN = 0x02,
	ACK = 0x10,
};

struct talk {
	uint16_t client, client_port, server_port;
	uint8_t server, protocol;
	uint8_t said, length; /* frames */
};

/* Flooded or not, conversations are the same. */
static uint64_t talk_next(void)
{
	static uint64_t state = 0xd1342543de82ef95u;

	return random_of(&state);
}

/* What each server serves: most have a label. Of the last two only the middle is ever seen. */
static struct talk talk_begin(void)
{
	static const uint16_t services[] = { 443, 80, 443, 53, 22, 443, 80,
					     25, 53, 993, 123, 8443, 443, 3306,
					     80, 53, 50123, 51234, 50321, 20321 };
	uint64_t draw = talk_next();
	struct talk talk = { .client = (uint16_t)(draw % CLIENTS),
			     .client_port = (uint16_t)(32768 + (draw >> 16) % 28232),
			     .server = (uint8_t)((draw >> 40) % SERVERS) };

	talk.server_port = services[talk.server % (sizeof services / sizeof *services)];
	talk.protocol = talk.server_port == 53 || talk.server_port == 123 ? UDP : TCP;
	talk.length = talk.protocol == UDP ? 2 : (uint8_t)(8 + (draw >> 48) % 24);
	if (talk.server_port == 50321 || talk.server_port == 20321)
		talk.said = 3; /* its set-up is over */
	return talk;
}

/* 64-byte, and larger ones from the server. */
static size_t segment(const struct talk *talk, bool *ret_back, uint8_t *ret_flags)
{
	uint64_t draw = talk_next();

	*ret_flags = talk->said == 0 ? SYN : talk->said == 1 ? SYN | ACK
							     : ACK;
	*ret_back = talk->said < 4 ? talk->said == 1 : draw % 5 > 1;
	if (talk->said + 3 >= talk->length) { /* FIN, FIN, ACK */
		*ret_back = talk->length - talk->said == 2;
		*ret_flags = talk->length - talk->said == 1 ? ACK : FIN | ACK;
		return 64;
	}
	if (talk->said < 3)
		return 64;
	return *ret_back ? (draw >> 8) % 3 ? FRAME_MAX : 576 : (draw >> 8) % 4 ? 64
									       : 320;
}

static size_t fill_talk(uint8_t *frame)
{
	static struct talk talks[TALKS];
	struct talk *talk = &talks[talk_next() % TALKS];
	bool back = talk->said;
	uint8_t flags = 0, *from, *to;
	size_t at, size;

	if (talk->said == talk->length) {
		*talk = talk_begin();
		back = false;
	}
	size = talk->protocol == UDP ? back ? 180 : 80 : segment(talk, &back, &flags);
	memset(frame, 0, size);
	at = ipv4(frame, size, talk->protocol, 0);
	from = frame + ETHERNET + (back ? 16 : 12);
	to = frame + ETHERNET + (back ? 12 : 16);
	from[0] = 198;
	from[1] = 18;
	put16(from + 2, talk->client);
	memcpy(to, (uint8_t[]){ 192, 0, 2, (uint8_t)(1 + talk->server) }, 4);
	put16(frame + at, back ? talk->server_port : talk->client_port);
	put16(frame + at + 2, back ? talk->client_port : talk->server_port);
	if (talk->protocol == UDP) {
		put16(frame + at + 4, (unsigned)(size - at));
	} else {
		frame[at + 12] = 0x50;
		frame[at + 13] = flags;
	}
	talk->said++;
	return size;
}

/* A SYN to the first server of port 80. */
static size_t fill_syn(uint8_t *frame)
{
	uint64_t draw = random_next();
	size_t at, size = 64;

	memset(frame, 0, size);
	at = ipv4(frame, size, TCP, 0);
	memcpy(frame + ETHERNET + 12,
	       (uint8_t[]){ 10, (uint8_t)draw, (uint8_t)(draw >> 8), (uint8_t)(draw >> 16) }, 4);
	memcpy(frame + ETHERNET + 16, (uint8_t[]){ 192, 0, 2, 2 }, 4);
	put16(frame + at, (unsigned)(1024 + (draw >> 24) % 64512));
	put16(frame + at + 2, 80);
	frame[at + 12] = 0x50;
	frame[at + 13] = SYN;
	return size;
}

/* Of the million, one: sixty-four addresses for each of the ports from 49152 on. */
static uint16_t stranger(uint8_t *address, uint64_t draw)
{
	uint32_t number = (uint32_t)draw & 0xfffff;

	address[0] = 198;
	address[1] = 19;
	put16(address + 2, (number * 2654435761u) >> 16 & 0xffff);
	return (uint16_t)(49152 + number % 16384);
}

static size_t fill_strange(uint8_t *frame)
{
	uint64_t draw = random_next();
	uint8_t protocol = draw >> 63 ? UDP : TCP;
	size_t at, size = 64;

	memset(frame, 0, size);
	at = ipv4(frame, size, protocol, 0);
	put16(frame + at, stranger(frame + ETHERNET + 12, draw));
	put16(frame + at + 2, stranger(frame + ETHERNET + 16, draw >> 20));
	if (protocol == UDP) {
		put16(frame + at + 4, (unsigned)(size - at));
	} else {
		frame[at + 12] = 0x50;
		frame[at + 13] = ACK;
	}
	return size;
}

/* Frames of conversations come at the same times, with a flood between them and without. */
static size_t fill_flood(uint8_t *frame, enum kind kind, uint64_t n, uint64_t *ret_us)
{
	uint64_t turn = kind == TALK ? n : n / (FLOOD + 1);
	uint64_t part = kind == TALK ? FLOOD : n % (FLOOD + 1);

	*ret_us = turn * 10 + part * 2;
	if (part == FLOOD)
		return fill_talk(frame);
	return kind == SYN_FLOOD ? fill_syn(frame) : fill_strange(frame);
}

static int write_frames(FILE *file, enum kind kind, uint64_t frames)
{
	const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snaplen, link;
	} head = { 0xa1b2c3d4, 2, 4, 0, 0, 262144, 1 };
	uint8_t frame[FRAME_MAX];

	fwrite(&head, sizeof head, 1, file);
	for (uint64_t n = 0; n < frames && !ferror(file); n++) {
		uint64_t us = n;
		uint32_t size = (uint32_t)(kind < TALK ? fill(frame, kind, n)
						       : fill_flood(frame, kind, n, &us));
		uint32_t record[] = { START + (uint32_t)(us / 1000000), (uint32_t)(us % 1000000),
				      size, size };

		fwrite(record, sizeof record, 1, file);
		fwrite(frame, size, 1, file);
	}
	return ferror(file);
}

int main(int argc, char **argv)
{
	enum kind kind = SMALL;
	FILE *file;

	while (argc == 4 && kind < KINDS && strcmp(argv[1], names[kind]) != 0)
		kind++;
	if (argc != 4 || kind == KINDS) {
		fputs("usage: make-captures KIND FRAMES FILE, of kind", stderr);
		for (kind = SMALL; kind < KINDS; kind++)
			fprintf(stderr, " %s", names[kind]);
		fputs("\n", stderr);
		return 2;
	}
	file = fopen(argv[3], "wb");
	if (!file) {
		perror(argv[3]);
		return 1;
	}
	if (write_frames(file, kind, strtoull(argv[2], NULL, 10)) || fclose(file) != 0) {
		perror(argv[3]);
		return 1;
	}
	return 0;
}
