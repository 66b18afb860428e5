/* SPDX-License-Identifier: MIT */
/* Rules files: what is read, what is refused and where, and which rule wins. */
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

#include "portmeter/service.h"

/* What a load remarked: "line:column: kind: text" lines, and how often each kind. */
struct log {
	char text[4096];
	size_t count[PM_REMARK_N], total;
	char last[256], last_file[256];
};

static void log_remark(void *ctx, const struct pm_remark *remark)
{
	struct log *log = ctx;
	size_t used = strlen(log->text);

	log->count[remark->kind]++;
	log->total++;
	snprintf(log->last, sizeof log->last, "%s", remark->text);
	snprintf(log->last_file, sizeof log->last_file, "%s", remark->file);
	snprintf(log->text + used, sizeof log->text - used, "%d:%d: %s: %s\n", remark->line,
		 remark->column, pm_remark_name(remark->kind), remark->text);
}

/* Loads from a block of exactly the text's size, so that a sanitizer sees every over-read. */
static int load_bytes(const char *text, size_t size, bool check, struct log *log,
		      struct pm_error *err, struct pm_rules **ret_rules)
{
	struct pm_rules_options options = { .remark = log_remark, .ctx = log, .check = check };
	char *copy = malloc(size ? size : 1);
	int code;

	assert_non_null(copy);
	memcpy(copy, text, size);
	memset(log, 0, sizeof *log);
	code = pm_rules_load_text("dir/t.rules", copy, size, &options, err, ret_rules);
	free(copy);
	return code;
}

static struct pm_rules *load_ok(const char *text)
{
	struct pm_rules *rules = NULL;
	struct log log;

	assert_int_equal(load_bytes(text, strlen(text), true, &log, NULL, &rules), 0);
	assert_int_equal(log.count[PM_REMARK_ERROR], 0);
	return rules;
}

static const char *label(const struct pm_rules *rules, enum pm_transport transport, uint16_t port)
{
	const char *name = pm_rules_name(rules, pm_rules_label(rules, transport, port));

	return name ? name : "-";
}

/*
 * The label at an address, by way of the ladder: a packet from port 0 has only one side that
 * can be the service's.
 */
static uint16_t label_at(const struct pm_rules *rules, enum pm_transport transport, uint16_t port,
			 int version, const struct pm_address *address)
{
	struct pm_packet packet = { .ip_version = (uint8_t)version, .dst = *address };

	packet.transport = (uint8_t)transport;
	packet.dst_port = port;
	return pm_side_decide(rules, &packet).service;
}

/* ---- One line or two, and what is said of them ---- */

#define LONG_63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

struct line_case {
	const char *name;
	const char *text;
	size_t size;
	int code;
	size_t entries;
	const char *said; /* all of it */
};

#define LINE(name, text, ...)                        \
	{                                            \
		name, text, sizeof(text) - 1, __VA_ARGS__ \
	}
#define GOOD(name, text, entries) LINE(name, text, 0, entries, "")
#define SKIPPED(name, text, said) LINE(name, text, 0, 1, said)
#define BAD(name, text, said) LINE(name, text, PM_E_RULES, 0, said)

