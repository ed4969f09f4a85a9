/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind the names of a database: views, triggers, rules, cascades, partitions, functions and
 * operators that share names with PostgreSQL's own. Text does not show it; whoever has asked the server
 * can tell it here (tests/integration/pg_effects.py has the questions), and the facts of every later
 * text hold it. The catalogue only ever adds: what it does not know is judged as without it.
 *
 * A name without a schema may mean any relation of that name: the search path is not looked at.
 */
#ifndef WEIR_PG_SQL_CATALOG_H
#define WEIR_PG_SQL_CATALOG_H

#include "op.h"

enum {
	PG_CATALOG_NAMES_MAX = 1 << 20,   /* relations, functions, operators and types together */
	PG_CATALOG_BYTES_MAX = 256 << 20, /* of the copy that is kept */
};

/* What else happens when this is done to a relation. */
struct pg_catalog_also {
	uint32_t on; /* OP_* bits: any of these accesses brings it about */
	struct slice schema,
		name;    /* of the other relation: a partition, a child, the end of a cascade */
	uint32_t access; /* OP_* bits: what that one gets */
};

struct pg_catalog_relation {
	struct slice schema, name;
	/* Accesses (OP_READ, OP_WRITE, OP_DELETE) at which code runs that is not in the text: triggers,
	 * rules, defaults, checks, row policies, foreign tables. */
	uint32_t code;
	/* The SELECT of a view. What it reads is read when the view is, and written when the view is
	 * written through. One that cannot be parsed is code. */
	struct slice view;
	bool materialized; /* the SELECT runs on REFRESH, and at no other time */
	const struct pg_catalog_also *also;
	size_t n_also;
};

struct pg_catalog_function {
	struct slice name; /* without schema */
	bool of_row;       /* takes one row: table.function calls it too */
};

struct pg_catalog {
	const struct pg_catalog_relation *relations;
	size_t n_relations;
	const struct pg_catalog_function *functions; /* that are not PostgreSQL's own */
	size_t n_functions;
	const struct slice *operators; /* whose function is somebody's code, by their signs */
	size_t n_operators;
	const struct slice *types; /* to make or cast a value of which runs somebody's code */
	size_t n_types;
	bool event_triggers; /* there are some: every DDL runs somebody's code */
};

struct pg_sql;

/*
 * Copies c, and drops all facts that are cached. NULL: nothing is known, as at first. Parses every view:
 * 10,000 of them take a good part of a second. 0; -ENOMEM, -EMSGSIZE (over the limits above): the old
 * catalogue stays.
 */
int pg_sql_set_catalog(struct pg_sql *s, const struct pg_catalog *c) __must_check;

#endif
