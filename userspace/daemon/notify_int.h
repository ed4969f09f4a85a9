/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two files of the warden that have to do with the notifier. */
#ifndef WEIR_DAEMON_NOTIFY_INT_H
#define WEIR_DAEMON_NOTIFY_INT_H

#include "daemon/warden_int.h"
#include "notify/token.h"

enum {
	BACKLOG_MAX =
		256, /* packets that wait for a notifier; descriptors of the warden's, so not many */
	VOTES_MAX = 128, /* answers that wait for the proxy's word */
};

/* A packet that waits until the notifier takes it. */
struct backlog {
	struct list_node node;
	struct ipc_head head;
	int fd; /* -1 = none */
	char payload[];
};

/* An answer that the proxy was asked about. */
struct vote_pending {
	struct list_node node;
	__u64 client; /* names it in keeper_ask; of the ids that control connections have as well */
	__u64 request; /* the notifier's */
	__u64 epoch;   /* the notifier's that asked */
};

struct notifier {
	enum proxy_state state;
	pid_t pid;
	int sock; /* -1 = none */
	__u64 epoch;
	__u64 started_ns, next_start_ns;
	unsigned restarts, failures;
	unsigned acks; /* still to come before it is ready */
	uid_t uid;
	gid_t gid;
	int keys[DAEMON_WEBHOOKS_MAX], cas[DAEMON_WEBHOOKS_MAX]; /* sealed memfds; -1 = none */
	int answers;                                             /* listening socket; -1 = none */
	bool answers_bound;                                      /* its file is ours to remove */
	struct tokens *tokens;                                   /* NULL = answers are not taken */
	struct list_node backlog;
	unsigned n_backlog;
	bool wants_out; /* EPOLLOUT is armed */
	struct list_node votes;
	unsigned n_votes;
	__u64 stats[IPC_NOTIFY_STAT_COUNT];
	__u64 dropped, untold, refused; /* packets; held ones without tokens; answers */
	struct log_limit complaints;
};

/* Sends now or later, never waits; takes m's descriptor. What is dropped for want of room is counted. */
void notify_send(struct warden *w, struct ipc_msg *m);
/* An IPC_VOTE: judges it, or asks the proxy. -EBADMSG: malformed. */
int vote_take(struct warden *w, struct ipc_msg *m) __must_check;
void vote_free_all(struct notifier *n);

#endif
