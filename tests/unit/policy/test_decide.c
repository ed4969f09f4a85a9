// SPDX-License-Identifier: Apache-2.0
/*
 * Verdicts: that restrictions are read broadly and permissions narrowly, that the index finds
 * whatever a plain walk over the rules finds, and that order never matters.
 */
#include "policy_test.h"

#include "policy/compiled.h"

static struct policy_set *set;

static int teardown(void **state)
{
	set = policy_set_unref(set);
	return 0;
}

static const char *judge_op(const struct op *op)
{
	const struct policy *p = policy_set_at(set, 0);
	static char out[256];
	struct verdict v;

	policy_decide(p, policy_target_at(p, 0), NULL, op, NULL, 0, &v);
	snprintf(out, sizeof(out), "%s %s", verdict_names[v.kind], v.rule);
	return out;
}

static const char *judge(const char *verb, uint32_t effects, const struct op_object *objects,
			 size_t n)
{
	struct op op = { .protocol = "postgres",
			 .verb = slice_str(verb),
			 .effects = effects,
			 .objects = objects,
			 .n_objects = n };

	return judge_op(&op);
}

#define OBJ(k, n, a)                                     \
	{                                                \
		.kind = k, .name = SLICE(n), .access = a \
	}
#define JUDGE(verb, effects, ...)                                 \
	judge(verb, effects, (struct op_object[]){ __VA_ARGS__ }, \
	      ARRAY_SIZE(((struct op_object[]){ __VA_ARGS__ })))

static void test_block_on_any_effect_allow_on_all(void **state)
{
	set = must_compile_rules("block", "{\"id\":\"r\",\"verdict\":\"allow\",\"when\":"
					  "{\"effect\":[\"read\",\"session\"]}}");
	assert_string_equal(judge("SELECT", OP_READ, NULL, 0), "allow r");
	assert_string_equal(judge("SELECT", OP_READ | OP_SESSION, NULL, 0), "allow r");
	assert_string_equal(judge("WITH", OP_READ | OP_DELETE, NULL, 0), "block target:any");
	assert_string_equal(judge("SELECT", OP_READ | OP_UNKNOWN, NULL, 0), "block target:any");
	set = policy_set_unref(set);
	set = must_compile_rules("allow", "{\"id\":\"r\",\"verdict\":\"block\",\"when\":"
					  "{\"effect\":[\"delete\",\"schema\"]}}");
	assert_string_equal(judge("WITH", OP_READ | OP_DELETE, NULL, 0), "block r");
	assert_string_equal(judge("SELECT", OP_READ, NULL, 0), "allow target:any");
}

static void test_effects_of_zero_are_unknown(void **state)
{
	set = must_compile_rules("allow", "{\"id\":\"u\",\"verdict\":\"block\",\"when\":"
					  "{\"effect\":\"unknown\"}}");
	assert_string_equal(judge("X", 0, NULL, 0), "block u");
}

static void test_the_most_restrictive_wins_in_any_order(void **state)
{
	static const char *const orders[] = {
		"{\"id\":\"a\",\"verdict\":\"allow\",\"when\":{\"verb\":\"drop\"}},"
		"{\"id\":\"h\",\"verdict\":\"hold\",\"when\":{\"verb\":\"drop\"}},"
		"{\"id\":\"z\",\"verdict\":\"block\",\"when\":{\"effect\":\"schema\"}},"
		"{\"id\":\"b\",\"verdict\":\"block\",\"when\":{\"object\":\"users\"}}",
		"{\"id\":\"b\",\"verdict\":\"block\",\"when\":{\"object\":\"users\"}},"
		"{\"id\":\"z\",\"verdict\":\"block\",\"when\":{\"effect\":\"schema\"}},"
		"{\"id\":\"h\",\"verdict\":\"hold\",\"when\":{\"verb\":\"drop\"}},"
		"{\"id\":\"a\",\"verdict\":\"allow\",\"when\":{\"verb\":\"drop\"}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		set = must_compile_rules("allow", orders[i]);
		assert_string_equal(JUDGE("DROP", OP_SCHEMA, OBJ("table", "users", OP_SCHEMA)),
				    "block b");
		assert_string_equal(JUDGE("DROP", OP_SCHEMA, OBJ("table", "other", OP_SCHEMA)),
				    "block z");
		assert_string_equal(judge("DROP", OP_READ, NULL, 0), "hold h");
		set = policy_set_unref(set);
	}
}

