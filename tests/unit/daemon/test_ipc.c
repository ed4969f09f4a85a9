// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/ipc.h"

static int pair[2];
static struct ipc_msg out, in; /* too large for comfort on a stack */

static int setup(void **state)
{
	ipc_msg_init(&out, 0);
	ipc_msg_init(&in, 0);
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int teardown(void **state)
{
	ipc_msg_done(&in);
	close_p(&pair[0]);
	close_p(&pair[1]);
	return 0;
}

static unsigned fds_open(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_strings_and_fds_arrive(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct stat a, b;

	ipc_msg_init(&out, IPC_AGENT);
	out.head.request = 77;
	out.head.cgroup_id = UINT64_MAX;
	out.head.status = -EINVAL;
	assert_int_equal(ipc_msg_put(&out, "/agents.slice/a"), 0);
	assert_int_equal(ipc_msg_put(&out, ""), 0);
	assert_int_equal(ipc_msg_put(&out, "team"), 0);
	out.fds[0] = null;
	assert_int_equal(ipc_send(pair[0], &out), 0);
	assert_int_equal(ipc_recv(pair[1], &in), 1);
	assert_int_equal(in.head.type, IPC_AGENT);
	assert_int_equal(in.head.request, 77);
	assert_true(in.head.cgroup_id == UINT64_MAX);
	assert_int_equal(in.head.status, -EINVAL);
	assert_string_equal(ipc_msg_get(&in, 0), "/agents.slice/a");
	assert_string_equal(ipc_msg_get(&in, 1), "");
	assert_string_equal(ipc_msg_get(&in, 2), "team");
	assert_null(ipc_msg_get(&in, 3));
	assert_int_equal(in.head.n_fds, 1);
	assert_int_equal(in.fds[1], -1);
	assert_int_equal(fstat(null, &a), 0);
	assert_int_equal(fstat(in.fds[0], &b), 0);
	assert_true(a.st_rdev == b.st_rdev);
	assert_true(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC);
	close(null);
}

static void test_payload_has_a_maximum(void **state)
{
	char big[IPC_PAYLOAD_MAX];

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	ipc_msg_init(&out, IPC_ACK);
	assert_int_equal(ipc_msg_put(&out, big), 0); /* exactly full */
	assert_int_equal(ipc_msg_put(&out, ""), -EMSGSIZE);
	assert_int_equal(ipc_send(pair[0], &out), 0);
	assert_int_equal(ipc_recv(pair[1], &in), 1);
	assert_string_equal(ipc_msg_get(&in, 0), big);
	ipc_msg_init(&out, IPC_ACK);
	assert_int_equal(ipc_msg_put(&out, "x"), 0);
	assert_int_equal(ipc_msg_put(&out, big), -EMSGSIZE);
}

static void test_nothing_there_and_end(void **state)
{
	assert_int_equal(ipc_recv(pair[1], &in), -EAGAIN);
	close_p(&pair[0]);
	pair[0] = -1;
	assert_int_equal(ipc_recv(pair[1], &in), 0);
	ipc_msg_init(&out, IPC_STOP);
	assert_int_equal(ipc_send(pair[1], &out), -EPIPE);
}

/* Sends raw bytes with n descriptors of /dev/null. */
static void send_raw(const void *data, size_t len, size_t n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 16)];
	} control = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &msg, 0), len);
	close(null);
}

static void expect_bad(void)
{
	assert_int_equal(ipc_recv(pair[1], &in), -EBADMSG);
	assert_null(ipc_msg_get(&in, 0));
	ipc_msg_done(&in);
}

