// SPDX-License-Identifier: Apache-2.0
#include "daemon/proxy.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "daemon/holds.h"
#include "daemon/ipc.h"
#include "session/agents.h"
#include "session/programs.h"
#include "session/worker.h"
#include "store/store.h"

enum {
	WORKERS_MAX = 64,
	LISTENERS_MAX = 64,
	FDS_RESERVED = 128, /* kept for the store, the loops and listeners */
	INDEX_STEP = 4096,  /* events a step */
	INDEX_BUSY_MS = 10, /* so much is gathered in the journal before it goes on */
	INDEX_IDLE_MS = 50,
	SYNC_SECONDS = 1,
	NAMES_SECONDS = 30,
	NAMES_STOP_SECONDS = 1, /* a resolver is not waited for longer at the end */
};

/* Threads beside the workers: one writes indexes and syncs, one resolves names. */
struct upkeep {
	pthread_t index_thread, names_thread;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool started, stop;
};

struct proxy {
	int ipc;
	struct store *store;
	struct agents *agents;
	struct programs *programs;
	struct approvals *approvals;
	int flows_fd;
	bool sync_each;
	struct worker *workers[WORKERS_MAX];
	unsigned n_workers;
	int listeners[LISTENERS_MAX];
	unsigned n_listeners;
	struct upkeep upkeep;
	bool stopping;
};

/* ---- upkeep --------------------------------------------------------------------------------- */

/* Sleeps, or returns early when the proxy stops. False: stop. */
static bool upkeep_sleep(struct upkeep *u, uint64_t ms)
{
	struct timespec until;
	bool stop;
	int err;

	(void)clock_gettime(CLOCK_REALTIME, &until); /* exists on every Linux */
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000 * NSEC_PER_MSEC);
	until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
	until.tv_nsec %= (long)NSEC_PER_SEC;
	err = pthread_mutex_lock(&u->lock);
	assert(err == 0);
	while (!u->stop && pthread_cond_timedwait(&u->woken, &u->lock, &until) == 0)
		;
	stop = u->stop;
	err = pthread_mutex_unlock(&u->lock);
	assert(err == 0);
	return !stop;
}

static void *index_main(void *arg)
{
	struct proxy *p = arg;
	uint64_t synced_ns = clock_monotonic_ns();
	bool go_on = true;

	while (go_on) {
		int n = store_index_step(p->store, INDEX_STEP);
		uint64_t now = clock_monotonic_ns();

		if (n < 0) {
			log_error("cannot index the store error=\"%s\", searches read it whole",
				  store_strerror(n));
			go_on = upkeep_sleep(&p->upkeep, 10 * 1000);
		} else {
			go_on = upkeep_sleep(&p->upkeep, n ? INDEX_BUSY_MS : INDEX_IDLE_MS);
		}
		if (!p->sync_each && now - synced_ns >= SYNC_SECONDS * NSEC_PER_SEC) {
			int r = store_sync(p->store);

			if (r < 0)
				log_error("cannot sync the store error=\"%s\"", store_strerror(r));
			synced_ns = now;
		}
	}
	return NULL;
}

static void *names_main(void *arg)
{
	struct proxy *p = arg;

	while (upkeep_sleep(&p->upkeep, NAMES_SECONDS * 1000))
		agents_refresh_names(p->agents);
	return NULL;
}

static int upkeep_start(struct proxy *p)
{
	struct upkeep *u = &p->upkeep;
	int err;

	/* Neither can fail with default attributes on Linux. */
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)pthread_cond_init(&u->woken, NULL);
	err = pthread_create(&u->index_thread, NULL, index_main, p);
	if (err)
		return -err;
	err = pthread_create(&u->names_thread, NULL, names_main, p);
	u->started = true;
	if (err)
		return -err; /* the process ends now, and the other thread with it */
	return 0;
}

