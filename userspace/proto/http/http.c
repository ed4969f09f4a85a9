// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "state.h"

/* ---- events ---- */

void http_event_push(struct http *h, struct http_event ev)
{
	assert(h->ev_n < HTTP_EVENTS);
	h->events[(h->ev_first + h->ev_n++) % HTTP_EVENTS] = ev;
}

static void result_attr(struct http *h, struct proto_event *ev, struct op_attr a)
{
	h->result_attrs[ev->n_attrs++] = a;
}

static void result_int(struct http *h, struct proto_event *ev, const char *key, uint64_t v)
{
	result_attr(h, ev, (struct op_attr){ .key = key, .type = OP_ATTR_INT, .i = (int64_t)v });
}

static void result_text(struct http *h, struct proto_event *ev, const char *key, const char *s,
			size_t len)
{
	if (len)
		result_attr(h, ev,
			    (struct op_attr){
				    .key = key, .type = OP_ATTR_TEXT, .s = slice_of(s, len) });
}

/* RESULT for h->result. */
static void result_fill(struct http *h, struct proto_event *ev)
{
	const struct exchange *x = &h->result;
	const struct answer *a = &h->result_answer;

	*ev = (struct proto_event){ .type = PROTO_RESULT,
				    .op_id = x->op_id,
				    .attrs = h->result_attrs,
				    .failed = !x->complete || x->status >= 400 };
	if (x->status)
		result_int(h, ev, "status", x->status);
	if (x->status && !x->denied) {
		result_text(h, ev, "reason", a->reason, a->reason_len);
		result_text(h, ev, "content_type", a->type, a->type_len);
		result_int(h, ev, "headers", a->n_headers);
	}
	result_int(h, ev, "request_bytes", x->bytes[DIR_TO_SERVER]);
	result_int(h, ev, "bytes", x->bytes[DIR_TO_CLIENT]);
	if (x->websocket && x->status == 101) {
		result_int(h, ev, "frames_to_server", h->side[DIR_TO_SERVER].ws.frames);
		result_int(h, ev, "frames_to_client", h->side[DIR_TO_CLIENT].ws.frames);
	}
	if (!x->complete)
		result_attr(
			h, ev,
			(struct op_attr){ .key = "interrupted", .type = OP_ATTR_BOOL, .b = true });
}

static void ring_drop(struct http *h)
{
	h->ring_first = (h->ring_first + 1) & (h->ring_cap - 1);
	h->ring_n--;
}

/* What remains to be told when the session ends: exchanges without a (whole) answer, then END. */
static int next_of_end(struct http *h, struct proto_event *ret)
{
	while (h->ring_n) {
		h->result = *exchange_first(h);
		h->result_answer = h->answer;
		ring_drop(h);
		if (!h->result.op_id)
			continue; /* a request that never was an operation */
		result_fill(h, ret);
		return 1;
	}
	if (h->ended)
		return 0;
	h->ended = true;
	*ret = (struct proto_event){ .type = PROTO_END };
	return 1;
}

static int http_next(struct proto *p, struct proto_event *ret)
{
	struct http *h = http_of(p);
	struct http_event *ev;
	struct side *s;

	if (!h->ev_n)
		return h->ending ? next_of_end(h, ret) : 0;
	ev = &h->events[h->ev_first];
	h->ev_first = (h->ev_first + 1) % HTTP_EVENTS;
	h->ev_n--;
	s = &h->side[ev->dir];
	*ret = (struct proto_event){
		.type = ev->type, .op_id = ev->op_id, .dir = ev->dir, .text = ev->text
	};
	switch (ev->type) {
	case PROTO_OP: ret->op = &h->op; break;
	case PROTO_DATA:
		if (ev->held) {
			ret->data = slice_head(http_gather_content(h), ev->len);
			break;
		}
		ret->data = slice_head(slice_from(buf_peek(&s->out), (size_t)(ev->at - s->drained)),
				       ev->len);
		break;
	case PROTO_RESULT:
		result_fill(h, ret);
		h->result_queued = false;
		if (http_refusal_flush(h) < 0)
			assert(h->error); /* it sticks; the next feed tells */
		break;
	case PROTO_NOTE:
		ret->attrs = h->result_attrs;
		result_int(h, ret, "status", ev->status);
		break;
	case PROTO_OPAQUE: h->opaque_asked = true; break;
	case PROTO_END: break;
	}
	return 1;
}

