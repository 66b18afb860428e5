/* SPDX-License-Identifier: MIT */
/* Capture files: every form of them, several as one, and what is left of damaged ones. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "portmeter/capture.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FRAMES_MAX 256

static char folder[256];

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
	return rmdir(folder); /* fails where a test left a file */
}

/* A capture file being written, in the byte order of @big. */
struct image {
	uint8_t bytes[8192];
	size_t size;
	bool big;
};

static void put(struct image *image, uint32_t value, size_t size)
{
	assert_true(image->size + size <= sizeof image->bytes);
	for (size_t i = 0; i < size; i++)
		image->bytes[image->size++] =
			(uint8_t)(value >> 8 * (image->big ? size - 1 - i : i));
}

static void put_bytes(struct image *image, const void *bytes, size_t size)
{
	assert_true(image->size + size <= sizeof image->bytes);
	memcpy(image->bytes + image->size, bytes, size);
	image->size += size;
}

static void pcap_begin(struct image *image, bool big, uint32_t magic, uint32_t snaplen,
		       uint32_t linktype)
{
	image->size = 0;
	image->big = big;
	put(image, magic, 4);
	put(image, 2, 2);
	put(image, 4, 2);
	put(image, 0, 4);
	put(image, 0, 4);
	put(image, snaplen, 4);
	put(image, linktype, 4);
}

#define MICRO UINT32_C(0xa1b2c3d4)
#define NANO UINT32_C(0xa1b23c4d)

static void pcap_frame(struct image *image, uint32_t seconds, uint32_t fraction, const void *bytes,
		       uint32_t held, uint32_t wire)
{
	put(image, seconds, 4);
	put(image, fraction, 4);
	put(image, held, 4);
	put(image, wire, 4);
	put_bytes(image, bytes, held);
}

static void block_begin(struct image *image, uint32_t type, uint32_t length)
{
	put(image, type, 4);
	put(image, length, 4);
}

/* @tsresol 0: without the option, so microseconds. */
static void pcapng_begin(struct image *image, bool big, uint32_t linktype, uint8_t tsresol)
{
	image->size = 0;
	image->big = big;
	block_begin(image, 0x0a0d0d0a, 28);
	put(image, 0x1a2b3c4d, 4);
	put(image, 1, 2);
	put(image, 0, 2);
	put(image, UINT32_MAX, 4);
	put(image, UINT32_MAX, 4);
	put(image, 28, 4);
	block_begin(image, 1, tsresol ? 32 : 20);
	put(image, linktype, 2);
	put(image, 0, 2);
	put(image, 96, 4);
	if (tsresol) {
		put(image, 9, 2);
		put(image, 1, 2);
		put_bytes(image, (uint8_t[4]){ tsresol, 0, 0, 0 }, 4);
		put(image, 0, 4);
	}
	put(image, tsresol ? 32 : 20, 4);
}

static void pcapng_frame(struct image *image, uint64_t ticks, const void *bytes, uint32_t held,
			 uint32_t wire)
{
	uint32_t padded = (held + 3) & ~UINT32_C(3);

	block_begin(image, 6, 32 + padded);
	put(image, 0, 4);
	put(image, (uint32_t)(ticks >> 32), 4);
	put(image, (uint32_t)ticks, 4);
	put(image, held, 4);
	put(image, wire, 4);
	put_bytes(image, bytes, held);
	put_bytes(image, (uint8_t[3]){ 0, 0, 0 }, padded - held);
	put(image, 32 + padded, 4);
}

static const char *path_of(const char *name)
{
	static char paths[4][300];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* What a run over a capture gave. */
struct seen {
	struct pm_capture *capture;
	struct pm_frame frames[FRAMES_MAX];
	uint8_t first[FRAMES_MAX]; /* byte of each */
	size_t n, looked_at;
	unsigned notices;
	char notice[512];
	struct pm_error err;
	int code;
	bool damaged;
};

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	struct seen *seen = ctx;

	assert_true(seen->n < FRAMES_MAX);
	seen->frames[seen->n] = *frame;
	seen->first[seen->n++] = frame->held ? frame->bytes[0] : 0;
}

static void on_notice(void *ctx, const char *text)
{
	struct seen *seen = ctx;

	seen->notices++;
	snprintf(seen->notice, sizeof seen->notice, "%s", text);
}

static void open_files(struct seen *seen, const char *const *paths, size_t n, const char *filter)
{
	struct pm_capture_options options = { .filter = filter, .notice = on_notice, .ctx = seen };

	memset(seen, 0, sizeof *seen);
	seen->code = pm_capture_open_files(paths, n, &options, &seen->err, &seen->capture);
}

static void read_on(struct seen *seen, int max)
{
	int r;

	while ((r = pm_capture_dispatch(seen->capture, max, on_frame, seen, &seen->err)) > 0) {
		assert_true(r <= max);
		seen->looked_at += (size_t)r;
	}
	seen->code = r;
	seen->damaged = pm_capture_damaged(seen->capture);
}

