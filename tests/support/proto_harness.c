// SPDX-License-Identifier: Apache-2.0
#include "support/proto_harness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	WINDOW = 1 << 20,       /* most bytes offered at once */
	LOG_MAX = 32 << 20,     /* address space of each of the harness's own buffers */
	SHOW_MAX = 200,         /* bytes of a string shown in the log */
	SPLIT_EVERY_MAX = 3000, /* scripts up to this size are cut at every byte */
	OUT_SLACK = 16 * 1024,  /* refusals and rewritten messages beyond out_max + head_max */
};

/* The handler's input ends where an unreadable page begins, so reading past it faults. */
static uint8_t *guard_end(void)
{
	static uint8_t *end;

	if (!end) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		uint8_t *mem = mmap(NULL, WINDOW + page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED || mprotect(mem + WINDOW, page, PROT_NONE) < 0)
			abort();
		end = mem + WINDOW;
	}
	return end;
}

static void must(int r)
{
	if (r < 0)
		abort(); /* the harness's own memory: nothing sensible is left to do */
}

/* The harness's buffers lie in mappings of their own, so that played allocation failures hit only
 * the handler. */
static void map_init(struct buf *b)
{
	void *mem = mmap(NULL, LOG_MAX, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		abort();
	*b = (struct buf){ ._mem = mem, ._cap = LOG_MAX, ._max = LOG_MAX };
}

static void map_done(struct buf *b)
{
	if (b->_mem)
		(void)munmap(b->_mem, LOG_MAX); /* mapped by map_init with that size */
	*b = (struct buf){ 0 };
}

/* Like buf_printf, which would look for memory of its own when the NUL does not fit. */
static void __printf_like(2, 3) put(struct buf *b, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	must(n < 0 || (size_t)n >= sizeof(line) ? -1 : buf_put(b, line, (size_t)n));
}

static void put_text(struct buf *b, struct slice s)
{
	struct slice shown = slice_head(s, SHOW_MAX);

	must(buf_put_u8(b, '"'));
	for (size_t i = 0; i < shown.len; i++) {
		uint8_t c = shown.ptr[i];

		if (c == '\r')
			must(buf_put_str(b, "\\r"));
		else if (c == '\n')
			must(buf_put_str(b, "\\n"));
		else if (c == '"' || c == '\\')
			put(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			put(b, "\\x%02x", c);
		else
			must(buf_put_u8(b, c));
	}
	must(buf_put_u8(b, '"'));
	if (s.len > shown.len) {
		uint64_t h = 1469598103934665603ULL;

		for (size_t i = 0; i < s.len; i++)
			h = (h ^ s.ptr[i]) * 1099511628211ULL;
		put(b, "… fnv %016" PRIx64, h);
	}
}

static void put_attrs(struct buf *b, const struct op_attr *attrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put(b, "  %s ", attrs[i].key);
		if (attrs[i].type == OP_ATTR_BOOL)
			must(buf_put_str(b, attrs[i].b ? "true" : "false"));
		else if (attrs[i].type == OP_ATTR_INT)
			put(b, "%" PRId64, attrs[i].i);
		else
			put_text(b, attrs[i].s);
		must(buf_put_u8(b, '\n'));
	}
}

static void put_op(struct buf *b, const struct op *op)
{
	char names[128];

	put(b, "OP %" PRIu64 " %s %.*s [%s]\n", op->id, op->protocol, SLICE_FMT(op->verb),
	    op_effects_format(op->effects, names, sizeof(names)));
	for (size_t i = 0; i < op->n_objects; i++) {
		put(b, "  object %s ", op->objects[i].kind);
		put_text(b, op->objects[i].name);
		put(b, " [%s]\n", op_effects_format(op->objects[i].access, names, sizeof(names)));
	}
	put_attrs(b, op->attrs, op->n_attrs);
	for (size_t i = 0; i < op->n_params; i++) {
		put(b, "  param %zu ", i + 1);
		if (op->params[i].null)
			must(buf_put_str(b, "null"));
		else
			put_text(b, op->params[i].text);
		must(buf_put_u8(b, '\n'));
	}
	must(buf_put_str(b, "  text "));
	put_text(b, op->text);
	must(buf_put_str(b, op->text_cut ? " (cut)\n" : "\n"));
	if (op->norm.len) {
		must(buf_put_str(b, "  norm "));
		put_text(b, op->norm);
		must(buf_put_u8(b, '\n'));
	}
}

/* One play of a script. */
struct play {
	const struct harness_script *s;
	const struct harness_mode *m;
	struct harness_run *r;
	struct proto *p;
	struct slice pending[2];
	bool eof_due[2];
	size_t fed; /* bytes used, both directions */
	uint64_t rng;
	/* DATA being joined */
	uint64_t data_op;
	enum dir data_dir;
	struct buf data;
	/* where each (operation, direction)'s data stream stands, for the offsets */
	struct {
		uint64_t op;
		enum dir dir;
		uint64_t at;
	} streams[64];
	size_t n_streams;
	/* events waiting for a verdict */
	struct {
		uint64_t id;
		unsigned ordinal;
	} waits[256];
	size_t n_waits;
	size_t drained[2]; /* output at the beginning of the step */
	bool broken;
};

static const char *arrow(enum dir d)
{
	return d == DIR_TO_SERVER ? ">" : "<";
}

static void breach(struct play *y, const char *what)
{
	if (!y->broken)
		fprintf(stderr,
			"harness: %s: %s (split %zu chunk %zu seed %" PRIu64 "%s%s undecided %u)\n",
			y->s->class->name, what, y->m->split, y->m->chunk, y->m->seed,
			y->m->late ? " late" : "", y->m->clogged ? " clogged" : "",
			y->m->undecided);
	y->broken = true;
}

static void data_flush(struct play *y)
{
	size_t n = buf_len(&y->data), i;
	uint64_t at = 0;

	if (!n)
		return;
	for (i = 0; i < y->n_streams; i++)
		if (y->streams[i].op == y->data_op && y->streams[i].dir == y->data_dir)
			break;
	if (i == y->n_streams && i < ARRAY_SIZE(y->streams)) {
		y->streams[i].op = y->data_op;
		y->streams[i].dir = y->data_dir;
		y->streams[i].at = 0;
		y->n_streams++;
	}
	if (i < y->n_streams) {
		at = y->streams[i].at;
		y->streams[i].at += n;
	}
	put(&y->r->log, "DATA %" PRIu64 " %s %" PRIu64 "+%zu ", y->data_op, arrow(y->data_dir), at,
	    n);
	put_text(&y->r->log, buf_peek(&y->data));
	must(buf_put_u8(&y->r->log, '\n'));
	buf_clear(&y->data);
}

static bool listed(const unsigned *list, size_t n, unsigned v)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == v)
			return true;
	return false;
}

