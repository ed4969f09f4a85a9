// SPDX-License-Identifier: Apache-2.0
/* Compiling texts into a snapshot, and what can be asked of one. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiled.h"
#include "json_place.h"

enum { COMPOSED_MAX = 256 }; /* combinations; more than that refuse: agents without end */

struct policy_set {
	atomic_uint refs;
	size_t n;
	struct policy **policies; /* by name */
	struct slice *names;      /* borrowed from the policies */
	size_t n_names;
	/* Policies that hold together, by which they are: made while matching, guarded by lock. */
	pthread_mutex_t lock;
	struct composed {
		size_t *members, n;
		struct policy *policy; /* NULL: they cannot */
	} composed[COMPOSED_MAX];
	size_t n_composed;
};

static const struct load_key policy_keys[] = {
	{ "$schema", false }, { "name", false },      { "agents", false },
	{ "mode", false },    { "default", false },   { "targets", false },
	{ "rules", false },   { "functions", false }, { "mask", true },
};

static atomic_uint_fast64_t serials;

static struct policy *policy_free(struct policy *p)
{
	if (!p)
		return NULL;
	regex_group_done(&p->regexes);
	arena_done(&p->arena);
	free(p);
	return NULL;
}
DEFINE_CLEANUP(struct policy, policy_free)

static void json_free_p(json_t **v)
{
	json_decref(*v);
}

static int head_load(struct load *l, const struct place *root, const json_t *doc, struct policy *p)
{
	static const char *const modes[] = { "enforce", "observe" };
	static const char *const defaults[] = { "allow", "block" };
	struct place name = { root, "name", 0 }, mode = { root, "mode", 0 };
	struct place fallback = { root, "default", 0 }, schema = { root, "$schema", 0 };
	const json_t *member;
	size_t word;
	int r;

	r = load_object(l, root, doc, policy_keys, ARRAY_SIZE(policy_keys));
	if (r < 0)
		return r;
	member = json_object_get(doc, "$schema");
	if (member && !json_is_string(member))
		return load_fail(l, &schema, "expected a string, not %s", load_type(member));
	member = json_object_get(doc, "name");
	if (!member)
		return load_fail(l, root, "a policy needs a \"name\"");
	r = load_name(l, &name, member, &p->name);
	if (r < 0)
		return r;
	p->mode = POLICY_ENFORCE;
	member = json_object_get(doc, "mode");
	if (member) {
		r = load_word(l, &mode, member, modes, ARRAY_SIZE(modes), &word);
		if (r < 0)
			return r;
		p->mode = word == 0 ? POLICY_ENFORCE : POLICY_OBSERVE;
	}
	p->fallback = VERDICT_BLOCK;
	member = json_object_get(doc, "default");
	if (member) {
		r = load_word(l, &fallback, member, defaults, ARRAY_SIZE(defaults), &word);
		if (r < 0)
			return r;
		p->fallback = word == 0 ? VERDICT_ALLOW : VERDICT_BLOCK;
	}
	r = load_printf(l, &p->refused, "Not allowed by policy %s.", p->name);
	if (r < 0)
		return r;
	r = load_printf(l, &p->held, "Policy %s asks for an approval of this.", p->name);
	if (r < 0)
		return r;
	return load_printf(l, &p->limited, "Touches more than %d objects.", POLICY_OBJECTS_MAX);
}

static int document_load(struct load *l, const json_t *doc, struct policy *p)
{
	struct place root = { 0 };
	struct place agents = { &root, "agents", 0 }, targets = { &root, "targets", 0 };
	struct place rules = { &root, "rules", 0 }, functions = { &root, "functions", 0 };
	const json_t *member;
	int r;

	r = head_load(l, &root, doc, p);
	if (r < 0)
		return r;
	member = json_object_get(doc, "agents");
	if (member) {
		if (!json_is_array(member))
			return load_fail(l, &agents, "expected a list of agents, not %s",
					 load_type(member));
		r = policy_agents_load(l, &agents, member, "a list of agents", &p->agents);
		if (r < 0)
			return r;
	}
	member = json_object_get(doc, "functions");
	if (member) {
		r = policy_functions_load(l, &functions, member, p);
		if (r < 0)
			return r;
	}
	member = json_object_get(doc, "targets");
	if (member) {
		r = policy_targets_load(l, &targets, member, p);
		if (r < 0)
			return r;
	}
	r = policy_rules_load(l, &rules, json_object_get(doc, "rules"), p);
	if (r < 0)
		return r;
	r = policy_warnings_find(l, p);
	return r < 0 ? r : policy_index_build(p);
}

static void text_error(const struct load *l, struct json_pos pos, const char *message)
{
	*l->err = (struct policy_err){ .line = pos.line, .column = pos.column };
	(void)snprintf(l->err->source, sizeof(l->err->source), "%s", l->source); /* cut to fit */
	(void)snprintf(l->err->message, sizeof(l->err->message), "%s", message); /* cut to fit */
}

