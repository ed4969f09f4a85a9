// SPDX-License-Identifier: Apache-2.0
/* What was learned as the text of a policy: the same whatever the order in which it was seen. */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "learn_int.h"

enum { NAME_BYTES = 128, REGEXES_MAX = 900, TEXT_MAX = 16 * 1024 * 1024 };

/* A target as it is written, and a rule. */
struct out_target {
	struct learn_target *from;
	char name[NAME_BYTES];
	json_t *hosts;
};

struct out_rule {
	const struct out_target *target;
	const struct learn_group *like; /* form, effects, access, where */
	json_t *verbs, *hosts, *values;
	char *sort; /* by what rules are put in order, and found to be alike */
	uint64_t count;
};

struct writer {
	struct learn *l;
	struct out_target *targets;
	struct out_rule *rules;
	size_t n_targets, n_rules, regexes;
	size_t *index; /* of a learn target: where it is in targets */
};

/* ---- targets --------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b, void *ctx)
{
	const struct learn_target *all = ctx, *x = &all[*(const size_t *)a],
				  *y = &all[*(const size_t *)b];
	int r = strcmp(x->protocol, y->protocol);

	if (r == 0)
		r = ntohs(x->addr.port_be) - ntohs(y->addr.port_be);
	return r ? r : memcmp(x->addr.ip, y->addr.ip, sizeof(x->addr.ip));
}

static bool has_confirmed(const struct learn_target *t, const char *name)
{
	for (size_t i = 0; i < t->hosts.n; i++)
		if (t->confirmed[i] && (!name || strcmp(t->hosts.at[i], name) == 0))
			return true;
	return false;
}

/* Two addresses of one name are one target. */
static bool are_one(const struct learn_target *a, const struct learn_target *b)
{
	if (strcmp(a->protocol, b->protocol) != 0 || a->addr.port_be != b->addr.port_be)
		return false;
	for (size_t i = 0; i < a->hosts.n; i++)
		if (a->confirmed[i] && has_confirmed(b, a->hosts.at[i]))
			return true;
	return false;
}

/* As the language has names: the first a letter or digit. */
static void name_clean(char *name)
{
	for (char *c = name; *c; c++) {
		bool alnum = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');

		if (!alnum && (c == name || (*c != '.' && *c != '_' && *c != '-')))
			*c = c == name ? 'x' : '-';
	}
}

static bool name_taken(const struct writer *w, const char *name)
{
	for (size_t i = 0; i < w->n_targets; i++)
		if (strcmp(w->targets[i].name, name) == 0)
			return true;
	return false;
}

static void target_name(const struct writer *w, const struct learn_target *t, char out[NAME_BYTES])
{
	struct addr alone = t->addr;
	char text[ADDR_TEXT_MAX];
	const char *host = addr_format(&alone, text);

	snprintf(out, NAME_BYTES, "%.100s", t->name);
	name_clean(out);
	if (out[0] && !name_taken(w, out))
		return;
	for (size_t i = 0; i < t->hosts.n; i++)
		if (t->confirmed[i] && (host == text || strcmp(t->hosts.at[i], host) < 0))
			host = t->hosts.at[i];
	if (host == text)
		snprintf(out, NAME_BYTES, "%s-%.80s", t->protocol, host);
	else
		snprintf(out, NAME_BYTES, "%s-%.80s-%u", t->protocol, host, ntohs(t->addr.port_be));
	name_clean(out);
	for (unsigned n = 2; name_taken(w, out); n++) {
		size_t len = strlen(out);

		/* Names that differ only in what was cleaned away. */
		snprintf(out + MIN(len, (size_t)NAME_BYTES - 8), 8, "-%u", n);
	}
}

static int text_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. Takes the list. */
static json_t *sorted(json_t *take)
{
	size_t n = json_array_size(take);
	const char **at = calloc(n + 1, sizeof(*at));
	json_t *list = at ? json_array() : NULL;

	for (size_t i = 0; list && i < n; i++)
		at[i] = json_string_value(json_array_get(take, i));
	if (list)
		qsort(at, n, sizeof(*at), text_order);
	for (size_t i = 0; list && i < n; i++)
		if (i == 0 || strcmp(at[i], at[i - 1]) != 0)
			(void)json_array_append_new(list, json_string(at[i]));
	free(at);
	json_decref(take);
	return list;
}

