// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <strings.h>

#include "filter.h"
#include "output.h"

enum { EXCERPT_BEFORE = 40, EXCERPT_COLS = 120 };

/* Where a searched word (its star left out) begins in text, or text.len. */
static size_t find_word(struct slice text, const char *word, size_t len)
{
	for (size_t i = 0; len && i + len <= text.len; i++) {
		if (slice_ieq(slice_of(text.ptr + i, len), slice_of(word, len)))
			return i;
	}
	return text.len;
}

static size_t word_len(const char *word)
{
	size_t n = strlen(word);

	return n && word[n - 1] == '*' ? n - 1 : n;
}

/* Text with each searched word in it made bold. */
static void highlight(struct slice text, const struct store_query *q, bool colour)
{
	while (text.len) {
		size_t best = text.len, best_len = 0;

		for (size_t i = 0; i < q->n_words && colour; i++) {
			size_t at = find_word(text, q->words[i], word_len(q->words[i]));

			if (at < best) {
				best = at;
				best_len = word_len(q->words[i]);
			}
		}
		out_text(stdout, slice_head(text, best), 0);
		text = slice_from(text, best);
		if (best_len) {
			fputs("\033[1;31m", stdout);
			out_text(stdout, slice_head(text, best_len), 0);
			fputs(out_style(true, OUT_PLAIN), stdout);
			text = slice_from(text, best_len);
		}
	}
}

/* The text around the first word that is in it, on one line. */
static void excerpt(struct slice text, const struct store_query *q, bool colour)
{
	size_t first = text.len, from = 0;

	for (size_t i = 0; i < q->n_words; i++)
		first = MIN(first, find_word(text, q->words[i], word_len(q->words[i])));
	if (text.len > EXCERPT_COLS && first < text.len && first > EXCERPT_BEFORE)
		from = first - EXCERPT_BEFORE;
	while (from && from < first && text.ptr[from] >> 6 == 2)
		from++; /* not in the middle of a character */
	if (from)
		fputs("…", stdout);
	text = slice_from(text, from);
	if (text.len > EXCERPT_COLS) {
		size_t to = EXCERPT_COLS;

		while (to && text.ptr[to] >> 6 == 2)
			to--;
		highlight(slice_head(text, to), q, colour);
		fputs("…", stdout);
	} else {
		highlight(text, q, colour);
	}
	putchar('\n');
}

static bool has_any(struct slice text, const struct store_query *q)
{
	for (size_t i = 0; i < q->n_words; i++) {
		if (find_word(text, q->words[i], word_len(q->words[i])) < text.len)
			return true;
	}
	return false;
}

static void hit(const struct store_session *s, const struct store_event *ev,
		const struct store_query *q, bool colour)
{
	char id[ULID_TEXT_MAX], time[OUT_SHORT_MAX];
	const struct op *op = ev->op;

	printf("%s%s%s %s ", out_style(colour, OUT_BOLD), out_short_id(&s->id, id),
	       out_style(colour, OUT_PLAIN), out_time(ev->time_ns, time));
	out_text(stdout, slice_str(out_agent(&s->identity)), 0);
	if (!op) {
		printf(" %s\n    ", store_event_names[ev->type]);
		excerpt(slice_str(ev->text), q, colour);
		return;
	}
	printf(" %s%s%s", out_style(colour, out_verdict_style(ev->verdict.kind)),
	       verdict_names[ev->verdict.kind], out_style(colour, OUT_PLAIN));
	if (ev->verdict.rule[0]) {
		fputs(" by ", stdout);
		out_text(stdout, slice_str(ev->verdict.rule), 0);
	}
	fputs("\n    ", stdout);
	excerpt(op->text.len ? op->text : op->verb, q, colour);
	/* What was found beside the text is said as well, or the hit would look like a mistake. */
	for (size_t i = 0; i < op->n_objects; i++) {
		if (has_any(op->objects[i].name, q) && !has_any(op->text, q)) {
			printf("    - ");
			out_text(stdout, slice_str(op->objects[i].kind), 0);
			putchar(' ');
			excerpt(op->objects[i].name, q, colour);
		}
	}
	for (size_t i = 0; i < op->n_params; i++) {
		if (has_any(op->params[i].text, q)) {
			printf("    $%zu = ", i + 1);
			excerpt(op->params[i].text, q, colour);
		}
	}
	for (size_t i = 0; i < op->n_attrs; i++) {
		if (op->attrs[i].type == OP_ATTR_TEXT && has_any(op->attrs[i].s, q)) {
			printf("    ");
			out_text(stdout, slice_str(op->attrs[i].key), 0);
			putchar('=');
			excerpt(op->attrs[i].s, q, colour);
		}
	}
}

static json_t *json_hit(const struct store_session *s, const struct store_event *ev)
{
	json_t *o = out_json_event(&s->id, ev);

	/* A key that fails for want of memory is a key less, never a wrong one. */
	(void)json_object_set_new(o, "agent", out_json_text(slice_str(out_agent(&s->identity))));
	(void)json_object_set_new(o, "cgroup", out_json_text(slice_str(s->identity.cgroup_path)));
	(void)json_object_set_new(o, "target", out_json_text(slice_str(s->target)));
	return o;
}

static int search(struct store *s, const struct cli_filter *f)
{
	bool colour = out_colour(stdout);
	struct store_hits *c = NULL;
	struct store_session sess;
	struct store_event ev;
	size_t n = 0, damaged = 0;
	int r = store_hits_open(s, &f->query, &c);

	while (!r && ((r = store_hits_next(c, &sess, &ev)) > 0 || r == -EBADMSG)) {
		if (r == -EBADMSG) {
			damaged++;
			r = 0;
			continue;
		}
		r = 0;
		if (f->json)
			r = out_json_line(stdout, json_hit(&sess, &ev));
		else
			hit(&sess, &ev, &f->query, colour);
		n++;
	}
	(void)store_hits_close(c);
	if (!n && !r && !f->json)
		fprintf(stderr, "weir: nothing found\n");
	return cli_listing_status(r, n, damaged);
}

static int run(const struct cli_command *cmd, int argc, char **argv)
{
	struct store *s = NULL;
	struct cli_filter f;
	int r = cli_filter_parse(cmd, argc, argv, CLI_FILTER_MANY, &f);

	if (r != CLI_GO_ON)
		return r;
	if (optind == argc)
		return cli_usage(cmd, "say which words to search for");
	f.query.words = (const char *const *)argv + optind;
	f.query.n_words = (size_t)(argc - optind);
	r = cli_store_open_only(&f, &s);
	if (r)
		return r;
	r = search(s, &f);
	(void)store_close(s);
	return r;
}

const struct cli_command cli_cmd_search = {
	.name = "search",
	.args = "WORDS… " CLI_FILTER_ARGS,
	.summary = "find operations by the words in them",
	.help = CLI_FILTER_HELP
	"\n"
	"Finds operations that contain all words, in their text, objects, parameters or\n"
	"attributes, whatever the case. A word is found whole: users does not find users2,\n"
	"use* does. public.users finds just that.\n"
	"\n"
	"Examples:\n"
	"  weir search drop table\n"
	"  weir search 'pay*' --verdict block --since 7d\n"
	"  weir search public.users --json | jq -r .session | sort -u\n",
	.run = run,
};
