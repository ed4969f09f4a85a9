// SPDX-License-Identifier: Apache-2.0
#include "sql_walk.h"

#include <errno.h>

/* ---- collecting ----------------------------------------------------------------------------- */

void pg_add_object(struct pg_walk *w, const char *kind, struct slice name, uint32_t access)
{
	struct op_object *o;

	for (size_t i = 0; i < w->n_objects; i++) {
		o = &w->objects[i];
		if (strcmp(o->kind, kind) == 0 && slice_eq(o->name, name)) {
			o->access |= access;
			return;
		}
	}
	if (w->n_objects == PG_WALK_OBJECTS_MAX) {
		w->effects |= OP_UNKNOWN;
		return;
	}
	if (w->n_objects == w->cap_objects) {
		size_t cap = w->cap_objects ? w->cap_objects * 2 : 8;

		o = arena_array(w->arena, cap, sizeof(*o));
		if (!o) {
			w->err = -ENOMEM;
			return;
		}
		if (w->n_objects)
			memcpy(o, w->objects, w->n_objects * sizeof(*o));
		w->objects = o;
		w->cap_objects = cap;
	}
	w->objects[w->n_objects++] = (struct op_object){ kind, name, access };
}

void pg_add_named(struct pg_walk *w, const char *kind, const char *name, uint32_t access)
{
	if (name && *name)
		pg_add_object(w, kind, slice_str(name), access);
}

/* "a.b.c" of up to three parts, some NULL or empty. */
static void add_joined(struct pg_walk *w, const char *kind, const char *const *parts, size_t n,
		       uint32_t access)
{
	size_t len = 0, used = 0;
	uint8_t *p;

	for (size_t i = 0; i < n; i++)
		len += parts[i] && *parts[i] ? strlen(parts[i]) + 1 : 0;
	if (!len)
		return;
	p = arena_alloc(w->arena, len);
	if (!p) {
		w->err = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		size_t l = parts[i] ? strlen(parts[i]) : 0;

		if (!l)
			continue;
		if (used)
			p[used++] = '.';
		memcpy(p + used, parts[i], l);
		used += l;
	}
	pg_add_object(w, kind, slice_of(p, used), access);
}

const char *pg_string(const PgQuery__Node *n)
{
	if (!n)
		return NULL;
	if (n->node_case == PG_QUERY__NODE__NODE_STRING)
		return n->string->sval;
	return NULL;
}

void pg_add_names(struct pg_walk *w, const char *kind, size_t n, PgQuery__Node **names,
		  uint32_t access)
{
	const char *parts[4] = { NULL };
	size_t from = n > ARRAY_SIZE(parts) ? n - ARRAY_SIZE(parts) : 0;

	for (size_t i = from; i < n; i++)
		parts[i - from] = pg_string(names[i]);
	add_joined(w, kind, parts, n - from, access);
}

void pg_add_node_name(struct pg_walk *w, const char *kind, const PgQuery__Node *n, uint32_t access)
{
	if (!n)
		return;
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_STRING: pg_add_named(w, kind, n->string->sval, access); break;
	case PG_QUERY__NODE__NODE_LIST:
		/* ALTER/COMMENT … ON RULE and the like put the table's name first, the thing last. */
		if (n->list->n_items && !pg_string(n->list->items[0])) {
			for (size_t i = 0; i < n->list->n_items; i++)
				pg_add_node_name(w, kind, n->list->items[i], access);
			break;
		}
		pg_add_names(w, kind, n->list->n_items, n->list->items, access);
		break;
	case PG_QUERY__NODE__NODE_TYPE_NAME:
		pg_add_names(w, kind, n->type_name->n_names, n->type_name->names, access);
		break;
	case PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS:
		pg_add_names(w, kind, n->object_with_args->n_objname, n->object_with_args->objname,
			     access);
		break;
	case PG_QUERY__NODE__NODE_RANGE_VAR: pg_add_range_var(w, kind, n->range_var, access); break;
	case PG_QUERY__NODE__NODE_ROLE_SPEC: pg_add_role(w, n->role_spec, access); break;
	case PG_QUERY__NODE__NODE_INTEGER: w->literal = true; break; /* a large object's number */
	default: break;
	}
}

