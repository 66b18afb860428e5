/* SPDX-License-Identifier: MIT */
/* The ground floor: cursor, hashes, times, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "portmeter/base.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Eight bytes claimed, five held: 5 is one past the held, 9 one past the frame. */
static struct pm_cursor five_of_eight(void)
{
	static const uint8_t bytes[5] = { 0x01, 0x02, 0x03, 0x04, 0x05 };

	return pm_cursor_init(bytes, 5, 8);
}

struct take_case {
	const char *name;
	size_t n;
	enum pm_read status;
};

static const struct take_case takes[] = {
	{ "taking nothing is fine", 0, PM_READ_OK },
	{ "the last held byte can be taken", 5, PM_READ_OK },
	{ "one past the held bytes is truncated", 6, PM_READ_TRUNCATED },
	{ "the last byte of the frame is truncated where it is not held", 8, PM_READ_TRUNCATED },
	{ "one past the frame is malformed", 9, PM_READ_MALFORMED },
	{ "far past the frame is malformed", SIZE_MAX, PM_READ_MALFORMED },
	{ "so far that a sum would wrap is malformed", SIZE_MAX - 4, PM_READ_MALFORMED },
};

static void take_case_holds(void **state)
{
	const struct take_case *row = *state;
	struct pm_cursor c = five_of_eight();
	const uint8_t *bytes = pm_cursor_take(&c, row->n);

	assert_int_equal(c.status, row->status);
	if (row->status == PM_READ_OK) {
		assert_non_null(bytes);
		assert_int_equal(c.held, 5 - row->n);
		assert_int_equal(c.wire, 8 - row->n);
	} else {
		assert_null(bytes);
		assert_int_equal(c.held, 5);
		assert_int_equal(c.wire, 8);
	}
}

static void a_failure_sticks(void **state)
{
	struct pm_cursor c = five_of_eight();

	(void)state;
	assert_null(pm_cursor_take(&c, 6));
	assert_int_equal(pm_cursor_u8(&c), 0);
	assert_int_equal(pm_cursor_be16(&c), 0);
	assert_int_equal(pm_cursor_be32(&c), 0);
	assert_null(pm_cursor_take(&c, 0));
	assert_null(pm_cursor_peek(&c, 0, 1));
	assert_null(pm_cursor_take(&c, 9));
	assert_int_equal(c.status, PM_READ_TRUNCATED); /* the first, not the worst */
	assert_int_equal(c.held, 5);
}

static void reads_are_big_endian_and_step(void **state)
{
	static const uint8_t bytes[7] = { 0xff, 0x80, 0x01, 0xfe, 0xdc, 0xba, 0x98 };
	struct pm_cursor c = pm_cursor_init(bytes, 7, 7);

	(void)state;
	assert_int_equal(pm_cursor_u8(&c), 0xff);
	assert_int_equal(pm_cursor_be16(&c), 0x8001);
	assert_true(pm_cursor_be32(&c) == UINT32_C(0xfedcba98));
	assert_int_equal(c.held, 0);
	assert_int_equal(c.status, PM_READ_OK);
}

static void a_limit_never_grows_a_view(void **state)
{
	struct pm_cursor c = five_of_eight();

	(void)state;
	assert_false(pm_cursor_limit(&c, 9));
	assert_int_equal(c.wire, 8);
	assert_int_equal(c.held, 5);
	assert_true(pm_cursor_limit(&c, 6));
	assert_int_equal(c.wire, 6);
	assert_int_equal(c.held, 5);
	assert_true(pm_cursor_limit(&c, 2));
	assert_int_equal(c.held, 2);
	assert_false(pm_cursor_limit(&c, 3));
	assert_null(pm_cursor_take(&c, 3));
	assert_int_equal(c.status, PM_READ_MALFORMED);
}

static void bytes_behind_the_frame_are_not_held(void **state)
{
	static const uint8_t bytes[9];
	struct pm_cursor c = pm_cursor_init(bytes, 9, 4);

	(void)state;
	assert_int_equal(c.held, 4);
	assert_null(pm_cursor_take(&c, 5));
	assert_int_equal(c.status, PM_READ_MALFORMED);
}

