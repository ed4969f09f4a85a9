/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the warden's children: its own binary again, with one socket and nothing else. */
#ifndef WEIR_DAEMON_SPAWN_H
#define WEIR_DAEMON_SPAWN_H

#include <sys/types.h>

#include "compiler.h"

/*
 * Runs `weir VERB 3 UID GID` as `title` with its end of a SOCK_SEQPACKET pair as descriptor 3, no others,
 * a bare environment, in a session of its own; it dies with us. *ret_sock is our end, non-blocking. 0
 * or -errno.
 */
int spawn_half(const char *title, const char *verb, uid_t uid, gid_t gid, int *ret_sock,
	       pid_t *ret_pid) __must_check;

#endif
