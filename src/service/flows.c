/* SPDX-License-Identifier: MIT */
/*
 * What was decided of the conversations of the last moments: words that pm_flows_look reads. They
 * are written by the one that decides, while others may look; each is whole at any time. What ends
 * many of them begins an epoch, in which none of the older ones is good.
 */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

/*
 * Frames after which it is seen how many of the second half of them were known, and the least part
 * of these that pays: what is not known costs more than if nobody had asked.
 */
#define TRIAL 4096
#define LEAST 4
/* Of many conversations it takes more of these: up to so many, while so many are known. */
#define PROMISING 16
#define TRIALS 6
/* So many frames go by when it was less, and twice as many each time; but no more than these. */
#define ASLEEP (4 * TRIAL)
#define ASLEEP_MAX (1024 * TRIAL)
/*
 * Then it is tried: as many frames are asked only whether their flow has come lately, which costs
 * little; and flows wake if so many have.
 */
#define RECENT 8192 /* flows */
#define WAKING 8

#define WORDS ((size_t)PM_FLOW_LINES * PM_FLOW_WAYS)
#define LINE 64
#define HALF ((UINT64_C(1) << PM_FLOW_HALF) - 1)

int pm_flows_new(struct pm_flow_table *table, enum pm_flows_use use)
{
	/* not by aligned_alloc: calloc leaves pages untouched that nobody uses */
	table->block = calloc(1, WORDS * sizeof *table->flows.words +
					 RECENT * sizeof *table->recent + LINE);
	if (!table->block)
		return PM_E_MEMORY;
	table->flows.words =
		(uint64_t *)(((uintptr_t)table->block + LINE - 1) / LINE * LINE);
	table->recent = (uint32_t *)(table->flows.words + WORDS);
	table->sleep = ASLEEP / 2;
	table->flows.asleep = use != PM_FLOWS_EARLY;
	table->flows.tried = use == PM_FLOWS_TRIED;
	pm_flows_forget(table);
	return PM_OK;
}

void pm_flows_free(struct pm_flow_table *table)
{
	free(table->block);
}

static uint64_t *line_of(const struct pm_flow_table *table, pm_flow flow)
{
	return table->flows.words + (flow >> 1) % PM_FLOW_LINES * PM_FLOW_WAYS;
}

