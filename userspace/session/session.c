// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bpfctl/bpfctl.h"
#include "classes.h"
#include "net/sock.h"
#include "programs.h"

enum {
	SNIFF_READ = 4096,        /* read at once while the protocol is not known */
	RECORD_EVERY_SECONDS = 1, /* a busy session's counts are written this often */
	FLUSH_PIECES = 8,         /* written to one side in a turn; more wait for the next */
	LINGER_READS = 4,         /* a turn: a client that sends on and on starves nobody */
	AUDITS_PER_SECOND = 100,  /* records of direct dials: the rest is only counted */
};

#define LOG_PREFIX "session=%s cgroup=%s dst=%s protocol=%s "

static void log_session(struct session *s, enum log_level level, const char *what)
{
	char id[ULID_TEXT_MAX], dst[ADDR_TEXT_MAX], path[128], why[320];

	if (level > log_level_max())
		return;
	log_write(level, LOG_PREFIX "%s", ulid_format(&s->rec.id, id),
		  log_escape(slice_str(s->rec.identity.cgroup_path), path, sizeof(path)),
		  addr_format(&s->rec.dst, dst), s->rec.protocol[0] ? s->rec.protocol : "-",
		  log_escape(slice_str(what), why, sizeof(why)));
}

void session_run(struct session *s)
{
	if (s->stage != SESSION_DEAD && list_empty(&s->run))
		list_append(&s->worker->running, &s->run);
}

/* ---- the end -------------------------------------------------------------------------------- */

static void side_close(struct session *s, struct side *side, bool reset)
{
	if (side->watch.fd < 0)
		return;
	loop_del(s->worker->loop, &side->watch);
	if (reset)
		sock_close_reset(side->watch.fd);
	else
		close_p(&side->watch.fd);
	side->watch.fd = -1;
	buf_done(&side->held);
}

static void __printf_like(3, 4)
	set_end(struct session *s, enum store_state state, const char *fmt, ...)
{
	va_list ap;

	if (s->reason[0])
		return; /* the first reason is the one that counts */
	s->end_state = state;
	va_start(ap, fmt);
	(void)vsnprintf(s->reason, sizeof(s->reason), fmt, ap); /* cut is fine */
	va_end(ap);
	s->rec.reason = s->reason;
}

void session_close(struct session *s, enum store_state state, const char *why)
{
	struct worker *w = s->worker;
	/* A reset tells the agent what a refused connect would have; data still in flight to it after
	 * a proper end must not be torn up. */
	bool reset = state == STORE_SESSION_REFUSED || s->client.watch.fd < 0 || !s->client.eof;

	if (s->stage == SESSION_DEAD)
		return;
	set_end(s, state, "%s", why);
	hold_abandon(s, why[0] ? why : s->reason[0] ? s->reason : "the session ended");
	s->rec.state = s->end_state;
	if (s->rec.state == STORE_SESSION_ENDED && s->rec.n_blocked && !s->rec.n_allowed)
		s->rec.state = STORE_SESSION_REFUSED;
	s->rec.end_ns = w->real_ns;
	if (record_text(s, STORE_END, 0, s->rec.reason) < 0 || record_session(s) < 0)
		log_session(s, LOG_LEVEL_ERROR, "its end could not be recorded");
	side_close(s, &s->client, reset && s->stage != SESSION_LINGER);
	side_close(s, &s->server, false);
	loop_timer_clear(&s->timer);
	if (s->program_key)
		programs_forget(w->cfg.programs, s->program_key);
	list_remove(&s->run);
	list_remove(&s->all);
	list_append(&w->dead, &s->all);
	s->stage = SESSION_DEAD;
	__atomic_sub_fetch(&w->stats.sessions_open, 1, __ATOMIC_RELAXED);
	log_session(s, LOG_LEVEL_DEBUG, s->reason[0] ? s->reason : "ended");
}

void session_free(struct session *s)
{
	list_remove(&s->all);
	if (s->proto)
		s->proto = s->class->free(s->proto);
	s->agent = agent_unref(s->agent);
	free(s->first_names);
	free(s->exe);
	buf_done(&s->client.held);
	buf_done(&s->server.held);
	free(s);
}

