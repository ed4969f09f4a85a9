// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <poll.h>

#include "session/programs.h"

static bool readable(const struct programs *p)
{
	struct pollfd fd = { .fd = programs_wanted_fd(p), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static void test_asked_told_taken(void **state)
{
	struct programs *p;
	struct program_ask ask;
	uint64_t key;
	char *path = NULL;

	assert_int_equal(programs_new(&p), 0);
	assert_false(readable(p));
	assert_int_equal(programs_ask(p, 42, 7, &key), 0);
	assert_true(readable(p));
	assert_int_equal(programs_take(p, key, &path), 0);
	assert_int_equal(programs_wanted(p, &ask), 1);
	assert_true(ask.key == key && ask.pid == 42 && ask.cgroup_id == 7);
	assert_int_equal(programs_wanted(p, &ask), 0);
	assert_false(readable(p));
	programs_told(p, key, "/usr/bin/curl");
	assert_int_equal(programs_take(p, key, &path), 1);
	assert_string_equal(path, "/usr/bin/curl");
	free(path);
	assert_int_equal(programs_take(p, key, &path), 0); /* once */
	assert_null(programs_free(p));
}

static void test_late_and_foreign_answers_count_for_nothing(void **state)
{
	struct programs *p;
	struct program_ask ask;
	uint64_t key, other;
	char *path = NULL;

	assert_int_equal(programs_new(&p), 0);
	assert_int_equal(programs_ask(p, 1, 1, &key), 0);
	programs_told(p, key, "/unasked");
	assert_int_equal(programs_take(p, key, &path), 0);
	assert_int_equal(programs_wanted(p, &ask), 1);
	programs_forget(p, key);
	programs_told(p, key, "/late");
	programs_told(p, key + PROGRAMS_MAX, "/foreign");
	assert_int_equal(programs_take(p, key, &path), 0);
	assert_int_equal(programs_ask(p, 2, 1, &other), 0);
	assert_int_equal(programs_wanted(p, &ask), 1);
	programs_told(p, other, NULL);
	assert_int_equal(programs_take(p, other, &path), 1);
	assert_string_equal(path, "");
	free(path);
	assert_null(programs_free(p));
}

static void test_bounded(void **state)
{
	struct programs *p;
	uint64_t key, first = 0;

	assert_int_equal(programs_new(&p), 0);
	for (int i = 0; i < PROGRAMS_MAX; i++) {
		assert_int_equal(programs_ask(p, 1, 1, &key), 0);
		first = first ? first : key;
	}
	assert_int_equal(programs_ask(p, 1, 1, &key), -ENOBUFS);
	programs_forget(p, first);
	assert_int_equal(programs_ask(p, 1, 1, &key), 0);
	assert_null(programs_free(p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asked_told_taken),
		cmocka_unit_test(test_late_and_foreign_answers_count_for_nothing),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
