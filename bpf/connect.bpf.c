// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * cgroup/connect4 and cgroup/connect6: every connect(2) on a TCP or MPTCP socket of the cgroup,
 * TCP Fast Open's sendto(2) included. Linux 5.14; MPTCP's getpeername(2) 5.19.
 *
 * The destination becomes 127.0.0.1 or ::1 with the port of the listener that is registered for the
 * socket's network namespace. An IPv4-mapped destination runs through connect6 alone; it stays in
 * the mapped form and goes to the IPv4 listener.
 *
 * Refused with EPERM (return 0), and counted:
 *   no listener in `listeners`         the daemon is down, or does not serve this namespace
 *   no memory for the socket's record  WEIR_CNT_NO_STORAGE
 *   the listener dialled by the agent  WEIR_CNT_DIRECT
 *   a source route on the socket       WEIR_CNT_SOURCE_ROUTE: packets would leave for its first hop
 *   a device that cannot be let go of  WEIR_CNT_DEVICE
 *   neither TCP nor MPTCP              WEIR_CNT_PROTOCOL
 */
#define WEIR_SOL_SOCKET 1
#define WEIR_SO_BINDTODEVICE 25

/* The socket's cgroup: a process may have moved since socket(2), or have been handed the socket. */
static __always_inline __u64 sock_cgroup_id(struct tcp_sock *tp)
{
	struct sock *sk = &tp->inet_conn.icsk_inet.sk;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup)) {
		struct cgroup *cg = sk->sk_cgrp_data.cgroup;

		if (cg)
			return cg->kn->id;
	} else if (weir_kread) {
		struct sock_cgroup_data___tagged *data = (void *)&sk->sk_cgrp_data;
		__u64 val = BPF_CORE_READ(data, val);

		if (val && !(val & 1))
			return BPF_CORE_READ((struct cgroup *)val, kn, id);
	}
	return bpf_get_current_cgroup_id();
}

/*
 * IP_OPTIONS with a source route, or IPV6_RTHDR: the kernel then routes to the first hop that the
 * agent named, not to the destination that we write.
 */
static __always_inline int sock_source_routed(struct tcp_sock *tp)
{
	struct ip_options_rcu *opt4 = tp->inet_conn.icsk_inet.inet_opt;
	struct ipv6_pinfo *np = tp->inet_conn.icsk_inet.pinet6;

	if (opt4 && opt4->opt.srr)
		return 1;
	if (np) {
		struct ipv6_txoptions *opt6 = np->opt;

		if (opt6 && opt6->srcrt)
			return 1;
	}
	return 0;
}

/* Port of the listener in network order, 0 when there is none. */
static __always_inline __u16 listener_port_be(__u64 netns_cookie, int v4)
{
	struct weir_listener_key key = {
		.netns_cookie = netns_cookie,
		.family = v4 ? WEIR_AF_INET : WEIR_AF_INET6,
	};
	struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &key);
	__u16 port;

	if (!sk)
		return 0;
	port = bpf_htons((__u16)sk->src_port);
	bpf_sk_release(sk);
	return port;
}

/* The zone of a link-local destination. The context does not show it; the caller's sockaddr does. */
static __always_inline __u32 dst_scope_id(struct bpf_sock_addr *ctx, const struct weir_ip *dst,
					  __u32 bound_dev)
{
	enum { SCOPE_OFFSET = 24, SOCKADDR_IN6_LEN = 28 };
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	__u32 scope = 0;

	if (!weir_ip_is_link_local(dst))
		return 0;
	if (weir_kread && (!bpf_core_field_exists(kern->uaddrlen) ||
			   BPF_CORE_READ(kern, uaddrlen) >= SOCKADDR_IN6_LEN)) {
		char *uaddr = BPF_CORE_READ(kern, uaddr);

		if (bpf_probe_read_kernel(&scope, sizeof(scope), uaddr + SCOPE_OFFSET))
			scope = 0;
	}
	return scope ? scope : bound_dev;
}

static __always_inline void flow_fill(struct weir_flow *f, struct bpf_sock_addr *ctx,
				      struct tcp_sock *tp, const struct weir_ip *dst,
				      __u64 netns_cookie, __u32 family)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 uid_gid = bpf_get_current_uid_gid();

	f->cgroup_id = sock_cgroup_id(tp);
	f->netns_cookie = netns_cookie;
	f->time_ns = bpf_ktime_get_ns();
	f->sock_cookie = bpf_get_socket_cookie(ctx);
	__builtin_memcpy(f->dst_ip, dst->w, sizeof(f->dst_ip));
	f->pid = pid_tgid >> 32;
	f->tid = (__u32)pid_tgid;
	f->uid = (__u32)uid_gid;
	f->gid = uid_gid >> 32;
	f->dst_port = (__u16)ctx->user_port;
	f->family = family;
	f->scope_id = family == WEIR_AF_INET6 ? dst_scope_id(ctx, dst, ctx->sk->bound_dev_if) : 0;
	if (bpf_get_current_comm(f->comm, sizeof(f->comm)))
		__builtin_memset(f->comm, 0, sizeof(f->comm));
}

