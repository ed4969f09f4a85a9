// SPDX-License-Identifier: Apache-2.0
#include "daemon/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/test.h"

/* A child that is connected to us, and ends when it is told to. */
static pid_t child_connect(int *ret_sock, int *ret_tell)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), tell[2];
	pid_t pid;

	/* The kernel picks an abstract name. */
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(pipe(tell), 0);
	pid = fork();
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char c;

		close(tell[1]);
		if (connect(fd, (struct sockaddr *)&sa, len) < 0)
			_exit(1);
		_exit(read(tell[0], &c, 1) == 1 ? 0 : 1);
	}
	close(tell[0]);
	*ret_sock = accept(listener, NULL, NULL);
	*ret_tell = tell[1];
	close(listener);
	return pid;
}

static void play(bool pidfd)
{
	char mine[CGROUP_PATH_MAX], its[CGROUP_PATH_MAX];
	int sock, tell, status;
	struct peer p;
	pid_t pid = child_connect(&sock, &tell);

	assert_int_equal(peer_open(sock, &p), 0);
	assert_int_equal(p.pid, pid);
	assert_int_equal(p.uid, getuid());
	assert_true(p.started > 0);
	assert_true(peer_in_group(sock, &p, getgid()));
	assert_false(peer_in_group(sock, &p, 4000000000u));
	if (!pidfd) {
		close(p.pidfd);
		p.pidfd = -1;
	}
	if (cgroup_self(mine) == 0) {
		assert_int_equal(peer_cgroup(&p, its), 0);
		assert_string_equal(its, mine);
	}
	/* Started at another time, it is somebody else under the same number. */
	if (!pidfd) {
		p.started++;
		assert_int_equal(peer_cgroup(&p, its), -ESRCH);
		p.started--;
	}
	/* Gone: its number may be anybody's. */
	assert_int_equal(write(tell, "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(peer_cgroup(&p, its), -ESRCH);
	peer_close(&p);
	assert_int_equal(p.pidfd, -1);
	close(sock);
	close(tell);
}

static void test_by_pidfd(void **state)
{
	play(true);
}

static void test_by_start_time(void **state)
{
	play(false);
}

static void test_nobody(void **state)
{
	const struct peer none = { .pid = 0, .pidfd = -1 };
	char path[CGROUP_PATH_MAX];
	struct peer p;

	assert_int_equal(peer_cgroup(&none, path), -ESRCH);
	assert_true(peer_open(-1, &p) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_pidfd),
		cmocka_unit_test(test_by_start_time),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
