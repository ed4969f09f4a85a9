/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is after compilation: immutable, all memory from its one arena. */
#ifndef WEIR_POLICY_COMPILED_H
#define WEIR_POLICY_COMPILED_H

#include "base/sha256.h"
#include "pattern.h"

enum {
	POLICY_VALUES_MAX = 1000 * 1000, /* JSON values: "[0,0,0,…" costs twenty times its text */
	POLICY_MEMORY_MAX = 512 * 1024 * 1024,
	POLICY_OBJECTS_MAX = 4096, /* of one operation: judging costs objects times patterns */
	POLICY_WARNINGS_MAX = 100,
	VERBS_INDEXED = 64, /* different verbs that get a bit of their own */
	VERB_MAX = 64, /* bytes */
	VERB_SLOTS = 128,
	PREFIX_PARTS = 8, /* components of a path by which rules are found */
	TARGET_BITS_MAX = 1024 * 1024, /* 64-bit words spent on rules by target, at most */
};

enum protocol { PROTOCOL_POSTGRES, PROTOCOL_HTTP, PROTOCOL_TCP, PROTOCOL_COUNT };
extern const char *const policy_protocol_names[PROTOCOL_COUNT];

struct agent {
	struct slice cgroup; /* glob; empty = any */
	unsigned depth; /* literal components of it */
	struct pattern container; /* text empty = any */
	struct agent_label {
		const char *key;
		struct pattern value;
	} * labels;
	size_t n_labels;
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
	size_t n_ports; /* 0 = any */
	int fallback; /* enum verdict_kind, or -1: the policy's */
	const char *rule, *message; /* of the fallback's verdict */
};

struct attr_cond {
	const char *key;
	struct pattern_list values; /* compared with the attribute's text */
};

/* All conditions given must hold; an empty one is none. */
struct rule {
	const char *id, *message;
	enum verdict_kind verdict;
	struct verdict_hold hold;
	uint32_t protocols; /* bits 1 << enum protocol; 0 = any */
	uint32_t effects, access; /* OP_* bits; 0 = any */
	uint64_t verb_bits; /* of the indexed ones */
	struct slice *verbs;
	size_t n_verbs; /* 0 = any */
	uint32_t *targets; /* indices, rising */
	size_t n_targets;
	struct pattern_list objects, paths, hosts;
	struct attr_cond *attrs;
	size_t n_attrs;
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
};

/* Sets of rules as bits, `words` long each. Bit i is rules[i]. */
struct index {
	size_t words;
	uint64_t *general; /* found by no posting */
	uint64_t *path_all; /* with a condition on the path */
	uint64_t *protocol[PROTOCOL_COUNT + 1]; /* the last: for protocols that nobody names */
	uint64_t *effect[OP_EFFECT_COUNT];
	uint64_t *verb[VERBS_INDEXED + 1]; /* the last: for verbs without a bit */
	uint64_t **target; /* by target, NULL when that would be too large */
	uint64_t *no_target; /* rules that name none */
	struct postings objects, prefixes;
	struct slice verb_names[VERBS_INDEXED];
	size_t n_verbs;
	uint8_t verb_slots[VERB_SLOTS]; /* 1 + index into verb_names, open addressing */
};

struct policy {
	struct arena arena;
	const char *name;
	enum policy_mode mode;
	enum verdict_kind fallback;
	const char *refused, *held, *limited; /* messages for verdicts without one of their own */
	uint8_t hash[SHA256_LEN];
	struct slice text;
	struct agent *agents;
	size_t n_agents;
	struct target *targets;
	size_t n_targets;
	struct rule *rules; /* most restrictive first, then by id: the first match is the verdict */
	size_t n_rules;
	struct index index;
	struct policy_warning *warnings;
	size_t n_warnings;
};

/* Target names in order, for looking them up while compiling. */
struct target_name {
	const char *name;
	uint32_t index;
};

int policy_targets_load(struct load *l, const struct place *at, const json_t *v,
			struct policy *p) __must_check;
int policy_agents_load(struct load *l, const struct place *at, const json_t *v,
		       struct policy *p) __must_check;
/* Behind policy_targets_load. */
int policy_rules_load(struct load *l, const struct place *at, const json_t *v,
		      struct policy *p) __must_check;
int policy_conditions_load(struct load *l, const struct place *at, const json_t *v,
			   const struct policy *p, const struct target_name *names,
			   struct rule *ret) __must_check;
/* Behind policy_rules_load. */
int policy_index_build(struct policy *p) __must_check;

int policy_warning_add(struct load *l, struct policy *p, const struct place *at, const char *fmt,
		       ...) __must_check __printf_like(4, 5);
/* What stands in a policy and is likely not meant; behind policy_rules_load. */
int policy_warnings_find(struct load *l, struct policy *p) __must_check;

/* How agents match: -1, or the depth of the pattern that did. */
int policy_agents_match(const struct policy *p, const struct identity *id);

/* The bit's index for a verb, VERBS_INDEXED for others. */
unsigned policy_index_verb(const struct index *x, struct slice verb);
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
	return r->verdict == VERDICT_ALLOW ? NARROW : BROAD;
}

#endif