static const struct line_case line_cases[] = {
	GOOD("nothing is a set without rules", "", 0),
	GOOD("blank lines and comments are no rules", "\n   \n\t# x 0/tcp\n#\n", 0),
	GOOD("a line without its end counts", "a 1/tcp", 1),
	GOOD("each transport of a line counts", "a 1/tcp/udp/udplite/sctp/dccp\n", 5),
	GOOD("a transport given twice counts once", "a 1/tcp/tcp\n", 1),
	GOOD("a transport in capitals is known", "a 1/TCP\n", 1),
	GOOD("blanks may stand before the name", " \t a\t1/tcp \t \n", 1),
	GOOD("a range of one port", "a 7-7/tcp\n", 1),
	GOOD("the range of all ports", "a 1-65535/tcp\n", 1),
	GOOD("zeros may lead a number", "a 0080/tcp\n", 1),
	GOOD("a comment may touch a token", "a 1/tcp#x\nb 2/tcp x#y=z\n", 2),
	GOOD("carriage returns may end lines", "a 1/tcp\r\nb 2/tcp\r\n\r\nc 3/tcp\r", 3),
	GOOD("a byte order mark may stand first", "\xef\xbb\xbf"
						  "a 1/tcp\n",
	     1),
	GOOD("all keys", "a 1/tcp b c category=x priority=0 initiates=yes metric=port host=::1\n",
	     1),
	GOOD("initiates=no is said too", "a 1/tcp initiates=no\n", 1),
	GOOD("one rule for each host", "a 1/tcp/udp host=192.0.2.1 host=2001:db8::/32\n", 4),
	GOOD("a name of 63 bytes", LONG_63 " 1/tcp\n", 1),
	GOOD("a name in UTF-8", "caf\xc3\xa9-\xe2\x82\xac-\xf0\x9f\x98\x80 1/tcp\n", 1),
	GOOD("a comment may be any bytes", "a 1/tcp # \xff\x01\n", 1),
	GOOD("reserved names may be aliases", "a 1/tcp unknown other\n", 1),
	GOOD("names that begin as reserved ones", "others 1/tcp\nunknow 2/tcp\n", 2),

	SKIPPED("an unknown transport skips the line", "a 1/tcp\nb  2/ddp\n",
		"2:4: warning: unknown transport \"ddp\"; the line is skipped\n"),
	SKIPPED("one unknown transport of several skips the line", "a 1/tcp\nb 2/tcp/ddp/udp\n",
		"2:3: warning: unknown transport \"ddp\"; the line is skipped\n"),
	SKIPPED("an unknown key skips the line", "a 1/tcp\nb 2/tcp x colour=red\n",
		"2:11: warning: unknown key \"colour\"; the line is skipped\n"),
	SKIPPED("a key without a name is unknown", "a 1/tcp\nb 2/tcp =x\n",
		"2:9: warning: unknown key \"\"; the line is skipped\n"),
	SKIPPED("keys are written small", "a 1/tcp\nb 2/tcp Priority=1\n",
		"2:9: warning: unknown key \"Priority\"; the line is skipped\n"),
	SKIPPED("bits behind the prefix of an IPv4 subnet", "a 1/tcp host=192.0.2.7/24\n",
		"1:9: warning: 192.0.2.7/24 has bits behind its prefix; 192.0.2.0/24 is used\n"),
	SKIPPED("bits behind the prefix of an IPv6 subnet", "a 1/tcp host=2001:db8::1/33\n",
		"1:9: warning: 2001:db8::1/33 has bits behind its prefix; 2001:db8::/33 is used\n"),
	SKIPPED("what can't be printed is quoted in escapes", "a 1/tcp\nb 2/\x1b[31m\xff\n",
		"2:3: warning: unknown transport \"\\x1b[31m\\xff\"; the line is skipped\n"),

	BAD("port 0", "a 0/udp\n", "1:3: error: port 0 is reserved: no rule can name it\n"),
	BAD("port 00", "a 00/udp\n", "1:3: error: port 0 is reserved: no rule can name it\n"),
	BAD("a range from 0", "a  0-9/udp\n",
	    "1:4: error: port 0 is reserved: no rule can name it\n"),
	BAD("port 65536", "\ta 65536/tcp\n", "1:4: error: port 65536 is above 65535\n"),
	BAD("a port that would wrap around", "a 4294967376/tcp\n",
	    "1:3: error: port 4294967376 is above 65535\n"),
	BAD("a range beyond the ports", "a 1-99999/tcp\n",
	    "1:3: error: port 99999 is above 65535\n"),
	BAD("a reversed range", "a 9-8/tcp\n",
	    "1:3: error: the range ends before it begins: 9-8\n"),
	BAD("a range without its end", "a 9-/tcp\n", "1:3: error: \"\" is not a port number\n"),
	BAD("a range without its beginning", "a -9/tcp\n",
	    "1:3: error: \"\" is not a port number\n"),
	BAD("a range of three", "a 1-2-3/tcp\n", "1:3: error: \"2-3\" is not a port number\n"),
	BAD("a number with a sign", "a +80/tcp\n", "1:3: error: \"+80\" is not a port number\n"),
	BAD("a hexadecimal number", "a 0x50/tcp\n", "1:3: error: \"0x50\" is not a port number\n"),
	BAD("a word for a number", "a http/tcp\n", "1:3: error: \"http\" is not a port number\n"),
	BAD("a name alone", "a 1/tcp\n  lonely\n",
	    "2:3: error: ports and transport are missing\n"),
	BAD("a name and a comment", "lonely # 1/tcp\n",
	    "1:1: error: ports and transport are missing\n"),
	BAD("ports without transport", "a 80\n",
	    "1:3: error: \"80\" is not ports/transports: it has no slash\n"),
	BAD("a slash without transport", "a 80/\n", "1:3: error: a transport is missing\n"),
	BAD("a transport missing between two", "a 80/tcp//udp\n",
	    "1:3: error: a transport is missing\n"),
	BAD("a bad host", "a 1/tcp host=example.org\n",
	    "1:9: error: \"example.org\" is not an address or subnet\n"),
	BAD("an empty host", "a 1/tcp host=\n", "1:9: error: \"\" is not an address or subnet\n"),
	BAD("an IPv4 prefix of 33", "a 1/tcp host=192.0.2.0/33\n",
	    "1:9: error: \"192.0.2.0/33\" is not an address or subnet\n"),
	BAD("an IPv6 prefix of 129", "a 1/tcp host=::/129\n",
	    "1:9: error: \"::/129\" is not an address or subnet\n"),
	BAD("a prefix that is no number", "a 1/tcp host=192.0.2.0/255.255.255.0\n",
	    "1:9: error: \"192.0.2.0/255.255.255.0\" is not an address or subnet\n"),
	BAD("an empty prefix", "a 1/tcp host=192.0.2.0/\n",
	    "1:9: error: \"192.0.2.0/\" is not an address or subnet\n"),
	BAD("an address of three numbers", "a 1/tcp host=10.1.2\n",
	    "1:9: error: \"10.1.2\" is not an address or subnet\n"),
	BAD("an address with a zone", "a 1/tcp host=fe80::1%eth0\n",
	    "1:9: error: \"fe80::1%eth0\" is not an address or subnet\n"),
	BAD("the second host of a line", "a 1/tcp host=::1 host=x\n",
	    "1:18: error: \"x\" is not an address or subnet\n"),
	BAD("priority 101", "a 1/tcp priority=101\n",
	    "1:9: error: priority \"101\" is not a number from 0 to 100\n"),
	BAD("a priority below 0", "a 1/tcp priority=-1\n",
	    "1:9: error: priority \"-1\" is not a number from 0 to 100\n"),
	BAD("an empty priority", "a 1/tcp priority=\n",
	    "1:9: error: priority \"\" is not a number from 0 to 100\n"),
	BAD("a priority given twice", "a 1/tcp priority=1 priority=1\n",
	    "1:20: error: priority= is given twice\n"),
	BAD("initiates=maybe", "a 1/tcp initiates=maybe\n",
	    "1:9: error: initiates=\"maybe\": only yes and no are known\n"),
	BAD("metric=host", "a 1/tcp metric=host\n",
	    "1:9: error: metric=\"host\": only port is known\n"),
	BAD("an empty category", "a 1/tcp category=\n", "1:9: error: category= has no value\n"),
	BAD("a category that is not UTF-8", "a 1/tcp category=\xff\n",
	    "1:9: error: category \"\\xff\" is not UTF-8 without control characters\n"),
	BAD("the name unknown", "a 1/tcp\n\tunknown 2/tcp\n",
	    "2:2: error: the name \"unknown\" is reserved\n"),
	BAD("the name other", "other 2/tcp\n", "1:1: error: the name \"other\" is reserved\n"),
	BAD("a name of 64 bytes", LONG_63 "h 1/tcp\n",
	    "1:1: error: name \"" LONG_63 "h\" is longer than 63 bytes\n"),
	BAD("an alias of 64 bytes", "a 1/tcp " LONG_63 "h\n",
	    "1:9: error: alias \"" LONG_63 "h\" is longer than 63 bytes\n"),
	BAD("a name that is not UTF-8", "a\xff 1/tcp\n",
	    "1:1: error: name \"a\\xff\" is not UTF-8 without control characters\n"),
	BAD("an overlong form in a name", "a\xc0\xaf 1/tcp\n",
	    "1:1: error: name \"a\\xc0\\xaf\" is not UTF-8 without control characters\n"),
	BAD("an overlong form of three bytes", "\xe0\x80\xaf 1/tcp\n",
	    "1:1: error: name \"\\xe0\\x80\\xaf\" is not UTF-8 without control characters\n"),
	BAD("a surrogate in a name", "\xed\xa0\x80 1/tcp\n",
	    "1:1: error: name \"\\xed\\xa0\\x80\" is not UTF-8 without control characters\n"),
	BAD("a character beyond Unicode", "\xf4\x90\x80\x80 1/tcp\n",
	    "1:1: error: name \"\\xf4\\x90\\x80\\x80\" is not UTF-8 without control characters\n"),
	BAD("a cut character in a name", "a\xe2\x82 1/tcp\n",
	    "1:1: error: name \"a\\xe2\\x82\" is not UTF-8 without control characters\n"),
	BAD("a control character in a name", "a\x01 1/tcp\n",
	    "1:1: error: name \"a\\x01\" is not UTF-8 without control characters\n"),
	BAD("a delete character in a name", "a\x7f 1/tcp\n",
	    "1:1: error: name \"a\\x7f\" is not UTF-8 without control characters\n"),
	BAD("a C1 control character in a name", "a\xc2\x85 1/tcp\n",
	    "1:1: error: name \"a\\xc2\\x85\" is not UTF-8 without control characters\n"),
	BAD("a carriage return within a line", "a 1/tcp x\rb\n",
	    "1:9: error: alias \"x\\x0db\" is not UTF-8 without control characters\n"),
	BAD("a NUL byte", "a 1/tcp\nb\0 2/tcp\n", "2:2: error: a NUL byte\n"),
	BAD("a NUL byte in a comment", "# \0\n", "1:3: error: a NUL byte\n"),
	BAD("a byte order mark elsewhere is part of the name, and columns count bytes",
	    "a 1/tcp\n\xef\xbb\xbf"
	    "b 0/tcp\n",
	    "2:6: error: port 0 is reserved: no rule can name it\n"),
	BAD("the first byte order mark has no column",
	    "\xef\xbb\xbf"
	    "b 0/tcp\n",
	    "1:3: error: port 0 is reserved: no rule can name it\n"),
	BAD("every bad line is told", "a 0/tcp\nb 1/ddp\nc\nd 1/tcp host=1.2.3.4/8 priority=x\n",
	    "1:3: error: port 0 is reserved: no rule can name it\n"
	    "2:3: warning: unknown transport \"ddp\"; the line is skipped\n"
	    "3:1: error: ports and transport are missing\n"
	    "4:9: warning: 1.2.3.4/8 has bits behind its prefix; 1.0.0.0/8 is used\n"
	    "4:24: error: priority \"x\" is not a number from 0 to 100\n"),
};

static void line_case_holds(void **state)
{
	const struct line_case *k = *state;
	struct pm_rules *rules = NULL;
	struct pm_error err = { 0 };
	struct log log;

	assert_int_equal(load_bytes(k->text, k->size, false, &log, &err, &rules), k->code);
	assert_string_equal(log.text, k->said);
	if (k->code == 0) {
		assert_int_equal(pm_rules_entries(rules), k->entries);
		assert_string_equal(err.text, "");
	} else {
		assert_null(rules);
		assert_string_equal(err.file, "dir/t.rules");
		assert_non_null(strstr(k->said, err.text));
		assert_true(err.line > 0 && err.column > 0);
	}
	pm_rules_unref(rules);
}

/* ---- Limits ---- */

static void a_line_may_have_4096_bytes(void **state)
{
	static char text[4200];
	struct pm_rules *rules = NULL;
	struct log log;

	(void)state;
	memset(text, '#', sizeof text);
	memcpy(text, "a 1/tcp ", 8);
	memcpy(text + 4096, "\r\nb 2/tcp\n", 10);
	assert_int_equal(load_bytes(text, 4106, false, &log, NULL, &rules), 0);
	assert_int_equal(pm_rules_entries(rules), 2);
	pm_rules_unref(rules);
	rules = NULL;
	memcpy(text + 4096, "#\r\nb 2/tcp\n", 11);
	assert_int_equal(load_bytes(text, 4107, false, &log, NULL, &rules), PM_E_RULES);
	assert_string_equal(log.text, "1:4097: error: the line is longer than 4096 bytes\n");
}

