// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>

#include "base/clock.h"
#include "filter.h"
#include "output.h"

static const struct out_column columns[] = {
	{ .title = "ID" },
	{ .title = "START" },
	{ .title = "TIME", .right = true, .drop = 1 },
	{ .title = "AGENT", .flex = true, .tail = true },
	{ .title = "TARGET", .flex = true },
	{ .title = "PROTOCOL", .drop = 2 },
	{ .title = "OPS", .right = true },
	{ .title = "BLOCKED", .right = true },
	{ .title = "BYTES", .right = true, .drop = 3 },
	{ .title = "STATE" },
};

static int cell_u(struct out_table *t, unsigned n, enum out_style style)
{
	char text[OUT_SHORT_MAX];

	snprintf(text, sizeof(text), "%u", n);
	return out_table_cell(t, slice_str(text), style);
}

static enum out_style state_style(enum store_state s)
{
	return s == STORE_SESSION_OPEN      ? OUT_GREEN
	       : s == STORE_SESSION_ENDED   ? OUT_DIM
	       : s == STORE_SESSION_REFUSED ? OUT_RED
					    : OUT_YELLOW;
}

static int row(struct out_table *t, const struct store_session *s)
{
	char id[ULID_TEXT_MAX], start[OUT_SHORT_MAX], time[OUT_SHORT_MAX], bytes[OUT_SHORT_MAX];
	char dst[ADDR_TEXT_MAX];
	uint64_t end = s->end_ns ? s->end_ns : clock_realtime_ns();
	int r = out_table_cell(t, slice_str(out_short_id(&s->id, id)), OUT_BOLD);

	out_size(s->bytes_to_server + s->bytes_to_client, bytes);
	out_duration(end > s->start_ns ? end - s->start_ns : 0, time);
	r = r ? r : out_table_cell(t, slice_str(out_time(s->start_ns, start)), OUT_PLAIN);
	r = r ? r : out_table_cell(t, slice_str(time), OUT_PLAIN);
	r = r ? r : out_table_cell(t, slice_str(out_agent(&s->identity)), OUT_PLAIN);
	/* Without a target the address says where it wanted to go. */
	r = r ? r
	      : out_table_cell(t, slice_str(s->target[0] ? s->target : addr_format(&s->dst, dst)),
			       OUT_PLAIN);
	r = r ? r : out_table_cell(t, slice_str(s->protocol[0] ? s->protocol : "-"), OUT_PLAIN);
	r = r ? r : cell_u(t, s->n_ops, OUT_PLAIN);
	r = r ? r : cell_u(t, s->n_blocked, s->n_blocked ? OUT_RED : OUT_PLAIN);
	r = r ? r : out_table_cell(t, slice_str(bytes), OUT_PLAIN);
	return r ? r
		 : out_table_cell(t, slice_str(store_state_names[s->state]), state_style(s->state));
}

static int list(struct store *s, const struct cli_filter *f)
{
	struct out_table *t = f->json ? NULL : out_table_new(stdout, columns, ARRAY_SIZE(columns));
	struct store_sessions *c = NULL;
	struct store_session sess;
	size_t n = 0, damaged = 0;
	int r = t || f->json ? store_sessions_open(s, &f->query, &c) : -ENOMEM;

	while (!r && ((r = store_sessions_next(c, &sess)) > 0 || r == -EBADMSG)) {
		if (r == -EBADMSG) {
			damaged++;
			r = 0;
			continue;
		}
		r = f->json ? out_json_line(stdout, out_json_session(&sess)) : row(t, &sess);
		n++;
	}
	(void)out_table_done(t);
	(void)store_sessions_close(c);
	if (!n && r >= 0 && !damaged && !f->json)
		fprintf(stderr, "weir: no such sessions\n");
	/* No session is an answer to this question, not a failure. */
	return cli_listing_status(r, 1, damaged);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct store *s = NULL;
	struct cli_filter f;
	int r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_MANY, &f);

	if (r != CLI_GO_ON)
		return r;
	if (optind < argc)
		return cli_usage(
			cmd, "\"%s\" is one argument too many; `weir show ID` shows one session",
			argv[optind]);
	r = cli_store_open_only(&f, &s);
	if (r)
		return r;
	r = list(s, &f);
	(void)store_close(s);
	return r;
}

const struct cli_command cli_cmd_sessions = {
	.name = "sessions",
	.args = CLI_FILTER_ARGS,
	.summary = "list recorded sessions",
	.help = CLI_FILTER_HELP
	"\n"
	"All filters must hold. Times are UTC. A session is one connection of an agent.\n"
	"\n"
	"Examples:\n"
	"  weir sessions --since 1h\n"
	"  weir sessions --cgroup /agents.slice --verdict block\n"
	"  weir sessions --target orders-db --json | jq -r .id\n",
	.run = run,
};