static void test_malformed_packets(void **state)
{
	struct {
		struct ipc_head head;
		char text[8];
	} p;
	const struct ipc_head good = { .version = IPC_VERSION, .type = IPC_ACK, .payload_len = 8 };
	unsigned before = fds_open();

	memset(&p, 0, sizeof(p));
	p.head = good;
	send_raw(&p, sizeof(p), 0);
	assert_int_equal(ipc_recv(pair[1], &in), 1); /* the yardstick is fine */

	for (size_t len = 1; len < sizeof(p); len++) { /* cut at every byte */
		send_raw(&p, len, 0);
		expect_bad();
	}
	p.head.version = IPC_VERSION + 1;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head = good;
	p.head.type = 0;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head.type = 63;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head.type = UINT32_MAX;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head = good;
	p.head.payload_len = 7;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head.payload_len = UINT32_MAX;
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head = good;
	memcpy(p.text, "12345678", 8); /* no NUL at the end */
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	memset(p.text, 0, 8);
	p.head.n_fds = 1; /* announced and not there */
	send_raw(&p, sizeof(p), 0);
	expect_bad();
	p.head.n_fds = 0; /* there and not announced */
	send_raw(&p, sizeof(p), 1);
	expect_bad();
	p.head.n_fds = 3; /* more than there may be */
	send_raw(&p, sizeof(p), 3);
	expect_bad();
	p.head.n_fds = 2;
	send_raw(&p, sizeof(p), 12);
	expect_bad();
	assert_int_equal(fds_open(), before);
}

static void test_too_long_a_packet(void **state)
{
	size_t len = sizeof(struct ipc_head) + IPC_PAYLOAD_MAX + 1;
	struct ipc_head head = { .version = IPC_VERSION,
				 .type = IPC_ACK,
				 .payload_len = IPC_PAYLOAD_MAX + 1 };
	char *p = calloc(1, len);

	assert_non_null(p);
	memcpy(p, &head, sizeof(head));
	send_raw(p, len, 0);
	expect_bad();
	free(p);
}

static void test_peer_that_does_not_read(void **state)
{
	int r, sent = 0;

	ipc_msg_init(&out, IPC_STATUS);
	do {
		r = ipc_send(pair[0], &out);
	} while (r == 0 && ++sent < 100000);
	assert_int_equal(r, -ETIMEDOUT);
}

static void test_bundle_round_trip(void **state)
{
	const struct policy_source src[] = {
		{ "/etc/weir/policy.d/a.json", SLICE("{\"name\": \"a\"}") },
		{ "", SLICE("") },
		{ "c", { (const uint8_t *)"x\0y", 3 } },
	};
	struct policy_source *got;
	size_t n;
	void *mem;
	int fd = ipc_bundle_new(src, 3);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), -1); /* sealed */
	assert_int_equal(ipc_bundle_read(fd, &got, &n, &mem), 0);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(got[i].name, src[i].name);
		assert_true(slice_eq(got[i].json, src[i].json));
	}
	free(got);
	free(mem);
	close(fd);

	fd = ipc_bundle_new(NULL, 0);
	assert_int_equal(ipc_bundle_read(fd, &got, &n, &mem), 0);
	assert_int_equal(n, 0);
	free(got);
	free(mem);
	close(fd);
}

