// SPDX-License-Identifier: Apache-2.0
/* What all statements mean that are neither queries nor about roles and privileges. */
#include "sql_walk.h"

#include <strings.h>

/* Object types as words, in the order of PostgreSQL's ObjectType. */
static const char *const type_words[] = {
	"object",
	"access method",
	"aggregate",
	"operator class",
	"operator class",
	"attribute",
	"cast",
	"column",
	"collation",
	"conversion",
	"database",
	"default",
	"default privileges",
	"domain",
	"constraint",
	"event trigger",
	"extension",
	"foreign data wrapper",
	"server",
	"table",
	"function",
	"index",
	"language",
	"large object",
	"table",
	"operator class",
	"operator",
	"operator family",
	"setting",
	"policy",
	"procedure",
	"publication",
	"publication",
	"publication",
	"role",
	"function",
	"rule",
	"schema",
	"sequence",
	"subscription",
	"statistics",
	"constraint",
	"table",
	"tablespace",
	"transform",
	"trigger",
	"text search configuration",
	"text search dictionary",
	"text search parser",
	"text search template",
	"type",
	"user mapping",
	"table",
};

/* What the statement says, for the attribute: views and foreign tables by their own names. */
const char *pg_type_word(PgQuery__ObjectType t)
{
	switch (t) {
	case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW: return "view";
	case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW: return "materialized view";
	case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: return "foreign table";
	default: return (unsigned)t < ARRAY_SIZE(type_words) ? type_words[t] : "object";
	}
}

const char *pg_type_kind(PgQuery__ObjectType t)
{
	return (unsigned)t < ARRAY_SIZE(type_words) ? type_words[t] : "object";
}

/* Kinds of objects through which code runs that Weir cannot see, or the server reaches out. */
uint32_t pg_type_effects(PgQuery__ObjectType t)
{
	switch (t) {
	case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION:
	case PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_ROUTINE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_AGGREGATE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_LANGUAGE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
	case PG_QUERY__OBJECT_TYPE__OBJECT_RULE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_OPERATOR:
	case PG_QUERY__OBJECT_TYPE__OBJECT_OPCLASS:
	case PG_QUERY__OBJECT_TYPE__OBJECT_OPFAMILY:
	case PG_QUERY__OBJECT_TYPE__OBJECT_AMOP:
	case PG_QUERY__OBJECT_TYPE__OBJECT_AMPROC:
	case PG_QUERY__OBJECT_TYPE__OBJECT_ACCESS_METHOD:
	case PG_QUERY__OBJECT_TYPE__OBJECT_CAST:
	case PG_QUERY__OBJECT_TYPE__OBJECT_CONVERSION:
	case PG_QUERY__OBJECT_TYPE__OBJECT_TRANSFORM:
	case PG_QUERY__OBJECT_TYPE__OBJECT_TSPARSER:
	case PG_QUERY__OBJECT_TYPE__OBJECT_TSTEMPLATE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION: return OP_SCHEMA | OP_EXEC;
	case PG_QUERY__OBJECT_TYPE__OBJECT_EVENT_TRIGGER: return OP_SCHEMA | OP_EXEC | OP_ADMIN;
	case PG_QUERY__OBJECT_TYPE__OBJECT_FDW: return OP_SCHEMA | OP_EXEC | OP_NETWORK;
	case PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE: return OP_SCHEMA | OP_ADMIN;
	case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_SERVER:
	case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: return OP_SCHEMA | OP_NETWORK;
	case PG_QUERY__OBJECT_TYPE__OBJECT_USER_MAPPING: return OP_SCHEMA | OP_NETWORK | OP_GRANT;
	case PG_QUERY__OBJECT_TYPE__OBJECT_PUBLICATION:
	case PG_QUERY__OBJECT_TYPE__OBJECT_SUBSCRIPTION: return OP_SCHEMA | OP_NETWORK | OP_ADMIN;
	case PG_QUERY__OBJECT_TYPE__OBJECT_TABLESPACE: return OP_SCHEMA | OP_FILE | OP_ADMIN;
	case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY:
	case PG_QUERY__OBJECT_TYPE__OBJECT_DEFACL: return OP_SCHEMA | OP_GRANT;
	case PG_QUERY__OBJECT_TYPE__OBJECT_ROLE: return OP_GRANT;
	default: return OP_SCHEMA;
	}
}

