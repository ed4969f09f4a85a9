// SPDX-License-Identifier: Apache-2.0
/* What an agent dials arrives at the listener with its record, and the agent cannot tell. */
#include "bpf/lab.h"

#include <pthread.h>

static void check(struct dial d, int listen_fd, const char *want_ip, int want_family)
{
	struct weir_flow f;
	struct stat st;
	pid_t pid = agent_start(lab.cgroup, dial_run, &d);

	assert_int_equal(agent_wait(pid), 0);
	assert_int_equal(lab_take(listen_fd, &f), 0);
	assert_dst(&f, want_ip, d.port);
	assert_int_equal(f.family, want_family);
	assert_int_equal(f.pid, pid);
	assert_int_equal(f.tid, pid);
	assert_int_equal(f.uid, 0);
	assert_int_equal(f.scope_id, 0);
	assert_true(f.time_ns > 0 && f.sock_cookie > 0);
	assert_int_equal(fstat(lab.dir_fd, &st), 0);
	assert_int_equal(f.cgroup_id, st.st_ino);
	assert_memory_equal(f.comm, "test_redirect", 14);
}

static void test_v4(void **state)
{
	check((struct dial){ .ip = "203.0.113.9", .port = 5432 }, lab.listen4, "203.0.113.9",
	      AF_INET);
}

static void test_v6(void **state)
{
	check((struct dial){ .ip = "2001:db8::7", .port = 443 }, lab.listen6, "2001:db8::7",
	      AF_INET6);
}

static void test_v4_mapped(void **state)
{
	check((struct dial){ .ip = "::ffff:203.0.113.9", .port = 80 }, lab.listen4, "203.0.113.9",
	      AF_INET6);
}

static void test_loopback_service(void **state)
{
	check((struct dial){ .ip = "127.0.0.1", .port = 5432 }, lab.listen4, "127.0.0.1", AF_INET);
	check((struct dial){ .ip = "127.0.0.53", .port = 53 }, lab.listen4, "127.0.0.53", AF_INET);
	check((struct dial){ .ip = "::1", .port = 5432 }, lab.listen6, "::1", AF_INET6);
}

static int wildcard_run(void *arg)
{
	struct dial *d = arg;
	struct sockaddr_storage to;
	socklen_t len = sa(d->ip, d->port, &to);
	char text[64];
	int fd = socket(to.ss_family, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&to, len))
		return errno;
	len = sizeof(to);
	if (getpeername(fd, (struct sockaddr *)&to, &len))
		return 124;
	/* The kernel itself shows the loopback address for a wildcard. */
	if (to.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&to)->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&to)->sin6_addr, text, sizeof(text));
	return strcmp(text, d->bound) == 0 ? 0 : 126;
}

