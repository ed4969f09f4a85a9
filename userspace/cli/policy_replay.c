// SPDX-License-Identifier: Apache-2.0
/* `weir policy replay`: what a policy would have said to what was recorded. */
#include <errno.h>
#include <getopt.h>

#include "filter.h"
#include "output.h"
#include "policy_again.h"
#include "policy_cmds.h"
#include "policy_files.h"

struct replay {
	struct cli_filter filter;
	bool all; /* also what stays */
	struct policy_again again;
	size_t sessions, damaged, ops, same, other_rule, to[VERDICT_COUNT], cannot_tell;
};

enum { TEXT_COLUMNS = 100 };

static bool changed(const struct again_op *o)
{
	return o->cannot_tell || o->verdict.kind != o->event->verdict.kind;
}

static const char *change_name(const struct again_op *o)
{
	static const char *const names[VERDICT_COUNT] = { "allowed", "held", "blocked" };

	return o->cannot_tell ? "cannot-tell" : changed(o) ? names[o->verdict.kind] : "same";
}

static json_t *verdict_json(enum verdict_kind kind, const char *rule)
{
	return json_pack("{ss,so}", "verdict", verdict_names[kind], "rule",
			 out_json_text(slice_str(rule ? rule : "")));
}

static int op_json(const struct store_session *sess, const struct again_op *o)
{
	char id[ULID_TEXT_MAX];
	const struct op *op = o->event->op;

	return out_json_line(
		stdout,
		json_pack("{ss,si,sI,ss,so,so,ss,so,so,so,ss?}", "session",
			  ulid_format(&sess->id, id), "seq", (int)o->event->seq, "op",
			  (json_int_t)o->event->op_id, "result", change_name(o), "agent",
			  out_json_text(slice_str(out_agent(&sess->identity))), "target",
			  out_json_text(slice_str(o->target ? o->target->name : "")), "protocol",
			  op->protocol, "text", out_json_text(op->text), "old",
			  verdict_json(o->event->verdict.kind, o->event->verdict.rule), "new",
			  verdict_json(o->verdict.kind, o->verdict.rule), "why", o->cannot_tell));
}

static void op_print(const struct store_session *sess, const struct again_op *o, bool colour)
{
	char id[OUT_ID_LEN + ULID_TEXT_MAX];
	const struct op *op = o->event->op;

	printf("%s #%llu  %s%-11s%s ", out_short_id(&sess->id, id),
	       (unsigned long long)o->event->op_id,
	       out_style(colour, o->cannot_tell ? OUT_YELLOW : out_verdict_style(o->verdict.kind)),
	       change_name(o), out_style(colour, OUT_PLAIN));
	out_text(stdout, op->text.len ? op->text : op->verb, TEXT_COLUMNS);
	printf("\n%*s was %s by ", OUT_ID_LEN, "", verdict_names[o->event->verdict.kind]);
	out_text(stdout, slice_str(o->event->verdict.rule), 0);
	printf(", now %s by ", verdict_names[o->verdict.kind]);
	out_text(stdout, slice_str(o->verdict.rule), 0);
	if (o->cannot_tell)
		printf(", cannot tell: %s", o->cannot_tell);
	putchar('\n');
}

static int op_take(struct replay *x, const struct store_session *sess, const struct again_op *o)
{
	x->ops++;
	if (o->cannot_tell)
		x->cannot_tell++;
	else if (changed(o))
		x->to[o->verdict.kind]++;
	else if (strcmp(o->verdict.rule, o->event->verdict.rule) != 0)
		x->other_rule++;
	else
		x->same++;
	if (!changed(o) && !x->all)
		return 0;
	if (x->filter.json)
		return op_json(sess, o);
	op_print(sess, o, out_colour(stdout));
	return 0;
}

static int session_replay(struct replay *x, struct store *s, const struct store_session *sess)
{
	struct again_session a;
	struct again_op o;
	int r = again_open(&x->again, s, sess, &a);

	x->sessions++;
	while (r == 0 && (r = again_next(&a, &o)) != 0) {
		if (r == -EBADMSG)
			x->damaged++;
		else if (r < 0)
			break;
		r = r == 1 ? op_take(x, sess, &o) : 0;
	}
	again_close(&a);
	return r;
}

