/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets, non-blocking and CLOEXEC throughout. */
#ifndef WEIR_NET_SOCK_H
#define WEIR_NET_SOCK_H

#include "base/addr.h"

/*
 * The next connection of a listener, with Nagle's delay off. Returns the descriptor with both ends'
 * addresses; -EAGAIN when there is none, -EMFILE and -ENFILE when descriptors are out; other errors
 * of one dead connection are skipped.
 */
int sock_accept(int listen_fd, struct addr *ret_peer, struct addr *ret_local) __must_check;

/*
 * Begins to connect. scope_id: zone of a link-local IPv6 address, else 0. Returns the descriptor;
 * the connection stands when it becomes writable and sock_error says 0. Or a negative errno.
 */
int sock_dial(const struct addr *dst, uint32_t scope_id) __must_check;
/* The pending error of a socket (SO_ERROR): 0 or a negative errno. */
int sock_error(int fd) __must_check;

/* Reset by its peer: another connection may have the same addresses and ports already. */
bool sock_is_closed(int fd);
/* True when the peer has sent its end, read or not, and we have not sent ours. */
bool sock_peer_ended(int fd);
/* As recv(2) and send(2): bytes, 0 at the end, -EAGAIN, or what else went wrong. */
ssize_t sock_read(int fd, void *buf, size_t len) __must_check;
ssize_t sock_write(int fd, struct slice data) __must_check;

/* Has the kernel ask whether a silent peer is still there, after a minute and then every 15 s. */
void sock_keepalive(int fd);
/* Sends no more; what was written is still delivered. */
void sock_shutdown_write(int fd);
/* Closes so that the peer sees a reset: for refusals that have no words in the protocol. */
void sock_close_reset(int fd);
/* SO_NETNS_COOKIE, 0 where the kernel has none (before 5.14). */
uint64_t sock_netns_cookie(int fd);

#endif
