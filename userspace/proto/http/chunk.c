// SPDX-License-Identifier: Apache-2.0
#include "chunk.h"

#include <errno.h>

enum {
	S_SIZE,
	/* extensions: ;name, ;name=value, ;name="quoted\" value" */
	S_EXT_NEW, /* behind ';' */
	S_EXT_NAME,
	S_EXT_EQUALS, /* behind '=' */
	S_EXT_VALUE,
	S_EXT_QUOTED,
	S_EXT_ESCAPED,  /* behind a backslash in quotes */
	S_EXT_UNQUOTED, /* behind the closing quote */
	S_SIZE_LF,
	S_DATA,
	S_DATA_CR,
	S_DATA_LF,
	S_OVER,
};

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* One byte of an extension. False when it does not belong there. */
static bool ext_byte(struct chunk *c, uint8_t b)
{
	bool token = http_is_token(slice_of(&b, 1));

	switch (c->state) {
	case S_EXT_NEW:
	case S_EXT_EQUALS:
		if (c->state == S_EXT_EQUALS && b == '"') {
			c->state = S_EXT_QUOTED;
			return true;
		}
		c->state = c->state == S_EXT_NEW ? S_EXT_NAME : S_EXT_VALUE;
		return token;
	case S_EXT_QUOTED:
		if (b == '"')
			c->state = S_EXT_UNQUOTED;
		else if (b == '\\')
			c->state = S_EXT_ESCAPED;
		return b == '\t' || (b >= 0x20 && b < 0x7f);
	case S_EXT_ESCAPED: c->state = S_EXT_QUOTED; return b == '\t' || (b >= 0x20 && b < 0x7f);
	default: break;
	}
	if (b == '\r')
		c->state = S_SIZE_LF;
	else if (b == ';')
		c->state = S_EXT_NEW;
	else if (b == '=' && c->state == S_EXT_NAME)
		c->state = S_EXT_EQUALS;
	else
		return token && c->state != S_EXT_UNQUOTED;
	return true;
}

/* One byte of framing. Static text of what is wrong with it, or NULL. */
static const char *framing_byte(struct chunk *c, uint8_t b)
{
	int v;

	if (c->state > S_SIZE && c->state < S_SIZE_LF) {
		if (++c->ext > CHUNK_EXT_MAX || ++c->line > CHUNK_LINE_MAX)
			return "too many chunk extensions";
		return ext_byte(c, b) ? NULL : "malformed chunk extension";
	}
	switch (c->state) {
	case S_SIZE:
		v = hex_value(b);
		if (v >= 0) {
			if (++c->digits > 16 || c->left > (INT64_MAX >> 4))
				return "chunk size out of range";
			c->left = c->left << 4 | (uint64_t)v;
			return NULL;
		}
		if (!c->digits)
			return "malformed chunk size";
		if (b == '\r')
			c->state = S_SIZE_LF;
		else if (b == ';')
			c->state = S_EXT_NEW;
		else
			return "malformed chunk size";
		return NULL;
	case S_SIZE_LF:
		if (b != '\n')
			return "CR without LF in a chunk-size line";
		c->state = c->left ? S_DATA : S_OVER;
		return NULL;
	case S_DATA_CR:
		if (b != '\r')
			return "no CRLF behind a chunk's data";
		c->state = S_DATA_LF;
		return NULL;
	default: /* S_DATA_LF */
		if (b != '\n')
			return "no CRLF behind a chunk's data";
		c->state = S_SIZE;
		c->digits = 0;
		c->line = 0;
		return NULL;
	}
}

int chunk_next(struct chunk *c, struct slice in, size_t *ret_used, struct slice *ret_content,
	       struct http_fault *reterr)
{
	size_t i = 0;

	*ret_used = 0;
	while (i < in.len) {
		const char *wrong;

		if (c->state == S_DATA) {
			size_t n = c->left < in.len - i ? (size_t)c->left : in.len - i;

			c->left -= n;
			if (!c->left)
				c->state = S_DATA_CR;
			*ret_content = slice_of(in.ptr + i, n);
			*ret_used = i + n;
			return CHUNK_CONTENT;
		}
		wrong = framing_byte(c, in.ptr[i]);
		if (wrong) {
			*reterr = (struct http_fault){ .at = i,
						       .rule = wrong,
						       .status = 400,
						       .spec = "RFC 9112 §7.1",
						       .code = -EBADMSG };
			*ret_used = i;
			return -EBADMSG;
		}
		i++;
		if (c->state == S_OVER) {
			*ret_used = i;
			return CHUNK_LAST;
		}
	}
	*ret_used = i;
	return CHUNK_MORE;
}
