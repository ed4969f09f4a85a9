// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "proto/pg/internal.h"

static void expect(uint32_t oid, struct slice v, size_t max, const char *text)
{
	struct slice got;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_int_equal(pg_param_text(&a, oid, true, v, max, &got), 0);
	assert_int_equal(got.len, strlen(text));
	assert_memory_equal(got.ptr, text, got.len);
	arena_done(&a);
}

static void test_text_format_is_borrowed(void **state)
{
	struct slice v = SLICE("as it is"), got;
	struct arena a;

	arena_init(&a, 0); /* nothing may be taken */
	assert_int_equal(pg_param_text(&a, 23, false, v, 5, &got), 0);
	assert_ptr_equal(got.ptr, v.ptr);
	assert_int_equal(got.len, 5);
	assert_int_equal(pg_param_text(&a, 23, true, SLICE("\0\0\0\1"), 99, &got), -ENOMEM);
	arena_done(&a);
}

static void test_numbers(void **state)
{
	expect(16, SLICE("\1"), 99, "true");
	expect(21, SLICE("\xff\xfe"), 99, "-2");
	expect(23, SLICE("\x80\0\0\0"), 99, "-2147483648");
	expect(20, SLICE("\x7f\xff\xff\xff\xff\xff\xff\xff"), 99, "9223372036854775807");
	expect(26, SLICE("\xff\xff\xff\xff"), 99, "4294967295");
	expect(701, SLICE("\x3f\xf8\0\0\0\0\0\0"), 99, "1.5");
	expect(700, SLICE("\xbf\0\0\0"), 99, "-0.5");
}

/* Bytes of numeric_send for the same values. */
static void test_numeric(void **state)
{
	expect(1700, SLICE("\0\2\0\0\0\0\0\2\0\x0c\x0d\x48"), 99, "12.34");
	expect(1700, SLICE("\0\1\xff\xff\x40\0\0\4\0\5"), 99, "-0.0005");
	expect(1700, SLICE("\0\1\0\1\0\0\0\0\0\1"), 99, "10000");
	expect(1700, SLICE("\0\0\0\0\xc0\0\0\0"), 99, "NaN");
	expect(1700, SLICE("\0\0\0\0\0\0\0\0"), 99, "0");
	/* More digits claimed than there are; a digit beyond 9999; six bytes for a huge number. */
	expect(1700, SLICE("\0\2\0\0\0\0\0\0\0\1"), 99, "\\x00020000000000000001");
	expect(1700, SLICE("\0\1\0\0\0\0\0\0\xff\xff"), 99, "\\x0001000000000000ffff");
	expect(1700, SLICE("\0\1\x7f\xff\0\0\0\0\0\1"), 99, "\\x00017fff000000000001");
}

static void test_time(void **state)
{
	expect(1082, SLICE("\0\0\0\0"), 99, "2000-01-01");
	expect(1082, SLICE("\0\0\x22\x79"), 99, "2024-02-29"); /* 8825 days */
	expect(1082, SLICE("\x7f\xff\xff\xff"), 99, "infinity");
	expect(1114, SLICE("\0\0\0\0\0\0\0\1"), 99, "2000-01-01 00:00:00.000001");
	expect(1184, SLICE("\xff\xff\xff\xff\xff\xff\xff\xff"), 99,
	       "1999-12-31 23:59:59.999999+00");
	expect(1114, SLICE("\x80\0\0\0\0\0\0\0"), 99, "-infinity");
}

static void test_text_like(void **state)
{
	expect(25, SLICE("text"), 99, "text");
	expect(1043, SLICE("long text"), 4, "long");
	expect(3802, SLICE("\1{\"a\":1}"), 99, "{\"a\":1}");
	expect(3802, SLICE("\2{}"), 99, "\\x027b7d");
	expect(2950, SLICE("\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"), 99,
	       "00010203-0405-0607-0809-0a0b0c0d0e0f");
}

static void test_rest_is_hex(void **state)
{
	expect(17, SLICE("\xde\xad"), 99, "\\xdead");
	expect(0, SLICE("\0\x01"), 99, "\\x0001");
	expect(23, SLICE("\0\1"), 99, "\\x0001"); /* not the length of an int4 */
	expect(0, SLICE("\1\2\3\4\5\6"), 8, "\\x010203");
	expect(1007, SLICE(""), 99, "\\x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_format_is_borrowed),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_numeric),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_text_like),
		cmocka_unit_test(test_rest_is_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
