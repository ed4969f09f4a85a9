// SPDX-License-Identifier: Apache-2.0
/*
 * One client message, all that it may do, one operation after the other: only when each was allowed
 * does the message go on.
 */
#include "internal.h"

#include <errno.h>

static const char spec_limits[] = "limits";

struct pg_candidate *pg_work_candidates(struct pg *p, size_t n)
{
	struct pg_candidate *c = arena_array(&p->work_arena, n, sizeof(*c));

	if (c) {
		p->work.cands = c;
		p->work.n_cands = n;
	}
	return c;
}

static void arena_recycle(struct arena *a)
{
	if (a->_used > PG_ARENA_KEEP)
		arena_done(a);
	else
		arena_reset(a);
}

static void op_done(struct pg *p)
{
	if (p->op_facts)
		pg_facts_unref(p->op_facts);
	p->op_facts = NULL;
	arena_recycle(&p->op_arena);
}

void pg_work_done(struct pg *p)
{
	for (size_t i = 0; i < p->work.n_cands; i++) {
		if (p->work.cands[i].prep)
			pg_prep_unref(p, p->work.cands[i].prep);
		else if (p->work.cands[i].facts)
			pg_facts_unref(p->work.cands[i].facts);
	}
	op_done(p);
	arena_recycle(&p->work_arena);
	p->work = (struct pg_work){ 0 };
}

static bool has_high_byte(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 0x80)
			return true;
	return false;
}

struct pg_sql_mode pg_lexing_mode(const struct pg *p, struct slice text)
{
	const struct pg_lexing *l = &p->lexing;
	bool odd_strings = !l->strings_known || !l->strings_standard || l->risk_seq;
	bool odd_encoding = !l->encoding_known || !l->encoding_safe || l->risk_seq;

	/* Text without a backslash, or of ASCII alone, reads the same in every mode. */
	return (struct pg_sql_mode){
		.backslash_quote = odd_strings && slice_chr(text, '\\') >= 0,
		.encoding_unsafe = odd_encoding && has_high_byte(text),
	};
}

/* Offset of "password" in s, any case, or -1. */
static ptrdiff_t find_password(struct slice s)
{
	for (size_t i = 0; i + 8 <= s.len; i++)
		if ((s.ptr[i] | 0x20) == 'p' &&
		    slice_ieq(slice_of(s.ptr + i, 8), SLICE("password")))
			return (ptrdiff_t)i;
	return -1;
}

/*
 * CREATE ROLE … PASSWORD 'secret', CREATE USER MAPPING … OPTIONS (password 'secret'), CREATE
 * SUBSCRIPTION … CONNECTION 'password=secret': the record ends where the secret begins.
 */
static void redact(struct pg *p, const char *verb)
{
	ptrdiff_t at;

	if (strcmp(verb, "CREATE") != 0 && strcmp(verb, "ALTER") != 0 &&
	    strcmp(verb, "UNKNOWN") != 0)
		return;
	at = find_password(p->op.text);
	if (at >= 0 && (strcmp(verb, "UNKNOWN") != 0 ||
			slice_ieq(slice_head(p->op.text, 6), SLICE("create")) ||
			slice_ieq(slice_head(p->op.text, 5), SLICE("alter")))) {
		p->op.text.len = (size_t)at + 8;
		p->op.text_cut = true;
	}
	at = find_password(p->op.norm);
	if (at >= 0 && p->op.text_cut)
		p->op.norm.len = (size_t)at + 8;
}

