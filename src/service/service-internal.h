/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share. The way of a rule: a line of text (parse.c) or a row of
 * the shipped tables (shipped.c) becomes a struct pm_rule in a struct pm_list; compile.c turns
 * the list into the label tables of struct pm_rules, which side.c reads for every frame.
 */
#ifndef PM_SERVICE_INTERNAL_H
#define PM_SERVICE_INTERNAL_H

#include <stdatomic.h>

#include "portmeter/service.h"

#define PM_NAME_MAX 63
#define PM_LINE_MAX 4096
#define PM_FILE_MAX ((size_t)64 << 20)
#define PM_FILES_MAX 65535     /* pm_rule.file, and 16 bits of the sort key in compile.c */
#define PM_ENTRIES_MAX 1000000 /* fits 20 bits of the same key */
#define PM_SERVICES_MAX 65535  /* pm_label.service */
#define PM_REMARKS_MAX 1000
#define PM_PRIORITY_MAX 100
#define PM_PRIORITY_DEFAULT 50

/* Strings, numbered from 1 in order of arrival; 0 stands for none. */
struct pm_string {
	uint32_t at, hash;
};

struct pm_strings {
	char *text;
	size_t size, room;
	struct pm_string *strings;
	uint32_t n, strings_room;
	uint32_t *slots; /* numbers by hash; a power of two; NULL before the first intern */
	uint32_t n_slots;
	struct pm_hash_key key;
};

/* Appends without looking whether it is there. PM_E_MEMORY or 0. */
int pm_strings_add(struct pm_strings *strings, const char *bytes, size_t size,
		   uint32_t *ret_number);
/* As pm_strings_add, but equal strings get one number. A table lives by one of the two. */
int pm_strings_intern(struct pm_strings *strings, const char *bytes, size_t size,
		      uint32_t *ret_number);
/* Room for @n strings to intern, in an empty table; @size: of all, with their NULs. As above. */
int pm_strings_reserve(struct pm_strings *strings, size_t n, size_t size);
/* NULL for 0. Borrowed until the next add. */
const char *pm_strings_at(const struct pm_strings *strings, uint32_t number);
void pm_strings_fini(struct pm_strings *strings);

/* An address or subnet; all bits behind the prefix are zero. No padding: it is hashed as bytes. */
struct pm_host {
	struct pm_address address;
	uint8_t version; /* 4, 6; 0: none */
	uint8_t prefix;  /* bits */
};
_Static_assert(sizeof(struct pm_host) == 18, "padding would be hashed");

#define PM_HOST_TEXT_SIZE 64

/* "192.0.2.1", "2001:db8::1"; false if it is anything else. */
bool pm_address_parse(const char *text, size_t size, int *ret_version,
		      struct pm_address *ret_address);
struct pm_address pm_address_mask(const struct pm_address *address, unsigned prefix);
/* An address, or address/prefix. @ret_masked: bits behind the prefix were set, and are gone. */
bool pm_host_parse(const char *text, size_t size, struct pm_host *ret_host, bool *ret_masked);
void pm_host_text(const struct pm_host *host, char ret_text[PM_HOST_TEXT_SIZE]);
bool pm_host_holds(const struct pm_host *host, int version, const struct pm_address *address);

/* Bits of pm_rule.flags and pm_label.flags. */
enum {
	PM_LABEL_INITIATES = 1 << 0,
	PM_LABEL_METRIC = 1 << 1,
	PM_LABEL_SCOPED = 1 << 2, /* labels only: a host-scoped rule covers the port */
	PM_LABEL_ZERO = 1 << 3,   /* labels only: this is port 0 */
};

/* One line and one host of it. */
struct pm_rule {
	uint32_t name, category, aliases; /* numbers in the list's tables; name is the service id */
	uint32_t line;
	uint32_t host; /* number of the host; 0: any address */
	uint16_t file; /* number of the file */
	uint16_t column;
	uint16_t low, high; /* ports, both included, never 0 */
	uint8_t priority;
	uint8_t flags;
	uint8_t transports; /* 1 << enum pm_transport */
};

struct pm_list {
	struct pm_rule *rules; /* in the order of files and lines */
	size_t n, room;
	struct pm_host *hosts; /* number 1 is the first */
	size_t n_hosts, hosts_room;
	struct pm_strings names, categories, aliases, files;
	size_t entries; /* rules times their transports */
	struct pm_sha256 sha;
};

/* Makes room for one more element of @size bytes behind @n; doubles. PM_E_MEMORY or 0. */
int pm_list_grow(void *array, size_t *room, size_t n, size_t size);
/* Room for @n rules in all. PM_E_MEMORY or 0. */
int pm_list_reserve(struct pm_list *list, size_t n);
/* Appends a rule, whatever the limits. PM_E_MEMORY or 0. */
int pm_list_add(struct pm_list *list, const struct pm_rule *rule);
/* Begins a file: its number is list->files.n. @digest is that of its bytes. */
int pm_list_file(struct pm_list *list, const char *name, const uint8_t digest[PM_SHA256_SIZE]);
void pm_list_fini(struct pm_list *list);

