// SPDX-License-Identifier: Apache-2.0
/* `weir policy`: what a policy says, before a daemon believes it. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "cli.h"
#include "filter.h"
#include "policy_cmds.h"
#include "policy_files.h"

static void warnings_print(const char *path, const struct policy *p, bool json)
{
	const struct policy_warning *w;

	for (size_t i = 0; (w = policy_warning_at(p, i)); i++) {
		if (json)
			policy_json_line(json_pack("{s:s, s:s, s:i, s:i, s:s}", "file", path,
						   "severity", "warning", "line", (int)w->line,
						   "column", (int)w->column, "message",
						   w->message));
		else
			fprintf(stderr, "%s:%u:%u: warning: %s\n", path, w->line, w->column,
				w->message);
	}
}

static void ok_print(const char *path, const struct policy *p, bool json)
{
	size_t warnings = 0, targets = policy_target_count(p), rules = policy_rule_count(p);
	const char *mode = policy_get_mode(p) == POLICY_OBSERVE ? "observe" : "enforce";

	while (policy_warning_at(p, warnings))
		warnings++;
	if (json)
		policy_json_line(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "file", path,
					   "severity", "ok", "policy", policy_name(p), "mode", mode,
					   "targets", (json_int_t)targets, "rules",
					   (json_int_t)rules, "warnings", (json_int_t)warnings));
	else
		printf("%s: OK: policy %s (%s), %zu target%s, %zu rule%s, %zu warning%s\n", path,
		       policy_name(p), mode, targets, targets == 1 ? "" : "s", rules,
		       rules == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

/* Each on its own, so that one that is wrong does not hide the others; then all together. */
static int check_sources(const struct policy_files *s, bool json)
{
	struct policy_source *all = calloc(s->n, sizeof(*all));
	struct policy_set *set = NULL;
	struct policy_err err;
	int r, status = CLI_OK;

	if (!all)
		return cli_fail(CLI_NO, "checking: %s", strerror(ENOMEM));
	for (size_t i = 0; i < s->n; i++) {
		all[i] = (struct policy_source){ s->at[i].path, buf_peek(&s->at[i].text) };
		r = policy_set_compile(&all[i], 1, &set, &err);
		if (r == -ENOMEM) {
			status = cli_fail(CLI_NO, "%s: %s", s->at[i].path, strerror(ENOMEM));
		} else if (r < 0) {
			policy_error_print(&err, json);
			status = CLI_NO;
		} else {
			warnings_print(s->at[i].path, policy_set_at(set, 0), json);
			ok_print(s->at[i].path, policy_set_at(set, 0), json);
			set = policy_set_unref(set);
		}
	}
	if (status == CLI_OK && s->n > 1) {
		r = policy_set_compile(all, s->n, &set, &err);
		if (r == -ENOMEM) {
			status = cli_fail(CLI_NO, "checking: %s", strerror(ENOMEM));
		} else if (r < 0) {
			policy_error_print(&err, json);
			status = CLI_NO;
		}
		set = policy_set_unref(set);
	}
	free(all);
	return status;
}

static int check_run(const struct cli_command *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	_cleanup_(policy_files_done) struct policy_files sources = { 0 };
	bool json = false;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return cli_help(cmd);
		if (c != 'j')
			return CLI_USAGE; /* getopt has said why */
		json = true;
	}
	if (optind == argc)
		return cli_usage(cmd, "which policy is to be checked?");
	for (int i = optind; i < argc; i++) {
		size_t before = sources.n;
		int r = policy_files_add(&sources, argv[i]);

		if (r < 0)
			return cli_fail(CLI_NO, "%s: %s", argv[i], strerror(-r));
		if (sources.n == before)
			return cli_fail(CLI_NO, "%s: no *.json in this directory", argv[i]);
	}
	return check_sources(&sources, json);
}

