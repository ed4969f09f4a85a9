// SPDX-License-Identifier: Apache-2.0
#include "daemon/holds.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"

enum { NEWS_PER_TURN = 64 /* so that requests are not kept waiting */ };

int holds_list(struct approvals *t, const struct ipc_msg *m, struct ipc_msg *ack)
{
	struct buf b;
	int r;

	buf_init(&b, IPC_LIST_MAX);
	r = approvals_list(t, ipc_msg_get(m, 0), &b);
	if (r >= 0)
		r = ipc_blob_new(buf_peek(&b));
	buf_done(&b);
	if (r < 0)
		return r;
	ack->fds[0] = r;
	ack->head.stats[0] = approvals_waiting(t);
	return 0;
}

static int copy(char *out, size_t size, const char *s)
{
	return snprintf(out, size, "%s", s) < (int)size ? 0 : -EMSGSIZE;
}

int holds_answer(struct approvals *t, const struct ipc_msg *m, struct ipc_msg *ack, char *message,
		 size_t size)
{
	const char *id = ipc_msg_get(m, 0), *key = ipc_msg_get(m, 1), *who = ipc_msg_get(m, 2),
		   *reason = ipc_msg_get(m, 3);
	struct approval_answer an = {
		.allow = (m->head.flags & IPC_ANSWER_ALLOW) != 0,
		.uid = (uint32_t)m->head.stats[IPC_ANSWER_UID],
		.pid = (uint32_t)m->head.stats[IPC_ANSWER_PID],
		.time_ns = clock_realtime_ns(),
	};
	enum approval_state state = APPROVAL_WAITING;
	char full[ULID_TEXT_MAX];
	int r;

	if (!reason || copy(an.key, sizeof(an.key), key) < 0)
		return -EPROTO;
	(void)copy(an.who, sizeof(an.who), who);          /* cut is fine: for people */
	(void)copy(an.reason, sizeof(an.reason), reason); /* the same */
	r = approvals_answer(t, id, &an, &state, full);
	if (r == 0) {
		r = ipc_msg_put(ack, approval_state_names[state]);
		return r < 0 ? r : ipc_msg_put(ack, full);
	}
	if (r == -ENOENT && state != APPROVAL_WAITING)
		snprintf(message, size, "it waits no more: %s", approval_state_names[state]);
	else
		snprintf(message, size, "%s",
			 r == -ENOENT     ? "nothing waits under this id"
			 : r == -EEXIST   ? "you have answered before: another person is needed"
			 : r == -ENOTUNIQ ? "several ids begin so: give more of it"
					  : strerror(-r));
	return r;
}

static int tell(int sock, struct ipc_msg *m, const struct approvals_event *e, struct slice json)
{
	bool held = e->state == APPROVAL_WAITING;
	int r;

	ipc_msg_init(m, held ? IPC_HELD : IPC_SETTLED);
	r = ipc_msg_put(m, e->id);
	if (held) {
		m->head.stats[IPC_HELD_DEADLINE_NS] = e->deadline_ns;
		m->head.stats[IPC_HELD_COUNT] = e->needed;
		m->fds[0] = ipc_blob_new(json);
		if (m->fds[0] < 0)
			r = m->fds[0];
	} else {
		r = r < 0 ? r : ipc_msg_put(m, approval_state_names[e->state]);
		r = r < 0 ? r : ipc_msg_put(m, e->who);
		r = r < 0 ? r : ipc_msg_put(m, e->reason);
	}
	r = r < 0 ? r : ipc_send(sock, m);
	ipc_msg_done(m);
	return r;
}

int holds_news(struct approvals *t, int sock, struct ipc_msg *scratch)
{
	struct approvals_event e;
	struct buf json;
	int r = 0;

	buf_init(&json, IPC_JSON_MAX);
	for (int i = 0; r == 0 && i < NEWS_PER_TURN; i++) {
		buf_clear(&json);
		r = approvals_news(t, &e, &json);
		if (r == -EMSGSIZE || r == -ENOMEM) {
			r = 0; /* no memory now: the descriptor stays readable, it is tried again */
			break;
		}
		if (r <= 0)
			break;
		r = tell(sock, scratch, &e, buf_peek(&json));
	}
	buf_done(&json);
	return r;
}
