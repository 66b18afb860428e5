/* SPDX-License-Identifier: MIT */
/*
 * Text exposition format 0.0.4 of Prometheus. Counters run from the start of the program; a port
 * has its own series only where a rule says metric=port, so that their number stays bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

/* A label's value: backslash, quote and line end are escaped; what is not UTF-8 becomes U+FFFD. */
static void write_value(struct sink *sink, const char *text)
{
	while (*text) {
		size_t size = pm_utf8_sequence(text);

		if (*text == '\\' || *text == '"')
			pm_sink_write(sink, "\\", 1);
		if (*text == '\n')
			pm_sink_write(sink, "\\n", 2);
		else if (size)
			pm_sink_write(sink, text, size);
		else
			pm_sink_write(sink, PM_UTF8_REPLACEMENT, 3);
		text += size ? size : 1;
	}
}

static void write_label(struct sink *sink, bool first, const char *name, const char *value)
{
	pm_sink_text(sink, "%s%s=\"", first ? "{" : ",", name);
	write_value(sink, value);
	pm_sink_write(sink, "\"", 1);
}

static void metric(struct sink *sink, const char *name, const char *type, const char *help)
{
	pm_sink_text(sink, "# HELP portmeter_%s %s\n# TYPE portmeter_%s %s\n", name, help, name, type);
}

/*
 * Begins a sample with the label that all have, and the one that keeps figures of inner layers from
 * being added to those of outer ones.
 */
static void sample(struct sink *sink, const char *name, const struct metrics_source *source)
{
	pm_sink_text(sink, "portmeter_%s", name);
	write_label(sink, true, "interface", source->name);
	if (source->inner)
		write_label(sink, false, "tunnel", "inner");
}

static void value(struct sink *sink, uint64_t count)
{
	pm_sink_text(sink, "} %llu\n", (unsigned long long)count);
}

static void seconds(struct sink *sink, uint64_t ns)
{
	pm_sink_text(sink, "} %.3f\n", (double)(ns / 1000000) / 1000);
}

/* Which half of a pm_count a family of samples shows. */
enum half { PACKETS, BYTES };

static uint64_t half_of(struct pm_count count, int half)
{
	return half == PACKETS ? count.packets : count.bytes;
}

static void totals(struct sink *sink, const struct metrics_source *source, const char *name,
		   int half)
{
	const struct {
		const char *ip;
		struct pm_count count;
	} rows[] = {
		{ "4", source->ip4 },
		{ "6", source->ip6 },
		{ "none",
		  { source->totals.packets - source->ip4.packets - source->ip6.packets,
		    source->totals.bytes - source->ip4.bytes - source->ip6.bytes } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sample(sink, name, source);
		write_label(sink, false, "ip", rows[i].ip);
		value(sink, half_of(rows[i].count, half));
	}
}

static void write_transport(struct sink *sink, const struct series *series)
{
	write_label(sink, false, "transport", pm_transport_name((enum pm_transport)series->transport));
}

/* Calls @write with each series of a set, and with that of all others. */
static void each(struct sink *sink, const struct metrics_source *source,
		 const struct series_set *set, const char *name, int which,
		 void (*write)(struct sink *sink, const struct metrics_source *source,
			       const struct series *series, bool other, const char *name,
			       int which))
{
	for (size_t i = 0; i < set->n; i++)
		write(sink, source, &set->rows[i], false, name, which);
	/* From the start, so that it is seen to rise. */
	for (int t = 0; t < PM_TRANSPORT_N; t++)
		if (set == &source->services ? source->transport_seen[t] : set->used[t])
			write(sink, source, &set->other[t], true, name, which);
}

static void service(struct sink *sink, const struct metrics_source *source,
		    const struct series *series, bool other, const char *name, int half)
{
	const struct {
		const char *direction;
		struct pm_count count;
	} sides[] = {
		{ "to_service", series->to },
		{ "from_service", series->from },
		{ "symmetric", series->symmetric },
	};

	for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
		sample(sink, name, source);
		write_transport(sink, series);
		write_label(sink, false, "service", other ? "other" : series->service);
		write_label(sink, false, "direction", sides[s].direction);
		value(sink, half_of(sides[s].count, half));
	}
}

