// SPDX-License-Identifier: Apache-2.0
/*
 * Recorded operations judged anew: what records hold is used, what they lack is said. And the promise
 * of learning, over generated stores: all that was allowed is allowed, judged anew, and what was not
 * is not.
 */
#include "support/test.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/clock.h"
#include "cli/learn.h"
#include "cli/policy_again.h"
#include "cli/policy_ops.h"
#include "support/store_fixture.h"

enum { SESSIONS = 60, OPS = 12, TEXT_MAX = 1024 * 1024 };

static char dir[64];
static struct store *store;
static struct store_batch *batch;
static unsigned made;

static int setup(void **state)
{
	struct store_config cfg = { .mode = STORE_WRITE, .dir = dir };

	made = 0;
	store_fixture_dir(dir);
	assert_int_equal(store_open(&cfg, &store), 0);
	return store_batch_new(store, &batch);
}

static int teardown(void **state)
{
	batch = store_batch_free(batch);
	store = store_close(store);
	store_fixture_remove(dir);
	return 0;
}

static struct store_session session_new(const char *ip, unsigned port, const char *target)
{
	struct store_session s = store_fixture_session(made++);

	assert_int_equal(addr_parse_ip(slice_str(ip), &s.dst), 0);
	s.dst.port_be = htons((uint16_t)port);
	s.target = target;
	return s;
}

static void put(struct store_session *s, struct store_event ev)
{
	if (!ev.time_ns)
		ev.time_ns = s->start_ns;
	assert_int_equal(store_put_event(batch, s, &ev), 0);
}

/* All operations of a text, with one verdict. */
static void put_text(struct store_session *s, const char *text, enum verdict_kind kind)
{
	struct policy_ops ops;

	assert_int_equal(policy_ops_any(text, &ops), 0);
	for (size_t i = 0; i < ops.n; i++) {
		ops.at[i].id = s->n_events + 1;
		s->protocol = ops.at[i].protocol;
		put(s, (struct store_event){ .type = STORE_OP,
					     .op_id = ops.at[i].id,
					     .op = &ops.at[i],
					     .verdict = { .kind = kind, .rule = "seen" } });
	}
	policy_ops_done(&ops);
}

static void session_end(struct store_session *s)
{
	s->state = STORE_SESSION_ENDED;
	s->end_ns = s->start_ns + 1;
	assert_int_equal(store_put_session(batch, s), 0);
	assert_int_equal(store_commit(batch), 0);
}

static struct policy_set *compile(const char *json)
{
	const struct policy_source source = { "test", slice_str(json) };
	struct policy_set *set;
	struct policy_err err;

	if (policy_set_compile(&source, 1, &set, &err) < 0)
		fail_msg("%u:%u: %s\n%s", err.line, err.column, err.message, json);
	return set;
}

struct seen {
	enum verdict_kind kind;
	char rule[64];
	bool cannot_tell;
};

/* Judges one session anew. Returns how many operations it has. */
static size_t judge(const char *json, const struct store_session *s, bool by_identity,
		    struct seen *ret, size_t max)
{
	struct policy_set *set = compile(json);
	struct policy_again g;
	struct again_session a;
	struct again_op o;
	size_t n = 0;

	policy_again_init(&g, set, by_identity ? NULL : policy_set_at(set, 0));
	assert_int_equal(again_open(&g, store, s, &a), 0);
	for (; again_next(&a, &o) == 1; n++) {
		assert_true(n < max);
		ret[n] = (struct seen){ .kind = o.verdict.kind, .cannot_tell = o.cannot_tell };
		snprintf(ret[n].rule, sizeof(ret[n].rule), "%s", o.verdict.rule);
	}
	again_close(&a);
	policy_again_done(&g);
	(void)policy_set_unref(set);
	return n;
}

#define TARGETS \
	"\"targets\": [{\"name\": \"t\", \"hosts\": [\"10.0.0.1\"], \"default\": \"allow\"}]"
