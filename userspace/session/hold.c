// SPDX-License-Identifier: Apache-2.0
/* Operations that wait for people: asked for, answered, over. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/sock.h"

static struct op_attr attr_text(const char *key, const char *text)
{
	return (struct op_attr){ .key = key, .type = OP_ATTR_TEXT, .s = slice_str(text) };
}

static struct op_attr attr_int(const char *key, uint64_t v)
{
	return (struct op_attr){ .key = key, .type = OP_ATTR_INT, .i = (int64_t)v };
}

/* ---- the record ----------------------------------------------------------------------------- */

static int record_asked(struct session *s, const struct approval *a)
{
	char id[ULID_TEXT_MAX], digest[SHA256_TEXT_MAX], deadline[CLOCK_TEXT_MAX];
	const struct op_attr attrs[] = {
		attr_text("approval", ulid_format(&a->id, id)),
		attr_int("needed", a->needed),
		attr_text("deadline", clock_format(a->deadline_ns, deadline)),
		attr_text("sha256", sha256_format(a->digest, digest)),
	};

	return record_approval(s, a->op_id, "asked", attrs, ARRAY_SIZE(attrs));
}

static int record_answer(struct session *s, const struct approval *a,
			 const struct approval_answer *an)
{
	char id[ULID_TEXT_MAX];
	const struct op_attr attrs[] = {
		attr_text("approval", ulid_format(&a->id, id)),
		{ .key = "allow", .type = OP_ATTR_BOOL, .b = an->allow },
		attr_text("by", an->key),
		attr_text("who", an->who),
		attr_int("uid", an->uid),
		attr_int("pid", an->pid),
		attr_text("reason", an->reason),
	};

	return record_approval(s, a->op_id, "answered", attrs, ARRAY_SIZE(attrs));
}

static int record_end(struct session *s, const struct approval *a, enum approval_state state,
		      const char *why)
{
	char id[ULID_TEXT_MAX];
	const struct op_attr attrs[] = {
		attr_text("approval", ulid_format(&a->id, id)),
		attr_text("why", why),
	};

	return record_approval(s, a->op_id, approval_state_names[state], attrs, *why ? 2 : 1);
}

/* ---- asking --------------------------------------------------------------------------------- */

static void tell_client(struct session *s, const struct approval *a)
{
	char id[ULID_TEXT_MAX], text[HOLD_TEXT_MAX];

	if (!s->class->notice)
		return;
	snprintf(text, sizeof(text),
		 "waiting for approval by rule \"%.200s\": weir approve %s%s%.500s", a->rule,
		 ulid_format(&a->id, id), a->message[0] ? "; " : "", a->message);
	/* What cannot be said is not missed: the client waits either way. */
	(void)s->class->notice(s->proto, text);
}

static int begin(struct session *s, const struct approval_ask *ask)
{
	struct worker *w = s->worker;
	const struct verdict_hold *h = ask->verdict->hold;
	struct approval *a;
	int r = approvals_ask(w->cfg.approvals, ask, &w->inbox, s, &a);

	if (r < 0)
		return r;
	r = loop_heap_set(&w->holds, &a->due, w->mono_ns + (a->deadline_ns - a->asked_ns));
	if (r == 0)
		r = record_asked(s, a);
	if (r < 0) {
		loop_heap_clear(&w->holds, &a->due);
		(void)approvals_settle(w->cfg.approvals, a, APPROVAL_GONE, strerror(-r));
		(void)approval_free(a); /* returns NULL */
		return r;
	}
	list_append(&s->holds, &a->in_owner);
	s->remembers |= h && h->remember_session;
	if (!s->kept_alive) {
		/* A wait may be long: peers that vanished without a word are to be noticed. */
		s->kept_alive = true;
		sock_keepalive(s->client.watch.fd);
		if (s->server.watch.fd >= 0)
			sock_keepalive(s->server.watch.fd);
	}
	tell_client(s, a);
	return 0;
}

int hold_begin(struct session *s, const struct op *op, const struct verdict *v,
	       struct verdict *ret_v, char text[HOLD_TEXT_MAX])
{
	struct worker *w = s->worker;
	const struct policy *p = s->agent->policy;
	const struct approval_ask ask = {
		.session = &s->rec,
		.op = op,
		.verdict = v,
		.policy = policy_name(p),
		.policy_hash = policy_hash(p),
		.target = s->target->name,
		.real_ns = w->real_ns,
		.mono_ns = w->mono_ns,
	};
	struct ulid remembered;
	int r;

	*ret_v = *v;
	if (!w->cfg.approvals) {
		r = -EOPNOTSUPP;
	} else if (approvals_recall(w->cfg.approvals, &ask, &remembered)) {
		char id[ULID_TEXT_MAX];
		const struct op_attr attr = attr_text("approval", ulid_format(&remembered, id));

		ret_v->kind = VERDICT_ALLOW;
		return record_approval(s, op->id, "remembered", &attr, 1);
	} else if (s->client.hangup || s->client.eof) {
		r = -EPIPE;
	} else {
		r = begin(s, &ask);
	}
	if (r == 0)
		return 0;
	/* Fail closed: an approval that cannot be asked is a refusal. */
	snprintf(text, HOLD_TEXT_MAX, "This needs an approval, which cannot be asked for: %s.",
		 r == -ENOSPC       ? "too many operations are on hold"
		 : r == -EMSGSIZE   ? "the operation is too large to be shown"
		 : r == -EPIPE      ? "the client has stopped sending"
		 : r == -EOPNOTSUPP ? "nobody answers here"
				    : strerror(-r));
	ret_v->kind = VERDICT_BLOCK;
	ret_v->message = text;
	{
		const struct op_attr attr = attr_text("why", text);

		return record_approval(s, op->id, approval_state_names[APPROVAL_GONE], &attr, 1);
	}
}

