// SPDX-License-Identifier: Apache-2.0
/*
 * policy/tables/cloud-requests.tsv: each line a request as the public API references have it, and what
 * it must be decoded to. With WEIR_GOLDEN_UPDATE=1 the right half is written anew: read the diff.
 */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/http/cloud.h"
#include "proto/http/path.h"
#include "proto/http/text.h"
#include "support/proto_harness.h"

#define TABLE "policy/tables/cloud-requests.tsv"

static struct slice take(struct slice *s, uint8_t sep)
{
	ptrdiff_t end = slice_chr(*s, sep);
	struct slice word = slice_head(*s, end < 0 ? s->len : (size_t)end);

	*s = slice_from(*s, word.len + 1);
	return word;
}

/* "GET host/path?query", and "form:a=b" or "header: value" beside it ("-" is neither). */
static void decode(struct slice request, struct slice extra, struct arena *a, struct buf *out)
{
	struct op_header header;
	struct op_query *pairs = NULL;
	struct cloud_request q = { .method = take(&request, ' ') };
	struct http_path path;
	struct cloud c;
	bool ambiguous = false;
	char effects[160];
	ptrdiff_t slash = slice_chr(request, '/');
	int r;

	assert_true(slash > 0);
	q.host = slice_head(request, (size_t)slash);
	assert_int_equal(http_path_parse(slice_from(request, (size_t)slash), a, &path), 0);
	assert_false(path.ambiguous);
	q.path = path.norm;
	assert_int_equal(http_pairs_parse(path.query, a, &pairs, &q.n_queries, &ambiguous), 0);
	q.queries = pairs;
	if (slice_has_prefix(extra, SLICE("form:"))) {
		assert_int_equal(
			http_pairs_parse(slice_from(extra, 5), a, &pairs, &q.n_form, &ambiguous),
			0);
		q.form = pairs;
	} else if (!slice_eq(extra, SLICE("-"))) {
		header.name = take(&extra, ':');
		header.value = slice_trim(extra);
		q.headers = &header;
		q.n_headers = 1;
	}
	assert_false(ambiguous);
	r = cloud_decode(&q, a, &c);
	assert_true(r >= 0);
	if (r == 0) {
		assert_int_equal(buf_put_str(out, "none"), 0);
		return;
	}
	op_effects_format(c.effects, effects, sizeof(effects));
#define OR(s) SLICE_FMT((s).len ? (s) : SLICE("-"))
	assert_int_equal(buf_printf(out, "%s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%s%s",
				    c.cloud, OR(c.service), OR(c.action), OR(c.resource),
				    OR(c.name), OR(c.subresource), OR(c.ns), OR(c.region),
				    OR(c.project), effects, c.secret ? " +secret" : ""),
			 0);
#undef OR
}

static void test_table(void **state)
{
	const char *update = getenv("WEIR_GOLDEN_UPDATE");
	struct slice text;
	struct buf all, got;
	unsigned lines = 0, bad = 0;
	struct arena a;
	uint8_t *mem;
	size_t len;

	mem = harness_file_read(TABLE, &len);
	assert_non_null(mem);
	text = slice_of(mem, len);
	buf_init(&all, 1 << 20);
	buf_init(&got, 1 << 16);
	arena_init(&a, 1 << 20);
	while (text.len) {
		struct slice line = take(&text, '\n'), rest = line, request, extra;

		assert_int_equal(buf_put_slice(&all, line), 0);
		if (line.len && line.ptr[0] != '#') {
			request = take(&rest, '\t');
			extra = take(&rest, '\t');
			buf_clear(&got);
			arena_reset(&a);
			decode(request, extra, &a, &got);
			buf_truncate(&all, buf_len(&all) - rest.len);
			if (!rest.len)
				assert_int_equal(buf_put_u8(&all, '\t'), 0);
			assert_int_equal(buf_put_slice(&all, buf_peek(&got)), 0);
			if (!slice_eq(rest, buf_peek(&got))) {
				fprintf(stderr, "%.*s\n  want %.*s\n  got  %.*s\n",
					SLICE_FMT(request), SLICE_FMT(rest),
					SLICE_FMT(buf_peek(&got)));
				bad++;
			}
			lines++;
		}
		assert_int_equal(buf_put_u8(&all, '\n'), 0);
	}
	if (bad && update && *update == '1') {
		FILE *f = fopen(TABLE, "we");

		assert_non_null(f);
		assert_int_equal(fwrite(buf_peek(&all).ptr, 1, buf_len(&all), f), buf_len(&all));
		assert_int_equal(fclose(f), 0);
	}
	free(mem);
	buf_done(&all);
	buf_done(&got);
	arena_done(&a);
	assert_int_equal(bad, 0);
	assert_true(lines >= 150);
}

static int scenario(void *ctx)
{
	struct cloud_request q = { .method = SLICE("GET"),
				   .host = SLICE("storage.googleapis.com"),
				   .path = SLICE("/storage/v1/b/x/o/a%20b/c") };
	struct arena a;
	struct cloud c;
	int r;

	arena_init(&a, 4096);
	r = cloud_decode(&q, &a, &c);
	arena_done(&a);
	return r < 0 ? r : 0;
}

static void test_no_memory(void **state)
{
	alloc_fail_each(scenario, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
