// SPDX-License-Identifier: Apache-2.0
#include "json.h"

#include "utf8.h"

static int put_escaped(struct buf *b, uint32_t cp)
{
	int r;

	if (cp == '"' || cp == '\\')
		return buf_printf(b, "\\%c", (int)cp);
	if (cp < 0x10000)
		return buf_printf(b, "\\u%04x", cp);
	cp -= 0x10000;
	r = buf_printf(b, "\\u%04x", 0xd800 + (cp >> 10));
	return r < 0 ? r : buf_printf(b, "\\u%04x", 0xdc00 + (cp & 0x3ff));
}

int json_put_text(struct buf *b, struct slice s)
{
	int r = buf_put_u8(b, '"');

	while (r == 0 && s.len) {
		size_t plain = 0, n;
		uint32_t cp = 0xfffd;

		while (plain < s.len && s.ptr[plain] >= 0x20 && s.ptr[plain] < 0x7f &&
		       s.ptr[plain] != '"' && s.ptr[plain] != '\\')
			plain++;
		if (plain) {
			r = buf_put(b, s.ptr, plain);
			s = slice_from(s, plain);
			continue;
		}
		n = utf8_next(s, &cp);
		r = put_escaped(b, cp);
		s = slice_from(s, n ? n : 1);
	}
	return r < 0 ? r : buf_put_u8(b, '"');
}

int json_put_key(struct buf *b, const char *key)
{
	struct slice s = buf_peek(b);
	bool first = !s.len || s.ptr[s.len - 1] == '{';

	return buf_printf(b, "%s\"%s\":", first ? "" : ",", key);
}

int json_put_member(struct buf *b, const char *key, struct slice s)
{
	int r = json_put_key(b, key);

	return r < 0 ? r : json_put_text(b, s);
}

int json_put_number(struct buf *b, const char *key, uint64_t v)
{
	int r = json_put_key(b, key);

	return r < 0 ? r : buf_printf(b, "%llu", (unsigned long long)v);
}
