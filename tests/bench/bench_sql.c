// SPDX-License-Identifier: Apache-2.0
/*
 * What facts about SQL cost: microseconds for a statement seen for the first time, nanoseconds for one
 * whose like was seen before (other literals), and for the very same text, as tab-separated lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/pg/sql.h"

/* With %u where each text differs; first sights have a name that was never seen. */
static const struct {
	const char *name, *first, *like;
} cases[] = {
	{ "key lookup", "SELECT abalance FROM accounts%u WHERE aid = 7",
	  "SELECT abalance FROM accounts WHERE aid = %u" },
	{ "update", "UPDATE accounts%u SET abalance = abalance + -12 WHERE aid = 45",
	  "UPDATE accounts SET abalance = abalance + -12 WHERE aid = %u" },
	{ "insert",
	  "INSERT INTO history%u (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, "
	  "CURRENT_TIMESTAMP)",
	  "INSERT INTO history (tid, bid, aid, delta, mtime) VALUES (%u, 2, 3, 4, "
	  "CURRENT_TIMESTAMP)" },
	{ "join",
	  "SELECT u.id, u.email, count(*) FROM users%u u JOIN orders o ON o.user_id = u.id WHERE "
	  "o.created_at > now() - interval '7 days' AND u.active GROUP BY u.id, u.email ORDER BY "
	  "count(*) DESC LIMIT 20",
	  "SELECT u.id, u.email, count(*) FROM users u JOIN orders o ON o.user_id = u.id WHERE "
	  "o.total > %u AND u.active GROUP BY u.id, u.email ORDER BY count(*) DESC LIMIT 20" },
	{ "orm",
	  "SELECT \"blog_post%u\".\"id\", \"blog_post\".\"title\", \"blog_post\".\"slug\", "
	  "\"blog_post\".\"body\", \"blog_post\".\"author_id\", \"auth_user\".\"id\", "
	  "\"auth_user\".\"username\", \"auth_user\".\"first_name\", \"auth_user\".\"email\" FROM "
	  "\"blog_post\" INNER JOIN \"auth_user\" ON (\"blog_post\".\"author_id\" = "
	  "\"auth_user\".\"id\") WHERE (\"blog_post\".\"published\" = true AND "
	  "\"blog_post\".\"slug\" = 'x') ORDER BY \"blog_post\".\"created\" DESC LIMIT 10",
	  "SELECT \"blog_post\".\"id\", \"blog_post\".\"title\", \"blog_post\".\"slug\", "
	  "\"blog_post\".\"body\", \"blog_post\".\"author_id\", \"auth_user\".\"id\", "
	  "\"auth_user\".\"username\", \"auth_user\".\"first_name\", \"auth_user\".\"email\" FROM "
	  "\"blog_post\" INNER JOIN \"auth_user\" ON (\"blog_post\".\"author_id\" = "
	  "\"auth_user\".\"id\") WHERE (\"blog_post\".\"published\" = true AND "
	  "\"blog_post\".\"id\" = %u) ORDER BY \"blog_post\".\"created\" DESC LIMIT 10" },
};

/* Of this process: what else the machine does is no cost of ours. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) < 0)
		exit(1);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct pg_sql *context(void)
{
	struct pg_sql *s;

	if (pg_sql_new(4096, 16 << 20, &s) < 0) {
		fprintf(stderr, "bench: no memory\n");
		exit(1);
	}
	return s;
}

static void ask(struct pg_sql *s, const char *text)
{
	const struct pg_facts *f;

	if (pg_sql_facts(s, slice_str(text), NULL, &f) < 0)
		exit(1);
	pg_facts_unref(f);
}

/* Nanoseconds each of n texts; formatting them is measured apart and taken off. */
static double measure(struct pg_sql *s, const char *format, unsigned n)
{
	char text[1024];
	uint64_t start, texts, all;
	volatile char sink;

	start = cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), format, i);
		sink = text[10];
	}
	(void)sink; /* so that the texts are made */
	texts = cpu_ns() - start;
	start = cpu_ns();
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), format, i);
		ask(s, text);
	}
	all = cpu_ns() - start;
	return all > texts ? (double)(all - texts) / n : 0;
}

int main(void)
{
	enum { FIRST = 3000, LIKE = 300000 };

	printf("statement\tfirst_us\tlike_ns\tsame_ns\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pg_sql *s = context();
		double first, like, same;
		char text[1024];
		uint64_t start;

		(void)measure(s, "SELECT warm%u", 200); /* what the first parse allocates */
		first = measure(s, cases[i].first, FIRST);
		ask(s, cases[i].like);
		like = measure(s, cases[i].like, LIKE);
		snprintf(text, sizeof(text), cases[i].like, 7U);
		start = cpu_ns();
		for (unsigned k = 0; k < LIKE; k++)
			ask(s, text);
		same = (double)(cpu_ns() - start) / LIKE;
		printf("%s\t%.1f\t%.0f\t%.0f\n", cases[i].name, first / 1000, like, same);
		(void)pg_sql_free(s); /* returns NULL */
	}
	return 0;
}
