// SPDX-License-Identifier: Apache-2.0
/* What bodies and queries are read as: JSON, GraphQL, forms, codings; and whose host it is. */
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#include "proto/http/graphql.h"
#include "proto/http/http.h"
#include "proto/http/inflate.h"
#include "proto/http/json.h"
#include "proto/http/text.h"
#include "support/proto_harness.h"

static void test_json(void **state)
{
	static const char *const good[] = {
		"{}",
		" [ ] ",
		"0",
		"-1.5e+3",
		"\"\\u00e9\\ud83d\\ude00\"",
		"null",
		"{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
		"[1,2,[3,{}]]",
		"true\n",
	};
	static const char *const bad[] = {
		"",
		"{",
		"[1,]",
		"{\"a\":1,}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":1,\"\\u0061\":2}",
		"01",
		"1.",
		".5",
		"+1",
		"1e",
		"NaN",
		"{'a':1}",
		"[1] [2]",
		"\xef\xbb\xbf{}",
		"\"\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"\\u0000\"",
		"\"\\x\"",
		"\"a\nb\"",
		"\"\xff\"",
		"\"\xc0\xaf\"",
		"\"\xed\xa0\x80\"",
		"{a:1}",
		"// x\n1",
		"[1 2]",
		"{\"a\" 1}",
		"]",
		"tru",
		"{\"a\":1]",
		"\"\\",
		"\"\\u12",
	};
	static char deep[400];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (json_check(slice_str(good[i])) != 0)
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (json_check(slice_str(bad[i])) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	memset(deep, '[', 200);
	memset(deep + 200, ']', 200);
	assert_int_equal(json_check(slice_of(deep, 400)), -EBADMSG);
	assert_int_equal(json_check(slice_of(deep + 200 - 60, 120)), 0);
	deep[200] = '1';
	memset(deep + 201, ']', 60);
	assert_int_equal(json_check(slice_of(deep + 140, 121)), 0);
}

static void test_json_members(void **state)
{
	struct slice text = SLICE(" {\"x\":[1,{\"query\":0}], \"qu\\u0065ry\" : \"a\\nb\" }"), s;
	struct arena a;

	arena_init(&a, 4096);
	assert_int_equal(json_check(text), 0);
	assert_int_equal(http_json_string(json_member(text, "query"), &a, &s), 1);
	assert_true(slice_eq(s, SLICE("a\nb")));
	assert_null(json_member(text, "none").ptr);
	assert_null(json_member(json_member(text, "x"), "query").ptr);
	arena_done(&a);
}

/* Keys without end: refused by number, not by memory or time. */
static void test_json_many_keys(void **state)
{
	static char text[1 << 20];
	size_t n = 1;

	text[0] = '{';
	for (unsigned i = 0; n < sizeof(text) - 32; i++)
		n += (size_t)snprintf(text + n, 32, "%s\"k%u\":0", i ? "," : "", i);
	text[n++] = '}';
	assert_int_equal(json_check(slice_of(text, n)), -EBADMSG);
}

static void test_graphql(void **state)
{
	static const struct {
		const char *doc, *operation, *want;
	} cases[] = {
		{ "{ a b: c }", "", "query : a c" },
		{ "query Q($x: [Int!]! = [1] @d) @e(f: {g: $x}) { a(b: \"}\", c: \"\"\"\"}\"\"\") "
		  "{ d } }",
		  "", "query Q: a" },
		{ "mutation M { x: deleteUser(id: 3) { ok } }", "", "mutation M: deleteUser" },
		{ "subscription { s }", "", "subscription : s" },
		{ "query A { a } mutation B { b }", "B", "mutation B: b" },
		{ "query A { a } mutation B { b }", "A", "query A: a" },
		{ "query A { a } mutation B { b }", "", NULL },
		{ "query A { a } mutation B { b }", "C", NULL },
		{ "{ a } { b }", "", NULL },
		{ "{ ...F ... on T { y } ... @i { z } } fragment F on T { x ...G } fragment G on T "
		  "{ w ...F }",
		  "", "query : y z x w" },
		{ "{ ...F }", "", NULL },
		{ "fragment F on T { x }", "", NULL },
		{ "# c\n\xef\xbb\xbf{,a,,b}", "", "query : a b" },
		{ "{ a", "", NULL },
		{ "{ }", "", NULL },
		{ "{ a } x", "", NULL },
		{ "query { a(b: 1x) }", "", NULL },
		{ "type T { a: Int }", "", NULL },
		{ "{ a(b: \"\\\"\") }", "", "query : a" },
		{ "{ a(b: \"x\ny\") }", "", NULL },
		{ "SELECT 1", "", NULL },
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char got[256];
		struct graphql g;
		int n, r;

		arena_reset(&a);
		r = graphql_parse(slice_str(cases[i].doc), slice_str(cases[i].operation), &a, &g);
		if ((r == 0) != (cases[i].want != NULL))
			fail_msg("%s: %d", cases[i].doc, r);
		if (r < 0)
			continue;
		n = snprintf(got, sizeof(got), "%s %.*s:", graphql_type_names[g.type],
			     SLICE_FMT(g.name));
		for (size_t k = 0; k < g.n_fields; k++)
			n += snprintf(got + n, sizeof(got) - (size_t)n, " %.*s",
				      SLICE_FMT(g.fields[k]));
		assert_string_equal(got, cases[i].want);
	}
	arena_done(&a);
}

static void test_graphql_is_bounded(void **state)
{
	static char text[200000];
	struct arena a;
	struct graphql g;

	arena_init(&a, 1 << 20);
	memset(text, '{', sizeof(text));
	assert_true(graphql_parse(slice_of(text, sizeof(text)), SLICE_NONE, &a, &g) < 0);
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "{a", 2);
	assert_int_equal(graphql_parse(slice_of(text, sizeof(text)), SLICE_NONE, &a, &g),
			 -EMSGSIZE);
	memset(text, '[', sizeof(text));
	memcpy(text, "{a(b:", 5);
	assert_int_equal(graphql_parse(slice_of(text, sizeof(text)), SLICE_NONE, &a, &g),
			 -EMSGSIZE);
	arena_done(&a);
}

