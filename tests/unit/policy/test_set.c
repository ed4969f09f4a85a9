// SPDX-License-Identifier: Apache-2.0
/*
 * Compiling: places of errors, limits, warnings, which policy an agent gets and which target an
 * address is.
 */
#include "policy_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>

static void check_error(const char *json, unsigned line, unsigned column, const char *part)
{
	struct policy_source source = { "f.json", slice_str(json) };
	struct policy_set *set = NULL;
	struct policy_err err = { 0 };
	int r = policy_set_compile(&source, 1, &set, &err);

	if (r != -EINVAL && r != -EMSGSIZE)
		fail_msg("%s: got %d", json, r);
	assert_null(set);
	if (!strstr(err.message, part) || err.line != line || err.column != column)
		fail_msg("%.200s: %u:%u: %s", json, err.line, err.column, err.message);
	assert_string_equal(err.source, "f.json");
	assert_null(strchr(err.message, '\n'));
}

static void test_errors_name_their_place(void **state)
{
	check_error("", 1, 1, "not valid JSON");
	check_error("{\"name\":\"a\",\n  \"name\":\"b\"}", 2, 8, "duplicate");
	check_error("[]", 1, 1, "expected an object, not a list");
	check_error("{\n\t\"name\": \"a\",\n\t\"ruels\": []\n}", 3, 2, "did you mean \"rules\"?");
	check_error("{\"zzzzzz\":1}", 1, 2, "expected one of \"$schema\", \"name\"");
	check_error("{\"name\":\"a\",\"rul\\u0065\":[]}", 1, 13, "did you mean \"rules\"?");
	check_error("{\"comment\":\"\xc3\xa4\xc3\xb6\",\"name\":5}", 1, 24, "not a number");
	check_error("{\"name\":\"a\",\"comment\":[\"}{][,\\\"\"],\"rules\":[{\"id\":\"r\"},\n 7]}",
		    1, 44, "needs a \"verdict\"");
	check_error("{\"name\":\"a\",\"rules\":[\n{\"id\":\"r\",\"verdict\":\"block\",\n"
		    "\"when\":{\"effect\":[\"read\",\n  \"writ\"]}}]}",
		    4, 3, "did you mean \"write\"?");
	check_error("{\"name\":\"a\",\"targets\":[{\"name\":\"db\",\"hosts\":[\"*\"]}],\n\"rules\":"
		    "[{\"id\":"
		    "\"r\",\"verdict\":\"block\",\n\"when\":{\"target\":\"bd\"}}]}",
		    3, 18, "no target is named \"bd\"");
	check_error("{\"name\":\"a\",\"targets\":[{\"name\":\"t\",\"hosts\":[\"10.1.2.3/16\"]}]}",
		    1, 45, "did you mean \"10.1.0.0/16\"?");
	check_error("{\"name\":\"a\",\"mask\":[]}", 1, 13, "not supported by this version");
	check_error("{\"name\":\"a\nb\"}", 1, 10, "unexpected newline");
	check_error("{\"name\":\"\\u0000\"}", 1, 16, "not valid JSON");
	check_error("{\"name\":\"\xff\"}", 1, 9, "0xff");
	check_error("{\"na\\u000ame\":1}", 1, 2, "unknown key \"na\\x0ame\"");
	check_error("{\"name\":\"a\"} x", 1, 14, "end of file expected");
}

static char *repeat(const char *head, const char *unit, size_t n, const char *tail)
{
	size_t len = strlen(unit), at = strlen(head);
	char *text = malloc(at + n * len + strlen(tail) + 1);

	assert_non_null(text);
	memcpy(text, head, at);
	for (size_t i = 0; i < n; i++, at += len)
		memcpy(text + at, unit, len);
	memcpy(text + at, tail, strlen(tail) + 1);
	return text;
}