static void read_files(struct seen *seen, const char *const *paths, size_t n, const char *filter)
{
	open_files(seen, paths, n, filter);
	if (seen->code != PM_OK)
		return;
	read_on(seen, 3);
	pm_capture_close(seen->capture);
}

static void read_image(struct seen *seen, const struct image *image, size_t size)
{
	const char *path = path_of("image");

	write_file(path, image->bytes, size);
	read_files(seen, &path, 1, NULL);
	remove(path);
}

struct form_case {
	const char *name;
	bool big, ng;
	uint32_t magic;  /* classic */
	uint8_t tsresol; /* pcapng */
	uint32_t fraction;
	int64_t time_ns;
};

static const struct form_case forms[] = {
	{ "pcap, little-endian, microseconds", false, false, MICRO, 0, 123456, INT64_C(1795329010123456000) },
	{ "pcap, big-endian, microseconds", true, false, MICRO, 0, 123456, INT64_C(1795329010123456000) },
	{ "pcap, little-endian, nanoseconds", false, false, NANO, 0, 123456789, INT64_C(1795329010123456789) },
	{ "pcap, big-endian, nanoseconds", true, false, NANO, 0, 123456789, INT64_C(1795329010123456789) },
	{ "pcapng, little-endian, microseconds", false, true, 0, 0, 123456, INT64_C(1795329010123456000) },
	{ "pcapng, big-endian, microseconds", true, true, 0, 0, 123456, INT64_C(1795329010123456000) },
	{ "pcapng, little-endian, nanoseconds", false, true, 0, 9, 123456789, INT64_C(1795329010123456789) },
	{ "pcapng, big-endian, nanoseconds", true, true, 0, 9, 123456789, INT64_C(1795329010123456789) },
	{ "pcapng, milliseconds", false, true, 0, 3, 123, INT64_C(1795329010123000000) },
};

static void form_case_holds(void **state)
{
	const struct form_case *row = *state;
	struct image image;
	struct seen seen;

	if (row->ng) {
		uint64_t scale = row->tsresol == 9   ? 1000000000
				 : row->tsresol == 3 ? 1000
						     : 1000000;

		pcapng_begin(&image, row->big, 228, row->tsresol);
		pcapng_frame(&image, 1795329010 * scale + row->fraction, "\x45" "bcd", 4, 60);
	} else {
		pcap_begin(&image, row->big, row->magic, 96, 228);
		pcap_frame(&image, 1795329010, row->fraction, "\x45" "bcd", 4, 60);
	}
	read_image(&seen, &image, image.size);
	assert_int_equal(seen.code, 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.frames[0].held, 4);
	assert_int_equal(seen.frames[0].wire, 60);
	assert_int_equal(seen.frames[0].linktype, 228);
	assert_int_equal(seen.frames[0].number, 1);
	assert_int_equal(seen.first[0], 0x45);
	assert_true(seen.frames[0].time_ns == row->time_ns);
	assert_false(seen.damaged);
	assert_int_equal(seen.notices, 0);
}

static void time_stamps_of_any_value_are_taken(void **state)
{
	static const struct {
		uint32_t seconds, fraction;
		int64_t time_ns;
	} stamps[] = {
		{ 0, 0, 0 },
		{ INT32_MAX, 999999, INT64_C(2147483647999999000) },
		{ 1, 5000000, INT64_C(6000000000) }, /* microseconds beyond a second */
	};
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, 1);
	for (size_t i = 0; i < COUNT(stamps); i++)
		pcap_frame(&image, stamps[i].seconds, stamps[i].fraction, "x", 1, 1);
	/* its meaning is libpcap's: only no crash */
	pcap_frame(&image, UINT32_MAX, UINT32_MAX, "x", 1, 1);
	read_image(&seen, &image, image.size);
	assert_int_equal(seen.n, 4);
	for (size_t i = 0; i < COUNT(stamps); i++)
		assert_true(seen.frames[i].time_ns == stamps[i].time_ns);
}

static void a_frame_of_no_bytes_is_a_frame(void **state)
{
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, 1);
	pcap_frame(&image, 1, 0, "", 0, 0);
	pcap_frame(&image, 2, 0, "", 0, 60);
	read_image(&seen, &image, image.size);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.frames[1].held, 0);
	assert_int_equal(seen.frames[1].wire, 60);
}

