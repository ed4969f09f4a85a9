// SPDX-License-Identifier: Apache-2.0
#include "sql_known.h"

#include <errno.h>
#include <stdlib.h>

#include "sql_walk.h"

struct also {
	uint32_t on, access;
	struct slice name; /* with its schema */
};

struct relation {
	struct slice schema, name, full; /* full is schema.name, one piece of memory */
	uint32_t code;
	struct slice view;
	bool materialized;
	struct also *also;
	size_t n_also;
	uint32_t view_effects; /* of the view's SELECT, beyond reading */
	const struct op_object *view_objects;
	size_t n_view_objects;
};

struct names {
	struct slice *items; /* sorted */
	size_t n;
};

struct pg_known {
	struct arena arena;
	struct relation *relations; /* sorted by name */
	size_t n_relations;
	struct names functions, row_functions, operators, types;
	bool event_triggers;
};

static int slice_order(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static int relation_order(const void *a, const void *b)
{
	return slice_cmp(((const struct relation *)a)->name, ((const struct relation *)b)->name);
}

static int names_copy(struct arena *arena, size_t n, const struct slice *from, struct names *ret)
{
	struct names out = { .n = n };
	int r;

	out.items = arena_array(arena, n ? n : 1, sizeof(*out.items));
	if (!out.items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		r = arena_dup(arena, from[i], &out.items[i]);
		if (r < 0)
			return r;
	}
	if (n)
		qsort(out.items, n, sizeof(*out.items), slice_order);
	*ret = out;
	return 0;
}

static int functions_copy(struct arena *arena, const struct pg_catalog *c, bool of_row,
			  struct names *ret)
{
	struct slice *list = arena_array(arena, c->n_functions ? c->n_functions : 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_functions; i++)
		if (!of_row || c->functions[i].of_row)
			list[n++] = c->functions[i].name;
	return names_copy(arena, n, list, ret);
}

static int name_join(struct arena *arena, struct slice schema, struct slice name, struct slice *ret)
{
	uint8_t *p = arena_alloc(arena, schema.len + name.len + 1);

	if (!p)
		return -ENOMEM;
	if (schema.len)
		memcpy(p, schema.ptr, schema.len);
	p[schema.len] = '.';
	if (name.len)
		memcpy(p + schema.len + 1, name.ptr, name.len);
	*ret = slice_of(p, schema.len + name.len + 1);
	return 0;
}

static int relation_copy(struct arena *arena, const struct pg_catalog_relation *from,
			 struct relation *ret)
{
	struct relation out = { .code = from->code,
				.materialized = from->materialized,
				.n_also = from->n_also };
	int r;

	r = name_join(arena, from->schema, from->name, &out.full);
	if (r < 0)
		return r;
	out.schema = slice_head(out.full, from->schema.len);
	out.name = slice_from(out.full, from->schema.len + 1);
	r = arena_dup(arena, from->view, &out.view);
	if (r < 0)
		return r;
	out.also = arena_array(arena, out.n_also ? out.n_also : 1, sizeof(*out.also));
	if (!out.also)
		return -ENOMEM;
	for (size_t i = 0; i < out.n_also; i++) {
		out.also[i].on = from->also[i].on;
		out.also[i].access = from->also[i].access;
		r = name_join(arena, from->also[i].schema, from->also[i].name, &out.also[i].name);
		if (r < 0)
			return r;
	}
	*ret = out;
	return 0;
}

int pg_known_new(const struct pg_catalog *c, struct pg_known **ret)
{
	_cleanup_(pg_known_free_p) struct pg_known *k = NULL;
	size_t n = c->n_functions;
	int r;

	if (c->n_relations > PG_CATALOG_NAMES_MAX || n > PG_CATALOG_NAMES_MAX ||
	    c->n_operators > PG_CATALOG_NAMES_MAX || c->n_types > PG_CATALOG_NAMES_MAX ||
	    n + c->n_relations + c->n_operators + c->n_types > PG_CATALOG_NAMES_MAX)
		return -EMSGSIZE;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	arena_init(&k->arena, PG_CATALOG_BYTES_MAX);
	k->event_triggers = c->event_triggers;
	k->n_relations = c->n_relations;
	k->relations =
		arena_array(&k->arena, c->n_relations ? c->n_relations : 1, sizeof(*k->relations));
	if (!k->relations)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_relations; i++) {
		r = relation_copy(&k->arena, &c->relations[i], &k->relations[i]);
		if (r < 0)
			return r;
	}
	if (k->n_relations)
		qsort(k->relations, k->n_relations, sizeof(*k->relations), relation_order);
	r = functions_copy(&k->arena, c, false, &k->functions);
	if (!r)
		r = functions_copy(&k->arena, c, true, &k->row_functions);
	if (!r)
		r = names_copy(&k->arena, c->n_operators, c->operators, &k->operators);
	if (!r)
		r = names_copy(&k->arena, c->n_types, c->types, &k->types);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(k);
	return 0;
}

struct pg_known *pg_known_free(struct pg_known *k)
{
	if (!k)
		return NULL;
	arena_done(&k->arena);
	free(k);
	return NULL;
}

size_t pg_known_views(const struct pg_known *k)
{
	return k->n_relations;
}

struct slice pg_known_view(const struct pg_known *k, size_t i)
{
	return k->relations[i].view;
}

