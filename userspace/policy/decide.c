// SPDX-License-Identifier: Apache-2.0
/* Judging one operation. Nothing here allocates. */
#include <stdio.h>

#include "compiled.h"

/* What of an operation rules ask for, looked up once. */
struct facts {
	const struct op *op;
	uint32_t effects;
	unsigned protocol; /* PROTOCOL_COUNT: one that no policy names */
	unsigned verb; /* as policy_index_verb */
	size_t target; /* SIZE_MAX: none */
	struct slice path, host;
	bool has_path, has_host;
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

static void facts_gather(const struct policy *p, const struct policy_target *t, const struct op *op,
			 struct facts *ret)
{
	const struct op_attr *a;
	struct facts f = { .op = op };

	f.effects = op->effects ? op->effects : OP_UNKNOWN;
	while (f.protocol < PROTOCOL_COUNT &&
	       strcmp(op->protocol, policy_protocol_names[f.protocol]) != 0)
		f.protocol++;
	f.verb = policy_index_verb(&p->index, op->verb);
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
	*ret = f;
}

/* A restriction holds when any effect is listed, a permission when all are. */
static bool bits_match(uint32_t asked, uint32_t have, enum manner how)
{
	if (!asked)
		return true;
	return how == BROAD ? (asked & have) != 0 : have && !(have & ~asked);
}

static bool object_match(const struct rule *r, const struct op_object *o, enum manner how)
{
	if (!bits_match(r->access, o->access, how))
		return false;
	for (size_t i = 0; i < r->objects.n; i++)
		if (pattern_match_object(&r->objects.at[i], o, how))
			return true;
	return false;
}

static bool objects_match(const struct rule *r, const struct op *op, enum manner how)
{
	for (size_t i = 0; i < op->n_objects; i++)
		if (object_match(r, &op->objects[i], how) == (how == BROAD))
			return how == BROAD;
	return how == NARROW && op->n_objects > 0;
}

static bool attr_match(const struct attr_cond *cond, const struct op *op, enum manner how)
{
	char number[24];
	bool seen = false;

	/* All of that name: a handler may give one twice, and either may be what the server uses. */
	for (size_t i = 0; i < op->n_attrs; i++) {
		const struct op_attr *a = &op->attrs[i];
		struct slice text = SLICE_NONE;
		bool hit;

		if (strcmp(a->key, cond->key) != 0)
			continue;
		switch (a->type) {
		case OP_ATTR_BOOL: text = a->b ? SLICE("true") : SLICE("false"); break;
		case OP_ATTR_INT:
			(void)snprintf(number, sizeof(number), "%lld", (long long)a->i);
			text = slice_str(number);
			break;
		case OP_ATTR_TEXT: text = a->s; break;
		}
		hit = pattern_list_match(&cond->values, text, 0, how);
		if (hit == (how == BROAD))
			return hit;
		seen = true;
	}
	return how == NARROW && seen;
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

static bool verb_listed(const struct rule *r, const struct facts *f)
{
	if (f->verb < VERBS_INDEXED)
		return r->verb_bits >> f->verb & 1;
	for (size_t i = 0; i < r->n_verbs; i++)
		if (slice_ieq(r->verbs[i], f->op->verb))
			return true;
	return false;
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
	return pattern_list_match(&r->hosts, f->host, '.', BROAD); /* case never counts in hosts */
}

static bool rule_match(const struct rule *r, const struct facts *f)
{
	enum manner how = rule_manner(r);

	if (r->protocols && (f->protocol == PROTOCOL_COUNT || !(r->protocols >> f->protocol & 1)))
		return false;
	if (r->n_targets && (f->target == SIZE_MAX || !target_listed(r, f->target)))
		return false;
	if (r->n_verbs && !verb_listed(r, f))
		return false;
	if (!bits_match(r->effects, f->effects, how))
		return false;
	if (r->hosts.n && !host_match(r, f, how))
		return false;
	if (r->paths.n && !path_match(r, f, how))
		return false;
	if (r->objects.n && !objects_match(r, f->op, how))
		return false;
	for (size_t i = 0; i < r->n_attrs; i++)
		if (!attr_match(&r->attrs[i], f->op, how))
			return false;
	return true;
}

static size_t scan_sets(const struct policy *p, const struct facts *f)
{
	const struct index *x = &p->index;
	const uint64_t *protocol = x->protocol[f->protocol], *verb = x->verb[f->verb];
	const uint64_t *target = x->target && f->target != SIZE_MAX ? x->target[f->target] : NULL;

	for (size_t w = 0; w < x->words; w++) {
		uint64_t effect = 0, set = protocol[w] & verb[w];

		set &= f->path_ambiguous ? x->general[w] | x->path_all[w] : x->general[w];
		if (target)
			set &= target[w] | x->no_target[w];
		if (!set)
			continue;
		for (uint32_t left = f->effects & ((1u << OP_EFFECT_COUNT) - 1); left;
		     left &= left - 1)
			effect |= x->effect[__builtin_ctz(left)][w];
		for (set &= effect; set; set &= set - 1) {
			size_t rule = w * 64 + (size_t)__builtin_ctzll(set);

			if (rule_match(&p->rules[rule], f))
				return rule;
		}
	}
	return p->n_rules;
}

/* The first rule below best that is found under a hash and matches; best when there is none. */
static size_t scan_postings(const struct policy *p, const struct postings *list, uint64_t hash,
			    const struct facts *f, size_t best)
{
	uint32_t bucket = hash & list->mask;

	for (uint32_t i = list->start[bucket]; i < list->start[bucket + 1]; i++) {
		const struct posting *e = &list->entries[i];

		if (e->rule >= best)
			break;
		if (e->hash == hash && rule_match(&p->rules[e->rule], f))
			return e->rule;
	}
	return best;
}

static size_t scan_path(const struct policy *p, const struct facts *f, size_t best)
{
	unsigned parts = 0;
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i <= f->path.len && parts <= PREFIX_PARTS; i++) {
		uint8_t c = i < f->path.len ? f->path.ptr[i] : '/';

		if (i > 0 && c == '/') {
			best = scan_postings(p, &p->index.prefixes, h, f, best);
			parts++;
		}
		h = index_hash_step(h, c);
	}
	return best;
}

static size_t first_rule(const struct policy *p, const struct facts *f)
{
	size_t best;

	if (p->n_rules == 0)
		return 0;
	best = scan_sets(p, f);
	if (p->index.objects.start)
		for (size_t i = 0; i < f->op->n_objects; i++)
			best = scan_postings(p, &p->index.objects,
					     index_hash(pattern_last_part(f->op->objects[i].name)),
					     f, best);
	if (p->index.prefixes.start && f->has_path && !f->path_ambiguous)
		best = scan_path(p, f, best);
	return best;
}

void policy_decide(const struct policy *p, const struct policy_target *t, const struct identity *id,
		   const struct op *op, struct policy_session *ps, uint64_t now_ns,
		   struct verdict *ret)
{
	struct facts f;
	size_t rule;

