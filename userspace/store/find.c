/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "find.h"

enum { FIND_MEM_MAX = 1 << 20, FIND_RECORDS_MAX = 256 << 20 };

int find_new(struct store *s, const struct store_query *q, bool hits, struct find **ret)
{
	struct find *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->store = s;
	f->hits = hits;
	arena_init(&f->mem, FIND_MEM_MAX);
	arena_init(&f->scratch, FIND_RECORDS_MAX);
	arena_init(&f->out, FIND_RECORDS_MAX);
	arena_init(&f->decoded, FIND_RECORDS_MAX);
	r = find_prepare(f, q);
	if (r < 0) {
		(void)find_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

static void round_end(struct find *f)
{
	MDB_cursor **cursors[] = { &f->index, &f->session, &f->open, &f->event };

	/* A read transaction leaves its cursors to us. */
	for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
		if (*cursors[i])
			mdb_cursor_close(*cursors[i]);
		*cursors[i] = NULL;
	}
	if (f->txn)
		mdb_txn_abort(f->txn);
	f->txn = NULL;
}

struct find *find_free(struct find *f)
{
	if (f) {
		round_end(f);
		arena_done(&f->mem);
		arena_done(&f->scratch);
		arena_done(&f->out);
		arena_done(&f->decoded);
		free(f);
	}
	return NULL;
}

static int round_begin(struct find *f)
{
	int r = store_txn_begin(f->store, MDB_RDONLY, &f->txn);
	int rc;

	if (r < 0)
		return r;
	rc = mdb_cursor_open(f->txn, f->store->dbi[DB_INDEX], &f->index);
	if (!rc)
		rc = mdb_cursor_open(f->txn, f->store->dbi[DB_SESSION], &f->session);
	if (!rc)
		rc = mdb_cursor_open(f->txn, f->store->dbi[DB_OPEN], &f->open);
	if (!rc)
		rc = mdb_cursor_open(f->txn, f->store->dbi[DB_EVENT], &f->event);
	if (rc)
		return store_errno(rc);
	f->n_results = f->taken = 0;
	f->events_left = FIND_EVENTS;
	arena_reset(&f->out);
	for (size_t i = 0; i < f->n_sources; i++)
		f->sources[i].loaded = false;
	if (f->planned && !f->replan)
		return 0;
	f->planned = true;
	return find_plan(f);
}

/* ---- sources ------------------------------------------------------------------------------ */

/* The first posting of the key from f->lo on, or the last one up to f->hi. */
static int seek_key(struct find *f, struct find_source *src, MDB_val *ret)
{
	uint8_t posting[STORE_POSTING];
	MDB_val k = store_val(src->key.key, src->key.len);
	bool desc = f->q.newest_first;
	int rc;

	store_key(posting, desc ? &f->hi : &f->lo, desc ? UINT32_MAX : 0);
	*ret = store_val(posting, sizeof(posting));
	rc = mdb_cursor_get(f->index, &k, ret, MDB_GET_BOTH_RANGE);
	if (!desc)
		return rc;
	if (!rc && ret->mv_size == sizeof(posting) &&
	    !memcmp(ret->mv_data, posting, sizeof(posting)))
		return 0;
	if (!rc)
		return mdb_cursor_get(f->index, &k, ret, MDB_PREV_DUP);
	if (rc != MDB_NOTFOUND)
		return rc;
	k = store_val(src->key.key, src->key.len);
	rc = mdb_cursor_get(f->index, &k, ret, MDB_SET);
	return rc ? rc : mdb_cursor_get(f->index, &k, ret, MDB_LAST_DUP);
}

/* The same over a database whose keys begin with a session id. */
static int seek_id(MDB_cursor *c, bool desc, const struct ulid *lo, const struct ulid *hi,
		   MDB_val *ret)
{
	MDB_val v;
	int rc;

	*ret = store_val(desc ? hi->bytes : lo->bytes, 16);
	rc = mdb_cursor_get(c, ret, &v, MDB_SET_RANGE);
	if (!desc)
		return rc;
	if (rc == MDB_NOTFOUND)
		return mdb_cursor_get(c, ret, &v, MDB_LAST);
	if (!rc && ret->mv_size == 16 && !memcmp(ret->mv_data, hi->bytes, 16))
		return 0;
	return rc ? rc : mdb_cursor_get(c, ret, &v, MDB_PREV);
}

static int source_load(struct find *f, struct find_source *src)
{
	bool desc = f->q.newest_first;
	MDB_val v;
	int rc;

	src->loaded = true;
	src->end = true;
	if (src->type == SOURCE_KEY)
		rc = seek_key(f, src, &v);
	else
		rc = seek_id(src->type == SOURCE_OPEN ? f->open : f->session, desc, &f->lo, &f->hi,
			     &v);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
	if (v.mv_size < 16)
		return -EBADMSG;
	memcpy(src->at.bytes, v.mv_data, 16);
	src->end = ulid_cmp(&src->at, &f->lo) < 0 || ulid_cmp(&src->at, &f->hi) > 0;
	return 0;
}

/* The next session id in order from any source. 1, 0 at the end, negative. */
static int next_candidate(struct find *f, struct ulid *ret)
{
	bool any = false;

	for (size_t i = 0; i < f->n_sources; i++) {
		struct find_source *src = &f->sources[i];
		int c;

		if (!src->loaded) {
			int r = source_load(f, src);

			if (r < 0)
				return r;
		}
		if (src->end)
			continue;
		c = any ? ulid_cmp(&src->at, ret) : 0;
		if (!any || (f->q.newest_first ? c > 0 : c < 0))
			*ret = src->at;
		any = true;
	}
	return any;
}

/* No session up to this one comes again. */
static void pass(struct find *f, const struct ulid *id)
{
	struct ulid *edge = f->q.newest_first ? &f->hi : &f->lo;
	int i = 15;

	for (size_t k = 0; k < f->n_sources; k++) {
		if (!f->sources[k].end && !ulid_cmp(&f->sources[k].at, id))
			f->sources[k].loaded = false;
	}
	*edge = *id;
	if (f->q.newest_first) {
		while (i >= 0 && edge->bytes[i]-- == 0)
			i--;
	} else {
		while (i >= 0 && ++edge->bytes[i] == 0)
			i--;
	}
	if (i < 0)
		f->done = true; /* it was the last id that there can be */
}

/* ---- events of one session ------------------------------------------------------------------ */

/* 1, 0 or negative. */
static int has_posting(struct find *f, const struct find_key *key, const struct ulid *id,
		       uint32_t block)
{
	uint8_t posting[STORE_POSTING];
	MDB_val k = store_val(key->key, key->len), v = store_val(posting, sizeof(posting));
	int rc;

	store_key(posting, id, block);
	rc = mdb_cursor_get(f->index, &k, &v, MDB_GET_BOTH);
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	return !rc;
}

/* Whether a block that is indexed to its end can have a match. 1, 0 or negative. */
static int block_may_match(struct find *f, const struct ulid *id, uint32_t block)
{
	struct find_key overflow;
	int r;

	overflow.len = store_index_key(overflow.key, KIND_OVERFLOW, SLICE_NONE);
	for (size_t i = 0; i < f->n_event_keys; i++) {
		r = has_posting(f, &f->event_keys[i], id, block);
		if (!r && i < f->n_word_keys)
			r = has_posting(f, &overflow, id, block);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* From which seq on the session's events are not in the index; UINT32_MAX = all are. */
static int indexed_until(struct find *f, const struct ulid *id, uint32_t *ret)
{
	MDB_val k = store_val(id->bytes, 16), v;
	int rc = mdb_cursor_get(f->open, &k, &v, MDB_SET);

	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	*ret = rc ? UINT32_MAX : v.mv_size == 4 ? store_be32_get(v.mv_data) : 0;
	return 0;
}

/* The event at seq, or the nearest one in the direction of the search. 1, 0, negative. */
static int event_seek(struct find *f, const struct ulid *id, uint32_t seq, MDB_val *k, MDB_val *v)
{
	uint8_t key[STORE_EVENT_KEY];
	int rc;

	store_key(key, id, seq);
	*k = store_val(key, sizeof(key));
	rc = mdb_cursor_get(f->event, k, v, MDB_SET_RANGE);
	if (f->q.newest_first) {
		if (rc == MDB_NOTFOUND)
			rc = mdb_cursor_get(f->event, k, v, MDB_LAST);
		else if (!rc && (k->mv_size != sizeof(key) || memcmp(k->mv_data, key, sizeof(key))))
			rc = mdb_cursor_get(f->event, k, v, MDB_PREV);
	}
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
	return k->mv_size == sizeof(key) && !memcmp(k->mv_data, id->bytes, 16);
}

static int add_result(struct find *f, const struct ulid *id, struct slice session, uint32_t seq,
		      struct slice event, int err)
{
	struct find_result *res = &f->results[f->n_results];

	*res = (struct find_result){ .err = err, .id = *id, .seq = seq };
	if (arena_dup(&f->out, session, &res->session) < 0 ||
	    arena_dup(&f->out, event, &res->event) < 0)
		return -ENOMEM;
	f->n_results++;
	return 0;
}

/* 1 it matches, 0 not, -EBADMSG damaged, -ENOMEM. */
static int examine_event(struct find *f, uint32_t seq, struct slice rec)
{
	struct store_event ev;
	struct op op;
	int type = store_event_peek(rec), r;

	if (type >= 0 && !store_event_searchable(type))
		return 0;
	arena_reset(&f->scratch);
	r = store_event_decode(rec, seq, &f->scratch, &op, &ev);
	return r < 0 ? r : find_event_matches(f, &ev);
}

/*
 * Goes on through the session's events at f->next. Sets f->in_session to false when it has come to
 * the end; otherwise the round is full (hits), or a match was found (sessions: returns 1).
 */
static int scan_events(struct find *f, const struct ulid *id, struct slice session)
{
	bool desc = f->q.newest_first;
	uint32_t indexed = 0;
	MDB_val k, v;
	int r = indexed_until(f, id, &indexed);

	if (r < 0)
		return r;
	while (f->n_results < FIND_RESULTS && (f->events_left || !f->hits)) {
		uint32_t seq, block, edge;

		r = event_seek(f, id, f->next, &k, &v);
		if (r <= 0) {
			f->in_session = false;
			return r;
		}
		seq = store_be32_get((const uint8_t *)k.mv_data + 16);
		block = seq / STORE_BLOCK;
		edge = desc ? block * STORE_BLOCK : block * STORE_BLOCK + STORE_BLOCK - 1;
		r = indexed > block * STORE_BLOCK + (STORE_BLOCK - 1)
			    ? block_may_match(f, id, block)
			    : 1;
		if (r < 0)
			return r;
		while (r && f->n_results < FIND_RESULTS) {
			int m = examine_event(f, seq, store_slice(v));
			int rc;

			if (m == -ENOMEM)
				return m;
			if (m && !f->hits && m > 0)
				return 1;
			if (m && f->hits &&
			    (r = add_result(f, id, session, seq, store_slice(v), m < 0 ? m : 0)) <
				    0)
				return r;
			r = 1;
			f->events_left -= f->events_left > 0;
			f->next = seq;
			if (seq == edge || (f->hits && !f->events_left))
				break;
			rc = mdb_cursor_get(f->event, &k, &v, desc ? MDB_PREV : MDB_NEXT);
			if (rc && rc != MDB_NOTFOUND)
				return store_errno(rc);
			if (rc || k.mv_size != STORE_EVENT_KEY ||
			    memcmp(k.mv_data, id->bytes, 16)) {
				f->in_session = false;
				return 0;
			}
			seq = store_be32_get((const uint8_t *)k.mv_data + 16);
			if (desc ? seq < edge : seq > edge)
				break;
			/* Should the round end here, the next one begins with this event. */
			f->next = seq;
			if (f->n_results == FIND_RESULTS)
				return 0;
		}
		if (r)
			edge = f->next; /* the last that was looked at */
		if (edge == (desc ? 0 : UINT32_MAX)) {
			f->in_session = false;
			return 0;
		}
		f->next = desc ? edge - 1 : edge + 1;
	}
	return 0;
}

/* ---- rounds ------------------------------------------------------------------------------- */

static int get_session(struct find *f, const struct ulid *id, struct slice *ret)
{
	MDB_val k = store_val(id->bytes, 16), v;
	int rc = mdb_cursor_get(f->session, &k, &v, MDB_SET);

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
	*ret = store_slice(v);
	return 1;
}

static int examine_session(struct find *f, const struct ulid *id)
{
	struct store_session sess;
	struct slice rec;
	int r = get_session(f, id, &rec);

	if (r <= 0)
		return r;
	arena_reset(&f->scratch);
	r = store_session_decode(rec, id, &f->scratch, &sess);
	if (r == -EBADMSG)
		return add_result(f, id, rec, 0, SLICE_NONE, r);
	if (r < 0)
		return r;
	if (!find_session_matches(f, &sess))
		return 0;
	if (!f->hits && !f->on_events)
		return add_result(f, id, rec, 0, SLICE_NONE, 0);
	f->next = f->q.newest_first ? UINT32_MAX : 0;
	f->in_session = true;
	f->cur = *id;
	if (f->hits)
		return 0; /* the round goes on in it */
	r = scan_events(f, id, rec);
	f->in_session = false;
	return r > 0 ? add_result(f, id, rec, 0, SLICE_NONE, 0) : r;
}

static int round_run(struct find *f)
{
	unsigned examined = 0;
	struct ulid id;
	int r;

	while (f->n_results < FIND_RESULTS && examined < FIND_EXAMINED && f->events_left) {
		if (f->in_session) {
			struct slice rec;

			r = get_session(f, &f->cur, &rec);
			if (r > 0)
				r = scan_events(f, &f->cur, rec);
			else
				f->in_session = false;
			if (r < 0)
				return r;
			continue;
		}
		if (f->done)
			return 0;
		r = next_candidate(f, &id);
		if (r <= 0) {
			f->done = true;
			return r;
		}
		r = examine_session(f, &id);
		if (r < 0)
			return r;
		pass(f, &id);
		examined++;
	}
	return 0;
}

int find_next(struct find *f, const struct find_result **ret)
{
	int r;

	if (f->q.limit && f->returned >= f->q.limit)
		return 0;
	while (f->taken == f->n_results) {
		if (f->done && !f->in_session)
			return 0;
		r = round_begin(f);
		if (!r)
			r = round_run(f);
		round_end(f);
		if (r < 0) {
			f->n_results = f->taken = 0;
			f->done = true;
			f->in_session = false;
			return r;
		}
	}
	*ret = &f->results[f->taken++];
	f->returned++;
	return 1;
}

/* ---- the two cursors of the contract -------------------------------------------------------- */

struct store_sessions {
	struct find *find;
};

struct store_hits {
	struct find *find;
};

int store_sessions_open(struct store *s, const struct store_query *q, struct store_sessions **ret)
{
	struct store_sessions *c = calloc(1, sizeof(*c));
	int r;

	store_settle(s);
	r = c ? find_new(s, q, false, &c->find) : -ENOMEM;

	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int store_sessions_next(struct store_sessions *c, struct store_session *ret)
{
	const struct find_result *res;
	int r = find_next(c->find, &res);

	if (r <= 0)
		return r;
	arena_reset(&c->find->decoded);
	r = res->err ? res->err
		     : store_session_decode(res->session, &res->id, &c->find->decoded, ret);
	if (r == -EBADMSG)
		ret->id = res->id;
	return r < 0 ? r : 1;
}

struct store_sessions *store_sessions_close(struct store_sessions *c)
{
	if (c)
		(void)find_free(c->find);
	free(c);
	return NULL;
}

int store_hits_open(struct store *s, const struct store_query *q, struct store_hits **ret)
{
	struct store_hits *c = calloc(1, sizeof(*c));
	int r;

	store_settle(s);
	r = c ? find_new(s, q, true, &c->find) : -ENOMEM;

	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int store_hits_next(struct store_hits *c, struct store_session *ret_sess,
		    struct store_event *ret_ev)
{
	const struct find_result *res;
	int r = find_next(c->find, &res);

	if (r <= 0)
		return r;
	arena_reset(&c->find->decoded);
	r = res->err;
	if (!r)
		r = store_session_decode(res->session, &res->id, &c->find->decoded, ret_sess);
	if (!r)
		r = store_event_decode(res->event, res->seq, &c->find->decoded, &c->find->op,
				       ret_ev);
	if (r == -EBADMSG)
		ret_sess->id = res->id;
	return r < 0 ? r : 1;
}

struct store_hits *store_hits_close(struct store_hits *c)
{
	if (c)
		(void)find_free(c->find);
	free(c);
	return NULL;
}