static int summary(const struct replay *x)
{
	if (x->filter.json)
		return out_json_line(stdout,
				     json_pack("{ss,sI,sI,sI,sI,sI,sI,sI,sI}", "result", "summary",
					       "sessions", (json_int_t)x->sessions, "operations",
					       (json_int_t)x->ops, "same", (json_int_t)x->same,
					       "other_rule", (json_int_t)x->other_rule, "allowed",
					       (json_int_t)x->to[VERDICT_ALLOW], "held",
					       (json_int_t)x->to[VERDICT_HOLD], "blocked",
					       (json_int_t)x->to[VERDICT_BLOCK], "cannot_tell",
					       (json_int_t)x->cannot_tell));
	printf("%zu operations of %zu sessions: %zu as before%s", x->ops, x->sessions,
	       x->same + x->other_rule, x->other_rule ? " (" : "");
	if (x->other_rule)
		printf("%zu by another rule)", x->other_rule);
	printf(", %zu now allowed, %zu now held, %zu now blocked, %zu cannot be told\n",
	       x->to[VERDICT_ALLOW], x->to[VERDICT_HOLD], x->to[VERDICT_BLOCK], x->cannot_tell);
	return 0;
}

static int replay_all(struct replay *x, struct store *s)
{
	struct store_sessions *c = NULL;
	struct store_session sess;
	int r = store_sessions_open(s, &x->filter.query, &c);

	while (r == 0 && (r = store_sessions_next(c, &sess)) != 0) {
		if (r == -EBADMSG) {
			x->damaged++;
			r = 0;
		} else if (r == 1) {
			r = session_replay(x, s, &sess);
		}
	}
	(void)store_sessions_close(c); /* returns NULL */
	if (r == 0)
		r = summary(x);
	r = cli_listing_status(r, 1, x->damaged);
	if (r != CLI_OK)
		return r;
	/* What cannot be told counts as a change: it may be one. */
	return x->to[VERDICT_ALLOW] || x->to[VERDICT_HOLD] || x->to[VERDICT_BLOCK] || x->cannot_tell
		       ? CLI_NO
		       : CLI_OK;
}

bool policy_flag_take(int *argc, char **argv, const char *name)
{
	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], name) == 0) {
			memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
			(*argc)--;
			return true;
		}
	return false;
}

const char *policy_value_take(int *argc, char **argv, const char *name, const char *without)
{
	size_t len = strlen(name);

	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value = argv[i] + len;
		int n = 1;

		if (strncmp(argv[i], name, len) != 0)
			continue;
		if (*value == '\0' && i + 1 < *argc) {
			value = argv[i + 1];
			n = 2;
		} else if (*value == '=' && len > 2) {
			value++;
		} else {
			continue;
		}
		memmove(&argv[i], &argv[i + n], (size_t)(*argc - i - n + 1) * sizeof(*argv));
		*argc -= n;
		return value;
	}
	return without;
}

int policy_replay_run(const struct cli_command *cmd, int argc, char **argv)
{
	struct replay x = { .all = policy_flag_take(&argc, argv, "--all") };
	const struct policy *one;
	struct policy_set *set;
	struct store *s = NULL;
	int r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_MANY, &x.filter);

	if (r != CLI_GO_ON)
		return r;
	if (optind + 1 != argc)
		return cli_usage(cmd, "replay takes one FILE or DIR");
	r = policy_files_compile(argv[optind], &set, &one);
	if (r != CLI_OK)
		return r;
	r = cli_store_open(&x.filter, &s);
	if (r == CLI_OK) {
		policy_again_init(&x.again, set, one);
		r = replay_all(&x, s);
		policy_again_done(&x.again);
	}
	(void)store_close(s);        /* returns NULL */
	(void)policy_set_unref(set); /* the same */
	return r;
}
