/* SPDX-License-Identifier: MIT */
/*
 * A program of the build: reads rules files and writes them as one C file of constants, so
 * that the shipped rules are there at once and need neither files nor parsing at start-up.
 * Usage: embed OUTPUT.c RULES...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

struct input {
	const char *name; /* without folders: what the shipped file is called */
	struct pm_list list;
	uint8_t digest[PM_SHA256_SIZE];
};

static void print_remark(void *ctx, const struct pm_remark *remark)
{
	(void)ctx;
	fprintf(stderr, "%s:%d:%d: %s: %s\n", remark->file, remark->line, remark->column,
		pm_remark_name(remark->kind), remark->text);
}

static int input_read(struct input *input, const char *path)
{
	struct pm_report report = { .remark = print_remark };
	struct pm_sha256 sha;
	char *text = NULL;
	size_t size = 0;
	int code = pm_file_read(path, &report, &text, &size);

	if (code == 0 && !text)
		code = pm_report_fail(&report, PM_E_IO, (struct pm_place){ path, 0, 0 },
				      "a folder");
	if (code == 0) {
		pm_sha256_init(&sha);
		pm_sha256_update(&sha, text, size);
		pm_sha256_final(&sha, input->digest);
		code = pm_list_file(&input->list, path, input->digest);
	}
	if (code == 0)
		code = pm_parse(&input->list, &report, path, text, size);
	if (code == 0 && input->list.n_hosts)
		code = pm_report_fail(&report, PM_E_RULES, (struct pm_place){ path, 0, 0 },
				      "shipped rules hold for any address: no host=");
	free(text);
	return code ? code : report.code;
}

static void write_text(FILE *out, const char *text)
{
	do
		fprintf(out, "%d,", *text);
	while (*text++);
	fputc('\n', out);
}

static void write_strings(FILE *out, const struct pm_strings *strings)
{
	for (uint32_t i = 1; i <= strings->n; i++)
		write_text(out, pm_strings_at(strings, i));
}

static void write_rows(FILE *out, const struct pm_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct pm_rule *rule = &list->rules[i];
		uint32_t categories = list->names.n, aliases = categories + list->categories.n;
		uint32_t row[PM_SHIPPED_COLUMNS] = {
			[PM_SHIPPED_NAME] = rule->name,
			[PM_SHIPPED_CATEGORY] = rule->category ? categories + rule->category : 0,
			[PM_SHIPPED_ALIASES] = rule->aliases ? aliases + rule->aliases : 0,
			[PM_SHIPPED_LINE] = rule->line,
			[PM_SHIPPED_PORTS] = (uint32_t)rule->low << 16 | rule->high,
			[PM_SHIPPED_BITS] = (uint32_t)rule->column << 16 |
					    (uint32_t)rule->transports << 11 |
					    (uint32_t)rule->flags << 7 | rule->priority,
		};

		for (size_t column = 0; column < PM_SHIPPED_COLUMNS; column++)
			fprintf(out, "%c%u", column ? ',' : '{', row[column]);
		fputs("},\n", out);
	}
}

static void write_counts(FILE *out, const struct pm_list *list)
{
	uint32_t counts[PM_SHIPPED_COUNTS] = {
		[PM_SHIPPED_ROWS] = (uint32_t)list->n,
		[PM_SHIPPED_NAMES] = list->names.n,
		[PM_SHIPPED_CATEGORIES] = list->categories.n,
		[PM_SHIPPED_ALIAS_LISTS] = list->aliases.n,
		[PM_SHIPPED_NAME_BYTES] = (uint32_t)list->names.size,
	};

	for (size_t i = 0; i < PM_SHIPPED_COUNTS; i++)
		fprintf(out, "%c%u", i ? ',' : '{', counts[i]);
	fputs("},\n", out);
}

static void write_digest(FILE *out, const uint8_t digest[PM_SHA256_SIZE])
{
	for (size_t i = 0; i < PM_SHA256_SIZE; i++)
		fprintf(out, "%c%u", i ? ',' : '{', digest[i]);
	fputs("},\n", out);
}

/*
 * The file stands alone, for it is compiled elsewhere; each array ends in a zero, so that none
 * is empty.
 */
static void write_all(FILE *out, const struct input *inputs, size_t n)
{
	fprintf(out, "/* Written by src/service/embed.c from the shipped rules files. */\n"
		     "#include <stdint.h>\n\n"
		     "extern const uint32_t pm_shipped_n;\n"
		     "extern const uint32_t pm_shipped_rows[][%d];\n"
		     "extern const uint32_t pm_shipped_counts[][%d];\n"
		     "extern const uint8_t pm_shipped_digests[][%d];\n"
		     "extern const char pm_shipped_text[];\n\n"
		     "const uint32_t pm_shipped_n = %zu;\n",
		PM_SHIPPED_COLUMNS, PM_SHIPPED_COUNTS, PM_SHA256_SIZE, n);
	fprintf(out, "const uint32_t pm_shipped_rows[][%d] = {\n", PM_SHIPPED_COLUMNS);
	for (size_t i = 0; i < n; i++)
		write_rows(out, &inputs[i].list);
	fprintf(out, "{0}};\nconst uint32_t pm_shipped_counts[][%d] = {\n", PM_SHIPPED_COUNTS);
	for (size_t i = 0; i < n; i++)
		write_counts(out, &inputs[i].list);
	fprintf(out, "{0}};\nconst uint8_t pm_shipped_digests[][%d] = {\n", PM_SHA256_SIZE);
	for (size_t i = 0; i < n; i++)
		write_digest(out, inputs[i].digest);
	fprintf(out, "{0}};\nconst char pm_shipped_text[] = {\n");
	for (size_t i = 0; i < n; i++)
		write_text(out, inputs[i].name);
	for (size_t i = 0; i < n; i++) {
		write_strings(out, &inputs[i].list.names);
		write_strings(out, &inputs[i].list.categories);
		write_strings(out, &inputs[i].list.aliases);
	}
	fputs("0};\n", out);
}

static int write_file(const char *path, const struct input *inputs, size_t n)
{
	FILE *out = fopen(path, "w");
	bool bad;

	if (out) {
		write_all(out, inputs, n);
		bad = ferror(out);
		bad = fclose(out) != 0 || bad;
		if (!bad)
			return 0;
	}
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return PM_E_IO;
}

static int by_name(const void *a, const void *b)
{
	const struct input *left = a, *right = b;

	return strcmp(left->name, right->name);
}

int main(int argc, char **argv)
{
	size_t n = argc > 2 ? (size_t)argc - 2 : 0;
	struct input *inputs = calloc(n + 1, sizeof *inputs);
	int code = inputs ? 0 : PM_E_MEMORY;

	for (size_t i = 0; i < n && code == 0; i++) {
		inputs[i].name = pm_base_name(argv[i + 2]);
		code = input_read(&inputs[i], argv[i + 2]);
	}
	if (code == 0) {
		qsort(inputs, n, sizeof *inputs, by_name);
		code = n ? write_file(argv[1], inputs, n) : PM_E_INVALID;
	}
	if (code)
		fprintf(stderr, "embed: %s\n", pm_strerror(code));
	for (size_t i = 0; inputs && i < n; i++)
		pm_list_fini(&inputs[i].list);
	free(inputs);
	return code ? 1 : 0;
}
