// SPDX-License-Identifier: Apache-2.0
/* The "when" of a rule. */
#include <errno.h>
#include <stdio.h>

#include "compiled.h"

static const struct load_key when_keys[] = {
	{ "protocol", false },     { "target", false }, { "verb", false },   { "effect", false },
	{ "object", false },       { "access", false }, { "attr", false },   { "path", false },
	{ "host", false },         { "query", false },  { "header", false }, { "json", false },
	{ "text", false },         { "size", false },   { "client", false }, { "risk", false },
	{ "session_risk", false }, { "rate", false },   { "quota", false },
};

static const char *const measure_names[MEASURE_COUNT] = { "ops", "rows", "bytes" };

static int words_load(struct load *l, const struct place *at, const json_t *v,
		      const char *const *words, size_t n_words, uint32_t *ret)
{
	struct load_list list;
	uint32_t bits = 0;
	int r;

	r = load_list_open(l, at, v, "a word or a list of words", &list);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		struct place here;
		const json_t *item = load_list_get(&list, i, &here);
		size_t word;

		r = load_word(l, &here, item, words, n_words, &word);
		if (r < 0)
			return r;
		bits |= 1u << word;
	}
	*ret = bits;
	return 0;
}

static int verbs_load(struct load *l, const struct place *at, const json_t *v, struct rule *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "a verb or a list of verbs", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->verbs), &ret->verbs);
	if (r < 0)
		return r;
	for (; ret->n_verbs < list.n; ret->n_verbs++) {
		struct place here;
		const json_t *item = load_list_get(&list, ret->n_verbs, &here);
		struct slice s;

		r = load_text(l, &here, item, VERB_MAX, &s);
		if (r < 0)
			return r;
		for (size_t i = 0; i < s.len; i++)
			if (!((s.ptr[i] | 0x20) >= 'a' && (s.ptr[i] | 0x20) <= 'z') &&
			    s.ptr[i] != '_' && s.ptr[i] != '-')
				return load_fail(
					l, &here,
					"\"%s\": a verb is one word of letters, '_' and '-', "
					"without wildcards",
					load_quote(l, (const char *)s.ptr));
		ret->verbs[ret->n_verbs] = s;
	}
	return 0;
}

static int name_find(const void *key, const void *entry)
{
	return strcmp(key, ((const struct target_name *)entry)->name);
}

static int index_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int unknown_target(struct load *l, const struct place *at, const char *word,
			  const struct policy *p, const struct target_name *names)
{
	enum { TRIED = 64 };
	const char *words[TRIED], *near;
	size_t n = 0;

	for (size_t i = 0; i < p->n_targets && n < TRIED; i++)
		words[n++] = names[i].name;
	near = load_near(word, words, n);
	return load_fail(l, at, "no target is named \"%s\"%s%s%s", load_quote(l, word),
			 near ? ": did you mean \"" : "; the rule can never match",
			 near ? near : "", near ? "\"?" : "");
}

static int rule_targets_load(struct load *l, const struct place *at, const json_t *v,
			     const struct policy *p, const struct target_name *names,
			     struct rule *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "a target's name or a list of them", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->targets), &ret->targets);
	if (r < 0)
		return r;
	for (; ret->n_targets < list.n; ret->n_targets++) {
		const struct target_name *found = NULL;
		struct place here;
		const json_t *item = load_list_get(&list, ret->n_targets, &here);

		if (!json_is_string(item))
			return load_fail(l, &here, "expected the name of a target, not %s",
					 load_type(item));
		if (p->n_targets)
			found = bsearch(json_string_value(item), names, p->n_targets,
					sizeof(*names), name_find);
		if (!found)
			return unknown_target(l, &here, json_string_value(item), p, names);
		ret->targets[ret->n_targets] = found->index;
	}
	qsort(ret->targets, ret->n_targets, sizeof(*ret->targets), index_order);
	return 0;
}

/* {"at_least": n}, and {"at_most": n} where ret_max is given. */
static int bounds_load(struct load *l, const struct place *at, const json_t *v, uint64_t max,
		       uint64_t *ret_min, uint64_t *ret_max)
{
	static const struct load_key both[] = { { "at_least", false }, { "at_most", false } };
	struct place low = { at, "at_least", 0 }, high = { at, "at_most", 0 };
	const json_t *at_least, *at_most;
	int r;

	r = load_object(l, at, v, both, ret_max ? 2 : 1);
	if (r < 0)
		return r;
	at_least = json_object_get(v, "at_least");
	at_most = ret_max ? json_object_get(v, "at_most") : NULL;
	if (!at_least && !at_most)
		return load_fail(l, at, "expected {\"at_least\": NUMBER}%s",
				 ret_max ? " or {\"at_most\": NUMBER}" : "");
	if (at_least) {
		r = load_number(l, &low, at_least, 1, max, ret_min);
		if (r < 0)
			return r;
	}
	if (!at_most)
		return 0;
	r = load_number(l, &high, at_most, 0, max, ret_max);
	if (r == 0 && *ret_max < *ret_min)
		return load_fail(l, &high,
				 "\"at_most\" is below \"at_least\": the rule can never match");
	return r;
}

/* {"ops": 100, "per": "1m"}; a quota is for the whole session. */
static int meter_load(struct load *l, const struct place *at, const json_t *v, bool quota,
		      struct meter *ret)
{
	static const struct load_key keys[] = {
		{ "ops", false }, { "rows", false }, { "bytes", false }, { "per", false }
	};
	struct place per = { at, "per", 0 };
	const json_t *member;
	unsigned given = 0;
	int r;