static void test_limits(void **state)
{
	char *deep = repeat("", "[", 100000, "");
	char *deep_objects = repeat("", "{\"a\":", 33, "");
	char *wide = repeat("{\"name\":\"a\",\"comment\":[", "0,", 1100000, "0]}");
	char *list =
		repeat("{\"name\":\"a\",\"rules\":[{\"id\":\"r\",\"verdict\":\"block\",\"when\":"
		       "{\"verb\":[",
		       "\"x\",", POLICY_LIST_MAX, "\"x\"]}}]}");
	char *rules = repeat("{\"name\":\"a\",\"rules\":[", "{},", POLICY_RULES_MAX, "{}]}");
	char *large = repeat("", " ", POLICY_TEXT_MAX + 1, "");
	char *long_name = repeat("{\"name\":\"", "a", 129, "\"}");

	check_error(deep, 1, 33, "nested deeper");
	check_error(deep_objects, 1, 161, "nested deeper");
	check_error(wide, 1, 2000017, "million values");
	check_error(list, 1, 65, "10001 entries");
	check_error(rules, 1, 21, "10001 rules");
	check_error(large, 0, 0, "16 MiB");
	check_error(long_name, 1, 9, "at most 128");
	free(deep);
	free(deep_objects);
	free(wide);
	free(list);
	free(rules);
	free(large);
	free(long_name);
}

static void test_sixteen_megabytes_compile(void **state)
{
	char *text = repeat("{\"name\":\"a\",\"comment\":\"", "x", POLICY_TEXT_MAX - 100, "\"}");
	struct policy_set *set = must_compile(text);

	assert_int_equal(policy_text(policy_set_at(set, 0)).len, strlen(text));
	set = policy_set_unref(set);
	free(text);
}

static void test_ten_thousand_rules(void **state)
{
	char *text = malloc(2 * 1024 * 1024);
	struct op op = { .protocol = "postgres", .verb = SLICE("SELECT"), .effects = OP_READ };
	struct op_object o = { "table", SLICE("t9999"), OP_READ };
	struct policy_set *set;
	struct verdict v;
	size_t n;

	assert_non_null(text);
	n = (size_t)snprintf(text, 2 * 1024 * 1024,
			     "{\"name\":\"a\",\"default\":\"allow\",\"rules\":[");
	for (unsigned i = 0; i < POLICY_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, 2 * 1024 * 1024 - n,
				      "%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":"
				      "{\"object\":\"public.t%u\"}}",
				      i ? "," : "", i, i);
	snprintf(text + n, 2 * 1024 * 1024 - n, "]}");
	set = must_compile(text);
	op.objects = &o;
	op.n_objects = 1;
	policy_decide(policy_set_at(set, 0), NULL, NULL, &op, NULL, 0, &v);
	assert_string_equal(v.rule, "r9999");
	set = policy_set_unref(set);
	free(text);
}

static void test_names_are_unique_over_sources(void **state)
{
	struct policy_source sources[] = { { "one", SLICE("{\"name\":\"a\"}") },
					   { "two", SLICE("{\"name\":\"b\"}") },
					   { "three", SLICE("{ \"name\":\"a\"}") } };
	struct policy_set *set = NULL;
	struct policy_err err = { 0 };

	assert_int_equal(policy_set_compile(sources, 3, &set, &err), -EINVAL);
	assert_string_equal(err.source, "three");
	assert_int_equal(err.column, 10);
	assert_int_equal(policy_set_compile(sources, 2, &set, &err), 0);
	assert_int_equal(policy_set_count(set), 2);
	assert_string_equal(policy_name(policy_set_find(set, SLICE("b"))), "b");
	assert_null(policy_set_find(set, SLICE("c")));
	assert_ptr_equal(policy_set_ref(set), set);
	assert_null(policy_set_unref(set));
	assert_null(policy_set_unref(set));
}

static const char *matched(const struct policy_set *set, const char *cgroup, const char *container,
			   const char *team)
{
	struct identity_label label = { "team", team ? team : "" };
	struct identity id = { .cgroup_path = cgroup,
			       .container = container,
			       .labels = &label,
			       .n_labels = team ? 1 : 0 };
	const struct policy *p = policy_set_match(set, &id);

	return p ? policy_name(p) : "none";
}