static void drain(struct play *y)
{
	for (int d = 0; d < 2; d++) {
		struct slice out;

		/* What a handler holds beside its output may follow in pieces. */
		while ((out = y->s->class->peek_out(y->p, d)).len) {
			must(buf_put_slice(&y->r->out[d], out));
			y->s->class->consume_out(y->p, d, out.len);
		}
	}
}

static void answer(struct play *y, size_t at)
{
	uint64_t id = y->waits[at].id;
	unsigned n = y->waits[at].ordinal;
	struct verdict v = {
		.kind = VERDICT_ALLOW,
		.rule = y->s->rule ? y->s->rule : "test-rule",
		.message = y->s->message ? y->s->message : "denied by the test",
	};
	int r;

	if (listed(y->s->deny, y->s->n_deny, n))
		v.kind = VERDICT_BLOCK;
	else if (listed(y->s->hold, y->s->n_hold, n))
		v.kind = VERDICT_HOLD;
	memmove(&y->waits[at], &y->waits[at + 1], (y->n_waits - at - 1) * sizeof(y->waits[0]));
	y->n_waits--;
	data_flush(y);
	put(&y->r->log, "%s %" PRIu64 "\n", verdict_names[v.kind], id);
	r = y->s->class->decide(y->p, id, &v);
	if (r == -ENOMEM)
		y->r->oom = true;
	else if (r == -EPROTO && !y->r->oom && !y->r->error)
		breach(y, "decide refuses an id that waits");
}

