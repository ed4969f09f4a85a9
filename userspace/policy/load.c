// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "json_place.h"

struct json_pos load_pos(const struct load *l, const struct place *at, bool of_key)
{
	struct json_step steps[POLICY_DEPTH_MAX];
	size_t n = 0;

	for (const struct place *p = at; p->up; p = p->up)
		n++;
	if (n > POLICY_DEPTH_MAX)
		n = POLICY_DEPTH_MAX; /* not reached: the depth was checked */
	for (size_t i = n; i > 0; i--, at = at->up)
		steps[i - 1] = (struct json_step){ at->key, at->index };
	return json_place_find(l->text, steps, n, of_key);
}

static int fail(struct load *l, const struct place *at, bool of_key, int code, const char *fmt,
		va_list ap)
{
	struct json_pos pos = load_pos(l, at, of_key);

	(void)snprintf(l->err->source, sizeof(l->err->source), "%s", l->source); /* cut to fit */
	l->err->line = pos.line;
	l->err->column = pos.column;
	(void)vsnprintf(l->err->message, sizeof(l->err->message), fmt, ap);
	return code;
}

int load_fail(struct load *l, const struct place *at, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(l, at, false, -EINVAL, fmt, ap);
	va_end(ap);
	return r;
}

int load_fail_key(struct load *l, const struct place *at, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(l, at, true, -EINVAL, fmt, ap);
	va_end(ap);
	return r;
}

int load_fail_limit(struct load *l, const struct place *at, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(l, at, false, -EMSGSIZE, fmt, ap);
	va_end(ap);
	return r;
}

const char *load_quote(struct load *l, const char *s)
{
	char *out = l->quoted[l->next_quoted++ % ARRAY_SIZE(l->quoted)];

	return log_escape(slice_str(s), out, sizeof(l->quoted[0]));
}

const char *load_type(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "a number";
	case JSON_REAL: return "a fraction";
	case JSON_TRUE: return "true";
	case JSON_FALSE: return "false";
	default: return "null";
	}
}

/* Levenshtein's distance, or more than 2. */
static unsigned distance(const char *a, const char *b)
{
	enum { LEN = 32 };
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[LEN + 1];

	if (la > LEN || lb > LEN)
		return UINT32_MAX;
	for (unsigned j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			unsigned up = row[j];
			unsigned change = diag + (a[i - 1] != b[j - 1]);
			unsigned shift = MIN(up, row[j - 1]) + 1;

			row[j] = MIN(change, shift);
			diag = up;
		}
	}
	return row[lb];
}

const char *load_near(const char *word, const char *const *words, size_t n)
{
	unsigned best = strlen(word) < 4 ? 2 : 3; /* one less is accepted */
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(word, words[i]);

		if (d < best) {
			best = d;
			found = words[i];
		}
	}
	return found;
}

static int unknown_key(struct load *l, const struct place *at, const char *key,
		       const struct load_key *keys, size_t n_keys)
{
	enum { KEYS = 24 };
	const char *words[KEYS + 1], *near;
	char expected[256];
	size_t n = 0, len = 0;

	for (size_t i = 0; i < n_keys && i < KEYS; i++)
		if (!keys[i].later)
			words[n++] = keys[i].name;
	words[n++] = "comment";
	near = load_near(key, words, n);
	if (near)
		return load_fail_key(l, at, "unknown key \"%s\": did you mean \"%s\"?",
				     load_quote(l, key), near);
	expected[0] = '\0';
	for (size_t i = 0; i < n && len < sizeof(expected); i++)
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s\"%s\"",
					i ? ", " : "", words[i]);
	return load_fail_key(l, at, "unknown key \"%s\": expected one of %s", load_quote(l, key),
			     expected);
}

static int check_comment(struct load *l, const struct place *at, const json_t *v)
{
	if (json_is_string(v))
		return 0;
	if (!json_is_array(v))
		return load_fail(l, at, "a comment must be a string or a list of strings, not %s",
				 load_type(v));
	for (size_t i = 0; i < json_array_size(v); i++) {
		struct place here = { at, NULL, i };

		if (!json_is_string(json_array_get(v, i)))
			return load_fail(l, &here, "a line of a comment must be a string, not %s",
					 load_type(json_array_get(v, i)));
	}
	return 0;
}

int load_object(struct load *l, const struct place *at, const json_t *v,
		const struct load_key *keys, size_t n_keys)
{
	const char *key;
	json_t *member;

	if (!json_is_object(v))
		return load_fail(l, at, "expected an object, not %s", load_type(v));
	json_object_foreach((json_t *)v, key, member) {
		struct place here = { at, key, 0 };
		const struct load_key *known = NULL;
		int r;

		if (strcmp(key, "comment") == 0) {
			r = check_comment(l, &here, member);
			if (r < 0)
				return r;
			continue;
		}
		for (size_t i = 0; i < n_keys && !known; i++)
			if (strcmp(key, keys[i].name) == 0)
				known = &keys[i];
		if (!known)
			return unknown_key(l, &here, key, keys, n_keys);
		if (known->later)
			return load_fail_key(l, &here, "\"%s\" is not supported by this version",
					     key);
	}
	return 0;
}

int load_list_open(struct load *l, const struct place *at, const json_t *v, const char *what,
		   struct load_list *ret)
{
	bool array = json_is_array(v);

