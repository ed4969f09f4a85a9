/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded operations judged anew by another policy. What a record does not hold is not guessed: the
 * answer is then "cannot tell".
 */
#ifndef WEIR_CLI_POLICY_AGAIN_H
#define WEIR_CLI_POLICY_AGAIN_H

#include "base/arena.h"
#include "base/buf.h"
#include "policy/policy.h"
#include "session/names.h"
#include "store/store.h"

/* What a policy asks for that records may lack. */
struct policy_asks {
	bool body;         /* conditions on what is in a request's content … */
	bool body_permits; /* … of rules that allow */
};

struct policy_again {
	struct policy_set *set;
	const struct policy *one; /* used for all; NULL: each session's by its identity */
	struct names *names;      /* of the policies' hosts, as they resolve now */
};

/* Takes neither; both outlive it. */
void policy_again_init(struct policy_again *g, struct policy_set *set, const struct policy *one);
void policy_again_done(struct policy_again *g);

struct again_op {
	const struct store_event *event; /* the record */
	const struct op *op;             /* as it was judged now */
	struct verdict verdict;  /* now; when cannot_tell the most restrictive that is possible */
	const char *cannot_tell; /* why not; NULL = the verdict is certain */
	const struct policy *policy;        /* NULL: none is for this agent */
	const struct policy_target *target; /* NULL: the connection is refused */
};

/* The operations of one session, in order. */
struct again_session {
	struct policy_again *again;
	struct store *store;
	const struct store_session *sess;
	const struct policy *policy;
	const struct policy_target *target;
	const char *no_target; /* cannot_tell of all; NULL = certain */
	struct policy_asks asks;
	struct policy_session counters;
	struct store_events *events;
	struct store_event event; /* the one at hand */
	struct arena mem;         /* of the operation at hand */
	struct buf body;
	struct op op;
};

/* sess outlives it. 0 or a negative errno of the store. */
int again_open(struct policy_again *g, struct store *s, const struct store_session *sess,
	       struct again_session *ret) __must_check;
/* 1 with *ret, borrowed until the next; 0 at the end; -EBADMSG one record is damaged, go on; others. */
int again_next(struct again_session *a, struct again_op *ret) __must_check;
void again_close(struct again_session *a);

#endif
