// SPDX-License-Identifier: Apache-2.0
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

enum { LOOP_BATCH = 256 }; /* events taken from the kernel at once */

struct loop {
	int epoll_fd;
	int wake_fd;
};

int loop_new(struct loop **ret)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->wake_fd = -1;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd >= 0)
		l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
		r = -errno;
		(void)loop_free(l); /* returns NULL */
		return r;
	}
	*ret = l;
	return 0;
}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	close_p(&l->epoll_fd);
	close_p(&l->wake_fd);
	free(l);
	return NULL;
}

static int add(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct loop_watch *w)
{
	return add(l, w, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int loop_add_listener(struct loop *l, struct loop_watch *w)
{
	return add(l, w, EPOLLIN | EPOLLEXCLUSIVE);
}

void loop_del(struct loop *l, struct loop_watch *w)
{
	/* Fails only for a descriptor that is not watched, which is what was wanted. */
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
}

size_t loop_wait(struct loop *l, int timeout_ms, struct loop_ready *out, size_t max)
{
	struct epoll_event evs[LOOP_BATCH];
	int n = epoll_wait(l->epoll_fd, evs, (int)MIN(max, (size_t)LOOP_BATCH), timeout_ms);

	if (n < 0)
		return 0;
	for (int i = 0; i < n; i++) {
		uint32_t e = evs[i].events;

		out[i].watch = evs[i].data.ptr;
		out[i].what =
			(e & (EPOLLIN | EPOLLRDHUP) ? LOOP_READ : 0) |
			(e & EPOLLOUT ? LOOP_WRITE : 0) | (e & EPOLLRDHUP ? LOOP_HANGUP : 0) |
			(e & (EPOLLERR | EPOLLHUP) ? LOOP_HANGUP | LOOP_READ | LOOP_WRITE : 0);
		if (!out[i].watch) {
			uint64_t count;

			if (read(l->wake_fd, &count, sizeof(count)) < 0)
				out[i].what = 0; /* another wake took it; nothing is lost */
		}
	}
	return (size_t)n;
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		errno = 0; /* the counter is full: a wake is pending anyway */
}

void loop_timers_init(struct loop_timers *q, uint64_t duration_ns)
{
	list_init(&q->head);
	q->duration_ns = duration_ns;
}

void loop_timer_init(struct loop_timer *t)
{
	list_init(&t->node);
	t->due_ns = 0;
}

void loop_timer_set(struct loop_timers *q, struct loop_timer *t, uint64_t now_ns)
{
	list_remove(&t->node);
	t->due_ns = now_ns + q->duration_ns;
	list_append(&q->head, &t->node);
}

void loop_timer_clear(struct loop_timer *t)
{
	list_remove(&t->node);
	t->due_ns = 0;
}

struct loop_timer *loop_timers_pop(struct loop_timers *q, uint64_t now_ns)
{
	struct loop_timer *t;

	if (list_empty(&q->head))
		return NULL;
	t = container_of(q->head.next, struct loop_timer, node);
	if (t->due_ns > now_ns)
		return NULL;
	loop_timer_clear(t);
	return t;
}

/* Until due_ns, rounded up, at most `limit` when that is not negative. */
static int wait_ms(uint64_t due_ns, uint64_t now_ns, int limit)
{
	uint64_t ms = due_ns <= now_ns ? 0 : (due_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

	if (limit >= 0 && ms > (uint64_t)limit)
		return limit;
	return (int)MIN(ms, (uint64_t)3600 * 1000);
}

int loop_timers_wait_ms(const struct loop_timers *q, uint64_t now_ns, int limit)
{
	if (list_empty(&q->head))
		return limit;
	return wait_ms(container_of(q->head.next, struct loop_timer, node)->due_ns, now_ns, limit);
}

/* ---- the heap: v[0] is the earliest ----------------------------------------------------------- */

enum { HEAP_FIRST = 16 };

void loop_heap_done(struct loop_heap *h)
{
	free(h->_v);
	*h = (struct loop_heap){ 0 };
}

static void heap_put(struct loop_heap *h, size_t i, struct loop_due *d)
{
	h->_v[i] = d;
	d->_at = i + 1;
}

static void heap_up(struct loop_heap *h, size_t i)
{
	struct loop_due *d = h->_v[i];

	for (; i && h->_v[(i - 1) / 2]->due_ns > d->due_ns; i = (i - 1) / 2)
		heap_put(h, i, h->_v[(i - 1) / 2]);
	heap_put(h, i, d);
}

static void heap_down(struct loop_heap *h, size_t i)
{
	struct loop_due *d = h->_v[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < h->_n && h->_v[child + 1]->due_ns < h->_v[child]->due_ns)
			child++;
		if (child >= h->_n || h->_v[child]->due_ns >= d->due_ns)
			break;
		heap_put(h, i, h->_v[child]);
		i = child;
	}
	heap_put(h, i, d);
}

int loop_heap_set(struct loop_heap *h, struct loop_due *d, uint64_t due_ns)
{
	if (h->_n == h->_cap) {
		size_t cap = h->_cap ? 2 * h->_cap : HEAP_FIRST;
		struct loop_due **v = realloc(h->_v, cap * sizeof(struct loop_due *));

		if (!v)
			return -ENOMEM;
		h->_v = v;
		h->_cap = cap;
	}
	d->due_ns = due_ns;
	h->_v[h->_n] = d;
	heap_up(h, h->_n++);
	return 0;
}

void loop_heap_clear(struct loop_heap *h, struct loop_due *d)
{
	size_t i = d->_at;
	struct loop_due *last;

	if (!i--)
		return;
	d->_at = 0;
	last = h->_v[--h->_n];
	if (last == d)
		return;
	heap_put(h, i, last);
	heap_up(h, i);
	heap_down(h, last->_at - 1);
}

struct loop_due *loop_heap_pop(struct loop_heap *h, uint64_t now_ns)
{
	struct loop_due *d = h->_n ? h->_v[0] : NULL;

	if (!d || d->due_ns > now_ns)
		return NULL;
	loop_heap_clear(h, d);
	return d;
}

int loop_heap_wait_ms(const struct loop_heap *h, uint64_t now_ns, int limit)
{
	return h->_n ? wait_ms(h->_v[0]->due_ns, now_ns, limit) : limit;
}
