// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdalign.h>

#include "base/arena.h"

static void test_memory_is_zeroed_aligned_and_distinct(void **state)
{
	struct arena a;
	uint8_t *before = NULL;

	arena_init(&a, 1 << 20);
	for (size_t i = 1; i < 300; i++) {
		uint8_t *p = arena_alloc(&a, i);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		for (size_t k = 0; k < i; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xff, i);
		if (before)
			assert_int_equal(before[i - 2], 0xff);
		before = p;
	}
	arena_done(&a);
}

static void test_maximum_and_overflow(void **state)
{
	struct arena a;

	arena_init(&a, 1000);
	assert_null(arena_alloc(&a, 1001));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_array(&a, SIZE_MAX / 2, 3));
	assert_non_null(arena_alloc(&a, 900));
	assert_null(arena_alloc(&a, 200));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 900));
	arena_done(&a);
}

static void test_dup_ends_in_nul(void **state)
{
	struct arena a;
	struct slice s;

	arena_init(&a, 1000);
	assert_int_equal(arena_dup(&a, SLICE("abc"), &s), 0);
	assert_string_equal((const char *)s.ptr, "abc");
	assert_int_equal(s.len, 3);
	arena_done(&a);
}

static int use(void *ctx)
{
	struct arena a;
	int r = 0;

	arena_init(&a, 1 << 20);
	for (int i = 0; r == 0 && i < 20; i++)
		r = arena_alloc(&a, 3000) ? 0 : -ENOMEM;
	arena_done(&a);
	return r;
}

static void test_without_memory(void **state)
{
	alloc_fail_each(use, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zeroed_aligned_and_distinct),
		cmocka_unit_test(test_maximum_and_overflow),
		cmocka_unit_test(test_dup_ends_in_nul),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
