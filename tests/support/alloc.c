// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static _Thread_local size_t seen, fail_at;

void alloc_fail_at(size_t n)
{
	seen = 0;
	fail_at = n;
}

size_t alloc_count(void)
{
	return seen;
}

static bool fails(void)
{
	if (++seen != fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void alloc_fail_each(int (*scenario)(void *ctx), void *ctx, size_t tolerated)
{
	size_t n, claimed = 0;

	alloc_fail_at(0);
	assert_int_equal(scenario(ctx), 0);
	n = alloc_count();
	for (size_t i = 1; i <= n; i++) {
		alloc_fail_at(i);
		claimed += scenario(ctx) == 0;
	}
	alloc_fail_at(0);
	assert_true(claimed <= tolerated);
}
