// SPDX-License-Identifier: Apache-2.0
/*
 * llhttp's own cases, in the Markdown in which its authors publish them. Each is played to the
 * handler; where llhttp refuses in its strict mode, Weir must refuse, but for the few cases listed
 * below; where llhttp accepts and Weir refuses, it must be for one of the reasons that
 * docs/protocols/http.md gives. Skips (77) where the corpus is absent.
 */
#include "support/test.h"

#include <ctype.h>
#include <stdio.h>

#include "proto/http/http.h"
#include "support/proto_harness.h"

#define CORPUS "../shared/corpora/http1-framing/test/"

/* Rules by which Weir refuses more than llhttp does. */
static const char *const stricter[] = {
	"CONNECT with a body",
	"CR without LF in a chunk-size line",
	"CR without LF",
	"HTTP version other than 1.0 and 1.1",
	"Host differs from the target", /* the Host that this test puts in */
	"LF without CR",
	"Transfer-Encoding other than chunked",
	"a body where none can be",
	"a trailer that frames, routes or authorises",
	"asterisk target without OPTIONS",
	"control character in a field value",
	"control character in the reason phrase",
	"empty line in place of a head",
	"folded field line",
	"malformed HTTP version",
	"malformed Host",
	"malformed authority in the target",
	"malformed chunk size",
	"malformed request target",
	"more than one Transfer-Encoding",
	"no CRLF behind a chunk's data",
	"refused by the second parser", /* the installed llhttp is older than the cases */
	"space before the colon",
};

/* Cases that llhttp refuses and Weir takes: file, heading, and why that is right. */
static const struct {
	const char *file, *title, *why;
} laxer[] = {
	{ "request/connection.md", "No restart when keep-alive is off (1.0)",
	  "what follows the last request is never taken" },
	{ "request/connection.md", "CRLF between requests, explicit `close`",
	  "what follows the last request is never taken" },
	{ "request/connection.md", "CRLF between requests, explicit `close` followed by tab",
	  "what follows the last request is never taken" },
	{ "request/invalid.md", "HTTP protocol and ANNOUNCE method",
	  "an unknown method is an operation of unknown effect" },
	{ "request/invalid.md", "Invalid method",
	  "an unknown method is an operation of unknown effect" },
	{ "response/connection.md", "HTTP/1.1 with keep-alive disabled and 204 status",
	  "what follows the last response is dropped" },
	{ "response/connection.md", "HTTP/1.1 with keep-alive disabled, content-length",
	  "what follows the last response is dropped" },
};

static unsigned n_cases, n_both_accept, n_both_refuse, n_stricter, n_laxer, n_bad;

static bool in_list(const char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], s) == 0)
			return true;
	return false;
}

static int hex(int c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* A code block's text as the message that it stands for: newlines are CRLF, a backslash before one
 * hides it, and there are escapes. out has room for 2 * in.len. */
static size_t message_of(struct slice in, uint8_t *out)
{
	size_t n = 0;

	if (in.len && in.ptr[in.len - 1] == '\n')
		in.len--;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i], e = i + 1 < in.len ? in.ptr[i + 1] : 0;

		if (c == '\n') {
			out[n++] = '\r';
			out[n++] = '\n';
			continue;
		}
		if (c != '\\') {
			out[n++] = c;
			continue;
		}
		i++;
		switch (e) {
		case '\n': break;
		case 'r': out[n++] = '\r'; break;
		case 'n': out[n++] = '\n'; break;
		case 't': out[n++] = '\t'; break;
		case 'f': out[n++] = '\f'; break;
		case 'x':
			if (i + 2 < in.len && hex(in.ptr[i + 1]) >= 0 && hex(in.ptr[i + 2]) >= 0) {
				out[n++] = (uint8_t)(hex(in.ptr[i + 1]) << 4 | hex(in.ptr[i + 2]));
				i += 2;
				break;
			}
			/* fall through */
		default: out[n++] = '\\'; i--;
		}
	}
	return n;
}

/* llhttp asks for no Host; with one in each head the case says something about the rest. */
static size_t add_hosts(struct slice in, uint8_t *out)
{
	static const char mark[] = " HTTP/1.1\r\n";
	size_t n = 0;

	while (in.len) {
		const uint8_t *at = memmem(in.ptr, in.len, mark, sizeof(mark) - 1), *end;
		struct slice head;
		bool has = false;

		if (!at)
			break;
		at += sizeof(mark) - 1;
		head = slice_from(in, (size_t)(at - in.ptr));
		end = memmem(head.ptr, head.len, "\r\n\r\n", 4);
		for (size_t i = 0; i + 5 < (end ? (size_t)(end - head.ptr) : head.len); i++)
			has |= (i == 0 || head.ptr[i - 1] == '\n') &&
			       slice_ieq(slice_of(head.ptr + i, 5), SLICE("host:"));
		memcpy(out + n, in.ptr, (size_t)(at - in.ptr));
		n += (size_t)(at - in.ptr);
		if (!has) {
			memcpy(out + n, "Host: h\r\n", 9);
			n += 9;
		}
		in = head;
	}
	memcpy(out + n, in.ptr, in.len);
	return n + in.len;
}

static void one_case(const char *file, const char *title, bool response, bool strict,
		     struct slice text, struct slice log)
{
	static const char upgrade[] =
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
	static const char eight[] =
		"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET /3 HTTP/1.1\r\nHost: h\r\n\r\nGET /4 HTTP/1.1\r\nHost: h\r\n\r\n";
	uint8_t *plain = malloc(2 * text.len + 1), *msg = malloc(4 * text.len + 64);
	struct harness_step steps[2];
	struct harness_script s = { .class = &proto_http, .steps = steps, .partial = true };
	struct harness_run r;
	const char *code = memmem(log.ptr, log.len, "error code=", 11);
	bool refuses =
		code && strncmp(code + 11, "21 ", 3) != 0 && strncmp(code + 11, "22 ", 3) != 0;
	size_t n;

