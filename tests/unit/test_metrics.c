/* SPDX-License-Identifier: MIT */
/* Counters for Prometheus: who gets a series, that none vanishes or falls, that sums stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "portmeter/output.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct pm_rules *rules;

static int load_rules(void **state)
{
	static const char text[] = "one 1/tcp\n";
	struct pm_rules_options options = { .remark = NULL };

	(void)state;
	return pm_rules_load_text("test", text, sizeof text - 1, &options, NULL, &rules);
}

static int free_rules(void **state)
{
	(void)state;
	pm_rules_unref(rules);
	return 0;
}

/* A record of TCP with services of a frame to each; names are s0, s1, ... from @first on. */
struct sample_record {
	struct pm_source source;
	struct pm_service_row services[64];
	char names[64][16];
	struct pm_port_row ports[64];
	struct pm_record record;
};

static void fill(struct sample_record *sample, int first, int n, uint64_t bytes)
{
	memset(sample, 0, sizeof *sample);
	sample->source = (struct pm_source){ .live = true, .name = "eth0" };
	sample->record = (struct pm_record){
		.source = &sample->source, .merged = 1, .rules = rules, .n_transports = 1
	};
	sample->record.services = sample->services;
	sample->record.ports = sample->ports;
	for (int i = 0; i < n; i++) {
		struct pm_service_row *row = &sample->services[i];

		snprintf(sample->names[i], sizeof sample->names[i], "s%d", first + i);
		row->service = sample->names[i];
		row->count = row->to_service = (struct pm_count){ 1, bytes };
		pm_count_add(&sample->record.totals, row->count);
	}
	sample->record.n_services = (size_t)n;
}

/* The same with so many frames to each. */
static void fill_frames(struct sample_record *sample, int first, int n, uint64_t bytes,
			uint64_t frames)
{
	fill(sample, first, n, bytes);
	for (int i = 0; i < n; i++)
		sample->services[i].count.packets = sample->services[i].to_service.packets = frames;
	sample->record.totals.packets = (uint64_t)n * frames;
}

static void add(struct pm_metrics *metrics, const struct sample_record *sample)
{
	assert_int_equal(pm_metrics_add(metrics, &sample->record), PM_OK);
}

static char *page_of(struct pm_metrics *metrics)
{
	char *text, *page;
	size_t size;

	assert_int_equal(pm_metrics_text(metrics, &text, &size), PM_OK);
	page = calloc(1, size + 1);
	assert_non_null(page);
	memcpy(page, text, size);
	free(text);
	return page;
}

/* Bytes to a service, or -1: it has no series. */
static long long bytes_to(struct pm_metrics *metrics, const char *service)
{
	char *page = page_of(metrics), line[256];
	const char *at;
	long long value = -1;

	snprintf(line, sizeof line,
		 "\nportmeter_service_bytes_total{interface=\"eth0\",transport=\"tcp\","
		 "service=\"%s\",direction=\"to_service\"} ",
		 service);
	at = strstr(page, line);
	if (at)
		value = atoll(at + strlen(line));
	free(page);
	return value;
}

static void half_of_the_series_are_for_what_matters(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;

	(void)state;
	assert_int_equal(pm_metrics_new(8, 8, &metrics), PM_OK);
	fill(&sample, 0, 20, 10); /* as in a scan: each has a twentieth */
	add(metrics, &sample);
	for (int i = 0; i < 20; i++)
		assert_int_equal(bytes_to(metrics, sample.names[i]), i < 4 ? 10 : -1);
	assert_int_equal(bytes_to(metrics, "other"), 160);
	/* What matters; they were in `other` before. */
	fill_frames(&sample, 10, 3, 1000, 120);
	add(metrics, &sample);
	assert_int_equal(bytes_to(metrics, "s10"), 1000);
	assert_int_equal(bytes_to(metrics, "s12"), 1000);
	assert_int_equal(bytes_to(metrics, "other"), 160);
	fill_frames(&sample, 30, 2, 500, 200); /* one more has room */
	add(metrics, &sample);
	assert_int_equal(bytes_to(metrics, "s30"), 500);
	assert_int_equal(bytes_to(metrics, "s31"), -1);
	assert_int_equal(bytes_to(metrics, "other"), 660);
	fill(&sample, 0, 2, 7); /* who has one keeps it, however little comes */
	add(metrics, &sample);
	assert_int_equal(bytes_to(metrics, "s0"), 17);
	assert_int_equal(bytes_to(metrics, "s3"), 10);
	pm_metrics_free(metrics);
}

/* How many services have a series of their own. */
static int services_shown(struct pm_metrics *metrics)
{
	static const char own[] = ",transport=\"tcp\",service=\"s";
	char *page = page_of(metrics);
	int n = 0;

	for (const char *at = page; (at = strstr(at, "\nportmeter_service_bytes_total{")); at++)
		n += strncmp(strchr(at, ','), own, sizeof own - 1) == 0;
	free(page);
	return n / 3; /* directions */
}

