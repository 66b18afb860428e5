/* SPDX-License-Identifier: MIT */
/*
 * Any text as a filter expression, pcap-filter(7): it compiles or is refused with a reason; and what
 * compiles filters a small capture, alike twice. The compiler is libpcap's, which no fuzzer sees
 * into here, so a mutator of our own puts expressions together from its words.
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "portmeter/capture.h"
#include "require.h"

#define LONGEST 512 /* the time that libpcap takes grows with the cube of an expression's length */
#define FRAMES 6

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

/* Ethernet: IPv4 with TCP and UDP, IPv6 with UDP, ARP, a VLAN, a frame cut short. */
static const char *const frames[FRAMES] = {
	"\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x08\0\x45\0\0\x28\0\1\0\0\x40\6\0\0\xc0\0\2\1\xc6\x33\x64\2"
	"\x9c\x40\0\x50\0\0\0\1\0\0\0\0\x50\2\0\0\0\0\0\0",
	"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0\x45\0\0\x1c\0\1\0\0\x40\x11\0\0\xc0\0\2\1\xc6\x33\x64\2"
	"\0\x35\x9c\x40\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	"\2\0\0\0\0\2\2\0\0\0\0\1\x86\xdd\x60\0\0\0\0\x08\x11\x40\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
	"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\x35\x9c\x40\0\x08\0\0",
	"\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x08\6\0\1\x08\0\6\4\0\1\2\0\0\0\0\1\xc0\0\2\1\0\0\0\0\0\0\xc0\0\2\2"
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	"\2\0\0\0\0\2\2\0\0\0\0\1\x81\0\0\7\x08\0\x45\0\0\x1c\0\1\0\0\x40\x11\0\0\xc0\0\2\1\xc6\x33\x64\2"
	"\0\x7b\0\x7b\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0\x45\0\0\x14\0\1\0\0\x40\1\0\0\xc0\0\2\1\xc6\x33\x64\2"
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
};
enum { FRAME_SIZE = 54 };

/* The capture, made once: little-endian, microseconds. */
static const char *capture_once(void)
{
	static const uint8_t head[24] = { 0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0,
					  0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0 };
	static const uint8_t record[16] = { 0, 0, 0, 0x65, 0, 0, 0, 0, FRAME_SIZE, 0, 0, 0,
					    FRAME_SIZE, 0, 0, 0 };
	static char path[64];
	int fd;

	if (path[0])
		return path;
	fd = memfd_create("capture", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && write(fd, head, sizeof head) == sizeof head);
	for (int i = 0; i < FRAMES; i++) {
		REQUIRE(write(fd, record, sizeof record) == sizeof record);
		REQUIRE(write(fd, frames[i], FRAME_SIZE) == FRAME_SIZE);
	}
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	unsigned *passed = ctx;

	REQUIRE(frame->number >= 1 && frame->number <= FRAMES);
	*passed |= 1u << frame->number;
}

/* Which frames pass, as bits. */
static unsigned filtered(const char *filter)
{
	const char *path = capture_once();
	struct pm_capture_options options = { .filter = filter };
	struct pm_capture *capture = NULL;
	struct pm_error err = { .line = 0 };
	unsigned passed = 0;
	int r = pm_capture_open_files(&path, 1, &options, &err, &capture);

	/* the snap length is another than that of the check, so it may still be refused */
	REQUIRE(r == PM_OK || (r == PM_E_FILTER && err.text[0]));
	while (r == PM_OK && pm_capture_dispatch(capture, 10, on_frame, &passed, &err) > 0)
		;
	REQUIRE(r != PM_OK || !err.text[0]);
	pm_capture_close(capture);
	return passed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_error err = { .line = 0 };
	char *filter;
	int r;

	if (size > LONGEST)
		return 0;
	filter = malloc(size + 1);
	REQUIRE(filter);
	if (size)
		memcpy(filter, data, size);
	filter[size] = '\0';
	r = pm_capture_check_filter(filter, &err);
	REQUIRE(r == PM_OK || r == PM_E_FILTER);
	REQUIRE((r == PM_OK) == (err.text[0] == '\0'));
	if (r == PM_OK)
		REQUIRE(filtered(filter) == filtered(filter));
	free(filter);
	return 0;
}

