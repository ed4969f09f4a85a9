// SPDX-License-Identifier: Apache-2.0
/* Every transcript of tests/golden/pg, held to the promises of include/proto.h and to its log. */
#include "support/test.h"

#include "proto/pg/pg.h"
#include "support/proto_harness.h"

static void test_golden(void **state)
{
	assert_int_equal(harness_golden(&proto_pg, "tests/golden/pg"), 0);
}

static void test_seeds_follow(void **state)
{
	assert_int_equal(harness_seeds(&proto_pg, "tests/golden/pg", "tests/fuzz/corpus/pg"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_seeds_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
