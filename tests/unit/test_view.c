/* SPDX-License-Identifier: MIT */
/* The live view without a terminal: records and keys go in, lines of text come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <cmocka.h>

#include "traffic.h"
#include "view.h"

#define ROWS 24
#define COLUMNS 80
#define LINE_SIZE (4 * 300)

static const char rules_text[] = "domain 53/udp/tcp category=naming\n"
				 "web 80/tcp category=web\n"
				 "z\xc3\xa4hler 90/tcp\n"
				 "\xe8\xaf\xad 91/tcp\n";

static const struct pm_source eth0 = { .live = true, .name = "eth0", .snaplen = 256 };
static const struct pm_source eth1 = { .live = true, .name = "eth1", .snaplen = 256 };
static const struct view_options usual = { .utf8 = true };
static struct pm_rules *rules;

static int load(void **state)
{
	(void)state;
	/* For wcwidth(3). */
	if (!setlocale(LC_CTYPE, "C.UTF-8") && !setlocale(LC_CTYPE, "en_US.UTF-8"))
		return -1;
	rules = traffic_rules(rules_text, 1);
	return rules ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

/* ---- records ------------------------------------------------------------------------------- */

/* Of the interval from second @at on, two long. */
static struct pm_tally *tally_at(int at)
{
	struct pm_tally *tally = NULL;

	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	tally->interval.start_ns = (INT64_C(1795329000) + at) * SECOND;
	tally->interval.end_ns = tally->interval.start_ns + 2 * SECOND;
	tally->merged = 1;
	return tally;
}

static void count(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
		  uint16_t dst_port, uint32_t wire, size_t n)
{
	struct pm_packet packet = {
		.verdict = PM_VERDICT_PORTS,
		.ip_version = 4,
		.transport = (uint8_t)transport,
		.src_port = src_port,
		.dst_port = dst_port,
		.src = { { 192, 0, 2, 1 } },
		.dst = { { 198, 51, 100, 2 } },
	};
	struct pm_tally_entry entry = { src_port, dst_port, { 0, 0, 0 }, wire, packet.transport };
	struct pm_endpoints_view endpoints;

	entry.decision = pm_side_decide(rules, &packet);
	for (; n > 0; n--) {
		pm_tally_frame(tally, 4, wire);
		pm_tally_ports(tally, &entry, 1);
		if (pm_tally_endpoints(tally, &endpoints))
			pm_tally_endpoint(tally, &entry, 4, &packet.src, &packet.dst);
	}
}

static void count_none(struct pm_tally *tally, enum pm_verdict verdict, uint8_t protocol,
		       uint32_t wire)
{
	pm_tally_frame(tally, 4, wire);
	pm_tally_no_port(tally, verdict, protocol, wire);
}

static void show(struct view *view, struct pm_tally *tally, const struct pm_source *source)
{
	struct pm_record *record = NULL;

	assert_int_equal(pm_record_new(tally, source, &record), PM_OK);
	pm_tally_free(tally);
	assert_int_equal(view_record(view, record), PM_OK);
}

/* domain: 1,000 packets of 125 bytes; web: 100 of 1,000; no label: 10 of 100; ICMP: one of 50. */
static struct pm_tally *sample(int at)
{
	struct pm_tally *tally = tally_at(at);

	count(tally, PM_TRANSPORT_UDP, 50000, 53, 125, 600);
	count(tally, PM_TRANSPORT_UDP, 53, 50000, 125, 400);
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 1000, 100);
	count(tally, PM_TRANSPORT_TCP, 50002, 4444, 100, 10);
	count_none(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 1, 50);
	return tally;
}

static struct view *view_of(const struct view_options *options)
{
	struct view *view = NULL;

	assert_int_equal(view_new(options, &view), PM_OK);
	return view;
}

static struct view *sample_view(void)
{
	struct view *view = view_of(&usual);

	show(view, sample(0), &eth0);
	return view;
}

/* ---- the screen as text -------------------------------------------------------------------- */

static char lines[ROWS][LINE_SIZE];

static size_t put_utf8(char *to, uint32_t rune)
{
	mbstate_t state;
	size_t n;

	memset(&state, 0, sizeof state);
	n = wcrtomb(to, (wchar_t)rune, &state);
	assert_int_not_equal(n, (size_t)-1);
	return n;
}

