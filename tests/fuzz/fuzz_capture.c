/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a capture file: what can be read goes all the way to records, in intervals of 10 s.
 * Every sum closes, and every frame read is in one record. Each file is read twice: with frames
 * reported, so that all take the general way, and without; sides, conversations and anomalies must
 * be the same. The size of an input also decides how it is read, so that it fails again alone: the
 * innermost IP layer counts, or the outermost; the rules are bound to hosts, or not, which is most
 * of them since those cost a record a long search; the records are also written as JSON; frames
 * are also counted by endpoint, in a table of three.
 */
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/sums.h"
#include "blocks.h"
#include "findings.h"
#include "require.h"
#include "portmeter/meter.h"
#include "portmeter/output.h"

#define RULES "domain 53/udp/tcp\nftp-data 20/tcp initiates=yes\nhttp 80/tcp/sctp metric=port\nntp 123/udp/udplite/dccp\nwide 1000-9999/tcp/udp\n"

static const char *const rules_texts[] = { RULES, RULES "inside 53/udp host=192.0.2.0/24\n" };

/* What @how says. */
enum {
	HOSTS = 7, /* all of these bits */
	INNER = 1,
	JSON = 2,
	ENDPOINTS = 8,
};

struct run {
	struct pm_meter *meter;
	struct findings findings;
	struct pm_output *output;
	struct pm_source source;
	uint64_t recorded, fates;
	unsigned notices;
};

static void on_notice(void *ctx, const char *text)
{
	struct run *run = ctx;

	REQUIRE(text[0]);
	run->notices += strstr(text, ": damaged in frame ") != NULL; /* the other kind: too many sources */
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct run *run = ctx;

	REQUIRE(report->verdict < PM_VERDICT_N);
	run->fates++;
}

static void on_closed(void *ctx)
{
	struct run *run = ctx;
	struct pm_tally *tally;
	struct pm_record *record;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		const char *problem;

		REQUIRE(pm_record_new(tally, &run->source, &record) == PM_OK);
		pm_meter_give(run->meter, tally);
		problem = sums_problem(record);
		if (problem)
			fprintf(stderr, "%s\n", problem);
		REQUIRE(!problem);
		run->recorded += record->totals.packets;
		findings_add(&run->findings, record);
		if (run->output)
			REQUIRE(pm_output_record(run->output, record, NULL) == PM_OK);
		pm_record_free(record);
	}
}

/* Both sets are the same for every input. */
static struct pm_rules *rules_once(bool hosts)
{
	static struct pm_rules *rules[2];
	struct pm_rules_options options = { .check = false };

	if (!rules[hosts])
		REQUIRE(pm_rules_load_text("fuzz.rules", rules_texts[hosts], strlen(rules_texts[hosts]), &options,
					   NULL, &rules[hosts]) == PM_OK);
	return rules[hosts];
}

static const struct pm_tunnels *tunnels_once(void)
{
	static struct pm_tunnels *tunnels; /* as long as the process */

	if (!tunnels)
		REQUIRE(pm_tunnels_new(&tunnels) == PM_OK);
	return tunnels;
}

static void read_all(struct run *run, struct pm_capture *capture, size_t how, bool reported)
{
	struct pm_meter_options options = {
		.interval_ns = 10 * PM_NS_PER_S,
		.rules = rules_once((how & HOSTS) == HOSTS),
		.tunnels = how & INNER ? tunnels_once() : NULL,
		.by_endpoint = how & ENDPOINTS ? 3 : 0,
		.closed = on_closed,
		.frame = reported ? on_fate : NULL,
		.ctx = run,
	};
	struct pm_error err = { .line = 0 };
	int r;

	run->source = (struct pm_source){
		.name = pm_capture_name(capture),
		.files = pm_capture_files(capture),
		.link = pm_capture_source(capture, 0)->link,
		.snaplen = pm_capture_source(capture, 0)->snaplen,
	};
	REQUIRE(pm_allowance_new(PM_ALLOWANCE_BYTES, &options.allowance) == PM_OK);
	REQUIRE(pm_meter_new(&options, &run->meter) == PM_OK);
	do
		r = pm_capture_dispatch(capture, 100, pm_meter_frame, run->meter, &err);
	while (r > 0);
	REQUIRE(r == 0 || err.text[0]);
	REQUIRE(pm_capture_damaged(capture) == (run->notices == 1) && run->notices <= 1);
	pm_meter_finish(run->meter, 0, r == 0);
	REQUIRE(run->recorded == pm_meter_frames(run->meter));
	REQUIRE(!reported || run->fates == run->recorded);
	pm_meter_free(run->meter);
	pm_allowance_unref(options.allowance);
}

/* Reads the file, and writes records if there is somewhere to. */
static void read_file(const char *path, size_t how, bool reported, struct run *run)
{
	struct pm_capture_options options = { .notice = on_notice, .ctx = run };
	struct pm_capture *capture = NULL;
	struct pm_error err = { .line = 0 };
	int r = pm_capture_open_files(&path, 1, &options, &err, &capture);

	REQUIRE(r == PM_OK || ((r == PM_E_IO || r == PM_E_DAMAGED) && err.text[0] && !capture));
	if (r == PM_OK)
		read_all(run, capture, how, reported);
	pm_capture_close(capture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pm_output_options output = { .format = PM_FORMAT_JSON, .path = "/dev/null", .top = 9 };
	size_t how = size ^ size >> 2; /* most sizes are multiples of four */
	struct run run = { .meter = NULL }, again = { .meter = NULL };
	char path[64];
	int fd = memfd_create("capture", MFD_CLOEXEC);

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	rules_once((how & HOSTS) == HOSTS);
	tunnels_once();
	blocks_begin();
	if (how & JSON)
		REQUIRE(pm_output_open(&output, NULL, &run.output) == PM_OK);
	read_file(path, how, true, &run);
	REQUIRE(pm_output_close(run.output, NULL) == PM_OK);
	read_file(path, how, false, &again);
	REQUIRE(run.recorded == again.recorded);
	REQUIRE(memcmp(&run.findings, &again.findings, sizeof run.findings) == 0);
	REQUIRE(blocks_end() == 0);
	close(fd);
	return 0;
}
