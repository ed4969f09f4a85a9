/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed run of bytes. It owns nothing: whoever hands one out says how long it lives. The bytes
 * need not end in NUL and may hold NULs.
 */
#ifndef WEIR_SLICE_H
#define WEIR_SLICE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

struct slice {
	const uint8_t *ptr; /* may be NULL when len is 0 */
	size_t len;         /* bytes */
};

#define SLICE(literal) ((struct slice){ (const uint8_t *)("" literal), sizeof(literal) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* For printf("%.*s", SLICE_FMT(s)). */
#define SLICE_FMT(s) (int)(s).len, (const char *)(s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

/* ASCII case folded, whatever the locale. */
bool slice_ieq(struct slice a, struct slice b);

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (!prefix.len || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* Everything from offset on; empty when offset lies at or past the end. */
static inline struct slice slice_from(struct slice s, size_t offset)
{
	return offset >= s.len ? (struct slice){ s.ptr, 0 }
			       : (struct slice){ s.ptr + offset, s.len - offset };
}

/* The first n bytes, or all of them when there are fewer. */
static inline struct slice slice_head(struct slice s, size_t n)
{
	return (struct slice){ s.ptr, s.len < n ? s.len : n };
}

/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Offset of the first byte c, or -1. */
ptrdiff_t slice_chr(struct slice s, uint8_t c);

/* Lexicographic by bytes, a shorter prefix first; <0, 0 or >0. */
int slice_cmp(struct slice a, struct slice b);

/*
 * Decimal digits only, no sign, no space, 1 to 20 of them. 0; -EBADMSG if anything else is there;
 * -ERANGE above UINT64_MAX.
 */
int slice_to_u64(struct slice s, uint64_t *ret) __must_check;

/* A NUL-terminated heap copy that the caller frees; NULL without memory. */
char *slice_dup(struct slice s) __must_check;

#endif
