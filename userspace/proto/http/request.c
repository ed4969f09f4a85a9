// SPDX-License-Identifier: Apache-2.0
/* Bytes from the client. */
#include <errno.h>

#include "state.h"

static int cut_short(struct http *h)
{
	struct http_fault f = {
		.rule = "request cut short", .spec = "RFC 9112 §8", .status = 400, .code = -EBADMSG
	};

	return http_fail(h, DIR_TO_SERVER, h->side[DIR_TO_SERVER].offset, &f);
}

/* Memory for the fields of the head that was collected; all that the last one had is gone. */
static int fields_make(struct http *h, const struct side *s)
{
	size_t max = MIN(s->lines, (size_t)HTTP_FIELDS_MAX), size = max * sizeof(*h->fields.at);
	uint8_t *mem;

	arena_reset(&h->arena);
	mem = arena_alloc(&h->arena, size + buf_len(&s->head));
	if (!mem)
		return -ENOMEM;
	h->fields = (struct http_fields){ .at = (struct op_header *)(void *)mem,
					  .max = max,
					  .text = mem + size };
	return 0;
}

/* Gives the operation and waits for the verdict. */
static int ask(struct http *h)
{
	if (http_op_finish(h) < 0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	http_event_push(h, (struct http_event){ .type = PROTO_OP, .op_id = h->op.id });
	h->req = REQ_JUDGED;
	return 0;
}

static int head_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	uint64_t base = s->offset;
	struct http_fault f;
	int r;

	if (!http_may_begin(h) || h->ring_n >= h->lim.queue_max || buf_len(&h->refusal))
		return 0;
	/* Another protocol (TLS, say) need not wait for a line's end that may never come. */
	if (!buf_len(&s->head) && in.ptr[0] != '\r' && !http_is_token(slice_head(in, 1))) {
		f = (struct http_fault){ .rule = "malformed method",
					 .spec = "RFC 9112 §3.1",
					 .status = 400,
					 .code = -EBADMSG };
		return http_fail(h, DIR_TO_SERVER, base, &f);
	}
	r = http_collect(h, DIR_TO_SERVER, false, in, ret_used, &f);
	if (r < 0)
		return http_fail(h, DIR_TO_SERVER, base, &f);
	if (r == 0)
		return 1;
	base = s->offset - buf_len(&s->head);
	if (fields_make(h, s) < 0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	if (http_head_parse(buf_peek(&s->head), s->lead, &h->fields, &h->head, &f) < 0 ||
	    http_op_build(h, &f) < 0)
		return http_fail(h, DIR_TO_SERVER, base, &f);
	if (slice_eq(h->head.method, SLICE("CONNECT")) && (h->head.chunked || h->head.has_length)) {
		f = (struct http_fault){ .rule = "CONNECT with a body",
					 .spec = "RFC 9110 §9.3.6",
					 .status = 400,
					 .code = -EBADMSG };
		return http_fail(h, DIR_TO_SERVER, base, &f);
	}
	if (!http_gather_begin(h))
		return ask(h);
	h->req = REQ_GATHER;
	r = http_gather_continue(h);
	return r < 0 ? r : 1;
}

static int gather_step(struct http *h, struct slice in, size_t *ret_used)
{
	int r;

	if (!http_may_begin(h))
		return 0;
	r = http_gather_step(h, in, ret_used);
	return r == 2 ? ask(h) : r;
}

void http_request_resume(struct http *h, const struct exchange *x)
{
	if (x->connect || x->upgrade)
		h->req = REQ_HELD;
	else
		h->req = x->last ? REQ_LAST : REQ_HEAD;
}

/* The request's last byte is through. */
static int request_done(struct http *h)
{
	struct exchange *x = exchange_last(h);

	x->req_done = true;
	http_request_resume(h, x);
	return h->resp == RESP_DONE ? http_exchange_pop(h) : 0;
}

static int body_step(struct http *h, struct slice in, size_t *ret_used)
{
	int r = http_body_step(h, DIR_TO_SERVER, exchange_last(h), in, ret_used);

	if (r == 2) {
		r = request_done(h);
		return r < 0 ? r : 1;
	}
	return r;
}

static int swallow_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_SERVER];

	*ret_used = s->left < in.len ? (size_t)s->left : in.len;
	s->offset += *ret_used;
	s->left -= *ret_used;
	if (!s->left)
		h->req = REQ_HEAD;
	return 1;
}

