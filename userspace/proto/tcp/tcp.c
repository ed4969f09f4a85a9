// SPDX-License-Identifier: Apache-2.0
#include "tcp.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"

enum { EVENTS = 8, OP_ID = 1 };

enum tcp_state {
	TCP_UNJUDGED,
	TCP_OPEN,
	TCP_OVER, /* END is queued or given */
};

struct tcp_event {
	enum proto_event_type type;
	enum dir dir;
	uint64_t at; /* DATA: offset in the direction's stream */
	size_t len;
};

struct tcp {
	struct proto base;
	struct proto_limits lim;
	enum tcp_state state;
	struct buf out[2];
	uint64_t bytes[2];   /* relayed so far */
	uint64_t drained[2]; /* consumed of that */
	size_t recorded[2];
	bool eof[2];
	bool op_given;
	struct op op;
	struct op_attr attrs[2];
	struct tcp_event events[EVENTS]; /* a ring */
	unsigned first, count;
	int error; /* sticky */
	struct parse_err err;
};

static struct tcp *tcp_of(struct proto *p)
{
	return container_of(p, struct tcp, base);
}

static void event_push(struct tcp *t, struct tcp_event ev)
{
	t->events[(t->first + t->count++) % EVENTS] = ev;
}

static int tcp_create(const struct proto_limits *lim, struct proto_shared *shared,
		      struct proto **ret)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->base.class = &proto_tcp;
	t->lim = *lim;
	buf_init(&t->out[DIR_TO_SERVER], lim->out_max);
	buf_init(&t->out[DIR_TO_CLIENT], lim->out_max);
	t->op = (struct op){
		.id = OP_ID,
		.protocol = "tcp",
		.verb = SLICE("CONNECT"),
		.effects = OP_NETWORK | OP_UNKNOWN,
		.text = SLICE("CONNECT"),
		.fingerprint = hash_bytes(SLICE("CONNECT"), HASH_KEY_FIXED),
	};
	event_push(t, (struct tcp_event){ .type = PROTO_OP });
	*ret = &t->base;
	return 0;
}

static void data_push(struct tcp *t, enum dir d, size_t n)
{
	size_t keep = MIN(n, t->lim.record_max - t->recorded[d]);
	struct tcp_event *last = t->count ? &t->events[(t->first + t->count - 1) % EVENTS] : NULL;

	if (!keep)
		return;
	t->recorded[d] += keep;
	if (last && last->type == PROTO_DATA && last->dir == d) {
		last->len += keep;
		return;
	}
	event_push(t, (struct tcp_event){
			      .type = PROTO_DATA, .dir = d, .at = t->bytes[d], .len = keep });
}

static int tcp_feed(struct proto *p, enum dir d, struct slice in, size_t *ret_used,
		    struct parse_err *reterr)
{
	struct tcp *t = tcp_of(p);
	size_t n;
	int r;

	*ret_used = 0;
	if (t->error) {
		*reterr = t->err;
		return t->error;
	}
	if (t->state == TCP_OVER) {
		*ret_used = in.len; /* nobody is left to take it */
		return 0;
	}
	/* DATA of both directions, RESULT and END must find a place. */
	if (t->state == TCP_UNJUDGED || t->count > EVENTS - 4)
		return 0;
	n = MIN(in.len, buf_room(&t->out[d]));
	r = buf_put(&t->out[d], in.ptr, n);
	if (r < 0) {
		t->err = (struct parse_err){
			.dir = d, .offset = t->bytes[d], .rule = "out of memory", .spec = "proto.h"
		};
		t->error = r;
		*reterr = t->err;
		return r;
	}
	data_push(t, d, n);
	t->bytes[d] += n;
	*ret_used = n;
	return 0;
}

static void tcp_end(struct tcp *t)
{
	if (t->state == TCP_OPEN)
		event_push(t, (struct tcp_event){ .type = PROTO_RESULT });
	if (t->state != TCP_OVER)
		event_push(t, (struct tcp_event){ .type = PROTO_END });
	t->state = TCP_OVER;
}

