// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "filter.h"
#include "output.h"

#define PAUSE_MAX_NS (2 * NSEC_PER_SEC)

struct player {
	const struct store_session *sess;
	const struct cli_filter *f;
	bool colour;
	uint64_t last_ns;
};

static void wait_until(struct player *p, const struct store_event *ev)
{
	uint64_t pause = ev->time_ns > p->last_ns ? ev->time_ns - p->last_ns : 0;
	struct timespec ts;

	p->last_ns = MAX(p->last_ns, ev->time_ns);
	if (p->f->no_wait || p->f->step || !pause)
		return;
	pause = (uint64_t)((double)MIN(pause, (uint64_t)PAUSE_MAX_NS) / p->f->speed);
	pause = MIN(pause,
		    (uint64_t)PAUSE_MAX_NS); /* --speed below 1 stretches it, but not for long */
	fflush(stdout);
	ts = (struct timespec){ .tv_sec = (time_t)(pause / NSEC_PER_SEC),
				.tv_nsec = (long)(pause % NSEC_PER_SEC) };
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* False when the one who steps has had enough. */
static bool wait_step(const struct player *p)
{
	int c;

	if (!p->f->step)
		return true;
	fflush(stdout);
	while ((c = getchar()) != '\n') {
		if (c == EOF || c == 'q')
			return false;
	}
	return true;
}

static void play_op(const struct player *p, const struct store_event *ev)
{
	const struct op *op = ev->op;

	fputs(out_style(p->colour, OUT_BOLD), stdout);
	if (op->text.len)
		out_lines(stdout, op->text, "> ", 0);
	else
		out_lines(stdout, op->verb, "> ", 0);
	fputs(out_style(p->colour, OUT_PLAIN), stdout);
	for (size_t i = 0; i < op->n_params; i++) {
		printf(">   $%zu = ", i + 1);
		if (op->params[i].null)
			fputs("NULL", stdout);
		else
			out_text(stdout, op->params[i].text, 0);
		putchar('\n');
	}
	if (ev->verdict.kind == VERDICT_ALLOW)
		return;
	printf("%s! %s%s by ", out_style(p->colour, out_verdict_style(ev->verdict.kind)),
	       p->sess->observed ? "would be " : "",
	       ev->verdict.kind == VERDICT_BLOCK ? "blocked" : "held for approval");
	out_text(stdout, slice_str(ev->verdict.rule), 0);
	if (ev->verdict.message) {
		fputs(": ", stdout);
		out_text(stdout, slice_str(ev->verdict.message), 0);
	}
	printf("%s\n", out_style(p->colour, OUT_PLAIN));
}

static void play_data(const struct store_event *ev)
{
	const char *mark = ev->dir == DIR_TO_SERVER ? "> " : "< ";

	if (ev->data_skipped)
		printf("%s(%llu bytes were not recorded)\n", mark,
		       (unsigned long long)ev->data_skipped);
	if (ev->data.len && memchr(ev->data.ptr, 0, ev->data.len))
		printf("%s(%zu bytes, not text)\n", mark, ev->data.len);
	else
		out_lines(stdout, ev->data, mark, 0);
}

static void play(const struct player *p, const struct store_event *ev)
{
	switch (ev->type) {
	case STORE_OP: play_op(p, ev); break;
	case STORE_DATA: play_data(ev); break;
	case STORE_RESULT:
		printf("%s< %s", out_style(p->colour, OUT_DIM), ev->failed ? "failed:" : "done:");
		out_attrs(stdout, ev->attrs, ev->n_attrs);
		printf("%s\n", out_style(p->colour, OUT_PLAIN));
		break;
	case STORE_END:
		if (!ev->text[0])
			break; /* an ordinary end needs no reason */
		__attribute__((fallthrough));
	case STORE_NOTE:
	case STORE_APPROVAL:
		fputs(ev->type == STORE_APPROVAL ? "? approval " : "* ", stdout);
		out_text(stdout, slice_str(ev->text), 0);
		out_attrs(stdout, ev->attrs, ev->n_attrs);
		putchar('\n');
		break;
	case STORE_ERROR:
		printf("%s! ", out_style(p->colour, OUT_RED));
		out_text(stdout, slice_str(ev->text), 0);
		printf("%s\n", out_style(p->colour, OUT_PLAIN));
		break;
	}
}

static void begin(const struct player *p)
{
	const struct store_session *s = p->sess;
	char dst[ADDR_TEXT_MAX], start[OUT_SHORT_MAX];

	fputs("* ", stdout);
	out_text(stdout, slice_str(out_agent(&s->identity)), 0);
	fputs(" (", stdout);
	out_text(stdout, slice_str(s->identity.comm), 0);
	printf(") connects to %s", addr_format(&s->dst, dst));
	if (s->target[0]) {
		fputs(", ", stdout);
		out_text(stdout, slice_str(s->target), 0);
	}
	printf(", %s UTC\n", out_time(s->start_ns, start));
}

static int replay(struct store *s, struct player *p)
{
	struct store_events *c = NULL;
	struct store_event ev;
	size_t damaged = 0;
	int r = store_events_open(s, &p->sess->id, 0, &c);

	if (!r && p->f->json)
		r = out_json_line(stdout, out_json_session(p->sess));
	else if (!r)
		begin(p);
	while (!r && ((r = store_events_next(c, &ev)) > 0 || r == -EBADMSG)) {
		if (r == -EBADMSG) {
			damaged++;
			r = 0;
			continue;
		}
		r = 0;
		wait_until(p, &ev);
		if ((ev.type == STORE_OP || p->f->json) && !wait_step(p))
			break;
		if (p->f->json)
			r = out_json_line(stdout, out_json_event(&p->sess->id, &ev));
		else
			play(p, &ev);
		if (fflush(stdout) == EOF)
			break; /* whoever watched has left */
	}
	(void)store_events_close(c);
	if (!r && !p->f->json) {
		printf("* session %s", store_state_names[p->sess->state]);
		if (p->sess->reason[0]) {
			fputs(": ", stdout);
			out_text(stdout, slice_str(p->sess->reason), 0);
		}
		putchar('\n');
	}
	return cli_listing_status(r, 1, damaged);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct store_session sess;
	struct cli_filter f;
	struct player p = { .sess = &sess, .f = &f, .colour = out_colour(stdout) };
	struct store *s = NULL;
	void *mem = NULL;
	int r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_REPLAY, &f);

	if (r != CLI_GO_ON)
		return r;
	if (optind + 1 != argc)
		return cli_usage(cmd, "name one session: an id from `weir sessions`, or latest");
	if (f.step && f.no_wait)
		return cli_usage(cmd, "--step and --no-wait exclude each other");
	r = cli_store_open_only(&f, &s);
	if (r)
		return r;
	r = cli_session_find(cmd, s, argv[optind], &sess, &mem);
	if (!r) {
		p.last_ns = sess.start_ns;
		r = replay(s, &p);
	}
	free(mem);
	(void)store_close(s);
	return r;
}

const struct cli_command cli_cmd_replay = {
	.name = "replay",
	.args = "ID [--speed N|--step|--no-wait] [--store DIR] [--json]",
	.summary = "play a session again as it was",
	.help = "  ID                 the beginning of a session's id, or latest, or @2 (second "
		"newest)\n"
		"  --speed N          N times as fast (0.5: half as fast); pauses last 2 s at "
		"most\n"
		"  --step             wait for Enter before each operation; q Enter ends it\n"
		"  --no-wait          without pauses\n"
		"  --store DIR        another store than $WEIR_STORE or /var/lib/weir/store\n"
		"  --json             the events as JSON lines, at their time\n"
		"\n"
		"  >  what the agent asked      <  what came back\n"
		"  !  refused, or an error      *  about the session\n"
		"\n"
		"Examples:\n"
		"  weir replay latest\n"
		"  weir replay 01KDVDNA0012AB --speed 4\n",
	.run = run,
};