/* On a wire that has nothing else: a probe is all of its record, so are those that repeat it. */
static void a_slow_scan_leaves_room(void **state)
{
	static const int limits[] = { 8, 31, 256, 1000 };
	static const struct {
		int times;
		uint64_t frames;
	} probes[] = { { 1, 3 }, { 1, 12 }, { 7, 2 } };
	static struct sample_record sample;

	(void)state;
	for (size_t i = 0; i < COUNT(limits) * COUNT(probes); i++) {
		int limit = limits[i / COUNT(probes)], times = probes[i % COUNT(probes)].times;
		struct pm_metrics *metrics = NULL;
		int shown;

		assert_int_equal(pm_metrics_new((size_t)limit, 8, &metrics), PM_OK);
		for (int n = 0; n < 2000 * times; n++) {
			fill_frames(&sample, n / times, 1, 114, probes[i % COUNT(probes)].frames);
			add(metrics, &sample);
		}
		shown = services_shown(metrics);
		assert_in_range(shown, (limit + 1) / 2, limit - (limit < 12 ? 1 : limit / 6));
		/* What stays shows itself, be it small, beside a scan that goes on. */
		for (int n = 0; n < 200; n++) {
			fill_frames(&sample, 9000, 2, 114, 2);
			add(metrics, &sample);
			fill_frames(&sample, 5000 + n, 1, 114, 2);
			add(metrics, &sample);
		}
		assert_in_range(bytes_to(metrics, "s9000"), 1, 200 * 114);
		/* And at once, if it is great. */
		fill_frames(&sample, 9100, 1, 1000000, 1000000);
		add(metrics, &sample);
		assert_int_equal(bytes_to(metrics, "s9100"), shown + 2 < limit ? 1000000 : -1);
		assert_in_range(services_shown(metrics), shown + 1, limit);
		pm_metrics_free(metrics);
	}
}

/* Of one host after the other; its records have far more bytes than those between. */
static void a_scan_hides_nothing(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;

	(void)state;
	assert_int_equal(pm_metrics_new(16, 8, &metrics), PM_OK);
	for (int record = 0; record < 20; record++) {
		fill_frames(&sample, 0, 60, 114, 2);
		sample.record.totals.packets += 16384;
		sample.record.totals.bytes += 1000000; /* to ports without a label */
		add(metrics, &sample);
	}
	assert_int_equal(services_shown(metrics), 8);
	for (int record = 0; record < 4; record++) {
		fill_frames(&sample, 9000, 2, 2000, 20);
		add(metrics, &sample);
		fill_frames(&sample, 0, 60, 114, 2);
		sample.record.totals.bytes += 1000000;
		add(metrics, &sample);
	}
	assert_int_equal(services_shown(metrics), 10);
	assert_in_range(bytes_to(metrics, "s9000"), 1, 8000);
	pm_metrics_free(metrics);
}

static void fill_half(struct pm_metrics *metrics, struct sample_record *sample, int n)
{
	fill(sample, 0, n, 10);
	add(metrics, sample);
	assert_int_equal(services_shown(metrics), n);
}

static void silence_makes_nothing_older(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;

	(void)state;
	assert_int_equal(pm_metrics_new(8, 8, &metrics), PM_OK);
	fill_half(metrics, &sample, 4);
	for (int n = 0; n < 16; n++) {
		assert_int_equal(bytes_to(metrics, "s50"), -1);
		fill(&sample, 50, 1, 100);
		add(metrics, &sample);
		fill(&sample, 0, 0, 0);
		for (int quiet = 0; quiet < 600; quiet++)
			add(metrics, &sample);
	}
	assert_int_equal(bytes_to(metrics, "s50"), 100);
	pm_metrics_free(metrics);
}

/* What comes once in a long while is forgotten in between, even if it has all of its record. */
static void what_was_long_ago_counts_for_little(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;

	(void)state;
	assert_int_equal(pm_metrics_new(8, 8, &metrics), PM_OK);
	fill_half(metrics, &sample, 4);
	for (int n = 0; n < 40; n++) {
		fill_frames(&sample, 50, 1, 100, 4);
		add(metrics, &sample);
		fill(&sample, 0, 1, 100);
		for (int other = 0; other < 256; other++)
			add(metrics, &sample);
	}
	assert_int_equal(bytes_to(metrics, "s50"), -1);
	assert_int_equal(bytes_to(metrics, "other"), 4000);
	pm_metrics_free(metrics);
}

static void the_number_of_series_is_bounded(void **state)
{
	static struct sample_record sample;

	(void)state;
	for (int limit = 1; limit < 8; limit++) {
		struct pm_metrics *metrics = NULL;

		assert_int_equal(pm_metrics_new((size_t)limit, 8, &metrics), PM_OK);
		for (int n = 0; n < 10; n++) {
			fill_frames(&sample, 10 * n, 10, 100000, 100000);
			add(metrics, &sample);
		}
		assert_int_equal(services_shown(metrics), limit);
		assert_int_equal(bytes_to(metrics, "other"), (100 - limit) * 100000);
		pm_metrics_free(metrics);
	}
}

