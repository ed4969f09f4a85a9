// SPDX-License-Identifier: Apache-2.0
/* What is read out of requests, from any bytes: JSON, GraphQL, pairs, content codings, cloud calls. The
 * first byte says which. */
#include <errno.h>
#include <stdlib.h>

#include "proto/http/cloud.h"
#include "proto/http/graphql.h"
#include "proto/http/inflate.h"
#include "proto/http/json.h"
#include "proto/http/path.h"
#include "proto/http/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool inside(struct slice s, struct slice in)
{
	return !s.len || (s.ptr >= in.ptr && s.ptr + s.len <= in.ptr + in.len);
}

/* What the check lets through, the walk goes over to its end. */
static void json(struct slice s, struct arena *a)
{
	struct slice key, value, text;
	struct json_walk w;

	if (json_check(s) < 0 || !json_open(s, &w))
		return;
	while (json_next(&w, &key, &value)) {
		must(inside(key, s) && inside(value, s) && value.len);
		must(json_check(value) == 0);
		must(http_json_string(value, a, &text) >= 0);
	}
	must(w.rest.len && (w.rest.ptr[0] != ',')); /* the closing bracket, maybe behind blanks */
}

static void graphql(struct slice s, struct arena *a)
{
	struct graphql g;

	if (graphql_parse(s, SLICE_NONE, a, &g) < 0)
		return;
	must(inside(g.name, s));
	for (size_t i = 0; i < g.n_fields; i++)
		must(inside(g.fields[i], s) && g.fields[i].len);
}

static void cloud(struct slice s, struct arena *a)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "PATCH" };
	struct cloud_request q = { .method = slice_str(methods[s.len % ARRAY_SIZE(methods)]) };
	ptrdiff_t slash = slice_chr(s, '/');
	struct op_header header = { SLICE("x-amz-target"), s };
	struct op_query *pairs;
	struct http_path path;
	bool ambiguous = false;
	struct cloud c;

	if (slash < 0)
		return;
	q.host = slice_head(s, (size_t)slash);
	must(http_path_parse(slice_from(s, (size_t)slash), a, &path) == 0);
	must(http_pairs_parse(path.query, a, &pairs, &q.n_queries, &ambiguous) == 0);
	q.path = path.norm;
	q.queries = q.form = pairs;
	q.n_form = q.n_queries;
	q.headers = &header;
	q.n_headers = s.len & 1;
	if (cloud_decode(&q, a, &c) == 1)
		must(c.cloud && c.effects && c.action.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s;
	struct arena a;
	struct buf out;

	if (!size)
		return 0;
	s = slice_of(data + 1, size - 1);
	arena_init(&a, 16 << 20);
	buf_init(&out, 4096);
	switch (data[0] % 4) {
	case 0: json(s, &a); break;
	case 1: graphql(s, &a); break;
	case 2: cloud(s, &a); break;
	default:
		must(http_inflate(s.len & 1 ? CODING_GZIP : CODING_DEFLATE, s, &out) <= 0);
		must(buf_len(&out) <= 4096);
	}
	arena_done(&a);
	buf_done(&out);
	return 0;
}
