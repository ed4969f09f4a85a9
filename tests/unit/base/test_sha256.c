// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "base/sha256.h"

/* FIPS 180-4's example "abc", and the empty message. */
static void test_known_answers(void **state)
{
	static const uint8_t abc[SHA256_LEN] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
						 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
						 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
						 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
	static const uint8_t none[4] = { 0xe3, 0xb0, 0xc4, 0x42 };
	uint8_t got[SHA256_LEN];

	assert_int_equal(sha256_bytes(SLICE("abc"), got), 0);
	assert_memory_equal(got, abc, sizeof(abc));
	assert_int_equal(sha256_bytes(SLICE_NONE, got), 0);
	assert_memory_equal(got, none, sizeof(none));
}

/* RFC 4231, test cases 1, 2 and 6 (a key longer than a block). */
static void test_hmac_known_answers(void **state)
{
	char key[131], text[SHA256_TEXT_MAX];
	uint8_t got[SHA256_LEN];

	memset(key, 0x0b, 20);
	assert_int_equal(sha256_hmac(slice_of(key, 20), SLICE("Hi There"), got), 0);
	assert_string_equal(sha256_format(got, text),
			    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(sha256_hmac(SLICE("Jefe"), SLICE("what do ya want for nothing?"), got), 0);
	assert_string_equal(sha256_format(got, text),
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(
		sha256_hmac(slice_of(key, sizeof(key)),
			    SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), got),
		0);
	assert_string_equal(sha256_format(got, text),
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_int_equal(sha256_hmac(SLICE_NONE, SLICE("x"), got), -EINVAL);
}

static void test_equal(void **state)
{
	uint8_t a[SHA256_LEN] = { 1 }, b[SHA256_LEN] = { 1 };

	assert_true(sha256_equal(a, b));
	b[SHA256_LEN - 1] = 1;
	assert_false(sha256_equal(a, b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
		cmocka_unit_test(test_hmac_known_answers),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
