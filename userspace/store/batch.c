/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path: records gathered in memory, written in one transaction a turn. */
#include <assert.h>
#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#include "store_int.h"

enum {
	BATCH_MEM_FIRST = 64 << 10,
	BATCH_MEM_KEEP = 4 << 20,
	COMMIT_ROOM = 1 << 20,
	DRAIN_BYTES =
		1 << 20, /* of journal in one transaction: how long the writer's lock is held */
};

/* Before each record in the batch's memory. */
struct rec {
	uint32_t len; /* of the value behind the header */
	uint32_t seq; /* events */
	uint64_t
		data; /* sessions: facts by which they are indexed; their strings are in the value */
	struct ulid id;
	bool is_event;
	uint8_t pad[7];
};

struct store_batch {
	struct store *store;
	uint8_t *mem;
	size_t len, cap;
	ZSTD_CCtx *zstd;
	struct arena arena; /* to index a session: its record decoded */
	int err;            /* a put has failed: the batch is not whole and never gets written */
};

int store_batch_new(struct store *s, struct store_batch **ret)
{
	struct store_batch *b = calloc(1, sizeof(*b));

	assert(s->mode == STORE_WRITE);
	if (!b)
		return -ENOMEM;
	b->store = s;
	b->zstd = ZSTD_createCCtx();
	arena_init(&b->arena, 1 << 20);
	if (!b->zstd)
		return store_batch_free(b), -ENOMEM;
	*ret = b;
	return 0;
}

struct store_batch *store_batch_free(struct store_batch *b)
{
	if (b) {
		ZSTD_freeCCtx(b->zstd);
		arena_done(&b->arena);
		free(b->mem);
		free(b);
	}
	return NULL;
}

size_t store_batch_bytes(const struct store_batch *b)
{
	return b->len;
}

