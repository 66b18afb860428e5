/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a rules file: they load or are refused, always alike, from memory and from a file, and
 * the set can be asked: what a first line "#?udp/53@192.0.2.1" says. Behind a line "#+" they join the shipped
 * rules, as a file of a folder.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "portmeter/service.h"
#include "require.h"

struct seen {
	size_t remarks, errors;
};

static void on_remark(void *ctx, const struct pm_remark *remark)
{
	struct seen *seen = ctx;

	seen->remarks++;
	seen->errors += remark->kind == PM_REMARK_ERROR;
	REQUIRE(remark->kind < PM_REMARK_N && remark->file && remark->text[0]);
	REQUIRE(remark->line >= 0 && remark->column >= 0 && remark->column <= 4097);
	for (const char *c = remark->text; *c; c++)
		REQUIRE((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static int load(const uint8_t *data, size_t size, struct seen *seen, struct pm_rules **ret_rules)
{
	struct pm_rules_options options = { .remark = on_remark, .ctx = seen, .check = true };
	char *copy = malloc(size ? size : 1);
	int code;

	REQUIRE(copy);
	if (size)
		memcpy(copy, data, size);
	*seen = (struct seen){ 0 };
	code = pm_rules_load_text("fuzz.rules", copy, size, &options, NULL, ret_rules);
	free(copy);
	REQUIRE(code == 0 || code == PM_E_RULES);
	REQUIRE((code == 0) == (seen->errors == 0) || seen->remarks > 1000);
	return code;
}

static int load_paths(const struct pm_rules_options *options, struct seen *seen,
		      struct pm_rules **ret_rules)
{
	int code;

	*seen = (struct seen){ 0 };
	code = pm_rules_load(options, NULL, ret_rules);
	REQUIRE(code == 0 || code == PM_E_RULES);
	return code;
}

/* The same from a file, which lives in memory. */
static int load_file(const uint8_t *data, size_t size, struct seen *seen, struct pm_rules **ret_rules)
{
	char path[64];
	const char *const paths[] = { path };
	const struct pm_rules_options options = {
		.paths = paths, .n_paths = 1, .remark = on_remark, .ctx = seen, .check = true
	};
	int fd = memfd_create("rules", MFD_CLOEXEC), code;

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	code = load_paths(&options, seen, ret_rules);
	close(fd);
	return code;
}

static char shelf[256]; /* a folder */

static void remove_folder(void)
{
	rmdir(shelf);
}

/* Of this process. What it holds is one file, which each call writes anew. */
static const char *folder_once(void)
{
	const char *parent = getenv("TMPDIR");

	if (!shelf[0]) {
		snprintf(shelf, sizeof shelf, "%s/portmeter-fuzz-XXXXXX", parent ? parent : "/tmp");
		REQUIRE(mkdtemp(shelf));
		atexit(remove_folder);
	}
	return shelf;
}

static void join_shipped(const uint8_t *data, size_t size)
{
	const char *folder = folder_once();
	struct seen seen;
	const struct pm_rules_options options = { .folder = folder, .remark = on_remark, .ctx = &seen };
	const struct pm_rules_options instead = {
		.paths = &folder, .n_paths = 1, .remark = on_remark, .ctx = &seen
	};
	struct pm_rules *rules = NULL;
	char path[300];
	int fd;

	snprintf(path, sizeof path, "%s/50-fuzz.rules", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	if (load_paths(&options, &seen, &rules) == 0)
		REQUIRE(pm_rules_entries(rules) > 1000);
	pm_rules_unref(rules);
	rules = NULL;
	if (load_paths(&instead, &seen, &rules) == 0)
		REQUIRE(pm_rules_entries(rules) <= size);
	pm_rules_unref(rules);
	REQUIRE(unlink(path) == 0);
}

struct asked {
	const struct pm_rules *rules;
	size_t views, wins;
	uint16_t port;
	const char *winner;
};

static void on_view(void *ctx, const struct pm_rule_view *view)
{
	struct asked *asked = ctx;

	REQUIRE(view->low <= asked->port && asked->port <= view->high);
	REQUIRE(view->name[0] && view->priority >= 0 && view->priority <= 100);
	REQUIRE((view->prefix < 0) == (view->host[0] == '\0'));
	REQUIRE(view->reason != PM_REASON_WINS || asked->views == 0);
	if (view->reason == PM_REASON_WINS)
		asked->winner = view->name;
	asked->views++;
}

/* The tables must say what the rules, looked at one by one, say. */
static void ask(const struct pm_rules *rules, enum pm_transport transport, uint16_t port,
		int version, const struct pm_address *address)
{
	struct pm_packet packet = { .verdict = PM_VERDICT_PORTS };
	struct asked asked = { .rules = rules, .port = port };
	struct pm_decision decision;
	const char *name;

	packet.ip_version = (uint8_t)version;
	packet.transport = (uint8_t)transport;
	packet.dst = *address;
	packet.dst_port = port;
	decision = pm_side_decide(rules, &packet);
	name = pm_rules_name(rules, decision.service);
	REQUIRE(pm_rules_explain(rules, transport, port, version, address, on_view, &asked) == 0);
	REQUIRE(name ? asked.winner && strcmp(asked.winner, name) == 0 : !asked.winner);
	packet.src_port = (uint16_t)(port * 7u + 1);
	packet.src = *address;
	decision = pm_side_decide(rules, &packet);
	REQUIRE(decision.side < PM_SIDE_N && decision.rung < PM_RUNG_N);
	REQUIRE(decision.service <= pm_rules_services(rules));
	REQUIRE(decision.side != PM_SIDE_SRC || packet.src_port);
	REQUIRE(decision.side != PM_SIDE_DST || port);
}

/* As --explain does. */
static void ask_in_words(const struct pm_rules *rules, const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	size_t length = end ? (size_t)(end - data) : size;
	struct asked asked = { .rules = rules };
	struct pm_error err = { .line = 0 };
	enum pm_transport transport;
	struct pm_address address;
	char line[256];
	int version, code;

	if (length >= sizeof line)
		return;
	memcpy(line, data, length);
	line[length] = '\0';
	code = pm_rules_query(line, &err, &transport, &asked.port, &version, &address);
	REQUIRE(code == 0 || (code == PM_E_INVALID && err.text[0]));
	if (code == 0)
		REQUIRE(pm_rules_explain(rules, transport, asked.port, version, &address, on_view, &asked) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ports[] = { 0, 1, 22, 53, 80, 443, 1000, 8443, 32768, 65535 };
	struct pm_rules *rules = NULL, *again = NULL;
	struct seen first, second;
	struct pm_address address = { { 192, 0, 2, 1 } };
	int code = load(data, size, &first, &rules);

	REQUIRE(load_file(data, size, &second, &again) == code);
	REQUIRE(first.remarks == second.remarks);
	if (code)
		return 0;
	REQUIRE(pm_rules_entries(rules) == pm_rules_entries(again));
	REQUIRE(pm_rules_conflicts(rules) == pm_rules_conflicts(again));
	REQUIRE(pm_rules_services(rules) == pm_rules_services(again));
	for (uint32_t i = 1; i <= pm_rules_services(rules); i++)
		REQUIRE(strcmp(pm_rules_name(rules, i), pm_rules_name(again, i)) == 0);
	for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
		for (int t = 0; t < PM_TRANSPORT_N; t++) {
			ask(rules, (enum pm_transport)t, ports[i], 4, &address);
			ask(rules, (enum pm_transport)t, ports[i], 6, &address);
		}
	}
	if (size > 2 && memcmp(data, "#?", 2) == 0)
		ask_in_words(rules, data + 2, size - 2);
	if (size > 3 && memcmp(data, "#+\n", 3) == 0)
		join_shipped(data, size);
	pm_rules_unref(rules);
	pm_rules_unref(again);
	return 0;
}
