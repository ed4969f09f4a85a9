// SPDX-License-Identifier: Apache-2.0
/*
 * How a verdict is found among thousands of rules within a microsecond: sets of rules as bits for
 * what has few values (protocol, verb, effect, target), hashes for what has many (names of objects,
 * heads of paths). The index only leaves out what cannot match; decide.c checks the rest in full.
 */
#include <errno.h>

#include "compiled.h"

unsigned policy_index_verb(const struct index *x, struct slice verb)
{
	if (verb.len > VERB_MAX)
		return VERBS_INDEXED;
	for (uint64_t h = index_hash(verb);; h++) {
		uint8_t slot = x->verb_slots[h % VERB_SLOTS];

		if (!slot)
			return VERBS_INDEXED;
		if (slice_ieq(x->verb_names[slot - 1], verb))
			return slot - 1u;
	}
}

static void verb_insert(struct index *x, struct slice verb)
{
	uint64_t h = index_hash(verb);

	if (x->n_verbs == VERBS_INDEXED || policy_index_verb(x, verb) < VERBS_INDEXED)
		return;
	while (x->verb_slots[h % VERB_SLOTS])
		h++;
	x->verb_names[x->n_verbs++] = verb;
	x->verb_slots[h % VERB_SLOTS] = (uint8_t)x->n_verbs;
}

static uint64_t *set_new(struct policy *p)
{
	return arena_array(&p->arena, p->index.words, sizeof(uint64_t));
}

static void set_add(uint64_t *set, size_t rule)
{
	set[rule / 64] |= 1ULL << (rule % 64);
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

/* By what a rule is found: all of its patterns must have such a key. */
enum found_by { BY_SCAN, BY_OBJECT, BY_PATH };

static enum found_by rule_found_by(const struct rule *r)
{
	bool objects = r->objects.n > 0, paths = r->paths.n > 0;

	for (size_t i = 0; i < r->objects.n; i++)
		objects = objects && !r->objects.at[i].glob;
	for (size_t i = 0; i < r->paths.n; i++)
		paths = paths && path_key(&r->paths.at[i]).len > 0;
	return objects ? BY_OBJECT : paths ? BY_PATH : BY_SCAN;
}

static uint64_t key_hash(const struct rule *r, enum found_by by, size_t i)
{
	return by == BY_OBJECT ? index_hash(pattern_last_part(r->objects.at[i].text))
			       : index_hash(path_key(&r->paths.at[i]));
}

static int postings_build(struct policy *p, enum found_by by, struct postings *ret)
{
	struct postings out = { .mask = 1 };
	size_t n = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		if (rule_found_by(&p->rules[i]) == by)
			n += by == BY_OBJECT ? p->rules[i].objects.n : p->rules[i].paths.n;
	if (n == 0)
		return 0;
	while (out.mask < n * 2)
		out.mask <<= 1;
	out.mask--;
	out.start = arena_array(&p->arena, (size_t)out.mask + 2, sizeof(*out.start));
	out.entries = arena_array(&p->arena, n, sizeof(*out.entries));
	if (!out.start || !out.entries)
		return -ENOMEM;
	/* A counting sort by bucket, which keeps the rising order of rules within one. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (size_t i = p->n_rules; i-- > 0;) {
			const struct rule *r = &p->rules[i];
			size_t keys = by == BY_OBJECT ? r->objects.n : r->paths.n;

			if (rule_found_by(r) != by)
				continue;
			for (size_t k = 0; k < keys; k++) {
				uint64_t h = key_hash(r, by, k);
				uint32_t *start = &out.start[h & out.mask];

				if (pass == 0)
					start[1]++;
				else
					out.entries[--start[1]] =
						(struct posting){ h, (uint32_t)i };
			}
		}
		for (size_t b = 0; pass == 0 && b <= out.mask; b++)
			out.start[b + 1] += out.start[b];
	}
	/* The second pass moved each start[b + 1] down to where bucket b begins. */
	memmove(out.start, out.start + 1, (size_t)(out.mask + 1) * sizeof(*out.start));
	out.start[out.mask + 1] = (uint32_t)n;
	*ret = out;
	return 0;
}

static int sets_new(struct policy *p)
{
	struct index *x = &p->index;

	x->general = set_new(p);
	x->path_all = set_new(p);
	x->no_target = set_new(p);
	if (!x->general || !x->path_all || !x->no_target)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(x->protocol); i++)
		if (!(x->protocol[i] = set_new(p)))
			return -ENOMEM;
	for (size_t i = 0; i < OP_EFFECT_COUNT; i++)
		if (!(x->effect[i] = set_new(p)))
			return -ENOMEM;
	for (size_t i = 0; i <= VERBS_INDEXED; i++)
		if ((i < x->n_verbs || i == VERBS_INDEXED) && !(x->verb[i] = set_new(p)))
			return -ENOMEM;
	if (p->n_targets == 0 || p->n_targets > TARGET_BITS_MAX / x->words)
		return 0;
	x->target = arena_array(&p->arena, p->n_targets, sizeof(*x->target));
	if (!x->target)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_targets; i++)
		if (!(x->target[i] = set_new(p)))
			return -ENOMEM;
	return 0;
}

static void rule_index(struct policy *p, size_t i)
{
	struct index *x = &p->index;
	struct rule *r = &p->rules[i];
	bool other_verb = r->n_verbs == 0;

	for (size_t k = 0; k < r->n_verbs; k++) {
		unsigned v = policy_index_verb(x, r->verbs[k]);

		if (v < VERBS_INDEXED)
			r->verb_bits |= 1ULL << v;
		else
			other_verb = true;
	}
	for (size_t k = 0; k < x->n_verbs; k++)
		if (r->n_verbs == 0 || r->verb_bits >> k & 1)
			set_add(x->verb[k], i);
	if (other_verb)
		set_add(x->verb[VERBS_INDEXED], i);
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
	if (rule_found_by(r) == BY_SCAN)
		set_add(x->general, i);
}

int policy_index_build(struct policy *p)
{
	struct index *x = &p->index;
	int r;

	x->words = (p->n_rules + 63) / 64;
	if (x->words == 0)
		return 0;
	for (size_t i = 0; i < p->n_rules; i++)
		for (size_t k = 0; k < p->rules[i].n_verbs; k++)
			verb_insert(x, p->rules[i].verbs[k]);
	r = sets_new(p);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++)
		rule_index(p, i);
	r = postings_build(p, BY_OBJECT, &x->objects);
	if (r < 0)
		return r;
	return postings_build(p, BY_PATH, &x->prefixes);
}
