/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without a fuzzer: runs it once on each file named, and on each file of each folder
 * named; and, where it has a mutator of its own, on a few inputs that this makes of each, unless
 * FUZZ_NO_MUTANTS is set.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
	__attribute__((weak));
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

#define INPUT_MAX ((size_t)16 << 20)
#define MUTANT_MAX ((size_t)4096)
#define MUTANTS 40

/* What a mutator asks for where it does not know better: a byte is another one, or one more. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
	if (size < most && (size == 0 || data[size / 2] & 1))
		data[size++] = 0x55;
	else
		data[size / 2] ^= 0x5a;
	return size;
}

/* One made of the other, from the same numbers in every run. */
static void replay_mutants(const uint8_t *data, size_t size)
{
	uint8_t *mutant = malloc(MUTANT_MAX), *exact;

	if (!mutant || size > MUTANT_MAX) {
		free(mutant);
		return;
	}
	if (size)
		memcpy(mutant, data, size);
	for (unsigned seed = 1; seed <= MUTANTS; seed++) {
		size = LLVMFuzzerCustomMutator(mutant, size, MUTANT_MAX, seed);
		exact = malloc(size ? size : 1);
		if (!exact)
			break;
		memcpy(exact, mutant, size);
		LLVMFuzzerTestOneInput(exact, size);
		free(exact);
	}
	free(mutant);
}

static int complain(const char *path)
{
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	return -1;
}

/* In a block of exactly its size, so that a sanitizer sees a read past it. */
static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *all = malloc(INPUT_MAX), *exact;
	size_t size;

	if (!file || !all) {
		if (file)
			fclose(file);
		free(all);
		return complain(path);
	}
	size = fread(all, 1, INPUT_MAX, file);
	if (ferror(file) || size == INPUT_MAX || !(exact = realloc(all, size ? size : 1))) {
		fclose(file);
		free(all);
		return complain(path);
	}
	fclose(file);
	LLVMFuzzerTestOneInput(exact, size);
	if (LLVMFuzzerCustomMutator && !getenv("FUZZ_NO_MUTANTS"))
		replay_mutants(exact, size);
	free(exact);
	return 1;
}

/* How many files were run; negative: one could not be read. */
static int replay_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	int n = 0;

	if (!folder)
		return complain(path);
	while (n >= 0 && (entry = readdir(folder)) != NULL) {
		char name[4096];
		int length, r;

		if (entry->d_name[0] == '.')
			continue;
		length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
		r = length < (int)sizeof name ? replay_file(name) : -1;
		n = r < 0 ? r : n + r;
	}
	closedir(folder);
	return n;
}

int main(int argc, char **argv)
{
	int all = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;
		int n;

		if (stat(argv[i], &st) < 0) {
			complain(argv[i]);
			return 1;
		}
		n = S_ISDIR(st.st_mode) ? replay_folder(argv[i]) : replay_file(argv[i]);
		if (n < 0)
			return 1;
		all += n;
	}
	printf("%d inputs\n", all);
	return all == 0; /* a corpus that went missing must not look like success */
}
