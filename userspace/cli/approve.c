// SPDX-License-Identifier: Apache-2.0
/* `weir approve` and `weir deny`: one's word on operations on hold. */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "cli/approvals.h"
#include "cli/output.h"

enum { OPT_SOCKET = 256, OPT_REASON };

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "reason", required_argument, NULL, OPT_REASON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

int approval_answer(int fd, const char *id, bool allow, const char *reason, char *why, size_t size,
		    const char **ret_state)
{
	static const char *const states[] = { "waiting", "approved", "denied" };
	json_t *answer = NULL;
	const char *state;
	int r = client_ask(fd,
			   json_pack("{ss,ss,ss}", "command", allow ? "approve" : "deny", "id", id,
				     "reason", reason),
			   &answer);

	if (r < 0) {
		snprintf(why, size, "%s", answer ? client_error(answer) : strerror(-r));
		json_decref(answer);
		return r;
	}
	state = json_string_value(json_object_get(answer, "state"));
	r = -EBADMSG;
	for (size_t i = 0; state && i < ARRAY_SIZE(states); i++)
		if (strcmp(state, states[i]) == 0) {
			*ret_state = states[i];
			r = 0;
		}
	if (r < 0)
		snprintf(why, size, "the daemon's answer cannot be read");
	json_decref(answer);
	return r;
}

static int answer_all(const char *socket, char **ids, int n, bool allow, const char *reason)
{
	_cleanup_(close_p) int fd = client_open(socket);
	int status = CLI_OK;

	if (fd < 0)
		return client_unreachable(socket, fd);
	for (int i = 0; i < n; i++) {
		char why[512];
		const char *state;
		int r = approval_answer(fd, ids[i], allow, reason, why, sizeof(why), &state);

		if (r == -EREMOTEIO)
			status = cli_fail(CLI_NO, "%s: %s", ids[i], why);
		else if (r < 0)
			return cli_fail(CLI_UNREACHABLE, "%s: %s", ids[i], why);
		else
			printf("%s %s\n", ids[i],
			       strcmp(state, "waiting") == 0 ? "waits for more people" : state);
	}
	return status;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	const char *socket = NULL, *reason = "";
	bool allow = strcmp(cmd->name, "approve") == 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (opt) {
		case OPT_SOCKET: socket = optarg; break;
		case OPT_REASON: reason = optarg; break;
		case 'h': return cli_help(cmd);
		default: return cli_usage(cmd, "see above");
		}
	if (optind == argc)
		return cli_usage(cmd, "name at least one id, as `weir approvals` lists them");
	if (!allow && !*reason)
		return cli_usage(cmd, "--reason says to the client why not");
	return answer_all(cli_socket_path(socket), argv + optind, argc - optind, allow, reason);
}

#define HELP_ID                                                                                 \
	"  ID             the beginning of its id, as `weir approvals` lists it: 4 letters or " \
	"more,\n"                                                                               \
	"                 as many as no other begins with\n"

const struct cli_command cli_cmd_approve = {
	.name = "approve",
	.args = "ID… [--reason TEXT]",
	.summary = "let operations on hold go on",
	.help = HELP_ID "  --reason TEXT  why, for the record\n"
			"  --socket PATH  the daemon's control socket\n"
			"\n"
			"Exit status 1: it does not wait any more, or you may not answer (again).\n"
			"\n"
			"Example:\n"
			"  weir approve 01KDVDNA0012AB --reason 'agreed in #ops'\n",
	.run = run,
};

const struct cli_command cli_cmd_deny = {
	.name = "deny",
	.args = "ID… --reason TEXT",
	.summary = "refuse operations on hold",
	.help = HELP_ID "  --reason TEXT  why; the client is told\n"
			"  --socket PATH  the daemon's control socket\n"
			"\n"
			"Exit status 1: it does not wait any more, or you may not answer (again).\n"
			"\n"
			"Example:\n"
			"  weir deny 01KDVDNA0012AB --reason 'not on a Friday'\n",
	.run = run,
};
