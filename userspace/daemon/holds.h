/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's end of what the warden asks and is told about operations on hold. */
#ifndef WEIR_DAEMON_HOLDS_H
#define WEIR_DAEMON_HOLDS_H

#include "daemon/ipc.h"
#include "session/approvals.h"

/* Answers IPC_APPROVALS: fills the ACK's stats and fds[0], which is the ACK's. 0 or its status. */
int holds_list(struct approvals *t, const struct ipc_msg *m, struct ipc_msg *ack) __must_check;
/* Takes an IPC_ANSWER; with 0 the ACK has its strings. Else its status, and what to say. */
int holds_answer(struct approvals *t, const struct ipc_msg *m, struct ipc_msg *ack, char *message,
		 size_t size) __must_check;
/* Sends what there is of IPC_HELD and IPC_SETTLED, for now. scratch is overwritten. 0, or a negative
 * errno of the socket. */
int holds_news(struct approvals *t, int sock, struct ipc_msg *scratch) __must_check;

#endif
