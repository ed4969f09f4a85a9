// SPDX-License-Identifier: Apache-2.0
/*
 * policy/tables/pg-effects.tsv: a statement, then what must be found in it. To add lines:
 *     printf '%s\n' 'SELECT 1' | test_sql_table --print
 * writes them with what is found now: read them before they go in.
 */
#include <stdio.h>

#include "proto/pg/sql.h"
#include "support/test.h"

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "kind:name=access, …", sorted; "-" for none */
static void objects_format(const struct pg_stmt *st, char *out, size_t size)
{
	char *parts[64];
	char effects[128];
	size_t len = 0;

	assert_true(st->n_objects <= ARRAY_SIZE(parts));
	for (size_t i = 0; i < st->n_objects; i++) {
		const struct op_object *o = &st->objects[i];

		op_effects_format(o->access, effects, sizeof(effects));
		assert_true(asprintf(&parts[i], "%s:%.*s=%s", o->kind, SLICE_FMT(o->name),
				     effects) > 0);
	}
	qsort(parts, st->n_objects, sizeof(parts[0]), cmp_str);
	snprintf(out, size, "-");
	for (size_t i = 0; i < st->n_objects; i++) {
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", parts[i]);
		assert_true(len < size);
		free(parts[i]);
	}
}

static void line_format(struct pg_sql *s, struct slice text, char *out, size_t size)
{
	const struct pg_facts *f;
	const char *where = "-";
	char effects[128], objects[2048];

	assert_int_equal(pg_sql_facts(s, text, NULL, &f), 0);
	assert_int_equal(f->n_stmts, 1);
	for (size_t i = 0; i < f->stmts[0].n_attrs; i++)
		if (strcmp(f->stmts[0].attrs[i].key, "where") == 0)
			where = f->stmts[0].attrs[i].b ? "where" : "all";
	op_effects_format(f->stmts[0].effects, effects, sizeof(effects));
	objects_format(&f->stmts[0], objects, sizeof(objects));
	snprintf(out, size, "%s\t%s\t%s\t%s%s", f->stmts[0].verb, effects, objects, where,
		 f->stmts[0].sets_lexing ? "\tlexing" : "");
	pg_facts_unref(f);
}

static void test_table(void **state)
{
	FILE *in = fopen("policy/tables/pg-effects.tsv", "r");
	struct pg_sql *s;
	char *line = NULL, got[4096];
	size_t cap = 0, n = 0, bad = 0;
	ssize_t len;

	assert_non_null(in);
	assert_int_equal(pg_sql_new(1000, 1 << 20, &s), 0);
	while ((len = getline(&line, &cap, in)) > 0) {
		char *tab;

		if (line[len - 1] == '\n')
			line[--len] = 0;
		if (!len || line[0] == '#')
			continue;
		tab = strchr(line, '\t');
		assert_non_null(tab);
		n++;
		/* Twice: what the cache gives must be the same. */
		for (int i = 0; i < 2; i++) {
			line_format(s, slice_of(line, (size_t)(tab - line)), got, sizeof(got));
			if (strcmp(got, tab + 1) != 0) {
				print_error("%.*s\n  want %s\n  got  %s\n", (int)(tab - line), line,
					    tab + 1, got);
				bad++;
			}
		}
	}
	free(line);
	fclose(in);
	pg_sql_free(s);
	assert_int_equal(bad, 0);
	assert_true(n >= 300);
}

static int print(void)
{
	struct pg_sql *s;
	char *line = NULL, got[4096];
	size_t cap = 0;
	ssize_t len;

	if (pg_sql_new(1000, 1 << 20, &s) < 0)
		return 1;
	while ((len = getline(&line, &cap, stdin)) > 0) {
		if (line[len - 1] == '\n')
			line[--len] = 0;
		if (len && line[0] != '#') {
			line_format(s, slice_of(line, (size_t)len), got, sizeof(got));
			printf("%s\t%s\n", line, got);
		} else {
			puts(line);
		}
	}
	free(line);
	pg_sql_free(s);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	if (argc > 1 && strcmp(argv[1], "--print") == 0)
		return print();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
