/* SPDX-License-Identifier: MIT */
/* Capture files through libpcap, several as one stream in order of time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture-internal.h"
#include "stream.h"

#define BUFFER_SIZE ((size_t)256 << 10)
/* With many files open at once each gets less, so that memory stays bounded. */
#define MANY_FILES 16
#define BUFFER_SIZE_OF_MANY ((size_t)8 << 10)

/* The longest head without which a file is not yet one: a pcapng section header, no options. */
#define FILE_HEADER_MAX 28

struct file {
	const char *path;
	pcap_t *pcap;
	struct stream stream;
	struct bpf_program program;
	bool filtered, ended;
	uint64_t number; /* frames read of it */
	uint64_t offset; /* where the next record begins; 0: not tracked */
	struct pcap_pkthdr *header; /* of the frame at hand */
	struct pm_frame frame;
};

struct files {
	struct pm_capture head;
	struct file *files;
	char **paths;
	size_t n;
	struct file **heap; /* files with a frame at hand, the earliest first */
	size_t n_heap;
	bool started;
};

static struct files *files_of(struct pm_capture *capture)
{
	return (struct files *)capture; /* the head comes first */
}

/*
 * The classic format has records of 16 bytes and the frame, so a damaged one can be located
 * exactly.
 */
static bool is_classic(const uint8_t magic[6])
{
	static const uint8_t magics[][4] = { { 0xa1, 0xb2, 0xc3, 0xd4 },
					     { 0xd4, 0xc3, 0xb2, 0xa1 },
					     { 0xa1, 0xb2, 0x3c, 0x4d },
					     { 0x4d, 0x3c, 0xb2, 0xa1 } };

	for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
		if (memcmp(magic, magics[i], 4) == 0)
			return true;
	return false;
}

/* Whether the first bytes are those of a capture file, however little follows. */
static bool is_capture(const uint8_t magic[6])
{
	return is_classic(magic) || memcmp(magic, "\x0a\x0d\x0d\x0a", 4) == 0;
}

static const char *compression(const uint8_t magic[6])
{
	static const struct {
		const char *magic;
		size_t size;
		const char *unpack;
	} forms[] = {
		{ "\x1f\x8b", 2, "zcat" },	     { "\x28\xb5\x2f\xfd", 4, "zstdcat" },
		{ "\xfd\x37\x7a\x58\x5a", 5, "xzcat" }, { "\x04\x22\x4d\x18", 4, "lz4cat" },
		{ "BZh", 3, "bzcat" },
	};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (memcmp(magic, forms[i].magic, forms[i].size) == 0)
			return forms[i].unpack;
	return NULL;
}

static int open_failure(const struct file *file, const char *text, struct pm_error *err)
{
	const char *unpack = compression(file->stream.magic);
	uint64_t position = pm_stream_position(&file->stream);

	if (file->stream.error)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "can't read: %s",
				    strerror(file->stream.error));
	if (position == 0)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "is empty: not a capture file");
	if (unpack)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0,
				    "is compressed; unpack it first: %s FILE | portmeter -r -", unpack);
	if (is_capture(file->stream.magic) &&
	    (position < FILE_HEADER_MAX || strncmp(text, "truncated", strlen("truncated")) == 0))
		return pm_error_set(err, PM_E_DAMAGED, file->path, 0, 0,
				    "is cut within the file header, at byte %llu: nothing to read",
				    (unsigned long long)position);
	return pm_error_set(err, PM_E_IO, file->path, 0, 0, "is not a capture file: %s", text);
}

static int file_open(struct files *files, struct file *file,
		     const struct pm_capture_options *options, struct pm_error *err)
{
	size_t buffer_size = files->n > MANY_FILES ? BUFFER_SIZE_OF_MANY : BUFFER_SIZE;
	char text[PCAP_ERRBUF_SIZE] = "";
	int r;

	file->stream.interrupted = options->interrupted;
	file->stream.ctx = options->ctx;
	r = pm_stream_open(&file->stream, file->path, buffer_size, err);
	if (r < 0)
		return r;
	file->pcap = pcap_fopen_offline_with_tstamp_precision(file->stream.file,
							      PCAP_TSTAMP_PRECISION_NANO, text);
	if (!file->pcap) {
		r = open_failure(file, text, err);
		fclose(file->stream.file);
		return r;
	}
	if (is_classic(file->stream.magic))
		file->offset = 24;
	file->frame.linktype = pm_capture_linktype(pcap_datalink(file->pcap));
	if (!options->filter)
		return PM_OK;
	r = pm_capture_compile(files->head.filter, file->pcap, &file->program, err);
	file->filtered = r == PM_OK;
	return r;
}

