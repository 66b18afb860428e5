/* SPDX-License-Identifier: MIT */
/*
 * --explain-frame: what a frame counts as, and why, for people to read. The rungs of the ladder
 * from the top to the one that has decided, each with what it found.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app.h"

/* The ports that systems draw for clients begin here, as in the ladder's rung `ephemeral`. */
#define EPHEMERAL 32768
/* An address and a port: "[2001:db8::1]:443". */
#define END_TEXT_SIZE (PM_ADDRESS_TEXT_SIZE + 10)

/* One end of the frame. */
struct end {
	char host[PM_ADDRESS_TEXT_SIZE];
	char text[END_TEXT_SIZE];
	uint16_t port;
	bool labelled;
	struct pm_rule_view rule; /* with labelled: the one that names the port at this address */
	const struct pm_end_grounds *grounds;
};

struct account {
	const struct pm_frame_report *report;
	const struct pm_grounds *grounds;
	uint8_t transport;
	bool udp;
	struct end src, dst;
};

/* How opening, accepting and resetting are called. */
static const char *const setup_words[PM_TRANSPORT_N][PM_SETUP_N] = {
	[PM_TRANSPORT_TCP] = { [PM_SETUP_OPEN] = "SYN",
			       [PM_SETUP_ACCEPT] = "SYN-ACK",
			       [PM_SETUP_RESET] = "RST" },
	[PM_TRANSPORT_SCTP] = { [PM_SETUP_OPEN] = "INIT",
				[PM_SETUP_ACCEPT] = "INIT ACK",
				[PM_SETUP_RESET] = "ABORT" },
	[PM_TRANSPORT_DCCP] = { [PM_SETUP_OPEN] = "Request",
				[PM_SETUP_ACCEPT] = "Response",
				[PM_SETUP_RESET] = "Reset" },
};

static bool is_rung(const struct account *a, enum pm_rung rung)
{
	return a->report->decision.rung == rung;
}

/* The end that serves, if one alone does; and the other. */
static const struct end *server_of(const struct account *a)
{
	return a->report->decision.side == PM_SIDE_SRC ? &a->src : &a->dst;
}

static const struct end *client_of(const struct account *a)
{
	return server_of(a) == &a->src ? &a->dst : &a->src;
}

static void take_winner(void *ctx, const struct pm_rule_view *view)
{
	struct end *end = ctx;

	if (view->reason == PM_REASON_WINS && !end->labelled) {
		end->labelled = true;
		end->rule = *view;
	}
}

static int fill_end(struct end *end, const struct pm_frame_report *report, int ip_version,
		    const struct pm_address *address, uint16_t port, bool optional)
{
	pm_address_text(ip_version, address, end->host);
	if (port == 0 && optional)
		snprintf(end->text, sizeof end->text, "%s (no port)", end->host);
	else
		snprintf(end->text, sizeof end->text, ip_version == 6 ? "[%s]:%u" : "%s:%u",
			 end->host, port);
	end->port = port;
	return pm_rules_explain(report->rules, (enum pm_transport)report->transport, port,
				ip_version, address, take_winner, end);
}

/* Each of the following prints what a rung, or a part of one, has found. */

static void zero(const struct account *a)
{
	if (is_rung(a, PM_RUNG_ZERO))
		printf("  zero: the source has no port, so the destination serves\n");
	else if (a->src.port == 0 || a->dst.port == 0)
		printf("  zero: port 0 is reserved, and never the side\n");
	else
		printf("  zero: both have a port\n");
}

/* A frame that opens, accepts or resets. */
static void set_up(const struct account *a, const char *const words[PM_SETUP_N])
{
	const struct end *opener = &a->src;
	const char *word = words[a->grounds->setup];

	if (a->grounds->setup == PM_SETUP_ACCEPT ||
	    (a->grounds->setup == PM_SETUP_RESET && a->dst.grounds->opened &&
	     !a->dst.grounds->answered))
		opener = &a->dst;
	if (a->grounds->setup == PM_SETUP_OPEN)
		printf("  handshake: %s", word);
	else if (opener == &a->src)
		printf("  handshake: %s of who sent the %s in frame %" PRIu64, word,
		       words[PM_SETUP_OPEN], opener->grounds->opened);
	else
		printf("  handshake: %s to the %s in frame %" PRIu64, word, words[PM_SETUP_OPEN],
		       opener->grounds->opened);
	if (opener == server_of(a))
		printf(", which a service sends itself from port %u (initiates=yes)", opener->port);
	printf("\n");
}

