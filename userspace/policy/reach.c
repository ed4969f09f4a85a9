// SPDX-License-Identifier: Apache-2.0
/* Rules that say nothing: those that no operation can match, and those that another one hides. */
#include <errno.h>

#include "compiled.h"

enum {
	SHADOW_PAIRS_MAX = 4 * 1000 * 1000, /* rules held against each other: a few ms in all */
	ALL_PROTOCOLS = (1 << PROTOCOL_COUNT) - 1,
	OBJECT_SEPS = 0xff, /* an object's parts end at dots or slashes, by its kind */
};

/* ---- never ------------------------------------------------------------------------------------ */

/* Kinds of objects by who has them; any other is PostgreSQL's. */
static uint32_t kind_protocols(uint8_t kind)
{
	const char *word;

	if (!kind)
		return ALL_PROTOCOLS;
	word = pattern_kinds[kind - 1];
	if (strcmp(word, "path") == 0 || strcmp(word, "host") == 0 || strcmp(word, "secret") == 0 ||
	    strcmp(word, "field") == 0)
		return 1u << PROTOCOL_HTTP;
	return 1u << PROTOCOL_POSTGRES;
}

static uint32_t objects_protocols(const struct rule *r)
{
	uint32_t some = 0;

	for (size_t i = 0; i < r->objects.n; i++)
		some |= kind_protocols(r->objects.at[i].kind);
	return r->objects.n ? some & ~(1u << PROTOCOL_TCP) : ALL_PROTOCOLS;
}

static uint32_t attr_protocols(const struct keyed_cond *cond)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_attr_infos); i++)
		if (slice_eq_str(cond->key, op_attr_infos[i].name))
			return op_attr_infos[i].places & ALL_PROTOCOLS;
	return 0; /* not reached: names were checked */
}

static uint32_t targets_protocols(const struct policy *p, const struct rule *r)
{
	uint32_t some = 0;

	for (size_t i = 0; i < r->n_targets; i++) {
		const char *speaks = p->targets[r->targets[i]].public.protocol;

		for (unsigned k = 0; k < PROTOCOL_COUNT; k++)
			if (!speaks || policy_protocol_names[k] == speaks)
				some |= 1u << k;
	}
	return r->n_targets ? some : ALL_PROTOCOLS;
}

static int never(struct load *l, const struct place *at, const char *key, const char *what)
{
	struct place here = { at, key, 0 };

	return load_fail(l, &here, "%s: the rule can never match", what);
}

/* Takes one condition's protocols off what is left; an empty rest means that nothing can match. */
static bool narrow_to(uint32_t *left, uint32_t possible)
{
	*left &= possible;
	return *left != 0;
}

int policy_rule_check(struct load *l, const struct place *at, const struct policy *p,
		      const struct rule *r)
{
	const uint32_t http = 1u << PROTOCOL_HTTP;
	uint32_t left = r->protocols ? r->protocols : ALL_PROTOCOLS;

	if (!narrow_to(&left, targets_protocols(p, r)))
		return never(l, at, "target", "none of the rule's targets speaks this protocol");
	if (r->paths.n && !narrow_to(&left, http))
		return never(l, at, "path", "only http has a \"path\"");
	if (r->hosts.n && !narrow_to(&left, http))
		return never(l, at, "host", "only http has a \"host\"");
	if (r->queries.n && !narrow_to(&left, http))
		return never(l, at, "query", "only http has a \"query\"");
	if (r->headers.n && !narrow_to(&left, http))
		return never(l, at, "header", "only http has a \"header\"");
	if (r->bodies.n && !narrow_to(&left, http))
		return never(l, at, "json", "only http has a body");
	if (!narrow_to(&left, objects_protocols(r)))
		return never(l, at, "object", "this protocol has no such objects");
	for (size_t i = 0; i < r->attrs.n; i++)
		if (!narrow_to(&left, attr_protocols(&r->attrs.at[i])))
			return never(l, at, "attr",
				     "no operation of this protocol has all of these attributes");
	if (rule_manner(r) == NARROW && r->effects && r->access && !(r->effects & r->access))
		return never(l, at, "access",
			     "an allow rule wants all effects to be listed in \"effect\", and none "
			     "in \"access\" is");
	return 0;
}

/* ---- hidden ----------------------------------------------------------------------------------- */

static bool bits_within(uint32_t outer, uint32_t inner)
{
	return !outer || (inner && !(inner & ~outer));
}

