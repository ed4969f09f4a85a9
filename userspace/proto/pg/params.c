// SPDX-License-Identifier: Apache-2.0
/* Values in PostgreSQL's binary format, as text: what policies and people read. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* pg_type.dat */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_CHAR = 18,
	OID_NAME = 19,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_JSON = 114,
	OID_XML = 142,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_UNKNOWN = 705,
	OID_BPCHAR = 1042,
	OID_VARCHAR = 1043,
	OID_DATE = 1082,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_NUMERIC = 1700,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

#define USEC_PER_DAY INT64_C(86400000000)
#define PG_EPOCH_DAYS INT64_C(10957) /* 2000-01-01 counted from 1970-01-01 */

static int put_hex(struct arena *a, struct slice v, size_t max, struct slice *ret)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = MIN(v.len, max > 4 ? (max - 2) / 2 : 1);
	char *out = arena_alloc(a, 2 + 2 * n + 1);

	if (!out)
		return -ENOMEM;
	out[0] = '\\';
	out[1] = 'x';
	for (size_t i = 0; i < n; i++) {
		out[2 + 2 * i] = digits[v.ptr[i] >> 4];
		out[3 + 2 * i] = digits[v.ptr[i] & 15];
	}
	*ret = slice_of(out, 2 + 2 * n);
	return 0;
}

/* Year, month, day of the proleptic Gregorian calendar, days counted from 1970-01-01
 * (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days). */
static void civil(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = (int64_t)yoe + era * 400 + (*m <= 2);
}

static int date_text(char *out, size_t size, int64_t pg_days)
{
	int64_t y;
	unsigned m, d;

	civil(pg_days + PG_EPOCH_DAYS, &y, &m, &d);
	return y > 0 ? snprintf(out, size, "%04" PRId64 "-%02u-%02u", y, m, d)
		     : snprintf(out, size, "%04" PRId64 "-%02u-%02u BC", 1 - y, m, d);
}

static int timestamp_text(char *out, size_t size, int64_t t, bool tz)
{
	int64_t days, us;
	int n;

	if (t == INT64_MAX || t == INT64_MIN)
		return snprintf(out, size, t > 0 ? "infinity" : "-infinity");
	days = t / USEC_PER_DAY;
	us = t % USEC_PER_DAY;
	if (us < 0) {
		us += USEC_PER_DAY;
		days--;
	}
	n = date_text(out, size, days);
	n += snprintf(out + n, size - (size_t)n, " %02d:%02d:%02d", (int)(us / 3600000000),
		      (int)(us / 60000000 % 60), (int)(us / 1000000 % 60));
	if (us % 1000000)
		n += snprintf(out + n, size - (size_t)n, ".%06d", (int)(us % 1000000));
	if (tz)
		n += snprintf(out + n, size - (size_t)n, "+00");
	return n;
}

/* numeric_send: ndigits, weight, sign, dscale, then base-10000 digits. 1 when it made sense. */
static int numeric_text(struct arena *a, struct slice v, size_t max, struct slice *ret)
{
	struct pg_reader r = { .rest = v };
	unsigned nd = pg_read_u16(&r);
	int weight = (int16_t)pg_read_u16(&r);
	unsigned sign = pg_read_u16(&r), scale = pg_read_u16(&r);
	size_t room, n = 0;
	char *out;

	if (r.bad || r.rest.len != 2 * (size_t)nd)
		return 0;
	if (sign == 0xc000 || sign == 0xd000 || sign == 0xf000) {
		*ret = sign == 0xc000   ? SLICE("NaN")
		       : sign == 0xd000 ? SLICE("Infinity")
					: SLICE("-Infinity");
		return 1;
	}
	if ((sign != 0 && sign != 0x4000) || scale > 0x3fff)
		return 0;
	room = 8 + 4 * (size_t)MAX(weight + 1, 1) + scale + 4;
	if (room > max + 64) /* 1e131071 is six bytes on the wire: hex is the honest short form */
		return 0;
	out = arena_alloc(a, room);
	if (!out)
		return -ENOMEM;
	if (sign)
		out[n++] = '-';
	for (int i = 0; i <= MAX(weight, 0); i++) {
		unsigned at = (unsigned)i, dig = 0;

		if (weight >= 0 && at < nd)
			dig = pg_be16(r.rest.ptr + 2 * at);
		if (dig > 9999)
			return 0;
		n += (size_t)snprintf(out + n, room - n, i ? "%04u" : "%u", dig);
	}
	if (scale)
		out[n++] = '.';
	for (unsigned left = scale, k = 1; left; k++) {
		int at = weight + (int)k; /* index of the k-th digit group behind the point */
		unsigned dig = at >= 0 && (unsigned)at < nd ? pg_be16(r.rest.ptr + 2 * at) : 0;
		unsigned take = MIN(left, 4u);
		char four[8];

		if (dig > 9999)
			return 0;
		(void)snprintf(four, sizeof(four), "%04u", dig);
		memcpy(out + n, four, take);
		n += take;
		left -= take;
	}
	*ret = slice_of(out, n);
	return 1;
}

