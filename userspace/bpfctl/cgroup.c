// SPDX-License-Identifier: Apache-2.0
/* Names of cgroups: mount point, id, path. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* linux/exportfs.h, which is not exported: a handle made of a kernfs node's id. */
#define FILEID_KERNFS 0xfe

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void mount_unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

bool mount_find(const char *type, const char *point, char *ret_point, char *ret_source, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_(free_p) char *line = NULL;
	size_t cap = 0;
	bool found = false;

	if (!f)
		return false;
	/* "id parent major:minor root point options [tags…] - type source super" */
	while (getline(&line, &cap, f) > 0) {
		char *save = NULL, *root = NULL, *at = NULL, *is, *from;
		char *dash = strstr(line, " - ");

		if (!dash)
			continue;
		*dash = '\0';
		is = strtok_r(dash + 3, " \n", &save);
		from = strtok_r(NULL, " \n", &save);
		if (!is || !from || strcmp(is, type) != 0)
			continue;
		save = NULL;
		for (int i = 0; i < 5; i++) {
			char *field = strtok_r(i ? NULL : line, " ", &save);

			if (i == 3)
				root = field;
			if (i == 4)
				at = field;
		}
		if (!root || !at)
			continue;
		mount_unescape(at);
		/* Without a wish the first whole tree is taken, not a subtree bound elsewhere. */
		if (point ? strcmp(at, point) != 0 : strcmp(root, "/") != 0 || found)
			continue;
		mount_unescape(from);
		if (strlen(at) >= size || strlen(from) >= size)
			continue;
		memcpy(ret_point, at, strlen(at) + 1);
		memcpy(ret_source, from, strlen(from) + 1);
		found = true;
	}
	(void)fclose(f); /* only read */
	return found;
}

static char cgroup_root[PATH_MAX];
static pthread_once_t cgroup_root_once = PTHREAD_ONCE_INIT;

static void cgroup_root_find(void)
{
	char source[PATH_MAX];

	if (!mount_find("cgroup2", NULL, cgroup_root, source, sizeof(cgroup_root)))
		cgroup_root[0] = '\0';
}

const char *bpfctl_cgroup_root(void)
{
	(void)pthread_once(&cgroup_root_once, cgroup_root_find); /* cannot fail with these */
	return cgroup_root[0] ? cgroup_root : NULL;
}

int bpfctl_cgroup_id(int dir_fd, __u64 *ret)
{
	union {
		struct file_handle head;
		uint8_t bytes[sizeof(struct file_handle) + sizeof(__u64)];
	} h = { .head = { .handle_bytes = sizeof(__u64) } };
	struct statfs fs;
	int mount_id;

	if (fstatfs(dir_fd, &fs))
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EMEDIUMTYPE;
	if (name_to_handle_at(dir_fd, "", &h.head, &mount_id, AT_EMPTY_PATH))
		return -errno;
	memcpy(ret, h.bytes + sizeof(struct file_handle), sizeof(*ret));
	return 0;
}

int bpfctl_cgroup_path(__u64 id, char *ret, size_t size)
{
	union {
		struct file_handle head;
		uint8_t bytes[sizeof(struct file_handle) + sizeof(__u64)];
	} h = { .head = { .handle_bytes = sizeof(__u64), .handle_type = FILEID_KERNFS } };
	const char *root = bpfctl_cgroup_root();
	_cleanup_(close_p) int mnt = -1, fd = -1;
	char link[64], path[PATH_MAX];
	size_t skip;
	struct stat st;
	ssize_t n;

	if (!root)
		return -ENOENT;
	mnt = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mnt < 0)
		return -errno;
	memcpy(h.bytes + sizeof(struct file_handle), &id, sizeof(id));
	fd = open_by_handle_at(mnt, &h.head, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ESTALE || errno == ENOTDIR ? -ENOENT : -errno;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* fits */
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(path) - 1)
		return -ENAMETOOLONG;
	path[n] = '\0';
	/* The text of a removed directory ends in " (deleted)", but a live one may be called so too. */
	if (stat(path, &st) || st.st_ino != id)
		return -ENOENT;
	skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, skip) != 0 || (path[skip] && path[skip] != '/'))
		return -ENOENT;
	if (!path[skip])
		n = snprintf(ret, size, "/");
	else
		n = snprintf(ret, size, "%s", path + skip);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}
