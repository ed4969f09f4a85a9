// SPDX-License-Identifier: Apache-2.0
/* Where something is missing or an agent goes around: refused, counted, and nobody else is reached. */
#include "bpf/lab.h"

static const char loose_route[] = { 1, (char)131, 7, 4, 10, 1, 2, 3 };

static void test_direct_dial(void **state)
{
	struct dial d = { .ip = "127.0.0.1", .port = ntohs(lab_port_be(lab.listen4)) };

	assert_int_equal(agent(dial_run, &d), EPERM);
	d.ip = "0.0.0.0";
	assert_int_equal(agent(dial_run, &d), EPERM);
	d.ip = "::ffff:127.0.0.1";
	assert_int_equal(agent(dial_run, &d), EPERM);
	d.ip = "::ffff:0.0.0.0";
	assert_int_equal(agent(dial_run, &d), EPERM);
	d.ip = "127.0.0.1";
	d.protocol = IPPROTO_MPTCP;
	assert_int_equal(agent(dial_run, &d), EPERM);
	d.protocol = 0;
	d.port = ntohs(lab_port_be(lab.listen6));
	d.ip = "::1";
	assert_int_equal(agent(dial_run, &d), EPERM);
	d.ip = "::";
	assert_int_equal(agent(dial_run, &d), EPERM);
	assert_int_equal(lab_count(WEIR_CNT_DIRECT), 7);
	assert_int_equal(lab_accept(lab.listen4), -1);
	assert_int_equal(lab_accept(lab.listen6), -1);
}

/* A record of an earlier connection is no ticket for dialling the listener. */
static int redial_run(void *arg)
{
	struct sockaddr_storage a, b;
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	socklen_t len = sa("203.0.113.9", 1, &a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sa("127.0.0.1", ntohs(lab_port_be(lab.listen4)), &b);
	if (connect(fd, (struct sockaddr *)&a, len) || connect(fd, &none, sizeof(none)))
		return 124;
	return connect(fd, (struct sockaddr *)&b, len) ? errno : 0;
}

static void test_redial(void **state)
{
	assert_int_equal(agent(redial_run, NULL), EPERM);
	assert_int_equal(lab_count(WEIR_CNT_DIRECT), 1);
}

/* From outside of the cgroup no record comes along: the proxy finds none. */
static void test_stranger_has_no_record(void **state)
{
	struct dial d = { .ip = "127.0.0.1", .port = ntohs(lab_port_be(lab.listen4)) };
	struct weir_flow f;

	assert_int_equal(agent_wait(agent_start(NULL, dial_run, &d)), 0);
	assert_int_equal(lab_take(lab.listen4, &f), -ENOENT);
}

static void test_listener_closed(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct dial d = { .ip = "203.0.113.9", .port = 5432 };
	int thief;

	a.sin_port = lab_port_be(lab.listen4);
	close_p(&lab.listen4);
	assert_int_equal(agent(dial_run, &d), EPERM);
	thief = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(thief, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(thief, 8), 0);
	assert_int_equal(agent(dial_run, &d), EPERM);
	assert_int_equal(lab_accept(thief), -1);
	close(thief);
	assert_int_equal(lab_count(WEIR_CNT_NO_LISTENER), 2);
	/* The other family is not affected, and a new listener serves at once. */
	assert_int_equal(agent(dial_run, &(struct dial){ .ip = "2001:db8::7", .port = 1 }), 0);
	lab.listen4 = lab_listen(AF_INET);
	lab_register();
	assert_int_equal(agent(dial_run, &d), 0);
}

static int other_netns_run(void *arg)
{
	if (unshare(CLONE_NEWNET))
		return 124;
	lab_loopback_up();
	return dial_run(arg);
}

static void test_other_namespace_has_no_listener(void **state)
{
	struct dial d = { .ip = "127.0.0.1", .port = 80 };

	assert_int_equal(agent(other_netns_run, &d), EPERM);
	assert_int_equal(lab_count(WEIR_CNT_NO_LISTENER), 1);
}

static int source_route_run(void *arg)
{
	struct sockaddr_storage to;
	socklen_t len = sa("203.0.113.9", 5432, &to);
	int fd = socket(AF_INET, SOCK_STREAM, *(int *)arg);

	if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, loose_route, sizeof(loose_route)))
		return 124;
	return connect(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

static int routing_header_run(void *arg)
{
	/* RFC 6275 §6.4: type 2, one home address. */
	uint8_t rt[24] = { 0, 2, 2, 1, [8] = 0x20, [9] = 1, [10] = 0xd, [11] = 0xb8, [23] = 9 };
	struct sockaddr_storage to;
	socklen_t len = sa("2001:db8::7", 5432, &to);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, rt, sizeof(rt)))
		return 124;
	return connect(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

static void test_source_route(void **state)
{
	int protocol = 0, r;

	assert_int_equal(agent(source_route_run, &protocol), EPERM);
	assert_int_equal(lab_count(WEIR_CNT_SOURCE_ROUTE), 1);
	r = agent(routing_header_run, NULL);
	if (r != 124) { /* kernels without mobile IPv6 know no such header */
		assert_int_equal(r, EPERM);
		assert_int_equal(lab_count(WEIR_CNT_SOURCE_ROUTE), 2);
	}
}

static int sctp_run(void *arg)
{
	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_INET, i ? SOCK_SEQPACKET : SOCK_STREAM, IPPROTO_SCTP);

		if (fd >= 0 || errno != EPERM)
			return 1;
	}
	return 0;
}

