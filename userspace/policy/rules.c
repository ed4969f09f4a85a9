// SPDX-License-Identifier: Apache-2.0
/* The list of rules, and what about them should be said aloud. */
#include <errno.h>
#include <stdio.h>

#include "compiled.h"
#include "json_place.h"

static const struct load_key rule_keys[] = { { "id", false },       { "verdict", false },
					     { "message", false },  { "when", false },
					     { "approval", false }, { "risk", false },
					     { "mask", true } };

enum { APPROVERS_MAX = 10, DAY_S = 24 * 3600 };

struct named {
	const char *name;
	uint32_t index;
};

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->index < y->index ? -1 : x->index > y->index);
}

static int target_names(struct load *l, const struct policy *p, struct target_name **ret)
{
	struct place root = { 0 }, targets = { &root, "targets", 0 };
	struct target_name *names;
	int r;

	_Static_assert(sizeof(struct named) == sizeof(struct target_name),
		       "sorted by one function");
	r = load_alloc(l, p->n_targets, sizeof(*names), &names);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_targets; i++)
		names[i] = (struct target_name){ p->targets[i].public.name, (uint32_t)i };
	qsort(names, p->n_targets, sizeof(*names), by_name);
	for (size_t i = 1; i < p->n_targets; i++) {
		struct place item = { &targets, NULL, names[i].index }, name = { &item, "name", 0 };

		if (strcmp(names[i].name, names[i - 1].name) == 0)
			return load_fail(l, &name, "a target named \"%s\" stands above already",
					 names[i].name);
	}
	*ret = names;
	return 0;
}

static int approval_load(struct load *l, const struct place *at, const json_t *v,
			 struct verdict_hold *ret)
{
	static const struct load_key keys[] = { { "count", false },
						{ "timeout", false },
						{ "remember", false } };
	struct place count = { at, "count", 0 }, timeout = { at, "timeout", 0 };
	struct place remember = { at, "remember", 0 };
	const json_t *member;
	uint64_t n;
	int r;

	r = load_object(l, at, v, keys, ARRAY_SIZE(keys));
	if (r < 0)
		return r;
	member = json_object_get(v, "count");
	if (member) {
		r = load_number(l, &count, member, 1, APPROVERS_MAX, &n);
		if (r < 0)
			return r;
		ret->count = (unsigned)n;
	}
	member = json_object_get(v, "timeout");
	if (member) {
		r = load_duration(l, &timeout, member, DAY_S, &ret->timeout_ns);
		if (r < 0)
			return r;
	}
	member = json_object_get(v, "remember");
	if (!member)
		return 0;
	ret->remember_session =
		json_is_string(member) && strcmp(json_string_value(member), "session") == 0;
	return ret->remember_session
		       ? 0
		       : load_duration(l, &remember, member, DAY_S, &ret->remember_ns);
}

/* The verdict and what goes with it. */
static int verdict_load(struct load *l, const struct place *at, const json_t *v,
			const struct policy *p, struct rule *ret)
{
	struct place verdict = { at, "verdict", 0 }, message = { at, "message", 0 };
	struct place risk = { at, "risk", 0 }, approval = { at, "approval", 0 };
	const json_t *member = json_object_get(v, "verdict"), *score = json_object_get(v, "risk");
	struct slice text;
	uint64_t n = 0;
	size_t word;
	int r;

	if (!member && !score)
		return load_fail(
			l, at,
			"a rule needs a \"verdict\": \"allow\", \"hold\" or \"block\", or a "
			"\"risk\" that it adds");
	if (member) {
		r = load_word(l, &verdict, member, verdict_names, VERDICT_COUNT, &word);
		if (r < 0)
			return r;
		ret->verdict = (enum verdict_kind)word;
		ret->decides = true;
	}
	if (score) {
		r = load_number(l, &risk, score, 1, POLICY_RISK_MAX, &n);
		if (r < 0)
			return r;
		ret->risk = (unsigned)n;
	}
	if (ret->decides && ret->verdict != VERDICT_ALLOW)
		ret->message = ret->verdict == VERDICT_BLOCK ? p->refused : p->held;
	member = json_object_get(v, "message");
	if (member && !ret->decides)
		return load_fail_key(l, &message,
				     "a rule without a verdict has nobody to tell this to");
	if (member) {
		r = load_text(l, &message, member, 1000, &text);
		if (r < 0)
			return r;
		ret->message = (const char *)text.ptr;
	}
	ret->hold = (struct verdict_hold){ .count = 1, .timeout_ns = 300ULL * 1000000000 };
	member = json_object_get(v, "approval");
	if (!member)
		return 0;
	if (!ret->decides || ret->verdict != VERDICT_HOLD)
		return load_fail_key(l, &approval,
				     "only what is held asks for an approval: \"verdict\": "
				     "\"hold\"");
	return approval_load(l, &approval, member, &ret->hold);
}

