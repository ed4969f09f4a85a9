/* SPDX-License-Identifier: Apache-2.0 */
/* Words: what the index keeps of a text and how a searched word is found in one. */
#include "store_int.h"

static bool is_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c >= 0x80;
}

static uint8_t fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool term_next(struct slice text, size_t *pos, struct slice *ret)
{
	size_t i = *pos, from;

	while (i < text.len && !is_word(text.ptr[i]))
		i++;
	from = i;
	while (i < text.len && is_word(text.ptr[i]))
		i++;
	*pos = i;
	if (i == from)
		return false;
	*ret = slice_of(text.ptr + from, i - from);
	return true;
}

size_t term_fold(struct slice word, uint8_t out[STORE_TERM_MAX])
{
	size_t n = MIN(word.len, (size_t)STORE_TERM_MAX);

	for (size_t i = 0; i < n; i++)
		out[i] = fold(word.ptr[i]);
	return n;
}

bool term_word_in(const struct term_word *w, struct slice text)
{
	const uint8_t *p = text.ptr, *word = w->text.ptr;
	size_t n = w->text.len;

	if (!n)
		return w->prefix; /* a lone star */
	for (size_t i = 0; i + n <= text.len; i++) {
		size_t k = 0;

		while (k < n && fold(p[i + k]) == word[k])
			k++;
		if (k < n)
			continue;
		if (i > 0 && is_word(word[0]) && is_word(p[i - 1]))
			continue;
		if (!w->prefix && i + n < text.len && is_word(word[n - 1]) && is_word(p[i + n]))
			continue;
		return true;
	}
	return false;
}

static bool attr_text(const struct op_attr *attrs, size_t n_attrs, size_t n, struct slice *ret)
{
	if (n >= n_attrs)
		return false;
	*ret = attrs[n].type == OP_ATTR_TEXT ? attrs[n].s : SLICE_NONE;
	return true;
}

bool term_event_text(const struct store_event *ev, size_t n, struct slice *ret)
{
	const struct op *op = ev->op;

	if (ev->type != STORE_OP && store_event_searchable(ev->type)) {
		if (n == 0) {
			*ret = slice_str(ev->text);
			return true;
		}
		return attr_text(ev->attrs, ev->n_attrs, n - 1, ret);
	}
	if (ev->type != STORE_OP)
		return false;
	if (n < 2) {
		*ret = n ? op->text : op->verb;
		return true;
	}
	n -= 2;
	if (n < op->n_objects) {
		*ret = op->objects[n].name;
		return true;
	}
	n -= op->n_objects;
	if (n < op->n_params) {
		*ret = op->params[n].text;
		return true;
	}
	return attr_text(op->attrs, op->n_attrs, n - op->n_params, ret);
}
