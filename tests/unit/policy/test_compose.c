// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "policy/policy.h"

static struct policy_set *compile(const char *const *texts, size_t n)
{
	struct policy_source sources[8];
	struct policy_set *set;
	struct policy_err err;

	for (size_t i = 0; i < n; i++)
		sources[i] = (struct policy_source){ "test.json", slice_str(texts[i]) };
	if (policy_set_compile(sources, n, &set, &err) < 0)
		fail_msg("%s:%u:%u: %s", err.source, err.line, err.column, err.message);
	return set;
}

static const struct policy *match(const struct policy_set *set, const char *cgroup)
{
	const struct identity id = { .cgroup_path = cgroup,
				     .boot_id = "",
				     .runtime = "",
				     .container = "",
				     .image = "",
				     .pod = "",
				     .comm = "",
				     .exe = "",
				     .uid = 0 };

	return policy_set_match(set, &id);
}

static struct slice no_name(void *ctx, const struct addr *a, size_t i)
{
	return SLICE_NONE;
}

static const char *judged(const struct policy *p, const char *target, const char *verb,
			  enum verdict_kind *ret_kind)
{
	static const struct policy_names none = { .at = no_name };
	struct addr dst = addr_v4(htonl(0x0a000001), htons(strcmp(target, "db") ? 80 : 5432));
	const struct policy_target *t = policy_target_match(p, &dst, &none);
	const struct identity id = { .cgroup_path = "/a",
				     .boot_id = "",
				     .runtime = "",
				     .container = "",
				     .image = "",
				     .pod = "",
				     .comm = "",
				     .exe = "" };
	struct op op = {
		.id = 1, .protocol = "postgres", .verb = slice_str(verb), .effects = OP_READ
	};
	struct verdict v;

	policy_decide(p, t, &id, &op, NULL, 0, &v);
	*ret_kind = v.kind;
	return v.rule;
}

#define DB "{\"name\":\"db\",\"hosts\":[\"10.0.0.1\"],\"ports\":[5432],\"protocol\":\"postgres\"}"
#define WEB "{\"name\":\"web\",\"hosts\":[\"10.0.0.1\"],\"ports\":[80]}"
#define RULE(id, verdict, verb) \
	"{\"id\":\"" id "\",\"verdict\":\"" verdict "\",\"when\":{\"verb\":[\"" verb "\"]}}"
#define AGENTS(path) "\"agents\":[{\"cgroup\":\"" path "\"}]"

static const char work[] =
	"{\"name\":\"work\"," AGENTS("/a") ",\"default\":\"allow\",\"targets\":[" DB
					   "],\"rules\":[" RULE("fine", "allow", "DROP") "]}";
static const char guard[] =
	"{\"name\":\"guard\"," AGENTS("/a") ",\"rules\":[" RULE("no-drop", "block", "DROP") "]}";
static const char web[] = "{\"name\":\"web\"," AGENTS("/a") ",\"targets\":[" WEB "]}";

static void test_rules_and_targets_of_all_hold(void **state)
{
	/* Whatever their order. */
	static const char *const orders[][3] = { { work, guard, web },
						 { web, guard, work },
						 { guard, work, web } };

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct policy_set *set = compile(orders[i], 3);
		const struct policy *p = match(set, "/a");
		enum verdict_kind kind;

		assert_non_null(p);
		assert_string_equal(policy_name(p), "guard.web.work");
		assert_true(policy_is_composed(p));
		assert_string_equal(judged(p, "db", "DROP", &kind), "no-drop");
		assert_int_equal(kind, VERDICT_BLOCK);
		(void)judged(p, "db", "SELECT", &kind); /* work's own default is its target's */
		assert_int_equal(kind, VERDICT_ALLOW);
		(void)judged(p, "web", "SELECT", &kind); /* and web's is not work's */
		assert_int_equal(kind, VERDICT_BLOCK);
		assert_ptr_equal(match(set, "/a"), p); /* made once */
		assert_null(policy_set_unref(set));
	}
}

static void test_the_nearer_one_holds_alone(void **state)
{
	static const char near[] = "{\"name\":\"near\"," AGENTS("/a/b") ",\"targets\":[" WEB "]}";
	const char *const texts[] = { work, guard, near };
	struct policy_set *set = compile(texts, 3);

	assert_string_equal(policy_name(match(set, "/a/b/c")), "near");
	assert_false(policy_is_composed(match(set, "/a/b/c")));
	assert_string_equal(policy_name(match(set, "/a/x")), "guard.work");
	assert_null(match(set, "/z"));
	assert_null(policy_set_unref(set));
}

