/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands print. Text that an agent or a server chose never reaches a terminal as it is: no
 * control character, no bidirectional override, no broken UTF-8 gets through out_text.
 */
#ifndef WEIR_CLI_OUTPUT_H
#define WEIR_CLI_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "base/buf.h"
#include "store/store.h"

/* True on a terminal, unless $NO_COLOR is set or $TERM is "dumb". */
bool out_colour(FILE *f);
/* Columns of the terminal; 0 = no terminal, nothing needs cutting. $COLUMNS comes first. */
unsigned out_width(FILE *f);

enum out_style { OUT_PLAIN, OUT_BOLD, OUT_DIM, OUT_RED, OUT_GREEN, OUT_YELLOW };
/* The escape sequence that begins (OUT_PLAIN: ends) a style; "" without colour. */
const char *out_style(bool colour, enum out_style style);
enum out_style out_verdict_style(enum verdict_kind v);

/*
 * Appends text made harmless: \n \t \r, \xHH, \u{HHHH} for what is not printable. At most max_cols
 * columns (0 = all), with "…" where it was cut. Returns the columns, or a negative errno of buf_put.
 */
int out_escape(struct buf *b, struct slice text, unsigned max_cols) __must_check;
/* The same straight to a file. */
void out_text(FILE *f, struct slice text, unsigned max_cols);
/* Text of several lines, each behind indent; at most max_lines (0 = all). */
void out_lines(FILE *f, struct slice text, const char *indent, unsigned max_lines);

enum { OUT_SHORT_MAX = 32 };
char *out_duration(uint64_t ns,
		   char out[OUT_SHORT_MAX]);             /* "850us" "12ms" "3.4s" "2m05s" "4d02h" */
char *out_size(uint64_t bytes, char out[OUT_SHORT_MAX]); /* "512" "1.2K" "3.4M" */
char *out_time(uint64_t ns, char out[OUT_SHORT_MAX]);    /* "2026-01-31 10:00:00", UTC */

/* ---- tables --------------------------------------------------------------------------------- */

enum { OUT_COLUMNS_MAX = 12, OUT_ROWS = 256 };

struct out_column {
	const char *title;
	bool right;    /* aligned to the right */
	bool flex;     /* may be cut to make the table fit */
	bool tail;     /* when cut, its end is what stays: paths */
	unsigned drop; /* not 0: left out where the table cannot fit otherwise, the highest first */
};

struct out_cell {
	char *text; /* heap, escaped already */
	unsigned cols;
	enum out_style style;
};

/* Rows are kept until there are enough to know the widths, then printed. */
struct out_table {
	FILE *file;
	const struct out_column *columns;
	size_t n_columns, n_cells;
	struct out_cell cells[OUT_ROWS * OUT_COLUMNS_MAX];
	unsigned widths[OUT_COLUMNS_MAX], term_width;
	bool colour, headed, hidden[OUT_COLUMNS_MAX];
};

struct out_table *out_table_new(FILE *f, const struct out_column *columns, size_t n) __must_check;
/* The next cell of a row, left to right; peer-controlled text is fine. 0 or -ENOMEM. */
int out_table_cell(struct out_table *t, struct slice text, enum out_style style) __must_check;
/* Prints what is still to be printed. */
struct out_table *out_table_done(struct out_table *t);

/* ---- JSON ----------------------------------------------------------------------------------- */

/* A string; bytes that are not UTF-8 become U+FFFD. */
json_t *out_json_text(struct slice text);
json_t *out_json_session(const struct store_session *s);
json_t *out_json_event(const struct ulid *session, const struct store_event *ev);
/* One line of ASCII (so that a terminal is safe with it as well); gives the object back. 0, or -ENOMEM when obj is NULL or cannot be written. */
int out_json_line(FILE *f, json_t *obj) __must_check;

/* ---- what several commands say -------------------------------------------------------------- */

/* The container if there is one, else the cgroup's path. */
const char *out_agent(const struct identity *id);
/* How a session is named for people: a prefix of its id that show takes. */
enum { OUT_ID_LEN = 14 };
char *out_short_id(const struct ulid *id, char out[ULID_TEXT_MAX]);
/* attrs as " key=value" each. */
void out_attrs(FILE *f, const struct op_attr *attrs, size_t n);

#endif
