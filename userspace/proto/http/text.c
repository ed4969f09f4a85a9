// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <errno.h>

#include "base/utf8.h"

int http_hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* One key or value. */
static int decode(struct slice s, struct arena *a, struct slice *ret, bool *ret_ambiguous)
{
	uint8_t *out;
	size_t n = 0, i;

	for (i = 0; i < s.len && s.ptr[i] != '%' && s.ptr[i] != '+'; i++)
		;
	*ret = s;
	if (i < s.len) {
		out = arena_alloc(a, s.len);
		if (!out)
			return -ENOMEM;
		for (i = 0; i < s.len; i++) {
			int hi = -1, lo = -1;

			if (s.ptr[i] == '%' && i + 2 < s.len) {
				hi = http_hex_value(s.ptr[i + 1]);
				lo = http_hex_value(s.ptr[i + 2]);
			}
			if (hi >= 0 && lo >= 0) {
				out[n++] = (uint8_t)(hi << 4 | lo);
				i += 2;
			} else {
				*ret_ambiguous |= s.ptr[i] == '%';
				out[n++] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
			}
		}
		*ret = slice_of(out, n);
	}
	for (i = 0; i < ret->len; i++)
		if ((ret->ptr[i] < 0x20 && ret->ptr[i] != '\t' && ret->ptr[i] != '\n' &&
		     ret->ptr[i] != '\r') ||
		    ret->ptr[i] == 0x7f)
			*ret_ambiguous = true;
	if (!utf8_valid(*ret))
		*ret_ambiguous = true;
	return 0;
}

int http_pairs_parse(struct slice s, struct arena *a, struct op_query **ret, size_t *ret_n,
		     bool *ret_ambiguous)
{
	size_t max = 1, n = 0;
	struct op_query *pairs;
	int r;

	for (size_t i = 0; i < s.len; i++) {
		max += s.ptr[i] == '&';
		if (s.ptr[i] == ';')
			*ret_ambiguous = true;
	}
	max = MIN(max, (size_t)HTTP_PAIRS_MAX);
	pairs = arena_array(a, max, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	while (s.len) {
		ptrdiff_t end = slice_chr(s, '&'), eq;
		struct slice pair = slice_head(s, end < 0 ? s.len : (size_t)end);

		s = slice_from(s, pair.len + 1);
		if (!pair.len)
			continue;
		if (n == max) {
			*ret_ambiguous = true;
			break;
		}
		eq = slice_chr(pair, '=');
		r = decode(slice_head(pair, eq < 0 ? pair.len : (size_t)eq), a, &pairs[n].key,
			   ret_ambiguous);
		if (r == 0 && eq >= 0)
			r = decode(slice_from(pair, (size_t)eq + 1), a, &pairs[n].value,
				   ret_ambiguous);
		if (r < 0)
			return r;
		n++;
	}
	*ret = pairs;
	*ret_n = n;
	return 0;
}

struct slice http_pairs_get(const struct op_query *pairs, size_t n, const char *key,
			    bool *ret_twice)
{
	struct slice found = SLICE_NONE;

	for (size_t i = 0; i < n; i++) {
		if (!slice_eq_str(pairs[i].key, key))
			continue;
		if (found.ptr)
			*ret_twice = true;
		found = pairs[i].value.ptr ? pairs[i].value : SLICE("");
	}
	return found;
}

int http_text_lower(struct slice s, struct arena *a, struct slice *ret)
{
	struct slice copy;
	bool upper = false;
	int r;

	for (size_t i = 0; i < s.len; i++)
		upper |= s.ptr[i] >= 'A' && s.ptr[i] <= 'Z';
	*ret = s;
	if (!upper)
		return 0;
	r = arena_dup(a, s, &copy);
	if (r < 0)
		return r;
	for (size_t i = 0; i < copy.len; i++)
		if (copy.ptr[i] >= 'A' && copy.ptr[i] <= 'Z')
			((uint8_t *)copy.ptr)[i] |= 0x20; /* our own copy */
	*ret = copy;
	return 0;
}
