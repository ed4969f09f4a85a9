/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands around operations on hold share. */
#ifndef WEIR_CLI_APPROVALS_H
#define WEIR_CLI_APPROVALS_H

#include <stdint.h>

#include "cli/client.h"

/* One row of the listing, its texts as the daemon says them. */
struct approval_row {
	const char *id, *target, *verb, *rule, *text, *agent;
	char effects[128];
	char age[32], left[32];
	long long risk;
	bool text_cut;
	unsigned needed, approved;
};
/* Points into o. now_ns is realtime. */
void approval_row(const json_t *o, uint64_t now_ns, struct approval_row *ret);

/* All of one, as lines of text for people, escaped. Returns a heap string or NULL. */
char *approval_describe(const json_t *o, uint64_t now_ns);

/* Sends an answer. 0 with *ret_state; -EREMOTEIO refused, or another negative errno; why is set then. */
int approval_answer(int fd, const char *id, bool allow, const char *reason, char *why, size_t size,
		    const char **ret_state) __must_check;

/* The screen of `weir approvals --watch`. Returns the exit status. */
int approvals_watch(const char *socket);

#endif
