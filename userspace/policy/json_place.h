/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things stand in a JSON text. jansson tells places only for syntax errors; everything found
 * wrong later is looked up here by its path. Lines and columns count from 1, columns in characters.
 */
#ifndef WEIR_POLICY_JSON_PLACE_H
#define WEIR_POLICY_JSON_PLACE_H

#include "base/slice.h"

/* One step down: into an object by key (UTF-8, unescaped), or, when key is NULL, an array's index. */
struct json_step {
	const char *key;
	size_t index;
};

struct json_pos {
	unsigned line, column;
};

/*
 * Holds the text against limits before a recursive parser sees it. 0; -EMSGSIZE with *reterr at the
 * bracket or comma that is one too many. The text need not be valid JSON.
 */
int json_place_limits(struct slice text, unsigned max_depth, size_t max_values,
		      struct json_pos *reterr) __must_check;

/*
 * The place of the value at the end of the path, or with `of_key` of its key. The text must be valid
 * JSON; a path that is not in it gives the deepest part that is. Time is linear in the text.
 */
struct json_pos json_place_find(struct slice text, const struct json_step *steps, size_t n,
				bool of_key);

/* The place of a byte offset. */
struct json_pos json_place_at(struct slice text, size_t offset);

#endif
