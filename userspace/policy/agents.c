// SPDX-License-Identifier: Apache-2.0
/* Whom a policy is for. */
#include <errno.h>

#include "base/glob.h"
#include "compiled.h"

static const struct load_key agent_keys[] = { { "cgroup", false }, { "container", false },
					      { "image", false },  { "label", false },
					      { "uid", false },    { "exe", false } };

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
		r = pattern_list_load(l, &here, value, PATTERN_NAME, &one);
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

static int uids_load(struct load *l, const struct place *at, const json_t *v, struct agent *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "a user id or a list of them", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->uids), &ret->uids);
	if (r < 0)
		return r;
	for (; ret->n_uids < list.n; ret->n_uids++) {
		struct place here;
		const json_t *item = load_list_get(&list, ret->n_uids, &here);
		uint64_t uid;

		r = load_number(l, &here, item, 0, UINT32_MAX - 1, &uid);
		if (r < 0)
			return r;
		ret->uids[ret->n_uids] = (uint32_t)uid;
	}
	return 0;
}

static int glob_load(struct load *l, const struct place *at, const json_t *v, struct pattern *ret)
{
	struct pattern_list one;
	int r;

	if (!json_is_string(v))
		return load_fail(l, at, "expected a string, not %s", load_type(v));
	r = pattern_list_load(l, at, v, PATTERN_NAME, &one);
	if (r == 0)
		*ret = one.at[0];
	return r;
}

static int exe_load(struct load *l, const struct place *at, const json_t *v, struct pattern *ret)
{
	int r = glob_load(l, at, v, ret);

	if (r == 0 && ret->text.ptr[0] != '/' && ret->text.ptr[0] != '*')
		return load_fail(l, at,
				 "a program's path begins with '/'; this one can never match");
	return r;
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

		if (strcmp(key, "comment") == 0)
			continue;
		any = true;
		if (strcmp(key, "cgroup") == 0)
			r = cgroup_load(l, &here, member, ret);
		else if (strcmp(key, "label") == 0)
			r = labels_load(l, &here, member, ret);
		else if (strcmp(key, "uid") == 0)
			r = uids_load(l, &here, member, ret);
		else if (strcmp(key, "exe") == 0)
			r = exe_load(l, &here, member, &ret->exe);
		else
			r = glob_load(l, &here, member,
				      strcmp(key, "image") == 0 ? &ret->image : &ret->container);
		if (r < 0)
			return r;
	}
	if (!any)
		return load_fail(l, at,
				 "expected \"cgroup\", \"container\", \"image\", \"label\", "
				 "\"uid\" or \"exe\"");
	return 0;
}

int policy_agents_load(struct load *l, const struct place *at, const json_t *v, const char *what,
		       struct agent_list *ret)
{
	struct load_list list = { v, at, false, 1 };
	int r = 0;

	if (!json_is_object(v))
		r = load_list_open(l, at, v, what, &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->at), &ret->at);
	if (r < 0)
		return r;
	for (; ret->n < list.n; ret->n++) {
		struct place here;
		const json_t *item = load_list_get(&list, ret->n, &here);

		r = agent_load(l, &here, item, &ret->at[ret->n]);
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

/* "" is "not known": that no pattern names, "*" included. */
static bool known_match(const struct pattern *p, const char *text, uint8_t sep)
{
	return !p->text.len || (text && *text && pattern_match(p, slice_str(text), sep, NARROW));
}

static bool uid_listed(const struct agent *a, uint32_t uid)
{
	for (size_t i = 0; i < a->n_uids; i++)
		if (a->uids[i] == uid)
			return true;
	return a->n_uids == 0;
}

static bool label_match(const struct agent_label *label, const struct identity *id)
{
	for (size_t i = 0; i < id->n_labels; i++)
		if (strcmp(label->key, id->labels[i].key) == 0 &&
		    pattern_match(&label->value, slice_str(id->labels[i].value), 0, NARROW))
			return true;
	return false;
}

/* exe_unknown: what a program that is not known counts for. */
static bool agent_match(const struct agent *a, const struct identity *id, bool exe_unknown)
{
	if (a->cgroup.len && !cgroup_covers(a->cgroup, slice_str(id->cgroup_path)))
		return false;
	if (!known_match(&a->container, id->container, 0) || !known_match(&a->image, id->image, 0))
		return false;
	if (!uid_listed(a, id->uid))
		return false;
	if (a->exe.text.len &&
	    !(id->exe && *id->exe ? known_match(&a->exe, id->exe, '/') : exe_unknown))
		return false;
	for (size_t i = 0; i < a->n_labels; i++)
		if (!label_match(&a->labels[i], id))
			return false;
	return true;
}

int policy_agents_match(const struct agent_list *agents, const struct identity *id)
{
	int best = -1;

	for (size_t i = 0; i < agents->n; i++)
		if ((int)agents->at[i].depth > best && agent_match(&agents->at[i], id, false))
			best = (int)agents->at[i].depth;
	return best;
}

bool policy_clients_match(const struct agent_list *clients, const struct identity *id,
			  enum manner how)
{
	if (!id)
		return how == BROAD;
	for (size_t i = 0; i < clients->n; i++)
		if (agent_match(&clients->at[i], id, how == BROAD))
			return true;
	return false;
}
