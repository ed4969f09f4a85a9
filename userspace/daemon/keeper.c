// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/peer.h"
#include "daemon/spawn.h"
#include "daemon/warden_int.h"

#define ASK_TIMEOUT_NS (15 * NSEC_PER_SEC)
#define SETUP_TIMEOUT_NS (60 * NSEC_PER_SEC) /* opening a store, resolving names */
#define STABLE_NS (60 * NSEC_PER_SEC)
#define BACKOFF_FIRST_NS (250 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (10 * NSEC_PER_SEC)

enum { TURN_PACKETS = 64 /* read in one turn, so that a babbling proxy starves nobody */ };

/* One thread, and 32 KiB are too many for its stack. */
static struct ipc_msg msg_out, msg_in;

void keeper_init(struct warden *w)
{
	w->proxy = (struct proxy){ .state = PROXY_DOWN, .sock = -1 };
	list_init(&w->proxy.pending);
}

static struct pending *pending_free(struct warden *w, struct pending *p)
{
	list_remove(&p->node);
	w->proxy.n_pending--;
	attached_free(p->fresh);
	close_p(&p->policies);
	free(p);
	return NULL;
}

/* Everything that waited will not be answered any more. */
static void pending_fail_all(struct warden *w)
{
	list_foreach(n, &w->proxy.pending) {
		struct pending *p = container_of(n, struct pending, node);

		switch (p->type) {
		case IPC_AGENT:
			if (p->fresh)
				agents_attach_failed(w, p->client, TAKE_PTR(p->fresh));
			break;
		case IPC_AGENT_GONE:
			/* The next proxy will not be told of it: gone is gone. */
			control_answer(w, p->client, NULL);
			break;
		case IPC_STATUS: control_status(w, p->client, NULL); break;
		case IPC_ANSWER:
			if (notify_answered(w, p->client, -ENOTCONN, ""))
				break;
			__attribute__((fallthrough));
		default:
			control_refuse(w, p->client, "restarting",
				       "the proxy ended; it is being restarted");
			break;
		}
		pending_free(w, p);
	}
}

static int spawn(struct warden *w)
{
	struct proxy *p = &w->proxy;
	int r = spawn_half("weir: proxy", "proxy", w->uid, w->gid, &p->sock, &p->pid);

	if (r < 0)
		return r;
	p->epoch = ++w->last_id;
	return warden_watch(w, p->sock, EPOLLIN, SOURCE_TAG(SOURCE_PROXY, p->epoch));
}

/* Sends and remembers, whatever the state. Consumes fresh on success only; then *ret_p (when not NULL)
 * is what was remembered. */
static int ask(struct warden *w, struct ipc_msg *m, __u64 client, struct attached *fresh,
	       bool first, struct pending **ret_p)
{
	struct proxy *p = &w->proxy;
	struct pending *n;
	int r;

	if (p->n_pending >= PENDING_MAX)
		return -ENOBUFS;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->request = m->head.request = ++p->last_request;
	n->deadline_ns =
		clock_monotonic_ns() +
		(first || m->head.type == IPC_POLICIES ? SETUP_TIMEOUT_NS : ASK_TIMEOUT_NS);
	n->client = client;
	n->type = m->head.type;
	n->cgroup_id = m->head.cgroup_id;
	n->first = first;
	n->policies = -1;
	r = ipc_send(p->sock, m);
	if (r < 0) {
		free(n);
		keeper_kill(w, "it takes no messages");
		return r;
	}
	n->fresh = fresh;
	list_append(&p->pending, &n->node);
	p->n_pending++;
	if (ret_p)
		*ret_p = n;
	return 0;
}

int keeper_ask(struct warden *w, struct ipc_msg *m, __u64 client, struct attached *fresh)
{
	if (w->proxy.state != PROXY_READY)
		return -ENOTCONN;
	return ask(w, m, client, fresh, false, NULL);
}

