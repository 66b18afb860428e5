/* SPDX-License-Identifier: MIT */
/*
 * One text of rules, line by line: "name port[-port]/transport[/transport...] [alias ...]
 * [key=value ...] [# comment]", a superset of services(5). The first fault of a line is
 * reported at the token that has it, and the line is skipped.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "service-internal.h"

struct token {
	const char *text;
	size_t size;
	int column;
};

struct parse {
	struct pm_list *list;
	struct pm_report *report;
	struct pm_place place;
	const char *line;
	size_t size, at;    /* of the line; what is read of it */
	int fatal;          /* not 0: the text is given up */
	struct pm_rule rule; /* of the line */
	size_t first_host;  /* hosts of the line begin behind these */
	unsigned keys;      /* seen in the line, as bits */
	char aliases[PM_LINE_MAX + 1];
	size_t aliases_size;
};

/* Says what is wrong at @token. Always false, so that a reader of fields can return it. */
static bool complain(struct parse *p, enum pm_remark_kind kind, const struct token *token,
		     const char *format, ...) PM_PRINTF(4, 5);

static bool complain(struct parse *p, enum pm_remark_kind kind, const struct token *token,
		     const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	p->place.column = token->column;
	if (kind == PM_REMARK_ERROR)
		pm_report_fail(p->report, PM_E_RULES, p->place, "%s", text);
	else
		pm_report_say(p->report, kind, p->place, "%s", text);
	return false;
}

static bool token_is(const struct token *token, const char *text)
{
	return token->size == strlen(text) && memcmp(token->text, text, token->size) == 0;
}

static bool token_next(struct parse *p, struct token *ret_token)
{
	size_t begin;

	while (p->at < p->size && (p->line[p->at] == ' ' || p->line[p->at] == '\t'))
		p->at++;
	begin = p->at;
	while (p->at < p->size && p->line[p->at] != ' ' && p->line[p->at] != '\t')
		p->at++;
	*ret_token = (struct token){ p->line + begin, p->at - begin, (int)begin + 1 };
	return p->at > begin;
}

/* Cuts @token at the first @mark into what stands before it, returned, and what stands behind. */
static bool token_cut(struct token *token, char mark, struct token *ret_head)
{
	const char *found = token->size ? memchr(token->text, mark, token->size) : NULL;
	size_t length = found ? (size_t)(found - token->text) : token->size;

	*ret_head = (struct token){ token->text, length, token->column };
	token->text += length + (found ? 1 : 0);
	token->size -= length + (found ? 1 : 0);
	return found;
}

static bool read_name(struct parse *p, const struct token *token, const char *what)
{
	char quoted[PM_QUOTE_SIZE];

	if (!pm_text_clean(token->text, token->size))
		return complain(p, PM_REMARK_ERROR, token,
				"%s \"%s\" is not UTF-8 without control characters", what,
				pm_quote(token->text, token->size, quoted));
	if (token->size > PM_NAME_MAX)
		return complain(p, PM_REMARK_ERROR, token, "%s \"%s\" is longer than %d bytes",
				what, pm_quote(token->text, token->size, quoted), PM_NAME_MAX);
	return true;
}

/* Decimal digits only; false also when above @limit. */
static bool number(const struct token *token, uint32_t limit, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (size_t i = 0; i < token->size; i++) {
		if (token->text[i] < '0' || token->text[i] > '9')
			return false;
		if (value <= limit) /* beyond it stays beyond it */
			value = value * 10 + (uint32_t)(token->text[i] - '0');
	}
	*ret_value = value;
	return token->size > 0 && value <= limit;
}

static bool read_port(struct parse *p, const struct token *at, const struct token *token,
		      uint16_t *ret_port)
{
	char quoted[PM_QUOTE_SIZE];
	uint32_t value = 0;

	if (!number(token, 65535, &value)) {
		pm_quote(token->text, token->size, quoted);
		if (value > 65535)
			return complain(p, PM_REMARK_ERROR, at, "port %s is above 65535", quoted);
		return complain(p, PM_REMARK_ERROR, at, "\"%s\" is not a port number", quoted);
	}
	if (value == 0)
		return complain(p, PM_REMARK_ERROR, at, "port 0 is reserved: no rule can name it");
	*ret_port = (uint16_t)value;
	return true;
}

