/* SPDX-License-Identifier: MIT */
/*
 * From a list of rules to tables. Rules of one host (or of any address) and one transport
 * make a bucket. A bucket's rules, best first, paint the ports that are still free; what
 * comes out are segments that do not overlap. Searching and painting together stay within
 * O(n log n), however wide the ranges are and however much they overlap.
 */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

#define NOBODY UINT32_MAX

struct compile {
	struct pm_rules *rules;
	const struct pm_list *list; /* the rules' */
	struct pm_report *report;
	bool check;
	uint32_t *group_of; /* by host number; group 0 holds the rules for any address */
	uint32_t *begin;    /* of each bucket in members, and the end of the last */
	uint32_t *members;  /* rules by bucket, best first */
	size_t n_buckets, largest;
	uint32_t *winner; /* by rule: NOBODY when it won some port, else who won its lowest */
	uint8_t *winner_transport;
	size_t n_segments, segments_room;
	uint64_t *keys, *spare; /* to sort by; room for both edges of all rules */
	/* Room to work in, for the largest bucket. */
	uint32_t *from, *to; /* by member: the cells that it covers */
	uint32_t *edge;      /* by cell: the first port of it */
	uint32_t *next;      /* by cell: itself if free, else one closer to the next that is */
	uint32_t *owner;     /* by cell: member */
};

/* The order within one scope: priority, width, file, line, in one number. */
static int order_rules(struct compile *c)
{
	const struct pm_list *list = c->list;
	uint32_t *order = malloc((list->n + 1) * sizeof *order);

	c->rules->order = order;
	c->keys = malloc((list->n * 2 + 1) * sizeof *c->keys);
	c->spare = malloc((list->n * 2 + 1) * sizeof *c->spare);
	if (!order || !c->keys || !c->spare)
		return PM_E_MEMORY;
	for (size_t i = 0; i < list->n; i++) {
		const struct pm_rule *rule = &list->rules[i];

		c->keys[i] = (uint64_t)(PM_PRIORITY_MAX - rule->priority) << 52 |
			     (uint64_t)(rule->high - rule->low) << 36 |
			     (uint64_t)(PM_FILES_MAX - rule->file) << 20 | i;
	}
	pm_sort(c->keys, c->spare, list->n, 20);
	for (size_t i = 0; i < list->n; i++)
		order[i] = c->keys[i] & 0xfffff;
	return 0;
}
_Static_assert(PM_ENTRIES_MAX < 1 << 20, "a rule's index has 20 bits of the key");

static uint32_t *group_slot(const struct pm_rules *rules, const struct pm_host *host)
{
	uint32_t mask = rules->n_slots - 1;
	uint32_t slot = (uint32_t)pm_hash(rules->key, host, sizeof *host) & mask;

	while (rules->slots[slot] &&
	       memcmp(&rules->groups[rules->slots[slot] - 1].host, host, sizeof *host) != 0)
		slot = (slot + 1) & mask;
	return &rules->slots[slot];
}

static void prefixes_collect(struct pm_rules *rules)
{
	bool seen[2][129] = { { false } };

	for (uint32_t i = 0; i < rules->n_groups; i++) {
		const struct pm_host *host = &rules->groups[i].host;

		seen[host->version == 6][host->prefix] = true;
	}
	for (int v = 0; v < 2; v++)
		for (int prefix = 128; prefix >= 0; prefix--)
			if (seen[v][prefix])
				rules->prefixes[v][rules->n_prefixes[v]++] = (uint8_t)prefix;
}

