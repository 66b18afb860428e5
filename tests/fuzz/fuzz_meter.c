/* SPDX-License-Identifier: MIT */
/*
 * The engine as a whole: frames with times, and in between whatever may happen to a meter. Every
 * sum of every record closes, and every frame is in one record.
 *
 *   how (2)  link type (2)  { size (2)  cut (1)  flags (1)  frame (size) } ...
 *
 * Bits of how: see below. Flags: the upper three bits say what happens before the frame, the lower
 * five how much time has passed. Not live, all is done twice, and sides, conversations and
 * anomalies must be the same whether frames are reported, which makes all of them go the general
 * way, or not.
 */
#include <stdbool.h>
#include <string.h>

#include "../unit/sums.h"
#include "blocks.h"
#include "findings.h"
#include "mutate.h"
#include "portmeter/meter.h"
#include "require.h"

#define FRAMES 64
#define START (INT64_C(1700000000) * PM_NS_PER_S)

#define RULES "domain 53/udp/tcp\nftp-data 20/tcp initiates=yes\nhttp 80/tcp/sctp metric=port\n" \
	      "ntp 123/udp/udplite/dccp\nwide 1000-9999/tcp/udp\n"

static const char *const rules_texts[] = {
	RULES,
	RULES "inside 53/udp host=192.0.2.0/24\ninside6 53/udp host=2001:db8::/32\nodd 40000/tcp host=192.0.2.1\n",
	"another 53/udp priority=3\nweak 80/tcp priority=10\nstrange 32768-65535/tcp/udp priority=0\n",
};
enum { SETS = sizeof rules_texts / sizeof *rules_texts };

enum {
	INTERVAL = 7, /* all of these bits */
	LIVE = 1 << 3,
	INNER = 1 << 4,
	ENDPOINTS = 1 << 5,
	SESSIONS = 1 << 6,
	SLOW = 1 << 7, /* the reader of records takes them only at the end, or when told */
	FEW = 1 << 8,  /* learned endpoints, and little memory for addresses */
	SET = 3 << 9,  /* the rules at the start */
	EXPLAIN = 1 << 11,
	SUM = 1 << 12, /* the records are also added up */
};

enum what {
	NOTHING,
	SECONDS, /* the time is in seconds, not in milliseconds */
	BACK,    /* it goes back */
	JUMP,    /* by days */
	CUT,
	NEW_RULES,
	CLOCK, /* the meter is told the time */
	TAKE,  /* the reader of records wakes */
};

struct run {
	struct pm_meter *meter;
	struct pm_record *sum;
	unsigned how;
	uint64_t frames, recorded, fates, seq;
	int64_t now_ns;
	struct findings findings;
};

static struct pm_rules *rules_once(unsigned set)
{
	static struct pm_rules *rules[SETS];
	struct pm_rules_options options = { .check = false };

	set %= SETS;
	if (!rules[set])
		REQUIRE(pm_rules_load_text("fuzz.rules", rules_texts[set], strlen(rules_texts[set]),
					   &options, NULL, &rules[set]) == PM_OK);
	return rules[set];
}

static const struct pm_tunnels *tunnels_once(void)
{
	static struct pm_tunnels *tunnels;

	if (!tunnels) {
		REQUIRE(pm_tunnels_new(&tunnels) == PM_OK);
		REQUIRE(pm_tunnels_set(tunnels, "fou", 3, 5555));
	}
	return tunnels;
}

static void look_at(struct run *run, struct pm_tally *tally)
{
	static const struct pm_source source = { .name = "fuzz", .snaplen = -1 };
	struct pm_record *record, sum;
	const char *problem;

	REQUIRE(tally->seq == ++run->seq);
	REQUIRE(pm_record_new(tally, &source, &record) == PM_OK);
	problem = sums_problem(record);
	if (problem)
		fprintf(stderr, "%s\n", problem);
	REQUIRE(!problem);
	REQUIRE(record->merged >= 1);
	run->recorded += record->totals.packets;
	findings_add(&run->findings, record);
	if (run->how & SUM) {
		REQUIRE(pm_record_add(&run->sum, record) == PM_OK);
		REQUIRE(run->sum->totals.packets == run->recorded);
		/* its own bounds are those of the first and the last, whose times may go back */
		sum = *run->sum;
		sum.interval = record->interval;
		REQUIRE(!sums_problem(&sum));
	}
	pm_record_free(record);
}

static void take_all(struct run *run)
{
	struct pm_tally *tally;

	while ((tally = pm_meter_take(run->meter)) != NULL) {
		look_at(run, tally);
		pm_meter_give(run->meter, tally);
	}
}

static void on_closed(void *ctx)
{
	struct run *run = ctx;

	if (!(run->how & SLOW))
		take_all(run);
}

static void on_fate(void *ctx, const struct pm_frame_report *report)
{
	struct run *run = ctx;

	REQUIRE(report->verdict < PM_VERDICT_N);
	REQUIRE(report->number >= 1 && report->number <= run->frames);
	REQUIRE(report->verdict != PM_VERDICT_PORTS || report->transport < PM_TRANSPORT_N);
	REQUIRE(report->decision.side < PM_SIDE_N && report->decision.rung <= PM_RUNG_N);
	REQUIRE(!report->why || report->number == 3);
	run->fates++;
}

