/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door for answers from elsewhere: HTTP on a Unix socket (libmicrohttpd), for a chat bot or a
 * console on this host.
 *
 *     POST /v1/approvals/ID/approve|deny   {"token": "…", "who": "alice@chat", "reason": "…"}
 *     GET  /v1/approvals/ID?token=…
 *
 * It decides nothing: a well-formed request becomes a vote that somebody else judges, and its
 * connection sleeps until then. Bodies, connections and requests a second are bounded.
 */
#ifndef WEIR_NOTIFY_ANSWERS_H
#define WEIR_NOTIFY_ANSWERS_H

#include "token.h"

enum {
	ANSWERS_BODY_MAX = 4096,
	ANSWERS_CONNECTIONS_MAX = 64,
	ANSWERS_WHO_MAX = 64,     /* bytes, NUL included; what records hold of it */
	ANSWERS_REASON_MAX = 512, /* bytes, NUL included */
	ANSWERS_BURST = 20,       /* requests that one uid has at once, */
	ANSWERS_PER_SECOND = 5, /* and gains: tokens are not guessed, the warden is not kept busy */
};

enum vote_kind { VOTE_STATUS, VOTE_APPROVE, VOTE_DENY };

struct vote {
	uint64_t request; /* names it in answers_settle */
	enum vote_kind kind;
	const char *id, *token, *who, *reason; /* live until answers_settle; "" = not told */
	int fd; /* the connection that it came by: the asker's credentials are the socket's */
};

struct answers_stats {
	uint64_t requests, limited;
};

struct answers;

/* Serves on a listening socket. Consumes it on success. 0, -ENOMEM, -EINVAL it cannot be served. */
int answers_new(int listener, struct answers **ret) __must_check;
struct answers *answers_free(struct answers *a);
/* Readable when answers_run has something to do. */
int answers_fd(const struct answers *a);
/* When it wants to run again, at most max_ms. */
unsigned answers_timeout_ms(struct answers *a, unsigned max_ms);
void answers_run(struct answers *a);
/* The next vote that was not handed out. */
bool answers_next(struct answers *a, struct vote *ret);
/*
 * How it was judged: 0; -EACCES token or operation unknown; -EPERM the asker may not answer; -ENOENT no
 * longer waiting; -EEXIST answered before; -ENOTCONN, -ETIMEDOUT, … try later. status: how the
 * operation stands, may be "". An unknown request is fine: its connection may have ended.
 */
void answers_settle(struct answers *a, uint64_t request, int how, const char *status);
void answers_stats(const struct answers *a, struct answers_stats *ret);

#endif
