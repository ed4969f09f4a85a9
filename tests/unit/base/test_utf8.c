// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include "base/utf8.h"

static void test_every_code_point_is_written_validly(void **state)
{
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		uint8_t out[4];
		size_t n = utf8_put(out, c);

		assert_true(n >= 1 && n <= 4);
		assert_int_equal(utf8_valid(slice_of(out, n)), c < 0xd800 || c > 0xdfff);
		if (c < 0xd800 || c > 0xdfff) {
			uint32_t back = 0;

			assert_int_equal(utf8_next(slice_of(out, n), &back), n);
			assert_int_equal(back, c);
		}
		assert_true(n == 1 || !utf8_valid(slice_of(out, n - 1))); /* cut short */
	}
}

static void test_what_is_not_utf8(void **state)
{
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xe0\x9f\xbf",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "a\xff",
					   "\xc3(",
					   "\xe2\x82(" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(utf8_valid(slice_str(bad[i])));
	assert_true(utf8_valid(SLICE("")));
	assert_true(utf8_valid(SLICE("a\0b")));
	assert_true(utf8_valid(SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8a")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_point_is_written_validly),
		cmocka_unit_test(test_what_is_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