static void after_1000_remarks_one_says_that_there_are_more(void **state)
{
	char *text = malloc(1500 * 8 + 1);
	struct pm_rules *rules = NULL;
	struct pm_error err = { 0 };
	struct log log;

	(void)state;
	for (size_t i = 0; i < 1500; i++)
		memcpy(text + i * 8, i < 1499 ? "a 1/ddp\n" : "a 0/tcp\n", 8);
	assert_int_equal(load_bytes(text, 1500 * 8, false, &log, &err, &rules), PM_E_RULES);
	assert_int_equal(log.total, 1001);
	assert_string_equal(log.last, "further remarks are not shown");
	assert_int_equal(err.line, 1500); /* an error is not lost among the warnings */
	free(text);
}

static void a_set_may_have_a_million_rules(void **state)
{
	static const char line[] = "a 1-9/tcp/udp/udplite/sctp/dccp\n";
	size_t size = sizeof line - 1, n = 200000;
	char *text = malloc(size * n + 8);
	struct pm_rules *rules = NULL;
	struct log log;

	(void)state;
	for (size_t i = 0; i < n; i++)
		memcpy(text + i * size, line, size);
	memcpy(text + size * n, "b 2/tcp\n", 8);
	assert_int_equal(load_bytes(text, size * n, false, &log, NULL, &rules), 0);
	assert_int_equal(pm_rules_entries(rules), 1000000);
	assert_int_equal(pm_rules_conflicts(rules), 0);
	pm_rules_unref(rules);
	rules = NULL;
	assert_int_equal(load_bytes(text, size * n + 8, false, &log, NULL, &rules), PM_E_RULES);
	assert_string_equal(log.text, "200001:1: error: more than 1000000 rules\n");
	free(text);
}

static void a_set_may_have_65535_names(void **state)
{
	size_t at = 0, before = 0;
	char *text = malloc(65536 * 24);
	struct pm_rules *rules = NULL;
	struct log log;

	(void)state;
	for (unsigned i = 1; i <= 65536; i++) {
		before = at;
		at += (size_t)snprintf(text + at, 24, "n%u %u/tcp\n", i, i < 65536 ? i : 1);
	}
	assert_int_equal(load_bytes(text, before, false, &log, NULL, &rules), 0);
	assert_int_equal(pm_rules_services(rules), 65535);
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 65535), "n65535");
	assert_int_equal(pm_rules_label(rules, PM_TRANSPORT_TCP, 65535), 65535);
	pm_rules_unref(rules);
	rules = NULL;
	assert_int_equal(load_bytes(text, at, false, &log, NULL, &rules), PM_E_RULES);
	assert_string_equal(log.text, "65536:1: error: more than 65535 different names\n");
	free(text);
}

static void a_text_above_64_mib_is_refused(void **state)
{
	struct pm_rules *rules = NULL;
	struct pm_error err = { 0 };

	(void)state;
	/* Its bytes are never looked at, so none are needed. */
	assert_int_equal(pm_rules_load_text("big", "", ((size_t)64 << 20) + 1, NULL, &err, &rules),
			 PM_E_RULES);
	assert_string_equal(err.text, "the file is larger than 64 MiB");
}

/* ---- Which rule wins ---- */

struct duel {
	const char *name;
	const char *first, *second; /* two files; tcp/1000 at 192.0.2.9 is asked for */
	const char *winner;
	enum pm_reason reason; /* why the other lost */
};

static const struct duel duels[] = {
	{ "a scope beats none", "s 1000/tcp host=192.0.2.0/24\n", "u 1000/tcp\n", "s",
	  PM_REASON_SCOPE },
	{ "a scope beats a priority", "s 1000/tcp host=192.0.2.0/24 priority=1\n",
	  "u 1000/tcp priority=99\n", "s", PM_REASON_SCOPE },
	{ "a scope beats a width", "s 1-9999/tcp host=0.0.0.0/0\n", "u 1000/tcp\n", "s",
	  PM_REASON_SCOPE },
	{ "a scope beats an earlier line", "u 1000/tcp\ns 1000/tcp host=192.0.2.0/24\n", "", "s",
	  PM_REASON_SCOPE },
	{ "a longer prefix beats a priority", "l 1000/tcp host=192.0.2.9 priority=1\n",
	  "s 1000/tcp host=192.0.2.0/24 priority=99\n", "l", PM_REASON_SCOPE },
	{ "a longer prefix beats a width", "l 1-9999/tcp host=192.0.2.0/25\n",
	  "s 1000/tcp host=192.0.2.0/24\n", "l", PM_REASON_SCOPE },
	{ "a priority beats a width", "p 1-9999/tcp priority=51\n", "w 1000/tcp\n", "p",
	  PM_REASON_PRIORITY },
	{ "a priority beats a later file", "p 1000/tcp priority=51\n", "f 1000/tcp\n", "p",
	  PM_REASON_PRIORITY },
	{ "a priority beats an earlier line", "e 1000/tcp\np 1000/tcp priority=51\n", "", "p",
	  PM_REASON_PRIORITY },
	{ "a width beats a later file", "w 1000/tcp\n", "f 1000-1001/tcp\n", "w",
	  PM_REASON_WIDTH },
	{ "a width beats an earlier line", "e 999-1001/tcp\nw 1000-1001/tcp\n", "", "w",
	  PM_REASON_WIDTH },
	{ "a later file beats an earlier line", "e 1000/tcp\n", "f 1000/tcp\n", "f",
	  PM_REASON_FILE },
	{ "an earlier line beats a later one", "e 1000/tcp\nl 1000/tcp\n", "", "e",
	  PM_REASON_LINE },
	{ "priority counts within a scope", "p 1-9999/tcp host=192.0.2.0/24 priority=51\n",
	  "w 1000/tcp host=192.0.2.0/24\n", "p", PM_REASON_PRIORITY },
	{ "the host's bits behind the prefix don't count", "w 1000/tcp host=192.0.2.77/24\n",
	  "p 1-9999/tcp host=192.0.2.3/24\n", "w", PM_REASON_WIDTH },
	{ "another host's rule does not hold", "u 1000/tcp\n", "s 1000/tcp host=192.0.2.8\n", "u",
	  PM_REASON_HOST },
	{ "an IPv6 rule does not hold for IPv4", "u 1000/tcp\n", "s 1000/tcp host=::/0\n", "u",
	  PM_REASON_HOST },
	{ "an IPv4-mapped rule is one of IPv6", "u 1000/tcp\n",
	  "s 1000/tcp host=::ffff:192.0.2.9\n", "u", PM_REASON_HOST },
};

/* A folder for the files of a test. */
struct folder {
	char path[64];
};

