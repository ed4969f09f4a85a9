/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that make up the warden. One thread, one epoll, no callbacks. */
#ifndef WEIR_DAEMON_WARDEN_INT_H
#define WEIR_DAEMON_WARDEN_INT_H

#include <jansson.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/sha256.h"
#include "bpfctl/bpfctl.h"
#include "daemon/attached.h"
#include "daemon/config.h"
#include "daemon/ipc.h"
#include "daemon/peer.h"
#include "daemon/watch.h"

enum {
	CLIENTS_MAX = 64, /* on the control socket: bounded */
	CLIENTS_MEMBERS =
		48, /* of these at most when a member of control.group comes: root gets in */
	PENDING_MAX = 2 * ATTACHED_MAX,
	LISTENERS = 2,
};

/* What an epoll event is about: the kind in the upper byte, an id below. Ids are never used twice, so
 * an event that was queued for something closed in the same turn finds nothing. */
enum source {
	SOURCE_SIGNAL = 1,
	SOURCE_CONTROL,
	SOURCE_PROXY,
	SOURCE_CLIENT,
	SOURCE_WATCH,
	SOURCE_NOTIFIER
};
#define SOURCE_TAG(kind, id) ((__u64)(kind) << 56 | (id))

enum proxy_state {
	PROXY_DOWN,     /* to be started at next_start_ns */
	PROXY_STARTING, /* being told what there is */
	PROXY_READY,
	PROXY_STOPPING, /* was told to finish */
};

/* A message that waits for its ACK. */
struct pending {
	struct list_node node;
	__u64 request;
	__u64 deadline_ns;
	__u64 client; /* who waits for the answer; 0 = nobody */
	enum ipc_type type;
	struct attached *fresh; /* IPC_AGENT of an attach: what to do when it is acknowledged */
	__u64 cgroup_id;
	int policies; /* bundle that is offered; -1 = none */
	unsigned n_policies;
	__u64 begun_ns; /* of IPC_POLICIES: when reading the files began */
	bool first;     /* part of the proxy's start: its failure is the start's */
};

struct proxy {
	enum proxy_state state;
	pid_t pid;
	int sock;    /* -1 = none */
	__u64 epoch; /* id of sock in events */
	__u64 started_ns, next_start_ns;
	unsigned restarts, failures; /* failures: in a row, each soon after its start */
	bool ever_ready;
	__u64 last_request;
	struct list_node pending;
	unsigned n_pending;
};

/* How the daemon's policies were last loaded. */
struct loaded {
	__u64 at_ns;                /* realtime, of the last that was taken; 0 = none yet */
	__u64 took_ns;              /* from reading the files to the proxy's answer */
	__u64 failed_ns;            /* realtime, of the last try if it failed; 0 = it did not */
	char error[1024];           /* why */
	json_t *list;               /* [{name, hash, mode}], as the proxy says; NULL = none yet */
	uint8_t digest[SHA256_LEN]; /* of the files that were offered last, taken or not */
};

struct client {
	struct list_node node;
	__u64 id;
	int fd;
	pid_t pid;
	struct peer peer;
	bool member; /* of control.group and not root: some commands only */
	struct buf in, out;
	__u64 deadline_ns;
	size_t scanned; /* bytes of `in` without a newline */
	bool waiting;   /* a request is being worked on: no further one is begun */
	bool closing;   /* after what is in out */
	bool owner;     /* agents are bound to this connection: no idle timeout */
};

struct warden {
	const struct daemon_config *cfg;
	struct bpfctl *bpf;
	int epoll, signals, control, lock;
	int agents_dir;
	int listeners[LISTENERS]; /* 127.0.0.1, ::1; -1 = none */
	int listener_ports[LISTENERS];
	int policies; /* bundle that the proxy took last; -1 = none */
	unsigned n_policies;
	struct loaded loaded;
	struct watch watch; /* of the policy files */
	uid_t uid;
	gid_t gid;
	gid_t control_group; /* may use some of the control socket; 0 = root alone */
	char boot_id[37];
	char pin_dir[4096];
	__u64 started_ns, next_sweep_ns, next_flows_ns, last_id;
	bool stopping;
	int exit_status; /* >= 0: leave the loop */
	struct proxy proxy;
	struct notifier *notifier; /* notify.c's; NULL = nobody is told of operations on hold */
	struct list_node attached; /* struct attached */
	unsigned n_attached;
	struct list_node clients;
	unsigned n_clients;
};

/* ---- place.c: what must be there before anything is served -------------------------------------- */

/* All of them print the reason themselves. 0 or a negative errno. */
int place_user(struct warden *w) __must_check;
int place_runtime(struct warden *w) __must_check; /* directories, the lock, the boot id */
int place_store(struct warden *w) __must_check;
int place_listeners(struct warden *w) __must_check;
/* Takes what place_runtime and the control socket made away, when nothing is to stay. */
void place_remove(struct warden *w);
/* Reads all policy files into a bundle, and has them watched: its descriptor or -errno, with *reterr
 * saying why. digest is of all names and texts. */
int place_policies(struct warden *w, unsigned *ret_n, uint8_t ret_digest[SHA256_LEN],
		   char reterr[1024]) __must_check;
/* READY=1 to $NOTIFY_SOCKET and the byte to --ready-fd. */
void place_ready(struct warden *w);

/* ---- keeper.c: the proxy's process and the conversation with it --------------------------------- */

