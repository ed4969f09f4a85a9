// SPDX-License-Identifier: Apache-2.0
/*
 * pg_relay PORT SERVER_PORT [deny VERB]… [log FILE]: the PostgreSQL handler between plain loopback
 * sockets, without BPF, policy or store, one thread a connection. Prints "ready" once it listens.
 * For tests only: it trusts whoever connects.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/pg/pg.h"

enum { DENY_MAX = 16, CHUNK = 64 * 1024 };

static const char *deny[DENY_MAX];
static size_t n_deny;
static int server_port;
static FILE *events;
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;

static int dial(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)server_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		err(1, "server");
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
	return fd;
}

static void log_op(const struct op *op, const char *verdict)
{
	char names[128];

	if (!events)
		return;
	(void)pthread_mutex_lock(&events_lock);
	fprintf(events, "%s\t%.*s\t%s\t%.*s\n", verdict, SLICE_FMT(op->verb),
		op_effects_format(op->effects, names, sizeof(names)),
		SLICE_FMT(slice_head(op->text, 200)));
	(void)fflush(events);
	(void)pthread_mutex_unlock(&events_lock);
}

/* false when the protocol is over. */
static bool pull(struct proto *p)
{
	struct proto_event ev;
	bool going = true;

	while (p->class->next(p, &ev) > 0) {
		struct verdict v = { .rule = "test", .message = "not in this test" };
		uint64_t id = ev.op_id;

		if (ev.type == PROTO_END)
			going = false;
		if (ev.type == PROTO_RESULT && events && ev.failed) {
			(void)pthread_mutex_lock(&events_lock);
			fprintf(events, "failed\t%llu\n", (unsigned long long)ev.op_id);
			(void)fflush(events);
			(void)pthread_mutex_unlock(&events_lock);
		}
		if (ev.type != PROTO_OP && ev.type != PROTO_OPAQUE)
			continue;
		if (ev.type == PROTO_OP) {
			id = ev.op->id;
			for (size_t i = 0; i < n_deny; i++)
				if (slice_eq_str(ev.op->verb, deny[i]))
					v.kind = VERDICT_BLOCK;
			log_op(ev.op, verdict_names[v.kind]);
		}
		if (p->class->decide(p, id, &v) < 0)
			return false;
	}
	return going;
}

static bool drain(struct proto *p, enum dir d, int fd)
{
	struct slice out = p->class->peek_out(p, d);
	ssize_t n;

	if (!out.len)
		return true;
	n = send(fd, out.ptr, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	p->class->consume_out(p, d, (size_t)n);
	return true;
}

struct side {
	int fd; /* bytes read here go in direction d */
	uint8_t bytes[CHUNK];
	struct slice rest;
	bool eof, told;
};

static void serve(struct proto *p, int client, int server)
{
	struct side *s = calloc(2, sizeof(*s));
	bool going = true;

	if (!s)
		return;
	s[DIR_TO_SERVER].fd = client;
	s[DIR_TO_CLIENT].fd = server;
	while (going) {
		struct pollfd pfd[2];
		bool moved = false;

		for (int d = 0; d < 2 && going; d++) {
			struct parse_err why = { 0 };
			size_t used = 0;

			if (s[d].rest.len) {
				going = p->class->feed(p, d, s[d].rest, &used, &why) == 0;
				s[d].rest = slice_from(s[d].rest, used);
				moved |= used > 0;
			}
			if (going && s[d].eof && !s[d].rest.len && !s[d].told) {
				s[d].told = moved = true;
				going = p->class->eof(p, d, &why) == 0;
				if (d == DIR_TO_SERVER && !p->class->peek_out(p, d).len)
					(void)shutdown(server, SHUT_WR); /* it may be gone */
			}
			if (!going)
				fprintf(stderr, "relay: %s @%llu\n", why.rule,
					(unsigned long long)why.offset);
			going &= pull(p);
		}
		for (int d = 0; d < 2; d++) {
			size_t before = p->class->peek_out(p, d).len;

			going &= drain(p, d, d == DIR_TO_SERVER ? server : client);
			/* Room was made: what was not taken can be offered again. */
			moved |= p->class->peek_out(p, d).len < before;
		}
		if (moved || !going)
			continue;
		for (int d = 0; d < 2; d++) {
			pfd[d] = (struct pollfd){ .fd = s[d].fd };
			if (!s[d].rest.len && !s[d].eof)
				pfd[d].events |= POLLIN;
			if (p->class->peek_out(p, dir_other(d)).len)
				pfd[d].events |= POLLOUT;
			if (!pfd[d].events)
				pfd[d].fd = -1;
		}
		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			break;
		for (int d = 0; d < 2; d++) {
			ssize_t n;

			if (!(pfd[d].events & POLLIN) || !pfd[d].revents)
				continue;
			n = recv(s[d].fd, s[d].bytes, CHUNK, MSG_DONTWAIT);
			if (n > 0)
				s[d].rest = slice_of(s[d].bytes, (size_t)n);
			else if (n == 0 || (errno != EAGAIN && errno != EINTR))
				s[d].eof = true;
		}
	}
	for (int i = 0; i < 100 && p->class->peek_out(p, DIR_TO_CLIENT).len; i++) {
		struct pollfd pfd = { .fd = client, .events = POLLOUT };

		if (poll(&pfd, 1, 100) < 0 || !drain(p, DIR_TO_CLIENT, client))
			break;
	}
	(void)drain(p, DIR_TO_SERVER, server); /* a last Terminate, if it still goes */
	free(s);
}

static void *connection(void *arg)
{
	/* Handlers of a thread share its caches: one for each thread that ever served. */
	int client = (int)(intptr_t)arg, server = dial();
	struct proto_limits lim = PROTO_LIMITS_DEFAULT;
	struct proto_shared *shared = NULL;
	struct proto *p = NULL;

	if (proto_pg.shared_new(&shared) == 0 && proto_pg.create(&lim, shared, &p) == 0)
		serve(p, client, server);
	(void)proto_pg.free(p);
	(void)proto_pg.shared_free(shared);
	(void)close(client); /* sockets: nothing to lose */
	(void)close(server);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (argc < 3)
		errx(2, "usage: pg_relay PORT SERVER_PORT [deny VERB]... [log FILE]");
	sa.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
	server_port = (int)strtol(argv[2], NULL, 10);
	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "log") == 0)
			events = fopen(argv[i + 1], "we");
		else if (n_deny < DENY_MAX)
			deny[n_deny++] = argv[i + 1];
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* else the bind fails */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 64) < 0)
		err(1, "port %s", argv[1]);
	printf("ready\n");
	(void)fflush(stdout);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (client < 0)
			continue;
		(void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&t, NULL, connection, (void *)(intptr_t)client) != 0)
			(void)close(client);
		else
			(void)pthread_detach(t); /* cannot fail for a thread just made */
	}
}