static bool read_transports(struct parse *p, const struct token *at, struct token rest)
{
	char quoted[PM_QUOTE_SIZE];
	struct token name;
	bool more;

	do {
		enum pm_transport transport;

		more = token_cut(&rest, '/', &name);
		if (name.size == 0)
			return complain(p, PM_REMARK_ERROR, at, "a transport is missing");
		if (!pm_transport_find(name.text, name.size, &transport))
			return complain(p, PM_REMARK_WARNING, at,
					"unknown transport \"%s\"; the line is skipped",
					pm_quote(name.text, name.size, quoted));
		p->rule.transports |= (uint8_t)(1u << transport);
	} while (more);
	return true;
}

static bool read_ports(struct parse *p, const struct token *token)
{
	struct token rest = *token, low, high;
	char quoted[PM_QUOTE_SIZE];

	if (!token_cut(&rest, '/', &high))
		return complain(p, PM_REMARK_ERROR, token,
				"\"%s\" is not ports/transports: it has no slash",
				pm_quote(token->text, token->size, quoted));
	if (token_cut(&high, '-', &low)) {
		if (!read_port(p, token, &low, &p->rule.low) ||
		    !read_port(p, token, &high, &p->rule.high))
			return false;
		if (p->rule.low > p->rule.high)
			return complain(p, PM_REMARK_ERROR, token,
					"the range ends before it begins: %u-%u", p->rule.low,
					p->rule.high);
	} else {
		if (!read_port(p, token, &low, &p->rule.low))
			return false;
		p->rule.high = p->rule.low;
	}
	return read_transports(p, token, rest);
}

typedef bool key_fn(struct parse *p, const struct token *at, const struct token *value);

static bool key_host(struct parse *p, const struct token *at, const struct token *value)
{
	struct pm_list *list = p->list;
	char quoted[PM_QUOTE_SIZE], text[PM_HOST_TEXT_SIZE];
	struct pm_host host;
	bool masked;

	pm_quote(value->text, value->size, quoted);
	if (!pm_host_parse(value->text, value->size, &host, &masked))
		return complain(p, PM_REMARK_ERROR, at, "\"%s\" is not an address or subnet", quoted);
	if (masked) {
		pm_host_text(&host, text);
		complain(p, PM_REMARK_WARNING, at, "%s has bits behind its prefix; %s is used",
			 quoted, text);
	}
	p->fatal = pm_list_grow(&list->hosts, &list->hosts_room, list->n_hosts,
				sizeof *list->hosts);
	if (p->fatal)
		return false;
	list->hosts[list->n_hosts++] = host;
	return true;
}

static bool key_category(struct parse *p, const struct token *at, const struct token *value)
{
	struct token token = *value;

	token.column = at->column;
	if (value->size == 0)
		return complain(p, PM_REMARK_ERROR, at, "category= has no value");
	if (!read_name(p, &token, "category"))
		return false;
	p->fatal = pm_strings_intern(&p->list->categories, value->text, value->size,
				     &p->rule.category);
	return p->fatal == 0;
}

static bool key_priority(struct parse *p, const struct token *at, const struct token *value)
{
	char quoted[PM_QUOTE_SIZE];
	uint32_t priority;

	if (!number(value, PM_PRIORITY_MAX, &priority))
		return complain(p, PM_REMARK_ERROR, at,
				"priority \"%s\" is not a number from 0 to %d",
				pm_quote(value->text, value->size, quoted), PM_PRIORITY_MAX);
	p->rule.priority = (uint8_t)priority;
	return true;
}

static bool key_initiates(struct parse *p, const struct token *at, const struct token *value)
{
	char quoted[PM_QUOTE_SIZE];

	if (token_is(value, "yes"))
		p->rule.flags |= PM_LABEL_INITIATES;
	else if (!token_is(value, "no"))
		return complain(p, PM_REMARK_ERROR, at,
				"initiates=\"%s\": only yes and no are known",
				pm_quote(value->text, value->size, quoted));
	return true;
}

static bool key_metric(struct parse *p, const struct token *at, const struct token *value)
{
	char quoted[PM_QUOTE_SIZE];

	if (!token_is(value, "port"))
		return complain(p, PM_REMARK_ERROR, at, "metric=\"%s\": only port is known",
				pm_quote(value->text, value->size, quoted));
	p->rule.flags |= PM_LABEL_METRIC;
	return true;
}

static const struct key {
	const char *name;
	key_fn *read;
	bool repeatable;
} keys[] = {
	{ "host", key_host, true },
	{ "category", key_category, false },
	{ "priority", key_priority, false },
	{ "initiates", key_initiates, false },
	{ "metric", key_metric, false },
};

