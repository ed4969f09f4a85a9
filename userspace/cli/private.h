/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon that `weir run` starts for itself when none is running. */
#ifndef WEIR_CLI_PRIVATE_H
#define WEIR_CLI_PRIVATE_H

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

struct private_daemon {
	pid_t pid;     /* 0 = none */
	char dir[128]; /* its runtime directory */
	char socket[160];
	int log; /* what it says, in memory; -1 = goes to stderr */
};

/*
 * Starts one in /run/weir/private-PID and waits until it is ready. policies: it is to use
 * /etc/weir/policy.d, which must then hold something. CLI_OK, or another status told on stderr, with
 * nothing left behind.
 */
int private_daemon_start(struct private_daemon *d, const char *store, bool policies,
			 bool debug) __must_check;
/* Ends it and removes its directory. Harmless when there is none. */
void private_daemon_stop(struct private_daemon *d);

#endif