/* ---- exchanges ---- */

static int fail_now(struct http *h, int code)
{
	h->error = code;
	h->ending = true;
	return code;
}

struct exchange *http_exchange_push(struct http *h)
{
	struct exchange *x;

	if (h->ring_n == h->ring_cap) {
		unsigned cap = h->ring_cap ? h->ring_cap * 2 : 2;
		struct exchange *ring = calloc(cap, sizeof(*ring));

		if (!ring)
			return NULL;
		for (unsigned i = 0; i < h->ring_n; i++)
			ring[i] = *exchange_at(h, i);
		free(h->ring);
		h->ring = ring;
		h->ring_cap = cap;
		h->ring_first = 0;
	}
	h->ring_n++;
	x = exchange_last(h);
	*x = (struct exchange){ 0 };
	return x;
}

int http_exchange_pop(struct http *h)
{
	struct exchange *x = exchange_first(h);

	x->complete = true;
	h->result = *x;
	h->result_answer = h->answer;
	ring_drop(h);
	h->resp = RESP_HEAD;
	if (h->result.op_id) {
		http_event_push(
			h, (struct http_event){ .type = PROTO_RESULT, .op_id = h->result.op_id });
		h->result_queued = true;
	}
	if (h->result.last) {
		h->ending = true;
		/* Nobody waits for the answer to a malformed request behind the last one, but the
		 * record must have it. */
		h->error = h->deferred;
		return h->error;
	}
	if (!h->ring_n && h->side[DIR_TO_SERVER].eof && h->req != REQ_JUDGED)
		h->ending = true;
	if (http_gather_continue(h) < 0)
		return h->error;
	return http_refusal_flush(h);
}

int http_refusal_flush(struct http *h)
{
	struct exchange *x = exchange_first(h);

	if (!x || !x->denied || (h->result_queued && !h->deferred) || h->ending ||
	    !buf_len(&h->refusal))
		return 0;
	if (buf_put_slice(&h->side[DIR_TO_CLIENT].out, buf_peek(&h->refusal)) < 0)
		return http_fail_nomem(h, DIR_TO_CLIENT);
	buf_clear(&h->refusal);
	x->started = true;
	/* The exchange stays in the ring: the end tells what became of it. */
	return h->deferred ? fail_now(h, h->deferred) : http_exchange_pop(h);
}

/* ---- failures ---- */

int http_fail_nomem(struct http *h, enum dir d)
{
	h->err = (struct parse_err){
		.dir = d, .offset = h->side[d].offset, .rule = "out of memory", .spec = "proto.h"
	};
	return fail_now(h, -ENOMEM);
}

