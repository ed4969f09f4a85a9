// SPDX-License-Identifier: Apache-2.0
/* The warden's end of the notifier: its process, what it is told, what it says. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/file.h"
#include "daemon/notify_int.h"
#include "daemon/spawn.h"
#include "notify/deliver.h"

#define STABLE_NS (60 * NSEC_PER_SEC)
#define SETUP_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define BACKOFF_FIRST_NS (250 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (30 * NSEC_PER_SEC)

enum { TURN_PACKETS = 64, ANSWERS_BACKLOG = 64 };

/* One thread, and 32 KiB are too many for its stack. */
static struct ipc_msg msg_out, msg_in;

/* ---- what must be there -------------------------------------------------------------------------- */

static int user_find(const struct warden *w, struct notifier *n)
{
	const struct passwd *pw = getpwnam("weir-notify");

	n->uid = pw ? pw->pw_uid : DAEMON_NOTIFIER_FALLBACK_ID;
	n->gid = pw ? pw->pw_gid : DAEMON_NOTIFIER_FALLBACK_ID;
	/* As the proxy's user it could write the store. */
	if (n->uid && n->gid && n->uid != w->uid)
		return 0;
	log_error("the notifier needs a user of its own uid=%u", (unsigned)n->uid);
	return -EINVAL;
}

/* The key, without the newline that editors leave. */
static int key_read(struct notifier *n, unsigned i, const struct daemon_webhook *h)
{
	struct stat st;
	char *text;
	size_t len, all;
	int r;

	if (stat(h->secret, &st) == 0 && (st.st_mode & 077)) {
		log_error("a secret must be its owner's alone (chmod 600) webhook=%s file=%s",
			  h->name, h->secret);
		return -EPERM;
	}
	r = file_read(AT_FDCWD, h->secret, DELIVER_KEY_MAX, &text, &all);
	if (r < 0) {
		log_error("cannot read a secret webhook=%s file=%s error=\"%s\"", h->name,
			  h->secret, strerror(-r));
		return r;
	}
	for (len = all; len && (text[len - 1] == '\n' || text[len - 1] == '\r');)
		len--;
	if (len < DELIVER_KEY_MIN) {
		log_error("a secret is shorter than %d bytes webhook=%s file=%s", DELIVER_KEY_MIN,
			  h->name, h->secret);
		r = -EINVAL;
	} else {
		r = n->keys[i] = ipc_blob_new(slice_of(text, len));
		if (r < 0)
			log_error("cannot keep a secret error=\"%s\"", strerror(-r));
	}
	explicit_bzero(text, all);
	free(text);
	return MIN(r, 0);
}

static int ca_read(struct notifier *n, unsigned i, const struct daemon_webhook *h)
{
	_cleanup_(free_p) char *text = NULL;
	size_t len;
	int r;

	if (!h->ca)
		return 0;
	r = file_read(AT_FDCWD, h->ca, DELIVER_CA_MAX, &text, &len);
	if (r == 0 && !strstr(text, "-----BEGIN CERTIFICATE-----"))
		r = -EINVAL;
	if (r == 0)
		r = n->cas[i] = ipc_blob_new(slice_of(text, len));
	if (r < 0)
		log_error("cannot read certificates webhook=%s file=%s error=\"%s\"", h->name,
			  h->ca, r == -EINVAL ? "there are none in PEM" : strerror(-r));
	return MIN(r, 0);
}

static int group_find(const char *name, gid_t *ret)
{
	const struct group *g;
	uint64_t id;

	*ret = 0;
	if (!*name)
		return 0;
	if (slice_to_u64(slice_str(name), &id) == 0 && id < INT32_MAX) {
		*ret = (gid_t)id;
		return 0;
	}
	g = getgrnam(name);
	if (!g)
		return -ENOENT;
	*ret = g->gr_gid;
	return 0;
}

