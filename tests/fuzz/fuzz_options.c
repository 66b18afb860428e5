/* SPDX-License-Identifier: MIT */
/*
 * Any words as a command line: taken, or refused with one line that says why.
 *
 *   word NUL word NUL ... NUL NUL text
 *
 * The text behind an empty word is what the file "f" holds, the one file that there is, so that
 * nothing of the machine is read. Names are looked up nowhere. What is said on standard error is
 * kept and looked at. Links with --wrap for what options.c asks the system.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app.h"
#include "require.h"

#define WORDS 64
#define SIZE 4096 /* longer filters cost libpcap more time than they show */

/* What the program is told of its machine. */
static struct {
	bool on;
	const char *text;
	size_t size;
	char said[1 << 17];
	size_t n_said, lines;
} machine;

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);

static bool is_there(const char *path)
{
	errno = ENOENT;
	return strcmp(path, "f") == 0;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	static char nothing[1];

	if (!machine.on)
		return __real_fopen(path, mode);
	if (!is_there(path))
		return NULL;
	return machine.size ? fmemopen((void *)(uintptr_t)machine.text, machine.size, "r")
			    : fmemopen(nothing, 1, "r");
}

int __wrap_stat(const char *path, struct stat *st)
{
	if (!machine.on)
		return __real_stat(path, st);
	memset(st, 0, sizeof *st);
	st->st_mode = S_IFREG | 0644;
	return is_there(path) ? 0 : -1;
}

int __wrap_access(const char *path, int mode)
{
	if (!machine.on)
		return __real_access(path, mode);
	return is_there(path) ? 0 : -1;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (!machine.on || fd != STDERR_FILENO)
		return __real_write(fd, bytes, size);
	REQUIRE(machine.n_said + size < sizeof machine.said);
	memcpy(machine.said + machine.n_said, bytes, size);
	machine.n_said += size;
	return (ssize_t)size;
}

/* Whole lines of text, each with the program's name; counted without notes. */
static void look_at_lines(void)
{
	const char head[] = "portmeter: ", note[] = "portmeter: note: ";
	char *line = machine.said, *end;

	machine.said[machine.n_said] = '\0';
	machine.lines = 0;
	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		REQUIRE(end && strncmp(line, head, strlen(head)) == 0);
		for (const char *c = line; c < end; c++)
			REQUIRE((unsigned char)*c >= 0x20 && *c != 0x7f);
		machine.lines += strncmp(line, note, strlen(note)) != 0;
	}
}

static bool is_word(char *const *words, int n, const char *text)
{
	for (int i = 0; i < n; i++)
		if (text >= words[i] && text <= words[i] + strlen(words[i]))
			return true;
	return false;
}

/* What the rest of the program relies on. */
static void look_at(const struct options *o, char *const *words, int n)
{
	const struct pm_capture_options *c = &o->capture;

	REQUIRE(o->command < COMMAND_N);
	REQUIRE(!o->n_interfaces || !o->n_files);
	REQUIRE(o->n_interfaces < WORDS && o->n_files < WORDS && o->n_rules < WORDS);
	for (size_t i = 0; i < o->n_interfaces; i++)
		REQUIRE(is_word(words, n, o->interfaces[i]));
	for (size_t i = 0; i < o->n_files; i++)
		REQUIRE(is_word(words, n, o->files[i]));
	for (size_t i = 0; i < o->n_rules; i++)
		REQUIRE(is_word(words, n, o->rules[i]));
	REQUIRE(o->command != COMMAND_EXPLAIN || is_word(words, n, o->explain));
	REQUIRE(!o->sensor || o->sensor[0]);
	REQUIRE(o->interval_ns == 0 || o->interval_ns >= 1000000);
	REQUIRE(o->interval_ns <= INT64_C(366) * 86400 * PM_NS_PER_S);
	REQUIRE(o->jobs >= 1 && o->jobs <= 256);
	REQUIRE(o->endpoints <= 1 << 24 && (o->endpoints == 0 || o->by_endpoint));
	REQUIRE(o->output.format < PM_FORMAT_N);
	REQUIRE(!o->inner == !o->tunnels);
	REQUIRE(c->snaplen >= 0 && c->snaplen <= 262144 && c->buffer_kib >= 0);
	REQUIRE(c->block == 0 || (c->block >= 64 && c->block <= 16 << 20));
	REQUIRE(c->filter == o->filter && (!o->filter || strlen(o->filter) < SIZE + WORDS));
	REQUIRE(!c->follow || o->n_files == 1);
	REQUIRE(!o->explain_frame || o->jobs == 1);
}

/* Splits @text in place. Returns the number of words; the file's text is noted. */
static int split(char *text, size_t size, char *words[WORDS + 2])
{
	static char name[] = "portmeter";
	size_t at = 0;
	int n = 1;

	words[0] = name;
	while (n <= WORDS && at < size && text[at]) {
		words[n++] = text + at;
		at += strlen(text + at) + 1;
	}
	words[n] = NULL;
	at++; /* behind the empty word */
	machine.text = at < size ? text + at : NULL;
	machine.size = at < size ? size - at : 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *words[WORDS + 2], *text;
	struct options options;
	int n, code;

	if (size > SIZE)
		return 0;
	text = malloc(size + 1);
	REQUIRE(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	n = split(text, size, words);
	machine.n_said = 0;
	machine.on = true;
	optind = 0; /* getopt begins anew */
	code = options_parse(n, words, &options);
	machine.on = false;
	look_at_lines();
	REQUIRE(code == EXIT_DONE || code == EXIT_USAGE);
	REQUIRE(machine.lines == (code == EXIT_USAGE));
	if (code == EXIT_DONE)
		look_at(&options, words, n);
	options_fini(&options);
	free(text);
	return 0;
}
