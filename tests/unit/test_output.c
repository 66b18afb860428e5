/* SPDX-License-Identifier: MIT */
/* What the formats write, read back with a parser; and what becomes of the files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "portmeter/output.h"
#include "traffic.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LINES 64
#define TEXT_MAX 1048576

static struct pm_rules *rules;
static char folder[256], path[300];

/* The library's calls end here: a test sees them, and says what becomes of them. */
static int file_syncs, folder_syncs, sync_error;

int fdatasync(int fd)
{
	(void)fd;
	file_syncs++;
	errno = sync_error;
	return sync_error ? -1 : 0;
}

int fsync(int fd)
{
	(void)fd;
	folder_syncs++;
	return 0;
}

static int load(void **state)
{
	const char *parent = getenv("TMPDIR");

	(void)state;
	rules = traffic_rules("alpha 53/udp category=naming\n"
			      "beta 80/tcp metric=port\n"
			      "gamma 80/sctp category=web\n"
			      "quote\"back\\slash 90/tcp\n",
			      3);
	snprintf(folder, sizeof folder, "%s/portmeter-test-XXXXXX", parent ? parent : P_tmpdir);
	if (!rules || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/out", folder);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	remove(path);
	return rmdir(folder);
}

static int without_file(void **state)
{
	(void)state;
	remove(path);
	return 0;
}

static struct pm_source plain_source(void)
{
	return (struct pm_source){
		.name = "trace.pcap", .files = 2, .link = "EN10MB", .snaplen = 96
	};
}

static void count(struct pm_tally *tally, enum pm_transport transport, uint16_t src_port,
		  uint16_t dst_port, uint32_t wire)
{
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS,
				    .ip_version = 4,
				    .transport = (uint8_t)transport };
	struct pm_tally_entry entry = { src_port, dst_port, { 0, 0, 0 }, wire, (uint8_t)transport };

	packet.src_port = src_port;
	packet.dst_port = dst_port;
	entry.decision = pm_side_decide(rules, &packet);
	memcpy(packet.src.bytes, "\xc0\x00\x02\x01", 4);
	memcpy(packet.dst.bytes, "\xc6\x33\x64\x02", 4);
	pm_tally_frame(tally, 4, wire);
	pm_tally_ports(tally, &entry, 1);
	if (tally->endpoints)
		pm_tally_endpoint(tally, &entry, 4, &packet.src, &packet.dst);
}

/* One of each kind of row; of endpoints, @endpoints as there is room. */
static struct pm_record *record_by(const struct pm_source *source, size_t endpoints)
{
	struct pm_tally *tally = NULL;
	struct pm_record *record = NULL;

	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	if (endpoints)
		assert_int_equal(pm_tally_by_endpoint(tally, endpoints), PM_OK);
	tally->seq = 42;
	tally->interval = (struct pm_interval){
		.start_ns = INT64_C(1795329000000000000),
		.end_ns = INT64_C(1795329010000000000),
		.late = 1,
	};
	count(tally, PM_TRANSPORT_UDP, 50001, 53, 100);
	count(tally, PM_TRANSPORT_UDP, 53, 50001, 200);
	count(tally, PM_TRANSPORT_UDP, 0, 53, 60);
	count(tally, PM_TRANSPORT_TCP, 50001, 80, 1500);
	count(tally, PM_TRANSPORT_TCP, 9000, 9001, 70);
	count(tally, PM_TRANSPORT_TCP, 0, 0, 54);
	count(tally, PM_TRANSPORT_TCP, 50001, 90, 54);
	count(tally, PM_TRANSPORT_SCTP, 80, 80, 80);
	pm_tally_frame(tally, 0, 42);
	pm_tally_no_port(tally, PM_VERDICT_NON_IP, 0, 42);
	pm_tally_frame(tally, 6, 90);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 58, 90);
	pm_tally_frame(tally, 6, 91);
	pm_tally_no_port(tally, PM_VERDICT_NO_PORTS_PROTOCOL, 253, 91);
	tally->snapped = 4;
	assert_int_equal(pm_record_new(tally, source, &record), PM_OK);
	pm_tally_free(tally);
	return record;
}

static struct pm_record *record_new(const struct pm_source *source)
{
	return record_by(source, 0);
}

/* The same, of a run that counts conversations; figures are of no frames here. */
static struct pm_record *talking_record_new(const struct pm_source *source)
{
	struct pm_record *record = record_new(source);

	record->talk = true;
	for (size_t i = 0; i < record->n_ports; i++) {
		record->ports[i].talk = record->ports[i].as_service.packets > 0;
		record->ports[i].sessions =
			record->ports[i].talk && record->ports[i].transport != PM_TRANSPORT_SCTP;
	}
	for (size_t i = 0; i < record->n_services; i++) {
		struct pm_service_row *row = &record->services[i];

		for (int figure = 0; figure < PM_TALK_N; figure++)
			row->talk[figure] = 1000 * (i + 1) + (uint64_t)figure;
		row->talk_known = row->transport == PM_TRANSPORT_TCP ? 15 : 9;
		row->clients =
			(struct pm_distinct){ .count = 4711, .known = true, .estimated = true };
		row->servers = (struct pm_distinct){ .count = 2, .known = i != 1 };
	}
	record->unknown.talk_known = 15;
	record->unknown.talk[PM_TALK_REFUSED] = 5;
	return record;
}

static struct pm_output *output_open(enum pm_format format)
{
	struct pm_output_options options = { .format = format, .path = path };
	struct pm_output *output = NULL;
	struct pm_error err = { .line = 0 };

	assert_int_equal(pm_output_open(&options, &err, &output), PM_OK);
	return output;
}

static void write_record(struct pm_output *output, const struct pm_source *source)
{
	struct pm_record *record = record_new(source);
	struct pm_error err = { .line = 0 };

	assert_int_equal(pm_output_record(output, record, &err), PM_OK);
	pm_record_free(record);
}

static char *contents_of(const char *name)
{
	FILE *file = fopen(name, "r");
	char *text = calloc(1, TEXT_MAX);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, TEXT_MAX - 1, file) < TEXT_MAX - 1);
	fclose(file);
	return text;
}

/* The file's lines as values, NULL behind the last; each must be JSON without twins, and end. */
static size_t read_lines(json_t *values[LINES])
{
	char *text = contents_of(path), *at = text, *end;
	size_t n = 0;

	while (*at) {
		json_error_t err;

		end = strchr(at, '\n');
		assert_non_null(end);
		assert_true(n < LINES);
		values[n] = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES, &err);
		if (!values[n])
			fail_msg("%s in: %.*s", err.text, (int)(end - at), at);
		n++;
		at = end + 1;
	}
	free(text);
	return n;
}

static void lines_free(json_t *values[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(values[i]);
}

static json_t *only_line(void)
{
	json_t *values[LINES];
	size_t n = read_lines(values);

	assert_int_equal(n, 1);
	return values[0];
}

/* A member by its path: "interval.start", "ports.0.src". */
static json_t *at(json_t *value, const char *where)
{
	char key[64];

	while (value && *where) {
		size_t length = strcspn(where, ".");

		assert_true(length < sizeof key);
		memcpy(key, where, length);
		key[length] = '\0';
		value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10))
					     : json_object_get(value, key);
		where += length + (where[length] == '.');
	}
	return value;
}

