// SPDX-License-Identifier: Apache-2.0
/* The client's messages after start-up, read whole: what has to be judged, what goes by. */
#include "internal.h"

#include <errno.h>

static int broken(struct pg *p, const char *rule, const char *spec)
{
	return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at, rule, spec);
}

static int pass(struct pg *p)
{
	return buf_put_slice(&p->out[DIR_TO_SERVER], buf_peek(&p->fmsg)) < 0
		       ? pg_oom(p, DIR_TO_SERVER)
		       : 0;
}

static int begin(struct pg *p)
{
	if (pg_work_begin(p) == 0)
		return 0;
	pg_work_done(p);
	return pg_oom(p, DIR_TO_SERVER);
}

/* One text, whose facts are looked up. */
static int one_candidate(struct pg *p, struct slice text)
{
	struct pg_candidate *c = pg_work_candidates(p, 1);
	struct pg_sql_mode mode = pg_lexing_mode(p, text);

	if (!c || pg_sql_facts(p->shared->sql, text, &mode, &c->facts) < 0) {
		pg_work_done(p);
		return pg_oom(p, DIR_TO_SERVER);
	}
	c->text = text;
	c->full_len = text.len;
	return begin(p);
}

static int query(struct pg *p, struct slice body)
{
	struct pg_reader r = { .rest = body };
	struct slice text = pg_read_str(&r);

	if (!pg_read_done(&r))
		return broken(p, "the query string does not end where its message does",
			      "PostgreSQL manual, Message Formats, Query");
	p->work.kind = PG_WORK_QUERY;
	return one_candidate(p, text);
}

static int parse(struct pg *p, struct slice body)
{
	struct pg_reader r = { .rest = body };
	struct slice name = pg_read_str(&r), text = pg_read_str(&r);
	unsigned n = pg_read_u16(&r);
	struct pg_work *w = &p->work;

	if (r.bad || r.rest.len != 4 * (size_t)n)
		return broken(p, "the parameter types do not fit the message",
			      "PostgreSQL manual, Message Formats, Parse");
	w->kind = PG_WORK_PARSE;
	w->name = name;
	w->n_oids = n;
	w->oids = n ? arena_array(&p->work_arena, n, sizeof(w->oids[0])) : NULL;
	if (n && !w->oids) {
		pg_work_done(p);
		return pg_oom(p, DIR_TO_SERVER);
	}
	for (unsigned i = 0; i < n; i++)
		w->oids[i] = pg_read_u32(&r);
	return one_candidate(p, text);
}

/* n values behind their format codes; oids may be fewer. Advances r. 0, -EBADMSG, -ENOMEM. */
static int read_values(struct pg *p, struct pg_reader *r, const uint32_t *oids, size_t n_oids)
{
	unsigned n_formats = pg_read_u16(r), n;
	struct pg_reader formats = { .rest = pg_read_bytes(r, 2 * (size_t)n_formats) };
	struct op_param *params;
	bool binary = false;

	n = pg_read_u16(r);
	if (r->bad || (n_formats > 1 && n_formats != n) || r->rest.len < 4 * (size_t)n)
		return -EBADMSG;
	if (!n)
		return 0;
	params = arena_array(&p->work_arena, n, sizeof(*params));
	if (!params)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = pg_read_u32(r);
		struct slice value;

		if (n_formats > 1 || (n_formats == 1 && i == 0))
			binary = pg_read_u16(&formats) != 0;
		if (len == UINT32_MAX) {
			params[i].null = true;
			continue;
		}
		value = pg_read_bytes(r, len);
		if (r->bad)
			return -EBADMSG;
		if (pg_param_text(&p->work_arena, i < n_oids ? oids[i] : 0, binary, value,
				  p->lim.text_max, &params[i].text) < 0)
			return -ENOMEM;
	}
	p->work.params = params;
	p->work.n_params = n;
	return 0;
}

/*
 * All statements that the name may stand for when the server comes to this Bind. A Parse of the
 * same run up to Sync is certain: had it failed, the server would ignore the Bind as well. One of
 * an earlier run that has not been answered may have failed and left the older statement in force.
 */