static int answers_open(const struct daemon_config *cfg, struct notifier *n)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = cfg->answers_socket;
	_cleanup_(close_p) int fd = -1;
	struct stat st;
	mode_t old;
	gid_t gid;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	r = group_find(cfg->answers_group, &gid);
	if (r < 0)
		return r;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN)
		return -EADDRINUSE; /* somebody serves there */
	close_p(&fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* One that a dead daemon left; whatever else is there stays, and bind says so. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
	old = umask(0777);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r < 0)
		return r;
	n->answers_bound = true;
	if (lchown(path, 0, gid) < 0 || chmod(path, cfg->answers_mode) < 0 ||
	    listen(fd, ANSWERS_BACKLOG) < 0)
		return -errno;
	n->answers = TAKE_FD(fd);
	return tokens_new(cfg->n_webhooks, &n->tokens);
}

int notify_open(struct warden *w)
{
	struct notifier *n;
	int r;

	if (!w->cfg->n_webhooks)
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n) {
		log_error("out of memory");
		return -ENOMEM;
	}
	n->sock = n->answers = -1;
	list_init(&n->backlog);
	list_init(&n->votes);
	for (unsigned i = 0; i < DAEMON_WEBHOOKS_MAX; i++)
		n->keys[i] = n->cas[i] = -1;
	w->notifier = n;
	r = user_find(w, n);
	for (unsigned i = 0; r == 0 && i < w->cfg->n_webhooks; i++) {
		r = key_read(n, i, &w->cfg->webhooks[i]);
		if (r == 0)
			r = ca_read(n, i, &w->cfg->webhooks[i]);
	}
	if (r == 0 && w->cfg->answers_socket) {
		r = answers_open(w->cfg, n);
		if (r < 0)
			log_error("cannot take answers path=%s group=\"%s\" error=\"%s\"",
				  w->cfg->answers_socket, w->cfg->answers_group, strerror(-r));
	}
	return r;
}

void notify_close(struct warden *w)
{
	struct notifier *n = w->notifier;

	if (!n)
		return;
	for (unsigned i = 0; i < DAEMON_WEBHOOKS_MAX; i++) {
		close_p(&n->keys[i]);
		close_p(&n->cas[i]);
	}
	list_foreach(node, &n->backlog) {
		struct backlog *b = container_of(node, struct backlog, node);

		close_p(&b->fd);
		free(b);
	}
	vote_free_all(n);
	if (n->answers_bound && unlink(w->cfg->answers_socket) < 0)
		log_warn("socket stays path=%s error=\"%s\"", w->cfg->answers_socket,
			 strerror(errno));
	close_p(&n->answers);
	close_p(&n->sock);
	n->tokens = tokens_free(n->tokens);
	free(n);
	w->notifier = NULL;
}

/* ---- sending ------------------------------------------------------------------------------------ */

static void backlog_free(struct notifier *n, struct backlog *b)
{
	list_remove(&b->node);
	n->n_backlog--;
	close_p(&b->fd);
	explicit_bzero(b->payload, b->head.payload_len); /* tokens */
	free(b);
}

/* The oldest news go first; answers are waited for and few. */
static void backlog_drop_oldest(struct notifier *n)
{
	unsigned dropped;

	list_foreach(node, &n->backlog) {
		struct backlog *b = container_of(node, struct backlog, node);

		if (b->head.type == IPC_ACK && n->n_backlog < 2 * BACKLOG_MAX)
			continue;
		n->dropped++;
		backlog_free(n, b);
		if (log_limit_pass(&n->complaints, 1, &dropped))
			log_warn("the notifier does not keep up, news dropped total=%llu",
				 (unsigned long long)n->dropped);
		return;
	}
}

static void watch_out(struct warden *w, bool out)
{
	struct notifier *n = w->notifier;
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0),
				  .data.u64 = SOURCE_TAG(SOURCE_NOTIFIER, n->epoch) };

	if (n->wants_out == out || n->sock < 0)
		return;
	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, n->sock, &ev) == 0) /* else the tick tries again */
		n->wants_out = out;
}

static void backlog_flush(struct warden *w)
{
	struct notifier *n = w->notifier;

	list_foreach(node, &n->backlog) {
		struct backlog *b = container_of(node, struct backlog, node);
		int r;

		if (n->state != PROXY_READY)
			return;
		ipc_msg_init(&msg_out, b->head.type);
		msg_out.head = b->head;
		memcpy(msg_out.payload, b->payload, b->head.payload_len);
		msg_out.fds[0] = b->fd;
		r = ipc_try_send(n->sock, &msg_out);
		explicit_bzero(msg_out.payload, b->head.payload_len);
		if (r == -EAGAIN) {
			watch_out(w, true);
			return;
		}
		if (r < 0) {
			notify_kill(w, "it takes no messages");
			return;
		}
		backlog_free(n, b);
	}
	watch_out(w, false);
}

