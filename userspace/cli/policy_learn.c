// SPDX-License-Identifier: Apache-2.0
/* `weir policy learn`: a policy out of recorded sessions. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

#include "filter.h"
#include "learn.h"
#include "policy/policy.h"
#include "policy_cmds.h"
#include "policy_files.h"

struct learner {
	struct cli_filter filter;
	const char *name, *out;
	struct learn *learn;
	size_t damaged;
};

static int session_learn(struct learner *x, struct store *s, const struct store_session *sess)
{
	struct store_events *c = NULL;
	struct store_event ev;
	size_t target = 0;
	bool begun = false;
	int r = store_events_open(s, &sess->id, 0, &c);

	while (r == 0 && (r = store_events_next(c, &ev)) != 0) {
		if (r == -EBADMSG)
			x->damaged++;
		else if (r < 0)
			break;
		if (r != 1 || ev.type != STORE_OP) {
			r = 0;
			continue;
		}
		r = 0;
		if (ev.verdict.kind != VERDICT_ALLOW) {
			learn_skip(x->learn);
			continue;
		}
		if (!begun)
			r = learn_session(x->learn, &sess->dst, ev.op->protocol, sess->target,
					  &sess->identity, &target);
		begun = r == 0;
		if (r == 0)
			r = MIN(learn_op(x->learn, target, ev.op), 0);
	}
	(void)store_events_close(c); /* returns NULL */
	return r;
}

static int sessions_learn(struct learner *x, struct store *s)
{
	struct store_sessions *c = NULL;
	struct store_session sess;
	int r = store_sessions_open(s, &x->filter.query, &c);

	while (r == 0 && (r = store_sessions_next(c, &sess)) != 0) {
		if (r == -EBADMSG) {
			x->damaged++;
			r = 0;
		} else if (r == 1) {
			r = session_learn(x, s, &sess);
		}
	}
	(void)store_sessions_close(c); /* returns NULL */
	return r;
}

/* A name stands for an address only when it leads there: an agent may have said any. */
static void hosts_confirm(struct learn *l)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	const char *name;
	struct addr at;

	for (size_t i = 0; learn_host_at(l, i, &name, &at); i++) {
		struct addrinfo *list = NULL;

		if (getaddrinfo(name, NULL, &hints, &list) != 0)
			continue;
		for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
			struct addr a;

			if (addr_from_sockaddr(ai->ai_addr, &a) == 0 &&
			    memcmp(a.ip, at.ip, sizeof(a.ip)) == 0)
				learn_host_confirm(l, i);
		}
		freeaddrinfo(list);
	}
}

static int text_write(const char *path, struct slice text)
{
	FILE *f = fopen(path, "wxe");
	bool ok;

	if (!f && errno == EEXIST)
		return cli_fail(CLI_NO, "%s: is there already", path);
	if (!f)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(errno));
	ok = fwrite(text.ptr, 1, text.len, f) == text.len;
	if (fclose(f) != 0 || !ok)
		return cli_fail(CLI_NO, "%s: %s", path, strerror(errno));
	return CLI_OK;
}

static int finish(struct learner *x)
{
	struct learn_counts n;
	struct policy_source source = { "learned policy", SLICE_NONE };
	struct policy_set *set = NULL;
	struct policy_err err;
	struct buf text;
	int r;

	hosts_confirm(x->learn);
	buf_init(&text, POLICY_TEXT_MAX);
	r = learn_write(x->learn, x->name, &text, &n);
	source.json = buf_peek(&text);
	if (r == -ENODATA) {
		r = cli_fail(CLI_NO, "nothing to learn from: no session has an operation that was "
				     "allowed");
	} else if (r < 0) {
		r = cli_fail(CLI_NO, "the policy cannot be written: %s", strerror(-r));
	} else if (policy_set_compile(&source, 1, &set, &err) < 0) {
		policy_error_print(&err, false);
		r = CLI_NO;
	} else if (x->out) {
		r = text_write(x->out, source.json);
	} else {
		(void)fwrite(source.json.ptr, 1, source.json.len, stdout);
		r = cli_listing_status(0, 1, 0);
	}
	(void)policy_set_unref(set); /* returns NULL */
	buf_done(&text);
	if (r != CLI_OK)
		return r;
	if (x->filter.json && x->out)
		policy_json_line(json_pack("{ss,sI,sI,sI,sI,sI,sI}", "file", x->out, "sessions",
					   (json_int_t)n.sessions, "operations", (json_int_t)n.ops,
					   "not_learned", (json_int_t)n.skipped, "not_sayable",
					   (json_int_t)n.unsayable, "targets",
					   (json_int_t)n.targets, "rules", (json_int_t)n.rules));
	else
		fprintf(stderr,
			"weir: learned %zu targets and %zu rules from %llu operations of %llu "
			"sessions; %llu were blocked or held; %llu cannot be named\n",
			n.targets, n.rules, (unsigned long long)n.ops,
			(unsigned long long)n.sessions, (unsigned long long)n.skipped,
			(unsigned long long)n.unsayable);
	return CLI_OK;
}

int policy_learn_run(const struct cli_command *cmd, int argc, char **argv)
{
	struct learner x = { .name = "learned" };
	struct store *s = NULL;
	int r;

	x.name = policy_value_take(&argc, argv, "--name", x.name);
	x.out = policy_value_take(&argc, argv, "-o", NULL);
	x.out = policy_value_take(&argc, argv, "--output", x.out);
	r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_MANY, &x.filter);
	if (r != CLI_GO_ON)
		return r;
	if (optind < argc)
		return cli_usage(cmd, "\"%s\" is one argument too many", argv[optind]);
	r = cli_store_open(&x.filter, &s);
	if (r)
		return r;
	r = learn_new(&x.learn);
	if (r == 0)
		r = sessions_learn(&x, s);
	(void)store_close(s); /* returns NULL */
	if (x.damaged)
		(void)cli_fail(CLI_OK, "%zu records are damaged and were left out", x.damaged);
	r = r < 0 ? cli_fail(CLI_UNREACHABLE, "learning: %s", store_strerror(r)) : finish(&x);
	x.learn = learn_free(x.learn);
	return r;
}
