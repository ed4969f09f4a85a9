/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON, for floors that do without a JSON library: ASCII only, nothing to get out of step. */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H

#include "buf.h"

/* A quoted string. Controls and all beyond ASCII become \uXXXX; bytes that are no UTF-8 U+FFFD, one
 * each. All: 0, -EMSGSIZE, -ENOMEM; after a failure b may hold a part. */
int json_put_text(struct buf *b, struct slice s) __must_check;
/* `"key":` with a comma before it unless it is the first in its object; key is plain ASCII. */
int json_put_key(struct buf *b, const char *key) __must_check;
/* The two together. */
int json_put_member(struct buf *b, const char *key, struct slice s) __must_check;
int json_put_number(struct buf *b, const char *key, uint64_t v) __must_check;

#endif