/* Says what is left to say, then closes. */
static void drain(struct session *s)
{
	if (s->stage == SESSION_DRAIN || s->stage == SESSION_LINGER || s->stage == SESSION_DEAD)
		return;
	hold_abandon(s, s->reason[0]                        ? s->reason
			: s->client.eof || s->client.hangup ? "the client left"
			: s->server.eof                     ? "the server left"
							    : "the session ended");
	s->stage = SESSION_DRAIN;
	loop_timer_set(&s->worker->timers_short, &s->timer, s->worker->mono_ns);
	session_run(s);
}

/* ---- events --------------------------------------------------------------------------------- */

static int pump(struct session *s);
static void dial(struct session *s);
static void redial(struct session *s);

/* Ends the session with the protocol's own words for it. */
static void abort_session(struct session *s, unsigned status, const char *message)
{
	s->discard_server = true;
	s->class->abort(s->proto, status, message);
	if (pump(s) < 0)
		log_session(s, LOG_LEVEL_ERROR, "the refusal could not be recorded");
	drain(s);
}

static void upstream_failed(struct session *s)
{
	char dst[ADDR_TEXT_MAX], message[160];

	snprintf(message, sizeof(message), "cannot connect to %s: %s",
		 addr_format(&s->rec.dst, dst), strerror(-s->dial_error));
	set_end(s, STORE_SESSION_FAILED, "%s", message);
	/* Without a question there is nothing to answer: wait for the first operation. */
	if (!s->proto || !s->rec.n_ops)
		return;
	if (record_text(s, STORE_ERROR, 0, message) < 0)
		log_session(s, LOG_LEVEL_ERROR, "the failure could not be recorded");
	abort_session(s, s->dial_error == -ETIMEDOUT ? 504 : 502, message);
}

static int on_op(struct session *s, const struct op *op)
{
	struct verdict v, recorded;
	char text[HOLD_TEXT_MAX];
	uint64_t id = op->id;
	int r = judge_refresh(s);

	if (r < 0)
		return r;
	judge(s, op, &v, &recorded);
	r = record_op(s, op, &recorded);
	if (r == 0 && v.kind == VERDICT_HOLD)
		r = hold_begin(s, op, &recorded, &v, text);
	if (r < 0 || v.kind == VERDICT_HOLD)
		return r;
	if (v.kind == VERDICT_ALLOW)
		s->last_let = id;
	return s->class->decide(s->proto, id, &v);
}

/* For quotas: what came back. */
static void tally_result(struct session *s, const struct proto_event *ev)
{
	uint64_t bytes = 0, rows = 0;

	for (size_t i = 0; i < ev->n_attrs; i++) {
		const struct op_attr *a = &ev->attrs[i];

		if (a->type != OP_ATTR_INT || a->i < 0)
			continue;
		if (strcmp(a->key, "bytes") == 0)
			bytes = (uint64_t)a->i;
		else if (strcmp(a->key, "rows") == 0)
			rows = (uint64_t)a->i;
	}
	policy_session_result(&s->tally, bytes, rows, s->worker->mono_ns);
	s->last_result = MAX(s->last_result, ev->op_id);
}

static int on_opaque(struct session *s, const struct proto_event *ev)
{
	struct verdict v = { .kind = VERDICT_BLOCK,
			     .rule = "opaque",
			     .message =
				     "What follows cannot be understood, and the target does not "
				     "say \"opaque\": \"relay\"." };
	uint64_t id = ev->op_id;
	int r;

	if (s->target && s->target->relay_opaque)
		v = (struct verdict){ .kind = VERDICT_ALLOW, .rule = "opaque", .message = NULL };
	r = judge_refresh(s);
	if (s->detached)
		v.kind = VERDICT_BLOCK;
	s->relayed |= v.kind == VERDICT_ALLOW;
	r = r < 0 ? r : record_event(s, ev);
	if (r == 0 && v.kind == VERDICT_BLOCK) {
		s->rec.n_blocked++;
		set_end(s, STORE_SESSION_REFUSED, "opaque bytes are not relayed");
	}
	return r == 0 ? s->class->decide(s->proto, id, &v) : r;
}

/* Takes all events. 0, or a negative errno: something could not be recorded or refused. */
static int pump(struct session *s)
{
	struct proto_event ev;
	int r = 0;

	while (r == 0 && s->class->next(s->proto, &ev) == 1) {
		switch (ev.type) {
		case PROTO_OP: r = on_op(s, ev.op); break;
		case PROTO_OPAQUE: r = on_opaque(s, &ev); break;
		case PROTO_END: drain(s); break;
		case PROTO_RESULT:
			tally_result(s, &ev);
			r = record_event(s, &ev);
			break;
		default: r = record_event(s, &ev); break;
		}
	}
	return r;
}