static int bind_candidates(struct pg *p, struct slice name)
{
	struct pg_name *n = pg_name_find(p, name);
	struct list_node *from = NULL;
	bool certain = false;
	struct pg_candidate *c;
	size_t count = 0, i = 0;

	p->work.tainted =
		(n && n->tainted) || (p->names.all_tainted && name.len) || name.len > PG_NAME_MAX;
	if (n) {
		for (struct list_node *at = n->versions.prev; at != &n->versions; at = at->prev) {
			const struct pg_prep *s = container_of(at, struct pg_prep, node);

			count++;
			from = at;
			certain = s->confirmed || (count == 1 && s->batch == p->batch);
			if (certain)
				break;
		}
	}
	/* With nothing certain at the bottom, it may be something that was never seen here. */
	c = pg_work_candidates(p, count + !certain);
	if (!c)
		return -ENOMEM;
	if (!certain)
		i = 1;
	for (; count; count--, from = from->next, i++) {
		struct pg_prep *s = container_of(from, struct pg_prep, node);

		s->refs++;
		c[i] = (struct pg_candidate){
			.facts = s->facts, .prep = s, .text = s->text, .full_len = s->full_len
		};
	}
	return 0;
}

static int bind_portal(struct pg *p, struct slice body)
{
	static const char spec[] = "PostgreSQL manual, Message Formats, Bind";
	struct pg_reader r = { .rest = body };
	struct pg_work *w = &p->work;
	const struct pg_prep *newest;
	int err;

	w->kind = PG_WORK_BIND;
	w->portal = pg_read_str(&r);
	w->name = pg_read_str(&r);
	err = bind_candidates(p, w->name);
	if (err == 0) {
		newest = w->cands[w->n_cands - 1].prep;
		err = read_values(p, &r, newest ? newest->oids : NULL, newest ? newest->n_oids : 0);
	}
	if (err == 0) {
		w->n_formats = pg_read_u16(&r);
		w->formats.rest = pg_read_bytes(&r, 2 * (size_t)w->n_formats);
		if (!pg_read_done(&r))
			err = -EBADMSG;
	}
	if (err == 0)
		return begin(p);
	pg_work_done(p);
	return err == -ENOMEM ? pg_oom(p, DIR_TO_SERVER)
			      : broken(p, "the parameters do not fit the message", spec);
}

static int function_call(struct pg *p, struct slice body)
{
	static const char spec[] = "PostgreSQL manual, Message Formats, FunctionCall";
	struct pg_reader r = { .rest = body };
	struct pg_work *w = &p->work;
	uint32_t oid = pg_read_u32(&r);
	struct slice name;
	char text[16];
	int err;

	w->kind = PG_WORK_CALL;
	err = read_values(p, &r, NULL, 0);
	(void)pg_read_u16(&r); /* the result's format */
	if (err == 0 && !pg_read_done(&r))
		err = -EBADMSG;
	if (err == 0) {
		int n = snprintf(text, sizeof(text), "%u", oid);

		err = arena_dup(&p->work_arena, slice_of(text, (size_t)n), &name);
	}
	if (err < 0) {
		pg_work_done(p);
		return err == -ENOMEM ? pg_oom(p, DIR_TO_SERVER)
				      : broken(p, "the arguments do not fit the message", spec);
	}
	w->verb = "FUNCTION_CALL";
	w->effects = OP_EXEC | OP_UNKNOWN;
	w->objects[w->n_objects++] = (struct op_object){ .kind = "function",
							 .name = name,
							 .access = OP_EXEC | OP_UNKNOWN };
	return begin(p);
}

static int execute(struct pg *p, struct slice body)
{
	struct pg_reader r = { .rest = body };
	struct slice name = pg_read_str(&r);
	struct pg_work *w = &p->work;
	struct pg_portal *portal;
	struct pg_pend *e;

	(void)pg_read_u32(&r); /* the number of rows */
	if (!pg_read_done(&r))
		return broken(p, "malformed Execute",
			      "PostgreSQL manual, Message Formats, Execute");
	portal = pg_portal_find(p, name);
	if (!portal) {
		/* A cursor that SQL declared, or one forgotten here: it has not been judged as a
		 * portal of a Bind has. */
		w->kind = PG_WORK_EXECUTE;
		w->verb = "EXECUTE";
		w->effects = OP_UNKNOWN;
		w->attrs[w->n_attrs++] = pg_attr_text("portal", name);
		return begin(p);
	}
	if (!p->skipping) {
		e = pg_pend_push(p, PG_PEND_EXECUTE);
		if (!e)
			return pg_oom(p, DIR_TO_SERVER);
		e->op = portal->op;
		e->portal = portal;
		portal->refs++;
		e->copy_in = portal->copy_in;
		if (e->copy_in)
			p->data_op = e->op;
		if (portal->risky || p->lexing.ever_unsafe)
			p->lexing.risk_seq = e->seq;
	}
	return pass(p);
}