	r = load_object(l, at, v, keys, ARRAY_SIZE(keys));
	if (r < 0)
		return r;
	for (unsigned i = 0; i < MEASURE_COUNT; i++) {
		struct place here = { at, measure_names[i], 0 };

		member = json_object_get(v, measure_names[i]);
		if (!member)
			continue;
		given++;
		ret->measure = (enum measure)i;
		r = load_number(l, &here, member, 1, INT64_MAX, &ret->limit);
		if (r < 0)
			return r;
	}
	if (given != 1)
		return load_fail(l, at, "expected one of \"ops\", \"rows\" and \"bytes\"%s",
				 given ? ", not several: write a rule for each" : "");
	member = json_object_get(v, "per");
	if (!quota)
		return member ? load_duration(l, &per, member, 24 * 3600, &ret->per_ns)
			      : load_fail(l, at, "a rate needs \"per\": a time like \"1m\"");
	if (member &&
	    (!json_is_string(member) || strcmp(json_string_value(member), "session") != 0))
		return load_fail(l, &per,
				 "a quota is \"per\": \"session\"; by time it is a \"rate\"");
	return 0;
}

struct when {
	struct load *l;
	const struct policy *p;
	const struct target_name *names;
	struct rule *rule;
	struct meter *meter;
};

/* What says which operations are meant. -ENOENT: not one of these keys. */
static int what_load(const struct when *w, const struct place *at, const char *key, const json_t *v)
{
	struct load *l = w->l;
	struct rule *r = w->rule;

	if (strcmp(key, "protocol") == 0)
		return words_load(l, at, v, policy_protocol_names, PROTOCOL_COUNT, &r->protocols);
	if (strcmp(key, "target") == 0)
		return rule_targets_load(l, at, v, w->p, w->names, r);
	if (strcmp(key, "verb") == 0)
		return verbs_load(l, at, v, r);
	if (strcmp(key, "effect") == 0)
		return words_load(l, at, v, op_effect_names, OP_EFFECT_COUNT, &r->effects);
	if (strcmp(key, "access") == 0)
		return words_load(l, at, v, op_effect_names, OP_EFFECT_COUNT, &r->access);
	if (strcmp(key, "object") == 0)
		return pattern_list_load(l, at, v, PATTERN_OBJECT, &r->objects);
	if (strcmp(key, "path") == 0)
		return pattern_list_load(l, at, v, PATTERN_PATH, &r->paths);
	if (strcmp(key, "host") == 0)
		return pattern_list_load(l, at, v, PATTERN_HOST, &r->hosts);
	if (strcmp(key, "text") == 0)
		return pattern_list_load(l, at, v, PATTERN_TEXT, &r->texts);
	if (strcmp(key, "attr") == 0)
		return policy_keyed_load(l, at, v, KEYED_ATTR, &r->attrs);
	if (strcmp(key, "query") == 0)
		return policy_keyed_load(l, at, v, KEYED_QUERY, &r->queries);
	if (strcmp(key, "header") == 0)
		return policy_keyed_load(l, at, v, KEYED_HEADER, &r->headers);
	if (strcmp(key, "json") == 0)
		return policy_keyed_load(l, at, v, KEYED_BODY, &r->bodies);
	return -ENOENT;
}

/* What says by whom, how much and how often. */
static int how_load(const struct when *w, const struct place *at, const char *key, const json_t *v)
{
	struct load *l = w->l;
	struct rule *r = w->rule;

	if (strcmp(key, "client") == 0)
		return policy_agents_load(l, at, v, "a client or a list of clients", &r->clients);
	if (strcmp(key, "size") == 0)
		return bounds_load(l, at, v, INT64_MAX, &r->size_min, &r->size_max);
	if (l->narrow)
		return load_fail_key(l, at,
				     "\"%s\" is for block and hold: a permission cannot begin "
				     "where a limit is passed",
				     key);
	if (strcmp(key, "risk") == 0)
		return bounds_load(l, at, v, POLICY_RISK_MAX, &r->risk_min, NULL);
	if (strcmp(key, "session_risk") == 0)
		return bounds_load(l, at, v, INT64_MAX, &r->session_risk_min, NULL);
	if (w->meter->limit)
		return load_fail_key(l, at,
				     "a rule has one \"rate\" or \"quota\": write a rule for each");
	return meter_load(l, at, v, strcmp(key, "quota") == 0, w->meter);
}

int policy_conditions_load(struct load *l, const struct place *at, const json_t *v,
			   const struct policy *p, const struct target_name *names,
			   struct rule *ret, struct meter *ret_meter)
{
	const struct when w = { l, p, names, ret, ret_meter };
	struct place access = { at, "access", 0 };
	size_t conditions = 0;
	const char *key;
	json_t *member;
	int r;

	ret->size_max = UINT64_MAX;
	r = load_object(l, at, v, when_keys, ARRAY_SIZE(when_keys));
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, member) {
		struct place here = { at, key, 0 };

		if (strcmp(key, "comment") == 0)
			continue;
		conditions++;
		r = what_load(&w, &here, key, member);
		if (r == -ENOENT)
			r = how_load(&w, &here, key, member);
		if (r < 0)
			return r;
	}
	if (conditions == 0)
		return load_fail(l, at,
				 "a rule needs a condition; what holds for everything else is "
				 "\"default\"");
	if (ret->access && !ret->objects.n)
		return load_fail_key(l, &access,
				     "\"access\" says what happens to an \"object\", and "
				     "none is named");
	return policy_rule_check(l, at, p, ret);
}
