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
static void report(struct pm_meter *meter, const struct pm_fragment_frame *frame,
		   const struct pm_frame_report *fate)
{
	struct pm_frame_report whole = *fate;

	whole.number = frame->number;
	whole.time_ns = frame->time_ns;
	whole.wire = frame->wire;
	whole.rules = meter->rules;
	meter->options.frame(meter->options.ctx, &whole);
}

static void count_no_port(struct pm_meter *meter, enum pm_verdict verdict, uint8_t protocol,
			  const struct pm_fragment_frame *frame)
{
	pm_tally_no_port(meter->tally, verdict, protocol, frame->wire);
	if (meter->options.frame)
		report(meter, frame,
		       &(struct pm_frame_report){ .verdict = (uint8_t)verdict,
						  .ip_protocol = protocol });
}

/* Counts what was decided ahead. Before anything looks at the counters. */
static PM_OUT_OF_LINE void catch_up(struct pm_meter *meter)
{
	pm_tally_ports(meter->tally, meter->ahead, meter->n_ahead);
	meter->n_ahead = 0;
}

static inline void count_ports(struct pm_meter *meter, struct pm_tally_entry entry)
{
	pm_tally_prefetch(meter->tally, (enum pm_transport)entry.transport, entry.src_port,
			  entry.dst_port);
	meter->ahead[meter->n_ahead++] = entry;
	if (meter->n_ahead == AHEAD)
		catch_up(meter);
}

static inline void count_endpoint(struct pm_meter *meter, const struct pm_tally_entry *entry,
				  uint8_t ip_version, const struct pm_address *src,
				  const struct pm_address *dst)
{
	if (meter->options.endpoints)
		pm_tally_endpoint(meter->tally, entry, ip_version, src, dst);
}

static void report_ports(struct pm_meter *meter, const struct pm_fragment_frame *frame,
			 uint8_t transport, uint16_t src_port, uint16_t dst_port,
			 struct pm_decision decision)
{
	report(meter, frame,
	       &(struct pm_frame_report){ .verdict = PM_VERDICT_PORTS,
					  .transport = transport,
					  .src_port = src_port,
					  .dst_port = dst_port,
					  .decision = decision });
}

/* A later fragment is counted as its first was; without one it is an orphan. */
static void count_fragment(void *ctx, const struct pm_fragment_frame *frame,
			   const struct pm_fragment_origin *origin)
{
	struct pm_meter *meter = ctx;
	struct pm_tally_entry entry;

	if (!origin) {
		count_no_port(meter, PM_VERDICT_FRAGMENT, 0, frame);
		return;
	}
	if (origin->verdict != PM_VERDICT_PORTS) {
		count_no_port(meter, PM_VERDICT_NO_PORTS_PROTOCOL, origin->ip_protocol, frame);
		return;
	}
	entry = (struct pm_tally_entry){ .src_port = origin->src_port,
					 .dst_port = origin->dst_port,
					 .decision = pm_decision_unpack(origin->note),
					 .wire = frame->wire,
					 .transport = origin->transport };
	count_ports(meter, entry);
	count_endpoint(meter, &entry, origin->ip_version, &origin->src, &origin->dst);
	if (meter->options.frame)
		report_ports(meter, frame, origin->transport, origin->src_port, origin->dst_port,
			     entry.decision);
}

/* Service ids hold within one set of rules, and a first fragment outlives its set. */
static struct pm_decision decide_again(const struct pm_meter *meter, const struct pm_packet *later,
				       const struct pm_fragment_origin *origin)
{
	struct pm_packet packet = *later;

	packet.verdict = PM_VERDICT_PORTS;
	packet.transport = origin->transport;
	packet.src_port = origin->src_port;
	packet.dst_port = origin->dst_port;
	packet.ip_version = origin->ip_version;
	packet.src = origin->src;
	packet.dst = origin->dst;
	return pm_side_decide(meter->rules, &packet);
}

/* A first fragment tells as what the later ones of its datagram count: itself, or what is in it. */
static void remember(struct pm_meter *meter, const struct pm_packet *packet,
		     const struct pm_packet *counts, int64_t time_ns, uint32_t note)
{
	if (!(packet->notes & PM_NOTE_FIRST_FRAGMENT))
		return;
	if (meter->defer)
		meter->defer(meter->defer_ctx, &(struct pm_deferred){ .packet = *packet,
								      .carrier = *counts,
								      .frame.time_ns = time_ns,
								      .note = note });
	else
		pm_fragments_first(meter->fragments, packet, counts, time_ns, note);
}