/* @expected is JSON; NULL: the member must not be there. */
static void member_is(json_t *value, const char *where, const char *expected)
{
	json_t *member = at(value, where), *wanted;

	if (!expected) {
		if (member)
			fail_msg("%s is there", where);
		return;
	}
	wanted = json_loads(expected, JSON_DECODE_ANY, NULL);
	assert_non_null(wanted);
	if (!json_equal(member, wanted)) {
		char *text = member ? json_dumps(member, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

		fail_msg("%s is %s, not %s", where, text ? text : "not there", expected);
	}
	json_decref(wanted);
}

static const struct {
	const char *where, *value;
} members[] = {
	{ "schema", "\"portmeter.summary/1\"" },
	{ "time", "\"2026-11-22T06:30:10.000000Z\"" },
	{ "sensor", NULL },
	{ "run", NULL },
	{ "seq", "42" },
	{ "merged", NULL },
	{ "given_up", NULL },
	{ "source", "{\"kind\":\"file\",\"name\":\"trace.pcap\",\"files\":2,\"link\":\"EN10MB\",\"filter\":null,"
		    "\"snaplen\":96}" },
	{ "interval", "{\"start\":\"2026-11-22T06:30:00.000000Z\",\"end\":\"2026-11-22T06:30:10.000000Z\","
		      "\"seconds\":10.0,\"partial\":false,\"late\":1}" },
	{ "totals", "{\"packets\":11,\"bytes\":2341,\"ip4\":{\"packets\":8,\"bytes\":2118},"
		    "\"ip6\":{\"packets\":2,\"bytes\":181}}" },
	{ "capture", "{\"received\":null,\"dropped_kernel\":null,\"dropped_interface\":null,\"snapped\":4}" },
	{ "transports.0", "{\"transport\":\"tcp\",\"packets\":4,\"bytes\":1678,\"unknown\":{\"packets\":2,\"bytes\":124},"
			  "\"other\":{\"ports\":0,\"src\":{\"packets\":0,\"bytes\":0},\"dst\":{\"packets\":0,\"bytes\":0},"
			  "\"as_service\":{\"packets\":0,\"bytes\":0}}}" },
	{ "ports.0", "{\"transport\":\"tcp\",\"port\":80,\"range\":\"system\",\"service\":\"beta\","
		     "\"src\":{\"packets\":0,\"bytes\":0},\"dst\":{\"packets\":1,\"bytes\":1500},"
		     "\"as_service\":{\"packets\":1,\"bytes\":1500}}" },
	{ "ports.1.range", "\"dynamic\"" },
	{ "ports.1.service", "null" },
	{ "services.1", "{\"service\":\"alpha\",\"category\":\"naming\",\"transport\":\"udp\",\"ports\":[53],"
			"\"packets\":3,\"bytes\":360,\"to_service\":{\"packets\":2,\"bytes\":160},"
			"\"from_service\":{\"packets\":1,\"bytes\":200},\"symmetric\":{\"packets\":0,\"bytes\":0},"
			"\"side_by\":{\"zero\":1,\"known\":2}}" },
	{ "services.0.category", "null" },
	{ "services.2.symmetric.packets", "1" },
	{ "unknown", "{\"packets\":2,\"bytes\":124,\"to_service\":{\"packets\":0,\"bytes\":0},"
		     "\"from_service\":{\"packets\":0,\"bytes\":0},\"symmetric\":{\"packets\":0,\"bytes\":0},"
		     "\"side_by\":{\"unknown\":2}}" },
	{ "no_port", "[{\"reason\":\"no_ports_protocol\",\"protocol\":253,\"name\":null,\"packets\":1,\"bytes\":91},"
		     "{\"reason\":\"no_ports_protocol\",\"protocol\":58,\"name\":\"ipv6-icmp\",\"packets\":1,\"bytes\":90},"
		     "{\"reason\":\"non_ip\",\"packets\":1,\"bytes\":42}]" },
	{ "facets", "[{\"code\":\"tcp_port_zero\",\"packets\":1,\"bytes\":54},"
		    "{\"code\":\"udp_source_port_zero\",\"packets\":1,\"bytes\":60}]" },
	{ "rules.generation", "3" },
	{ "rules.entries", "4" },
	{ "rules.conflicts", "0" },
	{ "other.ports", "0" },
};

static void json_holds_the_whole_record(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	json_t *line;

	(void)state;
	write_record(output, &source);
	line = only_line(); /* flushed, not only at the end */
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	for (size_t i = 0; i < COUNT(members); i++)
		member_is(line, members[i].where, members[i].value);
	assert_string_equal(json_string_value(at(line, "rules.sha256")), pm_rules_sha256(rules));
	json_decref(line);
}

/* Cut to three, and the room is for two: rows that were cut, forgotten and marked. */
static void endpoints_are_in_json_rows_and_text(void **state)
{
	static const char row[] = "{\"address\":\"198.51.100.2\",\"transport\":\"tcp\",\"port\":80,\"service\":\"beta\","
				  "\"packets\":1,\"bytes\":1500,\"to_service\":{\"packets\":1,\"bytes\":1500},"
				  "\"from_service\":{\"packets\":0,\"bytes\":0},"
				  "\"symmetric\":{\"packets\":0,\"bytes\":0}";
	struct pm_source source = plain_source();
	struct pm_record *whole = record_by(&source, 16), *full = record_by(&source, 2);
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	json_t *lines[LINES];
	char expected[512], *text;
	size_t n;

	(void)state;
	assert_int_equal(full->n_endpoints, 2);
	full->endpoints[0].ip_version = 6;
	full->endpoints[0].service = NULL;
	assert_int_equal(pm_output_record(output, whole, NULL), PM_OK);
	assert_int_equal(pm_output_record(output, full, NULL), PM_OK);
	pm_output_close(output, NULL);
	assert_int_equal(read_lines(lines), 2);
	snprintf(expected, sizeof expected, "%s}", row);
	member_is(lines[0], "endpoints.0", expected);
	member_is(lines[0], "endpoints.4.address", "\"198.51.100.2\"");
	member_is(lines[0], "endpoints.4.symmetric.packets", "0");
	member_is(lines[0], "endpoints.3.symmetric.bytes", "80");
	member_is(lines[0], "endpoints.5", NULL);
	member_is(lines[0], "endpoints_other", "{\"endpoints\":0,\"packets\":2,\"bytes\":124}");
	member_is(lines[0], "given_up", NULL);
	member_is(lines[1], "endpoints.0.address", "\"c633:6402::\"");
	member_is(lines[1], "endpoints.0.service", "null");
	member_is(lines[1], "endpoints.1.at_least", "true");
	member_is(lines[1], "endpoints_other.forgotten.endpoints", "3");
	member_is(lines[1], "given_up", "{\"by_endpoint\":3}");
	lines_free(lines, 2);

	remove(path);
	output = output_open(PM_FORMAT_ROWS);
	assert_int_equal(pm_output_record(output, whole, NULL), PM_OK);
	assert_int_equal(pm_output_record(output, full, NULL), PM_OK);
	pm_output_close(output, NULL);
	n = read_lines(lines);
	for (size_t i = 0, rows = 0, others = 0; i < n; i++) {
		const char *kind = json_string_value(json_object_get(lines[i], "row"));

		if (strcmp(kind, "endpoint") == 0 && rows++ == 0) {
			member_is(lines[i], "address", "\"198.51.100.2\"");
			member_is(lines[i], "to_service_bytes", "1500");
			member_is(lines[i], "symmetric_packets", "0");
			member_is(lines[i], "at_least", NULL);
		}
		if (strcmp(kind, "endpoints_other") == 0) {
			member_is(lines[i], "endpoints", "0");
			member_is(lines[i], "forgotten_endpoints", others++ ? "3" : NULL);
		}
		if (i + 1 == n) {
			assert_int_equal(rows, 5 + 2);
			assert_int_equal(others, 2);
		}
	}
	lines_free(lines, n);

	remove(path);
	output = output_open(PM_FORMAT_TEXT);
	assert_int_equal(pm_output_record(output, full, NULL), PM_OK);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	assert_non_null(strstr(text, "  tcp      [c633:6402::]:80 "));
	assert_non_null(strstr(text, "  at least\n"));
	assert_non_null(strstr(text, "  (3 forgotten for want of room; none lost more than "));
	free(text);
	pm_record_free(whole);
	pm_record_free(full);
}

/* They would be series without bound. */
static void prometheus_has_no_endpoints(void **state)
{
	struct pm_source source = plain_source();
	char *texts[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct pm_output *output = output_open(PM_FORMAT_PROMETHEUS);
		struct pm_record *record = record_by(&source, i ? 16 : 0);

		assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
		assert_int_equal(pm_output_close(output, NULL), PM_OK);
		pm_record_free(record);
		texts[i] = contents_of(path);
		remove(path);
	}
	assert_string_equal(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
}

static const struct {
	const char *where, *value;
} talking_members[] = {
	{ "ports.0.sessions", "1" }, /* tcp/80 */
	{ "ports.1.sessions", NULL }, /* a client's */
	{ "ports.4.transport", "\"sctp\"" },
	{ "ports.4.sessions", "0" },
	{ "services.0.sessions", "1000" },
	{ "services.0.clients", "4711" },
	{ "services.0.clients_estimated", "true" },
	{ "services.0.servers", "2" },
	{ "services.0.servers_estimated", NULL },
	{ "services.0.syn", "1001" },
	{ "services.0.refused", "1002" },
	{ "services.0.unanswered", "1003" },
	{ "services.1.transport", "\"udp\"" },
	{ "services.1.sessions", "2000" },
	{ "services.1.servers", NULL },
	{ "services.1.syn", NULL },
	{ "services.1.refused", NULL },
	{ "services.1.unanswered", "2003" },
	{ "unknown.sessions", "0" },
	{ "unknown.clients", NULL },
	{ "unknown.refused", "5" },
	{ "other.sessions", "0" },
	{ "transports.0.other.sessions", "0" },
	{ "given_up", "{\"endpoints\":7,\"handshakes\":8,\"peers\":3}" },
};

static void json_holds_what_conversations_were(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	struct pm_record *record = talking_record_new(&source);
	char *text, *again;
	json_t *line;

	(void)state;
	record->given_up.endpoints = 7;
	record->given_up.handshakes = 8;
	record->given_up.peers = 3;
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	line = only_line();
	for (size_t i = 0; i < COUNT(talking_members); i++)
		member_is(line, talking_members[i].where, talking_members[i].value);
	text = contents_of(path);
	again = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
	assert_non_null(again);
	assert_int_equal(strlen(text), strlen(again) + 1);
	assert_memory_equal(text, again, strlen(again));
	free(text);
	free(again);
	json_decref(line);
}

/* Rows of ports and services do not go through jansson, but must be what it would have written. */
static void a_line_is_what_jansson_makes_of_it(void **state)
{
	static const uint64_t figures[] = { 0, 7, 10, 99, 100, 65535, (UINT64_C(1) << 53) - 1 };
	static const char *const names[] = { "plain", "plain",    NULL,
					     NULL,    "qu\"ote\\", "caf\xc3\xa9",
					     "tab\t\x01" };
	static char longest[256];
	uint16_t many[1000];
	const json_t *ports;
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	struct pm_record *record = record_new(&source);
	char *text, *again;
	json_t *line;

	(void)state;
	memset(longest, 'n', sizeof longest - 1);
	for (size_t i = 0; i < record->n_ports; i++) {
		struct pm_port_row *row = &record->ports[i];

		row->service = i < COUNT(names) ? names[i] : longest;
		row->src = (struct pm_count){ figures[i % 7], figures[(i + 1) % 7] };
		row->dst = (struct pm_count){ figures[(i + 2) % 7], figures[(i + 3) % 7] };
		row->as_service = (struct pm_count){ figures[(i + 4) % 7], figures[(i + 5) % 7] };
		row->talk = i % 2;
		row->sessions = figures[6 - i % 7];
	}
	assert_true(record->n_ports > COUNT(names));
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = (uint16_t)(65535 - i);
	assert_true(record->n_services > 0);
	record->services[0].ports = many;
	record->services[0].n_ports = COUNT(many);
	record->services[0].service = longest;
	record->services[0].category = names[6];
	for (size_t i = 0; i < PM_RUNG_N; i++)
		record->services[0].side_by[i] = figures[6];
	for (size_t i = 0; i < PM_TALK_N; i++)
		record->services[0].talk[i] = figures[6];
	record->services[0].talk_known = (1U << PM_TALK_N) - 1;
	record->services[0].clients = record->services[0].servers =
		(struct pm_distinct){ .count = figures[6], .known = true, .estimated = true };
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	line = only_line();
	text = contents_of(path);
	again = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
	assert_non_null(again);
	assert_int_equal(strlen(text), strlen(again) + 1);
	assert_memory_equal(text, again, strlen(again));
	ports = json_object_get(json_array_get(json_object_get(line, "services"), 0), "ports");
	assert_int_equal(json_array_size(ports), COUNT(many));
	for (size_t i = 0; i < COUNT(many); i++)
		assert_int_equal(json_integer_value(json_array_get(ports, i)), many[i]);
	free(text);
	free(again);
	json_decref(line);
}

static void json_names_the_sensor_the_run_and_what_is_not_known(void **state)
{
	struct pm_source source = {
		.live = true, .name = "eth0", .filter = "not port 22", .snaplen = -1, .sensor = "edge-1", .run = "6f3c"
	};
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	struct pm_record *record = record_new(&source);
	json_t *line;

	(void)state;
	record->merged = 3;
	record->capture = (struct pm_capture_figures){ 7, 6, 5, true, true, false };
	record->given_up.fragment_frames = 2;
	record->interval.partial = true;
	record->interval.end_ns += 123456789;
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	line = only_line();
	member_is(line, "sensor", "\"edge-1\"");
	member_is(line, "run", "\"6f3c\"");
	member_is(line, "merged", "3");
	member_is(line, "source", "{\"kind\":\"live\",\"name\":\"eth0\",\"link\":null,\"filter\":\"not port 22\","
				  "\"snaplen\":null}");
	member_is(line, "capture.received", "7");
	member_is(line, "capture.dropped_kernel", "6");
	member_is(line, "capture.dropped_interface", "null");
	member_is(line, "given_up", "{\"fragment_frames\":2}");
	member_is(line, "interval.partial", "true");
	member_is(line, "interval.seconds", "10.123456789");
	json_decref(line);
}

static void counts_of_53_bits_are_written_exactly(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	struct pm_record *record = record_new(&source);
	json_t *line;

	(void)state;
	record->totals.bytes = (UINT64_C(1) << 53) - 1;
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	pm_output_close(output, NULL);
	line = only_line();
	member_is(line, "totals.bytes", "9007199254740991");
	json_decref(line);
}

static void top_cuts_rows_into_other(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output_options options = { .format = PM_FORMAT_JSON, .path = path, .top = 1 };
	struct pm_output *output = NULL;
	json_t *line;

	(void)state;
	assert_int_equal(pm_output_open(&options, NULL, &output), PM_OK);
	write_record(output, &source);
	pm_output_close(output, NULL);
	line = only_line();
	assert_int_equal(json_array_size(at(line, "ports")), 1);
	member_is(line, "ports.0.port", "80");
	member_is(line, "transports.0.other.ports", "5");
	member_is(line, "other.ports", "8");
	json_decref(line);
}

/* A name as bytes, and what JSON must hold: U+FFFD for each byte that is none of UTF-8 (RFC 3629).
 */
static const struct {
	const char *name, *text;
} names[] = {
	{ "caf\xc3\xa9.pcap", "caf\xc3\xa9.pcap" },
	{ "caf\xe9.pcap", "caf\xef\xbf\xbd.pcap" },
	{ "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "over\xc0\xaf", "over\xef\xbf\xbd\xef\xbf\xbd" },
	{ "long\xe0\x80\xaf", "long\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "half\xed\xa0\x80", "half\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "far\xf4\x90\x80\x80", "far\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "good\xf0\x9f\x90\x99" "bad\xf0\x9f", "good\xf0\x9f\x90\x99" "bad\xef\xbf\xbd\xef\xbf\xbd" },
	{ "cut\xe2\x82", "cut\xef\xbf\xbd\xef\xbf\xbd" },
	{ "line\nend\ttab\"quote\\\x01", "line\nend\ttab\"quote\\\x01" },
};

static void names_that_are_not_utf_8_are_written_as_such(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct pm_source source = plain_source();
		struct pm_output *output = output_open(PM_FORMAT_JSON);
		json_t *line;

		source.name = names[i].name;
		write_record(output, &source);
		pm_output_close(output, NULL);
		line = only_line();
		assert_string_equal(json_string_value(at(line, "source.name")), names[i].text);
		json_decref(line);
		remove(path);
	}
}

static json_int_t sum_of(json_t *values[], size_t n, const char *kinds, const char *key)
{
	json_int_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (strstr(kinds, json_string_value(at(values[i], "row"))))
			sum += json_integer_value(at(values[i], key));
	return sum;
}

static size_t rows_of(json_t *values[], size_t n, const char *kind)
{
	size_t rows = 0;

	for (size_t i = 0; i < n; i++)
		rows += strcmp(json_string_value(at(values[i], "row")), kind) == 0;
	return rows;
}

static void rows_hold_the_same_facts(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output_options options = { .format = PM_FORMAT_ROWS, .path = path, .top = 2 };
	struct pm_output *output = NULL;
	json_t *values[LINES];
	size_t n;

	(void)state;
	assert_int_equal(pm_output_open(&options, NULL, &output), PM_OK);
	write_record(output, &source);
	pm_output_close(output, NULL);
	n = read_lines(values);
	for (size_t i = 0; i < n; i++) {
		member_is(values[i], "schema", "\"portmeter.row/1\"");
		member_is(values[i], "time", "\"2026-11-22T06:30:10.000000Z\"");
		member_is(values[i], "start", "\"2026-11-22T06:30:00.000000Z\"");
		member_is(values[i], "source", "\"trace.pcap\"");
		member_is(values[i], "seq", "42");
		member_is(values[i], "seconds", "10.0");
		member_is(values[i], "partial", "false");
	}
	assert_int_equal(rows_of(values, n, "totals"), 1);
	assert_int_equal(rows_of(values, n, "transport"), 3);
	assert_int_equal(rows_of(values, n, "port"), 2);
	assert_int_equal(rows_of(values, n, "service"), 4);
	assert_int_equal(rows_of(values, n, "unknown"), 1);
	assert_int_equal(rows_of(values, n, "no_port"), 3);
	assert_int_equal(rows_of(values, n, "facet"), 2);
	assert_int_equal(rows_of(values, n, "other"), 3);
	assert_int_equal(sum_of(values, n, "totals", "packets"),
			 sum_of(values, n, "service unknown no_port", "packets"));
	assert_int_equal(sum_of(values, n, "totals", "bytes"),
			 sum_of(values, n, "service unknown no_port", "bytes"));
	assert_int_equal(sum_of(values, n, "transport", "packets"),
			 sum_of(values, n, "port other", "dst_packets"));
	member_is(values[0], "ip4_packets", "8");
	member_is(values[0], "received", "null");
	lines_free(values, n);
}

static void rows_hold_what_conversations_were(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output_options options = { .format = PM_FORMAT_ROWS, .path = path, .top = 2 };
	struct pm_record *record = talking_record_new(&source);
	struct pm_output *output = NULL;
	json_t *values[LINES];
	size_t n;

	(void)state;
	assert_int_equal(pm_output_open(&options, NULL, &output), PM_OK);
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	pm_output_close(output, NULL);
	n = read_lines(values);
	for (size_t i = 0; i < n; i++) {
		const char *kind = json_string_value(json_object_get(values[i], "row"));
		bool service = strcmp(kind, "service") == 0, unknown = strcmp(kind, "unknown") == 0,
		     port = strcmp(kind, "port") == 0, other = strcmp(kind, "other") == 0;
		bool has = json_object_get(values[i], "sessions");

		assert_true(port || has == (service || unknown || other));
		if (port)
			assert_int_equal(has, json_integer_value(json_object_get(
						      values[i], "as_service_packets")) > 0);
		if (unknown)
			member_is(values[i], "refused", "5");
		if (service)
			member_is(values[i], "clients_estimated", "true");
	}
	assert_int_equal(sum_of(values, n, "port other", "sessions"), 3);
	assert_int_equal(sum_of(values, n, "service", "sessions"), 10000);
	lines_free(values, n);
}

struct frame_case {
	const char *name, *line;
	struct pm_frame_report report;
};

#define PORTS_REPORT(t, src, dst, service, side_, rung_) \
	{ .number = 7, .time_ns = 1500, .wire = 90, .verdict = PM_VERDICT_PORTS, .transport = (t), \
	  .src_port = (src), .dst_port = (dst), .decision = { service, side_, rung_ } }

static const struct frame_case frame_lines[] = {
	{ "a frame line names ports, side, label and rung",
	  "{\"number\":7,\"time\":\"1970-01-01T00:00:00.000001Z\",\"source\":\"trace.pcap\","
	  "\"bytes\":90,"
	  "\"transport\":\"udp\",\"src_port\":50001,\"dst_port\":53,\"side\":\"dst\",\"label\":"
	  "\"alpha\","
	  "\"rung\":\"known\"}",
	  PORTS_REPORT(PM_TRANSPORT_UDP, 50001, 53, 1, PM_SIDE_DST, PM_RUNG_KNOWN) },
	{ "a frame line without label and side says null and none",
	  "{\"number\":7,\"time\":\"1970-01-01T00:00:00.000001Z\",\"source\":\"trace.pcap\","
	  "\"bytes\":90,"
	  "\"transport\":\"tcp\",\"src_port\":0,\"dst_port\":0,\"side\":\"none\",\"label\":null,"
	  "\"rung\":\"unknown\"}",
	  PORTS_REPORT(PM_TRANSPORT_TCP, 0, 0, 0, PM_SIDE_NONE, PM_RUNG_UNKNOWN) },
	{ "a frame line without a source port says null",
	  "{\"number\":7,\"time\":\"1970-01-01T00:00:00.000001Z\",\"source\":\"trace.pcap\","
	  "\"bytes\":90,"
	  "\"transport\":\"udplite\",\"src_port\":null,\"dst_port\":53,\"side\":\"dst\",\"label\":"
	  "null,"
	  "\"rung\":\"zero\"}",
	  PORTS_REPORT(PM_TRANSPORT_UDPLITE, 0, 53, 0, PM_SIDE_DST, PM_RUNG_ZERO) },
	{ "a frame line without ports says why",
	  "{\"number\":7,\"time\":\"1970-01-01T00:00:00.000001Z\",\"source\":\"trace.pcap\","
	  "\"bytes\":90,"
	  "\"no_port\":\"no_ports_protocol\",\"protocol\":58}",
	  { .number = 7,
	    .time_ns = 1500,
	    .wire = 90,
	    .verdict = PM_VERDICT_NO_PORTS_PROTOCOL,
	    .ip_protocol = 58 } },
	{ "a frame line of an orphan has no protocol",
	  "{\"number\":7,\"time\":\"1970-01-01T00:00:00.000001Z\",\"source\":\"trace.pcap\","
	  "\"bytes\":90,"
	  "\"no_port\":\"fragment_orphan\"}",
	  { .number = 7,
	    .time_ns = 1500,
	    .wire = 90,
	    .verdict = PM_VERDICT_FRAGMENT,
	    .ip_protocol = 17 } },
};

static void frame_case_holds(void **state)
{
	const struct frame_case *row = *state;
	struct pm_source source = plain_source();
	struct pm_frame_report report = row->report;
	struct pm_output *output = output_open(PM_FORMAT_FRAMES);
	json_t *line;

	report.rules = rules;
	write_record(output, &source); /* writes nothing */
	assert_int_equal(pm_output_frame(output, &source, &report, NULL), PM_OK);
	assert_int_equal(pm_output_flush(output, NULL), PM_OK);
	line = only_line();
	member_is(line, "", row->line);
	json_decref(line);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
}

static void only_the_format_frames_writes_frames(void **state)
{
	struct pm_source source = plain_source();
	struct pm_frame_report report = { .number = 1, .rules = rules };

	(void)state;
	for (int f = 0; f < PM_FORMAT_N; f++) {
		struct pm_output *output = output_open((enum pm_format)f);
		struct stat st;

		assert_int_equal(pm_output_frame(output, &source, &report, NULL), PM_OK);
		assert_int_equal(pm_output_close(output, NULL), PM_OK);
		if (stat(path, &st) == 0)
			assert_int_equal(st.st_size != 0, f == PM_FORMAT_FRAMES);
		remove(path);
	}
}

static void text_is_for_people(void **state)
{
	static const char *const pieces[] = {
		"trace.pcap  2026-11-22T06:30:00.000000Z to 2026-11-22T06:30:10.000000Z\n",
		"11 packets, 2.3 kB, 1 packets/s, 1.9 kbit/s\n",
		"1 packets came late\n",
		"alpha",
		"(unknown)",
		"no port: no_ports_protocol, ipv6-icmp",
		"no port: no_ports_protocol, 253",
		"tcp/80         system    beta",
		"note: udp_source_port_zero: 1 packets, 60 B\n",
	};
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_TEXT);
	char *text;

	(void)state;
	write_record(output, &source);
	pm_output_close(output, NULL);
	text = contents_of(path);
	for (size_t i = 0; i < COUNT(pieces); i++)
		if (!strstr(text, pieces[i]))
			fail_msg("\"%s\" is not in:\n%s", pieces[i], text);
	free(text);
}

static void text_has_columns_for_conversations(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_TEXT);
	struct pm_record *record = talking_record_new(&source);
	char *text;

	(void)state;
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	pm_output_close(output, NULL);
	text = contents_of(path);
	assert_non_null(strstr(text, " FROM IT   SESSIONS   CLIENTS  MOSTLY BY\n"));
	assert_non_null(strstr(text, "      1,000    ~4,711  known\n"));
	assert_non_null(strstr(text, "          0            unknown\n"));
	free(text);
}

static void text_says_what_is_odd_about_an_interval(void **state)
{
	static const char *const pieces[] = {
		"30:10.000000Z  (partial)\n",
		"1,234,567 packets dropped by kernel\n",
		"8 packets dropped by interface\n",
		"3 intervals in one: output was held up\n",
	};
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_TEXT);
	struct pm_record *record = record_new(&source);
	char *text;

	(void)state;
	record->interval.partial = true;
	record->merged = 3;
	record->capture = (struct pm_capture_figures){ 9, 1234567, 8, true, true, true };
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_record_free(record);
	pm_output_close(output, NULL);
	text = contents_of(path);
	for (size_t i = 0; i < COUNT(pieces); i++)
		if (!strstr(text, pieces[i]))
			fail_msg("\"%s\" is not in:\n%s", pieces[i], text);
	free(text);
}

