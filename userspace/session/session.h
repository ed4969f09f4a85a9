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
#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "proto.h"
#include "store/store.h"
#include "worker.h"

enum watch_kind { WATCH_LISTENER, WATCH_CLIENT, WATCH_SERVER };

enum session_stage {
	SESSION_RESOLVE, /* the path of its cgroup is asked for */
	SESSION_SNIFF,	 /* which protocol? the client's first bytes will tell */
	SESSION_RUN,
	SESSION_DRAIN,	 /* only output is still delivered, then it closes */
	SESSION_LINGER,	 /* all said; the client's late bytes are thrown away so that it can read */
	SESSION_DEAD,	 /* freed at the end of the turn */
};

/* One of the two sockets. */
struct side {
	struct loop_watch watch; /* fd -1: none */
	bool readable, writable; /* until EAGAIN */
	bool hangup;		 /* LOOP_HANGUP came: read to the end */
	bool eof;		 /* the end was read */
	bool eof_told;		 /* and the handler knows */
	bool shut;		 /* we sent our end */
	struct buf held;	 /* read, but not taken by the handler yet */
};

struct session {
	struct worker *worker;
	struct list_node all, run; /* worker's lists */
	struct loop_timer timer;   /* of the stage: sniff, dial, drain, linger */
	enum session_stage stage;
	struct side client, server;
	bool connected;	     /* the server's socket stands */
	int dial_error;	     /* why it does not: negative errno, 0 = it may yet */
	bool discard_server; /* nothing more goes to the server */
	struct agent *agent;
	const struct policy_target *target; /* NULL: refused */
	struct proto *proto;
	const struct proto_class *class;
	struct store_session rec;
	uint32_t scope_id;
	uint64_t rec_put_ns;   /* monotonic: when rec was last written */
	bool staged;	       /* has records in this turn's batch */
	bool progress;	       /* a handler took bytes this turn */
	bool client_was_clean; /* nothing for the client was pending when the turn began */
	enum store_state end_state; /* what it will be when it is over */
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
	struct listener {
		struct loop_watch watch;
		uint64_t netns_cookie;
	} listeners[64];
	unsigned n_listeners;
	uint64_t mono_ns, real_ns; /* of this turn */
	uint8_t *scratch;
	struct worker_stats stats;
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
int record_text(struct session *s, enum store_event_type type, uint64_t op_id, const char *text)
	__must_check;

/* ---- judge.c: what a policy says of an operation ---------------------------------------------- */

/* Fills *ret with what is to be done, and *ret_recorded with what the policy said (they differ in
 * observe mode, and where an approval cannot be asked). */
void judge(struct session *s, const struct op *op, struct verdict *ret, struct verdict *ret_recorded);

#endif
