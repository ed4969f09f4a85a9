// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/warden_int.h"

enum {
	REQUEST_MAX = 2 * POLICY_TEXT_MAX, /* bytes of one line: a policy, escaped */
	ANSWER_MAX = 16 * 1024 * 1024,
	READ_MIN = 4096,
	PATH_MAX_SUN = sizeof(((struct sockaddr_un *)NULL)->sun_path),
};
#define CLIENT_TIMEOUT_NS (30 * NSEC_PER_SEC) /* to send a request, to take an answer */

static struct ipc_msg msg;

int control_open(struct warden *w)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int r;

	if (strlen(w->cfg->socket) >= PATH_MAX_SUN) {
		log_error("socket path is longer than %d bytes path=%s", (int)PATH_MAX_SUN - 1,
			  w->cfg->socket);
		return -ENAMETOOLONG;
	}
	memcpy(sa.sun_path, w->cfg->socket, strlen(w->cfg->socket) + 1);
	w->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->control < 0)
		return -errno;
	/* A daemon that still answers there must not lose its socket to us. */
	r = connect(w->control, (struct sockaddr *)&sa, sizeof(sa));
	close_p(&w->control);
	w->control = -1; /* what is not ours is not unlinked at the end */
	if (r == 0) {
		log_error("another daemon answers on the socket path=%s", w->cfg->socket);
		return -EADDRINUSE;
	}
	w->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->control < 0)
		return -errno;
	(void)unlink(w->cfg->socket); /* of a dead one; bind tells if that was wrong */
	old = umask(0177);
	r = bind(w->control, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	/* The directory is ours: nobody can put another file under this name in between. */
	if (r == 0 && w->control_group &&
	    (lchown(w->cfg->socket, 0, w->control_group) < 0 || chmod(w->cfg->socket, 0660) < 0))
		r = -errno;
	if (r == 0 && listen(w->control, 64) < 0)
		r = -errno;
	if (r == 0)
		r = warden_watch(w, w->control, EPOLLIN, SOURCE_TAG(SOURCE_CONTROL, 0));
	if (r < 0) {
		log_error("cannot open the control socket path=%s error=\"%s\"", w->cfg->socket,
			  strerror(-r));
		close_p(&w->control);
		w->control = -1;
	}
	return r;
}

struct client *control_find(struct warden *w, __u64 id)
{
	list_foreach(n, &w->clients) {
		struct client *c = container_of(n, struct client, node);

		if (c->id == id)
			return c;
	}
	return NULL;
}

static void client_drop(struct warden *w, struct client *c)
{
	__u64 id = c->id;
	bool owner = c->owner;

	list_remove(&c->node);
	w->n_clients--;
	close(c->fd);
	peer_close(&c->peer);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
	if (owner)
		agents_owner_gone(w, id);
}

void control_accept(struct warden *w)
{
	struct peer peer;
	struct client *c;
	bool root;
	int fd = accept4(w->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (peer_open(fd, &peer) < 0) {
		close(fd);
		return;
	}
	root = peer.uid == 0 || peer.uid == geteuid();
	if (!root && (!w->control_group || !peer_in_group(fd, &peer, w->control_group))) {
		log_warn("control connection refused pid=%d uid=%u", (int)peer.pid,
			 (unsigned)peer.uid);
		peer_close(&peer);
		close(fd);
		return;
	}
	c = w->n_clients < (root ? CLIENTS_MAX : CLIENTS_MEMBERS) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		log_warn("too many control connections, one refused pid=%d", (int)peer.pid);
		peer_close(&peer);
		close(fd);
		return;
	}
	c->peer = peer;
	c->member = !root;
	log_debug("control connection pid=%d uid=%u", (int)peer.pid, (unsigned)peer.uid);
	c->id = ++w->last_id;
	c->fd = fd;
	c->pid = peer.pid;
	c->deadline_ns = clock_monotonic_ns() + CLIENT_TIMEOUT_NS;
	buf_init(&c->in, REQUEST_MAX);
	buf_init(&c->out, ANSWER_MAX);
	list_append(&w->clients, &c->node);
	w->n_clients++;
	if (warden_watch(w, fd, EPOLLIN | EPOLLRDHUP, SOURCE_TAG(SOURCE_CLIENT, c->id)) < 0)
		client_drop(w, c);
}