/* Draws into a block of exactly that size, and checks that only what can be shown is in it. */
static void draw_any(struct view *view, int rows, int columns, bool utf8)
{
	size_t n = (size_t)(rows * columns);
	struct view_cell *cells = malloc(n * sizeof *cells);

	assert_true(cells || n == 0);
	view_draw(view, rows, columns, cells);
	for (size_t i = 0; i < n; i++) {
		uint32_t rune = cells[i].rune;
		int width = rune ? wcwidth((wchar_t)rune) : 0;

		if (rune == 0) { /* behind a wide one, in its line */
			assert_true(i % (size_t)columns > 0);
			assert_int_equal(wcwidth((wchar_t)cells[i - 1].rune), 2);
		} else {
			assert_true(rune >= 0x20 && rune != 0x7f && !(rune >= 0x80 && rune < 0xa0));
			assert_true(utf8 || rune < 0x7f);
			assert_true(width == 1 ||
				    (width == 2 && i % (size_t)columns + 1 < (size_t)columns &&
				     cells[i + 1].rune == 0));
		}
	}
	free(cells);
}

static void draw_size(struct view *view, int rows, int columns)
{
	static struct view_cell cells[ROWS * 300];

	view_draw(view, rows, columns, cells);
	memset(lines, 0, sizeof lines);
	for (int row = 0; row < rows; row++) {
		char *to = lines[row];

		for (int column = 0; column < columns; column++)
			if (cells[row * columns + column].rune)
				to += put_utf8(to, cells[row * columns + column].rune);
		while (to > lines[row] && to[-1] == ' ')
			*--to = '\0';
	}
}

static void draw(struct view *view)
{
	draw_size(view, ROWS, COLUMNS);
}

/* The first line with @text in it; -1: none. */
static int line_with(const char *text)
{
	for (int row = 0; row < ROWS; row++)
		if (strstr(lines[row], text))
			return row;
	return -1;
}

static void expect_line(int row, const char *text)
{
	if (strncmp(lines[row], text, strlen(text)) != 0)
		fail_msg("line %d is \"%s\", not \"%s\"", row, lines[row], text);
}

static void expect_order(const char *first, const char *second, const char *third)
{
	int a = line_with(first), b = line_with(second), c = line_with(third);

	if (a < 0 || b < 0 || c < 0 || a > b || b > c)
		fail_msg("%s in line %d, %s in %d, %s in %d", first, a, second, b, third, c);
}

static void keys(struct view *view, const char *text)
{
	for (; *text; text++)
		assert_true(view_key(view, (uint32_t)(unsigned char)*text));
	draw(view);
}

