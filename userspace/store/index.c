/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the indexes of events, behind the hot path. Postings are gathered under a read
 * transaction, sorted (neighbours in the tree are written together), and put in short write
 * transactions, so that no worker waits long for the writer's lock. indexed_seq is advanced last:
 * a crash in between leaves postings that are written again, never events that are passed over.
 */
#include <errno.h>

#include "store_int.h"

enum {
	SEEN_SLOTS = 1 << 16,
	PUTS_PER_TXN = 256,
	KEYS_MAX = 32 << 20, /* bytes of keys gathered in one step; a step ends early there */
};

struct posting {
	size_t key; /* offset into keys */
	uint16_t key_len;
	uint8_t value[STORE_POSTING];
};

struct progress {
	struct ulid id;
	uint32_t indexed;
};

struct indexer {
	struct hash_key hash;
	uint64_t *seen; /* hashes of (block, key) that are in the index already: direct-mapped */
	struct posting *postings;
	size_t n_postings, postings_cap;
	uint8_t *keys;
	size_t keys_len, keys_cap;
	struct progress progress[STORE_DIRTY_MAX];
	size_t n_progress;
	struct ulid work[STORE_DIRTY_MAX];
	size_t n_work;
	struct ulid scan_pos; /* how far the walk over `open` has come */
	struct arena arena;
};

static struct indexer *indexer_free(struct indexer *ix)
{
	if (ix) {
		free(ix->seen);
		free(ix->postings);
		free(ix->keys);
		arena_done(&ix->arena);
		free(ix);
	}
	return NULL;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	if (s->journal)
		store_settle(s);
	s->journal = journal_close(s->journal);
	s->view = journal_view_close(s->view);
	arena_done(&s->drain_arena);
	(void)indexer_free(s->indexer);
	if (s->env)
		mdb_env_close(s->env);
	close_p(&s->lock_fd);
	pthread_mutex_destroy(&s->drain_lock);
	pthread_mutex_destroy(&s->dirty_lock);
	pthread_mutex_destroy(&s->index_lock);
	free(s);
	return NULL;
}

static int indexer_new(struct indexer **ret)
{
	struct indexer *ix = calloc(1, sizeof(*ix));

	if (!ix)
		return -ENOMEM;
	arena_init(&ix->arena, (size_t)256 << 20);
	ix->seen = calloc(SEEN_SLOTS, sizeof(*ix->seen));
	/* A peer chooses the words; under a fixed key it could make two of them hash alike. */
	if (!ix->seen || hash_key_random(&ix->hash) < 0) {
		(void)indexer_free(ix);
		return -ENOMEM;
	}
	*ret = ix;
	return 0;
}

static int grow(void **mem, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap : 1024;
	void *p;

	if (need <= *cap)
		return 0;
	while (n < need)
		n *= 2;
	p = realloc(*mem, n * size);
	if (!p)
		return -ENOMEM;
	*mem = p;
	*cap = n;
	return 0;
}

/* Whether this was met before; remembers it. */
static bool seen(struct indexer *ix, const uint8_t value[STORE_POSTING], struct slice what)
{
	struct hash_key key = ix->hash;
	uint64_t h;

	key.k0 ^= hash_bytes(slice_of(value, STORE_POSTING), ix->hash);
	h = hash_bytes(what, key) | 1; /* 0 is an empty slot */
	if (ix->seen[h >> 48 & (SEEN_SLOTS - 1)] == h)
		return true;
	ix->seen[h >> 48 & (SEEN_SLOTS - 1)] = h;
	return false;
}

static int add(struct indexer *ix, const uint8_t value[STORE_POSTING], const uint8_t *key,
	       size_t key_len)
{
	struct posting *p;

	if (seen(ix, value, slice_of(key, key_len)))
		return 0;
	if (grow((void **)&ix->postings, &ix->postings_cap, ix->n_postings + 1,
		 sizeof(*ix->postings)) < 0 ||
	    grow((void **)&ix->keys, &ix->keys_cap, ix->keys_len + key_len, 1) < 0)
		return -ENOMEM;
	p = &ix->postings[ix->n_postings++];
	p->key = ix->keys_len;
	p->key_len = (uint16_t)key_len;
	memcpy(p->value, value, STORE_POSTING);
	memcpy(ix->keys + ix->keys_len, key, key_len);
	ix->keys_len += key_len;
	return 0;
}

