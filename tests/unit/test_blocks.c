/* SPDX-License-Identifier: MIT */
/*
 * Capture files in blocks, as several threads take them: the same frames, in the same order, as one
 * by one. Of random files, with blocks of random sizes that are fetched ahead of their turns.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "portmeter/capture.h"

#define ROUNDS 1500
#define FILES 4
#define BLOCKS 5
#define FRAMES_MAX 4000
#define IMAGE_MAX ((size_t)1 << 20)

static uint64_t seed;
static char folder[256];

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

static int load(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	snprintf(folder, sizeof folder, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	return mkdtemp(folder) ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	return rmdir(folder);
}

/* A capture file being written, little-endian. */
static uint8_t image[IMAGE_MAX];
static size_t image_size;

static void put(uint32_t value, size_t size)
{
	assert_true(image_size + size <= sizeof image);
	for (size_t i = 0; i < size; i++)
		image[image_size++] = (uint8_t)(value >> 8 * i);
}

static void put_random(size_t size)
{
	assert_true(image_size + size <= sizeof image);
	for (size_t i = 0; i < size; i++)
		image[image_size++] = (uint8_t)draw(256);
}

static void put_interface(void)
{
	put(1, 4);
	put(20, 4);
	put(1, 2);
	put(0, 2);
	put(0, 4);
	put(20, 4);
}

static void put_file_header(bool ng)
{
	if (!ng) {
		put(0xa1b2c3d4, 4);
		put(2, 2);
		put(4, 2);
		put(0, 4);
		put(0, 4);
		put(65535, 4);
		put(1, 4);
		return;
	}
	put(0x0a0d0d0a, 4);
	put(28, 4);
	put(0x1a2b3c4d, 4);
	put(1, 4);
	put(UINT32_MAX, 4);
	put(UINT32_MAX, 4);
	put(28, 4);
	put_interface();
}

/* What must not be hopped over, although its length is fine. */
static void put_bad_frame(bool ng, uint32_t seconds)
{
	put(ng ? 6 : seconds, 4);
	put(ng ? 300064 : 0, 4);
	if (!ng) { /* more than a frame may have */
		put(300000, 4);
		put(300000, 4);
		put_random(300000);
		return;
	}
	put(0, 4);
	put((uint32_t)(seconds * UINT64_C(1000000) >> 32), 4);
	put((uint32_t)(seconds * UINT64_C(1000000)), 4);
	put(draw(2) ? 300032 : 100, 4);
	put(100, 4);
	put_random(300032);
	put(draw(2) ? 300064 : 300060, 4);
}

static void put_frame(bool ng, uint32_t seconds, uint32_t held)
{
	if (!ng) {
		put(seconds, 4);
		put(draw(1000000), 4);
		put(held, 4);
		put(held + draw(2), 4);
		put_random(held);
		return;
	}
	put(6, 4);
	put(32 + (held + 3) / 4 * 4, 4);
	put(0, 4);
	put((uint32_t)(seconds * UINT64_C(1000000) >> 32), 4);
	put((uint32_t)(seconds * UINT64_C(1000000)), 4);
	put(held, 4);
	put(held + draw(2), 4);
	put_random((held + 3) / 4 * 4);
	put(32 + (held + 3) / 4 * 4, 4);
}

/* Blocks of pcapng that are no frames; an interface more, a new section. */
static void put_other(void)
{
	switch (draw(4)) {
	case 0:
		put_file_header(true);
		break;
	case 1:
		put_interface();
		break;
	default:
		put(0xbad, 4);
		put(16, 4);
		put(draw(UINT32_MAX), 4);
		put(16, 4);
		break;
	}
}

static uint32_t draw_size(void)
{
	switch (draw(20)) {
	case 0:
		return draw(20000);
	case 1:
		return 0;
	default:
		return draw(200);
	}
}

/* Mostly forward in time, mostly whole. */
static void write_file(const char *path)
{
	uint32_t frames = draw(400), seconds = 1000 + draw(20);
	bool ng = draw(2), odd = draw(3) == 0;
	FILE *file;

	unlink(path); /* a round that failed may have left a pipe there */
	file = fopen(path, "wb");
	assert_non_null(file);
	image_size = 0;
	put_file_header(ng);
	for (uint32_t i = 0; i < frames && image_size < IMAGE_MAX - 50000; i++) {
		if (odd && ng && draw(50) == 0)
			put_other();
		seconds += draw(20) == 0 ? draw(4) : 0;
		if (odd && image_size < IMAGE_MAX / 2 && draw(400) == 0)
			put_bad_frame(ng, seconds);
		put_frame(ng, draw(60) == 0 ? seconds - draw(3) : seconds, draw_size());
	}
	if (odd && draw(2))
		image[64 + draw((uint32_t)image_size)] ^= (uint8_t)(1 + draw(255));
	if (draw(4) == 0 && image_size > 100)
		image_size -= draw(100);
	assert_int_equal(fwrite(image, 1, image_size, file), image_size);
	fclose(file);
}