static void test_wildcard(void **state)
{
	struct weir_flow f;

	assert_int_equal(agent(wildcard_run,
			       &(struct dial){ .ip = "0.0.0.0", .port = 7, .bound = "127.0.0.1" }),
			 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_dst(&f, "127.0.0.1", 7);
	assert_int_equal(
		agent(wildcard_run, &(struct dial){ .ip = "::", .port = 7, .bound = "::1" }), 0);
	assert_int_equal(lab_take(lab.listen6, &f), 0);
	assert_dst(&f, "::1", 7);
}

static void test_bound(void **state)
{
	check((struct dial){ .ip = "203.0.113.9", .port = 5432, .bound = "127.0.0.9" }, lab.listen4,
	      "203.0.113.9", AF_INET);
	check((struct dial){ .ip = "203.0.113.9", .port = 5432, .bound = "10.77.0.5" }, lab.listen4,
	      "203.0.113.9", AF_INET);
	check((struct dial){ .ip = "2001:db8::7", .port = 443, .bound = "fd77::5" }, lab.listen6,
	      "2001:db8::7", AF_INET6);
	check((struct dial){ .ip = "::ffff:203.0.113.9", .port = 80, .bound = "::ffff:10.77.0.5" },
	      lab.listen4, "203.0.113.9", AF_INET6);
}

static void test_bound_to_device(void **state)
{
	check((struct dial){ .ip = "203.0.113.9", .port = 5432, .device = "weir0" }, lab.listen4,
	      "203.0.113.9", AF_INET);
	check((struct dial){ .ip = "2001:db8::7", .port = 443, .device = "weir0" }, lab.listen6,
	      "2001:db8::7", AF_INET6);
}

static int link_local_run(void *arg)
{
	struct sockaddr_storage to;
	struct sockaddr_in6 *a6 = (void *)&to;
	const struct dial *d = arg;
	socklen_t len = sa("fe80::1234", 7, &to);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (d->device &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, d->device, strlen(d->device) + 1))
		return 123;
	a6->sin6_scope_id = d->device ? 0 : if_nametoindex("weir0");
	return connect(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

/* The zone comes from the address, or else from the device that the socket is bound to. */
static void test_link_local(void **state)
{
	struct dial d[] = { { .device = NULL }, { .device = "weir0" } };
	struct weir_flow f;

	for (size_t i = 0; i < ARRAY_SIZE(d); i++) {
		assert_int_equal(agent(link_local_run, &d[i]), 0);
		assert_int_equal(lab_take(lab.listen6, &f), 0);
		assert_dst(&f, "fe80::1234", 7);
		assert_int_equal(f.scope_id, if_nametoindex("weir0"));
	}
}

static void test_mptcp(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	if (fd < 0)
		skip();
	close(fd);
	check((struct dial){ .ip = "203.0.113.9", .port = 5432, .protocol = IPPROTO_MPTCP },
	      lab.listen4, "203.0.113.9", AF_INET);
	check((struct dial){ .ip = "2001:db8::7", .port = 443, .protocol = IPPROTO_MPTCP },
	      lab.listen6, "2001:db8::7", AF_INET6);
	check((struct dial){ .ip = "::ffff:203.0.113.9", .port = 80, .protocol = IPPROTO_MPTCP },
	      lab.listen4, "203.0.113.9", AF_INET6);
}

static int fastopen_run(void *arg)
{
	struct dial *d = arg;
	struct sockaddr_storage to, peer;
	socklen_t len = sa(d->ip, d->port, &to), n = sizeof(peer);
	int fd = socket(to.ss_family, SOCK_STREAM, d->protocol);

	if (sendto(fd, "hello", 5, MSG_FASTOPEN, (struct sockaddr *)&to, len) != 5)
		return errno;
	if (getpeername(fd, (struct sockaddr *)&peer, &n))
		return 124;
	return n == len && memcmp(&peer, &to, len) == 0 ? 0 : 126;
}

static int fastopen_connect_run(void *arg)
{
	struct dial *d = arg;
	struct sockaddr_storage to;
	socklen_t len = sa(d->ip, d->port, &to);
	int fd = socket(to.ss_family, SOCK_STREAM, 0), on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)))
		return 123;
	if (connect(fd, (struct sockaddr *)&to, len))
		return errno;
	return send(fd, "hello", 5, 0) == 5 ? 0 : errno;
}

static void test_fastopen(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 5432 };
	struct weir_flow f;

	for (int again = 0; again < 2; again++) { /* the second time with a cookie */
		assert_int_equal(agent(fastopen_run, &d), 0);
		assert_int_equal(lab_take(lab.listen4, &f), 0);
		assert_dst(&f, d.ip, d.port);
		assert_int_equal(agent(fastopen_connect_run, &d), 0);
		assert_int_equal(lab_take(lab.listen4, &f), 0);
		assert_dst(&f, d.ip, d.port);
	}
	d.protocol = IPPROTO_MPTCP;
	assert_int_equal(agent(fastopen_run, &d), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_dst(&f, d.ip, d.port);
}

