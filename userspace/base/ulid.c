// SPDX-License-Identifier: Apache-2.0
#include "ulid.h"

#include <errno.h>
#include <sys/random.h>

#include "clock.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct ulid ulid_floor(uint64_t realtime_ns)
{
	uint64_t ms = realtime_ns / NSEC_PER_MSEC;
	struct ulid id = { { 0 } };

	for (int i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	return id;
}

int ulid_new(uint64_t realtime_ns, struct ulid *ret)
{
	struct ulid id = ulid_floor(realtime_ns);
	ssize_t n = getrandom(id.bytes + 6, 10, 0);

	if (n < 0)
		return -errno;
	if (n != 10)
		return -EIO;
	*ret = id;
	return 0;
}

uint64_t ulid_time_ns(const struct ulid *id)
{
	uint64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id->bytes[i];
	return ms * NSEC_PER_MSEC;
}

char *ulid_format(const struct ulid *id, char out[ULID_TEXT_MAX])
{
	unsigned __int128 v = 0;

	for (int i = 0; i < 16; i++)
		v = v << 8 | id->bytes[i];
	for (int i = ULID_TEXT_LEN - 1; i >= 0; i--) {
		out[i] = alphabet[(unsigned)(v & 31)];
		v >>= 5;
	}
	out[ULID_TEXT_LEN] = '\0';
	return out;
}

static int digit(uint8_t c)
{
	const char *p;

	if (c >= 'a' && c <= 'z')
		c = (uint8_t)(c - 'a' + 'A');
	if (c == 'I' || c == 'L')
		c = '1';
	if (c == 'O')
		c = '0';
	p = c ? strchr(alphabet, c) : NULL;
	return p ? (int)(p - alphabet) : -EINVAL;
}

int ulid_parse(struct slice text, struct ulid *ret)
{
	unsigned __int128 v = 0;
	struct ulid id;

	if (text.len != ULID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		int d = digit(text.ptr[i]);

		if (d < 0 ||
		    (i == 0 && d > 7)) /* 26 letters hold 130 bits; the top two must be 0 */
			return -EINVAL;
		v = v << 5 | (unsigned)d;
	}
	for (int i = 15; i >= 0; i--) {
		id.bytes[i] = (uint8_t)v;
		v >>= 8;
	}
	*ret = id;
	return 0;
}
