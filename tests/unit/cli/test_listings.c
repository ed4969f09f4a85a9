// SPDX-License-Identifier: Apache-2.0
/* sessions, show, replay and search over a small store, compared with what they must print. */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "support/store_fixture.h"

static char dir[64];
static char output[65536];

static void put(struct store_batch *b, struct store_session *sess, struct store_event ev)
{
	assert_int_equal(store_put_event(b, sess, &ev), 0);
}

static void fill(struct store *s)
{
	const struct op_object obj[] = { { "table", SLICE("public.users"), OP_READ } };
	const struct op_attr rows[] = { { .key = "rows", .type = OP_ATTR_INT, .i = 1 } };
	const struct op_param params[] = { { false, SLICE("alice@example.com") },
					   { .null = true, .text = SLICE_NONE } };
	const struct identity_label labels[] = { { "team", "billing" } };
	struct store_session a = store_fixture_session(0), b = store_fixture_session(1000);
	struct store_batch *batch = NULL;
	struct store_event ev;
	struct op op;

	assert_int_equal(store_batch_new(s, &batch), 0);
	a.identity.container = "orders-1";
	a.identity.labels = labels;
	a.identity.n_labels = 1;
	a.target = "orders-db";
	ev = store_fixture_op(&op, "SELECT", "select *\nfrom users where mail = $1");
	op.objects = obj;
	op.n_objects = 1;
	op.params = params;
	op.n_params = 2;
	put(batch, &a, ev);
	put(batch, &a,
	    (struct store_event){ .type = STORE_DATA,
				  .op_id = 1,
				  .dir = DIR_TO_CLIENT,
				  .time_ns = ev.time_ns,
				  .data = SLICE("1|al\033[31mice\n") });
	put(batch, &a,
	    (struct store_event){ .type = STORE_RESULT,
				  .op_id = 1,
				  .attrs = rows,
				  .time_ns = ev.time_ns,
				  .n_attrs = 1 });
	ev = store_fixture_op(&op, "DROP", "DROP TABLE orders");
	op.id = 2;
	op.effects = OP_SCHEMA;
	ev.verdict = (struct verdict){ .kind = VERDICT_BLOCK,
				       .rule = "no-drop",
				       .message = "Not for agents." };
	put(batch, &a, ev);
	a.state = STORE_SESSION_ENDED;
	a.end_ns = a.start_ns + 12 * 1000 * 1000;
	a.n_ops = 2;
	a.n_allowed = a.n_blocked = 1;
	a.bytes_to_client = 2048;
	assert_int_equal(store_put_session(batch, &a), 0);

	/* One whose peer would like to paint the terminal. */
	b.identity.cgroup_path = "/agents.slice/\033]0;owned\a";
	b.state = STORE_SESSION_FAILED;
	b.protocol = "http";
	b.reason = "malformed";
	b.end_ns = b.start_ns;
	put(batch, &b,
	    (struct store_event){ .type = STORE_ERROR,
				  .time_ns = b.start_ns,
				  .text = "bare LF",
				  .spec = "RFC 9112 2.2",
				  .offset = 9 });
	assert_int_equal(store_put_session(batch, &b), 0);
	assert_int_equal(store_commit(batch), 0);
	assert_null(store_batch_free(batch));
}

static int setup(void **state)
{
	struct store_config cfg = { .mode = STORE_WRITE };
	struct store *s = NULL;

	store_fixture_dir(dir);
	cfg.dir = dir;
	assert_int_equal(store_open(&cfg, &s), 0);
	fill(s);
	assert_null(store_close(s));
	assert_int_equal(setenv("WEIR_STORE", dir, 1), 0);
	unsetenv("COLUMNS");
	return 0;
}

static int teardown(void **state)
{
	store_fixture_remove(dir);
	return 0;
}

/* Runs a command with its output, errors included, into `output`. Words end in NULL. */
static int run(const struct cli_command *cmd, const char *const *words)
{
	char *argv[16] = { (char *)cmd->name };
	FILE *tmp = tmpfile();
	int argc = 1, saved[2], status;
	size_t n;

	assert_non_null(tmp);
	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	fflush(stdout);
	saved[0] = dup(1);
	saved[1] = dup(2);
	dup2(fileno(tmp), 1);
	dup2(fileno(tmp), 2);
	status = cmd->run(cmd, argc, argv);
	fflush(stdout);
	dup2(saved[0], 1);
	dup2(saved[1], 2);
	close(saved[0]);
	close(saved[1]);
	rewind(tmp);
	n = fread(output, 1, sizeof(output) - 1, tmp);
	output[n] = 0;
	fclose(tmp);
	return status;
}

