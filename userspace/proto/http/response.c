// SPDX-License-Identifier: Apache-2.0
/* Bytes from the server. */
#include <errno.h>

#include "state.h"

static int fail_at(struct http *h, uint64_t at, int code, const char *rule, const char *spec)
{
	struct http_fault f = { .rule = rule, .spec = spec, .status = 502, .code = code };

	return http_fail(h, DIR_TO_CLIENT, at, &f);
}

static int forward_head(struct http *h)
{
	struct side *s = &h->side[DIR_TO_CLIENT];

	if (buf_put_slice(&s->out, buf_peek(&s->head)) < 0)
		return http_fail_nomem(h, DIR_TO_CLIENT);
	http_collect_reset(s);
	return 0;
}

static uint8_t keep_text(char *out, struct slice s)
{
	s = slice_head(s, HTTP_TYPE_MAX);
	if (s.len)
		memcpy(out, s.ptr, s.len);
	return (uint8_t)s.len;
}

static void keep_answer(struct http *h, const struct http_head *q)
{
	h->answer.type_len = keep_text(h->answer.type, q->content_type);
	h->answer.reason_len = keep_text(h->answer.reason, q->reason);
	h->answer.n_headers = q->n_headers;
	exchange_first(h)->status = q->status;
}

/* Both machines become relays; the answer's head is already out. */
static void relay_begin(struct http *h)
{
	struct exchange *x = exchange_first(h);

	x->started = x->last = true;
	h->req = REQ_RELAY;
	h->resp = RESP_RELAY;
	for (int d = 0; d < 2; d++)
		h->side[d].ws = (struct ws){ 0 };
}

/* The response's last byte is through. */
static int response_done(struct http *h)
{
	struct exchange *x = exchange_first(h);

	if (x->req_done || x->last)
		return http_exchange_pop(h);
	h->resp = RESP_DONE;
	return 0;
}

static int interim(struct http *h, struct exchange *x, const struct http_head *q, uint64_t at)
{
	if (++x->interim > HTTP_INTERIM_MAX)
		return fail_at(h, at, -EMSGSIZE, "too many interim responses", "RFC 9110 §15.2");
	http_event_push(h, (struct http_event){ .type = PROTO_NOTE,
						.op_id = x->op_id,
						.status = q->status,
						.text = "interim response" });
	if (q->status == 100 && x->continued) { /* the client has had its own */
		x->continued = false;
		http_collect_reset(&h->side[DIR_TO_CLIENT]);
		return 0;
	}
	return forward_head(h);
}

/* An answer by which the connection stops being HTTP. */
static int switched(struct http *h, struct exchange *x, const struct http_head *q, uint64_t at)
{
	int r;

	if (!x->connect && !x->upgrade)
		return fail_at(h, at, -EPROTO, "101 without an upgrade asked for",
			       "RFC 9110 §15.2.2");
	if (!x->req_done)
		return fail_at(h, at, -EPROTO, "101 before the request is complete",
			       "RFC 9110 §7.8");
	x->websocket = x->websocket && slice_ieq(q->upgrade, SLICE("websocket"));
	if (!x->websocket) {
		http_event_push(h, (struct http_event){
					   .type = PROTO_OPAQUE,
					   .op_id = x->op_id,
					   .text = x->connect ? "tunnel opened by CONNECT"
							      : "upgraded to another protocol" });
		h->resp = RESP_OPAQUE;
		return 0;
	}
	http_event_push(h, (struct http_event){ .type = PROTO_NOTE,
						.op_id = x->op_id,
						.status = 101,
						.text = "upgraded to websocket" });
	r = forward_head(h);
	if (r == 0)
		relay_begin(h);
	return r;
}

static int final(struct http *h, struct exchange *x, const struct http_head *q)
{
	bool no_body = x->head || q->status == 204 || q->status == 304;
	int r;

	http_body_begin(&h->side[DIR_TO_CLIENT], q, no_body, true);
	x->started = true;
	x->last |= q->conn_close || (q->minor == 0 && !q->conn_keep) ||
		   h->side[DIR_TO_CLIENT].form == BODY_CLOSE;
	if (x->connect || x->upgrade) { /* not taken up: it was an ordinary request */
		x->connect = x->upgrade = false;
		if (h->req == REQ_HELD)
			http_request_resume(h, x);
	}
	r = forward_head(h);
	if (r < 0)
		return r;
	h->resp = RESP_BODY;
	return h->side[DIR_TO_CLIENT].form == BODY_NONE ? response_done(h) : 0;
}

