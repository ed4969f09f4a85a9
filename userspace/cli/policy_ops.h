/* SPDX-License-Identifier: Apache-2.0 */
/* Operations out of what people write: the texts go through the handlers that see the wire. */
#ifndef WEIR_CLI_POLICY_OPS_H
#define WEIR_CLI_POLICY_OPS_H

#include <jansson.h>

#include "base/buf.h"
#include "policy/policy.h"
#include "proto.h"
#include "proto/pg/sql.h"

enum { POLICY_OPS_TEXT_MAX = 1024 * 1024 };

/* Several operations of one text; they point into what is held here. */
struct policy_ops {
	struct op *at;
	size_t n;
	char error[256]; /* why there are none */
	struct proto *_handler;
	struct pg_sql *_parser;
	const struct pg_facts *_facts;
	struct op_param *_params;
	json_t *_json;
	char *_text;
};

void policy_ops_done(struct policy_ops *o);

/*
 * All three fill *ret, to be given to policy_ops_done in any case. 0; -EINVAL it is not written as it
 * should be; -EBADMSG the handler refuses it; -ENOMEM; on the first two with ret->error.
 *
 * SQL, one or more statements; params is a JSON array of their parameters, or NULL.
 */
int policy_ops_sql(const char *text, const char *params, struct policy_ops *ret) __must_check;
/* "METHOD URL [Header: value]… body": headers each in brackets; Host, Content-Length and, of a body
 * that is JSON, Content-Type are made where they are not given. */
int policy_ops_http(const char *text, struct policy_ops *ret) __must_check;
/* "sql:TEXT", "sql[PARAMETER, …]:TEXT" or "http:…". */
int policy_ops_any(const char *text, struct policy_ops *ret) __must_check;

/* The target of that name; without one the first that may speak the protocol. NULL when there is none. */
const struct policy_target *policy_ops_target(const struct policy *p, const char *name,
					      const char *protocol);

#endif