/* Does dropping it take data away? */
static bool type_holds_data(PgQuery__ObjectType t)
{
	switch (t) {
	case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
	case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA:
	case PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
	case PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN:
	case PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION: return true;
	default: return false;
	}
}

/* The first statement that names itself gives the verb: what it holds inside does not. */
void pg_verb(struct pg_walk *w, const char *v, uint32_t effects)
{
	if (!w->verb)
		w->verb = v;
	w->effects |= effects;
	w->literal = true;
}

void pg_ddl(struct pg_walk *w, const char *v, const char *what, uint32_t effects)
{
	bool first = !w->verb;

	pg_verb(w, v, effects);
	if (first)
		pg_attr_text(w, "object", slice_str(what));
}

static const PgQuery__DefElem *def_find(size_t n, PgQuery__Node **list, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
		    list[i]->def_elem->defname && strcasecmp(list[i]->def_elem->defname, name) == 0)
			return list[i]->def_elem;
	return NULL;
}

/* An option that is on: alone, or with any value but those that PostgreSQL takes for false. */
static bool def_true(const PgQuery__DefElem *d)
{
	const char *s;

	if (!d)
		return false;
	if (!d->arg)
		return true;
	switch (d->arg->node_case) {
	case PG_QUERY__NODE__NODE_BOOLEAN: return d->arg->boolean->boolval;
	case PG_QUERY__NODE__NODE_INTEGER: return d->arg->integer->ival != 0;
	default:
		s = pg_string(d->arg);
		return !s || !(strcasecmp(s, "false") == 0 || strcasecmp(s, "off") == 0);
	}
}

void pg_walk_list_as(struct pg_walk *w, size_t n, PgQuery__Node **nodes, uint32_t access)
{
	uint32_t keep = w->rel_access;

	w->rel_access = access;
	pg_walk_list(w, n, nodes);
	w->rel_access = keep;
}

/* ---- COPY ----------------------------------------------------------------------------------- */

static void walk_copy(struct pg_walk *w, const PgQuery__CopyStmt *c)
{
	bool has_file = c->filename && *c->filename;

	pg_verb(w, "COPY", c->is_from ? OP_WRITE : OP_READ);
	pg_attr_text(w, "direction", slice_str(c->is_from ? "from" : "to"));
	if (c->is_program) {
		w->effects |= OP_EXEC | OP_UNKNOWN;
		pg_attr_bool(w, "program", true);
		pg_add_named(w, "program", c->filename, OP_EXEC);
	} else if (has_file) {
		w->effects |= OP_FILE;
		pg_add_named(w, "file", c->filename, c->is_from ? OP_READ : OP_WRITE);
	} else if (c->is_from) {
		w->copy_in = true;
	} else {
		w->copy_out = true;
	}
	pg_add_range_var(w, "table", c->relation, c->is_from ? OP_WRITE : OP_READ);
	if (c->is_from)
		pg_check_catalog(w, c->relation);
	pg_walk_node(w, c->query);
	pg_walk_node(w, c->where_clause);
}

/* ---- settings ------------------------------------------------------------------------------- */

static bool names_lexing(const char *name)
{
	return strcasecmp(name, "standard_conforming_strings") == 0 ||
	       strcasecmp(name, "backslash_quote") == 0 || strcasecmp(name, "client_encoding") == 0;
}

/* Settings that switch off what an owner relies on, or hide what is done from the server's log. */
static bool names_guard(const char *name)
{
	static const char *const guards[] = {
		"row_security",         "session_replication_role", "allow_system_table_mods",
		"lo_compat_privileges", "zero_damaged_pages",       "ignore_checksum_failure",
		"ignore_system_indexes"
	};

	for (size_t i = 0; i < ARRAY_SIZE(guards); i++)
		if (strcasecmp(name, guards[i]) == 0)
			return true;
	return strncasecmp(name, "log_", 4) == 0 || strncasecmp(name, "track_", 6) == 0;
}

