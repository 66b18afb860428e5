/* SPDX-License-Identifier: MIT */
/*
 * The engine. A frame's way: decode, find its interval, count. An interval's way: closed here,
 * queued, taken by whoever reports. When nobody takes, whole intervals are merged; none is dropped.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "meter-internal.h"

/*
 * Live, a longer gap between intervals is no silence; and of very short ones only so many are
 * filled in.
 */
#define GAP_MAX_NS (UINT64_C(60) * PM_NS_PER_S)
#define GAP_MAX_RECORDS 600

/* What the frames of a conversation to the evidence's server count for; 0: as its port says. */
static uint16_t service_of(const struct pm_meter *meter, const struct pm_evidence *evidence)
{
	enum pm_transport transport = (enum pm_transport)evidence->transport;
	struct pm_packet packet;

	/* first, since it is so for nearly all */
	if (!pm_rules_scoped(meter->rules, transport, evidence->server_port))
		return 0;
	packet = (struct pm_packet){
		.ip_version = evidence->ip_version,
		.transport = evidence->transport,
		.dst_port = evidence->server_port,
		.dst = evidence->server,
	};
	return pm_side_label(meter->rules, &packet, PM_SIDE_DST);
}

static void on_event(void *ctx, const struct pm_evidence *evidence)
{
	struct pm_meter *meter = ctx;
	enum pm_event event = (enum pm_event)evidence->event;
	enum pm_transport transport = (enum pm_transport)evidence->transport;
	uint16_t opener = evidence->turned ? evidence->server_port : evidence->client_port;
	uint16_t other = evidence->turned ? evidence->client_port : evidence->server_port;
	uint16_t service = service_of(meter, evidence);

	if (service == 0)
		pm_meter_note_event(meter, transport, evidence->server_port, event);
	else
		pm_tally_event(meter->told, transport, evidence->server_port, service, event, 1);
	if (pm_watch_cares(event, evidence->transport, opener, other))
		pm_watch_event(meter->watch, meter->rules, evidence);
}

void pm_meter_note_event(struct pm_meter *meter, enum pm_transport transport, uint16_t port,
			 enum pm_event event)
{
	uint32_t what = port | (uint32_t)transport << 16 | (uint32_t)(event + 1) << 24;
	struct pm_noted_event *last;
	uint32_t same;

	if (meter->n_events == AHEAD)
		pm_meter_count_events(meter);
	pm_tally_event_fetch(meter->told, transport, port);
	/* Of a flood all are alike. Without a branch: elsewhere nobody can predict which are. */
	last = &meter->events[meter->n_events];
	same = last->what == what;
	meter->n_events += 1 - same;
	meter->events[meter->n_events] =
		(struct pm_noted_event){ what, (last->times & -same) + 1 };
}

void pm_meter_count_events(struct pm_meter *meter)
{
	for (size_t i = 1; i <= meter->n_events; i++) {
		uint32_t what = meter->events[i].what;

		pm_tally_event(meter->told, (enum pm_transport)(what >> 16 & 0xff), (uint16_t)what,
			       0, (enum pm_event)((what >> 24) - 1), meter->events[i].times);
	}
	meter->n_events = 0;
}

static void on_anomaly(void *ctx, enum pm_anomaly anomaly, const struct pm_evidence *evidence)
{
	struct pm_meter *meter = ctx;

	pm_tally_anomaly(meter->told, anomaly, evidence);
}

static const struct pm_hash_key file_key = { UINT64_C(0x243f6a8885a308d3),
					     UINT64_C(0x13198a2e03707344) };

/*
 * Files are decided the same in every run, so their key is fixed: who made the file may aim at
 * places of the tables, where others then give way. From a wire nobody can.
 */
