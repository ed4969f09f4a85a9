// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/clock.h"
#include "filter.h"
#include "output.h"

enum { DATA_LINES = 12, TEXT_LINES = 200 };
#define INDENT "            "

static void field(const char *name)
{
	printf("%-9s ", name);
}

static void text(const char *s)
{
	out_text(stdout, slice_str(s), 0);
}

static void header_agent(const struct identity *id)
{
	field("agent");
	text(out_agent(id));
	if (id->runtime[0]) {
		printf(" (");
		text(id->runtime);
		putchar(')');
	}
	putchar('\n');
	field("cgroup");
	text(id->cgroup_path);
	printf(" (id %llu)\n", (unsigned long long)id->cgroup_id);
	if (id->pod[0]) {
		field("pod");
		text(id->pod);
		putchar('\n');
	}
	field("process");
	text(id->comm);
	printf(", pid %u, uid %u", id->pid, id->uid);
	if (id->exe[0]) {
		printf(", ");
		text(id->exe);
	}
	putchar('\n');
	for (size_t i = 0; i < id->n_labels; i++) {
		field(i ? "" : "labels");
		text(id->labels[i].key);
		putchar('=');
		text(id->labels[i].value);
		putchar('\n');
	}
}

static void header_flow(const struct store_session *s)
{
	static const struct addr none;
	char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];

	field("from");
	printf("%s to %s", addr_format(&s->client, a), addr_format(&s->dst, b));
	if (addr_eq(&s->upstream, &none))
		printf(", not dialled");
	else if (!addr_eq(&s->upstream, &s->dst))
		printf(", dialled as %s", addr_format(&s->upstream, a));
	putchar('\n');
	field("target");
	text(s->target[0] ? s->target : "none");
	if (s->protocol[0]) {
		printf(", ");
		text(s->protocol);
	}
	putchar('\n');
	field("policy");
	text(s->policy[0] ? s->policy : "none");
	for (unsigned i = 0; s->policy_hash && i < 6; i++)
		printf("%s%02x", i ? "" : " ", s->policy_hash[i]);
	printf("%s\n", s->observed ? ", observed only: verdicts were not applied" : "");
}

static void header(const struct store_session *s, bool colour)
{
	char id[ULID_TEXT_MAX], a[OUT_SHORT_MAX], b[OUT_SHORT_MAX];

	field("session");
	printf("%s%s%s %s", out_style(colour, OUT_BOLD), ulid_format(&s->id, id),
	       out_style(colour, OUT_PLAIN), store_state_names[s->state]);
	if (s->reason[0]) {
		printf(": ");
		text(s->reason);
	}
	putchar('\n');
	header_agent(&s->identity);
	header_flow(s);
	field("time");
	printf("%s", out_time(s->start_ns, a));
	if (s->end_ns)
		printf(" to %s", out_time(s->end_ns, a));
	if (s->end_ns >= s->start_ns)
		printf(" (%s)", out_duration(s->end_ns - s->start_ns, a));
	printf(" UTC\n");
	field("ops");
	printf("%u: %u allowed, %u held, %u blocked; %u errors\n", s->n_ops, s->n_allowed,
	       s->n_held, s->n_blocked, s->n_errors);
	field("bytes");
	printf("%s to the server, %s to the client\n\n", out_size(s->bytes_to_server, a),
	       out_size(s->bytes_to_client, b));
}

static void op(const struct store_event *ev, bool colour)
{
	const struct op *o = ev->op;
	char effects[128];

	printf("%s%s%s ", out_style(colour, out_verdict_style(ev->verdict.kind)),
	       verdict_names[ev->verdict.kind], out_style(colour, OUT_PLAIN));
	fputs(out_style(colour, OUT_BOLD), stdout);
	out_text(stdout, o->verb, 0);
	printf("%s (%s)", out_style(colour, OUT_PLAIN),
	       op_effects_format(o->effects, effects, sizeof(effects)));
	if (ev->verdict.rule[0]) {
		printf(" by ");
		text(ev->verdict.rule);
	}
	if (ev->verdict.message) {
		printf(": ");
		text(ev->verdict.message);
	}
	putchar('\n');
	out_lines(stdout, o->text, INDENT, TEXT_LINES);
	if (o->text_cut)
		printf(INDENT "(longer than what is recorded)\n");
	for (size_t i = 0; i < o->n_objects; i++) {
		printf(INDENT "- ");
		text(o->objects[i].kind);
		putchar(' ');
		out_text(stdout, o->objects[i].name, 0);
		if (o->objects[i].access)
			printf(": %s",
			       op_effects_format(o->objects[i].access, effects, sizeof(effects)));
		putchar('\n');
	}
	for (size_t i = 0; i < o->n_params; i++) {
		printf(INDENT "$%zu = ", i + 1);
		if (o->params[i].null)
			fputs("NULL", stdout);
		else
			out_text(stdout, o->params[i].text, 0);
		putchar('\n');
	}
	if (o->n_attrs) {
		printf(INDENT "with");
		out_attrs(stdout, o->attrs, o->n_attrs);
		putchar('\n');
	}
}