/* Length of the decoded text in out, or -1: not a type, or not a length, that is decoded. */
static int small_text(uint32_t oid, struct slice v, char *out, size_t size)
{
	const uint8_t *b = v.ptr;
	float f4;
	double f8;
	uint32_t u4;
	uint64_t u8;

	switch (oid) {
	case OID_BOOL: return v.len == 1 ? snprintf(out, size, b[0] ? "true" : "false") : -1;
	case OID_INT2: return v.len == 2 ? snprintf(out, size, "%d", (int16_t)pg_be16(b)) : -1;
	case OID_INT4:
		return v.len == 4 ? snprintf(out, size, "%" PRId32, (int32_t)pg_be32(b)) : -1;
	case OID_OID: return v.len == 4 ? snprintf(out, size, "%" PRIu32, pg_be32(b)) : -1;
	case OID_INT8:
		return v.len == 8 ? snprintf(out, size, "%" PRId64, (int64_t)pg_be64(b)) : -1;
	case OID_FLOAT4:
		if (v.len != 4)
			return -1;
		u4 = pg_be32(b);
		memcpy(&f4, &u4, 4);
		return snprintf(out, size, "%.9g", (double)f4);
	case OID_FLOAT8:
		if (v.len != 8)
			return -1;
		u8 = pg_be64(b);
		memcpy(&f8, &u8, 8);
		return snprintf(out, size, "%.17g", f8);
	case OID_DATE:
		if (v.len != 4)
			return -1;
		if (pg_be32(b) == 0x7fffffff || pg_be32(b) == 0x80000000)
			return snprintf(out, size, b[0] == 0x7f ? "infinity" : "-infinity");
		return date_text(out, size, (int32_t)pg_be32(b));
	case OID_TIMESTAMP:
	case OID_TIMESTAMPTZ:
		return v.len == 8 ? timestamp_text(out, size, (int64_t)pg_be64(b),
						   oid == OID_TIMESTAMPTZ)
				  : -1;
	case OID_UUID:
		if (v.len != 16)
			return -1;
		return snprintf(out, size,
				"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
				"%02x%02x%02x%02x%02x%02x",
				b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
				b[11], b[12], b[13], b[14], b[15]);
	default: return -1;
	}
}

int pg_param_text(struct arena *a, uint32_t oid, bool binary, struct slice value, size_t max,
		  struct slice *ret)
{
	char tmp[80];
	int n;

	if (!binary) {
		*ret = slice_head(value, max);
		return 0;
	}
	switch (oid) {
	case OID_TEXT:
	case OID_VARCHAR:
	case OID_BPCHAR:
	case OID_NAME:
	case OID_CHAR:
	case OID_JSON:
	case OID_XML:
	case OID_UNKNOWN: *ret = slice_head(value, max); return 0;
	case OID_JSONB:
		if (value.len && value.ptr[0] == 1) {
			*ret = slice_head(slice_from(value, 1), max);
			return 0;
		}
		return put_hex(a, value, max, ret);
	case OID_NUMERIC:
		n = numeric_text(a, value, max, ret);
		if (n < 0)
			return n;
		if (n > 0) {
			*ret = slice_head(*ret, max);
			return 0;
		}
		return put_hex(a, value, max, ret);
	default:
		n = small_text(oid, value, tmp, sizeof(tmp));
		if (n < 0 || (size_t)n >= sizeof(tmp))
			return put_hex(a, value, max, ret);
		return arena_dup(a, slice_head(slice_of(tmp, (size_t)n), max), ret);
	}
}
