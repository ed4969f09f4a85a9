// SPDX-License-Identifier: Apache-2.0
/* What head and body say together: the body's content, GraphQL, clouds, whether the host is real. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>

#include "base/utf8.h"
#include "cloud.h"
#include "graphql.h"
#include "inflate.h"
#include "json.h"
#include "state.h"
#include "text.h"

enum { BATCH_MAX = 64 }; /* GraphQL requests in one body */

/* What is found while the facts are gathered. */
struct finding {
	const struct op_query *form;
	size_t n_form;
	enum http_body_kind kind; /* of op.body; BODY_OTHER when there is none */
	uint32_t effects;         /* replaces the method's, when not 0 */
	bool ambiguous;
	/* GraphQL */
	bool graphql, persisted, opaque;
	unsigned batch;
	enum graphql_type type;
	struct slice name, *fields;
	size_t n_fields;
	struct cloud cloud;
};

/* ---- the body ---- */

/* "charset" of a media type, when it is another than UTF-8 or a part of it. */
static bool other_charset(struct slice type)
{
	ptrdiff_t semi = slice_chr(type, ';');

	while (semi >= 0) {
		struct slice param;
		ptrdiff_t eq;

		type = slice_from(type, (size_t)semi + 1);
		semi = slice_chr(type, ';');
		param = slice_trim(slice_head(type, semi < 0 ? type.len : (size_t)semi));
		eq = slice_chr(param, '=');
		if (eq < 0 || !slice_ieq(slice_head(param, (size_t)eq), SLICE("charset")))
			continue;
		param = slice_from(param, (size_t)eq + 1);
		if (param.len > 1 && param.ptr[0] == '"')
			param = slice_of(param.ptr + 1, param.len - 2);
		if (!slice_ieq(param, SLICE("utf-8")) && !slice_ieq(param, SLICE("utf8")) &&
		    !slice_ieq(param, SLICE("us-ascii")))
			return true;
	}
	return false;
}

/* Content codings off. 1: op.body is set; 0: it cannot be shown; -ENOMEM. */
static int body_decode(struct http *h, struct finding *f)
{
	struct gather *g = &h->gather;
	enum http_coding coding = http_coding_of(h->head.content_coding);
	int r;

	if (h->head.n_codings > 1)
		coding = CODING_OTHER;
	h->op.body = http_gather_content(h);
	if (coding == CODING_NONE)
		return 1;
	h->op.body = SLICE_NONE;
	h->op.body_cut = true;
	if (coding == CODING_OTHER)
		return 0;
	r = http_inflate(coding, http_gather_content(h), &g->plain);
	if (r == -ENOMEM)
		return r;
	f->ambiguous |= r == -EBADMSG;
	if (r < 0)
		return 0;
	h->op.body = buf_peek(&g->plain);
	h->op.body_cut = false;
	return 1;
}

static int body_check(struct http *h, struct finding *f)
{
	struct op_query *pairs;
	int r = 0;

	f->kind = h->gather.kind;
	if (f->kind == BODY_MAYBE) { /* with a coding, it shows only now */
		struct slice s = h->op.body;

		while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t' || s.ptr[0] == '\r' ||
				 s.ptr[0] == '\n'))
			s = slice_from(s, 1);
		f->kind = s.len && (s.ptr[0] == '{' || s.ptr[0] == '[' || s.ptr[0] == 0xef)
				  ? BODY_JSON
				  : BODY_OTHER;
	}
	switch (f->kind) {
	case BODY_JSON:
		r = json_check(h->op.body);
		f->ambiguous |= r == -EBADMSG;
		break;
	case BODY_FORM:
		r = http_pairs_parse(h->op.body, &h->body_arena, &pairs, &f->n_form, &f->ambiguous);
		if (r == 0)
			f->form = pairs;
		break;
	case BODY_GRAPHQL: f->ambiguous |= !utf8_valid(h->op.body); break;
	case BODY_MAYBE:
	case BODY_OTHER: h->op.body = SLICE_NONE; return 0;
	}
	f->ambiguous |= h->head.n_types > 1 || other_charset(h->head.content_type);
	return r == -ENOMEM ? r : 0;
}

static int body_facts(struct http *h, struct finding *f)
{
	const struct gather *g = &h->gather;
	int r = 0;

	if (g->active && g->complete && !h->op.body_cut && g->kind != BODY_OTHER) {
		http_op_attr_int(h, "body_bytes", (int64_t)g->content_len);
		r = body_decode(h, f);
		if (r > 0)
			r = body_check(h, f);
	}
	if (f->ambiguous)
		http_op_attr_bool(h, "body_ambiguous", true);
	if (h->op.body_cut)
		http_op_attr_bool(h, "body_cut", true);
	if (f->ambiguous || h->op.body_cut)
		h->op.effects |= OP_UNKNOWN;
	return r;
}

