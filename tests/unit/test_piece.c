/* SPDX-License-Identifier: MIT */
/* Files that are mapped: what goes of them meanwhile is found out, and never a signal's death. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "piece.h"
#include "portmeter/capture.h"

/* Of the files: frames, and bytes of each. */
#define FRAMES 20000
#define SMALL 60
#define FRAMES_LARGE 400
#define LARGE 9000

static char path[300], late[320]; /* late: one frame, behind all others in time */
static size_t page;
static struct sigaction ours; /* the handler of pieces, in place of which each test has cmocka's */

static int load(void **state)
{
	const char *parent = getenv("TMPDIR");
	int fd;

	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof path, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	fd = mkstemp(path);
	snprintf(late, sizeof late, "%s.late", path);
	return fd < 0 ? -1 : close(fd);
}

static int unload(void **state)
{
	(void)state;
	unlink(late);
	return unlink(path);
}

/* A file of so many pages, each of whose bytes tell which it is. */
static int open_pages(size_t pages)
{
	int fd = open(path, O_RDWR | O_TRUNC);
	uint8_t *bytes = malloc(page);

	assert_true(fd >= 0);
	assert_non_null(bytes);
	for (size_t i = 0; i < pages; i++) {
		memset(bytes, (int)i + 1, page);
		assert_int_equal(write(fd, bytes, page), page);
	}
	free(bytes);
	return fd;
}

static void a_piece_holds_a_part_of_a_file(void **state)
{
	int fd = open_pages(5);
	struct pm_piece *piece = pm_piece_new();
	const uint8_t *bytes;

	(void)state;
	assert_non_null(piece);
	for (size_t at = 0; at < 4; at++) {
		bytes = pm_piece_map(piece, fd, at * page, 2 * page);
		assert_non_null(bytes);
		assert_int_equal(bytes[0], at + 1);
		assert_int_equal(bytes[2 * page - 1], at + 2);
		assert_true(pm_piece_holds(piece, bytes, 2 * page));
	}
	pm_piece_free(piece);
	pm_piece_free(NULL);
	close(fd);
}

static void what_cannot_be_mapped_is_said(void **state)
{
	int fd = open_pages(2), ends[2];
	struct pm_piece *piece = pm_piece_new();

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_null(pm_piece_map(piece, ends[0], 0, page));
	assert_null(pm_piece_map(piece, fd, 0, SIZE_MAX / page * page));
	/* behind the file's end, where the system can be asked to bring what there is */
	assert_null(pm_piece_map(piece, fd, 0, 4 * page));
	assert_non_null(pm_piece_map(piece, fd, 0, 2 * page));
	pm_piece_free(piece);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

static void pieces_are_bounded_and_come_back(void **state)
{
	struct pm_piece *pieces[PM_PIECES_MAX];

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < PM_PIECES_MAX; i++) {
			pieces[i] = pm_piece_new();
			assert_non_null(pieces[i]);
		}
		assert_null(pm_piece_new());
		for (size_t i = 0; i < PM_PIECES_MAX; i++)
			pm_piece_free(pieces[i]);
	}
}

static void a_page_that_has_gone_loses_its_piece_alone(void **state)
{
	int fd = open_pages(5);
	struct pm_piece *piece = pm_piece_new(), *other = pm_piece_new();
	const uint8_t *bytes = pm_piece_map(piece, fd, 0, 5 * page);
	const uint8_t *others = pm_piece_map(other, fd, 0, 2 * page);

	(void)state;
	sigaction(SIGBUS, &ours, NULL);
	assert_int_equal(ftruncate(fd, (off_t)(2 * page + 10)), 0);
	assert_true(pm_piece_holds(piece, bytes, 2 * page + 10));
	/* of the last page there is all, so nothing tells of it */
	assert_int_equal(bytes[2 * page + 10], 0);
	assert_true(pm_piece_held(pm_piece_lost(piece), bytes + 3 * page - 1));
	assert_false(pm_piece_held(pm_piece_lost(piece), bytes + 3 * page));
	assert_int_equal(bytes[5 * page - 1], 0);
	assert_int_equal(bytes[page], 2);
	assert_false(pm_piece_holds(piece, bytes, 1));
	assert_true(pm_piece_holds(other, others, 2 * page));
	pm_piece_free(piece);
	pm_piece_free(other);
	piece = pm_piece_new();
	assert_int_equal(*pm_piece_lost(piece), 0);
	pm_piece_free(piece);
	close(fd);
}

