// SPDX-License-Identifier: Apache-2.0
/* The decisions of the BPF programs, compiled natively. */
#include "support/test.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "../bpf/flow.bpf.h"

static struct weir_ip ip6(const char *text)
{
	struct weir_ip ip;

	assert_int_equal(inet_pton(AF_INET6, text, ip.w), 1);
	return ip;
}

static void test_socket_kind(void **state)
{
	assert_int_equal(weir_socket_kind(SOCK_STREAM, IPPROTO_TCP), WEIR_SOCKET_REDIRECT);
	assert_int_equal(weir_socket_kind(SOCK_STREAM, 262), WEIR_SOCKET_REDIRECT);
	assert_int_equal(weir_socket_kind(SOCK_STREAM, 0), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind(SOCK_STREAM, IPPROTO_SCTP), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind(SOCK_STREAM, 256), WEIR_SOCKET_REFUSE); /* SMC */
	assert_int_equal(weir_socket_kind(SOCK_SEQPACKET, IPPROTO_SCTP), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind(SOCK_DCCP, IPPROTO_DCCP), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind(SOCK_DGRAM, IPPROTO_UDP), WEIR_SOCKET_OTHER);
	assert_int_equal(weir_socket_kind(SOCK_DGRAM, IPPROTO_ICMP), WEIR_SOCKET_OTHER);
	assert_int_equal(weir_socket_kind(SOCK_RAW, IPPROTO_TCP), WEIR_SOCKET_OTHER);
	assert_int_equal(weir_socket_kind_new(SOCK_STREAM, 0), WEIR_SOCKET_REDIRECT);
	assert_int_equal(weir_socket_kind_new(SOCK_STREAM, IPPROTO_SCTP), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind_new(SOCK_SEQPACKET, 0), WEIR_SOCKET_REFUSE);
	assert_int_equal(weir_socket_kind_new(SOCK_DGRAM, 0), WEIR_SOCKET_OTHER);
}

static void test_ip(void **state)
{
	struct weir_ip mapped = ip6("::ffff:192.0.2.1"), v4 = weir_ip_v4(inet_addr("192.0.2.1"));
	struct weir_ip lo4 = ip6("::ffff:127.0.0.1"), lo6 = ip6("::1"), got;

	assert_true(weir_ip_eq(&mapped, &v4));
	assert_true(weir_ip_is_v4(&mapped));
	got = ip6("2001:db8::1");
	assert_false(weir_ip_is_v4(&got));
	assert_false(weir_ip_eq(&mapped, &got));
	got = ip6("::192.0.2.1"); /* IPv4-compatible is not IPv4-mapped */
	assert_false(weir_ip_is_v4(&got));
	got = ip6("::fffe:192.0.2.1");
	assert_false(weir_ip_is_v4(&got));
	got = weir_ip_loopback(1);
	assert_true(weir_ip_eq(&got, &lo4));
	got = weir_ip_loopback(0);
	assert_true(weir_ip_eq(&got, &lo6));
	got = ip6("fe80::1");
	assert_true(weir_ip_is_link_local(&got));
	got = ip6("febf::1");
	assert_true(weir_ip_is_link_local(&got));
	got = ip6("fec0::1");
	assert_false(weir_ip_is_link_local(&got));
	assert_false(weir_ip_is_link_local(&mapped));
}

static void settles(const char *dst, const char *bound, const char *want)
{
	struct weir_ip d = ip6(dst), b = ip6(bound), w = ip6(want);
	struct weir_ip got = weir_ip_settle(&d, &b);

	assert_true(weir_ip_eq(&got, &w));
}

static void test_wildcard_is_loopback(void **state)
{
	settles("::", "::", "::1");
	settles("::", "fd00::1", "::1");
	settles("::", "::ffff:10.0.0.1", "::ffff:127.0.0.1");
	settles("::ffff:0.0.0.0", "::", "::ffff:127.0.0.1");
	settles("::ffff:0.0.0.1", "::", "::ffff:0.0.0.1");
	settles("::2", "::", "::2");
	settles("2001:db8::7", "::ffff:10.0.0.1", "2001:db8::7");
}

static enum weir_route route(const char *dst, uint16_t port, uint16_t listener, int pending)
{
	struct weir_ip d = ip6(dst);

	return weir_route_decide(&d, htons(port), htons(listener), pending);
}

static void test_route(void **state)
{
	for (int pending = 0; pending < 2; pending++) {
		assert_int_equal(route("2001:db8::1", 443, 1234, pending), WEIR_ROUTE_REDIRECT);
		assert_int_equal(route("::ffff:127.0.0.1", 443, 1234, pending),
				 WEIR_ROUTE_REDIRECT);
		assert_int_equal(route("2001:db8::1", 1234, 1234, pending), WEIR_ROUTE_REDIRECT);
		assert_int_equal(route("::ffff:127.0.0.2", 1234, 1234, pending),
				 WEIR_ROUTE_REDIRECT);
	}
	assert_int_equal(route("::ffff:127.0.0.1", 1234, 1234, 0), WEIR_ROUTE_DIRECT);
	assert_int_equal(route("::1", 1234, 1234, 0), WEIR_ROUTE_DIRECT);
	assert_int_equal(route("::ffff:127.0.0.1", 1234, 1234, 1), WEIR_ROUTE_PASS);
	assert_int_equal(route("::1", 1234, 1234, 1), WEIR_ROUTE_PASS);
}

static void test_key_has_no_stray_bytes(void **state)
{
	struct weir_ip src = ip6("::ffff:10.1.2.3"), dst = ip6("::ffff:127.0.0.1");
	struct weir_flow_key a,
		b = { .netns_cookie = 7, .src_port = htons(1), .dst_port = htons(2) };

	memset(&a, 0xff, sizeof(a));
	weir_flow_key_fill(&a, 7, &src, htons(1), &dst, htons(2));
	memcpy(b.src_ip, src.w, 16);
	memcpy(b.dst_ip, dst.w, 16);
	assert_memory_equal(&a, &b, sizeof(a));
}

static void test_abandoned_states(void **state)
{
	/* TCP_ESTABLISHED 1, SYN_SENT 2, SYN_RECV 3, FIN_WAIT1 4, CLOSE 7 */
	assert_true(weir_state_abandons(2, 7));
	assert_false(weir_state_abandons(1, 7)); /* the proxy may still have to accept it */
	assert_false(weir_state_abandons(2, 1));
	assert_false(weir_state_abandons(4, 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket_kind),
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_wildcard_is_loopback),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_key_has_no_stray_bytes),
		cmocka_unit_test(test_abandoned_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
