// SPDX-License-Identifier: Apache-2.0
/* Conditions on facts that are found by a key: attributes, query, headers, JSON bodies; and sizes. */
#include <errno.h>
#include <stdio.h>

#include "compiled.h"

enum { KEYED_MAX = 64, KEY_LEN_MAX = 256 };

static const char *const kind_words[] = { "attribute", "key of a query", "header",
					  "path into the body" };

/* ---- loading ---------------------------------------------------------------------------------- */

static const struct op_attr_info *attr_info(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_attr_infos); i++)
		if (strcmp(op_attr_infos[i].name, name) == 0)
			return &op_attr_infos[i];
	return NULL;
}

static int attr_key_check(struct load *l, const struct place *at, const char *key)
{
	const struct op_attr_info *info = attr_info(key);
	const char *words[ARRAY_SIZE(op_attr_infos)], *near;
	size_t n = 0;

	if (info && info->places & ~(unsigned)OP_ON_RESULT)
		return 0;
	if (info)
		return load_fail_key(l, at,
				     "\"%s\" is an attribute of results: they come when all is "
				     "decided, so the rule can never match",
				     key);
	for (size_t i = 0; i < ARRAY_SIZE(op_attr_infos); i++)
		if (op_attr_infos[i].places & ~(unsigned)OP_ON_RESULT)
			words[n++] = op_attr_infos[i].name;
	near = load_near(key, words, n);
	return load_fail_key(l, at, "no operation has an attribute \"%s\"%s%s%s",
			     load_quote(l, key), near ? ": did you mean \"" : "", near ? near : "",
			     near ? "\"?" : " (weir-policy(5) lists them)");
}

static bool is_number(struct slice s)
{
	size_t i = s.len > 1 && s.ptr[0] == '-';

	for (; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0;
}

/* Values that an attribute of this type never has. */
static int attr_values_check(struct load *l, const struct place *at, const char *key,
			     const struct pattern_list *values)
{
	const struct op_attr_info *info = attr_info(key);

	for (size_t i = 0; i < values->n; i++) {
		const struct pattern *p = &values->at[i];

		if (p->re || p->glob)
			continue;
		if (info->type == OP_ATTR_BOOL && !slice_eq(p->text, SLICE("true")) &&
		    !slice_eq(p->text, SLICE("false")))
			return load_fail(l, at,
					 "attribute \"%s\" is true or false: this can never match",
					 key);
		if (info->type == OP_ATTR_INT && !is_number(p->text))
			return load_fail(l, at,
					 "attribute \"%s\" is a number: this can never match", key);
	}
	return 0;
}

static int header_key_load(struct load *l, const struct place *at, struct keyed_cond *cond)
{
	/* Lowering our own copy. */
	uint8_t *c = (uint8_t *)(uintptr_t)cond->key.ptr;

	for (size_t i = 0; i < cond->key.len; i++) {
		if (c[i] >= 'A' && c[i] <= 'Z')
			c[i] |= 0x20;
		if (c[i] <= ' ' || c[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c[i]))
			return load_fail_key(l, at, "\"%s\" is not the name of a header",
					     load_quote(l, (const char *)cond->key.ptr));
	}
	return 0;
}

static int header_values_check(struct load *l, const struct place *at, const struct keyed_cond *c)
{
	static const char *const hidden[] = { "authorization", "proxy-authorization", "cookie" };

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		for (size_t k = 0; slice_eq_str(c->key, hidden[i]) && k < c->values.n; k++)
			if (!c->values.at[k].any)
				return load_fail(l, at,
						 "the value of \"%s\" is a credential and never "
						 "seen: only \"*\" can match",
						 hidden[i]);
	return 0;
}

static int key_load(struct load *l, const struct place *at, const char *key, enum keyed_kind kind,
		    struct keyed_cond *cond)
{
	const char *why = NULL;
	int r;

	if (!*key || strlen(key) > KEY_LEN_MAX)
		return load_fail_key(l, at, "expected the name of %s %s, of 1 to %d bytes",
				     kind == KEYED_ATTR ? "an" : "a", kind_words[kind],
				     KEY_LEN_MAX);
	r = arena_dup(l->arena, slice_str(key), &cond->key);
	if (r < 0)
		return r;
	switch (kind) {
	case KEYED_ATTR: return attr_key_check(l, at, key);
	case KEYED_HEADER: return header_key_load(l, at, cond);
	case KEYED_QUERY: return 0;
	case KEYED_BODY: break;
	}
	r = json_path_compile(l->arena, cond->key, &cond->path, &why);
	return r == -EINVAL ? load_fail_key(l, at, "\"%s\": %s", load_quote(l, key), why) : r;
}

int policy_keyed_load(struct load *l, const struct place *at, const json_t *v, enum keyed_kind kind,
		      struct keyed_list *ret)
{
	const char *key;
	json_t *value;
	int r;

	if (!json_is_object(v) || json_object_size(v) == 0)
		return load_fail(l, at, "expected an object with at least one %s, not %s",
				 kind_words[kind],
				 json_is_object(v) ? "an empty one" : load_type(v));
	if (json_object_size(v) > KEYED_MAX)
		return load_fail_limit(l, at, "%zu entries: a rule may ask for %d",
				       json_object_size(v), KEYED_MAX);
	r = load_alloc(l, json_object_size(v), sizeof(*ret->at), &ret->at);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, value) {
		struct place here = { at, key, 0 };
		struct keyed_cond *cond = &ret->at[ret->n];

		r = key_load(l, &here, key, kind, cond);
		if (r < 0)
			return r;
		r = pattern_values_load(l, &here, value, &cond->values);
		if (r == 0 && kind == KEYED_ATTR)
			r = attr_values_check(l, &here, key, &cond->values);
		if (r == 0 && kind == KEYED_HEADER)
			r = header_values_check(l, &here, cond);
		if (r < 0)
			return r;
		ret->n++;
	}
	return 0;
}

