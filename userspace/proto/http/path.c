// SPDX-License-Identifier: Apache-2.0
#include "path.h"

#include <errno.h>

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_unreserved(uint8_t c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* The value of the escape at s[i], or -1 when there is none. */
static int escape_at(struct slice s, size_t i)
{
	int hi, lo;

	if (i + 2 >= s.len || s.ptr[i] != '%')
		return -1;
	hi = hex_value(s.ptr[i + 1]);
	lo = hex_value(s.ptr[i + 2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* Most paths need no work: no escape, no parameter, no backslash, no doubled slash, no segment that
 * begins with a dot. */
static bool is_plain(struct slice s)
{
	uint8_t prev = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '%' || c == '\\' || c == ';' || (prev == '/' && (c == '/' || c == '.')))
			return false;
		prev = c;
	}
	return true;
}

/* An ASCII character in an encoding longer than it needs, as some decoders still take it: its value
 * and *ret_len (bytes of text), or -1. */
static int overlong_at(struct slice s, size_t i, size_t *ret_len)
{
	int a = escape_at(s, i), b = escape_at(s, i + 3), c = escape_at(s, i + 6),
	    d = escape_at(s, i + 9);

	if ((a == 0xc0 || a == 0xc1) && b >= 0x80 && b <= 0xbf) {
		*ret_len = 6;
		return (a & 1) << 6 | (b & 0x3f);
	}
	if (a == 0xe0 && (b == 0x80 || b == 0x81) && c >= 0x80 && c <= 0xbf) {
		*ret_len = 9;
		return (b & 1) << 6 | (c & 0x3f);
	}
	if (a == 0xf0 && b == 0x80 && (c == 0x80 || c == 0x81) && d >= 0x80 && d <= 0xbf) {
		*ret_len = 12;
		return (c & 1) << 6 | (d & 0x3f);
	}
	return -1;
}

/* Decodes raw into out, which has room for raw.len bytes. */
static size_t decode(struct slice raw, uint8_t *out, bool *ret_ambiguous)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < raw.len;) {
		size_t len = 3;
		int v;

		if (raw.ptr[i] != '%') {
			*ret_ambiguous |= raw.ptr[i] == '\\' || raw.ptr[i] == ';';
			out[n++] = raw.ptr[i] == '\\' ? '/' : raw.ptr[i];
			i++;
			continue;
		}
		v = overlong_at(raw, i, &len);
		if (v < 0)
			v = escape_at(raw, i);
		if (v < 0) { /* a bare '%': some keep it, some refuse, some skip it */
			*ret_ambiguous = true;
			out[n++] = raw.ptr[i++];
			continue;
		}
		*ret_ambiguous |= len > 3 || v == '/' || v == '\\' || v == '.' || v == '%' ||
				  v == ';' || v < 0x20 || v == 0x7f || v == 0xc0 || v == 0xc1 ||
				  v >= 0xf5;
		i += len;
		if (v == '/' || v == '\\') {
			out[n++] = '/';
		} else if (is_unreserved((uint8_t)v)) {
			out[n++] = (uint8_t)v;
		} else {
			out[n++] = '%';
			out[n++] = (uint8_t)hex[v >> 4];
			out[n++] = (uint8_t)hex[v & 15];
		}
	}
	return n;
}

/* Which dots a segment is: 1 ".", 2 "..", 0 neither. A parameter does not hide them ("..;x"). */
static unsigned dots(struct slice seg)
{
	ptrdiff_t semi = slice_chr(seg, ';');

	if (semi >= 0)
		seg.len = (size_t)semi;
	if (slice_eq(seg, SLICE(".")))
		return 1;
	return slice_eq(seg, SLICE("..")) ? 2 : 0;
}

