// SPDX-License-Identifier: Apache-2.0
#include "daemon/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpfctl/bpfctl.h"
#include "daemon/file.h"

enum {
	CGROUP_DEPTH_MAX = 64,             /* of a tree that is to be removed or killed */
	CGROUP_FILE_MAX = 4 * 1024 * 1024, /* bytes of cgroup.procs: half a million processes */
};

int cgroup_path_clean(const char *path, char ret[CGROUP_PATH_MAX])
{
	size_t n = 0;

	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0)
			break;
		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return -EINVAL;
		if (n + 1 + len >= CGROUP_PATH_MAX)
			return -ENAMETOOLONG;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
				return -EINVAL;
		ret[n++] = '/';
		memcpy(ret + n, path, len);
		n += len;
		path += len;
	}
	if (n == 0)
		ret[n++] = '/';
	ret[n] = '\0';
	return 0;
}

bool cgroup_path_covers(const char *top, const char *path)
{
	size_t n = strlen(top);

	if (n == 1 && top[0] == '/')
		return true;
	return strncmp(top, path, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int cgroup_open(const char *path)
{
	const char *root = bpfctl_cgroup_root();
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_(close_p) int root_fd = -1;
	long fd;

	if (!root)
		return -ENOTSUP;
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	path += strspn(path, "/");
	fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int cgroup_make(const char *path, bool fresh)
{
	const char *root = bpfctl_cgroup_root();
	char full[CGROUP_PATH_MAX * 2];
	size_t base, len;

	if (!root)
		return -ENOTSUP;
	base = strlen(root);
	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	len = strlen(full);
	for (size_t i = base + 1; i <= len; i++) {
		char c = full[i];

		if (c != '/' && c != '\0')
			continue;
		full[i] = '\0';
		if (mkdir(full, 0755) < 0 && (errno != EEXIST || (fresh && i == len)))
			return -errno;
		full[i] = c;
	}
	return 0;
}

int cgroup_self(char ret[CGROUP_PATH_MAX])
{
	_cleanup_(free_p) char *text = NULL;
	char *line, *save = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_MAX, &text, &len);

	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "0::/", 4) == 0)
			return cgroup_path_clean(line + 3, ret);
	return -ENOENT;
}

/* Reads a file of the cgroup. */
static int cgroup_read(const char *path, const char *file, char **ret, size_t *ret_len)
{
	_cleanup_(close_p) int fd = cgroup_open(path);

	if (fd < 0)
		return fd;
	return file_read(fd, file, CGROUP_FILE_MAX, ret, ret_len);
}

int cgroup_populated(const char *path)
{
	_cleanup_(free_p) char *text = NULL;
	size_t len;
	int r = cgroup_read(path, "cgroup.events", &text, &len);

	if (r == -ENOENT || r == -ENODEV)
		return 0;
	if (r < 0)
		return r;
	return strstr(text, "populated 0") ? 0 : 1;
}

int cgroup_count(const char *path)
{
	_cleanup_(free_p) char *text = NULL;
	size_t len;
	int n = 0, r = cgroup_read(path, "cgroup.procs", &text, &len);

	if (r < 0)
		return r;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

enum walk { WALK_KILL, WALK_REMOVE };

/* Depth first over the directories below fd. */
static int walk(int fd, enum walk what, unsigned depth)
{
	struct dirent *d;
	DIR *dir;
	int r = 0, copy;

	if (depth == CGROUP_DEPTH_MAX)
		return -ELOOP;
	copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	dir = fdopendir(copy);
	if (!dir) {
		r = -errno;
		close(copy);
		return r;
	}
	while (r == 0 && (d = readdir(dir))) {
		int sub;

		if (d->d_type != DT_DIR || strcmp(d->d_name, ".") == 0 ||
		    strcmp(d->d_name, "..") == 0)
			continue;
		sub = openat(fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub < 0)
			continue; /* gone in the meantime */
		r = walk(sub, what, depth + 1);
		close(sub);
		if (r == 0 && what == WALK_REMOVE && unlinkat(fd, d->d_name, AT_REMOVEDIR) < 0 &&
		    errno != ENOENT)
			r = -errno;
	}
	closedir(dir);
	if (r == 0 && what == WALK_KILL) {
		_cleanup_(free_p) char *text = NULL;
		char *line, *save = NULL;
		size_t len;

		r = file_read(fd, "cgroup.procs", CGROUP_FILE_MAX, &text, &len);
		if (r < 0)
			return r == -ENODEV ? 0 : r;
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			long pid = strtol(line, NULL, 10);

			if (pid > 1)
				(void)kill((pid_t)pid, SIGKILL); /* gone already is as good */
		}
	}
	return r;
}

int cgroup_kill(const char *path)
{
	_cleanup_(close_p) int fd = cgroup_open(path);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = file_poke(fd, "cgroup.kill", "1");
	if (r != -ENOENT)
		return r;
	/* Whoever forks faster than this walks is met by the next call: callers repeat it. */
	return walk(fd, WALK_KILL, 0);
}

int cgroup_remove(const char *path)
{
	const char *root = bpfctl_cgroup_root();
	_cleanup_(close_p) int fd = cgroup_open(path);
	char full[CGROUP_PATH_MAX * 2];
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = walk(fd, WALK_REMOVE, 0);
	if (r < 0)
		return r;
	if (snprintf(full, sizeof(full), "%s%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	return rmdir(full) < 0 && errno != ENOENT ? -errno : 0;
}
