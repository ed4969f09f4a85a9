// SPDX-License-Identifier: Apache-2.0
/*
 * Policy texts that nobody wrote. Whatever compiles is asked for targets, agents and verdicts; the
 * index must agree with asking each rule in turn. Errors must stand in the text and be one line.
 */
#include <assert.h>
#include <errno.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice no_name(void *ctx, const struct addr *a, size_t i)
{
	return i == 0 ? SLICE("db.internal") : SLICE_NONE;
}

static void judge(const struct policy *p, const struct policy_target *t, const struct identity *id,
		  const struct op *op)
{
	struct verdict got, want = { 0 }, one;
	size_t n = policy_rule_count(p);
	unsigned risk = 0;
	bool found = false;

	policy_decide(p, t, id, op, NULL, 0, &got);
	assert(got.rule && got.risk <= POLICY_RISK_MAX);
	assert((got.kind == VERDICT_HOLD) == (got.hold != NULL));
	for (size_t i = 0; i < n; i++) {
		if (!policy_rule_matches(p, i, t, id, op, &one))
			continue;
		risk += one.risk;
		if (!found && policy_rule_decides(p, i)) {
			want = one;
			found = true;
		}
	}
	assert(got.risk >= MIN(risk, (unsigned)POLICY_RISK_MAX));
	if (found)
		assert(got.kind == want.kind && strcmp(got.rule, want.rule) == 0);
	else
		assert(strcmp(got.rule, "default") == 0 || strncmp(got.rule, "target:", 7) == 0);
}

/* The text itself is the body, so that paths and values meet what they may ask for. */
static void use(const struct policy *p, const struct identity *id, struct slice text)
{
	static const struct op_object objects[] = {
		{ "table", { (const uint8_t *)"public.users", 12 }, OP_READ | OP_WRITE },
		{ "path", { (const uint8_t *)"/v1/users/4", 11 }, OP_DELETE },
		{ "function", { (const uint8_t *)"f", 1 }, OP_EXEC | OP_UNKNOWN },
	};
	static const char *const protocols[] = { "postgres", "http", "tcp", "ssh" };
	static const char *const verbs[] = { "DELETE", "DROP", "get", "" };
	const struct op_query query = { SLICE("a"), slice_head(text, 8) };
	const struct op_header header = { SLICE("x-a"), slice_head(text, 8) };
	const struct policy_names names = { no_name, NULL };
	struct addr a = addr_v4(0x0100007f, 0x3815);
	const struct policy_target *t = policy_target_match(p, &a, &names);
	struct policy_session ps = { 0 };
	struct verdict v;

	for (unsigned i = 0; i < 64; i++) {
		struct op_attr attrs[] = {
			{ .key = "where", .type = OP_ATTR_BOOL, .b = i & 1 },
			{ .key = "path_ambiguous", .b = i & 2 },
			{ .key = "unknown_by", .type = OP_ATTR_TEXT, .s = SLICE("functions") },
			{ .key = "content_length", .type = OP_ATTR_INT, .i = (int64_t)text.len },
		};
		struct op op = { .protocol = protocols[i & 3],
				 .verb = slice_str(verbs[i >> 2 & 3]),
				 .effects = 1u << i % OP_EFFECT_COUNT,
				 .objects = objects,
				 .n_objects = i >> 4 & 3,
				 .attrs = attrs,
				 .n_attrs = i % 5,
				 .queries = &query,
				 .n_queries = i & 1,
				 .headers = &header,
				 .n_headers = i >> 1 & 1,
				 .body = i % 3 ? text : SLICE_NONE,
				 .body_cut = i % 7 == 0,
				 .text = text,
				 .text_cut = i % 5 == 0 };

		judge(p, i & 1 ? t : NULL, i & 4 ? id : NULL, &op);
		policy_decide(p, t, id, &op, &ps, i * 1000000000ULL, &v);
		policy_session_result(&ps, text.len, i, i * 1000000000ULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_source source = { "fuzz", { data, size } };
	const struct identity id = { .cgroup_path = "/agents.slice/a/b",
				     .container = "orders-1",
				     .image = "x/y:1",
				     .exe = "/bin/sh" };
	struct policy_set *set = NULL;
	struct policy_err err = { 0 };
	int r = policy_set_compile(&source, 1, &set, &err);

	if (r < 0) {
		assert(r == -EINVAL || r == -EMSGSIZE);
		assert(!set && err.message[0] && !strchr(err.message, '\n'));
		assert(err.line >= 1 && err.column >= 1 && err.line <= size + 1);
		return 0;
	}
	(void)policy_set_match(set, &id); /* any answer is fine */
	use(policy_set_at(set, 0), &id, source.json);
	(void)policy_set_unref(set); /* returns NULL */
	return 0;
}
