// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * cgroup/getpeername4 and cgroup/getpeername6: the agent sees the server that it asked for. Linux
 * 5.8. A socket without a record was not redirected and keeps its answer. The zone of a link-local
 * address cannot be written from here.
 */
static __always_inline const struct weir_flow *peer_flow(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct weir_sock_flow *sf = sk ? bpf_sk_storage_get(&sock_flows, sk, 0, 0) : 0;

	return sf ? &sf->flow : 0;
}

SEC("cgroup/getpeername4")
int weir_peername4(struct bpf_sock_addr *ctx)
{
	const struct weir_flow *f = peer_flow(ctx);

	if (f) {
		__u32 ip_be;

		__builtin_memcpy(&ip_be, f->dst_ip + 12, sizeof(ip_be));
		ctx->user_ip4 = ip_be;
		ctx->user_port = f->dst_port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int weir_peername6(struct bpf_sock_addr *ctx)
{
	const struct weir_flow *f = peer_flow(ctx);

	if (f) {
		struct weir_ip ip;

		__builtin_memcpy(ip.w, f->dst_ip, sizeof(ip.w));
		ctx->user_ip6[0] = ip.w[0];
		ctx->user_ip6[1] = ip.w[1];
		ctx->user_ip6[2] = ip.w[2];
		ctx->user_ip6[3] = ip.w[3];
		ctx->user_port = f->dst_port;
	}
	return 1;
}
