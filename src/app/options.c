/* SPDX-License-Identifier: MIT */
/* The command line: as tcpdump(1) where tcpdump has it. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "screen.h"

#define SNAPLEN_MAX 262144
#define INTERVAL_NS (10 * PM_NS_PER_S)
#define INTERVAL_SCREEN_NS PM_NS_PER_S /* for who watches */
#define INTERVAL_MIN_NS INT64_C(1000000)
#define INTERVAL_MAX_NS (INT64_C(366) * 86400 * PM_NS_PER_S)
#define JOBS_MAX 256
#define ENDPOINTS_DEFAULT 65536
#define ENDPOINTS_MIN 16
#define ENDPOINTS_MAX (1 << 24)
#define LEARNED_MIN 8 /* one line of the table */
#define BLOCK_MIN 64
#define BLOCK_MAX (16 << 20)
#define CONNECTIONS_MAX 65536
#define HISTORY_MAX 65536 /* MiB */
#define SERIES_MAX 65536
#define FILTER_MAX ((size_t)1 << 20)
#define ROTATE_SECONDS_MAX (UINT64_C(366) * 86400)
#define ROTATE_FILES_MAX 1000000
#define BLANKS " \t\r\n"

enum {
	LONG_VERSION = 256,
	LONG_INTERVAL,
	LONG_FORMAT,
	LONG_TOP,
	LONG_PORTS,
	LONG_BY,
	LONG_ENDPOINTS,
	LONG_TUNNEL,
	LONG_TUNNEL_PORT,
	LONG_SENSOR,
	LONG_SCHEMA,
	LONG_CHECK_RULES,
	LONG_EXPLAIN,
	LONG_EXPLAIN_FRAME,
	LONG_IMMEDIATE,
	LONG_FOLLOW,
	LONG_FANOUT,
	LONG_WAIT,
	LONG_READER,
	LONG_JOBS,
	LONG_BLOCK_SIZE,
	LONG_PROGRESS,
	LONG_NO_SESSIONS,
	LONG_LEARNED,
	LONG_NO_SANDBOX,
	LONG_COMPRESS,
	LONG_FSYNC,
	LONG_LISTEN,
	LONG_LISTEN_PUBLIC,
	LONG_LISTEN_HOST,
	LONG_LISTEN_PASSWORD,
	LONG_LISTEN_TLS,
	LONG_LISTEN_CONNECTIONS,
	LONG_HISTORY,
	LONG_METRICS_SERVICES,
	LONG_METRICS_PORTS,
};

static const struct option longs[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, LONG_VERSION },
	{ "interval", required_argument, NULL, LONG_INTERVAL },
	{ "format", required_argument, NULL, LONG_FORMAT },
	{ "top", required_argument, NULL, LONG_TOP },
	{ "ports", required_argument, NULL, LONG_PORTS },
	{ "by", required_argument, NULL, LONG_BY },
	{ "endpoints", required_argument, NULL, LONG_ENDPOINTS },
	{ "tunnel", required_argument, NULL, LONG_TUNNEL },
	{ "tunnel-port", required_argument, NULL, LONG_TUNNEL_PORT },
	{ "sensor", required_argument, NULL, LONG_SENSOR },
	{ "schema", no_argument, NULL, LONG_SCHEMA },
	{ "check-rules", no_argument, NULL, LONG_CHECK_RULES },
	{ "explain", required_argument, NULL, LONG_EXPLAIN },
	{ "explain-frame", required_argument, NULL, LONG_EXPLAIN_FRAME },
	{ "immediate-mode", no_argument, NULL, LONG_IMMEDIATE },
	{ "follow", no_argument, NULL, LONG_FOLLOW },
	{ "fanout", required_argument, NULL, LONG_FANOUT },
	{ "wait", no_argument, NULL, LONG_WAIT },
	{ "reader", required_argument, NULL, LONG_READER },
	{ "progress", no_argument, NULL, LONG_PROGRESS },
	{ "no-sessions", no_argument, NULL, LONG_NO_SESSIONS },
	{ "learned", required_argument, NULL, LONG_LEARNED },
	{ "no-sandbox", no_argument, NULL, LONG_NO_SANDBOX },
	{ "compress", required_argument, NULL, LONG_COMPRESS },
	{ "fsync", required_argument, NULL, LONG_FSYNC },
	{ "listen", required_argument, NULL, LONG_LISTEN },
	{ "listen-public", no_argument, NULL, LONG_LISTEN_PUBLIC },
	{ "listen-host", required_argument, NULL, LONG_LISTEN_HOST },
	{ "listen-password", required_argument, NULL, LONG_LISTEN_PASSWORD },
	{ "listen-tls", required_argument, NULL, LONG_LISTEN_TLS },
	{ "listen-connections", required_argument, NULL, LONG_LISTEN_CONNECTIONS },
	{ "history", required_argument, NULL, LONG_HISTORY },
	{ "metrics-services", required_argument, NULL, LONG_METRICS_SERVICES },
	{ "metrics-ports", required_argument, NULL, LONG_METRICS_PORTS },
	{ "jobs", required_argument, NULL, LONG_JOBS },
	{ "block-size", required_argument, NULL, LONG_BLOCK_SIZE },
	{ NULL, 0, NULL, 0 },
};

