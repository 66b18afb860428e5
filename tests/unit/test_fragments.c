/* SPDX-License-Identifier: MIT */
/* The fragment table: who inherits what, in which order frames come back, what its bounds cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "frames.h"
#include "portmeter/packet.h"

#define LINKTYPE_IPV4 228
#define LINKTYPE_IPV6 229
#define SECOND PM_NS_PER_S

/* What the release function was told, in order. */
struct released {
	uint64_t number;
	uint32_t wire;
	bool orphan;
	uint16_t dst_port;
	uint32_t note;
};

struct fixture {
	struct pm_fragments *table;
	struct released released[64];
	size_t n;
};

static void record(void *ctx, const struct pm_fragment_frame *frame,
		   const struct pm_fragment_origin *origin)
{
	struct fixture *f = ctx;

	assert_true(f->n < sizeof f->released / sizeof *f->released);
	f->released[f->n++] = (struct released){
		.number = frame->number,
		.wire = frame->wire,
		.orphan = !origin,
		.dst_port = origin ? origin->dst_port : 0,
		.note = origin ? origin->note : 0,
	};
}

/* A table of @datagrams and @frames, 0 for the defaults. */
static void table_make(struct fixture *f, size_t datagrams, size_t frames)
{
	struct pm_fragments_options options = {
		.datagrams = datagrams,
		.frames = frames,
		.key = { 1, 2 },
		.release = record,
		.ctx = f,
	};

	*f = (struct fixture){ 0 };
	assert_int_equal(pm_fragments_new(&options, &f->table), 0);
}

/* An IPv4 fragment of UDP from 192.0.2.@host with this @id. */
static struct pm_packet fragment4(uint8_t host, uint16_t id)
{
	return (struct pm_packet){
		.ip_version = 4,
		.ip_protocol = 17,
		.fragment_protocol = 17,
		.fragment_id = id,
		.src = { { 192, 0, 2, host } },
		.dst = { { 198, 51, 100, 2 } },
	};
}

/* The number of the frame in which the first fragment to a port comes. */
#define FIRST_OF(dst_port) (1000U + (dst_port))

static void first_of(struct fixture *f, struct pm_packet packet, uint16_t dst_port, uint32_t note,
		     int64_t time_ns)
{
	struct pm_fragment_frame frame = { FIRST_OF(dst_port), time_ns, 1500 };

	packet.verdict = PM_VERDICT_PORTS;
	packet.notes = PM_NOTE_FIRST_FRAGMENT;
	packet.transport = PM_TRANSPORT_UDP;
	packet.src_port = 49152;
	packet.dst_port = dst_port;
	pm_fragments_first(f->table, &packet, &packet, &frame, note);
}

static const struct pm_fragment_origin *later_of(struct fixture *f, struct pm_packet packet,
						 uint64_t number, int64_t time_ns)
{
	struct pm_fragment_frame frame = { number, time_ns, (uint32_t)(1000 + number) };

	packet.verdict = PM_VERDICT_FRAGMENT;
	return pm_fragments_later(f->table, &packet, &frame);
}

static void first(struct fixture *f, uint16_t id, uint16_t dst_port, int64_t time_ns)
{
	first_of(f, fragment4(1, id), dst_port, dst_port, time_ns);
}

static const struct pm_fragment_origin *later(struct fixture *f, uint16_t id, uint64_t number,
					      int64_t time_ns)
{
	return later_of(f, fragment4(1, id), number, time_ns);
}

static void assert_released(const struct fixture *f, size_t i, uint64_t number, uint16_t dst_port)
{
	assert_true(i < f->n);
	assert_int_equal(f->released[i].number, number);
	assert_int_equal(f->released[i].wire, 1000 + number);
	assert_false(f->released[i].orphan);
	assert_int_equal(f->released[i].dst_port, dst_port);
	assert_int_equal(f->released[i].note, dst_port);
}

static void assert_orphan(const struct fixture *f, size_t i, uint64_t number)
{
	assert_true(i < f->n);
	assert_int_equal(f->released[i].number, number);
	assert_true(f->released[i].orphan);
}