static const struct {
	const char *name;
	struct pm_evidence evidence;
	bool live;
	const char *json, *row_client, *row_frame, *text;
} examples[] = {
	{ "an example names its frame and both ends",
	  { .ip_version = 4,
	    .transport = PM_TRANSPORT_TCP,
	    .client_port = 40000,
	    .server_port = 23,
	    .client = { { 192, 0, 2, 1 } },
	    .server = { { 198, 51, 100, 9 } },
	    .number = 1234567,
	    .time_ns = INT64_C(1795329001000000000),
	    .wire = 60 },
	  false,
	  "{\"frame\":1234567,\"time\":\"2026-11-22T06:30:01.000000Z\",\"transport\":\"tcp\","
	  "\"client\":{\"address\":\"192.0.2.1\",\"port\":40000},"
	  "\"server\":{\"address\":\"198.51.100.9\",\"port\":23}}",
	  "\"192.0.2.1\"", "1234567",
	  "note: port_scan: 1 packets, 60 B; first: tcp 192.0.2.1:40000 to 198.51.100.9:23, frame 1,234,567\n" },
	{ "one over IPv6, for which no frame stands",
	  { .ip_version = 6,
	    .transport = PM_TRANSPORT_UDP,
	    .client_port = 53,
	    .server_port = 123,
	    .client = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
	    .server = { { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 } },
	    .wire = 60 },
	  false,
	  "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"transport\":\"udp\","
	  "\"client\":{\"address\":\"2001:db8::1\",\"port\":53},"
	  "\"server\":{\"address\":\"2001:db8::2\",\"port\":123}}",
	  "\"2001:db8::1\"", NULL,
	  "note: port_scan: 1 packets, 60 B; first: udp [2001:db8::1]:53 to [2001:db8::2]:123\n" },
	{ "live, numbers of frames say nothing",
	  { .ip_version = 4, .transport = PM_TRANSPORT_SCTP, .number = 7, .wire = 60 },
	  true,
	  "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"transport\":\"sctp\","
	  "\"client\":{\"address\":\"0.0.0.0\",\"port\":0},"
	  "\"server\":{\"address\":\"0.0.0.0\",\"port\":0}}",
	  "\"0.0.0.0\"", NULL,
	  "note: port_scan: 1 packets, 60 B; first: sctp 0.0.0.0:0 to 0.0.0.0:0\n" },
};