static void other_is_there_from_the_start(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;

	(void)state;
	assert_int_equal(pm_metrics_new(0, 0, &metrics), PM_OK);
	assert_int_equal(bytes_to(metrics, "other"), -1);
	fill(&sample, 0, 1, 10);
	add(metrics, &sample);
	assert_int_equal(bytes_to(metrics, "other"), 0);
	pm_metrics_free(metrics);
}

static void series_of_ports_are_bounded(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;
	char *page;

	(void)state;
	assert_int_equal(pm_metrics_new(8, 4, &metrics), PM_OK);
	fill(&sample, 0, 0, 0);
	for (int i = 0; i < 10; i++)
		sample.ports[i] = (struct pm_port_row){
			.port = (uint16_t)(100 + i),
			.metric = i != 0,
			.dst = { 1, 10 },
			.src = { 1, 1 },
		};
	sample.record.n_ports = 10;
	add(metrics, &sample);
	page = page_of(metrics);
	assert_null(strstr(page, "port=\"100\"")); /* its rule does not say metric=port */
	assert_non_null(strstr(page, "port=\"104\",service=\"\",direction=\"dst\"} 10\n"));
	assert_null(strstr(page, "port=\"105\""));
	assert_non_null(strstr(page, "port=\"other\",service=\"other\",direction=\"dst\"} 50\n"));
	assert_non_null(strstr(page, "port=\"other\",service=\"other\",direction=\"src\"} 5\n"));
	free(page);
	pm_metrics_free(metrics);
}

static void what_was_known_once_stays(void **state)
{
	static struct sample_record sample;
	struct pm_metrics *metrics = NULL;
	char *page;

	(void)state;
	assert_int_equal(pm_metrics_new(0, 0, &metrics), PM_OK);
	fill(&sample, 0, 1, 10);
	sample.record.capture = (struct pm_capture_figures){
		.received = 7,
		.received_known = true,
		.dropped_kernel = 3,
		.dropped_kernel_known = true,
	};
	sample.record.no_port[0] = (struct pm_no_port_row){
		PM_VERDICT_NO_PORTS_PROTOCOL, 1, { 2, 20 }
	};
	sample.record.n_no_port = 1;
	add(metrics, &sample);
	fill(&sample, 1, 1, 10); /* the interface is gone; there is no ICMP */
	add(metrics, &sample);
	page = page_of(metrics);
	assert_non_null(strstr(page, "capture_received_packets_total{interface=\"eth0\"} 7\n"));
	assert_non_null(strstr(page, "dropped_packets_total{interface=\"eth0\",where=\"kernel\"} 3\n"));
	assert_non_null(strstr(page, "reason=\"no_ports_protocol\",protocol=\"1\"} 20\n"));
	assert_non_null(strstr(page, "intervals_total{interface=\"eth0\"} 2\n"));
	free(page);
	assert_int_equal(bytes_to(metrics, "s0"), 10);
	pm_metrics_free(metrics);
}

static void sources_of_one_name_are_one_series(void **state)
{
	static struct sample_record one, two;
	struct pm_metrics *metrics = NULL;
	const char *at;
	char *page;
	int lines = 0;

	(void)state;
	assert_int_equal(pm_metrics_new(0, 0, &metrics), PM_OK);
	fill(&one, 0, 1, 10);
	fill(&two, 0, 1, 10);
	add(metrics, &one);
	add(metrics, &two);
	assert_int_equal(bytes_to(metrics, "s0"), 20);
	two.source.inner = true; /* other figures, and a label that says so */
	add(metrics, &two);
	assert_int_equal(bytes_to(metrics, "s0"), 20);
	two.source.name = "eth1";
	add(metrics, &two);
	page = page_of(metrics);
	for (at = page; (at = strstr(at, "\nportmeter_intervals_total{")) != NULL; at++)
		lines++;
	assert_int_equal(lines, 3);
	free(page);
	pm_metrics_free(metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_of_the_series_are_for_what_matters),
		cmocka_unit_test(a_slow_scan_leaves_room),
		cmocka_unit_test(a_scan_hides_nothing),
		cmocka_unit_test(silence_makes_nothing_older),
		cmocka_unit_test(what_was_long_ago_counts_for_little),
		cmocka_unit_test(the_number_of_series_is_bounded),
		cmocka_unit_test(other_is_there_from_the_start),
		cmocka_unit_test(series_of_ports_are_bounded),
		cmocka_unit_test(what_was_known_once_stays),
		cmocka_unit_test(sources_of_one_name_are_one_series),
	};

	return cmocka_run_group_tests_name("metrics", tests, load_rules, free_rules);
}