static void assert_given_up(struct fixture *f, uint64_t datagrams, uint64_t frames)
{
	uint64_t d, n;

	pm_fragments_given_up(f->table, &d, &n);
	assert_int_equal(d, datagrams);
	assert_int_equal(n, frames);
}

static void later_ones_inherit_from_the_first(void **state)
{
	struct fixture f;
	const struct pm_fragment_origin *origin;

	(void)state;
	table_make(&f, 0, 0);
	first_of(&f, fragment4(1, 7), 53, 99, 0);
	for (uint64_t i = 1; i <= 3; i++) {
		origin = later(&f, 7, i, 0);
		assert_non_null(origin);
		assert_int_equal(origin->verdict, PM_VERDICT_PORTS);
		assert_int_equal(origin->ip_protocol, 17);
		assert_int_equal(origin->transport, PM_TRANSPORT_UDP);
		assert_int_equal(origin->src_port, 49152);
		assert_int_equal(origin->dst_port, 53);
		assert_int_equal(origin->note, 99);
		assert_int_equal(origin->number, FIRST_OF(53));
	}
	assert_int_equal(f.n, 0);
	pm_fragments_free(f.table);
}

static void later_ones_wait_for_the_first(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	assert_null(later(&f, 7, 1, 0));
	assert_null(later(&f, 7, 2, 0));
	assert_int_equal(f.n, 0);
	first(&f, 7, 53, 0);
	assert_int_equal(f.n, 2);
	assert_released(&f, 0, 1, 53);
	assert_released(&f, 1, 2, 53);
	assert_non_null(later(&f, 7, 3, 0));
	first(&f, 7, 53, 0);
	assert_int_equal(f.n, 2);
	pm_fragments_free(f.table);
}

static void interleaved_datagrams_keep_apart(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	assert_null(later(&f, 7, 1, 0));
	first(&f, 8, 123, 0);
	assert_null(later(&f, 9, 2, 0));
	assert_null(later(&f, 7, 3, 0));
	assert_int_equal(later(&f, 8, 4, 0)->dst_port, 123);
	first(&f, 7, 53, 0);
	assert_int_equal(f.n, 2);
	assert_released(&f, 0, 1, 53);
	assert_released(&f, 1, 3, 53);
	first(&f, 9, 161, 0);
	assert_int_equal(f.n, 3);
	assert_released(&f, 2, 2, 161);
	pm_fragments_free(f.table);
}

/* Each differs from the first's datagram in one thing only. */
static void a_datagram_is_named_by_all_of_its_name(void **state)
{
	struct fixture f;
	struct pm_packet name = fragment4(1, 7), other;

	(void)state;
	table_make(&f, 0, 0);
	first_of(&f, name, 53, 0, 0);
	other = fragment4(2, 7);
	assert_null(later_of(&f, other, 1, 0));
	other = name;
	other.dst.bytes[3] = 3;
	assert_null(later_of(&f, other, 2, 0));
	other = fragment4(1, 8);
	assert_null(later_of(&f, other, 3, 0));
	other = name;
	other.fragment_protocol = 6;
	assert_null(later_of(&f, other, 4, 0));
	other = name;
	other.ip_version = 6;
	assert_null(later_of(&f, other, 5, 0));
	assert_non_null(later_of(&f, name, 6, 0));
	pm_fragments_free(f.table);
}

