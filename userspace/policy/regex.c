// SPDX-License-Identifier: Apache-2.0
#include "regex.h"

#include <errno.h>
#include <hs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct regex {
	struct regex *next;
	const struct regex_group *group;
	hs_database_t *db;
	enum regex_how how;
	size_t len;
	uint8_t pattern[];
};

/* A thread's working memory only ever grows, so a group that it once fitted it still fits. */
enum { COVERED = 64 };
static _Thread_local hs_scratch_t *scratch;
static _Thread_local uint64_t covered[COVERED]; /* serials of groups, by their remainder */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool have_key;
static atomic_uint_fast64_t serials;

static void scratch_free(void *s)
{
	(void)hs_free_scratch(s); /* fails for memory that is in use only */
}

static void scratch_key_make(void)
{
	have_key = pthread_key_create(&scratch_key, scratch_free) == 0;
}

/* Refuses what compiles forever: large counts in braces. Classes and escapes cannot hide any. */
static bool repeats_fit(struct slice pattern)
{
	for (size_t i = 0; i < pattern.len; i++) {
		uint64_t n = 0;

		if (pattern.ptr[i] < '0' || pattern.ptr[i] > '9')
			continue;
		if (i == 0 || (pattern.ptr[i - 1] != '{' && pattern.ptr[i - 1] != ','))
			continue;
		for (; i < pattern.len && pattern.ptr[i] >= '0' && pattern.ptr[i] <= '9'; i++)
			n = n > REGEX_REPEAT_MAX ? n : n * 10 + (pattern.ptr[i] - '0');
		if (n > REGEX_REPEAT_MAX && i < pattern.len &&
		    (pattern.ptr[i] == '}' || pattern.ptr[i] == ','))
			return false;
	}
	return true;
}

/* "(?x" would turn what is wrapped around a pattern into a comment. */
static bool has_extended(struct slice p)
{
	for (size_t i = 0; i + 2 < p.len; i++) {
		if (p.ptr[i] != '(' || p.ptr[i + 1] != '?')
			continue;
		for (size_t k = i + 2;
		     k < p.len && ((p.ptr[k] >= 'a' && p.ptr[k] <= 'z') || p.ptr[k] == '-'); k++)
			if (p.ptr[k] == 'x')
				return true;
	}
	return false;
}

static int refuse(char *reterr, size_t size, int code, const char *why)
{
	(void)snprintf(reterr, size, "%s", why); /* cut to fit: for people */
	return code;
}

static int compile_error(hs_compile_error_t *e, char *reterr, size_t size)
{
	/* One code stands for all that can go wrong. */
	bool memory = !e || !e->message || strstr(e->message, "allocate memory");

	(void)snprintf(reterr, size, "%s", e && e->message ? e->message : "it does not compile");
	for (char *c = reterr; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	(void)hs_free_compile_error(e); /* NULL is fine */
	return memory ? -ENOMEM : -EINVAL;
}

static int compile(const char *pattern, enum regex_how how, hs_database_t **ret, char *reterr,
		   size_t size)
{
	const unsigned flags = HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY |
			       (how == REGEX_ANYWHERE ? HS_FLAG_CASELESS | HS_FLAG_DOTALL : 0);
	hs_compile_error_t *e = NULL;
	hs_expr_info_t *info = NULL;
	char whole[REGEX_MAX + 16];

	/* On its own first: "a)|(b" is no pattern, though it would be one in brackets. */
	if (hs_expression_info(pattern, flags, &info, &e) != HS_SUCCESS)
		return compile_error(e, reterr, size);
	free(info);
	if (how == REGEX_WHOLE) {
		(void)snprintf(whole, sizeof(whole), "\\A(?:%s)\\z", pattern); /* fits */
		pattern = whole;
	}
	if (hs_compile(pattern, flags, HS_MODE_BLOCK, NULL, ret, &e) != HS_SUCCESS)
		return compile_error(e, reterr, size);
	return 0;
}

int regex_compile(struct regex_group *g, struct slice pattern, enum regex_how how,
		  const struct regex **ret, char *reterr, size_t size)
{
	struct regex *re;
	int r;

	for (re = g->first; re; re = re->next)
		if (re->how == how && slice_eq(slice_of(re->pattern, re->len), pattern)) {
			*ret = re;
			return 0;
		}
	if (hs_valid_platform() != HS_SUCCESS)
		return refuse(reterr, size, -EOPNOTSUPP,
			      "this processor cannot run regular expressions (SSSE3 is missing)");
	if (g->n == REGEX_COUNT_MAX)
		return refuse(reterr, size, -EMSGSIZE,
			      "a policy may have 1000 different regular expressions");
	if (pattern.len > REGEX_MAX)
		return refuse(reterr, size, -EMSGSIZE, "longer than 1024 bytes");
	if (!repeats_fit(pattern))
		return refuse(reterr, size, -EMSGSIZE, "repeats something more than 1000 times");
	if (has_extended(pattern))
		return refuse(reterr, size, -EINVAL, "\"(?x)\" is not supported");
	re = calloc(1, sizeof(*re) + pattern.len + 1); /* ends in NUL, for the library */
	if (!re)
		return -ENOMEM;
	*re = (struct regex){ .group = g, .how = how, .len = pattern.len };
	memcpy(re->pattern, pattern.ptr, pattern.len);
	r = compile((const char *)re->pattern, how, &re->db, reterr, size);
	if (r < 0) {
		free(re);
		return r;
	}
	if (!g->serial)
		g->serial = atomic_fetch_add(&serials, 1) + 1;
	re->next = g->first;
	g->first = re;
	g->n++;
	*ret = re;
	return 0;
}

void regex_group_done(struct regex_group *g)
{
	while (g->first) {
		struct regex *re = g->first;

		g->first = re->next;
		(void)hs_free_database(re->db); /* fails for foreign memory only */
		free(re);
	}
	*g = (struct regex_group){ 0 };
}

static int scratch_cover(const struct regex_group *g)
{
	hs_scratch_t *was = scratch;

	if (covered[g->serial % COVERED] == g->serial)
		return 0;
	if (pthread_once(&scratch_once, scratch_key_make) != 0 || !have_key)
		return -ENOMEM;
	for (const struct regex *re = g->first; re; re = re->next) {
		/* On failure the library has freed the old one or left it; both are told by NULL. */
		if (hs_alloc_scratch(re->db, &scratch) != HS_SUCCESS) {
			scratch = NULL;
			memset(covered, 0, sizeof(covered));
			(void)pthread_setspecific(scratch_key, NULL); /* the key exists */
			return -ENOMEM;
		}
	}
	if (scratch != was && pthread_setspecific(scratch_key, scratch) != 0) {
		scratch_free(scratch);
		scratch = NULL;
		memset(covered, 0, sizeof(covered));
		return -ENOMEM;
	}
	covered[g->serial % COVERED] = g->serial;
	return 0;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		    void *ctx)
{
	*(bool *)ctx = true;
	return 1; /* one is enough */
}

int regex_match(const struct regex *re, struct slice text)
{
	bool hit = false;
	hs_error_t e;
	int r = scratch_cover(re->group);

	if (r < 0)
		return r;
	if (text.len > UINT32_MAX)
		return -ENOMEM; /* no handler gives so much */
	e = hs_scan(re->db, text.len ? (const char *)text.ptr : "", (unsigned)text.len, 0, scratch,
		    on_match, &hit);
	if (e != HS_SUCCESS && e != HS_SCAN_TERMINATED)
		return -ENOMEM;
	return hit;
}
