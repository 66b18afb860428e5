/* SPDX-License-Identifier: MIT */
/*
 * See mutate.h. Headers are rows of one table. The parser here is none of the decoder's: a fuzzer
 * that went by that would look where it looks.
 */
#include "mutate.h"

#include <stdbool.h>
#include <string.h>

#define LAYERS 40
#define HEADER 64
#define FRAME 4096
#define RECORDS 64
#define RECORD_HEAD 4

/* Number spaces in which a header names what follows. */
enum space {
	NONE,     /* what follows is data, or tells by itself */
	TYPE,     /* ethertypes, two bytes */
	PROTOCOL, /* of IP, one byte */
	PPP,      /* two bytes */
	UDP,      /* the destination port */
	SPACES,
};

enum counts {
	NO_LENGTH,
	WHOLE,   /* two bytes: header and all behind it */
	BEHIND,  /* two bytes: all behind the header */
	EIGHTS,  /* a byte: the header in units of eight bytes, less one */
	FOURS,   /* a byte: the header in units of four, less two */
};

/* A kind of header. */
struct row {
	const char *bytes; /* a good one */
	uint8_t size;
	uint8_t next_at, length_at;
	uint8_t next; /* enum space */
	uint8_t counts;
	uint16_t number[SPACES]; /* its name in each of them; 0: it has none there */
};

#define ADDRESSES4 "\xc0\0\2\1\xc6\x33\x64\2"
#define ADDRESSES6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define ETHERNET "\2\0\0\0\0\2\2\0\0\0\0\1"
#define BYTES(text) text, sizeof(text) - 1

enum kind {
	DATA,
	ETHER,
	IP4,
	IP6,
	MPLS,
	OPAQUE, /* what stands before a header that was recognised */
	HOPS,   /* hop by hop options of IPv6, whose number is 0 */
	FIRST_OTHER,
};