static bool read_key(struct parse *p, const struct token *token)
{
	struct token value = *token, name;
	char quoted[PM_QUOTE_SIZE];

	token_cut(&value, '=', &name);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (!token_is(&name, keys[i].name))
			continue;
		if (!keys[i].repeatable && p->keys & 1u << i)
			return complain(p, PM_REMARK_ERROR, token, "%s= is given twice", keys[i].name);
		p->keys |= 1u << i;
		return keys[i].read(p, token, &value);
	}
	return complain(p, PM_REMARK_WARNING, token, "unknown key \"%s\"; the line is skipped",
			pm_quote(name.text, name.size, quoted));
}

static bool read_alias(struct parse *p, const struct token *token)
{
	if (!read_name(p, token, "alias"))
		return false;
	if (p->aliases_size)
		p->aliases[p->aliases_size++] = ' ';
	memcpy(p->aliases + p->aliases_size, token->text, token->size);
	p->aliases_size += token->size;
	return true;
}

/* What can be said of the line before it is cut into tokens. */
static bool line_sound(struct parse *p)
{
	const char *nul;
	struct token at = { p->line, 1, PM_LINE_MAX + 1 };

	if (p->size > PM_LINE_MAX)
		return complain(p, PM_REMARK_ERROR, &at, "the line is longer than %d bytes",
				PM_LINE_MAX);
	nul = memchr(p->line, '\0', p->size);
	if (nul) {
		at.column = (int)(nul - p->line) + 1;
		return complain(p, PM_REMARK_ERROR, &at, "a NUL byte");
	}
	return true;
}

/* The fields of a line with a name to p->rule, p->aliases and the hosts behind first_host. */
static bool read_fields(struct parse *p, const struct token *name)
{
	struct token token;

	if (!read_name(p, name, "name"))
		return false;
	if (token_is(name, "unknown") || token_is(name, "other"))
		return complain(p, PM_REMARK_ERROR, name, "the name \"%.*s\" is reserved",
				(int)name->size, name->text);
	if (!token_next(p, &token))
		return complain(p, PM_REMARK_ERROR, name, "ports and transport are missing");
	if (!read_ports(p, &token))
		return false;
	while (token_next(p, &token)) {
		bool key = memchr(token.text, '=', token.size);

		if (!(key ? read_key(p, &token) : read_alias(p, &token)))
			return false;
	}
	return true;
}

/* One rule per host=, or one for any address. */
static int add_rules(struct parse *p)
{
	struct pm_list *list = p->list;
	int code = 0;

	if (list->n_hosts == p->first_host)
		return pm_list_add(list, &p->rule);
	for (size_t i = p->first_host; i < list->n_hosts && code == 0; i++) {
		p->rule.host = (uint32_t)i + 1;
		code = pm_list_add(list, &p->rule);
	}
	return code;
}

static int add_line(struct parse *p, const struct token *name)
{
	struct pm_list *list = p->list;
	int code = pm_strings_intern(&list->names, name->text, name->size, &p->rule.name);

	if (code == 0 && p->aliases_size)
		code = pm_strings_add(&list->aliases, p->aliases, p->aliases_size,
				      &p->rule.aliases);
	p->rule.file = (uint16_t)list->files.n;
	p->rule.line = (uint32_t)p->place.line;
	p->rule.column = (uint16_t)name->column;
	if (code == 0)
		code = add_rules(p);
	p->place.column = name->column;
	return code ? code : pm_list_check(list, p->report, p->place);
}

static void read_line(struct parse *p)
{
	struct token name;
	const char *comment;

	if (!line_sound(p))
		return;
	comment = memchr(p->line, '#', p->size);
	if (comment)
		p->size = (size_t)(comment - p->line);
	p->at = 0;
	if (!token_next(p, &name))
		return;
	p->rule = (struct pm_rule){ .priority = PM_PRIORITY_DEFAULT };
	p->first_host = p->list->n_hosts;
	p->keys = 0;
	p->aliases_size = 0;
	if (read_fields(p, &name))
		p->fatal = add_line(p, &name);
	else
		p->list->n_hosts = p->first_host;
}

int pm_parse(struct pm_list *list, struct pm_report *report, const char *name, const char *text,
	     size_t size)
{
	struct parse p = { .list = list, .report = report, .place = { name, 0, 0 } };
	static const char bom[] = "\xef\xbb\xbf";
	size_t at = size >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0;

	while (at < size && p.fatal == 0) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = end ? (size_t)(end - (text + at)) : size - at;

		p.place.line++;
		p.line = text + at;
		p.size = length && text[at + length - 1] == '\r' ? length - 1 : length;
		read_line(&p);
		at += length + 1;
	}
	return p.fatal;
}
