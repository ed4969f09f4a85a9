// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdint.h>

#include "cli/client.h"

enum { OPT_SOCKET = 256, OPT_JSON };

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char *text(const json_t *o, const char *key, const char *otherwise)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : otherwise;
}

static void print_row(const json_t *a)
{
	const char *key, *state = text(a, "state", "");
	json_t *v;
	bool first = true;

	printf("%-40s %8lld %-20s %6lld  %.19s  %s", text(a, "cgroup", "?"),
	       (long long)json_integer_value(json_object_get(a, "id")),
	       text(a, "policy", "(by match)"),
	       (long long)json_integer_value(json_object_get(a, "processes")),
	       text(a, "since", "?"), text(a, "container", "-"));
	json_object_foreach(json_object_get(a, "labels"), key, v) {
		printf("%s%s=%s", first ? "  " : ",", key, json_string_value(v));
		first = false;
	}
	if (strcmp(state, "attached") != 0)
		printf("  [%s]", state);
	putchar('\n');
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	const char *socket = NULL;
	json_t *answer = NULL, *list, *a;
	bool json = false;
	size_t i;
	int c, r;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (c) {
		case OPT_SOCKET: socket = optarg; break;
		case OPT_JSON: json = true; break;
		case 'h': return cli_help(cmd);
		default: return cli_usage(cmd, "see above");
		}
	if (optind < argc)
		return cli_usage(cmd, "\"%s\": takes no arguments", argv[optind]);
	r = client_call(cli_socket_path(socket), json_pack("{ss}", "command", "agents"), &answer);
	if (r != CLI_OK)
		return r;
	list = json_object_get(answer, "agents");
	if (!json && json_array_size(list))
		printf("%-40s %8s %-20s %6s  %-19s  %s\n", "CGROUP", "ID", "POLICY", "PROCS",
		       "SINCE (UTC)", "CONTAINER  LABELS");
	json_array_foreach(list, i, a) {
		if (json) {
			json_dumpf(a, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			print_row(a);
		}
	}
	json_decref(answer);
	return CLI_OK;
}

const struct cli_command cli_cmd_agents = {
	.name = "agents",
	.args = "[--json]",
	.summary = "list the attached cgroups",
	.help = "  --json         one object a line: cgroup, id, container, policy, "
		"policy_source,\n"
		"                 labels, since, processes (directly in it), state (attached; "
		"refused:\n"
		"                 what was agreed was lost, attach it again; ending)\n"
		"  --socket PATH  the daemon's control socket\n"
		"\n"
		"Example:\n"
		"  weir agents --json | jq -r .cgroup\n",
	.run = run,
};
