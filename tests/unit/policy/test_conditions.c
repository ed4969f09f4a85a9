// SPDX-License-Identifier: Apache-2.0
/*
 * Conditions beyond verbs, effects and objects: query, headers, bodies, text, size, clients, declared
 * functions; what is risky, too often or too much; what holds ask for; which rules say nothing.
 */
#include "policy_test.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "policy/compiled.h"

static struct policy_set *set;

static int teardown(void **state)
{
	set = policy_set_unref(set);
	return 0;
}

#define RULE(verdict, when) "{\"id\":\"r\",\"verdict\":\"" verdict "\",\"when\":{" when "}}"

static bool decides(const struct op *op)
{
	const struct policy *p = policy_set_at(set, 0);
	struct verdict v;

	policy_decide(p, policy_target_at(p, 0), NULL, op, NULL, 0, &v);
	return strcmp(v.rule, "r") == 0;
}

static bool block(const char *when, const struct op *op)
{
	char rules[1024];
	bool r;

	snprintf(rules, sizeof(rules), RULE("block", "%s"), when);
	set = must_compile_rules("allow", rules);
	r = decides(op);
	set = policy_set_unref(set);
	return r;
}

static bool allow(const char *when, const struct op *op)
{
	char rules[1024];
	bool r;

	snprintf(rules, sizeof(rules), RULE("allow", "%s"), when);
	set = must_compile_rules("block", rules);
	r = decides(op);
	set = policy_set_unref(set);
	return r;
}

static struct op http_op(void)
{
	return (struct op){ .protocol = "http", .verb = SLICE("POST"), .effects = OP_WRITE };
}

static struct op sql_op(const char *text)
{
	return (struct op){ .protocol = "postgres",
			    .verb = SLICE("SELECT"),
			    .effects = OP_READ,
			    .text = slice_str(text) };
}

static void test_query(void **state)
{
	const struct op_query pairs[] = { { SLICE("Env"), SLICE("prod") },
					  { SLICE("id"), SLICE("7") },
					  { SLICE("id"), SLICE("8") } };
	struct op op = http_op();

	assert_false(block("\"query\":{\"env\":\"*\"}", &op));
	op.queries = pairs;
	op.n_queries = 3;
	assert_true(block("\"query\":{\"env\":\"PR*\"}", &op));
	assert_true(block("\"query\":{\"id\":8}", &op));
	assert_true(block("\"query\":{\"id\":{\"regex\":\"^[78]$\"},\"env\":\"prod\"}", &op));
	assert_false(block("\"query\":{\"id\":8,\"env\":\"test\"}", &op));
	/* A permission wants every value to fit, and the key as it is written. */
	assert_true(allow("\"query\":{\"id\":[7,8]}", &op));
	assert_false(allow("\"query\":{\"id\":8}", &op));
	assert_false(allow("\"query\":{\"env\":\"prod\"}", &op));
}

static void test_headers(void **state)
{
	const struct op_header fields[] = { { SLICE("x-env"), SLICE("Prod") },
					    { SLICE("authorization"), SLICE("") } };
	struct op op = http_op();

	op.headers = fields;
	op.n_headers = 2;
	assert_true(block("\"header\":{\"X-Env\":\"prod\"}", &op));
	assert_false(allow("\"header\":{\"X-Env\":\"prod\"}", &op));
	assert_true(allow("\"header\":{\"X-Env\":\"Prod\"}", &op));
	assert_true(block("\"header\":{\"Authorization\":\"*\"}", &op));
	assert_false(block("\"header\":{\"Cookie\":\"*\"}", &op));
}

static bool body_block(const char *json, const char *cond)
{
	struct op op = http_op();
	char when[512];

	op.body = slice_str(json);
	snprintf(when, sizeof(when), "\"json\":{%s}", cond);
	return block(when, &op);
}

static bool body_allow(const char *json, const char *cond)
{
	struct op op = http_op();
	char when[512];

	op.body = slice_str(json);
	snprintf(when, sizeof(when), "\"json\":{%s}", cond);
	return allow(when, &op);
}

