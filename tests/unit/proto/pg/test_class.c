// SPDX-License-Identifier: Apache-2.0
/* What transcripts cannot say: sniffing, injected bytes, abort, bounds, failing allocations. */
#include "support/test.h"

#include <errno.h>

#include "proto/pg/pg.h"
#include "support/proto_harness.h"

#define STARTUP SLICE("\0\0\0\x14\0\3\0\0user\0alice\0\0")
#define READY SLICE("R\0\0\0\x08\0\0\0\0Z\0\0\0\5I")
#define SSL_REQUEST SLICE("\0\0\0\x08\x04\xd2\x16\x2f")

struct fixture {
	struct proto_shared *shared;
	struct proto *p;
	int error;
};

static struct fixture begin(const struct proto_limits *lim)
{
	struct fixture f = { 0 };

	assert_int_equal(proto_pg.shared_new(&f.shared), 0);
	assert_int_equal(proto_pg.create(lim ? lim : &PROTO_LIMITS_DEFAULT, f.shared, &f.p), 0);
	return f;
}

static void end(struct fixture *f)
{
	assert_null(proto_pg.free(f->p));
	assert_null(proto_pg.shared_free(f->shared));
}

/* Allows everything; true when END was among the events. */
static bool allow_all(struct fixture *f)
{
	struct verdict v = { .kind = VERDICT_ALLOW, .rule = "test" };
	struct proto_event ev;
	bool ended = false;

	while (proto_pg.next(f->p, &ev) > 0) {
		ended |= ev.type == PROTO_END;
		if (ev.type == PROTO_OP)
			assert_int_equal(proto_pg.decide(f->p, ev.op->id, &v), 0);
		if (ev.type == PROTO_OPAQUE)
			assert_int_equal(proto_pg.decide(f->p, ev.op_id, &v), 0);
	}
	return ended;
}

/* All that is taken; how much that was. */
static size_t feed(struct fixture *f, enum dir d, struct slice s)
{
	struct parse_err why;
	size_t total = 0, used;

	do {
		used = 0;
		f->error = proto_pg.feed(f->p, d, slice_from(s, total), &used, &why);
		total += used;
		if (!f->error)
			allow_all(f);
	} while (used && total < s.len && !f->error);
	return total;
}

static bool out_has(struct fixture *f, enum dir d, const char *text)
{
	struct slice out = proto_pg.peek_out(f->p, d);

	return out.len && memmem(out.ptr, out.len, text, strlen(text));
}

static void drain(struct fixture *f, enum dir d)
{
	proto_pg.consume_out(f->p, d, proto_pg.peek_out(f->p, d).len);
}

static void test_sniff(void **state)
{
	assert_int_equal(proto_pg.sniff(STARTUP), SNIFF_YES);
	assert_int_equal(proto_pg.sniff(SSL_REQUEST), SNIFF_YES);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\0\x08\x04\xd2\x16\x30")), SNIFF_YES);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\0\x10\x04\xd2\x16\x2e")), SNIFF_YES);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\0\x09\x04\xd2\x16\x2f")), SNIFF_NO);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\x7f\xff\0\3\0\0")), SNIFF_NO);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\0\x14\0\2\0\0")), SNIFF_NO);
	assert_int_equal(proto_pg.sniff(SLICE("\0")), SNIFF_MORE);
	assert_int_equal(proto_pg.sniff(SLICE("\0\0\0\x14\0\3\0")), SNIFF_MORE);
	assert_int_equal(proto_pg.sniff(SLICE("G")), SNIFF_NO);
	assert_int_equal(proto_pg.sniff(SLICE("\x16\3\1")), SNIFF_NO);
}

/* Promise 7: bytes behind SSLRequest came before the answer could be read. */
static void test_injected_behind_ssl_request(void **state)
{
	uint8_t both[8 + 20];
	struct fixture f = begin(NULL);

	memcpy(both, SSL_REQUEST.ptr, 8);
	memcpy(both + 8, STARTUP.ptr, 20);
	(void)feed(&f, DIR_TO_SERVER, slice_of(both, sizeof(both)));
	assert_int_equal(f.error, -EPROTO);
	assert_int_equal(proto_pg.peek_out(f.p, DIR_TO_SERVER).len, 0);
	assert_true(out_has(&f, DIR_TO_CLIENT, "FATAL"));
	end(&f);

	/* In another packet, but still before the answer was taken. */
	f = begin(NULL);
	assert_int_equal(feed(&f, DIR_TO_SERVER, SSL_REQUEST), 8);
	(void)feed(&f, DIR_TO_SERVER, STARTUP);
	assert_int_equal(f.error, -EPROTO);
	end(&f);

	/* As it should be; a second request is one too many. */
	f = begin(NULL);
	assert_int_equal(feed(&f, DIR_TO_SERVER, SSL_REQUEST), 8);
	assert_true(out_has(&f, DIR_TO_CLIENT, "N"));
	drain(&f, DIR_TO_CLIENT);
	(void)feed(&f, DIR_TO_SERVER, SSL_REQUEST);
	assert_int_equal(f.error, -EPROTO);
	end(&f);
}

