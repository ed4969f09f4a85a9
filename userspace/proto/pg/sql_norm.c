// SPDX-License-Identifier: Apache-2.0
#include "sql_norm.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "base/utf8.h"

enum {
	OPERATOR_WORK_MAX = 16 << 20, /* characters looked at: some ten milliseconds */
};

enum {
	C_SPACE = 1,
	C_IDENT = 2, /* begins an identifier */
	C_DIGIT = 4,
	C_WORD = 8, /* goes on with one */
	C_ODD = 16, /* not for this scanner */
};

static uint8_t class_of[256];
static bool classes_ready;

/* Idempotent, so that two threads may do it at once: each writes the same bytes. */
static void classes_init(void)
{
	if (__atomic_load_n(&classes_ready, __ATOMIC_ACQUIRE))
		return;
	for (unsigned c = 0; c < 256; c++) {
		uint8_t v = 0;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f')
			v = C_SPACE;
		else if (c < 0x20 || c == 0x7f || c == '?' || c == '\\')
			v = C_ODD;
		else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80)
			v = C_IDENT | C_WORD;
		else if (c >= '0' && c <= '9')
			v = C_DIGIT | C_WORD;
		else if (c == '$')
			v = C_WORD;
		__atomic_store_n(&class_of[c], v, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&classes_ready, true, __ATOMIC_RELEASE);
}

/* Past white space and comments from i on; SIZE_MAX when a comment has no end. */
static size_t skip_space(const uint8_t *p, size_t n, size_t i)
{
	for (;;) {
		while (i < n && class_of[p[i]] == C_SPACE)
			i++;
		if (i + 1 < n && p[i] == '-' && p[i + 1] == '-') {
			while (i < n && p[i] != '\n' && p[i] != '\r')
				i++;
			continue;
		}
		if (i + 1 < n && p[i] == '/' && p[i + 1] == '*') {
			unsigned depth = 1;

			for (i += 2; depth && i < n;) {
				if (i + 1 < n && p[i] == '/' && p[i + 1] == '*') {
					depth++;
					i += 2;
				} else if (i + 1 < n && p[i] == '*' && p[i + 1] == '/') {
					depth--;
					i += 2;
				} else {
					i++;
				}
			}
			if (depth)
				return SIZE_MAX;
			continue;
		}
		return i;
	}
}

/* A number from i on: its end; *ret_whole when it fits PostgreSQL's integer token. 0: odd. */
static size_t number(const uint8_t *p, size_t n, size_t i, bool *ret_whole)
{
	size_t from = i, digits;

	while (i < n && class_of[p[i]] & C_DIGIT)
		i++;
	digits = i - from;
	*ret_whole = digits && digits <= 9;
	if (i < n && p[i] == '.') {
		*ret_whole = false;
		i++;
		if (i < n && p[i] == '.')
			return 0;
		while (i < n && class_of[p[i]] & C_DIGIT)
			i++;
	}
	if (i < n && (p[i] | 0x20) == 'e') {
		*ret_whole = false;
		i++;
		if (i < n && (p[i] == '+' || p[i] == '-'))
			i++;
		if (i == n || !(class_of[p[i]] & C_DIGIT))
			return 0;
		while (i < n && class_of[p[i]] & C_DIGIT)
			i++;
	}
	/* Larger ones may or may not be PostgreSQL's integer token, which grammar tells apart. */
	if (i == from + digits && !*ret_whole)
		return 0;
	/* 123abc, 0x1f, 1_000 are junk or news; 1.2.3 is two numbers: not ours to tell */
	if (i < n && (class_of[p[i]] & C_WORD || p[i] == '.'))
		return 0;
	return i;
}

static bool word_is_float(const uint8_t *p, size_t n)
{
	return n == 5 && (p[0] | 0x20) == 'f' && (p[1] | 0x20) == 'l' && (p[2] | 0x20) == 'o' &&
	       (p[3] | 0x20) == 'a' && (p[4] | 0x20) == 't';
}

static bool word_is_limit(const uint8_t *p, size_t n)
{
	struct slice w = slice_of(p, n);

	return slice_ieq(w, SLICE("limit")) || slice_ieq(w, SLICE("first")) ||
	       slice_ieq(w, SLICE("next"));
}

