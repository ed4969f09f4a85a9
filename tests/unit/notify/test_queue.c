// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdio.h>

#include "notify/queue.h"

#define SEC 1000000000ULL

static struct queue q;

static int setup(void **state)
{
	queue_init(&q);
	return 0;
}

static int teardown(void **state)
{
	queue_done_all(&q);
	return 0;
}

static char *body_of(size_t len)
{
	char *b = malloc(len);

	assert_non_null(b);
	memset(b, 'x', len);
	return b;
}

static void push(unsigned webhook, enum delivery_kind kind, const char *id, size_t len)
{
	assert_int_equal(queue_push(&q, webhook, kind, id, body_of(len), len, 0, 1000 * SEC), 0);
}

static void test_in_order_and_counted(void **state)
{
	struct delivery *a, *b;

	push(0, DELIVERY_HELD, "a", 1);
	push(1, DELIVERY_HELD, "b", 1);
	assert_int_equal(queue_wake_ns(&q), 0);
	a = queue_next(&q, 0);
	b = queue_next(&q, 0);
	assert_string_equal(a->id, "a");
	assert_string_equal(b->id, "b");
	assert_null(queue_next(&q, 0));
	assert_true(queue_wake_ns(&q) == UINT64_MAX);
	assert_false(queue_finish(&q, a, DELIVERY_DONE, 0, 0, 0));
	assert_false(queue_finish(&q, b, DELIVERY_REFUSED, 0, 0, 0));
	assert_int_equal(q.stats.sent, 1);
	assert_int_equal(q.stats.failed, 1);
	assert_int_equal(q.n, 0);
	assert_int_equal(q.bytes, 0);
}

static void test_a_slow_webhook_takes_its_places_only(void **state)
{
	struct delivery *d[QUEUE_BUSY_MAX], *other;

	for (unsigned i = 0; i < QUEUE_BUSY_MAX + 3; i++)
		push(0, DELIVERY_HELD, "a", 1);
	push(1, DELIVERY_HELD, "b", 1);
	for (unsigned i = 0; i < QUEUE_BUSY_MAX; i++)
		d[i] = queue_next(&q, 0);
	other = queue_next(&q, 0);
	assert_int_equal(other->webhook, 1);
	assert_null(queue_next(&q, 0));
	assert_false(queue_finish(&q, d[0], DELIVERY_DONE, 0, 0, 0));
	d[0] = queue_next(&q, 0);
	assert_non_null(d[0]);
	for (unsigned i = 0; i < QUEUE_BUSY_MAX; i++)
		queue_finish(&q, d[i], DELIVERY_DONE, 0, 0, 0);
	queue_finish(&q, other, DELIVERY_DONE, 0, 0, 0);
}

static void test_the_pauses(void **state)
{
	static const uint64_t full_ms[] = {
		500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000
	};

	for (unsigned i = 0; i < ARRAY_SIZE(full_ms); i++) {
		assert_int_equal(queue_pause_ns(i + 1, 0, 0), full_ms[i] * 1000000);
		assert_in_range(queue_pause_ns(i + 1, 0, UINT32_MAX), full_ms[i] * 500000,
				full_ms[i] * 510000);
	}
	assert_int_equal(queue_pause_ns(1, 7, 0), 7 * SEC);
	assert_int_equal(queue_pause_ns(1, UINT64_MAX, 0), QUEUE_RETRY_AFTER_MAX_S * SEC);
	assert_int_equal(queue_pause_ns(UINT32_MAX, 0, 0), 60 * SEC);
	assert_int_equal(queue_pause_ns(8, 1, 0), 60 * SEC);
}

static void test_again_and_again(void **state)
{
	struct delivery *d;
	uint64_t now = 0;
	unsigned n = 0;

	push(0, DELIVERY_HELD, "a", 1);
	while ((d = queue_next(&q, now))) {
		n++;
		if (!queue_finish(&q, d, DELIVERY_AGAIN, 0, 0, now))
			break;
		assert_null(queue_next(&q, now));
		assert_true(queue_wake_ns(&q) > now);
		now = queue_wake_ns(&q);
	}
	assert_int_equal(n, QUEUE_ATTEMPTS_MAX);
	assert_int_equal(q.stats.retried, QUEUE_ATTEMPTS_MAX - 1);
	assert_int_equal(q.stats.failed, 1);
	/* Not past the operation's own time, neither by a retry nor by waiting. */
	assert_int_equal(queue_push(&q, 0, DELIVERY_HELD, "b", body_of(1), 1, 0, SEC / 4), 0);
	d = queue_next(&q, 0);
	assert_false(queue_finish(&q, d, DELIVERY_AGAIN, 0, 0, 0));
	assert_int_equal(queue_push(&q, 0, DELIVERY_HELD, "b", body_of(1), 1, 0, SEC / 4), 0);
	assert_null(queue_next(&q, SEC));
	assert_int_equal(q.stats.failed, 3);
	assert_int_equal(q.n, 0);
}

static void test_settled_meanwhile(void **state)
{
	struct delivery *d;

	push(0, DELIVERY_HELD, "a", 1);
	push(1, DELIVERY_HELD, "a", 1);
	push(1, DELIVERY_HELD, "b", 1);
	push(1, DELIVERY_SETTLED, "a", 1);
	d = queue_next(&q, 0);
	queue_settle(&q, "a");
	assert_int_equal(q.n, 3);
	assert_false(queue_finish(&q, d, DELIVERY_AGAIN, 0, 0, 0));
	assert_int_equal(q.n, 2);
}

static void test_full_by_number(void **state)
{
	struct delivery *first;
	char id[32];

	for (unsigned i = 0; i < QUEUE_MAX; i++) {
		snprintf(id, sizeof(id), "op-%u", i);
		push(0, DELIVERY_HELD, id, 1);
	}
	first = queue_next(&q, 0);
	push(0, DELIVERY_HELD, "new", 1);
	assert_int_equal(q.n, QUEUE_MAX);
	assert_int_equal(q.stats.dropped, 1);
	assert_string_equal(first->id, "op-0"); /* what is under way stays */
	queue_finish(&q, first, DELIVERY_DONE, 0, 0, 0);
	first = queue_next(&q, 0);
	assert_string_equal(first->id, "op-2");
	queue_finish(&q, first, DELIVERY_DONE, 0, 0, 0);
}

static void test_full_by_bytes(void **state)
{
	struct delivery *d;
	char *b = body_of(QUEUE_BYTES_MAX);

	assert_int_equal(
		queue_push(&q, 0, DELIVERY_HELD, "x", b, (size_t)QUEUE_BYTES_MAX + 1, 0, 1),
		-EMSGSIZE);
	assert_int_equal(queue_push(&q, 0, DELIVERY_HELD, "x", b, QUEUE_BYTES_MAX, 0, SEC), 0);
	d = queue_next(&q, 0);
	b = body_of(1);
	assert_int_equal(queue_push(&q, 0, DELIVERY_HELD, "y", b, 1, 0, SEC), -ENOBUFS);
	queue_finish(&q, d, DELIVERY_AGAIN, 0, 0, 0);
	assert_int_equal(queue_push(&q, 0, DELIVERY_HELD, "y", b, 1, 0, SEC), 0);
	assert_int_equal(q.stats.dropped, 1);
	assert_int_equal(q.bytes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_slow_webhook_takes_its_places_only, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_pauses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settled_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_by_number, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_by_bytes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