static void test_bodies_by_path(void **state)
{
	static const char doc[] =
		"{ \"a\": {\"b\": \"x\", \"n\": 12, \"t\": true, \"z\": null, \"e\": [], \"o\": "
		"{}},"
		"  \"items\": [ {\"id\": 1}, {\"id\": 22, \"deep\": {\"token\": \"s3\"}} ],"
		"  \"a b\": [\"\\u0064rop \\ud83d\\ude00\"], \"tok\\u0065n\": \"q\" }";

	assert_true(body_block(doc, "\"$.a.b\":\"x\""));
	assert_true(body_block(doc, "\"$.A.B\":\"X\""));
	assert_false(body_block(doc, "\"$.a.b\":\"y\""));
	assert_false(body_block(doc, "\"$.b\":\"x\""));
	assert_true(body_block(doc, "\"$.a.n\":12"));
	assert_true(body_block(doc, "\"$.a.t\":true"));
	assert_true(body_block(doc, "\"$.a.z\":\"null\""));
	assert_true(body_block(doc, "\"$.a.e\":\"*\""));
	assert_false(body_block(doc, "\"$.a.e\":\"?\""));
	assert_true(body_block(doc, "\"$.items[*].id\":\"2*\""));
	assert_true(body_block(doc, "\"$.items[1].id\":22"));
	assert_false(body_block(doc, "\"$.items[0].id\":22"));
	assert_true(body_block(doc, "\"$..token\":\"s3\""));
	assert_true(body_block(doc, "\"$..token\":\"q\""));
	assert_true(body_block(doc, "\"$..deep..token\":{\"regex\":\"^s[0-9]$\"}"));
	assert_false(body_block(doc, "\"$..deep.x.token\":\"*\""));
	assert_true(body_block(doc, "\"$['a b'][0]\":{\"regex\":\"drop\"}"));
	assert_true(body_block(doc, "\"$['a b'][0]\":\"drop \xf0\x9f\x98\x80\""));
	assert_true(body_block(doc, "\"$.*.b\":\"x\""));
	assert_true(body_block(doc, "\"$.a.b\":\"x\",\"$.a.n\":12"));
	assert_false(body_block(doc, "\"$.a.b\":\"x\",\"$.a.n\":13"));
}

static void test_bodies_are_read_narrowly_too(void **state)
{
	assert_true(body_allow("{\"a\":\"x\"}", "\"$.a\":\"x\""));
	assert_false(body_allow("{\"a\":\"X\"}", "\"$.a\":\"x\""));
	/* Servers take the first or the last of two. */
	assert_false(body_allow("{\"a\":\"x\",\"a\":\"y\"}", "\"$.a\":\"x\""));
	assert_true(body_block("{\"a\":\"y\",\"a\":\"x\"}", "\"$.a\":\"x\""));
	assert_false(body_allow("{\"b\":\"x\"}", "\"$.a\":\"x\""));
	assert_false(body_allow("[{\"a\":1},{\"a\":2}]", "\"$[*].a\":1"));
}

static void test_bodies_that_cannot_be_read(void **state)
{
	static const char *const bad[] = { "{\"a\":\"x\"",    "{\"a\":\"x\"} x",
					   "{\"a\" \"x\"}",   "{a:1}",
					   "[1,]x",           "{\"a\":\"\\q\"}",
					   "{\"a\":\"x\n\"}", "[",
					   "{\"a\":}" };
	struct op_attr type = { "content_type", OP_ATTR_TEXT, { .s = SLICE("application/Json") } };
	struct op_attr more[2] = { type, { "content_length", OP_ATTR_INT, { .i = 5 } } };
	struct op op = http_op();
	char deep[600];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!body_block(bad[i], "\"$.a\":\"nothing\"") && strcmp(bad[i], "[1,]x") != 0)
			fail_msg("%s", bad[i]);
		assert_false(body_allow(bad[i], "\"$.a\":\"*\""));
	}
	memset(deep, '[', 300);
	memset(deep + 300, ']', 299);
	deep[599] = '\0';
	assert_true(body_block(deep, "\"$.a\":\"nothing\""));
	assert_false(body_allow(deep, "\"$..a\":\"*\""));
	/* Not JSON at all: a form is none of this condition's business. */
	assert_false(body_block("a=b&c=d", "\"$.a\":\"*\""));
	/* JSON that was not shown could be anything. */
	op.attrs = more;
	op.n_attrs = 2;
	assert_true(block("\"json\":{\"$.a\":\"x\"}", &op));
	assert_false(allow("\"json\":{\"$.a\":\"x\"}", &op));
	more[1].i = 0;
	assert_false(block("\"json\":{\"$.a\":\"x\"}", &op));
	op.n_attrs = 0;
	op.body_cut = true;
	assert_true(block("\"json\":{\"$.a\":\"x\"}", &op));
}

