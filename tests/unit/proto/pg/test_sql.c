// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "proto/pg/sql.h"
#include "proto/pg/sql_norm.h"
#include "support/test.h"

static const struct pg_facts *facts(struct pg_sql *s, const char *text)
{
	const struct pg_facts *f;

	assert_int_equal(pg_sql_facts(s, slice_str(text), NULL, &f), 0);
	return f;
}

static struct pg_sql *sql_new(size_t entries, size_t bytes)
{
	struct pg_sql *s;

	assert_int_equal(pg_sql_new(entries, bytes, &s), 0);
	return s;
}

static void assert_stmt_equal(const struct pg_stmt *a, const struct pg_stmt *b)
{
	assert_string_equal(a->verb, b->verb);
	assert_int_equal(a->effects, b->effects);
	assert_int_equal(a->n_objects, b->n_objects);
	assert_int_equal(a->n_attrs, b->n_attrs);
	assert_int_equal(a->offset, b->offset);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->copy_in, b->copy_in);
	assert_int_equal(a->copy_out, b->copy_out);
	assert_int_equal(a->sets_lexing, b->sets_lexing);
	assert_int_equal(a->may_set_lexing, b->may_set_lexing);
	for (size_t i = 0; i < a->n_objects; i++) {
		assert_string_equal(a->objects[i].kind, b->objects[i].kind);
		assert_true(slice_eq(a->objects[i].name, b->objects[i].name));
		assert_int_equal(a->objects[i].access, b->objects[i].access);
	}
	for (size_t i = 0; i < a->n_attrs; i++) {
		assert_string_equal(a->attrs[i].key, b->attrs[i].key);
		assert_int_equal(a->attrs[i].type, b->attrs[i].type);
		if (a->attrs[i].type == OP_ATTR_TEXT)
			assert_true(slice_eq(a->attrs[i].s, b->attrs[i].s));
		else if (a->attrs[i].type == OP_ATTR_INT)
			assert_int_equal(a->attrs[i].i, b->attrs[i].i);
		else
			assert_int_equal(a->attrs[i].b, b->attrs[i].b);
	}
}

static void test_offsets(void **state)
{
	static const char *const text = " SELECT 1 ;; DELETE FROM x\n; -- end";
	struct pg_sql *s = sql_new(10, 1 << 20);
	const struct pg_facts *f = facts(s, text), *g;

	assert_int_equal(f->n_stmts, 2);
	assert_memory_equal(text + f->stmts[0].offset, "SELECT 1", f->stmts[0].len);
	assert_int_equal(f->stmts[0].len, 8);
	assert_memory_equal(text + f->stmts[1].offset, "DELETE FROM x", 13);
	assert_int_equal(f->stmts[1].len, 13);
	pg_facts_unref(f);

	f = facts(s, "SELECT 1");
	g = facts(s, "  SELECT  12345 ;");
	assert_int_equal(g->stmts[0].offset, 2);
	assert_int_equal(g->stmts[0].len, 13);
	assert_int_equal(f->stmts[0].len, 8);
	assert_int_equal(f->fingerprint, g->fingerprint);
	assert_true(slice_eq_str(g->norm, "SELECT ?"));
	/* Facts outlive their cache. */
	pg_sql_free(s);
	assert_string_equal(g->stmts[0].verb, "SELECT");
	pg_facts_unref(g);
	pg_facts_unref(f);
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "", " ", ";", ";;;", "-- x", "/* x */ ;" };
	struct pg_sql *s = sql_new(10, 1 << 20);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct pg_facts *f = facts(s, texts[i]);

		assert_true(f->parsed);
		assert_int_equal(f->n_stmts, 0);
		pg_facts_unref(f);
	}
	pg_sql_free(s);
}

static void assert_unknown(struct pg_sql *s, struct slice text)
{
	const struct pg_facts *f;

	assert_int_equal(pg_sql_facts(s, text, NULL, &f), 0);
	assert_false(f->parsed);
	assert_int_equal(f->n_stmts, 1);
	assert_string_equal(f->stmts[0].verb, "UNKNOWN");
	assert_int_equal(f->stmts[0].effects, OP_UNKNOWN);
	assert_int_equal(f->stmts[0].offset, 0);
	assert_int_equal(f->stmts[0].len, text.len);
	pg_facts_unref(f);
}