void options_help(void)
{
	fputs("usage: portmeter [-i INTERFACE | -r FILE] ... [OPTION ...] [FILTER EXPRESSION]\n"
	      "\n"
	      "Counts traffic by port and service; prints a JSON summary an interval.\n"
	      "\n"
	      "Input\n"
	      "  -i INTERFACE         capture on it, or on any; repeatable (default: the first)\n"
	      "  -r FILE              read a capture file, compressed or not, a folder of them,\n"
	      "                       or - for standard input; repeatable\n"
	      "  --fanout N           capture threads for each interface (default 1)\n"
	      "  --wait               start even if an interface is not there yet, or down\n"
	      "  --follow             with one -r: go on as the file grows\n"
	      "  --reader own|read|libpcap\n"
	      "                       how files are read (default own)\n"
	      "  --jobs N             threads that read files (default: one a processor)\n"
	      "  --block-size BYTES   what each of them takes of a file (default 524288)\n"
	      "  --progress           say on standard error how far it has come, terminal or not\n"
	      "  -F FILE              read the filter expression from it\n"
	      "  -c COUNT             stop after so many frames\n"
	      "  -D                   list the interfaces\n"
	      "  -L                   list the link types of the interface\n"
	      "  -y TYPE              capture with this link type\n"
	      "  -p                   not in promiscuous mode\n"
	      "  -s BYTES             snap length (default 256; 0: 262144)\n"
	      "  -B KIB               size of the kernel's buffer (default 8192)\n"
	      "  -Q in|out|inout      direction of the frames\n"
	      "  --immediate-mode     take each frame at once\n"
	      "  --tunnel outer|inner which IP layer counts, of several (default outer)\n"
	      "  --tunnel-port KIND=PORT\n"
	      "                       this UDP port holds such tunnels too: vxlan=8472\n"
	      "  --no-sessions        no sessions, clients, servers and anomalies\n"
	      "  --learned N          endpoints that are remembered as serving (default 65536)\n"
	      "\n",
	      stdout);
	fputs("Output\n"
	      "  --interval SECONDS   one record each (default 10; 0: one for everything)\n"
	      "  --format FORMAT      json (default), rows, frames, text or prometheus\n"
	      "                       text: on a terminal, of an interface, a live view\n"
	      "  -o FILE              append to it; reopened on HUP\n"
	      "  -C SIZE              begin another file when one is larger: millions of bytes,\n"
	      "                       or with k, m or g\n"
	      "  -G SECONDS           the same every so many seconds; -o may have %H and the like\n"
	      "  -W COUNT             with -C: so many files, used in turn; with -G: end after them\n"
	      "  --compress gzip|zstd files that -C or -G have closed\n"
	      "  --fsync never|close|record\n"
	      "                       when to wait for the disk (default never)\n"
	      "  --top N              only the N busiest ports, and endpoints\n"
	      "  --ports all|service  all ports (default), or those that carried a service\n"
	      "  --by endpoint        the busiest endpoints of services, too: address and port\n"
	      "  --endpoints N        how many of them are kept at once (default 65536)\n"
	      "  --sensor NAME        who measures (default, live: the host's name)\n"
	      "  --metrics-services N series of services for Prometheus, for each source (default 256)\n"
	      "  --metrics-ports N    the same of ports whose rule says metric=port (default 1024)\n"
	      "  --schema             print the JSON Schema of the records\n"
	      "\n"
	      "HTTP: a page that shows it live, the records, and counters for Prometheus\n"
	      "  --listen ADDR:PORT   serve it there, as at 127.0.0.1:8080 (manual: portmeter(1))\n"
	      "  --listen-public      ADDR may be one that others reach, without a password\n"
	      "  --listen-password FILE\n"
	      "                       ask for one of its lines USER:PASSWORD\n"
	      "  --listen-tls CERTIFICATE,KEY\n"
	      "                       serve HTTPS with these two files (PEM)\n"
	      "  --listen-host NAME   a name that the server has, beside its addresses; repeatable\n"
	      "  --listen-connections N[,N]\n"
	      "                       at once, and from one address (default 256,64)\n"
	      "  --history MIB        records that are kept for it (default 64)\n"
	      "\n"
	      "Rules\n"
	      "  -R PATH              rules file or folder, in place of the usual; repeatable\n"
	      "  --check-rules        print conflicts, shadowed rules, warnings and errors\n"
	      "  --explain QUERY      which rule names a port: udp/5601 or udp/5601@192.0.2.1\n"
	      "  --explain-frame N    with -r: what frame number N counts as, and why\n"
	      "\n"
	      "  -Z USER              started as root, become this user after opening (default:\n"
	      "                       portmeter, or nobody)\n"
	      "  --no-sandbox         for debuggers: keep what rights there are, and close nothing\n"
	      "  -h, --help           this text\n"
	      "  --version            the version\n"
	      "\n"
	      "Manual: portmeter(1), portmeter-rules(5).\n",
	      stdout);
}

