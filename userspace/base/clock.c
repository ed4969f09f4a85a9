// SPDX-License-Identifier: Apache-2.0
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		abort(); /* both clocks exist on every Linux */
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

char *clock_format(uint64_t realtime_ns, char out[CLOCK_TEXT_MAX])
{
	time_t sec = (time_t)(realtime_ns / NSEC_PER_SEC);
	unsigned usec = (unsigned)(realtime_ns % NSEC_PER_SEC / 1000);
	struct tm tm;
	char date[sizeof("2026-01-01T00:00:00")];

	if (!gmtime_r(&sec, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm))
		snprintf(date, sizeof(date), "0000-00-00T00:00:00"); /* fits by its size */
	snprintf(out, CLOCK_TEXT_MAX, "%s.%06uZ", date, usec);       /* fits by its size */
	return out;
}

static int parse_age(const char *text, uint64_t now_ns, uint64_t *ret)
{
	char *end;
	unsigned long long n;
	uint64_t unit, age;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || !end[0] || end[1])
		return -EINVAL;
	switch (*end) {
	case 's': unit = 1; break;
	case 'm': unit = 60; break;
	case 'h': unit = 3600; break;
	case 'd': unit = 86400; break;
	case 'w': unit = 7 * 86400; break;
	default: return -EINVAL;
	}
	if (__builtin_mul_overflow(n, unit * NSEC_PER_SEC, &age))
		return -EINVAL;
	*ret = age > now_ns ? 0 : now_ns - age;
	return 0;
}

int clock_parse(const char *text, uint64_t now_ns, uint64_t *ret)
{
	static const char *const forms[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
					     "%Y-%m-%dT%H:%M", "%Y-%m-%d" };

	if (text[0] == '@') {
		char *end;
		unsigned long long sec;

		errno = 0;
		sec = strtoull(text + 1, &end, 10);
		if (errno || text[1] < '0' || text[1] > '9' || *end ||
		    sec > UINT64_MAX / NSEC_PER_SEC)
			return -EINVAL;
		*ret = sec * NSEC_PER_SEC;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = { 0 };
		const char *rest = strptime(text, forms[i], &tm);
		uint64_t frac = 0, scale = NSEC_PER_SEC;
		time_t sec;

		if (!rest)
			continue;
		if (*rest == '.') {
			for (rest++; *rest >= '0' && *rest <= '9' && scale > 1; rest++) {
				scale /= 10;
				frac += (uint64_t)(*rest - '0') * scale;
			}
		}
		if (*rest == 'Z')
			rest++;
		if (*rest)
			continue;
		sec = timegm(&tm);
		if (sec < 0)
			return -EINVAL;
		*ret = (uint64_t)sec * NSEC_PER_SEC + frac;
		return 0;
	}
	return text[0] >= '0' && text[0] <= '9' ? parse_age(text, now_ns, ret) : -EINVAL;
}
