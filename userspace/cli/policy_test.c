// SPDX-License-Identifier: Apache-2.0
/* `weir policy test`: holds policies against tables of cases. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/file.h"
#include "filter.h"
#include "policy_cases.h"
#include "policy_cmds.h"
#include "policy_files.h"

struct tester {
	bool json;
	const char *policy_path; /* --policy */
	const char *table;       /* what is being read */
	struct policy_set *set;
	const struct policy *one;
	unsigned passed, failed, wrong; /* wrong: cases that cannot be judged */
};

/* Beside the table or, of policy/tables/NAME.tsv, policy/NAME.json. */
static char *policy_beside(const char *table)
{
	const char *slash = strrchr(table, '/'), *base = slash ? slash + 1 : table;
	int dir = (int)(base - table), stem = (int)strcspn(base, ".");
	static const char *const up[] = { "", "../" };
	char *path = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(up); i++) {
		if (asprintf(&path, "%.*s%s%.*s.json", dir, table, up[i], stem, base) < 0)
			return NULL;
		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static void problem(struct tester *t, unsigned line, const char *what)
{
	t->wrong++;
	if (t->json)
		policy_json_line(json_pack("{ss,si,ss,ss}", "file", t->table, "line", (int)line,
					   "result", "error", "message", what));
	else
		printf("%s:%u: %s\n", t->table, line, what);
}

/* Which rules matched, for a case that went wrong. */
static json_t *matching(const struct policy *p, const struct policy_target *target,
			const struct policy_case *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_ops; i++)
		for (size_t j = 0; j < policy_rule_count(p); j++) {
			struct verdict v;

			if (!policy_rule_matches(p, j, target, NULL, &c->ops[i], &v))
				continue;
			(void)json_array_append_new(list,
						    json_pack("{ss,ss}", "rule", v.rule, "verdict",
							      verdict_names[v.kind]));
		}
	return list;
}

static void failure(struct tester *t, const struct policy *p, const struct policy_target *target,
		    const struct policy_case *c, const struct verdict *got)
{
	json_t *rules = matching(p, target, c), *r;
	char text[2048];
	size_t i;

	if (t->json) {
		policy_json_line(json_pack("{ss,si,ss,ss,ss,s{ss,ss?},s{ss,ss},so}", "file",
					   t->table, "line", (int)c->line, "result", "failed",
					   "policy", policy_name(p), "operation", c->operation,
					   "expected", "verdict", verdict_names[c->verdict], "rule",
					   c->rule, "got", "verdict", verdict_names[got->kind],
					   "rule", got->rule, "matching", rules));
		return;
	}
	printf("%s:%u: FAILED %s\n", t->table, c->line,
	       log_escape(slice_str(c->operation), text, sizeof(text)));
	printf("    expected %s%s%s\n", verdict_names[c->verdict], c->rule ? " by " : "",
	       c->rule ? c->rule : "");
	printf("    got      %s by %s\n", verdict_names[got->kind], got->rule);
	json_array_foreach(rules, i, r)
		printf("    matching %s (%s)\n", json_string_value(json_object_get(r, "rule")),
		       json_string_value(json_object_get(r, "verdict")));
	if (json_array_size(rules) == 0)
		printf("    no rule matches\n");
	json_decref(rules);
}

static void case_run(struct tester *t, const struct policy_case *c)
{
	const struct policy *p = c->policy ? policy_set_find(t->set, slice_str(c->policy)) : t->one;
	const struct policy_target *target;
	struct verdict got;
	char what[256];
	int r;

	if (!p) {
		snprintf(what, sizeof(what), "there is no policy \"%s\"",
			 c->policy ? c->policy : "-");
		problem(t, c->line, what);
		return;
	}
	r = policy_case_judge(c, p, &target, &got);
	if (r == -ENOENT) {
		snprintf(what, sizeof(what), "policy %s has no such target: %s", policy_name(p),
			 c->target ? c->target : "for this protocol");
		problem(t, c->line, what);
	} else if (r == 0) {
		t->failed++;
		failure(t, p, target, c, &got);
	} else {
		t->passed++;
	}
}

static int cases_run(struct tester *t, char *text)
{
	struct policy_case *c = malloc(sizeof(*c));
	struct policy_cases cases;
	char error[256];
	int r = c ? 1 : -ENOMEM;

	policy_cases_open(&cases, text);
	while (r != -ENOMEM && (r = policy_cases_next(&cases, c, error)) != 0) {
		if (r == -EINVAL) {
			problem(t, c->line, error);
		} else if (r == 1) {
			case_run(t, c);
			policy_case_done(c);
		}
	}
	free(c);
	return r < 0 ? cli_fail(CLI_NO, "%s: %s", t->table, strerror(-r)) : CLI_OK;
}

static int table_run(struct tester *t, const char *table)
{
	_cleanup_(free_p) char *text = NULL, *beside = NULL;
	const char *path = t->policy_path;
	unsigned before = t->passed + t->failed + t->wrong;
	size_t len;
	int r = file_read(AT_FDCWD, table, POLICY_CASES_MAX, &text, &len);

	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", table, strerror(-r));
	if (!policy_cases_are(text))
		return cli_fail(CLI_NO,
				"%s:1: not a table of cases: its first line must begin with "
				"\"# policy\", a tab and \"target\"",
				table);
	if (!path)
		path = beside = policy_beside(table);
	if (!path)
		return cli_fail(CLI_NO, "%s: no policy of this name beside it: give --policy",
				table);
	r = policy_files_compile(path, &t->set, &t->one);
	if (r != CLI_OK)
		return r;
	if (policy_set_count(t->set) == 1)
		t->one = policy_set_at(t->set, 0);
	t->table = table;
	r = cases_run(t, text);
	t->set = policy_set_unref(t->set);
	if (r == CLI_OK && t->passed + t->failed + t->wrong == before)
		return cli_fail(CLI_NO, "%s: no case in it", table);
	return r;
}

int policy_test_run(const struct cli_command *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "policy", required_argument, NULL, 'p' },
						 { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	struct tester t = { 0 };
	int c, status = CLI_OK;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (c) {
		case 'p': t.policy_path = optarg; break;
		case 'j': t.json = true; break;
		case 'h': return cli_help(cmd);
		default: return CLI_USAGE; /* getopt has said why */
		}
	if (optind == argc)
		return cli_usage(cmd, "which table of cases?");
	for (int i = optind; i < argc; i++)
		if (table_run(&t, argv[i]) != CLI_OK)
			status = CLI_NO;
	if (t.json)
		policy_json_line(json_pack("{ss,si,si,si}", "result", "summary", "passed",
					   (int)t.passed, "failed", (int)t.failed, "errors",
					   (int)t.wrong));
	else
		printf("%u passed, %u failed%s\n", t.passed, t.failed + t.wrong,
		       t.wrong ? ", some cannot be judged" : "");
	return t.failed || t.wrong ? CLI_NO : status;
}
