// SPDX-License-Identifier: Apache-2.0
/* The store as its users see it: what is put is found, by every filter, indexed or not. */
#include "support/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store_int.h"
#include "support/store_fixture.h"

static char dir[64];

static struct store *open_store(enum store_mode mode)
{
	struct store_config cfg = { .dir = dir, .mode = mode, .map_size = (size_t)256 << 20 };
	struct store *s = NULL;

	assert_int_equal(store_open(&cfg, &s), 0);
	return s;
}

static void index_all(struct store *s)
{
	int r;

	while ((r = store_index_step(s, 100)) > 0)
		;
	assert_int_equal(r, 0);
}

static size_t count_sessions(struct store *s, const struct store_query *q)
{
	struct store_sessions *c = NULL;
	struct store_session sess;
	struct ulid last = { { 0 } };
	size_t n = 0;
	int r;

	assert_int_equal(store_sessions_open(s, q, &c), 0);
	while ((r = store_sessions_next(c, &sess)) > 0) {
		if (n)
			assert_true(q->newest_first ? ulid_cmp(&sess.id, &last) < 0
						    : ulid_cmp(&sess.id, &last) > 0);
		last = sess.id;
		n++;
	}
	assert_int_equal(r, 0);
	assert_null(store_sessions_close(c));
	return n;
}

static size_t count_hits(struct store *s, const struct store_query *q)
{
	struct store_hits *c = NULL;
	struct store_session sess;
	struct store_event ev;
	size_t n = 0;
	int r;

	assert_int_equal(store_hits_open(s, q, &c), 0);
	while ((r = store_hits_next(c, &sess, &ev)) > 0)
		n++;
	assert_int_equal(r, 0);
	assert_null(store_hits_close(c));
	return n;
}

static void put_one(struct store_batch *b, struct store_session *sess, const char *verb,
		    const char *text, struct verdict v)
{
	struct op op;
	struct store_event ev = store_fixture_op(&op, verb, text);

	ev.verdict = v;
	assert_int_equal(store_put_event(b, sess, &ev), 0);
}

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