/* A body made to be slow: half a million values, 60 levels deep, for a path with two deep steps. */
static void test_bodies_cost_what_they_hold(void **state)
{
	enum { DEPTH = 60, VALUES = 400000 };
	char *text = malloc(DEPTH * 6 + VALUES * 2 + DEPTH * 2 + 64);
	struct op op = http_op();
	struct timespec start, end;
	size_t n = 0;

	assert_non_null(text);
	for (unsigned i = 0; i < DEPTH; i++)
		n += (size_t)snprintf(text + n, 8, "%s", i % 2 ? "[" : "{\"a\":");
	for (unsigned i = 0; i < VALUES; i++, n += 2)
		memcpy(text + n, "1,", 2);
	text[n++] = '2';
	for (unsigned i = DEPTH; i-- > 0;)
		text[n++] = i % 2 ? ']' : '}';
	op.body = slice_of(text, n);
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_false(block("\"json\":{\"$..a..b\":1}", &op));
	assert_true(block("\"json\":{\"$..a..a..[400000]\":2}", &op));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - start.tv_sec < 5); /* milliseconds, but under sanitizers */
	free(text);
}

static void test_body_is_wanted_where_it_is_asked_for(void **state)
{
	set = must_compile_rules("allow", RULE("block", "\"json\":{\"$.a\":1}"));
	assert_true(policy_wants_body(policy_set_at(set, 0)));
	set = policy_set_unref(set);
	set = must_compile_rules("allow", RULE("block", "\"path\":\"/a\""));
	assert_false(policy_wants_body(policy_set_at(set, 0)));
}

static void test_text_and_regex(void **state)
{
	struct op op = sql_op("SELECT * FROM Pay_1\n-- x");

	assert_true(block("\"text\":{\"regex\":\"from\\\\s+pay_[0-9]\"}", &op));
	assert_true(block("\"text\":\"*pay_*\"", &op));
	assert_false(block("\"text\":{\"regex\":\"^from\"}", &op));
	/* In a permission all of the text, exactly. */
	assert_false(allow("\"text\":{\"regex\":\"SELECT\"}", &op));
	assert_false(allow("\"text\":{\"regex\":\"SELECT.*\"}", &op));
	op.text = SLICE("SELECT 1");
	assert_true(allow("\"text\":{\"regex\":\"SELECT [0-9]+\"}", &op));
	op.text = SLICE("SELECT 1\n");
	assert_false(allow("\"text\":{\"regex\":\"SELECT [0-9]+$\"}", &op));
	op.text = SLICE("select 1");
	assert_false(allow("\"text\":{\"regex\":\"SELECT [0-9]+\"}", &op));
	op.text_cut = true;
	assert_true(block("\"text\":{\"regex\":\"zzz\"}", &op));
	assert_false(allow("\"text\":\"*\"", &op));
}

static void test_regex_of_objects_and_paths(void **state)
{
	struct op_object table = { "table", SLICE("public.pay_2024"), OP_READ };
	struct op_object path = { "path", SLICE("/v1/users/17"), OP_READ };
	struct op op = sql_op("");

	op.objects = &table;
	op.n_objects = 1;
	assert_true(block("\"object\":{\"regex\":\"PAY_[0-9]{4}$\"}", &op));
	assert_false(allow("\"object\":{\"regex\":\"pay_[0-9]{4}\"}", &op));
	assert_true(allow("\"object\":{\"regex\":\"public\\\\.pay_[0-9]{4}\"}", &op));
	op.protocol = "http";
	op.objects = &path;
	assert_true(block("\"path\":{\"regex\":\"^/v[0-9]+/users/\"}", &op));
	assert_true(block("\"path\":{\"regex\":\"^/V1/users/[0-9]+$\"}", &op));
	assert_true(block("\"path\":{\"regex\":\"/admin|^/v1/users\"}", &op));
	assert_true(block("\"path\":{\"regex\":\"^/v1/usersx?/\"}", &op));
	assert_true(block("\"path\":{\"regex\":\"users\"}", &op));
	assert_false(allow("\"path\":{\"regex\":\"/v1/users\"}", &op));
	assert_true(allow("\"path\":{\"regex\":\"/v1/users/[0-9]+\"}", &op));
}