/* The listeners come last: no connection is accepted before its policy is known. */
static int tell_everything(struct warden *w)
{
	struct ipc_msg *m = &msg_out;
	int r;

	ipc_msg_init(m, IPC_SETUP);
	m->head.flags = w->cfg->workers | (w->cfg->sync_each ? IPC_SETUP_SYNC_EACH : 0) |
			(w->cfg->debug ? IPC_SETUP_DEBUG : 0) | (w->notifier ? IPC_SETUP_NEWS : 0);
	m->fds[0] = bpfctl_flows_fd(w->bpf);
	r = ipc_msg_put(m, w->cfg->store);
	if (r == 0)
		r = ipc_msg_put(m, w->boot_id);
	if (r == 0)
		r = ask(w, m, 0, NULL, true, NULL);
	if (r < 0)
		return r;

	ipc_msg_init(m, IPC_POLICIES);
	m->fds[0] = w->policies;
	r = ask(w, m, 0, NULL, true, NULL);

	list_foreach(n, &w->attached) {
		struct attached *a = container_of(n, struct attached, node);

		if (r < 0)
			break;
		r = attached_to_msg(a, m);
		if (r == 0)
			r = ask(w, m, 0, NULL, true, NULL);
		ipc_msg_done(m);
	}
	for (size_t i = 0; r == 0 && i < LISTENERS; i++) {
		socklen_t len = sizeof(m->head.netns_cookie);

		if (w->listeners[i] < 0)
			continue;
		ipc_msg_init(m, IPC_LISTENER);
		m->fds[0] = w->listeners[i];
		if (getsockopt(w->listeners[i], SOL_SOCKET, SO_NETNS_COOKIE, &m->head.netns_cookie,
			       &len) < 0)
			return -errno;
		r = ask(w, m, 0, NULL, true, NULL);
	}
	return r;
}

int keeper_start(struct warden *w)
{
	struct proxy *p = &w->proxy;
	int r;

	p->started_ns = clock_monotonic_ns();
	r = spawn(w);
	if (r < 0) {
		log_error("cannot start the proxy error=\"%s\"", strerror(-r));
		if (p->pid > 0)
			keeper_kill(w, "cannot watch it");
		p->next_start_ns = p->started_ns + BACKOFF_MAX_NS;
		return r;
	}
	p->state = PROXY_STARTING;
	log_info("proxy started pid=%d uid=%u", (int)p->pid, (unsigned)w->uid);
	r = tell_everything(w);
	if (r < 0) {
		log_error("cannot tell the proxy what there is error=\"%s\"", strerror(-r));
		keeper_kill(w, "its start failed");
	}
	return r;
}

void keeper_kill(struct warden *w, const char *why)
{
	if (w->proxy.pid <= 0)
		return;
	log_error("proxy killed pid=%d why=\"%s\"", (int)w->proxy.pid, why);
	(void)kill(w->proxy.pid, SIGKILL); /* ours, not yet waited for: it exists */
}

void keeper_stop(struct warden *w)
{
	struct ipc_msg *m = &msg_out;

	if (w->proxy.pid <= 0)
		return;
	ipc_msg_init(m, IPC_STOP);
	m->head.request = ++w->proxy.last_request;
	w->proxy.state = PROXY_STOPPING;
	if (ipc_send(w->proxy.sock, m) < 0)
		keeper_kill(w, "it takes no messages");
}

void keeper_died(struct warden *w, int status)
{
	struct proxy *p = &w->proxy;
	__u64 now = clock_monotonic_ns(), wait = 0;

	if (WIFSIGNALED(status))
		log_at(p->state == PROXY_STOPPING ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
		       "proxy ended pid=%d signal=%d", (int)p->pid, WTERMSIG(status));
	else
		log_at(p->state == PROXY_STOPPING ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR,
		       "proxy ended pid=%d status=%d", (int)p->pid, WEXITSTATUS(status));
	close_p(&p->sock);
	p->sock = -1;
	p->pid = 0;
	p->state = PROXY_DOWN;
	pending_fail_all(w);
	notify_proxy_gone(w);
	if (w->stopping)
		return;
	if (!p->ever_ready) {
		if (w->exit_status < 0) {
			log_error("the proxy could not start");
			w->exit_status = 1;
		}
		return;
	}
	/* The first time at once; then ever slower, at most a few times a minute. */
	p->failures = now - p->started_ns > STABLE_NS ? 0 : p->failures + 1;
	if (p->failures > 1) {
		wait = BACKOFF_FIRST_NS << MIN(p->failures - 2, 8u);
		wait = MIN(wait, (__u64)BACKOFF_MAX_NS);
	}
	p->restarts++;
	p->next_start_ns = now + wait;
}

