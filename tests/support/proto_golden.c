// SPDX-License-Identifier: Apache-2.0
/* Golden files: a transcript with notes, then the log that is expected. The form is told in
 * proto_harness.h. */
#include "support/proto_harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

uint8_t *harness_file_read(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	uint8_t *mem = NULL;
	long size;

	if (!f)
		return NULL;
	if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {
		mem = malloc((size_t)size + 1);
		if (mem && fread(mem, 1, (size_t)size, f) != (size_t)size) {
			free(mem);
			mem = NULL;
		}
		if (mem)
			*ret_len = (size_t)size;
	}
	(void)fclose(f); /* it was only read */
	return mem;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undoes the escapes of one line into out, which has room for line.len bytes. Length or -1. */
static ptrdiff_t unescape(struct slice line, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < line.len; i++) {
		uint8_t c = line.ptr[i];

		if (c != '\\') {
			out[n++] = c;
			continue;
		}
		if (++i == line.len)
			return -1;
		switch (line.ptr[i]) {
		case 'r': out[n++] = '\r'; break;
		case 'n': out[n++] = '\n'; break;
		case 't': out[n++] = '\t'; break;
		case '0': out[n++] = '\0'; break;
		case '\\': out[n++] = '\\'; break;
		case 'x':
			if (i + 2 >= line.len || hex(line.ptr[i + 1]) < 0 ||
			    hex(line.ptr[i + 2]) < 0)
				return -1;
			out[n++] = (uint8_t)(hex(line.ptr[i + 1]) << 4 | hex(line.ptr[i + 2]));
			i += 2;
			break;
		default: return -1;
		}
	}
	return (ptrdiff_t)n;
}

static bool limit_set(struct proto_limits *lim, const char *name, unsigned long v)
{
	if (strcmp(name, "head_max") == 0)
		lim->head_max = v;
	else if (strcmp(name, "message_max") == 0)
		lim->message_max = v;
	else if (strcmp(name, "text_max") == 0)
		lim->text_max = v;
	else if (strcmp(name, "record_max") == 0)
		lim->record_max = v;
	else if (strcmp(name, "out_max") == 0)
		lim->out_max = v;
	else if (strcmp(name, "queue_max") == 0)
		lim->queue_max = (unsigned)v;
	else if (strcmp(name, "body_max") == 0)
		lim->body_max = v;
	else
		return false;
	return true;
}

/* One line above "---". at: where the next unescaped byte goes. False when it makes no sense. */
static bool golden_line(struct golden_script *g, struct slice line, size_t *at, bool *open)
{
	char text[256], name[32];
	unsigned long v;

	if (line.len == 0) {
		*open = false;
		return true;
	}
	if (line.ptr[0] == '#')
		return true;
	if (line.ptr[0] == '>' || line.ptr[0] == '<') {
		enum dir d = line.ptr[0] == '>' ? DIR_TO_SERVER : DIR_TO_CLIENT;
		bool eof = slice_eq(slice_from(line, 1), SLICE("eof"));
		struct harness_step *last =
			&g->steps[g->script.n_steps ? g->script.n_steps - 1 : 0];
		ptrdiff_t n = 0;

		if (!eof && (line.len < 2 || line.ptr[1] != ' '))
			return false;
		if (!eof)
			n = unescape(slice_from(line, 2), g->bytes + *at);
		if (n < 0)
			return false;
		if (!*open || last->dir != d || last->eof) {
			if (g->script.n_steps == ARRAY_SIZE(g->steps))
				return false;
			last = &g->steps[g->script.n_steps++];
			*last = (struct harness_step){ .dir = d,
						       .bytes = slice_of(g->bytes + *at, 0) };
		}
		last->bytes.len += (size_t)n;
		last->eof = eof;
		*at += (size_t)n;
		*open = true;
		return true;
	}
	if (line.len >= sizeof(text))
		return false;
	memcpy(text, line.ptr, line.len);
	text[line.len] = '\0';
	if (sscanf(text, "deny %lu", &v) == 1 && g->script.n_deny < ARRAY_SIZE(g->deny)) {
		g->deny[g->script.n_deny++] = (unsigned)v;
		return true;
	}
	if (sscanf(text, "hold %lu", &v) == 1 && g->script.n_hold < ARRAY_SIZE(g->hold)) {
		g->hold[g->script.n_hold++] = (unsigned)v;
		return true;
	}
	if (sscanf(text, "limit %31s %lu", name, &v) == 2)
		return limit_set(&g->limits, name, v);
	if (strcmp(text, "foreign") == 0) {
		g->script.foreign = true;
		return true;
	}
	if (strcmp(text, "partial") == 0) {
		g->script.partial = true;
		return true;
	}
	return false;
}

