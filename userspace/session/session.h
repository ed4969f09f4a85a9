/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One intercepted connection: the agent's socket, the server's socket, a handler between them, and
 * the record of it all. Internal to session/: worker.c drives it turn by turn.
 */
#ifndef WEIR_SESSION_SESSION_H
#define WEIR_SESSION_SESSION_H

#include <pthread.h>

#include "abi/flow.h"
#include "agents.h"
#include "approvals.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "proto.h"
#include "store/store.h"
#include "worker.h"

enum watch_kind { WATCH_LISTENER, WATCH_CLIENT, WATCH_SERVER };

enum session_stage {
	SESSION_RESOLVE, /* the path of its cgroup is asked for */
	SESSION_SNIFF,   /* which protocol? the client's first bytes will tell */
	SESSION_RUN,
	SESSION_DRAIN,  /* only output is still delivered, then it closes */
	SESSION_LINGER, /* all said; the client's late bytes are thrown away so that it can read */
	SESSION_DEAD,   /* freed at the end of the turn */
};

/* One of the two sockets. */
struct side {
	struct loop_watch watch; /* fd -1: none */
	bool readable, writable; /* until EAGAIN */
	bool hangup;             /* LOOP_HANGUP came: read to the end */
	bool eof;                /* the end was read */
	bool eof_told;           /* and the handler knows */
	bool shut;               /* we sent our end */
	struct buf held;         /* read, but not taken by the handler yet */
};

struct session {
	struct worker *worker;
	struct list_node all, run; /* worker's lists */
	struct loop_timer timer;   /* of the stage: sniff, dial, drain, linger */
	enum session_stage stage;
	struct side client, server;
	bool connected;      /* the server's socket stands */
	int dial_error;      /* why it does not: negative errno, 0 = it may yet */
	bool discard_server; /* nothing more goes to the server */
	struct agent *agent;
	const struct policy_target *target; /* NULL: refused */
	uint64_t generation; /* of the agents, when agent and target were looked up */
	bool never_allowed;  /* no target when it began: no later policy makes it a connection */
	bool detached;       /* its cgroup belongs to no agent any more */
	bool observed;       /* verdicts of the present policy are not applied */
	struct policy_session tally; /* for conditions on risk, rates and quotas */
	struct list_node holds;      /* struct approval.in_owner, by time */
	bool remembers;              /* an approval is remembered for this session */
	bool relayed;                /* an upgrade went through: no longer request by request */
	bool kept_alive;             /* the kernel looks after silent peers */
	uint64_t last_let, last_denied, last_result; /* ids of operations; denied: after a hold */
	char *first_names; /* what rec points to once another policy judges; NULL: it has not */
	uint8_t first_hash[32];
	struct proto *proto;
	const struct proto_class *class;
	struct store_session rec;
	uint32_t scope_id;
	uint64_t rec_put_ns;        /* monotonic: when rec was last written */
	bool staged;                /* has records in this turn's batch */
	bool progress;              /* a handler took bytes this turn */
	bool client_was_clean;      /* nothing for the client was pending when the turn began */
	enum store_state end_state; /* what it will be when it is over */
	uint64_t program_key;       /* of the question which program it is; 0 = none */
	bool program_known;
	char *exe; /* rec.identity.exe points here once it is known */
	char comm[WEIR_FLOW_COMM_LEN + 1];
	char reason[160]; /* rec.reason points here once it is set */
};

/* What a worker is inside. */
struct worker {
	struct worker_config cfg;
	struct loop *loop;
	struct store_batch *batch;
	struct proto_shared *shared[3];
	struct list_node sessions; /* all */
	struct list_node running;  /* with something to do this turn */
	struct list_node dead;
	struct loop_timers timers_short, timers_long;
	struct loop_heap holds; /* deadlines of held operations */
	struct approvals_inbox inbox;
	uint64_t detachments; /* of the agents, when sessions were last looked at */
	struct listener {
		struct loop_watch watch;
		uint64_t netns_cookie;
	} listeners[64];
	unsigned n_listeners;
	uint64_t mono_ns, real_ns; /* of this turn */
	uint8_t *scratch;
	struct worker_stats stats;
	uint8_t kept_policy[32]; /* hash of the composed policy that was kept last */
	uint64_t audit_second;
	unsigned audit_count;
	pthread_t thread;
	bool started, stop;
};

