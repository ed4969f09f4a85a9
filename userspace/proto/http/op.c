// SPDX-License-Identifier: Apache-2.0
/* From a request's head to an operation. */
#include <assert.h>
#include <errno.h>

#include "base/hash.h"
#include "path.h"
#include "state.h"
#include "text.h"

/*
 * POST is read and write: most APIs send everything through it, queries too. Deleting or running
 * something by POST is a server's own affair that no method name shows; rules see it by its path.
 */
static const struct {
	const char *method;
	uint32_t effects;
} methods[] = {
	{ "GET", OP_READ },
	{ "HEAD", OP_READ },
	{ "POST", OP_READ | OP_WRITE },
	{ "PUT", OP_WRITE },
	{ "PATCH", OP_WRITE },
	{ "DELETE", OP_DELETE },
	{ "OPTIONS", OP_READ },
	{ "TRACE", OP_READ },
	{ "CONNECT", OP_NETWORK | OP_UNKNOWN },
	{ "PROPFIND", OP_READ },
	{ "REPORT", OP_READ },
	{ "SEARCH", OP_READ },
	{ "PROPPATCH", OP_WRITE },
	{ "MKCOL", OP_WRITE },
	{ "COPY", OP_READ | OP_WRITE },
	{ "MOVE", OP_WRITE | OP_DELETE },
	{ "LOCK", OP_WRITE },
	{ "UNLOCK", OP_WRITE },
	{ "PURGE", OP_DELETE },
};

static uint32_t method_effects(struct slice m)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (slice_eq_str(m, methods[i].method))
			return methods[i].effects;
	return OP_UNKNOWN;
}

static struct op_attr *attr_add(struct http *h, const char *key, enum op_attr_type type)
{
	struct op_attr *a;

	assert(h->op.n_attrs < HTTP_ATTRS);
	a = &h->attrs[h->op.n_attrs++];
	*a = (struct op_attr){ .key = key, .type = type };
	return a;
}

void http_op_attr_text(struct http *h, const char *key, struct slice s)
{
	if (s.ptr)
		attr_add(h, key, OP_ATTR_TEXT)->s = s;
}

void http_op_attr_int(struct http *h, const char *key, int64_t i)
{
	attr_add(h, key, OP_ATTR_INT)->i = i;
}

void http_op_attr_bool(struct http *h, const char *key, bool b)
{
	attr_add(h, key, OP_ATTR_BOOL)->b = b;
}

static int fault(struct http_fault *f, int code, const char *rule, const char *spec)
{
	*f = (struct http_fault){ .code = code, .status = 400, .rule = rule, .spec = spec };
	return code;
}

/* The head as it is recorded: as sent, but without the values of credentials. */
static int build_text(struct http *h)
{
	struct slice lines = h->head.lines, name, value;
	size_t line_end = (size_t)slice_chr(lines, '\n') + 1, n = 0;
	uint8_t *out;

	h->op.text = lines;
	if (h->head.secrets) {
		/* ": ***" may be longer than what it stands for, by four bytes at most, in a field
		 * that has more than that: twice the size is enough. */
		out = arena_alloc(&h->arena, lines.len * 2);
		if (!out)
			return -ENOMEM;
		memcpy(out, lines.ptr, line_end);
		n = line_end;
		lines = slice_from(lines, line_end);
		while (lines.len) {
			struct slice before = lines, line;

			if (!http_field_next(&lines, &name, &value))
				break;
			line = slice_head(before, before.len - lines.len);
			if (http_head_is_secret(name)) {
				memcpy(out + n, name.ptr, name.len);
				memcpy(out + n + name.len, ": ***\r\n", 7);
				n += name.len + 7;
			} else {
				memcpy(out + n, line.ptr, line.len);
				n += line.len;
			}
		}
		h->op.text = slice_of(out, n);
	}
	h->op.text_cut = h->op.text.len > h->lim.text_max;
	h->op.text = slice_head(h->op.text, h->lim.text_max);
	return 0;
}

