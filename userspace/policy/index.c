// SPDX-License-Identifier: Apache-2.0
/*
 * How a verdict is found among thousands of rules within a microsecond: sets of rules as bits for
 * what has few values (protocol, verb, effect, target), hashes for what has many (names of objects,
 * heads of paths). The index only leaves out what cannot match; decide.c checks the rest in full.
 */
#include <errno.h>

#include "compiled.h"

unsigned policy_index_verb(const struct verb_table *t, struct slice verb)
{
	if (verb.len > VERB_MAX)
		return VERBS_INDEXED;
	for (uint64_t h = index_hash(verb);; h++) {
		uint8_t slot = t->slots[h % VERB_SLOTS];

		if (!slot)
			return VERBS_INDEXED;
		if (slice_ieq(t->names[slot - 1], verb))
			return slot - 1u;
	}
}

static void verb_insert(struct verb_table *t, struct slice verb)
{
	uint64_t h = index_hash(verb);

	if (t->n == VERBS_INDEXED || policy_index_verb(t, verb) < VERBS_INDEXED)
		return;
	while (t->slots[h % VERB_SLOTS])
		h++;
	t->names[t->n++] = verb;
	t->slots[h % VERB_SLOTS] = (uint8_t)t->n;
}

static uint64_t *set_new(struct policy *p, const struct index *x)
{
	return arena_array(&p->arena, x->words, sizeof(uint64_t));
}

static void set_add(uint64_t *set, size_t rule)
{
	set[rule / 64] |= 1ULL << (rule % 64);
}

/* ---- keys ------------------------------------------------------------------------------------- */

enum { LITERAL_MAX = 32 }; /* bytes of a literal head or tail that are used */

struct key {
	enum found_by by;
	uint64_t hash;
	size_t len;
};

static bool is_wild(uint8_t c)
{
	return c == '*' || c == '?';
}

static struct slice literal_head(struct slice s)
{
	size_t n = 0;

	while (n < s.len && n < LITERAL_MAX && !is_wild(s.ptr[n]))
		n++;
	return slice_head(s, n);
}

static size_t literal_tail_len(struct slice s)
{
	size_t n = 0;

	while (n < s.len && n < LITERAL_MAX && !is_wild(s.ptr[s.len - 1 - n]))
		n++;
	return n;
}

static bool has_deep(struct slice s)
{
	for (size_t i = 1; i < s.len; i++)
		if (s.ptr[i] == '*' && s.ptr[i - 1] == '*')
			return true;
	return false;
}

static struct key head_key(struct slice head)
{
	return (struct key){ FOUND_HEAD, index_hash(head), head.len };
}

static struct key tail_key(struct slice last, size_t len)
{
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i < len; i++)
		h = index_hash_step(h, last.ptr[last.len - 1 - i]);
	return (struct key){ FOUND_TAIL, h, len };
}

/*
 * Keys of a pattern over objects, 0 to 2 of them: one of them is found in whatever it matches.
 *
 * Of a name with dots the last part always has to match the pattern's last part (unless "**" in it
 * crosses dots), so that its literal head or tail will do. Names of files and paths are matched whole,
 * and so is their head; "/a/" with stars behind matches "/a" as well.
 */
static size_t object_keys(const struct pattern *p, struct key ret[2])
{
	struct slice last = pattern_last_part(p->text), dotted, whole;
	bool for_paths = !p->kind || pattern_kind_is_path(pattern_kinds[p->kind - 1]);
	bool for_others = !p->kind || !for_paths;
	size_t tail, n = 0;

	if (p->re || p->any)
		return 0;
	if (!p->glob || literal_head(last).len == last.len) {
		ret[0] = (struct key){ FOUND_NAME, index_hash(last), last.len };
		return last.len <= LITERAL_MAX || !p->glob ? 1 : 0;
	}
	tail = literal_tail_len(last);
	dotted = literal_head(last);
	whole = literal_head(p->text);
	if (whole.len && whole.ptr[whole.len - 1] == '/')
		whole.len--;
	if (tail >= dotted.len && tail) {
		ret[0] = tail_key(last, tail);
		return 1;
	}
	if (for_others) {
		if (!dotted.len || has_deep(last))
			return 0;
		ret[n++] = head_key(dotted);
	}
	if (for_paths && !whole.len)
		ret[n++] = (struct key){ FOUND_FILE, INDEX_HASH_START, 0 };
	else if (for_paths && (n == 0 || !slice_eq(whole, dotted)))
		ret[n++] = head_key(whole);
	return n;
}

/* The literal head of a path pattern up to a component's end; empty when it has none. */
static struct slice path_key(const struct pattern *pat)
{
	struct slice s = pat->text;
	size_t parts = 0;

