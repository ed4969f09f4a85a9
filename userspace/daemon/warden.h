/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The privileged half of the daemon: loads and attaches BPF, holds listeners, keeps the proxy alive,
 * answers on the control socket. It parses nothing that an agent or a server sends; policies are
 * bytes to it, which the proxy compiles.
 */
#ifndef WEIR_DAEMON_WARDEN_H
#define WEIR_DAEMON_WARDEN_H

#include "daemon/config.h"

/* Serves in the foreground until SIGTERM or SIGINT. Returns the process's exit status: 0, or 1 with
 * the reason on stderr. */
int warden_main(const struct daemon_config *cfg);

#endif