/* What goes wrong inside (no memory, a turn's records too large) ends the session at once. */
static void internal_failure(struct session *s, int err)
{
	s->discard_server = true;
	log_session(s, LOG_LEVEL_WARN, strerror(-err));
	session_close(s, STORE_SESSION_FAILED, strerror(-err));
}

static void parse_failed(struct session *s, int err, const struct parse_err *pe)
{
	set_end(s, STORE_SESSION_FAILED, "%s", pe->rule ? pe->rule : strerror(-err));
	s->discard_server = true;
	err = record_error(s, pe);
	if (err == 0)
		err = pump(s);
	if (err < 0)
		internal_failure(s, err);
	else
		drain(s);
}

/* Pumps; the first operation of a session whose server cannot be reached is also its last. */
static bool pump_or_end(struct session *s)
{
	int r = pump(s);

	if (r < 0) {
		internal_failure(s, r);
		return false;
	}
	if (s->dial_error && s->rec.n_ops && s->stage == SESSION_RUN)
		upstream_failed(s);
	return s->stage == SESSION_RUN;
}

void session_decided(struct session *s, uint64_t op_id, const struct verdict *v)
{
	int r;

	if (s->stage != SESSION_RUN)
		return;
	if (v->kind == VERDICT_ALLOW) {
		s->last_let = op_id;
		redial(s);
	} else {
		s->last_denied = op_id;
	}
	r = s->class->decide(s->proto, op_id, v);
	if (r < 0) {
		internal_failure(s, r);
		return;
	}
	s->progress = true;   /* what waited behind it may be taken now */
	(void)pump_or_end(s); /* what it returns shows in s->stage */
	session_run(s);
}

void session_check_agent(struct session *s)
{
	static const char why[] = "its cgroup is no longer attached";

	if (!s->agent || s->stage == SESSION_DEAD || s->stage == SESSION_DRAIN ||
	    s->stage == SESSION_LINGER)
		return;
	if (judge_refresh(s) < 0) {
		session_close(s, STORE_SESSION_FAILED, "its policy could not be looked up");
		return;
	}
	session_run(s); /* a note is to be committed */
	if (!s->detached)
		return;
	/* Its client is gone as well, as when a command of `weir run` has ended: what it said last is
	 * read, nothing of it passes, and the session ends as it would have; or with the timer. */
	if (s->stage == SESSION_RUN && s->connected && sock_peer_ended(s->client.watch.fd)) {
		loop_timer_set(&s->worker->timers_short, &s->timer, s->worker->mono_ns);
		return;
	}
	set_end(s, STORE_SESSION_REFUSED, "%s", why);
	if (s->stage == SESSION_RUN)
		abort_session(s, 403, why);
	else
		session_close(s, STORE_SESSION_REFUSED, why);
}

/* ---- bytes in ------------------------------------------------------------------------------- */

/* Feeds, and keeps what the handler does not take yet. False: the session is past reading. */
static bool feed(struct session *s, enum dir d, struct slice in, bool from_held)
{
	struct side *from = session_from(s, d);
	size_t used = 1;

	while (in.len && used) {
		struct parse_err pe = { .dir = d };
		int r = s->class->feed(s->proto, d, in, &used, &pe);

		if (r < 0) {
			parse_failed(s, r, &pe);
			return false;
		}
		if (!pump_or_end(s))
			return false;
		in = slice_from(in, used);
		s->progress |= used > 0;
		if (from_held)
			buf_consume(&from->held, used);
		/* Output that is full takes no more; a decision may have made it take more. */
	}
	if (in.len && !from_held && buf_put_slice(&from->held, in) < 0) {
		internal_failure(s, -ENOMEM);
		return false;
	}
	return true;
}

static bool tell_eof(struct session *s, enum dir d)
{
	struct parse_err pe = { .dir = d };
	int r;

	session_from(s, d)->eof_told = true;
	r = s->class->eof(s->proto, d, &pe);
	if (r < 0) {
		parse_failed(s, r, &pe);
		return false;
	}
	return pump_or_end(s);
}