/* ---- GraphQL ---- */

static bool graphql_path(struct slice path)
{
	size_t end = path.len, from;
	struct slice last;

	end -= end && path.ptr[end - 1] == '/';
	for (from = end; from && path.ptr[from - 1] != '/'; from--)
		;
	last = slice_from(slice_head(path, end), from);
	for (size_t i = 0; i + 7 <= last.len; i++)
		if ((last.ptr[i] | 0x20) == 'g' &&
		    slice_ieq(slice_of(last.ptr + i, 7), SLICE("graphql")))
			return true;
	return slice_ieq(last, SLICE("gql"));
}

/* One document. */
static int graphql_one(struct http *h, struct finding *f, struct slice doc, struct slice operation)
{
	struct graphql g;
	struct slice *all;
	int r = graphql_parse(doc, operation, &h->body_arena, &g);

	if (r == -ENOMEM)
		return r;
	f->batch++;
	if (r < 0) {
		f->opaque = true;
		return 0;
	}
	f->graphql = true;
	if (g.type == GRAPHQL_MUTATION || (g.type > f->type && f->type == GRAPHQL_QUERY))
		f->type = g.type;
	if (!f->name.len)
		f->name = g.name;
	if (f->n_fields + g.n_fields > GRAPHQL_FIELDS_MAX) {
		f->opaque = true;
		return 0;
	}
	all = arena_array(&h->body_arena, f->n_fields + g.n_fields + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (f->n_fields)
		memcpy(all, f->fields, f->n_fields * sizeof(*all));
	if (g.n_fields)
		memcpy(all + f->n_fields, g.fields, g.n_fields * sizeof(*all));
	f->fields = all;
	f->n_fields += g.n_fields;
	return 0;
}

static int graphql_json(struct http *h, struct finding *f, struct slice body)
{
	struct slice doc, name = SLICE_NONE, value = json_member(body, "query");
	int r = http_json_string(value, &h->body_arena, &doc);

	if (r < 0)
		return r;
	if (r == 0) {
		f->persisted |=
			json_member(json_member(body, "extensions"), "persistedQuery").ptr ||
			json_member(body, "documentId").ptr || json_member(body, "queryId").ptr;
		f->opaque = true;
		return 0;
	}
	r = http_json_string(json_member(body, "operationName"), &h->body_arena, &name);
	if (r < 0)
		return r;
	return graphql_one(h, f, doc, name);
}

static int graphql_batch(struct http *h, struct finding *f)
{
	struct slice key, value;
	struct json_walk w;
	int r = 0;

	if (!json_open(h->op.body, &w))
		return 0;
	if (w.object)
		return graphql_json(h, f, h->op.body);
	for (unsigned n = 0; r == 0 && json_next(&w, &key, &value); n++) {
		if (n == BATCH_MAX) {
			f->opaque = true;
			break;
		}
		r = graphql_json(h, f, value);
	}
	return r;
}

static int graphql_facts(struct http *h, struct finding *f)
{
	bool twice = false, path = graphql_path(h->path);
	struct slice in_query, in_form;
	int r = 0;

	if (!path && !h->op.n_queries && f->kind == BODY_OTHER)
		return 0;
	in_query = http_pairs_get(h->op.queries, h->op.n_queries, "query", &twice);
	in_form = http_pairs_get(f->form, f->n_form, "query", &twice);

	if (f->kind == BODY_JSON && !f->ambiguous)
		r = graphql_batch(h, f);
	else if (f->kind == BODY_GRAPHQL)
		r = graphql_one(h, f, h->op.body, SLICE_NONE);
	else if (in_form.len)
		r = graphql_one(h, f, in_form,
				http_pairs_get(f->form, f->n_form, "operationName", &twice));
	if (r == 0 && in_query.len) {
		twice |= f->batch > 0; /* some servers take the one, some the other */
		r = graphql_one(
			h, f, in_query,
			http_pairs_get(h->op.queries, h->op.n_queries, "operationName", &twice));
	}
	if (r < 0)
		return r;
	f->persisted |= path && !f->graphql &&
			http_pairs_get(h->op.queries, h->op.n_queries, "extensions", &twice).ptr;
	/* Elsewhere a "query" may be anything; something named so that does not parse is GraphQL only
	 * where the path says so. */
	if (!f->graphql && !path)
		return 0;
	if (f->opaque || twice || f->ambiguous || h->op.body_cut || !f->graphql) {
		/* A request that asks for nothing, to such a path, is an ordinary one. */
		if (f->opaque || f->persisted || twice || h->op.effects & OP_WRITE)
			h->op.effects |= OP_UNKNOWN;
	}
	if (f->persisted)
		http_op_attr_bool(h, "graphql_persisted", true);
	if (!f->graphql)
		return 0;
	http_op_attr_text(h, "graphql_type", slice_str(graphql_type_names[f->type]));
	http_op_attr_text(h, "graphql_name", f->name);
	if (f->batch > 1)
		http_op_attr_int(h, "graphql_batch", f->batch);
	if (f->type == GRAPHQL_MUTATION)
		h->op.effects |= OP_READ | OP_WRITE;
	else if (path && slice_eq(h->op.verb, SLICE("POST")) && !(h->op.effects & OP_UNKNOWN))
		h->op.effects &= ~(uint32_t)OP_WRITE;
	return 0;
}

/* ---- clouds ---- */

static int cloud_facts(struct http *h, struct finding *f, bool checked)
{
	struct cloud_request q = { .method = h->op.verb,
				   .host = h->host_text,
				   .path = h->path,
				   .queries = h->op.queries,
				   .n_queries = h->op.n_queries,
				   .headers = h->op.headers,
				   .n_headers = h->op.n_headers,
				   .form = f->form,
				   .n_form = f->n_form };
	struct cloud *c = &f->cloud;
	int r = cloud_maybe(q.host, q.path) ? cloud_decode(&q, &h->arena, c) : 0;
	uint32_t doubts = h->op.effects & (OP_UNKNOWN | OP_NETWORK);
	static const struct {
		const char *key;
		size_t at;
	} texts[] = {
		{ "service", offsetof(struct cloud, service) },
		{ "action", offsetof(struct cloud, action) },
		{ "resource", offsetof(struct cloud, resource) },
		{ "name", offsetof(struct cloud, name) },
		{ "subresource", offsetof(struct cloud, subresource) },
		{ "namespace", offsetof(struct cloud, ns) },
		{ "region", offsetof(struct cloud, region) },
		{ "project", offsetof(struct cloud, project) },
	};

	if (r <= 0)
		return r;
	http_op_attr_text(h, "cloud", slice_str(c->cloud));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct slice s;

		memcpy(&s, (const char *)c + texts[i].at, sizeof(s));
		if (s.len)
			http_op_attr_text(h, texts[i].key, s);
	}
	/* The API's own meaning takes the place of the method's only where that API really answers
	 * and nothing was left in doubt. */
	if (c->by_host && checked && !doubts)
		h->op.effects = c->effects;
	else
		h->op.effects |= c->effects;
	return 0;
}