	if (pat->glob) {
		size_t n = 0;

		while (n < s.len && s.ptr[n] != '*' && s.ptr[n] != '?')
			n++;
		while (n > 0 && s.ptr[n - 1] != '/')
			n--;
		s.len = n ? n - 1 : 0; /* without the slash */
	} else if (s.len && s.ptr[s.len - 1] == '/') {
		s.len--;
	}
	for (size_t i = 1; i < s.len; i++)
		if (s.ptr[i] == '/' && ++parts == PREFIX_PARTS)
			s.len = i;
	return s;
}

/* What any text must begin with that a regular expression matches, as far as that is plain to see. */
static struct slice regex_head(const struct pattern *p, enum manner how)
{
	struct slice s = p->text;
	size_t n = 0;

	if (s.len && s.ptr[0] == '^')
		s = slice_from(s, 1);
	else if (how == BROAD)
		return SLICE_NONE; /* may match in the middle */
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == '|' || (s.ptr[i] == '(' && i + 1 < s.len && s.ptr[i + 1] == '?'))
			return SLICE_NONE;
	while (n < s.len && !strchr("\\^$.[]()*+?{}", s.ptr[n]))
		n++;
	/* "/a/b*" promises "/a/" only. */
	if (n < s.len && n > 0 && s.ptr[n] && strchr("*+?{", s.ptr[n]))
		n--;
	while (n > 0 && s.ptr[n - 1] != '/')
		n--;
	return slice_head(s, n ? n - 1 : 0);
}

static size_t path_keys(const struct pattern *p, enum manner how, struct key ret[2])
{
	struct pattern head = { .text = p->re ? regex_head(p, how) : p->text, .glob = p->glob };
	struct slice s = path_key(&head);

	if (!s.len || s.ptr[0] != '/')
		return 0;
	ret[0] = (struct key){ FOUND_PATH, index_hash(s), 0 };
	return 1;
}

enum source { BY_SCAN, BY_OBJECTS, BY_PATHS };

/* By what a rule is found: all of its patterns must have a key. */
static enum source rule_source(const struct rule *r)
{
	bool objects = r->objects.n > 0, paths = r->paths.n > 0;
	struct key keys[2];

	for (size_t i = 0; objects && i < r->objects.n; i++)
		objects = object_keys(&r->objects.at[i], keys) > 0;
	if (objects)
		return BY_OBJECTS;
	for (size_t i = 0; paths && i < r->paths.n; i++)
		paths = path_keys(&r->paths.at[i], rule_manner(r), keys) > 0;
	return paths ? BY_PATHS : BY_SCAN;
}

/* The keys of a rule's i-th pattern; none behind the last. */
static size_t rule_keys(const struct rule *r, enum source source, size_t i, struct key ret[2])
{
	if (source == BY_OBJECTS && i < r->objects.n)
		return object_keys(&r->objects.at[i], ret);
	if (source == BY_PATHS && i < r->paths.n)
		return path_keys(&r->paths.at[i], rule_manner(r), ret);
	return 0;
}

static bool is_in(const struct index *x, const struct rule *r)
{
	return x->scores ? r->risk > 0 : r->decides;
}

static int postings_new(struct policy *p, size_t n, struct postings *out)
{
	if (n == 0)
		return 0;
	out->mask = 1;
	while (out->mask < n * 2)
		out->mask <<= 1;
	out->mask--;
	out->start = arena_array(&p->arena, (size_t)out->mask + 2, sizeof(*out->start));
	out->entries = arena_array(&p->arena, n, sizeof(*out->entries));
	return out->start && out->entries ? 0 : -ENOMEM;
}

/* Counts each key in its bucket, or puts it there; from the last rule to the first. */
static void postings_pass(const struct policy *p, struct index *x, const uint8_t *sources, bool put)
{
	struct key keys[2];
	size_t n;

	for (size_t i = p->n_rules; i-- > 0;) {
		for (size_t k = 0; (n = rule_keys(&p->rules[i], sources[i], k, keys)) > 0; k++) {
			while (n-- > 0) {
				struct postings *list = &x->found[keys[n].by];
				uint32_t *start = &list->start[keys[n].hash & list->mask];

				if (put)
					list->entries[--start[1]] =
						(struct posting){ keys[n].hash, (uint32_t)i };
				else
					start[1]++;
				list->lengths |= 1ULL << keys[n].len % 64;
			}
		}
	}
}