/*
 * A search path in which pg_catalog is named anywhere but first lets somebody's function stand in
 * for one of PostgreSQL's own. One string may hold a whole list when set_config gives it.
 */
static bool path_hides_catalog(size_t n, PgQuery__Node **args)
{
	for (size_t i = 0; i < n; i++) {
		const char *s = pg_const_string(args[i]);

		if (!s)
			return true;
		if (i == 0 && strcmp(s, "pg_catalog") == 0)
			continue;
		if (strcasestr(s, "pg_catalog"))
			return true;
	}
	return false;
}

void pg_walk_setting(struct pg_walk *w, const char *name, size_t n_args, PgQuery__Node **args)
{
	w->effects |= OP_SESSION;
	w->literal = true;
	if (!name) {
		w->effects |= OP_UNKNOWN;
		w->sets_lexing = true;
		return;
	}
	pg_add_named(w, "setting", name, OP_SESSION);
	if (names_lexing(name))
		w->sets_lexing = true;
	if (strcasecmp(name, "role") == 0 || strcasecmp(name, "session_authorization") == 0) {
		w->effects |= OP_GRANT;
		pg_attr_bool(w, "role", true);
		if (n_args)
			pg_add_named(w, "role", pg_const_string(args[0]), OP_SESSION);
	} else if (strcasecmp(name, "search_path") == 0) {
		pg_attr_bool(w, "search_path", true);
		if (path_hides_catalog(n_args, args))
			w->effects |= OP_UNKNOWN;
	} else if (strcasecmp(name, "local_preload_libraries") == 0 ||
		   strcasecmp(name, "session_preload_libraries") == 0 ||
		   strcasecmp(name, "dynamic_library_path") == 0) {
		w->effects |= OP_EXEC | OP_FILE;
	} else if (names_guard(name)) {
		w->effects |= OP_ADMIN;
	}
}

static void walk_set(struct pg_walk *w, const PgQuery__VariableSetStmt *s)
{
	switch (s->kind) {
	case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL:
		pg_verb(w, "RESET", OP_SESSION);
		w->sets_lexing = true;
		pg_attr_bool(w, "search_path", true);
		return;
	case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI:
		/* SET TRANSACTION … and SESSION CHARACTERISTICS */
		pg_verb(w, "SET", OP_SESSION);
		return;
	case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET: pg_verb(w, "RESET", OP_SESSION); break;
	default: pg_verb(w, "SET", OP_SESSION); break;
	}
	pg_walk_setting(w, s->name, s->n_args, s->args);
}

/* ---- statements that hold another ----------------------------------------------------------- */

static void walk_explain(struct pg_walk *w, const PgQuery__ExplainStmt *e)
{
	bool analyze = false, copy_in = w->copy_in, copy_out = w->copy_out;

	/* The last of several wins with PostgreSQL; any that says yes is enough here. */
	for (size_t i = 0; i < e->n_options; i++)
		analyze = analyze || def_true(def_find(1, &e->options[i], "analyze"));
	w->literal = true;
	if (!w->n_attrs || strcmp(w->attrs[0].key, "explain") != 0)
		pg_attr_text(w, "explain", slice_str(analyze ? "analyze" : "plan"));
	/* The plan is answered. */
	w->effects |= OP_READ;
	if (analyze) {
		/* It runs: everything, the verb as well, is that of what is explained. */
		pg_walk_node(w, e->query);
	} else {
		uint32_t before = w->effects;
		unsigned dml = w->dml;
		bool set_lexing = w->sets_lexing;

		pg_verb(w, "EXPLAIN", OP_READ);
		pg_walk_node(w, e->query);
		/*
		 * Planning looks at all of it, but runs at most functions that call themselves
		 * immutable, which somebody may have lied about: exec and unknown stay.
		 */
		w->effects = before | OP_READ | (w->effects & (OP_EXEC | OP_UNKNOWN));
		w->dml = dml;
		w->sets_lexing = set_lexing;
		for (size_t i = 0; i < w->n_objects; i++)
			if (w->objects[i].access & ~(uint32_t)(OP_EXEC | OP_UNKNOWN))
				w->objects[i].access =
					OP_READ | (w->objects[i].access & (OP_EXEC | OP_UNKNOWN));
	}
	w->copy_in = copy_in;
	w->copy_out = copy_out;
}

