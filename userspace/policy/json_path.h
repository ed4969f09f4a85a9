/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths into JSON bodies: "$.a.b", "$['a b']", "$.items[0].id", "$.items[*].id", "$.*", "$..token".
 * Looking them up reads the text once, allocates nothing and needs no document tree.
 */
#ifndef WEIR_POLICY_JSON_PATH_H
#define WEIR_POLICY_JSON_PATH_H

#include "base/arena.h"
#include "pattern.h"

enum {
	JSON_PATH_STEPS = 32,    /* of a path */
	JSON_PATH_DEPTH = 64,    /* of a body; deeper is not looked into */
	JSON_PATH_STRING = 4096, /* bytes of a string with escapes that are undone for comparing */
};

enum json_step_kind { JSON_STEP_KEY, JSON_STEP_INDEX, JSON_STEP_ANY };
struct json_path_step {
	enum json_step_kind kind;
	bool deep; /* any number of levels may stand before */
	struct slice key;
	uint64_t index;
};
struct json_path {
	struct json_path_step *steps;
	size_t n;
};

/* 0; -EINVAL with the reason in *reterr (static); -ENOMEM. Keys are copied into the arena. */
int json_path_compile(struct arena *arena, struct slice text, struct json_path *ret,
		      const char **reterr) __must_check;

/*
 * Compares every value at path with patterns: text of strings, the words true, false and null, and
 * numbers as they are written. Objects and lists are matched by "*" alone.
 *
 * BROAD: whether any matches; also true for a text that is not JSON, nested too deeply, or has
 * strings too long to compare. NARROW: whether there is one and all match, never true for those.
 */
bool json_path_match(const struct json_path *path, const struct pattern_list *values,
		     struct slice text, enum manner how);

#endif