static void hosts_add(json_t *list, const struct learn_target *t)
{
	struct addr alone = t->addr;
	char text[ADDR_TEXT_MAX], *host = text;

	for (size_t i = 0; i < t->hosts.n; i++)
		if (t->confirmed[i])
			(void)json_array_append_new(list, json_string(t->hosts.at[i]));
	if (has_confirmed(t, NULL))
		return;
	alone.port_be = 0;
	addr_format(&alone, text);
	if (*host == '[') { /* an address in "hosts" has no brackets */
		host++;
		host[strcspn(host, "]")] = '\0';
	}
	(void)json_array_append_new(list, json_string(host));
}

static int targets_make(struct writer *w)
{
	size_t n = w->l->target_keys.n;
	size_t *order = calloc(n + 1, sizeof(*order));

	w->targets = calloc(n + 1, sizeof(*w->targets));
	w->index = calloc(n + 1, sizeof(*w->index));
	if (!order || !w->targets || !w->index) {
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), by_place, w->l->targets);
	for (size_t i = 0; i < n; i++) {
		struct learn_target *t = &w->l->targets[order[i]];
		size_t at = 0;

		while (at < w->n_targets && !are_one(w->targets[at].from, t))
			at++;
		if (at == w->n_targets) {
			w->targets[at].from = t;
			target_name(w, t, w->targets[at].name);
			w->targets[at].hosts = json_array();
			w->n_targets++;
		}
		hosts_add(w->targets[at].hosts, t);
		w->index[order[i]] = at;
	}
	free(order);
	for (size_t i = 0; i < w->n_targets; i++) {
		w->targets[i].hosts = sorted(w->targets[i].hosts);
		if (!w->targets[i].hosts)
			return -ENOMEM;
	}
	return 0;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static json_t *values_of(struct writer *w, const struct learn_group *g)
{
	json_t *list = json_array();

	for (size_t i = 0; i < g->values.n; i++) {
		if (g->form == LEARN_TEXT && w->regexes++ >= REGEXES_MAX)
			w->l->counts.unsayable++;
		else
			(void)json_array_append_new(list, json_string(g->values.at[i]));
	}
	return sorted(list);
}

/*
 * What rules are told apart by: everything but what is to be joined next. verbs, hosts, values: whether
 * they count.
 */
static char *sort_key(const struct out_rule *r, bool verbs, bool hosts, bool values)
{
	char *v = verbs ? json_dumps(r->verbs, 0) : NULL,
	     *h = hosts ? json_dumps(r->hosts, 0) : NULL;
	char *x = values ? json_dumps(r->values, 0) : NULL, *key = NULL;

	if (asprintf(&key, "%s\1%d\1%s\1%s\1%04x\1%04x\1%d\1%s", r->target->name,
		     (int)r->like->form, v ? v : "", h ? h : "", r->like->effects, r->like->access,
		     r->like->where, x ? x : "") < 0)
		key = NULL;
	free(v);
	free(h);
	free(x);
	return key;
}

static int rule_order(const void *a, const void *b)
{
	return strcmp(((const struct out_rule *)a)->sort, ((const struct out_rule *)b)->sort);
}

static void rule_done(struct out_rule *r)
{
	json_decref(r->verbs);
	json_decref(r->hosts);
	json_decref(r->values);
	free(r->sort);
}

static int join(json_t **list, const json_t *more)
{
	(void)json_array_extend(*list, (json_t *)(uintptr_t)more);
	*list = sorted(*list);
	return *list ? 0 : -ENOMEM;
}

/* Joins rules that differ only in what does not count. */
static int rules_join(struct writer *w, bool verbs, bool hosts, bool values, bool paths_only)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < w->n_rules; i++) {
		bool all = paths_only && w->rules[i].like->form != LEARN_PATHS &&
			   w->rules[i].like->form != LEARN_SESSION;

		free(w->rules[i].sort);
		w->rules[i].sort =
			sort_key(&w->rules[i], verbs || all, hosts || all, values || all);
		if (!w->rules[i].sort)
			return -ENOMEM;
	}
	qsort(w->rules, w->n_rules, sizeof(*w->rules), rule_order);
	for (size_t i = 0; i < w->n_rules; i++) {
		struct out_rule *into = kept ? &w->rules[kept - 1] : NULL, *from = &w->rules[i];

		if (!into || strcmp(into->sort, from->sort) != 0) {
			struct out_rule copy = *from;

			*from = (struct out_rule){ 0 };
			w->rules[kept++] = copy;
			continue;
		}
		r = r ? r : join(&into->verbs, from->verbs);
		r = r ? r : join(&into->hosts, from->hosts);
		r = r ? r : join(&into->values, from->values);
		into->count += from->count;
		rule_done(from);
		*from = (struct out_rule){ 0 };
	}
	w->n_rules = kept;
	return r;
}