static void batch_clear(struct store_batch *b)
{
	b->len = 0;
	b->err = 0;
	if (b->cap > BATCH_MEM_KEEP) {
		free(b->mem);
		b->mem = NULL;
		b->cap = 0;
	}
}

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* Room for a record whose value takes at most `bound` bytes. */
static int batch_reserve(struct store_batch *b, size_t bound)
{
	size_t need, cap = b->cap ? b->cap : BATCH_MEM_FIRST;
	uint8_t *mem;

	if (b->err)
		return b->err;
	if (__builtin_add_overflow(b->len, bound + sizeof(struct rec) + 8, &need) ||
	    bound > STORE_BATCH_MAX || need > STORE_BATCH_MAX)
		return b->err = -EMSGSIZE;
	if (need <= b->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	mem = realloc(b->mem, cap);
	if (!mem)
		return b->err = -ENOMEM;
	b->mem = mem;
	b->cap = cap;
	return 0;
}

int store_put_session(struct store_batch *b, const struct store_session *sess)
{
	uint64_t id_ns = ulid_time_ns(&sess->id);
	struct rec *rec;
	int r;

	/* Queries by time go by the id. */
	if (id_ns > sess->start_ns + STORE_TIME_SLACK_NS ||
	    sess->start_ns > id_ns + STORE_TIME_SLACK_NS)
		return -EINVAL;
	r = batch_reserve(b, store_session_bound(sess));
	if (r < 0)
		return r;
	rec = (struct rec *)(b->mem + b->len);
	*rec = (struct rec){ .id = sess->id, .data = store_session_facts(sess) };
	rec->len = (uint32_t)store_session_encode(sess, (uint8_t *)(rec + 1));
	b->len += sizeof(*rec) + padded(rec->len);
	return 0;
}

int store_put_event(struct store_batch *b, struct store_session *sess, struct store_event *ev)
{
	struct rec *rec;
	int r;

	if (sess->n_events == UINT32_MAX ||
	    (ev->type == STORE_DATA && ev->data.len > STORE_DATA_MAX))
		return b->err = -EMSGSIZE;
	r = batch_reserve(b, store_event_bound(ev));
	if (r < 0)
		return r;
	ev->seq = sess->n_events++;
	rec = (struct rec *)(b->mem + b->len);
	*rec = (struct rec){ .id = sess->id, .seq = ev->seq, .is_event = true };
	rec->len = (uint32_t)store_event_encode(ev, b->zstd, (uint8_t *)(rec + 1));
	b->len += sizeof(*rec) + padded(rec->len);
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------ */

struct writer {
	struct store *store;
	MDB_txn *txn;
	MDB_cursor *event, *session, *index;
	struct arena *arena;
};

static int index_put(struct writer *w, const uint8_t *key, size_t key_len, const struct ulid *id)
{
	uint8_t posting[STORE_POSTING];
	MDB_val k = store_val(key, key_len), v = store_val(posting, sizeof(posting));
	int rc;

	store_key(posting, id, 0);
	rc = mdb_cursor_put(w->index, &k, &v, MDB_NODUPDATA);
	return rc == MDB_KEYEXIST ? 0 : store_errno(rc);
}

static int index_session(struct writer *w, const struct ulid *id, struct slice value)
{
	uint8_t key[STORE_KEY_MAX];
	struct store_session sess;
	int r;

	arena_reset(w->arena);
	r = store_session_decode(value, id, w->arena, &sess);
	if (r < 0)
		return r;
	if (!w->index) {
		r = store_errno(mdb_cursor_open(w->txn, w->store->dbi[DB_INDEX], &w->index));
		if (r < 0)
			return r;
	}
	r = index_put(w, key, store_index_key_u64(key, KIND_CGROUP_ID, sess.identity.cgroup_id),
		      id);
	if (!r)
		r = index_put(
			w, key,
			store_index_key(key, KIND_CGROUP, slice_str(sess.identity.cgroup_path)),
			id);
	if (!r && sess.identity.container[0])
		r = index_put(
			w, key,
			store_index_key(key, KIND_CONTAINER, slice_str(sess.identity.container)),
			id);
	if (!r && sess.target[0])
		r = index_put(w, key, store_index_key(key, KIND_TARGET, slice_str(sess.target)),
			      id);
	return r;
}

static int write_session(struct writer *w, const struct rec *rec, struct slice value)
{
	static const uint8_t none_indexed[4];
	MDB_val key = store_val(rec->id.bytes, 16), old, v = store_val(value.ptr, value.len);
	enum store_state state = STORE_SESSION_ENDED;
	uint64_t facts = ~rec->data;
	int rc, r;

	rc = mdb_cursor_get(w->session, &key, &old, MDB_SET);
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	/* A damaged old record counts as none: everything is written anew. */
	if (!rc && !store_session_peek(store_slice(old), &state, &facts))
		facts = ~rec->data;
	if (facts != rec->data) {
		r = index_session(w, &rec->id, value);
		if (r < 0)
			return r;
	}
	if (state != STORE_SESSION_OPEN) {
		MDB_val zero = store_val(none_indexed, sizeof(none_indexed));

		/* New, or an ended one that may get further events. */
		rc = mdb_put(w->txn, w->store->dbi[DB_OPEN], &key, &zero, MDB_NOOVERWRITE);
		if (rc && rc != MDB_KEYEXIST)
			return store_errno(rc);
	}
	return store_errno(mdb_cursor_put(w->session, &key, &v, 0));
}

static int write_event(struct writer *w, const struct rec *rec, struct slice value)
{
	uint8_t key[STORE_EVENT_KEY];
	MDB_val k = store_val(key, sizeof(key)), v = store_val(value.ptr, value.len);

	store_key(key, &rec->id, rec->seq);
	return store_errno(mdb_cursor_put(w->event, &k, &v, 0));
}

/* The records of a batch, as they lie in its memory or in the journal. */
static int write_all(struct writer *w, struct slice recs)
{
	int r = 0;

	for (size_t at = 0; at < recs.len && !r;) {
		const struct rec *rec = (const struct rec *)(const void *)(recs.ptr + at);
		struct slice value = slice_of(rec + 1, rec->len);

		/* The journal's checksum says that we wrote it; still, never read past its end. */
		if (recs.len - at < sizeof(*rec) || recs.len - at - sizeof(*rec) < rec->len)
			return -EBADMSG;
		r = rec->is_event ? write_event(w, rec, value) : write_session(w, rec, value);
		at += sizeof(*rec) + padded(rec->len);
	}
	return r;
}

static int writer_begin(struct writer *w)
{
	int r = store_txn_begin(w->store, 0, &w->txn);

	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(w->txn, w->store->dbi[DB_EVENT], &w->event));
	if (!r)
		r = store_errno(mdb_cursor_open(w->txn, w->store->dbi[DB_SESSION], &w->session));
	if (r < 0)
		mdb_txn_abort(w->txn); /* closes the cursors of a write transaction as well */
	return r;
}

static void dirty_all(struct store *s, struct slice recs)
{
	for (size_t at = 0; at < recs.len;) {
		const struct rec *rec = (const struct rec *)(const void *)(recs.ptr + at);

		store_dirty_add(s, &rec->id);
		at += sizeof(*rec) + padded(rec->len);
	}
}

void store_dirty_add(struct store *s, const struct ulid *id)
{
	pthread_mutex_lock(&s->dirty_lock);
	if (s->n_dirty && !ulid_cmp(&s->dirty[s->n_dirty - 1], id))
		;
	else if (s->n_dirty < STORE_DIRTY_MAX)
		s->dirty[s->n_dirty++] = *id;
	else
		s->scan_all = true;
	pthread_mutex_unlock(&s->dirty_lock);
}

/* LMDB calls a write that the disk had only half the room for an I/O error. */
static int commit_error(const struct store *s, int r)
{
	struct statvfs vfs;

	if (r == -EIO && fstatvfs(s->lock_fd, &vfs) == 0 &&
	    vfs.f_bavail < COMMIT_ROOM / MAX(vfs.f_frsize, 1ul))
		return -ENOSPC;
	return r;
}

/* Straight into LMDB. */
static int commit_direct(struct store *s, struct arena *arena, struct slice recs)
{
	struct writer w = { .store = s, .arena = arena };
	int r = writer_begin(&w);

	if (r < 0)
		return commit_error(s, r);
	r = write_all(&w, recs);
	if (r < 0)
		mdb_txn_abort(w.txn);
	else
		r = store_errno(mdb_txn_commit(w.txn));
	if (!r)
		dirty_all(s, recs);
	return commit_error(s, r);
}

/* ---- from the journal into LMDB --------------------------------------------------------------- */

int store_journal_tail(struct store *s, MDB_txn *txn, uint64_t *ret)
{
	MDB_val k = store_val("journal", 7), v;
	int rc = mdb_get(txn, s->dbi[DB_META], &k, &v);

	*ret = 0;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (!rc && v.mv_size != sizeof(*ret))
		return -EPROTO;
	if (!rc)
		memcpy(ret, v.mv_data, sizeof(*ret));
	return store_errno(rc);
}

/* Tells the index thread of what is now in LMDB. */
static void dirty_between(struct store *s, uint64_t from, uint64_t to)
{
	struct slice recs;

	while (from < to && journal_read(s->journal, &from, &recs))
		dirty_all(s, recs);
}

/* One transaction's worth: entries and how far they reach, all or nothing. 1 = there may be more. */
static int drain_some(struct store *s)
{
	struct writer w = { .store = s, .arena = &s->drain_arena };
	uint64_t from = journal_tail(s->journal), done = from, pos = from;
	MDB_val k = store_val("journal", 7), v = store_val(&done, sizeof(done));
	struct slice recs;
	int r;

	if (!journal_read(s->journal, &pos, &recs))
		return 0;
	r = writer_begin(&w);
	if (r < 0)
		return commit_error(s, r);
	do {
		r = write_all(&w, recs);
		done = pos;
	} while (!r && done - from < DRAIN_BYTES && journal_read(s->journal, &pos, &recs));
	if (!r)
		r = store_errno(mdb_put(w.txn, s->dbi[DB_META], &k, &v, 0));
	if (r < 0)
		mdb_txn_abort(w.txn);
	else
		r = store_errno(mdb_txn_commit(w.txn));
	if (r < 0)
		return commit_error(s, r);
	dirty_between(s, from, done);
	journal_release(s->journal, done);
	return 1;
}

/* One transaction. The lock is not kept between two: a writer that waits for room needs but one. */
static int drain_step(struct store *s)
{
	int r;

	pthread_mutex_lock(&s->drain_lock);
	r = drain_some(s);
	__atomic_store_n(&s->drain_err, MIN(r, 0), __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->drain_lock);
	return r;
}

int store_drain(struct store *s)
{
	uint64_t head;
	int r = 1;

	if (!s->journal)
		return 0;
	/* Not to its end: writers may go on as fast as we do. */
	head = journal_head(s->journal);
	while (r > 0 && journal_tail(s->journal) < head)
		r = drain_step(s);
	return MIN(r, 0);
}

static int commit_journal(struct store *s, struct slice recs)
{
	int r = 0;

	/* What LMDB refuses now, it would refuse later: say so while the peers still wait. */
	if (__atomic_load_n(&s->drain_err, __ATOMIC_RELAXED))
		r = drain_step(s);
	if (r >= 0)
		r = journal_append(s->journal, recs);
	while (r == -EAGAIN) {
		r = drain_step(s);
		if (r >= 0)
			r = journal_append(s->journal, recs);
	}
	return r;
}

int store_commit(struct store_batch *b)
{
	struct store *s = b->store;
	struct slice recs = slice_of(b->mem, b->len);
	int r = b->err;

	if (!r && b->len) {
		if (s->journal && b->len <= journal_entry_max(s->journal)) {
			r = commit_journal(s, recs);
		} else {
			/* What this thread has committed before comes before it. */
			r = store_drain(s);
			if (!r)
				r = commit_direct(s, &b->arena, recs);
		}
	}
	batch_clear(b);
	return r;
}

/* ---- what a dead writer left ---------------------------------------------------------------- */

/* Counts and times from the events themselves: the record may be older than they are. */
static int interrupt_session(struct writer *w, struct store_session *sess, uint64_t now_ns)
{
	uint8_t key[STORE_EVENT_KEY];
	MDB_val k = store_val(key, sizeof(key)), v;
	struct arena arena;
	int rc;

	arena_init(&arena, (size_t)256 << 20);
	store_key(key, &sess->id, 0);
	sess->n_ops = sess->n_allowed = sess->n_held = sess->n_blocked = sess->n_errors = 0;
	sess->end_ns = sess->start_ns;
	rc = mdb_cursor_get(w->event, &k, &v, MDB_SET_RANGE);
	while (!rc && k.mv_size == sizeof(key) && !memcmp(k.mv_data, sess->id.bytes, 16)) {
		uint32_t seq = store_be32_get((const uint8_t *)k.mv_data + 16);
		struct store_event ev;
		struct op op;

		arena_reset(&arena);
		if (store_event_decode(store_slice(v), seq, &arena, &op, &ev) == 0) {
			sess->n_ops += ev.type == STORE_OP;
			sess->n_allowed += ev.type == STORE_OP && ev.verdict.kind == VERDICT_ALLOW;
			sess->n_held += ev.type == STORE_OP && ev.verdict.kind == VERDICT_HOLD;
			sess->n_blocked += ev.type == STORE_OP && ev.verdict.kind == VERDICT_BLOCK;
			sess->n_errors += ev.type == STORE_ERROR;
			if (ev.time_ns > sess->end_ns && ev.time_ns <= now_ns)
				sess->end_ns = ev.time_ns;
		}
		sess->n_events = MAX(sess->n_events, seq == UINT32_MAX ? seq : seq + 1);
		rc = mdb_cursor_get(w->event, &k, &v, MDB_NEXT);
	}
	arena_done(&arena);
	sess->state = STORE_SESSION_INTERRUPTED;
	sess->reason = "the proxy died under it";
	return rc && rc != MDB_NOTFOUND ? store_errno(rc) : 0;
}

static int interrupt_one(struct writer *w, const struct ulid *id, uint64_t now_ns)
{
	MDB_val k = store_val(id->bytes, 16), v;
	struct store_session sess;
	enum store_state state;
	uint64_t facts;
	uint8_t *copy;
	int rc, r;

	rc = mdb_get(w->txn, w->store->dbi[DB_SESSION], &k, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
	if (!store_session_peek(store_slice(v), &state, &facts) || state != STORE_SESSION_OPEN)
		return 0; /* ended, only not indexed to its end; or damaged, which is left to be seen */
	arena_reset(w->arena);
	r = store_session_decode(store_slice(v), id, w->arena, &sess);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	r = interrupt_session(w, &sess, now_ns);
	if (r < 0)
		return r;
	copy = malloc(store_session_bound(&sess));
	if (!copy)
		return -ENOMEM;
	v = store_val(copy, store_session_encode(&sess, copy));
	r = store_errno(mdb_put(w->txn, w->store->dbi[DB_SESSION], &k, &v, 0));
	free(copy);
	return r < 0 ? r : 1;
}

/* Some at a time, so that no transaction grows without bound. Advances *id; 0 at the end. */
static int interrupt_some(struct store *s, struct ulid *id, bool *first, uint64_t now_ns,
			  int *total)
{
	struct arena arena;
	struct writer w = { .store = s, .arena = &arena };
	MDB_cursor *open = NULL;
	MDB_val k = store_val(id->bytes, 16), v;
	int rc, r, n = 0, closed = 0;

	arena_init(&arena, 1 << 20);
	r = store_txn_begin(s, 0, &w.txn);
	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(w.txn, s->dbi[DB_EVENT], &w.event));
	if (!r)
		r = store_errno(mdb_cursor_open(w.txn, s->dbi[DB_OPEN], &open));
	rc = r ? MDB_NOTFOUND : mdb_cursor_get(open, &k, &v, MDB_SET_RANGE);
	if (!rc && !*first && k.mv_size == 16 && !memcmp(k.mv_data, id->bytes, 16))
		rc = mdb_cursor_get(open, &k, &v, MDB_NEXT);
	for (; !rc && n < 256 && r >= 0; n++) {
		if (k.mv_size == 16) {
			memcpy(id->bytes, k.mv_data, 16);
			r = interrupt_one(&w, id, now_ns);
			closed += r > 0;
		}
		rc = mdb_cursor_get(open, &k, &v, MDB_NEXT);
	}
	arena_done(&arena);
	*first = false;
	if (r < 0) {
		mdb_txn_abort(w.txn);
		return r;
	}
	r = store_errno(mdb_txn_commit(w.txn));
	*total += r ? 0 : closed;
	return r ? r : n;
}

int store_close_interrupted(struct store *s, uint64_t now_ns)
{
	struct ulid id = { { 0 } };
	bool first = true;
	int total = 0, r = store_drain(s);

	if (r < 0)
		return r;
	do
		r = interrupt_some(s, &id, &first, now_ns, &total);
	while (r > 0);
	return r < 0 ? r : total;
}
