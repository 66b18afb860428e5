/* SPDX-License-Identifier: MIT */
/* What strangers send over HTTP, the file of passwords, the address to listen on, the history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "web-internal.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- Host ---------------------------------------------------------------------------------- */

static const struct host_case {
	const char *text;
	bool known;
} host_cases[] = {
	{ "127.0.0.1", true },
	{ "127.0.0.1:8080", true },
	{ "192.0.2.7:80", true },
	{ "[::1]", true },
	{ "[::1]:8080", true },
	{ "[2001:db8::7]:65535", true },
	{ "localhost", true },
	{ "LocalHost:8080", true },
	{ "localhost.", true },
	{ "edge-1.example", true },
	{ "EDGE-1.example:9", true },
	{ "edge-1.example.:9", true },
	{ "localhost:", true }, /* RFC 3986 allows a port without digits */
	{ "", false },
	{ ":8080", false },
	{ ".", false },
	{ "evil.example", false },
	{ "edge-1.example.evil", false },
	{ "xedge-1.example", false },
	{ "localhost.evil.example", false },
	{ "127.0.0.1.evil.example", false },
	{ "127.0.0.1@evil.example", false },
	{ "evil.example#127.0.0.1", false },
	{ "::1", false },
	{ "[::1", false },
	{ "[::1]8080", false },
	{ "[127.0.0.1]", false },
	{ "[localhost]", false },
	{ "localhost:80a", false },
	{ "localhost:123456", false },
	{ "localhost :80", false },
	{ " localhost", false },
	{ "localhost:80:80", false },
	{ "127.1", false }, /* which is 127.0.0.1 to some readers */
	{ "0x7f000001", false },
	{ "2130706433", false },
	{ "[fe80::1%eth0]", false },
	{ "local\nhost", false },
};

static void hosts_are_ours_or_not(void **state)
{
	char name[] = "edge-1.example";
	char *list[] = { name };
	const struct host_names names = { list, 1 }, none = { NULL, 0 };
	char text[600];

	(void)state;
	for (size_t i = 0; i < COUNT(host_cases); i++)
		if (pm_web_host_known(host_cases[i].text, &names) != host_cases[i].known)
			fail_msg("%s", host_cases[i].text);
	assert_false(pm_web_host_known("edge-1.example", &none));
	memset(text, 'a', sizeof text);
	text[sizeof text - 1] = '\0';
	assert_false(pm_web_host_known(text, &names));
}

/* ---- times and numbers --------------------------------------------------------------------- */

#define S PM_NS_PER_S

static const struct time_case {
	const char *text;
	bool valid;
	int64_t time_ns;
} time_cases[] = {
	{ "0", true, 0 },
	{ "1", true, S },
	{ "1795329010.25", true, INT64_C(1795329010250000000) },
	{ "1795329010.123456789123", true, INT64_C(1795329010123456789) },
	{ "-1", true, -S },
	{ "-0.5", true, -S / 2 },
	{ "9223372036", true, INT64_C(9223372036) * S },
	{ "9223372037", false, 0 },
	{ "99999999999", false, 0 },
	{ "1970-01-01T00:00:00Z", true, 0 },
	{ "1969-12-31T23:59:59.5Z", true, -S / 2 },
	{ "2026-11-22T06:30:10Z", true, INT64_C(1795329010) * S },
	{ "2026-11-22t06:30:10.000001z", true, INT64_C(1795329010) * S + 1000 },
	{ "2026-11-22 06:30:10Z", true, INT64_C(1795329010) * S },
	{ "2026-11-22T07:30:10+01:00", true, INT64_C(1795329010) * S },
	{ "2026-11-22T07:30:10 01:00", true, INT64_C(1795329010) * S }, /* a query's plus */
	{ "2026-11-22T01:00:10-05:30", true, INT64_C(1795329010) * S },
	{ "2000-02-29T00:00:00Z", true, INT64_C(951782400) * S },
	{ "2100-03-01T00:00:00Z", true, INT64_C(4107542400) * S },
	{ "2016-12-31T23:59:60Z", true, INT64_C(1483228800) * S }, /* a leap second */
	{ "0001-01-01T00:00:00Z", true, PM_TIME_MIN },             /* beyond what we can tell */
	{ "9999-12-31T23:59:59Z", true, PM_TIME_MAX },
	{ "", false, 0 },
	{ "-", false, 0 },
	{ ".5", false, 0 },
	{ "1.", false, 0 },
	{ "1e9", false, 0 },
	{ "+1", false, 0 },
	{ " 1", false, 0 },
	{ "1 ", false, 0 },
	{ "now", false, 0 },
	{ "2026-11-22", false, 0 },
	{ "2026-11-22T06:30Z", false, 0 },
	{ "2026-11-22T06:30:10", false, 0 },
	{ "2026-11-22T06:30:10.Z", false, 0 },
	{ "2026-11-22T06:30:10Zx", false, 0 },
	{ "2026-13-22T06:30:10Z", false, 0 },
	{ "2026-00-22T06:30:10Z", false, 0 },
	{ "2026-11-31T06:30:10Z", false, 0 },
	{ "2026-11-00T06:30:10Z", false, 0 },
	{ "2026-02-29T06:30:10Z", false, 0 },
	{ "2100-02-29T06:30:10Z", false, 0 },
	{ "2026-11-22T24:30:10Z", false, 0 },
	{ "2026-11-22T06:60:10Z", false, 0 },
	{ "2026-11-22T06:30:61Z", false, 0 },
	{ "2026-11-22T06:30:10+24:00", false, 0 },
	{ "2026-11-22T06:30:10+0100", false, 0 },
	{ "226-11-22T06:30:10Z", false, 0 },
};

