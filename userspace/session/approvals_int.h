/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that make up the table of held operations. */
#ifndef WEIR_SESSION_APPROVALS_INT_H
#define WEIR_SESSION_APPROVALS_INT_H

#include "approvals.h"

/* Names this operation of this session. 0, -EMSGSIZE, -ENOMEM. */
int approval_digest(const struct approval_ask *ask, uint8_t ret[SHA256_LEN]) __must_check;
/* Names the operation for what is remembered: equal for equal ones of the same agent. The verdict's
 * hold is set. Same errors. */
int approval_key(const struct approval_ask *ask, uint8_t ret[SHA256_LEN]) __must_check;
/* Fills _head and _detail. 0, -ENOMEM, -EMSGSIZE. */
int approval_render(struct approval *a, const struct approval_ask *ask) __must_check;
/* One JSON object at the end of b, all or nothing. 0, -EMSGSIZE, -ENOMEM. */
int approval_put_json(struct buf *b, const struct approval *a, bool full) __must_check;

#endif
