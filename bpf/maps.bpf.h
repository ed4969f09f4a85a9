/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of all hooks, and the constants that the loader sets between open and load. */
#ifndef WEIR_MAPS_BPF_H
#define WEIR_MAPS_BPF_H

#include "kernel.bpf.h"

#include "abi/flow.h"

/* 1: bpf_probe_read_kernel may be called. 0 under lockdown=confidentiality, see docs/kernel.md. */
const volatile __u32 weir_kread = 1;

/* Published by sockops, taken by the proxy. Never an LRU: an evicted record would turn an agent's
 * connection into one of unknown origin. Full: the connection is refused by the proxy. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_flow_key);
	__type(value, struct weir_flow);
} flows SEC(".maps");

/* Holds the listening socket itself, so a port that somebody else took since is never used. Each
 * namespace and family has an entry, and userspace adds them: full means that it is told so. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 16384);
	__type(key, struct weir_listener_key);
	__type(value, __u64);
} listeners SEC(".maps");

/* The record in the agent's own socket; lives and dies with it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct weir_sock_flow);
} sock_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_CNT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void counter_add(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	if (n)
		(*n)++; /* per CPU: a hook interrupted by another on the same CPU may lose one */
}

#endif
