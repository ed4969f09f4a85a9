/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, RFC 3629: shortest forms only, no surrogates, nothing above U+10FFFF. */
#ifndef WEIR_UTF8_H
#define WEIR_UTF8_H

#include "slice.h"

bool utf8_valid(struct slice s);

/* The code point at the start of s (at least one byte) and how many bytes it has; 0 when it is not
 * valid. */
size_t utf8_next(struct slice s, uint32_t *ret);

/* Writes a code point of at most 0x10ffff; a lone surrogate is written as if it were one. Returns the
 * bytes written, 1 to 4. */
size_t utf8_put(uint8_t *out, uint32_t c);

#endif