/* Files of seconds; the first byte of a frame names its file. */
static void files_are_merged_by_time(void **state)
{
	static const struct {
		const char *name;
		uint32_t seconds[5];
	} files[] = {
		{ "a", { 10, 20, 20, 50, 0 } }, { "b", { 5, 20, 30, 0, 0 } }, { "c", { 20, 20, 60, 0, 0 } }, { "d", { 0 } }
	};
	static const char expected[] = "baaabccbac";
	const char *paths[COUNT(files)];
	struct image image;
	struct seen seen;

	(void)state;
	for (size_t f = 0; f < COUNT(files); f++) {
		pcap_begin(&image, f % 2 != 0, f == 2 ? NANO : MICRO, 96, 1);
		for (size_t i = 0; files[f].seconds[i]; i++)
			pcap_frame(&image, files[f].seconds[i], 0, files[f].name, 1, 60);
		paths[f] = path_of(files[f].name);
		write_file(paths[f], image.bytes, image.size);
	}
	read_files(&seen, paths, COUNT(files), NULL);
	for (size_t f = 0; f < COUNT(files); f++)
		remove(paths[f]);
	assert_int_equal(seen.n, strlen(expected));
	for (size_t i = 0; i < seen.n; i++) {
		assert_int_equal(seen.first[i], expected[i]);
		assert_int_equal(seen.frames[i].number, i + 1); /* of the stream, not of the file */
	}
}

static void a_file_that_goes_back_in_time_keeps_its_own_order(void **state)
{
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, 1);
	pcap_frame(&image, 30, 0, "a", 1, 60);
	pcap_frame(&image, 10, 0, "b", 1, 60);
	pcap_frame(&image, 20, 0, "c", 1, 60);
	read_image(&seen, &image, image.size);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.first[1], 'b');
	assert_int_equal(seen.first[2], 'c');
}

static void many_files_are_one_stream(void **state)
{
	enum { FILES = 100 };
	static char names[FILES][300];
	const char *paths[FILES];
	struct image image;
	struct seen seen;

	(void)state;
	for (int f = 0; f < FILES; f++) {
		uint8_t byte = (uint8_t)f;

		pcap_begin(&image, false, MICRO, 96, 1);
		pcap_frame(&image, (uint32_t)(1000 - f), 0, &byte, 1, 60);
		pcap_frame(&image, 2000, 0, &byte, 1, 60);
		snprintf(names[f], sizeof names[f], "%s/%d", folder, f);
		paths[f] = names[f];
		write_file(paths[f], image.bytes, image.size);
	}
	read_files(&seen, paths, FILES, NULL);
	for (int f = 0; f < FILES; f++)
		remove(paths[f]);
	assert_int_equal(seen.n, 2 * FILES);
	for (size_t i = 0; i < FILES; i++) {
		assert_int_equal(seen.first[i], FILES - 1 - i);
		assert_int_equal(seen.first[FILES + i], i); /* equal times: in order of the paths */
	}
}

/* Looking ahead into a file whose turn comes later is no progress. */
static void progress_is_that_of_all_files(void **state)
{
	enum { FILES = 3, FRAMES = 2 };
	static char names[FILES][300];
	const char *paths[FILES];
	struct pm_capture_progress progress;
	struct image image;
	struct seen seen;

	(void)state;
	for (int f = 0; f < FILES; f++) {
		pcap_begin(&image, false, MICRO, 96, 1);
		for (int i = 0; i < FRAMES; i++)
			pcap_frame(&image, (uint32_t)(10 * f + i), 0, "x", 1, 60);
		snprintf(names[f], sizeof names[f], "%s/%d", folder, f);
		paths[f] = names[f];
		write_file(paths[f], image.bytes, image.size);
	}
	open_files(&seen, paths, FILES, "less 1"); /* which no frame passes */
	assert_int_equal(seen.code, 0);
	pm_capture_progress(seen.capture, &progress);
	assert_true(progress.total_known);
	assert_int_equal(progress.total, FILES * image.size);
	assert_int_equal(progress.bytes, 0);
	assert_int_equal(progress.frames, 0);
	assert_int_equal(pm_capture_dispatch(seen.capture, FRAMES, on_frame, &seen, NULL), FRAMES);
	pm_capture_progress(seen.capture, &progress);
	assert_int_equal(progress.bytes, image.size); /* of small files a whole one at a time */
	assert_int_equal(progress.frames, FRAMES);
	read_on(&seen, 100);
	pm_capture_progress(seen.capture, &progress);
	assert_int_equal(progress.bytes, FILES * image.size);
	assert_int_equal(progress.total, progress.bytes);
	assert_int_equal(progress.frames, FILES * FRAMES);
	pm_capture_close(seen.capture);
	for (int f = 0; f < FILES; f++)
		remove(paths[f]);
}

#define DAMAGE_FRAMES 4
#define SECTION_SIZE 28 /* of pcapng's section header */

/* Sizes differ, so that no offset stands for another. Returns where each frame begins and all ends.
 */