static void test_bytes_that_are_no_text(void **state)
{
	struct pg_sql *s = sql_new(10, 1 << 20);
	char *big = malloc(PG_SQL_TEXT_MAX + 10);
	const struct pg_facts *f;

	/* A good one first: its normal form must not stand in for what follows. */
	pg_facts_unref(facts(s, "SELECT 'a'"));
	assert_unknown(s, SLICE("SELECT '\xff'"));
	assert_unknown(s, SLICE("SELECT '\xed\xa0\x80'"));
	assert_unknown(s, SLICE("SELECT '\0'"));
	assert_unknown(s, SLICE("SELECT 1\0; DELETE FROM x"));
	f = facts(s, "SELECT 'äöü' AS grün");
	assert_true(f->parsed);
	pg_facts_unref(f);
	memset(big, ' ', PG_SQL_TEXT_MAX + 10);
	memcpy(big, "SELECT 1", 8);
	assert_unknown(s, slice_of(big, PG_SQL_TEXT_MAX + 1));
	free(big);
	pg_sql_free(s);
}

static void test_modes(void **state)
{
	struct pg_sql_mode bs = { .backslash_quote = true }, enc = { .encoding_unsafe = true };
	struct pg_sql *s = sql_new(100, 1 << 20);
	const struct pg_facts *f;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'a\\' x'"), &bs, &f), 0);
		assert_true(f->stmts[0].effects & OP_UNKNOWN);
		pg_facts_unref(f);
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'a\\b'"), &bs, &f), 0);
		assert_true(f->stmts[0].effects & OP_UNKNOWN);
		pg_facts_unref(f);
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'a\\b'"), NULL, &f), 0);
		assert_int_equal(f->stmts[0].effects, OP_READ);
		pg_facts_unref(f);
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'ab'"), &bs, &f), 0);
		assert_int_equal(f->stmts[0].effects, OP_READ);
		pg_facts_unref(f);
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'ä'"), &enc, &f), 0);
		assert_true(f->stmts[0].effects & OP_UNKNOWN);
		pg_facts_unref(f);
		assert_int_equal(pg_sql_facts(s, SLICE("SELECT 'ä'"), NULL, &f), 0);
		assert_int_equal(f->stmts[0].effects, OP_READ);
		pg_facts_unref(f);
	}
	pg_sql_free(s);
}

static void test_bounds(void **state)
{
	struct pg_sql *s = sql_new(8, 4096);
	struct pg_sql_stats st;
	char text[64];

	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "SELECT c%d FROM t%d", i, i);
		pg_facts_unref(facts(s, text));
		pg_sql_stats(s, &st);
		assert_true(st.entries <= 8);
		assert_true(st.bytes <= 4096);
	}
	pg_facts_unref(facts(s, "SELECT c99 FROM t99"));
	pg_sql_stats(s, &st);
	assert_int_equal(st.hits, 1);
	pg_sql_free(s);
}

/* ---- the cache says what a fresh parse would say -------------------------------------------- */

static const char *const literals[] = {
	"1",
	"0",
	"42",
	"123456789",
	"1234567890",
	"99999999999999999999",
	"1.5",
	".5",
	"1e5",
	"1.",
	"0x1f",
	"1_000",
	"12ab",
	"'a'",
	"''",
	"'it''s'",
	"'a;b'",
	"'--x'",
	"'/*'",
	"'a' 'b'",
	"'a'\n'b'",
	"E'a'",
	"U&'a'",
	"N'a'",
	"b'01'",
	"x'1f'",
	"$$a$$",
	"$x$a$x$",
	"$1",
	"'\\'",
	"E'\\''",
	"'ä'",
	"-1",
	"'off'",
	"'/etc/passwd'",
	"NULL",
	"true",
	"\"a\"",
	"(1)",
	"'standard_conforming_strings'",
	"'search_path'",
	"'pg_catalog'",
	"'a' -- c\n 'b'",
	"'a'/**/'b'",
	"1..2",
	"1.2.3",
	"'a'b",
};