/* A record with the anomaly of the row, and what was given up to find it. */
static void write_anomaly(enum pm_format format, size_t row)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(format);
	struct pm_tally *tally = NULL;
	struct pm_record *record = NULL;

	source.live = examples[row].live;
	assert_int_equal(pm_tally_new(rules, &tally), PM_OK);
	pm_tally_anomaly(tally, PM_ANOMALY_PORT_SCAN, &examples[row].evidence);
	tally->given_up.watched = 5;
	assert_int_equal(pm_record_new(tally, &source, &record), PM_OK);
	assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
	pm_output_close(output, NULL);
	pm_record_free(record);
	pm_tally_free(tally);
}

static void facets_show_their_example(void **state)
{
	json_t *line, *values[LINES];
	char *text;
	size_t n;

	(void)state;
	for (size_t i = 0; i < COUNT(examples); i++) {
		write_anomaly(PM_FORMAT_JSON, i);
		line = only_line();
		member_is(line, "facets.0.code", "\"port_scan\"");
		member_is(line, "facets.0.packets", "1");
		member_is(line, "facets.0.example", examples[i].json);
		member_is(line, "given_up", "{\"watched\":5}");
		json_decref(line);
		remove(path);
		write_anomaly(PM_FORMAT_ROWS, i);
		n = read_lines(values);
		assert_int_equal(n, 2);
		member_is(values[1], "row", "\"facet\"");
		member_is(values[1], "example_client_address", examples[i].row_client);
		member_is(values[1], "example_frame", examples[i].row_frame);
		lines_free(values, n);
		remove(path);
		write_anomaly(PM_FORMAT_TEXT, i);
		text = contents_of(path);
		if (!strstr(text, examples[i].text))
			fail_msg("%s: \"%s\" is not in:\n%s", examples[i].name, examples[i].text, text);
		free(text);
		remove(path);
	}
}

