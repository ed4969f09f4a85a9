// SPDX-License-Identifier: Apache-2.0
#include "daemon/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

int file_read(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len)
{
	/* NONBLOCK: opening somebody's FIFO must not hang us. */
	_cleanup_(close_p) int fd =
		openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	struct buf b;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	buf_init(&b, max + 2); /* one to see that there is more, one for the NUL */
	for (;;) {
		uint8_t *p;
		size_t space;
		ssize_t n;

		r = buf_reserve(&b, 1, &p, &space);
		if (r < 0)
			break;
		n = read(fd, p, space);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		buf_commit(&b, (size_t)n);
		if (buf_len(&b) > max) {
			r = -EMSGSIZE;
			break;
		}
	}
	if (r == 0)
		r = buf_put_u8(&b, 0);
	if (r == 0) {
		*ret_len = buf_len(&b) - 1;
		*ret = malloc(buf_len(&b));
		if (*ret)
			memcpy(*ret, buf_peek(&b).ptr, buf_len(&b));
		else
			r = -ENOMEM;
	}
	buf_done(&b);
	return r;
}

static int put_all(int fd, struct slice s)
{
	while (s.len) {
		ssize_t n = write(fd, s.ptr, s.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

int file_write_atomic(int dir_fd, const char *name, struct slice content)
{
	_cleanup_(close_p) int fd = -1;
	char tmp[NAME_MAX + 1];
	int r;

	if (snprintf(tmp, sizeof(tmp), ".%s.new", name) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = put_all(fd, content);
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0); /* the first error is the one to tell */
	return r;
}

int file_poke(int dir_fd, const char *name, const char *text)
{
	_cleanup_(close_p) int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return put_all(fd, slice_str(text));
}

int dir_make(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	struct stat st;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0755) == 0) {
			/* Past the umask. */
			if (chmod(part, i == len ? mode : 0755) < 0)
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
	}
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