/* What a reader has seen. */
struct seen {
	struct pm_frame frames[FRAMES_MAX];
	uint64_t sums[FRAMES_MAX];
	size_t n, notices;
	char text[4096];
	int code;
	bool damaged;
	struct pm_error err;
	uint64_t in_blocks;
};

static struct seen *now; /* whose notices come */

static void on_notice(void *ctx, const char *text)
{
	(void)ctx;
	now->notices++;
	strncat(now->text, text, sizeof now->text - strlen(now->text) - 1);
}

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	struct seen *seen = ctx;
	uint64_t sum = 0;

	assert_true(seen->n < FRAMES_MAX);
	for (uint32_t i = 0; i < frame->held; i++)
		sum = sum * 31 + frame->bytes[i];
	seen->sums[seen->n] = sum;
	seen->frames[seen->n] = *frame;
	seen->frames[seen->n++].bytes = NULL;
}

static void read_one_by_one(struct pm_capture *capture, struct seen *seen)
{
	now = seen;
	do
		seen->code = pm_capture_dispatch(capture, 1 + (int)draw(500), on_frame, seen,
						 &seen->err);
	while (seen->code > 0);
	seen->damaged = pm_capture_damaged(capture);
}

/* Some threads' blocks, each taken in turn, and looked into later. */
static void read_in_blocks(struct pm_capture *capture, struct seen *seen)
{
	struct pm_block *blocks[BLOCKS] = { NULL };
	bool taken[BLOCKS] = { false };
	int64_t from = 0;
	uint64_t span = draw(2) * UINT64_MAX;

	now = seen;
	for (size_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(pm_block_new(capture, &blocks[i]), PM_OK);
		pm_block_claim(blocks[i]);
		if (draw(2))
			pm_block_fetch(blocks[i]);
	}
	seen->code = 1;
	for (size_t turn = 0; seen->code > 0; turn = (turn + 1) % BLOCKS) {
		struct pm_block *block = blocks[turn];
		bool stopped = true;

		/* what it holds of last time, and what came before that */
		for (size_t i = 0; i < BLOCKS && taken[turn]; i++) {
			pm_block_each(blocks[(turn + i) % BLOCKS], on_frame, seen);
			taken[(turn + i) % BLOCKS] = false;
			if (i == 0) {
				pm_block_claim(block);
				pm_block_fetch(block);
			}
		}
		while (stopped && seen->code > 0) {
			uint64_t n = pm_block_take(block, from, span, 1 + draw(1000), &stopped);

			taken[turn] = true;
			seen->in_blocks += n;
			if (!stopped)
				break;
			for (size_t i = 1; i <= BLOCKS; i++)
				if (taken[(turn + i) % BLOCKS])
					pm_block_each(blocks[(turn + i) % BLOCKS], on_frame, seen);
			memset(taken, 0, sizeof taken);
			seen->code = pm_capture_dispatch(capture, 1 + (int)draw(draw(3) ? 3 : 100),
							 on_frame, seen, &seen->err);
			from = seen->n ? seen->frames[seen->n - 1].time_ns -
						 (int64_t)draw(5) * PM_NS_PER_S
				       : 0;
			span = (1 + draw(8)) * (uint64_t)PM_NS_PER_S;
		}
		if (!stopped && draw(3) == 0) {
			for (size_t i = 1; i <= BLOCKS; i++)
				if (taken[(turn + i) % BLOCKS])
					pm_block_each(blocks[(turn + i) % BLOCKS], on_frame, seen);
			memset(taken, 0, sizeof taken);
		}
		if (!taken[turn]) {
			pm_block_claim(block);
			pm_block_fetch(block);
		}
	}
	seen->damaged = pm_capture_damaged(capture);
	for (size_t i = 0; i < BLOCKS; i++)
		pm_block_free(blocks[i]);
}

static void assert_same(const struct seen *a, const struct seen *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_int_equal(a->sums[i], b->sums[i]);
		assert_memory_equal(&a->frames[i], &b->frames[i], sizeof a->frames[i]);
	}
	assert_string_equal(a->text, b->text);
	assert_string_equal(a->err.text, b->err.text);
	assert_int_equal(a->code, b->code);
	assert_int_equal(a->damaged, b->damaged);
}

/* Puts a pipe in place of a file that has just been written, and one who writes the same to it. */
static pid_t as_pipe(const char *path)
{
	pid_t pid;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(path, O_WRONLY);

		for (size_t at = 0; fd >= 0 && at < image_size;) {
			ssize_t n = write(fd, image + at, image_size - at);

			if (n <= 0)
				break;
			at += (size_t)n;
		}
		_exit(0);
	}
	return pid;
}

