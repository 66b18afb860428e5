/* SPDX-License-Identifier: MIT */
/* Looking for libarchive when it is needed: found, not found, found without its functions. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unpack-library.h"

#define THREADS 8

static void the_library_that_was_built_with_is_found(void **state)
{
	struct pm_archive archive;
	char why[PM_ARCHIVE_WHY_SIZE] = "";
	struct archive *reader;

	(void)state;
	if (!pm_archive_load_from(PM_ARCHIVE_LIBRARY, &archive, why))
		fail_msg("%s: %s", PM_ARCHIVE_LIBRARY, why);
	reader = archive.archive_read_new();
	assert_non_null(reader);
	assert_int_equal(archive.archive_read_support_filter_gzip(reader), ARCHIVE_OK);
	assert_int_equal(archive.archive_read_free(reader), ARCHIVE_OK);
}

static void a_library_that_is_not_there_is_named(void **state)
{
	struct pm_archive archive = { 0 };
	char why[PM_ARCHIVE_WHY_SIZE] = "";

	(void)state;
	assert_false(pm_archive_load_from("libarchive-of-nowhere.so.0", &archive, why));
	assert_non_null(strstr(why, "libarchive-of-nowhere.so.0"));
	assert_null(archive.archive_read_new);
}

static void a_library_without_the_functions_is_refused(void **state)
{
	struct pm_archive archive = { 0 };
	char why[PM_ARCHIVE_WHY_SIZE] = "";

	(void)state;
	assert_false(pm_archive_load_from(NULL, &archive, why));
	assert_non_null(strstr(why, "archive_"));
	assert_null(archive.archive_read_new);
}

static void a_long_reason_is_cut(void **state)
{
	struct pm_archive archive;
	char name[PM_ARCHIVE_WHY_SIZE * 2], why[PM_ARCHIVE_WHY_SIZE];

	(void)state;
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	memset(why, 'y', sizeof why);
	assert_false(pm_archive_load_from(name, &archive, why));
	assert_non_null(memchr(why, '\0', sizeof why));
}

static void *load(void *ret)
{
	const char *why;

	*(const struct pm_archive **)ret = pm_archive_load(&why);
	return NULL;
}

static void all_threads_get_the_same_functions(void **state)
{
	const struct pm_archive *loaded[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load, &loaded[i]), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_non_null(loaded[0]);
	assert_non_null(loaded[0]->archive_read_new);
	for (int i = 1; i < THREADS; i++)
		assert_ptr_equal(loaded[i], loaded[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_library_that_was_built_with_is_found),
		cmocka_unit_test(a_library_that_is_not_there_is_named),
		cmocka_unit_test(a_library_without_the_functions_is_refused),
		cmocka_unit_test(a_long_reason_is_cut),
		cmocka_unit_test(all_threads_get_the_same_functions),
	};

	return cmocka_run_group_tests_name("unpack", tests, NULL, NULL);
}
