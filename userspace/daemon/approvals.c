// SPDX-License-Identifier: Apache-2.0
/*
 * Approvals over the control socket: who may answer, and what the proxy says of it. What waits is
 * known to the proxy alone; its listing goes through as bytes that are looked at only for not leaving
 * their line.
 */
#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ulid.h"
#include "daemon/warden_int.h"

enum { REASON_MAX = 500 };

static struct ipc_msg msg;

bool approvals_peer_inside(struct warden *w, const struct client *c)
{
	char path[CGROUP_PATH_MAX];
	int r = peer_cgroup(&c->peer, path);

	/* Fail closed: where it is not known where somebody sits, it may be inside. */
	if (r < 0)
		log_warn("the cgroup of a control connection cannot be told, refused pid=%d "
			 "error=\"%s\"",
			 (int)c->peer.pid, strerror(-r));
	return r < 0 || agents_cover(w, path);
}

static void ask(struct warden *w, struct client *c)
{
	int r = keeper_ask(w, &msg, c->id, NULL);

	if (r < 0)
		control_refuse(w, c->id, r == -ENOTCONN ? "restarting" : "failed", "%s",
			       r == -ENOTCONN ? "the proxy is being restarted" : strerror(-r));
}

/* Letters and digits only: it goes into a search, and into logs. */
static bool id_fine(const char *id)
{
	size_t n = 0;

	for (; id[n]; n++)
		if (n == ULID_TEXT_LEN || !((id[n] >= '0' && id[n] <= '9') ||
					    ((id[n] | 0x20) >= 'a' && (id[n] | 0x20) <= 'z')))
			return false;
	return n >= 4;
}

void approvals_list_begin(struct warden *w, struct client *c, const json_t *request)
{
	const json_t *given = json_object_get(request, "id");
	const char *id = json_string_value(given);

	if (given && (!id || !id_fine(id))) {
		control_refuse(w, c->id, "invalid", "\"id\" must be at least 4 letters of an id");
		return;
	}
	ipc_msg_init(&msg, IPC_APPROVALS);
	if (id && ipc_msg_put(&msg, id) < 0)
		return; /* 26 letters fit */
	ask(w, c);
}

void approvals_answer_begin(struct warden *w, struct client *c, const json_t *request, bool allow)
{
	const char *id = json_string_value(json_object_get(request, "id"));
	const json_t *given = json_object_get(request, "reason");
	const char *reason = given ? json_string_value(given) : "";
	char key[32];
	int r;

	if (!id || !id_fine(id)) {
		control_refuse(w, c->id, "invalid", "\"id\" must be at least 4 letters of an id");
		return;
	}
	if (!reason || strlen(reason) > REASON_MAX) {
		control_refuse(w, c->id, "invalid", "\"reason\" must be at most %d bytes of text",
			       REASON_MAX);
		return;
	}
	if (!allow && !*reason) {
		control_refuse(w, c->id, "invalid", "to deny takes a \"reason\"");
		return;
	}
	ipc_msg_init(&msg, IPC_ANSWER);
	msg.head.flags = allow ? IPC_ANSWER_ALLOW : 0;
	msg.head.stats[IPC_ANSWER_UID] = c->peer.uid;
	msg.head.stats[IPC_ANSWER_PID] = (__u64)c->peer.pid;
	(void)snprintf(key, sizeof(key), "uid:%u", (unsigned)c->peer.uid);
	r = ipc_msg_put(&msg, id);
	if (r == 0)
		r = ipc_msg_put(&msg, key);
	if (r == 0)
		r = ipc_msg_put(&msg, "");
	if (r == 0)
		r = ipc_msg_put(&msg, reason);
	if (r < 0) {
		control_refuse(w, c->id, "failed", "%s", strerror(-r));
		return;
	}
	log_info("%s id=%s uid=%u pid=%d", allow ? "approve" : "deny", id, (unsigned)c->peer.uid,
		 (int)c->peer.pid);
	ask(w, c);
}

static const char *refusal_code(int status)
{
	return status == -ENOENT     ? "not-found"
	       : status == -EEXIST   ? "not-allowed"
	       : status == -ENOTUNIQ ? "invalid"
				     : "failed";
}

/* One JSON object a line, of ASCII without controls: then it cannot leave the answer's own line. */
static int take_lines(const char *text, size_t len, struct buf *out)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - (text + at)) : 0;

		if (n < 2 || text[at] != '{' || text[at + n - 1] != '}')
			return -EBADMSG;
		for (size_t i = at; i < at + n; i++)
			if (text[i] < 0x20 || text[i] > 0x7e)
				return -EBADMSG;
		r = at ? buf_put_u8(out, ',') : 0;
		r = r < 0 ? r : buf_put(out, text + at, n);
		at += n + 1;
	}
	return r;
}

void approvals_listed(struct warden *w, __u64 client, const struct ipc_msg *m, const char *message)
{
	_cleanup_(free_p) char *text = NULL;
	struct buf out;
	size_t len;
	int r = m->head.status;

	if (r < 0) {
		control_refuse(w, client, refusal_code(r), "%s",
			       r == -ENOENT     ? "nothing waits under this id"
			       : r == -ENOTUNIQ ? "several ids begin so: give more of it"
						: message);
		return;
	}
	buf_init(&out, IPC_LIST_MAX + 1024);
	r = ipc_blob_read(m->fds[0], IPC_LIST_MAX, &text, &len);
	r = r < 0 ? r
		  : buf_printf(&out, "{\"ok\":true,\"waiting\":%llu,\"approvals\":[",
			       (unsigned long long)m->head.stats[0]);
	r = r < 0 ? r : take_lines(text, len, &out);
	r = r < 0 ? r : buf_put_str(&out, "]}\n");
	if (r < 0)
		control_refuse(w, client, "failed", "%s", strerror(-r));
	else
		control_answer_line(w, client, buf_peek(&out));
	buf_done(&out);
}

void approvals_answered(struct warden *w, __u64 client, const struct ipc_msg *m,
			const char *message)
{
	static const char *const states[] = { "waiting", "approved", "denied" };
	const char *state = ipc_msg_get(m, 0), *id = ipc_msg_get(m, 1);

	if (m->head.status < 0) {
		control_refuse(w, client, refusal_code(m->head.status), "%s", message);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (state && id && id_fine(id) && strcmp(state, states[i]) == 0) {
			control_answer(w, client,
				       json_pack("{ss,ss}", "id", id, "state", states[i]));
			return;
		}
	control_refuse(w, client, "failed", "the proxy gave no answer that can be read");
}