static void a_peek_moves_nothing_and_fails_in_silence(void **state)
{
	struct pm_cursor c = five_of_eight();

	(void)state;
	assert_int_equal(*pm_cursor_peek(&c, 4, 1), 5);
	assert_non_null(pm_cursor_peek(&c, 5, 0));
	assert_null(pm_cursor_peek(&c, 5, 1));
	assert_null(pm_cursor_peek(&c, 6, 0));
	assert_null(pm_cursor_peek(&c, 4, SIZE_MAX));
	assert_null(pm_cursor_peek(&c, SIZE_MAX, 2));
	assert_int_equal(c.status, PM_READ_OK);
	assert_int_equal(c.held, 5);
}

/*
 * Key 00 01 ... 0f, input 00 01 ... (size - 1), as in the authors' vectors for SipHash-2-4; made
 * with an own SipHash that gives those for 2-4 and Python's (bytes hash, key 0) for 1-3.
 */
static const struct sip_case {
	size_t size;
	uint64_t hash;
} sips[] = {
	{ 0, UINT64_C(0xabac0158050fc4dc) },  { 1, UINT64_C(0xc9f49bf37d57ca93) },
	{ 2, UINT64_C(0x82cb9b024dc7d44d) },  { 3, UINT64_C(0x8bf80ab8e7ddf7fb) },
	{ 4, UINT64_C(0xcf75576088d38328) },  { 5, UINT64_C(0xdef9d52f49533b67) },
	{ 6, UINT64_C(0xc50d2b50c59f22a7) },  { 7, UINT64_C(0xd3927d989bb11140) },
	{ 8, UINT64_C(0x369095118d299a8e) },  { 9, UINT64_C(0x25a48eb36c063de4) },
	{ 15, UINT64_C(0xd320d86d2a519956) }, { 16, UINT64_C(0xcc4fdd1a7d908b66) },
	{ 17, UINT64_C(0x9cf2689063dbd80c) }, { 63, UINT64_C(0x9d199062b7bbb3a8) },
};

static void siphash_gives_the_reference_vectors(void **state)
{
	struct pm_hash_key key = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
	uint8_t input[65];

	(void)state;
	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i - 1);
	for (size_t i = 0; i < COUNT(sips); i++) /* one byte in: never aligned */
		assert_true(pm_hash(key, input + 1, sips[i].size) == sips[i].hash);
}

static void random_keys_differ(void **state)
{
	struct pm_hash_key a = pm_hash_key_random(), b = pm_hash_key_random();

	(void)state;
	assert_true(a.k0 != b.k0 || a.k1 != b.k1);
}

