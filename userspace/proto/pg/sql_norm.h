/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of sql*.c only: looks at SQL text that need no parser. */
#ifndef WEIR_PG_SQL_NORM_H
#define WEIR_PG_SQL_NORM_H

#include "sql.h"

struct pg_norm {
	size_t len;           /* bytes written */
	unsigned literals;    /* how many were replaced */
	unsigned limits;      /* the words LIMIT, FIRST and NEXT */
	unsigned limits_kept; /* whole numbers right behind one, which are not replaced */
	bool single;          /* no semicolon but one at the end */
	size_t from, to; /* of the text: what is between is the statement, if it is a single one */
};

/*
 * Writes text with literals replaced (whole numbers by ?, other numbers by ?., strings by '?') and
 * every run of white space and comments folded into one space, none at the ends, nor a last
 * semicolon. Whole numbers behind LIMIT, FIRST and NEXT stay. out has room for 2 * text.len + 1 bytes. The promise: two texts with the same result are
 * the same to PostgreSQL's lexer but for the values of those literals. False when the text has
 * anything that this small scanner would rather not judge.
 */
bool pg_norm_text(struct slice text, uint8_t *out, struct pg_norm *ret);

/* Well-formed UTF-8 without NUL, as PostgreSQL wants it (no surrogates, no overlong forms). */
bool pg_utf8_valid(struct slice text);

/*
 * Can the parser's recursion survive this? text is NUL-terminated and at most PG_SQL_TEXT_MAX long.
 * An upper bound of the tree's depth is counted over PostgreSQL's own tokens.
 */
bool pg_text_is_flat(const char *text, size_t len);

#endif
