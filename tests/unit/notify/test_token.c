// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdio.h>

#include "notify/token.h"

#define SEC 1000000000ULL
static char toks[TOKENS_WEBHOOKS_MAX][TOKEN_TEXT_MAX], more[TOKENS_WEBHOOKS_MAX][TOKEN_TEXT_MAX];

static struct tokens *two(void)
{
	struct tokens *t;

	assert_int_equal(tokens_new(2, &t), 0);
	assert_int_equal(tokens_mint(t, "op-1", 100 * SEC, 1 * SEC, toks), 0);
	return t;
}

static void test_a_token_opens_its_own_operation_once(void **state)
{
	struct tokens *t = two();
	const char *how = "x";

	assert_int_equal(strlen(toks[0]), TOKEN_TEXT_MAX - 1);
	assert_string_not_equal(toks[0], toks[1]);
	assert_int_equal(tokens_mint(t, "op-2", 100 * SEC, 1 * SEC, more), 0);
	assert_int_equal(tokens_check(t, "op-1", toks[1], 2 * SEC, &how), 1);
	assert_null(how);
	assert_int_equal(tokens_spend(t, "op-1", more[0], "a", 2 * SEC), -EACCES);
	assert_int_equal(tokens_spend(t, "op-3", toks[0], "a", 2 * SEC), -EACCES);
	assert_int_equal(tokens_spend(t, "op-1", "", "a", 2 * SEC), -EACCES);
	assert_int_equal(tokens_spend(t, "", toks[0], "a", 2 * SEC), -EACCES);
	assert_int_equal(tokens_spend(t, "op-1", toks[0], "a", 2 * SEC), 0);
	assert_int_equal(tokens_spend(t, "op-1", toks[0], "b", 2 * SEC), -EALREADY);
	/* One person by two ways is one person; the way is not used up by trying. */
	assert_int_equal(tokens_spend(t, "op-1", toks[1], "a", 2 * SEC), -EEXIST);
	assert_int_equal(tokens_spend(t, "op-1", toks[1], "b", 2 * SEC), 1);
	assert_int_equal(tokens_spend(t, "op-2", more[1], "", 2 * SEC), 1);
	assert_int_equal(tokens_spend(t, "op-2", more[0], "", 2 * SEC), 0);
	tokens_free(t);
}

static void test_ends(void **state)
{
	struct tokens *t = two();
	const char *how = NULL;

	assert_int_equal(tokens_mint(t, "op-1", 100 * SEC, 1 * SEC, more), -EEXIST);
	tokens_settle(t, "nobody", "denied", 2 * SEC);
	tokens_settle(t, "op-1", "denied", 2 * SEC);
	tokens_settle(t, "op-1", "approved", 3 * SEC);
	assert_int_equal(tokens_waiting(t), 0);
	assert_int_equal(tokens_check(t, "op-1", toks[0], 3 * SEC, &how), 0);
	assert_string_equal(how, "denied");
	assert_int_equal(tokens_spend(t, "op-1", toks[0], "", 3 * SEC), -ENOENT);
	/* By time alone, whether or not anybody told. */
	assert_int_equal(tokens_mint(t, "op-2", 100 * SEC, 1 * SEC, more), 0);
	assert_int_equal(tokens_spend(t, "op-2", more[0], "", 100 * SEC), -ENOENT);
	assert_int_equal(tokens_check(t, "op-2", more[0], 100 * SEC, &how), 0);
	assert_string_equal(how, "expired");
	/* After a while nobody remembers. */
	assert_int_equal(tokens_mint(t, "op-3", 9999 * SEC, 101 * SEC + TOKENS_KEPT_NS, more), 0);
	assert_int_equal(tokens_check(t, "op-1", toks[0], 101 * SEC + TOKENS_KEPT_NS, &how),
			 -EACCES);
	tokens_settle_all(t, "gone", 102 * SEC);
	assert_int_equal(tokens_spend(t, "op-3", more[0], "", 102 * SEC), -ENOENT);
	tokens_free(t);
}

static void test_ids(void **state)
{
	char id[TOKENS_ID_MAX + 1];
	struct tokens *t;

	memset(id, 'a', sizeof(id));
	id[TOKENS_ID_MAX] = '\0';
	assert_false(token_id_valid(id));
	assert_true(token_id_valid(id + 1));
	assert_false(token_id_valid(""));
	assert_false(token_id_valid("a/b"));
	assert_false(token_id_valid("a\r\nb"));
	assert_int_equal(tokens_new(1, &t), 0);
	assert_int_equal(tokens_mint(t, "a b", SEC, 0, toks), -EINVAL);
	tokens_free(t);
}

static void test_bounded(void **state)
{
	struct tokens *t;
	char id[32];

	assert_int_equal(tokens_new(1, &t), 0);
	for (unsigned i = 0; i < TOKENS_OPS_MAX; i++) {
		snprintf(id, sizeof(id), "op-%u", i);
		assert_int_equal(tokens_mint(t, id, (i ? 50 : 10) * SEC, 0, toks), 0);
	}
	assert_int_equal(tokens_mint(t, "one-more", 99 * SEC, 1 * SEC, more), -ENOSPC);
	/* What ended makes room, what is over its time as well. */
	tokens_settle(t, "op-7", "denied", 1 * SEC);
	assert_int_equal(tokens_mint(t, "one-more", 99 * SEC, 2 * SEC, more), 0);
	assert_int_equal(tokens_mint(t, "two-more", 99 * SEC, 2 * SEC, more), -ENOSPC);
	assert_int_equal(tokens_mint(t, "two-more", 99 * SEC, 11 * SEC, more), 0);
	tokens_free(t);
}

static int scenario(void *ctx)
{
	struct tokens *t;
	int r = tokens_new(2, &t);

	if (r < 0)
		return r;
	r = tokens_mint(t, "op", SEC, 0, toks);
	tokens_free(t);
	return r;
}

static void test_without_memory(void **state)
{
	alloc_fail_each(scenario, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_token_opens_its_own_operation_once),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