static int nonblock_run(void *arg)
{
	struct sockaddr_storage to;
	socklen_t len = sa("203.0.113.9", 5432, &to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), err = -1;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t n = sizeof(err);

	if (connect(fd, (struct sockaddr *)&to, len) && errno != EINPROGRESS)
		return errno;
	if (poll(&p, 1, 2000) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n))
		return 124;
	if (err)
		return err;
	return connect(fd, (struct sockaddr *)&to, len) && errno != EISCONN ? errno : 0;
}

static void test_nonblocking(void **state)
{
	struct weir_flow f;

	assert_int_equal(agent(nonblock_run, NULL), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_dst(&f, "203.0.113.9", 5432);
}

static void *thread_run(void *arg)
{
	struct dial d = { .ip = "203.0.113.9", .port = (uint16_t)(uintptr_t)arg };

	return (void *)(intptr_t)dial_run(&d);
}

static int threads_run(void *arg)
{
	pthread_t t[8];
	int bad = 0;

	for (size_t i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, thread_run, (void *)(1000 + i)))
			return 124;
	for (size_t i = 0; i < 8; i++) {
		void *r;

		pthread_join(t[i], &r);
		bad |= (int)(intptr_t)r;
	}
	return bad;
}

static void test_threads(void **state)
{
	pid_t pid = agent_start(lab.cgroup, threads_run, NULL);
	unsigned ports = 0;

	assert_int_equal(agent_wait(pid), 0);
	for (int i = 0; i < 8; i++) {
		struct weir_flow f;

		assert_int_equal(lab_take(lab.listen4, &f), 0);
		assert_int_equal(f.pid, pid);
		assert_true(f.tid != f.pid);
		ports |= 1u << (ntohs(f.dst_port) - 1000);
	}
	assert_int_equal(ports, 0xff);
}

static int fork_run(void *arg)
{
	return agent_wait(agent_start(NULL, dial_run, arg));
}

static void test_fork(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 5432 };
	struct weir_flow f;

	assert_int_equal(agent(fork_run, &d), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_int_equal(f.cgroup_id, lab.id);
}

static int reconnect_run(void *arg)
{
	struct sockaddr_storage a, b, peer;
	socklen_t len = sa("203.0.113.9", 1, &a), n = sizeof(peer);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa("203.0.113.10", 2, &b);
	if (connect(fd, (struct sockaddr *)&a, len) || connect(fd, &none, sizeof(none)) ||
	    connect(fd, (struct sockaddr *)&b, len))
		return errno;
	if (getpeername(fd, (struct sockaddr *)&peer, &n))
		return 124;
	return memcmp(&peer, &b, len) == 0 ? 0 : 126;
}

static void test_reconnect_is_a_new_flow(void **state)
{
	struct weir_flow f;
	int fd;

	assert_int_equal(agent(reconnect_run, NULL), 0);
	fd = lab_accept(lab.listen4); /* reset by the disconnect, or closed */
	close(fd);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_dst(&f, "203.0.113.10", 2);
}

