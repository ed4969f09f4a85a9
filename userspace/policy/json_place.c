// SPDX-License-Identifier: Apache-2.0
#include "json_place.h"

#include <errno.h>

#include "base/utf8.h"

struct json_pos json_place_at(struct slice text, size_t offset)
{
	struct json_pos pos = { 1, 1 };

	for (size_t i = 0; i < offset && i < text.len; i++) {
		if (text.ptr[i] == '\n') {
			pos.line++;
			pos.column = 1;
		} else if ((text.ptr[i] & 0xc0) != 0x80) {
			pos.column++;
		}
	}
	return pos;
}

/* Behind the string that begins at offset i (its opening quote). */
static size_t skip_string(struct slice text, size_t i)
{
	for (i++; i < text.len && text.ptr[i] != '"'; i++)
		if (text.ptr[i] == '\\')
			i++;
	return MIN(i + 1, text.len);
}

int json_place_limits(struct slice text, unsigned max_depth, size_t max_values,
		      struct json_pos *reterr)
{
	unsigned depth = 0;
	size_t values = 1;

	for (size_t i = 0; i < text.len;) {
		switch (text.ptr[i]) {
		case '"': i = skip_string(text, i); continue;
		case '[':
		case '{':
			depth++;
			values++;
			break;
		case ']':
		case '}': depth -= depth > 0; break;
		case ',': values++; break;
		}
		if (depth > max_depth || values > max_values) {
			*reterr = json_place_at(text, i);
			return -EMSGSIZE;
		}
		i++;
	}
	return 0;
}

static size_t skip_space(struct slice text, size_t i)
{
	while (i < text.len && (text.ptr[i] == ' ' || text.ptr[i] == '\t' || text.ptr[i] == '\n' ||
				text.ptr[i] == '\r'))
		i++;
	return i;
}

/* Behind the value that begins at i. Brackets need no stack: the text is known to be valid. */
static size_t skip_value(struct slice text, size_t i)
{
	size_t depth = 0;

	while (i < text.len) {
		uint8_t c = text.ptr[i];

		if (c == '"') {
			i = skip_string(text, i);
			if (depth == 0)
				return i;
			continue;
		}
		if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			if (depth <= 1)
				return depth ? i + 1 : i;
			depth--;
		} else if (depth == 0 && (c == ',' || c == ':')) {
			return i;
		}
		i++;
	}
	return i;
}

static unsigned hex4(const uint8_t *p)
{
	unsigned v = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t c = p[i];

		v = v << 4 | (c <= '9' ? c - 0x30u : (c | 0x20u) - 0x61u + 10u);
	}
	return v;
}

/* Whether the string with its escapes, between begin (its quote) and end (behind it), is key. */
static bool string_is(struct slice text, size_t begin, size_t end, const char *key)
{
	struct slice left = slice_str(key);

	for (size_t i = begin + 1; i + 1 < end;) {
		uint8_t out[4] = { text.ptr[i] };
		unsigned n = 1;

		if (text.ptr[i] != '\\') {
			i++;
		} else if (text.ptr[i + 1] == 'u' && i + 6 < end) {
			unsigned c = hex4(text.ptr + i + 2);

			i += 6;
			if (c >= 0xd800 && c < 0xdc00 && i + 6 < end) {
				c = 0x10000 + ((c - 0xd800) << 10) +
				    (hex4(text.ptr + i + 2) - 0xdc00);
				i += 6;
			}
			n = (unsigned)utf8_put(out, c);
		} else {
			static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
			const char *at = strchr(from, text.ptr[i + 1]);

			out[0] = at && *at ? (uint8_t)to[at - from] : text.ptr[i + 1];
			i += 2;
		}
		if (!slice_has_prefix(left, slice_of(out, n)))
			return false;
		left = slice_from(left, n);
	}
	return left.len == 0;
}

struct json_pos json_place_find(struct slice text, const struct json_step *steps, size_t n,
				bool of_key)
{
	size_t at = skip_space(text, 0), key_at = at;

	for (size_t s = 0; s < n; s++) {
		bool object = steps[s].key != NULL, found = false;
		size_t i = at;

		if (i >= text.len || text.ptr[i] != (object ? '{' : '['))
			break;
		i = skip_space(text, i + 1);
		for (size_t index = 0; i < text.len && text.ptr[i] != ']' && text.ptr[i] != '}';
		     index++) {
			size_t begin = i;

			if (object) {
				size_t end = skip_string(text, i);

				found = string_is(text, begin, end, steps[s].key);
				i = skip_space(text, end);
				i = skip_space(text, MIN(i + 1, text.len)); /* the colon */
			} else {
				found = index == steps[s].index;
			}
			if (found) {
				key_at = begin;
				at = i;
				break;
			}
			i = skip_space(text, skip_value(text, i));
			if (i < text.len && text.ptr[i] == ',')
				i = skip_space(text, i + 1);
		}
		if (!found)
			break;
	}
	return json_place_at(text, of_key ? key_at : at);
}
