/* SPDX-License-Identifier: MIT */
/*
 * Frames from interfaces, through libpcap (pcap(3PCAP)), and from capture files: pcap-savefile(5),
 * pcapng (draft-ietf-opsawg-pcapng), also packed by gzip, zstd, xz, lz4 or bzip2. Knows nothing of
 * what is in a frame.
 */
#ifndef PORTMETER_CAPTURE_H
#define PORTMETER_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * In this order, so that no compiler fetches two lengths at once that libpcap has just written one
 * by one.
 */
struct pm_frame {
	const uint8_t *bytes; /* borrowed for the call */
	uint32_t held;        /* bytes of it that the capture holds */
	uint32_t linktype;    /* a LINKTYPE_ number, as in capture files on every system */
	uint32_t wire;        /* bytes that it had on the wire */
	uint32_t source;      /* which of the capture's; below pm_capture_sources */
	int64_t time_ns;
	/* in its capture, from 1; frames that a filter leaves out of a file count too */
	uint64_t number;
};

typedef void pm_frame_fn(void *ctx, const struct pm_frame *frame);

enum pm_direction {
	PM_DIRECTION_BOTH,
	PM_DIRECTION_IN,
	PM_DIRECTION_OUT,
};

struct pm_capture_options {
	/* pcap-filter(7) expression of at most 16 KiB; NULL: all frames */
	const char *filter;
	int snaplen;        /* bytes kept of a live frame; 0: 256. Files keep their own */
	int buffer_kib;     /* kernel buffer, KiB; 0: 8192 */
	int timeout_ms;     /* longest that the kernel may hold frames back; 0: 100 */
	bool no_promiscuous;
	bool immediate; /* deliver each frame as it comes */
	bool wait; /* an interface that is not there, or is down, is no error: reopen it */
	/* name for a live capture, as listed by pm_capture_linktypes; NULL: default */
	const char *linktype;
	enum pm_direction direction; /* live */
	pm_notice_fn *notice;        /* NULL: say nothing */
	bool follow; /* a file's end is not the end: wait for what is written to it */
	bool keep_open; /* each file at once, and not again by its name: rights may go */
	/*
	 * Files: called once, when nothing will be opened any more but, @by_name, files: without
	 * @keep_open all of them, or those that were too many to be open at once. No byte of them
	 * has been read by then but to see which are packed. PM_OK, or an error, which ends the
	 * opening. NULL: nothing is to be done.
	 */
	int (*opened)(void *ctx, bool by_name);
	/*
	 * Files: map a single one, while one thread reads it, if it is plain, not followed, of a
	 * local file system, the user's or root's, and nobody else may write to it. The first
	 * installs a handler of SIGBUS, for what shrinks or fails meanwhile, and lets that signal
	 * through to its thread; so must whoever hands the capture to another. What is not of such
	 * a file it passes on to the handler before it; it must stay in its place.
	 */
	bool map;
	bool plain_reader;           /* read files through libpcap's functions: for comparison */
	/*
	 * Bytes of a file that a thread takes at once (pm_block_take); 0: 512 KiB. Also those that
	 * are mapped at once, in whole pages; 0: 1 MiB.
	 */
	size_t block;
	/*
	 * Streams and files that are followed: asked before each wait for more, several times a
	 * second while there is none, and after a signal; true ends the input. NULL: read on.
	 */
	bool (*interrupted)(void *ctx);
	void *ctx;
};

struct pm_capture; /* opaque; used by one thread at a time */

/*
 * Opens an interface, "any" included. PM_E_PERMISSION, PM_E_FILTER, PM_E_IO (with @err),
 * PM_E_MEMORY or 0.
 */
PM_API int pm_capture_open_live(const char *interface, const struct pm_capture_options *options,
				struct pm_error *err, struct pm_capture **ret_capture);
/*
 * The same for @n threads (1 to PM_CAPTURE_THREADS), each with a capture of its own that gets its
 * share of the frames: those of a conversation, both ways, go to one of them, and so do all
 * fragments of a datagram (packet(7), PACKET_FANOUT_HASH). @ret_captures has room for @n; the first
 * leads: only its counts have what concerns the interface as a whole. PM_E_UNSUPPORTED: the system
 * has no such sharing. PM_E_INVALID: @n.
 */
