/* SPDX-License-Identifier: MIT */
/*
 * Readers of capture files: the classic format (pcap-savefile(5)), pcapng
 * (draft-ietf-opsawg-pcapng), and libpcap's own for both. A table of two functions each; files.c
 * knows no format.
 */
#ifndef PORTMETER_CAPTURE_READER_H
#define PORTMETER_CAPTURE_READER_H

#include <pcap/pcap.h>

#include "portmeter/capture.h"
#include "stream.h"

/* What a frame was captured on; a file of the classic format has one. */
struct interface {
	uint32_t linktype;
	uint32_t snaplen;
	char *name, *filter;             /* as the file names them; NULL: it does not */
	size_t source;                   /* set by files.c when it is first met */
	size_t ordinal;                  /* of the section's interfaces that are alike, from 0 */
	struct interface *next;          /* with the same hash of name and link type */
	struct pm_capture_counts counts; /* the file's latest */
	/* Time stamps: ticks of @resolution a second, after @offset seconds. */
	bool binary; /* 2^exponent ticks a second, else 10^exponent */
	uint8_t exponent;
	int64_t ns_per_tick; /* 0: less than one, or not a whole number */
	int64_t offset_s;
	uint64_t plain_ticks; /* below this, ns_per_tick alone makes them a time */
	struct bpf_program program;
	bool filtered;
};

/* A file's count beyond this is none; so no sum of two overflows, and each is a number in JSON. */
#define PM_COUNT_MAX ((UINT64_C(1) << 53) - 1)

/* What reading came to. */
enum read_result {
	READ_END,
	READ_FRAME,
	READ_DAMAGED, /* reader->why says how, reader->damage where */
	READ_FAILED,  /* memory, or the stream; why is "" then */
};

/*
 * Each source of records has counters of its own, so a file can't have as many as it likes; the
 * last one stands for all that are beyond. A section's later interfaces can have none of their own.
 */
#define PM_SOURCES_MAX 64

struct reader;

/* An interface that comes after the first frame, and counts of one that have grown. */
typedef int pm_reader_interface_fn(void *ctx, struct interface *interface);
typedef void pm_reader_counts_fn(void *ctx, struct interface *interface,
				 const struct pm_capture_counts *growth);

/*
 * A run of records, over which a reader hops by their headers: all are frames that next would hand
 * over, of times from @from to before @from + @span.
 */
struct hop {
	int64_t from;
	uint64_t span;
	uint64_t max; /* frames */
	size_t stop;  /* no record that begins here or behind */
	size_t at;    /* where the first begins; then where the one behind the last does */
	size_t need;  /* bytes that must be there to go on; 0: it was not for want of bytes */
	uint64_t n;   /* frames */
};

struct reader_ops {
	/* Reads the next frame into reader->frame. */
	enum read_result (*next)(struct reader *reader);
	/*
	 * Hands frames to @frame until @max or anything else comes; READ_FRAME: all @max. The
	 * same as next in a loop, but not called for each frame.
	 */
	enum read_result (*each)(struct reader *reader, int max, pm_frame_fn *frame, void *ctx);
	/*
	 * Hops over what is in @size bytes, behind frames that @hop has counted already; the
	 * stream stays. It ends at @stop, at @max, or before anything that is not such a record.
	 * NULL, as is back: this reader can't.
	 */
	void (*hop)(const struct reader *reader, const uint8_t *bytes, size_t size,
		    struct hop *hop);
	/* Takes back the frame at hand, whose bytes are still in the window. */
	void (*back)(struct reader *reader);
};

struct reader {
	const struct reader_ops *ops;
	struct stream *stream;
	struct pm_frame frame;       /* at hand; number is that within the file */
	struct interface *interface; /* of the frame at hand */
	struct interface **interfaces;
	size_t n_interfaces, n_places;
	struct interface **alike; /* by hash, the latest first; NULL: none were asked for */
	struct pm_hash_key key;
	pm_reader_interface_fn *on_interface;
	pm_reader_counts_fn *on_counts;
	void *ctx;
	bool opened;       /* by files.c: interfaces that come now are told at once */
	bool big;          /* the file's, or its section's, byte order */
	bool damaged, cut; /* as said by pm_reader_damaged; by pm_reader_cut */
	uint64_t damage;   /* byte at which the damaged record begins */
	char why[160];
	/* the classic format */
	size_t header_size;
	uint32_t held_max;
	int32_t ns_per_fraction;
	bool lengths_swapped, lengths_may_be_swapped;
	/* pcapng */
	uint32_t block_type; /* of the packet block that waits in the window; 0: none does */
	size_t block_size;
	size_t head; /* of the block of the frame at hand, before its bytes */
	/* libpcap */
	pcap_t *pcap;
	bool classic;
};

