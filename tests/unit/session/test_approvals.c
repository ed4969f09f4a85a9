// SPDX-License-Identifier: Apache-2.0
#include "session/approvals.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>

#include "support/test.h"

#define SEC 1000000000ULL

static const uint8_t fixture_hash[32] = { 7 };

struct fixture {
	struct approvals *t;
	struct loop *loop;
	struct approvals_inbox in;
	struct store_session session;
	struct op_object object;
	struct op_param param;
	struct op op;
	struct verdict_hold hold;
	struct verdict verdict;
	struct approval_ask ask;
};

static void fixture_fill(struct fixture *f)
{
	f->session = (struct store_session){
		.id = { .bytes = { 1 } },
		.identity = { .cgroup_id = 5,
			      .cgroup_path = "/agents/a",
			      .boot_id = "",
			      .runtime = "",
			      .container = "box",
			      .image = "",
			      .pod = "",
			      .pid = 10,
			      .uid = 20,
			      .comm = "ps\"ql",
			      .exe = "" },
		.target = "db",
		.protocol = "postgres",
		.policy = "p",
		.reason = "",
	};
	f->object = (struct op_object){ "table", SLICE("item"), OP_DELETE };
	f->param = (struct op_param){ false, SLICE("42") };
	f->op = (struct op){ .id = 3,
			     .protocol = "postgres",
			     .verb = SLICE("DELETE"),
			     .effects = OP_DELETE,
			     .objects = &f->object,
			     .n_objects = 1,
			     .params = &f->param,
			     .n_params = 1,
			     .text = SLICE("delete from item where id = $1"),
			     .fingerprint = 99 };
	f->hold = (struct verdict_hold){ .count = 1, .timeout_ns = 60 * SEC };
	f->verdict = (struct verdict){ .kind = VERDICT_HOLD,
				       .rule = "deletes",
				       .message = "Ask first.",
				       .risk = 40,
				       .hold = &f->hold };
	f->ask = (struct approval_ask){ .session = &f->session,
					.op = &f->op,
					.verdict = &f->verdict,
					.policy = "p",
					.policy_hash = fixture_hash,
					.target = "db",
					.real_ns = 1767225600 * SEC,
					.mono_ns = 1000 };
}

static void fixture_init(struct fixture *f, bool news)
{
	fixture_fill(f);
	assert_int_equal(approvals_new(news, &f->t), 0);
	assert_int_equal(loop_new(&f->loop), 0);
	approvals_inbox_init(&f->in, f->loop);
}

static void fixture_done(struct fixture *f)
{
	assert_int_equal(approvals_waiting(f->t), 0);
	assert_null(approvals_free(f->t));
	assert_null(loop_free(f->loop));
}

static struct approval *ask(struct fixture *f)
{
	struct approval *a;

	assert_int_equal(approvals_ask(f->t, &f->ask, &f->in, f, &a), 0);
	return a;
}

static int answer(struct fixture *f, const struct approval *a, const char *key, bool allow,
		  enum approval_state *ret)
{
	struct approval_answer an = { .allow = allow, .uid = 1000, .pid = 7, .time_ns = 5 };
	char id[ULID_TEXT_MAX], full[ULID_TEXT_MAX];
	int r;

	snprintf(an.key, sizeof(an.key), "%s", key);
	snprintf(an.reason, sizeof(an.reason), "because");
	r = approvals_answer(f->t, ulid_format(&a->id, id), &an, ret, full);
	if (r == 0)
		assert_string_equal(full, id);
	return r;
}

static void test_approved_once(void **state)
{
	struct fixture f;
	struct approval_answer an;
	enum approval_state st;
	struct approval *a;

	fixture_init(&f, false);
	a = ask(&f);
	assert_int_equal(approvals_waiting(f.t), 1);
	assert_null(approvals_take(f.t, &f.in));
	assert_int_equal(a->deadline_ns - a->asked_ns, 60 * SEC);
	assert_int_equal(answer(&f, a, "uid:1", true, &st), 0);
	assert_int_equal(st, APPROVAL_APPROVED);
	assert_int_equal(approvals_waiting(f.t), 0);
	/* It counts once, and for nothing else. */
	assert_int_equal(answer(&f, a, "uid:2", true, &st), -ENOENT);
	assert_int_equal(st, APPROVAL_APPROVED);
	assert_ptr_equal(approvals_take(f.t, &f.in), a);
	assert_null(approvals_take(f.t, &f.in));
	assert_int_equal(approvals_answer_next(f.t, a, &an), 1);
	assert_true(an.allow && an.uid == 1000 && !strcmp(an.reason, "because"));
	assert_int_equal(approvals_answer_next(f.t, a, &an), 0);
	/* What people said is not undone by a deadline that comes later. */
	assert_int_equal(approvals_settle(f.t, a, APPROVAL_EXPIRED, ""), APPROVAL_APPROVED);
	assert_null(approval_free(a));
	fixture_done(&f);
}

