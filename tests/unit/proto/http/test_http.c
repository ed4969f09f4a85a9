// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include "proto/http/http.h"
#include "support/proto_harness.h"

static void test_golden(void **state)
{
	assert_int_equal(harness_golden(&proto_http, "tests/golden/http"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
