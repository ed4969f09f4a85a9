/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session store: LMDB, one writing process, many readers. The only folder that knows LMDB.
 *
 *   session   ulid → identity, flow, target, policy, times, counts, verdict summary
 *   event     ulid ‖ seq (big-endian) → operation | data | result | note | error | end
 *   open      ulid → sessions that are not both ended and fully indexed
 *   index     cgroup id, cgroup path, container, target, verdict, rule, fingerprint, words
 *             → ulid ‖ block of 1024 events; time is in the ulid
 *   policy    hash → text
 *
 * Writing: each worker thread gathers the records of a loop turn in a batch of its own and commits
 * it before it writes a single byte to a socket; what store_commit has taken survives `kill -9` of
 * the process at any instant. It goes into a journal first (journal.h: one copy, no system call), and
 * from there into LMDB by store_drain, many turns in one transaction; readers wait for that, or do
 * it themselves when the writer is dead. Event indexes (terms, rule, fingerprint, verdict) are written behind
 * by store_index_step; readers also scan what is not indexed yet, so answers are always complete.
 * The index only narrows down: what decides is the record. An event with more different words than
 * the index takes (512) marks its block as one to be read whatever the words.
 *
 * Readers never block the writer, and no read transaction outlives a call: a reader that pauses
 * between two steps of a cursor does not keep the store from using pages again.
 *
 * With record.sync = "interval" a loss of power (not a killed process) may cost what was written
 * since the last store_sync; LMDB then relies on the file system having kept the order of writes.
 * Only "operation" holds against power loss on every file system.
 *
 * A store is opened once in a process: use the writer's struct store for reading as well. Functions
 * on a store may be called from any thread, on one batch or cursor from one at a time. Do not fork
 * and go on using it in the child.
 */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H

#include "base/addr.h"
#include "base/ulid.h"
#include "identity.h"
#include "op.h"
#include "proto.h"

enum store_mode { STORE_READ, STORE_WRITE };

struct store_config {
	const char *dir; /* made with mode 0750 (files 0640) when missing, STORE_WRITE only */
	enum store_mode mode;
	size_t map_size;     /* upper bound of the store in bytes; 0 = 64 GiB (sparse) */
	bool sync_each;      /* record.sync = "operation": every commit waits for the disk */
	size_t journal_size; /* bytes, a multiple of 4096, at least 64 KiB; 0 = 16 MiB */
};

struct store;

/*
 * 0; -ENOENT no store there (STORE_READ); -EBUSY another process writes it; -EACCES; -EPROTO made by
 * a version with another layout; -EIO and other negative errnos.
 */
int store_open(const struct store_config *cfg, struct store **ret) __must_check;
struct store *store_close(struct store *s);

/* One translator for LMDB's codes, for messages. Takes negative errnos too. */
const char *store_strerror(int err);

enum store_state {
	STORE_SESSION_OPEN,
	STORE_SESSION_ENDED,       /* closed by one of the peers, or as its protocol ends */
	STORE_SESSION_REFUSED,     /* by policy, before anything was forwarded */
	STORE_SESSION_FAILED,      /* malformed bytes, upstream unreachable, a limit */
	STORE_SESSION_INTERRUPTED, /* the proxy died under it */
};
extern const char *const store_state_names[]; /* "open", "ended", "refused", … */

/* A session record. The id must be made from start_ns (ulid_new(start_ns)). Written whole at the
 * start, and again when it changes; strings never NULL. */
struct store_session {
	struct ulid id;
	enum store_state state;
	uint64_t start_ns, end_ns; /* realtime; end 0 while open */
	struct identity identity;
	struct addr client;         /* the agent's end */
	struct addr dst;            /* where it wanted to go */
	struct addr upstream;       /* where Weir went; zero = not dialled */
	const char *target;         /* policy target's name, "" = none */
	const char *protocol;       /* "postgres", "http", "tcp", "" = not known yet */
	const char *policy;         /* policy's name */
	const uint8_t *policy_hash; /* 32 bytes, NULL = none */
	bool observed;              /* mode "observe": verdicts were recorded, not applied */
	uint64_t bytes_to_server, bytes_to_client;
	uint32_t n_ops, n_allowed, n_held, n_blocked, n_errors;
	uint32_t n_events;  /* the next event's seq */
	const char *reason; /* why it ended, for people; "" = ordinarily */
};