void notify_send(struct warden *w, struct ipc_msg *m)
{
	struct notifier *n = w->notifier;
	size_t len = m->head.payload_len;
	struct backlog *b;
	int r = -EAGAIN;

	if (n->state == PROXY_READY && list_empty(&n->backlog))
		r = ipc_try_send(n->sock, m);
	if (r == 0) {
		ipc_msg_done(m);
	} else {
		while (n->n_backlog >= BACKLOG_MAX) {
			unsigned before = n->n_backlog;

			backlog_drop_oldest(n);
			if (n->n_backlog == before)
				break;
		}
		b = malloc(sizeof(*b) + len);
		if (b) {
			b->head = m->head;
			b->fd = TAKE_FD(m->fds[0]);
			memcpy(b->payload, m->payload, len);
			list_append(&n->backlog, &b->node);
			n->n_backlog++;
			if (n->state == PROXY_READY)
				watch_out(w, true);
		} else {
			n->dropped++;
		}
		ipc_msg_done(m);
	}
	explicit_bzero(m->payload, len);
}

int notify_held(struct warden *w, struct ipc_msg *m)
{
	static char tokens[DAEMON_WEBHOOKS_MAX][TOKEN_TEXT_MAX];
	const char *id = ipc_msg_get(m, 0);
	struct notifier *n = w->notifier;
	__u64 now = clock_monotonic_ns(), real = clock_realtime_ns(), deadline;
	bool minted = false;
	int r = 0;

	if (!n || !id || ipc_msg_get(m, 1) || !token_id_valid(id) || m->head.n_fds != 1)
		return -EBADMSG;
	deadline = m->head.stats[IPC_HELD_DEADLINE_NS];
	if (n->tokens) {
		r = tokens_mint(n->tokens, id, now + (deadline > real ? deadline - real : 0), now,
				tokens);
		if (r == -EEXIST)
			return -EBADMSG;
		minted = r == 0;
		n->untold +=
			!minted; /* told all the same, and answered by others: `weir approve` */
	}
	ipc_msg_init(&msg_out, IPC_HELD);
	memcpy(msg_out.head.stats, m->head.stats, sizeof(msg_out.head.stats));
	msg_out.fds[0] = TAKE_FD(m->fds[0]);
	r = ipc_msg_put(&msg_out, id);
	for (unsigned i = 0; r == 0 && minted && i < w->cfg->n_webhooks; i++)
		r = ipc_msg_put(&msg_out, tokens[i]);
	explicit_bzero(tokens, sizeof(tokens));
	if (r < 0) {
		ipc_msg_done(&msg_out);
		return -EBADMSG; /* cannot be: an id and some tokens fit */
	}
	notify_send(w, &msg_out);
	return 0;
}

int notify_settled(struct warden *w, const struct ipc_msg *m)
{
	static const char *const words[] = { "approved", "denied", "expired", "gone" };
	const char *id = ipc_msg_get(m, 0), *how = ipc_msg_get(m, 1), *known = NULL;
	struct notifier *n = w->notifier;

	for (size_t i = 0; how && i < ARRAY_SIZE(words); i++)
		if (strcmp(how, words[i]) == 0)
			known = words[i];
	if (!n || !known || !token_id_valid(id) || ipc_msg_get(m, 4) || m->head.n_fds)
		return -EBADMSG;
	if (n->tokens)
		tokens_settle(n->tokens, id, known, clock_monotonic_ns());
	ipc_msg_init(&msg_out, IPC_SETTLED);
	msg_out.head.payload_len = m->head.payload_len;
	memcpy(msg_out.payload, m->payload, m->head.payload_len);
	notify_send(w, &msg_out);
	return 0;
}

void notify_proxy_gone(struct warden *w)
{
	if (w->notifier && w->notifier->tokens)
		tokens_settle_all(w->notifier->tokens, "gone", clock_monotonic_ns());
}

