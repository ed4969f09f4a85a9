/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames, by their heads only: RFC 6455 §5.2. Works on any chunking of the stream. */
#ifndef WEIR_PROTO_HTTP_WS_H
#define WEIR_PROTO_HTTP_WS_H

#include "head.h"

struct ws {
	uint8_t head[14];
	uint8_t n, need; /* bytes of head that are there; of them all, 0 = not known yet */
	bool fragmented; /* a message's first frame came, not its last */
	bool closed;     /* a close frame came: nothing may follow */
	uint64_t left;   /* payload bytes of this frame to come */
	uint64_t frames; /* complete heads so far */
};

/* Walks in, which comes from the client (masked) or the server (not masked). *ret_used bytes are
 * well-formed: all of in, or those before the faulty byte. 0, or -EBADMSG with *reterr. */
int ws_walk(struct ws *w, bool from_client, struct slice in, size_t *ret_used,
	    struct http_fault *reterr) __must_check;

#endif
