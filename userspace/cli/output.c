// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { TEXT_MAX = 64 << 20, WIDTH_MIN = 40, FLEX_MIN = 8 };

bool out_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

unsigned out_width(FILE *f)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws;
	uint64_t n;

	if (columns && slice_to_u64(slice_str(columns), &n) == 0 && n >= WIDTH_MIN && n < 10000)
		return (unsigned)n;
	if (isatty(fileno(f)) && ioctl(fileno(f), TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		return MAX((unsigned)ws.ws_col, (unsigned)WIDTH_MIN);
	return 0;
}

const char *out_style(bool colour, enum out_style style)
{
	static const char *const seq[] = { "\033[0m",  "\033[1m",  "\033[2m",
					   "\033[31m", "\033[32m", "\033[33m" };

	return colour ? seq[style] : "";
}

enum out_style out_verdict_style(enum verdict_kind v)
{
	return v == VERDICT_BLOCK ? OUT_RED : v == VERDICT_HOLD ? OUT_YELLOW : OUT_GREEN;
}

/* ---- escaping ------------------------------------------------------------------------------- */

/* Controls, and what reorders, hides or joins the text around it. */
static bool is_treacherous(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x61c ||
	       (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xfff0 && cp <= 0xfffb) ||
	       (cp >= 0xe0000 && cp <= 0xe0fff);
}

/* One piece of text, made harmless; returns the bytes of text that it stands for. */
static size_t escape_one(struct slice text, char out[16], size_t *ret_len, unsigned *ret_cols)
{
	uint32_t cp = 0;
	size_t n = utf8_next(text, &cp);
	int len;

	if (!n) {
		n = 1;
		len = snprintf(out, 16, "\\x%02x", text.ptr[0]);
	} else if (!is_treacherous(cp)) {
		memcpy(out, text.ptr, n);
		*ret_len = n;
		*ret_cols = 1;
		return n;
	} else if (cp == '\n' || cp == '\t' || cp == '\r') {
		len = snprintf(out, 16, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
	} else {
		len = cp < 0x80 ? snprintf(out, 16, "\\x%02x", cp)
				: snprintf(out, 16, "\\u{%x}", cp);
	}
	*ret_len = (size_t)len;
	*ret_cols = (unsigned)len;
	return n;
}

int out_escape(struct buf *b, struct slice text, unsigned max_cols)
{
	size_t mark = buf_len(b); /* where to cut when there is more than fits */
	unsigned cols = 0, mark_cols = 0;

	while (text.len) {
		unsigned c;
		size_t len;
		char one[16];
		size_t n = escape_one(text, one, &len, &c);
		int r;

		if (max_cols && cols + c > max_cols) {
			buf_truncate(b, mark);
			r = buf_put_str(b, "…");
			return r < 0 ? r : (int)mark_cols + 1;
		}
		r = buf_put(b, one, len);
		if (r < 0)
			return r;
		cols += c;
		if (cols < max_cols) {
			mark = buf_len(b);
			mark_cols = cols;
		}
		text = slice_from(text, n);
	}
	return (int)cols;
}

void out_text(FILE *f, struct slice text, unsigned max_cols)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	if (out_escape(&b, text, max_cols) < 0)
		fputs("(text too large to print)", f);
	else if (buf_len(&b))
		fwrite(buf_peek(&b).ptr, 1, buf_len(&b), f);
	buf_done(&b);
}

void out_lines(FILE *f, struct slice text, const char *indent, unsigned max_lines)
{
	unsigned lines = 0;

	while (text.len) {
		ptrdiff_t nl = slice_chr(text, '\n');
		struct slice line = nl < 0 ? text : slice_head(text, (size_t)nl);

		if (max_lines && lines++ == max_lines) {
			fprintf(f, "%s… %zu more bytes\n", indent, text.len);
			return;
		}
		text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		fputs(indent, f);
		out_text(f, line, 0);
		fputc('\n', f);
	}
}

/* ---- numbers -------------------------------------------------------------------------------- */

char *out_duration(uint64_t ns, char out[OUT_SHORT_MAX])
{
	uint64_t s = ns / NSEC_PER_SEC;

	if (ns < NSEC_PER_MSEC)
		snprintf(out, OUT_SHORT_MAX, "%uus", (unsigned)(ns / 1000));
	else if (!s)
		snprintf(out, OUT_SHORT_MAX, "%ums", (unsigned)(ns / NSEC_PER_MSEC));
	else if (s < 60)
		snprintf(out, OUT_SHORT_MAX, "%u.%us", (unsigned)s,
			 (unsigned)(ns % NSEC_PER_SEC / (NSEC_PER_SEC / 10)));
	else if (s < 3600)
		snprintf(out, OUT_SHORT_MAX, "%um%02us", (unsigned)s / 60, (unsigned)s % 60);
	else if (s < 86400)
		snprintf(out, OUT_SHORT_MAX, "%uh%02um", (unsigned)s / 3600, (unsigned)s / 60 % 60);
	else
		snprintf(out, OUT_SHORT_MAX, "%llud%02uh", (unsigned long long)s / 86400,
			 (unsigned)(s / 3600 % 24));
	return out;
}

char *out_size(uint64_t bytes, char out[OUT_SHORT_MAX])
{
	static const char units[] = "KMGTPE";
	double v = (double)bytes / 1024;
	unsigned u = 0;

	if (bytes < 1024) {
		snprintf(out, OUT_SHORT_MAX, "%u", (unsigned)bytes);
		return out;
	}
	for (; v >= 1023.5 && u < 5; u++)
		v /= 1024;
	snprintf(out, OUT_SHORT_MAX, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
	return out;
}

char *out_time(uint64_t ns, char out[OUT_SHORT_MAX])
{
	char text[CLOCK_TEXT_MAX];

	clock_format(ns, text);
	text[10] = ' ';
	snprintf(out, OUT_SHORT_MAX, "%.19s", text);
	return out;
}

/* ---- tables --------------------------------------------------------------------------------- */

struct out_table *out_table_new(FILE *f, const struct out_column *columns, size_t n)
{
	struct out_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->file = f;
	t->columns = columns;
	t->n_columns = n;
	t->colour = out_colour(f);
	t->term_width = out_width(f);
	for (size_t i = 0; i < n; i++)
		t->widths[i] = (unsigned)strlen(columns[i].title);
	return t;
}

static unsigned table_total(const struct out_table *t, bool narrowest)
{
	unsigned total = 0;

	for (size_t i = 0; i < t->n_columns; i++) {
		unsigned w = t->widths[i];

		if (!t->hidden[i])
			total += 2 +
				 (narrowest && t->columns[i].flex ? MIN(w, (unsigned)FLEX_MIN) : w);
	}
	return total - 2;
}

/* Leaves out columns, then takes from the flexible ones, always the widest, until the table fits. */
static void table_fit(struct out_table *t)
{
	while (t->term_width && !t->headed && table_total(t, true) > t->term_width) {
		size_t victim = t->n_columns;

		for (size_t i = 0; i < t->n_columns; i++) {
			if (!t->hidden[i] && t->columns[i].drop &&
			    (victim == t->n_columns ||
			     t->columns[i].drop > t->columns[victim].drop))
				victim = i;
		}
		if (victim == t->n_columns)
			break;
		t->hidden[victim] = true;
	}
	while (t->term_width && table_total(t, false) > t->term_width) {
		size_t widest = t->n_columns;

		for (size_t i = 0; i < t->n_columns; i++) {
			if (!t->hidden[i] && t->columns[i].flex && t->widths[i] > FLEX_MIN &&
			    (widest == t->n_columns || t->widths[i] > t->widths[widest]))
				widest = i;
		}
		if (widest == t->n_columns)
			return;
		t->widths[widest]--;
	}
}

/* The last cols columns of text that has been escaped: one column a code point. */
static const char *text_tail(const char *text, unsigned have, unsigned cols)
{
	for (; have > cols; have--) {
		text++;
		while ((uint8_t)*text >> 6 == 2)
			text++;
	}
	return text;
}

static void table_put(struct out_table *t, size_t column, const char *text, unsigned cols,
		      enum out_style style)
{
	unsigned width = t->widths[column];
	bool last = column + 1 == t->n_columns;
	unsigned pad = cols < width ? width - cols : 0;

	if (t->hidden[column])
		return;
	if (t->columns[column].right)
		fprintf(t->file, "%*s", (int)pad, "");
	if (style != OUT_PLAIN)
		fputs(out_style(t->colour, style), t->file);
	if (cols > width && t->columns[column].tail)
		fprintf(t->file, "…%s", text_tail(text, cols, width - 1));
	else if (cols > width)
		out_text(t->file, slice_str(text), width);
	else
		fputs(text, t->file);
	if (style != OUT_PLAIN)
		fputs(out_style(t->colour, OUT_PLAIN), t->file);
	if (last)
		fputc('\n', t->file);
	else
		fprintf(t->file, "%*s", (int)(t->columns[column].right ? 2 : pad + 2), "");
}

static void table_flush(struct out_table *t)
{
	if (!t->n_cells)
		return;
	table_fit(t);
	assert(t->n_columns);
	for (size_t i = 0; i < t->n_columns && !t->headed; i++)
		table_put(t, i, t->columns[i].title, (unsigned)strlen(t->columns[i].title),
			  OUT_BOLD);
	t->headed = true;
	for (size_t i = 0; i < t->n_cells; i++) {
		table_put(t, i % t->n_columns, t->cells[i].text, t->cells[i].cols,
			  t->cells[i].style);
		free(t->cells[i].text);
	}
	t->n_cells = 0;
}

int out_table_cell(struct out_table *t, struct slice text, enum out_style style)
{
	struct out_cell *cell;
	struct buf b;
	int cols;

	if (t->n_cells == OUT_ROWS * t->n_columns)
		table_flush(t);
	cell = &t->cells[t->n_cells];
	buf_init(&b, TEXT_MAX);
	cols = out_escape(&b, text, 0);
	cell->text = cols < 0 ? NULL : slice_dup(buf_peek(&b));
	buf_done(&b);
	if (!cell->text)
		return -ENOMEM;
	cell->cols = (unsigned)cols;
	cell->style = style;
	t->widths[t->n_cells % t->n_columns] =
		MAX(t->widths[t->n_cells % t->n_columns], (unsigned)cols);
	t->n_cells++;
	return 0;
}

struct out_table *out_table_done(struct out_table *t)
{
	if (t) {
		table_flush(t);
		free(t);
	}
	return NULL;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

json_t *out_json_text(struct slice text)
{
	struct buf b;
	json_t *j;

	if (!text.len)
		return json_string("");
	j = json_stringn((const char *)text.ptr, text.len);
	if (j)
		return j;
	buf_init(&b, TEXT_MAX);
	while (text.len) {
		uint32_t cp;
		size_t n = utf8_next(text, &cp);
		int r = n ? buf_put(&b, text.ptr, n) : buf_put_str(&b, "\xef\xbf\xbd");

		if (r < 0)
			break;
		text = slice_from(text, n ? n : 1);
	}
	if (!text.len)
		j = json_stringn((const char *)buf_peek(&b).ptr, buf_len(&b));
	buf_done(&b);
	return j;
}

static json_t *json_str(const char *s)
{
	return out_json_text(slice_str(s));
}

static json_t *json_u64(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *json_time(uint64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	return ns ? json_string(clock_format(ns, text)) : json_null();
}

static json_t *json_addr(const struct addr *a)
{
	static const struct addr none;
	char text[ADDR_TEXT_MAX];

	return addr_eq(a, &none) ? json_null() : json_string(addr_format(a, text));
}

static json_t *json_hex(const uint8_t *bytes, size_t n)
{
	char text[65];

	if (!bytes)
		return json_null();
	for (size_t i = 0; i < n && i < 32; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(text);
}

static void set(json_t *o, const char *key, json_t *v)
{
	/* Without memory the object is short of a key, and json_dumps most likely fails too; what is
	 * printed is never wrong. */
	(void)json_object_set_new(o, key, v);
}

json_t *out_json_session(const struct store_session *s)
{
	const struct identity *id = &s->identity;
	json_t *o = json_object(), *labels = json_object();
	char text[ULID_TEXT_MAX];

	for (size_t i = 0; i < id->n_labels; i++) {
		json_t *key = json_str(id->labels[i].key);

		if (key)
			set(labels, json_string_value(key), json_str(id->labels[i].value));
		json_decref(key);
	}
	set(o, "type", json_string("session"));
	set(o, "id", json_string(ulid_format(&s->id, text)));
	set(o, "state", json_string(store_state_names[s->state]));
	set(o, "start", json_time(s->start_ns));
	set(o, "end", json_time(s->end_ns));
	set(o, "duration_ns", s->end_ns ? json_u64(s->end_ns - s->start_ns) : json_null());
	set(o, "cgroup", json_str(id->cgroup_path));
	set(o, "cgroup_id", json_u64(id->cgroup_id));
	set(o, "boot_id", json_str(id->boot_id));
	set(o, "runtime", json_str(id->runtime));
	set(o, "container", json_str(id->container));
	set(o, "image", json_str(id->image));
	set(o, "pod", json_str(id->pod));
	set(o, "labels", labels);
	set(o, "pid", json_u64(id->pid));
	set(o, "uid", json_u64(id->uid));
	set(o, "comm", json_str(id->comm));
	set(o, "exe", json_str(id->exe));
	set(o, "netns_cookie", json_u64(id->netns_cookie));
	set(o, "client", json_addr(&s->client));
	set(o, "destination", json_addr(&s->dst));
	set(o, "upstream", json_addr(&s->upstream));
	set(o, "target", json_str(s->target));
	set(o, "protocol", json_str(s->protocol));
	set(o, "policy", json_str(s->policy));
	set(o, "policy_hash", json_hex(s->policy_hash, 32));
	set(o, "observed", json_boolean(s->observed));
	set(o, "bytes_to_server", json_u64(s->bytes_to_server));
	set(o, "bytes_to_client", json_u64(s->bytes_to_client));
	set(o, "ops", json_u64(s->n_ops));
	set(o, "allowed", json_u64(s->n_allowed));
	set(o, "held", json_u64(s->n_held));
	set(o, "blocked", json_u64(s->n_blocked));
	set(o, "errors", json_u64(s->n_errors));
	set(o, "events", json_u64(s->n_events));
	set(o, "reason", json_str(s->reason));
	return o;
}

static json_t *json_effects(uint32_t effects)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++) {
		if (effects & 1u << i)
			(void)json_array_append_new(a, json_string(op_effect_names[i]));
	}
	return a;
}

static json_t *json_attrs(const struct op_attr *attrs, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++) {
		const struct op_attr *at = &attrs[i];
		json_t *key = json_str(at->key);

		if (key)
			set(o, json_string_value(key),
			    at->type == OP_ATTR_BOOL  ? json_boolean(at->b)
			    : at->type == OP_ATTR_INT ? json_integer(at->i)
						      : out_json_text(at->s));
		json_decref(key);
	}
	return o;
}

static void json_op(json_t *o, const struct store_event *ev)
{
	const struct op *op = ev->op;
	json_t *objects = json_array(), *params = json_array();
	char text[24];

	for (size_t i = 0; i < op->n_objects; i++) {
		json_t *obj = json_object();

		set(obj, "kind", json_str(op->objects[i].kind));
		set(obj, "name", out_json_text(op->objects[i].name));
		set(obj, "access", json_effects(op->objects[i].access));
		(void)json_array_append_new(objects, obj);
	}
	for (size_t i = 0; i < op->n_params; i++)
		(void)json_array_append_new(params, op->params[i].null
							    ? json_null()
							    : out_json_text(op->params[i].text));
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)op->fingerprint);
	set(o, "protocol", json_str(op->protocol));
	set(o, "verb", out_json_text(op->verb));
	set(o, "effects", json_effects(op->effects));
	set(o, "text", out_json_text(op->text));
	set(o, "text_cut", json_boolean(op->text_cut));
	set(o, "normalised", op->norm.len ? out_json_text(op->norm) : json_null());
	set(o, "fingerprint", op->fingerprint ? json_string(text) : json_null());
	set(o, "objects", objects);
	set(o, "attrs", json_attrs(op->attrs, op->n_attrs));
	set(o, "params", params);
	set(o, "verdict", json_string(verdict_names[ev->verdict.kind]));
	set(o, "risk", json_u64(ev->verdict.risk));
	set(o, "rule", json_str(ev->verdict.rule));
	set(o, "message", ev->verdict.message ? json_str(ev->verdict.message) : json_null());
}