/* FIPS 180-4 examples and the CAVP short messages. */
static const struct sha_case {
	const char *name, *text;
	size_t repeat;
	const char *hex;
} shas[] = {
	{ "sha-256 of nothing", "", 1,
	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "sha-256 of abc", "abc", 1,
	  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "sha-256 of 56 bytes, where the length needs a block of its own",
	  "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "sha-256 of 112 bytes",
	  "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	  1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	{ "sha-256 of a million a", "aaaaaaaaaaaaaaaaaaaa", 50000,
	  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
	{ "sha-256 of one byte 0xbd", "\xbd", 1,
	  "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b" },
};

static void sha_case_holds(void **state)
{
	const struct sha_case *row = *state;
	uint8_t digest[PM_SHA256_SIZE];
	char hex[PM_SHA256_HEX_SIZE];
	struct pm_sha256 sha;

	pm_sha256_init(&sha);
	for (size_t i = 0; i < row->repeat; i++)
		pm_sha256_update(&sha, row->text, strlen(row->text));
	pm_sha256_final(&sha, digest);
	pm_sha256_hex(digest, hex);
	assert_string_equal(hex, row->hex);
}

static void sha_256_is_the_same_however_it_is_fed(void **state)
{
	uint8_t input[200], whole[PM_SHA256_SIZE], parts[PM_SHA256_SIZE];
	struct pm_sha256 sha;

	(void)state;
	for (size_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i * 7);
	pm_sha256_init(&sha);
	pm_sha256_update(&sha, input, sizeof input);
	pm_sha256_final(&sha, whole);
	for (size_t a = 0; a <= sizeof input; a++) {
		size_t b = a + (sizeof input - a) / 2;

		pm_sha256_init(&sha);
		pm_sha256_update(&sha, input, a);
		pm_sha256_update(&sha, NULL, 0);
		pm_sha256_update(&sha, input + a, b - a);
		pm_sha256_update(&sha, input + b, sizeof input - b);
		pm_sha256_final(&sha, parts);
		assert_memory_equal(whole, parts, sizeof whole);
	}
}

static const struct floor_case {
	const char *name;
	int64_t time, step, floor;
} floors[] = {
	{ "a multiple is its own floor", 20, 10, 20 },
	{ "just below a multiple", 29, 10, 20 },
	{ "zero", 0, 10, 0 },
	{ "the nanosecond before the epoch", -1, 10, -10 },
	{ "a multiple before the epoch", -20, 10, -20 },
	{ "just above a multiple before the epoch", -19, 10, -20 },
	{ "the last time", INT64_MAX, PM_NS_PER_S, INT64_C(9223372036000000000) },
	{ "the first time saturates", INT64_MIN, PM_NS_PER_S, INT64_MIN },
	{ "a step of one", INT64_MIN, 1, INT64_MIN },
	{ "a step longer than time", -1, INT64_MAX, -INT64_MAX },
	{ "a floor below time saturates", -INT64_MAX, INT64_MAX, -INT64_MAX },
	{ "one below that saturates", INT64_MIN, INT64_MAX, INT64_MIN },
};

static void floor_case_holds(void **state)
{
	const struct floor_case *row = *state;

	assert_true(pm_time_floor(row->time, row->step) == row->floor);
}

static const struct make_case {
	const char *name;
	int64_t seconds, nanoseconds, time;
} makes[] = {
	{ "seconds and nanoseconds", 1, 500000000, INT64_C(1500000000) },
	{ "nanoseconds beyond a second carry over", 1, 2000000001, INT64_C(3000000001) },
	{ "negative nanoseconds borrow", 1, -1, 999999999 },
	{ "before the epoch", -2, 750000000, -1250000000 },
	{ "2262 is the end", INT64_C(9223372036), 854775807, INT64_MAX },
	{ "a nanosecond more saturates", INT64_C(9223372036), 854775808, INT64_MAX },
	{ "a second more saturates", INT64_C(9223372037), 0, INT64_MAX },
	{ "seconds of 32 bits unsigned fit", INT64_C(4294967295), 0, INT64_C(4294967295000000000) },
	{ "the largest seconds saturate", INT64_MAX, INT64_MAX, INT64_MAX },
	{ "the smallest seconds saturate", INT64_MIN, INT64_MIN, INT64_MIN },
	{ "1677 is the beginning", INT64_C(-9223372036), -854775808, INT64_MIN },
	{ "a nanosecond less saturates", INT64_C(-9223372036), -854775809, INT64_MIN },
};

static void make_case_holds(void **state)
{
	const struct make_case *row = *state;

	assert_true(pm_time_make(row->seconds, row->nanoseconds) == row->time);
}

static void the_steady_clock_counts_nanoseconds(void **state)
{
	struct timespec wait = { 0, 5000000 }, now;
	int64_t before = pm_time_steady();

	(void)state;
	nanosleep(&wait, NULL);
	assert_true(pm_time_steady() - before >= 5000000);
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_true(pm_time_steady() / PM_NS_PER_S - now.tv_sec <= 1);
}

static void sums_of_times_saturate(void **state)
{
	(void)state;
	assert_true(pm_time_add(5, -7) == -2);
	assert_true(pm_time_add(INT64_MAX, 1) == INT64_MAX);
	assert_true(pm_time_add(INT64_MAX, INT64_MAX) == INT64_MAX);
	assert_true(pm_time_add(INT64_MIN, -1) == INT64_MIN);
	assert_true(pm_time_add(INT64_MIN, INT64_MIN) == INT64_MIN);
	assert_true(pm_time_add(INT64_MIN, INT64_MAX) == -1);
	assert_true(pm_time_add(1, INT64_MIN) == INT64_MIN + 1);
}

static const struct text_case {
	int64_t time;
	const char *text;
} texts[] = {
	{ 0, "1970-01-01T00:00:00.000000Z" },
	{ INT64_C(1795329010000000999), "2026-11-22T06:30:10.000000Z" },
	{ INT64_C(1795329010999999999), "2026-11-22T06:30:10.999999Z" },
	{ -1, "1969-12-31T23:59:59.999999Z" },
	{ -1000, "1969-12-31T23:59:59.999999Z" },
	{ -1001, "1969-12-31T23:59:59.999998Z" },
	{ INT64_C(-1000000000), "1969-12-31T23:59:59.000000Z" },
	{ INT64_C(951782400000000000), "2000-02-29T00:00:00.000000Z" },
	{ INT64_MAX, "2262-04-11T23:47:16.854775Z" },
	{ INT64_MIN, "1677-09-21T00:12:43.145224Z" },
};

static void times_are_written_in_utc_and_rounded_down(void **state)
{
	char text[PM_TIME_TEXT_SIZE];

	(void)state;
	setenv("TZ", "Asia/Kolkata", 1); /* must not matter */
	for (size_t i = 0; i < COUNT(texts); i++) {
		pm_time_text(texts[i].time, text);
		assert_string_equal(text, texts[i].text);
	}
}

static void the_first_error_stays(void **state)
{
	struct pm_error err = { .line = 0 };

	(void)state;
	assert_int_equal(pm_error_set(&err, PM_E_IO, "a", 3, 4, "%s %d", "first", 1), PM_E_IO);
	assert_int_equal(pm_error_set(&err, PM_E_RULES, "b", 5, 6, "second"), PM_E_RULES);
	assert_string_equal(err.file, "a");
	assert_int_equal(err.line, 3);
	assert_int_equal(err.column, 4);
	assert_string_equal(err.text, "first 1");
	assert_int_equal(pm_error_set(NULL, PM_E_MEMORY, "c", 0, 0, "nowhere"), PM_E_MEMORY);
}

static void an_error_without_a_file_forgets_an_older_one(void **state)
{
	struct pm_error err = { .file = "stale" };

	(void)state;
	pm_error_set(&err, PM_E_IO, NULL, 0, 0, "text");
	assert_string_equal(err.file, "");
}

static void a_long_path_keeps_its_tail(void **state)
{
	for (size_t length = 250; length < 262; length++) {
		struct pm_error err = { .line = 0 };
		char path[300] = "";

		memset(path, 'd', length - 6);
		strcat(path, "/x.cap");
		pm_error_set(&err, PM_E_IO, path, 0, 0, "text");
		if (length < sizeof err.file) {
			assert_string_equal(err.file, path);
		} else {
			assert_int_equal(strlen(err.file), sizeof err.file - 1);
			assert_memory_equal(err.file, "...d", 4);
			assert_string_equal(err.file + sizeof err.file - 7, "/x.cap");
		}
	}
	(void)state;
}

static void a_long_text_is_cut_and_ends(void **state)
{
	struct pm_error err = { .line = 0 };

	(void)state;
	pm_error_set(&err, PM_E_IO, NULL, 0, 0, "%0500d", 7);
	assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static void every_error_has_a_text_of_its_own(void **state)
{
	(void)state;
	for (int code = PM_OK; code >= PM_E_INVALID; code--)
		for (int other = PM_OK; other > code; other--)
			assert_string_not_equal(pm_strerror(code), pm_strerror(other));
	assert_string_equal(pm_strerror(PM_E_INVALID - 1), "unknown error");
	assert_string_equal(pm_strerror(1), "unknown error");
	assert_string_equal(pm_strerror(INT32_MIN), "unknown error");
	assert_string_equal(pm_strerror(INT32_MAX), "unknown error");
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* not in older headers; Linux 5.14 */
#endif

/* All of a block are there at once, and still zero, whatever its ends. */
static void pages_are_made(void **state)
{
	const size_t page = 4096, size = 64 * page;
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there[64];
	uint8_t *block = map;

	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	if (madvise(block + 63 * page, page, MADV_POPULATE_WRITE) < 0) {
		print_message("# this kernel makes no pages on demand\n");
		skip();
	}
	assert_int_equal(mincore(block, size, there), 0);
	assert_int_equal(there[0] & 1, 0);
	pm_pages_make(block + page + 100, 61 * page);
	assert_int_equal(mincore(block, size, there), 0);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(there[i] & 1, i >= 1);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(block[i], 0);
	munmap(map, size);
}

static void functions_of_a_library_are_found(void **state)
{
	static const char *const names[] = { "abs", "labs" };
	char why[64] = "nothing";
	union {
		void *at[2];
		struct {
			int (*of_int)(int);
			long (*of_long)(long);
		} call;
	} found;

	(void)state;
	assert_true(pm_library_load(NULL, names, 2, why, sizeof why, found.at));
	assert_int_equal(found.call.of_int(-3), 3);
	assert_int_equal(found.call.of_long(-4), 4);
	assert_string_equal(why, "nothing");
}

static void what_a_library_lacks_is_named(void **state)
{
	static const char *const names[] = { "abs", "portmeter_of_nowhere" };
	char why[256], cut[8];
	void *at[2] = { NULL, NULL };

	(void)state;
	assert_false(pm_library_load(NULL, names, 2, why, sizeof why, at));
	assert_non_null(strstr(why, names[1]));
	assert_null(at[0]);
	assert_false(pm_library_load("libnowhere.so.0", names, 1, why, sizeof why, at));
	assert_non_null(strstr(why, "libnowhere.so.0"));
	assert_false(pm_library_load("libnowhere.so.0", names, 1, cut, sizeof cut, at));
	assert_string_equal(cut, "libnowh");
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(functions_of_a_library_are_found),
	cmocka_unit_test(what_a_library_lacks_is_named),
	cmocka_unit_test(pages_are_made),
	cmocka_unit_test(a_failure_sticks),
	cmocka_unit_test(reads_are_big_endian_and_step),
	cmocka_unit_test(a_limit_never_grows_a_view),
	cmocka_unit_test(bytes_behind_the_frame_are_not_held),
	cmocka_unit_test(a_peek_moves_nothing_and_fails_in_silence),
	cmocka_unit_test(siphash_gives_the_reference_vectors),
	cmocka_unit_test(random_keys_differ),
	cmocka_unit_test(sha_256_is_the_same_however_it_is_fed),
	cmocka_unit_test(the_steady_clock_counts_nanoseconds),
	cmocka_unit_test(sums_of_times_saturate),
	cmocka_unit_test(times_are_written_in_utc_and_rounded_down),
	cmocka_unit_test(the_first_error_stays),
	cmocka_unit_test(an_error_without_a_file_forgets_an_older_one),
	cmocka_unit_test(a_long_path_keeps_its_tail),
	cmocka_unit_test(a_long_text_is_cut_and_ends),
	cmocka_unit_test(every_error_has_a_text_of_its_own),
};

#define ADD(rows, holds)                                                                      \
	for (size_t i = 0; i < COUNT(rows); i++)                                              \
	tests[n++] = (struct CMUnitTest){ rows[i].name, holds, NULL, NULL,                    \
					  (void *)(uintptr_t)&rows[i] }

int main(void)
{
	struct CMUnitTest tests[COUNT(takes) + COUNT(shas) + COUNT(floors) + COUNT(makes) +
				COUNT(others)];
	size_t n = 0;

	ADD(takes, take_case_holds);
	ADD(shas, sha_case_holds);
	ADD(floors, floor_case_holds);
	ADD(makes, make_case_holds);
	memcpy(tests + n, others, sizeof others);
	return _cmocka_run_group_tests("base", tests, COUNT(tests), NULL, NULL);
}