/* Pulls all events, answering at once unless the mode says otherwise. */
static bool pull(struct play *y)
{
	struct proto_event ev;
	bool any = false;

	while (y->s->class->next(y->p, &ev) > 0) {
		any = true;
		if (ev.type == PROTO_DATA) {
			if (ev.op_id != y->data_op || ev.dir != y->data_dir)
				data_flush(y);
			y->data_op = ev.op_id;
			y->data_dir = ev.dir;
			must(buf_put_slice(&y->data, ev.data));
			continue;
		}
		data_flush(y);
		switch (ev.type) {
		case PROTO_OP:
			if (!ev.op->effects)
				breach(y, "an operation without effects");
			put_op(&y->r->log, ev.op);
			break;
		case PROTO_RESULT:
			put(&y->r->log, "RESULT %" PRIu64 "%s\n", ev.op_id,
			    ev.failed ? " failed" : "");
			put_attrs(&y->r->log, ev.attrs, ev.n_attrs);
			break;
		case PROTO_NOTE:
			put(&y->r->log, "NOTE %" PRIu64 " %s\n", ev.op_id, ev.text ? ev.text : "");
			put_attrs(&y->r->log, ev.attrs, ev.n_attrs);
			break;
		case PROTO_OPAQUE:
			put(&y->r->log, "OPAQUE %" PRIu64 " %s\n", ev.op_id,
			    ev.text ? ev.text : "");
			break;
		case PROTO_END:
			must(buf_put_str(&y->r->log, "END\n"));
			if (y->r->ended)
				breach(y, "END twice");
			y->r->ended = true;
			break;
		case PROTO_DATA: break;
		}
		if (ev.type == PROTO_OP || ev.type == PROTO_OPAQUE) {
			uint64_t id = ev.type == PROTO_OP ? ev.op->id : ev.op_id;
			unsigned n = ++y->r->n_ops;

			if (n <= ARRAY_SIZE(y->r->before))
				y->r->before[n - 1] =
					buf_len(&y->r->out[DIR_TO_SERVER]) +
					y->s->class->peek_out(y->p, DIR_TO_SERVER).len;
			if (y->m->undecided && n == y->m->undecided)
				continue;
			if (y->n_waits == ARRAY_SIZE(y->waits)) {
				breach(y, "more undecided operations than the harness holds");
				return any;
			}
			y->waits[y->n_waits].id = id;
			y->waits[y->n_waits++].ordinal = n;
			if (!y->m->late)
				answer(y, y->n_waits - 1);
		}
	}
	return any;
}

static size_t piece(struct play *y, size_t avail)
{
	size_t n = MIN(avail, (size_t)WINDOW);

	if (y->m->split > y->fed)
		n = MIN(n, y->m->split - y->fed);
	if (y->m->chunk)
		n = MIN(n, y->m->chunk);
	if (y->m->seed) {
		y->rng ^= y->rng << 13;
		y->rng ^= y->rng >> 7;
		y->rng ^= y->rng << 17;
		n = MIN(n, (size_t)(y->rng % 17 + 1));
	}
	return n;
}

