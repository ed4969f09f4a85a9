// SPDX-License-Identifier: Apache-2.0
#include "policy_why.h"

#include <errno.h>
#include <stdlib.h>

struct policy_why {
	json_t *doc, *rules;
	size_t *order; /* rules by id */
	size_t n;
};

static const char *id_of(const struct policy_why *w, size_t i)
{
	const char *id = json_string_value(json_object_get(json_array_get(w->rules, i), "id"));

	return id ? id : "";
}

static int by_id(const void *a, const void *b, void *ctx)
{
	return strcmp(id_of(ctx, *(const size_t *)a), id_of(ctx, *(const size_t *)b));
}

struct policy_why *policy_why_free(struct policy_why *w)
{
	if (w) {
		json_decref(w->doc);
		free(w->order);
		free(w);
	}
	return NULL;
}

int policy_why_new(const struct policy *p, struct policy_why **ret)
{
	struct slice text = policy_text(p);
	struct policy_why *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->doc = json_loadb((const char *)text.ptr, text.len, 0, NULL); /* it compiled */
	w->rules = json_object_get(w->doc, "rules");
	w->n = json_array_size(w->rules);
	w->order = calloc(w->n + 1, sizeof(*w->order));
	if (!w->doc || !w->order) {
		policy_why_free(w);
		return -ENOMEM;
	}
	for (size_t i = 0; i < w->n; i++)
		w->order[i] = i;
	qsort_r(w->order, w->n, sizeof(*w->order), by_id, w);
	*ret = w;
	return 0;
}

static json_t *rule_find(const struct policy_why *w, const char *id)
{
	size_t low = 0, high = w->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int r = strcmp(id_of(w, w->order[mid]), id);

		if (r == 0)
			return json_array_get(w->rules, w->order[mid]);
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* What an operation alone does not tell. */
static bool of_session(const char *key)
{
	static const char *const keys[] = { "risk", "session_risk", "rate", "quota" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* The policy with nothing but this rule, and of that nothing but this condition. */
static json_t *alone(const struct policy_why *w, const json_t *rule, const char *key,
		     const json_t *when)
{
	json_t *doc = json_copy(w->doc), *one = json_copy((json_t *)(uintptr_t)rule);
	json_t *cond = json_object();
	int r = 0;

	r |= json_object_set(cond, key, json_object_get(when, key));
	if (strcmp(key, "access") == 0) /* says nothing without the object */
		r |= json_object_set(cond, "object", json_object_get(when, "object"));
	r |= json_object_set_new(one, "when", cond);
	r |= json_object_set_new(doc, "rules", json_pack("[o]", one));
	if (r == 0)
		return doc;
	json_decref(doc);
	return NULL;
}

/* 1, 0, or a negative errno: this condition cannot stand alone. */
static int holds(const struct policy_why *w, const json_t *rule, const char *key,
		 const json_t *when, const struct policy_target *t, const struct identity *who,
		 const struct op *op)
{
	json_t *doc = alone(w, rule, key, when);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	const struct policy_target *same = NULL;
	struct policy_source source = { "rule", slice_str(text ? text : "") };
	struct policy_set *set;
	struct policy_err err;
	struct verdict v;
	int r;

	json_decref(doc);
	if (!text)
		return -ENOMEM;
	r = policy_set_compile(&source, 1, &set, &err);
	free(text);
	if (r < 0)
		return r;
	for (size_t i = 0; t && (same = policy_target_at(policy_set_at(set, 0), i)); i++)
		if (strcmp(same->name, t->name) == 0)
			break;
	r = policy_rule_matches(policy_set_at(set, 0), 0, same, who, op, &v);
	(void)policy_set_unref(set); /* returns NULL */
	return r;
}

json_t *policy_why_not(struct policy_why *w, const char *id, const struct policy_target *t,
		       const struct identity *who, const struct op *op)
{
	const json_t *rule = rule_find(w, id);
	json_t *when = json_object_get(rule, "when"), *value;
	const char *key, *session = NULL;

	if (!when)
		return NULL;
	json_object_foreach(when, key, value) {
		if (strcmp(key, "comment") == 0)
			continue;
		if (of_session(key))
			session = session ? session : key;
		else if (holds(w, rule, key, when, t, who, op) == 0)
			return json_pack("{ss,sO}", "condition", key, "wanted", value);
	}
	if (session)
		return json_pack("{ss,sO}", "condition", session, "wanted",
				 json_object_get(when, session));
	return json_pack("{ss,sO}", "condition", "together", "wanted", when);
}