static void key(struct view *view, uint32_t which)
{
	assert_true(view_key(view, which));
	draw(view);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void before_the_first_record_it_waits(void **state)
{
	struct view *view = view_of(&usual);

	(void)state;
	draw(view);
	expect_line(0, " portmeter");
	expect_line(1, " waiting for the end of the first interval");
	assert_false(view_key(view, 'q'));
	view_free(view);
	view_free(NULL);
}

static void services_show_rates_shares_and_both_ways(void **state)
{
	struct view *view = sample_view();

	(void)state;
	draw(view);
	expect_line(0, " portmeter  eth0  06:30:00 to 06:30:02 UTC");
	expect_line(1, " 904.2 kbit/s  555.5 packets/s  1,111 packets  226.1 kB");
	expect_line(2, " [1 Services]  2 Ports   3 Transports   4 Notices");
	assert_int_equal(line_with("domain"), 4);
	assert_non_null(strstr(lines[4], "  domain        udp     53     500.0k  55.3%      500"));
	assert_non_null(strstr(lines[4], " 300.0k   200.0k ")); /* to it, from it */
	assert_non_null(strstr(lines[5], "  web           tcp     80     400.0k  44.2%       50"));
	assert_non_null(strstr(lines[6], "  (unknown)                      4.0k   0.4%        5"));
	assert_non_null(strstr(lines[7], "  (no port)                       200   0.0%      0.5"));
	expect_line(8, "");
	assert_non_null(strstr(lines[23], "4 rows"));
	view_free(view);
}

static void bytes_and_totals_are_shown_on_request(void **state)
{
	struct view *view = sample_view();

	(void)state;
	keys(view, "b");
	assert_non_null(strstr(lines[4], " 62.5k ")); /* 125,000 bytes in two seconds */
	show(view, sample(2), &eth0);
	keys(view, "t");
	expect_line(0, " portmeter  eth0  06:30:00 to 06:30:04 UTC, in all");
	assert_non_null(strstr(lines[3], "BYTES"));
	assert_non_null(strstr(lines[line_with("domain")], "250.0k  55.3%     2.0k"));
	keys(view, "t");
	assert_non_null(strstr(lines[4], " 62.5k "));
	view_free(view);
}

static void rows_sort_by_any_column_both_ways(void **state)
{
	struct view *view = sample_view();

	(void)state;
	draw(view);
	expect_order("domain", "web", "(unknown)");
	assert_non_null(strstr(lines[3], "BIT/S\xe2\x96\xbc"));
	keys(view, "r");
	expect_order("(no port)", "(unknown)", "web");
	keys(view, "N");
	expect_order("(no port)", "(unknown)", "domain");
	assert_non_null(strstr(lines[3], "NAME\xe2\x96\xb2"));
	keys(view, "N");
	expect_order("web", "domain", "(no port)");
	keys(view, "N");
	expect_order("(no port)", "(unknown)", "domain");
	keys(view, "K");
	expect_order("domain", "web", "(unknown)");
	keys(view, "T");
	expect_order("web", "domain", "(unknown)"); /* 100,000 bytes to it, 75,000 */
	keys(view, ">");                            /* from it */
	assert_non_null(strstr(lines[3], "FROM IT\xe2\x96\xbc"));
	expect_order("domain", "web", "(no port)");
	keys(view, "<");
	assert_non_null(strstr(lines[3], "TO IT\xe2\x96\xbc"));
	keys(view, "O");
	expect_order("(unknown)", "domain", "web");
	keys(view, "<<<<<<<<<<<<ssssssssssssssss"); /* round and round */
	view_free(view);
}

static void the_filter_narrows_as_it_is_typed(void **state)
{
	struct view *view = sample_view();

	(void)state;
	keys(view, "/DoM");
	expect_line(23, "/DoM");
	assert_int_equal(line_with("domain"), 4);
	assert_int_equal(line_with("web"), -1);
	keys(view, "x");
	assert_int_equal(line_with("domain"), -1);
	assert_true(line_with("nothing has \"DoMx\" in it") > 0);
	key(view, VIEW_KEY_BACKSPACE);
	assert_int_equal(line_with("domain"), 4);
	key(view, VIEW_KEY_ENTER);
	assert_non_null(strstr(lines[2], "/DoM"));
	assert_non_null(strstr(lines[23], "1 of 4 rows"));
	key(view, VIEW_KEY_ESCAPE);
	assert_int_equal(line_with("web"), 5);
	keys(view, "/tcp/8q"); /* q is a letter here */
	assert_int_equal(line_with("domain"), -1);
	key(view, VIEW_KEY_BACKSPACE);
	assert_true(line_with("web") > 0 && line_with("domain") < 0); /* by its port */
	key(view, VIEW_KEY_ESCAPE);
	keys(view, "/naming");
	assert_true(line_with("domain") > 0 && line_with("web") < 0); /* by its category */
	key(view, 'U' & 0x1f);
	assert_true(line_with("web") > 0);
	key(view, 'z');
	key(view, 0xe4);
	key(view, VIEW_KEY_BACKSPACE);
	expect_line(23, "/z   Enter");
	for (int i = 0; i < 200; i++)
		key(view, 0xe4);
	for (int i = 0; i < 200; i++)
		key(view, VIEW_KEY_BACKSPACE);
	expect_line(23, "/   Enter");
	view_free(view);
}

static void a_filter_of_any_language_is_found(void **state)
{
	struct view *view = view_of(&usual);
	struct pm_tally *tally = tally_at(0);

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 50000, 90, 100, 1);
	count(tally, PM_TRANSPORT_TCP, 50000, 91, 100, 1);
	show(view, tally, &eth0);
	draw(view);
	assert_true(line_with("\xe8\xaf\xad            tcp") > 0); /* it is two columns wide */
	keys(view, "/z");
	key(view, 0xe4);
	assert_true(line_with("z\xc3\xa4hler        tcp") > 0 && line_with("\xe8\xaf\xad") < 0);
	key(view, VIEW_KEY_ESCAPE);
	keys(view, "/");
	key(view, 0x8bed);
	assert_true(line_with("\xe8\xaf\xad            tcp") > 0 && line_with("hler") < 0);
	view_free(view);
}