static const struct row rows[] = {
	[DATA] = { BYTES("data"), 0, 0, NONE, NO_LENGTH, { 0 } },
	[ETHER] = { BYTES(ETHERNET "\x08\0"), 12, 0, TYPE, NO_LENGTH, { [TYPE] = 0x6558 } },
	[IP4] = { BYTES("\x45\0\0\x14\0\1\0\0\x40\6\0\0" ADDRESSES4), 9, 2, PROTOCOL, WHOLE,
		  { [TYPE] = 0x0800, [PROTOCOL] = 4, [PPP] = 0x0021 } },
	[IP6] = { BYTES("\x60\0\0\0\0\0\6\x40" ADDRESSES6), 6, 4, PROTOCOL, BEHIND,
		  { [TYPE] = 0x86dd, [PROTOCOL] = 41, [PPP] = 0x0057, [UDP] = 3544 } },
	[MPLS] = { BYTES("\0\1\1\x40"), 0, 0, NONE, NO_LENGTH,
		   { [TYPE] = 0x8847, [PROTOCOL] = 137, [PPP] = 0x0281, [UDP] = 6635 } },
	[OPAQUE] = { BYTES(""), 0, 0, NONE, NO_LENGTH, { 0 } },
	[HOPS] = { BYTES("\6\0\1\4\0\0\0\0"), 0, 1, PROTOCOL, EIGHTS, { 0 } },
	[FIRST_OTHER] = { BYTES("\0\7\x08\0"), 2, 0, TYPE, NO_LENGTH, { [TYPE] = 0x8100 } },
	{ BYTES("\0\7\x08\0"), 2, 0, TYPE, NO_LENGTH, { [TYPE] = 0x88a8 } },
	{ BYTES("\x11\0\0\1\0\2\0\x21"), 6, 4, PPP, BEHIND, { [TYPE] = 0x8864 } },
	{ BYTES("\xaa\xaa\3\0\0\0\x08\0"), 6, 0, TYPE, NO_LENGTH, { [TYPE] = 64 } },
	{ BYTES("\x08\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0"), 0, 0, TYPE, NO_LENGTH, { [TYPE] = 0x88e5 } },
	{ BYTES("\xf1\xc1\0\0\x08\0"), 4, 0, TYPE, NO_LENGTH, { [TYPE] = 0xf1c1 } },
	{ BYTES("\x46\0\0\x18\0\1\0\0\x40\6\0\0" ADDRESSES4 "\1\1\1\0"), 9, 2, PROTOCOL, WHOLE,
	  { [TYPE] = 0x0800, [PROTOCOL] = 4, [PPP] = 0x0021 } },
	{ BYTES("\x45\0\0\x14\0\1\x20\0\x40\6\0\0" ADDRESSES4), 9, 2, PROTOCOL, WHOLE,
	  { [TYPE] = 0x0800, [PROTOCOL] = 4, [PPP] = 0x0021 } },
	{ BYTES("\x45\0\0\x14\0\1\0\2\x40\6\0\0" ADDRESSES4), 9, 2, PROTOCOL, WHOLE,
	  { [TYPE] = 0x0800, [PROTOCOL] = 4, [PPP] = 0x0021 } },
	{ BYTES("\6\0\xc2\4\0\1\0\0"), 0, 1, PROTOCOL, EIGHTS, { 0 } },
	{ BYTES("\6\0\0\0\0\0\0\0"), 0, 1, PROTOCOL, EIGHTS, { [PROTOCOL] = 43 } },
	{ BYTES("\6\0\0\1\0\0\0\7"), 0, 0, PROTOCOL, NO_LENGTH, { [PROTOCOL] = 44 } },
	{ BYTES("\6\0\0\x10\0\0\0\7"), 0, 0, PROTOCOL, NO_LENGTH, { [PROTOCOL] = 44 } },
	{ BYTES("\6\1\0\0\0\0\0\1\0\0\0\1"), 0, 1, PROTOCOL, FOURS, { [PROTOCOL] = 51 } },
	{ BYTES("\6\0\1\4\0\0\0\0"), 0, 1, PROTOCOL, EIGHTS, { [PROTOCOL] = 60 } },
	{ BYTES("\6\0\1\4\0\0\0\0"), 0, 1, PROTOCOL, EIGHTS, { [PROTOCOL] = 135 } },
	{ BYTES("\6\0\1\4\0\0\0\0"), 0, 1, PROTOCOL, EIGHTS, { [PROTOCOL] = 140 } },
	{ BYTES("\0\0\x08\0"), 2, 0, TYPE, NO_LENGTH, { [PROTOCOL] = 47 } },
	{ BYTES("\xb0\0\x08\0\0\0\0\0\0\0\0\1\0\0\0\1"), 2, 0, TYPE, NO_LENGTH, { [PROTOCOL] = 47 } },
	{ BYTES("\x30\1\x88\x0b\0\0\0\1\0\0\0\1"), 0, 4, PPP, BEHIND, { [PROTOCOL] = 47 } },
	{ BYTES("\x10\0\x88\xbe\0\0\0\1\x10\0\0\0\0\0\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 47 } },
	{ BYTES("\x30\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 97 } },
	{ BYTES("\0\0\0\1"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 115 } },
	{ BYTES("\x9c\x40\0\x50\0\0\0\1\0\0\0\0\x50\2\0\0\0\0\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 6 } },
	{ BYTES("\x9c\x40\0\x35\0\x08\0\0"), 2, 4, UDP, WHOLE, { [PROTOCOL] = 17 } },
	{ BYTES("\0\x35\x9c\x40\0\x08\0\0"), 0, 4, UDP, WHOLE, { [PROTOCOL] = 17 } },
	{ BYTES("\x9c\x40\0\x35\0\x08\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 136 } },
	{ BYTES("\x9c\x40\x0b\x80\0\0\0\0\0\0\0\0\1\0\0\x14"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 132 } },
	{ BYTES("\x9c\x40\0\x50\3\0\0\0\0\1\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 33 } },
	{ BYTES("\x08\0\0\0\0\0\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 1 } },
	{ BYTES("\3\1\0\0\0\0\0\0"), 0, 0, NONE, NO_LENGTH, { [PROTOCOL] = 1 } },
	{ BYTES("\x08\0\0\0\0\0\1\0"), 0, 0, NONE, NO_LENGTH, { [UDP] = 4789 } },
	{ BYTES("\x0c\0\0\1\0\0\1\0"), 3, 0, NONE, NO_LENGTH, { [UDP] = 4790 } },
	{ BYTES("\0\0\x65\x58\0\0\1\0"), 2, 0, TYPE, NO_LENGTH, { [UDP] = 6081 } },
	{ BYTES("\1\0\x08\0\0\0\1\0\1\2\3\0"), 2, 0, TYPE, NO_LENGTH, { [UDP] = 6081 } },
	{ BYTES("\x30\xff\0\0\0\0\0\1"), 0, 2, NONE, BEHIND, { [UDP] = 2152 } },
	{ BYTES("\x34\xff\0\4\0\0\0\1\0\0\0\x85\1\0\x09\0"), 0, 2, NONE, BEHIND, { [UDP] = 2152 } },
	{ BYTES("\0\2\0\1\0\1\xff\3\0\x21"), 8, 0, PPP, NO_LENGTH, { [UDP] = 1701 } },
	{ BYTES("\x40\2\0\x0c\0\1\0\1\xff\3\0\x21"), 10, 2, PPP, WHOLE, { [UDP] = 1701 } },
	{ BYTES("\0\1\0\0"), 2, 0, TYPE, NO_LENGTH, { [UDP] = 4754 } },
	{ BYTES("\x0f\xc6\1\2\0\0\1\xff"), 0, 0, NONE, NO_LENGTH, { [TYPE] = 0x894f } },
	{ BYTES("\0\0\0\1\0\2"), 0, 0, NONE, NO_LENGTH, { [TYPE] = 0x22f3 } },
};
enum { ROWS = sizeof rows / sizeof *rows };

struct layer {
	uint8_t kind;
	uint8_t size;
	uint8_t bytes[HEADER];
};

/* A frame taken apart. */
struct stack {
	struct layer layers[LAYERS];
	size_t n;
	uint8_t data[FRAME]; /* behind the headers */
	size_t size;
};

static unsigned state; /* of the mutator's numbers, from the fuzzer's seed with each call */

static unsigned draw(unsigned below)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return below ? state % below : 0;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static bool push(struct stack *stack, size_t at, unsigned kind, const uint8_t *bytes, size_t size)
{
	struct layer *layer = &stack->layers[at];

	if (stack->n == LAYERS || size > HEADER)
		return false;
	memmove(layer + 1, layer, (stack->n - at) * sizeof *layer);
	layer->kind = (uint8_t)kind;
	layer->size = (uint8_t)size;
	memcpy(layer->bytes, bytes, size);
	stack->n++;
	return true;
}

static unsigned next_of(const struct row *row, const uint8_t *bytes)
{
	return row->next == PROTOCOL ? bytes[row->next_at] : get16(bytes + row->next_at);
}

/* How long this header is, by what it says itself. */
static size_t header_size(unsigned kind, const uint8_t *bytes)
{
	if (kind == IP4 || rows[kind].number[TYPE] == 0x0800)
		return (bytes[0] & 15u) * 4;
	if (rows[kind].counts == EIGHTS)
		return (bytes[1] + 1u) * 8;
	if (rows[kind].counts == FOURS)
		return (bytes[1] + 2u) * 4;
	return rows[kind].size;
}

/* What begins with @first, where nothing has named it. */
static unsigned kind_by_look(uint8_t first)
{
	return first >> 4 == 4 ? IP4 : first >> 4 == 6 ? IP6 : DATA;
}

/* What the header names as its follower. */
static unsigned kind_after(const struct layer *layer, uint8_t first)
{
	const struct row *row = &rows[layer->kind];
	unsigned number;

	if (layer->kind == MPLS)
		return layer->bytes[2] & 1 ? kind_by_look(first) : MPLS;
	if (row->next == NONE)
		return row->number[UDP] == 2152 ? kind_by_look(first)
		       : row->number[UDP] || row->number[PROTOCOL] == 97 || row->number[PROTOCOL] == 47 ? ETHER
													   : DATA;
	number = next_of(row, layer->bytes);
	if (row->next == PROTOCOL && number == 0)
		return HOPS;
	for (unsigned i = ETHER; i < ROWS; i++)
		if (number && rows[i].number[row->next] == number)
			return i;
	return row->next == TYPE ? kind_by_look(first) : DATA;
}

static unsigned kind_of_link(unsigned linktype, uint8_t first)
{
	if (linktype == 1)
		return ETHER;
	return linktype == 101 || linktype == 12 || linktype == 228 || linktype == 229
		       ? kind_by_look(first)
		       : OPAQUE;
}

/* Where IP seems to begin, of another link type: behind its ethertype, or by its first byte. */
static size_t opaque_size(const uint8_t *bytes, size_t size)
{
	for (size_t i = 2; i < size && i <= HEADER; i++)
		if ((bytes[i] == 0x45 && get16(bytes + i - 2) == 0x0800) ||
		    (bytes[i] >> 4 == 6 && get16(bytes + i - 2) == 0x86dd))
			return i;
	for (size_t i = 1; i < size && i <= HEADER; i++)
		if (bytes[i] == 0x45 || bytes[i] == 0x60)
			return i;
	return size < HEADER ? size : HEADER;
}

static void take_apart(struct stack *stack, unsigned linktype, const uint8_t *bytes, size_t size)
{
	unsigned kind = size ? kind_of_link(linktype, bytes[0]) : DATA;

	stack->n = 0;
	while (kind != DATA && size && stack->n < LAYERS - 4) {
		size_t header = kind == OPAQUE ? opaque_size(bytes, size) : 0;

		if (kind != OPAQUE && size >= rows[kind].size)
			header = header_size(kind, bytes);
		if (header == 0 || header > size || header < (kind == OPAQUE ? 1 : rows[kind].size) ||
		    !push(stack, stack->n, kind, bytes, header))
			break;
		bytes += header;
		size -= header;
		if (size)
			kind = kind == OPAQUE ? kind_by_look(bytes[0])
					      : kind_after(&stack->layers[stack->n - 1], bytes[0]);
	}
	stack->size = size < FRAME ? size : FRAME;
	if (stack->size)
		memcpy(stack->data, bytes, stack->size);
}

/* Numbers and lengths that fit. */
static void mend(struct stack *stack)
{
	size_t behind = stack->size;

	for (size_t i = stack->n; i-- > 0;) {
		struct layer *layer = &stack->layers[i];
		const struct row *row = &rows[layer->kind];
		const struct row *next = i + 1 < stack->n ? &rows[stack->layers[i + 1].kind] : NULL;
		size_t whole = behind + layer->size;

		if (layer->size < row->size)
			continue; /* something odd that was kept */
		if (layer->kind == MPLS)
			layer->bytes[2] =
				(uint8_t)((layer->bytes[2] & ~1u) | (next != &rows[MPLS]));
		if (next && row->next == PROTOCOL && (next->number[PROTOCOL] || next->counts == EIGHTS))
			layer->bytes[row->next_at] = (uint8_t)next->number[PROTOCOL];
		else if (next && row->next > NONE && next->number[row->next])
			put16(layer->bytes + row->next_at, next->number[row->next]);
		if (row->counts == WHOLE)
			put16(layer->bytes + row->length_at, (unsigned)whole);
		else if (row->counts == BEHIND)
			put16(layer->bytes + row->length_at, (unsigned)behind);
		else if (row->counts == EIGHTS)
			layer->bytes[1] = (uint8_t)(layer->size / 8 - 1);
		else if (row->counts == FOURS)
			layer->bytes[1] = (uint8_t)(layer->size / 4 - 2);
		if (row->next == PROTOCOL && row->number[TYPE] == 0x0800)
			layer->bytes[0] = (uint8_t)((layer->bytes[0] & 0xf0) | layer->size / 4);
		behind = whole;
	}
}

static unsigned random_kind(void)
{
	unsigned kind = ETHER + draw(ROWS - ETHER);

	return kind == OPAQUE ? ETHER : kind;
}

/* One that the header at @before may name. */
static unsigned fitting_kind(const struct stack *stack, size_t at)
{
	unsigned kind = random_kind();
	unsigned space = at ? rows[stack->layers[at - 1].kind].next : NONE;

	for (int tries = 0; space != NONE && tries < 40 && !rows[kind].number[space]; tries++)
		kind = random_kind();
	return kind;
}

static void put_in(struct stack *stack)
{
	size_t at = draw((unsigned)stack->n + 1);
	unsigned kind = fitting_kind(stack, at);

	push(stack, at, kind, (const uint8_t *)rows[kind].bytes, rows[kind].size);
}

static void take_out(struct stack *stack)
{
	size_t at = draw((unsigned)stack->n);

	if (!stack->n)
		return;
	stack->n--;
	memmove(&stack->layers[at], &stack->layers[at + 1], (stack->n - at) * sizeof *stack->layers);
}

static void exchange(struct stack *stack)
{
	size_t at = draw((unsigned)stack->n);
	unsigned kind = fitting_kind(stack, at);

	if (!stack->n)
		return;
	stack->layers[at].kind = (uint8_t)kind;
	stack->layers[at].size = rows[kind].size;
	memcpy(stack->layers[at].bytes, rows[kind].bytes, rows[kind].size);
}

/* The end of the frame once more inside of itself: a tunnel in a tunnel, a tag behind a tag. */
static void repeat(struct stack *stack)
{
	size_t from = draw((unsigned)stack->n), to = draw((unsigned)stack->n + 1);

	if (stack->n)
		push(stack, to, stack->layers[from].kind, stack->layers[from].bytes,
		     stack->layers[from].size);
}

/* A headers grows by what its length may say, with what would be options. */
static void stretch(struct layer *layer)
{
	const struct row *row = &rows[layer->kind];
	size_t step = row->counts == EIGHTS ? 8 : 4, more = step * (1 + draw(3));

	if (layer->size < row->size || layer->size + more > HEADER)
		return;
	for (size_t i = 0; i < more; i++)
		layer->bytes[layer->size + i] = (uint8_t)draw(4);
	layer->size = (uint8_t)(layer->size + more);
}

static const uint16_t ports[] = { 0, 1, 20, 53, 80, 123, 443, 1023, 1024, 1701, 2152, 3544, 4500, 4754,
				  4789, 4790, 5555, 6080, 6081, 6635, 8080, 8472, 9999, 32768, 49152, 65535 };

/* A field, or a byte somewhere, is something else. */
static void edit(struct layer *layer)
{
	const struct row *row = &rows[layer->kind];
	unsigned at = draw(layer->size);

	if (!layer->size)
		return;
	switch (draw(6)) {
	case 0:
		if (layer->size >= row->size && row->next == PROTOCOL)
			layer->bytes[row->next_at] = (uint8_t)draw(256);
		else
			layer->bytes[at] = (uint8_t)(layer->bytes[at] + draw(3) - 1);
		break;
	case 1:
		if (layer->size >= 4)
			put16(layer->bytes + (draw(2) ? 0 : 2), ports[draw(sizeof ports / sizeof *ports)]);
		break;
	case 2:
		layer->bytes[at] ^= (uint8_t)(1u << draw(8));
		break;
	case 3:
		layer->bytes[at] = draw(2) ? 0 : 0xff;
		break;
	default:
		layer->bytes[at] = (uint8_t)draw(256);
		break;
	}
}

/* After all fits: a length that does not. */
static void bend_length(struct layer *layer)
{
	const struct row *row = &rows[layer->kind];
	uint8_t *at = layer->bytes + row->length_at;
	static const int steps[] = { -8, -4, -1, 1, 4, 8 };

	if (layer->size < row->size || row->counts == NO_LENGTH)
		return;
	if (row->counts == EIGHTS || row->counts == FOURS)
		*at = (uint8_t)draw(draw(2) ? 4 : 256);
	else if (draw(3))
		put16(at, get16(at) + (unsigned)steps[draw(6)]);
	else
		put16(at, draw(2) ? draw(2) * 0xffff : draw(80));
}

static void change_data(struct stack *stack)
{
	switch (draw(3)) {
	case 0:
		stack->size = draw(64);
		break;
	case 1:
		for (unsigned n = 1 + draw(8); n > 0 && stack->size < FRAME; n--)
			stack->data[stack->size++] = (uint8_t)draw(256);
		break;
	default:
		if (stack->size)
			stack->data[draw((unsigned)stack->size)] = (uint8_t)draw(256);
		break;
	}
}

static void change(struct stack *stack)
{
	for (unsigned n = 1 + draw(3); n > 0; n--) {
		struct layer *layer = &stack->layers[draw((unsigned)stack->n)];

		switch (draw(9)) {
		case 0:
		case 1:
		case 2:
			put_in(stack);
			break;
		case 3:
			take_out(stack);
			break;
		case 4:
			exchange(stack);
			break;
		case 5:
			repeat(stack);
			break;
		case 6:
			change_data(stack);
			break;
		case 7:
			if (stack->n)
				stretch(layer);
			break;
		default:
			if (stack->n)
				edit(layer);
			break;
		}
	}
	if (draw(8))
		mend(stack);
	if (stack->n && draw(4) == 0)
		bend_length(&stack->layers[draw((unsigned)stack->n)]);
	if (stack->n && draw(4) == 0)
		edit(&stack->layers[draw((unsigned)stack->n)]);
}

/* 0: it does not fit. */
static size_t put_together(const struct stack *stack, uint8_t *to, size_t most)
{
	size_t size = 0;

	for (size_t i = 0; i < stack->n; i++) {
		if (stack->layers[i].size > most - size)
			return 0;
		memcpy(to + size, stack->layers[i].bytes, stack->layers[i].size);
		size += stack->layers[i].size;
	}
	if (stack->size > most - size)
		return 0;
	memcpy(to + size, stack->data, stack->size);
	return size + stack->size;
}

/* Where a record of the input stands, and how long it is. */
struct record {
	size_t at, size;
};

static size_t find_records(const uint8_t *data, size_t size, size_t head,
			   struct record records[RECORDS])
{
	size_t n = 0;

	for (size_t at = head; n < RECORDS && at + RECORD_HEAD <= size; n++) {
		size_t frame = get16(data + at);

		if (frame > size - at - RECORD_HEAD)
			frame = size - at - RECORD_HEAD;
		records[n] = (struct record){ at, RECORD_HEAD + frame };
		at += RECORD_HEAD + frame;
	}
	return n;
}

/* Puts @with in the place of @size bytes at @at. The input as it was, where that is too much. */
static size_t replace(uint8_t *data, size_t all, size_t most, size_t at, size_t size,
		      const uint8_t *with, size_t n)
{
	if (all - size + n > most)
		return all;
	memmove(data + at + n, data + at + size, all - at - size);
	memcpy(data + at, with, n);
	return all - size + n;
}

/* The frame of @record is another one. */
static size_t change_frame(uint8_t *data, size_t size, size_t most, size_t head,
			   struct record record, bool as_well)
{
	static struct stack stack;
	static uint8_t made[RECORD_HEAD + FRAME];
	size_t frame;

	if (record.size - RECORD_HEAD > FRAME)
		return LLVMFuzzerMutate(data, size, most);
	take_apart(&stack, get16(data + head - 2), data + record.at + RECORD_HEAD,
		   record.size - RECORD_HEAD);
	change(&stack);
	frame = put_together(&stack, made + RECORD_HEAD, FRAME);
	put16(made, (unsigned)frame);
	made[2] = draw(4) ? data[record.at + 2] : (uint8_t)draw(16);
	made[3] = draw(4) ? data[record.at + 3] : (uint8_t)draw(256);
	if (draw(8) == 0)
		made[2] = 0;
	return replace(data, size, most, as_well ? record.at + record.size : record.at,
		       as_well ? 0 : record.size, made, RECORD_HEAD + frame);
}

/* A record more, less, or elsewhere. */
static size_t change_order(uint8_t *data, size_t size, size_t most, const struct record *records,
			   size_t n)
{
	static uint8_t copy[RECORD_HEAD + FRAME];
	struct record record = records[draw((unsigned)n)], other = records[draw((unsigned)n)];

	if (record.size > sizeof copy || (draw(2) && n > 1))
		return replace(data, size, most, record.at, record.size, copy, 0);
	memcpy(copy, data + record.at, record.size);
	return replace(data, size, most, other.at, 0, copy, record.size);
}

size_t mutate_records(uint8_t *data, size_t size, size_t most, size_t head, unsigned seed)
{
	static const uint16_t links[] = { 1, 101, 113, 276, 228, 229, 9, 105, 127, 12 };
	static const uint8_t empty[RECORD_HEAD] = { 0 };
	struct record records[RECORDS];
	size_t n;

	state = seed * 2654435761u | 1;
	if (most < head + RECORD_HEAD + HEADER || draw(8) == 0)
		return LLVMFuzzerMutate(data, size, most);
	if (size < head + RECORD_HEAD) {
		memset(data, 0, head);
		put16(data + head - 2, 1);
		size = replace(data, head, most, head, 0, empty, RECORD_HEAD);
	}
	if (draw(64) == 0)
		put16(data + head - 2, links[draw(sizeof links / sizeof *links)]);
	n = find_records(data, size, head, records);
	if (draw(8) == 0)
		return change_order(data, size, most, records, n);
	return change_frame(data, size, most, head, records[draw((unsigned)n)], draw(8) == 0);
}
