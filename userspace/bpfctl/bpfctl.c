// SPDX-License-Identifier: Apache-2.0
/* Loading, maps, counters. See links.c for what is attached, pin.c for where it is kept. */
#include "internal.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "weir.skel.h"

enum { FLOWS_DEFAULT = 65536 };

const char *const bpfctl_counter_names[WEIR_CNT_MAX] = {
	[WEIR_CNT_REDIRECTED] = "redirected", [WEIR_CNT_NO_LISTENER] = "no-listener",
	[WEIR_CNT_DIRECT] = "direct",         [WEIR_CNT_NO_STORAGE] = "no-storage",
	[WEIR_CNT_PROTOCOL] = "protocol",     [WEIR_CNT_FLOWS_FULL] = "flows-full",
	[WEIR_CNT_NO_FLOW] = "no-flow",       [WEIR_CNT_PUBLISHED] = "published",
	[WEIR_CNT_ABANDONED] = "abandoned",   [WEIR_CNT_SOURCE_ROUTE] = "source-route",
	[WEIR_CNT_DEVICE] = "device",
};

int err_set(struct bpfctl_err *reterr, int code, const char *fmt, ...)
{
	va_list ap;

	if (reterr) {
		va_start(ap, fmt);
		(void)vsnprintf(reterr->message, sizeof(reterr->message), fmt,
				ap); /* cut is fine */
		va_end(ap);
	}
	return code;
}

/* libbpf says what failed only in prose: the first complaint of a load names the program or map. */
static __thread char complaint[256];

static int libbpf_note(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN || complaint[0])
		return 0;
	(void)vsnprintf(complaint, sizeof(complaint), fmt, ap); /* cut is fine */
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

static bool lockdown_hides_memory(void)
{
	_cleanup_(close_p) int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return strstr(text, "[confidentiality]") != NULL;
}

static int load_explain(int code, struct bpfctl_err *reterr)
{
	const char *why = complaint[0] ? complaint : strerror(-code);

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return err_set(reterr, -EOPNOTSUPP,
			       "the kernel has no BTF (/sys/kernel/btf/vmlinux): it needs "
			       "CONFIG_DEBUG_INFO_BTF");
	if (code == -EPERM)
		return err_set(reterr, code,
			       "not allowed to load BPF programs: CAP_BPF, CAP_NET_ADMIN and "
			       "CAP_PERFMON are needed (run as root; in a container, they must be "
			       "granted): %s",
			       why);
	return err_set(reterr, code == -EINVAL || code == -EACCES ? -EOPNOTSUPP : code,
		       "the kernel refuses Weir's BPF programs (Linux 5.14 or later is needed): %s",
		       why);
}

static void prog_fds_fill(const struct weir_bpf *skel, int ret[HOOK_MAX])
{
	ret[HOOK_SOCKOPS] = bpf_program__fd(skel->progs.weir_sockops);
	ret[HOOK_GETPEERNAME4] = bpf_program__fd(skel->progs.weir_peername4);
	ret[HOOK_GETPEERNAME6] = bpf_program__fd(skel->progs.weir_peername6);
	ret[HOOK_SOCK_CREATE] = bpf_program__fd(skel->progs.weir_create);
	ret[HOOK_CONNECT4] = bpf_program__fd(skel->progs.weir_connect4);
	ret[HOOK_CONNECT6] = bpf_program__fd(skel->progs.weir_connect6);
}

static struct weir_bpf *skel_free(struct weir_bpf *skel)
{
	weir_bpf__destroy(skel);
	return NULL;
}

DEFINE_CLEANUP(struct weir_bpf, skel_free)

/* A map that is pinned already keeps its size: agents' records are in it. */
static int map_size_adopt(struct bpf_map *map, const char *path)
{
	_cleanup_(close_p) int fd = bpf_obj_get(path);
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = bpf_obj_get_info_by_fd(fd, &info, &len);
	return r ? r : bpf_map__set_max_entries(map, info.max_entries);
}

static int maps_prepare(struct weir_bpf *skel, const char *dir, unsigned max_flows)
{
	struct bpf_map *maps[] = { skel->maps.flows, skel->maps.listeners, skel->maps.sock_flows,
				   skel->maps.counters };
	int r = bpf_map__set_max_entries(skel->maps.flows, max_flows ? max_flows : FLOWS_DEFAULT);

	for (size_t i = 0; i < ARRAY_SIZE(maps) && !r && dir; i++) {
		char path[PIN_PATH_MAX];

		r = pin_path(path, "%s/maps/%s", dir, bpf_map__name(maps[i]));
		if (!r)
			r = bpf_map__set_pin_path(maps[i], path);
		if (!r && maps[i] == skel->maps.flows)
			r = map_size_adopt(maps[i], path);
	}
	return r;
}

