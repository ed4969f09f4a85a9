/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that policy files may have changed. It only says "look again": what is there is read anew
 * and compared, so a change too many costs a read and one too few cannot hide behind another. Files are
 * watched by the directories that hold them, since editors put a new file in an old one's place;
 * symbolic links also where they lead, and what does not exist yet by its nearest ancestor.
 */
#ifndef WEIR_DAEMON_WATCH_H
#define WEIR_DAEMON_WATCH_H

#include <linux/types.h>
#include <stdbool.h>

#include "base/clock.h"
#include "compiler.h"

/* An editor writes in several steps, a package manager many files: wait until it is quiet, yet not for
 * ever when it never is. */
#define WATCH_QUIET_NS (150 * NSEC_PER_MSEC)
#define WATCH_LONGEST_NS (2 * NSEC_PER_SEC)

enum { WATCH_PLACES_MAX = 4096 };

struct watch_place {
	int wd;
	char *name; /* the entry of that directory that counts; NULL = any */
	bool wanted;
};

struct watch {
	int fd; /* readable when something happened; -1 = changes are not noticed */
	struct watch_place *places;
	unsigned n_places;
	bool deaf;               /* the kernel has no more watches for us, and that was said */
	__u64 first_ns, last_ns; /* of what happened since watch_take; first_ns 0 = nothing */
};

/* 0, or -errno: w can be used and notices nothing. */
int watch_init(struct watch *w) __must_check;
void watch_done(struct watch *w);

/*
 * Between begin and end every path that is about to be read is named: a change behind watch_add is a
 * change noticed. Places that were not named again are forgotten.
 */
void watch_begin(struct watch *w);
void watch_add(struct watch *w, const char *path);
void watch_end(struct watch *w);

/* Takes what the kernel tells. */
void watch_read(struct watch *w, __u64 now_ns);
/* Something happened, and it has been quiet since (or goes on for long): true once. */
bool watch_take(struct watch *w, __u64 now_ns);
/* What was taken could not be used yet: watch_take says true again later. */
void watch_again(struct watch *w, __u64 now_ns);

#endif