void keeper_init(struct warden *w);
/* Starts it and tells it everything. 0 or -errno (it is then down and will be tried again). */
int keeper_start(struct warden *w) __must_check;
void keeper_readable(struct warden *w);
/* It ended, with this status from waitpid. */
void keeper_died(struct warden *w, int status);
/* Timers: restarts, deadlines. */
void keeper_tick(struct warden *w, __u64 now);
/* SIGKILL: it broke the protocol or hangs. */
void keeper_kill(struct warden *w, const char *why);
/* Tells it to finish. */
void keeper_stop(struct warden *w);
/*
 * Sends m (its request is set here) and remembers what it waits for. 0; -ENOTCONN the proxy is not
 * ready; -ENOBUFS too much is waiting; -ENOMEM. On 0 fresh is the keeper's.
 */
int keeper_ask(struct warden *w, struct ipc_msg *m, __u64 client,
	       struct attached *fresh) __must_check;
/* Reads the policy files again and offers them; what became of it is in w->loaded. changed_only: not
 * when they are as they were. */
int keeper_reload(struct warden *w, __u64 client, bool changed_only) __must_check;

/* ---- agents.c: attach, detach, adopt, sweep ------------------------------------------------------ */

struct attached *agents_find(struct warden *w, __u64 cgroup_id);
/* Those that are pinned from an earlier life. 0 or -errno. */
int agents_adopt(struct warden *w) __must_check;
/* Begins an attach for a client; the answer is sent when the proxy took it. */
void agents_attach_begin(struct warden *w, struct client *c, const json_t *request);
/* The proxy's answer. Consumes fresh. */
void agents_attach_acked(struct warden *w, __u64 client, struct attached *fresh, int status,
			 const char *message);
/* The proxy is gone before it answered. Consumes fresh. */
void agents_attach_failed(struct warden *w, __u64 client, struct attached *fresh);
void agents_detach_begin(struct warden *w, struct client *c, const json_t *request);
/* The listing for `weir agents`; NULL without memory. */
json_t *agents_list(struct warden *w);
/* The owner's connection ended. */
void agents_owner_gone(struct warden *w, __u64 client);
void agents_sweep(struct warden *w);
/* Is this path at or below an attached cgroup? */
bool agents_cover(struct warden *w, const char *path);
/* At the end with --detach-on-exit: ends what owners left, takes all hooks off. */
void agents_detach_all(struct warden *w);
void agents_free_all(struct warden *w);

/* ---- approvals.c: answers of people to what is on hold ------------------------------------------- */

/* Does the process at the other end run in or below an attached cgroup, or cannot that be told? */
bool approvals_peer_inside(struct warden *w, const struct client *c);
void approvals_list_begin(struct warden *w, struct client *c, const json_t *request);
void approvals_answer_begin(struct warden *w, struct client *c, const json_t *request, bool allow);
/* The proxy's ACKs; message is its text, made harmless. */
void approvals_listed(struct warden *w, __u64 client, const struct ipc_msg *m, const char *message);
void approvals_answered(struct warden *w, __u64 client, const struct ipc_msg *m,
			const char *message);

/* ---- control.c: the socket that people and scripts talk to --------------------------------------- */

int control_open(struct warden *w) __must_check;
void control_accept(struct warden *w);
void control_event(struct warden *w, __u64 client, unsigned events);
void control_tick(struct warden *w, __u64 now);
void control_close(struct warden *w);
struct client *control_find(struct warden *w, __u64 id);
/* {"ok": true, …take}; take may be NULL. A client that is gone is fine. */
void control_answer(struct warden *w, __u64 client, json_t *take);
/* The same ready-made, with its newline. */
void control_answer_line(struct warden *w, __u64 client, struct slice line);
/* {"ok": false, "code": …, "error": …} */
void control_refuse(struct warden *w, __u64 client, const char *code, const char *fmt, ...)
	__printf_like(4, 5);
/* The proxy's numbers came in (NULL: it has none to give). */
void control_status(struct warden *w, __u64 client, const struct ipc_msg *m);

/* ---- notify.c, vote.c: the notifier's process; who may answer from elsewhere -------------------------- */

/* Reads keys and certificates, opens the socket for answers. Prints the reason. Without webhooks it does
 * nothing. 0 or -errno. */
int notify_open(struct warden *w) __must_check;
/* Starts the process; trying again is notify_tick's. */
void notify_start(struct warden *w);
void notify_event(struct warden *w, __u64 epoch, unsigned events);
/* Was it the notifier that ended? */
bool notify_died(struct warden *w, pid_t pid, int status);
void notify_tick(struct warden *w, __u64 now);
/* The proxy's news, passed on; takes m's descriptor. 0; -EBADMSG malformed. */
int notify_held(struct warden *w, struct ipc_msg *m) __must_check;
int notify_settled(struct warden *w, const struct ipc_msg *m) __must_check;
/* Nothing waits any more. */
void notify_proxy_gone(struct warden *w);
/* The proxy's word on an answer that client brought. False: it came from the control socket. */
bool notify_answered(struct warden *w, __u64 client, int status, const char *text);
/* For `weir status`; NULL where there is none. */
json_t *notify_status(const struct warden *w);
/* Tells it to finish. True while it has not ended. */
bool notify_stop(struct warden *w);
/* SIGKILL: it broke the protocol or hangs. One that is not there is fine. */
void notify_kill(struct warden *w, const char *why);
void notify_close(struct warden *w);

/* Watches fd; 0 or -errno. */
int warden_watch(struct warden *w, int fd, unsigned events, __u64 tag) __must_check;

#endif
