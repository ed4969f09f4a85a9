// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "classes.h"
#include "net/sock.h"
#include "session.h"

enum {
	EVENTS_PER_TURN = 256,
	ACCEPTS_PER_TURN = 64, /* per listener: so that a flood of connects starves nobody */
	SHORT_SECONDS = 10,    /* dial, sniff, drain */
	LAST_TURNS = 100,      /* before stopping: what is under way may end properly */
	LAST_WORDS_MS = 1000,  /* then as well: for refusals that come by the server */
	LONG_SECONDS = 60,     /* a refused session that stays quiet */
};

_Static_assert(ARRAY_SIZE(((struct worker *)0)->shared) == PROTO_CLASSES, "one cache a class");

int worker_new(const struct worker_config *cfg, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->cfg = *cfg;
	list_init(&w->sessions);
	list_init(&w->running);
	list_init(&w->dead);
	loop_timers_init(&w->timers_short, SHORT_SECONDS * NSEC_PER_SEC);
	loop_timers_init(&w->timers_long, LONG_SECONDS * NSEC_PER_SEC);
	w->scratch = malloc(WORKER_SCRATCH);
	r = w->scratch ? loop_new(&w->loop) : -ENOMEM;
	approvals_inbox_init(&w->inbox, w->loop);
	if (r == 0)
		r = store_batch_new(cfg->store, &w->batch);
	for (size_t i = 0; r == 0 && i < PROTO_CLASSES; i++)
		if (proto_classes[i]->shared_new)
			r = proto_classes[i]->shared_new(&w->shared[i]);
	if (r < 0) {
		(void)worker_free(w); /* returns NULL */
		return r;
	}
	*ret = w;
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < PROTO_CLASSES; i++)
		if (w->shared[i])
			w->shared[i] = proto_classes[i]->shared_free(w->shared[i]);
	w->batch = store_batch_free(w->batch);
	w->loop = loop_free(w->loop);
	loop_heap_done(&w->holds);
	free(w->scratch);
	free(w);
	return NULL;
}

int worker_listen(struct worker *w, int listen_fd, uint64_t netns_cookie)
{
	struct listener *l;

	if (w->n_listeners == ARRAY_SIZE(w->listeners))
		return -ENOSPC;
	l = &w->listeners[w->n_listeners];
	l->watch = (struct loop_watch){ .fd = listen_fd, .kind = WATCH_LISTENER };
	l->netns_cookie = netns_cookie;
	w->n_listeners++;
	return loop_add_listener(w->loop, &l->watch);
}

void worker_wake(struct worker *w)
{
	loop_wake(w->loop);
}

void worker_stats(const struct worker *w, struct worker_stats *ret)
{
	const struct worker_stats *s = &w->stats;

	ret->sessions_open = __atomic_load_n(&s->sessions_open, __ATOMIC_RELAXED);
	ret->sessions_total = __atomic_load_n(&s->sessions_total, __ATOMIC_RELAXED);
	ret->ops = __atomic_load_n(&s->ops, __ATOMIC_RELAXED);
	ret->blocked = __atomic_load_n(&s->blocked, __ATOMIC_RELAXED);
	ret->no_flow = __atomic_load_n(&s->no_flow, __ATOMIC_RELAXED);
	ret->no_policy = __atomic_load_n(&s->no_policy, __ATOMIC_RELAXED);
	ret->store_errors = __atomic_load_n(&s->store_errors, __ATOMIC_RELAXED);
	ret->bytes[0] = __atomic_load_n(&s->bytes[0], __ATOMIC_RELAXED);
	ret->bytes[1] = __atomic_load_n(&s->bytes[1], __ATOMIC_RELAXED);
}

/* ---- the turn ------------------------------------------------------------------------------- */

static void accept_some(struct worker *w, struct listener *l)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct addr peer, local;
		int fd = sock_accept(l->watch.fd, &peer, &local);

		if (fd == -EAGAIN)
			return;
		if (fd < 0) {
			static struct log_limit limit;
			unsigned dropped;

			if (log_limit_pass(&limit, 1, &dropped))
				log_warn("cannot accept error=\"%s\" dropped=%u, clients wait",
					 strerror(-fd), dropped);
			return;
		}
		session_start(w, fd, &peer, &local, l->netns_cookie);
	}
}

static void note_news(struct worker *w, const struct loop_ready *ready)
{
	struct session *s;
	struct side *side;

	if (ready->watch->kind == WATCH_LISTENER) {
		accept_some(w, container_of(ready->watch, struct listener, watch));
		return;
	}
	if (ready->watch->kind == WATCH_CLIENT) {
		s = container_of(ready->watch, struct session, client.watch);
		side = &s->client;
	} else {
		s = container_of(ready->watch, struct session, server.watch);
		side = &s->server;
	}
	side->readable |= (ready->what & (LOOP_READ | LOOP_HANGUP)) != 0;
	side->writable |= (ready->what & LOOP_WRITE) != 0;
	side->hangup |= (ready->what & LOOP_HANGUP) != 0;
	session_run(s);
}