static void handshake(const struct account *a)
{
	const char *const *words = setup_words[a->transport];

	if (a->udp)
		printf("  handshake: %s has none\n",
		       pm_transport_name((enum pm_transport)a->transport));
	else if (is_rung(a, PM_RUNG_HANDSHAKE))
		set_up(a, words);
	else if (a->grounds->setup == PM_SETUP_ACCEPT)
		printf("  handshake: %s, but no %s has asked for it: not trusted\n",
		       words[PM_SETUP_ACCEPT], words[PM_SETUP_OPEN]);
	else if (a->grounds->setup == PM_SETUP_RESET)
		printf("  handshake: %s, but no %s is on its way\n", words[PM_SETUP_RESET],
		       words[PM_SETUP_OPEN]);
	else if (a->grounds->setup == PM_SETUP_OPEN)
		printf("  handshake: %s to port 0\n", words[PM_SETUP_OPEN]);
	else
		printf("  handshake: no %s, %s or %s\n", words[PM_SETUP_OPEN],
		       words[PM_SETUP_ACCEPT], words[PM_SETUP_RESET]);
}

/* Endpoints that were seen to serve. */
static void learned(const struct account *a)
{
	const struct end *server = server_of(a), *client = client_of(a);
	bool decided = is_rung(a, PM_RUNG_LEARNED) && !a->grounds->weighed;

	if (a->udp)
		return;
	if (a->src.port == 0 || a->dst.port == 0) {
		printf("  learned: port 0 is no endpoint\n");
		return;
	}
	if (a->src.grounds->served && a->dst.grounds->served) {
		printf("  learned: both have served, %s since frame %" PRIu64
		       ", %s since frame %" PRIu64 "; ",
		       a->src.text, a->src.grounds->since, a->dst.text, a->dst.grounds->since);
		if (decided)
			printf("this conversation was set up with %s as the client\n", client->text);
		else
			printf("how this conversation was set up is not known\n");
	} else if (decided && server->grounds->served) {
		printf("  learned: %s has served since frame %" PRIu64 "\n", server->text,
		       server->grounds->since);
	} else if (decided) {
		printf("  learned: %s goes on with what it opened in frame %" PRIu64
		       ", so it was accepted\n",
		       client->text, client->grounds->opened);
	} else {
		printf("  learned: neither end was seen to serve\n");
	}
}

/* Rules with host=. */
static void rule(const struct account *a)
{
	bool src = a->src.labelled && a->src.rule.host[0];
	bool dst = a->dst.labelled && a->dst.rule.host[0];

	if (is_rung(a, PM_RUNG_RULE))
		printf("  rule: host=%s fits %s alone\n", server_of(a)->rule.host,
		       server_of(a)->text);
	else if (src && dst)
		printf("  rule: rules with host= fit both ends\n");
	else
		printf("  rule: no rule with host= fits\n");
}

static void symmetric(const struct account *a)
{
	if (is_rung(a, PM_RUNG_SYMMETRIC))
		printf("  symmetric: both ports are %u\n", a->src.port);
	else
		printf("  symmetric: the ports differ\n");
}

/* What has spoken where labels are weak. */
static void print_weight(const struct account *a)
{
	const struct pm_grounds *grounds = a->grounds;
	const struct end *first = grounds->src_first ? &a->src : &a->dst;
	const struct end *called = &a->src, *caller = &a->dst;

	switch ((enum pm_weight)grounds->weight) {
	case PM_WEIGHT_GROUP:
		printf("%s is a group, which can only be asked", a->dst.host);
		return;
	case PM_WEIGHT_TRUSTED:
		printf("%s spoke first, and who does is the client here (%" PRIu32
		       " times by strong labels, %" PRIu32 " times not)",
		       first->text, grounds->agree, grounds->disagree);
		return;
	case PM_WEIGHT_CALLERS:
		if (!called->grounds->called_again || !called->grounds->called_both) {
			called = &a->dst;
			caller = &a->src;
		}
		printf("%s has talked with %s from other ports too (first from %u)", caller->host,
		       called->text, called->grounds->caller_port);
		return;
	case PM_WEIGHT_HOSTS:
		if (caller->grounds->server || !caller->grounds->client)
			caller = &a->src;
		printf("%s was a client before, and never a server", caller->host);
		return;
	case PM_WEIGHT_FIRST:
		printf("%s spoke first, and nothing else is known", first->text);
		return;
	case PM_WEIGHT_PASSED_OVER:
		printf("skipped, since of a flood of strangers only one in 16 is looked at");
		return;
	case PM_WEIGHT_NOTHING:
	case PM_WEIGHT_N:
		break;
	}
	printf("no address is known as a client alone, or to call from several ports");
	if (a->udp && !grounds->sure)
		printf("; who spoke first is not known for sure");
	else if (a->udp)
		printf("; %s spoke first", first->text);
}

