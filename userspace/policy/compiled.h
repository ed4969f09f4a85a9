/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is after compilation: immutable, all memory from its one arena. */
#ifndef WEIR_POLICY_COMPILED_H
#define WEIR_POLICY_COMPILED_H

#include "base/sha256.h"
#include "json_path.h"
#include "op_attrs.h"
#include "pattern.h"

enum {
	POLICY_VALUES_MAX = 1000 * 1000, /* JSON values: "[0,0,0,…" costs twenty times its text */
	POLICY_MEMORY_MAX = 512 * 1024 * 1024,
	POLICY_OBJECTS_MAX = 4096, /* of one operation: judging costs objects times patterns */
	POLICY_WARNINGS_MAX = 100,
	VERBS_INDEXED = 64, /* different verbs that get a bit of their own */
	VERB_MAX = 64,      /* bytes */
	VERB_SLOTS = 128,
	PREFIX_PARTS = 8,              /* components of a path by which rules are found */
	TARGET_BITS_MAX = 1024 * 1024, /* 64-bit words spent on rules by target, at most */
};

enum protocol { PROTOCOL_POSTGRES, PROTOCOL_HTTP, PROTOCOL_TCP, PROTOCOL_COUNT };
extern const char *const policy_protocol_names[PROTOCOL_COUNT];

/* Whom something is for; what is not given is any. */
struct agent {
	struct slice cgroup;                  /* glob */
	unsigned depth;                       /* literal components of it */
	struct pattern container, image, exe; /* no text: any */
	struct agent_label {
		const char *key;
		struct pattern value;
	} * labels;
	size_t n_labels;
	uint32_t *uids;
	size_t n_uids;
};
struct agent_list {
	struct agent *at;
	size_t n;
};

enum host_kind { HOST_RANGE, HOST_NAME, HOST_ANY };

struct host {
	enum host_kind kind;
	uint32_t rank; /* the higher the more specific */
	struct addr_range range;
	struct pattern name;
};

struct port_range {
	uint16_t low, high;
};

struct target {
	struct policy_target public; /* first: callers hold pointers to it */
	struct host *hosts;
	size_t n_hosts;
	struct port_range *ports;
	size_t n_ports;             /* 0 = any */
	int fallback;               /* enum verdict_kind, or -1: the policy's */
	const char *rule, *message; /* of the fallback's verdict */
};

/* A fact that is found by a key: an attribute, a query's or header's value, a value in a body. */
struct keyed_cond {
	struct slice key;      /* NUL-terminated */
	struct json_path path; /* "json" */
	struct pattern_list values;
};
struct keyed_list {
	struct keyed_cond *at;
	size_t n;
};

/* What is counted against "rate" and "quota". */
enum measure { MEASURE_OPS, MEASURE_ROWS, MEASURE_BYTES, MEASURE_COUNT };
struct meter {
	uint64_t key; /* equal for equal rules of different snapshots */
	enum measure measure;
	uint64_t limit, per_ns; /* per_ns 0: the session */
	uint32_t rule;
};

/* All conditions given must hold; an empty one is none. */
struct rule {
	const char *id, *message;
	enum verdict_kind verdict;
	bool decides;  /* has a verdict; else it only adds to the risk */
	uint8_t meter; /* 1 + index into policy.meters; 0 = none */
	unsigned risk; /* what it adds */
	struct verdict_hold hold;
	uint32_t protocols;       /* bits 1 << enum protocol; 0 = any */
	uint32_t effects, access; /* OP_* bits; 0 = any */
	uint64_t verb_bits;       /* of the indexed ones */
	struct slice *verbs;
	size_t n_verbs;    /* 0 = any */
	uint32_t *targets; /* indices, rising */
	size_t n_targets;
	struct pattern_list objects, paths, hosts, texts;
	struct keyed_list attrs, queries, headers, bodies;
	struct agent_list clients;
	uint64_t size_min, size_max;         /* bytes of content or text; 0, UINT64_MAX = any */
	uint64_t risk_min, session_risk_min; /* 0 = any */
	uint32_t place;                      /* index into the document's list */
};

/* "functions" of a policy, by name. */
struct function {
	struct slice name;
	uint32_t effects;
};

/* Rules by the hash of a literal that they ask for: entries of bucket b from start[b] on. */
struct posting {
	uint64_t hash;
	uint32_t rule;
};
struct postings {
	uint32_t *start; /* mask + 2 of them; NULL = no entries */
	struct posting *entries;
	uint32_t mask;
	uint64_t lengths; /* of literal heads or tails in use, as bits */
};

/* By what a rule is found: each of its patterns has such a key. */
enum found_by {
	FOUND_NAME, /* an object by the last part of its name */
	FOUND_HEAD, /* … by how that begins */
	FOUND_TAIL, /* … by how it ends */
	FOUND_FILE, /* by any object whose name is a path: nothing more is known of it */
	FOUND_PATH, /* by components at the head of the path */
	FOUND_COUNT
};

/* Sets of rules as bits, `words` long each. Bit i is rules[i]. */
struct index {
	size_t words;
	bool scores;        /* of the rules that add to the risk; else of those with a verdict */
	bool any;           /* has rules at all */
	uint64_t *general;  /* found by no posting */
	uint64_t *path_all; /* with a condition on the path */
	uint64_t *protocol[PROTOCOL_COUNT + 1]; /* the last: for protocols that nobody names */
	uint64_t *effect[OP_EFFECT_COUNT];
	uint64_t *verb[VERBS_INDEXED + 1]; /* the last: for verbs without a bit */
	uint64_t **target;                 /* by target, NULL when that would be too large */
	uint64_t *no_target;               /* rules that name none */
	struct postings found[FOUND_COUNT];
};