static void times_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(time_cases); i++) {
		const struct time_case *c = &time_cases[i];
		int64_t time_ns = 42;

		if (pm_web_time_parse(c->text, &time_ns) != c->valid)
			fail_msg("%s is %svalid", c->text, c->valid ? "" : "not ");
		if (c->valid && time_ns != c->time_ns)
			fail_msg("%s: %lld", c->text, (long long)time_ns);
	}
}

/* Every microsecond's text that records have is read back as it was. */
static void times_of_records_are_read_back(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char text[PM_TIME_TEXT_SIZE];
		int64_t time_ns, back;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		time_ns = pm_time_floor((int64_t)(seed % UINT64_C(9000000000000000000)), 1000);
		pm_time_text(time_ns, text);
		assert_true(pm_web_time_parse(text, &back));
		assert_int_equal(back, time_ns);
	}
}

static void numbers_are_read(void **state)
{
	static const char *const bad[] = { "", "0", "-1", "+1", "1.0", " 1", "1 ", "x",
					   "1000000000000000000" };
	uint64_t number = 0;

	(void)state;
	assert_true(pm_web_number_parse("1", &number));
	assert_int_equal(number, 1);
	assert_true(pm_web_number_parse("999999999999999999", &number));
	assert_int_equal(number, UINT64_C(999999999999999999));
	for (size_t i = 0; i < COUNT(bad); i++)
		if (pm_web_number_parse(bad[i], &number))
			fail_msg("%s", bad[i]);
}

static void event_ids_are_read_back(void **state)
{
	static const char *const bad[] = {
		"",
		"-",
		"17",
		"0123456789abcdef",
		"0123456789abcdef-",
		"0123456789abcdef-0",
		"0123456789abcdef-x",
		"0123456789ABCDEF-1",
		"0123456789abcde-1",
		"0123456789abcdef01-1",
		"0123456789abcdeg-1",
	};
	uint64_t run = 0, number = 0;
	char text[WEB_ID_SIZE];

	(void)state;
	pm_web_id_text(UINT64_C(0xfedcba9876543210), 17, text);
	assert_string_equal(text, "fedcba9876543210-17");
	assert_true(pm_web_id_parse(text, &run, &number));
	assert_true(run == UINT64_C(0xfedcba9876543210) && number == 17);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (pm_web_id_parse(bad[i], &run, &number))
			fail_msg("%s", bad[i]);
}

/* ---- lists --------------------------------------------------------------------------------- */

static void codings_are_accepted(void **state)
{
	static const char *const yes[] = { "gzip", "GZIP", "deflate, gzip", "gzip;q=0.5",
					   "br;q=1.0, gzip;q=0.001, *;q=0", " gzip ", ",,gzip",
					   "gzip ; q=1" };
	static const char *const no[] = { "", "identity", "xgzip", "gzipx", "gzip;q=0",
					  "gzip;q=0.000", "gzip; q=0", "br, gzip;Q=0", "gz ip" };

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++)
		if (!pm_web_accepts(yes[i], "gzip"))
			fail_msg("%s", yes[i]);
	for (size_t i = 0; i < COUNT(no); i++)
		if (pm_web_accepts(no[i], "gzip"))
			fail_msg("%s", no[i]);
}

