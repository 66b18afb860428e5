/* SPDX-License-Identifier: MIT */
/* SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", with 1 and 3 rounds). */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "portmeter/base.h"

static uint64_t rotate(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static PM_INLINE void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* What is less than a word; little-endian on all machines, as the reference vectors are. */
static uint64_t rest_of(const uint8_t *bytes, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

uint64_t pm_hash(struct pm_hash_key key, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t v[4] = {
		key.k0 ^ UINT64_C(0x736f6d6570736575),
		key.k1 ^ UINT64_C(0x646f72616e646f6d),
		key.k0 ^ UINT64_C(0x6c7967656e657261),
		key.k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t last;

	for (size_t left = size; left >= 8; left -= 8, at += 8) {
		uint64_t word = pm_le64(at);

		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	last = (uint64_t)size << 56 | rest_of(at, size % 8);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct pm_hash_key pm_hash_key_random(void)
{
	struct pm_hash_key key;
	struct timespec now;

	if (getentropy(&key, sizeof key) == 0)
		return key;
	clock_gettime(CLOCK_REALTIME, &now);
	key.k0 = (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15);
	key.k1 = (uint64_t)now.tv_sec ^ (uint64_t)(uintptr_t)&key;
	return key;
}
