// SPDX-License-Identifier: Apache-2.0
/*
 * The index against a plain walk: random rules with every form of pattern that it has keys for, random
 * operations with names that nearly match. A rule that the index leaves out is a hole.
 */
#include "policy_test.h"

#include "policy/compiled.h"

static unsigned rnd_state = 7;
static unsigned rnd(unsigned n)
{
	rnd_state = rnd_state * 1103515245u + 12345u;
	return (rnd_state >> 16) % n;
}
#define PICK(list) ((list)[rnd(ARRAY_SIZE(list))])

static const char *const objects[] = {
	"\"log_*\"",        "\"*_log\"",         "\"audit.log_*\"", "\"*.users\"",
	"\"audit.*\"",      "\"a?dit.users\"",   "\"**_log\"",      "\"log**\"",
	"\"file:/etc/**\"", "\"/etc/**\"",       "\"/etc/pass*\"",  "\"/etc/*.conf\"",
	"\"*.conf\"",       "\"table:log_*\"",   "\"path:/v1/**\"", "\"*\"",
	"\"users\"",        "\"public.users\"",  "\"LOG_*\"",       "{\"regex\":\"log_[0-9]\"}",
	"\"*a*\"",          "\"x.audit.log_1\"", "\"**\"",          "\"??_log\"",
};
static const char *const paths[] = {
	"\"/v1/users/**\"",
	"\"/v1/*/x\"",
	"\"**/x\"",
	"\"/v1/users\"",
	"{\"regex\":\"^/v1/users/[0-9]+$\"}",
	"{\"regex\":\"/v1/users/[0-9]+\"}",
	"{\"regex\":\"^/v1|x$\"}",
	"{\"regex\":\"^/v1/usersx?/\"}",
	"{\"regex\":\"^/(v1|v2)/\"}",
	"{\"regex\":\"^/v1/users\"}",
};
static const char *const names[] = {
	"log_1",          "audit.log_1",
	"LOG_2",          "x_log",
	"audit.users",    "users",
	"public.users",   "a.b.users",
	"/etc/passwd",    "/etc/a.conf",
	"/etc",           "/etc/",
	"conf",           "x.conf",
	"ab_log",         "/v1/users/1",
	"/v1/users",      "log",
	"a.log_x.b",      "Audit.Users",
	"/ETC/PASSWD",    "",
	"db.audit.log_1", "_log",
};
static const char *const texts[] = { "/v1/users",   "/v1/users/1", "/v1/usersx/1",
				     "/V1/Users/2", "/v1/a/x",     "/x",
				     "/v2/users/1", "/",           "/v1/users/1/" };
static const char *const kinds[] = { "table", "file", "path", "function", "program" };

static size_t put_rule(char *out, size_t size, unsigned i)
{
	unsigned verdict = rnd(VERDICT_COUNT + 1);
	size_t n = 0;

	n += (size_t)snprintf(out + n, size - n, "%s{\"id\":\"r%u\"", i ? "," : "", i);
	if (verdict < VERDICT_COUNT)
		n += (size_t)snprintf(out + n, size - n, ",\"verdict\":\"%s\"",
				      verdict_names[verdict]);
	if (verdict == VERDICT_COUNT || rnd(4) == 0)
		n += (size_t)snprintf(out + n, size - n, ",\"risk\":%u", 1 + rnd(9));
	if (rnd(3))
		n += (size_t)snprintf(out + n, size - n, ",\"when\":{\"object\":[%s,%s]}}",
				      PICK(objects), PICK(objects));
	else
		n += (size_t)snprintf(out + n, size - n, ",\"when\":{\"path\":[%s,%s]}}",
				      PICK(paths), PICK(paths));
	return n;
}

static void judge_one(const struct policy *p)
{
	struct op_object objs[3];
	struct op_attr attrs[2] = { { .key = "path", .type = OP_ATTR_TEXT } };
	struct op op = { .protocol = rnd(2) ? "http" : "postgres",
			 .verb = SLICE("X"),
			 .effects = OP_READ,
			 .objects = objs,
			 .n_objects = rnd(4),
			 .attrs = attrs,
			 .n_attrs = 1 };
	struct verdict got, one, want = { .kind = VERDICT_ALLOW, .rule = "default" };
	unsigned risk = 0;
	bool found = false;

	attrs[0].s = slice_str(PICK(texts));
	for (size_t k = 0; k < op.n_objects; k++)
		objs[k] = (struct op_object){ PICK(kinds), slice_str(PICK(names)), OP_READ };
	for (size_t k = 0; k < policy_rule_count(p); k++) {
		if (!policy_rule_matches(p, k, NULL, NULL, &op, &one))
			continue;
		risk += one.risk;
		if (!found && policy_rule_decides(p, k)) {
			want = one;
			found = true;
		}
	}
	policy_decide(p, NULL, NULL, &op, NULL, 0, &got);
	assert_string_equal(got.rule, want.rule);
	assert_int_equal(got.kind, want.kind);
	assert_int_equal(got.risk, risk);
}

static void test_agrees_with_a_plain_walk(void **state)
{
	static char text[64 * 1024];

	for (unsigned round = 0; round < 80; round++) {
		unsigned rules = 1 + rnd(90);
		struct policy_set *set;
		size_t n;

		n = (size_t)snprintf(text, sizeof(text),
				     "{\"name\":\"t\",\"default\":\"allow\",\"rules\":[");
		for (unsigned i = 0; i < rules; i++)
			n += put_rule(text + n, sizeof(text) - n, i);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "]}");
		assert_true(n < sizeof(text));
		set = must_compile(text);
		for (unsigned i = 0; i < 400; i++)
			judge_one(policy_set_at(set, 0));
		(void)policy_set_unref(set);
	}
}

/* Each pattern alone, with each name: what the index has no key for shows here by name. */
static void test_each_pattern_alone(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		struct policy_set *set;
		const struct policy *p;
		char text[256];

		snprintf(text, sizeof(text),
			 "{\"name\":\"t\",\"rules\":[{\"id\":\"r\",\"verdict\":\"hold\",\"when\":"
			 "{\"object\":%s}}]}",
			 objects[i]);
		set = must_compile(text);
		p = policy_set_at(set, 0);
		for (size_t k = 0; k < ARRAY_SIZE(names) * ARRAY_SIZE(kinds); k++) {
			struct op_object o = { kinds[k % ARRAY_SIZE(kinds)],
					       slice_str(names[k / ARRAY_SIZE(kinds)]), OP_READ };
			struct op op = { .protocol = "postgres",
					 .verb = SLICE("X"),
					 .effects = OP_READ,
					 .objects = &o,
					 .n_objects = 1 };
			struct verdict v, one;
			bool want = policy_rule_matches(p, 0, NULL, NULL, &op, &one);

			policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
			if ((v.kind == VERDICT_HOLD) != want)
				fail_msg("%s and %s:%s", objects[i], o.kind,
					 names[k / ARRAY_SIZE(kinds)]);
		}
		(void)policy_set_unref(set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_pattern_alone),
		cmocka_unit_test(test_agrees_with_a_plain_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
