/* SPDX-License-Identifier: Apache-2.0 */
/* What a query means: which index keys it stands for, and whether a record matches it. */
#include <errno.h>
#include <limits.h>

#include "base/glob.h"
#include "find.h"

enum { CONTAINER_PREFIX_MIN = 12 };

static int copy_str(struct arena *a, const char **s)
{
	struct slice copy;

	if (!*s)
		return 0;
	if (arena_dup(a, slice_str(*s), &copy) < 0)
		return -ENOMEM;
	*s = (const char *)copy.ptr;
	return 0;
}

static bool has_glob(const char *s)
{
	return strpbrk(s, "*?") != NULL;
}

/* "/a/b/" and "/a/b" mean the same subtree. */
static struct slice cgroup_trimmed(const char *s)
{
	struct slice p = slice_str(s);

	while (p.len && p.ptr[p.len - 1] == '/')
		p.len--;
	return p;
}

static bool cgroup_matches(const char *pattern, struct slice path)
{
	struct slice p = cgroup_trimmed(pattern);

	if (has_glob(pattern))
		return glob_match(p, path, '/', GLOB_EXACT);
	return slice_has_prefix(path, p) && (path.len == p.len || path.ptr[p.len] == '/');
}

static bool is_hex_prefix(const char *s)
{
	return strlen(s) >= CONTAINER_PREFIX_MIN && strspn(s, "0123456789abcdef") == strlen(s);
}

static bool container_matches(const char *pattern, struct slice container)
{
	if (is_hex_prefix(pattern) && slice_has_prefix(container, slice_str(pattern)))
		return true;
	return glob_match(slice_str(pattern), container, 0, GLOB_EXACT);
}

static bool target_matches(const char *pattern, struct slice target)
{
	return glob_match(slice_str(pattern), target, 0, GLOB_EXACT);
}

static bool label_matches(const struct store_query *q, const struct identity *id)
{
	for (size_t i = 0; i < id->n_labels; i++) {
		if (!strcmp(id->labels[i].key, q->label_key) &&
		    (!q->label_value || !strcmp(id->labels[i].value, q->label_value)))
			return true;
	}
	return false;
}

bool find_session_matches(const struct find *f, const struct store_session *sess)
{
	const struct store_query *q = &f->q;
	const struct identity *id = &sess->identity;

	return (!q->cgroup || cgroup_matches(q->cgroup, slice_str(id->cgroup_path))) &&
	       (!q->cgroup_id || q->cgroup_id == id->cgroup_id) &&
	       (!q->container || container_matches(q->container, slice_str(id->container))) &&
	       (!q->target || target_matches(q->target, slice_str(sess->target))) &&
	       (!q->protocol || !strcmp(q->protocol, sess->protocol)) &&
	       (!q->label_key || label_matches(q, id)) && sess->start_ns >= q->since_ns &&
	       (!q->until_ns || sess->start_ns < q->until_ns) &&
	       (q->pid == UINT32_MAX || q->pid == id->pid) &&
	       (q->uid == UINT32_MAX || q->uid == id->uid);
}

static bool word_in_event(const struct term_word *w, const struct store_event *ev)
{
	struct slice text;

	for (size_t n = 0; term_event_text(ev, n, &text); n++) {
		if (term_word_in(w, text))
			return true;
	}
	return false;
}

bool find_event_matches(const struct find *f, const struct store_event *ev)
{
	const struct store_query *q = &f->q;

	if (!store_event_searchable(ev->type))
		return false;
	if (ev->type != STORE_OP && (!q->n_words || q->verdict >= 0 || q->rule || q->fingerprint))
		return false;
	if ((q->verdict >= 0 && (int)ev->verdict.kind != q->verdict) ||
	    (q->rule && strcmp(ev->verdict.rule, q->rule)) ||
	    (q->fingerprint && ev->op->fingerprint != q->fingerprint))
		return false;
	for (size_t i = 0; i < q->n_words; i++) {
		if (!word_in_event(&f->words[i], ev))
			return false;
	}
	return true;
}

/* ---- preparing ---------------------------------------------------------------------------- */

static int add_event_key(struct find *f, size_t len, const uint8_t *key)
{
	struct find_key *k = &f->event_keys[f->n_event_keys];

	memcpy(k->key, key, len);
	k->len = len;
	f->n_event_keys++;
	return 0;
}

static size_t words_in(struct slice text)
{
	struct slice word;
	size_t n = 0;

	for (size_t pos = 0; term_next(text, &pos, &word);)
		n++;
	return n;
}

static int prepare_words(struct find *f, const struct store_query *q)
{
	f->words = arena_array(&f->mem, MAX(q->n_words, (size_t)1), sizeof(*f->words));
	if (!f->words)
		return -ENOMEM;
	for (size_t i = 0; i < q->n_words; i++) {
		struct slice copy;

		if (arena_dup(&f->mem, slice_str(q->words[i]), &copy) < 0)
			return -ENOMEM;
		for (size_t k = 0; k < copy.len; k++) {
			uint8_t *c = (uint8_t *)copy.ptr + k; /* our own copy */

			if (*c >= 'A' && *c <= 'Z')
				*c |= 0x20;
		}
		f->words[i].prefix = copy.len && copy.ptr[copy.len - 1] == '*';
		copy.len -= f->words[i].prefix;
		f->words[i].text = copy;
	}
	return 0;
}

