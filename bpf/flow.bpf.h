/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decisions of the hooks, pure: no helpers, no maps. They compile natively too, which is how
 * tests/unit/bpf tries them, because the kernel's test-run refuses sock_addr programs.
 */
#ifndef WEIR_FLOW_BPF_H
#define WEIR_FLOW_BPF_H

#ifdef __bpf__
#include <bpf/bpf_endian.h>
#define weir_htonl(x) bpf_htonl(x)
#define weir_htons(x) bpf_htons(x)
#else
#include <arpa/inet.h>
#define weir_htonl(x) htonl(x)
#define weir_htons(x) htons(x)
#endif

#include "abi/flow.h"

#define WEIR_SOCK_STREAM 1
#define WEIR_SOCK_SEQPACKET 5
#define WEIR_SOCK_DCCP 6
#define WEIR_IPPROTO_TCP 6
#define WEIR_IPPROTO_MPTCP 262
#define WEIR_TCP_SYN_SENT 2
#define WEIR_TCP_CLOSE 7

/* An address as the context holds it: four words in network order, IPv4 in the mapped form. */
struct weir_ip {
	__u32 w[4];
};

enum weir_socket {
	WEIR_SOCKET_OTHER,    /* datagrams and raw: not ours */
	WEIR_SOCKET_REDIRECT, /* a byte stream that the proxy can accept */
	WEIR_SOCKET_REFUSE,   /* a connection that nothing of ours would see */
};

static inline enum weir_socket weir_socket_kind(__u32 type, __u32 protocol)
{
	switch (type) {
	case WEIR_SOCK_STREAM:
		return protocol == WEIR_IPPROTO_TCP || protocol == WEIR_IPPROTO_MPTCP
			       ? WEIR_SOCKET_REDIRECT
			       : WEIR_SOCKET_REFUSE;
	case WEIR_SOCK_SEQPACKET:
	case WEIR_SOCK_DCCP: return WEIR_SOCKET_REFUSE;
	default: return WEIR_SOCKET_OTHER;
	}
}

/* At creation the protocol may still be 0, "the type's own": for a stream that is TCP. */
static inline enum weir_socket weir_socket_kind_new(__u32 type, __u32 protocol)
{
	if (type == WEIR_SOCK_STREAM && protocol == 0)
		return WEIR_SOCKET_REDIRECT;
	return weir_socket_kind(type, protocol);
}

static inline struct weir_ip weir_ip_v4(__u32 ip_be)
{
	struct weir_ip ip = { { 0, 0, weir_htonl(0xffff), ip_be } };

	return ip;
}

static inline int weir_ip_is_v4(const struct weir_ip *ip)
{
	return ip->w[0] == 0 && ip->w[1] == 0 && ip->w[2] == weir_htonl(0xffff);
}

/* Weir's listeners: 127.0.0.1 and ::1, nothing else. */
static inline struct weir_ip weir_ip_loopback(int v4)
{
	struct weir_ip v6 = { { 0, 0, 0, weir_htonl(1) } };

	return v4 ? weir_ip_v4(weir_htonl(0x7f000001)) : v6;
}

static inline int weir_ip_eq(const struct weir_ip *a, const struct weir_ip *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static inline int weir_ip_is_link_local(const struct weir_ip *ip)
{
	return (ip->w[0] & weir_htonl(0xffc00000)) == weir_htonl(0xfe800000);
}

/*
 * What a destination means to the kernel: the wildcard address is the loopback one. An IPv6
 * socket that is bound to an IPv4 address takes :: for 127.0.0.1, as tcp_v6_connect() does.
 */
static inline struct weir_ip weir_ip_settle(const struct weir_ip *dst, const struct weir_ip *bound)
{
	struct weir_ip any6 = { { 0, 0, 0, 0 } };
	struct weir_ip any4 = weir_ip_v4(0);

	if (weir_ip_eq(dst, &any4))
		return weir_ip_loopback(1);
	if (weir_ip_eq(dst, &any6))
		return weir_ip_loopback(weir_ip_is_v4(bound));
	return *dst;
}

enum weir_route {
	WEIR_ROUTE_REDIRECT,
	WEIR_ROUTE_PASS,   /* already redirected by the program of another cgroup level */
	WEIR_ROUTE_DIRECT, /* the agent dials the listener: refuse */
};

/*
 * dst is settled. pending: the socket holds a record that no handshake has used yet, so the
 * address was rewritten in this very connect(2): with nested cgroups each level's program runs, the
 * innermost first, and the outer ones see what it wrote.
 */
static inline enum weir_route weir_route_decide(const struct weir_ip *dst, __u16 port_be,
						__u16 listener_port_be, int pending)
{
	struct weir_ip lo = weir_ip_loopback(weir_ip_is_v4(dst));

	if (port_be != listener_port_be || !weir_ip_eq(dst, &lo))
		return WEIR_ROUTE_REDIRECT;
	return pending ? WEIR_ROUTE_PASS : WEIR_ROUTE_DIRECT;
}

/* src, dst: the agent's end and the listener. */
static inline void weir_flow_key_fill(struct weir_flow_key *key, __u64 netns_cookie,
				      const struct weir_ip *src, __u16 src_port_be,
				      const struct weir_ip *dst, __u16 dst_port_be)
{
	key->netns_cookie = netns_cookie;
	__builtin_memcpy(key->src_ip, src->w, sizeof(key->src_ip));
	__builtin_memcpy(key->dst_ip, dst->w, sizeof(key->dst_ip));
	key->src_port = src_port_be;
	key->dst_port = dst_port_be;
	key->pad = 0;
}

/* A connect that ends before the handshake did: nobody will ever accept it. */
static inline int weir_state_abandons(__u32 from, __u32 to)
{
	return from == WEIR_TCP_SYN_SENT && to == WEIR_TCP_CLOSE;
}

#endif