void pg_add_range_var(struct pg_walk *w, const char *kind, const PgQuery__RangeVar *rv,
		      uint32_t access)
{
	if (!rv)
		return;
	add_joined(w, kind, (const char *[]){ rv->schemaname, rv->relname }, 2, access);
	if (rv->catalogname && *rv->catalogname)
		pg_add_named(w, "database", rv->catalogname, access);
}

void pg_add_role(struct pg_walk *w, const PgQuery__RoleSpec *r, uint32_t access)
{
	const char *name;

	if (!r)
		return;
	switch (r->roletype) {
	case PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CURRENT_ROLE:
	case PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CURRENT_USER: name = "current_user"; break;
	case PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_SESSION_USER: name = "session_user"; break;
	case PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_PUBLIC: name = "public"; break;
	default: name = r->rolename; break;
	}
	pg_add_named(w, "role", name, access);
}

static struct op_attr *attr_slot(struct pg_walk *w, const char *key, enum op_attr_type type)
{
	for (size_t i = 0; i < w->n_attrs; i++)
		if (strcmp(w->attrs[i].key, key) == 0)
			return &w->attrs[i];
	if (w->n_attrs == PG_WALK_ATTRS_MAX) {
		w->effects |= OP_UNKNOWN;
		return NULL;
	}
	w->attrs[w->n_attrs] = (struct op_attr){ .key = key, .type = type };
	return &w->attrs[w->n_attrs++];
}

void pg_attr_bool(struct pg_walk *w, const char *key, bool b)
{
	struct op_attr *a = attr_slot(w, key, OP_ATTR_BOOL);

	if (a)
		a->b = b;
}

void pg_attr_int(struct pg_walk *w, const char *key, int64_t i)
{
	struct op_attr *a = attr_slot(w, key, OP_ATTR_INT);

	if (a)
		a->i = i;
}

void pg_attr_text(struct pg_walk *w, const char *key, struct slice s)
{
	struct op_attr *a = attr_slot(w, key, OP_ATTR_TEXT);

	if (a)
		a->s = s;
}

/* ---- constants ------------------------------------------------------------------------------ */

const char *pg_const_string(const PgQuery__Node *n)
{
	while (n && n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST)
		n = n->type_cast->arg;
	if (n && n->node_case == PG_QUERY__NODE__NODE_A_CONST && !n->a_const->isnull &&
	    n->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL)
		return n->a_const->sval->sval;
	return NULL;
}

static const ProtobufCMessage *node_msg(const ProtobufCMessage *m)
{
	if (m && m->descriptor == &pg_query__node__descriptor) {
		const PgQuery__Node *n = (const PgQuery__Node *)m;

		/* All members of the union are pointers to messages. */
		return n->node_case == PG_QUERY__NODE__NODE__NOT_SET
			       ? NULL
			       : (const ProtobufCMessage *)n->alias;
	}
	return m;
}

/*
 * The children of a message: fields of type message, once or repeated. *field and *index are the
 * place, both 0 at first. NULL at the end.
 */
static const ProtobufCMessage *child_next(const ProtobufCMessage *m, unsigned *field, size_t *index)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const char *base = (const char *)m;

	for (; *field < d->n_fields; (*field)++, *index = 0) {
		const ProtobufCFieldDescriptor *f = &d->fields[*field];
		const ProtobufCMessage *child;

		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t n;
			ProtobufCMessage **items;

			memcpy(&n, base + f->quantifier_offset, sizeof(n));
			memcpy(&items, base + f->offset, sizeof(items));
			while (*index < n) {
				child = node_msg(items[(*index)++]);
				if (child)
					return child;
			}
			continue;
		}
		if (*index)
			continue;
		*index = 1;
		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			uint32_t which;

			memcpy(&which, base + f->quantifier_offset, sizeof(which));
			if (which != f->id)
				continue;
		}
		memcpy(&child, base + f->offset,
		       sizeof(child)); /* NOLINT(bugprone-sizeof-expression) */
		child = node_msg(child);
		if (child)
			return child;
	}
	return NULL;
}

