/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation failures, played through. The test programs are linked with --wrap, so every malloc,
 * calloc and realloc of Weir's own code comes by here.
 */
#ifndef WEIR_TEST_ALLOC_H
#define WEIR_TEST_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The n-th allocation from now on (1 = the next) fails, and only that one; 0 = none fails. */
void alloc_fail_at(size_t n);
/* How many allocations there were since alloc_fail_at was called. */
size_t alloc_count(void);

/*
 * Runs scenario once to count its allocations, then once for each of them with that one failing.
 * The scenario must itself check that what it calls reports -ENOMEM and frees what it made
 * (AddressSanitizer sees the rest); it returns 0 when it came through, negative when it was told of
 * a failure. Fails the test when a run with a failed allocation claims success more often than
 * `tolerated` times (code that can do without, such as a cache).
 */
void alloc_fail_each(int (*scenario)(void *ctx), void *ctx, size_t tolerated);

#endif
