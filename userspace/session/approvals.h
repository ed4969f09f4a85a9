/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on hold: what waits for people's word, and what they said. One table a process. The
 * worker of a session asks, waits and settles; other threads list and answer. All calls that take the
 * table are thread-safe; a struct approval belongs to the worker that asked.
 *
 * The bytes that were held stay in the session's handler, undecided: what is approved is what was
 * asked for because nothing else can be let go by that decision. The digest names them for people and
 * records.
 */
#ifndef WEIR_SESSION_APPROVALS_H
#define WEIR_SESSION_APPROVALS_H

#include "base/buf.h"
#include "base/sha256.h"
#include "net/loop.h"
#include "policy/policy.h"
#include "store/store.h"

enum {
	APPROVALS_MAX = 16384,                   /* at once: an agent that asks without end */
	APPROVALS_BYTES_MAX = 256 * 1024 * 1024, /* of what is kept to show them */
	APPROVAL_PEOPLE_MAX = 64,                /* that one hold may need */
	APPROVAL_WHO_MAX = 64,           /* bytes, NUL included: "uid:1000", "webhook:chat" */
	APPROVAL_TEXT_MAX = 512,         /* bytes of a reason, NUL included */
	APPROVAL_JSON_MAX = 256 * 1024,  /* of one in full; longer text is cut, and says so */
	APPROVALS_REMEMBERED_MAX = 4096, /* answers that hold on; the oldest goes first */
	APPROVALS_SETTLED_MAX = 1024,    /* how they ended, for who asks late */
	APPROVALS_NEWS_MAX = 4096,       /* settled ones that nobody took notice of yet */
};

enum approval_state {
	APPROVAL_WAITING,
	APPROVAL_APPROVED,
	APPROVAL_DENIED,
	APPROVAL_EXPIRED, /* nobody answered in time */
	APPROVAL_GONE,    /* the asker left, its server did, or Weir ends */
};
extern const char *const approval_state_names[]; /* "waiting", "approved", … */

/* Somebody's word. */
struct approval_answer {
	bool allow;
	uint32_t uid, pid;
	uint64_t time_ns;           /* realtime */
	char key[APPROVAL_WHO_MAX]; /* two answers under one key are of one person */
	char who[APPROVAL_WHO_MAX]; /* as the answerer says; "" = key says it */
	char reason[APPROVAL_TEXT_MAX];
};

struct approvals;

/* Where a worker hears of answers. Its loop is woken. */
struct approvals_inbox {
	struct loop *loop;
	struct list_node _news; /* guarded by the table's lock */
};

struct approval {
	struct ulid id;
	void *owner; /* of whoever asked */
	struct list_node in_owner;
	struct loop_due due;
	uint64_t op_id;
	const struct op *op; /* borrowed from the handler until it is decided */
	const char *rule;    /* own copies */
	const char *message; /* "" = none */
	unsigned needed;
	uint64_t asked_ns, deadline_ns; /* realtime */
	uint8_t digest
		[SHA256_LEN]; /* of everything shown: session, target, verb, text, parameters … */
	bool remember_session;
	uint64_t remember_ns;
	unsigned n_recorded; /* answers that the owner has taken */
	/* Guarded by the table's lock. */
	struct list_node _all, _inbox, _news;
	struct approvals_inbox *_box;
	enum approval_state _state;
	struct approval_answer *_answers;
	unsigned _n_answers, _n_allow;
	bool _told;               /* news of it was taken */
	uint8_t _key[SHA256_LEN]; /* under which its approval is remembered */
	struct ulid _session;
	char *_head, *_detail; /* JSON members: who asks and what; objects, parameters … */
	uint8_t *_text;
	size_t _text_len, _cost;
	bool _cut;
	char _id[ULID_TEXT_MAX];
};

/* news: keep what approvals_news gives. 0 or -ENOMEM. */
int approvals_new(bool news, struct approvals **ret) __must_check;
/* Nothing waits any more. */
struct approvals *approvals_free(struct approvals *t);

