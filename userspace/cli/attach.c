// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdint.h>

#include "cli/client.h"
#include "daemon/cgroup.h"

enum { OPT_POLICY = 256, OPT_LABEL, OPT_CONTAINER, OPT_IMAGE, OPT_SOCKET, OPT_JSON };

static const struct option options[] = {
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "container", required_argument, NULL, OPT_CONTAINER },
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

struct args {
	const char *socket, *policy, *container, *image;
	json_t *labels;
	bool json;
	char cgroup[CGROUP_PATH_MAX];
};

/* CLI_OK, another exit status, or -1: --help was given. */
static int parse(const struct cli_command *cmd, bool attach, int argc, char **argv, struct args *a)
{
	int c, r;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (!attach &&
		    (c == OPT_POLICY || c == OPT_LABEL || c == OPT_CONTAINER || c == OPT_IMAGE))
			return cli_usage(cmd, "this option belongs to attach");
		switch (c) {
		case OPT_POLICY: a->policy = optarg; break;
		case OPT_CONTAINER: a->container = optarg; break;
		case OPT_IMAGE: a->image = optarg; break;
		case OPT_SOCKET: a->socket = optarg; break;
		case OPT_JSON: a->json = true; break;
		case OPT_LABEL:
			r = client_label(cmd, a->labels, optarg);
			if (r != CLI_OK)
				return r;
			break;
		case 'h': return -1;
		default: return cli_usage(cmd, "see above");
		}
	}
	if (argc - optind != 1)
		return cli_usage(cmd, argc == optind ? "name a cgroup" : "one cgroup at a time");
	return client_cgroup(argv[optind], attach, a->cgroup, sizeof(a->cgroup));
}

static int tell(const struct args *a, json_t *answer, const char *done)
{
	if (a->json) {
		json_object_del(answer, "ok");
		json_object_set_new(answer, "cgroup", json_string(a->cgroup));
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		printf("%s %s\n", done, a->cgroup);
	}
	json_decref(answer);
	return CLI_OK;
}

static int attach(const struct cli_command *cmd, int argc, char **argv)
{
	struct args a = { .labels = json_object() };
	json_t *request = NULL, *policy = NULL, *answer = NULL;
	int r;

	if (!a.labels)
		return cli_fail(CLI_NO, "out of memory");
	r = parse(cmd, true, argc, argv, &a);
	if (r < 0) {
		json_decref(a.labels);
		return cli_help(cmd);
	}
	if (r == CLI_OK && a.policy)
		r = client_policy(a.policy, &policy);
	if (r == CLI_OK) {
		request = json_pack("{ss,ss,ss*,ss*,sO,sO*}", "command", "attach", "cgroup",
				    a.cgroup, "container", a.container, "image", a.image, "labels",
				    a.labels, "policy", policy);
		r = request ? client_call(cli_socket_path(a.socket), request, &answer)
			    : cli_fail(CLI_NO, "cgroup, container and image must be UTF-8");
	}
	json_decref(a.labels);
	json_decref(policy);
	return r == CLI_OK ? tell(&a, answer, "attached") : r;
}

static int detach(const struct cli_command *cmd, int argc, char **argv)
{
	struct args a = { 0 };
	json_t *answer = NULL;
	int r = parse(cmd, false, argc, argv, &a);

	if (r < 0)
		return cli_help(cmd);
	if (r == CLI_OK)
		r = client_call(cli_socket_path(a.socket),
				json_pack("{ss,ss}", "command", "detach", "cgroup", a.cgroup),
				&answer);
	return r == CLI_OK ? tell(&a, answer, "detached") : r;
}

const struct cli_command cli_cmd_attach = {
	.name = "attach",
	.args = "CGROUP [--policy FILE] [--label K=V]… [--container NAME] [--image NAME] [--json]",
	.summary = "put a cgroup, and all below it, behind Weir",
	.help = "CGROUP is a path within the v2 hierarchy (/agents.slice/a) or in the file system\n"
		"(/sys/fs/cgroup/agents.slice/a). New connections of its processes go through Weir "
		"from\n"
		"now on; those that are open already do not. Attaching again replaces policy and "
		"labels.\n"
		"\n"
		"  --policy FILE     the policy for this cgroup alone, whatever its \"agents\" "
		"say;\n"
		"                    without, that of the daemon's policies which matches best\n"
		"  --label K=V       a label, for policies and for searching; may be repeated\n"
		"  --container NAME  the container's name\n"
		"  --image NAME      the image it was made from\n"
		"  --socket PATH     the daemon's control socket\n"
		"  --json            answer as JSON\n"
		"\n"
		"Example:\n"
		"  weir attach /agents.slice/orders --policy orders.json --label team=billing\n",
	.run = attach,
};

const struct cli_command cli_cmd_detach = {
	.name = "detach",
	.args = "CGROUP [--json]",
	.summary = "let a cgroup's connections go directly again",
	.help = "  --socket PATH     the daemon's control socket\n"
		"  --json            answer as JSON\n"
		"\n"
		"Example:\n"
		"  weir detach /agents.slice/orders\n",
	.run = detach,
};