static int usage(const char *format, ...) PM_PRINTF(1, 2);

static int usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	say("%s; try --help", text);
	return EXIT_USAGE;
}

/* A whole number from @low to @high, nothing before or behind it. */
static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value < low || value > high)
		return false;
	*ret_number = value;
	return true;
}

/* "10", "0.5": seconds with up to nine decimals, exactly. */
static bool seconds(const char *text, int64_t *ret_ns)
{
	const char *point = strchr(text, '.');
	char whole[24] = "", part[10] = "000000000";
	uint64_t s = 0, ns = 0;
	size_t length = point ? (size_t)(point - text) : strlen(text);

	if (length >= sizeof whole || (length == 0 && !point))
		return false;
	memcpy(whole, length ? text : "0", length ? length : 1);
	if (point) {
		size_t decimals = strlen(point + 1);

		if (decimals == 0 || decimals > 9)
			return false;
		memcpy(part, point + 1, decimals);
	}
	if (!number(whole, 0, INTERVAL_MAX_NS / PM_NS_PER_S, &s) ||
	    !number(part, 0, PM_NS_PER_S - 1, &ns))
		return false;
	*ret_ns = (int64_t)s * PM_NS_PER_S + (int64_t)ns;
	return *ret_ns == 0 || (*ret_ns >= INTERVAL_MIN_NS && *ret_ns <= INTERVAL_MAX_NS);
}

/* As tcpdump does: millions of bytes, or, with a letter, the next larger powers of 1024. */
static int file_size(const char *text, uint64_t *ret_bytes)
{
	static const struct {
		const char *suffix;
		uint64_t unit;
	} units[] = {
		{ "kK", UINT64_C(1) << 10 }, { "mM", UINT64_C(1) << 20 }, { "gG", UINT64_C(1) << 30 },
	};
	size_t digits = strspn(text, "0123456789");
	const char *suffix = text + digits;
	char figure[24] = "";
	uint64_t unit = 0, n = 0;

	if (!*suffix)
		unit = 1000000;
	for (size_t i = 0; !unit && i < sizeof units / sizeof *units; i++)
		if (strchr(units[i].suffix, *suffix) && (!suffix[1] || strcmp(suffix + 1, "B") == 0))
			unit = units[i].unit;
	if (unit && digits < sizeof figure) {
		memcpy(figure, text, digits);
		if (number(figure, 1, INT64_MAX / unit, &n)) {
			*ret_bytes = n * unit;
			return EXIT_DONE;
		}
	}
	return usage("-C %s: must be millions of bytes, from 1, or have k, m or g behind it", text);
}

static int direction(const char *text, enum pm_direction *ret_direction)
{
	static const char *const names[] = {
		[PM_DIRECTION_BOTH] = "inout", [PM_DIRECTION_IN] = "in", [PM_DIRECTION_OUT] = "out"
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], text) == 0) {
			*ret_direction = (enum pm_direction)i;
			return EXIT_DONE;
		}
	return usage("-Q %s: must be in, out or inout", text);
}

/* As tcpdump does: from a # to the end of its line. */
static void strip_comments(char *text)
{
	while ((text = strchr(text, '#')) != NULL)
		while (*text && *text != '\n')
			*text++ = ' ';
}

/* The whole filter file; bounded, since it could be anything. */
static int read_filter(const char *path, char **ret_filter)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILTER_MAX + 1);
	size_t n = 0;
	bool failed;

	if (!file || !text) {
		say("-F %s: can't open: %s", path, strerror(errno));
		if (file)
			fclose(file);
		free(text);
		return EXIT_USAGE;
	}
	n = fread(text, 1, FILTER_MAX + 1, file);
	failed = ferror(file) != 0;
	fclose(file);
	if (failed || n > FILTER_MAX || memchr(text, '\0', n)) {
		say("-F %s: %s", path, failed ? "can't read it" : n > FILTER_MAX ? "too long for a filter"
										 : "is no text");
		free(text);
		return EXIT_USAGE;
	}
	text[n] = '\0';
	strip_comments(text);
	n = strspn(text, BLANKS);
	memmove(text, text + n, strlen(text + n) + 1);
	for (n = strlen(text); n > 0 && strchr(BLANKS, text[n - 1]); n--)
		text[n - 1] = '\0';
	if (n == 0) { /* no filter at all */
		free(text);
		text = NULL;
	}
	*ret_filter = text;
	return EXIT_DONE;
}