/* Does anything in there speak of the rows at hand? */
static bool mentions_row(const ProtobufCMessage *m, unsigned depth)
{
	const ProtobufCMessage *child;
	unsigned field = 0;
	size_t index = 0;

	if (!m || depth > PG_WALK_DEPTH_MAX)
		return false;
	if (m->descriptor == &pg_query__current_of_expr__descriptor)
		return true;
	if (m->descriptor == &pg_query__column_ref__descriptor) {
		const PgQuery__ColumnRef *c = (const PgQuery__ColumnRef *)m;

		return !(c->n_fields == 1 &&
			 c->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR);
	}
	while ((child = child_next(m, &field, &index)))
		if (mentions_row(child, depth + 1))
			return true;
	return false;
}

static bool same_column(const PgQuery__Node *a, const PgQuery__Node *b)
{
	if (!a || !b || a->node_case != PG_QUERY__NODE__NODE_COLUMN_REF ||
	    b->node_case != PG_QUERY__NODE__NODE_COLUMN_REF)
		return false;
	if (a->column_ref->n_fields != b->column_ref->n_fields)
		return false;
	for (size_t i = 0; i < a->column_ref->n_fields; i++) {
		const char *x = pg_string(a->column_ref->fields[i]);
		const char *y = pg_string(b->column_ref->fields[i]);

		if (!x || !y || strcmp(x, y) != 0)
			return false;
	}
	return true;
}

/*
 * Is this condition none? True for what says nothing about the rows: constants, parameters, a column
 * compared with itself, and combinations of those. It need not be right for `false`: to call
 * that unbounded is the safe side. No literal's value is looked at, so that the answer is that of
 * the normalised text.
 */
static bool cond_is_void(const PgQuery__Node *n, unsigned depth)
{
	if (!n)
		return true;
	if (depth > PG_WALK_DEPTH_MAX)
		return true;
	if (n->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR) {
		const PgQuery__BoolExpr *b = n->bool_expr;
		bool all = true, any = false;

		for (size_t i = 0; i < b->n_args; i++) {
			bool v = cond_is_void(b->args[i], depth + 1);

			all = all && v;
			any = any || v;
		}
		return b->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ? any : all;
	}
	if (n->node_case == PG_QUERY__NODE__NODE_A_EXPR &&
	    same_column(n->a_expr->lexpr, n->a_expr->rexpr))
		return true;
	return !mentions_row(node_msg(&n->base), 0);
}

/* ---- WITH ----------------------------------------------------------------------------------- */

struct pg_scope {
	const struct pg_scope *up;
	const PgQuery__WithClause *with;
	size_t visible; /* the first so many of its queries can be named */
};

static bool scope_has(const struct pg_walk *w, const PgQuery__RangeVar *rv)
{
	if ((rv->schemaname && *rv->schemaname) || !rv->relname)
		return false;
	for (const struct pg_scope *s = w->scope; s; s = s->up)
		for (size_t i = 0; i < s->visible; i++) {
			const PgQuery__Node *n = s->with->ctes[i];

			if (n->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR &&
			    n->common_table_expr->ctename &&
			    strcmp(n->common_table_expr->ctename, rv->relname) == 0)
				return true;
		}
	return false;
}

/* Opens the names of a WITH clause and walks its queries; the caller restores w->scope. */
static void scope_open(struct pg_walk *w, struct pg_scope *sc, const PgQuery__WithClause *with)
{
	*sc = (struct pg_scope){ .up = w->scope, .with = with };
	if (!with)
		return;
	w->scope = sc;
	if (with->recursive)
		sc->visible = with->n_ctes;
	for (size_t i = 0; i < with->n_ctes; i++) {
		pg_walk_node(w, with->ctes[i]);
		if (!with->recursive)
			sc->visible = i + 1;
	}
}

/* ---- queries -------------------------------------------------------------------------------- */

static void walk_where(struct pg_walk *w, const PgQuery__Node *where)
{
	bool ok = !cond_is_void(where, 0);

	for (size_t i = 0; i < w->n_attrs; i++)
		if (strcmp(w->attrs[i].key, "where") == 0)
			ok = ok && w->attrs[i].b;
	pg_attr_bool(w, "where", ok);
	pg_walk_node(w, where);
}

static void walk_returning(struct pg_walk *w, size_t n, PgQuery__Node **list,
			   const PgQuery__RangeVar *rel)
{
	if (!n)
		return;
	pg_attr_bool(w, "returning", true);
	w->effects |= OP_READ;
	pg_add_range_var(w, "table", rel, OP_READ);
	pg_walk_list(w, n, list);
}

