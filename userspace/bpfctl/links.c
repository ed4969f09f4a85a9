// SPDX-License-Identifier: Apache-2.0
/* The links of attached cgroups. No descriptor is kept: the pins hold them. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

const struct hook_info hook_infos[HOOK_MAX] = {
	[HOOK_SOCKOPS] = { "sockops", BPF_CGROUP_SOCK_OPS },
	[HOOK_GETPEERNAME4] = { "getpeername4", BPF_CGROUP_INET4_GETPEERNAME },
	[HOOK_GETPEERNAME6] = { "getpeername6", BPF_CGROUP_INET6_GETPEERNAME },
	[HOOK_SOCK_CREATE] = { "sock_create", BPF_CGROUP_INET_SOCK_CREATE },
	[HOOK_CONNECT4] = { "connect4", BPF_CGROUP_INET4_CONNECT },
	[HOOK_CONNECT6] = { "connect6", BPF_CGROUP_INET6_CONNECT },
};

void links_close(int fds[HOOK_MAX])
{
	for (int h = HOOK_MAX - 1; h >= 0; h--)
		close_p(&fds[h]);
}

static int link_make(int prog_fd, int cgroup_fd, enum hook h, int *ret_fd,
		     struct bpfctl_err *reterr)
{
	int fd = bpf_link_create(prog_fd, cgroup_fd, hook_infos[h].type, NULL);

	if (fd < 0)
		return err_set(
			reterr, fd, "cannot attach %s: %s%s", hook_infos[h].name, strerror(-fd),
			fd == -EPERM    ? "; a program attached above without BPF_F_ALLOW_MULTI "
					  "forbids it, or CAP_NET_ADMIN is missing"
			: fd == -EINVAL ? "; this kernel lacks the hook"
			: fd == -E2BIG  ? "; 64 programs of this kind are there already"
					: "");
	*ret_fd = fd;
	return 0;
}

int links_make(const int prog_fds[HOOK_MAX], int cgroup_fd, int ret_fds[HOOK_MAX],
	       struct bpfctl_err *reterr)
{
	int fds[HOOK_MAX], r = 0;

	memset(fds, -1, sizeof(fds));
	for (int h = 0; h < HOOK_MAX && !r; h++)
		r = link_make(prog_fds[h], cgroup_fd, (enum hook)h, &fds[h], reterr);
	if (r) {
		/* Nothing pins them, so closing takes them off too, but when the kernel pleases. */
		for (int h = HOOK_MAX - 1; h >= 0; h--)
			if (fds[h] >= 0)
				(void)bpf_link_detach(fds[h]);
		links_close(fds);
	} else {
		memcpy(ret_fds, fds, sizeof(fds));
	}
	return r;
}

static int link_pin(struct bpfctl *b, __u64 id, enum hook h, int fd)
{
	char path[PIN_PATH_MAX];
	int r = pin_path(path, "%s/links/%llu/%s", b->dir, id, hook_infos[h].name);

	return r ? r : bpf_obj_pin(fd, path);
}

/* The pinned link, checked to be what its name says. -ENOENT: not there. */
static int link_get(struct bpfctl *b, __u64 id, enum hook h, int *ret_fd, __u64 *ret_cgroup)
{
	_cleanup_(close_p) int fd = -1;
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);
	char path[PIN_PATH_MAX];
	int r = pin_path(path, "%s/links/%llu/%s", b->dir, id, hook_infos[h].name);

	if (r)
		return r;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	r = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (r)
		return r;
	if (info.type != BPF_LINK_TYPE_CGROUP || info.cgroup.attach_type != hook_infos[h].type)
		return -EUCLEAN;
	*ret_cgroup = info.cgroup.cgroup_id;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Detaching first makes it immediate: dropping the last reference is left to a worker. */
static int links_remove(struct bpfctl *b, __u64 id)
{
	char path[PIN_PATH_MAX];
	int err = 0, r;

	for (int h = HOOK_MAX - 1; h >= 0; h--) {
		_cleanup_(close_p) int fd = -1;
		__u64 cgroup;

		r = link_get(b, id, (enum hook)h, &fd, &cgroup);
		if (!r && cgroup)
			(void)bpf_link_detach(fd); /* else the cgroup went away meanwhile */
		r = pin_path(path, "%s/links/%llu/%s", b->dir, id, hook_infos[h].name);
		if (!r && unlink(path) && errno != ENOENT)
			r = -errno;
		if (r)
			err = r;
	}
	r = pin_path(path, "%s/links/%llu", b->dir, id);
	if (!r && rmdir(path))
		r = -errno;
	return r ? r : err;
}

