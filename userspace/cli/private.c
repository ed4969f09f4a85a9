// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "daemon/config.h"
#include "daemon/file.h"

enum { READY_TIMEOUT_MS = 60 * 1000, STOP_TRIES = 1500 /* of 10 ms */ };

static bool has_policies(void)
{
	DIR *dir = opendir(DAEMON_POLICY_DIR);
	struct dirent *d;
	bool found = false;

	while (dir && (d = readdir(dir)) && !found) {
		size_t n = strlen(d->d_name);

		found = d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".json") == 0 &&
			strcmp(d->d_name, "schema.json") != 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Only async-signal-safe calls: between fork and exec. */
static void __noreturn_fn child(const struct private_daemon *d, const char *const argv[], int ready,
				pid_t parent)
{
	sigset_t none;
	int in = open("/dev/null", O_RDWR), out = d->log >= 0 ? d->log : STDERR_FILENO;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid(); /* ^C is for the command; we end the daemon when that is done */
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	if (in < 0 || dup2(out, STDERR_FILENO) < 0 || dup2(in, STDIN_FILENO) < 0 ||
	    dup2(in, STDOUT_FILENO) < 0 || dup2(ready, 3) < 0 || fcntl(3, F_SETFD, 0) < 0 ||
	    syscall(SYS_close_range, 4, ~0U, 0) < 0)
		_exit(1);
	execv("/proc/self/exe", (char *const *)argv);
	_exit(1);
}

/* Shows what it said before it gave up. */
static void show_log(const struct private_daemon *d)
{
	char text[4096];
	off_t at = 0;
	ssize_t n;

	while (d->log >= 0 && (n = pread(d->log, text, sizeof(text), at)) > 0) {
		fwrite(text, 1, (size_t)n, stderr);
		at += n;
	}
}

int private_daemon_start(struct private_daemon *d, const char *store, bool policies, bool debug)
{
	const char *argv[] = { "weir",
			       "daemon",
			       "--runtime-dir",
			       d->dir,
			       "--socket",
			       d->socket,
			       "--store",
			       store,
			       "--ready-fd",
			       "3",
			       "--detach-on-exit",
			       "--policy",
			       DAEMON_POLICY_DIR,
			       debug ? "--debug" : NULL,
			       NULL };
	pid_t self = getpid();
	struct pollfd p;
	int ready[2], r;
	char byte;

	if (policies && !has_policies())
		return cli_fail(CLI_NO,
				"no policy: name one by --policy FILE, or put some into "
				"%s",
				DAEMON_POLICY_DIR);
	(void)snprintf(d->dir, sizeof(d->dir), "%s/private-%d", DAEMON_RUNTIME_DIR, (int)self);
	(void)snprintf(d->socket, sizeof(d->socket), "%s/weir.sock", d->dir);
	d->log = debug ? -1 : memfd_create("weir-log", MFD_CLOEXEC);
	if (!policies) /* the command brings its own: a directory without any stands for none */
		argv[12] = d->dir;
	r = dir_make(d->dir, 0700);
	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", d->dir, strerror(-r));
	if (pipe2(ready, O_CLOEXEC) < 0)
		return cli_fail(CLI_NO, "%s", strerror(errno));
	d->pid = fork();
	if (d->pid == 0)
		child(d, argv, ready[1], self);
	r = errno;
	close(ready[1]);
	if (d->pid < 0) {
		d->pid = 0;
		close(ready[0]);
		return cli_fail(CLI_NO, "cannot start a daemon: %s", strerror(r));
	}
	p = (struct pollfd){ .fd = ready[0], .events = POLLIN };
	do {
		r = poll(&p, 1, READY_TIMEOUT_MS);
	} while (r < 0 && errno == EINTR);
	r = r == 1 && read(ready[0], &byte, 1) == 1;
	close(ready[0]);
	if (r)
		return CLI_OK;
	show_log(d);
	private_daemon_stop(d);
	return cli_fail(CLI_NO, "the private daemon could not start");
}

void private_daemon_stop(struct private_daemon *d)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	pid_t done = 0;

	if (d->pid <= 0)
		return;
	(void)kill(d->pid, SIGTERM); /* not yet waited for: it exists */
	for (int i = 0; i < STOP_TRIES && done == 0; i++) {
		done = waitpid(d->pid, NULL, WNOHANG);
		if (done == 0)
			nanosleep(&pause, NULL);
	}
	if (done == 0) {
		(void)cli_fail(0, "the private daemon does not end, killed pid=%d", (int)d->pid);
		(void)kill(d->pid, SIGKILL);
		(void)waitpid(d->pid, NULL, 0);
	}
	d->pid = 0;
	close_p(&d->log);
	d->log = -1;
	if (rmdir(d->dir) < 0 && errno != ENOENT)
		(void)cli_fail(0, "%s stays: %s", d->dir, strerror(errno));
}
