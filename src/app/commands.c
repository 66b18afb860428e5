/* SPDX-License-Identifier: MIT */
/* Commands that print something and end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

/* Standard output is checked here, since full disks and closed pipes only show at the end. */
int printed(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	say("standard output: can't write: %s", strerror(errno));
	return EXIT_FAILED;
}

struct search {
	const char *text;
	unsigned long number, seen;
	bool named; /* an interface has the text as its name */
	char *found;
};

static void look_at_interface(void *ctx, const char *name, const char *text)
{
	struct search *search = ctx;

	(void)text;
	search->named |= search->text && strcmp(search->text, name) == 0;
	if (++search->seen == search->number && !search->found)
		search->found = strdup(name);
}

char *interface_find(const char *text)
{
	struct search search = { .text = text, .number = 1 };

	if (text && strspn(text, "0123456789") != strlen(text))
		return strdup(text);
	if (text)
		search.number = strtoul(text, NULL, 10);
	if (pm_capture_interfaces(look_at_interface, &search, NULL) < 0 || search.named ||
	    !search.found) {
		free(search.found);
		return text ? strdup(text) : NULL;
	}
	return search.found;
}

static void print_interface(void *ctx, const char *name, const char *text)
{
	int *n = ctx;

	printf("%d.%s%s%s\n", ++*n, name, text[0] ? " " : "", text);
}

int command_interfaces(void)
{
	struct pm_error err = { .line = 0 };
	int n = 0, r = pm_capture_interfaces(print_interface, &n, &err);

	if (r < 0) {
		say_error(&err, r);
		return EXIT_FAILED;
	}
	if (n == 0)
		say("no interface can be used; capturing needs rights: run as root");
	return printed(EXIT_DONE);
}

static void print_linktype(void *ctx, const char *name, const char *text)
{
	const char **interface = ctx;

	/* Not before there is something to list: what fails prints no heading. */
	if (*interface)
		printf("Link types of %s (use option -y to set):\n", *interface);
	*interface = NULL;
	printf("  %s%s%s%s\n", name, text[0] ? " (" : "", text, text[0] ? ")" : "");
}

int command_linktypes(const struct options *options)
{
	char *interface = interface_find(options->n_interfaces ? options->interfaces[0] : NULL);
	struct pm_error err = { .line = 0 };
	const char *heading;
	int r;

	if (!interface) {
		say("no interface to list link types of; name one with -i, or run as root");
		return EXIT_FAILED;
	}
	heading = interface;
	r = pm_capture_linktypes(interface, print_linktype, &heading, &err);
	if (r == PM_E_PERMISSION)
		say_permission(&err);
	else if (r < 0)
		say_error(&err, r);
	free(interface);
	return printed(r < 0 ? EXIT_FAILED : EXIT_DONE);
}

int command_schema(void)
{
	fwrite(schema_text, 1, schema_size, stdout);
	return printed(EXIT_DONE);
}

struct remarks {
	FILE *to;
	unsigned long n[PM_REMARK_N];
	unsigned long limit; /* of lines; 0: none */
};

static void print_remark(void *ctx, const struct pm_remark *remark)
{
	struct remarks *remarks = ctx;
	unsigned long before = 0;
	char place[32] = "";

	for (int k = 0; k < PM_REMARK_N; k++)
		before += remarks->n[k];
	remarks->n[remark->kind]++;
	if (remarks->limit && before >= remarks->limit)
		return;
	if (remark->line)
		snprintf(place, sizeof place, ":%d:%d", remark->line, remark->column);
	if (remarks->limit)
		say("%s%s: %s: %s", remark->file, place, pm_remark_name(remark->kind), remark->text);
	else
		fprintf(remarks->to, "%s%s: %s: %s\n", remark->file, place,
			pm_remark_name(remark->kind), remark->text);
}

static struct pm_rules_options rules_options(const struct options *options)
{
	return (struct pm_rules_options){
		.paths = options->rules,
		.n_paths = options->n_rules,
		.folder = pm_rules_folder(),
		.remark = print_remark,
	};
}

