// SPDX-License-Identifier: Apache-2.0
/*
 * What the redirect costs a connect(2): an agent in an attached cgroup against one in a cgroup beside it,
 * to a listener on the same loopback, connect and close in turns. Rounds alternate, the medians
 * count. Ends on one line: direct, redirected, difference, ratio.
 */
#include "bpf/lab.h"

#include "base/clock.h"

enum { ROUNDS = 15, CONNECTS = 3000 };

struct round {
	struct sockaddr_storage to;
	socklen_t len;
	int out; /* pipe for the result in ns */
};

static int round_run(void *arg)
{
	const struct round *r = arg;
	struct linger reset = { .l_onoff = 1 };
	uint64_t total = 0;

	for (int i = 0; i < CONNECTS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		uint64_t start;

		/* A reset, so that no TIME_WAIT piles up. */
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)))
			return 1;
		start = clock_monotonic_ns();
		if (connect(fd, (const struct sockaddr *)&r->to, r->len))
			return 2;
		close(fd);
		total += clock_monotonic_ns() - start;
	}
	return write(r->out, &total, sizeof(total)) == sizeof(total) ? 0 : 3;
}

/* Takes what is queued so that the backlog never fills, as the proxy would. */
static int drain_run(void *arg)
{
	const int *fds = arg;
	struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN },
			       { .fd = fds[1], .events = POLLIN } };

	alarm(0);
	for (;;) {
		if (poll(p, 2, -1) < 0)
			return 1;
		for (int i = 0; i < 2; i++) {
			struct weir_flow_key key;
			struct weir_flow f;
			int fd = p[i].revents ? accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;

			if (fd < 0)
				continue;
			if (i == 0 && !bpfctl_flow_key(fd, &key))
				(void)!bpfctl_flow_take(bpfctl_flows_fd(lab.b), &key, &f);
			close(fd);
		}
	}
}

static uint64_t measure(const char *cgroup, struct round *r, int in)
{
	uint64_t ns = 0;

	if (agent_wait(agent_start(cgroup, round_run, r)) ||
	    read(in, &ns, sizeof(ns)) != sizeof(ns))
		fail_msg("a round failed");
	return ns / CONNECTS;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void bench(void **state)
{
	uint64_t direct[ROUNDS], redirected[ROUNDS];
	int target = lab_listen(AF_INET), fds[2] = { lab.listen4, target }, pipes[2];
	struct round r = { .len = sizeof(struct sockaddr_in) };
	char plain[PATH_MAX + 16];
	__u64 id;
	int plain_fd;
	pid_t drain;

	assert_int_equal(listen(target, 4096), 0);
	assert_int_equal(listen(lab.listen4, 4096), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	r.out = pipes[1];
	sa("127.0.0.1", ntohs(lab_port_be(target)), &r.to);
	snprintf(plain, sizeof(plain), "%s-plain", lab.cgroup);
	plain_fd = lab_cgroup(plain, &id);
	drain = agent_start(NULL, drain_run, fds);
	for (int i = 0; i < ROUNDS; i++) {
		direct[i] = measure(plain, &r, pipes[0]);
		redirected[i] = measure(lab.cgroup, &r, pipes[0]);
	}
	kill(drain, SIGKILL);
	assert_int_equal(agent_wait(drain), 128 + SIGKILL);
	close(plain_fd);
	assert_int_equal(rmdir(plain), 0);
	assert_true(lab_count(WEIR_CNT_REDIRECTED) == (__u64)ROUNDS * CONNECTS);
	qsort(direct, ROUNDS, sizeof(*direct), by_value);
	qsort(redirected, ROUNDS, sizeof(*redirected), by_value);
	printf("connect+close: direct %.2f us, redirected %.2f us, cost %.2f us, ratio %.2f\n",
	       (double)direct[ROUNDS / 2] / 1e3, (double)redirected[ROUNDS / 2] / 1e3,
	       ((double)redirected[ROUNDS / 2] - (double)direct[ROUNDS / 2]) / 1e3,
	       (double)redirected[ROUNDS / 2] / (double)direct[ROUNDS / 2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bench, lab_setup, lab_teardown),
	};

	lab_require();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