static int describe_or_close(struct pg *p, uint8_t type, struct slice body)
{
	struct pg_reader r = { .rest = body };
	uint8_t kind = pg_read_u8(&r);
	struct slice name = pg_read_str(&r);
	struct pg_portal *portal;
	struct pg_name *n;
	struct pg_pend *e;

	if (!pg_read_done(&r) || (kind != 'S' && kind != 'P'))
		return broken(p, type == 'D' ? "malformed Describe" : "malformed Close",
			      type == 'D' ? "PostgreSQL manual, Message Formats, Describe"
					  : "PostgreSQL manual, Message Formats, Close");
	if (p->skipping)
		return pass(p);
	e = pg_pend_push(p, type == 'C'   ? PG_PEND_CLOSE
			    : kind == 'S' ? PG_PEND_DESCRIBE_STMT
					  : PG_PEND_DESCRIBE_PORTAL);
	if (!e)
		return pg_oom(p, DIR_TO_SERVER);
	if (type == 'C' && kind == 'S') {
		struct slice key = slice_head(name, PG_NAME_MAX);

		e->described = true; /* it is a statement's */
		e->close_len = (uint8_t)key.len;
		if (key.len)
			memcpy(e->close_name, key.ptr, key.len);
		return pass(p);
	}
	if (kind == 'P') {
		portal = pg_portal_find(p, name);
		if (portal && type == 'D') {
			e->portal = portal;
			portal->refs++;
		} else if (portal) {
			pg_portal_forget(p, portal);
		}
		return pass(p);
	}
	n = pg_name_find(p, name);
	if (n && !list_empty(&n->versions)) {
		e->prep = container_of(n->versions.prev, struct pg_prep, node);
		e->prep->refs++;
	}
	return pass(p);
}

static int sync_message(struct pg *p)
{
	/* In COPY FROM STDIN the server reads past a Sync; the one behind CopyDone counts. */
	p->batch++;
	p->doomed = false;
	if (p->copy_in) {
		pg_sync_maybe(p);
		return pass(p);
	}
	if (!pg_pend_push(p, PG_PEND_SYNC))
		return pg_oom(p, DIR_TO_SERVER);
	p->skipping = false;
	return pass(p);
}

static int copy_end(struct pg *p, uint8_t type, struct slice body)
{
	struct pg_reader r = { .rest = body };

	if (type == 'f')
		(void)pg_read_str(&r);
	if (!pg_read_done(&r))
		return broken(p, type == 'f' ? "malformed CopyFail" : "malformed CopyDone",
			      "PostgreSQL manual, Message Formats, CopyDone");
	p->data_op = 0;
	if (p->copy_in)
		p->copy_in = false;
	else if (!p->skipping && p->pend_count && !pg_pend_push(p, PG_PEND_COPY_END))
		return pg_oom(p, DIR_TO_SERVER);
	return pass(p);
}

int pg_query_message(struct pg *p, uint8_t type, struct slice body)
{
	bool ends = type == 'S' || type == 'X' || type == 'H';

	if (ends && body.len)
		return broken(p, "a message without content has some",
			      "PostgreSQL manual, Message Formats");
	/* Nothing behind a refused message reaches the server before the Sync: it would ignore it. */
	if (p->doomed && !ends)
		return 0;
	/* With COPY on, the server takes these for an error; if it has failed already, a Sync sent
	 * meanwhile makes it run them. No client that works leaves that open. */
	if (p->copy_in && !ends && type != 'c' && type != 'f')
		return pg_fail(p, -EPROTO, DIR_TO_SERVER, p->fmsg_at,
			       "neither data nor the end of a COPY",
			       "PostgreSQL manual, Message Flow, COPY Operations", "08P01");
	switch (type) {
	case 'Q': return query(p, body);
	case 'P': return parse(p, body);
	case 'B': return bind_portal(p, body);
	case 'F': return function_call(p, body);
	case 'E': return execute(p, body);
	case 'D':
	case 'C': return describe_or_close(p, type, body);
	case 'S': return sync_message(p);
	case 'c':
	case 'f': return copy_end(p, type, body);
	case 'X': p->terminated = true; return pass(p);
	default: return pass(p); /* Flush */
	}
}