static void errored(struct play *y, int r, const struct parse_err *err)
{
	struct parse_err again = { 0 };
	uint8_t byte = 0;
	size_t used = 0;

	(void)pull(y); /* what happened before the error comes first in the log */
	if (r == -ENOMEM)
		y->r->oom = true;
	if (!y->r->error) {
		data_flush(y);
		y->r->error = r;
		y->r->err = *err;
		put(&y->r->log, "error %s %s @%" PRIu64 " %s (%s)\n", strerrorname_np(-r),
		    arrow(err->dir), err->offset, err->rule ? err->rule : "?",
		    err->spec ? err->spec : "?");
		if (r != -ENOMEM && (!err->rule || !err->spec))
			breach(y, "an error that names no rule or clause");
	}
	for (int d = 0; d < 2; d++)
		if (y->s->class->feed(y->p, d, slice_of(&byte, 1), &used, &again) != y->r->error)
			breach(y, "the error does not stick");
}

/* Offers what waits in direction d. True when something moved. */
static bool offer(struct play *y, enum dir d)
{
	size_t n = piece(y, y->pending[d].len), used = 0;
	struct parse_err err = { 0 };
	int r;

	if (!n || y->r->error)
		return false;
	memcpy(guard_end() - n, y->pending[d].ptr, n);
	r = y->s->class->feed(y->p, d, slice_of(guard_end() - n, n), &used, &err);
	memset(guard_end() - n, 0xee, n); /* nobody may keep pointers into it */
	if (r < 0) {
		errored(y, r, &err);
		return true;
	}
	if (used > n) {
		breach(y, "used more than it was given");
		return false;
	}
	y->fed += used;
	y->pending[d] = slice_from(y->pending[d], used);
	for (int o = 0; o < 2; o++)
		y->r->peak_out[o] = MAX(y->r->peak_out[o], y->s->class->peek_out(y->p, o).len);
	return used > 0;
}

static bool offer_eof(struct play *y, enum dir d)
{
	struct parse_err err = { 0 };
	int r;

	if (!y->eof_due[d] || y->pending[d].len || y->r->error)
		return false;
	y->eof_due[d] = false;
	r = y->s->class->eof(y->p, d, &err);
	if (r < 0)
		errored(y, r, &err);
	return true;
}

static void settle(struct play *y, enum dir first)
{
	unsigned idle = 0;

	/* Anything that moves is followed by a full turn; three still turns mean rest, since a
	 * verdict or a drain can let bytes go on. */
	while (idle < 3 && !y->broken) {
		/* The step's own direction first, as far as it goes: what the other direction was
		 * holding back then comes at the same place in every chunking. */
		bool moved = offer(y, first) || offer(y, dir_other(first));

		moved |= pull(y);
		if (!y->m->clogged)
			drain(y);
		if (!moved && y->n_waits && y->m->late) {
			answer(y, 0);
			moved = true;
		}
		if (!moved) {
			moved |= offer_eof(y, first);
			moved |= offer_eof(y, dir_other(first));
			moved |= pull(y);
		}
		if (!moved)
			drain(y);
		idle = moved ? 0 : idle + 1;
	}
	data_flush(y);
}

static void step_out(struct play *y, const struct harness_step *st)
{
	for (int d = 0; d < 2; d++) {
		struct slice out = slice_from(buf_peek(&y->r->out[d]), y->drained[d]);

		y->drained[d] = buf_len(&y->r->out[d]);
		if (!out.len)
			continue;
		put(&y->r->log, "out %s %zu", arrow(d), out.len);
		if (d == (int)st->dir && slice_eq(out, st->bytes)) {
			must(buf_put_str(&y->r->log, " = in\n"));
			continue;
		}
		must(buf_put_u8(&y->r->log, ' '));
		put_text(&y->r->log, out);
		must(buf_put_u8(&y->r->log, '\n'));
	}
}

void harness_run_init(struct harness_run *r)
{
	*r = (struct harness_run){ 0 };
	map_init(&r->log);
	map_init(&r->out[0]);
	map_init(&r->out[1]);
}