static int meter_add(struct load *l, const struct place *when, struct policy *p, struct rule *rule,
		     struct meter *meter)
{
	if (!meter->limit)
		return 0;
	if (p->n_meters == POLICY_METERS_MAX)
		return load_fail_limit(
			l, when,
			"more than %d rules with a \"rate\" or \"quota\": each costs "
			"every session a counter",
			POLICY_METERS_MAX);
	meter->key = policy_meter_key(rule, meter);
	p->meters[p->n_meters++] = *meter;
	rule->meter = (uint8_t)p->n_meters;
	return 0;
}

static int rule_load(struct load *l, const struct place *at, const json_t *v, struct policy *p,
		     const struct target_name *names, struct rule *ret)
{
	struct place id = { at, "id", 0 }, when = { at, "when", 0 };
	struct place risk = { at, "risk", 0 };
	struct meter meter = { 0 };
	const json_t *member;
	int r;

	r = load_object(l, at, v, rule_keys, ARRAY_SIZE(rule_keys));
	if (r < 0)
		return r;
	member = json_object_get(v, "id");
	if (!member)
		return load_fail(l, at, "a rule needs an \"id\"");
	r = load_name(l, &id, member, &ret->id);
	if (r < 0)
		return r;
	if (strcmp(ret->id, "default") == 0 || strcmp(ret->id, "limit") == 0)
		return load_fail(l, &id, "\"%s\" is what records call verdicts without a rule",
				 ret->id);
	r = verdict_load(l, at, v, p, ret);
	if (r < 0)
		return r;
	member = json_object_get(v, "when");
	if (!member)
		return load_fail(l, at, "a rule needs \"when\": its conditions");
	l->narrow = rule_manner(ret) == NARROW;
	r = policy_conditions_load(l, &when, member, p, names, ret, &meter);
	if (r < 0)
		return r;
	if (ret->risk && (ret->risk_min || ret->session_risk_min))
		return load_fail_key(l, &risk,
				     "a rule that adds to the risk cannot ask for it as well");
	if (ret->bodies.n)
		p->wants_body = true;
	return meter_add(l, &when, p, ret, &meter);
}

static int check_ids(struct load *l, const struct place *at, const struct policy *p)
{
	struct named *ids;
	int r;

	r = load_alloc(l, p->n_rules, sizeof(*ids), &ids);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++)
		ids[i] = (struct named){ p->rules[i].id, (uint32_t)i };
	qsort(ids, p->n_rules, sizeof(*ids), by_name);
	for (size_t i = 1; i < p->n_rules; i++) {
		struct place item = { at, NULL, ids[i].index }, id = { &item, "id", 0 };

		if (strcmp(ids[i].name, ids[i - 1].name) == 0)
			return load_fail(l, &id, "a rule with the id \"%s\" stands above already",
					 ids[i].name);
	}
	return 0;
}

int policy_warning_add(struct load *l, struct policy *p, const struct place *at, const char *fmt,
		       ...)
{
	struct policy_warning *w;
	struct json_pos pos;
	va_list ap;
	int r;

	if (p->n_warnings == POLICY_WARNINGS_MAX)
		return 0; /* finding each place reads the text again */
	if (!p->warnings) {
		r = load_alloc(l, POLICY_WARNINGS_MAX, sizeof(*p->warnings), &p->warnings);
		if (r < 0)
			return r;
	}
	w = &p->warnings[p->n_warnings++];
	pos = load_pos(l, at, false);
	w->line = pos.line;
	w->column = pos.column;
	va_start(ap, fmt);
	(void)vsnprintf(w->message, sizeof(w->message), fmt, ap); /* cut to fit: for people */
	va_end(ap);
	return 0;
}

/* Protocols on which a rule looks into the content, and on which a rule refuses what is unknown. */
struct content {
	uint32_t judged, unknown_refused;
};

static bool sees_content(const struct rule *r)
{
	return r->decides && r->verdict != VERDICT_ALLOW &&
	       (r->effects || r->n_verbs || r->objects.n || r->texts.n);
}