/* Rows of PostgreSQL's own catalogue are its objects, roles and settings. */
void pg_check_catalog(struct pg_walk *w, const PgQuery__RangeVar *rv)
{
	bool qualified = rv && rv->schemaname && *rv->schemaname;

	if (!rv || !rv->relname)
		return;
	if (qualified ? strcmp(rv->schemaname, "pg_catalog") != 0
		      : strncmp(rv->relname, "pg_", 3) != 0)
		return;
	/* And functions, triggers, languages: anything. */
	w->effects |= OP_SCHEMA | OP_GRANT | OP_ADMIN | OP_EXEC | OP_UNKNOWN;
	if (strcmp(rv->relname, "pg_settings") == 0) {
		/* a view whose UPDATE runs set_config */
		w->effects |= OP_SESSION;
		w->sets_lexing = true;
	}
}

/* Views of PostgreSQL's own that read the server's files. */
static void check_file_view(struct pg_walk *w, const PgQuery__RangeVar *rv)
{
	static const char *const views[] = { "pg_file_settings", "pg_hba_file_rules",
					     "pg_ident_file_mappings" };

	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (rv->relname && strcmp(rv->relname, views[i]) == 0)
			w->effects |= OP_FILE | OP_ADMIN;
}

static void walk_select(struct pg_walk *w, const PgQuery__SelectStmt *s)
{
	const struct pg_scope *scope = w->scope;
	struct pg_scope sc;

	w->dml |= PG_DML_SELECT;
	w->effects |= OP_READ;
	scope_open(w, &sc, s->with_clause);
	if (s->into_clause) {
		pg_attr_bool(w, "into", true);
		w->effects |= OP_SCHEMA | OP_WRITE;
		pg_add_range_var(w, "table", s->into_clause->rel, OP_SCHEMA | OP_WRITE);
	}
	pg_walk_list(w, s->n_distinct_clause, s->distinct_clause);
	pg_walk_list(w, s->n_target_list, s->target_list);
	pg_walk_list(w, s->n_from_clause, s->from_clause);
	pg_walk_node(w, s->where_clause);
	pg_walk_list(w, s->n_group_clause, s->group_clause);
	pg_walk_node(w, s->having_clause);
	pg_walk_list(w, s->n_window_clause, s->window_clause);
	pg_walk_list(w, s->n_values_lists, s->values_lists);
	pg_walk_list(w, s->n_sort_clause, s->sort_clause);
	pg_walk_node(w, s->limit_offset);
	pg_walk_node(w, s->limit_count);
	pg_walk_list(w, s->n_locking_clause, s->locking_clause);
	if (s->larg)
		pg_walk_msg(w, &s->larg->base);
	if (s->rarg)
		pg_walk_msg(w, &s->rarg->base);
	w->scope = scope;
}

static void walk_insert(struct pg_walk *w, const PgQuery__InsertStmt *s)
{
	const struct pg_scope *scope = w->scope;
	struct pg_scope sc;

	w->dml |= PG_DML_INSERT;
	w->effects |= OP_WRITE;
	scope_open(w, &sc, s->with_clause);
	pg_add_range_var(w, "table", s->relation, OP_WRITE);
	pg_check_catalog(w, s->relation);
	pg_walk_list(w, s->n_cols, s->cols);
	/* INSERT … VALUES reads nothing by itself; the walk adds what is inside. */
	if (s->select_stmt && s->select_stmt->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
	    s->select_stmt->select_stmt->n_values_lists &&
	    !s->select_stmt->select_stmt->with_clause) {
		const PgQuery__SelectStmt *v = s->select_stmt->select_stmt;

		pg_walk_list(w, v->n_values_lists, v->values_lists);
		pg_walk_list(w, v->n_sort_clause, v->sort_clause);
		pg_walk_node(w, v->limit_offset);
		pg_walk_node(w, v->limit_count);
		pg_walk_list(w, v->n_locking_clause, v->locking_clause);
	} else {
		pg_walk_node(w, s->select_stmt);
	}
	if (s->on_conflict_clause) {
		bool update = s->on_conflict_clause->action ==
			      PG_QUERY__ON_CONFLICT_ACTION__ONCONFLICT_UPDATE;

		pg_attr_text(w, "on_conflict", slice_str(update ? "update" : "nothing"));
		if (update)
			pg_add_range_var(w, "table", s->relation, OP_READ | OP_WRITE);
		if (update)
			w->effects |= OP_READ;
		pg_walk_msg(w, &s->on_conflict_clause->base);
	}
	walk_returning(w, s->n_returning_list, s->returning_list, s->relation);
	w->scope = scope;
}

