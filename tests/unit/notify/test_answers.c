// SPDX-License-Identifier: Apache-2.0
/* The socket for answers, by a raw client: what becomes a vote, what is refused, who sleeps. */
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify/answers.h"

#define GOOD "{\"token\": \"t0\", \"who\": \"a@c\", \"reason\": \"fine\"}"

static struct answers *a;
static char path[64];
static char answer[8192];

static int setup(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(path, sizeof(path), "/tmp/weir-test-answers.%d", (int)getpid());
	memcpy(sa.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0)
		return -1;
	return answers_new(fd, &a);
}

static int teardown(void **state)
{
	a = answers_free(a);
	return unlink(path);
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, path, strlen(path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void run(void)
{
	struct pollfd p = { .fd = answers_fd(a), .events = POLLIN };

	for (unsigned i = 0; i < 10; i++) {
		(void)poll(&p, 1, 2);
		answers_run(a);
	}
}

static int ask(const char *head, const char *body)
{
	char text[16384];
	int fd = dial(), n;

	n = snprintf(text, sizeof(text),
		     "%s HTTP/1.1\r\nHost: weir\r\n%sContent-Length: %zu\r\n\r\n%s", head,
		     *body ? "Content-Type: application/json\r\n" : "", strlen(body), body);
	assert_int_equal(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
	run();
	return fd;
}

/* The status that came, 0 while there is none. */
static unsigned status_of(int fd)
{
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);

	answer[n > 0 ? n : 0] = '\0';
	return n > 12 ? (unsigned)strtoul(answer + 9, NULL, 10) : 0;
}

static void assert_refused(const char *head, const char *body, unsigned status)
{
	struct vote v;
	int fd = ask(head, body);

	assert_false(answers_next(a, &v));
	assert_int_equal(status_of(fd), status);
	close(fd);
	run();
}

static void test_a_vote_sleeps_until_it_is_judged(void **state)
{
	int fd = ask("POST /v1/approvals/01ABC/approve", GOOD), other;
	struct vote v, w;

	assert_true(answers_next(a, &v));
	assert_int_equal(v.kind, VOTE_APPROVE);
	assert_string_equal(v.id, "01ABC");
	assert_string_equal(v.token, "t0");
	assert_string_equal(v.who, "a@c");
	assert_string_equal(v.reason, "fine");
	assert_true(v.fd >= 0);
	assert_false(answers_next(a, &w)); /* handed out once */
	other = ask("GET /v1/approvals/01XYZ?token=t1", "");
	assert_true(answers_next(a, &w));
	assert_int_equal(w.kind, VOTE_STATUS);
	assert_string_equal(w.token, "t1");
	assert_int_equal(status_of(fd), 0);
	answers_settle(a, 999, 0, "approved"); /* nobody's */
	answers_settle(a, w.request, 0, "waiting");
	run();
	assert_int_equal(status_of(other), 200);
	assert_non_null(strstr(answer, "\"waiting\""));
	assert_non_null(strstr(answer, "no-store"));
	assert_int_equal(status_of(fd), 0);
	answers_settle(a, v.request, -ENOENT, "denied");
	run();
	assert_int_equal(status_of(fd), 410);
	assert_non_null(strstr(answer, "\"denied\""));
	close(fd);
	close(other);
}

static void test_judgements(void **state)
{
	static const struct {
		int how;
		unsigned status;
	} table[] = {
		{ 0, 200 },       { -EACCES, 403 },   { -EPERM, 403 },    { -ENOENT, 410 },
		{ -EEXIST, 409 }, { -EALREADY, 409 }, { -ENOTCONN, 503 }, { -ENOMEM, 503 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int fd = ask("POST /v1/approvals/x/deny", GOOD);
		struct vote v;

		assert_true(answers_next(a, &v));
		assert_int_equal(v.kind, VOTE_DENY);
		answers_settle(a, v.request, table[i].how, "");
		run();
		assert_int_equal(status_of(fd), table[i].status);
		close(fd);
	}
}

static void test_what_is_refused_at_the_door(void **state)
{
	static const char post[] = "POST /v1/approvals/x/approve";
	char long_body[ANSWERS_BODY_MAX + 64];

	assert_refused("GET /", "", 404);
	assert_refused("GET /v1/approvals/", "", 404);
	assert_refused("GET /v1/approvals/a%0d%0ab?token=x", "", 404);
	assert_refused("POST /v1/approvals/x/forget", GOOD, 404);
	assert_refused("POST /v1/approvals/x", GOOD, 405);
	assert_refused("GET /v1/approvals/x/approve?token=x", "", 405);
	assert_refused("GET /v1/approvals/x", "", 403);
	assert_refused(post, "", 415);
	assert_refused(post, "[]", 400);
	assert_refused(post, "{}", 400);
	assert_refused(post, "{\"token\": \"a\", \"token\": \"b\"}", 400);
	assert_refused(post, "{\"token\": 1}", 400);
	assert_refused(post, "{\"token\": \"a\", \"who\": \"a\\nb\"}", 400);
	assert_refused(post, "{\"token\": \"a\", \"who\": \"a\\u0000b\"}", 400);
	assert_refused(post, "{\"token\": \"a\", \"who\": \"\xff\"}", 400);
	assert_refused(post, "{\"token\": \"a\"} x", 400);
	memset(long_body, ' ', sizeof(long_body));
	memcpy(long_body, GOOD, strlen(GOOD));
	long_body[sizeof(long_body) - 1] = '\0';
	assert_refused(post, long_body, 413);
}

static void test_requests_are_rationed(void **state)
{
	struct answers_stats s;
	unsigned limited = 0;

	for (unsigned i = 0; i < ANSWERS_BURST + 10; i++) {
		int fd = ask("GET /", "");

		limited += status_of(fd) == 429;
		close(fd);
		run();
	}
	answers_stats(a, &s);
	assert_int_equal(s.requests, ANSWERS_BURST + 10);
	assert_in_range(limited, 1, 10);
	assert_int_equal(s.limited, limited);
}

static void test_the_end_wakes_all(void **state)
{
	int fd = ask("POST /v1/approvals/x/deny", GOOD);
	struct vote v;

	assert_true(answers_next(a, &v));
	assert_int_equal(teardown(state), 0);
	assert_int_equal(status_of(fd), 503);
	close(fd);
	assert_int_equal(setup(state), 0);
}

/* A client that goes away while its vote sleeps leaves nothing behind. */
static void test_a_client_that_leaves(void **state)
{
	int fd = ask("POST /v1/approvals/x/deny", GOOD);
	struct vote v;

	assert_true(answers_next(a, &v));
	close(fd);
	run();
	answers_settle(a, v.request, 0, "denied");
	run();
	assert_false(answers_next(a, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_vote_sleeps_until_it_is_judged, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_judgements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_refused_at_the_door, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_are_rationed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end_wakes_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_client_that_leaves, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
