// SPDX-License-Identifier: Apache-2.0
/* `weir policy`: what a policy says, before a daemon believes it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/policy_explain.h"
#include "policy/policy.h"

/* A file read for compiling. */
struct source {
	char *path;
	struct buf text;
};

struct sources {
	struct source *at;
	size_t n;
};

static void sources_done(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->at[i].path);
		buf_done(&s->at[i].text);
	}
	free(s->at);
}

/* Reads all of a file, one byte past the limit at most, so that the compiler sees it is too long. */
static int file_read(const char *path, struct buf *ret)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (buf_room(ret) > 0) {
		uint8_t *p;
		size_t space;
		ssize_t n;
		int r = buf_reserve(ret, 1, &p, &space);

		if (r < 0)
			return r;
		n = read(fd, p, space);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		buf_commit(ret, (size_t)n);
	}
	return 0;
}

static int source_add(struct sources *s, const char *path)
{
	struct source *grown = realloc(s->at, (s->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	s->at = grown;
	s->at[s->n].path = slice_dup(slice_str(path));
	if (!s->at[s->n].path)
		return -ENOMEM;
	buf_init(&s->at[s->n].text, POLICY_TEXT_MAX + 1);
	s->n++;
	return file_read(path, &s->at[s->n - 1].text);
}

static int is_policy_file(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	/* The language's own schema lies beside the shipped policies and is none. */
	if (strcmp(e->d_name, "schema.json") == 0)
		return 0;
	return e->d_name[0] != '.' && len > 5 && strcmp(e->d_name + len - 5, ".json") == 0;
}

/* All *.json of a directory but schema.json, in order of their names. */
static int directory_add(struct sources *s, const char *path)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, is_policy_file, alphasort);
	int r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		char *full = NULL;

		if (r == 0 && asprintf(&full, "%s/%s", path, entries[i]->d_name) < 0)
			r = -ENOMEM;
		if (r == 0)
			r = source_add(s, full);
		free(full);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int path_add(struct sources *s, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? directory_add(s, path) : source_add(s, path);
}

static void json_line(json_t *take_line)
{
	if (take_line) {
		(void)json_dumpf(take_line, stdout, JSON_COMPACT); /* stdout is checked at exit */
		putchar('\n');
	}
	json_decref(take_line);
}

static void error_print(const struct policy_err *e, bool json)
{
	if (json)
		json_line(json_pack("{s:s, s:s, s:i, s:i, s:s}", "file", e->source, "severity",
				    "error", "line", (int)e->line, "column", (int)e->column,
				    "message", e->message));
	else if (e->line)
		fprintf(stderr, "%s:%u:%u: %s\n", e->source, e->line, e->column, e->message);
	else
		fprintf(stderr, "%s: %s\n", e->source, e->message);
}

static void warnings_print(const char *path, const struct policy *p, bool json)
{
	const struct policy_warning *w;

	for (size_t i = 0; (w = policy_warning_at(p, i)); i++) {
		if (json)
			json_line(json_pack("{s:s, s:s, s:i, s:i, s:s}", "file", path, "severity",
					    "warning", "line", (int)w->line, "column",
					    (int)w->column, "message", w->message));
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
		json_line(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "file", path, "severity",
				    "ok", "policy", policy_name(p), "mode", mode, "targets",
				    (json_int_t)targets, "rules", (json_int_t)rules, "warnings",
				    (json_int_t)warnings));
	else
		printf("%s: OK: policy %s (%s), %zu target%s, %zu rule%s, %zu warning%s\n", path,
		       policy_name(p), mode, targets, targets == 1 ? "" : "s", rules,
		       rules == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

/* Each on its own, so that one that is wrong does not hide the others; then all together. */
static int check_sources(const struct sources *s, bool json)
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
			error_print(&err, json);
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
			error_print(&err, json);
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
	_cleanup_(sources_done) struct sources sources = { 0 };
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
		int r = path_add(&sources, argv[i]);

		if (r < 0)
			return cli_fail(CLI_NO, "%s: %s", argv[i], strerror(-r));
		if (sources.n == before)
			return cli_fail(CLI_NO, "%s: no *.json in this directory", argv[i]);
	}
	return check_sources(&sources, json);
}

static int explain_run(const struct cli_command *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "sql", required_argument, NULL, 's' },
						 { "http", required_argument, NULL, 'w' },
						 { "target", required_argument, NULL, 't' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	_cleanup_(sources_done) struct sources sources = { 0 };
	const char *sql = NULL, *http = NULL, *target = NULL;
	struct policy_source source;
	struct policy_set *set;
	struct policy_err err;
	int c, r, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's': sql = optarg; break;
		case 'w': http = optarg; break;
		case 't': target = optarg; break;
		case 'h': return cli_help(cmd);
		default: return CLI_USAGE; /* getopt has said why */
		}
	}
	if (optind + 1 != argc || !sql == !http)
		return cli_usage(cmd, "explain takes one FILE and either --sql or --http");
	r = source_add(&sources, argv[optind]);
	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", argv[optind], strerror(-r));
	source = (struct policy_source){ argv[optind], buf_peek(&sources.at[0].text) };
	r = policy_set_compile(&source, 1, &set, &err);
	if (r == -ENOMEM)
		return cli_fail(CLI_NO, "%s: %s", argv[optind], strerror(ENOMEM));
	if (r < 0) {
		error_print(&err, false);
		return CLI_NO;
	}
	status = sql ? policy_explain_sql(policy_set_at(set, 0), target, sql)
		     : policy_explain_http(policy_set_at(set, 0), target, http);
	(void)policy_set_unref(set); /* returns NULL */
	return status;
}

static int policy_run(const struct cli_command *cmd, int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(cmd, "check or explain?");
	if (strcmp(argv[1], "check") == 0)
		return check_run(cmd, argc - 1, argv + 1);
	if (strcmp(argv[1], "explain") == 0)
		return explain_run(cmd, argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cli_help(cmd);
	return cli_usage(cmd, "`weir policy %s` does not exist", argv[1]);
}

const struct cli_command cli_cmd_policy = {
	.name = "policy",
	.args = "check FILE|DIR… [--json]\n"
		"       weir policy explain FILE [--target NAME] --sql TEXT|--http 'METHOD URL'",
	.summary = "check a policy, or explain what it says about an operation",
	.help = "check compiles each FILE (of a directory: each *.json but schema.json) and\n"
		"all of them together. It prints one line for each that is fine, warnings for\n"
		"what is likely not meant, and FILE:LINE:COLUMN: what is wrong. Exit status 0\n"
		"when all are fine, 1 when not.\n"
		"\n"
		"explain judges one operation: what Weir sees in it, every rule that matches, and\n"
		"the verdict. Exit status 0 when it is allowed, 1 when not.\n"
		"\n"
		"  --json         (check) one JSON object a line\n"
		"  --target NAME  (explain) as if connected to this target; else the first that\n"
		"                 speaks the protocol\n"
		"\n"
		"  weir policy check /etc/weir/policy.d\n"
		"  weir policy explain orders.json --sql 'DROP TABLE users'\n"
		"\n"
		"The language is described in weir-policy(5).\n",
	.run = policy_run,
};
