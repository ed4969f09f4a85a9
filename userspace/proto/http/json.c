// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "text.h"

static size_t skip_space(struct slice s, size_t i)
{
	while (i < s.len &&
	       (s.ptr[i] == ' ' || s.ptr[i] == '\t' || s.ptr[i] == '\n' || s.ptr[i] == '\r'))
		i++;
	return i;
}

/* Length of the string at s[i], quotes included; 0 when it does not end or holds controls. */
static size_t string_len(struct slice s, size_t i)
{
	size_t at = i + 1;

	while (at < s.len && s.ptr[at] != '"') {
		if (s.ptr[at] < 0x20)
			return 0;
		at += s.ptr[at] == '\\' ? 2 : 1;
	}
	return at < s.len ? at + 1 - i : 0;
}

static size_t digits(struct slice s, size_t i)
{
	size_t n = i;

	while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
		n++;
	return n - i;
}

/* Length of the number at s[i], or 0. */
static size_t number_len(struct slice s, size_t i)
{
	size_t at = i, n;

	at += at < s.len && s.ptr[at] == '-';
	n = digits(s, at);
	if (!n || (n > 1 && s.ptr[at] == '0'))
		return 0;
	at += n;
	if (at < s.len && s.ptr[at] == '.') {
		n = digits(s, at + 1);
		if (!n)
			return 0;
		at += 1 + n;
	}
	if (at < s.len && (s.ptr[at] | 0x20) == 'e') {
		at++;
		at += at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-');
		n = digits(s, at);
		if (!n)
			return 0;
		at += n;
	}
	return at - i;
}

/* Length of the string, number or word at s[i], or 0. */
static size_t scalar_len(struct slice s, size_t i)
{
	static const char *const words[] = { "true", "false", "null" };
	struct slice rest = slice_from(s, i);

	if (!rest.len)
		return 0;
	if (rest.ptr[0] == '"')
		return string_len(s, i);
	for (size_t w = 0; w < ARRAY_SIZE(words); w++)
		if (slice_has_prefix(rest, slice_str(words[w])))
			return strlen(words[w]);
	return number_len(s, i);
}

