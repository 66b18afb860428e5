/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a capture file, read in different ways that must agree:
 *
 *   one thread, and a crew of three that take it in small blocks: the same bytes of JSON;
 *   the own readers, and libpcap's: the same frames, as far as libpcap reads.
 *
 * libpcap refuses more than the own readers do: a pcapng whose interfaces differ in link type or
 * snap length, lengths that are odd, options that are cut. It never delivers more, but for a
 * classic file whose link type has bits that must be zero, which only newer ones refuse. (The
 * quick ways of single frames against the general one are compared by fuzz_frame and fuzz_meter,
 * conversations by fuzz_talk.)
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "portmeter/meter.h"
#include "portmeter/output.h"
#include "require.h"

#define WORKERS 3
#define BLOCK 256

static const char rules_text[] = "domain 53/udp/tcp\nhttp 80/tcp\ninside 53/udp host=192.0.2.0/24\n"
				 "wide 1000-9999/tcp/udp\nweak 5000/tcp priority=10\n";

static struct pm_rules *rules_once(void)
{
	static struct pm_rules *rules;
	struct pm_rules_options options = { .check = false };

	if (!rules)
		REQUIRE(pm_rules_load_text("fuzz.rules", rules_text, strlen(rules_text), &options, NULL,
					   &rules) == PM_OK);
	return rules;
}

/* A file in memory, which has a name. */
struct file {
	int fd;
	char path[64];
};

static void file_make(struct file *file, const uint8_t *data, size_t size)
{
	file->fd = memfd_create("fuzz", MFD_CLOEXEC);
	REQUIRE(file->fd >= 0 && write(file->fd, data, size) == (ssize_t)size);
	REQUIRE(fchmod(file->fd, 0600) == 0); /* what others may write to is not mapped */
	snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
}

/* ---- one thread, or several ---- */

struct run {
	struct pm_meter *meter;
	struct pm_capture *capture;
	struct pm_output *output;
	struct pm_source source;
	char said[512]; /* the notice of damage */
};

static void on_notice(void *ctx, const char *text)
{
	struct run *run = ctx;

	if (!run->said[0])
		snprintf(run->said, sizeof run->said, "%s", text);
}

static void on_closed(void *ctx)
{
	struct run *run = ctx;
	struct pm_tally *tally;
	struct pm_record *record;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		REQUIRE(pm_record_new(tally, &run->source, &record) == PM_OK);
		pm_meter_give(run->meter, tally);
		REQUIRE(pm_output_record(run->output, record, NULL) == PM_OK);
		pm_record_free(record);
	}
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

/* Frames of all interfaces are counted together. */
static void on_frame(void *ctx, const struct pm_frame *frame)
{
	struct run *run = ctx;

	pm_meter_frame(run->meter, frame);
}

struct hand {
	struct pm_crew *crew;
	size_t index;
	pthread_t thread;
};

static void *hand_main(void *ctx)
{
	const struct hand *hand = ctx;

	pm_crew_work(hand->crew, hand->index);
	return NULL;
}

/* As pm_capture_dispatch, to where one must go on. */
static int work_together(struct run *run, struct pm_error *err)
{
	const struct pm_crew_options options = {
		.capture = run->capture,
		.meter = run->meter,
		.workers = WORKERS,
		.due = never,
		.mind = never,
		.frame = on_frame,
		.ctx = run,
	};
	struct hand hands[WORKERS];
	struct pm_crew *crew = NULL;
	int r;

	REQUIRE(pm_crew_new(&options, &crew) == PM_OK);
	for (size_t i = 1; i < WORKERS; i++) {
		hands[i] = (struct hand){ .crew = crew, .index = i };
		REQUIRE(pthread_create(&hands[i].thread, NULL, hand_main, &hands[i]) == 0);
	}
	pm_crew_work(crew, 0);
	for (size_t i = 1; i < WORKERS; i++)
		pthread_join(hands[i].thread, NULL);
	r = pm_crew_end(crew, err);
	pm_crew_free(crew);
	return r == PM_CREW_LEFT ? 1 : r;
}

static void count_all(struct run *run, bool together)
{
	struct pm_error err = { .line = 0 };
	int r;

	do {
		if (together && pm_capture_splits(run->capture, 2)) {
			together = false;
			r = work_together(run, &err);
		} else {
			r = pm_capture_dispatch(run->capture, 2, on_frame, run, &err);
		}
	} while (r > 0);
	REQUIRE(r == 0 || err.text[0]);
	pm_meter_finish(run->meter, 0, r == 0);
}

