// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>

#include "proto/pg/sql.h"
#include "proto/pg/sql_catalog.h"
#include "support/test.h"

#define REL(s, n, ...)                                            \
	{                                                         \
		.schema = SLICE(s), .name = SLICE(n), __VA_ARGS__ \
	}

static const struct pg_catalog_also kids[] = {
	{ OP_READ, SLICE("public"), SLICE("kid"), OP_READ },
	{ OP_DELETE, SLICE("public"), SLICE("kid"), OP_DELETE },
};
static const struct pg_catalog_also loop_a[] = {
	{ OP_DELETE, SLICE("public"), SLICE("b"), OP_DELETE | OP_WRITE },
};
static const struct pg_catalog_also loop_b[] = {
	{ OP_WRITE, SLICE("public"), SLICE("a"), OP_READ | OP_WRITE | OP_DELETE },
};
static const struct pg_catalog_relation relations[] = {
	REL("public", "users"),
	REL("app", "users", .code = OP_DELETE),
	REL("public", "trig", .code = OP_WRITE),
	REL("public", "base", .also = kids, .n_also = 2),
	REL("public", "kid"),
	REL("public", "a", .also = loop_a, .n_also = 1),
	REL("public", "b", .also = loop_b, .n_also = 1),
	REL("public", "v", .view = SLICE("SELECT id, lower(x) FROM public.users;")),
	REL("public", "vv", .view = SLICE("SELECT * FROM v")),
	REL("public", "vf", .view = SLICE("SELECT mine(id) FROM kid")),
	REL("public", "vabs", .view = SLICE("SELECT abs(id) FROM kid")),
	REL("public", "bad", .view = SLICE("SELEC")),
	REL("public", "self", .view = SLICE("SELECT * FROM self")),
	REL("public", "m", .view = SLICE("SELECT * FROM kid"), .materialized = true),
	REL("public", "odd.name", .code = OP_READ),
};
static const struct pg_catalog_function functions[] = { { SLICE("abs"), false },
							{ SLICE("mine"), false },
							{ SLICE("total"), true } };
static const struct slice operators[] = { SLICE("##"), SLICE("+") };
static const struct slice types[] = { SLICE("checked") };
static const struct pg_catalog catalog = {
	.relations = relations,
	.n_relations = ARRAY_SIZE(relations),
	.functions = functions,
	.n_functions = ARRAY_SIZE(functions),
	.operators = operators,
	.n_operators = ARRAY_SIZE(operators),
	.types = types,
	.n_types = ARRAY_SIZE(types),
};

/* "effects; kind:name=access…", functions left out, and "; resolved" where that is said. */
static const char *known(struct pg_sql *s, const char *text)
{
	static char out[128 * 1024]; /* 1,024 objects */
	const struct pg_facts *f;
	size_t n;

	assert_int_equal(pg_sql_facts(s, slice_str(text), NULL, &f), 0);
	assert_int_equal(f->n_stmts, 1);
	op_effects_format(f->stmts[0].effects, out, sizeof(out));
	n = strlen(out);
	for (size_t i = 0; i < f->stmts[0].n_objects; i++) {
		const struct op_object *o = &f->stmts[0].objects[i];
		char access[128];

		op_effects_format(o->access, access, sizeof(access));
		n += (size_t)snprintf(out + n, sizeof(out) - n, "; %s:%.*s=%s", o->kind,
				      SLICE_FMT(o->name), access);
	}
	for (size_t i = 0; i < f->stmts[0].n_attrs; i++)
		if (strcmp(f->stmts[0].attrs[i].key, "resolved") == 0)
			snprintf(out + n, sizeof(out) - n, "; resolved");
	pg_facts_unref(f);
	return out;
}

static struct pg_sql *sql_with(const struct pg_catalog *c)
{
	struct pg_sql *s;

	assert_int_equal(pg_sql_new(64, 1 << 20, &s), 0);
	assert_int_equal(pg_sql_set_catalog(s, c), 0);
	return s;
}

static void test_relations(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "SELECT * FROM users", "read; table:users=read; resolved" },
		{ "SELECT * FROM other", "read; table:other=read" },
		{ "SELECT * FROM users, other", "read; table:users=read; table:other=read" },
		{ "SELECT 1", "read; resolved" },
		{ "SELECT * FROM pg_class", "read; table:pg_class=read; resolved" },
		{ "CREATE TABLE n (a int)", "schema; table:n=schema; resolved" },
		/* any schema's when the text has none; one schema's when it has */
		{ "DELETE FROM users", "delete exec unknown; table:users=delete; resolved" },
		{ "DELETE FROM public.users", "delete; table:public.users=delete; resolved" },
		{ "DELETE FROM app.users",
		  "delete exec unknown; table:app.users=delete; resolved" },
		{ "DELETE FROM nowhere.users", "delete; table:nowhere.users=delete" },
		/* code at some accesses only */
		{ "SELECT * FROM trig", "read; table:trig=read; resolved" },
		{ "INSERT INTO trig VALUES (1)", "write exec unknown; table:trig=write; resolved" },
		{ "DELETE FROM trig", "delete; table:trig=delete; resolved" },
		{ "EXPLAIN INSERT INTO trig VALUES (1)", "read; table:trig=read; resolved" },
		{ "GRANT SELECT ON trig TO bob",
		  "grant; table:trig=grant; role:bob=grant; resolved" },
		/* what comes along */
		{ "SELECT * FROM base", "read; table:base=read; table:public.kid=read; resolved" },
		{ "DELETE FROM base",
		  "delete; table:base=delete; table:public.kid=delete; resolved" },
		{ "DELETE FROM a",
		  "read write delete; table:a=delete; table:public.b=write delete; "
		  "table:public.a=read write delete; resolved" },
		/* views */
		{ "SELECT * FROM v", "read; table:v=read; function:lower=read; "
				     "table:public.users=read; resolved" },
		{ "SELECT * FROM vv", "read; table:vv=read; table:v=read; function:lower=read; "
				      "table:public.users=read; resolved" },
		{ "DELETE FROM vv",
		  "read delete; table:vv=delete; table:v=read delete; "
		  "function:lower=read; table:public.users=read delete; resolved" },
		{ "SELECT * FROM vf", "read exec unknown; table:vf=read; "
				      "function:mine=exec unknown; table:kid=read; resolved" },
		{ "SELECT * FROM vabs", "read exec unknown; table:vabs=read; "
					"function:abs=exec unknown; table:kid=read; resolved" },
		{ "SELECT * FROM bad", "read exec unknown; table:bad=read; resolved" },
		{ "SELECT * FROM self", "read; table:self=read; resolved" },
		{ "SELECT * FROM m", "read; table:m=read; resolved" },
		{ "REFRESH MATERIALIZED VIEW m",
		  "read write exec; table:m=write; table:kid=read; resolved" },
		/* names that hold a dot */
		{ "SELECT * FROM \"odd.name\"",
		  "read exec unknown; table:odd.name=read; resolved" },
		/* the names of a WITH are no relations */
		{ "WITH trig AS (SELECT 1) SELECT * FROM trig", "read; resolved" },
	};
	struct pg_sql *s = sql_with(&catalog);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (int again = 0; again < 2; again++) /* the cache says the same */
			if (strcmp(known(s, rows[i].text), rows[i].want) != 0)
				fail_msg("%s\n  want %s\n  got  %s", rows[i].text, rows[i].want,
					 known(s, rows[i].text));
	pg_sql_free(s);
}

