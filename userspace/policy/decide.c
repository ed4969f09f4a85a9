// SPDX-License-Identifier: Apache-2.0
/* Judging one operation. Nothing here allocates. */
#include "compiled.h"

/*
 * What effects are worth on their own, as weir-policy(5) tells: what can be looked up is nothing, what
 * leaves the data for the server's machine is most.
 */
static const unsigned effect_risk[OP_EFFECT_COUNT] = {
	0 /* read */,   10 /* write */,  20 /* delete */,  30 /* schema */,
	40 /* grant */, 40 /* exec */,   50 /* file */,    40 /* network */,
	50 /* admin */, 0 /* session */, 50 /* unknown */,
};

enum { MORE_VERBS_MAX = 8 }; /* DELETE UPDATE MERGE INSERT are all that handlers name */

/* What of an operation rules ask for, looked up once. */
struct facts {
	const struct policy *p;
	const struct identity *id;
	const struct op *op;
	uint32_t effects;
	bool declared;     /* unknown functions count as the policy declares them */
	unsigned protocol; /* PROTOCOL_COUNT: one that no policy names */
	unsigned verb;     /* as policy_index_verb */
	/* The other verbs of a statement, its attribute "verbs": PREPARE x AS DELETE is both. */
	struct slice more[MORE_VERBS_MAX];
	unsigned more_verb[MORE_VERBS_MAX];
	size_t n_more;
	size_t target; /* SIZE_MAX: none */
	struct slice path, host;
	bool has_path, has_host;
	uint64_t risk, session_risk;
	uint32_t over;       /* bits of the meters whose limit is passed */
	bool host_unchecked; /* it is not known that this host is the one dialled */
	bool path_ambiguous; /* servers may read it in another way than the handler did */
};

/* "Example.com:8080", "[::1]:80", "example.com." → the host alone. */
static struct slice host_alone(struct slice s)
{
	size_t n = s.len;

	if (s.len && s.ptr[0] == '[') {
		ptrdiff_t end = slice_chr(s, ']');

		return end < 0 ? s : slice_head(slice_from(s, 1), (size_t)end - 1);
	}
	while (n > 0 && s.ptr[n - 1] >= '0' && s.ptr[n - 1] <= '9')
		n--;
	if (n > 0 && s.ptr[n - 1] == ':')
		s.len = n - 1;
	if (s.len && s.ptr[s.len - 1] == '.')
		s.len--;
	return s;
}

static void more_verbs(struct slice list, struct facts *f)
{
	while (list.len && f->n_more < MORE_VERBS_MAX) {
		ptrdiff_t space = slice_chr(list, ' ');
		struct slice word = slice_head(list, space < 0 ? list.len : (size_t)space);

		list = slice_from(list, MIN(word.len + 1, list.len));
		if (!word.len || slice_ieq(word, f->op->verb))
			continue;
		f->more[f->n_more] = word;
		f->more_verb[f->n_more++] = policy_index_verb(&f->p->verbs, word);
	}
}