static void damage_image(struct image *image, bool ng, size_t starts[DAMAGE_FRAMES + 1])
{
	static const uint8_t bytes[40] = { 0x45 };

	if (ng)
		pcapng_begin(image, false, 1, 0);
	else
		pcap_begin(image, false, MICRO, 96, 1);
	for (uint32_t i = 0; i < DAMAGE_FRAMES; i++) {
		starts[i] = image->size;
		if (ng)
			pcapng_frame(image, i, bytes, 10 + i * 7, 60);
		else
			pcap_frame(image, i, 0, bytes, 10 + i * 7, 60);
	}
	starts[DAMAGE_FRAMES] = image->size;
}

static void notice_names(const struct seen *seen, size_t frame, size_t byte)
{
	char text[64];

	snprintf(text, sizeof text, "damaged in frame %zu at byte ", frame);
	if (!strstr(seen->notice, text))
		fail_msg("no \"%s\" in: %s", text, seen->notice);
	if (byte) {
		snprintf(text, sizeof text, " at byte %zu:", byte);
		if (!strstr(seen->notice, text))
			fail_msg("no \"%s\" in: %s", text, seen->notice);
	}
	snprintf(text, sizeof text, "the %zu frames before it", frame - 1);
	if (frame != 2 && !strstr(seen->notice, text))
		fail_msg("no \"%s\" in: %s", text, seen->notice);
}

static void a_file_cut_anywhere_gives_all_whole_frames(bool ng)
{
	size_t starts[DAMAGE_FRAMES + 1];
	struct image image;
	struct seen seen;

	damage_image(&image, ng, starts);
	for (size_t size = 0; size <= image.size; size++) {
		size_t whole = 0;
		bool clean;

		while (whole < DAMAGE_FRAMES && starts[whole + 1] <= size)
			whole++;
		clean = size == starts[whole];
		read_image(&seen, &image, size);
		if (size < starts[0]) {
			/* a section may be without interfaces, and so without frames */
			bool section = ng && size == SECTION_SIZE;
			/* of fewer than four bytes nobody can tell what they began */
			int code = section ? PM_OK : size < 4 ? PM_E_IO : PM_E_DAMAGED;

			assert_int_equal(seen.code, code);
			assert_true(section || (seen.err.text[0] && seen.err.file[0]));
			assert_int_equal(seen.n, 0);
			continue;
		}
		assert_int_equal(seen.code, 0);
		assert_int_equal(seen.n, whole);
		assert_int_equal(seen.notices, clean ? 0 : 1);
		assert_int_equal(seen.damaged, !clean);
		if (!clean)
			notice_names(&seen, whole + 1, ng ? 0 : starts[whole]);
	}
}

static void a_pcap_cut_anywhere_gives_all_whole_frames(void **state)
{
	(void)state;
	a_file_cut_anywhere_gives_all_whole_frames(false);
}

static void a_pcapng_cut_anywhere_gives_all_whole_frames(void **state)
{
	(void)state;
	a_file_cut_anywhere_gives_all_whole_frames(true);
}

/* Any value of any byte: what comes before the damage is given unchanged, and nothing is said
 * twice. */
static void a_damaged_byte_costs_nothing_that_stands_before_it(bool ng)
{
	static const uint8_t values[] = { 0x00, 0x7f, 0x80, 0xff };
	size_t starts[DAMAGE_FRAMES + 1];
	struct image image;
	struct seen seen;

	damage_image(&image, ng, starts);
	for (size_t at = starts[0]; at < image.size; at++) {
		uint8_t good = image.bytes[at];
		size_t whole = 0;

		while (starts[whole + 1] <= at)
			whole++;
		for (size_t v = 0; v < COUNT(values); v++) {
			image.bytes[at] = values[v];
			read_image(&seen, &image, image.size);
			assert_int_equal(seen.code, 0);
			assert_true(seen.n >= whole);
			assert_int_equal(seen.notices, seen.damaged);
			for (size_t i = 0; i < whole; i++)
				assert_int_equal(seen.frames[i].held, 10 + i * 7);
		}
		image.bytes[at] = good;
	}
}

static void a_damaged_byte_of_a_pcap_costs_nothing_before_it(void **state)
{
	(void)state;
	a_damaged_byte_costs_nothing_that_stands_before_it(false);
}

static void a_damaged_byte_of_a_pcapng_costs_nothing_before_it(void **state)
{
	(void)state;
	a_damaged_byte_costs_nothing_that_stands_before_it(true);
}

static void one_damaged_file_does_not_end_the_others(void **state)
{
	const char *paths[] = { path_of("a"), path_of("b") };
	size_t starts[DAMAGE_FRAMES + 1];
	struct image image;
	struct seen seen;

	(void)state;
	damage_image(&image, false, starts);
	write_file(paths[0], image.bytes, starts[1] + 3);
	write_file(paths[1], image.bytes, image.size);
	read_files(&seen, paths, 2, NULL);
	remove(paths[0]);
	remove(paths[1]);
	assert_int_equal(seen.code, 0);
	assert_int_equal(seen.n, 1 + DAMAGE_FRAMES);
	assert_true(seen.damaged);
	assert_int_equal(seen.notices, 1);
	assert_memory_equal(seen.notice, paths[0], strlen(paths[0]));
}

