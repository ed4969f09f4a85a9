// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>

#include "proto/tcp/tcp.h"
#include "support/proto_harness.h"

static const struct harness_step both[] = {
	{ DIR_TO_CLIENT, SLICE("220 server speaks first\r\n"), false },
	{ DIR_TO_SERVER, SLICE("\x00\xff hello"), true },
	{ DIR_TO_CLIENT, SLICE("bye"), true },
};

static void test_promises(void **state)
{
	struct harness_script s = { .class = &proto_tcp, .steps = both, .n_steps = 3 };

	assert_int_equal(harness_check(&s), 0);
}

static void test_denied_sends_nothing(void **state)
{
	static const unsigned deny[] = { 1 };
	struct harness_script s = { .class = &proto_tcp,
				    .steps = both,
				    .n_steps = 3,
				    .deny = deny,
				    .n_deny = 1,
				    .secret = SLICE("hello") };
	struct harness_run r;

	assert_int_equal(harness_check(&s), 0);
	harness_run_init(&r);
	assert_int_equal(harness_run(&s, &(struct harness_mode){ 0 }, &r), 0);
	assert_int_equal(buf_len(&r.out[0]) + buf_len(&r.out[1]), 0);
	assert_true(r.ended);
	harness_run_done(&r);
}

static void test_hold_takes_nothing(void **state)
{
	PROTO_CLEANUP struct proto *p = NULL;
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct verdict allow = { .kind = VERDICT_ALLOW };
	struct parse_err err;
	struct proto_event ev;
	size_t used;

	assert_int_equal(proto_tcp.create(&lim, NULL, &p), 0);
	assert_int_equal(proto_tcp.decide(p, 1, &allow), -EPROTO); /* not asked yet */
	assert_int_equal(proto_tcp.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_OP);
	assert_int_equal(ev.op->effects, OP_NETWORK | OP_UNKNOWN);
	assert_int_equal(proto_tcp.feed(p, DIR_TO_SERVER, SLICE("x"), &used, &err), 0);
	assert_int_equal(used, 0);
	assert_int_equal(proto_tcp.decide(p, 2, &allow), -EPROTO);
	assert_int_equal(proto_tcp.decide(p, 1, &allow), 0);
	assert_int_equal(proto_tcp.decide(p, 1, &allow), -EPROTO);
	assert_int_equal(proto_tcp.feed(p, DIR_TO_SERVER, SLICE("x"), &used, &err), 0);
	assert_int_equal(used, 1);
}

static void test_limits(void **state)
{
	static uint8_t big[10000];
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct harness_step steps[] = {
		{ DIR_TO_SERVER, slice_of(big, sizeof(big)), true },
		{ DIR_TO_CLIENT, slice_of(big, sizeof(big)), true },
	};
	struct harness_script s = {
		.class = &proto_tcp, .limits = &lim, .steps = steps, .n_steps = 2
	};
	struct harness_run r;

	lim.out_max = 1000;
	lim.record_max = 50;
	assert_int_equal(harness_check_quick(&s), 0);
	harness_run_init(&r);
	assert_int_equal(harness_run(&s, &(struct harness_mode){ 0 }, &r), 0);
	assert_int_equal(buf_len(&r.out[DIR_TO_SERVER]), sizeof(big));
	assert_true(r.peak_out[DIR_TO_SERVER] <= 1000);
	assert_non_null(memmem(buf_peek(&r.log).ptr, buf_len(&r.log), "DATA 1 > 0+50 ", 14));
	assert_non_null(memmem(buf_peek(&r.log).ptr, buf_len(&r.log), "bytes_to_server 10000", 21));
	harness_run_done(&r);
}

static void test_abort(void **state)
{
	PROTO_CLEANUP struct proto *p = NULL;
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct verdict allow = { .kind = VERDICT_ALLOW };
	struct parse_err err;
	struct proto_event ev;
	size_t used;

	assert_int_equal(proto_tcp.create(&lim, NULL, &p), 0);
	assert_int_equal(proto_tcp.next(p, &ev), 1);
	assert_int_equal(proto_tcp.decide(p, 1, &allow), 0);
	assert_int_equal(proto_tcp.feed(p, DIR_TO_SERVER, SLICE("abc"), &used, &err), 0);
	proto_tcp.abort(p, 503, "store full");
	assert_int_equal(proto_tcp.peek_out(p, DIR_TO_SERVER).len, 0);
	assert_int_equal(proto_tcp.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_DATA);
	assert_int_equal(ev.data.len, 0);
	assert_int_equal(proto_tcp.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_RESULT);
	assert_int_equal(proto_tcp.next(p, &ev), 1);
	assert_int_equal(ev.type, PROTO_END);
	assert_int_equal(proto_tcp.next(p, &ev), 0);
}

static void test_golden(void **state)
{
	assert_int_equal(harness_golden(&proto_tcp, "tests/golden/tcp"), 0);
}

static void test_no_memory(void **state)
{
	struct harness_script s = { .class = &proto_tcp, .steps = both, .n_steps = 3 };

	alloc_fail_each(harness_alloc_scenario, &s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_denied_sends_nothing),
		cmocka_unit_test(test_hold_takes_nothing),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
