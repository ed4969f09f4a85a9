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

static void judge(const struct policy *p, const struct policy_target *t, const struct op *op)
{
	struct verdict got, want = { 0 };
	size_t i, n = policy_rule_count(p);

	policy_decide(p, t, NULL, op, NULL, 0, &got);
	assert(got.rule);
	for (i = 0; i < n; i++)
		if (policy_rule_matches(p, i, t, NULL, op, &want))
			break;
	if (i < n)
		assert(got.kind == want.kind && strcmp(got.rule, want.rule) == 0);
	else
		assert(strcmp(got.rule, "default") == 0 || strncmp(got.rule, "target:", 7) == 0);
}

static void use(const struct policy *p)
{
	static const struct op_object objects[] = {
		{ "table", { (const uint8_t *)"public.users", 12 }, OP_READ | OP_WRITE },
		{ "path", { (const uint8_t *)"/v1/users/4", 11 }, OP_DELETE },
	};
	static const char *const protocols[] = { "postgres", "http", "tcp", "ssh" };
	static const char *const verbs[] = { "DELETE", "DROP", "get", "" };
	const struct policy_names names = { no_name, NULL };
	struct addr a = addr_v4(0x0100007f, 0x3815);
	const struct policy_target *t = policy_target_match(p, &a, &names);

	for (unsigned i = 0; i < 64; i++) {
		struct op_attr attrs[] = { { .key = "where", .type = OP_ATTR_BOOL, .b = i & 1 },
					   { .key = "path_ambiguous", .b = i & 2 } };
		struct op op = { .protocol = protocols[i & 3],
				 .verb = slice_str(verbs[i >> 2 & 3]),
				 .effects = 1u << i % OP_EFFECT_COUNT,
				 .objects = objects,
				 .n_objects = i >> 4 & 3,
				 .attrs = attrs,
				 .n_attrs = i % 3 };

		if (op.n_objects > ARRAY_SIZE(objects))
			op.n_objects = ARRAY_SIZE(objects);
		judge(p, i & 1 ? t : NULL, &op);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_source source = { "fuzz", { data, size } };
	const struct identity id = { .cgroup_path = "/agents.slice/a/b", .container = "orders-1" };
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
	use(policy_set_at(set, 0));
	(void)policy_set_unref(set); /* returns NULL */
	return 0;
}