static void walk_create_as(struct pg_walk *w, const PgQuery__CreateTableAsStmt *c)
{
	const char *what = c->is_select_into ? "table"
			   : c->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW
				   ? "materialized view"
				   : "table";

	pg_ddl(w, "CREATE", what, OP_SCHEMA | OP_WRITE | OP_READ);
	if (c->into)
		pg_add_range_var(w, "table", c->into->rel, OP_SCHEMA | OP_WRITE);
	/* CREATE TABLE … AS EXECUTE name: verb and objects are those of a statement out of sight. */
	pg_walk_node(w, c->query);
}

static void walk_function(struct pg_walk *w, const PgQuery__CreateFunctionStmt *c)
{
	pg_ddl(w, "CREATE", c->is_procedure ? "procedure" : "function", OP_SCHEMA | OP_EXEC);
	pg_add_names(w, "function", c->n_funcname, c->funcname, OP_SCHEMA);
	pg_walk_list(w, c->n_parameters, c->parameters);
	/* A body of SQL is stored, not run; what it would do is not this statement's effect. A SET
	 * clause and the AS text belong to the function as well. */
}

static void walk_rule(struct pg_walk *w, const PgQuery__RuleStmt *r)
{
	pg_ddl(w, "CREATE", "rule", OP_SCHEMA | OP_EXEC);
	pg_add_named(w, "rule", r->rulename, OP_SCHEMA);
	pg_add_range_var(w, "table", r->relation, OP_SCHEMA);
}

/* ---- tables --------------------------------------------------------------------------------- */

static void walk_alter_table(struct pg_walk *w, const PgQuery__AlterTableStmt *a)
{
	pg_ddl(w, "ALTER", pg_type_word(a->objtype), pg_type_effects(a->objtype));
	pg_add_range_var(w, pg_type_kind(a->objtype), a->relation, OP_SCHEMA);
	for (size_t i = 0; i < a->n_cmds; i++) {
		const PgQuery__AlterTableCmd *c;

		if (a->cmds[i]->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) {
			w->effects |= OP_UNKNOWN;
			continue;
		}
		c = a->cmds[i]->alter_table_cmd;
		if (c->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) {
			pg_attr_bool(w, "cascade", true);
			w->effects |= OP_DELETE | OP_UNKNOWN;
		}
		switch (c->subtype) {
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn:
			w->effects |= OP_DELETE;
			pg_attr_text(w, "action", SLICE("drop column"));
			break;
		case PG_QUERY__ALTER_TABLE_TYPE__AT_SetIdentity:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType: w->effects |= OP_WRITE; break;
		case PG_QUERY__ALTER_TABLE_TYPE__AT_ChangeOwner:
			w->effects |= OP_GRANT;
			pg_add_role(w, c->newowner, OP_GRANT);
			break;
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableRowSecurity:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableRowSecurity:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_ForceRowSecurity:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_NoForceRowSecurity:
			w->effects |= OP_GRANT;
			pg_attr_text(w, "action", SLICE("row security"));
			break;
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrig:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableAlwaysTrig:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableReplicaTrig:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrigAll:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrigUser:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrig:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrigAll:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrigUser:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableRule:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableAlwaysRule:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableReplicaRule:
		case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableRule: w->effects |= OP_EXEC; break;
		default: break;
		}
		pg_walk_list_as(w, c->def ? 1 : 0, (PgQuery__Node **)&c->def, OP_SCHEMA);
	}
}