static void test_the_nearest_policy_wins(void **state)
{
	struct policy_source sources[] = {
		{ "1", SLICE("{\"name\":\"slice\",\"agents\":[{\"cgroup\":\"/agents.slice\"}]}") },
		{ "2",
		  SLICE("{\"name\":\"deep\",\"agents\":[{\"cgroup\":\"/agents.slice/a/**\"}]}") },
		{ "3", SLICE("{\"name\":\"box\",\"agents\":[{\"container\":\"orders-*\"}]}") },
		{ "4", SLICE("{\"name\":\"both\",\"agents\":[{\"cgroup\":\"/agents.slice/a\","
			     "\"label\":{\"team\":\"bill*\"}}]}") },
		{ "5", SLICE("{\"name\":\"none\"}") },
	};
	struct policy_set *set = NULL;
	struct policy_err err;

	assert_int_equal(policy_set_compile(sources, ARRAY_SIZE(sources), &set, &err), 0);
	assert_string_equal(matched(set, "/agents.slice", "", NULL), "slice");
	assert_string_equal(matched(set, "/agents.slice/x/y", "", NULL), "slice");
	assert_string_equal(matched(set, "/agents.slice/a", "", NULL), "deep");
	assert_string_equal(matched(set, "/agents.slice/a/b/c", "orders-1", NULL), "deep");
	assert_string_equal(matched(set, "/agents.slice/a/b", "", "billing"), "both.deep");
	assert_string_equal(matched(set, "/other", "orders-1", NULL), "box");
	assert_string_equal(matched(set, "/other", "", NULL), "none");
	assert_string_equal(matched(set, "/agents.slicer", "", NULL), "none");
	assert_string_equal(matched(set, "/", "", NULL), "none");
	set = policy_set_unref(set);
}

static struct slice name_at(void *ctx, const struct addr *a, size_t i)
{
	return i == 0 && ctx ? slice_str(ctx) : SLICE_NONE;
}

static const char *target_of(const struct policy_set *set, const char *ip, uint16_t port,
			     const char *name)
{
	struct policy_names names = { name_at, (void *)name };
	const struct policy_target *t;
	struct addr a;

	assert_int_equal(addr_parse_ip(slice_str(ip), &a), 0);
	a.port_be = htons(port);
	t = policy_target_match(policy_set_at(set, 0), &a, name ? &names : NULL);
	return t ? t->name : "none";
}

static void test_the_most_specific_target_wins(void **state)
{
	struct policy_set *set =
		must_compile("{\"name\":\"a\",\"targets\":["
			     "{\"name\":\"rest\",\"hosts\":[\"*\"],\"ports\":[\"1000-2000\"]},"
			     "{\"name\":\"net\",\"hosts\":[\"10.0.0.0/8\"]},"
			     "{\"name\":\"subnet\",\"hosts\":[\"10.1.0.0/16\"]},"
			     "{\"name\":\"subnet-web\",\"hosts\":[\"10.1.0.0/16\"],\"ports\":[80]},"
			     "{\"name\":\"wild\",\"hosts\":[\"*.example.com\"]},"
			     "{\"name\":\"db\",\"hosts\":[\"db.example.com.\",\"cache.internal\"]},"
			     "{\"name\":\"one\",\"hosts\":[\"10.1.0.1\",\"::1\",\"127.0.0.1\"],"
			     "\"ports\":[5432]}]}");

	assert_string_equal(target_of(set, "10.2.0.1", 1, NULL), "net");
	assert_string_equal(target_of(set, "10.1.0.1", 1, NULL), "subnet");
	assert_string_equal(target_of(set, "10.1.0.1", 80, NULL), "subnet-web");
	assert_string_equal(target_of(set, "10.1.0.1", 5432, NULL), "one");
	assert_string_equal(target_of(set, "::ffff:10.1.0.1", 5432, NULL), "one");
	assert_string_equal(target_of(set, "10.1.0.9", 1, "a.Example.com"), "wild");
	assert_string_equal(target_of(set, "10.1.0.9", 1, "DB.example.com"), "db");
	assert_string_equal(target_of(set, "10.1.0.9", 1, "db.example.com."), "db");
	assert_string_equal(target_of(set, "192.0.2.1", 1000, NULL), "rest");
	assert_string_equal(target_of(set, "192.0.2.1", 999, NULL), "none");
	assert_string_equal(target_of(set, "192.0.2.1", 2001, NULL), "none");
	/* The kernel takes the unspecified address for loopback. */
	assert_string_equal(target_of(set, "0.0.0.0", 5432, NULL), "one");
	assert_string_equal(target_of(set, "::", 5432, NULL), "one");
	assert_string_equal((const char *)policy_set_host_name(set, 0).ptr, "cache.internal");
	assert_true(slice_eq(policy_set_host_name(set, 1), SLICE("db.example.com")));
	assert_int_equal(policy_set_host_name(set, 2).len, 0);
	set = policy_set_unref(set);
}

