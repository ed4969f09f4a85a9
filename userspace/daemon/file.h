/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, whole: read within a bound, written so that nobody ever sees half of one. */
#ifndef WEIR_DAEMON_FILE_H
#define WEIR_DAEMON_FILE_H

#include <sys/types.h>

#include "base/slice.h"

/*
 * Reads a regular file, or one of /proc or a cgroup. *ret is the caller's, with a NUL behind the *ret_len
 * bytes. 0; -EMSGSIZE longer than max; -EISDIR, -EINVAL not a file; -ENOMEM; those of open(2), read(2).
 */
int file_read(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len) __must_check;
/* Writes name anew with mode 0600: a temporary file beside it, then a rename. 0 or -errno. */
int file_write_atomic(int dir_fd, const char *name, struct slice content) __must_check;
/* Writes into a file that is there (of a cgroup). 0 or -errno. */
int file_poke(int dir_fd, const char *name, const char *text) __must_check;
/* mkdir -p; those that are missing get `mode`. 0 or -errno (-ENOTDIR something else is there). */
int dir_make(const char *path, mode_t mode) __must_check;

#endif
