/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs over paths and names. `?` is one byte and `*` any run of them, neither crossing the
 * separator; `**` crosses it. A pattern that ends in separator + `**` also matches the path before
 * it ("/a/" + "**" matches "/a"). Everything else, backslash included, stands for itself.
 *
 * Time is linear in text times pattern, whatever the stars: backtracking keeps only the last star
 * of each kind.
 */
#ifndef WEIR_GLOB_H
#define WEIR_GLOB_H

#include "slice.h"

enum glob_fold { GLOB_EXACT, GLOB_FOLD_ASCII };

/* sep: '/' for paths, '.' for host names, 0 where `*` may cross everything. */
bool glob_match(struct slice pattern, struct slice text, uint8_t sep, enum glob_fold fold);

#endif
