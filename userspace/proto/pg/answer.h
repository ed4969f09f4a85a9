/* SPDX-License-Identifier: Apache-2.0 */
/* Server messages, matched with what was asked. */
#ifndef WEIR_PG_ANSWER_H
#define WEIR_PG_ANSWER_H

#include "internal.h"

bool pg_answer_type_known(uint8_t type);

/* The operation that rows and CopyData belong to now, and how much of it is recorded. */
uint64_t pg_answer_op(const struct pg_pend *e);
size_t *pg_answer_recorded(struct pg_pend *e);

/* All: 0; -EPROTO for a message without a place, -EBADMSG, -ENOMEM. Nothing is made sticky. */
/* A DataRow, CopyData or FunctionCallResponse with a body of that length begins. */
int pg_answer_streamed(struct pg *p, uint8_t type, size_t body_len) __must_check;
/*
 * A whole message, header included. *ret_replaced when something else went to the client in its
 * place. With p->opaque_op set it must be held.
 */
int pg_answer_message(struct pg *p, struct slice whole, bool *ret_replaced) __must_check;
/* RESULT failed, lost: for what was asked and will not be answered any more. */
int pg_answer_lost(struct pg *p) __must_check;

#endif