static void happen(struct run *run, enum what what, unsigned amount)
{
	int64_t step = amount * (PM_NS_PER_S / 1000);

	if (what == SECONDS || what == BACK || what == CLOCK)
		step = amount * PM_NS_PER_S;
	else if (what == JUMP)
		step = (int64_t)amount * amount * amount * 86400 * PM_NS_PER_S;
	run->now_ns = pm_time_add(run->now_ns, what == BACK ? -step : step);
	if (what == CUT)
		pm_meter_cut(run->meter, run->now_ns);
	else if (what == NEW_RULES)
		pm_meter_set_rules(run->meter, rules_once(amount), PM_TIME_MIN);
	else if (what == CLOCK && run->how & LIVE)
		pm_meter_tick(run->meter, run->now_ns);
	else if (what == CLOCK)
		pm_meter_idle(run->meter, run->now_ns);
	else if (what == TAKE)
		take_all(run);
}

/* In a heap block of exactly the captured size, which is gone when the call is over. */
static void show(struct run *run, uint32_t linktype, const uint8_t *bytes, size_t held, size_t wire)
{
	uint8_t *copy = malloc(held ? held : 1);
	struct pm_frame frame = { .bytes = copy,
				  .held = (uint32_t)held,
				  .wire = (uint32_t)wire,
				  .linktype = linktype,
				  .time_ns = run->now_ns,
				  .number = ++run->frames };

	REQUIRE(copy);
	if (held)
		memcpy(copy, bytes, held);
	pm_meter_frame(run->meter, &frame);
	free(copy);
}

static uint32_t linktype_chosen(uint16_t number)
{
	size_t n = 0;

	if (pm_link_find(number))
		return number;
	while (pm_link_at(n))
		n++;
	return number % 5 == 0 ? number : pm_link_number(pm_link_at(number % n));
}

static void show_all(struct run *run, struct pm_cursor input)
{
	uint32_t linktype = linktype_chosen(pm_cursor_be16(&input));

	while (run->frames < FRAMES && input.held >= 4) {
		size_t wire = pm_cursor_be16(&input), cut = pm_cursor_u8(&input);
		uint8_t flags = pm_cursor_u8(&input);

		if (wire > input.held)
			wire = input.held;
		if (cut > wire)
			cut = wire;
		happen(run, (enum what)(flags >> 5), flags & 0x1f);
		show(run, linktype, pm_cursor_take(&input, wire), wire - cut, wire);
		REQUIRE(pm_meter_frames(run->meter) == run->frames);
	}
}

static void run_once(struct run *run, struct pm_cursor input, bool reported)
{
	/* live, a gap may be filled with records, so intervals are no shorter than this allows */
	static const int64_t lengths[] = { 0, 1000, 10000, 60000, 20, 1, 100, 3600000 };
	unsigned how = run->how;
	int64_t length = lengths[how & INTERVAL];
	struct pm_meter_options options = {
		.live = how & LIVE,
		.rules = rules_once(how >> 9),
		.tunnels = how & INNER ? tunnels_once() : NULL,
		.endpoints = how & FEW ? 8 : 64,
		.by_endpoint = how & ENDPOINTS ? 3 : 0,
		.grace_ns = 1000000,
		.flows = how & FEW ? PM_FLOWS_TRIED : PM_FLOWS_EARLY,
		.closed = on_closed,
		.frame = reported ? on_fate : NULL,
		.explain = reported && how & EXPLAIN ? 3 : 0,
		.ctx = run,
	};

	if (how & LIVE && length && length < 10000)
		length = 10000;
	options.interval_ns = length * (PM_NS_PER_S / 1000);
	run->now_ns = START;
	if (how & SESSIONS)
		REQUIRE(pm_allowance_new(how & FEW ? 100000 : PM_ALLOWANCE_BYTES,
					 &options.allowance) == PM_OK);
	REQUIRE(pm_meter_new(&options, &run->meter) == PM_OK);
	REQUIRE(pm_meter_deadline(run->meter) == PM_TIME_MAX);
	show_all(run, input);
	pm_meter_finish(run->meter, run->now_ns, true);
	take_all(run);
	REQUIRE(run->recorded == run->frames);
	REQUIRE(pm_meter_frames(run->meter) == run->frames);
	REQUIRE(!reported || run->fates == run->frames);
	pm_record_free(run->sum);
	pm_meter_free(run->meter);
	pm_allowance_unref(options.allowance);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pm_cursor input = pm_cursor_init(data, size, size);
	unsigned how = pm_cursor_be16(&input);
	struct run run = { .how = how }, again = { .how = how };

	for (unsigned set = 0; set < SETS; set++)
		rules_once(set);
	tunnels_once();
	blocks_begin();
	run_once(&run, input, true);
	if (!(how & LIVE)) {
		run_once(&again, input, false);
		REQUIRE(run.seq == again.seq);
		REQUIRE(memcmp(&run.findings, &again.findings, sizeof run.findings) == 0);
	}
	REQUIRE(blocks_end() == 0);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
	return mutate_records(data, size, most, 4, seed);
}
