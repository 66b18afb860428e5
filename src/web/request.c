/* SPDX-License-Identifier: MIT */
/*
 * What strangers send in requests, taken apart. Text that ends with a NUL in, an answer out; no
 * state, nothing allocated. The library takes apart the request itself, up to single headers and
 * arguments.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "web-internal.h"

#define DIGITS "0123456789"
#define HOST_MAX 255
/* Seconds around the epoch that nanoseconds can tell; what lies outside is none of ours. */
#define SECONDS_MAX INT64_C(9223372036)

/* ---- Host ---------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
	size_t n = strspn(text, DIGITS);

	return n <= 5 && text[n] == '\0';
}

/* Takes the port off, and the brackets of an IPv6 address. False: it can't be a host. */
static bool host_name(const char *text, char ret_name[HOST_MAX + 1], bool *ret_bracketed)
{
	const char *end;
	size_t length;

	*ret_bracketed = text[0] == '[';
	text += *ret_bracketed;
	end = *ret_bracketed ? strchr(text, ']') : text + strcspn(text, ":");
	if (!end)
		return false;
	length = (size_t)(end - text);
	end += *ret_bracketed;
	if ((*end == ':' && !is_port(end + 1)) || (*end && *end != ':'))
		return false;
	if (length == 0 || length > HOST_MAX)
		return false;
	memcpy(ret_name, text, length);
	ret_name[length] = '\0';
	/* The root's dot changes nothing: "localhost." */
	if (length > 1 && ret_name[length - 1] == '.')
		ret_name[length - 1] = '\0';
	return true;
}

bool pm_web_host_known(const char *text, const struct host_names *names)
{
	char name[HOST_MAX + 1];
	struct in6_addr address;
	bool bracketed;

	if (!host_name(text, name, &bracketed))
		return false;
	if (bracketed)
		return inet_pton(AF_INET6, name, &address) == 1;
	if (inet_pton(AF_INET, name, &address) == 1 || strcasecmp(name, "localhost") == 0)
		return true;
	for (size_t i = 0; i < names->n; i++)
		if (strcasecmp(name, names->names[i]) == 0)
			return true;
	return false;
}

/* What stands behind "http://"; NULL: that does not. */
static const char *behind_scheme(const char *target, const char *scheme)
{
	size_t length = strlen(scheme);

	if (strncasecmp(target, scheme, length) != 0 || strncmp(target + length, "://", 3) != 0)
		return NULL;
	return target + length + 3;
}

bool pm_web_target_host(const char *target, const char *scheme, char ret_host[WEB_HOST_SIZE])
{
	const char *host = behind_scheme(target, scheme);
	size_t length;

	ret_host[0] = '\0';
	if (!host)
		return false;
	length = strcspn(host, "/?#");
	if (length < WEB_HOST_SIZE) {
		memcpy(ret_host, host, length);
		ret_host[length] = '\0';
	}
	return true;
}

const char *pm_web_target_path(const char *target, const char *scheme)
{
	const char *host = behind_scheme(target, scheme), *path = host ? strchr(host, '/') : target;

	return path ? path : "/";
}

/* ---- times and numbers --------------------------------------------------------------------- */