static void test_expired_is_final(void **state)
{
	struct fixture f;
	enum approval_state st;
	struct approval *a;

	fixture_init(&f, false);
	a = ask(&f);
	assert_int_equal(approvals_settle(f.t, a, APPROVAL_WAITING, ""), APPROVAL_WAITING);
	assert_int_equal(approvals_settle(f.t, a, APPROVAL_EXPIRED, ""), APPROVAL_EXPIRED);
	assert_int_equal(answer(&f, a, "uid:1", true, &st), -ENOENT);
	assert_int_equal(st, APPROVAL_EXPIRED);
	assert_null(approvals_take(f.t, &f.in));
	assert_null(approval_free(a));
	fixture_done(&f);
}

static void test_two_people(void **state)
{
	struct fixture f;
	enum approval_state st;
	struct approval *a;

	fixture_init(&f, false);
	f.hold.count = 2;
	a = ask(&f);
	assert_int_equal(answer(&f, a, "uid:1", true, &st), 0);
	assert_int_equal(st, APPROVAL_WAITING);
	assert_int_equal(answer(&f, a, "uid:1", true, &st), -EEXIST);
	assert_int_equal(answer(&f, a, "uid:1", false, &st), -EEXIST);
	assert_int_equal(answer(&f, a, "", true, &st), -EINVAL);
	assert_int_equal(answer(&f, a, "uid:2", true, &st), 0);
	assert_int_equal(st, APPROVAL_APPROVED);
	assert_int_equal(approvals_settle(f.t, a, APPROVAL_EXPIRED, ""), APPROVAL_APPROVED);
	assert_null(approval_free(a));

	a = ask(&f);
	assert_int_equal(answer(&f, a, "uid:1", true, &st), 0);
	assert_int_equal(answer(&f, a, "uid:2", false, &st), 0);
	assert_int_equal(st, APPROVAL_DENIED); /* one denial is enough */
	assert_int_equal(approvals_settle(f.t, a, APPROVAL_WAITING, ""), APPROVAL_DENIED);
	assert_null(approval_free(a));

	f.hold.count = APPROVAL_PEOPLE_MAX + 1;
	assert_int_equal(approvals_ask(f.t, &f.ask, &f.in, NULL, &a), -ENOSPC);
	fixture_done(&f);
}

static json_t *list_one(struct fixture *f, const char *id)
{
	struct buf b;
	json_t *o;

	buf_init(&b, APPROVAL_JSON_MAX * 2);
	assert_int_equal(approvals_list(f->t, id, &b), 1);
	o = json_loadb((const char *)buf_peek(&b).ptr, buf_len(&b), 0, NULL);
	assert_non_null(o);
	buf_done(&b);
	return o;
}