/* Reads once. Bytes, 0 when there is nothing (now, or any more: from->eof). */
static size_t read_some(struct session *s, struct side *from, size_t max)
{
	ssize_t n;

	if (!from->readable || from->eof)
		return 0;
	n = sock_read(from->watch.fd, s->worker->scratch, max);
	if (n == -EAGAIN) {
		from->readable = false;
		return 0;
	}
	if (n <= 0) { /* a reset says the same as an end: nothing more will come */
		from->eof = true;
		from->readable = false;
		return 0;
	}
	if ((size_t)n < max && !from->hangup)
		from->readable = false; /* the socket is empty, and says so when it is not */
	return (size_t)n;
}

/*
 * A server may close a connection on which a request is long in coming, because it is on hold. Where
 * the protocol has no state between requests and nothing is to be answered, another connection is as
 * good when the time has come.
 */
static bool can_redial(const struct session *s)
{
	return hold_waits(s) && s->last_result >= s->last_let &&
	       proto_class_is_stateless(s->class) && !s->relayed;
}

static bool intake(struct session *s, enum dir d)
{
	struct side *from = session_from(s, d);
	size_t n;

	if (from->watch.fd < 0)
		return true;
	if (d == DIR_TO_SERVER && (from->hangup || from->eof) && hold_waits(s)) {
		hold_deny_all(s, "the client left");
		if (s->stage != SESSION_RUN)
			return false;
	}
	if (buf_len(&from->held) && !feed(s, d, buf_peek(&from->held), true))
		return false;
	if (buf_len(&from->held))
		return true;
	n = read_some(s, from, WORKER_SCRATCH);
	if (n && !feed(s, d, slice_of(s->worker->scratch, n), false))
		return false;
	if (d == DIR_TO_CLIENT && from->eof && !from->eof_told && can_redial(s))
		return true; /* it would not wait, the client does */
	if (from->eof && !from->eof_told && !buf_len(&from->held))
		return tell_eof(s, d);
	return true;
}

static void redial(struct session *s)
{
	if (!s->connected || !s->server.eof || s->server.eof_told)
		return;
	side_close(s, &s->server, false);
	s->server = (struct side){ .watch = { .fd = -1, .kind = WATCH_SERVER } };
	buf_init(&s->server.held, WORKER_SCRATCH);
	s->connected = false;
	loop_timer_set(&s->worker->timers_short, &s->timer, s->worker->mono_ns);
	dial(s);
}

static void check_dial(struct session *s)
{
	int r;

	if (s->connected || s->server.watch.fd < 0 || !(s->server.writable || s->server.hangup))
		return;
	r = sock_error(s->server.watch.fd);
	if (r == 0 && s->server.writable) {
		s->connected = true;
		s->rec.upstream = s->rec.dst;
		if (s->stage == SESSION_RUN)
			loop_timer_clear(&s->timer);
		return;
	}
	if (r == 0)
		return;
	s->dial_error = r;
	side_close(s, &s->server, false);
	upstream_failed(s);
}

enum { PEER_NAMES = 64, PEER_NAMES_MAX = 8 * 1024 };

/* Tells the handler whom it really speaks to, by which names the policies know that. */
static int tell_peer(struct session *s)
{
	struct slice names[PEER_NAMES], rest;
	struct proto_peer peer = { .addr = s->rec.dst, .names = names };
	struct buf text;
	int r;

	if (!s->class->tell_peer)
		return 0;
	buf_init(&text, PEER_NAMES_MAX);
	r = agents_names(s->worker->cfg.agents, &s->rec.dst, &text);
	rest = buf_peek(&text);
	while (r == 0 && rest.len && peer.n_names < PEER_NAMES) {
		names[peer.n_names] = slice_head(rest, (size_t)slice_chr(rest, 0));
		rest = slice_from(rest, names[peer.n_names++].len + 1);
	}
	if (r == 0)
		r = s->class->tell_peer(s->proto, &peer);
	buf_done(&text);
	return r;
}

/* The handler is known: from here on it rules. */
static bool open_handler(struct session *s, int index)
{
	struct worker *w = s->worker;
	struct proto_limits limits = w->cfg.limits;
	int r;

	s->class = proto_classes[index];
	/* Holding bodies back costs memory and time. Without a rule nothing could want them; any rule
	 * could, by what effects and attributes bodies add. */
	if (!s->agent->policy || !policy_rule_count(s->agent->policy))
		limits.body_max = 0;
	r = s->class->create(&limits, w->shared[index], &s->proto);
	if (r == 0)
		r = tell_peer(s);
	if (r < 0) {
		internal_failure(s, r);
		return false;
	}
	s->rec.protocol = s->class->name;
	s->stage = SESSION_RUN;
	if (!s->target)
		loop_timer_set(&w->timers_long, &s->timer, w->mono_ns);
	else if (s->connected)
		loop_timer_clear(&s->timer);
	/* The record tells what is going on before the first operation does. */
	r = record_session(s);
	if (r < 0) {
		internal_failure(s, r);
		return false;
	}
	return pump_or_end(s);
}

