// SPDX-License-Identifier: Apache-2.0
/*
 * bench_store [EVENTS [DIR]]: records a second into the store, what an index step costs, and how
 * long queries take in a store of that many events (1 million; DIR defaults to /tmp).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/clock.h"
#include "base/hash.h"
#include "store/store.h"

enum { BATCH = 32, EVENTS_PER_SESSION = 100, CGROUPS = 1000 };

static char dir[256];

static void die(const char *what, int r)
{
	fprintf(stderr, "bench_store: %s: %s\n", what, store_strerror(r));
	exit(1);
}

static double seconds_since(uint64_t from)
{
	return (double)(clock_monotonic_ns() - from) / 1e9;
}

static void session_init(struct store_session *s, char cgroup[64], unsigned n)
{
	*s = (struct store_session){ .state = STORE_SESSION_OPEN,
				     .start_ns = clock_realtime_ns(),
				     .target = "orders-db",
				     .protocol = "postgres",
				     .policy = "bench",
				     .reason = "" };
	if (ulid_new(s->start_ns, &s->id) < 0)
		die("ulid", -EIO);
	snprintf(cgroup, 64, "/agents.slice/agent-%u.scope", n % CGROUPS);
	s->identity = (struct identity){ .cgroup_id = 5000 + n % CGROUPS,
					 .cgroup_path = cgroup,
					 .boot_id = "8d1f0dd0-6b1e-4b3a-9f10-6f5c0d3a2b11",
					 .runtime = "",
					 .container = "",
					 .pod = "",
					 .comm = "psql",
					 .exe = "/usr/bin/psql",
					 .pid = n,
					 .uid = 1000 };
	s->dst = addr_v4(htonl(0x0a000001), htons(5432));
}

/* Half operations, half results, as a client that asks small questions leaves them. */
static void put(struct store_batch *b, struct store_session *s, unsigned n)
{
	static const char *const texts[] = {
		"select name, mail from public.users where id = $1",
		"update public.orders set state = 'sent' where id = $1 and customer = $2",
		"select count(*) from public.orders where created > now() - interval '1 day'",
		"insert into public.audit (who, what) values ($1, $2)",
	};
	const struct op_object object = { "table", SLICE("public.orders"), OP_READ };
	const struct op_attr rows = { .key = "rows", .type = OP_ATTR_INT, .i = n % 9 };
	struct op op = { .id = n,
			 .protocol = "postgres",
			 .verb = SLICE("SELECT"),
			 .effects = OP_READ,
			 .objects = &object,
			 .n_objects = 1 };
	struct store_event ev = { .type = STORE_RESULT,
				  .op_id = n,
				  .attrs = &rows,
				  .n_attrs = 1,
				  .time_ns = s->start_ns + n };
	int r;

	if (n % 2 == 0) {
		op.text = slice_str(texts[n / 2 % ARRAY_SIZE(texts)]);
		op.fingerprint = 1 + n / 2 % ARRAY_SIZE(texts);
		ev.type = STORE_OP;
		ev.op = &op;
		ev.verdict = (struct verdict){ .kind = n % 997 ? VERDICT_ALLOW : VERDICT_BLOCK,
					       .rule = "default",
					       .message = NULL };
	}
	r = store_put_event(b, s, &ev);
	if (r < 0)
		die("put", r);
}

static void fill(struct store *s, unsigned events)
{
	struct store_batch *b = NULL;
	struct store_session sess;
	unsigned in_batch = 0, sessions = 0;
	char cgroup[64];
	uint64_t worst = 0, t0 = clock_monotonic_ns();
	int r = store_batch_new(s, &b);

	if (r < 0)
		die("batch", r);
	for (unsigned n = 0; n < events; n++) {
		if (n % EVENTS_PER_SESSION == 0) {
			session_init(&sess, cgroup, sessions++);
			if ((r = store_put_session(b, &sess)) < 0)
				die("put", r);
		}
		put(b, &sess, n);
		if (n % EVENTS_PER_SESSION == EVENTS_PER_SESSION - 1) {
			sess.state = STORE_SESSION_ENDED;
			if ((r = store_put_session(b, &sess)) < 0)
				die("put", r);
		}
		if (++in_batch == BATCH) {
			uint64_t t1 = clock_monotonic_ns();

			if ((r = store_commit(b)) < 0)
				die("commit", r);
			worst = MAX(worst, clock_monotonic_ns() - t1);
			in_batch = 0;
		}
	}
	if ((r = store_commit(b)) < 0)
		die("commit", r);
	printf("in: %u events, %u sessions, batches of %d: %.0f events/s, slowest commit %.2f ms\n",
	       events, sessions, BATCH, events / seconds_since(t0), (double)worst / 1e6);
	(void)store_batch_free(b);
}