/* A packed file is unpacked, or refused with the command that does it. */
#if WITH_LIBARCHIVE
#define PACKED PM_E_DAMAGED
#define WORD(command) "unpack"
#else
#define PACKED PM_E_UNSUPPORTED
#define WORD(command) command
#endif

/* Files that can't be opened: the code, and a word of the message. */
static const struct bad_case {
	const char *name, *bytes;
	size_t size;
	int code;
	const char *word;
} bads[] = {
	{ "an empty file is said to be empty", "", 0, PM_E_IO, "empty" },
	{ "text is no capture file", "Dear Sir, here is a text of some length.\n", 41, PM_E_IO, "not a capture file" },
	{ "gzip that breaks off is damage", "\x1f\x8b\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 25, PACKED, WORD("zcat") },
	{ "zstd that breaks off is damage", "\x28\xb5\x2f\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PACKED, WORD("zstdcat") },
	{ "xz that breaks off is damage", "\xfd" "7zXZ\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PACKED, WORD("xzcat") },
	{ "bzip2 that breaks off is damage", "BZh91AY&SY\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PACKED, WORD("bzcat") },
	{ "a file header cut short is damage", "\xd4\xc3\xb2\xa1\x02\0\x04\0", 8, PM_E_DAMAGED, "file header, at byte 8" },
};

static void bad_case_holds(void **state)
{
	const struct bad_case *row = *state;
	const char *path = path_of("bad");
	struct seen seen;

	write_file(path, row->bytes, row->size);
	open_files(&seen, &path, 1, NULL);
	remove(path);
	assert_int_equal(seen.code, row->code);
	assert_null(seen.capture);
	assert_string_equal(seen.err.file, path);
	if (!strstr(seen.err.text, row->word))
		fail_msg("no \"%s\" in: %s", row->word, seen.err.text);
}

static void files_that_are_not_there_or_not_files_are_refused(void **state)
{
	const char *missing = path_of("missing"), *none = "", *directory = folder;
	struct seen seen;

	(void)state;
	open_files(&seen, &missing, 1, NULL);
	assert_int_equal(seen.code, PM_E_IO);
	assert_string_equal(seen.err.file, missing);
	assert_non_null(strstr(seen.err.text, "No such file"));
	open_files(&seen, &none, 1, NULL);
	assert_int_equal(seen.code, PM_E_IO);
	open_files(&seen, &directory, 1, NULL);
	assert_int_equal(seen.code, PM_E_IO);
	assert_non_null(strstr(seen.err.text, "folder without a file"));
	open_files(&seen, NULL, 0, NULL);
	assert_int_equal(seen.code, PM_E_INVALID);
	pm_capture_close(NULL);
}

static void a_bad_file_among_good_ones_is_refused_at_once(void **state)
{
	const char *paths[] = { path_of("a"), path_of("missing") };
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, 1);
	write_file(paths[0], image.bytes, image.size);
	open_files(&seen, paths, 2, NULL);
	remove(paths[0]);
	assert_int_equal(seen.code, PM_E_IO);
	assert_string_equal(seen.err.file, paths[1]);
}

static void ip4_frame(struct image *image, uint32_t seconds, uint8_t protocol, unsigned dst_port)
{
	uint8_t bytes[TRAFFIC_SIZE];

	traffic_ip4(bytes, protocol, 40000, dst_port, 0);
	pcap_frame(image, seconds, 0, bytes, TRAFFIC_SIZE, TRAFFIC_SIZE);
}

static void a_filter_leaves_frames_out_but_numbers_them(void **state)
{
	const char *path = path_of("a");
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, LINKTYPE_RAW);
	ip4_frame(&image, 1, 17, 53);
	ip4_frame(&image, 2, 6, 80);
	ip4_frame(&image, 3, 17, 123);
	ip4_frame(&image, 4, 17, 53);
	write_file(path, image.bytes, image.size);
	read_files(&seen, &path, 1, "udp port 53");
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.looked_at, 4);
	assert_int_equal(seen.frames[0].number, 1);
	assert_int_equal(seen.frames[1].number, 4);
	read_files(&seen, &path, 1, "icmp");
	assert_int_equal(seen.n, 0);
	assert_int_equal(seen.looked_at, 4);
	open_files(&seen, &path, 1, "udp pork 53");
	assert_int_equal(seen.code, PM_E_FILTER);
	assert_non_null(strstr(seen.err.text, "udp pork 53"));
	remove(path);
}

static void a_filter_is_compiled_for_each_link_type(void **state)
{
	static const char ethernet[] = "\0\0\x5e\0\x53\x02\0\0\x5e\0\x53\x01\x08\0";
	const char *paths[] = { path_of("a"), path_of("b") };
	uint8_t bytes[14 + TRAFFIC_SIZE];
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, LINKTYPE_RAW);
	ip4_frame(&image, 1, 17, 53);
	ip4_frame(&image, 2, 17, 54);
	write_file(paths[0], image.bytes, image.size);
	pcap_begin(&image, false, MICRO, 96, 1);
	memcpy(bytes, ethernet, 14);
	for (unsigned i = 0; i < 2; i++) {
		traffic_ip4(bytes + 14, 17, 40000, 53 + i, 0);
		pcap_frame(&image, 3 + i, 0, bytes, sizeof bytes, sizeof bytes);
	}
	write_file(paths[1], image.bytes, image.size);
	read_files(&seen, paths, 2, "udp port 53");
	remove(paths[0]);
	remove(paths[1]);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.frames[0].linktype, LINKTYPE_RAW);
	assert_int_equal(seen.frames[1].linktype, 1);
}

