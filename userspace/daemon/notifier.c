// SPDX-License-Identifier: Apache-2.0
#include "daemon/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/ipc.h"
#include "daemon/proxy.h"
#include "notify/answers.h"
#include "notify/body.h"
#include "notify/deliver.h"

#define SETTLED_TTL_NS (3600 * NSEC_PER_SEC) /* how long it makes sense to tell of an end */
#define STATS_NS NSEC_PER_SEC
#define STOP_NS (3 * NSEC_PER_SEC) /* for what is still to be told at the end */

enum {
	TURN_MS = 1000,
	TURN_PACKETS = 256, /* read in one turn, so that transfers go on in between */
	KEYS_SIZE = TOKENS_WEBHOOKS_MAX * DELIVER_KEY_MAX,
};
_Static_assert((int)TOKENS_ID_MAX == (int)IPC_ID_MAX, "ids are of one size");

struct webhook {
	unsigned flags; /* IPC_WEBHOOK_* */
	char *ca;
};

struct notifier {
	int ipc;
	struct webhook webhooks[TOKENS_WEBHOOKS_MAX];
	struct deliver_target targets[TOKENS_WEBHOOKS_MAX];
	unsigned n_webhooks;
	uint8_t *keys; /* KEYS_SIZE bytes that are never swapped nor dumped */
	struct queue queue;
	struct deliver *deliver;
	struct answers *answers;
	uint64_t stats_ns; /* next time to tell */
	uint64_t told[IPC_NOTIFY_STAT_COUNT];
	uint64_t stop_ns; /* 0 = go on */
};

static struct ipc_msg msg_in, msg_out; /* one thread, and 32 KiB are too many for its stack */

/* ---- messages ------------------------------------------------------------------------------- */

