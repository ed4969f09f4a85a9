/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of sql*.c only: the walk over PostgreSQL's syntax tree that collects facts.
 *
 * The walk reads protobuf-c's own descriptors, so that every child of every node is seen, whether
 * or not anybody thought of it. sql_walk.c says what queries and expressions mean, sql_ddl.c what
 * the other statements mean, sql_func.c what PostgreSQL's functions do. A kind of node that none of
 * them knows makes the statement OP_UNKNOWN.
 */
#ifndef WEIR_PG_SQL_WALK_H
#define WEIR_PG_SQL_WALK_H

#include <pg_query/pg_query.pb-c.h>

#include "base/arena.h"
#include "sql.h"
#include "sql_known.h"

enum {
	PG_WALK_DEPTH_MAX = 12000, /* nodes above one another; the scan before the parse keeps trees
				      well below, this is the second lock */
	PG_WALK_OBJECTS_MAX = 1024, /* objects of a statement: quadratic work in finding doubles */
	PG_WALK_ATTRS_MAX = 16,
};

struct pg_scope; /* the WITH queries that can be seen */

struct pg_walk {
	struct arena *arena;
	const struct pg_known *known; /* NULL: no catalogue */
	struct op_object *objects;
	size_t n_objects, cap_objects;
	struct op_attr attrs[PG_WALK_ATTRS_MAX];
	size_t n_attrs;
	const char *verb;
	uint32_t effects;
	uint32_t rel_access; /* what a table gets that is met in passing */
	const struct pg_scope *scope;
	unsigned depth;
	unsigned dml; /* PG_DML_* bits that were met */
	bool literal; /* a fact depends on the value of a literal */
	bool limit;   /* so does the limit */
	bool copy_in, copy_out, sets_lexing, may_set_lexing;
	bool calls_undeclared; /* a function that is not PostgreSQL's own; pg_walk_stmt adds what
				  that means, so that effects tells what is unknown without it */
	int err;               /* 0 or -ENOMEM; sticky */
};

enum {
	PG_DML_SELECT = 1,
	PG_DML_INSERT = 2,
	PG_DML_MERGE = 4,
	PG_DML_UPDATE = 8,
	PG_DML_DELETE = 16
};

/* All of one statement. w is zeroed but for arena and known. */
void pg_walk_stmt(struct pg_walk *w, const PgQuery__Node *stmt);

/* Pieces that the parts share. Any pointer may be NULL. */
void pg_walk_msg(struct pg_walk *w, const ProtobufCMessage *m);
void pg_walk_node(struct pg_walk *w, const PgQuery__Node *n);
void pg_walk_list(struct pg_walk *w, size_t n, PgQuery__Node **nodes);
/* A list in which a table gets this access. */
void pg_walk_list_as(struct pg_walk *w, size_t n, PgQuery__Node **nodes, uint32_t access);
void pg_walk_children(struct pg_walk *w, const ProtobufCMessage *m);

/* Statements that are no queries: true when it knew the statement. */
bool pg_walk_ddl(struct pg_walk *w, const PgQuery__Node *n);
bool pg_walk_define(struct pg_walk *w, const PgQuery__Node *n);
void pg_walk_create_table(struct pg_walk *w, const PgQuery__CreateStmt *c, const char *what);
void pg_walk_reindex(struct pg_walk *w, const PgQuery__ReindexStmt *r);
/* GRANT and all that is about roles; called by pg_walk_ddl. */
bool pg_walk_role(struct pg_walk *w, const PgQuery__Node *n);
/* The verb of a statement, unless an outer one has named itself; its effects; and that literals count.
 * pg_ddl also says what kind of object it is about. */
void pg_verb(struct pg_walk *w, const char *verb, uint32_t effects);
void pg_ddl(struct pg_walk *w, const char *verb, const char *what, uint32_t effects);
/* PostgreSQL's object types: as people call them, as an object's kind, and what making, changing or
 * dropping one does. */
const char *pg_type_word(PgQuery__ObjectType t);
const char *pg_type_kind(PgQuery__ObjectType t);
uint32_t pg_type_effects(PgQuery__ObjectType t);

void pg_walk_func_call(struct pg_walk *w, const PgQuery__FuncCall *f);
/* Is it neither PostgreSQL's own nor of a name that Weir knows from contrib? */
bool pg_func_is_undeclared(const struct pg_walk *w, const PgQuery__FuncCall *f);
/* SET, RESET and set_config(name, …). args may be empty; name NULL: cannot be read. */
void pg_walk_setting(struct pg_walk *w, const char *name, size_t n_args, PgQuery__Node **args);

void pg_add_object(struct pg_walk *w, const char *kind, struct slice name, uint32_t access);
void pg_add_named(struct pg_walk *w, const char *kind, const char *name, uint32_t access);
/* A dotted name: String nodes, or a List or TypeName of them. */
void pg_add_names(struct pg_walk *w, const char *kind, size_t n, PgQuery__Node **names,
		  uint32_t access);
void pg_add_node_name(struct pg_walk *w, const char *kind, const PgQuery__Node *n, uint32_t access);
void pg_add_range_var(struct pg_walk *w, const char *kind, const PgQuery__RangeVar *rv,
		      uint32_t access);
void pg_add_role(struct pg_walk *w, const PgQuery__RoleSpec *r, uint32_t access);

void pg_attr_bool(struct pg_walk *w, const char *key, bool b);
void pg_attr_int(struct pg_walk *w, const char *key, int64_t i);
void pg_attr_text(struct pg_walk *w, const char *key, struct slice s);

/* rv is written to: adds what that means when it is part of PostgreSQL's catalogue. */
void pg_check_catalog(struct pg_walk *w, const PgQuery__RangeVar *rv);

/* The value of a string constant, casts peeled off; NULL when it is none. */
const char *pg_const_string(const PgQuery__Node *n);
/* The last and only name of a list of String nodes, or NULL. */
const char *pg_string(const PgQuery__Node *n);

#endif