static void walk_update(struct pg_walk *w, const PgQuery__UpdateStmt *s)
{
	const struct pg_scope *scope = w->scope;
	struct pg_scope sc;

	w->dml |= PG_DML_UPDATE;
	w->effects |= OP_WRITE;
	scope_open(w, &sc, s->with_clause);
	pg_add_range_var(w, "table", s->relation, OP_WRITE);
	pg_check_catalog(w, s->relation);
	pg_walk_list(w, s->n_target_list, s->target_list);
	pg_walk_list(w, s->n_from_clause, s->from_clause);
	walk_where(w, s->where_clause);
	walk_returning(w, s->n_returning_list, s->returning_list, s->relation);
	w->scope = scope;
}

static void walk_delete(struct pg_walk *w, const PgQuery__DeleteStmt *s)
{
	const struct pg_scope *scope = w->scope;
	struct pg_scope sc;

	w->dml |= PG_DML_DELETE;
	w->effects |= OP_DELETE;
	scope_open(w, &sc, s->with_clause);
	pg_add_range_var(w, "table", s->relation, OP_DELETE);
	pg_check_catalog(w, s->relation);
	pg_walk_list(w, s->n_using_clause, s->using_clause);
	walk_where(w, s->where_clause);
	walk_returning(w, s->n_returning_list, s->returning_list, s->relation);
	w->scope = scope;
}

static void walk_merge(struct pg_walk *w, const PgQuery__MergeStmt *s)
{
	const struct pg_scope *scope = w->scope;
	struct pg_scope sc;
	uint32_t access = OP_READ;

	w->dml |= PG_DML_MERGE;
	scope_open(w, &sc, s->with_clause);
	for (size_t i = 0; i < s->n_merge_when_clauses; i++) {
		const PgQuery__Node *n = s->merge_when_clauses[i];

		if (n->node_case != PG_QUERY__NODE__NODE_MERGE_WHEN_CLAUSE) {
			access |= OP_UNKNOWN;
			continue;
		}
		switch (n->merge_when_clause->command_type) {
		case PG_QUERY__CMD_TYPE__CMD_DELETE: access |= OP_DELETE; break;
		case PG_QUERY__CMD_TYPE__CMD_INSERT:
		case PG_QUERY__CMD_TYPE__CMD_UPDATE: access |= OP_WRITE; break;
		case PG_QUERY__CMD_TYPE__CMD_NOTHING: break;
		default: access |= OP_UNKNOWN; break;
		}
	}
	w->effects |= access;
	pg_add_range_var(w, "table", s->relation, access);
	pg_check_catalog(w, s->relation);
	pg_walk_node(w, s->source_relation);
	pg_walk_node(w, s->join_condition);
	pg_walk_list(w, s->n_merge_when_clauses, s->merge_when_clauses);
	w->scope = scope;
}

static void walk_range_var(struct pg_walk *w, const PgQuery__RangeVar *rv)
{
	if (w->rel_access == OP_READ && scope_has(w, rv))
		return;
	pg_add_range_var(w, "table", rv, w->rel_access);
	check_file_view(w, rv);
	if (w->rel_access & OP_READ)
		w->effects |= OP_READ;
}

/* The operator may be anybody's when it is not looked up in pg_catalog. */
static void check_operator(struct pg_walk *w, size_t n, PgQuery__Node **name)
{
	const char *schema = n > 1 ? pg_string(name[0]) : NULL;

	if (n > 1 ? n > 2 || !schema || strcmp(schema, "pg_catalog") != 0
		  : n && pg_known_operator(w->known, pg_string(name[0]))) {
		w->effects |= OP_EXEC | OP_UNKNOWN;
		w->may_set_lexing = true;
		pg_add_names(w, "operator", n, name, OP_EXEC | OP_UNKNOWN);
	}
}

