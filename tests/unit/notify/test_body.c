// SPDX-License-Identifier: Apache-2.0
#include "support/test.h"

#include <errno.h>
#include <stdio.h>

#include "notify/body.h"

static const char op_text[] =
	"{\"time\": \"2026-01-01T00:00:00Z\", \"deadline\": \"2026-01-01T00:10:00Z\","
	" \"cgroup\": \"/agents/a\", \"labels\": {\"team\": \"x\"}, \"target\": \"orders-db\","
	" \"protocol\": \"postgres\", \"verb\": \"DELETE\", \"effects\": [\"delete\"],"
	" \"text\": \"DELETE FROM t <!channel> *x* ```\", \"risk\": 40, \"rule\": \"unbounded\","
	" \"message\": \"No WHERE & no limit\", \"count\": 1,"
	" \"event\": \"settled\", \"id\": \"lies\", \"answer\": \"lies\"}";

static json_t *parse(struct buf *b)
{
	json_t *o =
		json_loadb((const char *)buf_peek(b).ptr, buf_len(b), JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(o);
	return o;
}

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	assert_non_null(s);
	return s;
}

static void test_json(void **state)
{
	json_t *op = json_loads(op_text, 0, NULL), *got, *answer;
	struct body_held h = { .id = "01ABC", .op = op, .token = "f00d" };
	struct buf b;

	buf_init(&b, BODY_MAX);
	assert_int_equal(body_held_json(&h, &b), 0);
	got = parse(&b);
	assert_string_equal(str(got, "event"), "held");
	assert_string_equal(str(got, "id"), "01ABC");
	assert_string_equal(str(got, "text"), "DELETE FROM t <!channel> *x* ```");
	assert_string_equal(str(json_object_get(got, "labels"), "team"), "x");
	assert_int_equal(json_integer_value(json_object_get(got, "risk")), 40);
	assert_null(json_object_get(got, "cut"));
	answer = json_object_get(got, "answer");
	assert_string_equal(str(answer, "token"), "f00d");
	assert_string_equal(str(answer, "approve"), "/v1/approvals/01ABC/approve");
	assert_string_equal(str(answer, "deny"), "/v1/approvals/01ABC/deny");
	assert_string_equal(str(answer, "status"), "/v1/approvals/01ABC");
	json_decref(got);
	/* Nobody takes answers: no token. */
	h.token = NULL;
	buf_clear(&b);
	assert_int_equal(body_held_json(&h, &b), 0);
	got = parse(&b);
	assert_null(json_object_get(got, "answer"));
	json_decref(got);
	json_decref(op);
	buf_done(&b);
}

static void test_long_things_are_cut(void **state)
{
	json_t *op = json_object(), *params = json_array(), *got;
	struct body_held h = { .id = "x", .op = op, .token = "t" };
	char *text = malloc(BODY_STRING_MAX + 64);
	struct buf b;

	assert_non_null(text);
	/* Characters of two bytes: a cut lies between two of them. */
	for (size_t i = 0; i < BODY_STRING_MAX + 62; i += 2)
		memcpy(text + i + 1, "\xc3\xa4", 2);
	text[0] = 'a';
	text[BODY_STRING_MAX + 63] = '\0';
	json_object_set_new(op, "text", json_string(text));
	json_object_set_new(op, "verb", json_string("SELECT"));
	buf_init(&b, BODY_MAX);
	assert_int_equal(body_held_json(&h, &b), 0);
	got = parse(&b);
	assert_int_equal(strlen(str(got, "text")), BODY_STRING_MAX - 1);
	assert_true(json_is_true(json_object_get(got, "cut")));
	json_decref(got);
	/* Too much of it: lists go, the rest stays. */
	for (unsigned i = 0; i < 40000; i++)
		json_array_append_new(params, json_string("parameter"));
	json_object_set_new(op, "params", params);
	buf_clear(&b);
	assert_int_equal(body_held_json(&h, &b), 0);
	got = parse(&b);
	assert_null(json_object_get(got, "params"));
	assert_string_equal(str(got, "verb"), "SELECT");
	assert_non_null(json_object_get(got, "answer"));
	assert_true(json_is_true(json_object_get(got, "cut")));
	json_decref(got);
	buf_clear(&b);
	assert_int_equal(body_held_slack(&h, &b), 0);
	assert_in_range(buf_len(&b), 1, 8000);
	json_decref(op);
	free(text);
	buf_done(&b);
}

