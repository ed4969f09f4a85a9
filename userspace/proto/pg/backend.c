// SPDX-License-Identifier: Apache-2.0
/*
 * The server's stream. DataRow, CopyData and FunctionCallResponse go through in spans; everything
 * else is seen whole, matched with what was asked (answer.c), and goes on as it is, unless it is
 * the error of a substitute.
 */
#include "answer.h"

#include <errno.h>

static const char spec_format[] = "PostgreSQL manual, Message Formats";

enum { HEADER = 5 };

static bool is_streamed(uint8_t type)
{
	return type == 'D' || type == 'd' || type == 'V';
}

struct complaint {
	int error;
	const char *rule, *spec, *sqlstate;
};

/* NULL when the header may stand. */
static const struct complaint *check_header(const struct pg *p, uint8_t type, uint32_t len)
{
	static const struct complaint too_short = { -EBADMSG, "message length below 4", spec_format,
						    "08P01" };
	static const struct complaint huge = { -EMSGSIZE, "message beyond 1 GiB", spec_format,
					       "08P01" };
	static const struct complaint unknown = { -EPROTO, "unknown message type", spec_format,
						  "08P01" };
	static const struct complaint too_long = { -EMSGSIZE, "message longer than weir examines",
						   "limits, message_max", "54000" };

	if (len < 4)
		return &too_short;
	if (!pg_answer_type_known(type))
		return &unknown;
	if (is_streamed(type))
		return len > PG_MESSAGE_MAX ? &huge : NULL;
	return len > p->lim.message_max ? &too_long : NULL;
}

/*
 * What a step leaves to be given on: bytes that go to the client as they are, from *from* to *pos*.
 * An error is said to the client behind them.
 */
struct span {
	struct slice in;
	size_t from, pos;
	const struct complaint *complaint;
};

/* The body of a streamed message, as far as it is there; *ret_good bytes of it may go on. */
static int stream(struct pg *p, struct slice part, size_t *ret_good)
{
	struct pg_pend *e = pg_pend_head(p);
	struct slice rest = part;
	size_t *recorded;
	uint64_t op;
	int r = 0;

	*ret_good = part.len;
	if (!e)
		return -EPROTO;
	op = pg_answer_op(e);
	recorded = pg_answer_recorded(e);
	if (p->btype == 'd')
		r = pg_event_data(p, op, DIR_TO_CLIENT, part, recorded);
	else if (p->btype == 'D' && p->row_recorded)
		r = pg_row_feed(p, &rest, op, recorded);
	if (r == 0 && part.len == p->bleft && p->btype == 'D' && p->row_recorded &&
	    !pg_row_whole(p))
		r = -EBADMSG;
	if (r < 0) {
		*ret_good = part.len - rest.len;
		return r; /* bleft stays: the client is in the middle of a message */
	}
	p->bleft -= part.len;
	return 0;
}

static int stream_begin(struct pg *p, uint8_t type, uint32_t len)
{
	int r;

	if (type == 'D' && len < 6)
		return -EBADMSG; /* a row has a count at least */
	r = pg_answer_streamed(p, type, len - 4);
	if (r < 0)
		return r;
	p->btype = type;
	p->bleft = len - 4;
	if (type == 'D') {
		p->row_recorded = *pg_answer_recorded(pg_pend_head(p)) < p->lim.record_max;
		pg_row_begin(p);
	}
	return 0;
}

static int relay(struct pg *p, struct slice span)
{
	return buf_put_slice(&p->out[DIR_TO_CLIENT], span) < 0 ? pg_oom(p, DIR_TO_CLIENT) : 0;
}

static int flush(struct pg *p, struct span *s)
{
	int r = relay(p, slice_of(s->in.ptr + s->from, s->pos - s->from));

	s->from = s->pos;
	return r;
}

/* The message in pieces: gathered, and given on when it is whole. */
static int gather(struct pg *p, struct span *s, struct slice rest)
{
	bool replaced = false;
	struct slice whole;
	size_t total = HEADER, n;
	uint32_t len;
	int r;

	if (buf_len(&p->bmsg) >= HEADER)
		total = (size_t)pg_be32(buf_peek(&p->bmsg).ptr + 1) + 1;
	n = MIN(total - buf_len(&p->bmsg), rest.len);
	if (buf_put(&p->bmsg, rest.ptr, n) < 0)
		return pg_oom(p, DIR_TO_CLIENT);
	s->pos += n;
	s->from = s->pos;
	if (buf_len(&p->bmsg) < total)
		return 0;
	whole = buf_peek(&p->bmsg);
	len = pg_be32(whole.ptr + 1);
	if (whole.len == HEADER) {
		s->complaint = check_header(p, whole.ptr[0], len);
		if (s->complaint)
			return s->complaint->error;
		if (is_streamed(whole.ptr[0])) {
			r = stream_begin(p, whole.ptr[0], len);
			r = r < 0 ? r : relay(p, whole);
			buf_consume(&p->bmsg, buf_len(&p->bmsg));
			return r;
		}
		if (len > 4)
			return 0;
	}
	r = pg_answer_message(p, whole, &replaced);
	if (r < 0 || p->opaque_op)
		return r; /* CopyBothResponse is held until its verdict */
	if (!replaced)
		r = relay(p, whole);
	buf_consume(&p->bmsg, buf_len(&p->bmsg));
	return r;
}