/* row.name calls the function of that name when the row has no such column. */
static void check_notation(struct pg_walk *w, size_t n, PgQuery__Node **fields)
{
	const char *name = n ? pg_string(fields[n - 1]) : NULL;

	if (!pg_known_function(w->known, name, true))
		return;
	w->calls_undeclared = true;
	w->may_set_lexing = true;
	pg_add_named(w, "function", name, OP_EXEC | OP_UNKNOWN);
}

static void check_type(struct pg_walk *w, const PgQuery__TypeName *t)
{
	if (!t->n_names || !pg_known_type(w->known, pg_string(t->names[t->n_names - 1])))
		return;
	w->effects |= OP_EXEC | OP_UNKNOWN;
	w->may_set_lexing = true;
	pg_add_names(w, "type", t->n_names, t->names, OP_EXEC | OP_UNKNOWN);
}

/* TABLESAMPLE takes a function of this name. */
static void walk_sample_method(struct pg_walk *w, const PgQuery__RangeTableSample *t)
{
	const char *name = t->n_method ? pg_string(t->method[t->n_method - 1]) : NULL;

	if (t->n_method == 1 && name &&
	    (strcmp(name, "system") == 0 || strcmp(name, "bernoulli") == 0))
		return;
	w->effects |= OP_EXEC | OP_UNKNOWN;
	w->may_set_lexing = true;
	pg_add_names(w, "function", t->n_method, t->method, OP_EXEC | OP_UNKNOWN);
}

static void walk_locking(struct pg_walk *w, const PgQuery__LockingClause *l)
{
	static const char *const words[] = {
		"", "", "key share", "share", "no key update", "update"
	};

	/* The names in there are aliases of what FROM has: nothing to walk. */
	if ((unsigned)l->strength < ARRAY_SIZE(words))
		pg_attr_text(w, "lock", slice_str(words[l->strength]));
}

/* ---- the walk ------------------------------------------------------------------------------- */

enum kind_what { KIND_NONE, KIND_PLAIN, KIND_LEAF };