/* Leftover bytes of one direction may only be joined with the next step's when they lie side by
 * side: so all of one direction come first, then all of the other. */
static int golden_regroup(struct golden_script *g, size_t used)
{
	uint8_t *mem = malloc(used + 1);
	size_t at = 0;

	if (!mem)
		return -1;
	for (int d = 0; d < 2; d++) {
		for (size_t i = 0; i < g->script.n_steps; i++) {
			struct harness_step *st = &g->steps[i];

			if ((int)st->dir != d)
				continue;
			if (st->bytes.len)
				memcpy(mem + at, st->bytes.ptr, st->bytes.len);
			st->bytes.ptr = mem + at;
			at += st->bytes.len;
		}
	}
	free(g->bytes);
	g->bytes = mem;
	return 0;
}

int golden_script_parse(const struct proto_class *class, struct slice text, const char *name,
			struct golden_script *ret)
{
	size_t line_no = 0, at = 0, done = 0;
	bool open = false;

	*ret = (struct golden_script){ .limits = PROTO_LIMITS_DEFAULT };
	ret->script = (struct harness_script){ .class = class };
	ret->bytes = malloc(text.len + 1);
	if (!ret->bytes)
		return -1;
	while (done < text.len) {
		struct slice rest = slice_from(text, done);
		ptrdiff_t nl = slice_chr(rest, '\n');
		struct slice line = slice_head(rest, nl < 0 ? rest.len : (size_t)nl);

		done += line.len + (nl >= 0);
		line_no++;
		if (slice_eq(line, SLICE("---")))
			break;
		if (!golden_line(ret, line, &at, &open)) {
			fprintf(stderr, "%s:%zu: not understood\n", name, line_no);
			golden_script_done(ret);
			return -1;
		}
	}
	if (golden_regroup(ret, at) < 0) {
		golden_script_done(ret);
		return -1;
	}
	ret->head_len = done;
	ret->expect = slice_from(text, done);
	return 0;
}

void golden_script_wire(struct golden_script *g)
{
	g->script.limits = &g->limits;
	g->script.steps = g->steps;
	g->script.deny = g->deny;
	g->script.hold = g->hold;
}

void golden_script_done(struct golden_script *g)
{
	free(g->bytes);
	g->bytes = NULL;
}

static int golden_write(const char *path, struct slice head, struct slice log)
{
	FILE *f = fopen(path, "we");
	bool ok;

	if (!f)
		return -1;
	ok = fwrite(head.ptr, 1, head.len, f) == head.len;
	if (head.len < 4 || memcmp(head.ptr + head.len - 4, "---\n", 4) != 0)
		ok = ok && fputs("---\n", f) >= 0;
	ok = ok && fwrite(log.ptr, 1, log.len, f) == log.len;
	return fclose(f) == 0 && ok ? 0 : -1;
}

static int golden_one(const struct proto_class *class, const char *path)
{
	const char *update = getenv("WEIR_GOLDEN_UPDATE");
	struct golden_script g;
	struct harness_run r;
	uint8_t *text;
	size_t len;
	int ret;

	text = harness_file_read(path, &len);
	if (!text || golden_script_parse(class, slice_of(text, len), path, &g) < 0) {
		free(text);
		return -1;
	}
	golden_script_wire(&g);
	harness_run_init(&r);
	ret = harness_run(&g.script, &(struct harness_mode){ 0 }, &r);
	if (ret == 0)
		ret = harness_check(&g.script);
	if (update && *update == '1') {
		if (golden_write(path, slice_of(text, g.head_len), buf_peek(&r.log)) < 0)
			ret = -1;
	} else if (!slice_eq(buf_peek(&r.log), g.expect)) {
		fprintf(stderr, "%s: other events than expected:\n%.*s", path,
			SLICE_FMT(buf_peek(&r.log)));
		ret = -1;
	}
	if (ret < 0)
		fprintf(stderr, "%s: FAILED\n", path);
	harness_run_done(&r);
	golden_script_done(&g);
	free(text);
	return ret;
}

int harness_golden(const struct proto_class *class, const char *folder)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort), bad = 0, seen = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %m\n", folder);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		const char *dot = strrchr(names[i]->d_name, '.');
		char path[4096];

		if (dot && strcmp(dot, ".txt") == 0 &&
		    snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name) <
			    (int)sizeof(path)) {
			seen++;
			bad += golden_one(class, path) < 0;
		}
		free(names[i]);
	}
	free(names);
	return seen ? bad : -1;
}