/* Subcommands that live in files of their own. */
static const struct {
	const char *name;
	int (*run)(const struct cli_command *cmd, int argc, char **argv);
} subcommands[] = {
	{ "check", check_run },          { "explain", policy_explain_run },
	{ "test", policy_test_run },     { "replay", policy_replay_run },
	{ "learn", policy_learn_run },   { "show", policy_show_run },
	{ "reload", policy_reload_run },
};

static int policy_run(const struct cli_command *cmd, int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(cmd, "check, explain, test, replay, learn, show or reload?");
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
		if (strcmp(argv[1], subcommands[i].name) == 0)
			return subcommands[i].run(cmd, argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cli_help(cmd);
	return cli_usage(cmd, "`weir policy %s` does not exist", argv[1]);
}

const struct cli_command cli_cmd_policy = {
	.name = "policy",
	.args = "check FILE|DIR… [--json]\n"
		"       weir policy explain FILE|DIR --sql TEXT|--http 'METHOD URL…' [OPTION]…\n"
		"       weir policy test TABLE… [--policy FILE|DIR] [--json]\n"
		"       weir policy replay FILE|DIR [--all] [FILTER]… [--json]\n"
		"       weir policy learn [--name NAME] [-o FILE] [FILTER]…\n"
		"       weir policy show [NAME|HASH] [--json]\n"
		"       weir policy reload [--json]",
	.summary = "check, try out, learn and reload policies",
	.help = "check    compiles each FILE (of a directory: each *.json but hidden ones and\n"
		"         schema.json) and all of them together: FILE:LINE:COLUMN: what is wrong\n"
		"explain  judges one operation: what Weir sees in it, which rules match, why the\n"
		"         others do not, and the verdict\n"
		"test     holds policies against tables of cases; without --policy against\n"
		"         NAME.json beside NAME.tsv or in the directory above\n"
		"replay   judges recorded operations anew and shows what would change\n"
		"learn    writes a least-privilege policy from recorded sessions: what was "
		"allowed\n"
		"         stays allowed, the rest is refused\n"
		"show     the text of a policy, as the daemon or the store has it; without a name\n"
		"         what the daemon has loaded\n"
		"reload   makes the daemon read its policies again, as it does by itself when "
		"they\n"
		"         change; with an error the old ones stay\n"
		"\n"
		"Exit status 0 when all is fine: everything compiles, is allowed, passes, stays as "
		"it\n"
		"was; 1 when not.\n"
		"\n"
		"explain:\n"
		"  --sql TEXT     SQL for PostgreSQL, one or more statements\n"
		"  --http REQUEST METHOD URL [Header: value]… body\n"
		"  --params JSON  parameters of the statement, an array\n"
		"  --target NAME  as if connected to this target; else the first that speaks the\n"
		"                 protocol\n"
		"  --cgroup PATH, --container NAME, --image NAME, --exe PATH, --uid N, --label "
		"K=V\n"
		"                 who asks; of a directory, chooses the policy\n"
		"test:\n"
		"  --policy FILE  the policy, or a directory of them\n"
		"replay:\n"
		"  --all          also what stays as it was\n"
		"learn:\n"
		"  --name NAME    of the policy, \"learned\" if not given\n"
		"  -o, --output FILE\n"
		"                 a new file; else standard output\n"
		"show, reload:\n"
		"  --socket PATH  the daemon's control socket\n"
		"replay and learn take the filters of `weir sessions`:\n" CLI_FILTER_HELP "\n"
		"Examples:\n"
		"  weir policy check /etc/weir/policy.d\n"
		"  weir policy explain orders.json --sql 'DROP TABLE users'\n"
		"  weir policy learn --container 'orders-*' --since 7d -o orders.json\n"
		"  weir policy replay orders.json --since 1d\n"
		"\n"
		"The language is described in weir-policy(5), the way from observing to enforcing "
		"in\n"
		"docs/policy-workflow.md.\n",
	.run = policy_run,
};