static atomic_bool stop;

static void *index_behind(void *arg)
{
	int r;

	while ((r = store_index_step(arg, 4096)) >= 0 && !(r == 0 && stop)) {
		if (!r)
			usleep(2000);
	}
	if (r < 0)
		die("index", r);
	return NULL;
}

static void query(struct store *s, const char *what, struct store_query q, bool hits)
{
	struct store_sessions *c = NULL;
	struct store_hits *h = NULL;
	struct store_session sess;
	struct store_event ev;
	double best = 1e9, worst = 0;
	size_t n = 0;

	for (int i = 0; i < 5; i++) {
		uint64_t t0 = clock_monotonic_ns();
		int r = hits ? store_hits_open(s, &q, &h) : store_sessions_open(s, &q, &c);

		n = 0;
		while (r >= 0 && (r = hits ? store_hits_next(h, &sess, &ev)
					   : store_sessions_next(c, &sess)) > 0)
			n++;
		if (r < 0)
			die("query", r);
		best = MIN(best, seconds_since(t0));
		worst = MAX(worst, seconds_since(t0));
		if (hits)
			(void)store_hits_close(h);
		else
			(void)store_sessions_close(c);
	}
	printf("query: %-44s %8zu results %9.2f ms (worst of 5: %.2f)\n", what, n, best * 1e3,
	       worst * 1e3);
}

static void queries(struct store *s)
{
	struct store_query q = STORE_QUERY_ANY;

	q.cgroup = "/agents.slice/agent-77.scope";
	query(s, "sessions of one cgroup by path", q, false);
	q.newest_first = true;
	q.limit = 20;
	query(s, "newest 20 of one cgroup", q, false);
	q.cgroup = "/agents.slice/agent-7*";
	query(s, "newest 20 of a cgroup glob (111 cgroups)", q, false);
	q = STORE_QUERY_ANY;
	q.cgroup_id = 5077;
	query(s, "sessions of one cgroup by id", q, false);
	q = STORE_QUERY_ANY;
	q.newest_first = true;
	q.limit = 20;
	query(s, "newest 20 of all", q, false);
	q.verdict = VERDICT_BLOCK;
	query(s, "newest 20 with a blocked operation", q, false);
	query(s, "newest 20 blocked operations", q, true);
	q = STORE_QUERY_ANY;
	q.words = (const char *[]){ "public.users", "mail" };
	q.n_words = 2;
	q.newest_first = true;
	q.limit = 20;
	query(s, "search, two common words, newest 20", q, true);
	q.words = (const char *[]){ "nowhere", "mail" };
	query(s, "search, one word that is nowhere", q, true);
}

int main(int argc, char **argv)
{
	uint64_t events = 1000000;
	struct store_config cfg = { .dir = dir, .mode = STORE_WRITE, .map_size = (size_t)64 << 30 };
	struct store *s = NULL;
	char path[300];
	struct stat st;
	pthread_t t;
	uint64_t t0;
	int r;

	if (argc > 1 && (slice_to_u64(slice_str(argv[1]), &events) < 0 || events > UINT32_MAX / 2))
		return fprintf(stderr, "usage: bench_store [EVENTS [DIR]]\n"), 2;
	snprintf(dir, sizeof(dir), "%s/weir-bench-XXXXXX", argc > 2 ? argv[2] : "/tmp");
	if (!mkdtemp(dir))
		die(dir, -errno);
	cfg.sync_each = getenv("SYNC_EACH") != NULL;
	if ((r = store_open(&cfg, &s)) < 0)
		die("open", r);
	fill(s, (unsigned)events);
	t0 = clock_monotonic_ns();
	while ((r = store_index_step(s, 4096)) > 0)
		;
	if (r < 0)
		die("index", r);
	printf("index behind, alone: %.0f events/s\n", (double)events / seconds_since(t0));
	pthread_create(&t, NULL, index_behind, s);
	printf("with the index thread at work, ");
	fill(s, (unsigned)(events / 4));
	stop = true;
	pthread_join(t, NULL);
	queries(s);
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	if (stat(path, &st) == 0)
		printf("store: %.0f MiB, %.0f bytes an event\n", (double)st.st_blocks / 2048,
		       (double)st.st_blocks * 512 / (double)(events + events / 4));
	(void)store_close(s);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir,
			 (const char *[]){ "data.mdb", "lock.mdb", "writer.lock" }[i]);
		(void)unlink(path); /* lock files may be missing */
	}
	return rmdir(dir) < 0;
}
