/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the daemon say to each other over a SOCK_SEQPACKET socketpair: one packet a
 * message, a fixed head, then at most IPC_PAYLOAD_MAX bytes of NUL-terminated strings; descriptors
 * ride along. Each side treats the other's bytes as hostile: the proxy reads what agents send and
 * may be taken over, so the warden checks every field and a malformed packet ends the proxy.
 *
 * Variable text of any size (policies) travels in a sealed memfd, see ipc_bundle_*.
 */
#ifndef WEIR_DAEMON_IPC_H
#define WEIR_DAEMON_IPC_H

#include <linux/types.h>
#include <sys/types.h>

#include "compiler.h"
#include "policy/policy.h"

#define IPC_VERSION 1u

enum {
	IPC_PAYLOAD_MAX = 32 * 1024,
	IPC_FDS_MAX = 2,
	IPC_STATS_MAX = 16,
};

enum ipc_type {
	/* Warden to proxy. Those marked * are answered with IPC_ACK carrying the same request. */
	IPC_SETUP = 1, /* * first. fds: flows map. strings: store directory, boot id.
			   flags: worker count in bits 0-7, IPC_SETUP_* above. status: 0 */
	IPC_LISTENER,  /* * fds: a listening socket (non-blocking). netns_cookie: of it */
	IPC_POLICIES, /* * fds: bundle of the daemon's own policies; replaces the former snapshot. The
			   ACK names each behind an empty message: name, hash in hex, mode. Its status is -EINVAL with the policy error's text when it does not compile;
			   the former stays */
	IPC_AGENT,    /* * cgroup_id is attached from now on. strings: path, container, image,
			   then label key, value pairs. fds: none, or a bundle: policies of this agent alone, which
			   count in place of the daemon's; they must hold exactly one policy that
			   is then used whatever its "agents" say */
	IPC_AGENT_GONE, /* * cgroup_id is no longer attached */
	IPC_RESOLVED, /* answers IPC_RESOLVE (same request). status 0 and strings: path; or -ENOENT */
	IPC_STATUS,   /* * the ACK has stats */
	IPC_STOP,     /* finish: close sessions, seal, sync, exit 0 */
	IPC_ANSWER,   /* * somebody's word on an operation that waits. flags: IPC_ANSWER_ALLOW or 0.
			   strings: its id, the answerer ("uid:1000", "webhook:NAME": two answers of one
			   answerer count once), who (as the answerer says, for records; may be ""),
			   reason (may be ""). stats: see ipc_answer. The ACK: 0 it counted, -ENOENT
			   nothing waits under that id (any more), -EEXIST the answerer answered before,
			   -ENOTUNIQ several ids begin so; with 0 the string is how it stands ("waiting",
			   "approved" …), then follows the whole id */
	IPC_APPROVALS, /* * what waits? strings: none, or the beginning of an id: that one in full. The
			   ACK: -ENOENT, -ENOTUNIQ; or a sealed memfd with a JSON object a line, at most
			   IPC_LIST_MAX bytes, and stats[0]: how many wait in all */

	IPC_EXE_IS, /* answers IPC_EXE (same request). status 0 and strings: path; or -ENOENT */

	/* Proxy to warden. */
	IPC_ACK = 64, /* status: 0 or negative errno; strings: message for people, may be empty */
	IPC_RESOLVE,  /* which path has cgroup_id? */
	IPC_HELD,     /* an operation waits. strings: its id (letters, digits, "-"; IPC_ID_MAX).
			   fds: sealed memfd, one JSON object that describes it, IPC_JSON_MAX bytes at
			   most. stats: see ipc_held */
	IPC_SETTLED, /* it waits no more. strings: id, how ("approved", "denied", "expired", "gone"),
			   who and reason (may be "") */
	IPC_EXE,     /* which program is the process in status? Answered for processes of agents */

	/* Warden to notifier, beside IPC_HELD and IPC_SETTLED, which are passed on: IPC_HELD then has a
	   token for each webhook behind the id when answers are taken. */
	IPC_WEBHOOK =
		96, /* strings: name, URL. flags: IPC_WEBHOOK_*. fds: sealed memfd with the key for
			     signatures, sealed memfd with certificates to trust (PEM) or none */
	IPC_NOTIFY, /* * begin. fds: listening Unix socket for answers or none */

	/* Notifier to warden. */
	IPC_NOTIFY_STATS, /* stats: see ipc_notify_stat */
	IPC_VOTE, /* * an answer came in. flags: IPC_VOTE_*. strings: id, token, who, reason. fds: the
			     connection that it came by. The ACK: -EACCES no such id or token, see
			     IPC_ANSWER for the rest; strings: how it stands ("waiting", "approved" …) */
};

