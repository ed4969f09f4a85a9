// SPDX-License-Identifier: Apache-2.0
#include "json_path.h"

#include <errno.h>

#include "base/utf8.h"

static bool plain_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c >= 0x80;
}

/* "[0]", "[*]", "['a b']", behind the bracket. */
static int bracket_parse(struct slice *s, struct json_path_step *ret, const char **reterr)
{
	ptrdiff_t end;

	if (s->len && (s->ptr[0] == '\'' || s->ptr[0] == '"')) {
		uint8_t quote = s->ptr[0];

		*s = slice_from(*s, 1);
		end = slice_chr(*s, quote);
		if (end <= 0 || (size_t)end + 1 >= s->len || s->ptr[end + 1] != ']') {
			*reterr = "expected a key in quotes and \"]\" behind \"[\"";
			return -EINVAL;
		}
		ret->key = slice_head(*s, (size_t)end);
		*s = slice_from(*s, (size_t)end + 2);
		return 0;
	}
	end = slice_chr(*s, ']');
	if (end <= 0) {
		*reterr = "expected an index, \"*\" or a key in quotes, and \"]\", behind \"[\"";
		return -EINVAL;
	}
	if (slice_eq(slice_head(*s, (size_t)end), SLICE("*"))) {
		ret->kind = JSON_STEP_ANY;
	} else if (slice_to_u64(slice_head(*s, (size_t)end), &ret->index) == 0) {
		ret->kind = JSON_STEP_INDEX;
	} else {
		*reterr = "between brackets stands a number, \"*\" or a key in quotes";
		return -EINVAL;
	}
	*s = slice_from(*s, (size_t)end + 1);
	return 0;
}

/* ".key", ".*", "..key", "..*", "..[0]", "[…]" */
static int step_parse(struct slice *s, struct json_path_step *ret, const char **reterr)
{
	size_t n = 0;

	*ret = (struct json_path_step){ .kind = JSON_STEP_KEY };
	if (s->ptr[0] == '.') {
		*s = slice_from(*s, 1);
		if (s->len && s->ptr[0] == '.') {
			*s = slice_from(*s, 1);
			ret->deep = true;
		}
		if (s->len && s->ptr[0] == '*') {
			ret->kind = JSON_STEP_ANY;
			*s = slice_from(*s, 1);
			return 0;
		}
		if (!ret->deep || !s->len || s->ptr[0] != '[') {
			while (n < s->len && plain_char(s->ptr[n]))
				n++;
			if (n == 0) {
				*reterr = "a key is missing behind \".\" (others than letters, "
					  "digits, '_' and '-' stand in ['…'])";
				return -EINVAL;
			}
			ret->key = slice_head(*s, n);
			*s = slice_from(*s, n);
			return 0;
		}
	}
	if (s->ptr[0] != '[') {
		*reterr = "expected \".\" or \"[\" before each key";
		return -EINVAL;
	}
	*s = slice_from(*s, 1);
	return bracket_parse(s, ret, reterr);
}