PM_API int pm_capture_open_shared(const char *interface, const struct pm_capture_options *options,
				  size_t n, struct pm_error *err,
				  struct pm_capture **ret_captures);
/*
 * Opens @n capture files as one stream in order of time (equal times: in order of @paths). "-" is
 * standard input. PM_E_IO, PM_E_DAMAGED (cut within the file header), PM_E_FILTER, PM_E_MEMORY,
 * PM_E_UNSUPPORTED (packed, and libarchive is not built in or not installed) or 0.
 */
PM_API int pm_capture_open_files(const char *const *paths, size_t n,
				 const struct pm_capture_options *options, struct pm_error *err,
				 struct pm_capture **ret_capture);
/* Whether a filter expression compiles, for Ethernet. PM_E_FILTER with @err filled, or 0. */
PM_API int pm_capture_check_filter(const char *filter, struct pm_error *err);
/* NULL is fine. */
PM_API void pm_capture_close(struct pm_capture *capture);

/*
 * Looks at up to @max frames and hands those that pass the filter to @frame. Returns how many it
 * looked at; 0: live, none is waiting; files: the end. PM_E_IO with @err filled: the interface is
 * gone or a file can't be read on. A damaged file is read up to the damage, said with a notice that
 * names frame and byte, and then taken as ended; so is one that has become shorter meanwhile, which
 * is an error if it is followed.
 */
PM_API int pm_capture_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			       struct pm_error *err);
/*
 * Live: once a second or so, beside dispatching. Keeps the counts true, however narrow and short-
 * lived the system's are, and says with a notice when the interface goes down, comes up or is
 * renamed. PM_E_IO with @err filled: it is gone, which no frame may ever have told, or has another
 * link type. Files: 0.
 */
PM_API int pm_capture_look(struct pm_capture *capture, struct pm_error *err);
/*
 * Live, after an error of dispatch or look, or with wait: lets go of what is gone and tries to open
 * the interface again, by the name it has, if it was renamed, else by that it was given. Numbers
 * and counts go on; its link type may be another. Of several threads each calls it, and the first
 * opens for all once all have. 0, or the error of opening: try again later.
 */
PM_API int pm_capture_reopen(struct pm_capture *capture, struct pm_error *err);
/*
 * Live: lets no more frames in, and settles the counts, which stay as they are from here on: what
 * comes later belongs to nobody. What is in the buffer can still be dispatched. On the thread that
 * dispatches. Again, or files: nothing.
 */
PM_API void pm_capture_stop(struct pm_capture *capture);
/* Live: whether there is anything to dispatch from. */
PM_API bool pm_capture_there(const struct pm_capture *capture);
/* Live: sleeps until frames wait or @timeout_ms has passed. */
PM_API void pm_capture_wait(struct pm_capture *capture, int timeout_ms);
/* Whether a file was damaged so far. */
PM_API bool pm_capture_damaged(const struct pm_capture *capture);

/* How far reading files has come. */
struct pm_capture_progress {
	uint64_t bytes;   /* read so far, as they lie in the files: of packed ones, packed */
	uint64_t total;   /* that there are to read; valid with total_known */
	bool total_known; /* false: a pipe is among them, or a file that may grow; or no files */
	uint64_t frames;  /* read so far, those that a filter leaves out included */
};

/* For any time between or within dispatches, by the thread that dispatches. */
PM_API void pm_capture_progress(const struct pm_capture *capture,
				struct pm_capture_progress *ret_progress);

/*
 * Files by several threads. Each has a block, and with it takes a turn: in one order for all of
 * them, claim; then each by itself, fetch; then again in that order and one at a time, take; and
 * by itself each. Blocks hold whole frames, found by the chain of records from where the last one
 * ended, so that no border is guessed. Where that chain comes to anything but an ordinary frame,
 * pm_capture_dispatch goes on, in the turn, and when it has said what there was to say blocks can
 * be taken again.
 */