static void test_event_round_trip(void **state)
{
	const struct op_object objects[] = { { "table", SLICE("public.users"), OP_WRITE },
					     { "function", SLICE("now"), 0 } };
	const struct op_attr attrs[] = {
		{ "where", OP_ATTR_BOOL, { .b = false } },
		{ "rows", OP_ATTR_INT, { .i = -5 } },
		{ "host", OP_ATTR_TEXT, { .s = SLICE("web\0x") } },
	};
	const struct op_param params[] = { { false, SLICE("1") },
					   { true, SLICE_NONE },
					   { false, SLICE_NONE } };
	struct store *s = open_store(STORE_WRITE);
	struct store_session sess = store_fixture_session(1), got;
	const struct identity_label labels[] = { { "team", "billing" }, { "empty", "" } };
	struct op op = { .id = 77,
			 .protocol = "postgres",
			 .verb = SLICE("UPDATE"),
			 .effects = OP_WRITE | OP_UNKNOWN,
			 .objects = objects,
			 .n_objects = 2,
			 .attrs = attrs,
			 .n_attrs = 3,
			 .params = params,
			 .n_params = 3,
			 .text = SLICE("update users"),
			 .norm = SLICE("update"),
			 .fingerprint = UINT64_MAX,
			 .text_cut = true };
	struct store_event op_ev = {
		.type = STORE_OP,
		.time_ns = 9,
		.op = &op,
		.verdict = { .kind = VERDICT_BLOCK, .rule = "no", .message = "because", .risk = 70 }
	};
	struct store_event res = {
		.type = STORE_RESULT, .op_id = 77, .attrs = attrs, .n_attrs = 3, .failed = true
	};
	struct store_event err = { .type = STORE_ERROR,
				   .dir = DIR_TO_CLIENT,
				   .text = "bad",
				   .spec = "RFC",
				   .offset = 1ULL << 40 };
	struct store_event word = { .type = STORE_APPROVAL,
				    .op_id = 77,
				    .text = "approved",
				    .attrs = attrs,
				    .n_attrs = 3 };
	struct store_event ev;
	struct store_events *c = NULL;
	struct store_batch *b = NULL;
	void *mem = NULL;
	uint8_t hash[32] = { 1, 2, 3 };

	sess.identity.labels = labels;
	sess.identity.n_labels = 2;
	sess.policy_hash = hash;
	sess.bytes_to_client = UINT64_MAX;
	assert_int_equal(store_batch_new(s, &b), 0);
	assert_true(store_batch_empty(b));
	assert_int_equal(store_put_event(b, &sess, &op_ev), 0);
	assert_int_equal(store_put_event(b, &sess, &res), 0);
	assert_int_equal(store_put_event(b, &sess, &err), 0);
	assert_int_equal(store_put_event(b, &sess, &word), 0);
	assert_int_equal(store_put_session(b, &sess), 0);
	assert_false(store_batch_empty(b));
	assert_int_equal(store_commit(b), 0);
	assert_true(store_batch_empty(b));

	assert_int_equal(store_events_open(s, &sess.id, 0, &c), 0);
	assert_int_equal(store_events_next(c, &ev), 1);
	assert_int_equal(ev.type, STORE_OP);
	assert_int_equal(ev.op->id, 77);
	assert_int_equal(ev.op->effects, OP_WRITE | OP_UNKNOWN);
	assert_int_equal(ev.op->n_objects, 2);
	assert_string_equal(ev.op->objects[0].kind, "table");
	assert_true(slice_eq_str(ev.op->objects[0].name, "public.users"));
	assert_int_equal(ev.op->objects[0].access, OP_WRITE);
	assert_string_equal(ev.op->objects[1].kind, "function");
	assert_int_equal(ev.op->n_attrs, 3);
	assert_int_equal(ev.op->attrs[0].type, OP_ATTR_BOOL);
	assert_false(ev.op->attrs[0].b);
	assert_int_equal(ev.op->attrs[1].i, -5);
	assert_true(slice_eq(ev.op->attrs[2].s, SLICE("web\0x")));
	assert_int_equal(ev.op->n_params, 3);
	assert_true(ev.op->params[1].null);
	assert_false(ev.op->params[2].null);
	assert_true(ev.op->fingerprint == UINT64_MAX && ev.op->text_cut);
	assert_true(slice_eq_str(ev.op->norm, "update"));
	assert_int_equal(ev.verdict.kind, VERDICT_BLOCK);
	assert_string_equal(ev.verdict.rule, "no");
	assert_string_equal(ev.verdict.message, "because");
	assert_int_equal(ev.verdict.risk, 70);
	assert_int_equal(store_events_next(c, &ev), 1);
	assert_true(ev.type == STORE_RESULT && ev.failed && ev.op_id == 77 && ev.n_attrs == 3);
	assert_int_equal(store_events_next(c, &ev), 1);
	assert_true(ev.type == STORE_ERROR && ev.offset == 1ULL << 40 && ev.dir == DIR_TO_CLIENT);
	assert_string_equal(ev.spec, "RFC");
	assert_int_equal(store_events_next(c, &ev), 1);
	assert_true(ev.type == STORE_APPROVAL && ev.op_id == 77 && ev.n_attrs == 3);
	assert_string_equal(ev.text, "approved");
	assert_string_equal(store_event_names[ev.type], "approval");
	assert_int_equal(store_events_next(c, &ev), 0);
	assert_null(store_events_close(c));

	assert_int_equal(store_session_get(s, "01KD", &got, &mem), 0);
	assert_string_equal(got.identity.cgroup_path, "/agents.slice/a.scope");
	assert_int_equal(got.identity.n_labels, 2);
	assert_string_equal(got.identity.labels[0].value, "billing");
	assert_string_equal(got.identity.labels[1].value, "");
	assert_memory_equal(got.policy_hash, hash, 32);
	assert_true(got.bytes_to_client == UINT64_MAX && addr_eq(&got.dst, &sess.dst));
	assert_int_equal(got.n_events, 4);
	free(mem);
	assert_int_equal(store_session_get(s, "7ZZZ", &got, &mem), -ENOENT);
	assert_int_equal(store_session_get(s, "01!!", &got, &mem), -EINVAL);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

static void test_data_compressed(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_session sess = store_fixture_session(1);
	static uint8_t noise[8192], text[65536];
	struct store_event ev, got;
	struct store_events *c = NULL;
	struct store_batch *b = NULL;
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "{\"id\": 17, \"name\": \"x\"}"[i % 22];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);
	assert_int_equal(store_batch_new(s, &b), 0);
	ev = (struct store_event){ .type = STORE_DATA,
				   .dir = DIR_TO_CLIENT,
				   .data_skipped = 7,
				   .data = slice_of(text, sizeof(text)) };
	assert_int_equal(store_put_event(b, &sess, &ev), 0);
	assert_true(store_batch_bytes(b) < sizeof(text) / 4);
	ev.data = slice_of(noise, sizeof(noise));
	assert_int_equal(store_put_event(b, &sess, &ev), 0);
	assert_int_equal(store_put_session(b, &sess), 0);
	assert_int_equal(store_commit(b), 0);
	assert_int_equal(store_events_open(s, &sess.id, 0, &c), 0);
	assert_int_equal(store_events_next(c, &got), 1);
	assert_true(slice_eq(got.data, slice_of(text, sizeof(text))) && got.data_skipped == 7);
	assert_int_equal(store_events_next(c, &got), 1);
	assert_true(slice_eq(got.data, slice_of(noise, sizeof(noise))));
	(void)store_events_close(c);
	(void)store_batch_free(b);
	(void)store_close(s);
}