static int attrs_make(struct pg *p, const struct pg_stmt *stmt)
{
	struct pg_work *w = &p->work;
	size_t n = stmt ? stmt->n_attrs : 0, extra = 0;
	struct op_attr more[4], *all;
	bool unknown = w->tainted || w->add_effects & (OP_EXEC | OP_UNKNOWN);

	/* The statement's last: only its functions are unknown. Here is more that is. */
	if (unknown && n && strcmp(stmt->attrs[n - 1].key, "unknown_by") == 0)
		n--;
	if (w->kind == PG_WORK_PARSE || w->kind == PG_WORK_BIND) {
		more[extra++] = pg_attr_text("phase", w->kind == PG_WORK_PARSE ? SLICE("parse")
									       : SLICE("bind"));
		more[extra++] = pg_attr_text("statement", w->name);
	}
	if (w->kind == PG_WORK_BIND && w->portal.len)
		more[extra++] = pg_attr_text("portal", w->portal);
	if (w->n_cands > 1)
		more[extra++] = pg_attr_bool("uncertain", true);
	all = arena_array(&p->op_arena, n + extra, sizeof(*all));
	if (!all && n + extra)
		return -ENOMEM;
	if (n)
		memcpy(all, stmt->attrs, n * sizeof(*all));
	if (extra)
		memcpy(all + n, more, extra * sizeof(*all));
	p->op.attrs = all;
	p->op.n_attrs = n + extra;
	return 0;
}

/* The operation of one statement, or of a string without any, or of an unknown one. */
static int op_from_facts(struct pg *p)
{
	struct pg_work *w = &p->work;
	const struct pg_candidate *c = &w->cands[w->cand];
	const struct pg_facts *f = c->facts;
	const struct pg_stmt *stmt = f && f->n_stmts ? &f->stmts[w->stmt] : NULL;
	struct op *op = &p->op;
	const char *verb;
	int r;

	op->params = w->params;
	op->n_params = w->n_params;
	op->text = slice_head(c->text, p->lim.text_max);
	op->text_cut = c->full_len > op->text.len;
	if (stmt) {
		verb = stmt->verb;
		op->effects = stmt->effects;
		op->objects = stmt->objects;
		op->n_objects = stmt->n_objects;
		op->text = slice_head(slice_from(c->text, stmt->offset),
				      MIN(stmt->len, p->lim.text_max));
		op->text_cut = op->text.len < stmt->len;
	} else if (f) {
		verb = "EMPTY";
		op->effects = OP_SESSION;
	} else {
		verb = w->kind == PG_WORK_BIND ? "EXECUTE" : "UNKNOWN";
		op->effects = OP_UNKNOWN;
	}
	op->effects |= w->add_effects | (w->tainted ? OP_UNKNOWN : 0);
	op->verb = slice_str(verb);
	if (f && f->n_stmts <= 1) {
		op->norm = f->norm;
		op->fingerprint = f->fingerprint;
	} else if (f) {
		/* The string's normal form is that of all its statements: ask for this one's. */
		struct slice own = slice_head(slice_from(c->text, stmt->offset), stmt->len);
		struct pg_sql_mode mode = pg_lexing_mode(p, own);

		r = pg_sql_facts(p->shared->sql, own, &mode, &p->op_facts);
		if (r < 0)
			return r;
		op->norm = p->op_facts->norm;
		op->fingerprint = p->op_facts->fingerprint;
	}
	op->norm = slice_head(op->norm, p->lim.text_max);
	if (slice_eq(op->norm, op->text))
		op->norm = SLICE_NONE;
	redact(p, verb);
	return attrs_make(p, stmt);
}

static int op_emit(struct pg *p)
{
	struct pg_work *w = &p->work;
	int r = 0;

	op_done(p);
	p->op = (struct op){ .id = p->next_op, .protocol = "postgres" };
	if (w->n_cands) {
		r = op_from_facts(p);
	} else {
		p->op.verb = slice_str(w->verb);
		p->op.effects = w->effects | w->add_effects;
		p->op.objects = w->objects;
		p->op.n_objects = w->n_objects;
		p->op.attrs = w->attrs;
		p->op.n_attrs = w->n_attrs;
		p->op.params = w->params;
		p->op.n_params = w->n_params;
		p->op.text = slice_head(w->text, p->lim.text_max);
		p->op.text_cut = w->text.len > p->lim.text_max;
	}
	if (r < 0)
		return r;
	r = pg_event_push(
		p, &(struct proto_event){ .type = PROTO_OP, .op_id = p->op.id, .op = &p->op });
	if (r < 0)
		return r;
	p->next_op++;
	w->n_ops++;
	return 0;
}