static int tcp_eof(struct proto *p, enum dir d, struct parse_err *reterr)
{
	struct tcp *t = tcp_of(p);

	t->eof[d] = true;
	/* One whose asker left before the verdict is not worth opening. */
	if (t->state == TCP_OPEN && t->eof[dir_other(d)])
		tcp_end(t);
	return 0;
}

static int tcp_next(struct proto *p, struct proto_event *ret)
{
	struct tcp *t = tcp_of(p);
	struct tcp_event *ev;

	if (!t->count)
		return 0;
	ev = &t->events[t->first];
	t->first = (t->first + 1) % EVENTS;
	t->count--;
	*ret = (struct proto_event){ .type = ev->type, .op_id = OP_ID, .dir = ev->dir };
	switch (ev->type) {
	case PROTO_OP:
		t->op_given = true;
		ret->op = &t->op;
		break;
	case PROTO_DATA:
		ret->data = slice_head(slice_from(buf_peek(&t->out[ev->dir]),
						  (size_t)(ev->at - t->drained[ev->dir])),
				       ev->len);
		break;
	case PROTO_RESULT:
		t->attrs[0] = (struct op_attr){ .key = "bytes_to_server",
						.type = OP_ATTR_INT,
						.i = (int64_t)t->bytes[DIR_TO_SERVER] };
		t->attrs[1] = (struct op_attr){ .key = "bytes_to_client",
						.type = OP_ATTR_INT,
						.i = (int64_t)t->bytes[DIR_TO_CLIENT] };
		ret->attrs = t->attrs;
		ret->n_attrs = 2;
		break;
	default: break;
	}
	return 1;
}

static int tcp_decide(struct proto *p, uint64_t op_id, const struct verdict *v)
{
	struct tcp *t = tcp_of(p);

	if (op_id != OP_ID || t->state != TCP_UNJUDGED || !t->op_given)
		return -EPROTO;
	if (v->kind == VERDICT_ALLOW) {
		t->state = TCP_OPEN;
		if (t->eof[DIR_TO_SERVER] && t->eof[DIR_TO_CLIENT])
			tcp_end(t);
	} else {
		tcp_end(t);
	}
	return 0;
}

static void tcp_abort(struct proto *p, unsigned status, const char *message)
{
	struct tcp *t = tcp_of(p);

	/* Bytes that have not left yet are not to go to the server any more. */
	t->drained[DIR_TO_SERVER] += buf_len(&t->out[DIR_TO_SERVER]);
	buf_clear(&t->out[DIR_TO_SERVER]);
	for (unsigned i = 0; i < t->count; i++) {
		struct tcp_event *ev = &t->events[(t->first + i) % EVENTS];

		if (ev->type == PROTO_DATA && ev->dir == DIR_TO_SERVER)
			ev->len = 0;
	}
	tcp_end(t);
}

static struct slice tcp_peek_out(const struct proto *p, enum dir d)
{
	return buf_peek(&container_of(p, struct tcp, base)->out[d]);
}

static void tcp_consume_out(struct proto *p, enum dir d, size_t n)
{
	struct tcp *t = tcp_of(p);

	buf_consume(&t->out[d], n);
	t->drained[d] += n;
}

static struct proto *tcp_free(struct proto *p)
{
	if (p) {
		struct tcp *t = tcp_of(p);

		buf_done(&t->out[DIR_TO_SERVER]);
		buf_done(&t->out[DIR_TO_CLIENT]);
		free(t);
	}
	return NULL;
}

const struct proto_class proto_tcp = {
	.name = "tcp",
	.create = tcp_create,
	.feed = tcp_feed,
	.eof = tcp_eof,
	.next = tcp_next,
	.decide = tcp_decide,
	.abort = tcp_abort,
	.peek_out = tcp_peek_out,
	.consume_out = tcp_consume_out,
	.free = tcp_free,
};