static int group_hosts(struct compile *c)
{
	struct pm_rules *rules = c->rules;
	const struct pm_list *list = c->list;

	c->group_of = calloc(list->n_hosts + 1, sizeof *c->group_of);
	if (!c->group_of)
		return PM_E_MEMORY;
	if (list->n_hosts == 0)
		return 0;
	for (rules->n_slots = 4; rules->n_slots < list->n_hosts * 2; rules->n_slots *= 2)
		;
	rules->key = pm_hash_key_random();
	rules->slots = calloc(rules->n_slots, sizeof *rules->slots);
	rules->groups = calloc(list->n_hosts, sizeof *rules->groups);
	if (!rules->slots || !rules->groups)
		return PM_E_MEMORY;
	for (size_t i = 0; i < list->n_hosts; i++) {
		uint32_t *slot = group_slot(rules, &list->hosts[i]);

		if (!*slot) {
			rules->groups[rules->n_groups].host = list->hosts[i];
			*slot = ++rules->n_groups;
		}
		c->group_of[i + 1] = *slot;
	}
	prefixes_collect(rules);
	return 0;
}

/*
 * Deals the rules, best first, to their buckets: counts them into begin[b + 2], adds up, so that
 * begin[b + 1] is where bucket b begins, and fills, which moves that to where it ends.
 */
static int fill_buckets(struct compile *c)
{
	const struct pm_list *list = c->list;

	c->n_buckets = ((size_t)c->rules->n_groups + 1) * PM_TRANSPORT_N;
	c->begin = calloc(c->n_buckets + 2, sizeof *c->begin);
	c->members = malloc((list->entries + 1) * sizeof *c->members);
	if (!c->begin || !c->members)
		return PM_E_MEMORY;
	for (size_t i = 0; i < list->n; i++) {
		uint32_t *count = c->begin + 2 + c->group_of[list->rules[i].host] * PM_TRANSPORT_N;

		for (unsigned t = 0; t < PM_TRANSPORT_N; t++)
			count[t] += (unsigned)list->rules[i].transports >> t & 1u;
	}
	for (size_t b = 2; b < c->n_buckets + 2; b++) {
		if (c->largest < c->begin[b])
			c->largest = c->begin[b];
		c->begin[b] += c->begin[b - 1];
	}
	for (size_t i = 0; i < list->n; i++) {
		uint32_t index = c->rules->order[i];
		const struct pm_rule *rule = &list->rules[index];
		uint32_t *end = c->begin + 1 + c->group_of[rule->host] * PM_TRANSPORT_N;

		for (unsigned t = 0; t < PM_TRANSPORT_N; t++)
			if (rule->transports >> t & 1u)
				c->members[end[t]++] = index;
	}
	return 0;
}

static int work_init(struct compile *c)
{
	size_t edges = c->largest * 2 + 1;

	c->from = malloc(edges * sizeof *c->from);
	c->to = malloc(edges * sizeof *c->to);
	c->edge = malloc(edges * sizeof *c->edge);
	c->next = malloc(edges * sizeof *c->next);
	c->owner = malloc(edges * sizeof *c->owner);
	c->winner = calloc(c->list->n + 1, sizeof *c->winner);
	c->winner_transport = calloc(c->list->n + 1, 1);
	if (c->from && c->to && c->edge && c->next && c->owner &&
	    c->winner && c->winner_transport)
		return 0;
	return PM_E_MEMORY;
}

static void compile_fini(struct compile *c)
{
	free(c->group_of);
	free(c->begin);
	free(c->members);
	free(c->keys);
	free(c->spare);
	free(c->from);
	free(c->to);
	free(c->edge);
	free(c->next);
	free(c->owner);
	free(c->winner);
	free(c->winner_transport);
}

static const char *rule_name(const struct compile *c, uint32_t rule)
{
	return pm_strings_at(&c->list->names, c->list->rules[rule].name);
}

static struct pm_place rule_place(const struct compile *c, uint32_t index)
{
	const struct pm_rule *rule = &c->list->rules[index];

	return (struct pm_place){ pm_strings_at(&c->list->files, rule->file), (int)rule->line,
				  rule->column };
}