static void test_warnings(void **state)
{
	struct policy_set *set = must_compile_rules(
		"allow", "{\"id\":\"h\",\"verdict\":\"hold\",\"when\":{\"path\":\"/x\"}},"
			 "{\"id\":\"d\",\"verdict\":\"block\",\"when\":{\"effect\":\"schema\"}}");
	const struct policy *p = policy_set_at(set, 0);

	assert_non_null(strstr(policy_warning_at(p, 0)->message, "cannot be seen through"));
	assert_int_equal(policy_warning_at(p, 0)->line, 1);
	assert_null(policy_warning_at(p, 1));
	set = policy_set_unref(set);
	set = must_compile_rules(
		"allow", "{\"id\":\"u\",\"verdict\":\"block\",\"when\":{\"effect\":\"unknown\"}},"
			 "{\"id\":\"d\",\"verdict\":\"block\",\"when\":{\"effect\":\"schema\"}}");
	assert_null(policy_warning_at(policy_set_at(set, 0), 0));
	set = policy_set_unref(set);
	set = must_compile_rules(
		"allow", "{\"id\":\"q\",\"verdict\":\"block\",\"when\":{\"query\":{\"a\":\"b\"}}}");
	assert_non_null(policy_warning_at(policy_set_at(set, 0), 0));
	set = policy_set_unref(set);
	set = must_compile_rules(
		"allow", "{\"id\":\"q\",\"verdict\":\"block\",\"when\":{\"query\":{\"a\":\"b\"}}},"
			 "{\"id\":\"u\",\"verdict\":\"block\",\"when\":{\"protocol\":\"http\","
			 "\"effect\":\"unknown\"}}");
	assert_null(policy_warning_at(policy_set_at(set, 0), 0));
	set = policy_set_unref(set);
	set = must_compile_rules(
		"block", "{\"id\":\"d\",\"verdict\":\"block\",\"when\":{\"effect\":\"schema\"}}");
	assert_null(policy_warning_at(policy_set_at(set, 0), 0));
	set = policy_set_unref(set);
}

static void test_names_of_files(void **state)
{
	assert_true(policy_is_file_name("a.json"));
	assert_true(policy_is_file_name("10-my.schema.json"));
	assert_false(policy_is_file_name("schema.json"));
	assert_false(policy_is_file_name(".json"));
	assert_false(policy_is_file_name(".a.json"));
	assert_false(policy_is_file_name("a.json.dpkg-old"));
	assert_false(policy_is_file_name("a.JSON"));
	assert_false(policy_is_file_name(""));
}

