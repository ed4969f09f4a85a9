// SPDX-License-Identifier: Apache-2.0
/* `weir policy show` and `weir policy reload`: what the daemon judges by. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "client.h"
#include "filter.h"
#include "policy_cmds.h"
#include "policy_files.h"

enum { OPT_SOCKET = 256, OPT_STORE, OPT_JSON };

struct show_options {
	const char *socket;
	struct cli_filter filter; /* store and json */
};

static int parse(const struct cli_command *cmd, int argc, char **argv, struct show_options *ret)
{
	static const struct option options[] = { { "socket", required_argument, NULL, OPT_SOCKET },
						 { "store", required_argument, NULL, OPT_STORE },
						 { "json", no_argument, NULL, OPT_JSON },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	int c;

	*ret = (struct show_options){ .filter.query = STORE_QUERY_ANY };
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (c) {
		case OPT_SOCKET: ret->socket = optarg; break;
		case OPT_STORE: ret->filter.store = optarg; break;
		case OPT_JSON: ret->filter.json = true; break;
		case 'h': return cli_help(cmd);
		default: return CLI_USAGE; /* getopt has said why */
		}
	return CLI_GO_ON;
}

/* The daemon's policies as `weir status` tells them. CLI_OK, or another status without a word when
 * quiet. */
static int loaded(const struct show_options *o, bool quiet, json_t **ret)
{
	_cleanup_(close_p) int fd = -1;
	json_t *answer = NULL, *policies;
	int r;

	if (quiet) {
		fd = client_open(cli_socket_path(o->socket));
		r = fd < 0 ? fd : client_ask(fd, json_pack("{ss}", "command", "status"), &answer);
		r = r == 0 ? CLI_OK : CLI_UNREACHABLE;
	} else {
		r = client_call(cli_socket_path(o->socket), json_pack("{ss}", "command", "status"),
				&answer);
	}
	policies = json_object_get(answer, "policies");
	if (r == CLI_OK)
		*ret = json_incref(policies);
	json_decref(answer);
	return r;
}

static int list(const struct show_options *o)
{
	json_t *policies = NULL, *p;
	size_t i;
	int r = loaded(o, false, &policies);

	if (r != CLI_OK)
		return r;
	json_array_foreach(json_object_get(policies, "list"), i, p) {
		if (o->filter.json)
			policy_json_line(json_incref(p));
		else
			printf("%.14s  %-8s %s\n", json_string_value(json_object_get(p, "hash")),
			       json_string_value(json_object_get(p, "mode")),
			       json_string_value(json_object_get(p, "name")));
	}
	json_decref(policies);
	return CLI_OK;
}

static bool is_hex(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n >= 8 && n <= 64 && s[n] == '\0';
}

/* The first half-byte is the upper one of the first byte. */
static void hex_parse(const char *hex, uint8_t ret[32])
{
	memset(ret, 0, 32);
	for (size_t i = 0; hex[i]; i++) {
		uint8_t v = (uint8_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);

		ret[i / 2] |= (uint8_t)(i % 2 ? v : v << 4);
	}
}

/* A name, or the first digits of a hash. */
static bool is_meant(const char *what, const char *name, const char *hex)
{
	return strcmp(what, name) == 0 || (is_hex(what) && strncmp(what, hex, strlen(what)) == 0);
}

/*
 * The hash that is meant: of what the daemon has, else of what sessions were judged by, the newest
 * first. A whole hash needs no finding.
 */
static int hash_find(const struct show_options *o, struct store *s, const char *what,
		     uint8_t ret[32])
{
	struct store_query q = STORE_QUERY_ANY;
	struct store_sessions *c = NULL;
	struct store_session sess;
	json_t *policies = NULL, *p;
	size_t i;
	int r = -ENOENT;

	if (loaded(o, true, &policies) == CLI_OK)
		json_array_foreach(json_object_get(policies, "list"), i, p) {
			const char *name = json_string_value(json_object_get(p, "name"));
			const char *hex = json_string_value(json_object_get(p, "hash"));

			if (r == -ENOENT && name && hex && is_hex(hex) &&
			    is_meant(what, name, hex)) {
				hex_parse(hex, ret);
				r = 0;
			}
		}
	json_decref(policies);
	if (r == 0)
		return 0;
	q.newest_first = true;
	r = store_sessions_open(s, &q, &c);
	if (r < 0)
		return r;
	while ((r = store_sessions_next(c, &sess)) == 1 || r == -EBADMSG) {
		char hex[POLICY_HEX_MAX];

		if (r == 1 && sess.policy_hash &&
		    is_meant(what, sess.policy, policy_hash_format(sess.policy_hash, hex))) {
			memcpy(ret, sess.policy_hash, 32);
			break;
		}
	}
	(void)store_sessions_close(c); /* returns NULL */
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

static int text_print(const struct show_options *o, const uint8_t hash[32], const char *text)
{
	char hex[POLICY_HEX_MAX];
	size_t len = strlen(text);

	if (o->filter.json) {
		policy_json_line(
			json_pack("{ss,ss}", "hash", policy_hash_format(hash, hex), "text", text));
	} else {
		(void)fwrite(text, 1, len, stdout); /* stdout is checked at exit */
		if (len && text[len - 1] != '\n')
			putchar('\n');
	}
	return CLI_OK;
}

int policy_show_run(const struct cli_command *cmd, int argc, char **argv)
{
	struct show_options o;
	struct store *s = NULL;
	const char *what;
	_cleanup_(free_p) char *text = NULL;
	uint8_t hash[32];
	int r = parse(cmd, argc, argv, &o), err;

	if (r != CLI_GO_ON)
		return r;
	if (optind + 1 < argc)
		return cli_usage(cmd, "show takes one NAME or HASH");
	if (optind == argc)
		return list(&o);
	what = argv[optind];
	r = cli_store_open(&o.filter, &s);
	if (r)
		return r;
	err = 0;
	if (is_hex(what) && strlen(what) == 64)
		hex_parse(what, hash);
	else
		err = hash_find(&o, s, what, hash);
	if (err == 0)
		err = store_get_policy(s, hash, &text);
	(void)store_close(s); /* returns NULL */
	if (err == -ENOENT)
		return cli_fail(CLI_NO,
				"%s: neither the daemon nor the store has such a policy (of a hash "
				"at least 8 digits are needed)",
				what);
	if (err < 0)
		return cli_fail(CLI_UNREACHABLE, "%s: %s", what, store_strerror(err));
	return text_print(&o, hash, text);
}

int policy_reload_run(const struct cli_command *cmd, int argc, char **argv)
{
	struct show_options o;
	_cleanup_(close_p) int fd = -1;
	json_t *answer = NULL;
	const char *socket;
	int r = parse(cmd, argc, argv, &o);

	if (r != CLI_GO_ON)
		return r;
	if (optind < argc)
		return cli_usage(cmd, "reload takes no arguments");
	socket = cli_socket_path(o.socket);
	fd = client_open(socket);
	if (fd < 0)
		return client_unreachable(socket, fd);
	r = client_ask(fd, json_pack("{ss}", "command", "policies-reload"), &answer);
	if (r < 0 && r != -EREMOTEIO)
		return cli_fail(CLI_UNREACHABLE, "the daemon on %s does not answer: %s", socket,
				strerror(-r));
	if (o.filter.json)
		policy_json_line(json_incref(answer));
	else if (r < 0)
		/* FILE:LINE:COLUMN: … with nothing before it, as check prints it. */
		fprintf(stderr, "%s\n", client_error(answer));
	else
		printf("OK: %zu policies from %lld files, %.1f ms\n",
		       json_array_size(json_object_get(answer, "policies")),
		       (long long)json_integer_value(json_object_get(answer, "files")),
		       (double)json_integer_value(json_object_get(answer, "took_us")) / 1000);
	json_decref(answer);
	return r < 0 ? CLI_NO : CLI_OK;
}
