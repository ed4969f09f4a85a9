/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread, one event loop, its share of the connections. Its turn is the heart of Weir:
 *
 *   1. wait for news
 *   2. read what came, feed the handlers, judge the operations, gather the records
 *   3. commit the records, once for all connections
 *   4. only then write to sockets
 *
 * so that nothing reaches anybody that is not in the store.
 */
#ifndef WEIR_SESSION_WORKER_H
#define WEIR_SESSION_WORKER_H

#include "agents.h"
#include "approvals.h"
#include "programs.h"
#include "proto.h"
#include "store/store.h"

struct worker_config {
	struct agents *agents;       /* outlives the worker */
	struct programs *programs;   /* the same */
	struct store *store;         /* outlives the worker */
	struct approvals *approvals; /* outlives the worker; NULL: what is held is refused */
	int flows_fd;                /* the BPF map of flow records */
	struct proto_limits limits;
	unsigned max_sessions; /* at once; more are refused at accept: descriptors are finite */
};

struct worker_stats {
	uint64_t sessions_open, sessions_total, ops, blocked, no_flow, no_policy, store_errors;
	uint64_t bytes[2]; /* by enum dir */
};

struct worker;

/* 0 or a negative errno. */
int worker_new(const struct worker_config *cfg, struct worker **ret) __must_check;
struct worker *worker_free(struct worker *w); /* stopped, or never started */

/* Accepts from a listening socket from now on; the descriptor stays the caller's and outlives the
 * worker. Before worker_start, or from any thread later. 0 or a negative errno. */
int worker_listen(struct worker *w, int listen_fd, uint64_t netns_cookie) __must_check;

int worker_start(struct worker *w) __must_check;
/* Ends all sessions, commits their last records, ends the thread. */
void worker_stop(struct worker *w);
/* Something changed that a session may wait for (agents_resolved, agents_detach). Any thread. */
void worker_wake(struct worker *w);
/* Any thread. */
void worker_stats(const struct worker *w, struct worker_stats *ret);

#endif