/* Every text element below v; returns how many. None may have markup. */
static unsigned check_texts(json_t *v)
{
	unsigned n = 0;
	const char *key, *type = json_string_value(json_object_get(v, "type"));
	json_t *item;
	size_t i;

	if (type) {
		assert_string_not_equal(type, "mrkdwn");
		n += strcmp(type, "plain_text") == 0;
	}
	json_object_foreach(v, key, item)
		n += check_texts(item);
	if (json_is_array(v))
		json_array_foreach(v, i, item)
			n += check_texts(item);
	return n;
}

static void test_slack(void **state)
{
	json_t *op = json_loads(op_text, 0, NULL), *got, *blocks, *actions;
	struct body_held h = { .id = "01ABC", .op = op, .token = "f00d" };
	struct buf b;

	json_object_set_new(op, "target", json_string("<@U1> & co"));
	buf_init(&b, BODY_MAX);
	assert_int_equal(body_held_slack(&h, &b), 0);
	got = parse(&b);
	assert_string_equal(str(got, "text"),
			    "Approval wanted: DELETE on &lt;@U1&gt; &amp; co by /agents/a");
	assert_true(json_is_false(json_object_get(got, "mrkdwn")));
	blocks = json_object_get(got, "blocks");
	assert_in_range(check_texts(blocks), 8, 20);
	actions = json_array_get(blocks, json_array_size(blocks) - 1);
	assert_string_equal(str(actions, "type"), "actions");
	assert_string_equal(str(json_array_get(json_object_get(actions, "elements"), 0), "value"),
			    "01ABC f00d");
	assert_string_equal(
		str(json_array_get(json_object_get(actions, "elements"), 1), "action_id"),
		"weir_deny");
	json_decref(got);
	h.token = NULL;
	buf_clear(&b);
	assert_int_equal(body_held_slack(&h, &b), 0);
	got = parse(&b);
	blocks = json_object_get(got, "blocks");
	assert_string_equal(str(json_array_get(blocks, json_array_size(blocks) - 1), "type"),
			    "section");
	json_decref(got);
	json_decref(op);
	/* An operation of which nothing is known. */
	h.op = op = json_object();
	buf_clear(&b);
	assert_int_equal(body_held_slack(&h, &b), 0);
	json_decref(parse(&b));
	json_decref(op);
	buf_done(&b);
}

static void test_settled(void **state)
{
	struct body_settled s = {
		.id = "01ABC", .how = "denied", .who = "alice@chat", .reason = "<no>"
	};
	struct buf b;
	json_t *got;

	buf_init(&b, BODY_MAX);
	assert_int_equal(body_settled_json(&s, &b), 0);
	got = parse(&b);
	assert_string_equal(str(got, "event"), "settled");
	assert_string_equal(str(got, "how"), "denied");
	assert_string_equal(str(got, "who"), "alice@chat");
	assert_string_equal(str(got, "reason"), "<no>");
	json_decref(got);
	buf_clear(&b);
	assert_int_equal(body_settled_slack(&s, &b), 0);
	got = parse(&b);
	assert_string_equal(str(got, "text"), "Operation 01ABC: denied by alice@chat: &lt;no&gt;");
	assert_int_equal(check_texts(got), 1);
	json_decref(got);
	s.who = "\xff";
	buf_clear(&b);
	assert_int_equal(body_settled_json(&s, &b), -EINVAL);
	buf_done(&b);
}

/* echo -n '1767225600.{"event":"held"}' | openssl dgst -sha256 -hmac 'a key of this test' */
static void test_signature(void **state)
{
	char got[BODY_SIGNATURE_MAX];

	assert_int_equal(body_sign(SLICE("a key of this test"), "1767225600",
				   SLICE("{\"event\":\"held\"}"), got),
			 0);
	assert_string_equal(got,
			    "v1=fbf020c4eb27754e6b75f4f18561a55f0e110aadf6653dc160ab1af25ce1b191");
	assert_int_equal(body_sign(SLICE_NONE, "1", SLICE("{}"), got), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),      cmocka_unit_test(test_long_things_are_cut),
		cmocka_unit_test(test_slack),     cmocka_unit_test(test_settled),
		cmocka_unit_test(test_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
