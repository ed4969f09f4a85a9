// SPDX-License-Identifier: Apache-2.0
/* The cache, and what goes in: text → normal form → facts in one block of memory. */
#include "sql.h"

#include <errno.h>
#include <pg_query.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"
#include "sql_norm.h"
#include "sql_walk.h"

enum {
	TREE_MAX = 512 << 20,    /* bytes of one unpacked tree; PG_SQL_TOKENS_MAX keeps far below */
	STMTS_MAX = 16384,       /* statements of one string; more are OP_UNKNOWN */
	KEY_TEXT_MAX = 64 << 10, /* longer text is not kept as a key */
};

/* How to read a key. */
enum {
	KEY_NORM = 1,      /* a normal form; else the text itself */
	KEY_UNTRUSTED = 2, /* text that the server may read differently */
};

struct entry {
	struct pg_facts facts; /* first: callers hold this */
	unsigned refs;         /* callers, and the cache */
	unsigned key_kind;
	uint64_t hash;
	struct slice key;
	size_t bytes;
	struct entry *chain;
	struct list_node lru;
	struct entry *base;  /* set in a view: where objects and attributes are, a reference held */
	struct pg_stmt stmt; /* a view's own, with other offsets */
};

struct pg_sql {
	struct entry **buckets;
	size_t mask;
	struct list_node lru; /* newest first */
	size_t max_entries, max_bytes;
	struct hash_key key;
	struct arena arena;
	uint8_t *scratch; /* the normal form of the text at hand */
	size_t scratch_cap;
	struct pg_sql_stats stats;
	struct pg_known *known; /* NULL: no catalogue */
};

/* ---- cache ---------------------------------------------------------------------------------- */

int pg_sql_new(size_t max_entries, size_t max_bytes, struct pg_sql **ret)
{
	struct pg_sql *s = calloc(1, sizeof(*s));
	size_t n = 16;
	int r;

	if (!s)
		return -ENOMEM;
	while (n < max_entries && n < (1U << 20))
		n *= 2;
	s->mask = n - 1;
	s->max_entries = max_entries;
	s->max_bytes = max_bytes;
	list_init(&s->lru);
	arena_init(&s->arena, TREE_MAX);
	s->buckets = calloc(n, sizeof(struct entry *));
	r = s->buckets ? hash_key_random(&s->key) : -ENOMEM;
	if (r < 0) {
		(void)pg_sql_free(s); /* returns NULL */
		return r;
	}
	*ret = s;
	return 0;
}

static void entry_unref(struct entry *e)
{
	struct entry *base = e->base;

	if (--e->refs > 0)
		return;
	free(e);
	if (base)
		entry_unref(base);
}

void pg_facts_unref(const struct pg_facts *f)
{
	if (f)
		entry_unref(container_of((struct pg_facts *)f, struct entry, facts));
}

static void cache_drop(struct pg_sql *s, struct entry *e)
{
	struct entry **p = &s->buckets[e->hash & s->mask];

	while (*p != e)
		p = &(*p)->chain;
	*p = e->chain;
	list_remove(&e->lru);
	s->stats.entries--;
	s->stats.bytes -= e->bytes;
	entry_unref(e);
}

static void cache_clear(struct pg_sql *s)
{
	list_foreach(n, &s->lru)
		cache_drop(s, container_of(n, struct entry, lru));
}

struct pg_sql *pg_sql_free(struct pg_sql *s)
{
	if (!s)
		return NULL;
	cache_clear(s);
	(void)pg_known_free(s->known); /* returns NULL */
	arena_done(&s->arena);
	free(s->buckets);
	free(s->scratch);
	free(s);
	return NULL;
}

