/* SPDX-License-Identifier: Apache-2.0 */
/* A throw-away store and records to put in it. */
#ifndef WEIR_TEST_STORE_FIXTURE_H
#define WEIR_TEST_STORE_FIXTURE_H

#include "store/store.h"

/* A new directory below $TMPDIR or /tmp, into dir. */
void store_fixture_dir(char dir[64]);
/* Removes it and the files in it. */
void store_fixture_remove(const char *dir);

/* A session begun n milliseconds after a fixed day; its id says nothing but n. */
struct store_session store_fixture_session(unsigned n);
/* An OP event over *op, allowed by "default"; statement is its text. */
struct store_event store_fixture_op(struct op *op, const char *verb, const char *statement);

#endif
