// SPDX-License-Identifier: Apache-2.0
/* The proxy's side: bare system calls, nothing that wants a capability. */
#include "bpfctl.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
/* What kernels before 5.14 answer to lookup-and-delete on a hash; not among errno's own. */
#define KERNEL_ENOTSUPP 524

static int map_op(int cmd, int fd, const void *key, void *value)
{
	union bpf_attr attr = {
		.map_fd = (__u32)fd,
		.key = (__u64)(uintptr_t)key,
		.value = (__u64)(uintptr_t)value,
	};

	return syscall(SYS_bpf, cmd, &attr, sizeof(attr)) ? -errno : 0;
}

int bpfctl_flow_take(int flows_fd, const struct weir_flow_key *key, struct weir_flow *ret)
{
	struct weir_flow flow;
	int r = map_op(BPF_MAP_LOOKUP_AND_DELETE_ELEM, flows_fd, key, &flow);

	if (r == -KERNEL_ENOTSUPP || r == -EOPNOTSUPP) {
		/* Two steps do: a four-tuple is accepted once, so nobody else asks for this key. */
		r = map_op(BPF_MAP_LOOKUP_ELEM, flows_fd, key, &flow);
		if (!r)
			r = map_op(BPF_MAP_DELETE_ELEM, flows_fd, key, NULL);
	}
	if (r)
		return r;
	*ret = flow;
	return 0;
}

int bpfctl_netns_cookie(int sock_fd, __u64 *ret)
{
	__u64 cookie;
	socklen_t len = sizeof(cookie);

	if (getsockopt(sock_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		return -errno;
	*ret = cookie;
	return 0;
}

int bpfctl_flow_key_in(int accepted_fd, __u64 netns_cookie, struct weir_flow_key *ret)
{
	struct sockaddr_storage src, dst;
	socklen_t src_len = sizeof(src), dst_len = sizeof(dst);
	struct weir_flow_key key = { .netns_cookie = netns_cookie };
	struct addr a;
	int r;

	if (getpeername(accepted_fd, (struct sockaddr *)&src, &src_len) ||
	    getsockname(accepted_fd, (struct sockaddr *)&dst, &dst_len))
		return -errno;
	r = addr_from_sockaddr((struct sockaddr *)&src, &a);
	if (r)
		return r;
	memcpy(key.src_ip, a.ip, sizeof(key.src_ip));
	key.src_port = a.port_be;
	r = addr_from_sockaddr((struct sockaddr *)&dst, &a);
	if (r)
		return r;
	memcpy(key.dst_ip, a.ip, sizeof(key.dst_ip));
	key.dst_port = a.port_be;
	*ret = key;
	return 0;
}

int bpfctl_flow_key(int accepted_fd, struct weir_flow_key *ret)
{
	__u64 cookie = 0;
	int r = bpfctl_netns_cookie(accepted_fd, &cookie);

	return r ? r : bpfctl_flow_key_in(accepted_fd, cookie, ret);
}
