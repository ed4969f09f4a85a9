/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings of text that requests carry: percent escapes, forms and queries, UTF-8. */
#ifndef WEIR_PROTO_HTTP_TEXT_H
#define WEIR_PROTO_HTTP_TEXT_H

#include "base/arena.h"
#include "op.h"

enum { HTTP_PAIRS_MAX = 256 }; /* pairs of a query: memory for a head full of '&' */

int http_hex_value(uint8_t c); /* 0 to 15, or -1 */

/*
 * "a=b&c=d" as decoded pairs, by application/x-www-form-urlencoded: '+' is a space; a pair without
 * '=' has an empty value, empty pairs are left out. Slices lie in s or in a. *ret_ambiguous is set
 * (never cleared) where servers differ: an escape without two hex digits, what is no UTF-8 once
 * decoded, control characters, ';' (a separator to some), more than HTTP_PAIRS_MAX pairs (the rest
 * is left out). 0 or -ENOMEM.
 */
int http_pairs_parse(struct slice s, struct arena *a, struct op_query **ret, size_t *ret_n,
		     bool *ret_ambiguous) __must_check;

/* The value of a pair, or SLICE_NONE. *ret_twice is set when the key is there more than once. */
struct slice http_pairs_get(const struct op_query *pairs, size_t n, const char *key,
			    bool *ret_twice);

/* s in lower case: s itself when it is, else a copy in a. 0 or -ENOMEM. */
int http_text_lower(struct slice s, struct arena *a, struct slice *ret) __must_check;

#endif
