// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

#include "base/slice.h"
#include "cli/cli.h"
#include "daemon/notifier.h"
#include "daemon/proxy.h"

/* In the order in which people meet them. */
static const struct cli_command *const commands[] = {
	&cli_cmd_run,       &cli_cmd_daemon,   &cli_cmd_attach, &cli_cmd_detach, &cli_cmd_agents,
	&cli_cmd_status,    &cli_cmd_sessions, &cli_cmd_show,   &cli_cmd_replay, &cli_cmd_search,
	&cli_cmd_approvals, &cli_cmd_approve,  &cli_cmd_deny,   &cli_cmd_policy,
};

static void table_print(FILE *out)
{
	fprintf(out,
		"usage: weir COMMAND [OPTION]…\n\n"
		"Weir stands between the processes of a cgroup and the servers they talk to: it\n"
		"judges each operation by a policy and records it.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\n`weir COMMAND --help` says more about each; try\n\n"
		     "  sudo weir run --policy FILE -- COMMAND…\n");
}

static int id_parse(const char *text, uint32_t *ret)
{
	uint64_t v;

	if (slice_to_u64(slice_str(text), &v) < 0 || v > INT32_MAX)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

/* `weir proxy|notifier FD UID GID`: not for people, the warden starts them. */
static int half_run(int argc, char **argv)
{
	bool proxy = strcmp(argv[0], "proxy") == 0;
	uint32_t fd, uid, gid;

	if (argc != 4 || id_parse(argv[1], &fd) < 0 || id_parse(argv[2], &uid) < 0 ||
	    id_parse(argv[3], &gid) < 0) {
		fprintf(stderr, "weir: the %s is started by `weir daemon`\n", argv[0]);
		return CLI_USAGE;
	}
	/* Only what ps shows. */
	(void)prctl(PR_SET_NAME, proxy ? "weir: proxy" : "weir: notifier", 0, 0, 0);
	return proxy ? proxy_main((int)fd, uid, gid) : notifier_main((int)fd, uid, gid);
}

int main(int argc, char **argv)
{
	const char *name;

	if (argc < 2) {
		table_print(stdout);
		return CLI_OK;
	}
	name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		for (size_t i = 0; argc > 2 && i < ARRAY_SIZE(commands); i++)
			if (strcmp(argv[2], commands[i]->name) == 0)
				return cli_help(commands[i]);
		table_print(stdout);
		return CLI_OK;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("weir %s\n", WEIR_VERSION);
		return CLI_OK;
	}
	if (strcmp(name, "proxy") == 0 || strcmp(name, "notifier") == 0)
		return half_run(argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(name, commands[i]->name) == 0)
			return commands[i]->run(commands[i], argc - 1, argv + 1);
	fprintf(stderr, "weir: there is no command \"%s\"; `weir` lists them\n", name);
	return CLI_USAGE;
}
