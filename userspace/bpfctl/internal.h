/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of this folder. */
#ifndef WEIR_BPFCTL_INTERNAL_H
#define WEIR_BPFCTL_INTERNAL_H

#include <bpf/bpf.h>
#include <limits.h>
#include <stdbool.h>

#include "bpfctl.h"

/*
 * In the order of attaching: what serves a redirected socket is there before the first one is
 * redirected. Taken off from the end.
 */
enum hook {
	HOOK_SOCKOPS,
	HOOK_GETPEERNAME4,
	HOOK_GETPEERNAME6,
	HOOK_SOCK_CREATE,
	HOOK_CONNECT4,
	HOOK_CONNECT6,
	HOOK_MAX
};

extern const struct hook_info {
	const char *name; /* of the pin, and for people */
	enum bpf_attach_type type;
} hook_infos[HOOK_MAX];

enum { PIN_DIR_MAX = 200, PIN_PATH_MAX = PIN_DIR_MAX + 64 };

struct weir_bpf; /* the generated skeleton */

struct bpfctl {
	struct weir_bpf *skel;
	int dir_fd;             /* the pin directory, locked */
	int prog_fds[HOOK_MAX]; /* owned by skel */
	bool no_kread;
	char dir[PIN_DIR_MAX];
};

/* Writes the message and returns code, so that callers can `return err_set(…)`. reterr may be NULL. */
int err_set(struct bpfctl_err *reterr, int code, const char *fmt, ...) __printf_like(3, 4);

/* pin.c */
int pin_dir_open(const char *dir, int *ret_fd, struct bpfctl_err *reterr) __must_check;
int pin_dir_unmount(const char *dir) __must_check;
/* 0 also when it was there. */
int pin_mkdir(const char *path) __must_check;
int pin_path(char out[PIN_PATH_MAX], const char *fmt, ...) __printf_like(2, 3) __must_check;

/* links.c */
int links_make(const int prog_fds[HOOK_MAX], int cgroup_fd, int ret_fds[HOOK_MAX],
	       struct bpfctl_err *reterr) __must_check;
int links_adopt(struct bpfctl *b, struct bpfctl_err *reterr) __must_check;
void links_close(int fds[HOOK_MAX]);

/* cgroup.c: the mount point and source of the last mount of that type at `point` (any when NULL). */
bool mount_find(const char *type, const char *point, char *ret_point, char *ret_source,
		size_t size);

#endif
