/* SPDX-License-Identifier: Apache-2.0 */
/* Content codings of request bodies: RFC 9110 §8.4.1. */
#ifndef WEIR_PROTO_HTTP_INFLATE_H
#define WEIR_PROTO_HTTP_INFLATE_H

#include "base/buf.h"

enum http_coding { CODING_NONE, CODING_GZIP, CODING_DEFLATE, CODING_OTHER };

/* Of a Content-Encoding field's value; several codings are OTHER. */
enum http_coding http_coding_of(struct slice value);

/*
 * Appends the decoded content to out, whose maximum bounds what a small body can grow to. 0;
 * -EMSGSIZE over that maximum; -EBADMSG malformed, cut short, or with bytes behind its end (which
 * readers treat in different ways: several gzip members too); -ENOMEM.
 */
int http_inflate(enum http_coding coding, struct slice in, struct buf *out) __must_check;

#endif