static void a_long_path_is_written_whole(void **state)
{
	static const enum pm_format formats[] = { PM_FORMAT_JSON, PM_FORMAT_ROWS, PM_FORMAT_TEXT,
						  PM_FORMAT_PROMETHEUS };
	char name[4096];

	(void)state;
	memset(name, 'p', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (size_t i = 0; i < COUNT(formats); i++) {
		struct pm_source source = plain_source();
		struct pm_output *output = output_open(formats[i]);
		struct pm_record *record = record_new(&source);
		char *text;

		source.name = name;
		record->n_services = record->n_ports = record->n_no_port =
			0; /* few lines, so that all fits */
		assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
		pm_record_free(record);
		text = contents_of(path);
		assert_non_null(strstr(text, name));
		assert_int_equal(text[strlen(text) - 1], '\n');
		free(text);
		pm_output_close(output, NULL);
		remove(path);
	}
}

static unsigned long long sample_of(const char *page, const char *sample)
{
	char line[300];
	const char *found;

	snprintf(line, sizeof line, "\n%s ", sample);
	found = strstr(page, line);
	if (!found)
		fail_msg("no sample %s in:\n%s", sample, page);
	return found ? strtoull(found + strlen(line), NULL, 10) : 0;
}

/* Every line is a comment or a sample of a family that a TYPE line has announced. */
static void page_is_well_formed(const char *page)
{
	char family[128] = "";

	while (*page) {
		const char *end = strchr(page, '\n');

		assert_non_null(end);
		if (strncmp(page, "# TYPE ", 7) == 0) {
			size_t length = strcspn(page + 7, " ");

			assert_true(length < sizeof family);
			memcpy(family, page + 7, length);
			family[length] = '\0';
		} else if (page[0] != '#') {
			assert_memory_equal(page, family, strlen(family));
			assert_int_equal(page[strlen(family)], '{');
			assert_true(end[-1] >= '0' && end[-1] <= '9');
		}
		page = end + 1;
	}
}

static void prometheus_adds_up_and_replaces_its_file(void **state)
{
	struct pm_source source = plain_source(), second = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_PROMETHEUS);
	struct stat st;
	struct dirent *entry;
	char *page;
	FILE *reader;
	DIR *dir;

	(void)state;
	second.name = "eth1";
	assert_int_equal(access(path, F_OK), -1); /* nothing before the first record */
	write_record(output, &source);
	reader = fopen(path, "r");
	assert_non_null(reader);
	write_record(output, &source);
	write_record(output, &second);
	page = calloc(1, 65536);
	assert_non_null(page);
	assert_true(fread(page, 1, 65535, reader) >
		    0); /* who reads it still sees the whole old page */
	fclose(reader);
	page_is_well_formed(page);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"trace.pcap\",ip=\"4\"}"), 8);
	free(page);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	page = contents_of(path);
	page_is_well_formed(page);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"trace.pcap\",ip=\"4\"}"), 16);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"eth1\",ip=\"none\"}"), 1);
	assert_int_equal(sample_of(page, "portmeter_service_bytes_total{interface=\"trace.pcap\",transport=\"udp\","
					 "service=\"alpha\",direction=\"to_service\"}"),
			 320);
	assert_int_equal(sample_of(page, "portmeter_port_packets_total{interface=\"trace.pcap\",transport=\"tcp\",port=\"80\","
					 "service=\"beta\",direction=\"dst\"}"),
			 2);
	assert_null(strstr(page, "port=\"53\"")); /* no metric=port */
	assert_int_equal(sample_of(page, "portmeter_rules_generation{interface=\"eth1\"}"), 3);
	free(page);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	dir = opendir(folder);
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) /* nothing is left beside it */
		assert_true(entry->d_name[0] == '.' || strcmp(entry->d_name, "out") == 0);
	closedir(dir);
}

static void prometheus_adds_up_conversations(void **state)
{
	static const char *const never[] = {
		"clients", "servers", "syn_total{interface=\"trace.pcap\",transport=\"udp\"",
		"port_sessions_total{interface=\"trace.pcap\",transport=\"udp\"" /* no metric=port */
	};
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_PROMETHEUS);
	char *page;

	(void)state;
	write_record(output, &source);
	page = contents_of(path);
	assert_null(strstr(page, "sessions")); /* not counted */
	free(page);
	for (int i = 0; i < 2; i++) {
		struct pm_record *record = talking_record_new(&source);

		assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
		pm_record_free(record);
	}
	page = contents_of(path);
	page_is_well_formed(page);
	assert_int_equal(sample_of(page, "portmeter_service_sessions_total{interface=\"trace.pcap\","
					 "transport=\"tcp\",service=\"beta\"}"),
			 2000);
	assert_int_equal(sample_of(page, "portmeter_service_syn_total{interface=\"trace.pcap\","
					 "transport=\"tcp\",service=\"beta\"}"),
			 2002);
	assert_int_equal(sample_of(page, "portmeter_service_unanswered_total{interface=\"trace.pcap\","
					 "transport=\"udp\",service=\"alpha\"}"),
			 4006);
	assert_int_equal(sample_of(page, "portmeter_unknown_refused_total{interface=\"trace.pcap\"}"), 10);
	assert_int_equal(sample_of(page, "portmeter_port_sessions_total{interface=\"trace.pcap\","
					 "transport=\"tcp\",port=\"80\",service=\"beta\"}"),
			 2);
	for (size_t i = 0; i < COUNT(never); i++)
		assert_null(strstr(page, never[i]));
	free(page);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
}

static void prometheus_escapes_what_it_must(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_PROMETHEUS);
	char *page;

	(void)state;
	source.name = "a\"b\\c\nd";
	write_record(output, &source);
	page = contents_of(path);
	page_is_well_formed(page);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"a\\\"b\\\\c\\nd\",ip=\"6\"}"), 2);
	assert_non_null(strstr(page, "service=\"quote\\\"back\\\\slash\""));
	free(page);
	pm_output_close(output, NULL);
}

/* Names of files need not be UTF-8, but the page must be. */
static void prometheus_writes_utf_8_only(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_PROMETHEUS);
	char *page;

	(void)state;
	source.name = "caf\xe9";
	write_record(output, &source);
	page = contents_of(path);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"caf\xef\xbf\xbd\",ip=\"6\"}"), 2);
	free(page);
	pm_output_close(output, NULL);
}

/* Standard output as a file, so that the test can look at it; then back. */
static int stdout_to_file(void)
{
	int saved, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	dup2(fd, STDOUT_FILENO);
	close(fd);
	return saved;
}