static int learner_make(struct pm_meter *meter)
{
	struct pm_learner_options options = { .endpoints = meter->options.endpoints,
					      .explains = meter->options.explain != 0,
					      .flows = meter->options.flows,
					      .live = meter->options.live,
					      .ctx = meter };
	int r;

	meter->key = meter->options.live ? pm_hash_key_random() : file_key;
	options.key = meter->key;
	if (meter->options.allowance)
		options.event = on_event;
	r = pm_learner_new(&options, meter->rules, &meter->learner);
	if (r == PM_OK)
		meter->classes = pm_learner_classes(meter->learner);
	if (r == PM_OK)
		meter->flows = pm_learner_flows(meter->learner);
	meter->asked = meter->learner;
	return r;
}

/* Who looks at what the learner tells. */
static int watch_make(struct pm_meter *meter)
{
	const struct pm_watch_options options = {
		.key = meter->key,
		.found = on_anomaly,
		.ctx = meter,
	};

	return meter->options.allowance ? pm_watch_new(&options, &meter->watch) : PM_OK;
}

/* One that counts what the options say. */
static int tally_make(const struct pm_meter *meter, struct pm_tally **ret_tally)
{
	struct pm_tally *tally = NULL;
	int r = pm_tally_new(meter->rules, &tally);

	if (r == PM_OK && meter->options.allowance)
		r = pm_tally_talk(tally, meter->options.allowance);
	if (r == PM_OK && meter->options.by_endpoint)
		r = pm_tally_by_endpoint(tally, meter->options.by_endpoint);
	if (r < 0) {
		pm_tally_free(tally);
		return r;
	}
	/* no system call for a frame: the filter's pages come as they are touched */
	if (meter->options.live)
		tally->n_met = PM_PAGES_EXPECTED;
	*ret_tally = tally;
	return PM_OK;
}

int pm_meter_new(const struct pm_meter_options *options, struct pm_meter **ret_meter)
{
	struct pm_meter *meter;
	struct pm_fragments_options fragments = { .release = pm_meter_count_fragment };
	int r;

	if (!options->rules || !options->closed || options->interval_ns < 0 ||
	    options->by_endpoint == 1)
		return PM_E_INVALID;
	meter = calloc(1, sizeof *meter);
	if (!meter)
		return PM_E_MEMORY;
	meter->options = *options;
	meter->rules = pm_rules_ref(options->rules);
	meter->linktype = UINT32_MAX;
	meter->wholly = options->frame || options->by_endpoint;
	meter->briefly = !meter->wholly && !options->tunnels;
	if (options->explain)
		meter->why = calloc(1, sizeof *meter->why);
	pthread_mutex_init(&meter->lock, NULL);
	fragments.key = pm_hash_key_random();
	fragments.ctx = meter;
	r = pm_fragments_new(&fragments, &meter->fragments);
	if (r == PM_OK && options->explain && !meter->why)
		r = PM_E_MEMORY;
	if (r == PM_OK)
		r = pm_meter_make_room(meter, AHEAD, false);
	if (r == PM_OK)
		r = learner_make(meter);
	if (r == PM_OK)
		r = watch_make(meter);
	if (r == PM_OK)
		r = tally_make(meter, &meter->tally);
	meter->n_tallies = 1;
	/* Live, nothing is allocated once frames come, nor fails for want of memory. */
	if (r == PM_OK && options->live)
		r = pm_meter_reserve(meter);
	if (r < 0) {
		pm_meter_free(meter);
		return r;
	}
	meter->told = meter->tally;
	*ret_meter = meter;
	return PM_OK;
}

void pm_meter_free(struct pm_meter *meter)
{
	if (!meter)
		return;
	pm_tally_free(meter->tally);
	for (size_t i = 0; i < meter->n_waiting; i++)
		pm_tally_free(meter->waiting[i]);
	for (size_t i = 0; i < meter->n_spare; i++)
		pm_tally_free(meter->spare[i]);
	pm_fragments_free(meter->fragments);
	pm_learner_free(meter->learner);
	pm_watch_free(meter->watch);
	free(meter->why);
	free(meter->entries);
	free(meter->items);
	free(meter->shown);
	free(meter->heads);
	free(meter->generals);
	pm_rules_unref(meter->next_rules);
	pm_rules_unref(meter->rules);
	pthread_mutex_destroy(&meter->lock);
	free(meter);
}