/* Writes what it can; arms EPOLLOUT for the rest. False: the client is gone. */
static bool client_flush(struct warden *w, struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP,
				  .data.u64 = SOURCE_TAG(SOURCE_CLIENT, c->id) };

	while (buf_len(&c->out)) {
		struct slice s = buf_peek(&c->out);
		ssize_t n = send(c->fd, s.ptr, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_drop(w, c);
			return false;
		}
		buf_consume(&c->out, (size_t)n);
	}
	if (!buf_len(&c->out) && c->closing) {
		client_drop(w, c);
		return false;
	}
	if (buf_len(&c->out))
		ev.events |= EPOLLOUT;
	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0) {
		client_drop(w, c);
		return false;
	}
	return true;
}

/* Puts one line into out; it is sent by the loop's next turn (never from here: callers still hold the
 * client). */
static void answered(struct warden *w, struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLOUT,
				  .data.u64 = SOURCE_TAG(SOURCE_CLIENT, c->id) };

	c->waiting = false;
	c->deadline_ns = clock_monotonic_ns() + CLIENT_TIMEOUT_NS;
	(void)epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &ev); /* it is in there */
}

static void answer(struct warden *w, struct client *c, json_t *take)
{
	_cleanup_(free_p) char *text = take ? json_dumps(take, JSON_COMPACT) : NULL;

	json_decref(take);
	if (!text || buf_put_str(&c->out, text) < 0 || buf_put_u8(&c->out, '\n') < 0)
		c->closing = true; /* no memory for an answer: the end says so */
	answered(w, c);
}

void control_answer_line(struct warden *w, __u64 client, struct slice line)
{
	struct client *c = client ? control_find(w, client) : NULL;

	if (!c)
		return;
	if (buf_put_slice(&c->out, line) < 0)
		answer(w, c, NULL);
	else
		answered(w, c);
}

void control_answer(struct warden *w, __u64 client, json_t *take)
{
	struct client *c = client ? control_find(w, client) : NULL;
	json_t *o;

	if (!c) {
		json_decref(take);
		return;
	}
	o = take ? take : json_object();
	if (o && json_object_set_new(o, "ok", json_true()) < 0) {
		json_decref(o);
		o = NULL;
	}
	answer(w, c, o);
}

void control_refuse(struct warden *w, __u64 client, const char *code, const char *fmt, ...)
{
	struct client *c = client ? control_find(w, client) : NULL;
	char text[2048];
	va_list ap;

	if (!c)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine: for people */
	va_end(ap);
	for (char *p = text; *p; p++) /* names may be anything; JSON is UTF-8 */
		if ((unsigned char)*p >= 0x7f || (unsigned char)*p < 0x20)
			*p = '?';
	answer(w, c, json_pack("{sb,ss,ss}", "ok", 0, "code", code, "error", text));
}

