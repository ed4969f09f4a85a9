// SPDX-License-Identifier: Apache-2.0
#include "pattern.h"

#include <errno.h>
#include <stdio.h>

#include "base/glob.h"

const char *const pattern_kinds[] = {
	"table",    "function",  "schema",      "role",         "database",   "file",
	"program",  "path",      "host",        "setting",      "type",       "index",
	"column",   "language",  "extension",   "trigger",      "server",     "channel",
	"sequence", "domain",    "operator",    "collation",    "conversion", "policy",
	"portal",   "prepared",  "publication", "subscription", "statistics", "tablespace",
	"rule",     "aggregate", "cast",        "transform",    "constraint", "parameter",
	"secret",   "field",
};
const size_t pattern_n_kinds = ARRAY_SIZE(pattern_kinds);

/* "kind:" in front: lower-case letters, then a colon. Anything else has no kind. */
static int take_kind(struct load *l, const struct place *at, struct pattern *p)
{
	ptrdiff_t colon = slice_chr(p->text, ':');
	char word[32];
	const char *near;

	if (colon <= 0 || (size_t)colon >= sizeof(word))
		return 0;
	for (ptrdiff_t i = 0; i < colon; i++)
		if (p->text.ptr[i] < 'a' || p->text.ptr[i] > 'z')
			return 0;
	memcpy(word, p->text.ptr, (size_t)colon);
	word[colon] = '\0';
	for (size_t i = 0; i < pattern_n_kinds; i++) {
		if (strcmp(word, pattern_kinds[i]) != 0)
			continue;
		p->kind = (uint8_t)(i + 1);
		p->text = slice_from(p->text, (size_t)colon + 1);
		if (p->text.len == 0)
			return load_fail(l, at, "a name or pattern is missing behind \"%s:\"",
					 word);
		return 0;
	}
	near = load_near(word, pattern_kinds, pattern_n_kinds);
	return load_fail(l, at, "\"%s\" is not a kind of object%s%s%s", word,
			 near ? ": did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* {"regex": "…"} */
static int regex_load(struct load *l, const struct place *at, const json_t *v, struct pattern *ret)
{
	static const struct load_key keys[] = { { "regex", false } };
	struct place here = { at, "regex", 0 };
	const json_t *member;
	char why[192] = "";
	struct slice text;
	int r;

	r = load_object(l, at, v, keys, ARRAY_SIZE(keys));
	if (r < 0)
		return r;
	member = json_object_get(v, "regex");
	if (!member)
		return load_fail(l, at, "expected a string or {\"regex\": \"…\"}");
	r = load_text(l, &here, member, REGEX_MAX, &text);
	if (r < 0)
		return r;
	*ret = (struct pattern){ .text = text };
	r = regex_compile(l->regexes, text, l->narrow ? REGEX_WHOLE : REGEX_ANYWHERE, &ret->re, why,
			  sizeof(why));
	if (r == -ENOMEM)
		return r;
	if (r == -EMSGSIZE)
		return load_fail_limit(l, &here, "regular expression: %s", why);
	return r < 0 ? load_fail(l, &here, "regular expression: %s", why) : 0;
}

static int pattern_check(struct load *l, const struct place *at, enum pattern_use use,
			 struct pattern *p)
{
	if (use == PATTERN_PATH && p->text.ptr[0] != '/' && p->text.ptr[0] != '*')
		return load_fail(l, at,
				 "a path pattern begins with '/' or '*'; this one can never match");
	if (use != PATTERN_HOST)
		return 0;
	if (p->text.ptr[p->text.len - 1] == '.')
		p->text.len--; /* the root's dot changes nothing */
	if (p->text.len == 0)
		return load_fail(l, at, "\".\" is not the name of a host");
	if (slice_chr(p->text, '/') >= 0)
		return load_fail(l, at, "a host is meant here, without scheme or path");
	for (size_t i = 0; i < p->text.len; i++)
		if (p->text.ptr[i] >= 0x80)
			return load_fail(l, at, "write a host's name in its ASCII form (xn--…)");
	return 0;
}

static int pattern_load(struct load *l, const struct place *at, const json_t *v,
			enum pattern_use use, struct pattern *ret)
{
	bool regex_helps = use != PATTERN_NAME && use != PATTERN_HOST;
	struct pattern p = { 0 };
	int r;

	if (json_is_object(v) && regex_helps)
		return regex_load(l, at, v, ret);
	if (!json_is_string(v))
		return load_fail(l, at, "expected a string%s, not %s",
				 regex_helps ? " or {\"regex\": \"…\"}" : "", load_type(v));
	r = load_text(l, at, v, PATTERN_MAX, &p.text);
	if (r < 0)
		return r;
	if (use == PATTERN_OBJECT) {
		r = take_kind(l, at, &p);
		if (r < 0)
			return r;
	}
	r = pattern_check(l, at, use, &p);
	if (r < 0)
		return r;
	p.any = slice_eq(p.text, SLICE("*")) || slice_eq(p.text, SLICE("**"));
	if (p.any && use == PATTERN_PATH)
		p.any = p.text.len == 2; /* "*" alone would not cross '/' */
	p.glob = slice_chr(p.text, '*') >= 0 || slice_chr(p.text, '?') >= 0;
	*ret = p;
	return 0;
}

/* As load_list_open, where one object, a regular expression, may stand for a list of it. */
static int list_open(struct load *l, const struct place *at, const json_t *v, const char *what,
		     struct load_list *ret)
{
	if (!json_is_object(v))
		return load_list_open(l, at, v, what, ret);
	*ret = (struct load_list){ v, at, false, 1 };
	return 0;
}

int pattern_list_load(struct load *l, const struct place *at, const json_t *v, enum pattern_use use,
		      struct pattern_list *ret)
{
	struct pattern_list out = { 0 };
	struct load_list list;
	int r;

	r = list_open(l, at, v, "a string or a list of strings", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*out.at), &out.at);
	if (r < 0)
		return r;
	for (; out.n < list.n; out.n++) {
		struct place here;
		const json_t *item = load_list_get(&list, out.n, &here);

		r = pattern_load(l, &here, item, use, &out.at[out.n]);
		if (r < 0)
			return r;
	}
	*ret = out;
	return 0;
}

static int value_load(struct load *l, const struct place *at, const json_t *v, struct pattern *ret)
{
	char number[24];
	struct slice text;

	if (json_is_string(v) || json_is_object(v))
		return pattern_load(l, at, v, PATTERN_TEXT, ret);
	if (json_is_boolean(v)) {
		text = json_is_true(v) ? SLICE("true") : SLICE("false");
	} else if (json_is_integer(v)) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		text = slice_str(number);
	} else {
		return load_fail(l, at,
				 "expected true, false, a whole number, a string or "
				 "{\"regex\": \"…\"}, not %s",
				 load_type(v));
	}
	*ret = (struct pattern){ 0 };
	return arena_dup(l->arena, text, &ret->text);
}