static int head_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_CLIENT];
	struct exchange *x = exchange_first(h);
	uint64_t base = s->offset;
	struct http_fault f;
	struct http_head q;
	bool tunnel;
	int r;

	if (!x)
		return fail_at(h, base, -EPROTO, "response without a request", "RFC 9112 §9.2");
	if (x->denied || !http_may_begin(h))
		return 0;
	r = http_collect(h, DIR_TO_CLIENT, false, in, ret_used, &f);
	if (r < 0)
		return http_fail(h, DIR_TO_CLIENT, base, &f);
	if (r == 0)
		return 1;
	base = s->offset - buf_len(&s->head);
	if (http_head_parse(buf_peek(&s->head), s->lead, NULL, &q, &f) < 0)
		return http_fail(h, DIR_TO_CLIENT, base, &f);
	tunnel = q.status == 101 || (x->connect && q.status / 100 == 2);
	if ((q.status < 200 || q.status == 204 || tunnel) && (q.chunked || q.length))
		return fail_at(h, base, -EBADMSG, "a body where none can be", "RFC 9112 §6.3");
	if (q.status < 200 && !tunnel) {
		r = interim(h, x, &q, base);
	} else {
		keep_answer(h, &q);
		r = tunnel ? switched(h, x, &q, base) : final(h, x, &q);
	}
	return r < 0 ? r : 1;
}

int http_response_step(struct http *h, struct slice in, size_t *ret_used)
{
	int r;

	*ret_used = 0;
	switch (h->resp) {
	case RESP_HEAD: return head_step(h, in, ret_used);
	case RESP_BODY:
		r = http_body_step(h, DIR_TO_CLIENT, exchange_first(h), in, ret_used);
		if (r == 2) {
			r = response_done(h);
			return r < 0 ? r : 1;
		}
		return r;
	case RESP_DONE:
		return fail_at(h, h->side[DIR_TO_CLIENT].offset, -EPROTO,
			       "response without a request", "RFC 9112 §9.2");
	case RESP_OPAQUE: return 0;
	case RESP_RELAY: return http_relay_step(h, DIR_TO_CLIENT, in, ret_used);
	}
	return 0;
}

int http_response_eof(struct http *h)
{
	struct side *s = &h->side[DIR_TO_CLIENT];

	switch (h->resp) {
	case RESP_HEAD:
		if (buf_len(&s->head))
			return fail_at(h, s->offset, -EBADMSG, "response cut short", "RFC 9112 §8");
		h->ending = true; /* the server went: so do we, in the same way */
		break;
	case RESP_BODY:
		if (s->form != BODY_CLOSE)
			return fail_at(h, s->offset, -EBADMSG, "response cut short", "RFC 9112 §8");
		return response_done(h);
	case RESP_DONE: h->ending = true; break;
	case RESP_OPAQUE: break;
	case RESP_RELAY:
		if (h->side[DIR_TO_SERVER].eof)
			return http_exchange_pop(h);
		break;
	}
	return 0;
}

int http_response_decide(struct http *h, const struct verdict *v)
{
	struct exchange *x = exchange_first(h);
	int r;

	if (v->kind == VERDICT_ALLOW) {
		r = forward_head(h);
		if (r < 0)
			return r;
		relay_begin(h);
		if (h->side[0].eof && h->side[1].eof)
			return http_exchange_pop(h);
		return 0;
	}
	http_collect_reset(&h->side[DIR_TO_CLIENT]);
	r = http_refuse(&h->side[DIR_TO_CLIENT].out, 403, "blocked by policy",
			v->rule ? v->rule : "", v->message, x->head, true);
	if (r < 0)
		return http_fail_nomem(h, DIR_TO_CLIENT);
	x->status = 403;
	x->started = x->last = true;
	h->answer = (struct answer){ 0 };
	return http_exchange_pop(h);
}
