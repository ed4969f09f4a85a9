// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "proto/http/path.h"

static const struct {
	const char *target, *norm;
	bool ambiguous;
} paths[] = {
	{ "/", "/", false },
	{ "/a/b.c", "/a/b.c", false },
	{ "/a/b/", "/a/b/", false },
	{ "/a?b=/../c", "/a", false },
	{ "?q", "/", false },
	{ "/a//b///c", "/a/b/c", false },
	{ "/a/./b", "/a/b", false },
	{ "/a/../b", "/b", false },
	{ "/a/b/..", "/a/", false },
	{ "/a/b/.", "/a/b/", false },
	{ "/..", "/", false },
	{ "/../../a", "/a", false },
	{ "/...", "/...", false },
	{ "/.git/config", "/.git/config", false },
	{ "/%61%7e%41", "/a~A", false },
	{ "/%c3%a9", "/%C3%A9", false },
	{ "/a%20b%3fc", "/a%20b%3Fc", false },
	{ "//a", "/a", true },
	{ "/a%2fb", "/a/b", true },
	{ "/a%5Cb", "/a/b", true },
	{ "/a\\..\\b", "/b", true },
	{ "/a/%2e%2e/b", "/b", true },
	{ "/a/.%2E/b", "/b", true },
	{ "/a%2f..%2fb", "/b", true },
	{ "/a%00b", "/a%00b", true },
	{ "/a%0d%0ab", "/a%0D%0Ab", true },
	{ "/%252e%252e/a", "/%252e%252e/a", true },
	{ "/a/..;/b", "/b", true },
	{ "/a;x=1/b", "/a;x=1/b", true },
	{ "/a%3bx", "/a%3Bx", true },
	{ "/a/%c0%ae%c0%ae/b", "/b", true },
	{ "/a%c0%afb", "/a/b", true },
	{ "/a%e0%80%afb", "/a/b", true },
	{ "/a%f0%80%80%afb", "/a/b", true },
	{ "/a%c1%81", "/aA", true },
	{ "/a%c0", "/a%C0", true },
	{ "/a%", "/a%", true },
	{ "/a%2", "/a%2", true },
	{ "/a%zz", "/a%zz", true },
};

static void test_paths(void **state)
{
	struct arena a;

	arena_init(&a, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct http_path p;

		arena_reset(&a);
		assert_int_equal(http_path_parse(slice_str(paths[i].target), &a, &p), 0);
		if (!slice_eq_str(p.norm, paths[i].norm) || p.ambiguous != paths[i].ambiguous)
			fail_msg("%s: %.*s%s", paths[i].target, SLICE_FMT(p.norm),
				 p.ambiguous ? ", ambiguous" : "");
		/* What is normal stays as it is. */
		if (!paths[i].ambiguous) {
			struct http_path again;

			assert_int_equal(http_path_parse(p.norm, &a, &again), 0);
			assert_true(slice_eq(again.norm, p.norm));
		}
	}
	arena_done(&a);
}

static void shape(const char *path, const char *want)
{
	struct arena a;
	struct slice s;

	arena_init(&a, 4096);
	assert_int_equal(http_path_shape(SLICE("GET"), SLICE("h"), slice_str(path), &a, &s), 0);
	if (!slice_eq_str(s, want))
		fail_msg("%s: %.*s", path, SLICE_FMT(s));
	arena_done(&a);
}

static void test_shapes(void **state)
{
	shape("/", "GET h/");
	shape("", "GET h");
	shape("*", "GET h*");
	shape("/v1/users/42/posts/7", "GET h/v1/users/*/posts/*");
	shape("/x/550e8400-e29b-41d4-a716-446655440000", "GET h/x/*");
	shape("/x/DEADBEEF01/", "GET h/x/*/");
	shape("/x/deadbeef/bee4", "GET h/x/deadbeef/bee4"); /* a word, a short name */
	shape("/2024-01-02", "GET h/2024-01-02");
}

static void test_authorities(void **state)
{
	static const char *const bad[] = { "",    "a:",    "a:0", "a:65536", "a:1x", "a b",
					   "u@a", "[::1",  "[]",  "[g::]",   "a/b",  "a,b",
					   "%61", "a:1:2", ":80", "[::1]x" };
	struct slice host;
	unsigned port;

	assert_int_equal(http_authority_parse(SLICE("db_1.internal:5432"), &host, &port), 0);
	assert_true(slice_eq_str(host, "db_1.internal") && port == 5432);
	assert_int_equal(http_authority_parse(SLICE("[::1]:80"), &host, &port), 0);
	assert_true(slice_eq_str(host, "[::1]") && port == 80);
	assert_int_equal(http_authority_parse(SLICE("1.2.3.4"), &host, &port), 0);
	assert_int_equal(port, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (http_authority_parse(slice_str(bad[i]), &host, &port) != -EBADMSG)
			fail_msg("taken: \"%s\"", bad[i]);
}

static void test_no_room(void **state)
{
	struct http_path p;
	struct slice s;
	struct arena a;

	arena_init(&a, 0);
	assert_int_equal(http_path_parse(SLICE("/a%41"), &a, &p), -ENOMEM);
	assert_int_equal(http_path_shape(SLICE("G"), SLICE("h"), SLICE("/"), &a, &s), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_authorities),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
