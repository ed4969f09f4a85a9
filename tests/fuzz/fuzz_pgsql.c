// SPDX-License-Identifier: Apache-2.0
/*
 * SQL that nobody wrote. What a warm cache says must be what a fresh parse says, offsets must lie in
 * the text, effects are never empty. The first byte is the server's mode of reading.
 */
#include <assert.h>

#include "proto/pg/sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pg_sql *warm, *cold;

static void check_equal(const struct pg_facts *a, const struct pg_facts *b, size_t size)
{
	assert(a->n_stmts == b->n_stmts && a->parsed == b->parsed);
	assert(a->fingerprint == b->fingerprint && a->fingerprint);
	for (size_t i = 0; i < a->n_stmts; i++) {
		const struct pg_stmt *x = &a->stmts[i], *y = &b->stmts[i];

		assert(strcmp(x->verb, y->verb) == 0);
		assert(x->effects && x->effects == y->effects);
		assert(x->offset == y->offset && x->len == y->len);
		assert(x->offset <= size && x->len <= size - x->offset);
		assert(x->n_objects == y->n_objects && x->n_attrs == y->n_attrs);
		for (size_t k = 0; k < x->n_objects; k++) {
			assert(slice_eq(x->objects[k].name, y->objects[k].name));
			assert(x->objects[k].access == y->objects[k].access);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pg_sql_mode mode = { 0 };
	const struct pg_facts *a, *b;
	struct slice text;

	if (!warm && (pg_sql_new(1000, 1 << 20, &warm) < 0 || pg_sql_new(0, 0, &cold) < 0))
		return 0;
	if (!size)
		return 0;
	mode.backslash_quote = data[0] == '\\';
	mode.encoding_unsafe = data[0] == 0x81;
	text = slice_of(data + 1, size - 1);
	if (pg_sql_facts(cold, text, &mode, &b) < 0)
		return 0;
	/* Twice: once it may be put in, once found. */
	for (int i = 0; i < 2; i++) {
		if (pg_sql_facts(warm, text, &mode, &a) < 0)
			break;
		check_equal(a, b, text.len);
		pg_facts_unref(a);
	}
	pg_facts_unref(b);
	return 0;
}
