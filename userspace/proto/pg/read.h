/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the fields of one message. A reader that ran over the end stays bad and yields zeros and
 * empty slices, so a message is read straight through and judged once at its end.
 */
#ifndef WEIR_PG_READ_H
#define WEIR_PG_READ_H

#include "base/slice.h"

struct pg_reader {
	struct slice rest;
	bool bad;
};

static inline uint16_t pg_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t pg_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t pg_be64(const uint8_t *p)
{
	return (uint64_t)pg_be32(p) << 32 | pg_be32(p + 4);
}

static inline struct slice pg_read_bytes(struct pg_reader *r, size_t n)
{
	struct slice s;

	if (r->bad || r->rest.len < n) {
		r->bad = true;
		return SLICE_NONE;
	}
	s = slice_head(r->rest, n);
	r->rest = slice_from(r->rest, n);
	return s;
}

static inline uint8_t pg_read_u8(struct pg_reader *r)
{
	struct slice s = pg_read_bytes(r, 1);

	return s.ptr ? s.ptr[0] : 0;
}

static inline uint16_t pg_read_u16(struct pg_reader *r)
{
	struct slice s = pg_read_bytes(r, 2);

	return s.ptr ? pg_be16(s.ptr) : 0;
}

static inline uint32_t pg_read_u32(struct pg_reader *r)
{
	struct slice s = pg_read_bytes(r, 4);

	return s.ptr ? pg_be32(s.ptr) : 0;
}

/* Up to the next NUL, which is taken and not part of the result. */
static inline struct slice pg_read_str(struct pg_reader *r)
{
	ptrdiff_t at = r->bad ? -1 : slice_chr(r->rest, 0);
	struct slice s;

	if (at < 0) {
		r->bad = true;
		return SLICE_NONE;
	}
	s = slice_head(r->rest, (size_t)at);
	r->rest = slice_from(r->rest, (size_t)at + 1);
	return s;
}

/* Nothing was missing and nothing is left over. */
static inline bool pg_read_done(const struct pg_reader *r)
{
	return !r->bad && r->rest.len == 0;
}

#endif
