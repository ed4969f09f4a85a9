// SPDX-License-Identifier: Apache-2.0
/* A notice beside the protocol: between two messages, or not at all. */
#include "proto/pg/pg.h"

#include "support/test.h"

static struct proto *open_pg(struct proto_shared **ret_shared)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct proto *p;

	assert_int_equal(proto_pg.shared_new(ret_shared), 0);
	assert_int_equal(proto_pg.create(&lim, *ret_shared, &p), 0);
	return p;
}

static void feed(struct proto *p, enum dir d, const void *bytes, size_t len)
{
	struct parse_err pe;
	struct proto_event ev;
	size_t used;

	assert_int_equal(p->class->feed(p, d, slice_of(bytes, len), &used, &pe), 0);
	assert_int_equal(used, len);
	while (p->class->next(p, &ev) == 1)
		if (ev.type == PROTO_OP) {
			const struct verdict v = { .kind = VERDICT_ALLOW, .rule = "r" };

			assert_int_equal(p->class->decide(p, ev.op_id, &v), 0);
		}
}
#define FEED(p, d, text) feed(p, d, text, sizeof(text) - 1)

static size_t drain(struct proto *p, enum dir d, uint8_t *out, size_t size)
{
	struct slice s = p->class->peek_out(p, d);

	assert_true(s.len <= size);
	memcpy(out, s.ptr, s.len);
	p->class->consume_out(p, d, s.len);
	return s.len;
}

static void test_between_messages(void **state)
{
	struct proto_shared *shared;
	struct proto *p = open_pg(&shared);
	uint8_t out[4096];
	size_t n;

	/* Before authentication an 'N' would be taken for a refusal to encrypt. */
	assert_int_equal(p->class->notice(p, "early"), 0);
	FEED(p, DIR_TO_SERVER, "\0\0\0\x10\0\x03\0\0user\0u\0\0");
	assert_int_equal(p->class->notice(p, "early"), 0);
	FEED(p, DIR_TO_CLIENT, "R\0\0\0\x08\0\0\0\0");
	FEED(p, DIR_TO_CLIENT, "Z\0\0\0\x05I");
	FEED(p, DIR_TO_SERVER, "Q\0\0\0\x0dselect 1\0");
	FEED(p, DIR_TO_CLIENT,
	     "T\0\0\0\x1a\0\x01"
	     "a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
	(void)drain(p, DIR_TO_CLIENT, out, sizeof(out));
	assert_int_equal(p->class->notice(p, "now"), 1);
	n = drain(p, DIR_TO_CLIENT, out, sizeof(out));
	assert_true(n > 10 && out[0] == 'N');
	assert_int_equal((size_t)out[3] << 8 | out[4], n - 1);
	assert_non_null(memmem(out, n, "Mnow", 5));
	assert_non_null(memmem(out, n, "SNOTICE", 8));
	/* In the middle of a row it would become a part of it. */
	FEED(p, DIR_TO_CLIENT, "D\0\0\0\x0b\0\x01\0\0");
	(void)drain(p, DIR_TO_CLIENT, out, sizeof(out));
	assert_int_equal(p->class->notice(p, "inside"), 0);
	assert_int_equal(p->class->peek_out(p, DIR_TO_CLIENT).len, 0);
	FEED(p, DIR_TO_CLIENT,
	     "\0\x01"
	     "1");
	assert_int_equal(p->class->notice(p, "behind"), 1);
	n = drain(p, DIR_TO_CLIENT, out, sizeof(out));
	assert_true(n > 3 && out[3] == 'N');
	/* After a failure nothing is said any more. */
	{
		struct parse_err pe;
		size_t used;

		assert_true(p->class->feed(p, DIR_TO_SERVER, SLICE("?????????"), &used, &pe) < 0);
	}
	assert_int_equal(p->class->notice(p, "late"), 0);
	assert_null(p->class->free(p));
	assert_null(proto_pg.shared_free(shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_between_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
