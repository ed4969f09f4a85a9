/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the v2 hierarchy, by their path within it ("/agents/a"). */
#ifndef WEIR_DAEMON_CGROUP_H
#define WEIR_DAEMON_CGROUP_H

#include "base/slice.h"

enum { CGROUP_PATH_MAX = 4096 };

/*
 * "/a//b/" and "a/b" become "/a/b"; "/" stays. 0; -EINVAL for "." and ".." (they would let two names
 * mean one cgroup) and for bytes below space; -ENAMETOOLONG.
 */
int cgroup_path_clean(const char *path, char ret[CGROUP_PATH_MAX]) __must_check;
/* Is `path` at or below `top`? Both clean. */
bool cgroup_path_covers(const char *top, const char *path);

/* Opens one. No symbolic link and no other mount is followed. The descriptor; -ENOENT; -ENOTSUP no v2
 * hierarchy is mounted, -ENOTDIR, -ELOOP, -EXDEV. */
int cgroup_open(const char *path) __must_check;
/* Makes it with the ones above it; it may exist only when `fresh` is not set (else -EEXIST). */
int cgroup_make(const char *path, bool fresh) __must_check;
/* The calling process's own. 0; -ENOENT no v2 line in /proc/self/cgroup. */
int cgroup_self(char ret[CGROUP_PATH_MAX]) __must_check;

/* From cgroup.events: is there any process at or below? 1, 0 (also when it is gone), or -errno. */
int cgroup_populated(const char *path) __must_check;
/* How many processes are directly in it; -errno. */
int cgroup_count(const char *path) __must_check;
/* SIGKILL to all at and below (cgroup.kill, Linux 5.14; before that one by one). 0 or -errno. */
int cgroup_kill(const char *path) __must_check;
/* Removes it and all below; 0 also when it was not there; -EBUSY processes are left. */
int cgroup_remove(const char *path) __must_check;

#endif