/* Growth since the last time; a counter that the system can't give is left out. */
static void capture_figures(struct pm_meter *meter, struct pm_capture_figures *figures)
{
	struct pm_capture_counts now = { .received = 0 };
	const struct pm_capture_counts *before = &meter->counted;

	if (meter->options.capture)
		pm_capture_count(meter->options.capture, meter->options.source, &now);
	figures->received += now.received - before->received;
	figures->dropped_kernel += now.dropped_kernel - before->dropped_kernel;
	figures->dropped_interface += now.dropped_interface - before->dropped_interface;
	figures->down_ns += now.down_ns - before->down_ns;
	figures->received_known = now.received_known;
	figures->dropped_kernel_known = now.dropped_kernel_known;
	figures->dropped_interface_known = now.dropped_interface_known;
	meter->counted = now;
}

/* Under the lock: a tally to fill next; NULL when all are in use or memory is short. */
static struct pm_tally *spare_take(struct pm_meter *meter)
{
	struct pm_tally *fresh;

	if (meter->n_spare)
		return meter->spare[--meter->n_spare];
	if (meter->n_tallies == TALLIES_MAX || tally_make(meter, &fresh) < 0)
		return NULL;
	meter->n_tallies++;
	return fresh;
}

/* Memory is short: the tally's older rules hold, and those that were in force are due again. */
static void fall_back(struct pm_meter *meter, struct pm_rules *rules)
{
	if (rules == meter->rules)
		return;
	if (meter->next_rules)
		pm_rules_unref(meter->rules);
	else
		meter->next_rules = meter->rules;
	meter->rules = pm_rules_ref(rules);
	pm_learner_follow(meter->learner, meter->rules);
}

/*
 * Under the lock: goes on with an empty tally, at @end, under new rules if some are due. They wait
 * while the queue is full, since tallies of different rules do not merge.
 */
static void go_on_with(struct pm_meter *meter, struct pm_tally *tally, int64_t end)
{
	struct pm_rules *rules = meter->rules;

	if (meter->next_rules && end >= meter->next_from && meter->n_waiting < WAITING_MAX)
		rules = meter->next_rules;
	meter->tally = meter->told = tally;
	if (tally->rules == rules && rules == meter->rules)
		return;
	if (pm_tally_reset(tally, rules) < 0) {
		fall_back(meter, tally->rules);
		return;
	}
	if (rules == meter->rules)
		return;
	pm_rules_unref(meter->rules);
	meter->rules = rules;
	pm_learner_follow(meter->learner, rules);
	meter->next_rules = NULL;
	meter->relabelled = true;
}

/* When the running interval begins; where the input does, with its first frame. */
static int64_t true_start(const struct pm_meter *meter)
{
	const struct pm_interval *interval = &meter->tally->interval;

	if (meter->tally->merged == 1 && meter->start == START_FIRST_FRAME)
		return interval->first_ns;
	return interval->start_ns;
}

/*
 * Closes the running interval at @end. With no other tally to go on with, it is not handed over but
 * grows into the next: no frame is lost for want of a reader or of memory. The @last needs none.
 */