static void test_sizes(void **state)
{
	struct op_attr length = { "content_length", OP_ATTR_INT, { .i = 1000 } };
	struct op_attr chunked = { "chunked", OP_ATTR_BOOL, { .b = true } };
	struct op op = http_op();

	assert_false(block("\"size\":{\"at_least\":1}", &op));
	assert_true(allow("\"size\":{\"at_most\":0}", &op));
	op.attrs = &length;
	op.n_attrs = 1;
	assert_true(block("\"size\":{\"at_least\":1000}", &op));
	assert_false(block("\"size\":{\"at_least\":1001}", &op));
	assert_true(allow("\"size\":{\"at_most\":1000}", &op));
	assert_false(allow("\"size\":{\"at_most\":999}", &op));
	op.attrs = &chunked; /* nobody knows yet */
	assert_true(block("\"size\":{\"at_least\":100000}", &op));
	assert_false(allow("\"size\":{\"at_most\":100000}", &op));
	op = sql_op("SELECT 1");
	assert_true(block("\"size\":{\"at_least\":8}", &op));
	assert_false(block("\"size\":{\"at_least\":9}", &op));
}

static void test_clients(void **state)
{
	static const struct identity_label labels[] = { { "team", "billing" } };
	struct identity id = { .cgroup_path = "/agents.slice/a",
			       .container = "",
			       .image = "x/y:1",
			       .exe = "/usr/bin/psql",
			       .uid = 1000,
			       .labels = labels,
			       .n_labels = 1 };
	struct op op = sql_op("SELECT 1");
	const struct policy *p;
	struct verdict v;

	set = must_compile_rules("allow",
				 RULE("block", "\"client\":[{\"uid\":[5,1000],\"label\":"
					       "{\"team\":\"b*\"}},{\"exe\":\"/bin/*\"}]"));
	p = policy_set_at(set, 0);
	policy_decide(p, NULL, &id, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "r");
	id.uid = 1001;
	policy_decide(p, NULL, &id, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "default");
	id.exe = "/bin/sh";
	policy_decide(p, NULL, &id, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "r");
	/* A program that was gone before it could be looked at may have been that one. */
	id.exe = "";
	policy_decide(p, NULL, &id, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "r");
}

static void test_agents_by_image_user_and_program(void **state)
{
	static const char *const texts[] = {
		"{\"name\":\"image\",\"agents\":[{\"image\":\"*/agent:*\"}]}",
		"{\"name\":\"user\",\"agents\":[{\"uid\":[7,8],\"cgroup\":\"/a\"}]}",
		"{\"name\":\"zexe\",\"agents\":[{\"exe\":\"/opt/*/agent\"}]}",
	};
	struct policy_source sources[3];
	struct identity id = { .cgroup_path = "/a/b", .container = "", .image = "", .exe = "" };
	struct policy_err err;

	for (size_t i = 0; i < 3; i++)
		sources[i] = (struct policy_source){ "s", slice_str(texts[i]) };
	assert_int_equal(policy_set_compile(sources, 3, &set, &err), 0);
	assert_true(policy_set_per_connection(set));
	assert_null(policy_set_match(set, &id));
	id.uid = 8;
	assert_string_equal(policy_name(policy_set_match(set, &id)), "user");
	id.uid = 0;
	id.exe = "/opt/x/agent";
	assert_string_equal(policy_name(policy_set_match(set, &id)), "zexe");
	id.exe = "/opt/x/y/agent";
	assert_null(policy_set_match(set, &id));
	id.image = "registry/agent:1";
	assert_string_equal(policy_name(policy_set_match(set, &id)), "image");
	set = policy_set_unref(set);
	assert_int_equal(policy_set_compile(sources, 1, &set, &err), 0);
	assert_false(policy_set_per_connection(set));
}

static void test_declared_functions(void **state)
{
	struct op_object objects[] = { { "function", SLICE("report.run"), OP_EXEC | OP_UNKNOWN },
				       { "function", SLICE("lookup"), OP_EXEC | OP_UNKNOWN } };
	struct op_attr by = { "unknown_by", OP_ATTR_TEXT, { .s = SLICE("functions") } };
	struct op op = sql_op("");
	const struct policy *p;
	struct verdict v;

	set = must_compile("{\"name\":\"t\",\"functions\":{\"report.run\":[\"exec\",\"network\"],"
			   "\"lookup\":\"read\"},\"default\":\"allow\",\"rules\":["
			   "{\"id\":\"n\",\"verdict\":\"block\",\"when\":{\"effect\":\"network\"}},"
			   "{\"id\":\"u\",\"verdict\":\"block\",\"when\":{\"effect\":\"unknown\"}},"
			   "{\"id\":\"w\",\"verdict\":\"block\",\"when\":{\"object\":\"lookup\","
			   "\"access\":\"exec\"}}]}");
	p = policy_set_at(set, 0);
	op.effects = OP_READ | OP_EXEC | OP_UNKNOWN;
	op.objects = objects;
	op.n_objects = 2;
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "u"); /* other things are unknown as well */
	op.attrs = &by;
	op.n_attrs = 1;
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "n");
	op.objects = objects + 1;
	op.n_objects = 1;
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "default");
	assert_int_equal(v.risk, 0);
	objects[1].name = SLICE("public.lookup"); /* nobody said what that one does */
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "u");
}