static void entity_tags_are_found(void **state)
{
	static const char *const yes[] = { "\"a1\"", "W/\"a1\"", "\"b\", \"a1\"", "*",
					   " \"x\",W/\"a1\" " };
	static const char *const no[] = { "", "a1", "\"a\"", "\"a12\"", "\"A1\"", "W/", "**" };

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++)
		if (!pm_web_etag_listed(yes[i], "\"a1\""))
			fail_msg("%s", yes[i]);
	for (size_t i = 0; i < COUNT(no); i++)
		if (pm_web_etag_listed(no[i], "\"a1\""))
			fail_msg("%s", no[i]);
}

static void escapes_are_decoded(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "%2fa%2F", "/a/" },
		{ "%41%4a%4A", "AJJ" },
		{ "%", "%" },
		{ "%4", "%4" },
		{ "%4x", "%4x" },
		{ "%%41", "%A" },
		{ "a%00b", "a\x01"
			   "b" },
		{ "%c3%a9", "\xc3\xa9" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[32];

		snprintf(text, sizeof text, "%s", cases[i][0]);
		assert_int_equal(pm_web_unescape(text), strlen(cases[i][1]));
		assert_string_equal(text, cases[i][1]);
	}
}

/* ---- passwords ----------------------------------------------------------------------------- */

static char path[] = "/tmp/portmeter-web-XXXXXX";

static int load(const char *text, mode_t mode, struct credentials **ret_credentials,
		struct pm_error *err)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
	*err = (struct pm_error){ .line = 0 };
	return pm_web_credentials_load(path, err, ret_credentials);
}

static void passwords_are_told_apart(void **state)
{
	static const char *const yes[] = {
		"Basic YTpi", /* a:b */
		"basic  YTpi",
		"BASIC w6k6w7w6w7Y=", /* in UTF-8, with accents */
		"Basic w6k6w7w6w7Y",
		"Basic bG9uZzpwYXNzd29yZCB3aXRoIHNwYWNlcw==",
	};
	static const char *const no[] = {
		"", "Basic", "Basic ", "Basic YTpj", "Basic YTpi YTpi", "Basic YTp", "Basic YTpiIA==",
		"Basic =", "Basic YTpi!", "Basic Y", "Bearer YTpi", "Digest YTpi", "YTpi",
		"Basic IyBhOmI=", /* # a:b */
	};
	struct credentials *credentials = NULL;
	struct pm_error err;
	char long_one[2000] = "Basic ";

	(void)state;
	assert_int_equal(load("# a:b\n\na:b\r\n\xc3\xa9:\xc3\xbc:\xc3\xb6\nlong:password with spaces",
			      0600, &credentials, &err),
			 PM_OK);
	for (size_t i = 0; i < COUNT(yes); i++)
		if (!pm_web_credentials_hold(credentials, yes[i]))
			fail_msg("%s", yes[i]);
	for (size_t i = 0; i < COUNT(no); i++)
		if (pm_web_credentials_hold(credentials, no[i]))
			fail_msg("%s", no[i]);
	memset(long_one + 6, 'Y', sizeof long_one - 7);
	assert_false(pm_web_credentials_hold(credentials, long_one));
	/* All others of three bytes that begin like one: none is it by a part of its digest. */
	for (int i = 0; i < 4096; i++) {
		static const char digits[] =
			"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		char text[] = "Basic YT..";

		text[8] = digits[i / 64];
		text[9] = digits[i % 64];
		assert_int_equal(pm_web_credentials_hold(credentials, text),
				 strcmp(text, "Basic YTpi") == 0);
	}
	pm_web_credentials_free(credentials);
}