enum store_event_type {
	STORE_OP,     /* op and verdict */
	STORE_DATA,   /* bytes of op_id in direction dir */
	STORE_RESULT, /* how op_id was answered: attrs */
	STORE_NOTE,   /* attrs about the session */
	STORE_ERROR,  /* parse error, upstream failure, limit: text, spec, offset */
	STORE_END,
	/* What became of the hold of op_id. text: "asked", "answered" (a person's word), then how it
	 * ended: "approved", "denied", "expired", "gone", or "remembered" instead of all these. attrs
	 * as docs/approvals.md lists them: approval, who, uid, pid, reason … */
	STORE_APPROVAL,
};
/* "op", "data", "result", "note", "error", "end", "approval" */
extern const char *const store_event_names[];

/* One event. When reading, everything points into memory that the cursor owns until its next step. */
struct store_event {
	enum store_event_type type;
	uint32_t seq;
	uint64_t time_ns;       /* realtime */
	uint64_t op_id;         /* OP: op.id as well */
	const struct op *op;    /* OP */
	struct verdict verdict; /* OP */
	enum dir dir;           /* DATA, ERROR */
	struct slice data;      /* DATA */
	uint64_t data_skipped;  /* DATA: bytes of this stream left out before these (record_max) */
	const struct op_attr *attrs; /* RESULT, NOTE, APPROVAL */
	size_t n_attrs;
	bool failed;      /* RESULT */
	const char *text; /* NOTE, ERROR, END, APPROVAL */
	const char *spec; /* ERROR: "RFC 9112 §6.3" or "" */
	uint64_t offset;  /* ERROR: into the direction's stream */
};

/* ---- writing ------------------------------------------------------------------------------ */

/* Records of one loop turn, in memory. One thread each. */
struct store_batch;
int store_batch_new(struct store *s, struct store_batch **ret) __must_check;
struct store_batch *store_batch_free(struct store_batch *b);

/*
 * Gather; copies everything. The session's events get its n_events as seq, which is advanced; the
 * caller keeps the counts. A session is put at its start, no later than its first event, and again
 * with or after its last one. 0; -ENOMEM; -EMSGSIZE when the turn has gathered over 64 MiB or a DATA
 * event has over 16 MiB; -EINVAL when id and start_ns differ by more than a minute. After a failure
 * other than -EINVAL the batch is spoilt: store_commit drops it and returns that error.
 */
int store_put_session(struct store_batch *b, const struct store_session *sess) __must_check;
int store_put_event(struct store_batch *b, struct store_session *sess,
		    struct store_event *ev) __must_check;

static inline bool store_batch_empty(const struct store_batch *b);
size_t store_batch_bytes(const struct store_batch *b);

/*
 * Writes the batch in one transaction and empties it. All or nothing: on failure nothing of it is
 * in the store, the batch is empty, and no byte of the sessions in it may be forwarded. 0; -ENOSPC
 * disk or map full; -EIO; -ENOMEM.
 */
int store_commit(struct store_batch *b) __must_check;

/*
 * Moves what commits have taken on into LMDB. Called by a background thread of the writing process
 * every few milliseconds (store_index_step does it first); by store_commit itself when the journal
 * is full. On failure nothing is lost, and commits fail until it works again. 0; -ENOSPC …
 */
int store_drain(struct store *s) __must_check;

/* Sessions that a dead writer left open become INTERRUPTED, with end time and counts from their
 * events (none later than now_ns). Once, after store_open. Returns how many, or a negative errno. */