/* The rest of the command line, joined with blanks. NULL: nothing there, or no memory. */
static char *join(char **words, int n)
{
	size_t size = 1;
	char *text, *to;

	for (int i = 0; i < n; i++)
		size += strlen(words[i]) + 1;
	text = n > 0 ? malloc(size) : NULL;
	to = text;
	for (int i = 0; text && i < n; i++)
		to += sprintf(to, "%s%s", i ? " " : "", words[i]);
	return text;
}

struct parse {
	struct options *o;
	const char *filter_file;
	bool interval;
};

static int parse_number(int option, const char *text, struct parse *p)
{
	struct options *o = p->o;
	uint64_t n = 0;

	switch (option) {
	case 'c':
		if (!number(text, 1, UINT64_MAX, &n))
			return usage("-c %s: must be a number of frames, from 1", text);
		o->count = n;
		break;
	case 's':
		if (!number(text, 0, SNAPLEN_MAX, &n))
			return usage("-s %s: must be 0 to %d bytes", text, SNAPLEN_MAX);
		o->capture.snaplen = n ? (int)n : SNAPLEN_MAX;
		break;
	case 'B':
		if (!number(text, 1, INT_MAX / 1024, &n))
			return usage("-B %s: must be 1 to %d KiB", text, INT_MAX / 1024);
		o->capture.buffer_kib = (int)n;
		break;
	case LONG_JOBS:
		if (!number(text, 1, JOBS_MAX, &n))
			return usage("--jobs %s: must be a number of threads, 1 to %d", text, JOBS_MAX);
		o->jobs = (size_t)n;
		break;
	case LONG_ENDPOINTS:
		if (!number(text, ENDPOINTS_MIN, ENDPOINTS_MAX, &n))
			return usage("--endpoints %s: must be a number of endpoints, %d to %d", text,
				     ENDPOINTS_MIN, ENDPOINTS_MAX);
		o->endpoints = (size_t)n;
		break;
	case LONG_EXPLAIN_FRAME:
		if (!number(text, 1, UINT64_MAX, &n))
			return usage("--explain-frame %s: must be the number of a frame, from 1", text);
		o->explain_frame = n;
		break;
	case LONG_FANOUT:
		if (!number(text, 1, PM_CAPTURE_THREADS, &n))
			return usage("--fanout %s: must be a number of threads, 1 to %d", text,
				     PM_CAPTURE_THREADS);
		o->capture_threads = (size_t)n;
		break;
	case LONG_LEARNED:
		if (!number(text, LEARNED_MIN, ENDPOINTS_MAX, &n))
			return usage("--learned %s: must be a number of endpoints, %d to %d", text,
				     LEARNED_MIN, ENDPOINTS_MAX);
		o->learned = (size_t)n;
		break;
	case 'G':
		if (!number(text, 1, ROTATE_SECONDS_MAX, &n))
			return usage("-G %s: must be seconds, 1 to %llu", text,
				     (unsigned long long)ROTATE_SECONDS_MAX);
		o->output.rotate_ns = (int64_t)n * PM_NS_PER_S;
		break;
	case 'W':
		if (!number(text, 1, ROTATE_FILES_MAX, &n))
			return usage("-W %s: must be a number of files, 1 to %d", text,
				     ROTATE_FILES_MAX);
		o->output.rotate_count = (unsigned)n;
		break;
	case LONG_BLOCK_SIZE:
		if (!number(text, BLOCK_MIN, BLOCK_MAX, &n))
			return usage("--block-size %s: must be %d to %d bytes", text, BLOCK_MIN, BLOCK_MAX);
		o->capture.block = (size_t)n;
		break;
	default:
		if (!number(text, 1, SIZE_MAX, &n))
			return usage("--top %s: must be a number of rows, from 1", text);
		o->output.top = (size_t)n;
		break;
	}
	return EXIT_DONE;
}