static void test_block_does_not_depend_on_the_schema_being_written(void **state)
{
	set = must_compile_rules("allow",
				 "{\"id\":\"r\",\"verdict\":\"block\",\"when\":"
				 "{\"object\":[\"public.users\"],\"access\":[\"write\"]}}");
	assert_string_equal(JUDGE("UPDATE", OP_WRITE, OBJ("table", "public.users", OP_WRITE)),
			    "block r");
	assert_string_equal(JUDGE("UPDATE", OP_WRITE, OBJ("table", "users", OP_WRITE)), "block r");
	assert_string_equal(JUDGE("UPDATE", OP_WRITE, OBJ("table", "USERS", OP_WRITE)), "block r");
	assert_string_equal(JUDGE("UPDATE", OP_WRITE, OBJ("table", "db.public.users", OP_WRITE)),
			    "block r");
	assert_string_equal(JUDGE("UPDATE", OP_WRITE, OBJ("table", "audit.users", OP_WRITE)),
			    "allow target:any");
	/* Read of users, write of something else: not the same object. */
	assert_string_equal(JUDGE("UPDATE", OP_WRITE | OP_READ, OBJ("table", "users", OP_READ),
				  OBJ("table", "logs", OP_WRITE)),
			    "allow target:any");
}

static void test_block_without_schema_covers_every_schema(void **state)
{
	set = must_compile_rules("allow", "{\"id\":\"r\",\"verdict\":\"block\",\"when\":"
					  "{\"object\":[\"pay*\"]}}");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "x.payments", OP_READ)),
			    "block r");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "payments", OP_READ)), "block r");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "pay.x", OP_READ)),
			    "allow target:any");
}

static void test_allow_needs_every_object_exactly(void **state)
{
	set = must_compile_rules("block", "{\"id\":\"r\",\"verdict\":\"allow\",\"when\":"
					  "{\"object\":[\"public.users\",\"public.log_*\"],"
					  "\"access\":\"read\"}}");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "public.users", OP_READ)),
			    "allow r");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "public.users", OP_READ),
				  OBJ("table", "public.log_1", OP_READ)),
			    "allow r");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "users", OP_READ)),
			    "block target:any");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "Public.users", OP_READ)),
			    "block target:any");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "public.users", OP_READ),
				  OBJ("table", "public.secrets", OP_READ)),
			    "block target:any");
	assert_string_equal(
		JUDGE("UPDATE", OP_WRITE, OBJ("table", "public.users", OP_READ | OP_WRITE)),
		"block target:any");
	assert_string_equal(judge("SELECT", OP_READ, NULL, 0), "block target:any");
}

static void test_kinds(void **state)
{
	set = must_compile_rules("allow",
				 "{\"id\":\"f\",\"verdict\":\"block\",\"when\":"
				 "{\"object\":[\"function:pg_read_file\",\"file:/etc/**\"]}}");
	assert_string_equal(JUDGE("SELECT", OP_EXEC, OBJ("function", "pg_read_file", OP_EXEC)),
			    "block f");
	assert_string_equal(
		JUDGE("SELECT", OP_EXEC, OBJ("function", "pg_catalog.pg_read_file", OP_EXEC)),
		"block f");
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "pg_read_file", OP_READ)),
			    "allow target:any");
	assert_string_equal(JUDGE("COPY", OP_FILE, OBJ("file", "/etc/a/b.conf", OP_FILE)),
			    "block f");
	assert_string_equal(JUDGE("COPY", OP_FILE, OBJ("file", "/srv/etc", OP_FILE)),
			    "allow target:any");
}