/* The four forms of a target, RFC 9112 §3.2: where does the request go? */
static int parse_target(struct http *h, struct slice *ret_origin, struct slice *ret_host,
			unsigned *ret_port, const char **ret_scheme, struct http_fault *f)
{
	struct slice t = h->head.target, field_host = SLICE_NONE, rest;
	bool connect = slice_eq(h->head.method, SLICE("CONNECT"));
	unsigned field_port = 0, plain;

	*ret_origin = SLICE_NONE;
	*ret_scheme = NULL;
	if (h->head.has_host && http_authority_parse(h->head.host, &field_host, &field_port) < 0)
		return fault(f, -EBADMSG, "malformed Host", "RFC 9112 §3.2");
	*ret_host = field_host;
	*ret_port = field_port;
	if (connect) {
		if (http_authority_parse(t, ret_host, ret_port) < 0 || !*ret_port)
			return fault(f, -EBADMSG, "CONNECT without host and port",
				     "RFC 9112 §3.2.3");
		return 0;
	}
	if (t.ptr[0] == '/') {
		*ret_origin = t;
		return 0;
	}
	if (slice_eq(t, SLICE("*"))) {
		if (!slice_eq(h->head.method, SLICE("OPTIONS")))
			return fault(f, -EBADMSG, "asterisk target without OPTIONS",
				     "RFC 9112 §3.2.4");
		*ret_origin = t;
		return 0;
	}
	if (slice_ieq(slice_head(t, 7), SLICE("http://")))
		*ret_scheme = "http";
	else if (slice_ieq(slice_head(t, 8), SLICE("https://")))
		*ret_scheme = "https";
	else
		return fault(f, -EBADMSG, "malformed request target", "RFC 9112 §3.2");
	plain = (*ret_scheme)[4] ? 443 : 80;
	rest = slice_from(t, strlen(*ret_scheme) + 3);
	for (t.len = 0, t.ptr = rest.ptr;
	     t.len < rest.len && rest.ptr[t.len] != '/' && rest.ptr[t.len] != '?'; t.len++)
		;
	if (http_authority_parse(t, ret_host, ret_port) < 0)
		return fault(f, -EBADMSG, "malformed authority in the target", "RFC 9112 §3.2.2");
	/* Servers go by the target, or by Host: two names are two readings. */
	if (h->head.has_host &&
	    (!slice_ieq(*ret_host, field_host) ||
	     (*ret_port ? *ret_port : plain) != (field_port ? field_port : plain)))
		return fault(f, -EBADMSG, "Host differs from the target", "RFC 9112 §3.2.2");
	*ret_origin = slice_from(rest, t.len);
	return 0;
}

/* Only what is surely a scheme: a first word that nobody knows may be the credential itself. */
static struct slice auth_scheme(struct slice value)
{
	static const char *const known[] = { "Basic", "Bearer", "Digest", "Negotiate",
					     "NTLM",  "Token",  "ApiKey", "OAuth",
					     "Hawk",  "HOBA",   "DPoP",   "AWS4-HMAC-SHA256" };
	ptrdiff_t end = slice_chr(value, ' ');
	struct slice word = slice_head(value, end < 0 ? 0 : (size_t)end);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (slice_ieq(word, slice_str(known[i])))
			return slice_str(known[i]);
	return SLICE("other");
}

static void build_attrs(struct http *h, const struct http_path *path, struct slice host,
			unsigned port, const char *scheme)
{
	const struct http_head *q = &h->head;

	if (path) {
		http_op_attr_text(h, "path", path->norm);
		http_op_attr_text(h, "raw_path", path->raw);
		http_op_attr_text(h, "query", path->query);
		if (path->ambiguous)
			http_op_attr_bool(h, "path_ambiguous", true);
	}
	http_op_attr_text(h, "host", host);
	if (port)
		http_op_attr_int(h, "port", port);
	if (scheme)
		http_op_attr_text(h, "scheme", slice_str(scheme));
	http_op_attr_text(h, "version", q->minor ? SLICE("1.1") : SLICE("1.0"));
	http_op_attr_text(h, "content_type", q->content_type);
	if (q->has_length)
		http_op_attr_int(h, "content_length", (int64_t)q->length);
	else if (q->chunked)
		http_op_attr_bool(h, "chunked", true);
	http_op_attr_text(h, "user_agent", q->user_agent);
	http_op_attr_text(h, "upgrade", q->upgrade);
	http_op_attr_text(h, "expect", q->expect);
	http_op_attr_text(h, "method_override", q->method_override);
	http_op_attr_text(h, "url_override", q->url_override);
	if (q->authorization.len)
		http_op_attr_text(h, "auth", auth_scheme(q->authorization));
}

