// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP handler alone, without sockets: what one exchange costs in it, request and answer, from
 * fed bytes to drained ones. Prints the best of several rounds, in nanoseconds an exchange.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/http/http.h"

enum { ROUNDS = 9, EXCHANGES = 100000 };

#define ANSWER                                                              \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13" \
	"\r\n\r\nHello, world\n"

static const struct {
	const char *name, *request;
} works[] = {
	{ "plain GET", "GET /v1/users/42 HTTP/1.1\r\nHost: api.example.com\r\n"
		       "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n" },
	{ "GET, query, token", "GET /v1/users?limit=10&after=a%20b HTTP/1.1\r\n"
			       "Host: api.example.com\r\nUser-Agent: curl/7.88.1\r\n"
			       "Authorization: Bearer abcdefghijklmnop\r\nAccept: */*\r\n\r\n" },
	{ "POST of JSON", "POST /v1/users HTTP/1.1\r\nHost: api.example.com\r\n"
			  "Content-Type: application/json\r\nContent-Length: 35\r\n\r\n"
			  "{\"name\": \"somebody\", \"age\": [1, 2]}" },
	{ "GraphQL", "POST /graphql HTTP/1.1\r\nHost: api.example.com\r\n"
		     "Content-Type: application/json\r\nContent-Length: 55\r\n\r\n"
		     "{\"query\": \"query Q($id: ID!) { user(id: $id) { id } }\"}" },
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void pass(struct proto *p, enum dir d, struct slice in)
{
	static const struct verdict allow = { .kind = VERDICT_ALLOW };
	struct parse_err err;
	struct proto_event ev;
	size_t used;

	while (in.len) {
		must(proto_http.feed(p, d, in, &used, &err) == 0);
		in = slice_from(in, used);
		while (proto_http.next(p, &ev))
			if (ev.type == PROTO_OP)
				must(proto_http.decide(p, ev.op->id, &allow) == 0);
	}
	while (proto_http.peek_out(p, d).len)
		proto_http.consume_out(p, d, proto_http.peek_out(p, d).len);
}

static double round_ns(const char *request)
{
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct timespec a, b;
	struct proto *p;

	must(proto_http.create(&lim, NULL, &p) == 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &a); /* cannot fail with this clock */
	for (int i = 0; i < EXCHANGES; i++) {
		pass(p, DIR_TO_SERVER, slice_str(request));
		pass(p, DIR_TO_CLIENT, SLICE(ANSWER));
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	p = proto_http.free(p);
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / EXCHANGES;
}

int main(int argc, char **argv)
{
	for (size_t w = 0; w < ARRAY_SIZE(works); w++) {
		double best;

		if (argc > 1 && !strstr(works[w].name, argv[1]))
			continue;
		best = round_ns(works[w].request);

		for (int i = 1; i < ROUNDS; i++)
			best = MIN(best, round_ns(works[w].request));
		printf("%-20s %6.0f ns an exchange\n", works[w].name, best);
	}
	return 0;
}