/* 10,000 rules of the worst shapes within a bounded time, and what is wrong at the end still has a place. */
static void test_ten_thousand_hostile_rules(void **state)
{
	enum { ROOM = 12 * 1024 * 1024 };
	char *text = malloc(ROOM), *fill = malloc(1001);
	struct policy_source source = { "f.json", SLICE_NONE };
	struct policy_set *set = NULL;
	struct policy_err err;
	size_t n = 0;

	assert_non_null(text);
	assert_non_null(fill);
	memset(fill, '*', 1000);
	fill[1000] = '\0';
	n += (size_t)snprintf(text, ROOM, "{\"name\":\"a\",\"rules\":[");
	for (unsigned i = 0; i < POLICY_RULES_MAX; i++)
		n += (size_t)snprintf(text + n, ROOM - n,
				      "%s\n{\"id\":\"r%u\",\"verdict\":\"%s\",\"when\":{\"object\":"
				      "\"%.*sx%u\"}}",
				      i ? "," : "", i, i & 1 ? "hold" : "block", i % 10 ? 3 : 1000,
				      fill, i);
	n += (size_t)snprintf(text + n, ROOM - n, "]}");
	source.json = slice_of(text, n);
	assert_int_equal(policy_set_compile(&source, 1, &set, &err), 0);
	set = policy_set_unref(set);
	memcpy(text + n - 2, ",1]}", 5); /* one more, and not even a rule */
	source.json = slice_of(text, n + 2);
	assert_int_equal(policy_set_compile(&source, 1, &set, &err), -EMSGSIZE);
	assert_non_null(strstr(err.message, "10001 rules"));
	free(text);
	free(fill);
}

static void test_hash_and_text(void **state)
{
	/* printf '{"name":"a"}' | sha256sum */
	static const uint8_t head[4] = { 0xd9, 0xd7, 0x19, 0xb2 };
	struct policy_set *set = must_compile("{\"name\":\"a\"}");
	const struct policy *p = policy_set_at(set, 0);

	assert_memory_equal(policy_hash(p), head, sizeof(head));
	assert_true(slice_eq(policy_text(p), SLICE("{\"name\":\"a\"}")));
	assert_int_equal(policy_get_mode(p), POLICY_ENFORCE);
	set = policy_set_unref(set);
}

static int compile_scenario(void *ctx)
{
	struct policy_source source = { "s", slice_str(ctx) };
	struct policy_set *set = NULL;
	struct policy_err err;
	int r = policy_set_compile(&source, 1, &set, &err);

	assert_true(r == 0 ? set != NULL : set == NULL);
	(void)policy_set_unref(set);
	return r;
}

static void test_allocation_failures(void **state)
{
	static char text[] =
		"{\"name\":\"a\",\"agents\":[{\"cgroup\":\"/a\",\"label\":{\"k\":\"v\"}}],"
		"\"targets\":[{\"name\":\"t\",\"hosts\":[\"h\",\"10.0.0.0/8\"],\"ports\":[1],"
		"\"default\":\"block\"}],\"rules\":["
		"{\"id\":\"r\",\"verdict\":\"hold\",\"message\":\"m\",\"when\":{\"target\":\"t\","
		"\"verb\":\"x\",\"object\":[\"a.b\"],\"attr\":{\"limit\":[1,2]}}},"
		"{\"id\":\"s\",\"verdict\":\"block\",\"when\":{\"path\":\"/x/"
		"**\",\"host\":\"h\"}}]}";

	/* jansson too is to meet failures. */
	json_set_alloc_funcs(malloc, free);
	alloc_fail_each(compile_scenario, text, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_name_their_place),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_sixteen_megabytes_compile),
		cmocka_unit_test(test_ten_thousand_rules),
		cmocka_unit_test(test_names_are_unique_over_sources),
		cmocka_unit_test(test_the_nearest_policy_wins),
		cmocka_unit_test(test_the_most_specific_target_wins),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_names_of_files),
		cmocka_unit_test(test_ten_thousand_hostile_rules),
		cmocka_unit_test(test_hash_and_text),
		cmocka_unit_test(test_allocation_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
