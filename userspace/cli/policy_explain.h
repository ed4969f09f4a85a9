/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of `weir policy`: one operation, judged aloud. */
#ifndef WEIR_CLI_POLICY_EXPLAIN_H
#define WEIR_CLI_POLICY_EXPLAIN_H

#include "policy/policy.h"

/*
 * Print what the handlers see in the text, the rules that match and the verdict. target may be NULL:
 * the first that speaks the protocol. Return CLI_OK when every operation in it is allowed, else CLI_NO.
 */
int policy_explain_sql(const struct policy *p, const char *target, const char *sql);
int policy_explain_http(const struct policy *p, const char *target, const char *request);

#endif