static void a_filter_can_be_checked_without_a_capture(void **state)
{
	struct pm_error err = { .line = 0 };

	(void)state;
	assert_int_equal(pm_capture_check_filter("tcp port 80 or vlan", &err), PM_OK);
	assert_int_equal(err.text[0], 0);
	assert_int_equal(pm_capture_check_filter("tcp pork 80", &err), PM_E_FILTER);
	assert_true(err.text[0] != '\0');
	assert_int_equal(pm_capture_check_filter("(", NULL), PM_E_FILTER);
}

/* One that libpcap compiles in no time, so that it must be its length. */
static void a_filter_that_would_take_forever_is_refused(void **state)
{
	static char text[16386];
	struct pm_error err = { .line = 0 };

	(void)state;
	memset(text, ' ', sizeof text - 1);
	memcpy(text, "tcp", 3);
	assert_int_equal(pm_capture_check_filter(text, &err), PM_E_FILTER);
	assert_non_null(strstr(err.text, "16384 bytes"));
	text[16384] = '\0';
	assert_int_equal(pm_capture_check_filter(text, NULL), PM_OK);
}

/* Two files, and the facts that the stream may give. */
static const struct fact_case {
	const char *name;
	uint32_t links[2], snaplens[2];
	const char *link;
	int snaplen;
} facts[] = {
	{ "files that agree share link type and snap length", { 1, 1 }, { 96, 96 }, "EN10MB", 96 },
	{ "files of different snap length have none", { 1, 1 }, { 96, 128 }, "EN10MB", -1 },
	{ "files of different link type have none", { 1, 228 }, { 96, 96 }, NULL, 96 },
	{ "files that differ in both have neither", { 1, 228 }, { 96, 128 }, NULL, -1 },
	{ "raw ip is link type RAW", { 101, 101 }, { 96, 96 }, "RAW", 96 },
};

static void fact_case_holds(void **state)
{
	const struct fact_case *row = *state;
	const char *paths[] = { path_of("a"), path_of("b") };
	struct pm_capture_counts counts = { .received_known = true };
	struct image image;
	struct seen seen;

	for (size_t f = 0; f < 2; f++) {
		pcap_begin(&image, false, MICRO, row->snaplens[f], row->links[f]);
		write_file(paths[f], image.bytes, image.size);
	}
	open_files(&seen, paths, 2, "ip");
	remove(paths[0]);
	remove(paths[1]);
	assert_int_equal(seen.code, PM_OK);
	assert_string_equal(pm_capture_name(seen.capture), paths[0]);
	assert_string_equal(pm_capture_source(seen.capture, 0)->filter, "ip");
	assert_int_equal(pm_capture_files(seen.capture), 2);
	assert_false(pm_capture_live(seen.capture));
	if (row->link)
		assert_string_equal(pm_capture_source(seen.capture, 0)->link, row->link);
	else
		assert_null(pm_capture_source(seen.capture, 0)->link);
	assert_int_equal(pm_capture_source(seen.capture, 0)->snaplen, row->snaplen);
	pm_capture_count(seen.capture, 0, &counts);
	assert_false(counts.received_known || counts.dropped_kernel_known ||
		     counts.dropped_interface_known);
	pm_capture_wait(seen.capture, 1000000); /* not for files: returns at once */
	pm_capture_close(seen.capture);
}

static void no_more_frames_are_looked_at_than_asked_for(void **state)
{
	const char *path = path_of("a");
	struct image image;
	struct seen seen;

	(void)state;
	pcap_begin(&image, false, MICRO, 96, 1);
	for (uint32_t i = 0; i < 5; i++)
		pcap_frame(&image, i, 0, "x", 1, 60);
	write_file(path, image.bytes, image.size);
	open_files(&seen, &path, 1, NULL);
	assert_int_equal(pm_capture_dispatch(seen.capture, 2, on_frame, &seen, NULL), 2);
	assert_int_equal(seen.n, 2);
	assert_int_equal(pm_capture_dispatch(seen.capture, 100, on_frame, &seen, NULL), 3);
	assert_int_equal(pm_capture_dispatch(seen.capture, 100, on_frame, &seen, NULL), 0);
	assert_int_equal(pm_capture_dispatch(seen.capture, 100, on_frame, &seen, NULL), 0);
	pm_capture_close(seen.capture);
	remove(path);
}

