// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/journal.h"
#include "support/store_fixture.h"

static char dir[64];
static int dir_fd;

static int setup(void **state)
{
	store_fixture_dir(dir);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	return dir_fd < 0;
}

static int teardown(void **state)
{
	close(dir_fd);
	store_fixture_remove(dir);
	return 0;
}

static struct journal *reopen(struct journal *j, uint64_t tail)
{
	struct journal *fresh;

	assert_null(journal_close(j));
	assert_int_equal(journal_open(dir_fd, JOURNAL_SIZE_MIN, tail, &fresh), 0);
	return fresh;
}

/* A batch that says which it is, in its length too. */
static struct slice batch_of(unsigned n, uint8_t mem[4096])
{
	size_t len = 8 + n * 37 % 3000;

	memset(mem, (int)n, len);
	memcpy(mem, &n, sizeof(n));
	return slice_of(mem, len);
}

static void expect_from(struct journal *j, uint64_t *pos, unsigned first, unsigned end)
{
	uint8_t mem[4096];
	struct slice got;

	for (unsigned n = first; n < end; n++) {
		assert_int_equal(journal_read(j, pos, &got), 1);
		assert_true(slice_eq(got, batch_of(n, mem)));
	}
	assert_int_equal(journal_read(j, pos, &got), 0);
}

static void test_laps_without_end(void **state)
{
	struct journal *j = reopen(NULL, 0);
	unsigned in = 0, out = 0, laps = 0;
	uint8_t mem[4096];

	while (laps < 20) {
		int r = journal_append(j, batch_of(in, mem));
		uint64_t pos = journal_tail(j);

		if (r == 0) {
			in++;
			continue;
		}
		assert_int_equal(r, -EAGAIN);
		assert_true(in - out > 5);
		/* Sometimes the writer dies here: another one finds all of it. */
		if (laps % 3 == 0)
			j = reopen(j, pos);
		expect_from(j, &pos, out, in);
		journal_release(j, pos);
		out = in;
		laps++;
	}
	assert_null(journal_close(j));
}

static void test_a_torn_entry_ends_it(void **state)
{
	struct journal *j = reopen(NULL, 0);
	uint64_t pos = 0;
	uint8_t mem[4096], byte;
	int fd;

	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(journal_append(j, batch_of(n, mem)), 0);
	for (unsigned n = 0; n < 6; n++) {
		struct slice got;

		assert_int_equal(journal_read(j, &pos, &got), 1);
	}
	assert_null(journal_close(j));
	/* One bit of the seventh: it and all behind it is what a loss of power may cost. */
	fd = openat(dir_fd, "journal", O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(4096 + pos + 40)), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(4096 + pos + 40)), 1);
	close(fd);
	j = reopen(NULL, 0);
	pos = 0;
	expect_from(j, &pos, 0, 6);
	/* And new ones are written over it. */
	assert_int_equal(journal_append(j, batch_of(6, mem)), 0);
	pos = 0;
	expect_from(j, &pos, 0, 7);
	assert_null(journal_close(j));
}

static void test_size_limits(void **state)
{
	struct journal *j = reopen(NULL, 0);
	uint8_t *big = calloc(1, JOURNAL_SIZE_MIN);
	uint64_t pos = 0;
	struct slice got;

	assert_non_null(big);
	assert_int_equal(journal_append(j, slice_of(big, journal_entry_max(j))), 0);
	assert_int_equal(journal_read(j, &pos, &got), 1);
	assert_int_equal(got.len, journal_entry_max(j));
	assert_null(journal_close(j));
	free(big);
}

static void test_an_unfinished_file_is_made_anew(void **state)
{
	int fd = openat(dir_fd, "journal", O_RDWR | O_CREAT, 0600);
	struct journal *j;
	struct stat st;

	assert_int_equal(ftruncate(fd, 5000), 0);
	close(fd);
	j = reopen(NULL, 0);
	assert_int_equal(fstatat(dir_fd, "journal", &st, 0), 0);
	assert_int_equal(st.st_size, 4096 + JOURNAL_SIZE_MIN);
	assert_true(st.st_blocks * 512 >= JOURNAL_SIZE_MIN); /* no holes */
	assert_null(journal_close(j));
}

static void test_readers_see_how_far_it_is(void **state)
{
	struct journal *j = reopen(NULL, 0);
	struct journal_view *v = journal_view_open(dir_fd);
	uint8_t mem[4096];
	uint64_t pos = 0;

	assert_non_null(v);
	assert_true(journal_view_head(v) == 0);
	assert_int_equal(journal_append(j, batch_of(0, mem)), 0);
	assert_true(journal_view_head(v) > journal_view_tail(v));
	expect_from(j, &pos, 0, 1);
	journal_release(j, pos);
	assert_true(journal_view_head(v) == journal_view_tail(v));
	assert_null(journal_view_close(v));
	assert_null(journal_close(j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_laps_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_torn_entry_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_unfinished_file_is_made_anew, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_readers_see_how_far_it_is, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