static const char *str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void test_listing(void **state)
{
	static char big[65536];
	struct fixture f;
	struct approval *a, *b;
	char id[ULID_TEXT_MAX];
	struct buf out;
	json_t *o;

	fixture_init(&f, false);
	a = ask(&f);
	ulid_format(&a->id, id);
	id[14] = '\0';
	o = list_one(&f, id);
	assert_string_equal(str(o, "text"), "delete from item where id = $1");
	assert_string_equal(str(o, "comm"), "ps\"ql");
	assert_string_equal(str(o, "rule"), "deletes");
	assert_string_equal(str(o, "asked"), "2026-01-01T00:00:00.000000Z");
	assert_string_equal(str(json_array_get(json_object_get(o, "objects"), 0), "name"), "item");
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "params"), 0)),
			    "42");
	assert_int_equal(strlen(str(o, "digest")), 64);
	json_decref(o);
	buf_init(&out, 2048);
	assert_int_equal(approvals_list(f.t, "01NO", &out), -ENOENT);
	assert_int_equal(approvals_list(f.t, "", &out), -ENOENT);

	/* Bytes that are all escapes, and not UTF-8, still make one line of JSON of bounded length. */
	memset(big, 0xff, sizeof(big));
	f.op.text = slice_of(big, sizeof(big));
	b = ask(&f);
	assert_int_equal(approvals_list(f.t, "01", &out), -ENOTUNIQ);
	o = list_one(&f, ulid_format(&b->id, (char[ULID_TEXT_MAX]){ 0 }));
	assert_true(json_is_true(json_object_get(o, "text_cut")));
	json_decref(o);
	/* As many as go in. */
	assert_int_equal(approvals_list(f.t, NULL, &out), 2 - 1);
	assert_true(slice_chr(buf_peek(&out), '\n') == (ptrdiff_t)buf_len(&out) - 1);
	buf_done(&out);
	(void)approvals_settle(f.t, a, APPROVAL_GONE, "");
	(void)approvals_settle(f.t, b, APPROVAL_GONE, "");
	assert_null(approval_free(a));
	assert_null(approval_free(b));
	fixture_done(&f);
}

static void test_digest_binds(void **state)
{
	struct fixture f;
	struct approval *a, *b;
	uint8_t first[SHA256_LEN];

	fixture_init(&f, false);
	a = ask(&f);
	memcpy(first, a->digest, sizeof(first));
	(void)approvals_settle(f.t, a, APPROVAL_GONE, "");
	assert_null(approval_free(a));
	for (int i = 0; i < 7; i++) {
		fixture_fill(&f);
		switch (i) {
		case 0: f.op.text = SLICE("delete from item where id = $2"); break;
		case 1: f.param.text = SLICE("43"); break;
		case 2: f.param.null = true; break;
		case 3: f.op.body = SLICE("x"); break;
		case 4: f.session.id.bytes[3] = 9; break;
		case 5: f.ask.target = "other"; break;
		case 6: f.op.id = 4; break;
		}
		b = ask(&f);
		assert_memory_not_equal(b->digest, first, SHA256_LEN);
		(void)approvals_settle(f.t, b, APPROVAL_GONE, "");
		assert_null(approval_free(b));
	}
	fixture_fill(&f);
	b = ask(&f);
	assert_memory_equal(b->digest, first, SHA256_LEN);
	(void)approvals_settle(f.t, b, APPROVAL_GONE, "");
	assert_null(approval_free(b));
	fixture_done(&f);
}

static void approve_and_remember(struct fixture *f)
{
	struct approval *a = ask(f);
	enum approval_state st;

	assert_int_equal(answer(f, a, "uid:1", true, &st), 0);
	assert_int_equal(approvals_settle(f->t, a, APPROVAL_WAITING, ""), APPROVAL_APPROVED);
	assert_null(approvals_take(f->t, &f->in));
	approvals_remember(f->t, a, f->ask.mono_ns);
	assert_null(approval_free(a));
}

static void test_remembered(void **state)
{
	struct fixture f;
	struct ulid id;

	fixture_init(&f, false);
	approve_and_remember(&f); /* the rule does not say so: forgotten */
	f.hold.remember_ns = 60 * SEC;
	assert_false(approvals_recall(f.t, &f.ask, &id));
	approve_and_remember(&f);
	assert_true(approvals_recall(f.t, &f.ask, &id));
	f.session.id.bytes[9] = 1; /* another session of this agent */
	assert_true(approvals_recall(f.t, &f.ask, &id));
	f.ask.mono_ns += 60 * SEC;
	assert_false(approvals_recall(f.t, &f.ask, &id));
	f.ask.mono_ns -= 60 * SEC;
	for (int i = 0; i < 9; i++) {
		static const uint8_t other_hash[32] = { 8 };
		struct fixture g = f;

		fixture_fill(&g);
		g.ask.session = &g.session;
		g.hold.remember_ns = 60 * SEC;
		assert_true(approvals_recall(f.t, &g.ask, &id));
		switch (i) {
		case 0: g.session.identity.cgroup_id = 6; break;
		case 1: g.ask.target = "other"; break;
		case 2: g.op.text = SLICE("delete from item"); break;
		case 3: g.op.fingerprint = 1; break;
		case 4: g.param.text = SLICE("1"); break;
		case 5: g.ask.policy_hash = other_hash; break;
		case 6: g.verdict.rule = "other"; break;
		case 7: g.op.text_cut = true; break; /* nobody saw all of it */
		case 8: g.session.dst.port_be = 1; break;
		}
		assert_false(approvals_recall(f.t, &g.ask, &id));
	}

	fixture_fill(&f);
	f.hold.remember_session = true;
	assert_false(approvals_recall(f.t, &f.ask, &id));
	approve_and_remember(&f);
	f.ask.mono_ns += 1000 * SEC;
	assert_true(approvals_recall(f.t, &f.ask, &id));
	f.session.id.bytes[9] = 1;
	assert_false(approvals_recall(f.t, &f.ask, &id));
	f.session.id.bytes[9] = 0;
	approvals_forget(f.t, &f.session.id);
	assert_false(approvals_recall(f.t, &f.ask, &id));
	/* The table is a ring: the oldest goes, nothing grows. */
	fixture_fill(&f);
	f.hold.remember_ns = 3600 * SEC;
	for (int i = 0; i < APPROVALS_REMEMBERED_MAX + 1; i++) {
		f.op.fingerprint = (uint64_t)i + 1000;
		approve_and_remember(&f);
	}
	assert_true(approvals_recall(f.t, &f.ask, &id));
	f.op.fingerprint = 1000;
	assert_false(approvals_recall(f.t, &f.ask, &id));
	fixture_done(&f);
}