#define LONG_FRAMES 400
#define LONG_FRAME 60001

/* Each frame bears its number at both ends. */
static void on_long_frame(void *ctx, const struct pm_frame *frame)
{
	uint32_t *n = ctx, first, last;

	assert_int_equal(frame->held, LONG_FRAME);
	memcpy(&first, frame->bytes, sizeof first);
	memcpy(&last, frame->bytes + LONG_FRAME - sizeof last, sizeof last);
	assert_int_equal(first, *n);
	assert_int_equal(last, *n);
	assert_int_equal(frame->number, ++*n);
}

/* 24 MB: its window becomes larger on the way. */
static void a_long_file_is_read_whole(void **state)
{
	const char *path = path_of("long");
	struct seen seen;
	uint32_t n = 0;
	FILE *file = fopen(path, "w");

	(void)state;
	assert_non_null(file);
	for (uint32_t i = 0; i < LONG_FRAMES; i++) {
		uint8_t bytes[LONG_FRAME] = { 0 };
		struct image image = { .size = 0 };

		if (i == 0)
			pcap_begin(&image, false, MICRO, 65535, 1);
		pcap_frame(&image, i, 0, "", 0, LONG_FRAME);
		image.size -= 8;
		put(&image, LONG_FRAME, 4);
		put(&image, LONG_FRAME, 4);
		memcpy(bytes, &i, sizeof i);
		memcpy(bytes + LONG_FRAME - sizeof i, &i, sizeof i);
		assert_int_equal(fwrite(image.bytes, 1, image.size, file), image.size);
		/* the last one lacks a byte */
		assert_int_equal(fwrite(bytes, 1, LONG_FRAME - (i == LONG_FRAMES - 1), file),
				 LONG_FRAME - (i == LONG_FRAMES - 1));
	}
	assert_int_equal(fclose(file), 0);
	open_files(&seen, &path, 1, NULL);
	while (pm_capture_dispatch(seen.capture, 100, on_long_frame, &n, &seen.err) > 0)
		continue;
	pm_capture_close(seen.capture);
	remove(path);
	assert_int_equal(n, LONG_FRAMES - 1);
	notice_names(&seen, LONG_FRAMES, 24 + (LONG_FRAMES - 1) * (16 + LONG_FRAME));
}

/* Standard input as a pipe with @size bytes in it, closed behind them. */
static int stdin_as_pipe(const void *bytes, size_t size)
{
	int ends[2], saved = dup(STDIN_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], bytes, size), size);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	close(ends[1]);
	return saved;
}

static void stdin_back(int saved)
{
	if (saved >= 0) {
		dup2(saved, STDIN_FILENO);
		close(saved);
	}
}

static void a_pipe_on_standard_input_is_read(void **state)
{
	const char *path = "-";
	size_t starts[DAMAGE_FRAMES + 1];
	struct image image;
	struct seen seen;
	int saved;

	(void)state;
	for (int ng = 0; ng < 2; ng++) {
		damage_image(&image, ng, starts);
		saved = stdin_as_pipe(image.bytes, image.size);
		read_files(&seen, &path, 1, NULL);
		stdin_back(saved);
		assert_int_equal(seen.code, 0);
		assert_int_equal(seen.n, DAMAGE_FRAMES);
		assert_false(seen.damaged);
	}
}

static void damage_in_a_pipe_is_located(void **state)
{
	const char *path = "-";
	size_t starts[DAMAGE_FRAMES + 1];
	struct image image;
	struct seen seen;
	int saved;

	(void)state;
	damage_image(&image, false, starts);
	saved = stdin_as_pipe(image.bytes, image.size - 1);
	read_files(&seen, &path, 1, NULL);
	stdin_back(saved);
	assert_int_equal(seen.n, DAMAGE_FRAMES - 1);
	assert_true(seen.damaged);
	notice_names(&seen, DAMAGE_FRAMES, starts[DAMAGE_FRAMES - 1]);
}

static void a_compressed_or_empty_pipe_is_named(void **state)
{
	const char *path = "-";
	struct seen seen;
	int saved = stdin_as_pipe(bads[2].bytes, bads[2].size);

	(void)state;
	open_files(&seen, &path, 1, NULL);
	stdin_back(saved);
	assert_int_equal(seen.code, bads[2].code);
	assert_non_null(strstr(seen.err.text, bads[2].word));
	saved = stdin_as_pipe("", 0);
	open_files(&seen, &path, 1, NULL);
	stdin_back(saved);
	assert_int_equal(seen.code, PM_E_IO);
	assert_non_null(strstr(seen.err.text, "empty"));
}