/* Verbs that rules name, as numbers. */
struct verb_table {
	struct slice names[VERBS_INDEXED];
	size_t n;
	uint8_t slots[VERB_SLOTS]; /* 1 + index into names, open addressing */
};

struct policy {
	struct arena arena;
	struct regex_group regexes;
	uint64_t serial; /* unique in this process */
	const char *name;
	enum policy_mode mode;
	enum verdict_kind fallback;
	const char *refused, *held, *limited; /* messages for verdicts without one of their own */
	uint8_t hash[SHA256_LEN];
	struct slice text;
	struct agent_list agents;
	struct target *targets;
	size_t n_targets;
	struct function *functions;
	size_t n_functions;
	struct rule *rules; /* most restrictive first, then by id: the first match is the verdict */
	size_t n_rules;
	struct meter meters[POLICY_METERS_MAX];
	size_t n_meters;
	bool wants_body;
	struct verb_table verbs;
	struct index index, scores;
	struct policy_warning *warnings;
	size_t n_warnings;
	bool composed;
};

/* The text of the policy that several make together (heap, the caller frees it). 0 or -ENOMEM. */
int policy_compose(const struct policy *const *members, size_t n, char **ret_text) __must_check;

/* Target names in order, for looking them up while compiling. */
struct target_name {
	const char *name;
	uint32_t index;
};

int policy_targets_load(struct load *l, const struct place *at, const json_t *v,
			struct policy *p) __must_check;
int policy_agents_load(struct load *l, const struct place *at, const json_t *v, const char *what,
		       struct agent_list *ret) __must_check;
int policy_functions_load(struct load *l, const struct place *at, const json_t *v,
			  struct policy *p) __must_check;
/* Behind policy_targets_load. */
int policy_rules_load(struct load *l, const struct place *at, const json_t *v,
		      struct policy *p) __must_check;
/* l->narrow says what the rule's verdict is. */
int policy_conditions_load(struct load *l, const struct place *at, const json_t *v,
			   const struct policy *p, const struct target_name *names,
			   struct rule *ret, struct meter *ret_meter) __must_check;
/* What is compared by key. */
enum keyed_kind { KEYED_ATTR, KEYED_QUERY, KEYED_HEADER, KEYED_BODY };
int policy_keyed_load(struct load *l, const struct place *at, const json_t *v, enum keyed_kind kind,
		      struct keyed_list *ret) __must_check;
/* Behind policy_conditions_load: -EINVAL for a rule that no operation can match. */
int policy_rule_check(struct load *l, const struct place *when, const struct policy *p,
		      const struct rule *rule) __must_check;
/* Warns of rules that a more restrictive one hides wholly; behind policy_rules_load. */
int policy_shadows_find(struct load *l, const struct place *rules, struct policy *p) __must_check;
/* Behind policy_rules_load. */
int policy_index_build(struct policy *p) __must_check;

int policy_warning_add(struct load *l, struct policy *p, const struct place *at, const char *fmt,
		       ...) __must_check __printf_like(4, 5);
/* What stands in a policy and is likely not meant; behind policy_rules_load. */
int policy_warnings_find(struct load *l, struct policy *p) __must_check;

/* How agents match: -1, or the depth of the pattern that did. */
int policy_agents_match(const struct agent_list *agents, const struct identity *id);
/* The same for a condition of a rule: broadly, an unknown program or user could be any. */
bool policy_clients_match(const struct agent_list *clients, const struct identity *id,
			  enum manner how);

/* keyed.c */
bool policy_attrs_match(const struct keyed_list *list, const struct op *op, enum manner how);
bool policy_queries_match(const struct keyed_list *list, const struct op *op, enum manner how);
bool policy_headers_match(const struct keyed_list *list, const struct op *op, enum manner how);
bool policy_bodies_match(const struct keyed_list *list, const struct op *op, enum manner how);
bool policy_size_match(const struct rule *r, const struct op *op, enum manner how);

/* meters.c: finds the session's meters for this policy. */
void policy_session_bind(struct policy_session *ps, const struct policy *p);
/* Counts n now, and says whether the limit is passed by that. */
void policy_meter_add(struct policy_meter *m, uint64_t n, uint64_t now_ns);
bool policy_meter_over(const struct meter *spec, struct policy_meter *m, uint64_t now_ns);
uint64_t policy_meter_key(const struct rule *r, const struct meter *m);

/* functions.c: what is declared of a function, or NULL. */
const struct function *policy_function_find(const struct policy *p, struct slice name);
/* An operation's effects, with declared functions in place of unknown ones where that is all that is
 * unknown about it. */
uint32_t policy_functions_effects(const struct policy *p, const struct op *op, bool *ret_applies);

/* The bit's index for a verb, VERBS_INDEXED for others. */
unsigned policy_index_verb(const struct verb_table *t, struct slice verb);
/* FNV-1a over folded bytes. The keys are the operator's, so nobody can aim at a bucket. */
#define INDEX_HASH_START 0xcbf29ce484222325ULL
static inline uint64_t index_hash_step(uint64_t h, uint8_t c)
{
	return (h ^ (c >= 'A' && c <= 'Z' ? c | 0x20u : c)) * 0x100000001b3ULL;
}
static inline uint64_t index_hash(struct slice s)
{
	uint64_t h = INDEX_HASH_START;

	for (size_t i = 0; i < s.len; i++)
		h = index_hash_step(h, s.ptr[i]);
	return h;
}

static inline enum manner rule_manner(const struct rule *r)
{
	return r->decides && r->verdict == VERDICT_ALLOW ? NARROW : BROAD;
}

#endif