/* "vxlan=8472" */
static int tunnel_port(const char *text, struct options *o)
{
	const char *equals = strchr(text, '=');
	char kinds[256] = "";
	uint64_t port = 0;

	if (!o->tunnels && pm_tunnels_new(&o->tunnels) < 0)
		return usage("--tunnel-port: %s", pm_strerror(PM_E_MEMORY));
	if (equals && number(equals + 1, 1, UINT16_MAX, &port) &&
	    pm_tunnels_set(o->tunnels, text, (size_t)(equals - text), (uint16_t)port))
		return EXIT_DONE;
	for (size_t i = 0, n = 0; pm_tunnels_name(i) && n < sizeof kinds; i++)
		n += (size_t)snprintf(kinds + n, sizeof kinds - n, "%s%s", i ? ", " : "",
				      pm_tunnels_name(i));
	return usage("--tunnel-port %s: must be KIND=PORT, PORT 1 to 65535 and KIND one of %s", text,
		     kinds);
}

/* "256" or "256,64" */
static int connections(const char *text, struct serve_options *serve)
{
	const char *comma = strchr(text, ',');
	char first[16] = "";
	uint64_t all = 0, each = 0;
	size_t length = comma ? (size_t)(comma - text) : strlen(text);

	if (length < sizeof first) {
		memcpy(first, text, length);
		if (number(first, 1, CONNECTIONS_MAX, &all) &&
		    (!comma || number(comma + 1, 1, all, &each))) {
			serve->connections = (unsigned)all;
			serve->per_address = (unsigned)each;
			return EXIT_DONE;
		}
	}
	return usage("--listen-connections %s: must be a number from 1 to %d, and behind a comma how many of them one address may have",
		     text, CONNECTIONS_MAX);
}

/* "CERTIFICATE,KEY" */
static int tls_files(const char *text, struct serve_options *serve)
{
	const char *comma = strrchr(text, ',');

	if (!comma || comma == text || !comma[1])
		return usage("--listen-tls %s: must be CERTIFICATE,KEY: two files", text);
	free(serve->certificate);
	serve->certificate = strndup(text, (size_t)(comma - text));
	serve->key = comma + 1;
	return serve->certificate ? EXIT_DONE : usage("--listen-tls: %s", pm_strerror(PM_E_MEMORY));
}

/* How the page and its interface are served, and what for. */
static int parse_serve(int option, const char *text, struct options *o)
{
	struct serve_options *serve = &o->serve;
	uint64_t n = 0;

	switch (option) {
	case LONG_LISTEN:
		serve->listen = text;
		return EXIT_DONE;
	case LONG_LISTEN_PUBLIC:
		serve->anywhere = true;
		return EXIT_DONE;
	case LONG_LISTEN_HOST:
		serve->hosts[serve->n_hosts++] = text;
		return *text ? EXIT_DONE : usage("--listen-host: must not be empty");
	case LONG_LISTEN_PASSWORD:
		serve->password = text;
		return EXIT_DONE;
	case LONG_LISTEN_TLS:
		return tls_files(text, serve);
	case LONG_LISTEN_CONNECTIONS:
		return connections(text, serve);
	case LONG_HISTORY:
		if (!number(text, 1, HISTORY_MAX, &n))
			return usage("--history %s: must be 1 to %d MiB", text, HISTORY_MAX);
		serve->history = (size_t)n << 20;
		return EXIT_DONE;
	case LONG_METRICS_SERVICES:
		if (!number(text, 1, SERIES_MAX, &n))
			return usage("--metrics-services %s: must be a number of series, 1 to %d", text,
				     SERIES_MAX);
		o->output.metrics_services = (size_t)n;
		return EXIT_DONE;
	default:
		if (!number(text, 1, SERIES_MAX, &n))
			return usage("--metrics-ports %s: must be a number of series, 1 to %d", text,
				     SERIES_MAX);
		o->output.metrics_ports = (size_t)n;
		return EXIT_DONE;
	}
}