enum way { IN_BLOCKS, FROM_PIPE, MAPPED };

/*
 * One random set of files, read by one window frame by frame, and in another way. Returns how many
 * frames came in blocks.
 */
static uint64_t round_holds(size_t files, const char *filter, enum way way)
{
	static struct seen whole, parts;
	char names[FILES][300];
	const char *paths[FILES];
	struct pm_capture_options options = { .filter = filter, .notice = on_notice };
	struct pm_capture *a = NULL, *b = NULL;
	struct pm_error err = { .line = 0 };
	uint64_t in_blocks = 0;
	pid_t pid = 0;

	memset(&whole, 0, sizeof whole);
	memset(&parts, 0, sizeof parts);
	for (size_t i = 0; i < files; i++) {
		snprintf(names[i], sizeof names[i], "%s/%zu", folder, i);
		paths[i] = names[i];
		write_file(names[i]);
	}
	now = &whole;
	if (pm_capture_open_files(paths, files, &options, &err, &a) == PM_OK) {
		read_one_by_one(a, &whole);
		options.block = 1 + draw(draw(2) ? 5000 : 300);
		/* so large that a stream's first buffer is not too large to be given away */
		if (way == FROM_PIPE && draw(2))
			options.block = 66000 + draw(50000);
		options.map = way == MAPPED || draw(2);
		now = &parts;
		if (way == FROM_PIPE)
			pid = as_pipe(paths[files - 1]);
		assert_int_equal(pm_capture_open_files(paths, files, &options, &err, &b), PM_OK);
		if (way == MAPPED)
			read_one_by_one(b, &parts);
		else
			read_in_blocks(b, &parts);
		assert_same(&whole, &parts);
		in_blocks = parts.in_blocks;
	}
	pm_capture_close(a);
	pm_capture_close(b);
	if (pid)
		waitpid(pid, NULL, 0);
	for (size_t i = 0; i < files; i++)
		unlink(names[i]);
	return in_blocks;
}

static void blocks_hold_the_frames_of_a_file(void **state)
{
	uint64_t in_blocks = 0;

	(void)state;
	seed = 1;
	for (int i = 0; i < ROUNDS; i++)
		in_blocks += round_holds(1, NULL, IN_BLOCKS);
	assert_true(in_blocks > ROUNDS * 50);
}

static void blocks_hold_the_frames_of_a_stream(void **state)
{
	uint64_t in_blocks = 0;

	(void)state;
	seed = 4;
	for (int i = 0; i < ROUNDS / 2; i++)
		in_blocks += round_holds(1, NULL, FROM_PIPE);
	for (int i = 0; i < ROUNDS / 10; i++)
		in_blocks += round_holds(2 + draw(FILES - 1), NULL, FROM_PIPE);
	assert_true(in_blocks > ROUNDS * 10);
}

static void blocks_hold_the_frames_of_several_files(void **state)
{
	uint64_t in_blocks = 0;

	(void)state;
	seed = 2;
	for (int i = 0; i < ROUNDS / 3; i++)
		in_blocks += round_holds(2 + draw(FILES - 1), NULL, IN_BLOCKS);
	assert_true(in_blocks > ROUNDS * 10);
}

static void blocks_hold_what_a_filter_lets_through(void **state)
{
	uint64_t in_blocks = 0;

	(void)state;
	seed = 3;
	for (int i = 0; i < ROUNDS / 5; i++)
		in_blocks += round_holds(1 + draw(FILES), "greater 60", IN_BLOCKS);
	assert_true(in_blocks > ROUNDS);
}

static void pieces_that_are_mapped_hold_the_frames(void **state)
{
	(void)state;
	seed = 5;
	for (int i = 0; i < ROUNDS; i++)
		round_holds(1, NULL, MAPPED);
	for (int i = 0; i < ROUNDS / 5; i++)
		round_holds(1, "greater 60", MAPPED);
}

static uint64_t take(struct pm_block *block, int64_t from_s, uint64_t seconds, uint64_t max,
		     bool *ret_stopped)
{
	return pm_block_take(block, from_s * PM_NS_PER_S, seconds * (uint64_t)PM_NS_PER_S, max,
			     ret_stopped);
}

/* Opens a capture of one file, of what is in the image. */
static struct pm_capture *open_image(const char *path)
{
	struct pm_capture_options options = { .notice = NULL };
	struct pm_capture *capture = NULL;
	struct pm_error err = { .line = 0 };
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	fwrite(image, 1, image_size, file);
	fclose(file);
	assert_int_equal(pm_capture_open_files(&path, 1, &options, &err, &capture), PM_OK);
	return capture;
}