int rules_load(const struct options *options, uint64_t generation, struct pm_rules **ret_rules)
{
	struct pm_rules_options rules = rules_options(options);
	struct remarks remarks = { .to = stderr, .limit = 10 };
	struct pm_error err = { .line = 0 };
	unsigned long all;
	int r;

	rules.ctx = &remarks;
	rules.generation = generation;
	r = pm_rules_load(&rules, &err, ret_rules);
	all = remarks.n[PM_REMARK_WARNING] + remarks.n[PM_REMARK_ERROR];
	if (all > remarks.limit)
		say("%lu more remarks on the rules; --check-rules prints them all",
		    all - remarks.limit);
	/* Errors in lines have been remarked on; what else went wrong has not. */
	if (r < 0 && !remarks.n[PM_REMARK_ERROR])
		say_error(&err, r);
	return r;
}

int command_check_rules(const struct options *options)
{
	struct pm_rules_options rules = rules_options(options);
	struct remarks remarks = { .to = stdout };
	struct pm_error err = { .line = 0 };
	struct pm_rules *set = NULL;
	int r;

	rules.ctx = &remarks;
	rules.check = true;
	r = pm_rules_load(&rules, &err, &set);
	if (r < 0 && !remarks.n[PM_REMARK_ERROR])
		say_error(&err, r);
	fflush(stdout); /* the sum comes behind what it sums up */
	say("%zu rules, %lu conflicts, %lu shadowed, %lu warnings, %lu errors",
	    set ? pm_rules_entries(set) : 0, remarks.n[PM_REMARK_CONFLICT],
	    remarks.n[PM_REMARK_SHADOWED], remarks.n[PM_REMARK_WARNING],
	    remarks.n[PM_REMARK_ERROR]);
	pm_rules_unref(set);
	return printed(r == PM_OK ? EXIT_DONE : EXIT_RULES);
}

static const char *reason_text(enum pm_reason reason)
{
	static const char *const texts[] = {
		[PM_REASON_WINS] = "wins",
		[PM_REASON_HOST] = "its host= does not hold the address",
		[PM_REASON_SCOPE] = "a closer host= wins over it",
		[PM_REASON_PRIORITY] = "a higher priority wins over it",
		[PM_REASON_WIDTH] = "a narrower range wins over it",
		[PM_REASON_FILE] = "a later file wins over it",
		[PM_REASON_LINE] = "an earlier line wins over it",
	};
	_Static_assert(sizeof texts / sizeof *texts == PM_REASON_N, "explain every reason");

	return texts[reason];
}

static void print_rule(void *ctx, const struct pm_rule_view *view)
{
	int *n = ctx;
	char ports[16];

	snprintf(ports, sizeof ports, view->low == view->high ? "%u" : "%u-%u", view->low, view->high);
	printf("%s %s:%d: %s %s %s%spriority=%d%s%s%s%s%s%s: %s\n", ++*n == 1 ? "=>" : "  ", view->file,
	       view->line, view->name, ports, view->aliases, view->aliases[0] ? " " : "",
	       view->priority, view->host[0] ? " host=" : "", view->host,
	       view->category ? " category=" : "", view->category ? view->category : "",
	       view->initiates ? " initiates=yes" : "", view->metric ? " metric=port" : "",
	       reason_text(view->reason));
}

int command_explain(const struct options *options)
{
	enum pm_transport transport;
	struct pm_address address;
	struct pm_error err = { .line = 0 };
	struct pm_rules *rules = NULL;
	int ip_version, n = 0, r;
	uint16_t port;

	r = pm_rules_query(options->explain, &err, &transport, &port, &ip_version, &address);
	if (r < 0) {
		say("--explain %s: %s; ask like udp/5601 or udp/5601@192.0.2.1", options->explain,
		    err.text);
		return EXIT_USAGE;
	}
	if (rules_load(options, 1, &rules) < 0)
		return EXIT_RULES;
	r = pm_rules_explain(rules, transport, port, ip_version, &address, print_rule, &n);
	if (r < 0)
		say_error(&err, r);
	else if (n == 0)
		printf("no rule names %s port %u%s\n", pm_transport_name(transport), port,
		       port ? "" : ": port 0 is never a service's");
	pm_rules_unref(rules);
	return printed(r == PM_OK ? EXIT_DONE : EXIT_FAILED);
}
