/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: (operation, identity, target) → verdict. Compiled from JSON (docs/man/weir-policy.5) into
 * an immutable snapshot that many threads read at once; every slice and string that comes out of a
 * snapshot lives as long as a reference to it is held. No I/O, no clock, no log.
 */
#ifndef WEIR_POLICY_H
#define WEIR_POLICY_H

#include "base/addr.h"
#include "identity.h"
#include "op.h"

/* Limits of one policy text; each is an error with its place when exceeded. */
enum {
	POLICY_TEXT_MAX = 16 * 1024 * 1024, /* bytes: a file that eats memory */
	POLICY_RULES_MAX = 10000,
	POLICY_TARGETS_MAX = 10000,
	POLICY_LIST_MAX = 10000, /* entries of one list in a condition */
	POLICY_DEPTH_MAX = 32,   /* nesting of JSON */
	POLICY_RISK_MAX = 1000,  /* of one operation; scores end there */
	POLICY_FUNCTIONS_MAX = 10000,
};

enum policy_mode { POLICY_ENFORCE, POLICY_OBSERVE };

/*
 * Whether an entry of a directory of policies is one of them: *.json, not hidden, and not schema.json,
 * the language's own schema. All who read directories ask here, so that what is checked is what is
 * loaded; they read the files in order of their names.
 */
bool policy_is_file_name(const char *name);

/* One text to compile. name is what errors call it (a file name); both are only read. */
struct policy_source {
	const char *name;
	struct slice json;
};

/* The first thing wrong. line and column count from 1, column in characters; 0 = the whole text. */
struct policy_err {
	char source[256]; /* policy_source.name, cut to fit */
	unsigned line, column;
	char message[512]; /* what is wrong and what was expected, no newline */
};

struct policy_set; /* a snapshot: all policies of a daemon */
struct policy;     /* one of them */

/*
 * Compiles all sources into a snapshot with one reference. 0; -EINVAL with *reterr filled (bad JSON,
 * unknown key, wrong type, duplicate name or rule id, a pattern that does not compile …); -EMSGSIZE
 * with *reterr over a limit; -ENOMEM.
 */
int policy_set_compile(const struct policy_source *sources, size_t n, struct policy_set **ret,
		       struct policy_err *reterr) __must_check;
struct policy_set *policy_set_ref(struct policy_set *set);
/* Threads may give back references at the same time. Returns NULL. */
struct policy_set *policy_set_unref(struct policy_set *set);

size_t policy_set_count(const struct policy_set *set);
const struct policy *policy_set_at(const struct policy_set *set, size_t i);
const struct policy *policy_set_find(const struct policy_set *set, struct slice name);

/*
 * The policy for an identity by the "agents" of each: of those that match, the one whose pattern
 * names the deepest cgroup (most literal path components) wins. Several that are equally near hold
 * together, as one policy with the targets and rules of all ("a.b"), made when first asked for and
 * kept with the set. NULL when none matches, or when they cannot hold together (more than the limits
 * of one policy, or no memory): the caller refuses everything. Threads may ask at the same time.
 */
const struct policy *policy_set_match(const struct policy_set *set, const struct identity *id);

/* Whether the answer depends on the user or program of a connection, not on its cgroup alone. */
bool policy_set_per_connection(const struct policy_set *set);
/* Whether any "agents" or "client" looks at the program, which it takes a look at /proc to know. */
bool policy_set_wants_exe(const struct policy_set *set);

const char *policy_name(const struct policy *p);
enum policy_mode policy_get_mode(const struct policy *p);
/* SHA-256 of the source text, 32 bytes: recorded with every session. */
const uint8_t *policy_hash(const struct policy *p);
/* The source text, to be kept in the store. */
struct slice policy_text(const struct policy *p);
/* Made of several by policy_set_match: its text stands in no file, keep it with the records. */
bool policy_is_composed(const struct policy *p);

/* Whether rules look into bodies: HTTP handlers then need a proto_limits.body_max. */
bool policy_wants_body(const struct policy *p);

/* What compiles and is likely not meant. Line and column as in policy_err. */
struct policy_warning {
	unsigned line, column;
	char message[512];
};
/* The i-th, at most 100; NULL behind the last. */
const struct policy_warning *policy_warning_at(const struct policy *p, size_t i);