static void sniff(struct session *s)
{
	struct side *from = &s->client;
	size_t n = read_some(s, from, SNIFF_READ);
	int index;

	if (n && buf_put(&from->held, s->worker->scratch, n) < 0) {
		internal_failure(s, -ENOMEM);
		return;
	}
	index = buf_len(&from->held) ? proto_class_sniff(buf_peek(&from->held)) : -EAGAIN;
	if (index >= 0) {
		(void)open_handler(s, index); /* what it returns shows in s->stage */
	} else if (index != -EAGAIN) {
		session_close(s, STORE_SESSION_REFUSED,
			      s->target ? "no known protocol, and the target does not say "
					  "\"protocol\": \"tcp\""
					: "no target of the policy allows this destination");
	} else if (from->eof) {
		session_close(s, STORE_SESSION_ENDED, "closed before anything was said");
	}
}

void session_intake(struct session *s)
{
	if (s->server.watch.fd >= 0)
		check_dial(s);
	if (s->stage == SESSION_SNIFF)
		sniff(s);
	if (s->stage == SESSION_RUN && intake(s, DIR_TO_SERVER) && s->connected)
		(void)intake(s, DIR_TO_CLIENT); /* what it returns shows in s->stage */
	if (s->stage == SESSION_LINGER)
		for (int i = 0; i < LINGER_READS && read_some(s, &s->client, WORKER_SCRATCH); i++)
			; /* thrown away: all has been said */
	if (s->staged && s->stage != SESSION_DEAD &&
	    s->worker->mono_ns - s->rec_put_ns > RECORD_EVERY_SECONDS * NSEC_PER_SEC &&
	    record_session(s) < 0)
		internal_failure(s, -ENOMEM);
}

/* ---- bytes out ------------------------------------------------------------------------------ */

/* Writes what is there. True when something went out. */
static bool flush_dir(struct session *s, enum dir d)
{
	struct side *to = session_from(s, dir_other(d));
	struct slice out = session_out(s, d);
	ssize_t n;

	if (!out.len)
		return false;
	if (d == DIR_TO_SERVER && s->discard_server) {
		s->class->consume_out(s->proto, d, out.len);
		return false;
	}
	if (!to->writable || to->watch.fd < 0 || (d == DIR_TO_SERVER && !s->connected))
		return false;
	n = sock_write(to->watch.fd, out);
	if (n == -EAGAIN || n == 0) {
		to->writable = false;
		return false;
	}
	if (n < 0) {
		if (d == DIR_TO_CLIENT) {
			session_close(s, STORE_SESSION_ENDED, "the client went away");
		} else {
			s->discard_server = true; /* its last words may still be read */
			s->class->consume_out(s->proto, d, out.len);
		}
		return false;
	}
	if ((size_t)n < out.len)
		to->writable = false;
	s->class->consume_out(s->proto, d, (size_t)n);
	*(d == DIR_TO_SERVER ? &s->rec.bytes_to_server : &s->rec.bytes_to_client) += (uint64_t)n;
	__atomic_add_fetch(&s->worker->stats.bytes[d], (uint64_t)n, __ATOMIC_RELAXED);
	return true;
}

static bool flushed(const struct session *s, enum dir d)
{
	return session_out(s, d).len == 0;
}

/* Half-closes pass through once everything before them has. */
static void pass_ends(struct session *s)
{
	if (s->client.eof_told && !s->server.shut && s->connected && flushed(s, DIR_TO_SERVER)) {
		s->server.shut = true;
		sock_shutdown_write(s->server.watch.fd);
	}
	if (s->server.eof_told && !s->client.shut && flushed(s, DIR_TO_CLIENT)) {
		s->client.shut = true;
		sock_shutdown_write(s->client.watch.fd);
	}
}

