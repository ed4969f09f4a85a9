// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "base/buf.h"

static void test_appends_and_consumes_in_order(void **state)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(buf_put_str(&b, "hello "), 0);
	assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
	assert_true(slice_eq_str(buf_peek(&b), "hello 42-x"));
	buf_consume(&b, 6);
	assert_true(slice_eq_str(buf_peek(&b), "42-x"));
	buf_truncate(&b, 2);
	assert_true(slice_eq_str(buf_peek(&b), "42"));
	buf_consume(&b, 2);
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
}

static void test_numbers_are_big_endian(void **state)
{
	struct buf b;

	buf_init(&b, 16);
	assert_int_equal(buf_put_u8(&b, 1), 0);
	assert_int_equal(buf_put_be16(&b, 0x0203), 0);
	assert_int_equal(buf_put_be32(&b, 0x04050607), 0);
	assert_memory_equal(buf_peek(&b).ptr, "\1\2\3\4\5\6\7", 7);
	buf_done(&b);
}

static void test_maximum_holds_and_failed_puts_add_nothing(void **state)
{
	struct buf b;
	uint8_t big[64] = { 0 };

	buf_init(&b, 60);
	assert_int_equal(buf_put(&b, big, 64), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_put(&b, big, 60), 0);
	assert_int_equal(buf_put_u8(&b, 1), -EMSGSIZE);
	assert_int_equal(buf_printf(&b, "x"), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 60);
	buf_consume(&b, 10);
	assert_int_equal(buf_printf(&b, "%s", "0123456789"), 0);
	assert_int_equal(buf_room(&b), 0);
	buf_done(&b);
}

static void test_long_queues_keep_every_byte(void **state)
{
	struct buf b;
	uint8_t next_in = 0, next_out = 0;
	size_t seed = 1;

	buf_init(&b, 5000);
	for (int i = 0; i < 20000; i++) {
		uint8_t chunk[97];
		size_t n = (seed = seed * 1103515245 + 12345) / 65536 % sizeof(chunk);
		size_t take;

		for (size_t k = 0; k < n; k++)
			chunk[k] = (uint8_t)(next_in + k);
		if (buf_put(&b, chunk, n) == 0)
			next_in = (uint8_t)(next_in + n);
		take = (seed = seed * 1103515245 + 12345) / 65536 % 100;
		take = MIN(take, buf_len(&b));
		for (size_t k = 0; k < take; k++)
			assert_int_equal(buf_peek(&b).ptr[k], (uint8_t)(next_out + k));
		next_out = (uint8_t)(next_out + take);
		buf_consume(&b, take);
	}
	buf_done(&b);
}

static void test_reserve_gives_what_was_asked(void **state)
{
	struct buf b;
	uint8_t *p;
	size_t space;

	buf_init(&b, 100);
	assert_int_equal(buf_reserve(&b, 101, &p, &space), -EMSGSIZE);
	assert_int_equal(buf_reserve(&b, 80, &p, &space), 0);
	assert_true(space >= 80 && space <= 100);
	memset(p, 'x', 80);
	buf_commit(&b, 80);
	assert_int_equal(buf_len(&b), 80);
	buf_done(&b);
}

static int fill(void *ctx)
{
	struct buf b;
	int r = 0;

	buf_init(&b, 1 << 20);
	for (int i = 0; r == 0 && i < 100; i++)
		r = buf_printf(&b, "%0100d", i);
	if (r < 0)
		assert_int_equal(r, -ENOMEM);
	buf_done(&b);
	return r;
}

static void test_without_memory(void **state)
{
	alloc_fail_each(fill, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_appends_and_consumes_in_order),
		cmocka_unit_test(test_numbers_are_big_endian),
		cmocka_unit_test(test_maximum_holds_and_failed_puts_add_nothing),
		cmocka_unit_test(test_long_queues_keep_every_byte),
		cmocka_unit_test(test_reserve_gives_what_was_asked),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
