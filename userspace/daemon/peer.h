/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a Unix socket, by the kernel's word. */
#ifndef WEIR_DAEMON_PEER_H
#define WEIR_DAEMON_PEER_H

#include <sys/types.h>

#include "daemon/cgroup.h"

struct peer {
	pid_t pid; /* in our pid namespace; 0 = not of it */
	uid_t uid; /* all as they were when it connected */
	gid_t gid;
	int pidfd;                  /* -1: the kernel has none for peers (before 6.5) */
	unsigned long long started; /* of the process, in clock ticks since boot; 0 = not known */
};

/* 0 or -errno. */
int peer_open(int sock, struct peer *ret) __must_check;
void peer_close(struct peer *p);
/* Was gid among its groups when it connected? No, where the kernel does not tell. */
bool peer_in_group(int sock, const struct peer *p, gid_t gid);
/*
 * The cgroup it is in now. 0; -ESRCH it has ended, or its pid may be another's by now; -ENOENT it is
 * in none of the v2 hierarchy, or in one that was removed. Whoever asks refuses on any error.
 */
int peer_cgroup(const struct peer *p, char ret[CGROUP_PATH_MAX]) __must_check;

/* The same of any process, as it is at this moment: whose pid it is by then the caller must know. */
int process_cgroup(pid_t pid, char ret[CGROUP_PATH_MAX]) __must_check;

#endif
