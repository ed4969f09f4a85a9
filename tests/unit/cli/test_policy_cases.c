// SPDX-License-Identifier: Apache-2.0
/* Tables of cases: both forms, what is written wrong, and operations through the handlers. */
#include "support/test.h"

#include <errno.h>

#include "cli/policy_cases.h"

static const char policy[] =
	"{ \"name\": \"p\", \"default\": \"block\", \"targets\": ["
	"  { \"name\": \"db\", \"hosts\": [\"*\"], \"ports\": [5432], \"protocol\": \"postgres\","
	"    \"default\": \"allow\" },"
	"  { \"name\": \"api\", \"hosts\": [\"*\"], \"ports\": [80], \"protocol\": \"http\","
	"    \"default\": \"allow\" } ],"
	"  \"rules\": ["
	"  { \"id\": \"no-drop\", \"verdict\": \"block\", \"when\": {\"verb\": [\"DROP\"]} },"
	"  { \"id\": \"unseen\", \"verdict\": \"block\", \"when\": {\"effect\": [\"unknown\"]} },"
	"  { \"id\": \"no-delete\", \"verdict\": \"block\","
	"    \"when\": {\"target\": \"api\", \"verb\": [\"DELETE\"], \"path\": [\"/v1/**\"]} } ] }";

static struct policy_set *set;
static struct policy_case one;

static int setup(void **state)
{
	const struct policy_source source = { "p.json", slice_str(policy) };
	struct policy_err err;

	return policy_set_compile(&source, 1, &set, &err);
}

static int teardown(void **state)
{
	set = policy_set_unref(set);
	return 0;
}

/* Judges a table of one line: as policy_case_judge, or what reading gave. */
static int judge(const char *line, struct verdict *v)
{
	const struct policy_target *t;
	struct policy_cases cases;
	char text[1024], error[256] = "";
	int r;

	snprintf(text, sizeof(text), "# policy\ttarget\toperation\n\n%s\n", line);
	assert_true(policy_cases_are(text));
	policy_cases_open(&cases, text);
	r = policy_cases_next(&cases, &one, error);
	if (r != 1) {
		assert_true(error[0]);
		assert_int_equal(one.line, 3);
		return r;
	}
	r = policy_case_judge(&one, policy_set_at(set, 0), &t, v);
	policy_case_done(&one);
	assert_int_equal(policy_cases_next(&cases, &one, error), 0);
	return r;
}

static void test_statements(void **state)
{
	struct verdict v;

	assert_int_equal(judge("p\tdb\tsql:SELECT 1\tallow\ttarget:db", &v), 1);
	assert_int_equal(judge("p\t-\tsql:SELECT 1\tallow\t-", &v), 1);
	assert_int_equal(judge("p\tdb\tsql:SELECT 1; DROP TABLE t\tblock\tno-drop", &v), 1);
	assert_int_equal(judge("p\tdb\tsql:SELECT 1; DROP TABLE t\tallow\ttarget:db", &v), 0);
	assert_string_equal(v.rule, "no-drop");
	assert_int_equal(judge("p\tdb\tsql:SELECT 1\tallow\tno-drop", &v), 0);
	assert_int_equal(judge("p\tdb\tsql[\"x\", null, 3]:SELECT $1, $2, $3\tallow\t-", &v), 1);
	assert_int_equal(one.n_ops, 1);
	assert_int_equal(judge("p\tdb\tsql:SELECT 1 --\\n; DROP TABLE t\tblock\tno-drop", &v), 1);
}

static void test_parameters_arrive(void **state)
{
	struct policy_ops ops;

	assert_int_equal(policy_ops_any("sql[\"x\",null,3,true]:SELECT $1", &ops), 0);
	assert_int_equal(ops.at[0].n_params, 4);
	assert_true(slice_eq_str(ops.at[0].params[0].text, "x"));
	assert_true(ops.at[0].params[1].null);
	assert_true(slice_eq_str(ops.at[0].params[2].text, "3"));
	assert_true(slice_eq_str(ops.at[0].params[3].text, "true"));
	policy_ops_done(&ops);
}

static void test_requests(void **state)
{
	struct verdict v;

	assert_int_equal(judge("p\tapi\thttp:GET http://h/v1/users\tallow\ttarget:api", &v), 1);
	assert_int_equal(judge("p\tapi\thttp:DELETE http://h/v1/users\tblock\tno-delete", &v), 1);
	assert_int_equal(judge("p\tapi\thttp:DELETE http://h/x/../v1/users\tblock\tno-delete", &v),
			 1);
	assert_int_equal(judge("p\tapi\thttp:POST http://h/x [X-Y: z] {\"a\": [1]}\tallow\t-", &v),
			 1);
	assert_int_equal(judge("p\tapi\thttp:POST http://h/x [1, 2]\tallow\t-", &v), 1);
	/* Refused by the handler, whatever the policy. */
	assert_int_equal(
		judge("p\tapi\thttp:GET http://h/ [Content-Length: x]\tblock\tmalformed", &v), 1);
	assert_int_equal(judge("p\tapi\thttp:GET http://h/ [X: y ]\tallow\t-", &v), 1);
}

static void test_facts(void **state)
{
	struct verdict v;

	assert_int_equal(
		judge("p\tdb\tpostgres\tDROP\tschema\ttable:t=schema\t-\tblock\tno-drop", &v), 1);
	assert_int_equal(judge("p\tdb\tpostgres\tX\tread\ttable:a=read table:b=read+write\t"
			       "where=true n=3\tallow\ttarget:db",
			       &v),
			 1);
	assert_int_equal(one.facts, true);
	assert_int_equal(judge("p\t-\tpostgres\tX\tread\t-\t-\tblock\tdefault", &v), 1);
}

static void test_what_is_written_wrong(void **state)
{
	static const char *const lines[] = {
		"p\tdb\tsql:SELECT 1\tallow",
		"p\tdb\tsql:SELECT 1\tallow\tr\textra",
		"p\tdb\tsql:SELECT 1\tmaybe\t-",
		"p\tdb\tsql:\tallow\t-",
		"p\tdb\tSELECT 1\tallow\t-",
		"p\tdb\tsql[1:SELECT 1\tallow\t-",
		"p\tdb\tsql[1]SELECT 1\tallow\t-",
		"p\tapi\thttp:GET /x\tallow\t-",
		"p\tapi\thttp:GET\tallow\t-",
		"p\tdb\tpostgres\tX\tfly\t-\t-\tallow\t-",
		"p\tdb\tpostgres\tX\tread\ttable\t-\tallow\t-",
		"p\tdb\tpostgres\tX\tread\ttable:t=fly\t-\tallow\t-",
		"p\tdb\tpostgres\tX\tread\t-\twhere\tallow\t-",
	};
	struct verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (judge(lines[i], &v) != -EINVAL)
			fail_msg("taken: %s", lines[i]);
	assert_int_equal(judge("p\tnowhere\tsql:SELECT 1\tallow\t-", &v), -ENOENT);
	assert_false(policy_cases_are("SELECT 1\tSELECT\tread\t-\t-\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_parameters_arrive),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_what_is_written_wrong),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
