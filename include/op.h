/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operation: what a client asks for, whatever the protocol. Handlers speak it upward; policy,
 * approval, recording, console and search know nothing else.
 *
 * All slices and arrays inside of an operation are borrowed from the handler that made it and live
 * until its verdict is handed back (proto_class.decide) or the handler is freed.
 */
#ifndef WEIR_OP_H
#define WEIR_OP_H

#include "base/slice.h"

/*
 * What an operation can do, as bits. A handler never claims less than the bytes can have: what it
 * cannot see through gets OP_UNKNOWN beside whatever it does know. op_effect_names has the words
 * that policies and records use, in bit order.
 */
enum op_effect {
	OP_READ = 1 << 0,    /* looks at data */
	OP_WRITE = 1 << 1,   /* adds or changes data */
	OP_DELETE = 1 << 2,  /* takes data away */
	OP_SCHEMA = 1 << 3,  /* creates, alters or drops what holds data */
	OP_GRANT = 1 << 4,   /* roles, privileges, ownership */
	OP_EXEC = 1 << 5,    /* runs code or a program on the server */
	OP_FILE = 1 << 6,    /* touches the server's files */
	OP_NETWORK = 1 << 7, /* makes the server open connections, or opens a tunnel */
	OP_ADMIN = 1 << 8,   /* the server's configuration, replication, other sessions */
	OP_SESSION = 1 << 9, /* only this session's state: login, SET, BEGIN */
	OP_UNKNOWN = 1 << 10,
};
enum { OP_EFFECT_COUNT = 11 };
extern const char *const op_effect_names[OP_EFFECT_COUNT];

/* "read write" into out, in bit order, cut at size. Returns out. */
char *op_effects_format(uint32_t effects, char *out, size_t size);
/* The bit for a word, or 0. */
uint32_t op_effect_parse(struct slice word);

/*
 * Something that the operation touches. kind is one of the handler's words: "table" (also views and
 * sequences, schema-qualified where the text is: "public.users", else "users"), "function",
 * "schema", "role", "database", "file", "program", "path", "host", "setting", …
 */
struct op_object {
	const char *kind; /* static */
	struct slice name;
	uint32_t access; /* OP_* bits, what happens to this object */
};

enum op_attr_type { OP_ATTR_BOOL, OP_ATTR_INT, OP_ATTR_TEXT };

/*
 * A named fact: where=false, status=404, host=…, user=…. Attributes of a result (rows, tag, status,
 * bytes) have the same form.
 */
struct op_attr {
	const char *key; /* static */
	enum op_attr_type type;
	union {
		bool b;
		int64_t i;
		struct slice s;
	};
};

/* One bound parameter as text; binary values of types that are not decoded come as "\\x…" hex. */
struct op_param {
	bool null;
	struct slice text;
};

/* One header field of a request. */
struct op_header {
	struct slice name;  /* lower case */
	struct slice value; /* as sent, without the spaces around it; empty for credentials */
};

/* One "key=value" of a query, decoded. */
struct op_query {
	struct slice key, value;
};

struct op {
	uint64_t id;          /* unique and rising within one handler */
	const char *protocol; /* static: "postgres", "http", "tcp" */
	struct slice verb;    /* upper case for SQL and HTTP: "DELETE", "GET"; "CONNECT" … */
	uint32_t effects;     /* OP_* bits, never 0 */
	const struct op_object *objects;
	size_t n_objects;
	const struct op_attr *attrs;
	size_t n_attrs;
	const struct op_param *params;
	size_t n_params;
	/* HTTP: header fields in the order of the wire, and the query's pairs. Where there are more
	 * than the handler keeps, or servers could read them differently, effects have OP_UNKNOWN. */
	const struct op_header *headers;
	size_t n_headers;
	const struct op_query *queries;
	size_t n_queries;
	struct slice query; /* as sent, without the "?" */
	/* HTTP: the request's content without transfer and content codings, when it is JSON or a form
	 * and proto_limits.body_max lets it be held. body_cut: there is one of that kind that cannot
	 * be shown (too large, another coding); effects have OP_UNKNOWN then. */
	struct slice body;
	bool body_cut;
	unsigned risk;        /* of the operation's own; 0 from handlers */
	struct slice text;    /* as the client sent it; secrets (passwords) never appear */
	struct slice norm;    /* literals replaced; empty when the same as text */
	uint64_t fingerprint; /* of norm (or text), equal over restarts; 0 = none */
	bool text_cut;        /* text was longer than proto_limits.text_max and is its head */
};

const struct op_attr *op_attr_find(const struct op *op, const char *key);

/*
 * Verdicts, the more restrictive the larger: the maximum of several is what counts. Hold needs an
 * approval before it becomes allow.
 */
enum verdict_kind { VERDICT_ALLOW, VERDICT_HOLD, VERDICT_BLOCK };
enum { VERDICT_COUNT = 3 };
extern const char *const verdict_names[VERDICT_COUNT]; /* "allow", "hold", "block" */

/* How a hold is to be answered. */
struct verdict_hold {
	unsigned count;        /* different people who must approve, at least 1 */
	bool remember_session; /* the same fingerprint passes without asking to the session's end, */
	uint64_t remember_ns;  /* or for so long; both 0: each operation is asked for */
	uint64_t timeout_ns;   /* unanswered for so long it is denied */
};

struct verdict {
	enum verdict_kind kind;
	/* The deciding rule's id, or what stood in for a rule: "default", "target:NAME". Borrowed
	 * from the policy snapshot (or static). */
	const char *rule;
	/* For people: the rule's message or one made for it; NULL = none. Same life as rule. */
	const char *message;
	unsigned risk; /* score of the operation, filled by policy_decide */
	const struct verdict_hold
		*hold; /* kind is HOLD: never NULL from a policy; same life as rule */
};

#endif