static int move_run(void *arg)
{
	struct sockaddr_storage to;
	socklen_t len = sa("203.0.113.9", 5432, &to);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (enter(bpfctl_cgroup_root()))
		return 124;
	return connect(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

static void test_identity_is_the_sockets(void **state)
{
	struct weir_flow f;

	assert_int_equal(agent(move_run, NULL), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_int_equal(f.cgroup_id, lab.id);
}

/* Child and parent both attached: one record, the child's program first, in both orders. */
static void nested(bool parent_first)
{
	struct bpfctl_err err;
	char child[PATH_MAX + 16];
	struct dial d[] = { { .ip = "203.0.113.9", .port = 5432 },
			    { .ip = "2001:db8::7", .port = 443 },
			    { .ip = "203.0.113.9", .port = 5432, .protocol = IPPROTO_MPTCP } };
	struct weir_flow f;
	__u64 id, redirected = lab_count(WEIR_CNT_REDIRECTED);
	int fd;

	snprintf(child, sizeof(child), "%s/child", lab.cgroup);
	fd = lab_cgroup(child, &id);
	if (!parent_first)
		assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
	assert_int_equal(bpfctl_attach(lab.b, fd, id, &err), 0);
	lab_attach();
	for (size_t i = 0; i < ARRAY_SIZE(d); i++) {
		assert_int_equal(agent_wait(agent_start(child, dial_run, &d[i])), 0);
		assert_int_equal(lab_take(i == 1 ? lab.listen6 : lab.listen4, &f), 0);
		assert_dst(&f, d[i].ip, d[i].port);
		assert_int_equal(f.cgroup_id, id);
	}
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), redirected + ARRAY_SIZE(d));
	assert_int_equal(lab_count(WEIR_CNT_DIRECT), 0);
	assert_int_equal(bpfctl_detach(lab.b, id), 0);
	/* Covered by the parent's programs alone, still as itself. */
	assert_int_equal(agent_wait(agent_start(child, dial_run, &d[0])), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_int_equal(f.cgroup_id, id);
	close(fd);
	assert_int_equal(rmdir(child), 0);
}

static void test_nested(void **state)
{
	nested(true);
	nested(false);
}

static int udp_run(void *arg)
{
	struct sockaddr_storage to, peer;
	socklen_t len = sa("127.0.0.1", 9999, &to), n = sizeof(peer);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (connect(fd, (struct sockaddr *)&to, len) ||
	    getpeername(fd, (struct sockaddr *)&peer, &n))
		return errno;
	return memcmp(&peer, &to, len) == 0 ? 0 : 126;
}

static void test_udp_is_left_alone(void **state)
{
	assert_int_equal(agent(udp_run, NULL), 0);
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 0);
}

static int take_as_nobody(void *arg)
{
	struct weir_flow_key key;
	struct weir_flow f;
	int fd;

	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 1;
	fd = lab_accept(lab.listen4);
	if (fd < 0 || bpfctl_flow_key(fd, &key))
		return 2;
	if (bpfctl_flow_take(bpfctl_flows_fd(lab.b), &key, &f))
		return 3;
	/* Taken: a second asker gets nothing. */
	return bpfctl_flow_take(bpfctl_flows_fd(lab.b), &key, &f) == -ENOENT ? 0 : 4;
}

static void test_take_without_privileges(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 5432 };

	assert_int_equal(agent(dial_run, &d), 0);
	assert_int_equal(agent_wait(agent_start(NULL, take_as_nobody, NULL)), 0);
}

static void test_counters(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 5432 };
	struct weir_flow f;

	for (int i = 0; i < 3; i++)
		assert_int_equal(agent(dial_run, &d), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lab_take(lab.listen4, &f), 0);
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 3);
	assert_int_equal(lab_count(WEIR_CNT_PUBLISHED), 3);
	for (int i = 0; i < WEIR_CNT_MAX; i++)
		assert_non_null(bpfctl_counter_names[i]);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, lab_setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_v4),
		T(test_v6),
		T(test_v4_mapped),
		T(test_loopback_service),
		T(test_wildcard),
		T(test_bound),
		T(test_bound_to_device),
		T(test_link_local),
		T(test_mptcp),
		T(test_fastopen),
		T(test_nonblocking),
		T(test_threads),
		T(test_fork),
		T(test_reconnect_is_a_new_flow),
		T(test_identity_is_the_sockets),
		T(test_nested),
		T(test_udp_is_left_alone),
		T(test_take_without_privileges),
		T(test_counters),
	};

	lab_require();
	if (system("ip link add weir0 type veth peer name weir1 && "
		   "ip link set weir1 up && ip link set weir0 up && "
		   "ip addr add 10.77.0.5/24 dev weir0 && "
		   "ip addr add fd77::5/64 dev weir0 nodad && "
		   "ip route add default via 10.77.0.1 && "
		   "ip -6 route add default via fd77::1") != 0) {
		fprintf(stderr, "SKIP: no veth interface\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
