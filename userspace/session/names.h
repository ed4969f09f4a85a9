/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names the policies' "hosts" have for an address, by the host's resolver: an immutable table,
 * made anew every so often. Not thread-safe by itself; agents.c guards it.
 */
#ifndef WEIR_SESSION_NAMES_H
#define WEIR_SESSION_NAMES_H

#include "policy/policy.h"

struct names;

enum { NAMES_MAX = 65536 }; /* (address, name) pairs: a resolver that answers without end */

/* Resolves every name of the sets. Blocks. NULL without memory, or when there is nothing to know. */
struct names *names_resolve(struct policy_set *const *sets, size_t n_sets);
struct names *names_free(struct names *n);

/* For policy_target_match; names may be NULL. */
struct policy_names names_view(const struct names *n);

#endif
