// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "daemon/warden.h"

enum {
	OPT_CONFIG = 256,
	OPT_POLICY,
	OPT_STORE,
	OPT_SOCKET,
	OPT_RUNTIME,
	OPT_WORKERS,
	OPT_USER,
	OPT_DEBUG,
	OPT_READY,
	OPT_DETACH,
};

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "runtime-dir", required_argument, NULL, OPT_RUNTIME },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "user", required_argument, NULL, OPT_USER },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ "detach-on-exit", no_argument, NULL, OPT_DETACH },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

/* The configuration file is read before any other option, since those win. */
static int find_config(const struct cli_command *cmd, int argc, char **argv, const char **ret)
{
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return -1;
		if (c == '?')
			return cli_usage(cmd, "see above");
		if (c == OPT_CONFIG)
			*ret = optarg;
	}
	if (optind < argc)
		return cli_usage(cmd, "\"%s\": takes no arguments", argv[optind]);
	return CLI_OK;
}

/* Paths are kept: they must not depend on where the daemon was started. */
static int set_path(const struct cli_command *cmd, char **field, const char *value)
{
	_cleanup_(free_p) char *cwd = NULL, *full = NULL;

	if (!*value)
		return cli_usage(cmd, "a path is empty");
	if (value[0] != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd || asprintf(&full, "%s/%s", cwd, value) < 0) {
			full = NULL;
			return cli_fail(CLI_NO, "%s: %s", value, strerror(errno));
		}
		value = full;
	}
	return daemon_config_set(field, value) < 0 ? cli_fail(CLI_NO, "out of memory") : CLI_OK;
}

static int number(const char *text, unsigned min, unsigned max, unsigned *ret)
{
	uint64_t v;

	if (slice_to_u64(slice_str(text), &v) < 0 || v < min || v > max)
		return -EINVAL;
	*ret = (unsigned)v;
	return 0;
}

static int take_option(const struct cli_command *cmd, struct daemon_config *cfg, int c, bool *first)
{
	_cleanup_(free_p) char *path = NULL;
	unsigned n;
	int r;

	switch (c) {
	case OPT_STORE: return set_path(cmd, &cfg->store, optarg);
	case OPT_SOCKET: return set_path(cmd, &cfg->socket, optarg);
	case OPT_RUNTIME: return set_path(cmd, &cfg->runtime_dir, optarg);
	case OPT_USER:
		return daemon_config_set(&cfg->user, optarg) < 0 ? cli_fail(CLI_NO, "out of memory")
								 : CLI_OK;
	case OPT_POLICY:
		if (*first) { /* in place of those of the file */
			for (unsigned i = 0; i < cfg->n_policies; i++)
				free(cfg->policies[i]);
			cfg->n_policies = 0;
			*first = false;
		}
		r = set_path(cmd, &path, optarg);
		if (r == CLI_OK && daemon_config_add_policy(cfg, path) < 0)
			r = cli_fail(CLI_NO, "--policy: too many");
		return r;
	case OPT_WORKERS:
		if (number(optarg, 1, DAEMON_WORKERS_MAX, &cfg->workers) < 0)
			return cli_usage(cmd, "--workers %s: a number from 1 to %d", optarg,
					 DAEMON_WORKERS_MAX);
		return CLI_OK;
	case OPT_READY:
		if (number(optarg, 0, 1 << 20, &n) < 0 || fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
			return cli_usage(cmd, "--ready-fd %s: is no open descriptor", optarg);
		cfg->ready_fd = (int)n;
		return CLI_OK;
	case OPT_DEBUG: cfg->debug = true; return CLI_OK;
	case OPT_DETACH: cfg->detach_on_exit = true; return CLI_OK;
	default: return CLI_OK;
	}
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct daemon_config_err err = { "" };
	struct daemon_config cfg;
	const char *file = NULL;
	bool first = true;
	int r, c;

	r = find_config(cmd, argc, argv, &file);
	if (r != CLI_OK)
		return r < 0 ? cli_help(cmd) : r;
	if (daemon_config_init(&cfg) < 0)
		return cli_fail(CLI_NO, "out of memory");
	c = daemon_config_load(&cfg, file ? file : DAEMON_CONFIG_FILE, &err);
	if (c == -ENOENT && file)
		r = cli_fail(CLI_NO, "%s: %s", file, strerror(ENOENT));
	else if (c < 0 && c != -ENOENT)
		r = cli_fail(CLI_NO, "%s", err.message);
	/* The environment stands between file and options, as for every command. */
	if (r == CLI_OK && getenv("WEIR_STORE"))
		r = set_path(cmd, &cfg.store, getenv("WEIR_STORE"));
	if (r == CLI_OK && getenv("WEIR_SOCKET"))
		r = set_path(cmd, &cfg.socket, getenv("WEIR_SOCKET"));
	optind = 0;
	while (r == CLI_OK && (c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		r = take_option(cmd, &cfg, c, &first);
	if (r == CLI_OK) {
		log_setup("weir", cfg.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
		r = warden_main(&cfg);
	}
	daemon_config_done(&cfg);
	return r;
}

const struct cli_command cli_cmd_daemon = {
	.name = "daemon",
	.args = "[OPTION]…",
	.summary = "stand between attached cgroups and their servers (foreground, root)",
	.help = "Runs until SIGTERM. SIGHUP reads the policies again; if they do not compile, the "
		"old\n"
		"ones stay. While no daemon runs, connections of attached cgroups are refused.\n"
		"\n"
		"  --config FILE      settings, JSON (default /etc/weir/weir.json if it exists);\n"
		"                     options win over it\n"
		"  --policy PATH      a policy file, or a directory of *.json; may be repeated\n"
		"                     (default /etc/weir/policy.d)\n"
		"  --store DIR        where sessions are recorded (default /var/lib/weir/store)\n"
		"  --socket PATH      control socket (default /run/weir/weir.sock)\n"
		"  --runtime-dir DIR  lock, pins, what is attached (default /run/weir)\n"
		"  --workers N        the proxy's threads (default: one for each CPU)\n"
		"  --user NAME        the proxy's user (default \"weir\" if it exists, else uid "
		"61017)\n"
		"  --ready-fd N       write a byte to this descriptor when all is up; systemd's\n"
		"                     $NOTIFY_SOCKET is told as well\n"
		"  --detach-on-exit   take all hooks off at the end in place of leaving them "
		"closed\n"
		"  --debug            say more on stderr\n"
		"\n"
		"Example:\n"
		"  weir daemon --policy /etc/weir/policy.d\n",
	.run = run,
};