static void services(struct sink *sink, const struct metrics_source *source, const char *name,
		     int half)
{
	each(sink, source, &source->services, name, half, service);
}

static void write_port(struct sink *sink, const struct series *series, bool other)
{
	char number[16];

	snprintf(number, sizeof number, "%u", series->port);
	write_transport(sink, series);
	write_label(sink, false, "port", other ? "other" : number);
	write_label(sink, false, "service", other ? "other" : series->service ? series->service
									      : "");
}

static void port(struct sink *sink, const struct metrics_source *source,
		 const struct series *series, bool other, const char *name, int half)
{
	for (int to = 0; to < 2; to++) {
		sample(sink, name, source);
		write_port(sink, series, other);
		write_label(sink, false, "direction", to ? "dst" : "src");
		value(sink, half_of(to ? series->to : series->from, half));
	}
}

static void ports(struct sink *sink, const struct metrics_source *source, const char *name,
		  int half)
{
	each(sink, source, &source->ports, name, half, port);
}

static void unknown(struct sink *sink, const struct metrics_source *source, const char *name,
		    int half)
{
	for (int t = 0; t < PM_TRANSPORT_N; t++) {
		if (!source->transport_seen[t])
			continue;
		sample(sink, name, source);
		write_label(sink, false, "transport", pm_transport_name((enum pm_transport)t));
		value(sink, half_of(source->unknown[t], half));
	}
}

static void no_port(struct sink *sink, const struct metrics_source *source, const char *name,
		    int half)
{
	for (size_t i = 0; i < source->n_no_port; i++) {
		const struct metrics_no_port *row = &source->no_port[i];
		char number[16] = "";

		if (row->protocol >= 0)
			snprintf(number, sizeof number, "%d", row->protocol);
		sample(sink, name, source);
		write_label(sink, false, "reason", pm_verdict_name(row->reason));
		write_label(sink, false, "protocol", number);
		value(sink, half_of(row->count, half));
	}
}

static void facets(struct sink *sink, const struct metrics_source *source, const char *name,
		   int half)
{
	for (int f = 0; f < PM_FACET_N; f++) {
		sample(sink, name, source);
		write_label(sink, false, "code", pm_facet_name((enum pm_facet)f));
		value(sink, half_of(source->facets[f], half));
	}
}

static void side(struct sink *sink, const struct metrics_source *source, const char *name,
		 int which)
{
	(void)which;
	for (int rung = 0; rung < PM_RUNG_N; rung++) {
		sample(sink, name, source);
		write_label(sink, false, "rung", pm_rung_name((enum pm_rung)rung));
		value(sink, source->side_by[rung]);
	}
}

static void dropped(struct sink *sink, const struct metrics_source *source, const char *name,
		    int which)
{
	const struct pm_capture_figures *figures = &source->capture;

	(void)which;
	if (figures->dropped_kernel_known) {
		sample(sink, name, source);
		write_label(sink, false, "where", "kernel");
		value(sink, figures->dropped_kernel);
	}
	if (figures->dropped_interface_known) {
		sample(sink, name, source);
		write_label(sink, false, "where", "interface");
		value(sink, figures->dropped_interface);
	}
}

static void given_up(struct sink *sink, const struct metrics_source *source, const char *name,
		     int which)
{
	const struct pm_given_up *counts = &source->given_up;
	/* by the names that records have for them */
	const struct {
		const char *what;
		uint64_t count;
	} rows[] = {
		{ "fragment_datagrams", counts->fragment_datagrams },
		{ "fragment_frames", counts->fragment_frames },
		{ "service_ports", counts->service_ports },
		{ "endpoints", counts->endpoints },
		{ "handshakes", counts->handshakes },
		{ "peers", counts->peers },
		{ "watched", counts->watched },
		{ "by_endpoint", counts->by_endpoint },
	};

	(void)which;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sample(sink, name, source);
		write_label(sink, false, "what", rows[i].what);
		value(sink, rows[i].count);
	}
}

/* Figures of which a source has one. */
enum single {
	RECEIVED,
	SNAPPED,
	LATE,
	INTERVALS,
	LEARNED,
	RULES_ENTRIES,
	RULES_GENERATION,
	DOWN,
	INTERVAL_END,
};