/*
 * A later fragment. If it is inside of a datagram that is fragmented itself, that one's later
 * fragments count as it does; they remain orphans if it has to wait.
 */
static void count_later(struct pm_meter *meter, const struct pm_packet *packet,
			const struct pm_packet *carrier, const struct pm_fragment_frame *frame)
{
	const struct pm_fragment_origin *origin;
	struct pm_fragment_origin decided;
	struct pm_packet counts = *carrier;

	origin = pm_fragments_later(meter->fragments, packet, frame);
	if (!origin)
		return;
	decided = *origin;
	if (meter->relabelled && origin->verdict == PM_VERDICT_PORTS)
		decided.note = pm_decision_pack(decide_again(meter, packet, origin));
	count_fragment(meter, frame, &decided);
	counts.verdict = decided.verdict;
	counts.ip_protocol = decided.ip_protocol;
	counts.transport = decided.transport;
	counts.src_port = decided.src_port;
	counts.dst_port = decided.dst_port;
	counts.ip_version = decided.ip_version;
	counts.src = decided.src;
	counts.dst = decided.dst;
	remember(meter, carrier, &counts, frame->time_ns, decided.note);
}

/* All that is not plainly a packet with ports. */
static void count_other(struct pm_meter *meter, const struct pm_packet *packet,
			const struct pm_packet *carrier, const struct pm_frame *frame)
{
	struct pm_fragment_frame facts = { frame->number, frame->time_ns, frame->wire };

	if (packet->verdict == PM_VERDICT_FRAGMENT && meter->defer) {
		meter->defer(meter->defer_ctx, &(struct pm_deferred){ .packet = *packet,
								      .carrier = *carrier,
								      .frame = facts,
								      .later = true });
		return;
	}
	if (packet->verdict == PM_VERDICT_FRAGMENT) {
		count_later(meter, packet, carrier, &facts);
		return;
	}
	count_no_port(meter, (enum pm_verdict)packet->verdict, packet->ip_protocol, &facts);
	if (packet->verdict == PM_VERDICT_NO_PORTS_PROTOCOL) {
		remember(meter, packet, packet, frame->time_ns, 0);
		remember(meter, carrier, packet, frame->time_ns, 0);
	}
}

/* A tally as the options want it. PM_E_MEMORY or 0. */
static int tally_make(const struct pm_meter *meter, struct pm_tally **ret_tally)
{
	struct pm_tally *tally;
	int r = pm_tally_new(meter->rules, &tally);

	if (r == PM_OK && meter->options.endpoints) {
		r = pm_tally_by_endpoint(tally, meter->options.endpoints);
		if (r < 0)
			pm_tally_free(tally);
	}
	if (r == PM_OK)
		*ret_tally = tally;
	return r;
}

int pm_meter_new(const struct pm_meter_options *options, struct pm_meter **ret_meter)
{
	struct pm_meter *meter;
	struct pm_fragments_options fragments = { .release = count_fragment };
	int r;

	if (!options->rules || !options->closed || options->interval_ns < 0 ||
	    options->endpoints == 1)
		return PM_E_INVALID;
	meter = calloc(1, sizeof *meter);
	if (!meter)
		return PM_E_MEMORY;
	meter->options = *options;
	meter->rules = pm_rules_ref(options->rules);
	meter->linktype = UINT32_MAX;
	meter->wholly = options->frame || options->endpoints;
	pthread_mutex_init(&meter->lock, NULL);
	fragments.key = pm_hash_key_random();
	fragments.ctx = meter;
	r = pm_fragments_new(&fragments, &meter->fragments);
	if (r == PM_OK)
		r = tally_make(meter, &meter->tally);
	if (r < 0) {
		pm_meter_free(meter);
		return r;
	}
	meter->n_tallies = 1;
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
}

/*
 * Under the lock: goes on with an empty tally, under new rules if some are due. New rules wait
 * while the queue is full, since tallies of different rules do not merge.
 */
