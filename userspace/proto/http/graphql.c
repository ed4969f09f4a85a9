// SPDX-License-Identifier: Apache-2.0
/*
 * One pass over the text finds the definitions and checks the syntax of all of them; root fields are
 * then collected from the text of the operation that runs. Recursion goes as deep as
 * GRAPHQL_DEPTH_MAX.
 */
#include "graphql.h"

#include <errno.h>

#include "base/utf8.h"
#include "text.h"

const char *const graphql_type_names[3] = { "query", "mutation", "subscription" };

enum token { T_END, T_NAME, T_PUNCT, T_SPREAD, T_NUMBER, T_STRING, T_BAD };

struct lex {
	struct slice s;
	size_t i; /* behind the current token */
	enum token kind;
	struct slice text; /* of the current token */
};

static bool name_start(uint8_t c)
{
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

static bool name_char(uint8_t c)
{
	return name_start(c) || (c >= '0' && c <= '9');
}

/* Commas, white space and comments mean nothing. */
static void skip_ignored(struct lex *l)
{
	while (l->i < l->s.len) {
		uint8_t c = l->s.ptr[l->i];

		if (c == '#') {
			while (l->i < l->s.len && l->s.ptr[l->i] != '\n' && l->s.ptr[l->i] != '\r')
				l->i++;
		} else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
			l->i++;
		} else if (slice_has_prefix(slice_from(l->s, l->i), SLICE("\xef\xbb\xbf"))) {
			l->i += 3;
		} else {
			return;
		}
	}
}

/* Length of the string at the front of s, or 0. */
static size_t string_len(struct slice s)
{
	size_t i;

	if (slice_has_prefix(s, SLICE("\"\"\""))) {
		for (i = 3; i < s.len; i++) {
			struct slice rest = slice_from(s, i);

			if (slice_has_prefix(rest, SLICE("\\\"\"\"")))
				i += 3;
			else if (slice_has_prefix(rest, SLICE("\"\"\"")))
				return i + 3;
		}
		return 0;
	}
	for (i = 1; i < s.len && s.ptr[i] != '"'; i++) {
		if (s.ptr[i] == '\n' || s.ptr[i] == '\r')
			return 0;
		i += s.ptr[i] == '\\';
	}
	return i < s.len ? i + 1 : 0;
}

