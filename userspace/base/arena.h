/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short-lived memory for the results of one parse: taken piece by piece, given back all at once.
 * The first block is kept over arena_reset, so that a steady stream of messages allocates nothing.
 */
#ifndef WEIR_ARENA_H
#define WEIR_ARENA_H

#include "slice.h"

struct arena_block;

struct arena {
	struct arena_block *_first, *_last;
	size_t _used; /* bytes taken over all blocks */
	size_t _max;
};

/* An empty arena that will hand out at most max bytes between two resets. */
void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a);
/* Everything handed out becomes invalid. */
void arena_reset(struct arena *a);

/*
 * size bytes, zeroed, aligned for any type, valid until arena_reset. NULL when the maximum is
 * reached or memory is out: callers turn that into -EMSGSIZE or -ENOMEM, whichever they report.
 */
void *arena_alloc(struct arena *a, size_t size) __must_check;
/* The same for n elements of size bytes; NULL as well when n * size overflows. */
void *arena_array(struct arena *a, size_t n, size_t size) __must_check;
/* Copies s (a NUL is put behind it, not counted). 0 or -ENOMEM. */
int arena_dup(struct arena *a, struct slice s, struct slice *ret) __must_check;

#endif