static int unit_at(struct slice s, size_t i)
{
	int v = 0;

	if (i + 4 > s.len)
		return -1;
	for (size_t k = 0; k < 4; k++) {
		int d = http_hex_value(s.ptr[i + k]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* The character of the escape at s[*i], which is a backslash; *i is moved behind it. 0 is an error:
 * NUL ends a string for some readers. */
static uint32_t escape_decode(struct slice s, size_t *i)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *known;
	int a, b;

	if (*i + 1 >= s.len)
		return 0;
	if (s.ptr[*i + 1] != 'u') {
		known = s.ptr[*i + 1] ? strchr(from, s.ptr[*i + 1]) : NULL;
		*i += 2;
		return known ? (uint32_t)to[known - from] : 0;
	}
	a = unit_at(s, *i + 2);
	*i += 6;
	if (a <= 0 || (a >= 0xdc00 && a <= 0xdfff))
		return 0;
	if (a < 0xd800 || a > 0xdbff)
		return (uint32_t)a;
	if (*i + 1 >= s.len || s.ptr[*i] != '\\' || s.ptr[*i + 1] != 'u')
		return 0;
	b = unit_at(s, *i + 2);
	*i += 6;
	if (b < 0xdc00 || b > 0xdfff)
		return 0;
	return 0x10000u + ((uint32_t)(a - 0xd800) << 10) + (uint32_t)(b - 0xdc00);
}

/* inner: between the quotes; out has room for as many bytes. Length, or -1 for a bad escape. out
 * NULL: only checks. */
static ptrdiff_t unescape(struct slice inner, uint8_t *out)
{
	size_t n = 0, i = 0;

	while (i < inner.len) {
		uint8_t one[4];
		uint32_t c;

		if (inner.ptr[i] != '\\') {
			if (out)
				out[n] = inner.ptr[i];
			n++;
			i++;
			continue;
		}
		c = escape_decode(inner, &i);
		if (!c)
			return -1;
		n += utf8_put(out ? out + n : one, c);
	}
	return (ptrdiff_t)n;
}

/* ---- keys, compared by hash: equal hashes of different keys only make us more careful ---- */

enum { PROBE_MAX = 128 }; /* keys aimed at one place of the table */

struct keys {
	uint64_t *at; /* 0 = free */
	size_t cap, n;
};

static int keys_put(struct keys *k, uint64_t h);

static int keys_grow(struct keys *k)
{
	struct keys more = { .cap = k->cap ? k->cap * 4 : 64 };
	int r = 0;

	more.at = calloc(more.cap, sizeof(*more.at));
	if (!more.at)
		return -ENOMEM;
	for (size_t i = 0; i < k->cap && r == 0; i++)
		if (k->at[i])
			r = keys_put(&more, k->at[i]);
	free(k->at);
	*k = more;
	return r;
}

static int keys_put(struct keys *k, uint64_t h)
{
	int r;

	if (k->n == JSON_KEYS_MAX)
		return -EBADMSG;
	if (k->n * 2 >= k->cap) {
		r = keys_grow(k);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < PROBE_MAX; i++) {
		uint64_t *slot = &k->at[(h + i) & (k->cap - 1)];

		if (*slot == h)
			return -EBADMSG;
		if (!*slot) {
			*slot = h;
			k->n++;
			return 0;
		}
	}
	return -EBADMSG;
}

/* The key of object number serial. raw: between the quotes. */
static int key_seen(struct keys *k, struct slice raw, uint64_t serial)
{
	struct hash_key key = { .k0 = serial, .k1 = 0x6b657973 };
	uint8_t small[256], *decoded = small, *heap = NULL;
	ptrdiff_t n;
	int r;

	if (slice_chr(raw, '\\') < 0) {
		r = keys_put(k, hash_bytes(raw, key) | 1);
		return r;
	}
	if (raw.len > sizeof(small)) {
		heap = malloc(raw.len);
		if (!heap)
			return -ENOMEM;
		decoded = heap;
	}
	n = unescape(raw, decoded);
	r = n < 0 ? -EBADMSG : keys_put(k, hash_bytes(slice_of(decoded, (size_t)n), key) | 1);
	free(heap);
	return r;
}

/* ---- the check ---- */

struct check {
	struct slice s;
	size_t i;
	unsigned depth;
	uint64_t serials; /* objects so far */
	bool object[JSON_DEPTH_MAX];
	uint64_t serial[JSON_DEPTH_MAX];
	struct keys keys;
};

static bool take(struct check *c, uint8_t b)
{
	c->i = skip_space(c->s, c->i);
	if (c->i == c->s.len || c->s.ptr[c->i] != b)
		return false;
	c->i++;
	return true;
}

/* "key": — 0, or an error. */
static int check_key(struct check *c)
{
	size_t len;
	int r;

	c->i = skip_space(c->s, c->i);
	if (c->i == c->s.len || c->s.ptr[c->i] != '"')
		return -EBADMSG;
	len = string_len(c->s, c->i);
	if (!len)
		return -EBADMSG;
	r = key_seen(&c->keys, slice_of(c->s.ptr + c->i + 1, len - 2), c->serial[c->depth - 1]);
	c->i += len;
	return r < 0 ? r : take(c, ':') ? 0 : -EBADMSG;
}

static int check_scalar(struct check *c)
{
	size_t len;

	c->i = skip_space(c->s, c->i);
	len = scalar_len(c->s, c->i);
	if (!len ||
	    (c->s.ptr[c->i] == '"' && unescape(slice_of(c->s.ptr + c->i + 1, len - 2), NULL) < 0))
		return -EBADMSG;
	c->i += len;
	return 0;
}

/* A value begins: 1 when a container was opened that is not empty, 0 when a value is complete. */
static int check_value(struct check *c)
{
	bool object = take(c, '{');

	if (!object && !take(c, '['))
		return check_scalar(c);
	if (take(c, object ? '}' : ']'))
		return 0;
	if (c->depth == JSON_DEPTH_MAX)
		return -EBADMSG;
	c->object[c->depth] = object;
	c->serial[c->depth++] = ++c->serials;
	return 1;
}

static int check_all(struct check *c)
{
	int r;

	for (;;) {
		if (c->depth && c->object[c->depth - 1]) {
			r = check_key(c);
			if (r < 0)
				return r;
		}
		r = check_value(c);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		while (c->depth && take(c, c->object[c->depth - 1] ? '}' : ']'))
			c->depth--;
		if (!c->depth)
			break;
		if (!take(c, ','))
			return -EBADMSG;
	}
	return skip_space(c->s, c->i) == c->s.len ? 0 : -EBADMSG;
}

int json_check(struct slice text)
{
	struct check c = { .s = text };
	int r;

	if (!utf8_valid(text))
		return -EBADMSG;
	r = check_all(&c); /* a byte order mark is no value */
	free(c.keys.at);
	return r;
}

/* ---- walking ---- */

/* Length of the value at s[0], of checked text. */
static size_t value_len(struct slice s)
{
	size_t i = 0;
	unsigned depth = 0;

	if (!s.len)
		return 0;
	if (s.ptr[0] != '{' && s.ptr[0] != '[')
		return scalar_len(s, 0);
	while (i < s.len) {
		switch (s.ptr[i]) {
		case '"':
			if (!string_len(s, i))
				return 0;
			i += string_len(s, i);
			continue;
		case '{':
		case '[': depth++; break;
		case '}':
		case ']':
			if (--depth == 0)
				return i + 1;
			break;
		default: break;
		}
		i++;
	}
	return 0;
}

bool json_open(struct slice text, struct json_walk *ret)
{
	size_t i = skip_space(text, 0);

	if (i == text.len || (text.ptr[i] != '{' && text.ptr[i] != '['))
		return false;
	*ret = (struct json_walk){ .rest = slice_from(text, i + 1), .object = text.ptr[i] == '{' };
	return true;
}

bool json_next(struct json_walk *w, struct slice *ret_key, struct slice *ret_value)
{
	size_t i = skip_space(w->rest, 0), len;

	*ret_key = SLICE_NONE;
	if (i < w->rest.len && w->rest.ptr[i] == ',')
		i = skip_space(w->rest, i + 1);
	if (i == w->rest.len || w->rest.ptr[i] == '}' || w->rest.ptr[i] == ']')
		return false;
	if (w->object) {
		len = string_len(w->rest, i);
		if (!len)
			return false;
		*ret_key = slice_of(w->rest.ptr + i + 1, len - 2);
		i = skip_space(w->rest, i + len);
		i = skip_space(w->rest, i + 1); /* the colon */
	}
	len = value_len(slice_from(w->rest, i));
	if (!len)
		return false;
	*ret_value = slice_of(w->rest.ptr + i, len);
	w->rest = slice_from(w->rest, i + len);
	return true;
}

struct slice json_member(struct slice text, const char *name)
{
	struct slice key, value, want = slice_str(name);
	struct json_walk w;
	uint8_t decoded[128];

	if (!json_open(text, &w) || !w.object)
		return SLICE_NONE;
	while (json_next(&w, &key, &value)) {
		ptrdiff_t n = (ptrdiff_t)key.len;

		if (slice_eq(key, want))
			return value;
		/* Spelt with escapes it is the same key. One escape is six bytes a byte at most. */
		if (slice_chr(key, '\\') < 0 || key.len > want.len * 6 || key.len > sizeof(decoded))
			continue;
		n = unescape(key, decoded);
		if (n >= 0 && slice_eq(slice_of(decoded, (size_t)n), want))
			return value;
	}
	return SLICE_NONE;
}

int http_json_string(struct slice value, struct arena *a, struct slice *ret)
{
	struct slice inner;
	uint8_t *out;
	ptrdiff_t n;

	if (value.len < 2 || value.ptr[0] != '"')
		return 0;
	inner = slice_of(value.ptr + 1, value.len - 2);
	*ret = inner;
	if (slice_chr(inner, '\\') < 0)
		return 1;
	out = arena_alloc(a, inner.len);
	if (!out)
		return -ENOMEM;
	n = unescape(inner, out);
	if (n < 0)
		return 0;
	*ret = slice_of(out, (size_t)n);
	return 1;
}