static void say_conflict(const struct compile *c, uint32_t winner, uint32_t loser,
			 unsigned transport)
{
	const struct pm_rule *a = &c->list->rules[winner], *b = &c->list->rules[loser];
	struct pm_place place = rule_place(c, winner);

	pm_report_say(c->report, PM_REMARK_CONFLICT, rule_place(c, loser),
		      "\"%s\" and \"%s\" (%s:%d) both claim %s/%d with priority %d; "
		      "\"%s\" wins because %s",
		      rule_name(c, loser), rule_name(c, winner), place.file, place.line,
		      pm_transport_name(transport), a->low > b->low ? a->low : b->low, a->priority,
		      rule_name(c, winner),
		      a->file != b->file ? "it is in a later file" : "its line comes first");
}

static void say_shadowed(const struct compile *c, uint32_t loser)
{
	static const char *const why[PM_REASON_N] = {
		[PM_REASON_PRIORITY] = "a higher priority",
		[PM_REASON_WIDTH] = "a narrower range",
		[PM_REASON_FILE] = "a later file",
		[PM_REASON_LINE] = "an earlier line",
	};
	uint32_t winner = c->winner[loser];
	const struct pm_rule *rule = &c->list->rules[loser];
	struct pm_place place = rule_place(c, winner);

	pm_report_say(c->report, PM_REMARK_SHADOWED, rule_place(c, loser),
		      "\"%s\" never wins: \"%s\" (%s:%d) has %s/%d by %s", rule_name(c, loser),
		      rule_name(c, winner), place.file, place.line,
		      pm_transport_name(c->winner_transport[loser]), rule->low,
		      why[pm_rule_reason(&c->list->rules[winner], rule)]);
}

/*
 * Conflicts among @n members of equal priority and width. In the order of their low ports, rules
 * of equal width that overlap have no gap between them, so that looking at neighbours is enough.
 */
static void find_conflicts(struct compile *c, const uint32_t *members, size_t n, unsigned transport)
{
	const struct pm_rule *rules = c->list->rules;

	for (size_t i = 0; i < n; i++)
		c->keys[i] = (uint64_t)rules[members[i]].low << 32 | i;
	pm_sort(c->keys, c->spare, n, 32);
	for (size_t i = 1; i < n; i++) {
		uint32_t a = (uint32_t)c->keys[i - 1], b = (uint32_t)c->keys[i];
		uint32_t best = members[a < b ? a : b], other = members[a < b ? b : a];

		if (rules[members[b]].low > rules[members[a]].high ||
		    rules[best].name == rules[other].name)
			continue;
		c->rules->conflicts++;
		if (c->check)
			say_conflict(c, best, other, transport);
	}
}

static void bucket_conflicts(struct compile *c, const uint32_t *members, size_t n,
			     unsigned transport)
{
	const struct pm_rule *rules = c->list->rules;

	for (size_t at = 0, end; at < n; at = end) {
		const struct pm_rule *first = &rules[members[at]];

		for (end = at + 1; end < n; end++) {
			const struct pm_rule *rule = &rules[members[end]];

			if (rule->priority != first->priority ||
			    rule->high - rule->low != first->high - first->low)
				break;
		}
		if (end - at > 1)
			find_conflicts(c, members + at, end - at, transport);
	}
}

/* Cuts the ports where a rule begins or has ended. Returns the number of cuts. */
static uint32_t cut_cells(struct compile *c, const uint32_t *members, size_t n)
{
	uint32_t cells = 0;

	for (size_t i = 0; i < n; i++) {
		const struct pm_rule *rule = &c->list->rules[members[i]];

		c->keys[i * 2] = (uint64_t)rule->low << 32 | i << 1;
		c->keys[i * 2 + 1] = ((uint64_t)rule->high + 1) << 32 | i << 1 | 1;
	}
	pm_sort(c->keys, c->spare, n * 2, 32);
	for (size_t i = 0; i < n * 2; i++) {
		uint32_t edge = (uint32_t)(c->keys[i] >> 32), member = (uint32_t)c->keys[i];

		if (i == 0 || edge != c->edge[cells - 1]) {
			c->edge[cells] = edge;
			c->owner[cells] = NOBODY;
			c->next[cells] = cells;
			cells++;
		}
		(member & 1 ? c->to : c->from)[member >> 1] = cells - 1;
	}
	return cells;
}

