/* SPDX-License-Identifier: Apache-2.0 */
/* What learn.c gathers and learn_write.c writes. */
#ifndef WEIR_CLI_LEARN_INT_H
#define WEIR_CLI_LEARN_INT_H

#include "base/arena.h"
#include "learn.h"

/* Different texts, found by hash. */
struct text_set {
	char **at;
	size_t n, cap;
	uint32_t *slots; /* 1 + index; n_slots is a power of two */
	size_t n_slots;
};

enum learn_form {
	LEARN_OBJECTS, /* values: "kind:name" */
	LEARN_SESSION, /* the session's own state only: no values */
	LEARN_TEXT,    /* values: regular expressions over the statement */
	LEARN_PATHS,   /* values: path globs; none = it had no path */
	LEARN_ANY,     /* opaque: no values */
};

struct learn_group {
	size_t target;
	enum learn_form form;
	char *verb, *host; /* host: "" = none */
	uint32_t effects, access;
	bool where; /* each had a condition on rows */
	struct text_set values;
	uint64_t count;
};

struct learn_target {
	struct addr addr;
	char *protocol, *name; /* name: of the target then */
	struct text_set hosts;
	bool *confirmed; /* by index into hosts */
};

struct learn {
	struct text_set target_keys, group_keys;
	struct learn_target *targets;
	struct learn_group *groups;
	struct learn_counts counts;
	char *agents;      /* cgroup, or the part that all have in common */
	bool agents_below; /* it is that part */
};

/* Index of s, added when it is new; *ret_new says so. -ENOSPC over max, -ENOMEM. */
int text_set_add(struct text_set *set, const char *s, size_t max, size_t *ret,
		 bool *ret_new) __must_check;
void text_set_sort(struct text_set *set); /* indices are void then */
void text_set_done(struct text_set *set);

#endif
