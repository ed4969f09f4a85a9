/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GraphQL documents that ask for something: operations and fragments, by the October 2021 edition,
 * strictly. Answers which operation runs and which fields of the schema's root it selects.
 */
#ifndef WEIR_PROTO_HTTP_GRAPHQL_H
#define WEIR_PROTO_HTTP_GRAPHQL_H

#include "base/arena.h"

enum {
	GRAPHQL_DEPTH_MAX = 64,   /* nesting of selections, values and types: stacks */
	GRAPHQL_DEFS_MAX = 64,    /* operations and fragments of one document */
	GRAPHQL_FIELDS_MAX = 128, /* root fields, once fragments are resolved */
};

enum graphql_type { GRAPHQL_QUERY, GRAPHQL_MUTATION, GRAPHQL_SUBSCRIPTION };
extern const char *const graphql_type_names[3];

struct graphql {
	enum graphql_type type;
	struct slice name;    /* of the operation that runs; empty when it has none */
	struct slice *fields; /* real names of its root fields, in a */
	size_t n_fields;
};

/*
 * operation: the request's operationName, SLICE_NONE when there is none. Slices of *ret point into
 * doc. 0; -EBADMSG: no such document, or several operations of which none is named; -EMSGSIZE over a
 * limit; -ENOMEM.
 */
int graphql_parse(struct slice doc, struct slice operation, struct arena *a,
		  struct graphql *ret) __must_check;

#endif