bool pg_norm_text(struct slice text, uint8_t *out, struct pg_norm *ret)
{
	const uint8_t *p = text.ptr;
	size_t n = text.len, i, o = 0;
	bool semicolon = false, after_string = false, after_limit = false;

	classes_init();
	*ret = (struct pg_norm){ .single = true };
	i = skip_space(p, n, 0);
	if (i == SIZE_MAX)
		return false;
	ret->from = ret->to = i;
	while (i < n) {
		uint8_t c = p[i], cls = class_of[c];
		bool is_string = false, is_limit = false;
		size_t from = i, next;

		if (semicolon)
			ret->single = false;
		semicolon = false;
		if (cls & C_IDENT) {
			while (i < n && class_of[p[i]] & C_WORD)
				i++;
			/* E'…', U&"…", N'…' and friends; float(60) does not parse, float(50) does */
			if (i < n && (p[i] == '\'' || p[i] == '"'))
				return false;
			if (word_is_float(p + from, i - from))
				return false;
			if ((i - from == 5 || i - from == 4) && word_is_limit(p + from, i - from)) {
				is_limit = true;
				ret->limits++;
			}
			memcpy(out + o, p + from, i - from);
			o += i - from;
		} else if (cls & C_DIGIT ||
			   (c == '.' && i + 1 < n && class_of[p[i + 1]] & C_DIGIT)) {
			bool whole;

			i = number(p, n, i, &whole);
			if (!i)
				return false;
			if (after_limit && whole) {
				ret->limits_kept++;
				memcpy(out + o, p + from, i - from);
				o += i - from;
			} else {
				out[o++] = '?';
				if (!whole)
					out[o++] = '.';
				ret->literals++;
			}
		} else if (c == '\'') {
			/* Two strings in a row are one, or an error, by what is between them. */
			if (after_string)
				return false;
			for (i++;; i++) {
				const uint8_t *q = i < n ? memchr(p + i, '\'', n - i) : NULL;

				if (!q)
					return false;
				i = (size_t)(q - p) + 1;
				if (i == n || p[i] != '\'')
					break;
			}
			if (memchr(p + from, '\\', i - from))
				return false;
			if (i < n && class_of[p[i]] & C_WORD)
				return false;
			memcpy(out + o, "'?'", 3);
			o += 3;
			ret->literals++;
			is_string = true;
		} else if (c == '"') {
			const uint8_t *q = memchr(p + i + 1, '"', n - i - 1);

			if (!q || q == p + i + 1)
				return false;
			i = (size_t)(q - p) + 1;
			if (i < n && (class_of[p[i]] & C_WORD || p[i] == '"' || p[i] == '\''))
				return false;
			if (memchr(p + from, '\\', i - from))
				return false;
			memcpy(out + o, p + from, i - from);
			o += i - from;
		} else if (c == '$') {
			for (i++; i < n && class_of[p[i]] & C_DIGIT; i++)
				;
			if (i == from + 1 || (i < n && (class_of[p[i]] & C_WORD || p[i] == '.')))
				return false;
			memcpy(out + o, p + from, i - from);
			o += i - from;
		} else if (cls & C_ODD ||
			   (c == '&' && i + 1 < n && (p[i + 1] == '\'' || p[i + 1] == '"'))) {
			return false;
		} else {
			semicolon = c == ';';
			out[o++] = c;
			i++;
		}
		after_string = is_string;
		after_limit = is_limit;
		if (!semicolon)
			ret->to = i;
		next = skip_space(p, n, i);
		if (next == SIZE_MAX)
			return false;
		if (next > i && next < n)
			out[o++] = ' ';
		i = next;
	}
	/* The last semicolon, and the space before it. */
	if (semicolon) {
		o--;
		while (o && (out[o - 1] == ' ' || out[o - 1] == ';'))
			o--;
	}
	ret->len = o;
	return true;
}

bool pg_utf8_valid(struct slice text)
{
	return slice_chr(text, '\0') < 0 && utf8_valid(text);
}

/* ---- depth ---------------------------------------------------------------------------------- */

/* protobuf's variable-length integers, of what libpg_query wrote itself. */
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* ScanToken's field 4, its token; 0 when it is not there. */
static bool token_of(const uint8_t *p, const uint8_t *end, unsigned *ret)
{
	uint64_t tag, v;

	*ret = 0;
	while (p < end) {
		if (!varint(&p, end, &tag) || (tag & 7) != 0 || !varint(&p, end, &v))
			return false;
		if (tag >> 3 == 4)
			*ret = (unsigned)v;
	}
	return true;
}

struct level {
	uint16_t chain; /* tokens since the last one that ends an expression */
	uint16_t fixed; /* set operations, joins and such, which commas do not end */
	bool is_case;
};

