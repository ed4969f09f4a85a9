// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sock.h"

/* A connection that was reset before it was accepted is told from one that lives, data or not; one
 * whose client has sent its end from both. */
static void test_closed(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(l, 4), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	for (int reset = 0; reset < 2; reset++) {
		int c = socket(AF_INET, SOCK_STREAM, 0), fd;
		struct addr peer, local;

		assert_int_equal(connect(c, (struct sockaddr *)&sa, len), 0);
		assert_int_equal(send(c, "x", 1, 0), 1);
		if (reset)
			sock_close_reset(c);
		fd = sock_accept(l, &peer, &local);
		assert_true(fd >= 0);
		assert_int_equal(sock_is_closed(fd), reset);
		assert_false(sock_peer_ended(fd));
		if (!reset) {
			close(c); /* its end is there at once on loopback; the byte before is still unread */
			assert_true(sock_peer_ended(fd));
			assert_false(sock_is_closed(fd));
		}
		close(fd);
	}
	close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