static size_t number_len(struct slice s)
{
	size_t i = s.ptr[0] == '-', from = i;

	while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
		i++;
	if (i == from)
		return 0;
	while (i < s.len &&
	       ((s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '.' ||
		(s.ptr[i] | 0x20) == 'e' ||
		((s.ptr[i] == '-' || s.ptr[i] == '+') && (s.ptr[i - 1] | 0x20) == 'e')))
		i++;
	return i < s.len && name_start(s.ptr[i]) ? 0 : i;
}

static void lex_next(struct lex *l)
{
	struct slice rest;
	size_t n = 1;

	skip_ignored(l);
	rest = slice_from(l->s, l->i);
	if (!rest.len) {
		l->kind = T_END;
		l->text = rest;
		return;
	}
	if (name_start(rest.ptr[0])) {
		while (n < rest.len && name_char(rest.ptr[n]))
			n++;
		l->kind = T_NAME;
	} else if (slice_has_prefix(rest, SLICE("..."))) {
		n = 3;
		l->kind = T_SPREAD;
	} else if (rest.ptr[0] == '"') {
		n = string_len(rest);
		l->kind = T_STRING;
	} else if (rest.ptr[0] == '-' || (rest.ptr[0] >= '0' && rest.ptr[0] <= '9')) {
		n = number_len(rest);
		l->kind = T_NUMBER;
	} else {
		l->kind = memchr("!$&()=:@[]{|}", rest.ptr[0], 13) ? T_PUNCT : T_BAD;
	}
	if (!n) {
		l->kind = T_BAD;
		n = 1;
	}
	l->text = slice_head(rest, n);
	l->i += n;
}

static bool is_punct(const struct lex *l, char c)
{
	return l->kind == T_PUNCT && l->text.ptr[0] == (uint8_t)c;
}

static bool is_word(const struct lex *l, const char *word)
{
	return l->kind == T_NAME && slice_eq_str(l->text, word);
}

static bool take_punct(struct lex *l, char c)
{
	if (!is_punct(l, c))
		return false;
	lex_next(l);
	return true;
}

static bool take_name(struct lex *l, struct slice *ret)
{
	if (l->kind != T_NAME)
		return false;
	*ret = l->text;
	lex_next(l);
	return true;
}

/* ---- syntax: each returns 0 or a negative errno ---- */

static int value(struct lex *l, unsigned depth)
{
	struct slice name;
	int r;

	if (depth > GRAPHQL_DEPTH_MAX)
		return -EMSGSIZE;
	if (take_punct(l, '$'))
		return take_name(l, &name) ? 0 : -EBADMSG;
	if (take_punct(l, '[')) {
		while (!take_punct(l, ']')) {
			r = value(l, depth + 1);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (take_punct(l, '{')) {
		while (!take_punct(l, '}')) {
			if (!take_name(l, &name) || !take_punct(l, ':'))
				return -EBADMSG;
			r = value(l, depth + 1);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (l->kind != T_NAME && l->kind != T_NUMBER && l->kind != T_STRING)
		return -EBADMSG;
	lex_next(l);
	return 0;
}

static int arguments(struct lex *l)
{
	struct slice name;
	int r;

	if (!take_punct(l, '('))
		return 0;
	do {
		if (!take_name(l, &name) || !take_punct(l, ':'))
			return -EBADMSG;
		r = value(l, 0);
		if (r < 0)
			return r;
	} while (!take_punct(l, ')'));
	return 0;
}

static int directives(struct lex *l)
{
	struct slice name;
	int r;

	while (take_punct(l, '@')) {
		if (!take_name(l, &name))
			return -EBADMSG;
		r = arguments(l);
		if (r < 0)
			return r;
	}
	return 0;
}

static int type(struct lex *l, unsigned depth)
{
	struct slice name;
	int r;

	if (depth > GRAPHQL_DEPTH_MAX)
		return -EMSGSIZE;
	if (take_punct(l, '[')) {
		r = type(l, depth + 1);
		if (r < 0)
			return r;
		if (!take_punct(l, ']'))
			return -EBADMSG;
	} else if (!take_name(l, &name)) {
		return -EBADMSG;
	}
	(void)take_punct(l, '!'); /* it may be there or not */
	return 0;
}

static int variables(struct lex *l)
{
	struct slice name;
	int r;

	if (!take_punct(l, '('))
		return 0;
	do {
		if (!take_punct(l, '$') || !take_name(l, &name) || !take_punct(l, ':'))
			return -EBADMSG;
		r = type(l, 0);
		if (r == 0 && take_punct(l, '='))
			r = value(l, 0);
		if (r == 0)
			r = directives(l);
		if (r < 0)
			return r;
	} while (!take_punct(l, ')'));
	return 0;
}

/* What one level of a selection names. */
struct level {
	struct slice *fields, *spreads;
	size_t n_fields, n_spreads;
};

static int selections(struct lex *l, unsigned depth, struct level *out);

static int field(struct lex *l, unsigned depth, struct level *out)
{
	struct slice name;
	int r;

	if (!take_name(l, &name))
		return -EBADMSG;
	if (take_punct(l, ':') && !take_name(l, &name)) /* that was the alias */
		return -EBADMSG;
	if (out) {
		if (out->n_fields == GRAPHQL_FIELDS_MAX)
			return -EMSGSIZE;
		out->fields[out->n_fields++] = name;
	}
	r = arguments(l);
	if (r == 0)
		r = directives(l);
	if (r == 0 && is_punct(l, '{'))
		r = selections(l, depth + 1, NULL);
	return r;
}

static int spread(struct lex *l, unsigned depth, struct level *out)
{
	struct slice name;
	int r;

	if (l->kind == T_NAME && !is_word(l, "on")) {
		if (!take_name(l, &name))
			return -EBADMSG;
		if (out) {
			if (out->n_spreads == GRAPHQL_FIELDS_MAX)
				return -EMSGSIZE;
			out->spreads[out->n_spreads++] = name;
		}
		return directives(l);
	}
	if (is_word(l, "on")) {
		lex_next(l);
		if (!take_name(l, &name))
			return -EBADMSG;
	}
	r = directives(l);
	/* An inline fragment's fields are on the level that it stands on. */
	return r < 0 ? r : selections(l, depth + 1, out);
}

static int selections(struct lex *l, unsigned depth, struct level *out)
{
	int r;

	if (depth > GRAPHQL_DEPTH_MAX)
		return -EMSGSIZE;
	if (!take_punct(l, '{'))
		return -EBADMSG;
	do {
		if (l->kind == T_SPREAD) {
			lex_next(l);
			r = spread(l, depth, out);
		} else {
			r = field(l, depth, out);
		}
		if (r < 0)
			return r;
	} while (!take_punct(l, '}'));
	return 0;
}

/* ---- definitions ---- */

struct def {
	bool fragment, taken;
	enum graphql_type type;
	struct slice name, body; /* from its "{" on */
};

static int definition(struct lex *l, struct def *ret)
{
	struct slice word;
	size_t from;
	int r;

	*ret = (struct def){ .type = GRAPHQL_QUERY };
	if (!is_punct(l, '{')) {
		if (!take_name(l, &word))
			return -EBADMSG;
		ret->fragment = slice_eq(word, SLICE("fragment"));
		while (!ret->fragment && !slice_eq_str(word, graphql_type_names[ret->type]))
			if (++ret->type > GRAPHQL_SUBSCRIPTION)
				return -EBADMSG;
		if (ret->fragment && (is_word(l, "on") || l->kind != T_NAME))
			return -EBADMSG;
		if (l->kind == T_NAME)
			(void)take_name(l, &ret->name); /* it is one */
		if (ret->fragment) {
			if (!is_word(l, "on"))
				return -EBADMSG;
			lex_next(l);
			if (!take_name(l, &word))
				return -EBADMSG;
			r = 0;
		} else {
			r = variables(l);
		}
		if (r == 0)
			r = directives(l);
		if (r < 0)
			return r;
	}
	if (!is_punct(l, '{'))
		return -EBADMSG;
	from = l->i - 1;
	r = selections(l, 0, NULL);
	ret->body = slice_from(l->s, from);
	return r;
}

static int definitions(struct slice doc, struct def *defs, size_t *ret_n)
{
	struct lex l = { .s = doc };
	int r;

	*ret_n = 0;
	lex_next(&l);
	do {
		if (*ret_n == GRAPHQL_DEFS_MAX)
			return -EMSGSIZE;
		r = definition(&l, &defs[*ret_n]);
		if (r < 0)
			return r;
		for (size_t i = 0; i < *ret_n; i++)
			if (defs[i].fragment == defs[*ret_n].fragment &&
			    slice_eq(defs[i].name, defs[*ret_n].name))
				return -EBADMSG; /* two of one name */
		++*ret_n;
	} while (l.kind != T_END);
	return 0;
}

/* The root fields of the operation, fragments resolved: each is visited once, so cycles end. */
static int collect(struct def *defs, size_t n, const struct def *op, struct arena *a,
		   struct graphql *ret)
{
	struct level v = { .fields = arena_array(a, GRAPHQL_FIELDS_MAX, sizeof(*v.fields)),
			   .spreads = arena_array(a, GRAPHQL_FIELDS_MAX, sizeof(*v.spreads)) };
	struct slice body = op->body;
	size_t done = 0, i;
	int r;

	if (!v.fields || !v.spreads)
		return -ENOMEM;
	for (;;) {
		struct lex l = { .s = body };

		lex_next(&l);
		r = selections(&l, 0, &v);
		if (r < 0)
			return r;
		do {
			if (done == v.n_spreads) {
				ret->fields = v.fields;
				ret->n_fields = v.n_fields;
				return 0;
			}
			for (i = 0; i < n; i++)
				if (defs[i].fragment && slice_eq(defs[i].name, v.spreads[done]))
					break;
			if (i == n)
				return -EBADMSG; /* a fragment that is not there */
			done++;
		} while (defs[i].taken);
		defs[i].taken = true;
		body = defs[i].body;
	}
}

int graphql_parse(struct slice doc, struct slice operation, struct arena *a, struct graphql *ret)
{
	struct def *defs = arena_array(a, GRAPHQL_DEFS_MAX, sizeof(*defs)), *op = NULL;
	size_t n, n_ops = 0;
	int r;

	if (!defs)
		return -ENOMEM;
	if (!utf8_valid(doc))
		return -EBADMSG;
	r = definitions(doc, defs, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (defs[i].fragment)
			continue;
		n_ops++;
		if (!operation.len || slice_eq(defs[i].name, operation))
			op = &defs[i];
	}
	/* "Anonymous beside others" is no valid document either; servers differ in what they run. */
	if (!op || (n_ops > 1 && !operation.len))
		return -EBADMSG;
	*ret = (struct graphql){ .type = op->type, .name = op->name };
	return collect(defs, n, op, a, ret);
}