/* What becomes of the file, as records in @ret_text; and what was said of it. */
static void account(const struct file *file, bool together, struct file *records, char said[512])
{
	struct run run = { .meter = NULL };
	const struct pm_output_options output = { .format = PM_FORMAT_JSON, .path = records->path };
	struct pm_capture_options options = {
		/* what is mapped is for one thread, and large frames then are, too */
		.notice = on_notice, .map = !together, .block = BLOCK, .ctx = &run
	};
	struct pm_meter_options meter = {
		.interval_ns = 10 * PM_NS_PER_S,
		.rules = rules_once(),
		.endpoints = 64,
		.closed = on_closed,
		.ctx = &run,
	};
	const char *path = file->path;
	int r = pm_capture_open_files(&path, 1, &options, NULL, &run.capture);

	said[0] = '\0';
	if (r < 0)
		return;
	REQUIRE(pm_allowance_new(PM_ALLOWANCE_BYTES, &meter.allowance) == PM_OK);
	REQUIRE(pm_meter_new(&meter, &run.meter) == PM_OK);
	REQUIRE(pm_output_open(&output, NULL, &run.output) == PM_OK);
	run.source = (struct pm_source){ .name = "fuzz", .files = 1, .snaplen = -1 };
	count_all(&run, together);
	REQUIRE(pm_output_close(run.output, NULL) == PM_OK);
	pm_meter_free(run.meter);
	pm_capture_close(run.capture);
	pm_allowance_unref(meter.allowance);
	memcpy(said, run.said, sizeof run.said);
}

static size_t size_of(const struct file *file)
{
	struct stat st;

	REQUIRE(fstat(file->fd, &st) == 0);
	return (size_t)st.st_size;
}

static void compare_threads(const struct file *file)
{
	struct file records[2];
	char said[2][512];
	void *text[2];
	size_t size;

	for (int i = 0; i < 2; i++) {
		file_make(&records[i], NULL, 0);
		account(file, i == 1, &records[i], said[i]);
	}
	size = size_of(&records[0]);
	REQUIRE(strcmp(said[0], said[1]) == 0);
	REQUIRE(size == size_of(&records[1]));
	for (int i = 0; size && i < 2; i++) {
		text[i] = mmap(NULL, size, PROT_READ, MAP_PRIVATE, records[i].fd, 0);
		REQUIRE(text[i] != MAP_FAILED);
	}
	REQUIRE(size == 0 || memcmp(text[0], text[1], size) == 0);
	for (int i = 0; i < 2; i++) {
		if (size)
			munmap(text[i], size);
		close(records[i].fd);
	}
}

/* ---- the own readers, and libpcap's ---- */

/* Frames so far, and a digest of them; when @most have come, no more are looked at. */
struct frames {
	uint64_t n, most;
	uint64_t digest;
	bool other_order; /* the file's numbers are in that */
};

/*
 * Of a file in the other byte order, libpcap turns the numbers in these frames round: USB of Linux
 * and NFLOG. Here decoders see to that, where there is something to decode.
 */
static bool is_turned_by_libpcap(const struct frames *frames, uint32_t linktype)
{
	return frames->other_order && (linktype == 189 || linktype == 220 || linktype == 239);
}

/* Whether a file's numbers are not in this machine's byte order; libpcap takes one order only. */
static bool is_in_other_order(const struct file *file)
{
	const uint16_t one = 1;
	const bool big = *(const uint8_t *)&one == 0;
	uint8_t head[12] = { 0 };

	REQUIRE(pread(file->fd, head, sizeof head, 0) >= 0);
	/* a classic file's magic, or that of a pcapng file's first section */
	return big != (head[0] == 0xa1 || (head[0] == 0x0a && head[8] == 0x1a));
}

static void add_frame(void *ctx, const struct pm_frame *frame)
{
	struct frames *frames = ctx;
	const struct pm_hash_key key = { 1, 2 };
	uint64_t facts[] = { frame->number, frame->wire, frame->held, (uint64_t)frame->time_ns,
			     frame->linktype };

	if (frames->n == frames->most)
		return;
	frames->n++;
	frames->digest = frames->digest * 31 + pm_hash(key, facts, sizeof facts);
	if (!is_turned_by_libpcap(frames, frame->linktype))
		frames->digest = frames->digest * 31 + pm_hash(key, frame->bytes, frame->held);
}

static bool read_frames(const struct file *file, bool plain, struct frames *frames)
{
	struct pm_capture_options options = {
		.plain_reader = plain, .map = true, .block = BLOCK
	};
	struct pm_capture *capture = NULL;
	const char *path = file->path;
	struct pm_error err = { .line = 0 };

	if (pm_capture_open_files(&path, 1, &options, NULL, &capture) < 0)
		return false;
	while (pm_capture_dispatch(capture, 100, add_frame, frames, &err) > 0)
		;
	pm_capture_close(capture);
	return true;
}

/* Of the link type in the header of a classic file. */
static bool has_reserved_bits(const struct file *file)
{
	uint8_t head[24];

	REQUIRE(pread(file->fd, head, sizeof head, 0) == sizeof head);
	return head[0] == 0xa1 ? pm_be32(head + 20) & 0x03ff0000 : pm_le32(head + 20) & 0x03ff0000;
}

static void compare_readers(const struct file *file)
{
	struct frames theirs = { .most = UINT64_MAX }, ours = { .most = 0 };

	ours.other_order = theirs.other_order = is_in_other_order(file);
	if (!read_frames(file, true, &theirs) || theirs.n == 0)
		return;
	ours.most = theirs.n;
	if (!read_frames(file, false, &ours)) {
		REQUIRE(has_reserved_bits(file));
		return;
	}
	REQUIRE(ours.n == theirs.n);
	REQUIRE(ours.digest == theirs.digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file file;

	rules_once();
	file_make(&file, data, size);
	blocks_begin();
	compare_readers(&file);
	compare_threads(&file);
	REQUIRE(blocks_end() == 0);
	close(file.fd);
	return 0;
}