static void test_news(void **state)
{
	struct fixture f;
	struct approvals_event e;
	enum approval_state st;
	struct approval *a, *unseen;
	struct buf json;

	fixture_init(&f, true);
	buf_init(&json, APPROVAL_JSON_MAX);
	assert_int_equal(approvals_news(f.t, &e, &json), 0);
	a = ask(&f);
	assert_int_equal(approvals_news(f.t, &e, &json), 1);
	assert_int_equal(e.state, APPROVAL_WAITING);
	assert_int_equal(e.needed, 1);
	assert_true(buf_len(&json) > 100);
	/* Over before anybody was told of it: nothing to tell. */
	unseen = ask(&f);
	(void)approvals_settle(f.t, unseen, APPROVAL_GONE, "left");
	assert_null(approval_free(unseen));
	assert_int_equal(answer(&f, a, "uid:1", false, &st), 0);
	assert_int_equal(approvals_news(f.t, &e, &json), 1);
	assert_int_equal(e.state, APPROVAL_DENIED);
	assert_string_equal(e.who, "uid:1");
	assert_string_equal(e.reason, "because");
	assert_int_equal(approvals_news(f.t, &e, &json), 0);
	(void)approvals_settle(f.t, a, APPROVAL_WAITING, "");
	assert_null(approval_free(a));
	buf_done(&json);
	fixture_done(&f);
}

static void test_bounds_and_memory(void **state)
{
	static struct approval *all[APPROVALS_MAX];
	struct fixture f;
	struct approval *more;
	struct mallinfo2 before, after;

	fixture_init(&f, false);
	before = mallinfo2();
	for (int i = 0; i < APPROVALS_MAX; i++)
		all[i] = ask(&f);
	after = mallinfo2();
	print_message("# bytes of each held operation in the table: %zu\n",
		      (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) /
			      APPROVALS_MAX);
	assert_true((after.uordblks - before.uordblks) / APPROVALS_MAX < 4096);
	assert_int_equal(approvals_waiting(f.t), APPROVALS_MAX);
	assert_int_equal(approvals_ask(f.t, &f.ask, &f.in, NULL, &more), -ENOSPC);
	for (int i = 0; i < APPROVALS_MAX; i++) {
		(void)approvals_settle(f.t, all[i], APPROVAL_GONE, "");
		assert_null(approval_free(all[i]));
	}
	fixture_done(&f);
}

static void test_bytes_bound(void **state)
{
	enum { TEXT = 60 * 1000, MANY = APPROVALS_BYTES_MAX / TEXT + 1 };
	static struct approval *all[MANY];
	static char text[TEXT];
	struct fixture f;
	int n = 0;

	fixture_init(&f, false);
	f.op.text = slice_of(text, sizeof(text));
	while (n < MANY && approvals_ask(f.t, &f.ask, &f.in, NULL, &all[n]) == 0)
		n++;
	assert_in_range(n, MANY / 2, MANY - 1);
	while (n--) {
		(void)approvals_settle(f.t, all[n], APPROVAL_GONE, "");
		assert_null(approval_free(all[n]));
	}
	fixture_done(&f);
}

