// SPDX-License-Identifier: Apache-2.0
/*
 * DataRow as people read it: cells separated by tabs, a line a row, escaped as COPY does in text
 * format; binary cells as hex. Only made until the record of an operation is full.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static int put(struct pg *p, uint64_t op, struct slice s, size_t *recorded)
{
	return pg_event_data(p, op, DIR_TO_CLIENT, s, recorded);
}

static int put_escaped(struct pg *p, uint64_t op, struct slice s, size_t *recorded)
{
	size_t from = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s.len; i++) {
		struct slice as = s.ptr[i] == '\t'   ? SLICE("\\t")
				  : s.ptr[i] == '\n' ? SLICE("\\n")
				  : s.ptr[i] == '\r' ? SLICE("\\r")
				  : s.ptr[i] == '\\' ? SLICE("\\\\")
						     : SLICE_NONE;

		if (!as.len)
			continue;
		r = put(p, op, slice_of(s.ptr + from, i - from), recorded);
		r = r < 0 ? r : put(p, op, as, recorded);
		from = i + 1;
	}
	return r < 0 ? r : put(p, op, slice_from(s, from), recorded);
}

static int put_hex(struct pg *p, uint64_t op, struct slice s, size_t *recorded)
{
	static const char digits[] = "0123456789abcdef";
	int r = 0;

	for (size_t i = 0; r == 0 && i < s.len && *recorded < p->lim.record_max; i++) {
		char two[2] = { digits[s.ptr[i] >> 4], digits[s.ptr[i] & 15] };

		r = put(p, op, slice_of(two, 2), recorded);
	}
	return r;
}

static int formats_room(struct pg *p, size_t n)
{
	uint8_t *bigger;

	if (n <= p->cap_formats)
		return 0;
	bigger = realloc(p->formats, n);
	if (!bigger)
		return -ENOMEM;
	p->formats = bigger;
	p->cap_formats = n;
	return 0;
}

int pg_row_header(struct pg *p, struct slice body, uint64_t op, size_t *recorded)
{
	struct pg_reader r = { .rest = body };
	unsigned n = pg_read_u16(&r);
	int err = formats_room(p, n);

	for (unsigned i = 0; err == 0 && i < n; i++) {
		struct slice name = pg_read_str(&r);
		struct slice fixed = pg_read_bytes(&r, 18);

		if (r.bad)
			return -EBADMSG;
		/* table OID, column, type OID, size, modifier, format */
		p->formats[i] = pg_be16(fixed.ptr + 16) != 0;
		if (i)
			err = put(p, op, SLICE("\t"), recorded);
		err = err < 0 ? err : put_escaped(p, op, name, recorded);
	}
	if (err < 0)
		return err;
	if (!pg_read_done(&r))
		return -EBADMSG;
	p->n_formats = n;
	return n ? put(p, op, SLICE("\n"), recorded) : 0;
}

void pg_row_begin(struct pg *p)
{
	p->row = (struct pg_row){ .state = PG_ROW_COUNT };
}

bool pg_row_whole(const struct pg *p)
{
	return p->row.state == PG_ROW_END;
}

static bool is_binary(const struct pg *p, unsigned col)
{
	if (p->n_formats == 1)
		return p->formats[0];
	return col < p->n_formats && p->formats[col];
}

/* After a cell, or after the count: what comes next. */
static int next_cell(struct pg *p, uint64_t op, size_t *recorded)
{
	struct pg_row *w = &p->row;

	w->n_tmp = 0;
	if (w->col == w->n_cols) {
		w->state = PG_ROW_END;
		return put(p, op, SLICE("\n"), recorded);
	}
	w->state = PG_ROW_LEN;
	return w->col ? put(p, op, SLICE("\t"), recorded) : 0;
}

int pg_row_feed(struct pg *p, struct slice *in, uint64_t op, size_t *recorded)
{
	struct pg_row *w = &p->row;
	struct slice bytes = *in;
	int r = 0;

	while (r == 0 && bytes.len) {
		struct slice cell;
		uint32_t len;

		switch (w->state) {
		case PG_ROW_COUNT:
		case PG_ROW_LEN:
			w->tmp[w->n_tmp++] = bytes.ptr[0];
			bytes = slice_from(bytes, 1);
			if (w->n_tmp < (w->state == PG_ROW_COUNT ? 2u : 4u))
				continue;
			if (w->state == PG_ROW_COUNT) {
				w->n_cols = pg_be16(w->tmp);
				r = next_cell(p, op, recorded);
				continue;
			}
			len = pg_be32(w->tmp);
			w->col++;
			w->left = len;
			w->binary = is_binary(p, w->col - 1);
			if (len == UINT32_MAX) {
				r = put(p, op, SLICE("\\N"), recorded);
				r = r < 0 ? r : next_cell(p, op, recorded);
				continue;
			}
			if (w->binary)
				r = put(p, op, SLICE("\\x"), recorded);
			if (r == 0 && !len)
				r = next_cell(p, op, recorded);
			else
				w->state = PG_ROW_CELL;
			continue;
		case PG_ROW_CELL:
			cell = slice_head(bytes, w->left);
			r = w->binary ? put_hex(p, op, cell, recorded)
				      : put_escaped(p, op, cell, recorded);
			w->left -= (uint32_t)cell.len;
			bytes = slice_from(bytes, cell.len);
			if (r == 0 && !w->left)
				r = next_cell(p, op, recorded);
			continue;
		case PG_ROW_END: r = -EBADMSG; break; /* more than its columns hold */
		}
	}
	*in = bytes;
	return r;
}
