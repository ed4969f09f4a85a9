/* SPDX-License-Identifier: Apache-2.0 */
/* One session by its id, and its events in order; read in pieces, between which nothing is held. */
#include <errno.h>

#include "store_int.h"

enum { PIECE_EVENTS = 256, PIECE_BYTES = 1 << 20, ARENA_MAX = 256 << 20, PREFIX_MIN = 4 };

struct store_events {
	struct store *store;
	struct ulid id;
	uint64_t next;      /* seq that the next piece begins at; past UINT32_MAX = the end */
	struct arena piece; /* the records of this piece */
	struct {
		uint32_t seq;
		struct slice rec;
	} recs[PIECE_EVENTS];
	size_t n, taken;
	struct arena decoded;
	struct op op;
};

int store_events_open(struct store *s, const struct ulid *id, uint32_t from,
		      struct store_events **ret)
{
	struct store_events *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	store_settle(s);
	c->store = s;
	c->id = *id;
	c->next = from;
	arena_init(&c->piece, ARENA_MAX);
	arena_init(&c->decoded, ARENA_MAX);
	*ret = c;
	return 0;
}

struct store_events *store_events_close(struct store_events *c)
{
	if (c) {
		arena_done(&c->piece);
		arena_done(&c->decoded);
		free(c);
	}
	return NULL;
}

static int read_piece(struct store_events *c, MDB_cursor *cur)
{
	uint8_t key[STORE_EVENT_KEY];
	MDB_val k = store_val(key, sizeof(key)), v;
	size_t bytes = 0;
	int rc;

	store_key(key, &c->id, (uint32_t)c->next);
	rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	while (!rc && c->n < PIECE_EVENTS && bytes < PIECE_BYTES && k.mv_size == sizeof(key) &&
	       !memcmp(k.mv_data, c->id.bytes, 16)) {
		c->recs[c->n].seq = store_be32_get((const uint8_t *)k.mv_data + 16);
		if (arena_dup(&c->piece, store_slice(v), &c->recs[c->n].rec) < 0)
			return -ENOMEM;
		c->next = (uint64_t)c->recs[c->n++].seq + 1;
		bytes += v.mv_size;
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	return rc && rc != MDB_NOTFOUND ? store_errno(rc) : 0;
}

static int next_piece(struct store_events *c)
{
	MDB_cursor *cur;
	MDB_txn *txn;
	int r;

	arena_reset(&c->piece);
	c->n = c->taken = 0;
	if (c->next > UINT32_MAX)
		return 0;
	r = store_txn_begin(c->store, MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(txn, c->store->dbi[DB_EVENT], &cur));
	if (!r) {
		r = read_piece(c, cur);
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	return r;
}

int store_events_next(struct store_events *c, struct store_event *ret)
{
	int r;

	if (c->taken == c->n) {
		r = next_piece(c);
		if (r < 0 || !c->n)
			return r;
	}
	arena_reset(&c->decoded);
	r = store_event_decode(c->recs[c->taken].rec, c->recs[c->taken].seq, &c->decoded, &c->op,
			       ret);
	if (r == -EBADMSG)
		ret->seq = c->recs[c->taken].seq;
	c->taken++;
	return r < 0 ? r : 1;
}

/* ---- one session -------------------------------------------------------------------------- */

/* The lowest and highest id whose text begins with prefix. */
static int prefix_range(struct slice prefix, struct ulid *ret_lo, struct ulid *ret_hi)
{
	uint8_t text[ULID_TEXT_LEN];

	if (prefix.len < PREFIX_MIN || prefix.len > ULID_TEXT_LEN)
		return -EINVAL;
	memset(text, '0', sizeof(text));
	memcpy(text, prefix.ptr, prefix.len);
	if (ulid_parse(slice_of(text, sizeof(text)), ret_lo) < 0)
		return -EINVAL;
	memset(text + prefix.len, 'Z', sizeof(text) - prefix.len);
	return ulid_parse(slice_of(text, sizeof(text)), ret_hi) < 0 ? -EINVAL : 0;
}

/* A session that lives in one block of memory. */
static int pack_session(const struct store_session *from, struct store_session *ret, void **ret_mem)
{
	struct store_session s = *from;
	const char **strings[] = {
		&s.identity.cgroup_path,
		&s.identity.boot_id,
		&s.identity.runtime,
		&s.identity.container,
		&s.identity.pod,
		&s.identity.comm,
		&s.identity.exe,
		&s.target,
		&s.protocol,
		&s.policy,
		&s.reason,
	};
	size_t n_labels = s.identity.n_labels, size = 32 + 1;
	struct identity_label *labels;
	char *mem, *p;

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		size += strlen(*strings[i]) + 1;
	for (size_t i = 0; i < n_labels; i++)
		size += strlen(s.identity.labels[i].key) + strlen(s.identity.labels[i].value) + 2 +
			sizeof(*labels);
	mem = malloc(size);
	if (!mem)
		return -ENOMEM;
	labels = (struct identity_label *)mem;
	p = mem + n_labels * sizeof(*labels);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		size_t n = strlen(*strings[i]) + 1;

		*strings[i] = memcpy(p, *strings[i], n);
		p += n;
	}
	for (size_t i = 0; i < n_labels; i++) {
		size_t nk = strlen(s.identity.labels[i].key) + 1;
		size_t nv = strlen(s.identity.labels[i].value) + 1;

		labels[i].key = memcpy(p, s.identity.labels[i].key, nk);
		labels[i].value = memcpy(p + nk, s.identity.labels[i].value, nv);
		p += nk + nv;
	}
	s.identity.labels = n_labels ? labels : NULL;
	if (s.policy_hash)
		s.policy_hash = memcpy(p, s.policy_hash, 32);
	*ret = s;
	*ret_mem = mem;
	return 0;
}

static int find_in_range(MDB_cursor *c, const struct ulid *lo, const struct ulid *hi,
			 struct store_session *ret, void **ret_mem)
{
	MDB_val k = store_val(lo->bytes, 16), v, k2, v2;
	struct arena arena;
	struct store_session sess;
	struct ulid id;
	int rc, r;

	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	if (rc)
		return store_errno(rc);
	if (k.mv_size != 16)
		return -EBADMSG;
	memcpy(id.bytes, k.mv_data, 16);
	if (ulid_cmp(&id, hi) > 0)
		return -ENOENT;
	rc = mdb_cursor_get(c, &k2, &v2, MDB_NEXT);
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	if (!rc && k2.mv_size == 16 && memcmp(k2.mv_data, hi->bytes, 16) <= 0)
		return -EEXIST;
	arena_init(&arena, 1 << 20);
	r = store_session_decode(store_slice(v), &id, &arena, &sess);
	if (!r)
		r = pack_session(&sess, ret, ret_mem);
	arena_done(&arena);
	return r;
}

int store_session_get(struct store *s, const char *id_or_prefix, struct store_session *ret,
		      void **ret_mem)
{
	struct ulid lo, hi;
	MDB_cursor *c;
	MDB_txn *txn;
	int r;

	r = prefix_range(slice_str(id_or_prefix), &lo, &hi);
	if (r < 0)
		return r;
	store_settle(s);
	r = store_txn_begin(s, MDB_RDONLY, &txn);
	if (r < 0)
		return r;
	r = store_errno(mdb_cursor_open(txn, s->dbi[DB_SESSION], &c));
	if (!r) {
		r = find_in_range(c, &lo, &hi, ret, ret_mem);
		mdb_cursor_close(c);
	}
	mdb_txn_abort(txn);
	return r;
}
