// SPDX-License-Identifier: Apache-2.0
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static void set_nodelay(int fd)
{
	int one = 1;

	/* Slower without, not wrong. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int sock_accept(int listen_fd, struct addr *ret_peer, struct addr *ret_local)
{
	for (;;) {
		struct sockaddr_storage peer, local;
		socklen_t peer_len = sizeof(peer), local_len = sizeof(local);
		int fd = accept4(listen_fd, (struct sockaddr *)&peer, &peer_len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			/* accept(2): errors of the connection itself mean "try the next one". */
			if (errno == EAGAIN || errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM || errno == EBADF ||
			    errno == EINVAL || errno == ENOTSOCK)
				return -errno;
			continue;
		}
		if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
		    addr_from_sockaddr((struct sockaddr *)&peer, ret_peer) < 0 ||
		    addr_from_sockaddr((struct sockaddr *)&local, ret_local) < 0) {
			close_p(&fd);
			continue;
		}
		set_nodelay(fd);
		return fd;
	}
}

int sock_dial(const struct addr *dst, uint32_t scope_id)
{
	_cleanup_(close_p) int fd = -1;
	struct sockaddr_storage sa;
	socklen_t len = addr_to_sockaddr(dst, &sa);

	if (sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&sa)->sin6_scope_id = scope_id;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	set_nodelay(fd);
	if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

int sock_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

bool sock_is_closed(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	       info.tcpi_state == TCP_CLOSE;
}

bool sock_peer_ended(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE_WAIT;
}

ssize_t sock_read(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t sock_write(int fd, struct slice data)
{
	ssize_t n;

	do
		n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void sock_keepalive(int fd)
{
	static const int on = 1, idle = 60, interval = 15, count = 4;

	/* All valid for TCP since Linux 2.4; without it, only a silent loss is noticed later. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

void sock_shutdown_write(int fd)
{
	(void)shutdown(fd, SHUT_WR); /* a peer that is gone needs no goodbye */
}

void sock_close_reset(int fd)
{
	struct linger lg = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)); /* else an ordinary close */
	close_p(&fd);
}

uint64_t sock_netns_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
		return 0;
	return cookie;
}