static void put_in_order(uint32_t value, bool big)
{
	put(big ? __builtin_bswap32(value) : value, 4);
}

/* A file whose numbers are in another order, or its lengths, is hopped over by the right ones. */
static void blocks_go_by_a_files_own_order(void **state)
{
	static const struct {
		bool big, swapped;
	} orders[] = { { false, false }, { true, false }, { false, true } };

	(void)state;
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		bool big = orders[i].big, stopped;
		struct seen *seen = calloc(1, sizeof *seen);
		struct pm_capture *capture;
		struct pm_block *block;
		char name[300];

		assert_non_null(seen);
		snprintf(name, sizeof name, "%s/order", folder);
		image_size = 0;
		put_in_order(0xa1b2c3d4, big);
		/* before 2.4 either length may come first */
		if (big)
			put_in_order(2 << 16 | 4, true);
		else
			put(orders[i].swapped ? 3 << 16 | 2 : 4 << 16 | 2, 4);
		put(0, 4);
		put(0, 4);
		put_in_order(65535, big);
		put_in_order(1, big);
		for (uint32_t n = 0; n < 300; n++) {
			put_in_order(1000 + n, big);
			put(0, 4);
			/* such that there is as much in the file the other way round, too */
			put_in_order(orders[i].swapped ? 300 : 256, big);
			put_in_order(256, big);
			put_random(256);
		}
		if (i == 0)
			put_bad_frame(false, 1300);
		capture = open_image(name);
		assert_int_equal(pm_block_new(capture, &block), PM_OK);
		assert_int_equal(pm_block_take(block, 0, 0, 9, &stopped), 0);
		pm_block_claim(block);
		pm_block_fetch(block);
		/* the first that is not within the time begins when that ends */
		assert_int_equal(take(block, 1000, 5, 99, &stopped), 5);
		assert_int_equal(pm_block_take(block, INT64_MIN, UINT64_MAX, 999, &stopped), 295);
		pm_block_each(block, on_frame, seen);
		assert_int_equal(seen->n, 295);
		for (size_t n = 0; n < seen->n; n++)
			assert_int_equal(seen->frames[n].held, 256);
		pm_block_free(block);
		pm_capture_close(capture);
		unlink(name);
		free(seen);
	}
}

/* The rows of a table would only repeat what the random files do; this one is exact about stops. */
static void a_block_stops_where_time_leaves_its_bounds(void **state)
{
	struct pm_capture *capture;
	struct pm_block *block;
	struct seen *seen = calloc(1, sizeof *seen);
	struct pm_error err = { .line = 0 };
	char name[300];
	bool stopped;

	(void)state;
	assert_non_null(seen);
	snprintf(name, sizeof name, "%s/times", folder);
	image_size = 0;
	put_file_header(false);
	for (uint32_t i = 0; i < 10; i++)
		put_frame(false, 1000 + i, 60);
	capture = open_image(name);
	assert_int_equal(pm_block_new(capture, &block), PM_OK);
	/* nothing is claimed before the first turn */
	assert_int_equal(pm_block_take(block, 0, 0, 9, &stopped), 0);
	assert_false(stopped);
	pm_block_claim(block);
	pm_block_fetch(block);
	assert_int_equal(take(block, 1000, 3, 99, &stopped), 3);
	assert_true(stopped);
	assert_int_equal(take(block, 1003, 99, 2, &stopped), 2);
	assert_true(stopped);
	pm_block_each(block, on_frame, seen);
	assert_int_equal(seen->n, 2);
	assert_int_equal(seen->frames[0].number, 4);
	assert_int_equal(pm_capture_dispatch(capture, 1, on_frame, seen, &err), 1);
	assert_int_equal(seen->frames[2].number, 6);
	assert_int_equal(take(block, 1000, 99, 99, &stopped), 4);
	assert_true(stopped); /* the file's end is for dispatch to tell */
	pm_block_each(block, on_frame, seen);
	assert_int_equal(pm_capture_dispatch(capture, 1, on_frame, seen, &err), 0);
	assert_int_equal(seen->n, 7);
	assert_int_equal(seen->frames[6].number, 10);
	pm_block_free(block);
	pm_block_free(NULL);
	pm_capture_close(capture);
	unlink(name);
	free(seen);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_go_by_a_files_own_order),
		cmocka_unit_test(a_block_stops_where_time_leaves_its_bounds),
		cmocka_unit_test(blocks_hold_the_frames_of_a_file),
		cmocka_unit_test(blocks_hold_the_frames_of_a_stream),
		cmocka_unit_test(blocks_hold_the_frames_of_several_files),
		cmocka_unit_test(blocks_hold_what_a_filter_lets_through),
		cmocka_unit_test(pieces_that_are_mapped_hold_the_frames),
	};

	return cmocka_run_group_tests_name("blocks", tests, load, unload);
}