static void stdout_back(int saved)
{
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

static void prometheus_gives_standard_output_its_page_once_at_the_end(void **state)
{
	struct pm_output_options options = { .format = PM_FORMAT_PROMETHEUS };
	struct pm_source source = plain_source();
	struct pm_output *output = NULL;
	struct stat st;
	int saved = stdout_to_file(), r;
	char *page;

	(void)state;
	r = pm_output_open(&options, NULL, &output);
	if (r == PM_OK) {
		write_record(output, &source);
		write_record(output, &source);
		stat(path, &st);
		r = pm_output_close(output, NULL);
	}
	stdout_back(saved);
	assert_int_equal(r, PM_OK);
	assert_int_equal(st.st_size, 0);
	page = contents_of(path);
	page_is_well_formed(page);
	assert_int_equal(sample_of(page, "portmeter_packets_total{interface=\"trace.pcap\",ip=\"4\"}"), 16);
	free(page);
}

static void put_file(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

struct tail_case {
	const char *name;
	const char *before; /* in the file */
	enum pm_format format;
	const char *after;  /* in it, once opened; NULL: refused, and as before */
};

#define FRAME "{\"number\":1,\"time\":\"1970-01-01T00:00:00.000001Z\"}\n"
#define GOOD "{\"schema\":\"portmeter.summary/1\"}\n"

#define TIMES "2026-11-22T06:30:00.000000Z to 2026-11-22T06:30:10.000000Z"
#define TITLE "eth0  " TIMES "\n"
#define SUMS "1,234 packets, 1.8 kB, 123 packets/s, 55.6 kbit/s\n"
#define ROW "  domain               udp      53      1,234     1.8 kB  100.0%\n"
#define SERVICES "\n  SERVICE                       PORTS\n" ROW
#define TABLE TITLE SUMS SERVICES "\n"

static const struct tail_case tails[] = {
	{ "an empty file is opened", "", PM_FORMAT_JSON, "" },
	{ "whole lines are kept", GOOD GOOD, PM_FORMAT_JSON, GOOD GOOD },
	{ "a torn record is cut", GOOD "{\"schema\":\"portmeter.summary/1\",\"time\":\"20", PM_FORMAT_JSON, GOOD },
	{ "a torn row is cut", GOOD "{\"schema\":\"portmeter.row/1\",", PM_FORMAT_ROWS, GOOD },
	{ "a torn frame is cut", FRAME "{\"number\":2,\"ti", PM_FORMAT_FRAMES, FRAME },
	{ "a torn first frame leaves an empty file", "{\"number\":1,\"time\":\"19", PM_FORMAT_FRAMES, "" },
	{ "a number of another program is refused", "{\"number\":12,\"title\":\"mine\"}",
	  PM_FORMAT_FRAMES, NULL },
	{ "a first byte that may be anybody's is refused", "{", PM_FORMAT_JSON, NULL },
	{ "a record torn in its first bytes is cut", GOOD "{\"sch", PM_FORMAT_JSON, GOOD },
	{ "a record torn behind its first byte is cut", GOOD "{", PM_FORMAT_JSON, GOOD },
	{ "a torn first record leaves an empty file", "{\"schema\":\"portmeter.summ", PM_FORMAT_JSON, "" },
	{ "a torn line of another program is refused", "root:x:0:0", PM_FORMAT_JSON, NULL },
	{ "a torn line of another program behind records is refused", GOOD "precious", PM_FORMAT_JSON, NULL },
	{ "a torn object of another program is refused", "{\"name\":\"precious\"", PM_FORMAT_ROWS, NULL },
	{ "whole lines of another program are kept", "precious\n", PM_FORMAT_JSON, "precious\n" },
	{ "text goes on behind whole lines of another program", "precious\n", PM_FORMAT_TEXT, "precious\n" },
	{ "text goes on behind whole tables", TABLE, PM_FORMAT_TEXT, TABLE },
	{ "a table torn in a row is cut", TABLE TITLE SUMS SERVICES "  domain      ", PM_FORMAT_TEXT, TABLE },
	{ "a table torn in its second part is cut", TABLE TITLE SUMS SERVICES ROW "\n  PORT      ",
	  PM_FORMAT_TEXT, TABLE },
	{ "a table torn in its notes is cut", TABLE TITLE SUMS SERVICES ROW "\n  note: service_on_unusual_port: 3", PM_FORMAT_TEXT,
	  TABLE },
	{ "a table torn in its sums is cut", TABLE TITLE "1,234 pack", PM_FORMAT_TEXT, TABLE },
	{ "a table torn in its figures is cut", TABLE TITLE SUMS "3 packets came l", PM_FORMAT_TEXT, TABLE },
	{ "a table torn behind its times is cut", TABLE "eth0  " TIMES "  (part", PM_FORMAT_TEXT, TABLE },
	{ "a table torn in its times is cut", TABLE "eth1  2026-11-22T06:30:00.000000Z to 20", PM_FORMAT_TEXT,
	  TABLE },
	{ "a table torn in the name of its source is cut", TABLE "et", PM_FORMAT_TEXT, TABLE },
	{ "a torn first table leaves an empty file", TITLE SUMS SERVICES "  doma", PM_FORMAT_TEXT, "" },
	{ "a torn first title leaves an empty file", "eth0  2026-11-22T06:30:00.000000Z to ", PM_FORMAT_TEXT, "" },
	{ "a table that may be whole is kept without what is torn", TABLE "  SER", PM_FORMAT_TEXT, TABLE },
	{ "a torn table is cut before records too", TABLE TITLE SUMS "\n  SERVICE  ", PM_FORMAT_JSON, TABLE },
	{ "a torn table behind lines of another program is cut", "precious\n" TITLE SUMS "\n  SERVICE  ",
	  PM_FORMAT_TEXT, "precious\n" },
	{ "a torn record is cut before tables too", GOOD "{\"schema\":\"portmeter.summary/1\",\"time\":\"20",
	  PM_FORMAT_TEXT, GOOD },
	{ "text refuses a torn line of another program", "precious", PM_FORMAT_TEXT, NULL },
	{ "text refuses a torn line of another program behind tables", TABLE "precious", PM_FORMAT_TEXT, NULL },
	{ "text refuses an indented line of another program behind tables", TABLE "  precious", PM_FORMAT_TEXT,
	  NULL },
	{ "text refuses a note of another program behind tables", TABLE "  note: precious", PM_FORMAT_TEXT, NULL },
	{ "text refuses a torn row of another program", "rows\n\n  one\n  tw", PM_FORMAT_TEXT, NULL },
	{ "text refuses a torn row behind a line of another program", TABLE "precious\n  tw", PM_FORMAT_TEXT, NULL },
	{ "text refuses a title with other lines below", TITLE "precious\n  tw", PM_FORMAT_TEXT, NULL },
	{ "text refuses other sums below a title", TITLE "12 apples", PM_FORMAT_TEXT, NULL },
	{ "text refuses a time that is not ours", "met  2026-11-22", PM_FORMAT_TEXT, NULL },
};

static void tail_case_holds(void **state)
{
	const struct tail_case *row = *state;
	struct pm_output_options options = { .format = row->format, .path = path };
	struct pm_source source = plain_source();
	struct pm_output *output = NULL;
	struct pm_error err = { .line = 0 };
	char *text;
	int r;

	put_file(row->before);
	r = pm_output_open(&options, &err, &output);
	text = contents_of(path);
	assert_string_equal(text, row->after ? row->after : row->before);
	free(text);
	if (!row->after) {
		assert_int_equal(r, PM_E_IO);
		assert_null(output);
		assert_string_equal(err.file, path);
		assert_true(err.text[0] != '\0');
		return;
	}
	assert_int_equal(r, PM_OK);
	write_record(output, &source);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	assert_memory_equal(text, row->after, strlen(row->after)); /* appended, not overwritten */
	free(text);
}

static void a_long_torn_line_is_cut(void **state)
{
	static const char start[] = "{\"schema\":\"portmeter.summary/1\"";
	struct stat st;

	(void)state;
	for (size_t more = 65536 - 40; more < 65536 * 2 + 40; more += 13) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(GOOD, file);
		fputs(start, file);
		for (size_t i = 0; i < more; i++)
			putc('x', file);
		fclose(file);
		pm_output_close(output_open(PM_FORMAT_JSON), NULL);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, strlen(GOOD));
		more += 997;
	}
}

/* Longer than what is read at a time, with rows that lie across wherever that ends. */
static void a_long_torn_table_is_cut(void **state)
{
	struct stat st;

	(void)state;
	for (int rows = 1; rows < 3000; rows += 131) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(TABLE TITLE SUMS SERVICES, file);
		for (int i = 0; i < rows; i++)
			fprintf(file, "  %d%*s\n", i, i * 7 % 300, "");
		fprintf(file, "  %d%*s\n  dom", rows, rows % 2 ? 12000 : 1, "");
		fclose(file);
		pm_output_close(output_open(PM_FORMAT_TEXT), NULL);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, strlen(TABLE));
	}
}

static void reopening_follows_the_name(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	char moved[320];

	(void)state;
	snprintf(moved, sizeof moved, "%s.1", path);
	write_record(output, &source);
	assert_int_equal(rename(path, moved), 0);
	write_record(output, &source); /* into the moved file still */
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(pm_output_reopen(output, NULL), PM_OK);
	write_record(output, &source);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	json_decref(only_line());
	remove(path);
	assert_int_equal(rename(moved, path), 0);
	{
		json_t *values[LINES];
		size_t n = read_lines(values);

		assert_int_equal(n, 2);
		lines_free(values, n);
	}
}

static void a_failed_reopening_is_an_error_and_does_not_turn_to_standard_output(void **state)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(PM_FORMAT_JSON);
	struct pm_record *record = record_new(&source);
	struct pm_error err = { .line = 0 };
	struct stat st;
	int saved, reopened, written;

	(void)state;
	remove(path);
	assert_int_equal(mkdir(path, 0700), 0);
	reopened = pm_output_reopen(output, &err);
	assert_int_equal(rmdir(path), 0);
	saved = stdout_to_file();
	written = pm_output_record(output, record, NULL);
	pm_output_close(output, NULL);
	stdout_back(saved);
	assert_int_equal(reopened, PM_E_IO);
	assert_string_equal(err.file, path);
	assert_true(written < 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	pm_record_free(record);
}

