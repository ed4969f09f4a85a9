// SPDX-License-Identifier: Apache-2.0
#include "policy_cases.h"

#include <errno.h>
#include <stdarg.h>

enum { FACTS = 9, TEXTS = 5 };
enum { F_POLICY, F_TARGET, F_PROTOCOL, F_VERB, F_EFFECTS, F_OBJECTS, F_ATTRS, F_VERDICT, F_RULE };
enum { T_POLICY, T_TARGET, T_OPERATION, T_VERDICT, T_RULE };

bool policy_cases_are(const char *text)
{
	return strncmp(text, "# policy\ttarget\t", 16) == 0;
}

void policy_cases_open(struct policy_cases *c, char *text)
{
	*c = (struct policy_cases){ .rest = text };
}

void policy_case_done(struct policy_case *c)
{
	policy_ops_done(&c->_made);
}

static int __printf_like(2, 3) fail(char error[256], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(error, 256, fmt, ap); /* cut is fine: for people */
	va_end(ap);
	return -EINVAL;
}

static const char *dash(const char *s)
{
	return strcmp(s, "-") == 0 ? NULL : s;
}

static int effects_read(char *text, const char *delimiters, uint32_t *ret, char error[256])
{
	char *word;

	*ret = 0;
	if (!dash(text))
		return 0;
	while ((word = strsep(&text, delimiters))) {
		uint32_t bit = op_effect_parse(slice_str(word));

		if (!bit)
			return fail(error, "no effect is called \"%s\"", word);
		*ret |= bit;
	}
	return 0;
}

static int objects_read(char *text, struct policy_case *c, char error[256])
{
	char *word;

	while (dash(text ? text : "-") && (word = strsep(&text, " "))) {
		char *colon = strchr(word, ':'), *equals = strrchr(word, '=');
		struct op_object *o = &c->_objects[c->_op.n_objects];
		int r;

		if (c->_op.n_objects == POLICY_CASE_ITEMS)
			return fail(error, "more than %d objects", POLICY_CASE_ITEMS);
		if (!colon || !equals || colon > equals)
			return fail(error, "\"%s\": an object is kind:name=access", word);
		*colon = *equals = '\0';
		o->kind = word;
		o->name = slice_str(colon + 1);
		r = effects_read(equals + 1, "+", &o->access, error);
		if (r < 0)
			return r;
		c->_op.n_objects++;
	}
	return 0;
}

static int attrs_read(char *text, struct policy_case *c, char error[256])
{
	char *word;

	while (dash(text ? text : "-") && (word = strsep(&text, " "))) {
		char *equals = strchr(word, '=');
		struct op_attr *a = &c->_attrs[c->_op.n_attrs];

		if (c->_op.n_attrs == POLICY_CASE_ITEMS)
			return fail(error, "more than %d attributes", POLICY_CASE_ITEMS);
		if (!equals)
			return fail(error, "\"%s\": an attribute is key=value", word);
		*equals++ = '\0';
		a->key = word;
		a->type = OP_ATTR_TEXT;
		a->s = slice_str(equals);
		if (strcmp(equals, "true") == 0 || strcmp(equals, "false") == 0) {
			a->type = OP_ATTR_BOOL;
			a->b = *equals == 't';
		}
		c->_op.n_attrs++;
	}
	return 0;
}

static int facts_read(char **col, struct policy_case *c, char error[256])
{
	int r;

	snprintf(c->_operation, sizeof(c->_operation), "%s %s (%s)", col[F_PROTOCOL], col[F_VERB],
		 col[F_EFFECTS]);
	c->facts = true;
	c->operation = c->_operation;
	c->_op.protocol = col[F_PROTOCOL];
	c->_op.verb = slice_str(col[F_VERB]);
	r = effects_read(col[F_EFFECTS], " ", &c->_op.effects, error);
	if (r == 0)
		r = objects_read(col[F_OBJECTS], c, error);
	if (r == 0)
		r = attrs_read(col[F_ATTRS], c, error);
	c->_op.objects = c->_objects;
	c->_op.attrs = c->_attrs;
	c->ops = &c->_op;
	c->n_ops = 1;
	return r;
}

static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		char c = *s;

		if (c == '\\' && (s[1] == 'n' || s[1] == 't' || s[1] == '\\')) {
			s++;
			c = *s == 'n' ? '\n' : *s == 't' ? '\t' : '\\';
		}
		*out++ = c;
	}
	*out = '\0';
}

static int text_read(char *operation, struct policy_case *c, char error[256])
{
	int r;

	c->operation = operation;
	unescape(operation);
	r = policy_ops_any(operation, &c->_made);
	if (r == -EINVAL)
		return fail(error, "%s", c->_made.error);
	/* What the handler refuses is refused whatever the policy: no operation, block. */
	if (r < 0 && r != -EBADMSG)
		return r;
	c->ops = c->_made.at;
	c->n_ops = c->_made.n;
	return 0;
}

static int line_read(char *line, struct policy_case *c, char error[256])
{
	char *col[FACTS + 1], *verdict, *rule;
	size_t n = 0, word = 0;

	while (n < FACTS + 1 && (col[n] = strsep(&line, "\t")))
		n++;
	if (n != FACTS && n != TEXTS)
		return fail(error, "%zu columns: expected %d, or %d for facts", n, TEXTS, FACTS);
	verdict = n == FACTS ? col[F_VERDICT] : col[T_VERDICT];
	rule = n == FACTS ? col[F_RULE] : col[T_RULE];
	c->policy = dash(col[0]);
	c->target = dash(col[1]);
	c->rule = dash(rule);
	while (word < VERDICT_COUNT && strcmp(verdict_names[word], verdict) != 0)
		word++;
	if (word == VERDICT_COUNT)
		return fail(error, "no verdict is called \"%s\"", verdict);
	c->verdict = (enum verdict_kind)word;
	return n == FACTS ? facts_read(col, c, error) : text_read(col[T_OPERATION], c, error);
}

int policy_cases_next(struct policy_cases *c, struct policy_case *ret, char error[256])
{
	char *line;

	while ((line = strsep(&c->rest, "\n"))) {
		int r;

		c->line++;
		if (*line == '#' || *line == '\0')
			continue;
		*ret = (struct policy_case){ .line = c->line };
		r = line_read(line, ret, error);
		if (r < 0)
			policy_case_done(ret);
		return r < 0 ? r : 1;
	}
	return 0;
}

int policy_case_judge(const struct policy_case *c, const struct policy *p,
		      const struct policy_target **ret_target, struct verdict *ret)
{
	const struct policy_target *t = NULL;

	*ret = (struct verdict){ .kind = VERDICT_BLOCK, .rule = "malformed" };
	if (c->target || !c->facts) {
		const char *protocol = c->n_ops ? c->ops[0].protocol : "http";

		t = policy_ops_target(p, c->target, protocol);
		if (!t)
			return -ENOENT;
	}
	*ret_target = t;
	for (size_t i = 0; i < c->n_ops; i++) {
		struct verdict v;

		policy_decide(p, t, NULL, &c->ops[i], NULL, 0, &v);
		if (i == 0 || v.kind > ret->kind)
			*ret = v;
	}
	return ret->kind == c->verdict && (!c->rule || strcmp(ret->rule, c->rule) == 0);
}