/* Returns false when the sum of what is open grows past the limit. */
static bool count_token(struct level *levels, unsigned *top, unsigned *sum, unsigned token)
{
	struct level *l = &levels[*top];

	switch (token) {
	case PG_QUERY__TOKEN__IDENT:
	case PG_QUERY__TOKEN__SCONST:
	case PG_QUERY__TOKEN__ICONST:
	case PG_QUERY__TOKEN__FCONST:
	case PG_QUERY__TOKEN__BCONST:
	case PG_QUERY__TOKEN__XCONST:
	case PG_QUERY__TOKEN__PARAM:
	case PG_QUERY__TOKEN__ASCII_46: /* . */
	case PG_QUERY__TOKEN__SQL_COMMENT:
	case PG_QUERY__TOKEN__C_COMMENT: return true;
	case PG_QUERY__TOKEN__ASCII_40: /* ( */
	case PG_QUERY__TOKEN__ASCII_91: /* [ */
	case PG_QUERY__TOKEN__CASE:
		if (*top + 1 >= PG_SQL_DEPTH_MAX)
			return false;
		levels[++*top] = (struct level){ .is_case = token == PG_QUERY__TOKEN__CASE };
		++*sum;
		return *sum < PG_SQL_DEPTH_MAX;
	case PG_QUERY__TOKEN__ASCII_41: /* ) */
	case PG_QUERY__TOKEN__ASCII_93: /* ] */
	case PG_QUERY__TOKEN__END_P:
		if (!*top || l->is_case != (token == PG_QUERY__TOKEN__END_P))
			return true;
		*sum -= 1U + l->chain + l->fixed;
		--*top;
		return true;
	case PG_QUERY__TOKEN__ASCII_59: /* ; */
		*sum -= l->fixed;
		l->fixed = 0;
		/* fall through */
	case PG_QUERY__TOKEN__ASCII_44: /* , */
	case PG_QUERY__TOKEN__AND:
	case PG_QUERY__TOKEN__OR:
	case PG_QUERY__TOKEN__WHEN:
	case PG_QUERY__TOKEN__THEN:
	case PG_QUERY__TOKEN__ELSE:
		*sum -= l->chain;
		l->chain = 0;
		return true;
	case PG_QUERY__TOKEN__UNION:
	case PG_QUERY__TOKEN__INTERSECT:
	case PG_QUERY__TOKEN__EXCEPT:
	case PG_QUERY__TOKEN__JOIN:
	case PG_QUERY__TOKEN__BETWEEN: /* its AND ends nothing */
		l->fixed++;
		++*sum;
		return *sum < PG_SQL_DEPTH_MAX;
	default:
		l->chain++;
		++*sum;
		return *sum < PG_SQL_DEPTH_MAX;
	}
}

static bool is_operator(char c)
{
	return c && strchr("~!@#^&|`?+-*/%<>=", c);
}

/*
 * PostgreSQL's scanner takes a whole run of these for one operator, then gives back all but the first
 * characters when there is a comment in it or it ends in + or -: quadratic, and a server spends only
 * its own client's time on that. Real operators have up to 63 characters; lines drawn in comments
 * are longer, so what counts is the work.
 */
static bool scans_fast(const char *text, size_t len)
{
	size_t work = 0, run = 0;

	for (size_t i = 0; i < len; i++) {
		run = is_operator(text[i]) ? run + 1 : 0;
		work += run; /* the sum of all runs' squares, halved */
		if (work > OPERATOR_WORK_MAX)
			return false;
	}
	return true;
}

bool pg_text_is_flat(const char *text, size_t len)
{
	struct level levels[PG_SQL_DEPTH_MAX];
	PgQueryScanResult r;
	const uint8_t *p, *end, *sub;
	unsigned top = 0, sum = 0, count = 0, token;
	uint64_t tag, v;
	bool ok = true;

	/* No text of so few bytes is deeper: a level takes one at least. */
	if (len < PG_SQL_DEPTH_MAX)
		return true;
	if (!scans_fast(text, len))
		return false;
	r = pg_query_scan(text);
	if (r.error) {
		/* The parser will stumble over the same token, but only after what is before it. */
		pg_query_free_scan_result(r);
		return false;
	}
	levels[0] = (struct level){ 0 };
	p = (const uint8_t *)r.pbuf.data;
	end = p + r.pbuf.len;
	while (ok && p < end) {
		ok = varint(&p, end, &tag) && varint(&p, end, &v);
		if (!ok || (tag & 7) != 2)
			continue;
		sub = p;
		ok = v <= (uint64_t)(end - p) && ++count <= PG_SQL_TOKENS_MAX;
		if (!ok)
			break;
		p += v;
		ok = token_of(sub, p, &token) && count_token(levels, &top, &sum, token);
	}
	pg_query_free_scan_result(r);
	return ok;
}