static uint32_t next_free(uint32_t *next, uint32_t cell)
{
	while (next[cell] != cell) {
		next[cell] = next[next[cell]];
		cell = next[cell];
	}
	return cell;
}

static void paint(struct compile *c, const uint32_t *members, size_t n, unsigned transport)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t cell = next_free(c->next, c->from[i]);

		if (cell < c->to[i]) {
			c->winner[members[i]] = NOBODY;
		} else if (c->winner[members[i]] != NOBODY) {
			c->winner[members[i]] = members[c->owner[c->from[i]]];
			c->winner_transport[members[i]] = (uint8_t)transport;
		}
		for (; cell < c->to[i]; cell = next_free(c->next, cell)) {
			c->owner[cell] = i;
			c->next[cell] = cell + 1;
		}
	}
}

static struct pm_label rule_label(const struct pm_rule *rule)
{
	return (struct pm_label){ (uint16_t)rule->name, rule->priority, rule->flags };
}

static int put_segment(struct compile *c, size_t group, unsigned transport,
		       struct pm_segment segment)
{
	int code;

	if (group == 0) {
		for (uint32_t port = segment.low; port <= segment.high; port++)
			c->rules->labels[transport][port] = segment.label;
		memset(&c->rules->classes[transport][segment.low], segment.label.priority + 1,
		       (size_t)segment.high - segment.low + 1);
		return 0;
	}
	code = pm_list_grow(&c->rules->segments, &c->segments_room, c->n_segments,
			    sizeof *c->rules->segments);
	if (code == 0)
		c->rules->segments[c->n_segments++] = segment;
	return code;
}

/* Cells of one owner that touch become one segment. */
static int put_segments(struct compile *c, const uint32_t *members, uint32_t cells, size_t group,
			unsigned transport)
{
	int code = 0;

	for (uint32_t cell = 0, end; cell + 1 < cells && code == 0; cell = end) {
		uint32_t owner = c->owner[cell];
		struct pm_segment segment = { .low = (uint16_t)c->edge[cell] };

		for (end = cell + 1; end + 1 < cells && c->owner[end] == owner; end++)
			;
		if (owner == NOBODY)
			continue;
		segment.high = (uint16_t)(c->edge[end] - 1);
		segment.label = rule_label(&c->list->rules[members[owner]]);
		code = put_segment(c, group, transport, segment);
	}
	return code;
}

static int compile_buckets(struct compile *c)
{
	int code = 0;

	for (size_t bucket = 0; bucket < c->n_buckets && code == 0; bucket++) {
		size_t group = bucket / PM_TRANSPORT_N, n = c->begin[bucket + 1] - c->begin[bucket];
		unsigned transport = (unsigned)(bucket % PM_TRANSPORT_N);
		const uint32_t *members = c->members + c->begin[bucket];

		if (n) {
			uint32_t cells = cut_cells(c, members, n);

			paint(c, members, n, transport);
			code = put_segments(c, members, cells, group, transport);
			bucket_conflicts(c, members, n, transport);
		}
		if (group)
			c->rules->groups[group - 1].first[transport + 1] = (uint32_t)c->n_segments;
		if (group && transport + 1 == PM_TRANSPORT_N && group < c->rules->n_groups)
			c->rules->groups[group].first[0] = (uint32_t)c->n_segments;
	}
	return code;
}

