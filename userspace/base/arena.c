// SPDX-License-Identifier: Apache-2.0
#include "arena.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 4096 };

struct arena_block {
	struct arena_block *next;
	size_t cap, used;
	alignas(max_align_t) uint8_t mem[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ ._max = max };
}

static void blocks_free(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_done(struct arena *a)
{
	if (!a)
		return;
	blocks_free(a->_first);
	*a = (struct arena){ ._max = a->_max };
}

void arena_reset(struct arena *a)
{
	if (!a->_first)
		return;
	blocks_free(a->_first->next);
	a->_first->next = NULL;
	a->_first->used = 0;
	a->_last = a->_first;
	a->_used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->_last;
	size_t step;
	void *p;

	if (__builtin_add_overflow(size, alignof(max_align_t) - 1, &step))
		return NULL;
	step &= ~(alignof(max_align_t) - 1);
	if (step > a->_max - a->_used)
		return NULL;
	if (!b || b->cap - b->used < step) {
		size_t cap = MAX(step, (size_t)ARENA_BLOCK);

		b = malloc(sizeof(*b) + cap);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .cap = cap };
		if (a->_last)
			a->_last->next = b;
		else
			a->_first = b;
		a->_last = b;
	}
	p = b->mem + b->used;
	b->used += step;
	a->_used += step;
	memset(p, 0, step);
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

int arena_dup(struct arena *a, struct slice s, struct slice *ret)
{
	uint8_t *p = s.len == SIZE_MAX ? NULL : arena_alloc(a, s.len + 1);

	if (!p)
		return -ENOMEM;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	*ret = (struct slice){ p, s.len };
	return 0;
}