static void close_interval(struct pm_meter *meter, int64_t end, bool partial, bool last)
{
	struct pm_tally *tally = meter->tally, *spare = NULL;
	uint64_t datagrams, fragments, frames;
	struct pm_learner_lost lost;

	pm_fragments_flush(meter->fragments);
	pm_meter_catch_up(meter);
	pm_learner_close(meter->learner, end, last);
	pm_meter_count_events(meter);
	pm_fragments_given_up(meter->fragments, &datagrams, &fragments);
	tally->given_up.fragment_datagrams += datagrams;
	tally->given_up.fragment_frames += fragments;
	pm_learner_lost(meter->learner, &lost);
	tally->given_up.endpoints += lost.endpoints;
	tally->given_up.handshakes += lost.handshakes;
	tally->learned = pm_learner_endpoints(meter->learner);
	if (meter->watch)
		tally->given_up.watched += pm_watch_given_up(meter->watch);
	capture_figures(meter, &tally->capture);
	tally->interval.start_ns = true_start(meter);
	if (tally->merged == 1 && meter->options.interval_ns &&
	    tally->interval.start_ns != meter->floor)
		partial = true;
	/* Over several intervals the bounds are those of all. */
	if (tally->merged == 1 || end > tally->interval.end_ns)
		tally->interval.end_ns = end;
	tally->interval.partial |= partial;
	meter->open = false;
	meter->span = 0;
	frames = pm_tally_totals(tally).packets;

	pthread_mutex_lock(&meter->lock);
	if (meter->n_waiting >= MERGE_FROM &&
	    pm_tally_merge(meter->waiting[meter->n_waiting - 1], tally) == PM_OK) {
		pm_tally_reset(tally, tally->rules);
		spare = tally;
	} else {
		spare = !last && meter->n_waiting < WAITING_MAX ? spare_take(meter) : NULL;
		if (spare || last)
			meter->waiting[meter->n_waiting++] = tally;
		else
			tally->merged++;
		if (last)
			meter->tally = meter->told = spare;
	}
	meter->finished |= last;
	if (spare || last)
		meter->frames += frames;
	if (spare)
		go_on_with(meter, spare, end);
	pthread_mutex_unlock(&meter->lock);
	meter->options.closed(meter->options.ctx);
}

/* Opens an interval that begins at @begin, within the multiple that holds it. */
static void open_interval(struct pm_meter *meter, int64_t begin, enum start start)
{
	int64_t length = meter->options.interval_ns;
	struct pm_interval *interval = &meter->tally->interval;

	/* not with the first frame that the learner is shown: most are not */
	if (!meter->started)
		pm_learner_begin(meter->learner, begin);
	meter->open = true;
	meter->started = true;
	meter->start = start;
	if (length == 0) {
		meter->begin = meter->floor = PM_TIME_MIN;
		meter->end = PM_TIME_MAX;
	} else {
		meter->floor = pm_time_floor(begin, length);
		meter->end = pm_time_add(meter->floor, length);
		meter->begin = start == START_TRUE ? begin : meter->floor;
	}
	meter->span = (uint64_t)meter->end - (uint64_t)meter->begin;
	if (meter->tally->merged == 1 || meter->begin < interval->start_ns)
		interval->start_ns = start == START_TRUE ? begin : meter->floor;
}

/* Closes the running interval and opens the one that holds @time_ns. */
static void move_on(struct pm_meter *meter, int64_t time_ns)
{
	close_interval(meter, meter->end, false, false);
	open_interval(meter, time_ns, START_ALIGNED);
}

/* The very last moment is in no half-open interval, and so in the last one. */
static bool is_at_last(const struct pm_meter *meter, int64_t time_ns)
{
	return meter->end == PM_TIME_MAX && time_ns >= meter->begin;
}

/*
 * The same, live: silent intervals in between have their records too, unless the clock has jumped
 * or the machine slept, when nobody knows what the wire carried.
 */
static void move_on_live(struct pm_meter *meter, int64_t time_ns)
{
	int64_t length = meter->options.interval_ns;
	uint64_t gap = time_ns > meter->end ? (uint64_t)time_ns - (uint64_t)meter->end : 0;

	if (length == 0)
		return; /* the one interval never ends */
	if (gap <= GAP_MAX_NS && gap / (uint64_t)length <= GAP_MAX_RECORDS)
		while (!is_at_last(meter, time_ns) && time_ns >= pm_time_add(meter->end, length))
			move_on(meter, meter->end);
	if (!is_at_last(meter, time_ns))
		move_on(meter, time_ns);
}

