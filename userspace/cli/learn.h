/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A least-privilege policy out of what was seen: it allows that, as narrowly as the language can say
 * it readably, and refuses the rest. The same operations in any order give the same text.
 *
 * What is generalised, and nothing else: segments of HTTP paths that are numbers, UUIDs or long
 * hexadecimal become '*'; within statements that name no object, numbers and strings may differ;
 * objects that were seen under the same verb, effects and access share a rule.
 */
#ifndef WEIR_CLI_LEARN_H
#define WEIR_CLI_LEARN_H

#include "base/addr.h"
#include "base/buf.h"
#include "identity.h"
#include "op.h"

/* What observed agents can make it grow to. */
enum { LEARN_TARGETS_MAX = 1000, LEARN_GROUPS_MAX = 8000, LEARN_VALUES_MAX = 8000 };

struct learn;

int learn_new(struct learn **ret) __must_check;
struct learn *learn_free(struct learn *l);

/* Where a session went: its address, what was spoken, the target's name then, and who it was. 0 with
 * *ret_target for learn_op; -ENOSPC too many; -EINVAL nothing was spoken; -ENOMEM. */
int learn_session(struct learn *l, const struct addr *dst, const char *protocol, const char *target,
		  const struct identity *who, size_t *ret_target) __must_check;
/* An operation that was allowed there. 1, or 0 when no permission can say it: counted. -ENOMEM. */
int learn_op(struct learn *l, size_t target, const struct op *op) __must_check;
/* One that was not allowed, and so is not learned: counted. */
void learn_skip(struct learn *l);

/*
 * Host names that requests gave, with the address they went to. An agent may say any name: one is only
 * used, in the address's place, when it was confirmed to lead there. The i-th, or false.
 */
bool learn_host_at(const struct learn *l, size_t i, const char **ret_name, struct addr *ret_addr);
void learn_host_confirm(struct learn *l, size_t i);

struct learn_counts {
	uint64_t sessions, ops, skipped, unsayable;
	size_t targets, rules;
};

/* The policy's text, which compiles. 0; -ENODATA nothing was learned; -EMSGSIZE; -ENOMEM. */
int learn_write(struct learn *l, const char *name, struct buf *ret,
		struct learn_counts *ret_counts) __must_check;

#endif