/* False: the thread that resolves names sits in a resolver's timeout and still uses the agents. It is not
 * cancelled: that could leave it with a lock held. */
static bool upkeep_stop(struct upkeep *u)
{
	struct timespec until;
	int err;

	if (!u->started)
		return true;
	err = pthread_mutex_lock(&u->lock);
	assert(err == 0);
	u->stop = true;
	(void)pthread_cond_broadcast(&u->woken); /* cannot fail */
	err = pthread_mutex_unlock(&u->lock);
	assert(err == 0);
	(void)pthread_join(u->index_thread, NULL);   /* joinable, and joined once */
	(void)clock_gettime(CLOCK_REALTIME, &until); /* exists on every Linux */
	until.tv_sec += NAMES_STOP_SECONDS;
	return pthread_timedjoin_np(u->names_thread, NULL, &until) == 0;
}

/* ---- messages ------------------------------------------------------------------------------- */

static unsigned descriptors_allowed(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 1024;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0 && getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 1024;
	return (unsigned)MIN(rl.rlim_cur, (rlim_t)(1 << 20));
}

static int on_setup(struct proxy *p, struct ipc_msg *m)
{
	const char *dir = ipc_msg_get(m, 0), *boot_id = ipc_msg_get(m, 1);
	unsigned n = m->head.flags & 0xff, fds = descriptors_allowed();
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE };
	struct worker_config wc;
	int r;

	if (p->store || !dir || !boot_id || m->fds[0] < 0 || n == 0 || n > WORKERS_MAX)
		return -EPROTO;
	if (m->head.flags & IPC_SETUP_DEBUG)
		log_setup("weir[proxy]", LOG_LEVEL_DEBUG);
	p->sync_each = cfg.sync_each = (m->head.flags & IPC_SETUP_SYNC_EACH) != 0;
	p->flows_fd = TAKE_FD(m->fds[0]);
	r = store_open(&cfg, &p->store);
	if (r < 0)
		return r;
	r = store_close_interrupted(p->store, clock_realtime_ns());
	if (r < 0)
		return r;
	if (r > 0)
		log_warn("sessions of a proxy that died are closed as interrupted count=%d", r);
	r = agents_new(boot_id, &p->agents);
	if (r == 0)
		r = programs_new(&p->programs);
	if (r == 0)
		r = approvals_new((m->head.flags & IPC_SETUP_NEWS) != 0, &p->approvals);
	wc = (struct worker_config){
		.agents = p->agents,
		.programs = p->programs,
		.store = p->store,
		.approvals = p->approvals,
		.flows_fd = p->flows_fd,
		.limits = PROTO_LIMITS_DEFAULT,
		.max_sessions =
			(fds > FDS_RESERVED * 2 ? fds - FDS_RESERVED : FDS_RESERVED) / 2 / n,
	};
	while (r == 0 && p->n_workers < n) {
		r = worker_new(&wc, &p->workers[p->n_workers]);
		if (r == 0)
			r = worker_start(p->workers[p->n_workers++]);
	}
	return r < 0 ? r : upkeep_start(p);
}

static int on_listener(struct proxy *p, struct ipc_msg *m)
{
	int fd = m->fds[0], r = 0;

	if (fd < 0 || !p->n_workers)
		return -EPROTO;
	if (p->n_listeners == LISTENERS_MAX)
		return -ENOSPC;
	p->listeners[p->n_listeners++] = TAKE_FD(m->fds[0]);
	for (unsigned i = 0; r == 0 && i < p->n_workers; i++)
		r = worker_listen(p->workers[i], fd, m->head.netns_cookie);
	return r;
}