static int fail_request(struct http *h, const struct http_fault *f)
{
	struct exchange *x;

	if (h->req == REQ_RELAY)
		return fail_now(h, f->code);
	if (h->req == REQ_BODY) {
		/* Part of it went out already; the server's connection ends with ours. */
		x = exchange_last(h);
		if (x->started)
			return fail_now(h, f->code);
	} else {
		x = http_exchange_push(h);
		if (!x)
			return http_fail_nomem(h, DIR_TO_SERVER);
	}
	x->denied = x->req_done = x->last = true;
	x->status = f->status;
	if (http_refuse(&h->refusal, f->status, "malformed request", NULL, f->rule, x->head, true) <
	    0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	h->req = REQ_FAILED;
	h->deferred = f->code;
	return http_refusal_flush(h);
}

static int fail_response(struct http *h, const struct http_fault *f)
{
	struct exchange *x = exchange_first(h);

	if (x && !x->started &&
	    http_refuse(&h->side[DIR_TO_CLIENT].out, 502, "malformed response", NULL, f->rule,
			x->head, true) < 0)
		return http_fail_nomem(h, DIR_TO_CLIENT);
	if (x && !x->started)
		x->status = 502;
	return fail_now(h, f->code);
}

int http_fail(struct http *h, enum dir d, uint64_t base, const struct http_fault *f)
{
	if (f->code == -ENOMEM)
		return http_fail_nomem(h, d);
	h->err = (struct parse_err){
		.dir = d, .offset = base + f->at, .rule = f->rule, .spec = f->spec
	};
	return d == DIR_TO_SERVER ? fail_request(h, f) : fail_response(h, f);
}

/* ---- the class ---- */

static int http_create(const struct proto_limits *lim, struct proto_shared *shared,
		       struct proto **ret)
{
	struct http *h = calloc(1, sizeof(*h));
	size_t out_max;

	if (!h)
		return -ENOMEM;
	h->base.class = &proto_http;
	h->lim = *lim;
	/* Beyond out_max: one head, trailers of its size, and the refusals that end a session. */
	out_max = lim->out_max + 2 * lim->head_max + 3 * HTTP_REFUSAL_MAX;
	for (int d = 0; d < 2; d++) {
		buf_init(&h->side[d].head, lim->head_max);
		buf_init(&h->side[d].out, out_max);
	}
	buf_init(&h->refusal, 2 * HTTP_REFUSAL_MAX);
	buf_init(&h->gather.head, lim->head_max);
	/* Twice for framing, a trailer section, and what one step may go over. */
	buf_init(&h->gather.wire, 2 * lim->body_max + lim->head_max + 8192);
	buf_init(&h->gather.content, lim->body_max + 1);
	buf_init(&h->gather.plain, lim->body_max);
	arena_init(&h->arena, 12 * lim->head_max + 64 * 1024);
	arena_init(&h->body_arena, 4 * lim->body_max + 256 * 1024);
	*ret = &h->base;
	return 0;
}

static int http_tell_peer(struct proto *p, const struct proto_peer *peer)
{
	struct http *h = http_of(p);
	size_t size = 1, at = 0;
	char *names;

	for (size_t i = 0; i < peer->n_names; i++)
		size += peer->names[i].len + 1;
	names = calloc(1, size);
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < peer->n_names; i++) {
		if (!peer->names[i].len) /* it would end the list */
			continue;
		memcpy(names + at, peer->names[i].ptr, peer->names[i].len);
		at += peer->names[i].len + 1;
	}
	free(h->peer_names);
	h->peer_names = names;
	h->peer = peer->addr;
	h->peer_told = true;
	return 0;
}

static int http_feed(struct proto *p, enum dir d, struct slice in, size_t *ret_used,
		     struct parse_err *reterr)
{
	struct http *h = http_of(p);
	int r = h->error;

	*ret_used = 0;
	if (!r && h->ending) {
		*ret_used = in.len; /* behind the end nothing is looked at */
		return 0;
	}
	if (!r)
		r = http_refusal_flush(h);
	while (r == 0 && *ret_used < in.len && !h->ending) {
		struct slice rest = slice_from(in, *ret_used);
		size_t n = 0;

		r = d == DIR_TO_SERVER ? http_request_step(h, rest, &n)
				       : http_response_step(h, rest, &n);
		*ret_used += n;
		if (r == 0)
			break;
		r = MIN(r, 0);
	}
	if (r < 0)
		*reterr = h->err;
	return r;
}

static int http_eof(struct proto *p, enum dir d, struct parse_err *reterr)
{
	struct http *h = http_of(p);
	int r = h->error;

	if (!r && !h->ending) {
		h->side[d].eof = true;
		r = d == DIR_TO_SERVER ? http_request_eof(h) : http_response_eof(h);
	}
	if (r < 0)
		*reterr = h->err;
	return r;
}

static int http_decide(struct proto *p, uint64_t op_id, const struct verdict *v)
{
	struct http *h = http_of(p);
	struct exchange *x = exchange_first(h);

	if (h->req == REQ_JUDGED && op_id == h->op.id)
		/* A verdict that comes after the end changes nothing. */
		return h->ending ? 0 : http_request_decide(h, v);
	if (h->opaque_asked && h->resp == RESP_OPAQUE && x && op_id == x->op_id) {
		h->opaque_asked = false;
		return h->ending ? 0 : http_response_decide(h, v);
	}
	return -EPROTO;
}

/* Is the client waiting for a response of which it has seen nothing? */
static bool may_speak(struct http *h)
{
	const struct exchange *x = exchange_first(h);

	if (h->ending)
		return false;
	if (x)
		return !x->started;
	return h->req == REQ_JUDGED || h->req == REQ_GATHER ||
	       buf_len(&h->side[DIR_TO_SERVER].head) || !h->last_id;
}