static void facts_gather(const struct policy *p, const struct policy_target *t,
			 const struct identity *id, const struct op *op, struct facts *ret)
{
	const struct op_attr *a;
	struct facts f = { .p = p, .id = id, .op = op };

	f.effects = p->n_functions ? policy_functions_effects(p, op, &f.declared) : op->effects;
	f.effects &= (1u << OP_EFFECT_COUNT) - 1;
	f.effects = f.effects ? f.effects : OP_UNKNOWN;
	f.risk = op->risk;
	for (uint32_t left = f.effects; left; left &= left - 1)
		f.risk += effect_risk[__builtin_ctz(left)];
	f.session_risk = f.risk;
	while (f.protocol < PROTOCOL_COUNT &&
	       strcmp(op->protocol, policy_protocol_names[f.protocol]) != 0)
		f.protocol++;
	f.verb = policy_index_verb(&p->verbs, op->verb);
	a = op_attr_find(op, "verbs");
	if (a && a->type == OP_ATTR_TEXT)
		more_verbs(a->s, &f);
	f.target = SIZE_MAX;
	if (t && p->n_targets) {
		const struct target *target = (const struct target *)t;

		if (target >= p->targets && target < p->targets + p->n_targets)
			f.target = (size_t)(target - p->targets);
	}
	for (size_t i = 0; i < op->n_objects; i++) {
		if (!f.has_path && strcmp(op->objects[i].kind, "path") == 0) {
			f.path = op->objects[i].name;
			f.has_path = true;
		} else if (!f.has_host && strcmp(op->objects[i].kind, "host") == 0) {
			f.host = host_alone(op->objects[i].name);
			f.has_host = true;
		}
	}
	a = op_attr_find(op, "path");
	if (a && a->type == OP_ATTR_TEXT && !f.has_path) {
		f.path = a->s;
		f.has_path = true;
	}
	a = op_attr_find(op, "host");
	if (a && a->type == OP_ATTR_TEXT) {
		f.host = host_alone(a->s);
		f.has_host = f.host.len > 0;
	}
	a = op_attr_find(op, "path_ambiguous");
	f.path_ambiguous = a && a->type == OP_ATTR_BOOL && a->b;
	a = op_attr_find(op, "host_checked");
	f.host_unchecked = a && a->type == OP_ATTR_BOOL && !a->b;
	*ret = f;
}

/* A restriction holds when any effect is listed, a permission when all are. */
static bool bits_match(uint32_t asked, uint32_t have, enum manner how)
{
	if (!asked)
		return true;
	return how == BROAD ? (asked & have) != 0 : have && !(have & ~asked);
}

static bool object_match(const struct rule *r, const struct facts *f, const struct op_object *o,
			 enum manner how)
{
	uint32_t access = o->access;

	if (r->access && f->declared && access & OP_UNKNOWN && strcmp(o->kind, "function") == 0) {
		const struct function *fn = policy_function_find(f->p, o->name);

		access = fn ? fn->effects : access;
	}
	if (!bits_match(r->access, access, how))
		return false;
	for (size_t i = 0; i < r->objects.n; i++)
		if (pattern_match_object(&r->objects.at[i], o, how))
			return true;
	return false;
}

static bool objects_match(const struct rule *r, const struct facts *f, enum manner how)
{
	for (size_t i = 0; i < f->op->n_objects; i++)
		if (object_match(r, f, &f->op->objects[i], how) == (how == BROAD))
			return how == BROAD;
	return how == NARROW && f->op->n_objects > 0;
}

static bool text_match(const struct rule *r, const struct op *op, enum manner how)
{
	/* What was cut off could hold it. */
	if (op->text_cut && how == NARROW)
		return false;
	return pattern_list_match(&r->texts, op->text, 0, how) || op->text_cut;
}

static bool target_listed(const struct rule *r, size_t target)
{
	size_t low = 0, high = r->n_targets;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->targets[mid] == target)
			return true;
		if (r->targets[mid] < target)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool verb_listed(const struct rule *r, unsigned verb, struct slice word)
{
	if (verb < VERBS_INDEXED)
		return r->verb_bits >> verb & 1;
	for (size_t i = 0; i < r->n_verbs; i++)
		if (slice_ieq(r->verbs[i], word))
			return true;
	return false;
}

/* As with effects: a restriction holds when any verb is listed, a permission when all are. */
static bool verbs_match(const struct rule *r, const struct facts *f, enum manner how)
{
	bool any = how == BROAD;

	if (verb_listed(r, f->verb, f->op->verb) == any)
		return any;
	for (size_t i = 0; i < f->n_more; i++)
		if (verb_listed(r, f->more_verb[i], f->more[i]) == any)
			return any;
	return !any;
}