static void a_pause_keeps_what_is_shown_and_loses_nothing(void **state)
{
	struct view *view = sample_view();
	char before[ROWS][LINE_SIZE];
	struct pm_tally *tally = tally_at(4);

	(void)state;
	show(view, sample(2), &eth0);
	keys(view, "p");
	assert_non_null(strstr(lines[0], "PAUSED"));
	memcpy(before, lines, sizeof lines);
	count(tally, PM_TRANSPORT_TCP, 50000, 80, 100, 1);
	show(view, tally, &eth0);
	show(view, sample(6), &eth0);
	draw(view);
	assert_memory_equal(before, lines, sizeof lines);
	keys(view, "t"); /* the sum, too, is that of then */
	expect_line(0, " portmeter  eth0  06:30:00 to 06:30:04 UTC");
	assert_non_null(strstr(lines[1], " 2,222 packets"));
	keys(view, "p");
	expect_line(0, " portmeter  eth0  06:30:00 to 06:30:08 UTC");
	assert_non_null(strstr(lines[1], " 3,334 packets"));
	keys(view, " ");
	assert_non_null(strstr(lines[0], "PAUSED"));
	view_free(view); /* while paused */
}

static void ports_transports_and_notices_have_tabs(void **state)
{
	struct view *view = sample_view();

	(void)state;
	keys(view, "2");
	assert_non_null(strstr(lines[2], "[2 Ports]"));
	assert_int_equal(line_with("udp/53 "), 4);
	assert_non_null(strstr(lines[4], "domain"));
	assert_non_null(strstr(lines[line_with("tcp/4444")], "  tcp/4444        -"));
	keys(view, "\t");
	assert_non_null(strstr(lines[2], "[3 Transports]"));
	assert_non_null(strstr(lines[4], "  udp "));
	assert_non_null(strstr(lines[5], "  tcp "));
	assert_non_null(strstr(lines[6], "  (no port) "));
	keys(view, "4");
	assert_int_equal(line_with("no port: no_ports_protocol, icmp"), 4);
	key(view, VIEW_KEY_RIGHT); /* no endpoints are counted */
	assert_non_null(strstr(lines[2], "[1 Services]"));
	keys(view, "5");
	assert_non_null(strstr(lines[2], "[1 Services]"));
	key(view, VIEW_KEY_BACK_TAB);
	assert_non_null(strstr(lines[2], "[4 Notices]"));
	view_free(view);
}

static void notices_tell_what_wants_to_be_looked_at(void **state)
{
	struct view *view = view_of(&usual);
	struct pm_tally *tally = sample(0);

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 0, 80, 60, 3);
	tally->capture.dropped_kernel = 1234;
	tally->capture.dropped_kernel_known = true;
	tally->capture.down_ns = 1500000000;
	tally->given_up.handshakes = 7;
	show(view, tally, &eth0);
	view_message(view, "the interface is gone");
	draw(view);
	expect_line(23, "the interface is gone");
	assert_non_null(strstr(lines[1], "! 1,234 dropped"));
	assert_non_null(strstr(lines[2], "4 Notices !4"));
	keys(view, "4");
	assert_true(line_with("! 1,234 packets dropped by kernel") > 0);
	assert_true(line_with("! the interface was down or gone for 1.5 s") > 0);
	assert_true(line_with("! tcp_port_zero ") > 0);
	assert_true(line_with("! 7 handshakes given up for want of room") > 0);
	assert_true(line_with("message 1: the interface is gone") > 0);
	assert_null(strstr(lines[23], "gone")); /* a key has been hit */
	keys(view, "/message");
	assert_int_equal(line_with("message 1"), 4);
	for (int i = 0; i < 100; i++)
		view_message(view, "more");
	draw(view);
	assert_int_equal(line_with("message 101: more"), 4);
	view_free(view);
}

static void endpoints_have_a_tab_where_they_are_counted(void **state)
{
	struct view *view = view_of(&usual);
	struct pm_tally *tally = tally_at(0);

	(void)state;
	assert_int_equal(pm_tally_by_endpoint(tally, 16), PM_OK);
	count(tally, PM_TRANSPORT_UDP, 50000, 53, 125, 600);
	show(view, tally, &eth0);
	keys(view, "5");
	assert_non_null(strstr(lines[2], "[5 Endpoints]"));
	assert_non_null(strstr(lines[4], "  198.51.100.2:53 "));
	assert_non_null(strstr(lines[4], "300.0k"));
	keys(view, "tN"); /* no sum of them is kept: still rates */
	assert_non_null(strstr(lines[4], "300.0k"));
	show(view, sample(2), &eth0); /* not counted any more */
	draw(view);
	assert_non_null(strstr(lines[2], "[1 Services]"));
	view_free(view);
}

