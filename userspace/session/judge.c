// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/sha256.h"

/*
 * The record keeps saying which policy the session began with; what judged later is in notes. The
 * snapshot that the names were borrowed from goes, so they are copied.
 */
static int keep_first_names(struct session *s)
{
	size_t policy = strlen(s->rec.policy) + 1, target = strlen(s->rec.target) + 1;

	if (s->first_names)
		return 0;
	s->first_names = malloc(policy + target);
	if (!s->first_names)
		return -ENOMEM;
	memcpy(s->first_names, s->rec.policy, policy);
	memcpy(s->first_names + policy, s->rec.target, target);
	s->rec.policy = s->first_names;
	s->rec.target = s->first_names + policy;
	if (s->rec.policy_hash) {
		memcpy(s->first_hash, s->rec.policy_hash, sizeof(s->first_hash));
		s->rec.policy_hash = s->first_hash;
	}
	return 0;
}

static int note_policy(struct session *s)
{
	const struct policy *p = s->agent->policy;
	char hash[SHA256_TEXT_MAX] = "";
	struct op_attr attrs[] = {
		{ .key = "policy", .type = OP_ATTR_TEXT, .s = slice_str(p ? policy_name(p) : "") },
		{ .key = "hash", .type = OP_ATTR_TEXT },
		{ .key = "target",
		  .type = OP_ATTR_TEXT,
		  .s = slice_str(s->target ? s->target->name : "") },
		{ .key = "observed", .type = OP_ATTR_BOOL, .b = s->observed },
	};
	const struct proto_event ev = { .type = PROTO_NOTE,
					.text = "judged by another policy from here on",
					.attrs = attrs,
					.n_attrs = ARRAY_SIZE(attrs) };

	if (p)
		sha256_format(policy_hash(p), hash);
	attrs[1].s = slice_str(hash);
	return record_event(s, &ev);
}

void judge_keep_policy(struct session *s, const struct policy *p)
{
	struct worker *w = s->worker;

	if (!policy_is_composed(p) || memcmp(w->kept_policy, policy_hash(p), 32) == 0)
		return;
	if (store_put_policy(w->cfg.store, policy_hash(p), policy_text(p)) < 0)
		return; /* the next session tries again; its parts are in the store in any case */
	memcpy(w->kept_policy, policy_hash(p), 32);
}

void judge_take_identity(struct session *s)
{
	struct identity id = s->rec.identity;

	s->rec.identity = s->agent->id;
	s->rec.identity.pid = id.pid;
	s->rec.identity.uid = id.uid;
	s->rec.identity.comm = id.comm;
	s->rec.identity.exe = id.exe;
	s->rec.identity.netns_cookie = id.netns_cookie;
}

int judge_refresh(struct session *s)
{
	struct agents *agents = s->worker->cfg.agents;
	uint64_t generation = agents_generation(agents), id = s->rec.identity.cgroup_id;
	struct agent *fresh = NULL;
	const struct policy_target *t;
	int r;

	if (likely(generation == s->generation))
		return 0;
	r = agents_lookup_connection(agents, &s->rec.identity, &fresh);
	if (r == -EAGAIN || r == -ENOBUFS) {
		/* Forgotten with its attachment; we know where it was. */
		agents_resolved(agents, id, s->rec.identity.cgroup_path);
		r = agents_lookup_connection(agents, &s->rec.identity, &fresh);
	}
	if (r == -EACCES) {
		s->detached = true;
		s->generation = generation;
		return 0;
	}
	if (r < 0)
		return r;
	s->generation = generation;
	s->detached = false;
	if (fresh->policy == s->agent->policy) {
		(void)agent_unref(fresh); /* returns NULL; another cgroup was the matter */
		return 0;
	}
	r = keep_first_names(s);
	if (r < 0) {
		(void)agent_unref(fresh); /* returns NULL */
		return r;
	}
	t = s->never_allowed ? NULL : agents_target(agents, fresh, &s->rec.dst);
	/* Read as another protocol, its bytes would have to be judged from their beginning. */
	if (t && t->protocol && s->class && strcmp(t->protocol, s->class->name) != 0)
		t = NULL;
	s->agent = (agent_unref(s->agent), fresh);
	s->target = t;
	s->observed = fresh->policy && policy_get_mode(fresh->policy) == POLICY_OBSERVE;
	if (fresh->policy)
		judge_keep_policy(s, fresh->policy);
	judge_take_identity(s);
	return note_policy(s);
}

static bool judge_without_policy(const struct session *s, struct verdict *ret)
{
	if (s->detached)
		*ret = (struct verdict){ .kind = VERDICT_BLOCK,
					 .rule = "no-agent",
					 .message = "This agent is no longer attached." };
	else if (!s->target)
		/* Nobody was dialled, or the policy that allowed it is gone: nothing can pass,
		 * observed or not. */
		*ret = (struct verdict){
			.kind = VERDICT_BLOCK,
			.rule = "no-target",
			.message = "No target of the policy allows this destination."
		};
	else
		return false;
	return true;
}

void judge(struct session *s, const struct op *op, struct verdict *ret,
	   struct verdict *ret_recorded)
{
	struct verdict v;

	if (judge_without_policy(s, &v)) {
		*ret = *ret_recorded = v;
		return;
	}
	policy_decide(s->agent->policy, s->target, &s->rec.identity, op, &s->tally,
		      s->worker->mono_ns, &v);
	*ret_recorded = v;
	if (s->observed)
		v.kind = VERDICT_ALLOW;
	*ret = v;
}

enum verdict_kind judge_again(struct session *s, const struct op *op)
{
	struct policy_session tally = s->tally;
	struct verdict v;

	if (judge_without_policy(s, &v))
		return v.kind;
	policy_decide(s->agent->policy, s->target, &s->rec.identity, op, &tally, s->worker->mono_ns,
		      &v);
	return s->observed ? VERDICT_ALLOW : v.kind;
}
