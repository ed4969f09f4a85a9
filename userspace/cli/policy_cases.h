/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of cases: what a policy must say about operations. Tab-separated, one case a line, "#"
 * begins a comment; the first line names the columns. Either facts,
 *
 *   # policy target protocol verb effects objects attrs verdict rule
 *
 * with objects "kind:name=access+access" and attrs "key=value", each separated by spaces; or what a
 * client would send, seen by the handlers themselves:
 *
 *   # policy target operation verdict rule
 *
 * with operations "sql:TEXT", "sql[PARAMETERS]:TEXT" and "http:METHOD URL [Header: value]… body", in
 * which \n, \t and \\ stand for a newline, a tab and a backslash. Both kinds may stand in one table. "-"
 * is none; as a policy: the only one; as a target of an operation: the first that speaks it; as a
 * rule: any. Of several statements the most restrictive verdict counts.
 */
#ifndef WEIR_CLI_POLICY_CASES_H
#define WEIR_CLI_POLICY_CASES_H

#include "policy_ops.h"

enum { POLICY_CASE_ITEMS = 64, POLICY_CASES_MAX = 16 * 1024 * 1024 /* bytes of a table */ };

struct policy_case {
	unsigned line;               /* in the file, from 1 */
	const char *policy, *target; /* NULL = "-" */
	const char *operation;       /* as written; of facts "VERB effects" */
	enum verdict_kind verdict;
	const char *rule; /* NULL = "-" */
	const struct op *ops;
	size_t n_ops;
	bool facts;
	/* private */
	struct op _op;
	struct op_object _objects[POLICY_CASE_ITEMS];
	struct op_attr _attrs[POLICY_CASE_ITEMS];
	struct policy_ops _made;
	char _operation[160];
};

struct policy_cases {
	char *rest; /* cut into lines and columns as it is read */
	unsigned line;
};

/* Whether a text is a table of cases at all: others keep tables of other things beside. */
bool policy_cases_are(const char *text);
/* text is changed by reading and outlives the cases. */
void policy_cases_open(struct policy_cases *c, char *text);
/* 1 with *ret, to be given to policy_case_done before the next; 0 at the end; -EINVAL with error set and
 * ret->line; -ENOMEM. */
int policy_cases_next(struct policy_cases *c, struct policy_case *ret,
		      char error[256]) __must_check;
void policy_case_done(struct policy_case *c);

/*
 * Judges one: *ret is the policy's verdict. 1 as expected, 0 not; -ENOENT there is no such target; nobody
 * is known of the agent.
 */
int policy_case_judge(const struct policy_case *c, const struct policy *p,
		      const struct policy_target **ret_target, struct verdict *ret) __must_check;

#endif