static void interfaces_take_turns(void **state)
{
	struct view *view = sample_view();
	struct pm_tally *tally = tally_at(0);

	(void)state;
	count(tally, PM_TRANSPORT_TCP, 50000, 80, 100, 1);
	show(view, tally, &eth1);
	draw(view);
	expect_line(0, " portmeter  eth0 (1 of 2)");
	keys(view, "i");
	expect_line(0, " portmeter  eth1 (2 of 2)");
	assert_int_equal(line_with("domain"), -1);
	keys(view, "i");
	expect_line(0, " portmeter  eth0 (1 of 2)");
	keys(view, "I");
	expect_line(0, " portmeter  eth1 (2 of 2)");
	view_free(view);
}

static void sources_stand_in_the_order_in_which_they_are_named(void **state)
{
	struct view *view = view_of(&usual);

	(void)state;
	assert_int_equal(view_source(view, &eth0), PM_OK);
	assert_int_equal(view_source(view, &eth1), PM_OK);
	show(view, sample(0), &eth1);
	draw(view);
	expect_line(0, " portmeter  eth0 (1 of 2)");
	assert_int_equal(line_with("domain"), -1);
	assert_int_not_equal(line_with("waiting for the end of the first interval"), -1);
	keys(view, "i");
	expect_line(0, " portmeter  eth1 (2 of 2)  ");
	assert_int_not_equal(line_with("domain"), -1);
	show(view, sample(2), &eth0);
	keys(view, "i");
	expect_line(0, " portmeter  eth0 (1 of 2)  ");
	assert_int_not_equal(line_with("domain"), -1);
	view_free(view);
}

static void a_source_without_records_takes_every_key(void **state)
{
	struct view *view = view_of(&usual);
	struct pm_tally *tally = tally_at(0);

	(void)state;
	assert_int_equal(view_source(view, &eth0), PM_OK);
	assert_int_equal(view_source(view, &eth1), PM_OK);
	keys(view, "p2tsjkg3Gr4b1/dom");
	key(view, VIEW_KEY_ESCAPE);
	keys(view, "5"); /* nothing tells yet that there are any */
	assert_int_equal(line_with("[5 Endpoints]"), -1);
	show(view, sample(0), &eth0);
	show(view, sample(2), &eth0); /* there was nothing to hold */
	draw(view);
	expect_line(0, " portmeter  eth0 (1 of 2)  ");
	assert_int_not_equal(line_with("PAUSED"), -1);
	assert_int_not_equal(line_with("domain"), -1);
	keys(view, "pt");
	assert_int_not_equal(line_with("domain"), -1);
	view_free(view);

	view = view_of(&usual);
	assert_int_equal(view_source(view, &eth0), PM_OK);
	assert_int_equal(view_source(view, &eth1), PM_OK);
	assert_int_equal(pm_tally_by_endpoint(tally, 16), PM_OK);
	count(tally, PM_TRANSPORT_UDP, 50000, 53, 125, 600);
	show(view, tally, &eth1);
	keys(view, "i5");
	assert_int_not_equal(line_with("[5 Endpoints]"), -1);
	keys(view, "i");
	expect_line(0, " portmeter  eth0 (1 of 2)");
	assert_int_not_equal(line_with("[5 Endpoints]"), -1); /* the tab is not lost by passing by */
	keys(view, "i");
	assert_int_not_equal(line_with("198.51.100.2:53"), -1);
	view_free(view);
}

/* A port in each line, from @first on, the busiest first. */
static struct pm_tally *many_from(int at, int first, int n)
{
	struct pm_tally *tally = tally_at(at);

	for (int i = 0; i < n; i++)
		count(tally, PM_TRANSPORT_TCP, 65535, (uint16_t)(first + i),
		      (uint32_t)(10000 - i), 1);
	return tally;
}

static struct pm_tally *many(int at, int n)
{
	return many_from(at, 1000, n);
}

