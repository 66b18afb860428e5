/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what a stranger puts into a request: host, time, number, event id, lists, escapes,
 * password. Whatever it is, the answer is the same each time and keeps what the parser promises.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "require.h"
#include "web-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct credentials *credentials;

static void load_credentials(void)
{
	static const char line[] = "joe:secret\n";
	char path[] = "/tmp/portmeter-fuzz-XXXXXX";
	int fd = mkstemp(path);

	REQUIRE(fd >= 0 && write(fd, line, sizeof line - 1) == (ssize_t)sizeof line - 1);
	close(fd);
	REQUIRE(pm_web_credentials_load(path, NULL, &credentials) == PM_OK);
	unlink(path);
}

static void host(const char *text)
{
	char name[] = "edge-1.example";
	char *list[] = { name };
	const struct host_names names = { list, 1 }, none = { NULL, 0 };
	bool known = pm_web_host_known(text, &names);

	/* A name that is not ours never becomes an address by more names. */
	REQUIRE(known || !pm_web_host_known(text, &none));
	if (known && !pm_web_host_known(text, &none))
		REQUIRE(strncasecmp(text, name, strlen(name)) == 0);
	if (known)
		REQUIRE(text[0] && !strpbrk(text, "/?#@ \t\r\n\\"));
}

static void target(const char *text)
{
	char host[WEB_HOST_SIZE];
	const char *path = pm_web_target_path(text, "http");
	bool absolute = pm_web_target_host(text, "http", host);

	REQUIRE(strlen(host) < sizeof host && !strpbrk(host, "/?#"));
	REQUIRE(absolute ? path[0] == '/' : path == text && !host[0]);
}

static void times(const char *text)
{
	char again[PM_TIME_TEXT_SIZE];
	int64_t time_ns, back;

	if (!pm_web_time_parse(text, &time_ns))
		return;
	REQUIRE(strspn(text, "0123456789-+:.TtZz ") == strlen(text));
	if (time_ns == PM_TIME_MIN || time_ns == PM_TIME_MAX)
		return;
	pm_time_text(time_ns, again);
	REQUIRE(pm_web_time_parse(again, &back));
	REQUIRE(back == pm_time_floor(time_ns, 1000));
}

static void ids(const char *text)
{
	uint64_t run, number;
	char again[WEB_ID_SIZE];

	if (pm_web_number_parse(text, &number))
		REQUIRE(number > 0 && strtoull(text, NULL, 10) == number);
	if (!pm_web_id_parse(text, &run, &number))
		return;
	pm_web_id_text(run, number, again);
	REQUIRE(strncmp(text, again, 17) == 0 && strtoull(text + 17, NULL, 10) == number);
}

static void lists(const char *text)
{
	if (pm_web_accepts(text, "gzip"))
		REQUIRE(strcasestr(text, "gzip"));
	if (pm_web_etag_listed(text, "\"0123456789abcdef\""))
		REQUIRE(strstr(text, "\"0123456789abcdef\"") || strchr(text, '*'));
}

static void escapes(const char *text)
{
	char *copy = strdup(text);
	size_t size;

	REQUIRE(copy);
	size = pm_web_unescape(copy);
	REQUIRE(size == strlen(copy) && size <= strlen(text));
	free(copy);
}

static void password(const char *text)
{
	if (!credentials)
		load_credentials();
	if (pm_web_credentials_hold(credentials, text))
		REQUIRE(strstr(text, "am9lOnNlY3JldA")); /* joe:secret */
}

static void address(const char *text)
{
	struct listen_address where;
	char url[WEB_URL_SIZE], *again;
	struct listen_address back;

	/* It is the user who says this, and still. A name would be looked up. */
	if (pm_web_listen_parse(text, NULL, &where) < 0)
		return;
	pm_web_listen_url(&where, false, url);
	again = url + strlen("http://");
	again[strcspn(again, "/")] = '\0';
	REQUIRE(pm_web_listen_parse(again, NULL, &back) == PM_OK);
	REQUIRE(back.loopback == where.loopback && back.length == where.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* of just that size: reading on is seen */

	REQUIRE(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	host(text);
	target(text);
	times(text);
	ids(text);
	lists(text);
	escapes(text);
	password(text);
	address(text);
	free(text);
	return 0;
}