static void test_pairs(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		bool ambiguous;
	} cases[] = {
		{ "a=b&c=%20d+e&f&&=g", 4, false },
		{ "a=%zz", 1, true },
		{ "a=%", 1, true },
		{ "a=1;b=2", 1, true },
		{ "a=%ff", 1, true },
		{ "a=%00", 1, true },
		{ "a=%C3%A9", 1, false },
		{ "a=%c0%af", 1, true },
		{ "", 0, false },
	};
	struct arena a;

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ambiguous = false, twice = false;
		struct op_query *q;
		size_t n;

		assert_int_equal(http_pairs_parse(slice_str(cases[i].text), &a, &q, &n, &ambiguous),
				 0);
		assert_int_equal(n, cases[i].n);
		assert_int_equal(ambiguous, cases[i].ambiguous);
		if (i == 0) {
			assert_true(slice_eq(http_pairs_get(q, n, "c", &twice), SLICE(" d e")));
			assert_non_null(http_pairs_get(q, n, "f", &twice).ptr);
			assert_false(twice);
		}
	}
	arena_done(&a);
}

static size_t pack(const void *in, size_t len, int bits, uint8_t *out, size_t size)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in,
		       .avail_in = (uInt)len,
		       .next_out = out,
		       .avail_out = (uInt)size };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	(void)deflateEnd(&z); /* all was written */
	return size - z.avail_out;
}

static void test_inflate(void **state)
{
	static uint8_t zeros[1 << 20], packed[8192];
	struct buf out;
	size_t n;

	buf_init(&out, 65536);
	n = pack("{\"a\":1}", 7, 31, packed, sizeof(packed));
	assert_int_equal(http_inflate(CODING_GZIP, slice_of(packed, n), &out), 0);
	assert_true(slice_eq(buf_peek(&out), SLICE("{\"a\":1}")));
	assert_int_equal(http_inflate(CODING_GZIP, slice_of(packed, n - 1), &out), -EBADMSG);
	assert_int_equal(http_inflate(CODING_GZIP, slice_of(packed, n + 1), &out), -EBADMSG);
	assert_int_equal(http_inflate(CODING_DEFLATE, slice_of(packed, n), &out), -EBADMSG);
	buf_clear(&out);
	n = pack("x", 1, 15, packed, sizeof(packed));
	assert_int_equal(http_inflate(CODING_DEFLATE, slice_of(packed, n), &out), 0);
	/* A bomb stops at the maximum; what fills it to the last byte does not. */
	buf_clear(&out);
	n = pack(zeros, sizeof(zeros), 31, packed, sizeof(packed));
	assert_int_equal(http_inflate(CODING_GZIP, slice_of(packed, n), &out), -EMSGSIZE);
	assert_true(buf_len(&out) <= 65536);
	buf_clear(&out);
	n = pack(zeros, 65536, 31, packed, sizeof(packed));
	assert_int_equal(http_inflate(CODING_GZIP, slice_of(packed, n), &out), 0);
	assert_int_equal(buf_len(&out), 65536);
	buf_done(&out);
}

