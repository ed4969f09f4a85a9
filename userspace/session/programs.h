/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which program is behind a connection. Only the warden may look (/proc/PID/exe), so a worker asks,
 * goes on with other sessions, and takes the answer when it is woken. Asked only for agents whose
 * policies look at programs. The answer is what runs under that pid when the warden looks, moments
 * after connect(2): a program that replaces itself at once is taken for its successor.
 *
 * All calls are thread-safe.
 */
#ifndef WEIR_SESSION_PROGRAMS_H
#define WEIR_SESSION_PROGRAMS_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

struct programs;

enum { PROGRAMS_MAX = 1024 }; /* asked at once: a storm of connects */

struct program_ask {
	uint64_t key, cgroup_id;
	uint32_t pid;
};

int programs_new(struct programs **ret) __must_check;
struct programs *programs_free(struct programs *p);

/* For workers. 0 with a key to ask for the answer; -ENOBUFS too many are being asked for. */
int programs_ask(struct programs *p, uint32_t pid, uint64_t cgroup_id,
		 uint64_t *ret_key) __must_check;
/* 1 with a heap string ("" = cannot be told; the caller frees it), 0 not answered yet. */
int programs_take(struct programs *p, uint64_t key, char **ret);
/* The answer is of no interest any more. */
void programs_forget(struct programs *p, uint64_t key);

/* For who asks the warden: an eventfd, readable while something waits to be asked; the next of it
 * (1, or 0 when there is none); its answer, NULL for none. */
int programs_wanted_fd(const struct programs *p);
int programs_wanted(struct programs *p, struct program_ask *ret);
void programs_told(struct programs *p, uint64_t key, const char *path);

#endif