enum { WORKER_SCRATCH = 128 * 1024 }; /* bytes read at once */

/* ---- session.c ------------------------------------------------------------------------------ */

/* A connection was accepted. Takes the descriptor over in any case. */
void session_start(struct worker *w, int fd, const struct addr *peer, const struct addr *local,
		   uint64_t netns_cookie);
/* Step 2 of the turn: read, feed, judge, gather. */
void session_intake(struct session *s);
/* Step 4: write, and see whether it is over. */
void session_flush(struct session *s);
/* The batch of this turn is lost: nothing that came of it may go out. */
void session_store_failed(struct session *s, int err);
void session_timeout(struct session *s);
/* Somebody decided on an operation that waited: goes on with it. */
void session_decided(struct session *s, uint64_t op_id, const struct verdict *v);
/* Agents were detached: ends it if its own was. */
void session_check_agent(struct session *s);
/* An answer from agents_resolved may be there. */
void session_retry_identity(struct session *s);
/* Ends it now; state and why go into the record. */
void session_close(struct session *s, enum store_state state, const char *why);
void session_free(struct session *s);
/* Puts it on the list for this turn. */
void session_run(struct session *s);

static inline struct side *session_from(struct session *s, enum dir d)
{
	return d == DIR_TO_SERVER ? &s->client : &s->server;
}

static inline struct slice session_out(const struct session *s, enum dir d)
{
	return s->proto ? s->class->peek_out(s->proto, d) : SLICE_NONE;
}

/* ---- record.c: events into the batch --------------------------------------------------------- */

/* All: 0, or a negative errno after which the session must end. */
int record_session(struct session *s) __must_check;
int record_op(struct session *s, const struct op *op, const struct verdict *v) __must_check;
int record_event(struct session *s, const struct proto_event *ev) __must_check;
int record_error(struct session *s, const struct parse_err *err) __must_check;
/* What became of a hold; what says it, as in store.h. */
int record_approval(struct session *s, uint64_t op_id, const char *what,
		    const struct op_attr *attrs, size_t n) __must_check;
int record_text(struct session *s, enum store_event_type type, uint64_t op_id,
		const char *text) __must_check;

/* ---- judge.c: what a policy says of an operation ---------------------------------------------- */

/* A policy made of several stands in no file: its text goes into the store before anything that it
 * judges. */
void judge_keep_policy(struct session *s, const struct policy *p);
/* Makes the record s->agent's, keeping what belongs to the connection. */
void judge_take_identity(struct session *s);
/* Looks agent, policy and target up again if something changed. 0, or a negative errno after which the
 * session must end. */
int judge_refresh(struct session *s) __must_check;
/* Fills *ret with what is to be done, and *ret_recorded with what the policy said (they differ in
 * observe mode). */
void judge(struct session *s, const struct op *op, struct verdict *ret,
	   struct verdict *ret_recorded);
/* The same operation once more, without counting it. */
enum verdict_kind judge_again(struct session *s, const struct op *op);

/* ---- hold.c: operations that wait for people --------------------------------------------------- */

/*
 * An operation with the verdict hold, which is recorded already. 0: it waits, and *ret_v says HOLD; or
 * need not (*ret_v: ALLOW, remembered) or cannot (BLOCK). Or a negative errno: the session must end.
 * text holds what *ret_v points to.
 */
enum { HOLD_TEXT_MAX = 1024 };
int hold_begin(struct session *s, const struct op *op, const struct verdict *v,
	       struct verdict *ret_v, char text[HOLD_TEXT_MAX]) __must_check;
/* Answers came in. */
void hold_answered(struct approval *a);
/* Its time is over. */
void hold_expired(struct approval *a);
static inline bool hold_waits(const struct session *s)
{
	return !list_empty(&s->holds);
}
/* Denies all that waits, and says so to the client. */
void hold_deny_all(struct session *s, const char *why);
/* Nothing can be said to anybody any more: only recorded. */
void hold_abandon(struct session *s, const char *why);

#endif
