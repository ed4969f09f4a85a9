// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "state.h"

void http_body_begin(struct side *s, const struct http_head *q, bool no_body, bool until_close)
{
	s->chunk = (struct chunk){ 0 };
	s->left = 0;
	if (no_body) {
		s->form = BODY_NONE;
	} else if (q->chunked) {
		s->form = BODY_CHUNKED;
	} else if (q->has_length) {
		s->left = q->length;
		s->form = q->length ? BODY_LENGTH : BODY_NONE;
	} else {
		s->form = until_close ? BODY_CLOSE : BODY_NONE;
	}
}

/* Passes bytes on, of which the last `content` are DATA. 0 or the sticky error. */
static int pass(struct http *h, enum dir d, struct exchange *x, struct slice s, size_t content)
{
	struct side *side = &h->side[d];
	uint64_t at = side->drained + buf_len(&side->out) + s.len - content;
	size_t keep = MIN(content, h->lim.record_max - x->recorded[d]);
	struct http_event *last =
		h->ev_n ? &h->events[(h->ev_first + h->ev_n - 1) % HTTP_EVENTS] : NULL;

	if (buf_put_slice(&side->out, s) < 0)
		return http_fail_nomem(h, d);
	side->offset += s.len;
	x->bytes[d] += content;
	if (!keep)
		return 0;
	x->recorded[d] += keep;
	if (last && last->type == PROTO_DATA && !last->held && last->op_id == x->op_id &&
	    last->dir == d && last->at + last->len == at) {
		last->len += keep;
		return 0;
	}
	http_event_push(
		h,
		(struct http_event){
			.type = PROTO_DATA, .op_id = x->op_id, .dir = d, .at = at, .len = keep });
	return 0;
}

static size_t room(const struct http *h, enum dir d)
{
	size_t len = buf_len(&h->side[d].out);

	return h->ev_n >= HTTP_EVENTS_FULL || len >= h->lim.out_max ? 0 : h->lim.out_max - len;
}

static int chunked_step(struct http *h, enum dir d, struct exchange *x, struct slice in,
			size_t *ret_used)
{
	struct side *s = &h->side[d];
	struct slice content = SLICE_NONE;
	struct http_fault f;
	int r = chunk_next(&s->chunk, in, ret_used, &content, &f), p;

	p = pass(h, d, x, slice_head(in, *ret_used), r == CHUNK_CONTENT ? content.len : 0);
	if (p < 0)
		return p;
	if (r < 0) /* what came before the fault is counted in offset already */
		return http_fail(h, d, s->offset - f.at, &f);
	if (r == CHUNK_LAST)
		s->form = BODY_TRAILER;
	return 1;
}

static int trailer_step(struct http *h, enum dir d, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[d];
	struct http_fault f;
	uint64_t base = s->offset;
	int r = http_collect(h, d, true, in, ret_used, &f);

	if (r < 0)
		return http_fail(h, d, base, &f);
	if (r == 0)
		return 1;
	if (http_trailer_check(buf_peek(&s->head), &f) < 0)
		return http_fail(h, d, s->offset - buf_len(&s->head), &f);
	if (buf_put_slice(&s->out, buf_peek(&s->head)) < 0)
		return http_fail_nomem(h, d);
	http_collect_reset(s);
	return 2;
}

int http_body_step(struct http *h, enum dir d, struct exchange *x, struct slice in,
		   size_t *ret_used)
{
	struct side *s = &h->side[d];
	size_t n = room(h, d);
	int r;

	*ret_used = 0;
	if (!n)
		return 0;
	switch (s->form) {
	case BODY_CHUNKED: return chunked_step(h, d, x, slice_head(in, n), ret_used);
	case BODY_TRAILER: return trailer_step(h, d, in, ret_used);
	case BODY_LENGTH: n = s->left < n ? (size_t)s->left : n; break;
	default: break;
	}
	in = slice_head(in, n);
	r = pass(h, d, x, in, in.len);
	if (r < 0)
		return r;
	*ret_used = in.len;
	if (s->form == BODY_CLOSE)
		return 1;
	s->left -= in.len;
	return s->left ? 1 : 2;
}

int http_relay_step(struct http *h, enum dir d, struct slice in, size_t *ret_used)
{
	struct exchange *x = exchange_first(h);
	struct side *s = &h->side[d];
	struct http_fault f;
	int bad = 0, r;

	in = slice_head(in, room(h, d));
	*ret_used = in.len;
	if (!in.len)
		return 0;
	if (x->websocket)
		bad = ws_walk(&s->ws, d == DIR_TO_SERVER, in, ret_used, &f);
	r = pass(h, d, x, slice_head(in, *ret_used), *ret_used);
	if (r < 0)
		return r;
	return bad < 0 ? http_fail(h, d, s->offset - f.at, &f) : 1;
}
