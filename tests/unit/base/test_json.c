// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <errno.h>
#include <jansson.h>

#include "support/test.h"

static void check(struct slice in, const char *want)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_int_equal(json_put_text(&b, in), 0);
	assert_int_equal(buf_put_u8(&b, 0), 0);
	assert_string_equal((const char *)buf_peek(&b).ptr, want);
	buf_done(&b);
}

static void test_text(void **state)
{
	check(SLICE_NONE, "\"\"");
	check(SLICE("plain text"), "\"plain text\"");
	check(SLICE("a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\u000a\\u007f\"");
	check(SLICE("\xc3\xa4\xe2\x82\xac"), "\"\\u00e4\\u20ac\"");
	check(SLICE("\xf0\x9d\x84\x9e"), "\"\\ud834\\udd1e\"");
	check(SLICE("\xff\xc0\x80x"), "\"\\ufffd\\ufffd\\ufffdx\"");
	check(SLICE("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
	check(SLICE("\xe2\x82"), "\"\\ufffd\\ufffd\"");
}

static void test_object_is_json(void **state)
{
	struct buf b;
	json_t *o;

	buf_init(&b, 4096);
	assert_int_equal(buf_put_u8(&b, '{'), 0);
	assert_int_equal(json_put_member(&b, "a", SLICE("x{")), 0);
	assert_int_equal(json_put_number(&b, "n", 18446744073709551615ULL), 0);
	assert_int_equal(json_put_member(&b, "b", SLICE("\x01\xfe")), 0);
	assert_int_equal(buf_put_u8(&b, '}'), 0);
	o = json_loadb((const char *)buf_peek(&b).ptr, buf_len(&b), JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(o);
	assert_int_equal(json_object_size(o), 3);
	assert_string_equal(json_string_value(json_object_get(o, "a")), "x{");
	json_decref(o);
	buf_done(&b);
}

static void test_bounds(void **state)
{
	struct buf b;

	buf_init(&b, 8);
	assert_int_equal(json_put_text(&b, SLICE("0123456789")), -EMSGSIZE);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_object_is_json),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