static void go_on_with(struct pm_meter *meter, struct pm_tally *tally)
{
	struct pm_rules *rules = meter->rules;

	if (meter->next_rules && meter->n_waiting < WAITING_MAX)
		rules = meter->next_rules;
	meter->tally = tally;
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
	meter->next_rules = NULL;
	meter->relabelled = true;
}

/*
 * Closes the running interval at @end. With no other tally to go on with, it is not handed over but
 * grows into the next: no frame is lost for want of a reader or of memory. The @last needs none.
 */
static void close_interval(struct pm_meter *meter, int64_t end, bool partial, bool last)
{
	struct pm_tally *tally = meter->tally, *spare = NULL;
	uint64_t datagrams, fragments, frames;

	pm_fragments_flush(meter->fragments);
	catch_up(meter);
	pm_fragments_given_up(meter->fragments, &datagrams, &fragments);
	tally->given_up.fragment_datagrams += datagrams;
	tally->given_up.fragment_frames += fragments;
	capture_figures(meter, &tally->capture);
	if (tally->merged == 1) {
		if (meter->start == START_FIRST_FRAME)
			tally->interval.start_ns = tally->interval.first_ns;
		if (meter->options.interval_ns && tally->interval.start_ns != meter->floor)
			partial = true;
	}
	/* Over several intervals the bounds are those of all. */
	if (tally->merged == 1 || end > tally->interval.end_ns)
		tally->interval.end_ns = end;
	tally->interval.partial |= partial;
	meter->open = false;
	meter->span = 0;
	frames = pm_tally_totals(tally).packets;

	pthread_mutex_lock(&meter->lock);
	if (meter->n_waiting &&
	    pm_tally_merge(meter->waiting[meter->n_waiting - 1], tally) == PM_OK) {
		pm_tally_reset(tally, tally->rules);
		spare = tally;
	} else {
		spare = meter->n_waiting < WAITING_MAX ? spare_take(meter) : NULL;
		if (spare || last)
			meter->waiting[meter->n_waiting++] = tally;
		else
			tally->merged++;
		if (last)
			meter->tally = spare;
	}
	if (spare || last)
		meter->frames += frames;
	if (spare)
		go_on_with(meter, spare);
	pthread_mutex_unlock(&meter->lock);
	meter->options.closed(meter->options.ctx);
}

/* Opens an interval that begins at @begin, within the multiple that holds it. */
static void open_interval(struct pm_meter *meter, int64_t begin, enum start start)
{
	int64_t length = meter->options.interval_ns;
	struct pm_interval *interval = &meter->tally->interval;

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
		while (time_ns >= pm_time_add(meter->end, length))
			move_on(meter, meter->end);
	move_on(meter, time_ns);
}

/* The true bounds of the running interval, which one of its frames may move. */
static inline void note_time(struct pm_meter *meter, int64_t time_ns)
{
	struct pm_interval *interval = &meter->tally->interval;

	if (time_ns > interval->last_ns)
		interval->last_ns = time_ns;
	if (time_ns < interval->first_ns)
		interval->first_ns = time_ns;
}

/*
 * For a frame that is not of the running interval: makes that the one which it counts in
 * (docs/format.md, "Intervals"). A late frame belongs elsewhere and moves no bound.
 */
static PM_OUT_OF_LINE void find_interval(struct pm_meter *meter, int64_t time_ns)
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
	else if (time_ns < meter->begin || meter->end != PM_TIME_MAX)
		/* else it is the very last moment, which no half-open interval has */
		move_on(meter, time_ns);
	note_time(meter, time_ns);
}

/* A frame that takes the general way; it is in the totals but for its IP version. */
static PM_OUT_OF_LINE void count_fully(struct pm_meter *meter, const struct pm_frame *frame)
{
	struct pm_packet packet, carrier = { .notes = 0 };
	struct pm_tally_entry entry;

	if (meter->options.tunnels)
		pm_packet_decode_inner(meter->options.tunnels, meter->link, frame->bytes,
				       frame->held, frame->wire, &packet, &carrier);
	else
		pm_packet_decode(meter->link, frame->bytes, frame->held, frame->wire, &packet);
	pm_tally_frame(meter->tally, packet.ip_version, frame->wire);
	if (packet.verdict != PM_VERDICT_PORTS) {
		count_other(meter, &packet, &carrier, frame);
		return;
	}
	entry = (struct pm_tally_entry){ packet.src_port, packet.dst_port,
					 pm_side_decide(meter->rules, &packet), frame->wire,
					 packet.transport };
	count_ports(meter, entry);
	count_endpoint(meter, &entry, packet.ip_version, &packet.src, &packet.dst);
	remember(meter, &packet, &packet, frame->time_ns, pm_decision_pack(entry.decision));
	remember(meter, &carrier, &packet, frame->time_ns, pm_decision_pack(entry.decision));
	if (meter->options.frame)
		report_ports(
			meter,
			&(struct pm_fragment_frame){ frame->number, frame->time_ns, frame->wire },
			packet.transport, packet.src_port, packet.dst_port, entry.decision);
}