static void commit(struct worker *w, struct list_node *running)
{
	int r;

	if (store_batch_empty(w->batch))
		return;
	r = store_commit(w->batch);
	if (r == 0)
		return;
	__atomic_add_fetch(&w->stats.store_errors, 1, __ATOMIC_RELAXED);
	log_error("the store does not take records, refusing error=\"%s\"", store_strerror(r));
	list_foreach(n, running) {
		struct session *s = container_of(n, struct session, run);

		if (s->staged)
			session_store_failed(s, r);
	}
}

static void run_sessions(struct worker *w)
{
	struct list_node running;

	/* What puts itself on the list from here on is for the next turn. */
	list_init(&running);
	list_take(&w->running, &running);
	list_foreach(n, &running)
		session_intake(container_of(n, struct session, run));
	commit(w, &running);
	list_foreach(n, &running) {
		list_remove(n);
		session_flush(container_of(n, struct session, run));
	}
}

static void reap(struct worker *w)
{
	list_foreach(n, &w->dead)
		session_free(container_of(n, struct session, all));
}

static void expire(struct worker *w, struct loop_timers *q)
{
	struct loop_timer *t;

	while ((t = loop_timers_pop(q, w->mono_ns)))
		session_timeout(container_of(t, struct session, timer));
}

static void expire_holds(struct worker *w)
{
	struct loop_due *d;

	while ((d = loop_heap_pop(&w->holds, w->mono_ns)))
		hold_expired(container_of(d, struct approval, due));
}

/* Somebody called loop_wake: answers, paths of cgroups, other agents. */
static void woken(struct worker *w)
{
	uint64_t detachments = agents_detachments(w->cfg.agents);
	struct approval *a;

	while (w->cfg.approvals && (a = approvals_take(w->cfg.approvals, &w->inbox)))
		hold_answered(a);
	list_foreach(node, &w->sessions)
		session_retry_identity(container_of(node, struct session, all));
	if (detachments == w->detachments)
		return;
	w->detachments = detachments;
	list_foreach(node, &w->sessions)
		session_check_agent(container_of(node, struct session, all));
}

static int wait_ms(struct worker *w, int limit_ms)
{
	int ms;

	if (!list_empty(&w->running) || !store_batch_empty(w->batch))
		return 0;
	ms = loop_timers_wait_ms(&w->timers_short, w->mono_ns, limit_ms);
	ms = loop_heap_wait_ms(&w->holds, w->mono_ns, ms);
	return loop_timers_wait_ms(&w->timers_long, w->mono_ns, ms);
}

/* One turn, waiting at most limit_ms (-1 = until there is something). False: there was nothing. */
static bool turn(struct worker *w, int limit_ms)
{
	struct loop_ready ready[EVENTS_PER_TURN];
	bool idle = list_empty(&w->running);
	size_t n = loop_wait(w->loop, wait_ms(w, limit_ms), ready, ARRAY_SIZE(ready));

	w->mono_ns = clock_monotonic_ns();
	w->real_ns = clock_realtime_ns();
	for (size_t i = 0; i < n; i++) {
		if (ready[i].watch)
			note_news(w, &ready[i]);
		else
			woken(w);
	}
	expire(w, &w->timers_short);
	expire(w, &w->timers_long);
	expire_holds(w);
	run_sessions(w);
	reap(w);
	return n || !idle;
}

/* Is something to be said or heard yet: that what was on hold is denied, or an end? */
static bool words_pending(const struct worker *w)
{
	list_foreach(n, &w->sessions) {
		const struct session *s = container_of(n, struct session, all);

		if (s->stage == SESSION_RUN && s->last_denied > s->last_result)
			return true;
		/* Its client has said all: what is missing is the server's end. */
		if ((s->stage == SESSION_RUN || s->stage == SESSION_DRAIN) && s->connected &&
		    (s->client.eof || sock_peer_ended(s->client.watch.fd)))
			return true;
	}
	return false;
}

static void deny_holds(struct worker *w)
{
	uint64_t until_ns = clock_monotonic_ns() + LAST_WORDS_MS * NSEC_PER_MSEC;

	list_foreach(n, &w->sessions)
		hold_deny_all(container_of(n, struct session, all), "the daemon was stopped");
	while (words_pending(w) && clock_monotonic_ns() < until_ns)
		(void)turn(w, LAST_WORDS_MS / 10); /* quiet or not, it goes on */
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;

	w->mono_ns = clock_monotonic_ns();
	w->real_ns = clock_realtime_ns();
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
		(void)turn(w, -1); /* quiet or not, it goes on */
	deny_holds(w);
	/* Ends that have arrived already are ends, not interruptions. */
	for (int i = 0; i < LAST_TURNS && turn(w, 0); i++)
		;
	list_foreach(n, &w->sessions)
		session_close(container_of(n, struct session, all), STORE_SESSION_INTERRUPTED,
			      "the daemon was stopped");
	commit(w, &w->running);
	reap(w);
	return NULL;
}

int worker_start(struct worker *w)
{
	sigset_t all, old;
	int err;

	/* Signals are the main thread's business. */
	(void)sigfillset(&all);                         /* cannot fail */
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* cannot fail with SIG_SETMASK */
	err = pthread_create(&w->thread, NULL, worker_thread, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL); /* the same */
	w->started = err == 0;
	return -err;
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	loop_wake(w->loop);
	(void)pthread_join(w->thread, NULL); /* joinable, and joined once */
	w->started = false;
}