static void test_verbs_fold_and_overflow_the_index(void **state)
{
	static char rules[32 * 1024];
	size_t n = 0;

	for (char a = 'a'; a <= 'd'; a++)
		for (char b = 'a'; b <= 'z'; b++)
			n += (size_t)snprintf(rules + n, sizeof(rules) - n,
					      "%s{\"id\":\"%c%c\",\"verdict\":\"block\",\"when\":"
					      "{\"verb\":\"x%c%c\"}}",
					      n ? "," : "", a, b, a, b);
	set = must_compile_rules("allow", rules);
	assert_string_equal(judge("XAA", OP_READ, NULL, 0), "block aa");
	assert_string_equal(judge("xdz", OP_READ, NULL, 0), "block dz");
	assert_string_equal(judge("XDY", OP_READ, NULL, 0), "block dy");
	assert_string_equal(judge("XZZ", OP_READ, NULL, 0), "allow target:any");
}

/* A permission by host is for the host that was dialled, a restriction for the name as well. */
static void test_hosts_that_were_not_checked(void **state)
{
	static const bool checked[] = { true, false };
	static const char *const want[] = { "allow ok", "block target:any" };

	for (size_t i = 0; i < 2; i++) {
		struct op_attr attrs[] = {
			{ .key = "host", .type = OP_ATTR_TEXT, .s = SLICE("api.x") },
			{ .key = "host_checked", .type = OP_ATTR_BOOL, .b = checked[i] },
		};
		struct op op = { .protocol = "http",
				 .verb = SLICE("GET"),
				 .effects = OP_READ,
				 .attrs = attrs,
				 .n_attrs = 2 };

		set = must_compile_rules("block", "{\"id\":\"ok\",\"verdict\":\"allow\","
						  "\"when\":{\"host\":[\"api.x\"]}}");
		assert_string_equal(judge_op(&op), want[i]);
		set = policy_set_unref(set);
		set = must_compile_rules("allow", "{\"id\":\"no\",\"verdict\":\"block\","
						  "\"when\":{\"host\":[\"api.x\"]}}");
		assert_string_equal(judge_op(&op), "block no");
		set = policy_set_unref(set);
	}
}

static const char *judge_http(const char *verb, const char *path, const char *host, bool ambiguous)
{
	struct op_object objects[] = { { "path", slice_str(path), OP_READ } };
	struct op_attr attrs[] = {
		{ .key = "path_ambiguous", .type = OP_ATTR_BOOL, .b = ambiguous },
		{ .key = "host", .type = OP_ATTR_TEXT, .s = slice_str(host) }
	};
	struct op op = { .protocol = "http",
			 .verb = slice_str(verb),
			 .effects = OP_READ,
			 .objects = objects,
			 .n_objects = 1,
			 .attrs = attrs,
			 .n_attrs = host ? 2 : 1 };

	return judge_op(&op);
}

static void test_paths(void **state)
{
	set = must_compile_rules("allow", "{\"id\":\"p\",\"verdict\":\"block\",\"when\":"
					  "{\"path\":[\"/v1/users/**\",\"/a/b/c/d/e/f/g/h/i/j\","
					  "\"/t/\"]}}");
	assert_string_equal(judge_http("GET", "/v1/users", "h", false), "block p");
	assert_string_equal(judge_http("GET", "/v1/users/4/x", "h", false), "block p");
	assert_string_equal(judge_http("GET", "/V1/Users/4", "h", false), "block p");
	assert_string_equal(judge_http("GET", "/v1/userspace", "h", false), "allow target:any");
	assert_string_equal(judge_http("GET", "/a/b/c/d/e/f/g/h/i/j", "h", false), "block p");
	assert_string_equal(judge_http("GET", "/a/b/c/d/e/f/g/h/i", "h", false),
			    "allow target:any");
	assert_string_equal(judge_http("GET", "/t/", "h", false), "block p");
	assert_string_equal(judge_http("GET", "/t", "h", false), "allow target:any");
	assert_string_equal(judge_http("GET", "/elsewhere", "h", true), "block p");
}

static void test_an_ambiguous_path_is_never_permitted(void **state)
{
	set = must_compile_rules("block", "{\"id\":\"p\",\"verdict\":\"allow\",\"when\":"
					  "{\"path\":[\"/pub/**\"]}}");
	assert_string_equal(judge_http("GET", "/pub/x", "h", false), "allow p");
	assert_string_equal(judge_http("GET", "/Pub/x", "h", false), "block target:any");
	assert_string_equal(judge_http("GET", "/pub/x", "h", true), "block target:any");
}