enum { IPC_ANSWER_ALLOW = 1u << 0 };
/* Of IPC_VOTE: neither only asks how it stands. */
enum { IPC_VOTE_APPROVE = 1u << 0, IPC_VOTE_DENY = 1u << 1 };
enum {
	IPC_WEBHOOK_SLACK = 1u << 0, /* body for Slack; else JSON */
	IPC_WEBHOOK_HELD = 1u << 1,  /* tell of these */
	IPC_WEBHOOK_SETTLED = 1u << 2,
};
/* Indices into stats. */
enum ipc_answer { IPC_ANSWER_UID, IPC_ANSWER_PID };
enum ipc_held { IPC_HELD_DEADLINE_NS /* realtime */, IPC_HELD_COUNT };
enum ipc_notify_stat {
	IPC_NOTIFY_QUEUED, /* deliveries that wait or are under way */
	IPC_NOTIFY_SENT,
	IPC_NOTIFY_RETRIED,
	IPC_NOTIFY_FAILED,   /* given up or refused by the other side */
	IPC_NOTIFY_DROPPED,  /* the queue was full */
	IPC_NOTIFY_REQUESTS, /* on the answer socket */
	IPC_NOTIFY_LIMITED,  /* of these: too many, turned away */
	IPC_NOTIFY_STAT_COUNT,
};
enum {
	IPC_ID_MAX = 64, /* NUL included */
	IPC_JSON_MAX = 256 * 1024,
	IPC_LIST_MAX = 12 * 1024 * 1024,
};

enum {
	IPC_SETUP_SYNC_EACH = 1u << 8,
	IPC_SETUP_DEBUG = 1u << 9,
	IPC_SETUP_NEWS = 1u << 10, /* somebody listens to IPC_HELD and IPC_SETTLED: send them */
};

/* Indices into ipc_msg.stats of the ACK to IPC_STATUS. */
enum ipc_stat {
	IPC_STAT_SESSIONS_OPEN,
	IPC_STAT_SESSIONS_TOTAL,
	IPC_STAT_OPS,
	IPC_STAT_BLOCKED,
	IPC_STAT_NO_FLOW,   /* accepted without a flow record: refused */
	IPC_STAT_NO_POLICY, /* refused: no policy or target */
	IPC_STAT_STORE_ERRORS,
	IPC_STAT_BYTES_TO_SERVER,
	IPC_STAT_BYTES_TO_CLIENT,
	IPC_STAT_WAITING, /* operations on hold now; below: since the proxy's start */
	IPC_STAT_APPROVED,
	IPC_STAT_DENIED,
	IPC_STAT_EXPIRED, /* nobody answered, or nobody waited any more */
	IPC_STAT_COUNT,
};
_Static_assert((int)IPC_STAT_COUNT <= (int)IPC_STATS_MAX, "stats must fit a message");

struct ipc_head {
	__u32 version; /* IPC_VERSION */
	__u32 type;    /* enum ipc_type */
	__u64 request; /* chosen by the asker, echoed in the answer */
	__u64 cgroup_id;
	__u64 netns_cookie;
	__s32 status;
	__u32 flags;
	__u32 payload_len;
	__u32 n_fds;
	__u64 stats[IPC_STATS_MAX];
};
_Static_assert(sizeof(struct ipc_head) == 176, "struct ipc_head is fixed");

struct ipc_msg {
	struct ipc_head head;
	char payload[IPC_PAYLOAD_MAX]; /* payload_len bytes: strings, each with its NUL */
	int fds[IPC_FDS_MAX];          /* -1 where there is none; owned by the message's holder */
};

/* Zeroed, with type set and no descriptors. */
void ipc_msg_init(struct ipc_msg *m, enum ipc_type type);
/* Closes what fds still holds. */
void ipc_msg_done(struct ipc_msg *m);
/* Appends one string. 0, -EMSGSIZE. */
int ipc_msg_put(struct ipc_msg *m, const char *s) __must_check;
/* The i-th string, or NULL behind the last. */
const char *ipc_msg_get(const struct ipc_msg *m, size_t i);

/* Sends one packet; blocks while the socket is full. Descriptors stay the caller's. 0, -EPIPE …  */
int ipc_send(int sock, const struct ipc_msg *m) __must_check;
/* As ipc_send, but -EAGAIN at once while the socket is full. */
int ipc_try_send(int sock, const struct ipc_msg *m) __must_check;
/*
 * Receives one packet into *m (initialised by the call; done by the caller also on error). 1; 0 at the
 * end of the stream; -EAGAIN nothing there (non-blocking); -EBADMSG malformed.
 */
int ipc_recv(int sock, struct ipc_msg *m) __must_check;

/* A sealed memfd that holds these bytes. Returns the descriptor or a negative errno. */
int ipc_blob_new(struct slice bytes) __must_check;
/*
 * Reads one of at most max bytes. *ret is the caller's to free, with a NUL behind the *ret_len bytes. 0,
 * -EBADMSG no memfd or one that is not sealed, -EMSGSIZE, -ENOMEM.
 */
int ipc_blob_read(int fd, size_t max, char **ret, size_t *ret_len) __must_check;
/* Into memory of the caller's: how many bytes; -EMSGSIZE more than size, -EBADMSG as above. */
ssize_t ipc_blob_read_into(int fd, void *out, size_t size) __must_check;

/* A sealed memfd that holds policy sources. Returns the descriptor or a negative errno. */
int ipc_bundle_new(const struct policy_source *sources, size_t n) __must_check;
/* Reads one: *ret_sources (n of them) and *ret_mem are the caller's to free; the sources point into
 * mem. 0, -EBADMSG, -EMSGSIZE over POLICY_TEXT_MAX in total, -ENOMEM. */
int ipc_bundle_read(int fd, struct policy_source **ret_sources, size_t *ret_n,
		    void **ret_mem) __must_check;

#endif
