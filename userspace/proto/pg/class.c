// SPDX-License-Identifier: Apache-2.0
/* The handler as session/ sees it. */
#include "answer.h"

#include <errno.h>
#include <stdlib.h>

enum {
	SQL_CACHE_ENTRIES = 4096,
	SQL_CACHE_BYTES = 16 << 20,
	OUT_SLACK = 64 * 1024, /* for refusals and last words beyond what feed lets in */
};

struct proto_shared {
	struct pg_shared pg;
};

static struct proto_shared *pg_shared_free(struct proto_shared *s)
{
	if (s)
		(void)pg_sql_free(s->pg.sql); /* returns NULL */
	free(s);
	return NULL;
}

static int pg_shared_new(struct proto_shared **ret)
{
	struct proto_shared *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = pg_sql_new(SQL_CACHE_ENTRIES, SQL_CACHE_BYTES, &s->pg.sql);
	if (r == 0 && hash_key_random(&s->pg.key) < 0)
		r = -ENOMEM; /* no entropy means no boot; nothing is to be told apart here */
	if (r < 0) {
		(void)pg_shared_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static int pg_create(const struct proto_limits *lim, struct proto_shared *shared,
		     struct proto **ret)
{
	struct pg *p = calloc(1, sizeof(*p));
	size_t message = MIN(lim->message_max, (size_t)PG_MESSAGE_MAX) + 1;

	if (!p)
		return -ENOMEM;
	p->proto.class = &proto_pg;
	p->lim = *lim;
	p->shared = &shared->pg;
	p->next_op = 1;
	buf_init(&p->fmsg, MAX(message, (size_t)PG_STARTUP_MAX));
	buf_init(&p->bmsg, message + 5);
	for (int d = 0; d < 2; d++)
		buf_init(&p->out[d], lim->out_max + message + OUT_SLACK);
	buf_init(&p->data, SIZE_MAX / 4); /* bounded by record_max for each operation of one feed */
	arena_init(&p->ev_arena, 64 << 20);
	arena_init(&p->op_arena, 64 << 20);
	/* A Bind of nothing but NULLs has 4 bytes a parameter, and hex doubles what is there. */
	arena_init(&p->work_arena, 8 * message + (4 << 20));
	pg_names_init(p);
	*ret = &p->proto;
	return 0;
}

static struct proto *pg_free(struct proto *proto)
{
	struct pg *p;

	if (!proto)
		return NULL;
	p = pg_of(proto);
	pg_work_done(p);
	pg_pend_done(p);
	pg_names_done(p);
	buf_done(&p->fmsg);
	buf_done(&p->bmsg);
	buf_done(&p->out[0]);
	buf_done(&p->out[1]);
	buf_done(&p->data);
	arena_done(&p->ev_arena);
	arena_done(&p->op_arena);
	arena_done(&p->work_arena);
	free(p->events);
	free(p->formats);
	free(p);
	return NULL;
}

/* Opaque by permission: bytes go by, their beginning is recorded. */
static int relay(struct pg *p, enum dir d, struct slice in, size_t *ret_used)
{
	struct buf *out = &p->out[d];
	size_t room = buf_len(out) < p->lim.out_max ? p->lim.out_max - buf_len(out) : 0;

	in = slice_head(in, room);
	if (pg_event_data(p, p->relay_op, d, in, &p->relay_recorded[d]) < 0 ||
	    buf_put_slice(out, in) < 0)
		return pg_oom(p, d);
	p->offset[d] += in.len;
	*ret_used = in.len;
	return 0;
}

static int pg_feed(struct proto *proto, enum dir d, struct slice in, size_t *ret_used,
		   struct parse_err *reterr)
{
	struct pg *p = pg_of(proto);
	int r;

	*ret_used = 0;
	if (p->error) {
		*reterr = p->why;
		return p->error;
	}
	pg_events_recycle(p);
	if (p->phase == PG_PHASE_RELAY)
		r = relay(p, d, in, ret_used);
	else
		r = d == DIR_TO_SERVER ? pg_frontend_feed(p, in, ret_used)
				       : pg_backend_feed(p, in, ret_used);
	if (r < 0)
		*reterr = p->why;
	return r;
}

static int client_eof(struct pg *p)
{
	if (p->phase == PG_PHASE_RELAY || p->phase == PG_PHASE_DONE || p->terminated)
		return 0;
	if (buf_len(&p->fmsg) || p->fleft) {
		if (p->work.kind != PG_WORK_NONE)
			return 0; /* whole, and waiting for its verdict */
		return pg_malformed(p, DIR_TO_SERVER, p->offset[DIR_TO_SERVER],
				    "the client's last message is cut short",
				    "PostgreSQL manual, Message Flow, Termination");
	}
	/* Gone before it asked for anything: nobody else will end this. */
	if (p->phase == PG_PHASE_START && p->work.kind == PG_WORK_NONE)
		return pg_event_end(p) < 0 ? pg_oom(p, DIR_TO_SERVER) : 0;
	return 0;
}

static int server_eof(struct pg *p)
{
	int r;

	if (p->phase == PG_PHASE_DONE)
		return 0;
	if (p->phase != PG_PHASE_RELAY && !p->opaque_op && (buf_len(&p->bmsg) || p->bleft))
		return pg_malformed(p, DIR_TO_CLIENT, p->offset[DIR_TO_CLIENT],
				    "the server's last message is cut short",
				    "PostgreSQL manual, Message Flow");
	r = pg_answer_lost(p);
	r = r < 0 ? r : pg_event_end(p);
	return r < 0 ? pg_oom(p, DIR_TO_CLIENT) : 0;
}

static int pg_eof(struct proto *proto, enum dir d, struct parse_err *reterr)
{
	struct pg *p = pg_of(proto);
	int r = p->error;

	if (!r) {
		pg_events_recycle(p);
		r = d == DIR_TO_SERVER ? client_eof(p) : server_eof(p);
	}
	if (r < 0)
		*reterr = p->why;
	return r;
}

static int pg_next(struct proto *proto, struct proto_event *ret)
{
	return pg_events_next(pg_of(proto), ret);
}

static int pg_decide(struct proto *proto, uint64_t op_id, const struct verdict *v)
{
	struct pg *p = pg_of(proto);

	if (p->error || !op_id)
		return -EPROTO;
	pg_events_recycle(p);
	if (op_id == p->opaque_op)
		return pg_opaque_decide(p, v);
	if (p->work.kind == PG_WORK_NONE || op_id != p->op.id || p->phase == PG_PHASE_DONE)
		return -EPROTO;
	return pg_work_decide(p, v);
}

static struct slice pg_peek_out(const struct proto *proto, enum dir d)
{
	return buf_peek(&container_of(proto, const struct pg, proto)->out[d]);
}

static void pg_consume_out(struct proto *proto, enum dir d, size_t n)
{
	buf_consume(&pg_of(proto)->out[d], n);
}

const struct proto_class proto_pg = {
	.name = "postgres",
	.sniff = pg_sniff,
	.shared_new = pg_shared_new,
	.shared_free = pg_shared_free,
	.create = pg_create,
	.feed = pg_feed,
	.eof = pg_eof,
	.next = pg_next,
	.decide = pg_decide,
	.abort = pg_abort,
	.notice = pg_notice,
	.peek_out = pg_peek_out,
	.consume_out = pg_consume_out,
	.free = pg_free,
};