static void a_full_disk_is_an_error_of_every_format(void **state)
{
	struct pm_source source = plain_source();
	struct pm_frame_report report = { .number = 1, .rules = rules };

	(void)state;
	if (access("/dev/full", W_OK) != 0)
		skip();
	for (int f = 0; f < PM_FORMAT_N; f++) {
		struct pm_output_options options = { .format = (enum pm_format)f, .path = "/dev/full" };
		struct pm_output *output = NULL;
		struct pm_record *record = record_new(&source);
		struct pm_error err = { .line = 0 };
		int r;

		if (f == PM_FORMAT_PROMETHEUS) { /* replaced by rename: not for a device */
			pm_record_free(record);
			continue;
		}
		assert_int_equal(pm_output_open(&options, &err, &output), PM_OK);
		r = pm_output_record(output, record, &err);
		if (f == PM_FORMAT_FRAMES)
			r = pm_output_frame(output, &source, &report, &err);
		if (r == PM_OK)
			r = pm_output_flush(output, &err);
		assert_int_equal(r, PM_E_IO);
		assert_non_null(strstr(err.text, "No space left on device"));
		assert_int_equal(pm_output_close(output, NULL), PM_E_IO); /* a failure stays one */
		pm_record_free(record);
	}
}

/* No file of this process grows beyond @size: a disk that is full. */
static void allow_bytes(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int full_disk(void **state)
{
	signal(SIGXFSZ, SIG_IGN); /* write(2) says EFBIG then */
	return without_file(state);
}

static int free_disk(void **state)
{
	(void)state;
	allow_bytes(RLIM_INFINITY);
	signal(SIGXFSZ, SIG_DFL);
	return 0;
}

struct notices {
	int n;
	char last[512];
};

static void note(void *ctx, const char *text)
{
	struct notices *notices = ctx;

	notices->n++;
	snprintf(notices->last, sizeof notices->last, "%s", text);
}

static struct pm_output *patient_open(enum pm_format format, enum pm_sync sync,
				      struct notices *notices)
{
	struct pm_output_options options = { .format = format,
					     .path = path,
					     .sync = sync,
					     .hold = true,
					     .notice = note,
					     .ctx = notices };
	struct pm_output *output = NULL;

	assert_int_equal(pm_output_open(&options, NULL, &output), PM_OK);
	return output;
}

static size_t size_now(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

/* What a disk without bounds has after @n records. */
static char *expected_text(enum pm_format format, int n)
{
	struct pm_source source = plain_source();
	struct pm_output *output = output_open(format);
	char *text;

	for (int i = 0; i < n; i++)
		write_record(output, &source);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	remove(path);
	return text;
}

/* The second of four records is refused after @more bytes, the third as a whole. */
static void fill_and_free(enum pm_format format, enum pm_sync sync, size_t size, size_t more)
{
	struct pm_source source = plain_source();
	struct notices notices = { .n = 0 };
	struct pm_output *output = patient_open(format, sync, &notices);
	struct pm_output_held held;

	write_record(output, &source);
	assert_int_equal(pm_output_due(output), PM_TIME_MAX);
	allow_bytes(size + more);
	write_record(output, &source);
	assert_int_equal(notices.n, 1);
	assert_non_null(strstr(notices.last, "File too large"));
	assert_true(pm_output_due(output) <= PM_NS_PER_S / 10);
	write_record(output, &source);
	assert_int_equal(pm_output_retry(output), PM_OK);
	assert_int_equal(size_now(), size + more); /* it is as full as it can be */
	pm_output_held(output, &held);
	assert_int_equal(held.records, 2);
	assert_int_equal(held.intervals, 2);
	assert_true(held.bytes > size);
	assert_true(pm_output_has_room(output));
	allow_bytes(RLIM_INFINITY);
	assert_int_equal(pm_output_retry(output), PM_OK);
	assert_int_equal(notices.n, 2);
	assert_non_null(strstr(notices.last, "2 records late"));
	write_record(output, &source);
	pm_output_held(output, &held);
	assert_int_equal(held.records, 0);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
}

/* Within lines, between them, in the first byte. */
static void what_a_full_disk_refuses_is_kept_and_written_later(void **state)
{
	static const struct {
		enum pm_format format;
		const char *told;
	} kinds[] = {
		{ PM_FORMAT_TEXT, "output failed 1 times before, 1 records were late" },
		{ PM_FORMAT_ROWS, "\"output_errors\":1,\"output_delayed_records\":1" },
	};

	(void)state;
	for (size_t k = 0; k < COUNT(kinds) * 2; k++) {
		enum pm_format format = kinds[k / 2].format;
		char *one = expected_text(format, 1), *two = expected_text(format, 2);
		size_t size = strlen(one);

		for (size_t more = 0; more < size; more += size / 7 + 1) {
			char *text;

			fill_and_free(format, k % 2 ? PM_SYNC_RECORD : PM_SYNC_NEVER, size, more);
			text = contents_of(path);
			assert_memory_equal(text, two, 2 * size);
			assert_non_null(strstr(text, kinds[k / 2].told));
			free(text);
			remove(path);
		}
		free(one);
		free(two);
	}
}

static void the_disk_is_waited_for_as_the_policy_says(void **state)
{
	static const struct {
		enum pm_sync sync;
		enum pm_format format;
		int after_open, after_records, after_close, folder;
	} cases[] = {
		{ PM_SYNC_NEVER, PM_FORMAT_JSON, 0, 0, 0, 0 },
		{ PM_SYNC_CLOSE, PM_FORMAT_JSON, 0, 0, 1, 1 },
		{ PM_SYNC_RECORD, PM_FORMAT_JSON, 0, 3, 4, 1 },
		{ PM_SYNC_NEVER, PM_FORMAT_PROMETHEUS, 0, 0, 0, 0 },
		{ PM_SYNC_CLOSE, PM_FORMAT_PROMETHEUS, 0, 3, 3, 3 },
	};
	struct pm_source source = plain_source();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pm_output_options options = { .format = cases[i].format,
						     .path = path,
						     .sync = cases[i].sync };
		struct pm_output *output = NULL;

		file_syncs = folder_syncs = 0;
		assert_int_equal(pm_output_open(&options, NULL, &output), PM_OK);
		assert_int_equal(file_syncs, cases[i].after_open);
		for (int n = 0; n < 3; n++)
			write_record(output, &source);
		assert_int_equal(file_syncs, cases[i].after_records);
		assert_int_equal(pm_output_close(output, NULL), PM_OK);
		assert_int_equal(file_syncs, cases[i].after_close);
		assert_int_equal(folder_syncs, cases[i].folder);
		remove(path);
	}
}

static void what_a_disk_has_not_taken_is_written_again(void **state)
{
	struct pm_source source = plain_source();
	char *one = expected_text(PM_FORMAT_JSON, 1), *two = expected_text(PM_FORMAT_JSON, 2);
	char *text;
	struct notices notices = { .n = 0 };
	struct pm_output *output = patient_open(PM_FORMAT_JSON, PM_SYNC_RECORD, &notices);
	struct pm_output_held held;

	(void)state;
	write_record(output, &source);
	sync_error = EIO;
	write_record(output, &source);
	assert_int_equal(pm_output_retry(output), PM_OK);
	sync_error = 0;
	pm_output_held(output, &held);
	assert_int_equal(held.records, 1);
	assert_int_equal(size_now(), strlen(one)); /* nothing that may not be there stays */
	assert_int_equal(notices.n, 1);
	assert_non_null(strstr(notices.last, "Input/output error"));
	assert_int_equal(pm_output_retry(output), PM_OK);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	assert_string_equal(text, two);
	free(text);
	free(one);
	free(two);
}

static void what_is_never_written_leaves_whole_records(void **state)
{
	struct pm_source source = plain_source();
	char *one = expected_text(PM_FORMAT_JSON, 1), *text;
	struct notices notices = { .n = 0 };
	struct pm_output *output = patient_open(PM_FORMAT_JSON, PM_SYNC_NEVER, &notices);

	(void)state;
	write_record(output, &source);
	allow_bytes(strlen(one) + 100);
	write_record(output, &source);
	assert_int_equal(size_now(), strlen(one) + 100);
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	assert_string_equal(text, one);
	free(text);
	free(one);
}

static void reopening_takes_what_is_kept_to_the_new_file(void **state)
{
	struct pm_source source = plain_source();
	char *one = expected_text(PM_FORMAT_JSON, 1), *text, moved[320];
	struct notices notices = { .n = 0 };
	struct pm_output *output = patient_open(PM_FORMAT_JSON, PM_SYNC_NEVER, &notices);

	(void)state;
	snprintf(moved, sizeof moved, "%s.1", path);
	write_record(output, &source);
	allow_bytes(strlen(one) + 100);
	write_record(output, &source);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(pm_output_reopen(output, NULL), PM_OK);
	assert_int_equal(notices.n, 2); /* the new one has room for it */
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	text = contents_of(path);
	assert_string_equal(text, one);
	free(text);
	text = contents_of(moved);
	assert_string_equal(text, one);
	free(text);
	free(one);
	remove(moved);
}

static void what_is_kept_has_a_bound(void **state)
{
	struct pm_source source = plain_source();
	struct notices notices = { .n = 0 };
	struct pm_output *output = patient_open(PM_FORMAT_ROWS, PM_SYNC_NEVER, &notices);
	struct pm_record *record = record_new(&source);
	struct pm_output_held held;
	struct stat st;
	int n = 0;

	(void)state;
	allow_bytes(1000);
	while (pm_output_has_room(output)) {
		assert_true(n < 16384);
		assert_int_equal(pm_output_record(output, record, NULL), PM_OK);
		n++;
	}
	pm_record_free(record);
	pm_output_held(output, &held);
	assert_int_equal(held.records, n);
	assert_true(held.bytes >= 16 << 20 && held.bytes < (16 << 20) + TEXT_MAX);
	allow_bytes(RLIM_INFINITY);
	assert_int_equal(pm_output_retry(output), PM_OK);
	assert_true(pm_output_has_room(output));
	assert_int_equal(pm_output_close(output, NULL), PM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_true((size_t)st.st_size >= held.bytes);
}

static void a_failure_of_files_leaves_whole_records(void **state)
{
	struct pm_source source = plain_source();
	char *one = expected_text(PM_FORMAT_ROWS, 1), *text;
	struct pm_output *output = output_open(PM_FORMAT_ROWS);
	struct pm_record *record = record_new(&source);
	struct pm_error err = { .line = 0 };

	(void)state;
	write_record(output, &source);
	allow_bytes(strlen(one) * 3 / 2);
	assert_int_equal(pm_output_record(output, record, &err), PM_E_IO);
	assert_non_null(strstr(err.text, "File too large"));
	assert_int_equal(pm_output_close(output, NULL), PM_E_IO);
	text = contents_of(path);
	assert_string_equal(text, one);
	free(text);
	free(one);
	pm_record_free(record);
}

/* A pipe that nobody reads. */
static void *give_up_soon(void *ctx)
{
	usleep(300000);
	pm_output_give_up(ctx);
	return NULL;
}

static void waiting_for_a_reader_can_be_given_up(void **state)
{
	struct pm_source source = plain_source();
	struct pm_record *record = record_new(&source);
	struct pm_output *output;
	struct pm_error err = { .line = 0 };
	pthread_t thread;
	int fd, r = PM_OK;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(fd >= 0);
	output = patient_open(PM_FORMAT_JSON, PM_SYNC_NEVER, NULL);
	assert_int_equal(pthread_create(&thread, NULL, give_up_soon, output), 0);
	for (int i = 0; i < 1000 && r == PM_OK; i++)
		r = pm_output_record(output, record, &err);
	pthread_join(thread, NULL);
	assert_int_equal(r, PM_E_IO);
	assert_non_null(strstr(err.text, "stands still"));
	assert_true(pm_output_progress(output) >= 4096);
	pm_output_close(output, NULL);
	pm_record_free(record);
	close(fd);
}

static void rotation_that_makes_no_sense_is_refused(void **state)
{
	const struct pm_output_options bad[] = {
		{ .rotate_bytes = 1 },
		{ .path = path, .rotate_count = 1 },
		{ .path = path, .pack = PM_PACK_GZIP },
		{ .path = path, .rotate_ns = -1 },
		{ .path = path, .rotate_ns = 1, .rotate_bytes = 1, .rotate_count = 1 },
		{ .path = path, .rotate_ns = 1, .format = PM_FORMAT_PROMETHEUS },
	};
	struct pm_output *output = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(pm_output_open(&bad[i], NULL, &output), PM_E_INVALID);
		assert_null(output);
	}
}

static void packings_and_policies_are_found_by_name(void **state)
{
	static const char *const packs[] = { "none", "gzip", "zstd" };
	static const char *const syncs[] = { "never", "close", "record" };
	enum pm_pack pack;
	enum pm_sync sync;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(pm_pack_name((enum pm_pack)i), packs[i]);
		assert_true(pm_pack_find(packs[i], &pack));
		assert_int_equal(pack, i);
		assert_string_equal(pm_sync_name((enum pm_sync)i), syncs[i]);
		assert_true(pm_sync_find(syncs[i], &sync));
		assert_int_equal(sync, i);
	}
	assert_false(pm_pack_find("GZIP", &pack));
	assert_false(pm_sync_find("", &sync));
	assert_string_equal(pm_pack_name(PM_PACK_N), "?");
	assert_string_equal(pm_sync_name(PM_SYNC_N), "?");
	assert_true(pm_pack_built(PM_PACK_NONE));
}

