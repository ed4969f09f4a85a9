// SPDX-License-Identifier: Apache-2.0
#include "policy_ops.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "proto/http/http.h"

void policy_ops_done(struct policy_ops *o)
{
	free(o->at);
	proto_free_p(&o->_handler);
	if (o->_facts)
		pg_facts_unref(o->_facts);
	(void)pg_sql_free(o->_parser); /* returns NULL */
	free(o->_params);
	json_decref(o->_json);
	free(o->_text);
	*o = (struct policy_ops){ 0 };
}

static int fail(struct policy_ops *o, int err, const char *fmt, const char *what)
{
	snprintf(o->error, sizeof(o->error), fmt, what); /* cut is fine: for people */
	return err;
}

/* ---- SQL ------------------------------------------------------------------------------------ */

static int params_take(struct policy_ops *o, const char *text)
{
	json_error_t je;
	json_t *v;
	size_t i;

	o->_json = json_loads(text, JSON_ENCODE_ANY, &je);
	if (!json_is_array(o->_json))
		return fail(o, -EINVAL, "parameters are a JSON array: %s",
			    o->_json ? "this is none" : je.text);
	o->_params = calloc(json_array_size(o->_json) + 1, sizeof(*o->_params));
	if (!o->_params)
		return -ENOMEM;
	json_array_foreach(o->_json, i, v) {
		if (json_is_null(v)) {
			o->_params[i].null = true;
			continue;
		}
		if (!json_is_string(v)) {
			char *as_text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
			json_t *s = as_text ? json_string(as_text) : NULL;

			free(as_text);
			if (!s || json_array_set_new(o->_json, i, s) < 0)
				return -ENOMEM;
			v = s;
		}
		o->_params[i].text = slice_of(json_string_value(v), json_string_length(v));
	}
	return 0;
}

