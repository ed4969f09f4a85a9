// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "state.h"

void http_collect_reset(struct side *s)
{
	buf_consume(&s->head, buf_len(&s->head)); /* gives large memory back, unlike buf_clear */
	s->lead = s->line = 0;
	s->lines = 0;
}

static int fault(struct http_fault *f, size_t at, int code, unsigned status, const char *rule,
		 const char *spec)
{
	*f = (struct http_fault){
		.at = at, .code = code, .status = status, .rule = rule, .spec = spec
	};
	return code;
}

static int keep(struct side *s, struct slice in, size_t n, size_t *ret_used,
		struct http_fault *reterr)
{
	int r = buf_put(&s->head, in.ptr, n);

	if (r < 0)
		return fault(reterr, 0, r, 503, "out of memory", "proto.h");
	*ret_used = n;
	s->offset += n;
	return 0;
}

int http_collect(struct http *h, enum dir d, bool trailer, struct slice in, size_t *ret_used,
		 struct http_fault *reterr)
{
	struct side *s = &h->side[d];
	size_t base = buf_len(&s->head), room = h->lim.head_max - base;
	struct slice seen = slice_head(in, room);
	size_t at = 0;
	int r;

	*ret_used = 0;
	for (;;) {
		ptrdiff_t nl = slice_chr(slice_from(seen, at), '\n');
		size_t end, len;
		uint8_t prev;

		if (nl < 0)
			break;
		end = at + (size_t)nl;
		prev = end ? seen.ptr[end - 1] : base ? buf_peek(&s->head).ptr[base - 1] : 0;
		if (prev != '\r') {
			*ret_used = end;
			s->offset += end;
			return fault(reterr, end, -EBADMSG, 400, "LF without CR", "RFC 9112 §2.2");
		}
		at = end + 1;
		s->lines++;
		len = base + at - s->line;
		if (len > 2) {
			s->line = base + at;
			continue;
		}
		/* An empty line: one before a request line is let through, RFC 9112 §2.2. */
		if (!trailer && s->line == 0 && d == DIR_TO_SERVER) {
			s->lead = s->line = base + at;
			continue;
		}
		if (!trailer && s->line == s->lead) {
			*ret_used = end;
			s->offset += end;
			return fault(reterr, end, -EBADMSG, 400, "empty line in place of a head",
				     "RFC 9112 §2.2");
		}
		r = keep(s, in, at, ret_used, reterr);
		return r < 0 ? r : 1;
	}
	if (in.len > room) {
		*ret_used = room;
		s->offset += room;
		return fault(reterr, room, -EMSGSIZE, s->line == s->lead && !trailer ? 414 : 431,
			     trailer ? "trailers over the limit" : "head over the limit",
			     "RFC 9110 §15.5.15");
	}
	return keep(s, in, in.len, ret_used, reterr);
}