static void on_other_bus(int number)
{
	_exit(number == SIGBUS ? 3 : 4);
}

static void on_other_bus_with_place(int number, siginfo_t *info, void *context)
{
	_exit(number == SIGBUS && info && context ? 5 : 6);
}

static void on_other_bus_once(int number)
{
	raise(number);
}

enum handler {
	BY_DEFAULT,
	IGNORED,
	WITH_A_HANDLER,
	WITH_A_HANDLER_OF_PLACES,
	WITH_A_HANDLER_FOR_ONCE,
};

/*
 * A process of its own, in which a handler can be there before that of pieces: gets a SIGBUS that
 * is of none, by a fault or sent.
 */
static int child(enum handler handler, bool sent, const char *empty)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	int fd = open(empty, O_RDONLY | O_CREAT | O_TRUNC, 0600);
	const volatile uint8_t *bytes;
	struct pm_piece *piece;

	if (handler == IGNORED)
		action.sa_handler = SIG_IGN;
	if (handler == WITH_A_HANDLER)
		action.sa_handler = on_other_bus;
	if (handler == WITH_A_HANDLER_OF_PLACES) {
		action.sa_sigaction = on_other_bus_with_place;
		action.sa_flags = SA_SIGINFO;
	}
	if (handler == WITH_A_HANDLER_FOR_ONCE) {
		action.sa_handler = on_other_bus_once;
		action.sa_flags = (int)SA_RESETHAND;
	}
	sigaction(SIGBUS, &action, NULL);
	piece = pm_piece_new();
	alarm(20); /* handlers that call each other would do so for ever */
	if (sent) { /* and tells of a place within a piece, as it may by chance */
		siginfo_t info = { .si_code = SI_QUEUE };
		int own = open("/proc/self/exe", O_RDONLY);

		info.si_addr = pm_piece_map(piece, own, 0, (size_t)sysconf(_SC_PAGESIZE));
		syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
		return info.si_addr ? 7 : 8;
	}
	bytes = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_PRIVATE, fd, 0);
	return piece && bytes[0] ? 1 : 2;
}

static int end_of_child(enum handler handler, bool sent)
{
	char how[2] = { (char)('0' + handler), 0 };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/proc/self/exe", "test_piece", how, sent ? "sent" : "fault", path, NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_signal_of_something_else_is_passed_on(void **state)
{
	(void)state;
	for (int sent = 0; sent < 2; sent++) {
		assert_int_equal(end_of_child(BY_DEFAULT, sent), -SIGBUS);
		assert_int_equal(end_of_child(IGNORED, sent), sent ? 7 : -SIGBUS);
		assert_int_equal(end_of_child(WITH_A_HANDLER, sent), 3);
		assert_int_equal(end_of_child(WITH_A_HANDLER_OF_PLACES, sent), 5);
		assert_int_equal(end_of_child(WITH_A_HANDLER_FOR_ONCE, sent), -SIGBUS);
	}
}

static void put(FILE *file, uint32_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		fputc((int)(value >> 8 * i & 0xff), file);
}

/* How the records of a file are. */
struct form {
	bool ng;
	uint32_t held, frames;
	size_t first, head, tail; /* bytes before all, and of a record around its frame */
};

static const struct form forms[] = {
	{ false, SMALL, FRAMES, 24, 16, 0 },
	{ true, SMALL, FRAMES, 48, 28, 4 },
	{ false, LARGE, FRAMES_LARGE, 24, 16, 0 },
	{ true, LARGE, FRAMES_LARGE, 48, 28, 4 },
};

#define FORMS (sizeof forms / sizeof *forms)

static size_t record_of(const struct form *form)
{
	return form->head + form->held + form->tail;
}

/* Frame @number is so many seconds behind 1970. */
static void put_record(FILE *file, const struct form *form, uint32_t number)
{
	if (form->ng) {
		put(file, 6, 4);
		put(file, (uint32_t)record_of(form), 4);
		put(file, 0, 4);
		put(file, (uint32_t)((uint64_t)number * 1000000 >> 32), 4);
		put(file, number * 1000000, 4);
	} else {
		put(file, number, 4);
		put(file, 0, 4);
	}
	put(file, form->held, 4);
	put(file, form->held, 4);
	for (uint32_t i = 0; i < form->held; i++)
		fputc(0xff, file);
	if (form->ng)
		put(file, (uint32_t)record_of(form), 4);
}

static void write_capture(const char *name, const struct form *form, uint32_t from, uint32_t to)
{
	static const uint32_t pcapng[] = { 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, UINT32_MAX, UINT32_MAX,
					   28, 1, 20, 1, 0, 20 };
	static const uint32_t pcap[] = { 0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1 };
	FILE *file = fopen(name, "wb");

	assert_non_null(file);
	for (size_t i = 0; i < form->first / 4; i++)
		put(file, form->ng ? pcapng[i] : pcap[i], 4);
	for (uint32_t number = from; number <= to; number++)
		put_record(file, form, number);
	assert_int_equal(fclose(file), 0);
}

static void write_all(const struct form *form)
{
	write_capture(path, form, 1, form->frames);
}

/* Frames so far, and of them those that are not as they were written. */
struct seen {
	uint32_t held;
	uint64_t n, bad;
};

static void on_frame(void *ctx, const struct pm_frame *frame)
{
	struct seen *seen = ctx;
	bool good = frame->held == seen->held && frame->wire == seen->held &&
		    frame->number == seen->n + 1 &&
		    frame->time_ns == (int64_t)frame->number * PM_NS_PER_S;

	seen->n++;
	for (uint32_t i = 0; i < frame->held; i++)
		good = good && frame->bytes[i] == 0xff;
	seen->bad += !good;
}

static char said[500]; /* the last notice */

static void on_notice(void *ctx, const char *text)
{
	(void)ctx;
	snprintf(said, sizeof said, "%s", text);
}

static struct pm_capture *open_capture(bool map, size_t files)
{
	const struct pm_capture_options options = {
		.map = map, .block = 16 * page, .notice = on_notice
	};
	const char *const paths[] = { path, late };
	struct pm_capture *capture = NULL;
	struct pm_error err;

	said[0] = '\0'; /* what was said of another says nothing of this one */
	assert_int_equal(pm_capture_open_files(paths, files, &options, &err, &capture), PM_OK);
	return capture;
}

static bool is_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[500];
	bool found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		found = found || strstr(line, path);
	fclose(maps);
	return found;
}