/* dir NULL: nothing is pinned or adopted. */
static int skel_load(const char *dir, unsigned max_flows, bool kread, struct weir_bpf **ret,
		     struct bpfctl_err *reterr)
{
	_cleanup_(skel_free_p) struct weir_bpf *skel = NULL;
	libbpf_print_fn_t before;
	int r;

	complaint[0] = '\0';
	before = libbpf_set_print(libbpf_note);
	skel = weir_bpf__open();
	if (!skel) {
		r = -errno;
	} else {
		skel->rodata->weir_kread = kread;
		r = maps_prepare(skel, dir, max_flows);
		if (!r)
			r = weir_bpf__load(skel);
	}
	(void)libbpf_set_print(before); /* gives back libbpf_note */
	if (r && dir && strstr(complaint, "pinned map"))
		return err_set(
			reterr, -EEXIST,
			"%s/maps holds maps of another version: stop the daemon, then remove "
			"%s (agents connect directly from then on): %s",
			dir, dir, complaint);
	if (r)
		return load_explain(r, reterr);
	*ret = TAKE_PTR(skel);
	return 0;
}

/* First with all reads of kernel memory; where lockdown forbids those, with what is left. */
static int skel_load_best(const char *dir, unsigned max_flows, struct weir_bpf **ret,
			  bool *ret_no_kread, struct bpfctl_err *reterr)
{
	bool no_kread = lockdown_hides_memory();
	int r = skel_load(dir, max_flows, !no_kread, ret, reterr);

	if (!r)
		*ret_no_kread = no_kread;
	return r;
}

DEFINE_CLEANUP(struct bpfctl, bpfctl_close)

int bpfctl_open(const struct bpfctl_config *cfg, struct bpfctl **ret, struct bpfctl_err *reterr)
{
	_cleanup_(bpfctl_close_p) struct bpfctl *b = NULL;
	static const char *const subdirs[] = { "maps", "links" };
	char path[PIN_PATH_MAX];
	int n, r;

	if (!bpfctl_cgroup_root())
		return err_set(reterr, -EOPNOTSUPP,
			       "no cgroup v2 hierarchy is mounted: mount -t cgroup2 none "
			       "/sys/fs/cgroup");
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(reterr, -ENOMEM, "out of memory");
	b->dir_fd = -1;
	n = snprintf(b->dir, sizeof(b->dir), "%s", cfg->pin_dir);
	if (n < 0 || (size_t)n >= sizeof(b->dir) || b->dir[0] != '/')
		return err_set(reterr, -EINVAL, "%s: the pin directory must be an absolute path",
			       cfg->pin_dir);
	while (n > 1 && b->dir[n - 1] == '/')
		b->dir[--n] = '\0';
	r = pin_dir_open(b->dir, &b->dir_fd, reterr);
	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(subdirs); i++) {
		r = pin_path(path, "%s/%s", b->dir, subdirs[i]);
		if (!r)
			r = pin_mkdir(path);
		if (r)
			return err_set(reterr, r, "cannot make %s/%s: %s", b->dir, subdirs[i],
				       strerror(-r));
	}
	r = skel_load_best(b->dir, cfg->max_flows, &b->skel, &b->no_kread, reterr);
	if (r)
		return r;
	prog_fds_fill(b->skel, b->prog_fds);
	r = links_adopt(b, reterr);
	if (r)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

struct bpfctl *bpfctl_close(struct bpfctl *b)
{
	if (!b)
		return NULL;
	weir_bpf__destroy(b->skel);
	close_p(&b->dir_fd);
	free(b);
	return NULL;
}

