/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every attribute that handlers put on operations and results, with its type and where it is found.
 * Policies may ask for those of operations only; a name that is not here is an error there. A test
 * holds the list against the handlers.
 */
#ifndef WEIR_OP_ATTRS_H
#define WEIR_OP_ATTRS_H

#include "op.h"

enum op_attr_place {
	OP_ON_POSTGRES = 1 << 0,
	OP_ON_HTTP = 1 << 1,
	OP_ON_TCP = 1 << 2,
	OP_ON_RESULT = 1 << 3, /* of results and notes: too late to be judged by */
};

struct op_attr_info {
	const char *name;
	enum op_attr_type type;
	unsigned places;
	const char *what;
};

/* One line each: */
/* clang-format off */
static const struct op_attr_info op_attr_infos[] = {
	/* SQL: docs/protocols/postgres-sql.md */
	{ "action", OP_ATTR_TEXT, OP_ON_POSTGRES | OP_ON_HTTP, "what an ALTER does: drop column, rename, owner …; of a cloud's API: its method" },
	{ "cascade", OP_ATTR_BOOL, OP_ON_POSTGRES, "DROP or TRUNCATE … CASCADE" },
	{ "cursor", OP_ATTR_BOOL, OP_ON_POSTGRES, "DECLARE CURSOR" },
	{ "direction", OP_ATTR_TEXT, OP_ON_POSTGRES, "of COPY: from, to" },
	{ "explain", OP_ATTR_TEXT, OP_ON_POSTGRES, "plan, or analyze, which runs the statement" },
	{ "into", OP_ATTR_BOOL, OP_ON_POSTGRES, "SELECT INTO" },
	{ "limit", OP_ATTR_INT, OP_ON_POSTGRES, "a LIMIT that is a number" },
	{ "lock", OP_ATTR_TEXT, OP_ON_POSTGRES, "of SELECT … FOR: update, share …" },
	{ "object", OP_ATTR_TEXT, OP_ON_POSTGRES, "kind of object that is created, altered, dropped, granted" },
	{ "on_conflict", OP_ATTR_TEXT, OP_ON_POSTGRES, "of INSERT: update, nothing" },
	{ "password", OP_ATTR_BOOL, OP_ON_POSTGRES, "a role's password is set" },
	{ "program", OP_ATTR_BOOL, OP_ON_POSTGRES, "COPY … PROGRAM" },
	{ "resolved", OP_ATTR_BOOL, OP_ON_POSTGRES, "every relation is known from a catalogue" },
	{ "returning", OP_ATTR_BOOL, OP_ON_POSTGRES, "a write with RETURNING" },
	{ "role", OP_ATTR_BOOL, OP_ON_POSTGRES, "SET ROLE, SET SESSION AUTHORIZATION" },
	{ "search_path", OP_ATTR_BOOL, OP_ON_POSTGRES, "search_path is set" },
	{ "superuser", OP_ATTR_BOOL, OP_ON_POSTGRES, "a role becomes superuser" },
	{ "unknown_by", OP_ATTR_TEXT, OP_ON_POSTGRES, "\"functions\": unknown for nothing but functions of somebody's own" },
	{ "verbs", OP_ATTR_TEXT, OP_ON_POSTGRES, "several verbs that write, in one statement" },
	{ "where", OP_ATTR_BOOL, OP_ON_POSTGRES, "UPDATE or DELETE with a WHERE that depends on the row" },
	/* PostgreSQL's protocol: docs/protocols/postgres.md */
	{ "application_name", OP_ATTR_TEXT, OP_ON_POSTGRES, "of the login" },
	{ "database", OP_ATTR_TEXT, OP_ON_POSTGRES, "of the login" },
	{ "minor", OP_ATTR_INT, OP_ON_POSTGRES | OP_ON_RESULT, "of the protocol's version" },
	{ "options", OP_ATTR_TEXT, OP_ON_POSTGRES, "of the login" },
	{ "phase", OP_ATTR_TEXT, OP_ON_POSTGRES, "of a prepared statement: parse, bind" },
	{ "pid", OP_ATTR_INT, OP_ON_POSTGRES | OP_ON_RESULT, "of the session that a CancelRequest is for" },
	{ "portal", OP_ATTR_TEXT, OP_ON_POSTGRES, "its name" },
	{ "replication", OP_ATTR_BOOL, OP_ON_POSTGRES, "a login for replication" },
	{ "statement", OP_ATTR_TEXT, OP_ON_POSTGRES, "a prepared statement's name" },
	{ "uncertain", OP_ATTR_BOOL, OP_ON_POSTGRES, "what a name stands for may have changed unseen" },
	{ "user", OP_ATTR_TEXT, OP_ON_POSTGRES, "of the login" },
	/* HTTP: docs/protocols/http.md */
	{ "auth", OP_ATTR_TEXT, OP_ON_HTTP | OP_ON_RESULT, "scheme of Authorization" },
	{ "body_ambiguous", OP_ATTR_BOOL, OP_ON_HTTP, "servers may read the body in different ways" },
	{ "body_bytes", OP_ATTR_INT, OP_ON_HTTP, "of the body that was looked into" },
	{ "body_cut", OP_ATTR_BOOL, OP_ON_HTTP, "the body cannot be looked into" },
	{ "chunked", OP_ATTR_BOOL, OP_ON_HTTP, "content of unknown length" },
	{ "content_length", OP_ATTR_INT, OP_ON_HTTP, "bytes" },
	{ "content_type", OP_ATTR_TEXT, OP_ON_HTTP | OP_ON_RESULT, "of the request's content" },
	{ "expect", OP_ATTR_TEXT, OP_ON_HTTP, "Expect" },
	{ "graphql_batch", OP_ATTR_INT, OP_ON_HTTP, "operations in one request" },
	{ "graphql_name", OP_ATTR_TEXT, OP_ON_HTTP, "of the operation" },
	{ "graphql_persisted", OP_ATTR_BOOL, OP_ON_HTTP, "the operation's text is with the server" },
	{ "graphql_type", OP_ATTR_TEXT, OP_ON_HTTP, "query, mutation, subscription" },
	{ "host", OP_ATTR_TEXT, OP_ON_HTTP, "that the request names, without its port" },
	{ "host_checked", OP_ATTR_BOOL, OP_ON_HTTP, "that host is known to have the address that was dialled" },
	{ "method_override", OP_ATTR_TEXT, OP_ON_HTTP, "X-HTTP-Method-Override and its like" },
	{ "path", OP_ATTR_TEXT, OP_ON_HTTP, "normalised" },
	{ "path_ambiguous", OP_ATTR_BOOL, OP_ON_HTTP, "servers may read the path in different ways" },
	{ "port", OP_ATTR_INT, OP_ON_HTTP, "that the request names" },
	{ "query", OP_ATTR_TEXT, OP_ON_HTTP, "behind the path, as sent" },
	{ "query_ambiguous", OP_ATTR_BOOL, OP_ON_HTTP, "servers may read the query in different ways" },
	{ "raw_path", OP_ATTR_TEXT, OP_ON_HTTP, "as sent" },
	{ "scheme", OP_ATTR_TEXT, OP_ON_HTTP, "of an absolute target" },
	{ "upgrade", OP_ATTR_TEXT, OP_ON_HTTP, "Upgrade" },
	{ "url_override", OP_ATTR_TEXT, OP_ON_HTTP, "X-Original-URL and its like" },
	{ "user_agent", OP_ATTR_TEXT, OP_ON_HTTP, "User-Agent" },
	{ "version", OP_ATTR_TEXT, OP_ON_HTTP, "of HTTP" },
	/* APIs of clouds and Kubernetes: docs/protocols/http.md */
	{ "cloud", OP_ATTR_TEXT, OP_ON_HTTP, "whose API: gcp, aws, k8s" },
	{ "name", OP_ATTR_TEXT, OP_ON_HTTP | OP_ON_RESULT, "of the resource" },
	{ "namespace", OP_ATTR_TEXT, OP_ON_HTTP, "namespace; of an object, its bucket" },
	{ "project", OP_ATTR_TEXT, OP_ON_HTTP, "the project" },
	{ "region", OP_ATTR_TEXT, OP_ON_HTTP, "region or zone" },
	{ "resource", OP_ATTR_TEXT, OP_ON_HTTP, "kind of resource" },
	{ "service", OP_ATTR_TEXT, OP_ON_HTTP, "of the cloud" },
	{ "subresource", OP_ATTR_TEXT, OP_ON_HTTP, "exec, log, status …" },
	/* Results and notes only */
	{ "bytes", OP_ATTR_INT, OP_ON_RESULT, "sent to the client" },
	{ "bytes_to_client", OP_ATTR_INT, OP_ON_RESULT, "" },
	{ "bytes_to_server", OP_ATTR_INT, OP_ON_RESULT, "" },
	{ "channel", OP_ATTR_TEXT, OP_ON_RESULT, "of a notification" },
	{ "interrupted", OP_ATTR_BOOL, OP_ON_RESULT, "cut off" },
	{ "lost", OP_ATTR_BOOL, OP_ON_RESULT, "never answered" },
	{ "message", OP_ATTR_TEXT, OP_ON_RESULT, "" },
	{ "payload", OP_ATTR_TEXT, OP_ON_RESULT, "of a notification" },
	{ "refused", OP_ATTR_BOOL, OP_ON_RESULT, "by Weir" },
	{ "rows", OP_ATTR_INT, OP_ON_RESULT, "" },
	{ "severity", OP_ATTR_TEXT, OP_ON_RESULT, "" },
	{ "skipped", OP_ATTR_BOOL, OP_ON_RESULT, "behind an error" },
	{ "sqlstate", OP_ATTR_TEXT, OP_ON_RESULT, "" },
	{ "status", OP_ATTR_INT, OP_ON_RESULT, "of HTTP" },
	{ "tag", OP_ATTR_TEXT, OP_ON_RESULT, "of PostgreSQL" },
	{ "value", OP_ATTR_TEXT, OP_ON_RESULT, "of a parameter" },
};
/* clang-format on */

#endif