static struct entry *cache_find(struct pg_sql *s, struct slice key, unsigned kind,
				uint64_t *ret_hash)
{
	uint64_t h = hash_bytes(key, s->key) ^ kind;

	*ret_hash = h;
	for (struct entry *e = s->buckets[h & s->mask]; e; e = e->chain)
		if (e->hash == h && e->key_kind == kind && slice_eq(e->key, key)) {
			list_remove(&e->lru);
			list_prepend(&s->lru, &e->lru);
			s->stats.hits++;
			return e;
		}
	return NULL;
}

static void cache_put(struct pg_sql *s, struct entry *e)
{
	if (e->bytes > s->max_bytes / 4 || !s->max_entries) {
		s->stats.uncacheable++;
		return;
	}
	while (!list_empty(&s->lru) &&
	       (s->stats.entries >= s->max_entries || s->stats.bytes + e->bytes > s->max_bytes))
		cache_drop(s, container_of(s->lru.prev, struct entry, lru));
	e->chain = s->buckets[e->hash & s->mask];
	s->buckets[e->hash & s->mask] = e;
	list_prepend(&s->lru, &e->lru);
	e->refs++;
	s->stats.entries++;
	s->stats.bytes += e->bytes;
}

void pg_sql_stats(const struct pg_sql *s, struct pg_sql_stats *ret)
{
	*ret = s->stats;
}

/* ---- parsing -------------------------------------------------------------------------------- */

/* The facts of one string on their way into an entry; everything lives in the arena. */
struct draft {
	struct pg_stmt *stmts;
	size_t n_stmts;
	bool parsed;
	bool literal; /* another literal could mean other facts */
	bool limit;   /* another number in LIMIT could */
};

static void *tree_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void tree_free(void *arena, void *p)
{
	/* the arena goes as a whole */
}

static int draft_unknown(struct pg_sql *s, struct slice text, struct draft *ret)
{
	struct pg_stmt *st = arena_alloc(&s->arena, sizeof(*st));

	if (!st)
		return -ENOMEM;
	*st = (struct pg_stmt){
		.verb = "UNKNOWN",
		.effects = OP_UNKNOWN,
		.len = text.len,
		.may_set_lexing = true,
	};
	*ret = (struct draft){ .stmts = st, .n_stmts = 1, .literal = true };
	return 0;
}

static bool is_margin(uint8_t c)
{
	return c == ';' || c == ' ' || (c >= '\t' && c <= '\r');
}

static int draft_stmt(struct pg_sql *s, struct slice text, const PgQuery__RawStmt *raw,
		      struct draft *d, struct pg_stmt *ret)
{
	struct pg_walk w = { .arena = &s->arena, .known = s->known };
	struct op_attr *attrs;
	size_t from = raw->stmt_location > 0 ? (size_t)raw->stmt_location : 0;
	size_t len;

	if (from > text.len)
		from = text.len;
	len = raw->stmt_len > 0 ? (size_t)raw->stmt_len : text.len - from;
	if (len > text.len - from)
		len = text.len - from;
	while (len && is_margin(text.ptr[from])) {
		from++;
		len--;
	}
	while (len && is_margin(text.ptr[from + len - 1]))
		len--;
	pg_walk_stmt(&w, raw->stmt);
	if (w.err < 0)
		return w.err;
	attrs = arena_array(&s->arena, w.n_attrs, sizeof(*attrs));
	if (!attrs)
		return -ENOMEM;
	memcpy(attrs, w.attrs, w.n_attrs * sizeof(*attrs));
	*ret = (struct pg_stmt){
		.verb = w.verb,
		.effects = w.effects,
		.objects = w.objects,
		.n_objects = w.n_objects,
		.attrs = attrs,
		.n_attrs = w.n_attrs,
		.offset = from,
		.len = len,
		.copy_in = w.copy_in,
		.copy_out = w.copy_out,
		.sets_lexing = w.sets_lexing,
		.may_set_lexing = w.may_set_lexing,
	};
	d->literal = d->literal || w.literal;
	d->limit = d->limit || w.limit;
	return 0;
}