static int add_words(struct indexer *ix, const uint8_t value[STORE_POSTING],
		     const struct store_event *ev)
{
	uint8_t key[STORE_KEY_MAX], term[STORE_TERM_MAX];
	size_t before = ix->n_postings;
	struct slice text, word;
	int r = 0;

	for (size_t n = 0; term_event_text(ev, n, &text) && !r; n++) {
		for (size_t pos = 0; term_next(text, &pos, &word) && !r;) {
			if (ix->n_postings - before >= STORE_TERMS_MAX)
				return add(ix, value, key,
					   store_index_key(key, KIND_OVERFLOW, SLICE_NONE));
			r = add(ix, value, key,
				store_index_key(key, KIND_WORD,
						slice_of(term, term_fold(word, term))));
		}
	}
	return r;
}

static int add_event(struct indexer *ix, const struct ulid *id, uint32_t seq, struct slice rec)
{
	uint8_t value[STORE_POSTING], key[STORE_KEY_MAX], verdict;
	int type = store_event_peek(rec), r;
	struct store_event ev;
	struct op op;

	if (!store_event_searchable(type))
		return 0;
	arena_reset(&ix->arena);
	r = store_event_decode(rec, seq, &ix->arena, &op, &ev);
	if (r < 0)
		return r == -EBADMSG ? 0 : r; /* damaged: no reader can match it either */
	store_key(value, id, seq / STORE_BLOCK);
	if (type != STORE_OP)
		return add_words(ix, value, &ev);
	verdict = (uint8_t)ev.verdict.kind;
	r = add(ix, value, key, store_index_key(key, KIND_VERDICT, slice_of(&verdict, 1)));
	if (!r && ev.verdict.rule[0])
		r = add(ix, value, key,
			store_index_key(key, KIND_RULE, slice_str(ev.verdict.rule)));
	if (!r && op.fingerprint)
		r = add(ix, value, key, store_index_key_u64(key, KIND_FINGERPRINT, op.fingerprint));
	return r ? r : add_words(ix, value, &ev);
}