static int rules_make(struct writer *w)
{
	size_t n = w->l->group_keys.n;
	int r;

	w->rules = calloc(n + 1, sizeof(*w->rules));
	if (!w->rules)
		return -ENOMEM;
	while (w->n_rules < n) {
		const struct learn_group *g = &w->l->groups[w->n_rules];
		struct out_rule *rule = &w->rules[w->n_rules++];

		*rule = (struct out_rule){ .target = &w->targets[w->index[g->target]],
					   .like = g,
					   .verbs = json_pack("[s]", g->verb),
					   .hosts = g->host[0] ? json_pack("[s]", g->host)
							       : json_array(),
					   .values = values_of(w, g),
					   .count = g->count };
		if (!rule->verbs || !rule->hosts || !rule->values)
			return -ENOMEM;
	}
	/* Addresses of one target; then verbs of the same paths; then hosts of the same. */
	r = rules_join(w, true, true, false, false);
	if (r == 0)
		r = rules_join(w, false, true, true, true);
	if (r == 0)
		r = rules_join(w, true, false, true, true);
	return r;
}

static json_t *effects_json(uint32_t effects)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++)
		if (effects >> i & 1)
			(void)json_array_append_new(list, json_string(op_effect_names[i]));
	return list;
}

static json_t *regexes_json(const json_t *values)
{
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(values, i, v)
		(void)json_array_append_new(list, json_pack("{sO}", "regex", v));
	return list;
}

static json_t *when_json(const struct out_rule *r)
{
	json_t *o = json_pack("{ss,sO,so}", "target", r->target->name, "verb", r->verbs, "effect",
			      effects_json(r->like->effects));

	if (json_array_size(r->hosts))
		(void)json_object_set(o, "host", r->hosts);
	switch (r->like->form) {
	case LEARN_OBJECTS:
		(void)json_object_set(o, "object", r->values);
		/* Objects that nothing happens to ask for no access. */
		if (r->like->access)
			(void)json_object_set_new(o, "access", effects_json(r->like->access));
		break;
	case LEARN_TEXT: (void)json_object_set_new(o, "text", regexes_json(r->values)); break;
	case LEARN_PATHS:
		if (json_array_size(r->values))
			(void)json_object_set(o, "path", r->values);
		break;
	case LEARN_SESSION:
	case LEARN_ANY: break;
	}
	if (r->like->where)
		(void)json_object_set_new(o, "attr", json_pack("{sb}", "where", 1));
	return o;
}

/* "db-select", "api-get-head", "db-session", each once. */
static void rule_id(const struct writer *w, size_t i, char out[NAME_BYTES],
		    char (*taken)[NAME_BYTES])
{
	const struct out_rule *r = &w->rules[i];
	size_t n = (size_t)snprintf(out, NAME_BYTES, "%.60s", r->target->name);
	json_t *verb;
	size_t j;

	if (r->like->form == LEARN_SESSION)
		n += (size_t)snprintf(out + n, NAME_BYTES - n, "-session");
	else
		json_array_foreach(r->verbs, j, verb)
			if (n < 100)
				n += (size_t)snprintf(out + n, NAME_BYTES - n, "-%.20s",
						      json_string_value(verb));
	for (char *c = out; *c; c++)
		*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
	for (size_t k = 0, number = 2; k < i; k++)
		if (strcmp(taken[k], out) == 0) {
			snprintf(out + n, NAME_BYTES - n, "-%zu", number++);
			k = (size_t)-1; /* again from the first */
		}
}

/* ---- the text -------------------------------------------------------------------------------- */

static int piece_put(struct buf *b, json_t *take)
{
	_cleanup_(free_p) char *text = take ? json_dumps(take, JSON_ENCODE_ANY) : NULL;

	json_decref(take);
	return text ? buf_put_str(b, text) : -ENOMEM;
}

static int targets_put(const struct writer *w, struct buf *b)
{
	int r = buf_put_str(b, "  \"targets\": [");

	for (size_t i = 0; r == 0 && i < w->n_targets; i++) {
		const struct out_target *t = &w->targets[i];

		r = buf_put_str(b, i ? ",\n    " : "\n    ");
		if (r == 0)
			r = piece_put(b, json_pack("{ss,sO,s[i],ss}", "name", t->name, "hosts",
						   t->hosts, "ports",
						   (int)ntohs(t->from->addr.port_be), "protocol",
						   t->from->protocol));
	}
	return r ? r : buf_put_str(b, " ]");
}

