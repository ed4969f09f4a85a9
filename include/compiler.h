/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations and small macros that every userspace file may use. */
#ifndef WEIR_COMPILER_H
#define WEIR_COMPILER_H

#include <stddef.h>

#include "banned.h"

#ifndef __must_check
#define __must_check __attribute__((warn_unused_result))
#endif
#define __printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define __unused_arg __attribute__((unused))
#define __noreturn_fn __attribute__((noreturn))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MIN(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define MAX(a, b)                       \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})

/*
 * Scope-bound ownership: `_cleanup_(free_p) char *s = NULL;` runs free_p(&s) when s leaves its
 * scope; `return TAKE_PTR(s);` moves it out.
 */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) *pp_ = &(p); \
		__typeof__(p) v_ = *pp_;   \
		*pp_ = NULL;               \
		v_;                        \
	})
#define TAKE_FD(fd)               \
	({                        \
		int *pf_ = &(fd); \
		int v_ = *pf_;    \
		*pf_ = -1;        \
		v_;               \
	})

/* Defines the cleanup function NAME_p for a destructor that takes and returns TYPE *. */
#define DEFINE_CLEANUP(type, destructor)                                          \
	static inline void destructor##_p(type **p)                               \
	{                                                                         \
		if (*p)                                                           \
			(void)destructor(*p); /* returns NULL, nothing to keep */ \
	}

void free_p(void *p);  /* for `_cleanup_(free_p)`; takes the address of the pointer */
void close_p(int *fd); /* closes *fd when it is not negative; keeps errno */

#endif
