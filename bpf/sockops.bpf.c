// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sockops: publishes the record of a redirected socket in `flows` before its SYN leaves, under the
 * four-tuple that the listener will see, and takes back the ones of handshakes that never ended.
 * Linux 5.14.
 *
 * Full map: nothing is published, WEIR_CNT_FLOWS_FULL; a socket without a record (it connected in
 * the instant of being attached): WEIR_CNT_NO_FLOW. Either way the proxy finds none and refuses.
 */
/*
 * One load at a constant offset. Left to itself, the compiler merges the loads of both branches below
 * into one through a moved context pointer, which the verifier refuses.
 */
#define CTX_WORD(ctx, field)                                                                   \
	({                                                                                     \
		__u32 word_;                                                                   \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                          \
			     : "=r"(word_)                                                     \
			     : "r"(ctx), "i"(__builtin_offsetof(struct bpf_sock_ops, field))); \
		word_;                                                                         \
	})

static __always_inline void sockops_key(struct bpf_sock_ops *ctx, __u64 netns_cookie,
					struct weir_flow_key *key)
{
	__u16 src_port_be = bpf_htons((__u16)ctx->local_port);
	/* The context keeps the remote port in network order in the upper half of the word. */
	__u16 dst_port_be = bpf_htons((__u16)bpf_ntohl(ctx->remote_port));
	struct weir_ip src, dst;

	if (ctx->family == WEIR_AF_INET) {
		src = weir_ip_v4(CTX_WORD(ctx, local_ip4));
		dst = weir_ip_v4(CTX_WORD(ctx, remote_ip4));
	} else {
		src.w[0] = CTX_WORD(ctx, local_ip6[0]);
		src.w[1] = CTX_WORD(ctx, local_ip6[1]);
		src.w[2] = CTX_WORD(ctx, local_ip6[2]);
		src.w[3] = CTX_WORD(ctx, local_ip6[3]);
		dst.w[0] = CTX_WORD(ctx, remote_ip6[0]);
		dst.w[1] = CTX_WORD(ctx, remote_ip6[1]);
		dst.w[2] = CTX_WORD(ctx, remote_ip6[2]);
		dst.w[3] = CTX_WORD(ctx, remote_ip6[3]);
	}
	weir_flow_key_fill(key, netns_cookie, &src, src_port_be, &dst, dst_port_be);
}

static __always_inline void sockops_publish(struct bpf_sock_ops *ctx, struct weir_sock_flow *sf)
{
	struct weir_flow_key key;

	if (!sf->pending)
		return; /* the program of another cgroup level was here before */
	sf->pending = 0;
	sockops_key(ctx, sf->flow.netns_cookie, &key);
	/* BPF_ANY: what is there under this four-tuple belongs to a connection that is gone. */
	if (bpf_map_update_elem(&flows, &key, &sf->flow, BPF_ANY)) {
		counter_add(WEIR_CNT_FLOWS_FULL);
		return;
	}
	counter_add(WEIR_CNT_PUBLISHED);
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG))
		return; /* no abandoned-connect callback: userspace sweeps by age */
}

static __always_inline void sockops_withdraw(struct bpf_sock_ops *ctx, struct weir_sock_flow *sf)
{
	struct weir_flow_key key;
	struct weir_flow *f;

	sockops_key(ctx, sf->flow.netns_cookie, &key);
	f = bpf_map_lookup_elem(&flows, &key);
	if (f && f->sock_cookie == sf->flow.sock_cookie && !bpf_map_delete_elem(&flows, &key))
		counter_add(WEIR_CNT_ABANDONED);
}

SEC("sockops")
int weir_sockops(struct bpf_sock_ops *ctx)
{
	struct weir_sock_flow *sf;
	struct bpf_sock *sk;
	__u32 op = ctx->op;

	if (op == BPF_SOCK_OPS_STATE_CB) {
		if (!weir_state_abandons(ctx->args[0], ctx->args[1]))
			return 1;
	} else if (op != BPF_SOCK_OPS_TCP_CONNECT_CB) {
		return 1;
	}
	sk = ctx->sk;
	if (!sk)
		return 1;
	sf = bpf_sk_storage_get(&sock_flows, sk, 0, 0);
	if (op == BPF_SOCK_OPS_STATE_CB) {
		if (sf)
			sockops_withdraw(ctx, sf);
	} else if (sf) {
		sockops_publish(ctx, sf);
	} else {
		counter_add(WEIR_CNT_NO_FLOW);
	}
	return 1;
}
