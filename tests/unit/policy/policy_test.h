/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of the policy engine. */
#ifndef WEIR_POLICY_TEST_H
#define WEIR_POLICY_TEST_H

#include "support/test.h"

#include <stdio.h>

#include "policy/policy.h"

static inline struct policy_set *must_compile(const char *json)
{
	struct policy_source source = { "test.json", slice_str(json) };
	struct policy_set *set = NULL;
	struct policy_err err = { 0 };
	int r = policy_set_compile(&source, 1, &set, &err);

	if (r < 0)
		print_error("%s:%u:%u: %s\n", err.source, err.line, err.column, err.message);
	assert_int_equal(r, 0);
	return set;
}

/* A whole policy around a list of rules: one target "any" with this default. */
static inline struct policy_set *must_compile_rules(const char *fallback, const char *rules)
{
	static char text[1024 * 1024];
	int n;

	n = snprintf(text, sizeof(text),
		     "{\"name\":\"t\",\"targets\":[{\"name\":\"any\",\"hosts\":[\"*\"],"
		     "\"default\":\"%s\"}],\"rules\":[%s]}",
		     fallback, rules);
	assert_true(n > 0 && (size_t)n < sizeof(text));
	return must_compile(text);
}

#endif