static void linger(struct session *s)
{
	side_close(s, &s->server, false);
	if (s->client.eof) {
		session_close(s, s->end_state, "");
		return;
	}
	s->stage = SESSION_LINGER;
	loop_timer_set(&s->worker->timers_short, &s->timer, s->worker->mono_ns);
	if (!s->client.shut)
		sock_shutdown_write(s->client.watch.fd);
	s->client.shut = true;
	if (s->client.readable)
		session_run(s);
}

static void see_whether_over(struct session *s)
{
	bool out_done = flushed(s, DIR_TO_CLIENT);
	bool in_done = flushed(s, DIR_TO_SERVER) || !s->connected;

	switch (s->stage) {
	case SESSION_DRAIN:
		if (out_done && in_done)
			linger(s);
		break;
	case SESSION_LINGER:
		if (s->client.eof)
			session_close(s, s->end_state, "");
		break;
	case SESSION_RUN:
		if (!out_done)
			break;
		if (s->client.eof_told && (s->server.eof_told || s->server.watch.fd < 0) && in_done)
			session_close(s, s->end_state, "");
		else if (s->server.eof_told && !proto_class_is_stream(s->class))
			linger(s); /* only a byte stream goes on without its server */
		break;
	default: break;
	}
}

void session_flush(struct session *s)
{
	bool wrote = false;

	if (s->stage == SESSION_DEAD)
		return;
	/* A handler may keep its output in several pieces: a head, and the body that was held. */
	for (int i = 0; i < FLUSH_PIECES && flush_dir(s, DIR_TO_CLIENT); i++)
		wrote = true;
	for (int i = 0; s->stage != SESSION_DEAD && i < FLUSH_PIECES && flush_dir(s, DIR_TO_SERVER);
	     i++)
		wrote = true;
	if (s->stage == SESSION_DEAD)
		return;
	if (s->proto && s->stage == SESSION_RUN)
		pass_ends(s);
	see_whether_over(s);
	s->staged = false;
	s->client_was_clean = flushed(s, DIR_TO_CLIENT);
	if (s->stage == SESSION_DEAD || s->stage == SESSION_RESOLVE)
		return;
	/* Again: unread bytes, or bytes that the handler had no room for until now. */
	for (enum dir d = DIR_TO_SERVER; d <= DIR_TO_CLIENT; d++) {
		struct side *from = session_from(s, d);

		/* Handlers show their output in pieces: no event tells of the next one. */
		if (wrote && !flushed(s, d) && session_from(s, dir_other(d))->writable)
			session_run(s);
		if (from->watch.fd < 0 || s->stage == SESSION_DRAIN ||
		    (d == DIR_TO_CLIENT && !s->connected))
			continue;
		if ((from->readable && !buf_len(&from->held)) ||
		    (buf_len(&from->held) && (wrote || s->progress)) ||
		    (from->eof && !from->eof_told && s->stage == SESSION_RUN &&
		     !buf_len(&from->held) && !(d == DIR_TO_CLIENT && can_redial(s))))
			session_run(s);
	}
	if ((session_out(s, DIR_TO_CLIENT).len && s->client.writable) ||
	    (session_out(s, DIR_TO_SERVER).len && s->server.writable && s->connected &&
	     s->server.watch.fd >= 0))
		session_run(s);
	s->progress = false;
}

void session_store_failed(struct session *s, int err)
{
	s->discard_server = true;
	if (s->proto && s->client_was_clean && s->stage == SESSION_RUN) {
		/* Everything pending for the client came of records that are lost: drop it. */
		s->class->consume_out(s->proto, DIR_TO_CLIENT, session_out(s, DIR_TO_CLIENT).len);
		set_end(s, STORE_SESSION_FAILED, "the store does not take records: %s",
			store_strerror(err));
		s->class->abort(s->proto, 503, "this cannot be recorded, so it is refused");
		drain(s);
		return;
	}
	session_close(s, STORE_SESSION_FAILED, "the store does not take records");
}

/* ---- the beginning -------------------------------------------------------------------------- */

static void dial(struct session *s)
{
	int fd = sock_dial(&s->rec.dst, s->scope_id);

	if (fd < 0) {
		s->dial_error = fd;
		upstream_failed(s);
		return;
	}
	s->server.watch.fd = fd;
	if (loop_add(s->worker->loop, &s->server.watch) < 0) {
		s->dial_error = -ENOMEM;
		side_close(s, &s->server, false);
	}
}