void harness_run_done(struct harness_run *r)
{
	map_done(&r->log);
	map_done(&r->out[0]);
	map_done(&r->out[1]);
}

int harness_run(const struct harness_script *s, const struct harness_mode *m, struct harness_run *r)
{
	struct proto_limits lim = s->limits ? *s->limits : PROTO_LIMITS_DEFAULT;
	struct proto_shared *shared = NULL;
	struct play y = { .s = s, .m = m, .r = r, .rng = m->seed };

	map_init(&y.data);
	if (s->class->shared_new && s->class->shared_new(&shared) < 0) {
		r->oom = true;
		return 0;
	}
	if (s->class->create(&lim, shared, &y.p) < 0) {
		r->oom = true;
		goto out;
	}
	for (size_t i = 0; i < s->n_steps; i++) {
		const struct harness_step *st = &s->steps[i];

		put(&r->log, "step %zu %s %zu bytes%s\n", i + 1, arrow(st->dir), st->bytes.len,
		    st->eof ? ", eof" : "");
		if (!y.pending[st->dir].len) {
			y.pending[st->dir] = st->bytes;
		} else if (st->bytes.len) {
			/* Left over from an earlier step: scripts lie in one piece of memory when
			 * they come from golden files; others must not do this. */
			struct slice *w = &y.pending[st->dir];

			if (w->ptr + w->len != st->bytes.ptr) {
				must(buf_put_str(&r->log, "(not offered: earlier bytes wait)\n"));
				continue;
			}
			w->len += st->bytes.len;
		}
		y.eof_due[st->dir] |= st->eof;
		settle(&y, st->dir);
		step_out(&y, st);
		if (y.broken)
			break;
	}
	for (int d = 0; d < 2; d++) {
		r->left[d] = r->error ? 0 : y.pending[d].len;
		if (r->left[d])
			put(&r->log, "left %s %zu\n", arrow(d), r->left[d]);
		if (r->peak_out[d] > lim.out_max + lim.head_max + OUT_SLACK)
			breach(&y, "output beyond its bounds");
	}
	y.p = s->class->free(y.p);
out:
	if (shared)
		shared = s->class->shared_free(shared);
	map_done(&y.data);
	return y.broken ? -1 : 0;
}

static bool contains(struct slice hay, struct slice needle)
{
	return needle.len && hay.len && memmem(hay.ptr, hay.len, needle.ptr, needle.len) != NULL;
}

/* Plays in mode m and compares with the reference (NULL: only plays). */
static int compare(const struct harness_script *s, const struct harness_mode *m,
		   const struct harness_run *ref, bool log_too)
{
	struct harness_run r;
	const char *what = NULL;
	int ret;

	harness_run_init(&r);
	ret = harness_run(s, m, &r);
	if (ret == 0 && log_too && !slice_eq(buf_peek(&r.log), buf_peek(&ref->log)))
		what = "events";
	else if (ret == 0 && !slice_eq(buf_peek(&r.out[0]), buf_peek(&ref->out[0])))
		what = "output to the server";
	else if (ret == 0 && !slice_eq(buf_peek(&r.out[1]), buf_peek(&ref->out[1])))
		what = "output to the client";
	if (what) {
		fprintf(stderr,
			"harness: %s: other %s (split %zu chunk %zu seed %" PRIu64 "%s%s)\n"
			"--- whole:\n%.*s--- here:\n%.*s---\n",
			s->class->name, what, m->split, m->chunk, m->seed, m->late ? " late" : "",
			m->clogged ? " clogged" : "", SLICE_FMT(buf_peek(&ref->log)),
			SLICE_FMT(buf_peek(&r.log)));
		ret = -1;
	}
	harness_run_done(&r);
	return ret;
}