/* Says where a file stopped making sense. Not an error: what came before counts. */
static int file_damage(struct files *files, struct file *file, struct pm_error *err)
{
	static const char differ[] = "an interface has a"; /* how libpcap begins to say it */
	uint64_t position = pm_stream_position(&file->stream);

	if (file->stream.error || ferror(file->stream.file))
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "can't read on after frame %llu: %s",
				    (unsigned long long)file->number,
				    strerror(file->stream.error ? file->stream.error : EIO));
	if (strncmp(pcap_geterr(file->pcap), differ, strlen(differ)) == 0)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0,
				    "its interfaces differ, which this version can't read: %s; "
				    "the %llu frames before are counted",
				    pcap_geterr(file->pcap), (unsigned long long)file->number);
	files->head.damaged = true;
	pm_capture_notice(&files->head,
		       "%s: damaged in frame %llu at byte %llu: %s; the %llu frames before it are counted",
		       file->path, (unsigned long long)file->number + 1,
		       (unsigned long long)(file->offset ? file->offset : position),
		       pcap_geterr(file->pcap), (unsigned long long)file->number);
	return 0;
}

/* Makes libpcap's frame the file's frame at hand. */
static inline void take(struct file *file, const struct pcap_pkthdr *header, const u_char *bytes)
{
	int64_t seconds = header->ts.tv_sec;

	file->number++;
	if (file->offset) {
		file->offset += 16 + (uint64_t)header->caplen;
		/*
		 * The format's seconds have no sign and reach 2106; libpcap hands them out as if
		 * they had.
		 */
		seconds = (uint32_t)seconds;
	}
	file->frame.bytes = bytes;
	file->frame.held = header->caplen;
	file->frame.wire = header->len;
	file->frame.time_ns = pm_time_make(seconds, header->ts.tv_usec);
}

static inline void deliver(struct files *files, struct file *file, const struct pcap_pkthdr *header)
{
	file->frame.number = ++files->head.number;
	if (file->filtered && !pcap_offline_filter(&file->program, header, file->frame.bytes))
		return;
	files->head.frame(files->head.frame_ctx, &file->frame);
}

/* Reading has come to an end of some kind: 0, or an error. */
static int file_end(struct files *files, struct file *file, int result, struct pm_error *err)
{
	return result == PCAP_ERROR && !file->stream.stopped ? file_damage(files, file, err) : 0;
}

/* Reads the file's next frame. 1: it is at hand; 0: the file has ended; or an error. */
static int file_next(struct files *files, struct file *file, struct pm_error *err)
{
	const u_char *bytes;
	int r = pcap_next_ex(file->pcap, &file->header, &bytes);

	if (r != 1)
		return file_end(files, file, r, err);
	take(file, file->header, bytes);
	return 1;
}

/* Equal times keep the order of the command line. */
static bool is_before(const struct file *a, const struct file *b)
{
	return a->frame.time_ns < b->frame.time_ns ||
	       (a->frame.time_ns == b->frame.time_ns && a < b);
}

static void heap_sink(struct files *files)
{
	struct file **heap = files->heap;
	size_t at = 0;

	for (;;) {
		size_t least = at, child = at * 2 + 1;
		struct file *swap = heap[at];

		if (child < files->n_heap && is_before(heap[child], heap[least]))
			least = child;
		if (child + 1 < files->n_heap && is_before(heap[child + 1], heap[least]))
			least = child + 1;
		if (least == at)
			return;
		heap[at] = heap[least];
		heap[least] = swap;
		at = least;
	}
}