int http_request_step(struct http *h, struct slice in, size_t *ret_used)
{
	*ret_used = 0;
	if (h->gather.released) /* what was held goes first */
		return 0;
	switch (h->req) {
	case REQ_HEAD: return head_step(h, in, ret_used);
	case REQ_GATHER: return gather_step(h, in, ret_used);
	case REQ_BODY: return body_step(h, in, ret_used);
	case REQ_SWALLOW: return swallow_step(h, in, ret_used);
	case REQ_RELAY: return http_relay_step(h, DIR_TO_SERVER, in, ret_used);
	case REQ_JUDGED:
	case REQ_HELD:
	case REQ_LAST:
	case REQ_FAILED: break;
	}
	return 0;
}

int http_request_eof(struct http *h)
{
	struct side *s = &h->side[DIR_TO_SERVER];

	switch (h->req) {
	case REQ_HEAD:
		if (buf_len(&s->head) > s->lead)
			return cut_short(h);
		if (!h->ring_n)
			h->ending = true;
		break;
	case REQ_GATHER:
	case REQ_BODY: return cut_short(h);
	case REQ_RELAY:
		if (h->side[DIR_TO_CLIENT].eof)
			return http_exchange_pop(h);
		break;
	case REQ_SWALLOW:
		if (!h->ring_n)
			h->ending = true;
		break;
	case REQ_JUDGED:
	case REQ_HELD:
	case REQ_LAST:
	case REQ_FAILED: break;
	}
	return 0;
}

static struct exchange *exchange_for_op(struct http *h)
{
	struct exchange *x = http_exchange_push(h);

	if (!x)
		return NULL;
	x->op_id = h->op.id;
	x->head = slice_eq(h->head.method, SLICE("HEAD"));
	x->last = h->head.conn_close || (h->head.minor == 0 && !h->head.conn_keep);
	return x;
}

static struct buf *waiting_head(struct http *h)
{
	return h->gather.active ? &h->gather.head : &h->side[DIR_TO_SERVER].head;
}

/* What was gathered follows its head, which is in the output. */
static void release(struct http *h, struct exchange *x)
{
	struct gather *g = &h->gather;
	size_t keep = MIN((size_t)g->content_len, h->lim.record_max);

	x->continued = g->continued;
	x->bytes[DIR_TO_SERVER] = g->content_len;
	x->recorded[DIR_TO_SERVER] = keep;
	if (keep)
		http_event_push(h, (struct http_event){ .type = PROTO_DATA,
							.op_id = x->op_id,
							.dir = DIR_TO_SERVER,
							.held = true,
							.len = keep });
	g->released = true;
}

static int allow(struct http *h)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	const struct http_head *q = &h->head;
	struct exchange *x;
	int r;

	if (!h->gather.active)
		http_body_begin(s, q, false, false);
	x = exchange_for_op(h);
	if (!x || buf_put_slice(&s->out, buf_peek(waiting_head(h))) < 0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	x->connect = slice_eq(q->method, SLICE("CONNECT"));
	x->upgrade = !x->connect && q->upgrade.len;
	x->websocket = x->upgrade && q->conn_upgrade && q->minor == 1 &&
		       slice_ieq(q->upgrade, SLICE("websocket"));
	if (h->gather.active)
		release(h, x);
	else
		http_collect_reset(s);
	h->req = REQ_BODY;
	if (s->form == BODY_NONE)
		return request_done(h);
	if (s->eof) { /* the client went while the verdict was made; the next feed tells */
		r = cut_short(h);
		return r == -ENOMEM ? r : 0;
	}
	return 0;
}

static int deny(struct http *h, const struct verdict *v)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	const struct http_head *q = &h->head;
	struct exchange *x = exchange_for_op(h);
	int r;

	if (!x)
		return http_fail_nomem(h, DIR_TO_SERVER);
	/* A body of unknown or large size is not waited for; nor one that may never come because
	 * the client asked first. */
	if (h->gather.active && h->gather.complete)
		s->left = 0;
	else if (!h->gather.active)
		s->left = q->length;
	x->last |=
		q->minor == 0 || (!(h->gather.active && h->gather.complete) &&
				  (q->expect_continue || q->chunked || s->left > HTTP_SWALLOW_MAX));
	x->req_done = x->denied = true;
	x->status = 403;
	r = http_refuse(&h->refusal, 403, "blocked by policy", v->rule ? v->rule : "", v->message,
			x->head, x->last);
	if (r < 0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	h->req = x->last ? REQ_LAST : s->left ? REQ_SWALLOW : REQ_HEAD;
	if (h->gather.active)
		http_gather_reset(h);
	else
		http_collect_reset(s);
	return http_refusal_flush(h);
}

int http_request_decide(struct http *h, const struct verdict *v)
{
	return v->kind == VERDICT_ALLOW ? allow(h) : deny(h, v);
}