/* ---- the host ---- */

static bool host_known(const struct http *h)
{
	struct slice host = h->host_text;
	struct addr a;

	if (h->host_port && htons((uint16_t)h->host_port) != h->peer.port_be)
		return false;
	if (host.len > 2 && host.ptr[0] == '[')
		host = slice_of(host.ptr + 1, host.len - 2);
	if (addr_parse_ip(host, &a) == 0)
		return memcmp(a.ip, h->peer.ip, sizeof(a.ip)) == 0;
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	for (const char *n = h->peer_names; *n; n += strlen(n) + 1)
		if (slice_ieq(host, slice_str(n)))
			return true;
	return false;
}

/* ---- all of it ---- */

static int objects_make(struct http *h, const struct finding *f)
{
	size_t n = h->op.n_objects, max = n + f->n_fields + 1;
	struct op_object *o = h->objects;

	if (f->n_fields || f->cloud.secret) {
		o = arena_array(f->n_fields ? &h->body_arena : &h->arena, max, sizeof(*o));
		if (!o)
			return -ENOMEM;
		memcpy(o, h->objects, n * sizeof(*o));
	}
	for (size_t i = 0; f->graphql && i < f->n_fields; i++)
		o[n++] = (struct op_object){ .kind = "field", .name = f->fields[i] };
	if (f->cloud.secret)
		o[n++] = (struct op_object){ .kind = "secret",
					     .name = f->cloud.name.len ? f->cloud.name
								       : f->cloud.resource };
	for (size_t i = 0; i < n; i++)
		o[i].access = h->op.effects;
	h->op.objects = o;
	h->op.n_objects = n;
	return 0;
}

/* Most requests: without a body to look at, to nobody's API that is known here. */
static bool plain(const struct http *h)
{
	return !h->gather.active && !h->op.body_cut && !h->op.n_queries && !graphql_path(h->path) &&
	       !cloud_maybe(h->host_text, h->path);
}

static int find(struct http *h, bool checked)
{
	struct finding f = { 0 };
	int r = body_facts(h, &f);

	if (r == 0)
		r = graphql_facts(h, &f);
	if (r == 0)
		r = cloud_facts(h, &f, checked);
	return r < 0 ? r : objects_make(h, &f);
}

int http_op_finish(struct http *h)
{
	bool checked = false;

	if (h->peer_told) {
		checked = h->host_text.len && host_known(h);
		http_op_attr_bool(h, "host_checked", checked);
	}
	if (!plain(h))
		return find(h, checked);
	for (size_t i = 0; i < h->op.n_objects; i++)
		h->objects[i].access = h->op.effects;
	return 0;
}