static json_t *listener_list(const struct warden *w)
{
	static const char *const hosts[LISTENERS] = { "127.0.0.1", "[::1]" };
	json_t *list = json_array();

	for (size_t i = 0; i < LISTENERS; i++) {
		char text[64];

		if (w->listeners[i] < 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s:%d", hosts[i], w->listener_ports[i]);
		(void)json_array_append_new(list, json_string(text)); /* a shorter list then */
	}
	return list;
}

static json_t *counter_map(const struct warden *w)
{
	__u64 counters[WEIR_CNT_MAX];
	json_t *o;

	if (bpfctl_counters(w->bpf, counters) < 0)
		return NULL;
	o = json_object();
	for (size_t i = 0; i < WEIR_CNT_MAX; i++)
		(void)json_object_set_new(o, bpfctl_counter_names[i],
					  json_integer((json_int_t)counters[i]));
	return o;
}

/* {"loaded_at", "took_us", "list", and of the last try if it failed "error", "failed_at"} */
static json_t *loaded_map(const struct warden *w)
{
	const struct loaded *l = &w->loaded;
	json_t *o = json_pack("{sI,sI,sO?}", "loaded_at", (json_int_t)(l->at_ns / NSEC_PER_SEC),
			      "took_us", (json_int_t)(l->took_ns / 1000), "list", l->list);

	if (o && l->failed_ns) {
		json_t *error = json_string(l->error);

		/* A file's name need not be UTF-8. */
		(void)json_object_set_new(o, "error",
					  error ? error : json_string("see the daemon's log"));
		(void)json_object_set_new(o, "failed_at",
					  json_integer((json_int_t)(l->failed_ns / NSEC_PER_SEC)));
	}
	return o;
}

void control_status(struct warden *w, __u64 client, const struct ipc_msg *m)
{
	static const char *const states[] = { "restarting", "starting", "ready", "stopping" };
	static const char *const stats[IPC_STAT_COUNT] = {
		[IPC_STAT_SESSIONS_OPEN] = "sessions_open",
		[IPC_STAT_SESSIONS_TOTAL] = "sessions_total",
		[IPC_STAT_OPS] = "operations",
		[IPC_STAT_BLOCKED] = "blocked",
		[IPC_STAT_NO_FLOW] = "refused_no_flow",
		[IPC_STAT_NO_POLICY] = "refused_no_policy",
		[IPC_STAT_STORE_ERRORS] = "store_errors",
		[IPC_STAT_BYTES_TO_SERVER] = "bytes_to_server",
		[IPC_STAT_BYTES_TO_CLIENT] = "bytes_to_client",
		[IPC_STAT_WAITING] = "waiting",
		[IPC_STAT_APPROVED] = "approved",
		[IPC_STAT_DENIED] = "denied",
		[IPC_STAT_EXPIRED] = "expired",
	};
	json_t *proxy;

	if (!control_find(w, client))
		return;
	proxy = json_pack("{si,si,ss}", "pid", (int)w->proxy.pid, "restarts",
			  (int)w->proxy.restarts, "state", states[w->proxy.state]);

	for (size_t i = 0; m && i < IPC_STAT_COUNT; i++)
		(void)json_object_set_new(proxy, stats[i],
					  json_integer((json_int_t)m->head.stats[i]));
	control_answer(
		w, client,
		json_pack("{ss,si,sI,ss,ss,si,si,so*,so,so*,so,so*}", "version", WEIR_VERSION,
			  "pid", (int)getpid(), "uptime_s",
			  (json_int_t)((clock_monotonic_ns() - w->started_ns) / NSEC_PER_SEC),
			  "store", w->cfg->store, "runtime_dir", w->cfg->runtime_dir, "agents",
			  (int)w->n_attached, "policy_files", (int)w->n_policies, "policies",
			  loaded_map(w), "listeners", listener_list(w), "kernel", counter_map(w),
			  "proxy", proxy, "notifier", notify_status(w)));
}

/* By who asks, and from where. */
static bool allowed(struct warden *w, struct client *c, const char *command)
{
	static const char *const members[] = { "status", "agents", "approvals", "approve", "deny" };
	bool fine = !c->member;

	for (size_t i = 0; i < ARRAY_SIZE(members) && !fine; i++)
		fine = strcmp(command, members[i]) == 0;
	if (!fine) {
		control_refuse(w, c->id, "not-allowed", "this is for root alone");
		return false;
	}
	/* An agent must not let itself pass, whoever it runs as. */
	if (strcmp(command, "status") != 0 && strcmp(command, "agents") != 0 &&
	    approvals_peer_inside(w, c)) {
		log_warn(
			"a command from inside of an agent was refused command=%.32s pid=%d uid=%u",
			command, (int)c->peer.pid, (unsigned)c->peer.uid);
		control_refuse(w, c->id, "not-allowed",
			       "this cannot be done from inside of an attached cgroup");
		return false;
	}
	return true;
}

static void handle(struct warden *w, struct client *c, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	int r;

	if (!command) {
		control_refuse(w, c->id, "invalid", "a request is an object with a \"command\"");
		return;
	}
	log_debug("control command=%.32s pid=%d", command, (int)c->pid);
	c->waiting = true;
	if (!allowed(w, c, command))
		return;
	if (strcmp(command, "approvals") == 0) {
		approvals_list_begin(w, c, request);
	} else if (strcmp(command, "approve") == 0 || strcmp(command, "deny") == 0) {
		approvals_answer_begin(w, c, request, command[0] == 'a');
	} else if (strcmp(command, "attach") == 0) {
		agents_attach_begin(w, c, request);
	} else if (strcmp(command, "detach") == 0) {
		agents_detach_begin(w, c, request);
	} else if (strcmp(command, "agents") == 0) {
		json_t *list = agents_list(w);

		control_answer(w, c->id, list ? json_pack("{so}", "agents", list) : NULL);
	} else if (strcmp(command, "status") == 0) {
		ipc_msg_init(&msg, IPC_STATUS);
		if (keeper_ask(w, &msg, c->id, NULL) < 0)
			control_status(w, c->id, NULL);
	} else if (strcmp(command, "policies-reload") == 0) {
		r = keeper_reload(w, c->id, false);
		if (r == -ENOTCONN)
			control_refuse(w, c->id, "restarting", "the proxy is being restarted");
		else if (r < 0)
			control_refuse(w, c->id, "failed", "%s",
				       w->loaded.failed_ns ? w->loaded.error : strerror(-r));
	} else if (strcmp(command, "stop") == 0) {
		log_info("told to stop pid=%d", (int)c->pid);
		control_answer(w, c->id, NULL);
		w->stopping = true;
	} else {
		control_refuse(w, c->id, "invalid", "there is no command \"%.32s\"", command);
	}
}

/* Takes one whole request out of `in` when there is one and nothing is being worked on. */
static void client_next(struct warden *w, struct client *c)
{
	while (!c->waiting && !c->closing) {
		struct slice s = buf_peek(&c->in);
		ptrdiff_t end = slice_chr(slice_from(s, c->scanned), '\n');
		json_error_t je;
		json_t *request;
		size_t len;

		if (end < 0) {
			c->scanned = s.len;
			return;
		}
		len = c->scanned + (size_t)end;
		request = json_loadb((const char *)s.ptr, len, JSON_REJECT_DUPLICATES, &je);
		buf_consume(&c->in, len + 1);
		c->scanned = 0;
		if (request) {
			handle(w, c, request);
		} else {
			control_refuse(w, c->id, "invalid", "not JSON: %s (column %d)", je.text,
				       je.column);
			c->closing = true;
		}
		json_decref(request);
	}
}

/* Reads what is there. False: the client is gone. */
static bool client_read(struct warden *w, struct client *c)
{
	uint8_t *p;
	size_t space;
	ssize_t n;

	if (buf_reserve(&c->in, READ_MIN, &p, &space) < 0) {
		if (!c->closing)
			control_refuse(w, c->id, "invalid", "the request is longer than %d bytes",
				       REQUEST_MAX);
		c->closing = true;
		return client_flush(w, c);
	}
	n = recv(c->fd, p, space, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		client_drop(w, c);
		return false;
	}
	/* A request begins: an owner that was quiet for hours has its time from here on. */
	if (buf_len(&c->in) == 0 && !c->waiting)
		c->deadline_ns = clock_monotonic_ns() + CLIENT_TIMEOUT_NS;
	buf_commit(&c->in, (size_t)n);
	client_next(w, c);
	return true;
}

void control_event(struct warden *w, __u64 client, unsigned events)
{
	struct client *c = control_find(w, client);

	if (!c)
		return;
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && !client_read(w, c))
		return;
	if (!client_flush(w, c))
		return;
	client_next(w, c); /* one that had to wait for an answer */
}

void control_tick(struct warden *w, __u64 now)
{
	list_foreach(n, &w->clients) {
		struct client *c = container_of(n, struct client, node);
		bool idle_owner = c->owner && !buf_len(&c->in) && !buf_len(&c->out);

		if (!c->waiting && !idle_owner && now >= c->deadline_ns)
			client_drop(w, c);
	}
}

void control_close(struct warden *w)
{
	list_foreach(n, &w->clients) {
		struct client *c = container_of(n, struct client, node);
		struct slice s = buf_peek(&c->out);

		/* The answer to "stop", if it fits. */
		if (s.len && send(c->fd, s.ptr, s.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			log_debug("an answer was lost pid=%d", (int)c->pid);
		c->owner = false; /* what they own is ended by agents_detach_all or adopted later */
		client_drop(w, c);
	}
	if (w->control >= 0 && unlink(w->cfg->socket) < 0)
		log_warn("control socket stays path=%s error=\"%s\"", w->cfg->socket,
			 strerror(errno));
	close_p(&w->control);
	w->control = -1;
}