static void put(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* An epoch that no word is of. */
static uint64_t fresh(struct pm_flow_table *table)
{
	if (++table->epoch == PM_FLOW_EPOCHS) {
		for (size_t i = 0; i < WORDS; i++)
			put(&table->flows.words[i], 0);
		/* the other kind's words are gone too, so it may have any */
		put(&table->flows.epochs[0], 0);
		put(&table->flows.epochs[1], 0);
		table->epoch = 1;
	}
	return table->epoch;
}

/* Never that of the first kind: its words stay. While flows sleep, there are none to end. */
void pm_flows_forget_weak(struct pm_flow_table *table)
{
	if (!table->flows.asleep)
		put(&table->flows.epochs[1], fresh(table) << PM_FLOW_EPOCH);
}

void pm_flows_forget(struct pm_flow_table *table)
{
	if (!table->flows.asleep)
		put(&table->flows.epochs[0], fresh(table) << PM_FLOW_EPOCH);
	pm_flows_forget_weak(table);
}

void pm_flows_enter(struct pm_flow_table *table, int64_t time_ns)
{
	if (table->flows.asleep || pm_flows_reach(&table->flows, time_ns))
		return;
	pm_flows_forget(table);
	table->flows.from = time_ns < 0 ? 0 : time_ns - time_ns % PM_FLOW_STEP_NS;
}

/* What is known of a direction: that, @decision. */
static uint64_t known_of(struct pm_decision decision)
{
	return (uint64_t)decision.rung << 3 | (uint64_t)decision.side << 1 | 1;
}

/* The same of the other one. */
static struct pm_decision turned(struct pm_decision decision)
{
	static const uint8_t sides[PM_SIDE_N] = { [PM_SIDE_SRC] = PM_SIDE_DST,
						  [PM_SIDE_DST] = PM_SIDE_SRC,
						  [PM_SIDE_BOTH] = PM_SIDE_BOTH };

	decision.side = sides[decision.side];
	return decision;
}

void pm_flows_keep(struct pm_flow_table *table, pm_flow flow, int64_t time_ns,
		   struct pm_decision decision, unsigned holds)
{
	uint64_t *line = line_of(table, flow), word;
	int shift = flow & 1 ? PM_FLOW_HALF : 0, at = 0;

	if (table->flows.asleep || holds & PM_HOLDS_NOT)
		return;
	pm_flows_enter(table, time_ns);
	if (!pm_flows_reach(&table->flows, time_ns))
		return;
	word = flow >> PM_FLOW_TAG << PM_FLOW_TAG |
	       table->flows.epochs[holds & PM_HOLDS_WEAKLY] | known_of(decision) << shift;
	if (!(holds & PM_HOLDS_ALONE))
		word |= known_of(turned(decision)) << (PM_FLOW_HALF - shift);
	while (at < PM_FLOW_WAYS && (line[at] ^ flow) >> PM_FLOW_TAG)
		at++;
	pm_pages_use(&table->used, 1, table->flows.words, WORDS * sizeof *table->flows.words);
	/* The newest comes first, and the last one falls out. */
	for (at = at < PM_FLOW_WAYS ? at : PM_FLOW_WAYS - 1; at > 0; at--)
		put(&line[at], line[at - 1]);
	put(&line[0], word);
}

void pm_flows_drop(struct pm_flow_table *table, pm_flow flow)
{
	uint64_t *line = line_of(table, flow);

	for (int i = 0; !table->flows.asleep && i < PM_FLOW_WAYS; i++)
		if ((line[i] ^ flow) >> PM_FLOW_TAG == 0)
			put(&line[i], 0);
}

/* Whether of the frames that are counted at least one in @many was recalled. */
static bool is_recalled(const struct pm_flow_table *table, size_t many)
{
	return table->recalled * many >= table->counted;
}

/* Whether what was tried is of use, or may be yet. */
static bool is_of_use(struct pm_flow_table *table)
{
	if (is_recalled(table, LEAST)) {
		table->trials = 0;
		table->sleep = ASLEEP / 2;
		return true;
	}
	return is_recalled(table, PROMISING) && ++table->trials < TRIALS;
}

static void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELAXED);
}

static void fall_asleep(struct pm_flow_table *table)
{
	set(&table->flows.tried, false);
	set(&table->flows.asleep, true);
	table->sleep = table->sleep < ASLEEP_MAX / 2 ? table->sleep * 2 : ASLEEP_MAX;
}

/* What came before the sleep is not lately. */
static void begin_trial(struct pm_flow_table *table)
{
	memset(table->recent, 0, RECENT * sizeof *table->recent);
	set(&table->flows.tried, true);
}

static void wake(struct pm_flow_table *table)
{
	set(&table->flows.asleep, false);
	set(&table->flows.tried, false);
	table->trials = 0;
	/* What had ended meanwhile was not looked after. */
	pm_flows_forget(table);
}

bool pm_flows_try(struct pm_flow_table *table, pm_flow flow)
{
	uint32_t *place = &table->recent[(flow >> 1) % RECENT], tag = (uint32_t)(flow >> 32);
	bool again = *place == tag;

	*place = tag;
	return again;
}

void pm_flows_rest(struct pm_flow_table *table, size_t frames, size_t recalled)
{
	const struct pm_flows *flows = &table->flows;
	bool trial = !flows->asleep || flows->tried;

	/* several threads hand over more than a trial at a time */
	table->frames += frames;
	if (table->frames > TRIAL / 2) {
		table->counted += frames;
		table->recalled += recalled;
	}
	if (table->frames < (trial ? TRIAL : table->sleep))
		return;
	if (!trial)
		begin_trial(table);
	else if (flows->tried && is_recalled(table, WAKING))
		wake(table);
	else if (flows->tried || !is_of_use(table))
		fall_asleep(table);
	table->frames = table->counted = table->recalled = 0;
}