/* A place in a file, for people; line and column 0: the file as a whole. */
struct pm_place {
	const char *file;
	int line, column;
};

/* Carries remarks to the caller, no more than PM_REMARKS_MAX, and remembers the first error. */
struct pm_report {
	pm_remark_fn *remark;
	void *ctx;
	struct pm_error *err;
	size_t said;
	int code; /* of the first error; 0: none so far */
};

void pm_report_say(struct pm_report *report, enum pm_remark_kind kind, struct pm_place place,
		   const char *format, ...) PM_PRINTF(4, 5);
/* Says an error and returns @code, which the load ends with unless another came before. */
int pm_report_fail(struct pm_report *report, int code, struct pm_place place, const char *format,
		   ...) PM_PRINTF(4, 5);

/* PM_E_RULES, reported, when the list has grown beyond its limits; else 0. */
int pm_list_check(const struct pm_list *list, struct pm_report *report, struct pm_place place);

#define PM_QUOTE_SIZE 200
/* A piece of a file, fit for a terminal: cut if long; what pm_text_clean refuses as \xNN. */
const char *pm_quote(const char *bytes, size_t size, char ret_quoted[PM_QUOTE_SIZE]);
/* Valid UTF-8 (RFC 3629) without control characters. */
bool pm_text_clean(const char *bytes, size_t size);
const char *pm_base_name(const char *path);

/*
 * Reads the rules of one text into @list. Bad lines are reported, and the rest is still read;
 * other results than 0 (PM_E_MEMORY, or a reported PM_E_RULES at a limit) mean it was not.
 */
int pm_parse(struct pm_list *list, struct pm_report *report, const char *name, const char *text,
	     size_t size);

/*
 * A regular file's bytes, to be freed; PM_E_IO or PM_E_RULES (too large), reported, or
 * PM_E_MEMORY. A folder gives 0 and a NULL text; never waits on a fifo or a device.
 */
int pm_file_read(const char *path, struct pm_report *report, char **ret_text, size_t *ret_size);
/*
 * Names in a folder that end in ".rules" and do not begin with a dot, in byte order, as one array
 * to be freed. @missing_ok: a folder that is not there is empty. Errors as pm_file_read.
 */
int pm_folder_list(const char *folder, bool missing_ok, struct pm_report *report,
		   char ***ret_names, size_t *ret_n);

/*
 * The shipped rules, written by embed.c: numbers only, so that nothing needs relocation. A
 * row's strings are numbers in the file's own strings: its names first, then its categories,
 * then its lists of aliases.
 */
enum pm_shipped_column {
	PM_SHIPPED_NAME,
	PM_SHIPPED_CATEGORY,
	PM_SHIPPED_ALIASES,
	PM_SHIPPED_LINE,
	PM_SHIPPED_PORTS, /* low << 16 | high */
	PM_SHIPPED_BITS,  /* column << 16 | transports << 11 | flags << 7 | priority */
	PM_SHIPPED_COLUMNS,
};
/* How much of each kind one file has; its strings stand in this order. */
enum pm_shipped_count {
	PM_SHIPPED_ROWS,
	PM_SHIPPED_NAMES,
	PM_SHIPPED_CATEGORIES,
	PM_SHIPPED_ALIAS_LISTS,
	PM_SHIPPED_NAME_BYTES, /* of the names, with their NULs */
	PM_SHIPPED_COUNTS,
};
extern const uint32_t pm_shipped_n; /* files; they are in name order */
extern const uint32_t pm_shipped_rows[][PM_SHIPPED_COLUMNS];
extern const uint32_t pm_shipped_counts[][PM_SHIPPED_COUNTS];
extern const uint8_t pm_shipped_digests[][PM_SHA256_SIZE];
/* The files' names, then each file's strings, all with their NUL. */
extern const char pm_shipped_text[];

/* Where the reading of the shipped files stands. */
struct pm_shipped_at {
	uint32_t index;   /* of the file; pm_shipped_n: at the end */
	const char *name; /* of the file; the next one's follows its NUL */
	const char *text; /* the file's strings */
	size_t row;       /* the file's first */
};

struct pm_shipped_at pm_shipped_first(void);
/* Room for all shipped files in @list, which is empty. PM_E_MEMORY or 0. */
int pm_shipped_reserve(struct pm_list *list);
/* Reads the file into @list, or passes over it with a NULL @list; moves on. As pm_parse. */
int pm_shipped_read(struct pm_shipped_at *at, struct pm_list *list, struct pm_report *report);