void pg_walk_create_table(struct pg_walk *w, const PgQuery__CreateStmt *c, const char *what)
{
	pg_ddl(w, "CREATE", what, OP_SCHEMA);
	pg_add_range_var(w, "table", c->relation, OP_SCHEMA);
	/* Parents and the other ends of foreign keys get a say in their own changes. */
	pg_walk_list_as(w, c->n_inh_relations, c->inh_relations, OP_SCHEMA);
	pg_walk_list_as(w, c->n_table_elts, c->table_elts, OP_SCHEMA);
	pg_walk_list_as(w, c->n_constraints, c->constraints, OP_SCHEMA);
	if (c->partspec)
		pg_walk_msg(w, &c->partspec->base);
	if (c->partbound)
		pg_walk_msg(w, &c->partbound->base);
	if (c->of_typename)
		pg_walk_msg(w, &c->of_typename->base);
}

static void walk_drop(struct pg_walk *w, const PgQuery__DropStmt *d)
{
	uint32_t access = OP_SCHEMA;

	if (type_holds_data(d->remove_type))
		access |= OP_DELETE;
	pg_ddl(w, "DROP", pg_type_word(d->remove_type), pg_type_effects(d->remove_type) | access);
	if (d->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) {
		/* Whatever depends on it goes too: tables, functions, policies, servers. */
		pg_attr_bool(w, "cascade", true);
		w->effects |= OP_DELETE | OP_UNKNOWN;
	}
	for (size_t i = 0; i < d->n_objects; i++) {
		const PgQuery__Node *n = d->objects[i];
		bool on_table = d->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER ||
				d->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_RULE ||
				d->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY;

		if (on_table && n->node_case == PG_QUERY__NODE__NODE_LIST && n->list->n_items > 1) {
			size_t last = n->list->n_items - 1;

			pg_add_names(w, "table", last, n->list->items, OP_SCHEMA);
			pg_add_node_name(w, pg_type_kind(d->remove_type), n->list->items[last],
					 access);
		} else {
			pg_add_node_name(w, pg_type_kind(d->remove_type), n, access);
		}
	}
}

static void walk_truncate(struct pg_walk *w, const PgQuery__TruncateStmt *t)
{
	pg_ddl(w, "TRUNCATE", "table", OP_DELETE | OP_SCHEMA);
	if (t->restart_seqs)
		w->effects |= OP_WRITE;
	if (t->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) {
		/* So do all tables that refer to it. */
		pg_attr_bool(w, "cascade", true);
		w->effects |= OP_UNKNOWN;
	}
	pg_walk_list_as(w, t->n_relations, t->relations, OP_DELETE | OP_SCHEMA);
}

static void walk_index(struct pg_walk *w, const PgQuery__IndexStmt *s)
{
	pg_ddl(w, "CREATE", "index", OP_SCHEMA);
	pg_add_named(w, "index", s->idxname, OP_SCHEMA);
	pg_add_range_var(w, "table", s->relation, OP_SCHEMA);
	/* Building it calls the functions of its expressions on every row. */
	pg_walk_list(w, s->n_index_params, s->index_params);
	pg_walk_node(w, s->where_clause);
}

static void walk_transaction(struct pg_walk *w, const PgQuery__TransactionStmt *t)
{
	static const char *const verbs[] = { "BEGIN",
					     "BEGIN",
					     "BEGIN",
					     "COMMIT",
					     "ROLLBACK",
					     "SAVEPOINT",
					     "RELEASE",
					     "ROLLBACK",
					     "PREPARE TRANSACTION",
					     "COMMIT PREPARED",
					     "ROLLBACK PREPARED" };

	pg_verb(w, (unsigned)t->kind < ARRAY_SIZE(verbs) ? verbs[t->kind] : "BEGIN", OP_SESSION);
	/* Undoing what another session has prepared, or making it last, is more than this session, and
	 * nothing of it can be seen here. */
	if (t->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED)
		w->effects |= OP_WRITE | OP_UNKNOWN;
	if (t->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED)
		w->effects |= OP_DELETE | OP_UNKNOWN;
}