PM_OUT_OF_LINE void pm_meter_find_interval(struct pm_meter *meter, int64_t time_ns)
{
	if (meter->open && time_ns < meter->begin &&
	    time_ns >= pm_time_add(meter->floor, -meter->options.interval_ns)) {
		meter->tally->interval.late++;
		return;
	}
	if (!meter->open)
		open_interval(meter, time_ns, meter->started ? START_ALIGNED : START_FIRST_FRAME);
	else if (meter->options.live)
		move_on_live(meter, time_ns);
	else if (!is_at_last(meter, time_ns))
		move_on(meter, time_ns);
	pm_meter_note_time(meter, time_ns);
}

void pm_meter_tick(struct pm_meter *meter, int64_t now_ns)
{
	/* frames before it have come */
	int64_t settled = pm_time_add(now_ns, -meter->options.grace_ns);

	if (!meter->open) {
		open_interval(meter, now_ns, meter->started ? START_ALIGNED : START_TRUE);
		return;
	}
	if (meter->options.interval_ns == 0)
		return;
	/*
	 * A clock set back by more than an interval would otherwise leave the sensor mute for as
	 * long.
	 */
	if (settled >= meter->end ||
	    now_ns < pm_time_add(meter->floor, -meter->options.interval_ns))
		move_on_live(meter, settled);
}

void pm_meter_idle(struct pm_meter *meter, int64_t now_ns)
{
	if (meter->open && meter->options.interval_ns != 0 && now_ns >= meter->end)
		close_interval(meter, meter->end, false, false);
}

int64_t pm_meter_deadline(const struct pm_meter *meter)
{
	if (!meter->open || meter->options.interval_ns == 0)
		return PM_TIME_MAX;
	return pm_time_add(meter->end, meter->options.grace_ns);
}

/*
 * Where the running interval really ends when it is ended early; never before its start or after
 * its end.
 */
static int64_t early_end(const struct pm_meter *meter, int64_t now_ns)
{
	int64_t start = true_start(meter), end = now_ns;

	if (!meter->options.live) {
		int64_t last_ns = meter->tally->interval.last_ns;

		end = last_ns > meter->begin ? last_ns : meter->begin;
	}
	if (end < start)
		end = start;
	return end < meter->end ? end : meter->end;
}

/* Live, an early end may come when an interval is over that the clock has not closed yet. */
static void close_overdue(struct pm_meter *meter, int64_t now_ns)
{
	if (meter->options.live && now_ns > meter->end)
		move_on_live(meter, now_ns);
}

void pm_meter_cut(struct pm_meter *meter, int64_t now_ns)
{
	int64_t end;

	if (!meter->open)
		return;
	close_overdue(meter, now_ns);
	end = early_end(meter, now_ns);
	close_interval(meter, end, true, false);
	open_interval(meter, end, START_TRUE);
}

void pm_meter_finish(struct pm_meter *meter, int64_t now_ns, bool complete)
{
	bool whole = complete && meter->options.interval_ns == 0;
	int64_t end;

	if (!meter->open ||
	    (!meter->options.live && pm_tally_totals(meter->tally).packets == 0))
		return;
	close_overdue(meter, now_ns);
	end = early_end(meter, now_ns);
	close_interval(meter, end, !whole && end != meter->end, true);
}

struct pm_tally *pm_meter_take(struct pm_meter *meter)
{
	struct pm_tally *tally = NULL;

	pthread_mutex_lock(&meter->lock);
	if (meter->n_waiting) {
		tally = meter->waiting[0];
		meter->n_waiting--;
		memmove(meter->waiting, meter->waiting + 1,
			meter->n_waiting * sizeof *meter->waiting);
		tally->seq = ++meter->seq;
	}
	pthread_mutex_unlock(&meter->lock);
	return tally;
}

bool pm_meter_finished(struct pm_meter *meter)
{
	bool finished;

	pthread_mutex_lock(&meter->lock);
	finished = meter->finished && meter->n_waiting == 0;
	pthread_mutex_unlock(&meter->lock);
	return finished;
}

void pm_meter_give(struct pm_meter *meter, struct pm_tally *tally)
{
	pm_tally_reset(tally, tally->rules);
	pthread_mutex_lock(&meter->lock);
	meter->spare[meter->n_spare++] = tally;
	pthread_mutex_unlock(&meter->lock);
}

