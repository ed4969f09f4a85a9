// SPDX-License-Identifier: Apache-2.0
/*
 * Learned policies: what was seen passes, what was not is refused, and the text does not depend on the
 * order. Operations are made by the handlers themselves.
 */
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>

#include "cli/learn.h"
#include "cli/policy_ops.h"
#include "support/alloc.h"

enum { TEXT_MAX = 1024 * 1024 };

struct seen {
	const char *ip;
	unsigned port;
	const char *target, *text;
};

static const struct seen seen[] = {
	{ "10.0.0.5", 5432, "db", "sql:BEGIN" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT 1" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT 'x', 2.5" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT E'a ', 'c'" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT * FROM users WHERE id = 4" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT name FROM public.orders" },
	{ "10.0.0.5", 5432, "db", "sql:UPDATE users SET name = 'x' WHERE id = 4" },
	{ "10.0.0.5", 5432, "db", "sql:INSERT INTO log SELECT * FROM users" },
	{ "10.0.0.5", 5432, "db", "sql:DELETE FROM scratch" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT own_function(1)" },
	{ "10.0.0.5", 5432, "db", "sql:DO 'BEGIN END'" },
	{ "10.0.0.5", 5432, "db", "sql:SET work_mem = '4MB'" },
	{ "10.0.0.5", 5432, "db", "sql:selec 1" },
	{ "10.0.0.5", 5432, "db", "sql:COMMIT" },
	{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users/4" },
	{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users/77?page=2" },
	{ "10.0.0.8", 80, "api",
	  "http:GET http://api.test/v1/jobs/123e4567-e89b-12d3-a456-426614174000/log" },
	{ "10.0.0.7", 80, "api", "http:HEAD http://api.test/v1/users/4" },
	{ "10.0.0.7", 80, "api", "http:POST http://api.test/v1/users {\"a\": 1}" },
	{ "2001:db8::1", 8080, "", "http:GET http://[2001:db8::1]:8080/health" },
};

/* Each is like something that was seen, and is more. */
static const struct seen foreign[] = {
	{ "10.0.0.5", 5432, "db", "sql:SELECT * FROM secrets" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT 1 FROM secrets" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT 'x', 2.5 FROM secrets" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT E'a ' FROM secrets WHERE x='c'" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT 'x'' FROM secrets --', 2.5" },
	{ "10.0.0.5", 5432, "db", "sql:UPDATE users SET name = 'x'" },
	{ "10.0.0.5", 5432, "db", "sql:UPDATE orders SET name = 'x' WHERE id = 4" },
	{ "10.0.0.5", 5432, "db", "sql:DELETE FROM users WHERE id = 4" },
	{ "10.0.0.5", 5432, "db", "sql:DROP TABLE scratch" },
	{ "10.0.0.5", 5432, "db", "sql:TRUNCATE scratch" },
	{ "10.0.0.5", 5432, "db", "sql:INSERT INTO users SELECT * FROM secrets" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT other_function(1)" },
	{ "10.0.0.5", 5432, "db", "sql:DO 'BEGIN DELETE FROM users; END'" },
	{ "10.0.0.5", 5432, "db", "sql:SET search_path = evil" },
	{ "10.0.0.5", 5432, "db", "sql:SET ROLE postgres" },
	{ "10.0.0.5", 5432, "db", "sql:selec 2" },
	{ "10.0.0.5", 5432, "db", "sql:COPY users TO PROGRAM 'sh'" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT pg_read_file('/etc/passwd')" },
	{ "10.0.0.5", 5432, "db", "sql:SELECT * FROM users FOR UPDATE; GRANT ALL ON users TO x" },
	{ "10.0.0.7", 80, "api", "http:DELETE http://api.test/v1/users/4" },
	{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users" },
	{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users/4/secrets" },
	{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users/../admin" },
	{ "10.0.0.7", 80, "api", "http:POST http://api.test/v1/users/4" },
	{ "10.0.0.7", 80, "api", "http:GET http://other.test/v1/users/4" },
	{ "10.0.0.7", 80, "api",
	  "http:GET http://api.test/v1/users/4 [Upgrade: x] [Connection: upgrade]" },
	{ "2001:db8::1", 8080, "", "http:GET http://[2001:db8::1]:8080/admin" },
	/* Elsewhere: no target. */
	{ "10.0.0.6", 5432, "db", "sql:SELECT 1" },
	{ "10.0.0.5", 5433, "db", "sql:SELECT 1" },
	{ "10.0.0.7", 8080, "api", "http:GET http://api.test/v1/users/4" },
};

static struct addr address(const struct seen *s)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(slice_str(s->ip), &a), 0);
	a.port_be = htons((uint16_t)s->port);
	return a;
}

static void take(struct learn *l, const struct seen *s)
{
	const struct identity who = { .cgroup_path = s->port == 80 ? "/agents/a" : "/agents/b/c" };
	struct addr a = address(s);
	struct policy_ops ops;
	size_t target;

	assert_int_equal(policy_ops_any(s->text, &ops), 0);
	assert_int_equal(learn_session(l, &a, ops.at[0].protocol, s->target, &who, &target), 0);
	for (size_t i = 0; i < ops.n; i++)
		assert_int_equal(learn_op(l, target, &ops.at[i]), 1);
	policy_ops_done(&ops);
}

/* step: 1 in order, others in another. */
static void learn_all(size_t step, bool confirm, struct buf *text)
{
	struct learn_counts counts;
	const char *name;
	struct learn *l;
	struct addr a;

	assert_int_equal(learn_new(&l), 0);
	for (size_t i = 0, at = 0; i < ARRAY_SIZE(seen); i++, at = (at + step) % ARRAY_SIZE(seen))
		take(l, &seen[at]);
	for (size_t i = 0; confirm && learn_host_at(l, i, &name, &a); i++)
		if (strcmp(name, "api.test") == 0)
			learn_host_confirm(l, i);
	buf_init(text, TEXT_MAX);
	assert_int_equal(learn_write(l, "learned", text, &counts), 0);
	assert_int_equal(counts.unsayable, 0);
	learn_free(l);
}

static struct slice name_at(void *ctx, const struct addr *a, size_t i)
{
	struct addr api;

	assert_int_equal(addr_parse_ip(SLICE("10.0.0.7"), &api), 0);
	return i == 0 && memcmp(a->ip, api.ip, sizeof(api.ip)) == 0 ? SLICE("api.test")
								    : SLICE_NONE;
}

/* The worst verdict over the operations of one text, where the agent really goes. */
static enum verdict_kind judge(const struct policy *p, const struct seen *s)
{
	const struct policy_names names = { .at = name_at };
	struct addr a = address(s);
	const struct policy_target *t = policy_target_match(p, &a, &names);
	enum verdict_kind worst = VERDICT_ALLOW;
	struct policy_ops ops;

	if (!t)
		return VERDICT_BLOCK;
	if (policy_ops_any(s->text, &ops) < 0)
		worst = VERDICT_BLOCK;
	for (size_t i = 0; i < ops.n; i++) {
		struct verdict v;

		policy_decide(p, t, NULL, &ops.at[i], NULL, 0, &v);
		worst = MAX(worst, v.kind);
	}
	policy_ops_done(&ops);
	return worst;
}

static struct policy_set *must_compile(const struct buf *text)
{
	const struct policy_source source = { "learned", buf_peek(text) };
	struct policy_set *set;
	struct policy_err err;

	if (policy_set_compile(&source, 1, &set, &err) < 0)
		fail_msg("%u:%u: %s\n%.*s", err.line, err.column, err.message,
			 SLICE_FMT(buf_peek(text)));
	if (policy_warning_at(policy_set_at(set, 0), 0))
		fail_msg("%s", policy_warning_at(policy_set_at(set, 0), 0)->message);
	return set;
}

static void test_what_was_seen_passes_the_rest_does_not(void **state)
{
	struct policy_set *set;
	struct buf text;

	learn_all(1, false, &text);
	set = must_compile(&text);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		if (judge(policy_set_at(set, 0), &seen[i]) != VERDICT_ALLOW)
			fail_msg("refused: %s\n%.*s", seen[i].text, SLICE_FMT(buf_peek(&text)));
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (judge(policy_set_at(set, 0), &foreign[i]) == VERDICT_ALLOW)
			fail_msg("passes: %s\n%.*s", foreign[i].text, SLICE_FMT(buf_peek(&text)));
	(void)policy_set_unref(set);
	buf_done(&text);
}

/* Not the values, but the shape. */
static void test_what_is_like_it_passes(void **state)
{
	static const struct seen alike[] = {
		{ "10.0.0.5", 5432, "db", "sql:SELECT 123" },
		{ "10.0.0.5", 5432, "db", "sql:SELECT 'another', 7.25" },
		{ "10.0.0.7", 80, "api", "http:GET http://api.test/v1/users/5" },
	};
	struct policy_set *set;
	struct buf text;

	learn_all(1, false, &text);
	set = must_compile(&text);
	for (size_t i = 0; i < ARRAY_SIZE(alike); i++)
		if (judge(policy_set_at(set, 0), &alike[i]) != VERDICT_ALLOW)
			fail_msg("refused: %s\n%.*s", alike[i].text, SLICE_FMT(buf_peek(&text)));
	(void)policy_set_unref(set);
	buf_done(&text);
}

static void test_order_changes_nothing(void **state)
{
	static const size_t steps[] = { 3, 7, 11, 19 };
	struct buf first, other;

	learn_all(1, true, &first);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		learn_all(steps[i], true, &other);
		assert_true(slice_eq(buf_peek(&first), buf_peek(&other)));
		buf_done(&other);
	}
	buf_done(&first);
}

static void test_names_only_when_confirmed(void **state)
{
	struct buf text;

	learn_all(1, false, &text);
	assert_non_null(
		memmem(buf_peek(&text).ptr, buf_len(&text), "\"hosts\": [\"10.0.0.7\"]", 21));
	assert_non_null(
		memmem(buf_peek(&text).ptr, buf_len(&text), "\"hosts\": [\"2001:db8::1\"]", 24));
	buf_done(&text);
	/* Two addresses of one name are one target, by that name alone. */
	learn_all(1, true, &text);
	assert_non_null(
		memmem(buf_peek(&text).ptr, buf_len(&text), "\"hosts\": [\"api.test\"]", 21));
	assert_null(memmem(buf_peek(&text).ptr, buf_len(&text), "10.0.0.7", 8));
	assert_null(memmem(buf_peek(&text).ptr, buf_len(&text), "10.0.0.8", 8));
	buf_done(&text);
}

static void test_agents_are_what_they_have_in_common(void **state)
{
	const struct identity x = { .cgroup_path = "/a/b" }, y = { .cgroup_path = "/a/bc" };
	const struct op_object o[] = { { "table", SLICE("t"), OP_READ } };
	const struct op op = { .protocol = "postgres",
			       .verb = SLICE("SELECT"),
			       .effects = OP_READ,
			       .objects = o,
			       .n_objects = 1 };
	struct addr a = address(&seen[0]);
	struct learn_counts n;
	struct learn *l;
	struct buf text;
	size_t t;

	assert_int_equal(learn_new(&l), 0);
	buf_init(&text, TEXT_MAX);
	assert_int_equal(learn_write(l, "x", &text, &n), -ENODATA);
	assert_int_equal(learn_session(l, &a, "", "db", &x, &t), -EINVAL);
	assert_int_equal(learn_session(l, &a, "postgres", "db", &x, &t), 0);
	assert_int_equal(learn_op(l, t, &op), 1);
	assert_int_equal(learn_write(l, "x", &text, &n), 0);
	assert_non_null(memmem(buf_peek(&text).ptr, buf_len(&text), "\"/a/b\"}]", 8));
	buf_clear(&text);
	assert_int_equal(learn_session(l, &a, "postgres", "db", &y, &t), 0);
	assert_int_equal(learn_write(l, "x", &text, &n), 0);
	assert_non_null(memmem(buf_peek(&text).ptr, buf_len(&text), "\"/a/**\"}]", 9));
	buf_done(&text);
	learn_free(l);
}

/* Names that an agent chose can neither widen a pattern nor break the text. */
static void test_hostile_names(void **state)
{
	static const char *const names[] = {
		"*", "t?", "a[b]", "x\ny", "\xff", "", "a\"b}]", "\\"
	};
	struct addr a = address(&seen[0]);
	const struct identity who = { .cgroup_path = "/a*" };
	struct learn_counts n;
	struct policy_set *set;
	struct learn *l;
	struct buf text;
	size_t t;

	assert_int_equal(learn_new(&l), 0);
	assert_int_equal(learn_session(l, &a, "postgres", "../\"x", &who, &t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct op_object o[] = { { "table", slice_str(names[i]), OP_READ } };
		const struct op op = { .protocol = "postgres",
				       .verb = SLICE("SELECT"),
				       .effects = OP_READ,
				       .text = SLICE("SELECT * FROM \"odd\""),
				       .objects = o,
				       .n_objects = 1 };

		assert_int_equal(learn_op(l, t, &op), 1);
	}
	buf_init(&text, TEXT_MAX);
	assert_int_equal(learn_write(l, "x", &text, &n), 0);
	set = must_compile(&text);
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		assert_int_equal(judge(policy_set_at(set, 0), &foreign[i]), VERDICT_BLOCK);
	(void)policy_set_unref(set);
	buf_done(&text);
	learn_free(l);
}

static void test_what_cannot_be_said_is_counted(void **state)
{
	const struct op_attr odd[] = {
		{ .key = "path", .type = OP_ATTR_TEXT, .s = SLICE("/a*") },
		{ .key = "path_ambiguous", .type = OP_ATTR_BOOL, .b = true }
	};
	struct op op = { .protocol = "http",
			 .verb = SLICE("GET"),
			 .effects = OP_READ,
			 .attrs = odd,
			 .n_attrs = 1 };
	struct addr a = address(&seen[0]);
	const struct identity who = { .cgroup_path = "/a" };
	struct learn *l;
	size_t t;

	assert_int_equal(learn_new(&l), 0);
	assert_int_equal(learn_session(l, &a, "http", "", &who, &t), 0);
	assert_int_equal(learn_op(l, t, &op), 0);
	op.attrs++;
	assert_int_equal(learn_op(l, t, &op), 0);
	op.n_attrs = 0;
	op.verb = SLICE("G3T");
	assert_int_equal(learn_op(l, t, &op), 0);
	learn_free(l);
}

/* A host that was not checked is never permitted by name: the rule must do without. */
static void test_unchecked_hosts(void **state)
{
	const struct op_attr attrs[] = {
		{ .key = "path", .type = OP_ATTR_TEXT, .s = SLICE("/a") },
		{ .key = "host", .type = OP_ATTR_TEXT, .s = SLICE("api.test") },
		{ .key = "host_checked", .type = OP_ATTR_BOOL, .b = false },
	};
	const struct op op = { .protocol = "http",
			       .verb = SLICE("GET"),
			       .effects = OP_READ,
			       .attrs = attrs,
			       .n_attrs = 3 };
	struct addr a = address(&seen[0]);
	const struct identity who = { .cgroup_path = "/a" };
	struct learn_counts n;
	struct policy_set *set;
	struct verdict v;
	struct learn *l;
	struct buf text;
	size_t t;

	assert_int_equal(learn_new(&l), 0);
	assert_int_equal(learn_session(l, &a, "http", "api", &who, &t), 0);
	assert_int_equal(learn_op(l, t, &op), 1);
	buf_init(&text, TEXT_MAX);
	assert_int_equal(learn_write(l, "x", &text, &n), 0);
	set = must_compile(&text);
	policy_decide(policy_set_at(set, 0), policy_target_at(policy_set_at(set, 0), 0), NULL, &op,
		      NULL, 0, &v);
	assert_int_equal(v.kind, VERDICT_ALLOW);
	(void)policy_set_unref(set);
	buf_done(&text);
	learn_free(l);
}

/* -ENOMEM wherever memory is out, and nothing is left behind. */
static int learn_some(void *ctx)
{
	const struct identity who = { .cgroup_path = "/a/b" }, other = { .cgroup_path = "/a/c" };
	const struct op_object o[] = { { "table", SLICE("t"), OP_READ } };
	const struct op op = { .protocol = "postgres",
			       .verb = SLICE("SELECT"),
			       .effects = OP_READ,
			       .objects = o,
			       .n_objects = 1 },
			bare = { .protocol = "postgres",
				 .verb = SLICE("SELECT"),
				 .effects = OP_READ,
				 .text = SLICE("SELECT 1") };
	struct addr a = address(&seen[0]);
	struct learn_counts n;
	struct learn *l = NULL;
	struct buf text;
	size_t t;
	int r = learn_new(&l);

	buf_init(&text, TEXT_MAX);
	if (r == 0)
		r = learn_session(l, &a, "postgres", "db", &who, &t);
	if (r == 0)
		r = learn_session(l, &a, "postgres", "db", &other, &t);
	if (r == 0)
		r = MIN(learn_op(l, t, &op), 0);
	if (r == 0)
		r = MIN(learn_op(l, t, &bare), 0);
	if (r == 0)
		r = learn_write(l, "x", &text, &n);
	buf_done(&text);
	learn_free(l);
	assert_true(r == 0 || r == -ENOMEM);
	return r;
}

static void test_memory_runs_out(void **state)
{
	alloc_fail_each(learn_some, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_seen_passes_the_rest_does_not),
		cmocka_unit_test(test_what_is_like_it_passes),
		cmocka_unit_test(test_order_changes_nothing),
		cmocka_unit_test(test_names_only_when_confirmed),
		cmocka_unit_test(test_agents_are_what_they_have_in_common),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_what_cannot_be_said_is_counted),
		cmocka_unit_test(test_unchecked_hosts),
		cmocka_unit_test(test_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