static int parse_long(int option, const char *text, struct options *o)
{
	switch (option) {
	case LONG_VERSION:
		o->command = COMMAND_VERSION;
		return EXIT_DONE;
	case LONG_SCHEMA:
		o->command = COMMAND_SCHEMA;
		return EXIT_DONE;
	case LONG_CHECK_RULES:
		o->command = COMMAND_CHECK_RULES;
		return EXIT_DONE;
	case LONG_EXPLAIN:
		o->command = COMMAND_EXPLAIN;
		o->explain = text;
		return EXIT_DONE;
	case LONG_SENSOR:
		o->sensor = text;
		return *text ? EXIT_DONE : usage("--sensor: must not be empty");
	case LONG_IMMEDIATE:
		o->capture.immediate = true;
		return EXIT_DONE;
	case LONG_WAIT:
		o->capture.wait = true;
		return EXIT_DONE;
	case LONG_FOLLOW:
		o->capture.follow = true;
		return EXIT_DONE;
	case LONG_PROGRESS:
		o->progress = true;
		return EXIT_DONE;
	case LONG_NO_SESSIONS:
		o->sessions = false;
		return EXIT_DONE;
	case LONG_NO_SANDBOX:
		o->sandbox = false;
		return EXIT_DONE;
	case LONG_READER:
		o->capture.plain_reader = strcmp(text, "libpcap") == 0;
		o->capture.map = strcmp(text, "own") == 0;
		if (o->capture.map || o->capture.plain_reader || strcmp(text, "read") == 0)
			return EXIT_DONE;
		return usage("--reader %s: must be own, read or libpcap", text);
	case LONG_INTERVAL:
		if (seconds(text, &o->interval_ns))
			return EXIT_DONE;
		return usage("--interval %s: must be seconds, 0 or from 0.001 to 31622400", text);
	case LONG_FORMAT:
		o->format_given = true;
		if (pm_format_find(text, &o->output.format))
			return EXIT_DONE;
		return usage("--format %s: must be json, rows, frames, text or prometheus", text);
	case LONG_COMPRESS:
		if (!pm_pack_find(text, &o->output.pack))
			return usage("--compress %s: must be gzip, zstd or none", text);
		if (pm_pack_built(o->output.pack))
			return EXIT_DONE;
		return usage("--compress %s: this portmeter was built without its library", text);
	case LONG_FSYNC:
		if (pm_sync_find(text, &o->output.sync))
			return EXIT_DONE;
		return usage("--fsync %s: must be never, close or record", text);
	case LONG_PORTS:
		o->output.service_only = strcmp(text, "service") == 0;
		if (o->output.service_only || strcmp(text, "all") == 0)
			return EXIT_DONE;
		return usage("--ports %s: must be all or service", text);
	case LONG_BY:
		o->by_endpoint = strcmp(text, "endpoint") == 0;
		return o->by_endpoint ? EXIT_DONE : usage("--by %s: must be endpoint", text);
	case LONG_TUNNEL:
		o->inner = strcmp(text, "inner") == 0;
		if (o->inner || strcmp(text, "outer") == 0)
			return EXIT_DONE;
		return usage("--tunnel %s: must be outer or inner", text);
	case LONG_TUNNEL_PORT:
		return tunnel_port(text, o);
	default:
		return parse_serve(option, text, o);
	}
}

/* Whether @word is the long option of that number, which takes no value, with one. */
static bool is_long(const char *word, int number)
{
	size_t size = strcspn(word, "=");

	for (const struct option *l = longs; l->name && size > 2 && word[size]; l++)
		if (l->val == number && l->has_arg == no_argument &&
		    strncmp(word, "--", 2) == 0 && strncmp(word + 2, l->name, size - 2) == 0)
			return true;
	return false;
}

/*
 * @number: getopt's optopt. @word is the one before where it goes on, which is that of a long
 * option; of letters that stand together all but the last are in the word behind it.
 */
static int usage_unknown(const char *word, int number)
{
	if (number == 0 || is_long(word, number))
		return usage("%s: no such option, or not with a value", word);
	if (number > 0 && number < 0x80)
		return usage("-%c: no such option", number);
	return usage("-\\x%02x: no such option", (unsigned)(unsigned char)number);
}

/* As where a script has a variable that is not set. */
static bool names_nothing(int option, const char *text)
{
	return option <= UCHAR_MAX && strchr("FRZiory", option) && !*text;
}

static int parse_one(int option, const char *text, struct parse *p)
{
	struct options *o = p->o;

	if (names_nothing(option, text))
		return usage("-%c: must not be empty", option);
	switch (option) {
	case 'i':
		o->interfaces[o->n_interfaces++] = text;
		return EXIT_DONE;
	case 'r':
		o->files[o->n_files++] = text;
		return EXIT_DONE;
	case 'R':
		o->rules[o->n_rules++] = text;
		return EXIT_DONE;
	case 'F':
		p->filter_file = text;
		return EXIT_DONE;
	case 'D':
		o->command = COMMAND_INTERFACES;
		return EXIT_DONE;
	case 'L':
		o->command = COMMAND_LINKTYPES;
		return EXIT_DONE;
	case 'y':
		o->capture.linktype = text;
		return EXIT_DONE;
	case 'p':
		o->capture.no_promiscuous = true;
		return EXIT_DONE;
	case 'Q':
		return direction(text, &o->capture.direction);
	case 'Z':
		o->user = text;
		return EXIT_DONE;
	case 'o':
		o->output.path = text;
		return EXIT_DONE;
	case 'C':
		return file_size(text, &o->output.rotate_bytes);
	case 'h':
		o->command = COMMAND_HELP;
		return EXIT_DONE;
	case LONG_INTERVAL:
		p->interval = true;
		return parse_long(option, text, o);
	case 'c':
	case 's':
	case 'B':
	case 'G':
	case 'W':
	case LONG_TOP:
	case LONG_ENDPOINTS:
	case LONG_EXPLAIN_FRAME:
	case LONG_LEARNED:
	case LONG_JOBS:
	case LONG_FANOUT:
	case LONG_BLOCK_SIZE:
		return parse_number(option, text, p);
	default:
		return parse_long(option, text, o);
	}
}

