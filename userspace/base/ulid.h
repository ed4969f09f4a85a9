/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ULID: 128 bits, 48 of milliseconds since 1970 and 80 random, big-endian, so that their bytes and
 * their 26-letter text (Crockford's base 32) sort by time. Session ids are ULIDs.
 */
#ifndef WEIR_ULID_H
#define WEIR_ULID_H

#include "slice.h"

struct ulid {
	uint8_t bytes[16];
};

enum { ULID_TEXT_LEN = 26, ULID_TEXT_MAX = ULID_TEXT_LEN + 1 };

/* A new id for a time. 0 or the negative errno of getrandom(2). */
int ulid_new(uint64_t realtime_ns, struct ulid *ret) __must_check;
/* The lowest id of a time: where a scan from that time on begins. */
struct ulid ulid_floor(uint64_t realtime_ns);
/* The time inside of an id, whole milliseconds, as nanoseconds since 1970. */
uint64_t ulid_time_ns(const struct ulid *id);
/* Returns out, NUL-terminated. */
char *ulid_format(const struct ulid *id, char out[ULID_TEXT_MAX]);
/* Takes lower case and Crockford's look-alikes (I, L, O) as well. 0, or -EINVAL. */
int ulid_parse(struct slice text, struct ulid *ret) __must_check;

static inline int ulid_cmp(const struct ulid *a, const struct ulid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

#endif