static bool pattern_covers(const struct pattern *outer, const struct pattern *inner, uint8_t sep)
{
	if (outer->kind && outer->kind != inner->kind)
		return false;
	if (outer->any)
		return true;
	if (outer->re || inner->re)
		return outer->re == inner->re;
	if (slice_ieq(outer->text, inner->text))
		return true;
	/* The one that hides restricts: it is read broadly. */
	if (inner->glob)
		return false;
	if (sep == OBJECT_SEPS)
		return pattern_match(outer, inner->text, '.', BROAD) &&
		       pattern_match(outer, inner->text, '/', BROAD);
	return pattern_match(outer, inner->text, sep, BROAD);
}

static bool patterns_cover(const struct pattern_list *outer, const struct pattern_list *inner,
			   uint8_t sep)
{
	if (!outer->n)
		return true;
	for (size_t i = 0; i < inner->n; i++) {
		bool covered = false;

		for (size_t k = 0; k < outer->n && !covered; k++)
			covered = pattern_covers(&outer->at[k], &inner->at[i], sep);
		if (!covered)
			return false;
	}
	return inner->n > 0;
}

static bool keyed_cover(const struct keyed_list *outer, const struct keyed_list *inner)
{
	for (size_t i = 0; i < outer->n; i++) {
		bool covered = false;

		for (size_t k = 0; k < inner->n && !covered; k++)
			covered = slice_eq(outer->at[i].key, inner->at[k].key) &&
				  patterns_cover(&outer->at[i].values, &inner->at[k].values, 0);
		if (!covered)
			return false;
	}
	return true;
}

static bool targets_cover(const struct rule *outer, const struct rule *inner)
{
	size_t k = 0;

	if (!outer->n_targets)
		return true;
	for (size_t i = 0; i < inner->n_targets; i++) {
		while (k < outer->n_targets && outer->targets[k] < inner->targets[i])
			k++;
		if (k == outer->n_targets || outer->targets[k] != inner->targets[i])
			return false;
	}
	return inner->n_targets > 0;
}

static bool verbs_cover(const struct rule *outer, const struct rule *inner)
{
	if (!outer->n_verbs)
		return true;
	for (size_t i = 0; i < inner->n_verbs; i++) {
		bool covered = false;

		for (size_t k = 0; k < outer->n_verbs && !covered; k++)
			covered = slice_ieq(outer->verbs[k], inner->verbs[i]);
		if (!covered)
			return false;
	}
	return inner->n_verbs > 0;
}

/* Whether outer, which restricts, matches whatever inner matches. Not all such pairs are seen. */
static bool rule_covers(const struct rule *outer, const struct rule *inner)
{
	return bits_within(outer->protocols, inner->protocols) &&
	       bits_within(outer->effects, inner->effects) &&
	       bits_within(outer->access, inner->access) && targets_cover(outer, inner) &&
	       verbs_cover(outer, inner) &&
	       patterns_cover(&outer->objects, &inner->objects, OBJECT_SEPS) &&
	       patterns_cover(&outer->paths, &inner->paths, '/') &&
	       patterns_cover(&outer->hosts, &inner->hosts, '.') &&
	       patterns_cover(&outer->texts, &inner->texts, 0) &&
	       keyed_cover(&outer->attrs, &inner->attrs) &&
	       keyed_cover(&outer->queries, &inner->queries) &&
	       keyed_cover(&outer->headers, &inner->headers) &&
	       keyed_cover(&outer->bodies, &inner->bodies) && outer->size_min <= inner->size_min &&
	       outer->size_max >= inner->size_max;
}

/* What depends on more than the operation hides nothing for sure. */
static bool may_hide(const struct rule *r)
{
	return r->decides && r->verdict != VERDICT_ALLOW && !r->meter && !r->clients.n &&
	       !r->risk_min && !r->session_risk_min;
}

int policy_shadows_find(struct load *l, const struct place *rules, struct policy *p)
{
	size_t pairs = 0;

	/* Most restrictive first: only a rule that stands before can hide one. */
	for (size_t i = 1; i < p->n_rules; i++) {
		const struct rule *inner = &p->rules[i];
		struct place here = { rules, NULL, inner->place };

		if (!inner->decides || inner->risk)
			continue;
		for (size_t k = 0; k < i && p->rules[k].verdict > inner->verdict; k++) {
			int r;

			if (++pairs > SHADOW_PAIRS_MAX)
				return 0;
			if (!may_hide(&p->rules[k]) || !rule_covers(&p->rules[k], inner))
				continue;
			r = policy_warning_add(l, p, &here,
					       "rule \"%s\" never decides: \"%s\" matches whatever "
					       "it does, and is more restrictive",
					       inner->id, p->rules[k].id);
			if (r < 0)
				return r;
			break;
		}
	}
	return 0;
}
