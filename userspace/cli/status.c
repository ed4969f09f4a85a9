// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdint.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/output.h"

enum { OPT_SOCKET = 256, OPT_JSON };

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static long long num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "?";
}

/* "sessions open" from "sessions_open". */
static void print_number(const char *key, long long value)
{
	char words[64];

	(void)snprintf(words, sizeof(words), "%s", key); /* our own short names */
	for (char *p = words; *p; p++)
		if (*p == '_' || *p == '-')
			*p = ' ';
	printf("  %-20s %lld\n", words, value);
}

static const char *when(const json_t *o, const char *key, char out[OUT_SHORT_MAX])
{
	return out_time((uint64_t)num(o, key) * NSEC_PER_SEC, out);
}

static void print_policies(const json_t *o)
{
	char at[OUT_SHORT_MAX];
	json_t *p;
	size_t i;

	printf("          loaded %s\n", when(o, "loaded_at", at));
	json_array_foreach(json_object_get(o, "list"), i, p)
		printf("          %.14s %-8s %s\n", text(p, "hash"), text(p, "mode"),
		       text(p, "name"));
	if (json_object_get(o, "error"))
		printf("          NOT loaded %s: %s\n", when(o, "failed_at", at), text(o, "error"));
}

static void print_table(const json_t *o)
{
	json_t *proxy = json_object_get(o, "proxy"), *kernel = json_object_get(o, "kernel"), *v;
	json_t *notifier = json_object_get(o, "notifier"); /* only with webhooks */
	long long up = num(o, "uptime_s");
	const char *key;
	size_t i;

	printf("daemon    pid %lld, version %s, up %lldd %02lld:%02lld:%02lld\n", num(o, "pid"),
	       text(o, "version"), up / 86400, up / 3600 % 24, up / 60 % 60, up % 60);
	printf("proxy     pid %lld, %s, %lld restarts\n", num(proxy, "pid"), text(proxy, "state"),
	       num(proxy, "restarts"));
	printf("listeners");
	json_array_foreach(json_object_get(o, "listeners"), i, v)
		printf(" %s", json_string_value(v));
	printf("\nstore     %s\nagents    %lld\npolicies  %lld files\n", text(o, "store"),
	       num(o, "agents"), num(o, "policy_files"));
	print_policies(json_object_get(o, "policies"));
	printf("\nproxy:\n");
	json_object_foreach(proxy, key, v)
		if (json_is_integer(v) && strcmp(key, "pid") != 0 && strcmp(key, "restarts") != 0)
			print_number(key, (long long)json_integer_value(v));
	if (notifier) {
		printf("\nnotifier:            pid %lld, %s, %lld restarts\n", num(notifier, "pid"),
		       text(notifier, "state"), num(notifier, "restarts"));
		json_object_foreach(notifier, key, v)
			if (json_is_integer(v) && strcmp(key, "pid") != 0 &&
			    strcmp(key, "restarts") != 0)
				print_number(key, (long long)json_integer_value(v));
	}
	printf("\nkernel:\n");
	json_object_foreach(kernel, key, v)
		print_number(key, (long long)json_integer_value(v));
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	const char *socket = NULL;
	json_t *answer = NULL;
	bool json = false;
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
	r = client_call(cli_socket_path(socket), json_pack("{ss}", "command", "status"), &answer);
	if (r != CLI_OK)
		return r;
	json_object_del(answer, "ok");
	if (json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_table(answer);
	}
	json_decref(answer);
	return CLI_OK;
}

const struct cli_command cli_cmd_status = {
	.name = "status",
	.args = "[--json]",
	.summary = "show how the daemon is: processes, counters, store",
	.help = "Exits with 3 when no daemon answers.\n"
		"\n"
		"  --json         one object: version, pid, uptime_s, store, runtime_dir, agents,\n"
		"                 policy_files, policies (loaded_at, took_us, list of name, hash "
		"and\n"
		"                 mode; error and failed_at of the last try), listeners, kernel "
		"(counters), proxy (pid, "
		"restarts,\n"
		"                 state, counters); with webhooks notifier (the same of it)\n"
		"  --socket PATH  the daemon's control socket\n"
		"\n"
		"Example:\n"
		"  weir status --json | jq .proxy.sessions_open\n",
	.run = run,
};
