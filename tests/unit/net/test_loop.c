// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/loop.h"
#include "net/sock.h"

static void test_news_come_once_until_read(void **state)
{
	struct loop *l;
	struct loop_ready r[8];
	struct loop_watch w;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(loop_new(&l), 0);
	w = (struct loop_watch){ .fd = sv[0] };
	assert_int_equal(loop_add(l, &w), 0);
	assert_int_equal(loop_wait(l, 0, r, 8), 1);
	assert_int_equal(r[0].what, LOOP_WRITE);
	assert_int_equal(loop_wait(l, 0, r, 8), 0);
	assert_int_equal(write(sv[1], "x", 1), 1);
	assert_int_equal(loop_wait(l, 0, r, 8), 1);
	assert_true(r[0].watch == &w && (r[0].what & LOOP_READ));
	close(sv[1]);
	assert_int_equal(loop_wait(l, 0, r, 8), 1);
	assert_true(r[0].what & LOOP_HANGUP);
	loop_del(l, &w);
	close(sv[0]);
	assert_null(loop_free(l));
}

static void test_wake(void **state)
{
	struct loop *l;
	struct loop_ready r[8];

	assert_int_equal(loop_new(&l), 0);
	loop_wake(l);
	loop_wake(l);
	assert_int_equal(loop_wait(l, -1, r, 8), 1);
	assert_null(r[0].watch);
	assert_int_equal(loop_wait(l, 0, r, 8), 0);
	assert_null(loop_free(l));
}

static void test_timers_go_in_order(void **state)
{
	struct loop_timers q;
	struct loop_timer a, b;

	loop_timers_init(&q, 1000 * NSEC_PER_MSEC);
	loop_timer_init(&a);
	loop_timer_init(&b);
	assert_int_equal(loop_timers_wait_ms(&q, 5, -1), -1);
	loop_timer_set(&q, &a, 0);
	loop_timer_set(&q, &b, 1);
	loop_timer_set(&q, &a, 2); /* moves behind b */
	assert_int_equal(loop_timers_wait_ms(&q, 1, -1), 1000);
	assert_int_equal(loop_timers_wait_ms(&q, 1, 10), 10);
	assert_null(loop_timers_pop(&q, 1000 * NSEC_PER_MSEC));
	assert_ptr_equal(loop_timers_pop(&q, 1000 * NSEC_PER_MSEC + 1), &b);
	assert_null(loop_timers_pop(&q, 1000 * NSEC_PER_MSEC + 1));
	loop_timer_clear(&a);
	assert_null(loop_timers_pop(&q, UINT64_MAX));
}

static void test_dial_accept_and_refusal(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof(sin);
	struct addr dst, peer, local;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd, got;

	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sin, &dst), 0);
	fd = sock_dial(&dst, 0);
	assert_true(fd >= 0);
	got = sock_accept(listener, &peer, &local);
	assert_true(got >= 0);
	assert_true(addr_eq(&local, &dst));
	assert_int_equal(sock_accept(listener, &peer, &local), -EAGAIN);
	assert_int_equal(sock_error(fd), 0);
	sock_close_reset(got);
	assert_true(sock_read(fd, &len, sizeof(len)) == -ECONNRESET);
	close(fd);
	close(listener);
	fd = sock_dial(&dst, 0);
	if (fd >= 0) {
		assert_int_equal(sock_error(fd), -ECONNREFUSED);
		close(fd);
	} else {
		assert_int_equal(fd, -ECONNREFUSED);
	}
}

static void test_heap_gives_the_earliest(void **state)
{
	enum { N = 500 };
	static struct loop_due d[N];
	struct loop_heap h = { 0 };
	struct loop_due *got;
	uint64_t last = 0;
	unsigned seed = 1, n = 0;

	assert_int_equal(loop_heap_wait_ms(&h, 0, -1), -1);
	assert_null(loop_heap_pop(&h, UINT64_MAX));
	for (size_t i = 0; i < N; i++) {
		seed = seed * 1103515245 + 12345;
		assert_int_equal(loop_heap_set(&h, &d[i], 1 + (seed >> 8) % 1000), 0);
	}
	for (size_t i = 0; i < N; i += 3)
		loop_heap_clear(&h, &d[i]);
	loop_heap_clear(&h, &d[0]); /* a second time is harmless */
	while ((got = loop_heap_pop(&h, 500))) {
		assert_true(got->due_ns >= last && got->due_ns <= 500 && (got - d) % 3 != 0);
		last = got->due_ns;
		n++;
	}
	assert_true(loop_heap_wait_ms(&h, 500, -1) == 1);
	while ((got = loop_heap_pop(&h, UINT64_MAX))) {
		assert_true(got->due_ns >= last);
		last = got->due_ns;
		n++;
	}
	assert_int_equal(n, N - (N + 2) / 3);
	assert_int_equal(loop_heap_set(&h, &d[1], 0), 0);
	assert_int_equal(loop_heap_wait_ms(&h, 7, 20), 0);
	loop_heap_clear(&h, &d[1]);
	loop_heap_done(&h);
	alloc_fail_at(1);
	assert_int_equal(loop_heap_set(&h, &d[0], 1), -ENOMEM);
	alloc_fail_at(0);
	loop_heap_clear(&h, &d[0]);
	assert_null(loop_heap_pop(&h, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_news_come_once_until_read),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_timers_go_in_order),
		cmocka_unit_test(test_heap_gives_the_earliest),
		cmocka_unit_test(test_dial_accept_and_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
