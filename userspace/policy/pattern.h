/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled patterns. Every comparison has two manners: what restricts (block, hold) is read
 * broadly, what permits (allow) narrowly, so that no spelling turns a refusal into a pass.
 */
#ifndef WEIR_POLICY_PATTERN_H
#define WEIR_POLICY_PATTERN_H

#include "load.h"
#include "regex.h"

enum manner {
	BROAD,  /* case folded; a name without its schema counts for one with it */
	NARROW, /* exact */
};

enum { PATTERN_MAX = 1024 }; /* bytes: a match costs pattern times text */

struct pattern {
	struct slice text;      /* without the kind */
	uint8_t kind;           /* of objects: 1 + index into pattern_kinds; 0 = any */
	bool any;               /* "*" or "**" alone */
	bool glob;              /* has stars or question marks */
	const struct regex *re; /* then text is its pattern, and nothing of the above is set */
};

struct pattern_list {
	struct pattern *at;
	size_t n;
};

/* PATTERN_NAME: text for which a regular expression is no help. */
enum pattern_use { PATTERN_TEXT, PATTERN_NAME, PATTERN_OBJECT, PATTERN_PATH, PATTERN_HOST };

/* The kinds of objects that handlers speak of. */
extern const char *const pattern_kinds[];
extern const size_t pattern_n_kinds;

/* A pattern or a list of them, checked for its use. -EINVAL, -EMSGSIZE with *l->err; -ENOMEM. */
int pattern_list_load(struct load *l, const struct place *at, const json_t *v, enum pattern_use use,
		      struct pattern_list *ret) __must_check;

/* The same, or true, false and whole numbers, which stand for their text. */
int pattern_values_load(struct load *l, const struct place *at, const json_t *v,
			struct pattern_list *ret) __must_check;

/* sep as in base/glob.h. */
bool pattern_match(const struct pattern *p, struct slice text, uint8_t sep, enum manner how);
bool pattern_list_match(const struct pattern_list *list, struct slice text, uint8_t sep,
			enum manner how);
/*
 * An object's name. Broadly, the parts at the end that both have decide: "public.users" takes in
 * "users", "users" takes in "public.users". Kinds with paths for names have no such parts.
 */
bool pattern_match_object(const struct pattern *p, const struct op_object *o, enum manner how);

/* Names of this kind have parts between slashes, others between dots. */
bool pattern_kind_is_path(const char *kind);

/* What follows the last dot: "users" of "public.users". */
struct slice pattern_last_part(struct slice name);

#endif
