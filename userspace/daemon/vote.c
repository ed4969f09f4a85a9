// SPDX-License-Identifier: Apache-2.0
/* Answers from elsewhere: whose token it is, from where it was brought, what the proxy says of it. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/notify_int.h"
#include "daemon/peer.h"

static struct ipc_msg msg;

static void answer(struct warden *w, __u64 request, int status, const char *text)
{
	ipc_msg_init(&msg, IPC_ACK);
	msg.head.request = request;
	msg.head.status = status;
	if (ipc_msg_put(&msg, text) < 0) /* one word always fits */
		return;
	notify_send(w, &msg);
}

static bool is_unix_stream(int fd)
{
	int domain, type;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/*
 * Who is at the other end of the connection, by the kernel's word, and may it answer? Not from inside
 * of an agent's cgroup, whatever token it has got hold of, and not where that cannot be told. Not the
 * notifier itself, which knows the tokens on their way out.
 */
static int asker_check(struct warden *w, int fd, struct peer *ret)
{
	char path[CGROUP_PATH_MAX];
	int r = is_unix_stream(fd) ? peer_open(fd, ret) : -EPERM;

	if (r < 0)
		return -EPERM;
	r = peer_cgroup(ret, path);
	if (r == 0 && ret->pid != w->notifier->pid && ret->pid != w->proxy.pid &&
	    ret->uid != w->notifier->uid && !agents_cover(w, path))
		return 0;
	log_warn("an answer from the wrong place refused pid=%d uid=%u why=\"%s\"", (int)ret->pid,
		 (unsigned)ret->uid,
		 r < 0 ? "its cgroup cannot be told" : "an agent's cgroup or Weir's own process");
	peer_close(ret);
	return -EPERM;
}

static int ask_proxy(struct warden *w, const struct ipc_msg *vote, unsigned webhook,
		     const struct peer *peer)
{
	struct notifier *n = w->notifier;
	struct vote_pending *v;
	char key[64];
	int r;

	if (n->n_votes == VOTES_MAX)
		return -EBUSY;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	(void)snprintf(key, sizeof(key), "webhook:%s", w->cfg->webhooks[webhook].name);
	ipc_msg_init(&msg, IPC_ANSWER);
	msg.head.flags = vote->head.flags & IPC_VOTE_APPROVE ? IPC_ANSWER_ALLOW : 0;
	msg.head.stats[IPC_ANSWER_UID] = peer->uid;
	msg.head.stats[IPC_ANSWER_PID] = (__u64)peer->pid;
	r = ipc_msg_put(&msg, ipc_msg_get(vote, 0));
	if (r == 0)
		r = ipc_msg_put(&msg, key);
	if (r == 0)
		r = ipc_msg_put(&msg, ipc_msg_get(vote, 2));
	if (r == 0)
		r = ipc_msg_put(&msg, ipc_msg_get(vote, 3));
	v->client = ++w->last_id;
	if (r == 0)
		r = keeper_ask(w, &msg, v->client, NULL);
	if (r < 0) {
		free(v);
		return r;
	}
	v->request = vote->head.request;
	v->epoch = n->epoch;
	list_append(&n->votes, &v->node);
	n->n_votes++;
	return 0;
}

static int judge(struct warden *w, struct ipc_msg *m, const char **ret_how)
{
	struct notifier *n = w->notifier;
	const char *id = ipc_msg_get(m, 0), *token = ipc_msg_get(m, 1), *who = ipc_msg_get(m, 2);
	__u64 now = clock_monotonic_ns();
	struct peer peer;
	int r;

	r = asker_check(w, m->fds[0], &peer);
	if (r < 0)
		return r;
	if (!m->head.flags) {
		r = tokens_check(n->tokens, id, token, now, ret_how);
		if (r >= 0 && !*ret_how)
			*ret_how = "waiting";
	} else {
		r = tokens_spend(n->tokens, id, token, who, now);
		if (r >= 0) {
			log_info("%s from elsewhere id=%s webhook=%s uid=%u pid=%d",
				 m->head.flags & IPC_VOTE_APPROVE ? "approve" : "deny", id,
				 w->cfg->webhooks[r].name, (unsigned)peer.uid, (int)peer.pid);
			r = ask_proxy(w, m, (unsigned)r, &peer);
			if (r == 0)
				r = -EINPROGRESS;
		} else if (r == -ENOENT && tokens_check(n->tokens, id, token, now, ret_how) < 0) {
			*ret_how = "";
		}
	}
	peer_close(&peer);
	return r;
}

int vote_take(struct warden *w, struct ipc_msg *m)
{
	const char *how = "";
	__u64 request = m->head.request;
	unsigned dropped;
	int r;

	if (m->head.n_fds != 1 || !ipc_msg_get(m, 3) || ipc_msg_get(m, 4) || !w->notifier->tokens ||
	    (m->head.flags & ~(IPC_VOTE_APPROVE | IPC_VOTE_DENY)) ||
	    m->head.flags == (IPC_VOTE_APPROVE | IPC_VOTE_DENY))
		return -EBADMSG;
	r = judge(w, m, &how);
	if (r == -EINPROGRESS)
		return 0; /* notify_answered goes on */
	if (r < 0) {
		w->notifier->refused++;
		if (log_limit_pass(&w->notifier->complaints, 5, &dropped))
			log_warn("an answer from elsewhere was refused error=\"%s\" dropped=%u",
				 strerror(-r), dropped);
	}
	answer(w, request, MIN(r, 0), how ? how : "");
	return 0;
}

bool notify_answered(struct warden *w, __u64 client, int status, const char *text)
{
	struct notifier *n = w->notifier;

	if (!n)
		return false;
	list_foreach(node, &n->votes) {
		struct vote_pending *v = container_of(node, struct vote_pending, node);

		if (v->client != client)
			continue;
		if (status < 0)
			n->refused++;
		/* Only the word of how it stands; what goes wrong has a status of its own. */
		if (v->epoch == n->epoch)
			answer(w, v->request, status, status < 0 ? "" : text);
		list_remove(&v->node);
		n->n_votes--;
		free(v);
		return true;
	}
	return false;
}

void vote_free_all(struct notifier *n)
{
	list_foreach(node, &n->votes) {
		list_remove(node);
		free(container_of(node, struct vote_pending, node));
	}
	n->n_votes = 0;
}
