// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include "base/glob.h"

static bool m(const char *pattern, const char *text, char sep)
{
	return glob_match(slice_str(pattern), slice_str(text), (uint8_t)sep, GLOB_EXACT);
}

static void test_single_star_stays_in_component(void **state)
{
	assert_true(m("/a/*", "/a/b", '/'));
	assert_false(m("/a/*", "/a/b/c", '/'));
	assert_false(m("/a/*", "/a", '/'));
	assert_true(m("*.example.com", "www.example.com", '.'));
	assert_false(m("*.example.com", "a.b.example.com", '.'));
	assert_false(m("*.example.com", "example.com", '.'));
}

static void test_double_star_crosses(void **state)
{
	assert_true(m("/a/**", "/a/b/c", '/'));
	assert_true(m("/a/**", "/a", '/'));
	assert_false(m("/a/**", "/ab", '/'));
	assert_true(m("**/x", "/a/b/x", '/'));
	assert_true(m("/a/**/z", "/a/b/c/z", '/'));
	assert_true(m("**", "", '/'));
}

static void test_no_separator(void **state)
{
	assert_true(m("a*z", "a/b/z", 0));
	assert_true(m("?", "/", 0));
	assert_false(m("?", "/", '/'));
}

static void test_many_stars_are_not_exponential(void **state)
{
	char text[4096];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(m("*a*a*a*a*a*a*a*a*a*a*b", text, '/'));
	assert_false(m("**a*a**a*a**a*a**a*a**b", text, '/'));
}

static void test_fold(void **state)
{
	assert_true(
		glob_match(SLICE("*.EXAMPLE.com"), SLICE("Www.example.COM"), '.', GLOB_FOLD_ASCII));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_star_stays_in_component),
		cmocka_unit_test(test_double_star_crosses),
		cmocka_unit_test(test_no_separator),
		cmocka_unit_test(test_many_stars_are_not_exponential),
		cmocka_unit_test(test_fold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