/* From bytes: what follows the first's header (AH, options) is not what names the datagram. */
static void decoded_fragments_find_each_other(void **state)
{
	static const struct {
		uint32_t link;
		const char *first, *later;
		size_t first_size, later_size;
		uint8_t verdict, protocol;
	} pairs[] = {
#define PAIR(link, first, later, ...) \
	{ link, first, later, sizeof(first) - 1, sizeof(later) - 1, __VA_ARGS__ }
		PAIR(LINKTYPE_IPV4, IP4_FRAGMENT("\x00\x1c", "\x20\x00", UDP_NUMBER) UDP,
		     IP4_FRAGMENT("\x00\x1c", "\x00\x01", UDP_NUMBER) UDP, PM_VERDICT_PORTS, 17),
		PAIR(LINKTYPE_IPV4, IP4_FRAGMENT("\x00\x34", "\x20\x00", AH_NUMBER) AH_12(TCP_NUMBER) TCP,
		     IP4_FRAGMENT("\x00\x1c", "\x00\x04", AH_NUMBER) UDP, PM_VERDICT_PORTS, 6),
		PAIR(LINKTYPE_IPV4, IP4_FRAGMENT("\x00\x28", "\x20\x00", AH_NUMBER) AH_12(ICMP_NUMBER) ICMP,
		     IP4_FRAGMENT("\x00\x1c", "\x00\x03", AH_NUMBER) UDP, PM_VERDICT_NO_PORTS_PROTOCOL, 1),
		PAIR(LINKTYPE_IPV6, IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x01") UDP,
		     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08") UDP, PM_VERDICT_PORTS, 17),
		PAIR(LINKTYPE_IPV6,
		     IP6("\x00\x18", "\x2c") FRAGMENT6("\x3c", "\x00\x01") EXTENSION(UDP_NUMBER) UDP,
		     IP6("\x00\x10", "\x2c") FRAGMENT6("\x3c", "\x00\x10") UDP, PM_VERDICT_PORTS, 17),
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		const struct pm_link *link = pm_link_find(pairs[i].link);
		const struct pm_fragment_origin *origin;
		struct pm_fragment_frame frame = { 1, 0, 60 };
		struct pm_packet packet;
		struct fixture f;

		table_make(&f, 0, 0);
		pm_packet_decode(link, (const uint8_t *)pairs[i].first, pairs[i].first_size,
				 pairs[i].first_size, &packet);
		assert_true(packet.notes & PM_NOTE_FIRST_FRAGMENT);
		pm_fragments_first(f.table, &packet, &packet, &frame, 0);
		pm_packet_decode(link, (const uint8_t *)pairs[i].later, pairs[i].later_size,
				 pairs[i].later_size, &packet);
		assert_int_equal(packet.verdict, PM_VERDICT_FRAGMENT);
		origin = pm_fragments_later(f.table, &packet, &frame);
		assert_non_null(origin);
		assert_int_equal(origin->verdict, pairs[i].verdict);
		assert_int_equal(origin->ip_protocol, pairs[i].protocol);
		pm_fragments_free(f.table);
	}
}

static void a_newer_first_replaces_an_older(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	first(&f, 7, 53, 0);
	first(&f, 7, 123, 1);
	assert_int_equal(later(&f, 7, 1, 1)->dst_port, 123);
	assert_given_up(&f, 0, 0);
	pm_fragments_free(f.table);
}

static void the_datagram_longest_untouched_gives_way(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 3, 8);
	first(&f, 1, 53, 0);
	assert_null(later(&f, 2, 1, 0));
	assert_null(later(&f, 2, 2, 0));
	first(&f, 3, 123, 0);
	assert_non_null(later(&f, 1, 3, 0)); /* now 2 is the oldest */
	first(&f, 4, 161, 0);
	assert_int_equal(f.n, 2);
	assert_orphan(&f, 0, 1);
	assert_orphan(&f, 1, 2);
	assert_given_up(&f, 1, 2);
	assert_given_up(&f, 0, 0);
	assert_non_null(later(&f, 3, 4, 0)); /* now 1 is, settled */
	assert_null(later(&f, 5, 5, 0));
	assert_int_equal(f.n, 2);
	assert_non_null(later(&f, 3, 6, 0));
	assert_non_null(later(&f, 4, 7, 0));
	assert_given_up(&f, 1, 0);
	assert_null(later(&f, 1, 8, 0)); /* forgotten: waits, in the place of 5 */
	assert_int_equal(f.n, 3);
	assert_orphan(&f, 2, 5);
	pm_fragments_free(f.table);
}

