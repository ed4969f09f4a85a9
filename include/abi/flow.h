/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Shared by the BPF programs and userspace: the flow record and the maps that carry it.
 * Both compilers check the layout below.
 */
#ifndef WEIR_ABI_FLOW_H
#define WEIR_ABI_FLOW_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define WEIR_FLOW_COMM_LEN 16

/* Families as userspace's AF_INET and AF_INET6. */
#define WEIR_AF_INET 2
#define WEIR_AF_INET6 10

/*
 * What connect4|6 saw. Written into the socket's storage at connect(2), copied into `flows` by
 * sockops before the handshake. Never changed afterwards.
 */
struct weir_flow {
	__u64 cgroup_id;    /* of the socket, not of the caller */
	__u64 netns_cookie; /* of the socket */
	__u64 time_ns;      /* CLOCK_MONOTONIC at connect(2) */
	__u64 sock_cookie;  /* of the agent's socket; for MPTCP of its first subflow */
	__u8 dst_ip[16];    /* network order; IPv4 as ::ffff:a.b.c.d whatever the family;
			     * a wildcard as the loopback address it means */
	__u32 pid;          /* thread group id, initial pid namespace */
	__u32 tid;
	__u32 uid; /* initial user namespace */
	__u32 gid;
	__be16 dst_port;
	__u16 family;                  /* of the agent's socket: WEIR_AF_* */
	__u32 scope_id;                /* IPv6 zone as the agent gave it; 0 = none */
	__u8 comm[WEIR_FLOW_COMM_LEN]; /* NUL-padded */
};
_Static_assert(sizeof(struct weir_flow) == 88, "struct weir_flow is part of the map ABI");
_Static_assert(__builtin_offsetof(struct weir_flow, dst_ip) == 32, "weir_flow.dst_ip");
_Static_assert(__builtin_offsetof(struct weir_flow, pid) == 48, "weir_flow.pid");
_Static_assert(__builtin_offsetof(struct weir_flow, dst_port) == 64, "weir_flow.dst_port");
_Static_assert(__builtin_offsetof(struct weir_flow, comm) == 72, "weir_flow.comm");

/* Value of `sock_flows`, the storage of the agent's socket. */
struct weir_sock_flow {
	struct weir_flow flow;
	__u32 pending; /* 1 between connect(2) and the SYN, 0 once handed over */
	__u32 pad;     /* zero */
};
_Static_assert(sizeof(struct weir_sock_flow) == 96, "struct weir_sock_flow is part of the map ABI");

/*
 * Key of `flows`: the connection as the listener sees it. Addresses in the mapped form, network
 * order. src is the agent's end, dst Weir's listener.
 */
struct weir_flow_key {
	__u64 netns_cookie;
	__u8 src_ip[16];
	__u8 dst_ip[16];
	__be16 src_port;
	__be16 dst_port;
	__u32 pad; /* zero */
};
_Static_assert(sizeof(struct weir_flow_key) == 48, "struct weir_flow_key is part of the map ABI");

/* Key of `listeners` (a SOCKHASH): the kernel drops the entry when the socket is closed. */
struct weir_listener_key {
	__u64 netns_cookie;
	__u32 family; /* WEIR_AF_* */
	__u32 pad;    /* zero */
};
_Static_assert(sizeof(struct weir_listener_key) == 16, "struct weir_listener_key");

/* Index into the per-CPU array `counters`: one for every path that refuses, and one for success. */
enum weir_counter {
	WEIR_CNT_REDIRECTED,  /* connect(2) rewritten to a listener */
	WEIR_CNT_NO_LISTENER, /* refused: daemon down, or none in this netns */
	WEIR_CNT_DIRECT,      /* refused: the agent dialled the listener itself */
	WEIR_CNT_NO_STORAGE,  /* refused: no memory for the flow record */
	WEIR_CNT_PROTOCOL, /* refused: a stream socket that is neither TCP nor MPTCP, at connect or creation */
	WEIR_CNT_FLOWS_FULL,   /* the flows map is full: the proxy will find no record and refuse */
	WEIR_CNT_NO_FLOW,      /* sockops saw a connect without a record: the proxy will refuse */
	WEIR_CNT_PUBLISHED,    /* flow records handed over */
	WEIR_CNT_ABANDONED,    /* records taken back: the handshake never ended */
	WEIR_CNT_SOURCE_ROUTE, /* refused: the socket has a source route */
	WEIR_CNT_DEVICE, /* refused: the socket is bound to a device and cannot be freed of it */
	WEIR_CNT_MAX
};

#endif
