// SPDX-License-Identifier: Apache-2.0
/*
 * The loader and policy/schema.json, held against each other over tests/unit/policy/documents.tsv.
 * Needs python3-jsonschema; exits 77 without it (the loader's half has run by then).
 */
#include "policy_test.h"

#include <stdio.h>

enum { DOCUMENTS = 512 };

static bool taken[DOCUMENTS], schema_takes[DOCUMENTS];
static size_t n_documents;
static bool no_schema;

static void test_loader(void **state)
{
	FILE *f = fopen("tests/unit/policy/documents.tsv", "re");
	static char line[8192];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *tab = strchr(line, '\t');
		struct policy_source source = { "doc", SLICE_NONE };
		struct policy_err err = { 0 };
		struct policy_set *set = NULL;
		bool good;

		if (*line == '#')
			continue;
		assert_non_null(tab);
		assert_true(n_documents < DOCUMENTS);
		*tab++ = '\0';
		source.json = slice_str(tab);
		taken[n_documents] = policy_set_compile(&source, 1, &set, &err) == 0;
		good = strcmp(line, "good") == 0;
		if (taken[n_documents] != good)
			fail_msg("%s: %s", tab, good ? err.message : "was taken");
		if (!good)
			if (err.line != 1 || err.column == 0 || !err.message[0])
				fail_msg("%s: %u:%u: %s", tab, err.line, err.column, err.message);
		schema_takes[n_documents++] = good || strcmp(line, "loader") == 0;
		(void)policy_set_unref(set);
	}
	fclose(f);
	assert_true(n_documents > 50);
}

static void test_schema_agrees(void **state)
{
	FILE *f = popen("python3 -W ignore tests/unit/policy/schema.py", "r");
	size_t n = 0;
	char line[64] = "";

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && (*line == '0' || *line == '1')) {
		if (n < n_documents && (*line == '1') != schema_takes[n])
			fail_msg("document %zu: the schema %s it", n + 1,
				 *line == '1' ? "takes" : "refuses");
		n++;
	}
	pclose(f);
	no_schema = strcmp(line, "done\n") != 0 && n == 0 && strcmp(line, "skip\n") == 0;
	if (no_schema) {
		print_message("python3-jsonschema is missing\n");
		skip();
	}
	assert_string_equal(line, "done\n");
	assert_int_equal(n, n_documents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loader),
		cmocka_unit_test(test_schema_agrees),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed ? failed : no_schema ? 77 : 0;
}
