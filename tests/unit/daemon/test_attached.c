// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/attached.h"
#include "daemon/cgroup.h"
#include "daemon/file.h"

static char dir[] = "/tmp/weir-test-attached.XXXXXX";
static int dir_fd;
static struct ipc_msg msg;

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	close(dir_fd);
	return rmdir(dir);
}

static const char request[] =
	"{\"command\": \"attach\", \"cgroup\": \"/a/b\", \"container\": \"box\", \"image\": "
	"\"img:1\","
	"\"labels\": {\"team\": \"billing\"},"
	"\"policy\": {\"name\": \"p\", \"source\": \"p.json\", \"text\": \"{}\"}}";

static int make(const char *text, struct attached **ret, const char **why)
{
	json_t *o = json_loads(text, 0, NULL);
	int r;

	assert_non_null(o);
	r = attached_new(o, 42, 7, ret, why);
	json_decref(o);
	return r;
}

static void check_msg(const struct attached *a)
{
	struct policy_source *src;
	size_t n;
	void *mem;

	assert_int_equal(attached_to_msg(a, &msg), 0);
	assert_int_equal(msg.head.type, IPC_AGENT);
	assert_int_equal(msg.head.cgroup_id, 42);
	assert_string_equal(ipc_msg_get(&msg, 0), "/a/b");
	assert_string_equal(ipc_msg_get(&msg, 1), "box");
	assert_string_equal(ipc_msg_get(&msg, 2), "img:1");
	assert_string_equal(ipc_msg_get(&msg, 3), "team");
	assert_string_equal(ipc_msg_get(&msg, 4), "billing");
	assert_null(ipc_msg_get(&msg, 5));
	assert_int_equal(ipc_bundle_read(msg.fds[0], &src, &n, &mem), 0);
	assert_int_equal(n, 1);
	assert_string_equal(src[0].name, "p.json");
	assert_true(slice_eq_str(src[0].json, "{}"));
	free(src);
	free(mem);
	ipc_msg_done(&msg);
}

static void test_kept_and_read_back(void **state)
{
	struct attached *a, *b;
	const char *why;

	assert_int_equal(make(request, &a, &why), 0);
	check_msg(a);
	assert_int_equal(attached_save(a, dir_fd, "boot-1"), 0);
	assert_int_equal(attached_load(dir_fd, 42, "/a/b", "boot-1", &b), 0);
	assert_int_equal(b->since_ns, 7);
	check_msg(b);
	attached_free(b);
	/* Of another boot, of another cgroup, of none. */
	assert_int_equal(attached_load(dir_fd, 42, "/a/b", "boot-2", &b), -ESTALE);
	assert_int_equal(attached_load(dir_fd, 42, "/a/c", "boot-1", &b), -ESTALE);
	assert_int_equal(attached_load(dir_fd, 43, "/a/b", "boot-1", &b), -ENOENT);
	attached_forget(dir_fd, 42);
	assert_int_equal(attached_load(dir_fd, 42, "/a/b", "boot-1", &b), -ENOENT);
	attached_free(a);
}

static void test_damaged_files(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"version\": 2}",
		"{\"version\":1,\"boot_id\":\"b\",\"cgroup_id\":42,\"since_ns\":1}",
		"{\"version\":1,\"boot_id\":\"b\",\"cgroup_id\":42,\"since_ns\":1,"
		"\"agent\":{\"cgroup\":\"/a/b\",\"policy\":{\"name\":\"x\"}}}",
		"{\"version\":1,\"boot_id\":\"b\",\"cgroup_id\":42,\"since_ns\":1,"
		"\"agent\":{\"cgroup\":\"/a/b\",\"labels\":[]}}",
	};
	struct attached *a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(file_write_atomic(dir_fd, "42.json", slice_str(bad[i])), 0);
		assert_int_equal(attached_load(dir_fd, 42, "/a/b", "b", &a), -EBADMSG);
	}
	attached_forget(dir_fd, 42);
}

static void test_lost_refuses(void **state)
{
	struct policy_source *src;
	struct attached *a;
	size_t n;
	void *mem;

	assert_int_equal(attached_new_lost("/a/b", 42, 1, &a), 0);
	assert_int_equal(attached_to_msg(a, &msg), 0);
	assert_int_equal(ipc_bundle_read(msg.fds[0], &src, &n, &mem), 0);
	assert_int_equal(n, 1);
	assert_non_null(strstr((const char *)src[0].json.ptr, "\"default\": \"block\""));
	assert_null(strstr((const char *)src[0].json.ptr, "targets"));
	free(src);
	free(mem);
	ipc_msg_done(&msg);
	attached_free(a);
}

static void test_requests_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"cgroup\": 1}",
		"{\"cgroup\": \"relative\"}",
		"{\"cgroup\": \"/a\\nb\"}",
		"{\"cgroup\": \"/a\", \"container\": 1}",
		"{\"cgroup\": \"/a\", \"labels\": {\"\": \"v\"}}",
		"{\"cgroup\": \"/a\", \"labels\": {\"k\": 1}}",
		"{\"cgroup\": \"/a\", \"labels\": {\"k\": \"a\\u001bb\"}}",
		"{\"cgroup\": \"/a\", \"policy\": \"text\"}",
		"{\"cgroup\": \"/a\", \"policy\": {\"name\": \"x\", \"source\": \"y\"}}",
	};
	struct attached *a;
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why = NULL;
		assert_int_equal(make(bad[i], &a, &why), -EINVAL);
		assert_non_null(why);
	}
}

static void test_file_names(void **state)
{
	assert_int_equal(attached_file_id("123.json"), 123);
	assert_int_equal(attached_file_id(".123.json.new"), 0);
	assert_int_equal(attached_file_id(".json"), 0);
	assert_int_equal(attached_file_id("x.json"), 0);
	assert_int_equal(attached_file_id("99999999999999999999999.json"), 0);
}

static void test_cgroup_paths(void **state)
{
	char out[CGROUP_PATH_MAX], big[CGROUP_PATH_MAX + 8];

	assert_int_equal(cgroup_path_clean("/a/b", out), 0);
	assert_string_equal(out, "/a/b");
	assert_int_equal(cgroup_path_clean("a//b/", out), 0);
	assert_string_equal(out, "/a/b");
	assert_int_equal(cgroup_path_clean("", out), 0);
	assert_string_equal(out, "/");
	assert_int_equal(cgroup_path_clean("/...", out), 0);
	assert_int_equal(cgroup_path_clean("/a/../b", out), -EINVAL);
	assert_int_equal(cgroup_path_clean("/a/.", out), -EINVAL);
	assert_int_equal(cgroup_path_clean("/a\nb", out), -EINVAL);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(cgroup_path_clean(big, out), -ENAMETOOLONG);
	assert_true(cgroup_path_covers("/", "/a"));
	assert_true(cgroup_path_covers("/a", "/a"));
	assert_true(cgroup_path_covers("/a", "/a/b"));
	assert_false(cgroup_path_covers("/a", "/ab"));
	assert_false(cgroup_path_covers("/a/b", "/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_and_read_back), cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_lost_refuses),       cmocka_unit_test(test_requests_refused),
		cmocka_unit_test(test_file_names),         cmocka_unit_test(test_cgroup_paths),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
