/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked coding, strictly: RFC 9112 §7.1. Works on any chunking of the stream. */
#ifndef WEIR_PROTO_HTTP_CHUNK_H
#define WEIR_PROTO_HTTP_CHUNK_H

#include "head.h"

enum {
	CHUNK_LINE_MAX = 256,      /* bytes of one chunk-size line: padding without end */
	CHUNK_EXT_MAX = 16 * 1024, /* bytes of extensions in a message: overhead that no content
				      limit sees (CVE-2023-39326) */
};

struct chunk {
	uint8_t state; /* all zero: at the first chunk's size */
	uint8_t digits;
	uint16_t line; /* bytes of the current size line */
	uint32_t ext;  /* bytes of extensions so far */
	uint64_t left; /* content bytes of this chunk to come */
};

enum chunk_step {
	CHUNK_MORE,    /* all of in was used */
	CHUNK_CONTENT, /* *ret_content is content, at the end of what was used */
	CHUNK_LAST,    /* the last chunk's size line was used: trailers follow */
};

/* Goes on over in, up to and through one piece of content. *ret_used bytes are well-formed; with a
 * fault (negative) they are those before the faulty byte, and reterr->at is their number. */
int chunk_next(struct chunk *c, struct slice in, size_t *ret_used, struct slice *ret_content,
	       struct http_fault *reterr) __must_check;

#endif