#define POLICY(rules) \
	"{\"name\": \"p\", \"default\": \"block\", " TARGETS ", \"rules\": [" rules "]}"
#define BLOCK(when) "{\"id\": \"r\", \"verdict\": \"block\", \"when\": " when "}"

static void test_headers_and_query_are_in_the_text(void **state)
{
	struct store_session s = session_new("10.0.0.1", 80, "t");
	struct seen seen[1];

	put_text(&s, "http:GET http://h/a?page=1&name=a%20b [X-Team: Red]", VERDICT_ALLOW);
	session_end(&s);
	assert_int_equal(
		judge(POLICY(BLOCK("{\"header\": {\"x-team\": \"red\"}}")), &s, false, seen, 1), 1);
	assert_int_equal(seen[0].kind, VERDICT_BLOCK);
	judge(POLICY(BLOCK("{\"header\": {\"x-team\": \"blue\"}}")), &s, false, seen, 1);
	assert_int_equal(seen[0].kind, VERDICT_ALLOW);
	judge(POLICY(BLOCK("{\"query\": {\"name\": \"a b\"}}")), &s, false, seen, 1);
	assert_int_equal(seen[0].kind, VERDICT_BLOCK);
	judge(POLICY(BLOCK("{\"query\": {\"name\": \"c\"}}")), &s, false, seen, 1);
	assert_int_equal(seen[0].kind, VERDICT_ALLOW);
	assert_false(seen[0].cannot_tell);
}

static void test_bodies(void **state)
{
	static const char text[] = "http:POST http://h/a {\"a\": \"evil\"}";
	const char *evil = POLICY(BLOCK("{\"json\": {\"$.a\": \"evil\"}}"));
	const char *good = POLICY(BLOCK("{\"json\": {\"$.a\": \"other\"}}"));
	struct store_session s = session_new("10.0.0.1", 80, "t");
	struct store_session lost = session_new("10.0.0.1", 80, "t");
	struct store_session part = session_new("10.0.0.1", 80, "t");
	struct store_event data = { .type = STORE_DATA,
				    .op_id = 1,
				    .dir = DIR_TO_SERVER,
				    .data = SLICE("{\"a\": \"evil\"}") };
	struct seen seen[1];

	put_text(&s, text, VERDICT_ALLOW);
	put(&s, data);
	session_end(&s);
	judge(evil, &s, false, seen, 1);
	assert_int_equal(seen[0].kind, VERDICT_BLOCK);
	assert_false(seen[0].cannot_tell);
	judge(good, &s, false, seen, 1);
	assert_int_equal(seen[0].kind, VERDICT_ALLOW);
	assert_false(seen[0].cannot_tell);

	put_text(&lost, text, VERDICT_BLOCK);
	session_end(&lost);
	judge(good, &lost, false, seen, 1);
	assert_true(seen[0].cannot_tell);
	assert_int_equal(seen[0].kind, VERDICT_BLOCK);
	/* Where no rule asks for it, nothing is missing. */
	judge(POLICY(BLOCK("{\"verb\": \"PUT\"}")), &lost, false, seen, 1);
	assert_false(seen[0].cannot_tell);

	put_text(&part, text, VERDICT_ALLOW);
	data.data = SLICE("{\"a\": ");
	put(&part, data);
	session_end(&part);
	judge(good, &part, false, seen, 1);
	assert_true(seen[0].cannot_tell);
}