static void test_code_under_known_names(void **state)
{
	static const struct {
		const char *text;
		bool unknown;
	} rows[] = {
		{ "SELECT abs(1)", true },
		{ "SELECT pg_catalog.abs(1)", false },
		{ "SELECT lower('x')", false },
		{ "SELECT users.total FROM users", true },
		{ "SELECT (u).total FROM users u", true },
		{ "SELECT total FROM users", false },      /* a column, or an error */
		{ "SELECT users.mine FROM users", false }, /* takes no row */
		{ "SELECT a ## b FROM users", true },
		{ "SELECT 1 + 1", true },
		{ "SELECT 1 OPERATOR(pg_catalog.+) 1", false },
		{ "SELECT 1 - 1", false },
		{ "SELECT '1'::checked", true },
		{ "SELECT CAST(x AS app.checked) FROM users", true },
		{ "SELECT '1'::int", false },
		{ "CREATE TABLE t (a checked)", true },
	};
	struct pg_sql *s = sql_with(&catalog);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((strstr(known(s, rows[i].text), "exec unknown") != NULL) != rows[i].unknown)
			fail_msg("%s: %s", rows[i].text, known(s, rows[i].text));
	pg_sql_free(s);
}

static void test_event_triggers(void **state)
{
	static const struct pg_catalog c = { .event_triggers = true };
	struct pg_sql *s = sql_with(&c);

	assert_string_equal(known(s, "CREATE TABLE x ()"),
			    "schema exec unknown; table:x=schema; resolved");
	assert_string_equal(known(s, "GRANT a TO b"),
			    "grant exec unknown; role:a=grant; role:b=grant; resolved");
	assert_string_equal(known(s, "SELECT 1"), "read; resolved");
	pg_sql_free(s);
}

/* What was cached before is not what is true now. */
static void test_replaced(void **state)
{
	struct pg_sql *s = sql_with(NULL);

	assert_string_equal(known(s, "SELECT * FROM v"), "read; table:v=read");
	assert_int_equal(pg_sql_set_catalog(s, &catalog), 0);
	assert_non_null(strstr(known(s, "SELECT * FROM v"), "public.users"));
	assert_int_equal(pg_sql_set_catalog(s, NULL), 0);
	assert_string_equal(known(s, "SELECT * FROM v"), "read; table:v=read");
	pg_sql_free(s);
}

static void test_limits(void **state)
{
	static struct pg_catalog_also many[3000];
	static char names[3000][8];
	struct pg_catalog_relation big = REL("public", "big", .also = many, .n_also = 3000);
	struct pg_catalog c = { .relations = &big, .n_relations = 1 };
	struct pg_sql *s = sql_with(&catalog);

	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		many[i] = (struct pg_catalog_also){ OP_READ, SLICE("public"), slice_str(names[i]),
						    OP_READ };
	}
	/* Too many names: the old one stays. */
	c.n_types = PG_CATALOG_NAMES_MAX;
	assert_int_equal(pg_sql_set_catalog(s, &c), -EMSGSIZE);
	assert_non_null(strstr(known(s, "SELECT * FROM v"), "public.users"));
	/* More partitions than objects: the rest is unknown. */
	c.n_types = 0;
	assert_int_equal(pg_sql_set_catalog(s, &c), 0);
	assert_true(strncmp(known(s, "SELECT * FROM big LIMIT 1"), "read unknown", 12) == 0);
	pg_sql_free(s);
}

static int set_scenario(void *ctx)
{
	struct pg_sql *s;
	int r = pg_sql_new(64, 1 << 20, &s);

	if (r < 0)
		return r;
	r = pg_sql_set_catalog(s, &catalog);
	assert_true(r == 0 || r == -ENOMEM);
	pg_sql_free(s);
	return r;
}

static void test_alloc_failures(void **state)
{
	alloc_fail_each(set_scenario, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relations),
		cmocka_unit_test(test_code_under_known_names),
		cmocka_unit_test(test_event_triggers),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_alloc_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