int bpfctl_supported(struct bpfctl_err *reterr)
{
	_cleanup_(skel_free_p) struct weir_bpf *skel = NULL;
	_cleanup_(close_p) int fd = -1;
	const char *root = bpfctl_cgroup_root();
	int progs[HOOK_MAX], links[HOOK_MAX], r;
	char path[PATH_MAX + 64];
	bool no_kread;

	if (!root)
		return err_set(reterr, -EOPNOTSUPP, "no cgroup v2 hierarchy is mounted");
	r = skel_load_best(NULL, 1, &skel, &no_kread, reterr);
	if (r)
		return r;
	prog_fds_fill(skel, progs);
	(void)snprintf(path, sizeof(path), "%s/weir-probe-%d", root, (int)getpid()); /* fits */
	if (mkdir(path, 0700))
		return err_set(reterr, -errno, "cannot make a cgroup below %s: %s", root,
			       strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? err_set(reterr, -errno, "cannot open %s: %s", path, strerror(errno))
		   : links_make(progs, fd, links, reterr);
	if (!r)
		links_close(links);
	(void)rmdir(path); /* empty and ours */
	return r;
}

const char *bpfctl_degraded(const struct bpfctl *b)
{
	return b->no_kread
		       ? "kernel lockdown (confidentiality) forbids reading kernel memory: the "
			 "zone of link-local destinations is not known, and before Linux 5.16 the "
			 "identity is the caller's cgroup, not the socket's"
		       : NULL;
}

int bpfctl_unpin_all(struct bpfctl *b)
{
	static const char *const maps[] = { "flows", "listeners", "sock_flows", "counters" };
	char path[PIN_PATH_MAX];
	__u64 ids[64];
	int n, r;

	while ((n = bpfctl_attached(b, ids, ARRAY_SIZE(ids))) > 0) {
		for (int i = 0; i < MIN(n, (int)ARRAY_SIZE(ids)); i++) {
			r = bpfctl_detach(b, ids[i]);
			if (r)
				return r;
		}
	}
	if (n < 0)
		return n;
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		r = pin_path(path, "%s/maps/%s", b->dir, maps[i]);
		if (!r && unlink(path) && errno != ENOENT)
			r = -errno;
		if (r)
			return r;
	}
	r = pin_path(path, "%s/maps", b->dir);
	if (!r && rmdir(path))
		r = -errno;
	if (!r)
		r = pin_path(path, "%s/links", b->dir);
	if (!r && rmdir(path))
		r = -errno;
	return r ? r : pin_dir_unmount(b->dir);
}

static int sock_int(int fd, int option)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) ? -errno : v;
}

int bpfctl_listener_set(struct bpfctl *b, int listen_fd, struct bpfctl_err *reterr)
{
	struct weir_listener_key key = { 0 };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	__u64 value = (__u64)listen_fd;
	int r;

	if (sock_int(listen_fd, SO_ACCEPTCONN) != 1 ||
	    sock_int(listen_fd, SO_PROTOCOL) != IPPROTO_TCP)
		return err_set(reterr, -EINVAL, "not a listening TCP socket");
	if (getsockname(listen_fd, (struct sockaddr *)&ss, &len))
		return err_set(reterr, -errno, "cannot read the listener's address: %s",
			       strerror(errno));
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;

		r = in->sin_addr.s_addr == htonl(INADDR_LOOPBACK) ? 0 : -EINVAL;
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;

		r = ss.ss_family == AF_INET6 && memcmp(&in6->sin6_addr, &in6addr_loopback, 16) == 0
			    ? 0
			    : -EINVAL;
	}
	if (r)
		return err_set(reterr, r, "a listener must be bound to 127.0.0.1 or ::1");
	key.family = ss.ss_family;
	r = bpfctl_netns_cookie(listen_fd, &key.netns_cookie);
	if (r)
		return err_set(reterr, r, "cannot read the namespace's cookie (Linux 5.14): %s",
			       strerror(-r));
	r = bpf_map_update_elem(bpf_map__fd(b->skel->maps.listeners), &key, &value, BPF_ANY);
	if (r)
		return err_set(reterr, r, "cannot register the listener: %s%s", strerror(-r),
			       r == -E2BIG ? " (too many network namespaces)" : "");
	return 0;
}

int bpfctl_counters(struct bpfctl *b, __u64 ret[WEIR_CNT_MAX])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_(free_p) __u64 *per_cpu = NULL;

	if (cpus < 0)
		return cpus;
	per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	if (!per_cpu)
		return -ENOMEM;
	for (__u32 i = 0; i < WEIR_CNT_MAX; i++) {
		int r = bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.counters), &i, per_cpu);

		if (r)
			return r;
		ret[i] = 0;
		for (int c = 0; c < cpus; c++)
			ret[i] += per_cpu[c];
	}
	return 0;
}

int bpfctl_flows_fd(const struct bpfctl *b)
{
	return bpf_map__fd(b->skel->maps.flows);
}

int bpfctl_sweep_flows(struct bpfctl *b, unsigned max_age_s)
{
	int fd = bpfctl_flows_fd(b), swept = 0;
	uint64_t now = clock_monotonic_ns(), age = max_age_s * NSEC_PER_SEC;
	/* Deletions by the proxy may send the walk back to its beginning: bounded all the same. */
	size_t steps = 2 * (size_t)bpf_map__max_entries(b->skel->maps.flows);
	struct weir_flow_key key, next;
	struct weir_flow f;
	int r = bpf_map_get_next_key(fd, NULL, &key);

	while (!r && steps--) {
		r = bpf_map_get_next_key(fd, &key, &next);
		if (!bpf_map_lookup_elem(fd, &key, &f) && f.time_ns + age < now &&
		    !bpf_map_delete_elem(fd, &key))
			swept++;
		if (!r)
			key = next;
	}
	return r && r != -ENOENT ? r : swept;
}
