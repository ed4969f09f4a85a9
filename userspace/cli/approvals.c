// SPDX-License-Identifier: Apache-2.0
/* `weir approvals`: what waits for people. */
#include "cli/approvals.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/output.h"

enum { OPT_SOCKET = 256, OPT_JSON, OPT_WATCH };

static const struct option options[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void words(const json_t *list, char *out, size_t size)
{
	const json_t *v;
	size_t i, n = 0;

	out[0] = '\0';
	json_array_foreach(list, i, v) {
		const char *s = json_string_value(v);

		if (!s || n + strlen(s) + 2 > size)
			break;
		n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", s);
	}
}

void approval_row(const json_t *o, uint64_t now_ns, struct approval_row *ret)
{
	uint64_t asked = now_ns, deadline = now_ns;

	/* Without a time that can be read it is 0 old, and over. */
	if (clock_parse(text(o, "asked"), now_ns, &asked) < 0 ||
	    clock_parse(text(o, "deadline"), now_ns, &deadline) < 0)
		asked = deadline = now_ns;
	*ret = (struct approval_row){
		.id = text(o, "id"),
		.target = text(o, "target"),
		.verb = text(o, "verb"),
		.rule = text(o, "rule"),
		.text = text(o, "text"),
		.agent = *text(o, "container") ? text(o, "container") : text(o, "cgroup"),
		.risk = number(o, "risk"),
		.text_cut = json_is_true(json_object_get(o, "text_cut")),
		.needed = (unsigned)number(o, "needed"),
		.approved = (unsigned)number(o, "approved"),
	};
	words(json_object_get(o, "effects"), ret->effects, sizeof(ret->effects));
	out_duration(now_ns > asked ? (now_ns - asked) / NSEC_PER_SEC * NSEC_PER_SEC : 0, ret->age);
	out_duration(deadline > now_ns ? (deadline - now_ns) / NSEC_PER_SEC * NSEC_PER_SEC : 0,
		     ret->left);
}

/* ---- one in full ---------------------------------------------------------------------------- */

enum { DESCRIBE_MAX = 16 * 1024 * 1024 };

static int put_field(struct buf *b, const char *name, const char *value)
{
	int r;

	if (!*value)
		return 0;
	r = buf_printf(b, "%-10s ", name);
	r = r < 0 ? r : out_escape(b, slice_str(value), 0);
	return r < 0 ? r : buf_put_u8(b, '\n');
}

/* Line by line, each escaped. */
static int put_lines(struct buf *b, const char *indent, const char *s)
{
	struct slice rest = slice_str(s);
	int r = 0;

	while (r >= 0 && rest.len) {
		ptrdiff_t end = slice_chr(rest, '\n');
		size_t n = end < 0 ? rest.len : (size_t)end;

		r = buf_put_str(b, indent);
		r = r < 0 ? r : out_escape(b, slice_head(rest, n), 0);
		r = r < 0 ? r : buf_put_u8(b, '\n');
		rest = slice_from(rest, MIN(n + 1, rest.len));
	}
	return r < 0 ? r : 0;
}

static int put_list(struct buf *b, const json_t *o)
{
	const json_t *v;
	const char *key;
	size_t i;
	char effects[128];
	int r = 0;

	json_array_foreach(json_object_get(o, "objects"), i, v) {
		words(json_object_get(v, "access"), effects, sizeof(effects));
		r = r < 0 ? r : buf_printf(b, "%-10s ", i ? "" : "objects");
		r = r < 0 ? r : out_escape(b, slice_str(text(v, "kind")), 0);
		r = r < 0 ? r : buf_put_u8(b, ' ');
		r = r < 0 ? r : out_escape(b, slice_str(text(v, "name")), 0);
		r = r < 0 ? r : buf_printf(b, ": %s\n", effects);
	}
	json_array_foreach(json_object_get(o, "params"), i, v) {
		r = r < 0 ? r : buf_printf(b, "%-10s $%zu = ", i ? "" : "params", i + 1);
		r = r < 0 ? r
			  : out_escape(b,
				       json_is_string(v) ? slice_str(json_string_value(v))
							 : SLICE("NULL"),
				       0);
		r = r < 0 ? r : buf_put_u8(b, '\n');
	}
	i = 0;
	json_object_foreach(json_object_get(o, "attrs"), key, v) {
		char scalar[32];

		snprintf(scalar, sizeof(scalar), "%lld", (long long)json_integer_value(v));
		r = r < 0 ? r : buf_printf(b, "%-10s ", i++ ? "" : "with");
		r = r < 0 ? r : out_escape(b, slice_str(key), 0);
		r = r < 0 ? r : buf_put_u8(b, '=');
		r = r < 0 ? r
			  : out_escape(b,
				       slice_str(json_is_string(v)  ? json_string_value(v)
						 : json_is_true(v)  ? "true"
						 : json_is_false(v) ? "false"
								    : scalar),
				       0);
		r = r < 0 ? r : buf_put_u8(b, '\n');
	}
	json_array_foreach(json_object_get(o, "answers"), i, v) {
		r = r < 0 ? r
			  : buf_printf(b, "%-10s %s by ", i ? "" : "answers",
				       json_is_true(json_object_get(v, "allow")) ? "approved"
										 : "denied");
		r = r < 0 ? r : out_escape(b, slice_str(text(v, "who")), 0);
		if (*text(v, "reason")) {
			r = r < 0 ? r : buf_put_str(b, ": ");
			r = r < 0 ? r : out_escape(b, slice_str(text(v, "reason")), 0);
		}
		r = r < 0 ? r : buf_put_u8(b, '\n');
	}
	return r;
}

char *approval_describe(const json_t *o, uint64_t now_ns)
{
	struct approval_row row;
	char *out = NULL;
	struct buf b;
	int r;

	approval_row(o, now_ns, &row);
	buf_init(&b, DESCRIBE_MAX);
	r = put_field(&b, "id", row.id);
	r = r < 0 ? r : put_field(&b, "session", text(o, "session"));
	r = r < 0 ? r : put_field(&b, "agent", row.agent);
	r = r < 0 ? r : put_field(&b, "cgroup", text(o, "cgroup"));
	r = r < 0 ? r : put_field(&b, "process", text(o, "comm"));
	r = r < 0 ? r
		  : buf_printf(&b, "%-10s pid %lld, uid %lld\n", "", number(o, "pid"),
			       number(o, "uid"));
	r = r < 0 ? r : put_field(&b, "target", row.target);
	r = r < 0 ? r : put_field(&b, "at", text(o, "destination"));
	r = r < 0 ? r : put_field(&b, "protocol", text(o, "protocol"));
	r = r < 0 ? r : put_field(&b, "verb", row.verb);
	r = r < 0 ? r : put_field(&b, "effects", row.effects);
	r = r < 0 ? r : buf_printf(&b, "%-10s %lld\n", "risk", row.risk);
	r = r < 0 ? r : put_field(&b, "rule", row.rule);
	r = r < 0 ? r : put_field(&b, "message", text(o, "message"));
	r = r < 0 ? r : buf_printf(&b, "%-10s %u of %u\n", "approved", row.approved, row.needed);
	r = r < 0 ? r : buf_printf(&b, "%-10s %s ago, %s left\n", "asked", row.age, row.left);
	r = r < 0 ? r : put_field(&b, "sha256", text(o, "digest"));
	r = r < 0 ? r : put_list(&b, o);
	r = r < 0 ? r : buf_put_u8(&b, '\n');
	r = r < 0 ? r : put_lines(&b, "  ", row.text);
	if (row.text_cut)
		r = r < 0 ? r
			  : buf_put_str(&b, "  (not shown whole: it is longer, or has a secret)\n");
	if (*text(o, "body")) {
		r = r < 0 ? r : buf_put_str(&b, "\nbody\n");
		r = r < 0 ? r : put_lines(&b, "  ", text(o, "body"));
	}
	if (json_is_true(json_object_get(o, "cut")))
		r = r < 0 ? r : buf_put_str(&b, "  (some of what belongs to it is not shown)\n");
	r = r < 0 ? r : buf_put_u8(&b, '\0');
	if (r >= 0)
		out = strdup((const char *)buf_peek(&b).ptr);
	buf_done(&b);
	return out;
}

/* ---- the listing ---------------------------------------------------------------------------- */

static const struct out_column columns[] = {
	{ .title = "ID" },
	{ .title = "AGE", .right = true },
	{ .title = "LEFT", .right = true },
	{ .title = "AGENT", .flex = true, .tail = true },
	{ .title = "TARGET" },
	{ .title = "VERB" },
	{ .title = "EFFECTS", .drop = 1 },
	{ .title = "RISK", .right = true, .drop = 2 },
	{ .title = "RULE" },
	{ .title = "OK", .drop = 3 },
	{ .title = "TEXT", .flex = true },
};

static int print_row(struct out_table *t, const json_t *o, uint64_t now_ns)
{
	struct approval_row row;
	char risk[24], ok[24];

	approval_row(o, now_ns, &row);
	snprintf(risk, sizeof(risk), "%lld", row.risk);
	snprintf(ok, sizeof(ok), "%u/%u", row.approved, row.needed);
	{
		const struct slice cells[] = {
			slice_head(slice_str(row.id), OUT_ID_LEN),
			slice_str(row.age),
			slice_str(row.left),
			slice_str(row.agent),
			slice_str(row.target),
			slice_str(row.verb),
			slice_str(row.effects),
			slice_str(risk),
			slice_str(row.rule),
			slice_str(ok),
			slice_str(row.text),
		};

		_Static_assert(ARRAY_SIZE(cells) == ARRAY_SIZE(columns), "a cell a column");
		for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
			if (out_table_cell(t, cells[i], i == 0 ? OUT_YELLOW : OUT_PLAIN) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int print_table(const json_t *list, long long waiting)
{
	struct out_table *t;
	uint64_t now_ns = clock_realtime_ns();
	const json_t *o;
	size_t i;
	int r = 0;

	if (!json_array_size(list)) {
		printf("nothing waits\n");
		return CLI_OK;
	}
	t = out_table_new(stdout, columns, ARRAY_SIZE(columns));
	if (!t)
		return cli_fail(CLI_NO, "out of memory");
	json_array_foreach(list, i, o) {
		r = print_row(t, o, now_ns);
		if (r < 0)
			break;
	}
	(void)out_table_done(t); /* returns NULL */
	if (r < 0)
		return cli_fail(CLI_NO, "out of memory");
	if (waiting > (long long)json_array_size(list))
		printf("and %lld more\n", waiting - (long long)json_array_size(list));
	return CLI_OK;
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	const char *socket = NULL, *id;
	bool json = false, watch = false;
	json_t *answer = NULL, *request;
	const json_t *o;
	size_t i;
	int opt, r;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1)
		switch (opt) {
		case OPT_SOCKET: socket = optarg; break;
		case OPT_JSON: json = true; break;
		case OPT_WATCH: watch = true; break;
		case 'h': return cli_help(cmd);
		default: return cli_usage(cmd, "see above");
		}
	id = argv[optind];
	if (optind + 1 < argc || (watch && (id || json)))
		return cli_usage(cmd, "one id at most, and none with --watch");
	if (watch)
		return approvals_watch(cli_socket_path(socket));
	request = json_pack("{ss,ss*}", "command", "approvals", "id", id);
	r = client_call(cli_socket_path(socket), request, &answer);
	if (r != CLI_OK)
		return r;
	if (json) {
		json_array_foreach(json_object_get(answer, "approvals"), i, o)
			if (out_json_line(stdout, json_incref((json_t *)(uintptr_t)o)) < 0)
				r = cli_fail(CLI_NO, "out of memory");
	} else if (id) {
		_cleanup_(free_p) char *all =
			approval_describe(json_array_get(json_object_get(answer, "approvals"), 0),
					  clock_realtime_ns());

		if (all)
			fputs(all, stdout);
		else
			r = cli_fail(CLI_NO, "out of memory");
	} else {
		r = print_table(json_object_get(answer, "approvals"), number(answer, "waiting"));
	}
	json_decref(answer);
	return r;
}

const struct cli_command cli_cmd_approvals = {
	.name = "approvals",
	.args = "[ID] [--json] [--watch]",
	.summary = "list operations on hold, which wait for `weir approve` or `weir deny`",
	.help = "  ID             the beginning of one's id: all there is to know of that one\n"
		"  --json         one object a line: id, session, op, asked, deadline, cgroup,\n"
		"                 container, labels, pid, uid, comm, target, verb, effects, risk,\n"
		"                 rule, message, digest, text, needed, approved, answers; with an "
		"ID\n"
		"                 also objects, params, attrs and body\n"
		"  --watch        a screen that stays up to date, and takes answers\n"
		"  --socket PATH  the daemon's control socket\n"
		"\n"
		"Examples:\n"
		"  weir approvals --watch\n"
		"  weir approvals --json | jq -r 'select(.risk < 30) | .id'\n",
	.run = run,
};