/* ---- matching --------------------------------------------------------------------------------- */

/*
 * All values of one key have a say, since a server may use either: broadly one is enough, narrowly
 * there is one and all fit. Each call adds a value; keyed_result says what came of it.
 */
struct tally {
	bool seen, hit, miss;
};

static void tally_add(struct tally *t, bool hit)
{
	t->seen = true;
	t->hit |= hit;
	t->miss |= !hit;
}

static bool tally_result(const struct tally *t, enum manner how)
{
	return how == BROAD ? t->hit : t->seen && !t->miss;
}

static bool attr_match(const struct keyed_cond *cond, const struct op *op, enum manner how)
{
	struct tally t = { 0 };
	char number[24];

	for (size_t i = 0; i < op->n_attrs; i++) {
		const struct op_attr *a = &op->attrs[i];
		struct slice text = SLICE_NONE;

		if (strcmp(a->key, (const char *)cond->key.ptr) != 0)
			continue;
		switch (a->type) {
		case OP_ATTR_BOOL: text = a->b ? SLICE("true") : SLICE("false"); break;
		case OP_ATTR_INT:
			(void)snprintf(number, sizeof(number), "%lld", (long long)a->i);
			text = slice_str(number);
			break;
		case OP_ATTR_TEXT: text = a->s; break;
		}
		tally_add(&t, pattern_list_match(&cond->values, text, 0, how));
	}
	return tally_result(&t, how);
}

bool policy_attrs_match(const struct keyed_list *list, const struct op *op, enum manner how)
{
	for (size_t i = 0; i < list->n; i++)
		if (!attr_match(&list->at[i], op, how))
			return false;
	return true;
}

bool policy_queries_match(const struct keyed_list *list, const struct op *op, enum manner how)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct keyed_cond *cond = &list->at[i];
		struct tally t = { 0 };

		for (size_t k = 0; k < op->n_queries; k++) {
			const struct op_query *q = &op->queries[k];

			if (how == BROAD ? slice_ieq(q->key, cond->key)
					 : slice_eq(q->key, cond->key))
				tally_add(&t, pattern_list_match(&cond->values, q->value, 0, how));
		}
		if (!tally_result(&t, how))
			return false;
	}
	return true;
}

bool policy_headers_match(const struct keyed_list *list, const struct op *op, enum manner how)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct keyed_cond *cond = &list->at[i];
		struct tally t = { 0 };

		for (size_t k = 0; k < op->n_headers; k++) {
			const struct op_header *h = &op->headers[k];

			/* An empty value may be a credential's: broadly that could be any. */
			if (slice_eq(h->name, cond->key))
				tally_add(&t, (how == BROAD && h->value.len == 0) ||
						      pattern_list_match(&cond->values, h->value, 0,
									 how));
		}
		if (!tally_result(&t, how))
			return false;
	}
	return true;
}

/* Whether there is content that was not shown; -1 = length unknown. */
static int64_t content_length(const struct op *op)
{
	const struct op_attr *a = op_attr_find(op, "content_length");

	if (a && a->type == OP_ATTR_INT)
		return a->i;
	a = op_attr_find(op, "chunked");
	return a && a->type == OP_ATTR_BOOL && a->b ? -1 : 0;
}

static bool says_json(const struct op *op)
{
	const struct op_attr *a = op_attr_find(op, "content_type");

	if (!a || a->type != OP_ATTR_TEXT)
		return false;
	for (size_t i = 0; i + 4 <= a->s.len; i++)
		if (slice_ieq(slice_of(a->s.ptr + i, 4), SLICE("json")))
			return true;
	return false;
}

/* A body that is JSON by its type or its looks: servers go by either. */
static bool is_json(const struct op *op)
{
	size_t i = 0;

	while (i < op->body.len && (op->body.ptr[i] == ' ' || op->body.ptr[i] == '\n' ||
				    op->body.ptr[i] == '\r' || op->body.ptr[i] == '\t'))
		i++;
	return says_json(op) ||
	       (i < op->body.len && (op->body.ptr[i] == '{' || op->body.ptr[i] == '['));
}

bool policy_bodies_match(const struct keyed_list *list, const struct op *op, enum manner how)
{
	/* Content that nobody showed us could be anything. */
	if (op->body_cut || (op->body.len == 0 && says_json(op) && content_length(op) != 0))
		return how == BROAD;
	if (op->body.len == 0 || !is_json(op))
		return false;
	for (size_t i = 0; i < list->n; i++)
		if (!json_path_match(&list->at[i].path, &list->at[i].values, op->body, how))
			return false;
	return true;
}

bool policy_size_match(const struct rule *r, const struct op *op, enum manner how)
{
	int64_t n = (int64_t)op->text.len;

	if (strcmp(op->protocol, "http") == 0)
		n = content_length(op);
	else if (op->text_cut)
		n = -1;
	if (n < 0 && op->body.len && !op->body_cut)
		n = (int64_t)op->body.len;
	if (n < 0)
		return how == BROAD;
	return (uint64_t)n >= r->size_min && (uint64_t)n <= r->size_max;
}