/* Exactly @n digits; steps over them. */
static bool digits(const char **at, int n, int64_t *ret_value)
{
	int64_t value = 0;

	for (; n > 0; n--, ++*at) {
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret_value = value;
	return true;
}

static bool character(const char **at, const char *any_of)
{
	if (**at == '\0' || !strchr(any_of, **at))
		return false;
	++*at;
	return true;
}

/* ".25", if there is one, as nanoseconds; what is finer is cut off. */
static bool fraction(const char **at, int64_t *ret_ns)
{
	int64_t ns = 0, unit = PM_NS_PER_S / 10;

	*ret_ns = 0;
	if (**at != '.')
		return true;
	++*at;
	if (**at < '0' || **at > '9')
		return false;
	for (; **at >= '0' && **at <= '9'; ++*at, unit /= 10)
		ns += (**at - '0') * unit;
	*ret_ns = ns;
	return true;
}

/* Days from the epoch to a day of the proleptic Gregorian calendar. */
static int64_t days_to(int64_t year, int64_t month, int64_t day)
{
	int64_t shifted = year - (month <= 2), era_day, day_of_year;

	/* Years begin in March, so that the day that some lack comes last. */
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	era_day = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year;
	return era_day - 719468;
}

static int64_t days_in(int64_t year, int64_t month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* "Z" or "+01:00", as seconds east. */
static bool offset(const char **at, int64_t *ret_seconds)
{
	int64_t hours, minutes, sign = **at == '-' ? -1 : 1;

	*ret_seconds = 0;
	if (character(at, "Zz"))
		return true;
	/* A plus in a query may have become a blank. */
	if (!character(at, "+- ") || !digits(at, 2, &hours) || !character(at, ":") ||
	    !digits(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* RFC 3339, section 5.6 */
static bool date_time(const char *at, int64_t *ret_time_ns)
{
	int64_t year, month, day, hour, minute, second, ns, east;

	if (!digits(&at, 4, &year) || !character(&at, "-") || !digits(&at, 2, &month) ||
	    !character(&at, "-") || !digits(&at, 2, &day) || !character(&at, "Tt ") ||
	    !digits(&at, 2, &hour) || !character(&at, ":") || !digits(&at, 2, &minute) ||
	    !character(&at, ":") || !digits(&at, 2, &second) || !fraction(&at, &ns) ||
	    !offset(&at, &east) || *at)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
	    minute > 59 || second > 60)
		return false;
	*ret_time_ns = pm_time_make(days_to(year, month, day) * 86400 + hour * 3600 + minute * 60 +
					    second - east,
				    ns);
	return true;
}

/* "1764223810", "1764223810.25", "-1" */
static bool epoch(const char *at, int64_t *ret_time_ns)
{
	bool before = *at == '-';
	int64_t seconds = 0, ns;
	size_t n;

	at += before;
	n = strspn(at, DIGITS);
	if (n == 0 || n > 10)
		return false;
	digits(&at, (int)n, &seconds);
	if (!fraction(&at, &ns) || *at || seconds > SECONDS_MAX)
		return false;
	*ret_time_ns = before ? -pm_time_make(seconds, ns) : pm_time_make(seconds, ns);
	return true;
}

bool pm_web_time_parse(const char *text, int64_t *ret_time_ns)
{
	return epoch(text, ret_time_ns) || date_time(text, ret_time_ns);
}

bool pm_web_number_parse(const char *text, uint64_t *ret_number)
{
	size_t n = strspn(text, DIGITS);
	int64_t value = 0;

	/* 18 digits fit, and are more than there will be of anything. */
	if (n == 0 || n > 18 || text[n])
		return false;
	digits(&text, (int)n, &value);
	*ret_number = (uint64_t)value;
	return value > 0;
}

void pm_web_id_text(uint64_t run, uint64_t number, char ret_text[WEB_ID_SIZE])
{
	snprintf(ret_text, WEB_ID_SIZE, "%016" PRIx64 "-%" PRIu64, run, number);
}

bool pm_web_id_parse(const char *text, uint64_t *ret_run, uint64_t *ret_number)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t run = 0;

	for (int i = 0; i < 16; i++, text++) {
		const char *digit = *text ? strchr(hex, *text) : NULL;

		if (!digit)
			return false;
		run = run << 4 | (uint64_t)(digit - hex);
	}
	if (*text != '-' || !pm_web_number_parse(text + 1, ret_number))
		return false;
	*ret_run = run;
	return true;
}

/* ---- lists --------------------------------------------------------------------------------- */

#define BLANKS " \t"

/* The next element of a list with commas, without blanks around it; NULL: no more. */
static const char *element(const char **at, size_t *ret_size)
{
	const char *begin;
	size_t size;

	*at += strspn(*at, BLANKS ",");
	if (!**at)
		return NULL;
	begin = *at;
	size = strcspn(begin, ",");
	*at += size;
	while (size > 0 && strchr(BLANKS, begin[size - 1]))
		size--;
	*ret_size = size;
	return begin;
}

/* ";q=0", ";q=0.000": not acceptable (RFC 9110, section 12.4.2). */
static bool is_refused(const char *parameters, size_t size)
{
	const char *end = parameters + size, *at = memchr(parameters, ';', size);

	while (at && ++at < end) {
		at += strspn(at, BLANKS);
		if (end - at >= 3 && (at[0] == 'q' || at[0] == 'Q') && at[1] == '=' && at[2] == '0')
			return strspn(at + 2, "0.") >= (size_t)(end - at - 2) ||
			       strchr(BLANKS ";", at[2 + strspn(at + 2, "0.")]);
		at = at < end ? memchr(at, ';', (size_t)(end - at)) : NULL;
	}
	return false;
}

bool pm_web_accepts(const char *list, const char *coding)
{
	const char *begin;
	size_t size = 0;

	while ((begin = element(&list, &size)) != NULL) {
		size_t name = strcspn(begin, ";, \t");

		if (name == strlen(coding) && strncasecmp(begin, coding, name) == 0)
			return !is_refused(begin, size);
	}
	return false;
}

bool pm_web_etag_listed(const char *list, const char *etag)
{
	const char *begin;
	size_t size = 0;

	while ((begin = element(&list, &size)) != NULL) {
		if (size == 1 && *begin == '*')
			return true;
		/* A weak tag is as good here (RFC 9110, section 13.1.2). */
		if (size > 2 && begin[0] == 'W' && begin[1] == '/') {
			begin += 2;
			size -= 2;
		}
		if (size == strlen(etag) && memcmp(begin, etag, size) == 0)
			return true;
	}
	return false;
}

/* ---- escapes ------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t pm_web_unescape(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from) {
		int high = *from == '%' ? hex_digit(from[1]) : -1;
		int low = high >= 0 ? hex_digit(from[2]) : -1;

		if (low < 0) {
			*to++ = *from++;
			continue;
		}
		*to++ = high || low ? (char)(high << 4 | low) : '\x01';
		from += 3;
	}
	*to = '\0';
	return (size_t)(to - text);
}
