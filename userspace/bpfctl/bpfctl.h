/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side, as the warden uses it: loads the programs, attaches them to cgroups, registers
 * listeners, hands out the flow map. The only folder that knows libbpf and the skeletons. Needs
 * CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN (to mount a bpffs).
 *
 * Everything is pinned below one bpffs directory, so that links and maps outlive the process: while
 * no daemon listens, connect(2) in attached cgroups fails with EPERM.
 *
 *   PIN/maps/…                the maps
 *   PIN/links/CGROUPID/HOOK   the links of one attached cgroup
 */
#ifndef WEIR_BPFCTL_H
#define WEIR_BPFCTL_H

#include <linux/types.h>

#include "abi/flow.h"
#include "base/addr.h"
#include "base/slice.h"

struct bpfctl;

/* What went wrong, for people, with what to do about it. No newline. */
struct bpfctl_err {
	char message[512];
};

struct bpfctl_config {
	const char *pin_dir; /* absolute; on a bpffs, or a directory on which one is mounted
				  * (mode 0700). Made when missing, its parent is not. */
	unsigned max_flows;  /* entries of the flows map; 0 = 65536. A pinned map keeps its size. */
};

/*
 * Loads the programs, adopting maps that are pinned already, and brings links that are pinned to the
 * new programs, without a gap. 0, or a negative errno with *reterr: -EPERM missing capability,
 * -EOPNOTSUPP kernel lacks a hook (which one), -EBUSY another process has the pin directory open,
 * -EEXIST pinned maps of an incompatible version.
 */
int bpfctl_open(const struct bpfctl_config *cfg, struct bpfctl **ret,
		struct bpfctl_err *reterr) __must_check;
/* Closes; what is pinned stays. NULL is fine. A child that was forked off without exec calls it too (it
 * dups the flows descriptor before): it must hold neither the programs nor the daemon's lock. */
struct bpfctl *bpfctl_close(struct bpfctl *b);
/* Loads everything without pinning it and attaches it to a cgroup made for the purpose. 0, or as
 * bpfctl_open: for `doctor`, beside a running daemon. */
int bpfctl_supported(struct bpfctl_err *reterr) __must_check;
/* What this kernel keeps from us though the programs run, for people; NULL: nothing. Static. */
const char *bpfctl_degraded(const struct bpfctl *b);
/* Removes every pin and unmounts the bpffs if bpfctl_open (of this or an earlier process) mounted it:
 * connects pass again. Only bpfctl_close is left to do then. */
int bpfctl_unpin_all(struct bpfctl *b) __must_check;

/* Registers a listening TCP socket as the place where agents of the socket's own network namespace and
 * family are sent. Bound to 127.0.0.1 or ::1, else -EINVAL. The map holds the socket: closing its
 * last descriptor takes the entry away, and agents are refused. */
int bpfctl_listener_set(struct bpfctl *b, int listen_fd, struct bpfctl_err *reterr) __must_check;

/* Attaches all hooks to the cgroup behind dir_fd, pinned, or none; already attached is 0. -ELOOP: the
 * calling process is in that cgroup or below, its own connections would come back. */
int bpfctl_attach(struct bpfctl *b, int cgroup_dir_fd, __u64 cgroup_id,
		  struct bpfctl_err *reterr) __must_check;
/* Takes the hooks off. Also for a cgroup that is gone. -ENOENT: was not attached. */
int bpfctl_detach(struct bpfctl *b, __u64 cgroup_id) __must_check;
/* The ids that are attached, by their pins: fills up to max, returns how many there are. */
int bpfctl_attached(struct bpfctl *b, __u64 *ret_ids, size_t max) __must_check;

/* Removes the pins of cgroups that the kernel has let go of. How many, or -errno. Now and then. */
int bpfctl_sweep_cgroups(struct bpfctl *b) __must_check;
/* Removes flow records that nobody took for that long (connections reset before they were accepted).
 * Longer than the accept queue can wait. How many, or -errno. */
int bpfctl_sweep_flows(struct bpfctl *b, unsigned max_age_s) __must_check;

/* Sums over CPUs. */
int bpfctl_counters(struct bpfctl *b, __u64 ret[WEIR_CNT_MAX]) __must_check;
/* "redirected", "no-listener", … by enum weir_counter. */
extern const char *const bpfctl_counter_names[WEIR_CNT_MAX];

/* Where v2 is mounted ("/sys/fs/cgroup" or "/sys/fs/cgroup/unified"), from /proc/self/mountinfo;
 * cached. NULL when it is not mounted. */
const char *bpfctl_cgroup_root(void);
/* Path of a cgroup id within the v2 hierarchy, by file handle. 0, -ENOENT gone, -ENAMETOOLONG. */
int bpfctl_cgroup_path(__u64 id, char *ret, size_t size) __must_check;
/* Id of the directory behind fd (the kernfs node's id). -EMEDIUMTYPE: not cgroup v2. */
int bpfctl_cgroup_id(int dir_fd, __u64 *ret) __must_check;

/* ---- for the proxy: works on a map fd alone, without capabilities -------------------------- */

/* The flows map, for the proxy; owned by b. */
int bpfctl_flows_fd(const struct bpfctl *b);
/*
 * Takes the record of a connection out of the map: looked up and deleted. 0; -ENOENT: nobody
 * published one, the peer dialled the listener directly.
 */
int bpfctl_flow_take(int flows_fd, const struct weir_flow_key *key,
		     struct weir_flow *ret) __must_check;
/* The key for an accepted socket: its peer, its own address, its netns cookie. -ENOTCONN: reset since. */
int bpfctl_flow_key(int accepted_fd, struct weir_flow_key *ret) __must_check;
/* The same with the cookie of the listener, asked once: a system call less for each connection. */
int bpfctl_flow_key_in(int accepted_fd, __u64 netns_cookie, struct weir_flow_key *ret) __must_check;
/* Cookie of a socket's network namespace (Linux 5.14). */
int bpfctl_netns_cookie(int sock_fd, __u64 *ret) __must_check;

#endif