static void event(const struct store_session *s, const struct store_event *ev, bool colour)
{
	char at[OUT_SHORT_MAX];

	out_duration(ev->time_ns > s->start_ns ? ev->time_ns - s->start_ns : 0, at);
	printf("%s%9s%s  ", out_style(colour, OUT_DIM), at, out_style(colour, OUT_PLAIN));
	switch (ev->type) {
	case STORE_OP:
		printf("#%llu ", (unsigned long long)ev->op_id);
		op(ev, colour);
		break;
	case STORE_DATA:
		printf("#%llu %s %zu bytes", (unsigned long long)ev->op_id,
		       ev->dir == DIR_TO_SERVER ? "sent" : "received", ev->data.len);
		if (ev->data_skipped)
			printf(" after %llu not recorded", (unsigned long long)ev->data_skipped);
		putchar('\n');
		out_lines(stdout, ev->data, INDENT "| ", DATA_LINES);
		break;
	case STORE_RESULT:
		printf("#%llu %s", (unsigned long long)ev->op_id,
		       ev->failed ? "failed:" : "result:");
		out_attrs(stdout, ev->attrs, ev->n_attrs);
		putchar('\n');
		break;
	case STORE_APPROVAL:
		printf("#%llu approval ", (unsigned long long)ev->op_id);
		text(ev->text);
		out_attrs(stdout, ev->attrs, ev->n_attrs);
		putchar('\n');
		break;
	case STORE_NOTE:
		printf("note: ");
		text(ev->text);
		out_attrs(stdout, ev->attrs, ev->n_attrs);
		putchar('\n');
		break;
	case STORE_END:
		printf(ev->text[0] ? "end: " : "end");
		text(ev->text);
		putchar('\n');
		break;
	case STORE_ERROR:
		printf("%serror:%s ", out_style(colour, OUT_RED), out_style(colour, OUT_PLAIN));
		text(ev->text);
		if (ev->spec[0]) {
			printf(" (");
			text(ev->spec);
			putchar(')');
		}
		printf(", at byte %llu from the %s\n", (unsigned long long)ev->offset,
		       ev->dir == DIR_TO_SERVER ? "client" : "server");
		break;
	}
}

static int show(struct store *s, const struct store_session *sess, bool json)
{
	bool colour = out_colour(stdout);
	struct store_events *c = NULL;
	struct store_event ev;
	size_t damaged = 0;
	int r = 0;

	if (json)
		r = out_json_line(stdout, out_json_session(sess));
	else
		header(sess, colour);
	if (!r)
		r = store_events_open(s, &sess->id, 0, &c);
	while (!r && ((r = store_events_next(c, &ev)) > 0 || r == -EBADMSG)) {
		if (r == -EBADMSG)
			damaged++;
		else if (!json)
			event(sess, &ev, colour);
		r = r > 0 && json ? out_json_line(stdout, out_json_event(&sess->id, &ev)) : 0;
	}
	(void)store_events_close(c);
	return cli_listing_status(r, 1, damaged);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct store_session sess;
	struct store *s = NULL;
	struct cli_filter f;
	void *mem = NULL;
	int r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_ONE, &f);

	if (r != CLI_GO_ON)
		return r;
	if (optind + 1 != argc)
		return cli_usage(cmd, "name one session: an id from `weir sessions`, or latest");
	r = cli_store_open_only(&f, &s);
	if (r)
		return r;
	r = cli_session_find(cmd, s, argv[optind], &sess, &mem);
	if (!r)
		r = show(s, &sess, f.json);
	free(mem);
	(void)store_close(s);
	return r;
}

const struct cli_command cli_cmd_show = {
	.name = "show",
	.args = "ID [--store DIR] [--json]",
	.summary = "show one session: who, and every operation with its verdict",
	.help = "  ID                 the beginning of a session's id, or latest, or @2 (second "
		"newest)\n"
		"  --store DIR        another store than $WEIR_STORE or /var/lib/weir/store\n"
		"  --json             one JSON object a line: the session, then its events\n"
		"\n"
		"Examples:\n"
		"  weir show latest\n"
		"  weir show 01KDVDNA0012AB\n"
		"  weir show @1 --json | jq -r 'select(.type == \"op\") | .text'\n",
	.run = run,
};
