/* SPDX-License-Identifier: Apache-2.0 */
/* Reading clocks, and time as text. Floors 0 and 1 take times as parameters; they never read one. */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <stdint.h>

#include "compiler.h"

#define NSEC_PER_SEC 1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

uint64_t clock_monotonic_ns(void); /* since boot, without suspend: for timeouts */
uint64_t clock_realtime_ns(void);  /* since 1970 in UTC: for records */

enum { CLOCK_TEXT_MAX = sizeof("2026-01-01T00:00:00.000000Z") };
/* RFC 3339 in UTC with microseconds. Returns out. */
char *clock_format(uint64_t realtime_ns, char out[CLOCK_TEXT_MAX]);

/*
 * A point in time as an operator types it: RFC 3339 ("2026-01-31T10:00:00Z", date alone = midnight
 * UTC), seconds since 1970 ("@1767225600"), or an age before now ("90s", "15m", "2h", "7d", "2w").
 * 0, or -EINVAL for anything else.
 */
int clock_parse(const char *text, uint64_t now_ns, uint64_t *ret_realtime_ns) __must_check;

#endif