static void all_told(struct warden *w)
{
	struct proxy *p = &w->proxy;
	struct bpfctl_err err = { "" };

	p->state = PROXY_READY;
	log_info("proxy ready pid=%d agents=%u", (int)p->pid, w->n_attached);
	if (p->ever_ready)
		return;
	for (size_t i = 0; i < LISTENERS; i++)
		if (w->listeners[i] >= 0 &&
		    bpfctl_listener_set(w->bpf, w->listeners[i], &err) < 0) {
			log_error("cannot register a listener: %s", err.message);
			w->exit_status = 1;
			return;
		}
	p->ever_ready = true;
	place_ready(w);
}

/* A part of the start was refused. */
static void first_refused(struct warden *w, const struct pending *p, const char *message)
{
	struct attached *a;

	if (p->type == IPC_AGENT) {
		a = agents_find(w, p->cgroup_id);
		if (a && !a->lost) {
			/* Its own policy does not compile (any more): then nothing may pass. */
			log_error("agent refused, all its connections will be cgroup=%s: %s",
				  attached_path(a), message);
			a->lost = true;
			if (attached_to_msg(a, &msg_out) == 0)
				(void)ask(w, &msg_out, 0, NULL, true,
					  NULL); /* failing kills the proxy */
			ipc_msg_done(&msg_out);
			return;
		}
	}
	log_error("%s", message);
	if (!w->proxy.ever_ready)
		w->exit_status = 1;
	else
		keeper_kill(w, "it refused its setup");
}

static void loaded_failed(struct warden *w, const char *error)
{
	w->loaded.failed_ns = clock_realtime_ns();
	snprintf(w->loaded.error, sizeof(w->loaded.error), "%s", error); /* cut is fine */
	log_error("the old policies stay: %s", error);
}

/* Text of a proxy that may have been taken over, for terminals and logs: no control characters. */
static void text_clean(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
}

/* What the ACK says of each policy. NULL without memory. */
static json_t *loaded_list(const struct ipc_msg *m)
{
	json_t *list = json_array();
	const char *name;

	for (size_t i = 1; list && (name = ipc_msg_get(m, i)); i += 3) {
		const char *hash = ipc_msg_get(m, i + 1), *mode = ipc_msg_get(m, i + 2);
		char clean[192];
		json_t *one;

		if (!mode || strspn(hash, "0123456789abcdef") != 2 * SHA256_LEN)
			break;
		snprintf(clean, sizeof(clean), "%s", name);
		text_clean(clean);
		one = json_pack("{ss,ss#,ss}", "name", clean, "hash", hash, 2 * SHA256_LEN, "mode",
				strcmp(mode, "observe") == 0 ? "observe" : "enforce");
		if (!one) /* not UTF-8: no name that a policy can have */
			continue;
		(void)json_array_append_new(list, one);
	}
	return list;
}

static void loaded_taken(struct warden *w, const struct ipc_msg *m, const struct pending *p)
{
	struct loaded *l = &w->loaded;

	json_decref(l->list);
	l->list = loaded_list(m);
	l->at_ns = clock_realtime_ns();
	if (p->begun_ns)
		l->took_ns = clock_monotonic_ns() - p->begun_ns;
	/* A proxy that starts anew gets the old ones: what is wrong with the files still is. */
	if (!p->first) {
		l->failed_ns = 0;
		l->error[0] = '\0';
	}
}

