// SPDX-License-Identifier: Apache-2.0
/* slice, ulid, clock, hash, log and op: the small ones that turn things into text and back. */
#include "support/test.h"

#include <errno.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/ulid.h"
#include "op.h"

static void test_slice_numbers(void **state)
{
	uint64_t v = 7;

	assert_int_equal(slice_to_u64(SLICE("18446744073709551615"), &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(slice_to_u64(SLICE("18446744073709551616"), &v), -ERANGE);
	assert_int_equal(slice_to_u64(SLICE(""), &v), -EBADMSG);
	assert_int_equal(slice_to_u64(SLICE("+1"), &v), -EBADMSG);
	assert_int_equal(slice_to_u64(SLICE("1 "), &v), -EBADMSG);
	assert_int_equal(slice_to_u64(SLICE("000000000000000000001"), &v), -EBADMSG);
}

static void test_slice_compare(void **state)
{
	assert_true(slice_ieq(SLICE("Content-TYPE"), SLICE("content-type")));
	assert_false(slice_ieq(SLICE("a["), SLICE("a{"))); /* 0x20 apart, but no letters */
	assert_true(slice_cmp(SLICE("ab"), SLICE("abc")) < 0);
	assert_true(slice_eq(slice_trim(SLICE(" \t x y\t ")), SLICE("x y")));
	assert_int_equal(slice_trim(SLICE("  ")).len, 0);
}

static void test_ulid_sorts_by_time_and_reads_back(void **state)
{
	struct ulid a, b, back;
	char text[ULID_TEXT_MAX], later[ULID_TEXT_MAX];

	assert_int_equal(ulid_new(1700000000123 * NSEC_PER_MSEC, &a), 0);
	assert_int_equal(ulid_new(1700000000124 * NSEC_PER_MSEC, &b), 0);
	assert_true(ulid_cmp(&a, &b) < 0);
	assert_true(strcmp(ulid_format(&a, text), ulid_format(&b, later)) < 0);
	assert_int_equal(ulid_parse(slice_str(text), &back), 0);
	assert_int_equal(ulid_cmp(&a, &back), 0);
	assert_true(ulid_time_ns(&a) == 1700000000123 * NSEC_PER_MSEC);
	assert_int_equal(ulid_parse(SLICE("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), &back), -EINVAL);
	assert_int_equal(ulid_parse(SLICE("7ZZZZZZZZZZZZZZZZZZZZZZZZU"), &back), -EINVAL);
	assert_int_equal(ulid_parse(SLICE("short"), &back), -EINVAL);
}

static void test_clock_texts(void **state)
{
	char out[CLOCK_TEXT_MAX];
	uint64_t t = 0, now = 1767225600 * NSEC_PER_SEC; /* 2026-01-01 */

	assert_string_equal(clock_format(now + 1234000, out), "2026-01-01T00:00:00.001234Z");
	assert_int_equal(clock_parse("2026-01-01T00:00:00.5Z", 0, &t), 0);
	assert_true(t == now + NSEC_PER_SEC / 2);
	assert_int_equal(clock_parse("2026-01-01", 0, &t), 0);
	assert_true(t == now);
	assert_int_equal(clock_parse("@1767225600", 0, &t), 0);
	assert_true(t == now);
	assert_int_equal(clock_parse("15m", now, &t), 0);
	assert_true(t == now - 900 * NSEC_PER_SEC);
	assert_int_equal(clock_parse("1h30", now, &t), -EINVAL);
	assert_int_equal(clock_parse("yesterday", now, &t), -EINVAL);
	assert_int_equal(clock_parse("-5m", now, &t), -EINVAL);
	assert_int_equal(clock_parse("", now, &t), -EINVAL);
}

static void test_hash_depends_on_key_and_every_byte(void **state)
{
	/* The key and the answer for no bytes as other makers of SipHash-1-3 print them. */
	const struct hash_key key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	uint8_t data[64] = { 0 };

	assert_true(hash_bytes(SLICE_NONE, key) == 0xabac0158050fc4dc);
	for (size_t len = 1; len <= sizeof(data); len++) {
		uint64_t before = hash_bytes(slice_of(data, len), key);

		data[len - 1] ^= 1;
		assert_true(hash_bytes(slice_of(data, len), key) != before);
		assert_true(hash_bytes(slice_of(data, len), HASH_KEY_FIXED) != before);
	}
}

static void test_log_escape_leaves_no_way_out(void **state)
{
	char out[64], tight[9];

	assert_string_equal(log_escape(SLICE("a\n\x1b[2J\"b"), out, sizeof(out)),
			    "a\\x0a\\x1b[2J\\x22b");
	assert_string_equal(log_escape(SLICE("abcdefghijkl"), tight, sizeof(tight)), "abcde...");
	assert_true(strlen(log_escape(SLICE("\1\1\1\1\1"), tight, sizeof(tight))) < sizeof(tight));
}

static void test_effect_words_both_ways(void **state)
{
	char out[128];

	assert_string_equal(op_effects_format(OP_READ | OP_UNKNOWN, out, sizeof(out)),
			    "read unknown");
	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++)
		assert_int_equal(op_effect_parse(slice_str(op_effect_names[i])), 1u << i);
	assert_int_equal(op_effect_parse(SLICE("reads")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice_numbers),
		cmocka_unit_test(test_slice_compare),
		cmocka_unit_test(test_ulid_sorts_by_time_and_reads_back),
		cmocka_unit_test(test_clock_texts),
		cmocka_unit_test(test_hash_depends_on_key_and_every_byte),
		cmocka_unit_test(test_log_escape_leaves_no_way_out),
		cmocka_unit_test(test_effect_words_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