static int bundle_raw(const void *data, size_t len, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

enum { ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static void expect_bad_bundle(const void *data, size_t len, int seals, int error)
{
	struct policy_source *got;
	size_t n;
	void *mem;
	int fd = bundle_raw(data, len, seals);

	assert_int_equal(ipc_bundle_read(fd, &got, &n, &mem), error);
	close(fd);
}

static void test_bundle_from_a_liar(void **state)
{
	const struct policy_source src = { "name", SLICE("{}") };
	uint32_t raw[8], v;
	char copy[64];
	ssize_t len;
	struct policy_source *got;
	size_t n;
	void *mem;
	int fd = ipc_bundle_new(&src, 1);

	len = pread(fd, copy, sizeof(copy), 0);
	assert_int_equal(len, 8 + 8 + 5 + 3);
	close(fd);
	for (ssize_t i = 0; i < len; i++) /* every truncation */
		expect_bad_bundle(copy, (size_t)i, ALL_SEALS, -EBADMSG);
	copy[len] = 0;
	expect_bad_bundle(copy, (size_t)len + 1, ALL_SEALS, -EBADMSG); /* bytes left over */
	expect_bad_bundle(copy, (size_t)len, F_SEAL_SHRINK | F_SEAL_GROW, -EBADMSG);
	expect_bad_bundle(copy, (size_t)len, 0, -EBADMSG);
	for (size_t word = 0; word < 4; word++) { /* every number a lie */
		static const uint32_t lies[] = { 0, 1, 4, 6, 0x7fffffff, 0xffffffff, 0xfffffffb };

		for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
			memcpy(raw, copy, 16);
			if (raw[word] == lies[i])
				continue;
			memcpy(&v, copy + word * 4, 4);
			memcpy(copy + word * 4, &lies[i], 4);
			fd = bundle_raw(copy, (size_t)len, ALL_SEALS);
			assert_true(ipc_bundle_read(fd, &got, &n, &mem) < 0);
			close(fd);
			memcpy(copy + word * 4, &v, 4);
		}
	}
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* no memfd at all */
	assert_int_equal(ipc_bundle_read(fd, &got, &n, &mem), -EBADMSG);
	close(fd);
}

static void test_bundle_size_bounds(void **state)
{
	char *big = calloc(1, POLICY_TEXT_MAX + 1);
	struct policy_source src[2] = {
		{ "a", { (uint8_t *)big, POLICY_TEXT_MAX } },
		{ "b", { (uint8_t *)big, 1 } },
	};
	struct policy_source *got;
	size_t n;
	void *mem;
	char name[4097];
	int fd;

	assert_non_null(big);
	assert_int_equal(ipc_bundle_new(src, 2), -EMSGSIZE);
	fd = ipc_bundle_new(src, 1);
	assert_true(fd >= 0);
	assert_int_equal(ipc_bundle_read(fd, &got, &n, &mem), 0);
	assert_int_equal(got[0].json.len, POLICY_TEXT_MAX);
	free(got);
	free(mem);
	close(fd);
	memset(name, 'n', sizeof(name));
	name[4096] = '\0';
	src[1].name = name;
	assert_int_equal(ipc_bundle_new(src + 1, 1), -EMSGSIZE);
	assert_int_equal(ipc_bundle_new(src + 1, 4097), -EMSGSIZE);
	free(big);
}

static int scenario_bundle(void *ctx)
{
	struct policy_source *got;
	size_t n;
	void *mem;
	int r = ipc_bundle_read(*(int *)ctx, &got, &n, &mem);

	if (r == 0) {
		free(got);
		free(mem);
	}
	return r;
}

static void test_bundle_without_memory(void **state)
{
	const struct policy_source src = { "name", SLICE("{}") };
	int fd = ipc_bundle_new(&src, 1);

	alloc_fail_each(scenario_bundle, &fd, 0);
	close(fd);
}

static void test_blobs(void **state)
{
	int fd = ipc_blob_new(SLICE("some bytes")), loose;
	char small[4], fits[10];
	char *text;
	size_t len;

	assert_true(fd >= 0);
	assert_int_equal(ipc_blob_read(fd, 10, &text, &len), 0);
	assert_int_equal(len, 10);
	assert_string_equal(text, "some bytes");
	free(text);
	assert_int_equal(ipc_blob_read(fd, 9, &text, &len), -EMSGSIZE);
	assert_int_equal(ipc_blob_read_into(fd, small, sizeof(small)), -EMSGSIZE);
	assert_int_equal(ipc_blob_read_into(fd, fits, sizeof(fits)), 10);
	assert_int_equal(write(fd, "x", 1), -1);
	close(fd);
	/* One that could still change, and what is no memfd at all. */
	loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ipc_blob_read(loose, 10, &text, &len), -EBADMSG);
	close(loose);
	loose = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ipc_blob_read(loose, 10, &text, &len), -EBADMSG);
	close(loose);
}

static void test_a_full_socket_does_not_hold_up(void **state)
{
	int r = 0;

	ipc_msg_init(&out, IPC_ACK);
	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = ipc_try_send(pair[0], &out);
	assert_int_equal(r, -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_strings_and_fds_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_payload_has_a_maximum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there_and_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long_a_packet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_that_does_not_read, setup, teardown),
		cmocka_unit_test(test_bundle_round_trip),
		cmocka_unit_test(test_bundle_from_a_liar),
		cmocka_unit_test(test_bundle_size_bounds),
		cmocka_unit_test(test_bundle_without_memory),
		cmocka_unit_test_setup_teardown(test_blobs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_socket_does_not_hold_up, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