/* Compiles a bundle and keeps its texts in the store. On error `message` says what and where. */
static int compile_bundle(struct proxy *p, int fd, struct policy_set **ret, char *message,
			  size_t size)
{
	_cleanup_(free_p) struct policy_source *sources = NULL;
	_cleanup_(free_p) void *mem = NULL;
	struct policy_set *set;
	struct policy_err err = { 0 };
	size_t n;
	int r = ipc_bundle_read(fd, &sources, &n, &mem);

	if (r < 0)
		return r;
	r = policy_set_compile(sources, n, &set, &err);
	if (r < 0) {
		if (err.message[0])
			snprintf(message, size, "%s:%u:%u: %s", err.source, err.line, err.column,
				 err.message); /* cut is fine */
		return r;
	}
	for (size_t i = 0; r == 0 && i < policy_set_count(set); i++) {
		const struct policy *pol = policy_set_at(set, i);

		r = store_put_policy(p->store, policy_hash(pol), policy_text(pol));
	}
	if (r < 0) {
		snprintf(message, size, "the store does not take the policy: %s",
			 store_strerror(r));
		(void)policy_set_unref(set); /* returns NULL */
		return r;
	}
	*ret = set;
	return 0;
}

/* Name, hash and mode of each policy, as far as they fit: `weir status` shows them. */
static void describe(const struct policy_set *set, struct ipc_msg *ack)
{
	static const char digits[] = "0123456789abcdef";
	int r = ipc_msg_put(ack, "");

	for (size_t i = 0; r == 0 && i < policy_set_count(set); i++) {
		const struct policy *pol = policy_set_at(set, i);
		const uint8_t *hash = policy_hash(pol);
		char hex[2 * SHA256_LEN + 1];

		for (size_t j = 0; j < SHA256_LEN; j++) {
			hex[2 * j] = digits[hash[j] >> 4];
			hex[2 * j + 1] = digits[hash[j] & 15];
		}
		hex[2 * SHA256_LEN] = '\0';
		/* All three or none. */
		if (ack->head.payload_len + strlen(policy_name(pol)) + sizeof(hex) + 16 >
		    IPC_PAYLOAD_MAX)
			break;
		r = ipc_msg_put(ack, policy_name(pol));
		if (r == 0)
			r = ipc_msg_put(ack, hex);
		if (r == 0)
			r = ipc_msg_put(ack, policy_get_mode(pol) == POLICY_OBSERVE ? "observe"
										    : "enforce");
	}
}

static int on_policies(struct proxy *p, struct ipc_msg *m, struct ipc_msg *ack, char *message,
		       size_t size)
{
	struct policy_set *set;
	int r;

	if (!p->agents || m->fds[0] < 0)
		return -EPROTO;
	r = compile_bundle(p, m->fds[0], &set, message, size);
	if (r < 0)
		return r;
	describe(set, ack);
	agents_set_policies(p->agents, set);
	return 0;
}

static int on_agent(struct proxy *p, struct ipc_msg *m, char *message, size_t size)
{
	struct identity_label labels[IDENTITY_LABELS_MAX];
	const char *path = ipc_msg_get(m, 0), *container = ipc_msg_get(m, 1);
	const char *image = ipc_msg_get(m, 2), *key;
	struct policy_set *own = NULL;
	size_t n = 0;
	int r = 0;

	if (!p->agents || !path || !container || !image)
		return -EPROTO;
	for (; n < IDENTITY_LABELS_MAX && (key = ipc_msg_get(m, 3 + 2 * n)); n++) {
		labels[n] = (struct identity_label){ key, ipc_msg_get(m, 4 + 2 * n) };
		if (!labels[n].value)
			return -EPROTO;
	}
	if (m->fds[0] >= 0)
		r = compile_bundle(p, m->fds[0], &own, message, size);
	if (r == 0)
		r = agents_attach(p->agents, m->head.cgroup_id, path, container, image, labels, n,
				  own);
	if (r < 0)
		(void)policy_set_unref(own); /* returns NULL */
	return r;
}

static void on_resolved(struct proxy *p, const struct ipc_msg *m)
{
	if (!p->agents)
		return;
	agents_resolved(p->agents, m->head.cgroup_id,
			m->head.status == 0 ? ipc_msg_get(m, 0) : NULL);
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_wake(p->workers[i]);
}