static void policies_acked(struct warden *w, const struct ipc_msg *m, struct pending *p,
			   const char *message)
{
	if (m->head.status < 0) {
		loaded_failed(w, message);
		control_refuse(w, p->client, "policy", "%s", message);
		return;
	}
	close_p(&w->policies);
	w->policies = TAKE_FD(p->policies);
	w->n_policies = p->n_policies;
	loaded_taken(w, m, p);
	log_info("policies reloaded files=%u policies=%zu us=%llu", w->n_policies,
		 json_array_size(w->loaded.list), (unsigned long long)w->loaded.took_ns / 1000);
	control_answer(w, p->client,
		       json_pack("{si,sI,sO?}", "files", (int)w->n_policies, "took_us",
				 (json_int_t)(w->loaded.took_ns / 1000), "policies",
				 w->loaded.list));
}

static void acked(struct warden *w, const struct ipc_msg *m)
{
	const char *text = ipc_msg_get(m, 0);
	int status = m->head.status;
	struct pending *p = NULL;
	char message[1024];
	bool first;

	list_foreach(n, &w->proxy.pending)
		if (container_of(n, struct pending, node)->request == m->head.request) {
			p = container_of(n, struct pending, node);
			break;
		}
	if (!p || status > 0 || status < -4095) {
		keeper_kill(w, "it answered what nobody asked");
		return;
	}
	(void)snprintf(message, sizeof(message), "%s", text && *text ? text : strerror(-status));
	text_clean(message);
	first = p->first;
	if (first && status < 0) {
		first_refused(w, p, message);
	} else if (p->type == IPC_AGENT && p->fresh) {
		agents_attach_acked(w, p->client, TAKE_PTR(p->fresh), status, message);
	} else if (p->type == IPC_STATUS) {
		control_status(w, p->client, status == 0 ? m : NULL);
	} else if (p->type == IPC_POLICIES && first) {
		loaded_taken(w, m, p);
	} else if (p->type == IPC_POLICIES) {
		policies_acked(w, m, p, message);
	} else if (p->type == IPC_ANSWER && notify_answered(w, p->client, status, message)) {
		log_debug("an answer from elsewhere was judged status=%d", status);
	} else if (p->type == IPC_AGENT_GONE) {
		control_answer(w, p->client, NULL); /* -ENOENT is as good */
	} else if (p->type == IPC_APPROVALS) {
		approvals_listed(w, p->client, m, message);
	} else if (p->type == IPC_ANSWER) {
		approvals_answered(w, p->client, m, message);
	}
	pending_free(w, p);
	if (w->proxy.state != PROXY_STARTING || w->exit_status >= 0)
		return;
	list_foreach(n, &w->proxy.pending)
		if (container_of(n, struct pending, node)->first)
			return;
	all_told(w);
}

static void resolve(struct warden *w, const struct ipc_msg *m)
{
	char path[IDENTITY_PATH_MAX];
	int r = bpfctl_cgroup_path(m->head.cgroup_id, path, sizeof(path));

	/* Cgroups that are none of its business stay unknown to a proxy that was taken over. */
	if (r == 0 && !agents_cover(w, path))
		r = -ENOENT;
	ipc_msg_init(&msg_out, IPC_RESOLVED);
	msg_out.head.request = m->head.request;
	msg_out.head.cgroup_id = m->head.cgroup_id;
	msg_out.head.status = r < 0 ? -ENOENT : 0;
	if (r == 0 && ipc_msg_put(&msg_out, path) < 0)
		msg_out.head.status = -ENOENT;
	if (ipc_send(w->proxy.sock, &msg_out) < 0)
		keeper_kill(w, "it asks and does not read");
}

/*
 * The path of a process's program. Of processes in attached cgroups only: a proxy that was taken over
 * learns nothing about others.
 */
static int program_path(struct warden *w, pid_t pid, char ret[IDENTITY_PATH_MAX])
{
	char link[64], cgroup[CGROUP_PATH_MAX];
	ssize_t n;

	if (pid <= 0 || process_cgroup(pid, cgroup) < 0 || !agents_cover(w, cgroup))
		return -ENOENT;
	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid); /* fits by its size */
	n = readlink(link, ret, IDENTITY_PATH_MAX - 1);
	if (n <= 0)
		return -ENOENT;
	ret[n] = '\0';
	/* By now the pid may be another's, and the answer with it. */
	return process_cgroup(pid, cgroup) < 0 || !agents_cover(w, cgroup) ? -ENOENT : 0;
}

