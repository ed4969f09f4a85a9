// SPDX-License-Identifier: Apache-2.0
/* What was committed survives a kill at any instant; writers, the indexer and readers at once. */
#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/store_fixture.h"

enum { KILLS = 40, PER_BATCH = 7, WRITERS = 3, TURNS = 60 };

static char dir[64];

static int setup(void **state)
{
	store_fixture_dir(dir);
	return 0;
}

static int teardown(void **state)
{
	store_fixture_remove(dir);
	return 0;
}

/* A turn: events numbered one after the other and the session with the count of them. */
static int put_turn(struct store_batch *b, struct store_session *sess)
{
	int r = 0;

	for (int i = 0; i < PER_BATCH && !r; i++) {
		struct op op;
		struct store_event ev = store_fixture_op(&op, "SELECT", "select one from many");

		op.id = sess->n_events + 1;
		r = store_put_event(b, sess, &ev);
	}
	if (!r)
		r = store_put_session(b, sess);
	return r ? r : store_commit(b);
}

/* Writes until it is killed, and tells of each commit after it has returned. */
static void child(unsigned round, int fd)
{
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = (size_t)1 << 30 };
	struct store_session sess = store_fixture_session(round);
	struct store_batch *b = NULL;
	struct store *s = NULL;

	if (store_open(&cfg, &s) < 0 || store_batch_new(s, &b) < 0)
		_exit(1);
	for (unsigned turn = 1;; turn++) {
		if (put_turn(b, &sess) < 0)
			_exit(2);
		if (write(fd, &turn, sizeof(turn)) != sizeof(turn))
			_exit(3);
		if (turn % 5 == 0 && store_index_step(s, 64) < 0)
			_exit(4);
	}
}

static unsigned kill_one(unsigned round)
{
	struct timespec ts = { .tv_nsec = 3000000 + (long)(round * 7919 % 20) * 700000 };
	unsigned turn, last = 0;
	int pipefd[2], status;
	pid_t pid;

	assert_int_equal(pipe(pipefd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child(round, pipefd[1]);
	close(pipefd[1]);
	/* The first commit, so that each round has one; then some time that is different each round. */
	assert_int_equal(read(pipefd[0], &last, sizeof(last)), sizeof(last));
	nanosleep(&ts, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(pipefd[0], &turn, sizeof(turn)) == sizeof(turn))
		last = turn;
	close(pipefd[0]);
	return last;
}

/* Whole turns only, at least those that were told of, each event as it was put. */
static void check_session(struct store *s, unsigned round, unsigned turns)
{
	struct store_session want = store_fixture_session(round), got;
	struct store_events *c = NULL;
	char id[ULID_TEXT_MAX];
	struct store_event ev;
	void *mem = NULL;
	uint32_t n = 0;
	int r;

	assert_int_equal(store_session_get(s, ulid_format(&want.id, id), &got, &mem), 0);
	assert_int_equal(store_events_open(s, &want.id, 0, &c), 0);
	while ((r = store_events_next(c, &ev)) > 0) {
		assert_int_equal(ev.seq, n);
		assert_int_equal(ev.op->id, n + 1);
		n++;
	}
	assert_int_equal(r, 0);
	assert_true(n >= turns * PER_BATCH);
	assert_int_equal(n % PER_BATCH, 0);
	assert_int_equal(got.n_events, n);
	assert_int_equal(got.state, STORE_SESSION_INTERRUPTED);
	assert_null(store_events_close(c));
	free(mem);
}

static void test_kill(void **state)
{
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = (size_t)1 << 30 };

	for (unsigned round = 0; round < KILLS; round++) {
		unsigned turns = kill_one(round);
		struct store *s = NULL;

		assert_int_equal(store_open(&cfg, &s), 0);
		assert_int_equal(store_close_interrupted(s, UINT64_MAX), 1);
		check_session(s, round, turns);
		assert_null(store_close(s));
	}
}

/* ---- threads ------------------------------------------------------------------------------ */

static struct store *shared;
static atomic_int writing;
static atomic_int failures;

static void *write_thread(void *arg)
{
	struct store_session sess = store_fixture_session((unsigned)(uintptr_t)arg);
	struct store_batch *b = NULL;

	if (store_batch_new(shared, &b) < 0)
		failures++;
	for (int turn = 0; b && turn < TURNS; turn++)
		failures += put_turn(b, &sess) < 0;
	(void)store_batch_free(b);
	writing--;
	return NULL;
}

static void *index_thread(void *arg)
{
	int r;

	do
		r = store_index_step(shared, 50);
	while (r > 0 || (!r && writing));
	failures += r < 0;
	return NULL;
}

static size_t count(const struct store_query *q)
{
	struct store_hits *h = NULL;
	struct store_session sess;
	struct store_event ev;
	size_t n = 0;

	if (store_hits_open(shared, q, &h) < 0) {
		failures++;
		return 0;
	}
	while (store_hits_next(h, &sess, &ev) > 0)
		n++;
	(void)store_hits_close(h);
	return n;
}

/* While all write and index: what was found once is found again, so the number never falls. */
static void *read_thread(void *arg)
{
	struct store_query q = STORE_QUERY_ANY;
	size_t last = 0;

	q.words = (const char *[]){ "one", "many" };
	q.n_words = 2;
	while (writing) {
		size_t n = count(&q);

		failures += n < last;
		last = n;
	}
	failures += count(&q) != WRITERS * TURNS * PER_BATCH;
	return NULL;
}

static void test_threads(void **state)
{
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = (size_t)1 << 30 };
	pthread_t t[WRITERS + 2];

	assert_int_equal(store_open(&cfg, &shared), 0);
	writing = WRITERS;
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_thread, (void *)i), 0);
	assert_int_equal(pthread_create(&t[WRITERS], NULL, index_thread, NULL), 0);
	assert_int_equal(pthread_create(&t[WRITERS + 1], NULL, read_thread, NULL), 0);
	for (int i = 0; i < WRITERS + 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(failures, 0);
	assert_null(store_close(shared));
}

static void test_limits(void **state)
{
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = (size_t)1 << 30 };
	struct store_session sess = store_fixture_session(1);
	struct store_event ev = { .type = STORE_DATA };
	static uint8_t big[(16 << 20) + 1];
	struct store_batch *b = NULL;
	struct store *s = NULL;

	assert_int_equal(store_open(&cfg, &s), 0);
	assert_int_equal(store_batch_new(s, &b), 0);
	ev.data = slice_of(big, sizeof(big));
	assert_int_equal(store_put_session(b, &sess), 0);
	assert_int_equal(store_put_event(b, &sess, &ev), -EMSGSIZE);
	assert_int_equal(sess.n_events, 0);
	/* The batch is spoilt as a whole, then as new. */
	assert_int_equal(store_commit(b), -EMSGSIZE);
	assert_true(store_batch_empty(b));
	assert_int_equal(put_turn(b, &sess), 0);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