static bool path_match(const struct rule *r, const struct facts *f, enum manner how)
{
	/* What servers may read otherwise could be any path: refused, and never permitted. */
	if (f->path_ambiguous)
		return how == BROAD;
	return f->has_path && pattern_list_match(&r->paths, f->path, '/', how);
}

static bool host_match(const struct rule *r, const struct facts *f, enum manner how)
{
	/* A request that names no host gets whichever the server likes. */
	if (!f->has_host)
		return how == BROAD && f->protocol == PROTOCOL_HTTP;
	/* A permission for one host is none for whoever was dialled under its name. */
	if (f->host_unchecked && how == NARROW)
		return false;
	return pattern_list_match(&r->hosts, f->host, '.', BROAD); /* case never counts in hosts */
}

/* What is seldom asked for and costs more. */
static bool rule_match_rest(const struct rule *r, const struct facts *f, enum manner how)
{
	if (r->attrs.n && !policy_attrs_match(&r->attrs, f->op, how))
		return false;
	if (r->clients.n && !policy_clients_match(&r->clients, f->id, how))
		return false;
	if (r->queries.n && !policy_queries_match(&r->queries, f->op, how))
		return false;
	if (r->headers.n && !policy_headers_match(&r->headers, f->op, how))
		return false;
	if ((r->size_min || r->size_max != UINT64_MAX) && !policy_size_match(r, f->op, how))
		return false;
	if (r->texts.n && !text_match(r, f->op, how))
		return false;
	return !r->bodies.n || policy_bodies_match(&r->bodies, f->op, how);
}

static bool rule_match(const struct rule *r, const struct facts *f)
{
	enum manner how = rule_manner(r);

	if (r->protocols && (f->protocol == PROTOCOL_COUNT || !(r->protocols >> f->protocol & 1)))
		return false;
	if (r->n_targets && (f->target == SIZE_MAX || !target_listed(r, f->target)))
		return false;
	if (r->n_verbs && !verbs_match(r, f, how))
		return false;
	if (!bits_match(r->effects, f->effects, how))
		return false;
	if (f->risk < r->risk_min || f->session_risk < r->session_risk_min)
		return false;
	if (r->meter && !(f->over >> (r->meter - 1) & 1))
		return false;
	if (r->hosts.n && !host_match(r, f, how))
		return false;
	if (r->paths.n && !path_match(r, f, how))
		return false;
	if (r->objects.n && !objects_match(r, f, how))
		return false;
	return rule_match_rest(r, f, how);
}

/* ---- finding rules ---------------------------------------------------------------------------- */

/* One pass over an index: the first rule that matches, or what all that match add to the risk. */
struct scan {
	const struct index *x;
	const struct facts *f;
	size_t best;
	uint64_t risk;
	uint64_t *seen; /* scores only: bits of the rules that were visited */
};

static void visit(struct scan *s, size_t rule)
{
	const struct rule *r = &s->f->p->rules[rule];

	if (!s->x->scores) {
		if (rule < s->best && rule_match(r, s->f))
			s->best = rule;
		return;
	}
	/* A rule with several keys is found by each of them. */
	if (s->seen[rule / 64] >> (rule % 64) & 1)
		return;
	s->seen[rule / 64] |= 1ULL << (rule % 64);
	if (rule_match(r, s->f))
		s->risk += r->risk;
}

static void scan_sets(struct scan *s)
{
	const struct index *x = s->x;
	const struct facts *f = s->f;
	const uint64_t *protocol = x->protocol[f->protocol], *verb = x->verb[f->verb];
	const uint64_t *target = x->target && f->target != SIZE_MAX ? x->target[f->target] : NULL;

	for (size_t w = 0; w < x->words && w * 64 < s->best; w++) {
		uint64_t effect = 0, set = verb[w];

		for (size_t i = 0; i < f->n_more; i++)
			set |= x->verb[f->more_verb[i]][w];
		set &= protocol[w];
		set &= f->path_ambiguous ? x->general[w] | x->path_all[w] : x->general[w];
		if (target)
			set &= target[w] | x->no_target[w];
		if (!set)
			continue;
		for (uint32_t left = f->effects; left; left &= left - 1)
			effect |= x->effect[__builtin_ctz(left)][w];
		for (set &= effect; set; set &= set - 1)
			visit(s, w * 64 + (size_t)__builtin_ctzll(set));
	}
}