#define RUN(cmd, ...) run(&cli_cmd_##cmd, (const char *const[]){ __VA_ARGS__, NULL })
#define RUN0(cmd) run(&cli_cmd_##cmd, (const char *const[]){ NULL })

static void assert_has(const char *what)
{
	if (!strstr(output, what))
		fail_msg("no \"%s\" in:\n%s", what, output);
}

static void test_sessions(void **state)
{
	assert_int_equal(RUN0(sessions), CLI_OK);
	assert_string_equal(
		output,
		"ID              START                TIME  AGENT                           "
		"TARGET         PROTOCOL  OPS  BLOCKED  BYTES  STATE\n"
		"01KDVDNAZ80000  2026-01-01 00:00:01   0us  /agents.slice/\\x1b]0;owned\\x07  "
		"10.0.0.1:5432  http        0        0      0  failed\n"
		"01KDVDNA000000  2026-01-01 00:00:00  12ms  orders-1                        "
		"orders-db      postgres    2        1   2.0K  ended\n");
}

static void test_sessions_json(void **state)
{
	json_t *o;

	assert_int_equal(RUN(sessions, "--json", "--verdict", "block"), CLI_OK);
	o = json_loads(output, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "container")), "orders-1");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(o, "labels"), "team")),
		"billing");
	assert_string_equal(json_string_value(json_object_get(o, "start")),
			    "2026-01-01T00:00:00.000000Z");
	assert_int_equal(json_integer_value(json_object_get(o, "blocked")), 1);
	assert_int_equal(json_integer_value(json_object_get(o, "duration_ns")), 12000000);
	json_decref(o);
	assert_int_equal(RUN(sessions, "--json", "--container", "nobody"), CLI_OK);
	assert_string_equal(output, "");
	assert_int_equal(RUN(sessions, "--label", "team=billing", "--reverse"), CLI_OK);
	assert_has("orders-1");
	assert_null(strstr(output, "owned"));
}

static void test_show(void **state)
{
	assert_int_equal(RUN(show, "@2"), CLI_OK);
	assert_string_equal(output,
			    "session   01KDVDNA000000000000000000 ended\n"
			    "agent     orders-1\n"
			    "cgroup    /agents.slice/a.scope (id 1000)\n"
			    "process   psql, pid 4242, uid 1000, /usr/bin/psql\n"
			    "labels    team=billing\n"
			    "from      10.0.0.2:40000 to 10.0.0.1:5432\n"
			    "target    orders-db, postgres\n"
			    "policy    test\n"
			    "time      2026-01-01 00:00:00 to 2026-01-01 00:00:00 (12ms) UTC\n"
			    "ops       2: 1 allowed, 0 held, 1 blocked; 0 errors\n"
			    "bytes     0 to the server, 2.0K to the client\n"
			    "\n"
			    "      5ms  #1 allow SELECT (read) by default\n"
			    "            select *\n"
			    "            from users where mail = $1\n"
			    "            - table public.users: read\n"
			    "            $1 = alice@example.com\n"
			    "            $2 = NULL\n"
			    "      5ms  #1 received 13 bytes\n"
			    "            | 1|al\\x1b[31mice\n"
			    "      5ms  #1 result: rows=1\n"
			    "      5ms  #2 block DROP (schema) by no-drop: Not for agents.\n"
			    "            DROP TABLE orders\n");
}

static void test_show_hostile(void **state)
{
	assert_int_equal(RUN(show, "latest"), CLI_OK);
	assert_null(strchr(output, '\033'));
	assert_null(strchr(output, '\a'));
	assert_has("error: bare LF (RFC 9112 2.2), at byte 9 from the client");
	assert_int_equal(RUN(show, "latest", "--json"), CLI_OK);
	assert_null(strchr(output, '\033'));
}

static void test_replay(void **state)
{
	assert_int_equal(RUN(replay, "@2", "--no-wait"), CLI_OK);
	assert_string_equal(
		output,
		"* orders-1 (psql) connects to 10.0.0.1:5432, orders-db, 2026-01-01 00:00:00 UTC\n"
		"> select *\n"
		"> from users where mail = $1\n"
		">   $1 = alice@example.com\n"
		">   $2 = NULL\n"
		"< 1|al\\x1b[31mice\n"
		"< done: rows=1\n"
		"> DROP TABLE orders\n"
		"! blocked by no-drop: Not for agents.\n"
		"* session ended\n");
}