/* Kinds of nodes that do nothing by themselves, or only through their children. */
static enum kind_what kind_of(const ProtobufCMessageDescriptor *d)
{
#define PLAIN(x)                               \
	if (d == &pg_query__##x##__descriptor) \
	return KIND_PLAIN
#define LEAF(x)                                \
	if (d == &pg_query__##x##__descriptor) \
	return KIND_LEAF
	/* The most frequent first. */
	LEAF(column_ref);
	LEAF(a__const);
	PLAIN(res_target);
	PLAIN(list);
	LEAF(string);
	LEAF(param_ref);
	PLAIN(bool_expr);
	PLAIN(null_test);
	PLAIN(join_expr);
	LEAF(alias);
	PLAIN(range_subselect);
	PLAIN(range_function);
	PLAIN(type_cast);
	PLAIN(type_name);
	PLAIN(def_elem);
	PLAIN(case_expr);
	PLAIN(case_when);
	PLAIN(coalesce_expr);
	PLAIN(min_max_expr);
	PLAIN(a__array_expr);
	PLAIN(a__indirection);
	PLAIN(a__indices);
	PLAIN(row_expr);
	PLAIN(with_clause);
	PLAIN(common_table_expr);
	PLAIN(window_def);
	PLAIN(grouping_set);
	PLAIN(grouping_func);
	PLAIN(named_arg_expr);
	PLAIN(boolean_test);
	PLAIN(collate_clause);
	PLAIN(multi_assign_ref);
	PLAIN(on_conflict_clause);
	PLAIN(infer_clause);
	PLAIN(index_elem);
	PLAIN(merge_when_clause);
	PLAIN(range_table_func);
	PLAIN(range_table_func_col);
	PLAIN(xml_expr);
	PLAIN(xml_serialize);
	PLAIN(column_def);
	PLAIN(constraint);
	PLAIN(table_like_clause);
	PLAIN(partition_spec);
	PLAIN(partition_elem);
	PLAIN(partition_bound_spec);
	PLAIN(partition_range_datum);
	PLAIN(partition_cmd);
	PLAIN(stats_elem);
	PLAIN(function_parameter);
	PLAIN(object_with_args);
	PLAIN(create_op_class_item);
	PLAIN(ctecycle_clause);
	PLAIN(return_stmt);
	PLAIN(into_clause);
	PLAIN(publication_obj_spec);
	PLAIN(publication_table);
	PLAIN(vacuum_relation);
	PLAIN(access_priv);
	PLAIN(replica_identity_stmt);
	LEAF(ctesearch_clause);
	LEAF(sqlvalue_function);
	LEAF(set_to_default);
	LEAF(current_of_expr);
	LEAF(a__star);
	LEAF(integer);
	LEAF(float);
	LEAF(boolean);
	LEAF(bit_string);
	LEAF(role_spec);
	LEAF(trigger_transition);
#undef PLAIN
#undef LEAF
	return KIND_NONE;
}

void pg_walk_children(struct pg_walk *w, const ProtobufCMessage *m)
{
	const ProtobufCMessage *child;
	unsigned field = 0;
	size_t index = 0;

	while ((child = child_next(m, &field, &index)))
		pg_walk_msg(w, child);
}

void pg_walk_msg(struct pg_walk *w, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d;
	PgQuery__Node node = PG_QUERY__NODE__INIT;

	m = node_msg(m);
	if (!m)
		return;
	if (w->depth == PG_WALK_DEPTH_MAX) {
		w->effects |= OP_UNKNOWN;
		return;
	}
	w->depth++;
	d = m->descriptor;
	if (d == &pg_query__select_stmt__descriptor) {
		walk_select(w, (const PgQuery__SelectStmt *)m);
	} else if (d == &pg_query__range_var__descriptor) {
		walk_range_var(w, (const PgQuery__RangeVar *)m);
	} else if (d == &pg_query__func_call__descriptor) {
		pg_walk_func_call(w, (const PgQuery__FuncCall *)m);
	} else if (d == &pg_query__a__expr__descriptor) {
		const PgQuery__AExpr *e = (const PgQuery__AExpr *)m;

		check_operator(w, e->n_name, e->name);
		pg_walk_node(w, e->lexpr);
		pg_walk_node(w, e->rexpr);
	} else if (d == &pg_query__sub_link__descriptor) {
		const PgQuery__SubLink *s = (const PgQuery__SubLink *)m;

		check_operator(w, s->n_oper_name, s->oper_name);
		pg_walk_node(w, s->testexpr);
		pg_walk_node(w, s->subselect);
	} else if (d == &pg_query__sort_by__descriptor) {
		const PgQuery__SortBy *s = (const PgQuery__SortBy *)m;

		check_operator(w, s->n_use_op, s->use_op);
		pg_walk_node(w, s->node);
	} else if (d == &pg_query__insert_stmt__descriptor) {
		walk_insert(w, (const PgQuery__InsertStmt *)m);
	} else if (d == &pg_query__update_stmt__descriptor) {
		walk_update(w, (const PgQuery__UpdateStmt *)m);
	} else if (d == &pg_query__delete_stmt__descriptor) {
		walk_delete(w, (const PgQuery__DeleteStmt *)m);
	} else if (d == &pg_query__merge_stmt__descriptor) {
		walk_merge(w, (const PgQuery__MergeStmt *)m);
	} else if (d == &pg_query__range_table_sample__descriptor) {
		const PgQuery__RangeTableSample *t = (const PgQuery__RangeTableSample *)m;

		walk_sample_method(w, t);
		pg_walk_children(w, m);
	} else if (w->known && d == &pg_query__column_ref__descriptor) {
		const PgQuery__ColumnRef *c = (const PgQuery__ColumnRef *)m;

		check_notation(w, c->n_fields > 1 ? c->n_fields : 0, c->fields);
	} else if (w->known && d == &pg_query__a__indirection__descriptor) {
		const PgQuery__AIndirection *a = (const PgQuery__AIndirection *)m;

		for (size_t i = 0; i < a->n_indirection; i++)
			check_notation(w, 1, &a->indirection[i]);
		pg_walk_children(w, m);
	} else if (w->known && d == &pg_query__type_name__descriptor) {
		check_type(w, (const PgQuery__TypeName *)m);
		pg_walk_children(w, m);
	} else if (d == &pg_query__locking_clause__descriptor) {
		walk_locking(w, (const PgQuery__LockingClause *)m);
	} else {
		switch (kind_of(d)) {
		case KIND_LEAF: break;
		case KIND_PLAIN: pg_walk_children(w, m); break;
		case KIND_NONE:
			/* A statement inside of another (CREATE SCHEMA's, a rule's), or news. */
			for (unsigned i = 0; i < pg_query__node__descriptor.n_fields; i++) {
				const ProtobufCFieldDescriptor *f =
					&pg_query__node__descriptor.fields[i];

				if (f->descriptor == d) {
					node.node_case = (PgQuery__Node__NodeCase)f->id;
					node.alias = (PgQuery__Alias *)m;
					break;
				}
			}
			if (!pg_walk_ddl(w, &node)) {
				w->effects |= OP_UNKNOWN;
				w->may_set_lexing = true;
				w->literal = true;
				pg_walk_children(w, m);
			}
			break;
		}
	}
	w->depth--;
}

void pg_walk_node(struct pg_walk *w, const PgQuery__Node *n)
{
	if (n)
		pg_walk_msg(w, &n->base);
}

void pg_walk_list(struct pg_walk *w, size_t n, PgQuery__Node **nodes)
{
	for (size_t i = 0; i < n; i++)
		pg_walk_node(w, nodes[i]);
}

/* The limit of the outermost query, where it is a plain number. */
static void outer_limit(struct pg_walk *w, const PgQuery__SelectStmt *s)
{
	const PgQuery__AConst *c;

	if (!s->limit_count || s->limit_count->node_case != PG_QUERY__NODE__NODE_A_CONST)
		return;
	w->limit = true;
	c = s->limit_count->a_const;
	if (c->isnull || c->val_case != PG_QUERY__A__CONST__VAL_IVAL)
		return;
	pg_attr_int(w, "limit", c->ival->ival);
}

/* All that write, the worst first. */
static void attr_verbs(struct pg_walk *w, unsigned writes)
{
	static const char *const words[] = { "INSERT", "MERGE", "UPDATE", "DELETE" };
	enum { SIZE = 32 };
	char *list = arena_alloc(w->arena, SIZE);
	size_t len = 0;

	if (!list) {
		w->err = -ENOMEM;
		return;
	}
	for (size_t i = ARRAY_SIZE(words); i-- > 0;)
		if (writes & (PG_DML_INSERT << i))
			len += (size_t)snprintf(list + len, SIZE - len, "%s%s", len ? " " : "",
						words[i]);
	pg_attr_text(w, "verbs", slice_of(list, len));
}

void pg_walk_stmt(struct pg_walk *w, const PgQuery__Node *stmt)
{
	static const struct {
		unsigned bit;
		const char *verb;
	} verbs[] = { { PG_DML_DELETE, "DELETE" },
		      { PG_DML_UPDATE, "UPDATE" },
		      { PG_DML_MERGE, "MERGE" },
		      { PG_DML_INSERT, "INSERT" },
		      { PG_DML_SELECT, "SELECT" } };
	unsigned writes;

	w->rel_access = OP_READ;
	if (!stmt) {
		w->verb = "UNKNOWN";
		w->effects = OP_UNKNOWN;
		return;
	}
	if (stmt->node_case == PG_QUERY__NODE__NODE_SELECT_STMT)
		outer_limit(w, stmt->select_stmt);
	pg_walk_node(w, stmt);
	writes = w->dml & ~(unsigned)PG_DML_SELECT;
	if (writes & (writes - 1) || (writes && w->verb))
		attr_verbs(w, writes);
	for (size_t i = 0; i < ARRAY_SIZE(verbs) && !w->verb; i++)
		if (w->dml & verbs[i].bit)
			w->verb = verbs[i].verb;
	if (!w->verb) {
		w->verb = "UNKNOWN";
		w->effects |= OP_UNKNOWN;
	}
	pg_known_resolve(w->known, w);
	if (w->calls_undeclared) {
		if (!(w->effects & (OP_EXEC | OP_UNKNOWN)))
			pg_attr_text(w, "unknown_by", SLICE("functions"));
		w->effects |= OP_EXEC | OP_UNKNOWN;
	}
	if (!w->effects)
		w->effects = OP_UNKNOWN;
}