static void a_full_pool_takes_from_the_datagram_longest_waiting(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 8, 4);
	first(&f, 1, 53, 0); /* older than any, but nothing waits for it */
	assert_null(later(&f, 2, 1, 0));
	assert_null(later(&f, 3, 2, 0));
	assert_null(later(&f, 2, 3, 0));
	assert_null(later(&f, 3, 4, 0));
	assert_null(later(&f, 4, 5, 0));
	assert_int_equal(f.n, 2);
	assert_orphan(&f, 0, 1);
	assert_orphan(&f, 1, 3);
	assert_given_up(&f, 1, 2);
	assert_non_null(later(&f, 1, 6, 0));
	first(&f, 3, 123, 0);
	assert_int_equal(f.n, 4);
	assert_released(&f, 2, 2, 123);
	assert_released(&f, 3, 4, 123);
	pm_fragments_free(f.table);
}

/* Dropping its own frames for one more would gain nothing. */
static void a_datagram_that_fills_the_pool_keeps_what_it_has(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 8, 2);
	assert_null(later(&f, 7, 1, 0));
	assert_null(later(&f, 7, 2, 0));
	assert_null(later(&f, 7, 3, 0));
	assert_int_equal(f.n, 1);
	assert_orphan(&f, 0, 3);
	assert_given_up(&f, 0, 1);
	first(&f, 7, 53, 0);
	assert_int_equal(f.n, 3);
	assert_released(&f, 1, 1, 53);
	assert_released(&f, 2, 2, 53);
	pm_fragments_free(f.table);
}

static void an_expired_first_is_not_used(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	first(&f, 7, 53, 0);
	assert_non_null(later(&f, 7, 1, 120 * SECOND));
	assert_null(later(&f, 7, 2, 120 * SECOND + 1));
	first(&f, 7, 123, 121 * SECOND);
	assert_int_equal(f.n, 1);
	assert_released(&f, 0, 2, 123);
	assert_given_up(&f, 0, 0);
	pm_fragments_free(f.table);
}

static void expired_waiting_frames_are_orphans_when_their_first_comes(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	assert_null(later(&f, 7, 1, 0));
	assert_null(later(&f, 7, 2, 1));
	first(&f, 7, 53, 120 * SECOND + 1);
	assert_int_equal(f.n, 2);
	assert_orphan(&f, 0, 1);
	assert_released(&f, 1, 2, 53);
	pm_fragments_free(f.table);
}

static void a_clock_that_jumps_back_expires_nothing(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 0, 0);
	first(&f, 7, 53, 1000 * SECOND);
	assert_non_null(later(&f, 7, 1, 0));
	assert_non_null(later(&f, 7, 2, PM_TIME_MIN));
	assert_null(later(&f, 8, 3, PM_TIME_MAX));
	first(&f, 8, 123, PM_TIME_MIN);
	assert_int_equal(f.n, 1);
	assert_released(&f, 0, 3, 123);
	pm_fragments_free(f.table);
}

static void what_expired_is_not_counted_as_given_up(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 2, 8);
	first(&f, 1, 53, 0);
	assert_null(later(&f, 2, 1, 0));
	assert_null(later(&f, 3, 2, 500 * SECOND));
	assert_null(later(&f, 4, 3, 500 * SECOND));
	assert_int_equal(f.n, 1);
	assert_orphan(&f, 0, 1);
	assert_given_up(&f, 0, 0);
	pm_fragments_free(f.table);
}

static void flush_releases_in_order_of_arrival_and_keeps_firsts(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 4, 8);
	first(&f, 1, 53, 0);
	for (uint64_t i = 0; i < 6; i++)
		assert_null(later(&f, (uint16_t)(2 + i % 2), 10 + i, 0));
	pm_fragments_flush(f.table);
	assert_int_equal(f.n, 6);
	for (size_t i = 0; i < 6; i++)
		assert_orphan(&f, i, 10 + i);
	assert_given_up(&f, 0, 0);
	pm_fragments_flush(f.table);
	assert_int_equal(f.n, 6);
	assert_int_equal(later(&f, 1, 20, 0)->dst_port, 53);
	first(&f, 2, 123, 0);
	assert_int_equal(f.n, 6);
	pm_fragments_free(f.table);
}

