/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel structures that the programs look into, with only the fields that they use: the
 * loader relocates each access against the running kernel's BTF (CO-RE).
 */
#ifndef WEIR_KERNEL_BPF_H
#define WEIR_KERNEL_BPF_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define KERNEL __attribute__((preserve_access_index))

struct kernfs_node {
	__u64 id;
} KERNEL;

struct cgroup {
	struct kernfs_node *kn;
} KERNEL;

struct sock_cgroup_data {
	struct cgroup *cgroup; /* since 5.16 */
} KERNEL;

/* Up to 5.15 a tagged word: the pointer when bit 0 is clear, a v1 classid otherwise. */
struct sock_cgroup_data___tagged {
	__u64 val;
} KERNEL;

struct sock {
	struct sock_cgroup_data sk_cgrp_data;
} KERNEL;

struct ip_options {
	unsigned char srr;
} KERNEL;

struct ip_options_rcu {
	struct ip_options opt;
} KERNEL;

struct ipv6_txoptions {
	void *srcrt;
} KERNEL;

struct ipv6_pinfo {
	struct ipv6_txoptions *opt;
} KERNEL;

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	struct ip_options_rcu *inet_opt;
} KERNEL;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
} KERNEL;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
} KERNEL;

struct mptcp_sock {
	struct inet_connection_sock sk;
} KERNEL;

/* What a sock_addr program's context is before the verifier translates accesses to it. */
struct bpf_sock_addr_kern {
	void *uaddr;
	__u32 uaddrlen; /* since 6.7 */
} KERNEL;

#endif