/* One step at s->pos: a piece of a streamed message, a header, a message, or a piece of one. */
static int step(struct pg *p, struct span *s, size_t limit)
{
	struct slice rest = slice_from(slice_head(s->in, limit), s->pos);
	bool replaced = false;
	uint32_t len;
	size_t good;
	int r;

	if (p->bleft) {
		r = stream(p, slice_head(rest, p->bleft), &good);
		s->pos += good;
		return r;
	}
	if (buf_len(&p->bmsg))
		return gather(p, s, rest);
	p->bmsg_at = p->offset[DIR_TO_CLIENT] + s->pos;
	if (rest.len < HEADER) {
		r = flush(p, s);
		return r < 0 ? r : gather(p, s, rest);
	}
	len = pg_be32(rest.ptr + 1);
	s->complaint = check_header(p, rest.ptr[0], len);
	if (s->complaint)
		return s->complaint->error;
	if (is_streamed(rest.ptr[0])) {
		r = stream_begin(p, rest.ptr[0], len);
		s->pos += r < 0 ? 0 : HEADER;
		return r;
	}
	r = flush(p, s); /* what takes this message's place comes behind what went before */
	if (r < 0)
		return r;
	if (rest.len <= len || rest.ptr[0] == 'W')
		return gather(p, s, rest);
	r = pg_answer_message(p, slice_head(rest, (size_t)len + 1), &replaced);
	if (r < 0)
		return r;
	s->pos += (size_t)len + 1;
	if (replaced)
		s->from = s->pos;
	return 0;
}

static int failed(struct pg *p, const struct span *s, int r)
{
	const struct complaint *c = s->complaint;

	if (p->error)
		return p->error;
	if (c)
		return pg_fail(p, c->error, DIR_TO_CLIENT, p->bmsg_at, c->rule, c->spec,
			       c->sqlstate);
	if (r == -ENOMEM)
		return pg_oom(p, DIR_TO_CLIENT);
	if (r == -EPROTO)
		return pg_fail(p, r, DIR_TO_CLIENT, p->bmsg_at, "a message that has no place here",
			       "PostgreSQL manual, Message Flow", "08P01");
	return pg_malformed(p, DIR_TO_CLIENT, p->bmsg_at, "malformed message", spec_format);
}

int pg_backend_feed(struct pg *p, struct slice in, size_t *ret_used)
{
	size_t room = buf_len(&p->out[DIR_TO_CLIENT]);
	struct span s = { .in = in };
	int r = 0;

	room = room < p->lim.out_max ? p->lim.out_max - room : 0;
	room = MIN(room, in.len);
	if (p->phase == PG_PHASE_DONE || p->opaque_op) {
		*ret_used = p->opaque_op ? 0 : in.len;
		return 0;
	}
	if (in.len && (p->phase == PG_PHASE_START || p->phase == PG_PHASE_CANCEL))
		return pg_fail(p, -EPROTO, DIR_TO_CLIENT, p->offset[DIR_TO_CLIENT],
			       "the server speaks before it is asked",
			       "PostgreSQL manual, Message Flow", "08P01");
	while (r == 0 && s.pos < room && !p->opaque_op)
		r = step(p, &s, room);
	if (flush(p, &s) < 0)
		return p->error;
	p->offset[DIR_TO_CLIENT] += s.pos;
	*ret_used = s.pos;
	return r < 0 ? failed(p, &s, r) : 0;
}

int pg_opaque_decide(struct pg *p, const struct verdict *v)
{
	int r;

	p->relay_op = p->opaque_op;
	p->opaque_op = 0;
	if (v->kind != VERDICT_ALLOW) {
		char text[256];

		buf_consume(&p->bmsg, buf_len(&p->bmsg));
		(void)snprintf(text, sizeof(text), "blocked by policy rule \"%.100s\"",
			       v->rule ? v->rule : "default");
		pg_abort(&p->proto, 403, text);
		return 0;
	}
	r = relay(p, buf_peek(&p->bmsg));
	buf_consume(&p->bmsg, buf_len(&p->bmsg));
	/* What the client had begun to say goes along. */
	if (r == 0 && buf_put_slice(&p->out[DIR_TO_SERVER], buf_peek(&p->fmsg)) < 0)
		r = pg_oom(p, DIR_TO_SERVER);
	buf_consume(&p->fmsg, buf_len(&p->fmsg));
	p->phase = PG_PHASE_RELAY;
	return r;
}