/* Whoever attached the cgroup that Weir lives in would send the proxy's own connections to it. */
static int attach_spares_us(__u64 cgroup_id)
{
	char theirs[PATH_MAX], line[PATH_MAX + 16];
	FILE *f;
	size_t n;
	int r = bpfctl_cgroup_path(cgroup_id, theirs, sizeof(theirs));

	if (r)
		return r;
	n = strcmp(theirs, "/") == 0 ? 0 : strlen(theirs);
	f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return -errno;
	r = 0;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0 && strncmp(line + 3, theirs, n) == 0 &&
		    (line[3 + n] == '/' || !line[3 + n]))
			r = -ELOOP;
	}
	(void)fclose(f); /* only read */
	return r;
}

static int attach_fill(struct bpfctl *b, int dir_fd, __u64 id, struct bpfctl_err *reterr)
{
	int fds[HOOK_MAX], r;
	char path[PIN_PATH_MAX];

	r = links_make(b->prog_fds, dir_fd, fds, reterr);
	if (r)
		return r;
	r = pin_path(path, "%s/links/%llu", b->dir, id);
	if (!r)
		r = pin_mkdir(path);
	for (int h = 0; h < HOOK_MAX && !r; h++)
		r = link_pin(b, id, (enum hook)h, fds[h]);
	links_close(fds);
	if (r) {
		(void)links_remove(b, id); /* the first failure is the one to tell */
		return err_set(reterr, r, "cannot pin the links of cgroup %llu below %s: %s", id,
			       b->dir, strerror(-r));
	}
	return 0;
}

/* Whether every hook is pinned: 1 yes, 0 some are missing, -ENOENT none is there. */
static int links_complete(struct bpfctl *b, __u64 id)
{
	int have = 0;

	for (int h = 0; h < HOOK_MAX; h++) {
		_cleanup_(close_p) int fd = -1;
		__u64 cgroup;
		int r = link_get(b, id, (enum hook)h, &fd, &cgroup);

		if (!r && cgroup == id)
			have++;
		else if (r && r != -ENOENT)
			return r;
	}
	return have == HOOK_MAX ? 1 : have ? 0 : -ENOENT;
}

/* New programs into the pinned links of one cgroup; hooks that are missing are added. */
static int links_refresh(struct bpfctl *b, int cgroup_fd, __u64 id, struct bpfctl_err *reterr)
{
	for (int h = 0; h < HOOK_MAX; h++) {
		_cleanup_(close_p) int fd = -1;
		__u64 cgroup;
		int r = link_get(b, id, (enum hook)h, &fd, &cgroup);

		if (!r) {
			r = bpf_link_update(fd, b->prog_fds[h], NULL);
			if (r)
				return err_set(reterr, r, "cannot update %s of cgroup %llu: %s",
					       hook_infos[h].name, id, strerror(-r));
		} else if (r == -ENOENT) {
			r = link_make(b->prog_fds[h], cgroup_fd, (enum hook)h, &fd, reterr);
			if (r)
				return r;
			r = link_pin(b, id, (enum hook)h, fd);
			if (r)
				return err_set(reterr, r, "cannot pin %s of cgroup %llu: %s",
					       hook_infos[h].name, id, strerror(-r));
		} else {
			return err_set(reterr, r, "the pin %s/links/%llu/%s is not ours", b->dir,
				       id, hook_infos[h].name);
		}
	}
	return 0;
}

