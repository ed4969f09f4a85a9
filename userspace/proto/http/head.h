/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message head, seen whole: Weir's own strict reading of its raw bytes, and llhttp's as a second
 * opinion on the framing. Where the two differ, the head is refused: two parsers that disagree are
 * how requests are smuggled.
 */
#ifndef WEIR_PROTO_HTTP_HEAD_H
#define WEIR_PROTO_HTTP_HEAD_H

#include "op.h"

/* What is wrong and what the client is told. Static strings only. */
struct http_fault {
	size_t at;        /* offset of the fault in what was given */
	const char *rule; /* as parse_err */
	const char *spec;
	unsigned status; /* for a request: the native refusal's status */
	int code;        /* negative errno as proto_class.feed */
};

/* Slices point into the bytes that were parsed. */
struct http_head {
	struct slice method, target; /* request */
	unsigned status;             /* response */
	struct slice reason;
	unsigned minor; /* HTTP/1.minor: 0 or 1 */
	unsigned n_headers;
	struct slice lines; /* everything but leading and closing empty lines */
	struct slice host;  /* the Host field's value */
	bool has_host, has_length, chunked;
	uint64_t length;
	bool conn_close, conn_keep, conn_upgrade;
	bool expect_continue;
	bool secrets;                /* a field that http_head_is_secret names is there */
	unsigned n_types, n_codings; /* fields of that name */
	struct slice content_type, content_coding, user_agent, expect, upgrade, authorization,
		method_override, url_override;
};

/* The fields of a request for op.headers. at has room for max; the names go to text, which has room
 * for the head. Fields beyond max are left out. */
struct http_fields {
	struct op_header *at;
	size_t n, max;
	uint8_t *text;
};

/* head: through the closing empty line, each line ending in CRLF (the collector saw to that).
 * lead: bytes of empty lines before the first line. fields: NULL for a response. 0, or the
 * fault's code. */
int http_head_parse(struct slice head, size_t lead, struct http_fields *fields,
		    struct http_head *ret, struct http_fault *reterr) __must_check;

/* A trailer section through its closing empty line: field syntax, and no field that frames, routes
 * or authorises. 0, or the fault's code. */
int http_trailer_check(struct slice trailer, struct http_fault *reterr) __must_check;

/* Fields whose value is a credential and never recorded. name is not empty. */
bool http_head_is_secret(struct slice name);

/* The next field of *lines: true, and *lines is moved behind it. */
bool http_field_next(struct slice *lines, struct slice *ret_name, struct slice *ret_value);

bool http_is_token(struct slice s); /* RFC 9110 §5.6.2, at least one character */

#endif