static int on_agent_gone(struct proxy *p, const struct ipc_msg *m)
{
	int r = p->agents ? agents_detach(p->agents, m->head.cgroup_id) : -EPROTO;

	/* Its sessions end now, not with their next word. */
	for (unsigned i = 0; r == 0 && i < p->n_workers; i++)
		worker_wake(p->workers[i]);
	return r;
}

static void on_exe_is(struct proxy *p, const struct ipc_msg *m)
{
	if (!p->programs)
		return;
	programs_told(p->programs, m->head.request, m->head.status == 0 ? ipc_msg_get(m, 0) : NULL);
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_wake(p->workers[i]);
}

static void fill_stats(struct proxy *p, struct ipc_head *h)
{
	struct approvals_stats a = { 0 };

	if (p->approvals)
		approvals_stats(p->approvals, &a);
	h->stats[IPC_STAT_WAITING] = a.waiting;
	h->stats[IPC_STAT_APPROVED] = a.approved;
	h->stats[IPC_STAT_DENIED] = a.denied;
	h->stats[IPC_STAT_EXPIRED] = a.expired + a.gone;
	for (unsigned i = 0; i < p->n_workers; i++) {
		struct worker_stats s;

		worker_stats(p->workers[i], &s);
		h->stats[IPC_STAT_SESSIONS_OPEN] += s.sessions_open;
		h->stats[IPC_STAT_SESSIONS_TOTAL] += s.sessions_total;
		h->stats[IPC_STAT_OPS] += s.ops;
		h->stats[IPC_STAT_BLOCKED] += s.blocked;
		h->stats[IPC_STAT_NO_FLOW] += s.no_flow;
		h->stats[IPC_STAT_NO_POLICY] += s.no_policy;
		h->stats[IPC_STAT_STORE_ERRORS] += s.store_errors;
		h->stats[IPC_STAT_BYTES_TO_SERVER] += s.bytes[DIR_TO_SERVER];
		h->stats[IPC_STAT_BYTES_TO_CLIENT] += s.bytes[DIR_TO_CLIENT];
	}
}

/* 0 or a negative errno: of the connection to the warden, not of the request. */
static int handle(struct proxy *p, struct ipc_msg *m, struct ipc_msg *ack)
{
	char message[IDENTITY_PATH_MAX] = "";
	int r;

	ipc_msg_init(ack, IPC_ACK);
	ack->head.request = m->head.request;
	switch (m->head.type) {
	case IPC_SETUP: r = on_setup(p, m); break;
	case IPC_LISTENER: r = on_listener(p, m); break;
	case IPC_POLICIES: r = on_policies(p, m, ack, message, sizeof(message)); break;
	case IPC_AGENT: r = on_agent(p, m, message, sizeof(message)); break;
	case IPC_AGENT_GONE: r = on_agent_gone(p, m); break;
	case IPC_APPROVALS: r = p->approvals ? holds_list(p->approvals, m, ack) : -EPROTO; break;
	case IPC_ANSWER:
		r = p->approvals ? holds_answer(p->approvals, m, ack, message, sizeof(message))
				 : -EPROTO;
		break;
	case IPC_RESOLVED: on_resolved(p, m); return 0;
	case IPC_EXE_IS: on_exe_is(p, m); return 0;
	case IPC_STATUS:
		fill_stats(p, &ack->head);
		r = 0;
		break;
	case IPC_STOP: p->stopping = true; return 0;
	default: return -EPROTO;
	}
	ack->head.status = r;
	if (r < 0 && !message[0])
		snprintf(message, sizeof(message), "%s", store_strerror(r));
	r = ack->head.payload_len ? 0 : ipc_msg_put(ack, message); /* the first string is it */
	r = r < 0 ? r : ipc_send(p->ipc, ack);
	ipc_msg_done(ack);
	return r;
}