static void bad_files_of_passwords_are_refused(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		int line;
		const char *says;
	} cases[] = {
		{ "a:b\n", 0644, 0, "chmod 600" },
		{ "a:b\n", 0620, 0, "chmod 600" },
		{ "", 0600, 0, "USER:PASSWORD" },
		{ "# nothing\n", 0600, 0, "USER:PASSWORD" },
		{ "a:b\nab\n", 0600, 2, "USER:" },
		{ ":b\n", 0600, 1, "USER:" },
		{ "a:\n", 0600, 1, "USER:" },
		{ "a:\r\n", 0600, 1, "USER:" },
	};
	struct credentials *credentials = NULL;
	struct pm_error err;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(load(cases[i].text, cases[i].mode, &credentials, &err),
				 PM_E_INVALID);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_int_equal(err.line, cases[i].line);
	}
	assert_int_equal(pm_web_credentials_load("/missing/file", &err, &credentials), PM_E_IO);
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void addresses_are_read(void **state)
{
	static const struct {
		const char *text, *url;
		bool loopback;
	} good[] = {
		{ "127.0.0.1:8080", "http://127.0.0.1:8080/", true },
		{ "127.9.9.9:1", "http://127.9.9.9:1/", true },
		{ "8080", "http://127.0.0.1:8080/", true },
		{ "localhost:0", "http://127.0.0.1:0/", true },
		{ "[::1]:65535", "http://[::1]:65535/", true },
		{ "0.0.0.0:80", "http://0.0.0.0:80/", false },
		{ "[::]:80", "http://[::]:80/", false },
		{ "192.0.2.1:80", "http://192.0.2.1:80/", false },
	};
	static const char *const bad[] = { "", ":", ":8080", "127.0.0.1", "127.0.0.1:", "::1:80",
					   "[::1]", "[::1]:", "[]:80", "[127.0.0.1]:80", "example.com:80",
					   "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
					   "127.0.0.1:99999999999", "*:80", "127.0.0.1 :80" };
	struct listen_address address;
	char url[WEB_URL_SIZE];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct pm_error err = { .line = 0 };

		if (pm_web_listen_parse(good[i].text, &err, &address) != PM_OK)
			fail_msg("%s", good[i].text);
		pm_web_listen_url(&address, false, url);
		assert_string_equal(url, good[i].url);
		assert_int_equal(address.loopback, good[i].loopback);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct pm_error err = { .line = 0 };

		if (pm_web_listen_parse(bad[i], &err, &address) != PM_E_INVALID)
			fail_msg("%s", bad[i]);
		assert_non_null(strstr(err.text, "ADDRESS:PORT"));
	}
}

/* ---- history ------------------------------------------------------------------------------- */

static void add(struct history *history, const char *source, int64_t time_ns, const char *text)
{
	assert_int_equal(pm_web_history_add(history, source, true, time_ns, strdup(text),
					    strlen(text)),
			 PM_OK);
}

static void next_is(struct history *history, const struct web_source *source, uint64_t *number,
		    const char *text, bool lost)
{
	bool was_lost = !lost;
	struct web_record *record = pm_web_history_next(history, source, number, &was_lost);

	if (!text)
		assert_null(record);
	else
		assert_memory_equal(record->text, text, record->size);
	assert_int_equal(was_lost, lost);
	pm_web_record_release(record);
}

static void history_hands_out_records_in_order(void **state)
{
	struct history history;
	const struct web_source *one, *two;
	struct web_record *record;
	uint64_t number = 1;

	(void)state;
	assert_int_equal(pm_web_history_init(&history, 1 << 20), PM_OK);
	one = pm_web_history_source(&history, "one", true);
	assert_null(pm_web_history_latest(&history, NULL));
	assert_null(pm_web_history_latest(&history, one));
	add(&history, "one", 10, "1a");
	add(&history, "two", 10, "2a");
	add(&history, "one", 20, "1b");
	add(&history, "one", 30, "1c");
	two = pm_web_history_find(&history, "two");
	assert_ptr_equal(pm_web_history_find(&history, "one"), one);
	assert_null(pm_web_history_find(&history, "three"));
	next_is(&history, NULL, &number, "1a", false);
	next_is(&history, NULL, &number, "2a", false);
	next_is(&history, one, &number, "1b", false);
	next_is(&history, two, &number, NULL, false);
	assert_int_equal(number, 5);
	add(&history, "two", 30, "2b");
	next_is(&history, two, &number, "2b", false);
	assert_int_equal(pm_web_history_since(&history, NULL, 9), 1);
	assert_int_equal(pm_web_history_since(&history, NULL, 10), 3);
	assert_int_equal(pm_web_history_since(&history, two, 10), 5);
	assert_int_equal(pm_web_history_since(&history, NULL, 30), 6);
	assert_int_equal(pm_web_history_limit(&history, NULL, 1, 6, 2), 4);
	assert_int_equal(pm_web_history_limit(&history, one, 1, 6, 2), 3);
	assert_int_equal(pm_web_history_limit(&history, two, 1, 6, 2), 2);
	assert_int_equal(pm_web_history_limit(&history, two, 3, 6, 9), 3);
	record = pm_web_history_latest(&history, two);
	assert_memory_equal(record->text, "2b", 2);
	pm_web_record_release(record);
	record = pm_web_history_latest(&history, one);
	assert_memory_equal(record->text, "1c", 2);
	pm_web_record_release(record);
	pm_web_history_fini(&history);
}