/* Bytes that are no UTF-8 all become the same character, which makes no namesakes. */
static void sources_have_names_in_utf8_and_of_their_own(void **state)
{
	static const char names[2][4] = { "a\xff", "a\xfe" };
	const char *path = path_of("caf\xe9");
	struct image image;
	struct seen seen;

	(void)state;
	pcapng_begin(&image, false, 1, 0);
	image.size = 28; /* interfaces with names instead */
	for (size_t i = 0; i < COUNT(names); i++) {
		block_begin(&image, 1, 32);
		put(&image, 1, 2);
		put(&image, 0, 2);
		put(&image, 96, 4);
		put(&image, 2, 2);
		put(&image, 2, 2);
		put_bytes(&image, names[i], 4);
		put(&image, 0, 4);
		put(&image, 32, 4);
	}
	for (uint8_t i = 0; i < COUNT(names); i++) {
		size_t begin = image.size;

		pcapng_frame(&image, 1, "x", 1, 60);
		image.bytes[begin + 8] = i;
	}
	write_file(path, image.bytes, image.size);
	open_files(&seen, &path, 1, NULL);
	read_on(&seen, 10);
	assert_int_equal(seen.n, 2);
	assert_string_equal(pm_capture_name(seen.capture), path); /* what was opened */
	assert_string_equal(pm_capture_source(seen.capture, 0)->name, "a\xef\xbf\xbd");
	assert_int_equal(pm_capture_sources(seen.capture), 2);
	assert_string_equal(pm_capture_source(seen.capture, 1)->name, "a\xef\xbf\xbd #2");
	pm_capture_close(seen.capture);
	pcap_begin(&image, false, MICRO, 96, 1);
	pcap_frame(&image, 1, 0, "x", 1, 60);
	write_file(path, image.bytes, image.size);
	open_files(&seen, &path, 1, NULL);
	read_on(&seen, 10);
	remove(path);
	assert_non_null(strstr(pm_capture_source(seen.capture, 0)->name, "/caf\xef\xbf\xbd"));
	pm_capture_close(seen.capture);
}

static const struct CMUnitTest others[] = {
	cmocka_unit_test(sources_have_names_in_utf8_and_of_their_own),
	cmocka_unit_test(time_stamps_of_any_value_are_taken),
	cmocka_unit_test(a_frame_of_no_bytes_is_a_frame),
	cmocka_unit_test(files_are_merged_by_time),
	cmocka_unit_test(a_file_that_goes_back_in_time_keeps_its_own_order),
	cmocka_unit_test(many_files_are_one_stream),
	cmocka_unit_test(progress_is_that_of_all_files),
	cmocka_unit_test(a_pcap_cut_anywhere_gives_all_whole_frames),
	cmocka_unit_test(a_pcapng_cut_anywhere_gives_all_whole_frames),
	cmocka_unit_test(a_damaged_byte_of_a_pcap_costs_nothing_before_it),
	cmocka_unit_test(a_damaged_byte_of_a_pcapng_costs_nothing_before_it),
	cmocka_unit_test(one_damaged_file_does_not_end_the_others),
	cmocka_unit_test(files_that_are_not_there_or_not_files_are_refused),
	cmocka_unit_test(a_bad_file_among_good_ones_is_refused_at_once),
	cmocka_unit_test(a_filter_leaves_frames_out_but_numbers_them),
	cmocka_unit_test(a_filter_is_compiled_for_each_link_type),
	cmocka_unit_test(a_filter_can_be_checked_without_a_capture),
		cmocka_unit_test(a_filter_that_would_take_forever_is_refused),
	cmocka_unit_test(no_more_frames_are_looked_at_than_asked_for),
	cmocka_unit_test(a_long_file_is_read_whole),
	cmocka_unit_test(a_pipe_on_standard_input_is_read),
	cmocka_unit_test(damage_in_a_pipe_is_located),
	cmocka_unit_test(a_compressed_or_empty_pipe_is_named),
};

#define ADD(rows, holds)                                                                      \
	for (size_t i = 0; i < COUNT(rows); i++)                                              \
	tests[n++] = (struct CMUnitTest){ rows[i].name, holds, NULL, NULL,                    \
					  (void *)(uintptr_t)&rows[i] }

int main(void)
{
	struct CMUnitTest tests[COUNT(forms) + COUNT(bads) + COUNT(facts) + COUNT(others)];
	size_t n = 0;

	ADD(forms, form_case_holds);
	ADD(bads, bad_case_holds);
	ADD(facts, fact_case_holds);
	memcpy(tests + n, others, sizeof others);
	return _cmocka_run_group_tests("capture", tests, COUNT(tests), load, unload);
}
