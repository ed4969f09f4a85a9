/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unprivileged half of the daemon. The warden starts it by running its own binary again as
 *
 *     weir proxy FD UID GID
 *
 * with FD the proxy's end of the IPC socketpair. It first gives up everything (uid, gid, groups,
 * capabilities, no_new_privs), then serves until IPC_STOP or until the warden is gone.
 */
#ifndef WEIR_DAEMON_PROXY_H
#define WEIR_DAEMON_PROXY_H

#include <sys/types.h>

#include "compiler.h"

/* Returns the process's exit status. */
int proxy_main(int ipc_fd, uid_t uid, gid_t gid);

/*
 * Gives up every privilege for good: groups, gid, uid, capabilities (bounding and ambient too),
 * no_new_privs, no core dumps; dies with the parent (PR_SET_PDEATHSIG, and at once if it is gone
 * already). With uid 0 -EINVAL. 0 or a negative errno: the caller must exit then.
 */
int privilege_drop(uid_t uid, gid_t gid, pid_t parent) __must_check;

#endif