/* Half of the file is read by then. */
static struct pm_capture *open_half(bool map, size_t files, const struct form *form,
				    struct seen *seen)
{
	struct pm_capture *capture = open_capture(map, files);
	int half = (int)form->frames / 2;
	struct pm_error err;

	*seen = (struct seen){ .held = form->held };
	assert_int_equal(pm_capture_dispatch(capture, half, on_frame, seen, &err), half);
	return capture;
}

static void what_others_may_write_to_is_read(void **state)
{
	static const struct {
		mode_t mode;
		bool map, mapped;
	} ways[] = {
		{ 0600, true, true },
		{ 0444, true, true },
		{ 0600, false, false },
		{ 0660, true, false },
		{ 0606, true, false },
		{ 0602, true, false },
	};

	(void)state;
	write_all(&forms[0]);
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct pm_capture *capture;
		struct pm_error err;
		struct seen seen;

		assert_int_equal(chmod(path, ways[i].mode), 0);
		capture = open_half(ways[i].map, 1, &forms[0], &seen);
		assert_int_equal(is_mapped(), ways[i].mapped);
		while (pm_capture_dispatch(capture, 999, on_frame, &seen, &err) > 0)
			continue;
		assert_int_equal(seen.n, FRAMES);
		assert_int_equal(seen.bad, 0);
		pm_capture_close(capture);
		assert_false(is_mapped());
	}
	assert_int_equal(chmod(path, 0600), 0);
}

/* What is said of a file that somebody has cut off, behind @n frames. */
static void assert_shrunk(const struct pm_capture *capture, uint64_t n)
{
	char text[100];

	snprintf(text, sizeof text, ": has become shorter while it was read; the %llu frames so far",
		 (unsigned long long)n);
	assert_non_null(strstr(said, text));
	assert_true(pm_capture_damaged(capture));
}

/*
 * Wherever a file that is being read is cut off, frames before the cut count, and what comes then
 * is said and no frame.
 */
