/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a rule does not match: each of its conditions is tried alone, by the engine itself, in the order
 * of the text; nothing here reads a condition in its own way.
 */
#ifndef WEIR_CLI_POLICY_WHY_H
#define WEIR_CLI_POLICY_WHY_H

#include <jansson.h>

#include "policy/policy.h"

struct policy_why;

/* p outlives it. 0 or -ENOMEM. */
int policy_why_new(const struct policy *p, struct policy_why **ret) __must_check;
struct policy_why *policy_why_free(struct policy_why *w);

/*
 * The condition that keeps the rule of that id from matching, as {"condition": key, "wanted": value};
 * the caller's. Where all hold alone it is what only a whole session can tell (risk, rate, quota), or
 * "together". NULL without memory or such a rule.
 */
json_t *policy_why_not(struct policy_why *w, const char *id, const struct policy_target *t,
		       const struct identity *who, const struct op *op);

#endif