static struct fixture logged_in(const struct proto_limits *lim)
{
	struct fixture f = begin(lim);

	assert_int_equal(feed(&f, DIR_TO_SERVER, STARTUP), 20);
	assert_int_equal(feed(&f, DIR_TO_CLIENT, READY), 15);
	drain(&f, DIR_TO_SERVER);
	drain(&f, DIR_TO_CLIENT);
	return f;
}

static void test_abort(void **state)
{
	static const struct {
		unsigned status;
		const char *sqlstate;
	} cases[] = { { 403, "C42501" }, { 502, "C08006" }, { 503, "C58030" }, { 504, "C08006" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f = logged_in(NULL);
		struct proto_event ev;

		/* An undecided operation is over as well. */
		(void)proto_pg.feed(f.p, DIR_TO_SERVER, SLICE("Q\0\0\0\x0dselect 1\0"),
				    &(size_t){ 0 }, &(struct parse_err){ 0 });
		assert_int_equal(proto_pg.next(f.p, &ev), 1);
		proto_pg.abort(f.p, cases[i].status, "the reason");
		assert_true(out_has(&f, DIR_TO_CLIENT, cases[i].sqlstate));
		assert_true(out_has(&f, DIR_TO_CLIENT, "Mthe reason"));
		assert_int_equal(proto_pg.peek_out(f.p, DIR_TO_SERVER).len, 0);
		assert_int_equal(
			proto_pg.decide(f.p, ev.op->id, &(struct verdict){ .kind = VERDICT_ALLOW }),
			-EPROTO);
		assert_true(allow_all(&f));
		assert_int_equal(feed(&f, DIR_TO_SERVER, SLICE("Q\0\0\0\x0dselect 1\0")), 14);
		assert_int_equal(proto_pg.peek_out(f.p, DIR_TO_SERVER).len, 0);
		end(&f);
	}
}

/* In the middle of a row no error can be said; END alone. */
static void test_abort_inside_of_a_row(void **state)
{
	struct fixture f = logged_in(NULL);

	feed(&f, DIR_TO_SERVER, SLICE("Q\0\0\0\x0dselect 1\0"));
	feed(&f, DIR_TO_CLIENT, SLICE("D\0\0\0\x0e\0\1\0\0\0\x04te"));
	drain(&f, DIR_TO_CLIENT);
	proto_pg.abort(f.p, 503, "the reason");
	assert_int_equal(proto_pg.peek_out(f.p, DIR_TO_CLIENT).len, 0);
	assert_true(allow_all(&f));
	end(&f);
}

/* Promise 5: a client that asks without end waits for the answers. */
static void test_queue_is_bounded(void **state)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct fixture f;

	lim.queue_max = 4;
	f = logged_in(&lim);
	for (int i = 0; i < 4; i++)
		assert_int_equal(feed(&f, DIR_TO_SERVER, SLICE("S\0\0\0\4")), 5);
	assert_int_equal(feed(&f, DIR_TO_SERVER, SLICE("S\0\0\0\4")), 0);
	assert_int_equal(f.error, 0);
	feed(&f, DIR_TO_CLIENT, SLICE("Z\0\0\0\5I"));
	assert_int_equal(feed(&f, DIR_TO_SERVER, SLICE("S\0\0\0\4S\0\0\0\4")), 5);
	end(&f);
}

/* Output that nobody takes stops input. */
static void test_output_is_bounded(void **state)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	static uint8_t row[5 + 2 + 4 + 4000] = "D\0\0\x0f\xaa\0\1\0\0\x0f\xa0";
	struct fixture f;
	size_t total = 0;

	lim.out_max = 16384;
	f = logged_in(&lim);
	feed(&f, DIR_TO_SERVER, SLICE("Q\0\0\0\x0dselect 1\0"));
	for (int i = 0; i < 100; i++)
		total += feed(&f, DIR_TO_CLIENT, slice_of(row, sizeof(row)));
	assert_int_equal(f.error, 0);
	assert_true(total <= lim.out_max);
	assert_int_equal(proto_pg.peek_out(f.p, DIR_TO_CLIENT).len, total);
	end(&f);
}