static json_t *json_base64(struct slice s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = (s.len + 2) / 3 * 4, at = 0;
	char *out = malloc(n + 1);
	json_t *j;

	if (!out)
		return NULL;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t left = s.len - i;
		uint32_t v = (uint32_t)s.ptr[i] << 16 |
			     (left > 1 ? (uint32_t)s.ptr[i + 1] << 8 : 0) |
			     (left > 2 ? s.ptr[i + 2] : 0);

		out[at++] = digits[v >> 18];
		out[at++] = digits[v >> 12 & 63];
		out[at++] = left > 1 ? digits[v >> 6 & 63] : '=';
		out[at++] = left > 2 ? digits[v & 63] : '=';
	}
	j = json_stringn(out, at);
	free(out);
	return j;
}

static void json_data(json_t *o, const struct store_event *ev)
{
	json_t *text = ev->data.len ? json_stringn((const char *)ev->data.ptr, ev->data.len)
				    : json_string("");

	set(o, "direction", json_string(ev->dir == DIR_TO_SERVER ? "to_server" : "to_client"));
	set(o, "bytes", json_u64(ev->data.len));
	set(o, "skipped", json_u64(ev->data_skipped));
	if (text)
		set(o, "data", text);
	else
		set(o, "data_base64", json_base64(ev->data));
}