void pm_meter_set_rules(struct pm_meter *meter, struct pm_rules *rules, int64_t from_ns)
{
	pthread_mutex_lock(&meter->lock);
	pm_rules_unref(meter->next_rules);
	meter->next_rules = pm_rules_ref(rules);
	meter->next_from = from_ns;
	pthread_mutex_unlock(&meter->lock);
}

uint64_t pm_meter_frames(const struct pm_meter *meter)
{
	return meter->frames + (meter->tally ? pm_tally_totals(meter->tally).packets : 0);
}

int pm_meter_reserve(struct pm_meter *meter)
{
	int r = PM_OK;

	pthread_mutex_lock(&meter->lock);
	while (r == PM_OK && meter->n_tallies < TALLIES_MAX) {
		r = tally_make(meter, &meter->spare[meter->n_spare]);
		if (r == PM_OK) {
			meter->n_spare++;
			meter->n_tallies++;
		}
	}
	pthread_mutex_unlock(&meter->lock);
	return r;
}

int pm_meter_new_helper(const struct pm_meter *meter, void (*full)(void *ctx), void *ctx,
			struct pm_meter **ret_helper)
{
	struct pm_meter *helper = calloc(1, sizeof *helper);

	if (!helper)
		return PM_E_MEMORY;
	helper->options = meter->options;
	helper->rules = pm_rules_ref(meter->rules);
	helper->linktype = UINT32_MAX;
	helper->wholly = meter->wholly;
	helper->briefly = meter->briefly;
	helper->asked = meter->learner;
	helper->classes = meter->classes;
	helper->flows = meter->flows;
	helper->key = meter->key;
	helper->full = full;
	helper->full_ctx = ctx;
	pthread_mutex_init(&helper->lock, NULL);
	if (pm_meter_make_room(helper, ITEMS_MAX, true) < 0 ||
	    tally_make(meter, &helper->tally) < 0) {
		pm_meter_free(helper);
		return PM_E_MEMORY;
	}
	*ret_helper = helper;
	return PM_OK;
}

int pm_meter_follow(struct pm_meter *helper, const struct pm_meter *meter)
{
	if (helper->absorbed)
		pm_tally_reset(helper->tally, helper->rules);
	helper->absorbed = false;
	if (helper->rules != meter->rules) {
		/* rules change only where an interval ends, when all has been absorbed */
		if (pm_tally_reset(helper->tally, meter->rules) < 0)
			return PM_E_MEMORY;
		pm_rules_unref(helper->rules);
		helper->rules = pm_rules_ref(meter->rules);
	}
	helper->open = meter->open;
	helper->begin = meter->begin;
	helper->end = meter->end;
	helper->floor = meter->floor;
	helper->span = meter->span;
	return PM_OK;
}

void pm_meter_absorb(struct pm_meter *meter, struct pm_meter *helper)
{
	struct pm_tally *tally = helper->tally;

	if (helper->absorbed || pm_tally_totals(tally).packets == 0)
		return;
	/* Part of the same interval, which it neither extends nor joins as one more. */
	tally->merged = 0;
	tally->interval.start_ns = PM_TIME_MAX;
	tally->interval.end_ns = PM_TIME_MIN;
	tally->capture = meter->tally->capture;
	tally->capture.received = 0;
	tally->capture.dropped_kernel = tally->capture.dropped_interface = 0;
	pm_tally_absorb(meter->tally, tally);
	helper->absorbed = true;
}

void pm_meter_reach(const struct pm_meter *meter, int64_t *ret_from, uint64_t *ret_span)
{
	*ret_from = meter->begin;
	*ret_span = meter->span;
	/* Late frames count in the open interval too. */
	if (meter->open && meter->options.interval_ns) {
		*ret_from = pm_time_add(meter->floor, -meter->options.interval_ns);
		*ret_span = (uint64_t)meter->end - (uint64_t)*ret_from;
	}
}