static void test_hosts(void **state)
{
	set = must_compile_rules("block", "{\"id\":\"ok\",\"verdict\":\"allow\",\"when\":"
					  "{\"host\":[\"*.Example.com\",\"a::1\"]}},"
					  "{\"id\":\"no\",\"verdict\":\"block\",\"when\":"
					  "{\"host\":\"admin.example.com\"}}");
	assert_string_equal(judge_http("GET", "/", "api.example.COM:8080", false), "allow ok");
	assert_string_equal(judge_http("GET", "/", "api.example.com.", false), "allow ok");
	assert_string_equal(judge_http("GET", "/", "[a::1]:80", false), "allow ok");
	assert_string_equal(judge_http("GET", "/", "a.b.example.com", false), "block target:any");
	assert_string_equal(judge_http("GET", "/", "ADMIN.example.com:1", false), "block no");
	/* A request without a host may be for any of them. */
	assert_string_equal(judge_http("GET", "/", NULL, false), "block no");
	assert_string_equal(judge_http("GET", "/", "", false), "block no");
}

static const char *judge_attr(struct op_attr a)
{
	struct op op = { .protocol = "postgres",
			 .verb = SLICE("DELETE"),
			 .effects = OP_DELETE,
			 .attrs = &a,
			 .n_attrs = 1 };

	return judge_op(&op);
}

static const char *judge_verbs(const char *verb, const char *verbs)
{
	struct op_attr a = { "verbs", OP_ATTR_TEXT, { .s = slice_str(verbs) } };
	struct op op = { .protocol = "postgres",
			 .verb = slice_str(verb),
			 .effects = OP_WRITE,
			 .attrs = &a,
			 .n_attrs = *verbs ? 1 : 0 };

	return judge_op(&op);
}

/* A statement that holds others is met by rules on each of them, and allowed only by rules on all. */
static void test_verbs_inside(void **state)
{
	set = must_compile_rules("block", "{\"id\":\"d\",\"verdict\":\"block\",\"when\":"
					  "{\"verb\":[\"DELETE\"]}},"
					  "{\"id\":\"p\",\"verdict\":\"allow\",\"when\":"
					  "{\"verb\":[\"PREPARE\", \"INSERT\"]}}");
	assert_string_equal(judge_verbs("PREPARE", ""), "allow p");
	assert_string_equal(judge_verbs("PREPARE", "INSERT"), "allow p");
	assert_string_equal(judge_verbs("PREPARE", "DELETE"), "block d");
	assert_string_equal(judge_verbs("COPY", "DELETE INSERT"), "block d");
	assert_string_equal(judge_verbs("COPY", "INSERT DELETE"), "block d");
	assert_string_equal(judge_verbs("prepare", "delete"), "block d");
	assert_string_equal(judge_verbs("DELETE", "DELETE UPDATE"), "block d");
	/* UPDATE and COPY are in no rule: what allows the rest does not allow these. */
	assert_string_equal(judge_verbs("PREPARE", "UPDATE"), "block target:any");
	assert_string_equal(judge_verbs("COPY", "INSERT"), "block target:any");
}

