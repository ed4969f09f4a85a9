// SPDX-License-Identifier: Apache-2.0
#include "approvals_int.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HOLD_TIMEOUT_NS (300 * 1000000000ULL) /* where the verdict does not say */

const char *const approval_state_names[] = { "waiting", "approved", "denied", "expired", "gone" };

struct remembered {
	uint8_t key[SHA256_LEN];
	struct ulid session; /* that it holds for; zero: any */
	struct ulid approval;
	uint64_t until_ns; /* monotonic; UINT64_MAX: as long as the session */
};

struct settled {
	char id[ULID_TEXT_MAX];
	enum approval_state state;
};

struct approvals {
	pthread_mutex_t lock;
	struct list_node all; /* oldest first */
	size_t n, bytes;
	struct remembered *remembered; /* a ring of APPROVALS_REMEMBERED_MAX, made on first use */
	size_t n_remembered, next_remembered;
	struct settled settled[APPROVALS_SETTLED_MAX]; /* a ring */
	size_t next_settled;
	bool news;
	int news_fd;
	struct list_node fresh;         /* nobody was told of these */
	struct approvals_event *events; /* a ring of APPROVALS_NEWS_MAX, made on first use */
	size_t n_events, first_event;
	struct approvals_stats stats;
};

/* The kernel's lock cannot fail here: it is initialised, and never taken twice by one thread. */
static void lock(struct approvals *t)
{
	int err = pthread_mutex_lock(&t->lock);

	assert(err == 0);
}

static void unlock(struct approvals *t)
{
	int err = pthread_mutex_unlock(&t->lock);

	assert(err == 0);
}

int approvals_new(bool news, struct approvals **ret)
{
	struct approvals *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->news = news;
	t->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->news_fd < 0) {
		free(t);
		return -ENOMEM;
	}
	/* Cannot fail with default attributes on Linux. */
	(void)pthread_mutex_init(&t->lock, NULL);
	list_init(&t->all);
	list_init(&t->fresh);
	*ret = t;
	return 0;
}

struct approvals *approvals_free(struct approvals *t)
{
	if (!t)
		return NULL;
	assert(list_empty(&t->all));
	(void)pthread_mutex_destroy(&t->lock); /* nobody can hold it any more */
	close_p(&t->news_fd);
	free(t->remembered);
	free(t->events);
	free(t);
	return NULL;
}

void approvals_inbox_init(struct approvals_inbox *in, struct loop *loop)
{
	in->loop = loop;
	list_init(&in->_news);
}

struct approval *approval_free(struct approval *a)
{
	if (!a)
		return NULL;
	free((char *)(uintptr_t)a->rule);
	free((char *)(uintptr_t)a->message);
	free(a->_answers);
	free(a->_head);
	free(a->_detail);
	free(a->_text);
	free(a);
	return NULL;
}
DEFINE_CLEANUP(struct approval, approval_free)

static void ring_bell(struct approvals *t)
{
	uint64_t one = 1;

	if (write(t->news_fd, &one, sizeof(one)) < 0)
		errno = 0; /* full: it is readable already */
}

/* ---- asking --------------------------------------------------------------------------------- */

static int make(const struct approval_ask *ask, struct approval **ret)
{
	const struct verdict_hold none = { .count = 1, .timeout_ns = HOLD_TIMEOUT_NS };
	const struct verdict *v = ask->verdict;
	const struct verdict_hold *h = v->hold ? v->hold : &none;
	_cleanup_(approval_free_p) struct approval *a = calloc(1, sizeof(*a));
	/* What was not seen whole is never taken for something else that was not seen whole. */
	bool whole = !ask->op->text_cut && !ask->op->body_cut;
	int r;

	if (!a)
		return -ENOMEM;
	list_init(&a->in_owner);
	list_init(&a->_all);
	list_init(&a->_inbox);
	list_init(&a->_news);
	r = ulid_new(ask->real_ns, &a->id);
	if (r < 0)
		return r;
	ulid_format(&a->id, a->_id);
	a->op_id = ask->op->id;
	a->op = ask->op;
	a->_session = ask->session->id;
	a->needed = h->count ? h->count : 1;
	if (h->count > APPROVAL_PEOPLE_MAX)
		return -ENOSPC;
	a->asked_ns = ask->real_ns;
	a->deadline_ns = ask->real_ns + h->timeout_ns;
	a->remember_session = h->remember_session && whole;
	a->remember_ns = whole ? h->remember_ns : 0;
	a->rule = strdup(v->rule ? v->rule : "");
	a->message = strdup(v->message ? v->message : "");
	a->_text = malloc(ask->op->text.len + 1);
	if (!a->rule || !a->message || !a->_text)
		return -ENOMEM;
	a->_text_len = ask->op->text.len;
	if (a->_text_len)
		memcpy(a->_text, ask->op->text.ptr, a->_text_len);
	a->_cut = ask->op->text_cut;
	r = approval_digest(ask, a->digest);
	if (r == 0 && (a->remember_session || a->remember_ns))
		r = approval_key(ask, a->_key);
	if (r == 0)
		r = approval_render(a, ask);
	if (r < 0)
		return r;
	a->_cost = sizeof(*a) + a->_text_len + strlen(a->_head) + strlen(a->_detail) +
		   strlen(a->rule) + strlen(a->message) +
		   a->needed * sizeof(struct approval_answer);
	*ret = TAKE_PTR(a);
	return 0;
}