/* ---- through the handler ---- */

struct asked {
	struct proto *p;
	const struct op *op;
};

static struct asked ask(const char *request, size_t len, const struct proto_peer *peer)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct proto_event ev;
	struct parse_err err;
	struct asked a;
	size_t used;

	assert_int_equal(proto_http.create(&lim, NULL, &a.p), 0);
	if (peer)
		assert_int_equal(proto_http.tell_peer(a.p, peer), 0);
	assert_int_equal(proto_http.feed(a.p, DIR_TO_SERVER, slice_of(request, len), &used, &err),
			 0);
	assert_int_equal(proto_http.next(a.p, &ev), 1);
	assert_int_equal(ev.type, PROTO_OP);
	a.op = ev.op;
	return a;
}

static void test_headers_and_query(void **state)
{
	static const char request[] =
		"GET /?a=b%20c&d HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nX-TWO: 2\r\n"
		"Authorization: Bearer s3cret\r\n\r\n";
	struct asked a = ask(request, sizeof(request) - 1, NULL);

	assert_int_equal(a.op->n_headers, 4);
	assert_true(slice_eq(a.op->headers[1].name, SLICE("x-two")));
	assert_true(slice_eq(a.op->headers[2].name, SLICE("x-two")));
	assert_true(slice_eq(a.op->headers[2].value, SLICE("2")));
	assert_true(slice_eq(a.op->headers[3].name, SLICE("authorization")));
	assert_int_equal(a.op->headers[3].value.len, 0);
	assert_int_equal(a.op->n_queries, 2);
	assert_true(slice_eq(a.op->queries[0].value, SLICE("b c")));
	assert_true(slice_eq(a.op->query, SLICE("a=b%20c&d")));
	assert_null(op_attr_find(a.op, "host_checked")); /* nobody has said who it is */
	a.p = proto_http.free(a.p);
}

static void test_host_is_checked(void **state)
{
	static const struct {
		const char *host;
		bool checked;
	} cases[] = {
		{ "10.1.2.3", true },          { "10.1.2.3:80", true }, { "10.1.2.3:81", false },
		{ "10.1.2.4", false },         { "DB.internal", true }, { "db.internal.:80", true },
		{ "evil.com", false },         { "b", true },           { "db", false },
		{ "[::ffff:10.1.2.3]", true },
	};
	struct slice names[] = { SLICE("db.internal"), SLICE(""), SLICE("b") };
	struct proto_peer peer = { .addr = addr_v4(htonl(0x0a010203), htons(80)),
				   .names = names,
				   .n_names = ARRAY_SIZE(names) };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char request[128];
		const struct op_attr *attr;
		struct asked a;
		int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
				 cases[i].host);

		a = ask(request, (size_t)n, &peer);
		attr = op_attr_find(a.op, "host_checked");
		assert_non_null(attr);
		if (attr->b != cases[i].checked)
			fail_msg("%s", cases[i].host);
		a.p = proto_http.free(a.p);
	}
}

/* A cloud's API takes the place of the method's meaning only when it really is that cloud. */
static void test_effects_shrink_only_for_the_real_cloud(void **state)
{
	static const char request[] = "POST / HTTP/1.1\r\nHost: kms.amazonaws.com\r\n"
				      "X-Amz-Target: TrentService.DescribeKey\r\n\r\n";
	struct slice names[] = { SLICE("kms.amazonaws.com") };
	struct proto_peer peer = { .addr = addr_v4(htonl(0x0a010203), htons(80)),
				   .names = names,
				   .n_names = 1 };
	struct asked a = ask(request, sizeof(request) - 1, &peer);

	assert_int_equal(a.op->effects, OP_READ);
	a.p = proto_http.free(a.p);
	peer.n_names = 0;
	a = ask(request, sizeof(request) - 1, &peer);
	assert_int_equal(a.op->effects, OP_READ | OP_WRITE);
	a.p = proto_http.free(a.p);
}