static void begin(struct session *s)
{
	struct worker *w = s->worker;
	const struct policy *p = s->agent->policy;
	int index;

	judge_take_identity(s);
	if (p) {
		judge_keep_policy(s, p);
		s->rec.policy = policy_name(p);
		s->rec.policy_hash = policy_hash(p);
		s->observed = s->rec.observed = policy_get_mode(p) == POLICY_OBSERVE;
	}
	s->target = agents_target(w->cfg.agents, s->agent, &s->rec.dst);
	s->stage = SESSION_SNIFF;
	loop_timer_set(&w->timers_short, &s->timer, w->mono_ns);
	session_run(s);
	if (!s->target) {
		s->never_allowed = true;
		s->discard_server = true;
		__atomic_add_fetch(&w->stats.no_policy, 1, __ATOMIC_RELAXED);
		return;
	}
	s->rec.target = s->target->name;
	dial(s);
	if (s->target->protocol) {
		index = proto_class_index(s->target->protocol);
		if (index < 0)
			session_close(s, STORE_SESSION_FAILED,
				      "no handler for the target's protocol");
		else
			(void)open_handler(s, index); /* what it returns shows in s->stage */
	}
}

/* True: the agent's policies look at the program, and the answer is still to come. */
static bool program_is_open(struct session *s)
{
	struct programs *programs = s->worker->cfg.programs;

	if (s->program_known || !s->agent->wants_exe)
		return false;
	if (!s->program_key && programs_ask(programs, s->rec.identity.pid,
					    s->rec.identity.cgroup_id, &s->program_key) < 0) {
		/* Too many questions at once: a program that is not known, which rules expect. */
		s->program_known = true;
		return false;
	}
	if (!programs_take(programs, s->program_key, &s->exe))
		return true;
	s->program_key = 0;
	s->program_known = true;
	s->rec.identity.exe = s->exe;
	return false;
}

static void identify(struct session *s)
{
	bool known = s->program_known;
	int r;

	s->generation = agents_generation(s->worker->cfg.agents);
	r = agents_lookup_connection(s->worker->cfg.agents, &s->rec.identity, &s->agent);
	if (r == 0 && program_is_open(s)) {
		s->agent = agent_unref(s->agent);
	} else if (r == 0 && s->program_known != known) {
		/* Which policy it is may depend on it. */
		s->agent = agent_unref(s->agent);
		identify(s);
	} else if (r == 0) {
		begin(s);
	} else if (r != -EAGAIN) {
		__atomic_add_fetch(&s->worker->stats.no_policy, 1, __ATOMIC_RELAXED);
		session_close(s, STORE_SESSION_REFUSED, "its cgroup belongs to no attached agent");
	}
}

void session_retry_identity(struct session *s)
{
	if (s->stage == SESSION_RESOLVE)
		identify(s);
}

/* Somebody dialled the listener itself: refused, and kept as a session that never began. */
static void audit_direct_dial(struct worker *w, const struct addr *peer, const struct addr *local,
			      uint64_t netns_cookie)
{
	static const char why[] = "the listener was dialled directly: no flow record";
	struct store_session rec = {
		.state = STORE_SESSION_REFUSED,
		.start_ns = w->real_ns,
		.end_ns = w->real_ns,
		.identity = { .cgroup_path = "",
			      .boot_id = "",
			      .runtime = "",
			      .container = "",
			      .image = "",
			      .pod = "",
			      .comm = "",
			      .exe = "",
			      .netns_cookie = netns_cookie },
		.client = *peer,
		.dst = *local,
		.target = "",
		.protocol = "",
		.policy = "",
		.reason = why,
	};
	struct store_event end = { .type = STORE_END, .time_ns = w->real_ns, .text = why };

	__atomic_add_fetch(&w->stats.no_flow, 1, __ATOMIC_RELAXED);
	if (w->audit_second != w->mono_ns / NSEC_PER_SEC) {
		w->audit_second = w->mono_ns / NSEC_PER_SEC;
		w->audit_count = 0;
	}
	if (w->audit_count++ >= AUDITS_PER_SECOND)
		return;
	if (ulid_new(w->real_ns, &rec.id) < 0 || store_put_session(w->batch, &rec) < 0 ||
	    store_put_event(w->batch, &rec, &end) < 0 || store_put_session(w->batch, &rec) < 0)
		log_error("a direct dial of the listener could not be recorded");
}