/* Events of one session from where the index ends, at most *budget. */
static int gather_session(struct store *s, struct indexer *ix, MDB_txn *txn, MDB_cursor *events,
			  const struct ulid *id, unsigned *budget)
{
	uint8_t key[STORE_EVENT_KEY];
	MDB_val k = store_val(id->bytes, 16), v;
	uint32_t next;
	int rc, r = 0;

	rc = mdb_get(txn, s->dbi[DB_OPEN], &k, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
	next = v.mv_size == 4 ? store_be32_get(v.mv_data) : 0;
	store_key(key, id, next);
	k = store_val(key, sizeof(key));
	rc = mdb_cursor_get(events, &k, &v, MDB_SET_RANGE);
	while (!rc && *budget && ix->keys_len < KEYS_MAX && k.mv_size == sizeof(key) &&
	       !memcmp(k.mv_data, id->bytes, 16)) {
		uint32_t seq = store_be32_get((const uint8_t *)k.mv_data + 16);

		r = add_event(ix, id, seq, store_slice(v));
		if (r < 0)
			return r;
		next = seq + 1;
		--*budget;
		rc = mdb_cursor_get(events, &k, &v, MDB_NEXT);
	}
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	ix->progress[ix->n_progress++] = (struct progress){ *id, next };
	return 0;
}

static int gather(struct store *s, struct indexer *ix, unsigned budget)
{
	MDB_cursor *events;
	MDB_txn *txn;
	int r;

	r = store_txn_begin(s, MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(txn, s->dbi[DB_EVENT], &events));
	if (!r) {
		size_t i = 0;

		for (; i < ix->n_work && budget && ix->keys_len < KEYS_MAX && !r; i++)
			r = gather_session(s, ix, txn, events, &ix->work[i], &budget);
		for (; i < ix->n_work; i++) /* the next step's */
			store_dirty_add(s, &ix->work[i]);
		mdb_cursor_close(events);
	}
	mdb_txn_abort(txn);
	return r;
}

static int posting_cmp(const void *a, const void *b, void *ctx)
{
	const struct posting *pa = a, *pb = b;
	const struct indexer *ix = ctx;
	int c = slice_cmp(slice_of(ix->keys + pa->key, pa->key_len),
			  slice_of(ix->keys + pb->key, pb->key_len));

	return c ? c : memcmp(pa->value, pb->value, STORE_POSTING);
}

static int write_postings(struct store *s, struct indexer *ix, size_t from, size_t n)
{
	MDB_cursor *index;
	MDB_txn *txn;
	int rc, r;

	r = store_txn_begin(s, 0, &txn);
	if (r < 0)
		return r;
	rc = mdb_cursor_open(txn, s->dbi[DB_INDEX], &index);
	for (size_t i = from; i < from + n && !rc; i++) {
		struct posting *p = &ix->postings[i];
		MDB_val k = store_val(ix->keys + p->key, p->key_len);
		MDB_val v = store_val(p->value, STORE_POSTING);

		rc = mdb_cursor_put(index, &k, &v, MDB_NODUPDATA);
		if (rc == MDB_KEYEXIST)
			rc = 0;
	}
	if (rc) {
		mdb_txn_abort(txn);
		return store_errno(rc);
	}
	return store_errno(mdb_txn_commit(txn));
}

/* How far a session is indexed; out of `open` with it when it has ended and nothing is left. */
static int write_progress_one(struct store *s, MDB_txn *txn, MDB_cursor *events,
			      const struct progress *p)
{
	uint8_t key[STORE_EVENT_KEY], indexed[4];
	MDB_val id = store_val(p->id.bytes, 16), k = store_val(key, sizeof(key)), v;
	enum store_state state = STORE_SESSION_ENDED;
	bool more;
	uint64_t facts;
	int rc;

	store_key(key, &p->id, p->indexed);
	rc = mdb_cursor_get(events, &k, &v, MDB_SET_RANGE);
	if (rc && rc != MDB_NOTFOUND)
		return rc;
	more = !rc && k.mv_size == sizeof(key) && !memcmp(k.mv_data, p->id.bytes, 16);
	rc = mdb_get(txn, s->dbi[DB_SESSION], &id, &v);
	if (rc && rc != MDB_NOTFOUND)
		return rc;
	/* A damaged record stays in `open`: unknown is not ended. */
	if (!rc && !store_session_peek(store_slice(v), &state, &facts))
		state = STORE_SESSION_OPEN;
	if (more)
		store_dirty_add(s, &p->id);
	if (!more && state != STORE_SESSION_OPEN) {
		rc = mdb_del(txn, s->dbi[DB_OPEN], &id, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	store_be32(indexed, p->indexed);
	v = store_val(indexed, sizeof(indexed));
	return mdb_put(txn, s->dbi[DB_OPEN], &id, &v, 0);
}

static int write_progress(struct store *s, struct indexer *ix)
{
	MDB_cursor *events;
	MDB_txn *txn;
	int rc, r;

	r = store_txn_begin(s, 0, &txn);
	if (r < 0)
		return r;
	rc = mdb_cursor_open(txn, s->dbi[DB_EVENT], &events);
	for (size_t i = 0; i < ix->n_progress && !rc; i++)
		rc = write_progress_one(s, txn, events, &ix->progress[i]);
	if (rc) {
		mdb_txn_abort(txn);
		return store_errno(rc);
	}
	return store_errno(mdb_txn_commit(txn));
}

/* Whether an entry of `open` has events to index, or only waits to be taken out. 1, 0 or negative. */
static int has_work(struct store *s, MDB_txn *txn, MDB_cursor *events, MDB_val id, MDB_val indexed)
{
	uint8_t key[STORE_EVENT_KEY];
	MDB_val k = store_val(key, sizeof(key)), v;
	enum store_state state;
	uint64_t facts;
	int rc;

	memcpy(key, id.mv_data, 16);
	store_be32(key + 16, indexed.mv_size == 4 ? store_be32_get(indexed.mv_data) : 0);
	rc = mdb_cursor_get(events, &k, &v, MDB_SET_RANGE);
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	if (!rc && k.mv_size == sizeof(key) && !memcmp(k.mv_data, id.mv_data, 16))
		return 1;
	rc = mdb_get(txn, s->dbi[DB_SESSION], &id, &v);
	if (rc)
		return rc == MDB_NOTFOUND ? 1 : store_errno(rc);
	return store_session_peek(store_slice(v), &state, &facts) && state != STORE_SESSION_OPEN;
}

static int walk_open(struct store *s, struct indexer *ix, MDB_txn *txn, bool *ret_more)
{
	MDB_val k = store_val(ix->scan_pos.bytes, 16), v;
	MDB_cursor *open, *events;
	int rc, r;

	r = store_errno(mdb_cursor_open(txn, s->dbi[DB_EVENT], &events));
	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(txn, s->dbi[DB_OPEN], &open));
	if (r < 0) {
		mdb_cursor_close(events);
		return r;
	}
	rc = mdb_cursor_get(open, &k, &v, MDB_SET_RANGE);
	while (!rc && r >= 0 && ix->n_work < STORE_DIRTY_MAX) {
		if (k.mv_size == 16) {
			r = has_work(s, txn, events, k, v);
			memcpy(ix->scan_pos.bytes, k.mv_data, 16);
			if (r > 0)
				ix->work[ix->n_work++] = ix->scan_pos;
		}
		if (r >= 0)
			rc = mdb_cursor_get(open, &k, &v, MDB_NEXT);
	}
	*ret_more = !rc;
	if (rc == MDB_NOTFOUND)
		ix->scan_pos = (struct ulid){ { 0 } };
	mdb_cursor_close(open);
	mdb_cursor_close(events);
	if (r < 0)
		return r;
	return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
}

/* From `open`, as many as fit; true in *ret_more when more may be there. */
static int load_open(struct store *s, struct indexer *ix, bool *ret_more)
{
	MDB_txn *txn;
	int r = store_txn_begin(s, MDB_RDONLY, &txn);

	if (r < 0)
		return r;
	r = walk_open(s, ix, txn, ret_more);
	mdb_txn_abort(txn);
	return r;
}

static int id_cmp(const void *a, const void *b)
{
	return ulid_cmp(a, b);
}

/* Takes over the list of sessions with news; each is in it once. */
static int take_work(struct store *s, struct indexer *ix)
{
	bool all, more = false;
	size_t n = 0;
	int r;

	pthread_mutex_lock(&s->dirty_lock);
	ix->n_work = s->n_dirty;
	memcpy(ix->work, s->dirty, s->n_dirty * sizeof(s->dirty[0]));
	s->n_dirty = 0;
	all = s->scan_all;
	s->scan_all = false;
	pthread_mutex_unlock(&s->dirty_lock);
	if (all && ix->n_work < STORE_DIRTY_MAX / 2) {
		r = load_open(s, ix, &more);
		if (r < 0)
			return r;
	} else {
		more = all;
	}
	if (more) {
		pthread_mutex_lock(&s->dirty_lock);
		s->scan_all = true;
		pthread_mutex_unlock(&s->dirty_lock);
	}
	qsort(ix->work, ix->n_work, sizeof(ix->work[0]), id_cmp);
	for (size_t i = 0; i < ix->n_work; i++) {
		if (!n || ulid_cmp(&ix->work[n - 1], &ix->work[i]))
			ix->work[n++] = ix->work[i];
	}
	ix->n_work = n;
	return 0;
}

static int index_step(struct store *s, struct indexer *ix, unsigned max_events)
{
	unsigned units;
	int r;

	ix->n_postings = ix->keys_len = ix->n_progress = 0;
	r = take_work(s, ix);
	if (r < 0 || !ix->n_work)
		return r;
	r = gather(s, ix, MAX(max_events, 1u));
	if (r < 0)
		return r;
	units = (unsigned)ix->n_progress;
	if (ix->n_postings) /* with none there may be no array either */
		qsort_r(ix->postings, ix->n_postings, sizeof(ix->postings[0]), posting_cmp, ix);
	for (size_t i = 0; i < ix->n_postings && !r; i += PUTS_PER_TXN)
		r = write_postings(s, ix, i, MIN(ix->n_postings - i, (size_t)PUTS_PER_TXN));
	if (!r)
		r = write_progress(s, ix);
	return r < 0 ? r : (int)units;
}

int store_index_step(struct store *s, unsigned max_events)
{
	int r = store_drain(s);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->index_lock);
	if (!s->indexer)
		r = indexer_new(&s->indexer);
	if (!r)
		r = index_step(s, s->indexer, max_events);
	if (r < 0 && s->indexer) {
		/* What was marked as seen may not have been written, and the list is lost. */
		memset(s->indexer->seen, 0, SEEN_SLOTS * sizeof(*s->indexer->seen));
		pthread_mutex_lock(&s->dirty_lock);
		s->scan_all = true;
		pthread_mutex_unlock(&s->dirty_lock);
	}
	pthread_mutex_unlock(&s->index_lock);
	return r;
}