static void folder_make(struct folder *folder)
{
	snprintf(folder->path, sizeof folder->path, "/tmp/portmeter-test-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
}

static const char *in_folder(const struct folder *folder, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", folder->path, name);
	return path;
}

static void put_file(const struct folder *folder, const char *name, const char *text)
{
	FILE *file = fopen(in_folder(folder, name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void folder_remove(struct folder *folder, const char *const *names)
{
	for (; *names; names++)
		assert_int_equal(remove(in_folder(folder, *names)), 0);
	assert_int_equal(rmdir(folder->path), 0);
}

#define FILES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int load_path(const char *path, struct log *log, struct pm_error *err,
		     struct pm_rules **ret_rules)
{
	struct pm_rules_options options = { .paths = &path, .n_paths = 1, .check = true };

	options.remark = log_remark;
	options.ctx = log;
	memset(log, 0, sizeof *log);
	return pm_rules_load(&options, err, ret_rules);
}

struct views {
	struct pm_rule_view views[8];
	size_t n;
};

static void keep_view(void *ctx, const struct pm_rule_view *view)
{
	struct views *views = ctx;

	assert_true(views->n < sizeof views->views / sizeof *views->views);
	views->views[views->n++] = *view;
}

static void the_better_rule_wins(void **state)
{
	const struct duel *k = *state;
	struct pm_address address = { { 192, 0, 2, 9 } };
	struct views views = { .n = 0 };
	struct pm_rules *rules = NULL;
	struct folder folder;
	struct log log;
	uint16_t service;

	folder_make(&folder);
	put_file(&folder, "1.rules", k->first);
	put_file(&folder, "2.rules", k->second);
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), 0);
	folder_remove(&folder, FILES("1.rules", "2.rules"));
	service = label_at(rules, PM_TRANSPORT_TCP, 1000, 4, &address);
	assert_string_equal(pm_rules_name(rules, service), k->winner);
	assert_int_equal(pm_rules_explain(rules, PM_TRANSPORT_TCP, 1000, 4, &address, keep_view,
					  &views),
			 0);
	assert_int_equal(views.n, 2);
	assert_string_equal(views.views[0].name, k->winner);
	assert_int_equal(views.views[0].reason, PM_REASON_WINS);
	assert_int_equal(views.views[1].reason, k->reason);
	pm_rules_unref(rules);
}

static void overlapping_ranges_share_their_ports_by_precedence(void **state)
{
	struct pm_rules *rules = load_ok("wide 100-199/tcp\n"
					 "left 90-110/tcp\n"
					 "right 195-205/tcp\n"
					 "inside 150-160/tcp\n"
					 "point 155/tcp\n"
					 "strong 158-190/tcp priority=60\n"
					 "ends 65535/tcp\n");
	static const struct {
		uint16_t low, high;
		const char *name;
	} expected[] = {
		{ 1, 89, "-" },
		{ 90, 110, "left" },
		{ 111, 149, "wide" },
		{ 150, 154, "inside" },
		{ 155, 155, "point" },
		{ 156, 157, "inside" },
		{ 158, 190, "strong" },
		{ 191, 194, "wide" },
		{ 195, 205, "right" },
		{ 206, 65534, "-" },
		{ 65535, 65535, "ends" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		for (uint32_t port = expected[i].low; port <= expected[i].high; port++)
			assert_string_equal(label(rules, PM_TRANSPORT_TCP, (uint16_t)port),
					    expected[i].name);
	assert_string_equal(label(rules, PM_TRANSPORT_UDP, 100), "-");
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 0), "-");
	pm_rules_unref(rules);
}

static void transports_have_their_own_labels(void **state)
{
	struct pm_rules *rules = load_ok("a 5/tcp/dccp\nb 5/udp\nc 5/udplite\nd 5/sctp metric=port\n");

	(void)state;
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 5), "a");
	assert_string_equal(label(rules, PM_TRANSPORT_UDP, 5), "b");
	assert_string_equal(label(rules, PM_TRANSPORT_UDPLITE, 5), "c");
	assert_string_equal(label(rules, PM_TRANSPORT_SCTP, 5), "d");
	assert_string_equal(label(rules, PM_TRANSPORT_DCCP, 5), "a");
	assert_true(pm_rules_metric(rules, PM_TRANSPORT_SCTP, 5));
	assert_false(pm_rules_metric(rules, PM_TRANSPORT_TCP, 5));
	pm_rules_unref(rules);
}

/* ---- Scopes ---- */

static struct pm_address address_of(const char *text, int *ret_version)
{
	enum pm_transport transport;
	struct pm_address address;
	char query[128];
	uint16_t port;

	snprintf(query, sizeof query, "tcp/1@%s", text);
	assert_int_equal(pm_rules_query(query, NULL, &transport, &port, ret_version, &address), 0);
	return address;
}

static const struct scope_case {
	const char *address, *at_80, *at_90;
} scope_cases[] = {
	{ "10.1.2.3", "host", "net8" },
	{ "10.1.2.4", "net24", "net24-90" },
	{ "10.1.3.4", "net16", "net8" },
	{ "10.2.3.4", "net8", "net8" },
	{ "11.0.0.1", "all4", "any-90" },
	{ "2001:db8::1", "host6", "any-90" },
	{ "2001:db8::2", "net127", "any-90" },
	{ "2001:db8::3", "net127", "any-90" },
	{ "2001:db8::4", "net33", "any-90" },
	{ "2001:db8:8000::", "net32", "any-90" },
	{ "2001:db9::", "any-80", "any-90" },
	{ "::ffff:10.1.2.3", "any-80", "any-90" },
};

static void the_longest_prefix_that_covers_the_port_wins(void **state)
{
	struct pm_rules *rules = load_ok("any-80 80/tcp priority=100\nany-90 90/tcp\n"
					 "all4 80/tcp host=0.0.0.0/0\n"
					 "net8 80-90/tcp host=10.0.0.0/8\n"
					 "net16 80/tcp host=10.1.0.0/16\n"
					 "net24 80/tcp host=10.1.2.0/24\n"
					 "net24-90 90/tcp host=10.1.2.4/30\n"
					 "host 80/tcp host=10.1.2.3\n"
					 "net32 80/tcp host=2001:db8::/32\n"
					 "net33 80/tcp host=2001:db8::/33\n"
					 "net127 80/tcp host=2001:db8::2/127\n"
					 "host6 80/tcp host=2001:db8::1\n"
					 "twice 70/tcp host=10.9.0.0/16 host=2001:db8:9::/48\n");

	(void)state;
	for (size_t i = 0; i < sizeof scope_cases / sizeof *scope_cases; i++) {
		const struct scope_case *k = &scope_cases[i];
		int version;
		struct pm_address address = address_of(k->address, &version);
		uint16_t at_80 = label_at(rules, PM_TRANSPORT_TCP, 80, version, &address);
		uint16_t at_90 = label_at(rules, PM_TRANSPORT_TCP, 90, version, &address);

		assert_string_equal(pm_rules_name(rules, at_80), k->at_80);
		assert_string_equal(pm_rules_name(rules, at_90), k->at_90);
	}
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 80), "any-80");
	assert_true(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 80));
	assert_true(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 85));
	assert_true(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 70));
	assert_false(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 91));
	assert_false(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 79));
	assert_false(pm_rules_scoped(rules, PM_TRANSPORT_UDP, 80));
	assert_false(pm_rules_scoped(rules, PM_TRANSPORT_TCP, 0));
	pm_rules_unref(rules);
}

/* ---- Against a search through all rules, one by one ---- */

static uint64_t random_state;

static uint32_t draw(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % limit;
}

struct oracle_rule {
	unsigned low, high, transport, priority, file, line, prefix;
	bool scoped;
	uint8_t address[4];
};