/* ---- the end of waiting --------------------------------------------------------------------- */

/* Takes it off the session; what it waited for is known. */
static void finish(struct session *s, struct approval *a)
{
	loop_heap_clear(&s->worker->holds, &a->due);
	list_remove(&a->in_owner);
	(void)approval_free(a); /* returns NULL */
}

static const char *by(const struct approval_answer *an)
{
	return an->who[0] ? an->who : an->key;
}

/* What the client is told. */
static void refusal_text(const struct approval *a, enum approval_state state,
			 const struct approval_answer *last, const char *why,
			 char text[HOLD_TEXT_MAX])
{
	if (state == APPROVAL_DENIED && last && !last->allow)
		snprintf(text, HOLD_TEXT_MAX, "denied by %.63s%s%.511s", by(last),
			 last->reason[0] ? ": " : "", last->reason);
	else if (state == APPROVAL_EXPIRED)
		snprintf(text, HOLD_TEXT_MAX, "not approved within %llu seconds",
			 (unsigned long long)((a->deadline_ns - a->asked_ns) / NSEC_PER_SEC));
	else
		snprintf(text, HOLD_TEXT_MAX, "not approved: %s", why);
}

/* Records the answers that came since. 0 or a negative errno; *last is the newest. */
static int take_answers(struct session *s, struct approval *a, struct approval_answer *last,
			bool *ret_any)
{
	struct approval_answer an;
	int r = 0;

	while (r == 0 && approvals_answer_next(s->worker->cfg.approvals, a, &an)) {
		*last = an;
		*ret_any = true;
		r = record_answer(s, a, &an);
	}
	return r;
}

/* Ends one as `state`, unless people were faster, and goes on with the session. */
static void end_one(struct session *s, struct approval *a, enum approval_state state,
		    const char *why)
{
	struct approvals *t = s->worker->cfg.approvals;
	struct verdict v = { .kind = VERDICT_ALLOW };
	struct approval_answer last;
	char text[HOLD_TEXT_MAX];
	bool any = false;
	uint64_t op_id;
	char rule[256];
	int r;

	state = approvals_settle(t, a, state, why);
	r = take_answers(s, a, &last, &any);
	if (state == APPROVAL_WAITING) {
		session_run(s); /* its record is to be committed */
		if (r < 0)
			session_close(s, STORE_SESSION_FAILED, "an answer could not be recorded");
		return;
	}
	if (r == 0)
		r = judge_refresh(s);
	if (r == 0 && state == APPROVAL_APPROVED && judge_again(s, a->op) == VERDICT_BLOCK) {
		/* Approved, and forbidden since it was asked for. */
		state = APPROVAL_GONE;
		why = "the policy forbids it now";
	}
	if (r == 0)
		r = record_end(s, a, state,
			       state == APPROVAL_EXPIRED || state == APPROVAL_GONE ? why : "");
	if (state == APPROVAL_APPROVED)
		approvals_remember(t, a, s->worker->mono_ns);
	refusal_text(a, state, any ? &last : NULL, why, text);
	snprintf(rule, sizeof(rule), "%s", a->rule);
	op_id = a->op_id;
	finish(s, a);
	if (r < 0) {
		session_close(s, STORE_SESSION_FAILED, "an answer could not be recorded");
		return;
	}
	if (state != APPROVAL_APPROVED)
		v = (struct verdict){ .kind = VERDICT_BLOCK, .rule = rule, .message = text };
	session_decided(s, op_id, &v);
}

void hold_answered(struct approval *a)
{
	end_one(a->owner, a, APPROVAL_WAITING, "");
}

void hold_expired(struct approval *a)
{
	end_one(a->owner, a, APPROVAL_EXPIRED, "nobody answered in time");
}

void hold_deny_all(struct session *s, const char *why)
{
	/* Deciding one may bring up the next, which is denied as well. */
	while (hold_waits(s) && s->stage == SESSION_RUN)
		end_one(s, container_of(s->holds.next, struct approval, in_owner), APPROVAL_GONE,
			why);
}

void hold_abandon(struct session *s, const char *why)
{
	list_foreach(n, &s->holds) {
		struct approval *a = container_of(n, struct approval, in_owner);
		enum approval_state state =
			approvals_settle(s->worker->cfg.approvals, a, APPROVAL_GONE, why);
		struct approval_answer last;
		bool any = false;
		int r = take_answers(s, a, &last, &any);

		if (r == 0)
			r = record_end(s, a, state, state == APPROVAL_GONE ? why : "too late");
		if (r < 0) /* the session ends in the same turn, as failed or interrupted */
			log_error("the end of a hold could not be recorded error=\"%s\"",
				  strerror(-r));
		finish(s, a);
	}
	if (s->remembers) {
		approvals_forget(s->worker->cfg.approvals, &s->rec.id);
		s->remembers = false;
	}
}