static int scenario(void *ctx)
{
	struct fixture f;
	struct approval *a = NULL;
	enum approval_state st;
	int r;

	fixture_fill(&f);
	f.hold.remember_ns = SEC;
	r = approvals_new(true, &f.t);
	if (r < 0)
		return r;
	r = loop_new(&f.loop);
	if (r == 0) {
		approvals_inbox_init(&f.in, f.loop);
		r = approvals_ask(f.t, &f.ask, &f.in, NULL, &a);
		if (r == 0) {
			struct buf b;
			int listed;

			buf_init(&b, APPROVAL_JSON_MAX);
			listed = approvals_list(f.t, NULL, &b);
			buf_done(&b);
			r = listed < 0 ? listed : answer(&f, a, "uid:1", true, &st);
			approvals_remember(f.t, a, 1);
			(void)approvals_settle(f.t, a, APPROVAL_GONE, "");
			assert_null(approval_free(a));
		}
		assert_null(loop_free(f.loop));
	}
	assert_null(approvals_free(f.t));
	return r;
}

static void test_allocation_failures(void **state)
{
	/* Without memory to remember, people are asked again. */
	alloc_fail_each(scenario, NULL, 1);
}

/* ---- threads: a worker that asks and settles, people who answer ------------------------------------ */

enum { ROUNDS = 2000 };

struct people {
	struct fixture *f;
	const char *key;
	bool stop;
};

static void *answer_all(void *arg)
{
	struct people *p = arg;
	struct approval_answer an = { .allow = true };
	struct buf b;

	snprintf(an.key, sizeof(an.key), "%s", p->key);
	buf_init(&b, 1 << 20);
	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		enum approval_state st;
		char id[ULID_TEXT_MAX], full[ULID_TEXT_MAX];
		const char *at;

		buf_clear(&b);
		if (approvals_list(p->f->t, NULL, &b) <= 0 || buf_put_u8(&b, 0) < 0)
			continue;
		at = strstr((const char *)buf_peek(&b).ptr, "\"id\":\"") + 6;
		memcpy(id, at, ULID_TEXT_LEN);
		id[ULID_TEXT_LEN] = '\0';
		if (approvals_answer(p->f->t, id, &an, &st, full) == -ENOMEM)
			break;
	}
	buf_done(&b);
	return NULL;
}

static void test_threads(void **state)
{
	struct people people[2] = { { .key = "uid:1" }, { .key = "uid:2" } };
	pthread_t threads[2];
	struct fixture f;
	unsigned approved = 0, expired = 0;

	fixture_init(&f, true);
	f.hold.count = 2;
	for (int i = 0; i < 2; i++) {
		people[i].f = &f;
		assert_int_equal(pthread_create(&threads[i], NULL, answer_all, &people[i]), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		struct approval *a = ask(&f), *got;
		struct loop_ready ready[4];
		struct approval_answer an;
		unsigned answers = 0;

		/* Some are given no time, so that the ends race. */
		for (int wait = i % 4 ? 20 : 0; wait; wait--) {
			(void)loop_wait(f.loop, 5, ready, 4);
			while ((got = approvals_take(f.t, &f.in)))
				assert_ptr_equal(got, a);
			if (approvals_settle(f.t, a, APPROVAL_WAITING, "") != APPROVAL_WAITING)
				break;
		}
		if (approvals_settle(f.t, a, APPROVAL_EXPIRED, "") == APPROVAL_APPROVED)
			approved++;
		else
			expired++;
		while (approvals_answer_next(f.t, a, &an))
			answers++;
		assert_true(answers <= 2);
		assert_null(approval_free(a));
		assert_null(approvals_take(f.t, &f.in));
	}
	for (int i = 0; i < 2; i++) {
		__atomic_store_n(&people[i].stop, true, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(approved + expired, ROUNDS);
	assert_true(approved > 0);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_approved_once), cmocka_unit_test(test_expired_is_final),
		cmocka_unit_test(test_two_people),    cmocka_unit_test(test_listing),
		cmocka_unit_test(test_digest_binds),  cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_news),          cmocka_unit_test(test_bounds_and_memory),
		cmocka_unit_test(test_bytes_bound),   cmocka_unit_test(test_allocation_failures),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