static void files_that_cannot_be_written_are_refused_at_once(void **state)
{
	static const char *const bad[] = { "", "/nowhere/at/all", "/" };

	(void)state;
	for (int f = 0; f < PM_FORMAT_N; f++)
		for (size_t i = 0; i < COUNT(bad); i++) {
			struct pm_output_options options = { .format = (enum pm_format)f,
							     .path = bad[i] };
			struct pm_output *output = NULL;
			struct pm_error err = { .line = 0 };

			if (f == PM_FORMAT_PROMETHEUS && strcmp(bad[i], "/nowhere/at/all") != 0)
				continue;
			assert_int_equal(pm_output_open(&options, &err, &output), PM_E_IO);
			assert_string_equal(err.file, bad[i]);
			assert_null(output);
		}
	assert_int_equal(pm_output_close(NULL, NULL), PM_OK);
}

static void formats_are_found_by_name(void **state)
{
	static const char *const format_names[] = { "json", "rows", "frames", "text", "prometheus" };
	enum pm_format found;

	(void)state;
	assert_int_equal(COUNT(format_names), PM_FORMAT_N);
	for (unsigned f = 0; f < PM_FORMAT_N; f++) {
		assert_string_equal(pm_format_name((enum pm_format)f), format_names[f]);
		assert_true(pm_format_find(format_names[f], &found));
		assert_int_equal(found, f);
	}
	assert_false(pm_format_find("", &found));
	assert_false(pm_format_find("JSON", &found));
	assert_false(pm_format_find("jsonx", &found));
	assert_string_equal(pm_format_name(PM_FORMAT_N), "?");
}

#define CLEAN(claim) cmocka_unit_test_setup(claim, without_file)
#define FULL(claim) cmocka_unit_test_setup_teardown(claim, full_disk, free_disk)

static const struct CMUnitTest others[] = {
	CLEAN(json_holds_the_whole_record),
	CLEAN(json_holds_what_conversations_were),
	CLEAN(a_line_is_what_jansson_makes_of_it),
	CLEAN(endpoints_are_in_json_rows_and_text),
	CLEAN(prometheus_has_no_endpoints),
	CLEAN(json_names_the_sensor_the_run_and_what_is_not_known),
	CLEAN(counts_of_53_bits_are_written_exactly),
	CLEAN(top_cuts_rows_into_other),
	CLEAN(names_that_are_not_utf_8_are_written_as_such),
	CLEAN(rows_hold_the_same_facts),
	CLEAN(rows_hold_what_conversations_were),
	CLEAN(only_the_format_frames_writes_frames),
	CLEAN(text_is_for_people),
	CLEAN(text_has_columns_for_conversations),
	CLEAN(text_says_what_is_odd_about_an_interval),
	CLEAN(facets_show_their_example),
	CLEAN(a_long_path_is_written_whole),
	CLEAN(prometheus_adds_up_and_replaces_its_file),
	CLEAN(prometheus_adds_up_conversations),
	CLEAN(prometheus_escapes_what_it_must),
	CLEAN(prometheus_writes_utf_8_only),
	CLEAN(prometheus_gives_standard_output_its_page_once_at_the_end),
	CLEAN(a_long_torn_line_is_cut),
	CLEAN(a_long_torn_table_is_cut),
	CLEAN(reopening_follows_the_name),
	CLEAN(a_failed_reopening_is_an_error_and_does_not_turn_to_standard_output),
	CLEAN(a_full_disk_is_an_error_of_every_format),
	FULL(what_a_full_disk_refuses_is_kept_and_written_later),
	CLEAN(the_disk_is_waited_for_as_the_policy_says),
	CLEAN(what_a_disk_has_not_taken_is_written_again),
	FULL(what_is_never_written_leaves_whole_records),
	FULL(reopening_takes_what_is_kept_to_the_new_file),
	FULL(what_is_kept_has_a_bound),
	FULL(a_failure_of_files_leaves_whole_records),
	CLEAN(waiting_for_a_reader_can_be_given_up),
	CLEAN(rotation_that_makes_no_sense_is_refused),
	CLEAN(packings_and_policies_are_found_by_name),
	CLEAN(files_that_cannot_be_written_are_refused_at_once),
	CLEAN(formats_are_found_by_name),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(frame_lines) + COUNT(tails) + COUNT(others)];
	size_t n = 0;

	for (size_t i = 0; i < COUNT(frame_lines); i++)
		tests[n++] =
			(struct CMUnitTest){ frame_lines[i].name, frame_case_holds, without_file,
					     NULL, (void *)(uintptr_t)&frame_lines[i] };
	for (size_t i = 0; i < COUNT(tails); i++)
		tests[n++] = (struct CMUnitTest){ tails[i].name, tail_case_holds, without_file,
						  NULL, (void *)(uintptr_t)&tails[i] };
	memcpy(tests + n, others, sizeof others);
	return _cmocka_run_group_tests("output", tests, COUNT(tests), load, unload);
}
