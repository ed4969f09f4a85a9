/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about SQL text: what PostgreSQL would do with it, read from its own syntax tree
 * (libpg_query), never from regular expressions. Sans-IO and without knowledge of the wire.
 *
 * A context belongs to one thread. It caches facts by normalised text, bounded in entries and bytes
 * (least recently used goes first), so that a statement seen before costs a hash and no parse.
 */
#ifndef WEIR_PG_SQL_H
#define WEIR_PG_SQL_H

#include "op.h"

/* What is known of the server's way of reading text; it changes what a literal is. */
struct pg_sql_mode {
	bool backslash_quote; /* standard_conforming_strings is off, or may be: a backslash inside of
				 '…' cannot be read, the statement is OP_UNKNOWN as well */
	bool encoding_unsafe; /* client_encoding is one in which 0x27 or 0x5c can be the second byte of
				 a character (SJIS, BIG5, GBK, GB18030, JOHAB, UHC…): OP_UNKNOWN as well */
};

/* One statement of a string. */
struct pg_stmt {
	const char *verb;  /* static, upper case: "SELECT", "INSERT", "DROP", "CREATE", "COPY", "DO"…
			      Unparsable text has "UNKNOWN" */
	uint32_t effects;  /* OP_* bits, never 0 */
	const struct op_object *objects;
	size_t n_objects;
	const struct op_attr *attrs; /* "where" (bool; UPDATE and DELETE only), "object" (what a DDL is
					about: "table", "index" …), "limit" … */
	size_t n_attrs;
	size_t offset, len; /* of this statement's own text inside of the string, as given to facts
			       (trimmed of space and the semicolon) */
	bool copy_in, copy_out; /* COPY … FROM STDIN / TO STDOUT: the wire changes to CopyData */
	bool sets_lexing;	/* SET or set_config of standard_conforming_strings, backslash_quote or
				   client_encoding, by any spelling: what follows is read differently */
};

/* All statements of one string, immutable. */
struct pg_facts {
	struct pg_stmt *stmts;
	size_t n_stmts;	      /* 0 for an empty string or only comments */
	struct slice norm;    /* literals replaced by $n or ?, white space and comments folded */
	uint64_t fingerprint; /* of norm under HASH_KEY_FIXED */
	bool parsed;	      /* false: not parsable (or refused: too long, too deep); the one statement
				 is verb UNKNOWN, effect OP_UNKNOWN */
};

struct pg_sql;

/* max_entries and max_bytes bound the cache. 0 or -ENOMEM. */
int pg_sql_new(size_t max_entries, size_t max_bytes, struct pg_sql **ret) __must_check;
struct pg_sql *pg_sql_free(struct pg_sql *s);

/*
 * The facts of a string. *ret is borrowed, with one reference taken for the caller, who gives it
 * back with pg_facts_unref; it stays valid over later calls and evictions (objects and attrs point
 * into it). Statement offsets are those of this very text, also on a cache hit. Text need not be
 * UTF-8 or NUL-terminated and may hold anything. 0 or -ENOMEM: whatever cannot be parsed is a
 * result, not an error.
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