/* ---- risk, rates, quotas ---------------------------------------------------------------------- */

static void test_risk(void **state)
{
	struct op_object users = { "table", SLICE("users"), OP_WRITE };
	struct policy_session ps = { 0 };
	struct op op = sql_op("");
	const struct policy *p;
	struct verdict v;

	set = must_compile_rules(
		"allow",
		"{\"id\":\"users\",\"risk\":30,\"when\":{\"object\":[\"users\",\"us*\",\"*ers\"]}},"
		"{\"id\":\"upd\",\"risk\":5,\"verdict\":\"allow\",\"when\":{\"verb\":\"UPDATE\"}},"
		"{\"id\":\"risky\",\"verdict\":\"hold\",\"when\":{\"risk\":{\"at_least\":45}}},"
		"{\"id\":\"sum\",\"verdict\":\"block\",\"when\":{\"session_risk\":{\"at_least\":"
		"100}}}");
	p = policy_set_at(set, 0);
	policy_decide(p, NULL, NULL, &op, &ps, 0, &v);
	assert_int_equal(v.risk, 0);
	op.verb = SLICE("UPDATE");
	op.effects = OP_WRITE;
	policy_decide(p, NULL, NULL, &op, &ps, 0, &v);
	assert_int_equal(v.risk, 15); /* 10 for writing, 5 by "upd" */
	assert_string_equal(v.rule, "upd");
	op.objects = &users;
	op.n_objects = 1;
	policy_decide(p, NULL, NULL, &op, &ps, 0, &v);
	assert_int_equal(v.risk, 45); /* "users" once, though three patterns find it */
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_int_equal(v.hold->count, 1);
	assert_int_equal(ps.risk, 60);
	policy_decide(p, NULL, NULL, &op, &ps, 0, &v);
	assert_string_equal(v.rule, "sum");
	assert_int_equal(ps.risk, 105);
	assert_int_equal(ps.ops, 4);
	/* Without a session there is nothing to sum. */
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "risky");
	ps.risk = UINT64_MAX - 1;
	policy_decide(p, NULL, NULL, &op, &ps, 0, &v);
	assert_true(ps.risk == UINT64_MAX);
}

static const char *at(struct policy_session *ps, const struct op *op, double seconds)
{
	const struct policy *p = policy_set_at(set, 0);
	static struct verdict v;

	policy_decide(p, policy_target_at(p, 0), NULL, op, ps, (uint64_t)(seconds * 1e9), &v);
	return v.rule;
}

static void test_rate_of_operations(void **state)
{
	struct policy_session ps = { 0 };
	struct op read = sql_op(""), del = sql_op("");

	del.verb = SLICE("DELETE");
	del.effects = OP_DELETE;
	set = must_compile_rules(
		"allow",
		"{\"id\":\"b\",\"verdict\":\"block\",\"when\":{\"verb\":\"DROP\"}},"
		"{\"id\":\"fast\",\"verdict\":\"block\",\"when\":{\"verb\":\"DELETE\",\"rate\":"
		"{\"ops\":3,\"per\":\"10s\"}}}");
	for (unsigned i = 0; i < 20; i++)
		assert_string_equal(at(&ps, &read, 100), "target:any");
	assert_string_equal(at(&ps, &del, 100), "target:any");
	assert_string_equal(at(&ps, &del, 101), "target:any");
	assert_string_equal(at(&ps, &del, 102), "target:any");
	assert_string_equal(at(&ps, &del, 103), "fast");
	assert_string_equal(at(&ps, &read, 103), "target:any");
	/* Within ten seconds nothing is forgotten, a little later all is. */
	assert_string_equal(at(&ps, &del, 109.9), "fast");
	assert_string_equal(at(&ps, &del, 130), "target:any");
	/* A clock that goes back does not help. */
	assert_string_equal(at(&ps, &del, 1), "target:any");
	assert_string_equal(at(&ps, &del, 1), "target:any");
	assert_string_equal(at(&ps, &del, 1), "fast");
}

