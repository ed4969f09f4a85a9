// SPDX-License-Identifier: Apache-2.0
#include "policy_again.h"

#include <errno.h>
#include <jansson.h>

enum {
	BODY_MAX = 1024 * 1024,
	BODY_EVENTS = 4096, /* looked through for the content of one request */
	HEADERS_MAX = 1024,
};

void policy_again_init(struct policy_again *g, struct policy_set *set, const struct policy *one)
{
	*g = (struct policy_again){ set, one, names_resolve(&set, 1) };
}

void policy_again_done(struct policy_again *g)
{
	g->names = names_free(g->names);
}

/* ---- what a session is judged by ------------------------------------------------------------ */

static struct policy_asks asks_of(const struct policy *p)
{
	struct slice text = policy_text(p);
	json_t *doc = json_loadb((const char *)text.ptr, text.len, 0, NULL), *rule;
	struct policy_asks a = { 0 };
	size_t i;

	json_array_foreach(json_object_get(doc, "rules"), i, rule) {
		const char *verdict = json_string_value(json_object_get(rule, "verdict"));

		if (!json_object_get(json_object_get(rule, "when"), "json"))
			continue;
		a.body = true;
		a.body_permits |= verdict && strcmp(verdict, "allow") == 0;
	}
	json_decref(doc);
	return a;
}

static void target_choose(struct again_session *a)
{
	struct policy_names view = names_view(a->again->names);
	const struct policy_target *t;

	a->target = policy_target_match(a->policy, &a->sess->dst, &view);
	if (a->target || policy_set_host_name(a->again->set, 0).len == 0)
		return;
	/* A name may have led to another address then. */
	for (size_t i = 0; (t = policy_target_at(a->policy, i)); i++)
		if (a->sess->target[0] && strcmp(t->name, a->sess->target) == 0) {
			a->target = t;
			return;
		}
	a->no_target = "names of targets may have led to this address then";
}

int again_open(struct policy_again *g, struct store *s, const struct store_session *sess,
	       struct again_session *ret)
{
	*ret = (struct again_session){ .again = g, .store = s, .sess = sess };
	ret->policy = g->one ? g->one : policy_set_match(g->set, &sess->identity);
	if (ret->policy) {
		ret->asks = asks_of(ret->policy);
		target_choose(ret);
	}
	arena_init(&ret->mem, 4 * 1024 * 1024);
	buf_init(&ret->body, BODY_MAX);
	return store_events_open(s, &sess->id, 0, &ret->events);
}

void again_close(struct again_session *a)
{
	a->events = store_events_close(a->events);
	arena_done(&a->mem);
	buf_done(&a->body);
}

/* ---- what is not in the record as such ------------------------------------------------------- */

/* The head's lines, of which the first is the request's. Values of credentials are "***" there. */
static int headers_restore(struct again_session *a, struct op *op)
{
	struct slice rest = op->text;
	struct op_header *list;
	size_t n = 0;
	ptrdiff_t end = slice_chr(rest, '\n');

	if (op->n_headers || end < 0)
		return 0;
	list = arena_array(&a->mem, HEADERS_MAX, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (rest = slice_from(rest, (size_t)end + 1); rest.len && n < HEADERS_MAX;) {
		struct slice line, name;
		ptrdiff_t colon;

		end = slice_chr(rest, '\n');
		line = end < 0 ? rest : slice_head(rest, (size_t)end);
		if (line.len && line.ptr[line.len - 1] == '\r')
			line.len--;
		rest = slice_from(rest, end < 0 ? rest.len : (size_t)end + 1);
		colon = slice_chr(line, ':');
		if (colon <= 0)
			continue;
		if (arena_dup(&a->mem, slice_head(line, (size_t)colon), &name) < 0)
			return -ENOMEM;
		for (size_t i = 0; i < name.len; i++) {
			uint8_t *c = (uint8_t *)(uintptr_t)name.ptr + i;

			*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
		}
		list[n].name = name;
		list[n].value = slice_trim(slice_from(line, (size_t)colon + 1));
		if (slice_eq_str(list[n].value, "***"))
			list[n].value = SLICE_NONE;
		n++;
	}
	op->headers = list;
	op->n_headers = n;
	return 0;
}

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9'                     ? c - '0'
	       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
							: -1;
}

/* "%41+b" → "A b" */
static int decode(struct arena *mem, struct slice s, struct slice *ret)
{
	uint8_t *out = arena_alloc(mem, s.len + 1);
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '%' && i + 2 < s.len && hex(s.ptr[i + 1]) >= 0 &&
		    hex(s.ptr[i + 2]) >= 0) {
			out[n++] = (uint8_t)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
			i += 2;
		} else {
			out[n++] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
		}
	}
	*ret = slice_of(out, n);
	return 0;
}

static int query_restore(struct again_session *a, struct op *op)
{
	const struct op_attr *attr = op_attr_find(op, "query");
	struct op_query *list;
	struct slice rest;
	size_t n = 0, most = 1;

	if (op->n_queries || !attr || attr->type != OP_ATTR_TEXT || attr->s.len == 0)
		return 0;
	rest = op->query = attr->s;
	for (size_t i = 0; i < rest.len; i++)
		most += rest.ptr[i] == '&';
	list = arena_array(&a->mem, most, sizeof(*list));
	if (!list)
		return -ENOMEM;
	while (rest.len) {
		ptrdiff_t end = slice_chr(rest, '&'), equals;
		struct slice pair = end < 0 ? rest : slice_head(rest, (size_t)end);
		int r;

		rest = slice_from(rest, pair.len + (end >= 0));
		equals = slice_chr(pair, '=');
		if (pair.len == 0)
			continue;
		r = decode(&a->mem, equals < 0 ? pair : slice_head(pair, (size_t)equals),
			   &list[n].key);
		if (r == 0 && equals >= 0)
			r = decode(&a->mem, slice_from(pair, (size_t)equals + 1), &list[n].value);
		if (r < 0)
			return r;
		n++;
	}
	op->queries = list;
	op->n_queries = n;
	return 0;
}