int pg_work_begin(struct pg *p)
{
	p->work.first_op = p->next_op;
	if (p->replication && p->work.kind != PG_WORK_STARTUP)
		p->work.add_effects |= OP_ADMIN | OP_UNKNOWN;
	return op_emit(p);
}

/* Moves to the next statement or candidate; false when there is none. */
static bool work_advance(struct pg_work *w)
{
	if (!w->n_cands)
		return false;
	w->stmt++;
	if (w->cands[w->cand].facts && w->stmt < w->cands[w->cand].facts->n_stmts)
		return true;
	w->stmt = 0;
	return ++w->cand < w->n_cands;
}

/* What running these facts changes in how later text is read, and which names SQL may define. */
static int facts_consequences(struct pg *p, const struct pg_facts *f, bool *risky, bool *copy_in)
{
	int r = 0;

	if (!f) {
		*risky = true;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < f->n_stmts; i++) {
		const struct pg_stmt *s = &f->stmts[i];
		struct slice name = SLICE_NONE;

		*copy_in |= s->copy_in;
		*risky |= s->sets_lexing || s->may_set_lexing ||
			  (s->effects & (OP_UNKNOWN | OP_EXEC));
		p->lexing.ever_unsafe |= s->sets_lexing;
		if (strcmp(s->verb, "PREPARE") != 0)
			continue;
		for (size_t k = 0; k < s->n_objects; k++)
			if (strcmp(s->objects[k].kind, "prepared") == 0)
				name = s->objects[k].name;
		r = pg_name_taint(p, name);
	}
	return r;
}

static int forward_sql(struct pg *p)
{
	struct pg_work *w = &p->work;
	struct pg_prep *prep = NULL;
	struct pg_portal *portal = NULL;
	bool risky = false, copy_in = false;
	struct pg_pend *e;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->n_cands && w->kind != PG_WORK_STARTUP; i++)
		r = facts_consequences(p, w->cands[i].facts, &risky, &copy_in);
	if (r < 0)
		return r;
	risky |= p->lexing.ever_unsafe || w->kind == PG_WORK_EXECUTE || w->kind == PG_WORK_CALL;
	if (p->skipping) {
		/* The server ignores it: it goes by and nothing comes of it. */
		r = pg_result_skipped(p, w->first_op, w->n_ops);
		return r < 0 ? r : buf_put_slice(&p->out[DIR_TO_SERVER], buf_peek(&p->fmsg));
	}
	if (w->kind == PG_WORK_PARSE)
		r = pg_prep_new(p, w, &prep);
	else if (w->kind == PG_WORK_BIND)
		r = pg_portal_bind(p, w, &portal);
	if (r < 0)
		return r;
	e = pg_pend_push(p, w->kind == PG_WORK_QUERY     ? PG_PEND_QUERY
			    : w->kind == PG_WORK_PARSE   ? PG_PEND_PARSE
			    : w->kind == PG_WORK_BIND    ? PG_PEND_BIND
			    : w->kind == PG_WORK_CALL    ? PG_PEND_CALL
			    : w->kind == PG_WORK_EXECUTE ? PG_PEND_EXECUTE
							 : PG_PEND_STARTUP);
	if (!e) {
		if (prep) {
			pg_prep_drop(p, prep);
			pg_prep_unref(p, prep);
		}
		if (portal)
			pg_portal_unref(p, portal);
		return -ENOMEM;
	}
	e->op = w->first_op;
	e->n_ops = w->n_ops;
	e->prep = prep;
	e->bound = portal;
	e->copy_in = copy_in && w->kind == PG_WORK_QUERY;
	if (portal) {
		portal->risky = risky;
		portal->copy_in = copy_in;
	}
	if (e->copy_in)
		p->data_op = e->op;
	if (risky && w->kind != PG_WORK_PARSE && w->kind != PG_WORK_STARTUP)
		p->lexing.risk_seq = e->seq;
	return buf_put_slice(&p->out[DIR_TO_SERVER], buf_peek(&p->fmsg));
}

