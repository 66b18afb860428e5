/* SPDX-License-Identifier: MIT */
/*
 * Ground floor: error codes, the byte cursor, keyed hashing, SHA-256, time
 * arithmetic and the notice callback. Knows nothing of packets.
 */
#ifndef PORTMETER_BASE_H
#define PORTMETER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exported from the shared library; everything else is hidden. */
#if defined(__GNUC__)
#define PM_API __attribute__((visibility("default")))
#define PM_PRINTF(at, first) __attribute__((format(printf, at, first)))
/* For what few frames need: inlined, it would make every frame save registers. */
#define PM_OUT_OF_LINE __attribute__((noinline))
/* For what every frame needs, and where more is known at the place of the call. */
#define PM_INLINE inline __attribute__((always_inline))
#else
#define PM_API
#define PM_PRINTF(at, first)
#define PM_OUT_OF_LINE
#define PM_INLINE inline
#endif

/* So many threads capture from one interface at most. */
#define PM_CAPTURE_THREADS 32

/* "1.2.3", a static string. */
PM_API const char *pm_version(void);

/*
 * Errors. Functions that can fail return 0 or one of these and forward
 * it unchanged; the text is in one table.
 */
enum {
	PM_OK = 0,
	PM_E_MEMORY = -1,      /* an allocation failed */
	PM_E_IO = -2,          /* a file or a device failed; see struct pm_error */
	PM_E_RULES = -3,       /* rules that can't be used */
	PM_E_DAMAGED = -4,     /* input is cut or corrupt from here on */
	PM_E_PERMISSION = -5,  /* the system refuses; more rights are needed */
	PM_E_FILTER = -6,      /* a filter expression does not compile */
	PM_E_UNSUPPORTED = -7, /* known, but not possible here */
	PM_E_INVALID = -8,     /* an argument is out of its range */
};

/* Text of an error code, static, never NULL. */
PM_API const char *pm_strerror(int code);

/*
 * Where and why something failed. Every function that takes one accepts NULL;
 * the first failure stays. A line or column of 0 is not known.
 */
struct pm_error {
	char file[256]; /* "" when it is not about a file; a longer path keeps its tail */
	int line, column;
	char text[256];
};

/* Fills @err unless it is NULL or holds a text already. Returns @code. */
PM_API int pm_error_set(struct pm_error *err, int code, const char *file, int line, int column,
			const char *format, ...) PM_PRINTF(6, 7);

/* How lower rooms say something to the user; the program decides where it goes. */
typedef void pm_notice_fn(void *ctx, const char *text);

/*
 * Cursor: a bounded read-only view of one frame's bytes. It knows two ends: how many
 * bytes the frame claims to have left on the wire, and how many of those the capture holds.
 * Reading past the first means that the frame contradicts itself (MALFORMED), past the
 * second that the snap length cut it (TRUNCATED). The first failure sticks: later reads
 * give zeroes and move nothing, so a decoder reads a whole header and checks once.
 * Inline, because a frame's whole way is some dozen of these calls.
 */
enum pm_read {
	PM_READ_OK,
	PM_READ_TRUNCATED,
	PM_READ_MALFORMED,
};

struct pm_cursor {
	const uint8_t *at;
	size_t held; /* captured bytes left */
	/* Stands between the sizes on purpose: side by side, gcc 12 loads both as one vector right
	   after storing them one by one, and that stall doubles the time that a frame takes. */
	enum pm_read status;
	size_t wire; /* claimed bytes left; held <= wire */
};

/* @held above @wire is cut to it: bytes behind the frame's end are not the frame's. */
static inline struct pm_cursor pm_cursor_init(const uint8_t *bytes, size_t held, size_t wire)
{
	struct pm_cursor cursor = { bytes, held < wire ? held : wire, PM_READ_OK, wire };

	return cursor;
}

/* Borrow the next @n bytes and step past them; NULL and a sticky status when they are not there. */
static inline const uint8_t *pm_cursor_take(struct pm_cursor *c, size_t n)
{
	const uint8_t *bytes = c->at;

	if (c->status != PM_READ_OK)
		return NULL;
	if (n > c->held) {
		c->status = n > c->wire ? PM_READ_MALFORMED : PM_READ_TRUNCATED;
		return NULL;
	}
	c->at += n;
	c->held -= n;
	c->wire -= n;
	return bytes;
}

/* Borrow @n bytes at @offset from here without moving; NULL, and no status, when not held. */
static inline const uint8_t *pm_cursor_peek(const struct pm_cursor *c, size_t offset, size_t n)
{
	if (c->status != PM_READ_OK || offset > c->held || n > c->held - offset)
		return NULL;
	return c->at + offset;
}

/* Big-endian reads of bytes that a take or peek has vouched for. */
static inline uint16_t pm_be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t pm_be32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* The same, little-endian. */
static inline uint16_t pm_le16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[1] << 8 | bytes[0]);
}

static inline uint64_t pm_be64(const uint8_t *bytes)
{
	return (uint64_t)pm_be32(bytes) << 32 | pm_be32(bytes + 4);
}

static inline uint32_t pm_le32(const uint8_t *bytes)
{
	return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 |
	       bytes[0];
}

static inline uint64_t pm_le64(const uint8_t *bytes)
{
	return (uint64_t)pm_le32(bytes + 4) << 32 | pm_le32(bytes);
}

static inline uint8_t pm_cursor_u8(struct pm_cursor *c)
{
	const uint8_t *bytes = pm_cursor_take(c, 1);

	return bytes ? bytes[0] : 0;
}