int policy_ops_sql(const char *text, const char *params, struct policy_ops *ret)
{
	static const struct pg_sql_mode mode = { false, false };
	struct slice whole;
	int r;

	*ret = (struct policy_ops){ 0 };
	if (params) {
		r = params_take(ret, params);
		if (r < 0)
			return r;
	}
	ret->_text = strdup(text);
	if (!ret->_text)
		return -ENOMEM;
	whole = slice_str(ret->_text);
	r = pg_sql_new(1, POLICY_OPS_TEXT_MAX, &ret->_parser);
	if (r == 0)
		r = pg_sql_facts(ret->_parser, whole, &mode, &ret->_facts);
	if (r < 0)
		return r;
	if (ret->_facts->n_stmts == 0)
		return fail(ret, -EINVAL, "%s", "no statement in it");
	ret->at = calloc(ret->_facts->n_stmts, sizeof(*ret->at));
	if (!ret->at)
		return -ENOMEM;
	for (; ret->n < ret->_facts->n_stmts; ret->n++) {
		const struct pg_stmt *s = &ret->_facts->stmts[ret->n];

		ret->at[ret->n] = (struct op){
			.id = ret->n + 1,
			.protocol = "postgres",
			.verb = slice_str(s->verb),
			.effects = s->effects,
			.objects = s->objects,
			.n_objects = s->n_objects,
			.attrs = s->attrs,
			.n_attrs = s->n_attrs,
			.params = ret->_params,
			.n_params = json_array_size(ret->_json),
			.text = slice_head(slice_from(whole, s->offset), s->len),
			.norm = ret->_facts->n_stmts == 1 ? ret->_facts->norm : SLICE_NONE,
			.fingerprint = ret->_facts->fingerprint,
		};
	}
	return 0;
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

struct request {
	struct slice method, host, path, headers, body;
	bool has_host, has_length, has_type;
};

/* "[Name: value]" at the head of text: its inside, or SLICE_NONE. */
static struct slice header_at(struct slice text)
{
	ptrdiff_t end = slice_chr(text, ']');
	size_t n = 1;

	if (text.len < 4 || text.ptr[0] != '[' || end < 0)
		return SLICE_NONE;
	while (n < (size_t)end && text.ptr[n] != ':') {
		uint8_t c = text.ptr[n++];

		/* What a JSON array cannot begin with is told apart from one by that. */
		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return SLICE_NONE;
	}
	if (n == 1 || n == (size_t)end)
		return SLICE_NONE;
	return slice_head(slice_from(text, 1), (size_t)end - 1);
}

static bool header_is(struct slice header, const char *name)
{
	return slice_ieq(slice_head(header, (size_t)slice_chr(header, ':')), slice_str(name));
}

static struct slice word_take(struct slice *text)
{
	ptrdiff_t space = slice_chr(*text, ' ');
	struct slice word = space < 0 ? *text : slice_head(*text, (size_t)space);

	*text = slice_trim(slice_from(*text, word.len));
	return word;
}

static int request_parse(const char *text, struct request *ret)
{
	static const char *const schemes[] = { "http://", "https://" };
	struct slice rest = slice_trim(slice_str(text)), url, header;
	struct request q = { 0 };
	ptrdiff_t slash;

	q.method = word_take(&rest);
	url = word_take(&rest);
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (!q.host.ptr && slice_has_prefix(url, slice_str(schemes[i])))
			q.host = slice_from(url, strlen(schemes[i]));
	if (q.method.len == 0 || q.host.len == 0)
		return -EINVAL;
	slash = slice_chr(q.host, '/');
	if (slash < 0)
		slash = slice_chr(q.host, '?') < 0 ? (ptrdiff_t)q.host.len : slice_chr(q.host, '?');
	q.path = slice_from(q.host, (size_t)slash);
	q.host = slice_head(q.host, (size_t)slash);
	if (q.host.len == 0)
		return -EINVAL;
	q.headers = rest;
	while ((header = header_at(rest)).len) {
		q.has_host |= header_is(header, "host");
		q.has_length |= header_is(header, "content-length") ||
				header_is(header, "transfer-encoding");
		q.has_type |= header_is(header, "content-type");
		rest = slice_trim(slice_from(rest, header.len + 2));
	}
	q.headers.len -= rest.len;
	q.body = rest;
	*ret = q;
	return 0;
}

/* The bytes that a client would send. */
static int request_build(const struct request *q, struct buf *ret)
{
	struct slice rest = q->headers, header;
	bool slash = q->path.len && q->path.ptr[0] == '/';
	int r = buf_printf(ret, "%.*s %s%.*s HTTP/1.1\r\n", SLICE_FMT(q->method), slash ? "" : "/",
			   SLICE_FMT(q->path));

	if (r == 0 && !q->has_host)
		r = buf_printf(ret, "Host: %.*s\r\n", SLICE_FMT(q->host));
	while (r == 0 && (header = header_at(rest)).len) {
		r = buf_printf(ret, "%.*s\r\n", SLICE_FMT(header));
		rest = slice_trim(slice_from(rest, header.len + 2));
	}
	if (r == 0 && q->body.len && !q->has_length)
		r = buf_printf(ret, "Content-Length: %zu\r\n", q->body.len);
	if (r == 0 && q->body.len && !q->has_type &&
	    (q->body.ptr[0] == '{' || q->body.ptr[0] == '['))
		r = buf_put_str(ret, "Content-Type: application/json\r\n");
	if (r == 0)
		r = buf_put_str(ret, "\r\n");
	return r ? r : buf_put_slice(ret, q->body);
}

/* What the handler sees in these bytes. */
static int request_feed(struct policy_ops *o, struct slice bytes)
{
	const struct proto_limits limits = PROTO_LIMITS_DEFAULT;
	struct parse_err err = { .rule = "not a request" };
	struct proto_event e;
	size_t used;
	int r;

	r = proto_http.create(&limits, NULL, &o->_handler);
	if (r < 0)
		return r;
	r = proto_http.feed(o->_handler, DIR_TO_SERVER, bytes, &used, &err);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return fail(o, -EBADMSG, "malformed request: %s", err.rule);
	while (proto_http.next(o->_handler, &e) == 1)
		if (e.type == PROTO_OP) {
			o->at = malloc(sizeof(*o->at));
			if (!o->at)
				return -ENOMEM;
			o->at[0] = *e.op;
			o->n = 1;
			return 0;
		}
	return fail(o, -EBADMSG, "malformed request: %s", "it is not complete");
}

int policy_ops_http(const char *text, struct policy_ops *ret)
{
	struct request q;
	struct buf bytes;
	int r;

	*ret = (struct policy_ops){ 0 };
	if (request_parse(text, &q) < 0)
		return fail(ret, -EINVAL,
			    "expected 'METHOD http://HOST/PATH [Header: value]… body', not '%s'",
			    text);
	buf_init(&bytes, 2 * POLICY_OPS_TEXT_MAX);
	r = request_build(&q, &bytes);
	if (r == 0)
		r = request_feed(ret, buf_peek(&bytes));
	buf_done(&bytes);
	return r;
}

/* ---- both ----------------------------------------------------------------------------------- */

int policy_ops_any(const char *text, struct policy_ops *ret)
{
	_cleanup_(free_p) char *params = NULL;
	json_error_t je;
	json_t *list;

	*ret = (struct policy_ops){ 0 };
	if (strncmp(text, "http:", 5) == 0)
		return policy_ops_http(text + 5, ret);
	if (strncmp(text, "sql:", 4) == 0)
		return policy_ops_sql(text + 4, NULL, ret);
	if (strncmp(text, "sql[", 4) != 0)
		return fail(ret, -EINVAL, "expected sql:…, sql[…]:… or http:…, not '%s'", text);
	list = json_loads(text + 3, JSON_DISABLE_EOF_CHECK, &je);
	if (!list || text[3 + je.position] != ':') {
		json_decref(list);
		return fail(ret, -EINVAL, "parameters are a JSON array, then a colon: %s", text);
	}
	json_decref(list);
	params = strndup(text + 3, (size_t)je.position);
	if (!params)
		return -ENOMEM;
	return policy_ops_sql(text + 4 + je.position, params, ret);
}

const struct policy_target *policy_ops_target(const struct policy *p, const char *name,
					      const char *protocol)
{
	const struct policy_target *t;

	for (size_t i = 0; (t = policy_target_at(p, i)); i++)
		if (name ? strcmp(t->name, name) == 0
			 : !t->protocol || strcmp(t->protocol, protocol) == 0)
			return t;
	return NULL;
}