static int postings_build(struct policy *p, struct index *x, const uint8_t *sources)
{
	size_t total[FOUND_COUNT] = { 0 };
	struct key keys[2];
	size_t n;

	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; (n = rule_keys(&p->rules[i], sources[i], k, keys)) > 0; k++)
			while (n-- > 0)
				total[keys[n].by]++;
	for (unsigned by = 0; by < FOUND_COUNT; by++)
		if (postings_new(p, total[by], &x->found[by]) < 0)
			return -ENOMEM;
	/* A counting sort by bucket, which keeps the rising order of rules within one. */
	postings_pass(p, x, sources, false);
	for (unsigned by = 0; by < FOUND_COUNT; by++)
		for (size_t b = 0; total[by] && b <= x->found[by].mask; b++)
			x->found[by].start[b + 1] += x->found[by].start[b];
	postings_pass(p, x, sources, true);
	for (unsigned by = 0; by < FOUND_COUNT; by++) {
		struct postings *list = &x->found[by];

		if (!total[by])
			continue;
		/* The second pass moved each start[b + 1] down to where bucket b begins. */
		memmove(list->start, list->start + 1,
			(size_t)(list->mask + 1) * sizeof(*list->start));
		list->start[list->mask + 1] = (uint32_t)total[by];
	}
	return 0;
}

/* ---- sets ------------------------------------------------------------------------------------- */

static int sets_new(struct policy *p, struct index *x)
{
	x->general = set_new(p, x);
	x->path_all = set_new(p, x);
	x->no_target = set_new(p, x);
	if (!x->general || !x->path_all || !x->no_target)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(x->protocol); i++)
		if (!(x->protocol[i] = set_new(p, x)))
			return -ENOMEM;
	for (size_t i = 0; i < OP_EFFECT_COUNT; i++)
		if (!(x->effect[i] = set_new(p, x)))
			return -ENOMEM;
	for (size_t i = 0; i <= VERBS_INDEXED; i++)
		if ((i < p->verbs.n || i == VERBS_INDEXED) && !(x->verb[i] = set_new(p, x)))
			return -ENOMEM;
	if (p->n_targets == 0 || p->n_targets > TARGET_BITS_MAX / x->words)
		return 0;
	x->target = arena_array(&p->arena, p->n_targets, sizeof(*x->target));
	if (!x->target)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_targets; i++)
		if (!(x->target[i] = set_new(p, x)))
			return -ENOMEM;
	return 0;
}

static void verbs_index(struct policy *p, struct index *x, size_t i)
{
	struct rule *r = &p->rules[i];
	bool other_verb = r->n_verbs == 0;

	for (size_t k = 0; k < r->n_verbs; k++) {
		unsigned v = policy_index_verb(&p->verbs, r->verbs[k]);

		if (v < VERBS_INDEXED)
			r->verb_bits |= 1ULL << v;
		else
			other_verb = true;
	}
	for (size_t k = 0; k < p->verbs.n; k++)
		if (r->n_verbs == 0 || r->verb_bits >> k & 1)
			set_add(x->verb[k], i);
	if (other_verb)
		set_add(x->verb[VERBS_INDEXED], i);
}

static void rule_index(struct policy *p, struct index *x, size_t i)
{
	struct rule *r = &p->rules[i];

	verbs_index(p, x, i);
	for (unsigned k = 0; k < PROTOCOL_COUNT; k++)
		if (!r->protocols || r->protocols & 1u << k)
			set_add(x->protocol[k], i);
	if (!r->protocols)
		set_add(x->protocol[PROTOCOL_COUNT], i);
	for (unsigned k = 0; k < OP_EFFECT_COUNT; k++)
		if (!r->effects || r->effects & 1u << k)
			set_add(x->effect[k], i);
	for (size_t k = 0; x->target && k < r->n_targets; k++)
		set_add(x->target[r->targets[k]], i);
	if (r->n_targets == 0)
		set_add(x->no_target, i);
	if (r->paths.n)
		set_add(x->path_all, i);
}

static int index_build(struct policy *p, struct index *x)
{
	uint8_t *sources;
	int r;

	for (size_t i = 0; i < p->n_rules && !x->any; i++)
		x->any = is_in(x, &p->rules[i]);
	if (!x->any)
		return 0;
	x->words = (p->n_rules + 63) / 64;
	sources = arena_array(&p->arena, p->n_rules, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	r = sets_new(p, x);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++) {
		if (!is_in(x, &p->rules[i]))
			continue; /* BY_SCAN, and in no set */
		sources[i] = (uint8_t)rule_source(&p->rules[i]);
		rule_index(p, x, i);
		if (sources[i] == BY_SCAN)
			set_add(x->general, i);
	}
	return postings_build(p, x, sources);
}

int policy_index_build(struct policy *p)
{
	int r;

	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; k < p->rules[i].n_verbs; k++)
			verb_insert(&p->verbs, p->rules[i].verbs[k]);
	p->scores.scores = true;
	r = index_build(p, &p->index);
	return r < 0 ? r : index_build(p, &p->scores);
}