static bool refuses_unknown(const struct rule *r)
{
	return r->decides && r->verdict != VERDICT_ALLOW && r->effects & OP_UNKNOWN &&
	       !r->n_verbs && !r->objects.n && !r->paths.n && !r->hosts.n && !r->attrs.n &&
	       !r->texts.n && !r->queries.n && !r->headers.n && !r->bodies.n && !r->clients.n &&
	       !r->size_min && r->size_max == UINT64_MAX && !r->meter && !r->risk_min &&
	       !r->session_risk_min;
}

/* Of a request, what may be more than the handler keeps or be read in two ways; methods and paths are
 * always seen. */
static bool sees_fields(const struct rule *r)
{
	return r->decides && r->verdict != VERDICT_ALLOW &&
	       (r->queries.n || r->headers.n || r->attrs.n);
}

static void content_add(struct content *c, const struct rule *r)
{
	/* tcp is never seen into. */
	uint32_t postgres = 1u << PROTOCOL_POSTGRES, http = 1u << PROTOCOL_HTTP;
	uint32_t protocols = (r->protocols ? r->protocols : ~0u) & (postgres | http);

	if (refuses_unknown(r)) {
		c->unknown_refused |= protocols;
		return;
	}
	if (sees_content(r))
		c->judged |= protocols & postgres;
	if (sees_fields(r))
		c->judged |= protocols & http;
}

int policy_warnings_find(struct load *l, struct policy *p)
{
	struct place root = { 0 }, targets = { &root, "targets", 0 };
	struct content all = { 0 }, *each;
	int r;

	if (p->n_targets == 0)
		return policy_warning_add(l, p, &root, "no targets: every connection is refused");
	r = load_alloc(l, p->n_targets, sizeof(*each), &each);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i].n_targets == 0)
			content_add(&all, &p->rules[i]);
		for (size_t j = 0; j < p->rules[i].n_targets; j++)
			content_add(&each[p->rules[i].targets[j]], &p->rules[i]);
	}
	for (size_t i = 0; i < p->n_targets; i++) {
		struct place item = { &targets, NULL, i };
		const struct target *t = &p->targets[i];
		uint32_t judged = all.judged | each[i].judged;
		uint32_t refused = all.unknown_refused | each[i].unknown_refused;
		int fallback = t->fallback < 0 ? (int)p->fallback : t->fallback;

		for (unsigned k = 0; t->public.protocol && k < PROTOCOL_COUNT; k++)
			if (t->public.protocol != policy_protocol_names[k])
				judged &= ~(1u << k);
		if (fallback != VERDICT_ALLOW || !(judged & ~refused))
			continue;
		r = policy_warning_add(
			l, p, &item,
			"target \"%s\" allows by default, and rules block by what they see, but "
			"none blocks \"effect\": [\"unknown\"]: a statement or request that "
			"cannot be seen through passes them all",
			t->public.name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Block, hold, allow, then what only adds to the risk. */
static int rank(const struct rule *r)
{
	return r->decides ? (int)r->verdict : -1;
}

static int by_verdict(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	return rank(x) != rank(y) ? rank(y) - rank(x) : strcmp(x->id, y->id);
}

int policy_rules_load(struct load *l, const struct place *at, const json_t *v, struct policy *p)
{
	struct target_name *names = NULL;
	size_t n = json_array_size(v);
	int r;

	/* Without rules too: this is where names of targets are held against each other. */
	r = target_names(l, p, &names);
	if (r < 0 || !v)
		return r;
	if (!json_is_array(v))
		return load_fail(l, at, "expected a list of rules, not %s", load_type(v));
	if (n == 0)
		return load_fail(l, at, "an empty list of rules: leave the key out for none");
	if (n > POLICY_RULES_MAX)
		return load_fail_limit(l, at, "%zu rules: a policy holds at most %d", n,
				       POLICY_RULES_MAX);
	r = load_alloc(l, n, sizeof(*p->rules), &p->rules);
	if (r < 0)
		return r;
	for (; p->n_rules < n; p->n_rules++) {
		struct place here = { at, NULL, p->n_rules };
		struct rule *rule = &p->rules[p->n_rules];

		rule->place = (uint32_t)p->n_rules;
		r = rule_load(l, &here, json_array_get(v, p->n_rules), p, names, rule);
		if (r < 0)
			return r;
	}
	r = check_ids(l, at, p);
	if (r < 0)
		return r;
	qsort(p->rules, p->n_rules, sizeof(*p->rules), by_verdict);
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].meter)
			p->meters[p->rules[i].meter - 1].rule = (uint32_t)i;
	return policy_shadows_find(l, at, p);
}
