// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "session.h"

static int put_event(struct session *s, struct store_event *ev)
{
	int r;

	/* The session's own record goes first, so that no event is ever without one. */
	if (!s->rec_put_ns) {
		r = record_session(s);
		if (r < 0)
			return r;
	}
	ev->time_ns = s->worker->real_ns;
	s->staged = true;
	return store_put_event(s->worker->batch, &s->rec, ev);
}

int record_session(struct session *s)
{
	s->rec_put_ns = s->worker->mono_ns;
	s->staged = true;
	return store_put_session(s->worker->batch, &s->rec);
}

int record_op(struct session *s, const struct op *op, const struct verdict *v)
{
	struct store_event ev = { .type = STORE_OP, .op_id = op->id, .op = op, .verdict = *v };

	s->rec.n_ops++;
	s->rec.n_allowed += v->kind == VERDICT_ALLOW;
	s->rec.n_held += v->kind == VERDICT_HOLD;
	s->rec.n_blocked += v->kind == VERDICT_BLOCK;
	__atomic_add_fetch(&s->worker->stats.ops, 1, __ATOMIC_RELAXED);
	if (v->kind == VERDICT_BLOCK)
		__atomic_add_fetch(&s->worker->stats.blocked, 1, __ATOMIC_RELAXED);
	return put_event(s, &ev);
}

int record_event(struct session *s, const struct proto_event *ev)
{
	struct store_event out = {
		.op_id = ev->op_id,
		.dir = ev->dir,
		.data = ev->data,
		.attrs = ev->attrs,
		.n_attrs = ev->n_attrs,
		.failed = ev->failed,
		.text = ev->text,
	};

	switch (ev->type) {
	case PROTO_DATA: out.type = STORE_DATA; break;
	case PROTO_RESULT: out.type = STORE_RESULT; break;
	case PROTO_NOTE:
	case PROTO_OPAQUE: out.type = STORE_NOTE; break;
	default: return 0;
	}
	s->rec.n_errors += ev->type == PROTO_RESULT && ev->failed;
	return put_event(s, &out);
}

int record_error(struct session *s, const struct parse_err *err)
{
	struct store_event ev = { .type = STORE_ERROR,
				  .dir = err->dir,
				  .offset = err->offset,
				  .text = err->rule,
				  .spec = err->spec };

	s->rec.n_errors++;
	return put_event(s, &ev);
}

int record_text(struct session *s, enum store_event_type type, uint64_t op_id, const char *text)
{
	struct store_event ev = { .type = type, .op_id = op_id, .text = text };

	s->rec.n_errors += type == STORE_ERROR;
	return put_event(s, &ev);
}

int record_approval(struct session *s, uint64_t op_id, const char *what,
		    const struct op_attr *attrs, size_t n)
{
	struct store_event ev = {
		.type = STORE_APPROVAL, .op_id = op_id, .text = what, .attrs = attrs, .n_attrs = n
	};

	return put_event(s, &ev);
}