/*
 * Recognise the format at the stream's window and read what stands before the first frame: then all
 * interfaces that the file names there are known. The caller has set stream, on_interface,
 * on_counts and ctx. READ_FRAME: all is well, and no frame has been read yet; READ_END: not of this
 * format, nothing has been read.
 */
enum read_result pm_reader_open_pcap(struct reader *reader);
enum read_result pm_reader_open_pcapng(struct reader *reader);
/* read-libpcap.c, or read-libpcap-none.c where libpcap can't be given a stream. */
enum read_result pm_reader_open_libpcap(struct reader *reader);
/* Frees all but the stream. */
void pm_reader_close(struct reader *reader);
void pm_reader_close_libpcap(struct reader *reader);

/* A new interface, or NULL. */
struct interface *pm_reader_add(struct reader *reader);
/* Sets ordinal, once link type and name are. False: no memory. */
bool pm_reader_number(struct reader *reader, struct interface *interface);
/* Forgets all interfaces; their frames are behind. */
void pm_reader_forget(struct reader *reader);
enum read_result pm_reader_damaged(struct reader *reader, const char *format, ...) PM_PRINTF(2, 3);
/* The stream has ended within a record that begins at @damage: damage, or the stream's failure. */
enum read_result pm_reader_cut(struct reader *reader, size_t wanted);
/* Bytes of a frame that are sane for a link type; more is damage. As libpcap has it. */
uint32_t pm_reader_held_max(uint32_t linktype);
/* A file's snap length; 0, or what is none, is that most. */
uint32_t pm_reader_snaplen(uint32_t snaplen, uint32_t linktype);

/* The frame at hand is one of @interface, which has its source. */
static inline void pm_reader_turn_to(struct reader *reader, struct interface *interface)
{
	reader->interface = interface;
	reader->frame.linktype = interface->linktype;
	reader->frame.source = (uint32_t)interface->source;
}

static inline uint16_t pm_reader_u16(const struct reader *reader, const uint8_t *bytes)
{
	return reader->big ? pm_be16(bytes) : pm_le16(bytes);
}

static inline uint32_t pm_reader_u32(const struct reader *reader, const uint8_t *bytes)
{
	return reader->big ? pm_be32(bytes) : pm_le32(bytes);
}

/*
 * Fetches what comes behind a record of @size bytes at @at, its head and the next frame's, while
 * this frame is counted: where large records begin no processor guesses.
 */
static PM_INLINE void pm_reader_prefetch(const uint8_t *at, size_t size)
{
	uintptr_t next = (uintptr_t)at + size; /* it may be behind the window, which does no harm */

	__builtin_prefetch((const void *)next);
	__builtin_prefetch((const void *)(next + 64));
}

/*
 * The same in a file that is mapped, whose bytes are in no cache yet. Of small records, all that
 * comes a page further on, as processors fetch nothing ahead over a page's end; of large ones,
 * where another begins if all are of this size.
 */
#define PM_READER_LARGE 1024
#define PM_READER_LINE 64
static PM_INLINE void pm_reader_prefetch_mapped(const uint8_t *at, size_t size)
{
	uintptr_t far = (uintptr_t)at + PM_PIECE_PAGE;

	if (size > PM_READER_LARGE)
		pm_reader_prefetch(at, 8 * size);
	else
		for (uintptr_t end = far + size; far < end; far += PM_READER_LINE)
			__builtin_prefetch((const void *)far);
}

/* The same for those who look at heads alone, who are faster than that: often sizes repeat. */
static PM_INLINE void pm_reader_guess(const uint8_t *at, size_t size)
{
	__builtin_prefetch((const void *)((uintptr_t)at + 4 * size));
}

#endif