static bool oracle_holds(const struct oracle_rule *rule, const uint8_t address[4])
{
	for (unsigned bit = 0; rule->scoped && bit < rule->prefix; bit++)
		if ((rule->address[bit / 8] ^ address[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

static bool oracle_better(const struct oracle_rule *a, const struct oracle_rule *b)
{
	if (a->scoped != b->scoped)
		return a->scoped;
	if (a->scoped && a->prefix != b->prefix)
		return a->prefix > b->prefix;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->high - a->low != b->high - b->low)
		return a->high - a->low < b->high - b->low;
	if (a->file != b->file)
		return a->file > b->file;
	return a->line < b->line;
}

#define ORACLE_RULES 60
#define ORACLE_PORTS 300

/* Few ports, few addresses and few priorities, so that everything meets everything. */
static void oracle_draw(struct oracle_rule *rules, const struct folder *folder)
{
	char text[2][ORACLE_RULES * 80];
	size_t used[2] = { 0, 0 };

	text[0][0] = text[1][0] = '\0';
	for (unsigned i = 0; i < ORACLE_RULES; i++) {
		struct oracle_rule *rule = &rules[i];
		char host[32] = "";

		rule->low = 1 + draw(ORACLE_PORTS - 1);
		rule->high = rule->low + (draw(3) ? draw(ORACLE_PORTS - rule->low) : 0);
		rule->transport = draw(2);
		rule->priority = 49 + draw(3);
		rule->file = i >= ORACLE_RULES / 2;
		rule->line = i;
		rule->scoped = draw(2);
		rule->prefix = 28 + draw(5);
		memcpy(rule->address, (uint8_t[]){ 192, 0, 2, (uint8_t)draw(16) }, 4);
		if (rule->scoped)
			snprintf(host, sizeof host, " host=192.0.2.%d/%u", rule->address[3],
				 rule->prefix);
		used[rule->file] += (size_t)snprintf(text[rule->file] + used[rule->file], 80,
						     "r%u %u-%u/%s priority=%u%s\n", i, rule->low,
						     rule->high, rule->transport ? "udp" : "tcp",
						     rule->priority, host);
	}
	put_file(folder, "1.rules", text[0]);
	put_file(folder, "2.rules", text[1]);
}

static const struct oracle_rule *oracle_ask(const struct oracle_rule *rules, unsigned transport,
					    unsigned port, const uint8_t *address)
{
	const struct oracle_rule *best = NULL;

	for (size_t i = 0; i < ORACLE_RULES; i++) {
		const struct oracle_rule *rule = &rules[i];

		if (rule->transport == transport && rule->low <= port && port <= rule->high &&
		    (address ? oracle_holds(rule, address) : !rule->scoped) &&
		    (!best || oracle_better(rule, best)))
			best = rule;
	}
	return best;
}

static void assert_names(const struct pm_rules *rules, uint32_t service,
			 const struct oracle_rule *rule)
{
	char name[16] = "-";

	if (rule)
		snprintf(name, sizeof name, "r%u", rule->line);
	assert_string_equal(service ? pm_rules_name(rules, service) : "-", name);
}

static void random_rules_are_painted_as_a_plain_search_finds_them(void **state)
{
	struct oracle_rule drawn[ORACLE_RULES];
	struct folder folder;

	(void)state;
	random_state = UINT64_C(0x2545f4914f6cdd1d);
	folder_make(&folder);
	for (int round = 0; round < 20; round++) {
		struct pm_rules *rules = NULL;
		struct log log;

		oracle_draw(drawn, &folder);
		assert_int_equal(load_path(folder.path, &log, NULL, &rules), 0);
		for (unsigned port = 1; port < ORACLE_PORTS + 2; port++) {
			for (unsigned t = 0; t < 2; t++) {
				uint8_t last = (uint8_t)(port % 17);
				struct pm_address at = { { 192, 0, 2, last } };

				assert_names(rules, pm_rules_label(rules, t, (uint16_t)port),
					     oracle_ask(drawn, t, port, NULL));
				assert_names(rules, label_at(rules, t, (uint16_t)port, 4, &at),
					     oracle_ask(drawn, t, port, at.bytes));
			}
		}
		pm_rules_unref(rules);
	}
	folder_remove(&folder, FILES("1.rules", "2.rules"));
}

/* ---- Conflicts and shadowed rules ---- */

struct check_case {
	const char *name, *text;
	size_t conflicts;
	const char *said;
};

static const struct check_case check_cases[] = {
	{ "two names for a port", "foo 8443/tcp\n bar 8443/tcp\n", 1,
	  "2:2: conflict: \"bar\" and \"foo\" (dir/t.rules:1) both claim tcp/8443 with priority 50; "
	  "\"foo\" wins because its line comes first\n"
	  "2:2: shadowed: \"bar\" never wins: \"foo\" (dir/t.rules:1) has tcp/8443 by an earlier line\n" },
	{ "two ranges of one width that touch in one port", "a 1-5/udp\nb 5-9/udp priority=50\n", 1,
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim udp/5 with priority 50; \"a\" "
	  "wins because its line comes first\n" },
	{ "the earlier line wins where the later one begins lower", "a 5-9/udp\nb 1-5/udp\n", 1,
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim udp/5 with priority 50; \"a\" "
	  "wins because its line comes first\n" },
	{ "ranges side by side", "a 1-5/udp\nb 6-10/udp\n", 0, "" },
	{ "one name twice is no conflict", "a 1/udp\na 1/udp\n", 0,
	  "2:1: shadowed: \"a\" never wins: \"a\" (dir/t.rules:1) has udp/1 by an earlier line\n" },
	{ "another transport is no conflict", "a 1/udp\nb 1/tcp\n", 0, "" },
	{ "another priority is no conflict", "a 1/udp\nb 1/udp priority=51\n", 0,
	  "1:1: shadowed: \"a\" never wins: \"b\" (dir/t.rules:2) has udp/1 by a higher priority\n" },
	{ "another width is no conflict", "a 1-2/udp\nb 1/udp\nc 2/udp\n", 0,
	  "1:1: shadowed: \"a\" never wins: \"b\" (dir/t.rules:2) has udp/1 by a narrower range\n" },
	{ "another scope is no conflict", "a 1/udp\nb 1/udp host=192.0.2.1\nc 1/udp host=::1\n", 0, "" },
	{ "one subnet written in two ways", "a 1/udp host=192.0.2.0/24\nb 1/udp host=192.0.2.9/24\n", 1,
	  "2:9: warning: 192.0.2.9/24 has bits behind its prefix; 192.0.2.0/24 is used\n"
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim udp/1 with priority 50; \"a\" "
	  "wins because its line comes first\n"
	  "2:1: shadowed: \"b\" never wins: \"a\" (dir/t.rules:1) has udp/1 by an earlier line\n" },
	{ "each neighbour is told once", "a 1-3/udp\nb 2-4/udp\nc 3-5/udp\n", 2,
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim udp/2 with priority 50; \"a\" "
	  "wins because its line comes first\n"
	  "3:1: conflict: \"c\" and \"b\" (dir/t.rules:2) both claim udp/3 with priority 50; \"b\" "
	  "wins because its line comes first\n" },
	{ "each transport is told", "a 1/tcp/udp\nb 1/tcp/udp\n", 2,
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim tcp/1 with priority 50; \"a\" "
	  "wins because its line comes first\n"
	  "2:1: conflict: \"b\" and \"a\" (dir/t.rules:1) both claim udp/1 with priority 50; \"a\" "
	  "wins because its line comes first\n"
	  "2:1: shadowed: \"b\" never wins: \"a\" (dir/t.rules:1) has udp/1 by an earlier line\n" },
	{ "a rule that wins on one transport is not shadowed", "b 2/tcp\na 1/tcp\na 1/tcp/udp\n", 0,
	  "" },
	{ "a rule that wins on its last port is not shadowed", "a 1-9/udp\nb 1-4/udp\nc 5-8/udp\n", 0,
	  "" },
};

static void check_case_holds(void **state)
{
	const struct check_case *k = *state;
	struct pm_rules *rules = NULL;
	struct log log;

	assert_int_equal(load_bytes(k->text, strlen(k->text), true, &log, NULL, &rules), 0);
	assert_string_equal(log.text, k->said);
	assert_int_equal(pm_rules_conflicts(rules), k->conflicts);
	pm_rules_unref(rules);
	rules = NULL;
	assert_int_equal(load_bytes(k->text, strlen(k->text), false, &log, NULL, &rules), 0);
	assert_int_equal(log.count[PM_REMARK_CONFLICT] + log.count[PM_REMARK_SHADOWED], 0);
	assert_int_equal(pm_rules_conflicts(rules), k->conflicts);
	pm_rules_unref(rules);
}

static void a_conflict_of_two_files_names_both(void **state)
{
	struct pm_rules *rules = NULL;
	struct folder folder;
	char expected[1024], path[256];
	struct log log;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "a.rules", "\nfoo 8443/tcp\n");
	put_file(&folder, "b.rules", "\n\nbar 8443/tcp\n");
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), 0);
	snprintf(path, sizeof path, "%s", in_folder(&folder, "b.rules"));
	folder_remove(&folder, FILES("a.rules", "b.rules"));
	snprintf(expected, sizeof expected,
		 "2:1: conflict: \"foo\" and \"bar\" (%s:3) both claim tcp/8443 with priority 50; "
		 "\"bar\" wins because it is in a later file\n"
		 "2:1: shadowed: \"foo\" never wins: \"bar\" (%s:3) has tcp/8443 by a later file\n",
		 path, path);
	assert_string_equal(log.text, expected);
	pm_rules_unref(rules);
}

/* ---- Services and their categories ---- */

static void a_name_is_one_service_on_all_its_ports(void **state)
{
	struct pm_rules *rules = load_ok("a 1/tcp\nb 2/tcp\na 3/udp\n");

	(void)state;
	assert_int_equal(pm_rules_services(rules), 2);
	assert_int_equal(pm_rules_label(rules, PM_TRANSPORT_TCP, 1),
			 pm_rules_label(rules, PM_TRANSPORT_UDP, 3));
	assert_null(pm_rules_name(rules, 0));
	assert_null(pm_rules_category(rules, 0));
	assert_null(pm_rules_category(rules, 1));
	pm_rules_unref(rules);
}

static void a_category_is_that_of_the_best_rule_that_has_one(void **state)
{
	struct pm_rules *rules = NULL;
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "1.rules", "p 1/tcp category=best priority=60\nf 2/tcp category=old\n"
				     "l 4/tcp\nl 5/tcp category=first\nl 6/tcp category=second\n");
	put_file(&folder, "2.rules", "p 3/tcp category=later\nf 3-9/tcp category=new\n"
				     "p 8/tcp priority=99\n");
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), 0);
	folder_remove(&folder, FILES("1.rules", "2.rules"));
	assert_string_equal(pm_rules_name(rules, 1), "p");
	assert_string_equal(pm_rules_category(rules, 1), "best");
	assert_string_equal(pm_rules_category(rules, 2), "new");
	assert_string_equal(pm_rules_category(rules, 3), "first");
	pm_rules_unref(rules);
}

/* ---- Explain and query ---- */