int json_path_compile(struct arena *arena, struct slice text, struct json_path *ret,
		      const char **reterr)
{
	struct json_path_step steps[JSON_PATH_STEPS];
	size_t n = 0;
	int r;

	if (text.len == 0 || text.ptr[0] != '$') {
		*reterr = "a path into JSON begins with \"$\", as in \"$.a.b\"";
		return -EINVAL;
	}
	for (text = slice_from(text, 1); text.len; n++) {
		if (n == JSON_PATH_STEPS) {
			*reterr = "a path has at most 32 steps";
			return -EINVAL;
		}
		r = step_parse(&text, &steps[n], reterr);
		if (r < 0)
			return r;
	}
	if (n == 0) {
		*reterr = "\"$\" alone is the whole body; a path goes on with \".key\" or \"[0]\"";
		return -EINVAL;
	}
	ret->steps = arena_array(arena, n, sizeof(*ret->steps));
	if (!ret->steps)
		return -ENOMEM;
	for (ret->n = 0; ret->n < n; ret->n++) {
		ret->steps[ret->n] = steps[ret->n];
		r = arena_dup(arena, steps[ret->n].key, &ret->steps[ret->n].key);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct frame {
	bool array;
	uint64_t index;   /* of the current element */
	struct slice key; /* of the current member, between its quotes */
	uint64_t reached; /* bit i: the path's first i steps led here, to the list or object */
};

struct walk {
	const struct json_path *path;
	const struct pattern_list *values;
	enum manner how;
	struct slice text;
	size_t at;
	struct frame frames[JSON_PATH_DEPTH];
	size_t depth;
	bool seen, hit, miss, blind; /* blind: something could not be compared */
};

static void skip_space(struct walk *w)
{
	while (w->at < w->text.len && (w->text.ptr[w->at] == ' ' || w->text.ptr[w->at] == '\n' ||
				       w->text.ptr[w->at] == '\t' || w->text.ptr[w->at] == '\r'))
		w->at++;
}

/* What stands between the quotes, escapes and all; the opening one was seen. */
static bool string_read(struct walk *w, struct slice *ret)
{
	size_t start = ++w->at;

	for (; w->at < w->text.len; w->at++) {
		uint8_t c = w->text.ptr[w->at];

		if (c == '"') {
			*ret = slice_of(w->text.ptr + start, w->at++ - start);
			return true;
		}
		if (c < 0x20)
			return false;
		if (c == '\\')
			w->at++;
	}
	return false;
}

static int hex4(const uint8_t *p)
{
	int n = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint8_t c = p[i] | 0x20;

		if (p[i] >= '0' && p[i] <= '9')
			n = n << 4 | (p[i] - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (c - 'a' + 10);
		else
			return -1;
	}
	return n;
}

/* One escape behind its backslash: bytes used, 0 when it is none. */
static size_t escape_undo(struct slice s, uint8_t *out, size_t *ret_len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *simple = s.len && s.ptr[0] ? strchr(from, s.ptr[0]) : NULL;
	uint32_t c;
	int high, low;

	if (simple) {
		out[0] = (uint8_t)to[simple - from];
		*ret_len = 1;
		return 1;
	}
	if (s.len < 5 || s.ptr[0] != 'u')
		return 0;
	high = hex4(s.ptr + 1);
	if (high < 0)
		return 0;
	c = (uint32_t)high;
	if (c >= 0xd800 && c < 0xdc00 && s.len >= 11 && s.ptr[5] == '\\' && s.ptr[6] == 'u') {
		low = hex4(s.ptr + 7);
		if (low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
			*ret_len = utf8_put(out, c);
			return 11;
		}
	}
	*ret_len = utf8_put(out, c); /* a lone half stays what it is */
	return 5;
}

/* Escapes undone, into out where there are any. False when too long or malformed. */
static bool string_undo(struct slice raw, uint8_t *out, size_t size, struct slice *ret)
{
	size_t n = 0;

	if (slice_chr(raw, '\\') < 0) {
		*ret = raw;
		return true;
	}
	for (size_t i = 0; i < raw.len;) {
		size_t len = 1, used = 1;

		if (n + 4 > size)
			return false;
		if (raw.ptr[i] == '\\') {
			used = escape_undo(slice_from(raw, i + 1), out + n, &len);
			if (used == 0)
				return false;
			used++;
		} else {
			out[n] = raw.ptr[i];
		}
		i += used;
		n += len;
	}
	*ret = slice_of(out, n);
	return true;
}

static bool step_fits(struct walk *w, const struct json_path_step *step, const struct frame *f)
{
	uint8_t buffer[512];
	struct slice key;

	switch (step->kind) {
	case JSON_STEP_ANY: return true;
	case JSON_STEP_INDEX: return f->array && f->index == step->index;
	case JSON_STEP_KEY: break;
	}
	if (f->array)
		return false;
	if (!string_undo(f->key, buffer, sizeof(buffer), &key)) {
		w->blind = true;
		return false;
	}
	return w->how == BROAD ? slice_ieq(key, step->key) : slice_eq(key, step->key);
}

/*
 * The steps that lead to the current value, as bits of their number. Each level knows what led to it, so
 * that a body costs its values times the steps that are under way, however deep it is.
 */
static uint64_t steps_reached(struct walk *w)
{
	const struct frame *f;
	uint64_t next = 0;

	if (w->depth == 0)
		return 1;
	f = &w->frames[w->depth - 1];
	for (uint64_t left = f->reached; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (i == w->path->n)
			continue; /* ended above */
		if (w->path->steps[i].deep)
			next |= 1ULL << i;
		if (step_fits(w, &w->path->steps[i], f))
			next |= 1ULL << (i + 1);
	}
	return next;
}

static bool path_fits(const struct walk *w, uint64_t reached)
{
	return reached >> w->path->n & 1;
}

static void compare(struct walk *w, struct slice text)
{
	bool hit = pattern_list_match(w->values, text, 0, w->how);

	w->seen = true;
	w->hit |= hit;
	w->miss |= !hit;
}

static void container_seen(struct walk *w, uint64_t reached)
{
	bool any = false;

	if (!path_fits(w, reached))
		return;
	for (size_t i = 0; i < w->values->n; i++)
		any |= w->values->at[i].any;
	w->seen = true;
	w->hit |= any;
	w->miss |= !any;
}

static bool scalar_read(struct walk *w)
{
	uint8_t buffer[JSON_PATH_STRING];
	size_t start = w->at;
	struct slice raw, text;

	if (w->text.ptr[w->at] == '"') {
		if (!string_read(w, &raw))
			return false;
		if (!path_fits(w, steps_reached(w)))
			return true;
		if (string_undo(raw, buffer, sizeof(buffer), &text))
			compare(w, text);
		else
			w->blind = true;
		return true;
	}
	while (w->at < w->text.len && (plain_char(w->text.ptr[w->at]) ||
				       w->text.ptr[w->at] == '.' || w->text.ptr[w->at] == '+'))
		w->at++;
	if (w->at == start)
		return false;
	if (path_fits(w, steps_reached(w)))
		compare(w, slice_of(w->text.ptr + start, w->at - start));
	return true;
}

/* A member's key and colon. */
static bool key_read(struct walk *w)
{
	skip_space(w);
	if (w->at >= w->text.len || w->text.ptr[w->at] != '"' ||
	    !string_read(w, &w->frames[w->depth - 1].key))
		return false;
	skip_space(w);
	return w->at < w->text.len && w->text.ptr[w->at++] == ':';
}

/* Behind a value: up through whatever ends here. 1: another value follows; 0: the end; -1: not JSON */
static int value_end(struct walk *w)
{
	while (w->depth) {
		struct frame *f = &w->frames[w->depth - 1];
		uint8_t c;

		skip_space(w);
		if (w->at >= w->text.len)
			return -1;
		c = w->text.ptr[w->at++];
		if (c == ',') {
			f->index++;
			return f->array || key_read(w) ? 1 : -1;
		}
		if (c != (f->array ? ']' : '}'))
			return -1;
		w->depth--;
	}
	skip_space(w);
	return w->at == w->text.len ? 0 : -1;
}

/* False when the text is not JSON or too deep. */
static bool walk_text(struct walk *w)
{
	int more = 1;

	while (more == 1) {
		uint64_t reached;
		uint8_t c, close;

		skip_space(w);
		if (w->at >= w->text.len)
			return false;
		c = w->text.ptr[w->at];
		if (c != '{' && c != '[') {
			if (!scalar_read(w))
				return false;
			more = value_end(w);
			continue;
		}
		reached = steps_reached(w);
		container_seen(w, reached);
		if (w->depth == JSON_PATH_DEPTH)
			return false;
		w->frames[w->depth++] = (struct frame){ .array = c == '[', .reached = reached };
		w->at++;
		skip_space(w);
		close = c == '[' ? ']' : '}';
		if (w->at < w->text.len && w->text.ptr[w->at] == close) {
			more = value_end(w);
			continue;
		}
		if (c == '{' && !key_read(w))
			return false;
	}
	return more == 0;
}

bool json_path_match(const struct json_path *path, const struct pattern_list *values,
		     struct slice text, enum manner how)
{
	struct walk w = { .path = path, .values = values, .how = how, .text = text };

	if (!walk_text(&w) || w.blind)
		return how == BROAD;
	return how == BROAD ? w.hit : w.seen && !w.miss;
}