static void history_is_bounded(void **state)
{
	struct history history;
	char text[1001];
	const struct web_source *rare;
	struct web_record *held, *latest;
	uint64_t number = 1;
	bool lost = false;

	(void)state;
	memset(text, 'x', 1000);
	text[1000] = '\0';
	assert_int_equal(pm_web_history_init(&history, 100000), PM_OK);
	add(&history, "rare", 1, "rare");
	held = pm_web_history_next(&history, NULL, &number, &lost);
	for (int i = 0; i < 10000; i++)
		add(&history, "often", i, text);
	assert_true(history.bytes <= 100000 && history.bytes > 90000);
	assert_true(history.n < 100 && history.n > 50);
	next_is(&history, NULL, &number, text, true);
	/* The newest of a source stays, and what somebody holds. */
	rare = pm_web_history_find(&history, "rare");
	latest = pm_web_history_latest(&history, rare);
	assert_ptr_equal(latest, held);
	assert_memory_equal(held->text, "rare", 4);
	assert_int_equal(atomic_load(&history.dropped), 4);
	pm_web_record_release(latest);
	pm_web_record_release(held);
	/* One alone may be larger than all. */
	history.limit = 10;
	add(&history, "often", 1, text);
	assert_int_equal(history.n, 1);
	pm_web_history_fini(&history);
}

static const struct target_case {
	const char *target, *path, *host; /* NULL: it names none */
} target_cases[] = {
	{ "/", "/", NULL },
	{ "*", "*", NULL },
	{ "", "", NULL },
	{ "http", "http", NULL },
	{ "http:/x", "http:/x", NULL },
	{ "http:%2f%2flocalhost/", "http:%2f%2flocalhost/", NULL },
	{ "https://localhost/x", "https://localhost/x", NULL },
	{ "/http://localhost/", "/http://localhost/", NULL },
	{ "http://localhost/healthz", "/healthz", "localhost" },
	{ "HTTP://[::1]:80/a//b", "/a//b", "[::1]:80" },
	{ "http://localhost", "/", "localhost" },
	{ "http://localhost?a=/b", "/b", "localhost" }, /* its path comes without the query */
	{ "http://", "/", "" },
	{ "http:///healthz", "/healthz", "" },
	{ "http://joe@localhost/", "/", "joe@localhost" },
	{ "http://localhost%2fx/", "/", "localhost%2fx" },
};

static void a_target_may_name_its_host(void **state)
{
	char host[WEB_HOST_SIZE], target[7 + WEB_HOST_SIZE + 8];

	(void)state;
	for (size_t i = 0; i < COUNT(target_cases); i++) {
		const struct target_case *c = &target_cases[i];

		assert_string_equal(pm_web_target_path(c->target, "http"), c->path);
		assert_int_equal(pm_web_target_host(c->target, "http", host), c->host != NULL);
		assert_string_equal(host, c->host ? c->host : "");
	}
	for (size_t length = WEB_HOST_SIZE - 1; length <= WEB_HOST_SIZE; length++) {
		snprintf(target, sizeof target, "http://%0*d/x", (int)length, 0);
		assert_string_equal(pm_web_target_path(target, "http"), "/x");
		assert_true(pm_web_target_host(target, "http", host));
		assert_int_equal(strlen(host), length < WEB_HOST_SIZE ? length : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_ours_or_not),
		cmocka_unit_test(a_target_may_name_its_host),
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(times_of_records_are_read_back),
		cmocka_unit_test(numbers_are_read),
		cmocka_unit_test(event_ids_are_read_back),
		cmocka_unit_test(codings_are_accepted),
		cmocka_unit_test(entity_tags_are_found),
		cmocka_unit_test(escapes_are_decoded),
		cmocka_unit_test(passwords_are_told_apart),
		cmocka_unit_test(bad_files_of_passwords_are_refused),
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(history_hands_out_records_in_order),
		cmocka_unit_test(history_is_bounded),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests_name("web", tests, NULL, NULL);
	unlink(path);
	return failed;
}