static int forward(struct pg *p)
{
	int r;

	if (p->work.kind == PG_WORK_CANCEL) {
		p->phase = PG_PHASE_CANCEL;
		r = buf_put_slice(&p->out[DIR_TO_SERVER], buf_peek(&p->fmsg));
	} else {
		r = forward_sql(p);
		if (r == 0 && p->work.kind == PG_WORK_STARTUP)
			p->phase = PG_PHASE_RUN;
	}
	return r;
}

static int result_refused(struct pg *p, uint64_t first, uint64_t n)
{
	struct op_attr attrs[2] = { pg_attr_text("sqlstate", SLICE("42501")),
				    pg_attr_bool("refused", true) };
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < n; i++)
		r = pg_event_attrs(p, PROTO_RESULT, first + i, NULL, true, attrs, 2);
	return r;
}

static int refuse(struct pg *p, const struct verdict *v)
{
	struct pg_work *w = &p->work;
	bool extended =
		w->kind == PG_WORK_PARSE || w->kind == PG_WORK_BIND || w->kind == PG_WORK_EXECUTE;
	uint8_t *refusal;
	size_t len;
	struct pg_pend *e;
	int r;

	if (w->kind == PG_WORK_CANCEL) /* no answer is native: the server never gives one */
		return pg_event_end(p);
	r = pg_refusal_new(p, w->kind == PG_WORK_STARTUP ? "FATAL" : "ERROR", v, &refusal, &len);
	if (r < 0)
		return r;
	if (w->kind == PG_WORK_STARTUP) {
		r = buf_put(&p->out[DIR_TO_CLIENT], refusal, len);
		free(refusal);
		r = r < 0 ? r : result_refused(p, w->first_op, w->n_ops);
		return r < 0 ? r : pg_event_end(p);
	}
	p->doomed |= extended;
	if (p->skipping) {
		free(refusal);
		return result_refused(p, w->first_op, w->n_ops);
	}
	e = pg_pend_push(p, w->kind == PG_WORK_QUERY     ? PG_PEND_QUERY
			    : w->kind == PG_WORK_CALL    ? PG_PEND_CALL
			    : w->kind == PG_WORK_BIND    ? PG_PEND_BIND
			    : w->kind == PG_WORK_EXECUTE ? PG_PEND_EXECUTE
							 : PG_PEND_PARSE);
	if (!e) {
		free(refusal);
		return -ENOMEM;
	}
	e->op = w->first_op;
	e->n_ops = w->n_ops;
	e->refusal = refusal;
	e->refusal_len = len;
	return pg_substitute_put(&p->out[DIR_TO_SERVER], extended);
}

int pg_work_decide(struct pg *p, const struct verdict *v)
{
	int r;

	if (v->kind == VERDICT_ALLOW) {
		if (work_advance(&p->work)) {
			r = op_emit(p);
			if (r < 0)
				goto out;
			return 0;
		}
		r = forward(p);
	} else {
		r = refuse(p, v);
	}
out:
	pg_work_done(p);
	buf_consume(&p->fmsg, buf_len(&p->fmsg));
	if (r == -ENOMEM)
		return pg_oom(p, DIR_TO_SERVER);
	if (r < 0)
		return pg_fail(p, r, DIR_TO_SERVER, p->fmsg_at, "output limit", spec_limits,
			       "54000");
	return 0;
}
