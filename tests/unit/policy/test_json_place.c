// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "policy/json_place.h"

static const char text[] = "{\n"
			   "  \"a\": [1, {\"}\": 2}, \"x,]\"],\n"
			   "  \"b\\u00e4\\ud83d\\ude00\\n\": {\"c\": true}\n"
			   "}";

static void expect(const struct json_step *steps, size_t n, bool of_key, unsigned line,
		   unsigned column)
{
	struct json_pos pos = json_place_find(slice_str(text), steps, n, of_key);

	assert_int_equal(pos.line, line);
	assert_int_equal(pos.column, column);
}

static void test_values_and_keys(void **state)
{
	const struct json_step second[] = { { "a", 0 }, { NULL, 1 }, { "}", 0 } };
	const struct json_step third[] = { { "a", 0 }, { NULL, 2 } };
	const struct json_step escaped[] = { { "b\xc3\xa4\xf0\x9f\x98\x80\n", 0 }, { "c", 0 } };

	expect(NULL, 0, false, 1, 1);
	expect(second, 1, false, 2, 8);
	expect(second, 1, true, 2, 3);
	expect(second, 2, false, 2, 12);
	expect(second, 3, false, 2, 18);
	expect(second, 3, true, 2, 13);
	expect(third, 2, false, 2, 22);
	expect(escaped, 2, true, 3, 29);
	expect(escaped, 2, false, 3, 34);
}

static void test_a_path_that_is_not_there_ends_at_what_is(void **state)
{
	const struct json_step steps[] = { { "a", 0 }, { NULL, 9 } };
	const struct json_step wrong[] = { { NULL, 0 } };

	expect(steps, 2, false, 2, 8);
	expect(wrong, 1, false, 1, 1);
}

static void test_limits_see_through_strings_only(void **state)
{
	struct json_pos pos;

	assert_int_equal(json_place_limits(SLICE("[\"[[[\\\"[\",[]]"), 2, 10, &pos), 0);
	assert_int_equal(json_place_limits(SLICE("[\n[[]]]"), 2, 10, &pos), -EMSGSIZE);
	assert_int_equal(pos.line, 2);
	assert_int_equal(pos.column, 2);
	assert_int_equal(json_place_limits(SLICE("[1,1,1]"), 2, 3, &pos), -EMSGSIZE);
	assert_int_equal(json_place_limits(SLICE("]]]\"\\"), 2, 3, &pos), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_and_keys),
		cmocka_unit_test(test_a_path_that_is_not_there_ends_at_what_is),
		cmocka_unit_test(test_limits_see_through_strings_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
