// SPDX-License-Identifier: Apache-2.0
/*
 * Several policies that hold for one agent, as one: the targets and rules of all, so that the most
 * restrictive of all matching rules wins, whichever file it stands in. What comes out is a policy text
 * like any other; it is compiled, hashed, recorded and shown as one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "compiled.h"

enum { NAME_MAX_LEN = 128 };

static void json_free_p(json_t **v)
{
	json_decref(*v);
}

/* name, or "policy.name" where another member has that name already. */
static json_t *own_name(json_t *taken, const struct policy *p, const char *name)
{
	char longer[2 * NAME_MAX_LEN + 2];

	if (json_object_get(taken, name)) {
		(void)snprintf(longer, sizeof(longer), "%s.%s", p->name,
			       name); /* fits: both are short */
		name = longer;
	}
	if (json_object_set_new(taken, name, json_true()) < 0)
		return NULL;
	return json_string(name);
}

/* A name in a condition on targets, after the renaming. */
static json_t *renamed(const json_t *renames, json_t *v)
{
	json_t *to = json_is_string(v) ? json_object_get(renames, json_string_value(v)) : NULL;

	return json_incref(to ? to : v);
}

static int rule_retarget(json_t *rule, const json_t *renames)
{
	json_t *when = json_object_get(rule, "when"), *target = json_object_get(when, "target");

	if (!target)
		return 0;
	for (size_t i = 0; i < json_array_size(target); i++)
		if (json_array_set_new(target, i, renamed(renames, json_array_get(target, i))) < 0)
			return -ENOMEM;
	if (!json_is_array(target) &&
	    json_object_set_new(when, "target", renamed(renames, target)) < 0)
		return -ENOMEM;
	return 0;
}

static int add_targets(json_t *doc, const json_t *from, const struct policy *p, json_t *taken,
		       json_t *renames)
{
	json_t *to = json_object_get(doc, "targets");

	for (size_t i = 0; i < json_array_size(json_object_get(from, "targets")); i++) {
		json_t *t = json_array_get(json_object_get(from, "targets"), i);
		const char *name = json_string_value(json_object_get(t, "name"));
		json_t *fresh = own_name(taken, p, name);

		if (!fresh || json_object_set(renames, name, fresh) < 0 ||
		    json_object_set_new(t, "name", fresh) < 0)
			return -ENOMEM;
		/* What its own policy says where nothing matches stays with it. */
		if (!json_object_get(t, "default") &&
		    json_object_set_new(t, "default", json_string(verdict_names[p->fallback])) < 0)
			return -ENOMEM;
		if (json_array_append(to, t) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_rules(json_t *doc, const json_t *from, const struct policy *p, json_t *taken,
		     const json_t *renames)
{
	json_t *to = json_object_get(doc, "rules");

	for (size_t i = 0; i < json_array_size(json_object_get(from, "rules")); i++) {
		json_t *rule = json_array_get(json_object_get(from, "rules"), i);
		json_t *id = own_name(taken, p, json_string_value(json_object_get(rule, "id")));

		if (!id || json_object_set_new(rule, "id", id) < 0 ||
		    rule_retarget(rule, renames) < 0 || json_array_append(to, rule) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A function that several declare has the effects of all. */
static int add_functions(json_t *doc, const json_t *from)
{
	json_t *to = json_object_get(doc, "functions"), *effects;
	const char *name;

	json_object_foreach(json_object_get(from, "functions"), name, effects) {
		json_t *have = json_object_get(to, name);

		if (have ? json_array_extend(have, effects) < 0
			 : json_object_set(to, name, effects) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_member(json_t *doc, const struct policy *p, json_t *targets, json_t *rules)
{
	_cleanup_(json_free_p) json_t *from =
		json_loadb((const char *)p->text.ptr, p->text.len, 0, NULL);
	_cleanup_(json_free_p) json_t *renames = json_object();
	int r;

	/* It compiled before, so it parses: what is missing is memory. */
	if (!from || !renames)
		return -ENOMEM;
	r = add_targets(doc, from, p, targets, renames);
	if (r == 0)
		r = add_rules(doc, from, p, rules, renames);
	return r == 0 ? add_functions(doc, from) : r;
}

/* "a.b", or "a.and-3-more" where that would be too long. */
static json_t *joint_name(const struct policy *const *members, size_t n)
{
	char name[NAME_MAX_LEN + 1] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		int m = snprintf(name + len, sizeof(name) - len, "%s%s", i ? "." : "",
				 members[i]->name);

		if (m < 0 || (size_t)m >= sizeof(name) - len) {
			(void)snprintf(name, sizeof(name), "%.90s.and-%zu-more", members[0]->name,
				       n - 1); /* fits by its sizes */
			break;
		}
		len += (size_t)m;
	}
	return json_string(name);
}

int policy_compose(const struct policy *const *members, size_t n, char **ret_text)
{
	_cleanup_(json_free_p) json_t *doc = NULL;
	_cleanup_(json_free_p) json_t *targets = json_object();
	_cleanup_(json_free_p) json_t *rules = json_object();
	bool enforces = false;
	char *text;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		enforces |= members[i]->mode == POLICY_ENFORCE;
	doc = json_pack("{so,ss,ss,s[],s[],s{}}", "name", joint_name(members, n), "mode",
			enforces ? "enforce" : "observe", "default", "block", "targets", "rules",
			"functions");
	if (!doc || !targets || !rules)
		return -ENOMEM;
	/* One that only observes changes nothing: beside one that enforces it has no say. */
	for (size_t i = 0; i < n && r == 0; i++)
		if (!enforces || members[i]->mode == POLICY_ENFORCE)
			r = add_member(doc, members[i], targets, rules);
	if (r < 0)
		return r;
	/* A policy has something in a list or does not have the list. */
	if (!json_array_size(json_object_get(doc, "targets")))
		(void)json_object_del(doc, "targets"); /* it is there */
	if (!json_array_size(json_object_get(doc, "rules")))
		(void)json_object_del(doc, "rules"); /* the same */
	if (!json_object_size(json_object_get(doc, "functions")))
		(void)json_object_del(doc, "functions"); /* the same */
	text = json_dumps(doc, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	*ret_text = text;
	return 0;
}
