// SPDX-License-Identifier: Apache-2.0
/* What the warden does to a proxy that was taken over: a process that pauses plays it. */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/warden_int.h"

static const struct daemon_config cfg = { .workers = 1, .policies_given = true };
static struct warden w;
static int peer;
static struct ipc_msg out, in;

static int setup(void **state)
{
	int pair[2];

	log_setup("test", LOG_LEVEL_ERROR);
	w = (struct warden){ .cfg = &cfg, .control = -1, .policies = -1, .exit_status = -1 };
	keeper_init(&w);
	w.proxy.pid = fork(); /* before there is a socket whose end it would hold */
	if (w.proxy.pid == 0)
		for (;;)
			pause();
	list_init(&w.attached);
	list_init(&w.clients);
	w.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	w.proxy.sock = pair[0];
	peer = pair[1];
	w.proxy.state = PROXY_READY;
	w.proxy.ever_ready = true;
	return warden_watch(&w, w.proxy.sock, EPOLLIN, SOURCE_TAG(SOURCE_PROXY, 1));
}

/* Ends the process; was it killed before? keeper_died is told as by SIGCHLD. */
static bool was_killed(void)
{
	pid_t pid = w.proxy.pid;
	int status = 0;

	kill(pid, SIGTERM); /* behind a SIGKILL it counts for nothing */
	if (waitpid(pid, &status, 0) != pid)
		return false;
	keeper_died(&w, status);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static int teardown(void **state)
{
	if (w.proxy.pid > 0)
		(void)was_killed();
	close_p(&w.epoll);
	close_p(&peer);
	agents_free_all(&w);
	return 0;
}

static void test_bytes_that_are_no_packet(void **state)
{
	assert_int_equal(write(peer, "nonsense", 8), 8);
	keeper_readable(&w);
	assert_true(was_killed());
	assert_int_equal(w.proxy.state, PROXY_DOWN);
	assert_int_equal(w.proxy.restarts, 1);
}

static void test_answer_nobody_asked_for(void **state)
{
	ipc_msg_init(&out, IPC_ACK);
	out.head.request = 1;
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	assert_true(was_killed());
}

static void test_types_of_the_other_direction(void **state)
{
	ipc_msg_init(&out, IPC_AGENT);
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	assert_true(was_killed());
}

static void test_descriptors_are_not_taken(void **state)
{
	ipc_msg_init(&out, IPC_RESOLVE);
	out.fds[0] = STDERR_FILENO;
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	assert_true(was_killed());
}

static void test_status_that_is_no_errno(void **state)
{
	ipc_msg_init(&out, IPC_STATUS);
	assert_int_equal(keeper_ask(&w, &out, 0, NULL), 0);
	assert_int_equal(ipc_recv(peer, &in), 1);
	ipc_msg_init(&out, IPC_ACK);
	out.head.request = in.head.request;
	out.head.status = INT32_MIN;
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	assert_true(was_killed());
	assert_int_equal(w.proxy.n_pending, 0);
}

static void test_it_closes_its_socket(void **state)
{
	close_p(&peer);
	peer = -1;
	keeper_readable(&w);
	assert_true(was_killed());
}

static void test_it_never_answers(void **state)
{
	ipc_msg_init(&out, IPC_STATUS);
	assert_int_equal(keeper_ask(&w, &out, 0, NULL), 0);
	keeper_tick(&w, w.proxy.started_ns);
	keeper_tick(&w, UINT64_MAX);
	assert_true(was_killed());
	assert_int_equal(w.proxy.n_pending, 0);
}

/* Cgroups that nobody attached are none of its business, existing or not. */
static void test_resolves_only_what_is_attached(void **state)
{
	static const __u64 ids[] = { 0, 1, 2, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		ipc_msg_init(&out, IPC_RESOLVE);
		out.head.request = 70 + i;
		out.head.cgroup_id = ids[i];
		assert_int_equal(ipc_send(peer, &out), 0);
		keeper_readable(&w);
		assert_int_equal(ipc_recv(peer, &in), 1);
		assert_int_equal(in.head.type, IPC_RESOLVED);
		assert_int_equal(in.head.request, 70 + i);
		assert_int_equal(in.head.status, -ENOENT);
		assert_null(ipc_msg_get(&in, 0));
	}
	assert_false(was_killed());
}

static void test_restarts_ever_slower(void **state)
{
	__u64 first, last;

	assert_false(was_killed());
	first = w.proxy.next_start_ns;
	assert_int_equal(w.proxy.failures, 0); /* it had run for long: started_ns is 0 */
	for (int i = 0; i < 20; i++) {
		w.proxy.started_ns = clock_monotonic_ns();
		keeper_died(&w, 0);
	}
	last = w.proxy.next_start_ns;
	assert_true(last > first + 5000000000ULL);
	assert_true(last < first + 30000000000ULL);
}

static void reload_begin(void)
{
	w.watch.fd = -1;
	assert_int_equal(keeper_reload(&w, 0, false), 0);
	assert_int_equal(ipc_recv(peer, &in), 1);
	assert_int_equal(in.head.type, IPC_POLICIES);
	ipc_msg_done(&in);
}

static void loaded_done(void)
{
	json_decref(w.loaded.list);
	w.loaded.list = NULL;
	close_p(&w.policies);
	w.policies = -1;
}

/* What it says of the policies is shown to people: nothing of it may paint a terminal, and what is no
 * hash is none. */
static void test_policies_are_told_with_care(void **state)
{
	static const char hash[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const told[] = { "",   "a\033[31m", hash,     "enforce", "b",
					    hash, "odd",       "c",      "no hash", "enforce",
					    "d",  hash,        "enforce" };
	const json_t *list;

	reload_begin();
	ipc_msg_init(&out, IPC_ACK);
	out.head.request = in.head.request;
	for (size_t i = 0; i < ARRAY_SIZE(told); i++)
		assert_int_equal(ipc_msg_put(&out, told[i]), 0);
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	list = w.loaded.list;
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
			    "a [31m");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "mode")),
			    "enforce");
	assert_true(w.loaded.at_ns != 0);
	/* The same files are not offered again, but for somebody who asks. */
	assert_int_equal(keeper_reload(&w, 0, true), 0);
	assert_int_equal(ipc_recv(peer, &in), -EAGAIN);
	reload_begin();
	loaded_done();
}

static void test_policies_that_are_refused(void **state)
{
	reload_begin();
	ipc_msg_init(&out, IPC_ACK);
	out.head.request = in.head.request;
	out.head.status = -EINVAL;
	assert_int_equal(ipc_msg_put(&out, "p.json:1:2: no\033[2Jgood"), 0);
	assert_int_equal(ipc_send(peer, &out), 0);
	keeper_readable(&w);
	assert_string_equal(w.loaded.error, "p.json:1:2: no [2Jgood");
	assert_true(w.loaded.failed_ns != 0);
	assert_int_equal(w.policies, -1);
	assert_null(w.loaded.list);
	loaded_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes_that_are_no_packet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_nobody_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types_of_the_other_direction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_are_not_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_that_is_no_errno, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_closes_its_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_never_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolves_only_what_is_attached, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_restarts_ever_slower, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policies_are_told_with_care, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policies_that_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