static void scan_postings(struct scan *s, const struct postings *list, uint64_t hash)
{
	uint32_t bucket = hash & list->mask;

	for (uint32_t i = list->start[bucket]; i < list->start[bucket + 1]; i++) {
		const struct posting *e = &list->entries[i];

		if (e->rule >= s->best)
			break;
		if (e->hash == hash)
			visit(s, e->rule);
	}
}

static void scan_path(struct scan *s)
{
	struct slice path = s->f->path;
	unsigned parts = 0;
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i <= path.len && parts <= PREFIX_PARTS; i++) {
		uint8_t c = i < path.len ? path.ptr[i] : '/';

		if (i > 0 && c == '/') {
			scan_postings(s, &s->x->found[FOUND_PATH], h);
			parts++;
		}
		h = index_hash_step(h, c);
	}
}

static void scan_heads(struct scan *s, struct slice name)
{
	const struct postings *list = &s->x->found[FOUND_HEAD];
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i < name.len && list->lengths >> (i + 1); i++) {
		h = index_hash_step(h, name.ptr[i]);
		if (list->lengths >> (i + 1) & 1)
			scan_postings(s, list, h);
	}
}

static void scan_tails(struct scan *s, struct slice name)
{
	const struct postings *list = &s->x->found[FOUND_TAIL];
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i < name.len && list->lengths >> (i + 1); i++) {
		h = index_hash_step(h, name.ptr[name.len - 1 - i]);
		if (list->lengths >> (i + 1) & 1)
			scan_postings(s, list, h);
	}
}

static void scan_objects(struct scan *s)
{
	const struct postings *found = s->x->found;

	if (!found[FOUND_NAME].start && !found[FOUND_HEAD].start && !found[FOUND_TAIL].start &&
	    !found[FOUND_FILE].start)
		return;
	for (size_t i = 0; i < s->f->op->n_objects; i++) {
		const struct op_object *o = &s->f->op->objects[i];
		struct slice last = pattern_last_part(o->name);
		bool path = pattern_kind_is_path(o->kind);

		if (found[FOUND_NAME].start)
			scan_postings(s, &found[FOUND_NAME], index_hash(last));
		if (found[FOUND_HEAD].start)
			scan_heads(s, path ? o->name : last);
		if (found[FOUND_TAIL].start)
			scan_tails(s, o->name);
		if (found[FOUND_FILE].start && path)
			scan_postings(s, &found[FOUND_FILE], INDEX_HASH_START);
	}
}

static void scan_all(struct scan *s)
{
	scan_sets(s);
	scan_objects(s);
	if (s->x->found[FOUND_PATH].start && s->f->has_path && !s->f->path_ambiguous)
		scan_path(s);
}

static size_t first_rule(const struct facts *f)
{
	struct scan s = { .x = &f->p->index, .f = f, .best = f->p->n_rules };

	if (s.x->any)
		scan_all(&s);
	return s.best;
}

static uint64_t rules_risk(const struct facts *f)
{
	uint64_t seen[(POLICY_RULES_MAX + 63) / 64];
	struct scan s = { .x = &f->p->scores, .f = f, .best = SIZE_MAX, .seen = seen };

	if (!s.x->any)
		return 0;
	memset(seen, 0, s.x->words * sizeof(*seen)); /* no more than there are rules */
	scan_all(&s);
	return s.risk;
}

/* ---- judging ---------------------------------------------------------------------------------- */