int approvals_ask(struct approvals *t, const struct approval_ask *ask, struct approvals_inbox *in,
		  void *owner, struct approval **ret)
{
	struct approval *a = NULL;
	int r = make(ask, &a);

	if (r < 0)
		return r;
	a->owner = owner;
	a->_box = in;
	lock(t);
	if (t->n >= APPROVALS_MAX || a->_cost > APPROVALS_BYTES_MAX - t->bytes) {
		unlock(t);
		(void)approval_free(a); /* returns NULL */
		return -ENOSPC;
	}
	list_append(&t->all, &a->_all);
	t->n++;
	t->bytes += a->_cost;
	__atomic_add_fetch(&t->stats.asked, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&t->stats.waiting, t->n, __ATOMIC_RELAXED);
	if (t->news) {
		list_append(&t->fresh, &a->_news);
		ring_bell(t);
	}
	unlock(t);
	*ret = a;
	return 0;
}

size_t approvals_waiting(struct approvals *t)
{
	return __atomic_load_n(&t->stats.waiting, __ATOMIC_RELAXED);
}

/* ---- settling ------------------------------------------------------------------------------- */

static void tell_settled(struct approvals *t, const struct approval *a, const char *reason)
{
	const struct approval_answer *last = a->_n_answers ? &a->_answers[a->_n_answers - 1] : NULL;
	struct approvals_event *e;

	if (!t->events)
		t->events = calloc(APPROVALS_NEWS_MAX, sizeof(*t->events));
	if (!t->events)
		return; /* somebody is not told that it is over; what counts is in the store */
	if (t->n_events == APPROVALS_NEWS_MAX) {
		t->first_event = (t->first_event + 1) % APPROVALS_NEWS_MAX;
		t->n_events--;
	}
	e = &t->events[(t->first_event + t->n_events++) % APPROVALS_NEWS_MAX];
	*e = (struct approvals_event){ .state = a->_state };
	memcpy(e->id, a->_id, sizeof(e->id));
	if (last && (a->_state == APPROVAL_APPROVED || a->_state == APPROVAL_DENIED)) {
		snprintf(e->who, sizeof(e->who), "%s", last->who[0] ? last->who : last->key);
		reason = last->reason;
	}
	snprintf(e->reason, sizeof(e->reason), "%s", reason ? reason : "");
	ring_bell(t);
}