static bool is_output(const struct stat *output, const char *path)
{
	struct stat st;
	int r = strcmp(path, "-") == 0 ? fstat(STDIN_FILENO, &st) : stat(path, &st);

	return r == 0 && st.st_dev == output->st_dev && st.st_ino == output->st_ino;
}

/* Output must not destroy what is read. */
static int check_output(const struct options *o)
{
	struct stat st;

	if (!o->output.path || stat(o->output.path, &st) < 0 || !S_ISREG(st.st_mode))
		return EXIT_DONE;
	for (size_t i = 0; i < o->n_files; i++)
		if (is_output(&st, o->files[i]))
			return usage("-o %s: is read with -r too", o->output.path);
	for (size_t i = 0; i < o->n_rules; i++)
		if (is_output(&st, o->rules[i]))
			return usage("-o %s: is read with -R too", o->output.path);
	return EXIT_DONE;
}

/* Conversions stand for names of files; folders are there already. */
static bool has_timed_folder(const char *path)
{
	const char *slash = strrchr(path, '/'), *percent = strchr(path, '%');

	return slash && percent && percent < slash;
}

static int check_rotation(const struct pm_output_options *o)
{
	const char *option = o->rotate_bytes ? "-C" : o->rotate_ns ? "-G"
								   : NULL;

	if (!option && o->rotate_count)
		return usage("-W goes with -C or -G");
	if (!option && o->pack != PM_PACK_NONE)
		return usage("--compress goes with -C or -G: it is for files that these have closed");
	if (!o->path && (option || o->sync != PM_SYNC_NEVER))
		return usage("%s goes with -o", option ? option : "--fsync");
	if (!option)
		return EXIT_DONE;
	if (o->format == PM_FORMAT_PROMETHEUS)
		return usage("%s does not go with --format prometheus, whose file is replaced each time",
			     option);
	if (o->rotate_bytes && o->rotate_ns && o->rotate_count)
		return usage("-W goes with -C, or with -G, but not with both");
	if (o->rotate_ns && has_timed_folder(o->path))
		return usage("-o %s: times may stand in the name of the file, not in its folder",
			     o->path);
	return EXIT_DONE;
}

/* Whether what is said of serving goes together, and with what else is asked for. */
static int check_serve(const struct options *o)
{
	const struct serve_options *serve = &o->serve;

	if (!serve->listen && (serve->anywhere || serve->n_hosts || serve->password ||
			       serve->certificate || serve->connections))
		return usage("--listen-public, -host, -password, -tls and -connections go with --listen");
	if (!serve->listen && serve->history)
		return usage("--history goes with --listen: it is for the page");
	if (!serve->listen && o->output.format != PM_FORMAT_PROMETHEUS &&
	    (o->output.metrics_services || o->output.metrics_ports))
		return usage("--metrics-services and --metrics-ports go with --listen or --format prometheus");
	if (serve->listen && o->explain_frame)
		return usage("--listen does not go with --explain-frame");
	if (serve->listen && !pm_web_built())
		return usage("--listen %s: this portmeter was built without libmicrohttpd",
			     serve->listen);
	return EXIT_DONE;
}

/* What no single option can tell. */
static int check(const struct options *o)
{
	const struct pm_capture_options *c = &o->capture;
	int r;

	if (check_serve(o) != EXIT_DONE)
		return EXIT_USAGE;
	if (o->n_interfaces && o->n_files)
		return usage("-i and -r do not go together");
	if (o->tunnels && !o->inner)
		return usage("--tunnel-port goes with --tunnel inner");
	if (o->endpoints && !o->by_endpoint)
		return usage("--endpoints goes with --by endpoint");
	if (c->follow && o->n_files != 1)
		return usage("--follow goes with exactly one -r");
	if (o->explain_frame && !o->n_files)
		return usage("--explain-frame goes with -r");
	if (o->explain_frame && o->command != COMMAND_RUN)
		return usage("--explain-frame goes with no other command, such as --explain");
	if (o->command == COMMAND_EXPLAIN && (o->n_files || o->n_interfaces))
		return usage("--explain asks rules alone: leave out -r and -i, or take --explain-frame N with -r");
	if (o->explain_frame && o->output.path)
		return usage("--explain-frame prints on standard output, and does not go with -o");
	if (o->progress && !o->n_files)
		return usage("--progress goes with -r");
	if (o->n_files && (c->snaplen || c->buffer_kib || c->no_promiscuous || c->immediate ||
			   c->linktype || c->direction != PM_DIRECTION_BOTH || c->wait ||
			   o->capture_threads > 1))
		say("note: -s, -B, -p, -y, -Q, --immediate-mode, --wait and --fanout are for interfaces; files stay as they are");
	if (!o->n_files && o->capture_threads > 1 && o->output.format == PM_FORMAT_FRAMES)
		return usage("--fanout does not go with --format frames: each thread would number frames of its own");
	if (c->wait && !o->n_files && !o->n_interfaces)
		return usage("--wait needs an interface to wait for: name it with -i");
	r = check_rotation(&o->output);
	return r == EXIT_DONE ? check_output(o) : r;
}

