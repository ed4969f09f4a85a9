// SPDX-License-Identifier: Apache-2.0
#include "buf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	BUF_FIRST = 512,            /* first allocation, bytes */
	BUF_KEEP_EMPTY = 16 * 1024, /* an empty buffer larger than this gives its memory back */
};

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ ._max = max };
}

void buf_done(struct buf *b)
{
	if (!b)
		return;
	free(b->_mem);
	*b = (struct buf){ ._max = b->_max };
}

void buf_done_wiped(struct buf *b)
{
	if (b && b->_mem)
		explicit_bzero(b->_mem, b->_cap);
	buf_done(b);
}

void buf_clear(struct buf *b)
{
	b->_head = b->_tail = 0;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->_head += n;
	if (b->_head != b->_tail)
		return;
	b->_head = b->_tail = 0;
	if (b->_cap > BUF_KEEP_EMPTY)
		buf_done(b);
}

void buf_truncate(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->_tail = b->_head + n;
}

static int buf_grow(struct buf *b, size_t want)
{
	size_t len = buf_len(b);
	size_t cap = b->_cap ? b->_cap : BUF_FIRST;
	size_t need;
	uint8_t *mem;

	if (__builtin_add_overflow(len, want, &need) || need > b->_max)
		return -EMSGSIZE;
	/* Moving the bytes down is cheap when there are fewer of them than free space before. */
	if (b->_mem && need <= b->_cap && b->_head >= len) {
		memcpy(b->_mem, b->_mem + b->_head, len);
		b->_head = 0;
		b->_tail = len;
		return 0;
	}
	while (cap < need)
		cap = cap > b->_max / 2 ? b->_max : cap * 2;
	if (cap > b->_max)
		cap = b->_max;
	mem = malloc(cap);
	if (!mem)
		return -ENOMEM;
	if (len)
		memcpy(mem, b->_mem + b->_head, len);
	free(b->_mem);
	b->_mem = mem;
	b->_cap = cap;
	b->_head = 0;
	b->_tail = len;
	return 0;
}

int buf_reserve(struct buf *b, size_t want, uint8_t **ret_ptr, size_t *ret_space)
{
	size_t room = buf_room(b);

	if (want > room)
		return -EMSGSIZE;
	if (b->_cap - b->_tail < want || !b->_mem) {
		int r = buf_grow(b, want ? want : 1);

		if (r < 0)
			return r;
	}
	*ret_ptr = b->_mem + b->_tail;
	*ret_space = MIN(b->_cap - b->_tail, room);
	return 0;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->_cap - b->_tail);
	b->_tail += n;
}

int buf_put(struct buf *b, const void *data, size_t len)
{
	uint8_t *p;
	size_t space;
	int r;

	if (len == 0)
		return 0;
	r = buf_reserve(b, len, &p, &space);
	if (r < 0)
		return r;
	memcpy(p, data, len);
	b->_tail += len;
	return 0;
}

int buf_put_slice(struct buf *b, struct slice s)
{
	return buf_put(b, s.ptr, s.len);
}

int buf_put_str(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, 1);
}

int buf_put_be16(struct buf *b, uint16_t v)
{
	uint8_t raw[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	return buf_put(b, raw, sizeof(raw));
}

int buf_put_be32(struct buf *b, uint32_t v)
{
	uint8_t raw[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	return buf_put(b, raw, sizeof(raw));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *p;
	size_t space;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	if ((size_t)n > buf_room(b))
		return -EMSGSIZE;
	/* One byte more for the NUL that vsnprintf writes and nobody keeps. */
	if (b->_cap - b->_tail < (size_t)n + 1 || !b->_mem) {
		size_t max = b->_max;

		b->_max = max + 1;
		r = buf_grow(b, (size_t)n + 1);
		b->_max = max;
		if (r < 0)
			return r;
	}
	p = b->_mem + b->_tail;
	space = b->_cap - b->_tail;
	va_start(ap, fmt);
	(void)vsnprintf((char *)p, space, fmt, ap); /* measured above */
	va_end(ap);
	b->_tail += (size_t)n;
	return 0;
}