static const char *const frames[] = {
	"SELECT %s",
	"SELECT %s, %s FROM t",
	"SELECT * FROM t WHERE id = %s",
	"SELECT * FROM t WHERE id = %s AND x = %s;",
	"SELECT * FROM t LIMIT %s",
	"SELECT * FROM t WHERE a = %s LIMIT %s",
	"SELECT * FROM t LIMIT (%s)",
	"SELECT * FROM (SELECT 1 LIMIT %s) x LIMIT (%s)",
	"SELECT first(1), next %s FROM t LIMIT (%s)",
	"SELECT * FROM t ORDER BY a NULLS FIRST LIMIT %s",
	"SELECT * FROM t WHERE a = %s LIMIT 10",
	"SELECT * FROM t FETCH NEXT %s ROWS ONLY OFFSET %s",
	"SELECT * FROM t OFFSET %s",
	"SELECT * FROM t FETCH FIRST %s ROWS ONLY",
	"DELETE FROM t WHERE %s = %s",
	"DELETE FROM t WHERE id = %s",
	"DELETE FROM t WHERE id IN (%s, %s)",
	"DELETE FROM t WHERE %s",
	"UPDATE t SET a = %s WHERE b = %s",
	"INSERT INTO t VALUES (%s, %s)",
	"SELECT pg_read_file(%s)",
	"SELECT set_config(%s, %s, false)",
	"SELECT nextval(%s)",
	"SELECT lo_import(%s)",
	"SELECT table_to_xml(%s, true, true, '')",
	"SELECT x::varchar(%s)",
	"SELECT x::float(%s)",
	"SELECT x::char(%s)",
	"SELECT interval %s",
	"SELECT interval(%s) %s",
	"SELECT time(%s) %s",
	"SELECT t.%s FROM t",
	"SELECT a%s FROM t",
	"SELECT %sa FROM t",
	"SELECT a[%s:%s]",
	"SELECT f(a => %s)",
	"SELECT EXTRACT(%s FROM x)",
	"SELECT %s%s",
	"SELECT %s %s",
	"SELECT -%s",
	"SELECT 1-%s",
	"SELECT 1--%s",
	"SELECT 1/*%s*/+%s",
	"SELECT a ? %s",
	"SELECT a & %s",
	"SELECT \"%s\" FROM t",
	"COPY t FROM %s",
	"COPY t FROM PROGRAM %s",
	"COPY t TO STDOUT DELIMITER %s",
	"SET work_mem = %s",
	"SET client_encoding = %s",
	"SET search_path = %s",
	"SET search_path = %s, %s",
	"NOTIFY x, %s",
	"LOAD %s",
	"DO %s",
	"EXPLAIN (ANALYZE %s) DELETE FROM t",
	"EXPLAIN SELECT %s",
	"PREPARE p AS SELECT %s",
	"EXECUTE p(%s)",
	"DECLARE c CURSOR FOR SELECT %s",
	"FETCH %s FROM c",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS %s",
	"CREATE TABLE t (a int DEFAULT %s)",
	"ALTER ROLE r PASSWORD %s",
	"COMMENT ON TABLE t IS %s",
	"PREPARE TRANSACTION %s",
	"CREATE TABLESPACE x LOCATION %s",
	"SELECT 1; SELECT %s",
	"SELECT %s; DELETE FROM t",
	"WITH x AS (DELETE FROM t WHERE id = %s) SELECT %s",
	"MERGE INTO t USING u ON t.a = %s WHEN MATCHED THEN DELETE",
	"SELECT * FROM t TABLESAMPLE system (%s)",
	"SELECT * FROM XMLTABLE(%s PASSING x COLUMNS a int DEFAULT %s)",
	"SELECT sum(x) OVER (ROWS %s PRECEDING) FROM t",
	"SELECT * FROM t ORDER BY %s",
	"VALUES (%s), (%s)",
	"  SELECT /* c */ %s  -- tail",
};

static void check_against_fresh(struct pg_sql *warm, const char *text)
{
	struct pg_sql *cold = sql_new(0, 0);
	const struct pg_facts *a = facts(warm, text), *b = facts(cold, text);

	if (a->parsed != b->parsed || a->n_stmts != b->n_stmts ||
	    (a->n_stmts && a->stmts[0].n_attrs != b->stmts[0].n_attrs))
		fail_msg("the cache differs: %s", text);
	for (size_t i = 0; i < a->n_stmts; i++)
		assert_stmt_equal(&a->stmts[i], &b->stmts[i]);
	assert_int_equal(a->fingerprint, b->fingerprint);
	assert_true(slice_eq(a->norm, b->norm));
	pg_facts_unref(a);
	pg_facts_unref(b);
	pg_sql_free(cold);
}

static void test_cache_is_sound(void **state)
{
	struct pg_sql *warm = sql_new(1000, 1 << 20);
	struct pg_sql_stats st;
	char text[256];

	/* Both orders, so that each literal meets entries that others have left. */
	for (size_t f = 0; f < ARRAY_SIZE(frames); f++)
		for (size_t i = 0; i < ARRAY_SIZE(literals); i++)
			for (size_t k = 0; k < ARRAY_SIZE(literals); k += 1 + (i + f) % 5) {
				snprintf(text, sizeof(text), frames[f], literals[i], literals[k]);
				check_against_fresh(warm, text);
				snprintf(text, sizeof(text), frames[f], literals[k], literals[i]);
				check_against_fresh(warm, text);
			}
	pg_sql_stats(warm, &st);
	assert_true(st.hits > 1000);
	assert_true(st.misses > 1000);
	pg_sql_free(warm);
}

