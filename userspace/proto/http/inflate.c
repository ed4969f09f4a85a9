// SPDX-License-Identifier: Apache-2.0
#include "inflate.h"

#include <errno.h>
#include <zlib.h>

enum { STEP = 16 * 1024 };

enum http_coding http_coding_of(struct slice value)
{
	value = slice_trim(value);
	if (!value.len || slice_ieq(value, SLICE("identity")))
		return CODING_NONE;
	if (slice_ieq(value, SLICE("gzip")) || slice_ieq(value, SLICE("x-gzip")))
		return CODING_GZIP;
	return slice_ieq(value, SLICE("deflate")) ? CODING_DEFLATE : CODING_OTHER;
}

static int run(z_stream *z, struct buf *out)
{
	for (;;) {
		size_t want = MIN((size_t)STEP, buf_room(out)), space;
		uint8_t byte, *to = &byte;
		int r, z_r;

		if (want) {
			r = buf_reserve(out, want, &to, &space);
			if (r < 0)
				return r;
		}
		/* At the maximum one byte more tells whether there is more. */
		z->next_out = to;
		z->avail_out = want ? (uInt)want : 1;
		z_r = inflate(z, Z_NO_FLUSH);
		if (want)
			buf_commit(out, want - z->avail_out);
		else if (!z->avail_out)
			return -EMSGSIZE;
		if (z_r == Z_STREAM_END)
			return z->avail_in ? -EBADMSG : 0;
		if (z_r == Z_MEM_ERROR)
			return -ENOMEM;
		if (z_r != Z_OK) /* Z_BUF_ERROR: cut short */
			return -EBADMSG;
	}
}

int http_inflate(enum http_coding coding, struct slice in, struct buf *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in.ptr, .avail_in = (uInt)in.len };
	/* "deflate" is zlib's format; some send the raw stream, which readers may or may not take. */
	int bits = coding == CODING_GZIP ? 16 + MAX_WBITS : MAX_WBITS, r;

	if (in.len > UINT32_MAX)
		return -EMSGSIZE;
	r = inflateInit2(&z, bits);
	if (r != Z_OK)
		return -ENOMEM;
	r = run(&z, out);
	(void)inflateEnd(&z); /* fails only for a stream that is none */
	return r;
}