/* Whatever the times: no window of that length ever sees more than the limit pass. */
static void test_no_window_holds_more(void **state)
{
	static double passed[4000];
	struct policy_session ps = { 0 };
	struct op op = sql_op("");
	unsigned seed = 7;
	size_t n = 0;
	double now = 0;

	set = must_compile_rules("allow", RULE("block", "\"effect\":\"read\",\"rate\":{\"ops\":5,"
							"\"per\":\"3s\"}"));
	for (unsigned i = 0; i < 4000; i++) {
		seed = seed * 1103515245u + 12345u;
		now += (double)(seed >> 16 & 0x7ff) / 1000;
		if (strcmp(at(&ps, &op, now), "r") != 0)
			passed[n++] = now;
	}
	assert_true(n > 100);
	for (size_t i = 5; i < n; i++)
		assert_true(passed[i] - passed[i - 5] >= 3.0 - 1e-6);
}

static void test_quotas(void **state)
{
	struct policy_session ps = { 0 };
	struct op op = sql_op("");

	set = must_compile_rules(
		"allow",
		"{\"id\":\"rows\",\"verdict\":\"block\",\"when\":{\"quota\":{\"rows\":100}}},"
		"{\"id\":\"bytes\",\"verdict\":\"hold\",\"when\":{\"rate\":{\"bytes\":1000,\"per\":"
		"\"1m\"}}}");
	assert_string_equal(at(&ps, &op, 1), "target:any");
	policy_session_result(&ps, 999, 10, 1000000000);
	assert_string_equal(at(&ps, &op, 2), "target:any");
	policy_session_result(&ps, 1, 10, 2000000000);
	assert_string_equal(at(&ps, &op, 3), "bytes");
	assert_string_equal(at(&ps, &op, 100), "target:any");
	policy_session_result(&ps, 0, 80, 2000000000);
	assert_string_equal(at(&ps, &op, 101), "rows");
	assert_string_equal(at(&ps, &op, 100000), "rows");
	assert_int_equal(ps.rows, 100);
	policy_session_result(&ps, UINT64_MAX, UINT64_MAX, 0);
	assert_true(ps.rows == UINT64_MAX && ps.bytes == UINT64_MAX);
}

static void test_counts_outlive_a_new_policy(void **state)
{
	static const char before[] =
		"{\"id\":\"x\",\"verdict\":\"block\",\"when\":{\"verb\":\"A\","
		"\"rate\":{\"ops\":9,\"per\":\"1h\"}}},"
		"{\"id\":\"r\",\"verdict\":\"block\",\"when\":{\"verb\":\"SELECT\","
		"\"rate\":{\"ops\":2,\"per\":\"1h\"}}}";
	static const char after[] =
		"{\"id\":\"r\",\"verdict\":\"block\",\"when\":{\"verb\":\"SELECT\","
		"\"rate\":{\"ops\":3,\"per\":\"1h\"}}},"
		"{\"id\":\"q\",\"verdict\":\"block\",\"when\":{\"quota\":"
		"{\"rows\":50}}}";
	struct policy_session ps = { 0 };
	struct op op = sql_op("");

	set = must_compile_rules("allow", before);
	assert_string_equal(at(&ps, &op, 1), "target:any");
	assert_string_equal(at(&ps, &op, 1), "target:any");
	assert_string_equal(at(&ps, &op, 1), "r");
	set = policy_set_unref(set);
	set = must_compile_rules("allow", after);
	assert_string_equal(at(&ps, &op, 2), "r"); /* the fourth, of three */
	set = policy_set_unref(set);
	policy_session_result(&ps, 0, 50, 0); /* before the rule was there */
	set = must_compile_rules("allow", after + strlen("x") - 1);
	op.verb = SLICE("B");
	assert_string_equal(at(&ps, &op, 3), "q");
}

static void test_holds(void **state)
{
	struct op op = sql_op("");
	const struct policy *p;
	struct verdict v;

	set = must_compile_rules("allow",
				 "{\"id\":\"r\",\"verdict\":\"hold\",\"approval\":{\"count\":2,"
				 "\"timeout\":\"90s\",\"remember\":\"15m\"},\"when\":"
				 "{\"verb\":\"SELECT\"}},"
				 "{\"id\":\"s\",\"verdict\":\"hold\",\"approval\":"
				 "{\"remember\":\"session\"},\"when\":{\"verb\":\"DROP\"}}");
	p = policy_set_at(set, 0);
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_HOLD);
	assert_int_equal(v.hold->count, 2);
	assert_true(v.hold->timeout_ns == 90000000000 && v.hold->remember_ns == 900000000000);
	assert_false(v.hold->remember_session);
	op.verb = SLICE("DROP");
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_true(v.hold->count == 1 && v.hold->timeout_ns == 300000000000);
	assert_true(v.hold->remember_session && v.hold->remember_ns == 0);
	op.verb = SLICE("X");
	policy_decide(p, NULL, NULL, &op, NULL, 0, &v);
	assert_null(v.hold);
}

