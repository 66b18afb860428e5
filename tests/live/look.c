/* SPDX-License-Identifier: MIT */
/*
 * look INTERFACE: opens it for two threads, waits for a line of standard input, looks at it as the
 * first of them and then as the other, and prints what each was told.
 */
#include <stdio.h>

#include <portmeter/capture.h>

#define THREADS 2

int main(int argc, char **argv)
{
	struct pm_capture_options options = { 0 };
	struct pm_capture *captures[THREADS];
	struct pm_error err = { 0 };

	if (argc != 2)
		return 2;
	if (pm_capture_open_shared(argv[1], &options, THREADS, &err, captures) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	puts("open");
	fflush(stdout);
	getchar();
	for (size_t i = 0; i < THREADS; i++) {
		err.text[0] = '\0';
		printf("%d %s\n", pm_capture_look(captures[i], &err) == PM_E_IO, err.text);
	}
	for (size_t i = 0; i < THREADS; i++)
		pm_capture_close(captures[i]);
	return 0;
}