int find_prepare(struct find *f, const struct store_query *q)
{
	uint8_t key[STORE_KEY_MAX], term[STORE_TERM_MAX];
	const char **strings[] = { &f->q.cgroup,    &f->q.container,   &f->q.target, &f->q.protocol,
				   &f->q.label_key, &f->q.label_value, &f->q.rule };
	size_t n_keys = 3;
	int r;

	f->q = *q;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		if (copy_str(&f->mem, strings[i]) < 0)
			return -ENOMEM;
	}
	r = prepare_words(f, q);
	if (r < 0)
		return r;
	f->q.words = NULL; /* ours are in f->words */
	for (size_t i = 0; i < q->n_words; i++)
		n_keys += words_in(f->words[i].text);
	f->event_keys = arena_array(&f->mem, n_keys, sizeof(*f->event_keys));
	if (!f->event_keys)
		return -ENOMEM;
	for (size_t i = 0; i < q->n_words; i++) {
		struct slice text = f->words[i].text, word;

		for (size_t pos = 0; term_next(text, &pos, &word) && !r;) {
			if (f->words[i].prefix && pos == text.len)
				break; /* it may go on: no key of its own */
			r = add_event_key(f,
					  store_index_key(key, KIND_WORD,
							  slice_of(term, term_fold(word, term))),
					  key);
		}
	}
	f->n_word_keys = f->n_event_keys;
	if (!r && q->verdict >= 0) {
		uint8_t v = (uint8_t)q->verdict;

		r = add_event_key(f, store_index_key(key, KIND_VERDICT, slice_of(&v, 1)), key);
	}
	if (!r && q->rule)
		r = add_event_key(f, store_index_key(key, KIND_RULE, slice_str(q->rule)), key);
	if (!r && q->fingerprint)
		r = add_event_key(f, store_index_key_u64(key, KIND_FINGERPRINT, q->fingerprint),
				  key);
	f->on_events = f->n_event_keys > 0 || q->n_words > 0;
	f->lo = q->since_ns > STORE_TIME_SLACK_NS ? ulid_floor(q->since_ns - STORE_TIME_SLACK_NS)
						  : (struct ulid){ { 0 } };
	memset(f->hi.bytes, 0xff, sizeof(f->hi.bytes));
	if (q->until_ns && q->until_ns < UINT64_MAX - 2 * STORE_TIME_SLACK_NS)
		f->hi = ulid_floor(q->until_ns + 2 * STORE_TIME_SLACK_NS);
	return r;
}

/* ---- choosing what drives ----------------------------------------------------------------- */

struct plan {
	struct find_source sources[FIND_KEYS + 2];
	size_t n;
	size_t cost; /* postings */
};

static int count_key(struct find *f, const struct find_key *key, size_t *ret)
{
	MDB_val k = store_val(key->key, key->len), v;
	size_t n = 0;
	int rc = mdb_cursor_get(f->index, &k, &v, MDB_SET);

	if (!rc)
		rc = mdb_cursor_count(f->index, &n);
	if (rc && rc != MDB_NOTFOUND)
		return store_errno(rc);
	*ret = rc ? 0 : n;
	return 0;
}

static int plan_key(struct find *f, struct plan *p, const uint8_t *key, size_t len)
{
	struct find_source *src = &p->sources[p->n];
	size_t n = 0;
	int r;

	*src = (struct find_source){ .type = SOURCE_KEY };
	memcpy(src->key.key, key, len);
	src->key.len = len;
	r = count_key(f, &src->key, &n);
	if (r < 0)
		return r;
	p->cost += n;
	p->n++;
	return 0;
}

/* For facts of events: what is not indexed yet, and for words what the index could not take. */
static int plan_rest(struct find *f, struct plan *p, bool words)
{
	uint8_t key[STORE_KEY_MAX];

	p->sources[p->n++] = (struct find_source){ .type = SOURCE_OPEN };
	return words ? plan_key(f, p, key, store_index_key(key, KIND_OVERFLOW, SLICE_NONE)) : 0;
}

static void take_cheaper(struct find *f, const struct plan *p, size_t *cost, bool replan)
{
	if (p->cost >= *cost)
		return;
	memcpy(f->sources, p->sources, p->n * sizeof(p->sources[0]));
	f->n_sources = p->n;
	f->replan = replan;
	*cost = p->cost;
}

static bool value_matches(const struct find *f, enum store_kind kind, struct slice value)
{
	if (store_index_key_cut(value.len + 1) || kind == KIND_WORD)
		return true; /* cut: the record will tell; a word: the range is the prefix */
	if (kind == KIND_CGROUP)
		return cgroup_matches(f->q.cgroup, value);
	return kind == KIND_CONTAINER ? container_matches(f->q.container, value)
				      : target_matches(f->q.target, value);
}