/* jansson's word for what is wrong, without line breaks of the text that it quotes. */
static int syntax_error(const struct load *l, const json_error_t *e)
{
	char message[JSON_ERROR_TEXT_LENGTH + 32];

	if (json_error_code(e) == json_error_out_of_memory || !e->text[0])
		return -ENOMEM;
	(void)snprintf(message, sizeof(message), "not valid JSON: %s", e->text); /* fits */
	for (char *c = message; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	text_error(l,
		   (struct json_pos){ e->line > 0 ? (unsigned)e->line : 1,
				      e->column > 0 ? (unsigned)e->column : 1 },
		   message);
	return -EINVAL;
}

static int policy_compile(const struct policy_source *source, struct policy **ret,
			  struct policy_err *reterr)
{
	_cleanup_(policy_free_p) struct policy *p = NULL;
	_cleanup_(json_free_p) json_t *doc = NULL;
	struct load l = { .source = source->name, .err = reterr };
	struct json_pos pos;
	json_error_t err;
	int r;

	if (source->json.len > POLICY_TEXT_MAX) {
		text_error(&l, (struct json_pos){ 0, 0 }, "the text is longer than 16 MiB");
		return -EMSGSIZE;
	}
	r = json_place_limits(source->json, POLICY_DEPTH_MAX, POLICY_VALUES_MAX, &pos);
	if (r < 0) {
		text_error(&l, pos, "nested deeper than 32, or more than a million values");
		return r;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	arena_init(&p->arena, POLICY_MEMORY_MAX);
	p->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
	r = arena_dup(&p->arena, source->json, &p->text);
	if (r < 0)
		return r;
	r = sha256_bytes(p->text, p->hash);
	if (r < 0)
		return r;
	l.text = p->text;
	l.arena = &p->arena;
	l.regexes = &p->regexes;
	doc = json_loadb((const char *)p->text.ptr, p->text.len, JSON_REJECT_DUPLICATES, &err);
	if (!doc)
		return syntax_error(&l, &err);
	r = document_load(&l, doc, p);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

static struct policy_set *set_free(struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		(void)policy_free(set->policies[i]); /* returns NULL */
	for (size_t i = 0; i < set->n_composed; i++) {
		(void)policy_free(set->composed[i].policy); /* returns NULL */
		free(set->composed[i].members);
	}
	(void)pthread_mutex_destroy(&set->lock); /* nobody can hold it any more */
	free(set->policies);
	free(set->names);
	free(set);
	return NULL;
}
DEFINE_CLEANUP(struct policy_set, set_free)

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct policy *const *)a)->name, (*(struct policy *const *)b)->name);
}

static int by_bytes(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Every plain name once. */
static int names_collect(struct policy_set *set)
{
	size_t n = 0, kept = 0;

	for (unsigned pass = 0; pass < 2; pass++) {
		if (pass == 1) {
			if (n == 0)
				return 0;
			set->names = calloc(n, sizeof(*set->names));
			if (!set->names)
				return -ENOMEM;
			n = 0;
		}
		for (size_t i = 0; i < set->n; i++) {
			const struct policy *p = set->policies[i];

			for (size_t t = 0; t < p->n_targets; t++) {
				for (size_t h = 0; h < p->targets[t].n_hosts; h++) {
					const struct host *host = &p->targets[t].hosts[h];

					if (host->kind != HOST_NAME || host->name.glob)
						continue;
					if (pass == 1)
						set->names[n] = host->name.text;
					n++;
				}
			}
		}
	}
	qsort(set->names, n, sizeof(*set->names), by_bytes);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !slice_eq(set->names[i], set->names[kept - 1]))
			set->names[kept++] = set->names[i];
	set->n_names = kept;
	return 0;
}

static int check_names(const struct policy_set *set, const struct policy_source *sources, size_t n,
		       struct policy_err *reterr)
{
	static const struct json_step step = { "name", 0 };

	for (size_t i = 1; i < set->n; i++) {
		const struct policy *p = set->policies[i], *other = set->policies[i - 1];
		struct load l = { .err = reterr };
		char message[256];

		if (strcmp(p->name, other->name) != 0)
			continue;
		/* Which of two equal ones qsort puts last is not known: name the later source. */
		for (size_t k = 0; k < n; k++)
			if (slice_eq(sources[k].json, p->text) ||
			    slice_eq(sources[k].json, other->text))
				l.source = sources[k].name, l.text = sources[k].json;
		(void)snprintf(message, sizeof(message), "another policy is named \"%s\" already",
			       p->name); /* fits: names are short */
		text_error(&l, json_place_find(l.text, &step, 1, false), message);
		return -EINVAL;
	}
	return 0;
}

int policy_set_compile(const struct policy_source *sources, size_t n, struct policy_set **ret,
		       struct policy_err *reterr)
{
	_cleanup_(set_free_p) struct policy_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return -ENOMEM;
	atomic_init(&set->refs, 1);
	(void)pthread_mutex_init(&set->lock, NULL); /* cannot fail with default attributes */
	set->policies = calloc(n ? n : 1, sizeof(struct policy *));
	if (!set->policies)
		return -ENOMEM;
	for (; set->n < n; set->n++) {
		r = policy_compile(&sources[set->n], &set->policies[set->n], reterr);
		if (r < 0)
			return r;
	}
	qsort(set->policies, set->n, sizeof(struct policy *), by_name);
	r = check_names(set, sources, n, reterr);
	if (r < 0)
		return r;
	r = names_collect(set);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(set);
	return 0;
}

