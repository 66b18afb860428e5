/* SPDX-License-Identifier: MIT */
/* Capture files, several as one stream in order of time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

#define BUFFER_SIZE ((size_t)256 << 10)
/* Of a file that goes on, since a call costs as much as copying some 30 KiB. */
#define BUFFER_SIZE_OF_LONG ((size_t)512 << 10)
/* The same where it is mapped. */
#define PIECE_SIZE ((size_t)1 << 20)
/* With many files open at once each gets less, so that memory stays bounded. */
#define MANY_FILES 16
#define BUFFER_SIZE_OF_MANY ((size_t)16 << 10)
/* Descriptors that are left where so many files are to be open that there are too few. */
#define SPARE_FILES 16

/* The user's filter for the frames of an interface, once. */
static int filter_for(struct files *files, const struct file *file, struct interface *interface)
{
	int dlt = pm_capture_dlt(interface->linktype);
	struct pm_error why = { .line = 0 };
	pcap_t *pcap;
	int r;

	if (!files->filtered || interface->filtered)
		return PM_OK;
	pcap = pcap_open_dead(dlt, (int)interface->snaplen);
	if (!pcap)
		return PM_E_MEMORY;
	r = pm_capture_compile(files->head.filter, pcap, &interface->program, &why);
	pcap_close(pcap);
	interface->filtered = r == PM_OK;
	if (r < 0)
		pm_error_set(files->err, r, files->n > 1 ? file->path : NULL, 0, 0, "%s", why.text);
	return r;
}

/* The source of all files that have one interface only; theirs is that of the first path. */
static int plain_source(struct files *files, size_t *ret_source)
{
	struct source *source;
	int r;

	if (files->plain == SIZE_MAX) {
		r = pm_source_add(&files->head, files->head.name, &source);
		if (r < 0)
			return r;
		files->plain = files->head.n_sources - 1;
	}
	*ret_source = files->plain;
	return PM_OK;
}

/* Whether it can be let go and taken up again at its beginning. */
static bool may_park(const struct file *file)
{
	return file->files->n > 1 && file->stream.regular && strcmp(file->path, "-") != 0;
}

static bool same_name(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/*
 * An interface that is met after the first frame: that of plain files again, in a new section, or
 * one more.
 */
static int on_interface(void *ctx, struct interface *interface)
{
	struct file *file = ctx;
	struct files *files = file->files;
	bool again = file->own_plain && interface->ordinal == 0 &&
		     interface->linktype == file->plain_linktype &&
		     same_name(interface->name, file->plain_name);
	int r;

	if (again)
		interface->source = files->plain;
	r = again ? PM_OK
		  : pm_source_of_interface(&files->head, interface, file->reader.n_interfaces - 1,
					   &interface->source);
	if (r == PM_OK)
		r = filter_for(files, file, interface);
	files->failure = r;
	return r;
}

/* A file may claim to have lost any number again and again. */
static void add_count(uint64_t *count, uint64_t growth)
{
	*count = growth < PM_COUNT_MAX - *count ? *count + growth : PM_COUNT_MAX;
}

static void on_counts(void *ctx, struct interface *interface,
		      const struct pm_capture_counts *growth)
{
	const struct file *file = ctx;
	struct pm_capture_counts *counts;

	if (!file->reader.opened || (!file->files->started && may_park(file)))
		return; /* its source is not known yet; it will be read again */
	counts = &file->files->head.sources[interface->source]->counts;
	add_count(&counts->received, growth->received);
	add_count(&counts->dropped_kernel, growth->dropped_kernel);
	add_count(&counts->dropped_interface, growth->dropped_interface);
	counts->received_known |= growth->received_known;
	counts->dropped_kernel_known |= growth->dropped_kernel_known;
	counts->dropped_interface_known |= growth->dropped_interface_known;
}

/* Finds the sources of all interfaces that are known before the first frame. */
static int assign(struct file *file)
{
	struct files *files = file->files;
	struct reader *reader = &file->reader;
	int r = PM_OK;

	if (reader->n_interfaces == 1) {
		struct interface *interface = reader->interfaces[0];

		r = plain_source(files, &interface->source);
		if (r == PM_OK)
			r = pm_source_describe(&files->head, files->head.sources[files->plain],
					       interface);
		free(file->plain_name);
		file->plain_name = NULL;
		file->own_plain = true;
		file->plain_linktype = interface->linktype;
		if (r == PM_OK && interface->name) {
			file->plain_name = strdup(interface->name);
			r = file->plain_name ? PM_OK : PM_E_MEMORY;
		}
		if (r == PM_OK)
			r = filter_for(files, file, interface);
	}
	for (size_t i = 0; reader->n_interfaces > 1 && i < reader->n_interfaces && r == PM_OK;
	     i++) {
		struct interface *interface = reader->interfaces[i];

		r = pm_source_of_interface(&files->head, interface, i, &interface->source);
		if (r == PM_OK)
			r = filter_for(files, file, interface);
	}
	if (reader->interface)
		pm_reader_turn_to(reader, reader->interface);
	reader->opened = true;
	for (size_t i = 0; i < reader->n_interfaces && r == PM_OK; i++)
		on_counts(file, reader->interfaces[i], &reader->interfaces[i]->counts);
	return r;
}

static int open_failure(struct file *file, enum read_result result, struct pm_error *err)
{
	const struct stream *stream = &file->stream;
	uint64_t size = pm_stream_position(stream) + pm_stream_held(stream);

	if (stream->shrunk && !stream->follow)
		return pm_error_set(err, PM_E_DAMAGED, file->path, 0, 0,
				    "has become shorter before its first frame");
	if (stream->error)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "can't read: %s",
				    strerror(stream->error));
	if (result == READ_FAILED)
		return PM_E_MEMORY;
	if (stream->reason[0])
		return pm_error_set(err, PM_E_DAMAGED, file->path, 0, 0, "%s", stream->reason);
	file->foreign = !file->reader.cut;
	if (size == 0)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "is empty%s: not a capture file",
				    stream->unpack ? " when unpacked" : "");
	if (file->reader.cut)
		return pm_error_set(err, PM_E_DAMAGED, file->path, 0, 0,
				    "is cut within the file header, at byte %llu: nothing to read",
				    (unsigned long long)size);
	if (result == READ_END)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0,
				    "is not a capture file: unknown file format");
	return pm_error_set(err, PM_E_IO, file->path, 0, 0, "is not a capture file: %s",
			    file->reader.why);
}