/* Resolves dot segments and doubled slashes in place: RFC 3986 §5.2.4. s begins with '/'. */
static size_t resolve(uint8_t *s, size_t len)
{
	size_t r = 0, w = 0;

	while (r < len) {
		struct slice seg;
		ptrdiff_t slash;
		unsigned kind;

		r++; /* s[r] is '/' here, always */
		slash = slice_chr(slice_of(s + r, len - r), '/');
		seg = slice_of(s + r, slash < 0 ? len - r : (size_t)slash);
		kind = dots(seg);
		r += seg.len;
		if (kind == 2) {
			while (w && s[--w] != '/')
				;
		}
		if (kind || !seg.len) {
			if (r == len) /* "/a/." and "/a/.." and "/a//" are folders */
				s[w++] = '/';
			continue;
		}
		s[w++] = '/';
		memmove(s + w, seg.ptr, seg.len);
		w += seg.len;
	}
	return w;
}

int http_path_parse(struct slice target, struct arena *a, struct http_path *ret)
{
	ptrdiff_t q = slice_chr(target, '?');
	uint8_t *out;
	size_t n;

	*ret = (struct http_path){
		.raw = slice_head(target, q < 0 ? target.len : (size_t)q),
		.query = q < 0 ? SLICE_NONE : slice_from(target, (size_t)q + 1),
	};
	if (!ret->raw.len) {
		ret->norm = SLICE("/"); /* "http://host" and "http://host?q" */
		return 0;
	}
	if (is_plain(ret->raw)) {
		ret->norm = ret->raw;
		return 0;
	}
	out = arena_alloc(a, ret->raw.len);
	if (!out)
		return -ENOMEM;
	ret->ambiguous = ret->raw.len > 1 && ret->raw.ptr[1] == '/'; /* "//host/path" */
	n = decode(ret->raw, out, &ret->ambiguous);
	n = resolve(out, n);
	ret->norm = slice_of(out, n);
	return 0;
}

/* Digits only, a UUID, or 8 or more hex digits of which one is a digit. */
static bool is_identifier(struct slice s)
{
	size_t digits = 0, letters = 0, dashes = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] >= '0' && s.ptr[i] <= '9')
			digits++;
		else if (hex_value(s.ptr[i]) >= 0)
			letters++;
		else if (s.ptr[i] == '-')
			dashes++;
		else
			return false;
	}
	if (dashes)
		return s.len == 36 && dashes == 4;
	return digits && (!letters || s.len >= 8);
}

int http_path_shape(struct slice method, struct slice host, struct slice path, struct arena *a,
		    struct slice *ret)
{
	uint8_t *out = arena_alloc(a, method.len + 1 + host.len + path.len + 1);
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	memcpy(out, method.ptr, method.len);
	n = method.len;
	out[n++] = ' ';
	if (host.len)
		memcpy(out + n, host.ptr, host.len);
	n += host.len;
	while (path.len) {
		ptrdiff_t slash = slice_chr(slice_from(path, 1), '/');
		struct slice part = slice_head(path, slash < 0 ? path.len : (size_t)slash + 1);

		path = slice_from(path, part.len);
		if (part.ptr[0] == '/' && is_identifier(slice_from(part, 1))) {
			out[n++] = '/';
			out[n++] = '*';
			continue;
		}
		memcpy(out + n, part.ptr, part.len);
		n += part.len;
	}
	*ret = slice_of(out, n);
	return 0;
}

int http_authority_parse(struct slice s, struct slice *ret_host, unsigned *ret_port)
{
	struct slice host, port = SLICE_NONE;
	uint64_t v = 0;
	size_t n;

	if (s.len && s.ptr[0] == '[') {
		for (n = 1;
		     n < s.len && (hex_value(s.ptr[n]) >= 0 || s.ptr[n] == ':' || s.ptr[n] == '.');
		     n++)
			;
		if (n < 4 - 1 || n == s.len || s.ptr[n] != ']')
			return -EBADMSG;
		n++;
	} else {
		for (n = 0; n < s.len && is_unreserved(s.ptr[n]); n++)
			;
	}
	host = slice_head(s, n);
	if (!host.len || host.len > 255)
		return -EBADMSG;
	if (n < s.len) {
		port = slice_from(s, n + 1);
		if (s.ptr[n] != ':' || port.len > 5 || slice_to_u64(port, &v) < 0 || v == 0 ||
		    v > 65535)
			return -EBADMSG;
	}
	*ret_host = host;
	*ret_port = (unsigned)v;
	return 0;
}