static void walk_comment_or_label(struct pg_walk *w, const char *v, PgQuery__ObjectType type,
				  const PgQuery__Node *object, uint32_t effects)
{
	pg_ddl(w, v, pg_type_word(type), effects);
	pg_add_node_name(w, pg_type_kind(type), object, OP_SCHEMA);
}

static void walk_relation_or_object(struct pg_walk *w, PgQuery__ObjectType type,
				    const PgQuery__RangeVar *rv, const PgQuery__Node *object,
				    uint32_t access)
{
	pg_add_range_var(w,
			 rv && type != PG_QUERY__OBJECT_TYPE__OBJECT_INDEX &&
					 type != PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE
				 ? "table"
				 : pg_type_kind(type),
			 rv, access);
	pg_add_node_name(w, pg_type_kind(type), object, access);
}

void pg_walk_reindex(struct pg_walk *w, const PgQuery__ReindexStmt *r)
{
	static const char *const words[] = { "object", "index",  "table",
					     "schema", "system", "database" };
	const char *kind = (unsigned)r->kind < ARRAY_SIZE(words) ? words[r->kind] : "object";

	pg_ddl(w, "REINDEX", kind, OP_SCHEMA | OP_EXEC);
	pg_add_range_var(w, kind, r->relation, OP_SCHEMA);
	pg_add_named(w, kind, r->name, OP_SCHEMA);
}

static void walk_create_schema(struct pg_walk *w, const PgQuery__CreateSchemaStmt *c)
{
	pg_ddl(w, "CREATE", "schema", OP_SCHEMA | (c->authrole ? OP_GRANT : 0));
	pg_add_named(w, "schema", c->schemaname, OP_SCHEMA);
	pg_add_role(w, c->authrole, OP_GRANT);
	pg_walk_list(w, c->n_schema_elts, c->schema_elts);
}

static void walk_do_or_call(struct pg_walk *w, const PgQuery__Node *n)
{
	if (n->node_case == PG_QUERY__NODE__NODE_CALL_STMT) {
		pg_verb(w, "CALL", 0);
		if (n->call_stmt->funccall)
			pg_walk_msg(w, &n->call_stmt->funccall->base);
		/* Under the name of one of PostgreSQL's functions it is somebody's all the same. */
		if (!n->call_stmt->funccall || !pg_func_is_undeclared(w, n->call_stmt->funccall))
			w->effects |= OP_EXEC | OP_UNKNOWN;
	} else {
		pg_verb(w, "DO", OP_EXEC | OP_UNKNOWN);
	}
	w->may_set_lexing = true;
}