/* ---- the worker's side ----------------------------------------------------------------------- */

void approvals_inbox_init(struct approvals_inbox *in, struct loop *loop);

/* What is asked for. All borrowed for the call. */
struct approval_ask {
	const struct store_session *session;
	const struct op *op;
	const struct verdict *verdict;
	const char *policy;
	const uint8_t *policy_hash; /* 32 bytes */
	const char *target;
	uint64_t real_ns, mono_ns;
};

/*
 * Puts one on the table. 0; -ENOSPC too much waits; -ENOMEM; ulid_new's. It is the caller's to settle
 * and free.
 */
int approvals_ask(struct approvals *t, const struct approval_ask *ask, struct approvals_inbox *in,
		  void *owner, struct approval **ret) __must_check;
/* The next that has answers its owner has not taken, or NULL. */
struct approval *approvals_take(struct approvals *t, struct approvals_inbox *in);
/* The next answer that was not taken: 1 with *ret, or 0. */
int approvals_answer_next(struct approvals *t, struct approval *a, struct approval_answer *ret);
/*
 * Ends the waiting as `state` unless answers ended it before; says how it ended. Waiting itself only
 * asks. Of an ended one no more answers are taken.
 */
enum approval_state approvals_settle(struct approvals *t, struct approval *a,
				     enum approval_state state, const char *reason);
/* Keeps the approval for operations like this one, as its rule says. */
void approvals_remember(struct approvals *t, const struct approval *a, uint64_t mono_ns);
/* Was one like it approved, and does that still hold? *ret_id is of that approval. */
bool approvals_recall(struct approvals *t, const struct approval_ask *ask, struct ulid *ret_id);
/* The session ended: what was remembered for it alone goes. */
void approvals_forget(struct approvals *t, const struct ulid *session);
/* approvals_settle has said how it ended. NULL is fine. */
struct approval *approval_free(struct approval *a);

/* ---- everybody's ----------------------------------------------------------------------------- */

size_t approvals_waiting(struct approvals *t);

/*
 * One JSON object a line into b, oldest first: all (texts cut to their heads), or the one whose id
 * begins with `id` in full. Stops before b is full. Returns how many of them, or -ENOENT, -ENOTUNIQ
 * (only with an id), -ENOMEM.
 */
int approvals_list(struct approvals *t, const char *id, struct buf *b) __must_check;

/*
 * Somebody's word on the one whose id begins with `id`. 0 it counted, *ret_state says how it stands
 * now; -ENOENT nothing waits under that id, *ret_state how it ended when that is still known, else
 * APPROVAL_WAITING; -EEXIST this key has answered before; -ENOTUNIQ; -ENOMEM. ret_id is set with 0.
 */
int approvals_answer(struct approvals *t, const char *id, const struct approval_answer *answer,
		     enum approval_state *ret_state, char ret_id[ULID_TEXT_MAX]) __must_check;

/* What happened, for the notifier. */
struct approvals_event {
	char id[ULID_TEXT_MAX];
	enum approval_state state;                             /* WAITING: a new one */
	unsigned needed;                                       /* WAITING */
	uint64_t deadline_ns;                                  /* WAITING, realtime */
	char who[APPROVAL_WHO_MAX], reason[APPROVAL_TEXT_MAX]; /* settled */
};
/* Readable when there are news. */
int approvals_news_fd(const struct approvals *t);
/* The oldest news: 1, 0 when there are none, -ENOMEM. json gets a WAITING one in full, without a
 * newline. Settled ones whose asking nobody was told of are left out. */
int approvals_news(struct approvals *t, struct approvals_event *ret, struct buf *json) __must_check;

struct approvals_stats {
	uint64_t waiting, asked, approved, denied, expired, gone, remembered;
};
void approvals_stats(const struct approvals *t, struct approvals_stats *ret);

#endif