static void test_sctp(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

	if (fd < 0)
		skip(); /* no SCTP in this kernel */
	close(fd);
	assert_int_equal(agent(sctp_run, NULL), 0);
	assert_int_equal(lab_count(WEIR_CNT_PROTOCOL), 2);
}

static int small_map(void **state)
{
	static const struct bpfctl_config cfg = { .max_flows = 2 };

	lab_config = &cfg;
	return lab_setup(state);
}

static int small_map_end(void **state)
{
	lab_config = NULL;
	return lab_teardown(state);
}

/*
 * The kernel sizes a hash by its entries and keeps one spare a CPU, so it is filled until it says so.
 * Nothing that was in it is pushed out.
 */
static void test_full_map(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 1 };
	struct weir_flow f;
	int n = 0;

	while (lab_count(WEIR_CNT_FLOWS_FULL) == 0 && n < 100) {
		assert_int_equal(agent(dial_run, &d), 0);
		n++;
		d.port++;
	}
	assert_true(n > 2 && n < 100);
	assert_int_equal(lab_count(WEIR_CNT_PUBLISHED), n - 1);
	for (int i = 1; i < n; i++) {
		assert_int_equal(lab_take(lab.listen4, &f), 0);
		assert_dst(&f, "203.0.113.9", (uint16_t)i);
	}
	assert_int_equal(lab_take(lab.listen4, &f), -ENOENT);
	/* With room again, all is well. */
	assert_int_equal(agent(dial_run, &d), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
}

/* A full accept queue keeps the handshake from ending; the agent gives up. */
static int impatient_run(void *arg)
{
	struct sockaddr_storage to;
	socklen_t len = sa("203.0.113.9", 7, &to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (connect(fd, (struct sockaddr *)&to, len) == 0 || errno != EINPROGRESS)
		return 1;
	if (poll(&p, 1, 200) != 0)
		return 2;
	return close(fd);
}

static void test_abandoned(void **state)
{
	struct dial d = { .ip = "203.0.113.9", .port = 1 };

	assert_int_equal(listen(lab.listen4, 1), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(agent(dial_run, &d), 0);
	assert_int_equal(agent(impatient_run, NULL), 0);
	assert_int_equal(lab_count(WEIR_CNT_ABANDONED), 1);
	assert_int_equal(lab_count(WEIR_CNT_PUBLISHED), 3);
	/* The two that wait in the queue keep theirs until they are old. */
	assert_int_equal(bpfctl_sweep_flows(lab.b, 3600), 0);
	usleep(20000);
	assert_int_equal(bpfctl_sweep_flows(lab.b, 0), 2);
	assert_int_equal(bpfctl_sweep_flows(lab.b, 0), 0);
}

static void test_listener_must_be_loopback(void **state)
{
	struct bpfctl_err err = { "" };
	int any = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bpfctl_listener_set(lab.b, any, &err), -EINVAL);
	assert_int_equal(listen(any, 1), 0);
	assert_int_equal(bpfctl_listener_set(lab.b, any, &err), -EINVAL);
	assert_non_null(strstr(err.message, "127.0.0.1"));
	assert_int_equal(bpfctl_listener_set(lab.b, udp, &err), -EINVAL);
	assert_int_equal(bpfctl_listener_set(lab.b, -1, &err), -EINVAL);
	close(any);
	close(udp);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, lab_setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_direct_dial),
		T(test_redial),
		T(test_stranger_has_no_record),
		T(test_listener_closed),
		T(test_other_namespace_has_no_listener),
		T(test_source_route),
		T(test_sctp),
		cmocka_unit_test_setup_teardown(test_full_map, small_map, small_map_end),
		T(test_abandoned),
		T(test_listener_must_be_loopback),
	};

	lab_require();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
