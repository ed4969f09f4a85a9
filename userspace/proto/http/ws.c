// SPDX-License-Identifier: Apache-2.0
#include "ws.h"

#include <errno.h>

enum { OP_CONTINUATION = 0, OP_FIRST_CONTROL = 8, OP_CLOSE = 8, OP_LAST = 10 };

/* The first two bytes are there. */
static const char *check_start(struct ws *w, bool from_client)
{
	uint8_t opcode = w->head[0] & 0x0f, len = w->head[1] & 0x7f;
	bool fin = w->head[0] & 0x80;

	if ((opcode > 2 && opcode < OP_FIRST_CONTROL) || opcode > OP_LAST)
		return "reserved WebSocket opcode";
	if (!!(w->head[1] & 0x80) != from_client)
		return "WebSocket mask on the wrong side";
	if (w->closed)
		return "WebSocket frame behind a close frame";
	if (opcode >= OP_FIRST_CONTROL) {
		if (!fin || len > 125)
			return "WebSocket control frame too long or in fragments";
		w->closed = opcode == OP_CLOSE;
	} else {
		if ((opcode == OP_CONTINUATION) != w->fragmented)
			return "WebSocket fragments out of order";
		w->fragmented = !fin;
	}
	w->need = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (from_client ? 4 : 0));
	return NULL;
}

static const char *check_length(struct ws *w)
{
	uint8_t len = w->head[1] & 0x7f;
	unsigned n = len == 126 ? 2 : len == 127 ? 8 : 0;
	uint64_t v = n ? 0 : len;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | w->head[2 + i];
	if ((n == 2 && v < 126) || (n == 8 && (v < 65536 || v > INT64_MAX)))
		return "WebSocket length not minimal or out of range";
	w->left = v;
	w->frames++;
	w->n = w->need = 0;
	return NULL;
}

int ws_walk(struct ws *w, bool from_client, struct slice in, size_t *ret_used,
	    struct http_fault *reterr)
{
	size_t i = 0;

	while (i < in.len) {
		const char *wrong = NULL;

		if (w->left) {
			size_t n = w->left < in.len - i ? (size_t)w->left : in.len - i;

			w->left -= n;
			i += n;
			continue;
		}
		w->head[w->n++] = in.ptr[i];
		if (w->n == 2)
			wrong = check_start(w, from_client);
		if (!wrong && w->n >= 2 && w->n == w->need)
			wrong = check_length(w);
		if (wrong) {
			*reterr = (struct http_fault){ .at = i,
						       .rule = wrong,
						       .status = 400,
						       .spec = "RFC 6455 §5.2",
						       .code = -EBADMSG };
			*ret_used = i;
			return -EBADMSG;
		}
		i++;
	}
	*ret_used = i;
	return 0;
}