/* Earlier conversations, where labels are weak. */
static void weighed(const struct account *a)
{
	if (!a->grounds->weighed)
		return;
	printf("  both labels are weak (priority below 50, port from 1024), so what was before counts:\n"
	       "  learned: ");
	print_weight(a);
	if (!is_rung(a, PM_RUNG_LEARNED) && a->grounds->weight != PM_WEIGHT_NOTHING &&
	    a->grounds->weight != PM_WEIGHT_PASSED_OVER)
		printf(is_rung(a, PM_RUNG_SCORE) && a->grounds->weight == PM_WEIGHT_GROUP
			       ? ", but has a port that may be a client's"
			       : "; the labels say the same");
	printf("\n");
}

static void known(const struct account *a)
{
	if (is_rung(a, PM_RUNG_KNOWN))
		printf("  known: port %u alone has a label\n", server_of(a)->port);
	else
		printf("  known: %s has a label\n", a->src.labelled ? "each port" : "neither port");
}

static void score(const struct account *a)
{
	const struct end *server = server_of(a), *client = client_of(a);

	if (!is_rung(a, PM_RUNG_SCORE))
		return;
	if (server->rule.priority != client->rule.priority)
		printf("  score: priority %d of %u over %d of %u\n", server->rule.priority,
		       server->port, client->rule.priority, client->port);
	else if (server->port < PM_SYSTEM_PORTS && client->port >= PM_SYSTEM_PORTS)
		printf("  score: of equal priorities, %u is a system port\n", server->port);
	else if (server == &a->dst && server->port > client->port)
		printf("  score: of equal priorities, %s is a group\n", server->host);
	else
		printf("  score: of equal priorities, %u is the lower port\n", server->port);
}

static void ephemeral(const struct account *a)
{
	if (a->src.labelled || a->dst.labelled)
		return;
	if (is_rung(a, PM_RUNG_EPHEMERAL))
		printf("  ephemeral: %u lies in 32768-65535, and %u does not\n", client_of(a)->port,
		       server_of(a)->port);
	else
		printf("  ephemeral: %s in 32768-65535\n",
		       a->src.port >= EPHEMERAL ? "both ports lie" : "neither port lies");
}

static void unknown(const struct account *a)
{
	if (is_rung(a, PM_RUNG_UNKNOWN))
		printf("  unknown: so no port is the side\n");
}

/* From the top; a rung that remembers speaks at two heights. */
static const struct {
	void (*print)(const struct account *a);
	enum pm_rung rung; /* behind which, if it has decided, there is nothing to say */
} rungs[] = {
	{ zero, PM_RUNG_ZERO },           { handshake, PM_RUNG_HANDSHAKE },
	{ learned, PM_RUNG_N },           { rule, PM_RUNG_RULE },
	{ symmetric, PM_RUNG_SYMMETRIC }, { weighed, PM_RUNG_LEARNED },
	{ known, PM_RUNG_KNOWN },         { score, PM_RUNG_SCORE },
	{ ephemeral, PM_RUNG_EPHEMERAL }, { unknown, PM_RUNG_UNKNOWN },
};

static void print_rungs(const struct account *a)
{
	bool learned_above = is_rung(a, PM_RUNG_LEARNED) && !a->grounds->weighed;

	printf("why:\n");
	for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++) {
		rungs[i].print(a);
		if (is_rung(a, rungs[i].rung) || (learned_above && rungs[i].print == learned))
			return;
	}
}

static void print_label(const struct end *end)
{
	if (end->labelled)
		printf("  port %u: %s, priority %d%s%s, %s:%d\n", end->port, end->rule.name,
		       end->rule.priority, end->rule.host[0] ? ", host=" : "", end->rule.host,
		       end->rule.file, end->rule.line);
	else if (end->port)
		printf("  port %u: no label\n", end->port);
}