static void test_attributes(void **state)
{
	set = must_compile_rules("allow", "{\"id\":\"w\",\"verdict\":\"block\",\"when\":"
					  "{\"attr\":{\"where\":false}}},"
					  "{\"id\":\"n\",\"verdict\":\"block\",\"when\":"
					  "{\"attr\":{\"limit\":[5,\"9*\"]}}},"
					  "{\"id\":\"u\",\"verdict\":\"block\",\"when\":"
					  "{\"attr\":{\"user\":[\"adm*\"]}}}");
	assert_string_equal(judge_attr((struct op_attr){ "where", OP_ATTR_BOOL, { .b = false } }),
			    "block w");
	assert_string_equal(judge_attr((struct op_attr){ "where", OP_ATTR_BOOL, { .b = true } }),
			    "allow target:any");
	assert_string_equal(judge_attr((struct op_attr){ "limit", OP_ATTR_INT, { .i = 5 } }),
			    "block n");
	assert_string_equal(judge_attr((struct op_attr){ "limit", OP_ATTR_INT, { .i = 91 } }),
			    "block n");
	assert_string_equal(judge_attr((struct op_attr){ "limit", OP_ATTR_INT, { .i = 6 } }),
			    "allow target:any");
	assert_string_equal(
		judge_attr((struct op_attr){ "user", OP_ATTR_TEXT, { .s = SLICE("ADMIN") } }),
		"block u");
	assert_string_equal(judge_attr((struct op_attr){ "other", OP_ATTR_BOOL, { .b = false } }),
			    "allow target:any");
}

static void test_too_many_objects_are_refused(void **state)
{
	static struct op_object objects[POLICY_OBJECTS_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i] = (struct op_object)OBJ("table", "t", OP_READ);
	set = must_compile_rules("allow", "{\"id\":\"x\",\"verdict\":\"allow\",\"when\":"
					  "{\"object\":\"t\"}}");
	assert_string_equal(judge("SELECT", OP_READ, objects, POLICY_OBJECTS_MAX), "allow x");
	assert_string_equal(judge("SELECT", OP_READ, objects, ARRAY_SIZE(objects)), "block limit");
}

static void test_defaults_and_targets(void **state)
{
	struct op op = { .protocol = "ssh", .verb = SLICE("exec"), .effects = OP_EXEC };
	const struct policy *p;
	struct verdict v;

	set = must_compile("{\"name\":\"t\",\"default\":\"allow\",\"targets\":["
			   "{\"name\":\"a\",\"hosts\":\"*\",\"ports\":1},"
			   "{\"name\":\"b\",\"hosts\":\"*\",\"ports\":2,\"default\":\"block\"}],"
			   "\"rules\":[{\"id\":\"h\",\"verdict\":\"hold\",\"message\":\"Ask.\","
			   "\"when\":{\"target\":\"a\",\"verb\":\"EXEC\"}}]}");
	p = policy_set_at(set, 0);
	policy_decide(p, policy_target_at(p, 0), NULL, &op, NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_string_equal(v.message, "Ask.");
	policy_decide(p, policy_target_at(p, 1), NULL, &op, NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_BLOCK);
	assert_string_equal(v.rule, "target:b");
	assert_non_null(v.message);
	op.verb = SLICE("shell");
	policy_decide(p, policy_target_at(p, 0), NULL, &op, NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_ALLOW);
	assert_string_equal(v.rule, "default");
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_ALLOW);
}

static unsigned rnd_state = 1;
static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 1103515245u + 12345u;
	return (rnd_state >> 16) % n;
}