static void tell_program(struct warden *w, const struct ipc_msg *m)
{
	char path[IDENTITY_PATH_MAX];
	int r = program_path(w, m->head.status, path);

	ipc_msg_init(&msg_out, IPC_EXE_IS);
	msg_out.head.request = m->head.request;
	if (r == 0)
		r = ipc_msg_put(&msg_out, path);
	msg_out.head.status = r < 0 ? -ENOENT : 0;
	if (ipc_send(w->proxy.sock, &msg_out) < 0)
		keeper_kill(w, "it asks and does not read");
}

void keeper_readable(struct warden *w)
{
	struct epoll_event ev = { 0 };
	int r = 0;

	for (unsigned i = 0; i < TURN_PACKETS; i++) {
		struct ipc_msg *m = &msg_in;
		bool fine;

		if (w->proxy.sock < 0)
			return;
		r = ipc_recv(w->proxy.sock, m);
		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			ipc_msg_done(m);
			break;
		}
		fine = m->head.n_fds == 0;
		if (m->head.type == IPC_ACK && m->head.n_fds <= 1)
			acked(w, m); /* the one is a listing */
		else if (fine && m->head.type == IPC_RESOLVE && m->head.payload_len == 0)
			resolve(w, m);
		else if (fine && m->head.type == IPC_EXE && m->head.payload_len == 0)
			tell_program(w, m);
		else if ((m->head.type != IPC_HELD || notify_held(w, m) < 0) &&
			 (m->head.type != IPC_SETTLED || notify_settled(w, m) < 0))
			r = -EBADMSG;
		ipc_msg_done(m);
		if (r < 0)
			break;
	}
	if (r > 0)
		return;
	/* Its end, or nonsense. What follows is told by SIGCHLD. */
	(void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, w->proxy.sock, &ev); /* it is in there */
	if (r < 0 || w->proxy.state != PROXY_STOPPING)
		keeper_kill(w, r < 0 ? "it sent a malformed packet" : "it closed its socket");
}

void keeper_tick(struct warden *w, __u64 now)
{
	struct proxy *p = &w->proxy;

	if (p->state == PROXY_DOWN && !w->stopping && p->ever_ready && now >= p->next_start_ns)
		if (keeper_start(w) < 0)
			return; /* said there; tried again later */
	list_foreach(n, &p->pending)
		if (container_of(n, struct pending, node)->deadline_ns <= now &&
		    p->state != PROXY_STOPPING) {
			keeper_kill(w, "it does not answer");
			return;
		}
}

int keeper_reload(struct warden *w, __u64 client, bool changed_only)
{
	struct loaded *l = &w->loaded;
	_cleanup_(close_p) int fd = -1;
	__u64 begun_ns = clock_monotonic_ns();
	uint8_t digest[SHA256_LEN];
	char error[sizeof(l->error)];
	struct pending *p;
	unsigned n = 0;
	int r;

	if (w->proxy.state != PROXY_READY)
		return -ENOTCONN;
	fd = place_policies(w, &n, digest, error);
	if (fd < 0) {
		loaded_failed(w, error);
		/* Whatever is read next differs from what this would have been. */
		memset(l->digest, 0, sizeof(l->digest));
		return fd;
	}
	if (changed_only && memcmp(digest, l->digest, sizeof(digest)) == 0)
		return 0;
	ipc_msg_init(&msg_out, IPC_POLICIES);
	msg_out.fds[0] = fd;
	r = ask(w, &msg_out, client, NULL, false, &p);
	if (r < 0)
		return r;
	memcpy(l->digest, digest, sizeof(digest));
	/* Becomes the one that a restarted proxy is told of only when this one took it. */
	p->policies = TAKE_FD(fd);
	p->n_policies = n;
	p->begun_ns = begun_ns;
	return 0;
}
