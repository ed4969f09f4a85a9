/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about SQL text: what PostgreSQL would do with it, read from its own syntax tree
 * (libpg_query), never from regular expressions. Sans-IO and without knowledge of the wire.
 * docs/protocols/postgres-sql.md tells how each kind of statement becomes facts.
 *
 * A context belongs to one thread. It caches facts by normalised text, bounded in entries and bytes
 * (least recently used goes first), so that a statement seen before costs a hash and no parse.
 *
 * The facts are those of the text. What the database's owner has built behind a name (views, rules,
 * triggers, defaults, casts, operators and functions that overload PostgreSQL's own) is not in the
 * text: to make such things has the effects schema and exec. sql_catalog.h tells a context of it.
 */
#ifndef WEIR_PG_SQL_H
#define WEIR_PG_SQL_H

#include "op.h"

enum {
	PG_SQL_TEXT_MAX = 1 << 20,  /* bytes; longer text is OP_UNKNOWN, unparsed: memory */
	PG_SQL_TOKENS_MAX = 200000, /* so is text of more tokens: 1 MiB of "1,1,1" takes 400 MiB */
	PG_SQL_DEPTH_MAX = 1000,    /* and text that nests deeper: the parser's stack */
};

/* What is known of the server's way of reading text; it changes what a literal is. */
struct pg_sql_mode {
	bool backslash_quote; /* standard_conforming_strings is off, or may be: text with a backslash
				 is OP_UNKNOWN as well */
	bool encoding_unsafe; /* client_encoding is one in which 0x27 or 0x5c can be the second byte of
				 a character (SJIS, BIG5, GBK, GB18030, JOHAB, UHC…): text with bytes
				 above 0x7f is OP_UNKNOWN as well */
};

/* One statement of a string. */
struct pg_stmt {
	/*
	 * Static, upper case: "SELECT", "INSERT", "DROP", "CREATE", "COPY", "DO"… A query is named
	 * after the worst that is inside: a SELECT (or INSERT…) with a DELETE in its WITH is
	 * "DELETE", in the order DELETE, UPDATE, MERGE, INSERT, SELECT. What EXPLAIN ANALYZE and
	 * DECLARE hold names them; plain EXPLAIN is "EXPLAIN", PREPARE is "PREPARE". Text that cannot
	 * be parsed is "UNKNOWN".
	 */
	const char *verb;
	uint32_t effects;                /* OP_* bits, never 0 */
	const struct op_object *objects; /* each (kind, name) once */
	size_t n_objects;
	/*
	 * where       bool  UPDATE, DELETE: each of them has a condition that speaks of rows
	 *                   (WHERE true, 1=1 or x=x is none)
	 * limit       int   the outermost LIMIT, when it is a plain number
	 * returning   bool  true: RETURNING is there
	 * on_conflict text  "update" or "nothing"
	 * lock        text  SELECT … FOR: "update", "no key update", "share", "key share"
	 * into        bool  true: SELECT INTO
	 * verbs       text  "DELETE UPDATE": all that write, when they are several, or are not what
	 *                   verb says (PREPARE)
	 * object      text  what DDL and GRANT are about: "table", "view", "index", "role" …
	 * action      text  of ALTER: "rename", "owner", "set schema", "drop column", "row security"
	 * cascade     bool  true: DROP, TRUNCATE or ALTER TABLE … CASCADE
	 * resolved    bool  true: a catalogue (sql_catalog.h) knows every relation
	 * direction   text  COPY: "from" or "to"
	 * program     bool  true: COPY runs a program
	 * explain     text  "plan" or "analyze"
	 * cursor      bool  true: DECLARE; the rest tells what is declared
	 * search_path bool  true: it is set
	 * role        bool  true: SET ROLE or SET SESSION AUTHORIZATION
	 * unknown_by  text  "functions": the effects exec and unknown are there only since functions
	 *                   are called that are not PostgreSQL's own, all of them listed as objects
	 *                   (function, exec unknown): who knows these knows the rest
	 * password, superuser  bool  true: CREATE or ALTER ROLE gives that
	 */
	const struct op_attr *attrs;
	size_t n_attrs;
	size_t offset, len; /* of this statement's own text inside of the string, as given to facts
			       (trimmed of space and the semicolon) */
	bool copy_in, copy_out; /* COPY … FROM STDIN / TO STDOUT: the wire changes to CopyData */
	bool sets_lexing;    /* SET or set_config of standard_conforming_strings, backslash_quote or
				   client_encoding, by any spelling: what follows is read differently */
	bool may_set_lexing; /* runs code that cannot be seen and could do the same: before the
				   server has answered, its last ParameterStatus is no proof */
};

/* All statements of one string, immutable. */
struct pg_facts {
	const struct pg_stmt *stmts;
	size_t n_stmts;       /* 0 for an empty string or only comments */
	struct slice norm;    /* numbers and strings replaced by ?, white space and comments folded;
				 empty when the text was not normalised and stands for itself */
	uint64_t fingerprint; /* of norm, or of the text, under HASH_KEY_FIXED; never 0 */
	bool parsed; /* false: not parsable (or refused: too long, too deep); the one statement
				 is verb UNKNOWN, effect OP_UNKNOWN */
};

struct pg_sql;

/* max_entries and max_bytes bound the cache. 0, -ENOMEM or the negative errno of getrandom(2). */
int pg_sql_new(size_t max_entries, size_t max_bytes, struct pg_sql **ret) __must_check;
struct pg_sql *pg_sql_free(struct pg_sql *s);
DEFINE_CLEANUP(struct pg_sql, pg_sql_free)

/*
 * The facts of a string. *ret is borrowed, with one reference taken for the caller, who gives it
 * back with pg_facts_unref; it stays valid over later calls and evictions, and after pg_sql_free
 * (objects and attrs point into it). Statement offsets are those of this very text, also on a cache
 * hit. Two strings of one statement each that differ only in white space, comments and the
 * values of literals may share what is behind it. Text need not be UTF-8 or
 * NUL-terminated and may hold anything. mode NULL: a server with default settings. 0 or -ENOMEM:
 * whatever cannot be parsed is a result, not an error.
 */
int pg_sql_facts(struct pg_sql *s, struct slice text, const struct pg_sql_mode *mode,
		 const struct pg_facts **ret) __must_check;
void pg_facts_unref(const struct pg_facts *f);

struct pg_sql_stats {
	uint64_t hits, misses, uncacheable;
	size_t entries, bytes;
};
void pg_sql_stats(const struct pg_sql *s, struct pg_sql_stats *ret);

#endif
