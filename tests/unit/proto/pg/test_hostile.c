// SPDX-License-Identifier: Apache-2.0
/* SQL meant to hurt, through the whole handler: what is too much is unknown or refused, never a crash. */
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/pg/pg.h"

#define STARTUP SLICE("\0\0\0\x14\0\3\0\0user\0alice\0\0")

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PEAK_MAX_KIB = 8 << 20 }; /* with shadows and what is kept from being used again */
#else
enum { PEAK_MAX_KIB = 512 << 10 };
#endif

struct asked {
	struct proto_shared *shared;
	struct proto *p;
	int error;
	unsigned ops, unknown;
	size_t text; /* bytes of the last operation's */
};

static void pull(struct asked *a)
{
	struct verdict v = { .kind = VERDICT_ALLOW, .rule = "test" };
	struct proto_event ev;

	while (proto_pg.next(a->p, &ev) > 0) {
		if (ev.type != PROTO_OP)
			continue;
		a->ops++;
		a->unknown += (ev.op->effects & OP_UNKNOWN) != 0;
		a->text = ev.op->text.len;
		assert_int_equal(proto_pg.decide(a->p, ev.op->id, &v), 0);
	}
}

/* In pieces, as they come from a socket; what goes through is drained at once. */
static void feed(struct asked *a, enum dir d, struct slice s)
{
	enum { PIECE = 64 * 1024 };
	struct parse_err why;
	size_t at = 0;

	while (at < s.len && !a->error) {
		struct slice piece = slice_of(s.ptr + at, MIN(s.len - at, (size_t)PIECE));
		size_t used = 0;

		a->error = proto_pg.feed(a->p, d, piece, &used, &why);
		if (!a->error)
			pull(a);
		proto_pg.consume_out(a->p, d, proto_pg.peek_out(a->p, d).len);
		if (!used && !a->error)
			fail_msg("stuck at %zu of %zu", at, s.len);
		at += used;
	}
}

static struct asked login(const char *encoding)
{
	struct asked a = { 0 };
	uint8_t status[128];
	size_t n;

	assert_int_equal(proto_pg.shared_new(&a.shared), 0);
	assert_int_equal(proto_pg.create(&PROTO_LIMITS_DEFAULT, a.shared, &a.p), 0);
	feed(&a, DIR_TO_SERVER, STARTUP);
	feed(&a, DIR_TO_CLIENT, SLICE("R\0\0\0\x08\0\0\0\0"));
	n = 4 + sizeof("client_encoding") + strlen(encoding) + 1;
	memcpy(status, "S\0\0\0", 4);
	status[4] = (uint8_t)n;
	memcpy(status + 5, "client_encoding", sizeof("client_encoding"));
	memcpy(status + 5 + sizeof("client_encoding"), encoding, strlen(encoding) + 1);
	feed(&a, DIR_TO_CLIENT, slice_of(status, n + 1));
	feed(&a, DIR_TO_CLIENT, SLICE("S\0\0\0\x23standard_conforming_strings\0on\0"));
	feed(&a, DIR_TO_CLIENT, SLICE("Z\0\0\0\5I"));
	assert_int_equal(a.error, 0);
	a.ops = 0;
	a.unknown = 0;
	return a;
}

static void logout(struct asked *a)
{
	assert_null(proto_pg.free(a->p));
	assert_null(proto_pg.shared_free(a->shared));
}

/* A Query, or a Parse without a name, of n times a word between a head and a tail. */
static struct slice message(char type, const char *head, const char *word, size_t n,
			    const char *tail)
{
	size_t before = type == 'P' ? 1 : 0, after = type == 'P' ? 3 : 1;
	size_t len = strlen(head) + n * strlen(word) + strlen(tail);
	size_t whole = 4 + before + len + after;
	uint8_t *p = calloc(1, whole + 1), *at;

	assert_non_null(p);
	p[0] = (uint8_t)type;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (uint8_t)(whole >> (24 - 8 * i));
	at = p + 5 + before;
	memcpy(at, head, strlen(head));
	at += strlen(head);
	for (size_t i = 0; i < n; i++, at += strlen(word))
		memcpy(at, word, strlen(word));
	memcpy(at, tail, strlen(tail));
	return slice_of(p, whole + 1);
}

static size_t peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	size_t kib = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %zu", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

