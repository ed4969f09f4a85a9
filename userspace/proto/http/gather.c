// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies that are judged with their heads. They are framed here as in body.c, but kept: as sent, to
 * be forwarded byte for byte once allowed, and as content, to be looked at. What is larger than
 * limits.body_max is judged without, and follows behind the verdict as any other body does.
 */
#include <errno.h>

#include "inflate.h"
#include "state.h"

/* Framing costs up to 20 bytes a chunk: padding without end. */
static size_t wire_max(const struct http *h)
{
	return 2 * h->lim.body_max + 4096;
}

static bool type_is(struct slice type, const char *want)
{
	return slice_ieq(type, slice_str(want));
}

static enum http_body_kind kind_of(const struct http_head *q)
{
	ptrdiff_t semi = slice_chr(q->content_type, ';');
	struct slice type = q->content_type;

	if (q->n_types > 1)
		return BODY_JSON; /* facts.c calls it ambiguous */
	if (semi >= 0)
		type.len = (size_t)semi;
	type = slice_trim(type);
	if (!type.len || type_is(type, "text/plain"))
		return BODY_MAYBE;
	if (type_is(type, "application/json") || type_is(type, "text/json") ||
	    type_is(type, "application/x-json") || type_is(type, "application/x-amz-json-1.0") ||
	    type_is(type, "application/x-amz-json-1.1") ||
	    (type.len > 5 && type_is(slice_from(type, type.len - 5), "+json")))
		return BODY_JSON;
	if (type_is(type, "application/x-www-form-urlencoded"))
		return BODY_FORM;
	return type_is(type, "application/graphql") ? BODY_GRAPHQL : BODY_OTHER;
}

bool http_gather_begin(struct http *h)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	struct gather *g = &h->gather;
	const struct http_head *q = &h->head;
	struct buf empty;

	if (!h->lim.body_max || !(q->chunked || q->length))
		return false;
	g->kind = kind_of(q);
	if (g->kind == BODY_OTHER)
		return false;
	if (q->length > h->lim.body_max && (g->kind != BODY_MAYBE || q->n_codings)) {
		h->op.body_cut = true;
		return false;
	}
	http_body_begin(s, q, false, false);
	/* The facts point into the head: it moves with its memory. */
	empty = g->head;
	g->head = s->head;
	s->head = empty;
	s->lead = s->line = s->lines = 0;
	g->active = true;
	g->complete = g->continued = false;
	g->content_len = 0;
	g->blank = 0;
	g->continue_due = q->expect_continue && q->minor == 1;
	return true;
}

int http_gather_continue(struct http *h)
{
	struct gather *g = &h->gather;

	if (h->req != REQ_GATHER || !g->continue_due || h->ring_n || h->ending)
		return 0;
	g->continue_due = false;
	g->continued = true;
	if (buf_put_str(&h->side[DIR_TO_CLIENT].out, "HTTP/1.1 100 Continue\r\n\r\n") < 0)
		return http_fail_nomem(h, DIR_TO_CLIENT);
	return 0;
}

struct slice http_gather_content(const struct http *h)
{
	const struct gather *g = &h->gather;

	return h->head.chunked ? buf_peek(&g->content) : buf_peek(&g->wire);
}

void http_gather_reset(struct http *h)
{
	struct gather *g = &h->gather;

	if (g->released)
		return;
	buf_consume(&g->head, buf_len(&g->head)); /* gives large memory back, unlike buf_clear */
	buf_consume(&g->wire, buf_len(&g->wire));
	buf_consume(&g->content, buf_len(&g->content));
	buf_consume(&g->plain, buf_len(&g->plain));
	arena_done(&h->body_arena);
	g->active = false;
}