static void count(struct approvals *t, enum approval_state state)
{
	uint64_t *n = state == APPROVAL_APPROVED  ? &t->stats.approved
		      : state == APPROVAL_DENIED  ? &t->stats.denied
		      : state == APPROVAL_EXPIRED ? &t->stats.expired
						  : &t->stats.gone;

	__atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

/* It waits no more: out of the table, and known by its id for a while. */
static void settle(struct approvals *t, struct approval *a, enum approval_state state,
		   const char *reason)
{
	struct settled *s = &t->settled[t->next_settled];

	a->_state = state;
	list_remove(&a->_all);
	t->n--;
	t->bytes -= a->_cost;
	__atomic_store_n(&t->stats.waiting, t->n, __ATOMIC_RELAXED);
	count(t, state);
	memcpy(s->id, a->_id, sizeof(s->id));
	s->state = state;
	t->next_settled = (t->next_settled + 1) % APPROVALS_SETTLED_MAX;
	if (a->_told)
		tell_settled(t, a, reason);
	else
		list_remove(&a->_news);
}

enum approval_state approvals_settle(struct approvals *t, struct approval *a,
				     enum approval_state state, const char *reason)
{
	lock(t);
	if (a->_state == APPROVAL_WAITING && state != APPROVAL_WAITING)
		settle(t, a, state, reason);
	if (a->_state != APPROVAL_WAITING)
		list_remove(&a->_inbox);
	state = a->_state;
	unlock(t);
	return state;
}

struct approval *approvals_take(struct approvals *t, struct approvals_inbox *in)
{
	struct approval *a = NULL;

	lock(t);
	if (!list_empty(&in->_news)) {
		a = container_of(in->_news.next, struct approval, _inbox);
		list_remove(&a->_inbox);
	}
	unlock(t);
	return a;
}

int approvals_answer_next(struct approvals *t, struct approval *a, struct approval_answer *ret)
{
	int got = 0;

	lock(t);
	if (a->n_recorded < a->_n_answers) {
		*ret = a->_answers[a->n_recorded++];
		got = 1;
	}
	unlock(t);
	return got;
}

/* ---- remembering ---------------------------------------------------------------------------- */

void approvals_remember(struct approvals *t, const struct approval *a, uint64_t mono_ns)
{
	struct remembered *m;

	if (!a->remember_session && !a->remember_ns)
		return;
	lock(t);
	if (!t->remembered)
		t->remembered = calloc(APPROVALS_REMEMBERED_MAX, sizeof(*t->remembered));
	if (t->remembered) { /* else it is asked for again */
		m = &t->remembered[t->next_remembered];
		t->next_remembered = (t->next_remembered + 1) % APPROVALS_REMEMBERED_MAX;
		__atomic_store_n(&t->n_remembered,
				 MIN(t->n_remembered + 1, (size_t)APPROVALS_REMEMBERED_MAX),
				 __ATOMIC_RELAXED);
		*m = (struct remembered){
			.approval = a->id,
			.until_ns = a->remember_session ? UINT64_MAX : mono_ns + a->remember_ns,
		};
		if (a->remember_session)
			m->session = a->_session;
		memcpy(m->key, a->_key, sizeof(m->key));
	}
	unlock(t);
}

bool approvals_recall(struct approvals *t, const struct approval_ask *ask, struct ulid *ret_id)
{
	const struct verdict_hold *h = ask->verdict->hold;
	uint8_t key[SHA256_LEN];
	bool found = false;

	if (!h || (!h->remember_session && !h->remember_ns) || ask->op->text_cut ||
	    ask->op->body_cut || !__atomic_load_n(&t->n_remembered, __ATOMIC_RELAXED) ||
	    approval_key(ask, key) < 0)
		return false;
	lock(t);
	for (size_t i = 0; i < t->n_remembered && !found; i++) {
		const struct remembered *m = &t->remembered[i];

		if (m->until_ns > ask->mono_ns && sha256_equal(m->key, key)) {
			*ret_id = m->approval;
			found = true;
		}
	}
	unlock(t);
	if (found)
		__atomic_add_fetch(&t->stats.remembered, 1, __ATOMIC_RELAXED);
	return found;
}

void approvals_forget(struct approvals *t, const struct ulid *session)
{
	lock(t);
	for (size_t i = 0; i < t->n_remembered; i++)
		if (ulid_cmp(&t->remembered[i].session, session) == 0)
			t->remembered[i].until_ns = 0;
	unlock(t);
}

/* ---- listing and answering ------------------------------------------------------------------- */

static bool id_begins(const char *id, struct slice prefix)
{
	return prefix.len && prefix.len <= ULID_TEXT_LEN &&
	       slice_ieq(slice_of(id, prefix.len), prefix);
}

static int find(struct approvals *t, const char *id, struct approval **ret)
{
	struct approval *found = NULL;

	list_foreach(n, &t->all) {
		struct approval *a = container_of(n, struct approval, _all);

		if (!id_begins(a->_id, slice_str(id)))
			continue;
		if (found)
			return -ENOTUNIQ;
		found = a;
	}
	*ret = found;
	return found ? 0 : -ENOENT;
}

int approvals_list(struct approvals *t, const char *id, struct buf *b)
{
	struct approval *one;
	int n = 0, r = 0;

	lock(t);
	if (id) {
		r = find(t, id, &one);
		if (r == 0)
			r = approval_put_json(b, one, true);
		if (r == 0)
			r = buf_put_u8(b, '\n');
		n = 1;
	} else {
		list_foreach(node, &t->all) {
			size_t start = buf_len(b);

			r = approval_put_json(b, container_of(node, struct approval, _all), false);
			if (r == 0)
				r = buf_put_u8(b, '\n');
			if (r < 0) {
				buf_truncate(b, start);
				break;
			}
			n++;
		}
		if (r == -EMSGSIZE)
			r = 0; /* as many as go in */
	}
	unlock(t);
	return r < 0 ? r : n;
}

static enum approval_state how_it_ended(struct approvals *t, const char *id)
{
	for (size_t i = 0; i < APPROVALS_SETTLED_MAX; i++)
		if (t->settled[i].id[0] && id_begins(t->settled[i].id, slice_str(id)))
			return t->settled[i].state;
	return APPROVAL_WAITING;
}

static int answer(struct approvals *t, struct approval *a, const struct approval_answer *an)
{
	for (unsigned i = 0; i < a->_n_answers; i++)
		if (strcmp(a->_answers[i].key, an->key) == 0)
			return -EEXIST;
	if (!a->_answers)
		a->_answers = calloc(a->needed, sizeof(*a->_answers));
	if (!a->_answers)
		return -ENOMEM;
	/* Never more than `needed`: that many approvals, or the first denial, end it. */
	assert(a->_n_answers < a->needed);
	a->_answers[a->_n_answers++] = *an;
	a->_n_allow += an->allow;
	if (!an->allow)
		settle(t, a, APPROVAL_DENIED, NULL);
	else if (a->_n_allow == a->needed)
		settle(t, a, APPROVAL_APPROVED, NULL);
	if (list_empty(&a->_inbox))
		list_append(&a->_box->_news, &a->_inbox);
	return 0;
}

int approvals_answer(struct approvals *t, const char *id, const struct approval_answer *an,
		     enum approval_state *ret_state, char ret_id[ULID_TEXT_MAX])
{
	struct loop *wake = NULL;
	struct approval *a;
	int r;

	if (!an->key[0])
		return -EINVAL;
	lock(t);
	r = find(t, id, &a);
	if (r == -ENOENT)
		*ret_state = how_it_ended(t, id);
	if (r == 0)
		r = answer(t, a, an);
	if (r == 0) {
		*ret_state = a->_state;
		memcpy(ret_id, a->_id, ULID_TEXT_MAX);
		wake = a->_box->loop;
	}
	/* Under the lock: the worker, and with it its loop, may go once it has been let go. */
	if (wake)
		loop_wake(wake);
	unlock(t);
	return r;
}

/* ---- news ----------------------------------------------------------------------------------- */

int approvals_news_fd(const struct approvals *t)
{
	return t->news_fd;
}

int approvals_news(struct approvals *t, struct approvals_event *ret, struct buf *json)
{
	uint64_t drained;
	int r = 0;

	lock(t);
	if (t->n_events) {
		*ret = t->events[t->first_event];
		t->first_event = (t->first_event + 1) % APPROVALS_NEWS_MAX;
		t->n_events--;
		r = 1;
	} else if (!list_empty(&t->fresh)) {
		struct approval *a = container_of(t->fresh.next, struct approval, _news);

		r = approval_put_json(json, a, true);
		if (r == 0) {
			list_remove(&a->_news);
			a->_told = true;
			*ret = (struct approvals_event){ .state = APPROVAL_WAITING,
							 .needed = a->needed,
							 .deadline_ns = a->deadline_ns };
			memcpy(ret->id, a->_id, sizeof(ret->id));
			r = 1;
		}
	} else if (read(t->news_fd, &drained, sizeof(drained)) < 0) {
		errno = 0; /* quiet already */
	}
	unlock(t);
	return r;
}

void approvals_stats(const struct approvals *t, struct approvals_stats *ret)
{
	const struct approvals_stats *s = &t->stats;

	ret->waiting = __atomic_load_n(&s->waiting, __ATOMIC_RELAXED);
	ret->asked = __atomic_load_n(&s->asked, __ATOMIC_RELAXED);
	ret->approved = __atomic_load_n(&s->approved, __ATOMIC_RELAXED);
	ret->denied = __atomic_load_n(&s->denied, __ATOMIC_RELAXED);
	ret->expired = __atomic_load_n(&s->expired, __ATOMIC_RELAXED);
	ret->gone = __atomic_load_n(&s->gone, __ATOMIC_RELAXED);
	ret->remembered = __atomic_load_n(&s->remembered, __ATOMIC_RELAXED);
}
