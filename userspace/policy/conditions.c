// SPDX-License-Identifier: Apache-2.0
/* The "when" of a rule. */
#include <errno.h>
#include <stdio.h>

#include "compiled.h"

static const struct load_key when_keys[] = {
	{ "protocol", false }, { "target", false }, { "verb", false }, { "effect", false },
	{ "object", false },   { "access", false }, { "attr", false }, { "path", false },
	{ "host", false },     { "risk", true },
};

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

/* A rule on protocol X for targets that all speak Y. */
static int check_reachable(struct load *l, const struct place *at, const struct policy *p,
			   const struct rule *rule)
{
	if (!rule->protocols || !rule->n_targets)
		return 0;
	for (size_t i = 0; i < rule->n_targets; i++) {
		const char *speaks = p->targets[rule->targets[i]].public.protocol;

		if (!speaks)
			return 0;
		for (unsigned j = 0; j < PROTOCOL_COUNT; j++)
			if (rule->protocols & 1u << j && policy_protocol_names[j] == speaks)
				return 0;
	}
	return load_fail(l, at,
			 "none of the rule's targets speaks this protocol: it can never match");
}

/* One value of an attribute as the text that attributes are compared by. */
static int attr_value(struct load *l, const struct place *at, const json_t *v, struct pattern *ret)
{
	struct pattern_list one;
	char number[24];
	struct slice text;
	int r;

	if (json_is_string(v)) {
		r = pattern_list_load(l, at, v, PATTERN_TEXT, &one);
		if (r == 0)
			*ret = one.at[0];
		return r;
	}
	if (json_is_boolean(v)) {
		text = json_is_true(v) ? SLICE("true") : SLICE("false");
	} else if (json_is_integer(v)) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		text = slice_str(number);
	} else {
		return load_fail(l, at, "expected true, false, a whole number or a string, not %s",
				 load_type(v));
	}
	*ret = (struct pattern){ 0 };
	return arena_dup(l->arena, text, &ret->text);
}

static int attrs_load(struct load *l, const struct place *at, const json_t *v, struct rule *ret)
{
	const char *key;
	json_t *value;
	int r;

	if (!json_is_object(v) || json_object_size(v) == 0)
		return load_fail(l, at, "expected an object with at least one attribute, not %s",
				 json_is_object(v) ? "an empty one" : load_type(v));
	if (json_object_size(v) > 64)
		return load_fail_limit(l, at, "%zu attributes: a rule may ask for 64",
				       json_object_size(v));
	r = load_alloc(l, json_object_size(v), sizeof(*ret->attrs), &ret->attrs);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, value) {
		struct place here = { at, key, 0 };
		struct attr_cond *cond = &ret->attrs[ret->n_attrs];
		struct load_list list;
		struct slice copy;

		for (const char *c = key; *c || c == key; c++)
			if (!(*c >= 'a' && *c <= 'z') && *c != '_')
				return load_fail_key(l, &here,
						     "\"%s\": an attribute's name has only letters "
						     "from a to z and '_'",
						     load_quote(l, key));
		r = load_list_open(l, &here, value, "a value or a list of values", &list);
		if (r < 0)
			return r;
		r = arena_dup(l->arena, slice_str(key), &copy);
		if (r < 0)
			return r;
		cond->key = (const char *)copy.ptr;
		r = load_alloc(l, list.n, sizeof(*cond->values.at), &cond->values.at);
		if (r < 0)
			return r;
		for (; cond->values.n < list.n; cond->values.n++) {
			struct place item_at;
			const json_t *item = load_list_get(&list, cond->values.n, &item_at);

			r = attr_value(l, &item_at, item, &cond->values.at[cond->values.n]);
			if (r < 0)
				return r;
		}
		ret->n_attrs++;
	}
	return 0;
}

int policy_conditions_load(struct load *l, const struct place *at, const json_t *v,
			   const struct policy *p, const struct target_name *names,
			   struct rule *ret)
{
	struct place here = { at, NULL, 0 };
	struct place access = { at, "access", 0 }, protocol = { at, "protocol", 0 };
	size_t conditions = 0;
	const char *key;
	json_t *member;
	int r;

	r = load_object(l, at, v, when_keys, ARRAY_SIZE(when_keys));
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, member) {
		here.key = key;
		if (strcmp(key, "comment") == 0)
			continue;
		conditions++;
		if (strcmp(key, "protocol") == 0)
			r = words_load(l, &here, member, policy_protocol_names, PROTOCOL_COUNT,
				       &ret->protocols);
		else if (strcmp(key, "target") == 0)
			r = rule_targets_load(l, &here, member, p, names, ret);
		else if (strcmp(key, "verb") == 0)
			r = verbs_load(l, &here, member, ret);
		else if (strcmp(key, "effect") == 0)
			r = words_load(l, &here, member, op_effect_names, OP_EFFECT_COUNT,
				       &ret->effects);
		else if (strcmp(key, "access") == 0)
			r = words_load(l, &here, member, op_effect_names, OP_EFFECT_COUNT,
				       &ret->access);
		else if (strcmp(key, "object") == 0)
			r = pattern_list_load(l, &here, member, PATTERN_OBJECT, &ret->objects);
		else if (strcmp(key, "path") == 0)
			r = pattern_list_load(l, &here, member, PATTERN_PATH, &ret->paths);
		else if (strcmp(key, "host") == 0)
			r = pattern_list_load(l, &here, member, PATTERN_HOST, &ret->hosts);
		else
			r = attrs_load(l, &here, member, ret);
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
	if (ret->protocols && !(ret->protocols & 1u << PROTOCOL_HTTP) &&
	    (ret->paths.n || ret->hosts.n))
		return load_fail(l, &protocol,
				 "only http has a \"path\" or \"host\": the rule can "
				 "never match");
	return check_reachable(l, ret->protocols ? &protocol : at, p, ret);
}