static void single(struct sink *sink, const struct metrics_source *source, const char *name,
		   int which)
{
	const uint64_t values[] = {
		[RECEIVED] = source->capture.received,
		[SNAPPED] = source->snapped,
		[LATE] = source->late,
		[INTERVALS] = source->intervals,
		[LEARNED] = source->learned,
		[RULES_ENTRIES] = source->rules_entries,
		[RULES_GENERATION] = source->rules_generation,
		[DOWN] = source->capture.down_ns,
		[INTERVAL_END] = (uint64_t)source->end_ns,
	};

	if ((which == RECEIVED && !source->capture.received_known) ||
	    (which == DOWN && !source->live))
		return;
	sample(sink, name, source);
	if (which == DOWN || which == INTERVAL_END)
		seconds(sink, values[which]);
	else
		value(sink, values[which]);
}

static void service_talk(struct sink *sink, const struct metrics_source *source,
			 const struct series *series, bool other, const char *name, int figure)
{
	/* Of all others it is known as soon as of any. */
	if (!(series->talk_known >> figure & 1) &&
	    !(other && (figure == PM_TALK_SESSIONS || series->transport == PM_TRANSPORT_TCP)))
		return;
	sample(sink, name, source);
	write_transport(sink, series);
	write_label(sink, false, "service", other ? "other" : series->service);
	value(sink, series->talk[figure]);
}

static void talk_services(struct sink *sink, const struct metrics_source *source,
			  const char *name, int figure)
{
	if (source->talk)
		each(sink, source, &source->services, name, figure, service_talk);
}

static void talk_unknown(struct sink *sink, const struct metrics_source *source, const char *name,
			 int figure)
{
	if (!(source->unknown_talk_known >> figure & 1))
		return;
	sample(sink, name, source);
	value(sink, source->unknown_talk[figure]);
}

static void port_talk(struct sink *sink, const struct metrics_source *source,
		      const struct series *series, bool other, const char *name, int figure)
{
	if (!(series->talk_known >> figure & 1) && !other)
		return;
	sample(sink, name, source);
	write_port(sink, series, other);
	value(sink, series->talk[figure]);
}

static void talk_ports(struct sink *sink, const struct metrics_source *source, const char *name,
		       int figure)
{
	if (source->talk)
		each(sink, source, &source->ports, name, figure, port_talk);
}