/* Marks the ports that any scoped rule covers: where segments begin and end, then one sweep. */
static int mark_scoped(struct compile *c)
{
	struct pm_rules *rules = c->rules;
	int32_t *change;

	if (c->n_segments == 0)
		return 0;
	change = calloc((size_t)PM_TRANSPORT_N * (PM_PORTS + 1), sizeof *change);
	if (!change)
		return PM_E_MEMORY;
	for (uint32_t i = 0; i < rules->n_groups; i++) {
		const uint32_t *first = rules->groups[i].first;

		for (size_t t = 0; t < PM_TRANSPORT_N; t++)
			for (uint32_t s = first[t]; s < first[t + 1]; s++) {
				change[t * (PM_PORTS + 1) + rules->segments[s].low]++;
				change[t * (PM_PORTS + 1) + rules->segments[s].high + 1]--;
			}
	}
	for (size_t t = 0; t < PM_TRANSPORT_N; t++) {
		int32_t depth = 0;

		for (size_t port = 0; port < PM_PORTS; port++) {
			depth += change[t * (PM_PORTS + 1) + port];
			if (depth) {
				rules->labels[t][port].flags |= PM_LABEL_SCOPED;
				rules->classes[t][port] = PM_CLASS_ASK;
			}
		}
	}
	free(change);
	return 0;
}

/* A service's category: of its rules that have one, that of the best by priority, file and line. */
static int choose_categories(struct pm_rules *rules)
{
	const struct pm_list *list = &rules->list;
	uint32_t *best = calloc((size_t)list->names.n + 1, sizeof *best); /* rules, from 1 */

	if (!best)
		return PM_E_MEMORY;
	for (size_t i = 0; i < list->n; i++) {
		const struct pm_rule *rule = &list->rules[i], *old;
		uint32_t *to = &best[rule->name];

		if (!rule->category)
			continue;
		old = *to ? &list->rules[*to - 1] : NULL;
		if (!old || rule->priority > old->priority ||
		    (rule->priority == old->priority && rule->file > old->file))
			*to = (uint32_t)i + 1;
	}
	for (size_t i = 1; i <= list->names.n; i++)
		if (best[i])
			best[i] = list->rules[best[i] - 1].category;
	rules->categories = best;
	return 0;
}

int pm_compile(struct pm_rules *rules, struct pm_report *report, bool check)
{
	struct compile c = { .rules = rules, .list = &rules->list, .report = report };
	int code = order_rules(&c);

	c.check = check;
	if (code == 0)
		code = group_hosts(&c);
	if (code == 0)
		code = fill_buckets(&c);
	if (code == 0)
		code = work_init(&c);
	if (code == 0)
		code = compile_buckets(&c);
	if (code == 0)
		code = mark_scoped(&c);
	if (code == 0)
		code = choose_categories(rules);
	for (uint32_t i = 0; code == 0 && check && i < rules->list.n; i++)
		if (c.winner[i] != NOBODY)
			say_shadowed(&c, i);
	for (size_t t = 0; t < PM_TRANSPORT_N; t++) {
		rules->labels[t][0].flags = PM_LABEL_ZERO;
		rules->classes[t][0] = PM_CLASS_ASK;
	}
	compile_fini(&c);
	return code;
}

static bool find_segment(const struct pm_rules *rules, const struct pm_group *group,
			 unsigned transport, uint16_t port, struct pm_label *ret_label)
{
	uint32_t low = group->first[transport], high = group->first[transport + 1];

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct pm_segment *segment = &rules->segments[middle];

		if (port < segment->low) {
			high = middle;
		} else if (port > segment->high) {
			low = middle + 1;
		} else {
			*ret_label = segment->label;
			return true;
		}
	}
	return false;
}

bool pm_rules_find_scoped(const struct pm_rules *rules, int ip_version,
			  const struct pm_address *address, unsigned transport, uint16_t port,
			  struct pm_label *ret_label)
{
	struct pm_host host = { .version = (uint8_t)ip_version };
	int v = ip_version == 6;

	if (!rules->n_slots || (ip_version != 4 && ip_version != 6))
		return false;
	for (size_t i = 0; i < rules->n_prefixes[v]; i++) {
		uint32_t number;

		host.prefix = rules->prefixes[v][i];
		host.address = pm_address_mask(address, host.prefix);
		number = *group_slot(rules, &host);
		if (number && find_segment(rules, &rules->groups[number - 1], transport, port,
					   ret_label))
			return true;
	}
	return false;
}
