/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private network namespace with nothing but loopback, a bpffs, and cgroups, for one test program.
 * Agents are children: they enter the cgroup, run a function and exit with what it returns.
 */
#ifndef WEIR_BPF_LAB_H
#define WEIR_BPF_LAB_H

#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpfctl/bpfctl.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct lab {
	struct bpfctl *b;
	char pins[64];
	char cgroup[PATH_MAX];
	__u64 id;
	int dir_fd;
	int listen4, listen6;
};

static struct lab lab;
static const struct bpfctl_config *lab_config;

static __attribute__((unused)) int lab_listen(int family)
{
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, family == AF_INET ? (void *)&a4 : (void *)&a6,
			      family == AF_INET ? sizeof(a4) : sizeof(a6)),
			 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

static __attribute__((unused)) uint16_t lab_port_be(int fd)
{
	struct sockaddr_in6 a; /* the port stands at the same place in both families */
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return a.sin6_port;
}

static __attribute__((unused)) void lab_reopen(void)
{
	struct bpfctl_config cfg = { .pin_dir = lab.pins };
	struct bpfctl_err err = { "" };

	if (lab_config)
		cfg.max_flows = lab_config->max_flows;
	if (bpfctl_open(&cfg, &lab.b, &err))
		fail_msg("%s", err.message);
}

static __attribute__((unused)) void lab_register(void)
{
	struct bpfctl_err err = { "" };

	if (bpfctl_listener_set(lab.b, lab.listen4, &err) ||
	    bpfctl_listener_set(lab.b, lab.listen6, &err))
		fail_msg("%s", err.message);
}

static __attribute__((unused)) void lab_attach(void)
{
	struct bpfctl_err err = { "" };

	if (bpfctl_attach(lab.b, lab.dir_fd, lab.id, &err))
		fail_msg("%s", err.message);
}

/* Makes the cgroup and returns a descriptor of it. */
static __attribute__((unused)) int lab_cgroup(const char *path, __u64 *ret_id)
{
	int fd;

	assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(bpfctl_cgroup_id(fd, ret_id), 0);
	return fd;
}

static __attribute__((unused)) void lab_loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static __attribute__((unused)) int lab_setup(void **state)
{
	memset(&lab, 0, sizeof(lab));
	lab.dir_fd = lab.listen4 = lab.listen6 = -1;
	snprintf(lab.pins, sizeof(lab.pins), "/tmp/weir-test-pins-%d", (int)getpid());
	lab_reopen();
	snprintf(lab.cgroup, sizeof(lab.cgroup), "%s/weir-test-%d", bpfctl_cgroup_root(),
		 (int)getpid());
	lab.dir_fd = lab_cgroup(lab.cgroup, &lab.id);
	lab.listen4 = lab_listen(AF_INET);
	lab.listen6 = lab_listen(AF_INET6);
	lab_register();
	lab_attach();
	return 0;
}

static __attribute__((unused)) int lab_teardown(void **state)
{
	int r = lab.b ? bpfctl_unpin_all(lab.b) : 0;

	lab.b = bpfctl_close(lab.b);
	close_p(&lab.dir_fd);
	close_p(&lab.listen4);
	close_p(&lab.listen6);
	(void)umount2(lab.pins, MNT_DETACH); /* is gone when unpin_all worked */
	if (rmdir(lab.pins) && errno != ENOENT)
		r = -errno;
	if (rmdir(lab.cgroup) && errno != ENOENT)
		r = -errno;
	return r;
}

static __attribute__((unused)) int enter(const char *cgroup)
{
	char path[PATH_MAX + 16];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fprintf(f, "0\n");
	return fclose(f) ? -errno : 0;
}

/* Starts fn in a child that is in the cgroup (NULL: where we are). */
static __attribute__((unused)) pid_t agent_start(const char *cgroup, int (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		if (cgroup)
			lab.b = bpfctl_close(lab.b); /* or it would hold the lock too */
		_exit(cgroup && enter(cgroup) ? 125 : fn(arg));
	}
	return pid;
}

