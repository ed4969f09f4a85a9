/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: what policies see of them. */
#ifndef WEIR_PROTO_HTTP_PATH_H
#define WEIR_PROTO_HTTP_PATH_H

#include "base/arena.h"

struct http_path {
	struct slice raw, query; /* as sent; the query without '?' */
	struct slice norm;       /* begins with '/' */
	bool ambiguous;          /* servers may read this path in different ways */
};

/*
 * Splits the query off an origin-form target and normalises the path: unreserved characters that
 * were percent-encoded are decoded, other escapes get upper-case digits, duplicate slashes are one,
 * dot segments are resolved. What servers read in different ways is read in the way that reaches
 * furthest (an encoded or back slash is a slash, an encoded or overlong dot is a dot) and makes the
 * path ambiguous. norm is raw itself when nothing changes, else lies in a. 0 or -ENOMEM.
 */
int http_path_parse(struct slice target, struct arena *a, struct http_path *ret) __must_check;

/* "METHOD host/path" with every segment that looks like an identifier (digits, a UUID, long hex)
 * replaced by '*', in a. 0 or -ENOMEM. */
int http_path_shape(struct slice method, struct slice host, struct slice path, struct arena *a,
		    struct slice *ret) __must_check;

/* host[:port], by the few characters that name a machine: RFC 3986 §3.2.2 without escapes and
 * sub-delimiters, IPv6 in brackets. *ret_port 0 = none. 0 or -EBADMSG. */
int http_authority_parse(struct slice s, struct slice *ret_host, unsigned *ret_port) __must_check;

#endif