/* The same answers before, halfway through and after indexing, in both orders. */
static void check_queries(struct store *s)
{
	const struct {
		struct store_query q;
		size_t sessions, hits;
	} cases[] = {
		{ { .verdict = -1, .pid = -1, .uid = -1 }, 300, 900 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/agents.slice" }, 300, 900 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/agents.slice/g1/" }, 30, 90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/agents.slice/g1" }, 30, 90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/agents.slice/g" }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/*/g[1]" }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/*/g?" }, 300, 900 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup = "/agents.slice/g2/**" },
		  30,
		  90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .cgroup_id = 1007 }, 1, 3 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .container = "abcdef0123456789" },
		  30,
		  90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .container = "abcdef012345" }, 30, 90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .container = "abcdef" }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .container = "*cdef*" }, 30, 90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .target = "db*" }, 100, 300 },
		{ { .verdict = VERDICT_BLOCK, .pid = -1, .uid = -1 }, 60, 60 },
		{ { .verdict = VERDICT_HOLD, .pid = -1, .uid = -1 }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .rule = "no-drop" }, 60, 60 },
		{ { .verdict = VERDICT_ALLOW, .pid = -1, .uid = -1, .rule = "no-drop" }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .label_key = "n", .label_value = "5" },
		  30,
		  90 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .label_key = "n" }, 300, 900 },
		{ { .verdict = -1, .pid = 4243, .uid = -1 }, 0, 0 },
		{ { .verdict = -1, .pid = -1, .uid = -1, .limit = 70, .cgroup = "/agents.slice" },
		  70,
		  70 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "DROP" },
		    .n_words = 1 },
		  60,
		  60 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "drop", "orders" },
		    .n_words = 2 },
		  60,
		  60 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "drop", "users" },
		    .n_words = 2 },
		  0,
		  0 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "order" },
		    .n_words = 1 },
		  0,
		  0 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "ord*" },
		    .n_words = 1 },
		  60,
		  60 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "public.Users" },
		    .n_words = 1 },
		  300,
		  600 - 60 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "=" },
		    .n_words = 1 },
		  300,
		  300 },
		{ { .verdict = -1,
		    .pid = -1,
		    .uid = -1,
		    .words = (const char *[]){ "=", "17" },
		    .n_words = 2 },
		  1,
		  1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int newest = 0; newest < 2; newest++) {
			struct store_query q = cases[i].q;

			q.newest_first = newest;
			if (count_sessions(s, &q) != cases[i].sessions ||
			    count_hits(s, &q) != cases[i].hits)
				fail_msg("case %zu: %zu sessions, %zu hits", i,
					 count_sessions(s, &q), count_hits(s, &q));
		}
	}
}

static void put_many(struct store *s)
{
	struct store_batch *b = NULL;

	assert_int_equal(store_batch_new(s, &b), 0);
	for (unsigned n = 0; n < 300; n++) {
		struct store_session sess = store_fixture_session(n);
		struct identity_label label = { "n",
						(const char *[]){ "0", "1", "2", "3", "4", "5", "6",
								  "7", "8", "9" }[n % 10] };
		char cgroup[64], text[64];

		snprintf(cgroup, sizeof(cgroup), "/agents.slice/g%u", n % 10);
		sess.identity.cgroup_path = cgroup;
		sess.identity.container = n % 10 == 3 ? "abcdef0123456789" : "";
		sess.identity.labels = &label;
		sess.identity.n_labels = 1;
		sess.target = n % 3 ? "web" : "db1";
		assert_int_equal(store_put_session(b, &sess), 0);
		put_one(b, &sess, "SELECT", "select * from public.users",
			(struct verdict){ .rule = "default" });
		snprintf(text, sizeof(text), "select x from t where id = %u", n);
		put_one(b, &sess, "SELECT", text, (struct verdict){ .rule = "default" });
		if (n % 5)
			put_one(b, &sess, "SELECT", "select 1 from PUBLIC.USERS",
				(struct verdict){ .rule = "default" });
		else
			put_one(b, &sess, "DROP", "DROP TABLE orders",
				(struct verdict){ .kind = VERDICT_BLOCK,
						  .rule = "no-drop",
						  .message = "no" });
		sess.state = n % 2 ? STORE_SESSION_ENDED : STORE_SESSION_OPEN;
		assert_int_equal(store_put_session(b, &sess), 0);
		if (n % 7 == 0)
			assert_int_equal(store_commit(b), 0);
	}
	assert_int_equal(store_commit(b), 0);
	assert_null(store_batch_free(b));
}

static void test_queries(void **state)
{
	struct store *s = open_store(STORE_WRITE);

	put_many(s);
	check_queries(s);
	for (int i = 0; i < 4; i++)
		assert_true(store_index_step(s, 100) > 0);
	check_queries(s);
	index_all(s);
	check_queries(s);
	assert_null(store_close(s));
	s = open_store(STORE_READ);
	check_queries(s);
	assert_null(store_close(s));
}

/* A session of many blocks: only those with a match are read, and all of them are found. */
static void test_long_session(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_session sess = store_fixture_session(3);
	struct store_batch *b = NULL;
	struct store_query q = STORE_QUERY_ANY;

	assert_int_equal(store_batch_new(s, &b), 0);
	for (unsigned i = 0; i < 5000; i++)
		put_one(b, &sess, "SELECT", i % 1500 == 7 ? "find the needle" : "hay",
			(struct verdict){ .rule = i == 4999 ? "last" : "default" });
	assert_int_equal(store_put_session(b, &sess), 0);
	assert_int_equal(store_commit(b), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (int newest = 0; newest < 2; newest++) {
			q = STORE_QUERY_ANY;
			q.newest_first = newest;
			q.words = (const char *[]){ "needle" };
			q.n_words = 1;
			assert_int_equal(count_hits(s, &q), 4);
			q.words = (const char *[]){ "hay" };
			assert_int_equal(count_hits(s, &q), 4996);
			q.n_words = 0;
			q.rule = "last";
			assert_int_equal(count_hits(s, &q), 1);
			assert_int_equal(count_sessions(s, &q), 1);
		}
		index_all(s);
	}
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

/* More words than the index takes of one event: found all the same. */
static void test_overflow(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_session sess = store_fixture_session(3);
	struct store_query q = STORE_QUERY_ANY;
	struct store_batch *b = NULL;
	static char text[20000];
	size_t n = 0;

	for (unsigned i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "w%u ", i);
	assert_int_equal(store_batch_new(s, &b), 0);
	put_one(b, &sess, "SELECT", text, (struct verdict){ .rule = "default" });
	assert_int_equal(store_put_session(b, &sess), 0);
	assert_int_equal(store_commit(b), 0);
	index_all(s);
	q.n_words = 2;
	q.words = (const char *[]){ "w3", "W1999" };
	assert_int_equal(count_hits(s, &q), 1);
	q.words = (const char *[]){ "w3", "w2000" };
	assert_int_equal(count_hits(s, &q), 0);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

static void test_time_range(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_query q = STORE_QUERY_ANY;
	struct store_session sess = store_fixture_session(0);
	struct store_batch *b = NULL;

	put_many(s);
	q.since_ns = sess.start_ns + 10 * NSEC_PER_MSEC;
	q.until_ns = sess.start_ns + 20 * NSEC_PER_MSEC;
	assert_int_equal(count_sessions(s, &q), 10);
	assert_int_equal(store_batch_new(s, &b), 0);
	sess.start_ns += 3600 * NSEC_PER_SEC; /* its id is of another time */
	assert_int_equal(store_put_session(b, &sess), -EINVAL);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

static void test_one_writer(void **state)
{
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE };
	struct store *s, *second;

	cfg.mode = STORE_READ;
	assert_int_equal(store_open(&cfg, &s), -ENOENT);
	cfg.mode = STORE_WRITE;
	assert_int_equal(store_open(&cfg, &s), 0);
	assert_int_equal(store_open(&cfg, &second), -EBUSY);
	assert_null(store_close(s));
	assert_int_equal(store_open(&cfg, &s), 0);
	assert_null(store_close(s));
}

static void test_interrupted(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_query q = STORE_QUERY_ANY;
	struct store_sessions *c = NULL;
	struct store_session sess;
	int n = 0;

	put_many(s);
	assert_int_equal(store_close_interrupted(s, UINT64_MAX), 150);
	assert_int_equal(store_close_interrupted(s, UINT64_MAX), 0);
	assert_int_equal(store_sessions_open(s, &q, &c), 0);
	while (store_sessions_next(c, &sess) > 0) {
		assert_int_not_equal(sess.state, STORE_SESSION_OPEN);
		if (sess.state != STORE_SESSION_INTERRUPTED)
			continue;
		assert_int_equal(sess.n_ops, 3);
		assert_int_equal(sess.n_allowed + sess.n_blocked, 3);
		assert_true(sess.end_ns >= sess.start_ns);
		n++;
	}
	assert_int_equal(n, 150);
	(void)store_sessions_close(c);
	index_all(s);
	check_queries(s);
	assert_null(store_close(s));
}

static void test_map_full(void **state)
{
	struct store_config cfg = { .dir = dir,
				    .mode = STORE_WRITE,
				    .map_size = 1 << 20,
				    .journal_size = JOURNAL_SIZE_MIN };
	struct store_session sess = store_fixture_session(1);
	struct store_query q = STORE_QUERY_ANY;
	struct store_batch *b = NULL;
	struct store *s = NULL;
	unsigned commits = 0;
	int r;

	assert_int_equal(store_open(&cfg, &s), 0);
	assert_int_equal(store_batch_new(s, &b), 0);
	assert_int_equal(store_put_session(b, &sess), 0);
	do {
		for (int i = 0; i < 10; i++)
			put_one(b, &sess, "SELECT", "a statement of some length, to fill it",
				(struct verdict){ .rule = "default" });
		r = store_commit(b);
		commits += r == 0;
	} while (!r);
	assert_int_equal(r, -ENOSPC);
	assert_true(store_batch_empty(b));
	put_one(b, &sess, "SELECT", "still full", (struct verdict){ .rule = "default" });
	assert_int_equal(store_commit(b), -ENOSPC);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));

	/* What was taken waits in the journal until there is room. */
	cfg.map_size = 16 << 20;
	assert_int_equal(store_open(&cfg, &s), 0);
	assert_int_equal(count_hits(s, &q), commits * 10); /* the last one whole or not at all */
	assert_null(store_close(s));
}

/* The file may grow no further: as a full disk, an error and not a signal. */
static void test_disk_full(void **state)
{
	struct store_config cfg = { .dir = dir,
				    .mode = STORE_WRITE,
				    .journal_size = JOURNAL_SIZE_MIN };
	struct rlimit old, lim;
	struct store *s = NULL;
	struct store_session sess = store_fixture_session(1);
	struct store_query q = STORE_QUERY_ANY;
	struct store_batch *b = NULL;
	unsigned commits = 0;
	int r;

	assert_int_equal(store_open(&cfg, &s), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	lim = old;
	lim.rlim_cur = 1 << 20;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
	assert_int_equal(store_batch_new(s, &b), 0);
	assert_int_equal(store_put_session(b, &sess), 0);
	do {
		for (int i = 0; i < 10; i++)
			put_one(b, &sess, "SELECT", "a statement of some length, to fill it",
				(struct verdict){ .rule = "default" });
		r = store_commit(b);
		commits += r == 0;
	} while (!r && commits < 10000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(r == -ENOSPC || r == -EIO); /* what LMDB makes of a short write */
	put_one(b, &sess, "SELECT", "there is room again", (struct verdict){ .rule = "default" });
	assert_int_equal(store_commit(b), 0);
	assert_int_equal(count_hits(s, &q), commits * 10 + 1);
	assert_null(store_batch_free(b));
	assert_null(store_close(s));
}

static void overwrite(struct store *s, enum store_db db, const void *key, size_t n)
{
	MDB_val k = store_val(key, n), v = store_val("\1\0garbage", 9);
	MDB_txn *txn;

	assert_int_equal(store_txn_begin(s, 0, &txn), 0);
	assert_int_equal(mdb_put(txn, s->dbi[db], &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
}

/* A damaged record is told of, and those behind it are still read. */
static void test_damaged(void **state)
{
	struct store *s = open_store(STORE_WRITE);
	struct store_session one = store_fixture_session(10), other = store_fixture_session(11),
			     got;
	struct store_query q = STORE_QUERY_ANY;
	struct store_sessions *c = NULL;
	struct store_events *e = NULL;
	char id[ULID_TEXT_MAX];
	struct store_event ev;
	uint8_t key[20];
	void *mem = NULL;
	size_t ok = 0, bad = 0;
	int r;

	put_many(s);
	store_settle(s);
	overwrite(s, DB_SESSION, one.id.bytes, 16);
	store_key(key, &other.id, 1);
	overwrite(s, DB_EVENT, key, sizeof(key));
	overwrite(s, DB_OPEN, other.id.bytes, 16);
	for (int pass = 0; pass < 2; pass++) {
		ok = bad = 0;
		assert_int_equal(store_sessions_open(s, &q, &c), 0);
		while ((r = store_sessions_next(c, &got)) != 0) {
			assert_true(r == 1 || r == -EBADMSG);
			ok += r == 1;
			bad += r == -EBADMSG;
		}
		assert_null(store_sessions_close(c));
		assert_true(ok == 299 && bad == 1);
		ok = bad = 0;
		assert_int_equal(store_events_open(s, &other.id, 0, &e), 0);
		while ((r = store_events_next(e, &ev)) != 0) {
			ok += r == 1;
			bad += r == -EBADMSG;
		}
		assert_null(store_events_close(e));
		assert_true(ok == 2 && bad == 1);
		index_all(s);
	}
	assert_int_equal(store_session_get(s, ulid_format(&one.id, id), &got, &mem), -EBADMSG);
	assert_true(store_close_interrupted(s, UINT64_MAX) >= 0);
	assert_null(store_close(s));
}

static void test_policy(void **state)
{
	const uint8_t hash[32] = { 9 }, other[32] = { 8 };
	struct store *s = open_store(STORE_WRITE);
	char *text = NULL;

	assert_int_equal(store_put_policy(s, hash, SLICE("{}")), 0);
	assert_int_equal(store_put_policy(s, hash, SLICE("{}")), 0);
	assert_int_equal(store_get_policy(s, hash, &text), 0);
	assert_string_equal(text, "{}");
	free(text);
	assert_int_equal(store_get_policy(s, other, &text), -ENOENT);
	assert_null(store_close(s));
}

/* Every allocation of ours fails once; nothing leaks, nothing half-done is written. */
static int alloc_scenario(void *ctx)
{
	struct store_query q = STORE_QUERY_ANY;
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = 16 << 20 };
	struct store_session sess = store_fixture_session(1), got;
	struct store_batch *b = NULL;
	struct store_hits *h = NULL;
	struct store *s = NULL;
	struct store_event ev;
	struct op op;
	void *mem = NULL;
	int r;

	store_fixture_remove(dir); /* each run from nothing, or the allocations would differ */
	assert_int_equal(mkdir(dir, 0700), 0);
	r = store_open(&cfg, &s);
	if (r < 0)
		return r;
	r = store_batch_new(s, &b);
	if (!r) {
		ev = store_fixture_op(&op, "SELECT", "select 1");
		r = store_put_event(b, &sess, &ev);
	}
	if (!r)
		r = store_put_session(b, &sess);
	if (b && r < 0)
		assert_true(store_commit(b) < 0 || store_batch_empty(b));
	if (!r)
		r = store_commit(b);
	if (!r)
		r = store_index_step(s, 10);
	q.words = (const char *[]){ "sel*", "1" };
	q.n_words = 2;
	if (r >= 0)
		r = store_hits_open(s, &q, &h);
	if (!r) {
		r = store_hits_next(h, &got, &ev);
		r = r > 0 ? 0 : r;
	}
	(void)store_hits_close(h);
	if (!r)
		r = store_session_get(s, "01KD", &got, &mem);
	free(mem);
	(void)store_batch_free(b);
	(void)store_close(s);
	return r < 0 ? r : 0;
}

static void test_alloc(void **state)
{
	alloc_fail_each(alloc_scenario, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_event_round_trip),
		T(test_data_compressed),
		T(test_queries),
		T(test_long_session),
		T(test_overflow),
		T(test_time_range),
		T(test_one_writer),
		T(test_interrupted),
		T(test_map_full),
		T(test_disk_full),
		T(test_policy),
		T(test_damaged),
		T(test_alloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