static void shrinks_at(const struct form *form, size_t size)
{
	uint64_t whole = size < form->first ? 0 : (size - form->first) / record_of(form);
	/* one that begins before the cut may be taken for whole, but not without its page */
	uint64_t more = size % page != 0;
	struct pm_capture *capture;
	struct pm_error err;
	struct seen seen;
	int n;

	write_all(form);
	capture = open_half(true, 1, form, &seen);
	assert_true(is_mapped());
	assert_int_equal(truncate(path, (off_t)size), 0);
	do
		n = pm_capture_dispatch(capture, 10, on_frame, &seen, &err);
	while (n > 0);
	assert_int_equal(n, 0);
	assert_shrunk(capture, seen.n);
	if (whole < form->frames / 2)
		whole = form->frames / 2;
	assert_in_range(seen.n, whole, whole + more);
	assert_in_range(seen.bad, 0, seen.n - whole);
	pm_capture_close(capture);
}

static void a_file_that_shrinks_is_damaged(void **state)
{
	(void)state;
	sigaction(SIGBUS, &ours, NULL);
	for (size_t i = 0; i < FORMS; i++) {
		const struct form *form = &forms[i];
		size_t record = record_of(form), half = form->first + form->frames / 2 * record;

		/* of what is mapped then, within a record, and where pages end */
		for (size_t cut = 0; cut < 2 * record; cut += record / 25)
			shrinks_at(form, half + 2 * record + cut);
		for (size_t pages = 1; pages < 16; pages++)
			shrinks_at(form, half / page * page + pages * page);
		/* and far from it */
		shrinks_at(form, half - record);
		shrinks_at(form, 0);
		shrinks_at(form, half + form->frames / 3 * record);
		shrinks_at(form, half + (form->frames / 2 - 1) * record);
	}
}

/* The first frame of a pcapng file is found when it is opened, in what is mapped. */
static void a_file_that_shrinks_before_its_first_frame_has_none(void **state)
{
	/* far from it, and in the same page: the last two within its block */
	static const off_t sizes[] = { 0, 7000, 100040, 100048, 100048 + 4, 100048 + 20 };
	struct seen seen = { .held = SMALL };
	struct pm_capture *capture;
	struct pm_error err;
	FILE *file;

	(void)state;
	sigaction(SIGBUS, &ours, NULL);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		write_capture(path, &forms[1], 1, 0);
		file = fopen(path, "ab");
		assert_non_null(file);
		put(file, 0xbad, 4); /* a block that nobody knows, and that is passed over */
		put(file, 100000, 4);
		for (size_t at = 0; at < 100000 - 12; at++)
			fputc(1, file);
		put(file, 100000, 4);
		put_record(file, &forms[1], 1);
		for (size_t at = 0; at < 100000; at++)
			fputc(0, file);
		fclose(file);
		capture = open_capture(true, 1);
		assert_true(is_mapped());
		assert_int_equal(truncate(path, sizes[i]), 0);
		assert_int_equal(pm_capture_dispatch(capture, 10, on_frame, &seen, &err), 0);
		assert_int_equal(seen.n, 0);
		assert_shrunk(capture, 0);
		pm_capture_close(capture);
	}
}

static void one_that_shrinks_does_not_stop_the_others(void **state)
{
	const struct form *form = &forms[0];
	struct pm_capture *capture;
	struct pm_error err;
	struct seen seen;
	uint64_t n;

	(void)state;
	write_all(form);
	write_capture(late, form, form->frames + 1, form->frames + 2);
	capture = open_half(true, 2, form, &seen);
	assert_false(is_mapped());
	assert_int_equal(truncate(path, 0), 0);
	n = seen.n;
	while (pm_capture_dispatch(capture, 10, on_frame, &seen, &err) > 0)
		continue;
	/* what was in the window, and both of the other */
	assert_in_range(seen.n, n + 2, form->frames - 1);
	assert_int_equal(seen.bad, 2); /* their numbers are not those of their times */
	assert_shrunk(capture, seen.n - 2);
	pm_capture_close(capture);
}

/* Such a signal that is blocked would end the process. */
static void a_thread_that_maps_lets_the_signal_through(void **state)
{
	sigset_t bus, old;

	(void)state;
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	sigprocmask(SIG_BLOCK, &bus, NULL);
	sigaction(SIGBUS, &ours, NULL);
	shrinks_at(&forms[0], 0);
	sigprocmask(SIG_UNBLOCK, &bus, &old);
	assert_false(sigismember(&old, SIGBUS));
}