/* ---- rules that say nothing ------------------------------------------------------------------- */

static const char *why_not(const char *rules)
{
	static struct policy_err err;
	char text[2048];
	struct policy_source source = { "t", SLICE_NONE };

	snprintf(text, sizeof(text),
		 "{\"name\":\"t\",\"targets\":[{\"name\":\"pg\",\"hosts\":\"*\",\"protocol\":"
		 "\"postgres\"}],\"rules\":[%s]}",
		 rules);
	source.json = slice_str(text);
	assert_int_equal(policy_set_compile(&source, 1, &set, &err), -EINVAL);
	assert_null(set);
	return err.message;
}

static void test_rules_that_never_match(void **state)
{
	static const struct {
		const char *when, *why;
	} cases[] = {
		{ "\"protocol\":\"postgres\",\"path\":\"/x\"", "only http has a \"path\"" },
		{ "\"target\":\"pg\",\"host\":\"x\"", "only http has a \"host\"" },
		{ "\"target\":\"pg\",\"protocol\":\"http\"", "targets speaks this protocol" },
		{ "\"protocol\":\"http\",\"object\":\"role:x\"", "no such objects" },
		{ "\"protocol\":\"postgres\",\"object\":\"secret:x\"", "no such objects" },
		{ "\"attr\":{\"where\":true,\"scheme\":\"http\"}", "all of these attributes" },
		{ "\"attr\":{\"were\":true}", "did you mean \"where\"?" },
		{ "\"attr\":{\"status\":500}", "attribute of results" },
		{ "\"attr\":{\"where\":\"no\"}", "true or false" },
		{ "\"header\":{\"authorization\":\"Basic*\"}", "credential" },
		{ "\"size\":{\"at_least\":5,\"at_most\":4}", "below \"at_least\"" },
	};
	char rule[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(rule, sizeof(rule), RULE("block", "%s"), cases[i].when);
		if (!strstr(why_not(rule), cases[i].why))
			fail_msg("%s: %s", cases[i].when, why_not(rule));
	}
}

static const char *warning(const char *rules)
{
	const struct policy_warning *w;
	static char text[512];

	set = must_compile_rules("block", rules);
	w = policy_warning_at(policy_set_at(set, 0), 0);
	snprintf(text, sizeof(text), "%s", w ? w->message : "");
	set = policy_set_unref(set);
	return text;
}

#define TWO(va, a, vb, b)                                       \
	"{\"id\":\"outer\",\"verdict\":\"" va "\",\"when\":{" a \
	"}},{\"id\":\"inner\",\"verdict\":\"" vb "\",\"when\":{" b "}}"

static void test_rules_that_another_hides(void **state)
{
	assert_non_null(strstr(warning(TWO("block", "\"effect\":[\"write\",\"delete\"]", "hold",
					   "\"effect\":\"write\",\"verb\":\"UPDATE\"")),
			       "\"inner\" never decides: \"outer\""));
	assert_string_not_equal(warning(TWO("block", "\"path\":\"/a/**\"", "allow",
					    "\"path\":[\"/a/b\",\"/a/c\"]")),
				"");
	assert_string_not_equal(
		warning(TWO("hold", "\"object\":\"pay*\"", "allow", "\"object\":\"payments\"")),
		"");
	/* Not wholly, less restrictive, or depending on more than the operation. */
	assert_string_equal(warning(TWO("block", "\"effect\":\"write\"", "hold",
					"\"effect\":[\"write\",\"delete\"]")),
			    "");
	assert_string_equal(
		warning(TWO("hold", "\"effect\":\"write\"", "block",
			    "\"effect\":[\"write\",\"read\"]")),
		"rule \"outer\" never decides: \"inner\" matches whatever it does, and is "
		"more restrictive");
	assert_string_equal(warning(TWO("block",
					"\"effect\":\"write\",\"rate\":{\"ops\":1,\"per\":"
					"\"1m\"}",
					"hold", "\"effect\":\"write\"")),
			    "");
	assert_string_equal(warning(TWO("block", "\"verb\":\"A\",\"client\":{\"uid\":1}", "hold",
					"\"verb\":\"A\"")),
			    "");
	assert_string_equal(
		warning(TWO("block", "\"object\":\"pub*\"", "hold", "\"object\":\"public.users\"")),
		"");
	assert_string_equal(
		warning(TWO("block", "\"path\":\"/a/*\"", "allow", "\"path\":\"/a/b/c\"")), "");
}