static inline bool may_be_tunnel(const struct pm_meter *meter, pm_brief brief)
{
	const struct pm_tunnels *tunnels = meter->options.tunnels;

	return tunnels && pm_brief_transport(brief) == PM_TRANSPORT_UDP &&
	       pm_tunnels_hold(tunnels, pm_brief_src_port(brief), pm_brief_dst_port(brief));
}

void pm_meter_frame(void *ctx, const struct pm_frame *frame)
{
	struct pm_meter *meter = ctx;
	struct pm_decision decision;
	pm_brief brief;

	if (frame->linktype != meter->linktype) {
		meter->linktype = frame->linktype;
		meter->link = pm_link_find(frame->linktype);
	}
	if ((uint64_t)frame->time_ns - (uint64_t)meter->begin >= meter->span)
		find_interval(meter, frame->time_ns);
	else
		note_time(meter, frame->time_ns);
	if (frame->held < frame->wire)
		meter->tally->snapped++;
	brief = pm_packet_brief(meter->link, frame->bytes, frame->held, frame->wire);
	if (brief && !meter->wholly && !may_be_tunnel(meter, brief)) {
		decision = pm_side_decide_brief(meter->rules, brief);
		if (decision.rung != PM_RUNG_N) {
			pm_tally_frame(meter->tally, pm_brief_ip_version(brief), frame->wire);
			count_ports(meter, (struct pm_tally_entry){ pm_brief_src_port(brief),
								    pm_brief_dst_port(brief),
								    decision, frame->wire,
								    pm_brief_transport(brief) });
			return;
		}
	}
	count_fully(meter, frame);
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
	const struct pm_tally *tally = meter->tally;
	int64_t end = now_ns;

	if (!meter->options.live)
		end = tally->interval.last_ns > meter->begin ? tally->interval.last_ns
							     : meter->begin;
	if (end < tally->interval.start_ns)
		end = tally->interval.start_ns;
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

void pm_meter_give(struct pm_meter *meter, struct pm_tally *tally)
{
	pm_tally_reset(tally, tally->rules);
	pthread_mutex_lock(&meter->lock);
	meter->spare[meter->n_spare++] = tally;
	pthread_mutex_unlock(&meter->lock);
}

void pm_meter_set_rules(struct pm_meter *meter, struct pm_rules *rules)
{
	pthread_mutex_lock(&meter->lock);
	pm_rules_unref(meter->next_rules);
	meter->next_rules = pm_rules_ref(rules);
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

int pm_meter_new_helper(const struct pm_meter *meter,
			void (*defer)(void *ctx, const struct pm_deferred *deferred), void *ctx,
			struct pm_meter **ret_helper)
{
	struct pm_meter *helper = calloc(1, sizeof *helper);

	if (!helper)
		return PM_E_MEMORY;
	helper->options = meter->options;
	helper->rules = pm_rules_ref(meter->rules);
	helper->linktype = UINT32_MAX;
	helper->wholly = meter->wholly;
	helper->defer = defer;
	helper->defer_ctx = ctx;
	pthread_mutex_init(&helper->lock, NULL);
	if (tally_make(helper, &helper->tally) < 0) {
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
	catch_up(helper);
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

void pm_meter_apply(struct pm_meter *meter, const struct pm_deferred *deferred)
{
	if (deferred->later)
		count_later(meter, &deferred->packet, &deferred->carrier, &deferred->frame);
	else
		remember(meter, &deferred->packet, &deferred->carrier, deferred->frame.time_ns,
			 deferred->note);
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