/* The same where blocks are read, and frames by themselves between them. */
static void a_file_that_shrinks_is_damaged_in_blocks(void **state)
{
	const struct form *form = &forms[0];
	struct seen seen = { .held = form->held };
	struct pm_capture *capture;
	struct pm_error err = { .line = 0 };
	struct pm_block *block;
	uint64_t then = 0;
	int n = 1;

	(void)state;
	sigaction(SIGBUS, &ours, NULL);
	write_all(form);
	capture = open_capture(true, 1);
	assert_int_equal(pm_block_new(capture, &block), PM_OK);
	assert_int_equal(pm_capture_dispatch(capture, 2000, on_frame, &seen, &err), 2000);
	assert_true(is_mapped());
	while (n > 0) {
		bool stopped = false;

		while (!stopped) {
			pm_block_claim(block);
			pm_block_fetch(block);
			pm_block_take(block, 0, UINT64_MAX, 300, &stopped);
			pm_block_each(block, on_frame, &seen);
		}
		n = pm_capture_dispatch(capture, 10, on_frame, &seen, &err);
		assert_false(is_mapped()); /* by whatever thread has the turn */
		if (then == 0 && seen.n > form->frames / 4) {
			then = seen.n;
			assert_int_equal(truncate(path, (off_t)(then * record_of(form))), 0);
		}
	}
	assert_int_equal(n, 0);
	assert_shrunk(capture, seen.n);
	/* what was in the window, or in the block, came before */
	assert_in_range(seen.n, then, form->frames / 2);
	assert_int_equal(seen.bad, 0);
	pm_block_free(block);
	pm_capture_close(capture);
}

/* What has been written to it by then is read as well. */
static void a_file_that_grows_is_read_to_its_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORMS; i++) {
		const struct form *form = &forms[i];
		struct pm_capture *capture;
		struct pm_error err;
		struct seen seen;
		FILE *file;

		write_all(form);
		capture = open_half(true, 1, form, &seen);
		file = fopen(path, "ab");
		assert_non_null(file);
		put_record(file, form, form->frames + 1);
		fclose(file);
		while (pm_capture_dispatch(capture, 999, on_frame, &seen, &err) > 0)
			continue;
		assert_int_equal(seen.n, form->frames + 1);
		assert_int_equal(seen.bad, 0);
		pm_capture_close(capture);
	}
}

/* Two threads would copy large frames, one does not. */
static void large_frames_that_are_mapped_are_for_one_thread(void **state)
{
	(void)state;
	for (size_t i = 0; i < FORMS; i++)
		for (int map = 0; map < 2; map++) {
			struct seen seen = { .held = forms[i].held };
			bool large = forms[i].held == LARGE;
			struct pm_capture *capture;
			struct pm_error err;

			write_all(&forms[i]);
			capture = open_capture(map, 1);
			/* nobody knows yet */
			assert_int_equal(pm_capture_splits(capture, 2), !map);
			assert_true(pm_capture_splits(capture, 3));
			assert_int_equal(pm_capture_dispatch(capture, 1, on_frame, &seen, &err), 1);
			assert_int_equal(pm_capture_splits(capture, 2), !map || !large);
			assert_true(pm_capture_splits(capture, 3));
			pm_capture_close(capture);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_piece_holds_a_part_of_a_file),
		cmocka_unit_test(what_cannot_be_mapped_is_said),
		cmocka_unit_test(pieces_are_bounded_and_come_back),
		cmocka_unit_test(a_page_that_has_gone_loses_its_piece_alone),
		cmocka_unit_test(a_signal_of_something_else_is_passed_on),
		cmocka_unit_test(what_others_may_write_to_is_read),
		cmocka_unit_test(a_file_that_shrinks_is_damaged),
		cmocka_unit_test(a_file_that_shrinks_before_its_first_frame_has_none),
		cmocka_unit_test(one_that_shrinks_does_not_stop_the_others),
		cmocka_unit_test(a_thread_that_maps_lets_the_signal_through),
		cmocka_unit_test(a_file_that_shrinks_is_damaged_in_blocks),
		cmocka_unit_test(a_file_that_grows_is_read_to_its_end),
		cmocka_unit_test(large_frames_that_are_mapped_are_for_one_thread),
	};

	if (argc == 4)
		return child((enum handler)(argv[1][0] - '0'), strcmp(argv[2], "sent") == 0,
			     argv[3]);
	pm_piece_free(pm_piece_new());
	sigaction(SIGBUS, NULL, &ours);
	return cmocka_run_group_tests(tests, load, unload);
}