static int build_query(struct http *h, struct slice query)
{
	struct op_query *pairs;
	bool ambiguous = false;
	int r;

	h->op.query = query;
	if (!query.len)
		return 0;
	r = http_pairs_parse(query, &h->arena, &pairs, &h->op.n_queries, &ambiguous);
	if (r < 0)
		return r;
	h->op.queries = pairs;
	if (ambiguous) {
		http_op_attr_bool(h, "query_ambiguous", true);
		h->op.effects |= OP_UNKNOWN;
	}
	return 0;
}

/*
 * Content where the method gives it no meaning (RFC 9110 §9.3.1, §9.3.2, §9.3.7): servers that do not
 * read it take it for the next request, which nobody has judged.
 */
static bool body_is_unexpected(const struct http *h)
{
	struct slice m = h->head.method;

	return (h->head.chunked || (h->head.has_length && h->head.length)) &&
	       (slice_eq_str(m, "GET") || slice_eq_str(m, "HEAD") || slice_eq_str(m, "OPTIONS") ||
		slice_eq_str(m, "TRACE"));
}

int http_op_build(struct http *h, struct http_fault *f)
{
	struct slice origin, host, name;
	struct http_path path;
	const char *scheme;
	unsigned port;
	int r;

	h->op = (struct op){ .id = h->last_id + 1,
			     .protocol = "http",
			     .verb = h->head.method,
			     .effects = method_effects(h->head.method) };
	r = parse_target(h, &origin, &name, &port, &scheme, f);
	if (r < 0)
		return r;
	r = http_text_lower(name, &h->arena, &host);
	if (r == 0 && origin.ptr)
		r = http_path_parse(origin, &h->arena, &path);
	if (r == 0)
		r = build_text(h);
	if (r == 0)
		r = http_path_shape(h->head.method, host, origin.ptr ? path.norm : SLICE_NONE,
				    &h->arena, &h->op.norm);
	if (r < 0)
		return fault(f, r, "out of memory", "proto.h");
	if (h->head.upgrade.len)
		h->op.effects |= OP_NETWORK | OP_UNKNOWN;
	if ((origin.ptr && path.ambiguous) || h->head.method_override.ptr ||
	    h->head.url_override.ptr || body_is_unexpected(h))
		h->op.effects |= OP_UNKNOWN;
	build_attrs(h, origin.ptr ? &path : NULL, host, port, scheme);
	r = build_query(h, origin.ptr ? path.query : SLICE_NONE);
	if (r < 0)
		return fault(f, r, "out of memory", "proto.h");
	h->op.attrs = h->attrs;
	h->op.headers = h->fields.at;
	h->op.n_headers = h->fields.n;
	if (h->fields.n < h->head.n_headers)
		h->op.effects |= OP_UNKNOWN;
	if (origin.ptr)
		h->objects[h->op.n_objects++] =
			(struct op_object){ .kind = "path", .name = path.norm };
	if (host.len)
		h->objects[h->op.n_objects++] = (struct op_object){ .kind = "host", .name = host };
	h->op.objects = h->objects;
	h->path = origin.ptr ? path.norm : SLICE_NONE;
	h->host_text = host;
	h->host_port = port;
	h->op.fingerprint = hash_bytes(h->op.norm, HASH_KEY_FIXED);
	h->last_id++;
	return 0;
}