/* ---- its process -------------------------------------------------------------------------------- */

static int tell_setup(struct warden *w)
{
	struct notifier *n = w->notifier;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < w->cfg->n_webhooks; i++) {
		const struct daemon_webhook *h = &w->cfg->webhooks[i];

		ipc_msg_init(&msg_out, IPC_WEBHOOK);
		msg_out.head.flags = (h->slack ? IPC_WEBHOOK_SLACK : 0) |
				     (h->held ? IPC_WEBHOOK_HELD : 0) |
				     (h->settled ? IPC_WEBHOOK_SETTLED : 0);
		msg_out.fds[0] = n->keys[i];
		msg_out.fds[1] = n->cas[i];
		r = ipc_msg_put(&msg_out, h->name);
		if (r == 0)
			r = ipc_msg_put(&msg_out, h->url);
		if (r == 0)
			r = ipc_send(n->sock, &msg_out);
	}
	if (r < 0)
		return r;
	ipc_msg_init(&msg_out, IPC_NOTIFY);
	msg_out.head.flags = w->cfg->debug ? IPC_SETUP_DEBUG : 0;
	msg_out.fds[0] = n->answers;
	n->acks = w->cfg->n_webhooks + 1;
	return ipc_send(n->sock, &msg_out);
}

void notify_start(struct warden *w)
{
	struct notifier *n = w->notifier;
	int r;

	if (!n)
		return;
	n->started_ns = clock_monotonic_ns();
	r = spawn_half("weir: notifier", "notifier", n->uid, n->gid, &n->sock, &n->pid);
	if (r < 0) {
		log_error("cannot start the notifier error=\"%s\"", strerror(-r));
		n->next_start_ns = n->started_ns + BACKOFF_MAX_NS;
		return;
	}
	n->state = PROXY_STARTING;
	n->epoch = ++w->last_id;
	n->wants_out = false;
	memset(n->stats, 0, sizeof(n->stats));
	log_info("notifier started pid=%d uid=%u webhooks=%u answers=%s", (int)n->pid,
		 (unsigned)n->uid, w->cfg->n_webhooks, n->answers < 0 ? "no" : "yes");
	r = warden_watch(w, n->sock, EPOLLIN, SOURCE_TAG(SOURCE_NOTIFIER, n->epoch));
	if (r == 0)
		r = tell_setup(w);
	if (r < 0) {
		log_error("cannot tell the notifier what there is error=\"%s\"", strerror(-r));
		notify_kill(w, "its start failed");
	}
}

void notify_kill(struct warden *w, const char *why)
{
	if (!w->notifier || w->notifier->pid <= 0)
		return;
	log_error("notifier killed pid=%d why=\"%s\"", (int)w->notifier->pid, why);
	(void)kill(w->notifier->pid, SIGKILL); /* ours, not yet waited for: it exists */
}

