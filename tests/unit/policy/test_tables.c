// SPDX-License-Identifier: Apache-2.0
/*
 * Decision tables of the shipped policies: every line of policy/tables/NAME.tsv holds one operation
 * and the verdict that policy/NAME.json must give. Every rule must decide at least one line.
 */
#include "policy_test.h"

#include <glob.h>

#include "cli/policy_cases.h"
#include "policy/compiled.h"

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

static void check_case(const char *path, const struct policy *p, const struct policy_case *c,
		       bool *rule_seen)
{
	const struct policy_target *target;
	struct verdict v;
	int r;

	assert_string_equal(c->policy, policy_name(p));
	r = policy_case_judge(c, p, &target, &v);
	if (r < 0)
		fail_msg("%s:%u: no such target", path, c->line);
	if (r == 0)
		fail_msg("%s:%u: %s: expected %s by %s, got %s by %s", path, c->line, c->operation,
			 verdict_names[c->verdict], c->rule, verdict_names[v.kind], v.rule);
	for (size_t i = 0; i < p->n_rules; i++)
		rule_seen[i] = rule_seen[i] || strcmp(p->rules[i].id, v.rule) == 0;
}

static void check_table(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char policy_path[256], error[256], *json, *table;
	static struct policy_case one;
	struct policy_cases cases;
	bool rule_seen[256] = { false };
	const struct policy *p;
	struct policy_set *set;
	unsigned lines = 0;
	int r;

	snprintf(policy_path, sizeof(policy_path), "policy/%.*s.json", (int)(strlen(name) - 4),
		 name);
	table = read_file(path);
	if (!policy_cases_are(table)) {
		free(table); /* other handlers keep tables of facts here */
		return;
	}
	json = read_file(policy_path);
	set = must_compile(json);
	p = policy_set_at(set, 0);
	assert_true(p->n_rules <= ARRAY_SIZE(rule_seen));
	if (policy_warning_at(p, 0))
		fail_msg("%s: %s", policy_path, policy_warning_at(p, 0)->message);
	policy_cases_open(&cases, table);
	while ((r = policy_cases_next(&cases, &one, error)) == 1) {
		check_case(path, p, &one, rule_seen);
		policy_case_done(&one);
		lines++;
	}
	if (r < 0)
		fail_msg("%s:%u: %s", path, one.line, error);
	for (size_t i = 0; i < p->n_rules; i++)
		/* What depends on counts cannot be shown by one operation. */
		if (!rule_seen[i] && !p->rules[i].meter)
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
	assert_true(policy_cases_are(text));
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