/* ---- depth ---------------------------------------------------------------------------------- */

static const struct {
	const char *before, *again, *middle, *after;
} deep[] = {
	{ "SELECT 1", "+1", "", "" },
	{ "SELECT ", "NOT ", "true", "" },
	{ "SELECT ", "(", "1", ")" },
	{ "SELECT ", "(SELECT ", "1", ")" },
	{ "SELECT ", "CASE WHEN ", "true", " THEN true END" },
	{ "SELECT ", "CASE WHEN true THEN 1 ELSE ", "1", " END" },
	{ "SELECT 1", " UNION ALL SELECT 1", "", "" },
	{ "SELECT 1", " UNION ALL SELECT 1,2", "", "" },
	{ "SELECT 1", "::int", "", "" },
	{ "SELECT ", "f(", "1", ")" },
	{ "SELECT ", "f(1,", "1", ")" },
	{ "SELECT a", ".a", "", "" },
	{ "SELECT 1 FROM a", " CROSS JOIN b", "", "" },
	{ "SELECT 1 FROM a", " JOIN b ON true AND true", "", "" },
	{ "SELECT ", "ARRAY[", "1", "]" },
	{ "SELECT a", "[a", "", "]" },
	{ "SELECT x", " BETWEEN 1 AND 2 IS TRUE", "", "" },
	{ "SELECT ", "- ", "a", "" },
	{ "SELECT ", "@ ", "a", "" },
	{ "SELECT * FROM ", "(SELECT * FROM ", "t", ") AS x" },
	{ "", "WITH x AS (", "SELECT 1", ") SELECT 1" },
	{ "SELECT 1 WHERE a = 1", " OR a = 1", "", "" },
	{ "SELECT 1 WHERE a = 1", " AND NOT a = 1", "", "" },
	{ "SELECT x", " IS NULL", "", "" },
	{ "SELECT x", " COLLATE c", "", "" },
	{ "SELECT x", " AT TIME ZONE y", "", "" },
	{ "SELECT 1 WHERE ", "EXISTS (SELECT 1 WHERE ", "true", ")" },
	{ "SELECT 1", "; SELECT 1", "", "" },
	{ "SELECT 1", ",1", "", "" },
	{ "SELECT ", "ROW(", "1", ")" },
	{ "EXPLAIN ", "EXPLAIN ", "SELECT 1", "" },
	{ "SELECT 1 ", "/*", "", "*/" },
	{ "SELECT a = ", "ANY (SELECT a = ", "1", ")" },
};

static void *deep_run(void *ctx)
{
	static const size_t counts[] = { 100, 249, 331, 499, 990, 1500, 5000, 100000 };
	struct pg_sql *s = sql_new(10, 1 << 20);

	for (size_t i = 0; i < ARRAY_SIZE(deep); i++)
		for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
			size_t n = counts[c], again = strlen(deep[i].again);
			size_t after = strlen(deep[i].after);
			char *text = malloc(strlen(deep[i].before) + strlen(deep[i].middle) +
					    n * (again + after) + 1);
			char *p = stpcpy(text, deep[i].before);
			const struct pg_facts *f;

			for (size_t k = 0; k < n; k++)
				p = stpcpy(p, deep[i].again);
			p = stpcpy(p, deep[i].middle);
			for (size_t k = 0; k < n; k++)
				p = stpcpy(p, deep[i].after);
			f = facts(s, text);
			assert_true(f->n_stmts >= 1);
			/* Flat things of that size are everyday. */
			if (n <= 499 && strcmp(deep[i].again, " OR a = 1") == 0)
				assert_true(f->parsed);
			if (n <= 5000 && strcmp(deep[i].again, ",1") == 0)
				assert_true(f->parsed);
			pg_facts_unref(f);
			free(text);
		}
	pg_sql_free(s);
	return NULL;
}

/* Eight MiB of stack is what a worker thread has. */
static void test_depth(void **state)
{
	pthread_attr_t attr;
	pthread_t t;

	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, 8 << 20), 0);
	assert_int_equal(pthread_create(&t, &attr, deep_run, NULL), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	pthread_attr_destroy(&attr);
}

static void *thread_run(void *ctx)
{
	struct pg_sql *s = sql_new(100, 1 << 20);
	char text[64];

	for (int i = 0; i < 2000; i++) {
		const struct pg_facts *f;

		snprintf(text, sizeof(text), i % 7 ? "SELECT c%d FROM t" : "SELEC c%d FROM t", i);
		f = facts(s, text);
		assert_int_equal(f->parsed, i % 7 != 0);
		pg_facts_unref(f);
	}
	pg_sql_free(s);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, thread_run, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
}