/* ---- memory and threads ----------------------------------------------------------------------- */

static const char everything[] =
	"{\"id\":\"a\",\"verdict\":\"block\",\"when\":{\"text\":{\"regex\":\"x[0-9]+y\"}}},"
	"{\"id\":\"b\",\"verdict\":\"hold\",\"when\":{\"json\":{\"$..k\":{\"regex\":\"^v+$\"}}}},"
	"{\"id\":\"c\",\"risk\":7,\"when\":{\"object\":{\"regex\":\"use.s$\"}}},"
	"{\"id\":\"d\",\"verdict\":\"block\",\"when\":{\"query\":{\"q\":\"z*\"},\"header\":{\"h\":"
	"\"z\"},"
	"\"attr\":{\"port\":{\"regex\":\"^9\"}}}},"
	"{\"id\":\"e\",\"verdict\":\"block\",\"when\":{\"rate\":{\"ops\":1000000,\"per\":\"1h\"}}}";

static void judge_everything(const struct policy *p, struct policy_session *ps)
{
	struct op_object object = { "table", SLICE("public.users"), OP_READ };
	struct op_query query = { SLICE("q"), SLICE("a") };
	struct op_header header = { SLICE("h"), SLICE("a") };
	struct op op = sql_op("SELECT x12y");
	struct verdict v;

	op.objects = &object;
	op.n_objects = 1;
	policy_decide(p, NULL, NULL, &op, ps, 1, &v);
	assert_string_equal(v.rule, "a");
	assert_int_equal(v.risk, 7);
	op = http_op();
	op.queries = &query;
	op.headers = &header;
	op.n_queries = op.n_headers = 1;
	op.body = SLICE("{\"a\":[{\"k\":\"\\u0076v\"}]}");
	policy_decide(p, NULL, NULL, &op, ps, 1, &v);
	assert_string_equal(v.rule, "b");
}

static void test_deciding_takes_no_memory(void **state)
{
	struct policy_session ps = { 0 };

	set = must_compile_rules("block", everything);
	alloc_fail_at(0);
	judge_everything(policy_set_at(set, 0), &ps);
	assert_int_equal(alloc_count(), 0);
}

static void *judge_much(void *arg)
{
	struct policy_session ps = { 0 };

	for (unsigned i = 0; i < 3000; i++)
		judge_everything(arg, &ps);
	return NULL;
}

static void test_threads(void **state)
{
	struct policy_set *other = must_compile_rules("block", everything);
	pthread_t threads[4];

	set = must_compile_rules("block", everything);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, judge_much,
				       (void *)(uintptr_t)policy_set_at(i & 1 ? other : set, 0)),
			0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	(void)policy_set_unref(other);
}

static int compile_scenario(void *ctx)
{
	struct policy_source source = { "s", slice_str(ctx) };
	struct policy_set *got = NULL;
	struct policy_err err;
	int r = policy_set_compile(&source, 1, &got, &err);

	assert_true(r == 0 ? got != NULL : got == NULL);
	(void)policy_set_unref(got);
	return r;
}

static void test_allocation_failures(void **state)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "{\"name\":\"a\",\"agents\":[{\"uid\":[1,2],\"image\":\"x\",\"exe\":\"/x\"}],"
		 "\"functions\":{\"f\":\"read\",\"g.h\":[\"exec\"]},\"rules\":[%s,"
		 "{\"id\":\"w\",\"verdict\":\"hold\",\"when\":{\"verb\":\"q\",\"client\":{\"uid\":"
		 "1}}}]}",
		 everything);
	json_set_alloc_funcs(malloc, free);
	alloc_fail_each(compile_scenario, text, 0);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_query),
		T(test_headers),
		T(test_bodies_by_path),
		T(test_bodies_are_read_narrowly_too),
		T(test_bodies_that_cannot_be_read),
		T(test_bodies_cost_what_they_hold),
		T(test_body_is_wanted_where_it_is_asked_for),
		T(test_text_and_regex),
		T(test_regex_of_objects_and_paths),
		T(test_sizes),
		T(test_clients),
		T(test_agents_by_image_user_and_program),
		T(test_declared_functions),
		T(test_risk),
		T(test_rate_of_operations),
		T(test_no_window_holds_more),
		T(test_quotas),
		T(test_counts_outlive_a_new_policy),
		T(test_holds),
		T(test_rules_that_never_match),
		T(test_rules_that_another_hides),
		T(test_deciding_takes_no_memory),
		T(test_threads),
		T(test_allocation_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