/* How far a decision holds beyond its frame: for the running step, unless it is dropped, but: */
enum pm_holds {
	PM_HOLDS_WEAKLY = 1 << 0, /* until any endpoint is learned */
	PM_HOLDS_ALONE = 1 << 1,  /* nothing is known of the other direction */
	PM_HOLDS_NOT = 1 << 2,    /* the next frame may be decided otherwise */
};

/* What a learner keeps of conversations (flows.c). */
struct pm_flow_table {
	struct pm_flows flows;
	void *block; /* in which its words stand */
	uint32_t *recent; /* flows, while they are tried: the upper half of each */
	uint64_t epoch; /* the last one that was begun */
	/* since the last look; those of a trial's second half, and what of these was recalled */
	size_t frames, counted, recalled;
	size_t trials, sleep; /* in a row, when little was; frames to sleep */
	uint32_t used; /* words, until it is seen that most will be */
};

/* Asleep or awake as @use says. PM_E_MEMORY or 0. */
int pm_flows_new(struct pm_flow_table *table, enum pm_flows_use use);
void pm_flows_free(struct pm_flow_table *table);
/* All words have ended, or those that hold weakly. */
void pm_flows_forget(struct pm_flow_table *table);
void pm_flows_forget_weak(struct pm_flow_table *table);
/*
 * A frame at @time_ns is about to be decided: if that is in another of the steps in which times are
 * kept, all words have ended. Before 1970 there are no steps, and nothing is kept.
 */
void pm_flows_enter(struct pm_flow_table *table, int64_t time_ns);
/* That @decision is what frames of @flow in its direction are; PM_HOLDS_ bits say how far. */
void pm_flows_keep(struct pm_flow_table *table, pm_flow flow, int64_t time_ns,
		   struct pm_decision decision, unsigned holds);
/* That something is to be found out of it: both directions. */
void pm_flows_drop(struct pm_flow_table *table, pm_flow flow);
/* As pm_learner_try. */
bool pm_flows_try(struct pm_flow_table *table, pm_flow flow);
/* As pm_learner_rest. */
void pm_flows_rest(struct pm_flow_table *table, size_t frames, size_t recalled);

/* Times may run backwards, and be further apart than a signed difference holds. */
static inline uint64_t pm_time_apart(int64_t a, int64_t b)
{
	return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* What a frame needs to know of a rule. */
struct pm_label {
	uint16_t service; /* 0: none */
	uint8_t priority;
	uint8_t flags;
};
_Static_assert(sizeof(struct pm_label) == 4, "one load");

struct pm_segment {
	uint16_t low, high;
	struct pm_label label;
};

/* The rules of one host: sorted segments that do not overlap, from first[t] to first[t + 1]. */
struct pm_group {
	struct pm_host host;
	uint32_t first[PM_TRANSPORT_N + 1];
};

_Static_assert(PM_CLASS(PM_PRIORITY_MAX) < (PM_CLASS_ASK & ~PM_CLASS_HOT),
	       "a port that is hot is not taken for one to ask about");

struct pm_rules {
	/*
	 * What most frames need to know of a port, in a byte, so that the tables of two transports
	 * stay in the cache of one core: 0, no label; PM_CLASS_ASK; else the priority of its label
	 * and 1.
	 */
	uint8_t classes[PM_TRANSPORT_N][PM_PORTS];
	struct pm_label labels[PM_TRANSPORT_N][PM_PORTS]; /* of any address */
	atomic_uint references;
	struct pm_list list;
	uint32_t *order;      /* of the list's rules: by precedence within one scope */
	uint32_t *categories; /* by service id */
	struct pm_group *groups;
	uint32_t n_groups;
	uint32_t *slots; /* groups by hash of their host, from 1; a power of two */
	uint32_t n_slots;
	struct pm_segment *segments;
	uint8_t prefixes[2][129]; /* IPv4, IPv6: the distinct lengths, longest first */
	uint8_t n_prefixes[2];
	struct pm_hash_key key;
	size_t conflicts;
	uint64_t generation;
	char sha256[PM_SHA256_HEX_SIZE];
};

/* Takes the rules' list, which is complete, to the tables. PM_E_MEMORY or 0. */
int pm_compile(struct pm_rules *rules, struct pm_report *report, bool check);
/* The label that host-scoped rules give to the port at the address; false: none. */
bool pm_rules_find_scoped(const struct pm_rules *rules, int ip_version,
			  const struct pm_address *address, unsigned transport, uint16_t port,
			  struct pm_label *ret_label);

/* Why @winner stands before @loser, both of one scope. */
enum pm_reason pm_rule_reason(const struct pm_rule *winner, const struct pm_rule *loser);

/* Sorts rising; @spare has room for @n. The lowest @rising bits rise already from key to key. */
void pm_sort(uint64_t *keys, uint64_t *spare, size_t n, unsigned rising);

#endif