static __attribute__((unused)) int agent_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static __attribute__((unused)) int agent(int (*fn)(void *), void *arg)
{
	return agent_wait(agent_start(lab.cgroup, fn, arg));
}

/* Literal and port to a sockaddr; returns its length. */
static __attribute__((unused)) socklen_t sa(const char *ip, uint16_t port,
					    struct sockaddr_storage *ret)
{
	struct sockaddr_in *a4 = (void *)ret;
	struct sockaddr_in6 *a6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, ip, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons(port);
		return sizeof(*a4);
	}
	if (inet_pton(AF_INET6, ip, &a6->sin6_addr) != 1)
		abort();
	a6->sin6_family = AF_INET6;
	a6->sin6_port = htons(port);
	return sizeof(*a6);
}

/* What an agent dials, and how. */
struct dial {
	const char *ip;
	uint16_t port;
	int protocol;       /* of the socket */
	const char *bound;  /* to this address first */
	const char *device; /* SO_BINDTODEVICE */
};

/* 0, or errno of connect(2); 120 and up: the agent could tell. */
static __attribute__((unused)) int dial_run(void *arg)
{
	const struct dial *d = arg;
	struct sockaddr_storage to, peer;
	socklen_t to_len = sa(d->ip, d->port, &to), len = sizeof(peer);
	int fd = socket(to.ss_family, SOCK_STREAM, d->protocol);

	if (fd < 0)
		return 121;
	if (d->bound) {
		struct sockaddr_storage from;
		socklen_t n = sa(d->bound, 0, &from);

		if (bind(fd, (struct sockaddr *)&from, n))
			return 122;
	}
	if (d->device &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, d->device, strlen(d->device) + 1))
		return 123;
	if (connect(fd, (struct sockaddr *)&to, to_len))
		return errno;
	if (getpeername(fd, (struct sockaddr *)&peer, &len))
		return 124;
	if (len != to_len || memcmp(&to, &peer, to_len) != 0)
		return 126;
	return 0;
}

/* Accepts what is queued. -1 when nothing is. */
static __attribute__((unused)) int lab_accept(int listen_fd)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	return poll(&p, 1, 300) == 1 ? accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
}

/* Accepts and takes the record. 0, or the negative errno of bpfctl_flow_take. */
static __attribute__((unused)) int lab_take(int listen_fd, struct weir_flow *ret)
{
	struct weir_flow_key key;
	int fd = lab_accept(listen_fd), r;

	assert_true(fd >= 0);
	assert_int_equal(bpfctl_flow_key(fd, &key), 0);
	r = bpfctl_flow_take(bpfctl_flows_fd(lab.b), &key, ret);
	close(fd);
	return r;
}

static __attribute__((unused)) void assert_dst(const struct weir_flow *f, const char *ip,
					       uint16_t port)
{
	struct addr want;

	assert_int_equal(addr_parse_ip(slice_str(ip), &want), 0);
	assert_memory_equal(f->dst_ip, want.ip, 16);
	assert_int_equal(ntohs(f->dst_port), port);
}

static __attribute__((unused)) __u64 lab_count(enum weir_counter c)
{
	__u64 all[WEIR_CNT_MAX];

	assert_int_equal(bpfctl_counters(lab.b, all), 0);
	return all[c];
}

/* First in main(): exits 77 when the machine cannot run these tests. */
static __attribute__((unused)) void lab_require(void)
{
	struct bpfctl_err err = { "" };

	if (geteuid() != 0) {
		fprintf(stderr, "SKIP: needs root\n");
		exit(77);
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		fprintf(stderr, "SKIP: no network namespaces: %s\n", strerror(errno));
		exit(77);
	}
	lab_loopback_up();
	if (bpfctl_supported(&err)) {
		fprintf(stderr, "SKIP: %s\n", err.message);
		exit(77);
	}
}

#endif