int pg_known_view_set(struct pg_known *k, size_t i, const struct pg_facts *f)
{
	struct relation *rel = &k->relations[i];
	const struct pg_stmt *st = f->stmts;
	struct op_object *objects;
	int r;

	/* Not one SELECT: whatever it is, it cannot be seen through. */
	if (!f->parsed || f->n_stmts != 1 || strcmp(st->verb, "SELECT") != 0) {
		rel->view_effects = OP_EXEC | OP_UNKNOWN;
		return 0;
	}
	objects = arena_array(&k->arena, st->n_objects ? st->n_objects : 1, sizeof(*objects));
	if (!objects)
		return -ENOMEM;
	for (size_t n = 0; n < st->n_objects; n++) {
		objects[n] = st->objects[n];
		r = arena_dup(&k->arena, st->objects[n].name, &objects[n].name);
		if (r < 0)
			return r;
	}
	rel->view_effects = st->effects;
	rel->view_objects = objects;
	rel->n_view_objects = st->n_objects;
	return 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

static bool names_have(const struct names *names, const char *name)
{
	struct slice key = slice_str(name);

	return names->n && bsearch(&key, names->items, names->n, sizeof(key), slice_order);
}

bool pg_known_function(const struct pg_known *k, const char *name, bool of_row)
{
	return k && name && names_have(of_row ? &k->row_functions : &k->functions, name);
}

bool pg_known_operator(const struct pg_known *k, const char *name)
{
	return k && name && names_have(&k->operators, name);
}

bool pg_known_type(const struct pg_known *k, const char *name)
{
	return k && name && names_have(&k->types, name);
}

/* The first relation of this name; they stand side by side. */
static size_t relations_find(const struct pg_known *k, struct slice name)
{
	size_t low = 0, high = k->n_relations;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(k->relations[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void add_code(struct pg_walk *w)
{
	w->effects |= OP_EXEC | OP_UNKNOWN;
	w->may_set_lexing = true;
}

static void view_resolve(struct pg_walk *w, const struct relation *rel, uint32_t access)
{
	uint32_t through = rel->materialized ? 0 : access & (OP_WRITE | OP_DELETE);
	bool runs = access & (rel->materialized ? OP_WRITE : OP_READ | OP_WRITE | OP_DELETE);

	if (!runs)
		return;
	w->effects |= rel->view_effects;
	if (rel->view_effects & OP_UNKNOWN)
		w->may_set_lexing = true;
	for (size_t i = 0; i < rel->n_view_objects; i++) {
		const struct op_object *o = &rel->view_objects[i];
		bool table = strcmp(o->kind, "table") == 0;

		pg_add_object(w, o->kind, o->name, o->access | (table ? through : 0));
	}
}

static void relation_resolve(struct pg_walk *w, const struct relation *rel, uint32_t access)
{
	if (access & rel->code)
		add_code(w);
	if (rel->view.len)
		view_resolve(w, rel, access);
	for (size_t i = 0; i < rel->n_also; i++)
		if (access & rel->also[i].on) {
			if (w->n_objects == PG_WALK_OBJECTS_MAX) {
				/* No need to look through 10,000 partitions again and again. */
				w->effects |= OP_UNKNOWN;
				return;
			}
			w->effects |= rel->also[i].access;
			pg_add_object(w, "table", rel->also[i].name, rel->also[i].access);
		}
}

/* PostgreSQL's own, which nobody need tell about. */
static bool is_system(struct slice schema, struct slice name)
{
	if (schema.len)
		return slice_eq(schema, SLICE("pg_catalog")) ||
		       slice_eq(schema, SLICE("information_schema"));
	return slice_has_prefix(name, SLICE("pg_"));
}

/* Everything behind the objects from one on; false when one of them is not known. */
static bool objects_resolve(const struct pg_known *k, struct pg_walk *w)
{
	bool all = true;

	/* Objects come in at the end while this runs: a view of views. */
	for (size_t i = 0; i < w->n_objects && !w->err; i++) {
		struct op_object o = w->objects[i];
		ptrdiff_t dot = slice_chr(o.name, '.');
		struct slice schema = SLICE_NONE, name = o.name;
		bool found = false;

		if (strcmp(o.kind, "table") != 0)
			continue;
		/* A dot inside of a name makes two readings: both are tried. */
		for (size_t at = relations_find(k, name);
		     at < k->n_relations && slice_eq(k->relations[at].name, name); at++) {
			relation_resolve(w, &k->relations[at], o.access);
			found = true;
		}
		if (dot >= 0) {
			schema = slice_head(o.name, (size_t)dot);
			name = slice_from(o.name, (size_t)dot + 1);
			for (size_t at = relations_find(k, name);
			     at < k->n_relations && slice_eq(k->relations[at].name, name); at++)
				if (slice_eq(k->relations[at].schema, schema)) {
					relation_resolve(w, &k->relations[at], o.access);
					found = true;
				}
		}
		/* What is made here is not known yet, and need not be. */
		all = all && (found || is_system(schema, name) || o.access & OP_SCHEMA);
	}
	return all;
}

static uint64_t objects_sum(const struct pg_walk *w)
{
	uint64_t sum = w->n_objects;

	for (size_t i = 0; i < w->n_objects; i++)
		sum += (uint64_t)w->objects[i].access << 16;
	return sum;
}

void pg_known_resolve(const struct pg_known *k, struct pg_walk *w)
{
	bool all;
	uint64_t before;

	if (!k)
		return;
	/* An object met early may get more access later. Accesses only grow, so this ends. */
	do {
		before = objects_sum(w);
		all = objects_resolve(k, w);
	} while (objects_sum(w) != before && !w->err);
	if (k->event_triggers && w->effects & (OP_SCHEMA | OP_GRANT))
		add_code(w);
	if (all)
		pg_attr_bool(w, "resolved", true);
}