static int parse_filter(int argc, char **argv, const struct parse *p)
{
	struct options *o = p->o;

	if (p->filter_file && optind < argc)
		return usage("-F and a filter expression do not go together: \"%s\"", argv[optind]);
	if (p->filter_file)
		return read_filter(p->filter_file, &o->filter);
	o->filter = join(argv + optind, argc - optind);
	if (!o->filter && optind < argc) {
		say("%s", pm_strerror(PM_E_MEMORY));
		return EXIT_FAILED;
	}
	/*
	 * The usual slip, which libpcap would report as a syntax error, or hide behind missing
	 * rights.
	 */
	if (o->filter && access(argv[optind], F_OK) == 0 &&
	    pm_capture_check_filter(o->filter, NULL) < 0)
		return usage("\"%s\" is a file, not a filter: -r is missing before it", argv[optind]);
	return EXIT_DONE;
}

/* Where endpoints show; elsewhere they are not worth counting. */
static void choose_endpoints(struct options *o)
{
	if (!o->by_endpoint)
		return;
	if (!o->serve.listen && (o->output.format == PM_FORMAT_FRAMES ||
				 o->output.format == PM_FORMAT_PROMETHEUS)) {
		say("note: --by endpoint shows in json, rows and text; --format %s has no endpoints",
		    pm_format_name(o->output.format));
		o->endpoints = 0;
	} else if (!o->endpoints) {
		o->endpoints = ENDPOINTS_DEFAULT;
	}
}

/* Those that we may run on. */
static size_t processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n < JOBS_MAX ? (size_t)n
					: JOBS_MAX;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options *o = ret_options;
	struct parse p = { .o = o };
	size_t places = (size_t)argc + 1;
	int option, index = 0, r;

	memset(o, 0, sizeof *o);
	o->interval_ns = INTERVAL_NS;
	o->sessions = true;
	o->sandbox = true;
	o->capture.map = true;
	o->capture_threads = 1;
	o->interfaces = calloc(places, sizeof *o->interfaces);
	o->files = calloc(places, sizeof *o->files);
	o->serve.hosts = calloc(places, sizeof *o->serve.hosts);
	o->rules = calloc(places, sizeof *o->rules);
	if (!o->interfaces || !o->files || !o->rules || !o->serve.hosts) {
		say("%s", pm_strerror(PM_E_MEMORY));
		return EXIT_FAILED;
	}
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":i:r:F:DLy:ps:B:Q:c:Z:ho:C:G:W:R:", longs, &index)) != -1) {
		if (option == ':')
			return usage("%s: its value is missing", argv[optind - 1]);
		if (option == '?')
			return usage_unknown(argv[optind - 1], optopt);
		r = parse_one(option, optarg, &p);
		if (r != EXIT_DONE)
			return r;
	}
	r = check(o);
	if (r == EXIT_DONE && o->inner && !o->tunnels && pm_tunnels_new(&o->tunnels) < 0) {
		say("%s", pm_strerror(PM_E_MEMORY));
		r = EXIT_FAILED;
	}
	if (r == EXIT_DONE)
		r = parse_filter(argc, argv, &p);
	if (r == EXIT_DONE)
		choose_endpoints(o);
	o->screen = r == EXIT_DONE && screen_wanted(o);
	if (o->screen && !p.interval)
		o->interval_ns = INTERVAL_SCREEN_NS;
	if (o->jobs == 0)
		o->jobs = processors();
	/* Who watches the page has not asked for records on the screen. */
	o->quiet = o->serve.listen && !o->format_given && !o->output.path && isatty(STDOUT_FILENO);
	/* Each frame is looked at as it comes. */
	if (o->output.format == PM_FORMAT_FRAMES || o->explain_frame)
		o->jobs = 1;
	o->capture.filter = o->filter;
	o->capture.notice = say_notice;
	return r;
}

void options_fini(struct options *options)
{
	free(options->interfaces);
	free(options->files);
	free(options->serve.hosts);
	free(options->serve.certificate);
	free(options->rules);
	free(options->filter);
	pm_tunnels_free(options->tunnels);
}