int store_close_interrupted(struct store *s, uint64_t now_ns) __must_check;

/* Indexes up to max_events that are not indexed yet; returns how many sessions it went through, 0 =
 * all done. Called by a background thread of the writing process; 4096 is a good number. It takes
 * the writer's lock for short times only. */
int store_index_step(struct store *s, unsigned max_events) __must_check;

/* Flushes to disk (record.sync = "interval"). */
int store_sync(struct store *s) __must_check;

/* The text of a policy under its hash, once. */
int store_put_policy(struct store *s, const uint8_t hash[32], struct slice text) __must_check;
/* A heap copy, NUL-terminated, the caller frees; -ENOENT. */
int store_get_policy(struct store *s, const uint8_t hash[32], char **ret) __must_check;

/* ---- reading ------------------------------------------------------------------------------ */

/* What to look for. Zero or NULL = any. All given ones must hold; those about operations (verdict,
 * rule, fingerprint, words) of one and the same event. Copied by the functions that take it. */
struct store_query {
	const char *cgroup; /* path glob ('/' as separator) or a path prefix ("/a" finds "/a/b") */
	uint64_t cgroup_id;
	const char
		*container; /* glob over container id or name; a prefix of at least 12 hex digits */
	const char *target; /* glob */
	const char *protocol;
	const char *label_key, *label_value;
	int verdict;      /* -1 = any; else sessions with at least one such operation */
	const char *rule; /* sessions with an operation decided by it */
	uint64_t fingerprint;
	uint64_t since_ns, until_ns; /* start time, until exclusive */
	uint32_t pid, uid;           /* UINT32_MAX = any */
	/* Every one of them, whatever the case, as whole words: "users" does not find "users2", "use*"
	 * does; "public.users" finds just that. */
	const char *const *words;
	size_t n_words;
	bool newest_first;
	size_t limit; /* 0 = all */
};
#define STORE_QUERY_ANY \
	((struct store_query){ .verdict = -1, .pid = UINT32_MAX, .uid = UINT32_MAX })

/* A session cursor, ordered by id and so by start. Each result lives until the next step. */
struct store_sessions;
int store_sessions_open(struct store *s, const struct store_query *q,
			struct store_sessions **ret) __must_check;
/* 1 with *ret, 0 at the end, or a negative errno. -EBADMSG: this record is damaged, only its id is
 * set; the next step goes on behind it (so do the other cursors; events: seq). */
int store_sessions_next(struct store_sessions *c, struct store_session *ret) __must_check;
struct store_sessions *store_sessions_close(struct store_sessions *c);

/* One session by its id, or by a unique prefix of its text (at least 4 letters); copied into memory
 * that *ret_mem owns (free it). -ENOENT; -EEXIST when the prefix is not unique; -EINVAL when it is
 * no prefix of an id at all; -EBADMSG. */
int store_session_get(struct store *s, const char *id_or_prefix, struct store_session *ret,
		      void **ret_mem) __must_check;

/* All events of one session from seq `from` on. */
struct store_events;
int store_events_open(struct store *s, const struct ulid *id, uint32_t from,
		      struct store_events **ret) __must_check;
int store_events_next(struct store_events *c, struct store_event *ret) __must_check;
struct store_events *store_events_close(struct store_events *c);

/* Search: single OP events that match the query (words over verb, text, objects, parameters, text
 * attributes); with words also NOTE and ERROR events by their texts. Gives the session and the
 * event. newest_first turns the order of events within a session as well. */
struct store_hits;
int store_hits_open(struct store *s, const struct store_query *q,
		    struct store_hits **ret) __must_check;
int store_hits_next(struct store_hits *c, struct store_session *ret_sess,
		    struct store_event *ret_ev) __must_check;
struct store_hits *store_hits_close(struct store_hits *c);

static inline bool store_batch_empty(const struct store_batch *b)
{
	return store_batch_bytes(b) == 0;
}

#endif
