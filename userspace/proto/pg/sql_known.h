/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of sql*.c only: the copy of a catalogue, made to be asked. */
#ifndef WEIR_PG_SQL_KNOWN_H
#define WEIR_PG_SQL_KNOWN_H

#include "sql.h"
#include "sql_catalog.h"

struct pg_known;
struct pg_walk;

/* 0, -ENOMEM or -EMSGSIZE. */
int pg_known_new(const struct pg_catalog *c, struct pg_known **ret) __must_check;
struct pg_known *pg_known_free(struct pg_known *k);
DEFINE_CLEANUP(struct pg_known, pg_known_free)

/* The i-th relation's view, empty when it is none; and what came out of it. */
size_t pg_known_views(const struct pg_known *k);
struct slice pg_known_view(const struct pg_known *k, size_t i);
int pg_known_view_set(struct pg_known *k, size_t i, const struct pg_facts *f) __must_check;

/* k may be NULL: then nothing is known. */
bool pg_known_function(const struct pg_known *k, const char *name, bool of_row);
bool pg_known_operator(const struct pg_known *k, const char *name);
bool pg_known_type(const struct pg_known *k, const char *name);
/* Adds to w what is behind its objects. */
void pg_known_resolve(const struct pg_known *k, struct pg_walk *w);

#endif