static enum read_result recognise(struct files *files, struct reader *reader)
{
	enum read_result result;

	if (files->options.plain_reader)
		return pm_reader_open_libpcap(reader);
	result = pm_reader_open_pcap(reader);
	return result == READ_END ? pm_reader_open_pcapng(reader) : result;
}

/*
 * Bytes of it that have been read; where blocks of it are, those before the next one's first
 * frame.
 */
static uint64_t progress_of(const struct file *file)
{
	const struct files *files = file->files;

	if (!file->open)
		return file->taken;
	return files->ahead == file && files->split ? files->chain : file->stream.taken;
}

static void file_close(struct file *file)
{
	if (!file->open)
		return;
	file->taken = progress_of(file);
	pm_blocks_forget(file->files, file);
	file->files->behind += pm_stream_position(&file->stream);
	pm_reader_close(&file->reader);
	pm_stream_close(&file->stream);
	file->open = false;
	file->files->n_open--;
}

/* Nothing more of it is wanted: of thousands of files, few descriptors stay. */
static void file_forget(struct file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* How much of a plain file is mapped at once, in whole pages. */
static size_t piece_size(const struct pm_capture_options *options)
{
	size_t page = pm_piece_page(), size = options->block ? options->block : PIECE_SIZE;

	if (!options->map || options->plain_reader)
		return 0;
	return (size + page - 1) / page * page;
}

static int file_open(struct files *files, struct file *file, struct pm_error *err)
{
	bool many = files->n_open >= MANY_FILES;
	size_t size = many ? BUFFER_SIZE_OF_MANY : BUFFER_SIZE;
	/* of several, the frames at hand would have to be there for long */
	size_t map = files->n == 1 ? piece_size(&files->options) : 0;
	enum read_result result;
	int r;

	if (file->fd_error)
		return pm_error_set(err, PM_E_IO, file->path, 0, 0, "can't open: %s",
				    strerror(file->fd_error));
	file->stream = (struct stream){ .interrupted = files->options.interrupted,
					.ctx = files->options.ctx,
					.map = map,
					.size_of_long = many ? 0 : BUFFER_SIZE_OF_LONG,
					.fd = file->fd,
					.lent = file->fd >= 0,
					.follow = files->options.follow };
	r = pm_stream_open(&file->stream, file->path, size, err);
	if (r < 0)
		return r;
	file->open = true;
	file->length = file->stream.length;
	files->n_open++;
	file->reader = (struct reader){ .stream = &file->stream,
					.on_interface = on_interface,
					.on_counts = on_counts,
					.ctx = file };
	result = recognise(files, &file->reader);
	if (result == READ_FRAME) {
		files->err = err;
		r = assign(file);
	} else {
		r = file->stream.stopped ? PM_OK : open_failure(file, result, err);
	}
	if (r < 0 || result != READ_FRAME) {
		file_close(file);
		file_forget(file);
		file->length = file->taken = 0; /* nothing of it is to be read */
	}
	return r;
}

/* Says where a file stopped making sense. Not an error: what came before counts. */
static int file_damage(struct files *files, const struct file *file)
{
	files->head.damaged = true;
	pm_capture_notice(&files->head,
			  "%s: damaged in frame %llu at byte %llu: %s; the %llu frames before it are counted",
			  file->path, (unsigned long long)file->number + 1,
			  (unsigned long long)file->reader.damage, file->reader.why,
			  (unsigned long long)file->number);
	return 0;
}

/* The same, of one that somebody has cut off while it was read. */
static int file_shrunk(struct files *files, const struct file *file)
{
	files->head.damaged = true;
	pm_capture_notice(&files->head,
			  "%s: has become shorter while it was read; the %llu frames so far are counted",
			  file->path, (unsigned long long)file->number);
	return 0;
}

/* Reading has come to an end of some kind: 0, or an error. */
static int file_end(struct files *files, struct file *file, enum read_result result,
		    struct pm_error *err)
{
	const struct stream *stream = &file->stream;
	int r = 0;

	if (result == READ_DAMAGED)
		r = file_damage(files, file);
	else if (result == READ_FAILED && stream->shrunk && !stream->follow)
		r = file_shrunk(files, file);
	else if (result == READ_FAILED && stream->shrunk)
		r = pm_error_set(err, PM_E_IO, file->path, 0, 0,
				 "has become shorter while it was followed; its %llu frames are counted",
				 (unsigned long long)file->number);
	else if (result == READ_FAILED && stream->error)
		r = pm_error_set(err, PM_E_IO, file->path, 0, 0, "can't read on after frame %llu: %s",
				 (unsigned long long)file->number, strerror(stream->error));
	else if (result == READ_FAILED)
		r = files->failure < 0 ? files->failure : PM_E_MEMORY;
	file_close(file);
	file_forget(file);
	file->length = file->taken; /* what is behind a damage will not be read */
	return r;
}

/* Reads the file's next frame. 1: it is at hand; 0: the file has ended; or an error. */
static int file_next(struct files *files, struct file *file, struct pm_error *err)
{
	enum read_result result = file->reader.ops->next(&file->reader);

	if (result != READ_FRAME)
		return file_end(files, file, result, err);
	file->number++;
	file->time_ns = file->reader.frame.time_ns;
	return 1;
}

/* Equal times keep the order of the command line. */
static bool is_before(const struct file *a, const struct file *b)
{
	return a->time_ns < b->time_ns || (a->time_ns == b->time_ns && a < b);
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

/*
 * Closes a file whose turn comes later: of the thousand that a recorder has left, few are open at
 * once. What can't be opened again stays open.
 */
static void park(struct file *file)
{
	if (!may_park(file))
		return;
	file_close(file);
	file->parked = true;
}

/* Opens a parked file again, at its first frame. 1: that is at hand; 0: it is gone; or an error. */
static int unpark(struct files *files, struct file *file, struct pm_error *err)
{
	struct pm_error why = { .line = 0 };
	int r;

	file->parked = false;
	file->number = 0;
	r = file_open(files, file, &why);
	if (r == PM_OK && file->open)
		return file_next(files, file, err);
	if (r == PM_OK || r == PM_E_MEMORY || r == PM_E_FILTER)
		return r < 0 ? pm_error_set(err, r, NULL, 0, 0, "%s",
					    why.text[0] ? why.text : pm_strerror(r))
			     : 0;
	files->head.damaged = true;
	pm_capture_notice(&files->head, "%s: it was there a moment ago: %s", file->path, why.text);
	return 0;
}

static void deliver(struct files *files, const struct file *file)
{
	struct pm_frame frame = file->reader.frame;

	frame.number = ++files->head.number;
	if (files->filtered) {
		struct pcap_pkthdr header = { .caplen = frame.held, .len = frame.wire };

		if (!pcap_offline_filter(&file->reader.interface->program, &header, frame.bytes))
			return;
	}
	files->head.frame(files->head.frame_ctx, &frame);
}

static void on_filtered_frame(void *ctx, const struct pm_frame *frame)
{
	struct files *files = ctx;

	(void)frame; /* it is the reader's, who tells its interface too */
	deliver(files, files->files);
}

/* One file needs no merging, and its reader's own loop is faster than frame by frame. */
static int dispatch_one(struct files *files, int max, struct pm_error *err)
{
	struct file *file = files->files;
	enum read_result result;
	uint64_t before;
	int r;

	if (!file->open)
		return 0;
	before = file->reader.frame.number;
	if (files->filtered)
		result = file->reader.ops->each(&file->reader, max, on_filtered_frame, files);
	else
		result = file->reader.ops->each(&file->reader, max, files->head.frame,
						files->head.frame_ctx);
	file->number = file->reader.frame.number;
	if (result == READ_FRAME)
		return max;
	r = file_end(files, file, result, err);
	return r < 0 ? r : (int)(file->number - before);
}

static void start(struct files *files)
{
	files->started = true;
	for (size_t i = 0; i < files->n; i++)
		if (files->files[i].parked || files->files[i].open)
			heap_add(files, &files->files[i]);
}

static int dispatch_merged(struct files *files, int max, struct pm_error *err)
{
	int n = 0, r;

	if (!files->started)
		start(files);
	while (n < max && files->n_heap) {
		struct file *file = files->heap[0];

		r = file->parked ? unpark(files, file, err) : 1;
		if (r == 1) {
			deliver(files, file);
			n++;
			r = file_next(files, file, err);
		}
		if (r <= 0)
			files->heap[0] = files->heap[--files->n_heap];
		if (files->n_heap > 1)
			heap_sink(files);
		if (r < 0)
			return r;
	}
	return n;
}

/* Goes on frame by frame where blocks have left off. */
static int resume(struct files *files, struct pm_error *err)
{
	struct file *file = files->ahead;
	int r;

	if (!file)
		return PM_OK;
	files->ahead = NULL;
	if (files->split)
		pm_stream_seek(&file->stream, files->chain);
	if (files->n == 1)
		return PM_OK;
	r = file_next(files, file, err);
	if (r <= 0)
		files->heap[0] = files->heap[--files->n_heap];
	if (files->n_heap > 1)
		heap_sink(files);
	return r < 0 ? r : PM_OK;
}

static int files_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			  struct pm_error *err)
{
	struct files *files = pm_files_of(capture);
	int r;

	capture->frame = frame;
	capture->frame_ctx = ctx;
	files->err = err;
	r = resume(files, err);
	if (r < 0)
		return r;
	return files->n == 1 ? dispatch_one(files, max, err) : dispatch_merged(files, max, err);
}

/* What the file itself tells, if it does. */
static void files_count(struct pm_capture *capture, size_t source,
			struct pm_capture_counts *ret_counts)
{
	*ret_counts = capture->sources[source]->counts;
}

static void files_progress(const struct pm_capture *capture,
			   struct pm_capture_progress *ret_progress)
{
	const struct files *files = (const struct files *)capture;

	ret_progress->total_known = !files->options.follow;
	for (size_t i = 0; i < files->n; i++) {
		const struct file *file = &files->files[i];

		ret_progress->total += file->length;
		if (file->parked)
			continue; /* all of it will be read again */
		ret_progress->bytes += progress_of(file);
		ret_progress->frames += file->open ? file->reader.frame.number : file->number;
		if (file->open && !file->stream.regular)
			ret_progress->total_known = false;
	}
	/* One that was still written while it was read. */
	if (ret_progress->total < ret_progress->bytes)
		ret_progress->total = ret_progress->bytes;
}

static void files_close(struct pm_capture *capture)
{
	struct files *files = pm_files_of(capture);

	for (size_t i = 0; files->files && i < files->n; i++) {
		file_close(&files->files[i]);
		file_forget(&files->files[i]);
		free(files->files[i].plain_name);
	}
	pm_paths_fini(&files->paths);
	free(files->files);
	free(files->heap);
	pthread_mutex_destroy(&files->lock);
}

static const struct capture_ops files_ops = { files_dispatch, files_count, files_progress,
					      files_close };

/*
 * Several files: reads each one's first frame, whose time says when its turn comes. False: it holds
 * none.
 */
static int look_ahead(struct files *files, struct file *file, struct pm_error *err)
{
	int r = file_next(files, file, err);

	if (r == 1)
		park(file);
	return r < 0 ? r : PM_OK;
}

/*
 * What does not stop the others: a file that is cut within its header, and in a folder what is no
 * capture, or can't be read: a recorder may have taken it away meanwhile.
 */
static bool goes_without(struct files *files, size_t i, int r, size_t opened,
			 const struct pm_error *why)
{
	bool last = i + 1 == files->n && opened == 0;

	if (r == PM_E_DAMAGED && !last) {
		files->head.damaged = true;
		pm_capture_notice(&files->head, "%s: %s", why->file, why->text);
		return true;
	}
	if (r == PM_E_IO && files->paths.all[i].found && !last) {
		files->head.damaged |= !files->files[i].foreign;
		pm_capture_notice(&files->head, "%s: %s; left out", why->file, why->text);
		return true;
	}
	return false;
}

static int open_all(struct files *files, struct pm_error *err)
{
	size_t opened = 0;
	int r;

	for (size_t i = 0; i < files->n; i++) {
		struct pm_error why = { .line = 0 };
		struct file *file = &files->files[i];

		r = file_open(files, file, &why);
		opened += r == PM_OK;
		if (r < 0 && !goes_without(files, i, r, opened, &why))
			return pm_error_set(err, r, why.file[0] ? why.file : NULL, 0, 0, "%s",
					    why.text[0] ? why.text : pm_strerror(r));
		if (r == PM_OK && files->n > 1 && file->open) {
			r = look_ahead(files, file, err);
			if (r < 0)
				return r;
		}
	}
	return PM_OK;
}

/*
 * Opens each file; what keeps one from being opened is said when its turn comes. False: there are
 * too many, and the rest must be opened by name.
 */
static bool open_ahead(struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		struct file *file = &files->files[i];

		if (strcmp(file->path, "-") == 0)
			continue;
		file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
		if (file->fd < 0 && (errno == EMFILE || errno == ENFILE) && files->n > 1) {
			for (size_t back = i; back > 0 && i - back < SPARE_FILES; back--)
				file_forget(&files->files[back - 1]);
			return false;
		}
		file->fd_error = file->fd < 0 ? errno : 0;
	}
	return true;
}