/* A frame with ports, of its own or, if it is a later fragment, of its first. */
static int print_ports(const struct pm_frame_report *report)
{
	const struct pm_frame_grounds *why = report->why;
	const struct pm_fragment_origin *origin = &why->origin;
	bool later = origin->number != 0;
	struct account a = { .report = report, .grounds = &why->grounds };
	int version = later ? origin->ip_version : why->packet.ip_version;
	const char *label = pm_rules_name(report->rules, report->decision.service);
	int r;

	a.transport = report->transport;
	a.udp = pm_transport_source_optional((enum pm_transport)a.transport);
	a.src.grounds = &why->grounds.src;
	a.dst.grounds = &why->grounds.dst;
	r = fill_end(&a.src, report, version, later ? &origin->src : &why->packet.src,
		     report->src_port, a.udp);
	if (r == PM_OK)
		r = fill_end(&a.dst, report, version, later ? &origin->dst : &why->packet.dst,
			     report->dst_port, false);
	if (r < 0)
		return r;
	printf("  %s, %s to %s\n", pm_transport_name((enum pm_transport)a.transport), a.src.text,
	       a.dst.text);
	print_label(&a.src);
	print_label(&a.dst);
	printf("side: %s", pm_side_name((enum pm_side)report->decision.side));
	if (report->decision.side == PM_SIDE_SRC || report->decision.side == PM_SIDE_DST)
		printf(", %s", server_of(&a)->text);
	printf("\nlabel: %s\nrung: %s\n", label ? label : "none",
	       pm_rung_name((enum pm_rung)report->decision.rung));
	if (later)
		printf("why:\n"
		       "  a later fragment: it counts as frame %" PRIu64
		       " does, in which its datagram begins\n",
		       origin->number);
	else
		print_rungs(&a);
	return PM_OK;
}

static void print_no_port(const struct pm_frame_report *report)
{
	const struct pm_packet *packet = &report->why->packet;
	char src[PM_ADDRESS_TEXT_SIZE], dst[PM_ADDRESS_TEXT_SIZE];
	const char *protocol = pm_protocol_name(report->ip_protocol);

	if (packet->ip_version) {
		pm_address_text(packet->ip_version, &packet->src, src);
		pm_address_text(packet->ip_version, &packet->dst, dst);
		printf("  IPv%u, %s to %s\n", packet->ip_version, src, dst);
	}
	printf("no port: %s\nwhy:\n", pm_verdict_name((enum pm_verdict)report->verdict));
	switch ((enum pm_verdict)report->verdict) {
	case PM_VERDICT_NON_IP:
		printf("  there is no IP layer, or none that is read, or it ends before one\n");
		break;
	case PM_VERDICT_NO_PORTS_PROTOCOL:
		printf("  IP protocol %u%s%s%s has no ports\n", report->ip_protocol,
		       protocol ? " (" : "", protocol ? protocol : "", protocol ? ")" : "");
		if (report->why->origin.number)
			printf("  a later fragment: it counts as frame %" PRIu64
			       " does, in which its datagram begins\n",
			       report->why->origin.number);
		break;
	case PM_VERDICT_FRAGMENT:
		printf("  a later fragment (identification %" PRIu32
		       "), whose first was not there by the end of the interval\n",
		       packet->fragment_id);
		break;
	case PM_VERDICT_HEADER_TRUNCATED:
		printf("  the capture ends before the ports: it holds too little of the frame\n");
		break;
	case PM_VERDICT_MALFORMED:
		printf("  before the ports it contradicts itself, or it is nested too deep\n");
		break;
	case PM_VERDICT_PORTS:
	case PM_VERDICT_N:
		break;
	}
}

int explain_frame(const struct pm_source *source, const struct pm_frame_report *report)
{
	char time[PM_TIME_TEXT_SIZE];

	pm_time_text(report->time_ns, time);
	printf("frame %" PRIu64 ", %s, %" PRIu32 " bytes, %s%s\n", report->number, time,
	       report->wire, source->name, source->inner ? ", inside of its tunnels" : "");
	if (report->verdict == PM_VERDICT_PORTS)
		return print_ports(report);
	print_no_port(report);
	return PM_OK;
}