int bpfctl_attach(struct bpfctl *b, int cgroup_dir_fd, __u64 cgroup_id, struct bpfctl_err *reterr)
{
	__u64 id;
	int r = bpfctl_cgroup_id(cgroup_dir_fd, &id);

	if (r == -EMEDIUMTYPE)
		return err_set(reterr, r, "not a directory of the cgroup v2 hierarchy");
	if (r)
		return err_set(reterr, r, "cannot read the cgroup's id: %s", strerror(-r));
	if (id != cgroup_id)
		return err_set(reterr, -ESTALE, "the cgroup's id is %llu, not %llu", id, cgroup_id);
	r = attach_spares_us(id);
	if (r == -ELOOP)
		return err_set(
			reterr, r,
			"Weir itself runs in this cgroup or below: its own connections would "
			"come back to it; start the daemon in a cgroup of its own");
	if (r)
		return err_set(reterr, r, "cannot find the cgroup's path: %s", strerror(-r));
	r = links_complete(b, id);
	if (r == 1)
		return 0;
	if (r == -ENOENT)
		return attach_fill(b, cgroup_dir_fd, id, reterr);
	if (r)
		return err_set(reterr, r, "cannot read the pins of cgroup %llu: %s", id,
			       strerror(-r));
	return links_refresh(b, cgroup_dir_fd, id, reterr);
}

int bpfctl_detach(struct bpfctl *b, __u64 cgroup_id)
{
	return links_remove(b, cgroup_id);
}

int bpfctl_attached(struct bpfctl *b, __u64 *ret_ids, size_t max)
{
	char path[PIN_PATH_MAX];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;
	int r = pin_path(path, "%s/links", b->dir);

	if (r)
		return r;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		uint64_t id;

		if (slice_to_u64(slice_str(d->d_name), &id))
			continue;
		if (n < max)
			ret_ids[n] = id;
		n++;
	}
	(void)closedir(dir); /* only read */
	return n > INT_MAX ? -EOVERFLOW : (int)n;
}

/* All ids on the heap; the count may grow between two readings only by our own doing. */
static int attached_all(struct bpfctl *b, __u64 **ret)
{
	_cleanup_(free_p) __u64 *ids = NULL;
	int n = bpfctl_attached(b, NULL, 0), again;

	if (n < 0)
		return n;
	ids = calloc((size_t)n + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	again = bpfctl_attached(b, ids, (size_t)n);
	if (again < 0)
		return again;
	*ret = TAKE_PTR(ids);
	return MIN(n, again);
}

/* Gone: the kernel took the links off when it released the cgroup, so they name none any more. */
static bool cgroup_gone(struct bpfctl *b, __u64 id)
{
	for (int h = 0; h < HOOK_MAX; h++) {
		_cleanup_(close_p) int fd = -1;
		__u64 cgroup;
		int r = link_get(b, id, (enum hook)h, &fd, &cgroup);

		if (!r)
			return cgroup == 0;
		if (r != -ENOENT)
			return false;
	}
	return true; /* an empty directory */
}

int links_adopt(struct bpfctl *b, struct bpfctl_err *reterr)
{
	_cleanup_(free_p) __u64 *ids = NULL;
	int n = attached_all(b, &ids), r = 0;

	if (n < 0)
		return err_set(reterr, n, "cannot list %s/links: %s", b->dir, strerror(-n));
	for (int i = 0; i < n && !r; i++) {
		char path[PATH_MAX], full[2 * PATH_MAX];
		_cleanup_(close_p) int fd = -1;

		r = bpfctl_cgroup_path(ids[i], path, sizeof(path));
		if (!r) {
			(void)snprintf(full, sizeof(full), "%s%s", bpfctl_cgroup_root(), path);
			fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
		if (fd < 0) {
			/* Removed, but sockets may still hold it: then its links work on. */
			r = cgroup_gone(b, ids[i]) ? links_remove(b, ids[i]) : 0;
			if (r)
				r = err_set(reterr, r, "cannot remove the pins of cgroup %llu: %s",
					    ids[i], strerror(-r));
			continue;
		}
		r = links_refresh(b, fd, ids[i], reterr);
	}
	return r;
}

int bpfctl_sweep_cgroups(struct bpfctl *b)
{
	_cleanup_(free_p) __u64 *ids = NULL;
	int n = attached_all(b, &ids), swept = 0;

	for (int i = 0; i < n; i++) {
		if (!cgroup_gone(b, ids[i]))
			continue;
		if (!links_remove(b, ids[i]))
			swept++;
	}
	return n < 0 ? n : swept;
}