struct pm_block; /* opaque; used by one thread */

/*
 * Whether blocks are worth it for so many @threads: files of one source, and several blocks of them
 * are left; of a stream, have been read. Large frames of a file that is mapped are not copied, and
 * two threads would take longer for them than one.
 */
PM_API bool pm_capture_splits(const struct pm_capture *capture, size_t threads);
/* For a capture of files, which must outlive it. PM_E_MEMORY or 0. */
PM_API int pm_block_new(struct pm_capture *capture, struct pm_block **ret_block);
/* NULL is fine. */
PM_API void pm_block_free(struct pm_block *block);
/* Which bytes this block will hold. In order; any time, even during another's turn. */
PM_API void pm_block_claim(struct pm_block *block);
/* Reads them, if they can be read beside others. Any thread, any time before the turn. */
PM_API void pm_block_fetch(struct pm_block *block);
/*
 * In turn: takes at most @max of the frames that are next, each of a time from @from to before
 * @from + @span, and leaves the capture behind them. Returns their number. *@ret_stopped: what
 * comes next is none of those, or the end: dispatch must go on, or (@max) whoever asked. Else the
 * turn is over, even with 0 frames. May wait, if the input is a stream.
 */
PM_API uint64_t pm_block_take(struct pm_block *block, int64_t from, uint64_t span, uint64_t max,
			      bool *ret_stopped);
/* Whether what was taken comes from a stream or a packed file: it was read in the turn. */
PM_API bool pm_block_of_stream(const struct pm_block *block);
/*
 * Hands those that pass the filter to @frame, once. Beside all else but pm_capture_dispatch and
 * pm_capture_close.
 */
PM_API void pm_block_each(struct pm_block *block, pm_frame_fn *frame, void *ctx);

/* Cumulative since opening, 64-bit however narrow the system's counters are. */
struct pm_capture_counts {
	uint64_t received;          /* packets that passed the filter, dropped ones included */
	uint64_t dropped_kernel;    /* for want of buffer */
	uint64_t dropped_interface; /* by the interface or its driver */
	uint64_t down_ns; /* live: the interface was down or not there; of the first thread */
	/* false: the system can't tell */
	bool received_known, dropped_kernel_known, dropped_interface_known;
};

/*
 * Of one source. For files: what they say themselves, in pcapng's interface statistics, so far as
 * they have been read.
 */
PM_API void pm_capture_count(struct pm_capture *capture, size_t source,
			     struct pm_capture_counts *ret_counts);

/* One series of records; facts for it, borrowed from the capture. Its name is UTF-8. */
struct pm_capture_source {
	const char *name; /* interface, or first path; of a file with several interfaces, theirs */
	const char *link;   /* "EN10MB"; NULL: its files differ in it */
	uint32_t linktype;  /* LINKTYPE_ number; valid with link */
	const char *filter; /* what its frames have passed, the file's own included; NULL: none */
	int snaplen;        /* bytes; -1: not known, or its files differ in it */
	int interface;      /* number in a file with several interfaces; -1: it has one */
};

/* How many there are; of files with several interfaces, more may come with any dispatch. */
PM_API size_t pm_capture_sources(const struct pm_capture *capture);
PM_API const struct pm_capture_source *pm_capture_source(const struct pm_capture *capture,
							 size_t index);

PM_API const char *pm_capture_name(const struct pm_capture *capture); /* interface, or first path */
PM_API bool pm_capture_live(const struct pm_capture *capture);
PM_API size_t pm_capture_files(const struct pm_capture *capture); /* 0 for an interface */

/* Calls @item for each interface (@text may be ""): name, description and state. */
typedef void pm_capture_item_fn(void *ctx, const char *name, const char *text);
PM_API int pm_capture_interfaces(pm_capture_item_fn *item, void *ctx, struct pm_error *err);
/* Calls @item for each link type that the interface can capture with. */
PM_API int pm_capture_linktypes(const char *interface, pm_capture_item_fn *item, void *ctx,
				struct pm_error *err);

#ifdef __cplusplus
}
#endif

#endif