static void test_search(void **state)
{
	json_t *o;

	assert_int_equal(RUN(search, "drop", "ORDERS"), CLI_OK);
	assert_has("orders-1 block by no-drop\n    DROP TABLE orders\n");
	assert_int_equal(RUN(search, "alice"), CLI_OK);
	assert_has("    $1 = alice@example.com\n");
	assert_int_equal(RUN(search, "users", "--json"), CLI_OK);
	o = json_loads(output, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "verdict")), "allow");
	assert_string_equal(json_string_value(json_object_get(o, "agent")), "orders-1");
	json_decref(o);
	assert_int_equal(RUN(search, "nowhere"), CLI_NO);
	assert_int_equal(RUN(search, "drop", "--verdict", "allow"), CLI_NO);
}

static void test_usage(void **state)
{
	assert_int_equal(RUN0(show), CLI_USAGE);
	assert_int_equal(RUN0(search), CLI_USAGE);
	assert_int_equal(RUN(show, "!!"), CLI_USAGE);
	assert_int_equal(RUN(show, "7ZZZZZ"), CLI_NO);
	assert_int_equal(RUN(show, "01KD"), CLI_NO);
	assert_has("give more letters");
	assert_int_equal(RUN(show, "@9"), CLI_NO);
	assert_int_equal(RUN(show, "@0"), CLI_USAGE);
	assert_int_equal(RUN(sessions, "--verdict", "maybe"), CLI_USAGE);
	assert_int_equal(RUN(sessions, "--since", "yesterday"), CLI_USAGE);
	assert_int_equal(RUN(sessions, "--step"), CLI_USAGE);
	assert_int_equal(RUN(sessions, "--nonsense"), CLI_USAGE);
	assert_int_equal(RUN(replay, "latest", "--speed", "nan"), CLI_USAGE);
	assert_int_equal(RUN(sessions, "--store", "/nonexistent"), CLI_UNREACHABLE);
	assert_has("there is no store");
	assert_int_equal(RUN(search, "--help"), CLI_OK);
	assert_has("Examples:");
}

static void check_escape(struct slice in, unsigned max, const char *want)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_true(out_escape(&b, in, max) >= 0);
	if (!slice_eq_str(buf_peek(&b), want))
		fail_msg("%.*s != %s", SLICE_FMT(buf_peek(&b)), want);
	buf_done(&b);
}

static void test_escape(void **state)
{
	check_escape(SLICE("grün €"), 0, "grün €");
	check_escape(SLICE("a\tb\n\r\0\177"), 0, "a\\tb\\n\\r\\x00\\x7f");
	check_escape(SLICE("\xc2\x9b"), 0, "\\u{9b}");
	check_escape(SLICE("a\xe2\x80\xae"), 0, "a\\u{202e}");
	check_escape(SLICE("\xc0\x80\xed\xa0\x80\xff"), 0, "\\xc0\\x80\\xed\\xa0\\x80\\xff");
	check_escape(SLICE("abcdef"), 6, "abcdef");
	check_escape(SLICE("abcdefg"), 6, "abcde…");
	check_escape(SLICE("abc\033def"), 5, "abc…");
}

static void test_numbers(void **state)
{
	char s[OUT_SHORT_MAX];

	assert_string_equal(out_size(0, s), "0");
	assert_string_equal(out_size(1023, s), "1023");
	assert_string_equal(out_size(1024, s), "1.0K");
	assert_string_equal(out_size(1048575, s), "1.0M");
	assert_string_equal(out_size(UINT64_MAX, s), "16E");
	assert_string_equal(out_duration(999999, s), "999us");
	assert_string_equal(out_duration(59990000000, s), "59.9s");
	assert_string_equal(out_duration(125000000000, s), "2m05s");
	assert_string_equal(out_duration(UINT64_MAX, s), "213503d23h");
}

static void check_width(const char *columns, size_t max)
{
	assert_int_equal(setenv("COLUMNS", columns, 1), 0);
	assert_int_equal(RUN0(sessions), CLI_OK);
	unsetenv("COLUMNS");
	for (char *line = output, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
		size_t cols = 0;

		for (char *p = line; p < nl; p++)
			cols += ((unsigned char)*p >> 6) != 2;
		assert_true(cols <= max);
	}
}

static void test_table_fits(void **state)
{
	check_width("110", 110);
	assert_has("…");
	assert_has("owned\\x07 "); /* of a path its end stays */
	check_width("80", 80);
	assert_null(strstr(output, "BYTES"));
	assert_has("BLOCKED");
	assert_has("failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sessions), cmocka_unit_test(test_sessions_json),
		cmocka_unit_test(test_show),     cmocka_unit_test(test_show_hostile),
		cmocka_unit_test(test_replay),   cmocka_unit_test(test_search),
		cmocka_unit_test(test_usage),    cmocka_unit_test(test_escape),
		cmocka_unit_test(test_numbers),  cmocka_unit_test(test_table_fits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