static void test_names_that_clash_are_told_apart(void **state)
{
	static const char one[] = "{\"name\":\"one\"," AGENTS(
		"/a") ",\"targets\":[" DB "],\"rules\":["
		      "{\"id\":\"r\",\"verdict\":\"allow\",\"when\":{\"target\":\"db\"}}]}";
	static const char two[] = "{\"name\":\"two\"," AGENTS(
		"/a") ",\"targets\":[{\"name\":\"db\","
		      "\"hosts\":[\"10.0.0.1\"],\"ports\":[80]}],\"rules\":[{\"id\":\"r\","
		      "\"verdict\":\"block\",\"when\":{\"target\":[\"db\"]}}]}";
	const char *const texts[] = { one, two };
	struct policy_set *set = compile(texts, 2);
	const struct policy *p = match(set, "/a");
	enum verdict_kind kind;

	assert_non_null(p);
	assert_string_equal(judged(p, "db", "SELECT", &kind), "r");
	assert_int_equal(kind, VERDICT_ALLOW);
	assert_string_equal(judged(p, "web", "SELECT", &kind), "two.r");
	assert_int_equal(kind, VERDICT_BLOCK);
	assert_null(policy_set_unref(set));
}

static void test_one_that_observes_has_no_say_beside_one_that_enforces(void **state)
{
	static const char trial[] = "{\"name\":\"trial\",\"mode\":\"observe\"," AGENTS(
		"/a") ",\"rules\":[" RULE("strict", "block", "SELECT") "]}";
	static const char trial2[] =
		"{\"name\":\"trial2\",\"mode\":\"observe\"," AGENTS("/a") ",\"targets\":[" DB "]}";
	const char *const mixed[] = { work, trial }, *const both[] = { trial, trial2 };
	struct policy_set *set = compile(mixed, 2);
	enum verdict_kind kind;

	assert_int_equal(policy_get_mode(match(set, "/a")), POLICY_ENFORCE);
	(void)judged(match(set, "/a"), "db", "SELECT", &kind); /* only the verdict counts */
	assert_int_equal(kind, VERDICT_ALLOW);
	assert_null(policy_set_unref(set));
	set = compile(both, 2);
	assert_int_equal(policy_get_mode(match(set, "/a")), POLICY_OBSERVE);
	assert_string_equal(judged(match(set, "/a"), "db", "SELECT", &kind), "strict");
	assert_null(policy_set_unref(set));
}

static void test_too_much_together_refuses(void **state)
{
	static char texts[2][8192];
	const char *list[2];
	struct policy_set *set;

	/* Each has as many rates as a policy may have. */
	for (int i = 0; i < 2; i++) {
		size_t n = (size_t)snprintf(texts[i], sizeof(texts[i]),
					    "{\"name\":\"p%d\"," AGENTS("/a") ",\"rules\":[", i);

		for (int r = 0; r < 16; r++)
			n += (size_t)snprintf(
				texts[i] + n, sizeof(texts[i]) - n,
				"%s{\"id\":\"r%d\",\"verdict\":\"block\",\"when\":{\"rate\":"
				"{\"ops\":%d,\"per\":\"1m\"}}}",
				r ? "," : "", r, r + 1);
		(void)snprintf(texts[i] + n, sizeof(texts[i]) - n, "]}");
		list[i] = texts[i];
	}
	set = compile(list, 2);
	assert_null(match(set, "/a"));
	assert_null(match(set, "/a"));
	assert_null(policy_set_unref(set));
}

static int match_composed(void *ctx)
{
	const char *const texts[] = { work, guard };
	struct policy_source sources[] = { { "a", slice_str(work) }, { "b", slice_str(guard) } };
	struct policy_set *set;
	struct policy_err err;
	const struct policy *p;
	int r = policy_set_compile(sources, ARRAY_SIZE(texts), &set, &err);

	if (r < 0)
		return r;
	p = match(set, "/a");
	assert_null(policy_set_unref(set));
	return p ? 0 : -1;
}

static void test_without_memory(void **state)
{
	alloc_fail_each(match_composed, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_and_targets_of_all_hold),
		cmocka_unit_test(test_the_nearer_one_holds_alone),
		cmocka_unit_test(test_names_that_clash_are_told_apart),
		cmocka_unit_test(test_one_that_observes_has_no_say_beside_one_that_enforces),
		cmocka_unit_test(test_too_much_together_refuses),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
