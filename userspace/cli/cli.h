/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one file and one table entry (cli/main.c) per subcommand. `weir` alone shows the
 * table; `weir CMD --help` shows cmd->help.
 */
#ifndef WEIR_CLI_H
#define WEIR_CLI_H

#include <stdbool.h>
#include <stdio.h>

/* Exit status of every command (run exits as its command did). */
enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1, /* the answer is no: a policy does not compile, nothing was found */
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3, /* daemon or store cannot be reached */
};

struct cli_command {
	const char *name;
	const char *args;    /* "[--cgroup GLOB] [--json]…" for the usage line */
	const char *summary; /* one line */
	const char *help;    /* text behind the usage line: options, one example at least */
	/* argv[0] is the command's name. Returns the exit status. */
	int (*run)(const struct cli_command *cmd, int argc, char **argv);
};

extern const struct cli_command cli_cmd_daemon, cli_cmd_run, cli_cmd_attach, cli_cmd_detach,
	cli_cmd_agents, cli_cmd_status, cli_cmd_sessions, cli_cmd_show, cli_cmd_replay,
	cli_cmd_search, cli_cmd_policy, cli_cmd_approvals, cli_cmd_approve, cli_cmd_deny;

/* Prints usage and help to stdout (--help) or, with a problem, the problem and how to get help to
 * stderr. Returns CLI_OK or CLI_USAGE. */
int cli_help(const struct cli_command *cmd);
int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "weir: what: why" on stderr; returns status, so that it can be returned. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Where things are: the option's value if not NULL, else $WEIR_STORE / $WEIR_SOCKET, else
 * /var/lib/weir/store, /run/weir/weir.sock. */
const char *cli_store_dir(const char *option);
const char *cli_socket_path(const char *option);

#endif
