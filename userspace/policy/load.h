/* SPDX-License-Identifier: Apache-2.0 */
/* Walking a policy's JSON: types, known keys, lists, and errors that name their place. */
#ifndef WEIR_POLICY_LOAD_H
#define WEIR_POLICY_LOAD_H

#include <jansson.h>

#include "base/arena.h"
#include "policy.h"

/* A place in the document, as a chain on the stack of whoever walks it. */
struct place {
	const struct place *up; /* NULL: the document itself */
	const char *key;        /* NULL: index counts */
	size_t index;
};

struct load {
	const char *source;
	struct slice text;
	struct arena *arena;         /* what the compiled policy is made of */
	struct regex_group *regexes; /* of that policy */
	bool narrow;                 /* patterns are for a permission: see enum manner */
	struct policy_err *err;
	char quoted[4][96]; /* see load_quote */
	unsigned next_quoted;
};

/* A key of an object. later: belongs to the language, not to this version. */
struct load_key {
	const char *name;
	bool later;
};

/* Fills *l->err with the place of the value (or of its key) and returns -EINVAL. */
int load_fail(struct load *l, const struct place *at, const char *fmt, ...) __must_check
	__printf_like(3, 4);
int load_fail_key(struct load *l, const struct place *at, const char *fmt, ...) __must_check
	__printf_like(3, 4);
/* As load_fail, for a limit: returns -EMSGSIZE. */
int load_fail_limit(struct load *l, const struct place *at, const char *fmt, ...) __must_check
	__printf_like(3, 4);
struct json_pos load_pos(const struct load *l, const struct place *at, bool of_key);

/* s in a form fit for a message; good for the next three calls. */
const char *load_quote(struct load *l, const char *s);
/* "an object", "a number"… */
const char *load_type(const json_t *v);
/* The word of the list that is likely meant, or NULL. */
const char *load_near(const char *word, const char *const *words, size_t n);

/* An object whose every key is one of keys (or "comment"). -EINVAL otherwise. */
int load_object(struct load *l, const struct place *at, const json_t *v,
		const struct load_key *keys, size_t n_keys) __must_check;

/* One value, or a list of 1 to POLICY_LIST_MAX of them. */
struct load_list {
	const json_t *v;
	const struct place *at;
	bool array;
	size_t n;
};
/* what: "a string or a list of strings", for the message. */
int load_list_open(struct load *l, const struct place *at, const json_t *v, const char *what,
		   struct load_list *ret) __must_check;
const json_t *load_list_get(const struct load_list *list, size_t i, struct place *ret_at);

/* A string of 1 to max bytes without control characters, copied into the arena. */
int load_text(struct load *l, const struct place *at, const json_t *v, size_t max,
	      struct slice *ret) __must_check;
/* A name: letters, digits, '.', '_', '-', at most 128, the first a letter or digit. */
int load_name(struct load *l, const struct place *at, const json_t *v,
	      const char **ret) __must_check;
/* One of words; *ret_index is which. */
int load_word(struct load *l, const struct place *at, const json_t *v, const char *const *words,
	      size_t n, size_t *ret_index) __must_check;
/* A whole number from low to high. */
int load_number(struct load *l, const struct place *at, const json_t *v, uint64_t low,
		uint64_t high, uint64_t *ret) __must_check;
/* A time like "90s", "10m", "2h" or "1d", from a second to max_s. */
int load_duration(struct load *l, const struct place *at, const json_t *v, uint64_t max_s,
		  uint64_t *ret_ns) __must_check;
/* n zeroed things from the arena: -ENOMEM and NULL become one check. */
int load_alloc(struct load *l, size_t n, size_t size, void *ret_ptr) __must_check;
/* A NUL-terminated text made in the arena. 0 or -ENOMEM. */
int load_printf(struct load *l, const char **ret, const char *fmt, ...) __must_check
	__printf_like(3, 4);

#endif