json_t *out_json_event(const struct ulid *session, const struct store_event *ev)
{
	json_t *o = json_object();
	char id[ULID_TEXT_MAX];

	set(o, "type", json_string(store_event_names[ev->type]));
	set(o, "session", json_string(ulid_format(session, id)));
	set(o, "seq", json_u64(ev->seq));
	set(o, "time", json_time(ev->time_ns));
	set(o, "op", ev->op_id ? json_u64(ev->op_id) : json_null());
	switch (ev->type) {
	case STORE_OP: json_op(o, ev); break;
	case STORE_DATA: json_data(o, ev); break;
	case STORE_RESULT:
		set(o, "failed", json_boolean(ev->failed));
		set(o, "attrs", json_attrs(ev->attrs, ev->n_attrs));
		break;
	case STORE_ERROR:
		set(o, "direction",
		    json_string(ev->dir == DIR_TO_SERVER ? "to_server" : "to_client"));
		set(o, "offset", json_u64(ev->offset));
		set(o, "spec", json_str(ev->spec));
		__attribute__((fallthrough));
	case STORE_NOTE:
	case STORE_APPROVAL:
	case STORE_END:
		set(o, "text", json_str(ev->text));
		set(o, "attrs", json_attrs(ev->attrs, ev->n_attrs));
		break;
	}
	return o;
}

int out_json_line(FILE *f, json_t *obj)
{
	char *text = obj ? json_dumps(obj, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(obj);
	if (!text)
		return -ENOMEM;
	fputs(text, f);
	fputc('\n', f);
	free(text);
	return 0;
}

/* ---- shared words --------------------------------------------------------------------------- */

const char *out_agent(const struct identity *id)
{
	return id->container[0] ? id->container : id->cgroup_path;
}

char *out_short_id(const struct ulid *id, char out[ULID_TEXT_MAX])
{
	ulid_format(id, out);
	out[OUT_ID_LEN] = 0;
	return out;
}

void out_attrs(FILE *f, const struct op_attr *attrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct op_attr *a = &attrs[i];

		fputc(' ', f);
		out_text(f, slice_str(a->key), 0);
		fputc('=', f);
		if (a->type == OP_ATTR_BOOL)
			fputs(a->b ? "true" : "false", f);
		else if (a->type == OP_ATTR_INT)
			fprintf(f, "%lld", (long long)a->i);
		else
			out_text(f, a->s, 0);
	}
}