static void http_abort(struct proto *p, unsigned status, const char *message)
{
	struct http *h = http_of(p);
	struct side *s = &h->side[DIR_TO_SERVER];
	struct exchange *x = exchange_first(h);
	bool head = x ? x->head : h->req == REQ_JUDGED && slice_eq(h->head.method, SLICE("HEAD"));
	const char *error = status == 403   ? "blocked by policy"
			    : status == 502 ? "upstream unreachable"
			    : status == 504 ? "upstream timed out"
					    : "service unavailable";

	s->drained += buf_len(&s->out);
	buf_clear(&s->out);
	h->gather.released = false;
	for (unsigned i = 0; i < h->ev_n; i++) {
		struct http_event *ev = &h->events[(h->ev_first + i) % HTTP_EVENTS];

		if (ev->type == PROTO_DATA && ev->dir == DIR_TO_SERVER)
			ev->len = 0;
	}
	/* Without memory for last words the end alone must do. */
	if (may_speak(h) &&
	    http_refuse(&h->side[DIR_TO_CLIENT].out, status, error, NULL, message, head, true) ==
		    0 &&
	    x)
		x->status = status;
	h->ending = true;
}

static struct slice http_peek_out(const struct proto *p, enum dir d)
{
	const struct http *h = http_of(p);
	struct slice out = buf_peek(&h->side[d].out);

	if (d == DIR_TO_SERVER && h->gather.released && !out.len)
		return slice_head(buf_peek(&h->gather.wire), h->lim.out_max);
	return out;
}

static void http_consume_out(struct proto *p, enum dir d, size_t n)
{
	struct http *h = http_of(p);

	/* DATA events point into the output: they are pulled first. */
	for (unsigned i = 0; i < h->ev_n; i++) {
		const struct http_event *ev = &h->events[(h->ev_first + i) % HTTP_EVENTS];

		assert(ev->type != PROTO_DATA || ev->dir != d || ev->len == 0);
	}
	if (d == DIR_TO_SERVER && h->gather.released && !buf_len(&h->side[d].out)) {
		buf_consume(&h->gather.wire, n);
		if (!buf_len(&h->gather.wire)) {
			h->gather.released = false;
			http_gather_reset(h);
		}
		return;
	}
	buf_consume(&h->side[d].out, n);
	h->side[d].drained += n;
}

static struct proto *http_free(struct proto *p)
{
	struct http *h;

	if (!p)
		return NULL;
	h = http_of(p);
	for (int d = 0; d < 2; d++) {
		buf_done_wiped(&h->side[d].head); /* may hold credentials */
		buf_done(&h->side[d].out);
	}
	buf_done(&h->refusal);
	buf_done_wiped(&h->gather.head);
	buf_done(&h->gather.wire);
	buf_done(&h->gather.content);
	buf_done(&h->gather.plain);
	arena_done(&h->arena);
	arena_done(&h->body_arena);
	free(h->peer_names);
	free(h->ring);
	free(h);
	return NULL;
}

static enum proto_sniff http_sniff(struct slice head)
{
	static const char *const known[] = { "GET",    "HEAD",    "POST",      "PUT",   "DELETE",
					     "PATCH",  "OPTIONS", "CONNECT",   "TRACE", "PROPFIND",
					     "MKCOL",  "COPY",    "MOVE",      "LOCK",  "UNLOCK",
					     "REPORT", "SEARCH",  "PROPPATCH", "PURGE" };
	ptrdiff_t space = slice_chr(slice_head(head, 25), ' ');
	struct slice method = slice_head(head, space < 0 ? head.len : (size_t)space);

	if (!http_is_token(method))
		return SNIFF_NO;
	if (space < 0)
		return head.len > 24 ? SNIFF_NO : SNIFF_MORE;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (slice_eq_str(method, known[i]))
			return SNIFF_YES;
	/* An unknown method: other protocols' first word is followed by other things. */
	if ((size_t)space + 1 == head.len)
		return SNIFF_MORE;
	return head.ptr[space + 1] == '/' ? SNIFF_YES : SNIFF_NO;
}

const struct proto_class proto_http = {
	.name = "http",
	.sniff = http_sniff,
	.create = http_create,
	.tell_peer = http_tell_peer,
	.feed = http_feed,
	.eof = http_eof,
	.next = http_next,
	.decide = http_decide,
	.abort = http_abort,
	.peek_out = http_peek_out,
	.consume_out = http_consume_out,
	.free = http_free,
};
