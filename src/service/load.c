/* SPDX-License-Identifier: MIT */
/*
 * Gathers the rules: from the paths given, or from the shipped files joined by a folder's in
 * name order, where the same name replaces.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

#ifndef PM_RULES_FOLDER
#define PM_RULES_FOLDER "/etc/portmeter/rules.d"
#endif

const char *pm_rules_folder(void)
{
	return PM_RULES_FOLDER;
}

/* All errors of all files are said: only the lack of memory ends a load at once. */
static int go_on(int code)
{
	return code == PM_E_MEMORY ? code : 0;
}

static int add_text(struct pm_list *list, struct pm_report *report, const char *name,
		    const char *text, size_t size)
{
	struct pm_place place = { name, 0, 0 };
	uint8_t digest[PM_SHA256_SIZE];
	struct pm_sha256 sha;
	int code;

	if (size > PM_FILE_MAX)
		return pm_report_fail(report, PM_E_RULES, place, "the file is larger than 64 MiB");
	if (list->files.n == PM_FILES_MAX)
		return pm_report_fail(report, PM_E_RULES, place, "more than %d files", PM_FILES_MAX);
	pm_sha256_init(&sha);
	pm_sha256_update(&sha, text, size);
	pm_sha256_final(&sha, digest);
	code = pm_list_file(list, name, digest);
	return code ? code : pm_parse(list, report, name, text, size);
}

static char *path_join(const char *folder, const char *name)
{
	size_t length = strlen(folder), size = length + strlen(name) + 2;
	char *path = malloc(size);

	if (path)
		snprintf(path, size, "%s%s%s", folder,
			 length && folder[length - 1] == '/' ? "" : "/", name);
	return path;
}

/* A file that a folder lists. */
static int add_listed(struct pm_list *list, struct pm_report *report, const char *folder,
		      const char *name)
{
	char *path = path_join(folder, name), *text = NULL;
	size_t size = 0;
	int code = path ? pm_file_read(path, report, &text, &size) : PM_E_MEMORY;

	if (code == 0 && !text)
		code = pm_report_fail(report, PM_E_IO, (struct pm_place){ path, 0, 0 },
				      "a folder in a folder of rules");
	if (code == 0)
		code = add_text(list, report, path, text, size);
	free(text);
	free(path);
	return code;
}

static int add_folder(struct pm_list *list, struct pm_report *report, const char *folder)
{
	char **names = NULL;
	size_t n = 0;
	int code = pm_folder_list(folder, false, report, &names, &n);

	if (code == 0 && n == 0)
		pm_report_say(report, PM_REMARK_WARNING, (struct pm_place){ folder, 0, 0 },
			      "no file in this folder is named *.rules");
	for (size_t i = 0; i < n && code == 0; i++)
		code = go_on(add_listed(list, report, folder, names[i]));
	free(names);
	return code;
}

static int add_path(struct pm_list *list, struct pm_report *report, const char *path)
{
	char *text = NULL;
	size_t size = 0;
	int code = pm_file_read(path, report, &text, &size);

	if (code == 0 && text)
		code = add_text(list, report, path, text, size);
	else if (code == 0)
		code = add_folder(list, report, path);
	free(text);
	return code;
}

/* Two sorted lists of names, merged. */
static int add_search(struct pm_list *list, struct pm_report *report, const char *folder)
{
	struct pm_shipped_at at = pm_shipped_first();
	char **names = NULL;
	size_t n = 0, i = 0;
	int code = folder ? pm_folder_list(folder, true, report, &names, &n) : 0;

	code = go_on(code);
	if (code == 0)
		code = pm_shipped_reserve(list);
	while (code == 0 && (i < n || at.index < pm_shipped_n)) {
		int order = i < n ? -1 : 1;

		if (i < n && at.index < pm_shipped_n)
			order = strcmp(names[i], at.name);
		if (order >= 0)
			code = pm_shipped_read(&at, order > 0 ? list : NULL, report);
		if (order <= 0 && code == 0)
			code = add_listed(list, report, folder, names[i++]);
		code = go_on(code);
	}
	free(names);
	return code;
}

static void digest_text(const struct pm_list *list, char ret_hex[PM_SHA256_HEX_SIZE])
{
	struct pm_sha256 sha = list->sha;
	uint8_t digest[PM_SHA256_SIZE];

	if (list->files.n == 0)
		pm_sha256_init(&sha);
	pm_sha256_final(&sha, digest);
	pm_sha256_hex(digest, ret_hex);
}

static int rules_new(struct pm_rules **ret_rules)
{
	/* Large and zeroed: the system gives pages only to the ports that have labels. */
	struct pm_rules *rules = calloc(1, sizeof *rules);

	if (!rules)
		return PM_E_MEMORY;
	atomic_init(&rules->references, 1);
	*ret_rules = rules;
	return 0;
}

/* Compiles what was gathered with result @code; takes over @rules. */
static int rules_finish(struct pm_rules *rules, struct pm_report *report,
			const struct pm_rules_options *options, int code,
			struct pm_rules **ret_rules)
{
	if (report->code && code != PM_E_MEMORY)
		code = report->code;
	if (code == 0)
		code = pm_compile(rules, report, options->check);
	if (code) {
		pm_error_set(report->err, code, NULL, 0, 0, "%s", pm_strerror(code));
		pm_rules_unref(rules);
		return code;
	}
	digest_text(&rules->list, rules->sha256);
	rules->generation = options->generation;
	*ret_rules = rules;
	return 0;
}

static struct pm_report report_make(const struct pm_rules_options *options, struct pm_error *err)
{
	return (struct pm_report){ .remark = options->remark, .ctx = options->ctx, .err = err };
}

static const struct pm_rules_options defaults;

int pm_rules_load(const struct pm_rules_options *options, struct pm_error *err,
		  struct pm_rules **ret_rules)
{
	struct pm_rules *rules = NULL;
	struct pm_report report;
	int code = rules_new(&rules);

	if (code)
		return pm_error_set(err, code, NULL, 0, 0, "%s", pm_strerror(code));
	options = options ? options : &defaults;
	report = report_make(options, err);
	if (options->n_paths == 0)
		code = add_search(&rules->list, &report, options->folder);
	for (size_t i = 0; i < options->n_paths && code == 0; i++)
		code = go_on(add_path(&rules->list, &report, options->paths[i]));
	return rules_finish(rules, &report, options, code, ret_rules);
}

int pm_rules_load_text(const char *name, const char *text, size_t size,
		       const struct pm_rules_options *options, struct pm_error *err,
		       struct pm_rules **ret_rules)
{
	struct pm_rules *rules = NULL;
	struct pm_report report;
	int code = rules_new(&rules);

	if (code)
		return pm_error_set(err, code, NULL, 0, 0, "%s", pm_strerror(code));
	options = options ? options : &defaults;
	report = report_make(options, err);
	code = add_text(&rules->list, &report, name, text, size);
	return rules_finish(rules, &report, options, code, ret_rules);
}