/* Descriptors are finite. Whoever uses them up must not fill the store and the log as well. */
static void refuse_overload(struct worker *w, const struct weir_flow *flow)
{
	static struct log_limit limit;
	unsigned dropped;

	if (log_limit_pass(&limit, 1, &dropped))
		log_warn("too many connections, refused cgroup_id=%llu open=%llu dropped=%u",
			 (unsigned long long)flow->cgroup_id,
			 (unsigned long long)w->stats.sessions_open, dropped);
}

void session_start(struct worker *w, int fd, const struct addr *peer, const struct addr *local,
		   uint64_t netns_cookie)
{
	struct weir_flow_key key = { .netns_cookie = netns_cookie,
				     .src_port = peer->port_be,
				     .dst_port = local->port_be };
	struct weir_flow flow;
	struct session *s;

	memcpy(key.src_ip, peer->ip, sizeof(key.src_ip));
	memcpy(key.dst_ip, local->ip, sizeof(key.dst_ip));
	if (bpfctl_flow_take(w->cfg.flows_fd, &key, &flow) < 0) {
		audit_direct_dial(w, peer, local, netns_cookie);
		sock_close_reset(fd);
		return;
	}
	/*
	 * Of two connections with the same ports, one after the other, the first is closed here before
	 * the second can begin. What the first left to read must not pass under the second's record.
	 */
	if (sock_is_closed(fd)) {
		close_p(&fd);
		return;
	}
	/* Only now: a record that is left behind takes a place in the map from everybody. */
	if (w->stats.sessions_open >= w->cfg.max_sessions) {
		refuse_overload(w, &flow);
		sock_close_reset(fd);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s || ulid_new(w->real_ns, &s->rec.id) < 0) {
		free(s);
		sock_close_reset(fd);
		return;
	}
	s->worker = w;
	list_init(&s->run);
	list_init(&s->holds);
	loop_timer_init(&s->timer);
	s->client.watch = (struct loop_watch){ .fd = fd, .kind = WATCH_CLIENT };
	s->server.watch = (struct loop_watch){ .fd = -1, .kind = WATCH_SERVER };
	buf_init(&s->client.held, WORKER_SCRATCH + SNIFF_READ + SNIFF_MAX);
	buf_init(&s->server.held, WORKER_SCRATCH);
	s->client_was_clean = true;
	s->end_state = STORE_SESSION_ENDED;
	memcpy(s->comm, flow.comm, WEIR_FLOW_COMM_LEN);
	s->scope_id = flow.scope_id;
	s->rec.state = STORE_SESSION_OPEN;
	s->rec.start_ns = w->real_ns;
	s->rec.client = *peer;
	s->rec.dst = addr_v6(flow.dst_ip, flow.dst_port);
	s->rec.target = s->rec.protocol = s->rec.policy = s->rec.reason = "";
	s->rec.identity = (struct identity){
		.cgroup_id = flow.cgroup_id,
		.cgroup_path = "",
		.boot_id = "",
		.runtime = "",
		.container = "",
		.image = "",
		.pod = "",
		.pid = flow.pid,
		.uid = flow.uid,
		.comm = s->comm,
		.exe = "",
		.netns_cookie = flow.netns_cookie,
	};
	list_append(&w->sessions, &s->all);
	__atomic_add_fetch(&w->stats.sessions_open, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&w->stats.sessions_total, 1, __ATOMIC_RELAXED);
	if (loop_add(w->loop, &s->client.watch) < 0) {
		session_close(s, STORE_SESSION_FAILED, "out of watches");
		return;
	}
	s->stage = SESSION_RESOLVE;
	loop_timer_set(&w->timers_short, &s->timer, w->mono_ns);
	identify(s);
}

void session_timeout(struct session *s)
{
	switch (s->stage) {
	case SESSION_RESOLVE:
		session_close(s, STORE_SESSION_REFUSED, "its cgroup could not be found in time");
		break;
	case SESSION_SNIFF:
		session_close(s, STORE_SESSION_REFUSED, "no protocol could be told in time");
		break;
	case SESSION_RUN:
		if (s->detached) {
			session_close(s, STORE_SESSION_REFUSED, "its cgroup is no longer attached");
		} else if (!s->target) {
			session_close(s, STORE_SESSION_REFUSED, "refused, and quiet since");
		} else if (!s->connected && !s->dial_error) {
			s->dial_error = -ETIMEDOUT;
			side_close(s, &s->server, false);
			upstream_failed(s);
			session_run(s);
		}
		break;
	default:
		session_close(s, s->end_state, "the peer did not take its last words in time");
		break;
	}
}
