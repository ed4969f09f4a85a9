/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event loop that is pulled, not called back: loop_wait says which watches have news, and the
 * caller looks at their kind. Descriptors are watched edge-triggered for both directions and
 * registered once, so a connection costs two epoll_ctl calls in its life; whoever owns a watch
 * remembers "readable" and "writable" until it has seen EAGAIN.
 *
 * One thread per loop, but for loop_wake.
 */
#ifndef WEIR_NET_LOOP_H
#define WEIR_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "compiler.h"

/* Embedded in its owner, which is found by container_of. */
struct loop_watch {
	int fd;
	unsigned kind; /* the owner's own numbering */
};

/*
 * HANGUP: the peer sends no more, or the connection broke. It comes once, perhaps together with the
 * last bytes: after it, read until there is nothing left (a short read is not the end of it).
 */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

struct loop_ready {
	struct loop_watch *watch; /* NULL: loop_wake was called */
	unsigned what;            /* LOOP_* */
};

struct loop;

/* 0 or a negative errno. */
int loop_new(struct loop **ret) __must_check;
struct loop *loop_free(struct loop *l);

/* Watches w->fd (non-blocking) for both directions, edge-triggered. 0 or a negative errno. */
int loop_add(struct loop *l, struct loop_watch *w) __must_check;
/* Watches a listener that other threads watch too: level-triggered, one of them is woken. */
int loop_add_listener(struct loop *l, struct loop_watch *w) __must_check;
/* Stops watching. Events that loop_wait has returned already may still name w: free its owner only
 * when the turn is over. */
void loop_del(struct loop *l, struct loop_watch *w);

/* Waits for news, at most timeout_ms (-1 = for ever). Returns how many of out are filled. A signal
 * counts as nothing. */
size_t loop_wait(struct loop *l, int timeout_ms, struct loop_ready *out, size_t max);

/* From any thread: makes loop_wait return with an entry whose watch is NULL. */
void loop_wake(struct loop *l);

/*
 * Timers that all last equally long: a queue, the oldest first. Setting again moves to the end.
 */
struct loop_timer {
	struct list_node node;
	uint64_t due_ns; /* CLOCK_MONOTONIC; 0 = not set */
};

struct loop_timers {
	struct list_node head;
	uint64_t duration_ns;
};

void loop_timers_init(struct loop_timers *q, uint64_t duration_ns);
void loop_timer_init(struct loop_timer *t);
void loop_timer_set(struct loop_timers *q, struct loop_timer *t, uint64_t now_ns);
void loop_timer_clear(struct loop_timer *t);
/* The oldest timer that is due, taken out; NULL when there is none. */
struct loop_timer *loop_timers_pop(struct loop_timers *q, uint64_t now_ns);
/* Milliseconds until the oldest is due, rounded up; -1 when there is none; at most `limit` when that
 * is not negative. */
int loop_timers_wait_ms(const struct loop_timers *q, uint64_t now_ns, int limit);

/*
 * Points in time of any order: a binary heap of pointers. One that is embedded in its owner must be
 * cleared before the owner goes.
 */
struct loop_due {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	size_t _at;      /* place in the heap, from 1; 0 = not set */
};

struct loop_heap {
	struct loop_due **_v;
	size_t _n, _cap;
};

/* A zeroed one is empty. */
void loop_heap_done(struct loop_heap *h);
/* Sets d, which is not set. 0 or -ENOMEM. */
int loop_heap_set(struct loop_heap *h, struct loop_due *d, uint64_t due_ns) __must_check;
/* Harmless when d is not set. */
void loop_heap_clear(struct loop_heap *h, struct loop_due *d);
/* The earliest that is due, taken out; NULL when there is none. */
struct loop_due *loop_heap_pop(struct loop_heap *h, uint64_t now_ns);
/* As loop_timers_wait_ms. */
int loop_heap_wait_ms(const struct loop_heap *h, uint64_t now_ns, int limit);

#endif
