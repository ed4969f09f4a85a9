// SPDX-License-Identifier: Apache-2.0
#include "loop.h"

#include <errno.h>
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
		out[i].what = (e & (EPOLLIN | EPOLLRDHUP) ? LOOP_READ : 0) |
			      (e & EPOLLOUT ? LOOP_WRITE : 0) |
			      (e & EPOLLRDHUP ? LOOP_HANGUP : 0) |
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

int loop_timers_wait_ms(const struct loop_timers *q, uint64_t now_ns, int limit)
{
	const struct loop_timer *t;
	uint64_t ms;

	if (list_empty(&q->head))
		return limit;
	t = container_of(q->head.next, struct loop_timer, node);
	ms = t->due_ns <= now_ns ? 0 : (t->due_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	if (limit >= 0 && ms > (uint64_t)limit)
		return limit;
	return (int)MIN(ms, (uint64_t)3600 * 1000);
}