/* A target: where an agent may go and what is spoken there. */
struct policy_target {
	const char *name;
	const char *protocol; /* "postgres", "http", "tcp", or NULL: sniff */
	bool relay_opaque;    /* "opaque": "relay": what a handler cannot understand (an upgrade, a
				 CONNECT tunnel) is relayed raw; otherwise the session ends */
};

/*
 * The names by which an address is known (DNS answers, resolved policy names), for "hosts" that
 * are names. Called during a match; returns the i-th name or SLICE_NONE behind the last.
 */
struct policy_names {
	struct slice (*at)(void *ctx, const struct addr *a, size_t i);
	void *ctx;
};

/*
 * The target for an address, or NULL: connection refused. The most specific host wins (literal over
 * name over wildcard name over range by prefix length over "*"), then one that names the port, then
 * the first. The unspecified address counts as loopback, which is where the kernel takes it.
 */
const struct policy_target *policy_target_match(const struct policy *p, const struct addr *dst,
						const struct policy_names *names);

/* All targets, in the order of the text; NULL behind the last. */
size_t policy_target_count(const struct policy *p);
const struct policy_target *policy_target_at(const struct policy *p, size_t i);

/* Every host in "hosts" of all policies that is a plain name (no literal, range or wildcard), to be
 * resolved by the daemon. SLICE_NONE behind the last. */
struct slice policy_set_host_name(const struct policy_set *set, size_t i);

/*
 * What a session has done so far, for conditions on its risk, rates and quotas. The caller keeps one
 * for each session, zeroed at its start, and uses it from one thread at a time. Counters never wrap.
 */
enum { POLICY_METERS_MAX = 16, POLICY_METER_SLICES = 8 };
struct policy_session {
	uint64_t risk; /* of all operations asked for, refused ones too */
	uint64_t ops;
	uint64_t rows, bytes; /* of all results */
	/* Private: one meter for each rule with a "rate" or "quota". A new snapshot finds those that
	 * it still has by key. */
	uint64_t _serial;
	size_t _n_meters;
	struct policy_meter {
		uint64_t key;
		uint64_t slice_ns; /* 0: the whole session */
		uint64_t slice;    /* number of the newest slice */
		uint64_t counts[POLICY_METER_SLICES];
		unsigned measure;
	} _meters[POLICY_METERS_MAX];
};

/* An answer came: so many bytes and rows went to the client. now_ns as in policy_decide. */
void policy_session_result(struct policy_session *ps, uint64_t bytes, uint64_t rows,
			   uint64_t now_ns);

/*
 * Judges one operation. Always fills *ret: of all matching rules the most restrictive wins (block
 * over hold over allow; among equals the first by id), with no match the target's default, then the
 * policy's, which is block when not given (rule is then "target:NAME" or "default"; "limit" for an
 * operation with too many objects, which is blocked). mode is not looked at here: the caller passes
 * on what "observe" would have blocked. Nothing is allocated, but for a thread's first regular
 * expression of a snapshot; when that fails, restrictions count as matching and permissions as not.
 *
 * A restriction (block, hold) is read broadly, a permission (allow) narrowly: the first holds when
 * any effect or object is listed, whatever the case of letters and with or without the schema; the
 * second when all are, exactly. t may be NULL (no target), id too (nobody is known).
 *
 * ps counts this operation as asked for: call once for each. NULL is a session that has done nothing
 * yet and is not remembered. now_ns is any clock that never goes back.
 */
void policy_decide(const struct policy *p, const struct policy_target *t, const struct identity *id,
		   const struct op *op, struct policy_session *ps, uint64_t now_ns,
		   struct verdict *ret);

/*
 * For explaining: whether the i-th rule (of policy_rule_count, most restrictive first) matches on its
 * own, in a session that has done nothing yet; *ret is then its verdict, risk what it adds to the
 * score. A rule without a verdict, which only adds risk, says VERDICT_ALLOW.
 */
size_t policy_rule_count(const struct policy *p);
bool policy_rule_matches(const struct policy *p, size_t i, const struct policy_target *t,
			 const struct identity *id, const struct op *op, struct verdict *ret);
/* Whether the i-th rule has a verdict of its own. */
bool policy_rule_decides(const struct policy *p, size_t i);

#endif