static const struct {
	const char *name, *head, *word;
	size_t n;
	const char *tail;
	bool unknown;
} texts[] = {
	{ "16 MB of columns", "SELECT 1", ",1", 8000000, "", true },
	{ "16 MB of one literal", "SELECT '", "x", 16000000, "'", true },
	{ "16 MB of a comment", "/*", "*", 16000000, "*/ SELECT 1", true },
	{ "16 MB of nested comments", "", "/*", 8000000, "", true },
	{ "16 MB of semicolons", "", ";", 16000000, "", true },
	{ "16 MB of statements", "", "SELECT 1;", 1700000, "", true },
	{ "1 MB of columns", "SELECT 1", ",1", 500000, "", true },
	{ "many columns", "SELECT 1", ",1", 90000, "", false },
	{ "brackets", "SELECT ", "(", 500000, "1", true },
	{ "selects", "", "(SELECT ", 100000, "1", true },
	{ "a long sum", "SELECT 1", "+1", 400000, "", true },
	{ "not", "SELECT ", "NOT ", 200000, "true", true },
	{ "minus", "SELECT ", "- ", 400000, "1", true },
	{ "casts", "SELECT 1", "::int", 150000, "", true },
	{ "subscripts", "SELECT a", "[1]", 300000, "", true },
	{ "case", "SELECT ", "CASE WHEN true THEN ", 50000, "1", true },
	{ "unions", "SELECT 1", " UNION SELECT 1", 60000, "", true },
	{ "joins", "SELECT * FROM a", " JOIN a ON true", 60000, "", true },
	{ "arrays", "SELECT ", "ARRAY[", 150000, "1", true },
	{ "functions", "SELECT ", "abs(", 200000, "1", true },
	{ "explains", "", "EXPLAIN ", 100000, "SELECT 1", true },
	{ "withs", "", "WITH a AS (", 90000, "SELECT 1", true },
	{ "dollar quotes", "SELECT ", "$a$", 300000, "", true },
	{ "a quote without end", "SELECT '", "x", 900000, "", true },
	{ "and", "SELECT * FROM t WHERE a = 1", " AND a = 1", 20000, "", false },
};

static void test_texts(void **state)
{
	static const char types[] = { 'Q', 'P' };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t k = 0; k < ARRAY_SIZE(types); k++) {
			struct slice m = message(types[k], texts[i].head, texts[i].word, texts[i].n,
						 texts[i].tail);
			struct asked a = login("UTF8");

			feed(&a, DIR_TO_SERVER, m);
			if (a.error || !a.ops || (a.unknown > 0) != texts[i].unknown)
				fail_msg("%s as %c: error %d, %u operations, %u unknown",
					 texts[i].name, types[k], a.error, a.ops, a.unknown);
			/* What goes into the record is bounded. */
			assert_true(a.text <= PROTO_LIMITS_DEFAULT.text_max);
			logout(&a);
			free((void *)m.ptr);
		}
	/* The tree of 180,000 tokens is the most that one text costs. */
	assert_in_range(peak_kib(), 1, PEAK_MAX_KIB);
}

static void test_more_than_a_message_may_have(void **state)
{
	struct slice m = message('Q', "SELECT '", "x", PROTO_LIMITS_DEFAULT.message_max, "'");
	struct asked a = login("UTF8");

	feed(&a, DIR_TO_SERVER, m);
	assert_int_equal(a.error, -EMSGSIZE);
	assert_int_equal(a.ops, 0);
	logout(&a);
	free((void *)m.ptr);
}

/* What the declared encoding lets hide a quote is unknown; what it does not is not. */
static void test_encodings(void **state)
{
	static const struct {
		const char *encoding, *text;
		bool unknown;
	} rows[] = {
		{ "UTF8", "SELECT '\xc3\xa9'", false },
		{ "UTF8", "SELECT '\xe9'", true },
		{ "UTF8", "SELECT '\xf0\x80\x80\xa7; DELETE FROM users --'", true },
		{ "UTF8", "SELECT '\xed\xa0\x80'", true },
		{ "SJIS", "SELECT '\x83\x5c'; DELETE FROM users --'", true },
		{ "SJIS", "SELECT 'plain'", false },
		{ "BIG5", "SELECT '\xa5\x5c'", true },
		{ "GBK", "SELECT '\xbf\x27; DELETE FROM users --'", true },
		{ "GB18030", "SELECT '\x81\x30\x81\x30'", true },
		{ "LATIN1", "SELECT '\xe9'", true },
		{ "LATIN1", "SELECT '\xc3\xa9'", false },
		{ "SQL_ASCII", "SELECT 'plain'", false },
		{ "nonsense", "SELECT '\xc3\xa9'", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct slice m = message('Q', rows[i].text, "", 0, "");
		struct asked a = login(rows[i].encoding);

		feed(&a, DIR_TO_SERVER, m);
		assert_int_equal(a.error, 0);
		if (!a.ops || (a.unknown > 0) != rows[i].unknown)
			fail_msg("%s %s: %u of %u unknown", rows[i].encoding, rows[i].text,
				 a.unknown, a.ops);
		logout(&a);
		free((void *)m.ptr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_more_than_a_message_may_have),
		cmocka_unit_test(test_encodings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
