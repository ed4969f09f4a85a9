// SPDX-License-Identifier: Apache-2.0
#include "filter.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"

enum {
	OPT_CGROUP = 256,
	OPT_CONTAINER,
	OPT_TARGET,
	OPT_PROTOCOL,
	OPT_VERDICT,
	OPT_RULE,
	OPT_LABEL,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_LIMIT,
	OPT_REVERSE,
	OPT_STORE,
	OPT_JSON,
	OPT_SPEED,
	OPT_STEP,
	OPT_NO_WAIT,
};

/* First what one session needs, then replay's, then the filters: each set is a run of these. */
static const struct option options[] = {
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "container", required_argument, NULL, OPT_CONTAINER },
	{ "target", required_argument, NULL, OPT_TARGET },
	{ "protocol", required_argument, NULL, OPT_PROTOCOL },
	{ "verdict", required_argument, NULL, OPT_VERDICT },
	{ "rule", required_argument, NULL, OPT_RULE },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "reverse", no_argument, NULL, OPT_REVERSE },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "step", no_argument, NULL, OPT_STEP },
	{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
	{ NULL, 0, NULL, 0 },
};

static bool belongs(int opt, enum cli_filter_set set)
{
	if (opt == OPT_STORE || opt == OPT_JSON || opt == 'h')
		return true;
	if (opt == OPT_SPEED || opt == OPT_STEP || opt == OPT_NO_WAIT)
		return set == CLI_FILTER_REPLAY;
	return set == CLI_FILTER_MANY;
}

static int set_verdict(const struct cli_command *cmd, struct cli_filter *f)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (!strcmp(optarg, verdict_names[i])) {
			f->query.verdict = i;
			return CLI_GO_ON;
		}
	}
	return cli_usage(cmd, "--verdict is allow, hold or block, not \"%s\"", optarg);
}

static int set_label(const struct cli_command *cmd, struct cli_filter *f)
{
	char *eq;

	if (strlen(optarg) >= sizeof(f->label))
		return cli_usage(cmd, "--label is too long");
	memcpy(f->label, optarg, strlen(optarg) + 1);
	eq = strchr(f->label, '=');
	if (eq)
		*eq = 0;
	f->query.label_key = f->label;
	f->query.label_value = eq ? eq + 1 : NULL;
	return CLI_GO_ON;
}

static int set_time(const struct cli_command *cmd, const char *name, uint64_t *ret)
{
	if (clock_parse(optarg, clock_realtime_ns(), ret) < 0)
		return cli_usage(cmd,
				 "--%s: \"%s\" is no time; try 15m, 2h, 7d or 2026-01-31T10:00:00Z",
				 name, optarg);
	return CLI_GO_ON;
}

static int set_option(const struct cli_command *cmd, int opt, struct cli_filter *f)
{
	struct store_query *q = &f->query;
	uint64_t n;
	char *end;

	switch (opt) {
	case 'h': return cli_help(cmd);
	case OPT_CGROUP: q->cgroup = optarg; break;
	case OPT_CONTAINER: q->container = optarg; break;
	case OPT_TARGET: q->target = optarg; break;
	case OPT_PROTOCOL: q->protocol = optarg; break;
	case OPT_VERDICT: return set_verdict(cmd, f);
	case OPT_RULE: q->rule = optarg; break;
	case OPT_LABEL: return set_label(cmd, f);
	case OPT_SINCE: return set_time(cmd, "since", &q->since_ns);
	case OPT_UNTIL: return set_time(cmd, "until", &q->until_ns);
	case OPT_LIMIT:
		if (slice_to_u64(slice_str(optarg), &n) < 0)
			return cli_usage(cmd, "--limit is a number, not \"%s\"", optarg);
		q->limit = n;
		break;
	case OPT_REVERSE: f->reverse = true; break;
	case OPT_STORE: f->store = optarg; break;
	case OPT_JSON: f->json = true; break;
	case OPT_SPEED:
		errno = 0;
		f->speed = strtod(optarg, &end);
		if (errno || end == optarg || *end || !isfinite(f->speed) || f->speed <= 0)
			return cli_usage(cmd, "--speed is a number above 0, not \"%s\"", optarg);
		break;
	case OPT_STEP: f->step = true; break;
	case OPT_NO_WAIT: f->no_wait = true; break;
	}
	return CLI_GO_ON;
}