static int keys_open(struct notifier *n)
{
	void *mem =
		mmap(NULL, KEYS_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		return -errno;
	n->keys = mem;
	if (mlock(mem, KEYS_SIZE) < 0 || madvise(mem, KEYS_SIZE, MADV_DONTDUMP) < 0)
		return -errno;
	return 0;
}

static int on_webhook(struct notifier *n, struct ipc_msg *m)
{
	const char *name = ipc_msg_get(m, 0), *url = ipc_msg_get(m, 1);
	struct deliver_target *t = &n->targets[n->n_webhooks];
	struct webhook *h = &n->webhooks[n->n_webhooks];
	uint8_t *key = n->keys + (size_t)n->n_webhooks * DELIVER_KEY_MAX;
	ssize_t len;
	int r;

	if (n->deliver || n->n_webhooks == TOKENS_WEBHOOKS_MAX || !name || !url ||
	    strlen(name) >= sizeof(t->name) || strlen(url) >= sizeof(t->url) || m->fds[0] < 0)
		return -EPROTO;
	len = ipc_blob_read_into(m->fds[0], key, DELIVER_KEY_MAX);
	if (len < DELIVER_KEY_MIN)
		return len < 0 ? (int)len : -EPROTO;
	if (m->fds[1] >= 0) {
		r = ipc_blob_read(m->fds[1], DELIVER_CA_MAX, &h->ca, &t->ca_len);
		if (r < 0)
			return r;
		t->ca = h->ca;
	}
	memcpy(t->name, name, strlen(name) + 1);
	memcpy(t->url, url, strlen(url) + 1);
	t->key = slice_of(key, (size_t)len);
	h->flags = m->head.flags;
	n->n_webhooks++;
	return 0;
}

static int on_notify(struct notifier *n, struct ipc_msg *m)
{
	int r;

	if (n->deliver || !n->n_webhooks)
		return -EPROTO;
	if (m->head.flags & IPC_SETUP_DEBUG)
		log_setup("weir[notifier]", LOG_LEVEL_DEBUG);
	if (m->fds[0] >= 0) {
		r = answers_new(m->fds[0], &n->answers);
		if (r < 0)
			return r;
		(void)TAKE_FD(m->fds[0]);
	}
	return deliver_new(&n->queue, n->targets, n->n_webhooks, &n->deliver);
}

/* Puts what b holds into the queue. Says nothing when it cannot: the queue counts what it drops. */
static void enqueue(struct notifier *n, unsigned webhook, enum delivery_kind kind, const char *id,
		    struct buf *b, uint64_t expires_ns)
{
	char *body = slice_dup(buf_peek(b));
	int r = body ? queue_push(&n->queue, webhook, kind, id, body, buf_len(b),
				  clock_monotonic_ns(), expires_ns)
		     : -ENOMEM;

	if (r < 0) {
		n->queue.stats.dropped++;
		free(body);
	}
}

/* The time that is left until a realtime deadline, on the monotonic clock. */
static uint64_t deadline_here(uint64_t deadline_ns)
{
	uint64_t now = clock_realtime_ns();

	return clock_monotonic_ns() + (deadline_ns > now ? deadline_ns - now : 0);
}

static int on_held(struct notifier *n, struct ipc_msg *m)
{
	_cleanup_(free_p) char *text = NULL;
	struct body_held h = { .id = ipc_msg_get(m, 0) };
	json_t *op;
	size_t len;
	struct buf b;
	int r;

	if (!n->deliver || !h.id || !token_id_valid(h.id) || m->fds[0] < 0)
		return -EPROTO;
	r = ipc_blob_read(m->fds[0], IPC_JSON_MAX, &text, &len);
	op = r == 0 ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(op)) {
		/* The proxy's doing, not the warden's: this one is not told of, the next may be fine. */
		log_error("an operation cannot be read, nobody is told id=%s error=\"%s\"", h.id,
			  r < 0 ? strerror(-r) : "not a JSON object");
		json_decref(op);
		n->queue.stats.dropped++;
		return 0;
	}
	buf_init(&b, BODY_MAX);
	h.op = op;
	for (unsigned i = 0; i < n->n_webhooks; i++) {
		unsigned flags = n->webhooks[i].flags;

		if (!(flags & IPC_WEBHOOK_HELD))
			continue;
		h.token = ipc_msg_get(m, 1 + i);
		buf_clear(&b);
		r = flags & IPC_WEBHOOK_SLACK ? body_held_slack(&h, &b) : body_held_json(&h, &b);
		if (r == 0) {
			enqueue(n, i, DELIVERY_HELD, h.id, &b,
				deadline_here(m->head.stats[IPC_HELD_DEADLINE_NS]));
		} else {
			log_error("no body for a webhook name=%s id=%s error=\"%s\"",
				  n->targets[i].name, h.id, strerror(-r));
			n->queue.stats.dropped++;
		}
	}
	buf_done_wiped(&b);
	json_decref(op);
	return 0;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static int on_settled(struct notifier *n, struct ipc_msg *m)
{
	struct body_settled s = {
		.id = ipc_msg_get(m, 0),
		.how = ipc_msg_get(m, 1),
		.who = or_empty(ipc_msg_get(m, 2)),
		.reason = or_empty(ipc_msg_get(m, 3)),
	};
	struct buf b;

	if (!n->deliver || !s.id || !s.how || !token_id_valid(s.id))
		return -EPROTO;
	queue_settle(&n->queue, s.id);
	buf_init(&b, BODY_MAX);
	for (unsigned i = 0; i < n->n_webhooks; i++) {
		unsigned flags = n->webhooks[i].flags;
		int r;

		if (!(flags & IPC_WEBHOOK_SETTLED))
			continue;
		buf_clear(&b);
		r = flags & IPC_WEBHOOK_SLACK ? body_settled_slack(&s, &b)
					      : body_settled_json(&s, &b);
		if (r == 0)
			enqueue(n, i, DELIVERY_SETTLED, s.id, &b,
				clock_monotonic_ns() + SETTLED_TTL_NS);
		else
			n->queue.stats.dropped++;
	}
	buf_done(&b);
	return 0;
}

static int handle(struct notifier *n, struct ipc_msg *m)
{
	int r;

	switch (m->head.type) {
	case IPC_HELD: return on_held(n, m);
	case IPC_SETTLED: return on_settled(n, m);
	case IPC_ACK:
		if (n->answers)
			answers_settle(n->answers, m->head.request, m->head.status,
				       or_empty(ipc_msg_get(m, 0)));
		return 0;
	case IPC_STOP: n->stop_ns = clock_monotonic_ns() + STOP_NS; return 0;
	case IPC_WEBHOOK: r = on_webhook(n, m); break;
	case IPC_NOTIFY: r = on_notify(n, m); break;
	default: return -EPROTO;
	}
	ipc_msg_init(&msg_out, IPC_ACK);
	msg_out.head.request = m->head.request;
	msg_out.head.status = r;
	return ipc_send(n->ipc, &msg_out);
}

static int messages(struct notifier *n)
{
	int r = 0;

	for (unsigned i = 0; i < TURN_PACKETS && r == 0; i++) {
		r = ipc_recv(n->ipc, &msg_in);
		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			r = -EPIPE; /* the warden is gone */
		if (r > 0)
			r = handle(n, &msg_in);
		ipc_msg_done(&msg_in);
		/* Keys' and tokens' copies do not stay. */
		explicit_bzero(msg_in.payload, msg_in.head.payload_len);
	}
	return r;
}

/* ---- what is told to the warden -------------------------------------------------------------------- */

static int votes(struct notifier *n)
{
	struct ipc_msg *m = &msg_out;
	struct vote v;

	while (answers_next(n->answers, &v)) {
		int r;

		ipc_msg_init(m, IPC_VOTE);
		m->head.request = v.request;
		m->head.flags = v.kind == VOTE_APPROVE ? IPC_VOTE_APPROVE
				: v.kind == VOTE_DENY  ? IPC_VOTE_DENY
						       : 0;
		m->fds[0] = v.fd;
		r = ipc_msg_put(m, v.id);
		if (r == 0)
			r = ipc_msg_put(m, v.token);
		if (r == 0)
			r = ipc_msg_put(m, v.who);
		if (r == 0)
			r = ipc_msg_put(m, v.reason);
		if (r == 0)
			r = ipc_send(n->ipc, m);
		explicit_bzero(m->payload, m->head.payload_len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int stats(struct notifier *n)
{
	struct ipc_msg *m = &msg_out;
	struct answers_stats a = { 0 };
	uint64_t now = clock_monotonic_ns();

	if (now < n->stats_ns)
		return 0;
	n->stats_ns = now + STATS_NS;
	if (n->answers)
		answers_stats(n->answers, &a);
	ipc_msg_init(m, IPC_NOTIFY_STATS);
	m->head.stats[IPC_NOTIFY_QUEUED] = n->queue.n;
	m->head.stats[IPC_NOTIFY_SENT] = n->queue.stats.sent;
	m->head.stats[IPC_NOTIFY_RETRIED] = n->queue.stats.retried;
	m->head.stats[IPC_NOTIFY_FAILED] = n->queue.stats.failed;
	m->head.stats[IPC_NOTIFY_DROPPED] = n->queue.stats.dropped;
	m->head.stats[IPC_NOTIFY_REQUESTS] = a.requests;
	m->head.stats[IPC_NOTIFY_LIMITED] = a.limited;
	if (memcmp(n->told, m->head.stats, sizeof(n->told)) == 0)
		return 0;
	if (m->head.stats[IPC_NOTIFY_DROPPED] != n->told[IPC_NOTIFY_DROPPED])
		log_warn("webhooks dropped total=%llu waiting=%u",
			 (unsigned long long)n->queue.stats.dropped, n->queue.n);
	memcpy(n->told, m->head.stats, sizeof(n->told));
	return ipc_send(n->ipc, m);
}

static int turn(struct notifier *n)
{
	struct deliver_fd fds[2] = { { .fd = n->ipc }, { .fd = -1 } };
	unsigned n_fds = 1, wait_ms = TURN_MS;
	int r;

	if (n->answers) {
		fds[n_fds++].fd = answers_fd(n->answers);
		wait_ms = answers_timeout_ms(n->answers, wait_ms);
	}
	if (n->stop_ns)
		wait_ms = MIN(wait_ms, 50u);
	deliver_wait(n->deliver, fds, n_fds, wait_ms);
	r = fds[0].readable ? messages(n) : 0;
	if (r == 0 && n->answers) {
		answers_run(n->answers);
		r = votes(n);
	}
	if (r == 0) {
		deliver_run(n->deliver);
		r = stats(n);
	}
	return r;
}

static int serve(struct notifier *n)
{
	int r = 0;

	/* Its setup: the warden's alone, one message after the other. */
	while (r == 0 && !n->deliver && !n->stop_ns) {
		r = ipc_recv(n->ipc, &msg_in);
		if (r == 0)
			r = -EPIPE;
		if (r > 0)
			r = handle(n, &msg_in);
		ipc_msg_done(&msg_in);
	}
	if (r == 0 && fcntl(n->ipc, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	while (r == 0 && n->deliver && (!n->stop_ns || n->queue.n) &&
	       (!n->stop_ns || clock_monotonic_ns() < n->stop_ns))
		r = turn(n);
	return r;
}

int notifier_main(int ipc_fd, uid_t uid, gid_t gid)
{
	struct notifier n = { .ipc = ipc_fd };
	int r;

	log_setup("weir[notifier]", LOG_LEVEL_INFO);
	r = privilege_drop(uid, gid, getppid());
	if (r < 0) {
		log_error("cannot give up privileges, ending error=\"%s\"", strerror(-r));
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* valid for SIGPIPE */
	queue_init(&n.queue);
	r = keys_open(&n);
	if (r < 0)
		log_error("cannot keep keys in memory error=\"%s\"", strerror(-r));
	else
		r = serve(&n);
	n.answers = answers_free(n.answers);
	n.deliver = deliver_free(n.deliver);
	if (n.queue.n)
		log_warn("webhooks not told at the end count=%u", n.queue.n);
	queue_done_all(&n.queue);
	for (unsigned i = 0; i < n.n_webhooks; i++)
		free(n.webhooks[i].ca);
	if (n.keys) {
		explicit_bzero(n.keys, KEYS_SIZE);
		(void)munmap(n.keys, KEYS_SIZE); /* it is one of ours */
	}
	if (r < 0)
		log_error("ending error=\"%s\"", strerror(-r));
	return r < 0 ? 1 : 0;
}