/* Families of samples; one row each, in the order of the page. */
static const struct family {
	const char *name, *type, *help;
	void (*write)(struct sink *sink, const struct metrics_source *source, const char *name,
		      int which);
	int which;
	bool talk; /* only where conversations are counted */
} families[] = {
	{ "packets_total", "counter", "Frames counted, by IP version.", totals, PACKETS, false },
	{ "bytes_total", "counter", "Wire bytes of all frames, by IP version.", totals, BYTES,
	  false },
	{ "service_packets_total", "counter", "Frames of a service.", services, PACKETS, false },
	{ "service_bytes_total", "counter", "Wire bytes of a service's frames.", services, BYTES,
	  false },
	{ "unknown_packets_total", "counter", "Frames with ports but no label.", unknown, PACKETS,
	  false },
	{ "unknown_bytes_total", "counter", "Wire bytes of frames with ports but no label.",
	  unknown, BYTES, false },
	{ "no_port_packets_total", "counter", "Frames without ports, by reason.", no_port, PACKETS,
	  false },
	{ "no_port_bytes_total", "counter", "Wire bytes of frames without ports, by reason.",
	  no_port, BYTES, false },
	{ "port_packets_total", "counter", "Frames of ports whose rule says metric=port.", ports,
	  PACKETS, false },
	{ "port_bytes_total", "counter", "Wire bytes of ports whose rule says metric=port.", ports,
	  BYTES, false },
	{ "facet_packets_total", "counter", "Frames with an oddity, counted elsewhere too.", facets,
	  PACKETS, false },
	{ "facet_bytes_total", "counter", "Wire bytes of frames with an oddity.", facets, BYTES,
	  false },
	{ "side_packets_total", "counter",
	  "Frames with ports, by what decided which side is the service.", side, 0, false },
	{ "capture_received_packets_total", "counter", "Frames that passed the kernel's filter.",
	  single, RECEIVED, false },
	{ "capture_dropped_packets_total", "counter", "Frames lost before they were counted.",
	  dropped, 0, false },
	{ "capture_snapped_packets_total", "counter", "Frames that were captured in part.", single,
	  SNAPPED, false },
	{ "capture_down_seconds_total", "counter", "Time that the interface was down or gone.",
	  single, DOWN, false },
	{ "late_packets_total", "counter", "Frames that came after their interval had closed.",
	  single, LATE, false },
	{ "given_up_total", "counter", "What was forgotten for want of room.", given_up, 0, false },
	{ "intervals_total", "counter", "Intervals in these numbers.", single, INTERVALS, false },
	{ "interval_end_timestamp_seconds", "gauge", "End of the newest interval in these numbers.",
	  single, INTERVAL_END, false },
	{ "learned_endpoints", "gauge", "Endpoints that are remembered as serving.", single,
	  LEARNED, false },
	{ "rules_entries", "gauge", "Rules in force.", single, RULES_ENTRIES, false },
	{ "rules_generation", "gauge", "How often rules were loaded.", single, RULES_GENERATION,
	  false },
	/* What conversations were; figures of addresses would not add up. */
	{ "service_sessions_total", "counter",
	  "Sessions of a service: handshakes completed, or new pairs.", talk_services,
	  PM_TALK_SESSIONS, true },
	{ "service_syn_total", "counter", "TCP connections that were asked of a service.",
	  talk_services, PM_TALK_SYN, true },
	{ "service_refused_total", "counter", "Attempts that a service refused.", talk_services,
	  PM_TALK_REFUSED, true },
	{ "service_unanswered_total", "counter", "Attempts that a service left without an answer.",
	  talk_services, PM_TALK_UNANSWERED, true },
	{ "unknown_sessions_total", "counter", "Sessions of ports without a label.", talk_unknown,
	  PM_TALK_SESSIONS, true },
	{ "unknown_syn_total", "counter",
	  "TCP connections that were asked of ports without a label.", talk_unknown, PM_TALK_SYN,
	  true },
	{ "unknown_refused_total", "counter", "Attempts that ports without a label refused.",
	  talk_unknown, PM_TALK_REFUSED, true },
	{ "unknown_unanswered_total", "counter",
	  "Attempts that ports without a label left without an answer.", talk_unknown,
	  PM_TALK_UNANSWERED, true },
	{ "port_sessions_total", "counter", "Sessions of ports whose rule says metric=port.",
	  talk_ports, PM_TALK_SESSIONS, true },
};

/* Under the lock. */
static bool any_talk(const struct pm_metrics *metrics)
{
	for (size_t i = 0; i < metrics->n; i++)
		if (metrics->sources[i]->talk)
			return true;
	return false;
}

void pm_metrics_write(struct pm_metrics *metrics, struct sink *sink)
{
	bool talk;

	metric(sink, "build_info", "gauge", "The program that made these numbers.");
	pm_sink_text(sink, "portmeter_build_info{version=\"%s\"} 1\n", pm_version());
	pthread_mutex_lock(&metrics->lock);
	talk = any_talk(metrics);
	for (size_t f = 0; metrics->n && f < sizeof families / sizeof *families; f++) {
		const struct family *family = &families[f];

		if (family->talk && !talk)
			continue;
		metric(sink, family->name, family->type, family->help);
		for (size_t i = 0; i < metrics->n; i++)
			family->write(sink, metrics->sources[i], family->name, family->which);
	}
	pthread_mutex_unlock(&metrics->lock);
}

int pm_prometheus_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	(void)err;
	return pm_metrics_add(output->metrics, record);
}

int pm_prometheus_page(struct pm_output *output, struct pm_error *err)
{
	char *temporary = NULL;
	int r = pm_sink_open_beside(&output->sink, output->path, &temporary, err);

	if (r < 0)
		return r;
	pm_metrics_write(output->metrics, &output->sink);
	r = pm_sink_replace(&output->sink, temporary, output->path,
			    output->options.sync != PM_SYNC_NEVER, err);
	free(temporary);
	return r;
}

int pm_prometheus_end(struct pm_output *output, struct pm_error *err)
{
	if (output->path)
		return PM_OK;
	pm_metrics_write(output->metrics, &output->sink);
	return pm_sink_check(&output->sink, err);
}