bool policy_is_file_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0 &&
	       strcmp(name, "schema.json") != 0;
}

struct policy_set *policy_set_ref(struct policy_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

struct policy_set *policy_set_unref(struct policy_set *set)
{
	if (set && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
		(void)set_free(set); /* returns NULL */
	return NULL;
}

size_t policy_set_count(const struct policy_set *set)
{
	return set->n;
}

const struct policy *policy_set_at(const struct policy_set *set, size_t i)
{
	return i < set->n ? set->policies[i] : NULL;
}

const struct policy *policy_set_find(const struct policy_set *set, struct slice name)
{
	for (size_t i = 0; i < set->n; i++)
		if (slice_eq_str(name, set->policies[i]->name))
			return set->policies[i];
	return NULL;
}

/* Under the lock. NULL: they cannot hold together. */
static const struct policy *compose(struct policy_set *set, const size_t *members, size_t n)
{
	_cleanup_(free_p) const struct policy **list = NULL;
	_cleanup_(free_p) char *text = NULL;
	struct policy_source source = { .name = "composed" };
	struct composed *c;
	struct policy_err err;

	for (size_t i = 0; i < set->n_composed; i++)
		if (set->composed[i].n == n &&
		    memcmp(set->composed[i].members, members, n * sizeof(*members)) == 0)
			return set->composed[i].policy;
	if (set->n_composed == COMPOSED_MAX)
		return NULL;
	c = &set->composed[set->n_composed];
	*c = (struct composed){ .members = calloc(n, sizeof(*members)), .n = n };
	list = calloc(n, sizeof(const struct policy *));
	if (!list || !c->members) {
		free(c->members);
		return NULL;
	}
	memcpy(c->members, members, n * sizeof(*members));
	for (size_t i = 0; i < n; i++)
		list[i] = set->policies[members[i]];
	if (policy_compose(list, n, &text) == 0) {
		source.json = slice_str(text);
		if (policy_compile(&source, &c->policy, &err) < 0)
			c->policy = NULL; /* more than one policy may have: remembered as such */
		else
			c->policy->composed = true;
	}
	set->n_composed++;
	return c->policy;
}

const struct policy *policy_set_match(const struct policy_set *set, const struct identity *id)
{
	/* What the set means never changes; which combinations were asked for is kept in it. */
	struct policy_set *mutable = (struct policy_set *)(uintptr_t)set;
	_cleanup_(free_p) size_t *members = NULL;
	const struct policy *found;
	int best_depth = -1;
	size_t n = 0;

	members = calloc(set->n ? set->n : 1, sizeof(*members));
	if (!members)
		return NULL;
	for (size_t i = 0; i < set->n; i++) {
		int depth = policy_agents_match(&set->policies[i]->agents, id);

		if (depth < 0 || depth < best_depth)
			continue;
		if (depth > best_depth)
			n = 0;
		best_depth = depth;
		members[n++] = i;
	}
	if (n <= 1)
		return n ? set->policies[members[0]] : NULL;
	pthread_mutex_lock(&mutable->lock);
	found = compose(mutable, members, n);
	pthread_mutex_unlock(&mutable->lock);
	return found;
}

bool policy_is_composed(const struct policy *p)
{
	return p->composed;
}

bool policy_set_per_connection(const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		for (size_t k = 0; k < set->policies[i]->agents.n; k++)
			if (set->policies[i]->agents.at[k].n_uids ||
			    set->policies[i]->agents.at[k].exe.text.len)
				return true;
	return false;
}

bool policy_set_wants_exe(const struct policy_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct policy *p = set->policies[i];

		for (size_t k = 0; k < p->agents.n; k++)
			if (p->agents.at[k].exe.text.len)
				return true;
		for (size_t r = 0; r < p->n_rules; r++)
			for (size_t k = 0; k < p->rules[r].clients.n; k++)
				if (p->rules[r].clients.at[k].exe.text.len)
					return true;
	}
	return false;
}

bool policy_wants_body(const struct policy *p)
{
	return p->wants_body;
}

struct slice policy_set_host_name(const struct policy_set *set, size_t i)
{
	return i < set->n_names ? set->names[i] : SLICE_NONE;
}

const char *policy_name(const struct policy *p)
{
	return p->name;
}

enum policy_mode policy_get_mode(const struct policy *p)
{
	return p->mode;
}

const uint8_t *policy_hash(const struct policy *p)
{
	return p->hash;
}

struct slice policy_text(const struct policy *p)
{
	return p->text;
}

size_t policy_target_count(const struct policy *p)
{
	return p->n_targets;
}

const struct policy_target *policy_target_at(const struct policy *p, size_t i)
{
	return i < p->n_targets ? &p->targets[i].public : NULL;
}

const struct policy_warning *policy_warning_at(const struct policy *p, size_t i)
{
	return i < p->n_warnings ? &p->warnings[i] : NULL;
}