/* Promise 3: with ordinal n never answered, the server gets what it got before n, and no more. */
static int check_hold(const struct harness_script *s, unsigned n)
{
	struct harness_mode slow = { .chunk = 1, .undecided = n };
	struct harness_mode fast = { .undecided = n };
	struct harness_run a, b;
	int ret;

	harness_run_init(&a);
	harness_run_init(&b);
	ret = harness_run(s, &slow, &a) | harness_run(s, &fast, &b);
	if (ret == 0 && n <= ARRAY_SIZE(a.before) &&
	    (!slice_eq(buf_peek(&a.out[DIR_TO_SERVER]), buf_peek(&b.out[DIR_TO_SERVER])) ||
	     buf_len(&a.out[DIR_TO_SERVER]) != a.before[n - 1])) {
		fprintf(stderr, "harness: %s: bytes reach the server while operation %u waits\n",
			s->class->name, n);
		ret = -1;
	}
	harness_run_done(&a);
	harness_run_done(&b);
	return ret;
}

static int check(const struct harness_script *s, bool thorough)
{
	struct harness_run ref;
	size_t total[2] = { 0, 0 };
	int ret;

	harness_run_init(&ref);
	ret = harness_run(s, &(struct harness_mode){ 0 }, &ref);
	for (size_t i = 0; i < s->n_steps; i++)
		total[s->steps[i].dir] += s->steps[i].bytes.len;
	if (ret == 0 && !s->foreign && !s->n_deny && !s->n_hold && !ref.error) {
		for (int d = 0; d < 2 && ret == 0; d++) {
			struct slice out = buf_peek(&ref.out[d]);

			for (size_t i = 0; i < s->n_steps; i++) {
				struct slice in = s->steps[i].bytes;

				if ((int)s->steps[i].dir != d)
					continue;
				if (!slice_eq(slice_head(out, in.len), slice_head(in, out.len)))
					ret = -1;
				out = slice_from(out, in.len);
			}
			if (out.len || (!s->partial && !ref.ended &&
					buf_len(&ref.out[d]) + ref.left[d] != total[d]))
				ret = -1;
		}
		if (ret < 0)
			fprintf(stderr, "harness: %s: output differs from input\n%.*s",
				s->class->name, SLICE_FMT(buf_peek(&ref.log)));
	}
	if (ret == 0 && contains(buf_peek(&ref.out[DIR_TO_SERVER]), s->secret)) {
		fprintf(stderr, "harness: %s: a denied operation reached the server\n",
			s->class->name);
		ret = -1;
	}
	if (ret == 0)
		ret = compare(s, &(struct harness_mode){ .chunk = 1 }, &ref, true);
	for (uint64_t seed = 1; ret == 0 && seed <= (thorough ? 24 : 2); seed++)
		ret = compare(s, &(struct harness_mode){ .seed = seed * 0x9e3779b97f4a7c15ULL },
			      &ref, true);
	for (size_t cut = 1; ret == 0 && thorough && total[0] + total[1] <= SPLIT_EVERY_MAX &&
			     cut < total[0] + total[1];
	     cut++)
		ret = compare(s, &(struct harness_mode){ .split = cut }, &ref, true);
	if (ret == 0)
		ret = compare(s, &(struct harness_mode){ .late = true }, &ref, false);
	if (ret == 0)
		ret = compare(s, &(struct harness_mode){ .clogged = true }, &ref, false);
	for (unsigned n = 1; ret == 0 && thorough && n <= ref.n_ops && n <= 16; n++)
		ret = check_hold(s, n);
	harness_run_done(&ref);
	return ret;
}

int harness_check(const struct harness_script *s)
{
	return check(s, true);
}

int harness_check_quick(const struct harness_script *s)
{
	return check(s, false);
}

int harness_alloc_scenario(void *script)
{
	struct harness_run r;
	int ret;

	harness_run_init(&r);
	ret = harness_run(script, &(struct harness_mode){ .chunk = 7 }, &r);
	if (ret == 0 && r.oom)
		ret = -ENOMEM;
	harness_run_done(&r);
	return ret;
}
