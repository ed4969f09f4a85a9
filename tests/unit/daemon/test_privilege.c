// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/proxy.h"

enum { SOME_ID = 61017 };

/* What the child saw; its exit status is the number of the line that failed, from 1. */
#define CHILD_CHECK(n, cond)      \
	do {                      \
		if (!(cond))      \
			_exit(n); \
	} while (0)

static bool status_says(const char *key, const char *value)
{
	char line[256];
	bool found = false;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0) {
			char *p = line + strlen(key) + strspn(line + strlen(key), ":\t ");

			p[strcspn(p, "\n")] = '\0';
			found = strcmp(p, value) == 0;
		}
	if (f)
		fclose(f);
	return found;
}

static void child(pid_t parent)
{
	static const gid_t groups[] = { 4, 27 };
	struct rlimit core;
	int sig = 0;

	CHILD_CHECK(1, setgroups(2, groups) == 0);
	CHILD_CHECK(2, privilege_drop(0, SOME_ID, parent) == -EINVAL);
	CHILD_CHECK(3, privilege_drop(SOME_ID, 0, parent) == -EINVAL);
	CHILD_CHECK(4, getuid() == 0 && getgroups(0, NULL) == 2); /* nothing half done */
	CHILD_CHECK(5, privilege_drop(SOME_ID, SOME_ID + 1, parent) == 0);
	CHILD_CHECK(6, getuid() == SOME_ID && geteuid() == SOME_ID);
	CHILD_CHECK(7, getgid() == SOME_ID + 1 && getegid() == SOME_ID + 1);
	CHILD_CHECK(8, getgroups(0, NULL) == 0);
	CHILD_CHECK(9, setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0);
	CHILD_CHECK(10, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	CHILD_CHECK(11, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHILD_CHECK(12, getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	CHILD_CHECK(13, prctl(PR_GET_PDEATHSIG, &sig, 0, 0, 0) == 0 && sig == SIGKILL);
	CHILD_CHECK(14, status_says("CapInh", "0000000000000000"));
	CHILD_CHECK(15, status_says("CapPrm", "0000000000000000"));
	CHILD_CHECK(16, status_says("CapEff", "0000000000000000"));
	CHILD_CHECK(17, status_says("CapBnd", "0000000000000000"));
	CHILD_CHECK(18, status_says("CapAmb", "0000000000000000"));
	_exit(0);
}

static void test_everything_is_gone(void **state)
{
	pid_t self = getpid(), pid;
	int status;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		child(self);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_parent_gone_already(void **state)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(privilege_drop(SOME_ID, SOME_ID, getppid() + 1) == -ESRCH ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_dies_with_its_parent(void **state)
{
	int ready[2], status;
	pid_t middle;
	char c;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(ready), 0);
	middle = fork();
	if (middle == 0) {
		pid_t self = getpid();

		if (fork() == 0) { /* holds the pipe's end for as long as it lives */
			if (privilege_drop(SOME_ID, SOME_ID, self) < 0)
				_exit(1);
			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		close(ready[1]);
		if (read(ready[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(waitpid(middle, &status, 0), middle);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	alarm(10); /* the end comes, or the test dies */
	assert_int_equal(read(ready[0], &c, 1), 0);
	alarm(0);
	close(ready[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_gone),
		cmocka_unit_test(test_parent_gone_already),
		cmocka_unit_test(test_dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