bool notify_died(struct warden *w, pid_t pid, int status)
{
	struct notifier *n = w->notifier;
	__u64 now = clock_monotonic_ns(), wait = 0;

	if (!n || pid != n->pid)
		return false;
	if (n->state != PROXY_STOPPING || status)
		log_error("notifier ended pid=%d %s=%d", (int)pid,
			  WIFSIGNALED(status) ? "signal" : "status",
			  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	close_p(&n->sock);
	n->sock = -1;
	n->pid = 0;
	n->state = PROXY_DOWN;
	n->failures = now - n->started_ns > STABLE_NS ? 0 : n->failures + 1;
	if (n->failures > 1) {
		wait = BACKOFF_FIRST_NS << MIN(n->failures - 2, 8u);
		wait = MIN(wait, (__u64)BACKOFF_MAX_NS);
	}
	n->restarts++;
	n->next_start_ns = now + wait;
	return true;
}

/* One packet of its. False: it broke the protocol. */
static bool packet(struct warden *w, struct ipc_msg *m)
{
	struct notifier *n = w->notifier;

	switch (m->head.type) {
	case IPC_ACK:
		if (n->state != PROXY_STARTING || !n->acks || m->head.status > 0 || m->head.n_fds)
			return false;
		if (m->head.status < 0) {
			log_error("the notifier refused its setup error=\"%s\"",
				  strerror(-m->head.status));
			return false;
		}
		if (--n->acks == 0) {
			n->state = PROXY_READY;
			log_info("notifier ready pid=%d", (int)n->pid);
			backlog_flush(w);
		}
		return true;
	case IPC_NOTIFY_STATS:
		memcpy(n->stats, m->head.stats, sizeof(n->stats));
		return m->head.n_fds == 0;
	case IPC_VOTE: return n->state != PROXY_STARTING && vote_take(w, m) == 0;
	default: return false;
	}
}

static void readable(struct warden *w)
{
	struct notifier *n = w->notifier;
	struct epoll_event ev = { 0 };
	int r = 0;

	for (unsigned i = 0; i < TURN_PACKETS; i++) {
		r = ipc_recv(n->sock, &msg_in);
		if (r == 1 && !packet(w, &msg_in))
			r = -EBADMSG;
		ipc_msg_done(&msg_in);
		explicit_bzero(msg_in.payload, msg_in.head.payload_len); /* tokens */
		if (r == -EAGAIN)
			return;
		if (r <= 0)
			break;
	}
	if (r > 0)
		return;
	(void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, n->sock, &ev); /* it is in there */
	if (r < 0 || n->state != PROXY_STOPPING)
		notify_kill(w, r < 0 ? "it sent a malformed packet" : "it closed its socket");
}

void notify_event(struct warden *w, __u64 epoch, unsigned events)
{
	struct notifier *n = w->notifier;

	if (!n || n->epoch != epoch || n->sock < 0)
		return;
	if (events & EPOLLOUT)
		backlog_flush(w);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		readable(w);
}

void notify_tick(struct warden *w, __u64 now)
{
	struct notifier *n = w->notifier;

	if (!n || w->stopping)
		return;
	if (n->state == PROXY_DOWN && now >= n->next_start_ns)
		notify_start(w);
	else if (n->state == PROXY_STARTING && now - n->started_ns > SETUP_TIMEOUT_NS)
		notify_kill(w, "it does not answer");
	else if (n->state == PROXY_READY && n->n_backlog)
		backlog_flush(w);
}

json_t *notify_status(const struct warden *w)
{
	static const char *const states[] = { "restarting", "starting", "ready", "stopping" };
	static const char *const names[IPC_NOTIFY_STAT_COUNT] = {
		[IPC_NOTIFY_QUEUED] = "queued",
		[IPC_NOTIFY_SENT] = "sent",
		[IPC_NOTIFY_RETRIED] = "retried",
		[IPC_NOTIFY_FAILED] = "failed",
		[IPC_NOTIFY_DROPPED] = "dropped",
		[IPC_NOTIFY_REQUESTS] = "answer_requests",
		[IPC_NOTIFY_LIMITED] = "answer_requests_limited",
	};
	const struct notifier *n = w->notifier;
	json_t *o;

	if (!n)
		return NULL;
	o = json_pack("{si,si,ss,si,sI}", "pid", (int)n->pid, "restarts", (int)n->restarts, "state",
		      states[n->state], "webhooks", (int)w->cfg->n_webhooks, "answers_refused",
		      (json_int_t)n->refused);
	for (size_t i = 0; o && i < IPC_NOTIFY_STAT_COUNT; i++) {
		__u64 v = n->stats[i];

		if (i == IPC_NOTIFY_QUEUED)
			v += n->n_backlog;
		else if (i == IPC_NOTIFY_DROPPED)
			v += n->dropped;
		(void)json_object_set_new(o, names[i], json_integer((json_int_t)v));
	}
	return o;
}

bool notify_stop(struct warden *w)
{
	struct notifier *n = w->notifier;

	if (!n || n->pid <= 0)
		return false;
	if (n->state == PROXY_STOPPING)
		return true;
	if (n->state == PROXY_READY) {
		backlog_flush(w);
		ipc_msg_init(&msg_out, IPC_STOP);
		n->state = PROXY_STOPPING;
		if (ipc_try_send(n->sock, &msg_out) == 0)
			return true;
	}
	n->state = PROXY_STOPPING;
	notify_kill(w, "the daemon ends");
	return true;
}
