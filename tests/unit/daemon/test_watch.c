// SPDX-License-Identifier: Apache-2.0
/* Which changes of files and directories are noticed, and when. */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/watch.h"

static char dir[64], path[128], other[128];
static struct watch w;

static int setup(void **state)
{
	log_setup("test", LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/weir-watch.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/p.json", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return watch_init(&w);
}

static int teardown(void **state)
{
	char command[128];

	watch_done(&w);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void file_put(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void look_at(const char *p)
{
	watch_begin(&w);
	watch_add(&w, p);
	watch_end(&w);
	w.first_ns = 0;
	watch_read(&w, 1);
	w.first_ns = 0;
}

static bool noticed(void)
{
	bool yes;

	watch_read(&w, 1);
	yes = w.first_ns != 0;
	w.first_ns = 0;
	return yes;
}

static void test_a_file(void **state)
{
	file_put(path);
	look_at(path);
	assert_false(noticed());
	file_put(path);
	assert_true(noticed());
	file_put(other); /* its neighbour is none of ours */
	assert_false(noticed());
	assert_int_equal(rename(other, path), 0); /* as editors do */
	assert_true(noticed());
	file_put(path); /* also the one in its place */
	assert_true(noticed());
	unlink(path);
	assert_true(noticed());
	file_put(path);
	assert_true(noticed());
}

static void test_a_directory(void **state)
{
	char sub[128], in[192];

	snprintf(sub, sizeof(sub), "%s/policy.d", dir);
	snprintf(in, sizeof(in), "%s/a.json", sub);
	look_at(sub); /* not there yet */
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_true(noticed());
	look_at(sub);
	file_put(in);
	assert_true(noticed());
	unlink(in);
	assert_true(noticed());
	assert_int_equal(rename(sub, other), 0);
	assert_true(noticed());
	look_at(sub);
	assert_int_equal(rename(other, sub), 0);
	assert_true(noticed());
}

static void test_missing_ancestors(void **state)
{
	char a[128], b[160], f[192];

	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", a);
	snprintf(f, sizeof(f), "%s/p.json", b);
	look_at(f);
	assert_int_equal(mkdir(a, 0700), 0);
	assert_true(noticed());
	look_at(f);
	assert_int_equal(mkdir(b, 0700), 0);
	assert_true(noticed());
	look_at(f);
	file_put(f);
	assert_true(noticed());
}

static void test_a_symbolic_link(void **state)
{
	char real[192];

	assert_int_equal(mkdir(other, 0700), 0);
	snprintf(real, sizeof(real), "%s/real.json", other);
	file_put(real);
	assert_int_equal(symlink(real, path), 0);
	look_at(path);
	file_put(real);
	assert_true(noticed());
	unlink(path);
	assert_true(noticed());
}

static void test_forgets_what_is_not_named_again(void **state)
{
	look_at(path);
	look_at(other);
	assert_int_equal(w.n_places, 1);
	file_put(path);
	assert_false(noticed());
	file_put(other);
	assert_true(noticed());
}

static void test_a_burst_is_one(void **state)
{
	__u64 now = 1000 * NSEC_PER_SEC;

	look_at(path);
	file_put(path);
	watch_read(&w, now);
	assert_false(watch_take(&w, now));
	assert_false(watch_take(&w, now + WATCH_QUIET_NS - 1));
	file_put(path);
	watch_read(&w, now + WATCH_QUIET_NS - 1);
	assert_false(watch_take(&w, now + WATCH_QUIET_NS));
	assert_true(watch_take(&w, now + 2 * WATCH_QUIET_NS));
	assert_false(watch_take(&w, now + 3 * WATCH_QUIET_NS));
	watch_again(&w, now);
	assert_true(watch_take(&w, now + WATCH_QUIET_NS));
}

static void test_no_burst_goes_on_for_ever(void **state)
{
	__u64 start = 1000 * NSEC_PER_SEC, now = start;

	look_at(path);
	do {
		file_put(path);
		watch_read(&w, now);
		if (watch_take(&w, now))
			break;
		now += WATCH_QUIET_NS / 2;
	} while (now < start + 2 * WATCH_LONGEST_NS);
	assert_in_range(now - start, WATCH_LONGEST_NS, WATCH_LONGEST_NS + WATCH_QUIET_NS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_file),
		T(test_a_directory),
		T(test_missing_ancestors),
		T(test_a_symbolic_link),
		T(test_forgets_what_is_not_named_again),
		T(test_a_burst_is_one),
		T(test_no_burst_goes_on_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