static int draft_tree(struct pg_sql *s, struct slice text, PgQueryProtobuf bytes, struct draft *ret)
{
	ProtobufCAllocator alloc = { tree_alloc, tree_free, &s->arena };
	PgQuery__ParseResult *tree;
	struct draft d = { .parsed = true };
	int r;

	tree = pg_query__parse_result__unpack(&alloc, bytes.len, (const uint8_t *)bytes.data);
	if (!tree)
		return -ENOMEM;
	if (tree->n_stmts > STMTS_MAX)
		return draft_unknown(s, text, ret);
	d.n_stmts = tree->n_stmts;
	d.stmts = arena_array(&s->arena, d.n_stmts, sizeof(*d.stmts));
	if (!d.stmts)
		return -ENOMEM;
	for (size_t i = 0; i < d.n_stmts; i++) {
		r = draft_stmt(s, text, tree->stmts[i], &d, &d.stmts[i]);
		if (r < 0)
			return r;
	}
	*ret = d;
	return 0;
}

static int draft_text(struct pg_sql *s, struct slice text, struct draft *ret)
{
	PgQueryProtobufParseResult res;
	struct slice copy;
	bool oom;
	int r;

	if (text.len > PG_SQL_TEXT_MAX || !pg_utf8_valid(text))
		return draft_unknown(s, text, ret);
	r = arena_dup(&s->arena, text, &copy);
	if (r < 0)
		return r;
	if (!pg_text_is_flat((const char *)copy.ptr, copy.len))
		return draft_unknown(s, text, ret);
	res = pg_query_parse_protobuf((const char *)copy.ptr);
	if (res.error) {
		oom = res.error->message && strcmp(res.error->message, "out of memory") == 0;
		r = oom ? -ENOMEM : draft_unknown(s, text, ret);
	} else {
		r = draft_tree(s, text, res.parse_tree, ret);
	}
	pg_query_free_protobuf_parse_result(res);
	return r;
}

/* ---- packing -------------------------------------------------------------------------------- */

/* One block, filled from the front by things that need alignment and from the back by bytes. */
struct packer {
	uint8_t *front, *back;
};

