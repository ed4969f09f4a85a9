// SPDX-License-Identifier: Apache-2.0
/* Damaged records: every bit flipped, every length cut. Nothing may crash, read past the record (it
 * lies at the end of a heap block, so AddressSanitizer sees it) or take memory without bound. */
#include "support/test.h"

#include <errno.h>
#include <zstd.h>

#include "store/store_int.h"
#include "support/store_fixture.h"

static struct arena arena;

static void read_event(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	struct store_event ev;
	struct slice text;
	struct op op;
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	arena_reset(&arena);
	r = store_event_decode(slice_of(copy, n), 0, &arena, &op, &ev);
	assert_true(r == 0 || r == -EBADMSG || r == -ENOMEM);
	if (!r) {
		volatile uint8_t sum = 0;

		assert_true(ev.type <= STORE_END && (int)ev.verdict.kind < VERDICT_COUNT);
		for (size_t i = 0; term_event_text(&ev, i, &text); i++) {
			for (size_t k = 0; k < text.len; k++)
				sum += text.ptr[k];
		}
		for (size_t k = 0; k < ev.data.len; k++)
			sum += ev.data.ptr[k];
		assert_non_null(ev.text);
		assert_non_null(ev.spec);
	}
	free(copy);
}

static void read_session(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	struct store_session s;
	struct ulid id = { { 0 } };
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	arena_reset(&arena);
	r = store_session_decode(slice_of(copy, n), &id, &arena, &s);
	assert_true(r == 0 || r == -EBADMSG);
	if (!r) {
		assert_true(s.state <= STORE_SESSION_INTERRUPTED);
		assert_true(strlen(s.identity.cgroup_path) <= n && strlen(s.reason) <= n);
		for (size_t i = 0; i < s.identity.n_labels; i++)
			assert_true(s.identity.labels[i].key && s.identity.labels[i].value);
	}
	free(copy);
}

static void damage(uint8_t *rec, size_t n, void (*read)(const uint8_t *, size_t))
{
	for (size_t len = 0; len <= n; len++)
		read(rec, len);
	for (size_t i = 0; i < n; i++) {
		uint8_t was = rec[i];

		for (int bit = 0; bit < 8; bit++) {
			rec[i] = was ^ (uint8_t)(1 << bit);
			read(rec, n);
		}
		rec[i] = 0xff;
		read(rec, n);
		rec[i] = was;
	}
}

static void test_op(void **state)
{
	const struct op_object objects[] = { { "table", SLICE("public.users"), OP_WRITE } };
	const struct op_attr attrs[] = { { "host", OP_ATTR_TEXT, { .s = SLICE("web") } },
					 { .key = "n", .type = OP_ATTR_INT, .i = 300 } };
	const struct op_param params[] = { { false, SLICE("x") }, { .null = true } };
	uint8_t rec[1024];
	struct op op;
	struct store_event ev = store_fixture_op(&op, "UPDATE", "update users set x = $1");

	op.objects = objects;
	op.n_objects = 1;
	op.attrs = attrs;
	op.n_attrs = 2;
	op.params = params;
	op.n_params = 2;
	ev.verdict.message = "why";
	assert_true(store_event_bound(&ev) <= sizeof(rec));
	damage(rec, store_event_encode(&ev, NULL, rec), read_event);
}

static void test_data(void **state)
{
	static uint8_t data[4096], rec[8192];
	struct store_event ev = { .type = STORE_DATA, .data = slice_of(data, sizeof(data)) };
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	size_t n;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)("row of a table, "[i % 16] + i / 512);
	assert_true(store_event_bound(&ev) <= sizeof(rec));
	n = store_event_encode(&ev, ctx, rec);
	assert_true(n < sizeof(data) / 2); /* it is the compressed form that gets damaged */
	damage(rec, n, read_event);
	ZSTD_freeCCtx(ctx);
}

static void test_session(void **state)
{
	const struct identity_label labels[] = { { "team", "billing" }, { "", "" } };
	struct store_session s = store_fixture_session(1);
	static const uint8_t hash[32];
	uint8_t rec[2048];

	s.identity.labels = labels;
	s.identity.n_labels = 2;
	s.policy_hash = hash;
	assert_true(store_session_bound(&s) <= sizeof(rec));
	damage(rec, store_session_encode(&s, rec), read_session);
}

static void test_bound_holds(void **state)
{
	struct store_session s = store_fixture_session(1);
	struct store_event ev = { .type = STORE_ERROR,
				  .time_ns = UINT64_MAX,
				  .op_id = UINT64_MAX,
				  .dir = DIR_TO_CLIENT,
				  .offset = UINT64_MAX,
				  .text = "",
				  .spec = "" };
	uint8_t rec[2048];

	s.start_ns = s.end_ns = s.bytes_to_client = s.bytes_to_server = UINT64_MAX;
	s.n_ops = s.n_allowed = s.n_held = s.n_blocked = s.n_errors = s.n_events = UINT32_MAX;
	s.identity.pid = s.identity.uid = UINT32_MAX;
	s.identity.cgroup_id = s.identity.netns_cookie = UINT64_MAX;
	assert_true(store_session_encode(&s, rec) <= store_session_bound(&s));
	assert_true(store_event_encode(&ev, NULL, rec) <= store_event_bound(&ev));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_op),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_bound_holds),
	};
	int r;

	arena_init(&arena, 64 << 20);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return r;
}