static void a_selected_row_stays_selected_and_tells_exactly(void **state)
{
	struct view *view = view_of(&usual);

	(void)state;
	show(view, many(0, 100), &eth0);
	keys(view, "2");
	assert_non_null(strstr(lines[4], "tcp/1000 ")); /* 65535 is a client's */
	keys(view, "B");
	key(view, VIEW_KEY_DOWN); /* the first: 65535, in all of them */
	key(view, VIEW_KEY_DOWN);
	assert_int_equal(lines[5][0], '>');
	expect_line(21, " tcp/1000: 1 packets 10,000 B; to 1 packets 10,000 B; from 0 packets 0 B");
	draw_size(view, ROWS, 60); /* in two lines, if it is too long for one */
	expect_line(21, " tcp/1000: 1 packets 10,000 B; to 1 packets 10,000 B");
	expect_line(22, " from 0 packets 0 B");
	keys(view, "r"); /* it is far down now, and in sight */
	assert_true(line_with(">") > 0 && strstr(lines[line_with(">")], "tcp/1000 "));
	key(view, VIEW_KEY_HOME);
	assert_non_null(strstr(lines[4], "> tcp/1099 "));
	key(view, VIEW_KEY_PAGE_DOWN);
	assert_int_equal(line_with(">"), 20);
	assert_non_null(strstr(lines[20], "tcp/1083 "));
	key(view, VIEW_KEY_END);
	assert_non_null(strstr(lines[20], "> tcp/65535 "));
	show(view, many(2, 3), &eth0); /* it is still there */
	draw(view);
	assert_int_equal(line_with(">"), 7);
	show(view, tally_at(4), &eth0);
	draw(view);
	assert_int_equal(line_with(">"), -1);
	key(view, VIEW_KEY_ESCAPE);
	expect_line(21, "");
	view_free(view);
}

static void top_and_service_only_hold_in_the_view(void **state)
{
	static const struct view_options few = { .utf8 = true, .top = 5 };
	static const struct view_options serving = { .utf8 = true, .service_only = true };
	struct view *view = view_of(&few);

	(void)state;
	show(view, many(0, 100), &eth0);
	keys(view, "2");
	assert_non_null(strstr(lines[23], " 5 rows"));
	assert_true(line_with("tcp/1003 ") > 0 && line_with("tcp/1004 ") < 0);
	view_free(view);
	view = view_of(&serving);
	show(view, sample(0), &eth0);
	keys(view, "2");
	assert_true(line_with("udp/53 ") > 0 && line_with("/50001") < 0);
	view_free(view);
}

static void trends_rise_and_fall(void **state)
{
	static const char rising[] = "\xe2\x96\x81\xe2\x96\x82\xe2\x96\x83\xe2\x96\x84\xe2\x96\x85"
				     "\xe2\x96\x86\xe2\x96\x87\xe2\x96\x88";
	struct view *view = view_of(&usual);

	(void)state;
	for (int i = 1; i <= 8; i++) {
		struct pm_tally *tally = tally_at(2 * i);

		count(tally, PM_TRANSPORT_UDP, 50000, 53, 100, (size_t)(i == 1 ? 1 : 14 * (i - 1)));
		show(view, tally, &eth0);
	}
	draw(view);
	assert_non_null(strstr(lines[4], rising));
	assert_non_null(strstr(lines[1], rising)); /* of all */
	for (int i = 0; i < 40; i++)
		/* more than there is room for */
		show(view, many_from(100 + 2 * i, 1000 + 600 * i, 500), &eth0);
	draw(view);
	assert_null(strstr(lines[1], rising));
	show(view, sample(300), &eth0);
	draw(view);
	assert_non_null(strstr(lines[line_with("domain")], "\xe2\x96\x88"));
	view_free(view);
}

static void any_size_is_filled_and_not_more(void **state)
{
	struct view *view = sample_view();

	(void)state;
	view_message(view, "a message");
	for (int round = 0; round < 4; round++) {
		for (int rows = 0; rows <= 30; rows++)
			for (int columns = 0; columns <= 130; columns += columns < 45 ? 1 : 17)
				draw_any(view, rows, columns, true);
		(void)view_key(view, round == 0 ? '?' : round == 1 ? '4'
								   : '/');
		(void)view_key(view, VIEW_KEY_DOWN);
	}
	view_free(view);
	view = sample_view();
	draw_size(view, 10, 40);
	expect_line(0, " portmeter  eth0  06:30:00 to 06:30:02");
	expect_line(4, "  domain          udp     53     500.0k");
	draw_size(view, 2, 30);
	expect_line(1, "  domain        53     500.0k");
	view_free(view);
}