int pattern_values_load(struct load *l, const struct place *at, const json_t *v,
			struct pattern_list *ret)
{
	struct pattern_list out = { 0 };
	struct load_list list;
	int r;

	r = list_open(l, at, v, "a value or a list of values", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*out.at), &out.at);
	if (r < 0)
		return r;
	for (; out.n < list.n; out.n++) {
		struct place here;
		const json_t *item = load_list_get(&list, out.n, &here);

		r = value_load(l, &here, item, &out.at[out.n]);
		if (r < 0)
			return r;
	}
	*ret = out;
	return 0;
}

bool pattern_match(const struct pattern *p, struct slice text, uint8_t sep, enum manner how)
{
	if (p->any)
		return true;
	if (p->re) {
		int r = regex_match(p->re, text);

		/* Without memory to look: refused, and never permitted. */
		return r < 0 ? how == BROAD : r > 0;
	}
	if (!p->glob)
		return how == BROAD ? slice_ieq(p->text, text) : slice_eq(p->text, text);
	return glob_match(p->text, text, sep, how == BROAD ? GLOB_FOLD_ASCII : GLOB_EXACT);
}

bool pattern_list_match(const struct pattern_list *list, struct slice text, uint8_t sep,
			enum manner how)
{
	for (size_t i = 0; i < list->n; i++)
		if (pattern_match(&list->at[i], text, sep, how))
			return true;
	return false;
}

struct slice pattern_last_part(struct slice name)
{
	const uint8_t *dot = name.len ? memrchr(name.ptr, '.', name.len) : NULL;

	return dot ? slice_from(name, (size_t)(dot - name.ptr) + 1) : name;
}

static size_t count_parts(struct slice name)
{
	size_t n = 1;

	for (size_t i = 0; i < name.len; i++)
		n += name.ptr[i] == '.';
	return n;
}

/* The last n parts of a name that has more. */
static struct slice last_parts(struct slice name, size_t n)
{
	size_t i = name.len;

	while (i > 0) {
		if (name.ptr[i - 1] == '.' && --n == 0)
			break;
		i--;
	}
	return slice_from(name, i);
}

bool pattern_kind_is_path(const char *kind)
{
	return strcmp(kind, "path") == 0 || strcmp(kind, "file") == 0 ||
	       strcmp(kind, "program") == 0;
}

bool pattern_match_object(const struct pattern *p, const struct op_object *o, enum manner how)
{
	struct pattern tail;
	struct slice name = o->name;
	size_t have, want;

	if (p->kind && strcmp(pattern_kinds[p->kind - 1], o->kind) != 0)
		return false;
	if (p->any)
		return true;
	if (p->re)
		return pattern_match(p, name, 0, how);
	if (pattern_kind_is_path(o->kind))
		return pattern_match(p, name, '/', how);
	if (pattern_match(p, name, '.', how))
		return true;
	if (how == NARROW || strcmp(o->kind, "host") == 0)
		return false;
	have = count_parts(name);
	want = count_parts(p->text);
	if (have == want)
		return false;
	tail = *p;
	if (have > want)
		name = last_parts(name, want);
	else
		tail.text = last_parts(p->text, have);
	tail.any = slice_eq(tail.text, SLICE("*")) || slice_eq(tail.text, SLICE("**"));
	return pattern_match(&tail, name, '.', how);
}
