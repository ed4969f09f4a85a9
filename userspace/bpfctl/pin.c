// SPDX-License-Identifier: Apache-2.0
/* The directory of pins: a bpffs of our own, closed to everybody else, one daemon at a time. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Marks a mount as made by us, so that only such a one is ever taken away. */
#define PIN_MOUNT_SOURCE "weir"

int pin_path(char out[PIN_PATH_MAX], const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, PIN_PATH_MAX, fmt, ap);
	va_end(ap);
	return n < 0 || n >= PIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

int pin_mkdir(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

int pin_dir_open(const char *dir, int *ret_fd, struct bpfctl_err *reterr)
{
	_cleanup_(close_p) int fd = -1;
	struct statfs fs;
	struct stat st;
	int r;

	r = pin_mkdir(dir);
	if (r)
		return err_set(reterr, r, "cannot make %s: %s", dir, strerror(-r));
	if (statfs(dir, &fs))
		return err_set(reterr, -errno, "cannot look at %s: %s", dir, strerror(errno));
	if (fs.f_type != BPF_FS_MAGIC &&
	    mount(PIN_MOUNT_SOURCE, dir, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return err_set(
			reterr, -errno,
			"cannot mount a bpffs on %s: %s; the daemon needs CAP_SYS_ADMIN, or a "
			"directory on a bpffs",
			dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st))
		return err_set(reterr, -errno, "cannot open %s: %s", dir, strerror(errno));
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return err_set(
			reterr, -EPERM,
			"%s belongs to uid %u with mode %04o: it must be ours and writable by "
			"nobody else",
			dir, st.st_uid, st.st_mode & 07777);
	if (flock(fd, LOCK_EX | LOCK_NB))
		return err_set(reterr, errno == EWOULDBLOCK ? -EBUSY : -errno,
			       "another daemon uses %s", dir);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int pin_dir_unmount(const char *dir)
{
	char point[PATH_MAX], source[PATH_MAX];

	if (!mount_find("bpf", dir, point, source, sizeof(point)) ||
	    strcmp(source, PIN_MOUNT_SOURCE) != 0)
		return 0;
	return umount2(dir, MNT_DETACH) ? -errno : 0;
}