/* Is it what BODY_MAYBE may be? 1: go on; 2: it is not, so it need not be gathered. */
static int look(struct http *h)
{
	struct slice s = http_gather_content(h);

	if (h->gather.kind != BODY_MAYBE || h->head.n_codings)
		return 1;
	for (; h->gather.blank < s.len; h->gather.blank++) {
		size_t i = h->gather.blank;

		if (s.ptr[i] == ' ' || s.ptr[i] == '\t' || s.ptr[i] == '\n' || s.ptr[i] == '\r')
			continue;
		/* A byte order mark hides what comes behind it from us, not from others. */
		h->gather.kind = s.ptr[i] == '{' || s.ptr[i] == '[' || s.ptr[i] == 0xef
					 ? BODY_JSON
					 : BODY_OTHER;
		break;
	}
	if (h->gather.kind == BODY_OTHER)
		return 2;
	if (h->gather.kind == BODY_JSON && h->head.length > h->lim.body_max) {
		h->op.body_cut = true;
		return 2;
	}
	return 1;
}

static int keep(struct http *h, struct slice s, struct slice content)
{
	struct gather *g = &h->gather;

	if (buf_put_slice(&g->wire, s) < 0 ||
	    (h->head.chunked && buf_put_slice(&g->content, content) < 0))
		return http_fail_nomem(h, DIR_TO_SERVER);
	h->side[DIR_TO_SERVER].offset += s.len;
	g->content_len += content.len;
	return 1;
}

static int cut(struct http *h)
{
	h->op.body_cut = true;
	return 2;
}

static int length_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	size_t n = MIN(in.len, h->lim.body_max - (size_t)h->gather.content_len);
	int r;

	n = s->left < n ? (size_t)s->left : n;
	if (!n) /* blanks up to the limit */
		return cut(h);
	*ret_used = n;
	r = keep(h, slice_head(in, n), slice_head(in, n));
	if (r < 0)
		return r;
	s->left -= n;
	if (s->left)
		return look(h);
	s->form = BODY_NONE;
	h->gather.complete = true;
	(void)look(h); /* it is over, whatever it was */
	return 2;
}

static int chunked_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	struct gather *g = &h->gather;
	struct slice content = SLICE_NONE;
	size_t most = h->lim.body_max - (size_t)g->content_len;
	struct http_fault f;
	int r, k;

	/* One byte beyond the limit shows that there is more, in any chunking. */
	if (g->content_len > h->lim.body_max || buf_len(&g->wire) >= wire_max(h))
		return cut(h);
	most = MAX(most, (size_t)1);
	most = MIN(most, wire_max(h) - buf_len(&g->wire));
	r = chunk_next(&s->chunk, slice_head(in, most), ret_used, &content, &f);
	k = keep(h, slice_head(in, *ret_used), r == CHUNK_CONTENT ? content : SLICE_NONE);
	if (k < 0)
		return k;
	if (r < 0)
		return http_fail(h, DIR_TO_SERVER, s->offset - f.at, &f);
	if (r == CHUNK_LAST)
		s->form = BODY_TRAILER;
	return look(h);
}

static int trailer_step(struct http *h, struct slice in, size_t *ret_used)
{
	struct side *s = &h->side[DIR_TO_SERVER];
	struct http_fault f;
	uint64_t base = s->offset;
	int r = http_collect(h, DIR_TO_SERVER, true, in, ret_used, &f);

	if (r < 0)
		return http_fail(h, DIR_TO_SERVER, base, &f);
	if (r == 0)
		return 1;
	if (http_trailer_check(buf_peek(&s->head), &f) < 0)
		return http_fail(h, DIR_TO_SERVER, s->offset - buf_len(&s->head), &f);
	if (buf_put_slice(&h->gather.wire, buf_peek(&s->head)) < 0)
		return http_fail_nomem(h, DIR_TO_SERVER);
	http_collect_reset(s);
	s->form = BODY_NONE;
	h->gather.complete = true;
	return 2;
}

int http_gather_step(struct http *h, struct slice in, size_t *ret_used)
{
	*ret_used = 0;
	switch (h->side[DIR_TO_SERVER].form) {
	case BODY_CHUNKED: return chunked_step(h, in, ret_used);
	case BODY_TRAILER: return trailer_step(h, in, ret_used);
	default: return length_step(h, in, ret_used);
	}
}
