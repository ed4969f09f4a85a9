// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * cgroup/sock_create: SCTP, SMC and DCCP connect without passing connect4|6, so such sockets are not
 * handed out at all: socket(2) fails with EPERM, counted. Linux 5.7. Datagrams and raw sockets pass.
 */
SEC("cgroup/sock_create")
int weir_create(struct bpf_sock *ctx)
{
	if (weir_socket_kind_new(ctx->type, ctx->protocol) != WEIR_SOCKET_REFUSE)
		return 1;
	counter_add(WEIR_CNT_PROTOCOL);
	return 0;
}