static void test_who_and_where(void **state)
{
	struct store_session s = session_new("10.0.0.2", 5432, "t"), named;
	struct seen seen[1];

	put_text(&s, "sql:SELECT 1", VERDICT_ALLOW);
	session_end(&s);
	judge(POLICY(BLOCK("{\"verb\": \"PUT\"}")), &s, false, seen, 1);
	assert_string_equal(seen[0].rule, "no-target");
	assert_int_equal(seen[0].kind, VERDICT_BLOCK);
	assert_false(seen[0].cannot_tell);
	judge("{\"name\": \"p\", \"agents\": [{\"cgroup\": \"/others/**\"}], " TARGETS "}", &s,
	      true, seen, 1);
	assert_string_equal(seen[0].rule, "no-policy");

	/* Names may have led there then; one of the same name is taken for it. */
	judge("{\"name\": \"p\", \"targets\": [{\"name\": \"x\", \"hosts\": [\"no-such.invalid\"], "
	      "\"default\": \"allow\"}]}",
	      &s, false, seen, 1);
	assert_true(seen[0].cannot_tell);
	named = session_new("10.0.0.2", 5432, "x");
	put_text(&named, "sql:SELECT 1", VERDICT_ALLOW);
	session_end(&named);
	judge("{\"name\": \"p\", \"targets\": [{\"name\": \"x\", \"hosts\": [\"no-such.invalid\"], "
	      "\"default\": \"allow\"}]}",
	      &named, false, seen, 1);
	assert_false(seen[0].cannot_tell);
	assert_int_equal(seen[0].kind, VERDICT_ALLOW);
}

/* Rates and quotas go by the recorded times and results. */
static void test_counters_run_again(void **state)
{
	const struct op_attr rows[] = { { .key = "rows", .type = OP_ATTR_INT, .i = 60 } };
	const char *quota = POLICY("{\"id\": \"r\", \"verdict\": \"block\", \"when\": "
				   "{\"verb\": \"SELECT\", \"quota\": {\"rows\": 100}}}");
	struct store_session s = session_new("10.0.0.1", 5432, "t");
	struct seen seen[3];

	for (int i = 0; i < 3; i++) {
		put_text(&s, "sql:SELECT * FROM t", VERDICT_ALLOW);
		put(&s, (struct store_event){ .type = STORE_RESULT,
					      .op_id = s.n_events,
					      .attrs = rows,
					      .n_attrs = 1 });
	}
	session_end(&s);
	assert_int_equal(judge(quota, &s, false, seen, 3), 3);
	assert_int_equal(seen[0].kind, VERDICT_ALLOW);
	assert_int_equal(seen[1].kind, VERDICT_ALLOW);
	assert_int_equal(seen[2].kind, VERDICT_BLOCK);
}

/* ---- the promise of learning ---------------------------------------------------------------- */

static uint64_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(seed >> 33) % n;
}

static void text_make(char *out, size_t size, bool http)
{
	static const char *const tables[] = { "users", "public.orders", "log", "\"Odd Name\"",
					      "a.b" };
	static const char *const paths[] = { "users", "orders/%u", "v1/jobs/%u/log", "a*b",
					     "x%%20y" };
	static const char *const methods[] = { "GET", "POST", "DELETE", "PUT", "HEAD" };
	const char *t = tables[pick(ARRAY_SIZE(tables))];
	char path[64];

	if (http) {
		snprintf(path, sizeof(path), paths[pick(ARRAY_SIZE(paths))], pick(9999));
		snprintf(out, size, "http:%s http://10.0.0.%u/%s",
			 methods[pick(ARRAY_SIZE(methods))], 1 + pick(3), path);
		return;
	}
	switch (pick(9)) {
	case 0: snprintf(out, size, "sql:SELECT * FROM %s WHERE id = %u", t, pick(99)); break;
	case 1: snprintf(out, size, "sql:UPDATE %s SET a = %u", t, pick(99)); break;
	case 2: snprintf(out, size, "sql:UPDATE %s SET a = 1 WHERE id = %u", t, pick(99)); break;
	case 3: snprintf(out, size, "sql:DELETE FROM %s WHERE id = %u", t, pick(99)); break;
	case 4: snprintf(out, size, "sql:SELECT %u, 'text %u'", pick(99), pick(99)); break;
	case 5: snprintf(out, size, "sql:INSERT INTO %s SELECT * FROM log", t); break;
	case 6: snprintf(out, size, "sql:BEGIN; SELECT own(%u); COMMIT", pick(9)); break;
	case 7: snprintf(out, size, "sql:SET work_mem = '%uMB'", pick(9)); break;
	default: snprintf(out, size, "sql:not even %u SQL", pick(9)); break;
	}
}