static inline uint16_t pm_cursor_be16(struct pm_cursor *c)
{
	const uint8_t *bytes = pm_cursor_take(c, 2);

	return bytes ? pm_be16(bytes) : 0;
}

static inline uint32_t pm_cursor_be32(struct pm_cursor *c)
{
	const uint8_t *bytes = pm_cursor_take(c, 4);

	return bytes ? pm_be32(bytes) : 0;
}

/*
 * Cut the view to a declared length of @n wire bytes, so that padding is never payload.
 * False, and no change, when the frame has fewer: a view never grows.
 */
static inline bool pm_cursor_limit(struct pm_cursor *c, size_t n)
{
	if (n > c->wire)
		return false;
	c->wire = n;
	if (c->held > n)
		c->held = n;
	return true;
}

/* Size of the UTF-8 sequence that @bytes begin with (RFC 3629); 0 when it is none. */
PM_API size_t pm_utf8_sequence(const char *bytes);
/* A copy, to be freed, in which each byte that is not UTF-8 is U+FFFD; NULL: memory is short. */
PM_API char *pm_utf8_repaired(const char *text);
#define PM_UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * Keyed hash (SipHash-1-3, Aumasson and Bernstein) for tables whose keys come from
 * the network: without the key nobody can aim at one bucket.
 */
struct pm_hash_key {
	uint64_t k0, k1;
};

PM_API uint64_t pm_hash(struct pm_hash_key key, const void *bytes, size_t size);
/*
 * Has the system make all pages of a zeroed block at once (madvise(2), MADV_POPULATE_WRITE), since
 * they will be used. Only a wish: where it is not granted, they come one by one.
 */
PM_API void pm_pages_make(void *block, size_t size);
/* After so many uses of scattered places in a table, most of its pages are to be expected. */
#define PM_PAGES_EXPECTED 16
/* @n more of these: makes the pages when it is time. @used at the number above: never. */
static inline void pm_pages_use(uint32_t *used, uint32_t n, void *block, size_t size)
{
	if (*used >= PM_PAGES_EXPECTED)
		return;
	*used += n;
	if (*used >= PM_PAGES_EXPECTED)
		pm_pages_make(block, size);
}

/*
 * Loads the shared library @name (dlopen(3); NULL: the program itself) for good, and finds its @n
 * @functions, in that order, as dlsym(3) gives them. False, with nothing but the reason, in
 * @ret_why of @size bytes, cut if need be: it is not there, or lacks one of them.
 */
PM_API bool pm_library_load(const char *name, const char *const *functions, size_t n, char *ret_why,
			    size_t size, void **ret_functions);

/* A key from the system's random source; a clock-made one where there is none. */
PM_API struct pm_hash_key pm_hash_key_random(void);

/*
 * Both halves of a product, folded: a step of a keyed hash for what is looked up with every frame.
 * Quicker than pm_hash, and weaker; so only for tables in which many keys in one place cost no more
 * time than few.
 */
static inline uint64_t pm_fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 pm_product;
	pm_product product = (pm_product)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* SHA-256 (FIPS 180-4). Own, because one digest does not merit a crypto library at start-up. */
struct pm_sha256 {
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	uint8_t block[64];
};

#define PM_SHA256_SIZE 32
#define PM_SHA256_HEX_SIZE 65 /* with the final NUL */

PM_API void pm_sha256_init(struct pm_sha256 *sha);
PM_API void pm_sha256_update(struct pm_sha256 *sha, const void *bytes, size_t size);
PM_API void pm_sha256_final(struct pm_sha256 *sha, uint8_t ret_digest[PM_SHA256_SIZE]);
PM_API void pm_sha256_hex(const uint8_t digest[PM_SHA256_SIZE], char ret_hex[PM_SHA256_HEX_SIZE]);

/*
 * Times are nanoseconds since 1970-01-01T00:00:00Z, signed, 1677 to 2262; what lies
 * outside is brought to the nearest end.
 */
#define PM_NS_PER_S INT64_C(1000000000)
#define PM_TIME_MIN INT64_MIN
#define PM_TIME_MAX INT64_MAX

/* Sum that saturates. */
PM_API int64_t pm_time_add(int64_t time_ns, int64_t delta_ns);
/* Seconds and nanoseconds, either out of its usual range, to one time; saturates. */
PM_API int64_t pm_time_make_any(int64_t seconds, int64_t nanoseconds);
/* The same for any two; inline for those that every frame has. */
static inline int64_t pm_time_make(int64_t seconds, int64_t nanoseconds)
{
	if ((uint64_t)seconds <= UINT32_MAX && (uint64_t)nanoseconds < (uint64_t)PM_NS_PER_S)
		return seconds * PM_NS_PER_S + nanoseconds;
	return pm_time_make_any(seconds, nanoseconds);
}
/* Largest multiple of @step_ns (above 0) that is not above @time_ns; saturates at the low end. */
PM_API int64_t pm_time_floor(int64_t time_ns, int64_t step_ns);
/* The wall clock, now. */
PM_API int64_t pm_time_now(void);
/* A clock that nobody sets, in nanoseconds: only differences mean something. */
PM_API int64_t pm_time_steady(void);

#define PM_TIME_TEXT_SIZE 32
/* RFC 3339 in UTC with microseconds, rounded down: "2026-11-22T06:30:10.000000Z". */
PM_API void pm_time_text(int64_t time_ns, char ret_text[PM_TIME_TEXT_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
