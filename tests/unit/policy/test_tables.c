// SPDX-License-Identifier: Apache-2.0
/*
 * Decision tables of the shipped policies: every line of policy/tables/NAME.tsv holds one operation
 * and the verdict that policy/NAME.json must give. Every rule must decide at least one line.
 */
#include "policy_test.h"

#include <glob.h>

#include "policy/compiled.h"

enum { COLUMNS = 9, ITEMS = 16 };
enum { C_POLICY, C_TARGET, C_PROTOCOL, C_VERB, C_EFFECTS, C_OBJECTS, C_ATTRS, C_VERDICT, C_RULE };

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 256 * 1024);
	size_t n;

	if (!f)
		fail_msg("%s: cannot be read (tests run from the top of the tree)", path);
	assert_non_null(text);
	n = fread(text, 1, 256 * 1024 - 1, f);
	assert_true(n > 0 && feof(f));
	fclose(f);
	return text;
}

static uint32_t parse_effects(char *text, const char *delimiters)
{
	uint32_t bits = 0;
	char *save;

	for (char *w = strtok_r(text, delimiters, &save); w;
	     w = strtok_r(NULL, delimiters, &save)) {
		uint32_t bit = op_effect_parse(slice_str(w));

		if (!bit)
			fail_msg("no effect is called %s", w);
		bits |= bit;
	}
	return bits;
}

static size_t parse_objects(char *text, struct op_object *ret)
{
	size_t n = 0;
	char *save;

	if (strcmp(text, "-") == 0)
		return 0;
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save), n++) {
		char *colon = strchr(w, ':'), *equals = strrchr(w, '=');

		assert_true(n < ITEMS && colon && equals && colon < equals);
		*colon = *equals = '\0';
		ret[n] = (struct op_object){ w, slice_str(colon + 1),
					     parse_effects(equals + 1, "+") };
	}
	return n;
}

static size_t parse_attrs(char *text, struct op_attr *ret)
{
	size_t n = 0;
	char *save;

	if (strcmp(text, "-") == 0)
		return 0;
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save), n++) {
		char *equals = strchr(w, '=');

		assert_true(n < ITEMS && equals);
		*equals = '\0';
		ret[n].key = w;
		if (strcmp(equals + 1, "true") == 0 || strcmp(equals + 1, "false") == 0) {
			ret[n].type = OP_ATTR_BOOL;
			ret[n].b = equals[1] == 't';
		} else {
			ret[n].type = OP_ATTR_TEXT;
			ret[n].s = slice_str(equals + 1);
		}
	}
	return n;
}

static const struct policy_target *find_target(const struct policy *p, const char *name)
{
	const struct policy_target *t = NULL;

	if (strcmp(name, "-") == 0)
		return NULL;
	for (size_t i = 0; (t = policy_target_at(p, i)) && strcmp(t->name, name) != 0; i++)
		;
	if (!t)
		fail_msg("no target is called %s", name);
	return t;
}

static void check_line(const char *where, const struct policy *p, char **col, bool *rule_seen)
{
	struct op_object objects[ITEMS] = { 0 };
	struct op_attr attrs[ITEMS] = { 0 };
	struct op op = { .protocol = col[C_PROTOCOL],
			 .verb = slice_str(col[C_VERB]),
			 .objects = objects,
			 .attrs = attrs };
	struct verdict v;

	assert_string_equal(col[C_POLICY], policy_name(p));
	op.effects = parse_effects(col[C_EFFECTS], " ");
	op.n_objects = parse_objects(col[C_OBJECTS], objects);
	op.n_attrs = parse_attrs(col[C_ATTRS], attrs);
	policy_decide(p, find_target(p, col[C_TARGET]), NULL, &op, NULL, 0, &v);
	if (strcmp(verdict_names[v.kind], col[C_VERDICT]) != 0 || strcmp(v.rule, col[C_RULE]) != 0)
		fail_msg("%s: expected %s by %s, got %s by %s", where, col[C_VERDICT], col[C_RULE],
			 verdict_names[v.kind], v.rule);
	for (size_t i = 0; i < p->n_rules; i++)
		rule_seen[i] = rule_seen[i] || strcmp(p->rules[i].id, v.rule) == 0;
}

/* Tables of decisions begin with the names of their columns. */
static bool is_decisions(const char *table)
{
	return strncmp(table, "# policy\ttarget\t", 16) == 0;
}

static void check_table(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char policy_path[256], where[512], *json, *table, *save;
	bool rule_seen[256] = { false };
	const struct policy *p;
	struct policy_set *set;
	unsigned lines = 0;

	snprintf(policy_path, sizeof(policy_path), "policy/%.*s.json", (int)(strlen(name) - 4),
		 name);
	table = read_file(path);
	if (!is_decisions(table)) {
		free(table); /* other handlers keep tables of facts here */
		return;
	}
	json = read_file(policy_path);
	set = must_compile(json);
	p = policy_set_at(set, 0);
	assert_true(p->n_rules <= ARRAY_SIZE(rule_seen));
	if (policy_warning_at(p, 0))
		fail_msg("%s: %s", policy_path, policy_warning_at(p, 0)->message);
	for (char *line = strtok_r(table, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *col[COLUMNS], *rest = line;
		size_t n = 0;

		if (*line == '#')
			continue;
		snprintf(where, sizeof(where), "%s, table line %u (%.300s)", path, ++lines, line);
		while (n < COLUMNS && (col[n] = strsep(&rest, "\t")))
			n++;
		if (n != COLUMNS || rest)
			fail_msg("%s: %zu columns", where, n);
		check_line(where, p, col, rule_seen);
	}
	for (size_t i = 0; i < p->n_rules; i++)
		if (!rule_seen[i])
			fail_msg("%s: no line is decided by rule %s", path, p->rules[i].id);
	assert_true(lines > 0);
	free(json);
	free(table);
	(void)policy_set_unref(set);
}

static void check_pattern(const char *pattern, void (*check)(const char *path), size_t least)
{
	glob_t found;

	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= least);
	for (size_t i = 0; i < found.gl_pathc; i++)
		check(found.gl_pathv[i]);
	globfree(&found);
}

static void test_every_line(void **state)
{
	check_pattern("policy/tables/*.tsv", check_table, 3);
}

static void has_table(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char table[256], *text;

	if (strcmp(name, "schema.json") == 0)
		return;
	snprintf(table, sizeof(table), "policy/tables/%.*s.tsv", (int)(strlen(name) - 5), name);
	text = read_file(table);
	assert_true(is_decisions(text));
	free(text);
}

static void test_every_policy_has_a_table(void **state)
{
	check_pattern("policy/*.json", has_table, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_line),
		cmocka_unit_test(test_every_policy_has_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
