/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log: one line an entry on stderr, `level msg key=value …`. Floors 0 and 1 never log.
 * Text that a peer controls goes through log_escape. Payload is never logged, only its length.
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include "slice.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Once at start. name stands before every line ("weir[proxy]") and must outlive the process. */
void log_setup(const char *name, enum log_level max);
enum log_level log_level_max(void);

void log_write(enum log_level level, const char *fmt, ...) __printf_like(2, 3);

#define log_at(level, ...)                             \
	do {                                           \
		if ((level) <= log_level_max())        \
			log_write(level, __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * For lines that a peer can repeat at will: at most `burst` a second for each place that holds one
 * of these; what was left out is counted into the next line that gets through.
 */
struct log_limit {
	uint64_t second;
	unsigned seen, dropped;
};
bool log_limit_pass(struct log_limit *l, unsigned burst, unsigned *ret_dropped);

/*
 * Printable ASCII as it is; everything else, quotes and backslash included, as \xHH. Cut to fit,
 * with "..." at the end when it was. Returns out.
 */
char *log_escape(struct slice s, char *out, size_t size);

#endif