static const char *const words[] = {
	"host", "net", "port", "portrange", "src", "dst", "src or dst", "src and dst", "ether", "ether host",
	"ether proto", "ether broadcast", "ether multicast", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp",
	"icmp", "icmp6", "igmp", "esp", "ah", "vrrp", "pim", "ip proto", "ip6 proto", "ip6 protochain",
	"ip protochain", "gateway", "broadcast", "multicast", "ip broadcast", "ip multicast", "less", "greater",
	"vlan", "mpls", "pppoed", "pppoes", "geneve", "decnet", "iso", "clnp", "esis", "isis", "atalk", "aarp",
	"ipx", "netbeui", "lat", "moprc", "stp", "llc", "type mgt", "wlan addr1", "inbound", "outbound", "ifname",
	"mask", "and", "or", "not", "&&", "||", "!", "(", ")", "len", "=", "==", "!=", "<", ">", "<=", ">=", "+",
	"-", "*", "/", "%", "&", "|", "^", "<<", ">>", "[", "]", ":", "ether[12:2]", "ip[9]", "ip6[6]", "tcp[13]",
	"tcp[tcpflags]", "tcp-syn", "tcp-ack", "icmp[icmptype]", "icmp-echo", "udp[4:2]", "link[0]", "radio[0]",
	"0", "1", "2", "4", "53", "80", "255", "256", "65535", "65536", "4294967295", "0x800", "0x86dd",
	"192.0.2.1", "192.0.2.0/24", "192.0.2", "10", "2001:db8::1", "2001:db8::/32", "::", "1000-2000",
	"2:0:0:0:0:1", "ff:ff:ff:ff:ff:ff", "tcp port 80", "udp port 53", "not port 22", "host 192.0.2.1",
};
enum { N_WORDS = sizeof words / sizeof *words };

static unsigned draw(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % below;
}

/* Puts a word in at a blank, or in place of what stands between two. */
static size_t put_word(uint8_t *data, size_t size, size_t most, unsigned *seed)
{
	const char *word = words[draw(seed, N_WORDS)];
	size_t length = strlen(word) + 2, at = size ? draw(seed, (unsigned)size + 1) : 0, end;

	while (at < size && !isspace(data[at]))
		at++;
	end = at;
	if (draw(seed, 2)) /* the word behind goes */
		for (end += end < size; end < size && !isspace(data[end]); end++)
			;
	if (size - (end - at) + length > most)
		return size;
	memmove(data + at + length, data + end, size - end);
	data[at] = ' ';
	memcpy(data + at + 1, word, length - 2);
	data[at + length - 1] = ' ';
	return size - (end - at) + length;
}

/* (...), not (...), (...) and word */
static size_t wrap(uint8_t *data, size_t size, size_t most, unsigned *seed)
{
	const char *head = draw(seed, 2) ? "not (" : "(", *word = words[draw(seed, N_WORDS)];
	const char *joint = draw(seed, 2) ? ") and " : ") or ";
	size_t before = strlen(head), between = strlen(joint), after = strlen(word);

	if (size + before + between + after > most)
		return size;
	memmove(data + before, data, size);
	memcpy(data, head, before);
	memcpy(data + before + size, joint, between);
	memcpy(data + before + size + between, word, after);
	return size + before + between + after;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
	if (most > LONGEST)
		most = LONGEST;
	switch (draw(&seed, 8)) {
	case 0:
		return LLVMFuzzerMutate(data, size, most);
	case 1:
		return wrap(data, size, most, &seed);
	default:
		for (unsigned n = 1 + draw(&seed, 3); n > 0; n--)
			size = put_word(data, size, most, &seed);
		return size;
	}
}