/* Names without end: what is forgotten is unknown, and memory does not grow. */
static void test_many_statements(void **state)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct fixture f;
	struct proto_event ev;
	bool unknown = false;

	lim.message_max = 64 * 1024; /* also what names may cost */
	f = logged_in(&lim);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t parse[] = "P\0\0\0\x14n0000\0select 1\0\0";

		parse[4] = sizeof(parse) - 1;
		for (unsigned k = 0, v = i; k < 4; k++, v /= 10)
			parse[9 - k] = (uint8_t)('0' + v % 10);
		assert_int_equal(feed(&f, DIR_TO_SERVER, slice_of(parse, sizeof(parse))),
				 sizeof(parse));
		assert_int_equal(feed(&f, DIR_TO_CLIENT, SLICE("1\0\0\0\4")), 5);
		drain(&f, DIR_TO_SERVER);
		drain(&f, DIR_TO_CLIENT);
	}
	(void)proto_pg.feed(f.p, DIR_TO_SERVER, SLICE("B\0\0\0\x11\0n0000\0\0\0\0\0\0\0"),
			    &(size_t){ 0 }, &(struct parse_err){ 0 });
	while (proto_pg.next(f.p, &ev) > 0)
		unknown |= ev.type == PROTO_OP && (ev.op->effects & OP_UNKNOWN);
	assert_true(unknown);
	end(&f);
}

static const struct harness_step session[] = {
	{ DIR_TO_SERVER, SLICE("\0\0\0\x14\0\3\0\0user\0alice\0\0"), false },
	{ DIR_TO_CLIENT, SLICE("R\0\0\0\x08\0\0\0\0Z\0\0\0\5I"), false },
	{ DIR_TO_SERVER,
	  SLICE("P\0\0\0\x13s\0select "
		"$1\0\0\0B\0\0\0\x12\0s\0\0\0\0\1\0\0\0\1x\0\0E\0\0\0\x09\0\0\0\0\0"
		"S\0\0\0\4"),
	  false },
	{ DIR_TO_CLIENT,
	  SLICE("1\0\0\0\4"
		"2\0\0\0\4"
		"D\0\0\0\x0b\0\1\0\0\0\1x"
		"C\0\0\0\x0dSELECT 1\0"
		"Z\0\0\0\5I"),
	  false },
	{ DIR_TO_SERVER, SLICE("Q\0\0\0\x1eselect 1; drop table secrets\0"), false },
	{ DIR_TO_CLIENT, SLICE("E\0\0\0\x1cSERROR\0C42601\0Msyntax...\0\0Z\0\0\0\5I"), true },
};

static void test_promises(void **state)
{
	static const unsigned deny[] = { 5 };
	struct harness_script s = { .class = &proto_pg,
				    .steps = session,
				    .n_steps = ARRAY_SIZE(session),
				    .deny = deny,
				    .n_deny = 1,
				    .secret = SLICE("secrets") };

	assert_int_equal(harness_check(&s), 0);
}

static void test_failing_allocations(void **state)
{
	static const unsigned deny[] = { 5 };
	struct harness_script s = { .class = &proto_pg,
				    .steps = session,
				    .n_steps = ARRAY_SIZE(session),
				    .deny = deny,
				    .n_deny = 1 };

	/* The cache of facts can do without, and so can last words. */
	alloc_fail_each(harness_alloc_scenario, &s, 6);
}

/* What a server may say without being asked fills no disk: NOTEs between two operations are bounded. */
static void test_notes_bounded(void **state)
{
	static const char notice[] = "N\0\0\0\x1bSNOTICE\0C00000\0Mhello\0\0";
	struct slice one = slice_of(notice, sizeof(notice) - 1);
	struct fixture f = begin(NULL);
	size_t notes = 0, silent = 0;

	feed(&f, DIR_TO_SERVER, STARTUP);
	feed(&f, DIR_TO_CLIENT, READY);
	for (int i = 0; i < 10000; i++) {
		struct parse_err why;
		struct proto_event ev;
		size_t used, before = notes;

		assert_int_equal(proto_pg.feed(f.p, DIR_TO_CLIENT, one, &used, &why), 0);
		assert_int_equal(used, one.len);
		while (proto_pg.next(f.p, &ev) > 0)
			notes += ev.type == PROTO_NOTE;
		silent += notes == before;
		drain(&f, DIR_TO_CLIENT);
	}
	assert_in_range(notes, 100, 2000);
	assert_in_range(silent, 8000, 9900);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sniff),
		cmocka_unit_test(test_injected_behind_ssl_request),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_abort_inside_of_a_row),
		cmocka_unit_test(test_queue_is_bounded),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_many_statements),
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_failing_allocations),
		cmocka_unit_test(test_notes_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
