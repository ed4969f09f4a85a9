// SPDX-License-Identifier: Apache-2.0
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>

#include "compiler.h"

int cli_help(const struct cli_command *cmd)
{
	printf("usage: weir %s %s\n\n%s\n\n%s", cmd->name, cmd->args, cmd->summary, cmd->help);
	return CLI_OK;
}

static void say(const char *fmt, va_list ap)
{
	fputs("weir: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int cli_usage(const struct cli_command *cmd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	fprintf(stderr, "usage: weir %s %s\n`weir %s --help` explains it.\n", cmd->name, cmd->args,
		cmd->name);
	return CLI_USAGE;
}

int cli_fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return status;
}

static const char *place(const char *option, const char *variable, const char *standard)
{
	const char *env = getenv(variable);

	return option ? option : env && *env ? env : standard;
}

const char *cli_store_dir(const char *option)
{
	return place(option, "WEIR_STORE", "/var/lib/weir/store");
}

const char *cli_socket_path(const char *option)
{
	return place(option, "WEIR_SOCKET", "/run/weir/weir.sock");
}
