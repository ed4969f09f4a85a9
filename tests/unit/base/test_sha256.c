// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
