// SPDX-License-Identifier: Apache-2.0
/*
 * Root reads a store that the proxy's user writes. Were that user somebody else one day, a link in
 * there could lead root's hand to any file (LMDB's lock file is opened for writing), and what lies
 * in the files is read by code that trusts it. So root reads as their owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/filter.h"

enum { GROUPS_MAX = 1024 };

struct self {
	gid_t gid, groups[GROUPS_MAX];
	int n_groups;
};

/* For good: also what a damaged store makes of this process is then nobody but its owner. */
static int become(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return seteuid(0) == 0 ? -EPERM : 0;
}

static int borrow(uid_t uid, gid_t gid, struct self *ret)
{
	ret->gid = getegid();
	ret->n_groups = getgroups(GROUPS_MAX, ret->groups);
	if (ret->n_groups < 0 || setgroups(0, NULL) < 0 || setegid(gid) < 0 || seteuid(uid) < 0)
		return -errno;
	return 0;
}

static int give_back(const struct self *self)
{
	if (seteuid(0) < 0 || setegid(self->gid) < 0 ||
	    setgroups((size_t)self->n_groups, self->groups) < 0)
		return -errno;
	return 0;
}

int cli_store_open_owned(const struct store_config *cfg, bool for_good, struct store **ret)
{
	struct store_config by_fd = *cfg;
	_cleanup_(close_p) int fd = -1;
	struct self self;
	struct stat st;
	char path[64];
	int r, back;

	if (geteuid() != 0)
		return store_open(cfg, ret);
	fd = open(cfg->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid == 0)
		return store_open(cfg, ret);
	/* The owner need not be able to come here by itself: a copy below /root. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	by_fd.dir = path;
	r = for_good ? become(st.st_uid, st.st_gid) : borrow(st.st_uid, st.st_gid, &self);
	if (r == 0)
		r = store_open(&by_fd, ret);
	back = for_good ? 0 : give_back(&self);
	if (back < 0) {
		if (r == 0)
			(void)store_close(*ret); /* returns NULL */
		return back;
	}
	return r;
}