static void explain_tells_all_rules_of_a_port_in_order(void **state)
{
	struct pm_rules *rules = load_ok("low 1-100/udp al ias category=c priority=7\n"
					 "early 50/udp\n"
					 "late 50/udp initiates=yes\n"
					 "net 50/udp host=192.0.2.0/24 metric=port\n"
					 "six 50/udp host=2001:db8::/32\n"
					 "strong 50/udp priority=60\n"
					 "tcp 50/tcp\nelsewhere 51/udp\n");
	static const struct {
		const char *name;
		enum pm_reason reason;
		int prefix;
		const char *host;
	} expected[] = {
		{ "net", PM_REASON_WINS, 24, "192.0.2.0/24" },
		{ "strong", PM_REASON_SCOPE, -1, "" },
		{ "early", PM_REASON_SCOPE, -1, "" },
		{ "late", PM_REASON_SCOPE, -1, "" },
		{ "low", PM_REASON_SCOPE, -1, "" },
		{ "six", PM_REASON_HOST, 32, "2001:db8::/32" },
	};
	struct pm_address address = { { 192, 0, 2, 1 } };
	struct views views = { .n = 0 };

	(void)state;
	assert_int_equal(pm_rules_explain(rules, PM_TRANSPORT_UDP, 50, 4, &address, keep_view,
					  &views),
			 0);
	assert_int_equal(views.n, 6);
	for (size_t i = 0; i < views.n; i++) {
		assert_string_equal(views.views[i].name, expected[i].name);
		assert_int_equal(views.views[i].reason, expected[i].reason);
		assert_int_equal(views.views[i].prefix, expected[i].prefix);
		assert_string_equal(views.views[i].host, expected[i].host);
		assert_string_equal(views.views[i].file, "dir/t.rules");
	}
	assert_true(views.views[0].metric && !views.views[0].initiates);
	assert_true(views.views[3].initiates && !views.views[3].metric);
	assert_int_equal(views.views[3].line, 3);
	assert_null(views.views[3].category);
	assert_string_equal(views.views[3].aliases, "");
	assert_string_equal(views.views[4].aliases, "al ias");
	assert_string_equal(views.views[4].category, "c");
	assert_int_equal(views.views[4].priority, 7);
	assert_int_equal(views.views[4].low, 1);
	assert_int_equal(views.views[4].high, 100);

	/* Without an address no host= holds, and the reasons are those against the next winner. */
	views.n = 0;
	assert_int_equal(pm_rules_explain(rules, PM_TRANSPORT_UDP, 50, 0, &address, keep_view,
					  &views),
			 0);
	assert_int_equal(views.n, 6);
	assert_string_equal(views.views[0].name, "strong");
	assert_int_equal(views.views[1].reason, PM_REASON_PRIORITY);
	assert_int_equal(views.views[4].reason, PM_REASON_HOST);
	assert_int_equal(views.views[5].reason, PM_REASON_HOST);
	views.n = 0;
	assert_int_equal(pm_rules_explain(rules, PM_TRANSPORT_UDP, 0, 0, NULL, keep_view, &views),
			 0);
	assert_int_equal(views.n, 0);
	pm_rules_unref(rules);
}

static const struct query_case {
	const char *text;
	int code;
	enum pm_transport transport;
	uint16_t port;
	int version;
} query_cases[] = {
	{ "udp/5601", 0, PM_TRANSPORT_UDP, 5601, 0 },
	{ "TCP/65535@192.0.2.1", 0, PM_TRANSPORT_TCP, 65535, 4 },
	{ "sctp/1@2001:db8::1", 0, PM_TRANSPORT_SCTP, 1, 6 },
	{ "udplite/0", 0, PM_TRANSPORT_UDPLITE, 0, 0 },
	{ "", PM_E_INVALID, 0, 0, 0 },
	{ "udp", PM_E_INVALID, 0, 0, 0 },
	{ "udp/", PM_E_INVALID, 0, 0, 0 },
	{ "/53", PM_E_INVALID, 0, 0, 0 },
	{ "icmp/53", PM_E_INVALID, 0, 0, 0 },
	{ "udp/65536", PM_E_INVALID, 0, 0, 0 },
	{ "udp/4294967349", PM_E_INVALID, 0, 0, 0 },
	{ "udp/-1", PM_E_INVALID, 0, 0, 0 },
	{ "udp/53 ", PM_E_INVALID, 0, 0, 0 },
	{ "udp/53@", PM_E_INVALID, 0, 0, 0 },
	{ "udp/53@192.0.2", PM_E_INVALID, 0, 0, 0 },
	{ "udp/53@[2001:db8::1]", PM_E_INVALID, 0, 0, 0 },
	{ "udp/53@192.0.2.0/24", PM_E_INVALID, 0, 0, 0 },
};

static void queries_are_read_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof query_cases / sizeof *query_cases; i++) {
		const struct query_case *k = &query_cases[i];
		enum pm_transport transport = PM_TRANSPORT_N;
		struct pm_address address;
		struct pm_error err = { 0 };
		uint16_t port = 7;
		int version = -1;

		assert_int_equal(pm_rules_query(k->text, &err, &transport, &port, &version,
						&address),
				 k->code);
		assert_int_equal(transport, k->code ? PM_TRANSPORT_N : k->transport);
		assert_int_equal(port, k->code ? 7 : k->port);
		assert_int_equal(version, k->code ? -1 : k->version);
		assert_true((err.text[0] != '\0') == (k->code != 0));
	}
}

/* ---- Files, folders and the shipped rules ---- */

static void a_folder_is_read_in_byte_order_of_its_rules_files(void **state)
{
	static const char *const files[] = { "B.rules", "a.rules", "a.rules~", ".a.rules",
					     ".rules", "c.txt", "crules", NULL };
	static const char *const texts[] = { "big 1/tcp", "small 1/tcp" };
	struct pm_rules *rules = NULL;
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	for (size_t i = 0; files[i]; i++)
		put_file(&folder, files[i], i < 2 ? texts[i] : "not a rule");
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), 0);
	assert_int_equal(pm_rules_entries(rules), 2);
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 1), "small");
	pm_rules_unref(rules);
	rules = NULL;
	strcat(folder.path, "/");
	put_file(&folder, "B.rules", "big 0/tcp");
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), PM_E_RULES);
	folder.path[strlen(folder.path) - 1] = '\0';
	assert_string_equal(log.last_file, in_folder(&folder, "B.rules"));
	folder_remove(&folder, files);
}

static void paths_come_in_the_order_given(void **state)
{
	struct folder folder;
	char first[256], second[256];
	const char *paths[] = { second, first };
	struct pm_rules_options options = { .paths = paths, .n_paths = 2 };
	struct pm_rules *rules = NULL;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "a", "a 1/tcp");
	put_file(&folder, "b", "b 1/tcp");
	snprintf(first, sizeof first, "%s", in_folder(&folder, "a"));
	snprintf(second, sizeof second, "%s", in_folder(&folder, "b"));
	assert_int_equal(pm_rules_load(&options, NULL, &rules), 0);
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 1), "a");
	folder_remove(&folder, FILES("a", "b"));
	pm_rules_unref(rules);
}

static void what_is_no_regular_file_is_an_error_and_never_waited_for(void **state)
{
	struct pm_rules *rules = NULL;
	struct pm_error err = { 0 };
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	assert_int_equal(load_path(in_folder(&folder, "none"), &log, &err, &rules), PM_E_IO);
	assert_string_equal(err.file, in_folder(&folder, "none"));
	assert_int_equal(log.count[PM_REMARK_ERROR], 1);
	assert_int_equal(load_path("/dev/zero", &log, NULL, &rules), PM_E_IO);
	assert_int_equal(mkfifo(in_folder(&folder, "f.rules"), 0600), 0);
	assert_int_equal(load_path(in_folder(&folder, "f.rules"), &log, NULL, &rules), PM_E_IO);
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), PM_E_IO);
	assert_string_equal(log.last_file, in_folder(&folder, "f.rules"));
	assert_int_equal(mkdir(in_folder(&folder, "d.rules"), 0700), 0);
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), PM_E_IO);
	assert_int_equal(log.count[PM_REMARK_ERROR], 2);
	assert_null(rules);
	folder_remove(&folder, FILES("f.rules", "d.rules"));
}

static void a_file_above_64_mib_is_refused(void **state)
{
	struct pm_rules *rules = NULL;
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "big", "");
	assert_int_equal(truncate(in_folder(&folder, "big"), ((off_t)64 << 20) + 1), 0);
	assert_int_equal(load_path(in_folder(&folder, "big"), &log, NULL, &rules), PM_E_RULES);
	assert_string_equal(log.text, "0:0: error: the file is larger than 64 MiB\n");
	folder_remove(&folder, FILES("big"));
}