/* Whether it is packed, or may be: what is no file can't be read twice. */
static bool looks_packed(const struct file *file)
{
	uint8_t magic[PM_MAGIC_SIZE];
	struct stat st;
	ssize_t n;
	int fd = file->fd;

	if (file->fd_error)
		return false;
	if (fd < 0 ? stat(file->path, &st) < 0 : fstat(fd, &st) < 0)
		return strcmp(file->path, "-") == 0;
	if (!S_ISREG(st.st_mode))
		return true;
	if (fd < 0)
		fd = open(file->path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : pread(fd, magic, sizeof magic, 0);
	if (fd >= 0 && fd != file->fd)
		close(fd);
	return n > 0 && pm_unpack_wanted(magic, (size_t)n);
}

/* Does all that must be done by name, and lets the caller know. */
static int ready(struct files *files)
{
	bool by_name = !files->options.keep_open || !open_ahead(files), packed = false;

	if (!files->options.opened)
		return PM_OK;
	for (size_t i = 0; i < files->n && !packed; i++)
		packed = looks_packed(&files->files[i]);
	if (packed)
		pm_unpack_prepare();
	return files->options.opened(files->options.ctx, by_name);
}

static int prepare(struct files *files, const char *const *paths, size_t n, struct pm_error *err)
{
	size_t plain;
	int r = pm_paths_expand(&files->paths, paths, n, err);

	if (r < 0)
		return r;
	files->n = files->head.files = files->paths.n;
	files->files = calloc(files->n, sizeof *files->files);
	files->heap = calloc(files->n, sizeof(struct file *));
	for (size_t i = 0; files->files && i < files->n; i++)
		files->files[i] = (struct file){ .files = files,
						 .path = files->paths.all[i].name,
						 .fd = -1 };
	if (!files->files || !files->heap)
		return PM_E_MEMORY;
	r = ready(files);
	if (r == PM_OK)
		r = open_all(files, err);
	if (r == PM_OK && files->head.n_sources == 0) /* files without an interface */
		r = plain_source(files, &plain);
	return r;
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
	files->head.files = 1; /* not live, so far */
	files->options = *options;
	files->filtered = options->filter != NULL;
	files->plain = SIZE_MAX;
	pthread_mutex_init(&files->lock, NULL);
	if (r == PM_OK)
		r = prepare(files, paths, n, err);
	if (r < 0) {
		pm_capture_close(&files->head);
		return r;
	}
	*ret_capture = &files->head;
	return PM_OK;
}