static int alloc_scenario(void *ctx)
{
	static const char *const texts[] = {
		"SELECT a FROM b WHERE c = 1",
		"SELECT a FROM b WHERE c = 12345",
		"WITH x AS (DELETE FROM a), y AS (UPDATE b SET c = 1) SELECT * FROM a, b, c, d, e, "
		"f, g, h, i, j, k",
		"DROP TABLE a.b",
		"nonsense",
	};
	struct pg_sql *s = NULL;
	int r = pg_sql_new(4, 1 << 16, &s);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++) {
		const struct pg_facts *f;

		r = pg_sql_facts(s, slice_str(texts[i]), NULL, &f);
		if (r == 0)
			pg_facts_unref(f);
	}
	if (r < 0)
		assert_int_equal(r, -ENOMEM);
	pg_sql_free(s);
	return r;
}

static bool unknown_by_functions(struct pg_sql *s, const char *text, const struct pg_sql_mode *mode)
{
	const struct pg_facts *f;
	bool ret = false;

	assert_int_equal(pg_sql_facts(s, slice_str(text), mode, &f), 0);
	assert_int_equal(f->n_stmts, 1);
	for (size_t i = 0; i < f->stmts[0].n_attrs; i++)
		if (strcmp(f->stmts[0].attrs[i].key, "unknown_by") == 0) {
			assert_true(slice_eq(f->stmts[0].attrs[i].s, SLICE("functions")));
			assert_int_equal(f->stmts[0].effects & (OP_EXEC | OP_UNKNOWN),
					 OP_EXEC | OP_UNKNOWN);
			ret = true;
		}
	pg_facts_unref(f);
	return ret;
}

static void test_unknown_by(void **state)
{
	static const struct {
		const char *text;
		bool functions;
	} rows[] = {
		{ "SELECT mine(1)", true },
		{ "SELECT app.mine(1), lower('x') FROM t", true },
		{ "DELETE FROM t WHERE id = mine(2)", true },
		{ "EXPLAIN SELECT mine(1)", true },
		{ "CALL mine(1)", true },
		{ "CREATE TABLE t (a int DEFAULT mine())", true },
		{ "SELECT lower('x')", false },
		{ "SELECT mine(1), pg_read_file(x) FROM t", false },
		{ "SELECT mine(1), query_to_xml('x', true, true, '')", false },
		{ "SELECT mine(1), dblink('x', 'y')", false },
		{ "SELECT mine(1) OPERATOR(app.+) 2", false },
		{ "SELECT mine(1) FROM t TABLESAMPLE evil (1)", false },
		{ "CALL lower(mine(1))", false },
		{ "EXECUTE p (mine(1))", false },
		{ "CREATE FUNCTION f(a int DEFAULT mine()) RETURNS int LANGUAGE sql AS ''", false },
		{ "DO 'x'", false },
		{ "SELEC mine(1)", false },
	};
	static const struct pg_sql_mode odd = { .backslash_quote = true, .encoding_unsafe = true };
	struct pg_sql *s = sql_new(100, 1 << 20);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (unknown_by_functions(s, rows[i].text, NULL) != rows[i].functions)
			fail_msg("%s", rows[i].text);
	/* Text that the server may read differently is unknown by itself. */
	assert_false(unknown_by_functions(s, "SELECT mine('\\')", &odd));
	assert_true(unknown_by_functions(s, "SELECT mine('\\')", NULL));
	pg_sql_free(s);
}

static void test_alloc_failures(void **state)
{
	alloc_fail_each(alloc_scenario, NULL, 0);
}

/* Runs of operator characters, which the scanner reads again and again: n of unit behind a word. */
static bool flat(const char *unit, size_t n, const char *end)
{
	size_t each = strlen(unit);
	char *text = malloc(16 + n * each + strlen(end)), *p;
	bool r;

	assert_non_null(text);
	p = stpcpy(text, "select 1 ");
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, unit);
	p = stpcpy(p, end);
	r = pg_text_is_flat(text, (size_t)(p - text));
	free(text);
	return r;
}

static void test_scanner_work(void **state)
{
	assert_false(flat("/*", 100000, ""));
	assert_false(flat("+-", 100000, "1"));
	assert_false(flat("/*", 3000, ""));
	assert_true(
		flat("-- =========================================================\n", 1000, ""));
	assert_true(
		flat("/************************************************************/\n", 1000, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_bytes_that_are_no_text),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_cache_is_sound),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_unknown_by),
		cmocka_unit_test(test_alloc_failures),
		cmocka_unit_test(test_scanner_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