static bool attr_says(const struct op *op, const char *key)
{
	const struct op_attr *a = op_attr_find(op, key);

	return a && (a->type == OP_ATTR_BOOL  ? a->b
		     : a->type == OP_ATTR_INT ? a->i > 0
					      : a->s.len > 0);
}

/*
 * The content of an allowed request stands behind it in the record, as far as records go. True when
 * all of it is there.
 */
static bool body_restore(struct again_session *a, const struct store_event *ev, struct op *op)
{
	const struct op_attr *length = op_attr_find(op, "content_length");
	struct store_events *c = NULL;
	struct store_event next;
	bool whole = false;

	buf_clear(&a->body);
	if (store_events_open(a->store, &a->sess->id, ev->seq + 1, &c) < 0)
		return false;
	for (unsigned i = 0; i < BODY_EVENTS && store_events_next(c, &next) == 1; i++) {
		if (next.op_id != ev->op_id)
			continue;
		if (next.type == STORE_DATA && next.dir == DIR_TO_SERVER &&
		    (next.data_skipped || buf_put_slice(&a->body, next.data) < 0))
			break;
		if (next.type == STORE_RESULT) {
			/* Nothing of it can be missing: it is as long as was said, or the answer
			 * counts it. */
			for (size_t j = 0; j < next.n_attrs; j++)
				if (strcmp(next.attrs[j].key, "request_bytes") == 0)
					whole = next.attrs[j].type == OP_ATTR_INT &&
						next.attrs[j].i == (int64_t)buf_len(&a->body);
			break;
		}
	}
	(void)store_events_close(c); /* returns NULL */
	whole |= length && length->type == OP_ATTR_INT && length->i == (int64_t)buf_len(&a->body);
	if (whole)
		op->body = buf_peek(&a->body);
	return whole;
}

/* ---- judging --------------------------------------------------------------------------------- */

static void decide(struct again_session *a, const struct op *op, uint64_t now_ns, bool count,
		   struct verdict *ret)
{
	struct policy_session tried = a->counters;

	policy_decide(a->policy, a->target, &a->sess->identity, op, count ? &a->counters : &tried,
		      now_ns, ret);
}

/* A content that is not known: what if it could be anything, and what if it says nothing. */
static void decide_unseen(struct again_session *a, uint64_t now_ns, struct again_op *ret)
{
	struct op hidden = a->op, silent = a->op;
	struct verdict v;

	hidden.body_cut = true;
	silent.body = SLICE("{}");
	decide(a, &silent, now_ns, false, &v);
	decide(a, &hidden, now_ns, true, &ret->verdict);
	if (v.kind == ret->verdict.kind && !a->asks.body_permits)
		return;
	ret->cannot_tell = "the request's content is not recorded";
	if (v.kind > ret->verdict.kind)
		ret->verdict = v;
}

static int judge(struct again_session *a, const struct store_event *ev, struct again_op *ret)
{
	bool body;
	int r = 0;

	*ret = (struct again_op){
		.event = ev, .op = ev->op, .policy = a->policy, .target = a->target
	};
	if (!a->target) {
		ret->verdict = (struct verdict){ .kind = VERDICT_BLOCK,
						 .rule = a->policy ? "no-target" : "no-policy" };
		ret->cannot_tell = a->no_target;
		return 0;
	}
	arena_reset(&a->mem);
	a->op = *ev->op;
	if (strcmp(a->op.protocol, "http") == 0) {
		r = headers_restore(a, &a->op);
		if (r == 0)
			r = query_restore(a, &a->op);
	}
	if (r < 0)
		return r;
	ret->op = &a->op;
	body = a->asks.body && strcmp(a->op.protocol, "http") == 0 &&
	       (attr_says(&a->op, "content_length") || attr_says(&a->op, "chunked"));
	if (body && !body_restore(a, ev, &a->op))
		decide_unseen(a, ev->time_ns, ret);
	else
		decide(a, &a->op, ev->time_ns, true, &ret->verdict);
	return 0;
}

static void result_count(struct again_session *a, const struct store_event *ev)
{
	uint64_t bytes = 0, rows = 0;

	for (size_t i = 0; i < ev->n_attrs; i++) {
		const struct op_attr *t = &ev->attrs[i];

		if (t->type != OP_ATTR_INT || t->i < 0)
			continue;
		if (strcmp(t->key, "bytes") == 0)
			bytes = (uint64_t)t->i;
		else if (strcmp(t->key, "rows") == 0)
			rows = (uint64_t)t->i;
	}
	policy_session_result(&a->counters, bytes, rows, ev->time_ns);
}

int again_next(struct again_session *a, struct again_op *ret)
{
	int r;

	while ((r = store_events_next(a->events, &a->event)) == 1) {
		if (a->event.type == STORE_RESULT)
			result_count(a, &a->event);
		if (a->event.type == STORE_OP) {
			r = judge(a, &a->event, ret);
			return r < 0 ? r : 1;
		}
	}
	return r;
}