/* An MPTCP connection asks its first subflow to connect, but getpeername(2) asks the connection. */
static __always_inline int flow_share_with_mptcp(struct bpf_sock *sk,
						 const struct weir_sock_flow *sf)
{
	struct mptcp_sock *msk;
	struct weir_sock_flow *theirs;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_skc_to_mptcp_sock) ||
	    !bpf_core_type_exists(struct mptcp_sock))
		return 0;
	msk = bpf_skc_to_mptcp_sock(sk);
	if (!msk)
		return 0;
	theirs = bpf_sk_storage_get(&sock_flows, msk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!theirs)
		return -1;
	__builtin_memcpy(theirs, sf, sizeof(*theirs));
	return 0;
}

/* 1: go on, with *ret_to as the destination when *ret_port_be is not 0. 0: refuse. */
static __always_inline int connect_decide(struct bpf_sock_addr *ctx, const struct weir_ip *asked,
					  __u32 family, struct weir_ip *ret_to, __u16 *ret_port_be)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_ip bound = { { 0 } }, dst;
	struct weir_sock_flow *sf;
	struct tcp_sock *tp;
	__u64 netns_cookie = bpf_get_netns_cookie(ctx);
	char no_device[4] = "";
	__u16 port_be;
	int v4;

	switch (weir_socket_kind(ctx->type, ctx->protocol)) {
	case WEIR_SOCKET_OTHER: return 1;
	case WEIR_SOCKET_REDIRECT: break;
	default: counter_add(WEIR_CNT_PROTOCOL); return 0;
	}
	if (!sk || !(tp = bpf_skc_to_tcp_sock(sk))) {
		counter_add(WEIR_CNT_PROTOCOL);
		return 0;
	}
	if (sock_source_routed(tp)) {
		counter_add(WEIR_CNT_SOURCE_ROUTE);
		return 0;
	}
	if (family == WEIR_AF_INET6) {
		bound.w[0] = sk->src_ip6[0];
		bound.w[1] = sk->src_ip6[1];
		bound.w[2] = sk->src_ip6[2];
		bound.w[3] = sk->src_ip6[3];
	}
	dst = weir_ip_settle(asked, &bound);
	v4 = weir_ip_is_v4(&dst);
	port_be = listener_port_be(netns_cookie, v4);
	if (!port_be) {
		counter_add(WEIR_CNT_NO_LISTENER);
		return 0;
	}
	sf = bpf_sk_storage_get(&sock_flows, sk, 0, 0);
	switch (weir_route_decide(&dst, (__u16)ctx->user_port, port_be, sf && sf->pending)) {
	case WEIR_ROUTE_PASS: return 1;
	case WEIR_ROUTE_REDIRECT: break;
	default: counter_add(WEIR_CNT_DIRECT); return 0;
	}
	if (!sf)
		sf = bpf_sk_storage_get(&sock_flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sf) {
		counter_add(WEIR_CNT_NO_STORAGE);
		return 0;
	}
	flow_fill(&sf->flow, ctx, tp, &dst, netns_cookie, family);
	sf->pending = 1;
	if (flow_share_with_mptcp(sk, sf)) {
		counter_add(WEIR_CNT_NO_STORAGE);
		return 0;
	}
	/* Loopback is not reached through eth0. The proxy dials on the agent's behalf anyway. */
	if (sk->bound_dev_if && bpf_setsockopt(ctx, WEIR_SOL_SOCKET, WEIR_SO_BINDTODEVICE,
					       no_device, sizeof(no_device))) {
		counter_add(WEIR_CNT_DEVICE);
		return 0;
	}
	counter_add(WEIR_CNT_REDIRECTED);
	*ret_to = weir_ip_loopback(v4);
	*ret_port_be = port_be;
	return 1;
}

SEC("cgroup/connect4")
int weir_connect4(struct bpf_sock_addr *ctx)
{
	struct weir_ip asked = weir_ip_v4(ctx->user_ip4), to;
	__u16 port_be = 0;

	if (!connect_decide(ctx, &asked, WEIR_AF_INET, &to, &port_be))
		return 0;
	if (port_be) {
		ctx->user_ip4 = to.w[3];
		ctx->user_port = port_be;
	}
	return 1;
}

SEC("cgroup/connect6")
int weir_connect6(struct bpf_sock_addr *ctx)
{
	struct weir_ip asked = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
				   ctx->user_ip6[3] } };
	struct weir_ip to;
	__u16 port_be = 0;

	if (!connect_decide(ctx, &asked, WEIR_AF_INET6, &to, &port_be))
		return 0;
	if (port_be) {
		ctx->user_ip6[0] = to.w[0];
		ctx->user_ip6[1] = to.w[1];
		ctx->user_ip6[2] = to.w[2];
		ctx->user_ip6[3] = to.w[3];
		ctx->user_port = port_be;
	}
	return 1;
}
