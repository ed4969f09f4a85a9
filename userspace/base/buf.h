/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing queue of bytes: appended at the end, consumed at the front. It cannot be made without
 * its maximum. Memory is taken on first use, doubles as it fills, and goes back when a large buffer
 * runs empty, so that idle connections cost nothing.
 *
 * Pointers from buf_peek live until the next call that takes the buffer without const.
 */
#ifndef WEIR_BUF_H
#define WEIR_BUF_H

#include "slice.h"

struct buf {
	uint8_t *_mem;
	size_t _cap;
	size_t _head; /* first unread byte */
	size_t _tail; /* one past the last */
	size_t _max;
};

/* An empty buffer that will hold at most max unread bytes. No memory is taken yet. */
void buf_init(struct buf *b, size_t max);
/* Gives the memory back; the buffer may be used again. NULL is fine. */
void buf_done(struct buf *b);
/* As buf_done, with the bytes wiped first: for secrets. */
void buf_done_wiped(struct buf *b);
/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->_tail - b->_head;
}

/* How many more bytes the maximum lets in. */
static inline size_t buf_room(const struct buf *b)
{
	return b->_max - buf_len(b);
}

static inline struct slice buf_peek(const struct buf *b)
{
	return (struct slice){ b->_mem ? b->_mem + b->_head : NULL, buf_len(b) };
}

/* The unread bytes, writable in place (to patch a length, say). */
static inline uint8_t *buf_peek_mut(struct buf *b)
{
	return b->_mem ? b->_mem + b->_head : NULL;
}

/* Drops the first n bytes; n must not exceed buf_len. */
void buf_consume(struct buf *b, size_t n);
/* Drops all but the first n bytes; n must not exceed buf_len. */
void buf_truncate(struct buf *b, size_t n);

/*
 * At least `want` writable bytes at the end, to be filled and then taken in by buf_commit.
 * *ret_space may be larger. -EMSGSIZE over the maximum, -ENOMEM.
 */
int buf_reserve(struct buf *b, size_t want, uint8_t **ret_ptr, size_t *ret_space) __must_check;
void buf_commit(struct buf *b, size_t n);

/* Append. All: 0, -EMSGSIZE over the maximum (nothing was added), -ENOMEM. */
int buf_put(struct buf *b, const void *data, size_t len) __must_check;
int buf_put_slice(struct buf *b, struct slice s) __must_check;
int buf_put_str(struct buf *b, const char *s) __must_check;
int buf_put_u8(struct buf *b, uint8_t v) __must_check;
int buf_put_be16(struct buf *b, uint16_t v) __must_check;
int buf_put_be32(struct buf *b, uint32_t v) __must_check;
int buf_printf(struct buf *b, const char *fmt, ...) __must_check __printf_like(2, 3);

#endif
