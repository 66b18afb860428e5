/* SPDX-License-Identifier: MIT */
/*
 * --format prometheus: text exposition format 0.0.4. Counters run from the start of the program; a
 * port has its own series only where a rule says metric=port, so that their number stays bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "output-internal.h"

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
			pm_sink_write(sink, UTF8_REPLACEMENT, 3);
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
static void sample(struct sink *sink, const char *name, const struct pm_record *sum)
{
	pm_sink_text(sink, "portmeter_%s", name);
	write_label(sink, true, "interface", sum->source->name);
	if (sum->source->inner)
		write_label(sink, false, "tunnel", "inner");
}

static void value(struct sink *sink, uint64_t count)
{
	pm_sink_text(sink, "} %llu\n", (unsigned long long)count);
}

/* Which half of a pm_count a family of samples shows. */
enum half { PACKETS, BYTES };

static uint64_t half_of(struct pm_count count, enum half half)
{
	return half == PACKETS ? count.packets : count.bytes;
}

static void totals(struct sink *sink, const struct pm_record *sum, enum half half, const char *name)
{
	const struct {
		const char *ip;
		struct pm_count count;
	} rows[] = {
		{ "4", sum->ip4 },
		{ "6", sum->ip6 },
		{ "none",
		  { sum->totals.packets - sum->ip4.packets - sum->ip6.packets,
		    sum->totals.bytes - sum->ip4.bytes - sum->ip6.bytes } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		sample(sink, name, sum);
		write_label(sink, false, "ip", rows[i].ip);
		value(sink, half_of(rows[i].count, half));
	}
}

static void services(struct sink *sink, const struct pm_record *sum, enum half half,
		     const char *name)
{
	for (size_t i = 0; i < sum->n_services; i++) {
		const struct pm_service_row *row = &sum->services[i];
		const struct {
			const char *direction;
			struct pm_count count;
		} sides[] = {
			{ "to_service", row->to_service },
			{ "from_service", row->from_service },
			{ "symmetric", row->symmetric },
		};

		for (size_t s = 0; s < sizeof sides / sizeof *sides; s++) {
			sample(sink, name, sum);
			write_label(sink, false, "transport",
				    pm_transport_name((enum pm_transport)row->transport));
			write_label(sink, false, "service", row->service);
			write_label(sink, false, "direction", sides[s].direction);
			value(sink, half_of(sides[s].count, half));
		}
	}
}

static void unknown(struct sink *sink, const struct pm_record *sum, enum half half,
		    const char *name)
{
	for (size_t i = 0; i < sum->n_transports; i++) {
		sample(sink, name, sum);
		write_label(sink, false, "transport", pm_transport_name(sum->transports[i].transport));
		value(sink, half_of(sum->transports[i].unknown, half));
	}
}

static void no_port(struct sink *sink, const struct pm_record *sum, enum half half,
		    const char *name)
{
	for (size_t i = 0; i < sum->n_no_port; i++) {
		const struct pm_no_port_row *row = &sum->no_port[i];
		char number[16] = "";

		if (row->protocol >= 0)
			snprintf(number, sizeof number, "%d", row->protocol);
		sample(sink, name, sum);
		write_label(sink, false, "reason", pm_verdict_name(row->reason));
		write_label(sink, false, "protocol", number);
		value(sink, half_of(row->count, half));
	}
}

static void facets(struct sink *sink, const struct pm_record *sum, enum half half, const char *name)
{
	for (int f = 0; f < PM_FACET_N; f++) {
		sample(sink, name, sum);
		write_label(sink, false, "code", pm_facet_name((enum pm_facet)f));
		value(sink, half_of(sum->facets[f], half));
	}
}

static void ports(struct sink *sink, const struct pm_record *sum, enum half half, const char *name)
{
	for (size_t i = 0; i < sum->n_ports; i++) {
		const struct pm_port_row *row = &sum->ports[i];
		char number[16];

		if (!row->metric)
			continue;
		snprintf(number, sizeof number, "%u", row->port);
		for (int to = 0; to < 2; to++) {
			sample(sink, name, sum);
			write_label(sink, false, "transport",
				    pm_transport_name((enum pm_transport)row->transport));
			write_label(sink, false, "port", number);
			write_label(sink, false, "service", row->service ? row->service : "");
			write_label(sink, false, "direction", to ? "dst" : "src");
			value(sink, half_of(to ? row->dst : row->src, half));
		}
	}
}

static void dropped(struct sink *sink, const struct pm_record *sum, enum half half,
		    const char *name)
{
	const struct pm_capture_figures *figures = &sum->capture;

	(void)half;
	if (figures->dropped_kernel_known) {
		sample(sink, name, sum);
		write_label(sink, false, "where", "kernel");
		value(sink, figures->dropped_kernel);
	}
	if (figures->dropped_interface_known) {
		sample(sink, name, sum);
		write_label(sink, false, "where", "interface");
		value(sink, figures->dropped_interface);
	}
}

static void received(struct sink *sink, const struct pm_record *sum, enum half half,
		     const char *name)
{
	(void)half;
	if (!sum->capture.received_known)
		return;
	sample(sink, name, sum);
	value(sink, sum->capture.received);
}

static void down(struct sink *sink, const struct pm_record *sum, enum half half, const char *name)
{
	(void)half;
	if (!sum->source->live)
		return;
	sample(sink, name, sum);
	pm_sink_text(sink, "} %.3f\n", (double)(sum->capture.down_ns / 1000000) / 1000);
}

static void interval_end(struct sink *sink, const struct pm_record *sum, enum half half,
			 const char *name)
{
	(void)half;
	sample(sink, name, sum);
	pm_sink_text(sink, "} %.3f\n", (double)(sum->interval.end_ns / 1000000) / 1000);
}

static void rules_entries(struct sink *sink, const struct pm_record *sum, enum half half,
			  const char *name)
{
	(void)half;
	sample(sink, name, sum);
	value(sink, pm_rules_entries(sum->rules));
}

static void rules_generation(struct sink *sink, const struct pm_record *sum, enum half half,
			     const char *name)
{
	(void)half;
	sample(sink, name, sum);
	value(sink, pm_rules_generation(sum->rules));
}

/* Families of samples; one row each, in the order of the page. */
static const struct family {
	const char *name, *type, *help;
	void (*write)(struct sink *sink, const struct pm_record *sum, enum half half,
		      const char *name);
	enum half half;
} families[] = {
	{ "packets_total", "counter", "Frames counted, by IP version.", totals, PACKETS },
	{ "bytes_total", "counter", "Wire bytes of all frames, by IP version.", totals, BYTES },
	{ "service_packets_total", "counter", "Frames of a service.", services, PACKETS },
	{ "service_bytes_total", "counter", "Wire bytes of a service's frames.", services, BYTES },
	{ "unknown_packets_total", "counter", "Frames with ports but no label.", unknown, PACKETS },
	{ "unknown_bytes_total", "counter", "Wire bytes of frames with ports but no label.", unknown,
	  BYTES },
	{ "no_port_packets_total", "counter", "Frames without ports, by reason.", no_port, PACKETS },
	{ "no_port_bytes_total", "counter", "Wire bytes of frames without ports, by reason.",
	  no_port, BYTES },
	{ "port_packets_total", "counter", "Frames of ports whose rule says metric=port.", ports,
	  PACKETS },
	{ "port_bytes_total", "counter", "Wire bytes of ports whose rule says metric=port.", ports,
	  BYTES },
	{ "facet_packets_total", "counter", "Frames with an oddity, counted elsewhere too.", facets,
	  PACKETS },
	{ "facet_bytes_total", "counter", "Wire bytes of frames with an oddity.", facets, BYTES },
	{ "capture_received_packets_total", "counter", "Frames that passed the kernel's filter.",
	  received, PACKETS },
	{ "capture_dropped_packets_total", "counter", "Frames lost before they were counted.",
	  dropped, PACKETS },
	{ "capture_down_seconds_total", "counter", "Time that the interface was down or gone.", down,
	  PACKETS },
	{ "interval_end_timestamp_seconds", "gauge", "End of the newest interval in these numbers.",
	  interval_end, PACKETS },
	{ "rules_entries", "gauge", "Rules in force.", rules_entries, PACKETS },
	{ "rules_generation", "gauge", "How often rules were loaded.", rules_generation, PACKETS },
};

static void talk_services(struct sink *sink, const struct pm_record *sum,
			  enum pm_talk_figure figure, const char *name)
{
	for (size_t i = 0; i < sum->n_services; i++) {
		const struct pm_service_row *row = &sum->services[i];

		if (!(row->talk_known >> figure & 1))
			continue;
		sample(sink, name, sum);
		write_label(sink, false, "transport",
			    pm_transport_name((enum pm_transport)row->transport));
		write_label(sink, false, "service", row->service);
		value(sink, row->talk[figure]);
	}
}

static void talk_unknown(struct sink *sink, const struct pm_record *sum, enum pm_talk_figure figure,
			 const char *name)
{
	if (!(sum->unknown.talk_known >> figure & 1))
		return;
	sample(sink, name, sum);
	value(sink, sum->unknown.talk[figure]);
}

static void talk_ports(struct sink *sink, const struct pm_record *sum, enum pm_talk_figure figure,
		       const char *name)
{
	(void)figure; /* ports have sessions alone */
	for (size_t i = 0; i < sum->n_ports; i++) {
		const struct pm_port_row *row = &sum->ports[i];
		char number[16];

		if (!row->metric || !row->talk)
			continue;
		snprintf(number, sizeof number, "%u", row->port);
		sample(sink, name, sum);
		write_label(sink, false, "transport",
			    pm_transport_name((enum pm_transport)row->transport));
		write_label(sink, false, "port", number);
		write_label(sink, false, "service", row->service ? row->service : "");
		value(sink, row->sessions);
	}
}

/* Families of what conversations were; those of addresses would not add up. */
static const struct talk_family {
	const char *name, *help;
	enum pm_talk_figure figure;
	void (*write)(struct sink *sink, const struct pm_record *sum, enum pm_talk_figure figure,
		      const char *name);
} talk_families[] = {
	{ "service_sessions_total", "Sessions of a service: handshakes completed, or new pairs.",
	  PM_TALK_SESSIONS, talk_services },
	{ "service_syn_total", "TCP connections that were asked of a service.", PM_TALK_SYN,
	  talk_services },
	{ "service_refused_total", "Attempts that a service refused.", PM_TALK_REFUSED,
	  talk_services },
	{ "service_unanswered_total", "Attempts that a service left without an answer.",
	  PM_TALK_UNANSWERED, talk_services },
	{ "unknown_sessions_total", "Sessions of ports without a label.", PM_TALK_SESSIONS,
	  talk_unknown },
	{ "unknown_syn_total", "TCP connections that were asked of ports without a label.",
	  PM_TALK_SYN, talk_unknown },
	{ "unknown_refused_total", "Attempts that ports without a label refused.", PM_TALK_REFUSED,
	  talk_unknown },
	{ "unknown_unanswered_total", "Attempts that ports without a label left without an answer.",
	  PM_TALK_UNANSWERED, talk_unknown },
	{ "port_sessions_total", "Sessions of ports whose rule says metric=port.", PM_TALK_SESSIONS,
	  talk_ports },
};

static void write_talk(struct sink *sink, const struct pm_output *output)
{
	bool any = false;

	for (size_t i = 0; i < output->n_sums; i++)
		any |= output->sums[i]->talk;
	for (size_t f = 0; any && f < sizeof talk_families / sizeof *talk_families; f++) {
		const struct talk_family *family = &talk_families[f];

		metric(sink, family->name, "counter", family->help);
		for (size_t i = 0; i < output->n_sums; i++)
			family->write(sink, output->sums[i], family->figure, family->name);
	}
}

static void write_page(struct sink *sink, struct pm_output *output)
{
	metric(sink, "build_info", "gauge", "The program that made these numbers.");
	pm_sink_text(sink, "portmeter_build_info{version=\"%s\"} 1\n", pm_version());
	for (size_t f = 0; output->n_sums && f < sizeof families / sizeof *families; f++) {
		const struct family *family = &families[f];

		metric(sink, family->name, family->type, family->help);
		for (size_t i = 0; i < output->n_sums; i++)
			family->write(sink, output->sums[i], family->half, family->name);
	}
	write_talk(sink, output);
}

static int sum_add(struct pm_output *output, const struct pm_record *record)
{
	struct pm_record **sums;
	size_t i = 0;
	int r;

	while (i < output->n_sums && output->sums[i]->source != record->source)
		i++;
	if (i < output->n_sums)
		return pm_record_add(&output->sums[i], record);
	sums = realloc(output->sums, (i + 1) * sizeof *sums);
	if (!sums)
		return PM_E_MEMORY;
	output->sums = sums;
	sums[i] = NULL;
	r = pm_record_add(&sums[i], record);
	if (r == PM_OK)
		output->n_sums++;
	return r;
}

int pm_prometheus_record(struct pm_output *output, struct pm_record *record, struct pm_error *err)
{
	(void)err;
	return sum_add(output, record);
}

int pm_prometheus_page(struct pm_output *output, struct pm_error *err)
{
	char *temporary = NULL;
	int r = pm_sink_open_beside(&output->sink, output->path, &temporary, err);

	if (r < 0)
		return r;
	write_page(&output->sink, output);
	r = pm_sink_replace(&output->sink, temporary, output->path,
			    output->options.sync != PM_SYNC_NEVER, err);
	free(temporary);
	return r;
}

int pm_prometheus_end(struct pm_output *output, struct pm_error *err)
{
	if (output->path)
		return PM_OK;
	write_page(&output->sink, output);
	return pm_sink_check(&output->sink, err);
}
