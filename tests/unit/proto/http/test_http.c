// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdio.h>

#include "proto/http/http.h"
#include "support/proto_harness.h"

#define H "Host: h\r\n"
#define OK_REQUEST "GET / HTTP/1.1\r\n" H "\r\n"

static void test_golden(void **state)
{
	assert_int_equal(harness_golden(&proto_http, "tests/golden/http"), 0);
}

static void test_seeds(void **state)
{
	assert_int_equal(harness_seeds(&proto_http, "tests/golden/http", "tests/fuzz/corpus/http"),
			 0);
}

/* Each is one whole request; status 0 = taken, nothing else would be. */
static const struct {
	unsigned status;
	const char *text;
	size_t len;
} requests[] = {
#define R(status, text)                        \
	{                                      \
		status, text, sizeof(text) - 1 \
	}
	R(0, OK_REQUEST),
	R(0, "\r\n" OK_REQUEST),
	R(0, "GET / HTTP/1.0\r\n\r\n"),
	R(0, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
	R(0, "GET / HTTP/1.1\r\nhOsT:h\r\nX:\t a b \t\r\n\r\n"),
	R(0, "GET http://h/x?y HTTP/1.1\r\n" H "\r\n"),
	R(0, "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
	R(0, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n0;a=\"b;\\\"\";c\r\n\r\n"),
	R(0, "X-Y_Z /{}|^ HTTP/1.1\r\n" H "\r\n"),
	R(400, "\r\n\r\n" OK_REQUEST),
	R(400, "GET / HTTP/1.1\n" H "\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "\n"),
	R(400, "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\r\n" H "\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "X\x80: a\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H H "\r\n"),
	R(400, "GET / HTTP/1.1\r\nHost: \r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	R(400, "GET  / HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET /  HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET / HTTP/1.1 \r\n" H "\r\n"),
	R(400, "GET\t/ HTTP/1.1\r\n" H "\r\n"),
	R(400, " GET / HTTP/1.1\r\n" H "\r\n"),
	R(400, "G(T / HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET /\x80 HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET /a#b HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET x HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET * HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET http://other/ HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET http://u@h/ HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET ftp://h/ HTTP/1.1\r\n" H "\r\n"),
	R(400, "GET /\r\n\r\n"),
	R(400, "GET / http/1.1\r\n" H "\r\n"),
	R(400, "GET / HTTP/1.10\r\n" H "\r\n"),
	R(505, "GET / HTTP/1.2\r\n" H "\r\n"),
	R(505, "GET / HTTP/0.9\r\n" H "\r\n"),
	R(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	R(400, "\x16\x03\x01\x02"),
	R(400, "CONNECT h HTTP/1.1\r\n" H "\r\n"),
	R(400, "CONNECT h:1 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\nx"),
	R(400, "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\nx"),
	R(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	R(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"),
	R(501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
	R(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	       "chunked\r\n\r\n"),
	R(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \r\n\r\n"),
	R(400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n"),
	R(400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
	R(400, "POST / HTTP/1.1\r\n" H "Connection: close, Content-Length\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "Connection: a b\r\n\r\n"),
	R(400, "GET / HTTP/1.1\r\n" H "Upgrade: a\r\nUpgrade: b\r\n\r\n"),
#define C "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	R(0, C "0a\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
	R(400, C "\r\n"),
	R(400, C "g\r\n"),
	R(400, C "-1\r\n"),
	R(400, C "0x1\r\n"),
	R(400, C "1 \r\nx\r\n"),
	R(400, C " 1\r\nx\r\n"),
	R(400, C "1\nx\r\n"),
	R(400, C "1\r\nxy\r\n"),
	R(400, C "1\r\nx\n"),
	R(400, C "1\r\nx\rX"),
	R(400, C "8000000000000000\r\nx\r\n"),
	R(400, C "00000000000000001\r\nx\r\n"),
	R(400, C "1;a\nb\r\nx\r\n"),
	R(400, C "1;\r\nx\r\n"),
	R(400, C "1;a=\"b\r\nx\r\n"),
	R(400, C "1;a=\x80\r\nx\r\n"),
	R(400, C "0\r\nContent-Length: 1\r\n\r\n"),
	R(400, C "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	R(400, C "0\r\nHost: x\r\n\r\n"),
	R(400, C "0\r\nX : y\r\n\r\n"),
	R(400, C "0\r\n X: y\r\n\r\n"),
	R(400, C "0\r\nX: y\n\r\n"),
#undef C
#undef R
};

static void one_request(size_t i)
{
	struct harness_step step = { DIR_TO_SERVER, slice_of(requests[i].text, requests[i].len),
				     false };
	struct harness_script s = { .class = &proto_http, .steps = &step, .n_steps = 1 };
	struct harness_run r;
	struct slice out;
	char line[32];

	harness_run_init(&r);
	assert_int_equal(harness_run(&s, &(struct harness_mode){ 0 }, &r), 0);
	out = buf_peek(&r.out[DIR_TO_CLIENT]);
	if (requests[i].status) {
		snprintf(line, sizeof(line), "HTTP/1.1 %u ", requests[i].status);
		if (!r.error || !slice_has_prefix(out, slice_str(line)) || !r.ended)
			fail_msg("request %zu %s: %.*s", i, requests[i].text,
				 SLICE_FMT(buf_peek(&r.log)));
		/* Of a bad head nothing reaches the server; a bad body's head is out already. */
		if (!r.n_ops)
			assert_int_equal(buf_len(&r.out[DIR_TO_SERVER]), 0);
	} else if (r.error || buf_len(&r.out[DIR_TO_SERVER]) != requests[i].len) {
		fail_msg("request %zu %s: %.*s", i, requests[i].text, SLICE_FMT(buf_peek(&r.log)));
	}
	harness_run_done(&r);
	assert_int_equal(harness_check(&s), 0);
}

static void test_requests(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		one_request(i);
}

/* Responses to a GET. */
static const struct {
	bool taken;
	const char *text;
	size_t len;
} responses[] = {
#define R(taken, text)                        \
	{                                     \
		taken, text, sizeof(text) - 1 \
	}
	R(true, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
	R(true, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
	R(true, "HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\nContent-Length: 0\r\n\r\n"),
	R(true, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"),
	R(true,
	  "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	R(true, "HTTP/1.0 200 OK\r\n\r\nuntil close"),
	R(false, "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
	R(false, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	R(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
	R(false, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	R(false, "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
	R(false, "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"),
	R(false, "HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n"),
	R(false, "HTTP/2.0 200 OK\r\n\r\n"),
	R(false, "HTTP/1.1  200 OK\r\n\r\n"),
	R(false, "HTTP/1.1 20 OK\r\n\r\n"),
	R(false, "HTTP/1.1 2000 OK\r\n\r\n"),
	R(false, "HTTP/1.1 099 OK\r\n\r\n"),
	R(false, "ICY 200 OK\r\n\r\n"),
	R(false, "\r\nHTTP/1.1 200 OK\r\n\r\n"),
	R(false, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
	R(false, "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
	R(false, "HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n"),
	R(false, "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"),
#undef R
};

static void test_responses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(responses); i++) {
		struct harness_step steps[] = {
			{ DIR_TO_SERVER, SLICE(OK_REQUEST), false },
			{ DIR_TO_CLIENT, slice_of(responses[i].text, responses[i].len), false },
		};
		struct harness_script s = { .class = &proto_http, .steps = steps, .n_steps = 2 };
		struct harness_run r;
		bool told;

		harness_run_init(&r);
		assert_int_equal(harness_run(&s, &(struct harness_mode){ 0 }, &r), 0);
		told = slice_has_prefix(buf_peek(&r.out[DIR_TO_CLIENT]),
					SLICE("HTTP/1.1 502 Bad Gateway\r\n"));
		if (responses[i].taken != !r.error || responses[i].taken == told)
			fail_msg("response %zu %s: %.*s", i, responses[i].text,
				 SLICE_FMT(buf_peek(&r.log)));
		harness_run_done(&r);
		assert_int_equal(harness_check(&s), 0);
	}
}

static void run(struct harness_script *s, struct harness_run *r)
{
	harness_run_init(r);
	assert_int_equal(harness_check_quick(s), 0);
	assert_int_equal(harness_run(s, &(struct harness_mode){ 0 }, r), 0);
}

static bool logged(const struct harness_run *r, const char *text)
{
	return memmem(buf_peek(&r->log).ptr, buf_len(&r->log), text, strlen(text)) != NULL;
}

static bool sent(const struct harness_run *r, enum dir d, const char *text)
{
	return buf_len(&r->out[d]) &&
	       memmem(buf_peek(&r->out[d]).ptr, buf_len(&r->out[d]), text, strlen(text)) != NULL;
}

static void test_head_limit(void **state)
{
	static uint8_t text[4000];
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct harness_step step = { DIR_TO_SERVER, slice_of(text, sizeof(text)), false };
	struct harness_script s = {
		.class = &proto_http, .limits = &lim, .steps = &step, .n_steps = 1
	};
	struct harness_run r;

	lim.head_max = 1000;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	run(&s, &r);
	assert_int_equal(r.error, -EMSGSIZE);
	assert_int_equal(r.err.offset, 1000);
	assert_true(sent(&r, DIR_TO_CLIENT, "HTTP/1.1 414 "));
	harness_run_done(&r);
	memcpy(text, OK_REQUEST, sizeof(OK_REQUEST) - 3);
	text[sizeof(OK_REQUEST) - 3] = 'X';
	text[sizeof(OK_REQUEST) - 2] = ':';
	run(&s, &r);
	assert_int_equal(r.error, -EMSGSIZE);
	assert_true(sent(&r, DIR_TO_CLIENT, "HTTP/1.1 431 "));
	assert_int_equal(buf_len(&r.out[DIR_TO_SERVER]), 0);
	harness_run_done(&r);
}

/* A body far larger than every buffer goes through, is counted, and is recorded up to the limit. */
static void test_bounds(void **state)
{
	static uint8_t req[200000], resp[300000];
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct harness_step steps[] = {
		{ DIR_TO_SERVER, slice_of(req, sizeof(req)), false },
		{ DIR_TO_CLIENT, slice_of(resp, sizeof(resp)), false },
	};
	struct harness_script s = {
		.class = &proto_http, .limits = &lim, .steps = steps, .n_steps = 2
	};
	struct harness_run r;
	int n;

	lim.head_max = 512;
	lim.out_max = 2048;
	lim.record_max = 100;
	memset(req, 'q', sizeof(req));
	memset(resp, 'r', sizeof(resp));
	n = snprintf((char *)req, sizeof(req),
		     "PUT / HTTP/1.1\r\n" H "Content-Length: %06u\r\n\r\n", 0);
	n = snprintf((char *)req, sizeof(req),
		     "PUT / HTTP/1.1\r\n" H "Content-Length: %06u\r\n\r\n",
		     (unsigned)sizeof(req) - (unsigned)n);
	req[n] = 'q';
	n = snprintf((char *)resp, sizeof(resp), "HTTP/1.1 200 OK\r\nContent-Length: %06u\r\n\r\n",
		     0);
	n = snprintf((char *)resp, sizeof(resp), "HTTP/1.1 200 OK\r\nContent-Length: %06u\r\n\r\n",
		     (unsigned)sizeof(resp) - (unsigned)n);
	resp[n] = 'r';
	run(&s, &r);
	assert_int_equal(r.error, 0);
	assert_int_equal(buf_len(&r.out[DIR_TO_SERVER]), sizeof(req));
	assert_int_equal(buf_len(&r.out[DIR_TO_CLIENT]), sizeof(resp));
	assert_true(r.peak_out[0] <= 2048 + 512 && r.peak_out[1] <= 2048 + 512);
	assert_true(logged(&r, "DATA 1 > 0+100 "));
	assert_true(logged(&r, "DATA 1 < 0+100 "));
	assert_false(logged(&r, "100+"));
	harness_run_done(&r);
}

static void test_many_small_chunks(void **state)
{
	static uint8_t text[60000];
	struct harness_step step = { DIR_TO_SERVER, slice_of(text, 0), false };
	struct harness_script s = { .class = &proto_http, .steps = &step, .n_steps = 1 };
	struct harness_run r;
	size_t n;

	n = (size_t)snprintf((char *)text, sizeof(text),
			     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 5000; i++) {
		memcpy(text + n, "1\r\nx\r\n", 6);
		n += 6;
	}
	memcpy(text + n, "0\r\n\r\n", 5);
	step.bytes.len = n + 5;
	run(&s, &r);
	assert_int_equal(r.error, 0);
	assert_int_equal(buf_len(&r.out[DIR_TO_SERVER]), n + 5);
	assert_true(logged(&r, "DATA 1 > 0+5000 "));
	harness_run_done(&r);
}

static void test_extensions_are_bounded(void **state)
{
	static uint8_t text[60000];
	struct harness_step step = { DIR_TO_SERVER, slice_of(text, 0), false };
	struct harness_script s = { .class = &proto_http, .steps = &step, .n_steps = 1 };
	struct harness_run r;
	size_t n;

	n = (size_t)snprintf((char *)text, sizeof(text),
			     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 500; i++) {
		memset(text + n, 'e', 100);
		memcpy(text + n, "1;", 2);
		memcpy(text + n + 100, "\r\nx\r\n", 5);
		n += 105;
	}
	step.bytes.len = n;
	run(&s, &r);
	assert_int_equal(r.error, -EBADMSG);
	assert_string_equal(r.err.rule, "too many chunk extensions");
	harness_run_done(&r);
}

/* No more requests are taken than the queue lets in; their answers let the rest go on. */
static void test_queue(void **state)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct harness_step steps[] = {
		{ DIR_TO_SERVER, SLICE(OK_REQUEST OK_REQUEST OK_REQUEST), false },
		{ DIR_TO_CLIENT, SLICE("HTTP/1.1 204 No\r\n\r\n"), false },
		{ DIR_TO_CLIENT, SLICE("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n"), false },
	};
	struct harness_script s = {
		.class = &proto_http, .limits = &lim, .steps = steps, .n_steps = 1
	};
	struct harness_run r;

	lim.queue_max = 2;
	run(&s, &r);
	assert_int_equal(r.n_ops, 2);
	assert_int_equal(r.left[DIR_TO_SERVER], sizeof(OK_REQUEST) - 1);
	harness_run_done(&r);
	s.n_steps = 3;
	assert_int_equal(harness_check(&s), 0);
	run(&s, &r);
	assert_int_equal(r.n_ops, 3);
	assert_true(logged(&r, "RESULT 3"));
	harness_run_done(&r);
}

static void test_denied_body_is_swallowed(void **state)
{
	static const unsigned deny[] = { 1 };
	struct harness_step steps[] = {
		{ DIR_TO_SERVER,
		  SLICE("PUT /s HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nsecret" OK_REQUEST),
		  false },
		{ DIR_TO_CLIENT, SLICE("HTTP/1.1 204 No\r\n\r\n"), false },
	};
	struct harness_script s = { .class = &proto_http,
				    .steps = steps,
				    .n_steps = 2,
				    .deny = deny,
				    .n_deny = 1,
				    .secret = SLICE("secret") };
	struct harness_run r;

	assert_int_equal(harness_check(&s), 0);
	run(&s, &r);
	assert_int_equal(r.error, 0);
	assert_true(slice_eq(buf_peek(&r.out[DIR_TO_SERVER]), SLICE(OK_REQUEST)));
	assert_true(sent(&r, DIR_TO_CLIENT, "\"message\":\"denied by the test\""));
	assert_false(sent(&r, DIR_TO_CLIENT, "Connection: close"));
	harness_run_done(&r);
	/* Too much to swallow: the connection ends. */
	steps[0].bytes = SLICE("PUT /s HTTP/1.1\r\n" H "Content-Length: 70000\r\n\r\nsecret");
	s.n_steps = 1;
	run(&s, &r);
	assert_true(r.ended && sent(&r, DIR_TO_CLIENT, "Connection: close"));
	harness_run_done(&r);
	/* HEAD is answered without a body. */
	steps[0].bytes = SLICE("HEAD /secret HTTP/1.1\r\n" H "\r\n");
	run(&s, &r);
	assert_true(sent(&r, DIR_TO_CLIENT, "\r\n\r\n"));
	assert_false(sent(&r, DIR_TO_CLIENT, "{"));
	harness_run_done(&r);
}

static void test_refusal_is_json(void **state)
{
	static const unsigned deny[] = { 1 };
	struct harness_step step = { DIR_TO_SERVER, SLICE(OK_REQUEST), false };
	struct harness_script s = { .class = &proto_http,
				    .steps = &step,
				    .n_steps = 1,
				    .deny = deny,
				    .n_deny = 1,
				    .rule = "a\"b\\c",
				    .message = "line\nbreak\r\nX-Injected: 1" };
	struct harness_run r;

	run(&s, &r);
	assert_true(sent(&r, DIR_TO_CLIENT,
			 "{\"error\":\"blocked by policy\",\"rule\":\"a\\\"b\\\\c\","
			 "\"message\":\"line\\u000abreak\\u000d\\u000aX-Injected: 1\"}"));
	harness_run_done(&r);
}

static void test_secrets_stay_out_of_the_text(void **state)
{
	struct harness_step step = {
		DIR_TO_SERVER,
		SLICE("GET / HTTP/1.1\r\n" H "authorization: Basic hunter2\r\nCookie: hunter2\r\n"
		      "X-Api-Key:hunter2\r\nProxy-Authorization: hunter2\r\nAccept: a\r\n\r\n"),
		false
	};
	struct harness_script s = { .class = &proto_http, .steps = &step, .n_steps = 1 };
	struct harness_run r;

	run(&s, &r);
	assert_false(logged(&r, "hunter2"));
	assert_true(logged(&r, "Cookie: ***\\r\\n"));
	assert_true(logged(&r, "auth \"Basic\""));
	assert_true(sent(&r, DIR_TO_SERVER, "X-Api-Key:hunter2\r\n"));
	harness_run_done(&r);
	/* A bare credential, and vendors' own names. */
	step.bytes = SLICE("GET / HTTP/1.1\r\n" H "Authorization: hunter2 x\r\n"
			   "PRIVATE-TOKEN: hunter2\r\nX-Client-Secret:hunter2\r\n"
			   "Ocp-Apim-Subscription-Key: hunter2\r\nConnection: keep-alive\r\n\r\n");
	run(&s, &r);
	assert_false(logged(&r, "hunter2"));
	assert_true(logged(&r, "auth \"other\""));
	assert_true(logged(&r, "Connection: keep-alive"));
	harness_run_done(&r);
}

/* What comes behind a request that may end HTTP waits for the answer, whatever that is. */
static void test_upgrade_refused_by_server(void **state)
{
	struct harness_step steps[] = {
		{ DIR_TO_SERVER,
		  SLICE("GET /ws HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
			"DELETE /hidden HTTP/1.1\r\n" H "\r\n"),
		  false },
		{ DIR_TO_CLIENT, SLICE("HTTP/1.1 426 Upgrade\r\nContent-Length: 2\r\n\r\nno"),
		  false },
	};
	struct harness_script s = { .class = &proto_http, .steps = steps, .n_steps = 1 };
	struct harness_run r;

	run(&s, &r);
	assert_int_equal(r.n_ops, 1);
	assert_false(sent(&r, DIR_TO_SERVER, "hidden"));
	harness_run_done(&r);
	s.n_steps = 2;
	assert_int_equal(harness_check(&s), 0);
	run(&s, &r);
	assert_true(logged(&r, "OP 2 http DELETE"));
	harness_run_done(&r);
}

static void test_websocket_faults(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum dir dir;
	} bad[] = {
		{ "\x83\x80"
		  "abcd",
		  6, DIR_TO_SERVER },              /* reserved opcode */
		{ "\x81\x01x", 3, DIR_TO_SERVER }, /* no mask */
		{ "\x81\x81"
		  "abcdx",
		  7, DIR_TO_CLIENT },                                /* a mask */
		{ "\x89\x7e\x00\x80", 4, DIR_TO_CLIENT },            /* long ping */
		{ "\x81\x7e\x00\x01x", 5, DIR_TO_CLIENT },           /* not minimal */
		{ "\x82\x7f\xff\0\0\0\0\0\0\0", 10, DIR_TO_CLIENT }, /* 2^63 and more */
		{ "\x80\x00", 2, DIR_TO_CLIENT },                    /* continues nothing */
		{ "\x01\x00\x81\x00", 4, DIR_TO_CLIENT },            /* interrupts a fragment */
		{ "\x88\x00\x89\x00", 4, DIR_TO_CLIENT },            /* behind a close */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct harness_step steps[] = {
			{ DIR_TO_SERVER,
			  SLICE("GET /ws HTTP/1.1\r\n" H
				"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
			  false },
			{ DIR_TO_CLIENT,
			  SLICE("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: "
				"WebSocket\r\n\r\n"),
			  false },
			{ bad[i].dir, slice_of(bad[i].text, bad[i].len), false },
		};
		struct harness_script s = { .class = &proto_http, .steps = steps, .n_steps = 3 };
		struct harness_run r;

		assert_int_equal(harness_check(&s), 0);
		run(&s, &r);
		assert_int_equal(r.error, -EBADMSG);
		harness_run_done(&r);
	}
}

static struct proto *fresh(void)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct proto *p;

	assert_int_equal(proto_http.create(&lim, NULL, &p), 0);
	return p;
}

static void feed(struct proto *p, enum dir d, const char *text)
{
	struct parse_err err;
	size_t used;

	assert_int_equal(proto_http.feed(p, d, slice_str(text), &used, &err), 0);
	assert_int_equal(used, strlen(text));
}

static void test_abort(void **state)
{
	struct verdict allow = { .kind = VERDICT_ALLOW };
	PROTO_CLEANUP struct proto *p = fresh();
	struct proto_event ev;

	/* The upstream cannot be reached, before any byte and with a request that waits. */
	proto_http.abort(p, 502, "no route");
	assert_true(
		slice_has_prefix(proto_http.peek_out(p, DIR_TO_CLIENT), SLICE("HTTP/1.1 502 ")));
	assert_int_equal(proto_http.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_END);
	assert_int_equal(proto_http.next(p, &ev), 0);
	p = proto_http.free(p);

	p = fresh();
	feed(p, DIR_TO_SERVER, OK_REQUEST);
	assert_int_equal(proto_http.next(p, &ev), 1);
	proto_http.abort(p, 503, "store \"full\"");
	assert_non_null(memmem(proto_http.peek_out(p, DIR_TO_CLIENT).ptr,
			       proto_http.peek_out(p, DIR_TO_CLIENT).len, "store \\\"full\\\"",
			       14));
	assert_int_equal(proto_http.decide(p, ev.op->id, &allow), 0);
	assert_int_equal(proto_http.peek_out(p, DIR_TO_SERVER).len, 0);
	p = proto_http.free(p);

	/* In the middle of a response there is nothing to say. */
	p = fresh();
	feed(p, DIR_TO_SERVER, OK_REQUEST);
	assert_int_equal(proto_http.next(p, &ev), 1);
	assert_int_equal(proto_http.decide(p, 99, &allow), -EPROTO);
	assert_int_equal(proto_http.decide(p, ev.op->id, &allow), 0);
	assert_int_equal(proto_http.decide(p, ev.op->id, &allow), -EPROTO);
	feed(p, DIR_TO_CLIENT, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
	proto_http.consume_out(p, DIR_TO_CLIENT, proto_http.peek_out(p, DIR_TO_CLIENT).len);
	proto_http.abort(p, 503, "store full");
	assert_int_equal(proto_http.peek_out(p, DIR_TO_CLIENT).len, 0);
	assert_int_equal(proto_http.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_RESULT);
	assert_true(ev.failed);
	assert_int_equal(proto_http.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_END);
}

static void test_sniff(void **state)
{
	assert_int_equal(proto_http.sniff(SLICE("G")), SNIFF_MORE);
	assert_int_equal(proto_http.sniff(SLICE("GET ")), SNIFF_YES);
	assert_int_equal(proto_http.sniff(SLICE("OPTIONS * H")), SNIFF_YES);
	assert_int_equal(proto_http.sniff(SLICE("BREW ")), SNIFF_MORE);
	assert_int_equal(proto_http.sniff(SLICE("BREW /pot")), SNIFF_YES);
	assert_int_equal(proto_http.sniff(SLICE("EHLO host")), SNIFF_NO);
	assert_int_equal(proto_http.sniff(SLICE("\x16\x03\x01")), SNIFF_NO);
	assert_int_equal(proto_http.sniff(SLICE("\0\0\0\x08\x04\xd2\x16\x2f")), SNIFF_NO);
	assert_int_equal(proto_http.sniff(SLICE("SSH-2.0-OpenSSH_9.2p1\r\n")), SNIFF_NO);
	assert_int_equal(proto_http.sniff(SLICE("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), SNIFF_NO);
}

static void test_no_memory(void **state)
{
	static const unsigned deny[] = { 3 };
	static const struct harness_step steps[] = {
		{ DIR_TO_SERVER,
		  SLICE("POST /a%2fb HTTP/1.1\r\nHost: UPPER\r\nCookie: x\r\n"
			"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n" OK_REQUEST
				OK_REQUEST),
		  false },
		{ DIR_TO_CLIENT,
		  SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
			"HTTP/1.1 101 unasked\r\n\r\n"),
		  false },
	};
	struct harness_script s = {
		.class = &proto_http, .steps = steps, .n_steps = 2, .deny = deny, .n_deny = 1
	};

	alloc_fail_each(harness_alloc_scenario, &s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_many_small_chunks),
		cmocka_unit_test(test_extensions_are_bounded),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_denied_body_is_swallowed),
		cmocka_unit_test(test_refusal_is_json),
		cmocka_unit_test(test_secrets_stay_out_of_the_text),
		cmocka_unit_test(test_upgrade_refused_by_server),
		cmocka_unit_test(test_websocket_faults),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_sniff),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
