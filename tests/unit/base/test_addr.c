// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/addr.h"

static struct addr ip(const char *text, uint16_t port)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(slice_str(text), &a), 0);
	a.port_be = htons(port);
	return a;
}

static void test_mapped_and_plain_v4_are_one(void **state)
{
	struct addr plain = ip("10.0.0.1", 80), mapped = ip("::ffff:10.0.0.1", 80);

	assert_true(addr_eq(&plain, &mapped));
	assert_true(addr_is_v4(&mapped));
}

static void test_text(void **state)
{
	struct addr v4 = ip("192.168.1.2", 5432), v6 = ip("2001:db8::1", 80), none = ip("::1", 0);
	char out[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(&v4, out), "192.168.1.2:5432");
	assert_string_equal(addr_format(&v6, out), "[2001:db8::1]:80");
	assert_string_equal(addr_format(&none, out), "::1");
}

static void test_ranges(void **state)
{
	static const struct {
		const char *range, *ip;
		bool in;
	} rows[] = {
		{ "10.1.0.0/16", "10.1.255.3", true },
		{ "10.1.0.0/16", "10.2.0.0", false },
		{ "10.1.0.0/16", "::ffff:10.1.0.9", true },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "8.8.8.8", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "10.0.0.7", "10.0.0.7", true },
		{ "10.0.0.7", "10.0.0.6", false },
		{ "10.0.0.7/31", "10.0.0.6", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct addr_range r;
		struct addr a = ip(rows[i].ip, 1);

		assert_int_equal(addr_range_parse(slice_str(rows[i].range), &r), 0);
		assert_int_equal(addr_range_has(&r, &a), rows[i].in);
	}
}

static void test_bad_texts(void **state)
{
	static const char *const bad[] = { "",         "*",        "1.2.3",     "1.2.3.4/33",
					   "::/129",   "1.2.3.4/", "1.2.3.4/x", "db.internal",
					   "1.2.3.4 ", "[::1]" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct addr_range r;

		assert_int_equal(addr_range_parse(slice_str(bad[i]), &r), -EINVAL);
	}
}

static void test_sockaddr_both_ways(void **state)
{
	struct addr in[] = { ip("127.0.0.1", 1), ip("2001:db8::5", 65535) };

	for (size_t i = 0; i < ARRAY_SIZE(in); i++) {
		struct sockaddr_storage sa;
		struct addr out;

		assert_true(addr_to_sockaddr(&in[i], &sa) > 0);
		assert_int_equal(sa.ss_family, i ? AF_INET6 : AF_INET);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sa, &out), 0);
		assert_true(addr_eq(&in[i], &out));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mapped_and_plain_v4_are_one),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_bad_texts),
		cmocka_unit_test(test_sockaddr_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