static void test_bodies(void **state)
{
	static const struct {
		const char *type, *body;
		uint32_t effects;
		bool shown;
	} cases[] = {
		{ "application/json", "{\"a\":1}", OP_READ | OP_WRITE, true },
		{ "application/vnd.x+json; charset=UTF-8", "[]", OP_READ | OP_WRITE, true },
		{ "application/json; charset=utf-16", "[]", OP_READ | OP_WRITE | OP_UNKNOWN, true },
		{ "application/json", "{\"a\":1,\"a\":1}", OP_READ | OP_WRITE | OP_UNKNOWN, true },
		{ "application/json\r\nContent-Type: text/plain", "[]",
		  OP_READ | OP_WRITE | OP_UNKNOWN, true },
		{ "application/json\r\nContent-Encoding: br", "[]", OP_READ | OP_WRITE | OP_UNKNOWN,
		  false },
		{ "application/json\r\nContent-Encoding: gzip", "[]",
		  OP_READ | OP_WRITE | OP_UNKNOWN, false },
		{ "application/x-www-form-urlencoded", "a=b", OP_READ | OP_WRITE, true },
		{ "application/x-www-form-urlencoded", "a=%zz", OP_READ | OP_WRITE | OP_UNKNOWN,
		  true },
		{ "text/plain", " {\"a\":1}", OP_READ | OP_WRITE, true },
		{ "text/plain", "hello", OP_READ | OP_WRITE, false },
		{ "application/octet-stream", "{\"a\":1}", OP_READ | OP_WRITE, false },
		{ "application/graphql", "{ a }", OP_READ, true },
		{ "application/json", "{\"query\":\"{ a }\"}", OP_READ, true },
		{ "application/json", "[{\"query\":\"{ a }\"},{\"query\":\"mutation { b }\"}]",
		  OP_READ | OP_WRITE, true },
		{ "application/json", "[{\"query\":\"{ a }\"},{\"query\":\"{\"}]",
		  OP_READ | OP_WRITE | OP_UNKNOWN, true },
		{ "application/json", "{\"query\":\"{ a\"}", OP_READ | OP_WRITE | OP_UNKNOWN,
		  true },
		{ "application/json",
		  "{\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"x\"}}}",
		  OP_READ | OP_WRITE | OP_UNKNOWN, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool graphql = strstr(cases[i].body, "query") || strstr(cases[i].type, "graphql") ||
			       strstr(cases[i].body, "persisted");
		char request[512];
		struct asked a;
		int n = snprintf(request, sizeof(request),
				 "POST /%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n"
				 "Content-Type: %s\r\n\r\n%s",
				 graphql ? "graphql" : "", strlen(cases[i].body), cases[i].type,
				 cases[i].body);

		a = ask(request, (size_t)n, NULL);
		if (a.op->effects != cases[i].effects ||
		    cases[i].shown != slice_eq_str(a.op->body, cases[i].body))
			fail_msg("%s %s: effects %#x, body %zu", cases[i].type, cases[i].body,
				 a.op->effects, a.op->body.len);
		a.p = proto_http.free(a.p);
	}
}

/* Every allocation on the way may fail; the harness looks at all chunkings as well. */
static void test_no_memory(void **state)
{
	static uint8_t text[1024];
	static struct harness_step step;
	struct harness_script s = { .class = &proto_http, .steps = &step, .n_steps = 1 };
	static const char head[] = "POST /graphql?x=%41 HTTP/1.1\r\nHost: iam.amazonaws.com\r\n"
				   "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	static const char body[] = "{\"qu\\u0065ry\":\"{ a\\n...F } fragment F on T { b }\"}";
	uint8_t packed[256];
	size_t n = pack(body, sizeof(body) - 1, 31, packed, sizeof(packed)), len;

	len = (size_t)snprintf((char *)text, sizeof(text), "%s%zx\r\n", head, n);
	memcpy(text + len, packed, n);
	memcpy(text + len + n, "\r\n0\r\n\r\n", 7);
	step = (struct harness_step){ DIR_TO_SERVER, slice_of(text, len + n + 7), false };
	assert_int_equal(harness_check(&s), 0);
	alloc_fail_each(harness_alloc_scenario, &s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_members),
		cmocka_unit_test(test_json_many_keys),
		cmocka_unit_test(test_graphql),
		cmocka_unit_test(test_graphql_is_bounded),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_inflate),
		cmocka_unit_test(test_headers_and_query),
		cmocka_unit_test(test_host_is_checked),
		cmocka_unit_test(test_effects_shrink_only_for_the_real_cloud),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
