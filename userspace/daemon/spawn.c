// SPDX-License-Identifier: Apache-2.0
#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS = 1 << 17 }; /* 65,000 connections */

/* Only async-signal-safe calls: between fork and exec. */
static void __noreturn_fn child(int sock, char *const argv[], char *const envp[])
{
	const struct rlimit many = { DESCRIPTORS, DESCRIPTORS };
	sigset_t none;
	int null;

	/* Two descriptors a connection: what the shell allows is soon used up. Where even root may not
	 * raise it, the proxy lives with less. */
	(void)setrlimit(RLIMIT_NOFILE, &many);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the terminal's reach: ^C is for the warden, which then ends it in order. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(127);
	if (sock == 3) {
		if (fcntl(sock, F_SETFD, 0) < 0)
			_exit(127);
	} else if (dup2(sock, 3) < 0) {
		_exit(127);
	}
	if (syscall(SYS_close_range, 4, ~0U, 0) < 0)
		_exit(127);
	execve("/proc/self/exe", argv, envp);
	_exit(127);
}

int spawn_half(const char *title, const char *verb, uid_t uid, gid_t gid, int *ret_sock,
	       pid_t *ret_pid)
{
	char uid_text[16], gid_text[16];
	const char *argv[] = { title, verb, "3", uid_text, gid_text, NULL };
	const char *envp[6] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8" };
	int pair[2], r = 0;
	pid_t pid = -1;
#ifdef __SANITIZE_ADDRESS__
	static const char *const passed[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS" };
	static char kept[3][512];

	for (size_t i = 0, n = 2; i < 3; i++)
		if (getenv(passed[i])) {
			(void)snprintf(kept[i], sizeof(kept[i]), "%s=%s", passed[i],
				       getenv(passed[i]));
			envp[n++] = kept[i];
		}
#endif

	(void)snprintf(uid_text, sizeof(uid_text), "%u", (unsigned)uid);
	(void)snprintf(gid_text, sizeof(gid_text), "%u", (unsigned)gid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
	} else {
		pid = fork();
		if (pid == 0)
			child(pair[1], (char **)argv, (char **)envp);
		r = pid < 0 ? -errno : 0;
	}
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	*ret_sock = pair[0];
	*ret_pid = pid;
	return 0;
}
