// SPDX-License-Identifier: Apache-2.0
#include "daemon/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/file.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { PROC_FILE_MAX = 64 * 1024, GROUPS_MAX = 65536 /* NGROUPS_MAX */ };

/* When the process began, by its stat file; 0 when there is none. */
static unsigned long long start_time(pid_t pid)
{
	_cleanup_(free_p) char *text = NULL;
	char path[64], *p, *end;
	unsigned long long v;
	size_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (pid <= 0 || file_read(AT_FDCWD, path, PROC_FILE_MAX, &text, &len) < 0)
		return 0;
	p = strrchr(text, ')'); /* the name in parentheses may hold anything */
	/* Field 2 ends there; 22 is wanted, and each is behind a space. */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return 0;
	v = strtoull(p + 1, &end, 10);
	return *end == ' ' ? v : 0;
}

int peer_open(int sock, struct peer *ret)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd = -1;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	len = sizeof(fd);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) < 0)
		fd = -1;
	else
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* it is already; cannot fail */
	*ret = (struct peer){ .pid = cred.pid,
			      .uid = cred.uid,
			      .gid = cred.gid,
			      .pidfd = fd,
			      .started = start_time(cred.pid) };
	return 0;
}

void peer_close(struct peer *p)
{
	close_p(&p->pidfd);
	p->pidfd = -1;
}

bool peer_in_group(int sock, const struct peer *p, gid_t gid)
{
	_cleanup_(free_p) gid_t *groups = NULL;
	socklen_t len = 0;

	if (p->gid == gid)
		return true;
	/* The first call says how many bytes there are. */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
	    len > GROUPS_MAX * sizeof(gid_t))
		return false;
	groups = malloc(len);
	if (!groups || getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* Is the pid still that of the peer? */
static bool same_process(const struct peer *p)
{
	struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };

	if (p->pid <= 0)
		return false;
	/* As long as it has not ended nobody else has its pid. */
	if (p->pidfd >= 0)
		return poll(&fd, 1, 0) == 0;
	return p->started && start_time(p->pid) == p->started;
}

int process_cgroup(pid_t pid, char ret[CGROUP_PATH_MAX])
{
	static const char deleted[] = " (deleted)";
	_cleanup_(free_p) char *text = NULL;
	char path[64], *line, *save = NULL;
	size_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid); /* fits by its size */
	if (file_read(AT_FDCWD, path, PROC_FILE_MAX, &text, &len) < 0)
		return -ESRCH;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		len = strlen(line);
		if (len >= sizeof(deleted) && strcmp(line + len - strlen(deleted), deleted) == 0)
			return -ENOENT;
		/* "/../x" of one above our namespace is no clean path: refused as well. */
		return cgroup_path_clean(line + 3, ret) < 0 ? -ENOENT : 0;
	}
	return -ENOENT;
}

int peer_cgroup(const struct peer *p, char ret[CGROUP_PATH_MAX])
{
	char path[CGROUP_PATH_MAX];
	int r;

	if (!same_process(p))
		return -ESRCH;
	r = process_cgroup(p->pid, path);
	if (r < 0 || !same_process(p))
		return r < 0 ? r : -ESRCH;
	memcpy(ret, path, sizeof(path));
	return 0;
}