static void heap_add(struct files *files, struct file *file)
{
	struct file **heap = files->heap;
	size_t at = files->n_heap++;

	for (; at > 0 && is_before(file, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = file;
}

static int start(struct files *files, struct pm_error *err)
{
	for (size_t i = 0; i < files->n; i++) {
		int r = files->files[i].pcap ? file_next(files, &files->files[i], err) : 0;

		if (r < 0)
			return r;
		if (r > 0)
			heap_add(files, &files->files[i]);
	}
	files->started = true;
	return PM_OK;
}

static void on_frame(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct files *files = (struct files *)(void *)ctx;
	struct file *file = files->files;

	take(file, header, bytes);
	file->frame.number = file->number;
	files->head.frame(files->head.frame_ctx, &file->frame);
}

static void on_filtered_frame(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct files *files = (struct files *)(void *)ctx;

	take(files->files, header, bytes);
	deliver(files, files->files, header);
}

/* One file needs no merging, and libpcap's own loop is a tenth faster than frame by frame. */
static int dispatch_one(struct files *files, int max, struct pm_error *err)
{
	struct file *file = files->files;
	uint64_t before = file->number;
	int r;

	if (file->ended)
		return 0;
	r = pcap_dispatch(file->pcap, max, file->filtered ? on_filtered_frame : on_frame,
			  (u_char *)files);
	if (r > 0)
		return r;
	file->ended = true;
	r = file_end(files, file, r, err);
	return r < 0 ? r : (int)(file->number - before);
}

static int files_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			  struct pm_error *err)
{
	struct files *files = files_of(capture);
	int n = 0, r;

	capture->frame = frame;
	capture->frame_ctx = ctx;
	if (files->n == 1)
		return dispatch_one(files, max, err);
	if (!files->started) {
		r = start(files, err);
		if (r < 0)
			return r;
	}
	while (n < max && files->n_heap) {
		struct file *file = files->heap[0];

		deliver(files, file, file->header);
		n++;
		r = file_next(files, file, err);
		if (r <= 0)
			files->heap[0] = files->heap[--files->n_heap];
		if (files->n_heap > 1)
			heap_sink(files);
		if (r < 0)
			return r;
	}
	return n;
}

/* A file tells nothing of what its capture received or dropped. */
static void files_count(struct pm_capture *capture, struct pm_capture_counts *ret_counts)
{
	(void)capture;
	*ret_counts = (struct pm_capture_counts){ .received = 0 };
}

static void files_close(struct pm_capture *capture)
{
	struct files *files = files_of(capture);

	for (size_t i = 0; files->files && i < files->n; i++) {
		struct file *file = &files->files[i];

		if (file->filtered)
			pcap_freecode(&file->program);
		if (file->pcap)
			pcap_close(file->pcap);
		pm_stream_fini(&file->stream);
	}
	for (size_t i = 0; files->paths && i < files->n; i++)
		free(files->paths[i]);
	free(files->paths);
	free(files->files);
	free(files->heap);
}

static const struct capture_ops files_ops = { files_dispatch, files_count, files_close };

/* Facts of the stream: those that all files share that could be opened. */
static int describe(struct files *files)
{
	const struct file *first = NULL;
	bool same_link = true;
	char number[32];

	for (size_t i = 0; i < files->n; i++) {
		const struct file *file = &files->files[i];

		if (!file->pcap)
			continue;
		if (!first) {
			first = file;
			files->head.snaplen = pcap_snapshot(file->pcap);
		}
		same_link &= file->frame.linktype == first->frame.linktype;
		if (pcap_snapshot(file->pcap) != files->head.snaplen)
			files->head.snaplen = -1;
	}
	if (!same_link)
		return PM_OK;
	files->head.link = pcap_datalink_val_to_name(pcap_datalink(first->pcap));
	if (!files->head.link) {
		snprintf(number, sizeof number, "%lu", (unsigned long)first->frame.linktype);
		files->head.link = files->head.own_link = strdup(number);
	}
	return files->head.link ? PM_OK : PM_E_MEMORY;
}

/* Opens all files. One that is cut within its header holds up none of the others. */
static int open_all(struct files *files, const char *const *paths,
		    const struct pm_capture_options *options, struct pm_error *err)
{
	size_t opened = 0;
	int r;

	for (size_t i = 0; i < files->n; i++) {
		struct pm_error cut = { .line = 0 };

		files->paths[i] = strdup(paths[i]);
		if (!files->paths[i])
			return PM_E_MEMORY;
		files->files[i].path = files->paths[i];
		r = file_open(files, &files->files[i], options, &cut);
		opened += r == PM_OK;
		if (r == PM_E_DAMAGED && (i + 1 < files->n || opened)) {
			files->head.damaged = true;
			pm_capture_notice(&files->head, "%s: %s", cut.file, cut.text);
		} else if (r < 0) {
			return pm_error_set(err, r, cut.file[0] ? cut.file : NULL, 0, 0, "%s", cut.text);
		}
	}
	return PM_OK;
}

int pm_capture_open_files(const char *const *paths, size_t n,
			  const struct pm_capture_options *options, struct pm_error *err,
			  struct pm_capture **ret_capture)
{
	struct files *files;
	int r;

	if (n == 0)
		return PM_E_INVALID;
	files = calloc(1, sizeof *files);
	if (!files)
		return PM_E_MEMORY;
	r = pm_capture_init(&files->head, &files_ops, paths[0], options);
	files->n = files->head.files = n;
	files->files = calloc(n, sizeof *files->files);
	files->paths = calloc(n, sizeof *files->paths);
	files->heap = calloc(n, sizeof(struct file *));
	if (!files->files || !files->paths || !files->heap)
		r = PM_E_MEMORY;
	if (r == PM_OK)
		r = open_all(files, paths, options, err);
	if (r == PM_OK)
		r = describe(files);
	if (r < 0) {
		pm_capture_close(&files->head);
		return r;
	}
	*ret_capture = &files->head;
	return PM_OK;
}
