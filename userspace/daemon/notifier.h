/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that tells others of operations on hold and takes their answers. The warden starts it,
 * when webhooks are configured, by running its own binary again as
 *
 *     weir notifier FD UID GID
 *
 * with FD the notifier's end of an IPC socketpair. What webhooks answer and what comes in by the
 * socket for answers are peers' bytes: they are parsed here, where there are no privileges, and not
 * in the warden. It first gives up everything, then serves until IPC_STOP or until the warden is gone.
 * It holds the keys that sign and the tokens on their way out; it judges nothing: the warden knows
 * which tokens there are and looks at who asks.
 */
#ifndef WEIR_DAEMON_NOTIFIER_H
#define WEIR_DAEMON_NOTIFIER_H

#include <sys/types.h>

/* Returns the process's exit status. */
int notifier_main(int ipc_fd, uid_t uid, gid_t gid);

#endif