static void wide_screens_show_more(void **state)
{
	struct view *view = sample_view();

	(void)state;
	draw_size(view, ROWS, 160);
	assert_non_null(strstr(lines[3], "MOSTLY BY"));
	assert_non_null(strstr(lines[4], "\xe2\x96\x88\xe2\x96\x88")); /* a bar */
	assert_non_null(strstr(lines[4], " known"));
	view_free(view);
}

static void nothing_gets_to_the_terminal_that_moves_its_cursor(void **state)
{
	static const struct pm_source odd = { .live = true, .name = "e\033[2Jth\x9b", .snaplen = 1 };
	static const struct view_options plain = { .utf8 = false };
	static const char *const texts[] = {
		"\033[31mred\007\x7f",
		"\xc2\x9b"
		"31m C1",
		"\xe2\x80\xae"
		"turned round",
		"\xe0\x80\x9b overlong",
		"\xff\xfe\xc3", /* not UTF-8, and cut */
		"\xe8\xaf\xad wide",
		"a\xcc\x81 combined",
		"\xef\xbf\xbf no character",
	};

	(void)state;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		struct view *view = view_of(utf8 ? &usual : &plain);

		show(view, sample(0), &odd);
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			view_message(view, texts[i]);
			draw_any(view, ROWS, COLUMNS, utf8);
			draw(view);
			if (!utf8 || i == 1 || i == 2 || i > 5)
				assert_non_null(strchr(lines[23], '?'));
			for (int columns = 1; columns < 20; columns++)
				draw_any(view, ROWS, columns, utf8);
		}
		(void)view_key(view, '4');
		draw_any(view, ROWS, COLUMNS, utf8);
		draw(view);
		expect_line(0, utf8 ? " portmeter  e?[2Jth\xef\xbf\xbd " : " portmeter  e?[2Jth? ");
		(void)view_key(view, '1');
		draw_any(view, ROWS, 200, utf8); /* bars and trends */
		view_free(view);
	}
}

static void help_names_every_key_and_goes_away(void **state)
{
	struct view *view = sample_view();

	(void)state;
	keys(view, "?");
	assert_true(line_with("q, Ctrl-C") > 0 && line_with("/          only") > 0);
	assert_int_equal(line_with("domain"), -1);
	key(view, VIEW_KEY_ESCAPE);
	assert_int_equal(line_with("domain"), 4);
	keys(view, "hh");
	assert_int_equal(line_with("domain"), 4);
	for (uint32_t any = 0; any < 0x80; any++)
		if (any != 'q' && any != '/')
			(void)view_key(view, any);
	draw(view);
	view_free(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_first_record_it_waits),
		cmocka_unit_test(services_show_rates_shares_and_both_ways),
		cmocka_unit_test(bytes_and_totals_are_shown_on_request),
		cmocka_unit_test(rows_sort_by_any_column_both_ways),
		cmocka_unit_test(the_filter_narrows_as_it_is_typed),
		cmocka_unit_test(a_filter_of_any_language_is_found),
		cmocka_unit_test(a_pause_keeps_what_is_shown_and_loses_nothing),
		cmocka_unit_test(ports_transports_and_notices_have_tabs),
		cmocka_unit_test(notices_tell_what_wants_to_be_looked_at),
		cmocka_unit_test(endpoints_have_a_tab_where_they_are_counted),
		cmocka_unit_test(interfaces_take_turns),
		cmocka_unit_test(sources_stand_in_the_order_in_which_they_are_named),
		cmocka_unit_test(a_source_without_records_takes_every_key),
		cmocka_unit_test(a_selected_row_stays_selected_and_tells_exactly),
		cmocka_unit_test(top_and_service_only_hold_in_the_view),
		cmocka_unit_test(trends_rise_and_fall),
		cmocka_unit_test(any_size_is_filled_and_not_more),
		cmocka_unit_test(wide_screens_show_more),
		cmocka_unit_test(nothing_gets_to_the_terminal_that_moves_its_cursor),
		cmocka_unit_test(help_names_every_key_and_goes_away),
	};

	return cmocka_run_group_tests_name("view", tests, load, unload);
}