static void store_make(void)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		bool http = pick(2);
		char ip[16], text[256];
		struct store_session s;

		snprintf(ip, sizeof(ip), "10.0.0.%u", 1 + pick(3));
		s = session_new(ip, http ? 80 : 5432, pick(2) ? "t" : "u");
		for (unsigned j = 0; j < OPS; j++) {
			text_make(text, sizeof(text), http);
			put_text(&s, text, pick(5) ? VERDICT_ALLOW : VERDICT_BLOCK);
		}
		session_end(&s);
	}
}

/* What `weir policy learn` does, without names. */
static void learn_store(struct buf *text, struct learn_counts *counts)
{
	struct store_query q = STORE_QUERY_ANY;
	struct store_sessions *c;
	struct store_session s;
	struct learn *l;

	assert_int_equal(learn_new(&l), 0);
	assert_int_equal(store_sessions_open(store, &q, &c), 0);
	while (store_sessions_next(c, &s) == 1) {
		struct store_events *e;
		struct store_event ev;
		size_t target;

		assert_int_equal(
			learn_session(l, &s.dst, s.protocol, s.target, &s.identity, &target), 0);
		assert_int_equal(store_events_open(store, &s.id, 0, &e), 0);
		while (store_events_next(e, &ev) == 1)
			if (ev.type == STORE_OP && ev.verdict.kind == VERDICT_ALLOW)
				assert_true(learn_op(l, target, ev.op) >= 0);
		(void)store_events_close(e);
	}
	(void)store_sessions_close(c);
	assert_int_equal(learn_write(l, "learned", text, counts), 0);
	learn_free(l);
}

static void test_what_was_allowed_stays_allowed(void **state)
{
	struct store_query q = STORE_QUERY_ANY;
	struct learn_counts counts;
	struct store_sessions *c;
	struct store_session s;
	struct policy_again g;
	struct policy_set *set;
	struct buf text;
	size_t refused = 0, still_refused = 0;

	store_make();
	buf_init(&text, TEXT_MAX);
	learn_store(&text, &counts);
	assert_int_equal(buf_put_u8(&text, 0), 0);
	set = compile((const char *)buf_peek(&text).ptr);
	policy_again_init(&g, set, NULL); /* its "agents" must match them too */
	assert_int_equal(store_sessions_open(store, &q, &c), 0);
	while (store_sessions_next(c, &s) == 1) {
		struct again_session a;
		struct again_op o;

		assert_int_equal(again_open(&g, store, &s, &a), 0);
		while (again_next(&a, &o) == 1) {
			if (o.event->verdict.kind != VERDICT_ALLOW) {
				still_refused += o.verdict.kind == VERDICT_BLOCK;
				continue;
			}
			refused += o.verdict.kind != VERDICT_ALLOW;
			if (o.verdict.kind != VERDICT_ALLOW && refused > counts.unsayable)
				fail_msg("refused by %s: %.*s\n%s", o.verdict.rule,
					 SLICE_FMT(o.op->text), (const char *)buf_peek(&text).ptr);
		}
		again_close(&a);
	}
	(void)store_sessions_close(c);
	policy_again_done(&g);
	(void)policy_set_unref(set);
	/* Each that was allowed and is not is one that learning said it could not name. */
	assert_int_equal(refused, counts.unsayable);
	assert_true(still_refused > 0);
	buf_done(&text);
}

static void test_stores_of_every_kind(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		seed = i * 7919;
		test_what_was_allowed_stays_allowed(state);
		teardown(state);
		setup(state);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_headers_and_query_are_in_the_text),
		T(test_bodies),
		T(test_who_and_where),
		T(test_counters_run_again),
		T(test_stores_of_every_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