/* Counts the operation with the meters whose rules it is for; after_risk: those that ask for risk. */
static void meters_count(struct facts *f, struct policy_session *ps, uint64_t now_ns,
			 bool after_risk)
{
	for (size_t i = 0; i < f->p->n_meters; i++) {
		const struct meter *spec = &f->p->meters[i];
		const struct rule *r = &f->p->rules[spec->rule];
		bool mine = true;

		if ((r->risk_min || r->session_risk_min) != after_risk)
			continue;
		f->over |= 1u << i;
		if (spec->measure == MEASURE_OPS) {
			mine = rule_match(r, f);
			if (mine)
				policy_meter_add(&ps->_meters[i], 1, now_ns);
		}
		if (!mine || !policy_meter_over(spec, &ps->_meters[i], now_ns))
			f->over &= ~(1u << i);
	}
}

/*
 * What depends on the session and on each other, in an order that makes the order of rules irrelevant:
 * counts, then what rules add to the risk (none of which asks for risk), then what asks for it.
 */
static void facts_weigh(struct facts *f, struct policy_session *ps, uint64_t now_ns)
{
	if (ps && f->p->n_meters) {
		policy_session_bind(ps, f->p);
		meters_count(f, ps, now_ns, false);
	}
	f->risk = MIN(f->risk + rules_risk(f), (uint64_t)POLICY_RISK_MAX);
	f->session_risk = f->risk;
	if (!ps)
		return;
	if (__builtin_add_overflow(ps->risk, f->risk, &f->session_risk))
		f->session_risk = UINT64_MAX;
	ps->risk = f->session_risk;
	ps->ops++;
	if (f->p->n_meters)
		meters_count(f, ps, now_ns, true);
}

static void rule_verdict(const struct rule *r, struct verdict *ret)
{
	*ret = (struct verdict){ .kind = r->verdict,
				 .rule = r->id,
				 .message = r->message,
				 .hold = r->verdict == VERDICT_HOLD ? &r->hold : NULL };
}

void policy_decide(const struct policy *p, const struct policy_target *t, const struct identity *id,
		   const struct op *op, struct policy_session *ps, uint64_t now_ns,
		   struct verdict *ret)
{
	struct facts f;
	size_t rule;

	if (op->n_objects > POLICY_OBJECTS_MAX) {
		if (ps) {
			ps->ops++;
			ps->risk += POLICY_RISK_MAX;
		}
		*ret = (struct verdict){ .kind = VERDICT_BLOCK,
					 .rule = "limit",
					 .message = p->limited,
					 .risk = POLICY_RISK_MAX };
		return;
	}
	facts_gather(p, t, id, op, &f);
	facts_weigh(&f, ps, now_ns);
	rule = first_rule(&f);
	if (rule < p->n_rules) {
		rule_verdict(&p->rules[rule], ret);
	} else if (f.target != SIZE_MAX) {
		const struct target *target = &p->targets[f.target];

		*ret = (struct verdict){ .kind = target->fallback < 0
							 ? p->fallback
							 : (enum verdict_kind)target->fallback,
					 .rule = target->rule,
					 .message = target->message };
	} else {
		*ret = (struct verdict){ .kind = p->fallback,
					 .rule = "default",
					 .message =
						 p->fallback == VERDICT_BLOCK ? p->refused : NULL };
	}
	ret->risk = (unsigned)f.risk;
}

size_t policy_rule_count(const struct policy *p)
{
	return p->n_rules;
}

bool policy_rule_decides(const struct policy *p, size_t i)
{
	return p->rules[i].decides;
}

bool policy_rule_matches(const struct policy *p, size_t i, const struct policy_target *t,
			 const struct identity *id, const struct op *op, struct verdict *ret)
{
	struct facts f;

	facts_gather(p, t, id, op, &f);
	facts_weigh(&f, NULL, 0);
	if (!rule_match(&p->rules[i], &f))
		return false;
	rule_verdict(&p->rules[i], ret);
	ret->risk = p->rules[i].risk;
	return true;
}