/* All keys of a kind that begin with head and match. 1, or 0 when there are too many. */
static int plan_range(struct find *f, struct plan *p, enum store_kind kind, struct slice head)
{
	uint8_t key[STORE_KEY_MAX];
	size_t len;
	MDB_val k, v;
	int rc, r;

	if (head.len > STORE_VALUE_WHOLE)
		head.len = STORE_VALUE_WHOLE;
	len = store_index_key(key, kind, head);
	k = store_val(key, len);
	rc = mdb_cursor_get(f->index, &k, &v, MDB_SET_RANGE);
	while (!rc && slice_has_prefix(store_slice(k), slice_of(key, len))) {
		if (value_matches(f, kind, slice_from(store_slice(k), 1)) &&
		    k.mv_size <= STORE_KEY_MAX) {
			if (p->n == FIND_KEYS)
				return 0;
			r = plan_key(f, p, k.mv_data, k.mv_size); /* stays on this key */
			if (r < 0)
				return r;
		}
		rc = mdb_cursor_get(f->index, &k, &v, MDB_NEXT_NODUP);
	}
	return rc && rc != MDB_NOTFOUND ? store_errno(rc) : 1;
}

static struct slice glob_head(const char *pattern)
{
	return slice_of(pattern, strcspn(pattern, "*?"));
}

static int plan_session_range(struct find *f, enum store_kind kind, struct slice head, size_t *cost)
{
	struct plan p = { .n = 0 };
	int r = plan_range(f, &p, kind, head);

	if (r > 0)
		take_cheaper(f, &p, cost, false);
	return r < 0 ? r : 0;
}

/* "/a/" + "**" also matches "/a": the range must begin before the slash. */
static struct slice cgroup_head(const char *pattern)
{
	struct slice head = has_glob(pattern) ? glob_head(pattern) : cgroup_trimmed(pattern);

	if (has_glob(pattern) && head.len && head.ptr[head.len - 1] == '/')
		head.len--;
	return head;
}

static int plan_sessions(struct find *f, size_t *cost)
{
	const struct store_query *q = &f->q;
	int r = 0;

	if (q->cgroup_id) {
		uint8_t key[STORE_KEY_MAX];
		struct plan p = { .n = 0 };

		r = plan_key(f, &p, key, store_index_key_u64(key, KIND_CGROUP_ID, q->cgroup_id));
		if (!r)
			take_cheaper(f, &p, cost, false);
	}
	if (!r && q->cgroup && cgroup_head(q->cgroup).len)
		r = plan_session_range(f, KIND_CGROUP, cgroup_head(q->cgroup), cost);
	/* An empty name is in no index; globs that could match it are no use here. */
	if (!r && q->container && glob_head(q->container).len)
		r = plan_session_range(f, KIND_CONTAINER, glob_head(q->container), cost);
	if (!r && q->target && glob_head(q->target).len)
		r = plan_session_range(f, KIND_TARGET, glob_head(q->target), cost);
	return r;
}

static int plan_prefix_word(struct find *f, const struct term_word *w, size_t *cost)
{
	uint8_t term[STORE_TERM_MAX];
	struct plan p = { .n = 0 };
	struct slice word, last = SLICE_NONE;
	int r;

	for (size_t pos = 0; term_next(w->text, &pos, &word);)
		last = pos == w->text.len ? word : SLICE_NONE;
	if (!last.len)
		return 0;
	r = plan_range(f, &p, KIND_WORD, slice_of(term, term_fold(last, term)));
	if (r <= 0)
		return r;
	r = plan_rest(f, &p, true);
	if (!r)
		take_cheaper(f, &p, cost, true);
	return r;
}

int find_plan(struct find *f)
{
	MDB_stat st;
	size_t cost;
	int r = store_errno(mdb_stat(f->txn, f->store->dbi[DB_SESSION], &st));

	if (r < 0)
		return r;
	f->sources[0] = (struct find_source){ .type = SOURCE_SESSIONS };
	f->n_sources = 1;
	f->replan = false;
	/* Within a time range a scan passes over the rest; without one it sees all. */
	cost = f->q.since_ns || f->q.until_ns ? st.ms_entries / 8 + 1 : st.ms_entries + 1;
	r = plan_sessions(f, &cost);
	for (size_t i = 0; i < f->n_event_keys && !r; i++) {
		struct plan p = { .n = 0 };

		r = plan_key(f, &p, f->event_keys[i].key, f->event_keys[i].len);
		if (!r)
			r = plan_rest(f, &p, i < f->n_word_keys);
		if (!r)
			take_cheaper(f, &p, &cost, false);
	}
	for (size_t i = 0; i < f->q.n_words && !r; i++) {
		if (f->words[i].prefix)
			r = plan_prefix_word(f, &f->words[i], &cost);
	}
	return r;
}