/* Flushed places are free again: as many frames and datagrams fit as before. */
static void places_are_used_again(void **state)
{
	struct fixture f;

	(void)state;
	table_make(&f, 4, 6);
	for (int round = 0; round < 8; round++) {
		f.n = 0;
		for (uint64_t i = 0; i < 6; i++)
			assert_null(later(&f, (uint16_t)(i % 4), i, 0));
		if (round % 2) {
			for (uint16_t id = 0; id < 4; id++)
				first(&f, id, 53, 0);
			assert_int_equal(f.n, 6);
			for (uint64_t id = 4; id < 8; id++) /* new datagrams push out the settled */
				assert_null(later(&f, (uint16_t)id, id, 0));
			assert_given_up(&f, 4, 0);
			assert_int_equal(f.n, 6);
		}
		f.n = 0;
		pm_fragments_flush(f.table);
		assert_int_equal(f.n, round % 2 ? 4 : 6);
		assert_given_up(&f, 0, 0);
	}
	pm_fragments_free(f.table);
}

/* Random traffic through a tiny table: each frame that waits is handed back, and only once. */
static void every_waiting_frame_is_released_once(void **state)
{
	static uint8_t waits[20000], freed[20000];
	uint64_t random = 88172645463325252u;
	int64_t time_ns = 0;
	struct fixture f;
	size_t seen = 0;

	(void)state;
	table_make(&f, 5, 7);
	for (uint64_t i = 0; i < 20000; i++) {
		uint16_t id;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		id = (uint16_t)(random % 11);
		time_ns += (int64_t)(random >> 20 & 63) * SECOND - 20 * SECOND;
		if ((random >> 40) % 5 == 0)
			first(&f, id, 53, time_ns);
		else
			waits[i] = !later(&f, id, i, time_ns);
		if ((random >> 48) % 97 == 0 || i == 19999)
			pm_fragments_flush(f.table);
		for (size_t r = 0; r < f.n; r++, seen++)
			freed[f.released[r].number]++;
		f.n = 0;
	}
	assert_true(seen > 5000);
	assert_memory_equal(waits, freed, sizeof waits);
	pm_fragments_free(f.table);
}

static void bad_options_are_refused(void **state)
{
	struct pm_fragments_options options = { .datagrams = 1 };
	struct pm_fragments *table = NULL;

	(void)state;
	assert_int_equal(pm_fragments_new(&options, &table), PM_E_INVALID);
	options.release = record;
	options.expiry_ns = -1;
	assert_int_equal(pm_fragments_new(&options, &table), PM_E_INVALID);
	options.expiry_ns = 0;
	options.frames = SIZE_MAX;
	assert_int_equal(pm_fragments_new(&options, &table), PM_E_INVALID);
	assert_null(table);
	pm_fragments_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_ones_inherit_from_the_first),
		cmocka_unit_test(later_ones_wait_for_the_first),
		cmocka_unit_test(interleaved_datagrams_keep_apart),
		cmocka_unit_test(a_datagram_is_named_by_all_of_its_name),
		cmocka_unit_test(decoded_fragments_find_each_other),
		cmocka_unit_test(a_newer_first_replaces_an_older),
		cmocka_unit_test(the_datagram_longest_untouched_gives_way),
		cmocka_unit_test(a_full_pool_takes_from_the_datagram_longest_waiting),
		cmocka_unit_test(a_datagram_that_fills_the_pool_keeps_what_it_has),
		cmocka_unit_test(an_expired_first_is_not_used),
		cmocka_unit_test(expired_waiting_frames_are_orphans_when_their_first_comes),
		cmocka_unit_test(a_clock_that_jumps_back_expires_nothing),
		cmocka_unit_test(what_expired_is_not_counted_as_given_up),
		cmocka_unit_test(flush_releases_in_order_of_arrival_and_keeps_firsts),
		cmocka_unit_test(places_are_used_again),
		cmocka_unit_test(every_waiting_frame_is_released_once),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests_name("fragments", tests, NULL, NULL);
}