static int ask_programs(struct proxy *p, struct ipc_msg *m)
{
	struct program_ask ask;

	while (programs_wanted(p->programs, &ask)) {
		int r;

		ipc_msg_init(m, IPC_EXE);
		m->head.request = ask.key;
		m->head.cgroup_id = ask.cgroup_id;
		m->head.status = (__s32)ask.pid;
		r = ipc_send(p->ipc, m);
		if (r < 0)
			return r;
	}
	return 0;
}

static int ask_paths(struct proxy *p, struct ipc_msg *m)
{
	uint64_t id;

	while (agents_wanted(p->agents, &id)) {
		int r;

		ipc_msg_init(m, IPC_RESOLVE);
		m->head.request = id;
		m->head.cgroup_id = id;
		r = ipc_send(p->ipc, m);
		if (r < 0)
			return r;
	}
	return 0;
}

static int serve(struct proxy *p)
{
	_cleanup_(free_p) struct ipc_msg *m = calloc(2, sizeof(*m));
	int r = 0;

	if (!m)
		return -ENOMEM;
	while (r == 0 && !p->stopping) {
		struct pollfd fds[4] = {
			{ .fd = p->ipc, .events = POLLIN },
			{ .fd = p->agents ? agents_wanted_fd(p->agents) : -1, .events = POLLIN },
			{ .fd = p->approvals ? approvals_news_fd(p->approvals) : -1,
			  .events = POLLIN },
			{ .fd = p->programs ? programs_wanted_fd(p->programs) : -1,
			  .events = POLLIN },
		};

		if (poll(fds, 4, -1) < 0) {
			r = errno == EINTR ? 0 : -errno;
			continue;
		}
		if (fds[1].revents)
			r = ask_paths(p, &m[0]);
		if (r == 0 && fds[2].revents)
			r = holds_news(p->approvals, p->ipc, &m[0]);
		if (r == 0 && fds[3].revents)
			r = ask_programs(p, &m[0]);
		if (r < 0 || !fds[0].revents)
			continue;
		r = ipc_recv(p->ipc, &m[0]);
		if (r == 0)
			r = -EPIPE; /* the warden is gone */
		if (r == 1)
			r = handle(p, &m[0], &m[1]);
		else if (r == -EAGAIN)
			r = 0;
		ipc_msg_done(&m[0]);
	}
	return r;
}

int proxy_main(int ipc_fd, uid_t uid, gid_t gid)
{
	struct proxy p = { .ipc = ipc_fd, .flows_fd = -1 };
	bool names_done;
	int r;

	log_setup("weir[proxy]", LOG_LEVEL_INFO);
	r = privilege_drop(uid, gid, getppid());
	if (r < 0) {
		log_error("cannot give up privileges, ending error=\"%s\"", strerror(-r));
		return 1;
	}
	/* A peer that hangs up is an error of send, not a signal. */
	(void)signal(SIGPIPE, SIG_IGN); /* valid for SIGPIPE */
	r = serve(&p);
	for (unsigned i = 0; i < p.n_workers; i++)
		worker_stop(p.workers[i]);
	names_done = upkeep_stop(&p.upkeep);
	if (p.store && store_sync(p.store) < 0)
		log_error("the store could not be synced at the end");
	for (unsigned i = 0; i < p.n_workers; i++)
		(void)worker_free(p.workers[i]); /* returns NULL */
	for (unsigned i = 0; i < p.n_listeners; i++)
		close_p(&p.listeners[i]);
	if (names_done)
		p.agents = agents_free(p.agents);
	p.programs = programs_free(p.programs);
	p.approvals = approvals_free(p.approvals);
	p.store = store_close(p.store);
	close_p(&p.flows_fd);
	if (r < 0)
		log_error("ending error=\"%s\"", strerror(-r));
	return r < 0 ? 1 : 0;
}