static void *pack_front(struct packer *p, size_t size)
{
	void *ret = p->front;

	p->front += (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	return ret;
}

static struct slice pack_bytes(struct packer *p, struct slice s)
{
	p->back -= s.len;
	if (s.len)
		memcpy(p->back, s.ptr, s.len);
	return slice_of(p->back, s.len);
}

static size_t pack_size(size_t size)
{
	return (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static struct entry *entry_pack(const struct draft *d, struct slice key, struct slice norm)
{
	size_t size =
		pack_size(sizeof(struct entry)) + pack_size(d->n_stmts * sizeof(struct pg_stmt));
	struct packer p;
	struct pg_stmt *stmts;
	struct entry *e;

	size += key.len + (norm.ptr == key.ptr ? 0 : norm.len);
	for (size_t i = 0; i < d->n_stmts; i++) {
		const struct pg_stmt *st = &d->stmts[i];

		size += pack_size(st->n_objects * sizeof(*st->objects)) +
			pack_size(st->n_attrs * sizeof(*st->attrs));
		for (size_t k = 0; k < st->n_objects; k++)
			size += st->objects[k].name.len;
		for (size_t k = 0; k < st->n_attrs; k++)
			if (st->attrs[k].type == OP_ATTR_TEXT)
				size += st->attrs[k].s.len;
	}
	e = malloc(size);
	if (!e)
		return NULL;
	p = (struct packer){ (uint8_t *)e, (uint8_t *)e + size };
	(void)pack_front(&p, sizeof(*e)); /* e itself */
	*e = (struct entry){ .refs = 1, .bytes = size, .key = pack_bytes(&p, key) };
	e->facts.norm = norm.ptr == key.ptr ? slice_head(e->key, norm.len) : pack_bytes(&p, norm);
	stmts = pack_front(&p, d->n_stmts * sizeof(*stmts));
	for (size_t i = 0; i < d->n_stmts; i++) {
		struct op_object *objects;
		struct op_attr *attrs;

		stmts[i] = d->stmts[i];
		objects = pack_front(&p, stmts[i].n_objects * sizeof(*objects));
		for (size_t k = 0; k < stmts[i].n_objects; k++) {
			objects[k] = d->stmts[i].objects[k];
			objects[k].name = pack_bytes(&p, objects[k].name);
		}
		stmts[i].objects = objects;
		attrs = pack_front(&p, stmts[i].n_attrs * sizeof(*attrs));
		for (size_t k = 0; k < stmts[i].n_attrs; k++) {
			attrs[k] = d->stmts[i].attrs[k];
			if (attrs[k].type == OP_ATTR_TEXT)
				attrs[k].s = pack_bytes(&p, attrs[k].s);
		}
		stmts[i].attrs = attrs;
	}
	e->facts.stmts = stmts;
	e->facts.n_stmts = d->n_stmts;
	e->facts.parsed = d->parsed;
	return e;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int scratch_reserve(struct pg_sql *s, size_t size)
{
	uint8_t *p;

	if (size <= s->scratch_cap)
		return 0;
	p = realloc(s->scratch, size);
	if (!p)
		return -ENOMEM;
	s->scratch = p;
	s->scratch_cap = size;
	return 0;
}

static bool text_untrusted(struct slice text, const struct pg_sql_mode *mode)
{
	if (!mode)
		return false;
	if (mode->backslash_quote && text.len && memchr(text.ptr, '\\', text.len))
		return true;
	if (mode->encoding_unsafe)
		for (size_t i = 0; i < text.len; i++)
			if (text.ptr[i] >= 0x80)
				return true;
	return false;
}

/* Without NUL, too. A loop that the compiler turns into vector code. */
static bool text_is_ascii(struct slice text)
{
	uint8_t all = 0, zero = 0;

	for (size_t i = 0; i < text.len; i++) {
		all |= text.ptr[i];
		zero |= text.ptr[i] == 0;
	}
	return all < 0x80 && !zero;
}

/* What is unknown is so for another reason, too: not only by the functions that it calls. */
static void stmt_unknown_more(struct pg_stmt *st)
{
	/* pg_walk_stmt sets that attribute last. */
	if (st->n_attrs && strcmp(st->attrs[st->n_attrs - 1].key, "unknown_by") == 0)
		st->n_attrs--;
}

static int facts_build(struct pg_sql *s, struct slice text, struct slice norm,
		       const struct pg_norm *info, bool untrusted, uint64_t norm_hash,
		       uint64_t text_hash, struct entry **ret)
{
	unsigned kind = untrusted ? KEY_UNTRUSTED : 0;
	struct draft d;
	struct entry *e;
	bool keep;
	int r;

	r = draft_text(s, text, &d);
	if (r < 0)
		return r;
	if (norm.len && info->single && d.parsed && d.n_stmts == 1) {
		d.stmts[0].offset = info->from;
		d.stmts[0].len = info->to - info->from;
	}
	if (untrusted)
		for (size_t i = 0; i < d.n_stmts; i++) {
			d.stmts[i].effects |= OP_UNKNOWN;
			d.stmts[i].may_set_lexing = true;
			stmt_unknown_more(&d.stmts[i]);
		}
	/* One such word, with its number left in the normal form: that is the limit. */
	if (d.limit && (info->limits != 1 || info->limits_kept != 1))
		d.literal = true;
	if (norm.len && !untrusted && d.parsed && d.n_stmts == 1 && info->single &&
	    (!info->literals || !d.literal))
		kind |= KEY_NORM;
	/* Text whose other half Weir refused to look at is not worth a place. */
	keep = kind & KEY_NORM ? norm.len <= KEY_TEXT_MAX : text.len <= KEY_TEXT_MAX;
	e = entry_pack(&d, !keep ? SLICE_NONE : kind & KEY_NORM ? norm : text, norm);
	if (!e)
		return -ENOMEM;
	e->facts.fingerprint = hash_bytes(norm.len ? norm : text, HASH_KEY_FIXED);
	if (!e->facts.fingerprint)
		e->facts.fingerprint = 1;
	e->key_kind = kind;
	e->hash = kind & KEY_NORM ? norm_hash : text_hash;
	if (keep)
		cache_put(s, e);
	else
		s->stats.uncacheable++;
	*ret = e;
	return 0;
}

/* Facts found by a normal form, with the offsets of the text at hand. */
static int entry_view(struct entry *e, const struct pg_norm *info, const struct pg_facts **ret)
{
	const struct pg_stmt *st = e->facts.stmts;
	struct entry *v;

	e->refs++;
	*ret = &e->facts;
	if (st->offset == info->from && st->len == info->to - info->from)
		return 0;
	v = malloc(sizeof(*v));
	if (!v) {
		entry_unref(e);
		return -ENOMEM;
	}
	*v = (struct entry){ .facts = e->facts, .refs = 1, .base = e, .stmt = *st };
	v->stmt.offset = info->from;
	v->stmt.len = info->to - info->from;
	v->facts.stmts = &v->stmt;
	*ret = &v->facts;
	return 0;
}

int pg_sql_facts(struct pg_sql *s, struct slice text, const struct pg_sql_mode *mode,
		 const struct pg_facts **ret)
{
	bool untrusted = text_untrusted(text, mode);
	struct slice norm = SLICE_NONE;
	struct pg_norm info = { 0 };
	uint64_t norm_hash = 0, text_hash = 0;
	struct entry *e = NULL;
	int r;

	if (text.len <= PG_SQL_TEXT_MAX && !untrusted) {
		r = scratch_reserve(s, 2 * text.len + 1);
		if (r < 0)
			return r;
		if ((text_is_ascii(text) || pg_utf8_valid(text)) &&
		    pg_norm_text(text, s->scratch, &info))
			norm = slice_of(s->scratch, info.len);
	}
	if (norm.len && info.single) {
		e = cache_find(s, norm, KEY_NORM, &norm_hash);
		if (e)
			return entry_view(e, &info, ret);
	}
	if (text.len <= KEY_TEXT_MAX) {
		e = cache_find(s, text, untrusted ? KEY_UNTRUSTED : 0, &text_hash);
		if (e) {
			e->refs++;
			*ret = &e->facts;
			return 0;
		}
	}
	s->stats.misses++;
	r = facts_build(s, text, norm, &info, untrusted, norm_hash, text_hash, &e);
	arena_reset(&s->arena);
	if (r < 0)
		return r;
	*ret = &e->facts;
	return 0;
}

/* Each view by itself: what is behind those that it reads is found when it is asked for. */
static int known_read_views(struct pg_sql *s, struct pg_known *k)
{
	for (size_t i = 0; i < pg_known_views(k); i++) {
		struct slice view = pg_known_view(k, i);
		const struct pg_facts *f;
		int r;

		if (!view.len)
			continue;
		r = pg_sql_facts(s, view, NULL, &f);
		if (r < 0)
			return r;
		r = pg_known_view_set(k, i, f);
		pg_facts_unref(f);
		if (r < 0)
			return r;
	}
	return 0;
}

int pg_sql_set_catalog(struct pg_sql *s, const struct pg_catalog *c)
{
	_cleanup_(pg_known_free_p) struct pg_known *known = NULL;
	struct pg_known *old = s->known;
	int r = 0;

	if (c) {
		r = pg_known_new(c, &known);
		if (r < 0)
			return r;
		/* By the new names already: a view may call somebody's abs(). */
		s->known = known;
		cache_clear(s);
		r = known_read_views(s, known);
		s->known = old;
	}
	cache_clear(s);
	if (r < 0)
		return r;
	(void)pg_known_free(old); /* returns NULL */
	s->known = TAKE_PTR(known);
	return 0;
}