static void errors_of_all_files_are_told(void **state)
{
	struct pm_rules *rules = NULL;
	struct pm_error err = { 0 };
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "1.rules", "a 0/tcp\n");
	put_file(&folder, "2.rules", "b 1/tcp\n\nb\n");
	assert_int_equal(load_path(folder.path, &log, &err, &rules), PM_E_RULES);
	assert_int_equal(log.count[PM_REMARK_ERROR], 2);
	assert_string_equal(log.last_file, in_folder(&folder, "2.rules"));
	assert_string_equal(err.file, in_folder(&folder, "1.rules"));
	assert_int_equal(err.line, 1);
	assert_int_equal(err.column, 3);
	/* What the load ends with is the first error's code. */
	assert_int_equal(mkfifo(in_folder(&folder, "0.rules"), 0600), 0);
	assert_int_equal(mkfifo(in_folder(&folder, "3.rules"), 0600), 0);
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), PM_E_IO);
	assert_int_equal(log.count[PM_REMARK_ERROR], 4);
	assert_int_equal(remove(in_folder(&folder, "0.rules")), 0);
	assert_int_equal(load_path(folder.path, &log, NULL, &rules), PM_E_RULES);
	folder_remove(&folder, FILES("1.rules", "2.rules", "3.rules"));
}

static struct pm_rules *load_shipped(const char *folder, struct log *log)
{
	struct pm_rules_options options = { .folder = folder, .remark = log_remark, .ctx = log };
	struct pm_rules *rules = NULL;

	memset(log, 0, sizeof *log);
	assert_int_equal(pm_rules_load(&options, NULL, &rules), 0);
	return rules;
}

static void the_shipped_rules_name_the_well_known_ports(void **state)
{
	static const struct {
		enum pm_transport transport;
		uint16_t port;
		const char *name, *category;
	} known[] = {
		{ PM_TRANSPORT_TCP, 20, "ftp-data", "file-transfer" },
		{ PM_TRANSPORT_TCP, 22, "ssh", "remote-access" },
		{ PM_TRANSPORT_TCP, 25, "smtp", "mail" },
		{ PM_TRANSPORT_UDP, 53, "domain", "naming" },
		{ PM_TRANSPORT_TCP, 53, "domain", "naming" },
		{ PM_TRANSPORT_UDP, 67, "bootps", "network-config" },
		{ PM_TRANSPORT_UDP, 68, "bootpc", "network-config" },
		{ PM_TRANSPORT_TCP, 80, "http", "web" },
		{ PM_TRANSPORT_UDP, 123, "ntp", "time" },
		{ PM_TRANSPORT_TCP, 443, "https", "web" },
		{ PM_TRANSPORT_UDP, 443, "https", "web" },
		{ PM_TRANSPORT_TCP, 3306, "mysql", "database" },
		{ PM_TRANSPORT_TCP, 5601, "kibana", "web" },
		{ PM_TRANSPORT_SCTP, 3868, "diameter", "authentication" },
	};
	struct log log;
	struct pm_rules *rules = load_shipped(NULL, &log);

	(void)state;
	assert_int_equal(log.total, 0);
	assert_int_equal(pm_rules_conflicts(rules), 0);
	assert_true(pm_rules_entries(rules) > 10000);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		uint32_t service = pm_rules_label(rules, known[i].transport, known[i].port);

		assert_string_equal(pm_rules_name(rules, service), known[i].name);
		assert_string_equal(pm_rules_category(rules, service), known[i].category);
	}
	pm_rules_unref(rules);
}

static const char *source_root(void)
{
	const char *root = getenv("PM_SOURCE_ROOT");

	if (!root) {
		print_message("skipped: PM_SOURCE_ROOT is not set\n");
		skip();
	}
	return root;
}

static void count_view(void *ctx, const struct pm_rule_view *view)
{
	uint64_t *sum = ctx;
	char text[1024];

	/* Everything but the path of the file, which is only a name for shipped ones. */
	snprintf(text, sizeof text, "%s|%s|%s|%d|%d|%d|%d|%d|%d|%d", view->name,
		 view->category ? view->category : "", view->aliases, view->line, view->low,
		 view->high, view->priority, view->initiates, view->metric, (int)view->reason);
	*sum = *sum * 31 + pm_hash((struct pm_hash_key){ 1, 2 }, text, strlen(text));
}

static void sum_remark(void *ctx, const struct pm_remark *remark)
{
	uint64_t *sum = ctx;

	*sum = *sum * 31 + (uint64_t)remark->line * 8192 + (uint64_t)remark->column * 4 +
	       (uint64_t)remark->kind;
}

static void remarks_on_shipped_files_tell_the_same_places(void **state)
{
	uint64_t shipped = 0, loaded = 0;
	struct pm_rules *rules = NULL;
	char folder[512];
	const char *path = folder;
	struct pm_rules_options options = { .remark = sum_remark, .check = true };

	(void)state;
	snprintf(folder, sizeof folder, "%s/rules", source_root());
	options.ctx = &shipped;
	assert_int_equal(pm_rules_load(&options, NULL, &rules), 0);
	pm_rules_unref(rules);
	options.ctx = &loaded;
	options.paths = &path;
	options.n_paths = 1;
	assert_int_equal(pm_rules_load(&options, NULL, &rules), 0);
	pm_rules_unref(rules);
	assert_true(shipped != 0);
	assert_true(shipped == loaded);
}

static void the_shipped_files_loaded_from_disk_are_the_same_set(void **state)
{
	struct pm_rules *shipped, *loaded = NULL;
	char path[512];
	struct log log;

	(void)state;
	snprintf(path, sizeof path, "%s/rules", source_root());
	shipped = load_shipped(NULL, &log);
	assert_int_equal(load_path(path, &log, NULL, &loaded), 0);
	assert_int_equal(log.count[PM_REMARK_WARNING] + log.count[PM_REMARK_CONFLICT], 0);
	assert_string_equal(pm_rules_sha256(shipped), pm_rules_sha256(loaded));
	assert_int_equal(pm_rules_entries(shipped), pm_rules_entries(loaded));
	assert_int_equal(pm_rules_services(shipped), pm_rules_services(loaded));
	for (unsigned t = 0; t < PM_TRANSPORT_N; t++) {
		for (unsigned port = 0; port < 65536; port++)
			if (pm_rules_label(shipped, t, (uint16_t)port) !=
			    pm_rules_label(loaded, t, (uint16_t)port))
				fail_msg("transport %u, port %u", t, port);
		for (unsigned port = 0; port < 65536; port += port < 100 ? 1 : 97) {
			uint64_t a = 0, b = 0;

			pm_rules_explain(shipped, t, (uint16_t)port, 0, NULL, count_view, &a);
			pm_rules_explain(loaded, t, (uint16_t)port, 0, NULL, count_view, &b);
			assert_true(a == b);
		}
	}
	for (uint32_t i = 1; i <= pm_rules_services(shipped); i++)
		assert_string_equal(pm_rules_name(shipped, i), pm_rules_name(loaded, i));
	pm_rules_unref(shipped);
	pm_rules_unref(loaded);
}

static void a_folder_joins_the_shipped_rules_in_name_order(void **state)
{
	struct pm_rules *alone, *joined;
	struct folder folder;
	struct log log;

	(void)state;
	folder_make(&folder);
	/* Before the shipped 10-common.rules, and behind it. */
	put_file(&folder, "05-mine.rules", "mine 443/tcp\nmine 59999/udp\n");
	put_file(&folder, "90-local.rules", "ours 80/tcp\n");
	alone = load_shipped(NULL, &log);
	joined = load_shipped(folder.path, &log);
	assert_int_equal(pm_rules_entries(joined), pm_rules_entries(alone) + 3);
	assert_string_equal(label(joined, PM_TRANSPORT_TCP, 443), "https");
	assert_string_equal(label(joined, PM_TRANSPORT_UDP, 59999), "mine");
	assert_string_equal(label(joined, PM_TRANSPORT_TCP, 80), "ours");
	assert_string_equal(label(joined, PM_TRANSPORT_TCP, 22), "ssh");
	assert_string_not_equal(pm_rules_sha256(joined), pm_rules_sha256(alone));
	folder_remove(&folder, FILES("05-mine.rules", "90-local.rules"));
	pm_rules_unref(alone);
	pm_rules_unref(joined);
}