static bool walk_relations(struct pg_walk *w, const PgQuery__Node *n)
{
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_CREATE_STMT:
		pg_walk_create_table(w, n->create_stmt, "table");
		return true;
	case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
		walk_create_as(w, n->create_table_as_stmt);
		return true;
	case PG_QUERY__NODE__NODE_VIEW_STMT:
		pg_ddl(w, "CREATE", "view", OP_SCHEMA);
		pg_add_range_var(w, "table", n->view_stmt->view, OP_SCHEMA);
		pg_walk_node(w, n->view_stmt->query);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
		walk_alter_table(w, n->alter_table_stmt);
		return true;
	case PG_QUERY__NODE__NODE_DROP_STMT: walk_drop(w, n->drop_stmt); return true;
	case PG_QUERY__NODE__NODE_TRUNCATE_STMT: walk_truncate(w, n->truncate_stmt); return true;
	case PG_QUERY__NODE__NODE_INDEX_STMT: walk_index(w, n->index_stmt); return true;
	case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT:
		pg_ddl(w, "CREATE", "sequence", OP_SCHEMA);
		pg_add_range_var(w, "sequence", n->create_seq_stmt->sequence, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_SEQ_STMT:
		pg_ddl(w, "ALTER", "sequence", OP_SCHEMA | OP_WRITE);
		pg_add_range_var(w, "sequence", n->alter_seq_stmt->sequence, OP_SCHEMA | OP_WRITE);
		return true;
	case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT:
		pg_ddl(w, "REFRESH", "materialized view", OP_WRITE | OP_READ | OP_EXEC);
		pg_add_range_var(w, "table", n->refresh_mat_view_stmt->relation, OP_WRITE);
		return true;
	case PG_QUERY__NODE__NODE_RULE_STMT: walk_rule(w, n->rule_stmt); return true;
	case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT:
		pg_ddl(w, "CREATE", "trigger", OP_SCHEMA | OP_EXEC);
		pg_add_named(w, "trigger", n->create_trig_stmt->trigname, OP_SCHEMA);
		pg_add_range_var(w, "table", n->create_trig_stmt->relation, OP_SCHEMA);
		pg_add_names(w, "function", n->create_trig_stmt->n_funcname,
			     n->create_trig_stmt->funcname, OP_EXEC);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_EVENT_TRIG_STMT:
		pg_ddl(w, "CREATE", "event trigger", OP_SCHEMA | OP_EXEC | OP_ADMIN);
		pg_add_named(w, "event trigger", n->create_event_trig_stmt->trigname, OP_SCHEMA);
		pg_add_names(w, "function", n->create_event_trig_stmt->n_funcname,
			     n->create_event_trig_stmt->funcname, OP_EXEC);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_EVENT_TRIG_STMT:
		pg_ddl(w, "ALTER", "event trigger", OP_SCHEMA | OP_EXEC | OP_ADMIN);
		pg_add_named(w, "event trigger", n->alter_event_trig_stmt->trigname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT:
		walk_function(w, n->create_function_stmt);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_FUNCTION_STMT:
		pg_ddl(w, "ALTER", "function", OP_SCHEMA | OP_EXEC);
		if (n->alter_function_stmt->func)
			pg_add_names(w, "function", n->alter_function_stmt->func->n_objname,
				     n->alter_function_stmt->func->objname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_RENAME_STMT:
		pg_ddl(w, "ALTER", pg_type_word(n->rename_stmt->rename_type),
		       pg_type_effects(n->rename_stmt->rename_type));
		pg_attr_text(w, "action", SLICE("rename"));
		if (n->rename_stmt->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE ||
		    n->rename_stmt->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_ROLE ||
		    n->rename_stmt->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA ||
		    n->rename_stmt->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_TABLESPACE)
			pg_add_named(w, pg_type_kind(n->rename_stmt->rename_type),
				     n->rename_stmt->subname,
				     n->rename_stmt->rename_type ==
						     PG_QUERY__OBJECT_TYPE__OBJECT_ROLE
					     ? OP_GRANT
					     : OP_SCHEMA);
		walk_relation_or_object(w, n->rename_stmt->rename_type, n->rename_stmt->relation,
					n->rename_stmt->object, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_OBJECT_SCHEMA_STMT:
		pg_ddl(w, "ALTER", pg_type_word(n->alter_object_schema_stmt->object_type),
		       pg_type_effects(n->alter_object_schema_stmt->object_type));
		pg_attr_text(w, "action", SLICE("set schema"));
		walk_relation_or_object(w, n->alter_object_schema_stmt->object_type,
					n->alter_object_schema_stmt->relation,
					n->alter_object_schema_stmt->object, OP_SCHEMA);
		pg_add_named(w, "schema", n->alter_object_schema_stmt->newschema, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_OBJECT_DEPENDS_STMT:
		pg_ddl(w, "ALTER", pg_type_word(n->alter_object_depends_stmt->object_type),
		       pg_type_effects(n->alter_object_depends_stmt->object_type));
		walk_relation_or_object(w, n->alter_object_depends_stmt->object_type,
					n->alter_object_depends_stmt->relation,
					n->alter_object_depends_stmt->object, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT:
		walk_create_schema(w, n->create_schema_stmt);
		return true;
	case PG_QUERY__NODE__NODE_COMMENT_STMT:
		walk_comment_or_label(w, "COMMENT", n->comment_stmt->objtype,
				      n->comment_stmt->object, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_SEC_LABEL_STMT:
		walk_comment_or_label(w, "SECURITY LABEL", n->sec_label_stmt->objtype,
				      n->sec_label_stmt->object, OP_SCHEMA | OP_GRANT);
		return true;
	default: return false;
	}
}

static bool walk_session(struct pg_walk *w, const PgQuery__Node *n)
{
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
		walk_transaction(w, n->transaction_stmt);
		return true;
	case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: walk_set(w, n->variable_set_stmt); return true;
	case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
		pg_verb(w, "SHOW", OP_READ | OP_SESSION);
		pg_add_named(w, "setting", n->variable_show_stmt->name, OP_READ);
		return true;
	case PG_QUERY__NODE__NODE_DISCARD_STMT:
		pg_verb(w, "DISCARD", OP_SESSION);
		/* Temporary tables hold data; DISCARD ALL also resets every setting. */
		if (n->discard_stmt->target == PG_QUERY__DISCARD_MODE__DISCARD_ALL ||
		    n->discard_stmt->target == PG_QUERY__DISCARD_MODE__DISCARD_TEMP)
			w->effects |= OP_DELETE;
		if (n->discard_stmt->target == PG_QUERY__DISCARD_MODE__DISCARD_ALL)
			w->sets_lexing = true;
		return true;
	case PG_QUERY__NODE__NODE_LISTEN_STMT:
		pg_verb(w, "LISTEN", OP_SESSION | OP_READ);
		return true;
	case PG_QUERY__NODE__NODE_UNLISTEN_STMT: pg_verb(w, "UNLISTEN", OP_SESSION); return true;
	case PG_QUERY__NODE__NODE_NOTIFY_STMT:
		pg_verb(w, "NOTIFY", OP_WRITE);
		pg_add_named(w, "channel", n->notify_stmt->conditionname, OP_WRITE);
		return true;
	case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
		pg_verb(w, "SET CONSTRAINTS", OP_SESSION);
		return true;
	case PG_QUERY__NODE__NODE_LOCK_STMT:
		pg_verb(w, "LOCK", OP_SESSION | OP_READ);
		pg_walk_list_as(w, n->lock_stmt->n_relations, n->lock_stmt->relations, OP_READ);
		return true;
	case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
		w->effects |= OP_SESSION;
		w->literal = true;
		pg_attr_bool(w, "cursor", true);
		pg_walk_node(w, n->declare_cursor_stmt->query);
		return true;
	case PG_QUERY__NODE__NODE_FETCH_STMT:
		pg_verb(w, n->fetch_stmt->ismove ? "MOVE" : "FETCH", OP_READ | OP_SESSION);
		return true;
	case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT: pg_verb(w, "CLOSE", OP_SESSION); return true;
	case PG_QUERY__NODE__NODE_PREPARE_STMT:
		pg_verb(w, "PREPARE", OP_SESSION);
		pg_add_named(w, "prepared", n->prepare_stmt->name, OP_SESSION);
		pg_walk_node(w, n->prepare_stmt->query);
		return true;
	case PG_QUERY__NODE__NODE_EXECUTE_STMT:
		pg_verb(w, "EXECUTE", OP_EXEC | OP_UNKNOWN);
		w->may_set_lexing = true;
		pg_add_named(w, "prepared", n->execute_stmt->name, OP_EXEC);
		pg_walk_list(w, n->execute_stmt->n_params, n->execute_stmt->params);
		return true;
	case PG_QUERY__NODE__NODE_DEALLOCATE_STMT:
		pg_verb(w, "DEALLOCATE", OP_SESSION);
		return true;
	case PG_QUERY__NODE__NODE_EXPLAIN_STMT: walk_explain(w, n->explain_stmt); return true;
	case PG_QUERY__NODE__NODE_COPY_STMT: walk_copy(w, n->copy_stmt); return true;
	case PG_QUERY__NODE__NODE_DO_STMT:
	case PG_QUERY__NODE__NODE_CALL_STMT: walk_do_or_call(w, n); return true;
	default: return false;
	}
}

bool pg_walk_ddl(struct pg_walk *w, const PgQuery__Node *n)
{
	return walk_session(w, n) || walk_relations(w, n) || pg_walk_role(w, n) ||
	       pg_walk_define(w, n);
}