	assert_true(plain && msg);
	n = message_of(text, plain);
	n_cases++;
	if (response) {
		bool up = memmem(plain, n, " 101 ", 5) != NULL;

		memcpy(msg, plain, n);
		steps[s.n_steps++] = (struct harness_step){
			DIR_TO_SERVER,
			up ? slice_of(upgrade, sizeof(upgrade) - 1)
			   : slice_of(eight, sizeof(eight) - 1),
			false,
		};
	} else {
		n = add_hosts(slice_of(plain, n), msg);
	}
	steps[s.n_steps++] = (struct harness_step){ response ? DIR_TO_CLIENT : DIR_TO_SERVER,
						    slice_of(msg, n), refuses };
	harness_run_init(&r);
	assert_int_equal(harness_run(&s, &(struct harness_mode){ 0 }, &r), 0);
	if (harness_check_quick(&s) < 0)
		n_bad++;
	if (r.error && refuses) {
		n_both_refuse++;
	} else if (!r.error && !refuses) {
		n_both_accept++;
	} else if (r.error) {
		n_stricter++;
		if (!in_list(stricter, ARRAY_SIZE(stricter), r.err.rule)) {
			fprintf(stderr, "%s: %s: refused for \"%s\", llhttp takes it\n", file,
				title, r.err.rule);
			n_bad++;
		}
	} else if (strict) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(laxer); i++)
			known |= strcmp(file, laxer[i].file) == 0 &&
				 strcmp(title, laxer[i].title) == 0;
		n_laxer++;
		if (!known) {
			const char *nl = memchr(code, '\n',
						(size_t)((const char *)log.ptr + log.len - code));

			fprintf(stderr, "%s: %s: taken, llhttp refuses: %.*s\n", file, title,
				(int)(nl ? nl - code : 20), code);
			n_bad++;
		}
	}
	harness_run_done(&r);
	free(plain);
	free(msg);
}

/* The block that begins with "```KIND\n" at or after *at: its text, and *at moved behind it. */
static bool block(struct slice md, const char *kind, size_t *at, struct slice *ret)
{
	char fence[16];
	const uint8_t *from, *to;

	snprintf(fence, sizeof(fence), "```%s\n", kind);
	from = memmem(md.ptr + *at, md.len - *at, fence, strlen(fence));
	if (!from)
		return false;
	from += strlen(fence);
	to = memmem(from, (size_t)(md.ptr + md.len - from), "```", 3);
	if (!to)
		return false;
	*ret = slice_of(from, (size_t)(to - from));
	*at = (size_t)(to + 3 - md.ptr);
	return true;
}

static void one_file(const char *file)
{
	char path[512], title[256] = "";
	struct slice md, text, log;
	size_t at = 0, len;
	uint8_t *mem;

	snprintf(path, sizeof(path), CORPUS "%s", file);
	mem = harness_file_read(path, &len);
	if (!mem) {
		fprintf(stderr, "skipped: %s is absent\n", path);
		exit(77);
	}
	md = slice_of(mem, len);
	for (;;) {
		const uint8_t *meta = memmem(md.ptr + at, md.len - at, "<!-- meta=", 10), *type,
			      *end;
		const uint8_t *h, *scan = md.ptr + at;

		if (!meta)
			break;
		while ((h = memmem(scan, (size_t)(meta - scan), "\n#", 2))) {
			const uint8_t *nl;

			while (*++h == '#')
				;
			nl = memchr(h, '\n', (size_t)(md.ptr + md.len - h));
			snprintf(title, sizeof(title), "%.*s", (int)(nl - h - 1), h + 1);
			scan = nl;
		}
		at = (size_t)(meta - md.ptr);
		end = memmem(meta, md.len - at, "-->", 3);
		type = memmem(meta, (size_t)(end - meta), "\"type\"", 6);
		if (!block(md, "http", &at, &text) || !block(md, "log", &at, &log))
			break;
		/* skipBody is llhttp's word for HEAD; url cases are no messages. */
		if (!type || memmem(meta, (size_t)(end - meta), "skipBody", 8))
			continue;
		one_case(file, title, memmem(type, (size_t)(end - type), "\"response", 9) != NULL,
			 memmem(type, (size_t)(end - type), "lenient", 7) == NULL, text, log);
	}
	free(mem);
}

static void test_corpus(void **state)
{
	static const char *const files[] = {
		"request/connection.md",
		"request/content-length.md",
		"request/finish.md",
		"request/invalid.md",
		"request/lenient-headers.md",
		"request/lenient-version.md",
		"request/method.md",
		"request/pausing.md",
		"request/pipelining.md",
		"request/sample.md",
		"request/transfer-encoding.md",
		"request/uri.md",
		"request/lenient-header-value-relaxed.md",
		"response/connection.md",
		"response/content-length.md",
		"response/finish.md",
		"response/invalid.md",
		"response/lenient-version.md",
		"response/pausing.md",
		"response/pipelining.md",
		"response/sample.md",
		"response/transfer-encoding.md",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		one_file(files[i]);
	printf("%u cases: both accept %u, both refuse %u, Weir stricter %u, laxer %u\n", n_cases,
	       n_both_accept, n_both_refuse, n_stricter, n_laxer);
	assert_true(n_cases > 200);
	assert_int_equal(n_bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
