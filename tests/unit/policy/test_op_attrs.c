// SPDX-License-Identifier: Apache-2.0
/*
 * include/op_attrs.h held against the handlers' sources: each key that they put on an operation is in
 * the list, and each entry of the list is somewhere in the sources.
 */
#include "policy_test.h"

#include <glob.h>

#include "op_attrs.h"

enum { SOURCES_MAX = 4 * 1024 * 1024 };
static char sources[SOURCES_MAX];

static int read_all(void **state)
{
	glob_t found;
	size_t n = 0;

	assert_int_equal(glob("userspace/proto/*/*.c", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *f = fopen(found.gl_pathv[i], "re");

		assert_non_null(f);
		n += fread(sources + n, 1, sizeof(sources) - 1 - n, f);
		fclose(f);
	}
	assert_true(n > 100000 && n < sizeof(sources) - 1);
	globfree(&found);
	return 0;
}

static bool listed(const char *key, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_attr_infos); i++)
		if (strlen(op_attr_infos[i].name) == len &&
		    memcmp(op_attr_infos[i].name, key, len) == 0)
			return true;
	return false;
}

/* The first argument in quotes of each call, when there is one on the same line. */
static void check_calls(const char *call)
{
	size_t seen = 0;

	for (const char *at = sources; (at = strstr(at, call)); at++) {
		const char *open = at + strlen(call) + strcspn(at + strlen(call), "\"\n;{)");
		size_t len;

		if (*open != '"')
			continue;
		len = strcspn(open + 1, "\"");
		seen++;
		if (!listed(open + 1, len))
			fail_msg("include/op_attrs.h does not have \"%.*s\"", (int)len, open + 1);
	}
	assert_true(seen > 0);
}

static void test_handlers_put_nothing_else(void **state)
{
	check_calls("attr_text(");
	check_calls("attr_bool(");
	check_calls("attr_int(");
	check_calls(".key = ");
}

static void test_each_is_put_somewhere(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_attr_infos); i++) {
		char quoted[64];

		snprintf(quoted, sizeof(quoted), "\"%s\"", op_attr_infos[i].name);
		if (!strstr(sources, quoted))
			fail_msg("no handler has an attribute %s", quoted);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(op_attr_infos[k].name, op_attr_infos[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handlers_put_nothing_else),
		cmocka_unit_test(test_each_is_put_somewhere),
	};

	return cmocka_run_group_tests(tests, read_all, NULL);
}
