// SPDX-License-Identifier: Apache-2.0
/*
 * What a verdict costs: nanoseconds for each of a few typical operations under policies of 10 to
 * 10,000 rules, as tab-separated lines.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "policy/policy.h"

static const char *const verbs[] = { "SELECT", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER" };

/* A mix: tables, paths, verbs with effects, one in ten with a glob over names; two in a hundred with
 * a regular expression or a risk. */
static int rule_put(struct buf *b, unsigned i)
{
	const char *comma = i ? "," : "";

	if (i % 100 == 57)
		return buf_printf(b,
				  "%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":{\"protocol\":"
				  "\"http\",\"path\":{\"regex\":\"^/v1/area%u/[0-9]+$\"}}}",
				  comma, i, i);
	if (i % 100 == 58)
		return buf_printf(b,
				  "%s{\"id\":\"r%u\",\"risk\":5,\"when\":{\"object\":\"*.t%u_*\"}}",
				  comma, i, i);
	switch (i % 10) {
	case 0:
		return buf_printf(
			b,
			"%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":{\"verb\":\"%s\","
			"\"object\":\"audit.log_%u_*\"}}",
			comma, i, verbs[i / 10 % 6], i);
	case 1:
	case 2:
		return buf_printf(b,
				  "%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":{\"protocol\":"
				  "\"http\",\"verb\":\"DELETE\",\"path\":\"/v1/area%u/**\"}}",
				  comma, i, i);
	case 3:
		return buf_printf(b,
				  "%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":{\"effect\":"
				  "[\"file\",\"network\"],\"attr\":{\"user\":\"u%u\"}}}",
				  comma, i, i);
	default:
		return buf_printf(b,
				  "%s{\"id\":\"r%u\",\"verdict\":\"block\",\"when\":{\"object\":"
				  "\"public.table%u\",\"access\":[\"write\",\"delete\"]}}",
				  comma, i, i);
	}
}

static struct policy_set *compile(unsigned rules)
{
	struct policy_source source = { "bench", SLICE_NONE };
	struct policy_set *set = NULL;
	struct policy_err err = { 0 };
	struct buf b;
	int r;

	buf_init(&b, POLICY_TEXT_MAX);
	r = buf_put_str(&b, "{\"name\":\"bench\",\"targets\":[{\"name\":\"t\",\"hosts\":\"*\","
			    "\"default\":\"allow\"}],\"rules\":[");
	for (unsigned i = 0; r == 0 && i < rules; i++)
		r = rule_put(&b, i);
	if (r == 0)
		r = buf_put_str(&b, "]}");
	source.json = buf_peek(&b);
	if (r == 0)
		r = policy_set_compile(&source, 1, &set, &err);
	if (r < 0) {
		fprintf(stderr, "bench: %s\n", err.message);
		exit(1);
	}
	buf_done(&b);
	return set;
}

static double measure(const struct policy *p, const struct op *op)
{
	enum { ROUNDS = 200000 };
	const struct policy_target *t = policy_target_at(p, 0);
	struct policy_session ps = { 0 };
	struct verdict v;
	uint64_t start;

	for (unsigned i = 0; i < ROUNDS / 10; i++)
		policy_decide(p, t, NULL, op, &ps, i, &v);
	start = clock_monotonic_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		policy_decide(p, t, NULL, op, &ps, i, &v);
	return (double)(clock_monotonic_ns() - start) / ROUNDS;
}

int main(void)
{
	static const unsigned sizes[] = { 10, 100, 1000, 10000 };
	static const struct op_object tables[] = {
		{ "table", { (const uint8_t *)"public.orders", 13 }, OP_READ },
		{ "table", { (const uint8_t *)"public.items", 12 }, OP_READ },
		{ "function", { (const uint8_t *)"count", 5 }, OP_EXEC },
	};
	static const struct op_object path = { "path",
					       { (const uint8_t *)"/v1/users/4/orders", 18 },
					       OP_DELETE };
	static const struct op_attr host = { .key = "host",
					     .type = OP_ATTR_TEXT,
					     .s = { (const uint8_t *)"api.example.com", 15 } };
	const struct op select = { .protocol = "postgres",
				   .verb = SLICE("SELECT"),
				   .effects = OP_READ,
				   .objects = tables,
				   .n_objects = 3 };
	const struct op update = { .protocol = "postgres",
				   .verb = SLICE("UPDATE"),
				   .effects = OP_READ | OP_WRITE,
				   .objects = tables,
				   .n_objects = 1 };
	const struct op http = { .protocol = "http",
				 .verb = SLICE("DELETE"),
				 .effects = OP_DELETE,
				 .objects = &path,
				 .n_objects = 1,
				 .attrs = &host,
				 .n_attrs = 1 };

	printf("rules\tselect_ns\tupdate_ns\thttp_delete_ns\tcompile_ms\n");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t start = clock_monotonic_ns();
		struct policy_set *set = compile(sizes[i]);
		double ms = (double)(clock_monotonic_ns() - start) / 1e6;
		const struct policy *p = policy_set_at(set, 0);

		printf("%u\t%.0f\t%.0f\t%.0f\t%.1f\n", sizes[i], measure(p, &select),
		       measure(p, &update), measure(p, &http), ms);
		(void)policy_set_unref(set); /* returns NULL */
	}
	return 0;
}