/* Random rules and operations: the index must agree with asking every rule in turn. */
static void test_index_agrees_with_a_plain_walk(void **state)
{
	static const char *const names[] = { "public.users", "users",      "Users", "a.b.users",
					     "pay",          "public.pay", "x.pay", "/v1/users",
					     "/v1/users/4",  "/V1/pay/2",  "/",     "/v1/",
					     "pg_read_file" };
	static const char *const patterns[] = { "public.users", "users",  "*.pay",
						"pay",          "/v1/**", "/v1/users/*",
						"/v1/users/4",  "**",     "p*",
						"x.pay",        "/" };
	static const char *const verbs[] = { "SELECT", "delete", "DROP", "GET", "EXEC" };
	static const char *const kinds[] = { "table", "path", "function" };
	static const char *const protocols[] = { "postgres", "http", "tcp", "ssh" };
	static char rules[64 * 1024];

	for (unsigned round = 0; round < 60; round++) {
		const struct policy *p;
		size_t n = 0;

		for (unsigned i = 0; i < 100; i++) {
			n += (size_t)snprintf(
				rules + n, sizeof(rules) - n,
				"%s{\"id\":\"r%u\",\"verdict\":\"%s\",\"when\":{\"comment\":\"\"",
				i ? "," : "", i, verdict_names[rnd(VERDICT_COUNT)]);
			if (rnd(2))
				n += (size_t)snprintf(rules + n, sizeof(rules) - n,
						      ",\"object\":[\"%s\",\"%s\"]",
						      patterns[rnd(ARRAY_SIZE(patterns))],
						      patterns[rnd(ARRAY_SIZE(patterns))]);
			else
				n += (size_t)snprintf(rules + n, sizeof(rules) - n,
						      ",\"path\":[\"%s\"]", patterns[4 + rnd(4)]);
			if (rnd(2))
				n += (size_t)snprintf(rules + n, sizeof(rules) - n,
						      ",\"verb\":[\"%s\",\"%s\"]", verbs[rnd(4)],
						      verbs[rnd(4)]);
			if (rnd(2))
				n += (size_t)snprintf(rules + n, sizeof(rules) - n,
						      ",\"effect\":[\"%s\",\"%s\"]",
						      op_effect_names[rnd(4)],
						      op_effect_names[rnd(OP_EFFECT_COUNT)]);
			if (rnd(3) == 0)
				n += (size_t)snprintf(rules + n, sizeof(rules) - n,
						      ",\"target\":\"any\"");
			n += (size_t)snprintf(rules + n, sizeof(rules) - n, "}}");
		}
		assert_true(n < sizeof(rules) - 200);
		set = must_compile_rules("allow", rules);
		p = policy_set_at(set, 0);
		for (unsigned i = 0; i < 500; i++) {
			struct op_object objects[3];
			struct op_attr attr = { .key = "path_ambiguous", .b = rnd(4) == 0 };
			const struct policy_target *t = rnd(4) ? policy_target_at(p, 0) : NULL;
			struct op op = { .protocol = protocols[rnd(4)],
					 .verb = slice_str(verbs[rnd(5)]),
					 .effects = 1u << rnd(OP_EFFECT_COUNT) | 1u << rnd(4),
					 .objects = objects,
					 .n_objects = rnd(4),
					 .attrs = &attr,
					 .n_attrs = rnd(2) };
			struct verdict got, want = { .kind = VERDICT_ALLOW,
						     .rule = t ? "target:any" : "default" };

			if (!t)
				want.kind = VERDICT_BLOCK;
			for (size_t k = 0; k < op.n_objects; k++)
				objects[k] = (struct op_object){
					kinds[rnd(3)], slice_str(names[rnd(ARRAY_SIZE(names))]),
					1u << rnd(4)
				};
			for (size_t k = 0; k < policy_rule_count(p); k++)
				if (policy_rule_matches(p, k, t, NULL, &op, &want))
					break;
			policy_decide(p, t, NULL, &op, NULL, 0, &got);
			assert_string_equal(got.rule, want.rule);
			assert_int_equal(got.kind, want.kind);
		}
		set = policy_set_unref(set);
	}
}

static void test_deciding_takes_no_memory(void **state)
{
	set = must_compile_rules("allow", "{\"id\":\"r\",\"verdict\":\"block\",\"when\":"
					  "{\"object\":[\"public.*\"],\"attr\":{\"limit\":3}}}");
	alloc_fail_at(0);
	assert_string_equal(JUDGE("SELECT", OP_READ, OBJ("table", "public.x", OP_READ)),
			    "allow target:any");
	assert_int_equal(alloc_count(), 0);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_block_on_any_effect_allow_on_all),
		T(test_effects_of_zero_are_unknown),
		T(test_hosts_that_were_not_checked),
		T(test_the_most_restrictive_wins_in_any_order),
		T(test_block_does_not_depend_on_the_schema_being_written),
		T(test_block_without_schema_covers_every_schema),
		T(test_allow_needs_every_object_exactly),
		T(test_kinds),
		T(test_verbs_fold_and_overflow_the_index),
		T(test_paths),
		T(test_an_ambiguous_path_is_never_permitted),
		T(test_hosts),
		T(test_attributes),
		T(test_verbs_inside),
		T(test_too_many_objects_are_refused),
		T(test_defaults_and_targets),
		T(test_index_agrees_with_a_plain_walk),
		T(test_deciding_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