int cli_filter_parse(const struct cli_command *cmd, int argc, char **argv, enum cli_filter_set set,
		     struct cli_filter *ret)
{
	int opt, r;

	*ret = (struct cli_filter){ .query = STORE_QUERY_ANY, .speed = 1 };
	opterr = 0;
	optind = 0; /* from the beginning, whoever called getopt before */
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (opt == ':')
			return cli_usage(cmd, "%s needs a value", argv[optind - 1]);
		if (opt == '?' || !belongs(opt, set))
			return cli_usage(cmd, "there is no option %s", argv[optind - 1]);
		r = set_option(cmd, opt, ret);
		if (r != CLI_GO_ON)
			return r;
	}
	ret->query.newest_first = !ret->reverse;
	return CLI_GO_ON;
}

static int open_store(const struct cli_filter *f, bool for_good, struct store **ret)
{
	struct store_config cfg = { .dir = cli_store_dir(f->store), .mode = STORE_READ };
	int r = cli_store_open_owned(&cfg, for_good, ret);

	if (!r)
		return 0;
	if (r == -ENOENT)
		return cli_fail(
			CLI_UNREACHABLE,
			"%s: there is no store; has a daemon run yet? --store or $WEIR_STORE "
			"name another place",
			cfg.dir);
	if (r == -EACCES || r == -EPERM)
		return cli_fail(CLI_UNREACHABLE, "%s: you may not read this store; try as root",
				cfg.dir);
	return cli_fail(CLI_UNREACHABLE, "%s: %s", cfg.dir, store_strerror(r));
}

int cli_store_open(const struct cli_filter *f, struct store **ret)
{
	return open_store(f, false, ret);
}

int cli_store_open_only(const struct cli_filter *f, struct store **ret)
{
	return open_store(f, true, ret);
}

static int find_nth(struct store *s, uint64_t n, char id[ULID_TEXT_MAX])
{
	struct store_query q = STORE_QUERY_ANY;
	struct store_sessions *c = NULL;
	struct store_session sess;
	int r;

	q.newest_first = true;
	r = store_sessions_open(s, &q, &c);
	if (r < 0)
		return r;
	while ((r = store_sessions_next(c, &sess)) == 1 || r == -EBADMSG) {
		if (--n == 0)
			break;
	}
	if (r == 1)
		ulid_format(&sess.id, id);
	(void)store_sessions_close(c);
	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

int cli_session_find(const struct cli_command *cmd, struct store *s, const char *what,
		     struct store_session *ret, void **ret_mem)
{
	char id[ULID_TEXT_MAX];
	const char *name = what;
	uint64_t n = 1;
	int r = 0;

	if (!strcmp(what, "latest") || what[0] == '@') {
		if (what[0] == '@' && (slice_to_u64(slice_str(what + 1), &n) < 0 || !n))
			return cli_usage(cmd, "\"%s\" is no session; @1 is the newest", what);
		r = find_nth(s, n, id);
		name = id;
	}
	if (!r)
		r = store_session_get(s, name, ret, ret_mem);
	if (!r)
		return 0;
	if (r == -EINVAL)
		return cli_usage(cmd,
				 "\"%s\" is no session id; at least 4 letters of one, as "
				 "`weir sessions` shows them, or latest, @2",
				 what);
	if (r == -ENOENT)
		return cli_fail(CLI_NO, "%s: no such session; `weir sessions` lists them", what);
	if (r == -EEXIST)
		return cli_fail(CLI_NO, "%s: several sessions begin so; give more letters", what);
	if (r == -EBADMSG)
		return cli_fail(CLI_NO, "%s: the session's record is damaged", what);
	return cli_fail(CLI_UNREACHABLE, "%s: %s", what, store_strerror(r));
}

int cli_listing_status(int err, size_t n, size_t damaged)
{
	if (fflush(stdout) == EOF && errno != EPIPE)
		return cli_fail(CLI_UNREACHABLE, "standard output: %s", strerror(errno));
	if (damaged)
		(void)cli_fail(CLI_OK, "%zu records are damaged and were left out", damaged);
	if (err < 0)
		return cli_fail(CLI_UNREACHABLE, "the store: %s", store_strerror(err));
	return n ? CLI_OK : CLI_NO;
}
