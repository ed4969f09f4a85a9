// SPDX-License-Identifier: Apache-2.0
/* Whom a policy is for. */
#include <errno.h>

#include "base/glob.h"
#include "compiled.h"

static const struct load_key agent_keys[] = { { "cgroup", false },
					      { "container", false },
					      { "label", false } };

/* How many components stand in a cgroup pattern without a wildcard. */
static unsigned literal_depth(struct slice glob)
{
	unsigned depth = 0;

	while (glob.len) {
		ptrdiff_t slash = slice_chr(glob, '/');
		struct slice part = slash < 0 ? glob : slice_head(glob, (size_t)slash);

		depth += part.len && slice_chr(part, '*') < 0 && slice_chr(part, '?') < 0;
		glob = slash < 0 ? SLICE_NONE : slice_from(glob, (size_t)slash + 1);
	}
	return depth;
}

static int cgroup_load(struct load *l, const struct place *at, const json_t *v, struct agent *ret)
{
	int r = load_text(l, at, v, IDENTITY_PATH_MAX - 1, &ret->cgroup);

	if (r < 0)
		return r;
	if (ret->cgroup.ptr[0] != '/' && ret->cgroup.ptr[0] != '*')
		return load_fail(l, at,
				 "a cgroup's path begins with '/'; this one can never match");
	if (ret->cgroup.len > 1 && ret->cgroup.ptr[ret->cgroup.len - 1] == '/')
		return load_fail(l, at,
				 "a cgroup's path does not end in '/'; this one can never match");
	ret->depth = literal_depth(ret->cgroup);
	return 0;
}

static int labels_load(struct load *l, const struct place *at, const json_t *v, struct agent *ret)
{
	const char *key;
	json_t *value;
	int r;

	if (!json_is_object(v) || json_object_size(v) == 0)
		return load_fail(l, at, "expected an object with at least one label, not %s",
				 json_is_object(v) ? "an empty one" : load_type(v));
	if (json_object_size(v) > IDENTITY_LABELS_MAX)
		return load_fail_limit(l, at, "%zu labels: an agent has at most %d",
				       json_object_size(v), IDENTITY_LABELS_MAX);
	r = load_alloc(l, json_object_size(v), sizeof(*ret->labels), &ret->labels);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, value) {
		struct agent_label *label = &ret->labels[ret->n_labels];
		struct place here = { at, key, 0 };
		struct pattern_list one;
		struct slice copy;

		if (!json_is_string(value))
			return load_fail(l, &here, "expected a string, not %s", load_type(value));
		if (!*key)
			return load_fail_key(l, &here, "a label's name is missing");
		r = pattern_list_load(l, &here, value, PATTERN_TEXT, &one);
		if (r < 0)
			return r;
		r = arena_dup(l->arena, slice_str(key), &copy);
		if (r < 0)
			return r;
		*label = (struct agent_label){ (const char *)copy.ptr, one.at[0] };
		ret->n_labels++;
	}
	return 0;
}

static int agent_load(struct load *l, const struct place *at, const json_t *v, struct agent *ret)
{
	const char *key;
	json_t *member;
	bool any = false;
	int r;

	r = load_object(l, at, v, agent_keys, ARRAY_SIZE(agent_keys));
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, member) {
		struct place here = { at, key, 0 };
		struct pattern_list one;

		if (strcmp(key, "comment") == 0)
			continue;
		any = true;
		if (strcmp(key, "cgroup") == 0) {
			r = cgroup_load(l, &here, member, ret);
		} else if (strcmp(key, "label") == 0) {
			r = labels_load(l, &here, member, ret);
		} else {
			if (!json_is_string(member))
				return load_fail(l, &here, "expected a string, not %s",
						 load_type(member));
			r = pattern_list_load(l, &here, member, PATTERN_TEXT, &one);
			if (r == 0)
				ret->container = one.at[0];
		}
		if (r < 0)
			return r;
	}
	if (!any)
		return load_fail(l, at, "expected \"cgroup\", \"container\" or \"label\"");
	return 0;
}

int policy_agents_load(struct load *l, const struct place *at, const json_t *v, struct policy *p)
{
	struct load_list list;
	int r;

	if (!json_is_array(v))
		return load_fail(l, at, "expected a list of agents, not %s", load_type(v));
	r = load_list_open(l, at, v, "a list of agents", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*p->agents), &p->agents);
	if (r < 0)
		return r;
	for (; p->n_agents < list.n; p->n_agents++) {
		struct place here;
		const json_t *item = load_list_get(&list, p->n_agents, &here);

		r = agent_load(l, &here, item, &p->agents[p->n_agents]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A pattern covers what it matches and everything below. */
static bool cgroup_covers(struct slice glob, struct slice path)
{
	if (slice_eq(glob, SLICE("/")))
		return true;
	for (;;) {
		const uint8_t *slash;

		if (glob_match(glob, path, '/', GLOB_EXACT))
			return true;
		slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;
		if (!slash || slash == path.ptr)
			return false;
		path = slice_head(path, (size_t)(slash - path.ptr));
	}
}

static bool agent_match(const struct agent *a, const struct identity *id)
{
	if (a->cgroup.len && !cgroup_covers(a->cgroup, slice_str(id->cgroup_path)))
		return false;
	/* "" is "not known": that no pattern names, "*" included. */
	if (a->container.text.len &&
	    (!*id->container || !pattern_match(&a->container, slice_str(id->container), 0, NARROW)))
		return false;
	for (size_t i = 0; i < a->n_labels; i++) {
		bool found = false;

		for (size_t j = 0; j < id->n_labels && !found; j++)
			found = strcmp(a->labels[i].key, id->labels[j].key) == 0 &&
				pattern_match(&a->labels[i].value, slice_str(id->labels[j].value),
					      0, NARROW);
		if (!found)
			return false;
	}
	return true;
}

int policy_agents_match(const struct policy *p, const struct identity *id)
{
	int best = -1;

	for (size_t i = 0; i < p->n_agents; i++)
		if ((int)p->agents[i].depth > best && agent_match(&p->agents[i], id))
			best = (int)p->agents[i].depth;
	return best;
}
