/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as every reader of it must take it: RFC 8259 in UTF-8, checked without building a tree. What
 * readers take in different ways is told apart from what is plain.
 */
#ifndef WEIR_PROTO_HTTP_JSON_H
#define WEIR_PROTO_HTTP_JSON_H

#include "base/arena.h"

enum {
	JSON_DEPTH_MAX = 64,       /* nesting: stacks of the readers behind us */
	JSON_KEYS_MAX = 64 * 1024, /* keys that are compared for duplicates: memory */
};

/*
 * 0: one value, read by all in the same way. -EBADMSG: no JSON, or JSON that readers differ about: a
 * byte order mark, no UTF-8, a key twice in one object, an unpaired surrogate or NUL among the
 * escapes, too deep, too many keys. -ENOMEM.
 */
int json_check(struct slice text) __must_check;

/*
 * Walks a text that json_check has let through: over the members of an object or the elements of an
 * array. json_open: false when text is neither. json_next: false behind the last; *ret_key is the
 * key as it stands between its quotes (SLICE_NONE in an array), *ret_value the value's text.
 */
struct json_walk {
	struct slice rest;
	bool object;
};
bool json_open(struct slice text, struct json_walk *ret);
bool json_next(struct json_walk *w, struct slice *ret_key, struct slice *ret_value);
/* The member of an object whose decoded key is name; SLICE_NONE when text is no object or has none. */
struct slice json_member(struct slice text, const char *name);
/* The decoded text of a string value, in a when it has escapes. 1; 0 when value is no string;
 * -ENOMEM. */
int http_json_string(struct slice value, struct arena *a, struct slice *ret) __must_check;

#endif
