// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"

static const char *log_name = "weir";
static enum log_level log_max = LOG_LEVEL_INFO;

void log_setup(const char *name, enum log_level max)
{
	log_name = name;
	log_max = max;
}

enum log_level log_level_max(void)
{
	return log_max;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	int saved = errno;
	char line[2048];
	va_list ap;
	int n, m;

	n = snprintf(line, sizeof(line), "%s: %s: ", log_name, names[level]);
	if (n < 0 || (size_t)n >= sizeof(line))
		return;
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n = MIN(n + m, (int)sizeof(line) - 2);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		errno = 0; /* nowhere left to say so */
	errno = saved;
}

bool log_limit_pass(struct log_limit *l, unsigned burst, unsigned *ret_dropped)
{
	uint64_t now = clock_monotonic_ns() / NSEC_PER_SEC;

	if (now != l->second) {
		l->second = now;
		l->seen = 0;
	}
	if (l->seen >= burst) {
		l->dropped++;
		return false;
	}
	l->seen++;
	*ret_dropped = l->dropped;
	l->dropped = 0;
	return true;
}

char *log_escape(struct slice s, char *out, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	if (!size)
		return out;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\'' && c != '\\';

		if (n + (plain ? 1 : 4) + sizeof("...") > size) {
			if (size >= sizeof("..."))
				memcpy(out + n, "...", 3), n += 3;
			break;
		}
		if (plain) {
			out[n++] = (char)c;
		} else {
			out[n++] = '\\';
			out[n++] = 'x';
			out[n++] = hex[c >> 4];
			out[n++] = hex[c & 15];
		}
	}
	out[n] = '\0';
	return out;
}