	if (op->n_objects > POLICY_OBJECTS_MAX) {
		*ret = (struct verdict){ .kind = VERDICT_BLOCK,
					 .rule = "limit",
					 .message = p->limited };
		return;
	}
	facts_gather(p, t, op, &f);
	rule = first_rule(p, &f);
	if (rule < p->n_rules) {
		const struct rule *r = &p->rules[rule];

		*ret = (struct verdict){ .kind = r->verdict,
					 .rule = r->id,
					 .message = r->message,
					 .hold = r->verdict == VERDICT_HOLD ? &r->hold : NULL };
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
	if (ps)
		ps->ops++;
}

void policy_session_result(struct policy_session *ps, uint64_t bytes, uint64_t rows,
			   uint64_t now_ns)
{
	if (__builtin_add_overflow(ps->bytes, bytes, &ps->bytes))
		ps->bytes = UINT64_MAX;
	if (__builtin_add_overflow(ps->rows, rows, &ps->rows))
		ps->rows = UINT64_MAX;
}

size_t policy_rule_count(const struct policy *p)
{
	return p->n_rules;
}

bool policy_rule_decides(const struct policy *p, size_t i)
{
	return true;
}

bool policy_rule_matches(const struct policy *p, size_t i, const struct policy_target *t,
			 const struct identity *id, const struct op *op, struct verdict *ret)
{
	const struct rule *r = &p->rules[i];
	struct facts f;

	facts_gather(p, t, op, &f);
	if (!rule_match(r, &f))
		return false;
	*ret = (struct verdict){ .kind = r->verdict,
				 .rule = r->id,
				 .message = r->message,
				 .hold = r->verdict == VERDICT_HOLD ? &r->hold : NULL };
	return true;
}