	if (json_is_object(v) || json_is_null(v))
		return load_fail(l, at, "expected %s, not %s", what, load_type(v));
	if (array && json_array_size(v) == 0)
		return load_fail(
			l, at, "an empty list matches nothing: expected %s with at least one entry",
			what);
	if (array && json_array_size(v) > POLICY_LIST_MAX)
		return load_fail_limit(l, at, "%zu entries: a list holds at most %d",
				       json_array_size(v), POLICY_LIST_MAX);
	*ret = (struct load_list){ v, at, array, array ? json_array_size(v) : 1 };
	return 0;
}

const json_t *load_list_get(const struct load_list *list, size_t i, struct place *ret_at)
{
	if (!list->array) {
		*ret_at = *list->at;
		return list->v;
	}
	*ret_at = (struct place){ list->at, NULL, i };
	return json_array_get(list->v, i);
}

int load_text(struct load *l, const struct place *at, const json_t *v, size_t max,
	      struct slice *ret)
{
	struct slice s;

	if (!json_is_string(v))
		return load_fail(l, at, "expected a string, not %s", load_type(v));
	s = slice_of(json_string_value(v), json_string_length(v));
	if (s.len == 0)
		return load_fail(l, at, "an empty string is not allowed here");
	if (s.len > max)
		return load_fail_limit(l, at, "%zu bytes: at most %zu are allowed here", s.len,
				       max);
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return load_fail(l, at, "control characters are not allowed here");
	return arena_dup(l->arena, s, ret);
}

int load_name(struct load *l, const struct place *at, const json_t *v, const char **ret)
{
	struct slice s;
	int r;

	r = load_text(l, at, v, 128, &s);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alnum && (i == 0 || (c != '.' && c != '_' && c != '-')))
			return load_fail(l, at,
					 "\"%s\": a name begins with a letter or digit and has "
					 "only letters, digits, '.', '_' and '-'",
					 load_quote(l, (const char *)s.ptr));
	}
	*ret = (const char *)s.ptr;
	return 0;
}

int load_word(struct load *l, const struct place *at, const json_t *v, const char *const *words,
	      size_t n, size_t *ret_index)
{
	char expected[256] = "";
	const char *s, *near;
	size_t len = 0;

	for (size_t i = 0; i < n && len < sizeof(expected); i++)
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s\"%s\"",
					i == 0       ? ""
					: i + 1 == n ? " or "
						     : ", ",
					words[i]);
	if (!json_is_string(v))
		return load_fail(l, at, "expected %s, not %s", expected, load_type(v));
	s = json_string_value(v);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(s, words[i]) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	near = load_near(s, words, n);
	if (near)
		return load_fail(l, at, "\"%s\" is not known here: did you mean \"%s\"?",
				 load_quote(l, s), near);
	return load_fail(l, at, "\"%s\" is not known here: expected %s", load_quote(l, s),
			 expected);
}

int load_number(struct load *l, const struct place *at, const json_t *v, uint64_t low,
		uint64_t high, uint64_t *ret)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v))
		return load_fail(l, at, "expected a whole number, not %s", load_type(v));
	if (n < 0 || (uint64_t)n < low || (uint64_t)n > high)
		return load_fail(l, at,
				 "%lld is out of range: expected a number from %" PRIu64
				 " to %" PRIu64,
				 (long long)n, low, high);
	*ret = (uint64_t)n;
	return 0;
}

int load_duration(struct load *l, const struct place *at, const json_t *v, uint64_t max_s,
		  uint64_t *ret_ns)
{
	static const char units[] = "smhd";
	static const uint64_t seconds[] = { 1, 60, 3600, 86400 };
	struct slice s;
	const char *unit;
	uint64_t n;

	if (!json_is_string(v))
		return load_fail(l, at, "expected a time like \"10m\", not %s", load_type(v));
	s = slice_of(json_string_value(v), json_string_length(v));
	unit = s.len ? memchr(units, s.ptr[s.len - 1], 4) : NULL;
	/* Six digits: no unit can overflow. */
	if (!unit || s.len > 7 || slice_to_u64(slice_head(s, s.len - 1), &n) < 0 || n == 0)
		return load_fail(l, at,
				 "\"%s\" is no time: expected a number and \"s\", \"m\", \"h\" or "
				 "\"d\", as in \"10m\"",
				 load_quote(l, json_string_value(v)));
	n *= seconds[unit - units];
	if (n > max_s)
		return load_fail(l, at, "\"%s\" is too long: at most %" PRIu64 " hours",
				 load_quote(l, json_string_value(v)), max_s / 3600);
	*ret_ns = n * 1000000000;
	return 0;
}

int load_alloc(struct load *l, size_t n, size_t size, void *ret_ptr)
{
	void *p = arena_array(l->arena, n, size);

	if (!p)
		return -ENOMEM;
	memcpy(ret_ptr, &p, sizeof(p));
	return 0;
}

int load_printf(struct load *l, const char **ret, const char *fmt, ...)
{
	char text[512];
	struct slice copy;
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap); /* cut to fit: it is for people */
	va_end(ap);
	r = arena_dup(l->arena, slice_str(text), &copy);
	if (r < 0)
		return r;
	*ret = (const char *)copy.ptr;
	return 0;
}