static void a_file_of_the_same_name_replaces_the_shipped_one(void **state)
{
	struct folder folder;
	struct pm_rules *rules;
	struct log log;

	(void)state;
	folder_make(&folder);
	put_file(&folder, "00-iana.rules", "only 7777/tcp priority=100\n");
	rules = load_shipped(folder.path, &log);
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 7777), "only");
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 22), "ssh");
	assert_true(pm_rules_entries(rules) < 5000);
	pm_rules_unref(rules);
	put_file(&folder, "10-common.rules", "");
	rules = load_shipped(folder.path, &log);
	assert_int_equal(pm_rules_entries(rules), 1);
	assert_int_equal(pm_rules_services(rules), 1);
	folder_remove(&folder, FILES("00-iana.rules", "10-common.rules"));
	pm_rules_unref(rules);
}

static void a_folder_that_is_not_there_joins_nothing(void **state)
{
	struct pm_rules *alone, *joined, *none = NULL;
	struct log log;

	(void)state;
	alone = load_shipped(NULL, &log);
	joined = load_shipped("/nonexistent/portmeter", &log);
	assert_string_equal(pm_rules_sha256(alone), pm_rules_sha256(joined));
	pm_rules_unref(alone);
	pm_rules_unref(joined);
	assert_int_equal(pm_rules_load(&(struct pm_rules_options){ .folder = "/dev/null" }, NULL,
				       &none),
			 PM_E_IO);
	assert_true(pm_rules_folder()[0] == '/');
}

static void the_digest_is_of_base_names_and_texts(void **state)
{
	/* sha256 of "t.rules", NUL, the hex sha256 of "a 1/tcp\n", newline; by sha256sum(1). */
	static const char expected[] =
		"33e0fafa2e88910871903be9fa0cdf8ad21546194b8ceeecda49d56872af8065";
	struct pm_rules *rules = load_ok("a 1/tcp\n"), *other = NULL;

	(void)state;
	assert_string_equal(pm_rules_sha256(rules), expected);
	assert_int_equal(pm_rules_load_text("elsewhere/t.rules", "a 1/tcp\n", 8, NULL, NULL, &other),
			 0);
	assert_string_equal(pm_rules_sha256(other), expected);
	pm_rules_unref(other);
	other = NULL;
	assert_int_equal(pm_rules_load_text("u.rules", "a 1/tcp\n", 8, NULL, NULL, &other), 0);
	assert_string_not_equal(pm_rules_sha256(other), expected);
	pm_rules_unref(other);
	pm_rules_unref(rules);
}

/* ---- Files of others ---- */

static struct pm_rules *load_foreign(const char *path, struct log *log)
{
	struct pm_rules *rules = NULL;

	if (access(path, R_OK) != 0) {
		print_message("skipped: %s is not here\n", path);
		skip();
	}
	assert_int_equal(load_path(path, log, NULL, &rules), 0);
	assert_int_equal(log->count[PM_REMARK_ERROR], 0);
	return rules;
}

static void an_unchanged_etc_services_loads(void **state)
{
	struct log log;
	struct pm_rules *rules = load_foreign("/etc/services", &log);

	(void)state;
	assert_true(pm_rules_entries(rules) > 50);
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 22), "ssh");
	assert_string_equal(label(rules, PM_TRANSPORT_UDP, 53), "domain");
	pm_rules_unref(rules);
}

static void an_unchanged_wireshark_services_loads(void **state)
{
	struct log log;
	struct pm_rules *rules = load_foreign("/usr/share/wireshark/services", &log);

	(void)state;
	assert_true(pm_rules_entries(rules) > 10000);
	assert_int_equal(log.count[PM_REMARK_WARNING], 0);
	assert_string_equal(label(rules, PM_TRANSPORT_SCTP, 9), "discard");
	assert_string_equal(label(rules, PM_TRANSPORT_TCP, 443), "https");
	pm_rules_unref(rules);
}

static void the_example_of_local_rules_loads_without_remarks(void **state)
{
	char path[512];
	struct log log;
	struct pm_rules *rules;

	(void)state;
	snprintf(path, sizeof path, "%s/rules/90-local.rules.example", source_root());
	rules = load_foreign(path, &log);
	assert_string_equal(log.text, "");
	pm_rules_unref(rules);
}

/* ---- Lives ---- */

static void a_set_lives_until_its_last_user_lets_go(void **state)
{
	struct pm_rules *old = load_ok("a 1/tcp category=c\n"), *new;

	(void)state;
	assert_ptr_equal(pm_rules_ref(old), old);
	new = load_ok("b 1/tcp\n");
	pm_rules_unref(old);
	assert_string_equal(label(old, PM_TRANSPORT_TCP, 1), "a");
	assert_string_equal(pm_rules_category(old, 1), "c");
	assert_string_equal(label(new, PM_TRANSPORT_TCP, 1), "b");
	pm_rules_unref(old);
	pm_rules_unref(new);
	pm_rules_unref(NULL);
}

static void a_load_that_fails_leaves_the_result_alone(void **state)
{
	struct pm_rules *rules = load_ok("a 1/tcp\n"), *kept = rules;
	struct log log;

	(void)state;
	assert_int_equal(load_bytes("a 0/tcp", 7, true, &log, NULL, &rules), PM_E_RULES);
	assert_ptr_equal(rules, kept);
	pm_rules_unref(rules);
}

static const struct CMUnitTest plain_tests[] = {
	cmocka_unit_test(a_line_may_have_4096_bytes),
	cmocka_unit_test(after_1000_remarks_one_says_that_there_are_more),
	cmocka_unit_test(a_set_may_have_a_million_rules),
	cmocka_unit_test(a_set_may_have_65535_names),
	cmocka_unit_test(a_text_above_64_mib_is_refused),
	cmocka_unit_test(overlapping_ranges_share_their_ports_by_precedence),
	cmocka_unit_test(transports_have_their_own_labels),
	cmocka_unit_test(the_longest_prefix_that_covers_the_port_wins),
	cmocka_unit_test(random_rules_are_painted_as_a_plain_search_finds_them),
	cmocka_unit_test(a_conflict_of_two_files_names_both),
	cmocka_unit_test(a_name_is_one_service_on_all_its_ports),
	cmocka_unit_test(a_category_is_that_of_the_best_rule_that_has_one),
	cmocka_unit_test(explain_tells_all_rules_of_a_port_in_order),
	cmocka_unit_test(queries_are_read_whole_or_refused),
	cmocka_unit_test(a_folder_is_read_in_byte_order_of_its_rules_files),
	cmocka_unit_test(paths_come_in_the_order_given),
	cmocka_unit_test(what_is_no_regular_file_is_an_error_and_never_waited_for),
	cmocka_unit_test(a_file_above_64_mib_is_refused),
	cmocka_unit_test(errors_of_all_files_are_told),
	cmocka_unit_test(the_shipped_rules_name_the_well_known_ports),
	cmocka_unit_test(remarks_on_shipped_files_tell_the_same_places),
	cmocka_unit_test(the_shipped_files_loaded_from_disk_are_the_same_set),
	cmocka_unit_test(a_folder_joins_the_shipped_rules_in_name_order),
	cmocka_unit_test(a_file_of_the_same_name_replaces_the_shipped_one),
	cmocka_unit_test(a_folder_that_is_not_there_joins_nothing),
	cmocka_unit_test(the_digest_is_of_base_names_and_texts),
	cmocka_unit_test(an_unchanged_etc_services_loads),
	cmocka_unit_test(an_unchanged_wireshark_services_loads),
	cmocka_unit_test(the_example_of_local_rules_loads_without_remarks),
	cmocka_unit_test(a_set_lives_until_its_last_user_lets_go),
	cmocka_unit_test(a_load_that_fails_leaves_the_result_alone),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

int main(void)
{
	static struct CMUnitTest tests[COUNT(line_cases) + COUNT(duels) + COUNT(check_cases) +
				       COUNT(plain_tests)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(line_cases); i++)
		tests[n++] = (struct CMUnitTest){ line_cases[i].name, line_case_holds, NULL, NULL,
						  (void *)&line_cases[i] };
	for (size_t i = 0; i < COUNT(duels); i++)
		tests[n++] = (struct CMUnitTest){ duels[i].name, the_better_rule_wins, NULL, NULL,
						  (void *)&duels[i] };
	for (size_t i = 0; i < COUNT(check_cases); i++)
		tests[n++] = (struct CMUnitTest){ check_cases[i].name, check_case_holds, NULL, NULL,
						  (void *)&check_cases[i] };
	for (size_t i = 0; i < COUNT(plain_tests); i++)
		tests[n++] = plain_tests[i];
	return _cmocka_run_group_tests("rules", tests, n, NULL, NULL);
}
