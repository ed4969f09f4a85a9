/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions, in time linear in the text whatever the pattern: Hyperscan's, over bytes. The
 * only file that knows the library is regex.c.
 */
#ifndef WEIR_POLICY_REGEX_H
#define WEIR_POLICY_REGEX_H

#include "base/slice.h"

enum {
	REGEX_MAX = 1024,        /* bytes of a pattern */
	REGEX_REPEAT_MAX = 1000, /* in "{n}": compiling costs what is repeated */
	REGEX_COUNT_MAX = 1000,  /* of one policy: about a millisecond each to compile */
};

struct regex;

/* All of one policy. Zeroed is empty. */
struct regex_group {
	uint64_t serial; /* unique in this process; 0 = empty */
	struct regex *first;
	size_t n;
};
void regex_group_done(struct regex_group *g);

enum regex_how {
	REGEX_ANYWHERE, /* some part of the text, letters without case */
	REGEX_WHOLE,    /* all of the text, exactly */
};

/*
 * Compiles a pattern into the group, which owns it; one that is there already is found again. 0;
 * -EINVAL with the reason in reterr, -EOPNOTSUPP when this processor cannot run any; -EMSGSIZE over a
 * limit above, with the reason; -ENOMEM.
 */
int regex_compile(struct regex_group *g, struct slice pattern, enum regex_how how,
		  const struct regex **ret, char *reterr, size_t size) __must_check;

/*
 * 1 when text has it, 0 when not, -ENOMEM when the thread's working memory could not be had. That is
 * allocated when a thread first meets a group with larger needs, and never after.
 */
int regex_match(const struct regex *re, struct slice text) __must_check;

#endif