static int rules_put(const struct writer *w, struct buf *b)
{
	char(*ids)[NAME_BYTES] = calloc(w->n_rules + 1, sizeof(*ids));
	int r = ids ? buf_put_str(b, ",\n  \"rules\": [") : -ENOMEM;

	for (size_t i = 0; r == 0 && i < w->n_rules; i++) {
		rule_id(w, i, ids[i], ids);
		r = buf_printf(b, "%s\n    {\"id\": \"%s\", \"verdict\": \"allow\",", i ? "," : "",
			       ids[i]);
		if (r == 0)
			r = buf_printf(b, " \"comment\": \"%llu operation%s\",\n     \"when\": ",
				       (unsigned long long)w->rules[i].count,
				       w->rules[i].count == 1 ? "" : "s");
		if (r == 0)
			r = piece_put(b, when_json(&w->rules[i]));
		if (r == 0)
			r = buf_put_str(b, "}");
	}
	free(ids);
	return r ? r : buf_put_str(b, " ]");
}

static json_t *agents_json(const struct learn *l)
{
	const char *at = l->agents ? l->agents : "";
	char below[IDENTITY_PATH_MAX + 4];

	/* Characters that mean something in a pattern: then whoever the policy is attached to. */
	if (strpbrk(at, "*?[\\") || strlen(at) >= IDENTITY_PATH_MAX)
		at = "";
	snprintf(below, sizeof(below), "%s/**", strcmp(at, "/") == 0 ? "" : at);
	if (!at[0] || strcmp(at, "/") == 0)
		return json_pack("[{ss}]", "cgroup", "/**");
	if (!l->agents_below)
		return json_pack("[{ss}]", "cgroup", at);
	return json_pack("[{ss},{ss}]", "cgroup", at, "cgroup", below);
}

static int head_put(const struct writer *w, const char *name, struct buf *b)
{
	const struct learn_counts *c = &w->l->counts;
	int r = buf_put_str(b, "{ \"name\": ");

	if (r == 0)
		r = piece_put(b, json_string(name));
	if (r == 0)
		r = buf_printf(b,
			       ",\n  \"comment\": [\n"
			       "    \"Learned from %llu sessions with %llu allowed operations. It "
			       "allows these and what is\",\n"
			       "    \"like them, and refuses the rest: read it, test it, then "
			       "enforce it.\"",
			       (unsigned long long)c->sessions, (unsigned long long)c->ops);
	if (r == 0 && c->skipped)
		r = buf_printf(b,
			       ",\n    \"%llu operations were blocked or held, and are not "
			       "learned.\"",
			       (unsigned long long)c->skipped);
	if (r == 0 && c->unsayable)
		r = buf_printf(b,
			       ",\n    \"%llu operations were allowed that no permission can name: "
			       "they are refused.\"",
			       (unsigned long long)c->unsayable);
	if (r == 0)
		r = buf_put_str(b, " ],\n  \"agents\": ");
	if (r == 0)
		r = piece_put(b, agents_json(w->l));
	return r ? r : buf_put_str(b, ",\n  \"mode\": \"enforce\",\n  \"default\": \"block\",\n");
}

static void writer_done(struct writer *w)
{
	for (size_t i = 0; i < w->n_rules; i++)
		rule_done(&w->rules[i]);
	for (size_t i = 0; i < w->n_targets; i++)
		json_decref(w->targets[i].hosts);
	free(w->rules);
	free(w->targets);
	free(w->index);
}

int learn_write(struct learn *l, const char *name, struct buf *ret, struct learn_counts *ret_counts)
{
	_cleanup_(writer_done) struct writer w = { .l = l };
	uint64_t unsayable = l->counts.unsayable;
	int r;

	if (l->group_keys.n == 0)
		return -ENODATA;
	r = targets_make(&w);
	if (r == 0)
		r = rules_make(&w);
	if (r == 0)
		r = head_put(&w, name, ret);
	if (r == 0)
		r = targets_put(&w, ret);
	if (r == 0 && w.n_rules)
		r = rules_put(&w, ret);
	if (r == 0)
		r = buf_put_str(ret, " }\n");
	*ret_counts = l->counts;
	ret_counts->targets = w.n_targets;
	ret_counts->rules = w.n_rules;
	l->counts.unsayable = unsayable; /* it may be written again */
	return r;
}
